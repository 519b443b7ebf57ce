"""Samples: arguments at which the registry's tests check a declaration, drawn from a generator that the test owns.

Each helper returns a function ``samples(generator)`` -> list of argument tuples, or of ``(args, kwargs)`` pairs. The
values stay clear of kinks and poles by more than the steps of a numerical difference; ties and edges have tables of
their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # NumPy imports its generators late, and so do we
    from numpy.random import Generator

Samples = Callable[["Generator"], list[Any]]


def unary(low: float = -2.0, high: float = 2.0, gap: float = 0.0) -> Samples:
    """One array of several shapes with values in [low, high], none within `gap` of zero."""

    def samples(generator: Generator) -> list[Any]:
        found = []
        for shape in ((), (3,), (2, 3), (2, 1, 4), (0, 3)):
            x = generator.uniform(low, high, shape)
            found.append((np.where(np.abs(x) < gap, x + 2 * gap, x),))
        return found

    return samples


def binary(
    x: tuple[float, float] = (-2.0, 2.0), y: tuple[float, float] = (-2.0, 2.0), gap: float = 0.0
) -> Samples:
    """Two arrays of equal and of broadcasting shapes; with `gap`, the second keeps so far from the first and 0."""

    def samples(generator: Generator) -> list[Any]:
        found: list[Any] = []
        for left, right in (
            ((), ()), ((3,), (3,)), ((2, 3), (3,)), ((3, 1), (1, 2)), ((2, 1, 3), (4, 1)), ((0, 2), (2,)),
        ):  # fmt: skip
            a, b = generator.uniform(*x, left), generator.uniform(*y, right)
            if gap:
                shape = np.broadcast_shapes(left, right)
                # Spread over distinct multiples of the gap, so that no two elements of the pair come close.
                grid: Any = generator.permutation(int(np.prod(left, dtype=int)) + int(np.prod(right, dtype=int)))
                grid = (grid - len(grid) / 2 + 0.25) * 2 * gap
                a, b = grid[: a.size].reshape(left), grid[a.size :].reshape(right)
                assert np.broadcast_shapes(a.shape, b.shape) == shape
            found.append((a, b))
        found.append((generator.uniform(*x, (2, 2)), 1.5))
        return found

    return samples


def reduction(*, positive: bool = False, distinct: bool = False, **extra: Any) -> Samples:
    """Arrays with every form of `axis` and `keepdims`; `extra` goes to each call."""

    def samples(generator: Generator) -> list[Any]:
        found: list[Any] = []
        for shape, axis, keepdims in (
            ((), None, False), ((4,), None, False), ((2, 3), None, True), ((2, 3), 0, False), ((2, 3), -1, True),
            ((2, 3, 4), (0, 2), False), ((2, 1, 3), (1,), True), ((3, 2), (), False),
        ):  # fmt: skip
            x = generator.permutation(int(np.prod(shape, dtype=int))).reshape(shape) * 0.25 + 0.3
            if not distinct:
                x = generator.normal(size=shape)
            if positive:
                x = np.abs(x) + 0.5
            found.append(((x,), {"axis": axis, "keepdims": keepdims, **extra}))
        return found

    return samples


def calls(*shapes: Any, low: float = -2.0, high: float = 2.0, **kwargs: Any) -> Samples:
    """One call: each tuple of integers becomes an array of that shape; anything else is passed as it is."""

    def samples(generator: Generator) -> list[Any]:
        args = tuple(
            generator.uniform(low, high, shape) if isinstance(shape, tuple) and all(isinstance(n, int) for n in shape)
            else shape
            for shape in shapes
        )  # fmt: skip
        return [(args, kwargs)]

    return samples


def several(*parts: Samples) -> Samples:
    """All samples of several helpers."""
    return lambda generator: [sample for part in parts for sample in part(generator)]

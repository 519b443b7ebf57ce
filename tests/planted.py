"""Right functions, planted faults and arrays, for the tests of gradcheck."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_fc as tg

M, N, P = (np.random.default_rng(0).standard_normal(shape) for shape in ((3, 4), (4, 2), (4,)))


def leaf(values: Any, name: str | None = None) -> tg.Tensor:
    return tg.tensor(values, requires_grad=True, name=name)


def squares(x: Any) -> Any:
    return (x * x).sum()


def wrong_at(place: tuple[int, ...], shape: tuple[int, ...], by: float) -> Callable[..., Any]:
    """Return the square, whose rule is off by `by` at one place."""
    fault = np.zeros(shape)
    fault[place] = by
    return tg.op(lambda x: x * x, name="square_with_a_fault", x=lambda g, x: g * (2 * x + fault))

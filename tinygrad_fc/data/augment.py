"""Augmentation of images: hooks ``augment(X, y, generator) -> (X, y)`` that a solver calls on each batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Hook = Callable[[Any, Any, np.random.Generator], tuple[Any, Any]]


class RandomHorizontalFlip:
    """Mirror images from left to right, each with a probability.

    Parameters
    ----------
    shape : tuple of int
        Of an image, height and width last: ``(3, 32, 32)`` or ``(28, 28)``. Batches may be flat, (N, 3072).
    probability : float
        In [0, 1].

    Raises
    ------
    ValueError, TypeError
        If `shape` is none of an image, or `probability` is out of range.

    Examples
    --------
    >>> import numpy as np, tinygrad_fc as tg
    >>> flip = tg.data.RandomHorizontalFlip((1, 3), probability=1.0)
    >>> flip(np.array([[1.0, 2.0, 3.0]]), np.array([0]), np.random.default_rng(0))[0]
    array([[3., 2., 1.]])
    """

    def __init__(self, shape: Sequence[int], probability: float = 0.5) -> None:
        self.shape = _shape("RandomHorizontalFlip", shape)
        if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0.0 <= probability <= 1.0:
            raise ValueError(f"RandomHorizontalFlip: probability {probability!r}, expected a number in [0, 1]")
        self.probability = float(probability)

    def __call__(self, X: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return a batch (N, ...) with some images mirrored, and `y` as it is; X is not written."""
        images = _images(self, X)
        mirrored = generator.random(len(X)) < self.probability
        out = images.copy()
        out[mirrored] = images[mirrored, ..., ::-1]
        return out.reshape(X.shape), y

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip({self.shape}, probability={self.probability:g})"


class RandomShift:
    """Move each image by up to some pixels up or down and left or right; what comes in is 0.

    Parameters
    ----------
    shape : tuple of int
        Of an image, height and width last: ``(3, 32, 32)`` or ``(28, 28)``. Batches may be flat, (N, 3072).
    pixels : int
        The largest shift, at least 0 and less than height and width.

    Raises
    ------
    ValueError, TypeError
        If `shape` is none of an image, or `pixels` is out of range.

    Notes
    -----
    0 is the mean pixel where the mean image was subtracted.
    """

    def __init__(self, shape: Sequence[int], pixels: int = 2) -> None:
        self.shape = _shape("RandomShift", shape)
        if isinstance(pixels, bool) or not isinstance(pixels, int) or not 0 <= pixels < min(self.shape[-2:]):
            raise ValueError(f"RandomShift: pixels {pixels!r}, expected an integer of 0..{min(self.shape[-2:]) - 1}")
        self.pixels = pixels

    def __call__(self, X: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return a batch (N, ...) with each image moved, and `y` as it is; X is not written."""
        images = _images(self, X)
        side = 2 * self.pixels + 1
        drawn = generator.integers(side * side, size=len(X))
        out = np.zeros_like(images)
        # All images with the same shift at once: there are few shifts, and many images.
        for shift in np.unique(drawn):
            down, right = int(shift) // side - self.pixels, int(shift) % side - self.pixels
            (to_row, from_row), (to_column, from_column) = (_ends(by) for by in (down, right))
            chosen = drawn == shift
            out[chosen, ..., to_row, to_column] = images[chosen, ..., from_row, from_column]
        return out.reshape(X.shape), y

    def __repr__(self) -> str:
        return f"RandomShift({self.shape}, pixels={self.pixels})"


class Compose:
    """Several augmentations, one after another.

    Parameters
    ----------
    *steps : callable
        Each ``(X, y, generator) -> (X, y)``.
    """

    def __init__(self, *steps: Hook) -> None:
        for step in steps:
            if not callable(step):
                raise TypeError(f"Compose: given {step!r}, expected functions of (X, y, generator)")
        self.steps = steps

    def __call__(self, X: Any, y: Any, generator: np.random.Generator) -> tuple[Any, Any]:
        """Return what the last step makes of what the others made."""
        for step in self.steps:
            X, y = step(X, y, generator)
        return X, y

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.steps))})"


def _shape(owner: str, shape: Any) -> tuple[int, ...]:
    given = tuple(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else ()
    if len(given) < 2 or any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in given):
        raise ValueError(f"{owner}: shape {shape!r}, expected that of an image, height and width last: (3, 32, 32)")
    return given


def _images(hook: Any, X: np.ndarray) -> np.ndarray:
    if X.ndim < 2 or math.prod(X.shape[1:]) != math.prod(hook.shape):
        raise ValueError(f"{hook!r}: given a batch of shape {X.shape}, expected (N, {math.prod(hook.shape)}) or "
                         f"(N, {', '.join(map(str, hook.shape))})")  # fmt: skip
    return X.reshape(len(X), *hook.shape)


def _ends(by: int) -> tuple[slice, slice]:
    """Return where a shift by so many pixels puts an axis, and what it takes there."""
    return slice(max(by, 0), None if by >= 0 else by), slice(max(-by, 0), None if by <= 0 else -by)

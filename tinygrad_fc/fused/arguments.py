"""Checks of what losses and layers are given."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels import kernels


def check_labels(name: str, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and labels as arrays, or raise what is wrong with them.

    Parameters
    ----------
    name : str
        The loss, for messages.
    x : array, shape (N, C)
        Scores.
    y : array of integers, shape (N,)
        Labels, in 0..C-1.

    Raises
    ------
    ValueError
        If a shape does not fit, a label is out of range, or the batch is empty.
    TypeError
        If the labels are no integers.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2:
        raise ValueError(f"{name}: x (the scores) has shape {x.shape}, expected (N, C): one row an example.")
    if y.shape != x.shape[:1]:
        cure = " Flatten it: y.ravel()." if y.size == x.shape[0] else ""
        if y.shape == x.shape:
            cure = " One-hot labels become integers with y.argmax(axis=1)."
        raise ValueError(
            f"{name}: y (the labels) has shape {y.shape}, expected ({x.shape[0]},): one label a row of x.{cure}"
        )
    if y.dtype.kind not in "iu":
        raise TypeError(f"{name}: y (the labels) has dtype {y.dtype}, expected integers: y.astype(np.int64).")
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
    if not x.size:
        raise ValueError(f"{name}: x has shape {x.shape}: the mean over an empty batch is not defined.")
    if kernels(x).outside(y, x.shape[1]):
        low, high = y.min(), y.max()
        worst = low if low < 0 else high
        raise ValueError(
            f"{name}: y (the labels) has {worst} at row {int(np.argmax(y == worst))}, expected 0 to {x.shape[1] - 1} "
            f"for the {x.shape[1]} columns of x."
        )
    return x, y.astype(np.intp, copy=False)


def samples(generator: np.random.Generator) -> list[Any]:
    """Scores and labels for the registry's tests."""
    return [
        (generator.normal(size=(4, 3)), np.array([0, 2, 1, 2])),
        (generator.normal(size=(1, 5)), np.array([4])),
        (generator.normal(size=(3, 1)), np.array([0, 0, 0])),
    ]


def finite(name: str, value: Any) -> float:
    """Return `value` as a float, or raise TypeError or ValueError naming the argument unless it is finite and >= 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: given {value!r}, expected a number of at least 0.")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name}: given {value}, expected a finite number of at least 0.")
    return float(value)

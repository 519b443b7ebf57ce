"""svm_loss: the multiclass hinge loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..engine.tensor import Tensor
from ..kernels.numpy_ import starts
from .arguments import check_labels, check_reduction, finite, halved, reduced, row_rule, samples, widened


def check_svm_loss(x: Any, y: Any, delta: Any, squared: Any, reduction: str) -> tuple[Any, Any, float]:
    """Return scores, labels and margin as the kernel takes them, or raise what is wrong."""
    check_reduction("svm_loss", reduction)
    x, y = check_labels("svm_loss", x, y, reduction)
    if squared is not True and squared is not False:
        raise TypeError(f"svm_loss: squared: given {squared!r}, expected True or False.")
    return x, y, finite("svm_loss: delta", delta)


def _svm_loss(
    x: Any, y: Any, delta: float = 1.0, squared: bool = False, reduction: str = "mean"
) -> tuple[Any, Any]:
    """Return the loss and its slope: 1/N where a wrong class violates the margin, less their sum at the right one."""
    x, y, delta = check_svm_loss(x, y, delta, squared, reduction)
    if x.dtype.char == "e":
        loss, slope = _svm_loss(widened(x), y, delta, squared, reduction)
        return halved(loss), halved(slope)
    count, classes = x.shape
    x = np.ascontiguousarray(x)
    labelled = starts(count, classes) + y  # places in the flat array: half the time of pairs of indices
    margins = x - x.reshape(-1)[labelled][:, None]
    margins += delta
    np.maximum(margins, 0, out=margins)
    margins.reshape(-1)[labelled] = 0
    if squared:
        losses, slope = margins * margins, margins
        slope *= 2.0
    else:
        losses, slope = margins, (margins > 0).astype(x.dtype)
    if reduction == "none":
        losses = np.add.reduce(losses, axis=1)
    loss = reduced(losses, reduction, count)
    slope.reshape(-1)[labelled] -= np.add.reduce(slope, axis=1)
    if reduction == "mean":
        slope /= count
    if np.isnan(loss).any() if reduction == "none" else loss != loss:  # a row of a NaN is NaN as a whole
        slope[np.isnan(loss if reduction == "none" else np.add.reduce(losses, axis=1))] = math.nan
    return loss, slope


def _compose(x: Any, y: Any, delta: float = 1.0, squared: bool = False, reduction: str = "mean") -> Any:
    if x.dtype.char == "e":
        return halved(_compose(widened(x), y, delta, squared, reduction))
    rows = np.arange(len(y))
    right = np.zeros(x.shape, dtype=bool)
    right[rows, y] = True
    margins = x - x[rows, y][:, None] + delta
    margins = np.where(right | (margins <= 0), 0.0, margins)  # NaN stays
    losses = np.sum(margins * margins if squared else margins, axis=1)
    lost = np.isnan(losses.data if isinstance(losses, Tensor) else losses)
    if lost.any():  # a row of a NaN is NaN as a whole, in each derivative
        fault = np.where(lost, math.nan, 0.0).astype(x.dtype)
        losses = losses + np.sum(np.tanh(np.where(lost[:, None], x, 0.0)), axis=1) * fault
    return reduced(losses, reduction, len(y))


def _violations(x: Any, y: Any, delta: float, squared: bool) -> Any:
    """Return the branch: which margins are violated. Squared, the loss has a slope everywhere."""
    with np.errstate(all="ignore"):
        return np.greater(x - x[np.arange(len(y)), y][:, None] + delta, 0.0) & (not squared)


def _samples(generator: np.random.Generator) -> list[Any]:
    plain = samples(generator)
    x, y = generator.normal(size=(4, 3)), np.array([0, 2, 1, 2])
    options: list[dict[str, Any]] = [
        {"squared": True}, {"delta": 0.3, "reduction": "sum"}, {"reduction": "none"},
        {"squared": True, "reduction": "none"}, {"squared": True, "delta": 2.0, "reduction": "sum"},
    ]  # fmt: skip
    empty: Any = (np.zeros((0, 3)), np.zeros(0, int))
    more = [((x, y), option) for option in options] + [(empty, {"reduction": kind}) for kind in ("sum", "none")]
    return [*plain, *more]


svm_loss = fused_op(
    _svm_loss, name="svm_loss", leaves=("slope",), x=row_rule, compose=_compose, samples=_samples,
    branch=_violations,
)
svm_loss.__doc__ = """Return the mean multiclass hinge loss ``sum over j != y of max(0, x[j] - x[y] + delta)``.

Weston and Watkins, Multi-class support vector machines (1998), as the course CS231n counts it: summed over the wrong
classes and averaged over the batch. Squared, each term is its square, with a slope that has no jump. The gradient at a
margin of exactly 0 is 0. A NaN among an example's scores makes its loss NaN, and the gradient of all its scores.

Parameters
----------
x : Tensor or array, shape (N, C)
    Scores.
y : array of integers, shape (N,)
    Labels, in 0..C-1. They take no gradient.
delta : float
    The margin.
squared : bool
    Whether the violations are squared before they are summed.
reduction : {"mean", "sum", "none"}
    Over the batch.

Returns
-------
Tensor, shape (), or (N,) with reduction "none"

Raises
------
ValueError
    If the shapes do not fit, a label, the margin or the reduction is out of range, or the mean is asked for of an empty
    batch.
TypeError
    If the labels are no integers, or `squared` is no bool.
"""

"""svm_loss: the multiclass hinge loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.op import fused_op
from .arguments import check_labels, finite, samples


def _svm_loss(x: Any, y: Any, delta: float = 1.0) -> tuple[Any, Any]:
    """Return the loss and its slope: 1/N where a wrong class violates the margin, less their sum at the right one."""
    x, y = check_labels("svm_loss", x, y)
    delta = finite("svm_loss: delta", delta)
    count, rows = x.shape[0], np.arange(x.shape[0])
    margins = x - x[rows, y][:, None]
    margins += delta
    np.maximum(margins, 0, out=margins)
    margins[rows, y] = 0
    loss = np.add.reduce(margins, axis=None) / count
    slope = (margins > 0).astype(x.dtype)
    slope[rows, y] -= np.add.reduce(slope, axis=1)
    slope /= count
    return loss, slope


def _compose(x: Any, y: Any, delta: float = 1.0) -> Any:
    rows = np.arange(len(y))
    wrong = np.ones(x.shape, dtype=bool)
    wrong[rows, y] = False
    margins = x - x[rows, y][:, None] + delta
    return np.sum(np.where(wrong & (margins > 0), margins, 0.0)) / len(y)


svm_loss = fused_op(
    _svm_loss, name="svm_loss", leaves=("slope",), x=lambda g, slope: g * slope, compose=_compose, samples=samples
)
svm_loss.__doc__ = """Return the mean multiclass hinge loss ``sum over j != y of max(0, x[j] - x[y] + delta)``.

Weston and Watkins, Multi-class support vector machines (1998), as the course CS231n counts it: summed over the wrong
classes and averaged over the batch. The gradient at a margin of exactly 0 is 0.

Parameters
----------
x : Tensor or array, shape (N, C)
    Scores.
y : array of integers, shape (N,)
    Labels, in 0..C-1. They take no gradient.
delta : float
    The margin.

Returns
-------
Tensor, shape ()

Raises
------
ValueError
    If the shapes do not fit, a label is out of range, or the batch is empty.
TypeError
    If the labels are no integers.
"""

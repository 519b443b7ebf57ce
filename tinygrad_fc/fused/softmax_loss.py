"""softmax_loss: the mean cross-entropy of the softmax of scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..kernels import kernels
from .arguments import check_labels, halved, samples, widened


def _softmax_loss(x: Any, y: Any) -> tuple[Any, Any]:
    """Return the loss and its slope dloss/dx = (softmax(x) - onehot(y)) / N."""
    x, y = check_labels("softmax_loss", x, y)
    if x.dtype.char == "e":
        loss, slope = kernels(x).softmax_loss(widened(x), y)
        return halved(loss), halved(slope)
    return kernels(x).softmax_loss(x, y)


def _compose(x: Any, y: Any) -> Any:
    if x.dtype.char == "e":
        return halved(_compose(widened(x), y))
    shifted = x - np.max(x.detach() if hasattr(x, "detach") else x, axis=1, keepdims=True)
    right = shifted[np.arange(len(y)), y]
    return np.mean(np.log(np.sum(np.exp(shifted), axis=1)) - right)


softmax_loss = fused_op(
    _softmax_loss, name="softmax_loss", leaves=("slope",), x=lambda g, slope: g * slope, compose=_compose,
    samples=samples,
)  # fmt: skip
softmax_loss.__doc__ = """Return the mean cross-entropy ``-log softmax(x)[i, y[i]]`` over a batch.

The scores are shifted by the largest of their row, so none overflows. The slope is (softmax(x) - onehot(y)) / N:
Bishop, Pattern Recognition and Machine Learning (2006), equation 4.109.

Parameters
----------
x : Tensor or array, shape (N, C)
    Scores (logits).
y : array of integers, shape (N,)
    Labels, in 0..C-1. They take no gradient.

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

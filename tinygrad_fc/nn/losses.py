"""Losses as modules."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.tensor import Tensor, constant
from ..fused import softmax_loss, svm_loss
from .module import Module


class SoftmaxLoss(Module):
    """Mean cross-entropy of the softmax of scores (N, C) against labels (N,); see `tinygrad_fc.softmax_loss`."""

    def __init__(self, *, fused: bool = True) -> None:
        self.fused = fused

    def forward(self, x: Any, y: Any) -> Tensor:
        """Return the loss, a scalar."""
        return _run(softmax_loss, self.fused, x, y)


class SVMLoss(Module):
    """Mean multiclass hinge loss of scores (N, C) against labels (N,); see `tinygrad_fc.svm_loss`."""

    def __init__(self, *, fused: bool = True) -> None:
        self.fused = fused

    def forward(self, x: Any, y: Any) -> Tensor:
        """Return the loss, a scalar."""
        return _run(svm_loss, self.fused, x, y)


def _run(operation: Any, fused: bool, x: Any, y: Any) -> Tensor:
    if fused:
        return operation(x, y)
    from ..fused.arguments import check_labels

    check_labels(operation.__name__, x.data if isinstance(x, Tensor) else x, y)
    return operation.op.compose(x if isinstance(x, Tensor) else constant(np.asarray(x)), y)


LOSSES = {"softmax": SoftmaxLoss, "svm": SVMLoss}

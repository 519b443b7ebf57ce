"""The layers' functions without their state, with PyTorch's names and order of arguments."""

from __future__ import annotations

from typing import Any

from .. import fused as _fused
from ..engine.tensor import Tensor
from ..fused import (
    affine,
    affine_relu,
    batch_norm,
    batch_norm_inference,
    dropout,
    l2_penalty,
    layer_norm,
    relu,
    softmax_loss,
    svm_loss,
)
from ..fused.arguments import finite

__all__ = [
    "affine", "affine_relu", "batch_norm", "batch_norm_inference", "dropout", "l2_penalty", "layer_norm", "relu",
    "softmax_loss", "svm_loss",
    "binary_cross_entropy_with_logits", "cross_entropy", "huber_loss", "kl_div", "l1_loss", "mse_loss", "nll_loss",
    "smooth_l1_loss",
]  # fmt: skip


# ---- losses: those of `tinygrad_fc` whose arguments PyTorch has in another order


def cross_entropy(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", label_smoothing: float = 0.0
) -> Tensor:
    """Return `tinygrad_fc.cross_entropy` of logits (N, C) with labels (N,) or probabilities (N, C)."""
    loss: Tensor = _fused.cross_entropy(input, target, weight, label_smoothing, reduction)
    return loss


def nll_loss(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Tensor:
    """Return `tinygrad_fc.nll_loss` of log-probabilities (N, C) with labels (N,)."""
    loss: Tensor = _fused.nll_loss(input, target, weight, reduction)
    return loss


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """Return `tinygrad_fc.binary_cross_entropy_with_logits` of logits with targets of their shape."""
    loss: Tensor = _fused.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)
    return loss


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Return `tinygrad_fc.mse_loss` of predictions with targets of their shape."""
    loss: Tensor = _fused.mse_loss(input, target, reduction)
    return loss


def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Return `tinygrad_fc.l1_loss` of predictions with targets of their shape."""
    loss: Tensor = _fused.l1_loss(input, target, reduction)
    return loss


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Return `tinygrad_fc.huber_loss` of predictions with targets of their shape."""
    loss: Tensor = _fused.huber_loss(input, target, delta, reduction)
    return loss


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """Return ``huber_loss(input, target, reduction, beta) / beta``; with a beta of 0 that is `l1_loss`.

    Girshick, Fast R-CNN (2015), equation 3, where beta is 1.
    """
    if (beta := finite("smooth_l1_loss: beta", beta)) == 0.0:
        return l1_loss(input, target, reduction)
    return huber_loss(input, target, reduction, beta) / beta


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """Return `tinygrad_fc.kl_div` of log-probabilities with targets of their shape."""
    loss: Tensor = _fused.kl_div(input, target, log_target, reduction)
    return loss

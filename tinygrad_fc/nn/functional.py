"""The layers' functions without their state."""

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

__all__ = [
    "affine", "affine_relu", "batch_norm", "batch_norm_inference", "dropout", "l2_penalty", "layer_norm", "relu",
    "softmax_loss", "svm_loss",
]  # fmt: skip

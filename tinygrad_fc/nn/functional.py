"""The layers' functions without their state."""

from ..fused import affine, affine_relu, l2_penalty, relu, softmax_loss, svm_loss

__all__ = ["affine", "affine_relu", "l2_penalty", "relu", "softmax_loss", "svm_loss"]

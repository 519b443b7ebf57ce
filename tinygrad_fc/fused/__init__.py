"""Fused operations: a kernel, hand-written rules, and the same function composed from primitives."""

from .activation import relu
from .affine import affine, affine_relu
from .l2_penalty import l2_penalty
from .softmax_loss import softmax_loss
from .svm_loss import svm_loss

__all__ = ["affine", "affine_relu", "l2_penalty", "relu", "softmax_loss", "svm_loss"]

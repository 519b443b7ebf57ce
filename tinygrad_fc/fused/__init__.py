"""Fused operations: a kernel, hand-written rules, and the same function composed from primitives."""

from .activation import elu, hardtanh, leaky_relu, relu, selu
from .affine import affine, affine_relu
from .batch_norm import batch_norm, batch_norm_inference
from .dropout import dropout
from .l2_penalty import l2_penalty
from .layer_norm import layer_norm
from .maxout import maxout
from .smooth_activation import gelu, log_sigmoid, silu, softplus
from .softmax import log_softmax, softmax
from .softmax_loss import softmax_loss
from .svm_loss import svm_loss

__all__ = [
    "affine", "affine_relu", "batch_norm", "batch_norm_inference", "dropout", "l2_penalty", "layer_norm", "relu",
    "softmax_loss", "svm_loss",
    "elu", "gelu", "hardtanh", "leaky_relu", "log_sigmoid", "log_softmax", "maxout", "selu", "silu", "softmax",
    "softplus",
]  # fmt: skip

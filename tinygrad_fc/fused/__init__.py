"""Fused operations: a kernel, hand-written rules, and the same function composed from primitives."""

from .activation import elu, hardtanh, leaky_relu, relu, selu
from .affine import affine, affine_relu
from .batch_norm import batch_norm, batch_norm_inference
from .binary_cross_entropy import binary_cross_entropy_with_logits
from .cross_entropy import cross_entropy
from .dropout import dropout
from .l2_penalty import l2_penalty
from .layer_norm import layer_norm
from .likelihood import kl_div, nll_loss
from .maxout import maxout
from .regression_loss import huber_loss, l1_loss, mse_loss
from .smooth_activation import gelu, log_sigmoid, silu, softplus
from .softmax import log_softmax, softmax
from .softmax_loss import softmax_loss
from .svm_loss import svm_loss

__all__ = [
    "affine", "affine_relu", "batch_norm", "batch_norm_inference", "dropout", "l2_penalty", "layer_norm", "relu",
    "softmax_loss", "svm_loss",
    "elu", "gelu", "hardtanh", "leaky_relu", "log_sigmoid", "log_softmax", "maxout", "selu", "silu", "softmax",
    "softplus",
    "binary_cross_entropy_with_logits", "cross_entropy", "huber_loss", "kl_div", "l1_loss", "mse_loss", "nll_loss",
]  # fmt: skip

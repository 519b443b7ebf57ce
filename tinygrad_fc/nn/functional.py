"""The layers' functions without their state, with PyTorch's names and arguments, and the fused operations as they are.

Each function says where it differs from the operation of the same name in `tinygrad_fc`; the operations' own pages have
formulas, gradients at kinks, and sources.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from .. import fused as _fused
from ..engine.node import observer
from ..engine.tensor import Tensor, constant
from ..fused import affine, affine_relu, batch_norm_inference, l2_penalty, softmax_loss, svm_loss
from ..fused.arguments import finite, fraction
from ..ops import elementwise as _elementwise
from .init import Seed, generator
from .inputs import flag

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "affine", "affine_relu", "batch_norm", "batch_norm_inference", "dropout", "l2_penalty", "layer_norm", "relu",
    "softmax_loss", "svm_loss",
    "elu", "gelu", "hardtanh", "leaky_relu", "linear", "log_softmax", "logsigmoid", "maxout", "selu", "sigmoid", "silu",
    "softmax", "softplus", "tanh",
    "binary_cross_entropy_with_logits", "cross_entropy", "huber_loss", "kl_div", "l1_loss", "mse_loss", "nll_loss",
    "smooth_l1_loss",
]  # fmt: skip

P = ParamSpec("P")


# ---- activations


def relu(input: Any) -> Tensor:
    """Return ``max(input, 0)``."""
    return _fused.relu(input)


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Tensor:
    """Return `input` where it is positive, else ``negative_slope * input``."""
    return _fused.leaky_relu(input, negative_slope)


def elu(input: Any, alpha: float = 1.0) -> Tensor:
    """Return `input` where it is positive, else ``alpha * (exp(input) - 1)``."""
    return _fused.elu(input, alpha)


def selu(input: Any) -> Tensor:
    """Return the self-normalizing exponential unit of `input`."""
    return _fused.selu(input)


def gelu(input: Any, approximate: str = "none") -> Tensor:
    """Return `input` times its normal distribution function; "none" needs SciPy, "tanh" does not."""
    return _fused.gelu(input, approximate)


def silu(input: Any) -> Tensor:
    """Return ``input * sigmoid(input)``."""
    return _fused.silu(input)


def softplus(input: Any, beta: float = 1.0) -> Tensor:
    """Return ``log(1 + exp(beta * input)) / beta``."""
    return _fused.softplus(input, beta)


def sigmoid(input: Any) -> Tensor:
    """Return ``1 / (1 + exp(-input))``."""
    return _elementwise.sigmoid(input)


def logsigmoid(input: Any) -> Tensor:
    """Return the logarithm of the sigmoid: `tinygrad_fc.log_sigmoid`."""
    return _fused.log_sigmoid(input)


def tanh(input: Any) -> Tensor:
    """Return the hyperbolic tangent."""
    return _elementwise.tanh(input)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Return ``min(max(input, min_val), max_val)``, with gradient 0 at the bounds."""
    return _fused.hardtanh(input, min_val, max_val)


def softmax(input: Any, dim: int | tuple[int, ...] | None = -1, *, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Return ``exp(input) / sum(exp(input))`` over the axis `dim`, computed in `dtype` where one is given.

    Without `dim` it is over the last axis, and with None over all elements; PyTorch wants the axis named, and its None
    stands for an axis that depends on the shape.
    """
    return _fused.softmax(_as(input, dtype), dim)


def log_softmax(input: Any, dim: int | tuple[int, ...] | None = -1, *, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Return the logarithm of `softmax`, with the same `dim` and `dtype`."""
    return _fused.log_softmax(_as(input, dtype), dim)


def _as(value: Any, dtype: npt.DTypeLike | None) -> Any:
    return value if dtype is None else _elementwise.astype(value, dtype)


def maxout(input: Any, pieces: int) -> Tensor:
    """Return the largest of each run of `pieces` neighbouring features. PyTorch has none."""
    return _fused.maxout(input, pieces)


# ---- layers


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else constant(np.asarray(value))


def _default(value: Any, fill: float, shape: tuple[int, ...], like: Any) -> Tensor:
    """Return `value` as a tensor, or where it is None an array of `fill` in the precision of `like`."""
    if value is not None:
        return _tensor(value)
    return constant(np.full(shape, fill, like.dtype if like.dtype.kind == "f" else np.float64))


def linear(input: Any, weight: Any, bias: Any = None) -> Tensor:
    """Return ``input @ weight.T + bias``, along the last axis.

    Parameters
    ----------
    input : Tensor or array, shape (..., in_features)
    weight : Tensor or array, shape (out_features, in_features)
        PyTorch's layout, the transpose of `affine`'s and of ``nn.Linear``'s here.
    bias : Tensor or array, shape (out_features,), optional

    Returns
    -------
    Tensor, shape (..., out_features)

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    x, w = _tensor(input), _tensor(weight)
    b = None if bias is None else _tensor(bias)
    if x.ndim < 1 or w.ndim != 2 or x.shape[-1] != w.shape[1] or (b is not None and b.shape != w.shape[:1]):
        raise ValueError(
            f"linear: given input {x.shape}, weight {w.shape} and bias {None if b is None else b.shape}, expected "
            f"(..., in), (out, in) and (out,). A weight (in, out) goes to affine(input, weight, bias)."
        )
    if b is None:
        return x @ w.T
    rows = x if x.ndim == 2 else x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))
    out: Tensor = affine(rows, w.T, b)
    return out if x.ndim == 2 else out.reshape((*x.shape[:-1], w.shape[0]))


def dropout(input: Any, p: float = 0.5, training: bool = True, *, seed: Seed = None) -> Tensor:
    """Return `input` with each element dropped with probability `p`, and the others divided by ``1 - p``.

    Parameters
    ----------
    input : Tensor or array
    p : float
        Probability to drop, in [0, 1] (``nn.Dropout`` here is given the probability to keep); 1 gives zeros.
    training : bool
        False returns `input`.
    seed : int, numpy.random.Generator or None
        Of the mask. An integer gives the same mask at every call: pass a generator to draw anew.

    Raises
    ------
    ValueError
        If `p` is out of range.
    TypeError
        If `p` is no number or `seed` no seed.
    """
    p = fraction("dropout: p", p)
    draw = generator(seed)
    x = _tensor(input)
    if not flag("dropout: training", training) or p == 0:
        return x
    if p == 1:
        return _fused.dropout(x, np.zeros(x.shape, bool), 1.0)
    return _fused.dropout(x, draw.random(x.shape) >= p, 1.0 - p)


def layer_norm(
    input: Any, normalized_shape: int | tuple[int, ...], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Return `input` normalized over its last axes, ``(x - mean) / sqrt(variance + eps) * weight + bias``.

    Parameters
    ----------
    input : Tensor or array, shape (..., d1, ..., dk)
    normalized_shape : int or tuple of int, (d1, ..., dk)
        Lengths of the axes that are normalized over, the last ones.
    weight, bias : Tensor or array, shape `normalized_shape`, optional
        Scale and shift; 1 and 0 where there is none.
    eps : float
        Added to the variance, at least 0.

    Returns
    -------
    Tensor
        Of input's shape.

    Raises
    ------
    ValueError
        If the shapes do not fit, or `normalized_shape` has no elements. An empty batch has an empty result.
    """
    x = _tensor(input)
    inner = (normalized_shape,) if isinstance(normalized_shape, (int, np.integer)) else tuple(normalized_shape)
    weight, bias = _default(weight, 1.0, inner, x), _default(bias, 0.0, inner, x)
    lead = x.ndim - len(inner)
    if not inner or lead < 0 or x.shape[lead:] != inner or weight.shape != inner or bias.shape != inner:
        raise ValueError(
            f"layer_norm: given input {x.shape}, normalized_shape {inner}, weight {weight.shape} and bias "
            f"{bias.shape}, expected the last axes of input as normalized_shape, and weight and bias of that shape."
        )
    flat = math.prod(inner)
    rows = x.reshape((math.prod(x.shape[:lead]), flat))
    out: Tensor = _fused.layer_norm(rows, weight.reshape((flat,)), bias.reshape((flat,)), eps)
    return out.reshape(x.shape)


def batch_norm(
    input: Any, running_mean: np.ndarray | None, running_var: np.ndarray | None, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Return `input` normalized feature by feature, by the statistics of the batch or by running ones.

    Parameters
    ----------
    input : Tensor or array, shape (N, C)
    running_mean, running_var : ndarray, shape (C,), or None
        In training mode they are moved towards those of the batch, in place, the variance to that divided by N - 1;
        in evaluation mode they are what is normalized by, and have to be there.
    weight, bias : Tensor or array, shape (C,), optional
        Scale and shift; 1 and 0 where there is none.
    training : bool
        Whether to take the statistics of the batch.
    momentum : float
        Share of the batch in the running statistics, in [0, 1] (``nn.BatchNorm1d`` here is given the share that stays).
    eps : float
        Added to the variance, at least 0.

    Returns
    -------
    Tensor, shape (N, C)

    Raises
    ------
    ValueError
        If the shapes do not fit, a running statistic is missing or read-only, or the batch has less than 2 examples in
        training. In evaluation mode an empty batch has an empty result.
    TypeError
        If a running statistic is no array of floats.
    """
    share, training = fraction("batch_norm: momentum", momentum), flag("batch_norm: training", training)
    x = _tensor(input)
    if x.ndim != 2:
        raise ValueError(f"batch_norm: input has shape {x.shape}, expected (N, C).")
    shape = x.shape[1:]
    for name, running in (("running_mean", running_mean), ("running_var", running_var)):
        if running is None and training:
            continue
        if running is None:
            raise ValueError(f"batch_norm: {name} is None, which takes training=True: give an array of shape {shape}.")
        if not isinstance(running, np.ndarray) or running.dtype.kind != "f":
            given = running.dtype if isinstance(running, np.ndarray) else type(running).__name__
            raise TypeError(f"batch_norm: {name}: given {given}, expected a NumPy array of floats.")
        if training and not running.flags.writeable:
            raise ValueError(f"batch_norm: {name} is read-only, and training=True moves it: give a copy.")
        if running.shape != shape:
            raise ValueError(f"batch_norm: {name} has shape {running.shape}, expected {shape}.")
    weight, bias = _default(weight, 1.0, shape, x), _default(bias, 0.0, shape, x)
    if not training:
        return _fused.batch_norm_inference(x, weight, bias, running_mean, running_var, eps)
    out, mean, variance = _fused.batch_norm(x, weight, bias, eps)
    unbiased = variance * (len(x) / (len(x) - 1))
    note = getattr(observer(), "averaged", None)
    for running, batch in ((running_mean, mean), (running_var, unbiased)):
        if running is not None:
            if note is not None:
                note(running, np.array(batch), 1.0 - share)  # a copy: a replay moves a layer's averages otherwise
            running *= 1.0 - share
            running += share * batch
    return out


# ---- losses: those of `tinygrad_fc` whose arguments PyTorch has in another order


def _pytorch_names(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Let the errors of a loss call its arguments `input` and `target`, as its signature does."""

    @functools.wraps(function)
    def loss(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        try:
            return function(*args, **kwargs)
        except (TypeError, ValueError) as error:
            if len(error.args) == 1 and isinstance(error.args[0], str):
                error.args = (re.sub(r"\bx\b", "input", re.sub(r"\by\b", "target", error.args[0])),)
            raise

    return loss


@_pytorch_names
def cross_entropy(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", label_smoothing: float = 0.0, *,
    ignore_index: int = -100,
) -> Tensor:  # fmt: skip
    """Return `tinygrad_fc.cross_entropy` of logits (N, C) with labels (N,) or probabilities (N, C)."""
    loss: Tensor = _fused.cross_entropy(input, target, weight, label_smoothing, reduction, ignore_index)
    return loss


@_pytorch_names
def nll_loss(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", *, ignore_index: int = -100
) -> Tensor:  # fmt: skip
    """Return `tinygrad_fc.nll_loss` of log-probabilities (N, C) with labels (N,)."""
    loss: Tensor = _fused.nll_loss(input, target, weight, reduction, ignore_index)
    return loss


@_pytorch_names
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """Return `tinygrad_fc.binary_cross_entropy_with_logits` of logits with targets of their shape."""
    loss: Tensor = _fused.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)
    return loss


@_pytorch_names
def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Return `tinygrad_fc.mse_loss` of predictions with targets of their shape."""
    loss: Tensor = _fused.mse_loss(input, target, reduction)
    return loss


@_pytorch_names
def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Return `tinygrad_fc.l1_loss` of predictions with targets of their shape."""
    loss: Tensor = _fused.l1_loss(input, target, reduction)
    return loss


@_pytorch_names
def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Return `tinygrad_fc.huber_loss` of predictions with targets of their shape."""
    loss: Tensor = _fused.huber_loss(input, target, delta, reduction)
    return loss


@_pytorch_names
def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """Return ``huber_loss(input, target, reduction, beta) / beta``; with a beta of 0 that is `l1_loss`.

    Girshick, Fast R-CNN (2015), equation 3, where beta is 1.
    """
    if (beta := finite("smooth_l1_loss: beta", beta)) == 0.0:
        return l1_loss(input, target, reduction)
    return huber_loss(input, target, reduction, beta) / beta


@_pytorch_names
def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """Return `tinygrad_fc.kl_div` of log-probabilities with targets of their shape."""
    loss: Tensor = _fused.kl_div(input, target, log_target, reduction)
    return loss

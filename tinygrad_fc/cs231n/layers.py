"""The layers of the course CS231n: arrays in, arrays and a cache out; backward asks the engine.

Each ``*_forward`` records one operation of this library on tensors and returns ``(out, cache)``; its ``*_backward``
asks the engine for the gradients of what was recorded, and returns them in the order of the forward function's
arguments, each with the shape of its argument. A cache may go backward as often as you like.

Arrays are not copied, as in the course: write into an argument only after its backward pass. ``out`` is yours to
change. Integers count as float64.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import fused
from ..engine.tensor import Tensor
from ..fused.dropout import check_keep_ratio
from ..ops.elementwise import positive
from .tape import Cache, loss_of, mode_of, normalize_batch, normalize_layer, pull_back, pull_back_composed, record

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "affine_backward", "affine_forward", "batchnorm_backward", "batchnorm_backward_alt", "batchnorm_forward",
    "dropout_backward", "dropout_forward", "layernorm_backward", "layernorm_forward", "relu_backward", "relu_forward",
    "softmax_loss", "svm_loss",
]  # fmt: skip


def affine_forward(x: npt.ArrayLike, w: npt.ArrayLike, b: npt.ArrayLike) -> tuple[np.ndarray, Cache]:
    """Compute a fully-connected layer, ``x @ w + b``; see `tinygrad_fc.affine`.

    Parameters
    ----------
    x : array, shape (N, d1, ..., dk)
        A batch; each example is flattened to D = d1 * ... * dk features.
    w : array, shape (D, M)
        Weights.
    b : array, shape (M,)
        Biases.

    Returns
    -------
    out : ndarray, shape (N, M)
    cache : Cache
        For `affine_backward`.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    TypeError
        If an argument holds no real numbers.
    """
    return record("affine", fused.affine, x=x, w=w, b=b)


def affine_backward(dout: npt.ArrayLike, cache: Cache) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradients of a fully-connected layer.

    Parameters
    ----------
    dout : array, shape (N, M)
        The gradient of the loss with respect to the layer's result.
    cache : Cache
        From `affine_forward`.

    Returns
    -------
    dx, dw, db : ndarray
        Of the shapes of x, w and b.

    Raises
    ------
    ValueError
        If `dout` has another shape than the result, or `cache` is another layer's.
    TypeError
        If `cache` is no cache.
    """
    dx, dw, db = pull_back("affine", dout, cache)
    return dx, dw, db


def relu_forward(x: npt.ArrayLike) -> tuple[np.ndarray, Cache]:
    """Compute the rectifier, ``max(x, 0)`` elementwise; see `tinygrad_fc.relu`.

    Parameters
    ----------
    x : array
        Of any shape.

    Returns
    -------
    out : ndarray
        Of the same shape.
    cache : Cache
        For `relu_backward`.

    Raises
    ------
    TypeError
        If `x` holds no real numbers.
    """
    return record("relu", fused.relu, x=x)


def relu_backward(dout: npt.ArrayLike, cache: Cache) -> np.ndarray:
    """Return the gradient of the rectifier; it is 0 at 0.

    Parameters
    ----------
    dout : array
        The gradient of the loss with respect to the result, of its shape.
    cache : Cache
        From `relu_forward`.

    Returns
    -------
    ndarray
        dx, of x's shape.

    Raises
    ------
    ValueError, TypeError
        As `affine_backward` does.
    """
    (dx,) = pull_back("relu", dout, cache)
    return dx


def svm_loss(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[float, np.ndarray]:
    """Compute the multiclass hinge loss with margin 1, and its gradient; see `tinygrad_fc.svm_loss`.

    Parameters
    ----------
    x : array, shape (N, C)
        Scores.
    y : array of integers, shape (N,)
        Labels, in 0..C-1.

    Returns
    -------
    loss : float
        The mean over the batch.
    dx : ndarray, shape (N, C)
        Its gradient with respect to the scores.

    Raises
    ------
    ValueError
        If the shapes do not fit, a label is out of range, or the batch is empty.
    TypeError
        If the labels are no integers.
    """
    return loss_of(fused.svm_loss, x, y)


def softmax_loss(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[float, np.ndarray]:
    """Compute the mean cross-entropy of the softmax of scores, and its gradient; see `tinygrad_fc.softmax_loss`.

    Parameters
    ----------
    x : array, shape (N, C)
        Scores.
    y : array of integers, shape (N,)
        Labels, in 0..C-1.

    Returns
    -------
    loss : float
        The mean over the batch.
    dx : ndarray, shape (N, C)
        Its gradient with respect to the scores.

    Raises
    ------
    ValueError
        If the shapes do not fit, a label is out of range, or the batch is empty.
    TypeError
        If the labels are no integers.
    """
    return loss_of(fused.softmax_loss, x, y)


def batchnorm_forward(
    x: npt.ArrayLike, gamma: npt.ArrayLike, beta: npt.ArrayLike, bn_param: MutableMapping[str, Any]
) -> tuple[np.ndarray, Cache]:
    """Normalize each feature over the batch; see `tinygrad_fc.batch_norm`.

    In mode ``"train"`` the statistics are the batch's (its variance divided by N), and they move the running ones:
    ``running = momentum * running + (1 - momentum) * batch's``. In mode ``"test"`` the running ones are used.

    Parameters
    ----------
    x : array, shape (N, D)
        A batch; of at least 2 examples in training.
    gamma, beta : array, shape (D,)
        Scale and shift.
    bn_param : dict
        ``mode``: ``"train"`` or ``"test"``; ``eps`` (1e-5), added to the variance; ``momentum`` (0.9);
        ``running_mean`` and ``running_var`` (zeros), shape (D,). The running statistics are put back into it.

    Returns
    -------
    out : ndarray, shape (N, D)
    cache : Cache
        For `batchnorm_backward` and `batchnorm_backward_alt`.

    Raises
    ------
    ValueError
        For an unknown mode, a number out of range, or shapes that do not fit; `bn_param` is as it was then.
    TypeError
        If an argument holds no real numbers.
    """

    def layer(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return normalize_batch(x, gamma, beta, bn_param)

    return record("batchnorm", layer, x=x, gamma=gamma, beta=beta)


def batchnorm_backward(dout: npt.ArrayLike, cache: Cache) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradients of batch normalization, by the rules of the fused operation.

    Parameters
    ----------
    dout : array, shape (N, D)
        The gradient of the loss with respect to the result.
    cache : Cache
        From `batchnorm_forward`, in either mode.

    Returns
    -------
    dx, dgamma, dbeta : ndarray
        Of the shapes of x, gamma and beta.

    Raises
    ------
    ValueError, TypeError
        As `affine_backward` does.
    """
    dx, dgamma, dbeta = pull_back("batchnorm", dout, cache)
    return dx, dgamma, dbeta


def batchnorm_backward_alt(dout: npt.ArrayLike, cache: Cache) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradients of batch normalization, the other way: node by node through means, roots and products.

    The course derives them on the graph first and then simplifies on paper. Here the simplified rules are those of
    `batchnorm_backward`, and this is the graph: the same operation composed from primitives.

    Parameters
    ----------
    dout : array, shape (N, D)
        The gradient of the loss with respect to the result.
    cache : Cache
        From `batchnorm_forward`, in either mode.

    Returns
    -------
    dx, dgamma, dbeta : ndarray
        Of the shapes of x, gamma and beta.

    Raises
    ------
    ValueError, TypeError
        As `affine_backward` does.
    """
    dx, dgamma, dbeta = pull_back_composed("batchnorm", dout, cache)
    return dx, dgamma, dbeta


def layernorm_forward(
    x: npt.ArrayLike, gamma: npt.ArrayLike, beta: npt.ArrayLike, ln_param: Mapping[str, Any]
) -> tuple[np.ndarray, Cache]:
    """Normalize each example over its features; see `tinygrad_fc.layer_norm`.

    Parameters
    ----------
    x : array, shape (N, D)
        A batch.
    gamma, beta : array, shape (D,)
        Scale and shift.
    ln_param : dict
        ``eps`` (1e-5), added to the variance. Training and testing are the same.

    Returns
    -------
    out : ndarray, shape (N, D)
    cache : Cache
        For `layernorm_backward`.

    Raises
    ------
    ValueError
        If the shapes do not fit, or `eps` is negative or not finite.
    TypeError
        If an argument holds no real numbers.
    """

    def layer(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return normalize_layer(x, gamma, beta, ln_param)

    return record("layernorm", layer, x=x, gamma=gamma, beta=beta)


def layernorm_backward(dout: npt.ArrayLike, cache: Cache) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradients of layer normalization.

    Parameters
    ----------
    dout : array, shape (N, D)
        The gradient of the loss with respect to the result.
    cache : Cache
        From `layernorm_forward`.

    Returns
    -------
    dx, dgamma, dbeta : ndarray
        Of the shapes of x, gamma and beta.

    Raises
    ------
    ValueError, TypeError
        As `affine_backward` does.
    """
    dx, dgamma, dbeta = pull_back("layernorm", dout, cache)
    return dx, dgamma, dbeta


def dropout_forward(x: npt.ArrayLike, dropout_param: Mapping[str, Any]) -> tuple[np.ndarray, Cache]:
    """Drop units at random and scale the others up (inverted dropout); see `tinygrad_fc.dropout`.

    Parameters
    ----------
    x : array
        Of any shape.
    dropout_param : dict
        ``p``: the probability, in (0, 1], that a unit stays; ``mode``: in ``"train"`` the mask is drawn from NumPy's
        global generator, in ``"test"`` nothing is dropped; ``seed``, optional: the global generator is seeded with it
        at each call, in either mode, so that calls repeat each other.

    Returns
    -------
    out : ndarray
        Of the same shape.
    cache : Cache
        For `dropout_backward`.

    Raises
    ------
    ValueError
        For an unknown mode, or `p` out of range.
    TypeError
        If `x` holds no real numbers, or `p` is missing or no number.
    """
    mode = mode_of("dropout_param", dropout_param)
    keep_ratio = check_keep_ratio("dropout_param: p", dropout_param.get("p"))
    if dropout_param.get("seed") is not None:
        np.random.seed(dropout_param["seed"])  # noqa: NPY002  # the course draws from the global generator

    def layer(x: Tensor) -> Tensor:
        if mode == "test":
            return positive(x)
        return fused.dropout(x, np.random.random(x.shape) < keep_ratio, keep_ratio)  # noqa: NPY002  # as above

    return record("dropout", layer, x=x)


def dropout_backward(dout: npt.ArrayLike, cache: Cache) -> np.ndarray:
    """Return the gradient of dropout, through the mask that was drawn.

    Parameters
    ----------
    dout : array
        The gradient of the loss with respect to the result, of its shape.
    cache : Cache
        From `dropout_forward`, in either mode.

    Returns
    -------
    ndarray
        dx, of x's shape.

    Raises
    ------
    ValueError, TypeError
        As `affine_backward` does.
    """
    (dx,) = pull_back("dropout", dout, cache)
    return dx

"""The sandwich layers of the course CS231n: an affine layer, with or without normalization, and relu, as one.

As in `layers`: arrays in, ``(out, cache)`` out, and the engine goes backward over what was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import fused
from ..engine.tensor import Tensor
from .tape import Cache, normalize_batch, normalize_layer, pull_back, record

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "affine_bn_relu_backward", "affine_bn_relu_forward", "affine_ln_relu_backward", "affine_ln_relu_forward",
    "affine_relu_backward", "affine_relu_forward",
]  # fmt: skip

Five = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def affine_relu_forward(x: npt.ArrayLike, w: npt.ArrayLike, b: npt.ArrayLike) -> tuple[np.ndarray, Cache]:
    """Compute ``relu(x @ w + b)``; see `tinygrad_fc.affine_relu`.

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
        For `affine_relu_backward`.

    Raises
    ------
    ValueError, TypeError
        As `tinygrad_fc.cs231n.layers.affine_forward` does.
    """
    return record("affine_relu", fused.affine_relu, x=x, w=w, b=b)


def affine_relu_backward(dout: npt.ArrayLike, cache: Cache) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradients of an affine layer with relu.

    Parameters
    ----------
    dout : array, shape (N, M)
        The gradient of the loss with respect to the result.
    cache : Cache
        From `affine_relu_forward`.

    Returns
    -------
    dx, dw, db : ndarray
        Of the shapes of x, w and b.

    Raises
    ------
    ValueError, TypeError
        As `tinygrad_fc.cs231n.layers.affine_backward` does.
    """
    dx, dw, db = pull_back("affine_relu", dout, cache)
    return dx, dw, db


def affine_bn_relu_forward(
    x: npt.ArrayLike, w: npt.ArrayLike, b: npt.ArrayLike, gamma: npt.ArrayLike, beta: npt.ArrayLike,
    bn_param: MutableMapping[str, Any],
) -> tuple[np.ndarray, Cache]:  # fmt: skip
    """Compute ``relu(batchnorm(x @ w + b))``.

    Parameters
    ----------
    x : array, shape (N, d1, ..., dk)
        A batch; each example is flattened to D = d1 * ... * dk features.
    w : array, shape (D, M)
        Weights.
    b, gamma, beta : array, shape (M,)
        Biases of the affine layer; scale and shift of the normalization.
    bn_param : dict
        As `tinygrad_fc.cs231n.layers.batchnorm_forward` takes and changes it.

    Returns
    -------
    out : ndarray, shape (N, M)
    cache : Cache
        For `affine_bn_relu_backward`.

    Raises
    ------
    ValueError, TypeError
        As ``affine_forward`` and ``batchnorm_forward`` do.
    """

    def layer(x: Tensor, w: Tensor, b: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return fused.relu(normalize_batch(fused.affine(x, w, b), gamma, beta, bn_param))

    return record("affine_bn_relu", layer, x=x, w=w, b=b, gamma=gamma, beta=beta)


def affine_bn_relu_backward(dout: npt.ArrayLike, cache: Cache) -> Five:
    """Return the gradients of an affine layer with batch normalization and relu.

    Parameters
    ----------
    dout : array, shape (N, M)
        The gradient of the loss with respect to the result.
    cache : Cache
        From `affine_bn_relu_forward`.

    Returns
    -------
    dx, dw, db, dgamma, dbeta : ndarray
        Of the shapes of the arguments.

    Raises
    ------
    ValueError, TypeError
        As `tinygrad_fc.cs231n.layers.affine_backward` does.
    """
    dx, dw, db, dgamma, dbeta = pull_back("affine_bn_relu", dout, cache)
    return dx, dw, db, dgamma, dbeta


def affine_ln_relu_forward(
    x: npt.ArrayLike, w: npt.ArrayLike, b: npt.ArrayLike, gamma: npt.ArrayLike, beta: npt.ArrayLike,
    ln_param: Mapping[str, Any],
) -> tuple[np.ndarray, Cache]:  # fmt: skip
    """Compute ``relu(layernorm(x @ w + b))``.

    Parameters
    ----------
    x : array, shape (N, d1, ..., dk)
        A batch; each example is flattened to D = d1 * ... * dk features.
    w : array, shape (D, M)
        Weights.
    b, gamma, beta : array, shape (M,)
        Biases of the affine layer; scale and shift of the normalization.
    ln_param : dict
        As `tinygrad_fc.cs231n.layers.layernorm_forward` takes it.

    Returns
    -------
    out : ndarray, shape (N, M)
    cache : Cache
        For `affine_ln_relu_backward`.

    Raises
    ------
    ValueError, TypeError
        As ``affine_forward`` and ``layernorm_forward`` do.
    """

    def layer(x: Tensor, w: Tensor, b: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return fused.relu(normalize_layer(fused.affine(x, w, b), gamma, beta, ln_param))

    return record("affine_ln_relu", layer, x=x, w=w, b=b, gamma=gamma, beta=beta)


def affine_ln_relu_backward(dout: npt.ArrayLike, cache: Cache) -> Five:
    """Return the gradients of an affine layer with layer normalization and relu.

    Parameters
    ----------
    dout : array, shape (N, M)
        The gradient of the loss with respect to the result.
    cache : Cache
        From `affine_ln_relu_forward`.

    Returns
    -------
    dx, dw, db, dgamma, dbeta : ndarray
        Of the shapes of the arguments.

    Raises
    ------
    ValueError, TypeError
        As `tinygrad_fc.cs231n.layers.affine_backward` does.
    """
    dx, dw, db, dgamma, dbeta = pull_back("affine_ln_relu", dout, cache)
    return dx, dw, db, dgamma, dbeta

"""Norms of vectors and matrices, traces and diagonals, as ``np.linalg`` has them.

A norm is not differentiable everywhere. Where it is 0 its gradient is 0; where elements tie for the largest (order inf)
they share it, as in ``max``; an element of 0 takes none, as in ``absolute``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..engine.dispatch import functions
from ..engine.op import op
from ..engine.tensor import Tensor
from .branches import side
from .derived import derived
from .inverses import stacks
from .linalg import as_tensor, transposed
from .samples import calls, reduction, several
from .slopes import independent


def _shape_kept(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    axes = range(len(shape)) if axis is None else normalize_axis_tuple(axis, len(shape))
    return tuple([1 if n in axes else length for n, length in enumerate(shape)])


_add_reduce: Any = np.add.reduce  # Any: NumPy's stubs know `keepdims` as a literal only


def _euclidean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    x = np.abs(x) if np.iscomplexobj(x) else x
    return np.sqrt(_add_reduce(x * x, axis=axis, keepdims=keepdims))


def _euclidean_rule(g: Any, x: Any, out: Any, axis: Any) -> Any:
    """Return the direction x / |x| times g; and 0 at 0, the smallest of the subgradients."""
    shape = _shape_kept(x.shape, axis)
    g, out = g.reshape(shape), out.reshape(shape)
    zero = out == 0
    return np.where(zero, 0.0, g * x / np.where(zero, 1.0, out))


def _euclidean_branch(x: Any, out: Any) -> Any:
    """Return where the norm is 0; and of one element alone, whose norm is its size, the side that it is on."""
    return side(x) if np.size(x) == np.size(out) else np.equal(out, 0)


euclidean = op(_euclidean, name="norm", x=_euclidean_rule, samples=several(reduction(positive=True), calls((0, 3))),
               branch=_euclidean_branch)


# ---- vectors


def _vector(x: Any, order: Any, axis: Any, keepdims: bool) -> Any:
    """Return the norm of the vectors along the axes: (sum of abs(x) ** order) ** (1 / order), and its limits."""
    if order is None or order == 2:
        return euclidean(x, axis, keepdims)
    if isinstance(order, str):
        raise ValueError(f"norm: order {order!r} is one of matrices, expected a number for vectors.")
    size = functions.absolute(x)
    if order == math.inf:
        return functions.max(size, axis=axis, keepdims=keepdims)
    if order == -math.inf:
        return functions.min(size, axis=axis, keepdims=keepdims)
    if order == 0:
        count = np.sum((x != 0).data, axis=axis, keepdims=keepdims, dtype=x.data.real.dtype)
        return independent(np.asarray(count), x)
    if order == 1:
        return functions.sum(size, axis=axis, keepdims=keepdims)
    return _power(size, float(order), axis, keepdims)


def _power(size: Any, order: float, axis: Any, keepdims: bool) -> Any:
    """Return (sum of size ** order) ** (1 / order), without a power of 0 on the way: its derivatives are infinite."""
    zero = size.data == 0
    powers = functions.where(zero, 1.0, size) ** order
    if order > 0:
        total = functions.sum(functions.where(zero, 0.0, powers), axis=axis, keepdims=keepdims)
        none = total.data == 0
    else:  # one element of 0 makes the norm 0, and a NaN beside it makes it NaN
        total = functions.sum(powers, axis=axis, keepdims=keepdims)
        none = np.any(zero, axis=axis, keepdims=keepdims) & ~np.isnan(total.data)
    return functions.where(none, 0.0, functions.where(none, 1.0, total) ** (1.0 / order))


# ---- matrices


def _matrix(x: Any, order: Any, axes: tuple[int, int], keepdims: bool) -> Any:
    """Return the norm of all matrices whose rows and columns are counted along the two axes."""
    shape = _shape_kept(x.shape, axes)
    if order in (None, "fro", "f"):
        return euclidean(x, axes, keepdims)
    x = functions.transpose(x, (*[n for n in range(x.ndim) if n not in axes], *axes))
    if order in ("nuc", 2, -2):
        reduce, values = {"nuc": functions.sum, 2: functions.max, -2: functions.min}[order], functions.svdvals(x)
    elif order in (1, -1, math.inf, -math.inf):
        reduce = functions.max if order > 0 else functions.min
        values = functions.sum(functions.absolute(x), axis=-2 if abs(order) == 1 else -1)
    else:
        raise ValueError(
            f"norm: order {order!r} is none of matrices; expected 'fro', 'nuc', 1, -1, 2, -2, inf or -inf."
        )
    out = reduce(values, axis=-1)
    return functions.reshape(out, shape) if keepdims else out


def floating(x: Any) -> Any:
    """Return `x` as a tensor of floats, as the functions of ``np.linalg`` take integers."""
    x = as_tensor(x)
    return x if x.dtype.kind in "fc" else functions.astype(x, np.float64)


def order_of(order: Any) -> Any:
    """Return the order of a norm as NumPy takes it: the number that a constant tensor holds."""
    if not isinstance(order, Tensor):
        return order
    if order.requires_grad or order.size != 1:
        raise TypeError(
            f"the order is {order._label()}, expected a number or a word: norms have no gradient in their order. Write "
            f"ord=2.0, or t.item() for the number of a tensor of one element."
        )
    return order.item()


def _norms(*orders: Any, shape: tuple[int, ...] = (2, 3), **kwargs: Any) -> Any:
    return several(*[stacks(shape, ord=order, **kwargs) for order in orders])


_ORDERS = ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)


@derived(np.linalg.norm, samples=several(
    _norms(None, *_ORDERS), _norms(*_ORDERS, shape=(2, 3, 2), axis=(1, -1)), _norms(*_ORDERS, keepdims=True),
    *[calls(np.array([0.5, -1.5, 2.5]), order) for order in (None, 0, 1, -1, 2, 3, -2, 0.5, 2.5, math.inf, -math.inf)],
    calls((2, 3), 2, 0), calls((2, 3, 2), 3, -2, True), calls((2, 3, 2)), calls((2, 3, 2), None, None, True),
    calls((2, 2, 3), axis=(0, 2)), calls((2, 3), axis=(1,)),
))  # fmt: skip
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Return a norm of vectors (one axis) or matrices (two axes), as ``np.linalg.norm``; of all elements by default."""
    x, ord = floating(x), order_of(ord)
    if not x.size:  # 0, or an error, as NumPy says
        return independent(np.asarray(np.linalg.norm(x.data, ord, axis, keepdims)), x)
    if axis is None:
        if ord is None:
            return euclidean(x, None, keepdims)
        if x.ndim not in (1, 2):
            raise ValueError(f"norm: order {ord!r} of shape {x.shape}: expected one or two axes; name them, axis=.")
        axis = tuple(range(x.ndim))
    axes = normalize_axis_tuple(axis, x.ndim, "axis")
    if len(axes) == 2:
        return _matrix(x, ord, (axes[0], axes[1]), keepdims)
    if len(axes) != 1:
        raise ValueError(f"norm: axis={axis}, expected one axis (vectors) or two (matrices).")
    return _vector(x, ord, axes[0], keepdims)


@derived(np.linalg.vector_norm, samples=several(
    calls((2, 3)), calls((2, 3), axis=(0, 1), ord=1), calls((2, 3), axis=0, ord=3, keepdims=True),
    calls((2, 3, 2), axis=(0, 2), ord=math.inf), calls((2, 3), keepdims=True, ord=1.5), calls((2, 3), ord=0),
))  # fmt: skip
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """Return the norm of vectors that lie along one axis, several, or all, as ``np.linalg.vector_norm``."""
    x, ord = floating(x), order_of(ord)
    if not x.size:
        return independent(np.asarray(np.linalg.vector_norm(x.data, axis=axis, keepdims=keepdims, ord=ord)), x)
    return _vector(x, ord, axis, keepdims)


@derived(np.linalg.matrix_norm, samples=several(_norms(*_ORDERS), _norms("fro", 2, 1, shape=(2, 2, 3), keepdims=True)))
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """Return the norm of the matrices of the last two axes, as ``np.linalg.matrix_norm``."""
    x = floating(x)
    if x.ndim < 2:
        raise ValueError(f"matrix_norm: given shape {x.shape}, expected matrices (..., m, n).")
    return norm(x, ord, (-2, -1), keepdims)


# ---- diagonals, of the last two axes


@derived(np.linalg.diagonal, name="linalg_diagonal",
         samples=several(calls((2, 3, 3)), calls((2, 4), offset=1), calls((4, 2), offset=-1), calls((2, 3), offset=5)))
def _linalg_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """Return the diagonals of the matrices of the last two axes, as ``np.linalg.diagonal``."""
    x = as_tensor(x)
    if x.ndim < 2:
        raise ValueError(f"linalg.diagonal: given shape {x.shape}, expected matrices (..., m, n).")
    down, right = max(-offset, 0), max(offset, 0)
    steps = np.arange(max(min(x.shape[-2] - down, x.shape[-1] - right), 0))
    return x[..., steps + down, steps + right]


@derived(np.linalg.trace, name="linalg_trace",
         samples=several(calls((2, 3, 3)), calls((3, 4), offset=1)))
def _linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """Return the sums of the diagonals of the matrices of the last two axes, as ``np.linalg.trace``."""
    diagonal = _linalg_diagonal(x, offset=offset)
    return functions.sum(diagonal if dtype is None else functions.astype(diagonal, dtype), axis=-1)


@derived(np.linalg.matrix_transpose, name="linalg_matrix_transpose", samples=calls((2, 3, 4)))
def _linalg_matrix_transpose(x: Any, /) -> Any:
    """Return each matrix of the last two axes transposed, as ``np.linalg.matrix_transpose``."""
    return transposed(as_tensor(x))

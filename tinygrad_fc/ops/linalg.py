"""Products: matmul, and what is written with it: dot, inner, outer, tensordot, cross, kron, ...

``np.linalg`` has functions of its own under some of the names of ``np``, with other arguments: here ``linalg_outer`` is
``np.linalg.outer``, and so on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..engine.dispatch import functions
from ..engine.op import op
from ..engine.tensor import Tensor, constant
from ..kernels import product_kernels
from ..kernels.numpy_ import is_small
from .derived import derived, no_out, numeric
from .samples import calls, several


def as_tensor(value: Any) -> Tensor:
    """Return `value` as a tensor: itself, or a constant of its array."""
    return value if isinstance(value, Tensor) else constant(numeric(value))


def transposed(a: Any) -> Any:
    """Return `a` with its last two axes exchanged: each matrix of a stack transposed."""
    return np.swapaxes(a, -1, -2)


def dense(g: Any) -> Any:
    """Return `g` with real strides. A broadcast array (stride 0) takes the matrix product's slow path."""
    if type(g) is np.ndarray:
        return g.copy() if 0 in g.strides and g.size > 1 else g
    return functions.copy(g) if isinstance(g, Tensor) and 0 in g.data.strides and g.size > 1 else g


def product(a: Any, b: Any) -> Any:
    """Return the product of two matrices: of arrays by the quickest kernel; tensors record ``@``."""
    if type(a) is np.ndarray and type(b) is np.ndarray and a.ndim == b.ndim == 2 and a.shape[1] == len(b):
        return a.dot(b) if is_small(a, b) else product_kernels(a, b).product(a, b)
    return a @ b


def _matmul_x(g: Any, x: Any, y: Any) -> Any:
    if y.ndim == 1:  # (..., n, k) @ (k,) or (k,) @ (k,): the outer product
        return g.reshape((*g.shape, 1)) * y
    if x.ndim == 1:  # (k,) @ (..., k, m): one row for each matrix of y
        g = g.reshape((*g.shape[:-1], 1, g.shape[-1]))
        rows = dense(g) @ np.swapaxes(y, -1, -2)
        return rows.reshape((*rows.shape[:-2], rows.shape[-1]))
    return dense(g) @ np.swapaxes(y, -1, -2)


def _matmul_y(g: Any, x: Any, y: Any) -> Any:
    if x.ndim == 1 and y.ndim == 1:
        return g * x
    if x.ndim == 1:
        return x.reshape((-1, 1)) * g.reshape((*g.shape[:-1], 1, g.shape[-1]))
    if y.ndim == 1:  # sum over everything but k
        columns = np.swapaxes(x, -1, -2) @ dense(g.reshape((*g.shape, 1)))
        return columns.reshape(columns.shape[:-1])
    return np.swapaxes(x, -1, -2) @ dense(g)


matmul = op(
    np.matmul, x=_matmul_x, y=_matmul_y, cure="The inner lengths must agree: (..., n, k) @ (..., k, m).",
    samples=several(
        calls((2, 3), (3, 4)), calls((3,), (3,)), calls((2, 3), (3,)), calls((3,), (3, 2)), calls((5, 2, 3), (3, 4)),
        calls((2, 1, 2, 3), (4, 3, 2)), calls((4, 2, 3), (3,)), calls((3,), (4, 3, 2)), calls((0, 3), (3, 2)),
    ),
)  # fmt: skip


# ---- products written with matmul and multiply


def _conjugated(x: Tensor) -> Tensor:
    return constant(x.data.conj()) if x.dtype.kind == "c" else x


def _dot_of_stacks(a: Any, b: Any) -> Any:
    """Return ``np.dot`` of more than two axes: over the last axis of `a` and the last but one of `b`."""
    return functions.tensordot(a, b, axes=((a.ndim - 1,), (max(b.ndim - 2, 0),)))


@derived(np.dot, samples=several(
    calls((2, 3), (3, 4)), calls((3,), (3,)), calls((2, 3), (3,)), calls((3,), (3, 2)), calls((), (2, 3)),
    calls((3,), ()), calls((2, 2, 3), (4, 3, 2)), calls((2, 2, 3), (3,)), calls((3,), (2, 3, 2)), calls((0,), (0,)),
))  # fmt: skip
def dot(a: Any, b: Any, out: None = None) -> Any:
    """Return ``np.dot`` of tensors or arrays: numbers, vectors, matrices, or over the last and last-but-one axis."""
    no_out("dot", out)
    left, right = (item.ndim if isinstance(item, Tensor) else np.ndim(item) for item in (a, b))
    if not left or not right:
        return functions.multiply(a, b)
    if left <= 2 and right <= 2:
        return matmul(a, b)
    return _dot_of_stacks(as_tensor(a), as_tensor(b))


@derived(np.vdot, samples=several(calls((3,), (3,)), calls((2, 3), (3, 2)), calls((), ())))
def vdot(a: Any, b: Any, /) -> Any:
    """Return the product of two arrays flattened to vectors, as ``np.vdot``."""
    a, b = as_tensor(a).reshape(-1), as_tensor(b).reshape(-1)
    if a.size != b.size:
        raise ValueError(f"vdot: given {a.size} and {b.size} elements, expected as many.")
    return matmul(_conjugated(a), b)


@derived(np.inner, samples=several(calls((3,), (3,)), calls((2, 3), (4, 3)), calls((2, 2, 3), (3,)), calls((), (2,))))
def inner(a: Any, b: Any, /) -> Any:
    """Return the products over the last axes of both, as ``np.inner``; with a number, the plain product."""
    a, b = as_tensor(a), as_tensor(b)
    if a.ndim and b.ndim and a.shape[-1] != b.shape[-1]:
        raise ValueError(f"inner: given shapes {a.shape} and {b.shape}, expected last axes of one length.")
    return tensordot(a, b, axes=((-1,), (-1,))) if a.ndim and b.ndim else functions.multiply(a, b)


@derived(np.outer, samples=several(calls((2,), (3,)), calls((2, 2), (3,)), calls((), (2,))))
def outer(a: Any, b: Any) -> Any:
    """Return all products of an element of `a` with one of `b`, each flattened, as ``np.outer``."""
    return functions.multiply(as_tensor(a).reshape((-1, 1)), as_tensor(b).reshape((1, -1)))


@derived(np.linalg.outer, name="linalg_outer", samples=calls((2,), (3,)))
def _linalg_outer(x1: Any, x2: Any, /) -> Any:
    """Return the outer product of two vectors, as ``np.linalg.outer``."""
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(f"linalg.outer: given shapes {x1.shape} and {x2.shape}, expected vectors; np.outer flattens.")
    return outer(x1, x2)


_TENSORDOT = several(
    calls((2, 3, 4), (3, 4, 2)), calls((2, 3), (4, 2), axes=0), calls((2, 3), (3, 2), axes=1),
    calls((2, 3, 4), (4, 2, 3), axes=((0, 1), (1, -1))), calls((2, 3), (5, 3), axes=(1, 1)), calls((2,), (2,), axes=1),
    calls((2, 0), (0, 3), axes=1),
)  # fmt: skip


@derived(np.tensordot, samples=_TENSORDOT)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Return the sum of products over `axes` (a number of them, or a pair of lists), as ``np.tensordot``."""
    a, b = as_tensor(a), as_tensor(b)
    if isinstance(axes, (int, np.integer)):
        if not 0 <= axes <= min(a.ndim, b.ndim):
            raise ValueError(f"tensordot: axes={axes}, expected 0 to {min(a.ndim, b.ndim)}: both need so many axes. "
                             f"Given a {a.shape}, b {b.shape}.")  # fmt: skip
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    left, right = (tuple(part) if np.iterable(part) else (part,) for part in axes)
    left, right = normalize_axis_tuple(left, a.ndim, "axes"), normalize_axis_tuple(right, b.ndim, "axes")
    if [a.shape[n] for n in left] != [b.shape[n] for n in right]:
        raise ValueError(f"tensordot: the lengths of the axes to sum over must agree. Given a {a.shape} over {left}, "
                         f"b {b.shape} over {right}.")  # fmt: skip
    outside_a = [n for n in range(a.ndim) if n not in left]
    outside_b = [n for n in range(b.ndim) if n not in right]
    n = math.prod([a.shape[k] for k in left])
    shape = (*[a.shape[k] for k in outside_a], *[b.shape[k] for k in outside_b])
    rows = _permuted(a, (*outside_a, *left)).reshape((math.prod([a.shape[k] for k in outside_a]), n))
    columns = _permuted(b, (*right, *outside_b)).reshape((n, math.prod([b.shape[k] for k in outside_b])))
    return matmul(rows, columns).reshape(shape)


def _permuted(a: Any, order: tuple[int, ...]) -> Any:
    return a if order == tuple(range(a.ndim)) else functions.transpose(a, order)


def _vector_last(x: Any, axis: int) -> Any:
    """Return `x` with `axis` moved to the end."""
    axis = normalize_axis_index(axis, x.ndim)
    return _permuted(x, (*[n for n in range(x.ndim) if n != axis], axis))


_VECDOT = several(calls((3,), (3,)), calls((2, 3), (3,)), calls((2, 1, 3), (4, 3)), calls((2, 0), (2, 0)))


@derived(np.vecdot, samples=_VECDOT)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Return the products of the vectors along `axis`, the other axes broadcast, as ``np.vecdot``."""
    x1, x2 = _vector_last(as_tensor(x1), axis), _vector_last(as_tensor(x2), axis)
    if x1.shape[-1] != x2.shape[-1]:
        raise ValueError(f"vecdot: the vectors have {x1.shape[-1]} and {x2.shape[-1]} elements, expected as many.")
    return functions.sum(functions.multiply(_conjugated(x1), x2), axis=-1)


@derived(np.linalg.vecdot, name="linalg_vecdot",
         samples=several(_VECDOT, calls((3, 2), (3, 2), axis=0), calls((3, 2), (3, 1), axis=-2)))  # fmt: skip
def _linalg_vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Return the products of the vectors along `axis`, as ``np.linalg.vecdot``."""
    return vecdot(x1, x2, axis=axis)


def _since(name: str) -> tuple[Callable[..., Any], ...]:
    """Return NumPy's function of that name, where NumPy is new enough to have it."""
    return (getattr(np, name),) if hasattr(np, name) else ()


def _stacked(name: str, x1: Tensor, x2: Tensor, *least: int) -> tuple[Tensor, Tensor]:
    """Check that both have the axes that a matrix or a vector has; more stack them. ``matmul`` takes a vector too."""
    for key, x, n in (("x1", x1, least[0]), ("x2", x2, least[1])):
        if x.ndim < n:
            kind = "matrices (..., n, k)" if n == 2 else "vectors (..., k)"
            raise ValueError(f"{name}: {key} has shape {x.shape}, expected {kind}; np.dot takes either, and numbers.")
    return x1, x2


@derived(*_since("matvec"), samples=several(calls((2, 3), (3,)), calls((4, 2, 3), (3,)), calls((2, 3), (4, 3))))
def matvec(x1: Any, x2: Any, /) -> Any:
    """Return the products of matrices (..., n, k) with vectors (..., k), as ``np.matvec``."""
    x1, x2 = _stacked("matvec", as_tensor(x1), as_tensor(x2), 2, 1)
    return matmul(x1, x2[..., None])[..., 0]


@derived(*_since("vecmat"), samples=several(calls((3,), (3, 2)), calls((4, 3), (3, 2)), calls((3,), (4, 3, 2))))
def vecmat(x1: Any, x2: Any, /) -> Any:
    """Return the products of vectors (..., n) with matrices (..., n, k), as ``np.vecmat``."""
    x1, x2 = _stacked("vecmat", as_tensor(x1), as_tensor(x2), 1, 2)
    return matmul(_conjugated(x1)[..., None, :], x2)[..., 0, :]


@derived(np.linalg.matmul, name="linalg_matmul", samples=several(calls((2, 3), (3, 2)), calls((2, 2, 3), (3,))))
def _linalg_matmul(x1: Any, x2: Any, /) -> Any:
    """Return the matrix product, as ``np.linalg.matmul``."""
    return matmul(x1, x2)


@derived(np.linalg.tensordot, name="linalg_tensordot", samples=_TENSORDOT)
def _linalg_tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """Return the sum of products over `axes`, as ``np.linalg.tensordot``."""
    return tensordot(x1, x2, axes)


@derived(np.cross, samples=several(
    calls((3,), (3,)), calls((2, 3), (3,)), calls((3, 2), (4, 1, 3), axisa=0, axisc=1), calls((3, 2), (3, 2), axis=0),
    calls((2, 3), (3, 2), axisb=0),
))  # fmt: skip
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """Return the cross products of vectors of three elements, as ``np.cross``.

    Of vectors of two the third element counts as 0, and of two such only the third of the result is returned. NumPy
    gives that up some day: then it will raise ValueError here, too.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = _vector_last(as_tensor(a), axisa), _vector_last(as_tensor(b), axisb)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        np.cross(np.zeros(a.shape[-1:]), np.zeros(b.shape[-1:]))  # NumPy's word on it, a warning or an error
        if a.shape[-1] == b.shape[-1]:
            return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
        a, b = [item if item.shape[-1] == 3 else functions.pad(item, [(0, 0)] * (item.ndim - 1) + [(0, 1)])
                for item in (a, b)]  # fmt: skip
    after, before = [1, 2, 0], [2, 0, 1]
    out = a[..., after] * b[..., before] - a[..., before] * b[..., after]
    axisc = normalize_axis_index(axisc, out.ndim)
    order = list(range(out.ndim - 1))
    order.insert(axisc, out.ndim - 1)
    return _permuted(out, tuple(order))


@derived(np.linalg.cross, name="linalg_cross", samples=several(calls((2, 3), (3,)), calls((3, 2), (3, 2), axis=0)))
def _linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Return the cross products of vectors of three elements, as ``np.linalg.cross``."""
    x1, x2 = as_tensor(x1), as_tensor(x2)
    lengths = [x.shape[normalize_axis_index(axis, x.ndim)] for x in (x1, x2)]
    if lengths != [3, 3]:
        raise ValueError(f"linalg.cross: the vectors have {lengths[0]} and {lengths[1]} elements, expected 3.")
    return cross(x1, x2, axis=axis)


@derived(np.kron, samples=several(calls((2,), (3,)), calls((2, 3), (3, 2)), calls((2,), (2, 1, 3)), calls((), (2, 2))))
def kron(a: Any, b: Any) -> Any:
    """Return the Kronecker product: a copy of `b` for each element of `a`, times it, as ``np.kron``."""
    a, b = as_tensor(a), as_tensor(b)
    ndim = max(a.ndim, b.ndim)
    left, right = ((1,) * (ndim - item.ndim) + item.shape for item in (a, b))
    spread = a.reshape([k for n in left for k in (n, 1)]) * b.reshape([k for n in right for k in (1, n)])
    return spread.reshape([n * m for n, m in zip(left, right, strict=True)])

"""Grids, diagonals and triangles: reading them, and arrays made of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.dispatch import functions
from ..engine.op import op
from ..engine.tensor import Tensor
from .derived import derived, no_out, numeric
from .elementwise import copy as copied
from .samples import calls, several
from .shaping import as_tensor, broadcast_arrays, expand_dims, ravel, reshape

# ---- reading and embedding


def _embed_diagonal(g: Any, shape: tuple[int, ...], offset: int, axis1: int, axis2: int) -> Any:
    """Return zeros of `shape` with `g` on the diagonal of two axes: the transpose of ``np.diagonal``."""
    out = np.zeros(shape, np.result_type(g))
    row = np.arange(g.shape[-1])
    np.moveaxis(out, (axis1, axis2), (-2, -1))[..., row + max(-offset, 0), row + max(offset, 0)] = g
    return out


def _diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return np.diagonal(a, offset, axis1, axis2)


def _diagonal_rule(g: Any, a_shape: tuple[int, ...], offset: int, axis1: int, axis2: int) -> Any:
    return (embed_diagonal if isinstance(g, Tensor) else _embed_diagonal)(g, a_shape, offset, axis1, axis2)


embed_diagonal = op(_embed_diagonal, g=lambda g, offset, axis1, axis2: np.diagonal(g, offset, axis1, axis2),
                    samples=several(calls((2,), [2, 3], 0, 0, 1), calls((4, 2), [2, 4, 3], -1, -1, 0),
                                    calls((0,), [2, 2], 5, 0, 1)))
diagonal       = op(_diagonal, numpy=np.diagonal, a=_diagonal_rule,
                    samples=several(calls((2, 3)), calls((3, 2), -1), calls((2, 4, 3), 1, 0, -1), calls((2, 2), 2),
                                    calls((2, 2, 3), axis1=2, axis2=1)))  # fmt: skip


@derived(np.trace, samples=several(
    calls((3, 3)), calls((2, 3), 1), calls((2, 4, 3), -1, 2, 0), calls(np.arange(4, dtype=np.int8).reshape(2, 2)),
))  # fmt: skip
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None) -> Any:
    """Return the sum of the diagonal `offset` above the main one of two axes, summed in `dtype`."""
    no_out("trace", out)
    return functions.sum(diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


# ---- matrices with a diagonal, and triangles


@derived(np.diag, samples=several(calls((3,)), calls((2,), -1), calls((2, 3)), calls((3, 2), 1), calls((2, 2), k=-1)))
def diag(v: Any, k: int = 0) -> Any:
    """Return the diagonal `k` above the main one of a matrix, or the square matrix with that diagonal and zeros."""
    shape = np.shape(v)
    if len(shape) == 2:
        return diagonal(v, k)
    if len(shape) != 1:
        raise ValueError(f"diag: v has shape {shape}, expected a vector or a matrix.")
    n = shape[0] + abs(k)
    return embed_diagonal(v, (n, n), k, 0, 1)


@derived(np.diagflat, samples=several(calls((2, 2)), calls((), 1), calls((3,), -2)))
def diagflat(v: Any, k: int = 0) -> Any:
    """Return the square matrix with the elements of `v` on the diagonal `k` above the main one, and zeros."""
    return diag(ravel(v), k)


def _triangle(name: str, m: Any, k: int, *, lower: bool) -> Any:
    m = as_tensor(m)
    if not m.ndim:
        raise ValueError(f"{name}: m has no axes, expected a vector, a matrix or a stack of them.")
    rows, columns = m.shape[-2:] if m.ndim > 1 else m.shape * 2
    below, nothing = np.tri(rows, columns, k if lower else k - 1, dtype=bool), np.zeros(1, m.dtype)
    return functions.where(below, m, nothing) if lower else functions.where(below, nothing, m)


@derived(np.tril, samples=several(calls((3, 3)), calls((2, 2, 3), 1), calls((3, 2), k=-1), calls((2,))))
def tril(m: Any, k: int = 0) -> Any:
    """Return the lower triangle: zeros above the diagonal `k` above the main one."""
    return _triangle("tril", m, k, lower=True)


@derived(np.triu, samples=several(calls((3, 3)), calls((2, 2, 3), 1), calls((3, 2), k=-1), calls((2,))))
def triu(m: Any, k: int = 0) -> Any:
    """Return the upper triangle: zeros below the diagonal `k` above the main one."""
    return _triangle("triu", m, k, lower=False)


# ---- grids


@derived(np.meshgrid, samples=several(
    calls((2,), (3,)), calls((2,), (3,), (1,), indexing="ij"), calls((2,), (3,), sparse=True), calls((2,), ()),
    calls((2,)), calls((2,), (3,), (2,), copy=False),
))  # fmt: skip
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """Return a tuple of the coordinates on the grid of some vectors; `indexing` "xy" puts the second vector first."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing is {indexing!r}, expected 'xy' or 'ij'.")
    places = list(range(len(xi)))
    if indexing == "xy":
        places[:2] = places[:2][::-1]
    grids = tuple([reshape(x, (1,) * n + (-1,) + (1,) * (len(xi) - n - 1)) for x, n in zip(xi, places, strict=True)])
    if not sparse:
        grids = broadcast_arrays(*grids)
    return tuple([copied(grid) for grid in grids]) if copy else grids


def spaced(start: Any, stop: Any, num: int, endpoint: bool) -> tuple[Any, Any]:
    """Return what `linspace` does where an end is a tensor, its rows first, and the step between them.

    As in NumPy each row is `start` and so many steps, and the last is `stop` itself, whatever `start` is.
    """
    if not isinstance(num, (int, np.integer)) or num < 0:
        kind_of_error = ValueError if isinstance(num, (int, np.integer)) else TypeError
        raise kind_of_error(f"num is {num!r}, expected how many numbers there shall be: 0, 1, 2, ...")
    given = (start, stop)
    ends: list[Any] = [item if isinstance(item, (Tensor, bool, int, float)) else numeric(item) for item in given]
    kind = np.result_type(*[getattr(item, "dtype", item) for item in ends], 0.0)  # Python numbers widen no float
    ends = [item if isinstance(item, Tensor) else as_tensor(np.asarray(item, kind)) for item in ends]
    start, stop = broadcast_arrays(*[item if item.dtype == kind else functions.astype(item, kind) for item in ends])
    pieces = num - 1 if endpoint else num
    change = stop - start
    step = change / float(pieces) if pieces > 0 else change * math.nan
    last = endpoint and num > 1
    places = np.arange(num - last, dtype=start.dtype).reshape((-1,) + (1,) * start.ndim)
    if pieces <= 0:
        rows = change * places
    elif (step.data == 0).any():  # a change so small that a part of it is 0
        rows = change * (places / np.asarray(pieces, places.dtype))
    else:
        rows = step * places
    rows = rows + start
    return (functions.concatenate([rows, expand_dims(stop, 0)]) if last else rows), step

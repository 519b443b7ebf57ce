"""Reductions: sums, means, extremes, products and logsumexp, over any axes; and the index of an extreme (no gradient).

Ties: ``max`` and ``min`` share the gradient equally among all that attain the extreme. ``std`` has gradient 0 where it
is 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.dispatch import REDUCTIONS
from ..engine.op import op
from .samples import calls, reduction, several

Axis = Any


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Return `axis` as a tuple of non-negative integers."""
    if axis is None:
        return tuple(range(ndim))
    return tuple([int(n) % ndim if ndim else int(n) for n in (axis if isinstance(axis, (tuple, list)) else (axis,))])


def kept(value: Any, shape: tuple[int, ...], axis: Axis) -> Any:
    """Return a reduced `value` with the reduced axes put back, of length 1."""
    axes = axes_of(axis, len(shape))
    return value.reshape(tuple([1 if n in axes else length for n, length in enumerate(shape)]))


def count(shape: tuple[int, ...], axis: Axis) -> int:
    """Return how many elements each result is reduced from."""
    return math.prod([shape[n] for n in axes_of(axis, len(shape))])


# ---- kernels, with NumPy's names and defaults. `np.add.reduce` takes less than half the time of `np.sum`.
# (Any: NumPy's stubs know `keepdims` as a literal only.)

_add_reduce: Any = np.add.reduce
_multiply_reduce: Any = np.multiply.reduce
_maximum_reduce: Any = np.maximum.reduce
_minimum_reduce: Any = np.minimum.reduce


def _sum(a: Any, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None) -> Any:
    return _add_reduce(a, axis=axis, keepdims=keepdims, dtype=dtype)


def _mean(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    # NumPy's own function sums half precision in float32, and warns of empty slices.
    if np.result_type(a) == np.float16 or not np.size(a):
        return np.mean(a, axis=axis, keepdims=keepdims)
    return _add_reduce(a, axis=axis, keepdims=keepdims) / count(np.shape(a), axis)


def _prod(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    return _multiply_reduce(a, axis=axis, keepdims=keepdims)


def _max(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    return _maximum_reduce(a, axis=axis, keepdims=keepdims)


def _min(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    return _minimum_reduce(a, axis=axis, keepdims=keepdims)


def _var(a: Any, axis: Axis = None, *, ddof: int = 0, keepdims: bool = False) -> Any:
    return np.var(a, axis=axis, ddof=ddof, keepdims=keepdims)


def _std(a: Any, axis: Axis = None, *, ddof: int = 0, keepdims: bool = False) -> Any:
    return np.std(a, axis=axis, ddof=ddof, keepdims=keepdims)


def _logsumexp(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Return log(sum(exp(a))), shifted by the largest element so that nothing overflows."""
    a = np.asarray(a)
    a = a if a.dtype.kind == "f" else a.astype(np.float64)
    top = np.maximum.reduce(a, axis=axis, keepdims=True, initial=-math.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    total = np.add.reduce(np.exp(a - top), axis=axis, keepdims=True)
    with np.errstate(divide="ignore"):  # the sum over -inf alone is 0, and its logarithm -inf is the answer
        out = np.log(total) + top
    return out if keepdims else out.reshape(np.add.reduce(a, axis=axis).shape)


# ---- rules


def _spread(g: Any, a_shape: tuple[int, ...], axis: Axis) -> Any:
    return np.broadcast_to(kept(g, a_shape, axis), a_shape)


def _mean_rule(g: Any, a_shape: tuple[int, ...], axis: Axis) -> Any:
    return _spread(g / count(a_shape, axis), a_shape, axis)


def _extreme_rule(g: Any, a: Any, out: Any, axis: Axis) -> Any:
    shape = a.shape
    wins = (a == kept(out, shape, axis)) | (a != a)  # where there is a NaN, it is what max returns
    ties = np.add.reduce(np.where(wins, np.ones_like(a), 0.0), axis=axes_of(axis, len(shape)), keepdims=True)
    return np.where(wins, kept(g, shape, axis) / ties, 0.0)


def _others(rows: Any) -> Any:
    """Return for each element of the last axis the product of all others: up a tree of pairs, and down again."""
    levels = []
    while rows.shape[-1] > 1:
        if rows.shape[-1] % 2:
            rows = np.concatenate([rows, np.ones_like(rows[..., :1])], axis=-1)
        levels.append(rows)
        rows = rows[..., 0::2] * rows[..., 1::2]
    others = np.ones_like(rows)
    for rows in reversed(levels):
        twins = rows.reshape((*rows.shape[:-1], -1, 2))[..., ::-1]
        others = others[..., : twins.shape[-2]].reshape((*twins.shape[:-1], 1)) * twins
        others = others.reshape(rows.shape)
    return others


def _prod_rule(g: Any, a: Any, out: Any, axis: Axis) -> Any:
    shape = a.shape
    if not (out == 0).any() and np.isfinite(out).all():
        return kept(g * out, shape, axis) / a
    # There is nothing to divide by at a zero, and nothing left to divide where the product over- or underflowed.
    axes = axes_of(axis, len(shape))
    order = (*[n for n in range(len(shape)) if n not in axes], *axes)
    n = count(shape, axis)
    others = _others(np.transpose(a, order).reshape((-1, n)))[..., :n]
    moved = others.reshape(tuple([shape[k] for k in order]))
    return kept(g, shape, axis) * np.transpose(moved, tuple(np.argsort(order).tolist()))


def _var_rule(g: Any, a: Any, axis: Axis, ddof: int) -> Any:
    axes = axes_of(axis, a.ndim)
    centred = a - np.mean(a, axis=axes, keepdims=True)
    return kept(g, a.shape, axis) * centred * 2.0 / float(count(a.shape, axis) - ddof)


def _std_rule(g: Any, a: Any, out: Any, axis: Axis, ddof: int) -> Any:
    axes = axes_of(axis, a.ndim)
    centred = a - np.mean(a, axis=axes, keepdims=True)
    scale = kept(out, a.shape, axis)
    flat = scale == 0
    d = kept(g, a.shape, axis) * centred / np.where(flat, 1.0, scale) / float(count(a.shape, axis) - ddof)
    return np.where(flat, 0.0, d)


def _logsumexp_rule(g: Any, a: Any, out: Any, axis: Axis) -> Any:
    # The softmax. It is normalised once more because `out` has lost the logarithm of the sum where it is huge; over
    # -inf alone, and over nothing, every share is 0.
    whole = kept(out, a.shape, axis)
    none = whole == -math.inf
    shares = np.exp(a - np.where(none, 0.0, whole))
    total = np.add.reduce(shares, axis=axes_of(axis, a.ndim), keepdims=True)
    return kept(g, a.shape, axis) * (shares / np.where(none, 1.0, total))


sum       = op(_sum,       numpy=np.sum,             a=_spread,         samples=reduction())
mean      = op(_mean,      numpy=np.mean,            a=_mean_rule,      samples=reduction())
prod      = op(_prod,      numpy=np.prod,            a=_prod_rule,
               samples=several(reduction(), calls(np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 2.0]]), axis=1)))
max       = op(_max,       numpy=(np.max, np.amax),  a=_extreme_rule,   samples=reduction(distinct=True))
min       = op(_min,       numpy=(np.min, np.amin),  a=_extreme_rule,   samples=reduction(distinct=True))
var       = op(_var,       numpy=np.var,             a=_var_rule,
               samples=several(reduction(), calls((3, 4), axis=1, ddof=1)))
std       = op(_std,       numpy=np.std,             a=_std_rule,
               samples=several(calls((3, 4)), calls((3, 4), axis=1, ddof=1),
                               calls((2, 3, 2), axis=(0, 2), keepdims=True)))
logsumexp = op(_logsumexp,                           a=_logsumexp_rule, samples=reduction())

for _ufunc, _record in ((np.add, sum), (np.multiply, prod), (np.maximum, max), (np.minimum, min)):
    REDUCTIONS[_ufunc] = _record

argmax = op(lambda a, axis=None, *, keepdims=False: np.argmax(a, axis, keepdims=keepdims),
            name="argmax", numpy=np.argmax, samples=calls((3, 4), 1))
argmin = op(lambda a, axis=None, *, keepdims=False: np.argmin(a, axis, keepdims=keepdims),
            name="argmin", numpy=np.argmin, samples=calls((3, 4), 1))
any    = op(lambda a, axis=None, *, keepdims=False: np.any(a, axis, keepdims=keepdims),
            name="any", numpy=np.any, samples=calls((3, 4), 1))
all    = op(lambda a, axis=None, *, keepdims=False: np.all(a, axis, keepdims=keepdims),
            name="all", numpy=np.all, samples=calls((3, 4), 1))

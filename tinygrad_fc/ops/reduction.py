"""Reductions over any axes: sums, means, extremes, products, logsumexp; and, without gradient, positions and counts.

Ties: ``max`` and ``min`` share the gradient equally among all that attain the extreme, `initial` being one of them.
``std`` has gradient 0 where it is 0. What a mask, ``where=``, leaves out has gradient 0, whatever it is.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.dispatch import REDUCTIONS
from ..engine.op import op
from .branches import side
from .samples import calls, reduction, several

Axis = Any


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Return `axis` as a tuple of non-negative integers; none for a number, which NumPy reduces over 0, too."""
    if axis is None or not ndim:
        return tuple(range(ndim))
    return tuple([int(n) % ndim for n in (axis if isinstance(axis, (tuple, list)) else (axis,))])


def kept(value: Any, shape: tuple[int, ...], axis: Axis) -> Any:
    """Return a reduced `value` with the reduced axes put back, of length 1."""
    axes = axes_of(axis, len(shape))
    return value.reshape(tuple([1 if n in axes else length for n, length in enumerate(shape)]))


def count(shape: tuple[int, ...], axis: Axis) -> int:
    """Return how many elements each result is reduced from."""
    return math.prod([shape[n] for n in axes_of(axis, len(shape))])


def _number(like: Any, shape: tuple[int, ...], axis: Axis, where: Any) -> Any:
    """Return how many elements each result is reduced from: an int, or with a mask an array of the dtype of `like`."""
    if where is True:
        return count(shape, axis)
    chosen = np.broadcast_to(where, shape)
    return np.add.reduce(chosen, axis=axes_of(axis, len(shape)), keepdims=True, dtype=like.dtype)


# ---- kernels, with NumPy's names and defaults. `np.add.reduce` takes less than half the time of `np.sum`.
# (Any: NumPy's stubs know `keepdims` as a literal only.)

_add_reduce: Any = np.add.reduce
_multiply_reduce: Any = np.multiply.reduce
_maximum_reduce: Any = np.maximum.reduce
_minimum_reduce: Any = np.minimum.reduce


def _given(initial: Any, where: Any) -> dict[str, Any]:
    return {"where": where} if initial is None else {"where": where, "initial": initial}


def _sum(
    a: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Any:
    if initial is None and where is True:
        return _add_reduce(a, axis=axis, dtype=dtype, keepdims=keepdims)
    return _add_reduce(a, axis=axis, dtype=dtype, keepdims=keepdims, **_given(initial, where))


def _mean(a: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, where: Any = True) -> Any:
    # NumPy's own function sums half precision in float32, warns of empty slices, and knows no axis of a number.
    half = np.result_type(a) == np.float16
    if dtype is not None or where is not True or half or not np.size(a) or axis is not None and not np.ndim(a):
        return np.mean(a, axis=axis, dtype=dtype, keepdims=keepdims, where=where)
    return _add_reduce(a, axis=axis, keepdims=keepdims) / count(np.shape(a), axis)


def _prod(
    a: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Any:
    return _multiply_reduce(a, axis=axis, dtype=dtype, keepdims=keepdims, **_given(initial, where))


def _max(a: Any, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = True) -> Any:
    return _maximum_reduce(a, axis=axis, keepdims=keepdims, **_given(initial, where))


def _min(a: Any, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = True) -> Any:
    return _minimum_reduce(a, axis=axis, keepdims=keepdims, **_given(initial, where))


def _delta(ddof: float, correction: float | None) -> float:
    """Return the correction of the number of elements, under either of its names."""
    if correction is None:
        return ddof
    if ddof:
        raise ValueError(f"given ddof={ddof} and correction={correction}, two names of one thing: give one of them.")
    return correction


def _var(
    a: Any, axis: Axis = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False, where: Any = True,
    correction: float | None = None, mean: Any = None,
) -> Any:  # fmt: skip
    about: dict[str, Any] = {} if mean is None else {"mean": mean}
    return np.var(a, axis=axis, dtype=dtype, ddof=_delta(ddof, correction), keepdims=keepdims, where=where, **about)


def _std(
    a: Any, axis: Axis = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False, where: Any = True,
    correction: float | None = None, mean: Any = None,
) -> Any:  # fmt: skip
    about: dict[str, Any] = {} if mean is None else {"mean": mean}
    return np.std(a, axis=axis, dtype=dtype, ddof=_delta(ddof, correction), keepdims=keepdims, where=where, **about)


def _nanmax(a: Any, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = True) -> Any:
    return np.nanmax(a, axis=axis, keepdims=keepdims, **_given(initial, where))


def _nanmin(a: Any, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = True) -> Any:
    return np.nanmin(a, axis=axis, keepdims=keepdims, **_given(initial, where))


def _logsumexp(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Return log(sum(exp(a))), shifted by the largest element so that nothing overflows."""
    a = np.asarray(a)
    a = a if a.dtype.kind == "f" else a.astype(np.float64)
    top = np.maximum.reduce(a, axis=axis, keepdims=True, initial=-math.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    # The sum over -inf alone is 0, and its logarithm -inf is the answer; beside +inf nothing else matters.
    with np.errstate(divide="ignore", over="ignore"):
        out = np.log(np.add.reduce(np.exp(a - top), axis=axis, keepdims=True)) + top
    axes = axes_of(axis, a.ndim)
    return out if keepdims else out.reshape(tuple([length for n, length in enumerate(a.shape) if n not in axes]))


# ---- rules. A mask, `where`, keeps the gradient from what it leaves out; `initial` is a constant.


def _spread(g: Any, a_shape: tuple[int, ...], axis: Axis) -> Any:
    return np.broadcast_to(kept(g, a_shape, axis), a_shape)


def _chosen(d: Any, where: Any) -> Any:
    return d if where is True else np.where(where, d, 0.0)


def _cast(a: Any, g: Any) -> Any:
    """Return `a` in the precision of the result, where ``dtype=`` asked for another."""
    return a if a.dtype == g.dtype else a.astype(g.dtype)


def _sum_rule(g: Any, a_shape: tuple[int, ...], axis: Axis, where: Any) -> Any:
    """Return ``g`` for each element that was added, and 0 for what `where` leaves out."""
    return _chosen(_spread(g, a_shape, axis), where)


def _mean_rule(g: Any, a_shape: tuple[int, ...], axis: Axis, where: Any) -> Any:
    if where is True:
        return _spread(g / count(a_shape, axis), a_shape, axis)
    number = _number(g, a_shape, axis, where)
    return _chosen(np.broadcast_to(kept(g, a_shape, axis) / np.where(number, number, 1.0), a_shape), where)


def _shared(g: Any, wins: Any, others: Any, axis: Axis) -> Any:
    """Return `g` shared equally among those that win, and with `others` that are no elements."""
    axes = axes_of(axis, wins.ndim)
    ties = np.add.reduce(wins, axis=axes, keepdims=True, dtype=g.dtype) + others
    return np.where(wins, kept(g, wins.shape, axis) / np.where(ties, ties, 1.0), 0.0)


def _extreme_rule(g: Any, a: Any, out: Any, axis: Axis, initial: Any, where: Any) -> Any:
    whole = kept(out, a.shape, axis)
    wins = np.asarray((a == whole) | (a != a))  # where there is a NaN, it is what max returns
    tied: Any = 0.0 if initial is None else np.asarray((whole == initial) | (initial != initial)).astype(g.dtype)
    return _shared(g, wins if where is True else wins & where, tied, axis)


def _nan_extreme_rule(g: Any, a: Any, out: Any, axis: Axis, initial: Any, where: Any) -> Any:
    whole = kept(out, a.shape, axis)
    tied: Any = 0.0 if initial is None else np.asarray(whole == initial).astype(g.dtype)
    return _shared(g, np.asarray((a == whole) & where), tied, axis)


def _attained(a: Any, out: Any, axis: Axis, initial: Any, where: Any) -> Any:
    """Return the branch of an extreme: who attains it, `initial` included. NaN is the same one at any move."""
    whole = kept(out, np.shape(a), axis)
    wins = np.asarray((a == whole) & where)
    return wins if initial is None else wins + 2 * np.asarray(whole == initial)


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


def _prod_rule(g: Any, a: Any, out: Any, axis: Axis, initial: Any, where: Any) -> Any:
    a, shape = _cast(a, g), a.shape
    a = a if where is True else np.where(where, a, 1.0)
    if not (out == 0).any() and np.isfinite(out).all():
        return _chosen(kept(g * out, shape, axis) / a, where)
    # There is nothing to divide by at a zero, and nothing left to divide where the product over- or underflowed.
    axes = axes_of(axis, len(shape))
    order = (*[n for n in range(len(shape)) if n not in axes], *axes)
    n = count(shape, axis)
    others = _others(np.transpose(a, order).reshape((-1, n)))[..., :n]
    moved = others.reshape(tuple([shape[k] for k in order]))
    d = kept(g if initial is None else g * float(initial), shape, axis)
    return _chosen(d * np.transpose(moved, tuple(np.argsort(order).tolist())), where)


def _centred(a: Any, axis: Axis, where: Any, mean: Any) -> Any:
    """Return the distances from the mean, or from what was given for it, 0 for what is left out."""
    axes = axes_of(axis, a.ndim)
    if mean is not None:
        return _chosen(a - np.asarray(mean, a.dtype), where)
    if where is True:
        return a - np.mean(a, axis=axes, keepdims=True)
    number = _number(a, a.shape, axis, where)
    a = np.where(where, a, 0.0)
    return np.where(where, a - np.add.reduce(a, axis=axes, keepdims=True) / np.where(number, number, 1.0), 0.0)


def _freedom(g: Any, shape: tuple[int, ...], axis: Axis, where: Any, ddof: float) -> Any:
    """Return the divisor of a variance: as NumPy has it, never less than 0."""
    number = _number(g, shape, axis, where) - float(ddof)
    if isinstance(number, np.ndarray):
        return np.maximum(number, 0.0)
    return number if number > 0 else 0.0


def _var_rule(g: Any, a: Any, axis: Axis, ddof: float, where: Any, correction: float | None, mean: Any) -> Any:
    a = _cast(a, g)
    freedom = _freedom(g, a.shape, axis, where, _delta(ddof, correction))
    return _chosen(kept(g, a.shape, axis) * _centred(a, axis, where, mean) * 2.0 / freedom, where)


def _std_rule(
    g: Any, a: Any, out: Any, axis: Axis, ddof: float, where: Any, correction: float | None, mean: Any
) -> Any:
    a, scale = _cast(a, g), kept(out, a.shape, axis)
    freedom = _freedom(g, a.shape, axis, where, _delta(ddof, correction))
    flat = scale == 0
    # Without a degree of freedom the deviation is infinite, and so is its slope; not an infinite part of it.
    d = kept(g, a.shape, axis) * _centred(a, axis, where, mean) / np.where(flat | (freedom == 0), 1.0, scale) / freedom
    return _chosen(np.where(flat, 0.0, d), where)


def _std_branch(a: Any, out: Any, axis: Axis, where: Any, mean: Any) -> Any:
    """Return where the deviation is 0; of two elements, whose deviation is a difference's size, which is larger."""
    if where is True and mean is None and count(a.shape, axis) == 2:
        return side(a, np.flip(a, axes_of(axis, a.ndim)))  # each beside the other
    return out == 0


def _logsumexp_rule(g: Any, a: Any, out: Any, axis: Axis) -> Any:
    # The softmax. It is normalised once more because `out` has lost the logarithm of the sum where it is huge; over
    # -inf alone, and over nothing, every share is 0; beside +inf it is 0, and several +inf share equally.
    whole = kept(out, a.shape, axis)
    none, full = np.asarray(whole == -math.inf), np.asarray(whole == math.inf)
    if full.any():
        a = np.where(full, np.where(np.equal(a, math.inf), np.zeros_like(a), -math.inf), a)
    shares = np.exp(a - np.where(none | full, 0.0, whole))
    total = np.add.reduce(shares, axis=axes_of(axis, a.ndim), keepdims=True)
    return kept(g, a.shape, axis) * (shares / np.where(none, 1.0, total))


_mask = np.array([[True, False, True, True], [False, True, True, False], [True, True, True, True]])
_masked = several(calls((3, 4), axis=1, where=_mask), calls((3, 4), where=_mask[:, 1:2], keepdims=True),
                  calls((3, 4), 0, np.float64, where=_mask))  # fmt: skip
_started = several(calls((3, 4), axis=1, initial=1.5), calls((3, 4), axis=0, initial=0.5, where=_mask))
_spreads = several(_masked, calls((3, 4), axis=1, ddof=1), calls((3, 4), axis=1, correction=1, where=_mask),
                   calls((2, 3, 2), axis=(0, 2), keepdims=True),
                   calls((3, 4), 1, mean=0.5), calls((3, 4), mean=0.5, where=_mask))  # fmt: skip
_bounds: Any = {"axis": 1, "initial": 0.4, "where": _mask}
_ordered = several(reduction(distinct=True), calls(np.arange(12.0).reshape(3, 4) % 5 / 2 - 1.2, **_bounds))
_holes = np.array([[0.5, np.nan, -0.7, 1.1], [1.3, 0.2, np.nan, np.nan], [0.9, -0.4, 1.6, -1.9]])
_holed = several(_ordered, calls(_holes), calls(_holes, axis=-1, keepdims=True), calls(_holes, **_bounds))

sum       = op(_sum,       numpy=np.sum,             a=_sum_rule,
               samples=several(reduction(), _masked, _started))
mean      = op(_mean,      numpy=np.mean,            a=_mean_rule,      samples=several(reduction(), _masked))
prod      = op(_prod,      numpy=np.prod,            a=_prod_rule,
               samples=several(reduction(), _masked, _started, calls(np.diag([0.0, 2.0, 0.0]) + 0.0, 1, initial=1.5),
                               calls(np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 2.0]]), axis=1)))
max       = op(_max,       numpy=(np.max, np.amax),  a=_extreme_rule,   samples=_ordered,  branch=_attained)
min       = op(_min,       numpy=(np.min, np.amin),  a=_extreme_rule,   samples=_ordered,  branch=_attained)
var       = op(_var,       numpy=np.var,             a=_var_rule,       samples=several(reduction(), _spreads))
std       = op(_std,       numpy=np.std,             a=_std_rule,       samples=several(calls((3, 4)), _spreads),
               branch=_std_branch)
logsumexp = op(_logsumexp,                           a=_logsumexp_rule, samples=reduction())
nanmax    = op(_nanmax,    numpy=np.nanmax,          a=_nan_extreme_rule, samples=_holed,  branch=_attained)
nanmin    = op(_nanmin,    numpy=np.nanmin,          a=_nan_extreme_rule, samples=_holed,  branch=_attained)

# ---- positions, counts and tests: no gradient

argmax = op(lambda a, axis=None, *, keepdims=False: np.argmax(a, axis, keepdims=keepdims),
            name="argmax", numpy=np.argmax, samples=calls((3, 4), 1))
argmin = op(lambda a, axis=None, *, keepdims=False: np.argmin(a, axis, keepdims=keepdims),
            name="argmin", numpy=np.argmin, samples=calls((3, 4), 1))
nanargmax = op(lambda a, axis=None, *, keepdims=False: np.nanargmax(a, axis, keepdims=keepdims),
               name="nanargmax", numpy=np.nanargmax, samples=calls(_holes, 1))
nanargmin = op(lambda a, axis=None, *, keepdims=False: np.nanargmin(a, axis, keepdims=keepdims),
               name="nanargmin", numpy=np.nanargmin, samples=calls(_holes, 1))
count_nonzero = op(lambda a, axis=None, *, keepdims=False: np.count_nonzero(a, axis, keepdims=keepdims),
                   name="count_nonzero", numpy=np.count_nonzero,
                   samples=several(calls((3, 4), 1), calls(np.eye(3), keepdims=True)))
any    = op(lambda a, axis=None, *, keepdims=False, where=True: np.any(a, axis, keepdims=keepdims, where=where),
            name="any", numpy=np.any, samples=several(calls((3, 4), 1), calls(np.eye(4)[:3], 1, where=_mask)))
all    = op(lambda a, axis=None, *, keepdims=False, where=True: np.all(a, axis, keepdims=keepdims, where=where),
            name="all", numpy=np.all, samples=several(calls((3, 4), 1), calls(np.eye(4)[:3], 1, where=_mask)))

for _ufunc, _record in (
    (np.add, sum), (np.multiply, prod), (np.maximum, max), (np.minimum, min), (np.logaddexp, logsumexp),
    (np.logical_and, all), (np.logical_or, any),
):  # fmt: skip
    REDUCTIONS[_ufunc] = _record

"""Scans and differences along an axis: running sums, products and extremes, ``diff``, ``gradient``, ``trapezoid``.

Ties: a running extreme belongs to the element that set it, the first where several are equal; of NaN, too, the first.
``cumprod`` divides by no zero: its gradient at zeros is the product of the others.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..engine.dispatch import ACCUMULATIONS, functions
from ..engine.op import op
from ..engine.tensor import Tensor, constant
from .derived import derived
from .indexing import take_along_axis
from .samples import calls, several
from .statistics import floating, lifted

Key = tuple[slice, ...]

# ---- kernels


def _cumsum(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
    return np.cumsum(a, axis=axis, dtype=dtype)


def _cumprod(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
    return np.cumprod(a, axis=axis, dtype=dtype)


def _logcumsumexp(a: Any, axis: int | None = None) -> Any:
    return np.logaddexp.accumulate(np.ravel(a) if axis is None else a, axis=axis or 0)


# ---- rules


def _lined(value: Any, axis: int | None) -> tuple[Any, int]:
    """Return an array as the scan sees it, and along which axis: None flattens, and a number is one element."""
    if axis is None or not value.ndim:
        return value.reshape(-1), 0
    return value, axis % value.ndim


def _at(axis: int, *bounds: int | None) -> Key:
    """Return the key that slices one axis; the others stay whole."""
    return (slice(None),) * axis + (slice(*bounds),)


def _cumsum_rule(g: Any, a_shape: tuple[int, ...], axis: int | None) -> Any:
    g, axis = _lined(g, axis)
    back = _at(axis, None, None, -1)
    return np.cumsum(g[back], axis=axis)[back].reshape(a_shape)


def _suffix(terms: Any, factors: Any, axis: int) -> Any:
    """Return s with s[i] = terms[i] + factors[i] * s[i + 1], for n elements in log2(n) steps over whole arrays.

    `factors` has one element less. Each step joins neighbouring stretches, of twice the length each time (Hillis and
    Steele 1986, "Data parallel algorithms").
    """
    step, number = 1, terms.shape[axis]
    while step < number:
        # Here terms[i] sums a stretch of `step` elements from i on, and factors[i] carries over what follows it.
        further = terms[_at(axis, None, number - step)] + factors * terms[_at(axis, step, None)]
        terms = np.concatenate([further, terms[_at(axis, number - step, None)]], axis=axis)
        factors = factors[_at(axis, None, -step)] * factors[_at(axis, step, None)]
        step *= 2
    return terms


def _cumprod_rule(g: Any, a: Any, out: Any, axis: int | None) -> Any:
    shape = a.shape
    a = a if a.dtype == g.dtype else a.astype(g.dtype)
    g, along = _lined(g, axis)
    a, out = a.reshape(g.shape), out.reshape(g.shape)
    if np.isfinite(out).all() and not (np.absolute(out) < np.finfo(g.dtype).tiny).any():
        return _cumsum_rule(g * out, shape, axis) / a.reshape(shape)
    # Zeros, or products out of range: the sum over k >= i of g[k] * a[i + 1] ... a[k], times what stands before i.
    after = _suffix(g, a[_at(along, 1, None)], along)
    before = np.concatenate([np.ones_like(out[_at(along, 0, 1)]), out[_at(along, None, -1)]], axis=along)
    return (after * before).reshape(shape)


def _logcumsumexp_rule(g: Any, a: Any, out: Any, axis: int | None) -> Any:
    # The sum over k >= i of g[k] * exp(a[i] - out[k]). As `out` grows, no exponent is positive: nothing overflows.
    shape = a.shape
    g, axis = _lined(g, axis)
    a, out = a.reshape(g.shape), out.reshape(g.shape)
    full = np.asarray(out == math.inf)
    early = out[_at(axis, None, -1)]
    if full.any():  # from the first +inf on the infinite ones share equally, and what is finite has no share
        tops = np.asarray(a == math.inf)
        level = np.log(np.maximum(np.cumsum(tops, axis=axis), 1.0)).astype(out.dtype)
        a = np.where(full, np.where(tops, np.zeros_like(a), -math.inf), a)
        out = np.where(full, level, out)
        begins = full[_at(axis, 1, None)] & ~full[_at(axis, None, -1)]
        early = np.where(begins, -math.inf, out[_at(axis, None, -1)])
    safe = np.where(out == -math.inf, 0.0, out)  # the share of -inf in anything is 0
    ratios = np.exp(early - safe[_at(axis, 1, None)])
    return (np.exp(a - safe) * _suffix(g, ratios, axis)).reshape(shape)


# ---- scans

_zeros = np.array([[0.5, 0.0, -1.5, 2.0, 0.0], [0.0, 1.5, 0.7, -0.6, 1.2], [1.1, -0.4, 0.9, 1.3, 0.8]])
_scanned = several(calls((5,)), calls((2, 3)), calls((3, 4), 1), calls((2, 3, 4), axis=-2), calls(()), calls((0, 3), 0),
                   calls((3, 1), -1))  # fmt: skip
_asked = calls((3, 4), 1, np.float64)

cumsum       = op(_cumsum,       numpy=np.cumsum,  a=_cumsum_rule,       samples=several(_scanned, _asked))
cumprod      = op(_cumprod,      numpy=np.cumprod, a=_cumprod_rule,
                  samples=several(_scanned, _asked, calls(_zeros, 1), calls(_zeros, axis=0), calls(_zeros)))
logcumsumexp = op(_logcumsumexp,                   a=_logcumsumexp_rule, samples=several(_scanned, calls((9,))))


def _running(a: Any, axis: int | None, extreme: np.ufunc) -> Any:
    a = lifted(a)
    a, axis = (functions.reshape(a, -1), 0) if axis is None else (a, normalize_axis_index(axis, a.ndim))
    values = a.data
    best = extreme.accumulate(values, axis=axis)
    # An element sets the extreme where it differs from what stood before; after a NaN nothing does.
    last, now = best[_at(axis, None, -1)], best[_at(axis, 1, None)]
    sets = np.zeros(values.shape, np.intp)
    sets[_at(axis, 1, None)] = (now != last) & (last == last)
    sets *= np.arange(values.shape[axis]).reshape((-1,) + (1,) * (a.ndim - axis - 1))
    return take_along_axis(a, np.maximum.accumulate(sets, axis=axis), axis)


def _distinct(generator: Any) -> list[Any]:
    x = generator.permutation(24).reshape(2, 3, 4) * 0.25 - 3.1
    return [(x[0, 0],), (x[0],), (x[0], 0), (x, 1), (x[:, :1], -2), (x, -1)]


@derived(samples=_distinct)
def cummax(a: Any, axis: int | None = None) -> Any:
    """Return the largest element so far, as ``np.maximum.accumulate``; None flattens first."""
    return _running(a, axis, np.maximum)


@derived(samples=_distinct)
def cummin(a: Any, axis: int | None = None) -> Any:
    """Return the smallest element so far, as ``np.minimum.accumulate``; None flattens first."""
    return _running(a, axis, np.minimum)


def _cumulative(x: Any, axis: int | None, dtype: Any, include_initial: bool, scan: Any, start: float) -> Any:
    x = lifted(x)
    x = x if x.ndim else functions.reshape(x, 1)
    if axis is None and x.ndim > 1:
        raise ValueError(f"cumulative_{scan.__name__[3:]}: x has {x.ndim} axes: give the axis= along which to go.")
    axis = 0 if axis is None else normalize_axis_index(axis, x.ndim)
    out = scan(x, axis, dtype)
    if not include_initial:
        return out
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    return functions.concatenate([constant(np.full(shape, start, out.dtype)), out], axis=axis)


_sums = several(calls((4,)), calls((2, 3), axis=1), calls((2, 3), axis=-2, include_initial=True),
                calls((), include_initial=True), calls((0,), include_initial=True))  # fmt: skip


@derived(np.cumulative_sum, samples=_sums)
def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """Return the running sums, as ``np.cumulative_sum``; with `include_initial`, from 0 on."""
    return _cumulative(x, axis, dtype, include_initial, cumsum, 0.0)


@derived(np.cumulative_prod, samples=_sums)
def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """Return the running products, as ``np.cumulative_prod``; with `include_initial`, from 1 on."""
    return _cumulative(x, axis, dtype, include_initial, cumprod, 1.0)


def _without_nan(a: Any, filling: float) -> Tensor:
    """Return `a` with a number in the place of each NaN."""
    a = lifted(a)
    missing = np.isnan(a.data)
    return functions.where(missing, filling, a) if missing.any() else a


_holes = calls(np.array([[0.5, np.nan, -0.7], [np.nan, 1.3, 0.2]]), 1)


@derived(np.nancumsum, samples=several(_scanned, _holes))
def nancumsum(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Return the running sums of what is no NaN, as ``np.nancumsum``: a NaN counts as 0."""
    return cumsum(_without_nan(a, 0.0), axis, dtype)


@derived(np.nancumprod, samples=several(_scanned, _holes))
def nancumprod(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Return the running products of what is no NaN, as ``np.nancumprod``: a NaN counts as 1."""
    return cumprod(_without_nan(a, 1.0), axis, dtype)


for _ufunc, _record in (
    (np.add, cumsum), (np.multiply, cumprod), (np.maximum, cummax), (np.minimum, cummin), (np.logaddexp, logcumsumexp),
):  # fmt: skip
    ACCUMULATIONS[_ufunc] = _record

# ---- differences


def _beside(value: Any, a: Tensor, axis: int) -> Tensor:
    """Return what stands before or after `a`: a number becomes one slice of it, and a Python number widens no float."""
    if isinstance(value, (bool, int, float)):
        value = np.asarray(value, np.result_type(a.dtype, value))
    value = lifted(value)
    return value if value.ndim else functions.broadcast_to(value, (*a.shape[:axis], 1, *a.shape[axis + 1 :]))


@derived(np.diff, samples=lambda generator: [
    (generator.normal(size=5),), (generator.normal(size=(2, 4)), 2, 1), (generator.normal(size=(3, 2)), 1, 0),
    (generator.normal(size=(2, 3)), 3), (generator.normal(size=(2, 3)), 0),
    ((generator.normal(size=(2, 3)), 1, -1, generator.normal(size=(2, 2))), {"append": 1.5}),
    ((generator.normal(size=(2, 3)),), {"n": 2, "axis": 0, "prepend": generator.normal(size=(1, 3))}),
])  # fmt: skip
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Return the differences of neighbours, taken `n` times, as ``np.diff``."""
    a = lifted(a)
    if n < 0:
        raise ValueError(f"diff: n={n} is negative; it counts how often differences are taken.")
    if not a.ndim:
        raise ValueError("diff: a is a single number; expected at least one axis.")
    axis = normalize_axis_index(axis, a.ndim)
    if n and not (prepend is None and append is None):
        ends = [None if end is None else _beside(end, a, axis) for end in (prepend, append)]
        a = functions.concatenate([part for part in (ends[0], a, ends[1]) if part is not None], axis=axis)
    minus = functions.not_equal if a.dtype == bool else functions.subtract
    for _ in range(n):
        a = minus(a[_at(axis, 1, None)], a[_at(axis, None, -1)])
    return a


@derived(np.ediff1d, samples=lambda generator: [
    (generator.normal(size=5),), (generator.normal(size=(2, 3)),), (generator.normal(size=0),),
    (generator.normal(size=3), generator.normal(size=(2, 1)), 1.5),
    ((generator.normal(size=3),), {"to_begin": [1.0, 2.0]}),
])  # fmt: skip
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Return the differences of neighbours of the flat array, between `to_begin` and `to_end`, as ``np.ediff1d``."""
    ary = functions.reshape(lifted(ary), -1)
    parts = [ary[1:] - ary[:-1]]
    for name, end in (("to_begin", to_begin), ("to_end", to_end)):
        if end is None:
            continue
        end = functions.reshape(lifted(end), -1)
        if not np.can_cast(end.dtype, ary.dtype, "same_kind"):
            raise TypeError(f"ediff1d: {name} has dtype {end.dtype}, which does not fit into {ary.dtype}, that of ary.")
        end = end if end.dtype == ary.dtype else functions.astype(end, ary.dtype)
        parts.insert(0 if name == "to_begin" else len(parts), end)
    return functions.concatenate(parts) if len(parts) > 1 else parts[0]


def _steps(spacing: Any, f: Tensor, axis: int) -> Any:
    """Return the distances of neighbours: a number, or an array that broadcasts along `axis`."""
    if not isinstance(spacing, Tensor) and np.ndim(spacing) == 0:
        return float(spacing)
    x = floating(spacing)
    if x.ndim > 1 or (x.ndim and x.shape[0] != f.shape[axis]):
        raise ValueError(
            f"gradient: the coordinates along axis {axis} have shape {x.shape}, expected ({f.shape[axis]},): one for "
            f"each element, or one number, their distance."
        )
    steps = x[1:] - x[:-1] if x.ndim else x
    if x.ndim and not x.requires_grad and (steps.data == steps.data[0]).all():
        return float(steps.data[0])  # NumPy's central difference, too, does not read the element in the middle
    steps = steps if steps.dtype == f.dtype else functions.astype(steps, f.dtype)
    return functions.reshape(steps, (-1,) + (1,) * (f.ndim - axis - 1)) if x.ndim else steps


def _slope_of_end(f: Tensor, steps: Any, axis: int, edge_order: int, last: bool) -> Any:
    """Return the slope at the first element or the last: from the two outermost, or by the parabola of three."""
    where, sign = ((-1, -2, -3), -1.0) if last else ((0, 1, 2), 1.0)
    points = [f[_at(axis, n, n + 1 or None)] for n in where[: edge_order + 1]]
    even = not np.ndim(steps)
    h, *rest = [steps if even else steps[n : n + 1 or None] for n in where[:edge_order]]
    slope = (points[1] - points[0]) / h * sign
    if edge_order == 1:
        return slope
    # The parabola through points with the slopes s and t between them, over distances h and k, begins with the slope
    # s + (s - t) h / (h + k).
    return slope + (slope - (points[2] - points[1]) / rest[0] * sign) * (0.5 if even else h / (h + rest[0]))


def _slopes_at(f: Tensor, spacing: Any, axis: int, edge_order: int) -> Any:
    """Return the derivative along one axis: by both neighbours, and by those of one side at the ends."""
    steps = _steps(spacing, f, axis)
    before, after = f[_at(axis, None, -2)], f[_at(axis, 2, None)]
    if not np.ndim(steps):
        middle = (after - before) / (2.0 * steps)
    else:  # NumPy's weights of the three elements, so that infinities come out as they do there
        h, k = steps[:-1], steps[1:]
        middle = (h / (k * (h + k))) * after + ((k - h) / (h * k)) * f[_at(axis, 1, -1)] - (k / (h * (h + k))) * before
    start, end = (_slope_of_end(f, steps, axis, edge_order, last) for last in (False, True))
    return functions.concatenate([start, middle, end], axis=axis)


@derived(np.gradient, samples=lambda generator: [
    (generator.normal(size=5),), (generator.normal(size=2), 0.5), (generator.normal(size=(3, 4)), 2.0, 0.5),
    ((generator.normal(size=(3, 4)), 0.3), {"edge_order": 2}), ((generator.normal(size=(3, 2, 3)),), {"axis": (0, -1)}),
    ((generator.normal(size=(4, 3)), np.arange(4) + generator.uniform(0.0, 0.5, 4), 0.5), {}),
    ((generator.normal(size=(2, 4)), np.arange(4) + generator.uniform(0.0, 0.5, 4)), {"axis": 1, "edge_order": 2}),
])  # fmt: skip
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Return the derivative of sampled values along each axis, by differences, as ``np.gradient``.

    Parameters
    ----------
    f : array_like
        The values.
    *varargs : float or array_like
        Nothing (distances of 1); one distance for all axes; or for each axis a distance or the coordinates, of shape
        (n,), which may need a gradient.
    axis : int or tuple of int, optional
        Along which axes; all by default.
    edge_order : {1, 2}
        Order of accuracy at both ends.

    Returns
    -------
    Tensor or tuple of Tensor
        One of the shape of `f` for each axis; no tuple for a single axis.

    Raises
    ------
    TypeError
        If there are other numbers of distances than of axes.
    ValueError
        If coordinates do not fit `f`, or an axis has fewer than edge_order + 1 elements.
    """
    f = floating(f)
    axes = tuple(range(f.ndim)) if axis is None else normalize_axis_tuple(axis, f.ndim, "axis")
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order is {edge_order!r}, expected 1 or 2.")
    spacings = varargs or (1.0,)
    if len(spacings) == 1 and np.ndim(spacings[0]) == 0:
        spacings = spacings * len(axes)
    if len(spacings) != len(axes):
        raise TypeError(f"gradient: given {len(spacings)} distances for {len(axes)} axes: give one, or one for each.")
    for n in axes:
        if f.shape[n] <= edge_order:
            raise ValueError(
                f"gradient: axis {n} of shape {f.shape} is too short: edge_order={edge_order} takes "
                f"{edge_order + 1} elements or more."
            )
    found = tuple([_slopes_at(f, spacing, n, edge_order) for n, spacing in zip(axes, spacings, strict=True)])
    return found[0] if len(found) == 1 else found


@derived(np.trapezoid, samples=lambda generator: [
    (generator.normal(size=5),), (generator.normal(size=1),),
    ((generator.normal(size=(3, 4)),), {"dx": 0.5, "axis": 0}),
    (generator.normal(size=(2, 4)), generator.normal(size=4)),
    (generator.normal(size=(3, 2)), generator.normal(size=(3, 2)), 1.0, 0),
])  # fmt: skip
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """Return the integral of samples `y` at `x` (or `dx` apart) by the trapezoidal rule, as ``np.trapezoid``."""
    y = lifted(y)
    axis = normalize_axis_index(axis, y.ndim)
    steps = dx
    if x is not None:
        x = lifted(x)
        steps = diff(x, axis=-1 if x.ndim == 1 else axis - y.ndim)
        if x.ndim == 1:
            steps = functions.reshape(steps, (-1,) + (1,) * (y.ndim - axis - 1))
    pairs = y[_at(axis, 1, None)] + y[_at(axis, None, -1)]
    return functions.sum(steps * pairs / 2.0, axis=axis)

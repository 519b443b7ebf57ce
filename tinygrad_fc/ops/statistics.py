"""Averages, ranges, medians and quantiles, and the reductions that pass over NaN, written with operations.

Ties: a quantile's gradient goes to the elements that a stable sort puts at its place. A NaN among the elements makes
the quantile NaN, and takes the gradient, as for ``max``. The ``nan...`` functions give 0 to what is NaN.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..engine.dispatch import functions
from ..engine.tensor import Tensor, constant
from . import reduction as reductions
from .derived import derived, numeric
from .indexing import take_along_axis
from .reduction import Axis, axes_of
from .samples import calls, reduction, several


def lifted(value: Any) -> Tensor:
    """Return a tensor as it is, and anything else as a constant one."""
    return value if isinstance(value, Tensor) else constant(numeric(value))


def floating(value: Any) -> Tensor:
    """Return a tensor of floats: integers and booleans become float64, as in NumPy's means."""
    tensor = lifted(value)
    return functions.astype(tensor, np.float64) if tensor.dtype.kind in "biu" else tensor


# ---- averages and ranges


@derived(np.ptp, samples=reduction(distinct=True))
def ptp(a: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Return the largest element less the smallest, as ``np.ptp``."""
    return reductions.max(a, axis=axis, keepdims=keepdims) - reductions.min(a, axis=axis, keepdims=keepdims)


@derived(np.average, samples=several(
    reduction(), calls((3, 4), returned=True), calls((2, 3), 1, (3,), low=0.5),
    calls((2, 3), 0, (2, 3), True, low=0.5), calls((2, 3, 4), axis=(2, 0), keepdims=True, low=0.5),
    lambda generator: [((generator.normal(size=(2, 3, 4)), (2, 0), generator.uniform(0.5, 2.0, (4, 2))),
                        {"returned": True})],
))  # fmt: skip
def average(a: Any, axis: Axis = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    """Return the weighted mean, as ``np.average``; with `returned`, also the sums of the weights.

    Parameters
    ----------
    a : array_like
        The values.
    axis : int, tuple or list of int, optional
        Over which axes; all by default.
    weights : array_like, optional
        Of the shape of `a`, or of the lengths of the axes in `axis`, in their order. They may need a gradient.
    returned : bool
        Whether to return a pair, of the averages and the sums of their weights.
    keepdims : bool
        Whether the reduced axes stay, with length 1.

    Raises
    ------
    TypeError
        If `weights` has another shape than `a`, and no axis is given.
    ValueError
        If the shape of `weights` does not fit.
    ZeroDivisionError
        If the weights of a result sum to zero.
    """
    a = lifted(a)
    axis = None if axis is None else normalize_axis_tuple(axis, a.ndim, "axis")
    if weights is None:
        out = reductions.mean(a, axis=axis, keepdims=keepdims)
        number = reductions.count(a.shape, axis)
        return (out, constant(np.full(out.shape, number, out.dtype))) if returned else out
    a, w = floating(a), lifted(weights)
    axes = tuple(range(a.ndim)) if axis is None else axis
    if w.shape != a.shape:
        if axis is None:
            raise TypeError(
                f"average: weights has shape {w.shape} and a {a.shape}: give the axis= along which the weights stand."
            )
        expected = tuple([a.shape[n] for n in axes])
        if w.shape != expected:
            raise ValueError(f"average: weights has shape {w.shape}, expected {a.shape} or {expected} (axis={axis}).")
        shape = tuple([length if n in axes else 1 for n, length in enumerate(a.shape)])
        w = functions.reshape(functions.transpose(w, tuple(np.argsort(axes).tolist())), shape)
    total = reductions.sum(w, axis=axes, keepdims=True, dtype=np.result_type(a.dtype, w.dtype))
    if not total.data.all():
        raise ZeroDivisionError("average: the weights of a result sum to zero: it has no average.")
    out = reductions.sum(a * w, axis=axes, keepdims=True) / total
    found = [out, functions.broadcast_to(total, out.shape)] if returned else [out]
    if not keepdims:
        found = [functions.squeeze(item, axes) for item in found]
    return tuple(found) if returned else found[0]


# ---- over what is no NaN: the same reductions, with a mask


_holes = np.array([[0.5, np.nan, -0.7, 1.1], [1.3, 0.2, np.nan, np.nan], [0.9, -0.4, 1.6, -1.9]])
_mask = np.array([[True, True, True, True], [True, True, False, True], [True, False, True, True]])
_with_holes = several(reduction(), calls(_holes), calls(_holes, -1, keepdims=True),
                      calls(_holes, axis=(0, 1)), calls(_holes, 1, where=_mask))  # fmt: skip
_started = calls(_holes, axis=0, initial=1.5)
_spreads = several(calls((3, 4)), calls(_holes), calls(_holes, 1, ddof=1, keepdims=True),
                   calls(_holes, 1, correction=1, where=_mask))  # fmt: skip


def _present(a: Any, where: Any) -> Any:
    """Return the mask of what is no NaN and not left out; True where that is everything."""
    missing = np.isnan(lifted(a).data)
    if not missing.any():
        return where
    return ~missing if where is True else ~missing & np.asarray(where)


@derived(np.nansum, samples=several(_with_holes, _started))
def nansum(
    a: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Any:
    """Return the sum of what is no NaN, as ``np.nansum``."""
    where = _present(a, where)
    return reductions.sum(a, axis=axis, dtype=dtype, keepdims=keepdims, initial=initial, where=where)


@derived(np.nanprod, samples=several(_with_holes, _started))
def nanprod(
    a: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Any:
    """Return the product of what is no NaN, as ``np.nanprod``."""
    where = _present(a, where)
    return reductions.prod(a, axis=axis, dtype=dtype, keepdims=keepdims, initial=initial, where=where)


@derived(np.nanmean, samples=_with_holes)
def nanmean(a: Any, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, where: Any = True) -> Any:
    """Return the mean of what is no NaN, as ``np.nanmean``."""
    return reductions.mean(a, _axis(a, axis), dtype, keepdims=keepdims, where=_present(a, where))


def _axis(a: Any, axis: Axis) -> Axis:
    """Return the axis; None for 0 and -1 of a number, which only NumPy's ``nan...`` functions let pass."""
    return None if axis in (0, -1) and not lifted(a).ndim else axis


@derived(np.nanvar, samples=several(reduction(), _spreads))
def nanvar(
    a: Any, axis: Axis = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False, where: Any = True,
    correction: float | None = None, mean: Any = None,
) -> Any:  # fmt: skip
    """Return the variance of what is no NaN, as ``np.nanvar``."""
    return _deviation(reductions.var, a, axis, dtype, ddof, keepdims, _present(a, where), correction, mean)


@derived(np.nanstd, samples=_spreads)
def nanstd(
    a: Any, axis: Axis = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False, where: Any = True,
    correction: float | None = None, mean: Any = None,
) -> Any:  # fmt: skip
    """Return the standard deviation of what is no NaN, as ``np.nanstd``."""
    return _deviation(reductions.std, a, axis, dtype, ddof, keepdims, _present(a, where), correction, mean)


def _deviation(
    measure: Callable[..., Any], a: Any, axis: Axis, dtype: Any, ddof: float, keepdims: bool, where: Any,
    correction: float | None, mean: Any,
) -> Any:  # fmt: skip
    axis, beside = _axis(a, axis), {"where": where, "correction": correction, "mean": mean}
    out = measure(a, axis=axis, dtype=dtype, ddof=ddof, keepdims=keepdims, **beside)
    shape = lifted(a).shape
    number = np.add.reduce(np.broadcast_to(where, shape), axis=axes_of(axis, len(shape)), dtype=np.intp)
    few = np.reshape(number <= (ddof if correction is None else correction), out.shape)
    return functions.where(few, math.nan, out) if few.any() else out  # NumPy's var may be infinite there, nanvar not


# ---- medians and quantiles: overwrite_input, which allows to write into `a`, is never made use of


def _none(name: str, **given: Any) -> None:
    for key, value in given.items():
        if value is not None:
            raise TypeError(f"{name}: {key}= is not supported on tensors: leave it out.")


def _ranked(
    a: Tensor, place: Callable[[int], Any], axis: Axis, keepdims: bool, dtype: Any, pass_nan: bool = False
) -> Any:
    """Return what stands at the places ``place(n)``, from 0 to n - 1, of the n sorted elements along `axis`.

    Between two places the elements are mixed in proportion. Places of shape Q give results with Q as leading axes. A
    NaN takes all places of its row; with `pass_nan` only the others are counted, and sorted.
    """
    axes = axes_of(axis, a.ndim) if axis is None else normalize_axis_tuple(axis, a.ndim, "axis")
    others = tuple([n for n in range(a.ndim) if n not in axes])
    rest, number = tuple([a.shape[n] for n in others]), reductions.count(a.shape, axes)
    rows = functions.reshape(functions.transpose(a, (*others, *axes)), (*rest, number))
    order = np.argsort(rows.data, axis=-1, kind="stable")  # NaN to the end
    missing = np.add.reduce(np.isnan(rows.data), axis=-1, dtype=np.intp)
    whole = np.asarray(place(number), dtype=np.float64)
    places = np.array(np.broadcast_to(whole.ravel(), (*rest, whole.size)))
    for gone in np.unique(missing[missing > 0]):
        places[missing == gone] = np.ravel(place(number - gone)) if pass_nan and gone < number else number - 1.0
    if pass_nan and (missing == number).any():
        warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=5)  # as NumPy does
    low = np.floor(places).astype(np.intp)
    part = places - low
    out = take_along_axis(rows, np.take_along_axis(order, low, -1), -1)
    if part.any():
        share = part.astype(dtype)
        high = take_along_axis(rows, np.take_along_axis(order, low + (part > 0), -1), -1)
        # Where a place is met exactly there is nothing to mix, and nothing infinite to be multiplied by 0.
        out = functions.where(share == 0, out, out * (1.0 - share) + high * share)
    out = functions.transpose(out, (len(rest), *range(len(rest))))
    shape = tuple([1 if n in axes else length for n, length in enumerate(a.shape)]) if keepdims else rest
    out = functions.reshape(out, (*whole.shape, *shape))
    return out if out.dtype == dtype else functions.astype(out, dtype)


def _quantile(function: Any, a: Any, q: Any, axis: Axis, method: str, keepdims: bool, prefix: str = "") -> Any:
    a, name = lifted(a), prefix + function.__name__
    if isinstance(q, Tensor):
        if q.requires_grad:
            raise TypeError(f"{name}: argument 'q' takes no gradient: pass q.detach().")
        q = q.data
    # The quantile of 0, 1, ..., n - 1 is the place in the sorted elements: so each method is NumPy's, errors and all.
    dtype = function(np.zeros(1, a.dtype), 50 if function is np.percentile else 0.5, method=method).dtype

    def place(number: int) -> Any:
        if not number:
            raise ValueError(f"{name}: there are no elements along axis={axis} of shape {a.shape}.")
        return function(np.arange(number, dtype=np.float64), q, method=method)

    return _ranked(a, place, axis, keepdims, dtype, bool(prefix))


def _spaced(*shape: int) -> Callable[[Any], np.ndarray]:
    return lambda generator: (generator.permutation(np.prod(shape, dtype=int)) * 0.25 - 1.3).reshape(shape)


def _quantiles(scale: int, nested: bool = True) -> Any:
    methods = (
        "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull",
        "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest",
    )  # fmt: skip
    nest = [[0.0, 1.0 * scale], [0.5 * scale, 0.9 * scale]]  # np.nanquantile mixes up the axes of such a nest
    return lambda generator: [
        (_spaced(5)(generator), 0.3 * scale),
        (_spaced(3, 4)(generator), [0.1 * scale, 0.5 * scale], 1),
        ((_spaced(2, 3, 4)(generator), nest if nested else nest[1], (0, -1)), {"keepdims": True}),
        (_spaced(1)(generator), 0.7 * scale), ((_spaced(3, 4)(generator), 1.0 * scale), {"axis": 0}),
        *[((_spaced(3, 7)(generator), [0.23 * scale, 0.61 * scale], -1), {"method": name}) for name in methods],
    ]  # fmt: skip


def _ranges(generator: Any) -> list[Any]:
    return [
        (_spaced(5)(generator),), (_spaced(3, 4)(generator), 1), (_spaced(1)(generator),),
        ((_spaced(2, 3, 4)(generator), (0, -1)), {"keepdims": True}),
    ]  # fmt: skip


@derived(np.quantile, samples=_quantiles(1))
def quantile(
    a: Any, q: Any, axis: Axis = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: None = None,
) -> Any:  # fmt: skip
    """Return quantiles, as ``np.quantile``, by any method of NumPy's (Hyndman and Fan 1996), in the dtype of `a`.

    `q`, in [0, 1], is constant: a tensor that needs a gradient is refused with TypeError. No elements: ValueError.
    """
    _none("quantile", out=out, weights=weights)
    return _quantile(np.quantile, a, q, axis, method, keepdims)


@derived(np.percentile, samples=_quantiles(100))
def percentile(
    a: Any, q: Any, axis: Axis = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: None = None,
) -> Any:  # fmt: skip
    """Return percentiles, as ``np.percentile``: quantiles with `q` in [0, 100]."""
    _none("percentile", out=out, weights=weights)
    return _quantile(np.percentile, a, q, axis, method, keepdims)


@derived(np.nanquantile, samples=several(_quantiles(1, nested=False), calls(_holes, [0.2, 0.5], axis=1)))
def nanquantile(
    a: Any, q: Any, axis: Axis = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: None = None,
) -> Any:  # fmt: skip
    """Return quantiles of what is no NaN, as ``np.nanquantile``; axes of `q` come first, as in `quantile`."""
    _none("nanquantile", out=out, weights=weights)
    return _quantile(np.quantile, a, q, axis, method, keepdims, "nan")


@derived(np.nanpercentile, samples=several(_quantiles(100, nested=False), calls(_holes, [20.0, 50.0], axis=0)))
def nanpercentile(
    a: Any, q: Any, axis: Axis = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: None = None,
) -> Any:  # fmt: skip
    """Return percentiles of what is no NaN, as ``np.nanpercentile``."""
    _none("nanpercentile", out=out, weights=weights)
    return _quantile(np.percentile, a, q, axis, method, keepdims, "nan")


@derived(np.median, samples=_ranges)
def median(
    a: Any, axis: Axis = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """Return the element in the middle, or the mean of the two there, as ``np.median``."""
    _none("median", out=out)
    return _middle(a, axis, keepdims, pass_nan=False)


@derived(np.nanmedian, samples=several(_ranges, calls(_holes), calls(_holes, axis=1, keepdims=True)))
def nanmedian(
    a: Any, axis: Axis = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """Return the median of what is no NaN, as ``np.nanmedian``."""
    _none("nanmedian", out=out)
    return _middle(a, axis, keepdims, pass_nan=True)


def _middle(a: Any, axis: Axis, keepdims: bool, pass_nan: bool) -> Any:
    a = floating(a)
    if not reductions.count(a.shape, axis):
        return reductions.mean(a, axis=axis, keepdims=keepdims)  # NaN, and NumPy's warning
    return _ranked(a, lambda number: (number - 1) / 2, axis, keepdims, a.dtype, pass_nan)

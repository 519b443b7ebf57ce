"""Shapes: the same elements in another arrangement. Most results are views, as in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..engine.dispatch import functions
from ..engine.op import op
from ..engine.tensor import Tensor, constant
from .derived import derived, numeric
from .samples import calls, several


def as_tensor(value: Any) -> Tensor:
    """Return a tensor as it is, and anything else as a constant one, not copied."""
    return value if isinstance(value, Tensor) else constant(numeric(value))


def frozen(axes: Any) -> Any:
    """Return axes, shifts or lengths that no one can change before a rule reads them: lists and arrays as tuples."""
    if isinstance(axes, (Tensor, np.ndarray)):
        axes = np.asarray(axes).tolist()  # it refuses a tensor that needs a gradient
    return tuple(axes) if isinstance(axes, list) else axes


def along(axis: int, key: Any) -> tuple[Any, ...]:
    """Return the index that applies `key` along `axis` (not negative) and takes all of the other axes."""
    return (*(slice(None),) * axis, key)


def _back(g: Any, a_shape: tuple[int, ...]) -> Any:
    return g.reshape(a_shape)


def _reshape(a: Any, shape: Any) -> Any:
    return np.reshape(a, shape)


def _squeeze(a: Any, axis: Any = None) -> Any:
    return np.squeeze(a, axis)


def _expand_dims(a: Any, axis: Any) -> Any:
    return np.expand_dims(a, axis)


def _transpose(a: Any, axes: Any = None) -> Any:
    return np.transpose(a, axes)


def _transpose_rule(g: Any, axes: Any) -> Any:
    return np.transpose(g, None if axes is None else tuple(np.argsort([n % len(axes) for n in axes]).tolist()))


def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    return np.swapaxes(a, axis1, axis2)


def _broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    return np.broadcast_to(array, shape)


def _flip(m: Any, axis: Any = None) -> Any:
    return np.flip(m, axis)


def _roll(a: Any, shift: Any, axis: Any = None) -> Any:
    return np.roll(a, shift, axis)


def _roll_rule(g: Any, shift: Any, axis: Any) -> Any:
    return np.roll(g, tuple([-n for n in shift]) if isinstance(shift, tuple) else -shift, axis)


def _concatenate(*arrays: Any, axis: int = 0) -> Any:
    return np.concatenate(arrays, axis=axis)


def _concatenate_rule(g: Any, arrays_shape: Any, axis: int, index: int) -> Any:
    start = sum(shape[axis] for shape in arrays_shape[:index])
    stop = start + arrays_shape[index][axis]
    return g[along(axis % g.ndim, slice(start, stop))]


def _stack(*arrays: Any, axis: int = 0) -> Any:
    return np.stack(arrays, axis=axis)


def _stack_rule(g: Any, axis: int, index: int) -> Any:
    return g[along(axis % g.ndim, index)]


reshaped     = op(_reshape,                             a=_back,
                  samples=several(calls((2, 3), np.array([3, 2])), calls((2, 3), -1), calls((), np.array([1, 1])),
                                  calls((0, 3), -1)))
squeeze      = op(_squeeze,      numpy=np.squeeze,      a=_back,
                  samples=several(calls((1, 3, 1)), calls((1, 3, 1), -1)))
expand_dims  = op(_expand_dims,  numpy=np.expand_dims,  a=_back,
                  samples=several(calls((2, 3), 1), calls((), 0), calls((2, 3), axis=(0, -1))))
_transposed  = op(_transpose,                           a=_transpose_rule,
                  samples=several(calls((2, 3)), calls((2, 3, 4), [2, 0, 1]), calls((2, 3, 4), axes=(-1, 0, 1)),
                                  calls((3,))))
swapaxes     = op(_swapaxes,     numpy=np.swapaxes,     a=lambda g, axis1, axis2: np.swapaxes(g, axis1, axis2),
                  samples=several(calls((2, 3, 4), 0, 2), calls((2, 3), -1, 0)))
broadcast_to = op(_broadcast_to, numpy=np.broadcast_to, array=lambda g: g, broadcasts=True,
                  samples=several(calls((3,), shape=(2, 3)), calls((2, 1), shape=(4, 2, 3)), calls((), shape=(2,))))
_flipped     = op(_flip,                                m=lambda g, axis: np.flip(g, axis),
                  samples=several(calls((2, 3)), calls((2, 3), 1), calls((2, 3, 2), axis=(0, -1)), calls(())))
_rolled      = op(_roll,                                a=_roll_rule,
                  samples=several(calls((2, 3), 1), calls((2, 3), -4, 1), calls((2, 3), shift=(1, 2), axis=(0, 1)),
                                  calls((3,), shift=(1, 1), axis=0), calls((0, 2), 1)))

_concatenated = op(_concatenate, arrays=_concatenate_rule,
                   samples=several(calls((2, 3), (1, 3)), calls((2, 3), (2, 2), (2, 0), axis=-1)))
_stacked      = op(_stack,       arrays=_stack_rule,
                   samples=several(calls((2, 3), (2, 3)), calls((3,), (3,), axis=-1)))


# ---- reshaping


@derived(np.reshape, samples=several(
    calls((2, 3), -1), calls((2, 3), [3, 2]), calls((2, 3, 2), shape=(4, 3), order="F"), calls((2, 3), -1, "F"),
    calls((2, 3), [3, 2], order="A", copy=True), calls((2, 3), [3, 2], copy=False),
))  # fmt: skip
def reshape(a: Any, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> Any:
    """Return the elements in another shape; one length may be -1.

    `order` says which index runs first: the last one ("C"), the first one ("F"), or as the array lies in memory ("A").
    True as `copy` copies, False raises ValueError where a copy is needed.
    """
    if order not in ("C", "F", "A"):
        raise ValueError(f"reshape: order is {order!r}, expected 'C', 'F' or 'A'.")
    if copy is False or order == "A":
        array = as_tensor(a).data
        np.reshape(array, shape, order, copy=copy)  # type: ignore[call-overload]  # it is the one that refuses
        order = "F" if order == "A" and array.flags.fnc else "C" if order == "A" else order
    if order == "C":
        out = reshaped(a, shape)
    else:
        lengths = (shape,) if np.ndim(shape) == 0 else tuple(shape)
        out = _transposed(reshaped(_transposed(a), lengths[::-1]))
    return functions.copy(out) if copy else out


@derived(np.ravel, samples=several(calls((2, 3)), calls(()), calls((2, 3), "F"), calls((2, 3), "K"), calls((2,), "A")))
def ravel(a: Any, order: str = "C") -> Any:
    """Return the elements in a row, as ``np.ravel``: `order` as in `reshape`, or "K", as they lie in memory."""
    if order == "K":
        array = as_tensor(a).data
        strides = np.empty_like(array, order="K").strides
        return reshaped(_transposed(a, tuple(sorted(range(array.ndim), key=lambda n: -strides[n]))), -1)
    return reshape(a, -1, order)


def at_least(ndim: int, array: Any) -> Tensor:
    """Return an array with the axes of length 1 that ``np.atleast_1d``, ``2d`` and ``3d`` give it."""
    array = as_tensor(array)
    shape = array.shape
    if len(shape) >= ndim:
        return array
    front = (1,) * (ndim if not shape else ndim == 2 or ndim == 3 and len(shape) == 1)
    return reshaped(array, (*front, *shape, *(1,) * (ndim - len(front) - len(shape))))


def _each_at_least(ndim: int, arrays: tuple[Any, ...]) -> Any:
    found = tuple([at_least(ndim, array) for array in arrays])
    return found[0] if len(found) == 1 else found


@derived(np.atleast_1d, samples=several(calls(()), calls((), (2,), (2, 3))))
def atleast_1d(*arys: Any) -> Any:
    """Return each array with one axis at least; several arrays as a tuple."""
    return _each_at_least(1, arys)


@derived(np.atleast_2d, samples=several(calls(()), calls((), (2,), (2, 3), (1, 2, 1))))
def atleast_2d(*arys: Any) -> Any:
    """Return each array with two axes at least (a vector becomes a row); several arrays as a tuple."""
    return _each_at_least(2, arys)


@derived(np.atleast_3d, samples=several(calls(()), calls((), (2,), (2, 3), (1, 2, 1), (1, 1, 2, 1))))
def atleast_3d(*arys: Any) -> Any:
    """Return each array with three axes at least ((n,) as (1, n, 1), (m, n) as (m, n, 1)); several as a tuple."""
    return _each_at_least(3, arys)


@derived(np.broadcast_arrays, samples=several(calls((2, 1), (3,)), calls((2,), ()), calls((2, 2))))
def broadcast_arrays(*args: Any) -> Any:
    """Return a tuple of the arrays, each in the shape that they broadcast to."""
    shape = np.broadcast_shapes(*[np.shape(array) for array in args])
    return tuple([as_tensor(array) if np.shape(array) == shape else broadcast_to(array, shape) for array in args])


# ---- axes


@derived(np.transpose, np.permute_dims, samples=several(
    calls((2, 3)), calls((2, 3, 4), [2, 0, 1]), calls((2, 3, 4), axes=(-1, 0, 1)), calls((3,), 0),
))  # fmt: skip
def transpose(a: Any, axes: Any = None) -> Any:
    """Return the array with its axes in another order, reversed by default."""
    if axes is None:
        return _transposed(a)
    axes = frozen(axes)
    return _transposed(a, axes if isinstance(axes, tuple) else (axes,))


@derived(np.matrix_transpose, np.linalg.matrix_transpose, samples=several(calls((2, 3)), calls((2, 1, 3))))
def matrix_transpose(x: Any, /) -> Any:
    """Return the array with its last two axes exchanged."""
    if np.ndim(x) < 2:
        raise ValueError(f"matrix_transpose: x has shape {np.shape(x)}, expected two axes at least.")
    return swapaxes(x, -1, -2)


@derived(np.moveaxis, samples=several(
    calls((2, 3, 4), 0, -1), calls((2, 3, 4), source=(0, 2), destination=(-1, 0)), calls((2, 3), [0], [1]),
))  # fmt: skip
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Return the array with axes moved from `source` to `destination`; the others keep their order."""
    ndim = np.ndim(a)
    source = normalize_axis_tuple(source, ndim, "source")
    destination = normalize_axis_tuple(destination, ndim, "destination")
    if len(source) != len(destination):
        raise ValueError(f"moveaxis: source has {len(source)} axes, destination {len(destination)}; expected as many.")
    order = [n for n in range(ndim) if n not in source]
    for place, axis in sorted(zip(destination, source, strict=True)):
        order.insert(place, axis)
    return _transposed(a, tuple(order))


@derived(np.rollaxis, samples=several(calls((2, 3, 4), 2), calls((2, 3, 4), 0, 2), calls((2, 3, 4), -1, -2)))
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """Return the array with `axis` moved to where it stands before `start`."""
    ndim = np.ndim(a)
    axis = normalize_axis_index(axis, ndim)
    if not -ndim <= start <= ndim:
        raise np.exceptions.AxisError(f"rollaxis: start is {start}, expected {-ndim} to {ndim}.")
    start += ndim * (start < 0)
    return moveaxis(a, axis, start - (axis < start))


@derived(np.flip, samples=several(calls((2, 3)), calls((2, 3), 1), calls((2, 3, 2), axis=(0, -1))))
def flip(m: Any, axis: Any = None) -> Any:
    """Return the array with its elements in reverse order along `axis` (all axes by default)."""
    return _flipped(m, frozen(axis))


@derived(np.fliplr, samples=calls((2, 3)))
def fliplr(m: Any) -> Any:
    """Return the array reversed along its second axis."""
    if np.ndim(m) < 2:
        raise ValueError(f"fliplr: m has shape {np.shape(m)}, expected two axes at least.")
    return _flipped(m, 1)


@derived(np.flipud, samples=several(calls((2, 3)), calls((3,))))
def flipud(m: Any) -> Any:
    """Return the array reversed along its first axis."""
    if np.ndim(m) < 1:
        raise ValueError("flipud: m has no axes, expected one at least.")
    return _flipped(m, 0)


@derived(np.rot90, samples=several(
    calls((2, 3)), calls((2, 3), 2), calls((2, 3), -1), calls((2, 3), 4), calls((2, 2, 3), 1, axes=(2, -2)),
))  # fmt: skip
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """Return the array rotated `k` times by 90 degrees, from the first towards the second of `axes`."""
    if len(axes) != 2:
        raise ValueError(f"rot90: axes is {axes}, expected two axes.")
    first, second = [normalize_axis_index(axis, np.ndim(m)) for axis in axes]
    if first == second:
        raise ValueError(f"rot90: axes is {axes}, expected two different axes.")
    if k % 4 == 0:
        return as_tensor(m)
    if k % 4 == 2:
        return _flipped(m, (first, second))
    return swapaxes(_flipped(m, second), first, second) if k % 4 == 1 else _flipped(swapaxes(m, first, second), second)


@derived(np.roll, samples=several(
    calls((2, 3), 1), calls((2, 3), -4, 1), calls((2, 3), shift=(1, 2), axis=(0, 1)), calls((2, 3), [1, 1], 0),
    calls((2, 3), shift=1, axis=(0, 1)),
))  # fmt: skip
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """Return the array with its elements shifted along `axis`; those that leave at one end enter at the other."""
    return _rolled(a, frozen(shift), frozen(axis))


# ---- repeating


@derived(np.tile, samples=several(
    calls((3,), 2), calls((2, 3), [2, 1]), calls((2,), [2, 1, 2]), calls((2, 2), 3), calls((), 2), calls((2,), 0),
))  # fmt: skip
def tile(A: Any, reps: Any) -> Any:
    """Return the array laid side by side, `reps` times along each axis; missing axes and counts are 1, in front."""
    counts = [int(n) for n in np.atleast_1d(np.asarray(reps))]
    shape = np.shape(A)
    counts, shape = [1] * (len(shape) - len(counts)) + counts, (1,) * (len(counts) - len(shape)) + shape
    pairs = list(zip(counts, shape, strict=True))
    apart = reshaped(A, tuple([length for _, n in pairs for length in (1, n)]))
    spread = broadcast_to(apart, tuple([length for pair in pairs for length in pair]))
    return reshaped(spread, tuple([count * n for count, n in pairs]))


@derived(np.repeat, samples=several(
    calls((2, 3), 2), calls((2, 3), 2, 1), calls((2, 3), [1, 0, 2], axis=-1), calls((3,), [2, 0, 1]), calls((), 3),
    calls((2, 2), [3], 0), calls((2,), 0),
))  # fmt: skip
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    """Return each element along `axis` so many times (None: flattened); one count for all, or one for each."""
    if axis is None:
        a, axis = ravel(a), 0
    shape = np.shape(a)
    axis = normalize_axis_index(axis, len(shape))
    counts, n = np.asarray(repeats), shape[axis]
    if counts.size != 1:
        return functions.getitem(a, along(axis, np.repeat(np.arange(n), counts)))
    times = np.repeat(0, counts).size  # NumPy says what is wrong with the count
    before, after = shape[: axis + 1], shape[axis + 1 :]
    spread = broadcast_to(reshaped(a, (*before, 1, *after)), (*before, times, *after))
    return reshaped(spread, (*shape[:axis], n * times, *after))


# ---- joining


def converted(name: str, arrays: Sequence[Any], dtype: Any, casting: str) -> list[Any]:
    """Return arrays in the dtype that a caller asked for, each cast only as `casting` allows."""
    if dtype is None and casting == "same_kind":
        return list(arrays)
    found = [as_tensor(array) for array in arrays]
    target = np.result_type(*[array.dtype for array in found]) if dtype is None else np.dtype(dtype)
    for array in found:
        if not np.can_cast(array.dtype, target, casting):  # type: ignore[arg-type]  # it checks the word itself
            raise TypeError(f"{name}: cannot cast {array.dtype} to {target} with casting={casting!r}.")
    return [array if array.dtype == target else functions.astype(array, target) for array in found]


def _row(generator: Any, *shapes: Any) -> list[Any]:
    return [generator.normal(size=shape) for shape in shapes]


@derived(np.concatenate, np.concat, samples=lambda generator: [
    (_row(generator, (2, 3), (1, 3)),), ((_row(generator, (2, 3), 2),), {"axis": None}),
    ((_row(generator, (2, 3), (2, 1)), -1), {}),
])  # fmt: skip
def concatenate(arrays: Sequence[Any], axis: int | None = 0, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Join tensors or arrays along an existing axis (None: each one flattened first), as ``np.concatenate``."""
    if dtype is not None or casting != "same_kind":
        arrays = converted("concatenate", arrays, dtype, casting)
    if axis is None:
        return _concatenated(*[reshaped(array, -1) for array in arrays])
    return _concatenated(*arrays, axis=axis)


@derived(np.stack, samples=lambda generator: [(_row(generator, (2, 2), (2, 2), (2, 2)), 1)])
def stack(arrays: Sequence[Any], axis: int = 0, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Join tensors or arrays of one shape along a new axis, as ``np.stack``."""
    if dtype is not None or casting != "same_kind":
        arrays = converted("stack", arrays, dtype, casting)
    return _stacked(*arrays, axis=axis)

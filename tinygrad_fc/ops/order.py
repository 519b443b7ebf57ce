"""Picking and order: elements along an axis, sorting, searching, and the places of what is not zero.

Ties: equal elements are sorted in the order in which they stand, so each gets the gradient of its own place. Of equal
elements `unique` returns the first, which takes the gradient. Orders, places and counts are constants.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..engine.dispatch import FUNCTIONS, functions
from ..engine.op import op
from ..engine.tensor import Tensor, constant
from .derived import derived, no_out, numeric
from .elementwise import where as _select
from .indexing import flat, grid, index_set, read, whole_numbers
from .samples import calls, several

# ---- picking


def _condition(name: str, condition: Any) -> Any:
    """Return a condition as an array; one that needs a gradient has none to give."""
    if isinstance(condition, Tensor):
        if condition.requires_grad:
            raise TypeError(
                f"{name}: argument 'condition' takes no gradient, but {condition._label()} needs one: give a "
                f"comparison, such as t > 0 or t != 0."
            )
        return condition.data
    return np.asarray(condition)


def _numbers(value: Any) -> Any:
    """Return the array of a tensor: for results that are constant."""
    return value.data if isinstance(value, Tensor) else numeric(value)


def _constant(array: Any) -> Tensor:
    return constant(np.asarray(array))


@derived(samples=several(
    calls((3, 4), np.array([[0, 1], [3, 2], [2, 1]]), (3, 2), 1), calls((3, 4), np.array([[2, 0, 1, 0]]), (), 0),
    calls((2, 3), np.array([5, 0]), (2,), axis=None),
))  # fmt: skip
def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> Any:
    """Return a copy of `arr` with `values` written where `indices` points along `axis`.

    ``np.put_along_axis`` does so in place, which tensors do not; so it refuses them, and this one returns a new tensor.

    Parameters
    ----------
    arr : Tensor or array_like
    indices : array_like of int
        As many axes as `arr` has; along the others it is broadcast. Where one repeats, the last value stays.
    values : Tensor or array_like
        Broadcast to the shape of `indices`.
    axis : int or None
        The axis that `indices` counts along; None for that of the flattened `arr`.

    Returns
    -------
    Tensor
        Of the shape and dtype of `arr`.
    """
    shape = np.shape(arr)
    arr, axis = flat(arr, axis)
    return functions.reshape(index_set(arr, grid("put_along_axis", np.shape(arr), indices, axis), values), shape)


@derived(np.take, samples=several(
    calls((3, 4), np.array([[0, 11], [5, 5]])), calls((3, 4), np.array([2, 0, 2]), 0), calls((3, 4), 1, axis=-1),
    calls((3, 4), np.array([-7, 9, 1]), 1, mode="wrap"), calls((3, 4), [-7, 9, 1], 1, mode="clip"), calls((), 0),
    calls((3, 0), np.zeros(0, int), 1, mode="wrap"),
))  # fmt: skip
def take(a: Any, indices: Any, axis: int | None = None, out: None = None, mode: str = "raise") -> Any:
    """Return the elements of `a` at `indices` along `axis` (None: of `a` flattened), as ``np.take``.

    Parameters
    ----------
    a : Tensor or array_like
    indices : array_like of int
        Its axes take the place of `axis` in the result.
    axis : int, optional
    out : None
        Not supported.
    mode : {"raise", "wrap", "clip"}
        What an index beyond the end does: it raises, counts on from the start, or means the nearest end (then -1 is 0).
    """
    no_out("take", out)
    a, axis = flat(a, axis)
    shape = np.shape(a)
    axis = normalize_axis_index(operator.index(axis), len(shape))
    index, length = whole_numbers("take", indices), shape[axis]
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"take: mode is {mode!r}, expected 'raise', 'wrap' or 'clip'.")
    if index.size and not length:
        raise IndexError(f"take: axis {axis} of {shape} is empty, and {index.size} elements are to be taken from it.")
    if index.size and mode != "raise":
        index = np.asarray(index % length if mode == "wrap" else index.clip(0, length - 1))
    return read(a, (slice(None),) * axis + (index if index.ndim else int(index),))


@derived(np.compress, samples=several(
    calls(np.array([True, False, True]), (3, 4), 0), calls([0, 1], (3, 4), axis=-1), calls([True, False, True], (2, 3)),
))  # fmt: skip
def compress(condition: Any, a: Any, axis: int | None = None, out: None = None) -> Any:
    """Return the slices of `a` along `axis` for which the 1-d `condition` is true, as ``np.compress``."""
    no_out("compress", out)
    condition = _condition("compress", condition)
    if condition.ndim != 1:
        raise ValueError(f"compress: condition has shape {condition.shape}, expected one axis.")
    return take(a, np.flatnonzero(condition), axis)


@derived(np.extract, samples=several(
    calls(np.array([[True, False], [True, True]]), (2, 2)), calls([1, 0, 1], (2, 3)), calls([False], (3,)),
))  # fmt: skip
def extract(condition: Any, arr: Any) -> Any:
    """Return the elements of `arr`, flattened, for which the flattened `condition` is true, as ``np.extract``."""
    return take(arr, np.flatnonzero(_condition("extract", condition)))


# ---- sorting


def _distinct(*shape: int, **kwargs: Any) -> Any:
    """Return samples of one array whose elements stay clear of each other."""
    return lambda generator: [((generator.permutation(int(np.prod(shape))).reshape(shape) * 0.25 - 0.7,), kwargs)]


def _inverse(order: Any, axis: int) -> Any:
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.arange(order.shape[axis]).reshape((-1,) + (1,) * (order.ndim - axis - 1)), axis)
    return places


def _permute(a: Any, order: Any, axis: int) -> Any:
    return np.take_along_axis(a, order, axis)


def _permute_rule(g: Any, order: Any, axis: int) -> Any:
    return (permute if isinstance(g, Tensor) else _permute)(g, _inverse(order, axis), axis)


# Sorting once the order is known. Its gradient is the inverse permutation, where that of a read would be added up.
permute = op(
    _permute, a=_permute_rule, branch=lambda order: order,
    samples=several(calls((3,), np.array([2, 0, 1]), 0), calls((2, 3), np.array([[1, 2, 0], [0, 2, 1]]), 1),
                    calls((2, 3), np.array([[1, 0, 0], [0, 1, 1]]), 0), calls((0, 2), np.zeros((0, 2), int), 1)),
)  # fmt: skip


def _no_fields(name: str, order: Any) -> None:
    if order is not None:
        raise TypeError(f"{name}: order= is not supported on tensors: it names fields, and tensors have none.")


@derived(np.sort, samples=several(
    _distinct(5), _distinct(3, 4), _distinct(3, 4, axis=0), _distinct(2, 3, axis=None), _distinct(2, 3, 2, axis=-2),
    _distinct(4, kind="heapsort"), _distinct(4, stable=True), _distinct(0, 3), calls((), axis=None),
))  # fmt: skip
def sort(a: Any, axis: int | None = -1, kind: Any = None, order: None = None, *, stable: bool | None = None) -> Any:
    """Return a sorted copy of `a`, as ``np.sort``. The sort is always a stable one.

    Parameters
    ----------
    a : Tensor or array_like
    axis : int or None
        None sorts the flattened array.
    kind, stable : optional
        As NumPy's; every kind gives the same result.
    order : None
        Not supported.
    """
    _no_fields("sort", order)
    np.sort(np.zeros(1), kind=kind, stable=stable)  # NumPy refuses a kind that it does not have
    a, axis = flat(a, axis)
    values = _numbers(a)
    axis = normalize_axis_index(operator.index(axis), values.ndim)
    return permute(a, np.argsort(values, axis, stable=True), axis)


@derived(np.partition, samples=several(
    _distinct(3, kth=1), _distinct(5, kth=(1, -2)), _distinct(3, 2, kth=1, axis=0), _distinct(3, kth=1, axis=None),
))  # fmt: skip
def partition(a: Any, kth: Any, axis: int | None = -1, kind: Any = "introselect", order: None = None) -> Any:
    """Return a copy of `a` with element `kth` where sorting would put it, as ``np.partition``.

    No smaller element comes after it and no larger one before; their order there is undefined.
    """
    _no_fields("partition", order)
    a, axis = flat(a, axis)
    values = _numbers(a)
    axis = normalize_axis_index(operator.index(axis), values.ndim)
    if isinstance(kth, Tensor):
        kth = whole_numbers("partition", kth)
    return permute(a, np.argpartition(values, kth, axis, kind), axis)


argsort      = op(np.argsort,      samples=several(calls((5,)), calls((3, 4), 0), calls((3, 4), axis=None),
                                                   calls((3, 4), axis=-1, stable=True)))
argpartition = op(np.argpartition, samples=several(calls((3,), 1), calls((5,), [1, 3]), calls((3, 2), 1, axis=0)))


@derived(np.lexsort, differentiable=False, samples=several(
    calls((np.array([1.0, 0.0, 1.0]), np.array([2.0, 2.0, 1.0]))), calls((2, 4)), calls((2, 3, 4), axis=0),
))  # fmt: skip
def lexsort(keys: Any, axis: int = -1) -> Tensor:
    """Return the order that sorts by the last of `keys`, and ties by the one before it, as ``np.lexsort``."""
    if not isinstance(keys, Tensor):
        keys = [_numbers(key) for key in keys]
    return _constant(np.lexsort(keys if isinstance(keys, list) else keys.data, axis))


# ---- searching

searchsorted = op(np.searchsorted, samples=several(
    calls(np.array([1.0, 2.0, 2.0, 3.0]), np.array([[0.0, 2.0], [2.5, 9.0]])),
    calls(np.array([1.0, 2.0]), 2.0, "right"),
    calls(np.array([3.0, 1.0, 2.0]), np.array([1.5]), sorter=np.array([1, 2, 0])),
))  # fmt: skip
digitize = op(np.digitize, samples=several(
    calls(np.array([0.2, 6.4, 1.0]), np.array([0.0, 1.0, 2.5])),
    calls(np.array([1.0]), np.array([2.0, 1.0]), right=True),
))  # fmt: skip


@derived(np.unique, samples=several(
    _distinct(4), _distinct(2, 3), _distinct(3, 2, axis=0), _distinct(2, 2, axis=-1),
))  # fmt: skip
def unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
    axis: int | None = None, *, equal_nan: bool = True, sorted: bool = True,
) -> Any:  # fmt: skip
    """Return the distinct elements of `ar` (or its distinct slices along `axis`), sorted, as ``np.unique``.

    Parameters
    ----------
    ar : Tensor or array_like
    return_index, return_inverse, return_counts : bool
        Whether to return, too, where each first stands, which one each element is, and how many there are of each.
    axis : int, optional
        None takes the elements of the flattened array.
    equal_nan : bool
        Whether all NaN are one.
    sorted : bool
        False allows any order; they are sorted all the same.

    Returns
    -------
    Tensor, or tuple of Tensor
        The values, through which gradients flow to the first of equal elements; then constants, as asked for.
    """
    wanted: Any = {"return_index": True, "return_inverse": return_inverse, "return_counts": return_counts}
    found: Any = np.unique(_numbers(ar), axis=axis, equal_nan=equal_nan, **wanted)
    first, *rest = found[1:]
    values = take(ar, first, axis)
    results = (values, *[_constant(array) for array in ([first] * return_index + rest)])
    return results if len(results) > 1 else values


# ---- where something is


@derived(np.nonzero, differentiable=False, samples=several(
    calls(np.array([[0.0, 1.5], [2.0, 0.0]])), calls(np.array([True, False])), calls(np.zeros((2, 0))),
))  # fmt: skip
def nonzero(a: Any) -> tuple[Tensor, ...]:
    """Return the indices of the elements that are not zero, one tensor for each axis, as ``np.nonzero``."""
    return tuple([_constant(index) for index in np.nonzero(_numbers(a))])


argwhere    = op(np.argwhere,    samples=several(calls(np.array([[0.0, 1.5], [2.0, 0.0]])), calls(np.array(1.0))))
flatnonzero = op(np.flatnonzero, samples=several(calls(np.array([[0.0, 1.5], [2.0, 0.0]])), calls(np.array(0.0))))


@derived(np.where, samples=several(
    calls(np.array([True, False, True]), (3,), (2, 3)), calls(np.array([[True], [False]]), (3,), 1.5),
    calls(np.array([True, False, True])),
))  # fmt: skip
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """Return `x` where `condition` is true and `y` elsewhere; of a condition alone, ``nonzero(condition)``."""
    if x is None and y is None:
        return nonzero(condition)
    if x is None or y is None:
        raise ValueError("where: given one of x and y, expected both, or neither for the places that are not zero.")
    return _select(condition, x, y)


@derived(np.unravel_index, differentiable=False, samples=several(
    calls(np.array([5, 0, 3]), np.array([2, 3])), calls(5, [2, 3], order="F"),
))  # fmt: skip
def unravel_index(indices: Any, shape: Any, order: Any = "C") -> tuple[Tensor, ...]:
    """Return the index along each axis of `shape` that a flat index means, as ``np.unravel_index``."""
    found = np.unravel_index(whole_numbers("unravel_index", indices), shape, order)
    return tuple([_constant(index) for index in found])


@derived(np.ravel_multi_index, differentiable=False, samples=several(
    calls([np.array([1, 0]), np.array([2, 1])], [2, 3]), calls([np.array([1, 5]), np.array([-1, 1])], [2, 3], "wrap"),
))  # fmt: skip
def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: Any = "C") -> Tensor:
    """Return the flat index that an index along each axis of `dims` means, as ``np.ravel_multi_index``."""
    indices = tuple([whole_numbers("ravel_multi_index", index) for index in multi_index])
    return _constant(np.ravel_multi_index(indices, dims, mode, order))


@derived(np.ix_, name="ix_", samples=several(
    calls(np.array([0, 2]), np.array([True, False, True])), calls(np.array([1])), calls((3,), (0,), (2,)),
))  # fmt: skip
def ix_(*args: Any) -> tuple[Tensor, ...]:
    """Return the open mesh of some vectors, one tensor for each axis, as ``np.ix_``: of indices, a key for their grid.

    A mask stands for the indices of what is true. The mesh of floats has gradients.
    """
    found = []
    for n, arg in enumerate(args):
        arg = arg if isinstance(arg, Tensor) else constant(numeric(arg))
        if arg.ndim != 1:
            raise ValueError(f"ix_: argument {n} has shape {arg.shape}, expected one axis.")
        if not arg.size and not isinstance(args[n], (Tensor, np.ndarray)):
            arg = constant(np.zeros(0, np.intp))  # an empty list is one of indices
        if arg.dtype == bool:
            arg = constant(np.flatnonzero(arg.data))
        found.append(functions.reshape(arg, (1,) * n + (-1,) + (1,) * (len(args) - n - 1)))
    return tuple(found)


# ---- what cannot be: writing in place


def _in_place(function: Any, instead: str) -> None:
    """Let a NumPy function that writes into its argument refuse tensors, and name what to write instead."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"np.{function.__name__} writes in place, and tensors are not written in place: use {instead}, "
            f"which returns a new tensor, or t.data for the array."
        )

    refuse.__name__ = function.__name__
    FUNCTIONS[function] = refuse


_in_place(np.put_along_axis, "tg.put_along_axis(t, indices, values, axis), or t.at[i].set(v)")
_in_place(np.put, "t.ravel().at[i].set(v).reshape(t.shape)")
_in_place(np.place, "np.where(mask, v, t), or t.at[mask].set(v)")
_in_place(np.putmask, "np.where(mask, v, t), or t.at[mask].set(v)")
_in_place(np.copyto, "np.where(mask, v, t), or t.at[...].set(v)")
_in_place(np.fill_diagonal, "t.at[np.arange(n), np.arange(n)].set(v)")

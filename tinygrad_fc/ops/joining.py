"""Joining and splitting: arrays made of others, and parts of them, written with operations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from operator import index
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..engine.dispatch import functions
from ..engine.tensor import Tensor
from .derived import derived
from .samples import Samples, calls, several
from .shaping import along, as_tensor, at_least, concatenate, converted, ravel, reshape


def _lists(*shapes: Any, **kwargs: Any) -> Samples:
    """One call with a list of arrays."""
    return lambda generator: [(([generator.normal(size=shape) for shape in shapes],), kwargs)]


# ---- joining


@derived(np.vstack, samples=several(_lists((2, 3), (1, 3)), _lists((3,), (3,)), _lists((), ()), _lists((2,), (3, 2))))
def vstack(tup: Sequence[Any], *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Join arrays along the first axis; vectors are rows."""
    return concatenate([at_least(2, array) for array in converted("vstack", tup, dtype, casting)], axis=0)


@derived(np.hstack, samples=several(_lists((2, 3), (2, 1)), _lists((3,), (2,)), _lists((), ()), _lists((1, 2, 2))))
def hstack(tup: Sequence[Any], *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """Join arrays along the second axis, vectors along their only one."""
    arrays = [at_least(1, array) for array in converted("hstack", tup, dtype, casting)]
    return concatenate(arrays, axis=0 if arrays and arrays[0].ndim == 1 else 1)


@derived(np.dstack, samples=several(_lists((2, 3), (2, 3)), _lists((3,), (3,)), _lists((2, 3, 1), (2, 3))))
def dstack(tup: Sequence[Any]) -> Any:
    """Join arrays along the third axis; (n,) counts as (1, n, 1), (m, n) as (m, n, 1)."""
    return concatenate([at_least(3, array) for array in tup], axis=2)


@derived(np.column_stack, samples=several(_lists((3,), (3,)), _lists((3, 2), (3,)), _lists((), ())))
def column_stack(tup: Sequence[Any]) -> Any:
    """Join arrays along the second axis; vectors are columns."""
    arrays = [as_tensor(array) for array in tup]
    columns = [array if array.ndim > 1 else reshape(array, (-1, 1)) for array in arrays]
    return concatenate(columns, axis=1)


def _depth(blocks: Any) -> tuple[int, int]:
    """Return how deep lists of blocks are nested, and the largest number of axes of a block."""
    if isinstance(blocks, tuple):
        raise TypeError("block: arrays holds a tuple; blocks are arranged in lists only, and a tuple is no array.")
    if not isinstance(blocks, list):
        return 0, np.ndim(blocks)
    if not blocks:
        raise ValueError("block: arrays holds an empty list; expected a block or more in each.")
    inner = [_depth(block) for block in blocks]
    if len({depth for depth, _ in inner}) > 1:
        raise ValueError("block: arrays is nested to different depths; expected each block in as many lists.")
    return inner[0][0] + 1, max(ndim for _, ndim in inner)


@derived(np.block, samples=lambda generator: [
    ([[generator.normal(size=(2, 2)), generator.normal(size=(2, 1))], [generator.normal(size=(1, 3))]],),
    ([generator.normal(size=3), np.array(1.5)],), ([[generator.normal(size=(1, 2, 2))], [generator.normal(size=2)]],),
    (generator.normal(size=(2, 3)),),
])  # fmt: skip
def block(arrays: Any) -> Any:
    """Join nested lists of arrays: the innermost along the last axis, those around them along the one before, ..."""
    depth, ndim = _depth(arrays)
    ndim = max(depth, ndim)

    def join(blocks: Any, axis: int) -> Any:
        if isinstance(blocks, list):
            return concatenate([join(block, axis + 1) for block in blocks], axis=axis)
        blocks = as_tensor(blocks)
        return blocks if blocks.ndim == ndim else reshape(blocks, (1,) * (ndim - blocks.ndim) + blocks.shape)

    return join(arrays, -depth)


@derived(np.append, samples=several(calls((2, 3), (2,)), calls((2, 3), (1, 3), 0), calls((2, 2), (2, 1), axis=-1)))
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """Return `values` joined to the end of `arr` along `axis` (None: both flattened)."""
    if axis is None:
        return concatenate([ravel(arr), ravel(values)])
    return concatenate([arr, values], axis=axis)


@derived(np.insert, samples=several(
    calls((2, 3), 1, ()), calls((3, 2), 1, (2,), axis=0), calls((3, 2), -1, (3,), axis=1),
    calls((3, 2), [0, 2, 2], (3, 2), axis=0), calls((3, 2), slice(0, 2), (), axis=1), calls((4,), [1, 3], 2.0),
    calls((2, 3), [1], (2, 2), axis=1), calls((3,), np.array([True, False, True]), (2,)),
))  # fmt: skip
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """Return `arr` with `values` inserted along `axis` before the places that `obj` names (None: flattened)."""
    arr, values = as_tensor(arr), as_tensor(values)
    if values.dtype != arr.dtype:
        values = functions.astype(values, arr.dtype)
    # NumPy inserts places into places: where each element of the result is found in both arrays, one after the other.
    ours = np.arange(arr.size).reshape(arr.shape)
    theirs = np.arange(arr.size, arr.size + values.size).reshape(values.shape)
    where = np.insert(ours, obj.data if isinstance(obj, Tensor) else obj, theirs, axis)
    return reshape(concatenate([ravel(arr), ravel(values)])[where.ravel()], where.shape)


@derived(np.delete, samples=several(
    calls((2, 3), 1), calls((3, 2), 1, 0), calls((2, 4), [0, -1], axis=-1), calls((2, 4), slice(None, None, 2), 1),
    calls((4,), np.array([True, False, False, True])), calls((3,), []),
))  # fmt: skip
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """Return `arr` without what `obj` (an index, a slice, indices or a mask) names along `axis` (None: flattened)."""
    arr = as_tensor(arr)
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = normalize_axis_index(axis, arr.ndim)
    n = arr.shape[axis]
    stays = np.zeros(n, dtype=bool)
    stays[np.delete(np.arange(n), obj.data if isinstance(obj, Tensor) else obj)] = True
    return arr[along(axis, stays)]


# ---- splitting


def _parts(ary: Any, axis: int, cuts: list[Any]) -> list[Any]:
    return [functions.getitem(ary, along(axis, slice(*ends))) for ends in pairwise(cuts)]


@derived(np.array_split, samples=several(
    calls((5, 2), 3), calls((2, 4), [1, 3], axis=-1), calls((3,), 4), calls((4,), [2, 1, 9]),
))  # fmt: skip
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """Return a list of parts along `axis`: so many, as equal as can be, or cut before each of the indices."""
    axis = normalize_axis_index(axis, np.ndim(ary))
    n = np.shape(ary)[axis]
    if np.ndim(indices_or_sections):
        return _parts(ary, axis, [0, *map(index, indices_or_sections), n])
    sections = int(indices_or_sections)
    if sections <= 0:
        raise ValueError(f"array_split: indices_or_sections is {sections}, expected 1 section or more.")
    each, longer = divmod(n, sections)
    return _parts(ary, axis, [k * each + min(k, longer) for k in range(sections + 1)])


@derived(np.split, samples=several(calls((4, 2), 2), calls((2, 3), 3, axis=-1), calls((4,), [1, 2])))
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """Return a list of parts along `axis`: so many equal ones, or cut before each of the indices."""
    n = np.shape(ary)[normalize_axis_index(axis, np.ndim(ary))]
    if not np.ndim(indices_or_sections) and int(indices_or_sections) > 0 and n % int(indices_or_sections):
        raise ValueError(
            f"split: axis {axis} of length {n} does not divide into {int(indices_or_sections)} equal parts; "
            f"array_split makes unequal ones."
        )
    return array_split(ary, indices_or_sections, axis)


def _check_axes(name: str, ary: Any, ndim: int) -> None:
    if np.ndim(ary) < ndim:
        raise ValueError(f"{name}: ary has shape {np.shape(ary)}, expected {ndim} {'axis' if ndim == 1 else 'axes'} "
                         f"at least.")  # fmt: skip


@derived(np.vsplit, samples=calls((4, 2), 2))
def vsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Return a list of parts along the first axis of an array of two axes or more, as `split`."""
    _check_axes("vsplit", ary, 2)
    return split(ary, indices_or_sections, 0)


@derived(np.hsplit, samples=several(calls((2, 4), 2), calls((4,), [1, 3])))
def hsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Return a list of parts along the second axis, or along the only one, as `split`."""
    _check_axes("hsplit", ary, 1)
    return split(ary, indices_or_sections, 0 if np.ndim(ary) == 1 else 1)


@derived(np.dsplit, samples=calls((1, 2, 4), 2))
def dsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Return a list of parts along the third axis, as `split`."""
    _check_axes("dsplit", ary, 3)
    return split(ary, indices_or_sections, 2)


@derived(np.unstack, samples=several(calls((2, 3)), calls((2, 3), axis=-1), calls((2,))))
def unstack(x: Any, /, *, axis: int = 0) -> Any:
    """Return a tuple of the arrays that are stacked along `axis`."""
    if not np.ndim(x):
        raise ValueError("unstack: x has no axes, expected one at least.")
    axis = normalize_axis_index(axis, np.ndim(x))
    return tuple([functions.getitem(x, along(axis, n)) for n in range(np.shape(x)[axis])])

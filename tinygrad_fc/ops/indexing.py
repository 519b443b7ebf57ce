"""Indexing: every form of NumPy's, reading (``t[key]``) and writing into a copy (``t.at[key].set``, ``.add``)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..engine.dispatch import FUNCTIONS, functions
from ..engine.op import op
from ..engine.tensor import Tensor
from .samples import calls, several


def _plain(key: Any) -> Any:
    """Return an index with its tensors replaced by their arrays, and its lists made arrays, once for all uses."""
    if isinstance(key, tuple):
        return tuple([_plain(part) for part in key])
    if isinstance(key, Tensor):
        key = key.numpy()
    if isinstance(key, np.ndarray):
        return key.copy()  # the rule reads it again on the way back: what its owner does meanwhile is not ours
    if isinstance(key, list):
        array = np.asarray([_plain(part) for part in key])
        return array if array.size else array.astype(np.intp)  # an empty list picks nothing; its array is of floats
    return key


def is_basic(key: Any) -> bool:
    """Whether a key picks each element at most once: slices, integers, None, Ellipsis, or one boolean mask."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(
        part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice))
        or (isinstance(part, np.ndarray) and part.dtype == bool)
        for part in parts
    )  # fmt: skip


def _getitem(a: Any, key: Any) -> Any:
    return np.asarray(a)[key]


def _scatter(g: Any, key: Any, shape: tuple[int, ...]) -> Any:
    """Return zeros of `shape` with `g` added at `key`: the transpose of reading."""
    out = np.zeros(shape, np.result_type(g))
    if is_basic(key):
        out[key] = g
    else:
        np.add.at(out, key, g)
    return out


def _index_set(a: Any, key: Any, values: Any) -> Any:
    out = np.array(a)
    out[key] = values
    return out


def _index_add(a: Any, key: Any, values: Any) -> Any:
    out = np.array(a)
    if is_basic(key):
        out[key] += values
    else:
        np.add.at(out, key, values)
    return out


def _set_rule(g: Any, key: Any) -> Any:
    return index_set(g, key, 0.0) if isinstance(g, Tensor) else _index_set(g, key, 0.0)


def _set_values_rule(g: Any, key: Any, a_shape: tuple[int, ...]) -> Any:
    read = g[key]
    if is_basic(key):
        return read
    # An index that repeats is written several times and the last value stays: only that one gets the gradient.
    turn = np.arange(read.size).reshape(read.shape)
    last = np.full(a_shape, -1)
    last[key] = turn
    return np.where(last[key] == turn, read, 0.0)


CURE = "The values must broadcast to what the key picks."
_rows = np.array([0, 2, 0])
_mask = np.array([True, False, True])

scatter = op(
    _scatter, g=lambda g, key: g[key],
    samples=several(calls((2,), slice(0, 2), shape=(4,)), calls((3, 2), _rows, shape=(3, 2)), calls((), 1, shape=(3,))),
)  # fmt: skip
_index = op(
    _getitem, name="getitem",
    a=lambda g, key, a_shape: (scatter if isinstance(g, Tensor) else _scatter)(g, key, a_shape),
    cure="An index must fit the axes of the tensor.",
    samples=several(
        calls((3, 4), 1), calls((3, 4), key=(slice(None, None, -2), None, 2)), calls((3, 4), _rows),
        calls((3, 4), _mask), calls((3, 2, 4), key=(_rows, slice(None), np.array([1, 1, 3]))),
        calls((3, 4), key=(Ellipsis, -1)), calls((), key=()), calls((3, 4), key=(_rows[:, None], np.array([0, 1]))),
        calls((3,), slice(2, 2)),
    ),
)  # fmt: skip
index_set = op(
    _index_set, broadcasts=True, cure=CURE, a=_set_rule, values=_set_values_rule,
    samples=several(calls((3, 4), 1, (4,)), calls((3, 4), _rows, (3, 4)), calls((3, 4), slice(0, 2), ()),
                    calls((3, 4), _mask, 1.5)),
)  # fmt: skip
index_add = op(
    _index_add, broadcasts=True, cure=CURE, a=lambda g: g, values=lambda g, key: g[key],
    samples=several(calls((3, 4), 1, (4,)), calls((3, 4), _rows, (3, 4)), calls((3, 4), slice(0, 2), (1, 4))),
)  # fmt: skip


def getitem(a: Any, key: Any) -> Any:
    """Return ``a[key]`` for any index that NumPy takes; tensors may stand in the key."""
    return _index(a, _plain(key))


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """Return for each position the element of `arr` that `indices` names along `axis`, as ``np.take_along_axis``."""
    if axis is None:
        arr, axis = functions.reshape(arr, -1), 0
    index = _plain(indices) if isinstance(indices, Tensor) else np.asarray(indices)
    shape = arr.shape if isinstance(arr, Tensor) else np.shape(arr)
    if index.dtype.kind not in "iu":
        raise IndexError(f"take_along_axis: indices has dtype {index.dtype}, expected integers.")
    if index.ndim != len(shape):
        raise ValueError(f"take_along_axis: indices has {index.ndim} axes, expected {len(shape)}, as many as arr.")
    axis = normalize_axis_index(axis, len(shape))
    grid: list[Any] = [np.arange(n).reshape((-1,) + (1,) * (len(shape) - k - 1)) for k, n in enumerate(shape)]
    grid[axis] = index
    return _index(arr, tuple(grid))


class _At:
    """``t.at[key]``: what can be done there. The tensor itself never changes."""

    def __init__(self, tensor: Tensor, key: Any = None) -> None:
        self._tensor, self._key = tensor, key

    def __getitem__(self, key: Any) -> _At:
        return _At(self._tensor, (_plain(key),) if key is None else _plain(key))

    def _check(self, method: str) -> None:
        if self._key is None:
            raise TypeError(f"at.{method}: no index is given. Wrong: t.at.{method}(v). Right: t.at[i].{method}(v).")

    def set(self, values: Any) -> Tensor:
        """Return a copy with `values` written at the key (broadcast to it)."""
        self._check("set")
        return index_set(self._tensor, self._key, values)

    def add(self, values: Any) -> Tensor:
        """Return a copy with `values` added at the key; an index that repeats adds each time."""
        self._check("add")
        return index_add(self._tensor, self._key, values)


functions.getitem = getitem
functions.take_along_axis = FUNCTIONS[np.take_along_axis] = take_along_axis
functions.at = _At

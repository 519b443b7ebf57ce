"""Indexing: every form of NumPy's, reading (``t[key]``) and writing into a copy (``t.at[key].set``, ``.add``, ...).

Ties: of values set at the same place the last one stays, and takes the gradient. ``at.max`` and ``at.min`` share it
equally among all that attain the extreme, the old element included.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..engine.dispatch import functions
from ..engine.op import op
from ..engine.tensor import Tensor
from .branches import picks
from .derived import derived
from .samples import calls, several


def _plain(key: Any) -> Any:
    """Return an index with its tensors replaced by their arrays, and its lists made arrays, once for all uses."""
    if isinstance(key, tuple):
        return tuple([_plain(part) for part in key])
    if isinstance(key, Tensor):
        if key.requires_grad:
            raise TypeError(
                f"{key._label()} needs a gradient, so it holds floats, and no index does: an index is a comparison "
                f"(t > 0), an order (t.argmax()), or whole numbers (t.detach().astype(int))."
            )
        key = key.data
    if isinstance(key, np.ndarray):
        return key.copy()  # the rule reads it again on the way back: what its owner does meanwhile is not ours
    if isinstance(key, list):
        array = np.asarray([_plain(part) for part in key])
        return array if array.size else array.astype(np.intp)  # an empty list picks nothing; its array is of floats
    if type(key) is slice and not {type(key.start), type(key.stop), type(key.step)} <= _BOUNDS:
        return slice(*[_bound(bound) for bound in (key.start, key.stop, key.step)])
    return key


_BOUNDS = frozenset((int, type(None)))


def _bound(bound: Any) -> Any:
    return operator.index(bound) if isinstance(bound, (Tensor, np.ndarray)) else bound


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


def _apply_at(ufunc: Any, out: Any, key: Any, values: Any) -> Any:
    """Do ``ufunc.at(out, key, values)`` and return `out`; quicker where the key repeats nothing."""
    whole = np.result_type(out.dtype, values)
    if not np.can_cast(whole, out.dtype, "same_kind"):  # ufunc.at makes 2 of 1 + 1.5, in silence
        raise TypeError(f"the result is of {whole} and cannot become {out.dtype} without loss: convert with astype")
    if is_basic(key):
        picked = out[key]
        out[key] = ufunc(picked, values, out=picked if isinstance(picked, np.ndarray) else None)
    else:
        ufunc.at(out, key, values)
    return out


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
    if np.iscomplexobj(values) and not np.iscomplexobj(out):
        raise TypeError(f"complex values cannot be set in {out.dtype} without loss: take values.real")
    out[key] = values
    return out


def _index_add(a: Any, key: Any, values: Any) -> Any:
    return _apply_at(np.add, np.array(a), key, values)


def _index_multiply(a: Any, key: Any, values: Any) -> Any:
    return _apply_at(np.multiply, np.array(a), key, values)


def _index_max(a: Any, key: Any, values: Any) -> Any:
    return _apply_at(np.maximum, np.array(a), key, values)


def _index_min(a: Any, key: Any, values: Any) -> Any:
    return _apply_at(np.minimum, np.array(a), key, values)


def _set_rule(g: Any, key: Any) -> Any:
    return index_set(g, key, 0.0) if isinstance(g, Tensor) else _index_set(g, key, 0.0)


def _set_values_rule(g: Any, key: Any, a_shape: tuple[int, ...]) -> Any:
    picked = g[key]
    if is_basic(key):
        return picked
    # An index that repeats is written several times and the last value stays: only that one gets the gradient.
    turn = np.arange(picked.size).reshape(picked.shape)
    last = np.full(a_shape, -1)
    last[key] = turn
    return np.where(last[key] == turn, picked, 0.0)


def _multiply_rule(g: Any, key: Any, values: Any) -> Any:
    return (index_multiply if isinstance(g, Tensor) else _index_multiply)(g, key, values)


def _multiply_values_rule(g: Any, a: Any, key: Any, values: Any) -> Any:
    return g[key] * (a[key] if is_basic(key) else _others_at(a, key, values))


def _others_at(a: Any, key: Any, values: Any) -> Any:
    """Return for each value the product of the element it meets and of all other values that meet the same.

    There is nothing to divide by where a value is 0, so the values of each place are multiplied up a tree of pairs, and
    the products of the others go down again.
    """
    met = a[key]
    places = np.ravel(np.arange(a.size).reshape(a.shape)[key])
    heads, sizes = np.unique(places, return_counts=True)
    if heads.size == places.size:
        return met
    order = np.argsort(places, kind="stable")  # values of one place now stand side by side
    rows = np.broadcast_to(values, met.shape).reshape(-1)[order]
    levels = []
    while sizes.max() > 1:
        turn = np.arange(rows.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        alone = (turn ^ 1) >= np.repeat(sizes, sizes)
        twin = np.where(alone, rows.size, np.arange(rows.size) + 1 - 2 * (turn % 2))
        padded = np.concatenate([rows, np.ones_like(rows[:1])])  # who is alone is paired with a 1
        halves = (sizes + 1) // 2
        levels.append((padded, twin, np.repeat(np.cumsum(halves) - halves, sizes) + turn // 2))
        first = np.flatnonzero(turn % 2 == 0)
        rows, sizes = rows[first] * padded[twin[first]], halves
    others = a.reshape(-1)[heads]
    for padded, twin, parent in reversed(levels):
        others = others[parent] * padded[twin]
    return others[np.argsort(order)].reshape(met.shape)


def _data(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def _attains(value: Any, out: Any) -> Any:
    """Return where a value is what came out: a constant, whatever is recorded. A NaN attains its place."""
    # A value was cast to the dtype of the result before it was compared with others.
    value, out = np.asarray(_data(value)).astype(_data(out).dtype), _data(out)
    return np.asarray((value == out) | (value != value))


def _share(g: Any, a: Any, out: Any, key: Any, values: Any) -> Any:
    wins = _attains(values, _data(out)[key])
    return g / _apply_at(np.add, _attains(a, out).astype(g.dtype), key, wins.astype(g.dtype))


def _extreme_rule(g: Any, a: Any, out: Any) -> Any:
    return np.where(_attains(a, out), g, 0.0)


def _extreme_values_rule(g: Any, out: Any, key: Any, values: Any) -> Any:
    return np.where(_attains(values, _data(out)[key]), g[key], 0.0)


def _attained(a: Any, out: Any, key: Any, values: Any) -> Any:
    """Return the branch of an extreme: which elements, and which values, are what came out."""
    return np.concatenate([picks(key), np.ravel(_attains(a, out)), np.ravel(_attains(values, out[key]))])


CURE = "The values must broadcast to what the key picks."
_rows = np.array([0, 2, 0])
_mask = np.array([True, False, True])

scatter = op(
    _scatter, g=lambda g, key: g[key], branch=picks,
    samples=several(calls((2,), slice(0, 2), shape=(4,)), calls((3, 2), _rows, shape=(3, 2)), calls((), 1, shape=(3,))),
)  # fmt: skip
read = op(
    _getitem, name="getitem",
    a=lambda g, key, a_shape: (scatter if isinstance(g, Tensor) else _scatter)(g, key, a_shape),
    cure="An index must fit the axes of the tensor.", branch=picks,
    samples=several(
        calls((3, 4), 1), calls((3, 4), key=(slice(None, None, -2), None, 2)), calls((3, 4), _rows),
        calls((3, 4), _mask), calls((3, 2, 4), key=(_rows, slice(None), np.array([1, 1, 3]))),
        calls((3, 4), key=(Ellipsis, -1)), calls((), key=()), calls((3, 4), key=(_rows[:, None], np.array([0, 1]))),
        calls((3,), slice(2, 2)),
    ),
)  # fmt: skip
index_set = op(
    _index_set, broadcasts=True, cure=CURE, a=_set_rule, values=_set_values_rule, branch=picks,
    samples=several(calls((3, 4), 1, (4,)), calls((3, 4), _rows, (3, 4)), calls((3, 4), slice(0, 2), ()),
                    calls((3, 4), _mask, 1.5)),
)  # fmt: skip
index_add = op(
    _index_add, broadcasts=True, cure=CURE, a=lambda g: g, values=lambda g, key: g[key], branch=picks,
    samples=several(calls((3, 4), 1, (4,)), calls((3, 4), _rows, (3, 4)), calls((3, 4), slice(0, 2), (1, 4))),
)  # fmt: skip
index_multiply = op(
    _index_multiply, broadcasts=True, cure=CURE, a=_multiply_rule, values=_multiply_values_rule,
    branch=picks,
    samples=several(
        calls((3, 4), 1, (4,)), calls((3, 4), _rows, (3, 4)), calls((3, 4), np.zeros(5, int), (5, 1)),
        calls((3, 4), slice(0, 2), (1, 4)), calls((4,), np.array([0, 3]), (2,)), calls((4,), _rows, 1.5),
        calls(np.array([0.0, 2.0, 3.0]), np.array([0, 0, 2, 2, 2]), np.array([0.0, 2.0, 0.0, 1.5, 2.5])),
    ),
)  # fmt: skip


def _spaced(generator: Any) -> list[Any]:
    """Return arguments of ``at.max`` and ``at.min`` whose elements and values stay clear of each other."""
    found = []
    for shape, key, values in (
        ((3, 4), 1, (4,)), ((3, 4), _rows, (3, 4)), ((4,), np.zeros(5, int), (5,)), ((3, 4), slice(0, 2), (1, 4)),
        ((3,), _mask, ()), ((), (), ()),
    ):  # fmt: skip
        size, more = int(np.prod(shape)), int(np.prod(values))
        grid = generator.permutation(size + more) * 0.25 - 0.7
        found.append((grid[:size].reshape(shape), key, grid[size:].reshape(values)))
    return found


index_max = op(_index_max, broadcasts=True, cure=CURE, via=_share, a=_extreme_rule, values=_extreme_values_rule,
               samples=_spaced, branch=_attained)
index_min = op(_index_min, broadcasts=True, cure=CURE, via=_share, a=_extreme_rule, values=_extreme_values_rule,
               samples=_spaced, branch=_attained)


def getitem(a: Any, key: Any) -> Any:
    """Return ``a[key]`` for any index that NumPy takes; tensors may stand in the key."""
    return read(a, _plain(key))


def whole_numbers(name: str, indices: Any) -> np.ndarray:
    """Return indices as an array of integers of its own, or raise."""
    index = _plain(indices) if isinstance(indices, Tensor) else np.array(indices)
    if not index.size:
        return index.astype(np.intp)
    if index.dtype.kind not in "iu":
        raise IndexError(f"{name}: indices has dtype {index.dtype}, expected integers.")
    return index


def flat(a: Any, axis: Any) -> tuple[Any, Any]:
    """Return `a` and its axis; flattened, and axis 0, where the axis is None."""
    return (functions.reshape(a, -1), 0) if axis is None else (a, axis)


def grid(name: str, shape: tuple[int, ...], indices: Any, axis: int) -> tuple[Any, ...]:
    """Return the key that picks `indices` along `axis`, and each position along the others."""
    index = whole_numbers(name, indices)
    if index.ndim != len(shape):
        raise ValueError(f"{name}: indices has {index.ndim} axes, expected {len(shape)}, as many as arr.")
    axis = normalize_axis_index(axis, len(shape))
    grid: list[Any] = [np.arange(n).reshape((-1,) + (1,) * (len(shape) - k - 1)) for k, n in enumerate(shape)]
    grid[axis] = index
    return tuple(grid)


@derived(np.take_along_axis, samples=several(
    calls((3, 4), np.array([[0, 1], [3, 3], [2, -1]]), axis=1), calls((3, 4), np.array([[2, 0, 1, 0]]), 0),
    calls((2, 3), np.array([5, 0, 5]), axis=None),
))  # fmt: skip
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """Return for each position the element of `arr` that `indices` names along `axis`, as ``np.take_along_axis``."""
    arr, axis = flat(arr, axis)
    return read(arr, grid("take_along_axis", np.shape(arr), indices, axis))


class _At:
    """``t.at[key]``: what can be done there. The tensor itself never changes."""

    def __init__(self, tensor: Tensor, key: Any = None) -> None:
        self._tensor, self._key = tensor, key

    def __getitem__(self, key: Any) -> _At:
        return _At(self._tensor, (_plain(key),) if key is None else _plain(key))

    def _write(self, operation: Any, method: str, values: Any) -> Tensor:
        if self._key is None:
            raise TypeError(f"at.{method}: no index is given. Wrong: t.at.{method}(v). Right: t.at[i].{method}(v).")
        result: Tensor = operation(self._tensor, self._key, values)
        return result

    def set(self, values: Any) -> Tensor:
        """Return a copy with `values` written at the key (broadcast to it); where it repeats, the last one stays."""
        return self._write(index_set, "set", values)

    def add(self, values: Any) -> Tensor:
        """Return a copy with `values` added at the key; an index that repeats adds each time."""
        return self._write(index_add, "add", values)

    def multiply(self, values: Any) -> Tensor:
        """Return a copy multiplied by `values` at the key; an index that repeats multiplies each time."""
        return self._write(index_multiply, "multiply", values)

    def max(self, values: Any) -> Tensor:
        """Return a copy with the larger of element and value at the key; where it repeats, the largest of all."""
        return self._write(index_max, "max", values)

    def min(self, values: Any) -> Tensor:
        """Return a copy with the smaller of element and value at the key; where it repeats, the smallest of all."""
        return self._write(index_min, "min", values)


functions.getitem = getitem
functions.at = _At

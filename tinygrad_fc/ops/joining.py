"""Joining, splitting and padding: arrays made of others, and parts of them. Most is written with operations.

Ties and kinks: where an element stands in a result several times, its gradients add. ``pad`` with the maximum or the
minimum shares the gradient of the margin equally among all that attain it, as ``max`` and ``min`` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from operator import index
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..engine.dispatch import functions
from ..engine.op import op
from ..engine.tensor import Tensor, constant
from .derived import derived
from .samples import Samples, calls, several
from .shaping import along, as_tensor, at_least, broadcast_to, concatenate, converted, flip, ravel, reshape


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


# ---- padding

# What each mode takes besides the widths.
_PAD_KEYWORDS = {
    "constant": "constant_values", "empty": "", "edge": "", "wrap": "", "linear_ramp": "end_values",
    "reflect": "reflect_type", "symmetric": "reflect_type", "maximum": "stat_length", "minimum": "stat_length",
    "mean": "stat_length", "median": "stat_length",
}  # fmt: skip
_STATISTICS = {"maximum": "max", "minimum": "min", "mean": "mean", "median": "median"}


def _pad_constant(array: Any, pad_width: Any, constant_values: Any) -> Any:
    return np.pad(array, pad_width, constant_values=constant_values)


def _pad_rule(g: Any, array_shape: tuple[int, ...], pad_width: Any) -> Any:
    return g[tuple([slice(before, before + n) for (before, _), n in zip(pad_width, array_shape, strict=True)])]


_padded = op(_pad_constant, array=_pad_rule,
             samples=several(calls((2, 3), [[1, 0], [0, 2]], 0.0), calls((3,), [[2, 1]], [[1.5, -1.0]]),
                             calls((0, 2), [[1, 1], [0, 0]], 0.5)))  # fmt: skip


def _pairs(key: str, value: Any, ndim: int, *, whole: bool = False) -> list[list[Any]]:
    """Return `value` as a pair (before, after) for each axis, broadcast as NumPy does; `whole` ones are counts."""
    try:
        pairs = np.broadcast_to(np.asarray(value, dtype=object), (ndim, 2)).tolist()
    except ValueError:
        expected = f"a number, a pair, or a pair for each of {ndim} axes"
        raise ValueError(f"pad: {key} is {value!r}, expected {expected}.") from None
    if whole:
        counts = [n for pair in pairs for n in pair if n is not None or key == "pad_width"]
        if any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) for n in counts):
            raise TypeError(f"pad: {key} is {value!r}, expected integers.")
        if any(n < 0 for n in counts):
            raise ValueError(f"pad: {key} is {value!r}, expected no negative ones; slices take elements away.")
    return pairs


def _continued(a: Any, axis: int, count: int, period: int, offset: int) -> Any:
    """Return the `count` elements before the first one along `axis` that continue `a`, turned about its first element.

    Each is 2 * first - its mirror image, as in NumPy's odd reflections: `period` elements at a time, of which the image
    starts at `offset`.
    """
    pieces, inner = list[Any](), a
    while count:
        chunk = min(count, period)
        edge = inner[along(axis, slice(0, 1))]
        piece = 2.0 * edge - flip(inner[along(axis, slice(offset, offset + chunk))], axis)
        inner = concatenate([piece, edge], axis=axis) if offset else piece
        pieces.insert(0, piece)
        count -= chunk
    return concatenate(pieces, axis=axis)


def _picked(a: Any, axis: int, places: Any) -> Any:
    """Return ``a`` at integer places along `axis`, as a view where they are evenly spaced by 1 or -1."""
    step = int(places[1] - places[0]) if len(places) > 1 else 1
    if abs(step) == 1 and (np.diff(places) == step).all():
        stop = int(places[-1]) + step
        return a[along(axis, slice(int(places[0]), None if stop < 0 else stop, step))]
    return a[along(axis, places)]


def _margins(a: Any, axis: int, widths: list[int], mode: str, options: list[Any]) -> list[Any]:
    """Return what stands before and after `a` along `axis`; `options` are the mode's for each side."""
    n = a.shape[axis]
    if mode in ("reflect", "symmetric") and options[0] == "odd" and n > 1:
        sizes = (n - 1, 1) if mode == "reflect" else (n, 0)
        back = _continued(flip(a, axis), axis, widths[1], *sizes) if widths[1] else None
        front = _continued(a, axis, widths[0], *sizes) if widths[0] else None
        return [front, None if back is None else flip(back, axis)]
    if mode in ("wrap", "reflect", "symmetric") and n > 1:
        places = np.pad(np.arange(n), widths, mode=mode)  # type: ignore[call-overload]  # one of its modes
        sides = places[: widths[0]], places[widths[0] + n :]
        return [_picked(a, axis, side) if len(side) else None for side in sides]
    found: list[Any] = [None, None]
    for side, (width, option) in enumerate(zip(widths, options, strict=True)):
        if not width:
            continue
        if mode not in _STATISTICS:
            edge = a[along(axis, slice(n - 1, n) if side else slice(0, 1))]
        else:
            length = n if option is None else min(option, n)
            if not length and mode in ("maximum", "minimum"):
                raise ValueError("pad: stat_length is 0, which leaves nothing to take an extreme of.")
            near = a if length == n else a[along(axis, slice(n - length, n) if side else slice(0, length))]
            edge = getattr(functions, _STATISTICS[mode])(near, axis=axis, keepdims=True)
        if mode == "linear_ramp":
            ramp = np.arange(width) / width  # from the end value, which stands outermost, to just before the edge
            ramp = (ramp[::-1] if side else ramp).reshape((-1,) + (1,) * (a.ndim - axis - 1)).astype(a.dtype)
            found[side] = edge * ramp + ((1.0 - ramp) * option).astype(a.dtype)
        else:
            found[side] = broadcast_to(edge, (*a.shape[:axis], width, *a.shape[axis + 1 :]))
    return found


@derived(np.pad, samples=several(
    calls((2, 3), 1), calls((2, 3), [[1, 0], [0, 2]], constant_values=[[1.0, 2.0], [3.0, 4.0]]), calls((3,), [2, 1]),
    *[calls((2, 3), [[1, 2], [0, 4]], mode) for mode in ("edge", "wrap", "reflect", "symmetric", "linear_ramp")],
    *[calls((3, 2), [[4, 5], [3, 3]], mode, reflect_type="odd") for mode in ("reflect", "symmetric")],
    *[calls((3, 2), 2, mode) for mode in ("maximum", "minimum", "mean")], calls((1, 2), 2, "reflect"),
    *[calls((4,), [1, 3], mode, stat_length=[2, 3]) for mode in ("maximum", "minimum", "mean")],
    calls((3, 2), 3, "linear_ramp", end_values=[[1.0, -1.0], [0.5, 2.0]]), calls((0, 2), [[0, 0], [1, 1]], "edge"),
))  # fmt: skip
def pad(array: Any, pad_width: Any, mode: str = "constant", **kwargs: Any) -> Any:
    """Return the array with a margin around it, as ``np.pad``.

    Parameters
    ----------
    array : Tensor or array_like
        What the margin goes around.
    pad_width : int, pair, pair for each axis, or dict from axes to either
        How many elements stand before and after along each axis.
    mode : str
        "constant" (`constant_values`, 0), "edge", "reflect" and "symmetric" (`reflect_type`, "even" or "odd"), "wrap",
        "linear_ramp" (`end_values`, 0), "maximum", "minimum", "mean" and "median" (`stat_length`, all), or "empty",
        which is constant with zeros.
    **kwargs
        The keyword of the mode, named in parentheses with its default. The values that it gives are constants.

    Raises
    ------
    TypeError
        If `mode` is a function, or a keyword is not the mode's.
    ValueError
        If a width is negative, the mode is unknown, or an axis of length 0 has nothing to continue.
    """
    if not isinstance(mode, str):
        raise TypeError("pad: mode is a function, whose writing into arrays has no gradient; expected a word.")
    if mode not in _PAD_KEYWORDS:
        raise ValueError(f"pad: mode is {mode!r}, expected one of {', '.join(_PAD_KEYWORDS)}.")
    keyword = _PAD_KEYWORDS[mode]
    for key in kwargs:
        if key != keyword:
            expected = keyword or "none"
            raise TypeError(f"pad: keyword {key!r} is not supported with mode {mode!r}, expected {expected}.")
    a = as_tensor(array)
    if isinstance(pad_width, dict):
        widths: Any = [[0, 0] for _ in a.shape]
        for axis, width in pad_width.items():
            widths[axis] = [width, width] if np.ndim(width) == 0 else list(width)
        pad_width = widths
    widths = _pairs("pad_width", pad_width, a.ndim, whole=True)
    if not a.ndim:
        return a
    if mode in ("constant", "empty"):
        values = np.asarray(kwargs.get("constant_values", 0)).copy()
        return _padded(a, tuple([tuple(pair) for pair in widths]), values)
    for axis, n in enumerate(a.shape):
        if not n and any(widths[axis]):
            raise ValueError(f"pad: axis {axis} has length 0: mode {mode!r} has nothing to continue, use 'constant'.")
    if a.dtype.kind not in "fc":  # integers are rounded on the way, and have no gradient
        return constant(np.pad(a.data, widths, mode, **kwargs))  # type: ignore[call-overload]  # one of its modes
    if keyword == "reflect_type":
        options = [[kwargs.get(keyword, "even")] * 2] * a.ndim
        if options and options[0][0] not in ("even", "odd"):
            raise ValueError(f"pad: reflect_type is {options[0][0]!r}, expected 'even' or 'odd'.")
    else:
        default = None if keyword == "stat_length" else 0
        options = _pairs(keyword, kwargs.get(keyword, default), a.ndim, whole=keyword == "stat_length")
    for axis, pair in enumerate(widths):
        if any(pair):
            before, after = _margins(a, axis, pair, mode, options[axis])
            a = concatenate([part for part in (before, a, after) if part is not None], axis=axis)
    return a

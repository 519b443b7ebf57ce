"""Padding: arrays with a margin around them.

Ties and kinks: where an element stands in a result several times, its gradients add. ``pad`` with the maximum or the
minimum shares the gradient of the margin equally among all that attain it, as ``max`` and ``min`` do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.dispatch import functions
from ..engine.op import op
from ..engine.tensor import Tensor, constant
from .derived import derived
from .samples import calls, several
from .shaping import along, as_tensor, broadcast_to, concatenate, flip, stack

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


def _has_gradient(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_has_gradient(item) for item in value)
    return isinstance(value, Tensor) and value.requires_grad


def _tensor_pairs(key: str, value: Any, a: Tensor) -> list[list[Tensor]]:
    """Return as `_pairs` does what holds tensors that need gradients: as tensors, in the dtype of `a`."""
    if a.dtype.kind != "f":
        raise TypeError(f"pad: {key} needs a gradient and array has dtype {a.dtype}: convert it, array.astype(float).")

    def joined(value: Any) -> Tensor:
        whole = stack([joined(item) for item in value]) if isinstance(value, (list, tuple)) else as_tensor(value)
        return whole if whole.dtype == a.dtype else functions.astype(whole, a.dtype)

    pairs = broadcast_to(joined(value), (a.ndim, 2))
    return [[pairs[axis, side] for side in (0, 1)] for axis in range(a.ndim)]


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
        if mode == "constant":
            edge = option
        elif mode not in _STATISTICS:
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
    lambda generator: [((generator.normal(size=(2, 3)), [[1, 2], [0, 1]], mode), {key: generator.normal(size=shape)})
                       for mode, key in (("constant", "constant_values"), ("linear_ramp", "end_values"))
                       for shape in ((), (2,), (2, 1), (2, 2))],
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
        The keyword of the mode, named in parentheses with its default. `constant_values` and `end_values` may be, or
        hold, tensors, and take gradients.

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
    given = kwargs.get(keyword)
    varying = keyword in ("constant_values", "end_values") and _has_gradient(given)
    if mode in ("constant", "empty") and not varying:
        values = np.asarray(kwargs.get("constant_values", 0)).copy()
        return _padded(a, tuple([tuple(pair) for pair in widths]), values)
    for axis, n in enumerate(a.shape):
        if not n and any(widths[axis]) and mode != "constant":
            raise ValueError(f"pad: axis {axis} has length 0: mode {mode!r} has nothing to continue, use 'constant'.")
    if a.dtype.kind not in "fc" and not varying:  # integers are rounded on the way, and have no gradient
        return constant(np.pad(a.data, widths, mode, **kwargs))  # type: ignore[call-overload]  # one of its modes
    if keyword == "reflect_type":
        options = [[kwargs.get(keyword, "even")] * 2] * a.ndim
        if options and options[0][0] not in ("even", "odd"):
            raise ValueError(f"pad: reflect_type is {options[0][0]!r}, expected 'even' or 'odd'.")
    elif varying:
        options = _tensor_pairs(keyword, given, a)
    else:
        default = None if keyword == "stat_length" else 0
        options = _pairs(keyword, kwargs.get(keyword, default), a.ndim, whole=keyword == "stat_length")
    for axis, pair in enumerate(widths):
        if any(pair):
            before, after = _margins(a, axis, pair, mode, options[axis])
            a = concatenate([part for part in (before, a, after) if part is not None], axis=axis)
    return a

"""Checks of what losses and layers are given."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels import kernels

REDUCTIONS = ("mean", "sum", "none")


def check_labels(name: str, x: Any, y: Any, reduction: str = "mean") -> tuple[np.ndarray, np.ndarray]:
    """Return scores and labels as arrays, or raise what is wrong with them.

    Parameters
    ----------
    name : str
        The loss, for messages.
    x : array, shape (N, C)
        Scores.
    y : array of integers, shape (N,)
        Labels, in 0..C-1.
    reduction : str
        With "mean" the batch must not be empty.

    Raises
    ------
    ValueError
        If a shape does not fit, a label is out of range, or the batch is empty.
    TypeError
        If the labels are no integers.
    """
    x, y = _aligned(name, x, y, reduction, "y")
    if x.size and kernels(x).outside(y, x.shape[1]):
        raise _out_of_range(name, "y", y, x.shape[1], np.arange(len(y)))
    return x, y.astype(np.intp, copy=False)


def check_kept_labels(
    name: str, x: Any, y: Any, reduction: str, argument: str, ignore_index: int
) -> tuple[np.ndarray, np.ndarray, Any]:
    """As `check_labels`, where labels may be `ignore_index`; return also the rows of the others, or None for all.

    The labels' `argument` is named in messages. With the reduction "mean" one label must be kept.
    """
    x, y = _aligned(name, x, y, reduction, argument)
    rows = None
    if x.size and ((outside := kernels(x).outside(y, x.shape[1])) or 0 <= ignore_index < x.shape[1]):
        rows = kept_rows(y, ignore_index)
        rest = np.arange(len(y)) if rows is None else rows
        if outside and rest.size and kernels(x).outside(y[rest], x.shape[1]):
            raise _out_of_range(name, argument, y, x.shape[1], rest)
        if not rest.size and reduction == "mean":
            raise ValueError(
                f"{name}: {argument} (the labels) is {ignore_index}, the ignore_index, for every row of x: the mean "
                f"over no label is not defined. The sum is: reduction='sum'."
            )
    return x, y.astype(np.intp, copy=False), rows


def kept_rows(y: np.ndarray, ignore_index: int) -> Any:
    """Return the rows whose label is not to be ignored, or None where all are kept."""
    if ignore_index < 0 and len(y) and y[y.argmin()] >= 0:
        return None  # the usual case, in half the time
    ignored = y == ignore_index
    return np.flatnonzero(~ignored) if np.count_nonzero(ignored) else None


def spread(losses: Any, rows: Any, count: int) -> Any:
    """Return what belongs to some rows among `count` of them, with 0 for the others."""
    out = np.zeros((count, *losses.shape[1:]), losses.dtype)
    out[rows] = losses
    return out


def _out_of_range(name: str, argument: str, y: np.ndarray, classes: int, rows: np.ndarray) -> ValueError:
    """Return the error for labels of which one, in the given rows, is out of range."""
    among = y[rows]
    worst = low if (low := among.min()) < 0 else among.max()
    return ValueError(
        f"{name}: {argument} (the labels) has {worst} at row {rows[np.argmax(among == worst)]}, expected 0 to "
        f"{classes - 1} for the {classes} columns of x."
    )


def _aligned(name: str, x: Any, y: Any, reduction: str, argument: str) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (N, C) and integers (N,) as arrays, or raise what is wrong; what y holds is not looked at."""
    x = np.asarray(x)
    try:
        y = np.asarray(y)
    except ValueError as error:
        raise ValueError(f"{name}: {argument} (the labels): no rectangular array of integers: {error}") from None
    if x.ndim != 2:
        raise ValueError(f"{name}: x (the scores) has shape {x.shape}, expected (N, C): one row an example.")
    if y.shape != x.shape[:1]:
        cure = f" Flatten it: np.ravel({argument})." if y.size == x.shape[0] else ""
        if y.shape == x.shape:
            cure = f" One-hot labels become integers with np.argmax({argument}, axis=1)."
        raise ValueError(
            f"{name}: {argument} (the labels) has shape {y.shape}, expected ({x.shape[0]},): one label a row of x."
            f"{cure}"
        )
    if y.dtype.kind not in "iu":
        names = y.dtype.kind in "UST" or y.dtype.kind == "O" and all(isinstance(label, str) for label in y)
        cure = f" Names become integers with np.unique({argument}, return_inverse=True)[1]." if names else ""
        whole = f": np.asarray({argument}, dtype=int)" if y.dtype.kind in "bf" else ""
        raise TypeError(
            f"{name}: {argument} (the labels) has dtype {y.dtype}, expected integers{whole}.{cure}"
        )
    if x.dtype.kind != "f":
        x = reals(name, "x", x)
    if not x.size:
        _check_count(name, x, reduction)
        if len(x):
            raise ValueError(f"{name}: x (the scores) has shape {x.shape}, expected one class (a column) at least.")
    return x, y


def samples(generator: np.random.Generator) -> list[Any]:
    """Scores and labels for the registry's tests."""
    return [
        (generator.normal(size=(4, 3)), np.array([0, 2, 1, 2])),
        (generator.normal(size=(1, 5)), np.array([4])),
        (generator.normal(size=(3, 1)), np.array([0, 0, 0])),
    ]


def finite(name: str, value: Any) -> float:
    """Return `value` as a float, or raise TypeError or ValueError naming the argument unless it is finite and >= 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: given {value!r}, expected a number of at least 0.")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name}: given {value}, expected a finite number of at least 0.")
    return float(value)


def positive(name: str, value: Any) -> float:
    """Return `value` as a float, or raise TypeError or ValueError naming the argument unless it is finite and > 0."""
    if (value := finite(name, value)) == 0.0:
        raise ValueError(f"{name}: given 0, expected a finite number above 0.")
    return value


def fraction(name: str, value: Any) -> float:
    """Return `value` as a float, or raise TypeError or ValueError naming the argument unless it lies in [0, 1]."""
    if (value := finite(name, value)) > 1.0:
        raise ValueError(f"{name}: given {value}, expected a number in [0, 1].")
    return value


def whole(name: str, value: Any) -> int:
    """Return `value` as an int, or raise TypeError naming the argument."""
    if type(value) is int:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: given {value!r}, expected an integer.")
    return int(value)


# ---- half precision, in which a sum of a thousand squares is infinite: sums, and what is made of them, are in float32


def widened(value: Any) -> Any:
    """Return an array or a tensor of half precision in float32, and anything else as it is."""
    return value.astype(np.float32) if getattr(value, "dtype", None) == np.float16 else value


def halved(value: Any, dtype: Any = np.float16) -> Any:
    """Return an array or a tensor in half precision (or `dtype`); what sinks below its smallest number is 0."""
    with np.errstate(under="ignore"):
        return value.astype(dtype)


def summed(values: Any) -> Any:
    """Return the sum of an array or a tensor; of half precision in float32."""
    return np.add.reduce(values, axis=None, dtype=np.float32 if values.dtype.char == "e" else None)


def over_batch(g: Any) -> Any:
    """Return the sum of a gradient over its first axis, in its own precision."""
    if g.dtype.char == "e":
        return halved(np.add.reduce(g, axis=0, dtype=np.float32))
    return np.add.reduce(g, axis=0)


# ---- losses


def reals(name: str, argument: str, value: Any) -> np.ndarray:
    """Return an array of real numbers, those that are whole as float64; raise TypeError for anything else."""
    value = np.asarray(value)
    if value.dtype.kind == "f":
        return value
    if value.dtype.kind not in "biu":
        raise TypeError(f"{name}: {argument} has dtype {value.dtype}, expected real numbers.")
    return value.astype(np.float64)


def matched(x: Any, target: Any) -> tuple[Any, Any]:
    """Return both as floating point: whole numbers take the precision of the other one, so that they widen nothing."""
    x, target = (value if hasattr(value, "dtype") else np.asarray(value) for value in (x, target))
    if x.dtype.kind != "f":
        x = x.astype(target.dtype if target.dtype.kind == "f" else np.float64)
    return (x, target) if target.dtype.kind == "f" else (x, target.astype(x.dtype))


def check_pair(name: str, x: Any, target: Any, reduction: str, *more: str) -> tuple[Any, Any]:
    """Return predictions and targets as floating-point arrays, or raise what is wrong with them or the reduction.

    Nothing is broadcast: (N,) against (N, 1) would make N * N differences, a fault that shows in no shape of the loss.
    """
    check_reduction(name, reduction, *more)
    x, target = np.asarray(x), np.asarray(target)
    if x.shape != target.shape:
        cure = f" Reshape it: target.reshape({x.shape})." if x.size == target.size else ""
        raise ValueError(
            f"{name}: target has shape {target.shape}, expected {x.shape}, that of x: nothing is broadcast.{cure}"
        )
    for argument, value in (("x", x), ("target", target)):
        if value.dtype.kind not in "fbiu":
            reals(name, argument, value)
    if not x.size:
        _check_count(name, x, reduction)
    return matched(x, target)


def check_targets(name: str, target: Any, what: str, low: float = 0.0, high: float = 1.0) -> None:
    """Raise ValueError unless all targets lie in [low, high]; what rounding adds is forgiven, and NaN is not."""
    if target.size:
        least, most = target.min(), target.max()
        slack = 8.0 * float(np.finfo(target.dtype).eps)
        if not (least >= low and most <= high + slack):
            worst = most if least >= low else least
            raise ValueError(f"{name}: target has {worst}, expected {what}.")


def check_weights(name: str, argument: str, weight: Any, dtype: Any, shape: tuple[int, ...], what: str) -> Any:
    """Return weights as an array of `dtype` that broadcasts to `shape`, or None for None; raise what is wrong.

    Weights are no part of what is computed: they follow its dtype, and take no gradient.
    """
    if weight is None:
        return None
    weight = reals(name, argument, weight)
    if weight.ndim > len(shape) or any(
        have not in (1, want) for have, want in zip(weight.shape[::-1], shape[::-1], strict=False)
    ):
        raise ValueError(f"{name}: {argument} has shape {weight.shape}, expected {what}.")
    weight = weight.astype(dtype, copy=False)
    if weight.size and not (weight.min() >= 0 and math.isfinite(weight.max())):
        fault = weight[~(np.isfinite(weight) & (weight >= 0))].flat[0]
        raise ValueError(f"{name}: {argument} has {fault}, expected finite weights of at least 0.")
    return weight


def check_class_weights(name: str, weight: Any, x: Any, averaged: Any = None) -> Any:
    """Return one weight for each column of x (N, C) in x's dtype, or None for None; raise what is wrong.

    The labels `averaged`, if there are any, must not all have the weight 0: their weighted mean is not defined.
    """
    if weight is None:
        return None
    what = f"({x.shape[1]},): one weight for each column of x"
    if np.shape(weight) != x.shape[1:]:
        raise ValueError(f"{name}: weight has shape {np.shape(weight)}, expected {what}.")
    weight = check_weights(name, "weight", weight, x.dtype, x.shape[1:], what)
    if averaged is not None and not weight[averaged].any():
        raise ValueError(
            f"{name}: weight is 0 for every label of the batch: the weighted mean is not defined. "
            f"The sum is: reduction='sum'."
        )
    return weight


def check_reduction(name: str, reduction: Any, *more: str) -> None:
    """Raise ValueError unless the reduction is known."""
    if reduction not in REDUCTIONS and reduction not in more or not isinstance(reduction, str):
        raise ValueError(
            f"{name}: reduction is {reduction!r}, expected {', '.join(map(repr, (*REDUCTIONS, *more)))}."
        )


def _check_count(name: str, x: Any, reduction: str) -> None:
    if reduction in ("mean", "batchmean"):
        raise ValueError(
            f"{name}: x has shape {x.shape}: the mean over an empty batch is not defined. "
            f"The sum is: reduction='sum'."
        )


def divisor(x: Any, reduction: str) -> int:
    """Return what the sum of an elementwise loss of x is divided by."""
    return x.size if reduction == "mean" else x.shape[0] if reduction == "batchmean" else 1


def reduced(losses: Any, reduction: str, count: Any) -> Any:
    """Return losses, arrays or tensors, as they are, or their sum, or their sum divided by `count`."""
    if reduction == "none":
        return losses
    if losses.dtype.char == "e":
        return halved(reduced(widened(losses), reduction, count))
    total = np.add.reduce(losses, axis=None)
    return total if reduction == "sum" else total / count


def row_rule(g: Any, slope: Any) -> Any:
    """Return the gradient of a loss of rows: `slope` times g, which is one number, or one for each row."""
    return g * slope if g.ndim == 0 else g[:, None] * slope

"""cross_entropy: that of the softmax of logits, against labels or probabilities, with weights and smoothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..kernels import kernels
from ..kernels.numpy_ import ones
from ..ops.indexing import scatter
from .arguments import (
    check_class_weights,
    check_kept_labels,
    check_labels,
    check_reduction,
    check_targets,
    fraction,
    halved,
    kept_rows,
    reals,
    reduced,
    row_rule,
    spread,
    whole,
    widened,
)

# Each example's loss is minus the sum over the classes of share * log softmax(x), where the share of a class is
# ((1 - label_smoothing) * target + label_smoothing / C) * weight; a label's target is 1 at the label, and its weight
# that of the label. So with S the sum of the shares the slope in x is S * softmax(x) - share.


def check_cross_entropy(
    x: Any, target: Any, weight: Any, label_smoothing: Any, reduction: str, ignore_index: Any = -100
) -> tuple[Any, ...]:
    """Return x, target, weight, label_smoothing and the rows to keep (None: all) as the kernel takes them.

    Raises what is wrong with them.
    """
    name, rows = "cross_entropy", None
    ignore_index = whole("cross_entropy: ignore_index", ignore_index)
    check_reduction(name, reduction)
    label_smoothing = fraction("cross_entropy: label_smoothing", label_smoothing)
    x, target = np.asarray(x), np.asarray(target)
    if target.dtype.kind == "f" and target.ndim == 2:
        x = reals(name, "x", x)
        if x.shape != target.shape:
            raise ValueError(
                f"{name}: target (probabilities) has shape {target.shape}, expected {x.shape}, that of x; or give "
                f"labels, ({len(x) if x.ndim else 'N'},) integers."
            )
        if not x.size:
            check_labels(name, x, np.zeros(len(x), np.intp), reduction)  # the mean, and no classes, are refused there
        dtype = np.result_type(x, target)
        x, target = x.astype(dtype, copy=False), target.astype(dtype, copy=False)
        check_targets(name, target, "probabilities, from 0 to 1 (or labels: integers)")
    else:
        x, target, rows = check_kept_labels(name, x, target, reduction, "target", ignore_index)
    averaged = None
    if reduction == "mean" and target.ndim == 1:
        averaged = target if rows is None else target[rows]
    return x, target, check_class_weights(name, weight, x, averaged), label_smoothing, rows


def _cross_entropy(
    x: Any, target: Any, weight: Any = None, label_smoothing: float = 0.0, reduction: str = "mean",
    ignore_index: int = -100,
) -> tuple[Any, Any]:  # fmt: skip
    """Return the loss and its slope, which holds one row for each example of the loss."""
    x, target, weight, label_smoothing, rows = check_cross_entropy(
        x, target, weight, label_smoothing, reduction, ignore_index
    )
    if rows is not None:
        loss, slope = _cross_entropy(x[rows], target[rows], weight, label_smoothing, reduction)
        return loss if loss.ndim == 0 else spread(loss, rows, len(x)), spread(slope, rows, len(x))
    if x.dtype.char == "e":
        loss, slope = _loss(widened(x), widened(target), widened(weight), label_smoothing, reduction)
        return halved(loss), halved(slope)
    return _loss(x, target, weight, label_smoothing, reduction)


def _loss(x: Any, target: Any, weight: Any, label_smoothing: float, reduction: str) -> tuple[Any, Any]:
    """As the kernel, of what was checked, in float32 or wider."""
    if weight is None and not label_smoothing and reduction == "mean" and target.ndim == 1:
        return kernels(x).softmax_loss(x, target)
    if not x.size:
        return reduced(np.zeros(len(x), x.dtype), reduction, 1), np.zeros(x.shape, x.dtype)
    with np.errstate(under="ignore"):  # the shares of hopeless classes sink below the smallest number, rightly
        shifted = np.subtract(x, np.maximum.reduce(x, axis=1, keepdims=True), order="C")
        if target.ndim == 1:
            return _against_labels(shifted, target, weight, label_smoothing, reduction)
        return _against_probabilities(shifted, target, weight, label_smoothing, reduction)


def _against_labels(x: Any, y: Any, weight: Any, smoothing: float, reduction: str) -> tuple[Any, Any]:
    """As the kernel, of shifted logits, in whose memory the slope is made."""
    count, classes = x.shape
    rows, divisor = np.arange(count), count
    own = np.full(count, 1.0 - smoothing, x.dtype)  # the shares of the labels
    if weight is not None:
        picked = weight[y]
        own *= picked
        divisor = np.add.reduce(picked)
    right = x[rows, y]
    right[own == 0] = 0  # 0 * -inf is 0 here; a NaN makes the whole row's sum NaN, and shows in it
    dots, total = own * right, own
    if smoothing:
        rest = np.full(classes, smoothing / classes, x.dtype)
        if weight is not None:
            rest *= weight
        dots += _dots(x, rest)
        total = own + np.add.reduce(rest)
    np.exp(x, out=x)
    sums = x.dot(ones(classes, x.dtype))
    losses = np.log(sums) * total - dots
    scale = 1.0 / divisor if reduction == "mean" else 1.0
    x *= (total * scale / sums)[:, None]
    if smoothing:
        x -= rest * scale
    x[rows, y] -= own * scale
    return reduced(losses, reduction, divisor), x


def _against_probabilities(x: Any, target: Any, weight: Any, smoothing: float, reduction: str) -> tuple[Any, Any]:
    count, classes = x.shape
    share = _shares(target, weight, smoothing)
    row = ones(classes, x.dtype)
    dots, total = _dots(x, share), share.dot(row)
    np.exp(x, out=x)
    sums = x.dot(row)
    losses = np.log(sums) * total - dots
    x *= (total / sums)[:, None]
    x -= share
    if reduction == "mean":
        x *= 1.0 / count
    return reduced(losses, reduction, count), x


def _shares(target: Any, weight: Any, smoothing: float) -> Any:
    share = target * (1.0 - smoothing) + smoothing / target.shape[1] if smoothing else target
    return share if weight is None else share * np.asarray(weight, share.dtype)


def _dots(x: Any, share: Any) -> Any:
    """Return the sum over the classes of share * x, row by row, in which a share of 0 makes 0 also of -inf."""
    with np.errstate(invalid="ignore"):
        dots = x.dot(share) if share.ndim == 1 else np.einsum("ij,ij->i", x, share)
        if np.isnan(dots).any():
            dots = np.add.reduce(np.where(share == 0, 0.0, x) * share, axis=1)
    return dots


def _target_rule(g: Any, x: Any, target: Any, weight: Any, label_smoothing: float, reduction: str) -> Any:
    """Return minus the weighted logarithms of the softmax; x is looked at again, so that the usual call keeps less."""
    dtype = np.result_type(x, target)
    g, x, target = widened(g), widened(np.asarray(x, dtype)), widened(target)
    with np.errstate(under="ignore"):
        logs = x - np.maximum.reduce(x, axis=1, keepdims=True, initial=-math.inf)
        logs -= np.log(np.add.reduce(np.exp(logs), axis=1, keepdims=True))
    logs[np.equal(logs, -math.inf) & (_shares(target, weight, label_smoothing) == 0)] = 0
    if weight is not None:
        logs *= np.asarray(weight, logs.dtype)
    g = (g if g.ndim == 0 else g[:, None]) * (label_smoothing - 1.0)
    logs *= g / len(x) if reduction == "mean" else g
    return logs if dtype.char != "e" else halved(logs)


def _out_of_play(share: Any, logs: Any) -> Any:
    """Return `logs` with 0 for the -inf of what has no share; a NaN stays, whatever its share."""
    return np.where(np.equal(logs, -math.inf) & np.equal(share, 0), 0.0, logs)


def _compose(
    x: Any, target: Any, weight: Any = None, label_smoothing: float = 0.0, reduction: str = "mean",
    ignore_index: int = -100,
) -> Any:  # fmt: skip
    target = target if hasattr(target, "dtype") else np.asarray(target)
    if target.dtype.kind != "f":
        rows = kept_rows(target, ignore_index)
        if rows is not None:
            loss = _compose(x[rows], target[rows], weight, label_smoothing, reduction)
            return scatter(loss, rows, (len(x),)) if reduction == "none" else loss
    if x.dtype.char == "e":
        loss = _compose(widened(x), widened(target), weight, label_smoothing, reduction)
        return loss if target.dtype.char in "fdg" else halved(loss)
    count, classes = x.shape
    top = np.max(x.detach() if hasattr(x, "detach") else x, axis=1, keepdims=True, initial=-math.inf)
    logs = x - top - np.log(np.sum(np.exp(x - top), axis=1, keepdims=True))
    weights = np.asarray(1.0 if weight is None else weight, logs.dtype)
    if target.dtype.kind == "f":
        share = (target * (1.0 - label_smoothing) + label_smoothing / classes) * weights
        return reduced(-np.sum(share * _out_of_play(share, logs), axis=1), reduction, count)
    rows, weights = np.arange(count), np.broadcast_to(weights, (classes,))
    picked = weights[target]
    own = picked * (1.0 - label_smoothing)
    losses = -own * _out_of_play(own, logs[rows, target])
    if label_smoothing:
        rest = weights * (label_smoothing / classes)
        losses = losses - np.sum(_out_of_play(rest, logs) * rest, axis=1)
    return reduced(losses, reduction, count if weight is None else np.add.reduce(picked))


def _samples(generator: np.random.Generator) -> list[Any]:
    x, positive = generator.normal(size=(4, 3)), generator.uniform(0.1, 0.9, (4, 3))
    target, weight, labels = generator.uniform(0.1, 0.9, (4, 3)), np.array([0.5, 2.0, 1.25]), [0, 2, 1, 2]
    return [
        (x, labels),
        (x, labels, weight),
        (x, labels, weight, 0.2),
        ((x, labels), {"label_smoothing": 0.3, "reduction": "sum"}),
        (x, labels, weight, 0.1, "none"),
        (x, [0, -100, 1, 2], weight),
        ((x, [-1, 0, 2, -1]), {"ignore_index": -1, "reduction": "none"}),
        ((x, labels), {"ignore_index": 2, "label_smoothing": 0.3}),
        ((x, [-100] * 4), {"reduction": "sum"}),
        ((x, labels, [0.5, 0.0, 1.0]), {"reduction": "sum"}),
        (positive, target),
        (positive, target, weight, 0.2),
        ((positive, target, weight), {"reduction": "none"}),
        ((positive, target), {"label_smoothing": 1.0, "reduction": "sum"}),
        (generator.normal(size=(1, 5)), [4]),
        (generator.normal(size=(2, 1)), [0, 0], [2.0]),
        ((np.zeros((0, 3)), np.zeros((0, 3))), {"reduction": "sum"}),
        ((np.zeros((0, 3)), np.zeros((0, 3)), weight, 0.1), {"reduction": "none"}),
    ]


cross_entropy = fused_op(
    _cross_entropy, name="cross_entropy", leaves=("slope",),
    x=row_rule, target=_target_rule, compose=_compose, samples=_samples,
)  # fmt: skip
cross_entropy.__doc__ = """Return the cross-entropy of the softmax of logits with labels or with probabilities.

An example's loss is ``-sum over c of q[c] * log softmax(x)[c]``, where with labels ``q[c]`` is `weight[y]` at the label
y and 0 elsewhere, and with probabilities ``target[c] * weight[c]``. Label smoothing moves that share of the target
evenly to all classes, where the classes have their own weights. The slope is ``sum(q) * softmax(x) - q``: Bishop,
Pattern Recognition and Machine Learning (2006), equation 4.109; label smoothing: Szegedy, Vanhoucke, Ioffe, Shlens and
Wojna, Rethinking the Inception Architecture (2016), section 7. Options and means are as PyTorch's.

The logits are shifted by the largest of their row, so none overflows. A logit of -inf takes its class out: where the
class has no share in the target it adds 0 to the loss, and where it has one the loss is infinite.

Parameters
----------
x : Tensor or array, shape (N, C)
    Logits.
target : array of integers, shape (N,), or Tensor or array of floats, shape (N, C)
    Labels, in 0..C-1 or `ignore_index`, which take no gradient; or probabilities, which do. Whether their rows sum to 1
    is not checked.
weight : array, shape (C,), optional
    A weight of at least 0 for each class. It takes no gradient.
label_smoothing : float
    In [0, 1].
reduction : {"mean", "sum", "none"}
    The mean divides by the sum of the weights of the labels; with probabilities by N.
ignore_index : int
    A label whose examples are left out: their loss and their gradient are 0, whatever the logits, and the mean does not
    count them. Probabilities have none.

Returns
-------
Tensor, shape (), or (N,) with reduction "none"
    In the dtype of x (and of probabilities).

Raises
------
ValueError
    If the shapes do not fit; a label, a probability, a weight, the smoothing or the reduction is out of range; or the
    mean is not defined, over an empty batch or one whose labels are all ignored or all have the weight 0.
TypeError
    If labels or `ignore_index` are no integers, or x or weight are no real numbers.

See Also
--------
softmax_loss : The same with labels alone.
"""

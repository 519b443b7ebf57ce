"""nll_loss and kl_div: losses of log-probabilities. Their rules read arguments alone, and record themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..engine.tensor import Tensor
from ..kernels.numpy_ import starts
from ..ops.indexing import scatter
from .arguments import (
    check_class_weights,
    check_kept_labels,
    check_pair,
    check_reduction,
    check_targets,
    divisor,
    kept_rows,
    matched,
    reduced,
    spread,
    summed,
    whole,
)  # fmt: skip

# ---- nll_loss


def check_nll_loss(x: Any, y: Any, weight: Any, reduction: str, ignore_index: Any = -100) -> tuple[Any, ...]:
    """Return log-probabilities, rows (None: all), their labels, and class weights as the kernel takes them.

    Raises what is wrong with them.
    """
    check_reduction("nll_loss", reduction)
    ignore_index = whole("nll_loss: ignore_index", ignore_index)
    x, y, rows = check_kept_labels("nll_loss", x, y, reduction, "y", ignore_index)
    y = y if rows is None else y[rows]
    weight = check_class_weights("nll_loss", weight, x, y if reduction == "mean" else None)
    return x, rows, y, weight


def _nll_loss(x: Any, y: Any, weight: Any = None, reduction: str = "mean", ignore_index: int = -100) -> Any:
    x, rows, y, weight = check_nll_loss(x, y, weight, reduction, ignore_index)
    losses, count = x[starts(len(y), 1) if rows is None else rows, y], len(y)
    if weight is None:
        np.negative(losses, out=losses)
    else:
        weight = weight[y]
        count = summed(weight)
        losses[(weight == 0) & np.isinf(losses)] = 0  # 0 * -inf is 0 here, and 0 * NaN is NaN
        losses *= -weight
    if rows is not None and reduction == "none":
        return spread(losses, rows, len(x))
    return reduced(losses, reduction, count)


def _nll_rule(
    g: Any, y: Any, weight: Any, reduction: str, ignore_index: int, x_shape: tuple[int, ...]
) -> Any:  # fmt: skip
    y = np.asarray(y)
    rows = kept_rows(y, ignore_index)
    if rows is None:
        rows = starts(len(y), 1)
    else:
        y, g = y[rows], g[rows] if reduction == "none" else g
    share: Any = -1.0
    if weight is not None:
        share = -np.asarray(weight, g.dtype)[y]
    if reduction == "mean":
        share = share / len(y) if weight is None else share * (-1.0 / float(summed(share)))
    share, key = g * share, (rows, y)
    if isinstance(share, Tensor):
        return scatter(np.broadcast_to(share, y.shape), key, x_shape)
    slope = np.zeros(x_shape, g.dtype)
    slope[key] = share
    return slope


def _nll_compose(x: Any, y: Any, weight: Any = None, reduction: str = "mean", ignore_index: int = -100) -> Any:
    y = np.asarray(y)
    rows = kept_rows(y, ignore_index)
    if rows is not None:
        loss = _nll_compose(x[rows], y[rows], weight, reduction)
        return scatter(loss, rows, (len(x),)) if reduction == "none" else loss
    picked = x[np.arange(len(y)), y]
    if weight is None:
        return reduced(-picked, reduction, len(y))
    weight = np.asarray(weight, x.dtype)[y]
    picked = np.where((weight == 0) & np.isinf(picked), 0.0, picked)
    return reduced(-weight * picked, reduction, summed(weight))


def _nll_samples(generator: np.random.Generator) -> list[Any]:
    x, y, weight = generator.uniform(-3.0, -0.1, (4, 3)), np.array([0, 2, 1, 2]), np.array([0.5, 2.0, 0.0])
    return [
        (x, y), (x, y, weight), (x, y, weight, "sum"), (x, y, weight, "none"), ((x, y), {"reduction": "none"}),
        (generator.normal(size=(1, 2)), np.array([1])), ((x[:0], y[:0]), {"reduction": "none"}),
        (x[:0], y[:0], weight, "sum"), (x, [0, -100, 1, 2], weight), (x, [-1, 1, -1, 2], None, "none", -1),
        ((x, y), {"ignore_index": 2}), ((x, [-100] * 4), {"reduction": "sum"}),
    ]  # fmt: skip


nll_loss = fused_op(_nll_loss, name="nll_loss", x=_nll_rule, compose=_nll_compose, samples=_nll_samples)
nll_loss.__doc__ = """Return the negative log-likelihood of labels, ``-x[i, y[i]]``.

Bishop, Pattern Recognition and Machine Learning (2006), equation 4.108. Of logits, `cross_entropy` computes it in one.

Parameters
----------
x : Tensor or array, shape (N, C)
    Logarithms of probabilities.
y : array of integers, shape (N,)
    Labels, in 0..C-1 or `ignore_index`. They take no gradient.
weight : array, shape (C,), optional
    A weight of at least 0 for each class. It takes no gradient.
reduction : {"mean", "sum", "none"}
    The mean divides by the sum of the weights of the labels.
ignore_index : int
    A label whose examples are left out: their loss and their gradient are 0, and the mean does not count them.

Returns
-------
Tensor, shape (), or (N,) with reduction "none"

Raises
------
ValueError
    If the shapes do not fit; a label, a weight or the reduction is out of range; or the mean is not defined, over an
    empty batch or one whose labels are all ignored or all have the weight 0.
TypeError
    If the labels or `ignore_index` are no integers.
"""

# ---- kl_div. Where the target is 0 the term is 0, also where x is infinite: 0 log 0 = 0. A NaN shows.


def check_kl_div(x: Any, target: Any, log_target: Any, reduction: str) -> tuple[Any, Any, bool]:
    """Return x and target as floating-point arrays, or raise what is wrong."""
    if log_target is not True and log_target is not False:
        raise TypeError(f"kl_div: log_target: given {log_target!r}, expected True or False.")
    x, target = check_pair("kl_div", x, target, reduction, "batchmean")
    if reduction == "batchmean" and not x.ndim:
        raise ValueError("kl_div: x has shape (), which has no batch for reduction='batchmean': reduction='sum'.")
    if not log_target:
        check_targets("kl_div", target, "probabilities, from 0 to 1 (or their logarithms: log_target=True)")
    elif target.size and target.max() > 1e-3:  # logarithms of rounded probabilities may come out above 0
        raise ValueError(
            f"kl_div: target has {target.max()}, expected logarithms of probabilities, at most 0; with probabilities "
            f"leave log_target at False."
        )
    return x, target, log_target


def _kl_div(x: Any, target: Any, log_target: bool = False, reduction: str = "mean") -> Any:
    x, target, log_target = check_kl_div(x, target, log_target, reduction)
    share = np.asarray(_share(target, log_target))
    with np.errstate(invalid="ignore", under="ignore"):
        if log_target:
            out = np.asarray(target - x)
        else:
            logs = np.zeros(target.shape, np.result_type(x, target))
            out = np.log(target, out=logs, where=target > 0)
            out -= x
        if not np.isfinite(out).all():
            out[(share == 0) & ~np.isnan(x)] = 0
        out *= share
    return reduced(out, reduction, divisor(x, reduction))


def _share(target: Any, log_target: bool) -> Any:
    if not log_target:
        return target
    with np.errstate(under="ignore"):  # a probability may sink below the smallest number
        return np.exp(target)


def _kl_x_rule(g: Any, x: Any, target: Any, log_target: bool, reduction: str) -> Any:
    x, target = matched(x, target)
    return _share(target, log_target) * (g * (-1.0 / divisor(x, reduction)))


def _kl_target_rule(g: Any, x: Any, target: Any, log_target: bool, reduction: str) -> Any:
    x, target = matched(x, target)
    g, share = g * (1.0 / divisor(x, reduction)), _share(target, log_target)
    out = np.equal(share, 0) & (~np.isnan(x) if log_target else np.isinf(x))
    logs, x = np.where(out, 0.0 if log_target else 1.0, target), np.where(out, 0.0, x)
    if log_target:
        return share * (logs - x + 1.0) * g
    return np.where(out, 0.0, (np.log(logs) - x + 1.0) * g)


def _kl_compose(x: Any, target: Any, log_target: bool = False, reduction: str = "mean") -> Any:
    x, target = matched(x, target)
    share = np.exp(target) if log_target else target
    none = np.equal(share, 0)
    if log_target:
        out = none & ~np.isnan(x)
        losses = share * (np.where(out, 0.0, target) - np.where(out, 0.0, x))
    else:
        # At 0, where t log t is 0 and falls with an infinite slope, minus the root stands in for it: it does so, too.
        out = none & np.isinf(x)
        root = np.where(none & ~out, target, 1.0)
        entropy = np.where(none, np.where(out, 0.0, -np.sqrt(root)), target * np.log(np.where(none, 1.0, target)))
        losses = entropy - np.where(out, 0.0, target * np.where(out, 0.0, x))
    return reduced(losses, reduction, divisor(x, reduction))


def _kl_samples(generator: np.random.Generator) -> list[Any]:
    target, x = generator.uniform(0.1, 0.9, (2, 4, 3))
    logs, y = generator.uniform(-3.0, -0.1, (2, 4, 3))
    one_hot = [[0, 1, 0], [1, 0, 0]]
    return [
        (x, target), (x, target, False, "sum"), (x, target, False, "none"), (x, target, False, "batchmean"),
        (logs, y, True), (logs, y, True, "sum"), (logs, y, True, "none"), ((logs, y, True), {"reduction": "batchmean"}),
        (y[:2], one_hot), (x[:1], target[:1]), (x[0], target[0], False, "batchmean"),
        (x[0, 0], target[0, 0]), (x[:0], target[:0], False, "sum"), (y[:0], logs[:0], True, "none"),
    ]  # fmt: skip


kl_div = fused_op(
    _kl_div, name="kl_div", x=_kl_x_rule, target=_kl_target_rule, compose=_kl_compose, samples=_kl_samples
)
kl_div.__doc__ = """Return the Kullback-Leibler divergence ``target * (log target - x)`` of log-probabilities x.

Kullback and Leibler, On information and sufficiency (1951), section 2, with PyTorch's order of arguments. Where the
target is 0 the term is 0, also where x is infinite; there neither takes a gradient. Elsewhere the gradient of a target
of 0 is infinite, as the derivative is. A NaN makes its term NaN, whatever the target.

Parameters
----------
x : Tensor or array
    Logarithms of probabilities, of any shape.
target : Tensor or array, of x's shape
    Probabilities, or with `log_target` their logarithms. It takes a gradient, too. Nothing is broadcast.
log_target : bool
    Whether the target holds logarithms.
reduction : {"mean", "sum", "none", "batchmean"}
    The mean is that of all elements; "batchmean" divides their sum by the length of the first axis, which is the
    divergence of distributions in rows.

Returns
-------
Tensor, shape (), or that of x with reduction "none"

Raises
------
ValueError
    If the shapes differ, a target or the reduction is out of range, or a mean is asked for of an empty batch.
TypeError
    If x or target are no real numbers, or `log_target` is no bool.
"""

"""binary_cross_entropy_with_logits: each logit is a question of its own, answered by yes or no, or by a probability."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..engine.tensor import Tensor
from ..ops.elementwise import sigmoid
from .arguments import check_pair, check_targets, check_weights, divisor, matched, reduced, summed

NAME = "binary_cross_entropy_with_logits"

# With p = pos_weight an element's loss is p * target * softplus(-x) + (1 - target) * softplus(x), times its weight,
# where softplus(x) = log(1 + exp(x)). The rules read arguments alone, and record themselves.


def check_binary_cross_entropy(x: Any, target: Any, weight: Any, pos_weight: Any, reduction: str) -> tuple[Any, ...]:
    """Return x, target, weight and pos_weight as the kernel takes them, or raise what is wrong."""
    x, target = check_pair(NAME, x, target, reduction)
    check_targets(NAME, target, "probabilities, from 0 to 1")
    what, dtype = f"one that broadcasts to that of x, {x.shape}", np.result_type(x, target)
    weight, pos_weight = (
        check_weights(NAME, key, value, dtype, x.shape, what)
        for key, value in (("weight", weight), ("pos_weight", pos_weight))
    )
    return x.astype(dtype, copy=False), target, weight, pos_weight


def _binary_cross_entropy(
    x: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: str = "mean"
) -> Any:
    x, target, weight, pos_weight = check_binary_cross_entropy(x, target, weight, pos_weight, reduction)
    with np.errstate(invalid="ignore", under="ignore"):
        soft = np.asarray(np.absolute(x))  # softplus(-abs(x)), which never overflows, in the end
        np.negative(soft, out=soft)
        np.exp(soft, out=soft)
        np.log1p(soft, out=soft)
        out = np.asarray(np.maximum(x, 0.0))
        if pos_weight is None:
            out -= target * x
            out += soft
        else:
            out += soft  # softplus(x), and soft becomes softplus(-x)
            part = np.asarray(np.minimum(x, 0.0))
            soft -= part
            soft *= np.multiply(target, pos_weight, out=part)
            out *= np.subtract(1.0, target, out=part)
            out += soft
        if not np.isfinite(summed(out)):
            far = np.isinf(x)
            out[far] = np.where(_against(x, target, pos_weight) == 0, 0.0, np.inf)[far]
            if weight is not None:
                out[np.isinf(out) & (weight == 0)] = 0
        if weight is not None:
            out *= weight
    return reduced(out, reduction, out.size)


def _against(x: Any, target: Any, pos_weight: Any) -> Any:
    """Return the weight of the answer that speaks against the sign of x."""
    yes = target if pos_weight is None else target * np.asarray(pos_weight, target.dtype)
    return np.where(x > 0, 1.0 - target, yes)


def _out_of_play(x: Any, target: Any, weight: Any, pos_weight: Any) -> Any:
    """Return where a logit is infinite, and its target agrees with it or its weight is 0: there the loss is 0."""
    none = np.equal(_against(x, target, pos_weight), 0)
    return np.isinf(x) & (none if weight is None else none | np.equal(weight, 0))


def _logistic(x: Any) -> Any:
    """Return the sigmoid of x: recorded, the operation; of an array, a new one, made in place."""
    if isinstance(x, Tensor):
        return sigmoid(x)
    with np.errstate(over="ignore", under="ignore"):  # where exp(-x) is infinite, 1 / (1 + exp(-x)) is 0, rightly
        out = np.asarray(np.negative(x))
        np.exp(out, out=out)
        out += 1.0
        return np.divide(1.0, out, out=out)


def _scale(g: Any, x: Any, weight: Any, reduction: str) -> Any:
    if reduction == "mean":
        g = g * (1.0 / divisor(x, reduction))
    return g if weight is None else g * np.asarray(weight, g.dtype)


def _x_rule(g: Any, x: Any, target: Any, weight: Any, pos_weight: Any, reduction: str) -> Any:
    x, target = matched(x, target)
    g = _scale(g, x, weight, reduction)
    if pos_weight is None:
        return (_logistic(x) - target) * g
    yes = target * np.asarray(pos_weight, target.dtype)
    return (_logistic(x) * (yes + (1.0 - target)) - yes) * g


def _target_rule(g: Any, x: Any, target: Any, weight: Any, pos_weight: Any, reduction: str) -> Any:
    x, target = matched(x, target)
    g = _scale(g, x, weight, reduction)
    out = _out_of_play(x, target, weight, pos_weight)
    x = np.where(out, 0.0, x)
    if pos_weight is None:
        return -x * g
    d = np.logaddexp(0.0, -x) * np.asarray(pos_weight, x.dtype) - np.logaddexp(0.0, x)
    return np.where(out, 0.0, d) * g


def _compose(x: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: str = "mean") -> Any:
    x, target = matched(x, target)
    dtype = np.result_type(x.dtype, target.dtype)
    yes = target if pos_weight is None else target * np.asarray(pos_weight, dtype)
    out = _out_of_play(x, target, weight, pos_weight)
    x = np.where(out, 0.0, x)
    losses = yes * np.logaddexp(0.0, -x) + (1.0 - target) * np.logaddexp(0.0, x)
    losses = np.where(out, 0.0, losses)
    if weight is not None:
        losses = losses * np.asarray(weight, dtype)
    return reduced(losses, reduction, losses.size)


def _samples(generator: np.random.Generator) -> list[Any]:
    x, target = generator.uniform(0.05, 0.95, (2, 4, 3))
    weight, pos_weight = np.array([[0.5], [1.0], [0.0], [2.0]]), np.array([0.5, 3.0, 1.0])
    wide, answers = generator.normal(size=(2, 3)) * 3.0, [[0, 1, 1], [1, 0, 0]]
    return [
        (x, target), (x, target, weight), (x, target, weight, pos_weight), (x, target, None, pos_weight, "sum"),
        (x, target, weight, pos_weight, "none"), ((x, target), {"pos_weight": 2.0, "reduction": "none"}),
        (wide, answers), (wide, answers, None, pos_weight), ((wide, answers), {"reduction": "sum"}),
        (x[:1], target[:1], pos_weight), (x[0, 0], target[0, 0]),
        ((x[:0], target[:0]), {"reduction": "sum"}), (x[:0], target[:0], pos_weight, None, "none"),
    ]  # fmt: skip


binary_cross_entropy_with_logits = fused_op(
    _binary_cross_entropy, name=NAME, x=_x_rule, target=_target_rule, compose=_compose, samples=_samples
)
binary_cross_entropy_with_logits.__doc__ = """Return the cross-entropy of the sigmoid of each logit with its target.

``-weight * (pos_weight * target * log sigmoid(x) + (1 - target) * log(1 - sigmoid(x)))``: Bishop, Pattern Recognition
and Machine Learning (2006), equation 4.90, whose slope in x is ``sigmoid(x) - target`` (4.91). Nothing overflows or
loses its digits, however large the logits. A logit of inf or -inf that its target agrees with, or whose weight is 0,
adds 0, and takes no gradient; the loss of any other is infinite. A NaN shows, whatever its weight.

Parameters
----------
x : Tensor or array
    Logits, of any shape.
target : Tensor or array, of x's shape
    Probabilities, which take a gradient; or 0 and 1, also as integers or booleans. Nothing is broadcast.
weight : array, optional
    A weight of at least 0 for each element; broadcast to x's shape. It takes no gradient.
pos_weight : array, optional
    A weight of at least 0 for the positive answers; broadcast to x's shape. It takes no gradient.
reduction : {"mean", "sum", "none"}
    The mean divides by the number of elements, whatever their weights.

Returns
-------
Tensor, shape (), or that of x with reduction "none"

Raises
------
ValueError
    If the shapes differ; a target, a weight or the reduction is out of range; or the mean is asked for of an empty
    batch.
TypeError
    If an argument does not hold real numbers.
"""

"""mse_loss, l1_loss and huber_loss: how far predictions are from targets, element by element.

The rules read x and the target, and are ordinary NumPy: they record themselves, and the node keeps no difference.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..ops.branches import side
from .arguments import check_pair, divisor, matched, positive, reduced


def _difference(x: Any, target: Any) -> Any:
    x, target = matched(x, target)
    return x - target


def _scaled(g: Any, x: Any, reduction: str, factor: float = 1.0) -> Any:
    """Return g times the factor, and divided by the number of elements where the loss is their mean."""
    factor /= divisor(x, reduction)
    return g if factor == 1.0 else g * factor


def _own(difference: Any) -> Any:
    """Return a difference as an array to write to: that of two arrays of no axes is a number."""
    return np.asarray(difference)


# ---- mse_loss


def check_mse_loss(x: Any, target: Any, reduction: str) -> tuple[Any, Any]:
    """Return x and target as floating-point arrays, or raise what is wrong."""
    return check_pair("mse_loss", x, target, reduction)


def _mse_loss(x: Any, target: Any, reduction: str = "mean") -> Any:
    x, target = check_mse_loss(x, target, reduction)
    d = _own(x - target)
    d *= d
    return reduced(d, reduction, d.size)


def _mse_rule(g: Any, x: Any, target: Any, reduction: str) -> Any:
    return _difference(x, target) * _scaled(g, x, reduction, 2.0)


def _mse_compose(x: Any, target: Any, reduction: str = "mean") -> Any:
    d = _difference(x, target)
    return reduced(d * d, reduction, d.size)


# ---- l1_loss


def check_l1_loss(x: Any, target: Any, reduction: str) -> tuple[Any, Any]:
    """Return x and target as floating-point arrays, or raise what is wrong."""
    return check_pair("l1_loss", x, target, reduction)


def _l1_loss(x: Any, target: Any, reduction: str = "mean") -> Any:
    x, target = check_l1_loss(x, target, reduction)
    d = _own(x - target)
    np.absolute(d, out=d)
    return reduced(d, reduction, d.size)


def _l1_rule(g: Any, x: Any, target: Any, reduction: str) -> Any:
    return np.sign(_difference(x, target)) * _scaled(g, x, reduction)


def _l1_compose(x: Any, target: Any, reduction: str = "mean") -> Any:
    d = _difference(x, target)
    return reduced(np.absolute(d), reduction, d.size)


# ---- huber_loss. With c the difference clipped to [-delta, delta], both of its pieces are c * (d - c / 2).


def check_huber_loss(x: Any, target: Any, delta: Any, reduction: str) -> tuple[Any, Any, float]:
    """Return x and target as floating-point arrays and delta as a float, or raise what is wrong."""
    delta = positive("huber_loss: delta", delta)
    return *check_pair("huber_loss", x, target, reduction), delta


def _huber_loss(x: Any, target: Any, delta: float = 1.0, reduction: str = "mean") -> Any:
    x, target, delta = check_huber_loss(x, target, delta, reduction)
    d = _own(x - target)
    c = np.clip(d, -delta, delta)
    d -= c * 0.5
    d *= c
    return reduced(d, reduction, d.size)


def _huber_rule(g: Any, x: Any, target: Any, delta: float, reduction: str) -> Any:
    return np.clip(_difference(x, target), -delta, delta) * _scaled(g, x, reduction)


def _huber_compose(x: Any, target: Any, delta: float = 1.0, reduction: str = "mean") -> Any:
    d = _difference(x, target)
    c = np.clip(d, -float(delta), float(delta))
    return reduced(c * (d - c * 0.5), reduction, d.size)


# ---- the declarations


def _pairs(*options: Any) -> Any:
    """Samples whose differences stay clear of 0 and of 1: one for each of the options, and of several shapes."""

    def samples(generator: np.random.Generator) -> list[Any]:
        found = []
        shapes: list[tuple[int, ...]] = [(2, 3), (4,), (), (1, 1), (2, 2, 2)]
        for n in range(max(len(shapes), len(options))):
            shape, option = shapes[n % len(shapes)], options[n % len(options)]
            far = generator.uniform(0.1, 0.8, shape) + generator.integers(2, size=shape) * 1.1
            target = generator.normal(size=shape)
            found.append(((target + far * generator.choice([-1.0, 1.0], shape), target), option))
        empty = [((np.zeros((0, 2)), np.zeros((0, 2))), {"reduction": kind}) for kind in ("sum", "none")]
        return [*found, *empty]

    return samples


_sizes = [{}, {"reduction": "sum"}, {"reduction": "none"}, {"reduction": "mean"}]

mse_loss = fused_op(
    _mse_loss, name="mse_loss", compose=_mse_compose, samples=_pairs(*_sizes),
    x=_mse_rule,
    target=lambda g, x, target, reduction: _mse_rule(-g, x, target, reduction),
)  # fmt: skip

l1_loss = fused_op(
    _l1_loss, name="l1_loss", compose=_l1_compose, samples=_pairs(*_sizes),
    branch=lambda x, target: side(x, target),
    x=_l1_rule,
    target=lambda g, x, target, reduction: _l1_rule(-g, x, target, reduction),
)  # fmt: skip

huber_loss = fused_op(
    _huber_loss, name="huber_loss", compose=_huber_compose,
    samples=_pairs({}, {"delta": 0.95, "reduction": "sum"}, {"delta": 5.0}, {"reduction": "none"}, {"delta": 0.05}),
    x=_huber_rule,
    target=lambda g, x, target, delta, reduction: _huber_rule(-g, x, target, delta, reduction),
)  # fmt: skip

_ABOUT = """Parameters
----------
x : Tensor or array
    Predictions, of any shape.
target : Tensor or array, of x's shape
    It takes a gradient, too. Nothing is broadcast: (N,) against (N, 1) would make N * N differences. Whole numbers are
    taken in x's precision.
{more}reduction : {{"mean", "sum", "none"}}
    The mean is that of all elements.

Returns
-------
Tensor, shape (), or that of x with reduction "none"

Raises
------
ValueError
    If the shapes differ, an option is out of range, or the mean is asked for of an empty batch.
TypeError
    If x or target are no real numbers.
"""
mse_loss.__doc__ = f"""Return the mean squared error ``(x - target) ** 2``.

That of Gauss and Legendre; Bishop, Pattern Recognition and Machine Learning (2006), equation 1.2, without its half.

{_ABOUT.format(more="")}"""
l1_loss.__doc__ = f"""Return the mean absolute error ``abs(x - target)``, whose gradient is 0 where they are equal.

At NaN it is NaN. Bishop, Pattern Recognition and Machine Learning (2006), equation 1.91 with q = 1: the target's median
minimizes it.

{_ABOUT.format(more="")}"""
huber_loss.__doc__ = f"""Return Huber's loss: half the square of a difference up to `delta`, and a line from there on.

With d = x - target it is ``d ** 2 / 2`` where ``abs(d) <= delta``, and ``delta * (abs(d) - delta / 2)`` elsewhere; the
pieces meet with one slope, so the gradient is d clipped to [-delta, delta], and there the second derivative is the
square's, 1. Huber, Robust estimation of a location parameter (1964).

{_ABOUT.format(more='''delta : float
    Above 0, and finite.
''')}"""

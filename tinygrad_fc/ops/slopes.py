"""Derivatives that take more than a line, and those that are operations: each knows its own derivative.

Recorded piece by piece, ``1 / sqrt(1 - x * x)`` has at 1 the derivative infinity times 0, which is NaN; in the form
given here it is infinite, as it should be. In the same way the derivative of ``1 / (1 + x * x)`` is 0 at infinity.

``same`` and ``independent``, which the engine asks for by name where it records derivatives, stand here too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.op import op
from ..engine.tensor import Tensor
from .samples import calls, unary


def _finite(x: Any) -> Any:
    """Return `x` with 0 in the place of infinities: beside a factor that is 0 there, and is to stay so."""
    return np.where(np.isinf(x), 0.0, x)


def _arcsin_slope(x: Any) -> Any:
    return 1.0 / np.sqrt((1.0 - x) * (1.0 + x))


def _arccosh_slope(x: Any) -> Any:
    return 1.0 / (np.sqrt(x - 1.0) * np.sqrt(x + 1.0))


def _arctan_slope(x: Any) -> Any:
    return 1.0 / (x * x + 1.0)


# Each is a power of a square, y = (1 - x²)^(-1/2) and so on, and so dy/dx is x times a power of y.
_arcsin  = op(_arcsin_slope,  x=lambda g, x, out: g * (x * (out * out * out)),               samples=unary(-0.9, 0.9))
_arccosh = op(_arccosh_slope, x=lambda g, x, out: -g * (_finite(x) * (out * out * out)),     samples=unary(1.2, 3.0))
_arctan  = op(_arctan_slope,  x=lambda g, x, out: g * (-2.0 * _finite(x) * out * out),       samples=unary())


def _either(kernel: Callable[[Any], Any], record: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what a rule calls: the recorded operation on a tensor, and the function on an array."""
    return lambda x: record(x) if isinstance(x, Tensor) else kernel(x)


arcsin_slope = _either(_arcsin_slope, _arcsin)
arccosh_slope = _either(_arccosh_slope, _arccosh)
arctan_slope = _either(_arctan_slope, _arctan)


# ---- what higher orders are made of

# The identity, by which `compose` gets inputs of its own: the derivative of an operation is taken with respect to its
# arguments, even where one argument was computed from another.
same = op(lambda x: x, name="same", x=lambda g: g, samples=calls((2, 3)))

# A value that happens not to depend on `x`: what a constant derivative is, so that it can be differentiated again.
independent = op(
    lambda value, x: np.array(value), name="independent", value=lambda g: g, x=lambda g, x: np.zeros_like(x),
    samples=calls((2, 3), (2, 3)),
)  # fmt: skip


# ---- rules


def cbrt_rule(g: Any, out: Any) -> Any:
    """Return g / (3 y²), y being the cube root."""
    inverse = np.reciprocal(out)  # where it is infinite, so are the derivatives of its square
    return g * (inverse * inverse / 3.0)


# The derivative of sin(y) / y is the sum over k of these numbers times y ** (2 k + 1).
_SINC = tuple([(-1) ** k * 2 * k / math.factorial(2 * k + 1) for k in range(1, 12)])


def sinc_rule(g: Any, x: Any) -> Any:
    """Return g times the derivative of sin(pi x) / (pi x), by its series near 0."""
    # cos(y) / y - sin(y) / y**2 loses all digits near 0; the series has them, in every derivative.
    y = x * math.pi
    near = np.abs(y) < 1.0
    small, large = np.where(near, y, 0.0), np.where(near, 1.0, y)
    z = small * small
    series = z * _SINC[-1] + _SINC[-2]
    for factor in _SINC[-3::-1]:
        series = series * z + factor
    far = (np.cos(large) - np.sin(large) / large) / large
    return g * (math.pi * np.where(near, series * small, far))

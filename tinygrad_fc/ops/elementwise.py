"""Elementwise operations: one line each. `g` is the incoming gradient; a rule's other parameters are what it reads.

Ties and kinks: ``maximum`` and ``minimum`` share the gradient equally where their arguments tie; ``absolute`` and
``sign`` have 0 at 0; ``clip`` passes the gradient at its bounds. docs/ties.md holds the whole table.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.op import op
from .samples import binary, calls, several, unary


def _winner(g: Any, x: Any, wins: Any, y: Any) -> Any:
    """Return the part of `g` that goes to `x`: all where it `wins` or is NaN, half at a tie with `y`, else none."""
    return np.where(x == y, g * 0.5, np.where(wins | (x != x), g, 0.0))


def _larger(g: Any, x: Any, y: Any) -> Any:
    return _winner(g, x, np.greater(x, y), y)


def _smaller(g: Any, x: Any, y: Any) -> Any:
    return _winner(g, x, np.less(x, y), y)


def _power_x(g: Any, x: Any, y: Any) -> Any:
    # At y == 0 the function is constant, so the gradient is 0 even at x == 0, where x ** -1 is infinite.
    if isinstance(y, (bool, int, float)):
        return g * (np.power(x, y - 1.0) * float(y)) if y else np.zeros_like(g)
    return np.where(y == 0, 0.0, g * y * np.power(x, np.where(y == 0, 1.0, y - 1.0)))


def _power_y(g: Any, x: Any, y: Any, out: Any) -> Any:
    # 0 ** y does not change with y > 0; a negative base has no real logarithm, and NaN says so. The logarithm of 0 is
    # never taken, so nothing is hidden behind the selection.
    flat = np.equal(x, 0) & (y >= 0)
    return np.where(flat, 0.0, g * out * np.log(np.where(flat, np.ones_like(out), x)))


def _sigmoid(x: Any) -> Any:
    """Return 1 / (1 + exp(-x)) without overflow (the exponent is never positive)."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def _where(condition: Any, x: Any, y: Any) -> Any:
    return np.where(condition, x, y)


def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    low, high = a_min if min is None else min, a_max if max is None else max
    if low is None and high is None:
        return np.array(a)
    return np.clip(a, low, high)


def _clip_rule(g: Any, a: Any, a_min: Any, a_max: Any, min: Any, max: Any) -> Any:
    low, high = a_min if min is None else min, a_max if max is None else max
    if low is None and high is None:
        return g
    inside = (a >= (-math.inf if low is None else low)) & (a <= (math.inf if high is None else high))
    return np.where(inside, g, 0.0)


def _astype(x: Any, dtype: Any) -> Any:
    return np.asarray(x).astype(dtype)


# ---- arithmetic

add      = op(np.add,      x=lambda g: g,         y=lambda g: g,                       samples=binary())
subtract = op(np.subtract, x=lambda g: g,         y=lambda g: -g,                      samples=binary())
multiply = op(np.multiply, x=lambda g, y: g * y,  y=lambda g, x: g * x,                samples=binary())
divide   = op(np.divide,   x=lambda g, y: g / y,  y=lambda g, y, out: -g * out / y,    samples=binary(y=(0.5, 2.0)))
power    = op(np.power,    x=_power_x,            y=_power_y,                          samples=binary(x=(0.5, 2.0)))
negative = op(np.negative, x=lambda g: -g,                                             samples=unary())
positive = op(np.positive, x=lambda g: g,                                              samples=unary())

# ---- functions of one argument

exp        = op(np.exp,        x=lambda g, out: g * out,                               samples=unary())
expm1      = op(np.expm1,      x=lambda g, out: g * (out + 1.0),                       samples=unary())
exp2       = op(np.exp2,       x=lambda g, out: g * (out * math.log(2.0)),             samples=unary())
log        = op(np.log,        x=lambda g, x: g / x,                                   samples=unary(0.5, 3.0))
log1p      = op(np.log1p,      x=lambda g, x: g / (x + 1.0),                           samples=unary(-0.5, 3.0))
log2       = op(np.log2,       x=lambda g, x: g / (x * math.log(2.0)),                 samples=unary(0.5, 3.0))
log10      = op(np.log10,      x=lambda g, x: g / (x * math.log(10.0)),                samples=unary(0.5, 3.0))
sqrt       = op(np.sqrt,       x=lambda g, out: g / (2.0 * out),                       samples=unary(0.5, 3.0))
square     = op(np.square,     x=lambda g, x: g * (2.0 * x),                           samples=unary())
reciprocal = op(np.reciprocal, x=lambda g, out: -g * out * out,                        samples=unary(0.5, 3.0))
absolute   = op(np.absolute,   x=lambda g, x: g * np.sign(x),                          samples=unary(gap=0.1))
sign       = op(np.sign,       x=lambda g: np.zeros_like(g),                           samples=unary(gap=0.1))
tanh       = op(np.tanh,       x=lambda g, out: g * (1.0 - out * out),                 samples=unary())
sin        = op(np.sin,        x=lambda g, x: g * np.cos(x),                           samples=unary())
cos        = op(np.cos,        x=lambda g, x: -g * np.sin(x),                          samples=unary())
sigmoid    = op(_sigmoid,      x=lambda g, out: g * out * (1.0 - out),                 samples=unary(-4.0, 4.0))
copy       = op(lambda x: np.array(x), name="copy", numpy=np.copy, x=lambda g: g,      samples=unary())

# ---- selection

maximum = op(np.maximum, x=_larger,  y=lambda g, x, y: _larger(g, y, x),               samples=binary(gap=0.2))
minimum = op(np.minimum, x=_smaller, y=lambda g, x, y: _smaller(g, y, x),              samples=binary(gap=0.2))

where = op(
    _where, numpy=np.where, broadcasts=True,
    x=lambda g, condition: np.where(condition, g, 0.0),
    y=lambda g, condition: np.where(condition, 0.0, g),
    samples=several(calls(np.array([True, False, True]), (3,), (3,)), calls(np.array([[True], [False]]), (2, 3), (3,)),
                    calls(np.array([True, False]), (2,), 1.5), calls(True, (), (2,))),
)  # fmt: skip

clip = op(
    _clip, numpy=np.clip, broadcasts=True, a=_clip_rule,
    samples=several(calls((3, 4), -1.1, 1.2), calls((3, 4), None, 0.5), calls((4,), min=-0.7), calls((4,), 0.3, None)),
)  # fmt: skip

astype = op(_astype, numpy=np.astype, x=lambda g: g, broadcasts=True, samples=calls((2, 3), np.float64))

# ---- comparisons and tests: constant results, which index, mask and branch like arrays

for _ufunc in (
    np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal, np.logical_and, np.logical_or,
    np.logical_xor, np.bitwise_and, np.bitwise_or, np.bitwise_xor,
):  # fmt: skip
    _bits = calls(np.array([True, False]), np.array([True, True]))
    op(_ufunc, samples=_bits if _ufunc.__name__.startswith("bit") else binary())
for _test in (np.isfinite, np.isnan, np.isinf, np.logical_not, np.signbit):
    op(_test, samples=unary())
op(np.invert, samples=calls(np.array([True, False])))
op(lambda x: np.zeros_like(x), name="zeros_like", numpy=np.zeros_like, samples=unary())
op(lambda x: np.ones_like(x), name="ones_like", numpy=np.ones_like, samples=unary())

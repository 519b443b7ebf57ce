"""Elementwise operations: one line each. `g` is the incoming gradient; a rule's other parameters are what it reads.

Ties and kinks: ``maximum``, ``minimum``, ``fmax`` and ``fmin`` share the gradient equally where their arguments tie;
``absolute`` and ``sign`` have 0 at 0, and so have ``hypot`` and ``arctan2`` at the origin; ``clip`` passes the gradient
at its bounds (and they take that of what they replace); ``interp`` has at a knot the slope to its right. docs/ties.md
holds the whole table. Rounding, remainders and tests stand in rounding.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine.dispatch import functions
from ..engine.op import op
from ..engine.tensor import Tensor
from .branches import clipped, of_pair, of_x, side, turn
from .derived import derived, here
from .rounding import numbers, remainder
from .samples import binary, calls, several, unary
from .sigmoidal import logistic, sigmoid_compose, sigmoid_rule, tanh_compose, tanh_rule
from .slopes import arccosh_slope, arcsin_slope, arctan_slope, cbrt_rule, sinc_rule


def _winner(g: Any, x: Any, wins: Any, y: Any) -> Any:
    """Return the part of `g` that goes to `x`: all where it `wins` or is NaN, half at a tie with `y`, else none."""
    return np.where(x == y, g * 0.5, np.where(wins | (x != x), g, 0.0))


def _larger(g: Any, x: Any, y: Any) -> Any:
    return _winner(g, x, np.greater(x, y), y)


def _smaller(g: Any, x: Any, y: Any) -> Any:
    return _winner(g, x, np.less(x, y), y)


def _present(g: Any, x: Any, wins: Any, y: Any) -> Any:
    """As `_winner`, but a NaN loses to a number: what ``fmax`` and ``fmin`` return. Two of them tie."""
    tie = np.equal(x, y) | (np.isnan(x) & np.isnan(y))
    return np.where(tie, g * 0.5, np.where(wins | np.isnan(y), g, 0.0))


def _present_larger(g: Any, x: Any, y: Any) -> Any:
    return _present(g, x, np.greater(x, y), y)


def _present_smaller(g: Any, x: Any, y: Any) -> Any:
    return _present(g, x, np.less(x, y), y)


def _power_x(g: Any, x: Any, y: Any) -> Any:
    """Return ``g * y * x ** (y - 1)``, and 0 at y == 0."""
    # At y == 0 the function is constant, so the gradient is 0 even at x == 0, where x ** -1 is infinite.
    if isinstance(y, (bool, int, float)):
        return g * (np.power(x, y - 1.0) * float(y)) if y else np.zeros_like(g)
    return np.where(y == 0, 0.0, g * y * np.power(x, np.where(y == 0, 1.0, y - 1.0)))


def _power_y(g: Any, x: Any, y: Any, out: Any) -> Any:
    """Return ``g * out * np.log(x)``, and 0 at x == 0."""
    # 0 ** y does not change with y > 0; a negative base has no real logarithm, and NaN says so. The logarithm of 0 is
    # never taken, so nothing is hidden behind the selection.
    flat = np.equal(x, 0) & (y >= 0)
    return np.where(flat, 0.0, g * out * np.log(np.where(flat, np.ones_like(out), x)))


def _logistic(x: Any) -> Any:
    # Recorded, it has to be the operation: the function above works in place.
    return sigmoid(x) if isinstance(x, Tensor) else logistic(x)


def _share(g: Any, x: Any, y: Any, out: Any, scale: float) -> Any:
    """Return what of `g` goes to `x` in the logarithm of a sum of powers: its share, e^x / (e^x + e^y).

    By the difference, which knows more digits than `out`. Where both are -inf each share is 0, as in ``logsumexp``, and
    where both are +inf it is a half.
    """
    endless = np.asarray(np.isinf(out))
    if not endless.any():
        return g * _logistic((x - y) * scale)
    even, zero = endless & np.equal(x, y), np.zeros_like(out)  # nothing to subtract: two of the same infinity
    ahead = np.where(even, zero, x) - np.where(even, zero, y)
    return np.where(np.equal(out, -math.inf), 0.0, g * _logistic(ahead * scale))


def _leg(g: Any, x: Any, out: Any) -> Any:
    none = out == 0  # the origin, a kink: 0 there, and in the derivative of this too
    return np.where(none, 0.0, g * (x / np.where(none, 1.0, out)))


def _turn(g: Any, leg: Any, x: Any, y: Any) -> Any:
    """Return g * leg / (x * x + y * y) without overflow; 0 at the origin, and at infinity."""
    radius = np.hypot(x, y)
    none = np.asarray((radius == 0) | np.isinf(radius))
    if none.any():  # what is not selected is finite, as are its derivatives
        leg, x, y = [np.where(none, 1.0, item) for item in (leg, x, y)]
        radius = np.hypot(x, y)
    return np.where(none, 0.0, g * (leg / radius / radius))


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


def _clip_low(g: Any, a: Any, a_min: Any, a_max: Any, min: Any, max: Any) -> Any:
    low, high = a_min if min is None else min, a_max if max is None else max
    below = np.less(a, low)
    return np.where(below if high is None else below & np.less_equal(low, high), g, 0.0)


def _clip_high(g: Any, a: Any, a_min: Any, a_max: Any, min: Any, max: Any) -> Any:
    low, high = a_min if min is None else min, a_max if max is None else max
    above = np.greater(a, high)  # and where the bounds cross, NumPy gives the upper one
    return np.where(above if low is None else above | np.greater(low, high), g, 0.0)


def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    if not copy:
        raise TypeError("nan_to_num: copy=False would write into a tensor. Leave it out, and take the result.")
    return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


def _astype(
    x: Any, dtype: Any, order: Any = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True,
    device: Any = None,
) -> Any:  # fmt: skip
    here("astype", device)
    dtype = np.dtype(dtype).newbyteorder("=")  # tensors know no other
    return np.asarray(x).astype(dtype, order=order, casting=casting, copy=copy)


def _copy(a: Any, order: Any = "K", subok: bool = False) -> Any:
    return np.array(a, order=order)


# ---- arithmetic

add      = op(np.add,      x=lambda g: g,         y=lambda g: g,                       samples=binary())
subtract = op(np.subtract, x=lambda g: g,         y=lambda g: -g,                      samples=binary())
multiply = op(np.multiply, x=lambda g, y: g * y,  y=lambda g, x: g * x,                samples=binary())
divide   = op(np.divide,   x=lambda g, y: g / y,  y=lambda g, y, out: -g * out / y,    samples=binary(y=(0.5, 2.0)))
power    = op(np.power,    x=_power_x,            y=_power_y,                          samples=binary(x=(0.5, 2.0)),
              branch=lambda x, y: np.equal(x, 0) & np.equal(y, 0))
negative = op(np.negative, x=lambda g: -g,                                             samples=unary())
positive = op(np.positive, x=lambda g: g,                                              samples=unary())
functions.true_divide = true_divide = divide

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
cbrt       = op(np.cbrt,       x=cbrt_rule,                            branch=of_x,    samples=unary(0.5, 3.0))
reciprocal = op(np.reciprocal, x=lambda g, out: -g * out * out,                        samples=unary(0.5, 3.0))
absolute   = op(np.absolute,   x=lambda g, x: g * np.sign(x),          branch=of_x,    samples=unary(gap=0.1))
fabs       = op(np.fabs,       x=lambda g, x: g * np.sign(x),          branch=of_x,    samples=unary(gap=0.1))
sign       = op(np.sign,       x=lambda g: np.zeros_like(g),           branch=of_x,    samples=unary(gap=0.1))
sigmoid    = op(logistic, name="sigmoid", x=sigmoid_rule, compose=sigmoid_compose,     samples=unary(-4.0, 4.0))
copy       = op(_copy,         numpy=np.copy, a=lambda g: g,
                samples=several(unary(), calls((2, 3), "F"), calls((2, 3), order="A")))

# ---- circular and hyperbolic functions; angles

_DEGREE = math.pi / 180.0

sin     = op(np.sin,     x=lambda g, x: g * np.cos(x),                                 samples=unary())
cos     = op(np.cos,     x=lambda g, x: -g * np.sin(x),                                samples=unary())
tan     = op(np.tan,     x=lambda g, out: g * (1.0 + out * out),                       samples=unary(-1.2, 1.2))
arcsin  = op(np.arcsin,  x=lambda g, x: g * arcsin_slope(x),                           samples=unary(-0.9, 0.9))
arccos  = op(np.arccos,  x=lambda g, x: -g * arcsin_slope(x),                          samples=unary(-0.9, 0.9))
arctan  = op(np.arctan,  x=lambda g, x: g * arctan_slope(x),                           samples=unary())
sinh    = op(np.sinh,    x=lambda g, x: g * np.cosh(x),                                samples=unary())
cosh    = op(np.cosh,    x=lambda g, x: g * np.sinh(x),                                samples=unary())
tanh    = op(np.tanh,    x=tanh_rule, compose=tanh_compose,                            samples=unary())
arcsinh = op(np.arcsinh, x=lambda g, x: g / np.hypot(x, 1.0),                          samples=unary())
arccosh = op(np.arccosh, x=lambda g, x: g * arccosh_slope(x),                          samples=unary(1.2, 3.0))
arctanh = op(np.arctanh, x=lambda g, x: g / ((1.0 - x) * (1.0 + x)),                   samples=unary(-0.9, 0.9))
sinc    = op(np.sinc,    x=sinc_rule,                             samples=several(unary(), unary(-0.3, 0.3)))
deg2rad = op(np.deg2rad, x=lambda g: g * _DEGREE,                                      samples=unary(-180.0, 180.0))
radians = op(np.radians, x=lambda g: g * _DEGREE,                                      samples=unary(-180.0, 180.0))
rad2deg = op(np.rad2deg, x=lambda g: g / _DEGREE,                                      samples=unary())
degrees = op(np.degrees, x=lambda g: g / _DEGREE,                                      samples=unary())

# ---- functions of two arguments

hypot      = op(np.hypot,      x=_leg,   y=lambda g, y, out: _leg(g, y, out),          samples=binary(gap=0.2),
                               branch=lambda out: np.equal(out, 0))
arctan2    = op(np.arctan2,    y=lambda g, y, x: _turn(g, x, x, y),
                               x=lambda g, y, x: -_turn(g, y, x, y),  branch=turn,     samples=binary(gap=0.2))
logaddexp  = op(np.logaddexp,  x=lambda g, x, y, out: _share(g, x, y, out, 1.0),
                               y=lambda g, x, y, out: _share(g, y, x, out, 1.0),       samples=binary())
logaddexp2 = op(np.logaddexp2, x=lambda g, x, y, out: _share(g, x, y, out, math.log(2.0)),
                               y=lambda g, x, y, out: _share(g, y, x, out, math.log(2.0)),  samples=binary())
copysign   = op(np.copysign,   x=lambda g, x, out: g * (np.sign(x) * np.sign(out)),
                               y=lambda g: np.zeros_like(g),                           samples=binary(gap=0.2),
                               branch=lambda x, y: side(x) + 4 * np.signbit(y))
ldexp      = op(np.ldexp,      x1=lambda g, x2: np.ldexp(g, x2), x2=None,
                samples=several(calls((3,), np.array([1, -2, 0])), calls((2, 1), np.array([3, 0])), calls((), 2)))


@derived(np.float_power, samples=binary(x=(0.5, 2.0)))
def float_power(x1: Any, x2: Any) -> Tensor:
    """Return ``x1 ** x2`` in float64, as ``np.float_power``, whatever the precision of the arguments.

    Their gradients have their own.
    """
    out: Tensor = power(_widened(x1), _widened(x2))
    return out


def _widened(x: Any) -> Any:
    x = x if isinstance(x, Tensor) else np.asarray(x)
    return astype(x, np.result_type(x.dtype, np.float64))


# ---- selection

_apart: Any = {"samples": binary(gap=0.2), "branch": of_pair}

maximum = op(np.maximum, x=_larger,          y=lambda g, x, y: _larger(g, y, x),          **_apart)
minimum = op(np.minimum, x=_smaller,         y=lambda g, x, y: _smaller(g, y, x),         **_apart)
fmax    = op(np.fmax,    x=_present_larger,  y=lambda g, x, y: _present_larger(g, y, x),  **_apart)
fmin    = op(np.fmin,    x=_present_smaller, y=lambda g, x, y: _present_smaller(g, y, x), **_apart)

where = op(
    _where, numpy=np.where, broadcasts=True,
    x=lambda g, condition: np.where(condition, g, 0.0),
    y=lambda g, condition: np.where(condition, 0.0, g),
    branch=lambda condition: np.asarray(condition, bool),
    samples=several(calls(np.array([True, False, True]), (3,), (3,)), calls(np.array([[True], [False]]), (2, 3), (3,)),
                    calls(np.array([True, False]), (2,), 1.5), calls(True, (), (2,))),
)  # fmt: skip

clip = op(
    _clip, numpy=np.clip, broadcasts=True,
    branch=lambda a, a_min, a_max, min, max: clipped(a, a_min if min is None else min, a_max if max is None else max),
    a=_clip_rule, a_min=_clip_low, a_max=_clip_high, min=_clip_low, max=_clip_high,
    samples=several(calls((3, 4), -1.1, 1.2), calls((3, 4), None, 0.5), calls((4,), min=-0.7), calls((4,), 0.3, None),
                    lambda generator: [(generator.permutation(12).reshape(3, 4) / 6.0 - 1.0, np.array(-0.6),
                                        np.array([[0.1], [0.4], [0.76]])),
                                       ((generator.permutation(4) / 2.0 - 1.2,), {"min": np.full(4, -0.4),
                                                                                  "max": np.array(-0.9)})]),
)  # fmt: skip

nan_to_num = op(
    _nan_to_num, numpy=np.nan_to_num, x=lambda g, x: np.where(np.isfinite(x), g, 0.0),
    branch=lambda x: np.isfinite(x),
    samples=several(unary(), calls(np.array([1.0, np.nan, np.inf, -np.inf]), nan=0.5, posinf=2.0, neginf=-2.0)),
)  # fmt: skip

astype = op(_astype, numpy=np.astype, x=lambda g: g, broadcasts=True,
            samples=several(calls((2, 3), np.float64), calls((2, 3), np.float64, copy=False, device="cpu")))

# ---- what picks among several arrays


def _plain(value: Any) -> Any:
    """Return the array of a tensor or an array_like; Python numbers stay, since they widen nothing."""
    return value if type(value) in (bool, int, float) else np.asarray(numbers(value))


def _picked(conditions: Sequence[Any], values: Sequence[Any], otherwise: Any) -> Tensor:
    """Return each element from the first of `values` whose condition holds there, in the dtype of all of them."""
    dtype = np.result_type(*[_plain(value) for value in (*values, otherwise)])
    out: Any = otherwise if isinstance(otherwise, Tensor) else np.asarray(otherwise, dtype)
    for condition, value in zip(reversed(conditions), reversed(values), strict=True):
        out = where(condition, value, out)
    return out if out.dtype == dtype else astype(out, dtype)


@derived(np.select, samples=lambda generator: [
    ([np.arange(6).reshape(2, 3) < 2, np.array([True, False, True])], list(generator.normal(size=(2, 3)))),
    ([np.array([True, False, False]), np.array([True, True, False])],
     [generator.normal(size=3), generator.normal(size=(2, 1))], generator.normal(size=())),
])  # fmt: skip
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Tensor:
    """Return each element from the first choice whose condition holds there, else `default`, as ``np.select``."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(
            f"select: condlist has {len(condlist)} entries and choicelist {len(choicelist)}, expected as many, and one "
            f"at least."
        )
    conditions = [np.asarray(numbers(condition)) for condition in condlist]
    for n, condition in enumerate(conditions):
        if condition.dtype != bool:
            raise TypeError(f"select: condlist[{n}] has dtype {condition.dtype}, expected booleans.")
    return _picked(conditions, list(choicelist), default)


@derived(np.choose, samples=lambda generator: [
    (np.array([[0, 1, 2], [2, 2, 0]]), [*generator.normal(size=(2, 3)), generator.normal(size=(2, 1))]),
    (np.array([0, 0]), [generator.normal(size=(2, 1))]),
    ((np.array([-1, 0, 3]), list(generator.normal(size=(2, 3)))), {"mode": "wrap"}),
    ((np.array([-1, 0, 3]), generator.normal(size=(2, 3))), {"mode": "clip"}),
])  # fmt: skip
def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Tensor:
    """Return each element from the choice that the integer in `a` names, as ``np.choose``."""
    if out is not None:
        raise TypeError("choose: out= would be written without a gradient. Leave it out, and take the result.")
    which, count = np.asarray(numbers(a)), len(choices)
    if not count:
        raise ValueError("choose: choices is empty, expected one array at least.")
    if which.dtype.kind not in "biu":
        raise TypeError(f"choose: a has dtype {which.dtype}, expected integers.")
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"choose: mode is {mode!r}, expected 'raise', 'wrap' or 'clip'.")
    if mode == "raise" and ((which < 0) | (which >= count)).any():
        raise ValueError(f"choose: a has entries from {which.min()} to {which.max()}, expected 0 to {count - 1}.")
    which = which % count if mode == "wrap" else np.clip(which, 0, count - 1)
    values, named = list(choices), max(count - 1, 1)  # the last one is what remains
    return _picked([which == n for n in range(named)], values[:named], values[-1])


def _between(generator: Any) -> list[Any]:
    """Points between, below and above knots, and away from them: as they are, and around a circle."""
    knots, values = np.array([-1.0, 0.0, 0.5, 2.0]), generator.normal(size=4)
    inside, around = np.array([[-0.6, 0.3], [1.1, -0.2]]), np.array([-4.4, -0.6, 1.7, 2.6])
    return [
        (inside, knots, values), (np.array([-1.5, 0.2, 2.5]), knots, values), (np.array(0.8), knots, values),
        ((np.array([-1.5, 0.2, 2.5]), knots, values), {"left": 0.7, "right": -0.7}),
        (np.array([-0.5, 0.5]), np.array([0.1]), np.array([3.0])),
        ((around, np.array([0.5, 2.0, -1.0, 0.1]), values), {"period": 3.5}),
    ]  # fmt: skip


@derived(np.interp, samples=_between)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Tensor:
    """Return the piecewise linear function through the points ``(xp, fp)`` at `x`, as ``np.interp``.

    Differentiable in `x` (at a point of `xp` with the slope to its right), `xp`, `fp`, `left` and `right`. Where all is
    float32 so is the result; NumPy's is always float64.

    Parameters
    ----------
    x : tensor or array_like
        Where to evaluate.
    xp : tensor or array_like, shape (N,)
        Increasing; with `period`, in any order.
    fp : tensor or array_like, shape (N,)
        Values at `xp`.
    left, right : tensor or number, optional
        Values below ``xp[0]`` and above ``xp[-1]``; the first and the last of `fp` by default.
    period : number, optional
        Period of the function; `left` and `right` are then without effect.
    """
    x, xp, fp = [v if type(v) in (int, float) or isinstance(v, Tensor) else np.asarray(v) for v in (x, xp, fp)]
    if np.ndim(xp) != 1 or np.shape(xp) != np.shape(fp) or not np.size(xp):
        raise ValueError(
            f"interp: xp has shape {np.shape(xp)} and fp {np.shape(fp)}, expected one axis of one length, not empty."
        )
    if period is not None:
        if not period:
            raise ValueError("interp: period is 0, expected another number.")
        x, xp = remainder(x, abs(period)), remainder(xp, abs(period))
        order = np.argsort(numbers(xp), kind="stable")
        xp, fp = functions.getitem(xp, order), functions.getitem(fp, order)
        xp = functions.concatenate([xp[-1:] - abs(period), xp, xp[:1] + abs(period)])
        fp = functions.concatenate([fp[-1:], fp, fp[:1]])
        left = right = None
    pick, at, knots = functions.getitem, numbers(x), numbers(xp)
    last = len(knots) - 1
    j = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, max(last - 1, 0))
    k = np.minimum(j + 1, last)
    start, base = pick(xp, j), pick(fp, j)
    run, rise = pick(xp, k) - start, pick(fp, k) - base
    # What is not selected in the end must be finite all the same, and an infinite rise must not make NaN of its start.
    outside = (at < knots[0]) | (at >= knots[-1])
    still = outside | ((at == start.data) & ~np.isfinite(rise.data))
    slope = where(still, 0.0, rise) / where(run.data == 0, 1.0, run)
    inner = slope * (where(outside, start, x) - start) + base
    left, right = pick(fp, 0) if left is None else left, pick(fp, -1) if right is None else right
    return _picked([at < knots[0], at > knots[-1], at == knots[-1]], [left, right, pick(fp, -1)], inner)

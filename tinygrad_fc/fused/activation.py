"""Activations made of straight pieces and exponentials: relu, leaky_relu, elu, selu, hardtanh.

Their rules read the result alone, so that what came before it need not be kept. On arrays they pick the pieces with
``maximum`` and ``minimum``: at signs that follow no pattern, ``np.where`` takes ten times as long.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..kernels import kernels
from ..ops.branches import side
from ..ops.elementwise import astype
from ..ops.samples import Samples, several, unary
from .arguments import finite

# Klambauer et al. (2017): with these, mean 0 and variance 1 are a fixed point of the activations.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def into(d: Any, ufunc: Any, *operands: Any) -> Any:
    """Return ``ufunc(*operands)``, in the memory of `d`, which the caller made (a tensor or a scalar has none)."""
    return ufunc(*operands, out=d) if type(d) is np.ndarray else ufunc(*operands)


def floating(x: Any) -> Any:
    """Return integers and booleans, arrays or tensors, as float64, floats as they are; raise TypeError for the rest."""
    kind = x.dtype.kind
    if kind == "f":
        return x
    if kind not in "biu":
        raise TypeError(f"x has dtype {x.dtype}, expected real numbers.")
    return x.astype(np.float64) if type(x) is np.ndarray else astype(x, np.float64)


def with_options(*options: dict[str, Any], gap: float = 0.0) -> Samples:
    """Samples of every shape without options, and of two shapes with each of `options`."""
    plain = unary(gap=gap)
    return several(plain, lambda generator: [(args, o) for o in options for args in plain(generator)[1:3]])


def _relu(x: Any) -> Any:
    x = floating(x)
    return kernels(x).relu(x) if type(x) is np.ndarray else np.maximum(x, 0)


def _relu_compose(x: Any) -> Any:
    x = floating(x)
    return np.where(x <= 0, 0.0, x)


def relu_rule(g: Any, out: Any) -> Any:
    """Return ``g * (out != 0)``: the gradient before relu, given the one after it and relu's result. NaN passes."""
    if type(g) is np.ndarray and g.dtype == out.dtype and g.flags.c_contiguous:
        return kernels(out).relu_gradient(g, out)
    return g * (out != 0)


relu = fused_op(
    _relu, name="relu", x=relu_rule, branch=lambda out: out > 0,
    compose=_relu_compose, samples=unary(gap=0.1),
)  # fmt: skip
relu.__doc__ = """Return ``max(x, 0)`` elementwise.

NaN stays NaN, with gradient 1. The gradient at 0 is 0 (`maximum`, in contrast, would share it), as in the
course CS231n and in PyTorch.

Parameters
----------
x : Tensor or array
    Integers become float64.

Returns
-------
Tensor
    Of the same shape and dtype.

Raises
------
TypeError
    If `x` holds no real numbers.
"""


def _step(out: Any, low: float, high: float) -> Any:
    """Return an array of `high` where out > 0 and `low` elsewhere, exactly; both are at least 0."""
    rises = out > 0
    d = (rises if high >= low else np.logical_not(rises)).astype(out.dtype)
    d *= max(low, high)
    return into(d, np.maximum, d, min(low, high))


# ---- leaky_relu


def _leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    slope = finite("leaky_relu: negative_slope", negative_slope)
    x = floating(x)
    if not slope:
        return np.maximum(x, 0.0)  # an infinite x times 0 would be NaN
    out = x * slope
    return into(out, np.maximum if slope <= 1.0 else np.minimum, x, out)


def _leaky_rule(g: Any, out: Any, negative_slope: float) -> Any:
    if type(g) is not np.ndarray:
        return np.where(out > 0, g, g * float(negative_slope))
    d = _step(out, float(negative_slope), 1.0)
    d *= g
    return d


def _leaky_compose(x: Any, negative_slope: float = 0.01) -> Any:
    x, slope = floating(x), float(negative_slope)
    low = x if slope else np.where(np.isinf(x), 0.0, x)  # infinity times 0 would be NaN
    return np.where(x > 0, x, low * slope)


leaky_relu = fused_op(
    _leaky_relu, name="leaky_relu", x=_leaky_rule,
    branch=lambda out, negative_slope: (out > 0) & (negative_slope != 1),
    compose=_leaky_compose,
    samples=with_options({"negative_slope": 0.3}, {"negative_slope": 0}, {"negative_slope": 1.5}, gap=0.1),
)  # fmt: skip
leaky_relu.__doc__ = """Return ``x`` where it is positive, and ``negative_slope * x`` elsewhere.

Maas, Hannun and Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models (2013), section 2. The gradient at
0 and at NaN is `negative_slope`, as in PyTorch. Where that is 0, the result at -inf is 0.

Parameters
----------
x : Tensor or array
    Integers become float64.
negative_slope : float
    Slope of the negative side, at least 0.

Returns
-------
Tensor
    Of the same shape and dtype.

Raises
------
TypeError, ValueError
    If `negative_slope` is no finite number of at least 0.
"""

# ---- elu and selu


def _exponential(x: Any, alpha: float, scale: float) -> Any:
    """Return ``scale * x`` where x is positive, and ``scale * alpha * (exp(x) - 1)`` elsewhere."""
    x = floating(x)
    out = np.minimum(x, 0.0)
    with np.errstate(under="ignore"):
        out = into(out, np.expm1, out)
    out *= alpha
    if alpha <= 1.0:  # then alpha * (exp(x) - 1) is at least x, and 0 where x is positive
        out = into(out, np.maximum, out, x)
    else:
        out += np.maximum(x, 0.0)
    if scale != 1.0:
        out *= scale
    return out


def _exponential_rule(g: Any, out: Any, alpha: float, scale: float) -> Any:
    low = scale * alpha  # the slope just below 0; further down it is out + low, in [0, low]
    if type(g) is not np.ndarray:
        return np.where(out > 0, g * scale, g * (out + low))
    d = np.minimum(out, 0.0)
    d += low
    if low > scale:
        d = into(d, np.minimum, d, _step(out, low, scale))
    elif low < scale:
        d = into(d, np.maximum, d, _step(out, 0.0, scale))
    d *= g
    return d


def _exponential_compose(x: Any, alpha: float, scale: float) -> Any:
    x = floating(x)
    below = np.expm1(np.where(x > 0, 0.0, x)) * alpha
    return np.where(x > 0, x, below) * scale


def _elu(x: Any, alpha: float = 1.0) -> Any:
    return _exponential(x, finite("elu: alpha", alpha), 1.0)


elu = fused_op(
    _elu, name="elu",
    x=lambda g, out, alpha: _exponential_rule(g, out, float(alpha), 1.0),
    branch=lambda out, alpha: (out > 0) & (alpha != 1),
    compose=lambda x, alpha=1.0: _exponential_compose(x, float(alpha), 1.0),
    samples=with_options({"alpha": 0.4}, {"alpha": 2}, {"alpha": 0.0}, gap=0.1),
)  # fmt: skip
elu.__doc__ = """Return ``x`` where it is positive, and ``alpha * (exp(x) - 1)`` elsewhere.

Clevert, Unterthiner and Hochreiter, Fast and Accurate Deep Network Learning by Exponential Linear Units (2015), section
3. The gradient at 0 is `alpha`, as in PyTorch. That of the negative side is made of the result, ``out + alpha``, so
that `x` need not be kept: its error is that of `alpha`, and it is 0 from about -17 in float32 and -37 in float64.

Parameters
----------
x : Tensor or array
    Integers become float64.
alpha : float
    What the negative side saturates at, with its sign turned; at least 0.

Returns
-------
Tensor
    Of the same shape and dtype.

Raises
------
TypeError, ValueError
    If `alpha` is no finite number of at least 0.
"""


def _selu(x: Any) -> Any:
    return _exponential(x, SELU_ALPHA, SELU_SCALE)


selu = fused_op(
    _selu, name="selu",
    x=lambda g, out: _exponential_rule(g, out, SELU_ALPHA, SELU_SCALE), branch=lambda out: out > 0,
    compose=lambda x: _exponential_compose(x, SELU_ALPHA, SELU_SCALE), samples=unary(gap=0.1),
)  # fmt: skip
selu.__doc__ = """Return ``1.0507 * elu(x, 1.6733)``, whose activations keep mean 0 and variance 1 from layer to layer.

Klambauer, Unterthiner, Mayr and Hochreiter, Self-Normalizing Neural Networks (2017), equation 2; here the two numbers
have all digits of float64. The gradient at 0 is that of the negative side, 1.7581, as in PyTorch; far below 0 it is as
`elu` has it.

Parameters
----------
x : Tensor or array
    Integers become float64.

Returns
-------
Tensor
    Of the same shape and dtype.
"""

# ---- hardtanh


def _bound(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"hardtanh: {name}: given {value!r}, expected a number.")
    return float(value)


def _hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    low, high = _bound("min_val", min_val), _bound("max_val", max_val)
    if not low < high:
        raise ValueError(f"hardtanh: given min_val={low} and max_val={high}, expected min_val < max_val.")
    out = np.maximum(floating(x), low)
    return into(out, np.minimum, out, high)


def _hardtanh_rule(g: Any, out: Any, min_val: float, max_val: float) -> Any:
    outside = (out <= float(min_val)) | (out >= float(max_val))
    if type(g) is not np.ndarray:
        return np.where(outside, 0.0, g)
    d = np.logical_not(outside).astype(g.dtype)
    d *= g
    return d


def _hardtanh_compose(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    x, low, high = floating(x), float(min_val), float(max_val)
    return np.where(x <= low, low, np.where(x >= high, high, x))


hardtanh = fused_op(
    _hardtanh, name="hardtanh", x=_hardtanh_rule, compose=_hardtanh_compose,
    branch=lambda x, min_val, max_val: side(x, float(min_val)) + 4 * side(x, float(max_val)),
    samples=several(
        lambda generator: [(args[0] * 0.9 / 2.0,) for args in unary()(generator)],  # inside the bounds
        lambda generator: [(args[0] + np.sign(args[0]),) for args in unary(gap=0.1)(generator)],  # outside
        lambda generator: [(np.array([-2.0, -0.3, 0.4, 2.3]), -0.5, 2), (np.array([[-1.0], [3.0]]), 0.0, math.inf)],
    ),
)  # fmt: skip
hardtanh.__doc__ = """Return `x` between two bounds, and the bound beyond them: ``min(max(x, min_val), max_val)``.

Collobert, Large Scale Machine Learning (2004). The gradient at the bounds is 0, as in PyTorch (`clip`, in
contrast, passes it), and at NaN 1.

Parameters
----------
x : Tensor or array
    Integers become float64.
min_val, max_val : float
    The bounds; they may be infinite.

Returns
-------
Tensor
    Of the same shape and dtype.

Raises
------
ValueError
    Unless min_val < max_val.
TypeError
    If a bound is no number.
"""

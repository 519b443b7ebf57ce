"""Smooth activations: gelu, silu, softplus, log_sigmoid; tanh and sigmoid stand in ops/elementwise.py.

softplus and log_sigmoid have rules that read the result alone. Those of gelu and silu read the share of x that passed,
which their kernels leave behind: to compute it again would cost as much as the whole way forward.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..ops.elementwise import sigmoid
from ..ops.samples import unary
from .activation import floating, into, with_options
from .arguments import positive

_logistic: Any = sigmoid.op.function


def _away(z: Any) -> Any:
    """Return minus the absolute value, with a derivative at 0: that of one side, which the rest of the formula fits."""
    return np.where(z >= 0, -z, z)


# ---- softplus and log_sigmoid


def _small_part(z: Any) -> Any:
    """Return ``log(1 + exp(-abs(z)))``, in an array of its own."""
    out = np.abs(z)
    out = into(out, np.negative, out)
    with np.errstate(under="ignore"):
        out = into(out, np.exp, out)
        return into(out, np.log1p, out)


def _times(x: Any, beta: float) -> Any:
    """Return ``beta * x`` for an exponential of minus its absolute value, which is 0 where the product is infinite."""
    with np.errstate(over="ignore"):
        return x * beta


def _softplus(x: Any, beta: float = 1.0) -> Any:
    beta = positive("softplus: beta", beta)
    x = floating(x)
    if beta == 1.0:
        out = _small_part(x)
    else:
        out = _small_part(_times(x, beta))
        out /= beta
    out += np.maximum(x, 0.0)
    return out


def _softplus_rule(g: Any, out: Any, beta: float) -> Any:
    # sigmoid(beta * x) = 1 - exp(-beta * out), and expm1 has all its digits where x is far below 0.
    d = out * -1.0 if beta == 1.0 else _times(out, -float(beta))
    d = into(d, np.expm1, d)
    d *= g
    return into(d, np.negative, d)


def _softplus_compose(x: Any, beta: float = 1.0) -> Any:
    x = floating(x)
    z = _times(x, float(beta))
    return np.log1p(np.exp(_away(z))) / float(beta) + np.where(z >= 0, x, 0.0)


softplus = fused_op(
    _softplus, name="softplus", x=_softplus_rule, compose=_softplus_compose,
    samples=with_options({"beta": 0.5}, {"beta": 3}),
)  # fmt: skip
softplus.__doc__ = """Return ``log(1 + exp(beta * x)) / beta``, a smooth `relu`, without overflow.

Dugas, Bengio, Belisle, Nadeau and Garcia, Incorporating Second-Order Functional Knowledge for Better Option Pricing
(2001). The derivative is ``sigmoid(beta * x)``.

Parameters
----------
x : Tensor or array
    Integers become float64.
beta : float
    Sharpness, above 0.

Returns
-------
Tensor
    Of the same shape and dtype.

Raises
------
TypeError, ValueError
    If `beta` is no finite number above 0.
"""


def _log_sigmoid(x: Any) -> Any:
    x = floating(x)
    out = _small_part(x)
    return into(out, np.subtract, np.minimum(x, 0.0), out)


def _log_sigmoid_rule(g: Any, out: Any) -> Any:
    d = np.expm1(out)  # minus sigmoid(-x)
    d *= g
    return into(d, np.negative, d)


log_sigmoid = fused_op(
    _log_sigmoid, name="log_sigmoid", x=_log_sigmoid_rule,
    compose=lambda x: -_softplus_compose(-floating(x)), samples=unary(-4.0, 4.0),
)  # fmt: skip
log_sigmoid.__doc__ = """Return the logarithm of `sigmoid`, ``-log(1 + exp(-x))``, without overflow.

It is minus the `softplus` of -x: Dugas et al. (2001). The derivative is ``sigmoid(-x)``.

Parameters
----------
x : Tensor or array
    Integers become float64.

Returns
-------
Tensor
    Of the same shape and dtype.
"""

# ---- silu


def _silu(x: Any) -> tuple[Any, Any]:
    """Return the result and the share of x that passes."""
    x = floating(x)
    share = _logistic(x)
    return x * share, share


def _silu_rule(g: Any, x: Any, share: Any) -> Any:
    d = 1.0 - share
    d *= x
    d += 1.0
    d *= share
    d *= g
    return d


silu = fused_op(
    _silu, name="silu", leaves=("share",), x=_silu_rule,
    compose=lambda x: x * sigmoid(x), samples=unary(-4.0, 4.0),
)  # fmt: skip
silu.__doc__ = """Return ``x * sigmoid(x)``, also known as swish.

Elfwing, Uchibe and Doya, Sigmoid-Weighted Linear Units (2017); Ramachandran, Zoph and Le, Searching for
Activation Functions (2017). Where x is -inf the result is NaN, as in PyTorch.

Parameters
----------
x : Tensor or array
    Integers become float64.

Returns
-------
Tensor
    Of the same shape and dtype.
"""

# ---- gelu

_CUBIC, _ROOT = 0.044715, math.sqrt(2.0 / math.pi)
# Beyond 10, tanh is 1 to the last digit; no cube of what lies within, and no square, can overflow in what follows.
_SATURATED = 10.0
_FAR = _SATURATED**2


def _normal_share(x: Any) -> Any:
    """Return the normal distribution function, of which SciPy has all digits in both tails."""
    try:
        from scipy.special import ndtr
    except ImportError as error:
        raise ModuleNotFoundError(
            "gelu: approximate='none' needs SciPy: pip install 'tinygrad_fc[scipy]'. gelu(x, approximate='tanh') does "
            "without.", name="scipy",
        ) from error  # fmt: skip
    with np.errstate(under="ignore"):
        return ndtr(x)


def _near_square(x: Any) -> Any:
    d = x * x
    return into(d, np.minimum, d, _FAR)


def _tanh_share(x: Any) -> Any:
    with np.errstate(over="ignore"):
        d = _near_square(x)
        d *= _CUBIC * _ROOT
        d += _ROOT
        d *= x
    d = into(d, np.tanh, d)
    d += 1.0
    d *= 0.5
    return d


def _check_approximate(approximate: Any) -> None:
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate: given {approximate!r}, expected 'none' or 'tanh'.")


def _gelu(x: Any, approximate: str = "none") -> tuple[Any, Any]:
    """Return the result and the share of x that passes."""
    _check_approximate(approximate)
    x = floating(x)
    wide = x.astype(np.float32) if x.dtype.char == "e" else x
    share = _normal_share(wide) if approximate == "none" else _tanh_share(wide)
    if share.dtype != x.dtype:
        with np.errstate(under="ignore"):
            share = share.astype(x.dtype)
    return x * share, share


def _gelu_rule(g: Any, x: Any, share: Any, approximate: str) -> Any:
    if approximate == "tanh":  # with share = (1 + tanh z) / 2, dshare/dx = 2 share (1 - share) dz/dx
        with np.errstate(over="ignore"):
            d = _near_square(x)
        d *= 6.0 * _CUBIC * _ROOT
        d += 2.0 * _ROOT
        d *= share
        d *= 1.0 - share
    else:
        with np.errstate(over="ignore", under="ignore"):
            d = x * x
            d *= -0.5
            d = into(d, np.exp, d)
        d *= 1.0 / math.sqrt(2.0 * math.pi)
    d *= x
    d += share
    d *= g
    return d


def _gelu_compose(x: Any, approximate: str = "none") -> Any:
    _check_approximate(approximate)
    x = floating(x)
    if approximate == "tanh":
        near = np.clip(x, -_SATURATED, _SATURATED)
        with np.errstate(over="ignore"):
            z = x * (near * near * (_CUBIC * _ROOT) + _ROOT)
        return x * 0.5 * (np.tanh(z) + 1.0)
    from ..ops.special import erfc  # it needs SciPy

    share = erfc(x * -math.sqrt(0.5))
    return x * 0.5 * (share if share.dtype == x.dtype else share.astype(x.dtype))  # half precision SciPy has not


gelu = fused_op(
    _gelu, name="gelu", leaves=("share",), x=_gelu_rule, compose=_gelu_compose,
    samples=with_options({"approximate": "tanh"}),
)  # fmt: skip
gelu.__doc__ = """Return x times the probability that a standard normal variable is below x.

Hendrycks and Gimpel, Gaussian Error Linear Units (2016), section 2, and its approximation there,
``0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``. Where x is -inf the result is NaN, as in PyTorch.

Parameters
----------
x : Tensor or array
    Integers become float64.
approximate : {"none", "tanh"}
    The exact function, which needs SciPy (the extra `scipy`), or the approximation, which is quicker.

Returns
-------
Tensor
    Of the same shape and dtype.

Raises
------
ValueError
    If `approximate` is none of the two.
ModuleNotFoundError
    If it is "none", and SciPy is not installed.
"""

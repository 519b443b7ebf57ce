"""The special functions of SciPy. Needs SciPy (the extra `scipy`); imported when used.

Derivatives are those of Abramowitz and Stegun, Handbook of Mathematical Functions (1964): 7.1.19 for the error
function, 6.3 and 6.4 for the polygamma functions, 6.2 for beta, 9.6.26 for the modified Bessel functions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.dispatch import UFUNCS, functions
from ..engine.op import op
from ..engine.tensor import Tensor
from .samples import binary, calls, several, unary

try:
    import scipy.special as _scipy
except ImportError as _error:
    raise ImportError("tg.special needs SciPy: pip install 'tinygrad_fc[scipy]'.", name="scipy") from _error

__all__ = [
    "beta", "betaln", "digamma", "entr", "erf", "erfc", "erfcinv", "erfinv", "exp10", "expit", "gamma", "gammaln", "i0",
    "i1", "iv", "kl_div", "log_expit", "log_ndtr", "loggamma", "logit", "ndtr", "polygamma", "rel_entr", "xlog1py",
    "xlogy",
]  # fmt: skip


def _polygamma(n: Any, x: Any) -> Any:
    out = _scipy.polygamma(n, x)
    return out.astype(x.dtype, copy=False) if x.dtype.kind == "f" else out


def _next(n: int, x: Any) -> Any:
    return polygamma(n, x) if isinstance(x, Tensor) else _polygamma(n, x)


def _slope(x: Any) -> Any:
    """Return the derivative of the error function."""
    return np.exp(-x * x) * (2.0 / math.sqrt(math.pi))


def _ratio(x: Any, y: Any) -> Any:
    """Return x / y, and 0 where x is 0, whatever y is: there ``x log y`` is 0 for every y."""
    none = np.equal(x, 0)
    return np.where(none, 0.0, x / np.where(none, 1.0, y))


def _log(y: Any) -> Any:
    return math.log(y) if isinstance(y, (bool, int, float)) else np.log(y)  # a NumPy scalar would widen float32


def _log1p(y: Any) -> Any:
    return math.log1p(y) if isinstance(y, (bool, int, float)) else np.log1p(y)


def _narrow(function: Any) -> Any:
    """Return SciPy's function of two arguments so that it does not widen float32 beside a Python number."""

    def kernel(x: Any, y: Any) -> Any:
        dtype = np.result_type(x, y)
        return function(np.asarray(x, dtype), np.asarray(y, dtype)).astype(dtype, copy=False)

    return kernel


def _beta_slope(g: Any, x: Any, y: Any) -> Any:
    d = _scipy.digamma(x) - _scipy.digamma(x + y)
    return g * (d if d.dtype == g.dtype else d.astype(g.dtype))


def _bell(x: Any) -> Any:
    """Return the density of the normal distribution."""
    return np.exp(x * x * -0.5) * (1.0 / math.sqrt(2.0 * math.pi))


def _hazard_of(x: Any) -> Any:
    """Return the density over the distribution function: by the scaled error function where both vanish."""
    low = np.asarray(x < 0)
    left = math.sqrt(2.0 / math.pi) / _scipy.erfcx(np.where(low, x * -math.sqrt(0.5), 0.0))
    right = np.where(low, 0.0, x)
    return np.where(low, left, _bell(right) / _scipy.ndtr(right)).astype(x.dtype, copy=False)


# Below this the fraction takes over from the error function, and with so many terms has all digits.
_FAR, _TERMS = -4.0, 30


def _near(order: int, x: Any) -> Any:
    """Return a derivative of h, the density over the distribution function: h' = -h (x + h), and that by Leibniz."""
    h = [_hazard_of(x)]
    x = np.where(h[0] == 0, 0.0, x)  # at infinity, and where h is too small for a number, it is 0 with all derivatives
    for k in range(order):
        sums = [math.comb(k, j) * h[j] * (h[k - j] + (x if j == k else float(k - j == 1))) for j in range(k + 1)]
        h.append(-sum(sums))
    return h[order]


def _far(order: int, x: Any) -> Any:
    """Return the same for x < -4, where x + h is near -1 / x and cancels, as all the derivatives do.

    h is z + 1 / (z + 2 / (z + 3 / ...)) with z = -x: Laplace's fraction, Abramowitz and Stegun 26.2.14, of positive
    terms. It is computed for the power series of z around each x, cut after the power `order`.
    """
    z = [-x, np.full_like(x, -1.0), *[np.zeros_like(x)] * order][: order + 1]
    below = z
    for k in range(_TERMS, 0, -1):
        inverse = [1.0 / below[0]]
        for m in range(1, order + 1):
            inverse.append(-inverse[0] * sum(below[j] * inverse[m - j] for j in range(1, m + 1)))
        below = [own + k * part for own, part in zip(z, inverse, strict=True)]
    return math.factorial(order) * below[order]


def _log_ndtr_slope(n: int, x: Any) -> Any:
    """Return the derivative of order n >= 1 of log_ndtr, those of order 2 and more computed in float64."""
    if n == 1:
        return _hazard_of(x)
    wide = np.asarray(x, np.float64)
    far = wide < _FAR
    with np.errstate(under="ignore"):
        out = np.where(far, _far(n - 1, np.where(far, wide, _FAR)), _near(n - 1, np.where(far, 0.0, wide)))
        return out.astype(x.dtype, copy=False)


def _hazard(n: int, x: Any) -> Any:
    return (_slope_op if isinstance(x, Tensor) else _log_ndtr_slope)(n, x)


def _iv(v: Any, z: Any) -> Any:
    out = _scipy.iv(v, z)
    return out.astype(z.dtype, copy=False) if z.dtype.kind == "f" else out


def _iv_slope(v: Any, z: Any) -> Any:
    function = iv if isinstance(z, Tensor) else _iv
    return (function(v - 1, z) + function(v + 1, z)) * 0.5


_POSITIVE = ((0.3, 2.0), (0.3, 2.0))

# fmt: off
expit     = op(_scipy.expit,     x=lambda g, out: g * out * (1.0 - out),               samples=unary(-4.0, 4.0))
log_expit = op(_scipy.log_expit, x=lambda g, x: g * _scipy.expit(-x),                  samples=unary(-4.0, 4.0))
logit     = op(_scipy.logit,     x=lambda g, x: g / (x * (1.0 - x)),                   samples=unary(0.2, 0.8))
erf       = op(_scipy.erf,       x=lambda g, x: g * _slope(x),                         samples=unary())
erfc      = op(_scipy.erfc,      x=lambda g, x: -g * _slope(x),                        samples=unary())
gammaln   = op(_scipy.gammaln,   x=lambda g, x: g * _scipy.digamma(x),                 samples=unary(0.6, 4.0))
digamma   = op(_scipy.digamma,   name="digamma", x=lambda g, x: g * _next(1, x),       samples=unary(0.6, 4.0))
polygamma = op(_polygamma,       x=lambda g, n, x: g * _next(n + 1, x),
               samples=several(calls(1, (3,), low=0.6, high=4.0), calls(2, (2, 2), low=0.6, high=4.0)))
gamma     = op(_scipy.gamma,     x=lambda g, x, out: g * (out * _scipy.digamma(x)),    samples=unary(0.6, 4.0))
loggamma  = op(_scipy.loggamma,  x=lambda g, x: g * _scipy.digamma(np.where(x < 0, math.nan, x)),
               samples=unary(0.6, 4.0))
beta      = op(_narrow(_scipy.beta), name="beta", numpy=_scipy.beta, broadcasts=True, samples=binary(*_POSITIVE),
               x=lambda g, x, y, out: _beta_slope(g * out, x, y),
               y=lambda g, x, y, out: _beta_slope(g * out, y, x))
betaln    = op(_narrow(_scipy.betaln), name="betaln", numpy=_scipy.betaln, broadcasts=True, samples=binary(*_POSITIVE),
               x=lambda g, x, y: _beta_slope(g, x, y),  y=lambda g, x, y: _beta_slope(g, y, x))
erfinv    = op(_scipy.erfinv,    x=lambda g, out: g / _slope(out),                     samples=unary(-0.9, 0.9))
erfcinv   = op(_scipy.erfcinv,   x=lambda g, out: -g / _slope(out),                    samples=unary(0.1, 1.9))
ndtr      = op(_scipy.ndtr,      x=lambda g, x: g * _bell(x),                          samples=unary())
log_ndtr  = op(_scipy.log_ndtr,  x=lambda g, x: g * _hazard(1, x),                     samples=unary())
_slope_op = op(_log_ndtr_slope,  x=lambda g, n, x: g * _hazard(n + 1, x),
               samples=several(calls(1, (3,)), calls(2, (2, 2), low=-9.0), calls(3, (3,), low=-6.0, high=3.0)))
iv        = op(_iv, numpy=_scipy.iv, z=lambda g, v, z: g * _iv_slope(v, z),
               samples=several(calls(2, (3,)), calls(0, (2, 2)), calls(1.5, (3,), low=0.5)))
i0        = op(_scipy.i0,        x=lambda g, x: g * _scipy.i1(x),                      samples=unary())
i1        = op(_scipy.i1,        x=lambda g, x: g * _iv_slope(1, x),                   samples=unary())
exp10     = op(_scipy.exp10,     x=lambda g, out: g * (out * math.log(10.0)),          samples=unary())
xlogy     = op(_narrow(_scipy.xlogy), name="xlogy", numpy=_scipy.xlogy, broadcasts=True, samples=binary(*_POSITIVE),
               x=lambda g, y: g * _log(y),  y=lambda g, x, y: g * _ratio(x, y))
xlog1py   = op(_narrow(_scipy.xlog1py), name="xlog1py", numpy=_scipy.xlog1py, broadcasts=True,
               x=lambda g, y: g * _log1p(y),  y=lambda g, x, y: g * _ratio(x, y + 1.0), samples=binary(*_POSITIVE))
kl_div    = op(_scipy.kl_div,    name="special_kl_div", samples=binary(*_POSITIVE),
               x=lambda g, x, y: g * np.log(x / y),  y=lambda g, x, y: g * (1.0 - x / y))
entr      = op(_scipy.entr,      x=lambda g, x: -g * (np.log(x) + 1.0),                samples=unary(0.3, 2.0))
rel_entr  = op(_scipy.rel_entr,  x=lambda g, x, y: g * (np.log(x / y) + 1.0), y=lambda g, x, y: -g * _ratio(x, y),
               samples=binary(*_POSITIVE))
# fmt: on

# SciPy has ufuncs of its own for these.
for _name in ("expm1", "log1p", "cbrt", "exp2"):
    UFUNCS[getattr(_scipy, _name)] = getattr(functions, _name)

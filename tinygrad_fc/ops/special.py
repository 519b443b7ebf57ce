"""``tg.special``: the special functions of SciPy on tensors. Needs SciPy (the extra `scipy`); imported when used.

SciPy's own ufuncs, ``scipy.special.erf(t)`` and so on, run the same operations when they meet a tensor. Derivatives are
those of Abramowitz and Stegun, Handbook of Mathematical Functions (1964): 7.1.19 for the error function, 6.3 and 6.4
for the polygamma functions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.dispatch import functions
from ..engine.op import op
from ..engine.tensor import Tensor
from .derived import derived
from .reduction import logsumexp
from .samples import binary, calls, several, unary

try:
    import scipy.special as _scipy
except ImportError as _error:
    raise ImportError("tg.special needs SciPy: pip install 'tinygrad_fc[scipy]'.", name="scipy") from _error

__all__ = [
    "digamma", "entr", "erf", "erfc", "expit", "gammaln", "log_expit", "log_softmax", "logit", "logsumexp", "polygamma",
    "rel_entr", "softmax", "xlogy",
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


def _xlogy(x: Any, y: Any) -> Any:
    dtype = np.result_type(x, y)  # beside a Python number, SciPy's own would widen float32
    return _scipy.xlogy(np.asarray(x, dtype), np.asarray(y, dtype)).astype(dtype, copy=False)


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
xlogy     = op(_xlogy,           x=lambda g, y: g * _log(y),  y=lambda g, x, y: g * _ratio(x, y),
               numpy=_scipy.xlogy, broadcasts=True, samples=binary(*_POSITIVE))
entr      = op(_scipy.entr,      x=lambda g, x: -g * (np.log(x) + 1.0),                samples=unary(0.3, 2.0))
rel_entr  = op(_scipy.rel_entr,  x=lambda g, x, y: g * (np.log(x / y) + 1.0), y=lambda g, x, y: -g * _ratio(x, y),
               samples=binary(*_POSITIVE))
# fmt: on


def _rows(generator: Any) -> list[Any]:
    x = generator.normal(size=(3, 4))
    return [(x, 1), (x,), ((x,), {"axis": (0, 1)}), (np.array([[30.0, 0.0, -30.0]]), -1)]


@derived(samples=_rows)
def softmax(x: Any, axis: Any = None) -> Any:
    """Return ``exp(x) / sum(exp(x))`` over `axis` (None: all axes), without overflow."""
    return np.exp(_shifted(x, axis))


@derived(samples=_rows)
def log_softmax(x: Any, axis: Any = None) -> Any:
    """Return the logarithm of `softmax`, without overflow."""
    return _shifted(x, axis)


def _shifted(x: Any, axis: Any) -> Any:
    x = x if isinstance(x, Tensor) else functions.copy(x)
    return x - logsumexp(x, axis=axis, keepdims=True)

"""softmax and log_softmax over any axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..engine.tensor import Tensor
from ..ops.samples import Samples
from .activation import floating, into

_add: Any = np.add.reduce  # Any: NumPy's stubs know `keepdims` as a literal only


def _shifted(x: Any, axis: Any) -> Any:
    """Return x less its largest over `axis`, in an array of its own: no exponential of it overflows."""
    x = floating(x)
    if x.dtype.char == "e":
        x = x.astype(np.float32)  # sums of half precision are off soon
    return np.subtract(x, np.maximum.reduce(x, axis=axis, keepdims=True, initial=-math.inf), out=np.empty_like(x))


def _softmax(x: Any, axis: Any = -1) -> Any:
    out = _shifted(x, axis)
    with np.errstate(under="ignore"):
        np.exp(out, out=out)
        out /= _add(out, axis=axis, keepdims=True)
        return out.astype(np.float16) if x.dtype.char == "e" else out


def _softmax_rule(g: Any, out: Any, axis: Any) -> Any:
    d = g - _add(g * out, axis=axis, keepdims=True)
    d *= out
    return d


def _log_softmax(x: Any, axis: Any = -1) -> Any:
    out = _shifted(x, axis)
    with np.errstate(under="ignore"):
        total = _add(np.exp(out), axis=axis, keepdims=True)
        if out.size:  # the logarithm of the empty sum is not asked for
            out -= np.log(total)
        return out.astype(np.float16) if x.dtype.char == "e" else out


def _log_softmax_rule(g: Any, out: Any, axis: Any) -> Any:
    d = np.exp(out)
    d *= _add(g, axis=axis, keepdims=True)
    return into(d, np.subtract, g, d)


def _composed_shift(x: Any, axis: Any) -> Any:
    x = floating(x)
    top: Any = np.maximum.reduce(x.data if isinstance(x, Tensor) else x, axis=axis, keepdims=True, initial=-math.inf)
    return x - top  # a constant: the result does not depend on the shift


def _softmax_compose(x: Any, axis: Any = -1) -> Any:
    e = np.exp(_composed_shift(x, axis))
    return e / np.sum(e, axis=axis, keepdims=True)


def _log_softmax_compose(x: Any, axis: Any = -1) -> Any:
    shifted = _composed_shift(x, axis)
    total = np.sum(np.exp(shifted), axis=axis, keepdims=True)
    return shifted - np.log(total) if shifted.size else shifted


def _calls(generator: np.random.Generator) -> list[Any]:
    draw = generator.normal
    return [
        (draw(size=(3, 4)),), (draw(size=(1, 5)),), (draw(size=3),), (draw(size=(0, 3)),), (draw(size=(3, 0)),),
        (draw(size=(2, 1)),), (draw(size=(3, 4)), 0), (draw(size=(2, 3, 2)), 1), (draw(size=(2, 3, 2)), (0, -1)),
        ((draw(size=(2, 3)),), {"axis": None}), ((draw(size=()),), {"axis": None}),
    ]  # fmt: skip


samples: Samples = _calls

softmax = fused_op(_softmax, name="softmax", x=_softmax_rule, compose=_softmax_compose, samples=samples)
softmax.__doc__ = """Return ``exp(x) / sum(exp(x))`` over `axis`, without overflow: positive numbers that sum to 1.

Bridle, Probabilistic Interpretation of Feedforward Classification Network Outputs (1990). The largest of `x` is
subtracted first. Where all of them are -inf the result is NaN, as in PyTorch.

Parameters
----------
x : Tensor or array
    Integers become float64.
axis : int, tuple of int, or None
    What is summed over; None: everything.

Returns
-------
Tensor
    Of the same shape and dtype.

Raises
------
numpy.exceptions.AxisError
    If x has no such axis.
"""

log_softmax = fused_op(
    _log_softmax, name="log_softmax", x=_log_softmax_rule, compose=_log_softmax_compose, samples=samples
)
log_softmax.__doc__ = """Return the logarithm of `softmax`, ``x - log(sum(exp(x)))`` over `axis`, without overflow.

Parameters
----------
x : Tensor or array
    Integers become float64.
axis : int, tuple of int, or None
    What is summed over; None: everything.

Returns
-------
Tensor
    Of the same shape and dtype.

Raises
------
numpy.exceptions.AxisError
    If x has no such axis.
"""

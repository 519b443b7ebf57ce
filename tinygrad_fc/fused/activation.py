"""relu: the rectifier, max(x, 0)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..kernels import kernels
from ..ops.samples import unary


def _relu(x: Any) -> Any:
    return np.maximum(x, 0)


def relu_rule(g: Any, out: Any) -> Any:
    """Return the gradient before relu, given the one after it and relu's result. NaN passes."""
    if type(g) is np.ndarray and g.ndim == 2 and g.dtype is out.dtype and g.flags.c_contiguous:
        return kernels(out).relu_gradient(g, out)
    return g * (out != 0)


relu = fused_op(
    _relu, name="relu", x=relu_rule,
    compose=lambda x: np.where(x <= 0, 0.0, x), samples=unary(gap=0.1),
)  # fmt: skip
relu.__doc__ = """Return ``max(x, 0)`` elementwise.

NaN stays NaN, with gradient 1. The gradient at 0 is 0 (`maximum`, in contrast, would share it), as in the
course CS231n and in PyTorch.

Parameters
----------
x : Tensor or array

Returns
-------
Tensor
    Of the same shape and dtype.
"""

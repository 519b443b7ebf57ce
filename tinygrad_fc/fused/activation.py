"""relu: the rectifier, max(x, 0)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..ops.samples import unary


def _relu(x: Any) -> Any:
    return np.maximum(x, 0)


relu = fused_op(
    _relu, name="relu", x=lambda g, out: g * (out != 0),
    compose=lambda x: np.where(x <= 0, 0.0, x), samples=unary(gap=0.1),
)  # fmt: skip
relu.__doc__ = """Return ``max(x, 0)`` elementwise.

NaN passes through, in both directions. The gradient at 0 is 0 (`maximum`, in contrast, would share it), as in the
course CS231n and in PyTorch.

Parameters
----------
x : Tensor or array

Returns
-------
Tensor
    Of the same shape and dtype.
"""

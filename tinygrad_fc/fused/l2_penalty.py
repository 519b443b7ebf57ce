"""l2_penalty: half the squared norm of a weight, scaled."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..kernels import kernels
from ..ops.samples import calls, several
from .arguments import finite, halved, widened


def _l2_penalty(w: Any, reg: float) -> Any:
    reg = finite("l2_penalty: reg", reg)
    if w.dtype.char == "e":
        return halved(_l2_penalty(widened(w), reg))
    return kernels(w).half_squares(w, reg)


def _compose(w: Any, reg: float) -> Any:
    if w.dtype.char == "e":
        return halved(_compose(widened(w), reg))
    return np.sum(w * w) * (0.5 * float(reg))


l2_penalty = fused_op(
    _l2_penalty, name="l2_penalty", w=lambda g, w, reg: g * (float(reg) * w),
    compose=_compose, samples=several(calls((3, 4), 0.7), calls((5,), 0.0)),
)  # fmt: skip
l2_penalty.__doc__ = """Return ``0.5 * reg * sum(w ** 2)``, the regularization term as the course CS231n counts it.

Parameters
----------
w : Tensor or array
    A weight of any shape.
reg : float
    Strength of the regularization.

Returns
-------
Tensor, shape ()
"""

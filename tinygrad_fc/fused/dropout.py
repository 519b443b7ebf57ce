"""dropout: what a mask drops is 0, and the rest is scaled up so that the mean stays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..kernels import kernels, numpy_


def check_keep_ratio(name: str, keep_ratio: Any) -> float:
    """Return `keep_ratio` as a float, or raise TypeError or ValueError unless it lies in (0, 1]."""
    if isinstance(keep_ratio, bool) or not isinstance(keep_ratio, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: given {keep_ratio!r}, expected a number in (0, 1].")
    if not 0.0 < keep_ratio <= 1.0:
        raise ValueError(f"{name}: given {keep_ratio}, expected a number in (0, 1], the share of units that stay.")
    return float(keep_ratio)


def _dropout(x: Any, mask: Any, keep_ratio: float = 1.0) -> Any:
    keep_ratio = check_keep_ratio("dropout: keep_ratio", keep_ratio)
    if np.asarray(mask).dtype != np.bool_:
        raise TypeError(f"dropout: mask has dtype {np.asarray(mask).dtype}, expected bool: True where a unit stays.")
    if np.shape(mask) != x.shape:
        raise ValueError("shapes do not fit")
    return _drop(x, mask, keep_ratio)


def _drop(x: Any, mask: Any, keep_ratio: float) -> Any:
    if type(x) is not np.ndarray or x.dtype.kind != "f":
        return x * mask * (1.0 / keep_ratio)
    loops = kernels(x) if type(mask) is np.ndarray and mask.flags.c_contiguous else numpy_
    return loops.drop(x, mask, 1.0 / keep_ratio)


dropout = fused_op(
    _dropout, name="dropout",
    x=_drop,
    compose=lambda x, mask, keep_ratio=1.0: x * mask * (1.0 / keep_ratio),
    samples=lambda generator: [
        (generator.normal(size=(4, 3)), generator.random((4, 3)) < 0.7, 0.7),
        (generator.normal(size=(2, 0)), generator.random((2, 0)) < 0.7, 0.7),
        (generator.normal(size=5), np.ones(5, bool)),
    ],
    cure="dropout takes a mask of x's shape.",
)  # fmt: skip
dropout.__doc__ = """Return ``x * mask / keep_ratio``: inverted dropout with a given mask.

Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, Dropout (2014), section 10, where the scaling is done in
training so that evaluation needs none. The layer that draws masks is `tinygrad_fc.nn.Dropout`.

Parameters
----------
x : Tensor or array
mask : array of bool, of x's shape
    True where a unit stays.
keep_ratio : float
    Probability with which the units were kept, in (0, 1].

Returns
-------
Tensor
    Of x's shape.

Raises
------
ValueError
    If the shapes differ or `keep_ratio` is out of range.
TypeError
    If the mask is not boolean.
"""

"""What sigmoid and tanh consist of: kernel, rules, and both written with exponentials. elementwise.py declares them."""

from __future__ import annotations

from typing import Any

import numpy as np


def logistic(x: Any) -> Any:
    """Return 1 / (1 + exp(-x)). Where the exponential is infinite, its inverse is 0, as it should be."""
    if x.dtype.kind in "biu":
        x = x.astype(np.float64)
    elif x.dtype.char == "e":  # the exponential would be infinite while the result is no 0 yet
        with np.errstate(under="ignore"):
            return logistic(x.astype(np.float32)).astype(x.dtype)
    out = np.negative(x, out=np.empty_like(x))
    with np.errstate(over="ignore", under="ignore"):
        np.exp(out, out=out)
    out += 1.0
    return np.reciprocal(out, out=out)


def sigmoid_rule(g: Any, out: Any) -> Any:
    """Return ``g * out * (1 - out)``."""
    d = 1.0 - out
    d *= out
    d *= g
    return d


def tanh_rule(g: Any, out: Any) -> Any:
    """Return ``g * (1 - out ** 2)``."""
    d = out * out
    d = np.subtract(1.0, d, out=d) if type(d) is np.ndarray else 1.0 - d
    d *= g
    return d


# Written with exponentials of what is never positive. At 0 both take the side of x >= 0, whose formula is smooth there;
# expm1 keeps the digits of small x.


def sigmoid_compose(x: Any) -> Any:
    """Return the sigmoid of tensors."""
    small = np.exp(np.where(x >= 0, x * -1.0, x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def tanh_compose(x: Any) -> Any:
    """Return the hyperbolic tangent of tensors."""
    small = np.expm1(np.where(x >= 0, x * -2.0, x * 2.0))
    return np.where(x >= 0, -small, small) / (small + 2.0)

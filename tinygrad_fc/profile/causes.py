"""Why a number is not finite, as far as that is sure: for the messages of `debug`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.tensor import Tensor


def cause(name: str, arrays: list[Any], out: np.ndarray, at: tuple[int, ...]) -> str:
    """Return why the element at an index is not finite, where that is sure."""
    values = [np.asarray(array.data if isinstance(array, Tensor) else array) for array in arrays]
    try:
        here = [np.broadcast_to(array, out.shape)[at] for array in values]
    except ValueError:
        here = []  # it is not elementwise
    if out.dtype.kind != "f" or any(value.dtype.kind not in "biuf" for value in values) or not values:
        return ""
    limit = np.finfo(out.dtype).max
    if here and name in ("log", "log2", "log10", "log1p") and here[0] <= (edge := -1 if name == "log1p" else 0):
        return f"The logarithm needs numbers above {edge}; the smallest is {values[0].min():.4g}. Add a small constant."
    if here and name == "sqrt" and here[0] < 0:
        return f"The square root of a negative number: the smallest is {values[0].min():.4g}."
    if here and name in ("divide", "remainder", "fmod", "floor_divide", "reciprocal") and here[-1] == 0:
        return f"A division by zero: {int((values[-1] == 0).sum())} of {values[-1].size} divisors are 0."
    if here and name in ("exp", "exp2", "expm1", "sinh", "cosh"):
        top = math.log2(float(limit)) if name == "exp2" else math.log(float(limit))
        return f"It overflows {out.dtype} from {top:.1f} on; the largest is {values[0].max():.4g}."
    if np.isinf(out[at]):
        return f"The numbers went beyond the largest {out.dtype}, {float(limit):.2g}."
    return ""


# Of what a rule reads, the argument at whose 0 the derivative is infinite (sqrt keeps its result, 0 there too).
_ZERO = {"sqrt": ("out", "result"), "log": ("x", "argument"), "power": ("x", "base"), "divide": ("y", "divisor")}


def slope(name: str, known: dict[str, Any], g: Any, shape: tuple[int, ...], at: tuple[int, ...]) -> str:
    """Return why a rule gave what is not finite at an index: only what is sure of it."""

    def there(value: Any) -> float | None:
        try:
            array = np.asarray(value.data if isinstance(value, Tensor) else value)
            return float(array[at]) if array.shape == shape else float(array) if not array.ndim else None
        except TypeError:
            return None

    key, what = _ZERO.get(name, ("", ""))
    value, arrived = there(known.get(key, ())), there(g)
    if value == 0.0:
        exponent = there(known.get("y", ()))
        if name == "power" and exponent is not None and exponent < 1.0:
            return "The derivative of a power below 1 is infinite at 0."
        if name == "sqrt":
            return "The derivative of sqrt is infinite at 0: add a small constant under the root."
        if name == "log":
            return "The derivative of log is infinite at 0: add a small constant."
    texts = [f"{arrived:.4g} arrived"] if arrived is not None else []
    texts += [f"the {what} is {value:.4g}"] if value is not None else []
    if not texts:
        return ""
    why = ", whose square stands below in the derivative" if name == "divide" and value is not None else ""
    if arrived is not None and value and math.isfinite(arrived):
        kind = np.asarray(g.data if isinstance(g, Tensor) else g).dtype
        why += f": the numbers went beyond the largest {kind}, {float(np.finfo(kind).max):.2g}"
    return f"There {' and '.join(texts)}{why}."

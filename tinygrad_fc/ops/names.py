"""Other names under which NumPy has operations, what it answers about shapes, and ``reduce`` of bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.dispatch import FUNCTIONS, REDUCTIONS, functions
from ..engine.tensor import Tensor, constant

_OTHERS = {
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan", "atan2": "arctan2",
    "atanh": "arctanh", "pow": "power", "around": "round", "bitwise_not": "invert", "bitwise_invert": "invert",
    "bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift", "row_stack": "vstack",
}  # fmt: skip
for _other, _name in _OTHERS.items():
    setattr(functions, _other, getattr(functions, _name))


def _array(a: Any) -> Any:
    return a.data if isinstance(a, Tensor) else a


# ---- facts, and no operations: what NumPy answers for the array


def shape(a: Any) -> tuple[int, ...]:
    """Return the lengths of the axes, as ``np.shape``."""
    return np.shape(_array(a))


def ndim(a: Any) -> int:
    """Return how many axes there are, as ``np.ndim``."""
    return np.ndim(_array(a))


def size(a: Any, axis: Any = None) -> int:
    """Return how many elements there are, of all or along `axis`, as ``np.size``."""
    return np.size(_array(a), axis)


functions.shape = FUNCTIONS[np.shape] = shape
functions.ndim = FUNCTIONS[np.ndim] = ndim
functions.size = FUNCTIONS[np.size] = size

# ---- bits: whole numbers and booleans, which have no gradient


def _bits(ufunc: np.ufunc) -> Any:
    """Return what ``ufunc.reduce`` does on tensors: constants."""

    def reduce(a: Any, axis: Any = 0, dtype: Any = None, keepdims: bool = False, **options: Any) -> Tensor:
        if isinstance(a, Tensor) and a.requires_grad:
            raise TypeError(f"{ufunc.__name__}.reduce: a has dtype {a.dtype}, expected whole numbers or booleans.")
        return constant(np.asarray(ufunc.reduce(_array(a), axis, dtype, keepdims=keepdims, **options)))

    reduce.__name__ = reduce.__qualname__ = f"{ufunc.__name__}.reduce"
    return reduce


for _ufunc in (np.bitwise_and, np.bitwise_or, np.bitwise_xor):
    REDUCTIONS[_ufunc] = _bits(_ufunc)

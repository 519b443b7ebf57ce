"""What layers are given: arrays of real numbers, and arguments that are True or False."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.dispatch import refuse_foreign
from ..engine.node import observer
from ..engine.tensor import Tensor, constant


def real_array(name: str, value: Any, dtype: np.dtype[Any] | None = None) -> np.ndarray:
    """Return what is no tensor as an array of real numbers, of `dtype` where it is given.

    Raises
    ------
    TypeError
        Naming the argument, if it holds anything but real numbers, or is a masked array.
    ValueError
        If its rows are of several lengths.
    """
    refuse_foreign(value, "MaskedArray")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: no rectangular array of numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        refuse_dtype(name, array.dtype, value)
    dtype = array.dtype.newbyteorder("=") if dtype is None else dtype  # that of this machine, as all tensors have it
    if array.dtype == dtype:
        return array
    made = array.astype(dtype)
    if (note := getattr(observer(), "cast", None)) is not None:
        note(array, made)
    return made


def real_tensor(name: str, value: Any, dtype: np.dtype[Any] | None = None) -> Tensor:
    """Return a tensor as it is, and everything else as a constant; raise unless it holds real numbers."""
    if not isinstance(value, Tensor):
        return constant(real_array(name, value, dtype))
    if value.dtype.kind not in "biuf":
        refuse_dtype(name, value.dtype, value)
    return value


def refuse_dtype(name: str, dtype: np.dtype[Any], value: Any) -> None:
    """Raise TypeError, with the cure for what was given."""
    kind, given = dtype.kind, f"dtype {dtype}"
    cure = " Their parts are features of their own: np.concatenate([x.real, x.imag], axis=1)." if kind == "c" else ""
    if kind == "O" and not isinstance(value, np.ndarray):
        given = type(value).__name__ if not isinstance(value, (list, tuple)) else f"a {type(value).__name__} of objects"
    raise TypeError(f"{name}: given {given}, expected real numbers.{cure}")


def flag(name: str, value: Any) -> bool:
    """Return `value` as a bool; raise TypeError unless it is True or False."""
    if value is True or value is False:
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    raise TypeError(f"{name}: given {value!r}, expected True or False.")

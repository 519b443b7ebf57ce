"""derived(): functions written with operations, declared so that NumPy's dispatch and the tests find them."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.dispatch import FUNCTIONS, UFUNCS, Record, functions
from ..engine.op import REGISTRY
from ..engine.operation import nearest


class Derived:
    """A function written with operations, as `derived` declares it.

    Attributes
    ----------
    name : str
        Name in the public namespace.
    function : callable
        Tensors and arrays in, tensors out.
    numpy : tuple of callable
        The NumPy functions that it answers for; the first is what the tests compare it with.
    samples : callable
        ``samples(generator)`` returns argument tuples, or ``(args, kwargs)`` pairs; arrays may stand in lists.
    differentiable : bool
        Whether gradients flow through it; the tests then check them, and those of second order.
    """

    __slots__ = ("name", "function", "numpy", "samples", "differentiable")

    def __init__(self, name: str, function: Record, numpy: tuple[Record, ...], samples: Any, differentiable: bool):
        self.name, self.function, self.numpy = name, function, numpy
        self.samples, self.differentiable = samples, differentiable


DERIVED: dict[str, Derived] = {}


def native(array: np.ndarray) -> np.ndarray:
    """Return an array in this machine's byte order, which is that of all tensors: compiled kernels know no other."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def numeric(value: Any) -> np.ndarray:
    """Return an array of numbers or booleans, copied only from another byte order; raise TypeError for what is none."""
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"given {value!r:.40} of dtype {array.dtype}, expected numbers or booleans.")
    return native(array)


def here(name: str, device: Any) -> None:
    """Refuse any device but the one that there is."""
    if device not in (None, "cpu"):
        raise ValueError(f"{name}: device is {device!r}, expected 'cpu' or None: there is no other.")


def no_out(name: str, out: Any) -> None:
    """Refuse an array to write into; None, NumPy's default, is none."""
    if out is not None:
        raise TypeError(f"{name}: out= is not supported on tensors: the result is a new tensor.")


def _named(error: Exception, name: str, function: Record) -> Exception:
    """Return `error` with the name of the function that was called first in its message, and of no other."""
    text, shown = str(error), name.replace("linalg_", "linalg.")
    if text.startswith((f"{name}:", f"{shown}:", f"op {name}:")):
        return error
    if text.startswith(f"{name}() "):  # Python's word on a call that does not fit
        parameters = inspect.signature(function).parameters
        wrong = re.search(r"unexpected keyword argument '(\w+)'", text)
        expected = ", ".join([f"*{key}" if p.kind is p.VAR_POSITIONAL else key for key, p in parameters.items()])
        hint = nearest(wrong[1], parameters) if wrong else ""
        said = f"keyword {wrong[1]!r} is not supported on tensors" if wrong else text.removeprefix(f"{name}() ")
        return type(error)(f"{shown}: {said}; expected {expected}.{hint}")
    first, colon, rest = text.partition(": ")  # what it is written with, whose names mean nothing to the caller
    known = colon and (first in REGISTRY or first in DERIVED or first in ("axis"))
    message = f"{shown}: {rest if known else text}"
    try:
        return type(error)(message)
    except Exception:  # an exception whose constructor wants more than a message
        kinds = (TypeError, IndexError, ValueError)
        return next(kind for kind in kinds if isinstance(error, kind))(message)


def derived(
    *numpy: Callable[..., Any], samples: Any, name: str | None = None, differentiable: bool = True
) -> Callable[[Record], Record]:
    """Declare the decorated function, written with operations, as what `numpy` functions do on tensors.

    It needs no rules: what it calls has them. The suite collects it as it does operations: its values are compared with
    the first NumPy function's at the samples, and its gradients of first and second order with numbers. What it raises
    begins with its name, whichever operation within found the fault.

    Parameters
    ----------
    *numpy : callable
        NumPy functions (ufuncs, too) that shall run it when they meet a tensor.
    samples : callable
        As `Derived` says.
    name : str, optional
        Its name; the function's own by default.
    differentiable : bool
        False for functions whose results take no gradient, such as orders and counts.
    """

    def declare(function: Record) -> Record:
        key = name or function.__name__.strip("_")
        function.__name__ = function.__qualname__ = key

        @functools.wraps(function)
        def record(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except (TypeError, ValueError, IndexError) as error:
                named = _named(error, key, function)
                if named is error:
                    raise
                raise named from error

        DERIVED[key] = Derived(key, record, numpy, samples, differentiable)
        setattr(functions, key, record)
        for target in numpy:
            table: dict[Any, Record] = UFUNCS if isinstance(target, np.ufunc) else FUNCTIONS
            table[target] = record
        return record

    return declare

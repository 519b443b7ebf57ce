"""derived(): functions written with operations, declared so that NumPy's dispatch and the tests find them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.dispatch import FUNCTIONS, UFUNCS, Record, functions


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


def derived(
    *numpy: Callable[..., Any], samples: Any, name: str | None = None, differentiable: bool = True
) -> Callable[[Record], Record]:
    """Declare the decorated function, written with operations, as what `numpy` functions do on tensors.

    It needs no rules: what it calls has them. The suite collects it as it does operations: its values are compared with
    the first NumPy function's at the samples, and its gradients of first and second order with numbers.

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
        DERIVED[key] = Derived(key, function, numpy, samples, differentiable)
        setattr(functions, key, function)
        for target in numpy:
            table: dict[Any, Record] = UFUNCS if isinstance(target, np.ufunc) else FUNCTIONS
            table[target] = function
        return function

    return declare

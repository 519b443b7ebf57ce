"""Guard: the arrays that a step is given, as arrays that notice who looks at their values while the step is recorded.

Their numbers will be others at the next call, so what Python makes of them (``if X.max() > 1``) would be left undone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.node import observer
from ..engine.tensor import Tensor
from .trace import Trace

_HOUSE = __name__.split(".")[0]
# What says nothing of the values, or gives an array that is guarded too.
_BLIND = frozenset(("shape", "dtype", "ndim", "size", "nbytes", "itemsize", "strides", "T", "__class__",
                    "reshape", "ravel", "squeeze", "transpose", "__dict__", "__array_finalize__"))  # fmt: skip
_SHAPES = (np.shape, np.ndim, np.size)
_LOOKS = (
    "__getitem__", "__setitem__", "__iter__", "__contains__", "__bool__", "__float__", "__int__", "__index__",
    "__complex__", "__repr__", "__str__", "__format__", "__copy__", "__deepcopy__", "__reduce__", "__reduce_ex__",
)  # fmt: skip


class Guarded(np.ndarray):
    """An argument: its memory is the caller's, and a look at its values makes the running `Trace` unfit.

    The package itself may look (it checks labels, and casts): what it computes is seen by the trace. But operations may
    not, which get plain arrays: what they look at is a shape, an axis or the like. NumPy's functions get plain arrays,
    and return plain ones.
    """

    def __getattribute__(self, name: str) -> Any:
        if name in _BLIND:
            return super().__getattribute__(name)
        note(name)
        return getattr(plain(self), name)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if "out" in kwargs and isinstance(trace := observer(), Trace):
            trace.refuse(f"it writes into an argument ({ufunc.__name__}), or into an array with one")
        elif not any(isinstance(value, Tensor) for value in inputs):
            note(ufunc.__name__)
        return getattr(ufunc, method)(*plain(inputs), **plain(kwargs))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func not in _SHAPES and not any(issubclass(kind, Tensor) for kind in types):
            note(func.__name__)
        return func(*plain(args), **plain(kwargs))


def _looking(name: str) -> Callable[..., Any]:
    def look(self: Any, *args: Any) -> Any:
        note(name)
        return getattr(plain(self), name)(*plain(args))

    return look


for _name in _LOOKS:
    setattr(Guarded, _name, _looking(_name))


def note(what: str) -> None:
    """Say that values of an argument are looked at, unless it is this package that does it."""
    trace = observer()
    if not isinstance(trace, Trace):
        return
    frame: Any = sys._getframe(1)
    while frame is not None:
        home = frame.f_globals.get("__name__", "")
        if home != __name__ and home.split(".")[0] != "numpy":
            break
        frame = frame.f_back
    if frame is not None and home.split(".")[0] == _HOUSE and home.split(".")[1:2] != ["ops"]:
        return
    by = "" if what.startswith("__array") else f" ({what})"  # NumPy's own word for arithmetic says nothing
    trace.refuse(f"the values of an argument are looked at in the step{by}: do it outside, or on a tensor of it")


def guarded(value: Any) -> Any:
    """Return an array as one that is guarded; a tensor notices by itself."""
    if isinstance(value, Tensor):
        return value
    found = value.view(Guarded)
    vars(found)["given"] = value
    return found


def plain(value: Any) -> Any:
    """Return a value with the guarded arrays in it as plain ones."""
    if type(value) is Guarded:
        given = np.ndarray.__getattribute__(value, "__dict__").get("given")
        return np.ndarray.view(value, np.ndarray) if given is None else given
    if type(value) in (tuple, list):
        return type(value)([plain(item) for item in value])
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    return value

"""Facts: what an object is, in a form that can be compared later: numbers by value, what holds others by its items."""

from __future__ import annotations

import types
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..nn import generators
from ..nn.parameter import Parameter

# Exactly these: an object of a class of the user's that derives from one may have attributes.
PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None), types.EllipsisType, slice, range))
DICTS = frozenset((dict, OrderedDict))  # as above: a `defaultdict` is written when it is read
_ARRAYS = (np.ndarray, *generators.KINDS)


def is_plain(value: Any) -> bool:
    """Whether a value is a number, a text or the like, which nobody can change."""
    return type(value) in PLAIN or isinstance(value, (np.generic, np.dtype)) and not isinstance(value, np.void)


def is_record(value: Any) -> bool:
    """Whether a value is frozen with its items: a tuple, also one that names them and has nothing else of its own."""
    kind = type(value)
    if kind is tuple or kind is frozenset:
        return True
    fields = getattr(kind, "_fields", None)
    if not isinstance(value, tuple) or type(fields) is not tuple or hasattr(value, "__dict__"):
        return False
    own = {name for base in kind.__mro__ if base not in (tuple, object) for name in vars(base)}
    return all(name in fields or name.startswith("_") for name in own)


class Same:
    """An object as the fact that it is this one. It is kept, so that no other can have its address."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return type(other) is Same and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def fact(value: Any, seen: dict[int, int]) -> Any:
    """Return what a value is; `seen` numbers lists and dicts, since whether two are one can be asked, too."""
    kind = type(value)
    if kind in PLAIN:  # NaN is as it was, -0.0 is not 0.0, and slices have no hash in older Pythons
        return kind, repr(value) if kind in (float, complex, slice) else value
    if is_plain(value):
        return kind, value.tobytes() if isinstance(value, np.generic) else value
    if isinstance(value, Parameter):
        return Same(value), value.requires_grad
    if kind is tuple or is_record(value):
        return kind, tuple([fact(item, seen) for item in value])
    if kind is list or kind in DICTS:
        if id(value) in seen:
            return seen[id(value)]
        seen[id(value)] = len(seen)
        if kind is list:
            return kind, tuple([fact(item, seen) for item in value])
        return kind, tuple([(fact(key, seen), fact(item, seen)) for key, item in value.items()])
    return Same(value)


def facts_of(module: Any, seen: dict[int, int]) -> tuple[Any, ...]:
    """Return what a module is: itself, its class, and its attributes."""
    return Same(module), type(module), *[(key, fact(item, seen)) for key, item in vars(module).items()]


def arrays_in(value: Any) -> bool:
    """Whether a value is, or holds, an array or a generator, which are written in place."""
    if isinstance(value, (list, tuple)):
        return any(map(arrays_in, value))
    if type(value) in DICTS:
        return any(map(arrays_in, value.values()))
    return isinstance(value, _ARRAYS)


def varying(module: Any) -> Iterator[str]:
    """Yield the attributes of a module that hold arrays or generators."""
    return (key for key, value in vars(module).items() if arrays_in(value))


def own_arrays(module: Any) -> Iterator[np.ndarray]:
    """Yield the arrays that are attributes of a module: they are read where they are, and watched as its options."""
    return (value for value in vars(module).values() if type(value) is np.ndarray)

"""Size: of the network that a step trains, where its code is not fit to be looked at more closely."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..nn.module import Module
from ..optim import Optimizer
from .trace import Unfit
from .watch import content

if TYPE_CHECKING:
    from .safety import Reads


def elements(reads: Reads) -> int:
    """Return how many elements the parameters have that a step reaches."""
    return sum(leaf.size for leaf in reads.leaves())


def size_of(step: Any, read: Callable[[], Reads]) -> int:
    """Return how many elements the parameters have that a step reaches, whatever its code is.

    Where `read` refuses it, that is what its names lead to, and attributes of objects among them.
    """
    try:
        return elements(read())
    except Unfit:
        return _reached(step)


def _reached(step: Any) -> int:
    waiting: list[Any] = [step]
    seen: list[Any] = []
    leaves: set[Any] = set()
    while waiting:
        value = waiting.pop()
        if any(value is known for known in seen):
            continue
        seen.append(value)
        if isinstance(value, Module):
            leaves.update(value.parameters())
        elif isinstance(value, Optimizer):
            leaves.update(value._tensors)
        elif isinstance(value, types.MethodType):
            waiting += [value.__func__, value.__self__]
        elif isinstance(value, types.FunctionType):
            waiting += filter(_worth, _around(value))
        elif isinstance(value, (list, tuple, dict)):
            waiting += filter(_worth, value.values() if isinstance(value, dict) else value)
        elif hasattr(value, "__dict__"):
            held = [*vars(value).values(), getattr(value, "__wrapped__", None)]
            waiting += [item for item in held if isinstance(item, (Module, Optimizer, types.FunctionType))]
    return sum(leaf.size for leaf in leaves)


def _around(function: types.FunctionType) -> Iterable[Any]:
    yield from map(content, function.__closure__ or ())
    codes = [function.__code__]
    for code in codes:  # which grows
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
        yield from (function.__globals__.get(name) for name in code.co_names)


def _worth(value: Any) -> bool:
    """Whether a model may be found from here: not from this package's functions, nor from classes and libraries."""
    home = getattr(value, "__module__", None) or type(value).__module__
    known = isinstance(value, (Module, Optimizer))
    return known or not isinstance(value, (type, types.ModuleType)) and home.split(".")[0] != __name__.split(".")[0]

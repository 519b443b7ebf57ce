"""Objects: those of ordinary classes of a user's, whose attributes are what stands in them and in their class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class _Plain:
    """As small as an object of a class can be that C has no part in."""


# With these an attribute may be something else at each look.
_STRANGE = frozenset(("__getattr__", "__getattribute__", "__slots__", "__class__"))


def is_ordinary(value: Any) -> bool:
    """Whether an object keeps its attributes in a dict and nothing beside it, and finds them there as usual."""
    kind: Any = type(value)
    if type(kind) is not type or kind.__basicsize__ != _Plain.__basicsize__ or kind.__itemsize__:
        return False
    has = type(getattr(value, "__dict__", None)) is dict
    return has and all(_STRANGE.isdisjoint(vars(base)) for base in kind.__mro__[:-1])


def own(value: Any, names: set[str]) -> dict[str, Any]:
    """Return those attributes of an object of these names that stand in itself, and not in its class."""
    held, kind = vars(value), type(value)
    return {name: held[name] for name in names & held.keys() if not hasattr(getattr(kind, name, None), "__set__")}


def called(kind: type, names: set[str]) -> Iterator[str]:
    """Yield what of a class may run or be read: what the code names, and what Python calls without a name."""
    for base in kind.__mro__[:-1]:
        for name, value in vars(base).items():
            special = name.startswith("__") and name.endswith("__") and callable(value)
            made = getattr(getattr(value, "__code__", None), "co_filename", "") == "<string>"  # by `dataclass`
            if name in names or special and not made:
                yield name

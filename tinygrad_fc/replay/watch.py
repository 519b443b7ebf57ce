"""Watch: what was found around a step when its code was read, compared with what is there, before every replay."""

from __future__ import annotations

import types
from collections.abc import Collection, Mapping
from itertools import repeat
from operator import attrgetter, is_
from typing import Any

from .facts import fact

MISSING: Any = object()
_missing = repeat(MISSING)
_content: Any = attrgetter("cell_contents")
_of_dict: Any = dict.get
_of_class: Any = types.MappingProxyType.get
_CHANGEABLE = ("__code__", "__defaults__", "__kwdefaults__")  # of a function


def content(cell: Any) -> Any:
    """Return what a variable of a function around holds."""
    try:
        return cell.cell_contents
    except ValueError:  # it is not assigned
        return MISSING


class Watch:
    """Names, attributes and containers with what is expected there: the comparison is one of identities.

    It is asked at each call of a step, so it loops in C.
    """

    def __init__(self) -> None:
        self._known: set[tuple[int, str]] = set()
        self._spaces: list[dict[str, Any]] = []
        self._names: list[str] = []
        self._values: list[Any] = []
        self._classes: list[Mapping[str, Any]] = []
        self._members: list[str] = []
        self._found: list[Any] = []
        self._cells: list[Any] = []
        self._contents: list[Any] = []
        self._empty: list[Any] = []  # cells
        self._owners: list[Any] = []
        self._attributes: list[str] = []
        self._states: list[Any] = []
        self._bare: list[tuple[Any, Collection[str]]] = []
        self._containers: list[Any] = []
        self._items: list[tuple[Any, Collection[Any], Collection[Any]]] = []
        self._facts: Any = None

    def name(self, space: dict[str, Any], name: str, value: Any) -> None:
        """Expect a value (or `MISSING`) under a name."""
        if (id(space), name) not in self._known:
            self._known.add((id(space), name))
            self._spaces.append(space)
            self._names.append(name)
            self._values.append(value)

    def member(self, kind: type, name: str) -> Any:
        """Expect that a class has or inherits what it does now, and return that as it is written, or `MISSING`."""
        for base in kind.__mro__:
            value = vars(base).get(name, MISSING)
            if (id(base), name) not in self._known:
                self._known.add((id(base), name))
                self._classes.append(vars(base))
                self._members.append(name)
                self._found.append(value)
            if value is not MISSING:
                return value
        return MISSING

    def cell(self, cell: Any) -> None:
        """Expect that a variable of a function around keeps its value."""
        if content(cell) is MISSING:
            self._empty.append(cell)
        else:
            self._cells.append(cell)
            self._contents.append(content(cell))

    def function(self, function: Any) -> None:
        """Expect that a function keeps its code and its defaults."""
        for name in _CHANGEABLE:
            self._attribute(function, name)
        for name, value in (function.__kwdefaults__ or {}).items():
            self.name(function.__kwdefaults__, name, value)

    def class_of(self, value: Any) -> None:
        """Expect that an object stays of its class."""
        self._attribute(value, "__class__")

    def _attribute(self, owner: Any, name: str) -> None:
        self._owners.append(owner)
        self._attributes.append(name)
        self._states.append(getattr(owner, name))

    def without(self, value: Any, names: Collection[str]) -> None:
        """Expect that an object gets no attributes of these names."""
        self._bare.append((vars(value).keys(), names))

    def container(self, value: list[Any] | dict[Any, Any]) -> None:
        """Expect that a list or dict keeps its items, as `fact` tells them."""
        if not any(value is known for known in self._containers):
            self._containers.append(value)

    def seal(self) -> None:
        """Note what is in the containers now."""
        self._facts = self._told()
        self._hold()

    def _told(self) -> list[Any]:
        seen: dict[int, int] = {}
        return [fact(value, seen) for value in self._containers]

    def _hold(self) -> None:
        self._items = [
            (value, tuple(value), tuple(value.values()) if isinstance(value, dict) else ())
            for value in self._containers
        ]

    def unchanged(self) -> bool:
        """Whether everything is as expected."""
        try:
            same = (
                all(map(is_, map(_of_dict, self._spaces, self._names, _missing), self._values))
                and all(map(is_, map(_of_class, self._classes, self._members, _missing), self._found))
                and all(map(is_, map(_content, self._cells), self._contents))
                and all(map(is_, map(getattr, self._owners, self._attributes), self._states))
            )
        except ValueError:  # a variable is not assigned any more
            return False
        if not same or self._empty and any(content(cell) is not MISSING for cell in self._empty):
            return False
        for keys, names in self._bare:
            if not keys.isdisjoint(names):
                return False
        if self._items and not all(map(_holds, self._items)):
            if self._told() != self._facts:
                return False
            self._hold()  # other objects of the same value
        return True


def _holds(entry: tuple[Any, Collection[Any], Collection[Any]]) -> bool:
    value, items, values = entry
    return (
        len(value) == len(items)
        and all(map(is_, value, items))
        and (not values or all(map(is_, value.values(), values)))
    )

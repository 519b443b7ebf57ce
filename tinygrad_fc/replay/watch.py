"""Watch: what was found around a step when its code was read, compared with what is there, before every replay."""

from __future__ import annotations

from collections.abc import Callable, Collection
from operator import is_
from typing import Any

from .facts import fact

MISSING: Any = object()
_CHANGEABLE = ("__code__", "__defaults__", "__kwdefaults__")  # of a function


def content(cell: Any) -> Any:
    """Return what a variable of a function around holds."""
    try:
        return cell.cell_contents
    except ValueError:  # it is not assigned
        return MISSING


class Watch:
    """Names, attributes and containers with what is expected there: the comparison is one of identities.

    It is asked at each call of a step. So it is written out as one expression, whose terms take 20 ns each.
    """

    def __init__(self) -> None:
        self._known: set[tuple[int, str]] = set()
        self._terms: list[str] = []
        self._space: dict[str, Any] = {"MISSING": MISSING, "content": content, "kept": self._kept}
        self._containers: list[Any] = []
        self._items: list[tuple[Any, Collection[Any], Collection[Any]]] = []
        self._facts: Any = None
        self._same: Callable[[], bool] | None = None

    def _expect(self, term: str, owner: Any, value: Any, name: str = "") -> None:
        number = len(self._terms)
        self._terms.append(term.format(owner=f"owner{number}", value=f"value{number}", name=repr(name)))
        self._space[f"owner{number}"], self._space[f"value{number}"] = owner, value

    def _item(self, holder: Any, space: Any, name: str, value: Any) -> None:
        if (id(holder), name) not in self._known:  # what holds it is kept, and so its address
            self._known.add((id(holder), name))
            term = "{name} not in {owner}" if value is MISSING else "{owner}[{name}] is {value}"
            self._expect(term, space, value, name)

    def name(self, space: dict[str, Any], name: str, value: Any) -> None:
        """Expect a value (or `MISSING`) under a name."""
        self._item(space, space, name, value)

    def member(self, kind: type, name: str) -> Any:
        """Expect that a class has or inherits what it does now, and return that as it is written, or `MISSING`."""
        for base in kind.__mro__:
            value = vars(base).get(name, MISSING)
            self._item(base, vars(base), name, value)
            if value is not MISSING:
                return value
        return MISSING

    def cell(self, cell: Any) -> None:
        """Expect that a variable of a function around keeps its value."""
        value = content(cell)
        term = "content({owner}) is {value}" if value is MISSING else "{owner}.cell_contents is {value}"
        self._expect(term, cell, value)

    def function(self, function: Any) -> None:
        """Expect that a function keeps its code and its defaults."""
        for name in _CHANGEABLE:
            self._expect(f"{{owner}}.{name} is {{value}}", function, getattr(function, name))
        for name, value in (function.__kwdefaults__ or {}).items():
            self.name(function.__kwdefaults__, name, value)

    def attribute(self, value: Any, name: str) -> None:
        """Expect that an object has the same under the name of an attribute."""
        self._expect(f"{{owner}}.{name} is {{value}}", value, getattr(value, name))

    def class_of(self, value: Any) -> None:
        """Expect that an object stays of its class."""
        self._expect("{owner}.__class__ is {value}", value, value.__class__)

    def without(self, value: Any, names: Collection[str]) -> None:
        """Expect that an object gets no attributes of these names."""
        self._expect("{value}.isdisjoint({owner})", vars(value), frozenset(names))

    def container(self, value: list[Any] | dict[Any, Any]) -> None:
        """Expect that a list or dict keeps its items, as `fact` tells them."""
        if not any(value is known for known in self._containers):
            self._containers.append(value)

    def seal(self) -> None:
        """All has been read: note what is in the containers, and write the expression."""
        if self._containers:
            self._facts = self._told()
            self._hold()
            self._terms.append("kept()")
        exec(f"def same(): return {' and '.join(self._terms) or True}", self._space)
        self._same = self._space["same"]

    def unchanged(self) -> bool:
        """Whether everything is as expected."""
        assert self._same is not None
        try:
            return self._same()
        except (KeyError, ValueError):  # a name is gone, or a variable is not assigned any more
            return False

    def _told(self) -> list[Any]:
        seen: dict[int, int] = {}
        return [fact(value, seen) for value in self._containers]

    def _hold(self) -> None:
        self._items = [
            (value, tuple(value), tuple(value.values()) if isinstance(value, dict) else ())
            for value in self._containers
        ]

    def _kept(self) -> bool:
        """Whether the containers are as expected; where their items are others, whether they are of the same value."""
        for value, items, values in self._items:
            same = len(value) == len(items) and all(map(is_, value, items))
            if not same or values and not all(map(is_, value.values(), values)):
                break
        else:
            return True
        if self._told() != self._facts:
            return False
        self._hold()
        return True

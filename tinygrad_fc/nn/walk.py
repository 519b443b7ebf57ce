"""How attributes are walked: lists, tuples and dicts are looked into, and paths name what is found."""

from __future__ import annotations

from collections import UserDict, UserList, deque
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .module import Module

_PLAIN = {bool, int, float, str, type(None)}
# What may hold something, and is not walked: its items have no place to be named after, or could not be replaced.
_UNWALKED = (set, frozenset, deque, UserList, UserDict, MappingProxyType, np.ndarray)


def walk(path: str, value: Any, kinds: type | tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    """Yield what is of these kinds in an attribute's value, with its path."""
    if isinstance(value, kinds):
        yield path, value
    elif isinstance(value, (list, tuple)):
        for n, item in enumerate(value):
            yield from walk(f"{path}.{n}", item, kinds)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from walk(f"{path}.{key}", item, kinds)


def walk_state(path: str, value: Any, kinds: tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    """Walk, but raise where a path would not be one, so that nothing is lost from a state without a word.

    Raises
    ------
    ValueError
        Where a key holds a dot, or two keys of a dict are written alike.
    TypeError
        Where what is of these kinds lies in a container that is not walked.
    """
    if isinstance(value, kinds):
        yield path, value
    elif isinstance(value, (list, tuple)):
        for n, item in enumerate(value):
            yield from walk_state(f"{path}.{n}", item, kinds)
    elif isinstance(value, dict):
        words: dict[str, Any] = {}
        for key, item in value.items():
            found = list(walk_state(f"{path}.{key}", item, kinds))
            if found:
                _check_key(path, key, words)
            yield from found
    elif isinstance(value, _UNWALKED):
        for item in _items(value):
            for _, inside in walk_state(path, item, kinds):
                raise TypeError(
                    f"{path}: a {type(value).__name__} gives no path to the {type(inside).__name__} in it, which would "
                    f"be neither trained nor saved: use a list or a dict."
                )


def _check_key(path: str, key: Any, words: dict[str, Any]) -> None:
    word = str(key)
    if "." in word:
        raise ValueError(
            f"{path}: key {key!r}: a dot separates the names of a path, so no key may hold one. Right: "
            f"{word.replace('.', '_')!r}."
        )
    if word in words:
        raise ValueError(f"{path}: keys {words[word]!r} and {key!r} give one path, {path}.{word}: rename one of them.")
    words[word] = key


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, np.ndarray):
        return value.flat if value.dtype.hasobject else ()
    return value.values() if isinstance(value, Mapping) else value


def all_inside(value: Any, kind: type) -> Iterator[Any]:
    """Yield what is of a kind, in containers of any sort and depth."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from all_inside(item, kind)
    elif isinstance(value, (list, tuple, *_UNWALKED)):
        for item in _items(value):
            yield from all_inside(item, kind)


def contents(path: str, root: Any, kinds: tuple[Any, Any], seen: set[Any]) -> Iterator[tuple[str, Any]]:
    """Yield a module, its parameters, and then the same of each module inside, each once, with their paths.

    The kinds are `Parameter` and `Module`; what is in `seen` is passed over.
    """
    if root in seen:
        return
    seen.add(root)
    yield path, root
    inside = []
    for key, value in vars(root).items():
        kind = type(value)
        if kind in _PLAIN or kind is np.ndarray and not value.dtype.hasobject:
            continue  # what most attributes are, seen at once
        for where, item in walk_state(f"{path}.{key}" if path else key, value, kinds):
            if isinstance(item, kinds[1]):
                inside.append((where, item))
            elif item not in seen:
                seen.add(item)
                yield where, item
    for where, item in inside:
        yield from contents(where, item, kinds, seen)


def path_within(root: Module, wanted: Module, kind: type) -> str | None:
    """Return the path of a module inside another, whatever else is wrong there; None where it is not inside."""
    seen, waiting = {root}, [("", root)]
    while waiting:
        path, module = waiting.pop()
        if module is wanted:
            return path
        for key, value in vars(module).items():
            for inner, item in walk(f"{path}.{key}" if path else key, value, kind):
                if item not in seen:
                    seen.add(item)
                    waiting.append((inner, item))
    return None


def place(error: Exception, module: Module, kind: type) -> None:
    """Put the path of the module that raised an error before its message.

    Each module that the error passes on its way out calls this: the innermost is noted, and the path is the one within
    the outermost. A message that begins with the module's class has the path in its place. An error whose text is
    not its only argument gets a note.
    """
    facts = vars(error)
    if "module" not in facts:
        text = error.args[0] if len(error.args) == 1 and error.args[0] == str(error) else None
        error.module = (module, text)  # type: ignore[attr-defined]  # any exception has room for it
        return
    inner, text = facts["module"]
    path = path_within(module, inner, kind)
    if path and text is not None:
        error.args = (f"{path}: {text.removeprefix(f'{type(inner).__name__}: ')}",)

"""Structures: dicts, lists, tuples, named tuples and dataclasses, nested, whose leaves are everything else."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any


def children(tree: Any) -> list[tuple[str, Any]] | None:
    """Return what a structure holds, each with the label that leads to it; None for a leaf. None itself holds nothing.

    A dataclass field declared with ``field(metadata={"static": True})`` is no part of the structure: it stays as it is.
    """
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [(f"[{key!r}]", value) for key, value in tree.items()]
    if isinstance(tree, (list, tuple)):
        return [(f"[{index}]", value) for index, value in enumerate(tree)]
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return [(f".{name}", getattr(tree, name)) for name in _fields(tree)]
    return None


def _fields(tree: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(tree) if not field.metadata.get("static")]


def change(function: Callable[[Any, str], Any], tree: Any, path: str = "") -> Any:
    """Return a copy of `tree` with each leaf replaced by ``function(leaf, path)``."""
    parts = children(tree)
    if parts is None:
        return function(tree, path)
    values = [change(function, part, path + label) for label, part in parts]
    if isinstance(tree, dict):
        made: Any = copy.copy(tree)  # which keeps what kind of dict it is
        made.update(zip(tree, values, strict=True))
        return made
    if isinstance(tree, (list, tuple)):
        kind: Any = type(tree)
        return kind._make(values) if hasattr(kind, "_make") else kind(values)
    if all(value is part for value, (_, part) in zip(values, parts, strict=True)):
        return tree  # None, and an object that is no part of the matter: its identity may count
    made = copy.copy(tree)  # and not the constructor, which may compute, or refuse what a derivative is
    for name, value in zip(_fields(tree), values, strict=True):
        object.__setattr__(made, name, value)  # frozen ones too
    return made


def leaves(tree: Any) -> list[Any]:
    """Return the leaves of `tree`, in order."""
    found: list[Any] = []

    def note(leaf: Any, path: str) -> Any:
        found.append(leaf)
        return leaf

    change(note, tree)
    return found


def filled(tree: Any, values: Iterator[Any]) -> Any:
    """Return `tree` with its leaves replaced, in order, by `values`."""
    return change(lambda leaf, path: next(values), tree)


def beside(tree: Any, other: Any, what: str, path: str = "") -> list[tuple[str, Any]]:
    """Return what stands in `other` in the place of each leaf of `tree`, with its path; refuse another structure."""
    parts = children(tree)
    if parts is None:
        return [(path, other)]
    there = children(other)
    labels = [label for label, _ in parts]
    if there is None or sorted(label for label, _ in there) != sorted(labels):
        given = type(other).__name__ if there is None else f"{type(other).__name__} of {_listed(there)}"
        raise ValueError(
            f"{what}{path} is {given}, expected the structure that it belongs to, {type(tree).__name__} of "
            f"{_listed(parts)}."
        )
    by_label = dict(there)
    return [found for label, part in parts for found in beside(part, by_label[label], what, path + label)]


def _listed(parts: list[tuple[str, Any]]) -> str:
    return ", ".join(label for label, _ in parts) or "nothing"

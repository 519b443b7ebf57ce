"""How attributes are walked: lists, tuples and dicts are looked into, and paths name what is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def walk(path: str, value: Any, kinds: tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    """Yield what is of these kinds in an attribute's value, with its path."""
    if isinstance(value, kinds):
        yield path, value
    elif isinstance(value, (list, tuple)):
        for n, item in enumerate(value):
            yield from walk(f"{path}.{n}", item, kinds)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from walk(f"{path}.{key}", item, kinds)

"""Modules as text: a tree of layers with their options and parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .walk import walk

if TYPE_CHECKING:
    from .module import Module


def options(module: Module) -> list[str]:
    """Return the attributes that a class names in ``_options``, and ``fused=False`` where it is so."""
    found = vars(module)
    parts = [f"{key}={_brief(found[key])}" for key in module._options if found.get(key) is not None]
    return parts + ["fused=False"] * (found.get("fused") is False)


def _brief(value: Any) -> str:
    return f"array{value.shape}" if isinstance(value, np.ndarray) else repr(value)


def module_text(module: Module, kinds: tuple[Any, ...], path: str = "", seen: dict[Module, str] | None = None) -> str:
    """Return the text of a module: its class with its options, and in the lines below what is inside.

    A module that stands twice in the tree is shown once; the second time its path is named. Parameters that the options
    tell the shape of are left out.
    """
    seen = {} if seen is None else seen
    seen[module] = path
    lines = []
    for key, value in vars(module).items():
        for name, item in walk(key, value, kinds):
            if not isinstance(item, kinds[-1]):
                if key not in module._told:
                    lines.append(f"{name}: {type(item).__name__}{item.shape}")
            elif item in seen:
                lines.append(f"{name}: {seen[item] or 'the whole'}, again")
            else:
                lines.append(f"{name}: {module_text(item, kinds, f'{path}.{name}' if path else name, seen)}")
    head = f"{type(module).__name__}({module._facts()}"
    return "\n".join([head, *["  " + line.replace("\n", "\n  ") for line in lines], ")"]) if lines else f"{head})"

"""The state of the random generators that modules hold: read whole, and put back whole or not at all."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .walk import walk_state

if TYPE_CHECKING:
    from .module import Module

Generator = np.random.Generator | np.random.RandomState
KINDS = (np.random.Generator, np.random.RandomState)


def named_generators(root: Module) -> Iterator[tuple[str, Generator]]:
    """Yield every NumPy generator that `root` or a module inside holds, with its path; a shared one once."""
    seen: set[int] = set()
    for prefix, module in root.named_modules():
        for key, value in vars(module).items():
            for path, item in walk_state(key, value, KINDS):
                if id(item) not in seen:
                    seen.add(id(item))
                    yield (f"{prefix}.{path}" if prefix else path), item


def read(generator: Generator) -> Any:
    """Return a copy of a generator's state, as NumPy gives it."""
    if isinstance(generator, np.random.RandomState):
        return copy.deepcopy(generator.get_state(legacy=False))
    return copy.deepcopy(generator.bit_generator.state)


def write(generator: Generator, state: Any) -> None:
    """Put a generator into a state; raise ValueError, or what NumPy raises, when it is none."""
    # NumPy takes any position in what was drawn ahead, and reads there, outside of its array or not.
    kind = state.get("bit_generator") if isinstance(state, Mapping) else None
    if kind == "MT19937":
        _check_position(state["state"]["pos"], 624)
    elif kind == "Philox":
        _check_position(state["buffer_pos"], 4)
    if isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state


def _check_position(given: Any, last: int) -> None:
    if not 0 <= operator.index(given) <= last:
        raise ValueError(f"its position is {given}, expected 0 to {last}")


def load(own: dict[str, Generator], state: Mapping[str, Any]) -> list[str]:
    """Put generators by path into states by path: all, or, when one does not fit, none. Return what does not fit."""
    if not isinstance(state, Mapping):
        raise TypeError(f"load_generator_state: given {type(state).__name__}, expected a mapping of paths to states.")
    before = {path: read(generator) for path, generator in own.items()}
    faults = [f"missing {path}" for path in own if path not in state]
    faults += [f"unexpected {path}" for path in state if path not in own]
    for path in own:
        if path not in state:
            continue
        kind = before[path]["bit_generator"]
        try:
            given = state[path]["bit_generator"]
            if given == kind:
                write(own[path], state[path])
            else:
                faults.append(f"{path} is {kind}, given the state of {given}")
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            faults.append(f"{path}: no state of {kind} ({type(error).__name__}: {error})")
    if faults:  # NumPy alone can tell whether a state is one: what it took is put back
        for path, generator in own.items():
            write(generator, before[path])
    return faults

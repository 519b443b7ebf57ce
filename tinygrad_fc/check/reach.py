"""What a function reaches: the modules, random generators and leaf tensors that an evaluation may read or change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from ..engine.tensor import Tensor
from ..nn.module import Module


class Reached:
    """What a function is, holds or is called with: modules, random generators, and leaf tensors that need a gradient.

    They are looked for in closures, defaults, what functools wrapped, the object of a bound method and its attributes,
    and the global names that the function reads: lists and dicts, and the functions there with what they read in turn.

    Parameters
    ----------
    f : object
        The function.
    arguments : sequence
        What it is called with.
    """

    def __init__(self, f: Any, arguments: Sequence[Any]) -> None:
        self.modules: list[Module] = []
        self.generators: list[Any] = []
        self.tensors: list[Tensor] = []
        self._seen: set[int] = set()
        for value in (f, *arguments):
            self._look(value, 0)

    def _look(self, value: Any, depth: int, named: bool = False) -> None:
        """Look at one value; `named`: at a function by its global name, whose own functions are left alone."""
        if id(value) in self._seen or depth > 4:
            return
        self._seen.add(id(value))
        if isinstance(value, Module):
            self.modules.append(value)
            for _, generator in value.named_generators():
                self._look(generator, depth)
        elif isinstance(value, (np.random.Generator, np.random.RandomState)):
            self.generators.append(value)
        elif isinstance(value, Tensor):
            if value.requires_grad and value.is_leaf:
                self.tensors.append(value)
        elif isinstance(value, (list, tuple, dict)):
            for item in list(value.values() if isinstance(value, dict) else value)[:100]:
                self._look(item, depth + 1, named)
        elif callable(value):
            for item in _held(value):
                self._look(item, depth + 1, named)
            for item in _read(value):
                if not isinstance(item, FunctionType):
                    self._look(item, depth + 1, named)
                elif not named:
                    self._look(item, depth + 1, named=True)


def _state(generator: Any) -> Any:
    legacy = isinstance(generator, np.random.RandomState)
    return generator.get_state() if legacy else generator.bit_generator.state


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state


def rewinder(*values: Any) -> Callable[[], None]:
    """Return a function that puts the random generators that the values reach back into the states of now."""
    states = [(generator, _state(generator)) for generator in Reached(None, values).generators]

    def rewind() -> None:
        for generator, state in states:
            _set_state(generator, state)

    return rewind


@contextmanager
def generators_kept(*values: Any) -> Iterator[None]:
    """Put the random generators that the values reach back into their states after a block."""
    rewind = rewinder(*values)
    try:
        yield
    finally:
        rewind()


def _held(function: Any) -> Iterator[Any]:
    """Yield what a function closes over, is bound to, and has as defaults; of an object that is called, what it has."""
    for owner in (getattr(function, "__self__", None), function):
        yield owner
        if not isinstance(owner, (type, ModuleType, FunctionType, Module, Tensor)):
            yield from getattr(owner, "__dict__", {}).values()
    yield getattr(function, "__wrapped__", None)
    yield from getattr(function, "args", ())  # of a functools.partial
    yield from (getattr(function, "keywords", None) or {}).values()
    yield getattr(function, "func", None)
    function = getattr(function, "__func__", function)
    yield from getattr(function, "__defaults__", None) or ()
    yield from (getattr(function, "__kwdefaults__", None) or {}).values()
    for cell in getattr(function, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a name that is not bound yet
            continue


def _read(function: Any) -> Iterator[Any]:
    """Yield what a function reads of its module's names, as far as state can lie there."""
    function = getattr(function, "__func__", function)
    if not hasattr(function, "__code__") and not isinstance(function, type):
        function = getattr(type(function), "__call__", None)  # noqa: B004  # its code is read
    code, names = getattr(function, "__code__", None), getattr(function, "__globals__", {})
    kinds = (Module, Tensor, np.random.Generator, np.random.RandomState, list, tuple, dict, FunctionType)
    for name in code.co_names if code is not None else ():
        value = names.get(name)
        if isinstance(value, kinds):
            yield value

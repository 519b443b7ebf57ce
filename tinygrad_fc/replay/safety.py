"""Safety: what a step reads and does beside its tensors, as far as its code shows it.

A replay runs kernels and not Python. So a step may read what can be seen to be as it was (modules, optimizers,
numbers), and do nothing to the world around it but what goes through them.
"""

from __future__ import annotations

import builtins
import dis
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..engine.tensor import Tensor
from ..nn.module import Module
from ..nn.parameter import Parameter
from ..optim import Optimizer
from .trace import Unfit

_HOUSE = __name__.split(".")[0]
_TRUSTED = (_HOUSE, "numpy", "math", "scipy", "operator", "functools")
_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype, types.EllipsisType, slice)
_EFFECTS = frozenset(
    ("print", "open", "input", "exec", "eval", "setattr", "delattr", "globals", "locals", "vars", "next")
)
_ATTRIBUTES = frozenset(("grad", "no_grad", "retain_grad", "gradients", "value_and_grad"))
_WRITES = {
    "STORE_GLOBAL": "assigns the global", "DELETE_GLOBAL": "deletes the global", "STORE_ATTR": "assigns the attribute",
    "DELETE_ATTR": "deletes the attribute", "STORE_SUBSCR": "writes into an array or container",
    "DELETE_SUBSCR": "deletes from a container", "YIELD_VALUE": "yields", "IMPORT_NAME": "imports",
}  # fmt: skip


class Reads:
    """What a step reads from around it.

    Parameters
    ----------
    *functions : callable or Module
        The step, or what it is known to call.

    Attributes
    ----------
    modules, optimizers : list
        Those that it can reach.

    Raises
    ------
    Unfit
        If the code of the step shows something that a replay would not do, or could not see change.
    """

    def __init__(self, *functions: Any) -> None:
        self.modules: list[Module] = []
        self.optimizers: list[Optimizer] = []
        self._checks: list[tuple[Any, str, Any]] = []  # a namespace or cell, a name, the value that is expected there
        self._seen: set[int] = set()
        for function in functions:
            if isinstance(function, Module):
                self._module(function)
            elif len(functions) == 1 or not _trusted(function):  # a step is looked at, wherever it was written
                self._function(function, asked=True)

    def unchanged(self) -> bool:
        """Whether every name around the step still has its value."""
        for place, name, value in self._checks:
            now = place.get(name, _MISSING) if name else place.cell_contents
            if now is not value:
                return False
        return True

    def fingerprint(self) -> tuple[Any, ...]:
        """Return what all modules are: their parts by identity, their options by value."""
        return tuple([(id(module), *_facts(module)) for module in self._all_modules()])

    def _all_modules(self) -> Iterator[Module]:
        seen: set[int] = set()
        for root in self.modules:
            for _, module in root.named_modules():
                if id(module) not in seen:
                    seen.add(id(module))
                    yield module

    def _function(self, function: Any, asked: bool = False) -> None:
        if not asked and _trusted(function) and getattr(function, "__self__", None) is None:
            return
        if isinstance(function, types.MethodType):
            self._judge(function.__qualname__, function.__self__)
            function = function.__func__
        function = getattr(function, "__wrapped__", function)
        code = getattr(function, "__code__", None)
        if code is None:
            raise Unfit(f"{function!r} is no Python function, so what it does cannot be seen")
        if id(code) in self._seen:
            return
        self._seen.add(id(code))
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                continue  # not assigned yet
            self._checks.append((cell, "", value))
            self._judge(name, value)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._judge("a default", value)
        self._code(code, function.__globals__)

    def _code(self, code: types.CodeType, space: dict[str, Any]) -> None:
        where = f"{code.co_name} (line {code.co_firstlineno})"
        for instruction in dis.get_instructions(code):
            written = _WRITES.get(instruction.opname)
            if written or instruction.opname == "STORE_DEREF" and instruction.argval in code.co_freevars:
                raise Unfit(f"{where} {written or 'assigns the variable'} {instruction.argval or ''}".rstrip())
        for name in code.co_names:
            if name in _ATTRIBUTES or name in _EFFECTS and name not in space:
                raise Unfit(f"{where} uses {name}")
            if name in space:
                self._checks.append((space, name, space[name]))
                self._judge(name, space[name])
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant, space)

    def _judge(self, name: str, value: Any) -> None:
        """Note a value that the step can reach, or raise Unfit."""
        if isinstance(value, Module):
            self._module(value)
        elif isinstance(value, Optimizer):
            if value not in self.optimizers:
                self.optimizers.append(value)
        elif isinstance(value, (*_PLAIN, types.ModuleType, type, np.ndarray, Tensor, np.ufunc)):
            return
        elif isinstance(value, tuple):
            for item in value:
                self._judge(name, item)
        elif isinstance(value, types.BuiltinFunctionType):
            if getattr(builtins, value.__name__, None) is not value and not _trusted(value):
                raise Unfit(f"it calls {name}, whose effects cannot be seen")
        elif callable(value):
            if not _trusted(value):
                self._function(value)
        else:
            raise Unfit(f"it reads {name}, of {type(value).__name__}, whose changes cannot be seen")

    def _module(self, root: Module) -> None:
        if any(root is module for module in self.modules):
            return
        self.modules.append(root)
        for _, module in root.named_modules():
            if not _trusted(type(module)):
                for key, value in vars(module).items():
                    _check_attribute(f"{type(module).__name__}.{key}", value)
                for method in ("forward", "loss_tensor"):
                    if hasattr(module, method):
                        self._function(getattr(type(module), method))


_MISSING = object()


def _trusted(value: Any) -> bool:
    home = getattr(value, "__module__", None) or type(value).__module__
    return home.split(".")[0] in _TRUSTED


def _check_attribute(name: str, value: Any) -> None:
    if isinstance(value, (list, tuple)):
        for item in value:
            _check_attribute(name, item)
    elif isinstance(value, dict):
        for item in value.values():
            _check_attribute(name, item)
    elif not isinstance(value, (*_PLAIN, Module, Parameter, Tensor, np.ndarray, np.random.Generator)) and not _trusted(
        value
    ):
        raise Unfit(f"{name} is of {type(value).__name__}, whose changes cannot be seen")


def _facts(value: Any) -> tuple[Any, ...]:
    return tuple([(key, _fact(item)) for key, item in vars(value).items()])


def _fact(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, Parameter):
        return id(value), value.requires_grad
    if isinstance(value, (list, tuple)):
        return tuple([_fact(item) for item in value])
    if isinstance(value, dict):
        return tuple([(key, _fact(item)) for key, item in value.items()])
    return id(value)

"""Safety: what a step reads and does beside its tensors, as far as its code shows it.

A replay runs kernels and not Python. So a step may read what can be seen to be as it was (modules, optimizers,
numbers), and do nothing to the world around it but what goes through them. What is not known to be harmless is refused.
"""

from __future__ import annotations

import builtins
import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..engine.tensor import Tensor
from ..nn import generators
from ..nn.module import Module
from ..nn.parameter import Parameter
from ..optim import Optimizer
from .code import Load, loads
from .trace import Unfit

_HOUSE = __name__.split(".")[0]
_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype, types.EllipsisType, slice)
_EFFECTS = frozenset((
    "print", "open", "input", "exec", "eval", "compile", "setattr", "delattr", "globals", "locals", "vars", "next",
    "dir", "id", "hash", "type", "memoryview", "bytes", "bytearray", "object", "__import__", "breakpoint", "iter",
))  # fmt: skip
# Attributes whose values change from step to step, or whose calls change what a replay does not.
_ATTRIBUTES = frozenset((
    "grad", "no_grad", "retain_grad", "gradients", "value_and_grad", "learning_rate", "factor", "config", "config_of",
    "groups", "clip_norm", "clip_value", "rule", "load_state_dict", "load_generator_state", "generator_state", "load",
    "save", "apply", "bn_params", "buffers", "named_buffers", "named_generators", "node", "_array", "_leaf", "saved",
    "draw", "draw_key", "write_", "move_", "touch_", "gradient_homes", "leave_gradient_homes", "__dict__",
    "__setattr__", "__class__", "__globals__",
))  # fmt: skip
# Rooms of this package whose functions compute on tensors and do nothing else.
_ROOMS = frozenset(("engine", "ops", "fused", "nn", "models", "optim", "linalg", "special", "transforms", "replay"))
_NUMPY = frozenset((
    "zeros", "ones", "full", "eye", "identity", "arange", "linspace", "errstate", "finfo", "iinfo", "result_type",
    "can_cast", "promote_types", "ndarray",
))  # fmt: skip
_SPECIAL = frozenset(("__init__", "__new__", "__repr__", "__str__", "__reduce__", "__getstate__", "__setstate__",
                      "__init_subclass__", "__class_getitem__", "__dir__"))  # fmt: skip
_MISSING = object()


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
        self._seen: dict[int, Any] = {}
        self._names: set[str] = set()  # the attributes that code outside this package loads
        self._gets = False  # whether it gets attributes by names that are computed
        self._containers: list[Any] = []  # lists and dicts of modules: nobody says when they change
        self._facts: Any = None
        for function in functions:
            if isinstance(function, Module):
                self._module(function)
            elif len(functions) == 1 or not _ours(function):  # a step is looked at, wherever it was written
                self._function(function)
        self._methods()
        self._facts = _fact(self._containers)

    def unchanged(self) -> bool:
        """Whether every name around the step still has its value, and every container of a module its items."""
        for place, name, value in self._checks:
            now = place.get(name, _MISSING) if name else _content(place)
            if now is not value:
                return False
        return not self._containers or _fact(self._containers) == self._facts

    def fingerprint(self) -> tuple[Any, ...]:
        """Return what all modules are: their parts by identity, their options by value."""
        return tuple([(id(module), *_facts(module)) for module in self.all_modules()])

    def all_modules(self) -> Iterator[Module]:
        """Yield every module that the step can reach, once."""
        seen: set[int] = set()
        for root in self.modules:
            for _, module in root.named_modules():
                if id(module) not in seen:
                    seen.add(id(module))
                    yield module

    def _function(self, function: Any) -> None:
        if isinstance(function, types.MethodType):
            self._judge(function.__qualname__, function.__self__)
            function = function.__func__
        if hasattr(function, "replays"):  # another compiled step: it runs as it is written
            function = function.__wrapped__
        code = getattr(function, "__code__", None)
        if code is None:
            raise Unfit(f"{function!r} is no Python function, so what it does cannot be seen")
        if id(function) in self._seen:
            return
        self._seen[id(function)] = function  # which keeps it, and so its id
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        self._checks += [(cell, "", _content(cell)) for cell in cells.values()]
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._judge("a default", value)
        for load in loads(code):
            self._load(load, function.__globals__, cells)
        self._names.update(value for value in code.co_consts if isinstance(value, str))  # which `getattr` may be given

    def _load(self, load: Load, space: dict[str, Any], cells: dict[str, Any]) -> None:
        """Judge a name of the code, and what is reached from it if it is a Python module."""
        for name in load.path[0 if load.attribute else 1 :]:
            if name in _ATTRIBUTES:
                raise Unfit(f"{load.where} uses {name}")
            self._names.add(name)
        if load.attribute:
            return
        name, *path = load.path
        if load.cell:
            value = _content(cells[name]) if name in cells else _MISSING
        else:
            value = space.get(name, _MISSING)
            self._checks.append((space, name, value))
            if value is _MISSING:
                value = getattr(builtins, name, _MISSING)
        for part in path:
            if not isinstance(value, types.ModuleType):
                if isinstance(value, type) and issubclass(value, (np.ndarray, np.generic)):
                    raise Unfit(f"{load.where} uses {name}.{part}, which does not notice that it reads an argument")
                break
            if part in _ATTRIBUTES or value.__name__.startswith("numpy.") and value.__name__ != "numpy.linalg":
                raise Unfit(f"{load.where} uses {name}.{'.'.join(path)}")
            found = getattr(value, part, _MISSING)
            if part in vars(value):
                self._checks.append((vars(value), part, found))
            name, value = f"{name}.{part}", found
        if isinstance(value, types.ModuleType):
            raise Unfit(f"{load.where} takes the Python module {name} as a value")
        if value is not _MISSING and name != "__class__":  # which `super` stands on
            self._judge(name, value)

    def _judge(self, name: str, value: Any) -> None:
        """Note a value that the step can reach, or raise Unfit."""
        if isinstance(value, Module):
            self._module(value)
        elif isinstance(value, Optimizer):
            if not any(value is known for known in self.optimizers):
                self.optimizers.append(value)
        elif isinstance(value, (*_PLAIN, Tensor, np.ufunc)):
            return
        elif isinstance(value, tuple):
            for item in value:
                self._judge(name, item)
        elif isinstance(value, types.BuiltinFunctionType):
            self._builtin(name, value)
        elif isinstance(value, type):
            known = value.__module__ == "builtins" or _ours(value) or issubclass(value, (np.generic, np.ndarray))
            if value.__name__ in _EFFECTS or not known and value.__name__ not in _NUMPY:
                raise Unfit(f"it uses the class {name}, whose attributes and effects cannot be seen")
        elif "numpy" in (type(value).__module__, getattr(value, "__module__", "")):
            if isinstance(value, np.ndarray):
                raise Unfit(f"it reads the array {name}, whose values may change: give it as an argument")
            if type(value).__name__ != "_ArrayFunctionDispatcher" and getattr(value, "__name__", "") not in _NUMPY:
                raise Unfit(f"it uses {name}, which does not notice that it reads an argument")
        elif isinstance(value, types.MethodType):
            self._judge(name, value.__self__)
            if not _ours(value):
                self._function(value)
            elif value.__name__ in _ATTRIBUTES:
                raise Unfit(f"it calls {name}, which is {value.__qualname__}")
        elif isinstance(value, types.FunctionType) and _ours(value):
            if value.__name__ in _ATTRIBUTES:
                raise Unfit(f"it calls {name}, whose effects a replay does not have")
            if f"{value.__module__}.".split(".")[1] not in _ROOMS:
                self._function(value)
        elif callable(value) and not _ours(value):
            self._function(value)
        else:
            raise Unfit(f"it reads {name}, of {type(value).__name__}, whose changes cannot be seen")

    def _builtin(self, name: str, value: Any) -> None:
        called, home = value.__name__, getattr(value, "__module__", None)
        harmless = called not in _EFFECTS and vars(builtins).get(called) is value
        self._gets |= called == "getattr"
        if not (harmless or home == "math" or home == "numpy" and called in _NUMPY):
            raise Unfit(f"it calls {name}, whose effects cannot be seen")

    def _module(self, root: Module) -> None:
        if any(root is module for module in self.modules):
            return
        self.modules.append(root)
        for _, module in root.named_modules():
            for key, value in vars(module).items():
                self._attribute(f"{type(module).__name__}.{key}", value, _ours(type(module)))

    def _attribute(self, name: str, value: Any, ours: bool) -> None:
        """Judge what a module holds; modules and parameters inside are found by walking it."""
        if isinstance(value, (list, tuple, dict)):
            if not isinstance(value, tuple):
                self._containers.append(value)
            for item in value.values() if isinstance(value, dict) else value:
                self._attribute(name, item, ours)
        elif isinstance(value, (Module, Parameter, np.ndarray, *generators.KINDS)):
            return
        elif not callable(value) and (ours or _ours(type(value))) and not isinstance(value, Optimizer):
            return
        else:
            self._judge(name, value)

    def _methods(self) -> None:
        """Look at the methods of modules of other classes that can run: those whose names the code loads, and hooks."""
        done: set[tuple[type, str]] = set()
        while True:
            found = [pair for pair in self._reachable() if pair not in done]
            if not found:
                break
            for kind, name in found:
                if name in ("draw", "draw_key"):
                    raise Unfit(f"{kind.__name__} draws masks of its own")
                done.add((kind, name))
                value = vars(kind)[name]
                self._checks.append((vars(kind), name, value))
                value = getattr(value, "__func__", value)  # of a class method, or a static one
                functions = [value.fget] if isinstance(value, property) else [value]
                for function in functions:
                    if isinstance(function, types.FunctionType):
                        self._function(function)
                    else:
                        self._judge(f"{kind.__name__}.{name}", function)
        for module in self.all_modules():
            values = _values_in(module)
            changing = values if self._gets and not _ours(type(module)) else self._names.intersection(values)
            if changing:
                raise Unfit(f"it reads {type(module).__name__}.{min(changing)}, whose values change")

    def _reachable(self) -> Iterator[tuple[type, str]]:
        kinds = {kind: None for module in self.all_modules() for kind in type(module).__mro__}
        house = {name for kind in kinds if _ours(kind) for name in vars(kind)} | {"forward", "loss_tensor"}
        for kind in kinds:
            if _ours(kind) or kind is object:
                continue
            for name in vars(kind):
                hook = name in house or name.startswith("__") and name.endswith("__") and callable(vars(kind)[name])
                if name in self._names or hook and name not in _SPECIAL and name not in _HEADERS:
                    yield kind, name


_HEADERS = frozenset(("__module__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__qualname__", "buffers",
                      "_options", "_told"))  # fmt: skip


def _ours(value: Any) -> bool:
    home = getattr(value, "__module__", None) or type(value).__module__
    return bool(home.split(".")[0] == _HOUSE)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is not assigned
        return _MISSING


def _values_in(module: Module) -> Sequence[str]:
    """Return the attributes that hold arrays or generators, which are written in place."""
    kinds = (np.ndarray, *generators.KINDS)
    return [key for key, value in vars(module).items() if isinstance(value, kinds)]


def _facts(value: Any) -> tuple[Any, ...]:
    return tuple([(key, _fact(item)) for key, item in vars(value).items()])


def _fact(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return type(value), repr(value) if isinstance(value, float) else value  # NaN is as it was, and -0.0 is not 0.0
    if isinstance(value, Parameter):
        return id(value), value.requires_grad
    if isinstance(value, (list, tuple)):
        return tuple([_fact(item) for item in value])
    if isinstance(value, dict):
        return tuple([(key, _fact(item)) for key, item in value.items()])
    return id(value)

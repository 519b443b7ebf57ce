"""Safety: what a step reads and does beside its tensors, as far as its code shows it.

A replay runs kernels and not Python. So a step may read what can be seen to be as it was (modules, optimizers,
numbers), and do nothing to the world around it but what goes through them. What is not known to be harmless is refused.
"""

from __future__ import annotations

import builtins
import functools
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..engine.tensor import Tensor
from ..nn import generators
from ..nn.module import Module
from ..nn.parameter import Parameter
from ..optim import Optimizer
from .code import Load, loads, strings
from .facts import DICTS, arrays_in, facts_of, is_plain, is_record, varying
from .objects import called, is_ordinary, own
from .trace import Unfit
from .watch import MISSING, Watch, content

_HOUSE = __name__.split(".")[0]
_EFFECTS = frozenset((
    "print", "open", "input", "exec", "eval", "compile", "setattr", "delattr", "globals", "locals", "vars", "next",
    "dir", "id", "hash", "type", "memoryview", "bytes", "bytearray", "object", "__import__", "breakpoint", "iter",
))  # fmt: skip
# Attributes whose values change from step to step, or whose calls change what a replay does not.
_ATTRIBUTES = frozenset((
    "grad", "no_grad", "retain_grad", "gradients", "value_and_grad", "learning_rate", "factor", "config",
    "config_of", "groups", "state_dict", "clip_norm", "clip_value", "rule", "load_state_dict",
    "load_generator_state", "generator_state", "load", "save", "apply", "bn_params", "buffers", "named_buffers",
    "named_generators", "node", "_array", "_leaf", "saved", "draw", "draw_key", "write_", "move_", "touch_",
    "gradient_homes", "leave_gradient_homes", "__dict__", "__setattr__", "__class__", "__globals__",
))  # fmt: skip
# Rooms of this package whose functions compute on tensors and do nothing else.
_ROOMS = frozenset(("engine", "ops", "fused", "nn", "models", "optim", "linalg", "special", "transforms", "replay"))
_NUMPY = frozenset((
    "zeros", "ones", "full", "eye", "identity", "arange", "linspace", "errstate", "finfo", "iinfo", "result_type",
    "can_cast", "promote_types", "ndarray",
))  # fmt: skip
_SPECIAL = frozenset(("__init__", "__new__", "__repr__", "__str__", "__reduce__", "__getstate__", "__setstate__",
                      "__init_subclass__", "__class_getitem__", "__dir__"))  # fmt: skip
_CALLED = frozenset(("forward", "__call__", "draw", "draw_key"))  # of modules, without being named
_UPDATES = frozenset(("step", "zero_grad"))
_ASKED = frozenset(("name", "requires_grad"))  # of tensors, which nobody tells the changes of
_KEEP = "keep what the step reads of it in a variable of the function, or as a number in an nn.Module"


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
    unchanged : callable
        Says whether names around the step have their values still, and functions, classes and containers what they had.

    Raises
    ------
    Unfit
        If the code of the step shows something that a replay would not do, or could not see change.
    """

    def __init__(self, *functions: Any) -> None:
        self.modules: list[Module] = []
        self.optimizers: list[Optimizer] = []
        self._watch = Watch()
        self.unchanged = self._watch.unchanged  # whether all that was read around the step is as it was
        self._seen: dict[int, Any] = {}
        self._names: set[str] = set()  # the attributes that code outside this package loads
        self._asked: set[str] = set(_UPDATES)  # those that it loads from optimizers
        self._objects: list[Any] = []
        self._plain: list[Any] = []  # those of a user's ordinary classes
        self._tensors: list[Tensor] = []  # that are no modules'
        self._supers = False  # whether what is overridden may be called
        self._asks = False  # whether it asks if there are attributes
        self._gets: set[str] = set()  # what the names begin with under which modules get attributes of their own
        for function in functions:
            if isinstance(function, Module):
                self._module(function)
            elif len(functions) == 1 or not _ours(function):  # a step is looked at, wherever it was written
                self._function(function)
        self._methods()
        self._values()
        self._watch.seal()

    def fingerprint(self) -> tuple[Any, ...]:
        """Return what all modules are: their parts by identity, their options by value."""
        seen: dict[int, int] = {}
        return tuple([facts_of(module, seen) for module in self.all_modules()])

    def all_modules(self) -> Iterator[Module]:
        """Yield every module that the step can reach, once."""
        seen: set[int] = set()
        for root in self.modules:
            for _, module in root.named_modules():
                if id(module) not in seen:
                    seen.add(id(module))
                    yield module

    def leaves(self) -> list[Tensor]:
        """Return the parameters that the step can reach, each once: of modules, and those that optimizers move."""
        found = [leaf for module in self.modules for leaf in module.parameters()]
        return list(dict.fromkeys(found + [leaf for optimizer in self.optimizers for leaf in optimizer._tensors]))

    def _function(self, function: Any, method: bool = False) -> None:
        while type(function) is functools.partial:
            self._object(function)
            self._watch.container(function.keywords)
            for name in ("func", "args", "keywords"):
                self._watch.attribute(function, name)
            for value in (*function.args, *function.keywords.values()):
                self._judge("an argument of partial", value)
            function = function.func
        if isinstance(function, types.MethodType):
            self._judge(function.__qualname__, function.__self__)
            function, method = function.__func__, True
        if hasattr(function, "replays"):  # another compiled step: it runs as it is written
            self._object(function)
            function = function.__wrapped__
        code = getattr(function, "__code__", None)
        if code is None:
            raise Unfit(f"{type(function).__name__} is no Python function, so what it does cannot be seen: write one "
                        f"(def) that does the same")  # fmt: skip
        if id(function) in self._seen:
            return
        self._seen[id(function)] = function  # which keeps it, and so its id
        self._watch.function(function)
        self._object(function)
        self._asks |= bool(code.co_exceptiontable)  # an attribute that is missing may be caught
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        for cell in cells.values():
            self._watch.cell(cell)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._judge("a default", value)
        for load in loads(code, own=code.co_varnames[0] if method and code.co_argcount else None):
            self._load(load, function.__globals__, cells)
        self._names.update(strings(code))  # which `getattr` may be given

    def _load(self, load: Load, space: dict[str, Any], cells: dict[str, Any]) -> None:
        """Judge a name of the code, and what is reached from it if it is a Python module."""
        for name in load.path[0 if load.attribute else 1 :]:
            if name in _ATTRIBUTES:
                raise Unfit(f"{load.where} uses {name}, of optimizers or modules, say: what is yours, call otherwise")
        if load.attribute:
            self._names.update(load.path)
            return
        name, *path = load.path
        if load.cell:
            value = content(cells[name]) if name in cells else MISSING
        else:
            value = space.get(name, MISSING)
            self._watch.name(space, name, value)
            if value is MISSING:
                value = getattr(builtins, name, MISSING)
        self._supers |= value is super
        if value is getattr:
            self._got(load)
            return
        if isinstance(value, Optimizer):
            self._asked.update(path[:1])
            self._names.update(path[1:])
        elif not isinstance(value, types.ModuleType):
            self._names.update(path)
        for place, part in enumerate(path):
            if not isinstance(value, types.ModuleType):
                if isinstance(value, type) and _ours(value):
                    self._member(value, part)
                if place:
                    self._names.update(path[place:])
                if isinstance(value, type) and issubclass(value, (np.ndarray, np.generic)):
                    raise Unfit(f"{load.where} uses {name}.{part}, which does not notice that it reads an argument")
                break
            if part in _ATTRIBUTES or value.__name__.startswith("numpy.") and value.__name__ != "numpy.linalg":
                raise Unfit(f"{load.where} uses {name}.{'.'.join(path)}")
            found = getattr(value, part, MISSING)
            if part in vars(value):
                self._watch.name(vars(value), part, found)
            name, value = f"{name}.{part}", found
        if isinstance(value, types.ModuleType):
            raise Unfit(f"{load.where} takes the Python module {name} as a value")
        if value is not MISSING and name != "__class__":  # which `super` stands on
            self._judge(name, value)

    def _got(self, load: Load) -> None:
        """Judge a call of `getattr`: of what, and under which name, must be known."""
        self._asks = True
        if load.named:
            return
        if load.got is None:
            raise Unfit(f"{load.where} gets an attribute under a name that is made at run time: write the name")
        self._gets.add(load.got)

    def _judge(self, name: str, value: Any) -> None:
        """Note a value that the step can reach, or raise Unfit."""
        if isinstance(value, Module):
            self._module(value)
        elif isinstance(value, Optimizer):
            self._optimizer(value)
        elif isinstance(value, Tensor):
            self._tensors.append(value)
        elif is_plain(value) or isinstance(value, np.ufunc):
            return
        elif is_record(value):
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
        elif is_ordinary(value) and not _ours(type(value)):
            if not any(value is known for known in self._plain):
                self._plain.append(value)
                self._watch.class_of(value)
        elif callable(value) and not _ours(value):
            self._function(value)
        else:
            raise Unfit(f"it reads {name}, of {type(value).__name__}, whose changes cannot be seen: {_KEEP}")

    def _builtin(self, name: str, value: Any) -> None:
        called, home = value.__name__, getattr(value, "__module__", None)
        harmless = called not in _EFFECTS and vars(builtins).get(called) is value
        self._asks |= called == "hasattr"
        harmless &= called != "getattr"
        if not (harmless or home == "math" or home == "numpy" and called in _NUMPY):
            raise Unfit(f"it calls {name}, whose effects cannot be seen")

    def _module(self, root: Module) -> None:
        if any(root is module for module in self.modules):
            return
        self.modules.append(root)
        for _, module in root.named_modules():
            for key, value in vars(module).items():
                self._attribute(f"{type(module).__name__}.{key}", value)

    def _optimizer(self, optimizer: Optimizer) -> None:
        if not any(optimizer is known for known in self.optimizers):
            self.optimizers.append(optimizer)
            self._watch.class_of(optimizer)
            self._object(optimizer)

    def _object(self, value: Any) -> None:
        """Note an object whose attributes nobody tells the changes of: the code may not name them."""
        if not any(value is known for known in self._objects):
            self._objects.append(value)

    def _attribute(self, name: str, value: Any) -> None:
        """Judge what a module holds; modules and parameters inside are found by walking it."""
        if type(value) is list or type(value) in DICTS:
            self._watch.container(value)
            for item in (*value, *value.values()) if isinstance(value, dict) else value:
                self._attribute(name, item)
        elif is_record(value):
            for item in value:
                self._attribute(name, item)
        elif isinstance(value, (Module, Parameter, np.ndarray, *generators.KINDS)):
            return
        elif not callable(value) and _ours(type(value)) and not isinstance(value, (Optimizer, Tensor)):
            self._object(value)
        else:
            self._judge(name, value)

    def _methods(self) -> None:
        """Look at what runs of classes: what the code names, and what other classes than this package's add to it."""
        done: set[tuple[Any, str]] = set()
        while True:
            found = [pair for pair in self._reachable() if pair not in done]
            held = [(owner, *item) for owner in self._plain for item in own(owner, self._names).items()
                    if (id(owner), item[0]) not in done]  # fmt: skip
            if not found and not held:
                break
            for kind, name in found:
                done.add((kind, name))
                self._member(kind, name)
            for owner, name, value in held:
                done.add((id(owner), name))
                self._watch.attribute(owner, name)
                if arrays_in(value):
                    raise Unfit(f"it reads {type(owner).__name__}.{name}, whose values may change")
                judge = self._attribute if type(value) in (list, *DICTS) else self._judge
                judge(f"{type(owner).__name__}.{name}", value)

    def _member(self, kind: type, name: str) -> None:
        """Judge an attribute of a class, and expect that it stays."""
        value = self._watch.member(kind, name)
        if value is MISSING:
            return
        value = getattr(value, "__func__", value)  # of a class method, or a static one
        for part in [value.fget] if isinstance(value, property) else [value]:
            if isinstance(part, _DESCRIPTORS) or callable(part) and _ours(part):
                continue
            if issubclass(kind, Optimizer) and not is_plain(part):
                raise Unfit(f"{kind.__name__}.{name} is not the library's, and a replay does not call it: do outside "
                            f"of the step what it does more")  # fmt: skip
            if name in ("draw", "draw_key"):
                raise Unfit(f"{kind.__name__} draws masks of its own")
            if isinstance(part, types.FunctionType):
                self._function(part, method=True)
            elif arrays_in(part):
                raise Unfit(f"it reads {kind.__name__}.{name}, whose values change")
            else:
                self._attribute(f"{kind.__name__}.{name}", part)

    def _values(self) -> None:
        """Refuse what the code names and nobody tells the changes of: arrays, and attributes of functions."""
        for module in self.all_modules():
            for key in varying(module):
                if key in self._names or not _ours(type(module)) and any(map(key.startswith, self._gets)):
                    raise Unfit(f"it reads {type(module).__name__}.{key}, whose values change")
        for tensor in (*self._tensors, *[p for module in self.modules for p in module.parameters()]):
            for key in self._names & _ASKED:
                self._watch.attribute(tensor, key)
        for owner in self._objects:
            updates = isinstance(owner, Optimizer)
            names, held = self._names | self._asked if updates else self._names, getattr(owner, "__dict__", {})
            slots = {name for name in names if isinstance(getattr(type(owner), name, None), types.MemberDescriptorType)}
            for key in names.intersection(held) | slots:
                name = getattr(owner, "__name__", type(owner).__name__)
                raise Unfit(f"it reads {name}.{key}, whose changes cannot be seen: {_KEEP}")
            if updates or self._asks and hasattr(owner, "__dict__"):
                self._watch.without(owner, names)
        for owner in self._plain:
            self._watch.without(owner, self._names - vars(owner).keys())

    def _reachable(self) -> Iterator[tuple[type, str]]:
        """Yield classes, and the names under which something of them may run or be read."""
        for kind in {type(module): None for module in self.all_modules()}:
            bases: Any = kind.__mro__[:-1]
            house = {name for base in bases if _ours(base) for name in vars(base)} | {"forward", "loss_tensor"}
            layer = any(_ours(base) and base is not Module for base in bases)
            for base in bases:
                for name, value in vars(base).items():
                    if name in _HEADERS or name in _SPECIAL:
                        continue
                    special = _special(name)
                    # A layer may read as its option what stands in the class of a user's.
                    option = layer and not special and not isinstance(value, _METHODS)
                    got = not special and any(map(name.startswith, self._gets))
                    hook = not _ours(base) and (name in house or special and callable(value) or option or got)
                    if hook or name in self._names or name in _CALLED:
                        yield from ((other, name) for other in (bases if self._supers else [kind]))
        for optimizer in {type(optimizer) for optimizer in self.optimizers}:
            bases = [base for base in optimizer.__mro__[:-1] if not _ours(base)]
            added = [item for base in bases for item in vars(base).items()]
            hooks = {name for name, value in added if _special(name) and callable(value)} - _HEADERS - _SPECIAL
            named = {name for name in self._names | self._asked if hasattr(optimizer, name)}
            yield from ((optimizer, name) for name in hooks | named)
        yield from ((Tensor, name) for name in self._names if hasattr(Tensor, name))
        for kind in {type(owner): None for owner in self._plain}:
            yield from ((kind, name) for name in called(kind, self._names) if name not in _HEADERS | _SPECIAL)
        if self._asks:
            kinds = {type(value): None for value in (*self.all_modules(), *self.optimizers, *self._plain)}
            yield from ((kind, name) for kind in kinds for name in self._names if not hasattr(kind, name))


_METHODS = (types.FunctionType, classmethod, staticmethod)
_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType,
                types.MethodDescriptorType)  # fmt: skip
_HEADERS = frozenset(("__module__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__qualname__", "buffers",
                      "_options", "_told"))  # fmt: skip


def _special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _ours(value: Any) -> bool:
    home = getattr(value, "__module__", None) or type(value).__module__
    return bool(home.split(".")[0] == _HOUSE)

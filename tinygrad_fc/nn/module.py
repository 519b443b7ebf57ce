"""Module and Parameter: networks as plain classes whose attributes are walked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..engine.node import Node, leaf, tick
from ..engine.tensor import Tensor
from . import generators
from .walk import walk

if TYPE_CHECKING:
    import numpy.typing as npt

    from .summary import Summary


class Parameter(Tensor):
    """A leaf tensor that a module owns and an optimizer writes.

    It keeps its storage: assigning ``p.data`` copies into the same array, so that views of it (an optimizer's flat
    buffer, ``model.params``) stay true.

    Parameters
    ----------
    data : array_like
        Initial values; copied.
    dtype : dtype, optional
        Floating-point element type; that of `data` by default.

    Raises
    ------
    TypeError
        If the dtype is not floating point.
    """

    __slots__ = ()

    def __init__(self, data: npt.ArrayLike, dtype: npt.DTypeLike | None = None) -> None:
        array = np.array(data.data if isinstance(data, Tensor) else data, dtype=dtype)
        if array.dtype.kind != "f":
            raise TypeError(
                f"Parameter: dtype {array.dtype} is not floating point: give dtype=np.float32 or np.float64."
            )
        self._array = array
        self.node = leaf(array)

    @property
    def data(self) -> np.ndarray:
        """The values, an ndarray, without a copy."""
        return self._array

    @data.setter
    def data(self, value: npt.ArrayLike) -> None:
        self.write_(value)

    def write_(self, value: npt.ArrayLike) -> None:
        """Copy `value`, of the same shape, into the storage; graphs that used the old values turn stale."""
        array = self._checked(value)
        if array is not self._array:
            np.copyto(self._array, array)
        self.touch_()

    def move_(self, storage: np.ndarray) -> None:
        """Make `storage` (an array of the same shape and dtype, e.g. a view of a flat buffer) the values' home."""
        if storage.shape != self.shape or storage.dtype != self.dtype:
            raise ValueError(
                f"move_: storage is {storage.shape} {storage.dtype}, "
                f"expected {self.shape} {self.dtype} as {self._label()}."
            )
        np.copyto(storage, self._array)
        self._array = storage

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._array, self.name)


def _rebuild(data: np.ndarray, name: str | None) -> Parameter:
    parameter = Parameter(data)
    parameter.name = name
    return parameter


class Module:
    """Base of layers and networks. Assign parameters and modules to attributes, and write ``forward``.

    Lists, tuples and dicts of them are walked too. Names are the attribute paths: ``fc1.W``.

    Attributes
    ----------
    training : bool
        Whether layers that behave differently in training do so; see `train` and `eval`.
    buffers : tuple of str
        Of a class: the attributes that hold arrays which are not trained and yet belong to the state, such as running
        statistics. The class writes them in place.
    """

    training: bool = True
    buffers: tuple[str, ...] = ()
    _label: str | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result; subclasses write this."""
        raise TypeError(f"{type(self).__name__} has no forward: write `def forward(self, x): ...`.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what `forward` returns, and note on the tape that it was computed in this module."""
        start = tick()
        # One argument is what most modules get: passing it by itself saves a quarter of what entering a module costs.
        out = self.forward(args[0]) if len(args) == 1 and not kwargs else self.forward(*args, **kwargs)
        # What was recorded between `start` and the result was recorded in here: two readings of the clock are all that
        # the graph needs to know the module of every node, and no operation pays for it.
        if isinstance(out, Tensor):
            node = out.node
            if type(node) is Node and node.number > start:
                label = self._label or type(self).__name__
                if node.info is None:
                    node.info = {"scopes": (label, start)}
                else:
                    node.info["scopes"] = (*node.info.get("scopes", ()), label, start)
        return out

    def __setattr__(self, key: str, value: Any) -> None:
        if "." in key:
            raise ValueError(f"attribute {key!r}: a dot separates the names of a path, so none may hold one.")
        if value is not None and any(_walk(key, self.__dict__.get(key))) and not any(_walk(key, value)):
            raise TypeError(
                f"{key} holds what is trained, which {type(value).__name__} cannot replace: it would train no more. "
                f"Write a parameter's values, {key}.write_(value), or give a new one, nn.Parameter(value)."
            )
        items = value if isinstance(value, (list, tuple)) else value.values() if isinstance(value, dict) else (value,)
        if any(isinstance(t, Tensor) and not isinstance(t, Parameter) and t.requires_grad and t.is_leaf for t in items):
            raise TypeError(f"{key}: a plain tensor in a module is not trained: make it nn.Parameter(data).")
        object.__setattr__(self, key, value)
        for path, item in _walk(key, value):
            if isinstance(item, Parameter):
                item.name = path
            else:
                for inner, module in item.named_modules():
                    object.__setattr__(module, "_label", f"{path}.{inner}" if inner else path)
                for inner, parameter in item.named_parameters():
                    parameter.name = f"{path}.{inner}"

    def named_modules(self, prefix: str = "", _seen: set[Module] | None = None) -> Iterator[tuple[str, Module]]:
        """Yield this module (path "") and every module inside, each once, with its path."""
        seen = set() if _seen is None else _seen
        if self in seen:
            return
        seen.add(self)
        yield prefix, self
        for key, value in vars(self).items():
            for path, item in _walk(key, value):
                if isinstance(item, Module):
                    yield from item.named_modules(f"{prefix}.{path}" if prefix else path, seen)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield every parameter with its path, in the order of assignment; a shared one once."""
        seen: set[Parameter] = set()
        for prefix, module in self.named_modules():
            for key, value in vars(module).items():
                for path, item in _walk(key, value):
                    if isinstance(item, Parameter) and item not in seen:
                        seen.add(item)
                        yield (f"{prefix}.{path}" if prefix else path), item

    def parameters(self) -> Iterator[Parameter]:
        """Yield every parameter."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield every array of `buffers` with its path."""
        for prefix, module in self.named_modules():
            for key in module.buffers:
                yield (f"{prefix}.{key}" if prefix else key), getattr(module, key)

    def named_generators(self) -> Iterator[tuple[str, generators.Generator]]:
        """Yield every NumPy generator inside with its path (``dropout1._generator``); a shared one once."""
        return generators.named_generators(self)

    def apply(self, function: Callable[[Module], object]) -> Self:
        """Call `function` on every module inside, innermost first, and then on this one, each once; return this one.

        Examples
        --------
        >>> from tinygrad_fc import nn
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> net = net.apply(lambda module: print(type(module).__name__))
        Linear
        ReLU
        Sequential
        """
        if not callable(function):
            raise TypeError(f"apply: given {type(function).__name__}, expected a function of a module.")
        for module in list(_innermost_first(self, set())):
            function(module)
        return self

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for parameter in self.parameters():
            parameter.grad = None

    def train(self, mode: bool = True) -> Self:
        """Put this module and all inside into training mode (or, with False, out of it); return it."""
        for _, module in self.named_modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Put this module and all inside into evaluation mode; return it."""
        return self.train(False)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return a copy of the values of every parameter and buffer by path."""
        state = {path: parameter.data.copy() for path, parameter in self.named_parameters()}
        return state | {path: buffer.copy() for path, buffer in self.named_buffers()}

    def load_state_dict(
        self, state: Mapping[str, npt.ArrayLike], strict: bool = True
    ) -> tuple[list[str], list[str]]:
        """Write values by path into the parameters and buffers: all, or, when anything does not fit, none.

        Parameters
        ----------
        state : mapping of str to array_like
            As `state_dict` returns it.
        strict : bool
            With False, what is missing keeps its values and what is unexpected is passed over.

        Returns
        -------
        missing, unexpected : list of str
            Paths that `state` lacks, and those that are not of this module; empty when `strict`.

        Raises
        ------
        ValueError
            Listing what is of another shape or dtype and, when `strict`, what is missing or unexpected.
        TypeError
            If `state` is no mapping.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict: given {type(state).__name__}, expected a mapping of paths to arrays.")
        own: dict[str, Any] = dict(self.named_parameters())
        for path, buffer in self.named_buffers():
            own[path] = Parameter(buffer)  # it knows how to check a value
            own[path].name, own[path]._array = path, buffer
        missing, unexpected = [path for path in own if path not in state], [path for path in state if path not in own]
        faults = []
        if strict:
            faults += [f"missing {path} {own[path].shape}" for path in missing]
            faults += [f"unexpected {path} {np.shape(state[path])}" for path in unexpected]
        values = {}
        for path in own:
            if path in state:
                try:
                    values[path] = own[path]._checked(np.array(state[path]))
                except (TypeError, ValueError) as error:
                    faults.append(str(error).rstrip("."))
        self._refuse("load_state_dict", faults)
        for path, value in values.items():
            own[path].write_(value)
        return missing, unexpected

    def generator_state(self) -> dict[str, Any]:
        """Return a copy of the state of every generator by path, as NumPy gives it: plain dicts, numbers and arrays.

        With `state_dict`, this is what a run needs to go on as if it had not stopped: dropout draws the same masks.
        """
        return {path: generators.read(generator) for path, generator in self.named_generators()}

    def load_generator_state(self, state: Mapping[str, Any]) -> None:
        """Put every generator into the state that `generator_state` returned: all, or, when one does not fit, none.

        Raises
        ------
        ValueError
            Listing what is missing, unexpected, of another kind of generator, or no state of one.
        TypeError
            If `state` is no mapping.
        """
        self._refuse("load_generator_state", generators.load(dict(self.named_generators()), state))

    def _refuse(self, name: str, faults: list[str]) -> None:
        if faults:
            raise ValueError(
                f"{name}: the state is not of this {type(self).__name__}, nothing was changed: {'; '.join(faults)}."
            )

    def multiply_adds(self, input_shape: Any, output_shape: Any) -> int:
        """Return how many multiplications with their additions a call does itself, for `summary`.

        Layers that do more than one for each element of their result override it. By default it is the number of these
        elements, and 0 for a module that has modules inside, which count for themselves.

        Parameters
        ----------
        input_shape, output_shape : tuple of int, list of them, or None
            Of the first argument and of the result: a list for several arrays, None for what is no array.
        """
        if any(module is not self for _, module in self.named_modules()) or not isinstance(output_shape, tuple):
            return 0
        return math.prod(output_shape)

    def summary(self, input_shape: int | tuple[int, ...], dtype: npt.DTypeLike | None = None) -> Summary:
        """Return a table of what happens to a batch of this shape: layers, shapes, parameters, multiply-adds, bytes.

        The module runs once on zeros, in evaluation mode and without recording, and is left as it was; see `Summary`.

        Parameters
        ----------
        input_shape : int or tuple of int
            With the batch axis, ``(100, 3072)``, or, when the module does not take that, of one example, ``(3072,)``.
        dtype : dtype, optional
            Of the zeros; that of the first parameter by default (float32 without any).

        Raises
        ------
        ValueError
            If the shape is none, or neither a batch of this shape nor an example goes through.
        TypeError
            If the shape is no tuple of integers.

        Examples
        --------
        >>> from tinygrad_fc import nn
        >>> print(nn.Sequential(nn.Linear(4, 3), nn.ReLU()).summary((10, 4)))
        Sequential on (10, 4) float32, evaluation mode
        layer         output   parameters  multiply-adds  bytes
        -------------------------------------------------------
        Sequential    (10, 3)           0              0      0
          0 (Linear)  (10, 3)          15            120    180
          1 (ReLU)    (10, 3)           0             30    120
        -------------------------------------------------------
        total                          15            150    300
        Of 15 parameters 15 are trained.
        """
        from .summary import summarize

        return summarize(self, input_shape, dtype)

    def __repr__(self) -> str:
        lines = [f"  {path}: {type(p).__name__}{p.shape}" for path, p in self.named_parameters()]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


def _innermost_first(module: Module, seen: set[Module]) -> Iterator[Module]:
    """Yield every module inside, each after those inside it, and then `module`."""
    if module in seen:
        return
    seen.add(module)
    for key, value in vars(module).items():
        for _, item in _walk(key, value):
            if isinstance(item, Module):
                yield from _innermost_first(item, seen)
    yield module


def _walk(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters and modules in an attribute's value, with their paths."""
    return walk(path, value, (Parameter, Module))

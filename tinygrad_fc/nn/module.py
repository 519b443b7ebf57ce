"""Module and Parameter: networks as plain classes whose attributes are walked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..engine.node import Node, leaf, tick
from ..engine.tensor import Tensor

if TYPE_CHECKING:
    import numpy.typing as npt


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
        out = self.forward(*args, **kwargs)
        # What was recorded between `start` and the result was recorded in here: two readings of the clock are all that
        # the graph needs to know the module of every node, and no operation pays for it.
        if isinstance(out, Tensor):
            node = out.node
            if type(node) is Node and node.number > start:
                scope = (self._label or type(self).__name__, start)
                if node.info is None:
                    node.info = {"scopes": (scope,)}
                else:
                    node.info["scopes"] = (*node.info.get("scopes", ()), scope)
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

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Write values by path into the parameters and buffers: all, or, when anything does not fit, none.

        Raises
        ------
        ValueError
            Listing what is missing, unexpected, or of another shape or dtype.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict: given {type(state).__name__}, expected a mapping of paths to arrays.")
        own: dict[str, Any] = dict(self.named_parameters())
        for path, buffer in self.named_buffers():
            own[path] = Parameter(buffer)  # it knows how to check a value
            own[path].name, own[path]._array = path, buffer
        faults = [f"missing {path} {own[path].shape}" for path in own if path not in state]
        faults += [f"unexpected {path} {np.shape(state[path])}" for path in state if path not in own]
        values = {}
        for path in own:
            if path in state:
                try:
                    values[path] = own[path]._checked(np.array(state[path]))
                except (TypeError, ValueError) as error:
                    faults.append(str(error).rstrip("."))
        if faults:
            raise ValueError(
                f"load_state_dict: the state is not of this {type(self).__name__}, nothing was changed: "
                f"{'; '.join(faults)}."
            )
        for path, value in values.items():
            own[path].write_(value)

    def __repr__(self) -> str:
        lines = [f"  {path}: {type(p).__name__}{p.shape}" for path, p in self.named_parameters()]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


def _walk(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters and modules in an attribute's value, with their paths."""
    if isinstance(value, (Parameter, Module)):
        yield path, value
    elif isinstance(value, (list, tuple)):
        for n, item in enumerate(value):
            yield from _walk(f"{path}.{n}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(f"{path}.{key}", item)

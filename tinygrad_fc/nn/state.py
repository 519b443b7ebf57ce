"""The state of a module: parameters and buffers by path, read whole, and written whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import FileError, read_tensors, tensor_bytes, write_atomically
from . import generators
from .parameter import Parameter, fitted

if TYPE_CHECKING:
    from pathlib import Path

    from .module import Module

_FORMAT, _VERSION = "tinygrad_fc.module", 1
_PLAIN = {bool, int, float, str, type(None), np.ndarray, Parameter}


def named_buffers(root: Module) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every array of `Module.buffers` with its path; raise TypeError where one is no array."""
    for prefix, module in root.named_modules():
        for key in module.buffers:
            path, value = f"{prefix}.{key}" if prefix else key, getattr(module, key, None)
            if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufc":
                given = type(value).__name__ if hasattr(module, key) else "nothing"
                given = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else given
                raise TypeError(
                    f"{path}: a buffer is a NumPy array of numbers or booleans, which its class writes in place; given "
                    f"{given}. Assign one before the state is asked for: self.{key} = np.zeros(...), for a single "
                    f"number np.array(0.0)."
                )
            yield path, value


class Moving:
    """What a forward pass in training mode moves, buffers and generators, as it was: to be put back if the pass fails.

    Parameters
    ----------
    modules : iterable of Module
        Those whose buffers and generators, and those of modules inside, are noted.
    """

    def __init__(self, modules: Iterable[Module]) -> None:
        self._arrays: list[tuple[np.ndarray, np.ndarray]] = []
        self._generators: dict[int, tuple[Any, Any]] = {}
        for module in modules:
            found, owned, walked = vars(module), [], False
            # Most layers hold nothing but numbers, arrays and a generator, which is seen at once; others are walked.
            for value in found.values():
                if type(value) not in _PLAIN:
                    if isinstance(value, generators.KINDS):
                        owned.append(value)
                    else:
                        walked = True
            arrays: list[Any] = [found.get(key) for key in module.buffers]
            if walked or any(type(array) is not np.ndarray for array in arrays):
                arrays = [array for _, array in module.named_buffers()]
                owned = [generator for _, generator in module.named_generators()]
            self._arrays += [(array, array.copy()) for array in arrays]
            self._generators |= {id(g): (g, generators.read(g)) for g in owned if id(g) not in self._generators}

    def put_back(self) -> None:
        """Write everything as it was."""
        for array, before in self._arrays:
            np.copyto(array, before)
        for generator, state in self._generators.values():
            generators.write(generator, state)


def load(root: Module, state: Any, strict: bool) -> tuple[list[str], list[str], list[str]]:
    """Write values by path into parameters and buffers, all or none; return what is missing, unexpected and wrong."""
    if not isinstance(state, Mapping):
        raise TypeError(f"load_state_dict: given {type(state).__name__}, expected a mapping of paths to arrays.")
    own: dict[str, Parameter | np.ndarray] = {**dict(root.named_parameters()), **dict(root.named_buffers())}
    missing, unexpected = [path for path in own if path not in state], [path for path in state if path not in own]
    faults = []
    if strict:
        faults += [f"missing {path} {own[path].shape}" for path in missing]
        faults += [f"unexpected {path}{_shape(state[path])}" for path in unexpected]
    values = {}
    for path, home in own.items():
        if path in state:
            array = home.data if isinstance(home, Parameter) else home
            try:  # a copy, so that a state that shares memory with the module is read before anything is written
                values[path] = fitted(repr(path), array, state[path]).copy()
            except (TypeError, ValueError) as error:
                faults.append(str(error).rstrip("."))
    if not faults:
        for path, value in values.items():
            place = own[path]
            if isinstance(place, Parameter):
                place.write_(value)
            else:
                place[...] = value
    return missing, unexpected, faults


def save_module(root: Module, path: str | Path) -> None:
    """Write a module's state into a safetensors file; `Module.save` documents it."""
    state = root.state_dict()
    about = {"format": _FORMAT, "version": str(_VERSION), "class": type(root).__name__, "sha256": _digest(state)}
    write_atomically(path, tensor_bytes(state, about))


def load_module(root: Module, path: str | Path, strict: bool) -> tuple[list[str], list[str]]:
    """Read a module's state from a safetensors file; `Module.load` documents it."""
    arrays, about = read_tensors(path)
    version, ours = about.get("version"), about.get("format") == _FORMAT
    if ours and version != str(_VERSION):
        raise FileError(f"{path}: written by another version of tinygrad_fc (format {version}, this one reads "
                        f"{_VERSION}); update tinygrad_fc")  # fmt: skip
    if ours and about.get("sha256") != _digest(arrays):
        raise FileError(f"{path}: damaged: its arrays do not have the digest that it says")
    try:
        return root.load_state_dict(arrays, strict)
    except ValueError as error:
        made = f" (it is of {about['class']})" if ours and "class" in about else ""
        raise FileError(f"{path}: {error}{made}") from None


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of names, dtypes, shapes and values, which a safetensors file does not have by itself."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name!r} {array.dtype.name} {array.shape}\n".encode("utf-8", "surrogatepass"))
        found.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return found.hexdigest()


def _shape(value: Any) -> str:
    try:
        return f" {np.shape(value)}"
    except ValueError:  # a ragged list has none
        return ""

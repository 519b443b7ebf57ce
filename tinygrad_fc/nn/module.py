"""Module: networks as plain classes whose attributes are walked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ..engine.node import Node, tick
from ..engine.tensor import Tensor
from . import generators
from .inputs import flag
from .parameter import Parameter, note_change
from .show import module_text, options
from .state import load, load_module, named_buffers, save_module
from .walk import all_inside, contents, place, walk, walk_state

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from .summary import Summary


class Module:
    """Base of layers and networks. Assign parameters and modules to attributes, and write ``forward``.

    Lists, tuples and dicts of them are walked too. Names are the attribute paths: ``fc1.W``. They are given when an
    attribute is assigned, when the outermost module is called for the first time, and whenever it is asked for its
    modules or parameters: then what was appended to a list has its name too, and what two networks share is named by
    the one that was asked last. An error in ``forward`` has the module's path before its message.

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
    # Of a class: the attributes that its text shows, and the parameters whose shapes its text tells.
    _options: ClassVar[tuple[str, ...]] = ()
    _told: ClassVar[tuple[str, ...]] = ()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result; subclasses write this."""
        raise TypeError(f"{type(self).__name__} has no forward: write `def forward(self, x): ...`.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what `forward` returns, and note on the tape that it was computed in this module."""
        label = self._label
        if label is None:
            list(self._contents())
        start = tick()
        try:
            # One argument is what most modules get: passing it by itself saves a quarter of what entering costs.
            out = self.forward(args[0]) if len(args) == 1 and not kwargs else self.forward(*args, **kwargs)
        except Exception as error:
            place(error, self, Module)
            raise
        # What was recorded between `start` and the result was recorded in here: two readings of the clock are all that
        # the graph needs to know the module of every node, and no operation pays for it.
        if isinstance(out, Tensor):
            node = out.node
            if type(node) is Node and node.number > start:
                if node.info is None:
                    node.info = {"scopes": (label or type(self).__name__, start)}
                else:
                    node.info["scopes"] = (*node.info.get("scopes", ()), label or type(self).__name__, start)
        elif isinstance(out, (tuple, list, dict)):
            for _, tensor in walk("", out, Tensor):
                node = tensor.node
                if type(node) is Node and node.number > start:
                    scopes = node.info.get("scopes", ()) if node.info else ()
                    node.note("scopes", (*scopes, label or type(self).__name__, start))
        return out

    def __setattr__(self, key: str, value: Any) -> None:
        if "." in key:
            raise ValueError(f"attribute {key!r}: a dot separates the names of a path, so none may hold one.")
        found = list(walk_state(key, value, _KINDS))
        if value is not None and not found and any(walk(key, self.__dict__.get(key), _KINDS)):
            raise TypeError(
                f"{key} holds what is trained, which {type(value).__name__} cannot replace: it would train no more. "
                f"Write a parameter's values, {key}.write_(value), or give a new one, nn.Parameter(value)."
            )
        if any(not isinstance(t, Parameter) and t.requires_grad and t.is_leaf for t in all_inside(value, Tensor)):
            raise TypeError(f"{key}: a plain tensor in a module is not trained: make it nn.Parameter(data).")
        base = f"{self._label}." if self._label else ""
        names = [named for path, item in found for named in _inside(base + path, item)]
        object.__setattr__(self, key, value)
        note_change()
        for path, item in names:
            _name(path, item)

    def __delattr__(self, key: str) -> None:
        object.__delattr__(self, key)
        note_change()

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield this module (path "") and every module inside, each once, with its path.

        Raises
        ------
        ValueError
            If two would have one path: keys of a dict hold a dot, or are written alike.
        TypeError
            If a module or parameter lies in a container without paths, such as a set.
        """
        return ((path, item) for path, item in self._contents(prefix) if isinstance(item, Module))

    def _contents(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Yield this module and all modules and parameters inside; an outermost module names them on the way."""
        naming = not self._label and not prefix
        for path, item in contents(prefix, self, _KINDS, set()):
            if naming:
                _name(path, item)
            yield path, item

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield every parameter with its path, in the order of assignment; a shared one once.

        Raises
        ------
        ValueError, TypeError
            As `named_modules` does.
        """
        return ((path, item) for path, item in self._contents() if isinstance(item, Parameter))

    def parameters(self) -> Iterator[Parameter]:
        """Yield every parameter."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield every array of `buffers` with its path.

        Raises
        ------
        TypeError
            If one is missing, or no array of numbers or booleans.
        """
        return named_buffers(self)

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
            if parameter.requires_grad:
                parameter.grad = None

    def train(self, mode: bool = True) -> Self:
        """Put this module and all inside into training mode (or, with False, out of it); return it."""
        mode = flag("train: mode", mode)
        others = [module for _, module in self.named_modules() if module.training is not mode]
        for module in others:
            object.__setattr__(module, "training", mode)  # a bool: nothing to be named or refused
        if others:
            note_change()
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
            As `state_dict` returns it. Values of another dtype are cast where NumPy casts within a kind of numbers
            (float64 to float32, int64 to int32) or to a wider kind (whole numbers to floats).
        strict : bool
            With False, what is missing keeps its values and what is unexpected is passed over.

        Returns
        -------
        missing, unexpected : list of str
            Paths that `state` lacks, and those that are not of this module; empty when `strict`.

        Raises
        ------
        ValueError
            Listing, by path, what is of another shape or of a dtype of another kind (complex for floats, floats for
            whole numbers), is no rectangular array, or holds a number that the dtype here does not (1e300 for float32),
            and, when `strict`, what is missing or unexpected.
        TypeError
            If `state` is no mapping.
        """
        missing, unexpected, faults = load(self, state, flag("load_state_dict: strict", strict))
        self._refuse("load_state_dict", faults)
        return missing, unexpected

    def save(self, path: str | Path) -> None:
        """Write every parameter and buffer by path into a safetensors file, which is there whole or not at all.

        Parameters
        ----------
        path : str or Path
            ``net.safetensors``, say. The state of generators is not in it: see `generator_state`.

        Raises
        ------
        OSError
            If it cannot be written; what was there before is untouched.
        TypeError
            If an array is complex or of another dtype that such a file has not.
        """
        save_module(self, path)

    def load(self, path: str | Path, strict: bool = True) -> tuple[list[str], list[str]]:
        """Read what `save` wrote: all of it, or, when anything does not fit, nothing. Nothing in the file is run.

        Parameters
        ----------
        path : str or Path
        strict : bool
            As in `load_state_dict`.

        Returns
        -------
        missing, unexpected : list of str
            As `load_state_dict` returns them.

        Raises
        ------
        FileError
            A ValueError that begins with the path: if it is no safetensors file, is damaged, of a newer version, or
            does not fit this module.
        OSError
            If it cannot be read.
        """
        return load_module(self, path, strict)

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

    def summary(self, *input_shapes: int | tuple[int, ...], dtype: npt.DTypeLike | None = None) -> Summary:
        """Return a table of what happens to a batch of this shape: layers, shapes, parameters, multiply-adds, bytes.

        The module runs once on zeros, in evaluation mode and without recording, and is left as it was; see `Summary`.

        Parameters
        ----------
        *input_shapes : int or tuple of int
            With the batch axis, ``(100, 3072)``, or, when the module does not take that, of one example, ``(3072,)``.
            One for each array that `forward` takes.
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

        return summarize(self, input_shapes, dtype)

    def _facts(self) -> str:
        """Return what stands in brackets behind the class in the module's text."""
        return ", ".join(options(self))

    def __repr__(self) -> str:
        """Return the tree of modules inside, with their options and the shapes of their parameters."""
        return module_text(self, _KINDS)


_KINDS = (Parameter, Module)


def _inside(path: str, item: Any) -> Iterator[tuple[str, Any]]:
    """Yield a parameter, or a module and all modules and parameters inside, with their paths."""
    return contents(path, item, _KINDS, set()) if isinstance(item, Module) else iter([(path, item)])


def _name(path: str, item: Any) -> None:
    if isinstance(item, Module):
        vars(item)["_label"] = path
    elif item.name != path:
        item.name = path


def _innermost_first(module: Module, seen: set[Module]) -> Iterator[Module]:
    """Yield every module inside, each after those inside it, and then `module`."""
    if module in seen:
        return
    seen.add(module)
    for key, value in vars(module).items():
        for _, item in walk_state(key, value, _KINDS):
            if isinstance(item, Module):
                yield from _innermost_first(item, seen)
    yield module

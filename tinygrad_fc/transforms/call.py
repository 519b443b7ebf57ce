"""One call of a transformed function: its arguments as leaves, its result, and how results are handed back."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..engine.backward import gradients
from ..engine.dispatch import functions
from ..engine.node import MODE, OFF, recording, tick
from ..engine.tensor import Tensor, constant
from .structure import beside, change, filled, leaves
from .tape import needs_gradient, outside, own_leaf

ArgNums = int | tuple[int, ...] | list[int] | None


class Call:
    """A function called on tensors of its own in place of the arguments that it is differentiated with respect to.

    Attributes
    ----------
    chosen : object
        The differentiated arguments, as they were given: the structure that derivatives have.
    given, inputs : list
        The leaves of `chosen`, and the tensors in their place.
    value, outputs
        What the function returned, and its leaves.
    aux : object
        What it returned beside (``has_aux``).
    recorded : bool
        Whether results are recorded, and tensors all: an argument needs a gradient, or what the function returned
        depends on another tensor from outside that does.
    """

    def __init__(
        self, who: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any],
        argnums: ArgNums, has_aux: bool = False, scalar: bool = False,
    ) -> None:  # fmt: skip
        self.who, self.has_aux = who, has_aux
        places = _places(who, argnums, len(args))
        self.silent = MODE.get() is OFF
        start = tick()
        self.given: list[Any] = []
        self.inputs: list[Tensor] = []
        self.paths: list[str] = []
        replaced = list(args)
        arrays = [leaf.dtype for place in places for leaf in leaves(args[place]) if hasattr(leaf, "dtype")]
        # A Python number widens nothing, as in NumPy: beside float32 arrays it is float32 too.
        self._numbers = np.result_type(*arrays, 1.0) if arrays and all(d.kind == "f" for d in arrays) else np.float64
        for place in places:
            replaced[place] = change(self._input, args[place], f"argument {place}")
        picked = [args[place] for place in places]
        self.chosen = picked[0] if isinstance(argnums, int | np.integer) else tuple(picked)
        with recording() if self.silent else contextlib.nullcontext():
            result = function(*replaced, **kwargs)
        self.value, self.aux = self._parted(result)
        self.outputs: list[Tensor] = leaves(self.value)
        for output in self.outputs:
            self._check(output, scalar)
        if scalar and (len(self.outputs) != 1 or self.outputs[0] is not self.value):
            raise TypeError(
                f"{who}: the function returned {type(self.value).__name__}, expected one tensor, a scalar"
                f"{'' if has_aux else '; beside it, it may return more with has_aux=True: (loss, more)'}."
            )
        results = [*self.outputs, *[leaf for leaf in leaves(self.aux) if isinstance(leaf, Tensor)]]
        linked = any(needs_gradient(leaf) for leaf in self.given)
        self.recorded = not self.silent and (linked or bool(outside(results, start)))

    def _input(self, leaf: Any, path: str) -> Tensor:
        dtype = leaf.dtype if isinstance(leaf, (Tensor, np.ndarray, np.generic)) else None
        if type(leaf) is float:
            dtype = np.dtype(self._numbers)
        if dtype is None or dtype.kind != "f":
            what = f"{type(leaf).__name__}{f' of dtype {dtype}' if dtype is not None else f' {leaf!r:.60}'}"
            raise TypeError(
                f"{self.who}: {path} is {what}, expected floating-point numbers, arrays or tensors, or dicts, lists, "
                f"tuples and dataclasses of them. Write 3.0 instead of 3; what is not to be differentiated goes into "
                f"an argument that argnums does not name."
            )
        if needs_gradient(leaf) and not self.silent:
            own: Tensor = functions.same(leaf)  # an input of its own, and the way on to the one that was given
        else:
            # A copy: what is written into the caller's array later does not reach what the rules read.
            array = np.array(leaf.data if isinstance(leaf, Tensor) else leaf, dtype)
            own = own_leaf(array, leaf.name if isinstance(leaf, Tensor) else None)
        self.given.append(leaf)
        self.inputs.append(own)
        self.paths.append(path)
        return own

    def _parted(self, result: Any) -> tuple[Any, Any]:
        if not self.has_aux:
            return result, None
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"{self.who}: with has_aux=True the function returns a pair (value, aux), given "
                f"{type(result).__name__}{f' of {len(result)}' if isinstance(result, tuple) else ''}."
            )
        return result

    def _check(self, output: Any, scalar: bool) -> None:
        if not isinstance(output, Tensor):
            raise TypeError(
                f"{self.who}: the function returned {type(output).__name__}, expected a tensor, computed from its "
                f"arguments by operations on tensors. float(t), t.item() and t.data leave the graph behind."
            )
        if output.dtype.kind != "f":
            raise TypeError(
                f"{self.who}: the function returned a tensor of dtype {output.dtype}, and only floating-point "
                f"results have a derivative."
            )
        if scalar and output.shape != ():
            raise ValueError(
                f"{self.who}: the function returned a tensor of shape {output.shape}, expected a scalar, of shape (). "
                f"Reduce it, np.sum(...), or take all derivatives of all its elements: jacobian."
            )

    # ---- derivatives

    def pull(self, weights: list[Any], record: bool | None = None) -> list[Tensor]:
        """Return the gradients of the outputs, weighted, with respect to the inputs; zeros without a dependence."""
        pairs = [(out, g) for out, g in zip(self.outputs, weights, strict=True) if needs_gradient(out)]
        if not pairs or not self.inputs:
            return [constant(np.zeros(t.shape, t.dtype)) for t in self.inputs]
        create = self.recorded if record is None else record
        return gradients(
            [out for out, _ in pairs], self.inputs, [g for _, g in pairs], create_graph=create, retain_graph=True
        )

    def slope(self, record: bool | None = None) -> list[Tensor]:
        """Return the gradient of the one output, a scalar."""
        return self.pull([constant(np.ones((), self.outputs[0].dtype))], record)

    def along(self, chosen: Any, what: str) -> list[Tensor]:
        """Return tangents, one for each input, in the structure of the arguments."""
        return self._matched(self.chosen, self.inputs, chosen, what)

    def weights(self, value: Any, what: str) -> list[Tensor]:
        """Return cotangents, one for each output, in the structure of the value."""
        return self._matched(self.value, self.outputs, value, what)

    def _matched(self, tree: Any, models: list[Tensor], other: Any, what: str) -> list[Tensor]:
        found = []
        for model, (path, item) in zip(models, beside(tree, other, f"{self.who}: {what}"), strict=True):
            if needs_gradient(item) and self.silent:
                item = item.detach()
            # Copied: a result may be this very array, and is the caller's to write.
            t = item if isinstance(item, Tensor) else constant(np.array(item))
            if t.dtype.kind not in "biuf":
                raise TypeError(f"{self.who}: {what}{path} has dtype {t.dtype}, expected numbers.")
            if t.shape != model.shape:
                raise ValueError(
                    f"{self.who}: {what}{path} has shape {t.shape}, expected {model.shape}, the shape of what it "
                    f"belongs to."
                )
            found.append(t if t.dtype == model.dtype else t.astype(model.dtype))
        return found

    # ---- handing back

    def like_inputs(self, found: list[Tensor], recorded: bool | None = None) -> Any:
        """Return derivatives in the structure of the arguments, each of its argument's kind."""
        keep = self.recorded if recorded is None else recorded
        return self.arranged([t if keep else handed(t, leaf) for t, leaf in zip(found, self.given, strict=True)])

    def arranged(self, found: list[Any]) -> Any:
        """Return `found`, one for each input, in the structure of the arguments."""
        return filled(self.chosen, iter(found))

    def like_value(self, found: list[Tensor], recorded: bool | None = None) -> Any:
        """Return what belongs to the outputs in the structure of the value: tensors, arrays or numbers, as given."""
        keep = self.recorded if recorded is None else recorded
        values: Iterator[Any] = iter([t if keep else handed(t, self._model()) for t in found])
        return filled(self.value, values)

    def _model(self) -> Any:
        """Return the argument whose kind the value takes: a tensor before an array before a number."""
        for kind in (Tensor, np.ndarray):
            for leaf in self.given:
                if isinstance(leaf, kind):
                    return leaf
        return self.given[0] if self.given else np.empty(())

    def with_aux(self, *results: Any) -> Any:
        """Return the results, followed by what the function returned beside its value."""
        if self.has_aux:
            model = self._model()
            lift = not self.recorded
            off = change(lambda leaf, _: handed(leaf, model) if lift and isinstance(leaf, Tensor) else leaf, self.aux)
            results = (*results, off)
        return results[0] if len(results) == 1 else results


def handed(t: Tensor, model: Any) -> Any:
    """Return the values of `t`, off the tape: as a tensor, an array or a number, whichever `model` is."""
    array = np.array(t.data)
    if isinstance(model, Tensor):
        return constant(array)
    if isinstance(model, np.ndarray) or array.ndim:
        return array
    return array[()] if isinstance(model, np.generic) else array.item()


def _places(who: str, argnums: ArgNums, count: int) -> list[int]:
    """Return the places of the differentiated arguments among `count` positional ones."""
    listed = range(count) if argnums is None else [argnums] if isinstance(argnums, int | np.integer) else argnums
    for place in listed:
        if not -count <= place < count:
            raise ValueError(
                f"{who}: argnums names argument {place}, and the function was called with {count} positional "
                f"{'argument' if count == 1 else 'arguments'}. Keyword arguments are passed on and not differentiated."
            )
    places = [place % count for place in listed]
    if len(set(places)) < len(places):
        raise ValueError(f"{who}: argnums {argnums} names an argument twice.")
    return places


def check_options(who: str, function: Any, argnums: Any, everything: bool = False) -> None:
    """Raise TypeError unless `function` can be called and `argnums` is an integer or a sequence of them."""
    if not callable(function):
        raise TypeError(f"{who}: given {type(function).__name__}, expected a function: {who}(f).")
    if everything and argnums is None:
        return
    listed = argnums if isinstance(argnums, (tuple, list)) else [argnums]
    if not listed or any(not isinstance(place, int | np.integer) or isinstance(place, bool) for place in listed):
        raise TypeError(f"{who}: argnums is {argnums!r}, expected an integer or a tuple of integers.")


def named(who: str, function: Callable[..., Any], made: Callable[..., Any]) -> Callable[..., Any]:
    """Return `made` with a name that says which transform of which function it is."""
    functools.update_wrapper(made, function, assigned=("__module__", "__doc__"), updated=())
    made.__name__ = made.__qualname__ = f"{who}({getattr(function, '__name__', type(function).__name__)})"
    return made

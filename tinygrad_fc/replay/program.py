"""Program: one recording of a step, run again on other arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from sys import getrefcount
from typing import Any

import numpy as np

from ..engine.node import Node
from ..engine.tensor import Tensor
from ..nn import generators
from .lower import Lowered
from .results import filled, shape_of
from .trace import Trace, Unfit


class Program:
    """One recording of a step, ready to be run on other arrays of the same shapes.

    Parameters
    ----------
    lowered : Lowered
    trace : Trace
    leaves : dict of Tensor to ndarray or None
        The parameters in reach that are trained, with the gradient that each had before the step.
    every : iterable of Tensor
        All parameters in reach, those that are frozen as well.
    result : object
        What the step returned.
    """

    def __init__(
        self, lowered: Lowered, trace: Trace, leaves: Mapping[Tensor, np.ndarray | None], every: Iterable[Tensor],
        result: Any,
    ) -> None:  # fmt: skip
        self._instructions, self._labels, self._draws = lowered.instructions, lowered.labels, lowered.draws
        self._averages, self._calls = lowered.averages, lowered.calls
        self._outside: Callable[[np.ndarray, int], bool] = lowered.instructions.outside
        self._leaves = [(leaf, leaf._array, leaf in leaves) for leaf in every]
        self._prepare: list[Callable[[], None]] = []
        self._updates: list[Any] = []  # those that an instruction cannot do
        self._plain: list[Any] = []
        for optimizer in trace.updates:
            # Instructions run before what is left to Python, so the first optimizer that needs it ends them.
            if self._updates or not lowered.covers(optimizer) or not optimizer.is_plain():
                self._updates.append(optimizer)
                continue
            prepare: list[Callable[[], None]] = []
            if lowered.calls:  # one that fails comes before the step is counted
                lowered.instructions.call(functools.partial(_run_all, prepare))
            else:
                prepare = self._prepare
            prepare.append(optimizer.instruct(lowered.instructions))
            self._plain.append(optimizer)
        lowered.instructions.seal()
        self._places = [lowered.instructions.places_of(array) for array in lowered.given]
        self._arrays: list[np.ndarray] = list(lowered.given)
        self._copies = [(place, buffer) for (place, _), buffer in lowered.copies.items()]
        # What is handed out is a view whose base is no array, so that views of it hold itself, and can be counted.
        handed = {node: np.asarray(d.data) for node, d in lowered.gradients.items()}
        self._result = shape_of(result, lowered, handed)
        # `tg.gradients` leaves ``grad`` alone.
        fills = trace.filled or any(node.grad is not before for node, before in trace.before.items())
        self._gradients: list[tuple[Any, np.ndarray]] = []
        self._gone: list[Any] = []  # whose grad is None after the step
        self._empty: list[Any] = []  # of whose earlier gradients the recording tells nothing
        for leaf, before in leaves.items():
            node: Any = leaf.node
            filled = fills and node in handed
            if filled:
                self._gradients.append((node, handed[node]))
            if filled and node.grad is None or not filled and before is not None and node.grad is None:
                self._gone.append(node)
            if before is None:
                self._empty.append(node)
        self._watched: list[tuple[np.ndarray, Any]] = [(d, node) for node, d in handed.items()]
        del handed
        self._counts = [getrefcount(d) for d, _ in self._watched]

    def takes(self, arrays: Sequence[np.ndarray]) -> bool:
        """Take the labels; whether they are classes."""
        for place, labels, count in self._labels:
            labels[...] = arrays[place]
            if self._outside(labels, count):
                return False
        return True

    def fits(self) -> bool:
        """Whether the parameters are where they were, and nobody holds gradients."""
        for leaf, array, trained in self._leaves:
            if leaf._array is not array or (type(leaf.node) is Node) is not trained:
                return False
        for node in self._empty:
            if node.grad is not None:
                return False
        # One more holds an array that is the grad: whoever else does would see it overwritten.
        held = [getrefcount(d) - (node.grad is d) for d, node in self._watched]
        if held != self._counts:
            return False
        for optimizer in self._plain:
            if not optimizer.is_plain():
                return False
        return True

    def run(self, arrays: Sequence[np.ndarray]) -> Any:
        """Run the step, and return what it returned when it was recorded, with new values.

        Raises
        ------
        Unfit
            Where an operation raises: all is as before, and the step, run as it is written, raises or handles it.
        """
        before = self._state() if self._calls else None
        for place, buffer in self._copies:
            if any(np.may_share_memory(arrays[place], running) for running in self._averages):
                raise Unfit("an argument is a running average, which moves")
            with np.errstate(all="ignore"):  # as all of a replay
                buffer[...] = arrays[place]
        for module, key in self._draws:
            key[:] = module.draw_key()
        instructions, held = self._instructions, self._arrays
        for place, array in enumerate(arrays):
            if array is not held[place]:
                instructions.point(self._places[place], array)
                held[place] = array
        _run_all(self._prepare)
        try:
            instructions.run()
        except Exception as error:  # of a call, which comes before the update
            for put, value in before or ():
                put(value)
            raise Unfit(f"an operation raises {type(error).__name__}") from error
        for node, d in self._gradients:
            node.grad = d
        for optimizer in self._updates:
            optimizer.step()
        for node in self._gone:
            node.grad = None
        return filled(self._result)

    def _state(self) -> list[tuple[Callable[[Any], object], Any]]:
        """Return what an operation that fails must leave as it was: generators and running averages."""
        drawing = {id(module._generator): module._generator for module, _ in self._draws}
        kept: list[tuple[Callable[[Any], object], Any]] = [
            (functools.partial(generators.write, generator), generators.read(generator))
            for generator in drawing.values()
        ]
        return kept + [(functools.partial(np.copyto, running), running.copy()) for running in self._averages]


def _run_all(calls: Sequence[Callable[[], None]]) -> None:
    for call in calls:
        call()

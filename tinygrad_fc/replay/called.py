"""Calls: operations that have no instruction, run in a replay as their own functions and rules."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..engine.dispatch import functions
from ..engine.node import Node
from ..engine.operation import Op
from ..engine.pull import fit
from ..engine.record import plan_of

_ROOM = f"{__name__.split('.')[0]}."
# Where the operations stand that can be called again: they make new arrays, whose shapes do not depend on values.
_PLACES = frozenset(
    _ROOM + name for name in (
        "ops.elementwise", "ops.linalg", "ops.padding", "ops.reduction", "ops.rounding", "ops.scans",
        "fused.activation", "fused.affine", "fused.batch_norm", "fused.binary_cross_entropy", "fused.cross_entropy",
        "fused.l2_penalty", "fused.layer_norm", "fused.likelihood", "fused.maxout", "fused.regression_loss",
        "fused.smooth_activation", "fused.softmax", "fused.softmax_loss", "fused.svm_loss",
    )
)  # fmt: skip


def can_call(op: Op) -> bool:
    """Whether an operation gives the same of the same arguments, in arrays of its own, of shapes that they tell."""
    return op.module in _PLACES and op.variadic is None and not op.beside


class Arrival(NamedTuple):
    """Where a gradient goes.

    Attributes
    ----------
    place : int
        Of the argument, among those that the operation has rules for.
    parent : Node
    held : ndarray or Called
        What takes it: an array of the program, or the operation that reads it next, which gets it as it is.
    first : bool
        Whether it is the first there: others are added.
    """

    place: int
    parent: Node
    held: Any
    first: bool


class Called:
    """One operation of a recorded step: its function, and its rules, on arrays of the program.

    Parameters
    ----------
    op : Op
    values : sequence
        Its arguments: arrays of the program, and what is no array as it is.
    out : ndarray
        Takes the result.
    node : Node or None
        Of the recording; None where nothing was recorded.
    places : container of int
        The arguments, among those with rules, that get gradients.
    """

    def __init__(
        self, op: Op, values: Sequence[Any], out: np.ndarray, node: Node | None, places: Container[int]
    ) -> None:
        self._op, self._values, self._out, self._node = op, list(values), out, node
        self._saved: tuple[Any, ...] = ()
        self.g: Any = None  # the gradient of the result, where no array of the program holds it
        self._shapes: list[tuple[int, ...]] = []
        if node is not None:
            shaped, self._chosen = plan_of(op, tuple([place in places for place in range(len(op.differentiable))]))
            self._shapes = [np.shape(self._values[n]) for n in shaped]

    def forward(self) -> None:
        """Compute the result, and keep what the rules read."""
        op, values, out = self._op, self._values, self._out
        rest: Any = ()
        try:
            if op.elementwise:
                op.function(*values, out=out)
            else:
                result = op.call(values)
                if op.leaves:
                    result, *rest = result
                np.copyto(out, result, casting="no")
        except Exception as error:
            raise functions.refusals().failed(op, error, values) from error
        if self._node is not None:
            self._saved = self._chosen([*values, out, *rest, None, *self._shapes])

    def backward(self, g: np.ndarray | None, arrivals: Sequence[Arrival]) -> None:
        """Run the rules on the gradient of the result, and put what they give where it goes."""
        op, saved, self._saved = self._op, self._saved, ()
        node: Any = self._node
        if g is None:
            g, self.g = self.g, None
        if op.pull_via is not None:
            g = op.pull_via(g, saved)
        for place, parent, held, first in arrivals:
            rule, pick = op.pulls[place], op.picks[place]
            d: Any = rule(g, saved if pick is None else saved[pick])
            if type(d) is not np.ndarray or d.shape != parent.kind[0] or d.dtype is not parent.kind[1]:
                d = fit(d, parent, node, place)
            if type(held) is Called:
                held.g = d if first else held.g + d
            elif first:
                np.copyto(held, d)
            else:
                np.add(held, d, held)

"""GraphNode: one box of the graph, and its facts in short."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine.node import Constant, Node


@dataclass(slots=True)
class GraphNode:
    """One box of the graph.

    Attributes
    ----------
    id : int
        Position in ``Graph.nodes``, oldest first.
    kind : {"op", "parameter", "constant"}
        An operation's result, a leaf that needs a gradient, or an input that needs none.
    op : str or None
        Name of the operation.
    name : str or None
        Name of the tensor.
    shape, dtype
        Of the array.
    inputs : list of (str, int)
        Argument name and id of each input box.
    numbers : dict
        Arguments that are Python numbers, by argument name.
    static : dict
        Arguments that take no gradient (axes, indices, labels), by name, where they are not the default.
    module : tuple of str
        Path of the module that made it, outermost first.
    calls : tuple of int
        For each module of the path, the clock's reading when it was called: two calls of one module differ here.
    line : str or None
        The line of the user's code that ran it, ``file:number``, where ``tg.observe()`` watched.
    mark : str or None
        What is wrong with it: the error of an operation that failed, or the words of a gradient check.
    inside : int or None
        Id of the fused operation that it is a part of, in a graph that has opened it.
    variable : str or None
        Name of the user's variable that holds the tensor.
    facts : dict
        What the tape tells of itself and what observers measured: ``saved_bytes``, ``multiply_adds``,
        ``forward_seconds``, ``backward_seconds``, ``source``, ``value``, ``gradient``, ``backward``. A key that is
        absent is not known. See `Graph.to_dict`.
    node : Node or Constant
        The entry of the tape.
    """

    id: int
    kind: str
    op: str | None
    name: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    node: Node | Constant
    inputs: list[tuple[str, int]] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    static: dict[str, Any] = field(default_factory=dict)
    module: tuple[str, ...] = ()
    calls: tuple[int, ...] = ()
    line: str | None = None
    mark: str | None = None
    inside: int | None = None
    variable: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str | None:
        """The name that a user or a module gave, else the variable that holds the tensor, else None."""
        return self.name or self.variable

    @property
    def failed(self) -> bool:
        """Whether it is an operation that raised, and so has no result: its shape is (), its dtype void."""
        return self.kind == "op" and self.dtype.kind == "V"

    def call(self, names: Callable[[int], str]) -> list[str]:
        """Return the arguments of an operation as text, ``x=#1``, in the order in which it takes them.

        Parameters
        ----------
        names : callable
            Returns what an input is called, by its id.
        """
        texts = {argument: names(source) for argument, source in self.inputs}
        texts |= {key: brief(value) for key, value in (self.numbers | self.static).items()}
        op = self.node.op if isinstance(self.node, Node) else None
        order = {key: place for place, key in enumerate(op.arguments if op is not None else ())}
        # Of many operands, ``arrays[0]`` and so on, the order is that of the inputs.
        return [f"{key}={texts[key]}" for key in sorted(texts, key=lambda key: order[key.partition("[")[0]])]


def called_with(node: Node, given: Mapping[str, Any]) -> list[Any]:
    """Return the values of all arguments of the call behind a node: of those that take a gradient `given`, by name."""
    assert node.op is not None  # a leaf was not called
    op, values = node.op, {**(node.info or {}).get("static", {}), **given}
    if op.variadic is not None and op.variadic in op.differentiable:
        many = op.parent_names(len(node.parents))[len(op.differentiable) - 1 :]
        values[op.variadic] = tuple([given.get(name) for name in many])
    return [values.get(name, op.defaults.get(name)) for name in op.arguments]


def brief(value: Any) -> str:
    """Return a static argument in a few characters: arrays by their shape, everything else as it is written."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}" if value.size > 4 else str(value.tolist())
    if isinstance(value, slice):
        parts = ["" if part is None else str(part) for part in (value.start, value.stop)]
        return ":".join(parts) + (f":{value.step}" if value.step is not None else "")
    if isinstance(value, tuple):
        inner = ", ".join(map(brief, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    text = "..." if value is Ellipsis else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."

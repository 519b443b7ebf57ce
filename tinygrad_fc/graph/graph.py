"""Graph: the tape behind a tensor as data. Drawings, checks and exporters read it; nothing else walks parents."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np

from ..engine.dispatch import functions
from ..engine.node import Constant, Node, leaf, recording
from ..engine.tensor import Tensor


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
    line : str or None
        The line of the user's code that ran it, ``file:number``, where ``tg.observe()`` watched.
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
    line: str | None = None


class Graph:
    """The computation behind one or several tensors.

    Parameters
    ----------
    *outputs : Tensor
        What was computed. A graph that backward has freed is still drawn.

    Attributes
    ----------
    nodes : list of GraphNode
        Oldest first, so inputs come before what uses them.
    outputs : list of int
        Ids of the outputs.

    Raises
    ------
    TypeError
        If an output is no tensor, or has no graph because nothing in it needs a gradient.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
    >>> print(tg.Graph((w * 3).sum()))
     id  what      name  shape  inputs
      0  leaf      w     (2,)
      1  multiply        (2,)   x=0 y=3
      2  sum             ()     a=1
    """

    def __init__(self, *outputs: Tensor) -> None:
        roots: list[Node] = []
        for position, output in enumerate(outputs):
            if not isinstance(output, Tensor):
                raise TypeError(
                    f"Graph: output {position} is {type(output).__name__}, expected a Tensor. Several are given one by "
                    f"one: Graph(a, b)."
                )
            if type(output.node) is not Node:
                raise TypeError(
                    f"Graph: output {position}, {output._label()}, has no graph: no input of it needs a gradient "
                    f"(requires_grad=True), or it was computed under no_grad()."
                )
            roots.append(output.node)
        if not roots:
            raise TypeError("Graph: given no output, expected at least one Tensor.")
        found: dict[Any, None] = dict.fromkeys(roots)
        stack: list[Any] = list(roots)
        constants: list[Constant] = []
        while stack:
            for parent in stack.pop().parents:
                if type(parent) is Node and parent not in found:
                    found[parent] = None
                    stack.append(parent)
                elif type(parent) is Constant and parent not in found:
                    found[parent] = None
                    constants.append(parent)
        tape = sorted((node for node in found if type(node) is Node), key=attrgetter("number"))
        # Leaves first: their number changes when an optimizer writes them, their place in the picture should not.
        leaves, results = [n for n in tape if n.op is None], [n for n in tape if n.op is not None]
        ordered: list[Any] = [*constants[::-1], *leaves, *results]
        self._ids = {entry: position for position, entry in enumerate(ordered)}
        self.nodes = [self._describe(position, entry) for position, entry in enumerate(ordered)]
        self.outputs = [self._ids[root] for root in roots]
        self._find_modules(tape)

    def _describe(self, position: int, entry: Any) -> GraphNode:
        if type(entry) is Constant:
            return GraphNode(position, "constant", None, entry.name, entry.shape, entry.dtype, entry)
        kind, name = ("parameter", None) if entry.op is None else ("op", entry.op.name)
        box = GraphNode(position, kind, name, entry.name, entry.shape, entry.dtype, entry)
        if entry.op is not None:
            for argument, parent in zip(entry.op.parent_names(len(entry.parents)), entry.parents, strict=True):
                if type(parent) in (Node, Constant):
                    box.inputs.append((argument, self._ids[parent]))
                elif parent is not None:
                    box.numbers[argument] = parent
            info, defaults = entry.info or {}, entry.op.defaults
            static, box.line = info.get("static", {}), info.get("line")
            box.static = {k: value for k, value in static.items() if k not in defaults or value is not defaults[k]}
        return box

    def _find_modules(self, tape: list[Node]) -> None:
        """Give each operation the path of modules that were running when it was recorded (see ``Module.__call__``)."""
        # A module that returns several tensors stands on each of them: the newest that is in the graph ends its span.
        ends: dict[tuple[int, str], int] = {}
        for node in tape:
            scopes = node.info.get("scopes", ()) if node.info else ()
            ends |= {(start, label): node.number for label, start in zip(scopes[::2], scopes[1::2], strict=True)}
        spans = sorted([(start, end, label) for (start, label), end in ends.items()], key=lambda s: (s[0], -s[1]))
        position, running = 0, list[tuple[int, int, str]]()
        labels: dict[int, tuple[str, ...]] = {}  # the full paths, which parameters are named after
        for node in (node for node in tape if node.op is not None):
            while position < len(spans) and spans[position][0] < node.number:
                running.append(spans[position])
                position += 1
            running = [span for span in running if span[1] >= node.number]
            box = self.nodes[self._ids[node]]
            labels[box.id] = tuple(label for _, _, label in running)
            box.module = _relative(labels[box.id])
        # A parameter stands inside the module that it is named after, or else inside the only one that uses it.
        users: dict[int, set[tuple[str, ...]]] = {}
        for box in self.nodes:
            for _, source in box.inputs:
                users.setdefault(source, set()).add(labels[box.id])
        for box in self.nodes:
            if box.kind == "parameter":
                paths = users.get(box.id, set())
                owners = [path for path in paths if path and (box.name or "").startswith(f"{path[-1]}.")]
                box.module = _relative(owners[0] if owners else next(iter(paths)) if len(paths) == 1 else ())

    def expand(self, node: GraphNode | int) -> Graph:
        """Return the graph of a fused operation composed from primitives.

        The composition runs on arrays of ones of the recorded shapes, so it can be opened after backward too.

        Parameters
        ----------
        node : GraphNode or int
            A box of this graph, or its id.

        Raises
        ------
        ValueError
            If the box is no fused operation.
        """
        box = self.nodes[node] if isinstance(node, int) else node
        entry = box.node
        if type(entry) is not Node or entry.op is None or entry.op.compose is None:
            raise ValueError(
                f"expand: {box.op or box.name or 'the leaf'} is no fused operation; only these are composed of others."
            )
        arguments: dict[str, Any] = dict(box.static)
        for name, parent in zip(entry.op.differentiable, entry.parents, strict=True):
            arguments[name] = self._stand_in(name, parent)
        with recording():
            values = [arguments.get(name, entry.op.defaults.get(name)) for name in entry.op.arguments]
            return Graph(entry.op.call(values, entry.op.compose))

    @staticmethod
    def _stand_in(argument: str, parent: Any) -> Any:
        if type(parent) not in (Node, Constant):
            return parent
        result = Tensor()
        result._array = np.ones(parent.shape, parent.dtype)
        name = parent.name or argument
        result.node = leaf(result._array, name) if type(parent) is Node else Constant(name, parent.shape, parent.dtype)
        return result

    def to_dict(self) -> dict[str, Any]:
        """Return the graph as plain lists, dicts, strings and numbers (for JSON)."""
        return {
            "outputs": list(self.outputs),
            "nodes": [
                {
                    "id": box.id, "kind": box.kind, "op": box.op, "name": box.name, "shape": list(box.shape),
                    "dtype": str(box.dtype), "module": list(box.module), "line": box.line,
                    "inputs": [{"argument": argument, "id": source} for argument, source in box.inputs],
                    "numbers": dict(box.numbers), "static": {key: brief(value) for key, value in box.static.items()},
                }
                for box in self.nodes
            ],
        }  # fmt: skip

    def _repr_svg_(self) -> str | None:
        """Show the graph in a notebook."""
        return functions.notebook_svg(self)

    def __len__(self) -> int:
        return len(self.nodes)

    def __str__(self) -> str:
        return str(functions.graph_text(self))

    def __repr__(self) -> str:
        return f"<Graph of {(n := sum(b.kind == 'op' for b in self.nodes))} operations, {len(self.nodes) - n} inputs>"


def _relative(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return each module's name within the module around it: ``("Net", "first", "first.fc")`` ends with ``"fc"``."""
    return tuple([
        label.removeprefix(f"{around}.") for around, label in zip(("", *labels), labels)  # noqa: B905  # one longer
    ])


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

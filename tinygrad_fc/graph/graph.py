"""Graph: the tape behind a tensor as data. Drawings, checks and exporters read it; nothing else walks parents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any

import numpy as np

from ..engine.dispatch import functions
from ..engine.node import Constant, Node, leaf, recording
from ..engine.tensor import Tensor
from .box import GraphNode, called_with
from .facts import learn
from .figures import plural
from .names import variable_names


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
        roots = self._roots(outputs)
        self._read(roots)
        self.outputs = [self._ids[root] for root in roots]
        self._learn(set(self.outputs))

    @classmethod
    def of(cls, nodes: Iterable[Node], marks: Mapping[Node, str] | None = None, bare: bool = False) -> Graph:
        """Return the graph of whatever is on the tape, such as what ran before an exception.

        Parameters
        ----------
        nodes : iterable of Node
            They and all that leads to them; those that nothing else uses are the outputs.
        marks : mapping of Node to str, optional
            What is wrong with a node, for `GraphNode.mark`.
        bare : bool
            Whether the boxes are wanted without facts and without the user's names for them, which take longest.

        Raises
        ------
        ValueError
            If no node is given.
        """
        graph = cls.__new__(cls)
        graph._read(list(nodes))
        if not graph.nodes:
            raise ValueError("Graph.of: given no node, so there is nothing to draw: no operation was recorded.")
        if not bare:
            graph._learn(None)
        used = {source for box in graph.nodes for _, source in box.inputs}
        graph.outputs = [box.id for box in graph.nodes if box.id not in used]
        for node, mark in (marks or {}).items():
            graph.nodes[graph._ids[node]].mark = mark
        return graph

    @staticmethod
    def _roots(outputs: tuple[Any, ...]) -> list[Node]:
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
        return roots

    def _read(self, roots: list[Node]) -> None:
        """Describe everything that leads to `roots`, oldest first."""
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
        self._find_modules(tape)

    def _learn(self, starts: set[int] | None) -> None:
        """Add what is known of the boxes, and which variables of the user's code hold what."""
        learn(self.nodes, starts)
        for entry, name in variable_names(self._ids).items():
            self.nodes[self._ids[entry]].variable = name

    def _describe(self, position: int, entry: Any) -> GraphNode:
        info = getattr(entry, "info", None) or {}
        kind = "constant" if type(entry) is Constant else "parameter" if entry.op is None else "op"
        name = entry.op.name if kind == "op" else None
        box = GraphNode(position, kind, name, entry.name, entry.shape, entry.dtype, entry)
        if kind == "op":
            for argument, parent in zip(entry.op.parent_names(len(entry.parents)), entry.parents, strict=True):
                if type(parent) in (Node, Constant):
                    box.inputs.append((argument, self._ids[parent]))
                elif parent is not None:
                    box.numbers[argument] = parent
            static, defaults, box.line = info.get("static", {}), entry.op.defaults, info.get("line")
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
            labels[box.id] = tuple([label for _, _, label in running])
            box.module, box.calls = _relative(labels[box.id]), tuple([start for start, _, _ in running])
        users: dict[int, list[int]] = {}
        for box in self.nodes:
            for _, source in box.inputs:
                users.setdefault(source, []).append(box.id)
        for box in self.nodes:
            if box.kind == "parameter" and box.id in users:
                home = self._home(box.name or "", users[box.id], labels)
                box.module, box.calls = _relative(home[0]), home[1]

    def _home(self, name: str, users: list[int], labels: dict[int, tuple[str, ...]]) -> tuple[Any, tuple[int, ...]]:
        """Return where a parameter stands: labels and calls of a module.

        That is the one call of the module that it is named after, or else the innermost call around all its users.
        Then no edge leads back in time, which would make the picture of folded modules a circle.
        """
        first = self.nodes[users[0]]  # users are in order of time
        if labels[first.id] and name.startswith(f"{labels[first.id][-1]}."):
            depth = len(first.calls)
            others = [self.nodes[user] for user in users if self.nodes[user].calls[:depth] != first.calls]
            if all(labels[box.id][:depth] != labels[first.id] for box in others):
                return labels[first.id], first.calls
        calls = [self.nodes[user].calls for user in users]
        depth = 0
        while all(len(path) > depth and path[depth] == calls[0][depth] for path in calls):
            depth += 1
        return labels[first.id][:depth], calls[0][:depth]

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
            If it is no box of this graph, or no fused operation.
        """
        if not isinstance(node, GraphNode):
            ids = range(len(self.nodes))
            if isinstance(node, bool) or node not in ids:
                raise ValueError(f"expand: {node!r} is no box of this graph: expected one, or its id, 0 to {ids[-1]}.")
            node = self.nodes[node]
        if node.id >= len(self.nodes) or self.nodes[node.id].node is not node.node:
            what = node.op or node.name or node.kind
            raise ValueError(f"expand: box {node.id}, {what}, is of another graph: expand it there.")
        return self._composed(node)[0]

    def _composed(self, box: GraphNode) -> tuple[Graph, dict[int, int]]:
        """Return the graph of a fused operation, and which of this graph's boxes stand for its leaves."""
        entry = box.node
        if type(entry) is not Node or entry.op is None or entry.op.compose is None:
            raise ValueError(
                f"expand: {box.op or box.name or 'the leaf'} is no fused operation; only these are composed of others."
            )
        arguments: dict[str, Any] = dict(box.numbers)
        given: dict[Any, int] = {}
        for name, source in box.inputs:
            arguments[name] = self._stand_in(name, self.nodes[source].node)
            given[arguments[name].node] = source
        with recording(), np.errstate(all="ignore"):
            inner = Graph.of([entry.op.call(called_with(entry, arguments), entry.op.compose).node], bare=True)
        return inner, {inner._ids[node]: id for node, id in given.items() if node in inner._ids}

    @staticmethod
    def _stand_in(argument: str, parent: Any) -> Tensor:
        result = Tensor()
        result._array = np.ones(parent.shape, parent.dtype)
        name = parent.name or argument
        result.node = leaf(result._array, name) if type(parent) is Node else Constant(name, parent.shape, parent.dtype)
        return result

    def opened(self, which: str | Iterable[int | str] = "all") -> Graph:
        """Return this graph with fused operations opened: what they are composed of stands behind the other boxes.

        The boxes of this graph keep their ids; those inside a fused operation have its id as ``inside``, read the boxes
        that it reads, and the last of them computes its result.

        Parameters
        ----------
        which : "all" or iterable of int or str
            Ids of boxes, or names of operations.

        Raises
        ------
        ValueError
            If an id or a name is that of no fused operation of this graph.
        """
        fused = {box.id: box for box in self.nodes if type(box.node) is Node and box.node.op and box.node.op.compose}
        chosen = set(fused) if which == "all" else set[int]()
        for item in () if which == "all" else [which] if isinstance(which, str) else which:
            found = {id for id, box in fused.items() if item in (id, box.op)}
            if not found:
                names = ", ".join(sorted({str(box.op) for box in fused.values()})) or "none"
                raise ValueError(f"expand: {item!r} is no fused operation of this graph; it has: {names}.")
            chosen |= found
        graph = Graph.__new__(Graph)
        graph.nodes = [replace(box, facts=dict(box.facts)) for box in self.nodes]
        graph.outputs, graph._ids = list(self.outputs), self._ids
        known: dict[Any, tuple[Graph, dict[int, int]]] = {}
        for box in (fused[id] for id in sorted(chosen)):
            inputs = [(name, self.nodes[source]) for name, source in box.inputs]
            alike = [(name, source.kind == "constant", source.shape, source.dtype) for name, source in inputs]
            same = [[other for other, (_, source) in enumerate(box.inputs) if source == at] for _, at in box.inputs]
            key = (box.op, str(alike), str(same), str(box.numbers), str(box.static))
            if key not in known:
                inner, given = self._composed(box)
                places = [source for _, source in box.inputs]
                known[key] = inner, {id: places.index(outer) for id, outer in given.items()}
            inner, places_of = known[key]
            ids = {id: box.inputs[place][1] for id, place in places_of.items()}
            for part in inner.nodes:
                if part.id not in ids:
                    ids[part.id] = len(graph.nodes)
                    graph.nodes.append(replace(
                        part, id=ids[part.id], inputs=[(name, ids[source]) for name, source in part.inputs],
                        inside=box.id, facts={}, module=box.module, calls=box.calls,
                    ))  # fmt: skip
        return graph

    def order(self) -> list[int]:
        """Return the ids of the operations in the order in which backward visits them.

        That is the order of what was observed: of several runs, in which each box has its last, one after the other.
        Else it is the engine's: the newest first.
        """
        operations = [box for box in self.nodes if box.kind == "op" and box.inside is None]
        steps = {box.id: box.facts["backward"] for box in operations if "backward" in box.facts}
        if steps:
            return sorted(steps, key=lambda id: (int(steps[id]["run"]), int(steps[id]["order"])))
        return [box.id for box in reversed(operations)]

    def to_dict(self) -> dict[str, Any]:
        """Return the graph as plain lists, dicts, strings and finite numbers, for JSON.

        Returns
        -------
        dict
            ``schema``, a string that changes when a key changes its meaning or goes; ``outputs``, a list of ids; and
            ``nodes``, oldest first, each with the keys below. None stands for what does not apply or is not known. NaN
            and infinities, which JSON has not, are the strings "nan", "inf" and "-inf".

            - ``id``, ``kind`` ("op", "parameter" or "constant"), ``op``, ``name``, ``variable``, ``shape`` (list),
              ``dtype``, ``module`` (list, outermost first), ``line``, ``mark`` and ``inside`` as in `GraphNode`. What
              failed has neither shape nor dtype.
            - ``inputs``: a list of ``{"argument": str, "id": int}``.
            - ``numbers``: arguments that are numbers, by name. ``static``: the other arguments, by name, as short text.
            - ``facts``: what is known of ``saved_bytes`` (int), ``multiply_adds`` (int), ``forward_seconds``,
              ``backward_seconds`` (float), ``source`` (text of the line), ``value`` and ``gradient`` (statistics), and
              ``backward``: ``run``, from 0, the same for what one backward visited; ``order``, the place in it;
              ``freed``, bytes; ``gives``, a list of ``argument``, ``gradient`` and ``total``, the sum with it.
            - Statistics: ``min``, ``max``, ``mean``, ``std``, ``norm``; ``zeros``, the share that is exactly 0;
              ``nonfinite``, a count; ``histogram`` (``low``, ``high``, ``counts``) of the finite numbers of large
              arrays; ``numbers``, nested lists, of small ones.
        """
        from .export import as_dict  # it stands on this file

        return as_dict(self)

    def to_networkx(self) -> Any:
        """Return the graph as a ``networkx.MultiDiGraph``: nodes by id, with the keys of `to_dict` as attributes.

        Edges lead from an input to what uses it and have the attribute ``argument``, which is their key too.

        Raises
        ------
        ImportError
            If networkx is not installed, saying how to install it.
        """
        from .export import as_networkx  # it stands on this file

        return as_networkx(self)

    def _repr_html_(self) -> str | None:
        """Show the graph in a notebook, to open and step through."""
        return functions.notebook_html(self)

    def _repr_svg_(self) -> str | None:
        """Show the graph in an exported notebook."""
        return functions.notebook_svg(self)

    def __len__(self) -> int:
        return len(self.nodes)

    def __str__(self) -> str:
        return str(functions.graph_text(self))

    def __repr__(self) -> str:
        count = sum(box.kind == "op" for box in self.nodes)
        return f"<Graph of {plural(count, 'operation')}, {plural(len(self.nodes) - count, 'input')}>"


def _relative(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return each module's name within the module around it: ``("Net", "first", "first.fc")`` ends with ``"fc"``."""
    return tuple([
        label.removeprefix(f"{around}.") for around, label in zip(("", *labels), labels)  # noqa: B905  # one longer
    ])

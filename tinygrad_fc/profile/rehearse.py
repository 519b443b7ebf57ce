"""rehearse(): the values and the steps of backward of a graph that nobody watched."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np

from ..engine.backward import gradients
from ..engine.node import Constant, Node, recording
from ..engine.operation import Op
from ..engine.tensor import Tensor
from ..graph import Graph, GraphNode
from ..graph.box import called_with
from ..graph.names import namespaces, variables
from ..nn.module import Module
from ..nn.parameter import Parameter
from ..nn.walk import contents
from ..ops.refusals import overwritten
from ..transforms.checkpoint import OP as CHECKPOINT
from ..transforms.tape import stand_in
from .observe import Trace
from .stats import stats

ELEMENTS = 4_000_000  # of all results together
BOXES = 20_000


def rehearse(graph: Graph, *tensors: Tensor, elements: int = ELEMENTS, boxes: int = BOXES) -> str:
    """Find out what the boxes of a graph hold and what backward does with them, without touching anything.

    The engine's own backward runs, from the outputs, which have to be scalars; nothing is freed and no ``grad`` is
    written. Values come from what the tape keeps for its rules and from the user's variables; others are computed
    again where all that an operation reads is known. A function of the user's is not: it may draw random numbers, or
    count its calls. So the value of an operation that is declared elsewhere may stay absent, and a graph with a
    checkpoint, whose rule runs its function again, has no backward here. The facts are put on the boxes of this graph
    alone, where none are: ``value``, ``gradient`` and ``backward``, in which ``freed`` is what a backward would free
    that does not keep the graph.

    Parameters
    ----------
    graph : Graph
        One that was observed with values is left as it is.
    *tensors : Tensor
        Of which the values are known besides: the graph's outputs, say.
    elements, boxes : int
        A larger graph is left alone: so many elements of all results, so many boxes.

    Returns
    -------
    str
        Why backward could not be rehearsed, as a sentence; empty where all went well.
    """
    own = [box for box in graph.nodes if box.inside is None]
    operations = [box for box in own if box.kind == "op"]
    if any("gradient" in graph.nodes[id].facts for id in graph.outputs):  # elsewhere they may be another graph's
        return ""
    size = sum(math.prod(box.shape) for box in operations)
    if size > elements or len(own) > boxes:
        return (
            f"The graph is too large to run backward for its picture ({len(own):,} boxes, {size:,} elements). Watch "
            f"it: with tg.observe(values=True)."
        )
    for box in operations:
        for _, source in box.inputs:
            leaf = graph.nodes[source].node
            if type(leaf) is Node and leaf.op is None and isinstance(box.node, Node) and leaf.number > box.node.number:
                return str(overwritten(leaf, box.node))
    with np.errstate(all="ignore"):
        for id, array in _values(graph, own, tensors).items():
            graph.nodes[id].facts.setdefault("value", stats(array))
    return _steps(graph, own)


# ---- values


def _values(graph: Graph, own: list[GraphNode], tensors: tuple[Tensor, ...]) -> dict[int, Any]:
    """Return the arrays that are known, by the id of the box."""
    ids = {box.node: box.id for box in own}
    held = [*tensors, *[tensor for _, tensor in variables(ids).values()]]
    models = [value for names in namespaces() for _, value in names if issubclass(type(value), Module)]
    seen: set[Any] = set()
    for model in models:
        with contextlib.suppress(ValueError, TypeError):  # of a model whose parameters cannot be listed
            # Not `Module.parameters`: it names what it finds, and two models may share a layer.
            for _, item in contents("", model, (Parameter, Module), seen):
                held += [item] if isinstance(item, Parameter) else []
    known = {ids[tensor.node]: tensor._array for tensor in held if tensor.node in ids}
    for box in own:
        if isinstance(box.node, Node) and box.node.op is not None and box.node.saved is not None:
            sources = dict(box.inputs)
            for key, value in zip(box.node.op.environment, box.node.saved, strict=True):
                found: list[tuple[int | None, Any]]
                if key == "out":
                    found = [(box.id, value)]
                elif key == box.node.op.variadic:
                    found = [(sources.get(f"{key}[{n}]"), item) for n, item in enumerate(value or ())]
                else:
                    found = [(sources.get(key), value)]
                known |= {id: item for id, item in found if id is not None and item is not None}
    for box in own:
        op = box.node.op if isinstance(box.node, Node) else None
        if op is not None and op.proved and box.id not in known and not box.failed:
            array = _again(box, op, box.node, known)
            if array is not None:
                known[box.id] = array
    return known


def _again(box: GraphNode, op: Op, node: Any, known: dict[int, Any]) -> Any:
    """Return what an operation of this package computes from what is known, or None."""
    if not all(source in known for _, source in box.inputs):
        return None
    found: dict[str, Any] = {key: known[source] for key, source in box.inputs}
    found |= {key: value if op.broadcasts else np.asarray(value) for key, value in box.numbers.items()}
    try:
        out = op.call(called_with(node, found))
    except Exception:  # an array that was written into since; the value stays unknown
        return None
    out = np.asarray(out[0] if op.leaves else out)
    return out if out.shape == node.shape and out.dtype == node.dtype else None


# ---- steps


class _Rehearsal(Trace):
    """A trace that writes nothing on the tape."""

    def __init__(self) -> None:
        super().__init__(values=True)
        self.found: dict[Node | Constant, dict[str, Any]] = {}

    def run(self, op: Op, data: list[Any], parents: list[Any]) -> Any:
        """Run what a rule computes with tensors: no part of the graph."""
        return op.call(data)

    def saw(self, op: Op, node: Node | None, out: np.ndarray, data: list[Any]) -> None:
        """Take no note of it."""

    def facts(self, entry: Node | Constant) -> dict[str, Any]:
        """Return the facts of an entry, which are kept here."""
        return self.found.setdefault(entry, {})

    def current(self, entry: Node | Constant, until: int, since: int) -> dict[str, Any]:
        """Return the facts of a leaf, which are kept here."""
        return self.facts(entry)


def _steps(graph: Graph, own: list[GraphNode]) -> str:
    outputs = [graph.nodes[id] for id in graph.outputs]
    failed = next((box for box in own if box.dtype.kind == "V"), None)
    if failed is not None:
        return f"Backward does not run: {failed.op}, which is marked, has no result."
    shaped = next((box for box in outputs if math.prod(box.shape) != 1), None)
    if shaped is not None:
        return (
            f"The result has shape {shaped.shape}, and backward starts by itself from a scalar only: reduce it first, "
            f"t.sum() say."
        )
    piece = next((box for box in own if isinstance(box.node, Node) and box.node.op is CHECKPOINT), None)
    if piece is not None:
        return (
            f"On the way back the checkpointed piece {piece.static['piece']!r} would run again, and write what it "
            f"writes, so backward is not run for the picture. Watch yours: with tg.observe(values=True)."
        )
    trace = _Rehearsal()
    leaves = [stand_in(box.node) for box in own if box.kind == "parameter"]
    try:
        with recording(trace), np.errstate(all="ignore"):
            gradients([stand_in(box.node) for box in outputs], leaves, retain_graph=True)
    except Exception as error:  # a graph that was freed, or a rule that is wrong: the picture says so, and is drawn
        marked = next((box.op for box in own if box.mark and str(error) in box.mark), None)
        return str(error) if marked is None else f"Backward does not get beyond {marked}, which is marked."
    for box in own:
        facts = trace.found.get(box.node, {})
        if "backward" in facts:
            facts["backward"] |= {"run": 0, "freed": box.facts.get("saved_bytes", 0)}
        box.facts |= {key: facts[key] for key in ("gradient", "backward") if key in facts}
    return ""

"""What can be drawn, and its graph."""

from __future__ import annotations

from typing import Any

from ..engine.node import Node
from ..engine.tensor import Tensor
from ..graph import Graph
from ..profile.rehearse import rehearse
from ..profile.stats import stats

HELD = "Gradients are those in .grad, with all that backward has added up there."


def graph_of(target: Any) -> Graph:
    """Return the graph of a Tensor, or of what has one (a `Graph` is its own)."""
    if isinstance(target, Graph):
        return target
    if not isinstance(target, Tensor) and callable(getattr(target, "graph", None)):
        graph = target.graph()
        if not isinstance(graph, Graph):
            raise TypeError(f"draw: {type(target).__name__}.graph() gave {type(graph).__name__}, expected a Graph.")
        return graph
    return Graph(target)


def informed(target: Any) -> tuple[Graph, list[str]]:
    """Return the graph of a target with values and gradients as far as they can be known, and what there is to say.

    A graph that was given, or that the target keeps, is left as it is: what a rehearsal finds is put on a copy.
    """
    graph = graph_of(target)
    if not isinstance(target, Tensor):
        graph = graph.opened(())
    why = rehearse(graph, *[target] if isinstance(target, Tensor) else [])
    return graph, [why, *_held(graph)] if why else []


def _held(graph: Graph) -> list[str]:
    """Put the gradients that ``.grad`` holds on the boxes of a graph that has no others, and say that it did."""
    if any("gradient" in box.facts or box.failed for box in graph.nodes):  # what failed gave none: they are older
        return []
    held = [(box, box.node.grad) for box in graph.nodes if isinstance(box.node, Node) and box.node.grad is not None]
    for box, gradient in held:
        box.facts["gradient"] = stats(gradient)
    return [HELD] if held else []

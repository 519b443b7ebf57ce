"""What can be drawn, and its graph."""

from __future__ import annotations

from typing import Any

from ..engine.tensor import Tensor
from ..graph import Graph
from ..profile.rehearse import rehearse


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
    return graph, [why] if why else []

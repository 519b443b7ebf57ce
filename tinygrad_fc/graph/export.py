"""The graph for other programs: plain data for JSON, and networkx."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .box import GraphNode, brief
from .graph import Graph

SCHEMA = "tinygrad_fc graph 1"


def as_dict(graph: Graph) -> dict[str, Any]:
    """Return what ``Graph.to_dict`` documents."""
    return {"schema": SCHEMA, "outputs": list(graph.outputs), "nodes": [_node(box) for box in graph.nodes]}


def _node(box: GraphNode) -> dict[str, Any]:
    return {
        "id": box.id, "kind": box.kind, "op": box.op, "name": box.name, "variable": box.variable,
        "shape": None if box.failed else list(box.shape), "dtype": None if box.failed else str(box.dtype),
        "module": list(box.module), "line": box.line, "mark": box.mark, "inside": box.inside,
        "inputs": [{"argument": argument, "id": source} for argument, source in box.inputs],
        "numbers": plain(box.numbers), "static": {key: brief(value) for key, value in box.static.items()},
        "facts": plain(box.facts),
    }  # fmt: skip


def plain(value: Any) -> Any:
    """Return nested dicts, sequences and numbers as JSON has them: NaN and infinities as strings."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def as_networkx(graph: Graph) -> Any:
    """Return what ``Graph.to_networkx`` documents."""
    try:
        import networkx
    except ImportError:
        raise ImportError("to_networkx: networkx is not installed: pip install networkx.") from None
    result = networkx.MultiDiGraph(outputs=list(graph.outputs))
    for box in graph.nodes:
        facts = _node(box)
        del facts["inputs"]
        result.add_node(box.id, **facts)
    for box in graph.nodes:
        for argument, source in box.inputs:
            result.add_edge(source, box.id, key=argument, argument=argument)
    return result

"""The graph as text, for terminals."""

from __future__ import annotations

from ..engine.graph import Graph, brief


def graph_text(graph: Graph) -> str:
    """Return a table of the nodes, oldest first: what ``print(Graph(t))`` shows."""
    rows = [(" id", "what", "name", "shape", "inputs")]
    for box in graph.nodes:
        inputs = [f"{argument}={source}" for argument, source in box.inputs]
        inputs += [f"{key}={brief(value)}" for key, value in (box.numbers | box.static).items()]
        what = box.op or ("leaf" if box.kind == "parameter" else box.kind)
        rows.append((f"{box.id:3d}", what, box.name or "", str(box.shape), " ".join(inputs)))
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)

"""The graph as text, for terminals."""

from __future__ import annotations

import os

from ..graph import Graph, brief


def graph_text(graph: Graph) -> str:
    """Return a table of the nodes, oldest first: what ``print(Graph(t))`` shows.

    Where boxes stand in a module, or their lines were observed, a column has its path, or file and line.
    """
    rows = [[" id", "what", "name", "shape", "inputs"]]
    for box in graph.nodes:
        inputs = [f"{argument}={source}" for argument, source in box.inputs]
        inputs += [f"{key}={brief(value)}" for key, value in (box.numbers | box.static).items()]
        what = box.op or ("leaf" if box.kind == "parameter" else box.kind)
        rows.append([f"{box.id:3d}", what, box.name or "", str(box.shape), " ".join(inputs)])
    for title, cells in (
        ("module", ["/".join(box.module) for box in graph.nodes]),
        ("line", [os.path.basename(box.line or "") for box in graph.nodes]),
    ):
        if any(cells):
            for row, cell in zip(rows, [title, *cells], strict=True):
                row.insert(-1, cell)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)

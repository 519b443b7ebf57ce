"""The graph as text, for terminals: a table of few boxes, a tree of many."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence

from ..graph import Graph, GraphNode
from ..graph.figures import duration, memory
from ..graph.fold import fold
from ..graph.view import Shown, view
from .scene import FEW, counts, group_title
from .words import clip, figure, one_line

# A tree has no more lines; what is deeper is said in a count.
LINES = 120


def graph_text(graph: Graph) -> str:
    """Return what ``print(Graph(t))`` shows: a table of the nodes, oldest first, or a tree of more than 60.

    Where boxes stand in a module, or their lines or times were observed, a column says so. The tree has the modules,
    what repeats ("× N") and what was cut into sections, in no more than 120 lines as wide as the terminal.
    """
    return _tree(graph) if len(graph) > FEW else _table(graph)


def _table(graph: Graph) -> str:
    rows = [[" id", "what", "name", "shape", "inputs"]]
    for box in graph.nodes:
        rows.append([f"{box.id:3d}", _what(box), clip(box.label or ""), _shape(box), _inputs(box, str)])
    timed = any("forward_seconds" in box.facts for box in graph.nodes)
    for title, cells in (
        ("module", [clip("/".join(box.module)) for box in graph.nodes]),
        ("line", [clip(os.path.basename(box.line or "")) for box in graph.nodes]),
        ("time", [_time([box]) for box in graph.nodes]),
        ("kept", [_kept([box]) if timed else "" for box in graph.nodes]),
        ("wrong", [one_line(box.mark or "") for box in graph.nodes]),
    ):
        if any(cells):
            for row, cell in zip(rows, [title, *cells], strict=True):
                row.insert(len(row) if title == "wrong" else -1, cell)
    return _aligned(rows)


def _tree(graph: Graph) -> str:
    tree = fold(graph)
    seen = view(graph, tree, limit=FEW)
    marks: dict[str, list[GraphNode]] = {}
    for box in graph.nodes:
        if box.mark is not None:
            marks.setdefault(seen.keys[box.id], []).append(box)
    names = {item.key: f"[{clip(group_title(item.group), 20)}]" if item.group else str(item.box and item.box.id)
             for item in seen.root.boxes()}  # fmt: skip
    timed = any("forward_seconds" in box.facts for box in graph.nodes)
    rows = [["what", "name", "shape or size", "time", "kept", "inputs"]]
    stack: list[tuple[Shown, str]] = [(item, "") for item in reversed(seen.root.members)]
    while stack and len(rows) < LINES:
        item, indent = stack.pop()
        inside: Sequence[GraphNode] = list(item.group.boxes()) if item.group else [item.box] if item.box else []
        figures = [_time(inside), _kept(inside) if timed else ""]
        if item.group is not None:
            rows.append([indent + clip(group_title(item.group)), "", ", ".join(counts(inside)), *figures, ""])
        elif item.box is not None:
            rows.append([indent + f"{item.box.id} {_what(item.box)}", clip(item.box.label or ""), _shape(item.box),
                         *figures, _inputs(item.box, lambda id: names[seen.keys[id]])])  # fmt: skip
        for bad in marks.get(item.key, ()):
            place = "" if bad is item.box else f"box {bad.id}: "  # one that a folded group, or a first turn, stands for
            rows.append([f"{indent}  ! {place}{one_line(bad.mark or '')}", *[""] * 5])
        stack += [(member, indent + "  ") for member in reversed(item.members)]
    kept = [n for n in range(6) if n in (0, 2) or any(row[n] for row in rows[1:])]
    text = _aligned([[row[n] for n in kept] for row in rows])
    width = shutil.get_terminal_size((80, 24)).columns
    lines = [line if len(line) <= width else line[: width - 1] + "…" for line in text.splitlines()]
    if stack:
        lines.append(f"… and {len(stack):,} more: tg.draw(t, 'graph.html') shows all of it.")
    return "\n".join([f"{graph!r}"[1:-1], *lines])


def _what(box: GraphNode) -> str:
    return box.op or ("leaf" if box.kind == "parameter" else "input")


def _shape(box: GraphNode) -> str:
    return "" if box.failed else str(box.shape)


def _inputs(box: GraphNode, names: Callable[[int], str]) -> str:
    """Return the arguments of a box; of many operands that are called the same the first and the last number."""
    found: list[tuple[str, str, list[str]]] = []  # what it is, what it is called, its numbers
    for text in box.call(names):
        argument, _, name = text.partition("=")
        what, _, number = argument.rstrip("]").partition("[")
        if found and number and found[-1][:2] == (what, name):
            found[-1][2].append(number)
        else:
            found.append((what, name, [number] if number else []))
    spans = [f"[{'…'.join(dict.fromkeys([numbers[0], numbers[-1]]))}]" if numbers else "" for _, _, numbers in found]
    return one_line(" ".join([f"{what}{span}={name}" for (what, name, _), span in zip(found, spans, strict=True)]))


def _time(boxes: Sequence[GraphNode]) -> str:
    seconds = figure("time", boxes)
    return "" if seconds is None else duration(seconds)


def _kept(boxes: Sequence[GraphNode]) -> str:
    kept = figure("memory", boxes)
    return "" if kept is None else memory(int(kept))


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)

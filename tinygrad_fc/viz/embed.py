"""What the page holds of a graph: plain lists, strings and numbers, small enough for one file.

The page's script reads it back in static/data.js, where the same names stand. What does not fit is left out in the
order of `DROPPED`, and ``notes`` says so to whoever looks at the page.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine.node import Node
from ..graph import Graph, GraphNode, brief
from ..graph.fold import Group, fold
from .cells import Cell, cells
from .formula import formula, reads
from .layout import Inside, layout
from .source import function_text, rule_text

# What is left out of a page that would be too large, the largest first.
DROPPED = (
    "histograms", "numbers", "source lines", "statistics of contributions", "statistics", "names beyond 60 characters",
)  # fmt: skip
CLIP, SHORT = 400, 60  # characters of a name or a line
BOXES = 12_000  # cells of a page; more cannot be looked at
KINDS = {"op": 0, "parameter": 1, "constant": 2}
STATISTICS = ("min", "max", "mean", "std", "norm", "zeros", "nonfinite")
CONTRIBUTION = ("min", "max", "mean", "norm")  # what the page says of one gradient among several


@dataclass
class _Writer:
    """Makes the parts of the page's data, with strings that occur again as numbers into one table."""

    dropped: frozenset[str]

    def __post_init__(self) -> None:
        self.strings: dict[str, int] = {}

    def text(self, value: object) -> int:
        """Return the number of a string, -1 for None."""
        return -1 if value is None else self.strings.setdefault(self.clip(str(value)), len(self.strings))

    def clip(self, value: str) -> str:
        length = SHORT if DROPPED[-1] in self.dropped else CLIP
        clipped = value if len(value) <= length else f"{value[:length]}… ({len(value):,} characters)"
        return clipped.encode("utf-8", "replace").decode()  # lone surrogates are no UTF-8

    def stats(self, given: dict[str, Any] | None, keys: tuple[str, ...] = STATISTICS) -> dict[str, Any] | None:
        """Return the statistics of an array as the page has them: a count of nothing is left out."""
        if not given:
            return None
        if "statistics" in self.dropped or keys is CONTRIBUTION and "statistics of contributions" in self.dropped:
            keys = ()
        kept: dict[str, Any] = {key: number(given[key], 5) for key in keys if given.get(key) is not None}
        if not kept.get("nonfinite", 1):
            del kept["nonfinite"]
        if "histogram" in given and keys is STATISTICS and "histograms" not in self.dropped:
            histogram = given["histogram"]
            ends = number(histogram["low"], 5), number(histogram["high"], 5)
            kept["histogram"] = [*ends, *map(int, histogram["counts"])]
        if "numbers" in given and ("numbers" not in self.dropped or np.size(given["numbers"]) <= 1):
            kept["numbers"] = numbers(given["numbers"])
        return kept or None

    def facts(self, box: GraphNode) -> dict[str, Any]:
        given, kept = box.facts, dict[str, Any]()
        for key in ("forward_seconds", "backward_seconds", "saved_bytes", "multiply_adds"):
            if given.get(key) is not None:
                kept[key] = number(given[key])
        if given.get("source") and "source lines" not in self.dropped:
            kept["source"] = self.text(given["source"])
        for key in ("value", "gradient"):
            if (stats := self.stats(given.get(key))) is not None:
                kept[key] = stats
        if visit := given.get("backward"):
            kept["freed"] = number(visit.get("freed", 0))
            kept["gives"] = [
                [self.text(one["argument"]), *[self.stats(one.get(key), CONTRIBUTION) for key in ("gradient", "total")]]
                for one in visit.get("gives", ())
            ]
        return kept


def number(value: Any, digits: int = 8) -> float | int | str:
    """Return a number as JSON has it, rounded to some digits: nan and inf, which it has not, as strings."""
    if type(value) is float:
        return float(f"{value:.{digits}g}") if math.isfinite(value) else str(value)
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    if isinstance(value, (int, np.integer)):
        return int(value) if abs(int(value)) < 2**53 else str(value)
    if isinstance(value, (complex, np.complexfloating)):
        return str(value)
    return number(float(value), digits)


def numbers(value: Any) -> Any:
    """Return nested lists of numbers as JSON has them."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return [numbers(item) for item in value] if isinstance(value, (list, tuple)) else number(value)


@dataclass
class Plan:
    """A graph in cells, and the layout of their insides."""

    found: list[Cell]
    places: dict[int, Cell]
    insides: dict[int, Inside]


def plan(graph: Graph, root: Group, boxes: int = BOXES) -> Plan:
    """Return the cells of a folded graph, about `boxes` at most, laid out."""
    found, places = cells(root, boxes)
    # The lines of a fused operation that can be opened are those of what is inside: what it reads, and its result.
    edges = [
        (places[source].result or places[source], places[box.id])
        for box in graph.nodes for _, source in box.inputs if places[box.id].result is None
    ]  # fmt: skip
    return Plan(found, places, layout(found, edges))


def data(graph: Graph, plan: Plan, dropped: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return what the page needs to know, without the kinds of facts in `dropped`."""
    writer, found, places = _Writer(dropped), plan.found, plan.places
    shown = [cell.box for cell in found if cell.box is not None]
    outputs, count = set(graph.outputs), sum(box.inside is None for box in graph.nodes)
    steps, left_out = _steps(graph, places), count - sum(box.inside is None for box in shown)
    notes = [f"{', '.join(sorted(dropped, key=DROPPED.index))}: left out, so that the page stays small"] * bool(dropped)
    if left_out:
        notes.append(f"{left_out:,} of {count:,} boxes are not in this page: groups of them are drawn closed")
    return {
        "count": count,
        "cells": [
            [cell.kind, writer.text(cell.label), cell.parent.index if cell.parent else -1, cell.size, cell.repeats,
             cell.result.index if cell.result else -1]
            for cell in found
        ],
        "insides": {
            index: [inside.entries, inside.exits, inside.lanes, inside.rows, [v for s in inside.segments for v in s],
                    inside.nets]
            for index, inside in plan.insides.items()
        },
        "boxes": [
            [
                box.id, places[box.id].index, KINDS[box.kind], writer.text(box.op), writer.text(box.name),
                writer.text(box.variable), writer.text(",".join(map(str, box.shape))), writer.text(box.dtype),
                writer.text(".".join(box.module)), writer.text(box.line), writer.text(box.mark),
                [[writer.text(argument), places[source].index] for argument, source in box.inputs],
                [[writer.text(key), writer.text(brief(value))] for key, value in (box.numbers | box.static).items()],
                int(box.id in outputs),
            ]
            for box in shown
        ],
        "facts": [writer.facts(box) or 0 for box in shown],
        "forward": steps[0], "backward": steps[1],
        "ops": _operations(shown, writer),
        "strings": list(writer.strings),
        "notes": notes,
    }  # fmt: skip


def _steps(graph: Graph, places: dict[int, Cell]) -> tuple[list[int], list[int]]:
    """Return the cells in the order in which they are computed, and visited by backward; those left out as one each."""
    forward = [places[box.id] for box in graph.nodes if box.kind == "op" and box.inside is None]
    failed = any(box.dtype.kind == "V" for box in graph.nodes)  # then backward does not run
    backward = [] if failed else [places[id] for id in graph.order()]
    return tuple([  # type: ignore[return-value]  # two lists
        [cell.index for before, cell in zip([None, *way], way) if cell is not before or cell.box is not None]  # noqa: B905  # one longer
        for way in (forward, backward)
    ])  # fmt: skip


def _operations(shown: list[GraphNode], writer: _Writer) -> dict[int, Any]:
    """Return the rules of each operation, text and what they read, and what it is composed of."""
    found: dict[int, Any] = {}
    for op in dict.fromkeys(box.node.op for box in shown if isinstance(box.node, Node)):
        if op is None:
            continue
        texts: dict[str, list[str]] = {}
        for argument in (*op.differentiable, "via"):
            if (text := rule_text(op, argument)) is not None:
                texts.setdefault(text, []).append(argument)
        found[writer.text(op.name)] = {
            "rules": [[arguments, text] for text, arguments in texts.items()],
            "reads": {argument: reads(op.rules[argument])[1:] for argument in op.differentiable},
            "formulas": {argument: formula(op.rules[argument]) for argument in op.differentiable},
            "variadic": op.variadic,
            "compose": function_text(op.compose) if op.compose is not None else None,
        }
    return found


def packed(content: dict[str, Any]) -> str:
    """Return data as the page holds them: JSON, compressed, in letters that are safe inside any HTML."""
    raw = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(raw, 6, mtime=0)).decode()


def unpacked(text: str) -> dict[str, Any]:
    """Return what `packed` was given."""
    return dict(json.loads(gzip.decompress(base64.b64decode(text))))


def fitting(graph: Graph, room: int, options: dict[str, Any], notes: list[str]) -> str:
    """Return the packed data of a graph in at most `room` characters: what is largest goes first."""
    root, boxes = fold(graph), BOXES
    whole = plan(graph, root)

    def attempt(dropped: int, plan: Plan) -> str:
        content = data(graph, plan, frozenset(DROPPED[:dropped]))
        return packed({**content, **options, "notes": [*content["notes"], *[note[:CLIP] for note in notes]]})

    for dropped in range(len(DROPPED) + 1):
        if len(text := attempt(dropped, whole)) <= room:
            return text
    while len(text) > room and boxes > 1:
        boxes //= 2
        text = attempt(len(DROPPED), plan(graph, root, boxes))
    return text

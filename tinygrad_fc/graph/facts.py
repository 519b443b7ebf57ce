"""The facts on the boxes of a graph: what the tape tells of itself, and what observers noted on it."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import numpy as np

from ..engine.node import Node
from .box import GraphNode
from .counts import multiply_adds

# What backward did with a box.
_OF_BACKWARD = ("gradient", "backward", "backward_seconds")


def kept_bytes(saved: Iterable[Any]) -> int:
    """Return the bytes of the arrays that a node keeps for the way back, each array once."""
    flat = [item for value in saved for item in (value if isinstance(value, tuple) else (value,))]
    return sum({id(item): item.nbytes for item in flat if isinstance(item, np.ndarray)}.values())


def learn(boxes: list[GraphNode], starts: Container[int] | None) -> None:
    """Put on the boxes of a graph what is known of them.

    Parameters
    ----------
    boxes : list of GraphNode
        All of the graph, oldest first.
    starts : container of int, optional
        Ids of the boxes whose backward is this graph's; by default any that backward started from.
    """
    for box in boxes:
        info = getattr(box.node, "info", None) or {}
        box.facts |= info.get("facts", {})
        if isinstance(box.node, Node) and box.node.op is not None:
            if box.node.saved is not None:
                box.facts["saved_bytes"] = kept_bytes(box.node.saved)
            if box.dtype.kind == "f":  # what failed has none
                op, sources = box.node.op, dict(box.inputs)
                names = op.parent_names(len(box.node.parents))
                shapes = [boxes[sources[name]].shape if name in sources else () for name in names]
                box.facts["multiply_adds"] = multiply_adds(op.name, shapes, box.shape, info.get("static"))
    _forget_other_values(boxes)
    _forget_other_runs(boxes, starts)


def _forget_other_values(boxes: list[GraphNode]) -> None:
    """Take from leaves and constants the facts of another graph, in which they had other values."""
    own: set[int] = set()
    for box in boxes:
        for _, source in box.inputs:
            # Which part of the tape the facts are of: see ``Trace.current``.
            since, until = (getattr(boxes[source].node, "info", None) or {}).get("observed", (0, 0))
            if since < getattr(box.node, "number", 0) <= until:
                own.add(source)
    for box in boxes:
        if box.op is None and box.id not in own:
            box.facts.clear()


def _forget_other_runs(boxes: list[GraphNode], starts: Container[int] | None) -> None:
    """Take from boxes the facts of a backward that came to them through another graph, and number the runs from 0."""
    runs = {box.id: int(box.facts["backward"]["run"]) for box in boxes if "backward" in box.facts}
    came: set[tuple[int, int]] = set()
    for box in reversed(boxes):
        run = runs.get(box.id, -1)
        started = box.facts["backward"]["order"] == 0 if run >= 0 and starts is None else box.id in (starts or ())
        if run >= 0 and (started or (box.id, run) in came):
            came |= {(source, run) for _, source in box.inputs}
        else:
            runs.pop(box.id, None)
            for key in _OF_BACKWARD:
                box.facts.pop(key, None)
    ranks = {run: rank for rank, run in enumerate(sorted(set(runs.values())))}
    for id, run in runs.items():
        boxes[id].facts["backward"] = {**boxes[id].facts["backward"], "run": ranks[run]}

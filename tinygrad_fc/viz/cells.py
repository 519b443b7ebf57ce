"""Cells: what the page holds of a folded graph. Every box is in one cell, and a cell is a box or a group of cells.

A graph of any size becomes a page of bounded size: of a repeat with very many turns the first and the last are kept,
and groups that still do not fit are closed, as one cell that stands for all the boxes inside.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import chain

from ..graph import GraphNode
from ..graph.fold import Group

FIRST_TURNS = 3  # of a repeat that does not fit, with the last one


@dataclass(slots=True, eq=False)
class Cell:
    """A place in the page.

    Attributes
    ----------
    kind : str
        "box", the kind of a group ("root", "module", "repeat", "turn", "section", "fused"), or "rest": the turns that
        are left out.
    label : str
        What the group is called.
    size : int
        Boxes of the graph that it stands for; a fused operation is one.
    repeats : int
        Of a "repeat" how many turns it has; of a "rest" how many it stands for; else 0.
    box : GraphNode or None
        The box; of a "fused" group the operation that it is.
    parent : Cell or None
        The group around it.
    members : list of Cell
        What is inside, in order of time. Empty for a box, and for what the page leaves closed.
    result : Cell or None
        Of a "fused" group that has members, the one that computes its result.
    index, depth : int
        Position among all cells, the root first; number of groups around it.
    """

    kind: str
    label: str
    size: int
    repeats: int = 0
    box: GraphNode | None = None
    parent: Cell | None = None
    members: list[Cell] = field(default_factory=list)
    result: Cell | None = None
    index: int = 0
    depth: int = 0


def cells(root: Group, limit: int) -> tuple[list[Cell], dict[int, Cell]]:
    """Return all cells, the root first and each before its members, and the cell of each box by its id.

    Parameters
    ----------
    root : Group
        The fold tree.
    limit : int
        The most cells that are made, but for the root's own members, which always are.
    """
    sizes = _sizes(root)
    top = Cell("root", root.label, sizes[root.id])
    whole = sizes[root.id] <= limit
    places: dict[int, Cell] = {}
    queue: deque[tuple[Group, Cell]] = deque([(root, top)])
    count = 1
    while queue:  # the widest first, so that what does not fit is closed at the bottom
        group, cell = queue.popleft()
        members = group.members if whole or group.kind != "repeat" else _ends(group)
        if count + len(members) > limit and group is not root:
            places |= dict.fromkeys([box.id for box in group.boxes()], cell)
            continue
        for member in members:
            if isinstance(member, list):
                inner = Cell("rest", f"{len(member):,} more alike", sum(sizes[turn.id] for turn in member), len(member))
                places |= dict.fromkeys([box.id for turn in member for box in turn.boxes()], inner)
            elif isinstance(member, GraphNode):
                inner = places[member.id] = Cell("box", "", 1, box=member)
                if member.id == group.result:
                    cell.result = inner
            else:
                inner = Cell(member.kind, member.label, sizes[member.id], member.repeats, member.box)
                if member.box is not None:
                    places[member.box.id] = inner
                queue.append((member, inner))
            inner.parent, inner.depth = cell, cell.depth + 1
            cell.members.append(inner)
        count += len(members)
    found, stack = list[Cell](), [top]
    while stack:
        cell = stack.pop()
        cell.index = len(found)
        found.append(cell)
        stack.extend(reversed(cell.members))
    return found, places


def _sizes(root: Group) -> dict[int, int]:
    """Return how many boxes each group stands for, by its id."""
    sizes: dict[int, int] = {}
    for group in reversed(list(root.groups())):
        inside = sum(sizes[member.id] if isinstance(member, Group) else 1 for member in group.members)
        sizes[group.id] = 1 if group.kind == "fused" else inside
    return sizes


def _ends(repeat: Group) -> list[Group | list[Group] | GraphNode]:
    """Return the first turns of a repeat, one list of those that are left out, and the last turn."""
    turns = repeat.turns
    if len(turns) <= FIRST_TURNS + 2:
        return list(turns)
    return list(chain(turns[:FIRST_TURNS], [turns[FIRST_TURNS:-1]], turns[-1:]))

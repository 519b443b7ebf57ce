"""Cells: what the page holds of a folded graph. Every box is in one cell, and a cell is a box or a group of cells.

A graph of any size becomes a page of bounded size: of a repeat with very many turns the first and the last are kept,
and groups that still do not fit are closed, as one cell that stands for all the boxes inside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..graph import GraphNode

if TYPE_CHECKING:
    from ..graph.fold import Group

FIRST_TURNS = 3  # of a repeat that does not fit, with the last one


@dataclass(slots=True, eq=False)
class Cell:
    """A place in the page.

    Attributes
    ----------
    kind : str
        "box", the kind of a group ("root", "module", "repeat", "turn", "section"), or "rest": the turns left out.
    label : str
        What the group is called.
    size : int
        Boxes of the graph that it stands for.
    repeats : int
        Of a "repeat" how many turns it has; of a "rest" how many it stands for; else 0.
    box : GraphNode or None
        The box.
    parent : Cell or None
        The group around it.
    members : list of Cell
        What is inside, in order of time. Empty for a box, and for what the page leaves closed.
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
    top = _group(root, None)
    whole = root.size <= limit
    places: dict[int, Cell] = {}
    queue: deque[tuple[Group, Cell]] = deque([(root, top)])
    count = 1
    while queue:  # the widest first, so that what does not fit is closed at the bottom
        group, cell = queue.popleft()
        members = group.members if whole or group.kind != "repeat" else _ends(group)
        if count + len(members) > limit and group is not root and not whole:
            places |= {box.id: cell for box in boxes_of([group])}
            continue
        for member in members:
            if isinstance(member, list):
                number = sum(1 for _ in _turns(member))
                inner = Cell("rest", f"{number:,} more alike", sum(each.size for each in member), number)
                places |= {box.id: inner for box in boxes_of(member)}
            elif isinstance(member, GraphNode):
                inner = places[member.id] = Cell("box", "", 1, box=member)
            else:
                inner = _group(member, cell)
                queue.append((member, inner))
            inner.parent, inner.depth = cell, cell.depth + 1
            cell.members.append(inner)
            count += 1
    found, stack = list[Cell](), [top]
    while stack:
        cell = stack.pop()
        cell.index = len(found)
        found.append(cell)
        stack.extend(reversed(cell.members))
    return found, places


def _group(group: Group, parent: Cell | None) -> Cell:
    return Cell(group.kind, group.label, group.size, group.repeats if group.kind == "repeat" else 0, parent=parent)


def _ends(repeat: Group) -> list[GraphNode | Group | list[Group]]:
    """Return the first turns of a repeat, one list of those that are left out, and the last turn."""
    turns = list(_turns(repeat.members))
    if len(turns) <= FIRST_TURNS + 2:
        return list(turns)
    return [*turns[:FIRST_TURNS], turns[FIRST_TURNS:-1], turns[-1]]


def _turns(members: list[GraphNode | Group] | list[Group]) -> Iterator[Group]:
    """Yield the turns of a repeat, through the sections that they may be cut into."""
    stack = list(reversed(members))
    while stack:
        member = stack.pop()
        if isinstance(member, GraphNode):
            continue
        if member.kind == "section":
            stack.extend(reversed(member.members))
        else:
            yield member


def boxes_of(groups: list[Group]) -> Iterator[GraphNode]:
    """Yield the boxes inside some groups, at every level."""
    stack: list[GraphNode | Group] = list(reversed(groups))
    while stack:
        member = stack.pop()
        if isinstance(member, GraphNode):
            yield member
        else:
            stack.extend(reversed(member.members))

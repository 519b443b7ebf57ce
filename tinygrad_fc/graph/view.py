"""view(): what a still picture shows of a graph: which groups are open, and the edges between what is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .box import GraphNode
from .fold import Group
from .graph import Graph


@dataclass(slots=True, eq=False)
class Shown:
    """One thing in the picture: a box, a folded group, or an open group with what it shows (a cluster).

    Attributes
    ----------
    key : str
        Unique in the picture: ``n7`` for box 7, ``g3`` for group 3.
    box : GraphNode or None
        The box, or the operation that a folded "fused" group stands for.
    group : Group or None
        The group, folded or open.
    members : list of Shown
        What an open group shows; empty for a box and a folded group.
    """

    key: str
    box: GraphNode | None = None
    group: Group | None = None
    members: list[Shown] = field(default_factory=list)

    def boxes(self) -> Iterator[Shown]:
        """Yield what is drawn as a box, at all levels."""
        stack = [self]
        while stack:
            item = stack.pop()
            if item.members:
                stack += reversed(item.members)
            else:
                yield item


@dataclass(slots=True)
class Edge:
    """An arrow of the picture.

    Attributes
    ----------
    source, target : str
        Keys of boxes.
    arguments : list of str
        The arguments that it stands for, each once.
    count : int
        How many edges of the graph it stands for.
    carried : bool
        Whether it leads from one turn of a repeat to the next.
    readers : int
        How many boxes of the graph it leads to: each turn of what the target stands for is one.
    """

    source: str
    target: str
    arguments: list[str]
    count: int = 1
    carried: bool = False
    readers: int = 1


@dataclass(slots=True)
class View:
    """What a picture shows.

    Attributes
    ----------
    root : Shown
        The whole picture.
    edges : list of Edge
        In order of their targets.
    keys : dict of int to str
        For each box of the graph the key of what shows it.
    """

    root: Shown
    edges: list[Edge]
    keys: dict[int, str]


def view(
    graph: Graph, root: Group, depth: int | None = None, limit: int | None = 300, repeats: bool = True
) -> View:
    """Return what a still picture of a graph shows.

    Parameters
    ----------
    graph : Graph
    root : Group
        Its tree, of `fold`.
    depth : int, optional
        How many levels of modules are open; 0 shows the outermost as boxes. By default as many as `limit` allows.
    limit : int, optional
        The most boxes that are drawn: first sections are folded, then, where no `depth` is given, modules.
    repeats : bool
        Whether what repeats is shown by its first turn. Otherwise every turn is.
    """
    deepest = max([len(box.calls) for box in graph.nodes], default=0)
    tries = [(n, True) for n in ([depth] if depth is not None else range(deepest, -1, -1))]
    tries = [(tries[0][0], False), *tries]  # first without folded sections
    for levels, sections in tries:
        shown = _show(root, levels, sections, repeats)
        if limit is None or sum(1 for _ in shown.boxes()) <= limit:
            break
    return _connect(graph, root, shown, repeats)


def _show(root: Group, levels: int, sections: bool, repeats: bool) -> Shown:
    """Return the picture with modules open down to a level; `sections` says whether these are folded."""
    top = Shown("g0", group=root)
    stack: list[tuple[Group, Shown, int]] = [(root, top, levels)]
    while stack:
        group, into, left = stack.pop()
        for member in _members(group, sections, repeats):
            if isinstance(member, GraphNode):
                into.members.append(Shown(f"n{member.id}", box=member))
                continue
            item = Shown(f"g{member.id}", box=member.box, group=member)
            into.members.append(item)
            if member.kind != "section" and (member.kind != "module" or left > 0):
                stack.append((member, item, left - (member.kind == "module")))
    return top


def _members(group: Group, sections: bool, repeats: bool) -> Iterator[GraphNode | Group]:
    """Yield what an open group shows: sections that are open, and the first turn of a repeat, without their borders."""
    if group.kind == "repeat" and repeats:
        yield from group.turns[0].members
        return
    stack = list(reversed(group.members))
    while stack:
        member = stack.pop()
        through = isinstance(member, Group) and (
            member.kind == "section" and not sections or member.kind in ("turn", "repeat") and not repeats
        )
        if isinstance(member, Group) and through:
            stack += reversed(member.members)
        else:
            yield member


def _connect(graph: Graph, root: Group, shown: Shown, repeats: bool) -> View:
    """Return the edges between what is shown. Boxes of later turns are shown by their counterparts in the first."""
    stand_in: dict[int, int] = {}
    turn: dict[int, tuple[tuple[int, int], ...]] = {}  # for each box the repeats around it, and which turn it is in
    if repeats:
        for group in root.groups():
            if group.kind == "repeat":
                turns = [list(item.boxes()) for item in group.turns]
                for n, boxes in enumerate(turns):
                    for box, first in zip(boxes, turns[0], strict=True):
                        turn[box.id] = (*turn.get(box.id, ()), (group.id, n))
                        if n:  # in the first turn, an inner repeat may still have one that stands for it
                            stand_in.setdefault(box.id, first.id)
    keys: dict[int, str] = {}
    inside: set[int] = set()  # repeats that a folded group hides
    for item in shown.boxes():
        if item.box is not None and item.group is None:
            keys[item.box.id] = item.key
        elif item.group is not None:
            keys |= dict.fromkeys([box.id for box in item.group.boxes()], item.key)
            inside |= {group.id for group in item.group.groups() if group.kind == "repeat"}
            if item.box is not None:
                keys[item.box.id] = item.key
    for box in graph.nodes:
        at = box.id
        while at not in keys and at in stand_in:
            at = stand_in[at]
        if at in keys:
            keys[box.id] = keys[at]
    # An open fused operation is shown by what computes its result; what it reads is read by what is inside.
    open_ = set()
    for group in root.groups():
        if group.box is not None and group.result is not None and group.box.id not in keys:
            open_.add(group.box.id)
            keys[group.box.id] = keys[group.result]
    found: dict[tuple[str, str, bool], Edge] = {}
    for box in (box for box in graph.nodes if box.id not in open_):
        read: set[int] = set()  # the arrows that lead here
        for argument, source in box.inputs:
            start, end = keys[source], keys[box.id]
            carried = _carried(turn.get(source, ()), turn.get(box.id, ()), inside)
            if start == end and not carried:
                continue
            edge = found.get((start, end, carried))
            if edge is None:
                edge = found[start, end, carried] = Edge(start, end, [], 0, carried, 0)
            edge.count += 1
            edge.readers += id(edge) not in read
            read.add(id(edge))
            if argument not in edge.arguments:
                edge.arguments.append(argument)
    return View(shown, list(found.values()), keys)


def _carried(source: tuple[tuple[int, int], ...], target: tuple[tuple[int, int], ...], inside: set[int]) -> bool:
    """Whether an edge leads from one turn to another, of a repeat that is not hidden."""
    turns = dict(source)
    return any(turns.get(repeat, n) != n for repeat, n in target if repeat not in inside)

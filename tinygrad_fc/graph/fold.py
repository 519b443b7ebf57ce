"""fold(): the boxes of a graph in groups, so that a large graph is a small picture that opens.

Calls of modules are groups; what repeats, layer by layer or turn by turn of a loop, is one group "x N"; what is still
too long is cut into sections. Groups are spans of time, so that contracting them leaves a graph without circles.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .box import GraphNode
from .graph import Graph
from .repeats import Unit, find_repeats

# No group has more members: more than that nobody takes in at a glance, and what is laid out stays small.
MANY = 40
_PASSES = 3


@dataclass(slots=True, eq=False)
class Group:
    """Some boxes that are shown as one when the group is folded.

    Attributes
    ----------
    kind : {"root", "module", "repeat", "turn", "section", "fused"}
        The whole graph, the call of a module, turns that are alike, one of them, a part of what is too long, or a fused
        operation composed from primitives.
    label : str
        What it is called.
    members : list of GraphNode or Group
        In order of time; each box of a graph is in exactly one group.
    parent : Group or None
        The group around it.
    id : int
        Unique in its tree; the root has 0.
    repeats : int
        How many turns a "repeat" has. All have the same structure; numbers and static arguments may differ.
    box : GraphNode or None
        The operation that a "fused" group stands for.
    result : int or None
        The box inside a "fused" group that computes the operation's result.
    """

    kind: str
    label: str
    members: list[GraphNode | Group] = field(default_factory=list)
    parent: Group | None = None
    id: int = 0
    repeats: int = 0
    box: GraphNode | None = None
    result: int | None = None

    def groups(self) -> Iterator[Group]:
        """Yield this group and all inside, each before those inside it."""
        stack = [self]
        while stack:
            group = stack.pop()
            yield group
            stack += [member for member in reversed(group.members) if isinstance(member, Group)]

    def boxes(self) -> Iterator[GraphNode]:
        """Yield the boxes inside, at all levels, in order; the box of a "fused" group before those inside it."""
        stack: list[GraphNode | Group] = [self]
        while stack:
            member = stack.pop()
            if isinstance(member, Group):
                if member.box is not None:
                    yield member.box
                stack += reversed(member.members)
            else:
                yield member

    @property
    def turns(self) -> list[Group]:
        """The turns of a "repeat", from the first to the last, through its sections."""
        found: list[Group] = []
        stack = [self]
        while stack:
            group = stack.pop()
            if group.kind == "turn":
                found.append(group)
            elif group.kind in ("repeat", "section"):
                stack += [member for member in reversed(group.members) if isinstance(member, Group)]
        return found

    def __repr__(self) -> str:
        return f"<Group {self.id} {self.kind} {self.label!r} of {len(self.members)}>"


def fold(graph: Graph) -> Group:
    """Return the boxes of a graph as a tree of groups.

    Parameters
    ----------
    graph : Graph
        Fused operations that it has opened (`Graph.opened`) are groups too.

    Returns
    -------
    Group
        The root. A group has at most 40 members.
    """
    users: dict[int, list[int]] = {}
    for box in (box for box in graph.nodes if box.inside is None):
        for _, source in box.inputs:
            users.setdefault(source, []).append(box.id)
    root = _modules(graph)
    # The innermost first: what repeats inside a call is found before calls are compared. The tree changes meanwhile.
    for group in reversed(list(root.groups())):
        for _ in range(_PASSES):  # a loop around a loop is seen when the inner one is one member
            count = len(group.members)
            group.members = _repeated(group)
            if len(group.members) == count:
                break
    stack = [(root, 0)]
    while stack:
        group, offset = stack.pop()
        _cut(group, users, offset)
        for member in group.members:
            if isinstance(member, Group):
                stack.append((member, offset if member.kind == "section" else 0))
                offset += len(member.members) if member.kind == "section" else 1
    opened: dict[int, list[GraphNode]] = {}
    for box in graph.nodes:
        if box.inside is not None:
            opened.setdefault(box.inside, []).append(box)
    for position, group in enumerate(root.groups()):
        group.id = position
        group.members = [_fused(member, opened) for member in group.members]
        for member in group.members:
            if isinstance(member, Group):
                member.parent = group
    return root


def _fused(member: GraphNode | Group, opened: dict[int, list[GraphNode]]) -> GraphNode | Group:
    """Return a fused operation that is opened as a group, with what it is composed of; any other member as it is."""
    if isinstance(member, Group) or member.id not in opened:
        return member
    inside = opened[member.id]
    return Group("fused", str(member.op), list(inside), box=member, result=inside[-1].id)


def _modules(graph: Graph) -> Group:
    root = Group("root", "")
    calls: dict[tuple[int, ...], Group] = {(): root}
    for box in (box for box in graph.nodes if box.inside is None):
        for depth in range(1, len(box.calls) + 1):
            path = box.calls[:depth]
            if path not in calls:
                calls[path] = Group("module", box.module[depth - 1])
                calls[path[:-1]].members.append(calls[path])
        calls[box.calls].members.append(box)
    return root


def _repeated(group: Group) -> list[GraphNode | Group]:
    """Return the members of a group in order of time, with what repeats gathered."""
    found = [(member, _operations(member)) for member in group.members]
    units = sorted([Unit(member, boxes, turns=_turns(member)) for member, boxes in found if boxes],
                   key=lambda unit: unit.boxes[0].id)  # fmt: skip
    # A leaf goes with the first member that uses it, in which it may turn out to be of one turn alone.
    leaves = {member.id: member for member in group.members if isinstance(member, GraphNode) and member.op is None}
    order = {id: place for place, id in enumerate(leaves)}  # in which they stood, but in turns, which are to be alike
    for unit in units:
        unit.own = [leaves.pop(source) for box in unit.boxes for _, source in box.inputs if source in leaves]
    members: list[GraphNode | Group] = []
    done = 0
    for run in find_repeats(units):
        members += _in_order(units[done : run.start], order)
        done = run.start + run.period * run.turns
        members += [*run.loose, _repeat(units[run.start : done], run.period)]
    return [*members, *_in_order(units[done:], order), *leaves.values()]


def _in_order(units: list[Unit], order: dict[int, int]) -> Iterator[GraphNode | Group]:
    """Yield the members of units, each after its leaves."""
    for unit in units:
        yield from sorted(unit.own, key=lambda leaf: order[leaf.id])
        yield unit.member


def _turns(member: GraphNode | Group) -> list[list[GraphNode]]:
    """Return what each turn of a repeat holds; nothing for any other member."""
    repeat = member if isinstance(member, Group) and member.kind == "repeat" else None
    return [list(turn.boxes()) for turn in repeat.turns] if repeat is not None else []


def _operations(member: GraphNode | Group) -> list[GraphNode]:
    """Return the boxes of one member, leaves inside a group too, the operations first; nothing for a leaf."""
    if isinstance(member, GraphNode):
        return [member] if member.op is not None else []
    return sorted(member.boxes(), key=lambda box: (box.op is None, box.id))


def _repeat(units: list[Unit], period: int) -> Group:
    turns: list[Group] = []
    for start in range(0, len(units), period):
        inside = [item for unit in units[start : start + period] for item in (*unit.own, unit.member)]
        turns.append(Group("turn", f"turn {len(turns) + 1}", inside))
    # A loop around a loop may be found first, as the longer one.
    if len(_repeated(turns[0])) < len(turns[0].members):
        folded = [_repeated(turn) for turn in turns]
        if all(_outline(members) == _outline(folded[0]) for members in folded):
            for turn, members in zip(turns, folded, strict=True):
                turn.members = members
    first, last = units[0].member, units[-1].member
    if isinstance(first, Group) and isinstance(last, Group):
        label = f"{first.label} … {last.label}"
    else:
        label = "loop" if period > 1 else str(units[0].boxes[0].op)
    return Group("repeat", label, list(turns), repeats=len(turns))


def _outline(members: list[GraphNode | Group]) -> list[Any]:
    """Return what turns that stand for one another have in common: the order of their boxes and groups."""
    return [
        (member.kind, member.repeats, _outline(member.members)) if isinstance(member, Group)
        else (member.kind, member.op, member.shape, member.dtype) for member in members
    ]  # fmt: skip


def _cut(group: Group, users: dict[int, list[int]], offset: int) -> None:
    """Cut members that are too many into sections, which are cut in their turn; the first is number `offset` + 1."""
    if len(group.members) <= MANY:
        return
    # As many sections as each of them, and each of theirs, has members.
    levels = math.ceil(math.log(len(group.members), MANY))
    step = math.ceil(len(group.members) ** (1 - 1 / levels))
    parts = [group.members[n : n + step] for n in range(0, len(group.members), step)]
    group.members = _sections(parts, users, offset)


def _sections(
    parts: list[list[GraphNode | Group]], users: dict[int, list[int]], place: int
) -> list[GraphNode | Group]:
    """Return a section for each part, but of one member; a leaf that several parts use stands before them."""
    home = {box.id: n for n, part in enumerate(parts) for member in part
            for box in (member.boxes() if isinstance(member, Group) else (member,))}  # fmt: skip
    common: list[GraphNode | Group] = []
    sections: list[GraphNode | Group] = []
    for n, part in enumerate(parts):
        kept: list[GraphNode | Group] = []
        for member in part:
            leaf = isinstance(member, GraphNode) and member.op is None
            far = leaf and any(home.get(user, n) != n for user in users.get(member.id, ()))
            (common if far else kept).append(member)
        if kept:
            what = "turns" if isinstance(kept[0], Group) and kept[0].kind == "turn" else "steps"
            section = Group("section", f"{what} {place + 1}–{place + len(kept)}", kept)
            sections.append(section if len(kept) > 1 else kept[0])
            place += len(kept)
    if len(common) > MANY:
        pieces = [common[n : n + MANY] for n in range(0, len(common), MANY)]
        common = [Group("section", f"inputs {k * MANY + 1}–{k * MANY + len(piece)}", piece)
                  for k, piece in enumerate(pieces)]  # fmt: skip
    return [*common, *sections]

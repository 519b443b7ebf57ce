"""Checks of a fold tree, for the tests of graph."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_fc as tg
from tinygrad_fc.graph.fold import MANY, Group


def leaf(shape: tuple[int, ...] = (), name: str | None = None) -> tg.Tensor:
    return tg.tensor(np.full(shape, 0.5), requires_grad=True, name=name)


def repeats(root: Group) -> list[Group]:
    return [group for group in root.groups() if group.kind == "repeat"]


def structure(turn: Group) -> Any:
    """What turns that are alike have in common: operations, shapes, and the edges inside."""
    boxes = list(turn.boxes())
    places = {box.id: place for place, box in enumerate(boxes)}
    return [(box.kind, box.op, box.shape, box.dtype,
             [(argument, places.get(source, -1)) for argument, source in box.inputs]) for box in boxes]  # fmt: skip


def assert_tree(graph: tg.Graph, root: Group) -> None:
    """Every box is in exactly one group; no group is too large or empty; contracted groups form no circle."""
    assert sorted(box.id for box in root.boxes()) == [box.id for box in graph.nodes]
    groups = list(root.groups())
    assert [group.id for group in groups] == list(range(len(groups)))
    path: dict[int, list[tuple[int, object]]] = {}  # for each box the groups around it, each with the member it is in
    for group in groups:
        assert 0 < len(group.members) <= MANY
        for member in group.members:
            if isinstance(member, Group):
                assert member.parent is group
    for group in groups:
        for member in group.members:
            for box in member.boxes() if isinstance(member, Group) else (member,):
                path.setdefault(box.id, []).append((group.id, member))
    edges: dict[int, dict[int, set[int]]] = {group.id: {} for group in groups}
    for box in graph.nodes:
        for _, source in box.inputs:
            here = dict(path[box.id])
            for around, member in path[source]:
                if around in here and here[around] is not member:
                    edges[around].setdefault(id(here[around]), set()).add(id(member))
    for group in groups:
        assert_no_circle(edges[group.id])
        if group.kind == "repeat":
            turns = group.turns
            assert len(turns) == group.repeats >= 3
            assert all(structure(turn) == structure(turns[0]) for turn in turns[1:])


def assert_no_circle(edges: dict[int, set[int]]) -> None:
    left = {target: set(sources) for target, sources in edges.items()}
    while left:
        free = [target for target, sources in left.items() if not sources & left.keys()]
        assert free, "the members of a group wait for each other"
        for target in free:
            del left[target]

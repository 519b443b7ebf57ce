"""layout: every line leads from a row to the next, each use of an array has one, and few lines cross."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
from pictures import example, leaf, network

import tinygrad_fc as tg
from tinygrad_fc.graph.fold import fold
from tinygrad_fc.viz.cells import Cell, cells
from tinygrad_fc.viz.embed import Plan, plan
from tinygrad_fc.viz.layout import PORTS, Inside


def loop() -> Any:
    h, w = leaf(np.ones((2, 3)), "h"), leaf(np.ones((3, 3)), "w")
    total: Any = 0.0
    for _ in range(50):
        h = np.tanh(h @ w)
        total = total + h.mean()
    return total


def tangle(generator: np.random.Generator, count: int = 400) -> Any:
    pool = [leaf(np.ones(2), f"p{number}") for number in range(30)]
    for _ in range(count):
        a, b = (pool[int(generator.integers(0, len(pool)))] for _ in range(2))
        pool.append(a * b if generator.random() < 0.5 else a + b)
    out = pool[30]
    for item in pool[31:]:
        out = out + item
    return out.sum()


def planned(target: Any, boxes: int = 10_000) -> tuple[tg.Graph, Plan]:
    graph = target if isinstance(target, tg.Graph) else tg.Graph(target)
    return graph, plan(graph, fold(graph), boxes)


CASES = {
    "a leaf": lambda: leaf(1.0, "a"), "expression": example, "network": network,
    "composed network": lambda: network(fused=False, reg=0.1), "loop": loop,
    "fused operations opened": lambda: tg.Graph(network()).opened(),
    "tangle": lambda: tangle(np.random.default_rng(0)),
}  # fmt: skip


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> tuple[tg.Graph, Plan]:
    return planned(request.param())


def rank_of(inside: Inside) -> dict[int, int]:
    return {point: rank for rank, row in enumerate(inside.rows) for point in row}


def test_every_point_stands_in_one_row(case: tuple[tg.Graph, Plan]) -> None:
    for cell in case[1].found:
        if cell.members:
            inside = case[1].insides[cell.index]
            count = len(cell.members) + len(inside.entries) + len(inside.exits) + len(inside.lanes)
            assert sorted(point for row in inside.rows for point in row) == list(range(count))
            first = len(cell.members)
            assert sorted(inside.rows[0]) == list(range(first, first + len(inside.entries)))
            last = first + len(inside.entries)
            assert sorted(inside.rows[-1]) == list(range(last, last + len(inside.exits)))


def test_every_segment_leads_down_to_the_next_row(case: tuple[tg.Graph, Plan]) -> None:
    for inside in case[1].insides.values():
        rank = rank_of(inside)
        for above, _, below, _, _ in inside.segments:
            assert rank[below] == rank[above] + 1


def carried(found: list[Cell], inside: Inside, source: Cell, start: int, end: int) -> bool:
    """Whether a line that carries `source` leads from one point to another."""
    queue, seen = deque([start]), {start}
    while queue:
        at = queue.popleft()
        for above, _, below, _, net in inside.segments:
            if above == at and below not in seen and source.index in inside.nets[net]:
                seen.add(below)
                queue.append(below)
    return end in seen


def test_every_use_of_an_array_is_a_line_through_every_group_on_its_way(case: tuple[tg.Graph, Plan]) -> None:
    graph, planned = case
    for box in graph.nodes:
        for _, source in box.inputs:
            end = planned.places[box.id]
            start = planned.places[source].result or planned.places[source]
            if end.result is not None:
                continue  # an opened fused operation: what is inside reads it
            whole = start
            while start.parent is not end.parent:
                if start.depth >= end.depth:
                    group = start.parent
                    assert group is not None
                    inside = planned.insides[group.index]
                    first = len(group.members) + len(inside.entries)
                    port = next(number for number, port in enumerate(inside.exits) if whole.index in port)
                    assert carried(planned.found, inside, whole, group.members.index(start), first + port)
                    start = group
                else:
                    group = end.parent
                    assert group is not None
                    inside = planned.insides[group.index]
                    port = next(number for number, port in enumerate(inside.entries) if whole.index in port)
                    entry = len(group.members) + port
                    assert carried(planned.found, inside, whole, entry, group.members.index(end))
                    end = group
            around = start.parent
            if around is None or start is end:
                continue
            inside = planned.insides[around.index]
            assert carried(planned.found, inside, whole, around.members.index(start), around.members.index(end))


def test_no_line_is_without_an_array(case: tuple[tg.Graph, Plan]) -> None:
    graph, planned = case
    used = {(planned.places[s].result or planned.places[s]).index for box in graph.nodes for _, s in box.inputs}
    for inside in planned.insides.values():
        assert {source for net in inside.nets for source in net} <= used
        assert all(len(port) == 1 for port in inside.entries) or len(inside.entries) == 1
        assert len(inside.entries) <= PORTS
        assert len(inside.exits) <= PORTS


def test_parameters_stand_right_above_their_first_user() -> None:
    _, planned = case = planned_network()
    for cell in planned.found:
        if not cell.members:
            continue
        inside = planned.insides[cell.index]
        rank = rank_of(inside)
        lanes = len(cell.members) + len(inside.entries) + len(inside.exits)
        for point, member in enumerate(cell.members):
            below = [other for above, _, other, _, _ in inside.segments if above == point]
            if member.box is not None and member.box.kind != "op" and below:
                assert any(other < lanes for other in below)
                assert min(rank[other] for other in below) == rank[point] + 1
    assert case[0].nodes


def crossings(inside: Inside) -> list[Any]:
    """Return the pairs of lines that cross, from each row to the next."""
    place = {point: position for row in inside.rows for position, point in enumerate(row)}
    rank = rank_of(inside)
    pairs = [(above, below) for above, _, below, _, _ in inside.segments]
    return [
        (p, q) for p in pairs for q in pairs
        if rank[p[0]] == rank[q[0]] and place[p[0]] < place[q[0]] and place[p[1]] > place[q[1]]
    ]  # fmt: skip


def planned_network() -> tuple[tg.Graph, Plan]:
    return planned(network(fused=False, reg=0.1))


@pytest.mark.parametrize(("count", "rows"), [(10, 1), (11, 2), (25, 3), (30, 3)])
def test_many_parameters_of_one_operation_stand_in_several_rows(count: int, rows: int) -> None:
    parameters = [leaf(np.ones(2), f"p{number}") for number in range(count)]
    graph, made = planned(np.concatenate(parameters).sum())
    (inside,) = made.insides.values()
    ranks = rank_of(inside)
    lowest = ranks[made.places[graph.nodes[count].id].index - 1] - 1
    sizes = [sum(point < count for point in row) for row in inside.rows[: lowest + 1]]
    assert [size for size in sizes if size] == sizes[-rows:]
    assert sum(sizes) == count
    assert max(sizes) - min(sizes[-rows:]) <= 1
    # The lines of upper rows pass between the boxes of the lower ones, and do not cross.
    assert crossings(inside) == []


def test_lines_without_need_to_cross_do_not() -> None:
    # Two chains that are joined at the end, drawn in an order that crosses them.
    a, b = leaf(np.ones(2), "a"), leaf(np.ones(2), "b")
    first, second = np.exp(a), np.tanh(b)
    _, one = planned(np.sin(second) - np.cos(first))
    assert crossings(one.insides[0]) == []


def test_it_is_the_same_each_time() -> None:
    first, second = (planned(tangle(np.random.default_rng(3), 200))[1] for _ in range(2))
    assert first.insides == second.insides


# ---- cells


def test_a_graph_that_fits_is_there_whole(case: tuple[tg.Graph, Plan]) -> None:
    graph, planned = case
    boxes = [cell.box for cell in planned.found if cell.box is not None]
    assert sorted(box.id for box in boxes) == list(range(len(graph.nodes)))
    assert [cell.index for cell in planned.found] == list(range(len(planned.found)))
    assert all(planned.places[box.id].box is box for box in graph.nodes)
    assert planned.found[0].size == sum(box.inside is None for box in graph.nodes)
    for cell in planned.found[1:]:
        assert cell.parent is not None
        assert cell.parent.index < cell.index
        assert cell in cell.parent.members
        assert cell.depth == cell.parent.depth + 1


def test_of_many_turns_the_first_and_the_last_are_kept() -> None:
    graph, whole = planned(loop())
    found, places = cells(fold(graph), 60)
    (rest,) = [cell for cell in found if cell.kind == "rest"]
    (repeat,) = [cell for cell in found if cell.kind == "repeat"]
    turns = [cell for cell in found if cell.kind == "turn"]
    assert rest.parent is repeat
    assert len(turns) == 4
    assert rest.repeats == repeat.repeats - 4
    assert rest.label == f"{rest.repeats} more alike"
    assert rest.size == sum(places[box.id] is rest for box in graph.nodes)
    assert turns[-1].label == f"turn {repeat.repeats}"
    assert len(found) < len(whole.found) / 2
    assert sum(cell.size for cell in found if not cell.members) == len(graph.nodes)


@pytest.mark.parametrize("limit", [1, 20, 45, 100])
@pytest.mark.parametrize("which", ["tangle", "fused operations opened"])
def test_what_does_not_fit_is_closed(limit: int, which: str) -> None:
    graph, small = planned(CASES[which](), limit)
    whole = plan(graph, fold(graph))
    assert len(small.found) <= max(limit, 1 + len(small.found[0].members))
    assert set(small.places) == set(range(len(graph.nodes)))
    count = sum(box.inside is None for box in graph.nodes)
    outer = [cell for cell in small.found if cell.parent is None or cell.parent.kind != "fused"]
    assert sum(cell.size for cell in outer if not cell.members or cell.kind == "fused") == count
    closed = [cell for cell in small.found if cell.kind != "box" and not cell.members]
    assert bool(closed) == (len(whole.found) > limit)
    assert all(cell.result is None for cell in closed)
    assert set(small.insides) == {cell.index for cell in small.found if cell.members}

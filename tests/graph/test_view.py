"""view: each edge of the graph is in the picture, or inside one box of it; what is open and folded is as asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import loop_in_a_loop, without_structure

import tinygrad_fc as tg
from tinygrad_fc.graph.fold import fold
from tinygrad_fc.graph.view import View, view


def leaf(shape: tuple[int, ...] = (), name: str | None = None) -> tg.Tensor:
    return tg.tensor(np.full(shape, 0.5), requires_grad=True, name=name)


def network(layers: int = 5) -> tg.Graph:
    model = tg.models.FullyConnectedNet([8] * layers, input_dim=8, num_classes=3, fused=False, seed=0)
    return tg.Graph(model.loss_tensor(np.ones((4, 8), np.float32), np.array([0, 2, 1, 0])))


def recurrent(turns: int = 12) -> tg.Graph:
    w, inputs, h = leaf((3, 3), "w"), tg.tensor(np.ones((turns, 3)), name="x"), tg.tensor(np.zeros(3), name="h0")
    for t in range(turns):
        h = np.tanh(h @ w + inputs[t])
    return tg.Graph((h**2).sum())


def tangle(program: list[tuple[int, int, int]], times: int) -> tg.Graph:
    values: list[Any] = [leaf((2,)), leaf((2,))]
    for _ in range(times):
        for step, x, y in program:
            one, other = values[-1 - x % len(values)], values[-1 - y % len(values)]
            values.append([one + other, np.tanh(one), one * 0.5, np.maximum(one, other)][step])
    return tg.Graph(*values[-2:])


def assert_whole(graph: tg.Graph, seen: View) -> None:
    """Every box is shown by something, and every edge by an arrow, or inside one thing that is shown."""
    shown = {item.key: item for item in seen.root.boxes()}
    assert seen.keys.keys() == {box.id for box in graph.nodes}
    assert set(seen.keys.values()) == shown.keys()
    arrows: dict[tuple[str, str], int] = {}
    for edge in seen.edges:
        arrows[edge.source, edge.target] = arrows.get((edge.source, edge.target), 0) + edge.count
        assert edge.arguments
        assert len(set(edge.arguments)) == len(edge.arguments) <= edge.count
        assert edge.source != edge.target or edge.carried
    inside = 0
    for box in graph.nodes:
        for _, source in box.inputs:
            pair = seen.keys[source], seen.keys[box.id]
            inside += pair[0] == pair[1] and pair not in arrows
            assert pair in arrows or pair[0] == pair[1]
    assert sum(arrows.values()) + inside <= sum(len(box.inputs) for box in graph.nodes)


def assert_no_circle(seen: View) -> None:
    """Without what is carried from turn to turn, arrows lead one way."""
    waits: dict[str, set[str]] = {}
    for edge in seen.edges:
        if not edge.carried:
            waits.setdefault(edge.target, set()).add(edge.source)
    while waits:
        free = [target for target, sources in waits.items() if not sources & waits.keys()]
        assert free
        for target in free:
            del waits[target]


PROGRAMS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12)


@given(PROGRAMS, st.integers(1, 40), st.booleans(), st.sampled_from([None, 10, 300]))
def test_any_graph(program: list[tuple[int, int, int]], times: int, repeats: bool, limit: int | None) -> None:
    graph = tangle(program, times)
    seen = view(graph, fold(graph), limit=limit, repeats=repeats)
    assert_whole(graph, seen)
    assert_no_circle(seen)
    if limit is None and not repeats:
        assert {item.key for item in seen.root.boxes()} == {f"n{box.id}" for box in graph.nodes}
        assert sum(edge.count for edge in seen.edges) == sum(len(box.inputs) for box in graph.nodes)
        assert not any(edge.carried for edge in seen.edges)


@pytest.mark.parametrize("depth", [None, 0, 1, 2, 9])
@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("opened", [True, False])
def test_the_layers_of_a_network(depth: int | None, repeats: bool, opened: bool) -> None:
    graph = network().opened("all") if opened else network()
    seen = view(graph, fold(graph), depth, repeats=repeats)
    shown = {item.key for item in seen.root.boxes()}
    assert set(seen.keys.values()) == shown
    assert {edge.source for edge in seen.edges} | {edge.target for edge in seen.edges} <= shown
    if not opened:
        assert_whole(graph, seen)
    assert_no_circle(seen)


def labels(seen: View) -> list[str]:
    return [item.group.label if item.group else str(item.box and (item.box.label or item.box.op))
            for item in seen.root.boxes()]  # fmt: skip


def test_depth_opens_modules_level_by_level() -> None:
    graph = network(2)
    root = fold(graph)
    named = [label for label in labels(view(graph, root, 0)) if label != "None"]
    assert named == ["X", "FullyConnectedNet", "criterion"]
    one = labels(view(graph, root, 1))
    assert [label for label in one if label.startswith("fc")] == ["fc1", "fc2", "fc3"]
    two = labels(view(graph, root, 2))
    assert {"fc1.W", "matmul"} <= set(two)
    assert two == labels(view(graph, root)) == labels(view(graph, root, 7))


def test_a_repeat_shows_its_first_turn_and_what_is_carried() -> None:
    graph = recurrent()
    seen = view(graph, fold(graph))
    (repeat,) = [item for item in seen.root.members if item.members]
    matmul, add, tanh = [item.key for item in repeat.members if item.box and item.box.op]
    assert [graph.nodes[int(key[1:])].op for key in (matmul, add, tanh)] == ["matmul", "add", "tanh"]
    edges = {(edge.source, edge.target, edge.carried): edge.count for edge in seen.edges}
    assert edges[tanh, matmul, True] == 11
    assert edges[matmul, add, False] == edges[add, tanh, False] == 12
    assert [edge for edge in seen.edges if edge.carried] == [edge for edge in seen.edges if edge.source == tanh][:1]
    last = [box.id for box in graph.nodes if box.op == "tanh"][-1]
    assert seen.keys[last] == tanh


def test_a_repeat_in_a_repeat_shows_the_first_turn_of_both() -> None:
    graph = loop_in_a_loop()
    root = fold(graph)
    assert [group.repeats for group in root.groups() if group.kind == "repeat"][:2] == [6, 40]
    seen = view(graph, root)
    assert_whole(graph, seen)
    assert_no_circle(seen)
    assert sorted(labels(seen)) == ["exp", "h", "multiply", "tanh", "w"]
    carried = {(edge.source, edge.target): edge.count for edge in seen.edges if edge.carried}
    multiply, tanh, exp = [item.key for item in seen.root.boxes() if item.box and item.box.op]
    assert carried == {(tanh, multiply): 6 * 39, (exp, multiply): 5}


def test_what_repeats_in_a_folded_module_is_carried_inside_it() -> None:
    graph = network(8)
    seen = view(graph, fold(graph), 0)
    assert not any(edge.carried for edge in seen.edges)
    assert_whole(graph, seen)


def test_sections_fold_where_there_are_too_many_boxes() -> None:
    graph = tangle([(0, 3, 1), (1, 2, 7), (3, 1, 5), (2, 6, 0), (0, 0, 8), (1, 4, 4), (3, 9, 2)], 1)
    large = without_structure(600)
    root = fold(large)
    assert len(large) > 300
    few = view(large, root)
    assert 1 < sum(1 for _ in few.root.boxes()) <= 300
    assert {item.group.kind for item in few.root.boxes() if item.group} == {"section"}
    assert_whole(large, few)
    assert_no_circle(few)
    every = view(large, root, limit=None)
    assert {item.key for item in every.root.boxes()} == {f"n{box.id}" for box in large.nodes}
    assert view(graph, fold(graph)).keys.keys() == {box.id for box in graph.nodes}


def test_a_chain_of_a_hundred_thousand_is_a_few_boxes() -> None:
    w, h = leaf(name="w"), leaf()
    for _ in range(50_000):
        h = h * w + 1.0
    graph = tg.Graph(h)
    seen = view(graph, fold(graph))
    assert sorted(labels(seen)) == ["None", "add", "multiply", "w"]
    assert_whole(graph, seen)
    assert_no_circle(seen)

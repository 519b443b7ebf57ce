"""fold: every box has its place, nothing is a circle, nothing is too large, and what repeats is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from folds import assert_no_circle, assert_tree, leaf, repeats, structure
from hypothesis import given
from hypothesis import strategies as st
from pictures import loop_in_a_loop, without_structure

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.graph import GraphNode
from tinygrad_fc.graph.fold import MANY, Group, fold


def test_the_checks_of_folds_can_fail() -> None:
    with pytest.raises(AssertionError, match="wait for each other"):
        assert_no_circle({1: {2}, 2: {3}, 3: {1}, 4: {1}})
    assert_no_circle({1: {2, 3}, 2: {3}})
    graph = tg.Graph(np.exp(leaf()) * 2.0)
    root = fold(graph)
    assert_tree(graph, root)
    first, exp, twice = root.members
    root.members.append(first)
    with pytest.raises(AssertionError):
        assert_tree(graph, root)
    root.members[:] = [exp, Group("section", "steps 1-2", [first, twice], root, 1)]
    with pytest.raises(AssertionError, match="wait for each other"):
        assert_tree(graph, root)


# ---- any graph

STEPS: list[Callable[[Any, Any], Any]] = [
    lambda x, y: x + y, lambda x, y: x * 0.5, lambda x, y: np.tanh(x), lambda x, y: np.sin(y) * x,
    lambda x, y: np.maximum(x, y), lambda x, y: x - np.ones(2),
]  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=120),
       st.integers(1, 3), st.integers(1, 30))  # fmt: skip
def test_any_graph(program: list[tuple[int, int, int]], leaves: int, times: int) -> None:
    """A program of random steps, run again and again over its own last results."""
    values: list[Any] = [leaf((2,)) for _ in range(leaves)]
    for _ in range(times if len(program) < 12 else 1):
        for step, x, y in program:
            values.append(STEPS[step](values[-1 - x % len(values)], values[-1 - y % len(values)]))
    graph = tg.Graph(*values[-3:]) if len(values) > leaves + 3 else tg.Graph(values[-1])
    assert_tree(graph, fold(graph))


class Block(nn.Module):
    def __init__(self, width: int, deep: int) -> None:
        self.fc = nn.Linear(width, width, seed=0)
        self.inner: Any = Block(width, deep - 1) if deep else None

    def forward(self, x: Any) -> Any:
        h = np.tanh(self.fc(x))
        return x + (self.inner(h) if self.inner is not None else h)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=5), st.booleans())
def test_any_modules(calls: list[tuple[int, int]], twice: bool) -> None:
    blocks = [Block(2, deep) for deep in range(3)]
    x = np.ones((1, 2))
    for which, times in calls:
        for _ in range(times):
            x = blocks[which](x)
    graph = tg.Graph(blocks[0](x).sum() + (blocks[0](x).sum() if twice else 0.0))
    root = fold(graph)
    assert_tree(graph, root)
    for group in root.groups():
        if group.kind == "module":
            assert len({box.calls[: depth_of(group)] for box in group.boxes()}) == 1


def depth_of(group: Group) -> int:
    around: Group | None = group
    depth = 0
    while around is not None:
        depth += around.kind == "module"
        around = around.parent
    return depth


# ---- what repeats

BODY: list[Callable[[Any, Any], Any]] = [
    lambda h, w: h * w, lambda h, w: np.tanh(h), lambda h, w: h + 1.0, lambda h, w: np.exp(-h), lambda h, w: h - w,
    lambda h, w: np.sin(h), lambda h, w: np.sqrt(h * h), lambda h, w: h / 2.0,
]  # fmt: skip


@pytest.mark.parametrize("period", range(1, 9))
def test_a_loop_of_any_period(period: int) -> None:
    w, h = leaf(name="w"), leaf()
    for _ in range(20):
        for step in BODY[:period]:
            h = step(h, w)
    graph = tg.Graph(h)
    root = fold(graph)
    assert_tree(graph, root)
    (found,) = repeats(root)
    assert found.repeats == 20
    operations = [box for box in found.turns[0].boxes() if box.op]
    assert len(operations) * 20 == sum(box.op is not None for box in graph.nodes)
    assert found.label == ("multiply" if period == 1 else "loop")


def test_a_loop_in_a_loop() -> None:
    graph = loop_in_a_loop()
    root = fold(graph)
    assert_tree(graph, root)
    outer = repeats(root)[0]
    assert outer.repeats == 6
    inner = [group for group in outer.turns[2].groups() if group.kind == "repeat"]
    assert [group.repeats for group in inner] == [40]


def test_a_recurrent_network_reads_each_input_in_its_turn() -> None:
    w, inputs, h = leaf((3, 3), "w"), tg.tensor(np.ones((12, 3)), name="x"), tg.tensor(np.zeros(3), name="h0")
    for t in range(12):
        h = np.tanh(h @ w + inputs[t])
    graph = tg.Graph((h**2).sum())
    root = fold(graph)
    assert_tree(graph, root)
    (found,) = repeats(root)
    assert found.repeats == 12
    assert [box.op for box in found.turns[5].boxes() if box.op] == ["matmul", "add", "tanh"]
    assert all(sum(box.kind == "constant" for box in turn.boxes()) == 1 for turn in found.turns)
    outside = [member.label for member in root.members if isinstance(member, GraphNode) and member.op is None]
    assert outside == ["w", "h0"]


def test_inputs_that_need_a_gradient_are_taken_apart_in_their_turns() -> None:
    inputs, h = leaf((12, 3), "x"), leaf((3,), "h0")
    for t in range(12):
        h = np.tanh(h) * inputs[t]
    graph = tg.Graph(h.sum())
    root = fold(graph)
    assert_tree(graph, root)
    (found,) = repeats(root)
    assert found.repeats >= 11
    assert sorted(str(box.op) for box in found.turns[1].boxes()) == ["getitem", "multiply", "tanh"]


@pytest.mark.parametrize("normalization", [None, "batchnorm"])
def test_the_layers_of_a_network(normalization: str | None) -> None:
    model = tg.models.FullyConnectedNet(
        [8] * 6, input_dim=8, num_classes=8, normalization=normalization, fused=False, seed=0
    )
    graph = tg.Graph(model.loss_tensor(np.ones((4, 8), np.float32), np.array([0, 2, 1, 0])))
    root = fold(graph)
    assert_tree(graph, root)
    (found,) = repeats(root)
    assert found.repeats >= 5
    parameters = 2 if normalization is None else 4
    assert all(sum(box.kind == "parameter" for box in turn.boxes()) == parameters for turn in found.turns)
    assert "…" in found.label
    assert found.parent is not None
    assert found.parent.label == "FullyConnectedNet"


def test_parameters_appended_to_a_list() -> None:
    weights = [leaf((2, 2), f"w{n}") for n in range(9)]
    h: Any = np.ones((1, 2))
    for w in weights:
        h = np.tanh(h @ w)
    graph = tg.Graph(h.sum())
    root = fold(graph)
    assert_tree(graph, root)
    (found,) = repeats(root)
    own = [[box.name for box in turn.boxes() if box.kind == "parameter"] for turn in found.turns]
    assert own == [[f"w{n}"] for n in range(9 - found.repeats, 9)]
    assert found.repeats >= 8


def test_a_module_called_twice_is_two_groups_and_its_weights_stand_before_them() -> None:
    layer = nn.Linear(2, 2, seed=0)
    graph = tg.Graph(layer(np.tanh(layer(np.ones((1, 2))))).sum())
    root = fold(graph)
    assert_tree(graph, root)
    assert [member.kind for member in root.members if isinstance(member, Group)] == ["module", "module"]
    assert {box.name for box in root.members if isinstance(box, GraphNode) and box.op is None} >= {"W", "b"}


def test_a_module_called_in_a_loop_repeats() -> None:
    layer = nn.Linear(2, 2, seed=0)
    h: Any = np.ones((1, 2))
    for _ in range(8):
        h = np.tanh(layer(h))
    graph = tg.Graph(h.sum())
    root = fold(graph)
    assert_tree(graph, root)
    (found,) = repeats(root)
    assert found.repeats == 8
    assert not any(box.kind == "parameter" for box in found.boxes())


def test_tied_weights_stand_in_the_layer_that_they_are_named_after() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            self.encode, self.decode = nn.Linear(3, 3, seed=0), nn.Linear(3, 3, seed=1)
            self.decode.W = self.encode.W

        def forward(self, x: Any) -> Any:
            return self.decode(np.tanh(self.encode(x)))

    graph = tg.Graph(Tied()(np.ones((1, 3))).sum())
    root = fold(graph)
    assert_tree(graph, root)
    encode, decode = [group for group in root.groups() if group.label in ("encode", "decode")]
    assert {box.label for box in encode.boxes() if box.kind == "parameter"} == {"encode.W", "encode.b"}
    assert {box.label for box in decode.boxes() if box.kind == "parameter"} == {"decode.b"}


def test_two_turns_are_no_repeat() -> None:
    h = leaf()
    for _ in range(2):
        h = np.tanh(np.exp(h) * 2.0 + 1.0)
    assert repeats(fold(tg.Graph(h))) == []


def test_turns_that_differ_in_shape_or_operation_are_no_repeat() -> None:
    h = leaf((2,))
    for n in range(9):
        h = np.concatenate([h, h[:1]]) if n % 2 else np.tanh(h)
    root = fold(tg.Graph(h.sum()))
    assert all(group.repeats <= 3 for group in repeats(root))


# ---- what is long


def test_a_chain_of_a_hundred_thousand() -> None:
    w, h = leaf(name="w"), leaf()
    for _ in range(50_000):
        h = h * w + 1.0
    graph = tg.Graph(h)
    root = fold(graph)
    assert_tree(graph, root)
    (found,) = repeats(root)
    assert found.repeats == 50_000
    assert [box.op for box in found.turns[-1].boxes()] == ["multiply", "add"]


def test_what_has_no_structure_is_cut_into_sections() -> None:
    graph = without_structure(1_000)
    root = fold(graph)
    assert_tree(graph, root)
    labels = [group.label for group in root.groups() if group.kind == "section"]
    assert labels[0].startswith("steps 1–")
    assert len(labels) > len(graph) // MANY // 2
    for count in (77, 100):
        assert all(len(group.members) > 1 for group in fold(without_structure(count)).groups() if group.parent)


def test_a_sum_of_hundreds_of_leaves() -> None:
    total: Any = 0.0
    for n in range(300):
        total = total + leaf(name=f"p{n}") * float(n)
    graph = tg.Graph(total)
    root = fold(graph)
    assert_tree(graph, root)
    assert repeats(root)


@pytest.mark.parametrize("value", [leaf(), np.exp(leaf())], ids=["a leaf", "one operation"])
def test_a_graph_of_almost_nothing(value: tg.Tensor) -> None:
    graph = tg.Graph(value)
    root = fold(graph)
    assert_tree(graph, root)
    assert len(list(root.groups())) == 1


def test_opened_operations_are_groups_that_know_their_result() -> None:
    model = tg.models.TwoLayerNet(input_dim=4, hidden_dim=3, num_classes=2, seed=0)
    graph = tg.Graph(model.loss_tensor(np.ones((2, 4), np.float32), np.array([0, 1]))).opened("all")
    root = fold(graph)
    assert sorted(box.id for box in root.boxes()) == [box.id for box in graph.nodes]
    fused = [group for group in root.groups() if group.kind == "fused"]
    assert [group.label for group in fused] == ["affine_relu", "affine", "softmax_loss"]
    for group in fused:
        assert group.box is not None
        assert group.members[-1].id == group.result
        assert all(isinstance(box, GraphNode) and box.inside == group.box.id for box in group.members)


def test_a_leaf_that_its_turn_uses_twice_is_the_turns_own() -> None:
    squares: Any = 0.0
    for _ in range(8):
        weight = leaf((3, 2))
        squares = squares + (weight * weight).sum()
    root = fold(tg.Graph(squares))
    assert_tree(tg.Graph(squares), root)
    (loop,) = repeats(root)
    assert loop.repeats >= 7
    assert [box.kind for box in loop.turns[0].boxes()].count("parameter") == 1
    mixed: Any = 0.0
    for n in range(8):
        first, second = leaf((3, 2)), leaf((3, 2))
        mixed = mixed + (first * (second if n % 2 else first) + second).sum()
    for group in repeats(fold(tg.Graph(mixed))):
        assert len({str(structure(turn)) for turn in group.turns}) == 1


def test_a_short_loop_in_a_loop_is_folded_in_each_turn() -> None:
    w, h = leaf((3, 3)), np.ones((2, 3))
    for _ in range(4):
        for _ in range(5):
            h = np.tanh(h @ w)
        h = h / np.sqrt((h * h).sum())
    graph = tg.Graph(np.sum(h))
    root = fold(graph)
    assert_tree(graph, root)
    outer, *inner = repeats(root)
    assert outer.repeats == 4
    assert [group.repeats for group in inner] == [5] * 4
    assert len({str(structure(turn)) for turn in outer.turns}) == 1

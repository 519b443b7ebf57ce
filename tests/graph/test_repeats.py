"""find_repeats: weights that a turn uses twice, lists that a loop makes, leaves that are some turns' alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from folds import assert_tree, leaf, repeats

import tinygrad_fc as tg
from tinygrad_fc.graph import GraphNode
from tinygrad_fc.graph.fold import Group, fold


def folded(output: tg.Tensor) -> Group:
    graph = tg.Graph(output)
    root = fold(graph)
    assert_tree(graph, root)
    return root


def labels(root: Group) -> list[str]:
    return [f"{group.label} × {group.repeats}" for group in repeats(root)]


def leaves_of(turn: Group) -> list[tuple[int, ...]]:
    return [box.shape for box in turn.boxes() if box.op is None]


def attention(x: Any, heads: int) -> Any:
    query, key, value = leaf((8, 8)), leaf((8, 8)), leaf((8, 8))
    found = []
    for h in range(heads):
        part = slice(2 * h, 2 * h + 2)
        weights = tg.softmax((x @ query)[:, part] @ (x @ key)[:, part].T / 2.0)
        found.append(weights @ (x @ value)[:, part])
    return x + np.concatenate(found, axis=1) @ leaf((2 * heads, 8))


BLOCKS: list[tuple[Callable[[Any], Any], int]] = [
    (lambda h: np.tanh(np.tanh(h @ (w := leaf((8, 8)))) @ w), 1),
    (lambda h: np.tanh(h @ (w := leaf((8, 8)))) * np.sin(h @ w), 1),
    (lambda h: np.sin((h @ (w := leaf((8, 8))) + (b := leaf((8,)))) @ w + b), 2),
    (lambda h: attention(h, 2), 4),
]


@pytest.mark.parametrize(("block", "weights"), BLOCKS, ids=["twice", "two branches", "with a bias", "two heads"])
def test_a_turn_that_uses_its_own_weights_twice(block: Callable[[Any], Any], weights: int) -> None:
    h: Any = leaf((6, 8), "x")
    for _ in range(12):
        h = block(h)
    root = folded(h.sum())
    assert labels(root) == ["loop × 12"]
    (found,) = repeats(root)
    assert all(len(leaves_of(turn)) == weights for turn in found.turns)
    assert [member.label for member in root.members if isinstance(member, GraphNode) and not member.op] == ["x"]


def test_the_heads_of_an_attention_are_a_loop_in_each_block() -> None:
    h: Any = leaf((6, 8), "x")
    for _ in range(3):
        h = attention(h, 4)
    assert labels(folded(h.sum())) == ["loop × 3"] + ["loop × 4"] * 3


def test_one_weight_twice_is_not_two_weights() -> None:
    h: Any = leaf((2, 4), "x")
    for n in range(12):
        first, second = leaf((4, 4)), leaf((4, 4))
        h = np.tanh(np.tanh(h @ first) @ (first if n % 2 else second))
    root = folded(h.sum())
    found = repeats(root)[0]
    assert found.repeats == 6
    assert {tuple(leaves_of(turn)) for turn in found.turns} == {((4, 4),) * 3}


def test_a_weight_of_every_turn_stands_before_the_loop_and_that_of_three_turns_in_it() -> None:
    shared, h = leaf((4, 4), "shared"), leaf((2, 4), "h0")
    for _ in range(9):
        h = np.tanh(np.tanh(h @ shared) @ shared + leaf((4,)))
    root = folded(h.sum())
    assert [member.label for member in root.members if isinstance(member, GraphNode) and not member.op] == [
        "shared", "h0",
    ]  # fmt: skip
    h = leaf((2, 4), "h0")
    for w in (leaf((4, 4)) for _ in range(4)):
        for _ in range(3):
            h = np.tanh(h @ w)
    found = repeats(folded(h.sum()))[0]
    assert found.repeats == 4
    assert all(len(leaves_of(turn)) == 1 for turn in found.turns)


def test_a_sum_over_a_list_is_folded_with_the_loop_that_made_it() -> None:
    w = leaf((5, 5), "W")
    losses = [((w @ leaf((5,))) ** 2).sum() for _ in range(30)]
    root = folded(sum(losses))
    assert labels(root) == ["loop × 30", "add × 29"]
    assert sum(isinstance(member, GraphNode) for member in root.members) == 2  # the weight, and the first of the sum


def test_a_penalty_on_the_weights_of_a_loop() -> None:
    weights, h = [leaf((4, 4), f"w{n}") for n in range(20)], leaf((2, 4), "x")
    for w in weights:
        h = np.tanh(h @ w)
    root = folded(h.sum() + 0.1 * sum((w * w).sum() for w in weights))
    assert labels(root) == ["loop × 20", "loop × 19"]
    assert leaves_of(repeats(root)[0].turns[3]) == [(4, 4)]


def test_a_loop_that_runs_back_over_another() -> None:
    h = x = leaf((8,), "x")
    for _ in range(20):
        h = np.tanh(h * 1.1)
    (gradient,) = tg.gradients(h.sum(), x, create_graph=True)
    assert labels(folded((gradient * gradient).sum())) == ["loop × 20", "loop × 20"]


def test_leaves_that_two_turns_share_go_with_the_first_of_them() -> None:
    windows, total = [leaf((3,), f"x{n}") for n in range(20)], leaf(())
    for one, other in zip(windows, windows[1:], strict=False):
        total = total + (one * other).sum()
    root = folded(total)
    (found,) = repeats(root)
    assert found.repeats >= 18
    assert all(leaves_of(turn) == [(3,)] for turn in found.turns)


def test_inputs_from_outside_a_module_that_each_turn_uses_twice() -> None:
    class Net(tg.nn.Module):
        def __init__(self) -> None:
            self.w = tg.nn.Parameter(np.eye(4))

        def forward(self, xs: Any) -> Any:
            h: Any = np.zeros((2, 4))
            for x in xs:
                h = np.tanh(h @ self.w + x) * tg.sigmoid(x @ self.w)
            return h.sum()

    root = folded(Net()([tg.tensor(np.full((2, 4), float(n))) for n in range(10)]))
    assert [group.repeats for group in repeats(root)] == [10]

"""Rehearsing backward: the numbers are those of the real one, watched, and nothing is touched."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import INPUTS, PROGRAMS, evaluate

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.profile import rehearse


def facts(graph: tg.Graph, *keys: str) -> list[str]:
    """Return some facts of each box as text, in which NaN is equal to itself."""
    return [json.dumps({key: box.facts.get(key) for key in keys}) for box in graph.nodes]


@settings(max_examples=60)
@given(program=PROGRAMS, shapes=INPUTS, seed=st.integers(0, 2**32 - 1))
def test_a_rehearsal_is_what_an_observed_backward_does(program: Any, shapes: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.uniform(-1.5, 1.5, shape)) for shape in shapes]
    plain = [tg.tensor(a, requires_grad=True) for a in arrays]
    out = evaluate(program, plain)
    graph = tg.Graph(out)
    assert rehearse(graph, out) == ""
    watched = [tg.tensor(a, requires_grad=True) for a in arrays]
    with tg.observe(values=True):
        real = evaluate(program, watched)
        real.backward()
    seen = tg.Graph(real)
    assert facts(graph, "gradient", "backward") == facts(seen, "gradient", "backward")
    for box, other in zip(graph.nodes, seen.nodes, strict=True):
        if box.kind == "op" and "value" in box.facts:  # computed again, it has the same bits
            assert json.dumps(box.facts["value"]) == json.dumps(other.facts["value"])
    assert all(t.grad is None for t in plain)
    out.backward()  # nothing was freed
    for a, b in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(a.grad, b.grad)
    assert all("facts" not in (box.node.info or {}) for box in graph.nodes if box.kind != "constant")  # type: ignore[union-attr]  # nodes


def test_values_come_from_the_tape_from_variables_and_from_computing_again() -> None:
    a, b = tg.tensor(2.0, requires_grad=True), tg.tensor(3.0, requires_grad=True)
    out = (a + b) + 1.0  # no rule of these reads anything, so the tape has no number
    graph = tg.Graph(out)
    assert rehearse(graph) == ""
    assert [box.facts["value"]["numbers"] for box in graph.nodes] == [2.0, 3.0, 5.0, 6.0]

    def lost() -> tg.Tensor:
        x = tg.tensor(2.0, requires_grad=True)
        return x + 1.0

    graph = tg.Graph(lost())
    assert rehearse(graph) == ""
    assert ["value" in box.facts for box in graph.nodes] == [False, False]
    assert graph.nodes[0].facts["gradient"]["numbers"] == 1.0


def test_every_value_of_a_network_is_known() -> None:
    net = nn.Sequential(
        nn.Linear(4, 5, activation="relu", seed=0), nn.BatchNorm1d(5), nn.Dropout(0.5, seed=3), nn.Linear(5, 2, seed=1)
    )
    loss = tg.softmax_loss(net(np.ones((6, 4), np.float32)), np.array([0, 1, 1, 0, 1, 0]))
    state = json.dumps([list(map(float, np.ravel(a))) for _, a in net.named_buffers()])
    graph = tg.Graph(loss)
    assert rehearse(graph, loss) == ""
    assert [box.op for box in graph.nodes if "value" not in box.facts and box.kind == "op"] == []
    assert all("value" in box.facts for box in graph.nodes if box.kind == "parameter")
    assert state == json.dumps([list(map(float, np.ravel(a))) for _, a in net.named_buffers()])


def test_what_backward_would_free_is_told() -> None:
    x = tg.tensor(np.ones(4), requires_grad=True)
    graph = tg.Graph(np.exp(x).sum())
    rehearse(graph)
    assert [box.facts["backward"]["freed"] for box in graph.nodes] == [0, 32, 0]


def test_an_observed_graph_is_left_as_it_is() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.observe(values=True):
        out = (x * x).sum()
        out.backward()
    graph = tg.Graph(out)
    before = facts(graph, "gradient", "backward", "value")
    assert rehearse(graph) == ""
    assert facts(graph, "gradient", "backward", "value") == before


def test_what_another_graph_was_given_is_not_taken_for_this_ones() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.observe(values=True):
        shared = x * x
        shared.sum().backward(retain_graph=True)
        out = (shared * 3.0).sum()
    graph = tg.Graph(out)
    assert rehearse(graph, out) == ""
    assert [box.facts["gradient"]["numbers"] for box in graph.nodes] == [[6.0, 12.0], [3.0, 3.0], [1.0, 1.0], 1.0]


def test_why_backward_cannot_be_rehearsed() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    squares = x * x
    assert "has shape (2,)" in rehearse(tg.Graph(squares))
    out = squares.sum()
    assert "too large" in rehearse(tg.Graph(out), boxes=2)
    assert "too large" in rehearse(tg.Graph(out), elements=2)
    out.backward()
    freed = tg.Graph(out)
    assert "freed by an earlier backward" in rehearse(freed)
    assert freed.nodes[0].facts["value"]["numbers"] == [1.0, 2.0]  # `x` is alive
    stale = tg.Graph((x * x).sum())
    x.data = np.array([5.0, 6.0])
    assert "was overwritten" in rehearse(stale)
    assert all("value" not in box.facts for box in stale.nodes)


def test_a_checkpointed_piece_is_not_run_for_a_picture() -> None:
    norm, ran = nn.BatchNorm1d(3), []

    def layer(x: Any) -> Any:
        ran.append(len(ran))
        return norm(x)

    x = tg.tensor(np.arange(12.0).reshape(4, 3), requires_grad=True)
    out = np.sum(tg.checkpoint(layer)(x) ** 2)
    state = norm.running_mean.copy(), norm.running_var.copy()
    graph = tg.Graph(out)
    assert "would run again" in rehearse(graph, out)
    assert ran == [0]
    np.testing.assert_array_equal((norm.running_mean, norm.running_var), state)
    assert not any("gradient" in box.facts for box in graph.nodes)
    assert [box.op for box in graph.nodes if "value" in box.facts and box.op] == ["checkpoint", "power", "sum"]


def test_a_rule_that_raises_is_a_reason(registry: None) -> None:
    def fails(g: Any) -> Any:
        raise RuntimeError("no derivative today")

    double = tg.op(lambda x: 2.0 * x, name="double_that_fails", x=fails)
    x = tg.tensor(1.0, requires_grad=True)
    assert "no derivative today" in rehearse(tg.Graph(double(x)))


def test_what_is_marked_is_named_and_its_message_is_not_told_twice(registry: None) -> None:
    def fails(g: Any) -> Any:
        raise RuntimeError("no derivative today")

    double = tg.op(lambda x: 2.0 * x, name="double_that_fails", x=fails)
    x = tg.tensor(np.ones((2, 3)), requires_grad=True)
    with pytest.raises(ValueError, match="matmul"), tg.observe() as run:
        x @ np.ones((2, 3))
    assert rehearse(run.graph()) == "Backward does not run: matmul, which is marked, has no result."
    with pytest.raises(RuntimeError, match="no derivative"), tg.observe() as run:
        double(x).sum().backward(retain_graph=True)
    assert rehearse(run.graph()) == "Backward does not get beyond double_that_fails, which is marked."


def test_a_rule_that_is_marked_as_wrong_runs_as_it_stands(registry: None) -> None:
    square = tg.op(lambda x: x * x, name="square_gone_wrong", x=lambda g, x: g * x)
    graph = tg.gradcheck(lambda x: square(x).sum(), np.array([0.3, 0.7])).graph()
    assert [box.op for box in graph.nodes if box.mark] == ["square_gone_wrong"]
    assert rehearse(graph) == ""
    assert graph.nodes[0].facts["gradient"]["numbers"] == [0.3, 0.7]
    assert "value" not in graph.nodes[1].facts  # the rule runs; the function, which is the user's, does not run again


@pytest.mark.parametrize("count", [1, 2])
def test_several_outputs_are_differentiated_together(count: int) -> None:
    x = tg.tensor(3.0, requires_grad=True)
    outputs = [x * x, x * 2.0][:count]
    graph = tg.Graph(*outputs)
    assert rehearse(graph) == ""
    assert graph.nodes[0].facts["gradient"]["numbers"] == [6.0, 8.0][count - 1]


def test_a_function_of_the_users_is_not_run_again(registry: None) -> None:
    generator = np.random.default_rng(0)
    noisy = tg.op(lambda x: x + generator.normal(size=x.shape), name="noisy", x=lambda g: g)
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    out = (noisy(x) + 1.0).sum()
    state = generator.bit_generator.state
    graph = tg.Graph(out)
    assert rehearse(graph) == ""
    assert generator.bit_generator.state == state
    assert ["value" in box.facts for box in graph.nodes] == [True, False, False, True]
    assert graph.nodes[0].facts["gradient"]["numbers"] == [1.0, 1.0]


class Shared(nn.Module):
    """A model with a layer that another has too."""

    def __init__(self, layer: nn.Module) -> None:
        self.mine = layer

    def parameters(self) -> Any:
        raise RuntimeError("asked for its parameters")


def test_models_are_looked_into_and_not_asked() -> None:
    layer = nn.Linear(2, 2, seed=0)
    first = nn.Sequential(layer)
    second = Shared(layer)
    assert [name for name, _ in first.named_parameters()] == ["0.W", "0.b"]
    out = first(np.ones((3, 2), np.float32)).sum()
    graph = tg.Graph(out)
    del layer
    assert rehearse(graph) == ""
    assert second.mine.W.name == "0.W"  # named by the one that was asked last
    assert all("value" in box.facts for box in graph.nodes if box.kind == "parameter")

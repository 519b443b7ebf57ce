"""Observing changes no number: results, gradients and generators, bit for bit, on all kinds of graphs.

And what is noted of backward is what it did: its order, its contributions and their sums, by independent accounts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import INPUTS, PROGRAMS, STEP, evaluate

import tinygrad_fc as tg
from tinygrad_fc import nn

SEEDS = st.integers(0, 2**32 - 1)


def drawn(shapes: list[Any], seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.uniform(-1.5, 1.5, shape)) for shape in shapes]


def bits(arrays: list[Any]) -> list[bytes]:
    return [np.asarray(array).tobytes() for array in arrays]


def twice(f: Callable[[], list[Any]], values: bool) -> tuple[list[bytes], list[bytes], Any]:
    """Return what a computation gives without and with an observer, and the observer."""
    plain = bits(f())
    with tg.observe(values) as run:
        seen = bits(f())
    return plain, seen, run


@settings(max_examples=100)
@given(program=PROGRAMS, shapes=INPUTS, seed=SEEDS, values=st.booleans())
def test_observed_is_unobserved_bit_for_bit(program: Any, shapes: Any, seed: int, values: bool) -> None:
    def f() -> list[Any]:
        inputs = [tg.tensor(a, requires_grad=True) for a in drawn(shapes, seed)]
        out = evaluate(program, inputs)
        first = [d.data for d in tg.gradients(out, inputs, retain_graph=True)]
        out.backward(retain_graph=True)
        out.backward()  # shared arrays are added to in place
        return [out.data, *first, *[t.grad for t in inputs]]

    plain, seen, _ = twice(f, values)
    assert plain == seen


@settings(max_examples=30)
@given(program=st.lists(STEP, min_size=3, max_size=10), shapes=INPUTS, seed=SEEDS)
def test_derivatives_are_recorded_alike_and_observed_too(program: Any, shapes: Any, seed: int) -> None:
    def f() -> list[Any]:
        inputs = [tg.tensor(a, requires_grad=True) for a in drawn(shapes, seed)]
        first = tg.gradients(evaluate(program, inputs), inputs, create_graph=True)
        total = sum(((d * d).sum() for d in first), start=tg.tensor(0.0))
        second = tg.gradients(total, inputs) if total.requires_grad else []
        return [d.data for d in [*first, *second]]

    plain, seen, run = twice(f, True)
    assert plain == seen
    lines = [box for box in run.graph().nodes if box.kind == "op" and box.line is None]
    assert lines == []  # the derivative's operations as well


def network(kind: str) -> list[Any]:
    """Return what a step of training leaves: loss, gradients, buffers, and the next numbers of the generators."""
    net = nn.Sequential(
        nn.Linear(6, 5, activation="relu", seed=0), nn.BatchNorm1d(5), nn.Dropout(0.4, seed=1),
        nn.Linear(5, 5, seed=2), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, 3, seed=3),
    )  # fmt: skip
    x, y = np.random.default_rng(4).normal(size=(8, 6)).astype(np.float32), np.arange(8) % 3
    inputs = list(net.parameters())
    loss = tg.softmax_loss(net(x), y) + tg.l2_penalty(net[0].W, 0.1)
    if kind == "backward":
        loss.backward()
        found = [p.grad for p in inputs]
    else:
        found = [d.data for d in tg.gradients(loss, inputs, create_graph=kind == "recorded")]
    again = net(x)  # the generators stand where they would
    return [loss.data, *found, again.data, *[array for _, array in net.named_buffers()]]


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("kind", ["backward", "gradients", "recorded"])
def test_networks_with_generators_and_fused_operations(kind: str, values: bool) -> None:
    plain, seen, run = twice(lambda: network(kind), values)
    assert plain == seen
    assert run.marks == {}


# ---- what is noted of backward


def expected(graph: tg.Graph) -> list[int]:
    """Return the order in which backward must visit the operations: a sum is complete before it is handed on.

    By counting who still has something to give, and taking of those that are ready the newest: not the engine's way.
    """
    waiting = {box.id: 0 for box in graph.nodes}
    for box in graph.nodes:
        for _, source in box.inputs:
            waiting[source] += 1
    ready, order = [id for id, count in waiting.items() if not count], []
    while ready:
        id = max(ready)
        ready.remove(id)
        if graph.nodes[id].kind == "op":
            order.append(id)
        for _, source in graph.nodes[id].inputs:
            waiting[source] -= 1
            if not waiting[source]:
                ready.append(source)
    return order


@settings(max_examples=60)
@given(program=PROGRAMS, shapes=INPUTS, seed=SEEDS, recorded=st.booleans())
def test_contributions_add_up_to_the_gradients(program: Any, shapes: Any, seed: int, recorded: bool) -> None:
    inputs = [tg.tensor(a, requires_grad=True) for a in drawn(shapes, seed)]
    out = evaluate(program, inputs)
    with tg.observe(values=True):
        grads = tg.gradients(out, inputs, create_graph=recorded, retain_graph=True)
    graph = tg.Graph(out)
    assert graph.order() == expected(graph)
    sums: dict[int, np.ndarray] = {}
    for id in graph.order():
        box = graph.nodes[id]
        sources = dict(box.inputs)
        assert box.facts["backward"]["freed"] == 0
        gives = box.facts["backward"]["gives"]
        needing = [argument for argument, source in box.inputs if graph.nodes[source].kind != "constant"]
        assert [entry["argument"] for entry in gives] == needing
        for entry in gives:
            source = sources[entry["argument"]]
            d = np.asarray(entry["gradient"]["numbers"])
            sums[source] = sums[source] + d if source in sums else d
            np.testing.assert_array_equal(entry["total"]["numbers"], sums[source])
    for box in graph.nodes:
        if box.id in sums:
            np.testing.assert_array_equal(box.facts["gradient"]["numbers"], sums[box.id])
    for t, d in zip(inputs, grads, strict=True):
        at = next((box for box in graph.nodes if box.node is t.node), None)
        if at is not None:
            np.testing.assert_array_equal(at.facts["gradient"]["numbers"], d.data)
            np.testing.assert_array_equal(t.data, at.facts.get("value", {}).get("numbers", t.data))


def test_nothing_that_is_noted_is_an_array_that_backward_adds_to() -> None:
    x = tg.tensor(np.ones(3), requires_grad=True)
    with tg.observe(values=True) as run:
        h = x * 2.0
        out = (h * h + h + h).sum()
        out.backward(retain_graph=True)
        before = json.dumps([box.facts["backward"] for box in run.graph().nodes if box.kind == "op"])
        grads = [run.graph().nodes[0].facts["gradient"]["numbers"]]
    assert x.grad is not None
    x.grad += 100.0
    x.data[:] = 7.0
    assert json.dumps([box.facts["backward"] for box in run.graph().nodes if box.kind == "op"]) == before
    assert grads == [[12.0, 12.0, 12.0]]


def test_the_last_backward_is_the_one_that_is_told() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    with tg.observe(values=True):
        y.backward(np.ones(2), retain_graph=True)
        y.backward(np.array([10.0, 20.0]))
    box = tg.Graph(y).nodes[-1]
    assert box.facts["gradient"]["numbers"] == [10.0, 20.0]
    assert len(box.facts["backward"]["gives"]) == 2
    assert box.facts["backward"]["freed"] == x.data.nbytes


def test_a_leaf_of_two_graphs_has_in_each_what_arrived_there() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.observe(values=True):
        first, second, third = (x * x).sum(), (x * 3.0).sum(), (x * 5.0).sum()
        first.backward()
        second.backward()
    told = [tg.Graph(out).nodes[0].facts.get("gradient", {}).get("numbers") for out in (first, second, third)]
    assert told == [[2.0, 4.0], [3.0, 3.0], None]
    assert tg.Graph(first, second).nodes[0].facts["gradient"]["numbers"] == [3.0, 3.0]  # the last run's

"""Memory: what the tape holds, and that reference counting alone frees it."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.engine.node import Node, tick

SIZE = 100_000
ARRAY = SIZE * 8


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Switch the garbage collector off, after it has run."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def nodes_alive(since: int) -> int:
    """Return how many nodes are alive that are younger than a reading of the clock: those of the running test."""
    return sum(type(item) is Node and item.number > since for item in gc.get_objects())


def peak_in_arrays(f: object) -> float:
    """Return how many arrays of SIZE elements were alive at once while f ran."""
    gc.collect()
    tracemalloc.start()
    try:
        f()  # type: ignore[operator]  # any callable
        return tracemalloc.get_traced_memory()[1] / ARRAY
    finally:
        tracemalloc.stop()


def test_forty_additions_peak_at_three_arrays() -> None:
    x = tg.tensor(np.ones(SIZE), requires_grad=True)

    def chain() -> None:
        h = x
        for _ in range(40):
            h = h + 1.0
        h.sum().backward()

    assert peak_in_arrays(chain) <= 3.0
    assert (x.grad == 1.0).all()


def test_a_chain_that_must_keep_its_results_keeps_them_once() -> None:
    """exp keeps its output: 20 of them are 20 arrays, and backward frees as it goes."""
    x = tg.tensor(np.full(SIZE, 0.5), requires_grad=True)

    def chain() -> None:
        h = x
        for _ in range(20):
            h = np.exp(h * 0.01)  # the product keeps a number
        h.sum().backward()

    assert 20.0 <= peak_in_arrays(chain) <= 25.0


def test_constants_get_no_gradient_and_no_memory() -> None:
    x, w = np.ones((SIZE // 100, 100)), tg.tensor(np.ones((100, 2)), requires_grad=True)
    assert peak_in_arrays(lambda: (x @ w).sum().backward()) < 0.2


def test_no_node_outlives_its_tensors(no_collector: None) -> None:
    start = tick()
    w, b = tg.tensor(np.ones((3, 4)), requires_grad=True), tg.tensor(np.ones(4), requires_grad=True)
    x = np.ones((2, 3))
    loss = tg.softmax_loss(np.concatenate([tg.affine_relu(x, w, b), np.exp(x @ w)])[[0, 1]], np.array([1, 2]))
    loss = loss + (w * w).sum() + tg.tensor(1.0, requires_grad=True)
    assert nodes_alive(start) > 5
    loss.backward()
    del loss
    assert nodes_alive(start) == 2  # w and b
    del w, b
    assert nodes_alive(start) == 0


def test_no_node_outlives_an_unused_graph(no_collector: None) -> None:
    start = tick()
    x = tg.tensor(np.ones(3), requires_grad=True)
    out = np.stack([np.exp(x), x[[0, 0, 1]], x.at[0].set(2.0)])
    del out
    assert nodes_alive(start) == 1


def test_no_node_outlives_a_second_order(no_collector: None) -> None:
    start = tick()
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    (d,) = tg.gradients((x**3).prod(), x, create_graph=True)
    (second,) = tg.gradients(d.sum(), x)
    (e,) = tg.gradients(tg.softmax_loss(x.reshape(1, 2), np.array([0])), x, create_graph=True)  # through compose
    e.sum().backward()
    del d, second, e
    assert nodes_alive(start) == 1


def test_no_node_outlives_an_error(no_collector: None) -> None:
    start = tick()
    x = tg.tensor(np.ones((2, 3)), requires_grad=True)

    def fail() -> None:
        h = np.exp(x) * 2.0
        with pytest.raises(ValueError, match="matmul"):
            h @ h
        with pytest.raises(ValueError, match="shape"):
            h.backward()

    fail()
    gc.collect()  # a traceback holds its frames in a cycle: that one is Python's
    assert nodes_alive(start) == 1


def test_nodes_hold_arrays_and_no_tensors() -> None:
    x = tg.tensor(np.ones((2, 3)), requires_grad=True)
    w = tg.tensor(np.ones((3, 2)), requires_grad=True)
    h = tg.relu(np.exp(x) @ w)
    out = np.concatenate([h, h[[0, 1]]]).sum() + tg.softmax_loss(h, np.array([0, 1])) + tg.einsum("ij,ij->", h, h)
    seen, stack = set(), [out.node]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        held = [*node.parents, *(node.saved or ()), *(node.info or {}).values()]
        while held:
            item = held.pop()
            assert not isinstance(item, tg.Tensor), node
            held += (
                list(item) if isinstance(item, (tuple, list)) else list(item.values()) if isinstance(item, dict) else []
            )
        stack += [parent for parent in node.parents if type(parent) is Node]
        assert all(parent.number < node.number for parent in node.parents if type(parent) is Node)
    assert len(seen) > 8


def test_intermediate_tensors_are_freed_while_the_graph_lives(no_collector: None) -> None:
    x = tg.tensor(np.ones(3), requires_grad=True)
    h = x * 2.0
    tensor, array = weakref.ref(h), weakref.ref(h.data)
    out = (h + 1.0).sum()
    del h
    assert tensor() is None  # the tape holds its node
    assert array() is None  # no rule reads the product's result
    out.backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_saved_arrays_are_freed_by_backward(no_collector: None) -> None:
    x = tg.tensor(np.ones(3), requires_grad=True)
    h = np.exp(x)
    array = weakref.ref(h.data)
    out = (h * h).sum()
    del h
    assert array() is not None
    out.backward()
    assert array() is None  # although `out` and its node live on
    assert out.node.saved is None

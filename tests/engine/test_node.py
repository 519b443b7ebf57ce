"""The clock, the recording mode in blocks, functions, threads and tasks, and observers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.engine.node import MODE, OFF, Constant, Node, Observer, kind_of, recording, tick


def recorded() -> bool:
    return (tg.tensor(1.0, requires_grad=True) * 2.0).requires_grad


def test_the_clock_only_rises() -> None:
    a = tick()
    x = tg.tensor(1.0, requires_grad=True)
    y = x * 2.0
    assert a < x.node.number < y.node.number < tick()
    x.touch_()
    assert x.node.number > y.node.number


def test_the_clock_gives_each_number_once_across_threads() -> None:
    found: list[list[int]] = [[] for _ in range(4)]
    threads = [threading.Thread(target=lambda out=out: out.extend(tick() for _ in range(20_000))) for out in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [n for out in found for n in out]
    assert len(set(every)) == len(every) == 80_000
    assert all(out == sorted(out) for out in found)


def test_no_grad_nests_and_is_restored() -> None:
    assert recorded()
    with tg.no_grad():
        assert not recorded()
        with tg.no_grad():
            assert not recorded()
        assert not recorded()
        with recording():
            assert recorded()
        assert not recorded()
    assert recorded()
    again = tg.no_grad()
    with again, again:
        assert not recorded()
    assert recorded()


def test_no_grad_is_restored_by_an_exception() -> None:
    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert MODE.get() is None
    assert recorded()


def test_no_grad_decorates() -> None:
    @tg.no_grad()
    def evaluate(depth: int) -> list[bool]:
        """Ask below, and after the call below has returned."""
        return [*(evaluate(depth - 1) if depth else []), recorded()]

    assert evaluate(2) == [False, False, False]
    assert recorded()
    assert evaluate.__doc__.startswith("Ask")


def test_constants_keep_nothing_under_no_grad() -> None:
    x = tg.tensor(np.ones(3), requires_grad=True)
    with tg.no_grad():
        for out in (x * x, np.exp(x), x.sum(), x[0], tg.relu(x), np.concatenate([x, x])):
            assert not out.requires_grad
            assert not isinstance(out.node, Node)
        leaf = tg.tensor(1.0, requires_grad=True)  # a leaf is a leaf wherever it is made
    (leaf * 2.0).backward()
    assert leaf.grad == 2.0


def test_the_mode_belongs_to_the_thread() -> None:
    seen: dict[str, bool] = {}
    inside, checked = threading.Event(), threading.Event()

    def other() -> None:
        seen["fresh"] = recorded()
        with tg.no_grad():
            inside.set()
            checked.wait(10)
            seen["inside"] = recorded()
        seen["after"] = recorded()

    thread = threading.Thread(target=other)
    with tg.no_grad():
        thread.start()
        assert inside.wait(10)
        assert not recorded()
    assert recorded()  # although the other thread is inside its block
    checked.set()
    thread.join()
    assert seen == {"fresh": True, "inside": False, "after": True}


def test_the_mode_belongs_to_the_task() -> None:
    async def quiet(order: list[Any]) -> None:
        with tg.no_grad():
            order.append(("quiet", recorded()))
            await asyncio.sleep(0)
            order.append(("quiet", recorded()))

    async def loud(order: list[Any]) -> None:
        for _ in range(2):
            order.append(("loud", recorded()))
            await asyncio.sleep(0)

    async def both() -> list[Any]:
        order: list[Any] = []
        await asyncio.gather(quiet(order), loud(order))
        return order

    order = asyncio.run(both())
    assert order == [("quiet", False), ("loud", True), ("quiet", False), ("loud", True)]


class Log(Observer):
    def __init__(self) -> None:
        self.seen: list[tuple[str, bool, tuple[int, ...]]] = []

    def saw(self, op: Any, node: Any, out: np.ndarray, data: list[Any]) -> None:
        self.seen.append((op.name, node is not None, out.shape))


def test_an_observer_sees_each_operation_of_a_block() -> None:
    x = tg.tensor(np.ones((2, 3)), requires_grad=True)
    with recording(Log()) as log:
        h = np.exp(x) * 2.0 + np.ones(3)
        y = h.detach() - 1.0  # nothing to record, still seen
        loss = tg.relu(h @ np.ones((3, 2))).sum()
        _ = x > 0
        _ = np.concatenate([x, x])[0]
    _ = x * 5.0
    assert log.seen == [
        ("exp", True, (2, 3)), ("multiply", True, (2, 3)), ("add", True, (2, 3)), ("subtract", False, (2, 3)),
        ("matmul", True, (2, 2)),
        ("relu", True, (2, 2)), ("sum", True, ()), ("greater", False, (2, 3)), ("concatenate", True, (4, 3)),
        ("getitem", True, (3,)),
    ]  # fmt: skip
    assert not y.requires_grad
    loss.backward()  # what was observed was recorded as usual
    np.testing.assert_allclose(x.grad, 4.0 * np.e * np.ones((2, 3)))


def test_observing_and_not_recording() -> None:
    x = tg.tensor(1.0, requires_grad=True)
    with recording(Log()) as log:
        with tg.no_grad():
            assert not (x * 2.0).requires_grad
        assert MODE.get() is log
    assert log.seen == []
    assert MODE.get() is None
    assert OFF is not None


def test_nodes_and_constants_show_themselves() -> None:
    x = tg.tensor(np.ones(3), requires_grad=True, name="x")
    c = tg.tensor(np.ones(3), name="c")
    y = x * c
    y.name = "y"
    assert "leaf 'x' (3,) float64>" in repr(x.node)
    assert repr(y.node).endswith("multiply 'y' (3,) float64>")
    assert isinstance(y.node.parents[1], Constant)
    assert repr(y.node.parents[1]) == "<Constant c (3,) float64>"
    assert (y.name, x.name, c.name) == ("y", "x", "c")
    z = x * np.ones(3)
    assert (z.node.parents[1].shape, z.node.parents[1].name) == ((3,), None)
    assert (x * 2.5).node.parents[1] == 2.5
    unnamed = tg.tensor(1.0)
    unnamed.name = "later"
    assert unnamed.name == "later"


def test_kinds_are_shared() -> None:
    double = np.dtype(np.float64)
    assert kind_of((3, 4), double) is kind_of((3, int("4")), double) == ((3, 4), double, True)
    assert kind_of((3, 4), double) != kind_of((3, 4), np.dtype(np.float32))
    x = tg.tensor(np.ones((3, 4)), requires_grad=True)
    assert (x * 2.0).node.kind is x.node.kind is (x + np.ones(4)).node.kind is (x * x).node.kind is np.exp(x).node.kind
    for n in range(10_050):  # the cache of kinds stays small, and what drops out harms nothing
        kind_of((n, 1), double)
    y = x * 2.0
    (y + tg.tensor(np.ones((3, 4)), requires_grad=True)).sum().backward()
    assert (x.grad == 2.0).all()


class Breaks(Observer):
    """An observer that raises when backward begins."""

    def walk(self, order: list[Node], pending: dict[Node, Any]) -> Iterator[Node]:
        if pending is not None:
            raise LookupError("nothing to see")
        yield from order


@pytest.mark.parametrize("recorded", [False, True])
def test_what_an_observer_raises_is_what_is_raised(recorded: bool) -> None:
    x = tg.tensor(1.0, requires_grad=True)
    y = x * 2.0
    with pytest.raises(LookupError, match="nothing to see"), recording(Breaks()):
        tg.gradients(y, x, create_graph=recorded)
    assert MODE.get() is None
    assert tg.gradients(y, x)[0].item() == 2.0


class Gifts(Observer, list[Any]):
    """An observer that is false as long as it has seen nothing."""

    def pulled(self, node: Node, place: int, d: Any, parent: Node) -> None:
        self.append(place)


@pytest.mark.parametrize("recorded", [False, True])
def test_an_observer_may_be_an_empty_list(recorded: bool) -> None:
    x = tg.tensor(1.0, requires_grad=True)
    with recording(Gifts()) as seen:
        tg.gradients(x * x, x, create_graph=recorded)
    assert seen == [0, 1]

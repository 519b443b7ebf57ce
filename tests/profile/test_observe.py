"""Observing a block: the user's line reaches the graph, and the numbers stay the same."""

from __future__ import annotations

import contextvars
import importlib
import inspect
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.profile import stats

observing: Any = importlib.import_module("tinygrad_fc.profile.observe")  # the package has the function by that name


def here(offset: int = 0) -> str:
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return f"{__file__}:{frame.f_back.f_lineno + offset}"


class Net(nn.Module):
    def __init__(self) -> None:
        self.fc = nn.Linear(3, 2, seed=0)

    def forward(self, x: Any) -> Any:
        hidden = self.fc(x)
        self.line = here(-1)
        return np.tanh(hidden) * 2.0


def test_each_operation_notes_the_users_line() -> None:
    net = Net()
    with tg.observe() as run:
        loss = net(np.ones((4, 3), np.float32)).sum()
        line = here(-1)
    boxes = {box.op: box for box in tg.Graph(loss).nodes}
    assert run.count == 4
    assert boxes["sum"].line == line
    assert boxes["affine"].line == net.line  # not where the layer calls the operation: the user's own line
    assert boxes["affine"].module == ("Net", "fc")
    assert boxes[None].line is None
    assert boxes[None].name == "fc.b"
    assert tg.Graph(loss).to_dict()["nodes"][-1]["line"] == line
    assert "test_observe.py" in tg.viz.dot_source(tg.Graph(loss)).source


def test_observing_changes_no_number_and_ends_with_the_block() -> None:
    x = tg.tensor(np.linspace(-1.0, 1.0, 7), requires_grad=True)

    def f() -> Any:
        return (np.exp(x) * np.sin(x) + x).sum()

    plain = f()
    with tg.observe() as run:
        observed = f()
        with tg.no_grad():
            f()
    after = f()
    assert run.count == 5
    assert plain.item() == observed.item() == after.item()
    for a, b in zip(tg.gradients(plain, x), tg.gradients(observed, x), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert all(box.line is None for box in tg.Graph(after).nodes)


def test_the_user_sees_text_time_bytes_and_work_of_each_operation() -> None:
    x = tg.tensor(np.ones((4, 3)), requires_grad=True)
    with tg.observe():
        loss = np.exp(x @ np.ones((3, 2))).sum()
        loss.backward()
    boxes = {box.op: box.facts for box in tg.Graph(loss).nodes if box.kind == "op"}
    assert {facts["source"] for facts in boxes.values()} == {"loss = np.exp(x @ np.ones((3, 2))).sum()"}
    assert [boxes[op]["saved_bytes"] for op in ("matmul", "exp", "sum")] == [144, 64, 0]  # and it was freed
    assert [boxes[op]["backward"]["freed"] for op in ("matmul", "exp", "sum")] == [144, 64, 0]
    assert [boxes[op]["multiply_adds"] for op in ("matmul", "exp", "sum")] == [24, 8, 8]
    for facts in boxes.values():
        assert facts["forward_seconds"] > 0.0
        assert facts["backward_seconds"] > 0.0
        assert "value" not in facts
        assert "gradient" not in facts
        assert [list(entry) for entry in facts["backward"]["gives"]] == [["argument"]]


def test_the_time_of_an_operation_is_not_that_of_watching_it(monkeypatch: Any) -> None:
    clock = [0.0]

    def slow(value: Any) -> dict[str, Any]:
        clock[0] += 1000.0  # statistics that take a quarter of an hour
        return stats(value)

    def now() -> float:
        clock[0] += 1.0
        return clock[0]

    monkeypatch.setattr(observing, "stats", slow)
    monkeypatch.setattr(observing, "perf_counter", now)
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.observe(values=True):
        loss = (np.exp(x) * x).sum()
        loss.backward(retain_graph=True)
        tg.gradients(loss, x, create_graph=True)
    for box in tg.Graph(loss).nodes:
        if box.kind == "op":
            assert 0.0 < box.facts["forward_seconds"] < 100.0
            assert 0.0 < box.facts["backward_seconds"] < 100.0


def test_values_and_gradients_stand_on_inputs_too() -> None:
    w, c = tg.tensor([1.0, 2.0], requires_grad=True, name="w"), tg.tensor([3.0, 4.0], name="c")
    with tg.observe(values=True):
        loss = (w * c * np.array([5.0, 6.0]) * 2.0).sum()
        loss.backward()
    boxes = tg.Graph(loss).nodes
    values = {tuple(box.facts["value"]["numbers"]) for box in boxes if box.kind == "constant"}
    assert values == {(3.0, 4.0), (5.0, 6.0)}
    (leaf,) = [box for box in boxes if box.kind == "parameter"]
    assert leaf.facts["value"]["numbers"] == [1.0, 2.0]
    assert leaf.facts["gradient"]["numbers"] == [30.0, 48.0]


def test_a_leaf_shows_no_facts_of_another_graph() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")

    def leaf(loss: Any) -> dict[str, Any]:
        return next(box.facts for box in tg.Graph(loss).nodes if box.kind == "parameter")

    with tg.observe(values=True):
        first = (w * 3.0).sum()
        first.backward()
    w.data -= 0.1 * w.grad
    unseen = (w * 5.0).sum()
    assert leaf(unseen) == {}
    assert leaf(first)["value"]["numbers"] == [1.0, 2.0]  # the graph is what it was
    assert leaf(first)["gradient"]["numbers"] == [3.0, 3.0]
    with tg.observe(values=True):
        second = (w * 7.0).sum()
    assert leaf(second)["value"]["numbers"] == w.data.tolist()
    assert "gradient" not in leaf(second)
    assert leaf(first) == {}
    assert leaf(unseen)["value"]["numbers"] == w.data.tolist()  # it read the same array


def test_a_trace_holds_what_it_saw_until_it_is_dropped() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.observe() as run:
        kept = weakref.ref((x * 2.0).node)
    assert kept() is not None
    assert [box.op for box in run.graph().nodes] == [None, "multiply"]
    del run
    assert kept() is None


def test_a_block_may_be_entered_again() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    block = tg.observe()
    for count in (1, 2):
        with block as run:
            x * 2.0
        assert run.count == count


def test_threads_may_share_an_observer() -> None:
    """A context that is copied takes its observer into another thread."""
    x = tg.tensor(np.linspace(-1.0, 1.0, 300), requires_grad=True)
    (plain,) = tg.gradients((np.exp(x) * x + np.sin(x)).sum(), x)
    found: list[Any] = []

    def work() -> None:
        for _ in range(60):
            found.extend(tg.gradients((np.exp(x) * x + np.sin(x)).sum(), x))

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with tg.observe(values=True) as run, ThreadPoolExecutor(4) as pool:
            for job in [pool.submit(contextvars.copy_context().run, work) for _ in range(4)]:
                job.result()
    finally:
        sys.setswitchinterval(switch)
    assert run.marks == {}
    assert run.count == len(run.nodes) == 4 * 60 * 5
    assert len(found) == 4 * 60
    for d in found:
        np.testing.assert_array_equal(d.data, plain.data)
    for box in run.graph().nodes:
        if box.kind == "op":
            assert box.facts["value"]["nonfinite"] == 0
            assert len(box.facts["backward"]["gives"]) == len(box.inputs)


def interrupted_once() -> Any:
    """Return a function that doubles, and that is interrupted the first time."""
    interrupts = [KeyboardInterrupt()]

    def double(x: Any) -> Any:
        if interrupts:
            raise interrupts.pop()
        return 2.0 * x

    return double


def test_a_backward_that_is_interrupted_can_be_run_again(registry: None) -> None:
    double = tg.op(lambda x: 2.0 * x, name="double_slowly", x=interrupted_once())
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.observe(values=True) as run:
        out = (double(x) * 3.0).sum()
        with pytest.raises(KeyboardInterrupt) as caught:
            out.backward(retain_graph=True)
        out.backward(retain_graph=True)  # while the traceback, in `caught`, still holds the first run
        out.backward()
    assert caught.value is not None
    np.testing.assert_array_equal(x.grad, [12.0, 12.0])
    assert run.graph().nodes[0].facts["gradient"]["numbers"] == [6.0, 6.0]


def test_an_operation_that_is_interrupted_leaves_nothing_behind(registry: None) -> None:
    double = tg.op(interrupted_once(), name="double_slowly", x=lambda g: 2.0 * g)
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.observe() as run:
        with pytest.raises(KeyboardInterrupt):
            double(x)
        double(x).sum()
    assert [box.op for box in run.graph().nodes] == [None, "double_slowly", "sum"]
    assert run.marks == {}


def test_it_decorates_a_function() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)

    @tg.observe()  # type: ignore[operator]  # a block, like that of `no_grad`
    def f(depth: int) -> Any:
        return f(depth - 1) if depth else tg.Graph(x * 2.0).nodes[-1].line

    assert f(2).startswith(__file__)


@pytest.mark.parametrize("values", ["no", 1, None])
def test_values_is_yes_or_no(values: Any) -> None:
    with pytest.raises(TypeError, match=f"observe: values={values!r} is .*, expected True or False"):
        tg.observe(values)


def test_the_innermost_block_watches() -> None:
    x = tg.tensor(2.0, requires_grad=True)
    with tg.observe(values=True) as outer:
        y = x * x
        with tg.observe() as inner:
            z = np.sin(y)
        out = z + 1.0
    assert (outer.count, inner.count) == (2, 1)
    assert ["value" in box.facts for box in tg.Graph(out).nodes] == [True, True, False, True]

"""What failed is on the graph: the operation, the rule, and what had been computed before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg


def message(f: Any) -> str:
    """Return type, text and notes of what a call raises."""
    try:
        f()
    except Exception as error:
        return "\n".join([type(error).__name__, str(error), *getattr(error, "__notes__", ())])
    return ""


def test_an_operation_that_fails_is_marked_behind_what_was_computed() -> None:
    x = tg.tensor(np.ones((2, 3)), requires_grad=True, name="x")

    def f() -> Any:
        h = np.tanh(x) * 2.0
        return h @ np.ones((4, 2))

    with tg.observe(values=True) as run:
        text = message(f)
    assert text == message(f)  # the same without an observer
    graph = run.graph()
    assert [box.op for box in graph.nodes if box.kind == "op"] == ["tanh", "multiply", "matmul"]
    failed = graph.nodes[-1]
    assert failed.mark is not None
    assert text.endswith(failed.mark)
    assert failed.mark.startswith("matmul: ")
    assert "Given x (2, 3) float64, y (4, 2) float64" in failed.mark
    assert [graph.nodes[source].op for _, source in failed.inputs] == ["multiply", None]
    assert graph.outputs == [failed.id]
    assert [box.mark for box in graph.nodes[:-1]] == [None] * (len(graph) - 1)
    assert failed.facts["source"] == "return h @ np.ones((4, 2))"
    assert "value" not in failed.facts
    assert graph.nodes[0].facts["value"]["mean"] == 1.0  # the matrix that did not fit
    assert str(graph)


def test_a_result_that_is_refused_is_marked_with_what_is_raised() -> None:
    x = tg.tensor(np.ones(2), requires_grad=True)
    with pytest.raises(TypeError, match="complex"), tg.observe() as run:
        x * np.ones(2, complex)
    (failed,) = [box for box in run.graph().nodes if box.mark]
    assert failed.mark is not None
    assert failed.mark.startswith("multiply: gradients of complex tensors are not supported")


def test_a_refusal_that_was_caught_is_marked_too() -> None:
    x = tg.tensor(np.ones(2), requires_grad=True)
    with tg.observe() as run:
        for _ in range(2):
            with pytest.raises(TypeError, match="complex"):
                x * np.ones(2, complex)
        (x * 2.0).sum()
    boxes = [box for box in run.graph().nodes if box.kind == "op"]
    assert [box.mark for box in boxes] == ["multiply: its result was refused"] * 2 + [None, None]
    assert [box.facts["source"] for box in boxes] == ["x * np.ones(2, complex)"] * 2 + ["(x * 2.0).sum()"] * 2


@pytest.mark.parametrize("caught", [False, True])
def test_a_refusal_inside_an_operation_is_told_apart(registry: None, caught: bool) -> None:
    t = tg.tensor([1.0, 2.0], requires_grad=True)

    def function(x: Any) -> Any:
        try:
            t * np.ones(2, complex)
        except TypeError:
            if not caught:
                raise
        return 2.0 * x

    outer = tg.op(function, name="outer_of_two", x=lambda g: 2.0 * g)
    with tg.observe(values=True) as run:
        message(lambda: outer(t).sum())
    marks = {box.op: box.mark for box in run.graph().nodes if box.kind == "op"}
    assert str(marks["multiply"]).startswith("multiply: ")
    if caught:
        assert marks["outer_of_two"] is marks["sum"] is None
        assert run.graph().nodes[-2].facts["value"]["numbers"] == [2.0, 4.0]
    else:
        assert str(marks["outer_of_two"]).startswith("outer_of_two: multiply: gradients of complex")


def test_another_error_is_not_taken_for_the_refusal() -> None:
    x = tg.tensor(np.ones(2), requires_grad=True)

    def f() -> None:
        with pytest.raises(TypeError, match="complex"):
            x * np.ones(2, complex)
        raise ValueError("another")

    with pytest.raises(ValueError, match="another"), tg.observe() as run:
        f()
    assert [box.mark for box in run.graph().nodes if box.mark] == ["multiply: its result was refused"]


def test_an_error_of_the_users_own_marks_nothing() -> None:
    x = tg.tensor(np.ones(2), requires_grad=True)
    with pytest.raises(ZeroDivisionError), tg.observe() as run:
        _ = (x * 2.0).sum() * (1 // 0)
    assert [box.op for box in run.graph().nodes if box.kind == "op"] == ["multiply", "sum"]
    assert all(box.mark is None for box in run.graph().nodes)


def test_nothing_recorded_is_no_graph() -> None:
    with tg.observe() as run:
        tg.tensor(1.0)
    with pytest.raises(ValueError, match="no operation was recorded"):
        run.graph()


@pytest.fixture
def failing(registry: None) -> Any:
    def fails(g: Any, x: Any) -> Any:
        raise RuntimeError("no derivative today")

    return tg.op(lambda x: 2.0 * x, name="double_that_fails", x=fails)


@pytest.mark.parametrize("recorded", [False, True])
def test_a_rule_that_raises_is_marked_at_its_node(failing: Any, recorded: bool) -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)

    def f(out: Any) -> str:
        return message(lambda: tg.gradients(out, x, create_graph=recorded))

    plain = f((failing(x) * 3.0).sum())
    with tg.observe(values=True) as run:
        out = (failing(x) * 3.0).sum()
        text = f(out)
        again = (x * 5.0).sum()
        again.backward()  # what fails disturbs nothing that comes after it
    assert text == plain
    boxes = {box.op: box for box in run.graph().nodes if box.kind == "op" and box.mark}
    assert set(boxes) == {"double_that_fails"}
    assert "no derivative today" in str(boxes["double_that_fails"].mark)
    assert boxes["double_that_fails"].facts["gradient"]["numbers"] == [3.0, 3.0]
    assert boxes["double_that_fails"].facts["backward"]["gives"] == []
    graph = tg.Graph(again)
    assert graph.nodes[-1].facts["backward"]["gives"][0]["total"]["numbers"] == [1.0, 1.0]


def test_a_backward_that_was_not_watched_before_is(failing: Any) -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    out = failing(x).sum()
    with tg.observe() as run, pytest.raises(RuntimeError, match="no derivative today"):
        out.backward()
    assert [box.op for box in run.graph().nodes if box.mark] == ["double_that_fails"]


def test_an_operation_inside_another_is_told_apart(registry: None) -> None:
    """An array function may call operations on arrays, which the observer sees while it runs."""
    outer = tg.op(lambda x: np.asarray(tg.exp(x).data), name="through_tensors", x=lambda g, out: g * out)
    x = tg.tensor([0.0, 1.0], requires_grad=True)
    with tg.observe(values=True) as run:
        out = outer(x).sum()
        out.backward()
    assert run.marks == {}
    assert run.count == 3
    assert [box.op for box in run.graph().nodes if box.kind == "op"] == ["through_tensors", "sum"]
    np.testing.assert_array_equal(x.grad, np.exp(x.data))

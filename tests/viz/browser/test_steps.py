"""What a step says and shows: the numbers of its rules, sums at shared boxes, and that what runs is in the window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pictures import leaf

import tinygrad_fc as tg
from tinygrad_fc.viz.html import page
from tinygrad_fc.viz.target import informed


def inside(viewer: Any, box: Any) -> bool:
    """Whether a box lies in the window whole, as the view stands."""
    view = viewer.ask("view")
    x, y = view["left"] + box["x"] * view["k"], view["top"] + box["y"] * view["k"]
    return bool(x >= 0 and y >= 0 and x + box["w"] * view["k"] <= view["w"] and y + box["h"] * view["k"] <= view["h"])


def shared() -> tg.Tensor:
    """Scalars that are read several times, by several operations."""
    x, y = leaf(1.5, "x"), leaf(-0.7, "y")
    product = x * y
    product.name = "product"
    ratio = product / 4.0
    ratio.name = "ratio"
    curve = np.sin(ratio) * product
    curve.name = "curve"
    out = curve * ratio - x * 3.0
    out.name = "out"
    return out


# ---- the numbers


def gradients_by_hand(graph: tg.Graph) -> list[dict[int, float]]:
    """Return what has arrived at each box after each step of backward, from derivatives that stand here."""
    values: dict[int, float] = {}
    rules: dict[str, Callable[[float, float, float], tuple[float, float]]] = {
        "multiply": lambda a, b, out: (b, a),
        "divide": lambda a, b, out: (1 / b, -a / b**2),
        "subtract": lambda a, b, out: (1.0, -1.0),
        "sin": lambda a, b, out: (float(np.cos(a)), 0.0),
    }
    functions = {"multiply": np.multiply, "divide": np.divide, "subtract": np.subtract}
    given = {"x": 1.5, "y": -0.7}
    read: dict[int, list[tuple[int | None, float]]] = {}
    for box in graph.nodes:
        if box.kind != "op":
            values[box.id] = given[str(box.name)]
            continue
        sources = dict(box.inputs)
        read[box.id] = [(sources.get(key), values[sources[key]] if key in sources else float(box.numbers[key]))
                        for key in ("x", "y") if key in sources or key in box.numbers]  # fmt: skip
        operands = [value for _, value in read[box.id]]
        values[box.id] = float(np.sin(*operands) if box.op == "sin" else functions[str(box.op)](*operands))
    arrived = {graph.nodes[-1].id: 1.0}
    found = []
    for box in reversed([box for box in graph.nodes if box.kind == "op"]):
        operands = [value for _, value in read[box.id]]
        slopes = rules[str(box.op)](operands[0], operands[-1], values[box.id])
        for (source, _), slope in zip(read[box.id], slopes, strict=False):
            if source is not None:
                arrived[source] = arrived.get(source, 0.0) + arrived[box.id] * slope
        found.append(dict(arrived))
    return found


def test_every_box_has_the_gradient_that_has_arrived_by_then(opened: Callable[..., Any]) -> None:
    graph, _ = informed(shared())
    viewer = opened(graph)
    operations = sum(box.kind == "op" for box in graph.nodes)
    viewer.page.fill("#step", str(operations))
    for arrived in gradients_by_hand(graph):
        viewer.press("]")
        for box in graph.nodes:
            cell = next(one["cell"] for one in viewer.ask("boxes") if one["id"] == box.id)
            line = viewer.locator(f"#cell-{cell} text.number").last.text_content().replace("−", "-")
            shown = line.removeprefix("∂ ")
            if box.id in arrived:
                assert float(shown) == pytest.approx(arrived[box.id], rel=6e-3), (viewer.ask("step"), box)
            else:
                assert shown == "·", (viewer.ask("step"), box)


def test_a_rule_of_scalars_stands_with_its_numbers(opened: Callable[..., Any]) -> None:
    a = leaf(-3.0, "a")
    out = np.sin(a) / 4.0
    viewer = opened(informed(out)[0])
    viewer.press("]", "]", "]")
    text = viewer.panel().replace("−", "-")
    assert "by the rule g / y" in text
    assert "y is 4.0" in text  # a number of the user's is no box, and is read too
    assert "with its numbers 1 / 4" in text
    assert "gives 0.25" in text
    viewer.press("]")
    text = viewer.panel().replace("−", "-")
    assert "by the rule g * np.cos(x)" in text
    assert "with its numbers 0.25 * np.cos(-3)" in text
    assert f"gives {0.25 * np.cos(-3.0):.4g}" in text


def test_a_negative_number_in_a_rule_has_parentheses(opened: Callable[..., Any]) -> None:
    a, b = leaf(-3.0, "a"), leaf(5.0, "b")
    viewer = opened(informed(a * b)[0])
    viewer.press("End")
    text = viewer.panel().replace("−", "-")
    assert "with its numbers 1 * 5" in text
    assert "with its numbers 1 * (-3)" in text


def test_forward_steps_tell_what_is_read(opened: Callable[..., Any]) -> None:
    a, b = leaf([1.0, 2.0], "a"), leaf([5.0, 7.0], "b")
    viewer = opened(informed((a - b).sum())[0])
    viewer.press("]")
    text = viewer.panel().replace("−", "-")
    assert [f"{name} is" in text for name in "ab"] == [True, True]
    assert text.index("a is [1, 2]") < text.index("b is [5, 7]") < text.index("it is now [-4, -5]")


def test_where_gradients_meet_each_is_told_with_what_was_there(opened: Callable[..., Any]) -> None:
    x = leaf(3.0, "x")
    square = x * x
    square.name = "square"
    viewer = opened(informed(square + square * 2.0)[0])
    viewer.press("End")
    text = viewer.panel()
    assert "g, the sum of 2 that arrived, is 3" in text  # one of the sum, two of the product
    assert "the first of 2 that arrive there" in text
    assert "added to 9 makes 18" in text
    viewer.press("[")
    assert "the first of 2 that arrive there" not in viewer.panel()
    assert "added to 1 makes 3" in viewer.panel()


def test_of_several_outputs_one_may_have_a_gradient_from_the_start(opened: Callable[..., Any]) -> None:
    x = leaf(2.0, "x")
    first = x * x
    first.name = "first"
    second = first * 3.0
    second.name = "second"
    viewer = opened(informed(tg.Graph(first, second))[0])
    viewer.press("]", "]", "]")
    assert "makes, with what backward starts from there, 4" in viewer.panel()
    viewer.press("]")
    assert "g, the sum of 2 that arrived, is 4" in viewer.panel()


# ---- what failed


def test_backward_has_no_steps_where_an_operation_failed(opened: Callable[..., Any]) -> None:
    x, w = leaf(np.ones((2, 3)), "x"), leaf(np.ones((4, 5)), "w")
    with pytest.raises(ValueError, match="matmul"), tg.observe(values=True) as run:
        np.tanh(x) @ w
    graph, notes = informed(run)
    viewer = opened(graph, notes=notes)
    assert viewer.ask("step")["text"] == "2 steps: 2 forward"
    (mark,) = [box.mark for box in graph.nodes if box.mark]
    assert viewer.page.inner_text("#notes") == "Backward does not run: matmul, which is marked, has no result."
    assert mark not in viewer.page.inner_text("#under")
    viewer.press("End")
    assert viewer.ask("step")["text"] == "step 2 of 2: forward, matmul, tanh @ w, which fails"
    assert mark in viewer.panel()


def test_a_rule_that_a_check_found_wrong_has_its_numbers(opened: Callable[..., Any], registry: None) -> None:
    wrong = tg.op(lambda x: x * x, name="wrong_square", x=lambda g, x: g * x)
    graph, notes = informed(tg.gradcheck(lambda x: wrong(x).sum(), np.array([0.3, 0.7])))
    viewer = opened(graph, notes=notes)
    assert viewer.page.inner_text("#notes") == ""
    assert "1 box is marked" in viewer.page.inner_text("#marks")
    viewer.press("End")
    assert "gives [0.3, 0.7]" in viewer.panel()  # and should be twice that


# ---- what is in the window


def chain(length: int) -> tg.Graph:
    functions: list[Any] = [np.tanh, np.sin, np.cos, np.exp, np.negative]
    generator = np.random.default_rng(0)
    x: Any = leaf(0.5, "x")
    for choice in generator.integers(len(functions), size=length):
        x = functions[choice](x)
    return tg.Graph(x)


@pytest.mark.parametrize("direction", ["TB", "LR", "BT", "RL"])
def test_what_runs_stays_in_the_window_however_quickly(direction: str, opened: Callable[..., Any]) -> None:
    viewer = opened(chain(40), {"width": 900, "height": 480}, direction=direction)
    for presses in (7, 9, 11, 5, 13, 6, 8, 9):
        viewer.page.focus("#canvas")
        for _ in range(presses):
            viewer.keyboard.press("]")
        viewer.still()
        step = viewer.ask("step")
        (box,) = [box for box in viewer.ask("boxes") if box["id"] == step["id"]]
        assert inside(viewer, box), (step, box, viewer.ask("view"))


@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_a_glide_that_is_under_way_leads_not_away_from_what_runs(direction: str, opened: Callable[..., Any]) -> None:
    viewer = opened(chain(40), {"width": 900, "height": 480}, direction=direction)
    viewer.press("]", "]")
    viewer.still()
    viewer.page.evaluate(  # far away, and back before the window has moved
        """() => {
          for (const step of [30, 3]) {
            document.getElementById('step').value = step;
            document.getElementById('step').dispatchEvent(new Event('input'));
          }
        }"""
    )
    viewer.still()
    step = viewer.ask("step")
    assert step["number"] == 3
    (box,) = [box for box in viewer.ask("boxes") if box["id"] == step["id"]]
    assert inside(viewer, box)


def test_nothing_moves_while_all_of_the_graph_is_in_the_window(opened: Callable[..., Any]) -> None:
    viewer = opened(informed(shared())[0])
    viewer.press("]")
    viewer.still()
    view = viewer.ask("view")
    for _ in range(viewer.ask("step")["of"] - 1):
        viewer.press("]")
        assert viewer.ask("view") == view
    viewer.still()
    assert viewer.ask("view") == view
    assert all(inside(viewer, box) for box in viewer.ask("boxes"))


@pytest.mark.parametrize(("size", "direction"), [((900, 480), "LR"), ((480, 800), "TB"), ((1400, 900), "TB")])
def test_an_expression_fits_the_window_it_opens_in(
    size: tuple[int, int], direction: str, opened: Callable[..., Any]
) -> None:
    viewer = opened(page(informed(shared())[0], embedded=True), {"width": size[0], "height": size[1]})
    assert viewer.ask("view")["direction"] == direction
    assert viewer.ask("view")["k"] > 0.6
    assert all(inside(viewer, box) for box in viewer.ask("boxes"))

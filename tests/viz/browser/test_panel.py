"""The panel: all that is known of what is selected, as the graph and the observer have it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pictures import leaf

import tinygrad_fc as tg
from tinygrad_fc.graph.figures import amount, duration, memory
from tinygrad_fc.viz.target import informed


def table(viewer: Any, which: str) -> list[list[str]]:
    rows = viewer.locator(which).locator("tr").all()
    return [[text.strip() for text in row.locator("th, td").all_inner_texts()] for row in rows]


def test_an_operation(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)
    viewer.select("product = multiply")
    box = next(box for box in expression.nodes if box.name == "product")
    assert viewer.ask("selected")["id"] == box.id
    facts = viewer.facts()
    assert facts["shape"] == "(2,)"
    assert facts["dtype"] == "float64"
    assert facts["elements"] == "2"
    assert facts["bytes"] == "16 B"
    assert facts["name"] == "product"
    assert facts["multiply-adds"] == "2"
    assert re.fullmatch(r"[\d.]+ (ns|µs|ms|s)", facts["forward"])
    assert re.fullmatch(r"[\d.]+ (ns|µs|ms|s)", facts["backward"])
    assert facts["kept for backward"] == f"{box.facts['saved_bytes']} B"
    text = viewer.panel()
    assert "product = a * b" in text  # the user's line
    assert box.line is not None
    assert box.line in text
    assert "multiply = op(np.multiply" in text  # its rule
    assert viewer.locator(".links >> nth=0").all_inner_texts()[0].split("\n") == ["x: a scalar", "y: b 2"]


def test_value_and_gradient_stand_side_by_side(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)
    viewer.select("b")
    box = next(box for box in expression.nodes if box.name == "b")
    rows = {row[0]: row[1:] for row in table(viewer, ".stats")}
    for key in ("min", "max", "mean", "norm"):
        shown = [float(text.replace("−", "-")) for text in rows[key]]
        np.testing.assert_allclose(shown, [box.facts[kind][key] for kind in ("value", "gradient")], rtol=1e-3)
    grids = [[float(text.replace("−", "-")) for text in row.all_inner_texts()] for row in
             [grid.locator("td") for grid in viewer.locator(".grid").all()]]  # fmt: skip
    np.testing.assert_allclose(grids[0], box.facts["value"]["numbers"], rtol=1e-4)
    np.testing.assert_allclose(grids[1], box.facts["gradient"]["numbers"], rtol=1e-4)


def test_a_histogram(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)
    viewer.select("fc1.W")
    box = next(box for box in net.nodes if box.name == "fc1.W")
    bars = viewer.locator(".histogram >> nth=0").locator("rect")
    heights = [float(bar.get_attribute("height")) for bar in bars.all()]
    counts = np.array(box.facts["value"]["histogram"]["counts"])
    assert len(heights) == len(counts)
    assert np.argmax(heights) == np.argmax(counts)
    assert [height > 0 for height in heights] == list(counts > 0)


def test_a_parameter_and_the_way_to_its_users(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)
    viewer.select("fc2.W")
    assert "leaf that needs a gradient" in viewer.panel()
    assert viewer.facts()["shape"] == "(6, 5)"
    users = [  # several are called so, and have their numbers
        f"{box.op} #{box.id}"
        for box in net.nodes if any(net.nodes[source].name == "fc2.W" for _, source in box.inputs)
    ]  # fmt: skip
    links = viewer.locator("#panel section", has_text="Used by").locator(".link")
    assert sorted(links.all_inner_texts()) == sorted(map(str, users))
    links.filter(has_text="affine").click()
    assert viewer.ask("selected")["label"] == "affine"


def test_a_module(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)
    viewer.locator(f"#cell-{viewer.cell('norm1')} .frame").click(position={"x": 3, "y": 60})
    assert viewer.ask("selected")["label"] == "norm1"
    assert viewer.facts()["boxes"] == "3"
    kept = sum(box.facts.get("saved_bytes", 0) for box in net.nodes if "norm1" in box.module)
    assert viewer.facts()["memory kept for backward"].endswith(" B")
    assert int(viewer.facts()["memory kept for backward"].split()[0]) == kept
    assert "norm1.gamma" in viewer.panel()
    largest = max(box.facts["gradient"]["norm"] for box in net.nodes if "norm1" in box.module)
    shown = viewer.facts()["largest norm of a gradient"].removeprefix("‖g‖ ").replace("−", "-")
    assert float(shown) == pytest.approx(largest, rel=1e-2)
    viewer.click("#panel >> text=Fold")
    assert "norm1.gamma" not in viewer.labels


def test_ancestors_and_descendants_are_lit(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)
    viewer.select("product = multiply")
    assert sorted(box["label"] for box in viewer.ask("ancestors")) == ["a", "b"]
    assert sorted(box["label"] for box in viewer.ask("descendants")) == ["add", "loss = sum", "tanh"]
    assert viewer.locator("path.line.up").count() == 2
    assert viewer.locator("path.line.down").count() == 3
    viewer.click("text=Descendants 3")
    assert viewer.locator("path.line.down").count() == 0
    assert viewer.locator("path.line.up").count() == 2
    viewer.press("Escape")
    assert viewer.locator("path.line.up").count() == 0
    assert viewer.page.is_hidden("#panel")


def reachable(start: int, steps: dict[int, set[int]]) -> set[int]:
    found, stack = set[int](), [start]
    while stack:
        new = steps[stack.pop()] - found
        found |= new
        stack += new
    return found


def test_what_is_lit_is_what_the_graph_says_folded_or_not(opened: Callable[..., Any], net: tg.Graph) -> None:
    inputs = {box.id: {source for _, source in box.inputs} for box in net.nodes}
    users = {box.id: {other.id for other in net.nodes if box.id in inputs[other.id]} for box in net.nodes}
    viewer = opened(net, {"width": 3000, "height": 4000})  # all of it is in the document
    viewer.click("#unfold-all")
    viewer.still()
    for folded in (False, True):
        if folded:
            viewer.page.dispatch_event(f"[data-toggle='{viewer.cell('norm1')}']", "click")
        shown = {id: box["cell"] for box in viewer.ask("boxes") for id in box["ids"]}
        for box in net.nodes:
            if sum(cell == shown[box.id] for cell in shown.values()) > 1:
                continue  # inside the folded one
            viewer.page.dispatch_event(f"#cell-{shown[box.id]}", "click")
            assert viewer.ask("selected")["id"] == box.id
            for lit, steps in (("ancestors", inputs), ("descendants", users)):
                cells = {one["cell"] for one in viewer.ask(lit)}
                assert cells == {shown[id] for id in reachable(box.id, steps)}, (folded, box, lit)


def test_figures_are_written_as_in_pictures_and_in_text(opened: Callable[..., Any]) -> None:
    counts = [0, 1, 999, 1_000, 2_300, 13_166, 999_400, 999_600, 1_000_000, 3_160_000_000, 10**15]
    times = [0.0, 3.2e-8, 1.2e-5, 9.999e-4, 0.012, 0.9996, 1.0, 61.0, 1234.4, 2e-6, 5e-7]
    h = leaf(1.0)
    for n in range(len(counts)):
        h = np.tanh(h)
        h.name = f"h{n}"
    graph = tg.Graph(h)
    for box, count, seconds in zip(graph.nodes[1:], counts, times, strict=True):
        box.facts.update(saved_bytes=count, forward_seconds=seconds, multiply_adds=count)
    viewer = opened(graph)
    viewer.click("#unfold-all")
    for n, (count, seconds) in enumerate(zip(counts, times, strict=True)):
        viewer.page.fill("#search", f"h{n} = tanh")
        viewer.page.press("#search", "Enter")
        facts = viewer.facts()
        found = [facts[key] for key in ("kept for backward", "forward", "multiply-adds")]
        assert found == [memory(count), duration(seconds), amount(count)]


def test_a_group_has_the_sum_of_what_is_inside(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)
    viewer.click("#fold-all")
    viewer.select("FullyConnectedNet")
    inside = [box for box in net.nodes if box.module[:1] == ("FullyConnectedNet",)]
    assert viewer.facts()["boxes"] == str(len(inside))
    kept = sum(box.facts.get("saved_bytes", 0) for box in inside)
    assert viewer.facts()["memory kept for backward"] == memory(kept)
    spent = sum(box.facts.get(key, 0.0) for box in inside for key in ("forward_seconds", "backward_seconds"))
    shown, unit = viewer.facts()["time, forward and backward"].split()
    assert float(shown) * {"s": 1, "ms": 1e-3, "µs": 1e-6}[unit] == pytest.approx(spent, rel=1e-2)


def test_the_share_of_zeros(opened: Callable[..., Any]) -> None:
    with tg.observe(values=True):
        out = (leaf([0.0, 0.0, 0.0, 5.0], "x") * 2.0).sum()
        out.backward()
        graph = tg.Graph(out)
    viewer = opened(graph)
    viewer.select("x")
    assert {row[0]: row[1:] for row in table(viewer, ".stats")}["zeros"] == ["75 %", "0 %"]


def test_what_is_wrong_stands_out(opened: Callable[..., Any]) -> None:
    x, w = leaf(np.ones((2, 3)), "x"), leaf(np.ones((4, 5)), "w")
    run = tg.observe(values=True)
    with pytest.raises(ValueError, match="matmul"), run as trace:
        np.tanh(x) @ w
    graph = trace.graph()
    viewer = opened(graph)
    (mark,) = [box.mark for box in graph.nodes if box.mark]
    assert "1 box is marked" in viewer.page.inner_text("#marks")
    viewer.click("#marks")
    assert viewer.ask("selected")["label"] == "matmul"
    assert viewer.page.inner_text("#panel .message") == mark
    assert viewer.locator(".alarm-sign").count() == 1
    assert viewer.box("matmul").locator("text").all_text_contents() == ["matmul", "no result", "!"]
    assert "shape" not in viewer.facts()


@pytest.mark.filterwarnings("ignore:.*encountered.*")
def test_nan_and_inf(opened: Callable[..., Any]) -> None:
    with np.errstate(all="ignore"), tg.observe(values=True):
        x = leaf([0.0, -1.0, np.inf], "x")
        out = np.log(x)
        out.backward(np.ones(3))
        graph = tg.Graph(out)
    viewer = opened(graph)
    viewer.select("out = log")
    assert table(viewer, ".grid >> nth=0") == [["−inf", "nan", "inf"]]
    assert "nan or inf" in viewer.panel()
    viewer.page.select_option("#colour", "gradient")
    assert "nan or inf" in viewer.page.inner_text("#legend")


@pytest.mark.parametrize(
    ("values", "shape"), [(np.ones((0, 3)), "(0, 3)"), (np.array(2.5), "() scalar")], ids=["empty", "0-d"]
)
def test_empty_and_scalar_arrays(values: np.ndarray, shape: str, opened: Callable[..., Any]) -> None:
    with tg.observe(values=True):
        out = (leaf(values, "x") * 2.0).sum()
        out.backward()
        graph = tg.Graph(out)
    viewer = opened(graph)
    viewer.select("x")
    assert viewer.facts()["shape"] == shape
    assert viewer.locator(".grid").count() == 2
    assert viewer.locator(".stats").count() == 0  # of one number, or none, there are no statistics
    if values.size:
        assert table(viewer, ".grid >> nth=0") == [["2.5"]]
    else:
        assert "empty" in viewer.page.inner_text(".grid >> nth=0")


def test_without_facts_the_panel_says_how_to_get_them(opened: Callable[..., Any]) -> None:
    viewer = opened(tg.Graph((leaf([1.0, 2.0], "x") * 3.0).sum()))
    viewer.select("multiply")
    assert "with tg.observe(values=True):" in viewer.panel()
    assert viewer.facts()["y"] == "3.0"
    viewer.press("End")
    assert viewer.panel().count("with tg.observe(values=True):") == 1


def test_a_graph_that_was_freed_says_once_how_to_have_the_numbers(opened: Callable[..., Any]) -> None:
    a = leaf(2.0, "a")
    out = a * a
    out.backward()
    graph, notes = informed(out)
    viewer = opened(graph, notes=notes)
    assert "freed by an earlier backward" in viewer.page.inner_text("#notes")
    viewer.press("End")
    assert "by the rule g * y" in viewer.panel()
    assert viewer.panel().count("with tg.observe(values=True):") == 1


def test_boxes_that_are_called_the_same_have_numbers(opened: Callable[..., Any]) -> None:
    x = leaf([1.0, 2.0], "x")
    graph = tg.Graph((x * 2.0 + x * 3.0).sum())
    viewer = opened(graph)
    words = ["".join(box.locator("text").first.all_text_contents()) for box in viewer.locator(".box").all()]
    assert sorted(words) == ["add", "multiply#1", "multiply#2", "sum", "x"]
    viewer.select("add")
    inputs = viewer.locator("#panel section", has_text="Inputs").locator(".link").all_inner_texts()
    assert inputs == ["multiply #1", "multiply #2"]
    assert viewer.facts()["box"] == "#3, of 5"
    viewer.click("#panel >> text=multiply #2")
    assert viewer.ask("selected")["id"] == 2
    assert viewer.page.inner_text("#panel h2") == "multiply #2"
    viewer.press("Home", "]", "]", "]")
    assert viewer.ask("step")["text"].endswith("add, multiply #1 + multiply #2")

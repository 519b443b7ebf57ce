"""The player: its steps are the engine's own, in the engine's order, with the engine's numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pictures import leaf

import tinygrad_fc as tg
from tinygrad_fc.engine.node import Node, Observer, recording


class Order(Observer):
    """What backward visits, in its own order, told apart from what the library notes."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def walk(self, order: list[Node], pending: dict[Node, Any]) -> Any:
        for node in order:
            if node.op is not None:
                self.nodes.append(node)
            yield node


def steps(viewer: Any) -> list[dict[str, Any]]:
    found = []
    viewer.press("Home")
    for _ in range(viewer.ask("step")["of"]):
        viewer.press("]")
        found.append(viewer.ask("step"))
    return found


def known(viewer: Any, label: str) -> list[str]:
    """Return the lines of numbers in a box."""
    return [text.replace("−", "-") for text in viewer.box(label).locator("text.number").all_text_contents()]


def test_steps_are_the_engines(opened: Callable[..., Any], net: tg.Graph) -> None:
    model = tg.models.FullyConnectedNet([6, 5], input_dim=7, num_classes=3, seed=0, reg=0.1)
    loss = model.loss_tensor(np.ones((4, 7), np.float32), np.array([0, 1, 2, 0]))
    graph = tg.Graph(loss)
    with recording(Order()) as seen:
        loss.backward()
    found = steps(opened(graph))
    forward = [step["id"] for step in found if step["way"] == "forward"]
    backward = [step["id"] for step in found if step["way"] == "backward"]
    assert forward == [box.id for box in graph.nodes if box.kind == "op"]
    assert [graph.nodes[id].node for id in backward] == seen.nodes


def test_values_appear_as_they_are_computed(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)
    assert known(viewer, "product = multiply")[0] == "= [2, -6]"
    viewer.press("]", "[")  # to the start, with the player in use
    viewer.press("]")
    assert viewer.ask("step")["text"].endswith("forward, multiply, product = a · b")
    assert known(viewer, "product = multiply") == ["= [2, -6]", "∂ ·"]
    assert known(viewer, "tanh") == ["= ·", "∂ ·"]
    assert known(viewer, "a") == ["= 2", "∂ ·"]
    viewer.press("]")
    assert known(viewer, "tanh")[0] == "= [0.964, -1]"


def test_gradients_arrive_and_add_up(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)
    box = {box.label or box.op: box for box in expression.nodes}
    found = steps(viewer)
    backward = [step["number"] for step in found if step["way"] == "backward"]
    seen = []
    viewer.press("Home")
    for number in range(1, len(found) + 1):
        viewer.press("]")
        if number in backward:
            seen.append(known(viewer, "a")[1])
    # `a` is read by the sum (twice one) and by the product: first 2, then 2 more what comes through tanh.
    assert seen[0] == "∂ ·"
    assert seen[1] == "∂ 2"
    total = box["a"].facts["gradient"]["numbers"]
    assert float(seen[-1].removeprefix("∂ ")) == pytest.approx(total, rel=1e-2)
    assert total == pytest.approx(2 + np.sum([1.0, -3.0] / np.cosh([2.0, -6.0]) ** 2))


def test_the_panel_shows_what_a_rule_reads_gives_and_frees(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)
    product = next(box for box in expression.nodes if box.name == "product")
    ways = [step for step in steps(viewer) if step["way"] == "backward" and step["id"] == product.id]
    (number,) = [step["number"] for step in ways]
    viewer.page.fill("#step", str(number))
    assert viewer.ask("step")["number"] == number
    text = viewer.panel().replace("−", "-")
    assert f"STEP {number}: BACKWARD" in text.upper()
    assert "by the rule g * y" in text
    assert "by the rule g * x" in text
    for give in product.facts["backward"]["gives"]:
        first = float(np.ravel(give["gradient"]["numbers"])[0])
        assert any(abs(float(word.strip("[],")) - first) <= 1e-3 * abs(first) for word in text.split()
                   if word.strip("[],").replace(".", "").replace("-", "").replace("e", "").isdigit())  # fmt: skip
    through, total = product.facts["backward"]["gives"][0]["gradient"]["numbers"], 2.0
    added = re.search(r"gives (\S+)\n+added to (\S+) makes (\S+)", text)
    assert added is not None
    assert [float(word) for word in added.groups()] == pytest.approx([through, total, through + total], rel=1e-3)
    assert product.facts["backward"]["freed"] > 0
    assert f"{product.facts['backward']['freed']} B of what it kept are freed" in text
    assert f"{product.facts['backward']['freed']} B freed" in viewer.page.inner_text("#said")
    assert viewer.locator("path.line.flow").count() == 2


def test_what_is_still_to_come_and_what_receives_stands_out(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)

    def having(state: str) -> list[str]:
        cells = [int(item.get_attribute("data-cell")) for item in viewer.locator(f".box.{state}").all()]
        return sorted(box["label"] for box in viewer.ask("boxes") if box["cell"] in cells)

    assert having("waiting") == []
    viewer.press("]")
    assert having("running") == ["product = multiply"]
    assert having("waiting") == ["add", "loss = sum", "tanh"]
    assert having("receiving") == []
    viewer.press("]", "]")
    assert having("waiting") == ["loss = sum"]
    viewer.press("End")
    assert having("running") == ["product = multiply"]
    assert having("receiving") == ["a", "b"]
    assert having("waiting") == []


def test_the_speed_is_that_which_is_chosen(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)
    of = viewer.ask("step")["of"]
    viewer.page.select_option("#speed", "2000")
    viewer.press("Space")
    viewer.until("viewer.step.number === 1")
    viewer.page.wait_for_timeout(1300)
    assert viewer.ask("step")["number"] == 1
    viewer.press("Space", "Home")
    viewer.page.select_option("#speed", "100")
    start = viewer.page.evaluate("performance.now()")
    viewer.press("Space")
    viewer.until(f"viewer.step.number === {of}")
    assert 100 * (of - 1) <= viewer.page.evaluate("performance.now()") - start < 400 * (of - 1)


def test_steps_unfold_what_runs(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)
    viewer.click("#fold-all")
    viewer.press("]")
    step = viewer.ask("step")
    assert step["id"] in [box["id"] for box in viewer.ask("boxes")]
    assert viewer.ask("selected")["id"] == step["id"]
    viewer.click("#fold-all")
    viewer.click("#follow")
    viewer.press("]")
    assert viewer.ask("step")["id"] not in [box["id"] for box in viewer.ask("boxes")]
    assert viewer.locator(".running").count() == 1  # the group that hides it


def test_buttons_slider_and_play(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)
    of = viewer.ask("step")["of"]
    assert of == 2 * sum(box.kind == "op" for box in expression.nodes)
    viewer.click("#step-last")
    assert viewer.ask("step")["number"] == of
    viewer.click("#step-back")
    assert viewer.ask("step")["number"] == of - 1
    viewer.click("#step-first")
    assert viewer.ask("step")["number"] == 0
    viewer.page.select_option("#speed", "100")
    viewer.press("Space")
    assert viewer.page.inner_text("#step-play") == "Pause"
    viewer.until(f"viewer.step.number === {of}")
    assert viewer.page.inner_text("#step-play") == "Play"
    viewer.click("#step-play")  # from the start again
    viewer.until("viewer.step.number === 2")
    viewer.press("Space")
    assert viewer.page.inner_text("#step-play") == "Play"


def test_without_facts_the_order_is_still_shown(opened: Callable[..., Any]) -> None:
    viewer = opened(tg.Graph((leaf([1.0, 2.0], "x") * 3.0).sum()))
    assert viewer.ask("step")["of"] == 4
    viewer.press("]")
    assert "with tg.observe(values=True):" in viewer.panel()
    viewer.press("End")
    assert viewer.ask("step")["text"] == "step 4 of 4: backward, multiply (x · 3.0)"
    assert "by the rule g * y" in viewer.panel()


def test_turns_that_are_left_out_are_one_step(opened: Callable[..., Any]) -> None:
    h = leaf(np.ones(3), "h")
    for _ in range(7_000):
        h = h * 0.5 + 1.0
    viewer = opened(tg.Graph(h.sum()))
    found = steps(viewer)
    assert len(found) == 2 * (4 * 2 + 1 + 1)
    assert "6,996 more alike (13,992 boxes, not in this page)" in found[6]["text"]
    assert "are not in this page" in viewer.page.inner_text("#notes")

"""Folding and unfolding: what is in sight, where it stands, and that nothing lies upon anything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pictures import apart, leaf

import tinygrad_fc as tg


def children(viewer: Any, label: str) -> list[str]:
    outer = next(box for box in viewer.ask("boxes") if box["label"] == label)
    return [
        box["label"] for box in viewer.ask("boxes")
        if box is not outer and outer["x"] < box["x"] and box["x"] + box["w"] < outer["x"] + outer["w"]
        and outer["y"] < box["y"] and box["y"] + box["h"] < outer["y"] + outer["h"]
    ]  # fmt: skip


def overlaps(boxes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the pairs that lie upon each other without one being a frame around the other."""
    found = []
    for n, one in enumerate(boxes):
        for other in boxes[n + 1 :]:
            around = any(
                frame["open"] and frame["x"] <= item["x"] and frame["y"] <= item["y"]
                and item["x"] + item["w"] <= frame["x"] + frame["w"]
                and item["y"] + item["h"] <= frame["y"] + frame["h"]
                for frame, item in ((one, other), (other, one))
            )  # fmt: skip
            if not apart(one, other) and not around:
                found.append((one["label"], other["label"]))
    return found


def test_a_small_graph_is_all_there(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)
    boxes = viewer.ask("boxes")
    assert sorted(box["id"] for box in boxes) == [box.id for box in expression.nodes]
    assert viewer.ask("drawn") == len(expression)
    assert overlaps(boxes) == []
    assert viewer.page.locator("path.tip").count() == sum(len(box.inputs) for box in expression.nodes)


def test_a_header_folds_its_module_and_a_double_click_opens_it(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)
    assert {"affine", "fc1.W", "fc1.b"} <= set(children(viewer, "fc1"))
    viewer.locator(f"[data-toggle='{viewer.cell('fc1')}']").click(position={"x": 5, "y": 5})
    assert "fc1.W" not in viewer.labels
    (folded,) = [box for box in viewer.ask("boxes") if box["label"] == "fc1"]
    assert not folded["open"]
    assert overlaps(viewer.ask("boxes")) == []
    viewer.still()
    viewer.box("fc1").locator("rect").last.dblclick()
    assert "fc1.W" in viewer.labels
    assert overlaps(viewer.ask("boxes")) == []


@pytest.mark.parametrize(("direction", "place"), [("TB", 0.5), ("BT", 0.5), ("LR", 0.0), ("RL", 0.0)])
def test_what_is_folded_stays_where_it_was_in_the_window(
    direction: str, place: float, opened: Callable[..., Any], net: tg.Graph
) -> None:
    viewer = opened(net, direction=direction)
    head = viewer.locator(f"[data-toggle='{viewer.cell('fc1')}']")
    before = head.bounding_box()
    head.click(position={"x": 5, "y": 5})
    viewer.still()
    after = viewer.box("fc1").locator(".card").bounding_box()
    assert abs(after["y"] - before["y"]) < 2
    assert abs(after["x"] + place * after["width"] - before["x"] - place * before["width"]) < 3


def test_all_and_by_levels(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)
    viewer.click("#fold-all")
    top = viewer.labels
    assert "FullyConnectedNet" in top
    assert not any(box["open"] for box in viewer.ask("boxes"))
    assert viewer.page.inner_text("#depth") == "0"
    viewer.click("#depth-more")
    assert viewer.page.inner_text("#depth") == "1"
    assert "fc1" in viewer.labels
    assert "fc1.W" not in viewer.labels
    viewer.click("#unfold-all")
    assert sorted(box["id"] for box in viewer.ask("boxes") if box["id"] is not None) == list(range(len(net)))
    assert overlaps(viewer.ask("boxes")) == []
    viewer.click("#depth-less")
    assert sum(box["id"] is not None for box in viewer.ask("boxes")) < len(net)


def test_a_fused_operation_opens_into_primitives(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)
    viewer.select("affine")
    assert "matmul" not in viewer.labels
    viewer.click("text=Unfold into primitives")
    assert {"matmul", "add"} <= set(children(viewer, "affine"))
    assert overlaps(viewer.ask("boxes")) == []
    viewer.click("#panel >> text=Fold")
    assert "matmul" not in viewer.labels


def test_every_box_of_a_large_graph_has_its_place(opened: Callable[..., Any], large: str) -> None:
    viewer = opened(large)
    assert len(viewer.ask("boxes")) <= 90
    viewer.click("#unfold-all")
    boxes = viewer.ask("boxes")
    count = sum(box["id"] is not None for box in boxes)
    assert count == viewer.ask("count")
    # What lies upon what, by a sweep from top to bottom: comparing all pairs would take too long.
    inner = sorted((box for box in boxes if not box["open"]), key=lambda box: box["y"])
    found, near = [], list[dict[str, Any]]()
    for box in inner:
        near = [other for other in near if other["y"] + other["h"] > box["y"]]
        found += [1 for other in near if box["x"] < other["x"] + other["w"] and other["x"] < box["x"] + box["w"]]
        near.append(box)
    assert found == []


def test_only_what_the_window_shows_is_in_the_document(opened: Callable[..., Any], large: str) -> None:
    viewer = opened(large)
    viewer.click("#unfold-all")
    viewer.still()
    view, boxes = viewer.ask("view"), viewer.ask("boxes")
    assert view["k"] > 0.6  # of all the boxes the first, where one can read them
    assert viewer.locator("#canvas .box text").count() > 10
    assert 0 <= view["top"] + min(box["y"] for box in boxes) * view["k"] <= 40
    viewer.press("f")
    viewer.still()
    view = viewer.ask("view")  # all of it is in the window, however small
    assert all(view["top"] + box["y"] * view["k"] >= -1 for box in boxes)
    assert all(view["top"] + (box["y"] + box["h"]) * view["k"] <= view["h"] + 1 for box in boxes)
    for _ in range(36):
        viewer.press("+")
    viewer.still()
    viewer.until("viewer.drawn < 500")
    assert viewer.ask("view")["k"] > 1
    viewer.press("f")
    viewer.until("viewer.drawn > 1000")


def test_a_repeat_opens_turn_by_turn(opened: Callable[..., Any]) -> None:
    h, w = leaf(np.ones(3), "h"), leaf(np.ones(3), "w")
    for _ in range(30):
        h = h * w + 1.0
    viewer = opened(tg.Graph(h.sum()))
    assert "turn 30" in viewer.labels
    assert viewer.labels.count("multiply") == 1  # the first turn is open: the others are like it
    viewer.box("turn 2").locator("rect").last.dblclick()
    assert viewer.labels.count("multiply") == 2
    assert "× 30" in viewer.page.text_content("#canvas .head >> nth=0")


def test_what_was_asked_for_is_open_at_first(opened: Callable[..., Any], net: tg.Graph) -> None:
    labels = opened(net, depth=0).labels
    assert {"X", "FullyConnectedNet"} <= set(labels)
    assert "fc1" not in labels
    viewer = opened(net, depth=1)
    assert {"fc1", "norm1", "relu1"} <= set(viewer.labels)
    assert "fc1.W" not in viewer.labels
    assert viewer.page.inner_text("#depth") == "1"
    viewer = opened(net, depth=0, expand=["affine"])  # to show the one, what is around it is open as well
    assert {"matmul", "fc1.W"} <= set(viewer.labels)
    assert "reciprocal" not in viewer.labels
    h = leaf(np.ones(3), "h")
    for _ in range(30):
        h = h * 0.5 + 1.0
    graph = tg.Graph(h.sum())
    assert opened(graph).labels.count("multiply") == 1
    assert opened(graph, fold=False).labels.count("multiply") == 30


def test_a_turn_of_one_box_is_one_box(opened: Callable[..., Any]) -> None:
    x = leaf(1.0, "x")
    for _ in range(100):
        x = x + 1.0
    viewer = opened(tg.Graph(x))
    head = viewer.locator(f"[data-toggle='{viewer.cell('turn 1')}'] text").text_content()
    assert head == "turn 11 box"

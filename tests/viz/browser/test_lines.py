"""Lines and boxes after any folding, in any direction: each line leads from what is read to what reads it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pictures import apart, leaf

import tinygrad_fc as tg

ROOMY = {"width": 6000, "height": 6000}  # all of it is in the document, with its words
# Ends of each line, a tip counted in, in the units of the graph.
ENDS = """() => [...document.querySelectorAll('path.line')].map((path) => {
  const [from, to] = [path.getPointAtLength(0), path.getPointAtLength(path.getTotalLength())];
  const box = path.nextElementSibling?.classList.contains('tip') ? path.nextElementSibling.getBBox() : null;
  const tip = box && {TB: [to.x, box.y + box.height], BT: [to.x, box.y], LR: [box.x + box.width, to.y],
                      RL: [box.x, to.y]}[viewer.view.direction];
  return [[from.x, from.y], tip || [to.x, to.y]];
})"""
CROSSED = """() => {
  const cards = [...document.querySelectorAll('.box .card')].map((card) => card.getBBox()), found = [];
  for (const path of document.querySelectorAll('path.line')) {
    const { x, y, width, height } = path.getBBox();
    const near = cards.filter((c) => c.x < x + width && c.x + c.width > x && c.y < y + height && c.y + c.height > y);
    for (let at = 0; near.length && at <= path.getTotalLength(); at += 2) {
      const p = path.getPointAtLength(at);
      for (const { x, y, width, height } of near)
        if (p.x > x + 1 && p.x < x + width - 1 && p.y > y + 1 && p.y < y + height - 1) found.push([p.x, p.y]);
    }
  }
  return found;
}"""


def expected(graph: tg.Graph, boxes: list[dict[str, Any]]) -> set[tuple[int, int]]:
    """Return which cells in sight have to be joined, from the graph alone."""
    shown = {id: box["cell"] for box in boxes for id in box["ids"]}
    results = {box.inside: box.id for box in graph.nodes if box.inside is not None}  # the last of them
    opened = {box.id for box in graph.nodes if box.inside is None and box.id not in shown}
    found = set()
    for box in graph.nodes:
        if box.id in opened or (box.inside is not None and box.inside not in opened):
            continue
        for _, source in box.inputs:
            pair = shown[results[source] if source in opened else source], shown[box.id]
            if pair[0] != pair[1]:
                found.add(pair)
    return found


def joined(viewer: Any, boxes: list[dict[str, Any]]) -> set[tuple[int, int]]:
    """Return which cells are joined by what is drawn: from the side of one, along lines, to the side of another."""
    ends, direction = viewer.page.evaluate(ENDS), viewer.ask("view")["direction"]
    closed = [box for box in boxes if not box["open"]]

    def touched(point: list[float], leaving: bool) -> list[int]:
        """Return the boxes on whose first or last side a point lies."""
        last = leaving != (direction in ("BT", "RL"))
        across, along, wide, tall = ("y", "x", "h", "w") if direction in ("LR", "RL") else ("x", "y", "w", "h")
        u, v = (point[1], point[0]) if direction in ("LR", "RL") else point
        return [
            box["cell"] for box in closed
            if abs(v - (box[along] + box[tall] * last)) < 0.6 and -0.6 < u - box[across] < box[wide] + 0.6
        ]  # fmt: skip

    starts: dict[tuple[int, int], list[int]] = {}
    for number, (start, _) in enumerate(ends):
        starts.setdefault((round(start[0]), round(start[1])), []).append(number)

    def following(number: int) -> list[int]:
        x, y = ends[number][1]
        near = [(round(x) + dx, round(y) + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        return [other for key in near for other in starts.get(key, ())
                if abs(ends[other][0][0] - x) < 0.25 and abs(ends[other][0][1] - y) < 0.25]  # fmt: skip

    found = set()
    for number, (start, _) in enumerate(ends):
        for source in touched(start, True):
            stack, seen = [number], {number}
            while stack:
                at = stack.pop()
                arrived = touched(ends[at][1], False)
                found |= {(source, target) for target in arrived}
                further = following(at)
                assert arrived or further, f"a line ends at {ends[at][1]}"
                stack += set(further) - seen
                seen |= set(further)
    return found


def check(viewer: Any, graph: tg.Graph) -> None:
    viewer.still()  # lines move to their new places after a turn, which a busy machine shows
    boxes = viewer.ask("boxes")
    assert joined(viewer, boxes) == expected(graph, boxes)
    assert viewer.page.evaluate(CROSSED) == []
    closed = [box for box in boxes if not box["open"]]
    for n, one in enumerate(closed):
        for other in closed[n + 1 :]:
            assert apart(one, other), (one, other)
    frames = {box["cell"]: box for box in boxes if box["open"]}
    for box in boxes:
        around = frames.get(box["parent"])
        if around is not None:
            assert around["x"] < box["x"]
            assert around["y"] < box["y"]
            assert box["x"] + box["w"] < around["x"] + around["w"]
            assert box["y"] + box["h"] < around["y"] + around["h"]


def toggle(viewer: Any, box: dict[str, Any]) -> None:
    """Fold or unfold by what a pointer would do."""
    kind, place = ("click", "[data-toggle='{}']") if box["open"] else ("dblclick", "#cell-{}")
    viewer.page.dispatch_event(place.format(box["cell"]), kind)


def unrolled() -> tg.Tensor:
    h, w, total = leaf(np.ones((2, 3)), "h"), leaf(np.ones((3, 3)), "w"), 0.0
    for _ in range(5):
        h = np.tanh(h @ w)
        total = total + h.mean()
    return total


@pytest.mark.parametrize("direction", ["TB", "BT", "LR", "RL"])
@pytest.mark.parametrize("name", ["net", "loop", "second order", "many parameters"])
def test_lines_join_what_the_graph_joins(
    name: str, direction: str, opened: Callable[..., Any], net: tg.Graph
) -> None:
    graph = net
    if name == "loop":
        graph = tg.Graph(unrolled())
    elif name == "second order":
        x = leaf([0.3, -0.8], "x")
        (slope,) = tg.gradients(np.sum(np.tanh(x) * x), x, create_graph=True)
        graph = tg.Graph(np.sum(slope * slope))
    elif name == "many parameters":
        graph = tg.Graph(np.concatenate([leaf(np.ones(2), f"p{number}") for number in range(25)]).sum())
    graph = graph.opened()
    viewer = opened(graph, ROOMY, direction=direction, reduced_motion="reduce")
    viewer.press("f")
    viewer.page.wait_for_timeout(30)
    check(viewer, graph)
    choice = random.Random(direction)
    for _ in range(5 if any(box["folds"] for box in viewer.ask("boxes")) else 0):
        for _ in range(3):
            toggle(viewer, choice.choice([box for box in viewer.ask("boxes") if box["folds"]]))
        viewer.press("f")
        viewer.page.wait_for_timeout(30)
        check(viewer, graph)
    viewer.click("#unfold-all")
    viewer.page.wait_for_timeout(30)
    check(viewer, graph)
    viewer.click("#fold-all")
    viewer.page.wait_for_timeout(30)
    check(viewer, graph)


def test_the_key_turns_the_graph_and_the_arrows_with_it(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression, direction="TB")
    viewer.select("product = multiply")
    viewer.press("ArrowDown")
    assert viewer.ask("selected")["label"] == "tanh"
    viewer.press("d")
    assert viewer.ask("view")["direction"] == "LR"
    viewer.press("ArrowRight")
    assert viewer.ask("selected")["label"] == "add"
    viewer.press("ArrowLeft", "ArrowLeft")
    assert viewer.ask("selected")["label"] == "product = multiply"
    viewer.press("ArrowLeft")
    first = viewer.ask("selected")["label"]
    viewer.press("ArrowDown" if first == "a" else "ArrowUp")
    assert {first, viewer.ask("selected")["label"]} == {"a", "b"}
    viewer.click("#turn")
    assert viewer.ask("view")["direction"] == "TB"
    check(viewer, expression.opened())


def test_many_parameters_stand_in_several_rows(opened: Callable[..., Any]) -> None:
    viewer = opened(tg.Graph(np.concatenate([leaf(np.ones(2), f"p{number}") for number in range(25)]).sum()))
    parameters = [box for box in viewer.ask("boxes") if box["kind"] == "parameter"]
    rows = {round(box["y"]) for box in parameters}
    assert 3 <= len(rows) <= 4
    assert max(box["x"] + box["w"] for box in parameters) < 1400
    assert viewer.ask("view")["k"] > 0.75

"""Keyboard and search: everything can be reached without a pointer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pictures import leaf

import tinygrad_fc as tg


def test_arrows_walk_along_lines(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)
    viewer.page.keyboard.press("Tab")
    viewer.press("ArrowDown")  # something is selected
    assert viewer.ask("selected")["label"] in ("a", "b")
    seen = []
    for _ in range(4):
        viewer.press("ArrowDown")
        seen.append(viewer.ask("selected")["label"])
    assert seen[-1] == "loss = sum"
    viewer.press("ArrowUp")
    assert viewer.ask("selected")["label"] == "add"
    viewer.press("ArrowUp")
    assert viewer.ask("selected")["label"] == "tanh"
    assert viewer.page.get_attribute("#canvas", "aria-activedescendant") == f"cell-{viewer.cell('tanh')}"
    viewer.press("ArrowUp", "ArrowUp")
    first = viewer.ask("selected")["label"]
    viewer.press("ArrowRight" if first == "a" else "ArrowLeft")
    assert {first, viewer.ask("selected")["label"]} == {"a", "b"}


def test_enter_folds_and_backspace_goes_out(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)
    viewer.select("fc1.W")
    viewer.press("Backspace")
    assert viewer.ask("selected")["label"] == "fc1"
    viewer.press("Enter")
    assert "fc1.W" not in viewer.labels
    viewer.press("Enter")
    assert "fc1.W" in viewer.labels
    viewer.press("Escape")
    assert viewer.ask("selected") is None


def test_zoom_and_fit(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)
    viewer.still()
    start = viewer.ask("view")
    viewer.press("+")
    assert viewer.ask("view")["k"] > start["k"]
    viewer.press("-", "-")
    assert viewer.ask("view")["k"] < start["k"]
    viewer.press("f")
    viewer.still()
    assert viewer.ask("view") == start
    viewer.page.mouse.move(700, 450)
    viewer.page.mouse.wheel(0, -300)
    viewer.until(f"viewer.view.k > {start['k']}")
    box = viewer.locator("#canvas").bounding_box()
    x, y = 700 - box["x"], 450 - box["y"]
    now = viewer.ask("view")  # what was under the pointer still is
    assert abs((x - now["left"]) / now["k"] - (x - start["left"]) / start["k"]) < 0.5
    assert abs((y - now["top"]) / now["k"] - (y - start["top"]) / start["k"]) < 0.5
    viewer.page.mouse.down()
    viewer.page.mouse.move(760, 470, steps=4)
    viewer.page.mouse.up()
    moved = viewer.ask("view")
    assert abs(moved["left"] - now["left"] - 60) < 8
    assert abs(moved["top"] - now["top"] - 20) < 8
    assert viewer.ask("selected") is None


def test_the_list_of_keys(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)
    viewer.press("?")
    assert viewer.page.is_visible("#keys")
    assert "fold or unfold what is selected" in viewer.page.inner_text("#keys")
    viewer.keyboard.press("Escape")
    assert viewer.page.is_hidden("#keys")


def test_focus_is_seen_and_everything_has_a_name(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)
    stops = set()
    for _ in range(40):
        viewer.keyboard.press("Tab")
        focus = viewer.page.evaluate(
            "() => { const e = document.activeElement; const s = getComputedStyle(e);"
            "return [e.id || e.tagName, s.outlineStyle, parseFloat(s.outlineWidth)]; }"
        )
        if focus[0] == "BODY":
            break
        stops.add(focus[0])
        assert focus[1] != "none", focus
        assert focus[2] >= 1, focus
    assert {"search", "canvas", "fold-all", "colour", "theme", "step", "step-play", "follow"} <= stops
    nameless = viewer.page.evaluate(
        "() => [...document.querySelectorAll('button, input, select')].filter((e) => e.checkVisibility() &&"
        "!(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)"
    )
    assert nameless == []
    labels = [box.get_attribute("aria-label") for box in viewer.locator(".box").all()]
    assert "b, leaf that needs a gradient, 2" in labels


def test_search_goes_from_hit_to_hit_and_unfolds(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)
    viewer.click("#fold-all")
    viewer.press("/")
    viewer.keyboard.type("gamma")
    count = sum("gamma" in (box.name or "") for box in net.nodes)
    viewer.until(f"viewer.hits.length === {count}")
    assert viewer.page.inner_text("#hits") == f"{count} found"
    assert viewer.ask("selected") is None
    assert viewer.locator(".found").count() >= 1  # the folded group that hides them
    seen = []
    for _ in range(count + 1):
        viewer.keyboard.press("Enter")
        seen.append(viewer.ask("selected")["label"])
        assert seen[-1] in viewer.labels
    assert seen[0] == seen[-1]
    assert len(set(seen)) == count
    viewer.keyboard.press("Shift+Enter")
    assert viewer.ask("selected")["label"] == seen[-2]
    viewer.keyboard.press("Escape")
    assert viewer.ask("hits") == []


def test_search_goes_both_ways_and_takes_words_as_they_are(opened: Callable[..., Any]) -> None:
    names = ["w.one", "w.two", "w.three", "w(four)", "wxfive"]
    viewer = opened(tg.Graph(sum((leaf(1.0, name) for name in names), leaf(0.0, "start"))))

    def found(*keys: str) -> list[str]:
        seen = []
        for key in keys:
            viewer.page.press("#search", key)
            seen.append(viewer.ask("selected")["label"])
        return seen

    viewer.page.fill("#search", "w.")  # a full stop is no pattern
    assert found("Enter", "Enter", "Enter", "Enter") == ["w.one", "w.two", "w.three", "w.one"]
    assert viewer.page.inner_text("#hits") == "1 of 3"
    assert found("Shift+Enter", "Shift+Enter") == ["w.three", "w.two"]
    at_once = """(words) => {
        const field = document.getElementById("search");
        field.value = words;
        field.dispatchEvent(new Event("input"));
        return window.viewer.hits.length;
    }"""
    for words, count in (("(", 1), (".*", 0), ("[", 0), ("W.T", 2), ("\\", 0)):
        assert viewer.page.evaluate(at_once, words) == count, words


def test_search_by_operation_module_and_line(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)
    for words, expected in {
        "batch_norm": {box.id for box in net.nodes if box.op == "batch_norm"},
        "norm1 beta": {box.id for box in net.nodes if box.name == "norm1.beta"},
        "conftest.py": {box.id for box in net.nodes if box.line and "conftest.py" in box.line},
    }.items():
        viewer.page.fill("#search", words)
        found = {box["id"] for box in viewer.ask("hits")}
        assert expected <= found, words
        assert expected, words
    viewer.page.fill("#search", "no such thing")
    assert viewer.page.inner_text("#hits") == "0 found"


def test_search_finds_what_boxes_show(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)
    viewer.click("#unfold-all")
    boxes = {box.id: box for box in net.nodes}
    first, second = [box.id for box in net.nodes if box.op == "affine"][:2]
    for words, expected in {
        f"#{first}": {first}, f"affine #{first}": {first}, f"#{second}": {second}, "#1": {1}, "#999": set(),
        "4 × 6": {id for id, box in boxes.items() if box.shape == (4, 6)},
        "4x6 AFFINE": {id for id, box in boxes.items() if box.shape == (4, 6) and box.op == "affine"},
        "keep_ratio 0.8": {id for id, box in boxes.items() if box.op == "dropout"},
        "0.8 dropout": {id for id, box in boxes.items() if box.op == "dropout"},
        "eps": {id for id, box in boxes.items() if box.op == "batch_norm"},
        "scalar": {id for id, box in boxes.items() if box.shape == () and not box.failed},
    }.items():
        viewer.page.fill("#search", words)
        found = {box["id"] for box in viewer.ask("hits")}
        assert found & boxes.keys() == expected, words
    for label in viewer.labels:  # and each of their titles
        viewer.page.fill("#search", label)
        assert label in [box["label"] for box in viewer.ask("hits")], label


def test_the_focus_stays_in_the_panel_and_comes_back_from_it(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net)

    def focus() -> str:
        return str(viewer.page.evaluate("document.activeElement.id || document.activeElement.textContent"))

    viewer.select("batch_norm")
    for text, then in (("Descendants", "Descendants"), ("Unfold into primitives", "Fold"), ("Ancestors", "Ancestors")):
        viewer.page.locator("#panel button", has_text=text).focus()
        viewer.keyboard.press("Enter")
        assert focus().startswith(then)
    assert "reciprocal" in " ".join(viewer.labels) or "divide" in " ".join(viewer.labels)  # it is unfolded
    viewer.page.locator("#panel .link").first.focus()
    viewer.keyboard.press("Enter")
    assert viewer.ask("selected")["label"] != "batch_norm"
    assert focus() == "panel"
    viewer.keyboard.press("Tab")
    assert viewer.page.evaluate("document.getElementById('panel').contains(document.activeElement)")
    viewer.keyboard.press("Escape")
    assert viewer.ask("selected") is None
    assert focus() == "canvas"

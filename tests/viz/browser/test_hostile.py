"""Names that would be code, would break lines or fill the window; and pages inside other pages."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import numpy as np
from pictures import leaf

import tinygrad_fc as tg
from tinygrad_fc.viz.html import page

NAMES = [
    "</script><script>window.broken = 1</script>", "<img src=x onerror='window.broken = 1'>",
    "\"'`${window.broken = 1}", "<!-- <script>", "]]>", "&lt;b&gt;", "😀 é 中文 \u202egnp",
    "a\x00b\x07\x1b\x7f\ufffe", "\ud800", "\u2028\u2029\n\t",
    "javascript:window.broken=1", "__proto__", "constructor", "x" * 10_000, " ",
]  # fmt: skip


def hostile() -> tg.Graph:
    out: Any = 0.0
    for name in NAMES:
        out = out + leaf(np.ones(2), name)
    for name, value in (("nan", np.nan), ("inf", np.inf), ("empty", np.ones((0, 2)))):
        out = out + leaf(np.full(2, value) if np.ndim(value) == 0 else value.sum(), name)
    out.name = NAMES[0]
    graph = tg.Graph(out)
    for box in graph.nodes:
        box.line, box.mark, box.module = NAMES[0], (NAMES[1] if box.id % 3 == 0 else None), (NAMES[2],)
        box.facts["source"] = NAMES[0]
    return graph


def test_names_are_text_everywhere(opened: Callable[..., Any]) -> None:
    viewer = opened(hostile(), title=NAMES[0])
    viewer.click("#unfold-all")
    assert viewer.page.inner_text("#title") == NAMES[0]
    ids = [box["cell"] for box in viewer.ask("boxes") if box["id"] is not None]
    assert len(ids) == viewer.ask("count")
    for _ in NAMES:
        viewer.press("m")  # from mark to mark, with the panel
        assert "<img src=x onerror=" in viewer.page.inner_text("#panel .message")
    for name in NAMES[:3]:
        viewer.page.fill("#search", name)
        assert viewer.ask("hits")
        viewer.page.press("#search", "Enter")
    viewer.press("]", "]", "End")
    viewer.click("#fold-all")
    assert viewer.page.evaluate("window.broken") is None
    assert viewer.page.evaluate("document.querySelectorAll('script').length") == 2
    assert viewer.page.evaluate("document.querySelectorAll('img').length") == 0


def test_long_names_are_cut_and_told_in_full_where_there_is_room(opened: Callable[..., Any]) -> None:
    viewer = opened(hostile())
    viewer.click("#unfold-all")
    assert max(box["w"] for box in viewer.ask("boxes") if box["id"] is not None) < 500
    long = next(box for box in viewer.ask("boxes") if box["label"].startswith("xxxx"))
    assert "…" in long["label"]
    viewer.page.fill("#search", "x" * 100)
    viewer.page.press("#search", "Enter")
    assert "(10,000 characters)" in viewer.facts()["name"]
    assert viewer.page.evaluate("document.getElementById('panel').scrollWidth") <= 372


def test_what_is_saved_is_well_formed(opened: Callable[..., Any]) -> None:
    import xml.etree.ElementTree as ET

    viewer = opened(hostile(), title=NAMES[0])
    viewer.click("#unfold-all")
    with viewer.page.expect_download() as waiting:
        viewer.click("#save-svg")
    content = waiting.value.path().read_bytes()
    root = ET.fromstring(content)
    assert root.tag.endswith("svg")
    assert "a\ufffdb".encode() in content  # the name that no XML may have is there, and cleaned
    with viewer.page.expect_download() as waiting:  # the browser, too, has to read it, to make pixels of it
        viewer.click("#save-png")
    assert waiting.value.path().read_bytes().startswith(b"\x89PNG")


def test_several_in_one_page_do_not_clash(opened: Callable[..., Any], expression: tg.Graph, net: tg.Graph) -> None:
    rights = "allow-scripts allow-downloads"
    frames = "".join(
        f'<iframe sandbox="{rights}" width="700" height="400" srcdoc="{html.escape(text)}"></iframe>'
        for text in (page(expression, embedded=True, title="one"), page(net, embedded=True, title="two"))
    )
    viewer = opened(f"<!DOCTYPE html><title>notebook</title><body>{frames}</body>", ready=False)
    inner = viewer.page.frames[1:]
    assert len(inner) == 2
    for frame in inner:
        frame.wait_for_selector("html[data-ready]")
    assert [frame.inner_text("#title") for frame in inner] == ["one", "two"]
    inner[1].click("#fold-all")
    counts = [frame.evaluate("viewer.boxes.length") for frame in inner]
    assert counts[0] == len(expression)
    assert counts[1] < 10
    inner[0].click("#step-next")
    assert [frame.evaluate("viewer.step.number") for frame in inner] == [1, 0]
    with viewer.page.expect_download() as waiting:
        inner[0].click("#save-png")
    assert waiting.value.suggested_filename == "one.png"
    # The wheel belongs to the page around, unless Ctrl is held or the graph was clicked.
    viewer.page.mouse.click(850, 700)
    before = None
    while before != (before := inner[0].evaluate("viewer.view.k")):
        viewer.page.wait_for_timeout(100)
    viewer.page.mouse.move(300, 200)
    viewer.page.mouse.wheel(0, 100)
    viewer.page.wait_for_timeout(50)
    assert inner[0].evaluate("viewer.view.k") == before
    before_ctrl = before
    viewer.keyboard.down("Control")
    viewer.page.mouse.wheel(0, 100)
    viewer.page.wait_for_timeout(50)
    assert (before := inner[0].evaluate("viewer.view.k")) < before_ctrl
    viewer.keyboard.up("Control")
    inner[0].focus("#canvas")
    viewer.page.mouse.wheel(0, 100)
    viewer.page.wait_for_timeout(50)
    assert inner[0].evaluate("viewer.view.k") < before


def test_a_frame_that_is_shown_later_is_drawn_then(opened: Callable[..., Any], expression: tg.Graph) -> None:
    inner = html.escape(page(expression, embedded=True))
    frame = f'<iframe id="f" sandbox="allow-scripts" style="width:0;height:0;border:0" srcdoc="{inner}"></iframe>'
    viewer = opened(f"<!DOCTYPE html><body>{frame}<style>.big{{width:700px!important;height:480px!important}}</style>",
                    ready=False)  # fmt: skip
    (_, framed) = viewer.page.frames
    framed.wait_for_selector("html[data-ready]", state="attached")
    viewer.page.evaluate("document.getElementById('f').className = 'big'")
    viewer.page.wait_for_timeout(200)
    assert framed.evaluate("viewer.drawn") == len(expression)
    view = framed.evaluate("viewer.view")
    assert view["k"] > 0.3
    assert 0 <= view["top"] < view["h"]


def test_joiners_stay_where_they_join(opened: Callable[..., Any]) -> None:
    """As ``words.one_line`` has it."""
    names = {"می\u200cخواهم": "می\u200cخواهم", "👩\u200d👧": "👩\u200d👧", "W\u200d1": "W\ufffd1", "θ\u200d": "θ\ufffd"}
    graph = tg.Graph(np.stack([leaf(1.0, name) for name in names]))
    viewer = opened(graph)
    assert sorted(box["label"] for box in viewer.ask("boxes") if box["kind"] == "parameter") == sorted(names.values())

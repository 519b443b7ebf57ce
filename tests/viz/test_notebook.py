"""What a notebook shows: the page in a frame of its own, and a still picture where it is exported."""

from __future__ import annotations

import html
import sys
import types
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from pictures import Picture, example, leaf

import tinygrad_fc as tg

PAGE = """<!doctype html><title>"it's" & <more></title><script>let a = 1 < 2 && "</script>";</script> ü 😀"""


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []
    stub = types.SimpleNamespace(page=lambda graph, **options: seen.append((len(graph), options)) or PAGE)
    monkeypatch.setitem(sys.modules, "tinygrad_fc.viz.html", stub)
    return seen


class Frames(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []
        self.others: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "iframe":
            self.found.append(dict(attrs))
        else:
            self.others.append(tag)


def test_the_page_stands_in_a_frame_that_reaches_nothing(page: list[Any]) -> None:
    out = example().sum()
    for target in (out, tg.Graph(out)):
        frames = Frames(target._repr_html_() or "")
        (frame,) = frames.found
        assert frames.others == []
        assert frame["srcdoc"] == PAGE
        assert frame["sandbox"] == "allow-scripts allow-downloads"
        assert frame["loading"] == "lazy"
        assert "height: 480px" in frame["style"]
        assert "id" not in frame
        assert "name" not in frame
    assert page == [(7, {"embedded": True, "notes": []})] * 2


@pytest.mark.usefixtures("page")
def test_several_in_a_notebook_are_frames_apart() -> None:
    outs = [example(), example() * 2.0]
    frames = Frames("\n".join(out._repr_html_() or "" for out in outs))
    assert [frame["srcdoc"] for frame in frames.found] == [PAGE, PAGE]


@pytest.mark.usefixtures("page")
def test_what_has_no_graph_shows_its_text() -> None:
    for tensor in (leaf(np.ones(3)), tg.tensor(np.ones(3), name="c"), example().detach()):
        assert tensor._repr_html_() is None
        assert tensor._repr_svg_() is None


@pytest.mark.usefixtures("page")
def test_a_notebook_gets_both_and_the_text() -> None:
    """IPython collects what every method gives; who shows the cell takes the first that it can show."""
    data, _ = DisplayFormatter().format(example())
    assert set(data) == {"text/plain", "text/html", "image/svg+xml"}
    assert html.escape(PAGE) in data["text/html"]
    assert Picture(data["image/svg+xml"]).boxes
    data, _ = DisplayFormatter().format(leaf(np.ones(3)))
    assert set(data) == {"text/plain"}

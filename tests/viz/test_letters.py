"""Letters of all the world: in a PNG, in the middle of their box, joined as they are written, or said to be missing."""

from __future__ import annotations

import re
import sys
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import SVG, leaf

import tinygrad_fc as tg
from tinygrad_fc.viz import letters, render
from tinygrad_fc.viz.words import one_line

MARKS = "e\u0301\u0302\u0303" * 5


def named(name: str) -> tg.Tensor:
    return np.tanh(leaf(np.ones(2), name))


def png(name: str, folder: Path) -> Any:
    """Return the dots of the box of a leaf."""
    from matplotlib.image import imread

    return imread(tg.draw(named(name), folder / "graph.png"))[:80]


@pytest.fixture
def no_other_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fonts have ASCII only."""
    monkeypatch.setattr(letters, "_charmap", lambda file: range(128))
    letters._fonts_with.cache_clear()
    yield
    letters._fonts_with.cache_clear()


@pytest.mark.parametrize(("name", "other"), [("∇", "⊙"), ("\U0001d703", "\U0001d702"), ("سلام", "هلام")])
def test_a_png_has_letters_that_graphviz_has_not(name: str, other: str, tmp_path: Path) -> None:
    one, two = png(name, tmp_path), png(other, tmp_path)
    assert one.shape == two.shape
    assert (one != two).any()  # empty boxes are all the same


def test_it_is_the_picture_that_graphviz_draws(tmp_path: Path) -> None:
    """The same size, boxes and colours: what differs are letters."""
    ours, theirs = png("∇", tmp_path), png("x", tmp_path)
    assert abs(np.array(ours.shape) - theirs.shape).max() <= 2
    rows, columns = (min(pair) for pair in zip(ours.shape[:2], theirs.shape[:2], strict=True))
    far = abs(ours[:rows, :columns, :3] - theirs[:rows, :columns, :3]).max(axis=2) > 0.3
    assert far.mean() < 0.1
    for colour in (ours, theirs):
        assert (abs(colour[..., :3] - np.array([0xFD, 0xEB, 0xD0]) / 255) < 0.01).all(axis=2).sum() > 1000


@pytest.mark.parametrize("which", ["forward", "both"])
def test_dashes_panels_and_notes_are_drawn_too(which: str, tmp_path: Path) -> None:
    h: Any = leaf(np.ones(2), "∇")
    for _ in range(4):
        h = np.tanh(h * 2.0 + np.ones(2))
    path = tg.draw(h.sum(), tmp_path / "graph.png", fold=True, which=which, show=["memory"], theme="dark")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("name", [MARKS, "данные", "∇f", "مرحبا بالعالم"])
def test_words_stand_in_the_middle_of_their_box_however_wide_they_are(name: str, tmp_path: Path) -> None:
    text = tg.draw(named(name), tmp_path / "graph.svg").read_text(encoding="utf-8")
    boxes = [group for group in ET.fromstring(text).iter(f"{SVG}g") if group.get("class") == "node"]
    assert len(boxes) == 2
    for box in boxes:
        shape = next(item for item in box.iter() if item.get("points") or item.get("d"))
        across = [float(x) for x in re.findall(r"(-?[\d.]+),", str(shape.get("points") or shape.get("d")))]
        for words in box.iter(f"{SVG}text"):
            assert words.get("text-anchor") == "middle"
            assert float(str(words.get("x"))) == pytest.approx((min(across) + max(across)) / 2, abs=0.01)
    assert "xlink:title" in text


def test_a_picture_of_plain_letters_is_as_graphviz_writes_it(tmp_path: Path) -> None:
    source = tg.draw(named("x … 2 × 3"), tmp_path / "graph.dot").read_text(encoding="utf-8")
    for kind in ("svg", "png"):
        assert render.render(source, kind) == render._run(render.renderer(), source, kind)


@pytest.mark.usefixtures("no_other_fonts")
@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_letters_that_no_font_has_are_named(suffix: str, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=rf"draw: the \.{suffix} has empty boxes for ∇ ⊙, since .* \.svg or \.html"):
        tg.draw(named("∇x⊙"), tmp_path / f"graph.{suffix}")


def test_without_matplotlib_they_are_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = r"empty boxes for ∇, .* pip install matplotlib \(or tinygrad_fc\[viz\]\)"
    with pytest.warns(UserWarning, match=message) as said:
        tg.draw(named("∇"), tmp_path / "graph.png")
    assert said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tg.draw(named("∇"), tmp_path / "graph.svg")


@pytest.mark.parametrize(("text", "shown"), [
    ("می\u200cخواهم", "می\u200cخواهم"), ("👩\u200d👧 family", "👩\u200d👧 family"),
    ("❤\ufe0f\u200d🔥", "❤\ufe0f\u200d🔥"),
    ("W\u200d1", "W\ufffd1"), ("\u200cθ", "\ufffdθ"), ("θ\u200d", "θ\ufffd"), ("θ\u202eλ", "θ\ufffdλ"),
])  # fmt: skip
def test_joiners_stay_where_they_join(text: str, shown: str) -> None:
    assert one_line(text) == shown

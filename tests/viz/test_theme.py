"""Themes: every word can be read on whatever it stands on, and kinds of boxes can be told apart."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from gallery import GALLERY

import tinygrad_fc as tg
from tinygrad_fc.viz.theme import THEMES, Theme, contrast


@pytest.mark.parametrize("name", THEMES)
def test_words_can_be_read(name: str) -> None:
    look = THEMES[name]
    grounds = [look.ground, *look.panels, *(fill for kind, (fill, _) in look.boxes.items() if kind != "marked")]
    pairs = [(ink, ground) for ink in (look.ink, look.faint) for ground in grounds]
    pairs += [(look.ink, look.warm(n / 50)) for n in range(51)]
    pairs.append((look.marked_ink, look.boxes["marked"][0]))
    assert min(contrast(ink, ground) for ink, ground in pairs) >= 4.5


@pytest.mark.parametrize("name", THEMES)
def test_lines_and_arrows_can_be_seen(name: str) -> None:
    look = THEMES[name]
    for colour in (look.edge, look.gradient, look.repeat_line, *(line for _, line in look.boxes.values())):
        assert min(contrast(colour, ground) for ground in (look.ground, *look.panels)) >= 2.7


@pytest.mark.parametrize("name", ["light", "dark"])
def test_kinds_have_colours_of_their_own(name: str) -> None:
    look = THEMES[name]
    assert len(set(look.boxes.values())) == len(look.boxes)
    assert look.edge != look.gradient


def test_print_tells_kinds_apart_by_borders(tmp_path: Path) -> None:
    """Black on white: what an operation, a parameter, an input, an output, a group and a mark differ in."""
    graph = tg.Graph(GALLERY["six_layers"][0]())
    graph.nodes[24].mark = "wrong"
    source = tg.draw(graph, tmp_path / "graph.dot", theme="print", fold=False).read_text(encoding="utf-8")
    folded = tg.draw(graph, tmp_path / "graph.dot", theme="print", depth=1).read_text(encoding="utf-8")
    looks = []
    for text, key in ((source, "0"), (source, "1"), (source, "25"), (source, "24"), (source, "44"), (folded, r"g\d+")):
        (line, *_) = re.findall(rf"^\s*{key} \[.*$", text, re.MULTILINE)
        looks.append(tuple(re.findall(r'(style|penwidth|peripheries|fillcolor)="?([^\s"\]]+)', line)))
    assert len(set(looks)) == len(looks)
    colours = set(re.findall(r"#[0-9a-f]{6}", source + folded))
    assert colours <= {"#000000", "#ffffff", "#222222"}


def test_heat_rises_from_little_to_most() -> None:
    for look in THEMES.values():
        assert (look.warm(0.0), look.warm(0.5), look.warm(1.0)) == look.heat
        steps = [contrast(look.warm(n / 20), look.warm(0.0)) for n in range(21)]
        assert all(one < other for one, other in itertools.pairwise(steps))


def test_contrast_by_known_values() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == contrast("#ffffff", "#777777") == pytest.approx(4.48, abs=0.005)
    assert contrast("#123456", "#123456") == 1.0


def test_a_theme_holds_colours_alone() -> None:
    for look in THEMES.values():
        assert isinstance(look, Theme)
        colours = [look.ground, look.ink, look.faint, look.edge, look.gradient, *look.panels, look.panel_line,
                   look.repeat_line, *look.heat, look.marked_ink, *itertools.chain(*look.boxes.values())]  # fmt: skip
        assert all(re.fullmatch(r"#[0-9a-f]{6}", colour) for colour in colours)
        assert set(look.boxes) == {"op", "parameter", "constant", "output", "group", "marked"}

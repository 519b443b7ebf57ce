"""Names of panels stand beside the arrows, not below them."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gallery import GALLERY, draw

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.viz.dot import as_dot
from tinygrad_fc.viz.render import render
from tinygrad_fc.viz.scene import scene
from tinygrad_fc.viz.settle import WORK, crossed_names, settled
from tinygrad_fc.viz.settle import _along as along
from tinygrad_fc.viz.theme import THEMES


@pytest.mark.parametrize("options", [{}, {"which": "backward"}, {"direction": "LR"}], ids=str)
@pytest.mark.parametrize("name", GALLERY)
def test_no_arrow_crosses_a_name(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    assert crossed_names(draw(name, tmp_path, **options).read_bytes()) == []


@pytest.mark.parametrize(("name", "side"), [("loop", "r"), ("six_layers", "r"), ("two_layers", "l")])
def test_a_name_that_is_crossed_on_the_left_goes_to_the_right(name: str, side: str) -> None:
    make, options = GALLERY[name]
    drawn = scene(tg.Graph(make()), depth=options.get("depth"), fold_repeats=options.get("fold"))
    plain = as_dot(drawn, "TB", THEMES["light"]).source
    assert bool(crossed_names(render(plain, "svg"))) == (side == "r")
    assert ("labeljust=r" in settled(drawn, "TB", THEMES["light"])) == (side == "r")


def test_a_panel_that_is_narrow_is_made_wider_only_where_that_helps() -> None:
    h: Any = np.ones((2, 3))
    w = tg.tensor(np.eye(3), requires_grad=True, name="w")
    for turns in (5, 6, 7, 8):  # loops of two boxes, whose arrows come from above
        for _ in range(turns):
            h = np.tanh(h @ w)
        h = h / np.sqrt((h * h).sum())
    drawn = scene(tg.Graph(h.sum()), fold_repeats=True)
    plain = render(as_dot(drawn, "TB", THEMES["light"]).source, "svg")
    assert len(crossed_names(plain)) == 4
    found = render(settled(drawn, "TB", THEMES["light"]), "svg")
    assert crossed_names(found) == []
    before, after = (float(re.findall(rb'width="(\d+)', svg)[0]) for svg in (plain, found))
    assert after < 2 * before


def test_the_names_of_a_network_with_their_figures_are_free() -> None:
    make, _ = GALLERY["six_layers"]
    drawn = scene(tg.Graph(make()), show=("memory",), fold_repeats=False)
    assert crossed_names(render(as_dot(drawn, "TB", THEMES["print"]).source, "svg")) != []
    assert crossed_names(render(settled(drawn, "TB", THEMES["print"]), "svg")) == []


def test_the_tries_for_a_large_picture_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(*[nn.Linear(2, 2, activation="tanh", seed=n) for n in range(35)])
    drawn = scene(tg.Graph(np.sum(net(np.ones((1, 2))))), fold_repeats=False)
    size = sum(1 for _ in drawn.cards()) + len(drawn.arrows)
    laid_out: list[str] = []
    monkeypatch.setattr("tinygrad_fc.viz.settle.render", lambda text, kind: laid_out.append(text) or b"<svg/>")
    monkeypatch.setattr("tinygrad_fc.viz.settle.crossed_names", lambda svg: ["g1"])
    settled(drawn, "TB", THEMES["light"])
    assert 1 < len(laid_out) <= WORK // size


@pytest.mark.parametrize(("width", "accepted"), [(199, True), (201, False)])
def test_no_picture_becomes_much_wider_for_its_names(
    width: int, accepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = nn.Sequential(nn.Linear(2, 2, seed=0))
    drawn = scene(tg.Graph(np.sum(net(np.ones((1, 2))))))
    (key, *_) = [panel.key for panel in drawn.panels() if panel.label]

    def laid_out(text: str, kind: str) -> bytes:
        return f'<svg width="{width if "labeljust=r" in text else 100}pt"/>'.encode()

    monkeypatch.setattr("tinygrad_fc.viz.settle.render", laid_out)
    monkeypatch.setattr("tinygrad_fc.viz.settle.crossed_names", lambda svg: [key] if b'"100pt"' in svg else [])
    assert ("labeljust=r" in settled(drawn, "TB", THEMES["light"])) is accepted


SVG = """<svg xmlns="http://www.w3.org/2000/svg"><g class="cluster"><title>cluster_7</title>
<text text-anchor="{anchor}" x="100" y="50">{words}</text></g>
<g class="edge"><title>1-&gt;2</title><path d="M{x},0C{x},30 {x},60 {x},90"/></g></svg>"""


@pytest.mark.parametrize(("anchor", "x", "crossed"), [
    ("start", 97, False), ("start", 103, True), ("start", 160, True), ("start", 165, False),
    ("end", 97, True), ("end", 103, False), ("end", 35, False), ("middle", 72, True), ("middle", 66, False),
])  # fmt: skip
def test_where_a_name_stands(anchor: str, x: int, crossed: bool) -> None:
    svg = SVG.format(anchor=anchor, words="ten_letter", x=x)
    assert crossed_names(svg.encode()) == (["g7"] if crossed else [])


def test_spaces_before_a_name_may_be_crossed() -> None:
    words = "\N{NO-BREAK SPACE}" * 20 + "ten_letter"
    found = {x: bool(crossed_names(SVG.format(anchor="end", words=words, x=x).encode())) for x in (0, 20, 41, 95)}
    assert found == {0: False, 20: False, 41: True, 95: True}


def test_a_picture_without_panels_is_laid_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x = tg.tensor(np.ones(2), requires_grad=True, name="x")
    monkeypatch.setattr("tinygrad_fc.viz.settle.render", None)
    assert "multiply" in settled(scene(tg.Graph(x * 2.0)), "TB", THEMES["light"])


def test_with_all_figures_and_both_ways_names_are_free_and_arrows_apart(tmp_path: Path) -> None:
    model = tg.models.FullyConnectedNet(
        [8] * 3, input_dim=8, num_classes=3, normalization="batchnorm", dropout_keep_ratio=0.8, seed=0
    )
    graph = tg.Graph(model.loss_tensor(np.ones((4, 8), np.float32), np.array([0, 2, 1, 0])))
    for box in graph.nodes:
        box.facts.update(forward_seconds=1.1e-5, backward_seconds=2.2e-5)
    path = tg.draw(graph, tmp_path / "all.svg", show=["shapes", "time", "memory", "multiply_adds"], which="both")
    svg = path.read_bytes()
    assert crossed_names(svg) == []
    root = ET.fromstring(svg)
    for panel in root.iter("{http://www.w3.org/2000/svg}g"):
        if panel.get("class") == "cluster":
            assert max(len("".join(text.itertext()).strip()) for text in panel.iter(f"{panel.tag[:-1]}text")) <= 28
    middles: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for edge in root.iter("{http://www.w3.org/2000/svg}g"):
        if str(edge.get("class")).startswith("edge"):
            start, end = str(edge.findtext(f"{edge.tag[:-1]}title")).split("->")
            points = list(along(str(next(edge.iter(f"{edge.tag[:-1]}path")).get("d"))))
            middles.setdefault((start, end), []).append(points[len(points) // 2])
    pairs = [found for found in middles.values() if len(found) == 2]
    assert len(pairs) > 10
    assert min(math.dist(*pair) for pair in pairs) > 8  # letters are about as high

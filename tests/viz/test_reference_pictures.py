"""Five pictures as they are known to look: the same structure as the references, and nothing over anything else.

The references are drawn anew with ``python tests/gallery.py``; look at them before they are committed.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gallery import GALLERY, REFERENCES, draw
from pictures import SVG, Picture
from PIL import ImageFont

import tinygrad_fc as tg

# Borders and the rounding of coordinates.
SLACK = 1.5


@dataclass
class Area:
    left: float
    top: float
    right: float
    bottom: float

    def holds(self, other: Area, slack: float = SLACK) -> bool:
        return (other.left >= self.left - slack and other.right <= self.right + slack
                and other.top >= self.top - slack and other.bottom <= self.bottom + slack)  # fmt: skip

    def meets(self, other: Area) -> bool:
        return (self.left < other.right and other.left < self.right
                and self.top < other.bottom and other.top < self.bottom)  # fmt: skip


class Drawn:
    """An SVG of Graphviz with its geometry: areas of boxes and panels, words with where they stand, edges."""

    def __init__(self, path: Path) -> None:
        self.boxes: dict[str, Area] = {}
        self.words: dict[str, list[tuple[str, Area]]] = {}
        self.panels: dict[str, Area] = {}
        self.labels: dict[str, tuple[str, Area]] = {}
        self.edges: list[tuple[str, str, str, bool]] = []
        for group in ET.parse(path).iter(f"{SVG}g"):
            title, texts = group.findtext(f"{SVG}title") or "", list(group.iter(f"{SVG}text"))
            match group.get("class"):
                case "node":
                    self.boxes[title] = area_of(group)
                    self.words[title] = [(words_of(text), area_of_text(text)) for text in texts]
                case "cluster":
                    self.panels[title] = area_of(group)
                    self.labels[title] = " ".join(map(words_of, texts)), area_of_text(texts[0])
                case "edge":
                    path_ = next(group.iter(f"{SVG}path"))
                    start, end = title.split("->")
                    label = " ".join(map(words_of, texts))
                    self.edges.append((start, end, label, "stroke-dasharray" in path_.attrib))

    def around(self, area: Area) -> list[str]:
        return sorted(self.labels[key][0] for key, panel in self.panels.items() if panel.holds(area))

    def structure(self) -> dict[str, Any]:
        """What has to be the same in every picture of the graph, wherever things stand."""
        names = {key: " / ".join(word for word, _ in words) for key, words in self.words.items()}
        return {
            "boxes": sorted((names[key], self.around(area)) for key, area in self.boxes.items()),
            "panels": sorted((self.labels[key][0], self.around(area)) for key, area in self.panels.items()),
            "edges": sorted((names[start], names[end], label, dashed) for start, end, label, dashed in self.edges),
        }


def words_of(text: Any) -> str:
    return Picture.clean("".join(text.itertext()))


def area_of(group: Any) -> Area:
    """The area that the outlines of a box or panel take."""
    numbers = [float(number) for shape in group.iter() if shape.tag in (f"{SVG}path", f"{SVG}polygon")
               for number in re.findall(r"-?\d+(?:\.\d+)?", shape.get("d") or shape.get("points"))]  # fmt: skip
    across, down = numbers[::2], numbers[1::2]
    return Area(min(across), min(down), max(across), max(down))


def font(size: float, bold: bool) -> Any:
    """DejaVu, which matplotlib carries, is wider than Arial: what it says is too wide by a tenth."""
    import matplotlib

    name = f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, round(size * 10))


def area_of_text(text: Any) -> Area:
    size = float(text.get("font-size"))
    width = font(size, text.get("font-weight") == "bold").getlength(words_of(text)) / 10 * 0.9
    x, y = float(text.get("x")), float(text.get("y"))
    left = x - width / 2 if text.get("text-anchor") == "middle" else x
    return Area(left, y - 0.75 * size, left + width, y + 0.2 * size)


@pytest.fixture(scope="module", params=GALLERY)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Drawn]:
    return request.param, Drawn(draw(request.param, tmp_path_factory.mktemp("pictures")))


def test_the_structure_is_that_of_the_reference(pair: tuple[str, Drawn]) -> None:
    name, drawn = pair
    assert drawn.structure() == Drawn(REFERENCES / f"{name}.svg").structure()


def assert_tidy(drawn: Drawn) -> None:
    """No two boxes meet, words stand in their box and not over each other, boxes in their panels."""
    boxes = list(drawn.boxes.items())
    for n, (key, area) in enumerate(boxes):
        assert not any(area.meets(other) for _, other in boxes[n + 1 :])
        for panel in drawn.panels.values():
            assert panel.holds(area) or not panel.meets(area)
        lines = drawn.words[key]
        assert all(area.holds(place) for _, place in lines), f"words of {lines[0][0]!r} do not fit"
        for (_, upper), (_, lower) in zip(lines, lines[1:], strict=False):
            assert upper.bottom <= lower.top + SLACK
    for key, (word, place) in drawn.labels.items():
        assert drawn.panels[key].holds(place), f"the name of panel {word!r} does not fit"
        assert not any(place.meets(area) for area in drawn.boxes.values())


def test_nothing_stands_over_anything_else(pair: tuple[str, Drawn]) -> None:
    assert_tidy(pair[1])


@pytest.mark.parametrize("options", [
    {"which": "backward"}, {"which": "both", "theme": "dark"}, {"show": ("shapes", "memory"), "theme": "print"},
    {"direction": "LR"}, {"depth": 0}, {"expand": "all"}, {"fold": True, "show": "lines"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("name", GALLERY)
def test_other_pictures_are_tidy_too(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    assert_tidy(Drawn(draw(name, tmp_path, **options)))


def test_what_is_marked_folded_and_long_is_tidy_too(tmp_path: Path) -> None:
    graph = tg.Graph(GALLERY["loop"][0]())
    graph.nodes[60].mark = "the gradient of w is wrong: " + "a very long explanation " * 20
    graph.nodes[2].name = "<&\"\\>" * 2_000
    assert_tidy(Drawn(tg.draw(graph, tmp_path / "marked.svg", fold=True, show=("shapes", "memory"))))


def test_the_checks_above_can_fail(tmp_path: Path) -> None:
    path = draw("two_layers", tmp_path)
    text = path.read_text(encoding="utf-8")
    reference = Drawn(REFERENCES / "two_layers.svg").structure()
    for old, new in (("fc2.b", "fc9.b"), (">fc1", ">fc0"), ("5&#45;&gt;6", "5&#45;&gt;1"), ("8 × 3", "3 × 8")):
        changed = tmp_path / "changed.svg"
        changed.write_text(text.replace(old, new), encoding="utf-8")
        assert text != changed.read_text(encoding="utf-8"), old
        assert Drawn(changed).structure() != reference
    drawn = Drawn(path)
    first, second = list(drawn.boxes)[:2]
    kept = drawn.boxes[first]
    drawn.boxes[first] = drawn.boxes[second]
    with pytest.raises(AssertionError):
        assert_tidy(drawn)
    drawn.boxes[first] = kept
    assert_tidy(drawn)
    drawn.words[first].append(("x" * 99, Area(kept.left - 99, kept.bottom - 9, kept.right, kept.bottom - 1)))
    with pytest.raises(AssertionError, match="do not fit"):
        assert_tidy(drawn)
    assert np.all([area.right > area.left for area in drawn.panels.values()])

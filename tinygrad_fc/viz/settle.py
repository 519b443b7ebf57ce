"""settled(): names of panels out of the way of arrows, which Graphviz draws over them."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

from .dot import as_dot
from .parts import Scene
from .render import render
from .theme import Theme

# Spaces before a name on the right, or after one on the left (negative), which make its panel wider, try after try.
_WIDER = (0, -20, 20, -50, 50, -80)
# Each try is a layout: in larger pictures a name that is crossed is the least of worries. Boxes and arrows of one
# picture, and of all that are laid out for it, which takes a second at most.
MANY = 150
WORK = 1500
# Times as wide as at first a picture may become.
WIDEST = 2.0
# Of a letter of a name, bold 11 point: its width on average, and what it takes above and below the line.
_WIDTH, _ABOVE, _BELOW = 6.2, 8.5, 2.5
_STEP = 3.0

_SVG = "{http://www.w3.org/2000/svg}"
Box = tuple[float, float, float, float]


def settled(drawn: Scene, direction: str, look: Theme) -> str:
    """Return the DOT text of a scene, in which arrows run beside the names of panels where that can be had.

    A name stands on the left. Where an arrow crosses it there, it is tried on the right, and then in wider panels, on
    either side.
    """
    cards = sum(1 for _ in drawn.cards())
    if drawn.tangled or not any(panel.label for panel in drawn.panels()) or cards > MANY:
        return as_dot(drawn, direction, look).source
    first = best = _Try(drawn, direction, look, {})
    layouts = WORK // (cards + len(drawn.arrows))
    for wider in _WIDER:
        layouts -= 2
        if not best.crossed or layouts < 0:
            break
        found = _Try(drawn, direction, look, best.aside | dict.fromkeys(best.crossed, wider))
        if len(found.crossed) >= len(best.crossed):
            continue
        # Only the panels that this helps are made wider, unless the others then have to be as well.
        helped = dict.fromkeys([key for key in best.crossed if key not in found.crossed], wider)
        narrow = _Try(drawn, direction, look, best.aside | helped)
        found = min(narrow, found, key=lambda made: len(made.crossed))
        if found.across <= WIDEST * first.across:
            best = found
    return best.source


class _Try:
    """A layout: its DOT text, the names that are crossed in it, and how wide it is."""

    def __init__(self, drawn: Scene, direction: str, look: Theme, aside: dict[str, int]) -> None:
        self.aside, self.source = aside, as_dot(drawn, direction, look, aside).source
        svg = render(self.source, "svg")
        self.crossed = crossed_names(svg)
        self.across = float(ET.fromstring(svg).get("width", "0").removesuffix("pt"))


def crossed_names(svg: bytes) -> list[str]:
    """Return the keys of the panels whose name an arrow crosses, in an SVG of Graphviz."""
    names: dict[str, list[Box]] = {}
    paths: list[str] = []
    for group in ET.fromstring(svg).iter(f"{_SVG}g"):
        if group.get("class") == "cluster":
            title = (group.findtext(f"{_SVG}title") or "").replace("cluster_", "g")
            names[title] = [_area(text) for text in group.iter(f"{_SVG}text")]
        elif group.get("class", "").startswith("edge"):
            paths += [path.get("d", "") for path in group.iter(f"{_SVG}path")]
    points = [point for path in paths for point in _along(path)]
    return [
        title for title, areas in names.items()
        if any(left < x < right and top < y < bottom for left, top, right, bottom in areas for x, y in points)
    ]  # fmt: skip


def _area(text: Any) -> Box:
    x, y = float(text.get("x")), float(text.get("y"))
    words = "".join(text.itertext())
    letter = _WIDTH * float(text.get("font-size", "11")) / 11
    width = letter * len(words.strip())
    # Spaces before a name, which make its panel wider, are half as wide as letters.
    before = letter / 2 * (len(words) - len(words.lstrip()))
    left = x + before - (width + before) * {"start": 0.0, "middle": 0.5, "end": 1.0}[text.get("text-anchor", "start")]
    return left, y - _ABOVE, left + width, y + _BELOW


def _along(path: str) -> Iterator[tuple[float, float]]:
    """Yield points along an arrow, no further apart than a line of text is high: Bézier curves, one after another."""
    numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", path)]
    corners = list(zip(numbers[::2], numbers[1::2], strict=True))
    for n in range(0, len(corners) - 3, 3):
        four = corners[n : n + 4]
        length = sum(math.dist(one, other) for one, other in zip(four, four[1:], strict=False))
        steps = max(1, math.ceil(length / _STEP))
        for step in range(steps + 1):
            t = step / steps
            weights = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
            x, y = (sum(w * point[axis] for w, point in zip(weights, four, strict=True)) for axis in (0, 1))
            yield x, y

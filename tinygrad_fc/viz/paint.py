"""paint: an SVG of Graphviz as a PNG, by matplotlib, which has fonts for letters that graphviz-pure has not."""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from typing import Any

from .letters import DEJAVU, fonts_with

_SVG = "{http://www.w3.org/2000/svg}"
_DPI = 96  # as graphviz-pure
_MOST = 2**16 - 1  # dots that matplotlib draws along a side


def paint(svg: bytes) -> bytes:
    """Return an SVG of Graphviz as a PNG. What Graphviz writes into one is known: see ``_shape``.

    Parameters
    ----------
    svg : bytes
        With the words of boxes set around their middle, since they are not as wide here as there.
    """
    from matplotlib.figure import Figure

    root = ET.fromstring(svg)
    width, height = (float(root.get(side, "").removesuffix("pt")) for side in ("width", "height"))
    figure = Figure((width / 72, height / 72))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), frameon=False, xticks=[], yticks=[])
    (whole,) = root.findall(f"{_SVG}g")
    (place,) = re.findall(r"translate\((\S+) (\S+)\)", whole.get("transform", ""))
    left, top = -float(place[0]), -float(place[1])
    axes.set_xlim(left, left + width)
    axes.set_ylim(top + height, top)
    for element in whole.iter():
        if element.tag == f"{_SVG}text":
            _write(axes, element)
        elif element.tag in (f"{_SVG}polygon", f"{_SVG}polyline", f"{_SVG}path"):
            axes.add_patch(_shape(element))
    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")  # render says so in the user's words
        figure.savefig(target, format="png", dpi=min(_DPI, 72 * _MOST / max(width, height)))
    return target.getvalue()


def _shape(element: Any) -> Any:
    """Return a polygon, a line of several parts, or a path of curves (a start, and three points for each curve)."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    curved = element.tag == f"{_SVG}path"
    numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", element.get("d" if curved else "points", ""))]
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    codes = [Path.MOVETO, *[Path.CURVE4 if curved else Path.LINETO] * (len(points) - 1)]
    dashes = [float(part) for part in element.get("stroke-dasharray", "").split(",") if part]
    line = float(element.get("stroke-width", "1"))
    return PathPatch(
        Path(points, codes), facecolor=_colour(element, "fill"), edgecolor=_colour(element, "stroke"), linewidth=line,
        linestyle=(0, [part / line for part in dashes]) if dashes else "solid", capstyle="butt",
    )  # fmt: skip


def _colour(element: Any, key: str) -> str:
    given = element.get(key, "none")
    return "none" if given == "transparent" else given


def _write(axes: Any, element: Any) -> None:
    words = element.text or ""
    size = float(element.get("font-size", "11"))
    before = len(words) - len(words.lstrip())
    side = {"start": "left", "middle": "center", "end": "right"}[element.get("text-anchor", "start")]
    x = float(element.get("x")) + (0.28 * size * before if side == "left" else 0.0)
    families, _ = fonts_with({*words})
    weight = element.get("font-weight", "normal") if len(families) == 1 else "normal"  # few others have bold letters
    axes.text(
        x, float(element.get("y")), words.strip(), fontfamily=families, fontsize=size * DEJAVU, fontweight=weight,
        ha=side, va="baseline", color=element.get("fill", "#000000"), parse_math=False,
    )  # fmt: skip

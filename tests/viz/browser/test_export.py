"""Export: the picture that is saved stands alone, and shows what is open."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

import tinygrad_fc as tg

SVG = "{http://www.w3.org/2000/svg}"


def saved(viewer: Any, button: str) -> tuple[str, bytes]:
    with viewer.page.expect_download() as waiting:
        viewer.click(button)
    download = waiting.value
    return download.suggested_filename, download.path().read_bytes()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_svg(theme: str, opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net, theme=theme)
    name, content = saved(viewer, "#save-svg")
    assert name == "Computation-graph.svg"
    root = ET.fromstring(content)
    words = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    for box in viewer.ask("boxes"):
        assert any(word.startswith(box["label"]) for word in words), box["label"]
    # Every style stands on its element: no class, no style sheet, no variable is left to be looked up.
    assert not [element for element in root.iter() if {"class", "style", "id"} & set(element.attrib)]
    assert not list(root.iter(f"{SVG}style"))
    assert b"var(" not in content
    assert all(text.get("fill", "").startswith("rgb") and text.get("font-size") for text in root.iter(f"{SVG}text"))
    paper = next(root.iter(f"{SVG}rect")).get("fill", "")
    assert (int(paper.split("(")[1].split(",")[0]) > 128) == (theme == "light")
    view = [float(number) for number in root.get("viewBox", "").split()]
    for rect in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(rect.get(key, "nan")) for key in ("x", "y", "width", "height"))
        assert x >= view[0]
        assert y >= view[1]
        assert x + w <= view[0] + view[2] + 0.5
        assert y + h <= view[1] + view[3] + 0.5


def test_svg_of_what_is_open(opened: Callable[..., Any], net: tg.Graph) -> None:
    viewer = opened(net, title="a/b: <c>")
    viewer.click("#fold-all")
    name, content = saved(viewer, "#save-svg")
    assert name == "a-b-c.svg"
    words = ["".join(text.itertext()) for text in ET.fromstring(content).iter(f"{SVG}text")]
    assert "FullyConnectedNet" in words
    assert "fc1.W" not in words
    assert viewer.ask("drawn") == len(viewer.ask("boxes"))  # the window is as it was


def test_png(opened: Callable[..., Any], expression: tg.Graph) -> None:
    viewer = opened(expression)
    name, content = saved(viewer, "#save-png")
    assert name.endswith(".png")
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    root = ET.fromstring(saved(viewer, "#save-svg")[1])
    assert picture.size == (2 * int(root.get("width", "")), 2 * int(root.get("height", "")))
    colours = {colour for _, colour in picture.getcolors(1 << 24)}
    assert (233, 241, 253) in colours  # the fill of operations
    assert (253, 240, 218) in colours  # and of parameters

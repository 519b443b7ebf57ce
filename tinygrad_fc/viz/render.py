"""Pictures from DOT text: a system ``dot`` where there is one, else ``graphviz-pure``, which pip installs."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sysconfig
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .letters import DEJAVU, fonts_with, lacking, measured, undrawn, visible

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def renderer() -> str:
    """Return the program that renders: a system ``dot``, else ``graphviz-pure``.

    Raises
    ------
    RuntimeError
        If there is neither, saying what to install.
    """
    # `dot` is taken from PATH; graphviz-pure also from the running environment, whose scripts may not be on PATH.
    found = (
        shutil.which("dot") or shutil.which("graphviz-pure")
        or shutil.which("graphviz-pure", path=sysconfig.get_path("scripts"))
    )  # fmt: skip
    if found is None:
        raise RuntimeError(
            "draw: no program renders the picture. Install one: pip install graphviz-pure (or tinygrad_fc[viz]), or "
            "Graphviz from your system's packages. These need none: tg.draw(t, 'graph.html'), .dot and .mmd."
        )
    return found


def render(source: str, kind: str) -> bytes:
    """Return DOT text rendered as `kind` ("svg", "png" or "pdf").

    Warns
    -----
    UserWarning
        If a PNG or a PDF has letters that no font at hand has, with these letters.

    Raises
    ------
    RuntimeError
        If there is no renderer, or it fails; with its message.
    ImportError
        If a PDF is to be written without a system Graphviz, and svglib is not installed.
    """
    program = renderer()
    if Path(program).stem != "graphviz-pure":
        return _run(program, source, kind)
    if kind == "pdf":
        _need_svglib()  # before anything is laid out
        content, blank = _pdf(_centred(_run(program, source, "svg")))
        _warn(blank, kind, "the font that it takes has none")
        return content
    if kind == "svg":
        svg = _run(program, source, "svg")
        return svg if measured(source) else _centred(svg)
    strange = undrawn(source)
    if not strange:
        return _run(program, source, kind)
    try:
        import matplotlib  # noqa: F401  # it has the fonts
    except ImportError:
        _warn(strange, kind, "graphviz-pure has no font", " pip install matplotlib (or tinygrad_fc[viz]) brings one.")
        return _run(program, source, kind)
    from .paint import paint

    _warn(fonts_with(strange)[1], kind, "no font here has them")
    return paint(_centred(_run(program, source, "svg")))


def _warn(letters: set[str], kind: str, why: str, cure: str = "") -> None:
    letters = visible(letters)
    if letters:
        some = " ".join(sorted(letters)[:10]) + (" ..." if len(letters) > 10 else "")
        warnings.warn(
            f"draw: the .{kind} has empty boxes for {some}, since {why}.{cure} An .svg or .html shows them where its "
            f"reader has a font.", stacklevel=4,
        )  # fmt: skip


def _centred(svg: bytes) -> bytes:
    """Return an SVG of Graphviz with the words of its boxes in their middle, however wide they turn out to be.

    graphviz-pure sets them from the left, half as far from the middle as it takes them to be wide; it counts marks that
    combine with a letter as letters, and what its fonts lack by a guess.
    """
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    root = ET.fromstring(svg)
    for box in root.iterfind(f".//{{{_SVG}}}g[@class='node']"):
        shape = next(item for item in box.iter() if item.get("points") or item.get("d"))
        across = [float(x) for x in re.findall(r"(-?[\d.]+),", shape.get("points") or shape.get("d") or "")]
        for text in box.iter(f"{{{_SVG}}}text"):
            text.set("text-anchor", "middle")
            text.set("x", f"{(min(across) + max(across)) / 2:g}")
    return ET.tostring(root)


def _run(program: str, source: str, kind: str) -> bytes:
    done = subprocess.run([program, f"-T{kind}"], input=source.encode(), capture_output=True, check=False)
    if done.returncode or not done.stdout:
        raise RuntimeError(f"draw: {program} failed: {done.stderr.decode(errors='replace').strip() or 'no output'}")
    return done.stdout


def _need_svglib() -> Any:
    try:
        from svglib import svglib
    except ImportError as error:
        raise ImportError(
            "draw: graphviz-pure writes no PDF itself. Install what turns its SVG into one: pip install svglib (or "
            "tinygrad_fc[viz]), or Graphviz from your system's packages."
        ) from error
    return svglib


def _pdf(svg: bytes) -> tuple[bytes, set[str]]:
    """Return an SVG of Graphviz as a PDF, and the letters that it has empty boxes for."""
    from reportlab.graphics import renderPDF

    svglib = _need_svglib()
    ET.register_namespace("", _SVG)
    root = ET.fromstring(svg)
    for group in root.findall(f"{{{_SVG}}}g"):
        # A PDF has no tooltips; and svglib looks for each attribute in all groups around a shape, which takes half its
        # time. Graphviz gives the outermost its attributes, and none to those inside.
        group[:] = list(_shapes(group))
    blank: set[str] = set()
    for text in root.iter(f"{{{_SVG}}}text"):
        blank |= _choose_font(text)
    drawing = svglib.svg2rlg(io.BytesIO(ET.tostring(root)))
    return bytes(renderPDF.drawToString(drawing)), blank


def _shapes(group: Any) -> Iterator[Any]:
    """Yield what is drawn in a group of an SVG, in order, without the groups, links and titles around it."""
    for element in group:
        if element.tag in (f"{{{_SVG}}}g", f"{{{_SVG}}}a"):
            yield from _shapes(element)
        elif element.tag != f"{{{_SVG}}}title":
            yield element


def _choose_font(text: Any) -> set[str]:
    """Give a text a font that has its letters, and return those that it has not.

    Every reader has Helvetica, as wide as the Arial that the boxes are made for. It has Latin letters only; for others
    DejaVu comes with matplotlib. It is a tenth wider, and set smaller.
    """
    words = "".join(text.itertext())
    bold = text.get("font-weight") == "bold"
    family, blank = "Helvetica", {letter for letter in words if not letter.encode("cp1252", "ignore")}
    if blank and (file := _dejavu(bold)):
        family, blank = "DejaVuSans", lacking(words, file)
        text.set("font-size", str(float(text.get("font-size", "11")) * DEJAVU))
    text.set("font-family", family)
    return blank


def _dejavu(bold: bool) -> str | None:
    """Register the DejaVu that matplotlib carries, and return its file; None without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return None
    from svglib.fonts import register_font

    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    register_font("DejaVuSans", str(file), weight="bold" if bold else "normal")
    return str(file)

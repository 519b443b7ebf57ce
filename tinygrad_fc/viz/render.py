"""Pictures from DOT text: a system ``dot`` where there is one, else ``graphviz-pure``, which pip installs."""

from __future__ import annotations

import io
import shutil
import subprocess
import sysconfig
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

    Raises
    ------
    RuntimeError
        If there is no renderer, or it fails; with its message.
    ImportError
        If a PDF is to be written without a system Graphviz, and svglib is not installed.
    """
    program = renderer()
    if kind == "pdf" and Path(program).stem == "graphviz-pure":
        _need_svglib()  # before anything is laid out
        return _pdf(_run(program, source, "svg"))
    return _run(program, source, kind)


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


def _pdf(svg: bytes) -> bytes:
    """Return an SVG of Graphviz as a PDF."""
    from reportlab.graphics import renderPDF

    svglib = _need_svglib()
    ET.register_namespace("", _SVG)
    root = ET.fromstring(svg)
    for group in root.findall(f"{{{_SVG}}}g"):
        # A PDF has no tooltips; and svglib looks for each attribute in all groups around a shape, which takes half its
        # time. Graphviz gives the outermost its attributes, and none to those inside.
        group[:] = list(_shapes(group))
    for text in root.iter(f"{{{_SVG}}}text"):
        _choose_font(text)
    drawing = svglib.svg2rlg(io.BytesIO(ET.tostring(root)))
    return bytes(renderPDF.drawToString(drawing))


def _shapes(group: Any) -> Iterator[Any]:
    """Yield what is drawn in a group of an SVG, in order, without the groups, links and titles around it."""
    for element in group:
        if element.tag in (f"{{{_SVG}}}g", f"{{{_SVG}}}a"):
            yield from _shapes(element)
        elif element.tag != f"{{{_SVG}}}title":
            yield element


def _choose_font(text: Any) -> None:
    """Give a text a font that has its letters.

    Every reader has Helvetica, as wide as the Arial that the boxes are made for. It has Latin letters only; for others
    DejaVu comes with matplotlib. It is a tenth wider, and set smaller.
    """
    words = "".join(text.itertext())
    bold = text.get("font-weight") == "bold"
    family = "Helvetica"
    try:
        words.encode("cp1252")
    except UnicodeEncodeError:
        family = _dejavu(bold) or family
    if family != "Helvetica":
        text.set("font-size", str(float(text.get("font-size", "11")) * 0.86))
    text.set("font-family", family)


def _dejavu(bold: bool) -> str | None:
    """Register the DejaVu that matplotlib carries, and return its name; None without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return None
    from svglib.fonts import register_font

    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    register_font("DejaVuSans", str(file), weight="bold" if bold else "normal")
    return "DejaVuSans"

"""draw: the graph as a picture, through Graphviz.

The DOT text is made with the ``graphviz`` package. A system ``dot`` renders it where there is one, else
``graphviz-pure``, which pip installs (the extra ``viz``).
"""

from __future__ import annotations

import html
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.tensor import Tensor
from ..graph import Graph, GraphNode, brief

if TYPE_CHECKING:
    import graphviz

FORMATS = ("svg", "png", "pdf", "dot")

# Fill and line of each kind of box: three hues that differ in lightness too, so that a grey print tells them apart.
COLOURS = {
    "op": ("#e8f0fb", "#3b6ea8"),
    "parameter": ("#fdebd0", "#b9770e"),
    "constant": ("#f4f4f4", "#8a8a8a"),
    "output": ("#d9f2e3", "#2e7d4f"),
}
FONT = "Arial"
INK, FAINT = "#1f2933", "#56616c"
# Backgrounds of nested modules, from the outermost in.
PANELS = ("#fafbfc", "#f1f4f7", "#e8ecf1")
# Where the arguments may be exchanged, an edge needs no name.
SYMMETRIC = frozenset(("add", "multiply", "maximum", "minimum"))


def dot_source(graph: Graph, direction: str = "TB") -> graphviz.Digraph:
    """Return the picture of a graph as a ``graphviz.Digraph``.

    Parameters
    ----------
    graph : Graph
    direction : {"TB", "BT", "LR", "RL"}
        Where the computation runs: down, up, right or left.
    """
    import graphviz

    if direction not in ("TB", "BT", "LR", "RL"):
        raise ValueError(f"draw: direction={direction!r}, expected 'TB', 'BT', 'LR' or 'RL'.")
    picture = graphviz.Digraph(
        "tinygrad_fc",
        graph_attr={
            "rankdir": direction, "fontname": FONT, "bgcolor": "white", "nodesep": "0.3", "ranksep": "0.4",
            "pad": "0.2",
        },
        node_attr={
            "shape": "box", "style": "filled,rounded", "fontname": FONT, "fontsize": "11", "fontcolor": INK,
            "margin": "0.2,0.07", "height": "0.3", "penwidth": "1.1",
        },
        edge_attr={"color": "#6b7785", "arrowsize": "0.6", "fontname": FONT, "fontsize": "9", "fontcolor": FAINT},
    )  # fmt: skip
    _modules(picture, graph, graph.nodes, (), [0])
    for box in graph.nodes:
        # Which argument is which matters where two arrays meet and may not change places.
        named = box.op not in SYMMETRIC and len(box.inputs) == 2
        for argument, source in box.inputs:
            picture.edge(str(source), str(box.id), label=f" {argument} " if named else "")
    return picture


def _modules(picture: Any, graph: Graph, boxes: list[GraphNode], path: tuple[str, ...], count: list[int]) -> None:
    """Add the boxes of one module, and each module inside as a cluster of its own."""
    inner: dict[str, list[GraphNode]] = {}
    for box in boxes:
        if len(box.module) > len(path):
            inner.setdefault(box.module[len(path)], []).append(box)
        else:
            _box(picture, graph, box)
    for name, members in inner.items():
        count[0] += 1
        with picture.subgraph(name=f"cluster_{count[0]}") as cluster:
            cluster.attr(
                label=f"<<b>{escape(clip(name))}</b>>", labeljust="l", fontsize="11", fontcolor=FAINT,
                style="filled,rounded", color="#cdd5de", fillcolor=PANELS[min(len(path), len(PANELS) - 1)], margin="12",
            )  # fmt: skip
            _modules(cluster, graph, members, (*path, name), count)


def _box(picture: Any, graph: Graph, box: GraphNode) -> None:
    output = box.id in graph.outputs
    fill, line = COLOURS["output" if output and box.kind == "op" else box.kind]
    title = box.op or box.name or ("parameter" if box.kind == "parameter" else "input")
    if box.op and box.name:
        title = f"{box.name} = {box.op}"
    lines = [f"{key} = {brief(value)}" for key, value in (box.numbers | box.static).items()]
    lines.append(f"{shape_text(box.shape)} {box.dtype}")
    small = "".join(f'<br/><font point-size="9" color="{FAINT}">{escape(clip(line))}</font>' for line in lines)
    style = "filled" if box.kind == "parameter" else "filled,dashed" if box.kind == "constant" else "filled,rounded"
    kinds = {"op": f"result of {box.op}", "parameter": "leaf that needs a gradient", "constant": "input, no gradient"}
    path = ".".join(box.module).replace("\\", "/") + ": " if box.module else ""
    picture.node(
        str(box.id), label=f"<<b> {escape(clip(title))} </b>{small}>", fillcolor=fill, color=line, style=style,
        tooltip=clip(f"{path}{kinds[box.kind]}, {box.shape} {box.dtype}{f', {box.line}' if box.line else ''}", 200),
        penwidth="1.8" if output else "1.1",
    )  # fmt: skip


def clip(text: str, length: int = 48) -> str:
    """Return `text` on one line, cut in its middle where it is longer than `length`."""
    text = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)
    half = length // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half + 1 :]}"


def escape(text: str) -> str:
    """Return `text` for a label: HTML, in which Graphviz takes a backslash for an escape, so it is doubled."""
    return html.escape(text).replace("\\", "\\\\")


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as people write it: ``100 × 64``, or ``scalar``."""
    return " × ".join(map(str, shape)) or "scalar"


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
            "Graphviz from your system's packages. The text, tg.draw(t, 'graph.dot'), needs none."
        )
    return found


def render(source: str, kind: str) -> bytes:
    """Return DOT text rendered as `kind` ("svg", "png" or "pdf").

    Raises
    ------
    RuntimeError
        If there is no renderer, or it fails; with its message.
    """
    program = renderer()
    if kind == "pdf" and Path(program).stem == "graphviz-pure":
        raise RuntimeError(
            "draw: graphviz-pure writes no PDF: draw an .svg, or install Graphviz from your system's packages."
        )
    done = subprocess.run([program, f"-T{kind}"], input=source.encode(), capture_output=True, check=False)
    if done.returncode or not done.stdout:
        raise RuntimeError(f"draw: {program} failed: {done.stderr.decode(errors='replace').strip() or 'no output'}")
    return done.stdout


def draw(target: Tensor | Graph, path: str | Path, *, direction: str = "TB") -> Path:
    """Draw the graph behind a tensor into a file.

    Boxes are operations (blue; the result green), leaves that need a gradient (orange) and other inputs (grey, dashed),
    each with its shape and dtype; modules are panels around them.

    Parameters
    ----------
    target : Tensor or Graph
        What to draw.
    path : str or Path
        Where to; the suffix chooses the form: .svg, .png, .pdf, or .dot for the text. An existing file is replaced.
    direction : {"TB", "BT", "LR", "RL"}
        Where the computation runs: down, up, right or left.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    TypeError
        If the tensor has no graph.
    ValueError
        If the suffix or the direction is none of these.
    FileNotFoundError
        If the folder of `path` does not exist.
    RuntimeError
        If nothing is installed that renders; the message says what to install.
    """
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        suffixes = ", ".join(f".{known}" for known in FORMATS)
        raise ValueError(f"draw: cannot write {path.name!r}, expected a suffix of {suffixes}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"draw: the folder {str(path.parent)!r} does not exist: make it first.")
    source = dot_source(target if isinstance(target, Graph) else Graph(target), direction).source
    path.write_bytes(source.encode() if kind == "dot" else render(source, kind))
    return path


def notebook_svg(target: Tensor | Graph, limit: int = 300) -> str | None:
    """Return the SVG that a notebook shows; None for a graph of more than `limit` boxes, or where nothing renders."""
    graph = target if isinstance(target, Graph) else Graph(target)
    if len(graph) > limit:
        return None
    try:
        text = render(dot_source(graph).source, "svg").decode()
    except (RuntimeError, OSError):
        return None  # the text is shown instead; `draw` says what to install
    return text[text.index("<svg") :]

"""page: the graph as one HTML file that needs nothing else: no network, no library, no server.

The page's own script and style stand in static/; here they are put together with the data of the graph. Its content
security policy names them by their hashes and forbids everything else, so that no name in a graph can run as code.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import math
from collections.abc import Iterable
from importlib.resources import files

from ..engine.node import Node
from ..graph import Graph
from .embed import fitting

LARGEST = 1_500_000  # bytes of a page
MOST_FUSED, LARGEST_FUSED = 1_000, 2**27  # fused operations, and bytes that they read, up to which they are opened
THEMES = (None, "light", "dark")
DIRECTIONS = (None, "TB", "BT", "LR", "RL")

# The parts of the script, in the order of use. They share one scope, inside one function.
SCRIPTS = (
    "data.js", "words.js", "colour.js", "place.js", "lines.js", "draw.js", "view.js", "fold.js", "select.js",
    "panel.js", "step.js", "player.js", "search.js", "export.js", "keys.js", "main.js",
)  # fmt: skip


def page(
    graph: Graph, *, theme: str | None = None, show: Iterable[str] = (), title: str | None = None,
    embedded: bool = False, notes: Iterable[str] = (), direction: str | None = None, depth: int | None = None,
    fold: bool | None = None, expand: str | Iterable[int | str] = (),
) -> str:  # fmt: skip
    """Return the viewer of a graph: one HTML page, whole in itself, of at most 1.5 MB.

    The page can be panned, zoomed, searched, folded and unfolded; it shows all that is known of a box, steps through
    the computation and through backward, and exports what it shows as SVG and PNG. What does not fit into its size is
    left out, the largest first (histograms, numbers, source lines, ...), and the page says so.

    Parameters
    ----------
    graph : Graph
        What to show. The facts on its boxes (see `tg.observe`) are shown where they are.
    theme : {None, "light", "dark"}
        None follows the system; a switch in the page changes it.
    show : iterable of str
        "time" or "memory" colours the boxes by it at first; other words change nothing here, since the page shows all.
    title : str, optional
        Of the page; by default the outermost module that holds all of the graph's operations.
    embedded : bool
        Made for a frame inside another page (a notebook): the wheel zooms only after a click into the graph, or with
        Ctrl held, so that the page around it still scrolls.
    notes : iterable of str
        Sentences that the page shows above the graph: why something is not known, say.
    direction : {None, "TB", "BT", "LR", "RL"}
        Where the computation runs. None is down, or to the right where the window is low and the graph is tall.
    depth : int, optional
        How many levels of modules are unfolded at first. By default as many as leave the boxes countable.
    fold : bool, optional
        False unfolds all modules and all turns of what repeats at first.
    expand : "all" or iterable of int or str
        Fused operations that are unfolded at first, by id or by name.

    Returns
    -------
    str
        The page. It reads nothing and sends nothing: its policy forbids any request. Its script says what it shows in
        ``window.viewer`` (``boxes``, ``selected``, ``step``, ``hits``, ``view``, ...), which cannot be written.

    Raises
    ------
    ValueError
        If the theme or the direction is none of these, or `expand` names no fused operation of the graph.
    """
    if theme not in THEMES:
        raise ValueError(f"page: theme={theme!r}, expected None (the system's), 'light' or 'dark'.")
    if direction not in DIRECTIONS:
        raise ValueError(f"page: direction={direction!r}, expected None (by the window), 'TB', 'BT', 'LR' or 'RL'.")
    colour = next((word for word in show if word in ("time", "memory")), "kind")
    title = title if title is not None else _title(graph)
    title = "".join(c if c.isprintable() else " " for c in title.encode("utf-8", "replace").decode())[:200]
    chosen = graph.opened(expand) if expand else graph
    opened, trouble = _opened(graph)
    if not any(box.inside is not None for box in opened.nodes):
        opened = chosen
    options = {
        "theme": theme, "colour": colour, "title": title, "embedded": embedded, "direction": direction,
        "depth": -1 if depth is None else depth, "all": fold is False,
        "open": sorted({box.inside for box in chosen.nodes if box.inside is not None}),
    }  # fmt: skip
    head, middle, tail = _frame()
    around = head + html.escape(title) + middle + tail
    room = LARGEST - len(around.encode())
    return head + html.escape(title) + middle + fitting(opened, room, options, [*notes, *trouble]) + tail


def _opened(graph: Graph) -> tuple[Graph, list[str]]:
    """Return the graph with its fused operations opened, so that the page can unfold them; and what there is to say.

    A composition runs once on arrays of the recorded shapes, so very large ones stay closed.
    """
    fused = [box for box in graph.nodes if isinstance(box.node, Node) and box.node.op and box.node.op.compose]
    open_ = any(box.inside is not None for box in graph.nodes)
    arrays = sum(graph.nodes[source].dtype.itemsize * math.prod(graph.nodes[source].shape)
                 for box in fused for _, source in box.inputs)  # fmt: skip
    if open_ or not fused or len(fused) > MOST_FUSED or arrays > LARGEST_FUSED:
        return graph, []
    try:
        return graph.opened(), []
    except Exception as error:  # a composition is anybody's code, and the picture does not depend on it
        return graph, [f"fused operations stay closed: {type(error).__name__}: {error}"]


def _title(graph: Graph) -> str:
    """Return the name of the module around every operation, or plain words."""
    tops = {box.module[:1] for box in graph.nodes if box.kind == "op"}
    (top,) = tops if len(tops) == 1 else [()]
    return top[0] if top else "Computation graph"


@functools.lru_cache(maxsize=1)
def _frame() -> tuple[str, str, str]:
    """Return the page in three parts: what comes before the title, between it and the data, and after them."""
    folder = files(__package__) / "static"
    read = {name: (folder / name).read_text(encoding="utf-8") for name in (*SCRIPTS, "viewer.css", "viewer.html")}
    parts = "".join(f"\n// ---- {name}\n{read[name]}" for name in SCRIPTS)
    script, style = f'(() => {{\n"use strict";\n{parts}}})();\n', read["viewer.css"]
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data: blob:; "
        f"base-uri 'none'; form-action 'none'"
    )
    whole = read["viewer.html"].replace("{{policy}}", policy).replace("{{style}}", style).replace("{{script}}", script)
    head, rest = whole.split("{{title}}")
    middle, tail = rest.split("{{data}}")
    return head, middle, tail


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"

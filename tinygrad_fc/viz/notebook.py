"""What a notebook shows of a graph: a page to open and step through, and a still picture where it is exported."""

from __future__ import annotations

import html
from typing import Any

from .render import render
from .scene import scene
from .settle import settled
from .target import graph_of, informed
from .theme import THEMES

# Of the frame that holds the page, in pixels.
HEIGHT = 480


def notebook_svg(target: Any, limit: int = 300) -> str | None:
    """Return the SVG that a notebook shows; None where it has more than `limit` boxes, or where nothing renders.

    Parameters
    ----------
    target : Tensor or Graph
    limit : int
        Boxes that are drawn; folded ones count as one.
    """
    picture = scene(graph_of(target), limit=limit)
    if sum(1 for _ in picture.cards()) > limit:
        return None
    try:
        text = render(settled(picture, "TB", THEMES["light"]), "svg").decode()
    except (RuntimeError, OSError):
        return None  # the text is shown instead; `draw` says what to install
    return text[text.index("<svg") :]


def notebook_html(target: Any) -> str:
    """Return the interactive page in a frame of its own, so that several in a notebook do not meet.

    The frame runs the page's script and nothing more: it reaches neither the notebook nor the network.

    Parameters
    ----------
    target : Tensor or Graph
    """
    from .html import page

    graph, notes = informed(target)
    content = html.escape(page(graph, embedded=True, notes=notes), quote=True)
    return (
        f'<iframe srcdoc="{content}" sandbox="allow-scripts allow-downloads" loading="lazy" title="computation graph" '
        f'style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'
    )

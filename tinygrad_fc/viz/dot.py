"""The picture as DOT text, which Graphviz lays out. It is made with the ``graphviz`` package."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..graph import Graph
from .parts import Card, Panel, Scene
from .scene import scene
from .theme import THEMES, Theme
from .words import LINE, clip

if TYPE_CHECKING:
    import graphviz

FONT = "Arial"
# What Graphviz is told of a picture whose long arrows it would take minutes to bend around the boxes.
_STRAIGHT = {"splines": "line", "nslimit": "0.1", "nslimit1": "0.1", "mclimit": "0.1"}
# Border styles of the kinds of boxes.
_STYLES = {"parameter": "filled", "constant": "filled,dashed"}


def dot_source(graph: Graph, direction: str = "TB", theme: str = "light", **options: Any) -> graphviz.Digraph:
    """Return the picture of a graph as a ``graphviz.Digraph``.

    Parameters
    ----------
    graph : Graph
    direction : {"TB", "BT", "LR", "RL"}
        Where the computation runs: down, up, right or left.
    theme : {"light", "dark", "print"}
    **options
        See `scene.scene`: ``depth``, ``show``, ``which``, ``expand``, ``fold_repeats``, ``limit``.
    """
    return as_dot(scene(graph, **options), direction, THEMES[theme])


def as_dot(
    drawn: Scene, direction: str, look: Theme, aside: Mapping[str, int] | None = None
) -> graphviz.Digraph:
    """Return a scene as a ``graphviz.Digraph``.

    Parameters
    ----------
    drawn : Scene
    direction : {"TB", "BT", "LR", "RL"}
    look : Theme
    aside : mapping of str to int, optional
        Panels whose names stand out of the way of arrows: on the right, with so many spaces before them, or on the
        left, with so many spaces after them where the number is negative.
    """
    import graphviz

    picture = graphviz.Digraph(
        "tinygrad_fc",
        graph_attr={
            "rankdir": direction, "fontname": FONT, "bgcolor": look.ground, "nodesep": "0.3", "ranksep": "0.4",
            "pad": "0.2", **_legend(drawn, look), **(_STRAIGHT if drawn.tangled else {}),
        },
        node_attr={
            "shape": "box", "style": "filled,rounded", "fontname": FONT, "fontsize": "11", "fontcolor": look.ink,
            "margin": "0.2,0.07", "height": "0.3", "penwidth": "1.1",
        },
        edge_attr={"color": look.edge, "arrowsize": "0.6", "fontname": FONT, "fontsize": "9", "fontcolor": look.faint},
    )  # fmt: skip
    _members(picture, drawn.root, 0, look, aside or {})
    backward = all(arrow.gradient for arrow in drawn.arrows)
    for arrow in drawn.arrows:
        style = {}
        start, end = arrow.source, arrow.target
        if arrow.gradient:
            style = {"color": look.gradient, "style": "solid" if backward else "dotted"}
        if arrow.gradient and not backward:
            # Beside the values' arrow, and not over it: Graphviz keeps arrows apart that it takes to lead the same way.
            style |= {"dir": "back", "class": "gradient"}
            start, end = end, start
        if arrow.carried and (backward or not arrow.gradient):
            style["style"] = "dashed"
        if arrow.carried:
            style["constraint"] = "false"  # these run against the others, which say what stands above what
        picture.edge(start, end, label=f" {arrow.label} " if arrow.label else "", **style)
    return picture


def _members(picture: Any, panel: Panel, level: int, look: Theme, aside: Mapping[str, int]) -> None:
    """Add what a panel shows, and each panel inside as a cluster. Panels nest as modules do, which Python calls."""
    for member in panel.members:
        if isinstance(member, Card):
            _box(picture, member, look)
            continue
        with picture.subgraph(name=f"cluster_{member.key.removeprefix('g')}") as cluster:
            room = aside.get(member.key)
            side, turn = ("l", "left") if room is None or room < 0 else ("r", "right")
            before, after = ("&#160;" * max(0, room), "&#160;" * max(0, -room)) if room is not None else ("", "")
            name = escape(clip(member.label, LINE))
            if member.lines:  # then the spaces have a low line of their own, since lines are set by their whole width
                wide = f'<font point-size="4">{(before + after) * 3}</font><br/>' if room else ""
                small = [f'<font point-size="9">{escape(text)}</font><br align="{turn}"/>' for text in member.lines]
                label = f'<<b>{name}</b><br align="{turn}"/>{"".join(small)}{wide}>'
            else:
                label = f"<<b>{before}{name}{after}</b>>"
            fill = look.panels[min(level, len(look.panels) - 1)]
            line = (look.repeat_line, "1.8") if member.repeats else (look.panel_line, "1")
            cluster.attr(
                label=label, labeljust=side, labelloc="t",
                fontsize="11", fontcolor=look.faint, style="filled,rounded", fillcolor=fill, margin="12",
                color=line[0], penwidth=line[1],
            )  # fmt: skip
            _members(cluster, member, level + 1, look, aside)


def _box(picture: Any, card: Card, look: Theme) -> None:
    fill, line = look.boxes["marked" if card.marked else card.kind]
    ink, faint = look.ink, look.faint
    if card.marked:
        ink = faint = look.marked_ink
    elif card.heat is not None:
        fill, faint = look.warm(card.heat), look.ink
    small = "".join([
        f'<br/><font point-size="9" color="{faint}">{escape(clip(line, LINE))}</font>' for line in card.lines
    ])  # fmt: skip
    width = "3" if card.marked else "1.8" if card.output else "1.1"
    more = {"peripheries": "2"} if card.kind == "group" else {}
    picture.node(
        card.key, label=f"<<b> {escape(clip(card.title))} </b>{small}>", fillcolor=fill, color=line, fontcolor=ink,
        style=_STYLES.get(card.kind, "filled,rounded"), tooltip=clip(card.tip.replace("\\", "/"), 200),
        penwidth=width, **more,
    )  # fmt: skip


def _legend(drawn: Scene, look: Theme) -> dict[str, str]:
    """Return the words below the picture: what the colours show, and what is not known."""
    rows = []
    if drawn.scale is not None:
        what, most = drawn.scale
        cells = "".join(f'<td bgcolor="{look.warm(n / 4)}" width="18"></td>' for n in range(5))
        rows.append(f"<td>{escape(what.replace('_', '-'))}: 0 </td>{cells}<td> {escape(most)}</td>")
    rows += [f'<td colspan="7" align="left">{escape(note)}</td>' for note in drawn.notes]
    if not rows:
        return {}
    table = "".join(f"<tr>{row}</tr>" for row in rows)
    return {
        "label": f'<<table border="0" cellspacing="0" cellpadding="3">{table}</table>>', "labelloc": "b",
        "fontsize": "10", "fontcolor": look.faint,
    }  # fmt: skip


def escape(text: str) -> str:
    """Return `text` for a label: HTML, in which Graphviz takes a backslash for an escape, so it is doubled."""
    return html.escape(text).replace("\\", "\\\\")

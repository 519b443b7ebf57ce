"""The picture as Mermaid text, which GitHub, GitLab and many editors draw."""

from __future__ import annotations

import re

from .parts import Card, Panel, Scene
from .theme import Theme
from .words import LINE, clip

# Corners of the kinds of boxes.
_SHAPES = {"parameter": ('["', '"]'), "constant": ('["', '"]'), "group": ('[["', '"]]')}


def as_mermaid(drawn: Scene, direction: str, look: Theme) -> str:
    """Return a scene as a Mermaid flowchart.

    Parameters
    ----------
    drawn : Scene
    direction : {"TB", "BT", "LR", "RL"}
    look : Theme
    """
    lines = [f"flowchart {direction}"]
    _members(drawn.root, "  ", lines)
    backward = all(arrow.gradient for arrow in drawn.arrows)
    for arrow in drawn.arrows:
        dotted = arrow.carried or arrow.gradient and not backward
        label = f'|"{escape(arrow.label)}"|' if arrow.label else ""
        lines.append(f"  n{arrow.source} {'-.->' if dotted else '-->'}{label} n{arrow.target}")
    lines += [f"  note{n}[\"{escape(note)}\"]:::note" for n, note in enumerate(_notes(drawn))]
    for kind, (fill, line) in look.boxes.items():
        dashes = ",stroke-dasharray:4" if kind == "constant" else ""
        ink = look.marked_ink if kind == "marked" else look.ink
        lines.append(f"  classDef {kind} fill:{fill},stroke:{line},color:{ink}{dashes}")
    lines.append(f"  classDef panel fill:{look.panels[0]},stroke:{look.panel_line},color:{look.faint}")
    lines.append(f"  classDef note fill:none,stroke:none,color:{look.faint}")
    gradients = [str(n) for n, arrow in enumerate(drawn.arrows) if arrow.gradient]
    if gradients:
        dots = "" if backward else ",stroke-dasharray:2 4"  # without colours as well
        lines.append(f"  linkStyle {','.join(gradients)} stroke:{look.gradient}{dots}")
    for card in drawn.cards():
        if card.heat is not None and not card.marked:
            lines.append(f"  style n{card.key} fill:{look.warm(card.heat)}")
    return "\n".join(lines) + "\n"


def _members(panel: Panel, indent: str, lines: list[str]) -> None:
    for member in panel.members:
        if isinstance(member, Card):
            small = [escape(clip(line, LINE)) for line in member.lines]
            words = "<br>".join([f"<b>{escape(clip(member.title))}</b>", *small])
            start, end = _SHAPES.get(member.kind, ('("', '")'))
            lines.append(f"{indent}n{member.key}{start}{words}{end}:::{'marked' if member.marked else member.kind}")
        else:
            words = escape(clip(" · ".join([member.label, *member.lines]), LINE))
            lines.append(f'{indent}subgraph c{member.key}["{words}"]')
            _members(member, indent + "  ", lines)
            lines.append(f"{indent}end")
            lines.append(f"{indent}class c{member.key} panel")


def _notes(drawn: Scene) -> list[str]:
    scale = [f"{drawn.scale[0].replace('_', '-')}: up to {drawn.scale[1]}"] if drawn.scale else []
    return [*scale, *drawn.notes]


def escape(text: str) -> str:
    """Return `text` so that nothing in it is Mermaid, Markdown or HTML: each mark as the number of its character.

    Formulas and icons, which Mermaid looks for when the numbers are characters again, are broken by a space of no
    width; and the ligature that it puts before such numbers itself is written as two letters.
    """
    text = re.sub(r"\$(?=\$)|:(?=fa-)", lambda mark: f"{mark[0]}\u200b", text.replace("ﬂ", "fl"))
    return re.sub(r"(?!\.\w)[^\w ,=×…·±\u200b]|_", lambda mark: f"#{ord(mark[0])};", text)

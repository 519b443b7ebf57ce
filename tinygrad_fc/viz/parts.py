"""What a still picture is made of, before it is DOT or Mermaid: boxes with their words, panels, arrows, notes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Card:
    """A box of the picture.

    Attributes
    ----------
    key : str
        Unique in the picture: the id of a box, or ``g3`` for group 3.
    kind : {"op", "parameter", "constant", "output", "group"}
    title : str
    lines : list of str
        Smaller words below.
    tip : str
        What appears over it.
    output : bool
        Whether it is, or holds, an output of the graph.
    heat : float or None
        Its share of the most that any box has of what is coloured.
    marked : bool
        Whether something is wrong with it, or with one inside; the lines say what.
    """

    key: str
    kind: str
    title: str
    lines: list[str]
    tip: str
    output: bool = False
    heat: float | None = None
    marked: bool = False


@dataclass(slots=True)
class Panel:
    """An open group, with figures of it below its name; the whole picture is one, without a label."""

    key: str
    label: str
    members: list[Card | Panel] = field(default_factory=list)
    repeats: bool = False
    lines: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Arrow:
    """An arrow; `carried` from one turn of a repeat to the next, `gradient` where a gradient flows."""

    source: str
    target: str
    label: str = ""
    carried: bool = False
    gradient: bool = False


@dataclass(slots=True)
class Scene:
    """A picture in words.

    Attributes
    ----------
    root : Panel
    arrows : list of Arrow
    notes : list of str
        What must be said below.
    scale : (str, str) or None
        What the heat colours show, and the figure of the warmest.
    tangled : bool
        Whether so many arrows are so long that they must be drawn straight.
    """

    root: Panel
    arrows: list[Arrow]
    notes: list[str]
    scale: tuple[str, str] | None = None
    tangled: bool = False

    def panels(self) -> Iterator[Panel]:
        """Yield the whole picture and each open group."""
        stack = [self.root]
        while stack:
            panel = stack.pop()
            yield panel
            stack += [member for member in reversed(panel.members) if isinstance(member, Panel)]

    def cards(self) -> Iterator[Card]:
        """Yield the boxes, at all levels."""
        stack: list[Card | Panel] = [self.root]
        while stack:
            member = stack.pop()
            if isinstance(member, Card):
                yield member
            else:
                stack += reversed(member.members)

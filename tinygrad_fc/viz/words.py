"""What is said of a box: its title, and the lines below it that `show` asks for."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..graph import Graph, GraphNode, brief
from ..graph.figures import amount, duration, memory

SHOW = ("shapes", "values", "gradients", "time", "memory", "lines", "multiply_adds")
# Small arrays are written out up to so many rows and columns.
_ROWS, _COLUMNS = 4, 6
# Longer lines below a title are cut; a row of six numbers, each as long as can be, is not.
LINE = 96
_MARK = 8  # lines
_JOINERS = "\u200c\u200d"


def _seconds(box: GraphNode) -> float | None:
    parts = [box.facts[key] for key in ("forward_seconds", "backward_seconds") if key in box.facts]
    return sum(parts) if parts else None


# Figures that add up over a group, and that colours show: how one box has it, and how it is written.
FIGURES: dict[str, tuple[Callable[[GraphNode], float | None], Callable[[Any], str]]] = {
    "time": (_seconds, duration),
    "memory": (lambda box: box.facts.get("saved_bytes"), memory),
    "multiply_adds": (
        lambda box: box.facts.get("multiply_adds"), lambda n: f"{amount(n)} multiply-add{'s' if n != 1 else ''}",
    ),
}

# What is not known, and why.
_MISSING = {
    "values": "No values: run under tg.observe(values=True).",
    "gradients": "No gradients: run backward under tg.observe(values=True).",
    "time": "No times: run under tg.observe().",
    "memory": "No memory: backward has freed what was kept.",
    "lines": "No lines: run under tg.observe().",
    "multiply_adds": "No multiply-adds are known.",
}


def figure(word: str, boxes: Iterable[GraphNode]) -> float | None:
    """Return the sum of a figure over boxes; None if none of them has it."""
    values = [value for box in boxes if (value := FIGURES[word][0](box)) is not None]
    return sum(values) if values else None


def figure_text(word: str, value: float) -> str:
    """Write a figure: ``12.0 µs``, ``keeps 1.20 kB``, ``600 multiply-adds``."""
    text = FIGURES[word][1](value)
    return f"keeps {text}" if word == "memory" else text


def missing(graph: Graph, show: Sequence[str]) -> list[str]:
    """Say of what `show` asks for, and no box of the graph has, why it is not there."""
    return [_MISSING[word] for word in show if word != "shapes" and not any(_knows(box, word) for box in graph.nodes)]


def _knows(box: GraphNode, word: str) -> bool:
    if word in FIGURES:
        return FIGURES[word][0](box) is not None
    return box.line is not None if word == "lines" else word.removesuffix("s") in box.facts


def title_of(box: GraphNode) -> str:
    """Return what a box is called: ``affine``, ``h = tanh``, ``fc1.W``."""
    if box.op:
        return f"{box.label} = {box.op}" if box.label else box.op
    return box.label or ("parameter" if box.kind == "parameter" else "input")


def box_lines(box: GraphNode, show: Sequence[str], later: Sequence[GraphNode] = ()) -> list[str]:
    """Return the lines below the title of a box.

    Parameters
    ----------
    box : GraphNode
    show : sequence of str
        See `draw`.
    later : sequence of GraphNode
        Its counterparts in later turns of what repeats, for which it stands. An argument that is another there is
        written with its first and its last value.
    """
    lines = _arguments(box, later)
    if "shapes" in show:
        lines.append("no result" if box.failed else f"{shape_text(box.shape)} {box.dtype}")
    for word, key in (("values", "value"), ("gradients", "gradient")):
        if word in show and key in box.facts:
            lines += stats_lines(key, box.facts[key])
    if "time" in show:
        parts = [f"{duration(box.facts[key])} {way}" for key, way in
                 (("forward_seconds", "forward"), ("backward_seconds", "backward")) if key in box.facts]  # fmt: skip
        lines += [", ".join(parts)] if parts else []
    for word in ("memory", "multiply_adds"):
        if word in show and (value := figure(word, [box])) is not None:
            lines.append(figure_text(word, value))
    if "lines" in show and box.line:
        lines.append(os.path.basename(box.line))
    return lines


def _arguments(box: GraphNode, later: Sequence[GraphNode]) -> list[str]:
    turns = [turn.numbers | turn.static for turn in (box, *later)]
    lines = []
    for key in dict.fromkeys([*turns[0], *turns[-1]]):
        texts = [brief(turn[key]) if key in turn else "default" for turn in turns]
        changes = any(text != texts[0] for text in texts)
        lines.append(f"{key} = {texts[0]}{f' … {texts[-1]}' if changes else ''}")
    return lines


def stats_lines(what: str, stats: dict[str, Any]) -> list[str]:
    """Write an array: its numbers where it is small, else mean ± standard deviation.

    Parameters
    ----------
    what : str
        Stands before it.
    stats : dict
        See `Graph.to_dict`.
    """
    numbers = stats.get("numbers")
    if numbers is not None:
        rows = numbers if isinstance(numbers, list) and numbers and isinstance(numbers[0], list) else [numbers]
        flat = all(not isinstance(item, list) for row in rows if isinstance(row, list) for item in row)
        if flat and len(rows) <= _ROWS and all(not isinstance(row, list) or len(row) <= _COLUMNS for row in rows):
            texts = [_row(row) for row in rows]
            return [f"{what} {texts[0]}"] if len(texts) == 1 else [what, *texts]
    lines = []
    if "mean" in stats:
        lines.append(f"{what} {stats['mean']:.3g} ± {stats['std']:.3g}")
    if stats.get("nonfinite"):
        lines.append(f"{stats['nonfinite']:,} of {what} not finite")
    return lines or [f"{what}: nothing"]


def _row(row: Any) -> str:
    return "[" + ", ".join(f"{number:.4g}" for number in row) + "]" if isinstance(row, list) else f"{row:.4g}"


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as people write it: ``100 × 64``, or ``scalar``."""
    return " × ".join(map(str, shape)) or "scalar"


def mark_lines(text: str) -> list[str]:
    """Return what is wrong with a box on lines; of a very long text the beginning, and the end, which has the advice.

    The signature that NumPy writes into its errors says nothing that the shapes after it do not.
    """
    lines = textwrap.wrap(re.sub(r", with gufunc signature [^ ]+", "", text), 44)
    return lines if len(lines) <= _MARK else [*lines[: _MARK // 2], "…", *lines[1 - _MARK // 2 :]]


def one_line(text: str) -> str:
    """Return `text` on one line, without what steers a terminal or turns the direction of writing.

    Joiners of no width stay between letters that they are written between: Persian's, say, or the parts of an emoji.
    """
    around = zip(" " + text, text, text[1:] + " ", strict=False)
    return "".join([
        c if c.isprintable() or c in _JOINERS and min(before, after) > "\x7f"
        else " " if c.isspace() else "\ufffd" for before, c, after in around
    ])  # fmt: skip


def clip(text: str, length: int = 48) -> str:
    """Return `text` on one line, cut in its middle where it is longer than `length`."""
    text = one_line(text)
    half = length // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half + 1 :]}"

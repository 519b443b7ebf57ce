"""draw: the graph as a file, a picture, a page or text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..engine.operation import nearest
from ..files import write_atomically
from .dot import as_dot
from .mermaid import as_mermaid
from .render import render
from .scene import scene
from .settle import settled
from .target import HELD, graph_of, informed
from .theme import THEMES
from .words import SHOW

FORMATS = ("svg", "png", "pdf", "dot", "mmd", "html")
DIRECTIONS = ("TB", "BT", "LR", "RL")
WHICH = ("forward", "backward", "both")


def draw(
    target: Any, path: str | os.PathLike[str], *, depth: int | None = None, direction: str | None = None,
    theme: str | None = None, show: str | Sequence[str] = ("shapes",), which: str = "forward",
    expand: str | Iterable[int | str] = (), fold: bool | None = None,
) -> Path:  # fmt: skip
    """Draw the graph behind a tensor into a file.

    Boxes are operations (blue; the result green), leaves that need a gradient (orange) and other inputs (grey, dashed),
    each with its shape and dtype; modules are panels around them. What repeats is drawn once, "× N", with dashed arrows
    for what goes from one turn to the next, and what is folded is a box with a double border that says what it holds.
    No picture has more than 300 boxes, unless ``fold=False`` asks for all.

    Parameters
    ----------
    target : Tensor, Graph, or anything with a method ``graph()``
        What to draw. The trace of ``tg.observe()`` has its graph, and so has a report of ``tg.gradcheck`` that names
        an operation at fault.
    path : str or path-like
        Where to; the suffix chooses the form: .svg, .png, .pdf; .dot or .mmd (Mermaid) for the text; .html for the
        interactive page, which has all that is known and is folded there: `depth`, `direction`, `which` and `fold` are
        for pictures. An existing file is replaced, and left as it was if the drawing fails.
    depth : int, optional
        How many levels of modules are open; 0 shows the outermost as boxes. By default all, or as many as fit.
    direction : {"TB", "BT", "LR", "RL"}, optional
        Where the computation runs: down, up, right or left. By default down; in the page to the right where its
        window is low and the graph would be too tall for it.
    theme : {"light", "dark", "print"}, optional
        Colours; "print" is black on white, with borders and line styles instead. By default a picture is light, and
        the page follows the system.
    show : sequence of str
        Any of "shapes", "values" and "gradients" (the numbers of small tensors, else mean ± standard deviation;
        where they were not observed, a backward beside yours finds them, which frees nothing and writes no gradient;
        where yours has freed the graph, gradients are those in ``.grad``, as a note says),
        "time", "memory", "multiply_adds" (the first of these three colours the boxes too) and "lines". What is not
        known, because nothing observed it, a note below the picture says.
    which : {"forward", "backward", "both"}
        What arrows are: values; gradients, from the outputs to the leaves; or both. In the page they are values, and
        its player shows the gradients.
    expand : "all" or sequence of int or str
        Fused operations to draw as what they are composed of: ids of boxes, or names of operations.
    fold : bool, optional
        Whether what repeats is drawn once. By default only in a graph of more than 60 boxes. In the page, which folds
        and unfolds anything, `depth`, `expand` and ``fold=False`` say what is unfolded at first.

    Returns
    -------
    Path
        The file.

    Warns
    -----
    UserWarning
        If a .png or .pdf has letters that no font at hand has.

    Raises
    ------
    TypeError
        If the target has no graph, or an argument is of a wrong type.
    ValueError
        If the suffix or an argument is none of these.
    FileNotFoundError
        If the folder of `path` does not exist.
    RuntimeError, ImportError
        If nothing is installed that renders; the message says what to install.
    """
    path, kind = checked_path(path)
    words = checked(depth, direction, theme, show, which, fold)
    chosen = _chosen(expand)
    known = kind == "html" or {"values", "gradients"} & {*words}
    graph, notes = informed(target) if known else (graph_of(target), [])
    if kind == "html":
        from .html import page

        content = page(
            graph, theme="light" if theme == "print" else theme, show=words, notes=notes, direction=direction,
            depth=depth, fold=fold, expand=chosen,
        ).encode()  # fmt: skip
    else:
        direction = direction or "TB"
        drawn = scene(graph, depth=depth, show=words, which=which, expand=chosen, fold_repeats=fold)
        drawn.notes += [HELD] if HELD in notes and "gradients" in words else []
        if kind == "mmd":
            content = as_mermaid(drawn, direction, THEMES[theme or "light"]).encode()
        else:
            look = THEMES[theme or "light"]
            if kind == "dot":
                content = as_dot(drawn, direction, look).source.encode()
            else:
                content = render(settled(drawn, direction, look), kind)
    write_atomically(path, content)
    return path


def checked_path(path: str | os.PathLike[str]) -> tuple[Path, str]:
    """Return where to draw and in which form, or raise for a suffix or a folder that there is not."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"draw: path={path!r} is {type(path).__name__}, expected a file's name, such as 'graph.svg'.")
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        suffixes = ", ".join(f".{known}" for known in FORMATS)
        raise ValueError(f"draw: cannot write {path.name!r}, expected a suffix of {suffixes}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"draw: the folder {str(path.parent)!r} does not exist: make it first.")
    return path, kind


def checked(depth: Any, direction: Any, theme: Any, show: Any, which: Any, fold: Any) -> tuple[str, ...]:
    """Return the words of `show`, or raise for the first argument that is none of what it may be."""
    for name, given, known in (
        ("direction", direction, DIRECTIONS), ("theme", theme, tuple(THEMES)), ("which", which, WHICH),
    ):  # fmt: skip
        if given not in known and not (name != "which" and given is None):
            raise ValueError(f"draw: {name}={given!r}, expected {_either(known)}.")
    if depth is not None:
        if isinstance(depth, bool) or not isinstance(depth, int):
            raise TypeError(f"draw: depth={depth!r} is {type(depth).__name__}, expected an int, or None for all.")
        if depth < 0:
            raise ValueError(f"draw: depth={depth}, expected 0 (the outermost modules as boxes) or more.")
    if fold is not None and not isinstance(fold, bool):
        raise TypeError(f"draw: fold={fold!r} is {type(fold).__name__}, expected True, False or None.")
    if not isinstance(show, (str, list, tuple, set, frozenset)):
        raise TypeError(f"draw: show={show!r} is {type(show).__name__}, expected a sequence of {_either(SHOW)}.")
    words = (show,) if isinstance(show, str) else tuple(show)
    for word in words:
        if word not in SHOW:
            raise ValueError(f"draw: show has {word!r}, expected {_either(SHOW)}.{nearest(str(word), SHOW)}")
    return words


def _chosen(expand: Any) -> str | list[int | str]:
    if isinstance(expand, str):
        return expand
    if not isinstance(expand, Iterable):
        raise TypeError(
            f"draw: expand={expand!r} is {type(expand).__name__}, expected 'all', or a sequence of ids or names of "
            f"operations."
        )
    return list(expand)


def _either(words: Sequence[str]) -> str:
    return ", ".join(map(repr, words[:-1])) + f" or {words[-1]!r}"

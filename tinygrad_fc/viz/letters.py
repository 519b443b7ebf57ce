"""Letters that graphviz-pure has no font for, or does not know the width of."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

# DejaVu is wider than the Arial that boxes are made for, and set smaller.
DEJAVU = 0.86
# Its own fonts, Arimo above all, have these; combining marks among others stand where their letters do not.
_DRAWN = re.compile(
    "[\t\n -~\u00a0-\u017f\u0384-\u038a\u038c\u038e-\u03a1\u03a3-\u03ce\u0400-\u045f\u2010-\u2026\u2032\u2033\u2070"
    "\u2074-\u208e\u2113\u2190-\u2195\u2202\u2206\u220f\u2211\u2212\u221a\u221e\u2229\u222b\u2248\u2260\u2261\u2264\u2265\ufffd]"
)
# It measures letters of these kinds as they are drawn.
_MEASURED = re.compile("[\t\n -~\u00a0-\u00ff\u2010-\u2026]*")


def undrawn(text: str) -> set[str]:
    """Return the letters of a text that graphviz-pure draws as empty boxes, or in the wrong place, in a PNG."""
    return {letter for letter in set(text) if not _DRAWN.fullmatch(letter)}


def measured(text: str) -> bool:
    """Whether graphviz-pure knows how wide a text is, so that its middle is where it is to be."""
    return _MEASURED.fullmatch(text) is not None


def visible(letters: set[str]) -> set[str]:
    """Return the letters without marks that join or vary others, which fonts need not have."""
    return {letter for letter in letters if unicodedata.category(letter) not in ("Cc", "Cf", "Mn", "Zs")}


def fonts_with(letters: set[str]) -> tuple[list[str], set[str]]:
    """Return names of fonts that together have the letters, and the letters that no font here has.

    DejaVu, which comes with matplotlib, is the first, and the only one that is asked for bold letters; then whatever
    else matplotlib has or finds. matplotlib is to be installed.
    """
    return _fonts_with(frozenset(visible(letters)))


@functools.lru_cache(maxsize=1024)
def _fonts_with(letters: frozenset[str]) -> tuple[list[str], set[str]]:
    from matplotlib.font_manager import fontManager

    upright = [entry for entry in fontManager.ttflist if entry.style == "normal"]
    first = [entry for entry in upright if entry.name == "DejaVu Sans" and entry.weight == 700]
    # "Last Resort", which matplotlib carries too, has a box for everything.
    others = [entry for entry in upright if entry.weight == 400 and not entry.name.startswith("Last Resort")]
    names, left = ["DejaVu Sans"], set(letters)
    for entry in [*first[:1], *others]:
        if not left:
            break
        found = left - lacking(left, entry.fname)
        if found and entry.name not in names:
            names.append(entry.name)
        left -= found
    return names, left


def lacking(letters: Iterable[str], file: str) -> set[str]:
    """Return the letters that a font does not have."""
    return {letter for letter in letters if ord(letter) not in _charmap(file)}


@functools.lru_cache(maxsize=2048)
def _charmap(file: str) -> Any:
    """Return the codes of the letters that a font has; none if it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return FT2Font(file).get_charmap().keys()
    except (OSError, RuntimeError):
        return ()

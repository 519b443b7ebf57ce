"""The colours of the still pictures: light, dark and print, each once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Theme:
    """What a picture is painted with; colours are ``#rrggbb``.

    Attributes
    ----------
    ground : str
        Behind everything.
    ink, faint : str
        Titles, and smaller words.
    edge, gradient : str
        Arrows of values, and arrows of gradients.
    boxes : dict
        Fill and line of each kind of box: "op", "parameter", "constant", "output", "group" and "marked".
    panels : tuple of str
        Backgrounds of open groups, from the outermost in.
    panel_line, repeat_line : str
        Borders of open groups; those that repeat have one of their own.
    heat : tuple of str
        The colours of a little, half and the most.
    marked_ink : str
        All words of a box that is marked.
    """

    ground: str
    ink: str
    faint: str
    edge: str
    gradient: str
    boxes: dict[str, tuple[str, str]]
    panels: tuple[str, ...]
    panel_line: str
    repeat_line: str
    heat: tuple[str, str, str]
    marked_ink: str

    def warm(self, share: float) -> str:
        """Return the colour of a share between 0 and 1 of the most."""
        low, middle, high = self.heat
        start, end, part = (low, middle, share * 2) if share < 0.5 else (middle, high, share * 2 - 1)
        mixed = [round(a + (b - a) * part) for a, b in zip(_channels(start), _channels(end), strict=True)]
        return "#" + "".join(f"{channel:02x}" for channel in mixed)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 (none) to 21 (black on white).

    Relative luminance and the ratio are those of the Web Content Accessibility Guidelines 2.2.
    """
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    shares = [channel / 255 for channel in _channels(colour)]
    red, green, blue = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _channels(colour: str) -> list[int]:
    return [int(colour[n : n + 2], 16) for n in (1, 3, 5)]


# The hues differ in lightness too, so that a grey print tells them apart.
THEMES = {
    "light": Theme(
        ground="#ffffff", ink="#1f2933", faint="#56616c", edge="#6b7785", gradient="#b0306a",
        boxes={
            "op": ("#e8f0fb", "#3b6ea8"), "parameter": ("#fdebd0", "#b9770e"), "constant": ("#f4f4f4", "#8a8a8a"),
            "output": ("#d9f2e3", "#2e7d4f"), "group": ("#f3edfb", "#7a5ba6"), "marked": ("#fde2e1", "#c0261c"),
        },
        panels=("#fafbfc", "#f1f4f7", "#e8ecf1"), panel_line="#cdd5de", repeat_line="#7a5ba6",
        heat=("#fffaf3", "#fdd9a8", "#f79a55"), marked_ink="#5c0f0a",
    ),
    "dark": Theme(
        ground="#12161b", ink="#eef2f6", faint="#b4bfca", edge="#8b98a6", gradient="#f08ab8",
        boxes={
            "op": ("#1d2f45", "#6ea3dd"), "parameter": ("#43300f", "#e0a33a"), "constant": ("#2b2f34", "#9aa2aa"),
            "output": ("#16392a", "#5cc28a"), "group": ("#312645", "#b196e0"), "marked": ("#571c1a", "#ff7a70"),
        },
        panels=("#181d24", "#1f252d", "#272e38"), panel_line="#3c4754", repeat_line="#b196e0",
        heat=("#23262b", "#553613", "#8a4a0c"), marked_ink="#ffe3e0",
    ),
    "print": Theme(
        ground="#ffffff", ink="#000000", faint="#222222", edge="#000000", gradient="#000000",
        # Kinds differ by their borders, and what is marked stands white on black.
        boxes={
            **dict.fromkeys(("op", "parameter", "constant", "output", "group"), ("#ffffff", "#000000")),
            "marked": ("#000000", "#000000"),
        },
        panels=("#ffffff",), panel_line="#000000", repeat_line="#000000",
        heat=("#ffffff", "#d9d9d9", "#a6a6a6"), marked_ink="#ffffff",
    ),
}  # fmt: skip

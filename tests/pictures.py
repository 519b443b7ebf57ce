"""Pictures taken apart, and small graphs to draw, for the tests of viz."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_fc as tg

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"


class Picture:
    """An SVG, taken apart: the words of each box and panel, and the edges."""

    def __init__(self, source: Path | str) -> None:
        text = source if isinstance(source, str) else source.read_text(encoding="utf-8")
        self.root = ET.fromstring(text)
        # By id; folded groups, and leaves that are drawn beside each reader, by the name of their box.
        self.boxes: dict[Any, list[str]] = {}
        self.tips: dict[Any, str] = {}
        self.places: dict[Any, tuple[float, float]] = {}
        self.edges: list[tuple[Any, Any, str]] = []
        self.panels: list[str] = []
        for group in self.root.iter(f"{SVG}g"):
            title = group.findtext(f"{SVG}title") or ""
            key = self.key(title)
            words = [self.clean("".join(text.itertext())) for text in group.iter(f"{SVG}text")]
            match group.get("class"):
                case "node":
                    first = next(group.iter(f"{SVG}text"))
                    self.boxes[key] = words
                    self.places[key] = float(first.get("x", "")), float(first.get("y", ""))
                    self.tips[key] = next(group.iter(f"{SVG}a")).get(f"{XLINK}title", "")
                case "edge" | "edge gradient":
                    # A gradient's arrow is laid out from its head to its tail.
                    start, end = title.split("->")[:: -1 if group.get("class") == "edge gradient" else 1]
                    self.edges.append((self.key(start), self.key(end), " ".join(words)))
                case "cluster":
                    self.panels.append(" ".join(words))

    @staticmethod
    def key(title: str) -> Any:
        return int(title) if title.isdecimal() else title

    @staticmethod
    def clean(text: str) -> str:
        return text.replace("\xa0", " ").strip()


def picture(_target: Any, folder: Path, **options: Any) -> Picture:
    """Draw and take apart. The underscore keeps the name from being taken for the user's."""
    return Picture(tg.draw(_target, folder / "picture.svg", **options))


def leaf(values: Any, name: str | None = None) -> tg.Tensor:
    return tg.tensor(values, requires_grad=True, name=name)


def example() -> tg.Tensor:
    x, w = tg.tensor(np.ones((4, 3), np.float32), name="x"), leaf(np.ones((3, 2), np.float32), "w")
    return (np.tanh(x @ w) * 2.0).sum(axis=0)


def without_structure(count: int) -> tg.Graph:
    """Return a graph of `count` operations in which nothing repeats."""
    generator = np.random.default_rng(0)
    values: list[Any] = [leaf(0.5) for _ in range(3)]
    for _ in range(count):
        x, y = (values[n] for n in generator.integers(max(0, len(values) - 9), len(values), 2))
        values.append(np.maximum(x, y) if generator.random() < 0.5 else np.tanh(x))
    return tg.Graph(*values[-9:])


def loop_in_a_loop() -> tg.Graph:
    """Return a graph of six turns, each of forty turns and an operation."""
    w, h = leaf(0.5, "w"), leaf(0.5, "h")
    for _ in range(6):
        for _ in range(40):
            h = np.tanh(h * w)
        h = np.exp(h)
    return tg.Graph(h)


def network(**arguments: Any) -> tg.Tensor:
    model = tg.models.FullyConnectedNet([5, 4], input_dim=6, num_classes=3, seed=0, **arguments)
    return model.loss_tensor(np.ones((2, 6), np.float32), np.array([0, 2]))


def apart(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two rectangles, ``x``, ``y``, ``w`` and ``h``, have nothing in common but their borders."""
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    return bool(beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"])

"""What a picture says beside its boxes: panels with whole figures, notes on what stands for what."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import leaf

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.viz.dot import dot_source
from tinygrad_fc.viz.scene import scene

TURN = "What repeats is shown by its first turn, with the numbers of that turn."


def loop(turns: int = 6) -> tg.Graph:
    h = leaf(np.ones(2), "x")
    for turn in range(turns):
        h = np.sin(h * float(turn)) + 1.0
    return tg.Graph(np.sum(h))


@pytest.mark.parametrize(("options", "said"), [
    ({}, False), ({"show": ("shapes", "memory")}, True), ({"which": "backward"}, True), ({"which": "both"}, False),
    ({"show": ("memory",), "fold_repeats": False}, False),
], ids=str)  # fmt: skip
def test_numbers_of_the_first_turn_are_said_to_be_its(options: dict[str, Any], said: bool) -> None:
    drawn = scene(loop(), **{"fold_repeats": True, **options})
    assert (TURN in drawn.notes) is said
    if drawn.root.members and options.get("fold_repeats") is not False:
        assert any("y = 0.0 … 5.0" in card.lines for card in drawn.cards())


def test_mermaid_tells_them_apart_too(tmp_path: Path) -> None:
    text = tg.draw(loop(), tmp_path / "a.mmd", which="both", fold=True, theme="print").read_text(encoding="utf-8")
    arrows = [line for line in text.splitlines() if "->" in line]
    styled = next(line for line in text.splitlines() if "linkStyle" in line)
    assert styled.endswith("stroke:#000000,stroke-dasharray:2 4")
    gradients = [int(n) for n in styled.split()[1].split(",")]
    assert [n for n, line in enumerate(arrows) if "-.->" in line and n not in gradients] != []  # what is carried
    assert all("-.->" in arrows[n] for n in gradients)


def test_modules_that_repeat_have_the_note_too() -> None:
    net = nn.Sequential(*[nn.Linear(3, 3, activation="tanh", seed=n) for n in range(5)])
    drawn = scene(tg.Graph(np.sum(net(np.ones((2, 3))))), depth=1, show=("memory",), fold_repeats=True)
    assert any(card.kind == "group" for card in drawn.cards())
    assert TURN in drawn.notes


def test_the_figures_of_a_panel_are_whole() -> None:
    class LongName(nn.Module):
        def forward(self, x: Any) -> Any:
            return np.sum(np.tanh(x * 2.0))

    LongName.__name__ = "A" * 200
    with tg.observe():
        out = LongName()(leaf(np.ones(1000)))
    text = dot_source(tg.Graph(out), show=("memory", "multiply_adds")).source
    words = re.sub(r"<br[^>]*>", "\n", text.split(f"<b>{'A' * 24}…{'A' * 23}</b>")[1])
    assert re.sub("<[^>]*>", "", words).splitlines()[1:3] == ["keeps 8.00 kB", "3,000 multiply-adds"]


@pytest.mark.parametrize(("turns", "note"), [
    (6, "Solid arrows are values, dashed ones too, to the next turn; dotted ones are gradients."),
    (1, "Solid arrows are values; dotted ones are gradients."),
])  # fmt: skip
def test_without_colours_gradients_are_told_from_values(turns: int, note: str) -> None:
    drawn = scene(loop(turns), which="both", fold_repeats=True)
    assert note in drawn.notes
    text = dot_source(loop(turns), theme="print", which="both", fold_repeats=True).source
    lines = [line for line in text.splitlines() if "->" in line]
    styles = ["dotted" if "dotted" in line else "dashed" if "dashed" in line else "solid" for line in lines]
    assert styles == ["dotted" if a.gradient else "dashed" if a.carried else "solid" for a in drawn.arrows]
    assert ("dashed" in styles) is (turns > 1)


def test_a_list_that_a_loop_made_is_read_by_one_arrow_that_counts() -> None:
    w = leaf(np.ones(5), "w")
    made = [(w * leaf(np.ones(5))).sum() for _ in range(30)]
    drawn = scene(tg.Graph(np.stack(made).mean()))
    (stack,) = [card.key for card in drawn.cards() if card.title == "stack"]
    assert [arrow.label for arrow in drawn.arrows if arrow.target == stack] == ["× 30"]
    assert len({(arrow.source, arrow.target) for arrow in drawn.arrows}) < len(drawn.arrows) + 1 <= 7
    drawn = scene(tg.Graph(sum(made)), which="both")
    first, others = [card.key for card in drawn.cards() if card.title == "add"]
    assert [(arrow.target, arrow.label) for arrow in drawn.arrows if arrow.source == "32" and not arrow.gradient] == [
        (first, ""), (others, ""),
    ]  # fmt: skip
    few = scene(tg.Graph(np.concatenate([w, w, w]) * np.concatenate([w, w, np.ones(5)])))
    assert sorted(arrow.label for arrow in few.arrows if arrow.source == "1") == ["", "", "× 3"]

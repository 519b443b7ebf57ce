"""The graph as text: a table of few boxes, a tree of many, no wider than the terminal and never long."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from gallery import GALLERY
from pictures import leaf, without_structure

import tinygrad_fc as tg
from tinygrad_fc.viz.text import LINES, graph_text


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_loop_is_one_group() -> None:
    graph = tg.Graph(GALLERY["loop"][0]())
    assert graph_text(graph).splitlines() == [
        "Graph of 92 operations, 32 inputs",
        "what         name  shape or size             inputs",
        "31 leaf      w     (3, 3)",
        "0 input      h0    (3,)",
        "loop × 30          90 operations, 30 inputs",
        "  32 matmul        (3,)                      x=0 y=31",
        "  1 input          (3,)",
        "  33 add           (3,)                      x=32 y=1",
        "  34 tanh          (3,)                      x=33",
        "122 power          (3,)                      x=34 y=2",
        "123 sum            ()                        a=122",
    ]
    assert str(graph) == graph_text(graph)


def test_what_is_read_is_called_as_the_row_that_stands_for_it() -> None:
    w = leaf(np.ones(5), "w")
    made = [np.tanh(w * leaf(np.ones(5))).sum() for _ in range(30)]
    stacked, added = graph_text(tg.Graph(np.stack(made).mean())), graph_text(tg.Graph(sum(made)))
    assert "arrays[0…29]=33" in stacked
    for text in (stacked, added):
        rows = {line.split()[0] for line in text.splitlines()}
        read = re.findall(r"(?:x|y|a|arrays\S*)=(\d+)(?= |$)", text.replace("y=0.5", ""), re.MULTILINE)
        assert len(read) > 3
        assert set(read) - rows <= {"0"}  # sum() starts from the number
    h: Any = w
    for k in [*range(54)] * 3:
        h = [np.tanh, np.sin, np.cos, np.exp][(k + k // 5 + k // 7 + k * k // 11) % 4](h)
    cut = graph_text(tg.Graph(h.sum())).splitlines()[-2:]
    assert [cut[0].split("  ")[1], cut[1].split("  ")[-1]] == ["steps 49–54", "a=[steps 49–54]"]
    assert lines(graph_text(tg.Graph(np.stack([w, w, w * 2.0, w]))))[-1][-3:] == [
        "arrays[0…1]=0", "arrays[2]=1", "arrays[3]=0",
    ]  # fmt: skip


def deep(layers: int) -> tg.Tensor:
    model = tg.models.FullyConnectedNet([8] * layers, input_dim=12, num_classes=3, normalization="batchnorm", seed=0)
    return model.loss_tensor(np.ones((4, 12), np.float32), np.array([0, 2, 1, 0]))


def test_modules_are_indented_and_layers_that_repeat_are_counted() -> None:
    text = graph_text(tg.Graph(deep(30)))
    rows = text.splitlines()
    assert "FullyConnectedNet                  91 operations, 122 parameters" in text
    assert any(row.startswith("  fc2 … relu30 × 29 ") for row in rows)
    assert any(row.startswith("    fc2 ") for row in rows)
    assert any(row.startswith("      5 leaf ") and "fc2.W" in row for row in rows)


def test_the_table_and_the_tree_meet_at_sixty_boxes() -> None:
    h = leaf(1.0)
    for _ in range(59):
        h = h * 2.0
    assert len(graph_text(tg.Graph(h)).splitlines()) == 61
    assert len(graph_text(tg.Graph(h * 2.0)).splitlines()) < 10


def test_marks_stand_below_what_they_are_about() -> None:
    graph = tg.Graph(deep(30))
    graph.nodes[-1].mark = "it is wrong"
    rows = graph_text(graph).splitlines()
    assert rows[-1].strip() == "! it is wrong"
    assert "softmax_loss" in rows[-2]
    few = tg.Graph(leaf(1.0, "x") * 2.0)
    few.nodes[1].mark = "bad"
    assert lines(graph_text(few))[0][-2:] == ["inputs", "wrong"]
    assert lines(graph_text(few))[2][-1] == "bad"


@pytest.mark.parametrize("count", [1, 70])
def test_names_and_errors_of_any_kind_keep_to_their_line(count: int) -> None:
    h = leaf(1.0, "two\nlines \x1b[31m")
    long = leaf(1.0, "n" * 10_000)
    for _ in range(count):
        h = h * long
    graph = tg.Graph(h)
    graph.nodes[-1].mark = "first\nsecond"
    text = graph_text(graph)
    assert "two lines \ufffd[31m" in text
    assert "first second" in text
    assert len(text.splitlines()) <= count + 3
    assert max(map(len, text.splitlines())) < 120


def test_times_and_bytes_are_sums_where_they_were_observed() -> None:
    with tg.observe():
        loss = deep(30)
    rows = graph_text(tg.Graph(loss)).splitlines()
    assert rows[1].split() == ["what", "name", "shape", "or", "size", "time", "kept", "inputs"]
    (net,) = [row for row in rows if row.startswith("FullyConnectedNet")]
    assert net.split()[6] in ("s", "ms", "µs")
    assert net.split()[-1] in ("B", "kB", "MB")


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_it_is_no_wider_than_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    graph = tg.Graph(deep(30))
    graph.nodes[5].name = "a very long name of a parameter " * 3
    assert max(map(len, graph_text(graph).splitlines()[1:])) <= columns


@pytest.mark.parametrize("count", [100, 1_000, 5_000])
def test_what_has_no_structure_is_short(count: int) -> None:
    text = graph_text(without_structure(count))
    assert len(text.splitlines()) <= LINES + 2
    assert "steps 1–" in text


def test_what_is_left_out_is_counted() -> None:
    h: Any = leaf(np.ones(2))
    for n in range(8):  # eight loops, each of many steps, and all different
        for _ in range(3):
            for k in range(40):
                h = [np.tanh, np.sin, np.cos, np.exp][(k * (n + 3) + k // 5) % 4](h) * 0.5
    rows = graph_text(tg.Graph(h)).splitlines()
    assert len(rows) <= LINES + 2
    assert len(rows) < LINES or "more: tg.draw(t, 'graph.html')" in rows[-1]

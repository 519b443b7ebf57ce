"""What is drawn is known as far as it can be: a backward beside the user's finds values and gradients."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import leaf, picture

import tinygrad_fc as tg
from tinygrad_fc.viz.target import HELD


def test_values_and_gradients_are_found_out_for_the_picture(tmp_path: Path) -> None:
    """What was not observed comes from a backward beside the user's, which changes neither his graph nor his Graph."""
    x = leaf([1.0, 2.0], "x")
    out = (x * x).sum()
    graph = tg.Graph(out)
    before = graph.to_dict()
    for target in (out, graph):
        boxes = picture(target, tmp_path, show=("values", "gradients")).boxes
        assert [{"value [1, 2]", "gradient [2, 4]"} <= {*box} for box in boxes.values()] == [True, False, False]
    assert graph.to_dict() == before
    assert x.grad is None
    out.backward()  # nothing was freed
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


def test_the_graph_that_a_report_keeps_stays_as_it_is(tmp_path: Path) -> None:
    class Report:
        kept = tg.Graph((leaf([1.0, 2.0], "x") ** 2).sum())

        def graph(self) -> tg.Graph:
            return self.kept

    before = Report.kept.to_dict()
    assert "value [1, 2]" in picture(Report(), tmp_path, show=("values",)).boxes[0]
    assert Report.kept.to_dict() == before


def test_the_page_of_a_tensor_has_its_gradients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    page = types.SimpleNamespace(page=lambda graph, notes, **_: seen.append((graph, notes)) or "")
    monkeypatch.setitem(sys.modules, "tinygrad_fc.viz.html", page)
    x = leaf([1.0, 2.0], "x")
    tg.draw((x * x).sum(), tmp_path / "graph.html")
    ((graph, notes),) = seen
    assert notes == []
    assert graph.nodes[0].facts["gradient"]["numbers"] == [2.0, 4.0]
    tg.draw(x * x, tmp_path / "graph.html")
    assert "backward starts by itself from a scalar only" in seen[1][1][0]


def test_after_a_plain_backward_gradients_are_those_that_the_leaves_hold(tmp_path: Path) -> None:
    x, w = leaf([1.0, 2.0], "x"), leaf([3.0, 4.0], "w")
    for _ in range(2):
        out = (x * w).sum()
        out.backward()
    drawn = tg.draw(out, tmp_path / "graph.mmd", show=("values", "gradients")).read_text(encoding="utf-8")
    plain = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), drawn)
    assert "gradient [6, 8]" in plain
    assert "gradient [2, 4]" in plain
    assert HELD in plain
    assert "No gradients" not in plain
    for show, target in (("shapes", out), ("values", out), ("gradients", (x * w).sum())):
        text = tg.draw(target, tmp_path / "graph.dot", show=show).read_text(encoding="utf-8")
        assert HELD not in text
    assert "gradient [3, 4]" in text  # its own, where it can be found


def test_what_failed_is_not_shown_with_older_gradients(tmp_path: Path) -> None:
    w = leaf(np.ones((2, 3)), "w")
    (w * 2.0).sum().backward()
    with pytest.raises(ValueError, match="matmul"), tg.observe(values=True) as run:
        w @ np.ones((4, 5))
    text = tg.draw(run, tmp_path / "graph.dot", show=("gradients",)).read_text(encoding="utf-8")
    assert "No gradients" in text
    assert HELD not in text

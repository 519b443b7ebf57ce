"""The report of a gradient check as a dict, a page and a plot, and the order of Taylor's test."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from networks import batch, course
from planted import M, P, leaf, squares, wrong_at

import tinygrad_fc as tg

pytestmark = pytest.mark.usefixtures("registry")


@pytest.fixture
def reports() -> list[Any]:
    values = iter(range(10_000))
    named = leaf(M, "<b>&'\"</b>")
    return [
        tg.gradcheck(course(), *batch()),
        tg.gradcheck(course(np.float32), *batch()),
        tg.gradcheck(wrong_at((1, 2), (3, 4), 1.0), named),
        tg.gradcheck(tg.relu, np.array([0.0, 1.0])),
        tg.gradcheck(lambda x: x * (next(values) % 5), M),
        tg.gradcheck(squares, np.ones((0, 3))),
        tg.gradcheck(tg.op(lambda x: x * x, name="square_nan", x=lambda g, x: g * np.nan * x), P),
    ]


def test_a_report_as_a_dict_is_json(reports: list[Any]) -> None:
    for report in reports:
        facts = report.to_dict()
        back = json.loads(json.dumps(facts))
        assert back["holds"] is bool(report)
        assert back["verdict"] == report.verdict
        assert back["evaluations"] == report.evaluations
        assert [row["name"] for row in back["inputs"]] == [check.name for check in report.inputs]
        assert [row["verdict"] for row in back["inputs"]] == [check.verdict for check in report.inputs]
        assert [row["op"] for row in back["culprits"]] == [culprit.op for culprit in report.culprits]
        assert all(len(row["steps"]) == len(row["errors"]) for row in back["inputs"])


def test_a_report_in_a_notebook(reports: list[Any]) -> None:
    for report in reports:
        page = ET.fromstring(f"<div>{report._repr_html_()}</div>")
        rows = page.findall("./table/tbody/tr")
        assert [row[0].text for row in rows] == [check.name for check in report.inputs]
        assert len({len(row) for row in (*rows, page.find("./table/thead/tr"))}) == 1
        assert len(page.findall("./p")) == len(str(report).splitlines()) - 2 - len(rows)


def test_a_report_as_a_plot(reports: list[Any], tmp_path: Any) -> None:
    for report in reports:
        (axes,) = report.plot().axes
        curves = [line for line in axes.lines if line.get_linestyle() == "-"]
        marks = [line for line in axes.lines if line.get_linestyle() == ":"]
        drawn = [c for c in report.inputs if any(e > 0 for e in c.errors)]
        assert len(curves) == len(drawn)
        assert len(marks) <= len(curves)
        for mark in marks:
            assert mark.get_xdata()[0] in {check.step for check in drawn}
    report = tg.gradcheck(lambda x: np.exp(x), np.array([1.3]))
    figure = report.plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    curve, mark = figure.axes[0].lines
    assert len(curve.get_xdata()) >= 3
    assert curve.get_ydata()[0] > 10 * min(curve.get_ydata())  # the right arm of the V
    assert mark.get_xdata()[0] == report.inputs[0].step


# ---- the order of Taylor's test


@pytest.mark.parametrize(
    "f", [lambda x: np.exp(x), lambda x: np.sin(x) * x, lambda x: 1.0 / (x + 9.0)], ids=["exp", "sine", "pole"]
)
def test_the_order_is_2_for_right_gradients_and_1_for_wrong_ones(f: Callable[..., Any]) -> None:
    right = tg.gradcheck(f, M)
    assert right.order == pytest.approx(2.0, abs=0.1)
    spoil = tg.op(lambda x: x * 1.0, name="spoilt", x=lambda g: g * 1.3)
    wrong = tg.gradcheck(lambda x: f(spoil(x)), M)
    assert wrong.order == pytest.approx(1.0, abs=0.1)
    assert tg.gradcheck(course(), *batch()).order == pytest.approx(2.0, abs=0.2)

"""Ties and infinite slopes, as docs/ties.md lists them: they are no faults, and faults there are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg

pytestmark = pytest.mark.usefixtures("registry")
Function = Callable[..., Any]


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (np.median, [2.0, 2.0, 2.0, 1.0, 3.0]), (np.median, [2.0, 1.0, 2.0, 2.0]),
        (np.median, np.round(np.linspace(0.0, 3.0, 301))), (lambda x: np.quantile(x, 0.25), [1.0, 1.0, 1.0, 2.0]),
        (lambda x: np.median(x * 2.0) ** 2, [0.5, 0.5, 0.5]),
    ],
)  # fmt: skip
def test_a_tie_of_several_is_no_fault(f: Function, x: Any) -> None:
    report = tg.gradcheck(f, np.array(x))
    assert report.verdict in ("kink", "correct"), report
    assert report.note == ""


@pytest.mark.parametrize(
    ("f", "x", "slope"),
    [
        (lambda x: np.sqrt(x).sum(), [0.0, 1.0], np.inf), (lambda x: np.cbrt(x).sum(), [0.0, 1.0], np.inf),
        (np.arcsin, [1.0, 0.5], np.inf), (np.arccos, [-1.0, 0.5], -np.inf), (np.sqrt, [0.0, 0.0], np.inf),
        (lambda x: -np.sqrt(x).sum(), [0.0, *np.linspace(1.0, 2.0, 200), 0.0], -np.inf),
    ],
)  # fmt: skip
def test_an_infinite_slope_is_told(f: Function, x: list[float], slope: float) -> None:
    (check,) = tg.gradcheck(f, np.array(x)).inputs
    assert (check.verdict, check.analytic, check.numerical) == ("kink", slope, slope)
    count = sum(value == x[0] for value in x)
    assert check.note == f"infinite at {count} of its coordinates, as the slope of the function is there"
    assert len(check.kinks) == count


WRONG: dict[str, tuple[Function, Function, list[float]]] = {
    "a median to all that equal it": (np.median, lambda g, x: g * (x == np.median(x)), [2.0, 2.0, 2.0, 1.0, 3.0]),
    "a median to another": (np.median, lambda g, x: g * (x == x.max()), [2.0, 2.0, 2.0, 1.0, 3.0]),
    "infinite where it is flat": (np.square, lambda g, x: g * np.where(x == 0, np.inf, 2 * x), [0.0, 1.0]),
    "infinite, of the other sign": (np.sqrt, lambda g, x: g * np.where(x == 0, -np.inf, 0.5), [0.0, 1.0]),
    "NaN where it is infinite": (np.sqrt, lambda g, x: g * np.where(x == 0, np.nan, 0.5), [0.0, 1.0]),
    "finite where it is infinite": (np.sqrt, lambda g, x: g * np.where(x == 0, 1.0, 0.5), [0.0, 1.0]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_fault_there_is_found(case: str) -> None:
    function, rule, x = WRONG[case]
    op = tg.op(lambda x: function(x), name="edge_wrong", x=rule)
    assert not tg.gradcheck(lambda x: op(x), np.array(x))


def test_a_fault_beside_infinite_slopes_is_found() -> None:
    x = np.array([0.0, *np.linspace(1.0, 2.0, 200)])
    with np.errstate(divide="ignore"):
        op = tg.op(np.sqrt, name="root_wrong", x=lambda g, out: g / (2.0 * out) * np.where(out > 1.4, 1.01, 1.0))
        report = tg.gradcheck(lambda x: op(x), x)
    assert report.verdict == "wrong"
    assert [c.op for c in report.culprits] == ["root_wrong"]


def test_nan_from_an_infinite_slope_is_explained() -> None:
    report = tg.gradcheck(lambda x: np.sqrt(x * x).sum(), np.array([0.0, 1.0]))
    assert report.verdict == "wrong"
    assert "0 * inf" in report.note
    assert "leaves the tape" not in report.note


def test_a_result_whose_shape_changes_at_a_tie_is_checked() -> None:
    assert tg.gradcheck(np.unique, np.array([2.0, 1.0, 2.0])).verdict in ("correct", "kink", "inconclusive")

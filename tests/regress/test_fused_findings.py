"""Fused operations beside another library's: faults of edges and precisions that a comparison found, each right here.

Values and gradients are checked in four ways each: the operation and its composition, plain and with a graph.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from losses import ways

import tinygrad_fc as tg

inf, nan = math.inf, math.nan
LOG2 = math.log(2.0)


def check(
    name: str, x: Any, target: Any, value: Any, dx: Any, dtarget: Any = None, dtype: Any = float, **options: Any
) -> None:
    """Each way gives this value, and the sum of it these gradients; NaN equals NaN."""
    for f in ways(name, **options):
        for create_graph in (False, True):
            a = tg.tensor(np.array(x, dtype), requires_grad=True)
            b: Any = np.array(target)
            if dtarget is not None:
                b = tg.tensor(np.array(target, dtype), requires_grad=True)
            inputs = [a] if dtarget is None else [a, b]
            with np.errstate(invalid="ignore", divide="ignore", under="ignore"):
                out = f(a, b)
                found = tg.gradients(out, inputs, np.ones(out.shape, out.dtype), create_graph=create_graph)
            np.testing.assert_allclose(out.data, value, rtol=1e-13, atol=1e-300)
            for d, expected in zip(found, (dx, dtarget), strict=False):
                np.testing.assert_allclose(d.data, expected, rtol=1e-13, atol=1e-16, err_msg=f"{f}, {create_graph}")


# ---- a weight of 0 hides no NaN


@pytest.mark.parametrize("row", [[nan, 0.0], [0.0, nan], [inf, 0.0], [-inf, -inf]])
@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_cross_entropy_shows_a_nan_of_a_class_without_weight(row: list[float], smoothing: float) -> None:
    x, w, p = [row, [1.0, 2.0]], [0.0, 1.0], 1.0 / (1.0 + math.exp(-1.0))
    share = 1.0 - smoothing / 2  # of class 1, whose logarithm is that of p
    slope = [[nan, nan], [share * (1 - p), share * (p - 1)]]
    options = {"weight": w, "label_smoothing": smoothing}
    check("cross_entropy", x, [0, 1], [nan, -share * math.log(p)], slope, reduction="none", **options)
    check("cross_entropy", x, [0, 1], nan, slope, reduction="sum", **options)
    check("cross_entropy", x, [[1.0, 0.0], [0.0, 1.0]], nan, slope, reduction="sum", **options)


def test_nll_loss_shows_a_nan_of_a_class_without_weight() -> None:
    """An infinite one stays out; the loss is linear, so that its gradient is minus the weight whatever x holds."""
    for score, loss in ((nan, nan), (-inf, 0.0), (inf, 0.0), (-1.0, 0.0)):
        x = [[score, -3.0], [-4.0, -2.0]]
        check("nll_loss", x, [0, 1], [loss, 2.0], [[0, 0], [0, -1]], weight=[0.0, 1.0], reduction="none")


def test_binary_cross_entropy_shows_a_nan_without_weight() -> None:
    name, options = "binary_cross_entropy_with_logits", {"weight": [0.0, 1.0], "reduction": "none"}
    check(name, [nan, 0.0], [1.0, 1.0], [nan, LOG2], [nan, -0.5], [nan, 0.0], **options)
    check(name, [nan, 0.0], [1.0, 1.0], [nan, LOG2], [nan, -0.5], [nan, 0.0], pos_weight=1.0, **options)
    for x, t in ((-inf, 1.0), (inf, 0.0), (inf, 0.5)):  # what is infinite stays out, also of the target's gradient
        check(name, [x, 0.0], [t, 1.0], [0.0, LOG2], [0.0, -0.5], [0.0, 0.0], **options)
        check(name, [x, 0.0], [t, 1.0], [0.0, 2 * LOG2], [0.0, -1.0], [0.0, LOG2], pos_weight=2.0, **options)


# ---- svm_loss: a NaN takes its row


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("row", [[nan, 0.0, 0.0], [0.0, nan, 0.0], [0.0, 0.0, nan]])
def test_svm_loss_of_a_nan_is_nan_for_its_row(row: list[float], squared: bool) -> None:
    x, y, value = [row, [1.0, 0.5, -2.0]], [0, 0], 0.25 if squared else 0.5
    rows = [[nan] * 3, [-1.0, 1.0, 0.0]]  # of the margin 0.5 and of its square
    check("svm_loss", x, y, [nan, value], rows, squared=squared, reduction="none")
    check("svm_loss", x, y, nan, rows, squared=squared, reduction="sum")
    check("svm_loss", x, y, nan, np.array(rows) / 2, squared=squared)
    check("svm_loss", x, y, nan, np.array(rows) / 2, squared=squared, dtype=np.float32)
    for f in (tg.svm_loss, tg.svm_loss.op.compose):
        t = tg.tensor(x, requires_grad=True)
        with np.errstate(invalid="ignore"):
            (first,) = tg.gradients(f(t, y, squared=squared, reduction="sum"), t, create_graph=True)
            (second,) = tg.gradients(first, t, np.ones((2, 3)))
        np.testing.assert_array_equal(second.data, [[nan] * 3, [0.0] * 3])  # along ones, the margin's own is 0


# ---- kl_div: infinite terms of a target of 0 stay out, and a NaN shows


def test_kl_div_of_an_infinite_term() -> None:
    for x in (inf, -inf):
        check("kl_div", [x, -1.0], [0.0, 1.0], [0.0, 1.0], [0, -1], [0, 2], reduction="none")
    check("kl_div", [nan, -1.0], [0.0, 1.0], [nan, 1.0], [0, -1], [nan, 2], reduction="none")
    check("kl_div", [-1.0, -1.0], [0.0, 1.0], [0.0, 1.0], [0, -1], [-inf, 2], reduction="none")
    check("kl_div", [inf, -inf], [0.5, 0.5], [-inf, inf], [-0.5, -0.5], [-inf, inf], reduction="none")


@pytest.mark.parametrize("target", [-inf, -1e4])
def test_kl_div_of_a_logarithm_of_nothing(target: float) -> None:
    """exp(-1e4) is 0, as exp(-inf) is."""
    for x in (inf, -inf, -1e4, -1.0):
        check("kl_div", [x, -1.0], [target, 0.0], [0, 1], [0, -1], [0, 2], log_target=True, reduction="none")
    check("kl_div", [nan, -1.0], [target, 0.0], [nan, 1], [0, -1], [nan, 2], log_target=True, reduction="none")

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


# ---- activations: fused and composed alike at large and infinite numbers


def value_and_slopes(f: Any, x: Any, dtype: Any) -> list[np.ndarray]:
    """Return the value, the gradient, and the gradient with a graph; nothing but an underflow is ignored."""
    t = tg.tensor(np.array(x, dtype), requires_grad=True)
    with np.errstate(under="ignore"):
        out = f(t)
        plain, recorded = (
            tg.gradients(out, t, np.ones(out.shape, dtype), create_graph=graph, retain_graph=True)[0]
            for graph in (False, True)
        )
    assert out.dtype == plain.dtype == recorded.dtype == dtype
    return [out.data, plain.data, recorded.data]


@pytest.mark.parametrize(("dtype", "large"), [(np.float32, [300.0, 1e13, 1e20, 3e38]), (np.float64, [1e104, 1e300])])
def test_gelu_composed_overflows_nowhere(dtype: Any, large: list[float]) -> None:
    for f in (tg.gelu, tg.gelu.op.compose):
        for x in large:
            np.testing.assert_array_equal(
                value_and_slopes(lambda t, f=f: f(t, "tanh"), [x, -x], dtype), [[dtype(x), 0.0], [1, 0], [1, 0]]
            )


def test_gelu_composed_keeps_its_digits_near_where_it_saturates() -> None:
    x = np.array([-10.5, -10.0, -9.0, -5.0, -0.3, 0.0, 0.3, 5.0, 9.0, 10.0, 10.5])
    fused = value_and_slopes(lambda t: tg.gelu(t, "tanh"), x, np.float64)
    composed = value_and_slopes(lambda t: tg.gelu.op.compose(t, "tanh"), x, np.float64)
    np.testing.assert_allclose(fused, composed, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("beta", [1.0, 2.0, 50.0, 1e-2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softplus_is_x_where_beta_times_x_is_infinite(beta: float, dtype: Any) -> None:
    x = np.finfo(dtype).max
    for f in (tg.softplus, tg.softplus.op.compose):
        found = value_and_slopes(lambda t, f=f: f(t, beta), [x, x / 4, -x], dtype)
        np.testing.assert_array_equal(found, [[x, x / 4, 0.0], [1, 1, 0], [1, 1, 0]])


def test_leaky_relu_without_a_slope_is_0_at_minus_infinity() -> None:
    for f in (tg.leaky_relu, tg.leaky_relu.op.compose):
        found = value_and_slopes(lambda t, f=f: f(t, 0), [-inf, -3.0, 0.0, 2.0, inf, nan], np.float64)
        np.testing.assert_array_equal(found, [[0, 0, 0, 2, inf, nan], *[[0, 0, 0, 1, 1, 0]] * 2])


def test_elu_far_below_0() -> None:
    """What its docstring says: the gradient is made of the result, and ends where that is -alpha to the last digit."""
    for dtype, end in ((np.float32, -17.4), (np.float64, -37.5)):
        x = np.array([0.4 * end, end], dtype)
        _, d, _ = value_and_slopes(tg.elu, x, dtype)
        assert abs(d[0] - math.exp(x[0])) <= np.finfo(dtype).eps
        assert d[0] > 0.0 == d[1]


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "selu", "hardtanh", "gelu", "silu", "softplus",
                                  "log_sigmoid", "softmax", "log_softmax"])  # fmt: skip
def test_activations_refuse_what_is_not_real(name: str) -> None:
    for given in (np.array([1 + 2j]), np.array(["a"])):
        with pytest.raises(TypeError, match=rf"^{name}: .*x has dtype {given.dtype}, expected real numbers"):
            getattr(tg, name)(given)


@pytest.mark.parametrize("kind", [np.int8, np.int64, bool])
def test_relu_of_whole_numbers_is_float64(kind: Any) -> None:
    x = np.array([0, 1, 3]).astype(kind)
    for f in (tg.relu, tg.relu.op.compose):
        np.testing.assert_array_equal(f(tg.tensor(x)).data, x.astype(float), strict=True)
    whole = [np.eye(3, dtype=int), np.eye(3, dtype=int), np.array([-1, 0, 2])]
    for f in (tg.affine_relu, tg.affine_relu.op.compose):
        np.testing.assert_array_equal(f(*map(tg.tensor, whole)).data, [[0.0, 0, 2], [0, 1, 2], [0, 0, 3]], strict=True)

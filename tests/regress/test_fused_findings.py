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
from tinygrad_fc.nn import functional as F

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
    """Return the value, the gradient, and the gradient with a graph; an underflow is ignored."""
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


def test_gelu_of_infinities_hides_no_nan() -> None:
    """At -inf value and gradient are NaN, as docs/ties.md has it; at inf the value is inf, and the gradient NaN."""
    for f in (tg.gelu, tg.gelu.op.compose):
        with np.errstate(invalid="ignore"):
            found = value_and_slopes(lambda t, f=f: f(t, "tanh"), [-inf, inf, nan], float)
        np.testing.assert_array_equal(found, [[nan, inf, nan], [nan] * 3, [nan] * 3])


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


# ---- batch_norm_inference: a mean far larger than the spread


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_running_statistics_with_a_large_mean_keep_the_digits(dtype: Any) -> None:
    one = np.ones(1, dtype)
    for f in (tg.batch_norm_inference, tg.batch_norm_inference.op.compose):
        for x, gamma, beta, mean, variance, value in (
            (1e6, 1.0, 0.0, 999_999.0, 1e-8, 1e4), (1e6, 2.0, 0.5, 1e6 - 3, 4.0, 3.5),
            (-1e6, 1.0, 7.0, -1e6, 1e-6, 7.0),
        ):  # fmt: skip
            out = f(tg.tensor([[x]], dtype), tg.tensor(gamma * one), tg.tensor(beta * one), [mean], [variance], 0.0)
            assert out.dtype == dtype
            assert out.item() == pytest.approx(value, rel=1e-6)


# ---- second derivatives at kinks of the first: as the docs say


@pytest.mark.parametrize("form", ["fused", "composed"])
def test_second_derivatives_at_kinks(form: str) -> None:
    low = 1.0507009873554805 * 1.6732632423543772
    cases: list[tuple[str, Any, float, float]] = [
        ("elu", (0.4,), 0.0, 0.4), ("elu", (), 0.0, 1.0), ("selu", (), 0.0, low), ("relu", (), 0.0, 0.0),
        ("hardtanh", (), 1.0, 0.0), ("hardtanh", (), -1.0, 0.0),
        ("huber_loss", (np.zeros(()), 1.5, "sum"), 1.5, 1.0), ("huber_loss", (np.zeros(()), 1.5, "sum"), -1.5, 1.0),
    ]  # fmt: skip
    for name, options, at, expected in cases:
        f = getattr(tg, name) if form == "fused" else getattr(tg, name).op.compose
        x = tg.tensor(at, requires_grad=True)
        (first,) = tg.gradients(f(x, *options), x, create_graph=True)
        second = tg.gradients(first, x)[0].item() if first.requires_grad else 0.0
        assert second == pytest.approx(expected, rel=1e-14, abs=1e-300), name


def test_l1_loss_of_a_nan() -> None:
    check("l1_loss", [0.0, nan, inf], [0.0, 0.0, 0.0], [0, nan, inf], [0, nan, 1], [0, nan, -1], reduction="none")


def test_normalizations_of_nothing() -> None:
    """An empty batch has an empty result, where no statistics are taken of it; features there must be."""
    none, one = np.zeros((0, 3)), np.ones(3)
    assert F.batch_norm(none, one, one).shape == F.layer_norm(none, 3).shape == (0, 3)
    assert F.layer_norm(np.zeros((2, 0, 3)), 3).shape == (2, 0, 3)
    with pytest.raises(ValueError, match="batch_norm: a batch of 0 has no spread"):
        F.batch_norm(none, one, one, training=True)
    for inner, shape in ((0, (4, 0)), ((0, 3), (2, 0, 3))):
        with pytest.raises(ValueError, match="layer_norm: the examples have no features"):
            F.layer_norm(np.zeros(shape), inner)


# ---- ignore_index: examples that are left out


X = np.array([[0.0, LOG2], [nan, 5.0], [LOG2, 0.0], [-inf, inf], [0.0, 0.0]])
SOFT = np.array([[1 / 3, 2 / 3], [0, 0], [2 / 3, 1 / 3], [0, 0], [0.5, 0.5]])  # 0 for the rows that are ignored
SIGNS = np.array([[0.0, 1.0], [0, 0], [0, 1], [0, 0], [1, 0]])
EACH = np.array([math.log(1.5), 0.0, math.log(3.0), 0.0, LOG2])


@pytest.mark.parametrize("ignore_index", [-100, -1, 7, 255])
@pytest.mark.parametrize("kind", [list, np.int64, np.int16])
def test_cross_entropy_ignores(ignore_index: int, kind: Any) -> None:
    """What an ignored row holds shows nowhere, not even a NaN: it is left out, as by a mask."""
    y: Any = [1, ignore_index, 1, ignore_index, 0]
    y = y if kind is list else np.array(y, kind)
    index = {} if ignore_index == -100 else {"ignore_index": ignore_index}
    slope = SOFT - SIGNS
    check("cross_entropy", X, y, EACH.sum() / 3, slope / 3, **index)
    check("cross_entropy", X, y, EACH.sum(), slope, reduction="sum", **index)
    check("cross_entropy", X, y, EACH, slope, reduction="none", **index)
    w = np.array([4.0, 0.5])
    each = w[[1, 0, 1, 0, 0]]
    check("cross_entropy", X, y, (each * EACH).sum() / 5, each[:, None] * slope / 5, weight=w, **index)
    logs = np.where(np.isfinite(X), np.log(SOFT, where=SOFT > 0, out=np.zeros(SOFT.shape)), nan)
    check("nll_loss", logs, y, EACH.sum() / 3, -SIGNS / 3, **index)
    check("nll_loss", logs, y, EACH, -SIGNS, reduction="none", **index)
    check("nll_loss", logs, y, (each * EACH).sum() / 5, -each[:, None] * SIGNS / 5, weight=w, **index)


def test_a_class_may_be_ignored() -> None:
    x = X[[0, 2, 4]]
    for dtype in (np.int64, np.uint8):
        y = np.array([1, 0, 1], dtype)
        kept = tg.cross_entropy(x[[0, 2]], [1, 1], label_smoothing=0.2).item()
        for f in ways("cross_entropy", ignore_index=0, label_smoothing=0.2):
            assert f(x, y).item() == pytest.approx(kept, rel=1e-14)
        for f in ways("nll_loss", ignore_index=0):
            assert f(-x, y).item() == pytest.approx((x[0, 1] + x[2, 1]) / 2, rel=1e-14)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_a_batch_that_is_ignored(name: str) -> None:
    y = [-100] * 5
    for f in ways(name):
        with pytest.raises(ValueError, match=rf"^{name}: .* is -100, the ignore_index, for every row of x: the mean"):
            f(X, y)
    check(name, X, y, 0.0, np.zeros((5, 2)), reduction="sum")
    check(name, X, y, np.zeros(5), np.zeros((5, 2)), reduction="none")
    for f in ways(name, weight=[1.0, 0.0]):
        with pytest.raises(ValueError, match=f"^{name}: weight is 0 for every label of the batch"):
            f(X, [1, -100, 1, -100, 1])


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_what_is_not_ignored_must_be_a_class(name: str) -> None:
    for y, worst in (([1, -100, 2, 1, 0], "2 at row 2"), ([-100, 0, 0, -1, 3], "-1 at row 3")):
        for f in ways(name):
            with pytest.raises(ValueError, match=rf"^{name}: .*\(the labels\) has {worst}, expected 0 to 1"):
                f(X, y)
    with pytest.raises(ValueError, match="has -100 at row 1, expected 0 to 1"):
        getattr(tg, name)(X, [1, -100, 1, 0, 0], ignore_index=-1)
    for given in (1.0, True, "a", None):
        with pytest.raises(TypeError, match=rf"^{name}: ignore_index: given {given!r}, expected an integer"):
            getattr(tg, name)(X, [0, 1, 1, 0, 0], ignore_index=given)
        module = tg.nn.CrossEntropyLoss if name == "cross_entropy" else tg.nn.NLLLoss
        with pytest.raises(TypeError, match=rf"^{module.__name__}: ignore_index: given {given!r}, expected an integer"):
            module(ignore_index=given)
    assert getattr(F, name)(X, [0, -1, 1, -1, -1], reduction="sum", ignore_index=-1).item() == (
        getattr(tg, name)(X[[0, 2]], [0, 1], reduction="sum").item()
    )

"""Losses: values worked out by hand, saturation, infinite logits, reductions, precision; fused and composed alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from losses import LABELLED, MODULES, PAIRED, ways

import tinygrad_fc as tg
from tinygrad_fc.nn import functional as F

INF = math.inf
LOG2 = math.log(2.0)


def check(
    name: str, x: Any, target: Any, value: Any, dx: Any, dtarget: Any = None, g: Any = None, **options: Any
) -> None:
    """Each way gives this value and these gradients, to rounding; infinities included."""
    for f in ways(name, **options):
        a = tg.tensor(np.array(x, dtype=float), requires_grad=True)
        b: Any = target
        if dtarget is not None:
            b = tg.tensor(np.array(target, dtype=float), requires_grad=True)
        with np.errstate(under="ignore", divide="ignore"):
            out = f(a, b)
            out.backward(None if g is None else np.array(g, dtype=float))
        np.testing.assert_allclose(out.data, value, rtol=1e-13, atol=1e-300)
        np.testing.assert_allclose(a.grad, dx, rtol=1e-13, atol=1e-16)
        if dtarget is not None:
            np.testing.assert_allclose(b.grad, dtarget, rtol=1e-13, atol=1e-16)


# ---- values by hand

EVEN = [[0.0, 0.0], [0.0, LOG2], [0.0, 0.0]]  # softmax: halves, then 1/3 and 2/3
Y = np.array([0, 1, 1])
P = np.array([[0.5, 0.5], [1 / 3, 2 / 3], [0.5, 0.5]])
LOSSES = np.array([LOG2, math.log(1.5), LOG2])
ONE_HOT = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])


def test_cross_entropy_is_that_of_the_softmax() -> None:
    check("cross_entropy", EVEN, Y, LOSSES.mean(), (P - ONE_HOT) / 3)
    check("cross_entropy", EVEN, Y, LOSSES.sum(), P - ONE_HOT, reduction="sum")
    scale = np.array([1.0, 2.0, -1.0])
    check("cross_entropy", EVEN, Y, LOSSES, scale[:, None] * (P - ONE_HOT), g=scale, reduction="none")
    x = np.array(EVEN)
    assert tg.cross_entropy(x, Y).item() == tg.softmax_loss(x, Y).item()


def test_weights_of_classes_weigh_the_mean() -> None:
    """As PyTorch documents it: of labels, the mean divides by the sum of their weights, here 3 + 0.5 + 0.5."""
    w = np.array([3.0, 0.5])
    each = w[Y] * LOSSES
    slope = w[Y][:, None] * (P - ONE_HOT)
    check("cross_entropy", EVEN, Y, each.sum() / 4.0, slope / 4.0, weight=w)
    check("cross_entropy", EVEN, Y, each.sum(), slope, weight=w, reduction="sum")
    check("cross_entropy", EVEN, Y, each, slope, g=[1, 1, 1], weight=w, reduction="none")
    logs = np.log(P)
    check("nll_loss", logs, Y, each.sum() / 4.0, -w[Y][:, None] * ONE_HOT / 4.0, weight=w)
    check("nll_loss", logs, Y, LOSSES.mean(), -ONE_HOT / 3)
    check("nll_loss", logs, Y, each, -w[Y][:, None] * ONE_HOT, g=[1, 1, 1], weight=w, reduction="none")


def test_the_mean_over_probabilities_divides_by_their_number() -> None:
    w, q = np.array([3.0, 0.5]), np.array([[0.25, 0.75], [1.0, 0.0], [0.0, 0.5]])
    share = q * w
    each = -(share * np.log(P)).sum(axis=1)
    slope = share.sum(axis=1)[:, None] * P - share
    check("cross_entropy", EVEN, q, each.mean(), slope / 3, -w * np.log(P) / 3, weight=w)
    check("cross_entropy", EVEN, q, each, slope, -w * np.log(P), g=[1, 1, 1], weight=w, reduction="none")


def test_label_smoothing_shares_the_target_among_the_classes() -> None:
    """0.2 of a label goes to both classes: 0.9 and 0.1. The smoothed part has the weights of the classes."""
    soft = np.where(ONE_HOT == 1, 0.9, 0.1)
    each = -(soft * np.log(P)).sum(axis=1)
    check("cross_entropy", EVEN, Y, each.mean(), (P - soft) / 3, label_smoothing=0.2)
    check("cross_entropy", EVEN, ONE_HOT, each.mean(), (P - soft) / 3, -0.8 * np.log(P) / 3, label_smoothing=0.2)
    w = np.array([3.0, 0.5])
    share = 0.8 * ONE_HOT * w[Y][:, None] + 0.1 * w
    each = -(share * np.log(P)).sum(axis=1)
    slope = share.sum(axis=1)[:, None] * P - share
    check("cross_entropy", EVEN, Y, each.sum() / w[Y].sum(), slope / w[Y].sum(), label_smoothing=0.2, weight=w)
    check("cross_entropy", EVEN, Y, -np.log(P).mean(), (P - 0.5) / 3, label_smoothing=1.0)


def test_svm_loss_squares_its_hinge() -> None:
    x, y = [[1.0, 1.5, 0.0], [2.0, 0.0, 1.0]], np.array([0, 0])  # margins 1.5 and 0; -1 and exactly 0
    check("svm_loss", x, y, 0.75, [[-0.5, 0.5, 0.0], [0, 0, 0]])
    check("svm_loss", x, y, 1.125, [[-1.5, 1.5, 0.0], [0, 0, 0]], squared=True)
    check("svm_loss", x, y, [2.25, 0.0], [[-6.0, 6.0, 0.0], [0, 0, 0]], g=[2, 1], squared=True, reduction="none")
    check("svm_loss", x, y, 1.5, [[-1, 1, 0], [0, 0, 0]], reduction="sum")
    check("svm_loss", x, y, 3.0, [[-2, 1, 1], [-1, 0, 1]], reduction="sum", delta=1.5)


def test_binary_cross_entropy_by_hand() -> None:
    x = np.array([0.0, math.log(3.0), -math.log(3.0)])  # sigmoid: 1/2, 3/4, 1/4
    p, t, w = np.array([0.5, 0.75, 0.25]), np.array([1.0, 0.5, 0.0]), np.array([1.0, 2.0, 4.0])
    each = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    name = "binary_cross_entropy_with_logits"
    check(name, x, t, each.mean(), (p - t) / 3, -x / 3)
    check(name, x, t, (w * each).mean(), w * (p - t) / 3, -w * x / 3, weight=w)  # by 3, and not by the weights
    each = -(5 * t * np.log(p) + (1 - t) * np.log(1 - p))
    dt = -(5 * np.log(p) - np.log(1 - p))
    check(name, x, t, each.sum(), (1 - t) * p - 5 * t * (1 - p), dt, pos_weight=5.0, reduction="sum")
    check(name, x, [True, False, False], (math.log(2) + math.log(4) + math.log(4 / 3)) / 3, (p - [1, 0, 0]) / 3)


def test_errors_of_predictions_by_hand() -> None:
    x, t = [[1.0, 2.0], [5.0, 0.0]], [[1.0, 2.5], [2.0, 0.25]]  # differences 0, -0.5, 3, -0.25
    d = np.array([[0.0, -0.5], [3.0, -0.25]])
    sign = np.sign(d)
    check("mse_loss", x, t, (0.25 + 9 + 0.0625) / 4, d / 2, -d / 2)
    check("mse_loss", x, t, d * d, 2 * d, -2 * d, g=np.ones((2, 2)), reduction="none")
    check("l1_loss", x, t, 3.75 / 4, sign / 4, -sign / 4)  # 0 at 0
    huber = np.array([[0.0, 0.125], [2.5, 0.03125]])
    clipped = np.clip(d, -1, 1)
    check("huber_loss", x, t, huber.mean(), clipped / 4, -clipped / 4)
    check("huber_loss", x, t, huber, clipped, -clipped, g=np.ones((2, 2)), reduction="none")
    check("huber_loss", x, t, 0.5 * (0.25 + 0.0625) + 2 * (3 - 1), np.clip(d, -2, 2), delta=2.0, reduction="sum")
    check("huber_loss", [1.5, -1.5], [0.0, 0.0], 2.25, [1.5, -1.5], delta=1.5, reduction="sum")  # the pieces meet
    check("mse_loss", 3.0, 1.0, 4.0, 4.0, -4.0)
    check("mse_loss", [3.0, 1.0], [1, 1], 2.0, [2.0, 0.0])


def test_kl_div_by_hand() -> None:
    t, x = np.array([[0.5, 0.5], [0.25, 0.75]]), np.log([[0.25, 0.75], [0.5, 0.5]])
    each = t * (np.log(t) - x)
    dt = np.log(t) - x + 1
    check("kl_div", x, t, each.sum() / 4, -t / 4, dt / 4)
    check("kl_div", x, t, each.sum() / 2, -t / 2, dt / 2, reduction="batchmean")
    check("kl_div", x, t, each, -t, dt, g=np.ones((2, 2)), reduction="none")
    check("kl_div", x, np.log(t), each.sum(), -t, t * dt, log_target=True, reduction="sum")


# ---- saturation and infinities


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_logits_stay_finite_and_right(dtype: type) -> None:
    x = tg.tensor(np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]], dtype), requires_grad=True)
    y, q = np.array([0, 0]), np.array([[1, 0, 0], [1, 0, 0]], dtype)
    for f in ways("cross_entropy", reduction="none"):
        for target in (y, q):
            x.grad = None
            with np.errstate(under="ignore"):
                out = f(x, target)
                out.backward(np.ones(2, dtype))
            assert out.dtype == x.grad.dtype == dtype
            np.testing.assert_array_equal(out.data, [0.0, 2e4])
            np.testing.assert_array_equal(x.grad, [[0, 0, 0], [-1, 1, 0]])
    for f in ways("binary_cross_entropy_with_logits", reduction="none"):
        x.grad = None
        with np.errstate(under="ignore"):
            out = f(x, q)
            out.backward(np.ones((2, 3), dtype))
        assert out.dtype == x.grad.dtype == dtype
        np.testing.assert_allclose(out.data, [[0, 0, LOG2], [1e4, 1e4, LOG2]], rtol=1e-6)
        np.testing.assert_array_equal(x.grad, [[0, 0, 0.5], [-1, 1, 0.5]])
    for f in ways("svm_loss", reduction="none", squared=True):
        np.testing.assert_array_equal(f(x, y).data, [0.0, dtype(20001) ** 2 + dtype(10001) ** 2])
    for f in ways("huber_loss", reduction="none"):
        assert f(x, np.zeros((2, 3), dtype)).data.max() == dtype(9999.5)


def test_small_losses_keep_their_digits() -> None:
    x = np.array([-40.0, 40.0])
    for f in ways("binary_cross_entropy_with_logits", reduction="none"):
        np.testing.assert_allclose(f(x, np.array([0.0, 1.0])).data, math.exp(-40), rtol=1e-13)
    t = tg.tensor([-40.0, -600.0], requires_grad=True)
    tg.binary_cross_entropy_with_logits(t, np.zeros(2), reduction="sum").backward()
    np.testing.assert_allclose(t.grad, np.exp(t.data), rtol=1e-12)


def test_a_class_that_is_out_adds_nothing() -> None:
    """A logit of -inf: 0 where the class has no share in the target, infinite where it has one."""
    x, rest = [[-INF, 0.0, 0.0]], np.array([[0.0, 0.5, 0.5]])
    one, two = np.array([[0.0, 1.0, 0.0]]), np.array([[0.5, 0.5, 0.0]])
    check("cross_entropy", x, [1], LOG2, rest - one)
    check("cross_entropy", x, one, LOG2, rest - one, [[0.0, LOG2, LOG2]])
    check("cross_entropy", x, [0], INF, [[-1.0, 0.5, 0.5]])
    check("cross_entropy", x, two, INF, rest - two, [[INF, LOG2, LOG2]])
    check("cross_entropy", x, [1], INF, rest - [[0.1, 0.8, 0.1]], label_smoothing=0.3)  # which shares with every class
    check("cross_entropy", x, [1], LOG2, rest - one, weight=np.array([0.0, 1.0, 1.0]))


def test_a_share_of_minus_infinity_is_dropped_with_its_weight() -> None:
    x, w = [[-INF, 0.0, 0.0], [0.0, 0.0, 0.0]], np.array([0.0, 1.0, 1.0])
    share = np.array([[0.0, 0.8, 0.1], [0.0, 0.1, 0.1]])
    p = np.array([[0.0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]])
    value = 0.9 * LOG2 + 0.2 * math.log(3)
    slope = share.sum(axis=1)[:, None] * p - share
    check("cross_entropy", x, [1, 0], value, slope, weight=w, label_smoothing=0.3, reduction="sum")
    check("nll_loss", [[-INF, -1.0, -1.0]], [0], 0.0, [[0.0, 0.0, 0.0]], weight=w, reduction="sum")
    check("nll_loss", [[-INF, -1.0, -1.0]], [1], 1.0, [[0.0, -1.0, 0.0]])
    check("nll_loss", [[-INF, -1.0, -1.0]], [0], INF, [[-1.0, 0.0, 0.0]])


def test_binary_cross_entropy_of_infinite_logits() -> None:
    name = "binary_cross_entropy_with_logits"
    check(name, [-INF, INF, 0.0], [0.0, 1.0, 0.5], LOG2, [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], reduction="sum")
    check(name, [-INF, INF], [1.0, 0.0], [INF, INF], [-1.0, 1.0], [INF, -INF], g=[1, 1], reduction="none")
    check(name, [INF], [0.5], INF, [0.5])
    check(name, [-INF, INF], [0.0, 1.0], 0.0, [0.0, 0.0], [0.0, 0.0], pos_weight=2.0)
    check(name, [-INF, 0.0], [1.0, 1.0], [0.0, LOG2], [0.0, -0.5], g=[1, 1], weight=[0.0, 1.0], reduction="none")


def test_kl_div_where_the_target_is_zero() -> None:
    """0 log 0 is 0, also against -inf; the target's derivative at 0 is infinite, but where the class is out."""
    check("kl_div", [[-INF, 0.0]], [[0.0, 1.0]], 0.0, [[0.0, -1.0]], [[0.0, 1.0]], reduction="sum")
    check("kl_div", [[-1.0, 0.0]], [[0.0, 1.0]], 0.0, [[0.0, -1.0]], [[-INF, 1.0]], reduction="sum")
    check("kl_div", [[-INF, 0.0]], [[0.5, 0.5]], INF, [[-0.5, -0.5]], reduction="sum")
    for x in ([[-INF, 0.0]], [[-1.0, 0.0]]):
        check("kl_div", x, [[-INF, 0.0]], 0.0, [[0.0, -1.0]], [[0.0, 1.0]], log_target=True, reduction="sum")


@pytest.mark.parametrize("name", MODULES)
def test_nan_stays_nan(name: str) -> None:
    x = np.array([[0.5, np.nan], [0.5, 0.5]])
    target = np.array([1, 1]) if name in LABELLED else np.array([[0.0, 0.0], [1.0, 1.0]])
    for f in ways(name, reduction="none"):
        with np.errstate(invalid="ignore"):
            out = np.isnan(f(x, target).data)
        np.testing.assert_array_equal(out, [True, False] if name in LABELLED else [[False, True], [False, False]])


# ---- empty batches


@pytest.mark.parametrize("name", MODULES)
def test_an_empty_batch(name: str) -> None:
    x = tg.tensor(np.zeros((0, 3)), requires_grad=True)
    targets = [np.zeros(0, int)] * (name in LABELLED) + [np.zeros((0, 3))] * (name in PAIRED or name == "cross_entropy")
    for target in targets:
        for f in ways(name, reduction="sum"):
            assert f(x, target).item() == 0.0
            f(x, target).backward()
            assert x.grad.shape == (0, 3)
        for f in ways(name, reduction="none"):
            assert f(x, target).shape == ((0,) if name in LABELLED else (0, 3))
        for reduction in ("mean", "batchmean") if name == "kl_div" else ("mean",):
            for f in ways(name, reduction=reduction):
                with pytest.raises(ValueError, match=rf"^{name}: x has shape \(0, 3\): the mean over an empty batch"):
                    f(x, target)


# ---- dtypes


def test_weights_and_whole_targets_widen_nothing() -> None:
    x = tg.tensor(np.full((2, 3), 0.5, np.float32), requires_grad=True)
    w, y, whole = np.array([0.5, 1.0, 2.0]), np.array([0, 2]), np.array([[0, 1, 0], [1, 0, 1]])
    calls = [
        ("cross_entropy", y, {"weight": w, "label_smoothing": 0.1}),
        ("nll_loss", y, {"weight": w.tolist()}),
        ("binary_cross_entropy_with_logits", whole, {"weight": w, "pos_weight": w}),
        ("binary_cross_entropy_with_logits", whole.astype(bool), {}),
        *[(name, whole, {}) for name in ("mse_loss", "l1_loss", "huber_loss", "kl_div")],
    ]
    for name, target, options in calls:
        for f in ways(name, **options):
            for create_graph in (False, True):
                out = f(x, target)
                (d,) = tg.gradients(out, x, create_graph=create_graph)
                assert out.dtype == d.dtype == np.float32, name
    assert tg.mse_loss(np.array([1, 2]), np.array([0, 0])).item() == 2.5


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("name", PAIRED)
def test_second_derivatives_of_wide_inputs(name: str, reduction: str, rng: np.random.Generator) -> None:
    """The registry's samples keep logits among probabilities; here they are large. Composed, all is derived anew."""
    x, t = rng.normal(size=(3, 2)) * 4.0, rng.uniform(0.2, 0.8, (3, 2))
    assert tg.gradcheck(lambda x, t: getattr(tg, name)(x, t, reduction=reduction).sum(), x, t)
    results = []
    for f in ways(name, reduction=reduction):
        inputs = [tg.tensor(x, requires_grad=True), tg.tensor(t, requires_grad=True)]
        first = tg.gradients((f(*inputs) ** 2).sum(), inputs, create_graph=True)
        results.append([d.data for d in tg.gradients(first[0].sum() + 2.0 * first[1].sum(), inputs)])
    for ours, module, composed in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, module)
        np.testing.assert_allclose(ours, composed, rtol=1e-10, atol=1e-12)


# ---- PyTorch's order of arguments


def test_functional_has_pytorchs_order(rng: np.random.Generator) -> None:
    x, t, y, w = rng.normal(size=(3, 2)), rng.uniform(size=(3, 2)), np.array([0, 1, 1]), np.array([0.5, 2.0])
    pairs = [
        (F.cross_entropy(x, y, w, "sum", 0.1), tg.cross_entropy(x, y, w, 0.1, "sum")),
        (F.nll_loss(x, y, w, "none"), tg.nll_loss(x, y, w, "none")),
        (F.binary_cross_entropy_with_logits(x, t, w, "sum", 2 * w),
         tg.binary_cross_entropy_with_logits(x, t, w, 2 * w, "sum")),
        (F.mse_loss(x, t, "sum"), tg.mse_loss(x, t, "sum")),
        (F.l1_loss(x, t, "none"), tg.l1_loss(x, t, "none")),
        (F.huber_loss(x, t, "sum", 0.5), tg.huber_loss(x, t, 0.5, "sum")),
        (F.smooth_l1_loss(x, t, "sum", 0.5), tg.huber_loss(x, t, 0.5, "sum") / 0.5),
        (F.smooth_l1_loss(x, t, beta=0.0), tg.l1_loss(x, t)),
        (F.kl_div(x, t, "batchmean", False), tg.kl_div(x, t, False, "batchmean")),
        (F.kl_div(x, -t, log_target=True), tg.kl_div(x, -t, True)),
    ]  # fmt: skip
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours.data, theirs.data)
    with pytest.raises(ValueError, match=r"^smooth_l1_loss: beta: given -1\.0"):
        F.smooth_l1_loss(x, t, beta=-1.0)

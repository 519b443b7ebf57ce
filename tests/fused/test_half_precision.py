"""Half precision: sums, and what is made of them, are taken in float32, fused and composed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from losses import ways

import tinygrad_fc as tg
from tinygrad_fc.nn import functional as F

HALF = np.float16
WIDE = np.arange(1000) % 2 * 20.0 - 10.0  # 1000 numbers, 10 or -10: the sum of their squares is 100,000


def assert_close_to_wide(f: Any, *inputs: Any, tolerance: float = 3e-3) -> None:
    """In half precision f has the value and the gradients that float64 gives, in each form, plain and with a graph."""
    results = []
    for dtype in (float, HALF):
        tensors = [tg.tensor(np.asarray(a).astype(dtype), requires_grad=True) for a in inputs]
        for create_graph in (False, True):
            with np.errstate(under="ignore"):
                out = f(*tensors)
                found = tg.gradients(out, tensors, np.ones(out.shape, dtype), create_graph=create_graph)
            assert {t.dtype for t in (out, *found)} == {np.dtype(dtype)}
            results.append([t.data.astype(float) for t in (out, *found)])
    for half in results[2:]:
        for ours, wide in zip(half, results[0], strict=True):
            np.testing.assert_allclose(ours, wide, rtol=tolerance, atol=tolerance * np.abs(wide).max() + 1e-7)


@pytest.mark.parametrize("form", ["fused", "composed"])
def test_half_precision_sums_in_float32(form: str, rng: np.random.Generator) -> None:
    def of(name: str) -> Any:
        return getattr(tg, name) if form == "fused" else getattr(tg, name).op.compose

    assert_close_to_wide(lambda x, t: of("mse_loss")(x, t), WIDE, np.zeros(1000))
    assert_close_to_wide(lambda x, t: of("l1_loss")(x * 20.0, t), WIDE, np.zeros(1000))
    assert_close_to_wide(lambda x, t: of("huber_loss")(x, t, 10.0), WIDE, np.zeros(1000))
    target = np.where(WIDE > 0, 0.0, 1.0)  # each answer is wrong by 10
    assert_close_to_wide(lambda x: of("binary_cross_entropy_with_logits")(x * 10.0, target.astype(x.dtype)), WIDE)
    assert_close_to_wide(lambda x: of("l2_penalty")(x, 0.01), WIDE)
    assert_close_to_wide(lambda x: of("l2_penalty")(x, 1e-4), [300.0, -500.0])
    scores = np.tile([0.0, 100.0, -100.0], (500, 1))
    for options in ({}, {"squared": True}):
        assert_close_to_wide(lambda x, o=options: of("svm_loss")(x, np.full(500, 2), **o), scores)
    assert_close_to_wide(lambda x: of("softmax_loss")(x, np.full(500, 2)), scores)
    weight = np.array([1.0, 2.0, 150.0])  # of the batch: 75,000
    for options in ({}, {"weight": weight}, {"label_smoothing": 0.1}, {"weight": weight, "label_smoothing": 0.1}):
        assert_close_to_wide(lambda x, o=options: of("cross_entropy")(x, np.full(500, 2), **o), scores)
    soft = rng.uniform(0.1, 0.9, (500, 3))
    assert_close_to_wide(lambda x, t: of("cross_entropy")(x, t, None, 0.1), scores, soft)
    assert_close_to_wide(lambda x: of("nll_loss")(x, np.full(500, 2), weight.astype(x.dtype)), scores)
    logs = np.tile([-50.0, -100.0, -200.0], (500, 1))
    assert_close_to_wide(lambda x: of("kl_div")(x, soft.astype(x.dtype)), logs)
    assert_close_to_wide(lambda x: of("kl_div")(x, soft.astype(x.dtype), False, "batchmean"), logs)


@pytest.mark.parametrize("form", ["fused", "composed"])
def test_half_precision_is_normalized_in_float32(form: str, rng: np.random.Generator) -> None:
    """1000 numbers near 100 have a sum above the largest of half precision."""
    x, v = np.round(rng.normal(100.0, 10.0, (1000, 4)) * 8) / 8, rng.uniform(0.5, 1.5, (3, 1000))
    for name, a, n in (("batch_norm", x, 4), ("layer_norm", np.ascontiguousarray(x.T), 1000)):
        f = getattr(tg, name) if form == "fused" else getattr(tg, name).op.compose
        scale = rng.uniform(-1.0, 1.0, a.shape)

        def run(t: Any, gamma: Any, beta: Any, f: Any = f, scale: Any = scale) -> Any:
            out = f(t, gamma, beta)
            return (out[0] if isinstance(out, tuple) else out) * scale.astype(t.dtype)

        assert_close_to_wide(run, a, v[0, :n], v[1, :n], tolerance=1e-2)
    _, mean, variance = tg.batch_norm(x.astype(HALF) * HALF(10.0), np.ones(4, HALF), np.zeros(4, HALF))
    np.testing.assert_allclose(mean, 10 * x.mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(variance, 100 * x.var(axis=0), rtol=1e-2)  # 10,000: its sum is beyond
    hundreds = [100.0] * 4
    assert_close_to_wide(
        lambda t, gamma, beta: tg.batch_norm_inference(t, gamma, beta, hundreds, hundreds),
        x * 1.0, v[0, :4], v[1, :4], tolerance=1e-2,
    )  # fmt: skip


def test_what_sinks_below_half_precision_raises_nothing() -> None:
    """Normalized numbers next to 0 are 0 there, as the shares of hopeless classes are."""
    x = np.array([[1.0, -1.0 + 2.0**-11, 2.0**-20]] * 4, HALF)
    x[::2] *= -1
    for f in (lambda t: tg.layer_norm(t, np.ones(3, HALF), np.zeros(3, HALF), 1e4),
              lambda t: tg.batch_norm(t, np.ones(3, HALF), np.zeros(3, HALF), 1e4)[0],
              lambda t: tg.softmax_loss(t * HALF(50.0), [0, 1, 0, 1])):  # fmt: skip
        t = tg.tensor(x, requires_grad=True)
        with np.errstate(all="raise"):
            out = f(t)
            (d,) = tg.gradients(out, t, np.ones(out.shape, HALF))
        assert np.isfinite(out.data).all()
        assert np.isfinite(d.data).all()


def test_half_precision_counts_beyond_its_largest_number() -> None:
    """70,000 examples, more than half precision counts: the means and their slopes are finite and right."""
    count = 70_000
    x, y = np.tile(np.array([[0.0, 1.0]], HALF), (count, 1)), np.zeros(count, int)
    p = 1.0 / (1.0 + math.exp(-1.0))
    weight = np.array([2.0, 1.0])
    cases: list[tuple[str, Any, dict[str, Any], float, list[float]]] = [
        ("svm_loss", y, {}, 2.0, [-1.0, 1.0]), ("svm_loss", y, {"squared": True}, 4.0, [-4.0, 4.0]),
        ("cross_entropy", y, {}, -math.log(1 - p), [-p, p]),
        ("cross_entropy", y, {"weight": weight}, -math.log(1 - p), [-p, p]),
        ("nll_loss", y + 1, {}, -1.0, [0.0, -1.0]), ("nll_loss", y + 1, {"weight": weight}, -1.0, [0.0, -1.0]),
        ("mse_loss", x * 0, {}, 0.5, [0.0, 1.0]), ("l1_loss", x * 0, {}, 0.5, [0.0, 0.5]),
        ("kl_div", x * 0 + HALF(1.0), {"reduction": "batchmean"}, -1.0, [-1.0, -1.0]),
    ]  # fmt: skip
    for name, target, options, value, slope in cases:
        for f in ways(name, **options):
            t = tg.tensor(x, requires_grad=True)
            with np.errstate(under="ignore"):
                out = f(t, target)
                out.backward()
            assert out.dtype == t.grad.dtype == HALF
            assert out.item() == pytest.approx(value, rel=2e-3), name
            # 1 / 70,000 has 8 bits there, as numbers below 2**-14 have few
            np.testing.assert_allclose(t.grad[0].astype(float) * count, slope, atol=1e-2, rtol=1e-2, err_msg=name)


def test_softmax_in_another_dtype() -> None:
    """As PyTorch's `dtype`: x is converted first, so that nothing is lost on the way."""
    x = tg.tensor(np.array([[10.0, 0.0, -20.0]], HALF), requires_grad=True)
    for name in ("softmax", "log_softmax"):
        out = getattr(F, name)(x, dtype=np.float32)
        np.testing.assert_array_equal(out.data, getattr(tg, name)(x.data.astype(np.float32)).data, strict=True)
        (d,) = tg.gradients(out, x, np.ones((1, 3), np.float32))
        assert d.dtype == HALF
        np.testing.assert_array_equal(getattr(F, name)([[1, 2]], -1, dtype="f4").dtype, np.float32)
    assert F.softmax(x).dtype == HALF
    np.testing.assert_allclose(F.softmax(np.zeros((2, 2)), None).data, 0.25)  # None is all elements

"""Reductions and statistics: ties, edges, empty and single elements, keywords, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from edges import assert_same, run
from registry_cases import assert_close, differences

import tinygrad_fc as tg
from tinygrad_fc.engine.dispatch import functions

inf, nan = math.inf, math.nan


# ---- ties and kinks: function, point, gradient of the sum of the results

TIES: list[tuple[str, Callable[..., Any], Any, Any]] = [
    ("max, initial ties", lambda t: np.max(t, initial=3.0), [3.0, 1.0], [0.5, 0]),
    ("max, initial wins", lambda t: np.max(t, initial=4.0), [3.0, 1.0], [0, 0]),
    ("max, initial loses", lambda t: np.max(t, initial=2.0), [3.0, 3.0], [0.5, 0.5]),
    ("max, initial is NaN", lambda t: np.max(t, initial=nan), [3.0, 1.0], [0, 0]),
    ("max, ties left out", lambda t: np.max(t, initial=-inf, where=[True, True, False]), [3.0, 1.0, 3.0], [1, 0, 0]),
    ("min, NaN left out", lambda t: np.min(t, initial=inf, where=[True, True, False]), [3.0, 1.0, nan], [0, 1, 0]),
    ("max, all left out", lambda t: np.max(t, initial=-inf, where=False), [3.0, 1.0], [0, 0]),
    ("nanmax", np.nanmax, [3.0, nan, 3.0, 1.0], [0.5, 0, 0.5, 0]),
    ("nanmin of -inf", np.nanmin, [-inf, nan, -inf, 1.0], [0.5, 0, 0.5, 0]),
    ("nanmax, initial ties", lambda t: np.nanmax(t, initial=3.0), [3.0, nan], [0.5, 0]),
    ("ptp", np.ptp, [3.0, 1.0, 3.0, 2.0], [0.5, -1, 0.5, 0]),
    ("ptp of equals", np.ptp, [2.0, 2.0], [0, 0]),
    ("median, odd", np.median, [2.0, 2.0, 2.0, 1.0, 3.0], [0, 1, 0, 0, 0]),
    ("median, even", np.median, [2.0, 1.0, 2.0, 2.0], [0.5, 0, 0.5, 0]),
    ("median of NaN", np.median, [2.0, nan, 1.0], [0, 1, 0]),
    ("median of infinities", np.median, [inf, 1.0, -inf], [0, 1, 0]),
    ("nanmedian", np.nanmedian, [2.0, nan, 1.0, 5.0], [1, 0, 0, 0]),
    ("quantile 0", lambda t: np.quantile(t, 0.0), [1.0, 1.0, 3.0], [1, 0, 0]),
    ("quantile between", lambda t: np.quantile(t, 0.25), [1.0, 3.0, 2.0], [0.5, 0, 0.5]),
    ("std of equals", lambda t: np.std(t, where=[True, True, False]), [2.0, 2.0, 5.0], [0, 0, 0]),
]


@pytest.mark.parametrize(("f", "a", "gradient"), [tie[1:] for tie in TIES], ids=[tie[0] for tie in TIES])
def test_ties(f: Callable[..., Any], a: Any, gradient: Any) -> None:
    out, d = run(f, a)
    assert_same(d, gradient)
    x = tg.tensor(np.array(a), requires_grad=True)
    with np.errstate(all="ignore"):
        value = f(x)
        (recorded,) = tg.gradients(value, x, np.ones(value.shape), create_graph=True)
    assert_same(recorded.data, gradient)
    np.testing.assert_array_equal(out, value.data)


# ---- what a mask leaves out counts for nothing, whatever it is

_mask = np.array([[True, False, True], [False, False, False]])


@pytest.mark.parametrize("hidden", [nan, inf, -inf])
@pytest.mark.parametrize(
    ("f", "value", "gradient"),
    [
        (np.sum, [5, 0], [[1, 0, 1], [0, 0, 0]]),
        (np.prod, [6, 1], [[3, 0, 2], [0, 0, 0]]),
        (np.mean, [2.5, nan], [[0.5, 0, 0.5], [0, 0, 0]]),
        (np.var, [0.25, nan], [[-0.5, 0, 0.5], [0, 0, 0]]),
        (np.std, [0.5, nan], [[-0.5, 0, 0.5], [0, 0, 0]]),
    ],
)
@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:Degrees of freedom")
def test_masks_hide(f: Callable[..., Any], value: Any, gradient: Any, hidden: float) -> None:
    a = np.where(_mask, [[2.0, 0.0, 3.0], [0.0, 0.0, 0.0]], hidden)
    out, d = run(lambda t: f(t, axis=1, where=_mask), a)
    assert_same(out, value)
    assert_same(d, gradient)
    x = tg.tensor(a, requires_grad=True)
    with np.errstate(all="ignore"):
        (first,) = tg.gradients(f(x, axis=1, where=_mask)[0], x, create_graph=True)
        if first.requires_grad:  # no NaN comes back from behind the mask to second order either
            (second,) = tg.gradients((first * first).sum(), x)
            assert np.isfinite(second.data).all()


def test_a_constant_tensor_is_a_mask() -> None:
    a = np.where(_mask, 2.0, nan)
    for f in (np.sum, np.nansum):
        out, d = run(lambda t, f=f: f(t, where=tg.tensor(_mask)), a)
        assert_same(out, 4)
        assert_same(d, _mask)


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:Degrees of freedom", "ignore:All-NaN")
def test_rows_of_nan() -> None:
    a = [[nan, nan, nan], [1.0, nan, 4.0], [nan, 2.0, nan]]
    for f, value, gradient in (
        (np.nansum, [0, 5, 2], [[0, 0, 0], [1, 0, 1], [0, 1, 0]]),
        (np.nanprod, [1, 4, 2], [[0, 0, 0], [4, 0, 1], [0, 1, 0]]),
        (np.nanmean, [nan, 2.5, 2], [[0, 0, 0], [0.5, 0, 0.5], [0, 1, 0]]),
        (np.nanvar, [nan, 2.25, 0], [[0, 0, 0], [-1.5, 0, 1.5], [0, 0, 0]]),
        (np.nanstd, [nan, 1.5, 0], [[0, 0, 0], [-0.5, 0, 0.5], [0, 0, 0]]),
        (np.nanmax, [nan, 4, 2], [[0, 0, 0], [0, 0, 1], [0, 1, 0]]),
        (np.nanmin, [nan, 1, 2], [[0, 0, 0], [1, 0, 0], [0, 1, 0]]),
    ):
        out, d = run(lambda t, f=f: f(t, axis=1), a)
        with np.errstate(all="ignore"):
            assert_same(out, f(np.array(a), axis=1))
        assert_same(out, value)
        assert_same(d, gradient)
    assert_same(run(lambda t: np.nanmedian(t, axis=1), a)[0], [nan, 2.5, 2])
    assert_same(run(lambda t: np.nanmedian(t, axis=1), a)[1][1:], [[0.5, 0, 0.5], [0, 1, 0]])


def test_nanvar_with_too_few_elements() -> None:
    a = [[1.0, nan, 4.0], [nan, 2.0, nan]]
    for correction in ({"ddof": 1}, {"correction": 1}, {"ddof": 2}):
        with pytest.warns(RuntimeWarning, match="Degrees of freedom"):
            out, _ = run(lambda t, c=correction: np.nanvar(t, axis=1, **c), a)
        with pytest.warns(RuntimeWarning, match="Degrees of freedom"):
            assert_same(out, np.nanvar(np.array(a), axis=1, **correction))


def test_all_nan_warns() -> None:
    for f in (np.nanmax, np.nanmedian, lambda t: np.nanquantile(t, 0.3)):
        with pytest.warns(RuntimeWarning, match="All-NaN"):
            out, _ = run(f, [nan, nan])
        assert_same(out, nan)


# ---- the methods of ufuncs


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("ufunc", [np.add, np.multiply, np.maximum, np.minimum, np.logaddexp])
def test_reduce_and_accumulate(ufunc: np.ufunc, axis: int, rng: np.random.Generator) -> None:
    a = rng.permutation(12).reshape(3, 4) * 0.25 - 1.1
    for method in ("reduce", "accumulate"):
        f = getattr(ufunc, method)
        expected = f(a, axis=axis)
        g = rng.uniform(0.5, 1.5, expected.shape)
        out, d = run(lambda t, f=f: f(t, axis=axis), a, g)
        assert_close(out, expected, 1e-14, f"{f}")
        numeric = differences(lambda arrays, f=f, g=g: np.sum(g * f(arrays[0], axis=axis)), [a], 0)
        assert_close(d, numeric, 1e-8, f"{f}")
        np.testing.assert_allclose(f(tg.tensor(a)).data, f(a, axis=0), rtol=1e-14)  # axis 0 by default


def test_reduce_takes_its_keywords() -> None:
    t, mask = tg.tensor([[1.0, 2.0], [3.0, 4.0]]), np.array([True, False])
    assert_same(np.add.reduce(t, axis=1, keepdims=True, initial=1.0, where=mask).data, [[2], [4]])
    assert_same(np.maximum.reduce(t, axis=None, initial=3.5).data, 4)
    assert np.add.reduce(t, dtype=np.float32).dtype == np.float32
    assert np.add.accumulate(t, dtype=np.float32).dtype == np.float32
    assert np.logical_or.reduce(t > 3.0).data.tolist() == [False, True]
    assert np.logical_and.reduce(t > 1.0).data.tolist() == [False, True]
    with pytest.raises(TypeError, match="where"):
        np.logaddexp.reduce(t, where=mask)


# ---- keywords


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "std", "cumsum", "cumprod", "nansum", "nanvar"])
def test_dtype_is_asked_for(name: str, rng: np.random.Generator) -> None:
    f = getattr(np, name)
    for given, asked in ((np.float32, np.float64), (np.float64, np.float32), (np.float16, np.float32)):
        a = rng.uniform(0.5, 1.5, (3, 4)).astype(given)
        x = tg.tensor(a, requires_grad=True)
        out = f(x, axis=1, dtype=asked)
        # (NumPy's nanvar subtracts the mean in half precision.)
        rtol = 1e-3 if given is np.float16 else 2e-6
        np.testing.assert_allclose(out.data, f(a, axis=1, dtype=asked), rtol=rtol, strict=True)
        for create_graph in (False, True):
            (d,) = tg.gradients(out, x, np.ones(out.shape, asked), create_graph=create_graph, retain_graph=True)
            assert d.dtype == given
            wide = tg.tensor(a.astype(float), requires_grad=True)
            (expected,) = tg.gradients(f(wide, axis=1), wide, np.ones(out.shape))
            np.testing.assert_allclose(d.data, expected.data, rtol=2e-3 if given is np.float16 else 1e-4, atol=1e-5)
        (second,) = tg.gradients((d * d).sum(), x) if d.requires_grad else (x,)
        assert second.dtype == given


def test_dtype_by_position() -> None:
    assert np.sum(tg.tensor([1.0, 2.0]), 0, np.float32).dtype == np.float32
    assert np.cumsum(tg.tensor([1, 2]), 0, np.float64).data.tolist() == [1.0, 3.0]
    with pytest.raises(TypeError, match="sum: its result has no gradient"):
        np.sum(tg.tensor([1.0], requires_grad=True), dtype=int)


def test_correction_is_ddof() -> None:
    a = np.array([1.0, 2.0, 4.0])
    for f in (np.var, np.std):
        for correction in (0, 1, 0.5):
            assert_same(run(lambda t, f=f, c=correction: f(t, correction=c), a)[0], f(a, ddof=correction))
        assert_same(*[run(lambda t, f=f, k=k: f(t, **{k: 1}), a)[1] for k in ("ddof", "correction")])
        with pytest.raises(ValueError, match="ddof=1 and correction=1"):
            f(tg.tensor(a), ddof=1, correction=1)


def test_quantile_takes_nested_q() -> None:
    a, q = np.arange(24.0).reshape(2, 3, 4) ** 1.5, np.array([[0.1, 0.5], [0.7, 1.0]])
    for f in (np.quantile, np.nanquantile):
        out = f(tg.tensor(a), q, axis=(0, 2), keepdims=True)
        np.testing.assert_allclose(out.data, np.quantile(a, q, axis=(0, 2), keepdims=True), rtol=1e-14, strict=True)
        assert f(tg.tensor(a.astype(np.float32)), q).dtype == np.float32
        np.testing.assert_array_equal(f(tg.tensor(a), tg.tensor(0.5)).data, np.quantile(a, 0.5))


def test_quantile_of_integers() -> None:
    a = tg.tensor([3, 1, 2, 7])
    for method in ("linear", "lower", "nearest", "inverted_cdf", "midpoint"):
        out = np.quantile(a, 0.4, method=method)
        expected = np.asarray(np.quantile(a.data, 0.4, method=method))
        np.testing.assert_allclose(out.data, expected, rtol=1e-14, strict=True)
    assert np.median(a).item() == 2.5
    assert np.median(tg.tensor([True, False])).item() == 0.5


def test_quantile_passes_infinities() -> None:
    a = [-inf, 0.0, 1.0, inf]
    assert_same(run(lambda t: np.quantile(t, [0.0, 1 / 3, 0.5, 1.0]), a)[0], [-inf, 0, 0.5, inf])
    assert_same(run(lambda t: np.quantile(t, 0.5), [inf, inf])[0], inf)
    assert_same(run(lambda t: np.quantile(t, 0.5), [inf, -inf])[0], nan)


def test_median_of_many(rng: np.random.Generator) -> None:
    a = rng.normal(size=(4, 11, 3))
    a[1, :4, 0] = nan
    for f in (np.median, np.nanmedian):
        for axis in (None, 0, 1, -1, (0, 2), (0, 1, 2)):
            for keepdims in (False, True):
                out = f(tg.tensor(a), axis=axis, keepdims=keepdims)
                np.testing.assert_array_equal(out.data, f(a, axis=axis, keepdims=keepdims))


def test_average_returns_the_weights() -> None:
    a, w = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True), tg.tensor([1.0, 3.0], requires_grad=True)
    out, total = np.average(a, axis=1, weights=w, returned=True)
    assert_same(out.data, [1.75, 3.75])
    assert_same(total.data, [4, 4])
    out.sum().backward()
    assert_same(a.grad, [[0.25, 0.75], [0.25, 0.75]])
    assert_same(w.grad, [-0.375, 0.125])
    out, total = np.average(a, returned=True)
    assert (out.item(), total.item()) == (2.5, 4.0)
    assert np.average(tg.tensor([1, 2], dtype=np.int8), weights=tg.tensor([1.0, 3.0], dtype=np.float32)).dtype == float


# ---- empty arrays, axes of length 1, single numbers

EMPTY: dict[str, tuple[Callable[..., Any], Any]] = {
    "nansum": (np.nansum, np.zeros(())), "nanprod": (lambda t: np.nanprod(t, axis=1), np.ones(2)),
    "median": (lambda t: np.median(t, 0), np.zeros(0)), "max": (lambda t: np.max(t, axis=1, initial=2.0), [2, 2]),
    "quantile": (lambda t: np.quantile(t, [0.5, 0.1], axis=0), np.zeros((2, 0))),
    "masked mean": (lambda t: np.mean(t, axis=0, where=np.ones((2, 1), bool)), np.zeros(0)),
    "average": (lambda t: np.average(t, axis=0, weights=[1.0, 2.0]), np.zeros(0)),
}  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
def test_empty(name: str) -> None:
    f, value = EMPTY[name]
    out, d = run(f, np.zeros((2, 0)))
    assert_same(out, value)
    assert d.shape == (2, 0)


def test_median_of_nothing_is_nan() -> None:
    for f in (np.median, np.nanmedian):
        with pytest.warns(RuntimeWarning, match="Mean of empty slice"):
            assert_same(run(f, np.zeros((2, 0)))[0], nan)


@pytest.mark.parametrize("name", ["median", "ptp", "nansum", "nanmean", "nanmax", "average"])
def test_single_numbers(name: str) -> None:
    for shape in ((), (1,), (1, 1)):
        out, d = run(getattr(functions, name), np.full(shape, 3.0))
        assert out.item() == (0.0 if name == "ptp" else 3.0)
        assert_same(d, np.full(shape, 0.0 if name == "ptp" else 1.0))


# ---- refusals: each names what was given

_t = tg.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
REFUSALS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: np.sum(_t, out=np.zeros(())), TypeError, "'out'"),
    (lambda: np.var(_t, mean=_t.mean()), TypeError, "var: argument 'mean' takes no gradient.*pass mean.detach"),
    (lambda: np.quantile(_t, 0.5, weights=[1.0]), TypeError, "^quantile: weights= is not supported on tensors"),
    (lambda: np.median(_t, out=np.zeros(())), TypeError, "^median: out= is not supported on tensors"),
    (lambda: np.quantile(_t, 1.5), ValueError, "range"),
    (lambda: np.percentile(_t, [50.0, 101.0]), ValueError, "range"),
    (lambda: np.quantile(_t, 0.5, method="cubic"), ValueError, "'cubic'.*'linear'"),
    (lambda: np.quantile(_t, tg.tensor(0.5, requires_grad=True)), TypeError, "'q' takes no gradient"),
    (lambda: np.nanquantile(np.zeros(2), tg.tensor(0.5, requires_grad=True)), TypeError, "nanquantile: argument 'q'"),
    (lambda: np.quantile(_t[:, :0], 0.5), ValueError, "quantile: there are no elements"),
    (lambda: np.quantile(_t, 0.5, axis=2), IndexError, "axis 2 is out of bounds"),
    (lambda: np.quantile(_t, 0.5, axis=(0, 0)), ValueError, "repeated axis"),
    (lambda: np.average(_t, weights=[1.0, 2.0, 3.0]), TypeError, "give the axis="),
    (lambda: np.average(_t, axis=1, weights=[1.0, 2.0]), ValueError, r"shape \(2,\), expected \(1, 3\) or \(3,\)"),
    (lambda: np.average(_t, axis=1, weights=[1.0, 0.0, -1.0]), ZeroDivisionError, "sum to zero"),
    (lambda: np.max(_t, where=_mask[:1]), ValueError, "max: .*initial"),
    (lambda: np.sum(_t, initial=tg.tensor(1.0, requires_grad=True)), TypeError, "'initial' takes no gradient"),
]


@pytest.mark.parametrize(("call", "error", "words"), REFUSALS)
def test_refusals(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()

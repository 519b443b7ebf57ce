"""Scans and differences: ties, edges, empty and single elements, keywords, and what is refused."""

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

# ---- ties: function, point, gradient of the sum of the results

TIES: list[tuple[str, Any, Any]] = [
    ("cummax", [1.0, 3.0, 3.0, 2.0, 4.0], [1, 3, 0, 0, 1]),
    ("cummin", [0.0, -0.0, 1.0, -1.0], [3, 0, 0, 1]),
    ("cummax", [1.0, nan, 3.0, nan], [1, 3, 0, 0]),
    ("cummax", [-inf, -inf, 0.0], [2, 0, 1]),
]


@pytest.mark.parametrize(("name", "a", "gradient"), TIES)
def test_ties(name: str, a: Any, gradient: Any) -> None:
    assert_same(run(getattr(functions, name), a)[1], gradient)


# ---- running products with zeros, and beyond the range


@pytest.mark.parametrize("a", [[0.0, 2.0, 3.0], [2.0, 0.0, 3.0], [2.0, 0.0, 0.0], [0.0] * 3, [1.5, 2.0, -3.0, 0.0, 2]])
def test_cumprod_with_zeros(a: list[float]) -> None:
    g = np.arange(1.0, len(a) + 1.0)
    expected = [
        sum(g[k] * math.prod(a[j] for j in range(k + 1) if j != i) for k in range(i, len(a))) for i in range(len(a))
    ]
    out, d = run(np.cumprod, a, g)
    assert_same(out, np.cumprod(a))
    assert_same(d, expected)
    x = tg.tensor(a, requires_grad=True)
    (first,) = tg.gradients(np.cumprod(x), x, g, create_graph=True)
    assert_same(first.data, expected)
    (second,) = tg.gradients(first[0], x)
    assert_same(second.data, [
        sum(g[k] * math.prod(a[j] for j in range(k + 1) if j not in (0, i)) for k in range(i, len(a))) if i else 0.0
        for i in range(len(a))
    ])  # fmt: skip


def test_cumprod_beyond_the_range() -> None:
    assert_same(run(np.cumprod, [1e-200, 1e-200, 1e200], [0, 1, 1])[1], [1e-200 + 1.0, 1e-200 + 1.0, 0], 1e-12)
    assert_same(run(np.cumprod, [1e200, 1e200, 1e-300], [0, 0, 1])[1], [1e-100, 1e-100, inf], 1e-12)
    assert_same(run(np.cumprod, [nan, 2.0])[1], [3, nan])


@pytest.mark.parametrize("length", [1, 2, 3, 8, 9, 31])
def test_scans_of_any_length(length: int, rng: np.random.Generator) -> None:
    a, g = rng.normal(size=(2, length, 2)), rng.normal(size=(2, length, 2))
    a[0, length // 2, 0] = 0.0  # the running product then takes the way without division
    for f in (np.cumprod, np.add.accumulate, np.logaddexp.accumulate):
        _, d = run(lambda t, f=f: f(t, axis=1), a, g)
        expected = differences(lambda arrays, f=f: np.sum(g * f(arrays[0], axis=1)), [a], 0)
        assert_close(d, expected, 1e-8, f"{f} over {length} elements")


def test_logcumsumexp_at_the_edges() -> None:
    f = functions.logcumsumexp
    for a, value, gradient in (
        ([-inf, 0.0, -inf], [-inf, 0, 0], [0, 2, 0]),
        ([-inf, -inf], [-inf, -inf], [0, 0]),
        ([1e3, 1e3], [1e3, 1e3 + math.log(2.0)], [1.5, 0.5]),
        ([-1e300, 0.0, 1e300], [-1e300, 0, 1e300], [1, 1, 1]),
        ([5.0], [5], [1]),
    ):
        out, d = run(f, a)
        assert_same(out, value)
        assert_same(d, gradient, 1e-12)


def test_running_extremes_are_numpys(rng: np.random.Generator) -> None:
    a = rng.integers(0, 4, (3, 5, 4)).astype(float)
    a[0, 2, 1] = nan
    for ours, ufunc in (("cummax", np.maximum), ("cummin", np.minimum)):
        for axis in (0, 1, -1):
            t = tg.tensor(a, requires_grad=True)
            for out in (getattr(functions, ours)(t, axis), ufunc.accumulate(t, axis)):
                np.testing.assert_array_equal(out.data, ufunc.accumulate(a, axis), strict=True)
        flat = getattr(functions, ours)(a)
        np.testing.assert_array_equal(flat.data, ufunc.accumulate(a.ravel()), strict=True)


# ---- differences


def test_diff_keeps_what_is_no_float() -> None:
    assert np.diff(tg.tensor([True, False, False])).data.tolist() == [True, False]
    assert np.diff(tg.tensor([1, 4, 9])).data.tolist() == [3, 5]
    x = tg.tensor([1.0, 4.0], dtype=np.float32)
    assert np.diff(x, prepend=0.0).dtype == np.float32
    assert np.diff(x, n=0) is x
    assert np.ediff1d(x, to_end=2.5).dtype == np.float32


def test_diff_of_one_row_beside_a_tensor() -> None:
    before = tg.tensor([[1.0], [2.0]], requires_grad=True)
    np.diff(np.zeros((2, 3)), axis=1, prepend=before).sum().backward()
    assert_same(before.grad, [[-1], [-1]])


@pytest.mark.parametrize("edge_order", [1, 2])
def test_gradient_is_numpys(edge_order: int, rng: np.random.Generator) -> None:
    f, x = rng.normal(size=(3, 5, 4)), [np.cumsum(rng.uniform(0.1, 1.0, n)) for n in (3, 5, 4)]
    for spacings, axis in (
        ((), None), ((0.3,), None), ((0.3, 2, 1.5), None), ((x[0], 2.0, x[2]), None), ((x[1],), 1),
        ((x[1], x[0]), (1, 0)), (([0, 1, 4],), -3), ((np.float64(0.5),), (2,)),
    ):  # fmt: skip
        expected = np.gradient(f, *spacings, axis=axis, edge_order=edge_order)
        found = np.gradient(tg.tensor(f), *spacings, axis=axis, edge_order=edge_order)
        assert type(found) is (tuple if isinstance(expected, tuple) else tg.Tensor)
        if not isinstance(expected, tuple):
            expected, found = (expected,), (found,)
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours.data, theirs, rtol=1e-11, atol=1e-12, strict=True)


@pytest.mark.parametrize("edge_order", [1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_gradient_reads_only_the_elements_that_numpy_reads(value: float, edge_order: int) -> None:
    """At even distances the element itself is none of them, and so a NaN does not show in its own place."""
    for spacings in ((), (0.5,), (np.arange(6.0) * 2,), (np.arange(6),), ([0.0, 1.0, 3.0, 4.0, 4.5, 7.0],)):
        for place in range(6):
            f = np.array([1.0, 2.0, 4.0, -1.0, 3.0, 0.5])
            f[place] = value
            with np.errstate(all="ignore"):
                expected = np.gradient(f, *spacings, edge_order=edge_order)
                found = np.gradient(tg.tensor(f, requires_grad=True), *spacings, edge_order=edge_order)
            np.testing.assert_allclose(found.data, expected, rtol=1e-12, strict=True)


def test_gradient_takes_differences_of_coordinates_before_it_casts_them() -> None:
    f, x = np.array([1.0, 2.0, 3.0], np.float32), np.array([1e8, 1e8 + 1, 1e8 + 3])
    np.testing.assert_allclose(np.gradient(tg.tensor(f), x).data, np.gradient(f, x), rtol=1e-6, strict=True)


def test_gradient_of_integers_and_of_float32() -> None:
    assert np.gradient(tg.tensor([1, 4, 9])).data.tolist() == [3.0, 4.0, 5.0]
    x = tg.tensor([1.0, 4.0, 9.0], dtype=np.float32)
    assert np.gradient(x, np.array([0.0, 1.0, 3.0])).dtype == np.float32
    assert np.gradient(x, np.float64(2.0)).dtype == np.float32
    assert np.gradient(tg.tensor(1.0)) == ()


# ---- empty arrays, axes of length 1, single numbers

EMPTY: dict[str, tuple[Callable[..., Any], Any]] = {
    "cumsum": (np.cumsum, np.zeros(0)), "cumprod": (lambda t: np.cumprod(t, axis=1), np.zeros((2, 0))),
    "logcumsumexp": (lambda t: functions.logcumsumexp(t, axis=1), np.zeros((2, 0))),
    "cummax": (lambda t: functions.cummax(t, 1), np.zeros((2, 0))), "diff": (np.diff, np.zeros((2, 0))),
    "cumulative_sum": (lambda t: np.cumulative_sum(t, axis=1, include_initial=True), np.zeros((2, 1))),
    "cumulative_prod": (lambda t: np.cumulative_prod(t, axis=1, include_initial=True), np.ones((2, 1))),
    "ediff1d": (np.ediff1d, np.zeros(0)), "trapezoid": (np.trapezoid, np.zeros(2)),
}  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
def test_empty(name: str) -> None:
    f, value = EMPTY[name]
    out, d = run(f, np.zeros((2, 0)))
    assert_same(out, value)
    assert d.shape == (2, 0)


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"])
def test_single_numbers(name: str) -> None:
    for shape in ((), (1,), (1, 1)):
        out, d = run(getattr(functions, name), np.full(shape, 3.0))
        assert out.ravel().tolist() == [3.0]
        assert_same(d, np.ones(shape))


# ---- refusals: each names what was given

_t = tg.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
REFUSALS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: np.diff(_t, n=-1), ValueError, "n=-1"),
    (lambda: np.diff(tg.tensor(1.0)), ValueError, "at least one axis"),
    (lambda: np.ediff1d(tg.tensor([1, 2]), to_end=1.5), TypeError, "to_end has dtype float64"),
    (lambda: np.cumulative_sum(_t), ValueError, "cumulative_sum: x has 2 axes"),
    (lambda: np.cumulative_prod(_t), ValueError, "cumulative_prod: x has 2 axes"),
    (lambda: np.gradient(_t), ValueError, r"axis 0 of shape \(1, 3\) is too short"),
    (lambda: np.gradient(_t, 1.0, 2.0, axis=1), TypeError, "2 distances for 1 axes"),
    (lambda: np.gradient(_t, [1.0, 2.0], axis=1), ValueError, r"shape \(2,\), expected \(3,\)"),
    (lambda: np.gradient(_t, axis=1, edge_order=3), ValueError, "edge_order is 3"),
    (lambda: functions.cummax(_t, 2), IndexError, "axis 2 is out of bounds"),
    (lambda: np.cumsum(_t, axis=2), IndexError, "cumsum"),
    (lambda: np.maximum.accumulate(_t, dtype=np.float32), TypeError, "'dtype'"),
]


@pytest.mark.parametrize(("call", "error", "words"), REFUSALS)
def test_refusals(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()

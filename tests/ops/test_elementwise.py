"""Elementwise functions where they have kinks, steps and ends, and what their rules must not lose."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from edges import assert_same
from registry_cases import differences

import tinygrad_fc as tg
from tinygrad_fc.engine.dispatch import functions

inf, nan, pi = math.inf, math.nan, math.pi


def run(f: Callable[..., Any], *inputs: Any, dtype: Any = float) -> tuple[Any, list[np.ndarray]]:
    """Return the value of f and the gradients of its inputs, with faults of floating point ignored."""
    tensors = [tg.tensor(np.array(x, dtype=dtype), requires_grad=True) for x in inputs]
    with np.errstate(all="ignore"):
        out = f(*tensors)
        out.backward(np.ones(out.shape))
    return out.data, [t.grad for t in tensors]


def derivatives(f: Callable[[Any], Any], x: float, orders: int) -> list[float]:
    """Return the first derivatives of f at x, each recorded from the one before."""
    point = tg.tensor(x, requires_grad=True)
    value, found = f(point), []
    for _ in range(orders):
        (value,) = tg.gradients(value, point, create_graph=True)
        found.append(value.item())
        if not value.requires_grad:
            break
    return found + [0.0] * (orders - len(found))


# ---- edges; function, x, value, gradient

UNARY = [
    ("fabs", 0, 0, 0), ("fabs", -0.0, 0, 0), ("fabs", -inf, inf, -1), ("fabs", nan, nan, nan),
    ("cbrt", 0, 0, inf), ("cbrt", inf, inf, 0), ("cbrt", -8, -2, 1 / 12), ("cbrt", nan, nan, nan),
    ("tan", 0, 0, 1), ("tan", inf, nan, nan), ("tan", nan, nan, nan),
    ("arcsin", 0, 0, 1), ("arcsin", 1, pi / 2, inf), ("arcsin", -1, -pi / 2, inf), ("arcsin", 2, nan, nan),
    ("arccos", 0, pi / 2, -1), ("arccos", 1, 0, -inf), ("arccos", -1, pi, -inf), ("arccos", -2, nan, nan),
    ("arctan", 0, 0, 1), ("arctan", inf, pi / 2, 0), ("arctan", -inf, -pi / 2, 0), ("arctan", nan, nan, nan),
    ("sinh", 0, 0, 1), ("sinh", inf, inf, inf), ("sinh", -inf, -inf, inf), ("sinh", nan, nan, nan),
    ("cosh", 0, 1, 0), ("cosh", inf, inf, inf), ("cosh", -inf, inf, -inf), ("cosh", nan, nan, nan),
    ("arcsinh", 0, 0, 1), ("arcsinh", inf, inf, 0), ("arcsinh", -inf, -inf, 0), ("arcsinh", nan, nan, nan),
    ("arcsinh", 1e200, np.arcsinh(1e200), 1e-200),
    ("arccosh", 1, 0, inf), ("arccosh", inf, inf, 0), ("arccosh", 0, nan, nan), ("arccosh", -2, nan, nan),
    ("arccosh", 1e200, np.arccosh(1e200), 1e-200),
    ("arctanh", 0, 0, 1), ("arctanh", 1, inf, inf), ("arctanh", -1, -inf, inf), ("arctanh", nan, nan, nan),
    ("sinc", 0, 1, 0), ("sinc", -0.0, 1, 0), ("sinc", 0.5, 2 / pi, -4 / pi), ("sinc", nan, nan, nan),
    ("sinc", inf, nan, nan),
    ("deg2rad", 0, 0, pi / 180), ("radians", inf, inf, pi / 180), ("rad2deg", 0, 0, 180 / pi),
    ("degrees", nan, nan, 180 / pi),
    ("floor", 1, 1, 0), ("floor", -0.5, -1, 0), ("floor", inf, inf, 0), ("floor", nan, nan, 0),
    ("ceil", 1, 1, 0), ("ceil", 0.5, 1, 0), ("ceil", -inf, -inf, 0), ("ceil", nan, nan, 0),
    ("trunc", 2, 2, 0), ("trunc", -1.5, -1, 0), ("trunc", inf, inf, 0), ("trunc", nan, nan, 0),
    ("rint", 0.5, 0, 0), ("rint", 1.5, 2, 0), ("rint", inf, inf, 0), ("rint", nan, nan, 0),
    ("round", 0.5, 0, 0), ("round", 2.5, 2, 0), ("round", inf, inf, 0), ("round", nan, nan, 0),
    ("fix", -1.5, -1, 0), ("fix", 3, 3, 0), ("fix", -inf, -inf, 0), ("fix", nan, nan, 0),
    ("nan_to_num", nan, 0, 0), ("nan_to_num", inf, np.finfo(float).max, 0), ("nan_to_num", 2, 2, 1),
]  # fmt: skip

# function, x, y, value, gradient of x, gradient of y
BINARY = [
    ("floor_divide", 4, 2, 2, 0, 0), ("floor_divide", 1, 0, inf, 0, 0), ("floor_divide", -1, inf, -1, 0, 0),
    ("remainder", 4, 2, 0, 1, -2), ("remainder", -1, 3, 2, 1, 1), ("remainder", 1, inf, 1, 1, 0),
    ("remainder", -1, inf, inf, 1, 1), ("remainder", nan, 1, nan, 1, nan), ("mod", 5, -3, -1, 1, 2),
    ("fmod", 4, 2, 0, 1, -2), ("fmod", -1, 3, -1, 1, 0), ("fmod", -5, 3, -2, 1, 1), ("fmod", 1, inf, 1, 1, 0),
    ("fmod", 1, 0, nan, 1, nan),
    ("hypot", 0, 0, 0, 0, 0), ("hypot", 3, -4, 5, 0.6, -0.8), ("hypot", 3e200, 4e200, 5e200, 0.6, 0.8),
    ("hypot", 3e-200, 4e-200, 5e-200, 0.6, 0.8), ("hypot", 0, -2, 2, 0, -1), ("hypot", 1, inf, inf, 0, nan),
    ("hypot", nan, 1, nan, nan, nan),
    ("arctan2", 0, 0, 0, 0, 0), ("arctan2", 1, 0, pi / 2, 0, -1), ("arctan2", 0, 2, 0, 0.5, 0),
    ("arctan2", 0, -2, pi, -0.5, 0), ("arctan2", 3e200, 4e200, np.arctan2(3, 4), 1.6e-201, -1.2e-201),
    ("arctan2", 3e-200, 4e-200, np.arctan2(3, 4), 1.6e199, -1.2e199), ("arctan2", 1, inf, 0, 0, 0),
    ("arctan2", inf, inf, pi / 4, 0, 0), ("arctan2", nan, 1, nan, nan, nan),
    ("logaddexp", -inf, -inf, -inf, 0, 0), ("logaddexp", -inf, 1, 1, 0, 1), ("logaddexp", inf, 1, inf, 1, 0),
    ("logaddexp", 1e4, 1e4, 1e4 + math.log(2), 0.5, 0.5), ("logaddexp", 1e4, -1e4, 1e4, 1, 0),
    ("logaddexp", inf, inf, inf, 0.5, 0.5), ("logaddexp", nan, 1, nan, nan, nan),
    ("logaddexp2", -inf, -inf, -inf, 0, 0), ("logaddexp2", 3, 3, 4, 0.5, 0.5), ("logaddexp2", 1, -inf, 1, 1, 0),
    ("copysign", -2, 3, 2, -1, 0), ("copysign", 2, -0.0, -2, -1, 0), ("copysign", 0, -1, 0, 0, 0),
    ("copysign", inf, -1, -inf, -1, 0),
    ("heaviside", 0, 0.5, 0.5, 0, 1), ("heaviside", -1, 0.5, 0, 0, 0), ("heaviside", 2, 0.5, 1, 0, 0),
    ("heaviside", nan, 0.5, nan, 0, 0),
    ("fmax", 1, 1, 1, 0.5, 0.5), ("fmax", nan, 1, 1, 0, 1), ("fmax", 1, nan, 1, 1, 0), ("fmax", 2, 1, 2, 1, 0),
    ("fmax", nan, nan, nan, 0.5, 0.5), ("fmax", inf, inf, inf, 0.5, 0.5), ("fmax", -inf, nan, -inf, 1, 0),
    ("fmin", 1, 1, 1, 0.5, 0.5), ("fmin", nan, 1, 1, 0, 1), ("fmin", 1, nan, 1, 1, 0), ("fmin", 2, 1, 1, 0, 1),
    ("fmin", nan, nan, nan, 0.5, 0.5), ("fmin", inf, nan, inf, 1, 0),
    ("float_power", 0, 0, 1, 0, 0), ("float_power", 0, 2, 0, 0, 0), ("float_power", -2, 2, 4, -4, nan),
    ("true_divide", 1, 0, inf, inf, -inf),
]  # fmt: skip


@pytest.mark.parametrize(("name", "x", "value", "gradient"), UNARY)
@pytest.mark.parametrize("shape", [(), (1,), (2, 1)])
def test_one_argument_at_the_edges(name: str, x: float, value: float, gradient: float, shape: tuple[int, ...]) -> None:
    out, (d,) = run(getattr(np, name), np.full(shape, x))
    assert_same(out, np.full(shape, value))
    assert_same(d, np.full(shape, gradient))


@pytest.mark.parametrize(("name", "x", "y", "value", "gx", "gy"), BINARY)
def test_two_arguments_at_the_edges(name: str, x: float, y: float, value: float, gx: float, gy: float) -> None:
    for left, right in [((), ()), ((2,), (2,)), ((2, 1), (2, 1))]:
        out, (dx, dy) = run(getattr(np, name), np.full(left, x), np.full(right, y))
        assert_same(out, np.full(left, value))
        assert_same(dx, np.full(left, gx))
        assert_same(dy, np.full(right, gy))


@pytest.mark.parametrize("name", sorted({row[0] for row in UNARY}))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_empty_arrays(name: str, dtype: type) -> None:
    out, (d,) = run(getattr(np, name), np.zeros((2, 0)), dtype=dtype)
    assert out.shape == d.shape == (2, 0)
    assert out.dtype == d.dtype == dtype


@pytest.mark.parametrize("name", sorted({row[0] for row in BINARY} - {"float_power"}))
def test_empty_and_broadcast_arrays(name: str) -> None:
    out, (dx, dy) = run(getattr(np, name), np.zeros((2, 0, 1)), np.ones((1, 3)), dtype=np.float32)
    assert (out.shape, dx.shape, dy.shape) == ((2, 0, 3), (2, 0, 1), (1, 3))
    assert out.dtype == dx.dtype == dy.dtype == np.float32
    assert not dy.any()


# ---- kinks and cancellation, at higher orders


def test_sinc_keeps_its_digits_near_zero() -> None:
    for x in (0.0, 1e-12, 1e-8, 3e-5):
        first, second, third = derivatives(np.sinc, x, 3)
        assert first == pytest.approx(-(pi**2) * x / 3, rel=1e-8, abs=0)
        assert second == pytest.approx(-(pi**2) / 3, rel=1e-8)
        assert third == pytest.approx(pi**4 * x / 5, rel=1e-8, abs=0)
    for end in (1 / pi, -1 / pi):  # where the series meets the closed form
        below, above = (derivatives(np.sinc, end * (1 + side * 1e-15), 3) for side in (-1, 1))
        assert below != above
        assert below == pytest.approx(above, rel=1e-12)


def test_sinc_of_single_precision_near_zero() -> None:
    _, (d,) = run(np.sinc, [1e-6, 1e-3, 0.1], dtype=np.float32)
    expected = [-3.2898681e-06, -3.2898649e-03, -0.3257513]
    np.testing.assert_allclose(d, np.array(expected, np.float32), rtol=1e-5, strict=True)


def test_the_origin_to_second_order() -> None:
    for f in (np.hypot, np.arctan2):
        x, y = (tg.tensor([0.0, 3.0], requires_grad=True) for _ in range(2))
        first = tg.gradients(f(x, y), [x, y], np.ones(2), create_graph=True)
        second = tg.gradients([d.sum() for d in first], [x, y])
        for d in (*first, *second):
            assert d.data[0] == 0.0
            assert np.isfinite(d.data).all()


def test_logaddexp_to_second_order_at_a_tie() -> None:
    """A share by pieces, e^-|x - y| and so on, would lose the curvature where both are equal."""
    for f, curvature in ((np.logaddexp, 0.25), (np.logaddexp2, 0.25 * math.log(2))):
        assert derivatives(lambda t, f=f: f(t, 2.0), 2.0, 3) == pytest.approx([0.5, curvature, 0.0], abs=1e-15)
        assert derivatives(lambda t, f=f: f(-inf, t), 2.0, 2) == [1.0, 0.0]


def test_logaddexp_keeps_its_digits_where_the_result_is_large() -> None:
    share = 1 / (1 + math.exp(-2.0))
    _, (dx, dy) = run(np.logaddexp, 1e6 + 2.0, 1e6)
    assert_same(dx, share)
    assert_same(dy, 1 - share)
    _, (dx, _) = run(np.logaddexp, 1002.0, 1000.0, dtype=np.float32)
    assert dx == pytest.approx(share, rel=2e-7)


def test_no_fault_is_raised_where_both_are_minus_infinity() -> None:
    x = tg.tensor([-inf, 0.0], requires_grad=True)
    np.logaddexp(x, x).sum().backward()  # floating-point faults raise in tests
    assert_same(x.grad, [0, 1])


# ---- ldexp and float_power


def test_ldexp_scales_exactly() -> None:
    x = tg.tensor(np.array([0.75, -3.0], np.float32), requires_grad=True)
    out = np.ldexp(x, np.array([[3], [-2]]))
    np.testing.assert_array_equal(out.data, np.ldexp(x.data, np.array([[3], [-2]])), strict=True)
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, np.array([8.25, 8.25], np.float32), strict=True)
    assert_same(np.ldexp(tg.tensor(3.0), tg.tensor(4)).data, 48)


def test_float_power_widens_values_and_not_gradients() -> None:
    for kind in (np.float16, np.float32, np.float64):
        x, y = tg.tensor(np.array([2.0, 0.5], kind), requires_grad=True), tg.tensor(kind(3.0), requires_grad=True)
        out = np.float_power(x, y)
        np.testing.assert_array_equal(out.data, np.float_power(x.data, y.data), strict=True)
        first = tg.gradients(out, [x, y], np.ones(2), create_graph=True)
        second = tg.gradients([d.sum() for d in first], [x, y])
        assert [d.dtype for d in (*first, *second)] == [np.dtype(kind)] * 4
        assert_same(first[0].data.astype(float), [12, 0.75], 1e-3)
    assert np.float_power(tg.tensor([2, 3]), -2).data == pytest.approx([1 / 4, 1 / 9])
    assert np.float_power(2, tg.tensor([0.5], requires_grad=True)).dtype == np.float64


def test_float_power_against_numbers(rng: np.random.Generator) -> None:
    arrays = [rng.uniform(0.5, 2.0, (2, 3)), rng.uniform(-1.0, 2.0, 3)]
    inputs = [tg.tensor(a, requires_grad=True) for a in arrays]
    first = tg.gradients(np.float_power(*inputs), inputs, np.ones((2, 3)), create_graph=True)
    second = tg.gradients([d.sum() for d in first], inputs)

    def slope(moved: list[np.ndarray]) -> float:
        tensors = [tg.tensor(a, requires_grad=True) for a in moved]
        return sum(d.data.sum() for d in tg.gradients(functions.float_power(*tensors), tensors, np.ones((2, 3))))

    for n in range(2):
        expected = differences(lambda moved: np.float_power(*moved).sum(), arrays, n)
        np.testing.assert_allclose(first[n].data, expected, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(second[n].data, differences(slope, arrays, n), rtol=1e-7, atol=1e-7)


# ---- select and choose


def test_select_takes_the_first_that_holds() -> None:
    x, y, z = (tg.tensor(np.full(4, v), requires_grad=True) for v in (1.0, 2.0, 3.0))
    conditions = [tg.tensor([True, False, True, False]), np.array([True, True, False, False])]
    out = np.select(conditions, [x, y], default=z)
    assert_same(out.data, [1, 2, 1, 3])
    out.sum().backward()
    assert_same(x.grad, [1, 0, 1, 0])
    assert_same(y.grad, [0, 1, 0, 0])
    assert_same(z.grad, [0, 0, 0, 1])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_select_and_choose_have_numpys_dtypes(kind: type) -> None:
    a, conditions = np.array([1.0, 2.0], kind), [np.array([True, False]), np.array([True, True])]
    for choices, default in (([a, 1.5], 0), ([2.5, a], 0), ([a, a], 1.5), ([a, np.float64([1.0])], 0), ([3, a], 2)):
        tensors = [tg.tensor(c, requires_grad=True) if c is a else c for c in choices]
        expected = np.select(conditions, choices, default)
        np.testing.assert_array_equal(np.select(conditions, tensors, default).data, expected, strict=True)
        expected = np.choose([1, 0], choices)
        np.testing.assert_array_equal(np.choose([1, 0], tensors).data, expected, strict=True)
    whole = np.select(conditions[:1], [tg.tensor([3, 4])], -1)
    np.testing.assert_array_equal(whole.data, np.array([3, -1]), strict=True)


def test_choose_takes_tensors_everywhere() -> None:
    table = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    out = np.choose(tg.tensor([1, 0]), table)
    assert_same(out.data, [3, 2])
    out.sum().backward()
    assert_same(table.grad, [[0, 1], [1, 0]])
    assert np.choose(np.zeros((2, 1), int), [tg.tensor([1.0, 2.0, 3.0])]).shape == (2, 3)
    assert np.choose(np.zeros(0, int), [tg.tensor(1.0)] * 2).shape == (0,)


def test_what_is_not_selected_is_hidden() -> None:
    bad = tg.tensor([1.0, nan, -1.0], requires_grad=True)
    with np.errstate(all="ignore"):
        for out in (np.select([bad > 0], [bad * 2.0], 5.0), np.choose(np.array([1, 0, 0]), [5.0, bad * 2.0])):
            assert_same(out.data, [2, 5, 5])
            (d,) = tg.gradients(out.sum(), bad)
            assert_same(d.data, [2, 0, 0])


X = tg.tensor([1.0, 2.0], requires_grad=True)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: np.select([True], [X, X]), ValueError, "condlist has 1 entries and choicelist 2"),
        (lambda: functions.select([], []), ValueError, "one at least"),
        (lambda: np.select([np.array([1, 0])], [X]), TypeError, r"condlist\[0\] has dtype int"),
        (lambda: np.choose(np.array([0, 2]), [X, X]), ValueError, "entries from 0 to 2, expected 0 to 1"),
        (lambda: np.choose(np.array([-1, 0]), [X, X]), ValueError, "entries from -1 to 0"),
        (lambda: np.choose(X, [X, X]), TypeError, "dtype float64, expected integers"),
        (lambda: np.choose(np.array([0]), [X], mode="warp"), ValueError, "mode is 'warp'"),
        (lambda: functions.choose(np.array([0]), []), ValueError, "choices is empty"),
        (lambda: np.interp(X, [0.0, 1.0], [0.0]), ValueError, r"xp has shape \(2,\) and fp \(1,\)"),
        (lambda: np.interp(X, [], []), ValueError, "not empty"),
        (lambda: np.interp(X, [0.0], [1.0], period=0), ValueError, "period is 0"),
    ],
)
def test_bad_calls_say_what_is_wrong(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# ---- interp

KNOTS, HEIGHTS = [0.0, 1.0, 3.0], [2.0, 4.0, 0.0]


def test_interp_at_knots_and_beyond() -> None:
    x = [-inf, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0, inf, nan]
    out, (d, dk, df) = run(np.interp, x, KNOTS, HEIGHTS)
    assert_same(out, np.interp(x, KNOTS, HEIGHTS))
    assert_same(d, [0, 0, 2, 2, -2, -2, 0, 0, 0, -2])
    assert np.isfinite(dk[0])
    out, (d, dk, df) = run(np.interp, x[:-1], KNOTS, HEIGHTS)
    assert_same(df, [3.5, 2.0, 3.5])
    assert np.isfinite(dk).all()
    left, right = (tg.tensor(v, requires_grad=True) for v in (-5.0, 7.0))
    with pytest.raises(TypeError, match="would lose its gradient"):  # NumPy does not ask what left and right are
        np.interp(np.array(x[:-1]), KNOTS, HEIGHTS, left=left, right=right)
    out = functions.interp(np.array(x[:-1]), KNOTS, HEIGHTS, left=left, right=right)
    assert_same(out.data, np.interp(x[:-1], KNOTS, HEIGHTS, left=-5.0, right=7.0))
    out.sum().backward()
    assert_same(left.grad, 2)
    assert_same(right.grad, 2)


@pytest.mark.parametrize("period", [None, 2.5, -2.5])
def test_interp_is_numpys(period: float | None, rng: np.random.Generator) -> None:
    for size in (1, 2, 7):
        xp, fp = np.sort(rng.uniform(-1.0, 1.0, size)), rng.normal(size=size)
        x = np.concatenate([rng.uniform(-4.0, 4.0, 40), xp, np.repeat(xp[-1:], 2)]).reshape(1, -1)
        for inputs in ((tg.tensor(x, requires_grad=True), xp, fp), (x, xp, tg.tensor(fp, requires_grad=True))):
            out = np.interp(*inputs, period=period)
            np.testing.assert_allclose(out.data, np.interp(x, xp, fp, period=period), rtol=1e-12, atol=1e-12)
            out.sum().backward()
    assert_same(np.interp(tg.tensor(0.5), [0, 1], [0, 3]).data, 1.5)
    assert_same(np.interp(0.5, [0, 1], tg.tensor([0.0, 3.0])).data, 1.5)


def test_interp_beside_infinite_values_and_repeated_knots() -> None:
    for xp, fp in (([0.0, 1.0, 2.0], [1.0, 2.0, inf]), ([0.0, 1.0, 1.0], [1.0, 2.0, 5.0]), ([1.0, 1.0], [2.0, 3.0])):
        x = [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0]
        out, (d, *_) = run(np.interp, x, xp, fp)
        with np.errstate(all="ignore"):
            assert_same(out, np.interp(x, xp, fp))
        assert np.isfinite(d).all()


def test_interp_keeps_single_precision() -> None:
    x, xp, fp = (np.array(v, np.float32) for v in ([0.25, 2.0], KNOTS, HEIGHTS))
    inputs = [tg.tensor(v, requires_grad=True) for v in (x, xp, fp)]
    for out in (np.interp(*inputs), np.interp(0.25, *inputs[1:]), np.interp(*inputs, left=0.0, period=4.0)):
        assert out.dtype == np.float32
    assert np.interp(x, xp, tg.tensor(HEIGHTS, requires_grad=True)).dtype == np.float64


# ---- what is refused

REFUSED = [
    (lambda: np.floor(X, where=np.array([True, False])), "where="), (lambda: np.mod(X, 2.0, dtype=float), "dtype="),
    (lambda: np.divmod(X, 2.0, where=np.array([True, False])), "where="),
    (lambda: np.float_power(X, 2.0, dtype=float), "dtype="),
    (lambda: np.round(X, out=np.zeros(2)), "'out'"), (lambda: np.fix(X, out=np.zeros(2)), "'out'"),
    (lambda: np.isposinf(X, out=np.zeros(2, bool)), "'out'"), (lambda: np.nan_to_num(X, copy=False), "copy=False"),
    (lambda: np.choose(np.array([0, 1]), [X, X], out=np.zeros(2)), "out="),
    (lambda: np.ldexp(X, X), "ldexp"), (lambda: np.hypot(X, X, out=np.zeros(2)), "out="),
    (lambda: np.floor(X, out=np.zeros(2)), "out="),
]  # fmt: skip


@pytest.mark.parametrize("n", range(len(REFUSED)))
def test_unsupported_arguments_are_named(n: int) -> None:
    call, word = REFUSED[n]
    with pytest.raises(TypeError, match=word):
        call()


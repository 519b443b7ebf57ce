"""Values and gradients at zero, infinity, NaN, at ties, and for empty and single elements, written down one by one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg

inf, nan = math.inf, math.nan
LN2, LN10 = math.log(2.0), math.log(10.0)


def run(f: Any, inputs: list[Any], g: Any = None, dtype: Any = float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the value of f and the gradients of its inputs, with faults of floating point ignored."""
    tensors = [tg.tensor(np.array(x, dtype=dtype), requires_grad=True) for x in inputs]
    with np.errstate(all="ignore"):
        out = f(*tensors)
        out.backward(np.ones(out.shape) if g is None else np.array(g, dtype=float))
    return out.data, [t.grad for t in tensors]


def check_same(found: Any, expected: Any, tolerance: float = 1e-14) -> None:
    np.testing.assert_allclose(found, np.array(expected, dtype=float), rtol=tolerance, atol=1e-300, strict=True)


# function, x, value, gradient
UNARY = [
    ("exp", 0, 1, 1), ("exp", -inf, 0, 0), ("exp", inf, inf, inf), ("exp", nan, nan, nan),
    ("expm1", 0, 0, 1), ("expm1", -inf, -1, 0), ("expm1", inf, inf, inf), ("expm1", nan, nan, nan),
    ("exp2", 0, 1, LN2), ("exp2", -inf, 0, 0), ("exp2", inf, inf, inf), ("exp2", nan, nan, nan),
    ("log", 0, -inf, inf), ("log", 1, 0, 1), ("log", inf, inf, 0), ("log", nan, nan, nan),
    ("log1p", -1, -inf, inf), ("log1p", 0, 0, 1), ("log1p", inf, inf, 0), ("log1p", nan, nan, nan),
    ("log2", 0, -inf, inf), ("log2", 1, 0, 1 / LN2), ("log2", inf, inf, 0), ("log2", nan, nan, nan),
    ("log10", 0, -inf, inf), ("log10", 1, 0, 1 / LN10), ("log10", inf, inf, 0), ("log10", nan, nan, nan),
    ("sqrt", 0, 0, inf), ("sqrt", inf, inf, 0), ("sqrt", nan, nan, nan), ("sqrt", -1, nan, nan),
    ("square", 0, 0, 0), ("square", inf, inf, inf), ("square", -inf, inf, -inf), ("square", nan, nan, nan),
    ("reciprocal", 0, inf, -inf), ("reciprocal", inf, 0, 0), ("reciprocal", -inf, 0, 0), ("reciprocal", nan, nan, nan),
    ("negative", 0, 0, -1), ("negative", inf, -inf, -1), ("negative", nan, nan, -1),
    ("positive", 0, 0, 1), ("positive", -inf, -inf, 1), ("positive", nan, nan, 1),
    ("copy", 0, 0, 1), ("copy", inf, inf, 1), ("copy", nan, nan, 1),
    ("absolute", 0, 0, 0), ("absolute", -0.0, 0, 0), ("absolute", inf, inf, 1), ("absolute", -inf, inf, -1),
    ("absolute", nan, nan, nan),
    ("sign", 0, 0, 0), ("sign", inf, 1, 0), ("sign", -inf, -1, 0), ("sign", nan, nan, 0),
    ("tanh", 0, 0, 1), ("tanh", inf, 1, 0), ("tanh", -inf, -1, 0), ("tanh", nan, nan, nan),
    ("sigmoid", 0, 0.5, 0.25), ("sigmoid", inf, 1, 0), ("sigmoid", -inf, 0, 0), ("sigmoid", nan, nan, nan),
    ("sigmoid", 1e4, 1, 0), ("sigmoid", -1e4, 0, 0),
    ("sin", 0, 0, 1), ("sin", inf, nan, nan), ("cos", 0, 1, 0), ("cos", -inf, nan, nan),
    ("relu", 0, 0, 0), ("relu", -0.0, 0, 0), ("relu", inf, inf, 1), ("relu", -inf, 0, 0), ("relu", 1e-200, 1e-200, 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "x", "value", "gradient"), UNARY)
@pytest.mark.parametrize("shape", [(), (1,), (2, 1)])
def test_functions_of_one_argument(name: str, x: float, value: float, gradient: float, shape: tuple[int, ...]) -> None:
    out, (d,) = run(getattr(tg, name), [np.full(shape, x)])
    check_same(out, np.full(shape, value))
    check_same(d, np.full(shape, gradient))


# function, x, y, value, gradient of x, gradient of y
BINARY = [
    ("add", inf, -inf, nan, 1, 1), ("subtract", inf, inf, nan, 1, -1),
    ("multiply", 0, inf, nan, inf, 0), ("multiply", 0, 0, 0, 0, 0), ("multiply", nan, 2, nan, 2, nan),
    ("divide", 1, 0, inf, inf, -inf), ("divide", 0, 0, nan, inf, nan), ("divide", 1, inf, 0, 0, 0),
    ("divide", inf, 2, inf, 0.5, -inf),
    ("power", 0, 2, 0, 0, 0), ("power", 0, 1, 0, 1, 0), ("power", 0, 0, 1, 0, 0), ("power", 0, 0.5, 0, inf, 0),
    ("power", 0, -1, inf, -inf, -inf), ("power", 2, 0, 1, 0, LN2), ("power", -2, 2, 4, -4, nan),
    ("power", inf, 2, inf, inf, inf),
    ("power", inf, 0, 1, 0, inf), ("power", nan, 0, 1, 0, nan), ("power", 1, 3, 1, 3, 0), ("power", -3, 0, 1, 0, nan),
    ("maximum", 1, 1, 1, 0.5, 0.5), ("maximum", 0.0, -0.0, 0, 0.5, 0.5), ("maximum", inf, inf, inf, 0.5, 0.5),
    ("maximum", inf, 1, inf, 1, 0), ("maximum", -inf, 1, 1, 0, 1), ("maximum", nan, 1, nan, 1, 0),
    ("maximum", 1, nan, nan, 0, 1),
    ("minimum", 1, 1, 1, 0.5, 0.5), ("minimum", -inf, -inf, -inf, 0.5, 0.5), ("minimum", -inf, 1, -inf, 1, 0),
    ("minimum", inf, 1, 1, 0, 1), ("minimum", nan, 1, nan, 1, 0), ("minimum", 1, nan, nan, 0, 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "x", "y", "value", "gx", "gy"), BINARY)
def test_functions_of_two_arguments(name: str, x: float, y: float, value: float, gx: float, gy: float) -> None:
    for left, right in [((), ()), ((2,), (2,)), ((3,), (1,)), ((2, 1), ())]:
        out, (dx, dy) = run(getattr(tg, name), [np.full(left, x), np.full(right, y)])
        shape = np.broadcast_shapes(left, right)
        check_same(out, np.full(shape, value))
        check_same(dx, np.full(left, gx) * (np.prod(shape) / np.prod(left) if gx else 1.0))
        check_same(dy, np.full(right, gy) * (np.prod(shape) / np.prod(right) if gy else 1.0))


@pytest.mark.parametrize(
    ("x", "y", "value", "gradient"),
    [
        (0, 2, 0, 0),
        (0, 1, 0, 1),
        (0, 0, 1, 0),
        (0, 0.5, 0, inf),
        (inf, 0, 1, 0),
        (nan, 0, 1, 0),
        (-2, 3, -8, 12),
        (0, 3, 0, 0),
    ],
)
def test_power_of_a_number(x: float, y: float, value: float, gradient: float) -> None:
    out, (d,) = run(lambda t: t**y, [x])
    check_same(out, value)
    check_same(d, gradient)


def test_power_at_zero_to_second_order() -> None:
    for exponent, second in ((1, 0.0), (2, 2.0), (3, 0.0), (1.0, 0.0), (2.0, 2.0)):
        x = tg.tensor(0.0, requires_grad=True)
        (first,) = tg.gradients(x**exponent, x, create_graph=True)
        assert tg.gradients(first, x)[0].item() == second, exponent


# ---- ties


@pytest.mark.parametrize("name", ["max", "min"])
def test_extremes_share_ties(name: str) -> None:
    f, sign = getattr(tg, name), 1.0 if name == "max" else -1.0
    a = sign * np.array([[3.0, 1.0, 3.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -3.0]])
    _, (d,) = run(lambda t: f(t, axis=1), [a], [1.0, 3.0, 1.0])
    check_same(d, [[0.5, 0, 0.5], [1, 1, 1], [1, 0, 0]])
    _, (d,) = run(f, [a])
    check_same(d, [[0.5, 0, 0.5], [0, 0, 0], [0, 0, 0]])
    _, (d,) = run(f, [sign * np.array([inf, inf, 1.0])])
    check_same(d, [0.5, 0.5, 0])
    _, (d,) = run(f, [[1.0, nan, 2.0]])
    check_same(d, [0, 1, 0])
    _, (d,) = run(f, [[nan, nan, 2.0]])
    check_same(d, [0.5, 0.5, 0])


def test_clip_passes_its_bounds() -> None:
    x = [-inf, -2.0, -1.0, 0.0, 1.0, 2.0, inf, nan]
    out, (d,) = run(lambda t: tg.clip(t, -1.0, 1.0), [x])
    check_same(out, [-1, -1, -1, 0, 1, 1, 1, nan])
    check_same(d, [0, 0, 1, 1, 1, 0, 0, 0])
    for f in (lambda t: t.clip(max=1.0), lambda t: np.clip(t, None, 1.0), lambda t: tg.clip(t, a_max=1.0)):
        check_same(run(f, [x])[1][0], [1, 1, 1, 1, 1, 0, 0, 0])
    check_same(run(lambda t: tg.clip(t, None, None), [[nan, 1.0]])[1][0], [1, 1])
    out, (d,) = run(lambda t: tg.clip(t, 1.0, -1.0), [[0.0, 5.0]])  # bounds that cross: NumPy gives the upper one
    check_same(out, np.clip(np.array([0.0, 5.0]), 1.0, -1.0))
    check_same(d, [0, 0])


def test_clip_gives_its_bounds_what_they_replace() -> None:
    x, low, high = [-2.0, -1.0, 0.0, 1.0, 2.0, nan], -1.0, 1.0
    for f in (np.clip, lambda t, low, high: t.clip(max=high, min=low), lambda t, *ends: tg.clip(t, *ends)):
        _, (d, of_low, of_high) = run(f, [x, low, high])
        check_same(d, [0, 1, 1, 1, 0, 0])
        check_same(of_low, 1)
        check_same(of_high, 1)
    _, (d, of_low, of_high) = run(np.clip, [[0.0, 5.0], 1.0, -1.0])  # they cross, and the upper one is the result
    check_same(d, [0, 0])
    check_same(of_low, 0)
    check_same(of_high, 2)


# ---- products with zeros


@pytest.mark.parametrize("a", [[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [2.0, 0.0, -3.0], [1.0, 2.0, 3.0]])
def test_prod_with_zeros(a: list[float]) -> None:
    def others(*left_out: int) -> float:
        return math.prod(v for k, v in enumerate(a) if k not in left_out)

    x = tg.tensor(a, requires_grad=True)
    (first,) = tg.gradients(x.prod(), x, create_graph=True)
    check_same(first.data, [others(k) for k in range(3)])
    check_same(run(tg.prod, [a])[1][0], [others(k) for k in range(3)])
    for i in range(3):
        (row,) = tg.gradients(first[i], x, create_graph=True, retain_graph=True)
        check_same(row.data, [0.0 if i == k else others(i, k) for k in range(3)])
        for j in range(3):
            if i != j and row.requires_grad:
                (third,) = tg.gradients(row[j], x, retain_graph=True)
                check_same(third.data, [0.0 if k in (i, j) else 1.0 for k in range(3)])


def test_prod_beyond_the_range() -> None:
    check_same(run(tg.prod, [[inf, 2.0]])[1][0], [2, inf])
    check_same(run(tg.prod, [[1e-200, 1e-200]])[1][0], [1e-200, 1e-200])
    check_same(run(tg.prod, [[1e200, 1e200, 0.5]])[1][0], [0.5e200, 0.5e200, inf])
    check_same(run(lambda t: t.prod(axis=0), [[[nan, 0.0], [2.0, 5.0]]])[1][0], [[2, 5], [nan, 0]])


# ---- where


def test_where_hides_what_it_does_not_select() -> None:
    condition = np.array([True, False])
    for bad in (nan, inf, -inf):
        out, (dx, dy) = run(lambda x, y: np.where(condition, x, y), [[1.0, bad], [bad, 2.0]])
        check_same(out, [1, 2])
        check_same(dx, [1, 0])
        check_same(dy, [0, 1])
        _, (dx, dy) = run(lambda x, y: np.where(condition, x, y), [[1.0, 2.0], [3.0, 4.0]], [bad, 1.0])
        check_same(dx, [bad, 0])
        check_same(dy, [0, 1])
        _, (dx, dy) = run(lambda x, y: np.where(condition, x, y), [[1.0, bad], 2.0])
        check_same(dx, [1, 0])
        check_same(dy, 1)


# ---- logsumexp, var, std


@pytest.mark.parametrize(
    ("a", "value", "gradient"),
    [
        ([-inf, -inf], -inf, [0, 0]), ([-inf, 0.0], 0, [0, 1]), ([1e3, 1e3], 1e3 + LN2, [0.5, 0.5]),
        ([-1e3, 0.0], 0, [0, 1]),
        ([-1e300, -1e300], -1e300, [0.5, 0.5]), ([inf, 0.0], inf, [1, 0]), ([inf, 1e4, inf], inf, [0.5, 0, 0.5]),
        ([nan, 0.0], nan, [nan, nan]),
        ([7.0], 7, [1]),
    ],
)  # fmt: skip
def test_logsumexp(a: list[float], value: float, gradient: list[float]) -> None:
    out, (d,) = run(tg.logsumexp, [a])
    check_same(out, value)
    check_same(d, gradient, 1e-12)  # the result of 1000 and more is rounded, and so is its exponential


@pytest.mark.parametrize("a", [[2.0], [2.0, 2.0, 2.0], [[0.5, 0.5]]])
def test_std_and_var_of_constants(a: Any) -> None:
    for f in (tg.std, tg.var):
        out, (d,) = run(f, [a])
        check_same(out, 0.0)
        check_same(d, np.zeros(np.shape(a)))
    x = tg.tensor(a, requires_grad=True)
    (first,) = tg.gradients(x.std(), x, create_graph=True)
    assert np.isfinite(tg.gradients(first.sum(), x)[0].data).all()


def test_std_along_one_axis_with_a_constant_row() -> None:
    a = np.array([[1.0, 1.0], [1.0, 3.0]])
    out, (d,) = run(lambda t: t.std(axis=1), [a])
    check_same(out, [0, 1])
    check_same(d, [[0, 0], [-0.5, 0.5]])


@pytest.mark.filterwarnings("ignore:Degrees of freedom")
def test_too_few_degrees_of_freedom() -> None:
    for f in (tg.var, tg.std):
        out, (d,) = run(lambda t, f=f: f(t, ddof=1), [[3.0]])
        check_same(out, nan)
        check_same(d, [nan])


# ---- empty arrays and axes of length 1


EMPTY = {
    "sum": (lambda t: t.sum(axis=1), np.zeros(2)), "prod": (lambda t: t.prod(axis=1), np.ones(2)),
    "logsumexp": (lambda t: tg.logsumexp(t, axis=1), np.full(2, -inf)), "exp": (np.exp, np.zeros((2, 0))),
    "add": (lambda t: t + 1.0, np.zeros((2, 0))), "matmul": (lambda t: t @ np.zeros((0, 3)), np.zeros((2, 3))),
    "max": (lambda t: t.max(axis=0), np.zeros(0)), "mean": (lambda t: t.mean(axis=0), np.zeros(0)),
    "var": (lambda t: t.var(axis=0), np.zeros(0)), "std": (lambda t: t.std(axis=0), np.zeros(0)),
    "ravel": (np.ravel, np.zeros(0)), "transpose": (np.transpose, np.zeros((0, 2))),
    "getitem": (lambda t: t[1], np.zeros(0)), "mask": (lambda t: t[np.zeros((2, 0), bool)], np.zeros(0)),
    "concatenate": (lambda t: np.concatenate([t, t], axis=1), np.zeros((2, 0))),
    "einsum": (lambda t: np.einsum("ij->i", t), np.zeros(2)),
    "affine": (lambda t: tg.affine(t, np.zeros((0, 3)), np.ones(3)), np.ones((2, 3))),
    "affine_relu": (lambda t: tg.affine_relu(t, np.zeros((0, 3)), np.ones(3)), np.ones((2, 3))),
    "l2_penalty": (lambda t: tg.l2_penalty(t, 1.0), np.zeros(())),
    "clip": (lambda t: tg.clip(t, 0.0, 1.0), np.zeros((2, 0))),
    "where": (lambda t: np.where(True, t, 0.0), np.zeros((2, 0))), "relu": (tg.relu, np.zeros((2, 0))),
    "stack": (lambda t: np.stack([t, t]), np.zeros((2, 2, 0))), "set": (lambda t: t.at[0].set(1.0), np.zeros((2, 0))),
}  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
def test_empty_arrays(name: str) -> None:
    f, value = EMPTY[name]
    for dtype in (np.float64, np.float32):
        out, (d,) = run(f, [np.zeros((2, 0))], dtype=dtype)
        np.testing.assert_array_equal(out, value)
        assert d.shape == (2, 0)
        assert d.dtype == dtype


@pytest.mark.parametrize("name", ["mean", "var", "std"])
@pytest.mark.filterwarnings("ignore:Mean of empty", "ignore:Degrees of freedom")
def test_averages_of_nothing(name: str) -> None:
    out, (d,) = run(getattr(tg, name), [np.zeros((2, 0))])
    check_same(out, nan)
    check_same(d, np.zeros((2, 0)))
    out, (d,) = run(lambda t: getattr(tg, name)(t, axis=1), [np.zeros((2, 0))])
    check_same(out, [nan, nan])
    check_same(d, np.zeros((2, 0)))


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_extremes_of_nothing_raise(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: .*\(2, 0\)"):
        getattr(tg, name)(tg.tensor(np.zeros((2, 0)), requires_grad=True))


ONE = {
    "sum": 1.0, "mean": 1.0, "max": 1.0, "min": 1.0, "prod": 1.0, "logsumexp": 1.0, "var": 0.0, "std": 0.0,
}  # fmt: skip


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ONE)
def test_axes_of_length_one(name: str, keepdims: bool) -> None:
    a = np.array([[[2.0], [0.0], [-3.0]]])  # (1, 3, 1)
    for axis in (0, 2, (0, 2), -1):
        out, (d,) = run(lambda t, axis=axis: getattr(tg, name)(t, axis=axis, keepdims=keepdims), [a])
        assert out.shape == np.sum(a, axis=axis, keepdims=keepdims).shape
        check_same(d, np.full(a.shape, ONE[name]))


def test_broadcast_axes_of_length_one() -> None:
    _, (dx, dy) = run(tg.multiply, [np.full((1, 3), 2.0), np.full((4, 1), 5.0)])
    check_same(dx, np.full((1, 3), 20.0))
    check_same(dy, np.full((4, 1), 6.0))
    _, (dx, dy) = run(tg.add, [np.zeros((0, 1)), np.zeros((1, 3))])
    check_same(dx, np.zeros((0, 1)))
    check_same(dy, np.zeros((1, 3)))
    _, (dx, dy) = run(tg.add, [np.zeros((1, 1, 1)), 3.0])
    check_same(dx, np.ones((1, 1, 1)))
    check_same(dy, 1.0)


# ---- the losses


def test_losses_at_the_edges() -> None:
    for f in (tg.softmax_loss, tg.softmax_loss.op.compose):
        out, (d,) = run(lambda t, f=f: f(t, np.array([0, 1])), [[[1e4, -1e4], [1e4, -1e4]]])
        check_same(out, 1e4)
        check_same(d, [[0, 0], [0.5, -0.5]])
        out, (d,) = run(lambda t, f=f: f(t, np.array([0])), [[[5.0]]])  # a single class: nothing to learn
        check_same(out, 0.0)
        check_same(d, [[0.0]])
        out, (d,) = run(lambda t, f=f: f(t, np.array([1])), [[[-inf, 0.0]]])
        check_same(out, 0.0)
        check_same(d, [[0, 0]])
    for f in (tg.svm_loss, tg.svm_loss.op.compose):
        out, (d,) = run(lambda t, f=f: f(t, np.array([0])), [[[2.0, 1.0, 0.0]]])  # a margin of exactly 0
        check_same(out, 0.0)
        check_same(d, [[0, 0, 0]])
        out, (d,) = run(lambda t, f=f: f(t, np.array([0])), [[[1.0, 1.0, 1.0]]])
        check_same(out, 2.0)
        check_same(d, [[-2, 1, 1]])


def test_relu_at_zero_is_one_thing_everywhere() -> None:
    """The fused layer, relu and both compositions have gradient 0 where the result of the layer is 0."""
    x, w, b = np.zeros((2, 3)), np.ones((3, 4)), np.zeros(4)
    for f in (
        tg.affine_relu,
        tg.affine_relu.op.compose,
        lambda *a: tg.relu(tg.affine(*a)),
        lambda *a: tg.relu.op.compose(tg.affine(*a)),
    ):
        _, found = run(f, [x, w, b])
        for d in found:
            assert not d.any()

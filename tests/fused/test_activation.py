"""Activations at kinks, in the tails, at infinity and NaN, in every precision, and with arguments that do not fit."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.engine.node import Node

inf, nan = math.inf, math.nan
SCALE, SELU_LOW = 1.0507009873554805, 1.0507009873554805 * 1.6732632423543772
ELEMENTWISE = [
    "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "log_sigmoid", "hardtanh", "sigmoid", "tanh", "relu",
]  # fmt: skip


def value_and_slope(f: Any, x: Any, dtype: Any = float) -> tuple[Any, Any]:
    t = tg.tensor(np.array(x, dtype), requires_grad=True)
    with np.errstate(all="ignore"):
        out = f(t)
        out.backward(np.ones(out.shape, out.dtype))
    return out.data, t.grad


# function, arguments, x, value, gradient
EDGES = [
    ("leaky_relu", {}, 0.0, 0.0, 0.01), ("leaky_relu", {}, -0.0, 0.0, 0.01), ("leaky_relu", {}, inf, inf, 1.0),
    ("leaky_relu", {}, -inf, -inf, 0.01), ("leaky_relu", {}, nan, nan, 0.01), ("leaky_relu", {}, -1e4, -100.0, 0.01),
    ("leaky_relu", {"negative_slope": 0}, inf, inf, 1.0), ("leaky_relu", {"negative_slope": 0}, -inf, 0.0, 0.0),
    ("leaky_relu", {"negative_slope": 0}, nan, nan, 0.0), ("leaky_relu", {"negative_slope": 0}, -7.0, 0.0, 0.0),
    ("leaky_relu", {"negative_slope": 2}, -3.0, -6.0, 2.0),
    ("leaky_relu", {"negative_slope": 2}, 3.0, 3.0, 1.0), ("leaky_relu", {"negative_slope": 2}, nan, nan, 2.0),
    ("elu", {}, 0.0, 0.0, 1.0), ("elu", {"alpha": 0.5}, 0.0, 0.0, 0.5), ("elu", {"alpha": 3}, 0.0, 0.0, 3.0),
    ("elu", {"alpha": 3}, 2.0, 2.0, 1.0), ("elu", {"alpha": 0.5}, 2.0, 2.0, 1.0), ("elu", {}, -1e4, -1.0, 0.0),
    ("elu", {}, inf, inf, 1.0), ("elu", {"alpha": 0.5}, -inf, -0.5, 0.0), ("elu", {}, nan, nan, nan),
    ("elu", {}, 1e4, 1e4, 1.0), ("elu", {}, -1e-12, math.expm1(-1e-12), math.exp(-1e-12)),
    ("selu", {}, 0.0, 0.0, SELU_LOW), ("selu", {}, 2.0, 2 * SCALE, SCALE), ("selu", {}, -inf, -SELU_LOW, 0.0),
    ("selu", {}, -1e4, -SELU_LOW, 0.0), ("selu", {}, inf, inf, SCALE), ("selu", {}, nan, nan, nan),
    ("gelu", {}, 0.0, 0.0, 0.5), ("gelu", {}, 1e4, 1e4, 1.0), ("gelu", {}, -1e4, 0.0, 0.0), ("gelu", {}, nan, nan, nan),
    ("gelu", {}, -inf, nan, nan),
    ("gelu", {"approximate": "tanh"}, 0.0, 0.0, 0.5), ("gelu", {"approximate": "tanh"}, 1e4, 1e4, 1.0),
    ("gelu", {"approximate": "tanh"}, -1e4, 0.0, 0.0), ("gelu", {"approximate": "tanh"}, 1e200, 1e200, 1.0),
    ("gelu", {"approximate": "tanh"}, nan, nan, nan), ("gelu", {"approximate": "tanh"}, -inf, nan, nan),
    ("silu", {}, 0.0, 0.0, 0.5), ("silu", {}, 1e4, 1e4, 1.0), ("silu", {}, -1e4, 0.0, 0.0), ("silu", {}, nan, nan, nan),
    ("silu", {}, -inf, nan, nan), ("silu", {}, inf, inf, nan), ("gelu", {}, inf, inf, nan),
    ("gelu", {"approximate": "tanh"}, inf, inf, nan),
    ("softplus", {}, 0.0, math.log(2.0), 0.5), ("softplus", {}, 1e4, 1e4, 1.0), ("softplus", {}, -1e4, 0.0, 0.0),
    ("softplus", {}, inf, inf, 1.0), ("softplus", {}, -inf, 0.0, 0.0), ("softplus", {}, nan, nan, nan),
    ("softplus", {"beta": 4}, 0.0, math.log(2.0) / 4, 0.5), ("softplus", {"beta": 0.5}, 1e4, 1e4, 1.0),
    ("softplus", {"beta": 4}, 1e308, 1e308, 1.0), ("softplus", {"beta": 4}, -1e308, 0.0, 0.0),
    ("softplus", {"beta": 1e-3}, 1e308, 1e308, 1.0), ("softplus", {"beta": 4}, -inf, 0.0, 0.0),
    ("softplus", {"beta": 4}, inf, inf, 1.0), ("softplus", {"beta": 4}, nan, nan, nan),
    ("softplus", {}, -40.0, math.exp(-40.0), math.exp(-40.0)),
    ("log_sigmoid", {}, 0.0, -math.log(2.0), 0.5), ("log_sigmoid", {}, -1e4, -1e4, 1.0),
    ("log_sigmoid", {}, 1e4, 0.0, 0.0), ("log_sigmoid", {}, -inf, -inf, 1.0), ("log_sigmoid", {}, inf, 0.0, 0.0),
    ("log_sigmoid", {}, nan, nan, nan), ("log_sigmoid", {}, 40.0, -math.exp(-40.0), math.exp(-40.0)),
    ("hardtanh", {}, 1.0, 1.0, 0.0), ("hardtanh", {}, -1.0, -1.0, 0.0), ("hardtanh", {}, 0.999, 0.999, 1.0),
    ("hardtanh", {}, inf, 1.0, 0.0), ("hardtanh", {}, -1e4, -1.0, 0.0), ("hardtanh", {}, nan, nan, 1.0),
    ("hardtanh", {"min_val": 0, "max_val": inf}, 0.0, 0.0, 0.0),
    ("hardtanh", {"min_val": 0, "max_val": inf}, 7.0, 7.0, 1.0),
    ("sigmoid", {}, -600.0, math.exp(-600.0), math.exp(-600.0)), ("sigmoid", {}, 1e4, 1.0, 0.0),
    ("tanh", {}, 1e-9, 1e-9, 1.0), ("tanh", {}, -1e4, -1.0, 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "x", "value", "slope"), EDGES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_edges(name: str, options: dict[str, Any], x: float, value: float, slope: float, shape: tuple[int]) -> None:
    out, d = value_and_slope(lambda t: getattr(tg, name)(t, **options), np.full(shape, x))
    np.testing.assert_allclose(out, np.full(shape, value), rtol=1e-14, atol=1e-300, strict=True)
    np.testing.assert_allclose(d, np.full(shape, slope), rtol=1e-14, atol=1e-300, strict=True)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_fused_and_composed_agree_at_zero_to_second_order(name: str) -> None:
    """Where the function has a kink both take the same side, and where it has none both are smooth."""
    found = []
    for f in (getattr(tg, name), getattr(tg, name).op.compose):
        x = tg.tensor([0.0, -0.0], requires_grad=True)
        (first,) = tg.gradients(f(x), x, np.ones(2), create_graph=True)
        (second,) = tg.gradients(first, x, np.ones(2)) if first.requires_grad else (tg.tensor([0.0, 0.0]),)
        found.append([first.data, second.data])
    np.testing.assert_allclose(*found, rtol=1e-14, atol=1e-15)


SECOND = {"sigmoid": 0.0, "tanh": 0.0, "softplus": 0.25, "log_sigmoid": -0.25, "silu": 0.5}
SECOND["gelu"] = 2.0 / math.sqrt(2.0 * math.pi)


@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives_at_zero(name: str) -> None:
    x = tg.tensor(0.0, requires_grad=True)
    (first,) = tg.gradients(getattr(tg, name)(x), x, create_graph=True)
    assert tg.gradients(first, x)[0].item() == pytest.approx(SECOND[name], abs=1e-15)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_the_forms_by_exponentials_have_all_digits(name: str) -> None:
    x = np.array([1e-200, 1e-17, 1e-9, 1e-3, 0.3, 2.0, 19.0, 36.0, 300.0])
    for sign in (1.0, -1.0):
        expected = getattr(tg, name)(sign * x).data
        found = getattr(tg, name).op.compose(tg.tensor(sign * x)).data
        np.testing.assert_allclose(found, expected, rtol=2e-15)


@pytest.mark.parametrize("name", [*ELEMENTWISE, "softmax", "log_softmax"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_every_precision_at_large_values(name: str, dtype: Any) -> None:
    """1e4 and -1e4 raise nothing, widen nothing, and give finite values and gradients."""
    x = tg.tensor(np.array([-1e4, -12.0, -1.0, 0.5, 12.0, 1e4], dtype), requires_grad=True)
    if name == "gelu" and dtype is np.longdouble:
        with pytest.raises(TypeError, match="^gelu: .*ndtr"):  # SciPy has no extended precision
            tg.gelu(x)
        return
    with np.errstate(under="ignore"):
        out = getattr(tg, name)(x)
        out.backward(np.ones(6, dtype))
    assert out.dtype == x.grad.dtype == dtype
    assert np.isfinite(out.data).all()
    assert np.isfinite(x.grad).all()
    if dtype is np.longdouble:
        return  # nothing of ours is more precise to compare it with
    wide, slopes = value_and_slope(getattr(tg, name), x.data.astype(float))
    tolerance = {2: 4e-3, 4: 2e-6}.get(np.dtype(dtype).itemsize, 1e-14)
    np.testing.assert_allclose(out.data.astype(float), wide, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(x.grad.astype(float), slopes, rtol=tolerance, atol=tolerance)


def test_half_precision_keeps_small_shares() -> None:
    """exp(12) is infinite in half precision, and sigmoid(-12) is no 0 there."""
    x = np.array([-12.0], np.float16)
    assert tg.sigmoid(x).item() == pytest.approx(6.14e-6, rel=1e-2)
    assert tg.silu(x).item() == pytest.approx(-7.37e-5, rel=1e-2)


@pytest.mark.parametrize("name", [*ELEMENTWISE[:9], "relu", "softmax", "log_softmax"])
@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, bool])
def test_integers_are_taken_as_float64(name: str, kind: Any) -> None:
    x = np.array([0, 1, 3]).astype(kind)
    expected = getattr(tg, name)(x.astype(float)).data
    for given in (x, tg.tensor(x), x.tolist()):
        found = getattr(tg, name)(given)
        np.testing.assert_array_equal(found.data, expected, strict=True)
    composed = getattr(tg, name).op.compose(tg.tensor(x))
    assert composed.dtype == np.float64
    np.testing.assert_allclose(composed.data, expected, rtol=1e-14)
    assert tg.maxout(np.array([[1, 5]]), 2).dtype == np.float64


def test_a_layer_keeps_one_array_for_its_activation() -> None:
    """The rules of these read the result, which the next layer holds anyway, or nothing but it."""
    x = tg.tensor(np.linspace(-1.0, 1.0, 6), requires_grad=True)
    for name in ("leaky_relu", "elu", "selu", "softplus", "log_sigmoid", "hardtanh", "softmax", "log_softmax", "tanh",
                 "sigmoid"):  # fmt: skip
        out = getattr(tg, name)(x)
        assert type(out.node) is Node
        held = [a for a in out.node.saved if isinstance(a, np.ndarray)]
        assert [a is out.data for a in held] == [True], name


# ---- softmax


def test_softmax_at_the_edges() -> None:
    out, d = value_and_slope(lambda t: tg.softmax(t) * np.array([1.0, 2.0, 3.0]), [[1e4, -1e4, 1e4]])
    np.testing.assert_array_equal(out, [[0.5, 0.0, 1.5]])
    np.testing.assert_array_equal(d, [[-0.5, 0.0, 0.5]])
    out, d = value_and_slope(lambda t: tg.log_softmax(t) * np.array([1.0, 0.0, 0.0]), [[1e4, -1e4, -1e4]])
    np.testing.assert_array_equal(out, [[0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(d, [[0.0, 0.0, 0.0]])
    out, d = value_and_slope(tg.softmax, [-inf, 0.0])
    np.testing.assert_array_equal(out, [0.0, 1.0])
    np.testing.assert_array_equal(d, [0.0, 0.0])
    for row in ([-inf, -inf], [inf, 0.0], [nan, 0.0]):
        for f in (tg.softmax, tg.log_softmax):
            assert np.isnan(value_and_slope(f, row)[0]).all()


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_takes_any_axes(name: str, rng: np.random.Generator) -> None:
    f = getattr(tg, name)
    x = rng.normal(size=(2, 3, 4))
    for axis in (0, 1, -1, (0, 2), (0, 1, 2), None):
        p = f(x, axis=axis).data
        p = p if name == "softmax" else np.exp(p)
        np.testing.assert_allclose(p.sum(axis=axis), 1.0, rtol=1e-14)
        np.testing.assert_allclose(p, np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True), rtol=1e-13)
    np.testing.assert_array_equal(f(x).data, f(x, -1).data)
    t = tg.tensor(x, requires_grad=True)
    for axis in (3, -4, (0, 3)):
        with pytest.raises(np.exceptions.AxisError, match=f"^{name}: axis -?[34] is out of bounds"):
            f(t, axis)
    with pytest.raises(ValueError, match=f"^{name}: duplicate"):
        f(t, (0, 0))
    assert f(np.zeros((3, 0))).shape == (3, 0)
    assert f(np.zeros((0, 3))).shape == (0, 3)


# ---- maxout


def test_maxout_shares_ties_and_gives_nan_the_gradient() -> None:
    for pieces, again in ((4, 1), (40, 10)):  # both ways of the kernel
        out, d = value_and_slope(lambda t, k=pieces: tg.maxout(t, k), [[3.0, 1.0, 3.0, 2.0] * again, [5.0] * pieces])
        np.testing.assert_array_equal(out, [[3.0], [5.0]])
        np.testing.assert_array_equal(d, [np.array([0.5, 0.0, 0.5, 0.0] * again) / again, [1.0 / pieces] * pieces])
        out, d = value_and_slope(lambda t, k=pieces: tg.maxout(t, k), [nan] + [1.0] * (pieces - 1))
        np.testing.assert_array_equal(out, [nan])
        np.testing.assert_array_equal(d, [1.0] + [0.0] * (pieces - 1))
        out, d = value_and_slope(lambda t, k=pieces: tg.maxout(t, k), [-inf] * pieces)
        np.testing.assert_array_equal(out, [-inf])
        np.testing.assert_array_equal(d, [1.0 / pieces] * pieces)


def test_maxout_takes_neighbours() -> None:
    x = np.array([[0.0, 5.0, 2.0, 1.0, 7.0, 6.0]])
    np.testing.assert_array_equal(tg.maxout(x, 2).data, [[5.0, 2.0, 7.0]])
    np.testing.assert_array_equal(tg.maxout(x, 3).data, [[5.0, 7.0]])
    same = tg.maxout(x, 1)
    np.testing.assert_array_equal(same.data, x)
    assert not np.shares_memory(same.data, x)


# ---- bad input


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: tg.leaky_relu(x, nan), ValueError, "leaky_relu: negative_slope: given nan, expected a finite"),
        (lambda x: tg.leaky_relu(x, -0.1), ValueError, "leaky_relu: negative_slope: given -0.1, .* at least 0"),
        (lambda x: tg.leaky_relu(x, "a"), TypeError, "leaky_relu: negative_slope: given 'a', expected a number"),
        (lambda x: tg.elu(x, inf), ValueError, "elu: alpha: given inf, expected a finite"),
        (lambda x: tg.elu(x, alpha=-1.0), ValueError, "elu: alpha: given -1.0, .* at least 0"),
        (lambda x: tg.elu(x, True), TypeError, "elu: alpha: given True"),
        (lambda x: tg.softplus(x, 0), ValueError, "softplus: beta: given 0, expected a finite number above 0"),
        (lambda x: tg.softplus(x, -2.0), ValueError, "softplus: beta: given -2.0"),
        (lambda x: tg.softplus(x, None), TypeError, "softplus: beta: given None"),
        (lambda x: tg.hardtanh(x, 1.0, 1.0), ValueError, "hardtanh: given min_val=1.0 and max_val=1.0, .* <"),
        (lambda x: tg.hardtanh(x, nan), ValueError, "hardtanh: given min_val=nan"),
        (lambda x: tg.hardtanh(x, max_val="b"), TypeError, "hardtanh: max_val: given 'b', expected a number"),
        (lambda x: tg.gelu(x, "erf"), ValueError, "gelu: approximate: given 'erf', expected 'none' or 'tanh'"),
        (lambda x: tg.gelu.op.compose(x, "erf"), ValueError, "gelu: approximate: given 'erf'"),
        (lambda x: tg.maxout(x, 4), ValueError, r"maxout: x has shape \(2, 3\), expected a last axis .* 4 divides"),
        (lambda x: tg.maxout(x, 0), ValueError, "maxout: pieces: given 0, expected a positive integer"),
        (lambda x: tg.maxout(x, 1.0), TypeError, "maxout: pieces: given 1.0, expected a positive integer"),
        (lambda x: tg.maxout(x, True), TypeError, "maxout: pieces: given True"),
        (lambda x: tg.maxout(x.sum(), 1), ValueError, r"maxout: x has shape \(\)"),
        (lambda x: tg.maxout(x), TypeError, "maxout: argument 'pieces' is missing"),
    ],
)
def test_arguments_that_do_not_fit(call: Any, error: type[Exception], message: str) -> None:
    x = tg.tensor(np.ones((2, 3)), requires_grad=True)
    with pytest.raises(error, match=f"^{message}"):
        call(x)
    assert x.grad is None


def test_gelu_without_scipy_names_both_ways_out() -> None:
    code = (
        "import sys; sys.modules['scipy'] = sys.modules['scipy.special'] = None\n"
        "import numpy as np, tinygrad_fc as tg\n"
        "print(tg.gelu(np.ones(2), approximate='tanh').shape)\n"
        "try:\n    tg.nn.Linear(2, 2, 'gelu')\nexcept ModuleNotFoundError as error:\n    print(error)\n"
        "tg.gelu(np.ones(2))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    message = (
        "gelu: approximate='none' needs SciPy: pip install 'tinygrad_fc[scipy]'. "
        "gelu(x, approximate='tanh') does without."
    )
    assert done.stdout.splitlines() == ["(2,)", message]
    assert done.stderr.rstrip().endswith(f"ModuleNotFoundError: {message}")

"""check_gradient and check_layer: functions of arrays with gradients written by hand, right, wrong, and misused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.cs231n import layers
from tinygrad_fc.engine.op import REGISTRY

X = np.random.default_rng(0).normal(size=(3, 4))
W = np.random.default_rng(1).normal(size=(4, 4))
B = np.array([0.3, -0.2, 0.1, 0.7])


# ---- check_gradient


def test_a_function_that_returns_a_number() -> None:
    report = tg.check_gradient(lambda x: np.sum(x**3), lambda x: 3 * x**2, X)
    assert report
    (check,) = report.inputs
    assert (check.name, check.shape, check.dtype, check.checked) == ("x", (3, 4), "float64", 12)
    assert check.error < 1e-9
    assert tg.check_gradient(lambda t: float(t) ** 2, lambda t: 2 * float(t), 0.7).inputs[0].name == "t"


def test_a_function_that_returns_an_array() -> None:
    assert tg.check_gradient(np.tanh, lambda x, g: g * (1 - np.tanh(x) ** 2), X)
    assert tg.check_gradient(lambda x: x.sum(axis=0), lambda x, g: np.broadcast_to(g, x.shape), X)
    assert tg.check_gradient(lambda x: x.sum(keepdims=True), lambda x, g: g * np.ones_like(x), X)  # of one element
    assert tg.check_gradient(lambda x: x, lambda x, g: g, X)  # the result may be x itself


def test_several_arguments() -> None:
    report = tg.check_gradient(lambda a, w: a @ w, lambda a, w, g: (g @ w.T, a.T @ g), (X, W))
    assert report
    assert [check.name for check in report.inputs] == ["a", "w"]
    assert tg.check_gradient(lambda *xs: np.sum(xs[0] * xs[1]), lambda a, b: [b, a], (B, 2 * B)).inputs[1].name == "x1"


def test_names_that_mean_something_to_rules() -> None:
    report = tg.check_gradient(lambda out, g: np.sum(out * g), lambda out, g: (g, out), (B, 2 * B))
    assert report
    assert [check.name for check in report.inputs] == ["out", "g"]


@pytest.mark.parametrize(
    ("f", "grad_f", "x", "looks"),
    [
        (lambda x: np.sum(x**3), lambda x: 3.0003 * x**2, X, "a factor: 1.0001 times the gradient"),
        (lambda x: np.sum(np.exp(x)), lambda x: -np.exp(x), X, "a sign"),
        (lambda x: np.mean(x * x), lambda x: 2 * x, X, "a factor of 12: a division by 12"),
        (lambda x: np.exp(x), lambda x, g: 0 * x, X, "zeros"),
        (lambda a: a @ W, lambda a, g: (g @ W.T).T, np.eye(4) + W, "a transpose"),
        (lambda x: np.sum(x * x), lambda x: np.full(x.shape, np.nan), X, "a gradient that is not finite"),
    ],
)
def test_a_wrong_gradient_is_named(f: Any, grad_f: Any, x: np.ndarray, looks: str) -> None:
    report = tg.check_gradient(f, grad_f, x)
    assert report.verdict == "wrong"
    (culprit,) = report.culprits
    assert culprit.looks_like.startswith(looks)
    assert culprit.argument in ("x", "a")


def test_one_wrong_coordinate_of_many() -> None:
    def grad(x: np.ndarray) -> np.ndarray:
        slope = np.cos(x)
        slope[17, 5] *= 1.01
        return slope

    big = np.random.default_rng(3).normal(size=(40, 30))
    report = tg.check_gradient(lambda x: np.sum(np.sin(x)), grad, big)
    assert report.verdict == "wrong"
    assert report.inputs[0].worst == (17, 5)
    assert tg.check_gradient(lambda x: np.sum(np.sin(x)), np.cos, big).inputs[0].directions == 2


def test_float32() -> None:
    x = X.astype(np.float32)
    report = tg.check_gradient(lambda x: np.sum(np.exp(x)), lambda x: np.exp(x), x)
    assert report
    assert report.inputs[0].dtype == "float32"
    assert report.inputs[0].rounding is not None
    assert tg.check_gradient(lambda x: np.sum(x * x), lambda x: 2 * x.astype(np.float64), x)  # wider is right, too
    lossy = tg.check_gradient(lambda x: np.sum(x * x), lambda x: (2 * x).astype(np.float16), X)
    assert lossy.verdict == "wrong"


def test_a_kink() -> None:
    at_the_kink = np.array([0.0, 1.0, -1.0])
    report = tg.check_gradient(lambda x: np.maximum(x, 0), lambda x, g: g * (x > 0), at_the_kink)
    assert report.verdict == "kink"
    assert report.inputs[0].kinks == ((0,),)
    beyond = tg.check_gradient(lambda x: np.maximum(x, 0), lambda x, g: g * np.where(x == 0, 3.0, x > 0), at_the_kink)
    assert beyond.verdict == "wrong"


def test_what_is_empty() -> None:
    assert tg.check_gradient(lambda x: np.sum(x), lambda x: np.ones_like(x), np.ones((0, 3)))


def test_nothing_is_left_behind() -> None:
    before, registered, state = X.copy(), dict(REGISTRY), np.random.get_state()[1].copy()  # noqa: NPY002  # it is watched

    def drawn(x: np.ndarray) -> Any:
        return np.sum(x * np.random.normal(size=x.shape))  # noqa: NPY002  # as layers of the course do

    def slope(x: np.ndarray) -> np.ndarray:
        return x

    assert tg.check_gradient(drawn, slope, X).verdict == "wrong"  # and not inconclusive: it draws the same each time
    assert np.array_equal(X, before)
    assert registered == REGISTRY
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002  # it is as it was


def test_a_generator_that_f_holds_stays() -> None:
    generator = np.random.default_rng(5)
    state = generator.bit_generator.state
    mask = np.random.default_rng(5).random(X.shape)
    assert tg.check_gradient(lambda x: x * generator.random(x.shape), lambda x, g: g * mask, X)
    assert generator.bit_generator.state == state


def changed(x: np.ndarray) -> float:
    x *= 2
    return float(np.sum(x))


def changed_later(x: np.ndarray) -> np.ndarray:
    x += 1
    return np.ones_like(x)


def total(x: np.ndarray) -> Any:
    return np.sum(x)


def ones(x: np.ndarray) -> np.ndarray:
    return np.ones_like(x)


@pytest.mark.parametrize(
    ("f", "grad_f", "x", "error", "message"),
    [
        (total, ones, np.arange(3), TypeError, "input 0 has dtype int64, expected floats: 1.0 instead of 1"),
        (total, ones, tg.tensor(X), TypeError, "x is a tensor, expected arrays; tg.gradcheck"),
        (total, ones, np.array([1.0, np.nan]), ValueError, r"x is nan at \[1\]: a gradient can be taken at finite"),
        (total, ones, np.array([np.inf]), ValueError, r"x is inf at \[0\]"),
        (lambda x: np.sum(x) * np.inf, ones, X, ValueError, "f is not finite at the inputs"),
        (changed, ones, X, ValueError, r"f changed x\. It has to leave its inputs as they are: write into a copy"),
        (total, changed_later, X, ValueError, r"grad_f changed x\."),
        (total, lambda x: np.ones(3), X, ValueError, r"grad_f gives for x has shape \(3,\), expected \(3, 4\)"),
        (total, lambda x: 1.0, X, ValueError, r"grad_f gives for x has shape \(\), expected \(3, 4\)"),
        (total, lambda x: np.ones(x.shape, int), X, TypeError, "has dtype int64, expected floats: an array of integ"),
        (total, lambda x: x * 1j, X, TypeError, "has dtype complex128, expected floats"),
        (total, lambda x: None, X, TypeError, "the gradient that grad_f gives for x is NoneType, expected an array"),
        (total, lambda x: (x, x), X, ValueError, r"grad_f returned 2 gradients, expected a tuple of 1, .*: x\."),
        (lambda a, b: np.sum(a * b), lambda a, b: a, (B, B), ValueError, "grad_f returned ndarray, expected a tuple"),
        (total, lambda x, g: g * x, X, TypeError, r"f returns a number, so grad_f is called as grad_f\(x\), without"),
        (np.exp, lambda x: x, X, TypeError, r"f returns an array of shape \(3, 4\), so grad_f is called as .*\(x, g\)"),
        (lambda x: None, ones, X, TypeError, "f returned NoneType, expected a number or an array of floats"),
        (lambda x: 3, ones, X, TypeError, "f returned int, expected a number or an array of floats"),
        (lambda x: x > 0, ones, X, TypeError, r"f returned bool of shape \(3, 4\), expected"),
        (lambda x: (np.sum(x), x), ones, X, TypeError, r"f returned tuple, expected .*: the value alone, lambda"),
        (lambda x: tg.sum(tg.tensor(x)), ones, X, TypeError, "f returned Tensor, expected .*; tg.gradcheck"),
        (3, ones, X, TypeError, "f is int, expected a function"),
        (total, 3, X, TypeError, "grad_f is int, expected a function"),
    ],
)  # fmt: skip
def test_misuse_of_check_gradient(f: Any, grad_f: Any, x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"check_gradient: .*{message}"):
        tg.check_gradient(f, grad_f, x)
    assert np.array_equal(X, np.random.default_rng(0).normal(size=(3, 4)))


@pytest.mark.parametrize("options", [{"samples": 0}, {"tolerance": 0.0}, {"tolerance": 2}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"check_gradient: {next(iter(options))}="):
        tg.check_gradient(total, ones, X, **options)
    with pytest.raises(ValueError, match=f"check_layer: {next(iter(options))}="):
        tg.check_layer(layers.relu_forward, layers.relu_backward, X, **options)


def test_options_reach_the_check() -> None:
    assert tg.check_gradient(total, ones, X, samples=5).inputs[0].checked == 5
    big = np.random.default_rng(3).normal(size=(20, 10))
    assert tg.check_gradient(total, ones, big, exhaustive=True).inputs[0].checked == 200
    assert tg.check_gradient(total, lambda x: 1.01 * ones(x), X, tolerance=0.1)


# ---- check_layer


def norm(mode: str) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    return {"mode": mode, "running_mean": rng.normal(size=4), "running_var": rng.uniform(0.5, 2.0, 4)}


LAYERS: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...], list[str]]] = {
    "affine": (layers.affine_forward, layers.affine_backward, (X.reshape(3, 2, 2), W, B), ["x", "w", "b"]),
    "relu": (layers.relu_forward, layers.relu_backward, (X,), ["x"]),
    "batchnorm": (
        layers.batchnorm_forward, layers.batchnorm_backward, (X, B, 2 * B, norm("train")), ["x", "gamma", "beta"]
    ),
    "batchnorm, simpler": (
        layers.batchnorm_forward, layers.batchnorm_backward_alt, (X, B, 2 * B, norm("train")), ["x", "gamma", "beta"]
    ),
    "batchnorm, test": (
        layers.batchnorm_forward, layers.batchnorm_backward, (X, B, 2 * B, norm("test")), ["x", "gamma", "beta"]
    ),
    "layernorm": (layers.layernorm_forward, layers.layernorm_backward, (X, B, 2 * B, {}), ["x", "gamma", "beta"]),
    "dropout, seeded": (
        layers.dropout_forward, layers.dropout_backward, (X, {"mode": "train", "p": 0.5, "seed": 3}), ["x"]
    ),
    "dropout": (layers.dropout_forward, layers.dropout_backward, (X, {"mode": "train", "p": 0.5}), ["x"]),
    "dropout, test": (layers.dropout_forward, layers.dropout_backward, (X, {"mode": "test", "p": 0.5}), ["x"]),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_the_layers_of_the_course(name: str) -> None:
    forward, backward, args, names = LAYERS[name]
    before = [{**a} if isinstance(a, dict) else a.copy() for a in args]
    report = tg.check_layer(forward, backward, *args)
    assert report
    assert [check.name for check in report.inputs] == names
    for now, then in zip(args, before, strict=True):
        np.testing.assert_equal(now, then)  # running statistics too


@pytest.mark.parametrize("name", LAYERS)
def test_a_planted_fault_in_a_layer(name: str) -> None:
    forward, backward, args, names = LAYERS[name]
    wrong = len(names) - 1

    def faulty(dout: np.ndarray, cache: Any) -> Any:
        found = backward(dout, cache)
        if len(names) == 1:
            return 1.001 * found
        return tuple(1.001 * d if n == wrong else d for n, d in enumerate(found))

    report = tg.check_layer(forward, faulty, *args)
    assert [check.holds for check in report.inputs] == [n != wrong for n in range(len(names))]
    assert {culprit.argument for culprit in report.culprits} == {names[wrong]}
    assert report.culprits[0].looks_like == "a factor: 1.001 times the gradient"
    assert report.culprits[0].op == forward.__name__


def plain_relu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.maximum(x, 0), x


def test_a_backward_pass_may_write_into_dout() -> None:
    def backward(dout: np.ndarray, cache: np.ndarray) -> np.ndarray:
        dout[cache <= 0] = 0
        return dout

    assert tg.check_layer(plain_relu, backward, X)


def test_what_is_no_array_of_floats_is_passed_on() -> None:
    seen = []

    def pick(x: np.ndarray, rows: np.ndarray, power: float, sizes: list[int]) -> tuple[np.ndarray, Any]:
        seen.append(sizes)
        sizes.append(1)
        return x[rows] ** power, (x, rows, power)

    def unpick(dout: np.ndarray, cache: Any) -> np.ndarray:
        x, rows, power = cache
        dx = np.zeros_like(x)
        np.add.at(dx, rows, dout * power * x[rows] ** (power - 1))
        return dx

    sizes = [7]
    assert tg.check_layer(pick, unpick, np.abs(X) + 1, np.array([0, 2, 0]), 3.0, sizes)
    assert sizes == [7]
    assert all(given == [7, 1] for given in seen)


@pytest.mark.parametrize(
    ("forward", "backward", "args", "error", "message"),
    [
        (plain_relu, lambda d, c: d, (np.arange(3),), TypeError, r"given int64 \(3,\), expected an array of floats"),
        (plain_relu, lambda d, c: d, (), TypeError, "given no arguments"),
        (lambda x: x, lambda d, c: d, (X,), TypeError, r"forward returned ndarray, expected a pair: out, cache ="),
        (lambda x: (x, x, x), lambda d, c: d, (X,), TypeError, "forward returned tuple of 3, expected a pair"),
        (lambda x: (None, x), lambda d, c: d, (X,), TypeError, "forward returned NoneType, expected a number or an a"),
        (plain_relu, lambda d, c: d[0], (X,), ValueError, r"backward gives for x has shape \(4,\), expected \(3, 4\)"),
        (plain_relu, lambda d, c: (d, d), (X,), ValueError, "backward returned 2 gradients, expected a tuple of 1"),
        (plain_relu, lambda d, c: None, (X,), TypeError, "the gradient that backward gives for x is NoneType"),
        (plain_relu, lambda d, c: (d > 0), (X,), TypeError, "has dtype bool, expected floats"),
        (plain_relu, None, (X,), TypeError, "backward is NoneType, expected a function of dout and cache"),
        (None, plain_relu, (X,), TypeError, "f is NoneType, expected a function"),
        (plain_relu, lambda d, c: d, (X * [np.inf, 1, 1, 1],), ValueError, r"x is -?inf at \[0, 0\]"),
        (lambda x: (changed(x) * x, x), lambda d, c: d, (X,), ValueError, "forward changed x"),
        (plain_relu, lambda d, c: np.multiply(d, 2, out=c), (X,), ValueError, "backward changed x"),
    ],
)  # fmt: skip
def test_misuse_of_check_layer(
    forward: Any, backward: Any, args: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"check_layer: .*{message}"):
        tg.check_layer(forward, backward, *args)


def test_an_integer_argument_that_gets_a_gradient_is_told() -> None:
    with pytest.raises(ValueError, match=r"backward returned 3 gradients, expected a tuple of 2, .*floats: w, b\."):
        tg.check_layer(layers.affine_forward, layers.affine_backward, np.ones((3, 4), int), W, B)


def test_losses_with_their_gradient() -> None:
    y = np.array([0, 3, 1])
    for loss in (layers.softmax_loss, layers.svm_loss):
        assert tg.check_gradient(lambda x, loss=loss: loss(x, y)[0], lambda x, loss=loss: loss(x, y)[1], X)
        report = tg.check_gradient(lambda x, loss=loss: loss(x, y)[0], lambda x, loss=loss: 3 * loss(x, y)[1], X)
        assert report.culprits[0].looks_like == "a factor of 3: a division by 3, a number of elements, is missing"


def test_what_is_flat() -> None:
    """A product of zeros is flat in each, and its rounding errors are of no size that anything could be compared to."""
    zeros = np.zeros(3)
    assert tg.check_gradient(lambda x: np.prod(x), lambda x: np.zeros_like(x), zeros).verdict == "correct"
    assert tg.gradcheck(lambda x: np.prod(x), zeros).verdict == "correct"
    assert tg.check_gradient(lambda x: np.prod(x), lambda x: np.ones_like(x), zeros).verdict == "wrong"

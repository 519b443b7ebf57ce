"""grad, value_and_grad, vjp, jvp, jacobian, hessian, hvp: orders, closed forms, threads, and what holds of them all."""

from __future__ import annotations

import concurrent.futures
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp


def assert_close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def slopes_by_numbers(f: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences of a function of an array, Richardson-extrapolated."""
    found = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        unit = np.zeros(x.shape)
        unit[place] = step
        wide, near = f(x + 2 * unit) - f(x - 2 * unit), f(x + unit) - f(x - unit)
        found[place] = (8 * near - wide) / (12 * step)
    return found


# ---- orders


def test_every_order_of_a_power() -> None:
    f: Any = lambda x: x**5  # noqa: E731  # as users write it
    for expected in (80.0, 160.0, 240.0, 240.0, 120.0, 0.0):
        f = grad(f)
        assert f(2.0) == expected
        assert type(f(2.0)) is float


def third_of_softplus(x: float) -> float:
    """The third derivative of log(1 + exp(-2 x))."""
    s = 1 / (1 + math.exp(2 * x))
    return -8 * s * (1 - s) * (1 - 2 * s)


@pytest.mark.parametrize(
    ("f", "third"),
    [
        (np.sin, lambda x: -math.cos(x)),
        (np.exp, math.exp),
        (np.log, lambda x: 2 / x**3),
        (lambda x: 1.0 / x, lambda x: -6 / x**4),
        (np.sqrt, lambda x: 3 / 8 * x**-2.5),
        (np.tanh, lambda x: -2 * (1 - math.tanh(x) ** 2) * (1 - 3 * math.tanh(x) ** 2)),
        (lambda x: np.sum(np.stack([x, x * x]) ** 2), lambda x: 24 * x),
        (lambda x: x**x, lambda x: x**x * ((math.log(x) + 1) ** 3 + 3 * (math.log(x) + 1) / x - 1 / x**2)),
        (lambda x: np.where(x > 0, x**4, 0.0), lambda x: 24 * x),
        (lambda x: tg.softmax_loss(np.stack([x, -x])[None], np.array([0])), third_of_softplus),
    ],
)
def test_third_order(f: Any, third: Callable[[float], float]) -> None:
    assert grad(grad(grad(f)))(0.7) == pytest.approx(third(0.7), rel=1e-10)


def test_an_inner_gradient_does_not_mistake_the_outer_variable_for_its_own() -> None:
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert grad(lambda x: x * grad(lambda y: x * y)(1.0))(2.0) == 4.0
    assert grad(lambda x: grad(lambda y: x * y**2)(x))(3.0) == 12.0
    assert grad(lambda x: grad(lambda y: y**3)(2.0) * x)(5.0) == 12.0


def test_mixed_orders_and_transforms_compose() -> None:
    f = lambda x, y: np.sin(x) * np.exp(2 * y)  # noqa: E731  # a formula
    x, y = 0.3, -0.4
    assert grad(grad(grad(f, 0), 1), 1)(x, y) == pytest.approx(4 * math.cos(x) * math.exp(2 * y))
    v = np.array([1.0, 2.0, -1.0])
    a = np.array([0.3, 0.1, -0.5])
    cubes = lambda x: np.sum(x**4)  # noqa: E731  # a formula
    assert_close(jvp(grad(cubes), (a,), (v,))[1], 12 * a**2 * v)
    assert_close(hvp(cubes, (a,), (v,))[0], 12 * a**2 * v)
    assert_close(grad(lambda x: jvp(cubes, (x,), (v,))[1])(a), 12 * a**2 * v)
    assert_close(jacobian(lambda x: hvp(cubes, (x,), (v,))[0])(a), np.diag(24 * a * v))
    assert_close(jacobian(lambda v: hvp(cubes, (a,), (v,))[0])(v), np.diag(12 * a**2))
    diagonal = np.einsum("ij,ik->ijk", np.eye(3), np.eye(3))
    assert_close(jacobian(jacobian(lambda x: x**3))(a), diagonal * (6 * a)[:, None, None])
    pull = lambda x, g: vjp(np.sin, x)[1](g)[0]  # noqa: E731  # a formula
    assert_close(jacobian(pull, argnums=1)(a, v), np.diag(np.cos(a)))
    assert_close(jacobian(pull)(a, v), np.diag(-np.sin(a) * v))


def test_through_unrolled_steps_of_descent() -> None:
    d = np.array([1.0, 2.0, 3.0])

    def after(w: Any, rate: Any) -> Any:
        for _ in range(20):
            w = w - rate * grad(lambda w: 0.5 * np.sum(d * w * w))(w)
        return np.sum(w * w)

    expected = np.sum(-40 * d * (1 - 0.1 * d) ** 39)
    assert grad(after, 1)(np.ones(3), 0.1) == pytest.approx(expected, rel=1e-12)


# ---- closed forms


def softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_hessian_of_softmax_regression(rng: np.random.Generator, dtype: Any) -> None:
    x, y = rng.normal(size=(7, 4)).astype(dtype), rng.integers(3, size=7)
    w = (0.3 * rng.normal(size=(4, 3))).astype(dtype)
    p = softmax(x @ w)
    curvature = np.einsum("nk,kl->nkl", p, np.eye(3)) - np.einsum("nk,nl->nkl", p, p)
    expected = np.einsum("nd,ne,nkl->dkel", x, x, curvature) / 7
    found = hessian(lambda w: tg.softmax_loss(x @ w, y))(w)
    assert found.dtype == dtype
    assert_close(found, expected, 1e-12 if dtype is np.float64 else 2e-6)
    v = rng.normal(size=(4, 3)).astype(dtype)
    (product,) = hvp(lambda w: tg.softmax_loss(x @ w, y), (w,), (v,))
    assert product.dtype == dtype
    assert_close(product, np.einsum("dkel,el->dk", expected, v), 1e-12 if dtype is np.float64 else 5e-6)


def test_newton_steps_reach_the_minimum(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(30, 3)), rng.integers(2, size=30)

    def loss(w: Any) -> Any:
        return tg.softmax_loss(np.stack([x @ w, -(x @ w)], axis=1), y) + 0.05 * np.sum(w * w)

    w, sizes = np.zeros(3), []
    for _ in range(7):
        slope = grad(loss)(w)
        sizes.append(np.abs(slope).max())
        w = w - np.linalg.solve(hessian(loss)(w), slope)
    assert sizes[0] > 1e-2
    assert sizes[-1] < 1e-14
    assert sizes[3] < sizes[2] ** 1.5  # the number of digits doubles


def test_jacobian_of_solve(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(3, 3)) + 3 * np.eye(3), rng.normal(size=3)
    inverse, x = np.linalg.inv(a), np.linalg.solve(a, b)
    of_a, of_b = jacobian(np.linalg.solve, argnums=(0, 1))(a, b)
    assert_close(of_a, -np.einsum("ij,k->ijk", inverse, x))
    assert_close(of_b, inverse)


def test_gradient_norm_penalty_through_a_fused_network(rng: np.random.Generator) -> None:
    """Second order through fused layers: the slope of a loss that holds the slope of the network."""
    model = tg.models.FullyConnectedNet([5, 4], input_dim=3, num_classes=3, weight_scale=0.8, dtype=np.float64, seed=1)
    x, y = rng.normal(size=(6, 3)), rng.integers(3, size=6)

    def loss(params: dict[str, Any]) -> Any:
        def network(x: Any) -> Any:
            h = tg.affine_relu(x, params["W1"], params["b1"])
            h = tg.affine_relu(h, params["W2"], params["b2"])
            return tg.softmax_loss(tg.affine(h, params["W3"], params["b3"]), y)

        return network(x) + 10.0 * np.sum(grad(network)(x) ** 2)

    params = {key: np.array(value) + 0.1 for key, value in model.params.items()}
    value, found = value_and_grad(loss)(params)
    assert list(found) == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert value == pytest.approx(loss(params).item())
    for key, slope in found.items():
        expected = slopes_by_numbers(lambda a, key=key: loss({**params, key: a}).item(), params[key])
        assert_close(slope, expected, 1e-8)
    # The same through a model's own parameters, which the network reads as it runs.
    network = lambda x: model.loss_tensor(x, y)  # noqa: E731  # a formula
    penalty = np.sum(grad(network)(x) ** 2)
    assert penalty.requires_grad
    penalty.backward()
    w = model.params["W2"]
    kept = w.copy()

    def at(a: np.ndarray) -> float:
        w[...] = a
        return float(np.sum(np.square(slopes_by_numbers(lambda x: model.loss_tensor(x, y).item(), x, 1e-4))))

    expected = slopes_by_numbers(at, kept, 1e-3)
    assert_close(model.params.tensors["W2"].grad, expected, 1e-5)


# ---- threads


def test_threads_differentiate_one_function_at_once() -> None:
    w = tg.tensor(np.linspace(-1.0, 1.0, 4), requires_grad=True)
    slope = grad(lambda x: grad(lambda y: np.sum(np.tanh(w * y) * x))(2.0))
    start = threading.Barrier(4)

    def work(x: float) -> list[Any]:
        start.wait(10)
        return [slope(x).data for _ in range(40)]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for x, found in zip((1.0, 2.0, 3.0, 4.0), pool.map(work, (1.0, 2.0, 3.0, 4.0)), strict=True):
            for d in found:
                np.testing.assert_array_equal(d, slope(x).data)
    assert w.grad is None


# ---- products are adjoint, Hessians symmetric

STEPS: list[Callable[[Any, Any], Any]] = [
    lambda x, y: np.tanh(x) * np.cos(y), lambda x, y: x - 0.5 * y, lambda x, y: np.exp(0.3 * np.sin(x)) + y[::-1],
    lambda x, y: x / (np.square(y) + 1.0), lambda x, y: np.concatenate([x[1:], y[:1]]), lambda x, y: x * np.mean(y),
    lambda x, y: np.maximum(x, y), lambda x, y: x + np.sum(x * y),
    lambda x, y: tg.affine_relu(x[None], np.eye(3) + 0.2, y)[0], lambda x, y: np.where(np.arange(3) > 1, x, y * y),
    lambda x, y: np.sin(x[[2, 0, 0]]) * y,
]  # fmt: skip


@settings(max_examples=60)
@given(
    program=st.lists(st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 50), st.integers(0, 50)), min_size=5,
                     max_size=15),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_vjp_and_jvp_are_adjoint_and_hessians_symmetric(program: list[Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y, dx, dy, ds, du, dv = rng.normal(size=(7, 3))

    def f(p: dict[str, Any], scale: Any) -> Any:
        values = [p["x"], p["y"] * scale]
        for step, i, j in program:
            values.append(np.tanh(STEPS[step](values[-1 - i % len(values)], values[-1 - j % len(values)])))
        return {"last": values[-1], "sum": np.sum(values[-1]) + np.sum(values[-2])}

    args, along = ({"x": x, "y": y}, 0.8), ({"x": dx, "y": dy}, float(ds[0]))
    value, pushed = jvp(f, args, along)
    again, pullback = vjp(f, *args)
    np.testing.assert_array_equal(value["last"], again["last"])
    weights = {"last": du, "sum": float(dv[0])}
    pulled, of_scale = pullback(weights)
    left = du @ pushed["last"] + dv[0] * pushed["sum"]
    right = dx @ pulled["x"] + dy @ pulled["y"] + ds[0] * of_scale
    assert left == pytest.approx(right, rel=1e-10, abs=1e-10)
    rows = jacobian(f, argnums=0)(*args)
    assert_close(du @ rows["last"]["x"] + dv[0] * rows["sum"]["x"], pulled["x"], 1e-10)
    scalar = lambda p: f(p, 0.8)["sum"]  # noqa: E731  # a formula
    one = hvp(scalar, (args[0],), ({"x": dx, "y": dy},))[0]
    other = hvp(scalar, (args[0],), ({"x": du, "y": dv},))[0]
    assert du @ one["x"] + dv @ one["y"] == pytest.approx(dx @ other["x"] + dy @ other["y"], rel=1e-9, abs=1e-9)

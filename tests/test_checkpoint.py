"""checkpoint: the same gradients of every order from less memory, and what it refuses."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.transforms import checkpoint, grad, hessian, hvp, jacobian, jvp, value_and_grad


def same(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def assert_alike(program: Callable[[Callable[..., Any]], Any], tolerance: float = 1e-12) -> None:
    """Assert that `program`, given `checkpoint` or a function that does nothing, returns the same numbers."""
    for found, expected in zip(program(checkpoint), program(same), strict=True):
        found, expected = getattr(found, "data", found), getattr(expected, "data", expected)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
        assert np.asarray(found).dtype == np.asarray(expected).dtype


def test_gradients_of_arguments_in_structures(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(2, 3)), rng.normal(size=3)

    def program(wrap: Any) -> list[Any]:
        x, w = tg.tensor(a, requires_grad=True), tg.tensor(b, requires_grad=True)
        layer = wrap(lambda p, scale, *, power: np.tanh(p["x"] * p["w"][0]) ** power * scale * p["const"])
        out = layer({"x": x, "w": (w, None), "const": a}, 2.0, power=3)
        out = layer({"x": out, "w": (w, None), "const": tg.tensor(a)}, 3.0, power=2)
        out.sum().backward()
        return [out, x.grad, w.grad]

    assert_alike(program)


def cell(wrap: Any, x: Any, h: Any, w: Any, u: Any) -> Any:
    """A recurrent net of three steps; what it reads comes in both ways, as an argument and from outside."""
    step = wrap(lambda h, u: np.tanh(x @ u + h @ w * np.cos(h)))
    for _ in range(3):
        h = step(h, u)
    return h


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_shared_weights_at_every_order(rng: np.random.Generator, dtype: Any) -> None:
    x, h, w, u = (0.5 * rng.normal(size=(2, 2)).astype(dtype) for _ in range(4))
    tolerance = 1e-11 if dtype is np.float64 else 1e-4

    def program(wrap: Any) -> list[Any]:
        def loss(h: Any, w: Any, u: Any) -> Any:
            return np.sum(cell(wrap, x, h, w, u) ** 2)

        slopes = grad(loss, (0, 1, 2))(h, w, u)
        of_h, of_w, of_u = hessian(loss, (0, 1, 2))(h, w, u)
        third = hvp(lambda w: hvp(lambda w: loss(h, w, u), (w,), (u,))[0].sum(), (w,), (x,))
        pushed = jvp(lambda w: cell(wrap, x, h, w, u), (w,), (u,))
        return [*slopes, *of_h, *of_w, *of_u, *third, *pushed]

    assert_alike(program, tolerance)


def linear(seed: int) -> tg.nn.Linear:
    return tg.nn.Linear(3, 3, "relu", seed=seed, dtype=np.float64)


def test_tensors_from_outside_get_their_gradients(rng: np.random.Generator) -> None:
    """Parameters of a module, and computed tensors, none of which is an argument."""
    batch = rng.normal(size=(4, 3))

    def program(wrap: Any) -> list[Any]:
        first, second = linear(0), linear(1)
        v = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
        scale, shift = np.tanh(v), np.cos(v)
        block = wrap(lambda x: second(first(x)) * scale + shift)
        out = block(block(batch))
        loss = np.sum(np.sin(out))
        parameters = [*first.parameters(), *second.parameters(), v]
        found = tg.gradients(loss, parameters, create_graph=True)
        again = tg.gradients(sum(np.sum(d * d) for d in found), parameters, retain_graph=True)
        middle = tg.gradients(loss, [scale, shift], retain_graph=True)
        loss.backward()
        return [out, *found, *again, *middle, *[p.grad for p in parameters]]

    assert_alike(program)


def test_pieces_in_pieces_and_a_function_of_a_variable_outside(rng: np.random.Generator) -> None:
    a = rng.normal(size=3)

    def program(wrap: Any) -> list[Any]:
        def f(w: Any) -> Any:
            inner = wrap(lambda x: np.sin(x * w))
            return np.sum(wrap(lambda x: inner(inner(x)) * w)(a))

        slope_inside = wrap(lambda x: grad(lambda y: np.sum(y**3 * x))(x))
        value, slope = value_and_grad(f)(a)
        return [value, slope, hessian(f)(a), jacobian(grad(f))(a), jacobian(slope_inside)(a), hessian(f)(a[0])]

    assert_alike(program)


def test_mixed_dtypes() -> None:
    def program(wrap: Any) -> list[Any]:
        x = tg.tensor([1.0, 2.0], dtype=np.float32, requires_grad=True)
        y = tg.tensor([3.0, 4.0], requires_grad=True)
        out = wrap(lambda x, y: np.sin(x * y))(x, y)
        found = tg.gradients(out.sum(), [x, y], create_graph=True)
        return [out, *found, *tg.gradients(sum(np.sum(d * d) for d in found), [x, y])]

    assert_alike(program, 1e-6)


def test_one_node_is_kept_and_the_function_runs_twice() -> None:
    runs = []

    def f(x: Any) -> Any:
        runs.append(x)
        return np.exp(np.sin(x) * 2.0)

    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    out = checkpoint(f)(x)
    boxes = tg.Graph(out).nodes
    assert [box.op for box in boxes] == [None, "checkpoint"]
    assert "piece=f" in str(tg.Graph(out))
    assert len(runs) == 1
    out.sum().backward()
    assert len(runs) == 2
    np.testing.assert_allclose(x.grad, 2 * np.cos(x.data) * out.data)
    with tg.no_grad():
        assert not checkpoint(f)(x).requires_grad
    assert len(runs) == 3
    assert isinstance(checkpoint(f)(np.ones(2)), np.ndarray)
    assert not checkpoint(f)(tg.tensor(1.0)).requires_grad
    assert checkpoint(f).__name__ == "checkpoint(f)"


def test_memory_of_a_long_chain() -> None:
    def peak(wrap: Any) -> float:
        def piece(x: Any) -> Any:
            for _ in range(10):
                x = np.sin(x)
            return x

        x = tg.tensor(np.full(100_000, 0.5), requires_grad=True)
        tracemalloc.start()
        out = x
        for _ in range(10):
            out = wrap(piece)(out)
        out.sum().backward()
        arrays = tracemalloc.get_traced_memory()[1] / x.data.nbytes
        tracemalloc.stop()
        return arrays

    assert peak(same) > 100
    assert peak(checkpoint) < 30


# ---- right or loud


def leaf(*values: float) -> tg.Tensor:
    return tg.tensor(values, requires_grad=True)


def test_what_changes_between_the_runs_is_refused(rng: np.random.Generator) -> None:
    x = leaf(1.0, 2.0, 3.0)
    noisy = checkpoint(lambda x: x * rng.normal(size=3))(x)
    with pytest.raises(RuntimeError, match="<lambda> returned something else when it was computed again.*random"):
        noisy.sum().backward()
    mask = np.ones(3)
    masked = checkpoint(lambda x: x * mask)(x)
    mask[0] = 2.0
    with pytest.raises(RuntimeError, match="returned something else"):
        masked.sum().backward()
    tensors = [leaf(1.0), leaf(1.0)]
    popped = checkpoint(lambda x: x * tensors.pop())(x)
    with pytest.raises(RuntimeError, match="read other tensors"):
        popped.sum().backward()
    fresh = checkpoint(lambda x: x * leaf(2.0))(x)
    with pytest.raises(RuntimeError, match="read other tensors"):
        fresh.sum().backward()
    shapes = [1, 2]
    cut = checkpoint(lambda x: x[: shapes.pop()])(x)
    with pytest.raises(RuntimeError, match="returned something else"):
        tg.gradients(cut.sum(), x, create_graph=True)
    assert x.grad is None


def test_an_overwritten_leaf_is_refused() -> None:
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    for changed in (x, w):
        out = checkpoint(lambda x: x * w)(x)
        changed.data = [5.0, 6.0]
        with pytest.raises(RuntimeError, match="was overwritten after op 'checkpoint'"):
            out.sum().backward()


def test_a_second_backward_is_refused_unless_the_graph_is_kept() -> None:
    x = leaf(1.0, 2.0)
    out = checkpoint(np.square)(x).sum()
    out.backward(retain_graph=True)
    out.backward()
    assert x.grad.tolist() == [4.0, 8.0]
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        out.backward()


def test_refusals() -> None:
    x = leaf(1.0, 2.0)
    for function, args in ((lambda x: [x, x], [x]), (lambda: [x * 2], []), (lambda x: x.item(), [x[0]])):
        with pytest.raises(TypeError, match="<lambda> returned .*, expected one tensor. Join several, np.stack"):
            checkpoint(function)(*args)
    computed = x * 2
    with pytest.raises(TypeError, match=r"op 'multiply' \(2,\), and another that it was computed from"):
        checkpoint(lambda y: y * x * computed)(leaf(1.0, 1.0))
    by_argument = checkpoint(lambda c: x * c)(computed)
    by_argument.sum().backward()
    assert x.grad.tolist() == [4.0, 8.0]


def test_results_without_a_gradient() -> None:
    x = leaf(1.0, -2.0)
    assert checkpoint(lambda x: x > 0)(x).data.tolist() == [True, False]
    assert not checkpoint(lambda x: tg.tensor(1.0))(x).requires_grad
    half = checkpoint(lambda x, y: y * 2)(x, leaf(1.0, 1.0))
    assert tg.gradients(half.sum(), x)[0].data.tolist() == [0.0, 0.0]
    same_again = checkpoint(lambda x: x)(x)
    assert tg.gradients(same_again.sum(), x)[0].data.tolist() == [1.0, 1.0]
    assert tg.gradients(checkpoint(lambda: x)().sum(), x)[0].data.tolist() == [1.0, 1.0]


def test_values_with_infinities_and_nan() -> None:
    x = tg.tensor([0.0, 1.0, np.nan], requires_grad=True)
    with np.errstate(all="ignore"):
        checkpoint(np.log)(x).sum().backward()
    np.testing.assert_array_equal(x.grad, [np.inf, 1.0, np.nan])
    empty = tg.tensor(np.empty((0, 2)), requires_grad=True)
    checkpoint(np.sin)(empty).sum().backward()
    assert empty.grad.shape == (0, 2)

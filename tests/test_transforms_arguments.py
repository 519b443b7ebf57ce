"""What goes into the transforms and comes out: kinds, structures, aux, what stays on the tape, and refusals."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.engine.node import Observer, recording
from tinygrad_fc.transforms import checkpoint, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp


def assert_close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


# ---- kinds and structures of arguments


def test_each_kind_comes_back_as_itself() -> None:
    f = lambda x: np.sum(x * x)  # noqa: E731  # a formula
    threes: list[Any] = [3.0, np.float32(3), np.array(3.0), tg.tensor(3.0)]
    for x, kind in zip(threes, (float, np.float32, np.ndarray, tg.Tensor), strict=True):
        value, slope = value_and_grad(f)(x)
        assert type(value) is kind
        assert type(slope) is kind
        assert (float(value), float(slope)) == (9.0, 6.0)
        assert type(hessian(f)(x)) is kind
        value, pullback = vjp(f, x)
        assert type(value) is kind
        assert type(pullback(1.0)[0]) is kind
        value, tangent = jvp(f, (x,), (1.0,))
        assert type(value) is type(tangent) is kind
        assert type(hvp(f, (x,), (1.0,))[0]) is kind
    rows = jacobian(lambda x: np.stack([x, x * x]))(3.0)
    np.testing.assert_array_equal(rows, [1.0, 6.0])
    slope = grad(f)(np.ones(2, np.float32))
    assert slope.dtype == np.float32
    assert not grad(f)(tg.tensor(3.0)).requires_grad


Pair = collections.namedtuple("Pair", "weight bias")


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    weight: Any
    bias: Any = None
    kind: str = dataclasses.field(default="affine", metadata={"static": True})

    def __post_init__(self) -> None:
        assert isinstance(self.kind, str)


@dataclasses.dataclass
class Holder:
    a: Any
    b: Any


@dataclasses.dataclass
class Net:
    layers: list[Any]
    scale: Any


def test_structures_of_every_kind(rng: np.random.Generator) -> None:
    a, b, c = rng.normal(size=(2, 3)), rng.normal(size=3), rng.normal(size=2)
    params = {
        "net": Net([Layer(a), Layer(tg.tensor(b), c, "other")], 2.0),
        "more": (Pair(b, [c]), collections.OrderedDict(z=1.5, y=None), {}, []),
    }

    def f(p: Any) -> Any:
        net, (pair, ordered, *_) = p["net"], p["more"]
        assert [layer.kind for layer in net.layers] == ["affine", "other"]
        first = np.sum(net.layers[0].weight @ (net.layers[1].weight * net.scale))
        return first + np.sum(pair.weight) * ordered["z"] + np.sum(net.layers[1].bias * pair.bias[0])

    found = grad(f)(params)
    assert list(found) == ["net", "more"]
    net, (pair, ordered, *empty) = found["net"], found["more"]
    assert (type(net), type(pair), type(ordered), empty) == (Net, Pair, collections.OrderedDict, [{}, []])
    assert empty[1] is not params["more"][3]
    assert_close(net.layers[0].weight, np.broadcast_to(2.0 * b, (2, 3)))
    assert net.layers[0].bias is None
    assert isinstance(net.layers[1], Layer)
    assert net.layers[1].kind == "other"
    assert isinstance(net.layers[1].weight, tg.Tensor)
    assert_close(net.layers[1].weight.data, 2.0 * a.sum(axis=0))
    assert_close(net.layers[1].bias, c)
    assert_close(net.scale, (a @ b).sum())
    assert_close(pair.weight, np.full(3, 1.5))
    assert_close(pair.bias[0], c)
    assert_close(ordered["z"], b.sum())
    assert ordered["y"] is None
    assert params["net"].scale == 2.0
    blocks = hessian(f)(params)
    assert_close(blocks["net"].layers[0].weight["net"].scale, np.broadcast_to(b, (2, 3)))
    assert_close(blocks["more"][0].weight["more"][1]["z"], np.ones(3))
    assert_close(blocks["more"][1]["z"]["more"][0].weight, np.ones(3))
    assert blocks["net"].scale["net"].scale == 0.0


def test_results_in_structures() -> None:
    x = np.array([1.0, 2.0])
    f = lambda x, k=1.0: {"square": k * x * x, "rest": [x.sum(), tg.tensor(7.0)]}  # noqa: E731  # a formula
    value, pullback = vjp(f, x, k=2.0)
    np.testing.assert_array_equal(value["square"], [2.0, 8.0])
    assert value["rest"][1] == 7.0
    (d,) = pullback({"rest": (10.0, 5.0), "square": [1.0, 100.0]})
    np.testing.assert_array_equal(d, [14.0, 810.0])
    np.testing.assert_array_equal(pullback({"square": x, "rest": [0, 0]})[0], 4.0 * x * x)
    value, tangent = jvp(f, (x,), ([1.0, -1.0],))
    np.testing.assert_array_equal(tangent["square"], [2.0, -4.0])
    assert [float(t) for t in tangent["rest"]] == [0.0, 0.0]
    rows = jacobian(f)(x, k=3.0)
    np.testing.assert_array_equal(rows["square"], np.diag([6.0, 12.0]))
    np.testing.assert_array_equal(rows["rest"][0], np.ones(2))
    np.testing.assert_array_equal(rows["rest"][1], np.zeros(2))


def test_argnums_keywords_and_aux() -> None:
    def f(x: Any, y: Any, z: Any = 1.0, *, power: int = 1) -> Any:
        return np.sum(x * y**power) * z, {"product": x * y, "power": power, "words": ["kept"]}

    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    slope, aux = grad(f, argnums=1, has_aux=True)(x, y, power=2)
    np.testing.assert_array_equal(slope, 2 * x * y)
    np.testing.assert_array_equal(aux.pop("product"), x * y, strict=True)
    assert aux == {"power": 2, "words": ["kept"]}
    (value, aux), (of_y, of_x) = value_and_grad(f, argnums=(-1, 0), has_aux=True)(x, y)
    assert value == 11.0
    np.testing.assert_array_equal(of_y, x)
    np.testing.assert_array_equal(of_x, y)
    block, aux = hessian(f, argnums=[0, 1], has_aux=True)(x, y, 2.0)
    np.testing.assert_array_equal(block[0][1], 2 * np.eye(2))
    assert type(aux["product"]) is np.ndarray
    rows, aux = jacobian(lambda x: (x * 2, x.sum()), has_aux=True)(x)
    assert (rows.tolist(), float(aux)) == ([[2.0, 0.0], [0.0, 2.0]], 3.0)
    value, pullback, aux = vjp(f, x, y, argnums=0, has_aux=True, power=2)
    np.testing.assert_array_equal(pullback(1.0), y**2)
    value, tangent, aux = jvp(f, (x, y), y, argnums=1, has_aux=True)
    assert (float(value), float(tangent), aux["power"]) == (11.0, 11.0, 1)
    product, aux = hvp(f, (x, y), (x, 0 * y), has_aux=True)
    np.testing.assert_array_equal(product[1], x)
    assert grad(f, has_aux=True).__name__ == "grad(f)"


# ---- what lies around a call


def test_nothing_is_written_and_nothing_shared() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    x = np.array([3.0, 4.0])
    value, pullback = vjp(lambda x: x, x)
    weight = np.array([1.0, 5.0])
    (d,) = pullback(weight)
    value[:] = d[:] = 0.0
    assert (x.tolist(), weight.tolist()) == ([3.0, 4.0], [1.0, 5.0])
    value, pullback = vjp(lambda x: x * x, x)
    x[:] = 100.0  # a caller's buffer, used again
    assert pullback(weight)[0].tolist() == [6.0, 40.0]
    slope = grad(lambda x: np.sum(w * x * x))(tg.tensor([1.0, 1.0]))
    assert slope.data.tolist() == [2.0, 4.0]
    assert w.grad is None


def test_results_stay_on_the_tape_where_they_depend_on_tensors_outside() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    x = np.array([3.0, 4.0])
    slope, more = grad(lambda x: (np.sum(w * x * x), w * 2), has_aux=True)(x)
    assert tg.gradients(slope.sum(), w)[0].data.tolist() == [6.0, 8.0]
    assert tg.gradients(more.sum(), w)[0].data.tolist() == [2.0, 2.0]
    assert tg.gradients(grad(lambda w: np.sum(w**3))(w).sum(), w)[0].data.tolist() == [6.0, 12.0]
    value, pullback = vjp(lambda x: x * x, x)
    d = pullback(w)[0]
    assert tg.gradients(d.sum(), w)[0].data.tolist() == [6.0, 8.0]
    assert type(value) is np.ndarray
    _, along = jvp(lambda x: x * x, (x,), (w,))
    assert tg.gradients(along.sum(), w)[0].data.tolist() == [6.0, 8.0]
    rows = jacobian(lambda x: w * x)(x)
    assert tg.gradients(rows.sum(), w)[0].data.tolist() == [1.0, 1.0]
    computed = np.tanh(w)
    inner = grad(lambda x: np.sum(computed * x))(x)
    assert_close(tg.gradients(inner.sum(), w)[0].data, 1 - np.tanh([1.0, 2.0]) ** 2)
    made_inside = grad(lambda x: np.sum(x * tg.tensor([2.0, 3.0])))(x)
    assert type(made_inside) is np.ndarray


def test_no_grad_around_and_inside() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    x = np.array([3.0, 4.0])
    with tg.no_grad():
        assert grad(lambda x: np.sum(w * x * x))(x).tolist() == [6.0, 16.0]
        assert grad(grad(lambda x: w[0] * x**3))(2.0) == 12.0
        for slope in (grad(lambda w: np.sum(w**3))(w), jvp(lambda x: x * x, (x,), (w,))[1], vjp(np.sin, x)[1](w)[0]):
            assert not getattr(slope, "requires_grad", False)
    _, pullback = vjp(lambda x: w * x, x)
    with tg.no_grad():
        assert type(pullback(x)[0]) is np.ndarray

    @tg.no_grad()
    def constant(x: Any) -> Any:
        return np.sum(x * x)

    assert grad(constant)(x).tolist() == [0.0, 0.0]


def test_an_observer_sees_the_function_run() -> None:
    class Names(Observer):
        seen: list[str] = []  # of one test

        def saw(self, op: Any, node: Any, out: Any, data: Any) -> None:
            self.seen.append(op.name)

    with recording(Names()):
        assert grad(lambda x: np.sin(x) * 2.0)(0.0) == 2.0
    assert Names.seen == ["sin", "multiply"]


# ---- edges


def test_empty_and_independent() -> None:
    assert grad(lambda x: np.sum(x * x))(np.empty((0, 2))).shape == (0, 2)
    assert jacobian(lambda x: x * x)(np.empty(0)).shape == (0, 0)
    assert jacobian(lambda x: x[:0])(np.ones(2)).shape == (0, 2)
    assert hessian(lambda x: np.sum(x))(np.ones(2)).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert grad(lambda p: tg.tensor(1.0))({}) == {}
    of_x, of_y = grad(lambda x, y: x * 2, argnums=(0, 1))(1.0, np.ones(3, np.float32))
    assert of_x == 2.0
    np.testing.assert_array_equal(of_y, np.zeros(3, np.float32), strict=True)
    nothing = lambda x: tg.tensor(1.0)  # noqa: E731  # a formula
    assert grad(nothing)(2.0) == grad(grad(nothing))(2.0) == hessian(nothing)(2.0) == 0.0
    assert jvp(nothing, (2.0,), (1.0,)) == (1.0, 0.0)
    assert hvp(nothing, (2.0,), (1.0,)) == (0.0,)
    assert vjp(nothing, 2.0)[1](1.0) == (0.0,)
    assert jacobian(lambda x: x)(2.0) == 1.0
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    assert grad(lambda x: np.sum(w))(w).data.tolist() == [0.0, 0.0]  # read from outside, not as the argument
    twice = value_and_grad(lambda p: p[0] * p[1])([w[0], w[0]])[1]
    assert [d.item() for d in twice] == [1.0, 1.0]  # one tensor in two places: two arguments


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: grad(lambda x: x * 2)(np.ones(3)), ValueError, r"grad: .* shape \(3,\), expected a scalar.*jacobian"),
        (lambda: hessian(lambda x: x * 2)(np.ones(3)), ValueError, r"shape \(3,\), expected a scalar"),
        (lambda: grad(np.sin, argnums=1)(1.0), ValueError, "argnums names argument 1.* 1 positional argument"),
        (lambda: grad(np.sin, argnums=-2)(1.0), ValueError, "argnums names argument -2"),
        (lambda: grad(np.multiply, argnums=(0, -2))(1.0, 2.0), ValueError, "names an argument twice"),
        (lambda: grad(np.sin)(x=1.0), ValueError, "0 positional arguments. Keyword arguments are passed on"),
        (lambda: grad(np.sin, argnums="x"), TypeError, "argnums is 'x', expected an integer"),
        (lambda: grad(np.sin, argnums=()), TypeError, "argnums is"),
        (lambda: grad(np.sin, argnums=True), TypeError, "argnums is True"),
        (lambda: hessian(3.0), TypeError, "hessian: given float, expected a function"),
        (lambda: checkpoint(3.0), TypeError, "checkpoint: given float, expected a function"),
        (lambda: grad(np.sin)(3), TypeError, "argument 0 is int 3, expected floating-point.*Write 3.0 instead of 3"),
        (lambda: grad(np.sum)(np.arange(3)), TypeError, "argument 0 is ndarray of dtype int64"),
        (lambda: grad(np.sum)(tg.tensor([1])), TypeError, "argument 0 is Tensor of dtype int64"),
        (lambda: grad(np.sum)(np.ones(2, complex)), TypeError, "dtype complex128"),
        (lambda: grad(np.sum)({"a": [1.0, "b"]}), TypeError, r"argument 0\['a'\]\[1\] is str 'b'"),
        (lambda: grad(lambda p: p.b)(Holder(1.0, 2)), TypeError, r"argument 0\.b is int 2"),
        (lambda: grad(lambda x: x.item())(3.0), TypeError, "returned float, expected a tensor.*leave the graph behind"),
        (lambda: vjp(lambda x: [x, None, "a"], 3.0), TypeError, "vjp: the function returned str"),
        (lambda: grad(lambda x: (x, x))(3.0), TypeError, "returned tuple, expected one tensor, a scalar.*has_aux"),
        (lambda: grad(lambda x: x, has_aux=True)(3.0), TypeError, r"returns a pair \(value, aux\), given Tensor"),
        (lambda: grad(lambda x: (x, x, x), has_aux=True)(3.0), TypeError, "given tuple of 3"),
        (lambda: grad(np.argmax)(np.ones(2)), TypeError, "dtype int64, and only floating-point results"),
        (lambda: vjp(np.sin, 1.0)[1](np.ones(2)), ValueError, r"the cotangent has shape \(2,\), expected \(\)"),
        (lambda: vjp(np.sin, 1.0)[1]("a"), TypeError, "the cotangent has dtype <U1, expected numbers"),
        (lambda: vjp(lambda x: {"a": x}, 1.0)[1]({"b": 1.0}), ValueError, r"dict of \['b'\], expected .*\['a'\]"),
        (lambda: jvp(np.sin, 1.0, 1.0), TypeError, r"jvp: args is float, expected a tuple.*jvp\(f, \(x,\), \(v,\)\)"),
        (lambda: jvp(np.sin, (1.0,), 1.0), ValueError, "the tangent is float, expected the structure"),
        (lambda: hvp(np.sin, (1.0,), (1.0, 2.0)), ValueError, r"the tangent is tuple of \[0\], \[1\]"),
        (lambda: hvp(np.sin, (1.0,), ([1.0],)), ValueError, r"the tangent\[0\] has shape \(1,\)"),
    ],
)
def test_refusals(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"(?s){message}"):
        call()


def test_a_failing_function_fails_as_it_would_alone() -> None:
    def fails(x: Any) -> Any:
        raise KeyError("inner")

    with tg.no_grad(), pytest.raises(KeyError, match="inner"):
        grad(fails)(1.0)

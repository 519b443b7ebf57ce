"""NumPy's dispatch: functions of NumPy on tensors, and the refusals with the nearest thing that works."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg


@pytest.fixture
def t() -> tg.Tensor:
    return tg.tensor([[0.5, 1.0, 1.5], [2.0, 2.5, 3.0]], requires_grad=True)


SUPPORTED: dict[str, Any] = {
    "exp": np.exp, "log": np.log, "abs": np.abs, "add": lambda x: np.add(1.0, x),
    "matmul": lambda x: np.matmul(x, np.ones((3, 2))),
    "sum": np.sum, "sum of an axis": lambda x: np.sum(x, 1, keepdims=True), "mean": lambda x: np.mean(x, axis=(0, 1)),
    "max": lambda x: np.max(x, 0), "amax": lambda x: np.amax(x, axis=1), "min": np.min, "prod": np.prod,
    "var": lambda x: np.var(x, ddof=1),
    "std": np.std, "reshape": lambda x: np.reshape(x, (3, 2)), "ravel": np.ravel, "transpose": np.transpose,
    "permute_dims": lambda x: np.permute_dims(x, (1, 0)), "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "expand_dims": lambda x: np.expand_dims(x, 1), "squeeze": lambda x: np.squeeze(x[None]),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 3)),
    "concatenate": lambda x: np.concatenate([x, np.ones((1, 3))]),
    "concatenate flat": lambda x: np.concatenate([x, np.ones(2)], axis=None),
    "concat": lambda x: np.concat((x, x), axis=1),
    "stack": lambda x: np.stack([np.zeros((2, 3)), x], axis=-1), "where": lambda x: np.where(np.ones(3, bool), x, 0.0),
    "clip": lambda x: np.clip(x, 1.0, 2.0), "dot": lambda x: np.dot(np.ones(2), x),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "add.reduce": lambda x: np.add.reduce(x, axis=1), "add.reduce of axis 0": np.add.reduce,
    "multiply.reduce": lambda x: np.multiply.reduce(x),
    "maximum.reduce": lambda x: np.maximum.reduce(x, axis=None),
    "minimum.reduce": lambda x: np.minimum.reduce(x, axis=1, keepdims=True),
    "copy": np.copy, "take_along_axis": lambda x: np.take_along_axis(x, np.array([[0], [2]]), axis=1),
    "power": lambda x: np.power(x, 2),
    "maximum": lambda x: np.maximum(x, 1.25), "divide": lambda x: np.divide(1.0, x),
    "true_divide": lambda x: np.true_divide(x, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", SUPPORTED)
def test_numpys_functions_give_numpys_values_and_gradients(name: str, t: tg.Tensor) -> None:
    f = SUPPORTED[name]
    out = f(t)
    assert type(out) is tg.Tensor
    np.testing.assert_allclose(out.data, f(t.data), rtol=1e-15, strict=True)
    out.sum().backward()
    assert t.grad.shape == t.shape


@pytest.mark.parametrize("name",
["isfinite", "isnan", "isinf", "signbit", "logical_not", "argmax", "argmin", "any", "all",
                                  "zeros_like", "ones_like"])  # fmt: skip
def test_functions_without_a_gradient_give_constants(name: str, t: tg.Tensor) -> None:
    f = getattr(np, name)
    out = f(t)
    assert not out.requires_grad
    np.testing.assert_array_equal(out.data, f(t.data))


@pytest.mark.parametrize("dims",
[((), (3,)), ((3,), ()), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((2, 3), (4, 3, 2)),
                                  ((4, 2, 3), (3,)), ((3,), (4, 3, 2)), ((4, 2, 3), (5, 3, 2))])  # fmt: skip
def test_dot_of_any_dimensions(dims: Any, rng: np.random.Generator) -> None:
    a, b = (rng.normal(size=shape) for shape in dims)
    x, y = tg.tensor(a, requires_grad=True), tg.tensor(b, requires_grad=True)
    for out in (np.dot(x, y), np.dot(x, b), np.dot(a, y), tg.dot(x, y), x.dot(y)):
        np.testing.assert_allclose(out.data, np.dot(a, b), rtol=1e-13, atol=1e-14, strict=True)
    np.dot(x, y).sum().backward()
    eps = 1e-6
    (along,) = [rng.normal(size=a.shape)]
    slope = (np.dot(a + eps * along, b).sum() - np.dot(a - eps * along, b).sum()) / (2 * eps)
    assert np.sum(x.grad * along) == pytest.approx(slope, rel=1e-6, abs=1e-8)


# ---- refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t: np.convolve(t, t),
            r"np\.convolve has no derivative rule for tensors\.( The nearest supported function is np\.\w+)?",
        ),
        (np.spacing, r"np\.spacing has no derivative rule.*tg\.op\(np\.spacing, x=rule"),
        (lambda t: np.nextafter(t, 2), r"np\.nextafter has no derivative rule"),
        (lambda t: np.gcd(np.ones((2, 3), int), t), r"np\.gcd has no derivative rule"),
        (np.linalg.eig, r"np\.linalg\.eig has no derivative rule"),
        (lambda t: np.frexp(t), r"np\.frexp has no derivative rule.*np\.exp"),
        (np.fft.fft, r"np\.fft\.?\w*\.fft has no derivative rule"),
        (np.corrcoef, r"np\.corrcoef has no derivative rule"),
        (lambda t: np.copyto(np.ones((2, 3)), t), r"np\.copyto writes in place"),
        (lambda t: np.put(np.ones(6), [0], t), "np.put|needs a gradient"),
    ],
)
def test_unsupported_functions_name_the_nearest_and_the_way_out(call: Any, message: str, t: tg.Tensor) -> None:
    with pytest.raises(TypeError, match=message) as caught:
        call(t)
    assert "t.data" in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t: np.exp(t, where=np.ones((2, 3), bool)),
            r"np\.exp: where= is not supported on tensors\. .*np\.where\(condition",
        ),
        (
            lambda t: np.add(t, 1, dtype=np.float32),
            r"np\.add: dtype= is not supported on tensors\. .*t\.astype\(dtype\)",
        ),
        (lambda t: np.multiply(t, 1, casting="unsafe"), r"np\.multiply: casting= is not supported"),
        (lambda t: np.matmul(t, np.ones((3, 2)), axes=[(0, 1), (0, 1), (0, 1)]), r"np\.matmul: axes= is not supported"),
        (lambda t: np.sum(t, out=np.zeros(())), r"sum: keyword 'out' is not supported|cannot be written into"),
        (lambda t: np.clip(t, 0, 1, out=np.zeros((2, 3))), r"clip: keyword 'out' is not supported"),
        (
            lambda t: t.sum(ax=1),
            r"sum: keyword 'ax' is not supported on tensors; expected a, axis.* Did you mean 'a(xis)?'",
        ),
    ],
)
def test_unsupported_keywords_are_named(call: Any, message: str, t: tg.Tensor) -> None:
    with pytest.raises(TypeError, match=message):
        call(t)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: np.hypot.accumulate(t), r"np\.hypot\.accumulate has no gradient on tensors: use tg\.cumsum"),
        (lambda t: np.add.outer(t, t), r"np\.add\.outer has no gradient on tensors: use broadcasting"),
        (lambda t: np.add.at(np.zeros(3), [0], t), r"np\.add\.at has no gradient on tensors: use t\.at\[i\]\.add\(v\)"),
        (lambda t: np.add.reduceat(t, [0, 1]), r"np\.add\.reduceat has no gradient on tensors: use slices"),
        (lambda t: np.subtract.reduce(t), r"np\.subtract\.reduce has no gradient on tensors: use tg\.sum"),
    ],
)
def test_methods_of_ufuncs(call: Any, message: str, t: tg.Tensor) -> None:
    with pytest.raises(TypeError, match=message):
        call(t)


def test_strings_and_dates_are_refused(t: tg.Tensor) -> None:
    with pytest.raises(TypeError, match="add"):
        t + "a"
    with pytest.raises(TypeError, match="multiply"):
        t * None
    with pytest.raises(TypeError):
        t + np.datetime64("2020-01-01")


def test_matmul_of_a_number_is_refused(t: tg.Tensor) -> None:
    for call in (lambda: t @ 2.0, lambda: 2.0 @ t):
        with pytest.raises(ValueError, match="matmul: .*inner lengths must agree"):
            call()


def test_a_missing_name_points_to_numpy_and_op() -> None:
    with pytest.raises(AttributeError, match=r"tinygrad_fc has no 'spacing'\. .*np\.spacing\(t\).*tg\.op"):
        tg.spacing  # noqa: B018  # the attribute itself is what is asked for
    assert "exp" in dir(tg)

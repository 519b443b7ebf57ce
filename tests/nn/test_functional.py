"""nn.functional: PyTorch's names and arguments. Values against the formulas, state in place, and bad input."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.nn import functional as F

Rng = np.random.Generator

ACTIVATIONS: dict[str, tuple[dict[str, Any], Any]] = {
    "relu": ({}, tg.relu),
    "leaky_relu": ({"negative_slope": 0.3}, lambda x: tg.leaky_relu(x, 0.3)),
    "elu": ({"alpha": 0.3}, lambda x: tg.elu(x, 0.3)),
    "selu": ({}, tg.selu),
    "gelu": ({"approximate": "tanh"}, lambda x: tg.gelu(x, "tanh")),
    "silu": ({}, tg.silu),
    "softplus": ({"beta": 2.0}, lambda x: tg.softplus(x, 2.0)),
    "sigmoid": ({}, tg.sigmoid),
    "logsigmoid": ({}, tg.log_sigmoid),
    "tanh": ({}, tg.tanh),
    "hardtanh": ({"min_val": -0.5, "max_val": 0.7}, lambda x: tg.hardtanh(x, -0.5, 0.7)),
    "softmax": ({"dim": 0}, lambda x: tg.softmax(x, 0)),
    "log_softmax": ({"dim": 0}, lambda x: tg.log_softmax(x, 0)),
    "maxout": ({"pieces": 2}, lambda x: tg.maxout(x, 2)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str, rng: Rng) -> None:
    options, f = ACTIVATIONS[name]
    x = rng.normal(size=(3, 4))
    function = getattr(F, name)
    assert list(inspect.signature(function).parameters)[0] == "input"
    np.testing.assert_array_equal(function(input=x, **options).data, f(x).data)
    if name != "maxout":
        default = getattr(tg, {"logsigmoid": "log_sigmoid"}.get(name, name))
        np.testing.assert_array_equal(function(x).data, default(x).data)


# ---- linear


@pytest.mark.parametrize("lead", [(5,), (), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_linear(lead: tuple[int, ...], with_bias: bool, rng: Rng) -> None:
    arrays = [rng.normal(size=(*lead, 4)), rng.normal(size=(3, 4)), rng.normal(size=3)][: 2 + with_bias]
    expected = arrays[0] @ arrays[1].T + (arrays[2] if with_bias else 0.0)
    t = [tg.tensor(a, requires_grad=True) for a in arrays]
    out = F.linear(*t)
    np.testing.assert_allclose(out.data, expected, rtol=1e-13)
    np.testing.assert_allclose(F.linear(*arrays).data, expected, rtol=1e-13)
    g = rng.normal(size=expected.shape)
    out.backward(g)
    np.testing.assert_allclose(t[0].grad, g @ arrays[1], rtol=1e-12)
    np.testing.assert_allclose(t[1].grad, g.reshape(-1, 3).T @ arrays[0].reshape(-1, 4), rtol=1e-12, atol=1e-14)
    if with_bias:
        np.testing.assert_allclose(t[2].grad, g.reshape(-1, 3).sum(axis=0), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shapes", [((2, 3), (3, 4), (4,)), ((2, 4), (3, 4), (4,)), ((2, 4), (4,), None),
                                    ((), (3, 1), None), ((2, 4), (3, 4), (1, 3))])  # fmt: skip
def test_linear_that_does_not_fit(shapes: Any) -> None:
    with pytest.raises(ValueError, match=r"^linear: given input .*expected \(\.\.\., in\), \(out, in\) and \(out,\)"):
        F.linear(*[None if s is None else np.ones(s) for s in shapes])


# ---- dropout


def test_dropout_drops_with_probability_p() -> None:
    x = tg.tensor(np.ones((200, 100), np.float32), requires_grad=True)
    out = F.dropout(x, 0.3, seed=0)
    assert set(np.unique(out.data)) == {np.float32(0.0), np.float32(1.0 / 0.7)}
    assert (out.data == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert out.dtype == np.float32
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, out.data)
    np.testing.assert_array_equal(F.dropout(x, 0.3, seed=0).data, out.data)
    one = np.random.default_rng(0)
    assert not np.array_equal(F.dropout(x, 0.3, seed=one).data, F.dropout(x, 0.3, seed=one).data)
    assert (F.dropout(x, seed=0).data == 0).mean() == pytest.approx(0.5, abs=0.02)


def test_dropout_of_nothing_and_of_all() -> None:
    x = tg.tensor(np.ones((4, 3)), requires_grad=True)
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x
    assert isinstance(F.dropout(np.ones(3), training=False), tg.Tensor)
    out = F.dropout(x, p=1)
    assert not out.data.any()
    out.sum().backward()
    assert not x.grad.any()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"p": 1.5}, ValueError, r"dropout: p: given 1\.5, expected a number in \[0, 1\]"),
        ({"p": -0.1}, ValueError, "dropout: p: given -0.1"), ({"p": math.nan}, ValueError, "dropout: p: given nan"),
        ({"p": "a"}, TypeError, "dropout: p: given 'a'"), ({"seed": "a"}, TypeError, "seed: given 'a'"),
    ],
)  # fmt: skip
def test_dropout_that_does_not_fit(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        F.dropout(np.ones(3), **arguments)


# ---- normalization


@pytest.mark.parametrize("inner", [4, (4,), (3, 4), (2, 3, 4)])
def test_layer_norm(inner: Any, rng: Rng) -> None:
    shape = (inner,) if isinstance(inner, int) else inner
    x, weight, bias = rng.normal(size=(2, 3, 4)), rng.normal(size=shape), rng.normal(size=shape)
    axes = tuple(range(3 - len(shape), 3))
    normal = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 0.01)
    np.testing.assert_allclose(F.layer_norm(x, inner, eps=0.01).data, normal, rtol=1e-12)
    t = [tg.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    out = F.layer_norm(t[0], inner, t[1], t[2], 0.01)
    np.testing.assert_allclose(out.data, normal * weight + bias, rtol=1e-12)
    assert tg.gradcheck(lambda x, w, b: F.layer_norm(x, inner, w, b, 0.01), x, weight, bias)
    assert F.layer_norm(x.astype(np.float32), inner).dtype == np.float32
    assert F.layer_norm(np.arange(24).reshape(2, 3, 4), inner).dtype == np.float64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 3)), 4), r"given input \(2, 3\), normalized_shape \(4,\)"),
        ((np.ones((2, 3)), ()), r"normalized_shape \(\)"),
        ((np.ones((2, 3)), (1, 2, 3)), r"normalized_shape \(1, 2, 3\)"),
        ((np.ones((2, 3)), 3, np.ones(2)), r"weight \(2,\)"), ((np.ones((2, 3)), 3, None, np.ones((1, 3))), "bias"),
    ],
)  # fmt: skip
def test_layer_norm_that_does_not_fit(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^layer_norm: .*{message}"):
        F.layer_norm(*arguments)


def test_batch_norm_in_training_moves_the_running_statistics(rng: Rng) -> None:
    x, weight, bias = rng.normal(size=(6, 3)), rng.normal(size=3), rng.normal(size=3)
    mean, var = np.full(3, 2.0), np.full(3, 5.0)
    out = F.batch_norm(x, mean, var, weight, bias, training=True, momentum=0.3, eps=0.01)
    np.testing.assert_allclose(out.data, (x - x.mean(0)) / np.sqrt(x.var(0) + 0.01) * weight + bias, rtol=1e-12)
    np.testing.assert_allclose(mean, 0.7 * 2.0 + 0.3 * x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(var, 0.7 * 5.0 + 0.3 * x.var(0, ddof=1), rtol=1e-13)
    np.testing.assert_allclose(F.batch_norm(x, None, None, training=True).data.mean(0), 0.0, atol=1e-14)
    only = np.zeros(3)
    F.batch_norm(x, only, None, training=True)
    np.testing.assert_allclose(only, 0.1 * x.mean(0))
    assert tg.gradcheck(lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), x, weight, bias)
    narrow = np.zeros(3, np.float32), np.ones(3, np.float32)
    assert F.batch_norm(x.astype(np.float32), *narrow, training=True).dtype == np.float32
    assert narrow[0].dtype == np.float32


def test_batch_norm_in_evaluation_changes_nothing(rng: Rng) -> None:
    x, mean, var = rng.normal(size=(1, 3)), rng.normal(size=3), rng.uniform(0.5, 2.0, 3)
    before = mean.copy(), var.copy()
    out = F.batch_norm(x, mean, var, bias=np.ones(3), eps=0.01)
    np.testing.assert_allclose(out.data, (x - mean) / np.sqrt(var + 0.01) + 1.0, rtol=1e-12)
    np.testing.assert_array_equal([mean, var], before)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"running_mean": None}, ValueError, "running_mean is None, which takes training=True"),
        ({"running_var": np.ones(2)}, ValueError, r"running_var has shape \(2,\), expected \(3,\)"),
        ({"running_var": [1.0] * 3}, TypeError, "running_var: given list, expected a NumPy array of floats"),
        ({"running_mean": np.ones(3, int)}, TypeError, "running_mean: given int64, expected a NumPy array of floats"),
        ({"input": np.ones((2, 3, 4))}, ValueError, r"input has shape \(2, 3, 4\), expected \(N, C\)"),
        ({"momentum": 1.5}, ValueError, "momentum: given 1.5"), ({"eps": -1.0}, ValueError, "eps: given -1.0"),
        ({"input": np.ones((1, 3)), "training": True}, ValueError, "a batch of 1 has no spread"),
        ({"weight": np.ones(2), "training": True}, ValueError, "shapes do not fit"),
        ({"running_var": np.broadcast_to(1.0, 3), "training": True}, ValueError, "running_var is read-only"),
    ],
)  # fmt: skip
def test_batch_norm_that_does_not_fit_changes_nothing(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"input": np.arange(6.0).reshape(2, 3), "running_mean": np.zeros(3), "running_var": np.ones(3), **arguments}
    before = {key: np.array(given[key]) for key in ("running_mean", "running_var")}
    with pytest.raises(error, match=rf"^batch_norm(_inference)?: .*{message}"):
        F.batch_norm(**given)
    for key, value in before.items():
        np.testing.assert_array_equal(np.array(given[key]), value)

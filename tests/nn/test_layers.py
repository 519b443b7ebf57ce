"""Layers, losses and initialisers: values, statistics, and bad input named by layer and argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.nn import init


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("activation", [None, "relu"])
def test_linear(fused: bool, activation: str | None, rng: np.random.Generator) -> None:
    layer = nn.Linear(6, 4, activation, seed=0, fused=fused, dtype=np.float64)
    layer.b.data = rng.normal(size=4)
    x = rng.normal(size=(5, 2, 3))
    expected = x.reshape(5, 6) @ layer.W.data + layer.b.data
    if activation:
        expected = np.maximum(expected, 0)
    for batch in (x, tg.tensor(x), x.tolist()):
        np.testing.assert_allclose(layer(batch).data, expected, rtol=1e-14)
    layer(x).sum().backward()
    on = (expected > 0) if activation else np.ones((5, 4))
    np.testing.assert_allclose(layer.b.grad, on.sum(axis=0))
    np.testing.assert_allclose(layer.W.grad, x.reshape(5, 6).T @ on, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("shape", [(5, 7), (6,), (), (5, 2, 2), (0, 7)])
def test_linear_names_itself_when_the_input_does_not_fit(fused: bool, shape: tuple[int, ...]) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.hidden = nn.Linear(6, 4, fused=fused, seed=0)

        def forward(self, x: Any) -> Any:
            return self.hidden(x)

    net = Net()
    before = net.state_dict()
    with pytest.raises(ValueError, match=r"^hidden: expected \(N, 6\), got ") as caught:
        net(np.ones(shape, np.float32))
    assert str(shape) in str(caught.value)
    assert "(6, 4)" in str(caught.value)
    with pytest.raises(ValueError, match="^Linear: expected"):
        nn.Linear(6, 4)(np.ones(shape))
    for name, p in net.named_parameters():
        np.testing.assert_array_equal(p.data, before[name])
        assert p.grad is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"in_features": 0}, ValueError, "in_features: given 0, expected a positive integer"),
        ({"out_features": -2}, ValueError, "out_features: given -2"),
        ({"in_features": 2.0}, TypeError, "in_features: given 2.0"),
        ({"in_features": True}, TypeError, "in_features: given True"),
        ({"activation": "swish"}, ValueError, "activation: given 'swish', expected one of 'relu', 'leaky_relu', 'elu'"),
        ({"weight_scale": float("nan")}, ValueError, "weight_scale: given nan"),
        ({"weight_scale": -1.0}, ValueError, "weight_scale: given -1.0"),
        ({"weight_scale": "big"}, TypeError, "weight_scale: given 'big'"),
        ({"dtype": int}, TypeError, "dtype: given int64, which is not floating point, expected np.float32"),
        ({"seed": "a"}, TypeError, "seed: given 'a'"),
        ({"seed": 1.5}, TypeError, "seed: given 1.5"),
        ({"seed": -1}, ValueError, "seed|non-negative"),
    ],
)
def test_arguments_of_linear(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        nn.Linear(**{"in_features": 2, "out_features": 3, **arguments})


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
def test_linear_without_bias(fused: bool, activation: str | None, rng: np.random.Generator) -> None:
    layer = nn.Linear(6, 4, activation, seed=0, fused=fused, dtype=np.float64, bias=False)
    assert layer.b is None
    assert list(layer.state_dict()) == ["W"]
    assert repr(layer).startswith("Linear(6 -> 4, ")
    assert "bias=False" in repr(layer)
    x = rng.normal(size=(5, 2, 3))
    f = {None: lambda z: z, "relu": lambda z: np.maximum(z, 0), "tanh": np.tanh}[activation]
    for batch in (x, tg.tensor(x), x.tolist()):
        np.testing.assert_allclose(layer(batch).data, f(x.reshape(5, 6) @ layer.W.data), rtol=1e-13)
    layer(x).sum().backward()
    twin = nn.Linear(6, 4, activation, seed=0, fused=fused, dtype=np.float64)
    twin(x).sum().backward()
    np.testing.assert_allclose(layer.W.grad, twin.W.grad, rtol=1e-13, atol=1e-15)
    with pytest.raises(ValueError, match=r"^Linear: expected \(N, 6\)"):
        layer(np.ones((2, 5)))
    assert layer(np.ones((2, 6), np.float32)).dtype == np.float64
    assert nn.Linear(3, 2, bias=False)(np.ones((2, 3))).dtype == np.float32
    with pytest.raises(TypeError, match="^bias: given None, expected True or False"):
        nn.Linear(3, 2, bias=None)


def test_sequential() -> None:
    net = nn.Sequential(nn.Linear(3, 4, seed=0), nn.ReLU(), nn.Linear(4, 2, seed=1))
    assert [name for name, _ in net.named_parameters()] == ["0.W", "0.b", "2.W", "2.b"]
    x = np.ones((2, 3), np.float32)
    h = np.maximum(x @ net.state_dict()["0.W"], 0) @ net.state_dict()["2.W"]
    np.testing.assert_allclose(net(x).data, h, rtol=1e-5)
    with pytest.raises(TypeError, match=r"Sequential: argument 1 is function, expected a Module"):
        nn.Sequential(nn.ReLU(), np.exp if False else (lambda x: x))
    with pytest.raises(ValueError, match=r"^2: expected \(N, 4\), got \(2, 3\)"):
        nn.Sequential(nn.ReLU(), nn.ReLU(), nn.Linear(4, 2))(x)


@pytest.mark.parametrize(("loss", "f"), [(nn.SoftmaxLoss, tg.softmax_loss), (nn.SVMLoss, tg.svm_loss)])
def test_losses(loss: Any, f: Any, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(4, 3)), np.array([0, 1, 2, 1])
    for fused in (True, False):
        t = tg.tensor(x, requires_grad=True)
        out = loss(fused=fused)(t, y)
        assert out.item() == pytest.approx(f(x, y).item(), rel=1e-14)
        assert out.shape == ()
        out.backward()
        u = tg.tensor(x, requires_grad=True)
        f(u, y).backward()
        np.testing.assert_allclose(t.grad, u.grad, rtol=1e-13, atol=1e-15)


def test_functional_is_the_public_operations() -> None:
    own = {name for name in nn.functional.__all__ if getattr(nn.functional, name).__module__ == nn.functional.__name__}
    for name in set(nn.functional.__all__) - own:  # the others have PyTorch's order of arguments
        assert getattr(nn.functional, name) is getattr(tg, name)


# ---- initialisers


def test_initial_values_have_their_scale() -> None:
    shape = (400, 300)
    assert init.normal(shape, 0.01, 0).std() == pytest.approx(0.01, rel=0.02)
    assert init.kaiming_normal(shape, 0).std() == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    uniform = init.xavier_uniform(shape, 0)
    assert uniform.var() == pytest.approx(2 / 700, rel=0.02)
    assert np.abs(uniform).max() <= (6 / 700) ** 0.5
    assert not init.zeros((3, 2)).any()
    for values in (init.normal(shape, 1.0, 0), init.kaiming_normal(shape, 0), uniform):
        assert abs(values.mean()) < 0.01 * max(1.0, values.std())


def test_seeds() -> None:
    for seed in (3, np.int64(3)):
        np.testing.assert_array_equal(init.normal((2, 3), 1.0, seed), init.normal((2, 3), 1.0, 3))
    one = np.random.default_rng(3)
    a, b = init.normal((2, 3), 1.0, one), init.normal((2, 3), 1.0, one)
    assert not np.array_equal(a, b)
    legacy = init.normal((2, 3), 0.5, np.random.RandomState(231))
    np.testing.assert_array_equal(legacy, 0.5 * np.random.RandomState(231).randn(2, 3))
    before = np.random.get_state()[1].copy()  # noqa: NPY002  # the global generator is what is watched
    init.normal((2, 3), 1.0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002  # as above: it did not move
    assert not np.array_equal(init.normal((2, 3), 1.0), init.normal((2, 3), 1.0))

"""Activations as layers: each is its operation, fused or composed, shows its arguments, and checks them at once."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn

LAYERS: dict[str, tuple[Any, Any, str]] = {
    "ReLU": (nn.ReLU, tg.relu, "ReLU()"),
    "LeakyReLU": (lambda **k: nn.LeakyReLU(0.2, **k), lambda x: tg.leaky_relu(x, 0.2), "LeakyReLU(negative_slope=0.2)"),
    "ELU": (lambda **k: nn.ELU(alpha=0.5, **k), lambda x: tg.elu(x, 0.5), "ELU(alpha=0.5)"),
    "SELU": (nn.SELU, tg.selu, "SELU()"),
    "GELU": (nn.GELU, tg.gelu, "GELU(approximate='none')"),
    "GELU tanh": (lambda **k: nn.GELU(approximate="tanh", **k), lambda x: tg.gelu(x, "tanh"),
                  "GELU(approximate='tanh')"),
    "SiLU": (nn.SiLU, tg.silu, "SiLU()"),
    "Softplus": (lambda **k: nn.Softplus(beta=2.0, **k), lambda x: tg.softplus(x, 2.0), "Softplus(beta=2.0)"),
    "Sigmoid": (nn.Sigmoid, tg.sigmoid, "Sigmoid()"),
    "LogSigmoid": (nn.LogSigmoid, tg.log_sigmoid, "LogSigmoid()"),
    "Tanh": (nn.Tanh, tg.tanh, "Tanh()"),
    "Hardtanh": (lambda **k: nn.Hardtanh(-0.5, max_val=2.0, **k), lambda x: tg.hardtanh(x, -0.5, 2.0),
                 "Hardtanh(min_val=-0.5, max_val=2.0)"),
    "Softmax": (lambda **k: nn.Softmax(dim=0, **k), lambda x: tg.softmax(x, 0), "Softmax(dim=0)"),
    "LogSoftmax": (nn.LogSoftmax, tg.log_softmax, "LogSoftmax(dim=-1)"),
    "Maxout": (lambda **k: nn.Maxout(3, **k), lambda x: tg.maxout(x, 3), "Maxout(pieces=3)"),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_operation(name: str, rng: np.random.Generator) -> None:
    make, f, shown = LAYERS[name]
    x = rng.normal(size=(4, 6))
    t = tg.tensor(x, requires_grad=True)
    expected = f(t)
    (d,) = tg.gradients(expected.sum(), t)
    for fused in (True, False):
        layer = make(fused=fused)
        for again in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            out = again(t)
            assert (out.node.op is f(t).node.op) is fused
            np.testing.assert_allclose(out.data, expected.data, rtol=1e-13, atol=1e-15)
            np.testing.assert_allclose(tg.gradients(out.sum(), t)[0].data, d.data, rtol=1e-12, atol=1e-14)
        plain = layer(x)  # an array is taken too, and gives a tensor
        assert isinstance(plain, tg.Tensor)
        np.testing.assert_array_equal(plain.data, layer(t).data)
        assert list(layer.parameters()) == []
    assert repr(make()) == shown
    assert repr(make(fused=False)) == f"{shown[:-1]}{', ' * (shown[-2] != '(')}fused=False)"


def test_every_activation_stands_in_the_table_or_changes_shape_or_meaning() -> None:
    classes = {cls for cls in vars(nn).values() if isinstance(cls, type) and issubclass(cls, nn.Activation)}
    others = {nn.Activation, nn.Softmax, nn.LogSoftmax, nn.Maxout}
    assert classes - others == set(nn.ACTIVATIONS.values())
    for name, cls in nn.ACTIVATIONS.items():
        assert cls()(tg.tensor([1.0], requires_grad=True)).node.op.name == name


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.LeakyReLU(-1.0), ValueError, "leaky_relu: negative_slope: given -1.0"),
        (lambda: nn.ELU(alpha="a"), TypeError, "elu: alpha: given 'a'"),
        (lambda: nn.GELU("exact"), ValueError, "gelu: approximate: given 'exact'"),
        (lambda: nn.Softplus(beta=0.0), ValueError, "softplus: beta: given 0"),
        (lambda: nn.Hardtanh(1.0, -1.0), ValueError, "hardtanh: given min_val=1.0 and max_val=-1.0"),
        (lambda: nn.Maxout(0), ValueError, "maxout: pieces: given 0"),
        (lambda: nn.Maxout(2.0, fused=False), TypeError, "maxout: pieces: given 2.0"),
    ],
)
def test_arguments_are_checked_when_the_layer_is_made(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        make()


# ---- in other layers


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", nn.ACTIVATIONS)
def test_linear_with_an_activation(name: str, fused: bool, rng: np.random.Generator) -> None:
    layer = nn.Linear(6, 4, name, seed=0, fused=fused, dtype=np.float64)
    x = rng.normal(size=(5, 2, 3))
    out = layer(x)
    np.testing.assert_array_equal(layer.W.data, nn.Linear(6, 4, seed=0, dtype=np.float64).W.data)
    expected = nn.ACTIVATIONS[name]()(tg.affine(x, layer.W, layer.b))
    np.testing.assert_allclose(out.data, expected.data, rtol=1e-13, atol=1e-15)
    g = rng.normal(size=(5, 4))
    for found, right in zip(
        tg.gradients(out, [layer.W, layer.b], g), tg.gradients(expected, [layer.W, layer.b], g), strict=True
    ):
        np.testing.assert_allclose(found.data, right.data, rtol=1e-12, atol=1e-14)
    assert out.node.op.name == ("affine_relu" if name == "relu" else name) or not fused


def test_linear_keeps_the_precision() -> None:
    x = np.ones((3, 2), np.float32)
    for name in nn.ACTIVATIONS:
        for fused in (True, False):
            layer = nn.Linear(2, 3, name, seed=0, fused=fused)
            out = layer(x)
            out.sum().backward()
            assert out.dtype == layer.W.grad.dtype == layer.b.grad.dtype == np.float32, name


def test_identity_and_flatten() -> None:
    x = tg.tensor(np.arange(12.0).reshape(2, 3, 2), requires_grad=True)
    assert nn.Identity()(x) is x
    flat = nn.Flatten()(x)
    np.testing.assert_array_equal(flat.data, x.data.reshape(2, 6))
    flat.backward(np.arange(12.0).reshape(2, 6))
    np.testing.assert_array_equal(x.grad, np.arange(12.0).reshape(2, 3, 2))
    for shape, expected in (((0, 2, 3), (0, 6)), ((4,), (4, 1)), ((2, 0), (2, 0)), ((3, 5), (3, 5))):
        assert nn.Flatten()(np.zeros(shape)).shape == expected
    with pytest.raises(ValueError, match=r"^Flatten: expected \(N, \.\.\.\), got \(\)"):
        nn.Flatten()(np.zeros(()))
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 4, seed=0), nn.Tanh(), nn.Identity(), nn.Maxout(2))
    assert net(np.ones((3, 2, 3), np.float32)).shape == (3, 2)

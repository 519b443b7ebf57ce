"""What layers refuse, and how: named by path and argument, composed or fused, and before anything has changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn

TINY = np.array([[1e-30, 1.0], [2e-30, 2.0]], np.float32)
EQUAL = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 5.0]])  # of which the mean, as it is rounded, is not 0.1


def values(module: nn.Module) -> list[Any]:
    return [array.copy() for array in module.state_dict().values()]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((1, 2)), "a batch of 1 has no spread to normalize by: give at least 2 examples"),
        (np.ones((0, 2)), "a batch of 0 has no spread"),
        (np.array([[3.0, 1.0], [3.0, 2.0]]), "a feature is constant over the batch and eps is 0, so 0 would divide"),
        (EQUAL, "a feature is constant over the batch and eps is 0"),
        (TINY, "the variance of feature 0 underflows to 0 in float32 and eps is 0, .*scale the values up"),
    ],
)
def test_batch_norm_refuses_alike_fused_and_composed(fused: bool, x: Any, message: str) -> None:
    net = nn.Sequential(nn.Identity(), nn.BatchNorm1d(2, eps=0.0, fused=fused))
    before = values(net)
    for batch in (x, tg.tensor(x), tg.tensor(x.astype(np.float32), requires_grad=True)):
        with np.errstate(under="ignore"), pytest.raises(ValueError, match=f"^1: batch_norm: {message}"):
            net(batch)
    for array, old in zip(values(net), before, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize("fused", [True, False])
def test_layer_norm_refuses_alike_fused_and_composed(fused: bool) -> None:
    net = nn.Sequential(nn.LayerNorm(2, eps=0.0, fused=fused))
    with pytest.raises(ValueError, match="^0: layer_norm: all features of an example are equal and eps is 0"):
        net(np.array([[1.0, 2.0], [0.1, 0.1]]))
    under = "^0: layer_norm: the variance of example 1 underflows to 0 in float32 and eps is 0"
    with np.errstate(under="ignore"), pytest.raises(ValueError, match=under):
        net(TINY[:, ::-1] * np.array([[1.0], [0.5e-30]], np.float32))
    assert net(np.zeros((0, 2))).shape == (0, 2)


def test_half_precision_is_measured_in_single_fused_and_composed() -> None:
    x = np.array([[250.0, 1.0], [255.0, 2.0], [9000.0, 5.0]], np.float16)  # squares overflow
    found = []
    for fused in (True, False):
        layer = nn.BatchNorm1d(2, eps=0.0, fused=fused)
        out = layer(tg.tensor(x))
        found.append([out.data, layer.running_mean, layer.running_var])
        nn.LayerNorm(2, eps=0.0, fused=fused)(tg.tensor(x))
    for a, b in zip(*found, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_an_epsilon_below_the_precision_is_none() -> None:
    x = np.ones((3, 2), np.float32)
    for name, layer in (("batch_norm", nn.BatchNorm1d(2, eps=1e-60)), ("layer_norm", nn.LayerNorm(2, eps=1e-60))):
        with pytest.raises(ValueError, match=rf"{name}: .* and eps is 1e-60, so 0 would divide"):
            layer(x)
    np.testing.assert_array_equal(nn.BatchNorm1d(2, eps=1e-60, dtype=np.float64)(x).data, 0.0)
    with np.errstate(under="ignore"):
        np.testing.assert_array_equal(nn.BatchNorm1d(2, eps=1e-40)(x).data, 0.0)


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm"])
@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_equal_values_are_beta_where_eps_divides(name: str, gamma: float) -> None:
    x = tg.tensor(np.full((3, 2), 0.1), requires_grad=True)
    out = getattr(tg, name)(x, np.full(2, gamma), np.array([5.0, 6.0]))
    np.testing.assert_allclose((out[0] if name == "batch_norm" else out).data, [[5.0, 6.0]] * 3)
    (out[0] if name == "batch_norm" else out)[0].sum().backward()
    assert np.isfinite(x.grad).all()


# ---- what holds no real numbers


LAYERS = [
    nn.Linear(2, 2), nn.Linear(2, 2, "tanh", fused=False), nn.BatchNorm1d(2), nn.BatchNorm1d(2, fused=False),
    nn.BatchNorm1d(2).eval(), nn.LayerNorm(2), nn.LayerNorm(2, fused=False), nn.Flatten(), nn.Dropout(0.5),
    nn.Dropout(0.5, fused=False), nn.ReLU(), nn.Softmax(), nn.Maxout(2), nn.Tanh(fused=False), nn.GELU("tanh"),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (None, TypeError, "given NoneType, expected real numbers"),
        ("abc", TypeError, "given dtype <U3, expected real numbers"),
        ([["a", "b"]], TypeError, "given dtype <U1"),
        ([[1.0, 2.0], [1.0]], ValueError, "no rectangular array of numbers"),
        ([[1.0, None]], TypeError, "given a list of objects, expected real numbers"),
        (np.array([[1.0, None]]), TypeError, "given dtype object"),
        (np.ones((3, 2), complex), TypeError, r"given dtype complex128, .*np\.concatenate\(\[x\.real, x\.imag\]"),
        (np.ma.masked_array(np.ones((3, 2)), mask=False), TypeError, "MaskedArray"),
    ],
)
def test_a_layer_names_itself_and_its_argument(layer: Any, x: Any, error: type[Exception], message: str) -> None:
    who = "" if message == "MaskedArray" else rf"{type(layer).__name__}: x: "
    before = values(layer)
    with pytest.raises(error, match=f"^{who}.*{message}"):
        layer(x)
    with pytest.raises(error, match=rf"^1: .*{message}"):
        nn.Sequential(nn.Identity(), layer)(x)
    for array, old in zip(values(layer), before, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if "Norm" in repr(layer)], ids=repr)
def test_a_complex_tensor_is_not_halved(layer: Any) -> None:
    with pytest.raises(TypeError, match=r"Norm(1d)?: x: given dtype complex128, expected real numbers"):
        layer(tg.tensor(np.ones((3, 2), complex)))
    for operation in (tg.batch_norm, tg.layer_norm):
        with pytest.raises(TypeError, match=rf"{operation.__name__}: x has dtype complex128, expected real numbers"):
            operation(np.ones((3, 2), complex), np.ones(2), np.ones(2))


# ---- arguments


@pytest.mark.parametrize("wrong", ["no", None, 0, 1.0, np.ones(2)])
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda v: nn.Linear(2, 2, fused=v), "fused"),
        (lambda v: nn.BatchNorm1d(2, fused=v), "fused"),
        (lambda v: nn.LayerNorm(2, fused=v), "fused"),
        (lambda v: nn.Dropout(0.5, fused=v), "fused"),
        (lambda v: nn.ReLU(fused=v), "fused"),
        (lambda v: nn.ELU(1.0, fused=v), "fused"),
        (lambda v: nn.Softmax(fused=v), "fused"),
        (lambda v: nn.SoftmaxLoss(fused=v), "fused"),
        (lambda v: nn.KLDivLoss(fused=v), "fused"),
        (lambda v: tg.models.TwoLayerNet(2, 2, 2, fused=v), "fused"),
        (lambda v: nn.ReLU().train(v), "train: mode"),
        (lambda v: nn.ReLU().load_state_dict({}, strict=v), "load_state_dict: strict"),
        (lambda v: nn.functional.dropout(np.ones(2), 0.5, v), "dropout: training"),
        (lambda v: nn.functional.batch_norm(np.ones((2, 2)), None, None, training=v), "batch_norm: training"),
    ],
)
def test_what_is_true_or_false_is_a_bool(call: Any, name: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name}: given .*, expected True or False"):
        call(wrong)


def test_bools_of_numpy_are_bools() -> None:
    assert nn.ReLU(fused=np.bool_(False)).fused is False
    assert nn.ReLU().train(np.bool_(False)).training is False


@pytest.mark.parametrize("make", [lambda d: nn.Linear(2, 2, dtype=d), lambda d: nn.BatchNorm1d(2, dtype=d),
                                  lambda d: nn.LayerNorm(2, dtype=d), lambda d: tg.models.TwoLayerNet(2, 2, 2, dtype=d),
                                  lambda d: tg.models.FullyConnectedNet([], 2, 2, dtype=d)])  # fmt: skip
@pytest.mark.parametrize(
    ("dtype", "given"),
    [(int, "int64, which is not floating point"), ("foo", "'foo'"), (3, "3"),
     (complex, "complex128, which is not floating point")],
)  # fmt: skip
def test_a_dtype_that_is_none_is_named(make: Any, dtype: Any, given: str) -> None:
    with pytest.raises(TypeError, match=rf"^dtype: given {given}, expected np\.float32 or np\.float64"):
        make(dtype)


@pytest.mark.parametrize("momentum", [1.5, -0.1, float("nan")])
def test_a_momentum_that_was_set_later_is_checked(momentum: float) -> None:
    layer = nn.BatchNorm1d(2)
    layer.momentum = momentum
    with pytest.raises(ValueError, match=f"^BatchNorm1d: momentum: given {momentum}"):
        layer(np.ones((3, 2)))
    np.testing.assert_array_equal(layer.running_mean, 0.0)

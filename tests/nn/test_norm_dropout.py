"""Normalization and dropout: the statistics of the course, modes, state, and bad input."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn

Rng = np.random.Generator


def batch(rng: Rng, n: int = 40, d: int = 5) -> np.ndarray:
    return rng.normal(size=(n, d)) * np.arange(1, d + 1) + np.arange(d)


@pytest.mark.parametrize("fused", [True, False])
def test_batch_norm_in_training_has_mean_beta_and_deviation_gamma(fused: bool, rng: Rng) -> None:
    layer = nn.BatchNorm1d(5, dtype=np.float64, fused=fused)
    x = batch(rng)
    out = layer(x).data
    np.testing.assert_allclose(out.mean(axis=0), 0.0, atol=1e-14)
    np.testing.assert_allclose(out.std(axis=0), 1.0, atol=1e-4)
    layer.gamma.data, layer.beta.data = np.array([1.0, 2, 3, 4, 5]), np.array([11.0, 12, 13, 14, 15])
    out = layer(x).data
    np.testing.assert_allclose(out.mean(axis=0), layer.beta.data)
    np.testing.assert_allclose(out.std(axis=0), layer.gamma.data, rtol=1e-4)


@pytest.mark.parametrize("fused", [True, False])
def test_running_statistics_approach_those_of_the_data(fused: bool, rng: Rng) -> None:
    layer = nn.BatchNorm1d(5, dtype=np.float64, fused=fused)
    data = batch(rng, 5000)
    np.testing.assert_array_equal(layer.running_mean, 0.0)
    np.testing.assert_array_equal(layer.running_var, 1.0)
    layer(data[:100])
    np.testing.assert_allclose(layer.running_mean, 0.1 * data[:100].mean(axis=0))
    np.testing.assert_allclose(layer.running_var, 0.9 + 0.1 * data[:100].var(axis=0))
    for start in range(100, 5000, 100):
        layer(data[start : start + 100])
    layer.eval()
    before = layer.state_dict()
    out = layer(data[:1000]).data
    np.testing.assert_allclose(out.mean(axis=0), 0.0, atol=0.15)
    np.testing.assert_allclose(out.std(axis=0), 1.0, atol=0.1)
    for path, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[path], err_msg=f"{path}: evaluation changed it")
    np.testing.assert_allclose(layer(data[:1]).data, out[:1])  # one example, no batch


@pytest.mark.parametrize("fused", [True, False])
def test_layer_norm_normalizes_each_example_alone(fused: bool, rng: Rng) -> None:
    layer = nn.LayerNorm(5, dtype=np.float64, fused=fused)
    x = batch(rng)
    out = layer(x).data
    np.testing.assert_allclose(out.mean(axis=1), 0.0, atol=1e-14)
    np.testing.assert_allclose(out.std(axis=1), 1.0, atol=1e-4)
    np.testing.assert_allclose(layer(x[:1]).data, out[:1], rtol=1e-13)
    np.testing.assert_allclose(layer.eval()(x).data, out, rtol=1e-15)


@pytest.mark.parametrize("fused", [True, False])
def test_dropout_keeps_the_mean_and_the_share(fused: bool) -> None:
    layer = nn.Dropout(0.7, seed=0, fused=fused)
    x = tg.tensor(np.full((200, 300), 10.0), requires_grad=True)
    out = layer(x)
    assert abs(out.data.mean() - 10.0) < 0.1
    assert abs((out.data != 0).mean() - 0.7) < 0.01
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, out.data / 10.0)
    assert layer.eval()(x) is x
    assert nn.Dropout(1.0)(x) is x
    again = nn.Dropout(0.7, seed=0, fused=fused)
    np.testing.assert_array_equal(again(x).data, out.data)
    assert not np.array_equal(again(x).data, out.data)


def test_without_an_epsilon_a_constant_feature_is_refused() -> None:
    x = np.ones((4, 2))
    with pytest.raises(ValueError, match="batch_norm: a feature is constant over the batch and eps is 0"):
        nn.BatchNorm1d(2, eps=0.0)(x)
    with pytest.raises(ValueError, match="layer_norm: all features of an example are equal and eps is 0"):
        nn.LayerNorm(2, eps=0.0)(x)
    np.testing.assert_array_equal(nn.BatchNorm1d(2)(x).data, 0.0)


def test_nan_passes_and_is_not_called_constant() -> None:
    x = np.array([[np.nan, 1.0], [2.0, 3.0]])
    with np.errstate(invalid="ignore"):
        assert np.isnan(nn.BatchNorm1d(2, dtype=np.float64)(x).data[:, 0]).all()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Dropout(0.0), ValueError, r"keep_ratio: given 0.0, expected a number in \(0, 1\]"),
        (lambda: nn.Dropout(1.5), ValueError, "keep_ratio: given 1.5"),
        (lambda: nn.Dropout(float("nan")), ValueError, "keep_ratio: given nan"),
        (lambda: nn.Dropout("half"), TypeError, "keep_ratio: given 'half'"),
        (lambda: nn.BatchNorm1d(0), ValueError, "num_features: given 0"),
        (lambda: nn.BatchNorm1d(2, momentum=1.5), ValueError, "momentum: given 1.5"),
        (lambda: nn.LayerNorm(2, eps=-1.0), ValueError, "eps: given -1.0"),
        (lambda: nn.BatchNorm1d(2)(np.ones((1, 2))), ValueError, "batch_norm: a batch of 1 has no spread"),
        (lambda: nn.BatchNorm1d(2)(np.ones((4, 3))), ValueError, r"BatchNorm1d: expected \(N, 2\), got \(4, 3\)"),
        (lambda: nn.LayerNorm(2)(np.ones(2)), ValueError, r"LayerNorm: expected \(N, 2\), got \(2,\)"),
        (lambda: tg.dropout(np.ones(3), np.ones(3)), TypeError, "dropout: mask has dtype float64, expected bool"),
        (lambda: tg.dropout(np.ones(3), np.ones(2, bool)), ValueError, "dropout takes a mask of x's shape"),
        (lambda: tg.batch_norm(np.ones((4, 2)), np.ones(2), np.ones(3)), ValueError, r"batch_norm.*beta \(3,\)"),
        (
            lambda: tg.batch_norm_inference(np.ones((4, 2)), *np.ones((3, 2)), -np.ones(2)),
            ValueError, r"variance \+ eps must be above 0",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_named(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# ---- in a network


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("normalization", [None, "batchnorm", "layernorm"])
def test_gradients_of_whole_networks(normalization: str | None, fused: bool, rng: Rng) -> None:
    model = tg.models.FullyConnectedNet(
        [7, 6], 5, 4, normalization=normalization, reg=0.3, weight_scale=0.5, dtype=np.float64, seed=1, fused=fused
    )
    x, y = rng.normal(size=(6, 5)), rng.integers(4, size=6)
    _, grads = model.loss(x, y)
    assert list(grads) == list(model.params)
    for name, d in grads.items():
        number = tg.check.eval_numerical_gradient(lambda _: model.loss(x, y)[0], model.params[name])
        # A bias before batch normalization has no effect at all, so its difference is rounding.
        np.testing.assert_allclose(d, number, rtol=1e-6, atol=1e-9, err_msg=name)


def test_names_are_those_of_the_course() -> None:
    model = tg.models.FullyConnectedNet([7, 6], 5, 4, normalization="batchnorm", dropout_keep_ratio=0.5)
    assert list(model.params) == ["W1", "b1", "gamma1", "beta1", "W2", "b2", "gamma2", "beta2", "W3", "b3"]
    assert [name for name, _ in model.named_buffers()] == [
        "norm1.running_mean", "norm1.running_var", "norm2.running_mean", "norm2.running_var",
    ]  # fmt: skip
    assert [entry["running_mean"].shape for entry in model.bn_params] == [(7,), (6,)]
    assert {entry["mode"] for entry in model.bn_params} == {"train"}


def test_the_loss_trains_and_the_scores_evaluate(rng: Rng) -> None:
    model = tg.models.FullyConnectedNet([7], 5, 4, normalization="batchnorm", dropout_keep_ratio=0.5, seed=0)
    x, y = rng.normal(size=(6, 5)), rng.integers(4, size=6)
    scores = model.loss(x)
    np.testing.assert_array_equal(model.loss(x), scores)
    np.testing.assert_array_equal(model.bn_params[0]["running_mean"], 0.0)
    first, second = model.loss(x, y)[0], model.loss(x, y)[0]
    assert first != second  # another mask
    assert model.bn_params[0]["running_mean"].any()
    assert model.training
    model.eval()
    model.loss(x, y)
    assert not model.training
    assert not model.dropout1.training


def test_an_error_leaves_the_mode(rng: Rng) -> None:
    model = tg.models.FullyConnectedNet([7], 5, 4, dropout_keep_ratio=0.5, seed=0)
    with pytest.raises(ValueError, match="fc1: expected"):
        model.loss(np.ones((3, 4)))
    assert model.training
    assert model.dropout1.training


def test_running_statistics_are_state(rng: Rng) -> None:
    model = tg.models.FullyConnectedNet([7], 5, 4, normalization="batchnorm", seed=0)
    x, y = rng.normal(size=(6, 5)), rng.integers(4, size=6)
    model.loss(x, y)
    state = model.state_dict()
    other = tg.models.FullyConnectedNet([7], 5, 4, normalization="batchnorm", seed=1)
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.loss(x), model.loss(x))
    for changed, message in (
        ({**state, "norm1.running_var": np.ones(6)}, r"norm1.running_var.*\(6,\)"),
        ({key: value for key, value in state.items() if key != "norm1.running_mean"}, "missing norm1.running_mean"),
    ):
        with pytest.raises(ValueError, match=message):
            other.load_state_dict(changed)
    twin = copy.deepcopy(model)
    twin.loss(x, y)
    np.testing.assert_array_equal(model.state_dict()["norm1.running_var"], state["norm1.running_var"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"normalization": "batch"}, "normalization: given 'batch', expected None, 'batchnorm' or 'layernorm'"),
        ({"dropout_keep_ratio": 0}, "dropout_keep_ratio: given 0"),
    ],
)
def test_bad_arguments_of_the_network(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tg.models.FullyConnectedNet([7], 5, 4, **arguments)


def test_the_best_statistics_are_put_back_with_the_best_parameters() -> None:
    data = tg.data.load_digits()
    model = tg.models.FullyConnectedNet([30], 64, 10, normalization="batchnorm", dropout_keep_ratio=0.8, seed=0)
    solver = tg.training.Solver(model, data, "adam", num_epochs=4, verbose=False, seed=0)
    solver.train()
    assert solver.check_accuracy(data["X_val"], data["y_val"]) == solver.best_val_acc > 0.85

"""Gradients of whole networks against numbers: every combination of their options, one to six layers deep."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.models import FullyConnectedNet
from tinygrad_fc.nn import ACTIVATIONS

STEP = 1e-5


def directional(
    model: FullyConnectedNet, x: np.ndarray, y: np.ndarray, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Return the derivative along a random direction of all parameters: by the rules, and by two differences."""
    draws = model.generator_state()  # the same units are dropped each time
    params = {name: tensor.data.copy() for name, tensor in model.params.tensors.items()}
    way = {name: rng.normal(size=value.shape) for name, value in params.items()}

    def loss(shift: float) -> tuple[float, Any]:
        model.load_generator_state(draws)
        model.params = {name: value + shift * way[name] for name, value in params.items()}
        return model.loss(x, y)

    def central(step: float) -> float:
        return (loss(step)[0] - loss(-step)[0]) / (2.0 * step)

    _, grads = loss(0.0)
    return float(sum(np.sum(grads[name] * way[name]) for name in way)), central(STEP), central(STEP / 2.0)


@pytest.mark.parametrize("normalization", [None, "batchnorm", "layernorm"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_combination(activation: str, normalization: str | None, rng: np.random.Generator) -> None:
    kinks = 0
    for keep, loss, reg, depth in itertools.product((1.0, 0.7), ("softmax", "svm"), (0.0, 0.3), range(6)):
        what = f"{activation}, {normalization}, keep {keep}, {loss}, reg {reg}, {depth} hidden layers"
        model = FullyConnectedNet(
            [6, 5, 7, 5, 6][:depth], input_dim=8, num_classes=4, reg=reg, weight_scale=0.5, dtype=np.float64, loss=loss,
            normalization=normalization, dropout_keep_ratio=keep, activation=activation, seed=rng,
        )  # fmt: skip
        for name in model.params:  # with biases of 0, a unit whose inputs were all dropped would stand at its kink
            if name[0] == "b":
                model.params[name] = rng.normal(scale=0.3, size=model.params[name].shape)
        for _ in range(4):
            x, y = rng.normal(size=(5, 8)), rng.integers(4, size=5)
            ours, whole, half = directional(model, x, y, rng)
            size = max(abs(ours), abs(half), 1e-2)
            if abs(whole - half) < 1e-6 * size:
                break
            kinks += 1  # the differences do not agree with each other: between the two points lies a kink
        assert abs(ours - half) < 1e-6 * size, f"{what}: {ours}, by differences {half}"
    assert kinks <= 12, f"{activation}, {normalization}: {kinks} of the points lie at kinks"


def test_a_planted_fault_is_found(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: a factor of 1.0001 in one rule is seen."""
    rule = tg.layer_norm.op.pulls[0]
    pulls = (lambda g, saved: rule(g, saved) * 1.0001, *tg.layer_norm.op.pulls[1:])
    monkeypatch.setattr(tg.layer_norm.op, "pulls", pulls)
    model = FullyConnectedNet([6, 5], 8, 4, weight_scale=0.5, dtype=np.float64, normalization="layernorm", seed=0)
    ours, _, half = directional(model, rng.normal(size=(5, 8)), rng.integers(4, size=5), rng)
    assert abs(ours - half) > 1e-6 * abs(half)

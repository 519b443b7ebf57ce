"""A compiled step gives the bits of the step as it is written, whatever the network, the rule and the threads."""

import copy

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn


def model_of(kind, dtype=np.float32, seed=0):
    if kind == "plain":
        return tg.models.FullyConnectedNet([40, 30], 50, 10, seed=seed, dtype=dtype, weight_scale=None)
    if kind == "norm":
        return tg.models.FullyConnectedNet(
            [40, 30], 50, 10, seed=seed, dtype=dtype, weight_scale=None, normalization="batchnorm",
            dropout_keep_ratio=0.8,
        )
    if kind == "large":
        return tg.models.FullyConnectedNet([100, 100], 1500, 10, seed=seed, dtype=dtype, weight_scale=None)
    if kind == "penalty":
        return tg.models.FullyConnectedNet([40, 90], 50, 10, seed=seed, dtype=dtype, weight_scale=None, reg=0.1)
    if kind == "sequence":
        return nn.Sequential(
            nn.Linear(50, 90, seed=seed, dtype=dtype), nn.ReLU(), nn.Dropout(0.5, seed=seed),
            nn.Linear(90, 10, "relu", seed=1, dtype=dtype),
        )
    raise ValueError(kind)


def step_of(model, optimizer):
    criterion = nn.CrossEntropyLoss()

    def step(X, y):
        optimizer.zero_grad()
        loss = model.loss_tensor(X, y) if isinstance(model, tg.models.FullyConnectedNet) else criterion(model(X), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def batches_of(kind, count, dtype=np.float32, size=24):
    rng = np.random.default_rng(0)
    features = 1500 if kind == "large" else 50
    return [(rng.standard_normal((size, features)).astype(dtype), rng.integers(10, size=size)) for _ in range(count)]


def state_of(model, optimizer):
    tree = optimizer.state_dict()["state"]
    return [*model.state_dict().values(), *(array for arrays in tree.values() for array in arrays.values())]


def assert_same_bits(arrays, others):
    for a, b in zip(arrays, others, strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a.view(np.uint8) if a.ndim else a, b.view(np.uint8) if b.ndim else b)


@pytest.mark.parametrize("policy", ["numba", "numpy"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("kind", ["plain", "norm", "large", "sequence", "penalty"])
def test_a_replay_gives_the_bits_of_the_step(kind, rule, dtype, policy):
    tg.use_kernels(policy)  # which a fixture of all tests puts back
    model = model_of(kind, dtype)
    twin = copy.deepcopy(model)
    pairs = [(m, tg.optim.Optimizer(m, rule, learning_rate=1e-2)) for m in (model, twin)]
    compiled, plain = tg.compile(step_of(*pairs[0])), step_of(*pairs[1])
    for X, y in batches_of(kind, 6, dtype):
        loss, expected = compiled(X, y), plain(X, y)
        assert_same_bits([loss.data], [expected.data])
        assert_same_bits(state_of(*pairs[0]), state_of(*pairs[1]))
        for a, b in zip(pairs[0][0].parameters(), pairs[1][0].parameters(), strict=True):
            assert_same_bits([a.grad], [b.grad])
    assert compiled.reason is None
    assert compiled.replays == 4

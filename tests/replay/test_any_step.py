"""Steps put together at random from layers and operations give, replayed, the bits that they give as written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_twins import World, bits

import tinygrad_fc as tg
from tinygrad_fc import nn

UNARY = (
    np.tanh, tg.sigmoid, tg.relu, tg.gelu, tg.silu, tg.softplus, tg.leaky_relu, np.exp, np.square, np.abs, np.negative,
    lambda t: t * 0.5, lambda t: 1.0 - t, lambda t: t**3, lambda t: np.clip(t, -0.5, 0.5), lambda t: np.log1p(t * t),
    lambda t: t - t.mean(axis=1, keepdims=True), lambda t: t / (1 + np.abs(t).sum(axis=1, keepdims=True)),
    lambda t: tg.softmax(t),
    lambda t: np.where(t > 0, t, 0.1 * t), lambda t: np.cumsum(t, axis=1) * 0.1, lambda t: np.sqrt(t * t + 1),
)  # fmt: skip
BINARY = (
    np.add, np.subtract, np.multiply, np.maximum, np.minimum, lambda a, b: a / (1 + b * b), np.logaddexp,
    lambda a, b: a + b.sum(), lambda a, b: np.where(a > b, a, b * 0.5), np.hypot,
)  # fmt: skip
LOSSES = (
    tg.softmax_loss, tg.svm_loss, lambda s, y: tg.cross_entropy(s, y, label_smoothing=0.1),
    lambda s, y: tg.nll_loss(tg.log_softmax(s), y), lambda s, y: tg.softmax_loss(s, y) * 0.3 + (s * s).mean(),
    lambda s, y: (s * s).sum(), lambda s, y: tg.mse_loss(s, np.float32(0) * s.detach() + 1), lambda s, y: s.std(),
)  # fmt: skip


class Net(nn.Module):
    """Layers of one width, wired by numbers: each picks a layer or an operation, and what goes into it."""

    def __init__(self, wires, loss, dtype):
        self.first = nn.Linear(6, 8, seed=0, dtype=dtype)
        self.layers = [
            nn.Linear(8, 8, seed=1, dtype=dtype), nn.Linear(8, 8, "relu", seed=2, dtype=dtype),
            nn.BatchNorm1d(8, dtype=dtype), nn.Dropout(0.7, seed=3), nn.LayerNorm(8, dtype=dtype),
        ]  # fmt: skip
        self.last = nn.Linear(8, 5, seed=4, dtype=dtype)
        self.wires, self.loss = tuple(wires), loss

    def forward(self, x):
        made = [self.first(x)]
        for kind, which, one, other in self.wires:
            a, b = made[one % len(made)], made[other % len(made)]
            if kind == 0:
                made.append(self.layers[which % len(self.layers)](a))
            elif kind == 1:
                made.append(UNARY[which % len(UNARY)](a))
            else:
                made.append(BINARY[which % len(BINARY)](a, b))
        return self.last(made[-1])


def make(world):
    model, optimizer, loss_of = world.model, world.optimizer, LOSSES[world.model.loss]

    def step(X, y):
        model.zero_grad()
        scores = model(X)
        loss = loss_of(scores, y)
        loss.backward()
        optimizer.step()
        return loss, scores

    return step


WIRES = st.lists(st.tuples(*map(st.integers, [0, 0, 0, 0], [2, 99, 99, 99])), max_size=7)


@pytest.mark.parametrize("kernels", ["numpy", "numba"])
@given(wires=WIRES, loss=st.integers(0, len(LOSSES) - 1), double=st.booleans())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_step_of_any_operations(kernels, wires, loss, double):
    tg.use_kernels(kernels)
    try:
        dtype = np.float64 if double else np.float32
        found = []
        for compiled in (True, False):
            world = World(make, lambda: Net(wires, loss, dtype), rule="sgd", compiled=compiled)
            world.optimizer = used(world.optimizer, world.model, wires)
            world.step = tg.compile(make(world)) if compiled else make(world)
            values = []
            with np.errstate(all="ignore"):
                for n in range(5):
                    rng = np.random.default_rng(n)
                    X = rng.standard_normal((7, 6)).astype(np.float32)
                    values.append(bits(world.step(X, rng.integers(5, size=7))))
            found.append((values, world.state()))
            if compiled:
                step = world.step
        assert found[0] == found[1], step
    finally:
        tg.use_kernels("auto")


def used(optimizer, model, wires):
    """Return an optimizer of those layers that the loss depends on: the others get no gradient."""
    reached, made = {len(wires)}, [None]
    for kind, which, one, other in wires:
        inputs = [one % len(made)] + ([other % len(made)] if kind == 2 else [])
        made.append((inputs, model.layers[which % len(model.layers)] if kind == 0 else None))
    for n in range(len(wires), 0, -1):
        if n in reached:
            reached.update(made[n][0])
    parts = [model.first, model.last, *[made[n][1] for n in reached if n and made[n][1] is not None]]
    parameters = {id(p): p for part in parts for p in part.parameters()}
    return tg.optim.Optimizer(list(parameters.values()), "sgd", learning_rate=1e-4)

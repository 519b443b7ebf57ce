"""Operations without an instruction are called in a replay: whatever a step computes, its bits are as written."""

import re

import numpy as np
import pytest
from replay_twins import World, assert_twins, batch

import tinygrad_fc as tg
from tinygrad_fc import nn


@pytest.fixture(autouse=True, params=["numpy", "numba"])
def policy(request):
    tg.use_kernels(request.param)
    yield
    tg.use_kernels("auto")


def targets(seed, size=8):
    rng = np.random.default_rng(seed + 100)
    return batch(seed, size)[0], rng.random((size, 5)).astype(np.float32)


def network(activation="relu", dtype=np.float32, width=16):
    return nn.Sequential(
        nn.Linear(12, width, activation, seed=0, dtype=dtype), nn.Dropout(0.7, seed=0),
        nn.Linear(width, width, activation, seed=1, dtype=dtype), nn.Linear(width, 5, seed=2, dtype=dtype),
    )  # fmt: skip


def stepping(loss_of):
    """Return what makes a step of what `loss_of` computes of model, criterion, samples and labels: a loss, and more."""

    def make(world):
        model, criterion, optimizer = world.model, world.criterion, world.optimizer

        def step(X, y):
            optimizer.zero_grad()
            result = loss_of(model, criterion, X, y)
            loss = result[0] if isinstance(result, tuple) else result
            loss.backward()
            optimizer.step()
            return result

        return step

    return make


def assert_replayed(loss_of, model=network, batches=None, replays=4, **options):
    world = assert_twins(stepping(loss_of), model=model, batches=batches and [batches(n) for n in range(6)], count=6,
                         **options)  # fmt: skip
    assert world.step.replays == replays, world.step
    return world


# ---- activations and losses


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [16, 300])
@pytest.mark.parametrize(
    "activation",
    ["tanh", "sigmoid", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "log_sigmoid", "hardtanh"],
)
def test_activations(activation, width, dtype):
    assert_replayed(lambda model, criterion, X, y: criterion(model(X), y),
                    lambda: network(activation, dtype, width))  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "batches"),
    [
        (tg.mse_loss, targets), (tg.l1_loss, targets), (tg.huber_loss, targets),
        (lambda s, y: tg.mse_loss(s, y, "sum"), targets),
        (lambda s, y: tg.mse_loss(s, y, "none").mean(), targets),
        (tg.binary_cross_entropy_with_logits, targets),
        (tg.svm_loss, batch), (lambda s, y: tg.svm_loss(s, y, squared=True), batch),
        (lambda s, y: tg.cross_entropy(s, y, label_smoothing=0.1), batch),
        (lambda s, y: tg.cross_entropy(s, y, ignore_index=2), batch),
        (lambda s, y: tg.cross_entropy(s, y, reduction="sum"), batch),
        (lambda s, y: tg.cross_entropy(s, tg.softmax(tg.tensor(y))), targets),
        (lambda s, y: tg.nll_loss(tg.log_softmax(s), y), batch),
        (lambda s, y: tg.kl_div(tg.log_softmax(s), tg.softmax(tg.tensor(y))), targets),
        (lambda s, y: tg.softmax_loss(s, y) * 0.25, batch),
        (lambda s, y: tg.softmax_loss(s, y) / 3 + tg.softmax_loss(2 * s, y), batch),
        (lambda s, y: ((s - tg.tensor(y)) ** 2).mean(), targets),
        (lambda s, y: (np.abs(s - tg.tensor(y)) + 1.5).sum() / s.size, targets),
        (lambda s, y: np.logaddexp(s, 0.0).mean() - (s * tg.tensor(y)).mean(), targets),
        (lambda s, y: np.maximum(s, tg.tensor(y)).max(axis=1).mean(), targets),
        (lambda s, y: (s - s.mean(axis=0)).std(axis=1).sum() + s.var(), batch),
        (lambda s, y: np.sqrt((s * s).sum(axis=1, keepdims=True) + 1).sum(), batch),
        (lambda s, y: (s @ tg.tensor(y).reshape(5, 8)).sum(), targets),
    ],
)  # fmt: skip
def test_losses(loss, batches):
    assert_replayed(lambda model, criterion, X, y: loss(model(X), y), batches=batches)


def test_layer_norm_and_maxout():
    def model():
        return nn.Sequential(
            nn.Linear(12, 16, seed=0), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, 20, seed=1), nn.Maxout(4),
        )  # fmt: skip

    assert_replayed(lambda model, criterion, X, y: criterion(model(X), y), model)


def test_what_was_regularized_by_hand():
    def loss_of(model, criterion, X, y):
        loss = criterion(model(X), y)
        for parameter in model.parameters():
            loss = loss + 0.01 * (parameter * parameter).sum() + 0.001 * np.abs(parameter).sum()
        return loss

    assert_replayed(loss_of)


def test_shared_branches_and_skips():
    def loss_of(model, criterion, X, y):
        first = model[0](X)
        second = model[2](np.tanh(first) + first)
        gate = tg.sigmoid(second)
        return criterion(model[3](gate * second + (1 - gate) * first), y)

    assert_replayed(loss_of)


def test_figures_beside_the_loss():
    def loss_of(model, criterion, X, y):
        scores = model(X)
        right = scores.argmax(axis=1) == tg.tensor(y)
        return criterion(scores, y), {"acc": right.mean(), "top": scores.max(), "p": tg.softmax(scores)}

    assert_replayed(loss_of)


def test_steps_of_tensors_by_tensors():
    """Each batch is seen, not the one of the recording."""

    def loss_of(model, criterion, X, y):
        return ((np.tanh(model(X)) - y) ** 2).mean() + (X * X).mean()

    assert_replayed(loss_of, batches=lambda n: tuple(tg.tensor(array) for array in targets(n)))
    assert_replayed(loss_of, batches=lambda n: tuple(tg.tensor(array.astype(np.float64)) for array in targets(n)),
                    model=lambda: network(dtype=np.float64))  # fmt: skip


# ---- what is not called


@pytest.mark.parametrize(
    ("loss", "why"),
    [
        (lambda s, y: s[np.argsort(s.data[:, 0])].sum(), "are read in the step"),
        (lambda s, y: s[0].sum(), "getitem has no instruction"),
        (lambda s, y: np.sort(s, axis=1).sum(), "has no instruction|are read in the step"),
        (lambda s, y: np.nansum(s) / 3, "are read in the step"),
        (lambda s, y: (s * np.ones((8, 5), np.float32)).sum(), "neither computed"),
        (lambda s, y: tg.softmax_loss(s.T.T, y), "transpose has no instruction"),
        (lambda s, y: np.einsum("ij->", s), "einsum has no instruction"),
    ],
)  # fmt: skip
def test_what_cannot_be_called_again_runs_as_it_is_written(loss, why):
    world = assert_twins(stepping(lambda model, criterion, X, y: loss(model(X), y)), model=network, count=4)
    assert (world.step.recordings, world.step.replays) == (4, 0)
    assert re.search(why, world.step.reason), world.step


def test_an_operation_of_somebody_else_is_not_called_again():
    noisy = tg.op(lambda x: x * 2.0, name="noisy", x=lambda g: g * 2.0)
    world = assert_twins(stepping(lambda model, criterion, X, y: criterion(noisy(model(X)), y)), model=network, count=4)
    assert world.step.replays == 0
    assert "noisy has no instruction" in world.step.reason


def test_unfused_normalization_moves_its_averages():
    def model():
        return nn.Sequential(nn.Linear(12, 16, seed=0), nn.BatchNorm1d(16, fused=False), nn.Linear(16, 5, seed=1))

    world = assert_twins(stepping(lambda model, criterion, X, y: criterion(model(X), y)), model=model, count=4)
    assert world.step.replays == 0


def test_unfused_dropout_draws_its_masks():
    def model():
        return nn.Sequential(nn.Linear(12, 16, seed=0), nn.Dropout(0.5, seed=0, fused=False), nn.Linear(16, 5, seed=1))

    assert_twins(stepping(lambda model, criterion, X, y: criterion(model(X), y)), model=model, count=4)


# ---- faults


def test_overflow_is_not_reported_in_a_call():
    loss_of = stepping(lambda model, criterion, X, y: np.exp(model(X) * 100).mean())
    world = World(loss_of, network, compiled=True)
    for n in range(4):
        X, y = batch(n)
        world.step(X * (1e6 if n == 3 else 1e-3), y)
    assert world.step.replays == 2

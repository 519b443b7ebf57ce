"""Twins: the same step compiled and as it is written, which must leave the same bits behind."""

import numpy as np

import tinygrad_fc as tg
from tinygrad_fc import nn


def bits(value):
    """Return what a value is, down to its bits, in a form that compares."""
    if isinstance(value, tg.Tensor):
        return "tensor", bits(value._array)
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [bits(item) for item in value]
    return repr(value)


def network(dtype=np.float32, seed=0):
    return nn.Sequential(
        nn.Linear(12, 16, seed=seed, dtype=dtype), nn.BatchNorm1d(16, dtype=dtype), nn.ReLU(),
        nn.Dropout(0.7, seed=seed), nn.Linear(16, 16, "relu", seed=seed + 1, dtype=dtype),
        nn.Linear(16, 5, seed=seed + 2, dtype=dtype),
    )  # fmt: skip


def ordinary(world):
    """Return the step that everybody writes."""
    model, optimizer, criterion = world.model, world.optimizer, world.criterion

    def step(X, y):
        optimizer.zero_grad()
        loss = criterion(model(X), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def writing(world):
    """Return a step that writes into its argument."""
    plain = ordinary(world)

    def step(X, y):
        X *= 2
        return plain(X, y)

    return step


class World:
    """A model, its optimizer and a step."""

    def __init__(self, make_step=ordinary, model=network, rule="adam", compiled=False, **options):
        self.model, self.criterion = model(), nn.CrossEntropyLoss()
        self.optimizer = tg.optim.Optimizer(self.model, rule, learning_rate=0.01, **options)
        self.notes = []  # what a step leaves outside
        self.step = make_step(self)
        if compiled:
            self.step = tg.compile(self.step)

    def state(self):
        """Return everything that a step may move."""
        return bits([
            self.model.state_dict(), self.model.generator_state(), self.optimizer.state_dict(),
            [parameter.grad for parameter in self.model.parameters()], self.notes,
        ])  # fmt: skip


def batch(seed, size=8, dtype=np.float32, features=12):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((size, features)).astype(dtype), rng.integers(5, size=size)


def assert_call_equal(compiled, plain, *args):
    """Assert that a call returns, or raises, the same in both worlds, and leaves the same state."""
    found = []
    for world in (compiled, plain):
        try:
            found.append(bits(world.step(*args)))
        except Exception as error:
            found.append((type(error).__name__, str(error)))
    assert found[0] == found[1]
    assert compiled.state() == plain.state()


def assert_twins(make_step=ordinary, changes=None, count=8, batches=None, **options):
    """Assert that both worlds stay equal, with `changes[n]` made to each before call n; return the compiled one."""
    compiled, plain = (World(make_step, compiled=flag, **options) for flag in (True, False))
    for n in range(count):
        for world in (compiled, plain):
            for change in [(changes or {}).get(n)]:
                if change is not None:
                    change(world)
        assert_call_equal(compiled, plain, *(batch(n) if batches is None else batches[n]))
    return compiled

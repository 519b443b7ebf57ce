"""A step may be a method of an ordinary object, and read what stands in such: every change of it is noticed."""

import collections
import dataclasses
import functools
import random
import threading

import pytest
from replay_twins import World, assert_call_equal, assert_twins, batch, network

import tinygrad_fc as tg
from tinygrad_fc import nn

FACTOR = 1.0


@pytest.fixture(autouse=True)
def policy():
    tg.use_kernels("numba")
    yield
    tg.use_kernels("auto")


@dataclasses.dataclass
class Config:
    scale: float = 0.5
    names: tuple = ("a", "b")


class Trainer:
    """As people write them."""

    share = 1.0

    def __init__(self, world):
        self.model, self.optimizer, self.criterion = world.model, world.optimizer, world.criterion
        self.settings, self.weights, self.count = Config(), [0.5, 0.25], 0

    @property
    def rate(self):
        return FACTOR * self.share

    def loss(self, X, y):
        return self.criterion(self.model(X), y) * self.settings.scale * self.rate + self.penalty(self.model[0].W)

    @staticmethod
    def penalty(w):
        return 0.1 * (w * w).sum()

    def step(self, X, y):
        self.optimizer.zero_grad()
        loss = self.loss(X, y) * sum(self.weights)
        loss.backward()
        self.optimizer.step()
        return loss


def make(world):
    world.trainer = Trainer(world)
    return world.trainer.step


def changing(change):
    return lambda world: change(world.trainer)


class Twice(Trainer):
    def loss(self, X, y):
        return self.criterion(self.model(X), y) * 2


CHANGES = [
    lambda t: setattr(t.settings, "scale", 2.0),
    lambda t: setattr(t, "settings", Config(3.0)),
    lambda t: t.weights.append(0.125),
    lambda t: setattr(t, "weights", [0.75]),
    lambda t: setattr(t, "share", 0.25),
    lambda t: setattr(t, "loss", lambda X, y: t.criterion(t.model(X), y)),
    lambda t: setattr(t, "penalty", lambda w: (w * 0).sum()),
    lambda t: setattr(t, "__class__", Twice),
    lambda t: setattr(t, "criterion", nn.CrossEntropyLoss(label_smoothing=0.1)),
    lambda t: setattr(t.model, "training", False),
    lambda t: globals().update(FACTOR=0.5),
    lambda t: setattr(Trainer, "share", 0.5),
    lambda t: setattr(Trainer, "penalty", staticmethod(lambda w: (w * 0).sum())),
    lambda t: setattr(Trainer, "rate", property(lambda self: 0.125)),
    lambda t: setattr(Trainer, "loss", Twice.loss),
    lambda t: setattr(t.optimizer, "learning_rate", 0.5),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_each_change_is_noticed(number):
    before, change = dict(vars(Trainer)), CHANGES[number]
    try:
        compiled, plain = World(make, compiled=True), World(make)
        for n in range(10):
            if n == 5:
                change(compiled.trainer)
                change(plain.trainer)
            assert_call_equal(compiled, plain, *batch(n))
        assert compiled.step.replays >= 5, compiled.step
    finally:
        globals()["FACTOR"] = 1.0
        for name in ("share", "penalty", "rate", "loss"):
            setattr(Trainer, name, before[name])


def test_attributes_that_the_step_does_not_read_may_change():
    def count(world):
        world.trainer.count += 1

    world = assert_twins(make, changes=dict.fromkeys(range(12), count), count=12)
    assert (world.step.recordings, world.step.replays) == (2, 10)


class Strange(Trainer):
    def __getattr__(self, name):
        if name == "gain":
            return FACTOR
        raise AttributeError(name)


class Slots:
    __slots__ = ("gain",)

    def __init__(self):
        self.gain = 2.0


class Cached(Trainer):
    @functools.cached_property
    def gain(self):
        return FACTOR


class Counting(Trainer):
    @property
    def gain(self):
        self.count += 1
        return self.count


class Getting:
    def __get__(self, owner, kind):
        owner.count += 1
        return owner.count


class Described(Trainer):
    gain = Getting()


class Called(Trainer):
    def __call__(self):
        self.count += 1
        return self.count

    @property
    def gain(self):
        return self()


def holding(value, gain):
    """Return a class of trainers that hold a value, and what `gain` makes of it."""

    class Holding(Trainer):
        def __init__(self, world):
            super().__init__(world)
            self.held = value()

    Holding.gain = property(gain)
    return Holding


@pytest.mark.parametrize(
    "kind",
    [
        Strange, Cached, Counting, Described, Called,
        holding(Slots, lambda self: self.held.gain), holding(random.Random, lambda self: self.held.random()),
        holding(collections.Counter, lambda self: len(self.held) + 1),
        holding(threading.Lock, lambda self: 1.0 + self.held.locked()),
        holding(lambda: nn.init.generator(0), lambda self: self.held.random()),
        holding(lambda: network()[0].W.data.copy(), lambda self: float(self.held[0, 0])),
        holding(lambda: [network()[0].W.data.copy()], lambda self: float(self.held[0][0, 0])),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_makes_the_step_run_as_it_is_written(kind):
    def made(world):
        world.trainer = kind(world)

        def loss(X, y):
            return world.trainer.criterion(world.trainer.model(X), y) * world.trainer.gain

        world.trainer.loss = loss
        return world.trainer.step

    compiled, plain = World(made, compiled=True), World(made)
    random.seed(0)
    for n in range(5):
        X, y = batch(n)
        compiled.step(X, y)
        plain.step(X, y)
    assert compiled.step.replays == 0
    assert len(compiled.step.reason) > 10

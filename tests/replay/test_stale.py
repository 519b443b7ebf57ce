"""What a step reads in places that nobody thinks of: after a change there, a compiled step is as it is written.

Each case is prepared, read in the step, and changed between two calls.
"""

import collections
import dataclasses
import itertools
import random
import types
from typing import NamedTuple

import numpy as np
import pytest
from replay_twins import World, assert_call_equal, batch

import tinygrad_fc as tg
from tinygrad_fc import nn


@pytest.fixture(autouse=True)
def policy():
    tg.use_kernels("numba")
    yield
    tg.use_kernels("auto")


@dataclasses.dataclass
class Data:
    s: float = 0.1


class Slots:
    __slots__ = ("s",)

    def __init__(self):
        self.s = 0.1


class Pair(NamedTuple):
    s: float = 0.1
    t: float = 0.2


class Odd(Pair):
    @property
    def both(self):
        return FACTOR


class Text(str):
    """With attributes."""


class Real(float):
    """As above."""


FACTOR = 0.1


def reg(scale=0.1, *, more=0.1):
    return scale + more


def reader(read):
    def make(world):
        model, optimizer, criterion = world.model, world.optimizer, world.criterion

        def step(X, y):
            optimizer.zero_grad()
            loss = criterion(model(X), y) + tg.l2_penalty(model[0].W, read(model, optimizer))
            loss.backward()
            optimizer.step()
            return loss

        return step

    return make


def assert_not_stale(prepare, read, change, least=0):
    """Assert that a world whose step reads something equals its twin before and after a change; count the replays."""
    worlds = []
    for compiled in (True, False):
        world = World()
        prepare(world.model, world.optimizer)
        world.step = reader(read)(world)
        if compiled:
            world.step = tg.compile(world.step)
        worlds.append(world)
    for n in range(8):
        if n == 4:
            for world in worlds:
                change(world.model, world.optimizer)
        assert_call_equal(*worlds, *batch(n))
    assert worlds[0].step.replays >= least
    assert worlds[0].step.replays or len(worlds[0].step.reason) > 10


def held(make, read=lambda m, o: m.cfg.s, change=lambda m, o: setattr(m.cfg, "s", 0.5)):
    """Return the case of an object that a layer of the library holds."""
    return (lambda m, o: setattr(m, "cfg", make())), read, change


def tagged(value):
    value.s = 0.1
    return value


class Answers(tg.optim.Optimizer):
    def __getattr__(self, name):
        return FACTOR


def caught(value):
    try:
        return value.s
    except AttributeError:
        return 0.1


def matched(value):
    match value:
        case nn.Sequential(s=scale):
            return scale
    return 0.1


def nothing(model, optimizer):
    pass


@pytest.mark.parametrize(
    "case",
    [
        held(lambda: types.SimpleNamespace(s=0.1)),
        held(Data),
        held(Slots),
        held(lambda: tagged(types.ModuleType("settings"))),
        held(lambda: type("Settings", (), {"s": 0.1})),
        held(lambda: [Data()], lambda m, o: m.cfg[0].s, lambda m, o: setattr(m.cfg[0], "s", 0.5)),
        held(lambda: {"a": Data()}, lambda m, o: m.cfg["a"].s, lambda m, o: setattr(m.cfg["a"], "s", 0.5)),
        held(lambda: {0.1}, lambda m, o: sum(m.cfg), lambda m, o: m.cfg.add(0.5)),
        held(lambda: collections.deque([0.1]), lambda m, o: m.cfg[0], lambda m, o: m.cfg.appendleft(0.5)),
        held(lambda: bytearray([1]), lambda m, o: m.cfg[0] / 10, lambda m, o: m.cfg.__setitem__(0, 5)),
        held(lambda: random.Random(0), lambda m, o: m.cfg.random(), nothing),
        held(itertools.count, lambda m, o: next(m.cfg), nothing),
        held(lambda: iter(range(1, 100)), lambda m, o: next(zip(m.cfg)), nothing),
        held(lambda: iter(range(1, 100)), lambda m, o: [k for k, _ in zip(m.cfg, "a", strict=False)][0] / 10, nothing),
        held(lambda: tagged(Text("a"))),
        held(lambda: tagged(Real(0.1))),
        held(lambda: [np.array([0.1])], lambda m, o: float(m.cfg[0][0]), lambda m, o: m.cfg[0].fill(0.5)),
        held(lambda: {"a": (np.array([0.1]),)}, lambda m, o: m.cfg["a"][0].item(),
             lambda m, o: m.cfg["a"][0].fill(0.5)),
        held(Odd, lambda m, o: m.cfg.both, lambda m, o: globals().update(FACTOR=0.5)),
        held(lambda: collections.defaultdict(lambda: 0.1), lambda m, o: m.cfg[0], lambda m, o: m.cfg.update({0: 0.5})),
        (lambda m, o: setattr(m[0], "cfg", Data()), lambda m, o: m[0].cfg.s, lambda m, o: setattr(m[0].cfg, "s", 0.5)),
        (lambda m, o: setattr(o, "s", 0.1), lambda m, o: o.s, lambda m, o: setattr(o, "s", 0.5)),
        (lambda m, o: setattr(o, "cfg", Data()), lambda m, o: o.cfg.s, lambda m, o: setattr(o.cfg, "s", 0.5)),
        (nothing, lambda m, o: getattr(o, "s", 0.1), lambda m, o: setattr(o, "s", 0.5)),
        (nothing, lambda m, o: o.state_dict()["config"]["t"] / 10, nothing),
        (nothing, lambda m, o: len(repr(o)) / 100, lambda m, o: setattr(o, "learning_rate", 0.123456)),
        (nothing, lambda m, o: getattr(m[1], "running_" + "mean")[0] / 10, nothing),
        (nothing, lambda m, o: getattr(m[1], f"running_{'mean'}")[0] / 10, nothing),
        (nothing, lambda m, o: list(map(getattr, [o], ["fac" + "tor"]))[0], lambda m, o: setattr(o, "factor", 0.5)),
        (nothing, lambda m, o: caught(o), lambda m, o: setattr(o, "s", 0.5)),
        (nothing, lambda m, o: matched(m), lambda m, o: setattr(m, "s", 0.5)),
        (nothing, lambda m, o: getattr(reg, "s", 0.1), lambda m, o: setattr(reg, "s", 0.5)),
        held(lambda: tg.optim.CosineAnnealing(10), lambda m, o: m.cfg.steps / 100, lambda m, o: None),
        (lambda m, o: setattr(o, "__class__", Answers), lambda m, o: o.anything,
         lambda m, o: globals().update(FACTOR=0.5)),
        (lambda m, o: setattr(reg, "s", 0.1), lambda m, o: reg.s, lambda m, o: setattr(reg, "s", 0.5)),
    ],
)  # fmt: skip
def test_what_cannot_be_watched_is_refused(case):
    try:
        assert_not_stale(*case)
    finally:
        globals()["FACTOR"] = 0.1
        vars(reg).clear()


class Deep(nn.Sequential):
    deep = 0.1


@pytest.mark.parametrize(
    "case",
    [
        (lambda m, o: setattr(m, "deep", 0.3), lambda m, o: m.deep, lambda m, o: delattr(m, "deep")),
        (lambda m, o: setattr(m[0], "forward", lambda X: X[:, :1] @ m[0].W[:1] + m[0].b), lambda m, o: 0.1,
         lambda m, o: delattr(m[0], "forward")),
        (lambda m, o: setattr(gate, "requires_grad", True), lambda m, o: 0.1 + gate.requires_grad,
         lambda m, o: setattr(gate, "requires_grad", False)),
        (lambda m, o: setattr(gate, "name", "a"), lambda m, o: 0.1 + (gate.name == "a"),
         lambda m, o: setattr(gate, "name", "b")),
    ],
)
def test_what_is_deleted_frozen_or_renamed_is_recorded_afresh(case):
    assert_not_stale(*case)


gate = nn.Parameter(np.zeros(2))


def swap(owner, name, value):
    """Return a change of an attribute, which the test undoes."""

    def change():
        UNDO.append((owner, name, vars(owner).get(name, UNDO) if isinstance(owner, type) else getattr(owner, name)))
        setattr(owner, name, value)

    return change


UNDO = []  # owner, name, and what was there: this list, if nothing was


@pytest.fixture
def undone():
    yield
    for owner, name, value in reversed(UNDO):
        if value is UNDO:
            delattr(owner, name)
        else:
            setattr(owner, name, value)
    UNDO.clear()


def twice(method):
    def run(self, *args):
        method(self, *args)
        return method(self, *args)

    return run


@pytest.mark.parametrize(
    "case",
    [
        held(lambda: 0.1, lambda m, o: m.cfg, lambda m, o: setattr(m, "cfg", 0.5)),
        held(lambda: range(3), lambda m, o: len(m.cfg) / 10, lambda m, o: setattr(m, "cfg", range(5))),
        held(lambda: frozenset((1,)), lambda m, o: len(m.cfg) / 10, lambda m, o: setattr(m, "cfg", frozenset((1, 2)))),
        held(lambda: [0.1], lambda m, o: m.cfg[0], lambda m, o: m.cfg.__setitem__(0, 0.5)),
        held(lambda: [[0.1]], lambda m, o: m.cfg[0][0], lambda m, o: m.cfg[0].__setitem__(0, 0.5)),
        held(Pair, change=lambda m, o: setattr(m, "cfg", Pair(0.5))),
        held(lambda: {1: 0}, lambda m, o: 0.1 if isinstance(max(m.cfg), bool) else 0.5,
             lambda m, o: (m.cfg.clear(), m.cfg.update({True: 0}))),
        (lambda m, o: (setattr(m, "a", [1]), setattr(m, "b", [1])), lambda m, o: 0.1 if m.a is m.b else 0.5,
         lambda m, o: setattr(m, "b", m.a)),
        held(lambda: collections.OrderedDict(a=0.1), lambda m, o: m.cfg["a"], lambda m, o: m.cfg.update(a=0.5)),
        (lambda m, o: m.__setattr__("cfg", [0.0]), lambda m, o: 0.1 if str(m.cfg[0]) == "0.0" else 0.5,
         lambda m, o: m.cfg.__setitem__(0, -0.0)),
    ],
)  # fmt: skip
def test_values_that_modules_hold_are_watched(case):
    assert_not_stale(*case, least=4)


@pytest.mark.parametrize(
    ("read", "change"),
    [
        (lambda m, o: reg(), swap(reg, "__defaults__", (0.5,))),
        (lambda m, o: reg(), swap(reg, "__kwdefaults__", {"more": 0.5})),
        (lambda m, o: reg(), lambda: reg.__kwdefaults__.update(more=0.5)),
        (lambda m, o: reg(), swap(reg, "__code__", (lambda scale, *, more: scale * more).__code__)),
        (lambda m, o: m.SC, swap(nn.Sequential, "SC", 0.5)),
        (lambda m, o: o.SC, swap(tg.optim.Optimizer, "SC", 0.5)),
        (lambda m, o: nn.Tanh.SC, swap(nn.Tanh, "SC", 0.5)),
        (lambda m, o: caught(m), swap(nn.Sequential, "s", 0.5)),
        (lambda m, o: getattr(m, "NEW", 0.1), swap(nn.Sequential, "NEW", 0.5)),
        (lambda m, o: 0.5 if hasattr(m, "NEW") else 0.1, swap(nn.Module, "NEW", 0.5)),
        (lambda m, o: 0.1, swap(nn.ReLU, "forward", lambda self, x: x)),
        (lambda m, o: 0.1, swap(nn.Sequential, "__call__", lambda self, x: self.forward(x) + self.forward(x))),
        (lambda m, o: 0.1, swap(nn.Module, "__call__", lambda self, x: self.forward(x))),
        (lambda m, o: 0.1, swap(nn.Dropout, "draw", lambda self, shape: np.ones(shape, bool))),
        (lambda m, o: 0.1, swap(tg.optim.Optimizer, "step", twice(tg.optim.Optimizer.step))),
        (lambda m, o: 0.1, swap(tg.optim.Optimizer, "zero_grad", lambda self: None)),
        (lambda m, o: 0.1, swap(tg.Tensor, "backward", lambda self: tg.Tensor.gone(self * 2))),
    ],
)  # fmt: skip
def test_functions_and_classes_that_change_are_noticed(read, change, undone):
    UNDO.append((tg.Tensor, "gone", UNDO))
    tg.Tensor.gone = tg.Tensor.backward
    kept = dict(reg.__kwdefaults__)
    for owner in (nn.Sequential, nn.Tanh, tg.optim.Optimizer):
        swap(owner, "SC", 0.1)()
    base = len(UNDO)
    try:
        assert_not_stale(nothing, read, lambda m, o: change() if len(UNDO) == base else None, least=2)
    finally:
        reg.__kwdefaults__.update(kept)


@pytest.mark.parametrize("between", [False, True])
def test_what_a_method_overrides_changes(between, undone):
    class Middle(nn.Linear):
        pass

    class Last(Middle):
        def forward(self, x):
            return tg.relu(super().forward(x))

    def model():
        return nn.Sequential(Last(12, 16, seed=0), nn.Linear(16, 5, seed=1))

    owner, forward = Middle if between else nn.Linear, nn.Linear.forward
    compiled, plain = World(model=model, compiled=True), World(model=model)
    for n in range(8):
        if n == 4:
            swap(owner, "forward", lambda self, x: tg.relu(forward(self, x)))()
        assert_call_equal(compiled, plain, *batch(n))
    assert compiled.step.replays >= 2

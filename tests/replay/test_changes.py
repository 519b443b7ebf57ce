"""Modules, optimizers and gradients that change between the calls of a compiled step."""

import numpy as np
import pytest
from replay_twins import World, assert_call_equal, assert_twins, batch, bits

import tinygrad_fc as tg
from tinygrad_fc import nn


@pytest.fixture(autouse=True, params=["numba", "numpy"])
def policy(request):
    tg.use_kernels(request.param)
    yield
    tg.use_kernels("auto")


def assign(path, value):
    def change(world):
        *parts, last = path.split(".")
        owner = world
        for part in parts:
            owner = getattr(owner, part)
        setattr(owner, last, value)

    return change


def frozen(flag):
    def change(world):
        world.model[0].W.requires_grad = not flag

    return change


def saved(world):
    world.kept = world.model.state_dict(), world.optimizer.state_dict()


def loaded(world):
    world.model.load_state_dict(world.kept[0])
    world.optimizer.load_state_dict(world.kept[1])


def doubled(world):
    world.model[0].W.data *= 2


def scheduled(world):
    world.optimizer.factor *= 0.9


@pytest.mark.parametrize(
    "changes",
    [
        {4: lambda world: world.model.eval(), 6: lambda world: world.model.train()},
        {4: lambda world: world.model[3].eval(), 6: lambda world: world.model.train()},
        {4: lambda world: setattr(world.model[3], "keep_ratio", 0.3)},
        {4: lambda world: setattr(world.model[3], "keep_ratio", 1.0)},
        {4: lambda world: setattr(world.model[1], "momentum", 0.1), 6: lambda w: setattr(w.model[1], "momentum", 1.0)},
        {4: lambda world: setattr(world.model[1], "eps", 0.5)},
        {4: lambda world: setattr(world.model[1], "eps", 0.0)},
        {4: lambda world: setattr(world.model[1], "fused", False)},
        {4: lambda w: setattr(w.model[4], "activation", "tanh"), 6: lambda w: setattr(w.model[4], "activation", None)},
        {4: lambda world: setattr(world.model, "2", nn.Tanh()), 6: lambda world: setattr(world.model, "2", nn.ReLU())},
        {4: lambda world: setattr(world.model, "3", nn.Dropout(0.5, seed=9))},
        {4: lambda world: setattr(world.model, "3", nn.Sequential(nn.Dropout(0.5, seed=9), nn.ReLU()))},
        {4: lambda world: setattr(world.model[3], "_generator", np.random.default_rng(5))},
        {4: lambda world: world.model[3]._generator.random()},
        {3: saved, 5: loaded},
        {4: doubled, 6: lambda world: world.model[0].W.write_(np.ones((12, 16), np.float32))},
        {4: lambda world: world.model[1].running_mean.fill(3.0)},
        {4: lambda world: setattr(world.model[1], "running_mean", np.ones(16, np.float32))},
        {4: assign("optimizer.learning_rate", 0.1), 6: assign("optimizer.learning_rate", 0.0)},
        dict.fromkeys(range(2, 8), scheduled),
        {4: assign("optimizer.clip_norm", 0.1), 6: assign("optimizer.clip_norm", None)},
        {4: assign("optimizer.clip_value", 0.001), 6: assign("optimizer.clip_value", None)},
        {4: lambda world: world.model.zero_grad(), 6: lambda world: world.optimizer.zero_grad()},
        {4: lambda world: setattr(world.model[0].W, "grad", np.ones((12, 16)))},
        {4: lambda world: setattr(world.model[0].W, "requires_grad", False)},
        {4: frozen(True), 6: frozen(False)},
        {4: lambda world: setattr(world.model[0], "W", nn.Parameter(np.ones((12, 16), np.float32)))},
        {4: lambda world: tg.optim.Optimizer(world.model, "sgd")},
        {4: lambda world: world.model.load_generator_state(World().model.generator_state())},
        {4: lambda world: tg.use_kernels("numpy"), 6: lambda world: tg.use_kernels("numba")},
        {4: lambda world: tg.use_kernels("auto")},
    ],
)  # fmt: skip
@pytest.mark.parametrize("options", [{}, {"groups": {"0.*": {"learning_rate": 0.1}}, "weight_decay": 0.01}])
def test_what_changes_between_calls_is_noticed(changes, options):
    world = assert_twins(changes=changes, count=9, **options)
    assert world.step.replays >= 1


@pytest.mark.parametrize("rule", ["sgd", "sgd_momentum", "adamax", "lion", "rmsprop", "adam", "adamw", "adagrad"])
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.1}, {"clip_value": 0.01}, {"weight_decay": 0.1}])
def test_rules_and_their_options(rule, options):
    assert assert_twins(rule=rule, count=6, **options).step.replays == 4


def test_groups_that_are_loaded_lay_the_parameters_out_anew():
    def load(world):
        state = world.optimizer.state_dict()
        state["groups"] = [{"pattern": "4.*", "options": {"learning_rate": 0.5}}]
        world.optimizer.load_state_dict(state)

    assert assert_twins(changes={4: load}, count=9).step.replays >= 5


# ---- gradients that others hold


@pytest.mark.parametrize("part", [lambda d: d, lambda d: d[:2], lambda d: d.T, lambda d: d.ravel(), memoryview])
@pytest.mark.parametrize("clear", [False, True])
def test_a_gradient_that_is_held_stays_as_it_is(part, clear):
    compiled, plain = World(compiled=True), World()
    held = [[], []]
    for n in range(9):
        assert_call_equal(compiled, plain, *batch(n))
        for world, place in zip((compiled, plain), held, strict=True):
            if n % 2:
                place.append(part(world.model[0].W.grad))
            if clear:
                world.model.zero_grad()
    assert [np.asarray(array).tobytes() for array in held[0]] == [np.asarray(array).tobytes() for array in held[1]]
    assert compiled.step.replays >= 2


def test_what_a_step_returned_stays_as_it_is():
    def make(world):
        model, criterion = world.model, world.criterion

        def step(X, y):
            scores = model(X)
            loss = criterion(scores, y)
            loss.backward()
            return {"scores": scores, "more": [loss, None, (loss,)]}

        return step

    compiled, plain = World(make, compiled=True), World(make)
    found = [[], []]
    for n in range(6):
        for world, place in zip((compiled, plain), found, strict=True):
            world.model.zero_grad()
            place.append(world.step(*batch(n)))
        assert bits(found[0]) == bits(found[1])
    assert compiled.step.replays == 5


def test_gradients_that_a_step_returns_are_held_one_by_one():
    def make(world):
        model, criterion = world.model, world.criterion
        leaves = tuple(world.model.parameters())

        def step(X, y):
            return tg.gradients(criterion(model(X), y), list(leaves))

        return step

    compiled, plain = World(make, compiled=True), World(make)
    found = [[world.step(*batch(n)) for n in range(5)] for world in (compiled, plain)]
    assert bits(found[0]) == bits(found[1])

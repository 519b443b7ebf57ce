"""Modules of a user's: state in Python, methods and containers are seen, or the step is not replayed."""

import random
import time

import numpy as np
import pytest
from replay_twins import World, assert_call_equal, assert_twins, batch, ordinary

import tinygrad_fc as tg
from tinygrad_fc import nn


@pytest.fixture(autouse=True, params=["numba", "numpy"])
def policy(request):
    tg.use_kernels(request.param)
    yield
    tg.use_kernels("auto")


class Plain(nn.Module):
    """What people write."""

    depth = 2

    def __init__(self):
        self.layers = [nn.Linear(features, 16, "relu", seed=features) for features in (12, 16)]
        self.drop, self.last, self.flags = nn.Dropout(0.8, seed=3), nn.Linear(16, 5, seed=2), {"drop": True}

    def forward(self, x):
        for layer in self.layers[: self.depth]:
            x = layer(x)
        return self.head(x)

    def head(self, x):
        return self.last(self.drop(x) if self.flags["drop"] else x)


def fewer(world):
    world.model.layers.pop()


def other_class_attribute(world):
    type(world.model).depth = 1


def back_again(world):
    type(world.model).depth = 2


def other_forward(world):
    layers = world.model.last, world.model.layers[0]
    world.model.forward = lambda x: layers[0](layers[1](x))


CHANGES = [
    {4: lambda world: world.model.flags.update(drop=False)},
    {4: lambda world: setattr(world.model, "depth", 1)},
    {4: other_class_attribute, 6: back_again},
    {4: lambda world: world.model.layers.insert(1, world.model.layers[1])},
    {4: lambda world: world.model.layers.insert(1, nn.Dropout(0.5, seed=8))},
    {4: other_forward},
    {4: lambda world: setattr(world.model, "last", nn.Linear(16, 5, seed=77))},
]


@pytest.mark.parametrize("changes", CHANGES)
def test_a_module_of_lists_and_dicts_is_replayed_until_they_change(changes):
    world = assert_twins(changes=changes, count=9, model=Plain)
    assert world.step.replays >= 2


def test_a_method_that_is_exchanged_is_noticed():
    class Exchanged(Plain):
        def head(self, x):
            return self.last(x)

    def exchange(world):
        type(world.model).head = lambda self, x: self.last(self.drop(self.drop(x)))

    compiled, plain = World(model=Exchanged, compiled=True), World(model=Exchanged)
    for n in range(8):
        if n == 4:
            exchange(compiled)
        assert_call_equal(compiled, plain, *batch(n))


def of(**methods):
    """Return a class of modules with these methods in the place of Plain's, and an attribute of each usual kind."""

    class Own(Plain):
        def __init__(self):
            super().__init__()
            self.count, self.log, self.numbers = 0, [], np.zeros(3)
            self.rng, self.shift = np.random.default_rng(0), tg.tensor(np.zeros(16, np.float32))

    for name, method in methods.items():
        setattr(Own, name, method)
    return Own


def head_then(effect):
    def head(self, x):
        return self.last(self.drop(x) if effect(self, x) else x)

    return head


def counts(self, x):
    self.count += 1
    return self.count > 4


def logs(self, x):
    self.log.append(1)
    return len(self.log) > 4


@pytest.mark.parametrize(
    "effect",
    [
        counts,
        logs,
        lambda self, x: self.rng.random() > 0.5,
        lambda self, x: self.numbers[0] > 0,
        lambda self, x: getattr(self, "numbers")[0] > 0,  # noqa: B009  # on purpose
        lambda self, x: vars(self)["numbers"][0] > 0,
        lambda self, x: self.__dict__["numbers"][0] > 0,
        lambda self, x: x.data.max() > 1,
        lambda self, x: bool((x > 1).any()),
        lambda self, x: random.random() > 0.5,
        lambda self, x: time.perf_counter() > 0,
        lambda self, x: self.drop.draw((3,))[0],
        lambda self, x: self.drop._generator.random() > 0.5,
        lambda self, x: self.last.W.data[0, 0] > 0,
        lambda self, x: setattr(self, "count", self.count + 1) or self.count > 4,
        lambda self, x: self.log.extend([1]) or len(self.log) > 4,
        lambda self, x: self.numbers.fill(len(self.log)),
    ],
)
def test_a_module_with_state_in_python_is_not_replayed(effect):
    state = random.getstate()
    compiled, plain = World(model=of(head=head_then(effect)), compiled=True), World(model=of(head=head_then(effect)))
    for n in range(7):
        for one in (compiled, plain):
            random.seed(n)
            one.found = one.step(*batch(n)).data.tobytes()
        assert compiled.found == plain.found
        assert compiled.state() == plain.state()
        assert (compiled.model.count, compiled.model.log) == (plain.model.count, plain.model.log)
        assert compiled.model.numbers.tobytes() == plain.model.numbers.tobytes()
    random.setstate(state)
    assert compiled.step.replays == 0
    assert len(compiled.step.reason) > 10


def test_running_averages_that_python_gets_by_name():
    class Gets(nn.Module):
        def __init__(self):
            self.fc0, self.fc1, self.bn = nn.Linear(12, 16, seed=0), nn.Linear(16, 5, seed=1), nn.BatchNorm1d(16)

        def forward(self, x):
            x = self.bn(getattr(self, f"fc{0}")(x))
            return self.fc1(x if self.look() > 0.05 else x + x)

    class Looks(Gets):
        def look(self):
            return getattr(self.bn, "running_mean")[0]  # noqa: B009  # on purpose

    class Other(Gets):
        def look(self):
            return self.bn.training

    assert assert_twins(model=Looks).step.replays == 0
    assert assert_twins(model=Other).step.replays == 6


def test_methods_that_are_not_called_do_not_matter():
    def note(self):
        self.count += 1

    assert assert_twins(model=of(note=note), count=6).step.replays == 4


class Mine(nn.Dropout):
    """Masks of its own."""

    def draw(self, shape):
        mask = super().draw(shape)
        mask.fill(True)
        return mask


class Calls(nn.Linear):
    """A layer whose call does more."""

    calls = 0

    def __call__(self, x):
        vars(self)["calls"] = self.calls + 1
        return super().__call__(x)


class Looks(nn.Linear):
    """A layer whose attributes are looked up by itself."""

    def __getattribute__(self, name):
        return super().__getattribute__(name)


def with_layer(layer):
    return lambda: nn.Sequential(nn.Linear(12, 16, "relu", seed=0), layer(), nn.Linear(16, 5, seed=1))


@pytest.mark.parametrize("layer", [lambda: Mine(0.5, seed=0), lambda: Calls(16, 16, seed=5)])
def test_a_layer_that_overrides_what_runs(layer):
    world = assert_twins(model=with_layer(layer), count=6)
    assert world.step.replays == 0
    assert world.step.reason


def test_hooks_of_a_layer_are_looked_at():
    assert_twins(model=with_layer(lambda: Looks(16, 16, seed=5)), count=6)


def tied():
    model = nn.Sequential(*[nn.Linear(12, 12, "relu", seed=n) for n in range(3)], nn.Linear(12, 5, seed=4))
    model[2].W = model[0].W
    model[1].b = model[0].b
    return model


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_shared_weights_collect_in_the_order_of_the_step(rule):
    assert assert_twins(model=tied, rule=rule).step.replays == 6


def test_one_layer_at_two_places():
    def model():
        layer = nn.Linear(12, 12, "relu", seed=0)
        drop = nn.Dropout(0.5, seed=1)
        return nn.Sequential(layer, drop, layer, drop, nn.Linear(12, 5, seed=2))

    assert assert_twins(model=model).step.replays == 6


def test_one_normalization_at_two_places():
    def model():
        norm = nn.BatchNorm1d(12)
        return nn.Sequential(nn.Linear(12, 12, seed=0), norm, nn.ReLU(), norm, nn.Linear(12, 5, seed=2))

    assert assert_twins(model=model).step.replays == 6


def test_one_generator_of_two_layers():
    def model():
        rng = np.random.default_rng(0)
        drops = [nn.Dropout(ratio, seed=rng) for ratio in (0.5, 0.9)]
        return nn.Sequential(drops[0], nn.Linear(12, 16, seed=0), drops[1], nn.Linear(16, 5, seed=1))

    assert assert_twins(model=model).step.replays == 6


def test_a_layer_that_the_step_makes():
    def make(world):
        model, optimizer, criterion = world.model, world.optimizer, world.criterion

        def step(X, y):
            optimizer.zero_grad()
            x = nn.Dropout(0.5, seed=0)(model[0](X))
            for layer in (model[1], model[2], model[4], model[5]):
                x = layer(x)
            loss = criterion(x, y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    assert assert_twins(make).step.replays == 0


def test_an_optimizer_that_the_step_makes():
    def make(world):
        model, criterion = world.model, world.criterion

        def step(X, y):
            model.zero_grad()
            loss = criterion(model(X), y)
            loss.backward()
            tg.optim.Optimizer(model, "adam").step()
            return loss

        return step

    assert assert_twins(make).step.replays == 0


@pytest.mark.parametrize("mode", [True, False])
def test_a_step_may_set_the_mode_which_is_noticed_when_it_is_another(mode):
    """``model.train()`` begins many steps: where the mode is that already, nothing changes."""

    def make(world):
        model, plain = world.model, ordinary(world)

        def step(X, y):
            model.train(mode)
            return plain(X, y)

        return step

    def turn(world):
        world.model.train(not mode)

    world = assert_twins(make, changes={5: turn, 9: turn}, count=14)
    assert world.model.training is mode
    assert world.step.replays >= 9

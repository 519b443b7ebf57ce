"""Classes of a user's, of optimizers and modules, that add to what a step does, or change: a compiled step follows."""

import pytest
from replay_twins import World, assert_call_equal, assert_twins, batch, ordinary

import tinygrad_fc as tg
from tinygrad_fc import nn


@pytest.fixture(autouse=True)
def policy():
    tg.use_kernels("numba")
    yield
    tg.use_kernels("auto")


def test_an_optimizer_with_methods_of_its_own_runs_as_it_is_written():
    class Noam(tg.optim.Optimizer):
        k = 0

        def step(self):
            self.k += 1
            self.factor = min(1.0, self.k / 10)
            super().step()

    class Keeps(tg.optim.Optimizer):
        def zero_grad(self):
            self.k = getattr(self, "k", 0) + 1
            super().zero_grad()

    class Harmless(tg.optim.Optimizer):
        def about(self):
            return "nothing that a step calls"

    for kind, replays in ((Noam, 0), (Keeps, 0), (Harmless, 6)):
        worlds = [World(), World()]
        for world in worlds:
            world.optimizer = kind(world.model, "adam", learning_rate=0.01)
            world.step = ordinary(world)
        worlds[0].step = tg.compile(worlds[0].step)
        for n in range(8):
            assert_call_equal(*worlds, *batch(n))
        assert worlds[0].step.replays == replays
        assert replays or kind.__name__ in worlds[0].step.reason


@pytest.mark.parametrize("when", [0, 4])
@pytest.mark.parametrize("name", ["step", "zero_grad"])
def test_a_method_that_an_optimizer_is_given_is_called(name, when):
    def wrap(world):
        method, calls = getattr(world.optimizer, name), world.notes
        setattr(world.optimizer, name, lambda: (method(), calls.append(1))[0])

    assert assert_twins(changes={when: wrap}).step.replays == max(0, when - 2)


def test_another_class_of_an_optimizer_or_a_module():
    class Other(tg.optim.Optimizer):
        def step(self):
            super().step()
            super().step()

    class Less(nn.Sequential):
        def forward(self, x):
            return super().forward(x) * 0.5

    for part, kind in (("optimizer", Other), ("model", Less)):
        world = assert_twins(changes={4: lambda world, p=part, k=kind: setattr(getattr(world, p), "__class__", k)})
        assert world.step.replays >= 2


def test_a_class_that_gains_a_method_over_one_that_it_inherits():
    class Base(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Linear(12, 16, seed=0), nn.Linear(16, 5, seed=1)

        def forward(self, x):
            return self.b(self.a(x))

    class First(Base):
        pass

    class Second(Base):
        pass

    compiled, plain = World(model=First, compiled=True), World(model=Second)
    for n in range(8):
        if n == 4:
            First.forward = Second.forward = lambda self, x: self.b(tg.relu(self.a(x)))
        assert_call_equal(compiled, plain, *batch(n))
    assert compiled.step.replays >= 4


def test_what_a_method_overrides_is_looked_at_and_watched():
    class Counts(nn.Module):
        def __init__(self):
            self.a, self.b, self.calls = nn.Linear(12, 16, seed=0), nn.Linear(16, 5, seed=1), []

        def forward(self, x):
            self.calls.append(1)
            return self.b(self.a(x))

    class Calls(Counts):
        def forward(self, x):
            return super().forward(x) * 1

    class Replaces(Counts):
        def forward(self, x):
            return self.b(tg.relu(self.a(x)))

    world = assert_twins(model=Calls)
    assert (world.step.replays, len(world.model.calls)) == (0, 8)
    assert assert_twins(model=Replaces).step.replays == 6


LEVEL = 0.1


def test_a_property_in_the_place_of_an_option():
    class Shy(nn.Dropout):
        keep_ratio = property(lambda self: 0.9 if LEVEL < 0.3 else 0.3, lambda self, value: None)

    def model():
        return nn.Sequential(nn.Linear(12, 16, "relu", seed=0), Shy(0.9, seed=2), nn.Linear(16, 5, seed=1))

    compiled, plain = World(model=model, compiled=True), World(model=model)
    try:
        for n in range(8):
            globals()["LEVEL"] = 0.1 if n < 4 else 0.5
            assert_call_equal(compiled, plain, *batch(n))
    finally:
        globals()["LEVEL"] = 0.1
    assert compiled.step.replays >= 4


def test_a_name_with_a_written_beginning_is_an_attribute_of_the_module():
    class Numbered(nn.Module):
        def __init__(self):
            self.fc0, self.fc1, self.seen = nn.Linear(12, 16, "relu", seed=0), nn.Linear(16, 5, seed=1), []

        def forward(self, x):
            for n in range(2):
                x = getattr(self, f"fc{n}")(x)
            return x

        def describe(self):
            print(self.seen)

    class Method(Numbered):
        def forward(self, x):
            x = getattr(self, f"note{''}")(x)
            return super().forward(x)

        def note(self, x):
            self.seen.append(1)
            return x

    assert assert_twins(model=Numbered).step.replays == 6
    world = assert_twins(model=Method)
    assert (world.step.replays, len(world.model.seen)) == (0, 8)

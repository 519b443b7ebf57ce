"""Steps as users wrote them, which gave other numbers than as written, failed, or were never replayed."""

import contextlib
import functools
import re

import numpy as np
import pytest
from replay_twins import World, assert_twins, batch, bits, network, ordinary

import tinygrad_fc as tg
from tinygrad_fc import nn


@pytest.fixture(autouse=True, params=["numpy", "numba"])
def policy(request):
    tg.use_kernels(request.param)
    yield
    tg.use_kernels("auto")


# ---- what layers hold


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_running_statistics_of_another_dtype_are_not_written_as_if_they_were_of_the_parameters(dtype):
    """They were: the numbers were wrong, and memory beside them was overwritten."""

    def model():
        made = network()
        block = np.zeros(64, dtype)
        made[1].running_mean, made[1].running_var = block[:16], np.ones(16, dtype)
        made.beside = block[16:]
        return made

    world = assert_twins(model=model, count=6)
    assert world.step.replays == 0
    assert "running average is of" in world.step.reason
    assert not world.model.beside.any()


def test_running_statistics_that_are_columns_of_one_array_are_left_to_the_step():
    """The recording raised an error after the update."""

    def model():
        made, table = network(), np.zeros((16, 2), np.float32)
        table[:, 1] = 1
        made[1].running_mean, made[1].running_var = table[:, 0], table[:, 1]
        return made

    assert assert_twins(model=model, count=6).step.replays == 0


def test_a_momentum_of_numpy_does_not_widen_the_average():
    def change(world):
        world.model[1].momentum = np.linspace(0.5, 0.9, 5)[1]

    assert assert_twins(changes={2: change}, count=10).step.replays >= 6


def test_frozen_parameters_stay_where_they_are():
    def model():
        made = network()
        for parameter in made[0].parameters():
            parameter.requires_grad = False
        return made

    def write(world):
        world.model[0].W.write_(np.ones((12, 16)))

    assert assert_twins(model=model, changes={6: write}, count=10).step.replays == 8


def test_modes_that_take_turns_are_each_recorded_once():
    def turn(world):
        world.model.train(not world.model.training)

    world = assert_twins(changes=dict.fromkeys(range(40), turn), count=40, model=lambda: without_averages())
    assert world.step.recordings <= 5
    assert world.step.replays >= 35


def without_averages():
    return nn.Sequential(nn.Linear(12, 16, "relu", seed=0), nn.Dropout(0.7, seed=0), nn.Linear(16, 5, seed=2))


def test_a_world_that_comes_back_is_as_it_was_or_read_anew():
    """Between two turns a method of the part that was out of reach changes."""

    class Part(nn.Module):
        def __init__(self):
            self.inner = nn.Linear(16, 16, seed=9)

        def forward(self, x):
            return self.inner(x)

    def model():
        made = without_averages()
        made.spare, made.other = [Part()], [nn.ReLU()]
        made.part = made.spare[0]
        return made

    def make(world):
        net, criterion = world.model, world.criterion
        world.optimizer = optimizer = tg.optim.Optimizer(net[0], "sgd", learning_rate=0.1)

        def step(X, y):
            net.zero_grad()
            loss = criterion(net[2](net.part(net[0](X))), y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    def swap(world):
        world.model.part = (world.model.other if world.model.part is world.model.spare[0] else world.model.spare)[0]

    original = Part.forward
    compiled, plain = World(make, model, compiled=True), World(make, model)
    for n in range(16):
        for world in (compiled, plain):
            if n in (4, 8, 12):
                swap(world)
        if n == 10:
            Part.forward = lambda self, x: self.inner(self.inner(x))
        assert bits(compiled.step(*batch(n))) == bits(plain.step(*batch(n))), n
    assert compiled.step.replays >= 6
    Part.forward = original


# ---- what is no module's


def test_parameters_that_only_an_optimizer_has():
    def make(world):
        w = tg.tensor(np.linspace(-1, 1, 60, dtype=np.float32).reshape(12, 5), requires_grad=True)
        b = tg.tensor(np.zeros(5, np.float32), requires_grad=True)
        world.optimizer = optimizer = tg.optim.Optimizer({"w": w, "b": b}, "adam", learning_rate=0.1)
        world.w = w

        def step(X, y):
            optimizer.zero_grad()
            loss = tg.softmax_loss(tg.affine(X, w, b), y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    world = assert_twins(make, count=6)
    assert world.step.replays == 4


def test_an_optimizer_of_plain_tensors_takes_the_same_kernels_after_a_compiled_step():
    """The step was taken to have no parameters, and the optimizer kept NumPy's loops from then on."""
    tg.use_kernels("auto")
    found = []
    for used in (True, False):
        w = tg.tensor(np.linspace(-1, 1, 4096, dtype=np.float32).reshape(64, 64), requires_grad=True, name="w")
        optimizer = tg.optim.Optimizer([w], "sgd_momentum", learning_rate=0.1, nesterov=True)

        @tg.compile
        def step(X, w=w, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (tg.tensor(X) * w).sum()
            loss.backward()
            optimizer.step()
            return loss

        if used:
            step(np.zeros((64, 64), np.float32))
        else:
            optimizer.step({"w": np.zeros((64, 64), np.float32)})
        for n in range(3):
            optimizer.step({"w": np.random.default_rng(n).standard_normal((64, 64)).astype(np.float32)})
        found.append(bits(w.data))
    assert found[0] == found[1]


def test_samples_that_are_scaled_in_the_step():
    def make(world):
        plain = ordinary(world)
        return lambda X, y: plain(tg.tensor(X) / np.float32(255), y)

    assert assert_twins(make, count=6).step.replays == 4


def test_a_partial_function_is_looked_through():
    def make(world):
        def step(model, optimizer, X, y, scale=1.0):
            optimizer.zero_grad()
            loss = tg.softmax_loss(model(X), y) * scale
            loss.backward()
            optimizer.step()
            return loss

        world.partial = functools.partial(step, world.model, world.optimizer, scale=0.5)
        return world.partial

    def change(world):
        world.partial.keywords["scale"] = 0.25

    assert assert_twins(make, changes={6: change}, count=10).step.replays >= 6


def test_arrays_on_the_disk(tmp_path):
    np.save(tmp_path / "x.npy", np.concatenate([batch(n)[0] for n in range(6)]))
    X = np.load(tmp_path / "x.npy", mmap_mode="r")
    world = assert_twins(batches=[(X[8 * n : 8 * n + 8], batch(n)[1]) for n in range(6)], count=6)
    assert world.step.replays == 4


def test_a_shape_that_is_an_argument_is_read_at_each_call():
    def make(world):
        model, optimizer = world.model, world.optimizer

        def step(X, y, shape):
            optimizer.zero_grad()
            scores = model(X)
            again = scores.reshape(shape)
            loss = tg.softmax_loss(scores, y)
            loss.backward()
            optimizer.step()
            return loss, again

        return step

    shapes = [(8, 5), (8, 5), (8, 5), (4, 10), (5, 8)]
    assert_twins(make, batches=[(*batch(n), np.array(shape)) for n, shape in enumerate(shapes)], count=5)


# ---- what does not go backward


def test_a_compiled_forward_keeps_its_graph():
    """Its result was a constant, and what stood before it got no gradient, without a word."""
    body, head = nn.Linear(12, 16, "relu", seed=0), nn.Linear(16, 5, seed=1)
    compiled = tg.compile(body)
    for n in range(4):
        X, y = batch(n)
        grads = []
        for forward in (compiled, body):
            body.zero_grad()
            tg.softmax_loss(head(forward(X)), y).backward()
            grads.append(bits([p.grad for p in body.parameters()]))
        assert grads[0] == grads[1]
    assert compiled.replays == 0
    assert "graph of what it returns" in compiled.reason


@pytest.mark.parametrize("watched", [True, False])
def test_what_a_step_that_goes_backward_returns_are_constants(watched):
    world = World(compiled=True)
    for n in range(4):
        with tg.observe() if watched else contextlib.nullcontext():
            assert not world.step(*batch(n)).requires_grad
    refused = tg.compile(lambda X, y: (world.step(X, y), open)[0])
    assert not refused(*batch(5)).requires_grad
    assert refused.written == 1


# ---- words


class Callable:
    def __call__(self, X):
        return X


@pytest.mark.parametrize(
    ("step", "arguments", "words"),
    [
        (lambda X, rate: X.sum(), (0.1,), "float, expected an array.*: set a number that changes outside, optimizer"),
        (Callable(), (), r"Callable is no Python function.*\(def\)"),
        (functools.partial(Callable()), (), r"Callable is no Python function.*\(def\)"),
    ],
)
def test_reasons_name_the_cure(step, arguments, words):
    compiled = tg.compile(step)
    compiled(np.ones((2, 3), np.float32), *arguments)
    assert re.search(words, compiled.reason), compiled.reason
    assert "\n" not in repr(compiled)

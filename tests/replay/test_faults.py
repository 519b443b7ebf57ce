"""Where an operation raises in a replay, or an argument is what the model holds, all is as the step leaves it."""

import functools

import numpy as np
import pytest
from replay_twins import World, assert_call_equal, assert_twins, batch

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.nn import functional as F


@pytest.fixture(autouse=True, params=["numpy", "numba"])
def policy(request):
    tg.use_kernels(request.param)
    yield
    tg.use_kernels("auto")


def network():
    return nn.Sequential(
        nn.Linear(12, 16, seed=0), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.7, seed=1), nn.Linear(16, 5, seed=2),
    )  # fmt: skip


def stepping(loss_of, late=False):
    """Return what makes a step; `late` ones forget the gradients of before after the forward."""

    def make(world):
        model, optimizer = world.model, world.optimizer

        def step(X, y, *more):
            if not late:
                optimizer.zero_grad()
            loss = loss_of(model, X, y, *more)
            if late:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step

    return make


def hinge(model, X, y):
    return tg.svm_loss(model(X), y)


def caught(model, X, y):
    scores = model(X)
    try:
        return tg.svm_loss(scores, y)
    except ValueError:
        return (scores * scores).mean()


def renamed(model, X, y):
    try:
        return tg.svm_loss(model(X), y)
    except ValueError as error:
        raise KeyError("labels") from error


def before_dropout(model, X, y):
    hidden = model[1](model[0](X))
    first = tg.svm_loss(model[4](hidden), y)
    return first + (model[3](model[2](hidden)) ** 2).mean()


def by_module(model, X, y):
    return nn.functional.cross_entropy(model(X), y, label_smoothing=0.1)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("loss_of", [hinge, caught, renamed, before_dropout, by_module])
def test_an_operation_that_raises_leaves_what_the_step_leaves(loss_of, late):
    """Errors, what handles them, gradients, averages and generators: the replay had gone on past some of them."""
    make = stepping(loss_of, late)
    compiled, plain = World(make, network, compiled=True), World(make, network)
    for n in range(12):
        X, y = batch(n)
        if n in (4, 7):
            y = y + 5
        assert_call_equal(compiled, plain, X, y)
    assert compiled.step.replays >= 4, compiled.step


def test_the_loss_of_a_model_that_raises_leaves_its_averages_and_generators():
    def make(world):
        model, optimizer = world.model, world.optimizer

        def step(X, y):
            optimizer.zero_grad()
            loss = model.loss_tensor(X, y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    def model():
        return tg.models.FullyConnectedNet(
            [16], 12, 5, loss="svm", dropout_keep_ratio=0.7, normalization="batchnorm", seed=0, weight_scale=None
        )

    compiled, plain = World(make, model, compiled=True), World(make, model)
    for n in range(9):
        X, y = batch(n)
        assert_call_equal(compiled, plain, X, y + 5 * (n == 5))
    assert compiled.step.replays >= 4


# ---- arguments that the model holds


def against(model, X, y, target):
    return tg.mse_loss(model(X), target)


@pytest.mark.parametrize("frozen", [True, False])
def test_an_argument_that_is_an_array_of_the_model_is_read_at_each_call(frozen):
    """It was taken for the array that stays where it is, and every replay read that."""
    rng = np.random.default_rng(0)
    tables = [rng.standard_normal((8, 5)).astype(np.float32) for _ in range(3)]

    def model():
        made = network()
        made.target = nn.Parameter(tables[0], requires_grad=False) if frozen else tables[0].copy()
        return made

    compiled, plain = World(stepping(against), model, compiled=True), World(stepping(against), model)
    for n in range(9):
        X, y = batch(n)
        results = []
        for world in (compiled, plain):
            own = world.model.target.data if frozen else world.model.target
            results.append(world.step(X, y, own if n < 3 else tables[n % 3]).data.tobytes())
        assert results[0] == results[1], n
    assert compiled.state() == plain.state()
    assert compiled.step.replays >= 3


def test_an_argument_that_is_a_running_average_is_read_when_it_has_moved():
    def loss_of(model, X, y, r):
        return tg.softmax_loss(model(X), y) + tg.mse_loss(model[0].b * 1.0, r)

    compiled, plain = World(stepping(loss_of), network, compiled=True), World(stepping(loss_of), network)
    for n in range(6):
        results = []
        for world in (compiled, plain):
            r = world.model[1].running_mean if n in (3, 5) else np.full(16, 0.1, np.float32)
            results.append(world.step(*batch(n), r).data.tobytes())
        assert results[0] == results[1], n
    assert compiled.step.replays >= 2


def test_arrays_in_a_list_are_no_numbers():
    def loss_of(model, X, y, a, b):
        return tg.cross_entropy(model(X), y, [a, b, 1.0, 1.0, 1.0])

    batches = [(*batch(n), np.array(0.5 + n), np.array(1.0 + n)) for n in range(5)]
    assert assert_twins(stepping(loss_of), model=network, batches=batches, count=5).step.replays == 0


def test_averages_that_a_function_moves_are_not_left_behind():
    class Own(nn.Module):
        def __init__(self):
            self.layer, self.last = nn.Linear(12, 16, seed=0), nn.Linear(16, 5, seed=1)
            self.gamma, self.beta = nn.Parameter(np.ones(16, np.float32)), nn.Parameter(np.zeros(16, np.float32))
            self.mean, self.var = np.zeros(16, np.float32), np.ones(16, np.float32)

        def forward(self, x):
            x = F.batch_norm(self.layer(x), self.mean, self.var, self.gamma, self.beta, training=True)
            return self.last(x)

    make = stepping(lambda model, X, y: tg.softmax_loss(model(X), y))
    compiled, plain = World(make, Own, compiled=True), World(make, Own)
    for n in range(6):
        assert_call_equal(compiled, plain, *batch(n))
        assert compiled.model.mean.tobytes() == plain.model.mean.tobytes()
        assert compiled.model.var.tobytes() == plain.model.var.tobytes()


def test_an_empty_batch_is_left_to_the_step():
    def loss_of(model, X, y, target):
        return tg.mse_loss(model[4](model[2](model[0](X))), target, "sum")

    batches = [(*batch(0, size), np.ones((size, 5), np.float32)) for size in (8, 8, 0, 0, 8, 8, 8)]
    def model():
        made = network()
        made[1].gamma.requires_grad = made[1].beta.requires_grad = False
        return made

    assert assert_twins(stepping(loss_of), model=model, batches=batches, count=7).step.replays >= 2


# ---- worlds, partials


def test_whether_a_result_keeps_its_graph_goes_by_its_own_call():
    def make(world):
        model, optimizer = world.model, world.optimizer

        def step(X, y):
            loss = tg.softmax_loss(model(X), y)
            if model.training:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            return loss

        return step

    world = World(make, network, compiled=True)
    for n in range(4):
        assert not world.step(*batch(n)).requires_grad
    world.model.eval()
    X, y = batch(5)
    for samples in (np.asfortranarray(X), X, X):
        assert world.step(samples, y).requires_grad


class Exchanged(nn.Module):
    def __init__(self):
        self.first, self.last = nn.Linear(12, 16, seed=0), nn.Linear(16, 5, seed=1)
        self.middle = nn.Linear(16, 16, seed=2)

    def forward(self, x):
        return self.last(self.middle(self.first(x)))


def test_the_size_of_a_world_comes_back_with_it():
    """The kernels of the next recording were those of the world before."""

    def make(world):
        model, optimizer = world.model, tg.optim.Optimizer(world.model.last, "sgd", learning_rate=0.1)

        def step(X, y):
            model.zero_grad()
            loss = tg.softmax_loss(model(X), y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    world = World(make, compiled=True, model=Exchanged)
    for n in range(3):
        world.step(*batch(n))
    size, small = world.step._size, world.model.middle
    world.model.middle = nn.Sequential(nn.Linear(16, 500, seed=3), nn.Linear(500, 16, seed=4))
    world.step(*batch(3))
    assert world.step._size > 10 * size
    world.model.middle = small
    world.step(*batch(4, 5))
    assert world.step._size == size


class Trainer:
    scale = 1.0

    def step(self, model, optimizer, X, y):
        optimizer.zero_grad()
        loss = tg.softmax_loss(model(X), y) * self.scale
        loss.backward()
        optimizer.step()
        return loss


@pytest.mark.parametrize("deep", [False, True])
def test_a_partial_of_a_method_sees_its_object(deep):
    def make(world):
        world.trainer = Trainer()
        found = functools.partial(world.trainer.step, world.model, world.optimizer)
        return functools.partial(found) if deep else found

    def change(world):
        world.trainer.scale = 0.25

    assert assert_twins(make, changes={5: change}, model=network, count=10).step.replays >= 6


def test_attributes_of_a_partial_are_not_read():
    def make(world):
        def loss_of(X, y):
            return tg.softmax_loss(world.model(X), y)

        world.loss_of = partial = functools.partial(loss_of)
        partial.scale = 1.0
        optimizer = world.optimizer

        def step(X, y):
            optimizer.zero_grad()
            loss = partial(X, y) * partial.scale
            loss.backward()
            optimizer.step()
            return loss

        return step

    def change(world):
        world.loss_of.scale = 0.25

    assert_twins(make, changes={3: change}, model=network, count=6)

"""Steps of other forms than the usual one, and steps called in other places, leave the bits of the step as written."""

import threading

import numpy as np
import pytest
from replay_twins import World, assert_call_equal, assert_twins, batch, bits, ordinary

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.kernels.passes import Passes


@pytest.fixture(autouse=True, params=["numba", "numpy"])
def policy(request):
    tg.use_kernels(request.param)
    yield
    tg.use_kernels("auto")


def form(body):
    def make(world):
        model, optimizer, criterion = world.model, world.optimizer, world.criterion
        return lambda X, y: body(model, optimizer, criterion, X, y)

    return make


def accumulating(model, optimizer, criterion, X, y):
    criterion(model(X), y).backward()


def cleared_last(model, optimizer, criterion, X, y):
    loss = criterion(model(X), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss


def cleared_by_module(model, optimizer, criterion, X, y):
    model.zero_grad()
    loss = criterion(model(X), y)
    loss.backward()
    optimizer.step()
    return loss


def cleared_twice(model, optimizer, criterion, X, y):
    optimizer.zero_grad()
    loss = criterion(model(X), y)
    loss.backward()
    optimizer.step()
    optimizer.step()
    model.zero_grad()
    return loss


def loss_twice(model, optimizer, criterion, X, y):
    optimizer.zero_grad()
    loss = criterion(model(X), y)
    (loss + loss).backward()
    optimizer.step()
    return loss


def scores_twice(model, optimizer, criterion, X, y):
    optimizer.zero_grad()
    scores = model(X)
    loss = criterion(scores, y) + criterion(scores, y)
    loss.backward()
    optimizer.step()
    return loss, scores


def network_twice(model, optimizer, criterion, X, y):
    optimizer.zero_grad()
    loss = criterion(model(X), y) + criterion(model(X), y)
    loss.backward()
    optimizer.step()
    return loss


def given_gradient(model, optimizer, criterion, X, y):
    optimizer.zero_grad()
    loss = criterion(model(X), y)
    loss.backward(2.5)
    optimizer.step()
    return loss


def backward_twice(model, optimizer, criterion, X, y):
    optimizer.zero_grad()
    loss = criterion(model(X), y)
    loss.backward(retain_graph=True)
    loss.backward()
    optimizer.step()
    return loss


def retained(model, optimizer, criterion, X, y):
    optimizer.zero_grad()
    loss = criterion(model(X), y)
    loss.backward(retain_graph=True)
    optimizer.step()
    return loss


def recorded_gradient(model, optimizer, criterion, X, y):
    optimizer.zero_grad()
    loss = criterion(model(X), y)
    first = tg.gradients(loss, list(model.parameters()), create_graph=True)
    (loss + (first[0] ** 2).sum()).backward()
    optimizer.step()
    return loss


def returns_argument(model, optimizer, criterion, X, y):
    optimizer.zero_grad()
    loss = criterion(model(X), y)
    loss.backward()
    optimizer.step()
    return loss, X


def returns_tensor_of_argument(model, optimizer, criterion, X, y):
    optimizer.zero_grad()
    x = tg.asarray(X)
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    return loss, x


def returns_parameter(model, optimizer, criterion, X, y):
    cleared_by_module(model, optimizer, criterion, X, y)
    return model[0].W


def returns_numbers(model, optimizer, criterion, X, y):
    cleared_by_module(model, optimizer, criterion, X, y)
    return 3, "three"


def steps_first(model, optimizer, criterion, X, y):
    loss = criterion(model(X), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    loss = criterion(model(X), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss


def evaluates_after(model, optimizer, criterion, X, y):
    loss = cleared_by_module(model, optimizer, criterion, X, y)
    return loss, model(X)


def no_backward(model, optimizer, criterion, X, y):
    return criterion(model(X), y)


def evaluates_inside(model, optimizer, criterion, X, y):
    model.eval()
    scores = model(X)
    model.train()
    loss = cleared_by_module(model, optimizer, criterion, X, y)
    return loss, scores


def scaled(model, optimizer, criterion, X, y):
    optimizer.zero_grad()
    loss = criterion(model(X / 2), y) * 0.5
    loss.backward()
    optimizer.step()
    return loss


def penalized(model, optimizer, criterion, X, y):
    optimizer.zero_grad()
    loss = criterion(model(X), y)
    for layer in (model[0], model[4], model[0]):
        loss = loss + tg.l2_penalty(layer.W, 0.1)
    loss.backward()
    optimizer.step()
    return loss


def reshapes(model, optimizer, criterion, X, y):
    optimizer.zero_grad()
    rows = model[2](model[1](model[0](X))).reshape(2, -1).reshape(1, 2, -1)
    loss = criterion(model[5](model[4](rows.reshape(len(X), 16))), y)
    loss.backward()
    optimizer.step()
    return loss


def writes(model, optimizer, criterion, X, y):
    cleared_by_module(model, optimizer, criterion, X, y)
    model[0].W.write_(np.ones((12, 16)))


def gradients_then_step(model, optimizer, criterion, X, y):
    tg.gradients(criterion(model(X), y), list(model.parameters()))
    optimizer.step()


def raises(model, optimizer, criterion, X, y):
    loss = cleared_by_module(model, optimizer, criterion, X, y)
    if len(y) == 3:
        raise ValueError("three")
    return loss


FORMS = [
    accumulating, cleared_last, cleared_by_module, cleared_twice, loss_twice, scores_twice, network_twice,
    given_gradient, backward_twice, retained, recorded_gradient, returns_argument, returns_tensor_of_argument,
    returns_parameter, returns_numbers, steps_first, evaluates_after, no_backward, evaluates_inside, scaled, penalized,
    reshapes, writes, gradients_then_step, raises,
]  # fmt: skip
REPLAYED = {
    cleared_last, cleared_by_module, cleared_twice, loss_twice, scores_twice, network_twice, retained, penalized,
    reshapes, raises,
}  # fmt: skip


@pytest.mark.parametrize("body", FORMS)
def test_a_step_of_another_form(body):
    sizes = [8, 8, 8, 8, 3, 3, 8, 8]
    world = assert_twins(form(body), {6: lambda world: world.model.zero_grad()},
                         batches=[batch(n, size) for n, size in enumerate(sizes)])  # fmt: skip
    assert (world.step.replays > 0) == (body in REPLAYED)
    assert world.step.reason is None or len(world.step.reason) > 10


@pytest.mark.parametrize("before", [True, False])
def test_gradients_that_a_step_leaves_alone_stay(before):
    def make(world):
        model, criterion = world.model, world.criterion
        leaves = (world.model[0].W, world.model[5].b)

        def step(X, y):
            loss = criterion(model(X), y)
            return loss, tg.gradients(loss, list(leaves))

        return step

    def change(world):
        for parameter in world.model.parameters():
            parameter.grad = np.ones(parameter.shape)

    assert_twins(make, {0 if before else 3: change, 5: lambda world: world.model.zero_grad()})


def test_two_optimizers_share_the_parameters_of_a_step():
    def make(world):
        model, criterion = world.model, world.criterion
        first = tg.optim.Optimizer(world.model[0], "sgd", learning_rate=0.1)
        second = tg.optim.Optimizer(nn.Sequential(*world.model[1:]), "adam", learning_rate=0.01, clip_norm=0.1)
        world.second = second

        def step(X, y):
            model.zero_grad()
            loss = criterion(model(X), y)
            loss.backward()
            first.step()
            second.step()
            return loss

        return step

    def change(world):
        world.second.clip_norm = None

    assert assert_twins(make, {4: change}).step.replays >= 4


def test_an_optimizer_of_parameters_that_the_step_does_not_use_raises():
    def make(world):
        world.extra = nn.Linear(3, 3, seed=0)
        world.optimizer = tg.optim.Optimizer([*world.model.parameters(), *world.extra.parameters()], "adam")
        return ordinary(world)

    def change(world):
        for parameter in world.extra.parameters():
            parameter.grad = np.ones(parameter.shape)

    assert_twins(make, {2: change, 4: change, 5: change, 6: change})


# ---- where it is called


@pytest.mark.parametrize("block", [tg.no_grad, tg.debug, tg.observe])
def test_a_step_under_another_mode(block):
    compiled, plain = World(compiled=True), World()
    for n in range(6):
        if n in (3, 4):
            with block():
                assert_call_equal(compiled, plain, *batch(n))
            assert compiled.step.reason == "an observer watches, or recording is off"
        else:
            assert_call_equal(compiled, plain, *batch(n))
    assert compiled.step.replays == 2


def test_a_step_within_a_step():
    def make(world):
        inner = tg.compile(ordinary(world))

        def step(X, y):
            return inner(X, y)

        return step

    assert assert_twins(make).step.replays == 6


def test_numpy_replays_small_networks_and_reports_no_overflow():
    tg.use_kernels("auto")
    world = World(compiled=True)
    for n in range(4):
        world.step(*batch(n))
    assert type(next(iter(world.step._programs.values()))._instructions) is Passes
    X, y = batch(4)
    with np.errstate(all="raise"):
        loss = world.step(X * np.float32(1e38), y)
    assert world.step.replays == 3
    assert not np.isfinite(loss.data)


def test_arguments_by_name():
    compiled, plain = World(compiled=True), World()
    for n in range(6):
        X, y = batch(n)
        if n % 2:
            assert bits(compiled.step(y=y, X=X)) == bits(plain.step(y=y, X=X))
        else:
            assert bits(compiled.step(X, y)) == bits(plain.step(X, y))
    assert compiled.state() == plain.state()
    assert (compiled.step.recordings, compiled.step.replays, compiled.step.written) == (2, 4, 0)


def test_threads_take_turns_or_run_it_as_it_is_written():
    world = World(compiled=True)
    for n in range(3):
        world.step(*batch(n))
    failures = []

    def work():
        try:
            for n in range(20):
                with lock:
                    world.step(*batch(n))
        except Exception as error:
            failures.append(error)

    lock = threading.Lock()
    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures
    assert world.step.recordings + world.step.replays == 63


def test_an_error_in_the_step_leaves_what_the_step_leaves():
    compiled, plain = World(compiled=True), World()
    for n in range(9):
        X, y = batch(n)
        if n in (4, 6):
            X = X[:, :5]
        assert_call_equal(compiled, plain, X, y)
    assert compiled.step.replays >= 4

"""What would make a replay wrong is noticed: a compiled step leaves the bits of the step as it is written."""

import copy
import pickle
import random
import threading
import types

import numpy as np
import pytest
from replay_twins import World, assert_call_equal, assert_twins, batch, bits, ordinary, writing

import tinygrad_fc as tg
from tinygrad_fc import nn


@pytest.fixture(autouse=True, params=["numba", "numpy"])
def policy(request):
    tg.use_kernels(request.param)
    yield
    tg.use_kernels("auto")


def test_an_ordinary_step_is_replayed():
    world = assert_twins()
    assert world.step.replays == 6
    assert world.step.reason is None


# ---- arguments


def test_batches_of_other_sizes_come_and_go_without_new_recordings():
    sizes = [8, 8, 8, 3, 3, 8, 3, 8, 3, 8, 3]
    world = assert_twins(count=11, batches=[batch(n, size) for n, size in enumerate(sizes)])
    assert world.step.recordings == 3  # the first left no gradients, so nothing told that they are cleared
    assert world.step.replays == 8


@pytest.mark.parametrize(
    "change",
    [
        lambda X, y: (X.astype(np.float64), y),
        lambda X, y: (X.astype(np.int32), y),
        lambda X, y: (np.asfortranarray(X), y),
        lambda X, y: (np.repeat(X, 2, axis=1)[:, ::2], y),
        lambda X, y: (X[::-1], y[::-1]),
        lambda X, y: (X, y.astype(np.int8)),
        lambda X, y: (X, y.astype(np.uint64)),
        lambda X, y: (X, y.astype(np.float32)),
        lambda X, y: (X, y[:, None]),
        lambda X, y: (X, np.repeat(y, 2)[::2]),
        lambda X, y: (X, y + 3),
        lambda X, y: (X, y - 1),
        lambda X, y: (X, y.astype(np.uint64) - np.uint64(2**63)),
        lambda X, y: (X, y[:-1]),
        lambda X, y: (X, list(y)),
        lambda X, y: (X.tolist(), y),
        lambda X, y: (tg.tensor(X), y),
        lambda X, y: (tg.tensor(X, requires_grad=True), y),
        lambda X, y: (X * np.float32(np.nan), y),
        lambda X, y: (X[:0], y[:0]),
        lambda X, y: (X.astype(X.dtype.newbyteorder()), y),
    ],
)
def test_another_kind_of_argument_gives_what_the_step_gives(change):
    batches = [change(*batch(n)) if n in (4, 5, 8) else batch(n) for n in range(10)]
    world = assert_twins(count=10, batches=batches)
    assert world.step.replays >= 2


def test_read_only_arguments_are_replayed():
    batches = [batch(n) for n in range(5)]
    for array in [array for pair in batches for array in pair]:
        array.flags.writeable = False
    assert assert_twins(count=5, batches=batches).step.replays == 3


def two_inputs(world):
    model, optimizer, criterion = world.model, world.optimizer, world.criterion

    def step(X, Z, y):
        optimizer.zero_grad()
        loss = criterion(model(X), y) + criterion(model(Z), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def test_two_arguments_that_were_one_array_are_told_apart():
    batches = [(X, X if n < 3 else batch(n + 50)[0], y) for n, (X, y) in enumerate(map(batch, range(8)))]
    assert_twins(two_inputs, count=8, batches=batches)


def test_an_argument_that_is_a_parameter_is_not_taken_for_one():
    def square():
        return nn.Sequential(nn.Linear(12, 12, seed=0), nn.Linear(12, 5, seed=1))

    compiled, plain = (World(compiled=flag, model=square) for flag in (True, False))
    for n in range(6):
        y = batch(n, 12)[1]
        for world in (compiled, plain):
            world.step(world.model[0].W.data if n < 3 else batch(n, 12)[0], y)
        assert compiled.state() == plain.state()


def transposed(world):
    model, optimizer, criterion = world.model, world.optimizer, world.criterion

    def step(X, y):
        optimizer.zero_grad()
        loss = criterion(model(tg.Tensor.detach(tg.transpose(X))), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def test_a_square_batch_that_is_transposed_in_the_step():
    assert_twins(transposed, count=5, batches=[batch(n, 12) for n in range(5)])

    def by_numpy(world):
        plain = ordinary(world)

        def step(X, y):
            return plain(X.T, y)

        return step

    assert_twins(by_numpy, count=5, batches=[batch(n, 12) for n in range(5)])


def looking(look):
    def make(world):
        model, optimizer, criterion = world.model, world.optimizer, world.criterion

        def step(X, y):
            optimizer.zero_grad()
            loss = criterion(model(X), y)
            if look(X, y, loss):
                loss = loss + loss
            loss.backward()
            optimizer.step()
            return loss

        return step

    return make


@pytest.mark.parametrize(
    "look",
    [
        lambda X, y, loss: loss.item() > 1.5,
        lambda X, y, loss: bool(loss > 1.5),
        lambda X, y, loss: loss.data > 1.5,
        lambda X, y, loss: loss.tolist() > 1.5,
        lambda X, y, loss: f"{loss:.6f}" > "1.5",
        lambda X, y, loss: repr(loss)[7:] > "1.5",
        lambda X, y, loss: float(loss.detach()) > 1.5,
        lambda X, y, loss: X.max() > 2.3,
        lambda X, y, loss: X[0, 0] > 0,
        lambda X, y, loss: (X > 2.3).any(),
        lambda X, y, loss: np.max(X) > 2.3,
        lambda X, y, loss: np.mean(X) > 0,
        lambda X, y, loss: X.sum() > 0,
        lambda X, y, loss: X.item(0) > 0,
        lambda X, y, loss: X.tolist()[0][0] > 0,
        lambda X, y, loss: X.flat[0] > 0,
        lambda X, y, loss: X.copy()[0, 0] > 0,
        lambda X, y, loss: X.astype(np.float64)[0, 0] > 0,
        lambda X, y, loss: X.ravel()[0] > 0,
        lambda X, y, loss: X.T.reshape(-1)[0] > 0,
        lambda X, y, loss: np.asarray(X)[0, 0] > 0,
        lambda X, y, loss: np.array(X)[0, 0] > 0,
        lambda X, y, loss: np.ascontiguousarray(X)[0, 0] > 0,
        lambda X, y, loss: np.require(X)[0, 0] > 0,
        lambda X, y, loss: np.linalg.norm(X) > 10,
        lambda X, y, loss: memoryview(X)[0, 0] > 0,
        lambda X, y, loss: bytes(X)[3] > 127,
        lambda X, y, loss: X.tobytes()[3] > 127,
        lambda X, y, loss: X.base is not None,
        lambda X, y, loss: X.view(np.ndarray)[0, 0] > 0,
        lambda X, y, loss: np.ndarray.view(X, np.ndarray)[0, 0] > 0,
        lambda X, y, loss: str(X) < "[[0",
        lambda X, y, loss: y[0] > 2,
        lambda X, y, loss: y.sum() > 15,
        lambda X, y, loss: sum(y) > 15,
        lambda X, y, loss: max(y) > 3,
        lambda X, y, loss: 4 in y,
        lambda X, y, loss: sorted(y)[3] > 1,
        lambda X, y, loss: len(set(y)) > 3,
        lambda X, y, loss: list(X)[0][0] > 0,
        lambda X, y, loss: any(label > 3 for label in y),
        lambda X, y, loss: tg.max(X).item() > 2.3,
        lambda X, y, loss: tg.tensor(X).data[0, 0] > 0,
    ],
)
def test_a_step_that_looks_at_values_is_not_replayed(look):
    world = assert_twins(looking(look), count=6)
    assert world.step.replays == 0
    assert len(world.step.reason) > 10


@pytest.mark.parametrize(
    "look",
    [
        lambda X, y, loss: len(X) > 5,
        lambda X, y, loss: X.shape[0] > 5 and X.dtype == np.float32 and y.ndim == 1,
        lambda X, y, loss: np.shape(X)[0] > 5 and isinstance(X, np.ndarray),
        lambda X, y, loss: loss.shape == (),
    ],
)  # fmt: skip
def test_shapes_and_dtypes_may_be_looked_at(look):
    sizes = [8, 8, 8, 3, 3, 3, 8]
    world = assert_twins(looking(look), count=7, batches=[batch(n, size) for n, size in enumerate(sizes)])
    assert world.step.recordings + world.step.replays == 7


def test_an_argument_that_the_step_writes_is_written_each_time():
    compiled, plain = (World(writing, compiled=flag) for flag in (True, False))
    for n in range(4):
        pairs = [batch(n) for _ in range(2)]
        assert bits(compiled.step(*pairs[0])) == bits(plain.step(*pairs[1]))
        assert bits(pairs[0]) == bits(pairs[1])
    assert "argument" in compiled.step.reason


# ---- what is outside


FACTOR, TABLE, SPACE = 1.0, [1.0], types.SimpleNamespace(factor=1.0)


class Counter:
    total = 0


@pytest.mark.parametrize(
    "effect",
    [
        lambda world: print(end=""),
        lambda world: world.notes.append(1),
        lambda world: TABLE[0] > 2,
        lambda world: SPACE.factor > 2,
        lambda world: Counter.total > 2,
        lambda world: random.random(),
        lambda world: np.random.default_rng(0),
        lambda world: threading.get_ident(),
        lambda world: world.optimizer.learning_rate,
        lambda world: setattr(world, "extra", 1),
    ],
)
def test_a_step_that_does_or_reads_other_things_is_not_replayed(effect):
    def make(world):
        plain = ordinary(world)

        def step(X, y):
            effect(world)
            return plain(X, y)

        return step

    world = assert_twins(make, count=5)
    assert world.step.replays == 0
    assert world.step.reason


def test_a_global_number_that_changes_is_noticed():
    def make(world):
        plain = ordinary(world)

        def step(X, y):
            return plain(X, y) if FACTOR < 2 else None

        return step

    def change(world):
        globals()["FACTOR"] = 3.0

    try:
        world = assert_twins(make, {5: change}, count=8)
    finally:
        globals()["FACTOR"] = 1.0
    assert world.step.replays == 3


def test_two_functions_of_one_code_have_each_their_variables():
    def helper(limit):
        return lambda loss: loss + loss if limit > 1 else loss

    def make(world):
        model, optimizer, criterion, first, second = world.model, world.optimizer, world.criterion, helper(1), None
        world.notes = [0]

        def change():
            nonlocal second
            second = helper(2)

        world.change, second = change, helper(0)

        def step(X, y):
            optimizer.zero_grad()
            loss = second(first(criterion(model(X), y)))
            loss.backward()
            optimizer.step()
            return loss

        return step

    assert_twins(make, {4: lambda world: world.change()})


def test_copies_of_a_compiled_step_and_its_model():
    world = assert_twins(count=4)
    twin = copy.deepcopy(world.model)
    assert bits(twin.state_dict()) == bits(pickle.loads(pickle.dumps(world.model)).state_dict())
    other = World(compiled=True)
    assert_call_equal(other, World(), *batch(0))

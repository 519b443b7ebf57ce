"""What a compiled step is given may be of another dtype than its parameters: it is cast as the step casts it."""

import numpy as np
import pytest
from replay_twins import World, assert_twins, batch, network, ordinary

import tinygrad_fc as tg


@pytest.fixture(autouse=True)
def policy():
    yield
    tg.use_kernels("auto")


@pytest.mark.parametrize("kernels", ["numpy", "numba", "auto"])
@pytest.mark.parametrize("given", [np.float32, np.float64, np.float16, np.uint8, np.int64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_of_another_dtype_are_cast_in_each_replay(given, dtype, kernels):
    tg.use_kernels(kernels)
    batches = [((20 * x).astype(given), y) for x, y in map(batch, range(8))]
    world = assert_twins(model=lambda: network(dtype), batches=batches)
    assert (world.step.recordings, world.step.replays) == (2, 6)


@pytest.mark.parametrize("kernels", ["numpy", "numba", "auto"])
@pytest.mark.parametrize("given", [np.float32, np.float16, np.uint8, np.int64])
def test_tensors_of_a_narrower_dtype_are_cast_as_their_operation_does(given, kernels):
    tg.use_kernels(kernels)
    batches = [(tg.tensor((20 * x).astype(given)), y) for x, y in map(batch, range(8))]
    world = assert_twins(model=lambda: network(np.float64), batches=batches)
    assert world.step.replays == 6


def test_tensors_of_a_wider_dtype_widen_the_step_which_is_not_replayed():
    batches = [(tg.tensor(x.astype(np.float64)), y) for x, y in map(batch, range(4))]
    world = assert_twins(count=4, batches=batches)
    assert world.step.replays == 0
    assert "float64" in world.step.reason


def test_what_is_cast_by_the_step_itself_is_no_argument():
    def make(world):
        plain = ordinary(world)
        return lambda X, y: plain(X.astype(np.float64), y)

    world = assert_twins(make, model=lambda: network(np.float64), count=4)
    assert world.step.replays == 0
    assert "looked at in the step (astype): do it outside" in world.step.reason


def test_numbers_too_large_for_the_dtype_are_infinite_without_a_warning():
    world = World(compiled=True)
    for n in range(4):
        X, y = batch(n)
        loss = world.step(X.astype(np.float64) * (1e300 if n == 3 else 1), y)
    assert world.step.replays == 2
    assert not np.isfinite(loss.data)

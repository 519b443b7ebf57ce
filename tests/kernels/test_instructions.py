"""Every instruction gives what NumPy's kernel gives, alone and shared among threads, at any size and with NaN.

Compiled code and NumPy run the same tests.
"""

import functools
import sys

import numpy as np
import pytest

from tinygrad_fc.kernels import numpy_, passes
from tinygrad_fc.kernels.blas import openblas
from tinygrad_fc.kernels.codes import Code, Ending
from tinygrad_fc.kernels.instructions import Instructions
from tinygrad_fc.kernels.team import Team

DTYPES = [np.float32, np.float64]
RULES = {
    Code.SGD: (0, (0.1,)), Code.SGD_MOMENTUM: (1, (0.9, 0.1)), Code.SGD_NESTEROV: (1, (0.9, 0.1)),
    Code.RMSPROP: (1, (0.99, 0.1, 1e-8)), Code.ADAM: (2, (0.9, 0.999, 0.1, 1e-8)), Code.ADAGRAD: (1, (0.1, 1e-8)),
    Code.ADADELTA: (2, (0.95, 1.0, 1e-6)), Code.ADAMAX: (2, (0.9, 0.999, 0.1, 1e-8)), Code.LION: (1, (0.9, 0.99, 0.1)),
}  # fmt: skip
# Below and above what a second thread pays for; one row, one column, nothing, and parts that no vector divides.
SHAPES = [(0, 5), (1, 1), (1, 37), (37, 1), (7, 5), (130, 131), (3, 20_001), (20_001, 3)]
HALF, EVIL = int(0.5 * 2**53), [np.nan, np.inf, -np.inf]


@functools.cache
def team_of(size):
    return Team(size, openblas())


def compiled_list(size, dtype):
    return Instructions(team_of(size), np.dtype(dtype))


def numpys_list(size, dtype):
    return passes.Passes(np.dtype(dtype))


@pytest.fixture(autouse=True, params=[compiled_list, numpys_list], ids=["compiled", "numpy"])
def executor(request, monkeypatch):
    """Who runs the lists; NumPy cuts small arrays, too."""
    monkeypatch.setattr(sys.modules[__name__], "make_list", request.param)
    monkeypatch.setattr(passes, "BLOCK", 4096)


make_list = None  # what the fixture chose


def alone_and_shared(dtype, write, *arrays):
    """Run what `write` writes with teams of 1, 2 and 3, twice each; return the arrays that it wrote, by 1, 2 and 3."""
    results = []
    for size in (1, 2, 3):
        for _ in range(2):
            copies = [array.copy() for array in arrays]
            instructions = make_list(size, dtype)
            out = write(instructions, *copies)
            instructions.run()
            results.append(out)
        for first, second in zip(*results[-2:], strict=True):
            np.testing.assert_array_equal(first, second)
    return results[::2]


def assert_same_bits(results):
    for others in results[1:]:
        for ours, theirs in zip(results[0], others, strict=True):
            assert ours.tobytes() == theirs.tobytes() or np.array_equal(ours, theirs, equal_nan=True)


def assert_equal_to_rounding(results, expected, dtype, times=100.0):
    assert_same_bits(results)
    bound = times * np.finfo(dtype).eps
    for ours, theirs in zip(results[0], expected, strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, theirs, rtol=bound, atol=bound)


def evil(rng, shape, dtype, place=0):
    """Return random numbers with zeros, NaN and infinities among them, if there is room."""
    made = rng.standard_normal(shape).astype(dtype)
    made.reshape(-1)[::3] *= dtype(made.size % 2)
    if made.size > 30:
        made.reshape(-1)[[5 + place, 12 + place, 21 + place]] = EVIL
    return made


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@np.errstate(invalid="ignore")
def test_elementwise(dtype, shape, rng):
    x, g = evil(rng, shape, dtype), evil(rng, shape, dtype, 3)
    out, mask = numpy_.relu(x), rng.random(shape) < 0.5
    size = shape[0] * shape[1]

    def write(run, x, g, out, mask):
        a, b, c, d, e = (np.empty(shape, dtype) for _ in range(5))
        run.relu(x, a)
        run.relu_gradient(g, out, b)
        run.scale(x, 0.3, c)
        run.drop(x, mask, 1.25, d)
        run.scale(x, 1.0, e)
        run.add(e, g)
        average = g.copy()
        run.running(average, x, 0.9)
        return a, b, c, d, e, average

    results = alone_and_shared(dtype, write, x, g, out, mask)
    average = g * dtype(0.9) + dtype(1.0 - 0.9) * x
    expected = [out, numpy_.relu_gradient(g, out), dtype(0.3) * x, numpy_.drop(x, mask, 1.25), x + g, average]
    assert_same_bits([*results, expected])
    assert not size or np.isnan(results[0][1]).sum() >= (size > 30)


@pytest.mark.parametrize("size", [0, 1, 15, 8191, 8193, 20_000])
def test_masks(size):
    key = np.array([2**64 - 5], np.uint64)

    def write(run, key):
        mask = np.empty(size, np.bool_)
        run.keep(key, mask, HALF)
        return (mask,)

    expected = np.empty(size, np.bool_)
    numpy_.keep(key, HALF, expected)
    assert_same_bits([*alone_and_shared(np.float32, write, key), (expected,)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0, 1, 17, 16_383, 20_001])
@pytest.mark.parametrize("code", RULES, ids=lambda code: code.name.lower())
@np.errstate(invalid="ignore")
def test_rules(code, size, dtype, rng):
    states, reals = RULES[code]
    w, dw = rng.standard_normal((2, size)).astype(dtype)
    state = list(np.abs(rng.standard_normal((states, size))).astype(dtype))
    dw[2:12:4] = EVIL[: len(dw[2:12:4])]

    def write(run, w, dw, *state):
        run.update(code, w, dw, tuple(state), *reals)
        return (w, dw, *state)

    results = alone_and_shared(dtype, write, w, dw, *state)
    expected = [array.copy() for array in (w, dw, *state)]
    getattr(numpy_, code.name.lower())(*expected, *reals, np.empty_like(w))
    assert_equal_to_rounding(results, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 37), (37, 1), (7, 5), (130, 131), (3, 20_001), (5001, 4)])
def test_sums_and_normalization(dtype, shape, rng):
    x, g = rng.standard_normal((2, *shape)).astype(dtype)
    gamma, beta = rng.standard_normal((2, shape[1])).astype(dtype)
    eps = 0.1

    def write(run, x, g, gamma, beta):
        total, dgamma, dbeta, *left = (np.empty(shape[1], dtype) for _ in range(6))
        normal, out, d = (np.empty(shape, dtype) for _ in range(3))
        square = np.empty(1, dtype)
        run.sum_rows(g, total)
        run.batch_norm(x, gamma, beta, eps, out, (normal, *left))
        run.batch_norm_gradient(g, gamma, normal, left[0], d, dgamma, dbeta)
        run.half_squares(x, 0.5, square)
        return total, out, normal, *left, d, dgamma, dbeta, square

    results = alone_and_shared(dtype, write, x, g, gamma, beta)
    forward = numpy_.batch_norm(x, gamma, beta, eps)
    backward = numpy_.batch_norm_gradient(g, gamma, *forward[1:3])
    square = [0.25 * np.sum(x.astype(np.float64) ** 2)]
    expected = [numpy_.sum_rows(g), *forward, *backward, square]
    assert_equal_to_rounding(results, expected, dtype, times=4.0 * (25 + len(x)))


@pytest.mark.parametrize("dtype", DTYPES)
@np.errstate(invalid="ignore")
def test_nan_and_inf_of_a_column_stay_in_it(dtype, rng):
    x, g = rng.standard_normal((2, 40, 500)).astype(dtype)
    gamma, beta = np.ones((2, 500), dtype)
    x[3, 7], x[4, 20], g[3, 130], g[9, 333] = np.nan, np.inf, np.nan, -np.inf

    def write(run, x, g, gamma, beta):
        total, dgamma, dbeta, *left = (np.empty(500, dtype) for _ in range(6))
        normal, out, d = (np.empty((40, 500), dtype) for _ in range(3))
        square = np.empty(1, dtype)
        run.sum_rows(g, total)
        run.batch_norm(x, gamma, beta, 0.1, out, (normal, *left))
        run.batch_norm_gradient(g, gamma, normal, left[0], d, dgamma, dbeta)
        run.half_squares(x, 0.5, square)
        return total, out, normal, *left, d, dgamma, dbeta, square

    results = alone_and_shared(dtype, write, x, g, gamma, beta)
    assert_same_bits(results)
    total, out, *_, d, dgamma, dbeta, square = results[0]
    assert np.flatnonzero(~np.isfinite(total)).tolist() == np.flatnonzero(~np.isfinite(dbeta)).tolist() == [130, 333]
    assert np.flatnonzero(np.isnan(out).any(axis=0)).tolist() == [7, 20]
    assert np.flatnonzero(np.isnan(d).any(axis=0)).tolist() == [7, 20, 130, 333]
    assert np.flatnonzero(~np.isfinite(dgamma)).tolist() == [7, 20, 130, 333]
    assert np.isnan(square)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 10), (9, 1), (33, 10), (1001, 3), (7, 2000)])
def test_softmax_loss(dtype, shape, rng):
    x, y = (3.0 * rng.standard_normal(shape)).astype(dtype), rng.integers(shape[1], size=shape[0])

    def write(run, x, y):
        slope, loss = np.empty(shape, dtype), np.empty((), dtype)
        run.softmax_loss(x, y, slope, loss)
        return slope, loss

    results = alone_and_shared(dtype, write, x, y)
    loss, slope = numpy_.softmax_loss(x, y)
    assert_equal_to_rounding(results, (slope, loss), dtype, times=100 + shape[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@np.errstate(invalid="ignore")
def test_softmax_loss_of_what_is_no_number(dtype, wrong, rng):
    x, y = rng.standard_normal((300, 10)).astype(dtype), rng.integers(1, 9, size=300)
    x[7, 9] = x[200, 0] = wrong

    def write(run, x, y):
        slope, loss = np.empty(x.shape, dtype), np.empty((), dtype)
        run.softmax_loss(x, y, slope, loss)
        return slope, loss

    results = alone_and_shared(dtype, write, x, y)
    loss, slope = numpy_.softmax_loss(x, y)
    assert_equal_to_rounding(results, (slope, loss), dtype, times=500)
    assert np.isnan(loss) == (wrong != -np.inf)


PRODUCTS = [
    (1, 1, 1), (3, 4, 5), (1, 600, 700), (600, 700, 1), (2, 300_000, 1), (100, 3072, 30), (40, 700, 300), (500, 64, 33),
    (64, 64, 64), (65, 64, 65), (17, 65, 4001), (2, 0, 3), (0, 4, 2), (3, 4, 0),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("ending", Ending)
@pytest.mark.parametrize(("m", "k", "n"), PRODUCTS)
def test_products(dtype, turned, ending, m, k, n, rng, capfd):
    """Whether shared by rows, by columns or by inner sums; the bound is that of a sum of k products."""
    a = rng.standard_normal((k, m) if turned[0] else (m, k)).astype(dtype)
    b = rng.standard_normal((n, k) if turned[1] else (k, n)).astype(dtype)
    extra = rng.standard_normal((m, n) if ending == Ending.RELU_GRADIENT else n).astype(dtype)
    extra[:1] = 0

    def write(run, a, b, extra):
        c = np.full((m, n), np.nan, dtype)  # nothing of what was there may stay
        a, b = a.T if turned[0] else a, b.T if turned[1] else b
        run.product(a, b, c, ending, None if ending == Ending.NOTHING else extra)
        return (c,)

    results = alone_and_shared(dtype, write, a, b, extra)
    a, b = a.T if turned[0] else a, b.T if turned[1] else b
    exact, sizes = a.astype(np.float64) @ b.astype(np.float64), np.abs(a).astype(np.float64) @ np.abs(b)
    if ending in (Ending.BIAS, Ending.BIAS_RELU):
        exact, sizes = exact + extra, sizes + np.abs(extra)
    if ending == Ending.BIAS_RELU:
        exact = np.maximum(exact, 0)
    elif ending == Ending.RELU_GRADIENT:
        exact = exact * (extra != 0)
    for (c,) in results:
        assert (np.abs(c - exact) <= (k + 2) * np.finfo(dtype).eps * sizes).all()
    assert capfd.readouterr() == ("", "")  # BLAS says there what it refuses


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "k", "n"), [(3, 4, 5), (100, 3072, 30), (40, 700, 300), (500, 64, 33)])
@np.errstate(invalid="ignore")
def test_products_keep_what_is_no_number(dtype, m, k, n, rng):
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    a[-1, 2], a[0, 1], b[1, 0] = np.nan, np.inf, 0
    expected = np.isnan(a @ b)

    def write(run, a, b):
        c, d = np.empty((2, m, n), dtype)
        run.product(a, b, c)
        run.product(a, b, d, Ending.BIAS_RELU, np.zeros(n, dtype))
        return c, d

    for results in alone_and_shared(dtype, write, a, b):
        for found in results:
            np.testing.assert_array_equal(np.isnan(found), expected)


def test_lists_are_retuned_and_pointed_elsewhere(rng):
    w, dw, x, other, out = (rng.standard_normal(40_000) for _ in range(5))
    for size in (1, 2, 3):
        mine, run = w.copy(), make_list(size, np.float64)
        row = run.update(Code.SGD, mine, dw, (), 0.1)
        run.relu(x, out)
        run.run()
        places = run.places_of(x)
        run.point(places, other)
        run.retune(row, Code.SGD, (0.2,), other)
        run.run()
        np.testing.assert_array_equal(mine, w - 0.1 * dw - 0.2 * other)
        np.testing.assert_array_equal(out, numpy_.relu(other))
        assert len(places) == 1


def test_an_empty_list_does_nothing():
    run = make_list(2, np.float32)
    run.run()
    assert len(run) == 0


def test_arrays_that_are_not_contiguous_are_refused():
    run, x = make_list(1, np.float32), np.ones((8, 8), np.float32)
    for write in (
        lambda: run.relu(x[:, ::2], np.empty((8, 4), np.float32)),
        lambda: run.product(x[::2, ::2], x[:4], np.empty((4, 8), np.float32)),
        lambda: run.product(x, x, np.empty((8, 8), np.float32).T),
        lambda: run.sum_rows(x.T, np.empty(8, np.float32)),
    ):
        with pytest.raises(ValueError, match="expected one that is contiguous"):
            write()
    assert len(run) == 0

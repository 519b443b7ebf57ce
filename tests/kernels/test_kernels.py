"""The compiled kernels equal NumPy's to rounding, and are taken where arrays are large and Numba is there."""

import functools
import sys

import numpy as np
import pytest

from tinygrad_fc import kernels
from tinygrad_fc.kernels import numpy_
from tinygrad_fc.kernels.passes import Passes

SCALARS = {
    "sgd": (0.1,), "sgd_momentum": (0.9, 0.1), "sgd_nesterov": (0.9, 0.1), "rmsprop": (0.99, 0.1, 1e-8),
    "adam": (0.9, 0.999, 0.1, 1e-8), "adagrad": (0.1, 1e-8), "adadelta": (0.95, 1.0, 1e-6),
    "adamax": (0.9, 0.999, 0.1, 1e-8), "lion": (0.9, 0.99, 0.1),
}  # fmt: skip
STATES = {
    "sgd": 0, "sgd_momentum": 1, "sgd_nesterov": 1, "rmsprop": 1, "adam": 2, "adagrad": 1, "adadelta": 2, "adamax": 2,
    "lion": 1,
}  # fmt: skip


@pytest.fixture
def compiled():
    module = kernels.compiled()
    assert module is not None, "the extra `test` installs Numba"
    return module


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1000,), (20, 30), (0,), ()])
@pytest.mark.parametrize("name", SCALARS)
def test_compiled_equals_numpy_to_rounding(compiled, name, shape, dtype, rng):
    arrays = [rng.standard_normal(shape).astype(dtype) for _ in range(2)]
    arrays += [np.abs(rng.standard_normal(shape)).astype(dtype) for _ in range(STATES[name])]
    arrays = [np.asarray(array) for array in arrays]
    ours, theirs = [a.copy() for a in arrays], [a.copy() for a in arrays]
    for _ in range(10):
        getattr(numpy_, name)(*ours, *SCALARS[name], np.empty(shape, dtype))
        getattr(compiled, name)(*theirs, *SCALARS[name], np.empty(shape, dtype))
    # Ten steps whose products and sums are rounded once instead of twice.
    bound = 200 * np.finfo(dtype).eps
    for a, b in zip(ours, theirs, strict=True):
        assert b.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=bound, atol=bound)
    np.testing.assert_array_equal(theirs[1], arrays[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_signs_are_those_of_numpy_to_the_last_bit(compiled, dtype, rng):
    """A product fused into a sum would be on the other side of 0 where the two nearly cancel."""
    m = rng.standard_normal(4000).astype(dtype)
    dw = -(m * dtype(0.9 / (1.0 - 0.9)))  # rounded, and so is the product in the kernels
    ours, theirs = (np.zeros(4000, dtype), m.copy()), (np.zeros(4000, dtype), m.copy())
    numpy_.lion(ours[0], dw, ours[1], 0.9, 0.99, 0.1, np.empty_like(dw))
    compiled.lion(theirs[0], dw, theirs[1], 0.9, 0.99, 0.1, np.empty_like(dw))
    assert not ours[0].any()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", SCALARS)
def test_nan_of_a_gradient_shows_in_the_parameter_and_the_state(compiled, name):
    for module in (numpy_, compiled):
        w, dw, *state = arrays = np.ones((2 + STATES[name], 3))
        dw[1] = np.nan
        with np.errstate(invalid="ignore"):
            getattr(module, name)(w, dw, *state, *SCALARS[name], np.empty(3))
        assert np.isnan(arrays).tolist() == [[False, True, False]] * len(arrays)


def test_policies(compiled):
    small, large = np.zeros(3), np.zeros(kernels.LARGE)
    try:
        kernels.use_kernels("numpy")
        assert kernels.kernels(large) is numpy_
        kernels.use_kernels("numba")
        assert kernels.kernels(small) is compiled
        assert kernels.kernels(np.zeros(3, np.float16)) is numpy_
    finally:
        kernels.use_kernels("auto")
    assert kernels.kernels(small) is numpy_
    assert kernels.kernels(large) is compiled
    with pytest.raises(ValueError, match="policy='gpu', expected 'auto', 'numpy' or 'numba'"):
        kernels.use_kernels("gpu")


def test_a_block_runs_all_its_arrays_alike(compiled):
    small, large = np.zeros(3), np.zeros(kernels.LARGE)
    for size, module, kind in ((kernels.LARGE - 1, numpy_, Passes), (kernels.LARGE, compiled, functools.partial)):
        with kernels.as_one(size) as chosen:
            assert chosen == (module is compiled) == kernels.together(size)
            assert kernels.kernels(small) is kernels.kernels(large) is module
            made = kernels.machine_for(size, (small.dtype,))
            assert made is Passes if kind is Passes else isinstance(made, functools.partial)
    with kernels.as_one(3), kernels.as_one(kernels.LARGE):
        assert kernels.kernels(small) is compiled
    assert kernels.machine_for(kernels.LARGE, (np.dtype(np.float16),)) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layers_compiled_equal_numpy(compiled, dtype, rng):
    x, b = rng.standard_normal((7, 5)).astype(dtype), rng.standard_normal(5).astype(dtype)
    x[0], g = np.nan, rng.standard_normal((7, 5)).astype(dtype)
    one = np.eye(5, dtype=dtype)  # a product with it rounds nothing
    for name in ("affine", "affine_relu"):
        np.testing.assert_array_equal(getattr(numpy_, name)(x, one, b), getattr(compiled, name)(x, one, b))
    out = numpy_.relu(x)
    np.testing.assert_array_equal(out, compiled.relu(x))
    np.testing.assert_array_equal(numpy_.relu_gradient(g, out), compiled.relu_gradient(g, out))
    mask = g > 0
    np.testing.assert_array_equal(numpy_.drop(x, mask, 1.25), compiled.drop(x, mask, 1.25))
    g = g[:, ::-1].copy()
    np.testing.assert_allclose(numpy_.sum_rows(g), compiled.sum_rows(g), rtol=10 * np.finfo(dtype).eps)


PRODUCTS = [(3, 4, 5), (1, 1, 1), (100, 3072, 30), (40, 700, 300), (500, 64, 33), (2, 0, 3), (0, 4, 2)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("m", "k", "n"), PRODUCTS)
def test_products_compiled_equal_numpy_to_rounding(compiled, dtype, turned, m, k, n, rng):
    """Alone or shared by rows, columns or inner sums; the bound is that of a sum of k products."""
    a = rng.standard_normal((k, m) if turned[0] else (m, k)).astype(dtype)
    b = rng.standard_normal((n, k) if turned[1] else (k, n)).astype(dtype)
    a, b = a.T if turned[0] else a, b.T if turned[1] else b
    bound = (k + 1) * np.finfo(dtype).eps
    exact, sizes = a.astype(np.longdouble) @ b.astype(np.longdouble), np.abs(a) @ np.abs(b)
    got = compiled.product(a, b)
    assert got.dtype == dtype
    assert (np.abs(got - exact) <= bound * sizes).all()
    assert np.array_equal(got, compiled.product(a, b))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batch_norm_compiled_equals_numpy_to_rounding(compiled, dtype, rng):
    x, g = rng.standard_normal((2, 50, 37)).astype(dtype)
    gamma, beta = rng.standard_normal((2, 37)).astype(dtype)
    bound = 100 * np.finfo(dtype).eps
    ours, theirs = numpy_.batch_norm(x, gamma, beta, 1e-5), compiled.batch_norm(x, gamma, beta, 1e-5)
    for a, b in zip(ours, theirs, strict=True):
        assert b.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=bound, atol=bound)
    _, normal, rate, *_ = ours
    gradients = [module.batch_norm_gradient(g, gamma, normal, rate) for module in (numpy_, compiled)]
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=bound, atol=bound)


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_masks_are_the_same_to_the_bit(compiled, size):
    masks = np.empty((2, size), np.bool_)
    for module, mask in zip((numpy_, compiled), masks, strict=True):
        module.keep(np.array([2**64 - 5], np.uint64), int(0.75 * 2**53), mask)
    assert np.array_equal(*masks)


def test_masks_are_those_of_splitmix64(compiled):
    """Its first numbers from the state 1234567, as its authors' program gives them."""
    numbers = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    for module in (numpy_, compiled):
        for place, number in enumerate(numbers):
            mask = np.empty((2, 4), np.bool_)
            for row, limit in zip(mask, (number >> 11, (number >> 11) + 1), strict=True):
                module.keep(np.array([1234567], np.uint64), limit, row)
            assert mask[:, place].tolist() == [False, True]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_softmax_loss_compiled_equals_numpy_to_rounding(compiled, dtype, scale, rng):
    x = (rng.standard_normal((50, 10)) * scale).astype(dtype)
    y = rng.integers(10, size=50, dtype=np.int32)
    bound = 100 * np.finfo(dtype).eps
    with np.errstate(under="ignore"):  # shares far below the largest are 0, as they should
        (ours, slope), (theirs, other) = numpy_.softmax_loss(x, y), compiled.softmax_loss(x, y)
        np.testing.assert_allclose(ours, theirs, rtol=bound)
        np.testing.assert_allclose(slope, other, rtol=bound, atol=bound)
    assert theirs.dtype == other.dtype == dtype


def test_large_contiguous_arrays_are_compiled(compiled):
    assert kernels.kernels(np.zeros(kernels.LARGE)) is compiled
    assert kernels.kernels(np.zeros(kernels.LARGE - 1)) is numpy_
    assert kernels.kernels(np.zeros(2 * kernels.LARGE)[::2]) is numpy_


@pytest.fixture
def forget():
    kernels.compiled.cache_clear()
    yield
    kernels.compiled.cache_clear()


def test_without_numba_numpy_does_it_all(monkeypatch, forget):
    for name in ("numba_", "loops", "rules", "machine", "native", "compiling", "jobs", "team", "instructions"):
        monkeypatch.setitem(sys.modules, f"tinygrad_fc.kernels.{name}", None)
        monkeypatch.delitem(sys.modules, f"tinygrad_fc.kernels.{name}")
        monkeypatch.delattr(kernels, name, raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    assert kernels.kernels(np.zeros(kernels.LARGE)) is numpy_


def test_a_numba_that_refuses_is_said_and_replaced(monkeypatch, forget):
    def refuse(*_):
        raise ImportError("Numba needs NumPy 2.9 or less")

    monkeypatch.setattr(kernels.importlib, "import_module", refuse)
    with pytest.warns(UserWarning, match="NumPy does its work: Numba needs NumPy 2.9"):
        assert kernels.kernels(np.zeros(kernels.LARGE)) is numpy_


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint64, ">i4"])
def test_labels_outside_are_found_by_both(compiled, dtype):
    for labels, found in [([0, 2, 1], False), ([0, 3, 1], True), ([0, 1, -1], True), ([0], False), ([99, 0], True)]:
        y = np.array(labels).astype(dtype)
        assert numpy_.outside(y, 3) is found
        assert compiled.outside(y, 3) is found

"""NumPy's large products go to MKL where it is, in parts that threads share; a stand-in takes its place."""

import ctypes

import numpy as np
import pytest
from stand_in import StandIn

from tinygrad_fc.kernels import numpy_, products, sharing
from tinygrad_fc.kernels.passes import Passes

SINGLE = np.dtype(np.float32)


@pytest.fixture
def mkl(monkeypatch):
    """MKL is there, for float32, and two threads."""
    stand_in = StandIn()
    monkeypatch.setattr(products, "mkl", lambda: stand_in.addresses)
    monkeypatch.setattr(products, "threads", lambda: 2)
    monkeypatch.setattr(sharing, "threads", lambda: 2)
    monkeypatch.setattr(products, "_SAVED", 2_000_000)
    products._gemms.cache_clear()
    yield stand_in
    products._gemms.cache_clear()


def factors(m, k, n, dtype=SINGLE, turned=(False, False)):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    return [np.asfortranarray(matrix) if turn else matrix for matrix, turn in zip((a, b), turned, strict=True)]


@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ((80, 60, 64), [(80, 64, 60)]),
        ((1, 600, 500), [(1, 500, 600)]), ((600, 500, 1), [(600, 1, 500)]), ((600, 1, 500), [(600, 500, 1)]),
        ((201, 200, 100), [(100, 100, 200), (101, 100, 200)]), ((100, 200, 210), [(100, 98, 200), (100, 112, 200)]),
        ((1, 4000, 1000), [(1, 488, 4000), (1, 512, 4000)]),
    ],
)  # fmt: skip
def test_large_products_are_cut_by_the_longer_side(mkl, sizes, parts, turned):
    a, b = factors(*sizes, turned=turned)
    out = numpy_.product(a, b)
    np.testing.assert_allclose(out, a.astype(float) @ b, rtol=0, atol=1e-3)
    assert sorted(mkl.shapes) == parts
    assert sorted(mkl.threads) == [1] * len(parts) + [7] * len(parts), "the caller's number of threads comes back"


def test_what_is_not_for_it(mkl):
    small, huge = factors(64, 64, 64), factors(80, 60, 64, ">f4")
    half, mixed = factors(80, 60, 64, np.float16), [factors(80, 60, 64)[0], factors(80, 60, 64, np.float64)[1]]
    apart = [factors(160, 60, 64)[0][::2], small[1][:60]]
    for a, b in (small, huge, half, mixed, apart):
        np.testing.assert_array_equal(numpy_.product(a, b), a @ b)
    assert products.bind(*factors(80, 60, 64), np.empty((2, 64), np.float32)) is None
    with pytest.raises(ValueError, match="not aligned"):
        numpy_.product(*factors(80, 60, 64)[:1], factors(80, 61, 64)[1])
    assert mkl.shapes == []


def test_without_it_products_are_numpys(monkeypatch):
    monkeypatch.setattr(products, "mkl", lambda: None)
    products._gemms.cache_clear()
    a, b = factors(100, 300, 200)
    np.testing.assert_array_equal(numpy_.product(a, b), a.dot(b))
    products._gemms.cache_clear()


def test_a_list_has_the_bits_of_single_products_and_follows_its_arrays(mkl):
    a, b = factors(201, 200, 100)
    other, out = a[::-1].copy(), np.empty((201, 100), np.float32)
    passes = Passes(SINGLE)
    passes.product(a, b, out)
    for matrix in (a, other):
        passes.run()
        np.testing.assert_array_equal(out, numpy_.product(matrix, b))
        passes.point(passes.places_of(a), other)
    assert len(mkl.shapes) == 8


def test_both_precisions_are_called_as_they_are_declared(monkeypatch):
    """The stand-in knows float32 only."""
    seen = []
    kinds = [ctypes.c_int] * 3 + [ctypes.c_int64] * 3
    kinds += [ctypes.c_double] + [ctypes.c_void_p, ctypes.c_int64] * 2 + [ctypes.c_double, ctypes.c_void_p]
    double = ctypes.CFUNCTYPE(None, *kinds, ctypes.c_int64)(lambda *given: seen.append(given))
    own = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda count: 0)
    address = [ctypes.cast(function, ctypes.c_void_p).value for function in (double, own)]
    monkeypatch.setattr(products, "mkl", lambda: (0, *address))
    products._gemms.cache_clear()
    a, b = factors(80, 60, 64, np.float64)
    c = np.empty((80, 64))
    products.bind(a, b, c)()
    places = [matrix.ctypes.data for matrix in (a, b, c)]
    assert seen == [(101, 111, 111, 80, 64, 60, 1.0, places[0], 60, places[1], 64, 0.0, places[2], 64)]
    products._gemms.cache_clear()

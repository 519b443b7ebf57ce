"""Products: the large ones of NumPy's loops, by MKL where it is installed, and shared among threads.

NumPy's OpenBLAS takes a quarter more time for them, and its threads then wait for tens of milliseconds for more, where
others could work: so either all large products go to MKL, or none does.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .blas import mkl
from .sharing import Call, share, threads

# Multiplications that other threads have to take off the calling one; meanwhile it could have done as many itself, for
# they sleep, and to wake them and to wait for them takes long.
_SAVED = 20_000_000
_VECTOR = 16  # float32 elements of a cache line, and of the widest vectors
_ROW_MAJOR, _NO_TRANSPOSE, _TRANSPOSE = 101, 111, 112  # as CBLAS calls them


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """Return ``a @ b``, or None where that is NumPy's work."""
    if not _able(a, b):
        return None
    c = np.empty((len(a), b.shape[1]), a.dtype)
    call = bind(a, b, c)
    assert call is not None
    call()
    return c


def bind(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> Call | None:
    """Return what does ``c = a @ b``, or None where that is NumPy's work.

    Parameters
    ----------
    a, b : ndarray, shapes (m, k) and (k, n)
        The factors.
    c : ndarray, shape (m, n)
        Of their dtype, contiguous; is written.

    Returns
    -------
    callable or None
        It reads and writes the arrays where they lie now, and does not keep them. How the product is cut depends on the
        sizes and the number of threads, and so do its last bits.
    """
    gemm, (m, k), n = _gemms().get(a.dtype), a.shape, b.shape[1]
    if gemm is None or not _able(a, b) or c.shape != (m, n) or c.dtype != a.dtype:
        return None
    count, whole = threads(), m * n * k
    if whole - whole // count < _SAVED:
        return functools.partial(gemm, *_arguments(a, b, c))
    if m >= n:
        parts = [(a[rows], b, c[rows]) for rows in _cut(m, count, 1)]
    else:
        parts = [(a, b[:, columns], c[:, columns]) for columns in _cut(n, count, _VECTOR)]
    return functools.partial(share, [functools.partial(gemm, *_arguments(*part)) for part in parts])


def _able(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether MKL is there, and the product is one that NumPy would do, too, of matrices that it can read."""
    alike = a.dtype == b.dtype and a.dtype in _gemms() and a.shape[1] == len(b)
    return alike and all(matrix.flags.c_contiguous or matrix.flags.f_contiguous for matrix in (a, b))


def _cut(length: int, count: int, unit: int) -> list[slice]:
    """Cut a length into `count` parts at most, of whole units but for the last one."""
    step = -(-length // (count * unit)) * unit
    return [slice(low, min(low + step, length)) for low in range(0, length, step)]


def _arguments(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[Any, ...]:
    """Return what gemm is called with."""
    (m, k), n = a.shape, b.shape[1]
    (ta, lda), (tb, ldb), (_, ldc) = map(_layout, (a, b, c))
    first, second, out = (matrix.ctypes.data for matrix in (a, b, c))
    return _ROW_MAJOR, ta, tb, m, n, k, 1.0, first, lda, second, ldb, 0.0, out, ldc


def _layout(matrix: np.ndarray) -> tuple[int, int]:
    """Return whether what lies there is the transpose, and the elements from one of its rows to the next."""
    (rows, columns), (down, along) = matrix.shape, matrix.strides
    if along == matrix.itemsize:
        return _NO_TRANSPOSE, max(down // matrix.itemsize, columns)
    return _TRANSPOSE, max(along // matrix.itemsize, rows)


@functools.cache
def _gemms() -> dict[np.dtype[Any], Callable[..., None]]:
    """Return MKL's products by dtype; none where it is not installed."""
    found = mkl()
    if found is None:
        return {}
    whole, place = ctypes.c_int64, ctypes.c_void_p
    own_threads = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(found[2])

    def gemm(address: int, real: Any) -> Callable[..., None]:
        kinds = *(ctypes.c_int,) * 3, *(whole,) * 3, real, place, whole, place, whole, real, place, whole
        product = ctypes.CFUNCTYPE(None, *kinds)(address)

        def call(*arguments: Any) -> None:
            before = own_threads(1)  # somebody may have loaded it with threads
            try:
                product(*arguments)
            finally:
                own_threads(before)

        return call

    return {np.dtype(np.float32): gemm(found[0], ctypes.c_float), np.dtype(np.float64): gemm(found[1], ctypes.c_double)}

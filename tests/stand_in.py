"""A stand-in for MKL, which is no dependency: products of float32 in NumPy, and a count of its calls."""

import ctypes
import threading

import numpy as np

from tinygrad_fc.kernels import blas

SIZES = ctypes.c_int64


class StandIn:
    """Products of float32 in NumPy, by the address of a C function with MKL's arguments."""

    def __init__(self):
        self.shapes, self.threads = [], []
        self._own = threading.local()  # how many threads MKL may use for each of ours
        kinds = [ctypes.c_int] * 3 + [SIZES] * 3 + [ctypes.c_float]
        kinds += [ctypes.POINTER(ctypes.c_float), SIZES] * 2 + [ctypes.c_float, ctypes.POINTER(ctypes.c_float), SIZES]
        self.gemm = ctypes.CFUNCTYPE(None, *kinds)(self.product)
        self.say = ctypes.CFUNCTYPE(ctypes.c_int, SIZES)(self.own_threads)
        self.addresses = blas.address(self.gemm), 0, blas.address(self.say)

    def product(self, layout, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        assert (layout, alpha, beta) == (101, 1, 0)
        assert self._own.count == 1, "as many threads as it likes"
        self.shapes.append((m, n, k))
        first = np.ctypeslib.as_array(a, (k, lda))[:, :m].T if ta == 112 else np.ctypeslib.as_array(a, (m, lda))[:, :k]
        second = np.ctypeslib.as_array(b, (n, ldb))[:, :k].T if tb == 112 else np.ctypeslib.as_array(b, (k, ldb))[:, :n]
        np.ctypeslib.as_array(c, (m, ldc))[:, :n] = first @ second

    def own_threads(self, count):
        before = getattr(self._own, "count", 7)
        self._own.count = count
        self.threads.append(count)
        return before

"""The team: threads that share the work of compiled loops and products, and the BLAS library that they call.

Sharing here beats the threads of BLAS: a whole list of instructions wakes the helpers once, and loops are shared too.
Helpers sleep when there is nothing to do for a fifth of a millisecond.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from importlib import import_module
from typing import Any

import numpy as np
from numba import types

from . import machine

# How NumPy's wheels name the functions of the OpenBLAS that they bring, with 64-bit integers; and OpenBLAS itself.
_NAMES = (
    ("scipy_cblas_sgemm64_", "scipy_cblas_dgemm64_", "scipy_openblas_{}_num_threads64_"),
    ("cblas_sgemm64_", "cblas_dgemm64_", "openblas_{}_num_threads64_"),
)
_LINE = 64  # bytes of a cache line


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _blas() -> tuple[int, int, int, int] | None:
    """Return the addresses of sgemm, dgemm, and of what reads and sets BLAS's threads; None where NumPy has another."""
    try:  # a handle of NumPy's own extension finds what it was linked with
        library = ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)
    except OSError:
        return None
    for single, double, threads in _NAMES:
        names = (single, double, threads.format("get"), threads.format("set"))
        if all(hasattr(library, name) for name in names):
            a, b, c, d = (_address(getattr(library, name)) for name in names)
            return a, b, c, d
    return None


def wanted_threads() -> int:
    """Return how many threads share the work: what the environment says for BLAS, else a thread for each core."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name, "").isdecimal() and int(os.environ[name]) > 0:
            return int(os.environ[name])
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Team:
    """Threads that run instructions together. There is one; `team` returns it.

    Attributes
    ----------
    size : int
        Threads that share the work, with the one that calls.
    """

    def __init__(self, size: int, blas: tuple[int, int, int, int]) -> None:
        self._lock = threading.Lock()
        library: Any = ctypes.CDLL(None) if size > 1 else None
        places = machine.HELPERS + machine.LINE * size
        memory = np.zeros(places + _LINE // 8, np.int64)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))  # never freed: helpers may look at it to the very end
        offset = -machine.address(memory) % _LINE // 8
        state = memory[offset : offset + places]
        self._at = machine.address(state)
        state[[machine.SGEMM, machine.DGEMM, machine.GET_THREADS, machine.SET_THREADS]] = blas
        if size > 1:
            names = ("sem_wait", "sem_post", "sched_yield")
            state[[machine.WAIT, machine.POST, machine.YIELD]] = [_address(getattr(library, name)) for name in names]
            for helper in range(1, size):
                sleeper = self._at + 8 * (machine.HELPERS + machine.LINE * helper + machine.SLEEP)
                if library.sem_init(ctypes.c_void_p(sleeper), 0, 0):
                    size = 1  # a system without such semaphores
                    break
        self.size = state[machine.SIZE] = size
        self._started = size == 1

    def _start(self) -> None:
        """Start the helpers. They never come back to Python, and end with the process."""
        machine.serve.compile((types.int64, types.int64))
        for helper in range(1, self.size):
            threading.Thread(
                target=machine.serve, args=(self._at, helper), daemon=True, name=f"tinygrad_fc-{helper}"
            ).start()
        self._started = True

    def run(self, rows: np.ndarray, reals: np.ndarray, dtype: np.dtype[Any], together: bool) -> None:
        """Run instructions.

        Parameters
        ----------
        rows : ndarray of int64, shape (n, 16)
            At least one instruction, as `codes.Code` describes them.
        reals : ndarray of float64, shape (n, 6)
            Their numbers.
        dtype : numpy.dtype
            Of the arrays at the addresses, float32 or float64.
        together : bool
            Whether the helpers take part. The inner sums of a product are then added up in other parts, so the caller
            decides it by the sizes.
        """
        run = machine.runner(dtype)
        if not together:
            machine.launch(run, rows, reals, self._at, False)
            return
        with self._lock:
            if not self._started:
                self._start()
            machine.launch(run, rows, reals, self._at, True)


@functools.cache
def team() -> Team | None:
    """Return the team, or None where NumPy's BLAS cannot be called (it is not OpenBLAS)."""
    blas = _blas()
    if blas is None:
        return None
    shared = wanted_threads() if os.name == "posix" and hasattr(ctypes.CDLL(None), "sem_init") else 1
    return Team(shared, blas)


if hasattr(os, "register_at_fork"):
    # A child has the memory of the team, and none of its threads.
    os.register_at_fork(after_in_child=team.cache_clear)

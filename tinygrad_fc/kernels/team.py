"""The team: threads that share the work of compiled loops and products.

Sharing here beats the threads of BLAS: a whole list of instructions wakes the helpers once, and loops are shared too.
Helpers sleep when there is nothing to do for some tens of microseconds.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numba import types
from numba.core.compiler_lock import global_compiler_lock

from . import jobs, machine
from .blas import address, mkl, openblas, wanted_threads
from .sharing import leave_signals

_LINE = 64  # bytes of a cache line
_LONGEST = 5.0  # seconds that the end of the interpreter waits for a job
_RECORD = np.zeros(8, np.int64)  # see `jobs`
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_RECORD))  # never freed: threads may look at it to the very end
_TEAMS: weakref.WeakSet[Team] = weakref.WeakSet()


def _help(memory: np.ndarray, at: int, helper: int) -> None:
    """Serve: what a helping thread does. It holds the memory."""
    leave_signals()
    jobs.serve(at, helper)


class Team:
    """Threads that run instructions together. There is one; `team` returns it.

    Attributes
    ----------
    size : int
        Threads that share the work, with the one that calls.
    """

    def __init__(
        self, size: int, blas: tuple[int, int, int, int], large: tuple[int, int, int] | None = None
    ) -> None:
        self._blas, self._large = blas, large or (*blas[:2], 0)
        self._lock = threading.RLock()  # a handler of a signal may run instructions between two lines of `run`
        self._library: Any = ctypes.CDLL(None) if os.name == "posix" else None
        self._threads: list[threading.Thread] = []
        self._started = self._closed = size == 1
        self.size = size
        self._state = self._prepare()
        _TEAMS.add(self)

    def _prepare(self) -> tuple[np.ndarray, int]:
        """Return memory for the threads, and where it begins."""
        places = jobs.HELPERS + jobs.LINE * self.size
        memory = np.zeros(places + _LINE // 8, np.int64)
        offset = -machine.address(memory) % _LINE // 8
        state = memory[offset : offset + places]
        at = machine.address(state)
        state[[machine.SGEMM, machine.DGEMM, jobs.GET_THREADS, jobs.SET_THREADS]] = self._blas
        state[[machine.LARGE_SGEMM, machine.LARGE_DGEMM, machine.OWN_THREADS]] = self._large
        state[jobs.RECORD] = machine.address(_RECORD)
        if self._library is not None:
            state[machine.YIELD] = address(self._library.sched_yield)
        if self.size > 1:
            state[[jobs.WAIT, jobs.POST]] = address(self._library.sem_wait), address(self._library.sem_post)
            for helper in range(1, self.size):
                sleeper = at + 8 * (jobs.HELPERS + jobs.LINE * helper + jobs.SLEEP)
                if self._library.sem_init(ctypes.c_void_p(sleeper), 0, 0):  # a system without such semaphores
                    self.size, self._closed = 1, True
                    break
        state[jobs.SIZE] = self.size
        return memory, at

    def _start(self) -> bool:
        """Start the helpers, unless they are there; return whether they are.

        Each start has memory of its own: a helper that comes late, after a start that failed, disturbs no other.
        """
        if self._started or self._closed:
            return not self._closed
        jobs.serve.compile((types.int64, types.int64))
        memory, at = self._prepare()
        threads = []
        try:
            for helper in range(1, self.size):
                name = f"tinygrad_fc-{helper}"
                threads.append(threading.Thread(target=_help, args=(memory, at, helper), daemon=True, name=name))
                threads[-1].start()
        except BaseException as error:
            jobs.dismiss(at)
            if not isinstance(error, RuntimeError):
                raise
            self._closed = True  # the system has no thread left, or the interpreter ends
            return False
        if self._threads:  # a handler of a signal has started them meanwhile
            jobs.dismiss(at)
            return True
        self._state, self._threads, self._started = (memory, at), threads, True
        return True

    def stop(self) -> None:
        """Have the helpers leave, and wait until they have; the next run starts others."""
        if self._started and self.size > 1:
            (memory, at), threads = self._state, self._threads
            self._started, self._threads = False, []  # from here on a handler of a signal may start others
            jobs.dismiss(at)
            for thread in threads:
                thread.join()
            del memory

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
        if _forker and _forker == threading.get_ident():
            with _let_in(self._state[1]), self._lock:
                self.run(rows, reals, dtype, together)
                self.stop()  # the child would wait for its helpers
            return
        run = machine.runner(dtype)
        if together and not self._closed:
            with self._lock:
                if self._start():
                    jobs.launch(run, rows, reals, self._state[1], True)
                    return
        memory, at = self._state  # held until all is done: another thread may start helpers meanwhile
        jobs.launch(run, rows, reals, at, False)
        del memory

    def hold(self) -> None:
        """Let the running job end, and begin none: the process is about to fork."""
        self._lock.acquire()
        self.stop()

    def release(self) -> None:
        """Let jobs begin again after `hold`."""
        self._lock.release()

    def renew(self) -> None:
        """Begin anew in a child, which has the memory of the team, and none of its threads."""
        self._lock = threading.RLock()
        self._started, self._threads = self.size == 1, []

    def close(self) -> None:
        """Have the helpers leave for good: what runs from now on runs on the thread that calls."""
        self._closed = True
        if self._lock.acquire(timeout=_LONGEST):
            self.stop()
            self._lock.release()


def team() -> Team | None:
    """Return the team, or None where NumPy's BLAS cannot be called (it is not OpenBLAS)."""
    if not _team:
        _team.setdefault(0, _make())  # of two threads that come at once, the first decides
    return _team[0]


_team: dict[int, Team | None] = {}


def _make() -> Team | None:
    blas = openblas()
    if blas is None:
        return None
    size = wanted_threads() if os.name == "posix" and hasattr(ctypes.CDLL(None), "sem_init") else 1
    return Team(size, blas, mkl())


_forker = 0  # the thread that forks, while it does
_undo: dict[int, list[Callable[[], None]]] = {}  # for each thread that wants to fork, what gives back its locks


def _before_fork() -> None:
    """Let no other thread be amid what the child could not end: a job, or a compilation.

    Products that other threads leave to NumPy are beyond it: OpenBLAS takes down its own threads while the process
    forks, and waits for ever where one of them works, with this package or without.
    """
    global _forker
    me, teams = threading.get_ident(), list(_TEAMS)
    undo = _undo.setdefault(me, [])
    for each in teams:
        undo.append(each.release)
        each.hold()
    if teams:
        _forker = me
        undo.append(global_compiler_lock.release)
        global_compiler_lock.acquire()  # type: ignore[no-untyped-call]  # the child may have to compile, too
        jobs.seize(teams[0]._state[1])  # launches take locks of BLAS, which would stay locked in the child


def _free() -> None:
    """Let launches begin again. There is no call in it, so a handler of a signal comes before all of it, or after."""
    global _forker
    _forker = 0
    if _RECORD[jobs.FORKING] == jobs.SEIZED:
        _RECORD[jobs.LOCKED] = 0
    _RECORD[jobs.FORKING] = 0


@contextlib.contextmanager
def _let_in(at: int) -> Iterator[None]:
    """Let the thread that forks launch, as a handler of a signal or a hook of the user's may."""
    global _forker
    me = _forker
    _free()
    try:
        yield
    finally:
        _forker = me
        jobs.seize(at)


def _after_fork() -> None:
    me = threading.get_ident()
    if _forker == me:
        _free()
    for release in reversed(_undo.pop(me, [])):
        with contextlib.suppress(RuntimeError):  # Ctrl-C came before this lock was held
            release()


def _in_child() -> None:
    _after_fork()
    _undo.clear()
    _RECORD[:] = 0
    for each in list(_TEAMS):
        each.renew()


def _at_exit() -> None:
    for each in list(_TEAMS):
        each.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
atexit.register(_at_exit)  # compiled code must not run when the interpreter takes down what it needs

"""Sharing: calls that several threads do together, for NumPy's loops. Compiled ones have a team of their own (`team`).

It pays where a call lets go of the interpreter for a hundred microseconds: a large product, an update of many
parameters. Each call writes what no other one reads, so that who does it makes no difference.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import signal
import threading
from collections.abc import Callable, Sequence

from .blas import wanted_threads

Call = Callable[[], object]


@functools.cache
def threads() -> int:
    """Return how many threads share, with the one that calls."""
    return wanted_threads()


def share(calls: Sequence[Call]) -> None:
    """Do calls, and return when all are done. An exception of any of them is raised when none runs any more.

    The helping threads take what the calling one has not come to: where they are busy, or cannot be had, it does all.
    """
    left = [*reversed(calls)]
    jobs: list[_Job] = []
    error: BaseException | None = None

    def work() -> None:
        while left:
            try:
                call = left.pop()
            except IndexError:  # another thread has taken the last
                return
            call()

    while True:
        try:
            while len(jobs) + 1 < min(threads(), len(calls)) and (helper := _find()):
                jobs.append(_Job(work))
                helper.begin(jobs[-1])
            work()
            for job in jobs:
                job.wait()
            break
        except BaseException as caught:  # after Ctrl-C, too, arrays are still written
            left.clear()
            error = error or caught
    for job in jobs:
        error = error or job.error
    if error:
        raise error


def leave_signals() -> None:
    """Leave signals to the threads that know of them, but for the faults of this one."""
    if hasattr(signal, "pthread_sigmask"):
        faults = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - faults)


class _Job:
    """What a helper does: whatever is left, in a copy of the caller's context, which says how to treat faults."""

    def __init__(self, work: Call) -> None:
        self._work, self._context, self._done = work, contextvars.copy_context(), threading.Lock()
        self._begun = self._ended = False
        self._done.acquire()
        self.error: BaseException | None = None

    def run(self) -> None:
        """Work, if anything is left."""
        self._begun = True
        try:
            self._context.run(self._work)
        except BaseException as error:  # it is the caller's
            self.error = error
        self._ended = True
        self._done.release()

    def wait(self) -> None:
        """Wait until it has ended, when nothing is left; what has not begun by then does nothing any more."""
        if self._begun and not self._ended:
            self._done.acquire()


class _Helper:
    """A thread that does jobs. Bare locks wake it sooner than an executor of the standard library does."""

    def __init__(self, number: int) -> None:
        self._go, self.busy = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._job: _Job | None = None
        threading.Thread(target=self._serve, daemon=True, name=f"tinygrad_fc-numpy-{number}").start()

    def _serve(self) -> None:
        leave_signals()
        while True:
            self._go.acquire()
            with self.busy:
                if self._job:
                    self._job.run()
                    self._job = None
            _idle.append(self)

    def begin(self, job: _Job) -> None:
        """Have it do a job."""
        self._job = job
        self._go.release()


_all: list[_Helper] = []
_idle: list[_Helper] = []  # each adds itself when it has ended a job


def _find() -> _Helper | None:
    """Return a helper that nobody else has, or None."""
    with contextlib.suppress(IndexError):
        return _idle.pop()
    if len(_all) < threads() - 1:
        with contextlib.suppress(RuntimeError):  # the system has no thread left, or the interpreter ends
            _all.append(_Helper(len(_all) + 1))
            return _all[-1]
    return None


_held: dict[int, list[_Helper]] = {}  # by the thread that forks, whom it keeps from beginning


def _before_fork() -> None:
    """Have the helpers end what they do, and begin nothing: a child would find the locks taken that they hold."""
    held = _held.setdefault(threading.get_ident(), [])
    for helper in [*_all]:
        helper.busy.acquire()
        held.append(helper)


def _after_fork() -> None:
    for helper in _held.pop(threading.get_ident(), []):
        helper.busy.release()


def _in_child() -> None:
    _all.clear()
    _idle.clear()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)

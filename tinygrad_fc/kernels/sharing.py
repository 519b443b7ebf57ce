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
from queue import SimpleQueue
from typing import Any

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
            if error:
                left.clear()
            for _ in range(len(jobs), min(_crew.size(), len(calls) - 1)):
                jobs.append(_Job(work))
                _crew.jobs.put(jobs[-1])
            work()
            for job in jobs:
                job.wait()
            break
        except BaseException as caught:  # after Ctrl-C, too, arrays are still written
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


class _Crew:
    """The helping threads of a process. A queue wakes them sooner than an executor of the standard library does."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.busy: list[Any] = []  # the lock that each holds while it works, which only its owner can release
        self._count = 0

    def size(self) -> int:
        """Return how many there are; the first call starts them."""
        with contextlib.suppress(RuntimeError):  # the system has no thread left, or the interpreter ends
            while self._count < threads() - 1:
                name = f"tinygrad_fc-numpy-{self._count + 1}"
                threading.Thread(target=self._serve, daemon=True, name=name).start()
                self._count += 1
        return self._count

    def _serve(self) -> None:
        leave_signals()
        busy = threading.RLock()
        self.busy.append(busy)
        while True:
            job = self.jobs.get()
            with busy:
                job.run()
            del job  # it holds arrays


_crew = _Crew()
_held: dict[int, list[Any]] = {}  # by the thread that forks, the locks that keep the others from beginning


def _before_fork() -> None:
    """Have the threads end what they do, and begin nothing: a child would find the locks taken that they hold."""
    held = _held.setdefault(threading.get_ident(), [])
    for busy in [*_crew.busy]:
        held.append(busy)
        busy.acquire()


def _after_fork() -> None:
    for busy in _held.pop(threading.get_ident(), []):
        with contextlib.suppress(RuntimeError):  # Ctrl-C came before it was taken
            busy.release()


def _in_child() -> None:
    global _crew
    _crew = _Crew()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)

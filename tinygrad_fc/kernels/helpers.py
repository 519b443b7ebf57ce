"""Helpers: Python threads that share passes over large arrays, since NumPy lets go of the interpreter meanwhile.

What they share is cut into blocks, and whoever is free takes the next one. Each element is computed by itself, so who
does it leaves no trace in the result.
"""

from __future__ import annotations

import collections
import os
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# Work on a block, as the n-th of those that share.
Work = Callable[[Any, int], None]


def wanted_threads() -> int:
    """Return how many threads share the work: what the environment says for BLAS, else a thread for each core."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        first = os.environ.get(name, "").split(",")[0].strip()  # OMP_NUM_THREADS may have one for each level
        if first.isdecimal() and int(first) > 0:
            return int(first)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_SIZE = min(wanted_threads(), 4)  # more would wait for memory, and for the interpreter
_jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
_threads: list[threading.Thread] = []
_lock = threading.Lock()


def size() -> int:
    """Return how many threads share the work, with the one that calls."""
    return _SIZE


def share(work: Work, blocks: Sequence[Any]) -> None:
    """Do the work on all blocks, together with the helpers; return when it is done.

    Parameters
    ----------
    work : callable
        ``work(block, n)``, where n is below `size` and no other thread's. It computes in NumPy, which reports no
        floating-point faults.
    blocks : sequence
        Done at the same time: the caller begins with the first, and the helpers with the last. BLAS shares large
        products in the same way, so that each finds much of what it needs in the cache of its core.
    """
    waiting = collections.deque(blocks)
    done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def help_out(n: int) -> None:
        while waiting:
            try:
                block = waiting.pop() if n else waiting.popleft()
            except IndexError:  # another thread was quicker
                return
            try:
                work(block, n)
            except BaseException as error:  # whoever waits raises it
                done.put(error)
            else:
                done.put(None)

    if _SIZE > 1 and _started():
        for n in range(1, _SIZE):
            _jobs.put(lambda n=n: help_out(n))  # type: ignore[misc]  # bound now
    help_out(0)
    errors = [done.get() for _ in blocks]
    for error in errors:
        if error is not None:
            raise error


def _started() -> bool:
    """Start the helpers unless they are there; return whether they are."""
    if not _threads:
        with _lock:
            try:
                while len(_threads) < _SIZE - 1:
                    name = f"tinygrad_fc-numpy-{len(_threads) + 1}"
                    _threads.append(threading.Thread(target=_serve, args=(_jobs,), daemon=True, name=name))
                    _threads[-1].start()
            except RuntimeError:  # the system has no thread left, or the interpreter ends
                _threads.pop()
    return bool(_threads)


def _serve(jobs: queue.SimpleQueue[Callable[[], None]]) -> None:
    np.seterr(all="ignore")  # of this thread
    while True:
        jobs.get()()


def _renew() -> None:
    """Begin anew in a child of fork, which has none of the threads."""
    global _jobs, _lock
    _jobs, _lock = queue.SimpleQueue(), threading.Lock()
    _threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)

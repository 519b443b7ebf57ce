"""Jobs: how the threads of a team wait for lists of instructions, run them, and leave.

A thread that waits spins for some tens of microseconds, and then sleeps. Nothing here touches Python, nor keeps the
interpreter from its work.
"""

from __future__ import annotations

from .compiling import compile_, compile_part
from .machine import YIELD
from .native import atomic_add, atomic_load, atomic_store, atomic_swap, call, call_runner

# More places in a team's memory. From HELPERS on, each helping thread has one that says whether it sleeps, and the
# semaphore that wakes it (`SLEEP` places behind).
JOBS = 0
ROWS, REALS_AT, COUNT, RUNNER, SIZE = 24, 25, 26, 27, 28
WAIT, POST, GET_THREADS, SET_THREADS, RECORD = 32, 33, 37, 38, 39
HELPERS, LINE, SLEEP = 48, 16, 8
# Places in the record of what was done to BLAS, which all teams of the process share.
LOCKED, LAUNCHES, BEFORE, FORKING = 0, 1, 2, 3
SEIZED = 2  # says the record where the process forks: no launch runs, and the lock is held

_PATIENCE = 100_000  # looks for the next job before falling asleep


@compile_
def serve(team, me):  # type: ignore[no-untyped-def]  # Numba infers the types
    """Take part in every job of a team, until it is dismissed: the life of a helping thread."""
    asleep = team + 8 * (HELPERS + LINE * me)
    done = 0
    while True:
        spins = 0
        while atomic_load(team + 8 * JOBS) == done and spins < _PATIENCE:
            spins += 1
        if spins == _PATIENCE:
            atomic_store(asleep, 1)
            # Either a job came meanwhile and the word is taken back, or whoever posts one sees it, and wakes this one.
            # It may also wake for nothing (by a signal), and then looks again.
            if atomic_load(team + 8 * JOBS) == done or not atomic_swap(asleep, 0):
                call(atomic_load(team + 8 * WAIT), asleep + 8 * SLEEP)
            continue
        done += 1
        run, rows, reals = team + 8 * RUNNER, team + 8 * ROWS, team + 8 * REALS_AT
        count, size = atomic_load(team + 8 * COUNT), atomic_load(team + 8 * SIZE)
        if atomic_load(run) == 0:
            return
        call_runner(atomic_load(run), atomic_load(rows), atomic_load(reals), count, team, me, size)


@compile_part
def _post(run, rows, reals, count, team):  # type: ignore[no-untyped-def]  # as above
    """Give all helpers a job, and wake those that sleep."""
    atomic_store(team + 8 * RUNNER, run)
    atomic_store(team + 8 * ROWS, rows)
    atomic_store(team + 8 * REALS_AT, reals)
    atomic_store(team + 8 * COUNT, count)
    atomic_add(team + 8 * JOBS, 1)
    for helper in range(1, atomic_load(team + 8 * SIZE)):
        asleep = team + 8 * (HELPERS + LINE * helper)
        if atomic_load(asleep) and atomic_swap(asleep, 0):
            call(atomic_load(team + 8 * POST), asleep + 8 * SLEEP)


@compile_
def dismiss(team):  # type: ignore[no-untyped-def]  # as above
    """Have all helpers leave, those too that have not begun yet; the memory serves no team again."""
    _post(0, 0, 0, 0, team)


@compile_part
def _lock(team):  # type: ignore[no-untyped-def]  # as above
    """Wait for the record, and return where it is."""
    record, give_way = atomic_load(team + 8 * RECORD), atomic_load(team + 8 * YIELD)
    while atomic_swap(record + 8 * LOCKED, 1):
        if give_way:
            call(give_way, 0)
    return record


@compile_
def seize(team):  # type: ignore[no-untyped-def]  # as above
    """Wait until no launch runs, and let none begin until the record says otherwise: the process is about to fork.

    A second call of the thread that has called before changes nothing.
    """
    forking = atomic_load(team + 8 * RECORD) + 8 * FORKING
    if atomic_load(forking) == SEIZED:
        return
    atomic_store(forking, 1)
    record, give_way = _lock(team), atomic_load(team + 8 * YIELD)
    while atomic_load(record + 8 * LAUNCHES):
        atomic_store(record + 8 * LOCKED, 0)
        if give_way:
            call(give_way, 0)
        _lock(team)
    atomic_store(forking, SEIZED)  # and the lock stays, which keeps those out who looked at `forking` before


@compile_part
def _quieten(team):  # type: ignore[no-untyped-def]  # as above
    """Have BLAS use one thread for each call, since the products are shared here, until the last launch is done."""
    forking, give_way = atomic_load(team + 8 * RECORD) + 8 * FORKING, atomic_load(team + 8 * YIELD)
    while atomic_load(forking):  # else launches that follow each other closely would keep a fork waiting for ever
        if give_way:
            call(give_way, 0)
    record = _lock(team)
    launches = atomic_load(record + 8 * LAUNCHES)
    if launches == 0:
        atomic_store(record + 8 * BEFORE, call(atomic_load(team + 8 * GET_THREADS), 0))
    atomic_store(record + 8 * LAUNCHES, launches + 1)
    if call(atomic_load(team + 8 * GET_THREADS), 0) != 1:
        call(atomic_load(team + 8 * SET_THREADS), 1)
    atomic_store(record + 8 * LOCKED, 0)


@compile_part
def _restore(team):  # type: ignore[no-untyped-def]  # as above
    """Give BLAS its threads back, if this launch is the last, and nobody has set them meanwhile."""
    record = _lock(team)
    launches, before = atomic_load(record + 8 * LAUNCHES), atomic_load(record + 8 * BEFORE)
    if launches == 1 and before != 1 and call(atomic_load(team + 8 * GET_THREADS), 0) == 1:
        call(atomic_load(team + 8 * SET_THREADS), before)
    atomic_store(record + 8 * LAUNCHES, launches - 1)
    atomic_store(record + 8 * LOCKED, 0)


@compile_
def launch(run, rows, reals, team, together):  # type: ignore[no-untyped-def]  # as above
    """Run one instruction or more with all threads of a team or the calling one alone; return when all is done."""
    first, second, count = rows.ctypes.data, reals.ctypes.data, rows.shape[0]
    size = atomic_load(team + 8 * SIZE) if together else 1
    _quieten(team)
    if size > 1:
        _post(run, first, second, count, team)
    call_runner(run, first, second, count, team, 0, size)
    _restore(team)

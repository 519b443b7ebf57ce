"""What the processes of engines cost: resident memory while they train, its growth, and the time until a first step.

All of it is measured from outside Python, so that engines with allocators of their own are seen, and in fresh
processes. Every one of them has imported this package and NumPy besides its engine: the row ``products`` says what
that takes.
"""

from __future__ import annotations

import ctypes
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from . import measure, session, workers
from .engines import Engine
from .networks import Network, make_problem
from .runs import Run

STEPS = 50  # before the peak is read
PROC = Path("/proc/self")
_PR_SET_THP_DISABLE = 41  # linux/prctl.h


def peak() -> int | None:
    """Return the most memory in bytes that was resident in this process so far; None where the system does not tell."""
    # Linux hands the parent's peak down to a new process in ``ru_maxrss``, but not in this line.
    with suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+) kB$", (PROC / "status").read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def current() -> int | None:
    """Return the memory in bytes that is resident in this process now; None where the system does not tell."""
    try:
        import resource

        pages = int((PROC / "statm").read_text(encoding="utf-8").split()[1])
    except (ImportError, OSError):
        return None
    return pages * resource.getpagesize()


def train_and_peak(build: Callable[..., Run], network: Network, steps: int) -> int | None:
    """Train in this process, and return its peak."""
    run = build(make_problem(network))
    for _ in range(steps):
        run.step()
    run.finish()
    return peak()


def small_pages() -> None:
    """Ask Linux to leave the pages of this process as they are.

    It gathers them into huge pages at moments of its own choosing, and then what lies unused between those that were in
    use is resident, too: megabytes of growth that no program asked for.
    """
    with suppress(OSError, AttributeError, TypeError):  # there is no prctl elsewhere
        ctypes.CDLL(None).prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)


def train_and_grow(build: Callable[..., Run], network: Network, first: int, last: int) -> int | None:
    """Train in this process, and return by how much its memory grew from one step to another, in bytes."""
    small_pages()
    run = build(make_problem(network))
    at: dict[int, int | None] = {}
    for step in range(1, last + 1):
        run.step()
        if step in (first, last):
            run.finish()
            at[step] = current()
    before, after = at[first], at[last]
    return None if before is None or after is None else after - before


def first_step(build: Callable[..., Run], network: Network) -> None:
    """Set an engine up in this process, and do one step."""
    run = build(make_problem(network))
    run.step()
    run.finish()


def measure_resident(engines: Sequence[Engine], networks: Sequence[Network], pace: session.Pace) -> dict[str, Any]:
    """Measure for each network the peak of each engine, and how much ours grows while it trains on.

    Returns
    -------
    dict
        ``steps`` before the peak, ``growth_steps``, and ``rows``: of each network, ``peak`` by engine and ``growth``,
        in bytes, None where the system does not tell, or a dict with a ``problem`` or why it is ``unavailable``.
    """
    rows = []
    with session.progress(len(networks) * (len(engines) + 1), "resident memory") as bar:
        for network in networks:
            peaks: dict[str, Any] = {}
            growth: Any = None
            for engine in engines:
                if network.batch_norm and not engine.normalizes:
                    bar.update()
                    continue
                with workers.Worker(engine.name) as worker:
                    call = partial(worker.call, train_and_peak, engine.build, network, STEPS)
                    peaks[engine.name] = session.attempt(call)
                bar.update()
                if engine.name == "ours":
                    with workers.Worker(engine.name) as worker:
                        call = partial(worker.call, train_and_grow, engine.build, network, *pace.growth_steps)
                        growth = session.attempt(call)
            bar.update()
            rows.append({"network": str(network), "peak": peaks, "growth": growth})
    return {"steps": STEPS, "growth_steps": list(pace.growth_steps), "rows": rows}


def measure_startup(engines: Sequence[Engine], network: Network, pace: session.Pace) -> dict[str, Any]:
    """Time fresh processes, one engine after the other, from their start until their first step is done.

    Returns
    -------
    dict
        ``processes`` of each engine, the ``network``, and by engine the spread of the seconds, or a dict with a
        ``problem`` or why it is ``unavailable``.
    """
    seconds: dict[str, list[float]] = {engine.name: [] for engine in engines}
    failed: dict[str, Any] = {}
    with session.progress((pace.starts + 1) * len(engines), "start-up") as bar:
        for turn in range(pace.starts + 1):
            for engine in engines:
                bar.update()
                if engine.name in failed or (network.batch_norm and not engine.normalizes):
                    continue
                start = time.perf_counter()
                with workers.Worker(engine.name) as worker:
                    found = session.attempt(partial(worker.call, first_step, engine.build, network))
                    taken = time.perf_counter() - start
                if isinstance(found, dict):
                    failed[engine.name] = found
                elif turn:  # the first reads files from the disk, and fills the caches of compilers
                    seconds[engine.name].append(taken)
    spreads = {name: asdict(measure.Spread.of(values)) for name, values in seconds.items() if values}
    found = {name: failed.get(name) or spreads.get(name) for name in seconds}
    return {
        "processes": pace.starts,
        "network": str(network),
        "engines": {name: value for name, value in found.items() if value is not None},
    }

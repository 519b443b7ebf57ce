"""``bench --sweep``: how the cost of a step grows with depth, width, batch and threads, beside that of its products.

Each point is compared before it is timed, as `session.check_engines` does. The timed steps then have a learning rate
of almost nothing: whatever their number, they compute with the same ordinary numbers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from . import measure, session, workers
from .engines import Engine, build_ours, build_ours_gradients, select_engines
from .networks import NETWORKS, Network, Problem, make_problem

TIMED = ("products", "ours", "torch")
ROUNDS = 15  # at most: there are many points, and a line through them is what counts
STILL = 1e-9  # the learning rate of timed steps
DEEP = (1_000, 3_000, 10_000)  # layers
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Axis:
    """What varies, over which networks.

    Parameters
    ----------
    name : str
        Of the axis, with what stays the same.
    points : sequence of (int, Network)
        The value of each point, and what is trained there.
    threads : bool
        Whether the value is the number of threads.
    """

    name: str
    points: Sequence[tuple[int, Network]]
    threads: bool = False


def axes(quick: bool) -> list[Axis]:
    """Return the axes; with `quick` two small points of each."""
    depth = (2, 8) if quick else (2, 4, 8, 16, 32, 64)
    width = (64, 256) if quick else (64, 128, 256, 512, 1024, 2048, 4096)
    batch = (1, 32) if quick else (1, 4, 16, 64, 256, 1024, 4096)
    known = {network.name: network for network in NETWORKS}
    threaded = [known["six-layer"]] if quick else [known["six-layer"], known["wide"]]

    def net(name: str, sizes: tuple[int, ...], n: int) -> Network:
        return Network(name, sizes, n, "adam", 1e-4)

    return [
        Axis("depth (width 100, N=100)", [(d, net("depth", (100,) * d + (10,), 100)) for d in depth]),
        Axis("width (3 layers, N=128)", [(w, net("width", (w, w, w, 10), 128)) for w in width]),
        Axis("batch (784-256-256-10)", [(n, net("batch", (784, 256, 256, 10), n)) for n in batch]),
        *[Axis(f"threads ({network.name})", [(1, network), (2, network)], threads=True) for network in threaded],
    ]


def measure_sweep(
    pace: session.Pace, listed: Sequence[Axis], deep: Sequence[int] = DEEP
) -> Iterator[dict[str, Any]]:
    """Measure along each axis, and very deep networks.

    Parameters
    ----------
    pace : session.Pace
        How long to measure each point.
    listed : sequence of Axis
        What to measure.
    deep : sequence of int
        Numbers of layers of width 4 that ours goes through forward and backward.

    Yields
    ------
    dict
        One key of the results: ``environment``, ``sweep``, ``deep``. JSON types only.
    """
    pace = replace(pace, rounds=min(pace.rounds, ROUNDS))
    engines = [engine for engine in select_engines(TIMED) if engine.installed()]
    with ExitStack() as stack:
        crew = _crew(engines, stack)
        yield {"environment": session.environment(engines, crew, pace)}
        found: list[dict[str, Any]] = []
        for axis in listed:
            rows = []
            for value, network in axis.points:
                with ExitStack() as own:
                    team = crew
                    if axis.threads:
                        team = _crew(engines, own, dict.fromkeys(THREADS, str(value)))
                    rows.append({"value": value, **measure_point(network, engines, team, pace)})
            found.append({"axis": axis.name, "rows": rows})
            yield {"sweep": list(found)}  # the last list holds all of them
    if deep:
        yield {"deep": measure_deep(deep, pace)}


def _crew(
    engines: Sequence[Engine], stack: ExitStack, environment: dict[str, str] | None = None
) -> dict[str, workers.Worker]:
    return {engine.name: stack.enter_context(workers.Worker(engine.name, environment)) for engine in engines}


def measure_point(
    network: Network, engines: Sequence[Engine], crew: dict[str, workers.Worker], pace: session.Pace
) -> dict[str, Any]:
    """Compare the engines on a network, and time those of `TIMED` that agree."""
    found = session.check_engines(network, engines, crew)
    timers = {}
    for engine in engines:
        figures = found[engine.name]
        if engine.name not in TIMED or {"problem", "unavailable"} & set(figures):
            continue
        worker = crew[engine.name]
        failure = session.attempt(
            partial(worker.call, workers.start_training, engine.build, replace(network, learning_rate=STILL), 1)
        )
        if isinstance(failure, dict):
            found[engine.name] = failure
        else:
            timers[engine.name] = partial(session.time_worker, worker, pace.warm)
    with session.progress(pace.rounds * len(timers), str(network)) as bar:
        times = measure.interleave(timers, pace.rounds, pace.block, bar.update)
    ratios = measure.ratios(times, "products")
    for name, values in times.items():
        found[name].update(seconds=asdict(measure.Spread.of(values)), to_products=asdict(ratios[name]))
    return {"title": str(network), "engines": {name: found[name] for name in found if name in TIMED}}


def deep_problem(layers: int) -> Problem:
    """Return a network of width 4 whose every layer passes positive numbers on: nothing fades, however deep it is.

    All layers have the same input and the same incoming gradient, so the same gradient, bit for bit.
    """
    problem = make_problem(Network("deep", (4,) * (layers + 1), 16, "sgd", 1e-2))
    weights = tuple(np.eye(4, dtype=np.float32) if w.ndim == 2 else w for w in problem.weights)
    return replace(problem, inputs=np.abs(problem.inputs), weights=weights)


def time_deep(layers: int, repeats: int) -> list[float]:
    """Check ours on a deep network in this process, and time it forward and backward.

    Raises
    ------
    ValueError
        If one layer got another gradient than the first, or none.
    """
    problem = deep_problem(layers)
    steps = workers.first_steps(build_ours(problem), 1)
    assert steps is not None
    first = steps.weights[0]
    if np.array_equal(first, problem.weights[0]):
        raise ValueError(f"{layers} layers: no gradient came to the first one")
    for n, w in enumerate(steps.weights[::2], 1):
        if not np.array_equal(w, first):
            raise ValueError(f"{layers} layers: the gradient of layer {n} is not that of the first")
    run = build_ours_gradients(problem)
    times = []
    for turn in range(repeats + 1):
        start = time.perf_counter()
        run.step()
        if turn:
            times.append(time.perf_counter() - start)
    return times


def measure_deep(layers: Sequence[int], pace: session.Pace) -> list[dict[str, Any]]:
    """Time forward and backward of ours through so many layers of width 4, each in a fresh process."""
    rows = []
    with session.progress(len(layers), "deep networks") as bar:
        for count in layers:
            with workers.Worker("ours") as worker:
                times = session.attempt(partial(worker.call, time_deep, count, pace.rounds))
            bar.update()
            failed = isinstance(times, dict)
            rows.append({"layers": count, **(times if failed else {"seconds": asdict(measure.Spread.of(times))})})
    return rows

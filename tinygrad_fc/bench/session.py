"""One run of the benchmarks: sets the engines up, checks them, times them, and returns plain dictionaries."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from . import chains, measure, workers
from .engines import PACKAGE, Engine
from .networks import Network, make_problem

CHAIN_LINKS = 1000
# Engines agree on the chain's float64 gradients but for the order of additions.
CHAIN_TOLERANCE = 1e-9
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")


@dataclass(frozen=True)
class Pace:
    """How long to measure.

    Parameters
    ----------
    rounds : int
        The least number of rounds.
    seconds : float
        About how long to time each network.
    block, warm : float
        Seconds of one timing, and of the untimed steps before it.
    processes : int
        Fresh processes for the import time.
    starts : int
        Fresh processes of each engine for the time until a first step is done.
    growth_steps : (int, int)
        Between which steps of a long training the growth of memory is taken.
    """

    rounds: int
    seconds: float
    block: float
    warm: float
    processes: int
    starts: int = 5
    growth_steps: tuple[int, int] = (1_000, 10_000)

    @classmethod
    def full(cls, seconds: float | None) -> Self:
        """Long enough for figures to be quoted."""
        return cls(rounds=31, seconds=seconds or 0.0, block=0.05, warm=0.15, processes=11)

    @classmethod
    def quick(cls, seconds: float | None) -> Self:
        """A look: the figures are rough."""
        return cls(rounds=3, seconds=seconds or 0.0, block=0.005, warm=0.0, processes=3, starts=1,
                   growth_steps=(20, 60))  # fmt: skip

    def rounds_of(self, count: int) -> int:
        """Rounds for so many engines."""
        return max(self.rounds, round(self.seconds / (count * (self.block + self.warm))))


def measure_all(networks: Sequence[Network], engines: Sequence[Engine], pace: Pace) -> Iterator[dict[str, Any]]:
    """Measure everything, and yield it part by part as soon as it is known.

    Parameters
    ----------
    networks : sequence of Network
        What to train.
    engines : sequence of Engine
        Who trains it; ``products`` and ``numpy`` must be among them.
    pace : Pace
        How long to measure.

    Yields
    ------
    dict
        One key of the results: ``environment``, ``steps``, ``ops``, ``memory``, ``resident``, ``startup``, ``import``.
        JSON types only.
    """
    from . import resident

    present = [engine for engine in engines if engine.installed()]
    with ExitStack() as stack:
        crew = {engine.name: stack.enter_context(workers.Worker(engine.name)) for engine in present}
        yield {"environment": environment(engines, crew, pace)}
        steps = []
        for network in networks:
            steps.append(time_network(network, present, crew, pace))
            # The last network's list holds all of them: a reader of the parts takes the newest.
            yield {"steps": list(steps)}
        yield {"ops": time_ops(present, crew, pace, stack)}
        yield {"memory": measure_memory(present, networks)}
    yield {"resident": resident.measure_resident(present, networks, pace)}
    yield {"startup": resident.measure_startup(present, deep_network(networks), pace)}
    yield {"import": time_import(pace.processes)}


def environment(engines: Iterable[Engine], crew: dict[str, workers.Worker], pace: Pace) -> dict[str, Any]:
    """Say where and with what a run is done."""
    listed: list[dict[str, Any]] = []
    for engine in engines:
        version = crew[engine.name].call(engine.version) if engine.name in crew else None
        listed.append({"name": engine.name, "package": engine.package, "version": version, "form": engine.form})
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": platform.platform(),
        "processor": processor(),
        "cores": available_cores(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "blas": blas(),
        "threads": {name: os.environ.get(name) for name in THREADS},
        "pace": asdict(pace),
        "engines": listed,
        "method": "One process per engine, timed in turn; medians over the rounds, in brackets the quartiles.",
    }


def processor() -> str:
    """Return the processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def blas() -> str:
    """Return the name and version of the library that does NumPy's matrix products, and of MKL, if it does our own."""
    config: Any = np.show_config(mode="dicts")
    found = config.get("Build Dependencies", {}).get("blas", {})
    name = f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()
    try:
        return f"{name}, MKL {importlib.metadata.version('mkl')} for large products of ours"
    except importlib.metadata.PackageNotFoundError:
        return name


def progress(total: int, what: str) -> Any:
    """Return a progress bar on standard error, which is silent where that is no terminal."""
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=what, unit="timing", leave=False, file=sys.stderr, disable=not sys.stderr.isatty())


def time_network(
    network: Network, engines: Sequence[Engine], crew: dict[str, workers.Worker], pace: Pace
) -> dict[str, Any]:
    """Compare the engines' first steps of a network with hand-tuned NumPy's, then time those that agree.

    Masks of dropout differ from engine to engine, so with dropout the comparison is of steps whose dropout keeps all.
    """
    found = check_engines(network, engines, crew)
    timers = timers_of(found, crew, pace)
    rounds = pace.rounds_of(len(timers))
    with progress(rounds * len(timers), network.name) as bar:
        times = measure.interleave(timers, rounds, pace.block, bar.update)
    products, tuned, share = measure.ratios(times, "products"), measure.ratios(times, "numpy"), measure.shares(times)
    for name, values in times.items():
        found[name]["seconds"] = asdict(measure.Spread.of(values))
        found[name]["fastest"] = min(values)
        found[name]["to_products"] = asdict(products[name])
        found[name]["to_numpy"] = asdict(tuned[name])
        found[name].update(share[name])
    compared = "with dropout that keeps everything" if network.keep_ratio < 1.0 else "as timed"
    facts = {"network": asdict(network), "title": str(network), "compared": compared}
    return {**facts, "rounds": rounds, "engines": found}


def check_engines(
    network: Network, engines: Sequence[Engine], crew: dict[str, workers.Worker]
) -> dict[str, dict[str, Any]]:
    """Set each engine up for a network, and compare its first steps with those of ``numpy``, which must be among them.

    Returns
    -------
    dict
        By engine, its errors, or a ``problem``, or why it is ``unavailable``.
    """
    compared = network.keeping_all()
    problem = make_problem(compared)
    first: dict[str, workers.FirstSteps | None] = {}
    found: dict[str, dict[str, Any]] = {engine.name: {} for engine in engines}
    for engine in engines:
        if network.batch_norm and not engine.normalizes:
            found[engine.name]["unavailable"] = "not there: it has neither batch normalization nor dropout"
            continue
        steps = start(crew[engine.name], engine, compared)
        given = None if isinstance(steps, dict) else steps
        if isinstance(steps, dict):
            found[engine.name] = steps
        elif compared == network:
            first[engine.name] = given
        else:
            dropped = start(crew[engine.name], engine, network)
            if isinstance(dropped, dict):
                found[engine.name] = dropped
            elif given is not None and dropped is not None and not _drops(given.losses, dropped.losses):
                found[engine.name]["problem"] = f"wrong: losses {dropped.losses}, without dropout {given.losses}"
            else:
                first[engine.name] = given
    reference = first["numpy"]
    assert reference is not None  # it has a loss; its failure is an error of ours
    for engine in engines:
        given = first.get(engine.name)
        if given is not None:
            found[engine.name].update(verdict(engine, partial(measure.compare, problem, reference, given)))
    return found


def start(worker: workers.Worker, engine: Engine, network: Network) -> Any:
    """Return an engine's first steps, or what `attempt` makes of its failure."""
    return attempt(partial(worker.call, workers.start_training, engine.build, network, measure.STEPS_COMPARED))


def _drops(kept: Sequence[float], dropped: Sequence[float]) -> bool:
    """Whether losses with dropout are others than those without, and of their size."""
    return all(0.0 < abs(a - b) < 0.5 * a for a, b in zip(kept, dropped, strict=True))


def attempt(call: Callable[[], Any]) -> Any:
    """Return what a call of a worker returns; a dict with a ``problem``, or with ``unavailable``, where it fails."""
    try:
        return call()
    except workers.UnavailableError as error:
        return {"unavailable": f"not available: {error}"}
    except workers.WorkerError as error:
        return {"problem": f"failed: {error}"}


def verdict(engine: Engine, comparison: Callable[[], measure.Comparison]) -> dict[str, Any]:
    """Compare, and return the errors, or what is wrong."""
    try:
        errors = comparison()
    except ValueError as error:
        return {"problem": f"wrong: {error}"}
    if not errors.agrees(engine.update_tolerance):
        return {
            "problem": f"wrong: after {measure.STEPS_COMPARED} steps its losses are {errors.loss_error:.1e} and its "
            f"updates {errors.update_error:.1e} from those of numpy, relatively"
        }
    return asdict(errors)


def time_worker(worker: workers.Worker, warm: float, repeats: int) -> float:
    """Time some steps of what a worker was set up for, after untimed ones of `warm` seconds; return those of a step."""
    return worker.call(workers.time_block, repeats, warm)


def timers_of(
    found: dict[str, dict[str, Any]], crew: dict[str, workers.Worker], pace: Pace
) -> dict[str, Callable[[int], float]]:
    """Return what times the worker of each engine that is there and agrees."""
    return {
        name: partial(time_worker, crew[name], pace.warm)
        for name, figures in found.items()
        if not {"problem", "unavailable"} & set(figures)
    }


def time_agreeing(found: dict[str, dict[str, Any]], crew: dict[str, workers.Worker], pace: Pace, what: str) -> int:
    """Time what the workers of engines that agree were set up for; add their figures to `found`, return the rounds.

    Where a pace has no block, a timing is one step, as it takes long; the rounds then are those that its seconds allow.
    """
    timers = timers_of(found, crew, pace)
    if not timers:
        return 0
    rounds = pace.rounds_of(len(timers)) if pace.block else pace.rounds
    if pace.seconds and not pace.block:
        round_seconds = sum(2.0 * timer(1) for timer in timers.values())  # each step comes after one that is not timed
        rounds = max(rounds, round(pace.seconds / max(round_seconds, 1e-7)))
    with progress(rounds * len(timers), what) as bar:
        times = measure.interleave(timers, rounds, pace.block, bar.update)
    share = measure.shares(times)
    for name, values in times.items():
        found[name].update(seconds=asdict(measure.Spread.of(values)), fastest=min(values), **share[name])
    return rounds


def time_ops(
    engines: Sequence[Engine], crew: dict[str, workers.Worker], pace: Pace, stack: ExitStack
) -> dict[str, Any]:
    """Time a recorded small op, forward and backward, next to a loop in plain Python that does the same."""
    crew = {**crew, "floor": stack.enter_context(workers.Worker("floor"))}
    names = ["floor", *(engine.name for engine in engines if engine.name in chains.CHAINS)]
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    timers: dict[str, Callable[[int], float]] = {}
    expected = crew["floor"].call(workers.start_chain, chains.CHAINS["floor"], CHAIN_LINKS)
    for name in names:
        try:
            given = crew[name].call(workers.start_chain, chains.CHAINS[name], CHAIN_LINKS)
        except workers.WorkerError as error:
            found[name]["problem"] = f"failed: {error}"
            continue
        if all(np.allclose(a, b, rtol=CHAIN_TOLERANCE, atol=0.0) for a, b in zip(given, expected, strict=True)):
            timers[name] = partial(time_worker, crew[name], pace.warm)
        else:
            found[name]["problem"] = "wrong: its gradients are not those of the plain loop"
    with progress(pace.rounds * len(timers), "one op") as bar:
        times = measure.interleave(timers, pace.rounds, pace.block, bar.update)
    to_floor, share = measure.ratios(times, "floor"), measure.shares(times)
    for name, values in times.items():
        found[name]["seconds"] = asdict(measure.Spread.of([value / CHAIN_LINKS for value in values]))
        found[name]["fastest"] = min(values) / CHAIN_LINKS
        found[name]["to_floor"] = asdict(to_floor[name])
        found[name].update(share[name])
    return {"links": CHAIN_LINKS, "rounds": pace.rounds, "engines": found}


def deep_network(networks: Sequence[Network]) -> Network:
    """Return the six-layer network where it is asked for, else the first."""
    return next((network for network in networks if network.name == "six-layer"), networks[0])


def measure_memory(engines: Sequence[Engine], networks: Sequence[Network]) -> dict[str, Any]:
    """Measure peaks, each in a fresh process: what an engine imports or keeps for good is not counted."""
    chain, step = {}, {}
    network = deep_network(networks)
    for engine in engines:
        if engine.name == "products":
            continue
        with workers.Worker(engine.name) as worker:
            if engine.name in chains.MEMORY_ENGINES:
                chain[engine.name] = attempt(partial(worker.call, chains.chain_memory, engine.name))
            traced = attempt(partial(worker.call, chains.step_memory, engine.build, network)) if engine.traced else None
            step[engine.name] = traced
    return {"links": chains.MEMORY_LINKS, "chain": chain, "network": str(network), "step_bytes": step}


def time_import(processes: int) -> dict[str, Any]:
    """Time ``import`` of this package and of NumPy in fresh processes, in turn, from compiled files."""
    code = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
    folder = str(Path(__file__).resolve().parents[2])
    paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    times: dict[str, list[float]] = {"numpy": [], PACKAGE: []}
    with tempfile.TemporaryDirectory() as compiled:
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONPYCACHEPREFIX": compiled}
        variables.pop("PYTHONDONTWRITEBYTECODE", None)
        for turn in range(processes + 1):
            for name, values in times.items():
                command = [sys.executable, "-c", code.format(name)]
                done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
                if turn:  # the first reads the files from the disk, and compiles them
                    values.append(float(done.stdout))
    ratio = measure.ratios(times, "numpy")[PACKAGE]
    seconds = {name: statistics.median(values) for name, values in times.items()}
    return {"processes": processes, "seconds": seconds, "to_numpy": asdict(ratio)}


def problems(results: Any) -> list[str]:
    """Collect what any part of the results calls a problem."""
    if isinstance(results, dict):
        own = [results["problem"]] if "problem" in results else []
        return own + [text for value in results.values() for text in problems(value)]
    if isinstance(results, list):
        return [text for value in results for text in problems(value)]
    return []

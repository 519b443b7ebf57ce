"""A process for each engine, timed in turn.

Engines that share a process are not measured fairly. NumPy's OpenBLAS keeps its threads spinning for some 25 ms after
a product, and PyTorch's OpenMP threads then share the cores with them: on two cores, PyTorch's step of the two-layer
network took 1.3 ms alone and 2.2 to 3.9 ms in one process with NumPy, that of the six-layer network 2.0 to 2.7 ms and
5.7 to 8.6 ms. Nor does ``OMP_WAIT_POLICY=PASSIVE`` help, which stops the spinning: PyTorch alone then takes 2.4 ms and
5.1 ms, and 1.6 ms instead of 0.3 ms for the small network. So each engine has a process with its own defaults, and one
of them works at a time.

A process that wakes up needs time, too: its threads start on one core, and the scheduler takes some 50 ms to part them
(timed at once, the products of the two-layer network took 0.9 ms or 2 ms, by chance). So each timing comes after
untimed steps; after 100 ms of them the two kinds are gone, and so are the threads of the process before.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, ParamSpec, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from .networks import Array, Network, make_problem
from .runs import Chain, NotAvailableError, Run

P = ParamSpec("P")
R = TypeVar("R")


class WorkerError(RuntimeError):
    """An engine failed in its process; the message is its traceback's last line."""


class UnavailableError(WorkerError):
    """An engine cannot work on this machine: what it needs besides its package is missing, which is no failure."""


class Worker:
    """A fresh Python process that calls functions when asked to, one at a time.

    Parameters
    ----------
    name : str
        The engine's, for messages.
    environment : dict of str to str, optional
        Environment variables that the process has besides those of this one.
    """

    def __init__(self, name: str, environment: dict[str, str] | None = None) -> None:
        self.name = name
        # "spawn": a forked child would inherit thread pools without their threads.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), daemon=True, name=f"bench {name}")
        before = {key: os.environ.get(key) for key in environment or {}}
        os.environ.update(environment or {})  # libraries read it when they are loaded: it has to be there at the start
        try:
            self.process.start()
        finally:
            for key, value in before.items():
                if value is None:
                    del os.environ[key]
                else:
                    os.environ[key] = value
        theirs.close()

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a module-level function in the process and return what it returns.

        Raises
        ------
        WorkerError
            If the function raised or the process ended; `UnavailableError` if it raised `runs.NotAvailableError`.
        """
        try:
            self.connection.send((function, args, kwargs))
            raised, result = self.connection.recv()
        except (EOFError, OSError) as error:
            self.process.join(1)
            raise WorkerError(f"{self.name}: the process ended with code {self.process.exitcode}") from error
        if raised is not None:
            raise raised(f"{self.name}: {result}")
        value: R = result
        return value

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is not None:  # nobody waits for what it is doing
            self.process.terminate()
        self.close()


def serve(connection: Connection) -> None:
    """Answer calls until the other side closes; the process's main function."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C comes here, too: the other side sees to it
    while True:
        try:
            function, args, kwargs = connection.recv()
        except EOFError:
            return
        answer: tuple[type[WorkerError] | None, Any]
        try:
            answer = None, function(*args, **kwargs)
        except NotAvailableError as error:
            answer = UnavailableError, str(error)
        except Exception as error:
            answer = WorkerError, traceback.format_exception_only(error)[-1].strip()
        connection.send(answer)


class FirstSteps(NamedTuple):
    """The losses of an engine's first steps, and its weights after them."""

    losses: list[float]
    weights: list[Array]


_run: list[Run] = []  # what this process times: at most one run


def begin(run: Run) -> None:
    """Make a run what `time_block` times in this process."""
    _run[:] = [run]


def first_steps(run: Run, count: int) -> FirstSteps | None:
    """Do the first steps of a run; None if the run has nothing to compare."""
    if run.loss is None or run.weights is None:
        return None
    losses = []
    for _ in range(count):
        run.step()
        losses.append(run.loss())
    return FirstSteps(losses, run.weights())


def start_training(build: Callable[..., Run], network: Network, count: int) -> FirstSteps | None:
    """Set an engine up for a network in this process, and do its first steps."""
    _run.clear()  # the last network's arrays go before this one's come
    _run.append(build(make_problem(network)))
    return first_steps(_run[0], count)


def start_chain(build: Callable[[int], Chain], links: int) -> list[NDArray[np.float64]]:
    """Set an engine's chain of small ops up in this process; return the gradients of its first step."""
    chain = build(links)
    begin(Run(step=chain))
    return [np.asarray(gradient) for gradient in chain()]


def time_block(repeats: int, warm_seconds: float) -> float:
    """Time some steps of what this process was set up for.

    Parameters
    ----------
    repeats : int
        Steps that are timed.
    warm_seconds : float
        How long steps are done before, untimed; at least one is.

    Returns
    -------
    float
        Seconds per step, until the last has really ended.
    """
    run = _run[0]
    warm = time.perf_counter() + warm_seconds
    while True:
        run.step()
        run.finish()
        if time.perf_counter() >= warm:
            break
    start = time.perf_counter()
    for _ in range(repeats):
        run.step()
    run.finish()
    return (time.perf_counter() - start) / repeats

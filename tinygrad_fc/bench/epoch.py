"""``bench --epoch``: an epoch of training through the Solver, beside the loop that one writes for each peer.

The six-layer network trains with Adam on 50,000 images in batches of 100, each epoch in a new random order; every
engine draws the order, gathers the batches and keeps the loss of each step in its own way. The Solver does more: it
takes the norm of the gradients, keeps histories, and evaluates after the first step and the last, here on one image
to train with and one to validate. First all engines do a few steps on the same batches, and are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import load_cifar10
from ..data.cifar10_files import locate
from . import measure, peers, session, workers
from .engines import Engine, select_engines
from .handmade import HandTuned
from .networks import NETWORKS, Array, Problem, make_problem
from .runs import Run

NETWORK = next(network for network in NETWORKS if network.name == "six-layer")
IMAGES, ROUNDS = 50_000, 5
QUICK_IMAGES, QUICK_ROUNDS = 2_000, 1
SIZE = NETWORK.batch_size
# Pixels lie from -128 to 128 around their mean. So they have the size of the random images, and of what first weights
# are made for.
PIXEL = 64.0
SEED = 0  # of the order in which engines are compared

Labels = NDArray[np.int64]
Draw = np.random.Generator | None  # what draws the order of images; None: what the engine has for it


@dataclass(frozen=True)
class Loop:
    """An engine set up to train on images.

    Parameters
    ----------
    epoch : callable
        Trains for an epoch, and returns the loss of each step when the last has ended.
    weights : callable
        Copies of the weights after that epoch, as `Run` has them.
    """

    epoch: Callable[[], list[float]]
    weights: Callable[[], list[Array]]


def numpy_loop(problem: Problem, X: Array, y: Labels, draw: Draw) -> Loop:
    """The hand-tuned step: each batch is gathered into the array that the step reads."""
    batch = np.empty_like(problem.inputs)
    tuned = HandTuned(replace(problem, inputs=batch))
    first = np.arange(SIZE) * problem.network.sizes[-1]
    generator = draw or np.random.default_rng()

    def epoch() -> list[float]:
        losses = []
        for chosen in _batches(generator.permutation(len(X))):
            X.take(chosen, axis=0, out=batch, mode="clip")  # "raise" would gather into a buffer first
            np.add(first, y.take(chosen), tuned.picked)
            tuned.step()
            losses.append(tuned.loss)
        return losses

    return Loop(epoch, lambda: [w.copy() for w in tuned.update.weights])


def solver_loop(problem: Problem, X: Array, y: Labels, draw: Draw) -> Loop:
    """Ours: `Solver.train`, which ends by putting the best weights back; those of the end are kept before."""
    from ..models import FullyConnectedNet
    from ..training import Callback, Solver

    kept: list[Array] = []

    class Keep(Callback):
        def on_epoch_end(self, solver: Solver) -> None:
            kept[:] = [solver.params[name].copy() for name in problem.names]

    model = FullyConnectedNet(list(NETWORK.sizes[1:-1]), NETWORK.sizes[0], NETWORK.sizes[-1], seed=0)
    model.params = dict(zip(problem.names, problem.params, strict=True))
    solver = Solver(
        model, {"X_train": X, "y_train": y, "X_val": X[:1], "y_val": y[:1]}, NETWORK.rule,
        {"learning_rate": NETWORK.learning_rate}, batch_size=SIZE, num_epochs=1, num_train_samples=1, num_val_samples=1,
        verbose=False, progress=False, seed=draw, callbacks=[Keep()] if draw is not None else [],
    )  # fmt: skip

    def epoch() -> list[float]:
        done = len(solver.loss_history)
        solver.train()
        return solver.loss_history[done:]

    return Loop(epoch, lambda: list(kept))


def torch_loop(problem: Problem, X: Array, y: Labels, draw: Draw) -> Loop:
    """PyTorch: randperm and index_select, without a DataLoader, whose batches are put together in Python."""
    torch: Any = import_module("torch")
    training = peers.torch_training(problem)
    inputs, labels = torch.from_numpy(X), torch.from_numpy(y)

    def epoch() -> list[float]:
        order = torch.randperm(len(X)) if draw is None else torch.from_numpy(draw.permutation(len(X)))
        losses = []
        for chosen in _batches(order):
            loss = training.step(inputs.index_select(0, chosen), labels.index_select(0, chosen))
            losses.append(loss.item())
        return losses

    return Loop(epoch, training.weights)


def jax_loop(problem: Problem, X: Array, y: Labels, draw: Draw) -> Loop:
    """JAX: batches that NumPy gathers go into the jitted step, and nothing waits for it until the epoch ends."""
    training = peers.jax_training(problem)
    generator = draw or np.random.default_rng()
    short = y.astype(np.int32)  # which JAX would make of them at every step

    def epoch() -> list[float]:
        order = generator.permutation(len(X))
        losses = [training.step(X.take(chosen, axis=0), short.take(chosen)) for chosen in _batches(order)]
        training.wait()
        return [loss.item() for loss in losses]

    return Loop(epoch, training.weights)


def _batches(order: Any) -> Iterator[Any]:
    """Cut an order into whole batches, as the Solver does."""
    return (order[start : start + SIZE] for start in range(0, len(order) - SIZE + 1, SIZE))


Build = Callable[[Problem, Array, Labels, Draw], Loop]
LOOPS: dict[str, tuple[Build, str]] = {
    "numpy": (numpy_loop, "the hand-tuned step on batches gathered into a given array"),
    "ours": (solver_loop, "Solver.train, evaluations on one image"),
    "torch": (torch_loop, "a plain loop: randperm, index_select, eager step, fused Adam, loss.item()"),
    "jax": (jax_loop, "a plain loop: permutation and take of NumPy, the whole step under jit, buffers donated"),
}


def load(images: int) -> tuple[Array, Labels, str]:
    """Return images and labels, and what they are: CIFAR-10 where `load_cifar10` looks for it, else random numbers.

    Raises
    ------
    ValueError
        If CIFAR-10 is there, and not as it is published.
    """
    try:
        locate(None)
    except FileNotFoundError:
        rng = np.random.default_rng(0)
        X = rng.standard_normal((images, NETWORK.sizes[0]), dtype=np.float32)
        return X, rng.integers(NETWORK.sizes[-1], size=images), "random images"
    found = load_cifar10(num_training=images, num_validation=0, num_test=0, flatten=True)
    X = found["X_train"]
    X /= np.float32(PIXEL)
    return X, found["y_train"], "CIFAR-10"


def start_epochs(build: Build, images: int) -> tuple[workers.FirstSteps, str]:
    """Set an engine up in this process; return what it does first on batches that all engines get, and of what data."""
    X, y, source = load(images)
    problem = make_problem(NETWORK)
    n = measure.STEPS_COMPARED * SIZE
    compared = build(problem, X[:n], y[:n], np.random.default_rng(SEED))
    first = workers.FirstSteps(compared.epoch(), compared.weights())
    workers.begin(Run(step=build(problem, X, y, None).epoch))
    return first, source


def measure_epoch(pace: session.Pace, images: int = IMAGES, rounds: int = ROUNDS) -> Iterator[dict[str, Any]]:
    """Compare the engines that are installed, and time their epochs in turn.

    Parameters
    ----------
    pace : session.Pace
        Its seconds, if any, are about how long all epochs take together; one round takes two epochs of each engine.
    images : int
        Of an epoch, at least those that are compared.
    rounds : int
        The least number of rounds.

    Yields
    ------
    dict
        One key of the results: ``environment``, ``epoch``. JSON types only.
    """
    engines = [replace(engine, form=LOOPS[engine.name][1]) for engine in select_engines(list(LOOPS))
               if engine.name in LOOPS]  # fmt: skip
    present = [engine for engine in engines if engine.installed()]
    with ExitStack() as stack:
        crew = {engine.name: stack.enter_context(workers.Worker(engine.name)) for engine in present}
        yield {"environment": session.environment(engines, crew, pace)}
        found, source = check_loops(present, crew, images)
        done = session.time_agreeing(found, crew, replace(pace, rounds=rounds, block=0.0), "an epoch")
    steps = images // SIZE
    for figures in found.values():
        if "seconds" in figures:
            figures["step"] = {key: value / steps for key, value in figures["seconds"].items()}
    facts = {"network": str(NETWORK), "images": images, "source": source, "steps": steps, "rounds": done}
    yield {"epoch": {**facts, "engines": found}}


def check_loops(
    engines: Sequence[Engine], crew: dict[str, workers.Worker], images: int
) -> tuple[dict[str, dict[str, Any]], str]:
    """Set the engines up, and compare their first steps with those of ``numpy``, which must be among them.

    Returns
    -------
    dict, str
        By engine, its errors, or a ``problem``; and what the images are.
    """
    problem = make_problem(NETWORK)
    first: dict[str, workers.FirstSteps] = {}
    found: dict[str, dict[str, Any]] = {}
    source = ""
    for engine in engines:
        given = session.attempt(partial(crew[engine.name].call, start_epochs, LOOPS[engine.name][0], images))
        if isinstance(given, dict):
            found[engine.name] = given
        else:
            first[engine.name], source = given
    for engine in engines:
        if engine.name not in first:
            continue
        if "numpy" not in first:
            found[engine.name] = {"problem": "not compared: numpy failed"}
            continue
        comparison = partial(measure.compare, problem, first["numpy"], first[engine.name])
        found[engine.name] = session.verdict(engine, comparison)
    return {engine.name: found[engine.name] for engine in engines}, source

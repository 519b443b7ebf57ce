"""Run the CIFAR-10 experiments of the two course documents, and print what they published beside what comes out here.

    python examples/reproduce.py [--data FOLDER] [--seeds 3] [--jobs CORES] [--quick]

The documents are the notebook FullyConnectedNets of Stanford's CS231n (assignment 2) and the workbook of UCLA's
ECE 239AS (assignment 3). Networks, solvers and settings are theirs, through `tinygrad_fc.cs231n`. The data is read from
--data, else from where `tinygrad_fc.data.load_cifar10` looks; where nothing is found it is downloaded.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np

from tinygrad_fc.cs231n.classifiers.fc_net import FullyConnectedNet, TwoLayerNet
from tinygrad_fc.cs231n.neural_net import TwoLayerNet as WorkbookNet
from tinygrad_fc.cs231n.solver import Solver
from tinygrad_fc.data import fetch_cifar10, load_cifar10

Data = dict[str, np.ndarray]
Figures = dict[str, float]

# The mean over the seeds may fall this far short: it is what the choice of seeds, and copies of the pictures that were
# compressed again, move an accuracy by.
ALLOWED = 0.01
DEEP = [100] * 5
UNPUBLISHED = {"test, all 10,000": float("nan")}


@dataclass
class Experiment:
    """One experiment: the figures that were published, and how to get them.

    Parameters
    ----------
    title : str
        What is trained.
    published : dict of str to float
        The document's figures by name.
    run : callable
        Takes the data and the scale of the run, 1 for the document's; returns the same figures.
    bars : dict of str to float
        Least values of the mean over the seeds; the others are there to compare.
    minutes : float
        About how long a run takes on one core: the longest are started first.
    """

    title: str
    published: Figures
    run: Callable[[Data, float], Figures]
    bars: Figures = field(default_factory=dict)
    minutes: float = 0.1


def epochs(number: int, scale: float) -> int:
    """Return how many epochs a run has: all, or with --quick at least one."""
    return max(1, round(number * scale))


def tested(predictions: np.ndarray, data: Data) -> Figures:
    """Return the test accuracy as the documents have it, on the first 1,000 test images, and on all of them."""
    right = predictions == data["y_test"]
    return {"test": float(right[:1000].mean()), "test, all 10,000": float(right.mean())}


def two_layer_sgd(data: Data, scale: float) -> Figures:
    """CS231n: TwoLayerNet with its defaults, SGD."""
    solver = Solver(
        TwoLayerNet(), data, update_rule="sgd", optim_config={"learning_rate": 1e-3}, lr_decay=0.95,
        num_epochs=epochs(10, scale), batch_size=100, verbose=False,
    )  # fmt: skip
    solver.train()
    return {"best validation": solver.best_val_acc}


def overfit(hidden: list[int], weight_scale: float, learning_rate: float) -> Callable[[Data, float], Figures]:
    """CS231n: a network that learns 50 images by heart within 20 epochs."""

    def run(data: Data, scale: float) -> Figures:
        few = data | {"X_train": data["X_train"][:50], "y_train": data["y_train"][:50]}
        model = FullyConnectedNet(hidden, weight_scale=weight_scale, dtype=np.float64)
        solver = Solver(
            model, few, update_rule="sgd", optim_config={"learning_rate": learning_rate},
            num_epochs=epochs(20, scale), batch_size=25, verbose=False,
        )  # fmt: skip
        solver.train()
        return {"best training": max(solver.train_acc_history)}

    return run


def update_rules(data: Data, scale: float) -> Figures:
    """CS231n: six layers on 4,000 images, five epochs, by each of the four rules."""
    few = data | {"X_train": data["X_train"][:4000], "y_train": data["y_train"][:4000]}
    figures = {}
    for rule, rate in {"sgd": 5e-3, "sgd_momentum": 5e-3, "rmsprop": 1e-4, "adam": 1e-3}.items():
        solver = Solver(
            FullyConnectedNet(DEEP, weight_scale=5e-2), few, update_rule=rule, optim_config={"learning_rate": rate},
            num_epochs=epochs(5, scale), batch_size=100, verbose=False,
        )  # fmt: skip
        solver.train()
        figures[f"{rule}: last training"] = solver.train_acc_history[-1]
        figures[f"{rule}: best validation"] = solver.best_val_acc
        if rule != "sgd":
            figures[f"{rule}: lead over sgd"] = figures[f"{rule}: last training"] - figures["sgd: last training"]
    return figures


def search(data: Data, scale: float) -> Figures:
    """CS231n: six runs of Adam over learning rate and regularization; the best on the validation set is tested."""
    best, best_model = -1.0, None
    for rate in (1e-3, 2e-3):
        for reg in (1e-2, 1e-3, 1e-4):
            model = FullyConnectedNet(DEEP, weight_scale=5e-2, reg=reg)
            solver = Solver(
                model, data, update_rule="adam", optim_config={"learning_rate": rate},
                num_epochs=epochs(10, scale), batch_size=200, verbose=False,
            )  # fmt: skip
            solver.train()
            if solver.best_val_acc > best:
                best, best_model = solver.best_val_acc, model
    assert best_model is not None
    return {"best validation": best} | tested(np.argmax(best_model.loss(data["X_test"]), axis=1), data)


def workbook(num_iters: int, learning_rate: float, reg: float) -> Callable[[Data, float], Figures]:
    """ECE 239AS: its two-layer network of 50 hidden units, trained by its own loop."""

    def run(data: Data, scale: float) -> Figures:
        X, X_val, X_test = (data[f"X_{part}"].reshape(len(data[f"X_{part}"]), -1) for part in ("train", "val", "test"))
        y, y_val = data["y_train"], data["y_val"]
        net = WorkbookNet(X.shape[1], 50, 10)
        net.train(
            X, y, X_val, y_val, num_iters=max(2, round(num_iters * scale)), batch_size=200,
            learning_rate=learning_rate, learning_rate_decay=0.95, reg=reg,
        )  # fmt: skip
        return {"validation": float((net.predict(X_val) == y_val).mean())} | tested(net.predict(X_test), data)

    return run


EXPERIMENTS = (
    Experiment("CS231n: TwoLayerNet, SGD", {"best validation": 0.512}, two_layer_sgd, {"best validation": 0.512},
               minutes=0.5),
    Experiment("CS231n: 50 images by heart, three layers", {"best training": 1.0}, overfit([100] * 2, 3e-2, 6e-4),
               {"best training": 1.0}),
    Experiment("CS231n: 50 images by heart, five layers", {"best training": 1.0}, overfit([100] * 4, 5e-2, 3e-3),
               {"best training": 1.0}),
    Experiment(
        "CS231n: six layers, 4,000 images",
        {"sgd: last training": 0.393, "sgd: best validation": 0.315,
         "sgd_momentum: last training": 0.528, "sgd_momentum: best validation": 0.353,
         "sgd_momentum: lead over sgd": 0.135,
         "rmsprop: last training": 0.525, "rmsprop: best validation": 0.349, "rmsprop: lead over sgd": 0.132,
         "adam: last training": 0.592, "adam: best validation": 0.367, "adam: lead over sgd": 0.199},
        update_rules,
        {"sgd_momentum: lead over sgd": ALLOWED, "rmsprop: lead over sgd": ALLOWED, "adam: lead over sgd": ALLOWED},
    ),
    Experiment("CS231n: six layers, search of six runs", {"best validation": 0.537, "test": 0.509} | UNPUBLISHED,
               search, {"best validation": 0.537, "test": 0.509}, minutes=2),
    Experiment("ECE 239AS: 1,000 steps, poor settings", {"validation": 0.28} | UNPUBLISHED,
               workbook(1000, 1e-4, 0.25), {"validation": 0.28}),
    Experiment("ECE 239AS: 12,000 steps, good settings", {"validation": 0.504, "test": 0.541} | UNPUBLISHED,
               workbook(12000, 4e-4, 0.3), {"validation": 0.504, "test": 0.541}, minutes=1.5),
)  # fmt: skip


@functools.cache
def load(folder: str | None, quick: bool) -> Data:
    """Return the split of the documents, with all test images (with --quick a small one)."""
    sizes = {"num_training": 400, "num_validation": 50, "num_test": 50} if quick else {"num_test": 10_000}
    return load_cifar10(folder, **sizes)


def find(folder: str | None) -> str | None:
    """Return where the data is; download it where there is none."""
    try:
        load_cifar10(folder, num_training=1, num_validation=0, num_test=0)
    except FileNotFoundError:
        if folder is not None:
            raise
        print("CIFAR-10 is not on this machine yet: downloading it.", flush=True)
        return str(fetch_cifar10())
    return folder


def work(number: int, seed: int, folder: str | None, quick: bool) -> tuple[Figures, float]:
    """Run one experiment with one seed, in a process of its own; return its figures and the seconds that it took."""
    data = load(folder, quick)
    start = time.perf_counter()
    np.random.seed(seed)  # noqa: NPY002  # the course draws everything from the global generator
    figures = EXPERIMENTS[number].run(data, 0.01 if quick else 1.0)
    return figures, time.perf_counter() - start


def rows(experiment: Experiment, found: list[Figures], seconds: float, quick: bool) -> Iterator[tuple[str, ...]]:
    """Yield the lines of the table for one experiment."""
    for n, (name, published) in enumerate(experiment.published.items()):
        values = [figures[name] for figures in found]
        mean = fmean(values)
        bar = experiment.bars.get(name)
        verdict = ""
        if bar is not None and not quick:
            verdict = "reached" if mean >= bar else f"within {ALLOWED}" if mean >= bar - ALLOWED else "short"
        yield (
            experiment.title if n == 0 else "", name, "" if np.isnan(published) else f"{published:.3f}",
            f"{mean:.3f}", f"{min(values):.3f}-{max(values):.3f}", verdict, f"{seconds:.0f}" if n == 0 else "",
        )  # fmt: skip


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FOLDER", help="where cifar-10-batches-py is")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each experiment (3)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="runs at a time (one a core)")
    parser.add_argument("--quick", action="store_true", help="one short run of each, to see that it works")
    arguments = parser.parse_args()
    for name in ("seeds", "jobs"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name}: given {getattr(arguments, name)}, expected at least 1")
    seeds = 1 if arguments.quick else arguments.seeds
    folder, start = find(arguments.data), time.perf_counter()
    # Runs side by side with one thread each take half the time of runs one by one whose products share the cores, and
    # do not suffer when something else is at work. Set before the processes start, for their NumPy to read.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    found: list[list[tuple[Figures, float]]] = [[] for _ in EXPERIMENTS]
    tasks = {}
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        for number in sorted(range(len(EXPERIMENTS)), key=lambda n: -EXPERIMENTS[n].minutes):
            for seed in range(seeds):
                tasks[pool.submit(work, number, seed, folder, arguments.quick)] = number, seed
        print(f"{len(tasks)} runs, {arguments.jobs} at a time.", flush=True)
        for task in as_completed(tasks):
            number, seed = tasks[task]
            found[number].append(task.result())
            figures = ", ".join(f"{name} {value:.3f}" for name, value in task.result()[0].items())
            print(f"  {EXPERIMENTS[number].title}, seed {seed}: {figures} ({task.result()[1]:.0f} s)", flush=True)
    table = [("experiment", "accuracy", "published", "ours", "range", "bar", "seconds")]
    for experiment, runs in zip(EXPERIMENTS, found, strict=True):
        table += rows(experiment, [figures for figures, _ in runs], sum(s for _, s in runs), arguments.quick)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    print()
    for n, row in enumerate(table):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if n == 0:
            print("  ".join("-" * width for width in widths))
    print(
        f"\nOurs is the mean over {seeds} seed(s), with the lowest and the highest beside it; what was published is "
        f"one run each.\n1,000 pictures tell an accuracy of 0.5 to within a standard error of 0.016. A copy that was "
        f"compressed again\ncarries noise, and may have another order, so other pictures to validate and to test with. "
        f"A mean may fall {ALLOWED} short.\nSeconds are those of the runs; {time.perf_counter() - start:.0f} s in all."
    )


if __name__ == "__main__":
    main()

"""``python -m tinygrad_fc train``, ``evaluate``, ``predict`` and ``summary``: runs in folders, from the shell."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..data.reading import open_npz, read_npy, read_table
from ..files import csv_bytes, write_atomically
from ..nn.activations import ACTIVATIONS
from ..optim import RULES, SCHEDULES
from .callbacks import Callback
from .config import DATASETS, NORMALIZATIONS, RunConfig
from .evaluation import accuracy, scores_of
from .plots import plot_history
from .run import (
    CONFIG,
    CURVES,
    INPUT,
    MODEL,
    REPLACED,
    RESULTS,
    Inputs,
    check_resumed,
    load_data,
    make_model,
    make_solver,
    open_run,
    prepare,
    put_back,
    set_aside,
)
from .shell import err, guarded, line, out
from .solver import Solver


def add_train(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of ``train``. What is not given has the value of --config, or of the recipe."""
    option = parser.add_argument
    _common(parser)
    option("--out", type=Path, metavar="FOLDER", help="where the run goes (default: runs/DATASET)")
    option("--resume", action="store_true", help="go on from the newest checkpoint in --out")
    option("--overwrite", action="store_true", help="replace the run that is in --out")
    option("--json", action="store_true", help="print the results as JSON, and everything else on standard error")
    option("--quiet", action="store_true", help="print the results alone")


def _common(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--dataset", help=f"{', '.join(DATASETS)}, or a file of your own: .npz or .csv (default: digits)")
    option("--data", metavar="FOLDER", help="where the data set's files are (default: where its loader looks)")
    option("--config", type=Path, metavar="FILE", help="a run.toml: its options, where none is given here")
    option("--hidden", type=_sizes, metavar="N,N", help='units of each hidden layer, "" for none')
    option("--normalization", choices=NORMALIZATIONS)
    option("--dropout", type=float, metavar="SHARE", help="of the hidden units that are dropped")
    option("--activation", choices=tuple(ACTIVATIONS), metavar="NAME", help=f"one of {', '.join(ACTIVATIONS)}")
    option("--reg", type=float, metavar="S", help="strength of the L2 penalty on the weights")
    option("--rule", choices=tuple(RULES), metavar="NAME", help=f"the update rule: {', '.join(RULES)}")
    option("--learning-rate", "--lr", type=float, metavar="R", help="default: the recipe's, or the own of a rule other "
           "than adam")  # fmt: skip
    option("--weight-decay", type=float, metavar="S")
    option("--schedule", choices=("none", *SCHEDULES), metavar="NAME",
           help=f"of the learning rate: none, {', '.join(SCHEDULES)}")  # fmt: skip
    option("--lr-decay", type=float, metavar="F", help="what the learning rate is multiplied by after each epoch")
    option("--batch-size", type=int, metavar="N", help="samples in a step (default: the recipe's, or all where "
           "these are fewer)")  # fmt: skip
    option("--epochs", type=int, metavar="N")
    option("--patience", type=int, metavar="N", help="epochs without a better validation accuracy that end the run")
    option("--flip", action=argparse.BooleanOptionalAction, help="mirror half of the images of each batch")
    option("--shift", type=int, metavar="PIXELS", help="move the images of each batch by up to so many")
    option("--class-weights", choices=("none", "balanced"))
    option("--clip-norm", type=float, metavar="N", help="bound of the gradients' norm")
    option("--validation", type=float, metavar="SHARE", help="of an own data set's samples that validate, where its "
           "file has no such part")  # fmt: skip
    option("--seed", type=int, metavar="N", help="of weights, batches and splits")
    option("--checkpoint-every", type=int, metavar="STEPS", help="steps between two (default: every 10 s)")


def train(arguments: argparse.Namespace) -> int:
    """Train a network on a data set, and leave weights, curves, history and configuration in a folder."""
    return guarded("train", lambda: _train(arguments))


def _train(arguments: argparse.Namespace) -> int:
    say: Any = err if arguments.json else line
    folder, dataset = arguments.out, arguments.dataset or "digits"
    if arguments.config is not None and arguments.dataset is None:
        dataset = RunConfig.of(RunConfig.read(arguments.config), str(arguments.config)).dataset
    folder = folder or Path("runs") / Path(dataset).stem
    (config, given), resume = _configured(arguments, folder), arguments.resume
    if resume and arguments.overwrite:
        raise ValueError("--resume goes on with a run, and --overwrite replaces it: give one of them")
    if resume and not (folder / CONFIG).is_file():
        raise FileNotFoundError(f"{folder}: there is no run to resume; leave --resume out to start one")
    if resume:
        check_resumed(config, folder)
    if not resume and (folder / CONFIG).exists() and not arguments.overwrite:
        raise FileExistsError(
            f"{folder}: there is a run in it; --resume goes on with it, --overwrite replaces it, --out names another"
        )
    data, classes, images = load_data(config)
    config = _fitted(config, given, data)
    inputs = Inputs.of(data, classes, images)
    prepare(data, inputs)
    if not resume and arguments.overwrite:
        make_solver(config, None, data, inputs, resume=False)  # raises where it cannot be made: the old run then stays
        set_aside(folder)
    try:
        return _trained(arguments, config, folder, data, inputs, say)
    except BaseException as error:
        if not resume and arguments.overwrite:
            put_back(folder)
            err(f"train: the run that was in {folder} is there again ({type(error).__name__})")
        raise


def _trained(
    arguments: argparse.Namespace, config: RunConfig, folder: Path, data: dict[str, Any], inputs: Inputs, say: Any
) -> int:
    """Train and write what came of it."""
    resume, quiet, classes = arguments.resume, arguments.quiet or arguments.json, inputs.classes
    solver = make_solver(config, folder, data, inputs, resume, verbose=False, callbacks=[] if quiet else [_Lines(say)],
                         progress=sys.stderr.isatty() and not quiet)  # fmt: skip
    write_atomically(folder / CONFIG, config.to_toml().encode())
    inputs.save(folder / INPUT)
    if not quiet:
        counts = ", ".join(f"{len(data[f'y_{part}']):,} {word}" for part, word in
                           (("train", "to train on"), ("val", "to validate"), ("test", "to test"))
                           if f"y_{part}" in data)  # fmt: skip
        sizes = "-".join(map(str, (len(inputs.mean), *config.hidden, len(classes))))
        say(f"{config.dataset}: {counts}; {sizes}, {sum(p.size for p in solver.model.parameters()):,} parameters")
        if resume:
            say(f"Going on after step {solver.step}.")
    started = time.perf_counter()
    solver.train()
    seconds = time.perf_counter() - started
    if solver.interrupted:
        err(f"The run is kept: python -m tinygrad_fc train --out {folder} --resume goes on with it.")
        return 130
    results = _results(solver, data, seconds)
    solver.model.save(folder / MODEL)
    solver.history.to_csv(folder / "history.csv")
    solver.history.to_csv(folder / "steps.csv", "steps")
    write_atomically(folder / RESULTS, (json.dumps(results, indent=1) + "\n").encode())
    shutil.rmtree(folder / REPLACED, ignore_errors=True)
    written = [MODEL, CONFIG, "history.csv"]
    try:
        plot_history(solver, folder / CURVES, f"{config.dataset}, test accuracy {results['test_acc']:.4f}"
                     if results["test_acc"] is not None else config.dataset)  # fmt: skip
        written.append(CURVES)
    except ModuleNotFoundError as error:
        err(f"No picture of the training: {error}")
    if arguments.json:
        out(json.dumps({**results, "out": str(folder)}))
    else:
        tested = "" if results["test_acc"] is None else f", test accuracy {results['test_acc']:.4f}"
        out(f"Trained {results['epochs']} epochs in {seconds:.1f} s: validation accuracy "
            f"{results['val_acc']:.4f}{tested}\nIn {folder}: {', '.join(written)}")  # fmt: skip
    return 0


def _words(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a run that stand on the command line."""
    return {key: value for key, value in vars(arguments).items()
            if key in RunConfig.__dataclass_fields__ and value is not None}  # fmt: skip


def _configured(arguments: argparse.Namespace, folder: Path) -> tuple[RunConfig, dict[str, Any]]:
    """Return the configuration, and what of it is given.

    The command line goes before --config or the resumed run, these before the recipe.
    """
    given, where, source = _words(arguments), "the command line", arguments.config
    if source is None and arguments.resume and (folder / CONFIG).is_file():
        source = folder / CONFIG
    if source is not None:
        saved, where = RunConfig.read(source), str(source)
        rule = saved.get("rule", RunConfig.rule)
        if given.get("rule", rule) != rule:
            saved.pop("learning_rate", None)  # it is the other rule's
        given = {**saved, **given}
    config = RunConfig.of(given, where)
    for name, used, cure in (
        ("validation", config.dataset not in DATASETS, "its parts are fixed"),
        ("data", config.dataset in ("cifar10", "fashion-mnist"), "it is in the package" if config.dataset == "digits"
         else "--dataset is the path of the file"),
    ):  # fmt: skip
        asked = getattr(arguments, name) or given.get(name, getattr(RunConfig, name)) != getattr(RunConfig, name)
        if asked and not used and not arguments.resume:
            raise ValueError(f"{where}: {name}: given {given[name]!r}, which has no effect on {config.dataset}: {cure}"
                             f"; leave it out")  # fmt: skip
    return config, given


def _fitted(config: RunConfig, given: dict[str, Any], data: dict[str, Any]) -> RunConfig:
    """Return the configuration with batches of all samples, where these are fewer and no size was asked for."""
    if "batch_size" in given:
        return config
    return dataclasses.replace(config, batch_size=min(config.batch_size, len(data["X_train"])))


def _results(solver: Solver, data: dict[str, Any], seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {"epochs": solver.epoch, "steps": solver.step, "seconds": round(seconds, 3)}
    for part in ("train", "val", "test"):
        measured: dict[str, float | None] = {"loss": None, "acc": None}
        if f"X_{part}" in data:
            measured = solver.evaluate(data[f"X_{part}"], data[f"y_{part}"])
        found |= {f"{part}_{name}": value for name, value in measured.items()}
    return found


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of ``evaluate``."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="the folder of a finished run")
    parser.add_argument("--part", choices=("train", "val", "test"), help="of the data (default: test, else val)")
    parser.add_argument("--dataset", help="other data than the run's: a file .npz or .csv with labels")
    parser.add_argument("--json", action="store_true", help="print JSON")


def evaluate(arguments: argparse.Namespace) -> int:
    """Measure a trained network: loss, accuracy, and how many of each class were right."""
    return guarded("evaluate", lambda: _evaluate(arguments))


def _evaluate(arguments: argparse.Namespace) -> int:
    config, model, inputs = open_run(arguments.run_folder)
    if arguments.dataset is not None:  # a file that holds no parts is measured whole
        config = RunConfig.of({**vars(config), "dataset": arguments.dataset, "validation": 0.0}, "--dataset")
    data, classes, _ = load_data(config)
    if arguments.dataset is None:
        inputs.check_data(config.dataset, data)
    part = arguments.part or next(part for part in ("test", "val", "train") if f"X_{part}" in data)
    if f"X_{part}" not in data:
        raise ValueError(f"--part {part}: {config.dataset} has no such samples")
    numbers = {str(name): number for number, name in enumerate(inputs.classes)}
    strange = [name for name in classes if str(name) not in numbers]
    if strange:
        raise ValueError(f"{config.dataset}: it has {strange}, which are none of the classes {inputs.classes}")
    X = inputs.prepare(data[f"X_{part}"], data.get("names", ()))
    y = np.array([numbers[str(classes[label])] for label in data[f"y_{part}"]])
    classes = inputs.classes
    scores = scores_of(model, X)
    found = {"part": part, "samples": len(y), "acc": accuracy(scores, y),
             "loss": float(model.criterion(scores, y).data)}  # fmt: skip
    predicted = scores.argmax(axis=1)
    rows: list[dict[str, Any]] = [
        {"name": str(name), "samples": int((y == n).sum()), "right": int(((y == n) & (predicted == n)).sum())}
        for n, name in enumerate(classes)
    ]
    if arguments.json:
        out(json.dumps({**found, "classes": rows}))
        return 0
    out(f"{config.dataset}, {part}: {len(y):,} samples, accuracy {found['acc']:.4f}, loss {found['loss']:.4f}\n")
    width = max(5, *(len(row["name"]) for row in rows))
    out(f"{'class':{width}}  samples   right")
    for row in rows:
        share = f"{row['right'] / row['samples']:.4f}" if row["samples"] else "-"
        out(f"{row['name']:{width}}  {row['samples']:7d}  {share:>6}")
    return 0


def add_predict(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of ``predict``."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="the folder of a finished run")
    parser.add_argument("samples", type=Path, metavar="FILE",
                        help=".npy of samples (N, ...), .npz with X, or .csv of numbers, a sample a row")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there, not to standard output")
    parser.add_argument("--json", action="store_true", help="JSON, not CSV")


def predict(arguments: argparse.Namespace) -> int:
    """Say the class of each sample in a file, and how probable it is."""
    return guarded("predict", lambda: _predict(arguments))


def _predict(arguments: argparse.Namespace) -> int:
    _, model, inputs = open_run(arguments.run_folder)
    scores = scores_of(model, _samples(arguments.samples, inputs)).astype(np.float64)
    exps = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances = exps / exps.sum(axis=1, keepdims=True)
    best = chances.argmax(axis=1)
    rows = [{"sample": n, "class": inputs.classes[k], "probability": round(float(chances[n, k]), 6)}
            for n, k in enumerate(best)]  # fmt: skip
    table = csv_bytes(("sample", "class", "probability"), [row.values() for row in rows])
    data = f"{json.dumps(rows)}\n".encode() if arguments.json else table
    if arguments.out:
        write_atomically(arguments.out, data)
    else:
        out(data.decode(), end="")
    return 0


def _samples(path: Path, inputs: Inputs) -> np.ndarray:
    """Return the samples in a file as the network takes them."""
    suffix, names = path.suffix.lower(), []
    if suffix == ".npy":
        found = read_npy(path)
    elif suffix == ".npz":
        with open_npz(path) as archive:
            if "X" not in archive.files:
                raise ValueError(f"it holds {', '.join(archive.files) or 'nothing'}, expected X")
            found = archive["X"]
    elif suffix == ".csv":
        table = read_table(path, labelled=False, known=inputs.names)
        found = table.numbers(cure="; give the numbers of each sample alone, without labels")
        names = table.names
    else:
        raise ValueError(f"{path}: expected a name that ends in .npy, .npz or .csv")
    if found.ndim < 2 or len(found) == 0:
        raise ValueError(f"{path}: it holds an array of {found.shape}, expected samples (N, ...)")
    try:
        return inputs.prepare(found, names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def add_summary(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of ``summary``."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", nargs="?", help="the folder of a run (default: the "
                        "network that the options describe)")  # fmt: skip
    _common(parser)
    parser.set_defaults(resume=False)
    parser.add_argument("--json", action="store_true", help="print JSON")


def summary(arguments: argparse.Namespace) -> int:
    """Print a network's layers, shapes, parameters and multiply-adds, and what its run gave."""
    return guarded("summary", lambda: _summary(arguments))


def _summary(arguments: argparse.Namespace) -> int:
    results: dict[str, Any] = {}
    if arguments.run_folder is not None:
        words = [*_words(arguments), *(["config"] if arguments.config is not None else [])]
        if words:
            raise ValueError(f"{', '.join('--' + word.replace('_', '-') for word in words)}: {arguments.run_folder} is "
                             f"a run as it is; leave that out, or leave the folder out for the network that the "
                             f"options describe")  # fmt: skip
        config, model, inputs = open_run(arguments.run_folder)
        if (arguments.run_folder / RESULTS).is_file():
            results = json.loads((arguments.run_folder / RESULTS).read_text(encoding="utf-8"))
    else:
        config, given = _configured(arguments, Path())
        data, classes, images = load_data(config)
        config = _fitted(config, given, data)
        inputs = Inputs.of(data, classes, images)
        model = make_model(config, inputs)
    if arguments.json:
        out(json.dumps({"config": {**vars(config), "hidden": list(config.hidden)}, "results": results,
                          "parameters": sum(p.size for p in model.parameters())}))  # fmt: skip
        return 0
    out(str(model.summary((config.batch_size, len(inputs.mean)))))
    out(f"\n{config.to_toml()}", end="")
    if results:
        out("\n" + "\n".join(f"{key:10s} {value}" for key, value in results.items()))
    return 0


class _Lines(Callback):
    """Prints a line after each epoch."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self.say = say

    def on_epoch_end(self, solver: Solver) -> None:
        last = {name: column[-1] for name, column in solver.history.epochs.items()}
        self.say(f"epoch {solver.epoch:3d} of {solver.num_epochs}   loss {last['train_loss']:.4f}   validation loss "
                 f"{last['val_loss']:.4f}   accuracy {last['train_acc']:.4f}, validation {last['val_acc']:.4f}   "
                 f"{last['seconds']:.1f} s")  # fmt: skip


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part.strip())


_sizes.__name__ = "list of sizes (100,100 say)"  # argparse's message names the type

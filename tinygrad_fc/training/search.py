"""search(): many training runs over a space of hyperparameters, in parallel processes, kept in a table."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files import check_writable, csv_bytes, write_atomically
from . import loop
from .evaluation import better

_MEASURED = ("best_val_acc", "best_val_loss", "train_acc", "val_acc", "train_loss", "val_loss", "steps", "seconds")
_COSTS = ("steps", "seconds")  # smaller is better, as of a loss


@dataclass(frozen=True)
class Distribution:
    """What a hyperparameter is drawn from: `uniform`, `log_uniform` or `integers` make one.

    Attributes
    ----------
    kind : {"uniform", "log_uniform", "integers"}
    low, high : float
        Of numbers from `low` to `high`; integers include both.
    """

    kind: str
    low: float
    high: float

    def draw(self, generator: np.random.Generator) -> float | int:
        """Return a number drawn from it."""
        if self.kind == "integers":
            return int(generator.integers(int(self.low), int(self.high) + 1))
        if self.kind == "log_uniform":
            return math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        return float(generator.uniform(self.low, self.high))


def uniform(low: float, high: float) -> Distribution:
    """Return the uniform distribution from `low` to `high`."""
    return _distribution("uniform", low, high, -math.inf)


def log_uniform(low: float, high: float) -> Distribution:
    """Return the distribution from `low` to `high`, both above 0, whose logarithm is uniform: for learning rates."""
    return _distribution("log_uniform", low, high, 0.0)


def integers(low: int, high: int) -> Distribution:
    """Return the uniform distribution over the integers from `low` to `high`, both included."""
    if int(low) != low or int(high) != high:
        raise ValueError(f"integers: given {low!r} and {high!r}, expected whole numbers")
    return _distribution("integers", low, high, -math.inf)


def _distribution(kind: str, low: float, high: float, above: float) -> Distribution:
    if not (above < low < high < math.inf):
        raise ValueError(f"{kind}: given {low!r} and {high!r}, expected two finite numbers, the first the smaller"
                         f"{' and above 0' if above == 0.0 else ''}")  # fmt: skip
    return Distribution(kind, low, high)


class SearchResult:
    """The trials of a search, in the order of their numbers.

    Attributes
    ----------
    rows : list of dict
        One a trial: ``trial``, the hyperparameters by name, ``seed``, ``status`` ("done" or "failed"),
        ``best_val_acc`` and ``best_val_loss`` (of the best parameters, by what the solver monitors), ``train_acc``,
        ``val_acc``, ``train_loss``, ``val_loss`` (of the last ones), ``steps``, ``seconds``, ``error``. What a trial
        does not measure is None: accuracies, where the data have targets instead of labels.
    score : str
        The column that says which is better.
    larger : bool
        Whether larger scores are.
    """

    def __init__(self, rows: list[dict[str, Any]], score: str, larger: bool) -> None:
        self.rows, self.score, self.larger = rows, score, larger

    @property
    def table(self) -> dict[str, list[Any]]:
        """The columns by name: ``pandas.DataFrame`` takes it as it is."""
        return {name: [row[name] for row in self.rows] for name in self.rows[0]}

    @property
    def best(self) -> dict[str, Any]:
        """The row with the best score.

        Raises
        ------
        ValueError
            If every trial failed, or none measures the score; the message has the errors.
        """
        ranked = self._ranked()
        if not self._scored(ranked[0]):
            said = "; ".join(sorted({str(row["error"]) for row in self.rows if row["error"]}))
            said = said or "they measure none, or NaN; give another score, 'best_val_loss' say"
            raise ValueError(f"search: none of {len(self.rows)} trials has a {self.score}: {said}")
        return ranked[0]

    def to_csv(self, path: str | Path) -> None:
        """Write the table with a header line; None becomes an empty cell."""
        write_atomically(path, csv_bytes(self.rows[0], [[row[name] for name in self.rows[0]] for row in self.rows]))

    def _ranked(self) -> list[dict[str, Any]]:
        sign = -1.0 if self.larger else 1.0
        good = [row for row in self.rows if self._scored(row)]
        bad = [row for row in self.rows if not self._scored(row)]
        return sorted(good, key=lambda row: sign * row[self.score]) + bad

    def _scored(self, row: Mapping[str, Any]) -> bool:
        """Whether a trial has a score: one that failed has not, though it has its seconds."""
        score = row[self.score]
        return row["status"] == "done" and score is not None and not math.isnan(score)

    def __repr__(self) -> str:
        """Return the table, best trials first."""
        hidden = {"seed", "error", *_MEASURED} - {self.score, *_COSTS}
        names = [name for name in self.rows[0] if name not in hidden]
        cells = [names] + [[_cell(row[name]) for name in names] for row in self._ranked()]
        widths = [max(len(line[n]) for line in cells) for n in range(len(names))]
        lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) for line in cells]
        failed = [f"trial {row['trial']}: {row['error']}" for row in self.rows if row["status"] == "failed"]
        return "\n".join([*lines, *failed])


def search(
    make: Callable[[dict[str, Any], int], Any], space: Mapping[str, Any], *, trials: int | None = None, seed: int = 0,
    jobs: int | None = None, folder: str | Path | None = None, score: str | None = None, larger: bool | None = None,
    progress: bool | None = None,
) -> SearchResult:  # fmt: skip
    """Train with each of many settings, in parallel processes, and return a table of what came of it.

    Parameters
    ----------
    make : callable
        ``make(config, seed)`` returns a `Solver` that has not trained. `config` has a value for each name of `space`.
    space : mapping of str to list or Distribution
        Lists of values; or, with `trials`, also `uniform`, `log_uniform` and `integers`.
    trials : int, optional
        Draw so many settings at random. Without it each combination of the lists is tried, the last name varying first.
    seed : int
        Of the settings and, through them, of each trial: neither depends on `jobs`, nor on other trials.
    jobs : int, optional
        Processes; as many as there are cores by default, and 1 runs in this process. A backend that was set with
        ``joblib.parallel_config`` (Dask, Ray) is used instead.
    folder : str or Path, optional
        Keep each finished trial there, and run only those that are not there yet; failed ones are run again.
    score : str, optional
        The column that is to be large, or small: by default ``"best_val_acc"``, and where no trial measures an
        accuracy ``"best_val_loss"``.
    larger : bool, optional
        Whether it is to be large; by default it is, but of a loss, of ``"steps"`` and of ``"seconds"``.
    progress : bool, optional
        Show a progress bar; None does where a terminal or notebook shows it.

    Returns
    -------
    SearchResult
        Its ``best`` is the best row. A trial that raised has the status "failed", and the others go on.

    Raises
    ------
    ValueError, TypeError
        For a space, a number or a score that does not fit, or a folder of another search, before the first trial.
    ModuleNotFoundError
        If joblib is not installed; the message says how to install it.

    Notes
    -----
    Random search: Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 13, 2012.
    """
    if not callable(make):
        raise TypeError(f"search: make: given {type(make).__name__}, expected a function of (config, seed)")
    if score is not None and score not in _MEASURED:
        raise ValueError(f"search: score={score!r}, expected one of {', '.join(_MEASURED)}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"search: seed={seed!r}, expected an integer of at least 0")
    space = _listed(space)
    configs = _configs(space, trials, seed)
    seeds = [int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) for number in range(len(configs))]
    kept = _Kept(folder, space, trials, seed)
    found = kept.read(configs)
    todo = [number for number in range(len(configs)) if number not in found]
    for row in _run(make, configs, seeds, todo, jobs, progress):
        kept.write(row)
        found[row["trial"]] = row
    rows = [found[number] for number in range(len(configs))]
    if score is None:
        regression = any(row["status"] == "done" for row in rows) and all(row["best_val_acc"] is None for row in rows)
        score = "best_val_loss" if regression else "best_val_acc"
    smaller = score.endswith("loss") or score in _COSTS
    return SearchResult(rows, score, not smaller if larger is None else bool(larger))


def _listed(space: Any) -> Any:
    """Return the space with lists in place of other iterables: a generator gives its values once."""
    if not isinstance(space, Mapping):
        return space
    return {name: list(values) if isinstance(values, Iterable) and not isinstance(values, str) else values
            for name, values in space.items()}  # fmt: skip


def _configs(space: Any, trials: int | None, seed: int) -> list[dict[str, Any]]:
    """Return the settings to try, checked."""
    if not isinstance(space, Mapping) or not space:
        raise TypeError(f"search: space: given {space!r}, expected a dict of names to lists or distributions")
    for name, values in space.items():
        if name in (*_MEASURED, "trial", "seed", "status", "error"):
            raise ValueError(f"search: space: {name!r} is a column of the table already; choose another name")
        if isinstance(values, Distribution):
            if trials is None:
                raise ValueError(f"search: space: {name} is drawn at random; say how often: trials=20")
        elif not isinstance(values, list):
            raise TypeError(f"search: space: {name}: given {values!r}, expected a list of values or a distribution")
        elif not values:
            raise ValueError(f"search: space: {name} has no values")
    if trials is None:
        return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise ValueError(f"search: trials={trials!r}, expected an integer of at least 1")
    configs = []
    for number in range(trials):
        generator = np.random.default_rng([seed, number, 1])
        configs.append({
            name: values.draw(generator) if isinstance(values, Distribution)
            else values[int(generator.integers(len(values)))]
            for name, values in space.items()
        })  # fmt: skip
    return configs


def _run(
    make: Any, configs: list[dict[str, Any]], seeds: list[int], todo: Sequence[int], jobs: int | None,
    progress: bool | None,
) -> Iterable[dict[str, Any]]:  # fmt: skip
    """Yield the rows of the trials that are to be run, as they end."""
    if not todo:
        return
    if jobs is None:
        jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise ValueError(f"search: jobs={jobs!r}, expected an integer of at least 1")
    try:
        import joblib
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("search needs joblib: pip install joblib (or tinygrad_fc[search]).") from error
    # Lists of values may be longer than there are trials of them; a process for each would only cost its start.
    jobs = min(jobs, len(todo))
    options: dict[str, Any] = {"n_jobs": jobs, "return_as": "generator_unordered"}
    chosen = type(joblib.parallel.get_active_backend()[0]).__name__
    if jobs > 1 and chosen == "LokyBackend":
        options |= {"backend": joblib.parallel.LokyBackend(inner_max_num_threads=1)}
    elif chosen != "LokyBackend":
        options = {"return_as": "generator_unordered"}  # the user chose who runs them, and how many at once
    tasks = (joblib.delayed(_trial)(make, number, configs[number], seeds[number]) for number in todo)
    with _bar(len(todo), progress) as bar:
        for row in joblib.Parallel(**options)(tasks):
            if bar is not None:
                bar.update()
            yield row


def _trial(make: Any, number: int, config: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train once, and return the row."""
    row: dict[str, Any] = {"trial": number, **config, "seed": seed, "status": "failed"}
    row |= dict.fromkeys(_MEASURED)
    row["error"] = None
    started = time.perf_counter()
    solver: Any = None
    try:
        solver = make(dict(config), seed)
        solver.train()
        row["status"] = "done"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        row["error"] = f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"
    row["seconds"] = round(time.perf_counter() - started, 3)
    if row["status"] == "done":
        epochs, steps = solver.history.epochs, solver.history.steps
        row |= {name: epochs[name][-1] for name in ("train_acc", "val_acc", "train_loss", "val_loss")}
        row |= {f"best_{name}": epochs[name][_best(solver)] for name in ("val_acc", "val_loss")}
        row["steps"] = steps["step"][-1]
    return row


def _best(solver: Any) -> int:
    """Return at which evaluation a solver kept its best parameters."""
    figures, found = solver.history.epochs[solver.monitor], 0
    for at, figure in enumerate(figures):
        if better(solver.monitor, figure, figures[found]):
            found = at
    return found


class _Kept:
    """The finished trials of a search in a folder, each a file of JSON."""

    def __init__(self, folder: Any, space: Mapping[str, Any], trials: int | None, seed: int) -> None:
        self.folder = None if folder is None else Path(folder)
        if self.folder is None:
            return
        check_writable(self.folder)
        plain = {name: asdict(values) if isinstance(values, Distribution) else [repr(value) for value in values]
                 for name, values in space.items()}  # fmt: skip
        # More trials of the same draws go on with those that are there.
        about = json.dumps({"space": plain, "seed": seed, "random": trials is not None}, sort_keys=True)
        self.digest = hashlib.sha256(about.encode()).hexdigest()
        known = self.folder / "search.json"
        if known.exists():
            try:
                digest = json.loads(known.read_text(encoding="utf-8"))["digest"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"search: {known}: damaged ({type(error).__name__}: {error}); remove it to go on with "
                                 f"the trials beside it, if they are of this space and seed") from None  # fmt: skip
            if digest != self.digest:
                raise ValueError(f"search: {self.folder} holds a search of another space or seed; name another folder")
        else:
            write_atomically(known, json.dumps({"digest": self.digest, "search": json.loads(about)}, indent=1).encode())

    def read(self, configs: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """Return the rows of the trials that are done, by number."""
        found = {}
        for number, config in enumerate(configs) if self.folder is not None else ():
            path = self.folder / f"trial-{number:05d}.json"  # type: ignore[operator]  # there is a folder
            if path.exists():
                try:
                    row = json.loads(path.read_text(encoding="utf-8"))
                    # A trial that an earlier version kept, without all of the columns, is run again.
                    if row["trial"] == number and row["status"] == "done" and row.keys() >= set(_MEASURED):
                        found[number] = {**row, **config}  # JSON has no tuples
                except (ValueError, KeyError, TypeError) as error:
                    warnings.warn(f"{path}: damaged ({error}), so the trial is run again", stacklevel=3)
        return found

    def write(self, row: dict[str, Any]) -> None:
        """Keep a row."""
        if self.folder is not None:
            path = self.folder / f"trial-{row['trial']:05d}.json"
            write_atomically(path, json.dumps(row, default=repr).encode())


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


def _bar(total: int, progress: bool | None) -> Any:
    from contextlib import nullcontext

    if not (loop.live() if progress is None else progress):
        return nullcontext()
    from tqdm.auto import tqdm  # imported here: only a bar needs it

    return tqdm(total=total, unit="trial", dynamic_ncols=True)

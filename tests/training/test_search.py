"""search: every setting is tried once, with seeds of its own, kept, and failures are rows."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from solver_models import make_model, solve

import tinygrad_fc as tg
from tinygrad_fc import training
from tinygrad_fc.training import Distribution, integers, log_uniform, search, uniform

SPACE: dict[str, Any] = {"rate": [0.1, 0.3], "width": [4, 8]}


def points() -> dict[str, Any]:
    labels = np.arange(60) % 3
    X = np.array([[2.0, 0.0], [-2.0, 1.0], [0.0, -2.0]])[labels] + np.random.default_rng(0).standard_normal((60, 2)) / 2
    return {"X_train": X[:40], "y_train": labels[:40], "X_val": X[40:], "y_val": labels[40:]}


class Make:
    """Makes solvers, and counts them."""

    def __init__(self, bad: float = math.nan) -> None:
        self.seen: list[tuple[dict[str, Any], int]] = []
        self.bad = bad

    def __call__(self, config: dict[str, Any], seed: int) -> Any:
        self.seen.append((config, seed))
        if config["rate"] == self.bad:
            raise OSError("no such rate")
        model = make_model(hidden_dim=config["width"], seed=seed)
        return solve(model, points(), optim_config={"learning_rate": config["rate"]}, num_epochs=2, seed=seed)


def timeless(result: training.SearchResult) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result.rows]


def test_a_grid_is_every_combination_in_order() -> None:
    make = Make()
    result = search(make, SPACE, jobs=1)
    assert [config for config, _ in make.seen] == [{"rate": r, "width": w} for r in (0.1, 0.3) for w in (4, 8)]
    assert len({seed for _, seed in make.seen}) == 4
    assert [row["trial"] for row in result.rows] == [0, 1, 2, 3]
    assert {row["status"] for row in result.rows} == {"done"}
    solver = make(make.seen[2][0], make.seen[2][1])
    solver.train()
    row = result.rows[2]
    assert (row["best_val_acc"], row["steps"]) == (solver.best_val_acc, 8)
    assert row["val_loss"] == solver.history.epochs["val_loss"][-1]
    assert result.best["best_val_acc"] == max(result.table["best_val_acc"])


def test_processes_change_nothing() -> None:
    space = {"rate": log_uniform(1e-3, 1.0), "width": [4, 8, 16]}
    one, two = (search(Make(), space, trials=4, seed=3, jobs=jobs) for jobs in (1, 2))
    assert timeless(one) == timeless(two)
    more = search(Make(), space, trials=6, seed=3, jobs=1)
    assert timeless(more)[:4] == timeless(one)
    other = search(Make(), space, trials=4, seed=4, jobs=1)
    assert other.table["rate"] != one.table["rate"]


def test_a_backend_that_was_chosen_is_used() -> None:
    make = Make()
    with joblib.parallel_config(backend="threading", n_jobs=2):
        result = search(make, SPACE)
    assert len(make.seen) == 4  # in this process
    assert timeless(result) == timeless(search(Make(), SPACE, jobs=1))


def test_failures_are_rows() -> None:
    result = search(Make(bad=0.1), SPACE, jobs=1)
    assert [row["status"] for row in result.rows] == ["failed", "failed", "done", "done"]
    assert result.rows[0]["error"].startswith("OSError: no such rate (test_search.py:")
    assert result.rows[0]["best_val_acc"] is None
    assert result.best["trial"] in (2, 3)
    shown = repr(result).splitlines()
    assert shown[0].split() == ["trial", "rate", "width", "status", "best_val_acc", "steps", "seconds"]
    assert [line.split()[3] for line in shown[1:5]] == ["done", "done", "failed", "failed"]
    assert shown[5].startswith("trial 0: OSError: no such rate")
    diverged = search(Make(), {"rate": [1e300], "width": [4]}, jobs=1)
    assert diverged.rows[0]["error"].startswith("FloatingPointError: ")
    with pytest.raises(ValueError, match="none of 1 trials has a best_val_acc: FloatingPointError"):
        diverged.best  # noqa: B018  # a property


def test_the_score_is_what_was_asked_for() -> None:
    result = search(Make(), SPACE, jobs=1, score="val_loss")
    assert result.best["val_loss"] == min(result.table["val_loss"])
    worst = search(Make(), SPACE, jobs=1, score="val_loss", larger=True).best
    assert worst["val_loss"] == max(result.table["val_loss"])


def regression(config: dict[str, Any], seed: int) -> Any:
    data = points()
    waves = {**data, "y_train": np.sin(data["X_train"][:, :1]), "y_val": np.sin(data["X_val"][:, :1])}
    net = tg.nn.Sequential(tg.nn.Linear(2, 8, "tanh", seed=seed), tg.nn.Linear(8, 1, seed=seed + 1))
    return training.Solver(net, waves, "adam", {"learning_rate": config["rate"]}, batch_size=10, num_epochs=5,
                           verbose=False, seed=0, criterion=tg.nn.MSELoss())  # fmt: skip


def test_without_labels_the_loss_says_what_is_best() -> None:
    """Every trial had a best_val_acc of 0, and the first one, of the worst rate, was the best."""
    result = search(regression, {"rate": [1e-6, 1e-2, 1.0]}, jobs=1)
    assert result.table["best_val_acc"] == [None] * 3
    assert (result.score, result.larger, result.best["rate"]) == ("best_val_loss", False, 1e-2)
    assert "best_val_loss" in repr(result).splitlines()[0]
    solver = regression({"rate": 1.0}, result.rows[2]["seed"])
    solver.train()
    assert result.rows[2]["best_val_loss"] == min(solver.history.epochs["val_loss"]) < result.rows[2]["val_loss"]
    with pytest.raises(ValueError, match="none of 3 trials has a val_acc: they measure none.* 'best_val_loss' say"):
        search(regression, {"rate": [1e-6, 1e-2, 1.0]}, jobs=1, score="val_acc").best  # noqa: B018  # a property


def test_fewer_seconds_are_better_and_a_failed_trial_is_never_best() -> None:
    result = search(Make(bad=0.1), SPACE, jobs=1, score="seconds")
    assert not result.larger
    assert result.best["seconds"] == min(row["seconds"] for row in result.rows if row["status"] == "done")
    assert result.best["trial"] in (2, 3)
    assert not search(Make(), SPACE, jobs=1, score="steps").larger


def test_a_trial_that_an_earlier_version_kept_is_run_again(tmp_path: Path) -> None:
    search(Make(), SPACE, jobs=1, folder=tmp_path)
    kept = tmp_path / "trial-00002.json"
    row = json.loads(kept.read_text())
    del row["best_val_loss"]
    kept.write_text(json.dumps(row))
    make = Make()
    assert len(search(make, SPACE, jobs=1, folder=tmp_path).table["best_val_loss"]) == 4
    assert len(make.seen) == 1


def test_a_search_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    class Stop(Make):
        def __call__(self, config: dict[str, Any], seed: int) -> Any:
            if len(self.seen) == 2:
                raise KeyboardInterrupt
            return super().__call__(config, seed)

    with pytest.raises(KeyboardInterrupt):
        search(Stop(), SPACE, jobs=1, folder=tmp_path)
    make = Make()
    result = search(make, SPACE, jobs=1, folder=tmp_path)
    assert len(make.seen) == 2
    assert timeless(result) == timeless(search(Make(), SPACE, jobs=1))
    (tmp_path / "trial-00001.json").write_text("{")
    make = Make()
    with pytest.warns(UserWarning, match=r"trial-00001\.json: damaged .*run again"):
        again = search(make, SPACE, jobs=1, folder=tmp_path)
    assert len(make.seen) == 1
    assert timeless(again) == timeless(result)
    with pytest.raises(ValueError, match="holds a search of another space or seed; name another folder"):
        search(Make(), {"rate": [0.1], "width": [4]}, jobs=1, folder=tmp_path)
    # Failed trials are run again.
    failing = search(Make(bad=0.3), SPACE, jobs=1, folder=tmp_path / "f")
    assert [row["status"] for row in failing.rows] == ["done", "done", "failed", "failed"]
    make = Make()
    assert {row["status"] for row in search(make, SPACE, jobs=1, folder=tmp_path / "f").rows} == {"done"}
    assert len(make.seen) == 2


@pytest.mark.parametrize("trials", [None, 3])
def test_values_may_be_given_by_a_generator(trials: int | None, tmp_path: Path) -> None:
    found = [search(Make(), {"rate": rates, "width": (4,)}, trials=trials, jobs=1, folder=folder)
             for rates, folder in (([0.1, 0.3], None), ((n / 10 for n in (1, 3)), tmp_path))]  # fmt: skip
    assert timeless(found[0]) == timeless(found[1])


@pytest.mark.parametrize("text", ["{", "[]", "{}", "\udcff"])
def test_a_damaged_search_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "search.json").write_text(text, errors="surrogateescape")
    with pytest.raises(ValueError, match=r"search\.json: damaged \(.*remove it to go on with the trials"):
        search(Make(), SPACE, jobs=1, folder=tmp_path)


def test_settings_that_are_tuples_come_back_as_they_were(tmp_path: Path) -> None:
    def make(config: dict[str, Any], seed: int) -> Any:
        assert type(config["sizes"]) is tuple
        return Make()({"rate": 0.1, "width": config["sizes"][0]}, seed)

    space = {"sizes": [(4, 4), (8,)]}
    first = search(make, space, jobs=1, folder=tmp_path)
    assert timeless(search(make, space, jobs=1, folder=tmp_path)) == timeless(first)
    assert first.table["sizes"] == [(4, 4), (8,)]


def test_tables_are_written(tmp_path: Path) -> None:
    result = search(Make(bad=0.1), SPACE, jobs=1)
    result.to_csv(tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["best_val_acc"] for row in rows[:2]] == ["", ""]
    assert [float(row["best_val_acc"]) for row in rows[2:]] == result.table["best_val_acc"][2:]
    json.dumps(result.table)


def test_distributions_stay_inside() -> None:
    generator = np.random.default_rng(0)
    draws = {kind: [make(1, 100).draw(generator) for _ in range(500)] for kind, make in
             (("uniform", uniform), ("log", log_uniform), ("integers", integers))}  # fmt: skip
    assert all(1 <= value <= 100 for values in draws.values() for value in values)
    assert 40 < np.median(draws["uniform"]) < 60
    assert 7 < np.median(draws["log"]) < 14
    assert {1, 100} <= set(draws["integers"])
    assert all(type(value) is int for value in draws["integers"])


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"make": 3}, TypeError, "make: given int"),
        ({"space": {}}, TypeError, "space: given {}"),
        ({"space": {"a": []}}, ValueError, "a has no values"),
        ({"space": {"a": 3}}, TypeError, "a: given 3, expected a list of values or a distribution"),
        ({"space": {"a": "abc"}}, TypeError, "a: given 'abc'"),
        ({"space": {"steps": [1]}}, ValueError, "'steps' is a column of the table already"),
        ({"space": {"a": Distribution("uniform", 0, 1)}}, ValueError, "a is drawn at random; say how often: trials=20"),
        ({"trials": 0}, ValueError, "trials=0"),
        ({"jobs": 0}, ValueError, "jobs=0"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"score": "accuracy"}, ValueError, "score='accuracy', expected one of best_val_acc, best_val_loss"),
    ],
)
def test_what_does_not_fit_is_refused_first(given: Any, error: type[Exception], match: str) -> None:
    make = Make()
    with pytest.raises(error, match=match):
        search(**{"make": make, "space": SPACE, **given})
    assert make.seen == []


def test_distributions_that_are_none() -> None:
    for function, low, high in ((uniform, 1, 1), (log_uniform, 0, 1), (integers, 2, 1), (uniform, 0, math.inf)):
        with pytest.raises(ValueError, match=f"{function.__name__}: given {low!r} and {high!r}, expected two finite"):
            function(low, high)
    with pytest.raises(ValueError, match="expected whole numbers"):
        integers(0.5, 2)  # type: ignore[arg-type]  # what is tested


def test_without_joblib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(ModuleNotFoundError, match=r"search needs joblib: pip install joblib \(or tinygrad_fc\[sea"):
        search(Make(), SPACE)


def test_the_bar_counts_trials(capsys: Any) -> None:
    search(Make(), SPACE, jobs=1, progress=True)
    assert "4/4" in capsys.readouterr().err

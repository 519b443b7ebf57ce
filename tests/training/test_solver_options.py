"""What a solver takes beside the course's arguments: each option does what it says."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from solver_models import MODELS, Linear, copies, make_model, same, solve

import tinygrad_fc as tg
from tinygrad_fc.training import Callback, Solver


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Give Ctrl-C Python's own handler, which a process that was started in the background has not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_after_the_step_and_train_goes_on(data: Any, capsys: Any) -> None:
    class Interrupt(Callback):
        def on_step_end(self, solver: Solver) -> None:
            if solver.step == 6:
                os.kill(os.getpid(), signal.SIGINT)

    whole = solve(make_model(), data, update_rule="adam", num_epochs=3)
    whole.train()
    solver = solve(make_model(), data, update_rule="adam", num_epochs=3, callbacks=[Interrupt()])
    solver.train()
    assert (solver.interrupted, solver.step, solver.epoch) == (True, 6, 1)
    assert "Interrupted after step 6 of 12: train() goes on from here" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    solver.train()
    assert (solver.interrupted, solver.step) == (False, 12)
    assert solver.loss_history == whole.loss_history
    assert same(copies(solver.model), copies(whole.model))


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_does_not_wait(data: Any) -> None:
    class Stuck(Linear):
        def loss(self, X: Any, y: Any = None) -> Any:
            if y is not None:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            return super().loss(X, y)

    with pytest.raises(KeyboardInterrupt):
        solve(Stuck(), data).train()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_training_that_is_stopped_before_it_begins_does_nothing(data: Any) -> None:
    class Never(Callback):
        def on_train_begin(self, solver: Solver) -> None:
            solver.stop()

    solver = solve(make_model(), data, callbacks=[Never()])
    solver.train()
    assert (solver.step, solver.val_acc_history, solver.best_params) == (0, [], {})
    assert same(copies(solver.model), copies(make_model()))


def test_in_a_thread_no_signal_is_touched(data: Any) -> None:
    solver = solve(make_model(), data)
    thread = threading.Thread(target=solver.train)
    thread.start()
    thread.join()
    assert solver.epoch == 5


def test_patience_ends_the_training_with_the_best_weights(data: Any, capsys: Any) -> None:
    solver = solve(make_model(), data, num_epochs=100, patience=4, verbose=True, optim_config={"learning_rate": 0.5})
    solver.train()
    assert solver.epoch < 100
    best = int(np.argmax(solver.val_acc_history))
    assert len(solver.val_acc_history) - 1 - best == 4
    assert solver.check_accuracy(data["X_val"], data["y_val"]) == solver.val_acc_history[best]
    assert f"No better val_acc in 4 epochs: training ends after epoch {solver.epoch}." in capsys.readouterr().out
    before = solver.epoch
    solver.train()  # waits anew; it ended after one epoch
    assert solver.epoch >= before + 4


def test_the_monitor_says_what_is_best(data: Any) -> None:
    wild = {"learning_rate": 2.0}
    solver = solve(make_model(), data, num_epochs=10, monitor="val_loss", optim_config=wild)
    solver.train()
    losses = solver.history.epochs["val_loss"]
    assert solver.evaluate(data["X_val"], data["y_val"])["loss"] == min(losses) < max(losses)
    with pytest.raises(ValueError, match="monitor: given 'val_los', expected one of train_loss, train_acc, val_loss"):
        solve(make_model(), data, monitor="val_los")


def test_metrics_are_measured_printed_and_can_be_monitored(data: Any, capsys: Any) -> None:
    def worst_class(scores: np.ndarray, y: np.ndarray) -> float:
        right = scores.argmax(axis=1) == y
        return min(right[y == label].mean() for label in range(3))

    metrics = {"worst": worst_class}
    solver = solve(make_model(), data, metrics=metrics, monitor="val_worst", verbose=True, print_every=100)
    solver.train()
    column = solver.history.epochs["val_worst"]
    assert len(column) == 6
    assert solver.evaluate(data["X_val"], data["y_val"])["worst"] == max(column)
    assert f"; val_worst: {column[-1]:f}" in capsys.readouterr().out.splitlines()[-1]
    for bad, error, match in (
        ({"acc": worst_class}, ValueError, "'acc' is taken"),
        ({"m": 3}, TypeError, "m is int, expected a function"),
        ([1], TypeError, "given list, expected a dict"),
        ({"m": lambda scores, y: scores}, TypeError, "m returned ndarray, expected a number"),
    ):
        with pytest.raises(error, match=match):
            solve(make_model(), data, metrics=bad).train()


def test_a_figure_that_is_nan_is_never_better(data: Any) -> None:
    nothing = {"m": lambda scores, y: np.nan}
    solver = solve(make_model(), data, metrics=nothing, monitor="val_m", patience=2, num_epochs=9)
    solver.train()
    assert solver.epoch == 2
    wrong = {"err": lambda scores, y: np.mean(scores.argmax(1) != y)}
    error = solve(make_model(), data, metrics=wrong, monitor="val_err")
    error.train()
    assert error.best_val_acc == max(error.val_acc_history)
    with pytest.raises(ValueError, match="X has no samples to score"):
        error.predict(data["X_val"][:0])


def test_class_weights_weight_the_loss(data: Any) -> None:
    few = np.concatenate([np.arange(40)[data["y_train"] != 2], np.flatnonzero(data["y_train"] == 2)[:2]])
    uneven = {**data, "X_train": data["X_train"][few], "y_train": data["y_train"][few]}
    model = make_model()
    solver = solve(model, uneven, class_weights="balanced", batch_size=29, replacement=False, num_epochs=1)
    counts = np.bincount(uneven["y_train"])
    weights = len(few) / (3 * counts)
    assert model.criterion.weight == pytest.approx(weights)
    scores = model.loss(uneven["X_train"])
    each = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(few)), uneven["y_train"]]
    share = weights[uneven["y_train"]]
    solver.train()
    assert solver.loss_history[0] == pytest.approx((share * each).sum() / share.sum())
    for bad, error, match in (
        ([1.0, 2.0], ValueError, r"given shape \(2,\), expected \(3,\)"),
        ("even", ValueError, "given 'even', expected 'balanced'"),
        ([1.0, -1.0, 1.0], ValueError, "weight"),
    ):
        with pytest.raises(error, match=match):
            solve(make_model(), data, class_weights=bad)
    with pytest.raises(TypeError, match="softmax's cross-entropy, and Linear has no criterion"):
        solve(Linear(), data, class_weights="balanced")
    with pytest.raises(TypeError, match="has SVMLoss"):
        solve(make_model(loss="svm"), data, class_weights="balanced")


def test_any_module_is_trained_with_a_criterion() -> None:
    generator = np.random.default_rng(0)
    X = generator.standard_normal((200, 3))
    y = X @ np.array([[1.0], [-2.0], [0.5]]) + 0.3
    data = {"X_train": X[:150], "y_train": y[:150], "X_val": X[150:], "y_val": y[150:]}
    net = tg.nn.Sequential(tg.nn.Linear(3, 1, dtype=np.float64, seed=0))
    solver = Solver(net, data, "sgd", {"learning_rate": 0.1}, num_epochs=100, batch_size=50, verbose=False, seed=0,
                    criterion=tg.nn.MSELoss())  # fmt: skip
    solver.train()
    assert solver.monitor == "val_loss"
    assert solver.history.epochs["val_acc"][-1] is None
    assert solver.evaluate(X, y)["loss"] < 1e-6
    assert np.allclose(solver.predict(X), y, atol=1e-2)
    assert net.training is True
    with pytest.raises(ValueError, match="criterion: TwoLayerNet has a loss of its own"):
        solve(make_model(), data, criterion=tg.nn.MSELoss())


def test_a_module_without_a_criterion_is_a_classifier(data: Any) -> None:
    net = tg.nn.Sequential(tg.nn.Linear(2, 8, "relu", seed=0), tg.nn.Linear(8, 3, seed=1))
    solver = solve(net, data, num_epochs=20)
    solver.train()
    assert solver.best_val_acc > 0.9
    assert solver.model is net


def test_a_schedule_sets_the_rate_of_each_step(data: Any) -> None:
    solver = solve(make_model(), data, schedule="cosine", num_epochs=2, lr_decay=0.5)
    solver.train()
    expected = [0.2 * (0.5 if step >= 4 else 1.0) * (1 + np.cos(np.pi * step / 8)) / 2 for step in range(8)]
    assert solver.history.steps["learning_rate"] == pytest.approx(expected)
    plain = solve(make_model(), data, schedule=lambda epoch: 0.0)
    plain.train()
    assert same(copies(plain.model), copies(make_model()))


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
def test_a_schedule_by_name_goes_over_each_training(name: str, data: Any) -> None:
    """The second training went on behind its end, at a rate of 0."""
    solver = solve(make_model(), data, schedule=name, num_epochs=2)
    solver.train()
    solver.train()
    rates = solver.history.steps["learning_rate"]
    assert len(rates) == 16
    assert rates[8:] == rates[:8]
    assert solver.history.steps["epoch"][-1] == 4.0


def test_a_training_behind_the_end_of_its_schedule_warns(data: Any) -> None:
    warm = tg.optim.Warmup(0.5, start=0.0, then=tg.optim.CosineAnnealing(1.5))
    for schedule in ({"name": "cosine", "length": 2}, warm):
        solver = solve(make_model(), data, schedule=schedule, num_epochs=2)
        solver.train()
        with pytest.warns(UserWarning, match=r"this training is 0: .* is at its end after 2 epochs") as seen:
            solver.train()
        assert seen[0].filename == __file__
        assert solver.history.steps["learning_rate"][8:] == [0.0] * 8


@pytest.mark.parametrize("inner", [False, True])
def test_a_schedule_that_listens_is_one_solvers(inner: bool, data: Any) -> None:
    schedule: Any = tg.optim.ReduceOnPlateau(factor=0.5, patience=0)
    if inner:
        schedule = tg.optim.Warmup(1.0, start=0.5, then=schedule)
    rates = []
    for _ in range(2):
        solver = solve(make_model(), data, schedule=schedule, num_epochs=30)
        solver.train()
        rates.append(solver.history.steps["learning_rate"])
    assert rates[0] == rates[1]
    assert rates[0][-1] < 0.2
    assert schedule(5.0) == 1.0


@pytest.mark.parametrize("kind", MODELS)
def test_a_rule_without_a_learning_rate_trains(kind: str, data: Any) -> None:
    def update(w: Any, dw: Any, state: Any, config: Any, scratch: Any) -> None:
        w -= 0.05 * np.sign(dw)

    rule = tg.optim.Rule("sign_of_mine", {}, (), update)
    solver = solve(MODELS[kind](), data, update_rule=rule, optim_config={})
    solver.train()
    assert solver.loss_history[-1] < solver.loss_history[0]
    assert np.isnan(solver.history.steps["learning_rate"]).all()
    with pytest.raises(ValueError, match="the rule sign_of_mine has no learning_rate; leave both out"):
        solve(MODELS[kind](), data, update_rule=rule, optim_config={}, lr_decay=0.9)


def test_a_plateau_of_the_monitored_figure_lowers_the_rate(data: Any) -> None:
    schedule = tg.optim.ReduceOnPlateau(factor=0.5, patience=0)
    solver = solve(make_model(), data, schedule=schedule, num_epochs=30)
    solver.train()
    rates, figures = solver.history.steps["learning_rate"], solver.val_acc_history[1:]
    best, factor = -1.0, 1.0
    for epoch, figure in enumerate(figures[:-1]):
        best, factor = (figure, factor) if figure > best + 1e-4 else (best, factor / 2)
        assert rates[4 * (epoch + 1)] == pytest.approx(0.2 * factor)
    assert rates[-1] < 0.01


def test_gradient_norms_are_recorded_and_bounded(data: Any) -> None:
    model = make_model()
    norms = []

    class Norms(Callback):
        def on_step_end(self, solver: Solver) -> None:
            norms.append(np.sqrt(sum((d**2).sum() for d in solver.last_gradients.values())))

    solver = solve(model, data, clip_norm=1e-3, num_epochs=1, callbacks=[Norms()])
    before = copies(model)
    solver.train()
    assert solver.history.steps["gradient_norm"] == pytest.approx(norms)
    moved = np.sqrt(sum(((copies(model)[name] - before[name]) ** 2).sum() for name in before))
    assert moved <= 4 * 0.2 * 1e-3 * (1 + 1e-9)
    with pytest.raises(ValueError, match="clip_norm: only for models whose params"):
        solve(Linear(), data, clip_norm=1.0)


@pytest.mark.parametrize("spoilt", ["data", "gradient", "loss"])
def test_what_is_not_finite_stops_before_the_update(spoilt: str, data: Any) -> None:
    class Spoiling(tg.models.FullyConnectedNet):
        at = 5
        calls = 0

        def loss(self, X: Any, y: Any = None) -> Any:
            result = super().loss(X, y)
            self.calls += y is not None
            if y is not None and self.calls == self.at:
                if spoilt == "gradient":
                    result[1]["W2"][0, 1] = np.inf
                    result[1]["b1"][2] = np.nan
                else:
                    return np.inf, result[1]
            return result

    def stain(X: Any, y: Any, generator: Any) -> Any:
        stained = X.copy()
        stained[3, 1] = np.nan if spoilt == "data" and model.calls == 4 else X[3, 1]
        return stained, y

    model = Spoiling([6], 2, 3, normalization="batchnorm", weight_scale=0.1, seed=0)
    steps: list[dict[str, Any]] = []

    class Keep(Callback):
        def on_step_end(self, solver: Solver) -> None:
            steps.append(model.state_dict())

    if spoilt == "data":
        model.at = 99
    solver = solve(model, data, augment=stain, callbacks=[Keep()])
    match = {
        "gradient": r"the gradient of b1 in iteration 5, whose loss is .*, has 1 of 6 elements that are NaN or "
                    r"infinite \(so do those of W2\)",
        "loss": "the loss of iteration 5 is inf; the parameters are those of the step before",
        "data": "the loss of iteration 5 is nan; .*the batch holds 1 numbers that are NaN",
    }[spoilt]  # fmt: skip
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=match) as caught:
        solver.train()
    assert len(steps) == solver.step == len(solver.loss_history) == 4
    assert same(steps[-1], model.state_dict())  # the running statistics, too
    assert "In step 5 of the Solver, epoch 2" in "".join(caught.value.__notes__)


def test_histories_are_tables(data: Any, tmp_path: Path) -> None:
    import csv
    import json

    solver = solve(make_model(), data, num_epochs=2)
    solver.train()
    history = solver.history
    assert {len(column) for column in history.steps.values()} == {8}
    assert {len(column) for column in history.epochs.values()} == {3}
    assert history.steps["step"] == list(range(1, 9))
    assert history.epochs["epoch"] == [0, 1, 2]
    assert history.steps["seconds"] == sorted(history.steps["seconds"])
    history.to_json(tmp_path / "h.json")
    assert json.loads((tmp_path / "h.json").read_text()) == history.to_dict()
    for table, columns in (("steps", history.steps), ("epochs", history.epochs)):
        history.to_csv(tmp_path / "h.csv", table)
        with (tmp_path / "h.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["step"]) for row in rows] == columns["step"]
        last = "loss" if table == "steps" else "val_loss"
        assert [float(row[last]) for row in rows] == columns[last]
    with pytest.raises(ValueError, match="table='step', expected 'epochs' or 'steps'"):
        history.to_csv(tmp_path / "x.csv", "step")
    plain = solve(Linear(), data, num_epochs=1)
    plain.train()
    assert plain.history.epochs["val_loss"] == [None, None]  # such a model does not say its loss of data alone


def test_the_bar_is_off_where_nobody_sees_it(data: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    solve(make_model(), data, verbose=True).train()
    assert capsys.readouterr().err == ""
    monkeypatch.setitem(sys.modules, "ipykernel", sys)  # a notebook, but without the parts for a bar
    monkeypatch.setattr("tinygrad_fc.training.loop.find_spec", lambda name: None)
    solve(make_model(), data, verbose=True).train()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    solve(make_model(), data, verbose=False).train()
    assert capsys.readouterr().err == ""
    solve(make_model(), data, verbose=True).train()
    assert "20/20" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"patience": 0}, ValueError, "patience must be at least 1"),
        ({"prefetch": -1}, ValueError, "prefetch must be at least 1"),
        ({"augment": 3}, TypeError, "augment: given int, expected a function"),
        ({"callbacks": [3]}, TypeError, "callbacks: given 3, expected instances of subclasses of Callback"),
        ({"schedule": "cosin"}, ValueError, r"unknown schedule 'cosin' \(did you mean 'cosine'\?\)"),
        ({"schedule": {"name": "cosine", "lenght": 3}}, ValueError, r"cosine: unknown option 'lenght' \(did you mean"),
        ({"checkpoint_every": 5}, ValueError, "checkpoint_every: given 5 without a folder; give checkpoint_dir"),
        ({"checkpoint_dir": "x", "checkpoint_keep": 0}, ValueError, "checkpoint_keep must be at least 1"),
        ({"checkpoint_dir": "/proc/none"}, OSError, "the folder cannot be written to"),
        ({"optim_config": {"groups": {"fc9.*": {}}}}, ValueError, r"groups: 'fc9\.\*' matches no parameter"),
        ({"clip_norm": 0.0}, ValueError, r"clip_norm must lie in \(0, inf\)"),
        ({"class_weights": "x"}, ValueError, "class_weights: given 'x'"),
    ],
)
def test_options_that_are_none_are_refused_before_anything_moves(
    arguments: Any, error: type[Exception], match: str, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = make_model()
    before, arrays = copies(model), dict(model.params)
    with pytest.raises(error, match=match):
        solve(model, data, **arguments)
    assert same(before, copies(model))
    assert all(model.params[name] is array for name, array in arrays.items())

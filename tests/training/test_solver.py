"""Solver: the course's interface and lines, for our networks and for any model with params and loss."""

import copy
import re
import sys

import numpy as np
import pytest
from solver_models import MODELS, Linear, copies, make_model, same, solve

import tinygrad_fc as tg
from tinygrad_fc.optim import RULES, sgd
from tinygrad_fc.training import Callback, Solver


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("rule", RULES)
def test_learns_with_every_rule(kind, rule, data):
    rate = {"sgd": 0.5, "sgd_momentum": 0.1, "adadelta": 2.0}.get(rule, 0.02)
    solver = solve(MODELS[kind](), data, update_rule=rule, optim_config={"learning_rate": rate}, num_epochs=20)
    assert solver.train() is None
    assert len(solver.loss_history) == 80
    assert solver.loss_history[-1] < solver.loss_history[0]
    assert solver.best_val_acc >= 0.9
    assert solver.check_accuracy(data["X_val"], data["y_val"]) == solver.best_val_acc


def test_both_kinds_of_model_take_the_same_steps(data):
    """A network of ours behind the bare interface goes the way it goes through the arena."""

    class Bare:
        def __init__(self, model):
            self.params = {name: np.array(value) for name, value in model.params.items()}
            self.model = model

        def loss(self, X, y=None):
            for name, value in self.params.items():
                self.model.params[name] = value
            return self.model.loss(X, y)

    for rule in RULES:
        ours, bare = make_model(), Bare(make_model())
        first, second = (
            solve(model, data, update_rule=rule, optim_config={"learning_rate": 0.05}, lr_decay=0.9)
            for model in (ours, bare)
        )
        first.train()
        second.train()
        assert first.loss_history == second.loss_history
        assert same(copies(ours), copies(bare))


def test_prints_the_lines_of_the_course(data, capsys):
    solve(make_model(), data, num_epochs=2, print_every=3, verbose=True).train()
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r"\d\.\d{6}$|\d\.\d{6}(?=;)", "#", line) for line in lines] == [
        "(Iteration 1 / 8) loss: #",
        "(Epoch 0 / 2) train acc: #; val_acc: #",
        "(Iteration 4 / 8) loss: #",
        "(Epoch 1 / 2) train acc: #; val_acc: #",
        "(Iteration 7 / 8) loss: #",
        "(Epoch 2 / 2) train acc: #; val_acc: #",
    ]


def test_printed_numbers_are_those_of_the_histories(data, capsys):
    solver = solve(make_model(), data, num_epochs=1, print_every=1, verbose=True)
    solver.train()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"(Iteration 1 / 4) loss: {solver.loss_history[0]:f}"
    accuracies = f"train acc: {solver.train_acc_history[-1]:f}; val_acc: {solver.val_acc_history[-1]:f}"
    assert lines[-1] == f"(Epoch 1 / 1) {accuracies}"


def test_silent_when_asked(data, capsys):
    solve(make_model(), data).train()
    assert capsys.readouterr() == ("", "")


def test_histories_have_one_loss_a_step_and_one_accuracy_an_epoch(data):
    solver = solve(make_model(), data, num_epochs=3)
    assert (solver.loss_history, solver.train_acc_history, solver.best_params, solver.epoch) == ([], [], {}, 0)
    solver.train()
    assert len(solver.loss_history) == 3 * 4
    assert len(solver.train_acc_history) == len(solver.val_acc_history) == 1 + 3
    assert solver.best_val_acc == max(solver.val_acc_history)
    assert solver.epoch == 3
    assert all(type(value) is float for value in solver.loss_history + solver.val_acc_history)


def test_an_epoch_of_one_step_is_reported_once(data, capsys):
    solver = solve(make_model(), data, batch_size=40, num_epochs=2, verbose=True)
    solver.train()
    assert len(solver.loss_history) == len(solver.val_acc_history) == 2
    assert "(Epoch 1 / 2)" in capsys.readouterr().out


def test_the_seed_decides_the_run(data):
    def run(seed):
        solver = solve(make_model(), data, seed=seed, num_train_samples=7, num_val_samples=5)
        solver.train()
        return solver.loss_history, solver.train_acc_history, solver.val_acc_history

    assert run(1) == run(1) != run(2)


def test_the_global_generator_is_left_alone(data):
    np.random.seed(5)  # noqa: NPY002 - the global generator is what is watched here
    expected = np.random.random()  # noqa: NPY002 - as above
    np.random.seed(5)  # noqa: NPY002 - as above
    solve(make_model(), data).train()
    assert np.random.random() == expected  # noqa: NPY002 - as above


@pytest.mark.parametrize("kind", MODELS)
def test_the_best_parameters_are_put_back(kind, data):
    class Watched(Solver):
        seen = ()

        def _evaluate(self):
            super()._evaluate()
            self.seen = (*self.seen, (self.val_acc_history[-1], copies(self.model)))

    model = MODELS[kind]()
    # A rate that throws the network about, so that the last parameters are not the best ones.
    wild = {"learning_rate": 1.2}
    solver = Watched(model, data, batch_size=4, num_epochs=6, verbose=False, seed=3, optim_config=wild)
    solver.train()
    best = max(range(len(solver.seen)), key=lambda i: solver.seen[i][0])
    assert solver.seen[best][0] == solver.best_val_acc
    assert same(copies(model), solver.seen[best][1])
    assert not same(copies(model), solver.seen[-1][1])
    assert same(copies(model), solver.best_params)
    # They are copies: what is done to the model later does not reach them.
    model.params["b" if kind == "plain" else "b1"][...] += 1.0
    assert same(solver.best_params, solver.seen[best][1])


def test_the_learning_rate_decays_after_each_epoch(data):
    for kind in MODELS:
        solver = solve(MODELS[kind](), data, lr_decay=0.5, num_epochs=3, optim_config={"learning_rate": 0.8})
        solver.train()
        assert solver.optimizer.learning_rate == pytest.approx(0.1)


def test_training_again_goes_on(data, capsys):
    solver = solve(make_model(), data, update_rule="adam", num_epochs=2, verbose=True, print_every=100)
    solver.train()
    assert solver.optimizer.config["t"] == 8
    capsys.readouterr()
    solver.train()
    lines = capsys.readouterr().out.splitlines()
    assert [line[:13] for line in lines] == ["(Epoch 3 / 4)", "(Epoch 4 / 4)"]
    assert (len(solver.loss_history), solver.epoch, len(solver.val_acc_history)) == (16, 4, 5)
    assert solver.optimizer.config["t"] == 16


def test_training_after_a_failure_goes_on_and_ends_with_a_report(data):
    class Failing(Linear):
        calls = 0

        def loss(self, X, y=None):
            self.calls += y is not None
            if self.calls == 6:
                self.calls += 1
                raise OSError("the disk is gone")
            return super().loss(X, y)

    solver = solve(Failing(), data, num_epochs=2)
    with pytest.raises(OSError, match="the disk is gone"):
        solver.train()
    assert (len(solver.loss_history), solver.epoch, len(solver.val_acc_history)) == (5, 1, 2)
    solver.train()
    # Epochs end after 8 and 12 steps, and the last step, the 13th, is reported too.
    assert (len(solver.loss_history), solver.epoch, len(solver.val_acc_history)) == (13, 3, 5)


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("last", [1, 4, 8])
def test_training_after_an_error_of_a_callback_goes_on(error, last, data, capsys):
    """After the last step of an epoch it went through empty epochs for ever."""

    class Fails(Callback):
        def on_step_end(self, solver):
            if solver.step == last and not seen:
                seen.append((solver.epoch, solver.optimizer.learning_rate))
                raise error("once")

        def on_epoch_end(self, solver):
            ended.append((solver.step, solver.epoch))

    seen, ended = [], []
    solver = solve(make_model(), data, num_epochs=2, lr_decay=0.5, callbacks=[Fails()], progress=True)
    with pytest.raises(error, match="once"):
        solver.train()
    assert seen == [(last // 5, 0.2 if last < 8 else 0.1)]  # a callback sees the epoch that its step belongs to
    solver.load_state_dict(solver.state_dict())
    solver.train()
    assert (solver.step, solver.epoch) == (last + 8, 2 + last // 4)
    assert ended == [(4 * epoch, epoch) for epoch in range(1, solver.epoch + 1)]
    first = [] if last == 1 else [1]
    assert solver.history.epochs["step"] == first + sorted({*range(4, last + 9, 4), last + 8})
    assert f"{last + 8}/{last + 8}" in capsys.readouterr().err


def test_a_training_that_is_stopped_before_its_first_evaluation_is_measured(data):
    class Fails(Callback):
        def on_step_end(self, solver):
            if solver.step == 1:
                raise OSError("once")
            solver.stop()

    solver = solve(make_model(), data, callbacks=[Fails()])
    with pytest.raises(OSError, match="once"):
        solver.train()
    solver.train()
    assert solver.history.epochs["step"] == [2]


@pytest.mark.parametrize("kind", MODELS)
def test_update_rule_may_be_a_function(kind, data):
    histories = []
    for rule in ("sgd", sgd, RULES["sgd"]):
        solver = solve(MODELS[kind](), data, update_rule=rule)
        solver.train()
        histories.append(solver.loss_history)
    assert histories[0] == histories[1] == histories[2]


def test_check_accuracy(data):
    model = Linear()
    model.params["b"] = np.array([0.0, 1.0, 0.0])  # every sample is called class 1
    solver = solve(model, data)
    X, y = data["X_train"], data["y_train"]
    share = float((y == 1).mean())
    assert solver.check_accuracy(X, y) == share
    assert [solver.check_accuracy(X, y, batch_size=size) for size in (1, 7, 40, 1000)] == [share] * 4
    assert [solver.check_accuracy(X, y, num_samples=size) for size in [1000] + [40] * 9] == [share] * 10
    assert solver.check_accuracy(X, y, num_samples=1) in (0.0, 1.0)
    with pytest.raises(ValueError, match=r"X has shape \(0, 2\), y has \(0,\)"):
        solver.check_accuracy(X[:0], y[:0])
    with pytest.raises(ValueError, match=r"X has shape \(40, 2\), y has \(3,\)"):
        solver.check_accuracy(X, y[:3])
    with pytest.raises(ValueError, match="num_samples must be at least 1"):
        solver.check_accuracy(X, y, num_samples=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        solver.check_accuracy(X, y, batch_size=0)


def test_progress_bar_shows_figures_and_lets_lines_pass(data, capsys):
    solver = solve(make_model(), data, num_epochs=2, progress=True, verbose=True, print_every=100)
    solver.train()
    out, err = capsys.readouterr()
    assert [line[:12] for line in out.splitlines()] == ["(Iteration 1", "(Epoch 0 / 2", "(Epoch 1 / 2", "(Epoch 2 / 2"]
    assert "8/8" in err
    assert f"val_acc={solver.val_acc_history[-1]:.3g}"[:11] in err
    assert "loss=" in err


def test_tqdm_is_imported_only_for_a_bar(data, monkeypatch):
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it now raises
    solve(make_model(), data, num_epochs=1).train()
    with pytest.raises(ImportError):
        solve(make_model(), data, num_epochs=1, progress=True).train()


def test_data_may_be_images_read_only_and_more(data):
    images = {name: value.reshape(len(value), 1, 2) if name[0] == "X" else value for name, value in data.items()}
    for array in images.values():
        array.flags.writeable = False
    solver = solve(make_model(), {**images, "X_test": None, "classes": "abc"})
    solver.train()
    assert solver.best_val_acc > 0.5


def test_a_copied_solver_goes_on_by_itself(data):
    solver = solve(make_model(), data, update_rule="adam", num_epochs=2)
    solver.train()
    twin = copy.deepcopy(solver)
    solver.train()
    assert len(twin.loss_history) == 8
    twin.train()
    assert twin.loss_history == solver.loss_history
    assert same(copies(twin.model), copies(solver.model))


def test_the_digits_are_learnt():
    data = tg.data.load_digits()
    model = tg.models.FullyConnectedNet([100, 100], input_dim=64, weight_scale=0.1, seed=0)
    solver = Solver(model, data, "adam", {"learning_rate": 3e-3}, 0.95, 50, 20, verbose=False, seed=0)
    solver.train()
    assert solver.best_val_acc >= 0.96
    assert solver.check_accuracy(data["X_test"], data["y_test"]) >= 0.96

"""A solver that replays leaves the history, the parameters and the callbacks' arrays of one that does not, in bits."""

import copy
import signal

import numpy as np
import pytest
from replay_twins import bits

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.models.trained import ReplayedLoss, loss_and_gradients
from tinygrad_fc.training import Callback, Solver


@pytest.fixture(autouse=True, params=["numba", "numpy"])
def policy(request):
    tg.use_kernels(request.param)
    yield
    tg.use_kernels("auto")


def data_of(count=70, features=12):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((count, features))
    y = rng.integers(5, size=count)
    return {"X_train": X, "y_train": y, "X_val": X[:20].copy(), "y_val": y[:20].copy()}


def course():
    return tg.models.FullyConnectedNet(
        [16, 16], 12, 5, seed=0, reg=0.1, normalization="batchnorm", dropout_keep_ratio=0.8, weight_scale=None
    )


def two_layers():
    return tg.models.TwoLayerNet(12, 16, 5, seed=0, reg=0.1)


def modules():
    return nn.Sequential(
        nn.Linear(12, 16, seed=0), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.7, seed=1), nn.Linear(16, 5, seed=2)
    )


class Own(nn.Module):
    """A user's, with a method."""

    def __init__(self):
        self.layers = [nn.Linear(12, 16, "relu", seed=0), nn.Linear(16, 5, seed=1)]
        self.seen = 0

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Counting(Own):
    def forward(self, x):
        self.seen += 1
        return super().forward(x) * (1.0 + self.seen % 2)


class Keeping(Callback):
    """Keeps the gradients of steps, and looks at the model between them."""

    def __init__(self, every=3, edit=None):
        self.kept, self.every, self.edit = [], every, edit

    def on_step_end(self, solver):
        if solver.step % self.every == 0:
            self.kept.append(dict(solver.last_gradients))
        if self.edit is not None:
            self.edit(solver)


def eager(self, X, y):
    return loss_and_gradients(lambda: self.model.make_loss(X, y), self.model.params.tensors)


REPLAYS = []


def watched(self, X, y, call=ReplayedLoss.__call__):
    found = call(self, X, y)
    REPLAYS.append(self._compiled.replays if self._compiled is not None else 0)
    return found


def ran(solver):
    """Return what is left of a run, whether it failed or not."""
    try:
        solver.train()
        error = None
    except Exception as failure:
        error = type(failure).__name__, str(failure)
    model = solver.model
    steps = {key: value for key, value in solver.history.steps.items() if key != "seconds"}
    epochs = {key: value for key, value in solver.history.epochs.items() if key != "seconds"}
    return bits([
        error, steps, epochs, solver.best_params, dict(solver.last_gradients), model.state_dict(),
        model.generator_state(), solver.optimizer.state_dict(), [p.grad for p in model.parameters()],
        [module.training for _, module in model.named_modules()],
        [callback.kept for callback in solver.callbacks if hasattr(callback, "kept")],
    ])  # fmt: skip


def assert_same_runs(monkeypatch, make, run=ran):
    """Assert that the runs of a solver with replays and without are the same; return how many steps were replayed."""
    REPLAYS.clear()
    monkeypatch.setattr(ReplayedLoss, "__call__", watched)
    replayed = run(make())
    monkeypatch.setattr(ReplayedLoss, "__call__", eager)
    assert run(make()) == replayed
    return max(REPLAYS, default=0)


OPTIONS = {"num_epochs": 4, "batch_size": 16, "verbose": False, "seed": 0}


@pytest.mark.parametrize("rule", ["sgd", "sgd_momentum", "adam"])
@pytest.mark.parametrize("model", [course, two_layers, modules, Own])
def test_a_run_is_the_same_in_bits(monkeypatch, model, rule):
    def make():
        return Solver(model(), data_of(), update_rule=rule, optim_config={"learning_rate": 0.01}, **OPTIONS)

    assert assert_same_runs(monkeypatch, make) >= 12  # of 20 steps, and four of the last, smaller batch among them


@pytest.mark.parametrize(
    "options",
    [
        {"callbacks": [Keeping()]},
        {"callbacks": [Keeping(every=1)]},
        {"augment": lambda X, rng: X + 0.1 * rng.standard_normal(X.shape)},
        {"prefetch": 2},
        {"optim_config": {"learning_rate": 0.01, "weight_decay": 0.1}},
        {"schedule": "cosine"},
        {"lr_decay": 0.5},
        {"replacement": True},
        {"class_weights": "balanced"},
        {"batch_size": 70},
        {"batch_size": 1},
        {"clip_norm": 0.1},
    ],
)
@pytest.mark.parametrize("model", [course, modules])
def test_options_of_a_run(monkeypatch, model, options):
    def make():
        return Solver(model(), data_of(), update_rule="adam", **copy.deepcopy({**OPTIONS, **options}))

    assert_same_runs(monkeypatch, make)


def thaws(solver):
    if solver.step == 8:
        solver.model.train()
        next(iter(solver.model.parameters())).write_(np.ones((12, 16)))


def drops_less(solver):
    if solver.step == 8:
        for _, module in solver.model.named_modules():
            if isinstance(module, nn.Dropout):
                module.keep_ratio = 0.4


def evaluates(solver):
    solver.model(np.ones((3, 12), np.float32))
    solver.model.eval()(np.ones((3, 12), np.float32))
    solver.model.train()


def clips(solver):
    if solver.step == 8:
        solver.optimizer.clip_value = 0.001


def sets_rate(solver):
    solver.optimizer.learning_rate *= 0.9


def gives_gradients(solver):
    for parameter in solver.model.parameters():
        parameter.grad = np.ones(parameter.shape)


def spoils_gradients(solver):
    for gradient in solver.last_gradients.values():
        gradient[...] = 7.0


@pytest.mark.parametrize(
    "edit", [thaws, drops_less, evaluates, clips, sets_rate, gives_gradients, spoils_gradients]
)
@pytest.mark.parametrize("model", [course, modules])
def test_callbacks_that_change_things(monkeypatch, model, edit):
    def make():
        return Solver(model(), data_of(), update_rule="adam", callbacks=[Keeping(edit=edit)], **OPTIONS)

    assert_same_runs(monkeypatch, make)


@pytest.mark.parametrize("model", [course, modules])
def test_a_model_in_evaluation_mode_before(monkeypatch, model):
    assert_same_runs(monkeypatch, lambda: Solver(model().eval(), data_of(), update_rule="adam", **OPTIONS))


@pytest.mark.parametrize("model", [course, modules])
def test_frozen_layers(monkeypatch, model):
    def make():
        made = model()
        next(iter(made.parameters())).requires_grad = False
        return Solver(made, data_of(), update_rule="adam", **OPTIONS)

    assert_same_runs(monkeypatch, make)


def test_a_module_with_state_in_python(monkeypatch):
    assert assert_same_runs(monkeypatch, lambda: Solver(Counting(), data_of(), update_rule="adam", **OPTIONS)) == 0


@pytest.mark.parametrize("place", [0, 2, 4, 9])
@pytest.mark.parametrize("model", [course, modules])
def test_a_loss_that_is_not_finite_stops_before_anything_moves(monkeypatch, model, place):
    def make():
        number = iter(range(1000))

        def spoil(X, rng):
            return X * (np.inf if next(number) == place else 1.0)

        return Solver(model(), data_of(), update_rule="adam", augment=spoil, **OPTIONS)

    assert_same_runs(monkeypatch, make)


@pytest.mark.parametrize("model", [course, modules])
def test_a_run_that_is_interrupted_and_goes_on(monkeypatch, model):
    def make():
        def interrupt(solver):
            if solver.step == 7 and not getattr(solver, "told", False):
                solver.told = True
                signal.raise_signal(signal.SIGINT)

        return Solver(model(), data_of(), update_rule="adam", callbacks=[Keeping(edit=interrupt)], **OPTIONS)

    def run(solver):
        return ran(solver), ran(solver), ran(copy.deepcopy(solver)), ran(solver)

    assert_same_runs(monkeypatch, make, run)


@pytest.mark.parametrize("model", [course, modules])
def test_a_run_that_is_resumed_from_its_files(monkeypatch, model, tmp_path):
    folders = [tmp_path / "replayed", tmp_path / "plain"]
    rest = iter(folders)

    def make():
        return Solver(model(), data_of(), update_rule="adam", checkpoint_dir=next(rest), **OPTIONS)

    def run(solver):
        first = ran(solver)
        folder = next(folder for folder in reversed(folders) if folder.exists())
        return first, ran(Solver.resume(folder, model(), data_of()))

    assert_same_runs(monkeypatch, make, run)

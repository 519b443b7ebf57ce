"""What Solver refuses: each with an error that names it, and with the model as it was."""

import numpy as np
import pytest
from solver_models import MODELS, Linear, copies, make_model, same, solve

import tinygrad_fc as tg


def with_one(value):
    return np.where(np.arange(40).reshape(20, 2) == 7, value, 0.0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"update_rule": "adamm"}, ValueError, "unknown update rule 'adamm'.*did you mean 'adam'"),
        ({"update_rule": 3}, TypeError, "update rule is a name"),
        ({"optim_config": {"lr": 0.1}}, ValueError, "sgd: unknown option 'lr'"),
        ({"optim_config": {"learning_rate": float("nan")}}, ValueError, "learning_rate must lie in"),
        ({"lr_decay": float("nan")}, ValueError, r"lr_decay must lie in \(0, inf\), got nan"),
        ({"lr_decay": 0.0}, ValueError, "lr_decay"),
        ({"lr_decay": "0.9"}, TypeError, "lr_decay must be a number"),
        ({"batch_size": 41}, ValueError, "batch_size is 41, but X_train has 40 samples"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 10.0}, TypeError, "batch_size must be an integer of at least 1, got 10.0"),
        ({"num_epochs": 0}, ValueError, "num_epochs"),
        ({"num_epochs": True}, TypeError, "num_epochs"),
        ({"num_train_samples": 0}, ValueError, "num_train_samples"),
        ({"num_val_samples": -3}, ValueError, "num_val_samples"),
        ({"print_every": 0}, ValueError, "print_every"),
        ({"momentum": 0.9}, TypeError, "momentum"),
    ],
)
def test_bad_arguments_are_named_and_leave_the_model_alone(arguments, error, message, data):
    model = make_model()
    before, arrays = copies(model), dict(model.params)
    with pytest.raises(error, match=message):
        solve(model, data, **arguments)
    assert same(before, copies(model))
    assert all(model.params[name] is array for name, array in arrays.items())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"X_val": None}, ValueError, "X_val is missing; it needs X_train, y_train, X_val and y_val"),
        ({"y_train": np.zeros(39, int)}, ValueError, r"X_train has shape \(40, 2\), y_train has \(39,\)"),
        ({"y_train": np.zeros((40, 1), int)}, ValueError, r"y_train has \(40, 1\); expected \(N, ...\) and \(N,\)"),
        ({"X_train": np.zeros(40)}, ValueError, r"X_train has shape \(40,\)"),
        ({"X_val": np.zeros((0, 2)), "y_val": np.zeros(0, int)}, ValueError, "X_val is empty"),
        ({"X_val": np.zeros((20, 3))}, ValueError, r"samples of X_val have shape \(3,\), of X_train \(2,\)"),
        ({"y_val": np.zeros(20)}, TypeError, r"y_val must hold integer labels, got dtype float64"),
        ({"y_val": np.full(20, -1)}, ValueError, "y_val has labels from -1 to -1, but the model scores 3 classes"),
        ({"y_train": np.arange(40)}, ValueError, r"labels from 0 to 39.*must lie in 0\.\.2"),
        ({"X_val": with_one(np.nan)}, ValueError, "X_val holds NaN or infinity"),
        ({"X_val": with_one(-np.inf)}, ValueError, "X_val holds NaN or infinity"),
        ({"X_val": with_one(np.inf)}, ValueError, "X_val holds NaN or infinity"),
        ({"X_val": np.full((20, 2), "a")}, TypeError, "X_val must hold real numbers"),
    ],
)
@pytest.mark.parametrize("kind", MODELS)
def test_bad_data_is_named(change, error, message, data, kind):
    given = {name: value for name, value in {**data, **change}.items() if value is not None}
    with pytest.raises(error, match=message):
        solve(MODELS[kind](), given)


def test_data_that_does_not_fit_the_model_is_found_before_training():
    X, y = np.zeros((4, 5)), np.zeros(4, int)
    wide = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    with pytest.raises(ValueError, match="5"):
        solve(make_model(), wide, batch_size=2)


def test_a_figure_that_is_not_measured_is_not_monitored(data):
    """The second evaluation compared None with None."""
    with pytest.raises(ValueError, match="monitor: given 'val_loss', expected one of train_acc, val_acc$"):
        solve(Linear(), data, monitor="val_loss")
    solve(Linear(), data, monitor="train_acc").train()
    targets = {**data, "y_train": data["X_train"], "y_val": data["X_val"]}
    with pytest.raises(ValueError, match="monitor: given 'val_acc', expected one of train_loss, val_loss$"):
        solve(tg.nn.Linear(2, 2, seed=0), targets, criterion=tg.nn.MSELoss(), monitor="val_acc")


def test_models_without_the_interface_are_named(data):
    with pytest.raises(TypeError, match="model must have params and loss, but object has no params"):
        solve(object(), data)


@pytest.mark.parametrize("scores", [np.zeros(3), np.zeros((2, 3)), 0.5])
def test_scores_of_a_wrong_shape_are_named(scores, data):
    class Odd(Linear):
        def loss(self, X, y=None):
            return scores

    with pytest.raises(ValueError, match=r"loss\(X\) of one sample returned shape .* expected scores"):
        solve(Odd(), data)


def test_models_whose_params_cannot_be_written_are_named(data):
    class Fresh(Linear):
        @property
        def params(self):
            return {"W": np.zeros((2, 3)), "b": np.zeros(3)}

        @params.setter
        def params(self, value):
            pass

    with pytest.raises(TypeError, match="Fresh.params makes a new object at each access"):
        solve(Fresh(), data)

    class Mine(tg.nn.Module):
        def __init__(self):
            self.layer = tg.nn.Linear(2, 3, seed=0)
            self.params = {path: parameter.data for path, parameter in self.named_parameters()}

        def loss(self, X, y=None):
            if y is None:
                return self.layer(tg.tensor(X)).data
            loss = tg.softmax_loss(self.layer(tg.tensor(X)), y)
            found = tg.gradients(loss, list(self.params.tensors.values()))
            return loss.item(), {name: d.data for name, d in zip(self.params, found, strict=True)}

    model = Mine()
    with pytest.raises(TypeError, match=r"Mine is a module.*tg\.models\.Params"):
        solve(model, data)
    model.params = tg.models.Params(dict(model.named_parameters()))
    solver = solve(model, data, optim_config={"learning_rate": 0.5})
    solver.train()
    assert solver.best_val_acc >= 0.9


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        ({}, "returned gradients of nothing"),
        ({"W": np.ones((2, 3)), "b": np.ones(2)}, r"gradient of b has shape \(2,\)"),
    ],
)
def test_gradients_that_do_not_fit_change_nothing(gradients, message, data):
    class Broken(Linear):
        def loss(self, X, y=None):
            return super().loss(X) if y is None else (0.0, gradients)

    model = Broken()
    with pytest.raises(ValueError, match=message):
        solve(model, data).train()
    assert not model.params["W"].any()
    assert not model.params["b"].any()


@pytest.mark.parametrize("error", [OSError, SystemExit, KeyboardInterrupt])
def test_a_step_that_anything_ends_leaves_the_running_statistics(error, data):
    class Fails(tg.models.FullyConnectedNet):
        def loss(self, X, y=None):
            result = super().loss(X, y)
            if y is not None:
                raise error("once")
            return result

    model = Fails([4], 2, 3, normalization="batchnorm", seed=0)
    before = model.state_dict()
    with pytest.raises(error, match="once"):
        solve(model, data).train()
    assert same(before, model.state_dict())


@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.parametrize("made", [np.ndarray.tolist, tuple, list])
def test_gradients_in_lists_are_looked_at_too(made, rule, data):
    class Lists(Linear):
        calls = 0

        def loss(self, X, y=None):
            result = super().loss(X, y)
            self.calls += y is not None
            if y is None:
                return result
            if self.calls == 3:
                result[1]["b"][1] = np.nan
            return result[0], {name: made(array) for name, array in result[1].items()}

    model = Lists()
    solver = solve(model, data, update_rule=rule)
    with pytest.raises(FloatingPointError, match=r"the gradient of b in iteration 3, .* has 1 of 3 elements"):
        solver.train()
    assert solver.step == 2
    assert all(np.isfinite(array).all() and array.any() for array in model.params.values())


def test_a_gradient_of_objects_is_refused(data):
    class Objects(Linear):
        def loss(self, X, y=None):
            return super().loss(X) if y is None else (0.0, {"W": np.full((2, 3), np.nan, object), "b": np.ones(3)})

    with pytest.raises(TypeError, match="dw must hold real numbers"):
        solve(Objects(), data).train()


def test_a_gradient_refused_late_changes_nothing(data):
    class Late(Linear):
        def loss(self, X, y=None):
            return super().loss(X) if y is None else (0.0, {"W": np.ones((2, 3)), "b": np.ones(3) * 1j})

    model = Late()
    solver = solve(model, data, update_rule="adam")
    with pytest.raises(TypeError, match="dw must hold real numbers"):
        solver.train()
    assert not model.params["W"].any()
    assert solver.optimizer.configs["W"]["t"] == 0
    assert "m" not in solver.optimizer.configs["W"]

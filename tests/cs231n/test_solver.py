"""The course's Solver: its random numbers and lines, for the course's networks and for a user's own model."""

# ruff: noqa: NPY002 - the course draws from the global generator

import copy

import numpy as np
import pytest

from tinygrad_fc import training
from tinygrad_fc.cs231n.classifiers.fc_net import TwoLayerNet
from tinygrad_fc.cs231n.layer_utils import affine_relu_backward, affine_relu_forward
from tinygrad_fc.cs231n.layers import affine_backward, affine_forward, softmax_loss
from tinygrad_fc.cs231n.solver import Solver


class Handmade:
    """A network with nothing but the course's two names, written with the course's layers."""

    def __init__(self):
        self.params = {
            "W1": 0.05 * np.random.randn(192, 20), "b1": np.zeros(20),
            "W2": 0.05 * np.random.randn(20, 10), "b2": np.zeros(10),
        }  # fmt: skip

    def loss(self, X, y=None):
        p = self.params
        hidden, first = affine_relu_forward(X, p["W1"], p["b1"])
        scores, second = affine_forward(hidden, p["W2"], p["b2"])
        if y is None:
            return scores
        loss, d = softmax_loss(scores, y)
        grads = {}
        d, grads["W2"], grads["b2"] = affine_backward(d, second)
        _, grads["W1"], grads["b1"] = affine_relu_backward(d, first)
        return loss, grads


def ours():
    return TwoLayerNet(192, 20, 10, weight_scale=0.05)


def solve(model, images, **options):
    settings = {"num_epochs": 2, "batch_size": 50, "optim_config": {"learning_rate": 1e-3}, "verbose": False}
    return Solver(model, images, **{**settings, **options})


@pytest.mark.parametrize("rule", ["sgd", "sgd_momentum", "rmsprop", "adam"])
def test_a_handmade_model_trains_as_ours_does(rule, images):
    histories = []
    for make in (ours, Handmade):
        np.random.seed(7)
        solver = solve(make(), images, update_rule=rule, lr_decay=0.9, num_train_samples=30)
        solver.train()
        histories.append((solver.loss_history, solver.train_acc_history, solver.val_acc_history))
    for one, other in zip(*histories, strict=True):
        assert one == pytest.approx(other, rel=1e-8)  # the updates walk blocks of other lengths: last bits differ
    assert histories[0][0][-1] < histories[0][0][0]


def test_draws_are_the_courses(images):
    """Batches by np.random.choice; samples for an accuracy too, when there are more than are asked for."""

    class Watched(Handmade):
        def __init__(self):
            super().__init__()
            self.batches, self.measured = [], []

        def loss(self, X, y=None):
            (self.measured if y is None else self.batches).append(X)
            return super().loss(X, y)

    np.random.seed(3)
    model = Watched()
    solver = solve(model, images, num_train_samples=20, num_val_samples=15)
    model.measured.clear()
    np.random.seed(5)
    solver.train()
    after = np.random.rand()

    np.random.seed(5)
    batches, measured = [], []
    for step in range(8):  # two epochs of 200 // 50 steps
        batches.append(images["X_train"][np.random.choice(200, 50)])
        if step in (0, 3, 7):
            measured.append(images["X_train"][np.random.choice(200, 20)])
            measured.append(images["X_val"][np.random.choice(40, 15)])
    for found, expected in ((model.batches, batches), (model.measured, measured)):
        assert len(found) == len(expected)
        assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    assert np.random.rand() == after


def test_a_seeded_notebook_repeats(images):
    def run(seed):
        np.random.seed(seed)
        solver = solve(ours(), images)
        solver.train()
        return solver.loss_history

    assert run(1) == run(1) != run(2)


def test_a_copied_solver_draws_from_the_global_generator_too(images):
    np.random.seed(1)
    solver = solve(ours(), images)
    twin = copy.deepcopy(solver)
    for one in (solver, twin):
        np.random.seed(2)
        one.train()
    assert twin.loss_history == solver.loss_history


def test_defaults_are_the_courses_and_no_bar_is_drawn(images, capsys):
    np.random.seed(0)
    solver = Solver(ours(), images)
    assert (solver.batch_size, solver.num_epochs, solver.num_train_samples) == (100, 10, 1000)
    assert (solver.num_val_samples, solver.print_every, solver.lr_decay, solver.verbose) == (None, 10, 1.0, True)
    assert solver.update_rule == "sgd"
    assert solver.optim_config["learning_rate"] == 1e-2
    solver = Solver(ours(), images, optim_config={"learning_rate": 1e-3}, num_epochs=1)
    solver.train()
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.splitlines() == [
        f"(Iteration 1 / 2) loss: {solver.loss_history[0]:f}",
        f"(Epoch 0 / 1) train acc: {solver.train_acc_history[0]:f}; val_acc: {solver.val_acc_history[0]:f}",
        f"(Epoch 1 / 1) train acc: {solver.train_acc_history[1]:f}; val_acc: {solver.val_acc_history[1]:f}",
    ]


def test_check_accuracy(images):
    model = ours()
    solver = solve(model, images)
    X, y = images["X_val"], images["y_val"]
    share = float((np.argmax(model.loss(X), axis=1) == y).mean())
    assert solver.check_accuracy(X, y) == share
    assert solver.check_accuracy(X, y, None, 7) == share
    assert solver.check_accuracy(X, y, num_samples=8, batch_size=3) * 8 in range(9)


def test_the_best_parameters_are_put_back(images):
    np.random.seed(0)
    model = Handmade()
    solver = solve(model, images, num_epochs=4, optim_config={"learning_rate": 2e-2})
    solver.train()
    assert solver.best_val_acc == max(solver.val_acc_history)
    assert solver.check_accuracy(images["X_val"], images["y_val"]) == solver.best_val_acc
    assert all(np.array_equal(model.params[name], value) for name, value in solver.best_params.items())


def test_refusals(images):
    model = ours()
    assert issubclass(Solver, training.Solver)
    with pytest.raises(ValueError, match=r"checkpoint_name: given 'best', expected None: .*best_params"):
        Solver(model, images, checkpoint_name="best")
    with pytest.raises(ValueError, match="unknown update rule 'ftrl'"):
        Solver(model, images, update_rule="ftrl")
    with pytest.raises(TypeError, match="learning_rate"):
        Solver(model, images, learning_rate=1e-3)
    with pytest.raises(TypeError, match="positional"):
        Solver(model, images, "adam")

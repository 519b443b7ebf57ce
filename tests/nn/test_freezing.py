"""Frozen parameters: constants of the tape that no optimizer moves, and that belong to the state all the same."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn

X = np.linspace(-1.0, 2.0, 24).reshape(4, 6)
Y = np.array([0, 2, 1, 2])


def network(**options: Any) -> Any:
    return tg.models.FullyConnectedNet([5], 6, 3, seed=0, dtype=np.float64, weight_scale=0.5, **options)


def test_a_frozen_parameter_is_a_constant() -> None:
    p = nn.Parameter([1.0, 2.0])
    p.name = "p"
    (p * p).sum().backward()
    p.requires_grad = False
    assert not p.requires_grad
    assert p.grad is None
    assert p.name == "p"
    assert p.is_leaf
    assert not (p * 2.0).requires_grad
    q = nn.Parameter([3.0, 4.0])
    loss = (p * q).sum()
    assert [(box.kind, box.name) for box in tg.Graph(loss).nodes[:2]] == [("constant", "p"), ("parameter", None)]
    loss.backward()
    assert q.grad.tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match="needs no gradient"):
        p.grad = np.ones(2)
    p.name = "renamed"
    p.requires_grad = True
    assert p.name == "renamed"
    assert p.grad is None
    (p * q).sum().backward()
    assert p.grad.tolist() == [3.0, 4.0]
    for wrong in (0, None, "no"):
        with pytest.raises(TypeError, match="^Parameter: requires_grad: given .*, expected True or False"):
            p.requires_grad = wrong
    assert not nn.Parameter([1.0], requires_grad=False).requires_grad


def test_graphs_from_before_hold_and_turn_stale() -> None:
    p = nn.Parameter([1.0, 2.0])
    q = nn.Parameter([3.0, 4.0])
    first, second = (p * p * q).sum(), (p * q).sum()
    p.requires_grad = False
    first.backward()  # recorded while it was trained
    assert q.grad.tolist() == [1.0, 4.0]
    assert p.grad is None
    home = p.data
    p.data = [5.0, 6.0]
    assert p.data is home
    with pytest.raises(RuntimeError, match="overwritten"):
        second.backward()
    p.requires_grad = True
    assert p.grad is None


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_modules_with_frozen_parameters(copied: Any) -> None:
    model = network()
    model.fc1.W.requires_grad = False
    other = copied(model)
    for net in (model, other):
        assert [p.requires_grad for p in net.parameters()] == [False, True, True, True]
        assert list(net.state_dict()) == ["fc1.W", "fc1.b", "fc2.W", "fc2.b"]
        found = net.summary((4, 6))
        assert (found.parameters, found.trainable) == (30 + 5 + 15 + 3, 5 + 15 + 3)
        net.zero_grad()
    other.load_state_dict({path: value + 1.0 for path, value in model.state_dict().items()})
    np.testing.assert_array_equal(other.fc1.W.data, model.fc1.W.data + 1.0)


@pytest.mark.parametrize("fused", [True, False])
def test_the_loss_has_no_gradient_of_what_is_frozen(fused: bool) -> None:
    model = network(fused=fused, reg=0.1, normalization="batchnorm")
    loss, grads = model.loss(X, Y)
    for name in ("W1", "gamma1"):
        model.params.tensors[name].requires_grad = False
    again, some = model.loss(X, Y)
    assert again == loss
    assert list(some) == [name for name in grads if name not in ("W1", "gamma1")]
    for name, d in some.items():
        np.testing.assert_allclose(d, grads[name], rtol=1e-12, atol=1e-15)
    for tensor in model.params.tensors.values():
        tensor.requires_grad = False
    assert model.loss(X, Y) == (loss, {})
    with pytest.raises(ValueError, match="has 3 at row 0"):
        model.loss(X, Y * 0 + 3)


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_optimizers_leave_it_out(rule: str) -> None:
    model = network()
    model.fc1.W.requires_grad = False
    before = model.state_dict()
    optimizer = tg.optim.Optimizer(model, rule, learning_rate=0.1)
    model.loss_tensor(X, Y).backward()
    optimizer.step()
    after = model.state_dict()
    assert [path for path in before if np.array_equal(before[path], after[path])] == ["fc1.W"]
    with pytest.raises(TypeError, match="W1 requires no gradient"):
        tg.optim.Optimizer(model.params.tensors, rule)


def test_freezing_under_an_optimizer_is_said_before_anything_moves() -> None:
    model = network()
    optimizer = tg.optim.Optimizer(model.params.tensors, "adam")
    gradients = model.loss(X, Y)[1]
    model.fc1.W.requires_grad = False
    before, config = model.state_dict(), optimizer.config
    model.loss_tensor(X, Y).backward()
    for given in (None, gradients, model.loss(X, Y)[1]):
        with pytest.raises(ValueError, match="^step: W1 was frozen .* make a new optimizer"):
            optimizer.step(given)
        for path, value in model.state_dict().items():
            np.testing.assert_array_equal(value, before[path])
    assert optimizer.config == config
    optimizer.zero_grad()
    assert model.fc2.W.grad is None
    model.fc1.W.requires_grad = True
    optimizer.step(gradients)
    assert not np.array_equal(model.fc1.W.data, before["fc1.W"])


def test_a_solver_trains_the_rest() -> None:
    data = tg.data.load_digits()
    model = tg.models.FullyConnectedNet([20], 64, 10, seed=0, weight_scale=None)
    model.fc1.W.requires_grad = False
    before = model.state_dict()
    solver = tg.training.Solver(model, data, "adam", {"learning_rate": 1e-2}, num_epochs=3, verbose=False, seed=0)
    solver.train()
    np.testing.assert_array_equal(model.fc1.W.data, before["fc1.W"])
    assert not np.array_equal(model.fc2.W.data, before["fc2.W"])
    assert solver.best_val_acc > 0.4

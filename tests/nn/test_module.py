"""Module and Parameter: names by attribute path, state that travels whole or not at all, training mode, storage."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn


class Block(nn.Module):
    def __init__(self, seed: int) -> None:
        self.scale = nn.Parameter(np.ones(3))
        self.fc = nn.Linear(3, 3, seed=seed, dtype=np.float64)

    def forward(self, x: Any) -> Any:
        return self.fc(x) * self.scale


class Net(nn.Module):
    def __init__(self) -> None:
        self.first = Block(0)
        self.more = [Block(1), nn.ReLU()]
        self.heads = {"a": nn.Linear(3, 2, seed=2, dtype=np.float64)}
        self.bias = nn.Parameter([0.0, 0.0])
        self.count = 3

    def forward(self, x: Any) -> Any:
        for layer in (self.first, *self.more, self.heads["a"]):
            x = layer(x)
        return x + self.bias


NAMES = [
    "first.scale",
    "first.fc.W",
    "first.fc.b",
    "more.0.scale",
    "more.0.fc.W",
    "more.0.fc.b",
    "heads.a.W",
    "heads.a.b",
    "bias",
]


def test_names_are_attribute_paths() -> None:
    net = Net()
    assert sorted(name for name, _ in net.named_parameters()) == sorted(NAMES)
    for name, parameter in net.named_parameters():
        assert parameter.name == name
    assert len(list(net.parameters())) == 9
    assert [path for path, _ in net.named_modules()] == [
        "",
        "first",
        "first.fc",
        "more.0",
        "more.0.fc",
        "more.1",
        "heads.a",
    ]
    assert repr(net).splitlines()[-3:] == ["  heads.a: Linear(3 -> 2)", "  bias: Parameter(2,)", ")"]


def test_a_shared_parameter_is_yielded_once_and_gets_both_gradients() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            self.a = nn.Linear(2, 2, seed=0, dtype=np.float64)
            self.b = nn.Linear(2, 2, seed=1, dtype=np.float64)
            self.b.W = self.a.W

        def forward(self, x: Any) -> Any:
            return self.b(self.a(x))

    net = Tied()
    assert [name for name, _ in net.named_parameters()] == ["a.W", "a.b", "b.b"]
    x = np.array([[1.0, 2.0]])
    net(x).sum().backward()
    h = x @ net.a.W.data
    np.testing.assert_allclose(net.a.W.grad, h.T @ np.ones((1, 2)) + x.T @ (np.ones((1, 2)) @ net.a.W.data.T))


def test_training_mode_reaches_everything() -> None:
    net = Net()
    assert all(module.training for _, module in net.named_modules())
    assert net.eval() is net
    assert not any(module.training for _, module in net.named_modules())
    assert net.train() is net
    assert all(module.training for _, module in net.named_modules())


def test_zero_grad() -> None:
    net = Net()
    net(np.ones((1, 3))).sum().backward()
    assert any(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_state_goes_round() -> None:
    net, other = Net(), Net()
    for p in net.parameters():
        p.data = p.data + 1.0
    state = net.state_dict()
    assert list(state) == [name for name, _ in net.named_parameters()]
    homes = [p.data for p in other.parameters()]
    other.load_state_dict(state)
    for p, q, home in zip(net.parameters(), other.parameters(), homes, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
        assert q.data is home  # written into the same storage
    x = np.ones((2, 3))
    np.testing.assert_array_equal(net(x).data, other(x).data)
    state["bias"][...] = 99.0  # the state is a copy
    assert (net.bias.data == 1.0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("bias"), r"missing bias \(2,\)"),
        (lambda s: s.update(extra=np.ones(3)), r"unexpected extra \(3,\)"),
        (lambda s: s.update(bias=np.ones(3)), r"'bias': given shape \(3,\), expected \(2,\)"),
        (lambda s: s.update(bias=np.ones(2, complex)), r"'bias': cannot cast complex128 to float64"),
        (lambda s: s.update(bias="ab"), r"'bias'"),
        (
            lambda s: s.update({"bias": np.ones(3), "heads.a.b": np.ones(1)}),
            r"('heads.a.b'.*'bias'|'bias'.*'heads.a.b')",
        ),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change: Any, message: str) -> None:
    net = Net()
    before, state = net.state_dict(), {name: a + 1.0 for name, a in Net().state_dict().items()}
    change(state)
    with pytest.raises(
        ValueError, match=rf"load_state_dict: the state is not of this Net, nothing was changed: .*{message}"
    ):
        net.load_state_dict(state)
    for name, p in net.named_parameters():
        np.testing.assert_array_equal(p.data, before[name])


def test_a_stale_graph_is_refused_after_loading() -> None:
    net = Net()
    loss = net(np.ones((1, 3))).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(RuntimeError, match="leaf '[a-z.0-9W]+' .* was overwritten"):
        loss.backward()


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["deepcopy", "pickle"]
)
def test_modules_are_copied_whole(copied: Any) -> None:
    net = Net()
    other = copied(net)
    assert [name for name, _ in other.named_parameters()] == [name for name, _ in net.named_parameters()]
    assert [p.name for p in other.parameters()] == [p.name for p in net.parameters()]
    x = np.ones((2, 3))
    np.testing.assert_array_equal(net(x).data, other(x).data)
    for p, q in zip(net.parameters(), other.parameters(), strict=True):
        assert type(q) is nn.Parameter
        assert not np.shares_memory(p.data, q.data)


def test_a_module_without_forward_says_so() -> None:
    class Empty(nn.Module):
        pass

    with pytest.raises(TypeError, match="Empty has no forward: write"):
        Empty()(1)


# ---- Parameter


def test_parameters_are_floats() -> None:
    assert nn.Parameter([1.0, 2.0]).dtype == np.float64
    assert nn.Parameter([1, 2], dtype=np.float32).dtype == np.float32
    assert nn.Parameter(tg.tensor([1.0])).tolist() == [1.0]
    for wrong in ([1, 2], [True], [1j]):
        with pytest.raises(TypeError, match="not floating point"):
            nn.Parameter(wrong)


def test_writing_keeps_the_storage_and_ages_the_graph() -> None:
    p = nn.Parameter([1.0, 2.0])
    home, loss = p.data, (p * p).sum()
    p.write_([3, 4])
    assert p.data is home
    assert home.tolist() == [3.0, 4.0]
    with pytest.raises(RuntimeError, match="overwritten"):
        loss.backward()
    p.data = p.data[::-1]  # a view of its own storage
    assert home.tolist() == [4.0, 3.0]
    p.data -= 1.0
    assert home.tolist() == [3.0, 2.0]
    number = p.node.number
    p.touch_()
    assert p.node.number > number
    for wrong, error in (([1.0], ValueError), (np.ones((2, 1)), ValueError), (np.ones(2, complex), TypeError)):
        with pytest.raises(error):
            p.write_(wrong)
        assert home.tolist() == [3.0, 2.0]


def test_moving_to_another_storage() -> None:
    p = nn.Parameter([1.0, 2.0])
    arena = np.zeros(5)
    p.move_(arena[1:3])
    assert arena.tolist() == [0.0, 1.0, 2.0, 0.0, 0.0]
    p.data = [5.0, 6.0]
    assert arena.tolist() == [0.0, 5.0, 6.0, 0.0, 0.0]
    for wrong in (np.zeros(3), np.zeros(2, np.float32)):
        with pytest.raises(ValueError, match=r"move_: storage is .*, expected \(2,\) float64"):
            p.move_(wrong)
    assert np.shares_memory(p.data, arena)

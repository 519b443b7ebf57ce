"""How modules read, and Sequential as a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn

LAYERS = [
    (nn.Linear(8, 6), "Linear(8 -> 6)"),
    (nn.Linear(8, 6, "relu", fused=False), "Linear(8 -> 6, activation='relu', fused=False)"),
    (nn.BatchNorm1d(6), "BatchNorm1d(6, momentum=0.9, eps=1e-05)"),
    (nn.LayerNorm(6, eps=0.5), "LayerNorm(6, eps=0.5)"),
    (nn.Dropout(0.3), "Dropout(keep_ratio=0.3)"),
    (nn.Softmax(None), "Softmax()"),
    (nn.Hardtanh(-2, 2, fused=False), "Hardtanh(min_val=-2, max_val=2, fused=False)"),
    (nn.SoftmaxLoss(), "SoftmaxLoss()"),
    (nn.SVMLoss(squared=True), "SVMLoss(delta=1.0, squared=True, reduction='mean')"),
    (nn.NLLLoss([1.0, 2.0], "sum"), "NLLLoss(weight=array(2,), reduction='sum', ignore_index=-100)"),
    (nn.KLDivLoss(), "KLDivLoss(reduction='mean', log_target=False)"),
    (nn.Sequential(), "Sequential()"),
]


@pytest.mark.parametrize(("layer", "text"), LAYERS, ids=[text for _, text in LAYERS])
def test_layers_show_their_options(layer: nn.Module, text: str) -> None:
    assert repr(layer) == text


def test_a_network_is_a_tree() -> None:
    class Scaled(nn.Linear):
        def __init__(self) -> None:
            super().__init__(3, 3)
            self.scale = nn.Parameter(np.ones(3))

    class Net(nn.Module):
        def __init__(self) -> None:
            self.first = Scaled()
            self.more = [nn.Sequential(nn.ReLU(), nn.Dropout(0.5)), {"a": nn.Linear(3, 2)}]
            self.twin = self.first
            self.shifts = [nn.Parameter([1.0])]
            self.count = 3

    net = Net()
    net.self = net
    assert repr(net).splitlines() == [
        "Net(",
        "  first: Scaled(3 -> 3",
        "    scale: Parameter(3,)",
        "  )",
        "  more.0: Sequential(",
        "    0: ReLU()",
        "    1: Dropout(keep_ratio=0.5)",
        "  )",
        "  more.1.a: Linear(3 -> 2)",
        "  twin: first, again",
        "  shifts.0: Parameter(1,)",
        "  self: the whole, again",
        ")",
    ]
    model = tg.models.TwoLayerNet(4, 5, 3)
    assert repr(model).splitlines()[1:-1] == [
        "  fc1: Linear(4 -> 5, activation='relu')", "  fc2: Linear(5 -> 3)", "  criterion: SoftmaxLoss()",
    ]  # fmt: skip


# ---- Sequential


def row() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4, seed=0), nn.ReLU(), nn.Linear(4, 2, seed=1))


def test_a_sequential_is_a_sequence() -> None:
    net = row()
    modules = list(net)
    assert len(net) == 3
    assert [type(module).__name__ for module in modules] == ["Linear", "ReLU", "Linear"]
    assert net[0] is modules[0] is getattr(net, "0")
    assert net[-1] is net[np.int64(2)] is modules[2]
    for wrong in (3, -4):
        with pytest.raises(IndexError, match=f"Sequential: index {wrong} is out of range for 3 modules"):
            net[wrong]
    with pytest.raises(TypeError, match="Sequential: index 'a', expected an integer or a slice"):
        net["a"]


def test_a_slice_shares_the_modules_and_leaves_their_names() -> None:
    net = row()
    x = np.ones((2, 3), np.float32)
    tail = net[1:]
    assert type(tail) is nn.Sequential
    assert list(tail) == list(net)[1:]
    np.testing.assert_array_equal(tail(net[:1](x)).data, net(x).data)
    places = [box.module for box in tg.Graph(net(x)).nodes if box.op == "affine"]
    assert places == [("Sequential", "0"), ("Sequential", "2")]
    assert net[2].W.name == "2.W"
    assert [type(module) for module in net[::-1]] == [nn.Linear, nn.ReLU, nn.Linear]
    assert len(net[3:]) == 0
    assert list(dict(tail.named_parameters())) == ["1.W", "1.b"]
    longer = nn.Sequential(*net, nn.Tanh())
    np.testing.assert_allclose(longer(x).data, np.tanh(net(x).data))


def test_what_would_not_run_has_no_place() -> None:
    net = row()
    for name in ("3", "17"):
        with pytest.raises(ValueError, match=rf"^Sequential: '{name}' is no place among 3 modules, .*\(\*net,"):
            setattr(net, name, nn.ReLU())
    for value in (None, 3, np.exp, nn.Parameter([1.0])):
        with pytest.raises(TypeError, match="^Sequential: given .* for place 1, expected a Module"):
            setattr(net, "1", value)
    setattr(net, "1", nn.Tanh())
    assert type(net[1]) is nn.Tanh
    assert len(list(net.parameters())) == 4
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(net(x).data, net[2](np.tanh(net[0](x).data)).data)


# ---- nn.functional calls arguments as its signatures do


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: f.nll_loss(np.ones((2, 3)), [0, 3]), ValueError,
         r"nll_loss: target \(the labels\) has 3 at row 1, expected 0 to 2 for the 3 columns of input"),
        (lambda f: f.cross_entropy(np.ones(2), [0, 1]), ValueError, r"cross_entropy: input \(the scores\) has shape"),
        (lambda f: f.mse_loss(np.ones(2), np.ones(3)), ValueError, r"expected \(2,\), that of input"),
        (lambda f: f.nll_loss(np.ones((2, 3)), [[0], [1]]), ValueError, r"np\.ravel\(target\)"),
        (lambda f: f.kl_div(np.array(["a"]), np.ones(1)), TypeError, "kl_div: input has dtype <U1"),
        (lambda f: f.smooth_l1_loss(np.ones(2), np.ones(3)), ValueError, "that of input"),
    ],
)
def test_errors_of_functional_losses(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(nn.functional)


# ---- labels


@pytest.mark.parametrize(
    ("y", "error", "cure"),
    [
        (["cat", "dog"], TypeError, r"Names become integers with np\.unique\(y, return_inverse=True\)\[1\]"),
        (np.array(["cat", "dog"], object), TypeError, r"Names become integers with np\.unique"),
        ([0.0, 1.0], TypeError, r"expected integers: np\.asarray\(y, dtype=int\)\.$"),
        ([True, False], TypeError, r"expected integers: np\.asarray\(y, dtype=int\)\.$"),
        ([None, 1], TypeError, r"has dtype object, expected integers\.$"),
        ([[0], [1, 2]], ValueError, r"^softmax_loss: y \(the labels\): no rectangular array"),
    ],
)
@pytest.mark.parametrize("fused", [True, False])
def test_the_cure_fits_the_labels(y: Any, error: type[Exception], cure: str, fused: bool) -> None:
    with pytest.raises(error, match=cure) as caught:
        nn.SoftmaxLoss(fused=fused)(np.ones((2, 3)), y)
    if "np.unique" in str(caught.value):
        assert np.unique(y, return_inverse=True)[1].tolist() == [0, 1]
    assert str(caught.value).startswith("softmax_loss: y (the labels)")

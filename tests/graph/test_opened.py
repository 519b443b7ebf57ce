"""Fused operations opened inside their graph, graphs without outputs, and where parameters stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.graph.fold import fold
from tinygrad_fc.graph.view import view


def network(layers: int = 2) -> tg.Tensor:
    model = tg.models.FullyConnectedNet([5] * layers, input_dim=6, num_classes=3, seed=0, normalization="batchnorm")
    return model.loss_tensor(np.ones((4, 6), np.float32), np.array([0, 2, 1, 1]))


# ---- opened


def test_all_of_them() -> None:
    graph = tg.Graph(network())
    opened = graph.opened()
    assert opened.nodes[: len(graph)] == graph.nodes
    assert opened.outputs == graph.outputs
    fused = {box.id for box in graph.nodes if box.kind == "op"}
    inside: dict[int, list[Any]] = {}
    for box in opened.nodes[len(graph) :]:
        assert box.inside is not None
        inside.setdefault(box.inside, []).append(box)
    assert set(inside) == fused
    for id, boxes in inside.items():
        assert (boxes[-1].shape, boxes[-1].dtype) == (graph.nodes[id].shape, graph.nodes[id].dtype)
        given = {source for _, source in graph.nodes[id].inputs}
        own = {box.id for box in boxes}
        read = {source for box in boxes for _, source in box.inputs}
        assert read - own == given  # it reads what the operation reads, and nothing of another's inside
        alone = graph.expand(id)
        assert [box.op for box in alone.nodes if box.op] == [box.op for box in boxes if box.op]
    assert opened.order() == graph.order()


@pytest.mark.parametrize(("which", "ops"), [(["relu"], {"relu"}), ("softmax_loss", {"softmax_loss"}), ([], set())])
def test_some_of_them(which: Any, ops: set[str]) -> None:
    graph = tg.Graph(network())
    opened = graph.opened(which)
    assert {graph.nodes[box.inside].op for box in opened.nodes if box.inside is not None} == ops


def test_by_id() -> None:
    graph = tg.Graph(network())
    (last,) = graph.outputs
    assert {box.inside for box in graph.opened([last]).nodes} == {None, last}


@pytest.mark.parametrize("which", [["tanh"], [0], "relu6", [999]])
def test_what_is_not_fused_is_refused(which: Any) -> None:
    with pytest.raises(ValueError, match=r"is no fused operation of this graph; it has: affine, batch_norm, relu,"):
        tg.Graph(network()).opened(which)


def test_the_same_input_twice() -> None:
    x = tg.tensor(np.ones((3, 3)), requires_grad=True, name="x")
    b = tg.tensor(np.ones(3), requires_grad=True)
    graph = tg.Graph(tg.affine(x, x, b)).opened()
    matmul = next(box for box in graph.nodes if box.op == "matmul")
    assert {graph.nodes[source].name for _, source in matmul.inputs} == {"x"}


def test_an_open_operation_is_a_cluster() -> None:
    graph = tg.Graph(network()).opened(["softmax_loss"])
    (fused,) = [group for group in fold(graph).groups() if group.kind == "fused"]
    assert fused.box is graph.nodes[graph.outputs[0]]
    shown = view(graph, fold(graph))
    assert fused.result is not None
    assert shown.keys[graph.outputs[0]] == f"n{fused.result}"
    assert f"n{graph.outputs[0]}" not in {item.key for item in shown.root.boxes()}


# ---- without outputs


def test_whatever_is_on_the_tape() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    a, b = x * 2.0, np.exp(x)
    assert a.node is not None
    assert b.node is not None
    graph = tg.Graph.of([a.node, b.node], {b.node: "too large"})
    assert [graph.nodes[id].op for id in graph.outputs] == ["multiply", "exp"]
    assert [box.mark for box in graph.nodes] == [None, None, "too large"]
    with pytest.raises(ValueError, match=r"Graph.of: given no node"):
        tg.Graph.of([])


# ---- where a parameter stands


class Twice(nn.Module):
    """Calls one module twice, between two others."""

    def __init__(self) -> None:
        self.fc, self.last = nn.Linear(3, 3, seed=0), nn.Linear(3, 1, seed=0)

    def forward(self, x: Any) -> Any:
        return self.last(self.fc(self.fc(x)))


def homes(out: tg.Tensor) -> dict[str, tuple[str, ...]]:
    return {box.name or "": box.module for box in tg.Graph(out).nodes if box.kind == "parameter"}


def test_what_two_calls_share_stands_around_them() -> None:
    out = Twice()(np.ones((2, 3), np.float32)).sum()
    assert homes(out)["fc.W"] == ("Twice",)
    assert homes(out)["last.W"] == ("Twice", "last")
    calls = [box.calls for box in tg.Graph(out).nodes if box.module == ("Twice", "fc") and box.op]
    assert len(calls) == 2
    assert calls[0] != calls[1]


def test_a_penalty_leaves_the_weight_in_its_layer() -> None:
    net = Twice()
    out = net(np.ones((2, 3), np.float32)).sum() + tg.l2_penalty(net.last.W, 0.1)
    assert homes(out)["last.W"] == ("Twice", "last")


def test_a_penalty_before_the_layer_takes_the_weight_out() -> None:
    net = Twice()
    penalty = tg.l2_penalty(net.last.W, 0.1)
    assert homes(net(np.ones((2, 3), np.float32)).sum() + penalty)["last.W"] == ()


def test_an_operation_of_many_operands(registry: None) -> None:
    total = tg.fused_op(
        lambda scale, *xs: scale * sum(xs), compose=lambda scale, *xs: sum(xs[1:], start=xs[0]) * scale, name="total",
        scale=None, xs=lambda g, scale, index: scale * g,
    )  # fmt: skip
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    graph = tg.Graph(total(3.0, x, x * 2.0, np.ones(2)))
    assert [box.op for box in graph.expand(graph.outputs[0]).nodes if box.op] == ["add", "add", "multiply"]
    opened = graph.opened()
    inside = [box for box in opened.nodes if box.inside is not None]
    assert {source for box in inside for _, source in box.inputs} >= {source for _, source in graph.nodes[-1].inputs}


def test_a_box_of_another_graph_is_refused() -> None:
    graph, other = tg.Graph(network()), tg.Graph(network(3))
    box = next(box for box in other.nodes if box.op == "softmax_loss")
    with pytest.raises(ValueError, match=r"expand: box \d+, softmax_loss, is of another graph: expand it there"):
        graph.expand(box)
    assert len(other.opened(()).expand(box)) == len(other.expand(box.id))  # a copy has the same boxes

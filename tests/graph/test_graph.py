"""Graph: the tape as data. What is in it, in which order, under which names, opened, and after backward."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.graph import brief


def rows(graph: tg.Graph) -> list[Any]:
    return [(box.kind, box.op, box.name, box.shape) for box in graph.nodes]


def example() -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
    w = tg.tensor(np.ones((3, 2)), requires_grad=True, name="w")
    x = tg.tensor(np.ones((4, 3)), name="x")
    return x, w, (np.tanh(x @ w) * 2.0).sum(axis=0)


def test_what_was_computed_stands_there_oldest_first() -> None:
    _, _, out = example()
    graph = tg.Graph(out)
    assert rows(graph) == [
        ("constant", None, "x", (4, 3)),
        ("parameter", None, "w", (3, 2)),
        ("op", "matmul", None, (4, 2)),
        ("op", "tanh", None, (4, 2)),
        ("op", "multiply", None, (4, 2)),
        ("op", "sum", None, (2,)),
    ]
    assert [box.inputs for box in graph.nodes[2:]] == [[("x", 0), ("y", 1)], [("x", 2)], [("x", 3)], [("a", 4)]]
    assert graph.nodes[4].numbers == {"y": 2.0}
    assert graph.nodes[5].static == {"axis": 0}
    assert graph.outputs == [5]
    assert [box.id for box in graph.nodes] == list(range(6))
    assert len(graph) == 6
    assert repr(graph) == "<Graph of 4 operations, 2 inputs>"
    assert repr(tg.Graph(np.exp(tg.tensor(1.0, requires_grad=True)))) == "<Graph of 1 operation, 1 input>"
    assert all(source < box.id for box in graph.nodes for _, source in box.inputs)


def test_it_prints_as_a_table() -> None:
    _, _, out = example()
    assert str(tg.Graph(out)).splitlines()[1:] == [
        "  0  input     x     (4, 3)",
        "  1  leaf      w     (3, 2)",
        "  2  matmul          (4, 2)  x=0 y=1",
        "  3  tanh            (4, 2)  x=2",
        "  4  multiply        (4, 2)  x=3 y=2.0",
        "  5  sum       out   (2,)    a=4 axis=0",
    ]


def test_the_table_has_modules_and_lines_where_there_are_any() -> None:
    net = nn.Sequential(nn.Linear(3, 2, seed=0), nn.Tanh())
    text = str(tg.Graph(net(np.ones((4, 3))).sum())).splitlines()
    assert [line.split() for line in (text[0], text[4], text[5], text[6])] == [
        ["id", "what", "name", "shape", "module", "inputs"],
        ["3", "affine", "(4,", "2)", "Sequential/0", "x=0", "w=1", "b=2"],
        ["4", "tanh", "(4,", "2)", "Sequential/1", "x=3"],
        ["5", "sum", "()", "a=4"],
    ]
    _, w, _ = example()
    with tg.observe():
        out = w * 2.0
    text = str(tg.Graph(out)).splitlines()
    assert text[0].split() == ["id", "what", "name", "shape", "line", "time", "kept", "inputs"]
    assert text[1].split() == ["0", "leaf", "w", "(3,", "2)"]
    assert text[2].split()[:3] == ["1", "multiply", "out"]
    assert text[2].split()[5].startswith("test_graph.py:")
    assert text[2].split()[7] in ("s", "ms", "µs")
    assert text[2].split()[8:] == ["0", "B", "x=0", "y=2.0"]


def test_a_shared_tensor_is_one_box() -> None:
    x = tg.tensor(1.0, requires_grad=True)
    h = x
    for _ in range(18):
        h = h + h
    graph = tg.Graph(h)
    assert len(graph) == 19
    assert graph.nodes[1].inputs == [("x", 0), ("y", 0)]


def test_several_outputs_share_their_boxes() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    h = x * 2.0
    graph = tg.Graph(h.sum(), h, np.exp(h))
    assert [graph.nodes[n].op for n in graph.outputs] == ["sum", "multiply", "exp"]
    assert len(graph) == 4


def test_operands_of_a_variadic_operation_are_numbered() -> None:
    x, y = (tg.tensor(np.ones(2), requires_grad=True, name=name) for name in "xy")
    graph = tg.Graph(np.concatenate([x, np.zeros(1), y]))
    box = graph.nodes[-1]
    assert [(argument, graph.nodes[source].name) for argument, source in box.inputs] == [
        ("arrays[0]", "x"),
        ("arrays[1]", None),
        ("arrays[2]", "y"),
    ]


def test_a_freed_graph_is_still_read() -> None:
    _, _, out = example()
    before = tg.Graph(out).to_dict()
    kept = [node["facts"].pop("saved_bytes", None) for node in before["nodes"]]
    assert kept == [None, None, (4 * 3 + 3 * 2) * 8, 4 * 2 * 8, 0, 0]  # what it kept is the one thing that is gone
    out.sum().backward()
    assert tg.Graph(out).to_dict() == before


def test_the_place_of_a_leaf_does_not_change_when_it_is_written() -> None:
    _, w, out = example()
    before = tg.Graph(out).to_dict()
    w.data -= 1.0
    assert tg.Graph(out).to_dict() == before


def test_what_has_no_graph_says_so() -> None:
    with tg.no_grad():
        unrecorded = example()[2]
    for wrong, message in (
        (np.ones(2), "output 0 is ndarray, expected a Tensor"),
        (tg.tensor(1.0), r"output 0, tensor \(\), has no graph: no input of it needs a gradient"),
        (unrecorded, "computed under no_grad"),
    ):
        with pytest.raises(TypeError, match=message):
            tg.Graph(wrong)
    with pytest.raises(TypeError, match="output 1 is float"):
        tg.Graph(example()[2], 1.0)
    with pytest.raises(TypeError, match="given no output"):
        tg.Graph()


def test_a_deep_graph_needs_no_recursion() -> None:
    h = tg.tensor(1.0, requires_grad=True)
    for _ in range(20_000):
        h = h + 1.0
    graph = tg.Graph(h)
    assert len(graph) == 20_001
    assert graph.nodes[-1].inputs == [("x", 19_999)]


# ---- fused operations are opened


def test_a_fused_operation_opens_into_its_composition() -> None:
    w, b = tg.tensor(np.ones((6, 2)), requires_grad=True, name="w"), tg.tensor(np.ones(2), requires_grad=True, name="b")
    out = tg.affine_relu(np.ones((4, 2, 3)), w, b)
    loss = tg.softmax_loss(out, np.array([0, 1, 1, 0]))
    graph = tg.Graph(loss)
    assert [box.op for box in graph.nodes if box.kind == "op"] == ["affine_relu", "softmax_loss"]
    for freed in (False, True):
        if freed:
            loss.backward()
        opened = graph.expand(len(graph) - 2)
        operations = [box.op for box in opened.nodes if box.kind == "op"]
        assert "matmul" in operations
        assert "add" in operations
        assert {"w", "b"} <= {box.name for box in opened.nodes}
        assert opened.nodes[opened.outputs[0]].shape == (4, 2)
        inner = graph.expand(graph.nodes[-1])
        assert {"exp", "log", "getitem"} <= {box.op for box in inner.nodes}
        assert inner.nodes[inner.outputs[0]].shape == ()
    assert w.grad is not None
    with tg.no_grad():
        assert len(graph.expand(len(graph) - 2)) == len(opened)


def test_only_fused_operations_open() -> None:
    _, _, out = example()
    graph = tg.Graph(out)
    for box, label in ((graph.nodes[2], "matmul"), (0, "x"), (1, "w")):
        with pytest.raises(ValueError, match=f"expand: {label} is no fused operation"):
            graph.expand(box)


@pytest.mark.parametrize("id", [6, -1, "matmul", None, True, 1.5])
def test_what_is_no_box_does_not_open(id: Any) -> None:
    _, _, out = example()
    with pytest.raises(ValueError, match=rf"expand: {id!r} is no box of this graph: .* 0 to {len(tg.Graph(out)) - 1}"):
        tg.Graph(out).expand(id)


# ---- modules


def test_operations_stand_in_their_modules() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            self.fc = nn.Linear(3, 3, seed=0)

        def forward(self, x: Any) -> Any:
            return np.tanh(self.fc(x)) * 2.0

    class Net(nn.Module):
        def __init__(self) -> None:
            self.first, self.second = Block(), Block()

        def forward(self, x: Any) -> Any:
            return self.second(self.first(x) + 1.0).sum()

    graph = tg.Graph(Net()(np.ones((2, 3), np.float32)) * 3.0)
    assert [(box.op, box.module) for box in graph.nodes if box.kind == "op"] == [
        ("affine", ("Net", "first", "fc")),
        ("tanh", ("Net", "first")),
        ("multiply", ("Net", "first")),
        ("add", ("Net",)),
        ("affine", ("Net", "second", "fc")),
        ("tanh", ("Net", "second")),
        ("multiply", ("Net", "second")),
        ("sum", ("Net",)),
        ("multiply", ()),
    ]
    parameters = {box.name: box.module for box in graph.nodes if box.kind == "parameter"}
    assert parameters["second.fc.W"] == ("Net", "second", "fc")


# ---- as data


def test_it_goes_into_json() -> None:
    x = tg.tensor(np.ones((3, 4)), requires_grad=True, name="x")
    out = x[np.array([0, 2]), ..., 1:3].reshape(-1) + tg.softmax_loss(x, np.array([0, 1, 2]))
    facts = tg.Graph(out.sum()).to_dict()
    assert json.loads(json.dumps(facts)) == facts
    by_op = {entry["op"]: entry for entry in facts["nodes"]}
    assert by_op["getitem"]["static"] == {"key": "([0, 2], ..., 1:3)"}
    assert by_op["softmax_loss"]["static"] == {"y": "[0, 1, 2]"}
    assert by_op[None] == {
        "id": 0, "kind": "parameter", "op": None, "name": "x", "shape": [3, 4], "dtype": "float64", "module": [],
        "line": None, "inputs": [], "numbers": {}, "static": {}, "variable": "x", "mark": None, "inside": None,
        "facts": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.arange(9), "int64[9]"), (np.array([1, 2]), "[1, 2]"), (slice(1, None, 2), "1::2"), (slice(None), ":"),
        ((0, 1), "(0, 1)"), ((0,), "(0,)"), (..., "..."), (None, "None"),
        ("x" * 99, "'" + "x" * 36 + "..."), (True, "True"),
    ],
)  # fmt: skip
def test_static_arguments_in_brief(value: Any, text: str) -> None:
    assert brief(value) == text

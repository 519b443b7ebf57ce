"""Module.summary: rows, counts and totals by hand; the module is left as it was."""

from __future__ import annotations

import doctest
import json
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.nn.module import Module


class Block(nn.Module):
    def __init__(self) -> None:
        self.scale = nn.Parameter(np.ones(4))
        self.fc = nn.Linear(4, 4, seed=0, dtype=np.float64)

    def forward(self, x: Any) -> Any:
        return self.fc(self.fc(x)) * self.scale


class Net(nn.Module):
    def __init__(self) -> None:
        self.first = nn.Linear(6, 4, "relu", seed=0, dtype=np.float64)
        self.block = Block()
        self.twin = nn.Linear(4, 4, seed=1, dtype=np.float64)
        self.twin.W = self.block.fc.W
        self.idle = nn.Linear(2, 2, seed=2, dtype=np.float64)

    def forward(self, x: Any) -> Any:
        return self.twin(self.block(self.first(x)))


def test_rows_and_totals() -> None:
    """Nested calls in order, one called twice, a shared weight, and a layer that is not called."""
    found = Net().summary((5, 6))
    rows = [
        (row.depth, row.path, row.kind, row.parameters, row.repeated, row.multiply_adds, row.bytes)
        for row in found.rows
    ]
    out = 5 * 4 * 8
    assert rows == [
        (0, "", "Net", 0, 0, 0, 0),  # what it returns is the twin's
        (1, "first", "Linear", 28, 0, 5 * 6 * 4, 28 * 8 + out),
        (1, "block", "Block", 4, 0, 0, 4 * 8 + out),
        (2, "block.fc", "Linear", 20, 0, 5 * 4 * 4, 20 * 8 + out),
        (2, "block.fc", "Linear", 20, 20, 5 * 4 * 4, out),
        (1, "twin", "Linear", 20, 16, 5 * 4 * 4, 4 * 8 + out),
    ]
    assert {row.output_shape for row in found.rows} == {(5, 4)}
    net = Net()
    assert found.parameters == sum(p.size for p in net.parameters()) == 28 + 4 + 20 + 4 + 6
    assert found.trainable == found.parameters
    assert found.buffers == 0
    assert found.multiply_adds == 120 + 3 * 80
    assert found.bytes == found.parameters * 8 + 5 * out
    assert found.not_called == ("idle",)
    assert (found.kind, found.input_shape, found.dtype) == ("Net", (5, 6), "float64")


def test_the_table() -> None:
    lines = str(Net().summary((5, 6))).splitlines()
    assert lines[0] == "Net on (5, 6) float64, evaluation mode"
    assert lines[1].split() == ["layer", "output", "parameters", "multiply-adds", "bytes"]
    assert [len(line) for line in lines[1:10]] == [len(lines[1])] * 9
    assert lines[5].startswith("  block (Block) ")
    assert lines[6].split() == ["block.fc", "(Linear)", "(5,", "4)", "20", "80", "320"]
    assert lines[6].startswith("    block.fc (Linear) ")
    assert lines[7].split()[4:6] == ["0", "(+20)"]
    assert lines[8].split()[4:6] == ["4", "(+16)"]
    assert lines[10].split() == ["total", "62", "360", "1,296"]
    assert lines[11:] == [
        "Of 62 parameters 62 are trained.",
        "(+n): n parameters that stand in a row above.",
        "Not called: idle.",
    ]
    large = nn.Linear(3072, 100, seed=0).summary((100, 3072))
    assert "307,300     30,720,000  1,269,200" in str(large)


def test_a_notebook_shows_a_table() -> None:
    class Less(nn.Linear):
        pass

    Less.__name__ = "Less<than>"
    net = nn.Sequential(Less(4, 3, seed=0), nn.BatchNorm1d(3))
    found = net.summary((2, 4))
    tree = ET.fromstring(f"<div>{found._repr_html_()}</div>")
    cells = [["".join(cell.itertext()) for cell in row] for row in tree.iter("tr")]
    assert cells[0] == ["layer", "output", "parameters", "multiply-adds", "bytes"]
    assert cells[2] == ["0 (Less<than>)", "(2, 3)", "15", "24", "84"]
    assert cells[-1] == ["total", "", "21", "30", "132"]
    assert [p.text for p in tree.iter("p")] == [
        "Of 21 parameters 21 are trained.", "Buffers hold 6 numbers, which are not trained.",
    ]  # fmt: skip
    pads = [cell.get("style") for row in tree.iter("tr") for cell in list(row)[:1]]
    assert pads[1] != pads[2]


def test_it_goes_through_json() -> None:
    found = Net().summary((5, 6))
    read = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert read["rows"][1] == {
        "path": "first", "kind": "Linear", "depth": 1, "output_shape": [5, 4], "parameters": 28, "repeated": 0,
        "multiply_adds": 120, "bytes": 384,
    }  # fmt: skip
    assert {key: read[key] for key in read if key != "rows"} == {
        "kind": "Net", "input_shape": [5, 6], "dtype": "float64", "parameters": 62, "trainable": 62, "buffers": 0,
        "multiply_adds": 360, "bytes": 1296, "not_called": ["idle"],
    }  # fmt: skip


@pytest.mark.parametrize(("given", "batch"), [((7, 6), (7, 6)), ((6,), (1, 6)), (6, (1, 6)), ([2, 3], (1, 2, 3)),
                                              ((7, 2, 3), (7, 2, 3)), ((0, 6), (0, 6))])  # fmt: skip
def test_with_and_without_the_batch_axis(given: Any, batch: tuple[int, ...]) -> None:
    assert nn.Linear(6, 4, seed=0).summary(given).input_shape == batch


def test_dtypes() -> None:
    assert nn.ReLU().summary((2, 3)).dtype == "float32"
    assert Net().summary((2, 6), dtype=np.float32).dtype == "float32"
    assert nn.ReLU().summary((2, 3), dtype="f8").bytes == 2 * 3 * 8


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ((5, 5), ValueError, r"^summary: input_shape: given \(5, 5\), which Net takes neither as a batch nor as one "
                             r"example\. As a batch: first: expected \(N, 6\), got \(5, 5\)"),
        ((-1, 6), ValueError, r"^summary: input_shape: given \(-1, 6\), expected integers of at least 0"),
        ((None, 6), TypeError, r"^summary: input_shape: given \(None, 6\), expected a tuple of integers, e\.g\. "),
        (2.5, TypeError, "^summary: input_shape: given 2.5"),
        ((True, 6), TypeError, r"^summary: input_shape: given \(True, 6\)"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(shape: Any, error: type[Exception], message: str) -> None:
    net = Net()
    with pytest.raises(error, match=message):
        net.summary(shape)
    for _, module in net.named_modules():
        assert "forward" not in vars(module)
        assert module.training


class Restless(nn.Module):
    """Changes everything that a module may change, in every mode."""

    buffers = ("count", "table")

    def __init__(self) -> None:
        self.count, self.table = np.zeros(2), np.ones(3)
        self._generator = np.random.default_rng(0)
        self._legacy = np.random.RandomState(0)
        self.fails = False

    def forward(self, x: Any) -> Any:
        self.count += 1
        self.table = self.table * 2
        self._generator.random(3)
        self._legacy.random_sample(3)
        if self.fails:
            raise RuntimeError("planted")
        return x


def plain(state: Any) -> str:
    return json.dumps(state, default=np.ndarray.tolist)


@pytest.mark.parametrize("fails", [False, True])
def test_the_module_is_left_as_it_was(fails: bool) -> None:
    net = nn.Sequential(nn.Linear(3, 3, seed=0), nn.BatchNorm1d(3), nn.Dropout(0.5, seed=1), Restless())
    restless = getattr(net, "3")
    restless.fails = fails
    getattr(net, "1").eval()  # one of them only
    own = restless.forward = restless.forward  # a forward of the object, not of its class
    modes = [module.training for _, module in net.named_modules()]
    state, generators, buffers = net.state_dict(), net.generator_state(), dict(net.named_buffers())
    if fails:
        with pytest.raises(RuntimeError, match="planted"):
            net.summary((4, 3))
    else:
        assert net.summary((4, 3)).buffers == 11
    assert [module.training for _, module in net.named_modules()] == modes == [True, True, False, True, True]
    for path, value in net.state_dict().items():
        np.testing.assert_array_equal(value, state[path], err_msg=path)
    assert all(buffer is buffers[path] for path, buffer in net.named_buffers())
    assert plain(net.generator_state()) == plain(generators)
    assert restless.forward is own
    assert [path for path, module in net.named_modules() if "forward" in vars(module)] == ["3"]
    assert all(p.grad is None for p in net.parameters())


def test_nothing_is_recorded_and_faults_of_zeros_are_no_errors() -> None:
    class Log(nn.Module):
        def forward(self, x: Any) -> Any:
            seen.append((x.requires_grad, self.training))
            return np.log(x * self.w)

        def __init__(self) -> None:
            self.w = nn.Parameter(np.ones(3))

    seen: list[Any] = []
    assert Log().summary((2, 3)).multiply_adds == 6
    assert seen == [(False, False)]


def test_results_of_several_arrays_and_of_none() -> None:
    class Two(nn.Module):
        def forward(self, x: Any, how: str = "") -> Any:
            return {"a": x * 2.0, "b": [x[:1], np.ones(3, np.float32)]}

    class Names(nn.Module):
        def forward(self, x: Any) -> Any:
            return "name"

    class Both(nn.Module):
        def __init__(self) -> None:
            self.two, self.names = Two(), Names()

        def forward(self, x: Any) -> Any:
            return self.names(self.two(x=x, how="so"))

    found = Both().summary((2, 3))
    assert [row.output_shape for row in found.rows] == [None, [(2, 3), (1, 3), (3,)], None]
    assert [row.multiply_adds for row in found.rows] == [0, 0, 0]
    assert found.rows[1].bytes == 24 + 12  # x[:1] is a view of the input
    json.dumps(found.to_dict())


def test_a_class_says_how_it_counts() -> None:
    class Square(nn.Module):
        def forward(self, x: Any) -> Any:
            return x @ x

        def multiply_adds(self, input_shape: Any, output_shape: Any) -> int:
            return input_shape[1] * output_shape[0] * output_shape[1]

    assert Square().summary((4, 4)).multiply_adds == 64
    with_inside = nn.Sequential(Square(), nn.ReLU()).summary((4, 4))
    assert [row.multiply_adds for row in with_inside.rows] == [0, 64, 16]


def test_several_inputs() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            self.a, self.b = nn.Linear(3, 2, seed=0), nn.Linear(4, 2, seed=1)

        def forward(self, x: Any, y: Any) -> Any:
            return self.a(x) + self.b(y)

    for given in (((5, 3), (5, 4)), ((3,), (4,)), (3, np.array([4]))):
        found = Both().summary(*given)
        n = found.input_shape[0][0]
        assert found.input_shape == ((n, 3), (n, 4))
        assert [row.output_shape for row in found.rows] == [(n, 2)] * 3
        assert json.loads(json.dumps(found.to_dict()))["input_shape"] == [[n, 3], [n, 4]]
        assert str(found).startswith(f"Both on (({n}, 3), ({n}, 4)) float32")
    with pytest.raises(ValueError, match=r"^summary: input_shape: given \(5, 4\), \(5, 3\), which Both takes neither"):
        Both().summary((5, 4), (5, 3))
    with pytest.raises(TypeError, match="^summary: given no shape, expected that of a batch"):
        Both().summary()
    assert nn.ReLU().summary(np.array([2, 3])).input_shape == (2, 3)


def test_what_hands_its_memory_on_costs_nothing() -> None:
    class Reshape(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.reshape((2, 3, 2)).transpose((0, 2, 1))

    net = nn.Sequential(Reshape(), nn.Flatten(), nn.Identity(), nn.ReLU())
    assert [row.multiply_adds for row in net.summary((2, 6)).rows] == [0, 0, 0, 0, 12]
    assert [row.bytes for row in net.summary((2, 6)).rows] == [0, 0, 48, 0, 48]  # the transposed one is copied


def test_models() -> None:
    model = tg.models.FullyConnectedNet(
        [20], input_dim=12, num_classes=3, normalization="layernorm", dropout_keep_ratio=0.5, seed=0
    )
    found = model.summary((8, 3, 4))
    assert [(row.path, row.multiply_adds) for row in found.rows] == [
        ("", 0), ("fc1", 8 * 12 * 20), ("norm1", 160), ("relu1", 160), ("dropout1", 0), ("fc2", 8 * 20 * 3),
    ]  # fmt: skip
    assert found.rows[4].bytes == 0  # in evaluation mode dropout hands on what it is given


def test_the_examples_print_what_they_say() -> None:
    globs = {"nn": nn}
    for method in (Module.summary, Module.apply):
        (example,) = doctest.DocTestFinder().find(method, method.__name__, globs=globs)
        results = doctest.DocTestRunner(verbose=False).run(example)
        assert results.attempted > 1
        assert results.failed == 0

"""draw: every box, name, shape and panel is in the picture, whatever the names are and whichever program renders it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import Picture, example, leaf, network, picture

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.viz import dot
from tinygrad_fc.viz.words import clip

# ---- what is in the picture


def test_every_box_and_edge_of_the_graph(tmp_path: Path) -> None:
    drawn = picture(example(), tmp_path)
    assert drawn.boxes == {
        0: ["x", "4 × 3 float32"],
        1: ["w", "3 × 2 float32"],
        2: ["matmul", "4 × 2 float32"],
        3: ["tanh", "4 × 2 float32"],
        4: ["multiply", "y = 2.0", "4 × 2 float32"],
        5: ["sum", "axis = 0", "2 float32"],
    }
    assert sorted(drawn.edges) == [(0, 2, "x"), (1, 2, "y"), (2, 3, ""), (3, 4, ""), (4, 5, "")]
    assert drawn.tips[0] == "input, no gradient, (4, 3) float32"
    assert drawn.tips[1] == "leaf that needs a gradient, (3, 2) float32"
    assert drawn.tips[5] == "result of sum, (2,) float32"
    assert drawn.panels == []


@pytest.mark.parametrize("fused", [True, False])
def test_a_network_with_its_modules(fused: bool, tmp_path: Path) -> None:
    loss = network(fused=fused, reg=0.1)
    graph, drawn = tg.Graph(loss), picture(loss, tmp_path)
    assert sorted(drawn.boxes) == list(range(len(graph)))
    for box in graph.nodes:
        title, facts = drawn.boxes[box.id][0], drawn.boxes[box.id][-1]
        name = "loss" if box.id in graph.outputs else box.name
        assert title == (box.op and (f"{name} = {box.op}" if name else box.op) or name or "input")
        assert facts == f"{' × '.join(map(str, box.shape)) or 'scalar'} {box.dtype}"
        if box.module:
            assert drawn.tips[box.id].startswith(f"{'.'.join(box.module)}: ")
    assert len(drawn.edges) == sum(len(box.inputs) for box in graph.nodes)
    assert {(start, end) for start, end, _ in drawn.edges} == {
        (source, box.id) for box in graph.nodes for _, source in box.inputs
    }
    assert {"fc1.W", "fc1.b", "fc2.W", "fc2.b", "fc3.W", "fc3.b"} <= {words[0] for words in drawn.boxes.values()}
    assert {"FullyConnectedNet", "fc1", "fc2", "fc3", "criterion"} <= set(drawn.panels)


def panels_of(source: str) -> dict[int, tuple[str, ...]]:
    """Return the labels of the clusters around each box of a DOT text."""
    around: list[str] = []
    found = {}
    for line in source.splitlines():
        if re.match(r"\s*subgraph cluster_\d+ \{", line):
            around.append("?")
        elif line.strip() == "}" and around:
            around.pop()
        elif around and around[-1] == "?":
            label = re.search(r"label=<<b>(.*)</b>", line)
            assert label is not None, line
            around[-1] = label[1]
        elif box := re.match(r"\s*(\d+) \[label=", line):
            found[int(box[1])] = tuple(around)
    return found


def test_each_box_stands_in_the_panels_of_its_modules() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            self.fc = nn.Linear(3, 3, seed=0)

        def forward(self, x: Any) -> Any:
            return np.tanh(self.fc(x))

    class Net(nn.Module):
        def __init__(self) -> None:
            self.first, self.second = Block(), Block()

        def forward(self, x: Any) -> Any:
            return self.second(self.first(x)).sum()

    graph = tg.Graph(Net()(np.ones((2, 3), np.float32)) * 3.0)
    panels = panels_of(dot.dot_source(graph).source)
    assert panels == {box.id: box.module for box in graph.nodes}
    assert panels[len(graph) - 1] == ()
    assert ("Net", "second", "fc") in panels.values()


def test_kinds_of_boxes_look_different() -> None:
    source = dot.dot_source(tg.Graph(example())).source
    lines = {int(m[1]): m[0] for m in re.finditer(r"^\s*(\d+) \[.*$", source, re.MULTILINE)}
    fills = {key: re.findall(r'fillcolor="(#\w{6})"', line)[0] for key, line in lines.items()}
    assert fills[2] == fills[3] == fills[4]
    assert len({fills[0], fills[1], fills[2], fills[5]}) == 4
    assert "dashed" in lines[0]
    assert all("dashed" not in lines[key] for key in range(1, 6))
    assert "penwidth=1.8" in lines[5]
    # A leaf that is itself the output is an orange box with the thick line.
    (alone,) = re.findall(r"^\s*0 \[.*$", dot.dot_source(tg.Graph(leaf(1.0))).source, re.MULTILINE)
    assert fills[1] in alone
    assert "penwidth=1.8" in alone


def test_an_edge_is_named_where_arguments_may_not_change_places(tmp_path: Path) -> None:
    x, y, z = (leaf(np.ones((2, 2)), name) for name in "xyz")
    drawn = picture(x - y, tmp_path)
    assert sorted(drawn.edges) == [(0, 2, "x"), (1, 2, "y")]
    for out in (x + y, x * y, np.maximum(x, y), np.exp(x), tg.stack([x, y, z]), 1.0 - x):
        assert {label for _, _, label in picture(out, tmp_path).edges} == {""}


def test_a_named_result_shows_both(tmp_path: Path) -> None:
    out = example()
    out.name = "scores"
    assert picture(out, tmp_path).boxes[5][0] == "scores = sum"


def test_several_outputs_of_a_graph(tmp_path: Path) -> None:
    x = leaf([1.0, 2.0], "x")
    h = x * 2.0
    drawn = picture(tg.Graph(h.sum(), np.exp(h)), tmp_path)
    assert [words[0] for _, words in sorted(drawn.boxes.items())] == ["x", "h = multiply", "sum", "exp"]


def test_static_arguments_are_short(tmp_path: Path) -> None:
    x = leaf(np.ones((9, 4)), "x")
    drawn = picture(x[np.array([0, 2]), ..., 1:3], tmp_path)
    assert drawn.boxes[1] == ["getitem", "key = ([0, 2], ..., 1:3)", "2 × 2 float64"]
    labels = np.arange(9) % 4
    assert picture(tg.softmax_loss(x, labels), tmp_path).boxes[1][1] == "y = int64[9]"


@pytest.mark.parametrize(
    ("values", "facts"),
    [
        (np.ones((0, 3)), "0 × 3 float64"), (np.array(2.0), "scalar float64"),
        (np.ones((1, 1, 1)), "1 × 1 × 1 float64"), (np.ones(5, np.float16), "5 float16"),
        (np.ones((2, 0), np.float32), "2 × 0 float32"),
    ],
    ids=["empty", "0-d", "ones", "half", "empty float32"],
)  # fmt: skip
def test_shapes_and_dtypes(values: np.ndarray, facts: str, tmp_path: Path) -> None:
    drawn = picture(leaf(values, "x") * 2.0, tmp_path)
    assert drawn.boxes == {0: ["x", facts], 1: ["multiply", "y = 2.0", facts]}


def test_a_leaf_alone_is_one_box(tmp_path: Path) -> None:
    drawn = picture(leaf(np.ones((2, 3))), tmp_path)
    assert drawn.boxes == {0: ["parameter", "2 × 3 float64"]}
    assert drawn.edges == []


# ---- names

NAMES = [
    "a<b>&c", "&amp; &lt; &#65; &nbsp;", "<b>bold</b>", "<", "-->", "<!-- ]]>", '"quoted"', "it's", '\\"',
    "back\\slash", "ends with \\", "{a|b}", "%s %d {0}", "😀 é 中文", "html:<i>", "x = y", "node", "0",
    "a -> b; c",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_stand_in_the_picture_as_they_are(name: str, tmp_path: Path) -> None:
    drawn = picture((leaf(np.ones(2), name) * 3.0).sum(), tmp_path)
    assert drawn.boxes[0] == [Picture.clean(name), "2 float64"]
    assert [words[0] for words in drawn.boxes.values()][1:] == ["multiply", "sum"]
    assert len(drawn.edges) == 2


@pytest.mark.parametrize("name", NAMES)
def test_names_of_modules_stand_in_the_picture_as_they_are(name: str, tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.parts = {name: nn.Linear(3, 2, seed=0)}

        def forward(self, x: Any) -> Any:
            return self.parts[name](x)

    drawn = picture(Net()(np.ones((4, 3), np.float32)), tmp_path)
    assert sorted(drawn.panels) == sorted(["Net", Picture.clean(f"parts.{name}")])
    assert any(words[0] == Picture.clean(f"parts.{name}.W") for words in drawn.boxes.values())


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("name", NAMES)
def test_names_and_arguments_of_operations_stand_there_as_they_are(name: str, tmp_path: Path) -> None:
    double = tg.op(lambda x, mode="a": x * 2.0, name=name, x=lambda g: g * 2.0)
    mode = name.replace("\\", "/")
    drawn = picture(double(leaf([1.0]), mode=mode), tmp_path)
    assert drawn.boxes[1] == [Picture.clean(name), f"mode = {mode!r}", "1 float64"]
    assert drawn.tips[1].startswith("result of ")


def test_a_name_of_several_lines(tmp_path: Path) -> None:
    drawn = picture(leaf([1.0], "one\ntwo\r\n\tthree") * 2.0, tmp_path)
    assert re.fullmatch(r"one\s*two\s*three", drawn.boxes[0][0])
    assert sorted(drawn.boxes) == [0, 1]


def test_a_name_of_ten_thousand_characters_is_cut_in_its_middle(tmp_path: Path) -> None:
    drawn = picture(leaf([1.0], "first" + "<&\"\\>" * 2_000 + "last") * 2.0, tmp_path)
    name = drawn.boxes[0][0]
    assert len(name) <= 48
    assert name.startswith("first<&")
    assert name.endswith('\\>last')
    assert "…" in name
    assert float(drawn.root.get("width", "").removesuffix("pt")) < 1000


@pytest.mark.parametrize("length", [0, 1, 47, 48, 49, 10_000])
def test_clip(length: int) -> None:
    text = "".join(chr(ord("a") + k % 26) for k in range(length))
    short = clip(text)
    if length <= 48:
        assert short == text
    else:
        assert len(short) <= 48
        start, end = short.split("…")
        assert text.startswith(start)
        assert text.endswith(end)


# ---- graphs of every kind


def test_a_graph_that_backward_has_freed(tmp_path: Path) -> None:
    loss = network()
    before = tg.draw(loss, tmp_path / "before.dot").read_bytes()
    loss.backward()
    assert tg.draw(loss, tmp_path / "after.dot").read_bytes() == before
    assert len(picture(loss, tmp_path).boxes) == len(tg.Graph(loss))


def test_drawing_changes_no_number(tmp_path: Path) -> None:
    def gradients(draws: bool) -> list[np.ndarray]:
        model = tg.models.FullyConnectedNet([5, 4], input_dim=6, num_classes=3, seed=0, weight_scale=0.5)
        loss = model.loss_tensor(np.ones((2, 6), np.float32), np.array([0, 2]))
        values = [p.data.copy() for p in model.parameters()]
        if draws:
            assert picture(loss, tmp_path).boxes
            assert loss._repr_svg_()
            assert all(p.grad is None for p in model.parameters())
            assert all(np.array_equal(p.data, old) for p, old in zip(model.parameters(), values, strict=True))
        loss.backward()
        return [p.grad for p in model.parameters()]

    for drawn, undrawn in zip(gradients(True), gradients(False), strict=True):
        assert drawn.tobytes() == undrawn.tobytes()
        assert np.any(drawn)


def test_eighteen_doublings(tmp_path: Path) -> None:
    """A graph that shares each result twice has 2 to the 18 paths, and 19 boxes."""
    x = leaf(1.0, "x")
    for _ in range(18):
        x = x + x
    drawn = picture(x, tmp_path)
    assert sorted(drawn.boxes) == list(range(19))
    assert sorted(drawn.edges) == sorted([(k, k + 1, "") for k in range(18)] * 2)


def test_a_long_chain_in_the_text(tmp_path: Path) -> None:
    x = leaf(1.0)
    for _ in range(3_000):
        x = x + 1.0
    source = tg.draw(x, tmp_path / "long.dot", fold=False).read_text(encoding="utf-8")
    assert source.count(" -> ") == 3_000
    assert "2999 -> 3000" in source


def test_drawing_twice_gives_the_same_file(tmp_path: Path) -> None:
    first, second = (tg.draw(network(), tmp_path / name).read_bytes() for name in ("a.svg", "b.svg"))
    assert first == second


@pytest.mark.parametrize(
    ("direction", "axis", "sign"), [("TB", 1, 1), ("BT", 1, -1), ("LR", 0, 1), ("RL", 0, -1)]
)  # fmt: skip
def test_direction(direction: str, axis: int, sign: int, tmp_path: Path) -> None:
    places = picture(example(), tmp_path, direction=direction).places
    along = [sign * places[key][axis] for key in (1, 2, 3, 4, 5)]
    assert along == sorted(along)
    assert along[-1] - along[0] > 100


def test_the_computation_runs_down_by_default(tmp_path: Path) -> None:
    assert picture(example(), tmp_path).places == picture(example(), tmp_path, direction="TB").places

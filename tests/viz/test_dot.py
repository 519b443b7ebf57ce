"""draw: every box, name, shape and panel is in the picture, whatever the names are and whichever program renders it."""

from __future__ import annotations

import re
import shutil
import sysconfig
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.engine import dispatch
from tinygrad_fc.engine.op import REGISTRY
from tinygrad_fc.viz import dot

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"


@pytest.fixture
def registry() -> Iterator[None]:
    """Take the operations that a test declares out of the tables again."""
    tables = [REGISTRY, dispatch.UFUNCS, dispatch.FUNCTIONS, vars(dispatch.functions)]
    before = [dict(table) for table in tables]
    yield
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)


@pytest.fixture
def no_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)


class Picture:
    """An SVG, taken apart: the words of each box and panel, and the edges."""

    def __init__(self, source: Path | str) -> None:
        text = source if isinstance(source, str) else source.read_text(encoding="utf-8")
        self.root = ET.fromstring(text)
        self.boxes: dict[int, list[str]] = {}
        self.tips: dict[int, str] = {}
        self.places: dict[int, tuple[float, float]] = {}
        self.edges: list[tuple[int, int, str]] = []
        self.panels: list[str] = []
        for group in self.root.iter(f"{SVG}g"):
            title = group.findtext(f"{SVG}title") or ""
            words = [self.clean("".join(text.itertext())) for text in group.iter(f"{SVG}text")]
            match group.get("class"):
                case "node":
                    first = next(group.iter(f"{SVG}text"))
                    self.boxes[int(title)] = words
                    self.places[int(title)] = float(first.get("x", "")), float(first.get("y", ""))
                    self.tips[int(title)] = next(group.iter(f"{SVG}a")).get(f"{XLINK}title", "")
                case "edge":
                    start, end = title.split("->")
                    self.edges.append((int(start), int(end), " ".join(words)))
                case "cluster":
                    self.panels.append(" ".join(words))

    @staticmethod
    def clean(text: str) -> str:
        return text.replace("\xa0", " ").strip()


def picture(target: Any, folder: Path, **options: Any) -> Picture:
    return Picture(tg.draw(target, folder / "picture.svg", **options))


def leaf(values: Any, name: str | None = None) -> tg.Tensor:
    return tg.tensor(values, requires_grad=True, name=name)


def example() -> tg.Tensor:
    x, w = tg.tensor(np.ones((4, 3), np.float32), name="x"), leaf(np.ones((3, 2), np.float32), "w")
    return (np.tanh(x @ w) * 2.0).sum(axis=0)


def network(**arguments: Any) -> tg.Tensor:
    model = tg.models.FullyConnectedNet([5, 4], input_dim=6, num_classes=3, seed=0, **arguments)
    return model.loss_tensor(np.ones((2, 6), np.float32), np.array([0, 2]))


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
        assert title == (box.op or box.name or ("parameter" if box.kind == "parameter" else "input"))
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
            label = re.search(r"label=<<b>(.*)</b>>", line)
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
    assert [words[0] for _, words in sorted(drawn.boxes.items())] == ["x", "multiply", "sum", "exp"]


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
    short = dot.clip(text)
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
    source = tg.draw(x, tmp_path / "long.dot").read_text(encoding="utf-8")
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


# ---- files


def test_every_suffix(tmp_path: Path) -> None:
    out = example()
    path = tg.draw(out, tmp_path / "graph.svg")
    assert path == tmp_path / "graph.svg"
    assert Picture(path).boxes
    assert tg.draw(out, tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    text = tg.draw(out, str(tmp_path / "graph.dot"))
    assert isinstance(text, Path)
    assert text.read_text(encoding="utf-8").startswith("digraph tinygrad_fc {")
    assert Picture(tg.draw(out, tmp_path / "LOUD.SVG")).boxes
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LOUD.SVG", "graph.dot", "graph.png", "graph.svg"]


def test_a_relative_path_and_an_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "graph.svg").write_text("old")
    assert tg.draw(example(), "graph.svg") == Path("graph.svg")
    assert Picture(tmp_path / "graph.svg").boxes


@pytest.mark.parametrize("name", ["graph.gif", "graph", ".svg", "graph.svg.txt", "graph.sv", "graph."])
def test_another_suffix_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"cannot write {name!r}, expected a suffix of \.svg, \.png, \.pdf, \.dot"):
        tg.draw(example(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["svg", "dot"])
def test_a_folder_that_does_not_exist(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"draw: the folder '.*nowhere' does not exist: make it first"):
        tg.draw(example(), tmp_path / "nowhere" / f"graph.{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("direction", ["up", "tb", "", None, ("TB",)])
def test_another_direction_is_refused(direction: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"draw: direction=.*, expected 'TB', 'BT', 'LR' or 'RL'"):
        tg.draw(example(), tmp_path / "graph.svg", direction=direction)
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_graph(tmp_path: Path) -> None:
    for wrong, message in (
        (np.ones(3), "output 0 is ndarray, expected a Tensor"),
        (None, "output 0 is NoneType, expected a Tensor"),
        (tg.tensor(1.0, name="c"), r"tensor 'c' \(\), has no graph: no input of it needs a gradient"),
    ):
        with pytest.raises(TypeError, match=message):
            tg.draw(wrong, tmp_path / "graph.svg")
    assert list(tmp_path.iterdir()) == []


# ---- programs that render

# Reads all of its input, as dot does, without any other program.
FAKE = """#!/bin/sh
while IFS= read -r line; do echo "$line"; done > "$0.input"
echo "$@" > "$0.arguments"
{then}
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that puts a program on a PATH where nothing else is."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(tmp_path / "scripts"))

    def put(name: str, then: str = 'echo "<svg from=\'${0##*/}\'/>"', where: str = "bin") -> Path:
        (tmp_path / where).mkdir(exist_ok=True)
        program = tmp_path / where / name
        program.write_text(FAKE.format(then=then))
        program.chmod(0o755)
        return program

    return put


def test_dot_is_preferred(install: Callable[..., Path], tmp_path: Path) -> None:
    pure = install("graphviz-pure")
    assert dot.renderer() == str(pure)
    system = install("dot")
    assert dot.renderer() == str(system)
    out = example()
    assert tg.draw(out, tmp_path / "graph.svg").read_text() == "<svg from='dot'/>\n"
    assert Path(f"{system}.arguments").read_text() == "-Tsvg\n"
    assert Path(f"{system}.input").read_text(encoding="utf-8") == dot.dot_source(tg.Graph(out)).source
    assert not Path(f"{pure}.input").exists()


def test_graphviz_pure_serves_where_there_is_no_dot(install: Callable[..., Path], tmp_path: Path) -> None:
    pure = install("graphviz-pure")
    assert tg.draw(example(), tmp_path / "graph.png").read_text() == "<svg from='graphviz-pure'/>\n"
    assert Path(f"{pure}.arguments").read_text() == "-Tpng\n"


def test_graphviz_pure_beside_the_running_python_is_found(install: Callable[..., Path], tmp_path: Path) -> None:
    """An environment that was not activated has its scripts on no PATH."""
    pure = install("graphviz-pure", where="scripts")
    assert dot.renderer() == str(pure)
    assert tg.draw(example(), tmp_path / "graph.svg").read_text() == "<svg from='graphviz-pure'/>\n"
    assert dot.renderer() == str(pure)
    assert dot.renderer() != str(install("dot"))


def test_a_file_that_cannot_be_run_is_no_renderer(install: Callable[..., Path]) -> None:
    install("dot").chmod(0o644)
    pure = install("graphviz-pure")
    assert dot.renderer() == str(pure)


def test_pdf_needs_a_system_dot(install: Callable[..., Path], tmp_path: Path) -> None:
    install("graphviz-pure")
    with pytest.raises(RuntimeError, match=r"graphviz-pure writes no PDF: draw an \.svg, or install Graphviz"):
        tg.draw(example(), tmp_path / "graph.pdf")
    assert not (tmp_path / "graph.pdf").exists()
    system = install("dot", then="echo %PDF-1.7")
    assert tg.draw(example(), tmp_path / "graph.pdf").read_text() == "%PDF-1.7\n"
    assert Path(f"{system}.arguments").read_text() == "-Tpdf\n"


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ("echo 'no font <here>' >&2; exit 3", "dot failed: no font <here>$"),
        ("exit 1", "dot failed: no output$"),
        ("echo '<svg'; exit 1", "dot failed: no output$"),
        ("echo 'what is this' >&2", "dot failed: what is this$"),
    ],
)
def test_a_renderer_that_fails(then: str, message: str, install: Callable[..., Path], tmp_path: Path) -> None:
    install("dot", then=then)
    path = tmp_path / "graph.svg"
    path.write_text("the old picture")
    with pytest.raises(RuntimeError, match=f"draw: .*{message}"):
        tg.draw(example(), path)
    assert path.read_text() == "the old picture"
    assert example()._repr_svg_() is None


def test_without_any_renderer_the_message_says_what_to_install(install: Callable[..., Path], tmp_path: Path) -> None:
    assert install
    for suffix in ("svg", "png", "pdf"):
        path = tmp_path / f"graph.{suffix}"
        with pytest.raises(RuntimeError) as caught:
            tg.draw(example(), path)
        for words in ("pip install graphviz-pure", "tinygrad_fc[viz]", "Graphviz from your system's packages", ".dot"):
            assert words in str(caught.value)
        assert not path.exists()


@pytest.mark.usefixtures("no_renderer")
def test_the_text_needs_no_renderer(tmp_path: Path) -> None:
    path = tg.draw(example(), tmp_path / "graph.dot")
    assert "matmul" in path.read_text(encoding="utf-8")
    with pytest.raises(RuntimeError, match="pip install graphviz-pure"):
        dot.renderer()


# ---- notebooks


def test_a_notebook_shows_the_picture() -> None:
    out = example()
    for target in (out, tg.Graph(out)):
        text = target._repr_svg_()
        assert text is not None
        assert text.startswith("<svg ")
        assert [words[0] for _, words in sorted(Picture(text).boxes.items())] == [
            "x", "w", "matmul", "tanh", "multiply", "sum",
        ]  # fmt: skip


def test_a_notebook_shows_the_text_of_what_has_no_graph() -> None:
    assert leaf(np.ones(3))._repr_svg_() is None
    assert tg.tensor(np.ones(3), name="c")._repr_svg_() is None
    assert tg.tensor(1.0)._repr_svg_() is None
    with tg.no_grad():
        assert example()._repr_svg_() is None
    assert example().detach()._repr_svg_() is None


@pytest.mark.usefixtures("no_renderer")
def test_a_notebook_shows_the_text_where_nothing_renders() -> None:
    out = example()
    assert out._repr_svg_() is None
    assert tg.Graph(out)._repr_svg_() is None


def test_a_notebook_shows_no_picture_of_a_very_large_graph() -> None:
    x = leaf(1.0)
    for _ in range(299):
        x = x + 1.0
    assert len(tg.Graph(x)) == 300
    assert len(Picture(x._repr_svg_() or "").boxes) == 300
    large = x + 1.0
    assert large._repr_svg_() is None
    assert tg.Graph(large)._repr_svg_() is None
    assert dot.notebook_svg(large, limit=301) is not None
    assert dot.notebook_svg(example(), limit=5) is None

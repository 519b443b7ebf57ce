"""draw: every option does what it says, and every wrong one is named with what is expected."""

from __future__ import annotations

import os
import re
import stat
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gallery import GALLERY
from pictures import Picture, example, leaf, network, picture

import tinygrad_fc as tg
from tinygrad_fc import files
from tinygrad_fc.engine.node import Node
from tinygrad_fc.viz import render

# ---- arguments

WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"direction": "up"}, ValueError, "direction='up', expected 'TB', 'BT', 'LR' or 'RL'"),
    ({"theme": "sepia"}, ValueError, "theme='sepia', expected 'light', 'dark' or 'print'"),
    ({"theme": 3}, ValueError, "theme=3, expected"),
    ({"which": "back"}, ValueError, "which='back', expected 'forward', 'backward' or 'both'"),
    ({"show": ("shapes", "tiems")}, ValueError, "show has 'tiems', expected 'shapes', .* Did you mean 'times?'"),
    ({"show": "gradient"}, ValueError, "show has 'gradient', expected .* Did you mean 'gradients'"),
    ({"show": (1,)}, ValueError, "show has 1, expected"),
    ({"show": 3}, TypeError, "show=3 is int, expected a sequence of 'shapes'"),
    ({"depth": -1}, ValueError, r"depth=-1, expected 0 \(the outermost modules as boxes\) or more"),
    ({"depth": 1.0}, TypeError, "depth=1.0 is float, expected an int, or None"),
    ({"depth": True}, TypeError, "depth=True is bool"),
    ({"fold": "yes"}, TypeError, "fold='yes' is str, expected True, False or None"),
    ({"expand": "affine"}, ValueError, "expand: 'affine' is no fused operation of this graph; it has: tanh"),
    ({"expand": [99]}, ValueError, "expand: 99 is no fused operation"),
    ({"expand": 3}, TypeError, "expand=3 is int, expected 'all', or a sequence of ids or names"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=str)
@pytest.mark.parametrize("suffix", ["svg", "mmd"])
def test_wrong_arguments_are_named(
    options: dict[str, Any], error: type[Exception], message: str, suffix: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        tg.draw(example(), tmp_path / f"graph.{suffix}", **options)
    assert list(tmp_path.iterdir()) == []


def test_whatever_has_a_graph_is_drawn(tmp_path: Path) -> None:
    out = example()
    report = types.SimpleNamespace(graph=lambda: tg.Graph(out))
    assert picture(report, tmp_path).boxes == picture(out, tmp_path).boxes == picture(tg.Graph(out), tmp_path).boxes
    with pytest.raises(TypeError, match=r"SimpleNamespace.graph\(\) gave int, expected a Graph"):
        tg.draw(types.SimpleNamespace(graph=lambda: 3), tmp_path / "graph.svg")


# ---- files


def test_a_drawing_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "graph.dot"
    path.write_text("old")

    def full(file: Path, content: bytes) -> None:
        file.write_bytes(content[:10])
        raise OSError(28, "no space left", os.fspath(file))

    monkeypatch.setattr(files, "write_synced", full)
    with pytest.raises(OSError, match=r"not written \(no space left\).*: '.*graph\.dot'$"):  # not the file beside it
        tg.draw(example(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither these permissions nor, for all, links")
def test_permissions_and_links_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "graph.dot", tmp_path / "link.dot"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    assert tg.draw(example(), link) == link
    assert link.is_symlink()
    assert "matmul" in path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    (tmp_path / "new").touch()
    usual = stat.S_IMODE((tmp_path / "new").stat().st_mode)
    assert stat.S_IMODE(tg.draw(example(), tmp_path / "other.dot").stat().st_mode) == usual


@pytest.mark.parametrize("path", [5, None, b"graph.svg"])
def test_a_path_that_is_none(path: Any) -> None:
    with pytest.raises(TypeError, match=r"draw: path=.* is (int|NoneType|bytes), expected a file's name"):
        tg.draw(example(), path)


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "graph.dot").mkdir()
    with pytest.raises(OSError, match=r"graph\.dot"):
        tg.draw(example(), tmp_path / "graph.dot")


def test_the_page_gets_what_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    page = types.SimpleNamespace(page=lambda graph, **options: seen.append((len(graph), options)) or "<p>ü</p>")
    monkeypatch.setitem(sys.modules, "tinygrad_fc.viz.html", page)
    graph = tg.Graph(network())
    path = tg.draw(graph, tmp_path / "graph.html", theme="dark", show=["time"])
    assert path.read_text(encoding="utf-8") == "<p>ü</p>"
    tg.draw(graph, path, theme="print", expand="all", depth=1, direction="LR", fold=False)
    tg.draw(graph, path)
    usual = {"theme": None, "show": ("shapes",), "notes": [], "direction": None, "depth": None, "fold": None,
             "expand": []}  # fmt: skip
    chosen = {"theme": "light", "expand": "all", "depth": 1, "direction": "LR", "fold": False}
    assert seen == [
        (len(graph), usual | {"theme": "dark", "show": ("time",)}), (len(graph), usual | chosen), (len(graph), usual),
    ]


def test_a_pdf_without_a_system_graphviz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    out = (leaf(np.ones(3), "é × …") * leaf(2.0, "α → β Ж")).sum()
    content = tg.draw(out, tmp_path / "graph.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert b"Helvetica-Bold" in content
    assert b"DejaVuSans" in content
    assert render.renderer().endswith("graphviz-pure")


# ---- depth, folds


def test_depth(tmp_path: Path) -> None:
    loss = network()
    assert [words[0] for words in keyed(loss, tmp_path, depth=0).values()] == ["X", "FullyConnectedNet", "criterion"]
    drawn = keyed(loss, tmp_path, depth=1)
    assert {"fc1", "fc2", "fc3"} <= {words[0] for words in drawn.values()}
    assert ["fc1", "1 operation", "2 parameters"] in drawn.values()
    assert keyed(loss, tmp_path, depth=2) == keyed(loss, tmp_path)


def keyed(target: Any, folder: Path, **options: Any) -> dict[str, list[str]]:
    return Picture(tg.draw(target, folder / "picture.svg", **options)).boxes


def chain(length: int) -> tg.Tensor:
    w, h = leaf(2.0, "w"), leaf(1.0)
    for _ in range(length):
        h = np.tanh(h * w)
    return h


@pytest.mark.parametrize(("length", "fold", "folded"), [
    (29, None, False), (30, None, True), (29, True, True), (30, False, False), (400, False, False),
])  # fmt: skip
def test_repeats_fold_in_graphs_of_more_than_sixty_boxes_or_as_asked(
    length: int, fold: bool | None, folded: bool, tmp_path: Path
) -> None:
    drawn = picture(chain(length), tmp_path, fold=fold)
    assert len([key for key in drawn.boxes if isinstance(key, int)]) == (4 if folded else 2 * length + 2)
    assert drawn.panels == ([f"loop × {length}"] if folded else [])


def test_what_is_carried_is_dashed(tmp_path: Path) -> None:
    text = tg.draw(chain(30), tmp_path / "graph.dot").read_text(encoding="utf-8")
    dashed = [line for line in text.splitlines() if "->" in line and "dashed" in line]
    assert [re.sub(r" \[.*", "", line.strip()) for line in dashed] == ["3 -> 2"]
    assert "constraint=false" in dashed[0]


def test_the_output_is_seen_through_a_fold(tmp_path: Path) -> None:
    text = tg.draw(chain(40), tmp_path / "graph.dot").read_text(encoding="utf-8")
    (green,) = re.findall(r"^\s*(\d+) \[.*#d9f2e3", text, re.MULTILINE)
    assert green == "3"


def test_fused_operations_are_opened(tmp_path: Path) -> None:
    loss = network(fused=True)
    every, some = picture(loss, tmp_path, expand="all"), picture(loss, tmp_path, expand=["softmax_loss"])
    assert {"affine_relu", "affine", "softmax_loss"} <= set(every.panels)
    assert "softmax_loss" in some.panels
    assert not {"affine_relu", "affine"} & set(some.panels)
    assert "matmul" in {words[0] for words in every.boxes.values()}
    box = next(box.id for box in tg.Graph(loss).nodes if box.op == "affine")
    assert "affine" in picture(loss, tmp_path, expand=[box]).panels


# ---- what arrows are


def test_backward_runs_from_the_outputs_to_the_leaves(tmp_path: Path) -> None:
    out = example()
    drawn = picture(out, tmp_path, which="backward")
    assert {key: words[:2] for key, words in drawn.boxes.items()} == {
        1: ["w.grad", "3 × 2 float32"],
        2: ["gradient of matmul", "step 4"],
        3: ["gradient of tanh", "step 3"],
        4: ["gradient of multiply", "step 2"],
        5: ["gradient of out", "step 1: sum"],
    }
    assert drawn.edges == [(5, 4, ""), (4, 3, ""), (3, 2, ""), (2, 1, "y")]
    assert drawn.places[5][1] < drawn.places[2][1] < drawn.places[1][1]


def test_both_have_an_arrow_each_way_where_a_gradient_flows(tmp_path: Path) -> None:
    drawn = picture(example(), tmp_path, which="both")
    pairs = [(start, end) for start, end, _ in drawn.edges]
    assert sorted(pairs) == sorted([(0, 2), (1, 2), (2, 3), (3, 4), (4, 5), (5, 4), (4, 3), (3, 2), (2, 1)])
    text = tg.draw(example(), tmp_path / "graph.dot", which="both").read_text(encoding="utf-8")
    assert len(re.findall(r"color=\"#b0306a\".*style=dotted|style=dotted.*color=\"#b0306a\"", text)) == 4


# ---- what boxes say


def observed() -> tg.Graph:
    graph = tg.Graph(example())
    for box in graph.nodes:
        if box.kind == "op":
            box.facts |= {"forward_seconds": 1e-5 * box.id, "backward_seconds": 2e-5}
            box.facts["multiply_adds"] = 10 ** (box.id + 1)
            box.line = f"/some/where/train.py:{box.id}"
    numbers = {"min": 0.0, "max": 1.0, "mean": 0.25, "std": 0.5, "norm": 2.0, "zeros": 0.0, "nonfinite": 0}
    graph.nodes[1].facts["value"] = numbers | {"numbers": [[1.0, 2.0], [3.0, -4.5], [0.1 + 0.2, 1e9]]}
    graph.nodes[2].facts |= {"value": numbers, "gradient": numbers | {"mean": float("nan"), "nonfinite": 1200}}
    graph.nodes[5].facts["gradient"] = {"numbers": [float("inf"), 2.0], "nonfinite": 1}
    graph.nodes[3].facts["value"] = {"numbers": [], "nonfinite": 0, "zeros": 0}
    return graph


def test_values_and_gradients(tmp_path: Path) -> None:
    drawn = picture(observed(), tmp_path, show=("values", "gradients"))
    assert drawn.boxes[1] == ["w", "value", "[1, 2]", "[3, -4.5]", "[0.3, 1e+09]"]
    assert drawn.boxes[2] == ["matmul", "value 0.25 ± 0.5", "gradient nan ± 0.5", "1,200 of gradient not finite"]
    assert drawn.boxes[3] == ["tanh", "value []"]
    assert drawn.boxes[5] == ["sum", "axis = 0", "gradient [inf, 2]"]


def test_figures_and_lines(tmp_path: Path) -> None:
    graph = observed()
    drawn = picture(graph, tmp_path, show=("time", "memory", "multiply_adds", "lines"))
    kept = graph.nodes[2].facts["saved_bytes"]
    assert drawn.boxes[2] == [
        "matmul", "20.0 µs forward, 20.0 µs backward", f"keeps {kept} B", "1,000 multiply-adds", "train.py:2",
    ]  # fmt: skip
    words = " ".join(" ".join(text.itertext()) for text in drawn.root.iter("{http://www.w3.org/2000/svg}text"))
    assert re.search(r"time: 0\s+70\.0 µs", words.replace("\xa0", " "))


def test_the_warmest_box_takes_most(tmp_path: Path) -> None:
    graph = observed()
    for shown, key in (("time", "5"), ("multiply_adds", "5"), ("memory", "2")):
        text = tg.draw(graph, tmp_path / "graph.dot", show=shown).read_text(encoding="utf-8")
        (warm,) = re.findall(r"^\s*(\d+) \[.*fillcolor=\"#f79a55\"", text, re.MULTILINE)
        if shown == "memory":
            warmest = max(graph.nodes, key=lambda box: box.facts.get("saved_bytes", 0))
            assert warm == str(warmest.id)
        else:
            assert warm == key


def test_folded_boxes_and_panels_have_the_sums(tmp_path: Path) -> None:
    graph = tg.Graph(network())
    for box in graph.nodes:
        if box.kind == "op":
            box.facts["forward_seconds"] = 1e-3
    count = sum(box.kind == "op" and box.module[:1] == ("FullyConnectedNet",) for box in graph.nodes)
    drawn = picture(graph, tmp_path, show=("time",))
    assert f"FullyConnectedNet {count}.00 ms" in drawn.panels
    assert [f"{count}.00 ms" in words for words in keyed(graph, tmp_path, depth=0, show="time").values()][1]


@pytest.mark.parametrize(("word", "note"), [
    ("time", r"No times: run under tg\.observe\(\)\."),
    ("values", r"No values: run under tg\.observe\(values=True\)\."),
    ("gradients", "No gradients: run backward under"), ("lines", "No lines: run under"),
    ("memory", "No memory: backward has freed"),
])  # fmt: skip
@pytest.mark.parametrize("suffix", ["dot", "mmd"])
def test_what_is_not_known_is_said_and_not_drawn(word: str, note: str, suffix: str, tmp_path: Path) -> None:
    graph = freed()
    text = tg.draw(graph, tmp_path / f"graph.{suffix}", show=word).read_text(encoding="utf-8")
    plain = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), text)
    assert re.search(note, plain)
    assert "shapes" not in plain
    assert not re.search(note, tg.draw(graph, tmp_path / f"graph.{suffix}").read_text(encoding="utf-8"))


def freed() -> tg.Graph:
    """Return a graph that backward has freed, whose tensors nobody holds, and whose gradients were taken away."""
    out = example()
    out.sum().backward()
    graph = tg.Graph(out)
    for box in graph.nodes:
        if isinstance(box.node, Node):
            box.node.grad = None
    return graph


def test_a_mark_is_seen_with_its_words_wherever_it_is(tmp_path: Path) -> None:
    graph = tg.Graph(chain(40))
    graph.nodes[61].mark = "overflow <here> \\ " + "and more " * 40 + "and the advice"
    drawn = picture(graph, tmp_path)
    words = drawn.boxes[3]
    assert words[0] == "tanh"
    assert words[2].startswith("tanh (box 61): overflow <here> \\ and more")
    assert len(words) == 10
    assert words[6] == "…"
    assert " ".join(words).endswith("and the advice")
    text = tg.draw(graph, tmp_path / "graph.dot").read_text(encoding="utf-8")
    assert re.findall(r"^\s*(\d+) \[.*#fde2e1", text, re.MULTILINE) == ["3"]
    graph = tg.Graph(network())
    graph.nodes[-3].mark = "wrong"
    folded = keyed(graph, tmp_path, depth=0)
    assert any("wrong" in line for words in folded.values() for line in words)


# ---- size


@pytest.mark.parametrize("suffix", ["dot", "mmd"])
def test_a_hundred_thousand_nodes(suffix: str, tmp_path: Path) -> None:
    text = tg.draw(chain(50_000), tmp_path / f"graph.{suffix}").read_text(encoding="utf-8")
    assert "loop × 50,000" in text
    assert len(text) < 5_000


@pytest.mark.parametrize("name", GALLERY)
def test_mermaid_has_every_box_panel_and_arrow(name: str, tmp_path: Path) -> None:
    make, options = GALLERY[name]
    text = tg.draw(make(), tmp_path / "graph.mmd", **options).read_text(encoding="utf-8")
    drawn = Picture(tg.draw(make(), tmp_path / "graph.svg", **options))
    assert text.startswith("flowchart TB\n")
    assert len(re.findall(r"^ +n\w+(?:\[\[|\[|\()\".*:::\w+$", text, re.MULTILINE)) == len(drawn.boxes)
    assert text.count("subgraph c") == len(re.findall(r"^ +end$", text, re.MULTILINE)) == len(drawn.panels)
    assert len(re.findall(r" (?:-->|-\.->)", text)) == len(drawn.edges)


NAMES = [
    "a<b>&c", "end", "-->", '"quoted"', "`md`", "[x]", "{a|b}", "one\ntwo", "1. list", "# h", "%% c", "a;b", "😀",
    "$$x$$", "fa:fa-x", "ﬂ°°1¶ß", "__b__", "x" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_mermaid_reads_a_name_as_letters_only(name: str, tmp_path: Path) -> None:
    text = tg.draw(leaf([1.0], name) * 2.0, tmp_path / "graph.mmd").read_text(encoding="utf-8")
    (label,) = re.findall(r'^  n0\["<b>(.*)</b><br>1 float64"\]:::parameter$', text, re.MULTILINE)
    assert re.fullmatch(r"(?:#\d+;|[^\W_]|[ ,=×…·±.\u200b]|😀)*", re.sub(r"😀", "", label))
    plain = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label).replace("\u200b", "")
    assert len(plain) <= 48
    assert plain.replace("…", "") in name.replace("\n", " ").replace("ﬂ", "fl") or "…" in plain


def irregular(steps: int, shared: Any) -> tg.Tensor:
    """A long chain that nothing repeats in, each step of which reads the same thing."""
    generator, h = np.random.default_rng(0), leaf(1.0, "h")
    functions = [np.tanh, np.sin, np.cos, np.negative, np.exp]
    for _ in range(steps):
        h = functions[generator.integers(5)](h) * shared if generator.random() < 0.5 else h - shared
    return h


def test_a_leaf_that_all_of_a_long_graph_reads_stands_beside_each_reader(tmp_path: Path) -> None:
    graph = tg.Graph(irregular(90, leaf(2.0, "w")))
    readers = [box.id for box in graph.nodes if any(graph.nodes[source].name == "w" for _, source in box.inputs)]
    for which in ("forward", "both", "backward"):
        drawn = picture(graph, tmp_path, which=which, fold=False)
        title = "w.grad" if which == "backward" else "w"
        beside = [key for key, words in drawn.boxes.items() if words[0] == title]
        assert len(beside) == len(readers) == 90
        pairs = {(start, end) for start, end, _ in drawn.edges}
        ends = [end if start in beside else start for start, end in pairs if start in beside or end in beside]
        assert sorted(set(ends)) == readers
        words = ["".join(text.itertext()) for text in drawn.root.iter("{http://www.w3.org/2000/svg}text")]
        assert "Drawn beside each box that reads it: w." in words or which == "backward"


def test_a_result_that_all_of_a_long_graph_reads_is_named_beside_far_readers(tmp_path: Path) -> None:
    w = leaf(2.0, "w")
    drawn = picture(irregular(90, np.sqrt(w)), tmp_path, fold=False)
    assert sum(words[0] == "sqrt" for words in drawn.boxes.values()) == 1
    beside = [key for key, words in drawn.boxes.items() if words == ["from sqrt"]]
    assert 70 < len(beside) < 90
    assert len({end for start, end, _ in drawn.edges if start in beside}) == len(beside)


def test_a_short_graph_is_drawn_with_every_arrow(tmp_path: Path) -> None:
    drawn = picture(irregular(20, leaf(2.0, "w")), tmp_path, fold=False)
    assert sum(words[0] == "w" for words in drawn.boxes.values()) == 1

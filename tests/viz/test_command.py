"""``python -m tinygrad_fc graph``: it runs a script and draws, or says what is wrong and what there is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pictures import Picture

from tinygrad_fc.__main__ import main

SCRIPT = '''"""A script."""
import sys

import numpy as np

import tinygrad_fc as tg

print("running", __name__, sys.argv[1:])
w = tg.tensor(np.ones((3, 2)), requires_grad=True, name="w")
h = np.tanh(np.ones((4, 3)) @ w)
loss = (h**2).sum()
number = 3
'''


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def graph(*words: Any) -> int:
    return main(["graph", *map(str, words)])


def test_it_prints_the_graph(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert graph(f"{script}:loss") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "running __main__ []"
    assert lines[1].split() == ["id", "what", "name", "shape", "line", "time", "kept", "inputs"]
    assert [line.split()[1] for line in lines[2:]] == ["input", "leaf", "matmul", "tanh", "power", "sum"]
    assert "train.py:10" in lines[4]
    assert lines[-1].split()[2] == "loss"
    assert err == ""


@pytest.mark.parametrize(("expression", "boxes"), [
    ("h", 4), ("loss * 2", 7), ("tg.Graph(h)", 4), ("[h, loss]", 6), ("(h[1:, :1], loss)", 7), ("h[:, ::2].mean()", 6),
])  # fmt: skip
def test_expressions(expression: str, boxes: int, script: Path, tmp_path: Path) -> None:
    assert graph(f"{script}:{expression}", "--out", tmp_path / "graph.svg") == 0
    assert len(Picture(tmp_path / "graph.svg").boxes) == boxes


def test_options_reach_the_picture(script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "graph.dot"
    assert graph(f"{script}:loss", "--out", out, "--direction", "LR", "--theme", "dark", "--which", "both",
                 "--show", "time, lines,values", "--depth", "1", "--expand", "all", "--no-fold") == 0  # fmt: skip
    text = out.read_text(encoding="utf-8")
    assert "rankdir=LR" in text
    assert "#12161b" in text
    assert "dotted" in text
    assert "train.py:10" in text
    assert "µs forward" in text
    assert "value 0" in text or "value [" in text or "value<" in text
    assert f"Graph: {out}" in capsys.readouterr().out
    before = text
    assert graph(f"{script}:loss", "--out", out, "--expand", "tanh,5") == 2
    assert "expand: 5 is no fused operation" in capsys.readouterr().err
    assert out.read_text(encoding="utf-8") == before


@pytest.mark.parametrize(("target", "message"), [
    ("{0}", "names nothing to draw. Expected FILE.py:EXPRESSION, such as train.py:loss."),
    ("{0}:", "names nothing to draw"),
    ("nowhere.py:loss", "there is no file nowhere.py, looked for at "),
    ("{0}:los", "has no 'los'. Did you mean 'loss'? Tensors in it: w, h, loss."),
    ("{0}:number", "'number' is int, expected a Tensor. Tensors in it: w, h, loss."),
    ("{0}:[]", "'[]' is list, expected a Tensor"),
    ("{0}:loss +", "'loss +' is no expression: "),
    ("{0}:loss.missing", "'loss.missing' raised AttributeError: "),
    ("{0}:1 / 0", "raised ZeroDivisionError: division by zero. Tensors in it: w, h, loss."),
    ("{0}:tg.tensor(1.0)", "has no graph: no input of it needs a gradient"),
])  # fmt: skip
def test_what_cannot_be_drawn(target: str, message: str, script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert graph(target.format(script)) == 2
    out, err = capsys.readouterr()
    assert err.startswith("graph: ")
    assert message in err
    assert "Traceback" not in err
    assert "what" not in out


@pytest.mark.parametrize(("words", "message"), [
    (["--out", "graph.gif"], "cannot write 'graph.gif', expected a suffix of .svg"),
    (["--out", "nowhere/graph.svg"], "the folder 'nowhere' does not exist"),
    (["--depth", "-1"], "depth=-1, expected 0"),
    (["--show", "tiem"], "show has 'tiem', expected"),
])  # fmt: skip
def test_wrong_options_are_refused_before_the_script_runs(
    words: list[str], message: str, script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert graph(f"{script}:loss", *words) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert "running" not in out


def test_a_script_that_raises_is_drawn_as_far_as_it_came(
    script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.write_text(SCRIPT + "bad = h @ w\n")
    out = tmp_path / "graph.svg"
    assert graph(f"{script}:loss", "--out", out) == 1
    said, err = capsys.readouterr()
    assert err.startswith("Traceback (most recent call last):\n")
    assert f'File "{script}", line 13, in <module>' in err
    assert "command.py" not in err
    assert f"Graph, as far as it came: {out}" in said
    drawn = Picture(out)
    titles = [words[0] for words in drawn.boxes.values()]
    assert titles.count("matmul") + titles.count("h = matmul") == 2
    (failed,) = [words for words in drawn.boxes.values() if any("(4, 2)" in word for word in words)]
    assert "matmul" in failed[0]
    assert graph(f"{script}:loss") == 1
    assert "wrong" in capsys.readouterr().out


def test_a_script_that_raises_before_it_computes(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.write_text("import missing_module_of_mine\n")
    assert graph(f"{script}:loss") == 1
    out, err = capsys.readouterr()
    assert "ModuleNotFoundError: No module named 'missing_module_of_mine'" in err
    assert out == ""
    script.write_text("x = = 3\n")
    assert graph(f"{script}:loss") == 1
    assert "SyntaxError" in capsys.readouterr().err


@pytest.mark.parametrize(("end", "status"), [("sys.exit()", 0), ("sys.exit(0)", 0), ("sys.exit(3)", 1)])
def test_a_script_that_exits(end: str, status: int, script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.write_text(SCRIPT + end + "\n")
    assert graph(f"{script}:loss") == status
    out, err = capsys.readouterr()
    assert "tanh" in out
    assert ("ended with exit status 3" in err) == bool(status)


def test_several_outputs_have_their_names(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert graph(f"{script}:(h, loss)") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[2] for row in rows if row[1:2] in (["tanh"], ["sum"])] == ["h", "loss"]


def test_it_leaves_the_process_as_it_was(script: Path) -> None:
    (script.parent / "beside_the_script.py").write_text("value = 2.0\n")
    end = "sys.argv.append('x'); loss = loss * beside_the_script.value\n"
    script.write_text("import beside_the_script\n" + SCRIPT + end)
    before = sys.modules["__main__"], list(sys.path), list(sys.argv)
    try:
        assert graph(f"{script}:loss") == 0
    finally:
        sys.modules.pop("beside_the_script", None)
    assert (sys.modules["__main__"], sys.path, sys.argv) == before

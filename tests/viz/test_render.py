"""draw: files, the programs that render them, and notebooks."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import Picture, example, leaf

import tinygrad_fc as tg
from tinygrad_fc.viz import dot, notebook, render


@pytest.fixture
def no_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)


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


@pytest.mark.parametrize("direction", ["up", "tb", "", 3, ("TB",)])
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
    assert render.renderer() == str(pure)
    system = install("dot")
    assert render.renderer() == str(system)
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
    assert render.renderer() == str(pure)
    assert tg.draw(example(), tmp_path / "graph.svg").read_text() == "<svg from='graphviz-pure'/>\n"
    assert render.renderer() == str(pure)
    assert render.renderer() != str(install("dot"))


def test_a_file_that_cannot_be_run_is_no_renderer(install: Callable[..., Path]) -> None:
    install("dot").chmod(0o644)
    pure = install("graphviz-pure")
    assert render.renderer() == str(pure)


def test_a_system_dot_writes_the_pdf_itself(install: Callable[..., Path], tmp_path: Path) -> None:
    system = install("dot", then="echo %PDF-1.7")
    assert tg.draw(example(), tmp_path / "graph.pdf").read_text() == "%PDF-1.7\n"
    assert Path(f"{system}.arguments").read_text() == "-Tpdf\n"


def test_without_svglib_a_pdf_needs_a_system_dot(
    install: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pure = install("graphviz-pure")
    monkeypatch.setitem(sys.modules, "svglib", None)
    message = r"graphviz-pure writes no PDF itself.*pip install svglib \(or tinygrad_fc\[viz\]\), or Graphviz"
    with pytest.raises(ImportError, match=message):
        tg.draw(example(), tmp_path / "graph.pdf")
    assert not (tmp_path / "graph.pdf").exists()
    assert not Path(f"{pure}.input").exists()


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
        for words in (
            "pip install graphviz-pure", "tinygrad_fc[viz]", "Graphviz from your system's packages", ".dot", ".mmd",
            ".html",
        ):  # fmt: skip
            assert words in str(caught.value)
        assert not path.exists()


@pytest.mark.usefixtures("no_renderer")
def test_the_text_needs_no_renderer(tmp_path: Path) -> None:
    path = tg.draw(example(), tmp_path / "graph.dot")
    assert "matmul" in path.read_text(encoding="utf-8")
    with pytest.raises(RuntimeError, match="pip install graphviz-pure"):
        render.renderer()


# ---- notebooks


def test_a_notebook_shows_the_picture() -> None:
    out = example()
    for target in (out, tg.Graph(out)):
        text = target._repr_svg_()
        assert text is not None
        assert text.startswith("<svg ")
        assert [words[0] for _, words in sorted(Picture(text).boxes.items())] == [
            "x", "w", "matmul", "tanh", "multiply", "out = sum",
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


def test_a_notebook_shows_a_large_graph_folded_and_nothing_that_is_too_large_still() -> None:
    x = leaf(1.0)
    for _ in range(400):
        x = x + 1.0
    for target in (x, tg.Graph(x)):
        drawn = Picture(target._repr_svg_() or "")
        assert len(drawn.boxes) == 2
        assert drawn.panels == ["add × 400"]
    assert notebook.notebook_svg(example(), limit=5) is None
    assert notebook.notebook_svg(example(), limit=6) is not None

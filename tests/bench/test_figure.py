"""``bench --figure``: what was measured is in the picture, and the same figures give the same bytes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tinygrad_fc.__main__ import main
from tinygrad_fc.bench import figure

SPREAD = {"median": 2.0, "lower": 1.5, "upper": 2.5}
FIGURES = {"seconds": SPREAD, "to_products": SPREAD}
TABLE = {"steps": [
    {"network": {"name": "small"}, "engines": {"products": FIGURES, "ours": FIGURES, "torch": {"problem": "failed"}}},
    {"network": {"name": "wide"}, "engines": {"products": FIGURES, "ours": FIGURES, "torch": FIGURES}},
]}  # fmt: skip
ROWS = [
    {"value": 2, "engines": {"products": FIGURES, "ours": FIGURES}},
    {"value": 8, "engines": {"products": FIGURES, "ours": {"problem": "failed"}}},
]
SWEEP = {
    "sweep": [{"axis": "depth (width 100, N=100)", "rows": ROWS}],
    "deep": [{"layers": 1000, "seconds": SPREAD}, {"layers": 3000, "problem": "failed"}],
}


@pytest.mark.parametrize(("results", "panels"), [(TABLE, 1), (SWEEP, 2), (TABLE | SWEEP, 3)])
def test_each_part_has_its_panel(results: dict[str, Any], panels: int, tmp_path: Path) -> None:
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    figure.draw(results, first)
    figure.draw(results, second)
    text = first.read_text(encoding="utf-8")
    assert text == second.read_text(encoding="utf-8")
    assert text.count('id="axes_') == panels


def test_files_of_earlier_runs_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "table.json", tmp_path / "sweep.json"]
    for file, results in zip(files, (TABLE, SWEEP), strict=True):
        file.write_text(json.dumps(results), encoding="utf-8")
    picture = tmp_path / "f.svg"
    assert main(["bench", "--figure", str(picture), "--from", *map(str, files)]) == 0
    assert picture.read_text(encoding="utf-8").count('id="axes_') == 3
    assert f"Written: {picture}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--figure", "f.txt"], "expected a name that ends in .svg"),
        (["--figure", "no/such/folder/f.svg"], "--figure: no/such/folder/f.svg cannot be written"),
        (["--figure", "f.svg", "--solver"], "--figure draws networks and sweeps"),
        (["--from", "x.json"], "give --figure FILE.svg as well"),
        (["--from", "x.json", "--figure", "f.svg"], "No such file"),
        (["--from", "list.json", "--figure", "f.svg"], "list.json is no file that --json wrote"),
        (["--from", "empty.json", "--figure", "f.svg"], "no networks and no sweep were measured"),
        (["--from", "broken.json", "--figure", "f.svg"], "Expecting value"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name, text in (("list", "[]"), ("empty", "{}"), ("broken", "")):
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    assert main(["bench", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "f.svg").exists()


def test_matplotlib_is_missed_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["bench", "--figure", str(tmp_path / "f.svg")]) == 2
    assert "bench: --figure needs matplotlib: pip install" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError, match="--figure needs matplotlib"):
        figure.draw(TABLE, tmp_path / "f.svg")

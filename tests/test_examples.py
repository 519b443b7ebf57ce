"""Each script of examples/ runs, says what it should, and the committed picture is the one that its script draws."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from cifar10_made import write_folder

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
PICTURE = ROOT / "docs" / "images" / "graph.svg"


def run(script: str, *arguments: str) -> str:
    """Run an example as a user would, with warnings as errors, and return what it printed."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / script), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def texts(picture: Path) -> list[str]:
    """Return the words of an SVG, in alphabetical order."""
    found = re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text(encoding="utf-8"))
    return sorted(html.unescape(text).replace("\u00a0", " ").strip() for text in found)


def test_every_example_is_tested() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    untested = [path.name for path in sorted(EXAMPLES.glob("*.py")) if f'run("{path.name}"' not in here]
    assert untested == []


def test_newton_converges_quadratically() -> None:
    values = [float(value) for value in re.findall(r"f = +(\S+)", run("newton.py"))]
    assert values[0] > 20
    assert values[-1] < 1e-20
    assert len(values) <= 8


def test_batch_normalization_trains_from_weights_of_any_size(tmp_path: Path) -> None:
    """Five sizes from 1e-4 to 1: with it a deep net learns the digits from each, without it from one or two."""
    picture = tmp_path / "scales.svg"
    printed = run("weight_scales.py", "digits", "--scales", "5", "--out", str(picture))
    rows = [[float(word) for word in line.split()] for line in printed.splitlines()[1:6]]
    assert [row[0] for row in rows] == [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    assert min(row[1] for row in rows) >= 0.75
    assert [row[2] < 0.6 for row in rows[:3]] == [True] * 3
    assert rows[3][2] > 0.9
    assert "<svg" in picture.read_text(encoding="utf-8")


def test_the_search_tries_six_settings() -> None:
    lines = run("search.py", "--epochs", "2", "--jobs", "2").splitlines()
    settings = {(float(rate), float(reg)) for _, rate, reg, *_ in map(str.split, lines[1:7])}
    assert settings == {(rate, reg) for rate in (1e-3, 2e-3) for reg in (1e-2, 1e-3, 1e-4)}
    assert re.fullmatch(rf"test accuracy of trial {lines[1].split()[0]}: 0\.\d+", lines[-1])


def test_training_reads_digits() -> None:
    printed = run("train_digits.py", "--epochs", "20")
    accuracy = re.search(r"test accuracy: ([\d.]+)", printed)
    assert accuracy is not None
    assert float(accuracy[1]) >= 0.95
    assert "(Epoch 20 / 20)" in printed


def test_drawing_is_the_committed_picture(tmp_path: Path) -> None:
    """Renderers differ in coordinates, so the texts of the picture are compared."""
    drawn = tmp_path / "graph.svg"
    assert f"wrote {drawn}" in run("draw_two_layer_net.py", str(drawn))
    drawn_words, committed_words = texts(drawn), texts(PICTURE)
    assert drawn_words == committed_words
    assert {"fc1.W", "fc2.b", "softmax_loss"} <= set(drawn_words)


def test_backward_is_a_page_and_a_text(tmp_path: Path) -> None:
    page = tmp_path / "made" / "backward.html"
    printed = run("see_backward.py", str(page))
    assert "through y, z gets g * x = 1 * 0.4621 = 0.4621" in printed
    assert printed.splitlines()[-1] == f"wrote {page}"
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_course_is_reproduced_from_any_copy_of_the_pictures(tmp_path: Path, rng: np.random.Generator) -> None:
    """A look at each experiment, on few made pictures: what accuracies come out, only the real ones can tell."""
    write_folder(tmp_path, rng, [90] * 6)
    printed = run("reproduce.py", "--quick", "--data", str(tmp_path))
    published = {"0.512", "1.000", "0.393", "0.353", "0.349", "0.367", "0.537", "0.509", "0.280", "0.504", "0.541"}
    table = printed.split("\n\n")[1]
    assert published <= set(table.split())
    assert len(re.findall(r"\d\.\d{3}-\d\.\d{3}", table)) >= 18
    assert "short" not in table

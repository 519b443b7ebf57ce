"""Each script of examples/ runs, says what it should, and the committed picture is the one that its script draws."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

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

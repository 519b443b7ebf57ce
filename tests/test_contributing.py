"""The worked example of CONTRIBUTING.md, followed step by step in a copy of the repository."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TABLE = "tinygrad_fc/ops/elementwise.py"


def blocks(language: str) -> list[str]:
    """Return the code blocks of one language in the section that adds an operation."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("## Add an operation in five minutes")[1].split("\n## ")[0]
    assert f"`{TABLE}`" in section
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of what the steps touch and run."""
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("tinygrad_fc", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    return tmp_path


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run this Python on the copy: its folder comes first on the path, before any installed tinygrad_fc."""
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def own_tests(folder: Path) -> subprocess.CompletedProcess[str]:
    (command,) = blocks("bash")
    python, *arguments = shlex.split(command)
    assert python == ".venv/bin/python"
    return run([*arguments, "-p", "no:cacheprovider"], folder)


def test_the_steps_work(copy: Path) -> None:
    declaration, use = blocks("python")
    with (copy / TABLE).open("a", encoding="utf-8") as table:
        table.write("\n\n" + declaration)

    tested = own_tests(copy)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert re.search(r"[1-9]\d* passed", tested.stdout)
    assert "skipped" not in tested.stdout

    used = run(["-W", "error", "-c", use], copy)
    assert used.returncode == 0, used.stderr
    printed = [float(number) for number in re.findall(r"-?\d+\.\d*", used.stdout)]
    assert printed == pytest.approx([1 / 3, 1 / 12, 1 / 48], abs=1e-7)


def test_the_mistake_is_found(copy: Path) -> None:
    declaration, _ = blocks("python")
    wrong = declaration.replace("3.0 * out", "2.0 * out")
    assert wrong != declaration
    with (copy / TABLE).open("a", encoding="utf-8") as table:
        table.write("\n\n" + wrong)
    tested = own_tests(copy)
    assert tested.returncode == 1, tested.stdout + tested.stderr
    assert "gradient with respect to x" in tested.stdout

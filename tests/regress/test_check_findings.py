"""What reviewers found in the gradient checks: mended, and kept so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.__main__ import main

pytestmark = pytest.mark.usefixtures("registry")

M = np.random.default_rng(0).normal(size=(3, 4))


# ---- the command

SOURCE = '''
import sys
import numpy as np
import tinygrad_fc as tg

class Net(tg.nn.Module):
    def forward(self, x):
        return x

def total(x):
    return x.sum()

def none(x):
    return x[:0]

def fails(x):
    raise RuntimeError("the server is down")

def pair(x):
    return x[5]

def leaves(x):
    sys.exit(0)
'''


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "given.py").write_text(SOURCE)
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(0)\n")
    yield tmp_path / "given.py"


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("total", ["--shape", "0"], "nothing was checked: the inputs have no element"),
        ("total", ["--shape", "0,3", "--json"], "nothing was checked"),
        ("none", ["--shape", "3"], "f returned an empty result: there is nothing to differentiate"),
        ("pair", ["--shape", "3"], "The inputs are normal numbers of shape (3,): choose others with --shape, --scale"),
        ("leaves", [], "the code asks to exit (0)"),
        ("Net", [], ":Net is a class, expected a function of tensors or a model: make one in the module, net = Net("),
    ],
)
def test_the_command_says_what_it_could_not_check(
    file: Path, capsys: pytest.CaptureFixture[str], name: str, words: list[str], message: str
) -> None:
    assert main(["check", f"{file}:{name}", *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_a_file_that_exits_is_not_taken_for_one_that_holds(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"{file.with_name('leaving.py')}:f"]) == 2
    assert "failed. SystemExit at" in capsys.readouterr().err


def test_an_error_that_no_shape_cures_names_none(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"{file}:fails", "--shape", "3"]) == 2
    said = capsys.readouterr().err
    assert "the server is down" in said
    assert "--shape" not in said


def test_an_empty_result_has_nothing_to_differentiate() -> None:
    with pytest.raises(ValueError, match="gradcheck: f returned an empty result: there is nothing to differentiate"):
        tg.gradcheck(lambda x: x[:0], M)
    report = tg.gradcheck(lambda x, y: x.sum() + np.exp(y).sum(), np.empty((0, 3)), M)
    assert report, report
    assert [check.checked for check in report.inputs] == [0, 12]

"""``python -m tinygrad_fc check``: reports, exit statuses, and what it says of wrong words."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tinygrad_fc.__main__ import main

ROOT = Path(__file__).resolve().parents[2]

SOURCE = '''
import numpy as np
import tinygrad_fc as tg

def good(x):
    return np.tanh(x)

def product(x, w):
    return x @ w

def shaped(x, scale=2.0):
    assert x.ndim == 2
    return x * scale

def small(x):
    assert float(np.max(np.abs(x.data))) < 1e-3
    return np.exp(x)

halved = tg.op(lambda x: x * x, name="halved_for_the_command", x=lambda g, x: g * x)

def bad(x):
    return halved(x).sum()

def endless(x):
    with np.errstate(all="ignore"):
        return np.log(x - 1e9)

rng = iter(np.random.default_rng(0).normal(size=1000))

def noisy(x):
    return x * next(rng)

def no_tensor(x):
    return 3.0

p = tg.tensor([1.0, 2.0], requires_grad=True, name="p")

def closed():
    return (p * p).sum()

class Holder:
    inner = staticmethod(good)

net = tg.nn.Linear(4, 3, seed=0)
number = 3
'''


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: None) -> Iterator[str]:
    """Write a module of its own for each test into the current folder."""
    name = f"checked_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("raise RuntimeError('nothing here')\n")
    (tmp_path / "needs.py").write_text("import not_installed_anywhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = list(sys.modules)
    yield name
    for key in [key for key in sys.modules if key not in before and key in (name, "broken", "needs")]:
        del sys.modules[key]


def run(capsys: pytest.CaptureFixture[str], target: str, *words: str) -> tuple[int, str, str]:
    status = main(["check", target, *words])
    return (status, *capsys.readouterr())


@pytest.mark.parametrize(
    ("function", "words", "rows"),
    [
        ("good", [], [["input 0", "scalar", "1 of 1", "correct"]]),
        ("good", ["--shape", "3,4"], [["input 0", "3x4", "12 of 12", "correct"]]),
        ("good", ["--shape", ""], [["input 0", "scalar", "1 of 1", "correct"]]),
        ("good", ["--shape", "3,"], [["input 0", "3", "3 of 3", "correct"]]),
        ("good", ["--shape", "2,3", "--order", "2"], [["input 0", "2x3", "6 of 6", "correct"]]),
        ("good", ["--shape", "20,30"], [["input 0", "20x30", "2 directions", "correct"]]),
        ("good", ["--shape", "20,30", "--exhaustive"], [["input 0", "20x30", "600 of 600", "correct"]]),
        ("product", ["--shape", "3,4", "4,2"], [["input 0", "3x4"], ["input 1", "4x2"]]),
        ("product", ["--shape", "3,4", "--shape", "4,2"], [["input 0", "3x4"], ["input 1", "4x2"]]),
        ("shaped", ["--shape", "1,2"], [["input 0", "1x2", "2 of 2", "correct"]]),
        ("small", ["--scale", "1e-5", "--shape", "4"], [["input 0", "4", "4 of 4", "correct"]]),
        ("closed", [], [["p", "2", "2 of 2", "correct"]]),
        ("Holder.inner", [], [["input 0", "scalar"]]),
        ("net", ["--shape", "5,4"], [["W", "4x3", "12 of 12", "correct"], ["b", "3", "3 of 3", "correct"]]),
    ],
)
def test_what_holds(
    function: str, words: list[str], rows: list[list[str]], module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = list(sys.path)
    status, out, err = run(capsys, f"{module}:{function}", *words)
    assert (status, err) == (0, "")
    table = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in out.splitlines()[2:]]
    assert [row[: len(expected)] for row, expected in zip(table, rows, strict=True)] == rows
    assert sys.path == path


def test_from_a_file_and_by_a_dotted_name(module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, f"{tmp_path / module}.py:good")[0] == 0
    assert run(capsys, f"{module}.py:good")[0] == 0
    assert run(capsys, "numpy:tanh")[0] == 0
    assert run(capsys, "tinygrad_fc.nn.functional:relu", "--shape", "4")[0] == 0


def test_a_seed_is_one_result(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    def table(*words: str) -> str:
        return run(capsys, f"{module}:good", *words)[1]

    assert table() == table("--seed", "0") != table("--seed", "1")


@pytest.mark.parametrize(
    ("function", "words"),
    [("bad", ["WRONG", "a factor: 0.5 times the gradient"]), ("noisy", ["inconclusive", "not deterministic"])],
)
def test_what_does_not_hold(
    function: str, words: list[str], module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, f"{module}:{function}")
    assert (status, err) == (1, "")
    assert all(word in out for word in words)


def test_json(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, f"{module}:bad", "--shape", "3", "--json")
    report = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (status, report["verdict"], report["holds"]) == (1, "wrong", False)
    assert report["culprits"][0]["op"] == "halved_for_the_command"
    status, out, _ = run(capsys, f"{module}:noisy", "--json")
    report = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (status, report["inputs"][0]["numerical"]) == (1, None)
    status, out, _ = run(capsys, f"{module}:good", "--json", "--dtype", "float32")
    assert (status, json.loads(out)["inputs"][0]["dtype"]) == (0, "float32")


@pytest.mark.parametrize(
    ("target", "words", "message"),
    [
        ("good", [], "'good' names no function. Expected module:function, or path/to/file.py:function"),
        (":good", [], "':good' names no function"),
        ("nowhere:good", [], "there is no module 'nowhere' in "),
        ("nowhere.inside:good", [], "there is no module 'nowhere.inside' in "),
        ("nowhere.py:good", [], "there is no file nowhere.py, looked for at "),
        ("broken:good", [], "importing broken failed. RuntimeError at "),
        ("broken.py:good", [], "nothing here"),
        ("needs:good", [], "No module named 'not_installed_anywhere'"),
        ("MODULE:goof", [], "has no 'goof'. Did you mean 'good'?"),
        ("MODULE:zzz", [], "has no 'zzz'. It has good, product,"),
        ("MODULE:number", [], ":number is int, expected a function of tensors or a model"),
        ("MODULE:net", [], ":net is a model: give the shape of its input, --shape 5,4"),
        ("MODULE:product", ["--shape", "3,4", "3,4"], "numbers of shape (3, 4), (3, 4): choose others with --shape"),
        ("MODULE:product", ["--shape", "3,4"], "numbers of shape (3, 4): choose others"),
        ("MODULE:endless", [], "f is not finite at the inputs"),
        ("MODULE:no_tensor", [], "f returned float, expected a Tensor"),
    ],
)
def test_what_cannot_be_checked(
    target: str, words: list[str], message: str, module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, target.replace("MODULE", module), *words)
    assert (status, out) == (2, "")
    assert err.startswith("check: ")
    assert message in err


def test_the_users_line_is_named(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = run(capsys, f"{module}:shaped")
    line = SOURCE.splitlines().index("    assert x.ndim == 2") + 1
    assert f"AssertionError at {Path.cwd() / module}.py:{line}" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: module:function"),
        (["m:f", "--shape", "3x4"], "argument --shape: invalid shape (3,4 say) value: '3x4'"),
        (["m:f", "--shape=-3"], "argument --shape: invalid shape (3,4 say) value: '-3'"),
        (["m:f", "--dtype", "int64"], "argument --dtype: invalid choice: 'int64'"),
        (["m:f", "--order", "3"], "argument --order: invalid choice: 3"),
        (["m:f", "--scale", "0"], "argument --scale: invalid positive number value: '0'"),
        (["m:f", "--seed", "-1"], "argument --seed"),
    ],
)
def test_wrong_options(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["check", *words])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_as_a_process(module: str) -> None:
    def done(*words: str) -> Any:
        command = [sys.executable, "-W", "error", "-c", "import sys; sys.path[:0] = [sys.argv.pop(1)]; "
                   "from tinygrad_fc.__main__ import main; sys.exit(main())"]  # fmt: skip
        return subprocess.run([*command, str(ROOT), "check", *words], capture_output=True, text=True, check=False)

    assert [done(f"{module}:{name}").returncode for name in ("good", "bad", "missing")] == [0, 1, 2]


@pytest.mark.parametrize(("words", "expected"), [(["--help"], " check "), (["check", "--help"], "module:function")])
def test_help(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 0
    assert expected in " ".join(capsys.readouterr().out.split())

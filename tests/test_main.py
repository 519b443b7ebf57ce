"""The command line: the demo trains, checks, draws and says so; its exit status tells what went wrong."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import tinygrad_fc as tg
from tinygrad_fc import bench, demo
from tinygrad_fc.__main__ import main
from tinygrad_fc.check.gradcheck import GradcheckReport, InputCheck

ROOT = Path(__file__).resolve().parents[1]


def stub(holds: bool) -> Any:
    """Return a quick check in place of the real one."""
    verdict, number = ("correct", 1.0) if holds else ("wrong", 2.0)
    row = InputCheck(
        "fc1.W", (64, 200), "float64", verdict, 1, error=number - 1.0, worst=(0, 0), analytic=1.0, numerical=number
    )
    return lambda *_, **__: GradcheckReport((row,))


@pytest.fixture
def quick_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "gradcheck", stub(holds=True))


def run_demo(folder: Path, *words: str) -> int:
    return main(["demo", "--out", str(folder), "--epochs", "2", *words])


# ---- demo


def test_the_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "COORDINATES", 12)
    folder = tmp_path / "some" / "where"
    assert run_demo(folder) == 0
    out, err = capsys.readouterr()
    assert sorted(path.name for path in folder.iterdir()) == ["graph.svg", "training.png"]
    assert (folder / "training.png").read_bytes().startswith(b"\x89PNG")
    texts = ET.parse(folder / "graph.svg").iter("{http://www.w3.org/2000/svg}text")
    words = {"".join(text.itertext()).strip() for text in texts}
    assert {"fc1.W", "fc3.b", "softmax_loss", "64 × 200 float64", "FullyConnectedNet"} <= words
    assert "1200 to train on, 297 to validate, 300 to test" in out
    assert "64-200-100-10, 34,110 parameters, float64" in out
    trained = re.search(r"^Trained   48 steps in .* s: ([\d.]+) of the validation images right, ([\d.]+) of", out, re.M)
    assert trained is not None
    assert min(float(trained[1]), float(trained[2])) > 0.85
    table = [line for line in out.splitlines() if re.match(r"(fc[123]\.[Wb])  ", line)]
    assert [line.split()[0] for line in table] == ["fc1.W", "fc1.b", "fc2.W", "fc2.b", "fc3.W", "fc3.b"]
    assert all(" correct " in line for line in table)
    assert "12 of 12800" in table[0]
    assert all(float(re.findall(r"\d\.\de-\d\d", line)[0]) < 1e-6 for line in table)
    assert f"Graph     {folder / 'graph.svg'}" in out
    assert f"Curves    {folder / 'training.png'}" in out
    assert "48/48" in err  # the progress bar


@pytest.mark.usefixtures("quick_check")
def test_one_seed_is_one_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def figures(*words: str) -> str:
        assert run_demo(tmp_path, *words) == 0
        out, err = capsys.readouterr()
        return re.sub(r"[\d.]+ s\b", "", out) + re.findall(r"loss=[^,]*", err)[-1]

    assert figures() == figures("--seed", "0") != figures("--seed", "1")


@pytest.mark.usefixtures("quick_check")
def test_options_reach_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def watched(make: Any, *names: str) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            seen.update({f"{make.__name__}.{name}": kwargs[name] for name in names})
            return make(*args, **kwargs)

        return wrapped

    monkeypatch.setattr(demo, "Solver", watched(demo.Solver, "seed", "num_epochs", "progress"))
    monkeypatch.setattr(demo, "FullyConnectedNet", watched(demo.FullyConnectedNet, "seed"))
    assert main(["demo", "--out", str(tmp_path), "--epochs", "3", "--seed", "7"]) == 0
    assert seen == {
        "Solver.seed": 7, "Solver.num_epochs": 3, "Solver.progress": True, "FullyConnectedNet.seed": 7,
    }  # fmt: skip


def test_a_wrong_gradient_gives_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "gradcheck", stub(holds=False))
    assert run_demo(tmp_path) == 1
    out, err = capsys.readouterr()
    assert "WRONG" in out
    assert "A gradient is WRONG: see the table." in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph.svg", "training.png"]  # the pictures help


@pytest.mark.usefixtures("quick_check")
def test_without_a_renderer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    assert run_demo(tmp_path) == 1
    out, err = capsys.readouterr()
    assert "Graph not drawn: draw: no program renders the picture. Install one: pip install graphviz-pure" in err
    assert "Graph  " not in out
    assert [path.name for path in tmp_path.iterdir()] == ["training.png"]


@pytest.mark.usefixtures("quick_check")
def test_without_matplotlib(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run_demo(tmp_path) == 1
    out, err = capsys.readouterr()
    assert "Curves not drawn: plot_history needs matplotlib: pip install matplotlib" in err
    assert "Graph     " in out
    assert [path.name for path in tmp_path.iterdir()] == ["graph.svg"]


@pytest.mark.parametrize(("below", "reason"), [("", "File exists"), ("under", "Not a directory")])
def test_a_folder_that_cannot_be_made(
    below: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    folder = file / below if below else file
    assert run_demo(folder) == 2
    out, err = capsys.readouterr()
    assert err == f"demo: cannot make the folder {folder}: {reason}. Name another: --out FOLDER\n"
    assert out == ""  # nothing was trained for nothing
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "0"], "argument --epochs: invalid positive integer value: '0'"),
        (["--epochs", "-3"], "argument --epochs: invalid positive integer value: '-3'"),
        (["--epochs", "many"], "argument --epochs: invalid positive integer value: 'many'"),
        (["--epochs"], "argument --epochs: expected one argument"),
        (["--seed", "1.5"], "argument --seed: invalid integer of at least 0 value: '1.5'"),
        (["--seed", "-1"], "argument --seed"),
        (["--out"], "argument --out: expected one argument"),
        (["--speed", "1"], "unrecognized arguments: --speed 1"),
    ],
)
def test_wrong_options_of_the_demo(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demo", *words])
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""


def test_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(demo, "main", lambda arguments: given.append(arguments) or 0)
    assert main(["demo"]) == 0
    assert (given[0].out, given[0].epochs, given[0].seed) == (Path("out"), 30, 0)


# ---- the other commands


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"tinygrad_fc {tg.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: command"),
        (["dmeo"], "invalid choice: 'dmeo'"),
        (["--epochs", "1"], "invalid choice: '1'"),
    ],
)
def test_an_unknown_command(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("usage: tinygrad-fc")


@pytest.mark.parametrize("words", [["--help"], ["demo", "--help"], ["bench", "--help"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 0
    out = " ".join(capsys.readouterr().out.split())  # the lines are as long as the terminal is wide
    expected = {"demo": "--epochs", "bench": "--json"}.get(words[0], "bench")
    assert expected in out
    assert "default: out" in out or words[0] != "demo"


def test_bench_is_wired(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--networks", "huge"]) == 2
    assert "bench: unknown network 'huge'; choose from" in capsys.readouterr().err
    given = []
    monkeypatch.setattr(bench, "main", lambda arguments: given.append(arguments) or 1)
    assert main(["bench", "--networks", "small", "--quick", "--json", "figures.json"]) == 1
    assert (given[0].networks, given[0].quick, given[0].json) == (["small"], True, Path("figures.json"))


def test_as_a_module_and_as_a_script() -> None:
    command = [sys.executable, "-W", "error", "-m", "tinygrad_fc"]
    done = subprocess.run([*command, "--version"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"tinygrad_fc {tg.__version__}\n", "")
    wrong = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts == {"tinygrad-fc": f"{main.__module__}:{main.__name__}"}


def test_ctrl_c_while_a_room_is_imported_is_no_traceback() -> None:
    """It was one of the imports' frames, for the first half second of each command."""
    script = (
        "import runpy, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'tinygrad_fc.training.command':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "sys.argv = ['tinygrad_fc', 'summary']\n"
        "runpy.run_module('tinygrad_fc', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")

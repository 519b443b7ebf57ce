"""train, evaluate, predict and summary: what a run in a folder holds, and what is refused before it begins."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_fc.__main__ import main
from tinygrad_fc.training.config import RECIPES, RunConfig

QUICK = ["--hidden", "16", "--epochs", "3", "--normalization", "none", "--dropout", "0"]


def train(folder: Path, *words: str) -> int:
    return main(["train", "--out", str(folder), *QUICK, *words])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("runs") / "digits"
    assert train(folder, "--quiet") == 0
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a data set of the user's: three classes of points, with words for labels and features of other scales."""
    generator = np.random.default_rng(0)
    labels = np.arange(90) % 3
    points = np.array([[2.0, 0.0], [-2.0, 1.0], [0.0, -2.0]])[labels] + 0.4 * generator.standard_normal((90, 2))
    path = tmp_path / "points.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["height", "class", "width"])
        for (x, y), label in zip(points, labels, strict=True):
            writer.writerow([1000 * x, ["red", "green", "blue"][label], y / 1000])
    return path


def test_a_run_is_a_folder(run: Path) -> None:
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints", "history.csv", "input.safetensors", "model.safetensors", "results.json", "run.toml", "steps.csv",
        "training.png",
    ]  # fmt: skip
    config = tomllib.loads((run / "run.toml").read_text())
    assert (config["dataset"], config["hidden"], config["epochs"]) == ("digits", [16], 3)
    assert (run / "training.png").read_bytes().startswith(b"\x89PNG")
    with (run / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    with (run / "steps.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 36
    results = json.loads((run / "results.json").read_text())
    assert (results["epochs"], results["steps"]) == (3, 36)
    assert 0.3 < results["test_acc"] <= 1.0


def test_without_matplotlib_there_is_no_picture(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert train(tmp_path / "run", "--quiet") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == f"In {tmp_path / 'run'}: model.safetensors, run.toml, history.csv"
    assert "No picture of the training: plot_history needs matplotlib: pip install" in err


def test_a_configuration_makes_the_same_run_again(run: Path, tmp_path: Path) -> None:
    assert main(["train", "--config", str(run / "run.toml"), "--out", str(tmp_path / "again"), "--quiet"]) == 0
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    assert (tmp_path / "again" / "run.toml").read_text() == (run / "run.toml").read_text()
    other = ["train", "--config", str(run / "run.toml"), "--out", str(tmp_path / "other"), "--seed", "1", "--quiet"]
    assert main(other) == 0
    assert (tmp_path / "other" / "model.safetensors").read_bytes() != (run / "model.safetensors").read_bytes()


def test_lines_and_json_tell_the_results(tmp_path: Path, capsys: Any) -> None:
    assert train(tmp_path / "a") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "digits: 1,200 to train on, 297 to validate, 300 to test; 64-16-10, 1,210 parameters"
    assert [line[:15] for line in lines[1:4]] == ["epoch   1 of 3 ", "epoch   2 of 3 ", "epoch   3 of 3 "]
    assert lines[4].startswith("Trained 3 epochs in ")
    assert err == ""
    assert train(tmp_path / "b", "--json") == 0
    out, err = capsys.readouterr()
    results = json.loads(out)
    assert results["out"] == str(tmp_path / "b")
    assert f"test accuracy {results['test_acc']:.4f}" in lines[4]


def test_evaluate_counts_each_class(run: Path, capsys: Any) -> None:
    assert main(["evaluate", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["acc"] == json.loads((run / "results.json").read_text())["test_acc"]
    assert found["part"] == "test"
    assert sum(row["samples"] for row in found["classes"]) == found["samples"] == 300
    assert sum(row["right"] for row in found["classes"]) == round(found["acc"] * 300)
    assert main(["evaluate", str(run), "--part", "val"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("digits, val: 297 samples, accuracy 0.")
    assert len(lines) == 13


def test_predict_says_class_and_probability(run: Path, tmp_path: Path, capsys: Any) -> None:
    from tinygrad_fc.data import load_digits

    data = load_digits()
    X, y = data["X_test"], data["y_test"]
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "x.npz", X=X.reshape(-1, 8, 8))
    np.savetxt(tmp_path / "x.csv", X, delimiter=",")
    answers = []
    for name in ("x.npy", "x.npz", "x.csv"):
        assert main(["predict", str(run), str(tmp_path / name), "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1] == answers[2]
    right = np.mean([row["class"] == label for row, label in zip(answers[0], y, strict=True)])
    assert right == json.loads((run / "results.json").read_text())["test_acc"]
    assert all(0.1 <= row["probability"] <= 1.0 for row in answers[0])
    assert main(["predict", str(run), str(tmp_path / "x.npy"), "--json", "--out", str(tmp_path / "p.json")]) == 0
    assert capsys.readouterr().out == ""
    assert json.loads((tmp_path / "p.json").read_text()) == answers[0]
    assert main(["predict", str(run), str(tmp_path / "x.npy"), "--out", str(tmp_path / "p.csv")]) == 0
    with (tmp_path / "p.csv").open() as file:
        assert [int(row["class"]) for row in csv.DictReader(file)] == [row["class"] for row in answers[0]]


def test_data_of_ones_own_with_words_for_labels(own: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["--dataset", str(own), "--epochs", "30", "--batch-size", "16", "--lr", "0.05", "--json"]
    assert train(tmp_path / "run", *words) == 0
    results = json.loads(capsys.readouterr().out)
    assert results["test_acc"] is None
    assert results["val_acc"] > 0.9
    (tmp_path / "new.csv").write_text("height,width\n2000,0\n-2000,0.001\n0,-0.002\n")
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "new.csv")]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["class"] for row in rows] == ["red", "green", "blue"]
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    assert "points.csv, val: 18 samples" in capsys.readouterr().out
    # Another file is measured whole, and its classes are known by their names.
    (tmp_path / "test.csv").write_text("height,width,class\n2000,0,red\n0,-0.002,blue\n2001,0,blue\n")
    assert main(["evaluate", str(tmp_path / "run"), "--dataset", str(tmp_path / "test.csv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["samples"], round(found["acc"], 4)) == (3, 0.6667)
    assert {row["name"]: (row["samples"], row["right"]) for row in found["classes"]} == {
        "blue": (2, 1), "green": (0, 0), "red": (1, 1)
    }  # fmt: skip
    (tmp_path / "test.csv").write_text("height,width,class\n2000,0,red\n0,-0.002,pink\n")
    assert main(["evaluate", str(tmp_path / "run"), "--dataset", str(tmp_path / "test.csv")]) == 2
    assert "it has ['pink'], which are none of the classes ['blue', 'green', 'red']" in capsys.readouterr().err


def test_summary_of_a_run_and_of_a_plan(run: Path, capsys: Any) -> None:
    assert main(["summary", str(run)]) == 0
    out = capsys.readouterr().out
    assert "Of 1,210 parameters" in out
    assert 'dataset = "digits"' in out
    assert "test_acc" in out
    assert main(["summary", "--hidden", "32,16", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["config"]["hidden"] == [32, 16]
    assert found["config"]["dropout"] == RECIPES["digits"]["dropout"]
    assert found["results"] == {}


def test_a_killed_run_is_resumed(tmp_path: Path) -> None:
    """The process is killed in the middle: what --resume makes is what one run makes."""
    words = [*QUICK[:2], "--epochs", "60", "--checkpoint-every", "5", "--quiet", "--normalization", "batchnorm"]
    assert main(["train", "--out", str(tmp_path / "whole"), *words]) == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "tinygrad_fc", "train", "--out", str(tmp_path / "killed"), *words],
        cwd=Path(__file__).parents[2],
    )
    while not list(tmp_path.glob("killed/checkpoints/step-*")):
        assert process.poll() is None
    process.kill()
    process.wait()
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    assert main(["train", "--out", str(tmp_path / "killed"), "--resume"]) == 0  # and with its lines this time
    names = [folder / "model.safetensors" for folder in (tmp_path / "whole", tmp_path / "killed")]
    assert names[0].read_bytes() == names[1].read_bytes()


def test_a_run_is_not_replaced_unasked_and_can_be_made_longer(run: Path, tmp_path: Path, capsys: Any) -> None:
    before = (run / "model.safetensors").read_bytes()
    assert train(run) == 2
    assert "there is a run in it; --resume goes on with it, --overwrite replaces it" in capsys.readouterr().err
    assert (run / "model.safetensors").read_bytes() == before
    assert train(tmp_path / "run", "--quiet") == 0
    (tmp_path / "run" / "mine.txt").write_text("kept")
    assert train(tmp_path / "run", "--resume", "--epochs", "5", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["epochs"] == 5
    assert train(tmp_path / "run", "--overwrite", "--json") == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 3
    assert (tmp_path / "run" / "mine.txt").read_text() == "kept"
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert train(tmp_path / "run", "--overwrite", "--batch-size", "5000") == 2
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before  # a run that cannot be made replaces none


def test_a_run_goes_on_as_it_is(tmp_path: Path, capsys: Any) -> None:
    assert train(tmp_path / "run", "--quiet") == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    for words, match in (
        (["--activation", "tanh"], "its activation is 'relu', and 'tanh' is asked for"),
        (["--lr", "0.5"], "its learning_rate is 0.003, and 0.5 is asked for"),
        (["--seed", "7"], "its seed is 0, and 7 is asked for"),
        (["--overwrite"], "--resume goes on with a run, and --overwrite replaces it: give one of them"),
    ):
        assert main(["train", "--out", str(tmp_path / "run"), "--resume", *words]) == 2
        assert match in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()} == before


def test_a_run_that_goes_on_may_change_its_patience_and_its_checkpoints(tmp_path: Path, capsys: Any) -> None:
    """Both were written into run.toml and had no effect."""
    folder = tmp_path / "run"
    assert train(folder, "--quiet") == 0
    words = ["--resume", "--patience", "1", "--checkpoint-every", "5", "--json"]
    assert train(folder, "--epochs", "60", *words, "--schedule", "cosine") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["epochs"] < 60
    steps = sorted(int(path.name.split("-")[1]) for path in (folder / "checkpoints").iterdir())
    assert [step % 5 for step in steps[:-1]] == [0, 0]
    config = tomllib.loads((folder / "run.toml").read_text())
    assert (config["patience"], config["checkpoint_every"]) == (1, 5)
    assert train(folder, "--resume", "--epochs", "2") == 2
    assert "train: epochs: given 2, but " in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--normalization", "batchnorm", "--batch-size", "1"],
                                   ["--lr", "1e8", "--rule", "sgd", "--schedule", "none", "--reg", "100"]])  # fmt: skip
def test_an_overwriting_run_that_fails_gives_the_old_one_back(words: list[str], tmp_path: Path, capsys: Any) -> None:
    assert train(tmp_path / "run", "--quiet") == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with np.errstate(all="warn"):
        assert train(tmp_path / "run", "--overwrite", *words) in (1, 2)
    assert f"the run that was in {tmp_path / 'run'} is there again" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    assert train(tmp_path / "run", "--overwrite", "--epochs", "2", "--quiet") == 0
    assert not (tmp_path / "run" / ".replaced").exists()


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--dataset", "digit"], "dataset: unknown 'digit' (did you mean 'digits'?)"),
        (["--dataset", "none.csv"], "none.csv: there is no such file"),
        (["--dropout", "1"], "dropout: given 1.0, expected a number in [0, 1)"),
        (["--lr", "-1"], "learning_rate: given -1.0"),
        (["--lr", "nan"], "learning_rate: given nan"),
        (["--batch-size", "5000"], "batch_size is 5000, but X_train has 1200 samples"),
        (["--hidden", "0"], "hidden: given [0], expected sizes of at least 1"),
        (["--resume"], "there is no run to resume; leave --resume out to start one"),
        (["--config", "none.toml"], "none.toml"),
        (["--dataset", "cifar10", "--data", "nowhere"], "nowhere"),
        (["--dataset", "fashion-mnist", "--data", "nowhere"], "dataset-fashion-mnist"),
        (["--out", "/proc/none/run"], "/proc/none"),
    ],
)
def test_what_is_wrong_is_said_before_training_starts(
    words: list[str], match: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train(tmp_path / "run", *words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("train: ")
    assert match in err
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [["--rule", "adamm"], ["--epochs", "x"], ["--hidden", "a"], ["--nonsense"]])
def test_words_that_are_none_are_usage_errors(words: list[str], tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        train(tmp_path / "run", *words)
    assert caught.value.code == 2
    assert words[0].lstrip("-")[:4] in capsys.readouterr().err


def test_configurations_that_are_none_are_refused(tmp_path: Path, capsys: Any) -> None:
    for text, match in (
        ("epoch = 3", "unknown option 'epoch' (did you mean 'epochs'?)"),
        ("epochs = 'x'", "epochs: given 'x', expected int"),
        ("epochs = 0", "epochs: given 0"),
        ("epochs = [", "no TOML file"),
        ("hidden = [1.5]", "hidden: given [1.5]"),
        ("flip = 1", "flip: given 1, expected bool"),
    ):
        (tmp_path / "run.toml").write_text(text)
        assert main(["train", "--config", str(tmp_path / "run.toml"), "--out", str(tmp_path / "run")]) == 2
        err = capsys.readouterr().err
        assert "run.toml" in err
        assert match in err


def test_folders_without_a_run_and_damaged_ones_are_named(run: Path, tmp_path: Path, capsys: Any) -> None:
    for command in (["evaluate", str(tmp_path)], ["predict", str(tmp_path), "x.npy"], ["summary", str(tmp_path)]):
        assert main(command) == 2
        assert "no finished run, run.toml is missing; python -m tinygrad_fc train --out" in capsys.readouterr().err
    for name in ("run.toml", "model.safetensors", "input.safetensors"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04." * 9)
    assert main(["evaluate", str(tmp_path)]) == 2
    assert f"{tmp_path / 'model.safetensors'}: no safetensors file" in capsys.readouterr().err
    for name, array, match in (
        ("a.npy", np.zeros((2, 3)), "samples have 3 features of float64, the network takes 64 numbers"),
        ("b.npy", np.full((2, 64), np.nan), "samples hold NaN or infinity"),
        ("c.npy", np.array([object()]), "allow_pickle=False"),
        ("empty.npy", None, "No data left in file"),
        ("d.txt", np.zeros(2), "expected a name that ends in .npy, .npz or .csv"),
    ):
        with (tmp_path / name).open("wb") as file:
            if array is not None:
                np.save(file, array, allow_pickle=True)
        assert main(["predict", str(run), str(tmp_path / name)]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"predict: {tmp_path / name}: ")
        assert match in err
    (tmp_path / "e.csv").write_text("a,b,species\n1,2,setosa\n")
    assert main(["predict", str(run), str(tmp_path / "e.csv")]) == 2
    assert "line 2, column 3 (species): 'setosa' is no number; give the numbers of each sample alone, without" in (
        capsys.readouterr().err
    )


def test_a_pipe_that_nobody_reads_any_more_loses_no_model(tmp_path: Path) -> None:
    """As ``| head -1`` leaves it: the training ended with a broken pipe."""
    command = [sys.executable, "-m", "tinygrad_fc", "train", "--out", str(tmp_path / "run"), *QUICK]
    pipe, root = subprocess.PIPE, Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"digits: ")  # at once, not when the buffer is full
        process.stdout.close()
        assert b"Broken" not in process.stderr.read()
        assert process.wait() == 0
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_stream_without_a_descriptor_may_break_too(stream: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, stream, Broken())
    assert main(["summary", str(run)]) == 0
    assert main(["summary", str(run / "none")]) == 2


def test_a_run_that_diverges_says_so(tmp_path: Path, capsys: Any) -> None:
    with np.errstate(all="warn"):  # as it is in a process of its own
        assert train(tmp_path / "run", "--lr", "1e8", "--rule", "sgd", "--schedule", "none", "--reg", "100") == 1
    assert re.match(r"train: (the loss of iteration \d+ is|the gradient of W\d in iteration)", capsys.readouterr().err)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_every_option_is_in_the_file() -> None:
    for name in ('a "b".csv', "mine😀.csv", "tab\tand\x7fdel\\.csv", "ü\u2028\ue000.csv"):
        config = RunConfig(hidden=(3, 4), dataset=name)
        assert RunConfig(**tomllib.loads(config.to_toml())) == config


def test_a_name_that_no_file_holds_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dataset: given 'a\\udcff\.csv', which no TOML file can hold; rename"):
        RunConfig(dataset="a\udcff.csv")

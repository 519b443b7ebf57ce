"""train, evaluate and summary: no option is ignored, and what is not given is what fits."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_fc.__main__ import main
from tinygrad_fc.optim import RULES
from tinygrad_fc.training.config import RECIPES, RunConfig

QUICK = ["--hidden", "8", "--epochs", "2", "--normalization", "none", "--dropout", "0", "--quiet"]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a data set of the user's, of 40 samples."""
    generator = np.random.default_rng(0)
    rows = [f"{a:.4f},{b:.4f},{int(a > b)}" for a, b in generator.standard_normal((40, 2))]
    path = tmp_path / "own.csv"
    path.write_text("a,b,label\n" + "\n".join(rows) + "\n")
    return path


def train(folder: Path, *words: str) -> int:
    return main(["train", "--out", str(folder), *QUICK, *words])


def config_of(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "run.toml").read_text())


def test_few_samples_are_one_batch_unless_a_size_is_asked_for(own: Path, tmp_path: Path, capsys: Any) -> None:
    """The default of 100 was more than there were, and every such run failed."""
    assert train(tmp_path / "run", "--dataset", str(own)) == 0
    assert config_of(tmp_path / "run")["batch_size"] == 32  # of 40, 8 validate
    assert train(tmp_path / "asked", "--dataset", str(own), "--batch-size", "100") == 2
    assert "batch_size is 100, but X_train has 32 samples" in capsys.readouterr().err
    assert main(["summary", "--dataset", str(own), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["batch_size"] == 32


@pytest.mark.parametrize("rule", ["adam", "adadelta", "sgd"])
def test_a_rule_has_its_own_rate_where_none_is_given(rule: str, tmp_path: Path) -> None:
    """They were run at the rate of the recipe, which is Adam's."""
    own = RECIPES["digits"]["learning_rate"] if rule == "adam" else RULES[rule].options["learning_rate"].default
    assert RunConfig.of({"rule": rule}, "here").learning_rate == own
    assert RunConfig.of({"rule": rule, "learning_rate": 0.5}, "here").learning_rate == 0.5
    (tmp_path / "run.toml").write_text(RunConfig(rule="lion", learning_rate=0.25, epochs=1).to_toml())
    words = ["train", "--config", str(tmp_path / "run.toml"), "--quiet"]
    assert main([*words, "--out", str(tmp_path / "a"), "--rule", rule]) == 0
    assert config_of(tmp_path / "a")["learning_rate"] == own
    assert main([*words, "--out", str(tmp_path / "b"), "--rule", "lion"]) == 0
    assert config_of(tmp_path / "b")["learning_rate"] == 0.25


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--validation", "0.9"], "validation: given 0.9, which has no effect on digits: its parts are fixed; l"),
        (["--validation", "0.2"], "validation: given 0.2, which has no effect on digits"),
        (["--data", "here"], "data: given 'here', which has no effect on digits: it is in the package"),
        (["--dataset", "OWN", "--data", "here"], "which has no effect on OWN: --dataset is the path of the file"),
    ],
)
def test_options_that_a_data_set_has_no_use_for_are_refused(
    words: list[str], match: str, own: Path, tmp_path: Path, capsys: Any
) -> None:
    assert train(tmp_path / "run", *(word.replace("OWN", str(own)) for word in words)) == 2
    assert match.replace("OWN", str(own)) in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_configuration_of_another_data_set_keeps_to_this_rule(own: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "run.toml").write_text(RunConfig(validation=0.5, epochs=1).to_toml())
    words = ["--config", str(tmp_path / "run.toml")]
    assert train(tmp_path / "run", *words) == 2
    assert "run.toml: validation: given 0.5, which has no effect on digits" in capsys.readouterr().err
    assert train(tmp_path / "run", *words, "--dataset", str(own), "--batch-size", "10") == 0


def test_summary_of_a_run_takes_no_options_of_a_network(own: Path, tmp_path: Path, capsys: Any) -> None:
    assert train(tmp_path / "run", "--dataset", str(own)) == 0
    capsys.readouterr()
    assert main(["summary", str(tmp_path / "run"), "--hidden", "99", "--learning-rate", "1"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"summary: --hidden, --learning-rate: {tmp_path / 'run'} is a run as it is; leave that out" in err
    assert main(["summary", str(tmp_path / "run"), "--config", str(tmp_path / "run" / "run.toml")]) == 2
    assert "summary: --config: " in capsys.readouterr().err


def test_evaluate_notices_that_the_file_has_changed(own: Path, tmp_path: Path, capsys: Any) -> None:
    """It was split anew, and samples that were trained on were measured."""
    assert train(tmp_path / "run", "--dataset", str(own)) == 0
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    own.write_text(own.read_text() + "1,2,0\n")
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run")]) == 2
    assert "own.csv: its train part is not that of the run (" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "run"), "--dataset", str(own), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 41


@pytest.mark.parametrize("text", ["dataset = 5", "dataset = ['digits']", "dataset = {}", "rule = []", "dataset = true"])
def test_a_configuration_of_another_kind_is_named(text: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "run.toml").write_text(text)
    assert main(["train", "--config", str(tmp_path / "run.toml")]) == 2
    name = text.split()[0]
    assert capsys.readouterr().err.startswith(f"train: {tmp_path / 'run.toml'}: {name}: given ")

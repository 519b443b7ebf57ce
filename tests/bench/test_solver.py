"""``bench --solver``: the time of a step is taken apart, and everything that ran is in one of the parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_fc.__main__ import main
from tinygrad_fc.bench import solver
from tinygrad_fc.training import loop


def test_a_round_takes_a_training_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((300, 3072), dtype=np.float32), rng.integers(10, size=300)
    norm = loop._norm
    spent = solver._round({"X_train": X, "y_train": y, "X_val": X[:1], "y_val": y[:1]})
    assert set(spent) == {"model", "rule", "recording", "pictures", "measuring", "own"}
    assert all(seconds > 0 for seconds in spent.values())
    assert spent["model"] > spent["own"]
    assert loop._norm is norm  # what was timed is as it was


def test_the_command_prints_and_writes_shares(tmp_path: Path, capsys: Any) -> None:
    assert main(["bench", "--solver", "--quick", "--json", str(tmp_path / "s.json")]) == 0
    out = capsys.readouterr().out
    assert "what the Solver adds" in out
    found = json.loads((tmp_path / "s.json").read_text())["solver"]
    assert found["rounds"] == 3
    for part in solver.PARTS:
        assert found[part]["lower"] <= found[part]["median"] <= found[part]["upper"]
    assert f"{100 * found['own']['median']:.1f} %" in out

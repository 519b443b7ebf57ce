"""``bench --ideas``: both ways of each idea agree before they are timed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_fc import kernels
from tinygrad_fc.__main__ import main
from tinygrad_fc.bench import ideas, session
from tinygrad_fc.kernels import numpy_


@pytest.fixture(scope="module")
def run(tmp_path_factory: Any) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("ideas") / "i.json"
    assert main(["bench", "--ideas", "--quick", "--json", str(file)]) == 0
    found: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
    return found


def test_every_idea_is_timed_beside_what_it_replaced(run: dict[str, Any]) -> None:
    assert len({row["idea"] for row in run["ideas"]["rows"]}) == len(run["ideas"]["rows"]) > 5
    for row in run["ideas"]["rows"]:
        assert row["ratio"]["lower"] <= row["ratio"]["median"] <= row["ratio"]["upper"]
        assert min(row[form]["median"] for form in ("now", "before")) > 0
    assert kernels.kernels(np.zeros(3)) is numpy_  # the policy is as it was


def test_results_that_differ_are_a_problem() -> None:
    idea = ideas.Idea("one", lambda: None, lambda: None, lambda: False)
    assert "do not agree" in ideas._time(idea, session.Pace.quick(None))["problem"]


def test_without_numba_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(ideas, "machine_for", lambda *_: None)
    assert main(["bench", "--ideas", "--quick"]) == 2
    assert "install Numba" in capsys.readouterr().err
    kernels.use_kernels("auto")

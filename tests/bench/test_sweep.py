"""``bench --sweep``: points are compared and timed, threads are the process's own, deep networks get their gradients.

No test asserts a time.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_fc.__main__ import main
from tinygrad_fc.bench import engines, report, session, sweep, workers
from tinygrad_fc.bench.networks import Network, Problem, make_problem
from tinygrad_fc.bench.runs import Run

PACE = session.Pace.quick(None)


def test_the_axes_are_what_they_are_called() -> None:
    depth, width, batch, *threads = sweep.axes(quick=False)
    assert [value for value, _ in depth.points] == [len(n.sizes) - 1 for _, n in depth.points] == [2, 4, 8, 16, 32, 64]
    assert [value for value, _ in width.points] == [n.sizes[1] for _, n in width.points]
    assert {len(n.sizes) - 1 for _, n in width.points} == {3}
    assert [value for value, _ in batch.points] == [n.batch_size for _, n in batch.points]
    assert [axis.threads for axis in threads] == [True, True]
    assert all(len(axis.points) == 2 for axis in sweep.axes(quick=True))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_batch_may_have_any_size(n: int) -> None:
    problem = make_problem(Network("n", (3, 4, 2), n, "sgd", 1e-2))
    assert problem.inputs.shape == (n, 3)
    assert problem.labels.shape == (n,)
    np.testing.assert_array_equal(problem.inputs[: n // 2], problem.inputs[(n + 1) // 2 :])


def test_a_worker_has_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with workers.Worker("it", dict.fromkeys(sweep.THREADS, "1")) as worker:
        assert [worker.call(os.getenv, name) for name in sweep.THREADS] == ["1"] * 4
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


@pytest.mark.parametrize("layers", [2, 300])
def test_deep_networks_get_their_gradients(layers: int) -> None:
    assert len(sweep.time_deep(layers, 2)) == 2


@pytest.mark.parametrize(("mistake", "message"), [("none", "no gradient came"), ("one", "the gradient of layer 3")])
def test_deep_networks_with_a_wrong_gradient_are_found(
    mistake: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(problem: Problem) -> Run:
        run = engines.build_ours(problem)

        def weights() -> list[Any]:
            assert run.weights is not None
            found = run.weights()
            if mistake == "one":
                found[4] = found[4] + np.float32(1e-3)
            return found if mistake == "one" else list(problem.weights)

        return Run(run.step, run.loss, weights)

    monkeypatch.setattr(sweep, "build_ours", build)
    with pytest.raises(ValueError, match=message):
        sweep.time_deep(5, 1)


def test_gradients_alone_change_no_weight() -> None:
    problem = sweep.deep_problem(3)
    run = engines.build_ours_gradients(problem)
    run.step()
    assert run.weights is not None
    for a, b in zip(run.weights(), problem.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_command_sweeps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sweep.json"
    full = sweep.axes
    tiny = Network("tiny", (7, 6, 3), 4, "adam", 1e-2)
    threads = sweep.Axis("threads (tiny)", [(1, tiny)], threads=True)
    monkeypatch.setattr(sweep, "axes", lambda quick: [full(quick)[1], threads])
    assert main(["bench", "--sweep", "--quick", "--json", str(file)]) == 0
    found = json.loads(file.read_text(encoding="utf-8"))
    assert list(found) == ["environment", "sweep", "deep"]
    assert len(found["sweep"]) == 2
    for axis in found["sweep"]:
        for row in axis["rows"]:
            assert {"products", "ours"} <= set(row["engines"]) <= set(sweep.TIMED)
            assert all(figures["seconds"]["median"] > 0 for figures in row["engines"].values())
            assert row["engines"]["ours"]["update_error"] < 1e-3
    assert [row["layers"] for row in found["deep"]] == [100, 300]
    out = capsys.readouterr().out
    assert "A training step over width (3 layers, N=128)" in out
    assert "Layers of width 4, ours" in out


def test_what_failed_is_told() -> None:
    row = {"value": 2, "engines": {"products": {"problem": "failed: a"}, "ours": {"unavailable": "no b"}}}
    text = report.text({"sweep": [{"axis": "depth", "rows": [row]}]})
    assert "products at 2: failed: a" in text
    assert "ours at 2: no b" in text
    assert "1,000: failed: c" in report.text({"deep": [{"layers": 1000, "problem": "failed: c"}]})

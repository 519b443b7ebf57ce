"""``bench --epoch``: loops get the same batches and agree, those that do not are found, and the data are named.

No test asserts a time.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cifar10_made import write_folder

from tinygrad_fc.__main__ import main
from tinygrad_fc.bench import engines, epoch, measure, report, session, workers
from tinygrad_fc.bench.handmade import HandTuned
from tinygrad_fc.bench.networks import Array, Problem, make_problem

PACE = session.Pace.quick(None)


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TINYGRAD_FC_DATA", str(tmp_path))


def images(count: int) -> tuple[Array, epoch.Labels]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((count, 3072), dtype=np.float32), rng.integers(10, size=count)


def other_labels(problem: Problem, X: Array, y: epoch.Labels, draw: epoch.Draw) -> epoch.Loop:
    """Be a loop whose labels are not those of its images."""
    return epoch.numpy_loop(problem, X, np.roll(y, 1), draw)


def other_rate(problem: Problem, X: Array, y: epoch.Labels, draw: epoch.Draw) -> epoch.Loop:
    """Be a loop that learns at another rate."""
    network = replace(problem.network, learning_rate=2e-4)
    return epoch.numpy_loop(replace(problem, network=network), X, y, draw)


def broken(problem: Problem, X: Array, y: epoch.Labels, draw: epoch.Draw) -> epoch.Loop:
    """Be a loop that cannot be set up."""
    raise ValueError("broken")


def test_loops_agree_on_the_same_batches_in_the_same_order() -> None:
    """The reference is the hand-tuned step, on batches that are gathered here."""
    X, y = images(350)  # the last 50 of an order are left out
    problem = make_problem(epoch.NETWORK)
    tuned = HandTuned(replace(problem, inputs=np.empty((100, 3072), np.float32)))
    order = np.random.default_rng(5).permutation(350)[:300].reshape(3, 100)
    losses = []
    for chosen in order:
        tuned.forward[0][0][...] = X[chosen]
        tuned.picked[...] = np.arange(100) * 10 + y[chosen]
        tuned.step()
        losses.append(tuned.loss)
    right = workers.FirstSteps(losses, tuned.update.weights)
    for build in (epoch.numpy_loop, epoch.solver_loop):
        loop = build(problem, X, y, np.random.default_rng(5))
        found = measure.compare(problem, right, workers.FirstSteps(loop.epoch(), loop.weights()))
        assert found.agrees(), (build, found)
    other = epoch.solver_loop(problem, X, y, np.random.default_rng(6))
    assert not measure.compare(problem, right, workers.FirstSteps(other.epoch(), other.weights())).agrees()


def test_every_epoch_of_a_loop_has_all_its_steps() -> None:
    X, y = images(350)
    for build in (epoch.numpy_loop, epoch.solver_loop):
        loop = build(make_problem(epoch.NETWORK), X, y, None)
        first, second = loop.epoch(), loop.epoch()
        assert len(first) == len(second) == 3
        assert first != second


def test_images_are_random_where_there_are_no_others() -> None:
    X, y, source = epoch.load(20)
    assert source == "random images"
    assert X.shape == (20, 3072)
    assert X.dtype == np.float32
    assert y.shape == (20,)
    np.testing.assert_array_equal(epoch.load(20)[0], X)


def test_images_are_those_of_cifar10_where_they_are(tmp_path: Path) -> None:
    truth = write_folder(tmp_path / "cifar-10-batches-py", np.random.default_rng(0))
    X, y, source = epoch.load(20)
    assert source == "CIFAR-10"
    pixels = truth["X_train"][:20].reshape(20, -1).astype(np.float64)
    np.testing.assert_allclose(X, (pixels - pixels.mean(axis=0)) / 64.0, atol=1e-5)
    np.testing.assert_array_equal(y, truth["y_train"][:20])
    with pytest.raises(ValueError, match="ask for more than the 20 images"):
        epoch.load(21)


def test_half_a_data_set_is_not_passed_over(tmp_path: Path) -> None:
    write_folder(tmp_path / "cifar-10-batches-py", np.random.default_rng(0))
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(FileNotFoundError, match="data_batch_3"):
        epoch.load(20)


def test_the_command_times_epochs(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "epoch.json"
    monkeypatch.setattr(epoch, "QUICK_IMAGES", 400)
    monkeypatch.setattr(epoch, "LOOPS", {name: epoch.LOOPS[name] for name in ("numpy", "ours")})
    assert main(["bench", "--epoch", "--quick", "--json", str(file)]) == 0
    results = json.loads(file.read_text(encoding="utf-8"))
    assert list(results) == ["environment", "epoch"]
    found = results["epoch"]
    assert (found["images"], found["steps"], found["rounds"], found["source"]) == (400, 4, 1, "random images")
    assert list(found["engines"]) == ["numpy", "ours"]
    for figures in found["engines"].values():
        assert figures["update_error"] < measure.UPDATE_TOLERANCE
        assert 0 < figures["fastest"] <= figures["seconds"]["median"]
        assert figures["step"]["median"] == pytest.approx(figures["seconds"]["median"] / 4)
    assert "ours_to_it" not in found["engines"]["ours"]
    assert "An epoch of 400 images (random images), 4 steps of six-layer (3072-100" in capsys.readouterr().out


@pytest.mark.parametrize("build", [other_labels, other_rate])
def test_loops_that_do_something_else_are_caught(build: epoch.Build) -> None:
    X, y = images(300)
    problem = make_problem(epoch.NETWORK)
    loops = [make(problem, X, y, np.random.default_rng(0)) for make in (epoch.numpy_loop, build)]
    right, other = (workers.FirstSteps(loop.epoch(), loop.weights()) for loop in loops)
    found = session.verdict(engines.select_engines(["ours"])[-1], lambda: measure.compare(problem, right, other))
    assert found["problem"].startswith("wrong: after 3 steps")


def test_loops_that_fail_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch, "LOOPS", {"numpy": epoch.LOOPS["numpy"], "ours": (broken, "fails")})
    _, part = epoch.measure_epoch(PACE, 300, 1)
    found = part["epoch"]["engines"]
    assert found["ours"] == {"problem": "failed: ours: ValueError: broken"}
    assert "seconds" in found["numpy"]
    assert "ours_to_it" not in found["numpy"]
    assert "ours: failed: ours: ValueError: broken" in report.text(part)
    monkeypatch.setattr(epoch, "LOOPS", {"numpy": (broken, "fails"), "ours": (epoch.solver_loop, "")})
    _, part = epoch.measure_epoch(PACE, 300, 1)
    assert session.problems(part) == ["failed: numpy: ValueError: broken", "not compared: numpy failed"]


def test_long_steps_are_timed_once_and_as_often_as_the_seconds_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []

    def timer(worker: object, warm: float, repeats: int) -> float:
        done.append(repeats)
        return 0.5

    monkeypatch.setattr(session, "time_worker", timer)
    crew: Any = {"ours": None, "torch": None, "jax": None}
    for seconds, rounds in ((None, 2), (20.0, 10)):
        found: dict[str, dict[str, Any]] = {"ours": {}, "torch": {}, "jax": {"problem": "failed"}}
        pace = replace(session.Pace.quick(seconds), rounds=2, block=0.0)
        done.clear()
        assert session.time_agreeing(found, crew, pace, "it") == rounds
        assert done == [1] * (2 * rounds + 2 * (seconds is not None))
        assert found["torch"]["ours_to_it"]["median"] == 1.0
        assert found["jax"] == {"problem": "failed"}

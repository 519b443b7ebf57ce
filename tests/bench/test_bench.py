"""The benchmark command: results are compared before they are timed, and the figures come out as valid JSON.

No test asserts a time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_fc import bench
from tinygrad_fc.bench import chains, engines, measure, report, session, workers
from tinygrad_fc.bench.handmade import HandTuned, Products
from tinygrad_fc.bench.networks import NETWORKS, Network, Problem, make_problem, select_networks
from tinygrad_fc.bench.runs import NotAvailableError, Run

SMALL = {network.name: network for network in NETWORKS}["small"]
TRAINERS = [engine for engine in engines.ENGINES if engine.name != "products" and engine.installed()]
TINY = Network("tiny", (7, 6, 5, 3), 4, "adam", 1e-2)
TINY_SGD = Network("tiny-sgd", (7, 6, 3), 4, "sgd", 1e-1)


INSTEAD = ("--fused", "--solver", "--sweep", "--ideas", "--epoch", "--second")


def command(*words: str) -> int:
    """Run the command with these words."""
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return bench.main(parser.parse_args(words))


def compile_nothing() -> None:
    """Be a builder whose engine needs a compiler that is not there."""
    raise NotAvailableError("no compiler")


def first_steps(run: Run, count: int = measure.STEPS_COMPARED) -> workers.FirstSteps:
    """Do the first steps in this process."""
    steps = workers.first_steps(run, count)
    assert steps is not None
    return steps


def textbook(problem: Problem, count: int) -> workers.FirstSteps:
    """Train in float64, written as in a textbook: the oracle of the hand-tuned step."""
    network = problem.network
    params = [w.astype(float) for w in problem.weights]
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in params]
    rows = np.arange(network.batch_size)
    losses = []
    for t in range(1, count + 1):
        activations = [problem.inputs.astype(float)]
        for i in range(0, len(params), 2):
            out = activations[-1] @ params[i] + params[i + 1]
            activations.append(out if i == len(params) - 2 else np.maximum(out, 0))
        exponentials = np.exp(activations[-1])
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        losses.append(float(-np.log(probabilities[rows, problem.labels]).mean()))
        g = probabilities
        g[rows, problem.labels] -= 1
        g /= network.batch_size
        grads: list[Any] = [None] * len(params)
        for i in range(len(params) - 2, -1, -2):
            x = activations[i // 2]
            grads[i], grads[i + 1] = x.T @ g, g.sum(axis=0)
            g = (g @ params[i].T) * (x > 0)
        for i, grad in enumerate(grads):
            if network.rule == "sgd":
                params[i] = params[i] - network.learning_rate * grad
                continue
            m, v = moments[i]
            m, v = 0.9 * m + (1 - 0.9) * grad, 0.999 * v + (1 - 0.999) * grad**2
            moments[i] = m, v
            m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
            params[i] = params[i] - network.learning_rate * m_hat / (np.sqrt(v_hat) + 1e-8)
    return workers.FirstSteps(losses, [w.astype(np.float32) for w in params])


class TestHandmade:
    """The references are right themselves."""

    @pytest.mark.parametrize("network", [TINY, TINY_SGD, SMALL], ids=lambda network: network.name)
    def test_the_tuned_step_is_the_textbook_s(self, network: Network) -> None:
        problem = make_problem(network)
        tuned = first_steps(engines.build_numpy(problem), 20)
        right = textbook(problem, 20)
        np.testing.assert_allclose(tuned.losses, right.losses, rtol=2e-5)
        errors = measure.compare(problem, right, tuned)
        assert errors.agrees(), errors

    def test_updating_in_several_blocks_is_updating_in_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        problem = make_problem(TINY)
        whole = first_steps(engines.build_numpy(problem))
        monkeypatch.setattr("tinygrad_fc.bench.handmade.BLOCK", 10)
        tuned = HandTuned(problem)
        assert len(tuned.update.blocks) > 5
        for _ in range(measure.STEPS_COMPARED):
            tuned.step()
        for a, b in zip(tuned.update.weights, whole.weights, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_products_are_those_of_a_step(self) -> None:
        products = Products(make_problem(SMALL))
        products.step()
        calls = products.forward + products.backward
        assert len(calls) == 3 + 3 + 2
        for a, b, out in calls:
            np.testing.assert_allclose(out, a @ b, rtol=1e-4, atol=1e-5)

    def test_training_goes_on_without_subnormal_numbers(self) -> None:
        problem = make_problem(TINY)
        tuned = HandTuned(problem)
        for _ in range(3000):
            tuned.step()
        assert tuned.loss > 0.6  # each input has two labels: log 2 is the least
        _, grad, m, v, _ = tuned.update.blocks[0]
        tiny = np.finfo(np.float32).tiny
        for array in (grad, m, v):
            assert not np.any((array != 0) & (np.abs(array) < tiny))


class TestComparison:
    """An engine that computes something else is found."""

    @pytest.mark.parametrize("network", [TINY, TINY_SGD], ids=lambda network: network.name)
    @pytest.mark.parametrize("fused", [True, False])
    def test_ours_agrees(self, network: Network, fused: bool) -> None:
        problem = make_problem(network)
        build = engines.build_ours if fused else engines.build_unfused
        errors = measure.compare(problem, textbook(problem, 3), first_steps(build(problem)))
        assert errors.agrees(), errors

    @pytest.mark.parametrize("engine", TRAINERS, ids=lambda engine: engine.name)
    def test_every_installed_engine_agrees(self, engine: engines.Engine) -> None:
        with workers.Worker(engine.name) as worker:
            given = worker.call(workers.start_training, engine.build, SMALL, 3)
        problem = make_problem(SMALL)
        assert given is not None
        errors = measure.compare(problem, textbook(problem, 3), given)
        assert errors.agrees(engine.update_tolerance), errors

    @pytest.mark.parametrize("mistake", ["sum", "late", "input", "frozen", "nan"])
    def test_a_wrong_engine_is_caught(self, mistake: str) -> None:
        problem = make_problem(SMALL)
        right = first_steps(engines.build_numpy(problem))
        wrong = HandTuned(problem)
        step = wrong.step

        def run() -> None:
            if mistake == "late":  # a bias correction that is one step ahead
                wrong.update.count += wrong.update.count == 0
            if mistake == "input":
                wrong.forward[0][0][0] += 1
            step()
            if mistake == "frozen":
                wrong.update.weights[1][...] = 0
            if mistake == "sum":
                wrong.loss *= len(problem.labels)
            if mistake == "nan":
                wrong.update.weights[0][0, 0] = np.nan

        given = first_steps(Run(run, lambda: wrong.loss, lambda: [w.copy() for w in wrong.update.weights]))
        numpy_engine = next(engine for engine in engines.ENGINES if engine.name == "numpy")
        found = session.verdict(numpy_engine, lambda: measure.compare(make_problem(SMALL), right, given))
        assert "wrong" in found["problem"]
        assert session.problems({"steps": [{"engines": {"it": found}}]}) == [found["problem"]]

    def test_weights_of_another_shape_or_dtype_are_refused(self) -> None:
        problem = make_problem(SMALL)
        right = first_steps(engines.build_numpy(problem))
        for weights in ([w.astype(float) for w in right.weights], [w.T for w in right.weights], right.weights[:-1]):
            with pytest.raises(ValueError, match="other shapes or dtypes"):
                measure.compare(problem, right, workers.FirstSteps(right.losses, weights))


class TestClock:
    """Rounds, ratios and quartiles."""

    def test_every_round_times_every_engine_in_a_rotating_order(self) -> None:
        order: list[str] = []

        def timer(name: str, seconds: float) -> Any:
            return lambda repeats: order.append(name) or seconds

        times = measure.interleave({"a": timer("a", 1e-3), "b": timer("b", 2e-3)}, rounds=3, block_seconds=0.0)
        assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}
        assert order[-6:] == ["a", "b", "b", "a", "a", "b"]

    def test_a_ratio_is_taken_within_its_round(self) -> None:
        found = measure.ratios({"a": [1.0, 10.0, 100.0], "b": [2.0, 20.0, 400.0]}, "a")
        assert found["a"] == measure.Spread(1.0, 1.0, 1.0)
        assert found["b"] == measure.Spread(2.0, 2.0, 3.0)

    def test_our_share_of_another_engine_is_taken_within_its_round(self) -> None:
        times = {"ours": [1.0, 10.0, 100.0], "b": [2.0, 20.0, 400.0]}
        assert measure.shares(times) == {"ours": {}, "b": {"ours_to_it": {"median": 0.5, "lower": 0.375, "upper": 0.5}}}
        assert measure.shares({"b": [1.0]}) == {"b": {}}

    def test_a_block_has_its_warm_up_and_its_repeats(self, monkeypatch: pytest.MonkeyPatch) -> None:
        steps: list[int] = []
        monkeypatch.setattr(workers, "_run", [Run(step=lambda: steps.append(1))])
        assert workers.time_block(5, 0.0) >= 0
        assert len(steps) == 1 + 5


class TestWorker:
    """A process that fails says so, and takes nothing down."""

    def test_an_error_names_the_engine_and_the_reason(self) -> None:
        with workers.Worker("it") as worker:
            with pytest.raises(workers.WorkerError, match="it: ValueError.*unknown network"):
                worker.call(select_networks, ["big"])
            assert worker.call(max, 1, 2) == 2

    def test_what_is_not_available_is_no_failure(self) -> None:
        with workers.Worker("it") as worker:
            found = session.attempt(lambda: worker.call(compile_nothing))
            assert found == {"unavailable": "not available: it: no compiler"}
            assert session.attempt(lambda: worker.call(select_networks, ["big"]))["problem"].startswith("failed: it: ")
            assert session.problems(found) == []

    def test_a_process_that_dies_is_an_error(self) -> None:
        with workers.Worker("it") as worker, pytest.raises(workers.WorkerError, match="ended with code 7"):
            worker.call(os._exit, 7)

    def test_ctrl_c_is_the_parent_s(self) -> None:
        """A terminal sends it to all processes; who is stopped while a worker is busy does not wait for it."""
        worker = workers.Worker("it")
        assert worker.call(os.getpid) == worker.process.pid
        os.kill(worker.process.pid or 0, signal.SIGINT)
        assert worker.call(max, 1, 2) == 2
        worker.connection.send((time.sleep, (3600,), {}))
        worker.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        assert worker.process.exitcode == -signal.SIGTERM

    def test_closing_ends_the_process(self) -> None:
        worker = workers.Worker("it")
        worker.close()
        assert worker.process.exitcode == 0


class TestChains:
    """The chain's engines agree, and memory is what it is said to be."""

    def test_ours_has_the_floor_s_gradients(self) -> None:
        for a, b in zip(chains.ours(50)(), chains.floor(50)(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)

    def test_memory_of_a_chain_of_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(chains, "MEMORY_SIZE", 100_000)
        found = chains.chain_memory("ours")
        assert found["forward"] < 2.2
        assert found["total"] < 3.2

    def test_memory_of_a_step_counts_weights_and_moments(self) -> None:
        weights = sum(w.nbytes for w in make_problem(SMALL).weights)
        assert chains.step_memory(engines.build_numpy, SMALL) > 4 * weights


class TestCommand:
    """The command as a user runs it."""

    def test_quick_run_writes_valid_json(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "bench.json"
        assert command("--quick", "--networks", "small", "--engines", "ours", "--json", str(file)) == 0
        results = json.loads(file.read_text(encoding="utf-8"))
        assert list(results) == ["environment", "steps", "ops", "memory", "resident", "startup", "import"]
        (step,) = results["steps"]
        assert list(step["engines"]) == ["products", "numpy", "ours"]
        for figures in step["engines"].values():
            assert 0 < figures["fastest"] <= figures["seconds"]["median"]
            ratio = figures["to_products"]
            assert 0 < ratio["lower"] <= ratio["median"] <= ratio["upper"]
        assert [name for name, figures in step["engines"].items() if "ours_to_it" in figures] == ["products", "numpy"]
        assert step["engines"]["ours"]["update_error"] < measure.UPDATE_TOLERANCE
        assert set(results["ops"]["engines"]) == {"floor", "ours"}
        assert results["memory"]["step_bytes"]["ours"] > 0
        assert results["environment"]["command"].endswith(f" --networks small --engines ours --quick --json {file}")
        printed = capsys.readouterr().out
        assert "Training step of small (64-32-32-10, N=32, Adam)" in printed
        assert str(file) in printed

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("--engines", "tensorflow"), "unknown engine 'tensorflow'; choose from products, numpy, ours"),
            (("--networks", "big"), "unknown network 'big'; choose from two-layer, six-layer, wide, small"),
            (("--json", "no/such/folder/bench.json"), "cannot be written"),
        ],
    )
    def test_bad_options_say_what_is_possible(
        self, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert command(*words) == 2
        assert message in capsys.readouterr().err

    def test_ctrl_c_and_a_full_disk_end_in_one_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "bench.json"

        def stopped(*arguments: Any) -> Iterator[dict[str, Any]]:
            yield {"import": {"problem": "none"}}
            raise KeyboardInterrupt

        def full(*arguments: Any, **options: Any) -> None:
            raise OSError(28, "No space left on device", str(file))

        monkeypatch.setattr(report, "text", lambda part: "a table")
        monkeypatch.setattr(session, "measure_all", stopped)
        assert command("--json", str(file)) == 130
        told = capsys.readouterr()
        assert told.out == "a table\n"
        assert told.err == "bench: stopped: nothing was written, what was measured stands above\n"
        assert not file.exists()
        monkeypatch.setattr(session, "measure_all", lambda *arguments: iter([{}]))
        monkeypatch.setattr(Path, "write_text", full)
        assert command("--json", str(file)) == 2
        assert "No space left on device" in capsys.readouterr().err

    @pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon"])
    def test_seconds_must_be_positive(self, text: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            command("--seconds", text)
        assert "positive number of seconds" in capsys.readouterr().err

    @pytest.mark.parametrize("option", INSTEAD)
    def test_what_is_timed_instead_of_steps_goes_with_no_other_choice(
        self, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for words in (("--networks", "small"), ("--engines", "ours")):
            assert command(option, *words) == 2
            message = f"{option} has its own networks and engines: leave --networks and --engines away"
            assert message in capsys.readouterr().err
        if option != "--sweep":
            assert command(option, "--figure", str(tmp_path / "a.svg")) == 2
            assert f"--figure draws networks and sweeps: leave {option} away" in capsys.readouterr().err
        for other in set(INSTEAD) - {option}:
            with pytest.raises(SystemExit):
                command(option, other)
            assert f"argument {other}: not allowed with argument {option}" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "words",
        ["", "--networks small wide --engines ours --seconds 2.5 --json a.json", "--fused", "--fused affine --quick",
         "--sweep --json b.json"],
    )  # fmt: skip
    def test_the_command_is_told_with_its_figures(self, words: str) -> None:
        parser = argparse.ArgumentParser()
        bench.add_arguments(parser)
        told = bench.command_of(parser.parse_args(words.split()))
        assert told.split() == f"python -m tinygrad_fc bench {words}".split()

    def test_an_engine_that_is_not_installed_is_listed_as_such(self) -> None:
        ghost = engines.Engine("ghost", engines.build_numpy, "no_such_package", "none")
        assert not ghost.installed()
        found = session.environment([ghost], {}, session.Pace.quick(None))
        assert found["engines"][0]["version"] is None
        assert "not installed" in report.text({"environment": found})

    def test_a_problem_is_printed(self) -> None:
        spread = {"median": 1.0, "lower": 1.0, "upper": 1.0}
        fine = {"seconds": spread, "fastest": 1.0, "to_products": spread, "to_numpy": spread}
        engines_found = {"numpy": fine, "it": {"problem": "wrong: its losses"}, "no": {"unavailable": "no compiler"}}
        step = {"title": "small", "compared": "as timed", "rounds": 3, "engines": engines_found}
        text = report.text({"steps": [step]})
        assert "it: wrong: its losses" in text
        assert "no: no compiler" in text
        assert session.problems(step) == ["wrong: its losses"]

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(1.5, "1.50 s"), (0.0123, "12.3 ms"), (4.5e-5, "45.0 µs"), (9e-7, "0.900 µs"), (0.145, "145 ms")],
    )
    def test_durations(self, seconds: float, text: str) -> None:
        assert report.duration(seconds) == text

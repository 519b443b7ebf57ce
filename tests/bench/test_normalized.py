"""The network with batch normalization and dropout: its hand-tuned step is the textbook's, and dropout really drops.

No test asserts a time.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tinygrad_fc.bench import engines, measure, report, session, workers
from tinygrad_fc.bench.networks import EPS, MOMENTUM, NETWORKS, Network, Problem, make_problem
from tinygrad_fc.bench.normalized import HandTunedNormalized
from tinygrad_fc.bench.runs import Run

TINY = Network("tiny", (7, 6, 5, 3), 8, "adam", 1e-2, batch_norm=True, keep_ratio=0.7)
TINY_SGD = replace(TINY, rule="sgd", learning_rate=1e-1)
LAYERS = len(TINY.sizes) - 1


def textbook(problem: Problem, masks: list[np.ndarray] | None = None) -> tuple[float, dict[str, np.ndarray]]:
    """Return loss and gradients in float64, one term at a time; `masks` (bool) are those of dropout."""
    keep = problem.network.keep_ratio if masks is not None else 1.0
    p = {name: value.astype(float) for name, value in zip(problem.names, problem.params, strict=True)}
    rows, n = np.arange(len(problem.labels)), len(problem.labels)
    h, saved = problem.inputs.astype(float), []
    for i in range(1, LAYERS):
        z = h @ p[f"W{i}"] + p[f"b{i}"]
        sigma = np.sqrt(z.var(axis=0) + EPS)
        normal = (z - z.mean(axis=0)) / sigma
        a = p[f"gamma{i}"] * normal + p[f"beta{i}"]
        factor = (a > 0) * (1.0 if masks is None else masks[i - 1] / keep)
        saved.append((h, normal, sigma, factor))
        h = a * factor
    scores = h @ p[f"W{LAYERS}"] + p[f"b{LAYERS}"]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    loss = float(-np.log(probabilities[rows, problem.labels]).mean())
    probabilities[rows, problem.labels] -= 1
    g = probabilities / n
    grads = {f"W{LAYERS}": h.T @ g, f"b{LAYERS}": g.sum(axis=0)}
    g = g @ p[f"W{LAYERS}"].T
    for i in range(LAYERS - 1, 0, -1):
        x, normal, sigma, factor = saved[i - 1]
        g = g * factor
        grads[f"gamma{i}"], grads[f"beta{i}"] = (g * normal).sum(axis=0), g.sum(axis=0)
        d = g * p[f"gamma{i}"]
        # The three paths from x to the normalized x: itself, the variance, the mean.
        d_variance = (d * normal * -0.5 / sigma**2).sum(axis=0)
        g = d / sigma + d_variance * 2 * normal * sigma / n + (-d / sigma).sum(axis=0) / n
        grads[f"W{i}"], grads[f"b{i}"] = x.T @ g, g.sum(axis=0)
        g = g @ p[f"W{i}"].T
    return loss, grads


@pytest.mark.parametrize("keep_ratio", [1.0, 0.7])
def test_the_tuned_step_has_the_textbook_s_gradients(keep_ratio: float) -> None:
    problem = make_problem(replace(TINY, keep_ratio=keep_ratio))
    tuned = HandTunedNormalized(problem)
    tuned.step()
    masks = [mask for *_, mask in tuned.forward]
    loss, grads = textbook(problem, None if keep_ratio == 1.0 else masks)
    assert tuned.loss == pytest.approx(loss, rel=1e-5)
    for name, grad in zip(problem.names, tuned.update.grads, strict=True):
        np.testing.assert_allclose(grad, grads[name], rtol=1e-4, atol=1e-6, err_msg=name)
        assert name in problem.undecided or np.abs(grads[name]).max() > 1e-3  # it says something


def test_the_tuned_step_moves_its_running_statistics() -> None:
    problem = make_problem(TINY)
    tuned = HandTunedNormalized(problem)
    tuned.step()
    z = problem.inputs.astype(float) @ problem.weights[0]
    *_, running_mean, running_variance = tuned.norms[0]
    np.testing.assert_allclose(running_mean, (1 - MOMENTUM) * z.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(running_variance, MOMENTUM + (1 - MOMENTUM) * z.var(axis=0), rtol=1e-5)


def test_the_tuned_dropout_drops_what_it_should() -> None:
    """Units that relu lets through are kept with the ratio, scaled up, in another choice at each step."""
    problem = make_problem(Network("n", (10, 400, 3), 100, "sgd", 1e-6, batch_norm=True, keep_ratio=0.9))
    problem.scales[1][...] = 10.0  # relu lets everything through
    tuned = HandTunedNormalized(problem)
    out = tuned.forward[0][3]
    tuned.step()
    first = out != 0
    assert abs(first.mean() - 0.9) < 5 * np.sqrt(0.9 * 0.1 / out.size)
    normal = make_problem(problem.network).inputs.astype(float) @ problem.weights[0]
    normal = (normal - normal.mean(axis=0)) / np.sqrt(normal.var(axis=0) + EPS)
    right = (normal * problem.scales[0] + 10.0) / 0.9
    np.testing.assert_allclose(out[first], right[first], rtol=1e-4)
    tuned.step()
    assert 0.05 < np.mean(first != (out != 0)) < 0.3  # 2 * 0.9 * 0.1 = 0.18


@pytest.mark.parametrize("network", [TINY, TINY_SGD], ids=["adam", "sgd"])
@pytest.mark.parametrize("fused", [True, False])
def test_ours_agrees_where_dropout_keeps_all(network: Network, fused: bool) -> None:
    problem = make_problem(network.keeping_all())
    steps = [
        workers.first_steps(build(problem), measure.STEPS_COMPARED)
        for build in (engines.build_numpy, engines.build_ours if fused else engines.build_unfused)
    ]
    assert steps[0] is not None
    assert steps[1] is not None
    errors = measure.compare(problem, steps[0], steps[1])
    assert errors.agrees(), errors


def test_ours_drops() -> None:
    kept, dropped = (
        workers.first_steps(engines.build_ours(make_problem(network)), 1) for network in (TINY.keeping_all(), TINY)
    )
    assert kept is not None
    assert dropped is not None
    assert kept.losses != dropped.losses
    assert session._drops(kept.losses, [0.9 * kept.losses[0]])
    for wrong in (kept.losses, [np.nan], [3 * kept.losses[0]]):
        assert not session._drops(kept.losses, wrong)


def test_a_bias_that_rounding_moves_is_not_compared() -> None:
    problem = make_problem(TINY)
    assert problem.undecided == {"b1", "b2"}
    right = workers.first_steps(engines.build_numpy(problem), 1)
    assert right is not None
    for name, agrees in [("b1", True), ("b3", False), ("gamma2", False), ("beta1", False), ("W2", False)]:
        weights = [w.copy() for w in right.weights]
        weights[problem.names.index(name)] += 0.1
        assert measure.compare(problem, right, right._replace(weights=weights)).agrees() is agrees, name
    assert make_problem(NETWORKS[0]).undecided == frozenset()


def test_a_network_with_dropout_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="keep_ratio: dropout is there for networks with batch normalization"):
        Network("n", (3, 4, 2), 4, "sgd", 1e-2, keep_ratio=0.5)


def _undropped(problem: Problem) -> Run:
    return engines.build_numpy(make_problem(problem.network.keeping_all()))


def test_engines_are_compared_without_dropout_and_checked_with_it() -> None:
    """One that ignores dropout is found, one without batch normalization is not asked, and both are told."""
    known = [engine for engine in engines.ENGINES if engine.name in ("products", "numpy", "ours")]
    wrong = engines.Engine("undropped", _undropped, "numpy", "")
    bare = engines.Engine("bare", engines.build_numpy, "numpy", "", normalizes=False)
    listed = [*known, wrong, bare]
    with ExitStack() as stack:
        crew = {engine.name: stack.enter_context(workers.Worker(engine.name)) for engine in listed}
        found = session.time_network(TINY, listed, crew, session.Pace.quick(None))
    assert found["compared"] == "with dropout that keeps everything"
    told: dict[str, Any] = found["engines"]
    assert told["ours"]["update_error"] < measure.UPDATE_TOLERANCE
    assert told["ours"]["seconds"]["median"] > 0
    assert "without dropout" in told["undropped"]["problem"]
    assert "neither batch normalization nor dropout" in told["bare"]["unavailable"]
    assert session.problems(found) == [told["undropped"]["problem"]]
    text = report.text({"steps": [found]})
    assert "compared with dropout that keeps everything" in text
    assert "bare: not there: it has neither" in text

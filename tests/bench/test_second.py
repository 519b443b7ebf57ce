"""``bench --second``: products written by hand are right, what differs from them is found, and the rest is timed.

No test asserts a time.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_fc.__main__ import main
from tinygrad_fc.bench import report, second, session
from tinygrad_fc.bench.networks import Network, Problem, make_problem

PACE = session.Pace.quick(None)
TINY = Network("tiny", (7, 6, 3), 5, "sgd", 1e-2)


def gradients(problem: Problem, weights: list[np.ndarray]) -> list[np.ndarray]:
    """Return the gradients of the loss of two layers, as a textbook has them."""
    x, y = problem.inputs, problem.labels
    w1, b1, w2, b2 = weights
    h = np.maximum(x @ w1 + b1, 0.0)
    g = np.exp(h @ w2 + b2)
    g /= g.sum(axis=1, keepdims=True)
    g[np.arange(len(y)), y] -= 1.0
    g /= len(y)
    below = (g @ w2.T) * (h > 0)
    return [x.T @ below, below.sum(axis=0), h.T @ g, g.sum(axis=0)]


def broken(problem: Problem, vectors: second.Arrays) -> second.Product:
    """Be an engine that fails."""
    raise ValueError("broken")


def first_order(problem: Problem, vectors: second.Arrays) -> second.Product:
    """Be an engine that returns gradients."""
    return lambda: gradients(problem, list(problem.weights))


def test_products_by_hand_are_differences_of_gradients() -> None:
    drawn = make_problem(TINY)
    weights = tuple(w.astype(np.float64) for w in drawn.weights)
    vectors = tuple(v.astype(np.float64) for v in second.make_vectors(drawn))
    problem = replace(drawn, inputs=drawn.inputs.astype(np.float64), weights=weights)
    step = 1e-6
    above, below = (
        gradients(problem, [w + sign * v for w, v in zip(weights, vectors, strict=True)]) for sign in (step, -step)
    )
    for a, b, found in zip(above, below, second.by_hand(problem, vectors)(), strict=True):
        np.testing.assert_allclose(found, (a - b) / (2 * step), rtol=1e-6, atol=1e-8)


def test_products_of_ours_are_those_by_hand() -> None:
    problem = make_problem(TINY)
    vectors = second.make_vectors(problem)
    by_hand = second.by_hand(problem, vectors)
    before = [w.copy() for w in problem.weights]
    found = second.compare(by_hand(), second.ours(problem, vectors)())
    assert found["error"] < 1e-5
    for a, b in zip(by_hand(), by_hand(), strict=True):
        np.testing.assert_array_equal(a, b)
    for w, own in zip(problem.weights, before, strict=True):
        np.testing.assert_array_equal(w, own)


@pytest.mark.parametrize("mistake", ["first order", "zero", "half", "nan", "shape", "dtype"])
def test_wrong_products_are_caught(mistake: str) -> None:
    problem = make_problem(TINY)
    right = second.by_hand(problem, second.make_vectors(problem))()
    given = [array.copy() for array in right]
    if mistake == "first order":
        given = first_order(problem, ())()
    elif mistake == "zero":
        given[1][:] = 0
    elif mistake == "half":
        given[2] *= np.float32(0.5)
    elif mistake == "nan":
        given[3][0] = np.nan
    elif mistake == "shape":
        given[0] = given[0].T
    else:
        given = [array.astype(np.float64) for array in given]
    assert second.compare(right, given)["problem"].startswith("wrong: ")
    assert "error" in second.compare(right, right)


def test_the_command_times_what_agrees(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "second.json"
    listed = {name: second.PRODUCTS[name] for name in ("numpy", "ours")}
    monkeypatch.setattr(second, "PRODUCTS", listed)
    assert main(["bench", "--second", "--quick", "--json", str(file)]) == 0
    found = json.loads(file.read_text(encoding="utf-8"))
    assert list(found) == ["environment", "second"]
    assert found["second"]["rounds"] == 3
    assert set(found["second"]["engines"]) == {"numpy", "ours"}
    for figures in found["second"]["engines"].values():
        assert figures["error"] <= second.TOLERANCE
        assert 0 < figures["fastest"] <= figures["seconds"]["median"]
    share = found["second"]["engines"]["numpy"]["ours_to_it"]
    assert 0 < share["lower"] <= share["median"] <= share["upper"]
    out = capsys.readouterr().out
    assert "Hessian-vector product of the loss of two-layer (3072-100-10, N=100, SGD), by all weights, 3 rounds" in out


def test_engines_that_fail_or_are_wrong_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand = second.PRODUCTS["numpy"]
    monkeypatch.setattr(second, "PRODUCTS", {"numpy": by_hand, "ours": (first_order, "gradients")})
    _, part = second.measure_second(PACE)
    engines = part["second"]["engines"]
    assert set(engines["ours"]) == {"problem"}
    assert "ours_to_it" not in engines["numpy"]
    assert "numpy" in report.text(part)
    monkeypatch.setattr(second, "PRODUCTS", {"numpy": (broken, "fails"), "ours": (second.ours, "")})
    _, part = second.measure_second(PACE)
    assert session.problems(part) == ["failed: numpy: ValueError: broken", "not compared: numpy failed"]
    assert "numpy: failed: numpy: ValueError: broken" in report.text(part)

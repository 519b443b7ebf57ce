"""Verdicts that a reviewer found to be wrong: right gradients called wrong, wrong ones right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg


@pytest.fixture(autouse=True)
def faults_are_ignored() -> Any:
    with np.errstate(all="ignore"):
        yield


@pytest.mark.parametrize("n", [5, 20, 100, 300])
@pytest.mark.parametrize("seed", range(4))
def test_the_slope_of_one_side_is_right_at_a_kink(n: int, seed: int) -> None:
    x = np.round(np.random.default_rng(seed).normal(size=n))
    report = tg.check_layer(lambda x: (np.maximum(x, 0), x), lambda d, x: d * (x >= 0), x)
    assert report.verdict in ("kink", "correct"), report
    assert tg.gradcheck(lambda x: np.clip(x, -1, 1).sum(), x, exhaustive=True)
    steep = tg.check_layer(lambda x: (np.maximum(x, 0), x), lambda d, x: d * (x >= 0) * 1.1, x)
    assert steep.verdict == "wrong"


CORRECT = {
    "a sum on the grid of its offset": (lambda x: ((x + 1e5) - 1e5).sum(), [0.3, 0.7]),
    "the same of one": (lambda x: (np.maximum(x, -9) + 1e6 - 1e6).sum(), [0.5]),
    "a sine far out": (lambda x: np.sin(x + 1e9).sum(), [0.1]),
    "what cancels at 0": (lambda x: (x - np.sin(x)).sum(), [0.0, 0.0]),
    "a cube at 0": (lambda x: (x**3).sum(), [0.0, 0.0]),
    "a tangent less its line": (lambda x: (np.tan(x) - x).sum(), [0.0]),
    "tiny beside large, log": (lambda x: np.log(x).sum(), [1e-12, 1.0]),
    "tiny beside large, 1 / x": (lambda x: (1 / x).sum(), [1e-10, 1.0]),
    "tiny beside large, steep": (lambda x: np.tanh(x / 1e-9).sum(), [1e-9, 1.0]),
    "just below overflow": (lambda x: np.exp(x).sum(), [709.7]),
}


@pytest.mark.parametrize("name", CORRECT)
def test_right_gradients_at_hard_points(name: str) -> None:
    f, x = CORRECT[name]
    report = tg.gradcheck(f, np.array(x))
    assert report.verdict in ("correct", "inconclusive"), report
    assert report.verdict == "correct" or name in ("the same of one",), report


def test_second_order_of_a_tiny_coordinate() -> None:
    assert tg.gradcheck(lambda x: np.log(x).sum(), np.array([1e-10, 0.3, 0.7]), order=2)


@pytest.mark.parametrize("offset", [1e3, 1e5, 1e7])
def test_offsets_of_every_size(offset: float, rng: np.random.Generator) -> None:
    for _ in range(20):
        x = rng.normal(size=2)
        shift = offset * rng.uniform(1.0, 10.0)
        verdict = tg.gradcheck(lambda x, by=shift: ((np.maximum(x, -99) + by - by) ** 2).sum(), x).verdict
        assert verdict in ("correct", "inconclusive")


@pytest.mark.parametrize("f", [lambda a: np.linalg.inv(a).sum(), lambda a: np.linalg.slogdet(a)[1]])
@pytest.mark.parametrize("near", [1e-6, 1e-8])
def test_nearly_singular_matrices_are_not_called_wrong(f: Any, near: float) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        a = rng.normal(size=(4, 4))
        a[3] = a[2] + near * rng.normal(size=4)
        assert tg.gradcheck(f, a).verdict in ("correct", "inconclusive")


@pytest.mark.parametrize("offset", [1e10, 1e13, 1e15])
def test_an_offset_hides_no_fault(offset: float, rng: np.random.Generator) -> None:
    b = rng.normal(size=(3, 4))
    assert not tg.gradcheck(lambda b: offset + (b * b.detach()).sum(), b)
    assert not tg.gradcheck(lambda b: offset + (np.maximum(b, -99) * b.detach()).sum(), b)


@pytest.mark.usefixtures("registry")
def test_a_fault_in_half_precision() -> None:
    rule = tg.op(lambda x: x**2, name="halved", x=lambda g, x: 2 * g * x * (1.1 if x.dtype == np.float16 else 1.0))
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float16)
    assert tg.gradcheck(rule, x).verdict == "wrong"
    assert tg.gradcheck(lambda x: np.tanh(x) * x, x)

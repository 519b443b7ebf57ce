"""tg.testing: an assertion that holds, one that fails with the report as its message, and what pytest shows of it."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_fc as tg

X = np.array([[0.5, -2.0], [1.0, 0.3]])


def test_gradients_that_hold() -> None:
    report = tg.testing.assert_gradients(lambda x: np.tanh(x) * x, X)
    assert report.verdict == "correct"
    assert isinstance(report, tg.check.GradcheckReport)


@pytest.mark.usefixtures("registry")
def test_the_report_is_the_message() -> None:
    wrong = tg.op(lambda x: x * x, name="flat_square", x=lambda g, x: g * x * 1.4)
    with pytest.raises(AssertionError) as caught:
        tg.testing.assert_gradients(wrong, X)
    message = str(caught.value)
    assert message.startswith("the gradients of flat_square do not hold\ninput ")
    assert "WRONG" in message
    assert "a factor: 0.7 times the gradient" in message


def test_what_cannot_be_told_fails_too() -> None:
    generator = np.random.default_rng(0)
    draws = iter(generator.normal(size=1000))
    with pytest.raises(AssertionError, match="f is not deterministic"):
        tg.testing.assert_gradients(lambda x: x * next(draws), X)


@pytest.mark.usefixtures("registry")
def test_options_reach_the_check() -> None:
    once = tg.op(lambda x: x**3, name="once", x=lambda g, x: g * tg.tensor(3 * np.asarray(getattr(x, "data", x)) ** 2))
    tg.testing.assert_gradients(once, X)
    with pytest.raises(AssertionError, match="WRONG"):
        tg.testing.assert_gradients(once, X, order=2)
    with pytest.raises(ValueError, match="samples=0"):
        tg.testing.assert_gradients(np.tanh, X, samples=0)


def test_a_model_by_its_name() -> None:
    model = tg.nn.Linear(2, 3, seed=0)
    assert [check.name for check in tg.testing.assert_gradients(model, X).inputs] == ["W", "b"]


def test_pytest_shows_the_line_of_the_test() -> None:
    draws = iter(np.random.default_rng(0).normal(size=1000))
    with pytest.raises(AssertionError) as caught:
        tg.testing.assert_gradients(lambda x: x * next(draws), X)
    shown = [entry.path.name for entry in caught.traceback if not entry.ishidden(caught)]
    assert shown == ["test_testing.py"]

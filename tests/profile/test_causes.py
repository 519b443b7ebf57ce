"""The causes that debug() names on the way back: sure ones only, in checkpoints too, and a grad from before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg


def message(function: Callable[[Any], Any], values: Any) -> str:
    x = tg.tensor(values, requires_grad=True, name="x")
    with tg.debug():
        loss = function(x)
        with pytest.raises(FloatingPointError) as caught:
            loss.sum().backward()
    return str(caught.value)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda x: np.log(x) * 1e200, "There 1e+200 arrived and the argument is 1e-200: the numbers went beyond"),
        (lambda x: np.sqrt(x) * 1e300, "There 1e+300 arrived and the result is 1e-100: the numbers went beyond"),
        (lambda x: x**0.3 * 1e300, "There 1e+300 arrived and the base is 1e-200: the numbers went beyond the largest "
                                   "float64, 1.8e+308"),
        (lambda x: 1e-250 / x * 1e200, "the divisor is 1e-200, whose square stands below"),
    ],
)  # fmt: skip
def test_what_overflows_is_not_put_down_to_a_zero(function: Callable[[Any], Any], told: str) -> None:
    text = message(function, [1e-200])
    assert told in text
    assert "infinite at 0" not in text


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (np.sqrt, "The derivative of sqrt is infinite at 0: add a small constant under the root."),
        (lambda x: x**0.3, "The derivative of a power below 1 is infinite at 0."),
    ],
)
def test_a_zero_is_named_where_it_is_one(function: Callable[[Any], Any], told: str) -> None:
    text = message(function, [1.0, 0.0])
    assert told in text
    assert "went beyond" not in text


def test_the_operation_and_the_line_inside_a_checkpoint() -> None:
    def block(t: Any) -> Any:
        return np.sqrt(t * 3.0) * 2.0

    inside, plain = message(tg.checkpoint(block), [0.0, 1.0]), message(block, [0.0, 1.0])
    assert inside.startswith(plain)  # operation, line, cause and cure are as without it
    assert "backward of sqrt" in plain
    assert "return np.sqrt(t * 3.0) * 2.0" in plain
    assert "\n  in a checkpoint, at " in inside
    nested = message(tg.checkpoint(lambda t: tg.checkpoint(block)(t) + 1.0), [0.0, 1.0])
    assert nested.startswith(plain)


def test_a_parameter_that_a_checkpoint_reads() -> None:
    p = tg.tensor([0.0, 1.0], requires_grad=True, name="p")
    text = message(tg.checkpoint(lambda t: np.sqrt(p) * t), [1.0, 1.0])
    assert "backward of sqrt: its rule for x (p)" in text


def test_a_gradient_that_was_not_finite_before() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
    w.grad = np.array([np.nan, 1.0])
    with tg.debug():
        loss = (w * 2.0).sum()
        with pytest.raises(FloatingPointError, match=r"grad of w \(2,\) holds the first NaN, from before.*zero_grad"):
            loss.backward()
        assert np.array_equal(tg.gradients((w * 2.0).sum(), [w])[0].data, [2.0, 2.0])  # adds to no grad
        w.grad = None
        (w * 2.0).sum().backward()
    assert np.array_equal(w.grad, [2.0, 2.0])
    w.grad[0] = np.inf
    with tg.debug(inf=False):
        (w * 2.0).sum().backward()

"""Steps, remainders and tests of elements: where they jump, and what they count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from edges import assert_same

import tinygrad_fc as tg

inf, nan = np.inf, np.nan


@pytest.mark.parametrize("f", [np.mod, np.fmod])
def test_remainders_count_as_they_subtract(f: Any) -> None:
    """1 / 0.1 rounds to 10, but 0.1 goes into 1 nine times, and the remainder is nearly 0.1."""
    x, y = tg.tensor(1.0, requires_grad=True), tg.tensor(0.1, requires_grad=True)
    out = f(x, y)
    assert_same(out.data, f(1.0, 0.1))
    assert out.data > 0.09
    out.backward()
    assert_same(x.grad, 1)
    assert_same(y.grad, -9)


# ---- steps


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "rint", "fix", "round", "floor_divide", "heaviside"])
def test_steps_are_flat_and_on_the_tape(name: str) -> None:
    x = tg.tensor([-1.5, 0.3, 2.0], requires_grad=True)
    out = getattr(np, name)(x, 1.0) if name in ("floor_divide", "heaviside") else getattr(np, name)(x)
    assert out.requires_grad  # a constant to the derivative, not a detached one
    (x * out).sum().backward()
    assert_same(x.grad, out.data)


def test_round_takes_decimals() -> None:
    x = tg.tensor([0.126, -25.0, 1.0], requires_grad=True)
    for decimals in (0, 1, 2, -1):
        for f in (np.round, np.around):
            assert_same(f(x, decimals).data, np.round(x.data, decimals))
            assert_same(f(x, decimals=decimals).data, np.round(x.data, decimals))


def test_divmod_is_both() -> None:
    x = tg.tensor([7.0, -7.0], requires_grad=True)
    y = tg.tensor([2.0, 3.0], requires_grad=True)
    quotient, rest = np.divmod(x, y)
    assert_same(quotient.data, [3, -3])
    assert_same(rest.data, [1, 2])
    (quotient * 100.0 + rest).sum().backward()
    assert_same(x.grad, [1, 1])
    assert_same(y.grad, [-3, 3])
    assert_same(np.divmod(np.array([7.0]), tg.tensor(2.0))[1].data, [1])


# ---- what only asks


def test_comparisons_of_all_elements_are_plain_truths() -> None:
    x = tg.tensor([1.0, nan], requires_grad=True)
    for answer, expected in (
        (np.allclose(x, x), False), (np.allclose(x, x, equal_nan=True), True), (np.allclose(x[0], 1.0 + 1e-9), True),
        (np.allclose([1.0], x[0], rtol=0.0, atol=0.0), True), (np.array_equal(x, x), False),
        (np.array_equal(x, np.array([1.0, nan]), equal_nan=True), True), (np.array_equal(x[0], [1.0]), False),
        (np.array_equiv(x[0], [1.0, 1.0]), True), (np.array_equiv(x[0], [1.0, 2.0]), False),
    ):  # fmt: skip
        assert type(answer) is bool
        assert answer is expected
    for f in (np.array_equal, np.array_equiv):
        with pytest.raises(TypeError, match="cannot become a plain array"):
            f([x, x], x)


def test_tests_of_elements_are_constants() -> None:
    x = tg.tensor([1.0, inf, -inf, nan], requires_grad=True)
    for f, expected in (
        (lambda t: np.isclose(t, [1.0 + 1e-9, inf, 0.0, nan]), [True, True, False, False]),
        (lambda t: np.isclose(t, t, equal_nan=True), [True] * 4),
        (lambda t: np.isclose(t, 1.2, atol=0.3), [True, False, False, False]),
        (np.isposinf, [False, True, False, False]), (np.isneginf, [False, False, True, False]),
    ):  # fmt: skip
        with np.errstate(all="ignore"):
            out = f(x)
        assert not out.requires_grad
        np.testing.assert_array_equal(out.data, expected, strict=True)

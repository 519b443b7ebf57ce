"""The words for what the error of a rule looks like: a shift by any number of places is found, or not denied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg

pytestmark = pytest.mark.usefixtures("registry")


def looks(op: Any, shape: tuple[int, ...]) -> str:
    (culprit,) = tg.gradcheck(lambda x: op(x) ** 2, np.random.default_rng(0).normal(size=shape)).culprits
    return culprit.looks_like


@pytest.mark.parametrize(
    ("shape", "by", "axis", "words"),
    [
        ((5,), 2, 0, "2 places off along axis 0"), ((9,), 6, 0, "3 places off along axis 0"),
        ((4, 7), 3, 1, "3 places off along axis 1"), ((4, 7), 1, 0, "one place off along axis 0"),
        ((3, 4), 5, None, "5 places off"), ((300,), 50, 0, "50 places off along axis 0"),
    ],
)  # fmt: skip
def test_a_shift_by_several_places(shape: tuple[int, ...], by: int, axis: int | None, words: str) -> None:
    shifted = tg.op(lambda x: 1.0 * x, name="shifted_wrong", x=lambda g: np.roll(g, by, axis))
    assert looks(shifted, shape) == f"a shift: each gradient stands {words}"


def test_a_roll_that_is_not_rolled_back_is_a_shift() -> None:
    roll = tg.op(lambda x: np.roll(x, 1), name="roll_wrong", x=lambda g: np.roll(g, 1))
    assert looks(roll, (6,)) == "a shift: each gradient stands 2 places off along axis 0"


def test_what_was_not_looked_for_is_not_denied() -> None:
    far = tg.op(lambda x: 1.0 * x, name="far_wrong", x=lambda g: np.roll(g, 100))
    assert looks(far, (400,)) == "no factor, sign, transpose, shift along an axis by up to 64 places or lost sum"
    both = tg.op(lambda x: 1.0 * x, name="both_wrong", x=lambda g: np.roll(g, (1, 2), (0, 1)))
    assert looks(both, (5, 6)) == "no factor, sign, transpose, shift along an axis or lost sum"

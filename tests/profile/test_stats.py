"""Statistics of any array: against NumPy in float64, and of what overflows, is not finite, empty, or no number."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_fc.profile import stats
from tinygrad_fc.profile.stats import _BLOCK

KEYS = {"min", "max", "mean", "std", "norm", "zeros", "nonfinite"}


@pytest.mark.parametrize("size", [2, 15, 16, 64, 65, _BLOCK, 2 * _BLOCK + 7])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint64, np.bool_])
def test_they_are_numpys_of_the_same_numbers_in_float64(size: int, dtype: Any, rng: np.random.Generator) -> None:
    array = rng.integers(0, 100, size).astype(dtype)
    wide = array.astype(np.float64)
    found = stats(array)
    assert (found["min"], found["max"]) == (wide.min(), wide.max())
    assert found["mean"] == pytest.approx(wide.mean(), rel=1e-12)
    assert found["std"] == pytest.approx(wide.std(), rel=1e-12, abs=1e-12)
    assert found["norm"] == pytest.approx(np.linalg.norm(wide), rel=1e-12)
    assert found["zeros"] == np.mean(wide == 0)
    assert found["nonfinite"] == 0
    assert ("histogram" in found) == (size >= 16)
    assert ("numbers" in found) == (size <= 64)
    assert found.get("numbers", array.tolist()) == array.tolist()
    if size >= 16 and wide.max() > wide.min():
        low, high = found["histogram"]["low"], found["histogram"]["high"]
        assert (low, high) == (wide.min(), wide.max())
        places = np.minimum(((wide - low) / (high - low) * 20).astype(int), 19)
        assert found["histogram"]["counts"] == np.bincount(places, minlength=20).tolist()


# Every float there is: NaN, infinities, subnormal numbers, and those whose squares overflow.
ARRAYS = st.one_of([
    hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
    for dtype in (np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_)
])  # fmt: skip


@settings(max_examples=400)
@given(array=ARRAYS)
def test_they_never_warn_and_go_into_json(array: np.ndarray) -> None:
    before = array.tobytes()
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        found = stats(array)
    assert json.loads(json.dumps(found)).keys() == found.keys()
    assert array.tobytes() == before
    assert found["nonfinite"] == np.sum(~np.isfinite(array.astype(np.float64)))
    if not array.size:
        assert found == {"numbers": [], "zeros": 0.0, "nonfinite": 0}
        return
    assert found.keys() >= KEYS
    if "histogram" in found:
        assert sum(found["histogram"]["counts"]) == array.size - found["nonfinite"]
        assert math.isfinite(found["histogram"]["low"])
        assert math.isfinite(found["histogram"]["high"])
    if not found["nonfinite"]:
        assert found["min"] <= found["mean"] * (1 + 1e-9) + 1e-320 or found["mean"] < 0
        assert found["norm"] >= max(abs(found["min"]), abs(found["max"])) * (1 - 1e-12)


def test_what_float64_cannot_square() -> None:
    large, small = stats(np.full(20, 3e200)), stats(np.full(20, 3e-200))
    assert large["norm"] == pytest.approx(3e200 * math.sqrt(20.0), rel=1e-12)
    assert small["norm"] == pytest.approx(3e-200 * math.sqrt(20.0), rel=1e-12)
    assert (large["std"], small["std"]) == (0.0, 0.0)
    ends = stats(np.array([1.5e308, -1.5e308] * 8))
    assert ends["mean"] == 0.0
    assert ends["norm"] == math.inf  # the norm itself is no float64
    assert ends["histogram"]["counts"] == [8, *[0] * 18, 8]


def test_half_precision_does_not_overflow() -> None:
    found = stats(np.full((100, 100), 6e4, np.float16))
    assert found["mean"] == float(np.float16(6e4))
    assert found["norm"] == pytest.approx(100 * float(np.float16(6e4)))


def test_what_is_not_finite_is_counted_and_left_out_of_the_histogram() -> None:
    found = stats(np.array([np.nan, np.inf, -np.inf, *range(17)]))
    assert found["nonfinite"] == 3
    assert math.isnan(found["mean"])
    assert found["histogram"]["low"] == 0.0
    assert sum(found["histogram"]["counts"]) == 17
    nothing = stats(np.full(20, np.nan))
    assert nothing["histogram"] == {"low": 0.0, "high": 0.0, "counts": [0] * 20}


@pytest.mark.parametrize("value", [2, 2.5, True, np.float32(1.5), np.array(3.0), np.array([4.0]), np.array([[5]])])
def test_one_number(value: Any) -> None:
    found = stats(value)
    number = float(np.asarray(value).item())
    assert (found["min"], found["max"], found["mean"], found["std"]) == (number, number, number, 0.0)
    assert found["numbers"] == np.asarray(value).tolist()
    assert found["nonfinite"] == 0


def test_what_is_no_real_number_has_none() -> None:
    assert stats(np.ones(3, complex)) == {}
    assert stats(np.array(["a", "b"])) == {}


def test_long_doubles_are_told_in_float64() -> None:
    found = stats(np.array([1.5, 2.5], np.longdouble))
    assert found["numbers"] == [1.5, 2.5]
    assert [type(number) for number in [*found["numbers"], *stats(np.longdouble(1.5)).values()]] == [
        float, float, float, float, float, float, float, float, int, float,
    ]  # fmt: skip


def test_nothing_is_the_arrays_own() -> None:
    array = np.arange(20.0)
    found = stats(array)
    before = json.dumps(found)
    array[:] = -1.0
    assert json.dumps(found) == before

"""Differences: the true error lies below the stated bound, kinks are told, and evaluations are few."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.check.difference import EPS, MARGIN, Estimate, Line, Point, derivative, noise

Function = Callable[[float], float]


class Counted:
    """A function of one number as a `Line`; counts how often it is computed."""

    def __init__(self, f: Function, branch: Callable[[float], object] = lambda t: None) -> None:
        self.f, self.branch, self.count = f, branch, 0

    def __call__(self, shift: float) -> Point:
        self.count += 1
        try:
            with np.errstate(all="ignore"):
                value = float(self.f(shift))
        except (ValueError, OverflowError, ZeroDivisionError):
            value = math.nan
        return Point(value, self.branch(shift), abs(value))


def estimate(line: Line, expected: float, tolerance: float = 1e-6) -> tuple[Estimate, float]:
    base = line(0.0)
    rounding = noise(line, base)
    return derivative(line, base, expected, tolerance, rounding), rounding


SMOOTH: dict[str, tuple[Function, float]] = {
    "a line": (lambda t: 3.0 * t + 1.0, 3.0),
    "a constant": (lambda t: 2.5, 0.0),
    "a parabola": (lambda t: (1.0 + t) ** 2, 2.0),
    "a power of 7": (lambda t: (0.3 + t) ** 7, 7 * 0.3**6),
    "exp": (lambda t: math.exp(t), 1.0),
    "exp, steep": (lambda t: math.exp(40.0 * t), 40.0),
    "sine": (lambda t: math.sin(1.0 + t), math.cos(1.0)),
    "oscillating, 30": (lambda t: math.sin(30.0 * t + 0.3), 30.0 * math.cos(0.3)),
    "oscillating, 1000": (lambda t: math.sin(1e3 * t + 0.7), 1e3 * math.cos(0.7)),
    "oscillating beside a slope": (lambda t: t + 1e-3 * math.sin(500.0 * t), 1.5),
    "a bump beside flat": (lambda t: math.exp(-((t * 200.0) ** 2)) + t, 1.0),
    "a pole nearby": (lambda t: 1.0 / (t + 0.02), -1.0 / 0.02**2),
    "a root near its end": (lambda t: math.sqrt(t + 1e-3), 0.5 / math.sqrt(1e-3)),
    "a root at its end, nearly": (lambda t: math.sqrt(t + 1e-6), 0.5 / math.sqrt(1e-6)),
    "a logarithm near 0": (lambda t: math.log(t + 1e-4), 1e4),
    "an arcsine near 1": (lambda t: math.asin(0.9999 + t), 1.0 / math.sqrt(1 - 0.9999**2)),
    "an extremum": (lambda t: math.cos(t), 0.0),
    "saturated": (lambda t: math.tanh(20.0 + t), 1.0 / math.cosh(20.0) ** 2),
    "cancelling against 1e6": (lambda t: (1e6 + math.sin(t)) - 1e6, 1.0),
    "cancelling against 1e10": (lambda t: (1e10 + math.sin(t)) - 1e10, 1.0),
    "beside a large value": (lambda t: 1e8 + math.exp(t), 1.0),
    "tiny": (lambda t: 1e-200 * math.exp(t), 1e-200),
    "huge": (lambda t: 1e200 * math.exp(t), 1e200),
    "rounded to float32": (lambda t: float(np.float32(math.exp(t + 0.1))), math.exp(0.1)),
    "computed in float32": (lambda t: float(np.sin(np.float32(t) + np.float32(1.1))), math.cos(1.1)),
    "rounded to 4 digits": (lambda t: round(math.exp(t), 4), 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("wrong", [1.0, 1.001, 0.0, -1.0])
def test_the_true_error_is_below_the_bound(name: str, wrong: float) -> None:
    """Whatever derivative is expected, right or wrong: the estimate says how far it may be off, and it is not more."""
    f, slope = SMOOTH[name]
    line = Counted(f)
    found, _ = estimate(line, slope * wrong)
    assert abs(found.value - slope) <= MARGIN * found.error + 1e-13 * abs(slope), found
    assert line.count < 110


SHARP = sorted(set(SMOOTH) - {"rounded to 4 digits", "rounded to float32", "computed in float32", "saturated",
                              "cancelling against 1e10", "oscillating, 1000"})  # fmt: skip


@pytest.mark.parametrize("name", SHARP)
def test_the_bound_is_no_excuse(name: str) -> None:
    f, slope = SMOOTH[name]
    found, _ = estimate(Counted(f), 1.0001 * slope)
    # Enough to tell a factor of 1.0001, or a slope that is nothing beside the value.
    assert MARGIN * found.error <= 9e-5 * max(abs(slope), 1e-7 * abs(f(0.0))), found
    assert found.kink is None


@pytest.mark.parametrize("name", SHARP)
def test_a_right_derivative_takes_few_evaluations(name: str) -> None:
    f, slope = SMOOTH[name]
    line = Counted(f)
    found, _ = estimate(line, slope)
    assert line.count <= 60
    assert found.step == 0.0 or found.step in found.steps or math.isfinite(found.value)
    assert len(found.steps) == len(found.differences)
    assert found.steps == sorted(found.steps, reverse=True)


def test_the_easy_ones_take_a_dozen() -> None:
    for name in ("a line", "a parabola", "exp", "sine"):
        f, slope = SMOOTH[name]
        line = Counted(f)
        base = line(0.0)
        rounding = noise(line, base)
        before = line.count
        derivative(line, base, slope, 1e-6, rounding)
        assert before <= 8
        assert line.count - before <= 12


# ---- kinks


DISTANCES = [10.0**-k for k in range(1, 13)]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("side", [-1.0, 1.0])
@pytest.mark.parametrize("known", [True, False])
def test_a_kink_beside_the_point(distance: float, side: float, known: bool) -> None:
    """With its branch declared, no difference is taken across it; without, the bound still holds, or it is seen."""
    at = side * distance

    def f(t: float) -> float:
        return math.exp(t) + 2.0 * max(t - at, 0.0)

    slope = 1.0 + (2.0 if side < 0 else 0.0)
    line = Counted(f, (lambda t: t > at) if known else (lambda t: None))
    found, rounding = estimate(line, slope)
    low, high = found.kink or (slope, slope)
    near = distance < 1e-11
    assert abs(found.value - slope) <= MARGIN * found.error + 1e-12 or near or low - 1e-6 <= slope <= high + 1e-6, found
    if known and distance >= 1e-6:
        assert found.value == pytest.approx(slope, rel=1e-5)
        assert found.kink is None
    assert line.count < 110


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-7])
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_wrong_slope_beside_a_kink_is_not_excused(distance: float, side: float) -> None:
    at = side * distance
    slope = 1.0 + (2.0 if side < 0 else 0.0)
    wrong = 4.0 - slope  # the slope beyond the kink
    found, _ = estimate(Counted(lambda t: math.exp(t) + 2.0 * max(t - at, 0.0), lambda t: t > at), wrong)
    assert abs(found.value - slope) <= MARGIN * found.error + 1e-12
    assert abs(found.value - wrong) > 1.0


@pytest.mark.parametrize("known", [True, False])
def test_on_a_kink_both_slopes_are_told(known: bool) -> None:
    for low, high in ((0.0, 1.0), (-1.0, 1.0), (2.0, 2.1), (-3.0, 0.0)):

        def f(t: float, low: float = low, high: float = high) -> float:
            return 5.0 + (high if t > 0 else low) * t

        found, _ = estimate(Counted(f, (lambda t: t > 0) if known else (lambda t: None)), (low + high) / 2 + 0.01)
        assert found.kink is not None
        assert found.kink == pytest.approx((low, high), abs=1e-3)


def test_a_bend_is_no_kink() -> None:
    for sharp in (1e-1, 1e-2, 1e-3, 1e-4):
        found, _ = estimate(Counted(lambda t, s=sharp: math.sqrt(t * t + s * s)), 0.5)
        assert found.kink is None
        assert abs(found.value) <= MARGIN * found.error + 1e-9


def test_a_bend_of_which_rounding_leaves_one_step_is_no_kink() -> None:
    line = Counted(lambda t: 1e6 + (1e-3 + t) ** 2)
    found, _ = estimate(line, 3e-3)
    assert found.kink is None
    kinked = Counted(lambda t: 1e6 + 2e-3 * abs(t), lambda t: t > 0)
    found, _ = estimate(kinked, 0.0)
    assert found.kink is not None
    assert found.kink == pytest.approx((-2e-3, 2e-3), abs=MARGIN * found.blur)
    assert 0.0 < found.blur < 1e-3


def test_a_step_is_never_differenced() -> None:
    line = Counted(lambda t: t + (100.0 if t > 1e-4 else 0.0), lambda t: t > 1e-4)
    found, _ = estimate(line, 1.0)
    assert found.value == pytest.approx(1.0, rel=1e-8)


# ---- ends of domains


def test_the_differences_of_one_side_serve_where_the_other_is_none() -> None:
    for shift in (0.0, 1e-12, 1e-9):
        found, _ = estimate(Counted(lambda t, s=shift: (t + s) ** 1.5 if t + s >= 0 else math.nan), 0.0)
        assert abs(found.value - 1.5 * math.sqrt(shift)) <= MARGIN * found.error + 1e-9
    found, _ = estimate(Counted(lambda t: 2.0 * t if t <= 0 else math.inf), 2.0)
    assert found.value == pytest.approx(2.0)


def test_nothing_is_claimed_where_nothing_can_be_computed() -> None:
    line = Counted(lambda t: 1.0 if t == 0 else math.nan)
    found, _ = estimate(line, 1.0)
    assert found.error == math.inf
    assert math.isnan(found.value)
    assert found.kink is None
    assert found.order is None


# ---- the noise


@pytest.mark.parametrize("size", [1e-12, 1e-9, 1e-6, 1e-3])
def test_noise_finds_the_size_of_rounding(size: float) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        found = noise(line := Counted(lambda t, rng=rng: math.exp(t) + size * rng.standard_normal()), line(0.0))
        assert 0.2 * size < found < 5.0 * size


def test_noise_of_grids_is_seen_although_neighbours_are_equal() -> None:
    for grid in (2.0**-24, 2.0**-10, 1e-4):
        line = Counted(lambda t, g=grid: g * round(math.exp(t) / g))
        found = noise(line, line(0.0))
        assert 0.05 * grid < found < 5.0 * grid
        assert line.count <= 43


def test_noise_is_at_least_the_last_digit() -> None:
    line = Counted(lambda t: 3.0)
    assert noise(line, line(0.0)) == 3.0 * EPS
    assert noise(line, Point(0.0, None, 50.0)) >= 50.0 * EPS  # of the terms that cancelled


def test_noise_does_not_look_across_branches() -> None:
    line = Counted(lambda t: 1.0 if t > 0 else 0.0, lambda t: t > 0)
    assert noise(line, line(0.0)) == 0.0
    assert line.count == 8  # six neighbours, the point itself, and one look at the size further away


# ---- the order


@pytest.mark.parametrize("name", ["a parabola", "a power of 7", "exp", "sine", "a pole nearby"])
def test_the_order_tells_right_from_wrong(name: str) -> None:
    f, slope = SMOOTH[name]
    right, _ = estimate(Counted(f), slope)
    wrong, _ = estimate(Counted(f), 1.1 * slope)
    assert right.order == pytest.approx(2.0, abs=0.35)
    assert wrong.order == pytest.approx(1.0, abs=0.15)


def test_there_is_no_order_of_a_line() -> None:
    assert estimate(Counted(lambda t: 3.0 * t), 3.0)[0].order is None


# ---- the complex step


def test_the_complex_step_is_taken_where_every_operation_is_analytic() -> None:
    x = np.linspace(-2.0, 2.0, 30)
    exact = tg.gradcheck(lambda x: np.exp(np.sin(x)) / (x * x + 1.0), x)
    kinked = tg.gradcheck(lambda x: np.exp(np.sin(x)) / (x * x + 1.0) + 0.0 * np.maximum(x, -9.0), x)
    assert exact
    assert kinked
    assert exact.evaluations < 0.8 * kinked.evaluations
    assert exact.inputs[0].error < 1e-12
    assert exact.inputs[0].steps  # one coordinate is differenced for the curve


def test_the_complex_step_sees_through_cancellation() -> None:
    """Its imaginary part adds up nothing large: a difference would be off by 1e-4."""
    report = tg.gradcheck(lambda x: (1e9 + x) - 1e9, np.array([0.5, 1.5]))
    assert report.verdict == "correct"
    assert not tg.gradcheck(lambda x: (1e9 + x * x.detach()) - 1e9, np.array([0.5, 1.5]))


def test_a_function_that_drops_imaginary_parts_is_differenced() -> None:
    """What leaves the tape is not seen by the operations on it: a difference beside each complex step sees it."""
    late = np.array([1.0, 1.0, 0.0])  # only the last element is at fault
    report = tg.gradcheck(lambda x: x * np.where(late, 1.0, np.abs(x.data)), np.array([0.5, -1.5, 0.7]))
    assert report.verdict == "wrong"
    assert report.inputs[0].worst == (2,)
    assert report.inputs[0].numerical == pytest.approx(2.0 * report.inputs[0].analytic, rel=1e-6)

"""The derivative of a function of one number, by central differences that say how far they may be off.

A central difference has two errors: of the formula, of order h**2, and of the function's own rounding, divided by h.
The first shows in how differences of several steps agree (Ridders, "Accurate computation of F'(x) and F'(x) F''(x)",
1982, extrapolates them to h = 0); the second is measured, from differences of the function's values at neighbouring
points (More and Wild, "Estimating computational noise", 2011). Where the function's branch differs between the two
points there is a kink between them, and the step is no use.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

EPS = float(np.finfo(np.float64).eps)
RATIO = 4.0  # from one step to the next
MARGIN = 3.0  # a bound of an error is an estimate itself


@dataclass(slots=True)
class Point:
    """A value of the function on the line: the number, and the branches that it was computed on."""

    value: float
    branch: Any = None
    size: float = 0.0  # of the terms that were added up


Line = Callable[[float], Point]


@dataclass(slots=True)
class Estimate:
    """A derivative, and what is known of it.

    Attributes
    ----------
    value, error : float
        The derivative at 0, and a bound of how far it may be off.
    step : float
        The step of the differences that it was taken from.
    steps, differences : list of float
        Every usable step with its central difference, for the curve of error against step.
    order : float or None
        By which power of the step the function departs from its tangent: about 2 where the expected derivative is
        right, 1 where it is not; None where rounding hides it.
    kink : tuple of float or None
        The slopes of the two sides, where a kink lies at the point or too close to take differences beside it.
    blur : float
        What rounding may have done to those.
    """

    value: float
    error: float
    step: float
    steps: list[float] = field(default_factory=list)
    differences: list[float] = field(default_factory=list)
    order: float | None = None
    kink: tuple[float, float] | None = None
    blur: float = 0.0


# Neighbouring points at irregular distances, so that not all values fall on the grid that they are rounded to; and the
# projection of their values on what no parabola through the points accounts for.
_NEAR = (1.0, 1.83, 3.17, 4.09, 5.41, 6.77)
_powers = np.vander([0.0, *_NEAR], 3)
_REST = np.eye(7) - _powers @ np.linalg.pinv(_powers)


def noise(line: Line, base: Point, spread: float = 1.3e-11) -> float:
    """Return the size of the rounding errors in the function's values.

    Parameters
    ----------
    line : callable
        The function.
    base : Point
        Its value at 0.
    spread : float
        Distance of the seven neighbouring points at first. Where all values are the same, as those of a function that
        rounds to float32 inside, they are spread further.
    """
    found = EPS * max(abs(base.value), base.size)
    there = line(1e-2)
    if there.branch == base.branch and 10.0 * base.size < there.size < math.inf:
        found = max(found, EPS * there.size)  # where values grow from nothing, so do their rounding errors
    for _ in range(7):
        points = [base, *[line(spread * far) for far in _NEAR]]
        values = [point.value for point in points]
        if not all(map(math.isfinite, values)) or any(point.branch != base.branch for point in points):
            break
        # Of a smooth function a parabola leaves nothing so close; of independent errors four sevenths of the squares.
        with np.errstate(all="ignore"):
            rest = (_REST @ (np.array(values) - base.value)).tolist()
        found = max(found, math.hypot(*rest) / 2.0)
        if len(set(values)) > 5 or spread > 1e-2:
            break
        spread *= 71.3  # no power of two: multiples of one could fall on the grid that values are rounded to
    return found


class _Sequence:
    """Differences of shrinking steps, extrapolated to the step 0 as Ridders does; keeps every entry with its error."""

    def __init__(self, power: int) -> None:
        self.power = power  # of the step, by which the error of a difference shrinks: 2 for central ones, else 1
        self.row: list[float] = []
        self.raw: list[tuple[float, float, float]] = []  # step, difference, what rounding may have done to it
        self.entries: list[tuple[float, float, float]] = []  # error, value, step

    def add(self, difference: float, step: float, blur: float) -> None:
        """Take the difference of a further step."""
        self.raw.append((step, difference, blur))
        row, factor = [difference], RATIO**self.power
        for order, previous in enumerate(self.row):
            row.append((factor * row[order] - previous) / (factor - 1.0))
            factor *= RATIO**self.power
            # An entry is as good as it agrees with the two that it was made from.
            doubt = max(abs(row[-1] - row[order]), abs(row[-1] - previous)) + blur
            self.entries.append((doubt, row[-1], step))
        self.row = row[:6]

    def best(self) -> tuple[float, float, float]:
        """Return error, value and step of the best entry that no difference of a smaller step contradicts."""
        for error, value, step in sorted(self.entries):
            if all(
                abs(near - value) <= MARGIN * (error + MARGIN * blur) + 0.5 * abs(near - before)
                for (_, before, _), (smaller, near, blur) in zip(self.raw, self.raw[1:], strict=False)
                if smaller < step
            ):
                return error, value, step
        return math.inf, math.nan, 0.0


def derivative(
    line: Line, base: Point, expected: float, tolerance: float, rounding: float, first: float = 1e-2, count: int = 15
) -> Estimate:
    """Return the derivative of `line` at 0.

    Where a kink lies on one side, the differences of the other side are used.

    Parameters
    ----------
    line : callable
        Takes a shift, in units of what is moved; returns a `Point`.
    base : Point
        ``line(0.0)``.
    expected : float
        The derivative that is checked. Once an estimate agrees with it, to `tolerance`, is trusted to that much, and
        the smallest step that can tell does not contradict, no further step is taken.
    tolerance : float
        Relative accuracy that is asked for.
    rounding : float
        Size of the rounding errors of the values, from `noise`.
    first, count : float, int
        The largest step, and how many steps, each a quarter of the one before, or less where a kink is in between.
    """
    central, right, left = _Sequence(2), _Sequence(1), _Sequence(1)
    rests = list[tuple[float, float]]()  # how far the function is from its tangent
    step, crossed, looked, strict = first, False, False, True

    def measure(step: float) -> bool:
        """Take the differences of one step; return whether any was of use."""
        nonlocal crossed
        up, down = line(step), line(-step)
        above = math.isfinite(up.value) and (up.branch == base.branch or not strict)
        below = math.isfinite(down.value) and (down.branch == base.branch or not strict)
        blur = rounding / step
        if above and below:
            central.add((up.value - down.value) / (2.0 * step), step, blur)
        else:
            crossed = True
            central.row = []
        if above:
            rests.append((step, abs(up.value - base.value - step * expected)))
            right.add((up.value - base.value) / step, step, 2.0 * blur)
        if below:
            left.add((base.value - down.value) / step, step, 2.0 * blur)
        return above or below

    def best() -> tuple[float, float, float]:
        return min((sequence.best() for sequence in (central, right, left)), key=lambda found: found[0])

    for _ in range(count):
        useful = measure(step)
        error, value, at = best()
        size = max(abs(value), abs(expected)) if error < math.inf else math.inf
        if error <= 0.3 * tolerance * size and abs(value - expected) <= tolerance * size:
            near = min(max(rounding / (1e-5 * size), 1e-10) if size else step, step / RATIO)
            if looked or near < step / RATIO**2 and not _contradicted(line, base, expected, size, near, rounding):
                break
            looked = near >= step / RATIO**2  # so close that the next step is the look
        elif error < math.inf and rounding / step > 8.0 * error and at > 8.0 * step:
            if not abs(value - expected) > 10.0 * rounding / step:
                break  # smaller steps are rounding alone
        step /= RATIO if useful else RATIO**2
    if not central.raw and not right.raw and not left.raw:
        # The point is a branch of its own, where two pieces meet: if they meet smoothly, they are one function.
        strict = False
        for _ in range(6):
            measure(step := first / RATIO ** len(central.raw))
    error, value, at = best()
    steps, differences = [h for h, _, _ in central.raw], [d for _, d, _ in central.raw]
    found = Estimate(value, error, at, steps, differences, _order(rests, rounding))
    size = max(abs(value), abs(expected)) if error < math.inf else 0.0
    if crossed or error > tolerance * size or abs(value - expected) > tolerance * size:
        found.kink, found.blur = _kink(line, base, rounding)
        if not strict and found.kink is not None:
            found.error = math.inf  # on a kink, the mean of the two slopes is no derivative
    return found


def _contradicted(line: Line, base: Point, expected: float, size: float, step: float, rounding: float) -> bool:
    """Whether the differences of a small step, which see what larger ones pass over, speak against a derivative."""
    up, down = line(step), line(-step)
    allowed = 1e-4 * size + MARGIN**2 * rounding / step
    slopes = [
        (end.value - base.value) / shift
        for end, shift in ((up, step), (down, -step))
        if math.isfinite(end.value) and end.branch == base.branch
    ]
    return any(abs(slope - expected) > allowed + abs(slopes[0] - slopes[-1]) for slope in slopes)


def _order(rests: list[tuple[float, float]], rounding: float) -> float | None:
    """Return the power of the step in the departures from a tangent, over those that stand out from rounding."""
    clear = [(step, rest) for step, rest in rests if rest > 100.0 * rounding]
    powers = [
        math.log(one / other) / math.log(wide / narrow)
        for (wide, one), (narrow, other) in zip(clear, clear[1:], strict=False)
        if one > 0 < other
    ]
    return float(np.median(powers)) if powers else None


def _kink(line: Line, base: Point, rounding: float) -> tuple[tuple[float, float] | None, float]:
    """Return the slopes of the two sides, the lower one first, or None where there is no kink; and their rounding.

    The slopes of a bend come closer to each other with the step; those of a kink stay apart, down to the smallest step
    at which rounding lets them be told. One step alone cannot tell the one from the other.
    """

    def sides(step: float) -> tuple[float, float] | None:
        up, down = line(step), line(-step)
        if not (math.isfinite(up.value) and math.isfinite(down.value)):
            return None
        low, high = sorted(((base.value - down.value) / step, (up.value - base.value) / step))
        return low, high

    found: tuple[float, float] | None = None
    first = last = sure = 0.0
    seen = 0
    for step in (1e-4, 1e-6, 1e-8, 1e-10, 1e-12):
        slopes, blur = sides(step), 4.0 * rounding / step
        if slopes is None:
            return None, 0.0
        low, high = slopes
        size = max(abs(low), abs(high))
        if found is not None and blur > 0.1 * first:
            break  # rounding hides what is closer
        if high - low <= max(10.0 * blur, 1e-3 * size, 0.5 * first) or found is not None and size > 2.0 * last:
            return None, 0.0
        if found is None or blur <= 1e-4 * first:
            found, last, sure = (low, high), size, blur
        first, seen = first or high - low, seen + 1
    if found is not None and seen == 1:
        wide = sides(1e-3)
        if wide is None or first <= 0.5 * (wide[1] - wide[0]):
            return None, 0.0
    return found, sure

"""Where a function has no derivative, and what a gradient may be there: at ties, and where the slope is infinite."""

from __future__ import annotations

import math

import numpy as np

from .difference import MARGIN, Estimate, Line, derivative
from .problem import Problem, natural

AT = 1e-12  # so close to a tie its pieces are, relative to the input's size
BESIDE = 1e-4  # and so far from it a derivative of one piece is taken
LOOKS = 24  # points beside the tie


def is_steep(line: Line, a: float) -> bool:
    """Whether a function has an infinite slope of the sign of `a` at 0: on a side, it grows as the step shrinks."""
    start = line(0.0)
    for sign in (1.0, -1.0):
        points = [(h, line(sign * h)) for h in (1e-3, 1e-6, 1e-9)]
        slopes = [sign * (point.value - start.value) / h * math.copysign(1.0, a) for h, point in points]
        if all(map(math.isfinite, slopes)) and 0.0 < slopes[0] * 1.5 < slopes[1] and slopes[1] * 1.5 < slopes[2]:
            return True
    return False




def ways_off(problem: Problem, position: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Return directions in which an input may leave a tie; none where it stands on none.

    The first two keep equal elements in their order, or turn it round: as a stable sort has them, or one that takes the
    first of equals. The others are random.
    """
    t = problem.tensors[position]
    if not t.size:
        return []
    ramp = np.arange(1.0, t.size + 1.0).reshape(t.shape) / t.size
    drawn = [generator.uniform(-1.0, 1.0, t.shape) for _ in range(LOOKS - 2)]
    ways = [way * natural(t._array) for way in (ramp, -ramp, *drawn)]
    base = problem.value()
    tied = any(problem.line({position: AT * way})(1.0).branch != base.branch for way in ways[:8])
    return ways if tied else []


def between(
    problem: Problem, position: int, direction: np.ndarray, a: float, ways: list[np.ndarray], rounding: float
) -> Estimate | None:
    """Return the least and the largest slope of the pieces that meet at a tie, if the slope `a` is none beyond them.

    At a tie of several elements the slopes of the two sides do not say all: that of a median in the direction of any
    one of three equal elements is 0 on both sides, and yet it goes through one of them. A gradient may be any mean of
    those nearby (Clarke, "Optimization and Nonsmooth Analysis", 1983, theorem 2.5.1). Each of the two that are told is
    one of a piece, and is checked against differences there.

    Parameters
    ----------
    problem : Problem
        Entered.
    position : int
        The input that stands on a tie.
    direction : numpy.ndarray
        Along which the slope is taken.
    a : float
        The slope that is checked.
    ways : list of numpy.ndarray
        In which the tie is left.
    rounding : float
        Size of the rounding errors of the function's values.
    """
    t = problem.tensors[position]
    start, line = t._array, {position: direction}
    found, pair = [], []
    try:
        for k, way in enumerate(ways):
            t._array = start + BESIDE * way
            with np.errstate(all="ignore"):
                out = problem.run()
                if out.shape != problem.working_out.shape or not np.isfinite(out.data).all():
                    return None
                d = problem.slopes(out)[position].data
            found.append((float(np.sum(d * direction)), k))
        for slope, k in (min(found), max(found)):
            t._array = start + BESIDE * ways[k]
            number = derivative(problem.line(line), problem.value(), slope, 1e-6, rounding)
            if not abs(number.value - slope) <= 1e-4 * max(abs(slope), abs(number.value)) + MARGIN * number.error:
                return None
            pair.append(number.value)
    finally:
        t._array = start
    slack = 1e-3 * max(map(abs, pair))
    if not pair[0] - slack <= a <= pair[1] + slack:
        return None
    return Estimate(sum(pair) / 2.0, 0.0, BESIDE, kink=(pair[0], pair[1]))

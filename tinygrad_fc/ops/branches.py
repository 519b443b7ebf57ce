"""Branches: which of its pieces a function with kinks or steps is on, as ``op(..., branch=)`` declares it.

A branch is an array that changes when a kink or a step is crossed, and only then. It is compared by its bytes: so there
is one zero and one NaN in it, and its dtype is the same for arguments of any precision. None warns at NaN or infinity.

Not counted as kinks are the ends of a domain and the poles: ``sqrt`` and ``log`` at 0, ``1 / x`` at 0, ``tan``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def side(x: Any, y: Any = 0.0) -> Any:
    """Return on which side of `y` each element of `x` is: 1 above, 2 at a tie, 3 below, and 0 beside a NaN."""
    with np.errstate(all="ignore"):  # a Python number may be out of range in half precision
        return np.asarray(np.greater(x, y) + 2 * np.equal(x, y) + 3 * np.less(x, y), np.int8)


def of_x(x: Any) -> Any:
    """Return the side of zero that `x` is on."""
    return side(x)


def of_pair(x: Any, y: Any) -> Any:
    """Return which of the two is larger."""
    return side(x, y)


def steps(out: Any) -> Any:
    """Return the values of a function that is constant between its steps."""
    out = np.asarray(out, np.float64) + 0.0  # -0.0 becomes 0.0: rounding gives both on one step
    return np.where(np.isnan(out), math.nan, out)


def rounded(out: Any, decimals: int) -> Any:
    """Return what was rounded to so many places as a whole number of units of the last one."""
    with np.errstate(all="ignore"):
        return steps(np.rint(np.asarray(out, np.float64) * np.float64(10.0) ** decimals))


def quotient(x: Any, y: Any) -> Any:
    """Return how often `y` goes into `x`, rounded down: ``remainder`` jumps where it changes."""
    with np.errstate(all="ignore"):
        return steps(np.floor_divide(x, y))


def fmod_quotient(x: Any, y: Any, out: Any) -> Any:
    """Return how often `y` went into `x`, rounded towards 0, given the remainder."""
    with np.errstate(all="ignore"):
        return steps(np.rint((x - out) / y))


def clipped(a: Any, low: Any, high: Any) -> Any:
    """Return where ``min(max(a, low), high)`` comes from. Where it is `high`, the order of the other two is nothing."""
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    with np.errstate(all="ignore"):
        above = side(np.maximum(a, low), high)
    return np.where(above == 1, above, above + 4 * side(a, low)).astype(np.int8)


def turn(out: Any, y: Any, x: Any) -> Any:
    """Return on which side of the cut, and whether at the origin, the angle of a point is.

    Around the origin everything joins, so no function tells the sides of the cut apart and is constant elsewhere. This
    one changes at an angle of 3, too, and of -3.
    """
    beyond = np.greater(out, 3.0) + 2 * np.less(out, -3.0)
    return np.asarray(np.where(np.equal(x, 0) & np.equal(y, 0), 3, beyond), np.int8)


def picks(key: Any) -> Any:
    """Return the integers and masks of an index, one after the other; slices come from the program, not from data."""
    parts = key if isinstance(key, tuple) else (key,)
    found = [
        np.ravel(part).astype(np.intp)
        for part in parts
        if part is not None and part is not Ellipsis and not isinstance(part, slice)
    ]
    return np.concatenate([np.zeros(0, np.intp), *found])

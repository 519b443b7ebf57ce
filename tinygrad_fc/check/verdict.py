"""The verdict on one derivative, given a number for it and how far that may be off."""

from __future__ import annotations

import math

from .difference import MARGIN, Estimate

RESOLVED = 9e-5  # relative: a difference that cannot tell a factor of 1.0001 says nothing


def judged(
    a: float, estimate: Estimate, floor: float, tolerance: float, size: float, nothing: float, rounding: float
) -> tuple[str, float, float]:
    """Return the verdict on a derivative, its relative error, and the relative bound of the number.

    Parameters
    ----------
    a : float
        The derivative that is checked.
    estimate : Estimate
        The number, and what is known of it.
    floor : float
        A smaller derivative is compared relative to this.
    tolerance : float
        Relative difference that holds.
    size : float
        Of the function's value, all its terms added up.
    nothing : float
        A derivative so small beside the others need not be known well.
    rounding : float
        Size of the rounding errors in the function's values.
    """
    n = estimate.value
    if estimate.kink is None and a == 0.0 and estimate.differences and not any(estimate.differences):
        return "correct", 0.0, 0.0  # flat, and said to be: no rounding, of whatever size, is in the way
    if estimate.kink is None and abs(a) <= 1e-30 * size and abs(n) <= 1e-30 * size:
        return "correct", 0.0, 0.0  # as good as 0: one of the two has only sunk below the smallest number
    slopes = max(map(abs, estimate.differences), default=0.0)  # of the neighbourhood
    scale = max(abs(a), abs(n) if math.isfinite(n) else 0.0, floor, 1e-5 * slopes, 1e-300)
    gap, doubt = abs(a - n), MARGIN * estimate.error
    trusted = doubt <= RESOLVED * scale
    # What is rounding beside the other slopes, as that of a bias before a normalization, is as good as 0.
    trusted = trusted or abs(a) <= nothing and doubt <= RESOLVED * 1e-7 * size
    error, bound = gap / scale, min(doubt / scale, 1.0)
    if trusted and gap <= tolerance * scale + doubt:
        return "correct", error, bound
    if estimate.kink is not None:
        low, high = estimate.kink
        slack = 1e-3 * max(abs(low), abs(high)) + MARGIN * 4.0 * rounding / 1e-6
        if low - slack <= a <= high + slack:
            return "kink", 0.0, bound
        return "wrong", min(abs(a - low), abs(a - high)) / scale, bound
    if not math.isfinite(gap) or not math.isfinite(doubt):
        return "inconclusive", error if math.isfinite(error) else 1.0, 1.0
    # Beyond what the difference may be off by; far beyond, where that is not well known.
    if gap > tolerance * scale + (MARGIN if trusted else 10.0) * doubt:
        return "wrong", error, bound
    return "inconclusive", error, bound

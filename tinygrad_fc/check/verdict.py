"""The verdict on one derivative, given a number for it and how far that may be off."""

from __future__ import annotations

import math

from .difference import MARGIN, Estimate

RESOLVED = 9e-5  # relative: a difference that cannot tell a factor of 1.0001 says nothing
STEP = 1e-2  # the largest step of a difference


def judged(
    a: float, estimate: Estimate, floor: float, tolerance: float, size: float, nothing: float, rounding: float
) -> tuple[str, float, float]:
    """Return the verdict on a derivative, its relative error, and the relative bound of the number.

    Two are none of the reader's. "faint": the derivative is, as far as can be told, as good as 0. "drowned": it agrees
    as far as can be told, but is lost in the rounding of the others. Whether it is right, the rules of the operations
    have to say; a faint one is only called wrong if they do.

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
        A derivative so small beside the others may be lost in their rounding.
    rounding : float
        Size of the rounding errors in the function's values.
    """
    n = estimate.value
    if estimate.kink is None and a == n == 0.0 and not any(estimate.differences):
        # Flat, and said to be: but where the values' rounding could hide a slope that counts, that is no proof.
        return ("correct" if rounding / STEP <= tolerance * floor else "faint"), 0.0, 0.0
    if estimate.kink is None and max(abs(a), abs(n)) <= 1e-30 * min(size, 1.0):
        return "faint", 0.0, 0.0  # as good as 0: one of the two has only sunk below the smallest number
    slopes = max(map(abs, estimate.differences), default=0.0)  # of the neighbourhood
    scale = max(abs(a), abs(n) if math.isfinite(n) else 0.0, floor, 1e-5 * slopes, 1e-300)
    gap, doubt = abs(a - n), MARGIN * estimate.error
    trusted = doubt <= RESOLVED * scale
    error, bound = gap / scale, min(doubt / scale, 1.0)
    if trusted and gap <= tolerance * scale + doubt:
        # Of what is that little beside the other slopes nothing was compared.
        return ("correct" if a == n or max(abs(a), abs(n)) > tolerance * scale else "faint"), error, bound
    if not trusted and gap <= tolerance * scale + doubt and abs(a) <= nothing and doubt <= RESOLVED * 1e-7 * size:
        return "drowned", error, bound
    if estimate.kink is not None:
        low, high = estimate.kink
        slack = 1e-3 * max(abs(low), abs(high)) + MARGIN * estimate.blur
        if low - slack <= a <= high + slack:
            if MARGIN * estimate.blur > 1e-3 * scale:
                return "inconclusive", error if math.isfinite(error) else 1.0, 1.0
            return "kink", 0.0, bound
        return "wrong", min(abs(a - low), abs(a - high)) / scale, bound
    if not math.isfinite(gap) or not math.isfinite(doubt):
        return "inconclusive", error if math.isfinite(error) else 1.0, 1.0
    # Beyond what the difference may be off by; far beyond, where that is not well known.
    if gap > tolerance * scale + (MARGIN if trusted else 10.0) * doubt:
        return "wrong", error, bound
    return "inconclusive", error, bound

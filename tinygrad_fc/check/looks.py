"""What the error of a rule looks like: a factor, a shift, and words for them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from .difference import MARGIN

FARTHEST = 64  # places by which a shift is looked for: more would cost more than it tells
ELEMENTS = 10_000_000  # that are moved along one axis at most


def _farthest(length: int, size: int) -> int:
    """Return the farthest shift that is tried along an axis of an array."""
    return min(length // 2, FARTHEST, max(ELEMENTS // max(size, 1), 1))


def shifted(d: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield a gradient shifted along each axis, the nearest places first, with words for each."""
    for axis, length in (*enumerate(d.shape), (None, d.size)):  # None: all in one row
        along = "" if axis is None else f" along axis {axis}"
        for by in range(1, _farthest(length, d.size) + 1):
            far = "one place" if by == 1 else f"{by} places"
            for way in (-by, by):
                yield f"a shift: each gradient stands {far} off{along}", np.roll(d, way, axis)


def unknown(d: np.ndarray) -> str:
    """Return words for a wrong gradient that looks like nothing that was looked for."""
    most = _farthest(d.size, d.size)
    near = f" by up to {most} places" if most < d.size // 2 else ""
    return f"no factor, sign, transpose, shift along an axis{near} or lost sum"


def factor_words(factor: float, argument: np.ndarray, arrays: Sequence[np.ndarray], g: np.ndarray) -> str:
    """Return words for a gradient that is right when times `factor`; `g` arrived, at an operation of `arrays`."""
    if abs(factor + 1.0) < 1e-3:
        return "a sign: the opposite of the gradient"
    lengths: set[int] = set()
    if g.size != argument.size:  # only then is there anything to sum, or to take the mean of
        lengths = {n for array in (*arrays, g) for n in (*array.shape, array.size) if n > 1}
    for n in sorted(lengths):
        if abs(factor * n - 1.0) < 1e-3:
            return f"a factor of {n}: a division by {n}, a number of elements, is missing"
        if abs(factor / n - 1.0) < 1e-3:
            return f"a factor of 1/{n}: a mean stands where a sum over {n} elements belongs"
    if not factor:
        return "a factor"
    times = 1.0 / factor
    texts = [f"{times:.{digits}g}" for digits in range(6, 17)]  # as many as tell it from 1
    text = next((text for text in texts if abs(float(text) - times) <= 0.05 * abs(times - 1.0)), texts[-1])
    return f"a factor: {text} times the gradient"


def factor_of(trials: list[tuple[float, float, float]], off: float) -> float | None:
    """Return the one factor that makes each first number the second, which may be off by the third; or None.

    What then is left has to be little beside `off`, what there was without: one element of many that is wrong changes
    their sum so little that a factor close to 1 would nearly do.
    """
    square = sum(a * a for a, _, _ in trials)
    if not square or not all(math.isfinite(a) and math.isfinite(n) for a, n, _ in trials):
        return None
    factor = sum(a * n for a, n, _ in trials) / square
    top = max(max(abs(factor * a), abs(n)) for a, n, _ in trials)
    near = min(1e-5 * top, 0.02 * off)
    slack = min(0.1 * off, 1e-5 * top)
    return factor if all(abs(factor * a - n) <= near + min(MARGIN * e, slack) for a, n, e in trials) else None

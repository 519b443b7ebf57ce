"""stats(): an array in a few numbers that go into JSON: extremes, mean, spread, norm, a histogram, the numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

FEW = 64  # elements whose numbers are kept
LEAST = 16  # elements from which on a histogram says more than they do
BINS = 20
_BLOCK = 1 << 16  # elements at a time: float64 copies of a large array stay small
_EXTREME = 300  # exponents of 2 beyond which squares and ranges leave float64


def stats(value: Any) -> dict[str, Any]:
    """Return the statistics of an array, a tensor's array or a number, as plain numbers and lists.

    It is computed in float64 whatever the dtype, never warns and never raises. Nothing of the result is the array's
    memory, so what is written into the array later does not change it.

    Parameters
    ----------
    value : array_like
        Booleans count as 0 and 1. Of complex numbers, and of what is no number, nothing is told.

    Returns
    -------
    dict
        ``min``, ``max``, ``mean``, ``std``, ``norm`` (float; nan or inf where an element is), ``zeros`` (share of exact
        zeros), ``nonfinite`` (how many are nan or inf), ``histogram`` (``low``, ``high`` and 20 ``counts`` of the
        finite elements, for 16 elements and more), ``numbers`` (nested lists, for up to 64 elements). An empty array
        has no extremes.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        return {}
    if not array.size:
        return {"numbers": [], "zeros": 0.0, "nonfinite": 0}
    if array.size == 1:
        return _of_one(array)
    with np.errstate(all="ignore"):
        return _of_many(array if array.dtype.itemsize <= 8 else array.astype(np.float64))


def _of_one(array: np.ndarray) -> dict[str, Any]:
    number = float(array.item())  # a long double may be infinite then
    finite = math.isfinite(number)
    return {
        "min": number, "max": number, "mean": number, "std": 0.0 if finite else math.nan, "norm": abs(number),
        "zeros": float(number == 0.0), "nonfinite": int(not finite),
        "numbers": array.tolist() if array.dtype.itemsize <= 8 else np.full(array.shape, number).tolist(),
    }  # fmt: skip


def _of_many(array: np.ndarray) -> dict[str, Any]:
    flat = array.ravel()  # a view where the array is contiguous
    low, high = float(flat.min()), float(flat.max())
    blocks = [flat[k : k + _BLOCK] for k in range(0, flat.size, _BLOCK)]
    bad = 0
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = sum(int(np.count_nonzero(~np.isfinite(block))) for block in blocks)
    # A power of 2 scales without rounding.
    top = max(abs(low), abs(high)) if not bad else 1.0
    exponent = math.frexp(top)[1]
    scale = exponent if abs(exponent) > _EXTREME else 0
    total = squares = 0.0
    zeros = 0
    for block in blocks:
        wide = _wide(block, scale)
        total += float(np.add.reduce(wide))
        squares += float(np.add.reduce(np.square(wide)))  # not a product: its threads would wait for each other
        zeros += int(np.count_nonzero(block == 0))
    mean = total / flat.size if low != high else math.ldexp(low, -scale)
    spread = 0.0
    for block in blocks if low != high else ():
        away = _wide(block, scale) - mean
        spread += float(np.add.reduce(np.square(away)))
    found: dict[str, Any] = {
        "min": low, "max": high, "mean": _scaled(mean, scale), "std": _scaled(math.sqrt(spread / flat.size), scale),
        "norm": _scaled(math.sqrt(squares), scale), "zeros": zeros / flat.size, "nonfinite": bad,
    }  # fmt: skip
    if flat.size >= LEAST:
        found["histogram"] = _histogram(blocks, bad)
    if flat.size <= FEW:
        found["numbers"] = array.tolist()
    return found


def _wide(block: np.ndarray, scale: int) -> np.ndarray:
    wide: np.ndarray = block.astype(np.float64)
    return np.ldexp(wide, -scale) if scale else wide


def _scaled(number: float, scale: int) -> float:
    try:
        return math.ldexp(number, scale)
    except OverflowError:  # the norm of numbers that are finite need not be
        return math.inf


def _histogram(blocks: list[np.ndarray], bad: int) -> dict[str, Any]:
    """Return where the finite elements lie: as many bins as `BINS`, of one width."""
    low, high = math.inf, -math.inf
    finite = [block[np.isfinite(block)] if bad else block for block in blocks]
    for block in finite:
        if block.size:
            low, high = min(low, float(block.min())), max(high, float(block.max()))
    counts: np.ndarray = np.zeros(BINS, np.int64)
    if low > high:
        low = high = 0.0
    elif low == high:
        counts[BINS // 2] = sum(block.size for block in finite)
    else:
        exponent = math.frexp(max(abs(low), abs(high)))[1]
        scale = exponent if abs(exponent) > _EXTREME else 0
        start, width = math.ldexp(low, -scale), math.ldexp(high, -scale) - math.ldexp(low, -scale)
        for block in finite:
            places = ((_wide(block, scale) - start) / width * BINS).astype(np.int64)
            counts += np.bincount(np.minimum(places, BINS - 1), minlength=BINS)
    return {"low": low, "high": high, "counts": counts.tolist()}

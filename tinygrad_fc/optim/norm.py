"""The norm of all gradients together."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np


def global_norm(arrays: Iterable[np.ndarray]) -> float:
    """Return the 2-norm of all elements of some arrays together.

    Parameters
    ----------
    arrays : iterable of ndarray
        Of float32 or float64, any shapes.

    Returns
    -------
    float
        Infinite or NaN where an element is.

    Notes
    -----
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML 2013, section 3.2, clip
    by it.
    """
    given = list(arrays)
    total = 0.0
    for array in given:
        flat = array.reshape(-1)
        total += float(flat.dot(flat))  # of BLAS: one pass, and no second array
    if math.isfinite(total) and total > 1e-30:
        return math.sqrt(total)
    # The squares may be beyond the dtype's range where the numbers are not.
    largest = max((float(np.abs(array).max()) for array in given if array.size), default=0.0)
    if not math.isfinite(largest) or largest == 0.0:
        return largest
    scaled = (np.asarray(array, np.float64) / largest for array in given)
    return largest * math.sqrt(sum(float(flat.reshape(-1).dot(flat.reshape(-1))) for flat in scaled))

"""The norm of all gradients together, and clipping by it or by value."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..kernels import compiled, numpy_, together
from .rule import Option

CLIPS = ("clip_norm", "clip_value")
_BOUND = Option(1.0, open_low=True)

# Below this sum, squares may have been lost that are too small for float32: even 1e8 of them are less than 1e-37.
_TINY = 1e-30
_WIDE = frozenset((np.dtype(np.float32), np.dtype(np.float64)))


def global_norm(arrays: Iterable[np.ndarray]) -> float:
    """Return the 2-norm of all elements of all arrays, as of one long vector.

    Parameters
    ----------
    arrays : iterable of ndarray
        Real, of any shapes and layouts: the gradients of a network.

    Returns
    -------
    float
        0 for no elements; NaN where an element is NaN, and infinity where one is infinite.

    Raises
    ------
    TypeError
        If an array does not hold real numbers.

    Notes
    -----
    What Pascanu, Mikolov and Bengio clip by, "On the difficulty of training recurrent neural networks", ICML 2013,
    Algorithm 1. The squares are summed in each array's own precision, in one pass and without a copy (compiled, they
    are summed by parts, and the parts in float64). Only where they leave its range is it done again in float64, scaled
    by the largest element.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_fc as tg
    >>> tg.optim.global_norm([np.array([3.0]), np.array([[4.0]])])
    5.0
    """
    plain, others = [], []  # of what gradients mostly are, the elements are taken as they lie
    for array in arrays:
        if type(array) is np.ndarray and array.dtype in _WIDE and array.flags.c_contiguous:
            plain.append(array if 0 < array.ndim < 3 else array.reshape(-1))
        else:
            others.append(_flat(np.asarray(array)))
    module = compiled() if together(sum([array.size for array in plain])) else None
    # A Python float, wide enough for any float32 array's sum.
    total = (module or numpy_).sum_of_squares(plain) + numpy_.sum_of_squares(others)
    if _TINY < total < math.inf or math.isnan(total):
        return math.sqrt(total)
    return _scaled_norm([_flat(array) for array in plain + others])


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def _scaled_norm(arrays: list[np.ndarray]) -> float:
    """Return the norm where squares leave the range of the numbers."""
    largest = max((float(np.max(np.abs(array))) for array in arrays if array.size), default=0.0)
    if largest == 0.0 or largest == math.inf:
        return largest
    parts = (array.astype(np.float64) / largest for array in arrays)
    return largest * math.sqrt(sum(float(np.dot(part, part)) for part in parts))


def _flat(array: np.ndarray) -> np.ndarray:
    """Return the elements in the order they lie in memory, as floats that BLAS takes."""
    if array.dtype.kind not in "fiu":
        raise TypeError(f"arrays: given one of dtype {array.dtype}, expected real numbers")
    if array.dtype.kind != "f" or array.dtype.itemsize < 4:
        array = array.astype(np.float64)  # integers wrap around, and squares of float16 overflow from 256 on
    return array.ravel(order="K")


def check_clips(owner: str, clip_norm: Any, clip_value: Any) -> tuple[float | None, float | None]:
    """Return the two clips as Python floats; raise if one is not above 0 or both are set."""
    norm, value = (
        None if bound is None else _BOUND.check(owner, key, bound)
        for key, bound in zip(CLIPS, (clip_norm, clip_value), strict=True)
    )
    if norm is not None and value is not None:
        raise ValueError(f"{owner}: given both clip_norm and clip_value, expected one; leave one of them at None")
    return norm, value


def scale_of(limit: float, names: Sequence[str], gradients: Sequence[Any], norm: float | None) -> float:
    """Return what gradients are multiplied by, at most 1, so that their norm is at most `limit`.

    Parameters
    ----------
    limit : float
        Above 0.
    names : sequence of str
        Of the parameters, for the error.
    gradients : sequence of ndarray
        In their order.
    norm : float or None
        Their `global_norm`, if it is known.

    Raises
    ------
    FloatingPointError
        If the norm is infinite or NaN.
    ValueError
        If it is given and negative.
    """
    total = global_norm(gradients) if norm is None else float(norm)
    if total < 0.0:
        raise ValueError(f"step: norm: given {norm!r}, expected the global_norm of the gradients, at least 0")
    if not math.isfinite(total):
        bad = [name for name, array in zip(names, gradients, strict=True) if not np.isfinite(array).all()]
        raise FloatingPointError(
            f"step: the gradients have the norm {total}, which clip_norm cannot mend; no parameter was changed. Not "
            f"finite: {', '.join(bad) or 'none of them, only their norm'}; tg.debug() finds where it begins"
        )
    return limit / total if total > limit else 1.0


@np.errstate(under="ignore")
def clip(dw: np.ndarray, scale: float, bound: float | None, room: np.ndarray) -> np.ndarray:
    """Return a gradient with its elements in [-bound, bound], or where that is None, times `scale`; it is in `room`."""
    if bound is not None:
        bound = min(bound, float(np.finfo(room.dtype).max))  # a larger one is none, and would not be cast
        return np.clip(dw, -bound, bound, out=room)
    if scale > _TINY:
        return np.multiply(dw, scale, out=room)
    # Gradients near the end of float32, just those that are to be clipped: the scale may be too small for their dtype,
    # its root is not.
    root = math.sqrt(scale)
    np.multiply(dw, root, out=room)
    return np.multiply(room, root, out=room)

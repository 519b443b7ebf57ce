"""``tg.special``: the special functions of SciPy on tensors, under SciPy's names. Needs SciPy (the extra `scipy`).

SciPy's own ufuncs, ``scipy.special.erf(t)`` and so on, run the same operations. Its plain functions, such as
``scipy.special.softmax``, cannot: they make arrays of what they are given.
"""

from typing import Any

from . import fused as _fused
from .ops import special as _special
from .ops.reduction import logsumexp as logsumexp
from .ops.special import *  # noqa: F403  # its __all__ is SciPy's names

__all__ = sorted([*_special.__all__, "log_softmax", "logsumexp", "softmax"])


def softmax(x: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """Return `tinygrad_fc.softmax` with SciPy's default: over all axes."""
    return _fused.softmax(x, axis)


def log_softmax(x: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """Return `tinygrad_fc.log_softmax` with SciPy's default: over all axes."""
    return _fused.log_softmax(x, axis)

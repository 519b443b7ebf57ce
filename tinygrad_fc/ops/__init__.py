"""The primitives, in tables: importing this package declares them (those of `np.linalg` when they are first used)."""

from . import creation, elementwise, indexing, joining, linalg, order, reduction, rounding, scans, shaping, statistics
from . import names as names  # other names of what is declared above

__all__ = [
    "creation", "elementwise", "indexing", "joining", "linalg", "names", "order", "reduction", "rounding", "scans",
    "shaping", "statistics",
]  # fmt: skip

"""The primitives, in tables: importing this package declares them (those of `np.linalg` when they are first used)."""

from . import creation, einsum, elementwise, grids, indexing, joining, linalg, order, padding, reduction, rounding
from . import names as names  # other names of what is declared above
from . import scans as scans
from . import shaping as shaping
from . import statistics as statistics

__all__ = [
    "creation", "einsum", "elementwise", "grids", "indexing", "joining", "linalg", "names", "order", "padding",
    "reduction", "rounding", "scans", "shaping", "statistics",
]  # fmt: skip

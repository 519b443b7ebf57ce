"""The primitives, in tables: importing this package declares them."""

from . import (
    creation,
    decompositions,
    elementwise,
    indexing,
    inverses,
    joining,
    linalg,
    norms,
    order,
    reduction,
    rounding,
    scans,
    shaping,
    statistics,
)  # fmt: skip

__all__ = [
    "creation", "decompositions", "elementwise", "indexing", "inverses", "joining", "linalg", "norms", "order",
    "reduction", "rounding", "scans", "shaping", "statistics",
]  # fmt: skip

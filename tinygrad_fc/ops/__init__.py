"""The primitives, in tables: importing this package declares them."""

from . import creation, decompositions, elementwise, indexing, joining, linalg, order, reduction, scans, shaping

__all__ = [
    "creation", "decompositions", "elementwise", "indexing", "joining", "linalg", "order", "reduction", "scans",
    "shaping",
]  # fmt: skip

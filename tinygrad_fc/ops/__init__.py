"""The primitives, in tables: importing this package declares them."""

from . import elementwise, indexing, linalg, reduction, shaping

__all__ = ["elementwise", "indexing", "linalg", "reduction", "shaping"]

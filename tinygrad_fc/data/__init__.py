"""Data sets, as the dictionaries of arrays that a solver takes."""

from .digits import load_digits

__all__ = ["load_digits"]

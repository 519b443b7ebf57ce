"""Data sets, as the dictionaries of arrays that a solver takes."""

from .cifar10 import fetch_cifar10, load_cifar10, read_cifar10
from .digits import load_digits

__all__ = ["fetch_cifar10", "load_cifar10", "load_digits", "read_cifar10"]

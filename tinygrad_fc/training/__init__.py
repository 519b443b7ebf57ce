"""Training loops over models, data and update rules, and their pictures."""

from .plots import plot_history
from .solver import Solver

__all__ = ["Solver", "plot_history"]

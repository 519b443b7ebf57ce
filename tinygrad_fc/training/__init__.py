"""Training loops over models, data and update rules, and their pictures."""

from .callbacks import Callback
from .checkpoint import CheckpointError
from .history import History
from .plots import plot_history
from .solver import Solver

__all__ = ["Callback", "CheckpointError", "History", "Solver", "plot_history"]

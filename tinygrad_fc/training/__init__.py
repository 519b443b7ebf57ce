"""Training loops over models, data and update rules, and their pictures."""

from .callbacks import Callback
from .checkpoint import CheckpointError, CheckpointWarning
from .history import History
from .plots import plot_history
from .solver import Solver

__all__ = ["Callback", "CheckpointError", "CheckpointWarning", "History", "Solver", "plot_history"]

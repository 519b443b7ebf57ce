"""Training loops over models, data and update rules, their checkpoints, and their pictures."""

from .callbacks import Callback
from .checkpoint import CheckpointError, CheckpointWarning
from .history import History
from .inspect import LayerStatistics, UpdateRatios, confusion_matrix, layer_statistics
from .lr_range import RangeTest, lr_range_test
from .plots import (
    plot_activations,
    plot_confusion,
    plot_dead_relus,
    plot_history,
    plot_update_ratios,
    plot_weights,
)
from .search import Distribution, SearchResult, integers, log_uniform, search, uniform
from .solver import Solver
from .tensorboard import TensorBoard

__all__ = [
    "Callback", "CheckpointError", "CheckpointWarning", "Distribution", "History", "LayerStatistics", "RangeTest",
    "SearchResult", "Solver", "TensorBoard", "UpdateRatios", "confusion_matrix", "integers", "layer_statistics",
    "log_uniform", "lr_range_test", "plot_activations", "plot_confusion", "plot_dead_relus", "plot_history",
    "plot_update_ratios", "plot_weights", "search", "uniform",
]  # fmt: skip

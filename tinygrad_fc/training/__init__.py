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
from .solver import Solver
from .tensorboard import TensorBoard

__all__ = [
    "Callback", "CheckpointError", "CheckpointWarning", "History", "LayerStatistics", "RangeTest", "Solver",
    "TensorBoard", "UpdateRatios", "confusion_matrix", "layer_statistics", "lr_range_test", "plot_activations",
    "plot_confusion", "plot_dead_relus", "plot_history", "plot_update_ratios", "plot_weights",
]  # fmt: skip

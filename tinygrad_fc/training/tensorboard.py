"""TensorBoard: a callback that writes a run's figures for TensorBoard, with tensorboardX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .callbacks import Callback

if TYPE_CHECKING:
    from .solver import Solver


class TensorBoard(Callback):
    """Writes scalars of steps and epochs, and histograms on request, into a folder that TensorBoard reads.

    Parameters
    ----------
    folder : str or Path
        ``tensorboard --logdir FOLDER`` shows it.
    every : int
        Steps between two records of loss, learning rate and gradient norm.
    histograms : bool
        Also write, after each epoch, histograms of the parameters and their gradients.

    Raises
    ------
    ModuleNotFoundError
        If tensorboardX is not installed; the message says how to install it.
    ValueError
        If `every` is no integer of at least 1.
    """

    def __init__(self, folder: str | Path, every: int = 10, histograms: bool = False) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"TensorBoard: every={every!r}, expected an integer of at least 1")
        try:
            import tensorboardX  # noqa: F401  # found missing now, and not when the training begins
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "TensorBoard needs tensorboardX: pip install tensorboardX (or tinygrad_fc[tensorboard])."
            ) from error
        self.folder, self.every, self.histograms = Path(folder), every, bool(histograms)
        self._writer: Any = None

    def on_train_begin(self, solver: Solver) -> None:
        """Open the file of events."""
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(self.folder))

    def on_step_end(self, solver: Solver) -> None:
        """Write the figures of a step."""
        if solver.step % self.every == 0:
            for name in ("loss", "learning_rate", "gradient_norm"):
                self._writer.add_scalar(f"step/{name}", solver.history.steps[name][-1], solver.step)

    def on_epoch_end(self, solver: Solver) -> None:
        """Write the figures of an evaluation."""
        for name, column in solver.history.epochs.items():
            if name not in ("step", "epoch", "seconds") and column[-1] is not None:
                part, _, figure = name.partition("_")
                self._writer.add_scalar(f"{figure}/{part}", column[-1], solver.step)
        if self.histograms:
            for name, value in solver.params.items():
                self._writer.add_histogram(f"parameters/{name}", value, solver.step)
            for name, value in solver.last_gradients.items():
                self._writer.add_histogram(f"gradients/{name}", value, solver.step)

    def on_train_end(self, solver: Solver) -> None:
        """Close the file."""
        self._writer.close()
        self._writer = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_writer": None}  # a file cannot be copied: the next training opens one

"""Saver: when a solver writes its checkpoints."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..optim import Option
from . import state
from .checkpoint import CheckpointWarning, check_writable, checkpoints, write_checkpoint
from .checks import count, optional_count

if TYPE_CHECKING:
    from .solver import Solver


class Saver:
    """Writes a checkpoint every so many steps or seconds, and at the end.

    Parameters
    ----------
    folder : str, Path or None
        Where; None writes none.
    every : int or None
        Steps between two.
    seconds : float or None
        Seconds between two.
    keep : int
        How many are kept.
    steps_per_epoch : int
        The steps between two, where neither is given.
    resumed : bool
        Whether the checkpoints in the folder are this run's own.

    Raises
    ------
    ValueError, TypeError
        For a number out of range, one without a folder, or a folder with checkpoints of another run.
    OSError
        If the folder cannot be written to.
    """

    def __init__(
        self, folder: str | Path | None, every: int | None, seconds: float | None, keep: int, steps_per_epoch: int,
        resumed: bool = False,
    ) -> None:  # fmt: skip
        self.every = optional_count("checkpoint_every", every)
        self.seconds = None if seconds is None else Option(60.0, open_low=True).check(
            "Solver", "checkpoint_seconds", seconds)  # fmt: skip
        self.keep = count("checkpoint_keep", keep)
        if folder is None:
            for name, value in (("checkpoint_every", every), ("checkpoint_seconds", seconds)):
                if value is not None:
                    raise ValueError(f"{name}: given {value!r} without a folder; give checkpoint_dir, too")
        elif every is None and seconds is None:
            self.every = steps_per_epoch
        self.folder = None if folder is None else Path(folder)
        if self.folder is not None:
            check_writable(self.folder)
            if not resumed and checkpoints(self.folder):  # which the new run would remove, one by one
                raise ValueError(
                    f"checkpoint_dir: {self.folder} holds checkpoints of an earlier run; Solver.resume goes on with "
                    f"it, or name another folder"
                )
        self._saved: tuple[int, int | None] | None = None
        self._time = time.monotonic()

    def due(self, solver: Solver) -> None:
        """Write a checkpoint if it is time for one; when that fails, warn, and try again when the next is due."""
        if self.folder is None or solver._stopping:  # the last checkpoint is about to be written
            return
        passed = self.every is not None and solver.step % self.every == 0
        if passed or (self.seconds is not None and time.monotonic() - self._time >= self.seconds):
            try:
                self.save(solver)
            except OSError as error:
                self._time = time.monotonic()
                warnings.warn(
                    f"no checkpoint of step {solver.step} in {self.folder}, training goes on: {error}",
                    CheckpointWarning,
                    stacklevel=2,
                )

    def save(self, solver: Solver, last: bool = False) -> None:
        """Write a checkpoint of this step; as the last one of a training, only if it is not written yet."""
        moment = (solver.step, solver._end)
        if self.folder is None or (last and self._saved == moment):
            return
        write_checkpoint(self.folder, solver.step, state.weights(solver), solver.state_dict(), self.keep)
        self._saved, self._time = moment, time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_time": None}

    def __setstate__(self, values: dict[str, Any]) -> None:
        vars(self).update(values, _time=time.monotonic())

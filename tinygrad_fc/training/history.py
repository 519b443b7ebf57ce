"""History: what a run recorded, step by step and evaluation by evaluation, in columns."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..files import csv_bytes, write_atomically

STEPS = ("step", "epoch", "loss", "learning_rate", "gradient_norm", "seconds")
EPOCHS = ("step", "epoch", "train_loss", "train_acc", "val_loss", "val_acc", "seconds")
_WHOLE = {"step"}  # columns of whole numbers


class History:
    """Two tables of one run, each a dict of columns (lists of one length): ``pandas.DataFrame`` takes them as they are.

    Attributes
    ----------
    steps : dict of str to list
        One entry for each step: ``step`` (from 1), ``epoch`` (a float, of the samples seen), ``loss`` of the batch,
        ``learning_rate`` that was used, ``gradient_norm`` (the 2-norm of all gradients together, before clipping) and
        ``seconds`` of training so far.
    epochs : dict of str to list
        One entry for each evaluation, after the first step, after each epoch and after the last step: ``step``,
        ``epoch`` (those done), ``train_loss``, ``train_acc``, ``val_loss``, ``val_acc`` and ``seconds``, and
        ``train_NAME`` and ``val_NAME`` for each metric. Losses are those of the data alone, in evaluation mode, without
        regularization. What a model cannot tell is None.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> model = tg.models.TwoLayerNet(input_dim=64, hidden_dim=16, seed=0)
    >>> solver = tg.training.Solver(model, tg.data.load_digits(), num_epochs=2, verbose=False, seed=0)
    >>> solver.train()
    >>> solver.history
    History(24 steps, 3 evaluations: train_loss, train_acc, val_loss, val_acc)
    """

    def __init__(self, metrics: tuple[str, ...] = ()) -> None:
        self.steps: dict[str, list[Any]] = {name: [] for name in STEPS}
        own = [f"{part}_{name}" for name in metrics for part in ("train", "val")]
        self.epochs: dict[str, list[Any]] = {name: [] for name in (*EPOCHS[:-1], *own, EPOCHS[-1])}

    def __repr__(self) -> str:
        shown = [name for name, column in self.epochs.items() if name not in ("step", "epoch", "seconds") and
                 any(value is not None for value in column)]  # fmt: skip
        count, measured = len(self.steps["step"]), len(self.epochs["step"])
        return f"History({count} steps, {measured} evaluations{': ' if shown else ''}{', '.join(shown)})"

    def to_dict(self) -> dict[str, dict[str, list[Any]]]:
        """Return both tables, ``{"steps": ..., "epochs": ...}``: columns of numbers and None, copied."""
        return {name: {key: list(column) for key, column in table.items()}
                for name, table in (("steps", self.steps), ("epochs", self.epochs))}  # fmt: skip

    def to_json(self, path: str | Path) -> None:
        """Write both tables as one JSON object, as `to_dict` gives it; NaN and infinity become null, as JSON has none.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        plain = {
            name: {key: [None if _odd(value) else value for value in column] for key, column in table.items()}
            for name, table in self.to_dict().items()
        }
        write_atomically(path, (json.dumps(plain, indent=1, allow_nan=False) + "\n").encode())

    def to_csv(self, path: str | Path, table: str = "epochs") -> None:
        """Write one table with a header line; None becomes an empty cell.

        Parameters
        ----------
        path : str or Path
        table : {"epochs", "steps"}

        Raises
        ------
        ValueError
            If there is no such table.
        OSError
            If the file cannot be written.
        """
        if table not in ("epochs", "steps"):
            raise ValueError(f"to_csv: table={table!r}, expected 'epochs' or 'steps'.")
        columns = self.steps if table == "steps" else self.epochs
        write_atomically(path, csv_bytes(columns, zip(*columns.values(), strict=True)))

    def state_dict(self) -> dict[str, Any]:
        """Return the tables for a checkpoint: the steps as arrays, since there may be millions."""
        steps = {
            name: np.array(column, np.int64 if name in _WHOLE else np.float64) for name, column in self.steps.items()
        }
        return {"steps": steps, "epochs": self.to_dict()["epochs"]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; the lists stay the same objects.

        Raises
        ------
        ValueError
            If the columns are not those of this history, differ in length, or hold anything but numbers.
        """
        given = {"steps": {name: np.asarray(column).tolist() for name, column in state["steps"].items()},
                 "epochs": {name: list(column) for name, column in state["epochs"].items()}}  # fmt: skip
        own = {"steps": self.steps, "epochs": self.epochs}
        for name, table in own.items():
            if set(given[name]) != set(table):
                raise ValueError(f"history: {name} has the columns {', '.join(given[name])}, expected "
                                 f"{', '.join(table)}; give the same metrics as in the run that was saved")  # fmt: skip
            if len({len(column) for column in given[name].values()}) > 1:
                raise ValueError(f"history: the columns of {name} differ in length")
            for key, column in given[name].items():
                if any(type(value) not in (int, float, type(None)) for value in column):
                    raise ValueError(f"history: column {key} of {name} holds something else than numbers")
        for name, table in own.items():
            for key, column in table.items():
                column[:] = given[name][key]


def _odd(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)

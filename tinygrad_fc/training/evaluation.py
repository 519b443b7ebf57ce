"""Scores of many samples, and what they are worth: loss, accuracy, and metrics of the user's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from ..engine.node import no_grad
from ..engine.tensor import constant

Metrics: TypeAlias = Mapping[str, Callable[[np.ndarray, np.ndarray], float]]

# Samples scored at once: at most so many, and at most so many numbers, which bounds the memory.
ROWS, NUMBERS = 1_000, 2**23


def scores_of(model: Any, X: np.ndarray, rows: int | None = None) -> np.ndarray:
    """Return the model's scores of all samples, computed in parts, in evaluation mode and without recording."""
    if len(X) == 0:
        raise ValueError("X has no samples to score; give at least one")
    if rows is None:
        rows = max(1, min(ROWS, NUMBERS // max(1, X[:1].size)))
    with no_grad():
        parts = [np.asarray(model.loss(X[start : start + rows])) for start in range(0, len(X), rows)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def accuracy(scores: np.ndarray, y: np.ndarray, ignore: int | None = None) -> float:
    """Return the share of samples whose highest score is that of their label.

    Those with the label `ignore` do not count; NaN where none is left.
    """
    count = len(y) if ignore is None else int(np.count_nonzero(y != ignore))
    right = np.argmax(scores, axis=1) == y
    if ignore is not None:
        right &= y != ignore
    return int(np.count_nonzero(right)) / count if count else math.nan


def ignored(model: Any) -> int | None:
    """Return the label of the samples that the model's loss leaves out, or None where it has no such label."""
    found: int | None = getattr(getattr(model, "criterion", None), "ignore_index", None)
    return found


def measure(model: Any, X: np.ndarray, y: np.ndarray, metrics: Metrics, labelled: bool) -> dict[str, float | None]:
    """Return ``loss`` (of the data alone), ``acc`` and each metric; what the model cannot tell is None."""
    scores = scores_of(model, X)
    criterion = getattr(model, "criterion", None)
    found: dict[str, float | None] = {"loss": None, "acc": accuracy(scores, y, ignored(model)) if labelled else None}
    if callable(criterion):
        with no_grad():
            found["loss"] = float(criterion(constant(scores), y).data)
    for name, function in metrics.items():
        value: Any = function(scores, y)
        if value is None or np.ndim(value) or not np.isreal(value):
            raise TypeError(f"metrics: {name} returned {type(value).__name__}, expected a number")
        found[name] = float(value)
    return found


def better(monitor: str, value: float, best: float) -> bool:
    """Whether a figure beats the best so far."""
    if math.isnan(value):
        return False
    return math.isnan(best) or (value < best if smaller_is_better(monitor) else value > best)


def smaller_is_better(monitor: str) -> bool:
    """Whether smaller figures are better: of what is called a loss, an error or err they are."""
    return monitor.endswith(("loss", "error", "err"))

"""The schedule that listens: it lowers the learning rate when a figure has stopped getting better."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .rule import Option, Switch
from .schedule import SHARE, Schedule

_STATE = ("current", "best", "waited")


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """A drop whenever a figure has not become better for some time. The position does not matter.

    Call `observe` with the figure once an epoch; the Solver does, with what it monitors.

    Parameters
    ----------
    factor : float
        What each drop multiplies by, in [0, 1).
    patience : int
        How many observations in a row that are not better are borne; the next one drops the factor.
    threshold : float
        A figure is better only if it is so by more than this.
    lowest : float
        The factor never falls below it, in [0, 1].
    larger : bool
        Whether larger figures are better, as accuracies are, or smaller ones, as losses are.
    """

    factor: float = 0.1
    patience: int = 5
    threshold: float = 1e-4
    lowest: float = 0.0
    larger: bool = True
    _state: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    name: ClassVar[str] = "plateau"
    options: ClassVar[Mapping[str, Option | Switch]] = {
        "factor": Option(0.1, high=1.0), "threshold": Option(1e-4), "lowest": SHARE, "larger": Switch(True)
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "patience", _count("ReduceOnPlateau: patience", self.patience))
        self._state.update(current=1.0, best=None, waited=0)

    def at(self, position: float) -> float:
        """Return the factor now."""
        return float(self._state["current"])

    def observe(self, value: float) -> None:
        """Take note of a figure; NaN is never better. TypeError if it is no number."""
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise TypeError(f"ReduceOnPlateau: value: given {value!r}, expected a number; monitor another figure")
        value, state = float(value), self._state
        if not math.isnan(value) and (state["best"] is None or self._gain(value) > self.threshold):
            state.update(best=value, waited=0)
        elif state["waited"] < self.patience:
            state["waited"] += 1
        else:
            state.update(current=max(state["current"] * self.factor, self.lowest), waited=0)

    def _gain(self, value: float) -> float:
        """Return by how much a figure is better than the best one; equal infinities are not."""
        if value == self._state["best"]:
            return 0.0
        return float(value - self._state["best"]) if self.larger else float(self._state["best"] - value)

    def state_dict(self) -> dict[str, Any]:
        """Return what has been observed: the factor now, the best figure, and how many in a row were not better."""
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned; a state that does not fit raises an error and changes nothing."""
        if set(state) != set(_STATE):
            raise ValueError(f"ReduceOnPlateau: state: given {[*state]}, expected {', '.join(_STATE)}")
        best = state["best"]
        if best is not None and (isinstance(best, bool) or not isinstance(best, int | float) or math.isnan(best)):
            raise TypeError(f"ReduceOnPlateau: best: given {best!r}, expected a number or None")
        current = SHARE.check("ReduceOnPlateau", "current", state["current"])
        self._state.update(
            current=current,
            best=None if best is None else float(best),
            waited=_count("ReduceOnPlateau: waited", state["waited"]),
        )


def _count(label: str, value: Any) -> int:
    """Return `value` as a Python int, or raise unless it is an integer of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{label} must be an integer, got {value!r} ({type(value).__name__})")
    if value < 0:
        raise ValueError(f"{label} must be at least 0, got {value}")
    return int(value)

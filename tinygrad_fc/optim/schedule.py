"""Schedule: how a schedule of the learning rate is declared, and how its options and positions are checked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from .rule import Option, Switch

SHARE = Option(0.0, high=1.0, closed_high=True)


@dataclass(frozen=True)
class Schedule:
    """Base of the schedules: called with a position, one returns the factor of the base learning rate.

    A schedule is a frozen dataclass: its options are checked when it is made, and cannot be changed. One of your own
    declares ``name``, its fields and the ``options`` that check them, and writes ``at``; any function of a position
    does as well where a checkpoint need not hold it.

    Attributes
    ----------
    name : str
        The name that `get_schedule` knows it by.
    options : mapping of str to Option or Switch
        The numbers it takes, with defaults and intervals.
    """

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Option | Switch]]

    def __post_init__(self) -> None:
        for key, option in self.options.items():
            object.__setattr__(self, key, option.check(type(self).__name__, key, getattr(self, key)))

    def __call__(self, position: float) -> float:
        """Return the factor at a position.

        Parameters
        ----------
        position : float
            How far the training is: finite, at least 0.

        Returns
        -------
        float
            Finite, at least 0.

        Raises
        ------
        ValueError
            If the position is negative, infinite or NaN.
        """
        position = float(position)
        if not 0.0 <= position < math.inf:
            raise ValueError(f"{type(self).__name__}: position: given {position}, expected a finite number from 0 on")
        return self.at(position)

    def at(self, position: float) -> float:
        """Return the factor at a position that has been checked."""
        raise NotImplementedError(f"{type(self).__name__} has no `at`; write at(self, position) -> factor")

    def to_config(self) -> dict[str, Any]:
        """Return the name and the options as a plain dict: ``get_schedule(**config)`` makes the schedule again."""
        return {"name": self.name, **{item.name: getattr(self, item.name) for item in fields(self) if item.init}}

    def state_dict(self) -> dict[str, Any]:
        """Return what it has learned since it was made: nothing, for a function of the position alone."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned; ValueError if it is of another kind of schedule."""
        if state:
            raise ValueError(f"{type(self).__name__}: state: given {[*state]}, expected nothing")

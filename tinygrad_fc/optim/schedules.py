"""Schedules: what the learning rate is multiplied by, as a function of the time that has passed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from .rule import Option, closest

_LENGTH = Option(10.0, open_low=True)
_FACTOR = Option(0.1, high=math.inf)


@dataclass(frozen=True)
class Schedule:
    """Base of schedules: called with a position, it returns the factor of the base learning rate.

    The position and all lengths are in one unit of the caller's: the Solver's is the epoch, counted as a float.
    """

    name: ClassVar[str] = ""
    options: ClassVar[Mapping[str, Option]] = {}

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name in self.options:
                checked = self.options[field.name].check(type(self).__name__, field.name, getattr(self, field.name))
                object.__setattr__(self, field.name, checked)

    def __call__(self, position: float) -> float:
        """Return the factor at a position of at least 0."""
        raise TypeError(f"{type(self).__name__}: a schedule needs a __call__(position)")

    def to_config(self) -> dict[str, Any]:
        """Return the name and the options, which `get_schedule` makes the same schedule from."""
        config: dict[str, Any] = {"name": self.name, **asdict(self)}
        return config


@dataclass(frozen=True)
class StepDecay(Schedule):
    """``factor ** floor(position / every)``.

    Parameters
    ----------
    every : float
        The stretch between two drops, above 0.
    factor : float
        What each drop multiplies by.
    """

    every: float = 10.0
    factor: float = 0.1
    name: ClassVar[str] = "step"
    options: ClassVar[Mapping[str, Option]] = {"every": _LENGTH, "factor": _FACTOR}

    def __call__(self, position: float) -> float:
        """Return the factor at a position of at least 0."""
        return float(self.factor ** math.floor(position / self.every))


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """``factor ** position``: the course's ``lr_decay``, but smooth within an epoch.

    Parameters
    ----------
    factor : float
        What one unit of time multiplies by, above 0.
    """

    factor: float = 0.95
    name: ClassVar[str] = "exponential"
    options: ClassVar[Mapping[str, Option]] = {"factor": Option(0.95, open_low=True)}

    def __call__(self, position: float) -> float:
        """Return the factor at a position of at least 0."""
        return float(self.factor**position)


@dataclass(frozen=True)
class CosineAnnealing(Schedule):
    """Half a cosine from 1 down to `final`, again and again where there are restarts.

    ``final + (1 - final) (1 + cos(pi t / length)) / 2`` with t since the last restart.

    Parameters
    ----------
    length : float
        Of the first descent.
    final : float
        The factor at its end, in [0, 1].
    restarts : bool
        Start again at 1 after each descent (warm restarts); else it stays at `final`.
    growth : float
        What each restart multiplies the length by, at least 1.

    Notes
    -----
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5.
    """

    length: float = 10.0
    final: float = 0.0
    restarts: bool = False
    growth: float = 1.0
    name: ClassVar[str] = "cosine"
    options: ClassVar[Mapping[str, Option]] = {
        "length": _LENGTH, "final": Option(0.0, high=1.0 + 1e-12), "growth": Option(1.0, low=1.0)
    }  # fmt: skip

    def __call__(self, position: float) -> float:
        """Return the factor at a position of at least 0."""
        since, length = position, self.length
        if not self.restarts:
            since = min(since, length)
        elif self.growth == 1.0:
            since %= length
        else:  # the lengths so far are a geometric series
            done = math.floor(math.log1p(since / length * (self.growth - 1.0)) / math.log(self.growth) + 1e-12)
            since -= length * (self.growth**done - 1.0) / (self.growth - 1.0)
            length *= self.growth**done
        cosine = math.cos(math.pi * min(max(since / length, 0.0), 1.0))
        return self.final + (1.0 - self.final) * (1.0 + cosine) / 2.0


@dataclass(frozen=True)
class OneCycle(Schedule):
    """One rise from ``1 / start`` to 1 and one fall to ``1 / (start * end)``, both along half a cosine.

    Parameters
    ----------
    length : float
        Of the whole; afterwards the factor stays.
    rise : float
        The share of it that rises, in [0, 1).
    start : float
        How many times smaller than the base learning rate, which is the peak, the first one is.
    end : float
        How many times smaller than the first one the last one is.

    Notes
    -----
    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2018.
    """

    length: float = 10.0
    rise: float = 0.3
    start: float = 25.0
    end: float = 1e4
    name: ClassVar[str] = "one_cycle"
    options: ClassVar[Mapping[str, Option]] = {
        "length": _LENGTH, "rise": Option(0.3, high=1.0), "start": Option(25.0, low=1.0), "end": Option(1e4, low=1.0)
    }  # fmt: skip

    def __call__(self, position: float) -> float:
        """Return the factor at a position of at least 0."""
        share = min(position / self.length, 1.0)
        low, last = 1.0 / self.start, 1.0 / (self.start * self.end)
        if share < self.rise:
            return _between(low, 1.0, share / self.rise)
        return _between(1.0, last, (share - self.rise) / (1.0 - self.rise))


@dataclass(frozen=True)
class Warmup(Schedule):
    """A straight rise from `start` to 1, and then another schedule from its beginning.

    Parameters
    ----------
    length : float
        Of the rise.
    start : float
        The factor at position 0, in [0, 1].
    then : schedule, mapping or None
        What follows, at ``position - length``: a schedule, or its name and options. None stays at 1.

    Notes
    -----
    Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, section 2.2.
    """

    length: float = 1.0
    start: float = 0.0
    then: Any = None
    name: ClassVar[str] = "warmup"
    options: ClassVar[Mapping[str, Option]] = {"length": _LENGTH, "start": Option(0.0, high=1.0 + 1e-12)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.then, Mapping):
            object.__setattr__(self, "then", get_schedule(**self.then))
        elif isinstance(self.then, str):
            object.__setattr__(self, "then", get_schedule(self.then))
        if self.then is not None and (not isinstance(self.then, Schedule) or hasattr(self.then, "observe")):
            raise TypeError(f"Warmup: then is {self.then!r}, expected a schedule of the position alone, or None")

    def __call__(self, position: float) -> float:
        """Return the factor at a position of at least 0."""
        if position < self.length:
            share = position / self.length
            return (self.start + (1.0 - self.start) * share) * (1.0 if self.then is None else self.then(0.0))
        return 1.0 if self.then is None else float(self.then(position - self.length))

    def to_config(self) -> dict[str, Any]:
        """Return the name and the options, which `get_schedule` makes the same schedule from."""
        then = None if self.then is None else self.then.to_config()
        return {"name": self.name, "length": self.length, "start": self.start, "then": then}


class ReduceOnPlateau(Schedule):
    """Multiply by `factor` whenever a figure has not become better for some time.

    Call `observe` with the figure, after each epoch say; the position does not matter.

    Parameters
    ----------
    factor : float
        What each drop multiplies by, in (0, 1).
    patience : int
        Observations without a better figure that are borne; the next one drops the factor.
    threshold : float
        The least change that counts as better.
    lowest : float
        The factor never falls below it.
    larger : bool
        Whether larger figures are better (an accuracy), or smaller ones (a loss).
    """

    name: ClassVar[str] = "plateau"

    def __init__(
        self, factor: float = 0.1, patience: int = 5, threshold: float = 1e-4, lowest: float = 0.0, larger: bool = True
    ) -> None:
        own = type(self).__name__
        checked = {
            "factor": Option(0.1, high=1.0, open_low=True).check(own, "factor", factor),
            "patience": int(Option(5).check(own, "patience", patience)),
            "threshold": Option(1e-4).check(own, "threshold", threshold),
            "lowest": Option(0.0, high=1.0).check(own, "lowest", lowest),
            "larger": bool(larger),
        }
        vars(self).update(checked, current=1.0, best=None, waited=0)

    def __call__(self, position: float = 0.0) -> float:
        """Return the factor now."""
        return float(vars(self)["current"])

    def observe(self, value: float) -> None:
        """Take note of a figure. One that is NaN is not better."""
        state = vars(self)
        best, sign = state["best"], 1.0 if state["larger"] else -1.0
        if not math.isnan(value) and (best is None or sign * (value - best) > state["threshold"]):
            state.update(best=float(value), waited=0)
            return
        state["waited"] += 1
        if state["waited"] > state["patience"]:
            state.update(current=max(state["current"] * state["factor"], state["lowest"]), waited=0)

    def state_dict(self) -> dict[str, Any]:
        """Return what has been observed."""
        return {key: vars(self)[key] for key in ("current", "best", "waited")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        vars(self).update({key: state[key] for key in ("current", "best", "waited")})

    def to_config(self) -> dict[str, Any]:
        """Return the name and the options, which `get_schedule` makes a new schedule from."""
        keys = ("factor", "patience", "threshold", "lowest", "larger")
        return {"name": self.name, **{key: vars(self)[key] for key in keys}}

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={value}" for key, value in self.to_config().items() if key != "name")
        return f"ReduceOnPlateau({options})"


def _between(first: float, last: float, share: float) -> float:
    """Return the point of half a cosine between two values."""
    return last + (first - last) * (1.0 + math.cos(math.pi * share)) / 2.0


_CLASSES = (StepDecay, ExponentialDecay, CosineAnnealing, OneCycle, Warmup, ReduceOnPlateau)
SCHEDULES: dict[str, type[Schedule]] = {schedule.name: schedule for schedule in _CLASSES}
"""The schedules by name."""


def get_schedule(name: str | Schedule, **options: Any) -> Schedule:
    """Make a schedule from its name and options.

    Parameters
    ----------
    name : str or Schedule
        A name of `SCHEDULES`; a schedule is returned as it is.
    **options
        The schedule's.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        For an unknown name or option, or one out of range.
    TypeError
        For an option of a wrong type.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> schedule = tg.optim.get_schedule("cosine", length=20)
    >>> schedule(0.0), schedule(10.0), schedule(20.0)
    (1.0, 0.5, 0.0)
    """
    if isinstance(name, Schedule):
        return name
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}{closest(name, SCHEDULES)}; there are {', '.join(SCHEDULES)}")
    made = SCHEDULES[name]
    known = [key for key in made().to_config() if key != "name"]
    for key in options:
        if key not in known:
            raise ValueError(f"{name}: unknown option {key!r}{closest(key, known)}; it takes {', '.join(known)}")
    return made(**options)

"""Schedules: what the learning rate is multiplied by, as a function of the position in the training.

The position and every length are in one unit of the caller's; the Solver's is the epoch, counted as a float.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from .plateau import ReduceOnPlateau
from .rule import Option, Switch, closest
from .schedule import SHARE, Schedule

_LENGTH = Option(10.0, open_low=True)
# Positions come from divisions: one this close below the end of a stretch, in stretches, is at its end.
_SLACK = 1e-9
# Stretches that are told apart; beyond it they are below the spacing of floats anyway.
_MOST = 1e15


@dataclass(frozen=True)
class StepDecay(Schedule):
    """A drop after each stretch: ``factor ** floor(position / every)``. It goes on without end.

    Parameters
    ----------
    every : float
        The length of a stretch, above 0.
    factor : float
        What each drop multiplies by, in [0, 1].
    """

    every: float = 10.0
    factor: float = 0.1
    name: ClassVar[str] = "step"
    options: ClassVar[Mapping[str, Option | Switch]] = {"every": _LENGTH, "factor": SHARE._replace(default=0.1)}

    def at(self, position: float) -> float:
        """Return the factor at a position."""
        return float(self.factor ** math.floor(min(position / self.every, _MOST) + _SLACK))


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """``factor ** position``, without end: the course's ``lr_decay``, and smooth within an epoch.

    Parameters
    ----------
    factor : float
        What one unit of the position multiplies by, in [0, 1].
    """

    factor: float = 0.95
    name: ClassVar[str] = "exponential"
    options: ClassVar[Mapping[str, Option | Switch]] = {"factor": SHARE._replace(default=0.95)}

    def at(self, position: float) -> float:
        """Return the factor at a position."""
        return float(self.factor**position)


@dataclass(frozen=True)
class CosineAnnealing(Schedule):
    """Half a cosine from 1 down to `final`, once or again and again.

    ``final + (1 - final) * (1 + cos(pi * since / length)) / 2``, with the position `since` the last restart.

    Parameters
    ----------
    length : float
        Of the first descent, above 0.
    final : float
        The factor at the end of a descent, in [0, 1].
    restarts : bool
        Start at 1 again where a descent ends. Otherwise the factor stays at `final` from there on.
    growth : float
        How many times longer each descent is than the one before, at least 1; with restarts alone.

    Notes
    -----
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5; `growth` is
    their T_mult.
    """

    length: float = 10.0
    final: float = 0.0
    restarts: bool = False
    growth: float = 1.0
    name: ClassVar[str] = "cosine"
    options: ClassVar[Mapping[str, Option | Switch]] = {
        "length": _LENGTH, "final": SHARE, "restarts": Switch(), "growth": Option(1.0, low=1.0, high=1e6)
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.growth != 1.0 and not self.restarts:
            raise ValueError(f"CosineAnnealing: growth is {self.growth:g} and nothing restarts; set restarts=True")

    def at(self, position: float) -> float:
        """Return the factor at a position."""
        share = min(position / self.length, _MOST)  # in lengths of the first descent, then of the present one
        if not self.restarts:
            share = min(share, 1.0)
        elif self.growth == 1.0:
            share -= math.floor(share + _SLACK)
        else:  # n descents take (growth^n - 1) / (growth - 1) first lengths
            rate = math.log(self.growth)
            done = math.floor(math.log1p(share * (self.growth - 1.0)) / rate + _SLACK)
            share = (share - math.expm1(done * rate) / (self.growth - 1.0)) / self.growth**done
        return _fall(1.0, self.final, share)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """One rise and one longer fall, each along half a cosine. The base learning rate is the peak.

    The factor goes from ``1 / start`` to 1 and then to ``1 / (start * end)``, where it stays.

    Parameters
    ----------
    length : float
        Of rise and fall together, above 0.
    rise : float
        The share of it that is the rise, in [0, 1).
    start : float
        How many times smaller than the peak the first rate is, at least 1.
    end : float
        How many times smaller than the first rate the last one is, at least 1.

    Notes
    -----
    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2018, whose
    two straight lines and last descent are one curve here.
    """

    length: float = 10.0
    rise: float = 0.3
    start: float = 25.0
    end: float = 1e4
    name: ClassVar[str] = "one_cycle"
    options: ClassVar[Mapping[str, Option | Switch]] = {
        "length": _LENGTH, "rise": Option(0.3, high=1.0), "start": Option(25.0, low=1.0), "end": Option(1e4, low=1.0)
    }  # fmt: skip

    def at(self, position: float) -> float:
        """Return the factor at a position."""
        share = min(position / self.length, 1.0)
        first = 1.0 / self.start
        if share < self.rise:
            return _fall(first, 1.0, share / self.rise)
        return _fall(1.0, first / self.end, (share - self.rise) / (1.0 - self.rise))


@dataclass(frozen=True)
class Warmup(Schedule):
    """A straight rise to where another schedule begins, and then that schedule, from its beginning.

    Parameters
    ----------
    length : float
        Of the rise, above 0.
    start : float
        The share of ``then(0)`` at position 0, in [0, 1].
    then : schedule, str, mapping or None
        What follows, at ``position - length``: a schedule, its name, or its name and options as `to_config` returns
        them. None stays at 1.

    Notes
    -----
    Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, section 2.2. Around a
    `ReduceOnPlateau`, it has its ``observe``, too.
    """

    length: float = 1.0
    start: float = 0.0
    then: Any = None
    name: ClassVar[str] = "warmup"
    options: ClassVar[Mapping[str, Option | Switch]] = {"length": _LENGTH, "start": SHARE}

    def __post_init__(self) -> None:
        super().__post_init__()
        then = get_schedule(**self.then) if isinstance(self.then, Mapping) else self.then
        then = get_schedule(then) if isinstance(then, str) else then
        if then is not None and not isinstance(then, Schedule):
            raise TypeError(f"Warmup: then: given {then!r}, expected a schedule, its name or its config, or None")
        object.__setattr__(self, "then", then)

    def at(self, position: float) -> float:
        """Return the factor at a position."""
        if position >= self.length:
            return 1.0 if self.then is None else float(self.then(position - self.length))
        share = self.start + (1.0 - self.start) * (position / self.length)
        return share if self.then is None else share * float(self.then(0.0))

    @property
    def observe(self) -> Callable[[float], None]:
        """What takes note of a figure, where the schedule that follows does."""
        observe: Callable[[float], None] = self.then.observe
        return observe

    def to_config(self) -> dict[str, Any]:
        """Return the name and the options, those of the schedule that follows in a dictionary of its own."""
        return {**super().to_config(), "then": None if self.then is None else self.then.to_config()}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the schedule that follows."""
        return {} if self.then is None else dict(self.then.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        if self.then is None:
            super().load_state_dict(state)
        else:
            self.then.load_state_dict(state)


def _fall(first: float, last: float, share: float) -> float:
    """Return the point of half a cosine between two values, at a share of the way that rounding may put outside."""
    weight = (1.0 + math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2.0
    return first * weight + last * (1.0 - weight)  # exact at both ends


_CLASSES: tuple[type[Schedule], ...] = (StepDecay, ExponentialDecay, CosineAnnealing, OneCycle, Warmup, ReduceOnPlateau)
SCHEDULES: dict[str, type[Schedule]] = {schedule.name: schedule for schedule in _CLASSES}
"""The schedules by name."""


def get_schedule(name: Any, **options: Any) -> Any:
    """Make a schedule from its name and options.

    Parameters
    ----------
    name : str, Schedule or callable
        A name of `SCHEDULES`. A schedule, or any other function of a position, is returned as it is.
    **options
        The schedule's, where a name is given.

    Returns
    -------
    Schedule or callable

    Raises
    ------
    ValueError
        For an unknown name or option, or one out of range.
    TypeError
        For an option of a wrong type, options beside a schedule that is already made, or a `name` of another type.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> schedule = tg.optim.get_schedule("cosine", length=20)
    >>> schedule(0.0), schedule(10.0), schedule(20.0)
    (1.0, 0.5, 0.0)
    """
    if callable(name) and not isinstance(name, type):
        if options:
            raise TypeError(f"get_schedule: {name!r} is made already; give {', '.join(options)} when it is made")
        return name
    if not isinstance(name, str):
        raise TypeError(f"get_schedule: name: given {name!r}, expected a name ({', '.join(SCHEDULES)}) or a schedule")
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}{closest(name, SCHEDULES)}; there are {', '.join(SCHEDULES)}")
    made = SCHEDULES[name]
    known = [item.name for item in fields(made) if item.init]
    for key in options:
        if key not in known:
            raise ValueError(f"{name}: unknown option {key!r}{closest(key, known)}; it takes {', '.join(known)}")
    return made(**options)

"""Compare the engines' results, then time them side by side.

Times come in rounds: each round times every engine once, for a few steps, in an order that rotates. A ratio is taken
within a round, between neighbours in time, so that a machine which slows down for a while (other users, heat) slows
both; the figure is the median of the rounds' ratios, with its quartiles.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np

from .networks import Problem
from .workers import FirstSteps

STEPS_COMPARED = 3
# Float32 rounding moves the updates of correct engines by less than 1e-4 of their size, even under Adam, whose first
# steps (g / |g|) magnify it where a gradient is almost nothing. A forgotten bias correction, a sum in place of a mean
# or a lost gradient moves them by more than a tenth.
LOSS_TOLERANCE = 1e-4
UPDATE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Comparison:
    """How far an engine's first steps are from the reference's.

    Parameters
    ----------
    loss_error : float
        Largest relative difference of the losses of the steps.
    update_error : float
        Over all parameters, the largest norm of the difference of the updates over the norm of the reference's update.
    """

    loss_error: float
    update_error: float

    def agrees(self, update_tolerance: float = UPDATE_TOLERANCE) -> bool:
        """Whether both errors are within the tolerances; NaN is not."""
        return self.loss_error <= LOSS_TOLERANCE and self.update_error <= update_tolerance


def compare(problem: Problem, reference: FirstSteps, given: FirstSteps) -> Comparison:
    """Compare two engines' first steps from the same weights on the same batch.

    Parameters
    ----------
    problem : Problem
        Gives the parameters before the first step. Those that only rounding moves (`Problem.undecided`) are left out.
    reference, given : FirstSteps
        Of the engine to trust, and of the other.

    Returns
    -------
    Comparison
        The largest errors.

    Raises
    ------
    ValueError
        If the weights differ in number, shape or dtype.
    """
    expected, got = ([(w.shape, str(w.dtype)) for w in steps.weights] for steps in (reference, given))
    if expected != got:
        raise ValueError(f"weights of other shapes or dtypes: expected {expected}, got {got}")
    losses, wanted = np.asarray(given.losses), np.asarray(reference.losses)
    errors = []
    for name, before, right, other in zip(
        problem.names, problem.params, reference.weights, given.weights, strict=True
    ):
        if name in problem.undecided:
            continue
        moved = float(np.linalg.norm(right.astype(float) - before))
        apart = float(np.linalg.norm(other.astype(float) - right))
        errors.append(apart / moved if moved else apart)
    return Comparison(float(np.max(np.abs(losses - wanted) / np.abs(wanted))), float(np.max(errors)))


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of a figure over the rounds."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Take the quartiles of at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, lower, upper)


def interleave(
    timers: Mapping[str, Callable[[int], float]],
    rounds: int,
    block_seconds: float,
    tick: Callable[[], object] | None = None,
) -> dict[str, list[float]]:
    """Run timers in turn.

    Parameters
    ----------
    timers : mapping of str to callable
        By name: takes a number of repeats, returns seconds per repeat.
    rounds : int
        How often each is run.
    block_seconds : float
        About how long one timing takes; what takes longer is timed once. With 0 everything is, and nothing is tried
        first.
    tick : callable, optional
        Called after each timing (a progress bar's update).

    Returns
    -------
    dict of str to list of float
        Seconds per repeat, one figure a round.
    """
    repeats = dict.fromkeys(timers, 1)
    for name, timer in timers.items() if block_seconds else ():
        once = min(timer(1) for _ in range(3))  # a first step may compile or allocate
        repeats[name] = max(1, round(block_seconds / max(once, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in timers}
    names = list(timers)
    for i in range(rounds):
        shift = i % len(names)  # nobody always comes after the same neighbour
        for name in names[shift:] + names[:shift]:
            times[name].append(timers[name](repeats[name]))
            if tick is not None:
                tick()
    return times


def ratios(times: Mapping[str, Sequence[float]], reference: str) -> dict[str, Spread]:
    """Take each engine's ratio to the reference round by round.

    Parameters
    ----------
    times : mapping of str to sequence of float
        What `interleave` returned.
    reference : str
        A key of `times`.

    Returns
    -------
    dict of str to Spread
        Median and quartiles.
    """
    base = times[reference]
    return {name: Spread.of([a / b for a, b in zip(values, base, strict=True)]) for name, values in times.items()}


def shares(times: Mapping[str, Sequence[float]], ours: str = "ours") -> dict[str, dict[str, dict[str, float]]]:
    """Take our ratio to each other engine round by round.

    Parameters
    ----------
    times : mapping of str to sequence of float
        What `interleave` returned.
    ours : str
        Which is ours.

    Returns
    -------
    dict of str to dict
        By engine ``{"ours_to_it": median and quartiles}``; nothing where ours was not timed, and for ours itself.
    """
    own = times.get(ours)
    if own is None:
        return {name: {} for name in times}
    pairs = {name: [a / b for a, b in zip(own, values, strict=True)] for name, values in times.items()}
    return {name: {"ours_to_it": asdict(Spread.of(pair))} if name != ours else {} for name, pair in pairs.items()}

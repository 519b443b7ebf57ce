"""The gradients in the inputs' own dtype beside those in float64: what is more than rounding."""

from __future__ import annotations

import math

import numpy as np

from ..engine.tensor import Tensor
from .difference import EPS
from .problem import Problem, natural
from .report import InputCheck

FAINT = 100.0  # a gradient of fewer of its own rounding errors is one itself


def jitter_of(problem: Problem, slopes: list[np.ndarray], generator: np.random.Generator) -> list[float]:
    """Return how far the gradients move when the inputs that are not float64 move by one rounding error."""
    moved = [0.0] * len(slopes)
    if all(home.dtype == np.float64 for home in problem.homes):
        return moved
    starts = [t._array for t in problem.tensors]
    for _ in range(2):
        try:
            for t, home, start in zip(problem.tensors, problem.homes, starts, strict=True):
                eps = float(np.finfo(home.dtype).eps)
                t._array = (start * (1.0 + generator.uniform(-1.0, 1.0, start.shape) * eps)).astype(start.dtype)
            with np.errstate(all="ignore"):
                near = problem.slopes(problem.run())
        finally:
            for t, start in zip(problem.tensors, starts, strict=True):
                t._array = start
        for n, (d, e) in enumerate(zip(near, slopes, strict=True)):
            moved[n] = max(moved[n], float(np.max(np.abs(d.data.astype(np.float64) - e), initial=0.0)))
    return moved


def blur_of(problem: Problem, slopes: list[np.ndarray], generator: np.random.Generator) -> list[np.ndarray]:
    """Return how far each element of the gradients moves when all inputs move by one rounding error of float64.

    By as much as it is itself, where it is nothing but rounding: that of a bias before a normalization, say, which is
    a sum of terms that cancel.
    """
    starts = [t._array for t in problem.tensors]
    moved = [np.zeros(d.shape) for d in slopes]
    for _ in range(3):
        try:
            for t, start in zip(problem.tensors, starts, strict=True):
                t._array = start * (1.0 + EPS * generator.choice([-1.0, 1.0], start.shape))
            with np.errstate(all="ignore"):
                near = problem.slopes(problem.run())
        finally:
            for t, start in zip(problem.tensors, starts, strict=True):
                t._array = start
        with np.errstate(all="ignore"):
            moved = [np.fmax(m, np.abs(d.data - e)) for m, d, e in zip(moved, near, slopes, strict=True)]
    for m, e in zip(moved, slopes, strict=True):
        most = float(np.max(m, initial=0.0))
        if np.all(np.abs(e) <= FAINT * most):  # all of it is rounding, also an element that happened to stay
            m[...] = most
    return moved


def is_rounding(a: float, blur: float) -> bool:
    """Whether a derivative is of the size of its own rounding errors."""
    return blur > 0.0 and abs(a) <= FAINT * blur


def judge_rounding(
    problem: Problem, checks: list[InputCheck], working: list[np.ndarray], jitter: list[float],
    exact: list[np.ndarray], out: Tensor, generator: np.random.Generator,
) -> None:  # fmt: skip
    """Compare the gradients in the inputs' own dtype with those in float64, and note what is more than rounding."""
    narrow = [n for n, home in enumerate(problem.homes) if home.dtype != np.float64]
    if not narrow:
        return
    # How far rounding alone may go: the value's own, and the gradient's at points that round to this one.
    terms, theirs = out.data * problem.weights, problem.working_out.data.astype(np.float64) * problem.weights
    value = float(np.max(np.abs(terms - theirs), initial=0.0)) / max(float(np.max(np.abs(terms), initial=0.0)), 1e-300)
    moved = jitter_of(problem, exact, generator)
    units = [natural(t._array) for t in problem.tensors]
    tops = [float(np.max(np.abs(d), initial=0.0)) for d in exact]
    most = max(top * unit for top, unit in zip(tops, units, strict=True))
    for n in narrow:
        # A gradient that is nothing beside the others', as that of a bias before a normalization, is rounding alone.
        largest = max(tops[n], 1e-2 * most / units[n], 1e-6 * float(np.sum(np.abs(terms))) / units[n], 1e-300)
        if not math.isfinite(largest):
            continue
        gap = float(np.max(np.abs(working[n].astype(np.float64) - exact[n]), initial=0.0)) / largest
        eps = float(np.finfo(problem.homes[n].dtype).eps)
        noisy = max(100.0 * value, 50.0 * moved[n] / largest, 5.0 * jitter[n] / largest)
        allowed = min(max(min(5_000.0 * eps, 0.02), noisy), 0.5)
        check = checks[n]
        check.rounding = gap
        if not gap <= allowed and check.holds:
            at = np.unravel_index(int(np.argmax(np.abs(working[n] - exact[n]))), exact[n].shape)
            check.worst = tuple(map(int, at))
            check.verdict, check.error, check.bound = "wrong", gap, allowed
            check.analytic, check.numerical = float(working[n][check.worst]), float(exact[n][check.worst])
            check.note = f"in its own dtype, {check.dtype}, the gradient is off by {gap:.0e}, in float64 it is right"

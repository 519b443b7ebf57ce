"""The verdicts on the inputs of a problem: what is moved, and what the differences then say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.tensor import Tensor
from .difference import EPS, MARGIN, Estimate, derivative, noise
from .problem import Problem, natural
from .progress import SILENT as _SILENT
from .progress import bar as _bar
from .report import InputCheck
from .rounding import blur_of, is_rounding
from .rules import NOISY
from .ties import between, is_steep, ways_off
from .verdict import RESOLVED, judged

FEW = 128  # so many coordinates of an input are moved one by one; larger inputs in directions, unless asked
LOOK = 1e-3  # the step of the difference beside a complex step
AT_ONCE = 2_000  # coordinates of all inputs from which on these are moved together first
FEWER = 8  # what FEW is then
ROUGH = (1e-3, 3)  # first step and number of steps of a difference that only has to say which half is worse


class Check:
    """The verdicts on the inputs of one problem."""

    def __init__(
        self, problem: Problem, slopes: list[np.ndarray], tolerance: float, generator: np.random.Generator
    ) -> None:
        self.problem, self.slopes, self.tolerance, self.generator = problem, slopes, tolerance, generator
        self.order: float | None = None
        self.note = ""
        pairs = zip(slopes, problem.tensors, strict=True)
        tops = [float(np.max(np.abs(d), initial=0.0)) * natural(t._array) for d, t in pairs]
        self.top = max(filter(math.isfinite, tops), default=0.0)  # the largest slope of all
        self.base = problem.value()
        self.analytic = problem.analytic
        again = problem.value()
        self.random = again.value != self.base.value
        if self.random:
            self.note = (
                "f is not deterministic: two evaluations at one point differ. Pass it the generators that it draws "
                "from, or fix what it draws."
            )
        # Each coordinate by its own size: what is tiny beside the others is not to be moved by more than it is.
        line = problem.line({
            n: np.where(t._array == 0, natural(t._array), t._array) * generator.choice([-1.0, 1.0], t.shape)
            for n, t in enumerate(problem.tensors)
        })  # fmt: skip
        self.rounding = noise(line, self.base)
        self._blurs: list[np.ndarray] | None = None
        self._ways: dict[int, list[np.ndarray]] = {}

    def all(self, samples: int | None, exhaustive: bool, progress: bool | None) -> list[InputCheck]:
        """Return the verdict on each input."""
        tensors = self.problem.tensors
        if self.random:
            return [self._made(n, "inconclusive", 0, note="f is not deterministic") for n in range(len(tensors))]
        one_by_one, few = samples is not None or exhaustive, FEW
        done: dict[int, InputCheck] = {}
        if not one_by_one and len(tensors) > 1 and sum(t.size for t in tensors) > AT_ONCE:
            few = FEWER
            done = self._together()
        picks = [
            _pick(t, samples, self.generator) if n not in done and (one_by_one or t.size <= few) else None
            for n, t in enumerate(tensors)
        ]
        bar = _bar(sum(len(pick) for pick in picks if pick is not None), progress)
        try:
            return [
                done.get(n) or (self._directions(n) if pick is None else self._coordinates(n, pick, bar))
                for n, pick in enumerate(picks)
            ]
        finally:
            bar.close()

    # ---- all inputs at once

    def _together(self) -> dict[int, InputCheck]:
        """Return the verdicts by position if all hold when the inputs move at once, each with a like share; else none.

        Inputs whose share would be lost beside the others' are left out, and looked at by themselves. Those without
        any, as biases before a normalization, come along: a slope that they have all the same would show.
        """
        checks = []
        shares = [float(np.sum(np.abs(d * self._direction(n, True)))) for n, d in enumerate(self.slopes)]
        top = max(shares)
        if not math.isfinite(top) or not top:
            return {}
        moved = [n for n, share in enumerate(shares) if share >= 1e-4 * top or share <= 1e-12 * top]
        for trial in range(2):
            a, size, directions = 0.0, 0.0, {}
            for n in moved:
                d, direction = self.slopes[n], self._direction(n, aligned=trial == 0)
                share = float(np.sum(np.abs(d * direction)))
                directions[n] = direction * (min(top / share, 100.0) if share > 1e-12 * top else 10.0)
                a += float(np.sum(d * directions[n]))
                size += float(np.sum(np.abs(d * directions[n])))
            estimate = self._estimate(directions, a)
            verdict, error, bound = self._judged(directions, a, estimate, 0.05 * size)
            if verdict != "correct":
                return {}
            checks.append((a, estimate, error, bound))
            self.order = self.order or estimate.order
        a, estimate, error, bound = max(checks, key=lambda found: found[2])
        return {n: self._made(n, "correct", 0, error, bound, None, a, estimate, directions=2) for n in moved}

    # ---- one input in directions

    def _direction(self, position: int, aligned: bool) -> np.ndarray:
        """Return a direction in which every coordinate moves, as far as the input's size; the aligned one uphill."""
        t = self.problem.tensors[position]
        amounts = self.generator.uniform(0.5, 1.5, t.shape)
        signs = self.generator.choice([-1.0, 1.0], t.shape)
        if aligned:
            uphill = np.sign(np.nan_to_num(self.slopes[position]))
            signs = np.where(uphill == 0, signs, uphill)
        direction: np.ndarray = amounts * signs * (natural(t._array) / math.sqrt(max(t.size, 1)))
        return direction

    def _directions(self, position: int) -> InputCheck:
        d, steep = self.slopes[position], None
        if not np.isfinite(d).all():
            endless = [tuple(map(int, at)) for at in np.argwhere(~np.isfinite(d))]
            steep = self._coordinates(position, endless[:FEW], _SILENT)
            if not steep.holds:
                steep.note = "a gradient is not finite"
                return steep
            d = np.where(np.isfinite(d), d, 0.0)
        found = []
        for trial in range(2):
            direction = self._direction(position, aligned=trial == 0) * np.isfinite(self.slopes[position])
            a, size = float(np.sum(d * direction)), float(np.sum(np.abs(d * direction)))
            estimate = self._estimate({position: direction}, a)
            verdict, error, bound = self._judged({position: direction}, a, estimate, 0.05 * size)
            found.append((verdict, error, bound, a, estimate))
            self.order = self.order or estimate.order
            if verdict == "wrong":
                tied = self._tied(position, direction, a)
                if tied is None:
                    return self._bisected(position, direction, a - estimate.value)
                found[-1] = ("kink", 0.0, 0.0, a, tied)
        verdict, error, bound, a, estimate = max(found, key=lambda one: (_GRAVITY[one[0]], one[1]))
        note = "directions cross a kink: exhaustive=True tells where" if verdict == "kink" else ""
        if steep is not None and verdict in ("correct", "faint", "kink"):
            return steep
        return self._made(position, verdict, 0, error, bound, None, a, estimate, note=note, directions=2)

    def _bisected(self, position: int, direction: np.ndarray, gap: float) -> InputCheck:
        """Return the verdict at the coordinate to which halves of a direction that fails, by `gap`, lead."""
        t, d = self.problem.tensors[position], self.slopes[position]
        d = np.where(np.isfinite(d), d, 0.0)
        left = np.arange(t.size)
        while left.size > 1:
            halves = np.array_split(left, 2)
            part, by = np.zeros(t.size), math.sqrt(t.size / halves[0].size)
            part[halves[0]] = direction.ravel()[halves[0]] * by
            part = part.reshape(t.shape)
            a = float(np.sum(d * part))
            number = self._estimate({position: part}, a, *ROUGH).value
            if not math.isfinite(number):  # kinks all around: smaller steps
                number = self._estimate({position: part}, a).value
            one = (a - number) / by if math.isfinite(number) else 0.0
            gaps = one, gap - one  # derivatives add up: what the one half is not off by, the other is
            worse = int(abs(gaps[1]) > abs(gaps[0]))
            left, gap = halves[worse], gaps[worse]
        at = tuple(map(int, np.unravel_index(int(left[0]), t.shape)))
        check = self._coordinates(position, [at], _SILENT)
        check.verdict = "wrong"
        return check

    # ---- one coordinate after the other

    def _coordinates(self, position: int, indices: list[tuple[int, ...]], bar: Any) -> InputCheck:
        t, d = self.problem.tensors[position], self.slopes[position]
        if not indices:
            return self._made(position, "correct", 0)
        rms = natural(t._array)
        largest = max((abs(float(d[at])) for at in indices if math.isfinite(float(d[at]))), default=0.0)
        graver: tuple[Any, ...] | None = None
        kinks, steep, faint = [], 0, False
        for at in indices:
            a = float(d[at])
            verdict, error, bound, estimate, scale = self._coordinate(position, at, a, rms, largest)
            if verdict == "kink":
                kinks.append(at)
                steep += math.isinf(a)
            faint = faint or verdict == "faint"
            self.order = self.order or (estimate.order if a else None)
            entry = (_GRAVITY[verdict], error, verdict, bound, at, a, estimate, scale)
            if graver is None or entry[:2] > graver[:2]:
                graver = entry
            bar.update()
        assert graver is not None
        _, error, verdict, bound, at, a, estimate, scale = graver
        verdict = "faint" if faint and verdict == "correct" else verdict
        if self._ways.get(position) and verdict == "kink":
            # A gradient within the pieces' at each coordinate need not be a mean of theirs: 1 to each of a tie.
            uphill = np.sign(np.where(np.isfinite(d), d, 0.0)) * rms
            joint = float(np.sum(np.where(np.isfinite(d), d, 0.0) * uphill))
            if uphill.any() and self._tied(position, uphill, joint) is None:
                verdict, error, kinks = "wrong", 1.0, []
        note = ""
        if steep and verdict == "kink":
            note = f"infinite at {steep} of its coordinates, as the slope of the function is there"
        if not estimate.steps and math.isfinite(a):  # the curve of error against step needs differences
            direction = np.zeros(t.shape)
            direction[at] = scale
            line = self.problem.line({position: direction})
            curve = derivative(line, self.base, a * scale, self.tolerance, self.rounding)
            estimate.steps, estimate.differences, estimate.step = curve.steps, curve.differences, curve.step
            self.order = self.order or curve.order
        return self._made(
            position, verdict, len(indices), error, bound, at, a, estimate, scale=scale, kinks=tuple(kinks), note=note
        )

    def _coordinate(
        self, position: int, at: tuple[int, ...], a: float, rms: float, largest: float
    ) -> tuple[str, float, float, Estimate, float]:
        """Return verdict, error, bound, estimate and the unit of its step, for one coordinate."""
        x = abs(float(self.problem.tensors[position]._array[at]))
        scales = [max(x, rms)]
        scales += sorted([s for s in (x, 1.0) if s and not 0.03 < s / scales[0] < 30.0], reverse=True)
        scales = [s for s in scales if math.isfinite(s * a)] or scales
        found = []
        for scale in scales:
            direction = np.zeros(self.problem.tensors[position].shape)
            direction[at] = scale
            estimate = self._estimate({position: direction}, a * scale)
            if not math.isfinite(a):
                if math.isinf(a) and is_steep(self.problem.line({position: direction}), a):
                    return "kink", 0.0, 0.0, Estimate(a, 0.0, 0.0), scale
                return "wrong", math.inf, 0.0, estimate, scale
            verdict, error, bound = self._judged({position: direction}, a * scale, estimate, 1e-5 * largest * scale)
            found.append((verdict, error, bound, estimate, scale))
            if verdict in ("correct", "faint"):
                return found[-1]
        # The smallest scale that lets a difference be trusted sees what larger ones pass over.
        clear = [one for one in found if one[0] == "kink" or one[2] <= RESOLVED]
        best = min(clear, key=lambda one: one[4]) if clear else (
            min(found, key=lambda one: (one[0] == "wrong", one[3].error / one[4]))
        )  # fmt: skip
        if best[0] == "wrong":
            direction = np.zeros(self.problem.tensors[position].shape)
            direction[at] = scales[0]
            tied = self._tied(position, direction, a * scales[0])
            if tied is not None:
                return "kink", 0.0, 0.0, tied, scales[0]
        return best

    def _tied(self, position: int, direction: np.ndarray, a: float) -> Estimate | None:
        """Return the slopes of the pieces that meet in an input that stands on a tie, if `a` is none beyond them."""
        if position not in self._ways:
            self._ways[position] = ways_off(self.problem, position, self.generator)
        ways = self._ways[position]
        return between(self.problem, position, direction, a, ways, self.rounding) if ways else None

    # ---- what they share

    def _estimate(
        self, directions: dict[int, np.ndarray], expected: float, first: float = 1e-2, count: int = 15
    ) -> Estimate:
        line = self.problem.line(directions)
        exact = self.problem.imaginary(directions) if self.analytic else math.nan
        error = math.inf
        if math.isfinite(exact):
            # Beside it, at a distance that rounds to nothing: how far rounding moves it.
            error = abs(exact - self.problem.imaginary(directions, 1e-13)) + 50.0 * EPS * abs(exact)
            # What leaves the tape may drop an imaginary part: a difference must not contradict.
            rough = (line(LOOK).value - line(-LOOK).value) / (2.0 * LOOK)
            if abs(rough - exact) <= 1e-5 * max(abs(rough), abs(exact)) + MARGIN * self.rounding / LOOK:
                return Estimate(exact, error, 0.0)
        estimate = derivative(line, self.base, expected, self.tolerance, self.rounding, first, count)
        if error < estimate.error and abs(exact - estimate.value) <= MARGIN * estimate.error:
            estimate.value, estimate.error = exact, error
        return estimate

    def _judged(
        self, directions: dict[int, np.ndarray], a: float, estimate: Estimate, floor: float
    ) -> tuple[str, float, float]:
        """Return the verdict on the derivative `a` along directions, its error, and the bound of the number."""
        nothing = max(10.0 * floor, 1e-10 * self.top)
        verdict, error, bound = judged(a, estimate, floor, self.tolerance, self.base.size, nothing, self.rounding)
        if verdict == "drowned" and math.isfinite(a):
            if self._blurs is None:
                self._blurs = blur_of(self.problem, self.slopes, self.generator)
            blur = sum(float(np.sum(self._blurs[n] * np.abs(v))) for n, v in directions.items())
            verdict = "faint" if is_rounding(a, blur) else verdict
        return verdict, error, bound

    def _made(
        self, position: int, verdict: str, checked: int, error: float = 0.0, bound: float = 0.0,
        worst: tuple[int, ...] | None = None, analytic: float = 0.0, estimate: Estimate | None = None,
        scale: float = 1.0, kinks: tuple[tuple[int, ...], ...] = (), note: str = "",
        directions: int = 0,
    ) -> InputCheck:  # fmt: skip
        t, home = self.problem.tensors[position], self.problem.homes[position]
        check = InputCheck(
            self.problem.name(position), t.shape, str(home.dtype), verdict, checked, directions, error, bound, worst,
            analytic, math.nan, kinks, note=note,
        )  # fmt: skip
        if estimate is not None:
            check.numerical = estimate.value / scale
            if verdict == "kink" and estimate.kink is not None:
                check.numerical, check.bound = sum(estimate.kink) / 2.0 / scale, 0.0
            reference = analytic * scale if verdict == "correct" else estimate.value
            size = max(abs(reference), 1e-300)
            check.steps, check.step = list(estimate.steps), estimate.step
            check.errors = [abs(value - reference) / size for value in estimate.differences]
        if verdict == "kink" and not note:
            check.note = f"{len(kinks)} of its coordinates {'stands' if len(kinks) == 1 else 'stand'} on a kink"
        if verdict in ("drowned", "inconclusive") and not note:
            check.note = NOISY.format(bound)
        return check


# "faint" and "drowned" are left to the rules of the operations, which make of them one of the others.
_GRAVITY = {"correct": 0, "faint": 0, "kink": 1, "drowned": 2, "inconclusive": 3, "wrong": 4}


def _pick(t: Tensor, samples: int | None, generator: np.random.Generator) -> list[tuple[int, ...]]:
    """Return the coordinates to check: all, or `samples` of them at random."""
    if samples is None or samples >= t.size:
        return list(np.ndindex(t.shape))
    flat = np.sort(generator.choice(t.size, samples, replace=False))
    return [tuple(map(int, index)) for index in zip(*np.unravel_index(flat, t.shape), strict=True)]

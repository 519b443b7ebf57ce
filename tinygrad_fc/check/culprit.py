"""One operation by itself: its rules against numbers, where it ran, and what their errors look like."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..engine.backward import gradients
from ..engine.node import recording
from ..engine.operation import Op
from ..engine.tensor import tensor
from .difference import EPS, MARGIN, Estimate, Point, derivative, noise
from .looks import factor_of, factor_words, shifted, unknown
from .problem import branch_of, natural
from .verdict import RESOLVED

TOLERANCE = 1e-6
MANY, FEW = 200, 40  # coordinates that are moved to see where a gradient is wrong, or only to name one where it is

Fault = tuple[str, tuple[int, ...], float, float]  # words, a coordinate, gradient and number


def _sizes(array: np.ndarray) -> np.ndarray:
    """Return the size of each element; where it is 0, or nothing beside the others, that of all."""
    size = np.abs(array)
    return np.asarray(np.where(size > 1e-30 * float(np.max(size, initial=0.0)), size, natural(array)))


class Local:
    """One operation as a problem of its own: a function of the float arrays among its arguments.

    Parameters
    ----------
    op : Op
        The operation.
    data : list
        Its bound arguments.
    generator : numpy.random.Generator
        Draws the gradient that arrives, and directions.
    """

    def __init__(self, op: Op, data: list[Any], generator: np.random.Generator) -> None:
        self.op, self.data, self.generator = op, data, generator
        self.arrays: list[np.ndarray] = []
        self.dtypes: list[np.dtype[Any]] = []  # which the arrays had; here they are float64
        self.slots: list[tuple[int, int | None]] = []
        for n, (key, value) in enumerate(zip(op.arguments, data, strict=True)):
            if key in op.differentiable:
                for k, item in enumerate(value) if key == op.variadic else ((None, value),):
                    if isinstance(item, np.ndarray) and item.dtype.kind == "f":
                        self.slots.append((n, k))
                        self.arrays.append(item.astype(np.float64))
                        self.dtypes.append(item.dtype)
        self.places = [n for n, array in enumerate(self.arrays) if array.size]
        self.g: np.ndarray = np.empty(())
        self.slopes: list[np.ndarray] = []  # 0 where they are not finite
        self.endless: list[np.ndarray] = []  # where that is
        self.relative = False  # whether each element moves, and counts, by its own size
        self._base: Point | None = None
        self._roundings: dict[int, float] = {}  # of the values, by place
        if self.places:
            shape = self._out(self.arrays).shape
            self._take(generator.uniform(0.5, 1.5, shape) * generator.choice([-1.0, 1.0], shape))

    def name(self, place: int) -> str:
        """Return the name of an argument."""
        n, k = self.slots[place]
        return f"{self.op.arguments[n]}{'' if k is None else f'[{k}]'}"

    def _take(self, g: np.ndarray) -> None:
        """Let `g` arrive, and take what the rules make of it."""
        leaves = [tensor(array, requires_grad=True) for array in self.arrays]
        args, kwargs = self._spread(leaves)
        with recording(), np.errstate(all="ignore"):
            out = self.op.record(*args, **kwargs)
            out = out[0] if self.op.beside else out
            self.g, self._base, self._roundings = g, None, {}
            found = [d.data for d in gradients([out], leaves, [g.astype(out.dtype)])]
            self.endless = [~np.isfinite(d) for d in found]
            self.slopes = [np.where(none, 0.0, d) for none, d in zip(self.endless, found, strict=True)]
            self._raw = found

    def _values(self, arrays: list[Any]) -> list[Any]:
        known = zip(self.op.arguments, self.data, strict=True)
        values = [list(v) if key == self.op.variadic else v for key, v in known]
        for (n, k), array in zip(self.slots, arrays, strict=True):
            if k is None:
                values[n] = array
            else:
                values[n][k] = array
        return [tuple(v) if isinstance(v, list) and key == self.op.variadic else v
                for key, v in zip(self.op.arguments, values, strict=True)]  # fmt: skip

    def _spread(self, arrays: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        values, op = self._values(arrays), self.op
        last = len(values) - len(op.keyword_only)
        args = values[:last]
        if op.variadic is not None:
            args = [*args[:-1], *args[-1]]
        return args, dict(zip(op.keyword_only, values[last:], strict=True))

    def _out(self, arrays: list[np.ndarray]) -> np.ndarray:
        out = self.op.call(self._values(arrays))
        return np.asarray(out[0] if self.op.leaves else out)

    def _line(self, place: int, direction: np.ndarray) -> Callable[[float], Point]:
        def at(shift: float) -> Point:
            moved = list(self.arrays)
            moved[place] = self.arrays[place] + shift * direction
            with np.errstate(all="ignore"):
                out = self._out(moved)
                mark = branch_of(self.op, self._values(moved), out)
            terms = out.astype(np.float64) * self.g
            return Point(float(np.sum(terms)), mark, float(np.sum(np.abs(terms))))

        return at

    def number(self, place: int, direction: np.ndarray, expected: float) -> Estimate:
        """Return the derivative along a direction, by differences."""
        line = self._line(place, direction)
        if self._base is None:
            self._base = line(0.0)
        if place not in self._roundings:
            self._roundings[place] = noise(self._line(place, self._direction(place)), self._base)
        return derivative(line, self._base, expected, TOLERANCE, self._roundings[place])

    def _agrees(self, a: float, estimate: Estimate, size: float) -> bool:
        """Whether a derivative is what the difference says, or the difference cannot tell."""
        n = estimate.value
        if not math.isfinite(a):
            return not math.isfinite(n)
        if not math.isfinite(n) or not math.isfinite(estimate.error):
            return True
        scale = max(abs(a), abs(n), 0.05 * size, 1e-300)
        if abs(a - n) <= TOLERANCE * scale + MARGIN * estimate.error:
            return True
        if estimate.kink is not None:
            low, high = estimate.kink
            slack = 1e-3 * max(abs(low), abs(high))
            return low - slack <= a <= high + slack
        return False

    def _direction(self, place: int) -> np.ndarray:
        array = self.arrays[place]
        amounts = self.generator.uniform(0.5, 1.5, array.shape) * self.generator.choice([-1.0, 1.0], array.shape)
        amounts = amounts * ~self.endless[place]
        if self.relative:
            return np.asarray(amounts * _sizes(array))
        return np.asarray(amounts * (natural(array) / math.sqrt(array.size)))

    def _trials(self, place: int, count: int) -> Iterator[tuple[np.ndarray, Estimate]]:
        for _ in range(count):
            direction = self._direction(place)
            yield direction, self.number(place, direction, float(np.sum(self.slopes[place] * direction)))

    def fault(self, place: int) -> Fault | None:
        """Return what is wrong with the gradient of one argument: words, a coordinate, gradient and number; or None."""
        for _ in range(2):  # the gradient that arrives is of both signs, the second time where the first was not
            d = self.slopes[place]
            for at in map(tuple, np.argwhere(self.endless[place])[:FEW]):
                if not self._steep(place, at):
                    number = self._at(place, at)[1]
                    where = tuple(map(int, at))
                    return "a gradient that is not finite", where, float(self._raw[place][at]), number
            if self.endless[place].all():
                continue
            for direction, estimate in self._trials(place, 2):
                a, size = float(np.sum(d * direction)), float(np.sum(np.abs(d * direction)))
                if not self._agrees(a, estimate, size):
                    return self._described(place)
            self._take(-self.g)
        return None

    def sharp(self, place: int) -> bool | Fault:
        """Return what is wrong with the gradient of one argument; else whether the differences could tell.

        Here each element moves, and counts in the result, by its own size, so that none is lost in the rounding of
        larger ones: the differences are those of an elasticity, d log f / d log x.
        """
        before, out = self.g, self._out(self.arrays)
        if not np.isfinite(out).all() or not all(np.isfinite(array).all() for array in self.arrays):
            return False
        told, self.relative = True, True
        try:
            for sign in (1.0, -1.0):
                amounts = self.generator.uniform(0.5, 1.5, out.shape) * self.generator.choice([-1.0, 1.0], out.shape)
                with np.errstate(all="ignore"):
                    self._take(sign * amounts / _sizes(out))
                told = told and not self.endless[place].any()
                if self.endless[place].all():
                    return False
                d = self.slopes[place]
                for direction, estimate in self._trials(place, 2):
                    a, size = float(np.sum(d * direction)), float(np.sum(np.abs(d * direction)))
                    right, tells = self._agrees(a, estimate, size), self._tells(a, estimate, size)
                    assert self._base is not None
                    by = self._base.size / size if size else 1.0
                    if right and not tells and 10.0 < by < math.inf:
                        # The result is large beside what moves, as a sum may be: by steps so much larger it shows.
                        # They may pass over much that is near, so that they agree is no chance, and else says nothing.
                        far = self.number(place, direction * by, a * by)
                        tells = self._agrees(a * by, far, size * by) and self._tells(a * by, far, size * by)
                    if not right:
                        return self._described(place)
                    told = told and tells
            return told
        finally:
            self.relative = False
            self._take(before)

    def _tells(self, a: float, estimate: Estimate, size: float) -> bool:
        """Whether a difference is sure enough to tell a derivative from one that is a little off."""
        if a == 0.0 and estimate.differences and not any(estimate.differences):
            return True
        scale = max(abs(a), abs(estimate.value), 0.05 * size, 1e-300)
        doubt = estimate.blur if estimate.kink is not None else estimate.error
        return MARGIN * doubt <= RESOLVED * scale

    def _described(self, place: int) -> Fault:
        """Return what a fault looks like, a coordinate where it is large, and gradient and number there."""
        looks, right = self._words(place, list(self._trials(place, 5)))
        if right is not None:
            d = self.slopes[place]
            at = tuple(map(int, np.unravel_index(int(np.argmax(np.abs(d - right))), d.shape)))
            return looks, at, *self._at(place, at)[:2]
        at, ours, theirs, where = self._coordinates(place, FEW if looks else MANY)
        if not looks and not where.startswith("where"):
            looks = self._lost_sum(place)
        looks = looks or (f"wrong {where}" if where else unknown(self.slopes[place]))
        return looks, at, ours, theirs

    def _steep(self, place: int, at: tuple[int, ...]) -> bool:
        """Whether the function has no finite slope at a coordinate: one grows as its step shrinks, or there is none."""
        array = self.arrays[place]
        direction = np.zeros(array.shape)
        direction[at] = natural(array)
        line, start = self._line(place, direction), self._line(place, direction)(0.0)
        for sign in (1.0, -1.0):
            points = [(h, line(sign * h)) for h in (1e-3, 1e-6, 1e-9)]
            gaps = [abs(point.value - start.value) for _, point in points]
            if not any(map(math.isfinite, gaps)):
                return True
            slopes = [gap / h for gap, (h, _) in zip(gaps, points, strict=True)]
            told = gaps[-1] > 1e3 * EPS * start.size  # by more than rounding
            if told and slopes[0] * 1.5 < slopes[1] and slopes[1] * 1.5 < slopes[2]:
                return True
        return False

    def _at(self, place: int, at: tuple[int, ...]) -> tuple[float, float, bool]:
        """Return gradient and number at a coordinate, and whether they agree."""
        array, d = self.arrays[place], self.slopes[place]
        direction, size = np.zeros(array.shape), float(_sizes(array)[at]) if self.relative else natural(array)
        direction[at] = size
        a = float(d[at])
        estimate = self.number(place, direction, a * size)
        top = float(np.max(np.abs(d), initial=0.0))
        return a, estimate.value / size, self._agrees(a * size, estimate, 1e-3 * top * size)

    def _coordinates(self, place: int, most: int) -> tuple[tuple[int, ...], float, float, str]:
        """Return the worst of some coordinates, gradient and number there, and where the others are wrong."""
        array, d = self.arrays[place], self.slopes[place]
        flat = np.flatnonzero(~self.endless[place]).tolist()
        if array.size > most:  # where the gradient is large, and at random
            flat = np.argsort(-np.abs(d.ravel()), kind="stable")[: most // 4].tolist()
            flat = list(dict.fromkeys([*flat, *self.generator.choice(array.size, most - most // 4, replace=False)]))
            flat = [k for k in flat if not self.endless[place].flat[k]]
        worst, gravest, bad, good = (0,) * d.ndim, -1.0, list[float](), list[float]()
        ours = theirs = 0.0
        for k in flat:
            at = tuple(map(int, np.unravel_index(int(k), array.shape)))
            a, n, agrees = self._at(place, at)
            (good if agrees else bad).append(float(array[at]))
            if not agrees and not abs(a - n) <= gravest:
                worst, gravest, ours, theirs = at, abs(a - n), a, n
        if not bad:
            return self._bisected(place)
        where = ""
        if good:
            where = f"at {len(bad)} of {len(flat)} coordinates{' that were moved' if len(flat) < array.size else ''}"
            if len(bad) > 1 and len(good) > 1 and max(bad) < 0.0 <= min(good):
                where = f"where {self.name(place)} is negative"
            elif len(bad) > 1 and len(good) > 1 and min(bad) > 0.0 >= max(good):
                where = f"where {self.name(place)} is positive"
        return worst, ours, theirs, where

    def _bisected(self, place: int) -> tuple[tuple[int, ...], float, float, str]:
        """Return what `_coordinates` does, for the coordinate to which wrong halves of a direction lead."""
        d, left = self.slopes[place], np.arange(self.arrays[place].size)
        direction = self._direction(place)

        def gap(some: np.ndarray) -> tuple[float, bool]:
            part: np.ndarray = np.zeros(d.size)
            part[some] = direction.ravel()[some]
            part = part.reshape(d.shape)
            a = float(np.sum(d * part))
            estimate = self.number(place, part, a)
            off = abs(a - estimate.value)
            return off if math.isfinite(off) else 0.0, self._agrees(a, estimate, float(np.sum(np.abs(d * part))))

        while left.size > 1:
            halves = np.array_split(left, 2)
            left = max(halves, key=lambda half: gap(half)[0])
        at = tuple(map(int, np.unravel_index(int(left[0]), d.shape)))
        alone = gap(np.delete(np.arange(d.size), left))[1]
        ours, theirs, _ = self._at(place, at)
        return at, ours, theirs, f"at {'1' if alone else 'some'} of {d.size} coordinates"

    def _words(self, place: int, trials: list[tuple[np.ndarray, Estimate]]) -> tuple[str, np.ndarray | None]:
        """Return what an error looks like, and what the gradient should be, as far as one look at all of it tells."""
        d = self.slopes[place]
        if not d.any():
            return "zeros", None
        off = max(abs(float(np.sum(d * v)) - e.value) for v, e in trials)

        def fits(other: np.ndarray) -> float | None:
            return factor_of([(float(np.sum(other * v)), e.value, e.error) for v, e in trials], off)

        factor = fits(d)
        if factor is not None:
            return factor_words(factor, self.arrays[place], self.arrays, self.g), d * factor
        others = [("a transpose: the gradient of the transposed matrix", np.swapaxes(d, -1, -2))] if (
            d.ndim >= 2 and d.shape[-1] == d.shape[-2]
        ) else []  # fmt: skip
        for words, other in itertools.chain(others, shifted(d)):
            factor = fits(other)
            if factor is not None:
                return words, other * factor
        return "", None

    def _lost_sum(self, place: int) -> str:
        """Return words for a gradient that is that of one element where those of a broadcast axis belong summed."""
        shape, out = self.arrays[place].shape, self.g.shape
        lead = len(out) - len(shape)
        if lead < 0:
            return ""
        axes = [n for n in range(len(out)) if n < lead or (shape[n - lead] == 1 and out[n] > 1)]
        if not axes:
            return ""
        # When a gradient arrives at the first element alone along those axes (or the last), it is all of the sum.
        before, count = self.g, math.prod(out[n] for n in axes)
        try:
            for end in (0, -1):
                here = tuple(end if n in axes else slice(None) for n in range(len(out)))
                alone = np.zeros(out)
                alone[here] = before[here]
                self._take(alone)
                d, trials = self.slopes[place], list(self._trials(place, 3))
                factor = factor_of([(float(np.sum(d * v)), e.value, e.error) for v, e in trials], math.inf)
                if factor is not None and abs(factor - 1.0) < 1e-3:
                    return f"a lost sum: over the {count} elements that the argument is broadcast to"
        finally:
            self._take(before)
        return ""

"""The culprit: the rules of each operation against numbers, where it ran, and what their errors look like."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..engine.backward import gradients
from ..engine.graph import Graph
from ..engine.node import Node, Observer, recording, watch
from ..engine.operation import Op
from ..engine.tensor import tensor
from ..profile.observe import users_line
from .difference import MARGIN, Estimate, Point, derivative, noise
from .problem import Problem, branch_of
from .report import Culprit

TOLERANCE = 1e-6


class Tape(Observer):
    """Keeps the arguments of each operation that is recorded, and the user's line."""

    def __init__(self) -> None:
        self.calls: dict[Node, tuple[list[Any], str]] = {}

    def saw(self, op: Op, node: Node | None, out: np.ndarray, data: list[Any]) -> None:
        """Keep the arguments of one operation."""
        if node is not None:
            self.calls[node] = (list(data), users_line())


def find_culprits(problem: Problem, generator: np.random.Generator) -> tuple[Culprit, ...]:
    """Return the operations behind a problem's result whose own rules are wrong, the nearest to the result first."""
    problem.restore()
    tape = Tape()
    with watch(tape):
        out = problem.f(*problem.arguments)
    found: list[Culprit] = []
    boxes = [box for box in Graph(out).nodes if box.kind == "op"]
    for distance, box in enumerate(reversed(boxes)):
        if not isinstance(box.node, Node) or box.node.op is None or box.node not in tape.calls:
            continue
        data, line = tape.calls[box.node]
        local = Local(box.node.op, data, generator)
        for place in local.places:
            fault = local.fault(place)
            if fault is not None:
                looks, at, ours, theirs = fault
                found.append(Culprit(
                    box.op or "", local.name(place), looks, ".".join(box.module), line, local.arrays[place].shape, at,
                    ours, theirs, distance,
                ))  # fmt: skip
    return tuple(found)


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
        self.slots: list[tuple[int, int | None]] = []
        for n, (key, value) in enumerate(zip(op.arguments, data, strict=True)):
            if key in op.differentiable:
                for k, item in enumerate(value) if key == op.variadic else ((None, value),):
                    if isinstance(item, np.ndarray) and item.dtype.kind == "f":
                        self.slots.append((n, k))
                        self.arrays.append(item.astype(np.float64))
        self.places = [n for n, array in enumerate(self.arrays) if array.size]
        self.g: np.ndarray = np.empty(())
        self.slopes: list[np.ndarray] = []
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
            self.g = g
            self.slopes = [d.data for d in gradients([out], leaves, [g.astype(out.dtype)])]

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
        base = line(0.0)
        return derivative(line, base, expected, TOLERANCE, noise(line, base))

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
        size = float(np.sqrt(np.mean(np.square(array)))) or 1.0
        amounts = self.generator.uniform(0.5, 1.5, array.shape) * self.generator.choice([-1.0, 1.0], array.shape)
        return np.asarray(amounts * (size / math.sqrt(array.size)))

    def _trials(self, place: int, count: int) -> Iterator[tuple[np.ndarray, Estimate]]:
        for _ in range(count):
            direction = self._direction(place)
            yield direction, self.number(place, direction, float(np.sum(self.slopes[place] * direction)))

    def fault(self, place: int) -> tuple[str, tuple[int, ...], float, float] | None:
        """Return what is wrong with the gradient of one argument: words, a coordinate, gradient and number; or None."""
        for _ in range(2):  # the gradient that arrives is of both signs, the second time where the first was not
            d = self.slopes[place]
            for direction, estimate in self._trials(place, 2):
                a, size = float(np.sum(d * direction)), float(np.sum(np.abs(d * direction)))
                if not self._agrees(a, estimate, size):
                    at, ours, theirs, where = self._coordinates(place)
                    return self._words(place, list(self._trials(place, 5)), where), at, ours, theirs
            self._take(-self.g)
        return None

    def _coordinates(self, place: int) -> tuple[tuple[int, ...], float, float, str]:
        """Return the worst of some coordinates, gradient and number there, and where the others are wrong."""
        array, d = self.arrays[place], self.slopes[place]
        every = [tuple(map(int, at)) for at in np.ndindex(array.shape)]
        if len(every) > 200:
            # Where the gradient is large, and at random.
            flat = np.argsort(-np.abs(d.ravel()), kind="stable")[:40]
            flat = np.concatenate([flat, self.generator.choice(array.size, 120, replace=False)])
            every = [tuple(map(int, np.unravel_index(int(k), array.shape))) for k in dict.fromkeys(flat.tolist())]
        size = float(np.sqrt(np.mean(np.square(array)))) or 1.0
        worst, gravest, bad = every[0], -1.0, []
        ours = theirs = 0.0
        top = float(np.max(np.abs(d), initial=0.0))
        for at in every:
            direction = np.zeros(array.shape)
            direction[at] = size
            estimate = self.number(place, direction, float(d[at]) * size)
            a, n = float(d[at]), estimate.value / size
            if self._agrees(a * size, estimate, 1e-3 * top * size):
                continue
            bad.append(at)
            if not abs(a - n) <= gravest:
                worst, gravest, ours, theirs = at, abs(a - n), a, n
        values = [float(array[at]) for at in bad]
        rest = [float(array[at]) for at in every if at not in set(bad)]
        where = ""
        if bad and rest:
            where = f"at {len(bad)} of {len(every)} coordinates"
            if len(bad) > 1 and len(rest) > 1 and max(values) < 0.0 <= min(rest):
                where = f"where {self.name(place)} is negative"
            elif len(bad) > 1 and len(rest) > 1 and min(values) > 0.0 >= max(rest):
                where = f"where {self.name(place)} is positive"
        return worst, ours, theirs, where

    def _words(self, place: int, trials: list[tuple[np.ndarray, Estimate]], where: str) -> str:
        """Return what an error looks like."""
        d = self.slopes[place]
        if not np.isfinite(d).all():
            return "a gradient that is not finite"
        if not d.any():
            return "zeros"

        def fits(other: np.ndarray) -> float | None:
            return _factor([(float(np.sum(other * v)), e.value) for v, e in trials])

        factor = fits(d)
        if factor is not None:
            return self._factor_words(factor)
        if where.startswith("where"):
            return f"wrong {where}"
        if d.ndim >= 2 and d.shape[-1] == d.shape[-2] and fits(np.swapaxes(d, -1, -2)) is not None:
            return "a transpose: the gradient of the transposed matrix"
        for axis in range(d.ndim):
            if any(fits(np.roll(d, by, axis)) is not None for by in (-1, 1)):
                return f"a shift: each gradient stands one place off along axis {axis}"
        if any(fits(np.roll(d, by)) is not None for by in (-1, 1)):
            return "a shift: each gradient stands one place off"
        return self._lost_sum(place) or (f"wrong {where}" if where else "no factor, sign, transpose, shift or lost sum")

    def _factor_words(self, factor: float) -> str:
        if abs(factor + 1.0) < 1e-3:
            return "a sign: the opposite of the gradient"
        lengths = {n for array in (*self.arrays, self.g) for n in (*array.shape, array.size) if n > 1}
        for n in sorted(lengths):
            if abs(factor * n - 1.0) < 1e-3:
                return f"a factor of {n}: a division by {n}, a number of elements, is missing"
            if abs(factor / n - 1.0) < 1e-3:
                return f"a factor of 1/{n}: a mean stands where a sum over {n} elements belongs"
        return f"a factor: {1.0 / factor:.6g} times the gradient" if factor else "a factor"

    def _lost_sum(self, place: int) -> str:
        """Return words for a gradient that is that of one element where those of a broadcast axis belong summed."""
        shape, out = self.arrays[place].shape, self.g.shape
        lead = len(out) - len(shape)
        if lead < 0:
            return ""
        axes = [n for n in range(len(out)) if n < lead or (shape[n - lead] == 1 and out[n] > 1)]
        if not axes:
            return ""
        # When the same gradient arrives all along those axes, one of its elements is a fraction of their sum.
        before = self.g
        try:
            self._take(np.broadcast_to(np.mean(before, axis=tuple(axes), keepdims=True), out).copy())
            count = math.prod(out[n] for n in axes)
            d = self.slopes[place]
            factor = _factor([(float(np.sum(d * v)), e.value) for v, e in self._trials(place, 3)])
            if factor is not None and abs(factor / count - 1.0) < 1e-3:
                return f"a lost sum: over the {count} elements that the argument is broadcast to"
        finally:
            self._take(before)
        return ""


def _factor(pairs: list[tuple[float, float]]) -> float | None:
    """Return the one factor that makes each first number the second, or None."""
    square = sum(a * a for a, _ in pairs)
    if not square or not all(math.isfinite(a) and math.isfinite(n) for a, n in pairs):
        return None
    factor = sum(a * n for a, n in pairs) / square
    top = max(max(abs(factor * a), abs(n)) for a, n in pairs)
    return factor if all(abs(factor * a - n) <= 1e-5 * top for a, n in pairs) else None

"""Right functions on a kink, where a rule may return any slope between those of the two sides, and beside one.

Where an operation is on a kink that the function as a whole does not have, a checker may say kink, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from verdicts import ALL, BOTH, DOUBLE, Case, Make, takes

import tinygrad_fc as tg


def _two(x: Any, scale: float) -> Any:
    """Two lines that join at `scale`."""
    return np.where(x > scale, 2.0 * x - scale, x)


def _times(*factors: float) -> Callable[..., Any]:
    return lambda d: d.put(d.scale * np.array(factors))


def on() -> list[Case]:
    table: list[tuple[str, Make, tuple[str, ...]]] = [
        ("relu at 0", takes(tg.relu, _times(0.0, 1.0, -1.0)), BOTH),
        ("leaky relu at 0", takes(tg.leaky_relu, _times(0.0, 1.0, -1.0)), BOTH),
        ("elu with alpha 0.5 at 0", takes(lambda x: tg.elu(x, 0.5), _times(0.0, 1.0, -1.0)), BOTH),
        ("abs at 0", takes(np.abs, _times(0.0, 0.7, -2.0)), BOTH),
        ("sqrt(x**2) by hypot at 0", takes(lambda x: np.hypot(x, 0.0), _times(0.0, 0.7, -2.0)), BOTH),
        ("max with a tie", takes(np.max, _times(1.0, 2.0, 2.0, 0.5)), BOTH),
        ("max with three", takes(lambda x: np.max(x) * 3.0, _times(2.0, 2.0, 2.0, 0.5)), BOTH),
        ("maximum with a tie", takes(np.maximum, _times(1.0, 2.0), _times(1.0, 3.0)), BOTH),
        ("minimum with a number", lambda d: (lambda x: np.minimum(x, d.put(d.scale)), [_times(1.0, 2.0)(d)]), BOTH),
        ("clip at its bound", lambda d: (lambda x: np.clip(x, d.put(-d.scale), d.put(d.scale)), [
            _times(1.0, -1.0, 0.5, 3.0)(d)]), BOTH),
        ("hardtanh at its bound", lambda d: (lambda x: tg.hardtanh(x, -d.scale, d.scale), [
            _times(1.0, -1.0, 0.5, 3.0)(d)]), DOUBLE),
        ("where, two lines that join", lambda d: (lambda x: _two(x, d.scale), [_times(1.0, 3.0)(d)]), DOUBLE),
        ("sort with a tie", takes(lambda x: np.sort(x) * np.arange(1.0, 5.0, dtype=x.dtype),
                                  _times(2.0, 1.0, 3.0, 1.0)), BOTH),
        ("median with a tie", takes(np.median, _times(2.0, 1.0, 2.0, 2.5, 3.0)), BOTH),
        ("l1 loss at 0", takes(tg.l1_loss, _times(1.0, 2.0), _times(1.0, 3.0)), BOTH),
        ("maxout with a tie", takes(lambda x: tg.maxout(x, 2), _times(1.0, 1.0, 2.0, 3.0)), BOTH),
        ("largest norm with a tie", takes(lambda x: np.linalg.norm(x, np.inf), _times(3.0, -3.0, 1.0)), BOTH),
        ("a kink in the middle", lambda d: (lambda x: (tg.relu(x * x - d.scale * d.scale) * 3.0).sum() / d.scale, [
            _times(1.0, 2.0, 0.5)(d)]), DOUBLE),
    ]  # fmt: skip
    cases = [Case(name, make, ALL, dtypes, "kink", "on the kink") for name, make, dtypes in table]
    hinge = takes(lambda x: tg.svm_loss(x, np.array([0])), lambda d: d.put([[2.0, 1.0, 3.0]]))
    bend = takes(lambda x: tg.huber_loss(x, np.zeros(3, x.dtype)), lambda d: d.put([1.0, -1.0, 3.0]))
    return [
        *cases,
        Case("hinge with a margin of 0", hinge, (1.0,), BOTH, "kink", "on the kink"),
        Case("huber loss at delta", bend, (1.0,), BOTH, "kink", "the pieces join, with one slope"),
        Case("silu at 0", takes(tg.silu, _times(0.0, 1.0)), (1e-3, 1.0), BOTH, "correct", "smooth at 0"),
        Case("x * abs(x) at 0", takes(lambda x: x * np.abs(x), _times(0.0, 1.0, -2.0)), ALL, BOTH, "kink",
             "smooth, but through an operation on its kink"),
    ]  # fmt: skip


def beside() -> list[Case]:
    """Functions a distance away from a kink, on both sides of it: they have a derivative, and its rule has to be right.

    At 1e-3 of the scale a checker has room to see that; closer, it may say kink.
    """
    cases = []
    for distance in (1e-3, 1e-6, 1e-9, 1e-12):
        kind, why = ("correct" if distance == 1e-3 else "kink"), f"a kink lies {distance:g} scales away"
        at_zero, at_one = _times(distance, -distance, 1.0, -2.0), _times(1.0 + distance, 1.0 - distance, 3.0)
        table: list[tuple[str, Make, tuple[str, ...]]] = [
            ("relu", takes(tg.relu, at_zero), BOTH), ("abs", takes(np.abs, at_zero), BOTH),
            ("leaky relu", takes(tg.leaky_relu, at_zero), BOTH),
            ("maximum", takes(lambda x: np.maximum(x, 0.0), at_zero), BOTH),
            ("where", lambda d, at=at_one: (lambda x: _two(x, d.scale), [at(d)]), DOUBLE),
            ("clip", lambda d, at=at_one: (lambda x: np.clip(x, -d.scale, d.scale), [at(d)]), DOUBLE),
            ("max", takes(np.max, at_one), DOUBLE),
            ("sort", takes(lambda x: np.sort(x) * [1.0, 2.0, 4.0], at_one), DOUBLE),
        ]  # fmt: skip
        cases += [Case(f"{name}, {distance:g} from a kink", make, ALL, dt, kind, why) for name, make, dt in table]
    return cases


KINKS = [*on(), *beside()]

"""Functions whose gradients are wrong: a faulty rule, a dropped term, a detached part, a rule of something close.

Each is off by 1e-4 of its largest gradient or more, at each scale that it names. verdicts_faults.py has those in larger
functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from verdicts import ALL, BOTH, LARGE, MIDDLE, SMALL, Case, Draw

import tinygrad_fc as tg

Rules = dict[str, Callable[..., Any]]


def plant(
    name: str, function: Callable[..., Any], rules: Rules, inputs: list[Any], scales: tuple[float, ...], why: str,
    faulty: tuple[int, ...] = (0,), inside: Callable[..., Any] | None = None, dtypes: tuple[str, ...] = BOTH,
) -> Case:  # fmt: skip
    """Return a case of an operation with faulty rules, alone or in ``inside(operation, *inputs)``."""

    def make(d: Draw) -> tuple[Callable[..., Any], list[Any]]:
        op = tg.op(function, name="verdict: " + name, **rules)  # the registry fixture takes it out again
        given = [draw(d) if callable(draw) else getattr(d, draw[0])(*draw[1:]) for draw in inputs]
        return op if inside is None else lambda *tensors: inside(op, *tensors), given

    return Case(name, make, scales, dtypes, "wrong", why, faulty)


def _factors(k: float) -> list[Case]:
    def in_network(op: Any, x: Any, w: Any, v: Any) -> Any:
        return tg.softmax_loss(op(x @ w) @ v, np.array([0, 2, 1, 1]))

    return [
        plant(f"square times {k}", lambda x: x * x, {"x": lambda g, x: g * x * (2.0 * k)}, [("normal", 3, 4)], ALL,
              "a factor"),
        plant(f"sin times {k}", lambda x: np.sin(x), {"x": lambda g, x: g * np.cos(x) * k}, [("normal", 5)], ALL,
              "a factor"),
        plant(f"product times {k}", lambda x, y: x @ y, {"x": lambda g, y: g @ y.T * k, "y": lambda g, x: x.T @ g},
              [("normal", 3, 4), ("normal", 4, 2)], ALL, "a factor"),
        plant(f"tanh in a network times {k}", lambda x: np.tanh(x), {"x": lambda g, out: g * (1.0 - out * out) * k},
              [("normal", 4, 3), ("fixed", 3, 5), ("fixed", 5, 3)], SMALL, "a factor", (0, 1), in_network),
    ]  # fmt: skip


# ---- rules of one operation


def _overwrite(g: Any, x_shape: tuple[int, ...]) -> Any:
    d = np.zeros(x_shape, g.dtype)
    d[[0, 0, 2, 2, 2]] = g
    return d


def _beside(g: Any, x_shape: tuple[int, ...]) -> Any:
    d = np.zeros(x_shape, g.dtype)
    np.add.at(d, [1, 1, 3, 3, 3], g)
    return d


def _one_of_many(g: Any, x: Any) -> Any:
    d = g * (2.0 * x)
    d[17, 42] *= 2.0
    return d


def _logistic(x: Any) -> Any:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _first(g: Any, x: Any) -> Any:
    d = np.zeros_like(x)
    d[:, 0] = g
    return d


def _flipped(g: Any, x: Any) -> Any:
    return np.array([g @ x[k : k + len(g)] for k in range(3)], g.dtype)[::-1]


N34, N5, P5, A5, S4 = ("normal", 3, 4), ("normal", 5), ("positive", 5), ("away", 5), ("normal", 4, 4)
OVER = (("normal", 4, 3), ("fixed", 3))

Row = tuple[str, Callable[..., Any], Rules, list[Any], tuple[float, ...], str]

ONE: list[Row] = [
    ("log, sign", lambda x: np.log(x), {"x": lambda g, x: -g / x}, [P5], ALL, "a sign"),
    ("cube, sign", lambda x: x**3, {"x": lambda g, x: -3.0 * g * x * x}, [A5], ALL, "a sign"),
    ("sqrt, zeros", lambda x: np.sqrt(x), {"x": lambda g: 0.0 * g}, [P5], ALL, "zeros"),
    ("square, nan", lambda x: x * x, {"x": lambda g: g * np.nan}, [N5], ALL, "no number"),
    ("mean without 1 / N", lambda x: np.mean(x), {"x": lambda g, x_shape: np.broadcast_to(g, x_shape)}, [N34], ALL,
     "a missing 1 / N"),
    ("roll, the other way", lambda x: np.roll(x, 1), {"x": lambda g: np.roll(g, 1)}, [N5], ALL, "shifted"),
    ("shifted by one", lambda x: x[1:] ** 2, {"x": lambda g, x: np.append(g * 2.0 * x[1:], g[:1] * 0.0)}, [N5], ALL,
     "shifted"),
    ("a scatter that overwrites", lambda x: x[[0, 0, 2, 2, 2]], {"x": _overwrite}, [N5], ALL, "repeats are lost"),
    ("a scatter off by one", lambda x: x[[0, 0, 2, 2, 2]], {"x": _beside}, [N5], ALL, "shifted"),
    ("one of 10,000", lambda x: x * x, {"x": _one_of_many}, [("positive", 100, 100)], (1.0,), "one, by a factor of 2"),
    ("cube of negatives", lambda x: x**3, {"x": lambda g, x: 3.0 * g * x * abs(x)},
     [lambda d: d.put([0.8, -0.7, 1.1]) * d.scale], ALL, "wrong for negative inputs only"),
    ("leaky slope", lambda x: np.where(x > 0, x, 0.01 * x),
     {"x": lambda g, x: g * np.where(x > 0, 1.0, 0.02).astype(x.dtype)},
     [lambda d: d.put([0.8, -0.7, 1.1]) * d.scale], ALL, "likewise"),
    ("square above a mean", lambda x: x * x,
     {"x": lambda g, x: g * x * np.where(x > x.mean(), 2.2, 2.0).astype(x.dtype)}, [P5], ALL,
     "wrong above a threshold only"),
    ("sum of rows", lambda x: np.sum(x * x, axis=0), {"x": lambda g, x: 2.0 * x * g[:, None]}, [S4], ALL,
     "along the wrong axis"),
    ("cumsum, forward", lambda x: np.cumsum(x), {"x": lambda g: np.cumsum(g)}, [N5], ALL, "the wrong direction"),
    ("x sin x, one term", lambda x: x * np.sin(x), {"x": lambda g, x: g * np.sin(x)}, [A5], ALL, "a dropped term"),
    ("x exp x, one term", lambda x: x * np.exp(x), {"x": lambda g, x: g * x * np.exp(x)}, [A5], SMALL, "likewise"),
    ("silu, one term", lambda x: x * _logistic(x), {"x": lambda g, x: g * _logistic(x)}, [A5], (1e-3, 1.0),
     "likewise; small where x is"),
    ("x / (1 + x**2), one term", lambda x: x / (1.0 + x * x), {"x": lambda g, x: g / (1.0 + x * x)}, [A5], LARGE,
     "likewise"),
    ("tanh by 1 - y", lambda x: np.tanh(x), {"x": lambda g, out: g * (1.0 - out)},
     [lambda d: d.put([0.8, -0.7, -1.1]) * d.scale], MIDDLE, "close; where it is saturated, wrong for negatives only"),
    ("sigmoid by y", _logistic, {"x": lambda g, out: g * out}, [A5], ALL, "close"),
    ("log1p by 1 / x", lambda x: np.log1p(x), {"x": lambda g, x: g / x}, [P5], (1e-6, 1e-3, 1.0, 1e3), "close"),
    ("expm1 by y", lambda x: np.expm1(x), {"x": lambda g, out: g * out}, [N5], SMALL, "close"),
    ("cos by sin", lambda x: np.cos(x), {"x": lambda g, x: g * np.sin(x)}, [A5], ALL, "close"),
    ("cosh by cosh", lambda x: np.cosh(x), {"x": lambda g, out: g * out}, [N5], SMALL, "close"),
    ("arctan by 1 / (1 + x)", lambda x: np.arctan(x), {"x": lambda g, x: g / (1.0 + x)}, [P5], (1e-3, *LARGE), "close"),
    ("sqrt by 1 / 2x", lambda x: np.sqrt(x), {"x": lambda g, x: g / (2.0 * x)}, [P5], ALL, "close"),
    ("softplus by tanh", lambda x: np.logaddexp(x, np.zeros_like(x)), {"x": lambda g, x: g * np.tanh(x)},
     [lambda d: d.put([0.8, -0.7, -1.1]) * d.scale], ALL, "close"),
    ("x s(1.7 x) by 1.6", lambda x: x * _logistic(1.7 * x),
     {"x": lambda g, x: g * (_logistic(1.6 * x) + 1.6 * x * _logistic(1.6 * x) * (1.0 - _logistic(1.6 * x)))}, [A5],
     (1e-3, 1.0), "close"),
    ("huber as a square", lambda x: np.where(abs(x) > 1, abs(x) - 0.5, 0.5 * x * x), {"x": lambda g, x: g * x},
     [lambda d: d.put([1.4, -0.3, -1.2]) * d.scale], LARGE, "wrong above a threshold only"),
    ("std with N - 1", lambda x: np.std(x), {"x": lambda g, x, out: g * (x - x.mean()) / (out * (x.size - 1.0))}, [N5],
     ALL, "N - 1"),
    ("third moment of a fixed mean", lambda x: np.mean((x - np.mean(x)) ** 3),
     {"x": lambda g, x: g * 3.0 * (x - np.mean(x)) ** 2 / x.size}, [N5], ALL, "the mean as a constant"),
    ("norm without division", lambda x: np.sqrt(np.sum(x * x)), {"x": lambda g, x: g * x}, [N5], ALL, "close"),
    ("prod by the product", lambda x: np.prod(x), {"x": lambda g, x, out: np.full_like(x, g * out)}, [A5], ALL,
     "nothing is divided by"),
    ("cumprod by cumsum", lambda x: np.cumprod(x), {"x": lambda g: np.cumsum(g[::-1])[::-1]}, [A5], MIDDLE, "close"),
    ("inverse, not transposed", lambda x: np.linalg.inv(x), {"x": lambda g, out: -(out @ g @ out)}, [("spd", 3)], ALL,
     "transposed"),
    ("determinant, not transposed", lambda x: np.linalg.det(x),
     {"x": lambda g, x, out: (g * out * np.linalg.inv(x)).astype(x.dtype)}, [("spd", 3)], ALL, "transposed"),
    ("eigenvalues as a diagonal", lambda x: np.linalg.eigvalsh(x @ x.T), {"x": lambda g, x: 2.0 * np.diag(g) @ x},
     [("spd", 3)], ALL, "the vectors are left out"),
    ("clip, no bounds", lambda x: np.clip(x, 0.0, 0.5), {"x": lambda g: g}, [A5], LARGE, "a missing mask"),
    ("max, to all", lambda x: np.max(x), {"x": lambda g, x: np.full_like(x, g)}, [("apart", 5)], ALL, "a missing mask"),
    ("max, to the first", lambda x: np.max(x, axis=1), {"x": _first}, [("apart", 4, 3)], ALL, "a wrong index"),
    ("max, to the smallest", lambda x: np.max(x), {"x": lambda g, x: g * (x == x.min())}, [("apart", 5)], ALL,
     "a wrong index"),
    ("sort, not permuted", lambda x: np.sort(x), {"x": lambda g: g}, [lambda d: -np.sort(d.apart(5))], ALL,
     "a missing permutation"),
    ("fixed noise of 1e-3", lambda x: np.exp(x), {"x": lambda g, out: g * out * (
        1.0 + 1e-3 * np.array([1.0, -1.0, 1.0, 1.0, -1.0], g.dtype))}, [N5], SMALL, "a little, in each element"),
    ("abs by 1", lambda x: abs(x), {"x": lambda g: g}, [lambda d: d.put([0.8, -0.7, 1.1]) * d.scale], ALL,
     "wrong for negative inputs only"),
    ("relu, no mask", lambda x: np.maximum(x, 0.0), {"x": lambda g: g}, [lambda d: d.put([0.8, -0.7]) * d.scale], ALL,
     "likewise"),
    ("abs at 0 by 2", lambda x: abs(x), {"x": lambda g, x: g * np.where(x == 0, 2.0, np.sign(x)).astype(x.dtype)},
     [lambda d: d.put([0.0, 1.0]) * d.scale], ALL, "at the kink, outside the slopes of its sides"),
    ("relu at 0 by -1", lambda x: np.maximum(x, 0.0),
     {"x": lambda g, x: g * np.where(x == 0, -1.0, x > 0).astype(x.dtype)},
     [lambda d: d.put([0.0, 1.0]) * d.scale], ALL, "likewise"),
    ("relu, on 5e-4 before the kink", lambda x: np.maximum(x, 0.0), {"x": lambda g, x: g * (x > -1e-3 * abs(x).max())},
     [lambda d: d.put([-5e-4, 1.0]) * d.scale], ALL, "the slope of the other side"),
    ("relu, on 2e-5 before the kink", lambda x: np.maximum(x, 0.0), {"x": lambda g, x: g * (x > -1e-3 * abs(x).max())},
     [lambda d: d.put([-2e-5, 1.0]) * d.scale], ALL, "likewise"),
]  # fmt: skip

TWO: list[tuple[Any, ...]] = [
    ("the second of a product", lambda x, y: x @ y, {"x": lambda g, y: g @ y.T, "y": lambda g, x: (x.T @ g).T},
     [S4, S4], ALL, "transposed"),
    ("the first of a product", lambda x, y: x @ y, {"x": lambda g, y: g @ y, "y": lambda g, x: x.T @ g}, [S4, S4], ALL,
     "not transposed", (0,)),
    *[(f"bias, {what}", lambda x, b: x + b, {"x": lambda g: g, "b": rule}, list(OVER), ALL, "a missing sum")
      for what, rule in (("a mean", lambda g: np.mean(g, axis=0)), ("one row", lambda g: g[0] * 1.0),
                         ("over the root of N", lambda g: np.sum(g, axis=0) * 0.5))],
    ("scale, last row", lambda x, c: x * c, {"x": lambda g, c: g * c, "c": lambda g, x: g[-1] * x[-1]}, list(OVER), ALL,
     "a missing sum"),
    ("x * y by g * y twice", lambda x, y: x * y, {"x": lambda g, y: g * y, "y": lambda g, y: g * y}, [N5, N5], ALL,
     "the second input only"),
    ("x - y by g twice", lambda x, y: x - y, {"x": lambda g: g, "y": lambda g: g}, [N5, N5], ALL, "a sign"),
    ("x / y by g / y * x", lambda x, y: x / y, {"x": lambda g, y: g / y, "y": lambda g, x, y: -g / y * x},
     [N5, lambda d: d.put(d.rng.uniform(2.0, 3.0, 5))], ALL, "y for y**2"),
    ("x / y by g * y", lambda x, y: x / y, {"x": lambda g, y: g * y, "y": lambda g, x, y: -g * x / (y * y)},
     [N5, lambda d: d.put(d.rng.uniform(2.0, 3.0, 5))], ALL, "the wrong way up", (0,)),
    ("x**y by y x**y", lambda x, y: x**y,
     {"x": lambda g, y, out: g * y * out, "y": lambda g, x, out: g * out * np.log(x)}, [P5, ("fixed", 5)],
     (1e-6, 1e-3, 1e3, 1e6), "the exponent is not lowered", (0,)),
    ("hypot, legs swapped", lambda x, y: np.hypot(x, y), {"x": lambda g, y, out: g * y / out,
                                                          "y": lambda g, x, out: g * x / out}, [A5, A5], ALL,
     "the wrong argument", (0, 1)),
    ("maximum, swapped", lambda x, y: np.maximum(x, y), {"x": lambda g, x, y: g * (x < y),
                                                         "y": lambda g, x, y: g * (x > y)},
     [P5, lambda d: -d.positive(5)], ALL, "the wrong argument", (0, 1)),
    ("logaddexp, half each", lambda x, y: np.logaddexp(x, y), {"x": lambda g, x, y: g * _logistic(x - y),
                                                               "y": lambda g: g * 0.5}, [A5, A5], (1e-3, *LARGE),
     "right where both are equal"),
    ("convolution, flipped", lambda x, k: np.array([x[n : n + 3] @ k for n in range(6)], x.dtype),
     {"x": lambda g, x, k: np.convolve(g, k), "k": _flipped}, [("normal", 8), ("fixed", 3)], ALL, "the wrong order"),
    ("solve, not transposed", lambda x, y: np.linalg.solve(x, y), {
        "x": lambda g, x, out: -np.outer(np.linalg.solve(x.T, g), out), "y": lambda g, x: np.linalg.solve(x, g)},
     [("spd", 3), ("normal", 3)], ALL, "transposed"),
]  # fmt: skip

PLAIN = [
    *[case for k in (2.0, 0.5, 1.01, 1.0001) for case in _factors(k)],
    *[plant(*row) for row in ONE],
    *[plant(*row) if len(row) == 7 else plant(*row, (1,)) for row in TWO],
]

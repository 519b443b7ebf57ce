"""Faults in larger functions: normalization, losses, networks, detached parts, faults of one precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from verdicts import ALL, LARGE, SMALL, Case, Draw, Make, takes
from verdicts_wrong import PLAIN, plant

import tinygrad_fc as tg

LABELS = np.array([0, 2, 1])
FLOAT = ("float32",)

# ---- normalization: what each rule leaves out


def _normal(x: Any, axis: int) -> Any:
    c = x - np.mean(x, axis=axis, keepdims=True)
    return c / np.sqrt(np.mean(c * c, axis=axis, keepdims=True) + 1e-5)


def _norm_rule(axis: int, mean: float, along: float, n: float = 0.0) -> Callable[..., Any]:
    """Return the rule of `_normal` with its term of the mean and its term of the variance taken so many times."""

    def rule(g: Any, x: Any, out: Any) -> Any:
        size = x.shape[axis] + n
        rate = 1.0 / np.sqrt(np.var(x, axis=axis, keepdims=True) + 1e-5)
        total = np.sum(g, axis=axis, keepdims=True) / size
        return rate * (g - mean * total - along * out * np.sum(g * out, axis=axis, keepdims=True) / size)

    return rule


def _norms() -> list[Case]:
    table: list[tuple[str, int, tuple[float, ...], tuple[float, ...], str]] = [
        ("layer_norm, mean", 1, (0.0, 1.0), ALL, "the term of the mean is left out"),
        ("layer_norm, variance", 1, (1.0, 0.0), LARGE, "the term of the variance is left out"),
        ("batch_norm, mean", 0, (0.0, 1.0), ALL, "the mean as a constant"),
        ("batch_norm, variance", 0, (1.0, 0.0), LARGE, "the variance as a constant"),
        ("batch_norm, both", 0, (0.0, 0.0), ALL, "as with running statistics"),
        ("batch_norm, N - 1", 0, (1.0, 1.0, -1.0), ALL, "N - 1"),
        ("batch_norm, variance by 1.01", 0, (1.0, 1.01), LARGE, "a factor in one term"),
    ]
    return [
        plant(name, lambda x, axis=axis: _normal(x, axis), {"x": _norm_rule(axis, *terms)}, [("normal", 5, 4)],
              scales, why)
        for name, axis, terms, scales, why in table
    ]  # fmt: skip


# ---- losses


def _shares(x: Any) -> Any:
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def _loss(x: Any) -> Any:
    return -np.mean(np.log(_shares(x))[np.arange(3), LABELS])


def _slope(x: Any, labels: Any = LABELS) -> Any:
    d = _shares(x)
    d[np.arange(3), labels] -= 1.0
    return d / 3.0


def _hinge(x: Any) -> Any:
    margins = np.maximum(x - x[np.arange(3), LABELS][:, None] + 1.0, 0.0)
    return (np.sum(margins) - 3.0) / 3.0


def _hinge_rule(g: Any, x: Any) -> Any:
    d = (x - x[np.arange(3), LABELS][:, None] + 1.0 > 0).astype(x.dtype)
    d[np.arange(3), LABELS] = -1.0  # and not minus their number
    return g * d / 3.0


def _windows(g: Any, x: Any, k: Any) -> Any:
    d = np.zeros_like(x)
    for n in range(6):
        d[n : n + 3] = g[n] * k  # where += belongs
    return d


L34 = ("apart", 3, 4)
LOSSES = [
    plant("softmax loss without 1 / N", _loss, {"x": lambda g, x: g * _slope(x) * 3.0}, [L34], SMALL,
          "a missing 1 / N"),
    plant("softmax loss, no label", _loss, {"x": lambda g, x: g * _shares(x) / 3.0}, [L34], SMALL, "a dropped term"),
    plant("softmax loss, next label", _loss, {"x": lambda g, x: g * _slope(x, (LABELS + 1) % 4)}, [L34], SMALL,
          "a shifted index"),
    plant("softmax loss, 1.0001", _loss, {"x": lambda g, x: g * _slope(x) * 1.0001}, [L34], SMALL, "a factor"),
    plant("softmax, no sum", _shares, {"x": lambda g, out: g * out}, [L34], SMALL, "a dropped term"),
    plant("softmax, 1 - y", _shares, {"x": lambda g, out: g * out * (1.0 - out)}, [L34], SMALL, "the diagonal alone"),
    plant("logsumexp as max", lambda x: np.log(np.sum(np.exp(x - x.max()))) + x.max(),
          {"x": lambda g, x: g * (x == x.max())}, [("apart", 6)], SMALL, "close, and right at large scales"),
    plant("hinge loss, count", _hinge, {"x": _hinge_rule}, [L34], SMALL, "a missing count"),
    plant("mean square, no 2", lambda x, y: np.mean((x - y) ** 2),
          {"x": lambda g, x, y: g * (x - y) / x.size, "y": lambda g, x, y: g * 2.0 * (y - x) / x.size},
          [("normal", 3, 4), ("normal", 3, 4)], ALL, "a factor"),
    plant("penalty, twice", lambda w: 0.5 * np.sum(w * w), {"w": lambda g, w: 2.0 * g * w}, [("normal", 3, 4)], ALL,
          "a factor"),
    plant("dropout, not scaled", lambda x: x * np.array([1.0, 0.0, 1.0, 1.0], x.dtype) / 0.7,
          {"x": lambda g: g * np.array([1.0, 0.0, 1.0, 1.0], g.dtype)}, [("normal", 3, 4)], ALL, "a factor"),
    plant("windows, overwritten", lambda x, k: np.array([x[n : n + 3] @ k for n in range(6)], x.dtype),
          {"x": _windows, "k": lambda g, x: np.array([g @ x[n : n + 6] for n in range(3)], x.dtype)},
          [("normal", 8), ("fixed", 3)], ALL, "windows overlap"),
]  # fmt: skip

# ---- a detached part


def _attention(q: Any, k: Any, v: Any) -> Any:
    return tg.softmax(q @ k.T).detach() @ v


def _truncated(x: Any, w: Any, u: Any) -> Any:
    h = np.zeros(4, x.dtype)
    for step in range(30):
        h = np.tanh(h @ w + x[step] * u)
        if step == 27:
            h = h.detach()
    return h


def _weights(d: Draw) -> Any:
    return d.put(0.4 * d.rng.normal(size=(4, 4)))


DETACHED: list[tuple[str, Make, tuple[float, ...], tuple[int, ...]]] = [
    ("x * x.detach()", takes(lambda x: x * x.detach(), ("normal", 5)), ALL, (0,)),
    ("a centre that is detached", takes(lambda x: (x - np.mean(x).detach()) ** 3, ("normal", 5)), ALL, (0,)),
    ("a norm that is detached", takes(lambda x: x / np.linalg.norm(x).detach(), ("normal", 5)), ALL, (0,)),
    ("attention that is detached", takes(_attention, ("normal", 3, 2), ("fixed", 4, 2), ("fixed", 4, 3)), SMALL,
     (0, 1)),
    ("a recurrence cut at step 27", takes(_truncated, ("normal", 30), _weights, ("fixed", 4)), SMALL, (0, 1, 2)),
    ("the second factor detached", takes(lambda x, y: x * y.detach() + y, ("normal", 5), ("fixed", 5)), ALL[1:], (1,)),
    ("a gate that is detached", takes(lambda x: tg.sigmoid(x).detach() * x, ("away", 5)), (1e-3, 1.0), (0,)),
]  # fmt: skip

# ---- networks


def _net(where: int) -> Callable[..., Any]:
    """Return a loss of three parameters, one of which goes through a faulty operation."""

    def f(op: Any, w: Any, b: Any, v: Any, x: Any) -> Any:
        w, b, v = [op(p) if n == where else p for n, p in enumerate((w, b, v))]
        return tg.softmax_loss(np.tanh(x @ w + b) @ v, LABELS)

    return f


def _in_a_network(where: int, factor: float) -> Case:
    return plant(
        f"parameter {where} of three by {factor}", lambda p: p * 1.0, {"p": lambda g: g * factor},
        [("fixed", 4, 5), ("fixed", 5), ("fixed", 5, 3), ("normal", 3, 4)], SMALL, "one parameter of three", (where,),
        _net(where),
    )  # fmt: skip


def _fused(name: str, x: Callable[..., Any], w: Callable[..., Any], faulty: tuple[int, ...]) -> Case:
    def make(d: Draw) -> tuple[Callable[..., Any], list[Any]]:
        layer = tg.fused_op(
            lambda x, w: (np.maximum(x @ w, 0.0), x @ w > 0), compose=lambda x, w: tg.relu(x @ w), leaves=("mask",),
            name="verdict: " + name, x=x, w=w,
        )  # fmt: skip
        return layer, [d.normal(5, 4), d.fixed(4, 3)]

    return Case(name, make, ALL, kind="wrong", why="its composition is right", faulty=faulty)


FUSED = [
    _fused("fused, no mask for w", lambda g, w, mask: g * mask @ w.T, lambda g, x: x.T @ g, (1,)),
    _fused("fused, no mask for x", lambda g, w: g @ w.T, lambda g, x, mask: x.T @ (g * mask), (0,)),
    _fused("fused, the other mask", lambda g, w, mask: g * ~mask @ w.T, lambda g, x, mask: x.T @ (g * ~mask), (0, 1)),
]

# ---- one precision


def _coarse(d: Any) -> Any:
    """Round to two digits, and in float64 not at all."""
    if d.dtype != np.float32:
        return d
    fraction, exponent = np.frexp(d)
    return np.ldexp(np.rint(fraction * 64.0) / 64.0, exponent).astype(d.dtype)


PRECISION = [
    plant("exp, two digits", lambda x: np.exp(x), {"x": lambda g, out: g * _coarse(out)}, [("normal", 6)], (1e-3, 1.0),
          "float32 only", dtypes=FLOAT),
    plant("square, two digits", lambda x: x * x, {"x": lambda g, x: _coarse(g * 2.0 * x)}, [("normal", 6)], ALL,
          "float32 only", dtypes=FLOAT),
    plant("product, two digits", lambda x, y: x @ y, {"x": lambda g, y: g @ y.T, "y": lambda g, x: _coarse(x.T @ g)},
          [("normal", 3, 4), ("normal", 4, 2)], ALL, "float32 only", (1,), dtypes=FLOAT),
    plant("log, 1.001", lambda x: np.log(x), {"x": lambda g, x: g / x * (1.001 if x.dtype == np.float32 else 1.0)},
          [("positive", 6)], ALL, "float32 only", dtypes=FLOAT),
    plant("tanh, half precision", lambda x: np.tanh(x), {
        "x": lambda g, out: g * (1.0 - out * out).astype(np.float16).astype(g.dtype)}, [("away", 6)], (1.0,),
          "rounded to half precision on the way"),
]  # fmt: skip

WRONG = [
    *PLAIN,
    *_norms(),
    *LOSSES,
    *[Case(name, make, scales, kind="wrong", why="detached", faulty=faulty) for name, make, scales, faulty in DETACHED],
    *[_in_a_network(where, factor) for where in range(3) for factor in (1.001, 0.5)],
    *FUSED,
    *PRECISION,
]

"""Functions of known verdict: what a case is, and those whose gradients are right. test_verdicts.py runs them.

Each case is drawn at several scales of its inputs and in both precisions. verdicts_kinks.py has the points at kinks and
beside them, verdicts_wrong.py the planted faults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygrad_fc as tg
import tinygrad_fc.linalg  # or a test's `registry` fixture would take out what it is the first to use

ALL = (1e-6, 1e-3, 1.0, 1e3, 1e6)
SMALL = (1e-6, 1e-3, 1.0)
LARGE = (1.0, 1e3, 1e6)
MIDDLE = (1e-3, 1.0, 1e3)
BOTH = ("float32", "float64")
DOUBLE = ("float64",)


@dataclass(frozen=True)
class Draw:
    """Random arrays of one case: in its precision, and but for `fixed` and `put` of its scale."""

    rng: np.random.Generator
    scale: float
    dtype: str

    def put(self, values: Any) -> Any:
        return np.asarray(values).astype(self.dtype)

    def fixed(self, *shape: int) -> Any:
        return self.put(self.rng.normal(size=shape))

    def normal(self, *shape: int) -> Any:
        return self.put(self.scale * self.rng.normal(size=shape))

    def positive(self, *shape: int) -> Any:
        return self.put(self.scale * self.rng.uniform(0.5, 2.0, shape))

    def away(self, *shape: int) -> Any:
        """Of either sign, and no closer to 0 than 0.3 scales."""
        return self.put(self.scale * self.rng.uniform(0.3, 1.5, shape) * self.rng.choice([-1.0, 1.0], shape))

    def apart(self, *shape: int) -> Any:
        """No two elements closer than about half a scale divided by their number, and none so close to 0."""
        size = int(np.prod(shape))
        steps = self.rng.permutation(size) - (size - 1) // 2 + self.rng.uniform(0.2, 0.6, size)
        return self.put(self.scale * steps.reshape(shape) * 2.0 / size)

    def spd(self, n: int) -> Any:
        """A well-conditioned matrix that is not symmetric, with a positive determinant."""
        return self.put(self.scale * (np.diag(np.arange(2.0, n + 2.0)) + 0.3 * self.rng.normal(size=(n, n))))


Make = Callable[[Draw], tuple[Callable[..., Any], Sequence[Any]]]


@dataclass(frozen=True)
class Case:
    """One function with the verdict that it deserves.

    Attributes
    ----------
    name : str
    make : callable
        ``make(draw)`` returns the function and its inputs.
    scales, dtypes : tuple
        Where it is checked: where the function makes sense, and (for a fault) where the fault is one of 1e-4 or more.
    kind : str
        "correct" (right and smooth at the point), "wrong", or "kink" (right; it or an operation in it is on a kink, or
        within 1e-6 scales of one).
    why : str
        What makes it worth a case.
    faulty : tuple of int
        Of a wrong one, the inputs whose gradients are wrong; the others' are right.
    """

    name: str
    make: Make
    scales: tuple[float, ...]
    dtypes: tuple[str, ...] = BOTH
    kind: str = "correct"
    why: str = ""
    faulty: tuple[int, ...] = (0,)


def takes(f: Callable[..., Any], *inputs: Any) -> Make:
    """Return what makes `f` with inputs drawn by name and shape: ``("normal", 3, 4)``, or by a function of a draw."""

    def make(d: Draw) -> tuple[Callable[..., Any], list[Any]]:
        return f, [given(d) if callable(given) else getattr(d, given[0])(*given[1:]) for given in inputs]

    return make


def _elementwise() -> list[Case]:
    table: list[tuple[str, Callable[..., Any], str, tuple[float, ...]]] = [
        ("exp", np.exp, "normal", SMALL), ("expm1", np.expm1, "normal", SMALL), ("log", np.log, "positive", ALL),
        ("log1p", np.log1p, "positive", ALL), ("sqrt", np.sqrt, "positive", ALL), ("cube root", np.cbrt, "away", ALL),
        ("square", np.square, "normal", ALL), ("cube", lambda x: x**3, "away", ALL),
        ("reciprocal", lambda x: 1.0 / x, "away", ALL), ("sin", np.sin, "normal", ALL),
        ("sinc", np.sinc, "away", SMALL), ("tanh, saturated at large scales", np.tanh, "away", (*SMALL, 1e3, 1e6)),
        ("sigmoid, saturated at large scales", tg.sigmoid, "away", (*SMALL, 1e3, 1e6)),
        ("arctan", np.arctan, "normal", ALL), ("arcsinh", np.arcsinh, "normal", ALL),
        ("softplus", tg.softplus, "away", ALL), ("silu", tg.silu, "away", ALL), ("gelu", tg.gelu, "away", SMALL),
        ("gelu by tanh", lambda x: tg.gelu(x, "tanh"), "away", ALL), ("elu", tg.elu, "away", ALL),
        ("leaky relu", tg.leaky_relu, "away", ALL), ("relu", tg.relu, "away", ALL), ("abs", np.abs, "away", ALL),
        ("floor: zero between the steps", np.floor, "positive", (1e-6, 1e-3)),
    ]  # fmt: skip
    return [Case(name, takes(f, (domain, 3, 4)), scales, why="elementwise") for name, f, domain, scales in table]


def _several() -> list[Case]:
    table: list[tuple[str, Make, tuple[float, ...], str]] = [
        ("hypot", takes(np.hypot, ("away", 5), ("away", 5)), ALL, "elementwise of two"),
        ("arctan2", takes(np.arctan2, ("away", 5), ("away", 5)), ALL, "homogeneous of degree 0"),
        ("logaddexp", takes(np.logaddexp, ("away", 5), ("away", 5)), ALL, "saturated at large scales"),
        ("power", takes(np.power, ("positive", 5), ("fixed", 5)), ALL, "gradients of every size in one array"),
        ("quotient with broadcasting", takes(np.divide, ("normal", 4, 3), ("away", 3)), ALL, "a sum over rows"),
        ("matrix product", takes(np.matmul, ("normal", 3, 4), ("normal", 4, 2)), ALL, "bilinear"),
        ("three matrices", takes(lambda x, y, z: (x @ y @ z).sum(), *[("normal", 3, 3)] * 3), ALL, "a sum of products"),
        ("einsum", takes(lambda x, y: np.einsum("ij,jk,k->i", x, y, y[0]), ("normal", 3, 4), ("normal", 4, 4)), ALL,
         "an operand that is read twice"),
        ("inputs of scale s, 1 / s and 1", lambda d: (lambda x, y, z: x * y + np.sin(z), [
            d.normal(4), d.put(d.rng.normal(size=4) / d.scale), d.fixed(4)]), ALL, "gradients of very different size"),
        ("sums of parts far apart", lambda d: (lambda x, y: (x * x).sum() + np.exp(y).sum(), [
            d.normal(4), d.fixed(4)]), ALL, "one part drowns in the other's rounding"),
        ("an argument without influence", takes(lambda x, y: np.exp(y), ("normal", 4), ("fixed", 3)), ALL, "zero"),
        ("sum of squares, 0-d", takes(lambda x: (x * x).sum(), ("normal", 3, 4)), ALL, "a result of no axes"),
        ("a number in, a number out", takes(lambda x: np.sin(x) * x, ("away",)), ALL, "0-d"),
        ("mean", takes(np.mean, ("normal", 3, 4)), ALL, "a reduction"),
        ("variance", takes(lambda x: np.var(x, axis=0), ("normal", 5, 3)), ALL, "the mean's share cancels"),
        ("standard deviation", takes(lambda x: np.std(x, axis=1), ("normal", 3, 5)), ALL, "homogeneous of degree 1"),
        ("prod", takes(np.prod, ("away", 5)), ALL, "values from 1e-30 to 1e30"),
        ("logsumexp", takes(tg.logsumexp, ("apart", 6)), ALL, "saturated at large scales"),
        ("norm", takes(np.linalg.norm, ("normal", 6)), ALL, "a root of a sum"),
        ("cumsum", takes(lambda x: np.cumsum(x, axis=0) ** 2, ("normal", 4, 3)), ALL, "a scan"),
        ("cumprod", takes(np.cumprod, ("away", 5)), MIDDLE, "a scan whose results differ by 1e12"),
        ("max without ties", takes(lambda x: np.max(x, axis=1), ("apart", 3, 4)), ALL, "selection"),
        ("maximum without ties", takes(np.maximum, ("apart", 5), lambda d: -d.positive(5)), ALL, "selection"),
        ("index with repeats", takes(lambda x: x[[0, 0, 2, 2, 2]] ** 2, ("normal", 3, 2)), ALL, "adds up"),
        ("index by a mask", takes(lambda x: (x[x.data > 0] ** 3).sum(), ("away", 8)), ALL,
         "an index that depends on values"),
        ("at[].add with repeats", takes(lambda x, v: x.at[[1, 1, 0]].add(v) ** 2, ("normal", 3), ("normal", 3)), ALL,
         "adds up in the value"),
        ("windows of a convolution", takes(lambda x, k: x[np.arange(6)[:, None] + np.arange(3)] @ k, ("normal", 8),
                                           ("fixed", 3)), ALL, "each element in three windows"),
        ("sort", takes(lambda x, w: np.sort(x) @ w, ("apart", 6), ("fixed", 6)), ALL, "a permutation"),
        ("solve", takes(np.linalg.solve, ("spd", 3), ("normal", 3)), ALL, "degree -1 in the matrix"),
        ("inverse", takes(np.linalg.inv, ("spd", 3)), ALL, "degree -1"),
        ("determinant", takes(np.linalg.det, ("spd", 4)), ALL, "degree 4"),
        ("eigenvalues", takes(lambda x: np.linalg.eigvalsh(x + x.T), ("spd", 3)), ALL, "through a decomposition"),
        ("batch_norm", takes(lambda x, c, b: tg.batch_norm(x, c, b)[0], ("normal", 5, 3), ("fixed", 3), ("fixed", 3)),
         ALL, "eps rules at small scales; at large ones the gradient of x is small"),
        ("layer_norm", takes(tg.layer_norm, ("normal", 3, 5), ("fixed", 5), ("fixed", 5)), ALL, "likewise"),
        ("affine_relu", takes(tg.affine_relu, ("normal", 3, 4), ("fixed", 4, 5), ("normal", 5)), ALL, "fused"),
        ("maxout", takes(lambda x: tg.maxout(x, 3), ("apart", 2, 6)), ALL, "fused"),
        ("dropout, fixed mask", takes(lambda x: tg.dropout(x, np.arange(12).reshape(3, 4) % 3 > 0, 0.7) ** 2,
                                      ("normal", 3, 4)), ALL, "fused; exact zeros"),
        ("l2_penalty", takes(lambda w: tg.l2_penalty(w, 0.3), ("normal", 3, 4)), ALL, "fused"),
        ("softmax", takes(tg.softmax, ("apart", 3, 4)), ALL, "saturated at large scales"),
        ("log_softmax", takes(tg.log_softmax, ("apart", 3, 4)), ALL, "saturated at large scales"),
        ("softmax_loss", takes(lambda x: tg.softmax_loss(x, np.array([0, 2, 1])), ("apart", 3, 4)), ALL, "saturated"),
        ("cross_entropy, smoothed", takes(lambda x: tg.cross_entropy(x, [0, 2, 1], None, 0.1), ("apart", 3, 4)), ALL,
         "a large value, gradients up to 1"),
        ("svm_loss", takes(lambda x: tg.svm_loss(x, np.array([0, 2, 1])), ("apart", 3, 4)), ALL, "piecewise linear"),
        ("binary cross-entropy", takes(lambda x: tg.binary_cross_entropy_with_logits(
            x, np.array([0.0, 1.0, 1.0, 0.0]).astype(x.dtype)), ("away", 4)), ALL, "saturated at large scales"),
        ("mse_loss", takes(tg.mse_loss, ("normal", 3, 4), ("normal", 3, 4)), ALL, "a mean"),
        ("huber_loss", takes(tg.huber_loss, ("away", 6), lambda d: d.put(np.zeros(6))), ALL, "two pieces"),
    ]  # fmt: skip
    return [Case(name, make, scales, why=why) for name, make, scales, why in table]


# ---- networks


def network(normalization: str | None, loss: str = "softmax", activation: str = "relu") -> Make:
    def make(d: Draw) -> tuple[Callable[..., Any], list[Any]]:
        model = tg.models.FullyConnectedNet(
            [5, 4], 4, 3, reg=0.1, weight_scale=0.6, dtype=d.dtype, seed=d.rng, normalization=normalization, loss=loss,
            activation=activation,
        )  # fmt: skip
        for name in model.params:  # biases of 0 would leave a unit on its kink
            if name[0] == "b":
                model.params[name] = d.fixed(*model.params[name].shape)
        x, y = d.normal(5, 4), np.array([0, 2, 1, 1, 0])
        return lambda *_: model.loss_tensor(x, y), list(model.parameters())

    return make


def _with_dropout(d: Draw) -> tuple[Callable[..., Any], list[Any]]:
    mask = d.rng.random((4, 5)) < 0.7

    def f(x: Any, w: Any, b: Any, v: Any) -> Any:
        return tg.softmax_loss(tg.dropout(tg.affine_relu(x, w, b), mask, 0.7) @ v, np.array([0, 2, 1, 1]))

    return f, [d.normal(4, 6), d.fixed(6, 5), d.fixed(5), d.fixed(5, 3)]


def recurrence(x: Any, w: Any, u: Any) -> Any:
    h = np.zeros(4, x.dtype)
    for step in range(30):
        h = np.tanh(h @ w + x[step] * u)
    return h


def _logistic_map(x: Any) -> Any:
    for _ in range(30):
        x = 3.9 * x * (1.0 - x)
    return x


NETWORKS = [
    Case("network, plain", network(None), MIDDLE, why="the parameters, where they stand"),
    Case("network, batch normalization", network("batchnorm"), MIDDLE, why="biases before it have gradient zero"),
    Case("network, layer normalization", network("layernorm"), MIDDLE, why="biases of every size"),
    Case("network, hinge loss", network(None, "svm"), MIDDLE, why="many kinks, none near"),
    Case("network, smooth", network("layernorm", activation="silu"), MIDDLE, why="no kinks"),
    Case("network, dropout", _with_dropout, MIDDLE, why="a fixed mask"),
    Case("recurrence of 30 steps", takes(recurrence, ("normal", 30), lambda d: 0.4 * d.fixed(4, 4), ("fixed", 4)),
         SMALL, why="gradients that vanish along the steps"),
    Case("logistic map, 30 steps", takes(_logistic_map, lambda d: d.put([0.2, 0.37, 0.61])), (1.0,), DOUBLE,
         why="chaos: gradients of 1e5 and more"),
]  # fmt: skip

# ---- zero, tiny, huge, ill-conditioned


def _spread(d: Draw) -> Any:
    """A batch with a variance of about 1e-10 scales squared."""
    return d.put(1e-5 * d.normal(5, 3))


def _offset(d: Draw) -> Any:
    return d.scale + _spread(d)


def _logits(size: float) -> Callable[[Draw], Any]:
    return lambda d: d.put(size * d.rng.uniform(-1.0, 1.0, (3, 4)) + d.normal(3, 4))


def _loss(x: Any) -> Any:
    return tg.softmax_loss(x, np.array([0, 2, 1]))


def _narrow(norm: Callable[..., Any], d: Draw, x: Any) -> tuple[Callable[..., Any], list[Any]]:
    return lambda x, c, b: norm(x, c, b, eps=1e-12 * d.scale**2), [x, d.fixed(3), d.fixed(3)]


def _batch(*args: Any, **kwargs: Any) -> Any:
    return tg.batch_norm(*args, **kwargs)[0]


HARD = [
    Case("x * 0", takes(lambda x: x * 0.0, ("normal", 4)), ALL, why="zero"),
    Case("x - x", takes(lambda x: x - x, ("normal", 4)), ALL, why="zero by cancellation"),
    Case("sum of a softmax", takes(lambda x: tg.softmax(x).sum(), ("apart", 3, 4)), SMALL, why="zero up to rounding"),
    Case("tiny", takes(lambda x: x * x * 1e-30, ("normal", 4)), ALL, DOUBLE, why="gradients down to 1e-36"),
    Case("huge", takes(lambda x: x * x * 1e30, ("normal", 4)), ALL, DOUBLE, why="gradients up to 1e36"),
    Case("x**20", takes(lambda x: x**20, ("positive", 4)), ALL, DOUBLE, why="gradients from 1e-120 to 1e120"),
    Case("x**20, float32", takes(lambda x: x**20, ("positive", 4)), (1.0,), ("float32",), why="a factor 1e12 within"),
    Case("1 / x near the pole", takes(lambda x: 1.0 / x, lambda d: d.put(1e-5 * d.away(4))), (1e-3, 1.0, 1e3),
         why="steps must stay small beside x"),
    Case("log near 0", takes(np.log, lambda d: d.put(1e-12 * d.positive(4))), (1e-3, 1.0, 1e3), why="the domain ends"),
    Case("arcsin near 1", takes(np.arcsin, lambda d: 1.0 - 1e-6 * d.positive(4)), (1e-3, 1.0, 1e3), DOUBLE,
         why="the domain ends, and the slope is 700 or more"),
    Case("sin(1e4 x)", takes(lambda x: np.sin(1e4 * x), ("normal", 4)), SMALL, why="periods of 6e-4"),
    Case("tanh(1e3 x)", takes(lambda x: np.tanh(1e3 * x), ("away", 4)), (1e-6, 1e-3), why="steep"),
    Case("tanh(1e3 x), saturated", takes(lambda x: np.tanh(1e3 * x), ("away", 4)), LARGE, why="zero beside a step"),
    Case("sum(x + 1e6) - 6e6", takes(lambda x: (x + 1e6).sum() - 6e6, ("normal", 6)), ALL, why="large sums cancel"),
    Case("(1e9 + x) - 1e9", takes(lambda x: (1e9 + x) - 1e9, ("normal", 4)), ALL, why="values are off by 1e-7"),
    Case("1 - cos(x)", takes(lambda x: 1.0 - np.cos(x), ("away", 4)), (1e-3, 1.0, 1e3), DOUBLE, why="cancels"),
    Case("softmax loss, logits of 1e4", takes(_loss, _logits(1e4)), MIDDLE, why="gradients of 0, and values of 1e4"),
    Case("softmax loss, logits of 1e6", takes(_loss, _logits(1e6)), MIDDLE, why="gradients of 0, and values of 1e6"),
    Case("softmax loss, far and close", takes(_loss, lambda d: d.put(1e4 + d.apart(3, 4))), (1e-3, 1.0), DOUBLE,
         why="logits of 1e4 that differ little"),
    Case("logsumexp of large numbers", takes(tg.logsumexp, lambda d: 1e8 + d.apart(6)), SMALL, DOUBLE,
         why="values of 1e8, gradients of a sixth"),
    Case("batch_norm, variance of 1e-10", lambda d: _narrow(_batch, d, _spread(d)), MIDDLE, why="gradients of 1e5"),
    Case("layer_norm, variance of 1e-10", lambda d: _narrow(tg.layer_norm, d, _spread(d)), MIDDLE, why="likewise"),
    Case("batch_norm, the same around 1", lambda d: _narrow(_batch, d, _offset(d)), MIDDLE, DOUBLE,
         why="what counts is in the last digits of x"),
    Case("layer_norm, the same around 1", lambda d: _narrow(tg.layer_norm, d, _offset(d)), MIDDLE, DOUBLE,
         why="likewise"),
    Case("inverse, condition of 4e5", takes(np.linalg.inv, lambda d: d.put([[1.0, 1.0], [1.0, 1.0 + 1e-5]]) * d.scale),
         ALL, DOUBLE, why="gradients of 4e9 and more"),
    Case("batch_norm, summed", takes(lambda x: tg.batch_norm(x, np.ones(3, x.dtype), np.zeros(3, x.dtype))[0].sum(),
                                     ("normal", 5, 3)), (1.0, 1e3, 1e6), why="zero up to rounding"),
]  # fmt: skip

CORRECT = [*_elementwise(), *_several(), *NETWORKS, *HARD]

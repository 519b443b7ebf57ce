"""The inner loops compiled with Numba: compiled at the first call and cached on disk; see `loops` and `machine`.

Products call the BLAS that NumPy brings; large ones are shared among the threads of the `team`. How they are shared
depends on the sizes and on the number of threads, and so do the last bits of a product.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import loops, rules
from .codes import Ending
from .instructions import Instructions
from .numpy_ import is_small
from .team import team


def product(a: np.ndarray, b: np.ndarray, ending: Ending = Ending.NOTHING, extra: np.ndarray | None = None) -> Any:
    """Return ``a @ b`` with its ending; both are matrices of one dtype, contiguous or the transpose of what is."""
    (m, k), n = a.shape, b.shape[1]
    shared = team() if m * n * k else None
    if shared is None or is_small(a, b):
        c = a.dot(b)  # the same call of BLAS as the machine's
        if ending == Ending.BIAS:
            loops.bias(c, extra)
        elif ending == Ending.BIAS_RELU:
            loops.bias_relu(c, extra)
        return c
    c = np.empty((m, n), a.dtype)
    key = (m, n, k, a.flags.c_contiguous, b.flags.c_contiguous, ending, a.dtype.char, shared.size)
    kept: dict[Any, Instructions] = _kept.__dict__
    instructions = kept.get(key)
    if instructions is None:
        if len(kept) > _MOST:
            kept.clear()
        instructions = kept[key] = Instructions(shared, a.dtype)
        instructions.product(a, b, c, ending, extra)
        instructions.seal()
        instructions.release()
    else:
        instructions.aim(0, a, b, c, c if extra is None else extra)
    instructions.run()
    return c


# Instructions of single products that have been made, for each thread its own: to aim one at other arrays takes a third
# of the time of making it.
_kept = threading.local()
_MOST = 256


bias, bias_relu = loops.bias, loops.bias_relu


def affine(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> Any:
    """Return ``x @ w + b``."""
    return product(x, w, Ending.BIAS, b)


def affine_relu(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> Any:
    """Return ``max(x @ w + b, 0)``; NaN stays."""
    return product(x, w, Ending.BIAS_RELU, b)


def sum_rows(g: np.ndarray) -> Any:
    """Return ``g.sum(axis=0)``."""
    out = np.empty(g.shape[1], g.dtype)
    loops.sum_rows(g, out)
    return out


def relu(x: np.ndarray) -> np.ndarray:
    """Return ``max(x, 0)``; NaN stays."""
    out = np.empty_like(x)
    loops.relu(_flat(x), _flat(out))
    return out


def relu_gradient(g: np.ndarray, out: np.ndarray) -> np.ndarray:
    """``g * (out != 0)``; `out` is relu's result, so never negative, and NaN passes."""
    d = np.empty_like(g)  # NumPy's own memory: an array that compiled code makes counts as a view of something
    loops.relu_gradient(_flat(g), _flat(out), _flat(d))
    return d


def half_squares(w: np.ndarray, factor: float) -> np.ndarray:
    """Return ``0.5 * factor * sum(w ** 2)``."""
    flat, out = w.reshape(-1), np.empty((), w.dtype)
    parts = np.empty(-(-flat.size // loops.PART))
    loops.squares(flat, 0, len(parts), parts)
    loops.half_sum(parts, factor, out.reshape(1))
    return out


def sum_of_squares(arrays: Sequence[np.ndarray]) -> float:
    """Return the sum of squares of contiguous vectors and matrices, the same bits for every number of threads."""
    alone, total = loops.sum_of_squares, 0.0
    for x in arrays:
        total += alone(x) if x.size < _SHARED else _large_sum_of_squares(x)
    return total


def _large_sum_of_squares(x: np.ndarray) -> float:
    shared = team()
    if shared is None:
        total: float = loops.sum_of_squares(x)
        return total
    key = (x.size, x.dtype.char, shared.size)
    kept: dict[Any, tuple[Instructions, np.ndarray]] = _kept.__dict__
    if key not in kept:
        instructions, out = Instructions(shared, x.dtype), np.empty((), x.dtype)
        instructions.half_squares(np.empty(x.size, x.dtype), 2.0, out)  # never touched: it is aimed at others
        instructions.seal()
        kept[key] = instructions, out
    instructions, out = kept[key]
    instructions.aim(0, x)
    instructions.run()
    return float(out)


# Elements from which threads share a sum of squares; fewer are read in less than a helper takes to wake up.
_SHARED = 524_288


def outside(y: np.ndarray, count: int) -> bool:
    """Whether any of the labels y, integers and at least one, is not in 0 to count - 1."""
    return bool(loops.outside(y.astype(np.intp, copy=False), count))


def softmax_loss(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean cross-entropy of the softmax of each row of x against labels y, and its slope in x."""
    slope, losses, loss = np.empty_like(x), np.empty(len(x), x.dtype), np.empty((), x.dtype)
    loops.softmax_loss(x, y, len(x), slope, losses)
    loops.mean(losses, loss.reshape(1))
    return loss, slope


def batch_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float) -> tuple[np.ndarray, ...]:
    """Return x normalized over its rows, and what is left: the normalized x, the rate, the mean and the variance."""
    out, normal = np.empty_like(x), np.empty_like(x)
    rate, mean, variance = (np.empty(x.shape[1], x.dtype) for _ in range(3))
    loops.batch_norm(x, gamma, beta, eps, out, normal, rate, mean, variance)
    return out, normal, rate, mean, variance


def batch_norm_gradient(
    g: np.ndarray, gamma: np.ndarray, normal: np.ndarray, rate: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradients of `batch_norm` in x, gamma and beta."""
    d, along, total = np.empty_like(g), np.empty_like(gamma), np.empty_like(gamma)
    loops.batch_norm_gradient(g, gamma, normal, rate, d, along, total)
    return d, along, total


def keep(key: np.ndarray, limit: int, mask: np.ndarray) -> None:
    """Draw a mask: see `numpy_.keep`."""
    loops.keep(key[0], 0, np.uint64(limit), _flat(mask))


def drop(x: np.ndarray, mask: np.ndarray, scale: float) -> np.ndarray:
    """Return ``x * mask * scale``."""
    out = np.empty_like(x)
    loops.drop(_flat(x), _flat(mask), scale, _flat(out))
    return out


def _flat(array: np.ndarray) -> np.ndarray:
    return array if array.ndim == 1 else array.reshape(-1)


def sgd(w: np.ndarray, dw: np.ndarray, rate: float, scratch: np.ndarray) -> None:
    """``w -= rate * dw``."""
    rules.sgd(_flat(w), _flat(dw), rate)


def sgd_momentum(
    w: np.ndarray, dw: np.ndarray, velocity: np.ndarray, momentum: float, rate: float, scratch: np.ndarray
) -> None:
    """``velocity = momentum * velocity - rate * dw; w += velocity``."""
    rules.sgd_momentum(_flat(w), _flat(dw), _flat(velocity), momentum, rate)


def rmsprop(
    w: np.ndarray, dw: np.ndarray, cache: np.ndarray, decay: float, rate: float, epsilon: float, scratch: np.ndarray
) -> None:
    """``cache = decay * cache + (1 - decay) * dw**2; w -= rate * dw / (sqrt(cache) + epsilon)``."""
    rules.rmsprop(_flat(w), _flat(dw), _flat(cache), decay, rate, epsilon)


def adam(
    w: np.ndarray, dw: np.ndarray, m: np.ndarray, v: np.ndarray, beta1: float, beta2: float, rate: float,
    epsilon: float, scratch: np.ndarray,
) -> None:  # fmt: skip
    """``w -= rate * m / (sqrt(v) + epsilon)``, with both moments brought up to date first.

    ``m = beta1 * m + (1 - beta1) * dw; v = beta2 * v + (1 - beta2) * dw**2``.
    """
    rules.adam(_flat(w), _flat(dw), _flat(m), _flat(v), beta1, beta2, rate, epsilon)


def sgd_nesterov(
    w: np.ndarray, dw: np.ndarray, velocity: np.ndarray, momentum: float, rate: float, scratch: np.ndarray
) -> None:
    """``velocity = momentum * velocity - rate * dw; w += momentum * velocity - rate * dw``."""
    rules.sgd_nesterov(_flat(w), _flat(dw), _flat(velocity), momentum, rate)


def adagrad(w: np.ndarray, dw: np.ndarray, cache: np.ndarray, rate: float, epsilon: float, scratch: np.ndarray) -> None:
    """``cache += dw**2; w -= rate * dw / (sqrt(cache) + epsilon)``."""
    rules.adagrad(_flat(w), _flat(dw), _flat(cache), rate, epsilon)


def adadelta(
    w: np.ndarray, dw: np.ndarray, cache: np.ndarray, delta: np.ndarray, decay: float, rate: float, epsilon: float,
    scratch: np.ndarray,
) -> None:  # fmt: skip
    """``step = sqrt(delta + epsilon) / sqrt(cache + epsilon) * dw; w -= rate * step``, between two updates.

    ``cache = decay * cache + (1 - decay) * dw**2`` before, ``delta = decay * delta + (1 - decay) * step**2`` after.
    """
    rules.adadelta(_flat(w), _flat(dw), _flat(cache), _flat(delta), decay, rate, epsilon)


def adamax(
    w: np.ndarray, dw: np.ndarray, m: np.ndarray, u: np.ndarray, beta1: float, beta2: float, rate: float,
    epsilon: float, scratch: np.ndarray,
) -> None:  # fmt: skip
    """``w -= rate * m / (u + epsilon)``, with both averages brought up to date first.

    ``m = beta1 * m + (1 - beta1) * dw; u = max(beta2 * u, abs(dw))``.
    """
    rules.adamax(_flat(w), _flat(dw), _flat(m), _flat(u), beta1, beta2, rate, epsilon)


def lion(
    w: np.ndarray, dw: np.ndarray, m: np.ndarray, beta1: float, beta2: float, rate: float, scratch: np.ndarray
) -> None:
    """``w -= rate * sign(beta1 * m + (1 - beta1) * dw)``, then ``m = beta2 * m + (1 - beta2) * dw``."""
    rules.lion(_flat(w), _flat(dw), _flat(m), beta1, beta2, rate)

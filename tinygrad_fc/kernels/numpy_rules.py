"""The update rules in NumPy.

Every scalar is a Python float or a `scalar`, and every line writes into w, the state or scratch: nothing is allocated
(but by Adadelta), and float32 stays float32. Scalars are folded first, so that the arrays are passed over as few times
as the formula allows. Underflow is no fault in them: averages of gradients that have died away sink below the smallest
number, rightly and by design.
"""

from __future__ import annotations

import functools

import numpy as np


@functools.lru_cache(maxsize=512)
def scalar(value: float, dtype: np.dtype) -> np.ndarray:
    """Return a number as an array of no dimensions, read-only and shared: NumPy reads it sooner than a Python float."""
    number = np.array(value, dtype)
    number.flags.writeable = False
    return number


def _average(mean: np.ndarray, x: np.ndarray, decay: float, scratch: np.ndarray) -> None:
    """``mean = decay * mean + (1 - decay) * x``."""
    np.multiply(mean, scalar(decay, x.dtype), mean)
    np.multiply(x, scalar(1.0 - decay, x.dtype), scratch)
    np.add(mean, scratch, mean)


def _average_square(mean: np.ndarray, x: np.ndarray, decay: float, scratch: np.ndarray) -> None:
    """``mean = decay * mean + (1 - decay) * x**2``; `x` may be scratch."""
    np.multiply(mean, scalar(decay, x.dtype), mean)
    np.square(x, scratch)
    np.multiply(scratch, scalar(1.0 - decay, x.dtype), scratch)
    np.add(mean, scratch, mean)


def _descend(
    w: np.ndarray, slope: np.ndarray, square: np.ndarray, rate: float, epsilon: float, scratch: np.ndarray
) -> None:
    """``w -= rate * slope / (sqrt(square) + epsilon)``."""
    np.sqrt(square, scratch)
    np.add(scratch, epsilon, scratch)
    np.divide(slope, scratch, scratch)
    np.multiply(scratch, rate, scratch)
    np.subtract(w, scratch, w)


@np.errstate(under="ignore")
def sgd(w: np.ndarray, dw: np.ndarray, rate: float, scratch: np.ndarray) -> None:
    """``w -= rate * dw``."""
    np.multiply(dw, rate, scratch)
    np.subtract(w, scratch, w)


@np.errstate(under="ignore")
def sgd_momentum(
    w: np.ndarray, dw: np.ndarray, velocity: np.ndarray, momentum: float, rate: float, scratch: np.ndarray
) -> None:
    """``velocity = momentum * velocity - rate * dw; w += velocity``."""
    np.multiply(velocity, scalar(momentum, w.dtype), velocity)
    np.multiply(dw, rate, scratch)
    np.subtract(velocity, scratch, velocity)
    np.add(w, velocity, w)


@np.errstate(under="ignore")
def rmsprop(
    w: np.ndarray, dw: np.ndarray, cache: np.ndarray, decay: float, rate: float, epsilon: float, scratch: np.ndarray
) -> None:
    """``cache = decay * cache + (1 - decay) * dw**2; w -= rate * dw / (sqrt(cache) + epsilon)``."""
    _average_square(cache, dw, decay, scratch)
    _descend(w, dw, cache, rate, epsilon, scratch)


@np.errstate(under="ignore")
def adam(
    w: np.ndarray, dw: np.ndarray, m: np.ndarray, v: np.ndarray, beta1: float, beta2: float, rate: float,
    epsilon: float, scratch: np.ndarray,
) -> None:  # fmt: skip
    """``w -= rate * m / (sqrt(v) + epsilon)``, with both moments brought up to date first.

    ``m = beta1 * m + (1 - beta1) * dw; v = beta2 * v + (1 - beta2) * dw**2``.
    """
    _average(m, dw, beta1, scratch)
    _average_square(v, dw, beta2, scratch)
    _descend(w, m, v, rate, epsilon, scratch)


@np.errstate(under="ignore")
def sgd_nesterov(
    w: np.ndarray, dw: np.ndarray, velocity: np.ndarray, momentum: float, rate: float, scratch: np.ndarray
) -> None:
    """``velocity = momentum * velocity - rate * dw; w += momentum * velocity - rate * dw``."""
    np.multiply(velocity, scalar(momentum, w.dtype), velocity)
    np.multiply(dw, rate, scratch)
    np.subtract(velocity, scratch, velocity)
    np.subtract(w, scratch, w)
    np.multiply(velocity, scalar(momentum, w.dtype), scratch)
    np.add(w, scratch, w)


@np.errstate(under="ignore")
def adagrad(w: np.ndarray, dw: np.ndarray, cache: np.ndarray, rate: float, epsilon: float, scratch: np.ndarray) -> None:
    """``cache += dw**2; w -= rate * dw / (sqrt(cache) + epsilon)``."""
    np.square(dw, scratch)
    np.add(cache, scratch, cache)
    _descend(w, dw, cache, rate, epsilon, scratch)


@np.errstate(under="ignore")
def adadelta(
    w: np.ndarray, dw: np.ndarray, cache: np.ndarray, delta: np.ndarray, decay: float, rate: float, epsilon: float,
    scratch: np.ndarray,
) -> None:  # fmt: skip
    """``step = sqrt(delta + epsilon) / sqrt(cache + epsilon) * dw; w -= rate * step``, between two updates.

    ``cache = decay * cache + (1 - decay) * dw**2`` before, ``delta = decay * delta + (1 - decay) * step**2`` after.
    """
    _average_square(cache, dw, decay, scratch)
    step = np.empty_like(scratch)  # the one rule that needs a second buffer, and the only array that rules allocate
    np.add(delta, epsilon, step)
    np.sqrt(step, step)
    np.add(cache, epsilon, scratch)
    np.sqrt(scratch, scratch)
    np.divide(step, scratch, step)
    np.multiply(step, dw, step)
    np.multiply(step, rate, scratch)
    np.subtract(w, scratch, w)
    _average_square(delta, step, decay, step)


@np.errstate(under="ignore")
def adamax(
    w: np.ndarray, dw: np.ndarray, m: np.ndarray, u: np.ndarray, beta1: float, beta2: float, rate: float,
    epsilon: float, scratch: np.ndarray,
) -> None:  # fmt: skip
    """``w -= rate * m / (u + epsilon)``, with both averages brought up to date first.

    ``m = beta1 * m + (1 - beta1) * dw; u = max(beta2 * u, abs(dw))``.
    """
    _average(m, dw, beta1, scratch)
    np.multiply(u, scalar(beta2, w.dtype), u)
    np.abs(dw, scratch)
    np.maximum(u, scratch, out=u)
    np.add(u, epsilon, scratch)
    np.divide(m, scratch, scratch)
    np.multiply(scratch, rate, scratch)
    np.subtract(w, scratch, w)


@np.errstate(under="ignore")
def lion(
    w: np.ndarray, dw: np.ndarray, m: np.ndarray, beta1: float, beta2: float, rate: float, scratch: np.ndarray
) -> None:
    """``w -= rate * sign(beta1 * m + (1 - beta1) * dw)``, then ``m = beta2 * m + (1 - beta2) * dw``."""
    # Of the first mean only the sign counts: divided by 1 - beta1, it needs one buffer and not two.
    np.multiply(m, scalar(beta1 / (1.0 - beta1), w.dtype), scratch)
    np.add(scratch, dw, scratch)
    np.sign(scratch, scratch)
    np.multiply(scratch, rate, scratch)
    np.subtract(w, scratch, w)
    _average(m, dw, beta2, scratch)

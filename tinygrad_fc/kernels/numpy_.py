"""The update rules in NumPy, in place.

Every scalar is a Python float, and every line writes into w, the state or scratch: nothing is allocated, and float32
stays float32. Scalars are folded first, so that the arrays are passed over as few times as the formula allows.
"""

from __future__ import annotations

import numpy as np


def sgd(w: np.ndarray, dw: np.ndarray, rate: float, scratch: np.ndarray) -> None:
    """``w -= rate * dw``."""
    np.multiply(dw, rate, scratch)
    np.subtract(w, scratch, w)


def sgd_momentum(
    w: np.ndarray, dw: np.ndarray, velocity: np.ndarray, momentum: float, rate: float, scratch: np.ndarray
) -> None:
    """``velocity = momentum * velocity - rate * dw; w += velocity``."""
    np.multiply(velocity, momentum, velocity)
    np.multiply(dw, rate, scratch)
    np.subtract(velocity, scratch, velocity)
    np.add(w, velocity, w)


def rmsprop(
    w: np.ndarray, dw: np.ndarray, cache: np.ndarray, decay: float, rate: float, epsilon: float, scratch: np.ndarray
) -> None:
    """``cache = decay * cache + (1 - decay) * dw**2; w -= rate * dw / (sqrt(cache) + epsilon)``."""
    np.multiply(cache, decay, cache)
    np.multiply(dw, dw, scratch)
    np.multiply(scratch, 1.0 - decay, scratch)
    np.add(cache, scratch, cache)
    np.sqrt(cache, scratch)
    np.add(scratch, epsilon, scratch)
    np.divide(dw, scratch, scratch)
    np.multiply(scratch, rate, scratch)
    np.subtract(w, scratch, w)


def adam(
    w: np.ndarray, dw: np.ndarray, m: np.ndarray, v: np.ndarray, beta1: float, beta2: float, rate: float,
    epsilon: float, scratch: np.ndarray,
) -> None:  # fmt: skip
    """``w -= rate * m / (sqrt(v) + epsilon)``, with both moments brought up to date first.

    ``m = beta1 * m + (1 - beta1) * dw; v = beta2 * v + (1 - beta2) * dw**2``.
    """
    np.multiply(m, beta1, m)
    np.multiply(dw, 1.0 - beta1, scratch)
    np.add(m, scratch, m)
    np.multiply(v, beta2, v)
    np.multiply(dw, dw, scratch)
    np.multiply(scratch, 1.0 - beta2, scratch)
    np.add(v, scratch, v)
    np.sqrt(v, scratch)
    np.add(scratch, epsilon, scratch)
    np.divide(m, scratch, scratch)
    np.multiply(scratch, rate, scratch)
    np.subtract(w, scratch, w)

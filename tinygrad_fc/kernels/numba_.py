"""The update rules as one compiled pass each, with Numba; compiled at the first call and cached on disk.

The loops run on one thread: at 5 million float32 parameters they already wait for the memory, and a second thread would
have to be woken beside those of the matrix products. Scalars are cast to the arrays' dtype, so float32 stays float32.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

# "contract" lets the compiler fuse a product and a sum into one rounding; nothing else is reordered.
_compile: Any = numba.njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")


@_compile
def _sgd(w, dw, rate):  # type: ignore[no-untyped-def]  # Numba infers the types
    for i in range(w.size):
        w[i] -= rate * dw[i]


@_compile
def _sgd_momentum(w, dw, velocity, momentum, rate):  # type: ignore[no-untyped-def]  # as above
    for i in range(w.size):
        step = momentum * velocity[i] - rate * dw[i]
        velocity[i] = step
        w[i] += step


@_compile
def _rmsprop(w, dw, cache, decay, rest, rate, epsilon):  # type: ignore[no-untyped-def]  # as above
    for i in range(w.size):
        mean = decay * cache[i] + rest * (dw[i] * dw[i])
        cache[i] = mean
        w[i] -= rate * (dw[i] / (math.sqrt(mean) + epsilon))


@_compile
def _adam(w, dw, m, v, beta1, rest1, beta2, rest2, rate, epsilon):  # type: ignore[no-untyped-def]  # as above
    for i in range(w.size):
        first = beta1 * m[i] + rest1 * dw[i]
        second = beta2 * v[i] + rest2 * (dw[i] * dw[i])
        m[i] = first
        v[i] = second
        w[i] -= rate * (first / (math.sqrt(second) + epsilon))


def sgd(w: np.ndarray, dw: np.ndarray, rate: float, scratch: np.ndarray) -> None:
    """``w -= rate * dw``."""
    _sgd(w.reshape(-1), dw.reshape(-1), w.dtype.type(rate))


def sgd_momentum(
    w: np.ndarray, dw: np.ndarray, velocity: np.ndarray, momentum: float, rate: float, scratch: np.ndarray
) -> None:
    """``velocity = momentum * velocity - rate * dw; w += velocity``."""
    kind = w.dtype.type
    _sgd_momentum(w.reshape(-1), dw.reshape(-1), velocity.reshape(-1), kind(momentum), kind(rate))


def rmsprop(
    w: np.ndarray, dw: np.ndarray, cache: np.ndarray, decay: float, rate: float, epsilon: float, scratch: np.ndarray
) -> None:
    """``cache = decay * cache + (1 - decay) * dw**2; w -= rate * dw / (sqrt(cache) + epsilon)``."""
    kind = w.dtype.type
    _rmsprop(
        w.reshape(-1), dw.reshape(-1), cache.reshape(-1), kind(decay), kind(1.0 - decay), kind(rate), kind(epsilon)
    )


def adam(
    w: np.ndarray, dw: np.ndarray, m: np.ndarray, v: np.ndarray, beta1: float, beta2: float, rate: float,
    epsilon: float, scratch: np.ndarray,
) -> None:  # fmt: skip
    """``w -= rate * m / (sqrt(v) + epsilon)``, with both moments brought up to date first.

    ``m = beta1 * m + (1 - beta1) * dw; v = beta2 * v + (1 - beta2) * dw**2``.
    """
    kind = w.dtype.type
    _adam(
        w.reshape(-1), dw.reshape(-1), m.reshape(-1), v.reshape(-1), kind(beta1), kind(1.0 - beta1), kind(beta2),
        kind(1.0 - beta2), kind(rate), kind(epsilon),
    )  # fmt: skip

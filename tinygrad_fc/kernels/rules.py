"""The compiled loops of the update rules; each passes once over a part of its arrays. See `loops`.

What the rules keep decays where gradients stay away, towards numbers so small that they have fewer digits, and
arithmetic on those takes many times as long: with half of them, Adam takes five times as long. They are made 0.
"""

from __future__ import annotations

import math

import numpy as np

from .compiling import compile_


@compile_
def _normal(value, tiny):  # type: ignore[no-untyped-def]  # Numba infers the types
    return value if abs(value) >= tiny or value != value else value - value


@compile_
def sgd(w, dw, rate):  # type: ignore[no-untyped-def]  # as above
    """See `numpy_.sgd`."""
    rate = w.dtype.type(rate)
    for i in range(w.size):
        w[i] -= rate * dw[i]


@compile_
def sgd_momentum(w, dw, velocity, momentum, rate):  # type: ignore[no-untyped-def]  # as above
    """See `numpy_.sgd_momentum`."""
    momentum, rate, tiny = w.dtype.type(momentum), w.dtype.type(rate), np.finfo(w.dtype).tiny
    for i in range(w.size):
        step = _normal(momentum * velocity[i] - rate * dw[i], tiny)
        velocity[i] = step
        w[i] += step


@compile_
def sgd_nesterov(w, dw, velocity, momentum, rate):  # type: ignore[no-untyped-def]  # as above
    """See `numpy_.sgd_nesterov`."""
    momentum, rate, tiny = w.dtype.type(momentum), w.dtype.type(rate), np.finfo(w.dtype).tiny
    for i in range(w.size):
        step = rate * dw[i]
        speed = _normal(momentum * velocity[i] - step, tiny)
        velocity[i] = speed
        w[i] += momentum * speed - step


@compile_
def rmsprop(w, dw, cache, decay, rate, epsilon):  # type: ignore[no-untyped-def]  # as above
    """See `numpy_.rmsprop`."""
    kind, tiny = w.dtype.type, np.finfo(w.dtype).tiny
    decay, rest, rate, epsilon = kind(decay), kind(1.0 - decay), kind(rate), kind(epsilon)
    for i in range(w.size):
        mean = _normal(decay * cache[i] + rest * (dw[i] * dw[i]), tiny)
        cache[i] = mean
        w[i] -= rate * (dw[i] / (math.sqrt(mean) + epsilon))


@compile_
def adam(w, dw, m, v, beta1, beta2, rate, epsilon):  # type: ignore[no-untyped-def]  # as above
    """See `numpy_.adam`."""
    kind, tiny = w.dtype.type, np.finfo(w.dtype).tiny
    rest1, rest2 = kind(1.0 - beta1), kind(1.0 - beta2)
    beta1, beta2, rate, epsilon = kind(beta1), kind(beta2), kind(rate), kind(epsilon)
    for i in range(w.size):
        first = _normal(beta1 * m[i] + rest1 * dw[i], tiny)
        second = _normal(beta2 * v[i] + rest2 * (dw[i] * dw[i]), tiny)
        m[i] = first
        v[i] = second
        w[i] -= rate * (first / (math.sqrt(second) + epsilon))


@compile_
def adagrad(w, dw, cache, rate, epsilon):  # type: ignore[no-untyped-def]  # as above
    """See `numpy_.adagrad`."""
    rate, epsilon = w.dtype.type(rate), w.dtype.type(epsilon)
    for i in range(w.size):
        total = cache[i] + dw[i] * dw[i]
        cache[i] = total
        w[i] -= rate * (dw[i] / (math.sqrt(total) + epsilon))


@compile_
def adadelta(w, dw, cache, delta, decay, rate, epsilon):  # type: ignore[no-untyped-def]  # as above
    """See `numpy_.adadelta`."""
    kind, tiny = w.dtype.type, np.finfo(w.dtype).tiny
    decay, rest, rate, epsilon = kind(decay), kind(1.0 - decay), kind(rate), kind(epsilon)
    for i in range(w.size):
        mean = _normal(decay * cache[i] + rest * (dw[i] * dw[i]), tiny)
        cache[i] = mean
        step = math.sqrt(delta[i] + epsilon) / math.sqrt(mean + epsilon) * dw[i]
        w[i] -= rate * step
        delta[i] = _normal(decay * delta[i] + rest * (step * step), tiny)


@compile_
def adamax(w, dw, m, u, beta1, beta2, rate, epsilon):  # type: ignore[no-untyped-def]  # as above
    """See `numpy_.adamax`."""
    kind, tiny = w.dtype.type, np.finfo(w.dtype).tiny
    rest1 = kind(1.0 - beta1)
    beta1, beta2, rate, epsilon = kind(beta1), kind(beta2), kind(rate), kind(epsilon)
    for i in range(w.size):
        first = _normal(beta1 * m[i] + rest1 * dw[i], tiny)
        m[i] = first
        bound, size = _normal(beta2 * u[i], tiny), abs(dw[i])
        if size > bound or size != size:  # NaN stays
            bound = size
        u[i] = bound
        w[i] -= rate * (first / (bound + epsilon))


@compile_
def lion(w, dw, m, beta1, beta2, rate):  # type: ignore[no-untyped-def]  # as above
    """See `numpy_.lion`."""
    kind, tiny = w.dtype.type, np.finfo(w.dtype).tiny
    ratio, rest2 = kind(beta1 / (1.0 - beta1)), kind(1.0 - beta2)
    beta2, rate, zero = kind(beta2), kind(rate), kind(0)
    for i in range(w.size):
        mean = ratio * m[i] + dw[i]
        if mean > zero:
            w[i] -= rate
        elif mean < zero:
            w[i] += rate
        elif mean != mean:  # NaN stays
            w[i] = mean
        m[i] = _normal(beta2 * m[i] + rest2 * dw[i], tiny)

"""The inner loops compiled with Numba, one pass over the arrays each; compiled at the first call and cached on disk.

The loops run on one thread: at 5 million float32 parameters they already wait for the memory, and a second thread would
have to be woken beside those of the matrix products. Scalars are cast to the arrays' dtype, so float32 stays float32.
Exponentials are NumPy's, whose vectorised ones are several times as fast as a compiled loop's.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from .numpy_ import ones as ones

# "contract" lets the compiler fuse a product and a sum into one rounding; nothing else is reordered.
_compile: Any = numba.njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
# Where a last bit decides between two signs, every product and every sum is rounded, as NumPy's are.
_compile_exactly: Any = numba.njit(cache=True, nogil=True, error_model="numpy")


@_compile
def _sgd(w, dw, rate):  # type: ignore[no-untyped-def]  # Numba infers the types
    rate = w.dtype.type(rate)
    for i in range(w.size):
        w[i] -= rate * dw[i]


@_compile
def _sgd_momentum(w, dw, velocity, momentum, rate):  # type: ignore[no-untyped-def]  # as above
    momentum, rate = w.dtype.type(momentum), w.dtype.type(rate)
    for i in range(w.size):
        step = momentum * velocity[i] - rate * dw[i]
        velocity[i] = step
        w[i] += step


@_compile
def _sgd_nesterov(w, dw, velocity, momentum, rate):  # type: ignore[no-untyped-def]  # as above
    momentum, rate = w.dtype.type(momentum), w.dtype.type(rate)
    for i in range(w.size):
        step = rate * dw[i]
        speed = momentum * velocity[i] - step
        velocity[i] = speed
        w[i] += momentum * speed - step


@_compile
def _rmsprop(w, dw, cache, decay, rate, epsilon):  # type: ignore[no-untyped-def]  # as above
    kind = w.dtype.type
    decay, rest, rate, epsilon = kind(decay), kind(1.0 - decay), kind(rate), kind(epsilon)
    for i in range(w.size):
        mean = decay * cache[i] + rest * (dw[i] * dw[i])
        cache[i] = mean
        w[i] -= rate * (dw[i] / (math.sqrt(mean) + epsilon))


@_compile
def _adam(w, dw, m, v, beta1, beta2, rate, epsilon):  # type: ignore[no-untyped-def]  # as above
    kind = w.dtype.type
    rest1, rest2 = kind(1.0 - beta1), kind(1.0 - beta2)
    beta1, beta2, rate, epsilon = kind(beta1), kind(beta2), kind(rate), kind(epsilon)
    for i in range(w.size):
        first = beta1 * m[i] + rest1 * dw[i]
        second = beta2 * v[i] + rest2 * (dw[i] * dw[i])
        m[i] = first
        v[i] = second
        w[i] -= rate * (first / (math.sqrt(second) + epsilon))


@_compile
def _adagrad(w, dw, cache, rate, epsilon):  # type: ignore[no-untyped-def]  # as above
    rate, epsilon = w.dtype.type(rate), w.dtype.type(epsilon)
    for i in range(w.size):
        total = cache[i] + dw[i] * dw[i]
        cache[i] = total
        w[i] -= rate * (dw[i] / (math.sqrt(total) + epsilon))


@_compile
def _adadelta(w, dw, cache, delta, decay, rate, epsilon):  # type: ignore[no-untyped-def]  # as above
    kind = w.dtype.type
    decay, rest, rate, epsilon = kind(decay), kind(1.0 - decay), kind(rate), kind(epsilon)
    for i in range(w.size):
        mean = decay * cache[i] + rest * (dw[i] * dw[i])
        cache[i] = mean
        step = math.sqrt(delta[i] + epsilon) / math.sqrt(mean + epsilon) * dw[i]
        w[i] -= rate * step
        delta[i] = decay * delta[i] + rest * (step * step)


@_compile
def _adamax(w, dw, m, u, beta1, beta2, rate, epsilon):  # type: ignore[no-untyped-def]  # as above
    kind = w.dtype.type
    rest1 = kind(1.0 - beta1)
    beta1, beta2, rate, epsilon = kind(beta1), kind(beta2), kind(rate), kind(epsilon)
    for i in range(w.size):
        first = beta1 * m[i] + rest1 * dw[i]
        m[i] = first
        bound, size = beta2 * u[i], abs(dw[i])
        if size > bound or size != size:  # NaN stays
            bound = size
        u[i] = bound
        w[i] -= rate * (first / (bound + epsilon))


@_compile_exactly
def _lion(w, dw, m, ratio, beta2, rest2, rate):  # type: ignore[no-untyped-def]  # as above
    kind = w.dtype.type
    ratio, beta2, rest2, rate, zero = kind(ratio), kind(beta2), kind(rest2), kind(rate), kind(0)
    for i in range(w.size):
        mean = ratio * m[i] + dw[i]
        if mean > zero:
            w[i] -= rate
        elif mean < zero:
            w[i] += rate
        elif mean != mean:  # NaN stays
            w[i] = mean
        m[i] = beta2 * m[i] + rest2 * dw[i]


@_compile
def bias(out, b):  # type: ignore[no-untyped-def]  # as above
    """``out += b``, for each row."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] += b[j]


@_compile
def bias_relu(out, b):  # type: ignore[no-untyped-def]  # as above
    """``out = max(out + b, 0)``, for each row; NaN stays."""
    zero = out.dtype.type(0)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            z = out[i, j] + b[j]
            out[i, j] = zero if z <= zero else z


@_compile
def _relu_gradient(g, out, d):  # type: ignore[no-untyped-def]  # as above
    zero = g.dtype.type(0)
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            d[i, j] = g[i, j] if out[i, j] != zero else zero


def relu_gradient(g: np.ndarray, out: np.ndarray) -> np.ndarray:
    """``g * (out != 0)``; `out` is relu's result, so never negative, and NaN passes."""
    d = np.empty_like(g)  # NumPy's own memory: an array that compiled code makes counts as a view of something
    _relu_gradient(g, out, d)
    return d


@_compile
def _outside(y, count):  # type: ignore[no-untyped-def]  # as above
    for label in y:
        if label < 0 or label >= count:
            return True
    return False


def outside(y: np.ndarray, count: int) -> bool:
    """Whether any of the labels y, integers and at least one, is not in 0 to count - 1."""
    return bool(_outside(y.astype(np.intp, copy=False), count))


@_compile
def _shift(x, y, shifted):  # type: ignore[no-untyped-def]  # as above
    right = x.dtype.type(0)
    for i in range(x.shape[0]):
        top = x[i, 0]
        for j in range(1, x.shape[1]):
            if x[i, j] > top or x[i, j] != x[i, j]:
                top = x[i, j]
        for j in range(x.shape[1]):
            shifted[i, j] = x[i, j] - top
        right += shifted[i, y[i]]
    return right


@_compile
def _normalise(slope, y, right):  # type: ignore[no-untyped-def]  # as above
    count = slope.dtype.type(slope.shape[0])
    one = slope.dtype.type(1)
    logs = slope.dtype.type(0)
    for i in range(slope.shape[0]):
        total = slope.dtype.type(0)
        for j in range(slope.shape[1]):
            total += slope[i, j]
        logs += math.log(total)
        scale = one / (total * count)
        for j in range(slope.shape[1]):
            slope[i, j] *= scale
        slope[i, y[i]] -= one / count
    return (logs - right) / count


@np.errstate(under="ignore")
def softmax_loss(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean cross-entropy of the softmax of each row of x against labels y, and its slope in x."""
    slope = np.empty_like(x)
    right = _shift(x, y, slope)
    np.exp(slope, slope)
    loss = _normalise(slope, y, right)
    return np.array(loss, x.dtype), slope


def _flat(array: np.ndarray) -> np.ndarray:
    return array if array.ndim == 1 else array.reshape(-1)


def sgd(w: np.ndarray, dw: np.ndarray, rate: float, scratch: np.ndarray) -> None:
    """``w -= rate * dw``."""
    _sgd(_flat(w), _flat(dw), rate)


def sgd_momentum(
    w: np.ndarray, dw: np.ndarray, velocity: np.ndarray, momentum: float, rate: float, scratch: np.ndarray
) -> None:
    """``velocity = momentum * velocity - rate * dw; w += velocity``."""
    _sgd_momentum(_flat(w), _flat(dw), _flat(velocity), momentum, rate)


def rmsprop(
    w: np.ndarray, dw: np.ndarray, cache: np.ndarray, decay: float, rate: float, epsilon: float, scratch: np.ndarray
) -> None:
    """``cache = decay * cache + (1 - decay) * dw**2; w -= rate * dw / (sqrt(cache) + epsilon)``."""
    _rmsprop(_flat(w), _flat(dw), _flat(cache), decay, rate, epsilon)


def adam(
    w: np.ndarray, dw: np.ndarray, m: np.ndarray, v: np.ndarray, beta1: float, beta2: float, rate: float,
    epsilon: float, scratch: np.ndarray,
) -> None:  # fmt: skip
    """``w -= rate * m / (sqrt(v) + epsilon)``, with both moments brought up to date first.

    ``m = beta1 * m + (1 - beta1) * dw; v = beta2 * v + (1 - beta2) * dw**2``.
    """
    _adam(_flat(w), _flat(dw), _flat(m), _flat(v), beta1, beta2, rate, epsilon)


def sgd_nesterov(
    w: np.ndarray, dw: np.ndarray, velocity: np.ndarray, momentum: float, rate: float, scratch: np.ndarray
) -> None:
    """``velocity = momentum * velocity - rate * dw; w += momentum * velocity - rate * dw``."""
    _sgd_nesterov(_flat(w), _flat(dw), _flat(velocity), momentum, rate)


def adagrad(w: np.ndarray, dw: np.ndarray, cache: np.ndarray, rate: float, epsilon: float, scratch: np.ndarray) -> None:
    """``cache += dw**2; w -= rate * dw / (sqrt(cache) + epsilon)``."""
    _adagrad(_flat(w), _flat(dw), _flat(cache), rate, epsilon)


def adadelta(
    w: np.ndarray, dw: np.ndarray, cache: np.ndarray, delta: np.ndarray, decay: float, rate: float, epsilon: float,
    scratch: np.ndarray,
) -> None:  # fmt: skip
    """``step = sqrt(delta + epsilon) / sqrt(cache + epsilon) * dw; w -= rate * step``, between two updates.

    ``cache = decay * cache + (1 - decay) * dw**2`` before, ``delta = decay * delta + (1 - decay) * step**2`` after.
    """
    _adadelta(_flat(w), _flat(dw), _flat(cache), _flat(delta), decay, rate, epsilon)


def adamax(
    w: np.ndarray, dw: np.ndarray, m: np.ndarray, u: np.ndarray, beta1: float, beta2: float, rate: float,
    epsilon: float, scratch: np.ndarray,
) -> None:  # fmt: skip
    """``w -= rate * m / (u + epsilon)``, with both averages brought up to date first.

    ``m = beta1 * m + (1 - beta1) * dw; u = max(beta2 * u, abs(dw))``.
    """
    _adamax(_flat(w), _flat(dw), _flat(m), _flat(u), beta1, beta2, rate, epsilon)


def lion(
    w: np.ndarray, dw: np.ndarray, m: np.ndarray, beta1: float, beta2: float, rate: float, scratch: np.ndarray
) -> None:
    """``w -= rate * sign(beta1 * m + (1 - beta1) * dw)``, then ``m = beta2 * m + (1 - beta2) * dw``."""
    _lion(_flat(w), _flat(dw), _flat(m), beta1 / (1.0 - beta1), beta2, 1.0 - beta2, rate)

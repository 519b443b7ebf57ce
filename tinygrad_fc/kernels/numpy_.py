"""The inner loops in NumPy.

In the update rules every scalar is a Python float, and every line writes into w, the state or scratch: nothing is
allocated (but by Adadelta), and float32 stays float32. Scalars are folded first, so that the arrays are passed over as
few times as the formula allows. Underflow is no fault in them, nor in a softmax: averages of gradients that have died
away, and the probabilities of hopeless classes, sink below the smallest number, rightly and by design.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np


@functools.lru_cache(maxsize=64)
def ones(count: int, dtype: np.dtype) -> np.ndarray:
    """Return `count` ones, read-only and shared: a product with them sums an axis in half the time of a reduction."""
    row = np.ones(count, dtype)
    row.flags.writeable = False
    return row


_LARGE_RESULT = 32_768  # elements; see `product`
_LONG = 2_048  # elements; see `half_squares`
# Multiplications from which compiled kernels share a product among threads: what OpenBLAS begins to share, too.
SMALL_PRODUCT = 262_145


def product(a: np.ndarray, b: np.ndarray) -> Any:
    """Return ``a @ b`` of two matrices. ``dot`` starts sooner than ``@`` does.

    Into a large result ``dot`` is the slower one, since it fills it with zeros before: by a fifth to a half for a
    megabyte and an inner length of 10, by a twentieth where the product itself takes long.
    """
    return a.dot(b) if len(a) * b.shape[1] < _LARGE_RESULT else a @ b


def is_small(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether ``a.dot(b)`` is the product of two matrices for everybody: small, and with no matrix that is a vector."""
    m, n = a.shape[0], b.shape[1]
    return m > 1 and n > 1 and a.size * n < SMALL_PRODUCT and a.shape[1] > 1


def bias(out: np.ndarray, b: np.ndarray) -> None:
    """``out += b``, for each row."""
    np.add(out, b, out)


def bias_relu(out: np.ndarray, b: np.ndarray) -> None:
    """``out = max(out + b, 0)``, for each row."""
    np.add(out, b, out)
    np.maximum(out, 0.0, out=out)


def affine(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> Any:
    """Return ``x @ w + b``."""
    out = product(x, w)
    bias(out, b)
    return out


def affine_relu(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> Any:
    """Return ``max(x @ w + b, 0)``."""
    out = product(x, w)
    bias_relu(out, b)
    return out


def sum_rows(g: np.ndarray) -> Any:
    """Return ``g.sum(axis=0)``: as a product, in half the time of `np.add.reduce`."""
    return ones(len(g), g.dtype).dot(g)


def relu(x: np.ndarray) -> Any:
    """Return ``max(x, 0)``."""
    return np.maximum(x, 0)


def relu_gradient(g: np.ndarray, out: np.ndarray) -> np.ndarray:
    """``g * (out != 0)``; `out` is relu's result, so never negative, and NaN passes."""
    return g * (out != 0)


def batch_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float) -> tuple[Any, ...]:
    """Return x normalized over its rows, and what is left: the normalized x, the rate, the mean and the variance."""
    mean = sum_rows(x) / len(x)
    normal = x - mean
    variance = sum_rows(normal * normal) / len(x)
    rate = 1.0 / np.sqrt(variance + eps)
    normal *= rate
    out = normal * gamma
    return np.add(out, beta, out=out if np.result_type(out, beta) == out.dtype else None), normal, rate, mean, variance


def batch_norm_gradient(
    g: np.ndarray, gamma: np.ndarray, normal: np.ndarray, rate: np.ndarray
) -> tuple[Any, Any, Any]:
    """Return the gradients of `batch_norm` in x, gamma and beta."""
    total, along = sum_rows(g), sum_rows(g * normal)
    d = normal * (along / -len(g))
    d += g
    d -= total / len(g)
    d *= gamma * rate
    return d, along, total


def keep(key: np.ndarray, limit: int, mask: np.ndarray) -> None:
    """Draw a mask: an element stays where its number, of 53 bits, is below the limit.

    Parameters
    ----------
    key : ndarray of uint64, shape (1,)
        Which mask.
    limit : int
        The share that stays, times 2**53.
    mask : ndarray of bool
        Is written, in its elements' order.

    Notes
    -----
    The generator is SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014,
    figure 17), whose n-th number is a mix of the key plus n times a constant: threads draw parts of one mask.
    """
    z = np.arange(1, mask.size + 1, dtype=np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += key
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    z >>= np.uint64(11)
    np.less(z.reshape(mask.shape), np.uint64(limit), out=mask)


def drop(x: np.ndarray, mask: np.ndarray, scale: float) -> np.ndarray:
    """Return ``x * mask * scale``."""
    out = x * mask
    out *= scale
    return out


def half_squares(w: np.ndarray, factor: float) -> Any:
    """Return ``0.5 * factor * sum(w ** 2)``."""
    flat = w.reshape(-1)
    # A sum in pairs rounds least, and as the course's does; for a large weight its product with itself is quicker.
    square = flat @ flat if flat.size >= _LONG else np.add.reduce(flat * flat)
    return 0.5 * factor * square


def outside(y: np.ndarray, count: int) -> bool:
    """Whether any of the labels y, integers and at least one, is not in 0 to count - 1."""
    # As unsigned numbers, negative labels are huge: one pass finds both faults.
    return bool(np.maximum.reduce(y.view(f"{y.dtype.byteorder}u{y.itemsize}")) >= count)


@functools.lru_cache(maxsize=64)
def starts(count: int, length: int) -> np.ndarray:
    """Return where each of `count` rows of `length` starts in the flat array, read-only and shared."""
    first = np.arange(0, count * length, length)
    first.flags.writeable = False
    return first


@np.errstate(under="ignore")
def softmax_loss(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean cross-entropy of the softmax of each row of x against labels y, and its slope in x."""
    count, classes = x.shape
    slope = np.subtract(x, np.maximum.reduce(x, axis=1, keepdims=True), order="C")
    flat, labelled = slope.reshape(-1), starts(count, classes) + y
    right = flat[labelled]
    np.exp(slope, out=slope)
    total = np.add.reduce(slope, axis=1)  # a product with ones would be quicker, and round differently in the last bit
    loss = np.add.reduce(np.log(total) - right) / count
    total *= count
    slope /= total[:, None]
    flat[labelled] -= 1.0 / count
    return loss, slope


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
    np.multiply(velocity, momentum, velocity)
    np.multiply(dw, rate, scratch)
    np.subtract(velocity, scratch, velocity)
    np.add(w, velocity, w)


@np.errstate(under="ignore")
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


@np.errstate(under="ignore")
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


@np.errstate(under="ignore")
def sgd_nesterov(
    w: np.ndarray, dw: np.ndarray, velocity: np.ndarray, momentum: float, rate: float, scratch: np.ndarray
) -> None:
    """``velocity = momentum * velocity - rate * dw; w += momentum * velocity - rate * dw``."""
    np.multiply(velocity, momentum, velocity)
    np.multiply(dw, rate, scratch)
    np.subtract(velocity, scratch, velocity)
    np.subtract(w, scratch, w)
    np.multiply(velocity, momentum, scratch)
    np.add(w, scratch, w)


@np.errstate(under="ignore")
def adagrad(w: np.ndarray, dw: np.ndarray, cache: np.ndarray, rate: float, epsilon: float, scratch: np.ndarray) -> None:
    """``cache += dw**2; w -= rate * dw / (sqrt(cache) + epsilon)``."""
    np.multiply(dw, dw, scratch)
    np.add(cache, scratch, cache)
    np.sqrt(cache, scratch)
    np.add(scratch, epsilon, scratch)
    np.divide(dw, scratch, scratch)
    np.multiply(scratch, rate, scratch)
    np.subtract(w, scratch, w)


@np.errstate(under="ignore")
def adadelta(
    w: np.ndarray, dw: np.ndarray, cache: np.ndarray, delta: np.ndarray, decay: float, rate: float, epsilon: float,
    scratch: np.ndarray,
) -> None:  # fmt: skip
    """``step = sqrt(delta + epsilon) / sqrt(cache + epsilon) * dw; w -= rate * step``, between two updates.

    ``cache = decay * cache + (1 - decay) * dw**2`` before, ``delta = decay * delta + (1 - decay) * step**2`` after.
    """
    np.multiply(cache, decay, cache)
    np.multiply(dw, dw, scratch)
    np.multiply(scratch, 1.0 - decay, scratch)
    np.add(cache, scratch, cache)
    step = np.empty_like(scratch)  # the one rule that needs a second buffer, and the only array that rules allocate
    np.add(delta, epsilon, step)
    np.sqrt(step, step)
    np.add(cache, epsilon, scratch)
    np.sqrt(scratch, scratch)
    np.divide(step, scratch, step)
    np.multiply(step, dw, step)
    np.multiply(step, rate, scratch)
    np.subtract(w, scratch, w)
    np.multiply(delta, decay, delta)
    np.multiply(step, step, step)
    np.multiply(step, 1.0 - decay, step)
    np.add(delta, step, delta)


@np.errstate(under="ignore")
def adamax(
    w: np.ndarray, dw: np.ndarray, m: np.ndarray, u: np.ndarray, beta1: float, beta2: float, rate: float,
    epsilon: float, scratch: np.ndarray,
) -> None:  # fmt: skip
    """``w -= rate * m / (u + epsilon)``, with both averages brought up to date first.

    ``m = beta1 * m + (1 - beta1) * dw; u = max(beta2 * u, abs(dw))``.
    """
    np.multiply(m, beta1, m)
    np.multiply(dw, 1.0 - beta1, scratch)
    np.add(m, scratch, m)
    np.multiply(u, beta2, u)
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
    np.multiply(m, beta1 / (1.0 - beta1), scratch)
    np.add(scratch, dw, scratch)
    np.sign(scratch, scratch)
    np.multiply(scratch, rate, scratch)
    np.subtract(w, scratch, w)
    np.multiply(m, beta2, m)
    np.multiply(dw, 1.0 - beta2, scratch)
    np.add(m, scratch, m)


def sum_of_squares(arrays: Sequence[np.ndarray]) -> float:
    """Return the sum of squares of contiguous arrays, by one call of BLAS for each."""
    return sum([float(np.vdot(x, x)) for x in arrays])

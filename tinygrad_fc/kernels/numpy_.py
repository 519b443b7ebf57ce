"""The inner loops in NumPy.

Those that compute an array allocate it, and what they need beside it, or write into the arrays that they are given: so
`passes` runs the same lines without allocating. Arguments of that kind are the last ones, and None by default. A number
may be given as such a `scalar`.

Underflow is no fault in a softmax: the probabilities of hopeless classes sink below the smallest number, rightly.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from . import numpy_rules as rules
from .codes import SMALL_PRODUCT
from .numpy_rules import scalar

Out: TypeAlias = Any  # an array to write into, or None


@functools.lru_cache(maxsize=64)
def ones(count: int, dtype: np.dtype) -> np.ndarray:
    """Return `count` ones, read-only and shared: a product with them sums an axis in half the time of a reduction."""
    row = np.ones(count, dtype)
    row.flags.writeable = False
    return row


_LARGE_RESULT = 32_768  # elements; see `product`
_LONG = 2_048  # elements; see `half_squares`
_FEW = 48  # classes; see `softmax_loss`


def product(a: np.ndarray, b: np.ndarray) -> Any:
    """Return ``a @ b`` of two matrices. ``dot`` starts sooner than ``@`` does.

    Into a large result ``dot`` is the slower one, since it fills it with zeros before: by a fifth to a half for a
    megabyte and an inner length of 10, by a twentieth where the product itself takes long. What is not `is_small` may
    be the work of MKL.
    """
    if a.size * b.shape[1] >= SMALL_PRODUCT:
        from . import products

        if (c := products.product(a, b)) is not None:
            return c
    return a.dot(b) if starts_soon(a, b) else a @ b


def starts_soon(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether ``dot`` is quicker than ``@`` for the product of two matrices; see `product`."""
    return len(a) * b.shape[1] < _LARGE_RESULT


def is_small(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether ``a.dot(b)`` is the product of two matrices for everybody: small, and with no matrix that is a vector."""
    m, n = a.shape[0], b.shape[1]
    return m > 1 and n > 1 and a.size * n < SMALL_PRODUCT and a.shape[1] > 1


def bias(out: np.ndarray, b: np.ndarray) -> None:
    """``out += b``, for each row."""
    np.add(out, b, out)


def bias_relu(out: np.ndarray, b: np.ndarray, zero: Any = 0.0) -> None:
    """``out = max(out + b, 0)``, for each row."""
    np.add(out, b, out)
    np.maximum(out, zero, out=out)


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


def sum_rows(g: np.ndarray, out: Out = None) -> Any:
    """Return ``g.sum(axis=0)``: as a product, in half the time of `np.add.reduce`."""
    return ones(len(g), g.dtype).dot(g, out)


def relu(x: np.ndarray, out: Out = None, zero: Any = 0) -> Any:
    """Return ``max(x, 0)``."""
    return np.maximum(x, zero, out=out)


def relu_gradient(
    g: np.ndarray, out: np.ndarray, d: Out = None, mask: Out = None, factor: Out = None, zero: Any = 0
) -> Any:
    """``g * (out != 0)``; `out` is relu's result, so never negative, and NaN passes.

    `mask`, of bools, and `factor`, of g's dtype, take what g is multiplied by.
    """
    mask = np.not_equal(out, zero, mask)
    if factor is None:
        return np.multiply(g, mask, d)
    factor[...] = mask  # a product with it is quicker than with bools, by more than this takes, unless memory is slow
    return np.multiply(g, factor, d)


def shifted(out: Any, beta: Any) -> Any:
    """Return ``out + beta``, in the memory of `out` where beta is no wider."""
    return np.add(out, beta, out=out if np.result_type(out, beta) == out.dtype else None)


def batch_norm(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float, out: Out = None, normal: Out = None,
    rate: Out = None, mean: Out = None, variance: Out = None,
) -> tuple[Any, ...]:  # fmt: skip
    """Return x normalized over its rows, and what is left: the normalized x, the rate, the mean and the variance."""
    mean = np.divide(sum_rows(x, mean), len(x), mean)
    normal = np.subtract(x, mean, normal)
    variance = np.divide(sum_rows(np.multiply(normal, normal, out), variance), len(x), variance)
    rate = np.add(variance, eps, rate)
    np.divide(1.0, np.sqrt(rate, rate), rate)
    np.multiply(normal, rate, normal)
    out = np.multiply(normal, gamma, out)
    return shifted(out, beta), normal, rate, mean, variance


def batch_norm_gradient(
    g: np.ndarray, gamma: np.ndarray, normal: np.ndarray, rate: np.ndarray, d: Out = None, along: Out = None,
    total: Out = None, row: Out = None,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Return the gradients of `batch_norm` in x, gamma and beta; `row` is as long as a row."""
    total, along = sum_rows(g, total), sum_rows(np.multiply(g, normal, d), along)
    d = np.multiply(normal, np.divide(along, -len(g), row), d)
    np.add(d, g, d)
    np.subtract(d, np.divide(total, len(g), row), d)
    np.multiply(d, np.multiply(gamma, rate, row), d)
    return d, along, total


def running(average: np.ndarray, batch: np.ndarray, momentum: float, room: Out = None) -> None:
    """``average = momentum * average + (1 - momentum) * batch``."""
    np.multiply(average, momentum, average)
    np.add(average, np.multiply(batch, 1.0 - momentum, room), average)


@functools.lru_cache(maxsize=8)
def counters(count: int) -> np.ndarray:
    """Return the multiples of the constant of `keep`, read-only and shared."""
    multiples = np.arange(1, count + 1, dtype=np.uint64)
    multiples *= np.uint64(0x9E3779B97F4A7C15)
    multiples.flags.writeable = False
    return multiples


def keep(key: np.ndarray, limit: int, mask: np.ndarray, z: Out = None, room: Out = None) -> None:
    """Draw a mask: an element stays where its number, of 53 bits, is below the limit.

    Parameters
    ----------
    key : ndarray of uint64, shape (1,)
        Which mask.
    limit : int
        The share that stays, times 2**53.
    mask : ndarray of bool
        Is written, in its elements' order.
    z, room : ndarray of uint64, shape (mask.size,), optional
        To work in.

    Notes
    -----
    The generator is SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014,
    figure 17), whose n-th number is a mix of the key plus n times a constant: threads draw parts of one mask.
    """
    z = np.add(counters(mask.size), key, z)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= np.right_shift(z, np.uint64(shift), room)
        z *= np.uint64(factor)
    z ^= np.right_shift(z, np.uint64(31), room)
    z >>= np.uint64(11)
    np.less(z.reshape(mask.shape), np.uint64(limit), out=mask)


def drop(x: np.ndarray, mask: np.ndarray, scale: Any, out: Out = None) -> Any:
    """Return ``x * mask * scale``."""
    out = np.multiply(x, mask, out)
    out *= scale
    return out


def half_squares(w: np.ndarray, factor: float) -> Any:
    """Return ``0.5 * factor * sum(w ** 2)``."""
    flat = w.reshape(-1)
    # A sum in pairs rounds least, and as the course's does; for a large weight its product with itself is quicker.
    square = flat @ flat if flat.size >= _LONG else np.add.reduce(flat * flat)
    return 0.5 * factor * square


_UNSIGNED = {np.dtype(np.int64): np.dtype(np.uint64)}  # labels as most have them


def outside(y: np.ndarray, count: int) -> bool:
    """Whether any of the labels y, integers and at least one, is not in 0 to count - 1."""
    # As unsigned numbers, negative labels are huge: one pass finds both faults.
    numbers = y.view(_UNSIGNED.get(y.dtype) or f"{y.dtype.byteorder}u{y.itemsize}")
    return bool(numbers.item(numbers.argmax()) >= count)  # in a third of the time of a reduction


@functools.lru_cache(maxsize=64)
def starts(count: int, length: int) -> np.ndarray:
    """Return where each of `count` rows of `length` starts in the flat array, read-only and shared."""
    first = np.arange(0, count * length, length)
    first.flags.writeable = False
    return first


@np.errstate(under="ignore")
def softmax_loss(
    x: np.ndarray, y: np.ndarray, slope: Out = None, loss: Out = None, columns: Out = None, labelled: Out = None,
    room: tuple[Out, Out, Out] = (None, None, None),
) -> tuple[Any, Any]:  # fmt: skip
    """Return the mean cross-entropy of the softmax of each row of x against labels y, and its slope in x.

    `columns` has the shape of ``x.T``, `labelled`, of np.intp, and those in `room` that of ``x[:, 0]``.
    """
    count, classes = x.shape
    right, total, losses = room
    number = scalar(count, x.dtype)
    if classes < _FEW:  # row by row it takes twice as long
        if columns is None:
            columns = x.T.copy()
        else:
            columns[...] = x.T
        largest = np.maximum.reduce(columns, 0, None, losses)
    else:
        largest = np.maximum.reduce(x, 1, None, losses)
    slope = np.subtract(x, largest[:, None], slope, order="C")
    flat = slope.reshape(-1)
    labelled = np.add(starts(count, classes), y, labelled)
    right = flat.take(labelled, None, right, "clip")  # in a third of the time that checking takes
    np.exp(slope, slope)
    total = slope.dot(ones(classes, slope.dtype), total)
    losses = np.log(total, losses)
    np.subtract(losses, right, losses)
    loss = np.divide(np.add.reduce(losses), number, loss)
    np.multiply(total, number, total)
    np.divide(slope, total[:, None], slope)
    flat[labelled] -= 1.0 / count
    return loss, slope


def sum_of_squares(arrays: Sequence[np.ndarray]) -> float:
    """Return the sum of squares of contiguous arrays, by one call of BLAS for each."""
    return sum([float(np.vdot(x, x)) for x in arrays])


sgd, sgd_momentum, sgd_nesterov, rmsprop = rules.sgd, rules.sgd_momentum, rules.sgd_nesterov, rules.rmsprop
adam, adagrad, adadelta, adamax, lion = rules.adam, rules.adagrad, rules.adadelta, rules.adamax, rules.lion

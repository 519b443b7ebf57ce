"""The compiled loops: each passes once over a part of its arrays, so that several threads can share an array.

Scalars are cast to the arrays' dtype, so float32 stays float32. Sums over a batch go row by row and never depend on how
many threads there are.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types

from .compiling import compile_, compile_reduction
from .native import intrinsic

# ---- layers: of the arrays of shape (rows, columns) some rows


@compile_
def bias(out, b):  # type: ignore[no-untyped-def]  # as above
    """``out += b``, for each row."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] += b[j]


@compile_
def bias_relu(out, b):  # type: ignore[no-untyped-def]  # as above
    """``out = max(out + b, 0)``, for each row; NaN stays."""
    zero = out.dtype.type(0)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            z = out[i, j] + b[j]
            out[i, j] = zero if z <= zero else z


@compile_
def relu(x, out):  # type: ignore[no-untyped-def]  # as above
    """``out = max(x, 0)``; NaN stays."""
    zero = x.dtype.type(0)
    for i in range(x.size):
        out[i] = zero if x[i] <= zero else x[i]


@compile_
def relu_gradient(g, out, d):  # type: ignore[no-untyped-def]  # as above
    """``d = g * (out != 0)``; `out` is relu's result, and NaN passes."""
    zero, one = g.dtype.type(0), g.dtype.type(1)
    for i in range(g.size):
        d[i] = g[i] * (one if out[i] != zero else zero)


@compile_
def add(a, b):  # type: ignore[no-untyped-def]  # as above
    """``a += b``."""
    for i in range(a.size):
        a[i] += b[i]


@compile_
def relu_gradient_in_place(g, out):  # type: ignore[no-untyped-def]  # as above
    """``g = g * (out != 0)``."""
    zero, one = g.dtype.type(0), g.dtype.type(1)
    for i in range(g.size):
        g[i] *= one if out[i] != zero else zero


@compile_
def scale(x, factor, out):  # type: ignore[no-untyped-def]  # as above
    """``out = factor * x``."""
    factor = x.dtype.type(factor)
    for i in range(x.size):
        out[i] = factor * x[i]


# A sum of squares goes by parts of so many elements, whose sums are added in float64: nothing is lost in long arrays.
PART = 4096
_LANES = 256


@compile_
def squares(x, first, last, parts):  # type: ignore[no-untyped-def]  # as above
    """Write the sum of squares of the parts `first` to `last`; sums run side by side, as vectors do, a few at once."""
    kind = x.dtype.type
    lanes = np.empty(_LANES, x.dtype)
    for part in range(first, last):
        low, high = part * PART, min((part + 1) * PART, x.size)
        for lane in range(_LANES):
            lanes[lane] = kind(0)
        whole = low + (high - low) // _LANES * _LANES
        for i in range(low, whole, _LANES):
            block = x[i : i + _LANES]
            for lane in range(_LANES):
                lanes[lane] += block[lane] * block[lane]
        for i in range(whole, high):
            lanes[i - whole] += x[i] * x[i]
        total = 0.0
        for lane in range(_LANES):
            total += lanes[lane]
        parts[part] = total


@compile_reduction
def sum_of_squares(x):  # type: ignore[no-untyped-def]  # as above
    """Return the sum of squares of a vector or a matrix, as a float64."""
    flat, total = x.reshape(x.size), 0.0
    for low in range(0, x.size, PART):
        block = flat[low : low + PART]
        part = x.dtype.type(0)
        for i in range(block.size):
            part += block[i] * block[i]
        total += part
    return total


@compile_
def half_sum(parts, factor, out):  # type: ignore[no-untyped-def]  # as above
    """``out = 0.5 * factor * sum(parts)``, added up in float64."""
    total = 0.0
    for part in parts:
        total += part
    out[0] = out.dtype.type(0.5 * factor * total)


# Loops over columns do the first ones of each row, as many as their vectors have: the part of a thread is what begins
# at its first column. Inner loops read and write few arrays each: the compiler has to see that none overlap.


@compile_
def sum_rows(g, out):  # type: ignore[no-untyped-def]  # as above
    """Sum columns of g over its rows: four at a time, so that the result is read a quarter as often."""
    rows = g.shape[0]
    for j in range(out.size):
        out[j] = g.dtype.type(0)
    whole = rows - rows % 4
    for i in range(0, whole, 4):
        for j in range(out.size):
            out[j] += (g[i, j] + g[i + 1, j]) + (g[i + 2, j] + g[i + 3, j])
    for i in range(whole, rows):
        for j in range(out.size):
            out[j] += g[i, j]


@compile_
def outside(y, count):  # type: ignore[no-untyped-def]  # as above
    """Whether a label is not in 0 to count - 1."""
    for label in y:
        if label < 0 or label >= count:
            return True
    return False


# ---- softmax loss


@intrinsic
def _two_to(typing, n):  # type: ignore[no-untyped-def]
    """Return 2**n in float32, of a 32-bit integer from -126 to 127."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        i32 = ir.IntType(32)
        bits = builder.shl(builder.add(args[0], ir.Constant(i32, 127)), ir.Constant(i32, 23))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.int32), codegen


@compile_
def _exp32(x):  # type: ignore[no-untyped-def]  # as above
    """Replace numbers that are at most 0 by their exp: 2**n times a series of what is left, |r| <= log(2) / 2.

    The first term of the series that is missing is 5e-9 of the sum. Below the smallest normal number it is 0. A loop of
    `math.exp` would take five times as long.
    """
    f = np.float32
    for i in range(x.size):
        v = x[i]
        n = math.floor(v * f(1.4426950408889634) + f(0.5))
        r = (v - n * f(0.693359375)) + n * f(2.1219444005469057e-4)  # log(2) in two parts: the first has few digits
        p = f(1.0 / 5040.0)
        p = p * r + f(1.0 / 720.0)
        p = p * r + f(1.0 / 120.0)
        p = p * r + f(1.0 / 24.0)
        p = p * r + f(1.0 / 6.0)
        p = p * r + f(0.5)
        p = p * r + f(1.0)
        p = p * r + f(1.0)
        scale = _two_to(np.int32(n if v >= f(-87.0) else f(0.0)))  # no integer is made of NaN, nor of what is huge
        x[i] = f(0.0) if v < f(-87.0) else p * scale


@compile_
def _exp64(x):  # type: ignore[no-untyped-def]  # as above
    for i in range(x.size):
        x[i] = math.exp(x[i])


def _exp(x: Any) -> None:
    """Replace numbers that are at most 0 by their exp."""


@numba.extending.overload(_exp)
def _choose_exp(x):  # type: ignore[no-untyped-def]  # as above
    return (lambda x: _exp32(x)) if x.dtype == types.float32 else (lambda x: _exp64(x))


@compile_
def softmax_loss(x, y, count, slope, losses):  # type: ignore[no-untyped-def]  # as above
    """Write each row's cross-entropy, and its slope in x divided by `count`."""
    kind = x.dtype.type
    share = kind(1) / kind(count)
    for i in range(x.shape[0]):
        top = x[i, 0]
        for j in range(1, x.shape[1]):
            if x[i, j] > top or x[i, j] != x[i, j]:
                top = x[i, j]
        for j in range(x.shape[1]):
            slope[i, j] = x[i, j] - top
        losses[i] = slope[i, y[i]]
    _exp(slope.reshape(slope.size))  # all rows at once: one is often shorter than a vector of the processor
    for i in range(x.shape[0]):
        total = kind(0)
        for j in range(x.shape[1]):
            total += slope[i, j]
        losses[i] = math.log(total) - losses[i]
        scale = share / total
        for j in range(x.shape[1]):
            slope[i, j] *= scale
        slope[i, y[i]] -= share


@compile_
def mean(losses, out):  # type: ignore[no-untyped-def]  # as above
    """``out = mean(losses)``."""
    total = losses.dtype.type(0)
    for loss in losses:
        total += loss
    out[0] = total / losses.dtype.type(losses.size)


# ---- normalization


@compile_
def batch_norm(x, gamma, beta, eps, out, normal, rate, average, variance):  # type: ignore[no-untyped-def]  # as above
    """Normalize columns by their mean and variance: see `numpy_.batch_norm`."""
    kind = x.dtype.type
    zero, one, count, eps = kind(0), kind(1), kind(x.shape[0]), kind(eps)
    columns = gamma.size
    sum_rows(x, average)
    for j in range(columns):
        average[j] /= count
        variance[j] = zero
    for i in range(x.shape[0]):
        for j in range(columns):
            normal[i, j] = x[i, j] - average[j]
        for j in range(columns):
            variance[j] += normal[i, j] * normal[i, j]
    for j in range(columns):
        variance[j] /= count
        rate[j] = one / math.sqrt(variance[j] + eps)
    for i in range(x.shape[0]):
        for j in range(columns):
            normal[i, j] *= rate[j]
        for j in range(columns):
            out[i, j] = normal[i, j] * gamma[j]
        for j in range(columns):
            out[i, j] += beta[j]


@compile_
def batch_norm_gradient(g, gamma, normal, rate, d, along, total):  # type: ignore[no-untyped-def]  # as above
    """Write the gradients of `batch_norm` in x (d), gamma (along) and beta (total)."""
    kind = g.dtype.type
    count, columns = kind(g.shape[0]), gamma.size
    sum_rows(g, total)
    for j in range(columns):
        along[j] = kind(0)
    for i in range(g.shape[0]):
        for j in range(columns):
            along[j] += g[i, j] * normal[i, j]
    mean, mean_along, factor = np.empty_like(total), np.empty_like(total), np.empty_like(total)
    for j in range(columns):
        mean[j], mean_along[j], factor[j] = total[j] / count, along[j] / count, gamma[j] * rate[j]
    for i in range(g.shape[0]):
        for j in range(columns):
            d[i, j] = g[i, j] - mean[j]
        for j in range(columns):
            d[i, j] -= normal[i, j] * mean_along[j]
        for j in range(columns):
            d[i, j] *= factor[j]


@compile_
def running(average, batch, momentum):  # type: ignore[no-untyped-def]  # as above
    """``average = momentum * average + (1 - momentum) * batch``."""
    kind = average.dtype.type
    momentum, rest = kind(momentum), kind(1.0 - momentum)
    for j in range(average.size):
        average[j] = average[j] * momentum + rest * batch[j]


# ---- dropout


@compile_
def keep(key, first, limit, mask):  # type: ignore[no-untyped-def]  # as above
    """Draw a mask: element i stays where the generator's number `first + i` is below the limit.

    The generator is SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014,
    figure 17): its n-th number is a mix of the key plus n times a constant, so any part can be drawn by itself.
    """
    for i in range(mask.size):
        z = key + np.uint64(first + i + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mask[i] = ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) < limit


@compile_
def drop(x, mask, scale, out):  # type: ignore[no-untyped-def]  # as above
    """``out = x * mask * scale``."""
    kind = x.dtype.type
    scale = kind(scale)
    for i in range(x.size):
        out[i] = x[i] * kind(mask[i]) * scale

"""A small machine: it runs a list of instructions on arrays, shared among threads, without Python between them.

An instruction is a row of 16 integers (addresses, lengths, flags) and a row of 6 reals. Every thread of a team runs the
same rows; each does its own part of one, and all wait for each other before the next. What is small is left to the
first thread, which goes on alone to the next that is shared. Which thread does what depends on the sizes and on the
number of threads alone, so the bits do too.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
from numba import types

from . import loops, rules
from .codes import SMALL_PRODUCT
from .compiling import compile_c, compile_part
from .native import atomic_add, atomic_load, atomic_store, call, call_gemm, pointer, width_of

carray: Any = numba.carray  # type: ignore[attr-defined]  # it is there

WIDTH, REALS = 16, 6  # of a row
NO_TRANSPOSE, TRANSPOSE = 111, 112  # CblasNoTrans, CblasTrans


# Numba takes module-level integers as constants, and no enumeration's members inside a compiled loop without a cost.
_PRODUCT, _SUM_ROWS, _SOFTMAX_LOSS, _MEAN = 0, 1, 2, 3
_RELU, _RELU_GRADIENT, _ADD, _BATCH_NORM, _BATCH_NORM_GRADIENT, _RUNNING, _KEEP, _DROP = 4, 5, 6, 7, 8, 9, 10, 11
_SCALE, _SQUARES, _HALF_SUM = 12, 13, 14
_RULES = 20

# Places in a team's memory, 64-bit integers. Those that are written often have a cache line of their own. The rest is
# the affair of `jobs`.
ARRIVED, PHASE, YIELD, SGEMM, DGEMM, LARGE_SGEMM, LARGE_DGEMM, OWN_THREADS = 8, 16, 34, 35, 36, 40, 41, 42

_SPINS = 4000  # of waiting for the others before the processor is offered to somebody else: some microseconds

SMALL_LOOP = 16_384  # elements that are passed over, from which a second thread pays
_VECTOR = 16  # float32 elements of a cache line, and of the widest vectors


@compile_part
def _meet(team, size):  # type: ignore[no-untyped-def]  # Numba infers the types
    """Wait until all threads are here."""
    phase = atomic_load(team + 8 * PHASE)
    if atomic_add(team + 8 * ARRIVED, 1) == size - 1:
        atomic_store(team + 8 * ARRIVED, 0)
        atomic_store(team + 8 * PHASE, phase + 1)
        return
    spins = 0
    while atomic_load(team + 8 * PHASE) == phase:
        spins += 1
        if spins > _SPINS:
            call(atomic_load(team + 8 * YIELD), 0)


@compile_part
def _share(count, me, size, unit):  # type: ignore[no-untyped-def]  # as above
    """Return where a thread's part of `count` begins and ends: at multiples of `unit`."""
    if size == 1:
        return 0, count
    part = ((count + size - 1) // size + unit - 1) // unit * unit
    return min(part * me, count), min(part * (me + 1), count)


@compile_part
def _end(ending, c, extra, n, ldc, low, high, left, right, one):  # type: ignore[no-untyped-def]  # as above
    """Do the ending of a product on rows `low` to `high`, columns `left` to `right`."""
    if ending == 0 or high <= low or right <= left:
        return
    width = width_of(one)
    if ending == 3:
        for i in range(low, high):
            row = carray(pointer(c + width * (i * ldc + left), one), (right - left,))
            loops.relu_gradient_in_place(row, carray(pointer(extra + width * (i * n + left), one), (right - left,)))
        return
    b = carray(pointer(extra + width * left, one), (right - left,))
    for i in range(low, high):
        row = carray(pointer(c + width * (i * ldc + left), one), (1, right - left))
        if ending == 1:
            loops.bias(row, b)
        else:
            loops.bias_relu(row, b)


@compile_part
def _product(row, team, me, size, one, gemm, large):  # type: ignore[no-untyped-def]  # as above
    """Do a thread's part of a product: some rows, some columns, or some of the inner sums.

    What is too small to be shared goes to NumPy's BLAS, so that its bits are those of ``a.dot(b)``.
    """
    a, b, c, extra, scratch = row[1], row[2], row[3], row[4], row[5]
    m, n, k, lda, ldb, ldc, ta, tb, ending = row[6], row[7], row[8], row[9], row[10], row[11], row[12], row[13], row[14]
    zero, width = one - one, width_of(one)
    if m * n * k < SMALL_PRODUCT:
        size = 1
    else:
        gemm = large
    if me >= size:
        return
    ta32, tb32 = np.int32(ta), np.int32(tb)
    top, bottom, left, right = 0, m, 0, n  # what this thread does the ending of
    if size == 1:
        call_gemm(gemm, ta32, tb32, m, n, k, one, a, lda, b, ldb, zero, c, ldc)
    elif inner(m, n, k):
        low, high = _share(k, me, size, _VECTOR)
        first = a + width * (low * lda if ta == TRANSPOSE else low)
        second = b + width * (low if tb == TRANSPOSE else low * ldb)
        out, step = (c, ldc) if me == 0 else (scratch + width * (me - 1) * m * n, n)
        call_gemm(gemm, ta32, tb32, m, n, high - low, one, first, lda, second, ldb, zero, out, step)
        _meet(team, size)
        top, bottom = _share(m, me, size, 1)
        for i in range(top, bottom):
            total = carray(pointer(c + width * i * ldc, one), (n,))
            for other in range(size - 1):
                loops.add(total, carray(pointer(scratch + width * (other * m + i) * n, one), (n,)))
    elif m >= n:
        top, bottom = _share(m, me, size, 1)
        if bottom > top:
            first = a + width * (top if ta == TRANSPOSE else top * lda)
            call_gemm(gemm, ta32, tb32, bottom - top, n, k, one, first, lda, b, ldb, zero, c + width * top * ldc, ldc)
    else:
        left, right = _share(n, me, size, _VECTOR)
        if right > left:
            second = b + width * (left * ldb if tb == TRANSPOSE else left)
            call_gemm(gemm, ta32, tb32, m, right - left, k, one, a, lda, second, ldb, zero, c + width * left, ldc)
    _end(ending, c, extra, n, ldc, top, bottom, left, right, one)


@compile_part
def inner(m, n, k):  # type: ignore[no-untyped-def]  # as above
    """Whether threads share the inner sums of a product, since its result has too few rows and columns."""
    return k >= 4 * max(m, n)


@compile_part
def _rule(code, w, dw, row, low, count, reals, one):  # type: ignore[no-untyped-def]  # as above
    width = width_of(one)
    if code == 0:
        rules.sgd(w, dw, reals[0])
        return
    first = carray(pointer(row[3] + width * low, one), (count,))
    if code == 1:
        rules.sgd_momentum(w, dw, first, reals[0], reals[1])
    elif code == 2:
        rules.sgd_nesterov(w, dw, first, reals[0], reals[1])
    elif code == 3:
        rules.rmsprop(w, dw, first, reals[0], reals[1], reals[2])
    elif code == 5:
        rules.adagrad(w, dw, first, reals[0], reals[1])
    elif code == 8:
        rules.lion(w, dw, first, reals[0], reals[1], reals[2])
    else:
        second = carray(pointer(row[4] + width * low, one), (count,))
        if code == 4:
            rules.adam(w, dw, first, second, reals[0], reals[1], reals[2], reals[3])
        elif code == 6:
            rules.adadelta(w, dw, first, second, reals[0], reals[1], reals[2])
        else:
            rules.adamax(w, dw, first, second, reals[0], reals[1], reals[2], reals[3])


@compile_part
def _on_rows(row, reals, me, size, one):  # type: ignore[no-untyped-def]  # as above
    """Do a thread's part of what shares an array by rows: the softmax loss."""
    rows, columns, width = row[5], row[6], width_of(one)
    low, high = _share(rows, me, size, 1)
    count = high - low
    if count > 0:
        at = width * low * columns
        x = carray(pointer(row[1] + at, one), (count, columns))
        y = carray(pointer(row[2] + 8 * low, np.int64(0)), (count,))
        slope = carray(pointer(row[3] + at, one), (count, columns))
        losses = carray(pointer(row[4] + width * low, one), (count,))
        loops.softmax_loss(x, y, rows, slope, losses)


@compile_part
def _on_columns(code, row, reals, me, size, one):  # type: ignore[no-untyped-def]  # as above
    """Do a thread's part of what shares an array by columns: sums over the batch, and normalization by them."""
    place = 3 if code == _SUM_ROWS else 9 if code == _BATCH_NORM else 8
    rows, columns = row[place], row[place + 1]
    low, high = _share(columns, me, size, _VECTOR)
    if high <= low:
        return
    shape, count, at = (rows, columns), (high - low,), width_of(one) * low
    g = carray(pointer(row[1] + at, one), shape)
    second = carray(pointer(row[2] + at, one), count)
    if code == _SUM_ROWS:
        loops.sum_rows(g, second)
    elif code == _BATCH_NORM:
        beta = carray(pointer(row[3] + at, one), count)
        out = carray(pointer(row[4] + at, one), shape)
        normal = carray(pointer(row[5] + at, one), shape)
        rate = carray(pointer(row[6] + at, one), count)
        mean = carray(pointer(row[7] + at, one), count)
        variance = carray(pointer(row[8] + at, one), count)
        loops.batch_norm(g, second, beta, reals[0], out, normal, rate, mean, variance)
    else:
        normal = carray(pointer(row[3] + at, one), shape)
        rate = carray(pointer(row[4] + at, one), count)
        d = carray(pointer(row[5] + at, one), shape)
        along = carray(pointer(row[6] + at, one), count)
        total = carray(pointer(row[7] + at, one), count)
        loops.batch_norm_gradient(g, second, normal, rate, d, along, total)


@compile_part
def _on_elements(code, row, reals, me, size, one):  # type: ignore[no-untyped-def]  # as above
    """Do a thread's part of what passes over flat arrays."""
    width = width_of(one)
    places = 3
    if code == _RELU_GRADIENT or code == _DROP:
        places = 4
    elif code >= _RULES:
        places = 5
    low, high = _share(row[places], me, size, _VECTOR)
    count = high - low
    if count <= 0:
        return
    if code == _KEEP:
        key = carray(pointer(row[1], np.uint64(0)), (1,))[0]
        loops.keep(key, low, np.uint64(row[4]), carray(pointer(row[2] + low, np.bool_(True)), (count,)))
        return
    first = carray(pointer(row[1] + width * low, one), (count,))
    if code == _DROP:
        mask = carray(pointer(row[2] + low, np.bool_(True)), (count,))
        loops.drop(first, mask, reals[0], carray(pointer(row[3] + width * low, one), (count,)))
        return
    second = carray(pointer(row[2] + width * low, one), (count,))
    if code == _RELU:
        loops.relu(first, second)
    elif code == _ADD:
        loops.add(first, second)
    elif code == _RUNNING:
        loops.running(first, second, reals[0])
    elif code == _SCALE:
        loops.scale(first, reals[0], second)
    elif code == _RELU_GRADIENT:
        loops.relu_gradient(first, second, carray(pointer(row[3] + width * low, one), (count,)))
    else:
        _rule(code - _RULES, first, second, row, low, count, reals, one)


@compile_part
def _run(rows, reals, team, me, size, one, gemm, large):  # type: ignore[no-untyped-def]  # as above
    last = rows.shape[0] - 1
    for i in range(last + 1):
        row, code = rows[i], rows[i, 0]
        sharers = size if size > 1 and row[15] == 1 else 1
        if code == _PRODUCT:
            _product(row, team, me, sharers, one, gemm, large)
        elif me < sharers:
            if code == _SOFTMAX_LOSS:
                _on_rows(row, reals[i], me, sharers, one)
            elif code == _MEAN:
                loops.mean(carray(pointer(row[1], one), (row[3],)), carray(pointer(row[2], one), (1,)))
            elif code == _SQUARES:
                parts = (row[3] + loops.PART - 1) // loops.PART
                low, high = _share(parts, me, sharers, 1)
                x = carray(pointer(row[1], one), (row[3],))
                loops.squares(x, low, high, carray(pointer(row[2], np.float64(0)), (parts,)))
            elif code == _HALF_SUM:
                parts64 = carray(pointer(row[1], np.float64(0)), (row[3],))
                loops.half_sum(parts64, reals[i, 0], carray(pointer(row[2], one), (1,)))
            elif code == _SUM_ROWS or code == _BATCH_NORM or code == _BATCH_NORM_GRADIENT:
                _on_columns(code, row, reals[i], me, sharers, one)
            else:
                _on_elements(code, row, reals[i], me, sharers, one)
        # Between two instructions of the first thread there is nobody to wait for. At the end there is: what comes next
        # may write the rows, which a late thread still reads.
        if size > 1 and (sharers > 1 or i == last or rows[i + 1, 15] == 1):
            _meet(team, size)


@compile_part
def _own_threads(team, count):  # type: ignore[no-untyped-def]  # as above
    """Say how many threads MKL may use for the calls of this thread; return what was said before (0: nothing).

    OpenBLAS has but one such number for all threads, which is the affair of `jobs`.
    """
    say = atomic_load(team + 8 * OWN_THREADS)
    return call(say, count) if say else np.int32(0)


@compile_part
def _run_all(rows, reals, count, team, me, size, one, gemm, large):  # type: ignore[no-untyped-def]  # as above
    """Run instructions by address; `gemm` and `large` are the places of BLAS's functions in the team's memory."""
    wholes = carray(pointer(rows, np.int64(0)), (count, WIDTH))
    numbers = carray(pointer(reals, np.float64(0)), (count, REALS))
    before = _own_threads(team, 1)
    _run(wholes, numbers, team, me, size, one, atomic_load(team + 8 * gemm), atomic_load(team + 8 * large))
    _own_threads(team, before)


def run_single(rows: int, reals: int, count: int, team: int, me: int, size: int) -> None:
    """Run all instructions, on float32, as one thread of a team."""
    _run_all(rows, reals, count, team, me, size, np.float32(1), SGEMM, LARGE_SGEMM)


def run_double(rows: int, reals: int, count: int, team: int, me: int, size: int) -> None:
    """Run all instructions, on float64, as one thread of a team."""
    _run_all(rows, reals, count, team, me, size, np.float64(1), DGEMM, LARGE_DGEMM)


@functools.cache
def runner(dtype: np.dtype[Any]) -> int:
    """Return the address of what runs instructions on arrays of float32 or float64; it is compiled at the first call.

    Each is compiled by itself, and apart from `jobs`: most programs need one of the two.
    """
    run = compile_c(types.void(*(types.int64,) * 6), run_single if dtype.itemsize == 4 else run_double)
    _kept.append(run)
    place: int = run.address
    return place


_kept: list[Any] = []


def address(array: Any) -> int:
    """Return where the elements of an array begin."""
    place: int = array.__array_interface__["data"][0]
    return place

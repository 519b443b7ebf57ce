"""Passes: lists of instructions as `instructions` has them, run by NumPy.

Each is one call of a loop of `numpy_`, bound to the arrays that it reads and writes and to all that it needs beside
them: a run calls one after another, and allocates nothing that is as large as an array of the list. They have the bits
of the loops that `kernels` chooses where NumPy works, since they are the same lines.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import numpy_, quiet
from .codes import SMALL_PRODUCT, Code, Ending
from .numpy_rules import scalar
from .products import bind
from .sharing import Call, share, threads

# Elements that stay in the cache while several passes go over them.
BLOCK = 65_536
_FLOATS = 32_768  # elements of a relu's gradient up to which a mask of floats is quicker than one of bools

_THREADED_DOT = 10_000  # elements from which OpenBLAS shares a sum of products of float64 among its threads
_SHARED = 16  # blocks of an update from which threads share it
_MOST = 16  # operands of an instruction

_Make = Callable[..., Call]  # from the arrays of an instruction


class Passes:
    """A list of instructions on arrays of one dtype, which can be run again and again; see `Instructions`.

    A number that overflows, or is none, is not reported: a run goes on to its end, as a compiled one does.

    Parameters
    ----------
    dtype : numpy.dtype
        float32 or float64.
    """

    outside = staticmethod(numpy_.outside)

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._zero = scalar(0.0, dtype)
        self._makes: list[_Make] = []
        self._arrays: list[list[np.ndarray]] = []
        self._calls: list[Call] = []
        self._longest = 0  # block of an update
        self._busy = False  # whether OpenBLAS's threads work, and then wait where others could work, for tens of ms
        self._context = quiet()

    def __len__(self) -> int:
        return len(self._makes)

    def _add(self, make: _Make, *arrays: np.ndarray, turned: int = 0) -> int:
        """Append what `make` makes of the arrays, of which the first `turned` may be transposes."""
        for place, array in enumerate(arrays):
            if not (array.flags.c_contiguous or place < turned and array.flags.f_contiguous):
                raise ValueError(f"given an array {array.shape} of strides {array.strides}, expected one that is "
                                 "contiguous; np.ascontiguousarray makes it so.")  # fmt: skip
        self._makes.append(make)
        self._arrays.append(list(arrays))
        return len(self._makes) - 1

    def _bind(self, loop: Callable[..., Any], *arrays: np.ndarray, more: tuple[Any, ...] = ()) -> int:
        """Append a call of a loop with the arrays, and with what stays the same behind them."""
        return self._add(lambda *operands: functools.partial(loop, *operands, *more), *arrays)

    def product(
        self, a: np.ndarray, b: np.ndarray, c: np.ndarray, ending: Ending = Ending.NOTHING,
        extra: Any = None,
    ) -> None:  # fmt: skip
        """``c = a @ b``, and then the ending with `extra` (a bias; the result of a relu)."""
        large = a.size * b.shape[1] >= SMALL_PRODUCT
        soon = numpy_.is_small(a, b) or numpy_.starts_soon(a, b)
        able = large and bind(a, b, c) is not None
        self._busy |= large and not able

        def make(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> Call:
            if able and (call := bind(a, b, c)):
                return call
            return functools.partial(a.dot, b, c) if soon else functools.partial(np.matmul, a, b, c)

        self._add(make, a, b, c, turned=2)
        if ending == Ending.BIAS:
            self._bind(numpy_.bias, c, extra)
        elif ending == Ending.BIAS_RELU:
            self._bind(numpy_.bias_relu, c, extra, more=(self._zero,))
        elif ending == Ending.RELU_GRADIENT:
            self.relu_gradient(c, extra, c)

    def sum_rows(self, g: np.ndarray, out: np.ndarray) -> None:
        """``out = g.sum(axis=0)``."""
        ones = numpy_.ones(len(g), self.dtype)
        self._add(lambda g, out: functools.partial(ones.dot, g, out), g, out)

    def softmax_loss(self, x: np.ndarray, y: np.ndarray, slope: np.ndarray, loss: np.ndarray) -> None:
        """Write the mean cross-entropy of the softmax of x against labels y (int64), and its slope in x."""
        room = tuple(np.empty(len(x), self.dtype) for _ in range(3))
        more = np.empty(x.shape[::-1], self.dtype), np.empty(len(x), np.intp), room
        self._bind(_plain("softmax_loss"), x, y, slope, loss, more=more)

    def relu(self, x: np.ndarray, out: np.ndarray) -> None:
        """``out = max(x, 0)``."""
        self._bind(numpy_.relu, x, out, more=(self._zero,))

    def relu_gradient(self, g: np.ndarray, out: np.ndarray, d: np.ndarray) -> None:
        """``d = g`` where `out`, the result of a relu, is not 0, and 0 elsewhere."""
        factor = np.empty(g.shape, self.dtype) if g.size <= _FLOATS else None
        self._bind(numpy_.relu_gradient, g, out, d, more=(np.empty(g.shape, np.bool_), factor, self._zero))

    def add(self, a: np.ndarray, b: np.ndarray) -> None:
        """``a += b``."""
        self._add(lambda a, b: functools.partial(np.add, a, b, a), a, b)

    def scale(self, x: np.ndarray, factor: float, out: np.ndarray) -> None:
        """``out = factor * x``."""
        number = scalar(factor, self.dtype)
        self._add(lambda x, out: functools.partial(np.multiply, x, number, out), x, out)

    def half_squares(self, w: np.ndarray, factor: float, out: np.ndarray) -> None:
        """``out = 0.5 * factor * sum(w ** 2)``."""
        self._busy |= w.itemsize == 8 and w.size >= _THREADED_DOT

        def make(w: np.ndarray, out: np.ndarray) -> Call:
            return lambda: out.fill(numpy_.half_squares(w, factor))

        self._add(make, w, out)

    def batch_norm(
        self, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float, out: np.ndarray,
        left: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    ) -> None:  # fmt: skip
        """Normalize each column; `left` takes the normalized x, the rate, the mean and the variance."""

        def make(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, *written: np.ndarray) -> Call:
            return functools.partial(numpy_.batch_norm, x, gamma, beta, eps, *written)

        self._add(make, x, gamma, beta, out, *left)

    def batch_norm_gradient(
        self, g: np.ndarray, gamma: np.ndarray, normal: np.ndarray, rate: np.ndarray, d: np.ndarray, dgamma: np.ndarray,
        dbeta: np.ndarray,
    ) -> None:  # fmt: skip
        """Write the gradients of `batch_norm`, in x, gamma and beta."""
        row = np.empty(g.shape[1], self.dtype)
        self._bind(numpy_.batch_norm_gradient, g, gamma, normal, rate, d, dgamma, dbeta, more=(row,))

    def running(self, average: np.ndarray, batch: np.ndarray, momentum: float) -> None:
        """``average = momentum * average + (1 - momentum) * batch``."""
        self._bind(numpy_.running, average, batch, more=(momentum, np.empty(average.shape, self.dtype)))

    def keep(self, key: np.ndarray, mask: np.ndarray, limit: int) -> None:
        """Draw a mask of bools from the key, a single uint64."""
        room = np.empty((2, mask.size), np.uint64)
        self._add(lambda key, mask: functools.partial(numpy_.keep, key, limit, mask, *room), key, mask)

    def drop(self, x: np.ndarray, mask: np.ndarray, scale: float, out: np.ndarray) -> None:
        """``out = x * mask * scale``."""
        number = scalar(scale, self.dtype)
        self._add(lambda x, mask, out: functools.partial(numpy_.drop, x, mask, number, out), x, mask, out)

    def call(self, function: Call) -> None:
        """Call a function of Python, which chooses kernels as the list's maker would."""
        self._bind(function)

    def update(self, code: Code, w: np.ndarray, dw: np.ndarray, state: tuple[np.ndarray, ...], *reals: float) -> int:
        """Apply an update rule; return the row to `retune`."""
        self._longest = max(self._longest, min(w.size, BLOCK))
        return self._add(lambda *arrays: _Update(code, reals, arrays, self._room), w, dw, *state)

    def seal(self) -> None:
        """Make the list ready to run."""
        self._room = np.empty((1 if self._busy else threads(), self._longest), self.dtype)
        self._calls = [make(*arrays) for make, arrays in zip(self._makes, self._arrays, strict=True)]

    def retune(self, row: int, code: Code, reals: Sequence[float], dw: np.ndarray | None = None) -> None:
        """Give an update another rule and other numbers before a run, and another gradient."""
        if not self._calls:
            self.seal()
        update: Any = self._calls[row]
        update.loop, update.reals = _LOOPS[code], reals
        if dw is not None:
            self.point([row * _MOST + 1], dw)

    def places_of(self, array: np.ndarray) -> list[int]:
        """Return where in the list an array is an operand, to `point` there at another."""
        at, found = _address(array), []
        for row, operands in enumerate(self._arrays):
            found += [row * _MOST + place for place, own in enumerate(operands) if _address(own) == at]
        return found if array.size else []

    def point(self, places: Sequence[int], array: np.ndarray) -> None:
        """Put an array in the places of another, of the same shape."""
        for at in places:
            row, place = divmod(at, _MOST)
            operands = self._arrays[row]
            shape = operands[place].shape
            turned = not operands[place].flags.c_contiguous
            operands[place] = array.reshape(shape[::-1]).T if turned else array.reshape(shape)
            call = self._calls[row]
            if isinstance(call, _Update):
                call.cut(operands)
            else:
                self._calls[row] = self._makes[row](*operands)

    def run(self) -> None:
        """Run all instructions in order."""
        if not self._calls:
            self.seal()
        self._context.run(_run, self._calls)


def _run(calls: list[Call]) -> None:
    for call in calls:
        call()


class _Update:
    """An update rule on arrays, the parameters, the gradient and what the rule keeps, with room for each thread."""

    __slots__ = ("blocks", "loop", "reals", "room")

    def __init__(self, code: Code, reals: Sequence[float], arrays: Sequence[np.ndarray], room: np.ndarray) -> None:
        self.loop, self.reals, self.room = _LOOPS[code], reals, room
        self.cut(arrays)

    def cut(self, arrays: Sequence[np.ndarray]) -> None:
        """Take arrays, of the same size, in the place of those of before."""
        starts = range(0, arrays[0].size, BLOCK)
        self.blocks = [[array.reshape(-1)[start : start + BLOCK] for array in arrays] for start in starts]

    def __call__(self) -> None:
        if len(self.blocks) < _SHARED or len(self.room) == 1:
            self._walk(self.blocks, self.room[0])
            return
        step = -(-len(self.blocks) // len(self.room))
        shares = [self.blocks[low : low + step] for low in range(0, len(self.blocks), step)]
        share([functools.partial(self._walk, *part) for part in zip(shares, self.room, strict=False)])

    def _walk(self, blocks: list[list[np.ndarray]], room: np.ndarray) -> None:
        for block in blocks:
            self.loop(*block, *self.reals, room[: block[0].size])


def _plain(name: str) -> Callable[..., Any]:
    """Return a loop of `numpy_` without the mode of floating-point faults that it enters at each call."""
    loop: Callable[..., Any] = inspect.unwrap(getattr(numpy_, name))
    return loop


_LOOPS = {int(code): _plain(code.name.lower()) for code in Code if code >= Code.SGD}


def _address(array: np.ndarray) -> int:
    place: int = array.__array_interface__["data"][0]
    return place

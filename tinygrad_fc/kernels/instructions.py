"""Instructions: a list for the machine, written with arrays instead of addresses."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import quiet
from .codes import SMALL_PRODUCT, Code, Ending
from .loops import PART, outside
from .machine import NO_TRANSPOSE, REALS, SMALL_LOOP, TRANSPOSE, WIDTH, address, inner
from .team import Team

_SHARED = WIDTH - 1  # the place that says whether threads share an instruction


class Instructions:
    """A list of instructions on arrays of one dtype, which can be run again and again.

    All arrays are contiguous (the operands of a product may be transposed), of `dtype`, and stay where they are: the
    list keeps them alive, and reads and writes them where they lie.

    Parameters
    ----------
    team : Team
        Who runs them.
    dtype : numpy.dtype
        float32 or float64.

    Attributes
    ----------
    reals : ndarray of float64, shape (n, 6)
        The numbers of each instruction, once `seal` has been called; they may be written between two runs.
    """

    reals: np.ndarray
    outside = staticmethod(outside)

    def __init__(self, team: Team, dtype: np.dtype[Any]) -> None:
        self.team, self.dtype = team, dtype
        self._rows: list[list[int]] = []
        self._numbers: list[tuple[float, ...]] = []
        self._arrays: list[np.ndarray] = []
        self._products: list[tuple[int, int]] = []  # those that need scratch memory, and how much
        self._context: contextvars.Context | None = None  # of the calls
        self._calls: list[tuple[int, Callable[[], object]]] = []  # before which row
        self._sealed: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def _add(
        self, code: Code, arrays: tuple[np.ndarray, ...], more: tuple[int, ...], shared: bool, *reals: float
    ) -> int:
        for place, array in enumerate(arrays):
            flags = array.flags
            if not (flags.c_contiguous or code == Code.PRODUCT and place < 2 and flags.f_contiguous):
                raise ValueError(f"{code.name}: given an array {array.shape} of strides {array.strides}, expected one "
                                 "that is contiguous; np.ascontiguousarray makes it so.")  # fmt: skip
        self._arrays += arrays
        row = [int(code), *map(address, arrays), *more]
        self._rows.append([*row, *[0] * (_SHARED - len(row)), int(shared)])
        self._numbers.append((*reals, *[0.0] * (REALS - len(reals))))
        return len(self._rows) - 1

    def product(
        self, a: np.ndarray, b: np.ndarray, c: np.ndarray, ending: Ending = Ending.NOTHING,
        extra: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """``c = a @ b``, and then the ending with `extra` (a bias; the result of a relu)."""
        (m, k), n = a.shape, b.shape[1]
        ta, tb = not a.flags.c_contiguous, not b.flags.c_contiguous
        shared = m * n * k >= SMALL_PRODUCT and self.team.size > 1
        if shared and inner.py_func(m, n, k):
            self._products.append((len(self._rows), (self.team.size - 1) * m * n))
        flags = (TRANSPOSE if ta else NO_TRANSPOSE, TRANSPOSE if tb else NO_TRANSPOSE, int(ending))
        sizes = (0, m, n, k, *(max(length, 1) for length in (m if ta else k, k if tb else n, n)))  # BLAS refuses 0
        self._add(Code.PRODUCT, (a, b, c, c if extra is None else extra), (*sizes, *flags), shared)

    def sum_rows(self, g: np.ndarray, out: np.ndarray) -> None:
        """``out = g.sum(axis=0)``."""
        self._add(Code.SUM_ROWS, (g, out), g.shape, g.size >= SMALL_LOOP)

    def softmax_loss(self, x: np.ndarray, y: np.ndarray, slope: np.ndarray, loss: np.ndarray) -> None:
        """Write the mean cross-entropy of the softmax of x against labels y (int64), and its slope in x."""
        losses = np.empty(len(x), self.dtype)
        self._add(Code.SOFTMAX_LOSS, (x, y, slope, losses), x.shape, x.size >= SMALL_LOOP // 16)
        self._add(Code.MEAN, (losses, loss), (len(x),), False)

    def relu(self, x: np.ndarray, out: np.ndarray) -> None:
        """``out = max(x, 0)``."""
        self._elements(Code.RELU, x, out)

    def relu_gradient(self, g: np.ndarray, out: np.ndarray, d: np.ndarray) -> None:
        """``d = g`` where `out`, the result of a relu, is not 0, and 0 elsewhere."""
        self._elements(Code.RELU_GRADIENT, g, out, d)

    def add(self, a: np.ndarray, b: np.ndarray) -> None:
        """``a += b``."""
        self._elements(Code.ADD, a, b)

    def scale(self, x: np.ndarray, factor: float, out: np.ndarray) -> None:
        """``out = factor * x``."""
        self._elements(Code.SCALE, x, out, reals=(factor,))

    def half_squares(self, w: np.ndarray, factor: float, out: np.ndarray) -> None:
        """``out = 0.5 * factor * sum(w ** 2)``."""
        parts = np.empty(-(-w.size // PART))
        self._add(Code.SQUARES, (w, parts), (w.size,), w.size >= SMALL_LOOP)
        self._add(Code.HALF_SUM, (parts, out), (len(parts),), False, factor)

    def batch_norm(
        self, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float, out: np.ndarray,
        left: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    ) -> None:  # fmt: skip
        """Normalize each column; `left` takes the normalized x, the rate, the mean and the variance."""
        shared = x.size >= SMALL_LOOP
        self._add(Code.BATCH_NORM, (x, gamma, beta, out, *left), x.shape, shared, eps)

    def batch_norm_gradient(
        self, g: np.ndarray, gamma: np.ndarray, normal: np.ndarray, rate: np.ndarray, d: np.ndarray, dgamma: np.ndarray,
        dbeta: np.ndarray,
    ) -> None:  # fmt: skip
        """Write the gradients of `batch_norm`, in x, gamma and beta."""
        shared = g.size >= SMALL_LOOP
        self._add(Code.BATCH_NORM_GRADIENT, (g, gamma, normal, rate, d, dgamma, dbeta), g.shape, shared)

    def running(self, average: np.ndarray, batch: np.ndarray, momentum: float) -> None:
        """``average = momentum * average + (1 - momentum) * batch``."""
        self._elements(Code.RUNNING, average, batch, reals=(momentum,))

    def keep(self, key: np.ndarray, mask: np.ndarray, limit: int) -> None:
        """Draw a mask of bools from the key, a single uint64."""
        self._add(Code.KEEP, (key, mask), (mask.size, limit), mask.size >= SMALL_LOOP // 2)

    def drop(self, x: np.ndarray, mask: np.ndarray, scale: float, out: np.ndarray) -> None:
        """``out = x * mask * scale``."""
        self._elements(Code.DROP, x, mask, out, reals=(scale,))

    def call(self, function: Callable[[], object]) -> None:
        """Call a function of Python between two instructions, which chooses kernels as the list's maker would."""
        if self._context is None:
            self._context = quiet()
        self._calls.append((len(self._rows), function))

    def update(self, code: Code, w: np.ndarray, dw: np.ndarray, state: tuple[np.ndarray, ...], *reals: float) -> int:
        """Apply an update rule; return the row of its numbers in `reals`."""
        padding = (0,) * (2 - len(state))
        return self._add(code, (w, dw, *state), (*padding, w.size), w.size >= SMALL_LOOP, *reals)

    def _elements(self, code: Code, *arrays: np.ndarray, reals: tuple[float, ...] = ()) -> None:
        self._add(code, arrays, (arrays[0].size,), arrays[0].size >= SMALL_LOOP, *reals)

    def seal(self) -> None:
        """Make the list ready to run."""
        rows = np.array(self._rows, np.int64).reshape(-1, WIDTH)
        self._scratch = np.empty(max((size for _, size in self._products), default=0), self.dtype)
        for place, _ in self._products:
            rows[place, 5] = address(self._scratch)
        self.reals = np.array(self._numbers, np.float64).reshape(-1, REALS)
        self._sealed = rows
        ends = [0, *[place for place, _ in self._calls], len(rows)]
        # Runs of instructions, each with what is called behind it.
        self._parts = [
            (rows[low:high], self.reals[low:high], self.team.size > 1 and bool(rows[low:high, _SHARED].any()), function)
            for low, high, function in zip(ends[:-1], ends[1:], [*[call for _, call in self._calls], None], strict=True)
        ]

    def retune(self, row: int, code: Code, reals: Sequence[float], dw: np.ndarray | None = None) -> None:
        """Give an update another rule and other numbers before a run, and another gradient, which the caller keeps."""
        if self._sealed is None:
            self.seal()
        rows: Any = self._sealed
        rows[row, 0] = code
        if dw is not None:
            rows[row, 2] = address(dw)
        self.reals[row, : len(reals)] = reals

    def places_of(self, array: np.ndarray) -> list[int]:
        """Return where in the sealed list an array is an operand, to `point` there at another."""
        assert self._sealed is not None
        if not array.size:
            return []
        return [int(place) for place in np.flatnonzero(self._sealed.reshape(-1) == address(array))]

    def point(self, places: Sequence[int], array: np.ndarray) -> None:
        """Put an array in the places of another, of the same shape; the caller keeps it alive."""
        assert self._sealed is not None
        flat, at = self._sealed.reshape(-1), address(array)
        for place in places:
            flat[place] = at

    def release(self) -> None:
        """Keep no array alive but what the list made for itself."""
        self._arrays = [self._scratch]

    def aim(self, row: int, *arrays: np.ndarray) -> None:
        """Put other arrays in the places of all operands of a sealed instruction; the caller keeps them alive."""
        assert self._sealed is not None
        self._sealed[row, 1 : 1 + len(arrays)] = [address(array) for array in arrays]

    def run(self) -> None:
        """Run all instructions in order."""
        if self._sealed is None:
            self.seal()
        if self._context is None:
            self._run()
        else:
            self._context.run(self._run)

    def _run(self) -> None:
        for rows, reals, together, function in self._parts:
            if len(rows):
                self.team.run(rows, reals, self.dtype, together)
            if function is not None:
                function()

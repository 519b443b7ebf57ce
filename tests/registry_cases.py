"""Samples bound to the arguments of their operation, and derivatives by numbers: the ground of the checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_fc as tg
from tinygrad_fc.engine.op import Op

Arrays = list[np.ndarray]

# Ufuncs that take complex numbers but are no analytic functions of them.
NOT_ANALYTIC = {"sign", "maximum", "minimum", "absolute", "clip", "conjugate"}


class Case:
    """One sample of an operation: bound arguments, of which the float arrays in differentiable places vary."""

    def __init__(self, op: Op, sample: Any) -> None:
        args, kwargs = sample if len(sample) == 2 and isinstance(sample[1], dict) else (sample, {})
        self.op, self.sample = op, (args, kwargs)
        self.values = op.bind(tuple(args), dict(kwargs))
        self.slots: list[tuple[int, int | None]] = []
        self.arrays: Arrays = []
        for n, (key, value) in enumerate(zip(op.arguments, self.values, strict=True)):
            if key in op.differentiable:
                for k, item in enumerate(value) if key == op.variadic else ((None, value),):
                    if isinstance(item, (np.ndarray, np.floating)):
                        self.slots.append((n, k))
                        self.arrays.append(np.array(item, dtype=np.float64))

    def bound(self, arrays: list[Any]) -> list[Any]:
        """Return the arguments with `arrays` (or tensors) in the varying places."""
        values = [
            list(v) if key == self.op.variadic else v for key, v in zip(self.op.arguments, self.values, strict=True)
        ]
        for (n, k), array in zip(self.slots, arrays, strict=True):
            if k is None:
                values[n] = array
            else:
                values[n][k] = array
        return [tuple(v) if key == self.op.variadic else v for key, v in zip(self.op.arguments, values, strict=True)]

    def _spread(self, arrays: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        values, op = self.bound(arrays), self.op
        last = len(values) - len(op.keyword_only)
        args = values[:last]
        if op.variadic is not None:
            args = [*args[:-1], *args[-1]]
        return args, dict(zip(op.keyword_only, values[last:], strict=True))

    def run(self, arrays: list[Any]) -> tg.Tensor:
        """Call the recorded operation."""
        args, kwargs = self._spread(arrays)
        out = self.op.record(*args, **kwargs)
        return out[0] if self.op.beside else out

    def raw(self, arrays: list[Any]) -> np.ndarray:
        """Call the array function."""
        out = self.op.call(self.bound(arrays))
        return np.asarray(out[0] if self.op.leaves else out)

    def composed(self, arrays: list[Any]) -> tg.Tensor:
        """Call `compose`, the function written with primitives."""
        args, kwargs = self._spread(arrays)
        return self.op.compose(*args, **kwargs)

    def names(self) -> list[str]:
        """Return a name for each varying place."""
        return [f"{self.op.arguments[n]}{'' if k is None else f'[{k}]'}" for n, k in self.slots]

    def __repr__(self) -> str:
        parts = [
            f"{key}={np.shape(v)}" if isinstance(v, np.ndarray) else f"{key}={v!r:.50}"
            for key, v in zip(self.op.arguments, self.values, strict=True)
        ]
        return f"{self.op.name}({', '.join(parts)})"


def leaves(arrays: Arrays, needed: list[bool] | None = None) -> list[tg.Tensor]:
    """Return leaf tensors that need gradients (or those of `needed`), of these very arrays: no copy, no layout lost."""
    found = []
    for n, array in enumerate(arrays):
        item = tg.tensor(array, requires_grad=needed is None or needed[n])
        item._array = array
        found.append(item)
    return found


def upstream(case: Case, generator: np.random.Generator) -> np.ndarray:
    """Return a gradient that differs from element to element."""
    return np.asarray(generator.uniform(0.5, 1.5, case.raw([a.copy() for a in case.arrays]).shape))


def pulled(case: Case, arrays: Arrays, g: Any, create_graph: bool = False) -> list[tg.Tensor]:
    """Return the gradients with respect to all varying arrays; see that ``backward`` leaves the same in ``grad``."""
    inputs = leaves(arrays)
    out = case.run(inputs)
    found = tg.gradients(out, inputs, g, create_graph=create_graph, retain_graph=True)
    if not create_graph and inputs:
        out.backward(g)
        for t, d, name in zip(inputs, found, case.names(), strict=True):
            np.testing.assert_array_equal(t.grad, d.data, err_msg=f"{case}: {name}.grad after backward", strict=True)
    return found


def assert_close(found: Any, expected: Any, tolerance: float, what: str) -> None:
    """Raise AssertionError unless the arrays agree, relative to the largest expected value (or to 1)."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, expected {expected.shape}"
    assert np.isfinite(found).all(), f"{what}: not finite: {found}"
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    worst = float(np.abs(found - expected).max(initial=0.0)) / scale
    assert worst <= tolerance, f"{what}: off by {worst:.2e} (at most {tolerance:.0e}):\n{found}\nexpected\n{expected}"


# ---- derivatives by numbers


def is_analytic(op: Op) -> bool:
    """Whether the function may be fed complex numbers, so that the complex step gives its derivative."""
    ufunc = op.function
    return isinstance(ufunc, np.ufunc) and op.name not in NOT_ANALYTIC and "D" * ufunc.nin + "->D" in ufunc.types


def complex_step(f: Callable[[Arrays], Any], arrays: Arrays, which: int) -> np.ndarray:
    """Return the gradient of a scalar analytic function: Im f(x + ih) / h, without any cancellation."""
    step = 1e-30
    found = np.empty(arrays[which].shape)
    for at in np.ndindex(found.shape):
        moved = [a.astype(complex) for a in arrays]
        moved[which][at] += 1j * step
        found[at] = np.imag(f(moved)) / step
    return found


def differences(f: Callable[[Arrays], Any], arrays: Arrays, which: int, step: float = 2e-3) -> np.ndarray:
    """Return the gradient of a scalar function by central differences, extrapolated (error of order step**4)."""
    found = np.empty(arrays[which].shape)

    def central(at: tuple[int, ...], h: float) -> float:
        ends = []
        for sign in (1.0, -1.0):
            moved = [a.copy() for a in arrays]
            moved[which][at] += sign * h
            ends.append(float(f(moved)))
        return (ends[0] - ends[1]) / (2.0 * h)

    for at in np.ndindex(found.shape):
        found[at] = (4.0 * central(at, step / 2) - central(at, step)) / 3.0
    return found

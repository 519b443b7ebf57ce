"""Steps: rounding, quotients and remainders, and tests of elements.

Where a function is constant between its steps its gradient is 0, at the steps too. What only asks (comparisons, tests)
has no gradient at all: its results are constants, which index, mask and branch like arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.dispatch import FUNCTIONS, functions
from ..engine.op import op
from ..engine.tensor import Tensor
from .branches import fmod_quotient, quotient, rounded, side, steps
from .derived import derived
from .samples import Samples, binary, calls, several, unary

if TYPE_CHECKING:
    from numpy.random import Generator


# ---- samples that keep away from the steps


def _between(step: float = 1.0) -> Samples:
    """Arrays whose elements stay clear of the multiples of `step`, and of those of half a step."""

    def samples(generator: Generator) -> list[Any]:
        found: list[Any] = []
        for shape in ((), (3,), (2, 1, 4), (0, 3)):
            inside = generator.uniform(0.1, 0.4, shape) + 0.5 * generator.integers(0, 2, shape)
            found.append(((generator.integers(-3, 3, shape) + inside) * step,))
        return found

    return samples


def _quotients(generator: Generator) -> list[Any]:
    """Pairs of arrays of both signs whose quotients stay clear of integers."""
    found: list[Any] = []
    for left, right in (((), ()), ((3,), (3,)), ((2, 3), (3,)), ((3, 1), (1, 2)), ((2, 1, 2), (3, 1)), ((0, 2), (2,))):
        while True:
            x = generator.uniform(-4.0, 4.0, left)
            y = np.asarray(generator.uniform(0.7, 2.0, right) * generator.choice([-1.0, 1.0], right))
            ratio = x / y
            if (np.abs(ratio - np.rint(ratio)) > 0.05).all():
                break
        found.append((x, y))
    return [*found, (np.array([[0.4, -2.0], [4.0, 1.1]]), 1.5), (-4.0, np.array([1.5, -0.7]))]


# ---- rules and functions


def _zero(g: Any) -> Any:
    return np.zeros_like(g)


def _fmod_y(g: Any, x: Any, y: Any, out: Any) -> Any:
    # The whole number of times that y goes into x. The rounded x / y may be one more: 1 / 0.1 is 10, and
    # fmod(1, 0.1) is 0.1 - 6e-17, since 0.1 stands for a number slightly larger.
    return -g * np.rint((x - out) / y)


def _round(a: Any, decimals: int = 0) -> Any:
    return np.round(a, decimals)


def _isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    return np.isclose(a, b, rtol, atol, equal_nan)


def numbers(value: Any) -> Any:
    """Return the array of a tensor, whether or not it needs a gradient, and anything else as it is."""
    return value.data if isinstance(value, Tensor) else value


def _array(value: Any) -> Any:
    # NumPy calls unequal what it cannot make an array of; a list of tensors that need gradients has to raise instead.
    return np.asarray(numbers(value))


# ---- rounding

floor = op(np.floor, x=_zero,  branch=steps,                                           samples=_between())
ceil  = op(np.ceil,  x=_zero,  branch=steps,                                           samples=_between())
trunc = op(np.trunc, x=_zero,  branch=steps,                                           samples=_between())
rint  = op(np.rint,  x=_zero,  branch=steps,                                           samples=_between())
fix   = op(lambda x: np.trunc(x), name="fix", numpy=np.fix, x=_zero,  branch=steps,    samples=_between())
round = op(
    _round, a=_zero, numpy=(np.round, np.around), branch=rounded,
    samples=several(_between(), lambda generator: [(x, 1) for (x,) in _between(0.1)(generator)],
                    lambda generator: [((x,), {"decimals": -1}) for (x,) in _between(10.0)(generator)]),
)  # fmt: skip

# ---- quotients and remainders: x = floor_divide(x, y) * y + remainder(x, y)

floor_divide = op(np.floor_divide, x=_zero,       y=_zero,                                         samples=_quotients,
                  branch=steps)
remainder    = op(np.remainder,    x=lambda g: g, y=lambda g, x, y: -g * np.floor_divide(x, y),    samples=_quotients,
                  branch=quotient)
fmod         = op(np.fmod,         x=lambda g: g, y=_fmod_y,                                       samples=_quotients,
                  branch=fmod_quotient)
functions.mod = mod = remainder


@derived(np.divmod, samples=_quotients)
def divmod(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Return ``(floor_divide(x1, x2), remainder(x1, x2))``, as ``np.divmod``."""
    return floor_divide(x1, x2), remainder(x1, x2)


# ---- steps between two arguments

heaviside = op(np.heaviside, x1=_zero, x2=lambda g, x1: np.where(np.equal(x1, 0), g, 0.0),  samples=binary(gap=0.2),
               branch=lambda x1: side(x1))

# ---- comparisons and tests

for _ufunc in (
    np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal, np.logical_and, np.logical_or,
    np.logical_xor, np.bitwise_and, np.bitwise_or, np.bitwise_xor,
):  # fmt: skip
    _bits = calls(np.array([True, False]), np.array([True, True]))
    op(_ufunc, samples=_bits if _ufunc.__name__.startswith("bit") else binary())
for _test in (np.isfinite, np.isnan, np.isinf, np.logical_not, np.signbit):
    op(_test, samples=unary())
op(lambda x: np.isposinf(x), name="isposinf", numpy=np.isposinf, samples=unary())
op(lambda x: np.isneginf(x), name="isneginf", numpy=np.isneginf, samples=unary())
op(np.invert, samples=calls(np.array([True, False])))
for _shift in (np.left_shift, np.right_shift):
    op(_shift, samples=several(calls(np.array([5, -8]), np.array([[1], [2]])), calls(np.array([5, 8]), 1)))
op(_isclose, numpy=np.isclose, broadcasts=True,
   samples=several(binary(), calls(np.array([1.0, np.nan, 2.0]), np.array([1.0 + 1e-9, np.nan, 2.1]), equal_nan=True),
                   calls(np.array([1.0, 2.0]), np.array([1.05, 2.5]), rtol=0.0, atol=0.1)))  # fmt: skip


def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> bool:
    """Return whether all elements are close, a bool as from ``np.allclose``; tensors may need gradients."""
    return np.allclose(numbers(a), numbers(b), numbers(rtol), numbers(atol), equal_nan)


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    """Return whether shapes and elements are the same, a bool as from ``np.array_equal``."""
    return np.array_equal(_array(a1), _array(a2), equal_nan)


def array_equiv(a1: Any, a2: Any) -> bool:
    """Return whether elements are the same once broadcast, a bool as from ``np.array_equiv``."""
    return np.array_equiv(_array(a1), _array(a2))


functions.allclose = FUNCTIONS[np.allclose] = allclose
functions.array_equal = FUNCTIONS[np.array_equal] = array_equal
functions.array_equiv = FUNCTIONS[np.array_equiv] = array_equiv

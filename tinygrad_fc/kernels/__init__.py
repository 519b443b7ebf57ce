"""Inner loops: arrays in, arrays out or changed in place. `numpy_` always works; `numba_` takes over where installed.

Both have the same functions with the same arguments, and differ by rounding alone (the tests state the bound). Which
one runs depends on the size of the array and on `use_kernels`, and on nothing that happened before, so that a run that
is repeated or resumed gives the same bits.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import importlib
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from . import numpy_

if TYPE_CHECKING:
    from .instructions import Instructions
    from .passes import Passes

    InstructionList: TypeAlias = Instructions | Passes

# From here on one compiled pass over the arrays is several times as fast as NumPy's handful. Importing Numba takes half
# a second, once; whoever installs it means to train, and toys with smaller arrays never spend it.
LARGE = 2_048
_REAL = frozenset(map(np.dtype, (np.float32, np.float64)))  # of this machine's byte order
_COMPILED = _REAL | {np.dtype(np.bool_)}  # which masks are

_least: float = LARGE  # the smallest size that is compiled
# In a block that `as_one` opened, whether arrays of all sizes may be, or none.
_every: ContextVar[bool | None] = ContextVar("tinygrad_fc.as_one", default=None)


def _size() -> float:
    if 0 < _least < math.inf and (every := _every.get()) is not None:
        return 0 if every else math.inf
    return _least


@contextlib.contextmanager
def as_one(size: int) -> Iterator[bool]:
    """Treat all arrays of a block as parts of one of so many elements: compiled kernels run on all of them, or none.

    A network's training is such a block: its size is that of its parameters. Where the policy compiles every size, or
    none, nothing changes. The value is whether the kernels are compiled.
    """
    token = _every.set(_every.get() or size >= LARGE)
    try:
        yield _size() == 0 and compiled() is not None
    finally:
        _every.reset(token)


def quiet() -> contextvars.Context:
    """Return a context in which kernels are chosen as here, and NumPy reports no overflow and the like."""
    context = contextvars.Context()  # to enter it takes a sixth of the time of `np.errstate`
    context.run(np.seterr, all="ignore")
    context.run(_every.set, _every.get())
    return context


def together(size: int) -> bool:
    """Whether compiled kernels run on all parts of what has so many elements, as a block of `as_one` would say."""
    every = _least == 0 or _least < math.inf and (size >= LARGE or _every.get() is True)
    return every and compiled() is not None


def use_kernels(policy: str) -> None:
    """Choose who runs the inner loops.

    Parameters
    ----------
    policy : {"auto", "numpy", "numba"}
        ``"auto"``: Numba for arrays of 2,048 elements and more, where it is installed, and NumPy for the rest (the
        default). What trains a network as a whole (an optimizer, a model's ``loss``, `Solver`, `compile`) goes by the
        number of its parameters. ``"numpy"``: NumPy, but for large matrix products where MKL is installed. ``"numba"``:
        Numba for arrays of every size: what makes small networks fast.

    Raises
    ------
    ValueError
        If the policy is none of these.
    ModuleNotFoundError
        If it is ``"numba"`` and Numba cannot be imported; the message says how to install it.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> tg.use_kernels("numpy")
    >>> tg.use_kernels("auto")
    """
    global _least
    if policy not in ("auto", "numpy", "numba"):
        raise ValueError(f"use_kernels: policy={policy!r}, expected 'auto', 'numpy' or 'numba'.")
    if policy == "numba" and compiled() is None:
        cure = "pip install numba (or tinygrad_fc[fast]), and leave NUMBA_DISABLE_JIT alone"
        raise ModuleNotFoundError(f"use_kernels: 'numba' needs Numba: {cure}.")
    _least = {"auto": LARGE, "numpy": math.inf, "numba": 0}[policy]


def kernels(array: np.ndarray) -> ModuleType:
    """Return the module of kernels to use on arrays like `array`: contiguous float32 or float64 may be compiled."""
    if array.size < _size() or array.dtype not in _COMPILED or not array.flags.c_contiguous:
        return numpy_
    return compiled() or numpy_


def product_kernels(a: np.ndarray, b: np.ndarray, *more: np.ndarray) -> ModuleType:
    """Return the module of kernels to use on the product of two matrices, and on what goes with it.

    Those that are compiled take arrays of one dtype; of the two matrices each may be the transpose of what is
    contiguous.
    """
    dtype = a.dtype
    if len(a) * b.shape[1] < _size() or dtype not in _REAL or b.dtype != dtype:
        return numpy_
    for matrix in (a, b):
        if not (matrix.flags.c_contiguous or matrix.flags.f_contiguous):
            return numpy_
    for array in more:
        if array.dtype != dtype or not array.flags.c_contiguous:
            return numpy_
    return compiled() or numpy_


def machine_for(size: int, dtypes: Iterable[np.dtype[Any]]) -> Callable[[np.dtype[Any]], InstructionList] | None:
    """Return what makes lists of instructions on arrays of a dtype, or None where there is nothing to run them.

    Compiled code runs those of `instructions.Instructions`, on several threads. Where Numba is not installed, or
    `use_kernels` does not choose it, NumPy runs those of `passes.Passes`.

    Parameters
    ----------
    size : int
        Elements of all arrays together: below a number that `use_kernels` sets, NumPy does it.
    dtypes : iterable of dtype
        Of the arrays: float32 and float64 have instructions.
    """
    if not _REAL.issuperset(dtypes):
        return None
    if not together(size):
        from .passes import Passes

        return Passes
    from .instructions import Instructions  # it needs Numba
    from .team import team

    shared = team()  # NumPy may have another BLAS than the one that it calls
    return None if shared is None else functools.partial(Instructions, shared)


@functools.cache
def compiled() -> ModuleType | None:
    """Return the compiled kernels; None where Numba is not installed (or does not work, which is said once)."""
    try:
        return importlib.import_module(".numba_", __name__)
    except ModuleNotFoundError as error:
        if error.name != "numba":
            raise
    except ImportError as error:  # Numba refuses versions of NumPy that it does not know
        warnings.warn(f"Numba is installed and cannot be imported, so NumPy does its work: {error}", stacklevel=2)
    return None

"""Inner loops: arrays in, arrays changed in place. `numpy_` always works; `numba_` takes large arrays where installed.

Both have the same functions with the same arguments, and differ by rounding alone (the tests state the bound).
"""

from __future__ import annotations

import functools
import importlib
import warnings
from types import ModuleType

import numpy as np

from . import numpy_

# From here on one compiled pass over the arrays is three times as fast as NumPy's dozen. Importing Numba takes half a
# second, once; whoever installs it means to train, and toys with fewer parameters never spend it.
LARGE = 2_048


def kernels(array: np.ndarray) -> ModuleType:
    """Return the module of kernels to use on arrays like `array` (1-d or contiguous)."""
    if array.size < LARGE or not array.flags.c_contiguous:
        return numpy_
    return compiled() or numpy_


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

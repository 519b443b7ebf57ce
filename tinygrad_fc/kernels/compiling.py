"""Compiling: how loops become machine code, and how long that code is kept on disk."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numba

if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]  # it is there
    raise ModuleNotFoundError("NUMBA_DISABLE_JIT is set", name="numba")  # Python cannot work with addresses

# What compiled functions are made of: they, what they call, and the numbers that they read.
SOURCES = ("codes", "compiling", "jobs", "loops", "machine", "native", "rules")


def _stamp() -> str:
    """Return what changes with the source of the kernels.

    Numba keeps compiled code until the file of the function changes, and does not look at those of the functions and
    numbers that went into it. So the name under which it is kept says what all of them were.
    """
    sources = [files(__package__).joinpath(f"{name}.py") for name in SOURCES]
    return f"{zlib.crc32(b''.join(source.read_bytes() for source in sources if source.is_file())):08x}"


_STAMP = _stamp()


def _cached(compiler: Callable[..., Any], function: Any) -> Any:
    """Return the compiled function, kept on disk where that is possible."""
    global _told
    function.__qualname__ += f"_{_STAMP}"
    try:
        return compiler(cache=True)(function)
    except RuntimeError:  # Numba found no folder that can be written
        if not _told:
            _told = True
            warnings.warn(
                "The compiled kernels can be kept nowhere, so each process compiles them anew, which takes seconds; "
                "set NUMBA_CACHE_DIR to a folder that can be written.", stacklevel=2,
            )  # fmt: skip
        return compiler(cache=False)(function)


_told = False


def compile_(function: Any) -> Any:
    """Compile a function at its first call with arguments of some types.

    Every product and every sum is rounded by itself, as NumPy rounds them: so the bits are the same wherever the
    compiler puts a loop. (It has to be said: a function takes over the options of whoever calls it first, unless it has
    its own.)
    """
    return _cached(lambda cache: numba.njit(cache=cache, **_OPTIONS), function)


def compile_reduction(function: Any) -> Any:
    """Compile a function that Python alone calls, and whose sums may be taken in whatever order is fast.

    That order is the compiler's, the same at every call; inside another function it might be another.
    """
    options = {**_OPTIONS, "fastmath": {"reassoc", "contract"}}
    return _cached(lambda cache: numba.njit(cache=cache, **options), function)


def compile_part(function: Any) -> Any:
    """Compile what other compiled functions alone call: it is kept as a part of them."""
    return numba.njit(**_OPTIONS)(function)


def compile_c(signature: Any, function: Any) -> Any:
    """Compile a function at once, to be called by address."""
    return _cached(lambda cache: numba.cfunc(signature, cache=cache), function)


_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": False, "error_model": "numpy"}

"""BLAS: the matrix products that compiled code calls by address: those of NumPy's OpenBLAS, and MKL's."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

# How NumPy's wheels name the functions of the OpenBLAS that they bring, with 64-bit integers; and OpenBLAS itself.
_NAMES = (
    ("scipy_cblas_sgemm64_", "scipy_cblas_dgemm64_", "scipy_openblas_{}_num_threads64_"),
    ("cblas_sgemm64_", "cblas_dgemm64_", "openblas_{}_num_threads64_"),
)
_MKL_NAME = re.compile(r"libmkl_rt\.so(\.\d+)?")
_SEQUENTIAL = 1  # MKL_THREADING_SEQUENTIAL


def address(function: Any) -> int:
    """Return where a C function begins."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def openblas() -> tuple[int, int, int, int] | None:
    """Return the addresses of sgemm, dgemm, and of what reads and sets BLAS's threads; None where NumPy has another."""
    try:  # a handle of NumPy's own extension finds what it was linked with
        library = ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)
    except (AttributeError, OSError, TypeError):  # it is built into Python, say
        return None
    for single, double, threads in _NAMES:
        names = (single, double, threads.format("get"), threads.format("set"))
        if all(hasattr(library, name) for name in names):
            a, b, c, d = (address(getattr(library, name)) for name in names)
            return a, b, c, d
    return None


def mkl() -> tuple[int, int, int] | None:
    """Return the addresses of MKL's sgemm, dgemm, and of what sets the threads of a caller; None where it is not there.

    It is asked for products by one thread alone, so it gets no threads, unless somebody has loaded it with some.
    """
    for path in _mkl_paths():
        try:
            library: Any = ctypes.CDLL(path)
            functions = library.cblas_sgemm_64, library.cblas_dgemm_64, library.MKL_Set_Num_Threads_Local
        except (AttributeError, OSError):  # one of another system, or of before it had both sizes of integers
            continue
        if "MKL_THREADING_LAYER" not in os.environ:
            library.MKL_Set_Threading_Layer(_SEQUENTIAL)
        a, b, c = map(address, functions)
        return a, b, c
    return None


def _mkl_paths() -> list[str]:
    """Return where MKL's library may be: where pip installed it, or beside this Python's own libraries."""
    try:
        found = [str(file.locate()) for file in metadata.files("mkl") or () if _MKL_NAME.fullmatch(file.name)]
    except metadata.PackageNotFoundError:
        found = []
    return found or sorted(map(str, Path(sys.prefix, "lib").glob("libmkl_rt.so*")))


def wanted_threads() -> int:
    """Return how many threads share the work: what the environment says for BLAS, else a thread for each core."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        first = os.environ.get(name, "").split(",")[0].strip()  # OMP_NUM_THREADS may have one for each level
        if first.isdecimal() and int(first) > 0:
            return int(first)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

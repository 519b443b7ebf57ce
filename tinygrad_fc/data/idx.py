"""The idx format: an array of bytes behind its dimensions, as MNIST and its kin are published."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

_UNSIGNED_BYTE = 0x08
# No more is unpacked than the dimensions announce, and no more than this is announced.
_LARGEST = 2**31


def read_idx(path: Path) -> np.ndarray:
    """Read an idx file of unsigned bytes; a name that ends in .gz is unpacked.

    Parameters
    ----------
    path : Path

    Returns
    -------
    ndarray of uint8
        The caller's own.

    Raises
    ------
    ValueError
        If it is no such file, cut off, or longer than its dimensions say. The message names it.
    OSError
        If it cannot be read.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] != _UNSIGNED_BYTE or not 1 <= head[3] <= 4:
                raise ValueError(f"{path}: no idx file of unsigned bytes (it begins with {head!r})")
            lengths = file.read(4 * head[3])
            shape = tuple(int.from_bytes(lengths[at : at + 4], "big") for at in range(0, len(lengths), 4))
            size = math.prod(shape)
            if len(lengths) < 4 * head[3] or size > _LARGEST:
                raise ValueError(f"{path}: it is cut off, or announces {size:,} bytes; at most {_LARGEST:,} are read")
            content = file.read(size + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged: it cannot be unpacked ({error})") from None
    if len(content) != size:
        given = "more" if len(content) > size else f"{len(content):,}"
        raise ValueError(f"{path}: it has {given} bytes where its dimensions {shape} announce {size:,}")
    return np.frombuffer(content, np.uint8).reshape(shape).copy()

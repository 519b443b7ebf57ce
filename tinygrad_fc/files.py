"""Files that are written whole or not at all, and arrays in them as safetensors."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

# What safetensors can hold of NumPy's dtypes.
DTYPES = frozenset(
    np.dtype(name) for name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
                                "float16", "float32", "float64")
)  # fmt: skip

_KEY = "tinygrad_fc"


class FileError(ValueError):
    """A file does not hold what it should. The message begins with its path."""


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file under a temporary name, flush it to the disk and rename it: it is there whole, or as it was.

    What stands there keeps its permissions, and a link stays a link.

    Parameters
    ----------
    path : str or Path
        Its folder must exist. A device or a pipe is written to as it is.
    data : bytes
        The content.

    Raises
    ------
    OSError
        If it cannot be written, or its folder is missing; the message names it. The temporary file is removed then,
        and what was there before is untouched, unless the message says that the file is there.
    """
    path = Path(path)
    place = Path(os.path.realpath(path))
    if not place.parent.is_dir() or place.is_dir():
        raise FileNotFoundError(f"{path}: it is a folder, or its folder is missing; give the path of a file")
    if place.exists() and not place.is_file():
        place.write_bytes(data)
        return
    hidden = place.parent / hidden_name(place.name, "tmp")
    said = "the file was not written ({}); what was there before is untouched"
    try:
        write_synced(hidden, data)
        if place.exists():
            shutil.copymode(place, hidden)
        os.replace(hidden, place)
        said = "the file is there, but a power cut may undo it ({})"
        sync_folder(place.parent)
    except OSError as error:
        raise type(error)(error.errno, said.format(error.strerror or error), str(path)) from error
    finally:
        with contextlib.suppress(OSError):  # after a rename there is none
            hidden.unlink()


def csv_bytes(header: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """Return a table as a CSV file in UTF-8, with a header line; None becomes an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def hidden_name(name: str, ending: str) -> str:
    """Return a name that no other process uses, for what is to be `name` later, or was."""
    # Cut off, since a name has 255 bytes at most. A file made under it has the permissions of any other, as those of
    # the module tempfile have not.
    return f".{name[:50]}-{os.urandom(8).hex()}.{ending}"


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and wait until the disk has it."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the disk has what was renamed in a folder (where the system can open folders)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems know it for files alone
                raise
        finally:
            os.close(handle)


def tensor_bytes(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Return arrays by name as a safetensors file.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Of booleans, integers or real floats; copied where they are not contiguous.
    metadata : mapping of str to str
        Stands in the header, as JSON under the key ``tinygrad_fc``.

    Raises
    ------
    TypeError
        If an array has a dtype that safetensors has not, or is more than an array: a mask would be lost.
    ValueError
        If a name is one that a file cannot hold.
    """
    from safetensors.numpy import save  # imported here: only files need it

    plain = {}
    for name, array in arrays.items():
        if not isinstance(name, str) or type(array) not in (np.ndarray, np.memmap):
            raise TypeError(f"{name!r}: given {type(array).__name__}, expected an ndarray under a name")
        if name == "__metadata__" or not _is_text(name):
            raise ValueError(f"{name!r}: a file of arrays cannot hold this name; give it another")
        dtype = array.dtype.newbyteorder("=") if array.dtype.kind in "biuf" else array.dtype
        if dtype not in DTYPES:
            raise TypeError(f"{name}: dtype {array.dtype} cannot be saved; convert it to one of "
                            f"{', '.join(sorted(map(str, DTYPES)))}")  # fmt: skip
        plain[name] = np.ascontiguousarray(array, dtype).reshape(array.shape)  # which makes 0-d arrays 1-d
    # Under one key: safetensors writes several in an order that differs from run to run.
    return save(plain, {_KEY: json.dumps(dict(metadata))})


def read_tensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file. Nothing in it is run, whatever it is.

    Returns
    -------
    arrays : dict of str to ndarray
        The caller's own.
    metadata : dict of str to str
        What `tensor_bytes` was given; empty for files of others.

    Raises
    ------
    FileError
        If it is no file of this kind, is damaged, or holds a dtype that NumPy has not.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    return parse_tensors(path, read_file(path))


def read_file(path: Path) -> bytes:
    """Return the bytes of a regular file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    FileError
        If it is a folder, a device or the like, or larger than the memory.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    if not path.is_file():
        raise FileError(f"{path}: it is no regular file")
    try:
        return path.read_bytes()
    except MemoryError:
        raise FileError(f"{path}: its {path.stat().st_size} bytes are more than the memory holds") from None


def parse_tensors(path: Path, data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return what the bytes of a safetensors file hold; `path` is for messages."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        loaded = load(data)
        length = int.from_bytes(data[:8], "little")
        about = json.loads((json.loads(data[8 : 8 + length]).get("__metadata__") or {}).get(_KEY, "{}"))
    except (SafetensorError, KeyError, ValueError, TypeError, OverflowError, MemoryError, RecursionError) as error:
        detail = f"unknown dtype {error}" if isinstance(error, KeyError) else error
        raise FileError(f"{path}: no safetensors file, or a damaged one ({detail})") from None
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise FileError(f"{path}: its header says {about!r} of it, expected a JSON object of strings")
    return {name: array.copy() for name, array in loaded.items()}, about


def _is_text(name: str) -> bool:
    """Whether a name can be written in UTF-8: half of a surrogate pair cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_writable(folder: Path) -> None:
    """Make a folder where there is none, and try to write into it.

    Raises
    ------
    OSError
        If it cannot be made or written to; the message names it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(prefix=".writable-", dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        reason = error.strerror or str(error)
        said = f"the folder cannot be written to ({reason}); name another"
        raise type(error)(error.errno, said, str(folder)) from None



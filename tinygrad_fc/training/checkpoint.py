"""Checkpoints: a training run on disk, written whole or not at all, read without running anything.

A checkpoint is a folder ``step-000000120`` with three files: ``weights.safetensors`` has the model's arrays,
``state.safetensors`` all other arrays, and ``state.json`` the tree that they belong to. The JSON object has

- ``format`` ("tinygrad_fc.checkpoint") and ``version`` (1),
- ``files``: size in bytes and SHA-256 of each of the two others,
- ``state``: the tree. An array stands in it as ``{"$array": name}``, a float that JSON has no number for as
  ``{"$float": "nan"}``, ``"inf"`` or ``"-inf"``,
- ``digest``: the SHA-256 of the JSON text of all the rest, keys sorted, without spaces.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..files import (
    FileError,
    check_writable,
    hidden_name,
    parse_tensors,
    read_file,
    sync_folder,
    tensor_bytes,
    write_synced,
)

__all__ = ["CheckpointError", "CheckpointWarning", "check_writable", "newest", "read_checkpoint", "write_checkpoint"]

FORMAT, VERSION = "tinygrad_fc.checkpoint", 1
WEIGHTS, ARRAYS, STATE = "weights.safetensors", "state.safetensors", "state.json"
_NAME = re.compile(r"step-([0-9]{9,18})")
_HIDDEN = re.compile(r"\.step-([0-9]{9,18})-\w+\.(tmp|old)")
_DEPTH = 50  # of the tree
_DAMAGED = "damaged, cut off or of another checkpoint: size or digest differ"
_BITS = 2048  # of its integers: Python may refuse to read numbers of more than 640 digits


class CheckpointError(FileError):
    """A checkpoint cannot be read. The message begins with its path."""


class CheckpointWarning(UserWarning):
    """A checkpoint was passed over, or could not be written."""


def write_checkpoint(
    folder: str | Path, step: int, weights: Mapping[str, np.ndarray], state: Mapping[str, Any], keep: int = 3
) -> Path:
    """Write a checkpoint into a folder; it is there whole, or not at all.

    Parameters
    ----------
    folder : str or Path
        Made where there is none.
    step : int
        Gives its name, at least 0; one of the same step is replaced.
    weights : mapping of str to ndarray
        The model's arrays.
    state : dict
        A tree of dicts with string keys, lists, bools, integers below 2^2048, floats, strings, None and ndarrays. There
        are no tuples in it and no NumPy scalars, which would come back as something else.
    keep : int
        Of the checkpoints in the folder the last so many are kept, at least 1. Older ones go when the new one is on
        the disk.

    Returns
    -------
    Path
        Of the checkpoint.

    Raises
    ------
    TypeError
        If the tree holds anything else; the message has its path in the tree. Nothing was written then.
    ValueError
        If a number is out of range, or a name is one that no file can hold. Nothing was written then.
    OSError
        If it cannot be written, as when the disk is full. What was written before is untouched, and nothing half
        written stays.
    """
    folder = Path(folder)
    for argument, value, low, high in (("step", step, 0, 10**18 - 1), ("keep", keep, 1, math.inf)):
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{argument}: given {value!r}, expected an integer from {low} to {high}")
    if type(state) is not dict:
        raise TypeError(f"state: given {type(state).__name__}, expected a dict")
    arrays: dict[str, np.ndarray] = {}
    tree = _packed(state, "state", arrays, 0)
    files = {WEIGHTS: tensor_bytes(weights, {"format": FORMAT, "version": str(VERSION)}),
             ARRAYS: tensor_bytes(arrays, {"format": FORMAT, "version": str(VERSION)})}  # fmt: skip
    content = {"format": FORMAT, "version": VERSION, "step": step, "state": tree,
               "files": {name: {"bytes": len(data), "sha256": _sha(data)} for name, data in files.items()}}  # fmt: skip
    content["digest"] = _sha(_canonical(content))
    files[STATE] = json.dumps(content, allow_nan=False).encode()

    name = f"step-{step:09d}"
    final, hidden, old = folder / name, folder / hidden_name(name, "tmp"), folder / hidden_name(name, "old")
    placed = False
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True)
            sync_folder(folder.parent)
        hidden.mkdir()
        for part, data in files.items():
            write_synced(hidden / part, data)
        sync_folder(hidden)
        if final.exists():
            final.rename(old)  # where `newest` finds it, should the next line never come
        hidden.rename(final)
        placed = True
        sync_folder(folder)
    except OSError as error:
        if placed:  # where the disk may not have it: so that what is said below is so
            with contextlib.suppress(OSError):
                final.rename(hidden)
        reason = error.strerror or str(error)
        raise type(error)(error.errno, f"the checkpoint of step {step} was not written ({reason}); those before it are "
                          f"untouched", str(folder)) from error  # fmt: skip
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
        with contextlib.suppress(OSError):
            if old.exists() and not final.exists():
                old.rename(final)
    _tidy(folder, final, keep)
    return final


def read_checkpoint(path: str | Path) -> tuple[int, dict[str, np.ndarray], dict[str, Any]]:
    """Read and check one checkpoint. Nothing in it is run, and no file but its three is opened.

    Returns
    -------
    step : int
    weights : dict of str to ndarray
    state : dict
        The tree that was written, bit for bit.

    Raises
    ------
    CheckpointError
        If a file is missing, damaged, foreign or of a newer version; the message names it.
    """
    path = Path(path)
    where = path / STATE
    data = _read(path, STATE)
    try:
        content = json.loads(data)
        digest = content.pop("digest", None) if isinstance(content, dict) else None
        found = _sha(_canonical(content))  # raises for NaN and for 1e999, which JSON has not
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where}: no JSON, or damaged ({error})") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{where}: no checkpoint of tinygrad_fc")
    version, step = content.get("version"), content.get("step")
    if type(version) is not int or version < 1:
        raise CheckpointError(f"{where}: version {version!r} is none")
    if version > VERSION:
        raise CheckpointError(
            f"{where}: written by a newer version of tinygrad_fc (format {version}, this one reads up to {VERSION}); "
            f"update tinygrad_fc"
        )
    if digest != found:
        raise CheckpointError(f"{where}: damaged: its content does not have the digest that it says")
    files, name = content.get("files"), _NAME.fullmatch(path.name)
    if type(step) is not int or not isinstance(files, dict) or set(files) != {WEIGHTS, ARRAYS}:
        raise CheckpointError(f"{where}: no step, or files other than {WEIGHTS} and {ARRAYS}")
    if name is not None and int(name[1]) != step:
        raise CheckpointError(f"{where}: it is of step {step}, and its folder of step {int(name[1])}")
    parts = []
    for part in (WEIGHTS, ARRAYS):
        said = files[part]
        data = _read(path, part, said.get("bytes") if isinstance(said, dict) else None)
        if said != {"bytes": len(data), "sha256": _sha(data)}:
            raise CheckpointError(f"{path / part}: {_DAMAGED}")
        try:
            parts.append(parse_tensors(path / part, data)[0])
        except FileError as error:
            raise CheckpointError(str(error)) from None
    weights, arrays = parts
    try:
        state = _unpacked(content.get("state"), arrays, 0)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{where}: its tree is none that a checkpoint has ({error})") from None
    if not isinstance(state, dict):
        raise CheckpointError(f"{where}: its state is no tree")
    return step, weights, state


def checkpoints(folder: str | Path) -> list[Path]:
    """Return the checkpoints of a folder, oldest first, good or bad."""
    return [path for _, path in sorted(_numbered(Path(folder)))]


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    """Return the checkpoints of a folder with their steps, in no order."""
    return [(int(match[1]), path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]


def newest(folder: str | Path) -> tuple[Path, int, dict[str, np.ndarray], dict[str, Any]]:
    """Read the newest good checkpoint of a folder, and warn of each newer one that is not.

    Returns
    -------
    path : Path
    step, weights, state
        As `read_checkpoint` returns them.

    Raises
    ------
    CheckpointError
        If there is no folder, no checkpoint in it, or no good one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; a Solver with checkpoint_dir={str(folder)!r} makes it")
    try:
        # One that was being replaced when the run was killed counts, too.
        replaced = [
            (int(match[1]), path) for path in sorted(folder.iterdir())
            if (match := _HIDDEN.fullmatch(path.name)) and match[2] == "old" and (path / STATE).exists()
        ]  # fmt: skip
        paths = [path for _, path in sorted(replaced + _numbered(folder), key=lambda pair: pair[0])]
    except OSError as error:
        raise CheckpointError(f"{folder}: the folder cannot be read ({error.strerror or error})") from None
    if not paths and (folder / STATE).exists():
        raise CheckpointError(f"{folder}: it is a checkpoint itself; give the folder that it is in: {folder.parent}")
    if not paths:
        raise CheckpointError(f"{folder}: there is no checkpoint in it (step-000000100, say); start the run anew")
    faults = []
    for path in reversed(paths):
        try:
            step, weights, state = read_checkpoint(path)
        except CheckpointError as error:
            faults.append(str(error))
            continue
        for fault in faults:
            warnings.warn(f"{fault}; going on from {path.name}", CheckpointWarning, stacklevel=3)
        return path, step, weights, state
    raise CheckpointError(f"{folder}: none of its {len(paths)} checkpoints can be read: {'; '.join(faults)}")


def _packed(value: Any, path: str, arrays: dict[str, np.ndarray], depth: int) -> Any:
    """Return a tree as JSON has it, and put its arrays aside."""
    if depth > _DEPTH:
        raise TypeError(f"{path}: nested more than {_DEPTH} deep")
    if type(value) is int and value.bit_length() > _BITS:
        raise ValueError(f"{path}: an integer of {value.bit_length()} bits cannot be saved; expected {_BITS} at most")
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, np.ndarray):
        name = path
        while name in arrays:  # {"a.b": x} and {"a": {"b": y}} have one path
            name += "'"
        arrays[name] = value
        return {"$array": name}
    if type(value) is list:
        return [_packed(item, f"{path}[{n}]", arrays, depth + 1) for n, item in enumerate(value)]
    if type(value) is dict:
        for key in value:
            if type(key) is not str or key.startswith("$"):
                raise TypeError(f"{path}: key {key!r}, expected a string that does not begin with $")
        return {key: _packed(item, f"{path}.{key}", arrays, depth + 1) for key, item in value.items()}
    raise TypeError(
        f"{path}: {type(value).__name__} cannot be saved; expected dict, list, bool, int, float, str, None or ndarray"
    )


def _unpacked(value: Any, arrays: dict[str, np.ndarray], depth: int) -> Any:
    """Return the tree that `_packed` was given."""
    if depth > _DEPTH:
        raise ValueError(f"nested more than {_DEPTH} deep")
    if isinstance(value, list):
        return [_unpacked(item, arrays, depth + 1) for item in value]
    if isinstance(value, dict):
        if set(value) == {"$array"}:
            return arrays[value["$array"]]
        if set(value) == {"$float"}:
            return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[value["$float"]]
        if any(key.startswith("$") for key in value):
            raise ValueError(f"an object with the keys {', '.join(value)}")
        return {key: _unpacked(item, arrays, depth + 1) for key, item in value.items()}
    return value


def _read(path: Path, name: str, size: Any = None) -> bytes:
    """Return the bytes of one of a checkpoint's files; links that lead elsewhere are not followed."""
    part = path / name
    try:
        if part.is_symlink() or path.is_symlink():
            raise CheckpointError(f"{part}: a link; a checkpoint is a folder with three files of its own")
        if size is not None and part.is_file() and part.stat().st_size != size:
            raise CheckpointError(f"{part}: {_DAMAGED}")  # before it is read: it may be as large as the disk
        return read_file(part)
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(f"{part}: missing") from None
    except (OSError, FileError) as error:
        raise CheckpointError(f"{part}: cannot be read ({error})") from None


def _tidy(folder: Path, new: Path, keep: int) -> None:
    """Remove checkpoints but the last `keep`, and what runs left that were killed while they wrote or removed."""
    for path in _surplus(folder, new, keep):
        with contextlib.suppress(OSError):  # what cannot be removed now is left for the next time
            if not _HIDDEN.fullmatch(path.name):
                # Hidden first: half removed, it is no checkpoint any more. A rename needs no space on the disk.
                path = path.rename(folder / hidden_name(path.name, "tmp"))
            shutil.rmtree(path, ignore_errors=True)


def _surplus(folder: Path, new: Path, keep: int) -> Iterator[Path]:
    kept = [path for path in checkpoints(folder) if path != new]
    # A folder may hold later steps of a run that was resumed from an earlier one: they are the first to go.
    step = int(_NAME.fullmatch(new.name)[1])  # type: ignore[index]  # it was made with such a name
    later = [path for path in kept if int(path.name.removeprefix("step-")) > step]
    earlier = [path for path in kept if path not in later]
    yield from later
    yield from earlier[: max(0, len(earlier) - (keep - 1))]
    yield from (path for path in folder.iterdir() if _HIDDEN.fullmatch(path.name))


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

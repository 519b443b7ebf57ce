"""A data set of the user's: an .npz of arrays, or a .csv whose rows are samples."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .reading import LABEL_NAMES, MISSING, is_number, open_npz, read_table

_PARTS = ("train", "val", "test")


def load_arrays(
    path: str | os.PathLike[str],
    dtype: npt.DTypeLike | None = np.float32,
    seed: int = 0,
    validation: float = 0.2,
    test: float = 0.0,
) -> dict[str, Any]:
    """Load a data set for a classifier from a file.

    Parameters
    ----------
    path : path
        An ``.npz`` with ``X_train``, ``y_train`` (or ``X``, ``y``) and perhaps ``X_val``, ``y_val``, ``X_test``,
        ``y_test``; or a ``.csv`` with one sample a row: numbers, and the label in the column that is called label,
        y, target or class, and else in the last one. A first row is taken for the names where no cell of it is a
        number, where one is such a name of the label's, or where the last one alone is no number and all labels are.
    dtype : dtype or None
        Of the samples: a floating type; None leaves them as the file has them, which for a ``.csv`` is float64.
    seed : int
        Of the shuffle before a split. The same seed gives the same split.
    validation, test : float
        Shares of the samples, in [0, 1), that become these parts where the file has none of them.

    Returns
    -------
    dict
        ``X_train``, ``y_train``, ``X_val``, ``y_val``, and with test samples ``X_test``, ``y_test``: samples of
        `dtype`, labels 0, 1, ... as int64. Labels that are words, or other numbers, are numbered in order, and
        ``classes`` is the list of what they were. ``names`` is the list of the features' names, where a ``.csv`` has
        a row of them.

    Raises
    ------
    ValueError
        When the file does not hold this, or `dtype` is too coarse for a feature (the seconds of a date are one number
        in float32); the message names file, row and column. Nothing in it is ever run.
    FileNotFoundError
        When there is no such file.
    TypeError
        When `dtype` is no floating type.
    """
    path, kind = Path(path), None if dtype is None else np.dtype(dtype)
    if kind is not None and kind.kind != "f":
        raise TypeError(f"dtype must be a floating type such as np.float32, got {kind}")
    for name, share in (("validation", validation), ("test", test)):
        if not 0.0 <= share < 1.0:
            raise ValueError(f"{name} must lie in [0, 1), got {share!r}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".csv"):
        raise ValueError(f"{path}: its name ends in {suffix or 'nothing'}, expected .npz or .csv")
    found, names = (_from_npz(path), []) if suffix == ".npz" else _from_csv(path)
    data: dict[str, Any] = {}
    classes = _classes([found[f"y_{part}"] for part in _PARTS if f"y_{part}" in found])
    for part in _PARTS:
        if f"X_{part}" in found:
            data[f"X_{part}"] = _samples(path, f"X_{part}", found[f"X_{part}"], kind)
            data[f"y_{part}"] = _labels(path, f"y_{part}", found[f"y_{part}"], classes)
            if len(data[f"X_{part}"]) != len(data[f"y_{part}"]):
                raise ValueError(f"{path}: X_{part} has {len(data[f'X_{part}'])} samples, y_{part} "
                                 f"{len(data[f'y_{part}'])} labels")  # fmt: skip
    _split(path, data, seed, {"test": test, "val": validation})
    if classes is not None:
        data["classes"] = classes
    if names:
        data["names"] = names
    return data


def _from_npz(path: Path) -> dict[str, np.ndarray]:
    with open_npz(path) as archive:
        names = set(archive.files)
        held = [pair for pair in (("X_train", "y_train"), ("X", "y")) if set(pair) <= names]
        if len(held) != 1:
            raise ValueError(f"it holds {', '.join(sorted(names)) or 'nothing'}, expected X_train and y_train, or X "
                             f"and y in place of them, and perhaps X_val, y_val, X_test, y_test")  # fmt: skip
        found = {name: archive[key] for name, key in zip(("X_train", "y_train"), held[0], strict=True)}
        for part in _PARTS[1:]:
            pair = {f"X_{part}", f"y_{part}"} & names
            if len(pair) == 1:
                raise ValueError(f"it holds only one of X_{part} and y_{part}")
            found |= {name: archive[name] for name in pair}
        return found


def _from_csv(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return samples and labels, and the names of the features; none where the file has none."""
    table = read_table(path, labelled=True)
    if not table.rows or table.width < 2:
        raise ValueError(f"{path}: it has {len(table.rows)} rows of {table.width} columns, expected samples of a "
                         f"number at least, and their label")  # fmt: skip
    labels = [at for at, name in enumerate(table.names) if name.lower() in LABEL_NAMES]
    if len(labels) > 1:
        named = " and ".join(f"{at + 1} ({table.names[at]})" for at in labels)
        raise ValueError(f"{path}: columns {named} are called like the label; give the features other names")
    label = labels[0] if labels else table.width - 1
    y = _label_column(path, [row[label].strip() for row in table.rows], table.lines)
    names = [name for at, name in enumerate(table.names) if at != label]
    return {"X_train": table.numbers(but=label), "y_train": y}, names


def _label_column(path: Path, labels: list[str], lines: list[int]) -> np.ndarray:
    """Return the labels of a CSV: as integers where all are whole numbers, else as words."""
    for line, word in zip(lines, labels, strict=True):
        if word.lower() in MISSING:
            raise ValueError(f"{path}: line {line} has the label {word!r}; remove the line, or write a class there")
    if not all(map(is_number, labels)):
        return np.array(labels)
    for line, word in zip(lines, labels, strict=True):
        if not float(word).is_integer():
            raise ValueError(f"{path}: line {line} has the label {word!r}, expected a word or a whole number: a class")
    return np.array([_whole(word) for word in labels])


def _whole(word: str) -> int:
    """Return a whole number exactly: a float would make one of 9007199254740992 and the next."""
    try:
        return int(word)
    except ValueError:
        return int(float(word))  # of 1.0, say


def _samples(path: Path, name: str, array: np.ndarray, dtype: np.dtype | None) -> np.ndarray:
    if array.ndim < 2 or array.dtype.kind not in "fiub":
        raise ValueError(f"{path}: {name} is {array.shape} of {array.dtype}, expected numbers of shape (N, ...)")
    with np.errstate(over="ignore"):  # what is too large is infinite, and refused as that
        found = array if dtype is None else array.astype(dtype)
    bad = np.argwhere(~np.isfinite(found))
    if len(bad):
        at = tuple(map(int, bad[0][1:]))
        raise ValueError(f"{path}: {name} holds NaN or infinity, first in sample {bad[0][0]} at {at}")
    if dtype is not None and len(found) and not np.can_cast(array.dtype, dtype):
        _check_fine_enough(path, name, array, dtype)
    return found


def _check_fine_enough(path: Path, name: str, array: np.ndarray, dtype: np.dtype) -> None:
    """Raise ValueError where a dtype rounds a feature by more than a hundredth of the range that it has."""
    low, high = array.min(axis=0).astype(np.float64), array.max(axis=0).astype(np.float64)
    rounding = np.spacing(np.maximum(np.abs(low), np.abs(high)).astype(dtype)).astype(np.float64) / 2
    coarse = np.argwhere((rounding > 0.01 * (high - low)) & (low < high))
    if len(coarse):
        at = tuple(map(int, coarse[0]))
        raise ValueError(
            f"{path}: {name} runs at {at} from {float(low[at])!r} to {float(high[at])!r}, which {dtype} rounds by up "
            f"to {rounding[at]:g}; subtract an offset in the file, or give dtype=np.float64 and subtract the mean"
        )


def _classes(arrays: list[np.ndarray]) -> list[Any] | None:
    """Return what the labels are, in order, or None where they are 0, 1, ... already."""
    words = sorted({label for array in arrays if array.ndim == 1 for label in array.tolist()}, key=_order)
    return None if words == list(range(len(words))) and all(type(word) is int for word in words) else words


def _order(label: Any) -> Any:
    """Sort labels that are numbers by their value, and words behind them."""
    if isinstance(label, int):
        return (0, label, "")
    return (0, float(label), "") if is_number(label) else (1, 0.0, label)


def _labels(path: Path, name: str, array: np.ndarray, classes: list[Any] | None) -> np.ndarray:
    if array.ndim != 1 or array.dtype.kind not in "iuUb":
        raise ValueError(
            f"{path}: {name} is {array.shape} of {array.dtype}, expected labels of shape (N,): integers or words"
        )
    if classes is None:
        return array.astype(np.int64)
    numbers = {label: number for number, label in enumerate(classes)}
    return np.array([numbers[label] for label in array.tolist()], np.int64)


def _split(path: Path, data: dict[str, Any], seed: int, shares: dict[str, float]) -> None:
    """Take the parts that are not there from the training samples."""
    total = len(data["X_train"])
    counts = {part: round(total * share) for part, share in shares.items() if f"X_{part}" not in data}
    counts = {part: max(count, 1) for part, count in counts.items() if shares[part]}
    taken = sum(counts.values())
    if total - taken < 1:
        raise ValueError(f"{path}: {total} samples are too few to take {taken} out; give more, or smaller shares")
    if not counts:
        return
    order = np.random.default_rng(seed).permutation(total)
    for part, count in counts.items():
        chosen, order = order[:count], order[count:]
        data[f"X_{part}"], data[f"y_{part}"] = data["X_train"][chosen], data["y_train"][chosen]
    data["X_train"], data["y_train"] = data["X_train"][order], data["y_train"][order]

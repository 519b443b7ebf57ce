"""Reading of a user's files: the rows of a .csv and their names, and the arrays of an .npy or .npz. Nothing is run."""

from __future__ import annotations

import contextlib
import csv
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LABEL_NAMES = ("label", "y", "target", "class")
MISSING = ("", "nan", "na", "n/a", "null", "none")
# What NumPy raises for damaged files: a broken header, which it tokenizes, is not always a ValueError.
_FAULTS = (
    ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, SyntaxError,
    tokenize.TokenError,
)  # fmt: skip


@dataclass
class Table:
    """The rows of a .csv.

    Attributes
    ----------
    path : Path
        Where they are from.
    names : list of str
        Of the columns; empty where no row has them.
    rows : list of list of str
        The cells of each row below the names, all of one length.
    lines : list of int
        On which line of the file each row ends.
    """

    path: Path
    names: list[str]
    rows: list[list[str]]
    lines: list[int]

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.names or self.rows[0])

    def numbers(self, but: int | None = None, cure: str = "") -> np.ndarray:
        """Return the cells as float64 of shape (rows, columns), without the column `but`.

        Raises
        ------
        ValueError
            Naming line and column of the first cell that is no number; `cure` ends the message.
        """
        columns = [at for at in range(self.width) if at != but]
        found = np.empty((len(self.rows), len(columns)))
        for n, row in enumerate(self.rows):
            try:
                found[n] = [float(row[at]) for at in columns]
            except ValueError:
                at = next(at for at in columns if not is_number(row[at]))
                named = f" ({self.names[at]})" if self.names else ""
                raise ValueError(f"{self.path}: line {self.lines[n]}, column {at + 1}{named}: {row[at]!r} is no number"
                                 f"{cure}") from None  # fmt: skip
        return found


def read_table(path: Path, labelled: bool, known: Sequence[str] = ()) -> Table:
    """Read a .csv.

    Parameters
    ----------
    path : Path
    labelled : bool
        Whether a column has labels.
    known : sequence of str
        Names that its columns may have, though all of them be numbers.

    Raises
    ------
    ValueError
        If it is no CSV file or empty, or a row has another length than the first.
    OSError
        If it cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            found = [(reader.line_num, row) for reader in [csv.reader(file)] for row in reader if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no CSV file ({error})") from None
    if not found:
        raise ValueError(f"{path}: it is empty")
    lines, rows = [line for line, _ in found], [row for _, row in found]
    for line, row in found:
        if len(row) != len(rows[0]):
            raise ValueError(f"{path}: line {line} has {len(row)} cells, expected {len(rows[0])}")
    names: list[str] = []
    if _has_names(rows, labelled, list(known)):
        names, rows, lines = [name.strip() for name in rows[0]], rows[1:], lines[1:]
    return Table(path, names, rows, lines)


def _has_names(rows: list[list[str]], labelled: bool, known: list[str]) -> bool:
    """Whether the first row is one of names: a sample must not pass for it, for it would be lost."""
    first = [cell.strip() for cell in rows[0]]
    numbers = [is_number(cell) for cell in first]
    if not any(numbers):
        return not all(cell.lower() in MISSING for cell in (first[:-1] if labelled else first))
    if not labelled:
        return first == known or (sorted(first) == sorted(known) and not all(numbers))
    # Names may be numbers, as those are that pandas gives (0,1,2,label): then the label's says that they are names.
    if not numbers[-1] and first[-1].lower() not in MISSING and len(rows) > 1:
        if all(is_number(row[-1]) for row in rows[1:]):
            return True
    # But a class may be called y: its name comes again.
    return any(cell.lower() in LABEL_NAMES and all(row[at].strip().lower() != cell.lower() for row in rows[1:])
               for at, cell in enumerate(first))  # fmt: skip


def is_number(cell: str) -> bool:
    """Whether a cell is one, NaN and infinity included."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_npy(path: Path) -> np.ndarray:
    """Return the array of an .npy; a file that has none is a ValueError, which names it."""
    with path.open("rb") as file, _named(path):
        found: Any = np.load(file, allow_pickle=False)
        if not isinstance(found, np.ndarray):
            raise ValueError("it is an archive of arrays, expected one array; call it .npz")
        return found


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[Any]:
    """Give an .npz; what is wrong with it, in the block too, is a ValueError that names the file."""
    with path.open("rb") as file, _named(path):
        found: Any = np.load(file, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise ValueError("it is no archive of arrays")
        with found:
            yield found


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except _FAULTS as error:
        raise ValueError(f"{path}: {error}") from None

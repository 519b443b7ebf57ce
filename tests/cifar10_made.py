"""Small CIFAR-10 files, made for the tests: as Python 2 wrote them, as Python 3 writes them, and hostile ones."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

NAMES = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
PUBLISHED_ORDER = ["data_batch_4", "test_batch", "data_batch_3", "batches.meta", "data_batch_2", "data_batch_5"]
PUBLISHED_ORDER += ["data_batch_1"]
TITLES = [f"training batch {number} of 5" for number in range(1, 6)] + ["testing batch 1 of 1"]


class Call:
    """Pickles as a request to call a function: what an attacker puts into a file."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, state: Any = None) -> None:
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


class Python2:
    """Writes protocol 2 as Python 2 did: text as byte strings, NumPy 1's names, a memo entry for each text."""

    def __init__(self) -> None:
        self.memo = 0

    def put(self, code: bytes) -> bytes:
        self.memo += 1
        index = self.memo
        return code + (pickle.BINPUT + bytes([index]) if index < 256 else pickle.LONG_BINPUT + struct.pack("<I", index))

    def text(self, value: bytes) -> bytes:
        if len(value) < 256:
            return self.put(pickle.SHORT_BINSTRING + bytes([len(value)]) + value)
        return self.put(pickle.BINSTRING + struct.pack("<i", len(value)) + value)

    def number(self, value: int) -> bytes:
        if 0 <= value < 256:
            return pickle.BININT1 + bytes([value])
        if 0 <= value < 65536:
            return pickle.BININT2 + struct.pack("<H", value)
        return pickle.BININT + struct.pack("<i", value)

    def listed(self, items: Iterable[bytes]) -> bytes:
        return self.put(pickle.EMPTY_LIST) + pickle.MARK + b"".join(items) + pickle.APPENDS

    def named(self, module: str, name: str) -> bytes:
        return self.put(pickle.GLOBAL + f"{module}\n{name}\n".encode())

    def array(self, values: np.ndarray, kind: bytes = b"u1") -> bytes:
        made = self.named("numpy.core.multiarray", "_reconstruct") + self.named("numpy", "ndarray")
        made += self.put(self.number(0) + pickle.TUPLE1) + self.text(b"b") + self.put(pickle.TUPLE3)
        state = pickle.MARK + self.number(1) + self.put(b"".join(map(self.number, values.shape)) + pickle.TUPLE2)
        state += self.named("numpy", "dtype") + self.text(kind) + self.number(0) + self.number(1)
        state += self.put(pickle.TUPLE3) + self.put(pickle.REDUCE) + pickle.MARK + self.number(3) + self.text(b"|")
        state += pickle.NONE * 3 + self.number(-1) * 2 + self.number(0) + self.put(pickle.TUPLE) + pickle.BUILD
        state += pickle.NEWFALSE + self.text(values.tobytes()) + self.put(pickle.TUPLE)
        return self.put(made + pickle.REDUCE) + state + pickle.BUILD

    def batch(self, pixels: np.ndarray, labels: Sequence[int], title: str) -> bytes:
        pairs = [
            self.text(b"batch_label") + self.text(title.encode()),
            self.text(b"labels") + self.listed(self.number(int(label)) for label in labels),
            self.text(b"data") + self.array(pixels),
            self.text(b"filenames") + self.listed(self.text(f"{at:05d}.png".encode()) for at in range(len(labels))),
        ]
        body = self.put(pickle.EMPTY_DICT) + pickle.MARK + b"".join(pairs) + pickle.SETITEMS
        return pickle.PROTO + b"\x02" + body + pickle.STOP


def content(pixels: np.ndarray, labels: Sequence[int], title: str = TITLES[0]) -> dict[Any, Any]:
    """What a batch holds, as Python 3 has it after ``pickle.load(file, encoding="latin1")``."""
    return {
        "batch_label": title,
        "labels": [int(label) for label in labels],
        "data": pixels,
        "filenames": [f"{at:05d}.png" for at in range(len(labels))],
    }


def as_bytes(value: Any) -> Any:
    """The same as it is after ``encoding="bytes"``."""
    if isinstance(value, dict):
        return {as_bytes(key): as_bytes(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_bytes(item) for item in value]
    return value.encode() if isinstance(value, str) else value


def samples(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (count, 3072), uint8, and labels (count,)."""
    return rng.integers(0, 256, (count, 3072), np.uint8), rng.integers(0, 10, count)


def write_folder(folder: Path, rng: np.random.Generator, sizes: Sequence[int] = (4, 3, 5, 4, 4, 6)) -> dict[str, Any]:
    """Write six batches; return X_train, y_train, X_test, y_test as they should be read (uint8, channels first)."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [samples(rng, size) for size in sizes]
    for name, title, (pixels, labels) in zip(NAMES, TITLES, made, strict=True):
        (folder / name).write_bytes(Python2().batch(pixels, labels.tolist(), title))
    (folder / "batches.meta").write_bytes(b"not to be read")
    X = np.concatenate([pixels for pixels, _ in made]).reshape(-1, 3, 32, 32)
    y = np.concatenate([labels for _, labels in made])
    first_test = sum(sizes[:5])
    return {"X_train": X[:first_test], "y_train": y[:first_test], "X_test": X[first_test:], "y_test": y[first_test:]}


def write_archive(path: Path, folder: Path, names: Sequence[str] = tuple(NAMES), prefix: str = "cifar-10-batches-py/",
                  extra: Sequence[tuple[tarfile.TarInfo, bytes]] = ()) -> Path:
    """Pack files of a folder in this order, and then the members of `extra`."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name in names:
            archive.add(folder / name, prefix + name)
        for member, data in extra:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path

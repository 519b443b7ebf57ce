"""The files of CIFAR-10: where they are, and what is in them once it has been checked.

A batch, as published, is a pickled dictionary: ``data``, uint8 of shape (10000, 3072) with each image's red, green and
blue plane in a row; ``labels``, a list of 10,000 integers; ``batch_label``, its title; and ``filenames``. Files of
fewer images are read as well. Everything that is read is checked before anything of it is used.
"""

from __future__ import annotations

import io
import mmap
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .download import VARIABLE, data_folder
from .pickles import MOST_BYTES, read_pickle

ARCHIVE = "cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"
TRAINING = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"
TITLES = {name: f"training batch {number} of 5" for number, name in enumerate(TRAINING, 1)}
TITLES[TEST] = "testing batch 1 of 1"

CLASSES = 10
IMAGE = (3, 32, 32)
PIXELS = 3072
CURE = "tinygrad_fc.data.fetch_cifar10() downloads a sound copy"

Batch = tuple[np.ndarray, np.ndarray]


def read_batch(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read one file of the published folder, such as ``data_batch_1``.

    Parameters
    ----------
    path : path
        The file. When it has one of the six published names, it must say of itself that it is that batch.

    Returns
    -------
    images : ndarray
        uint8, of shape (N, 3, 32, 32): red, green and blue.
    labels : ndarray
        int64, of shape (N,), 0 to 9.

    Raises
    ------
    ValueError
        When the file is larger than a batch can be, cut short, mislabelled, of another data set, or asks for anything
        to be run.
    FileNotFoundError
        When it is not there.
    """
    images, labels = _read_file(Path(path).expanduser())
    return images.copy(), labels


def locate(root: str | os.PathLike[str] | None) -> Path:
    """Return the folder that has the batches, or the archive."""
    place = data_folder(root)
    if place.is_file():
        return place
    for folder in (place, place / FOLDER):
        if any((folder / name).exists() for name in TITLES):
            return folder
    if (place / ARCHIVE).is_file():
        return place / ARCHIVE
    chosen = "root" if root is not None else VARIABLE if os.environ.get(VARIABLE) else "the user's cache folder"
    what = f"has no {TRAINING[0]}, no {FOLDER} and no {ARCHIVE} in it" if place.exists() else "does not exist"
    raise FileNotFoundError(
        f"found no CIFAR-10: looked in {place.absolute()} ({chosen}), which {what}. "
        f"tinygrad_fc.data.fetch_cifar10() downloads it; a copy of your own is named by root or by {VARIABLE}"
    )


def read_all(source: Path) -> Iterator[tuple[str, Batch]]:
    """Yield the six batches with their names, in the order of `TITLES`, and hold as few of them at once as can be."""
    if not source.is_file():
        _refuse_missing(source, [name for name in TITLES if not (source / name).exists()])
        for name in TITLES:
            yield name, _read_file(source / name)
        return
    early: dict[str, Batch] = {}  # the published archive begins with data_batch_4
    left = list(TITLES)
    for name, data in _members(source):
        batch = _parse(data, f"{name} in {source}", name)
        del data
        early[name] = batch if name == left[0] else put_by(batch)
        del batch
        while left and left[0] in early:
            yield left[0], early.pop(left.pop(0))
    _refuse_missing(source, [name for name in left if name not in early])


def _refuse_missing(source: Path, missing: list[str]) -> None:
    if missing:
        raise FileNotFoundError(f"{source} has no {', '.join(missing)}: part of CIFAR-10 is missing. {CURE}")


def put_by(batch: Batch) -> Batch:
    """Return a batch that is in memory for longer, in pages that go back to the system as soon as it is let go.

    The usual allocator would keep them, since a batch is just below the size from which it does not (32 MiB in glibc).
    """
    images, labels = batch
    pages = np.frombuffer(mmap.mmap(-1, images.nbytes), np.uint8).reshape(images.shape)
    pages[...] = images
    return pages, labels


def _read_file(path: Path) -> Batch:
    if not path.is_file():  # a pipe or a device could keep us waiting for ever
        if path.exists():
            raise ValueError(f"{path} is no regular file, and a batch is one. {CURE}")
        raise FileNotFoundError(f"{path} does not exist. {CURE}")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise ValueError(f"{path} has {size} bytes, and a batch some 31 million. {CURE}")
        return _parse(file.read(size), str(path), path.name)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the batches of a tar.gz in the order in which they stand there. Nothing is unpacked, no link followed.

    Headers are read one by one: the extended ones, which `tarfile` would interpret at a hostile archive's leisure, are
    passed over like anything else that is no batch.
    """
    # Here, since a session that reads no archive should not wait for these to be imported (15 ms).
    import gzip
    import tarfile

    seen: set[str] = set()
    try:
        with gzip.open(path) as file:
            stream = _Limited(file, len(TITLES) * MOST_BYTES)
            while any(block := stream.read(tarfile.BLOCKSIZE)):
                member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
                name = member.name.removeprefix("./").removeprefix(f"{FOLDER}/")
                padded = -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                if name not in TITLES or member.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
                    stream.skip(padded)
                    continue
                if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or name in seen:
                    raise ValueError(f"{member.name!r} is a link, a device or a second copy; expected a file")
                if member.size > MOST_BYTES:
                    raise ValueError(f"{member.name!r} has {member.size} bytes, and a batch some 31 million")
                seen.add(name)
                content = stream.exactly(member.size)
                stream.skip(padded - member.size)
                yield name, content
            while stream.read(2**20):
                pass  # to the end, where the checksum of the whole is compared
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is no sound tar.gz archive of CIFAR-10: {error}. {CURE}") from error


class _Limited(io.RawIOBase):
    """A stream that ends in an error after so many bytes: a small archive can unpack to more than any memory."""

    def __init__(self, stream: io.BufferedIOBase, most: int) -> None:
        self.stream, self.most, self.left = stream, most, most

    def read(self, size: int = -1, /) -> bytes:
        data = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise ValueError(f"it unpacks to more than {self.most} bytes, and CIFAR-10 to some 186 million")
        return data

    def exactly(self, size: int) -> bytes:
        """Return so many bytes, or raise EOFError."""
        data = self.read(size)
        if len(data) < size:
            raise EOFError(f"it ends {size - len(data)} bytes too soon")
        return data

    def skip(self, size: int) -> None:
        """Pass over so many bytes, a piece at a time."""
        if size < 0:
            raise ValueError("a size in it is negative")
        while size:
            size -= len(self.exactly(min(size, 2**20)))


def _parse(data: bytes, place: str, name: str) -> Batch:
    """Return the read-only images and the labels of one batch; `place` is what errors call it."""
    try:
        content = read_pickle(data)
        return _checked_images(content), _checked_labels(content, TITLES.get(name))
    except ValueError as error:
        raise ValueError(f"{place} is no sound CIFAR-10 batch: {error}. {CURE}") from error


def _checked_images(content: dict[str, object]) -> np.ndarray:
    labels, pixels = content.get("labels"), content.get("data")
    if "fine_labels" in content or "coarse_labels" in content:
        raise ValueError("it is of CIFAR-100, which has fine and coarse labels")
    if pixels is None or labels is None:
        raise ValueError(f"expected 'data' and 'labels' in it, found {sorted(content)[:8]}")
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        found = f"an array of shape {pixels.shape}" if isinstance(pixels, np.ndarray) else f"a {type(pixels).__name__}"
        raise ValueError(f"expected its 'data' to be uint8 of shape (N, {PIXELS}), found {found}")
    if not isinstance(labels, list) or len(labels) != len(pixels):
        found = f"{len(labels)} of them" if isinstance(labels, list) else f"a {type(labels).__name__}"
        raise ValueError(f"expected its 'labels' to be a list, one for each of its {len(pixels)} images, found {found}")
    return pixels.reshape(-1, *IMAGE)


def _checked_labels(content: dict[str, object], title: str | None) -> np.ndarray:
    labels = content["labels"]
    assert isinstance(labels, list)  # _checked_images has seen to it
    for at, label in enumerate(labels):
        if type(label) is not int or not 0 <= label < CLASSES:
            found = label if type(label) is int else f"a {type(label).__name__}"
            raise ValueError(f"expected its labels to be integers 0 to {CLASSES - 1}, found {found} at {at}")
    written = content.get("batch_label", title)
    written = written.decode("latin-1") if isinstance(written, bytes) else written
    if title is not None and written != title:
        found = repr(written[:60]) if isinstance(written, str) else f"a {type(written).__name__}"
        raise ValueError(f"expected it to be {title!r}, as its name says, and it says that it is {found}")
    return np.array(labels, dtype=np.int64)

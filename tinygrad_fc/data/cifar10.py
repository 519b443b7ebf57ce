"""CIFAR-10: 60,000 colour images of 32 by 32 pixels in ten classes, 50,000 of them to train with and 10,000 to test.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", University of Toronto, 2009. Published as
``cifar-10-python.tar.gz``: a folder ``cifar-10-batches-py`` with five batches to train with and one to test. The
batches are pickles from the internet: ``cifar10_files.py`` and ``pickles.py`` read them, and run nothing of theirs.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .cifar10_files import ARCHIVE, IMAGE, PIXELS, TEST, TRAINING, locate, put_by, read_all, read_batch
from .download import data_folder, download

__all__ = ["fetch_cifar10", "load_cifar10", "read_batch", "read_cifar10"]

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
# Of the archive whose MD5, c58f30108f718f92721af3b95e74349a, stands beside it on its page.
SHA256 = "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
TO_TRAIN, TO_TEST = 50_000, 10_000


def load_cifar10(
    root: str | os.PathLike[str] | None = None,
    dtype: npt.DTypeLike = np.float32,
    num_training: int | None = 49_000,
    num_validation: int = 1_000,
    num_test: int | None = 1_000,
    flatten: bool = False,
    subtract_mean: bool = True,
    channels_last: bool = False,
) -> dict[str, np.ndarray]:
    """Load CIFAR-10, split into three parts.

    The first `num_training` of the 50,000 images are for training and the `num_validation` after them for validation,
    in the order of the files; the first `num_test` of the other 10,000 are for testing.

    Parameters
    ----------
    root : path, optional
        The folder ``cifar-10-batches-py``, a folder that holds it or ``cifar-10-python.tar.gz``, or that archive
        itself, which is read without being unpacked. By default the folder that the environment variable
        ``TINYGRAD_FC_DATA`` names, and where it is not set, ``tinygrad_fc`` in the user's cache folder.
    dtype : dtype
        Of the images; a floating type. Pixels keep their range, 0 to 255.
    num_training, num_validation, num_test : int
        Samples in the parts. None, for the first and the last, takes all there are (for training: all that
        validation leaves).
    flatten : bool
        True gives images of shape (N, 3072).
    subtract_mean : bool
        Subtract the mean image of the training part (computed in float64) from all three parts.
    channels_last : bool
        False gives images of shape (N, 3, 32, 32), True (N, 32, 32, 3). Flattened images keep this order.

    Returns
    -------
    dict
        ``X_train``, ``X_val``, ``X_test``: images of `dtype`; ``y_train``, ``y_val``, ``y_test``: labels 0 to 9, int64.
        All arrays are the caller's own.

    Raises
    ------
    TypeError
        When `dtype` is no floating type, or a count is no integer.
    ValueError
        When a count is negative, no sample is left for training, or the files hold fewer samples than asked for; when
        a file is larger than a batch can be, cut short, mislabelled, of another data set, or asks for anything to be
        run. The message names the file.
    FileNotFoundError
        When nothing is there, or a batch is missing.

    Notes
    -----
    Files are read one by one, straight into the arrays that are returned, so little more memory is taken than these
    have. Where a count is None, and with an archive, some or all images are held as bytes until their place is known.
    """
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"dtype must be a floating type such as np.float32, got {dtype}")
    _check_counts(num_training, num_validation, num_test)
    return _load(locate(root), (num_training, num_validation, num_test), dtype, flatten, channels_last, subtract_mean)


def read_cifar10(root: str | os.PathLike[str] | None = None) -> dict[str, np.ndarray]:
    """Read all of CIFAR-10 as it is published.

    Parameters
    ----------
    root : path, optional
        As in `load_cifar10`.

    Returns
    -------
    dict
        ``X_train``, ``X_test``: uint8 images of shape (N, 3, 32, 32); ``y_train``, ``y_test``: labels 0 to 9, int64.

    Raises
    ------
    ValueError, FileNotFoundError
        As in `load_cifar10`.
    """
    data = _load(locate(root), (None, 0, None), np.dtype(np.uint8))
    return {name: data[name] for name in ("X_train", "y_train", "X_test", "y_test")}


def fetch_cifar10(
    root: str | os.PathLike[str] | None = None, progress: bool = True, url: str = URL, known_hash: str = SHA256
) -> Path:
    """Download the published archive (163 MB), unless it is there already.

    Needs the package pooch (``pip install 'tinygrad_fc[data]'``). The archive appears under its name only once all of
    its bytes are there and have the published hash; when anything fails, nothing is left behind, and the next call
    starts over. It is kept packed, and `load_cifar10` reads it so.

    Parameters
    ----------
    root : path, optional
        The folder for the archive; it is made where it is missing. By default the folder that `load_cifar10` looks in.
    progress : bool
        Show a progress bar on standard error.
    url : str
        Where the archive is to come from, if from somewhere else.
    known_hash : str
        Of that archive, as ``"sha256:..."`` or ``"md5:..."``.

    Returns
    -------
    Path
        The archive, for `load_cifar10`; without `root`, `load_cifar10` finds it by itself.

    Raises
    ------
    ImportError
        When pooch is not installed.
    ConnectionError
        When the archive could not be fetched whole.
    ValueError
        When other bytes came than those with the hash, or when `url` or `known_hash` is malformed.
    OSError
        When the folder cannot be made or written to.
    """
    return download(url, known_hash, data_folder(root) / ARCHIVE, progress)


def _check_counts(num_training: int | None, num_validation: int, num_test: int | None) -> None:
    counts = {"num_training": num_training, "num_validation": num_validation, "num_test": num_test}
    for name, count in counts.items():
        if count is None and name != "num_validation":
            continue
        if isinstance(count, bool) or not isinstance(count, int | np.integer):
            raise TypeError(f"{name} must be an integer, got {count!r}")
        least = 1 if name == "num_training" else 0
        if count < least:
            raise ValueError(f"{name} must be at least {least}, got {count}")
    if (num_training or 1) + num_validation > TO_TRAIN:
        raise ValueError(
            f"num_training={num_training} and num_validation={num_validation} ask for more than the {TO_TRAIN} images "
            f"that CIFAR-10 has to train with; ask for fewer, and leave one at least for training"
        )
    if num_test is not None and num_test > TO_TEST:
        raise ValueError(f"num_test={num_test} asks for more than the {TO_TEST} images that CIFAR-10 has to test with")


def _load(
    source: Path,
    counts: tuple[int | None, int, int | None],
    dtype: np.dtype,
    flatten: bool = False,
    channels_last: bool = False,
    subtract_mean: bool = False,
) -> dict[str, np.ndarray]:
    """Read batch after batch straight into arrays of their final size; `counts` are for train, val and test."""
    num_training, num_validation, num_test = counts
    batches = read_all(source)
    if num_training is None or num_test is None:
        held = [(name, put_by(batch)) for name, batch in batches]
        sizes = {name: len(labels) for name, (_, labels) in held}
        num_training = sum(sizes[name] for name in TRAINING) - num_validation if num_training is None else num_training
        num_test = sizes[TEST] if num_test is None else num_test
        if num_training < 1:
            raise ValueError(f"num_validation={num_validation} leaves nothing to train with of what is in {source}")
        batches = (held.pop(0) for _ in range(len(held)))

    shape = (*IMAGE[1:], IMAGE[0]) if channels_last else IMAGE
    spans = {"train": (0, num_training), "val": (num_training, num_training + num_validation), "test": (0, num_test)}
    data = {}
    for part, (first, end) in spans.items():
        data[f"X_{part}"] = np.empty((end - first, *((PIXELS,) if flatten else shape)), dtype)
        data[f"y_{part}"] = np.empty(end - first, np.int64)
    seen = {"train": 0, "test": 0}  # images so far of the batches to train with, and to test with
    total = np.zeros(IMAGE, np.int64)  # a sum of integers is exact
    for name, (images, labels) in batches:
        group = "test" if name == TEST else "train"
        for part, (first, end) in spans.items():
            low, high = max(first - seen[group], 0), min(end - seen[group], len(images))
            if (part == "test") is (group == "test") and low < high:
                rows = slice(low + seen[group] - first, high + seen[group] - first)
                _copy(images[low:high], data[f"X_{part}"][rows].reshape(-1, *shape), channels_last)  # into a view
                data[f"y_{part}"][rows] = labels[low:high]
                if part == "train" and subtract_mean:
                    total += np.add.reduce(images[low:high], axis=0, dtype=np.int64)
        seen[group] += len(images)
        del images, labels  # before the next batch is read

    if num_training + num_validation > seen["train"]:
        raise ValueError(
            f"num_training={num_training} and num_validation={num_validation} ask for more than the {seen['train']} "
            f"images in the five data batches of {source}; ask for fewer"
        )
    if num_test > seen["test"]:
        raise ValueError(
            f"num_test={num_test} asks for more than the {seen['test']} images in {TEST} of {source}; ask for fewer"
        )
    if subtract_mean:
        mean = total / num_training
        mean = (mean.transpose(1, 2, 0) if channels_last else mean).astype(dtype)
        for part in spans:
            data[f"X_{part}"] -= mean.reshape(data[f"X_{part}"].shape[1:])
    return data


def _copy(images: np.ndarray, target: np.ndarray, channels_last: bool) -> None:
    if not channels_last:
        target[...] = images
        return
    for channel in range(IMAGE[0]):  # twice as fast as one copy of the transposed array
        target[..., channel] = images[:, channel]

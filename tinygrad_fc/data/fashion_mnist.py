"""Fashion-MNIST: 70,000 grey images of clothes, 28 by 28 pixels in ten classes, 60,000 of them to train with.

H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
2017. Published as four idx files, packed or not; Debian's package ``dataset-fashion-mnist`` installs them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .download import data_folder
from .idx import read_idx

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_FILES = {
    "X_train": "train-images-idx3-ubyte", "y_train": "train-labels-idx1-ubyte",
    "X_test": "t10k-images-idx3-ubyte", "y_test": "t10k-labels-idx1-ubyte",
}  # fmt: skip
_SIDE, _BRIGHTEST = 28, 255.0


def load_fashion_mnist(
    root: str | os.PathLike[str] | None = None,
    dtype: npt.DTypeLike = np.float32,
    num_validation: int = 5_000,
    flatten: bool = True,
    subtract_mean: bool = True,
) -> dict[str, np.ndarray]:
    """Load Fashion-MNIST, split into three parts.

    The last `num_validation` of the 60,000 images to train with are for validation, in the order of the files.

    Parameters
    ----------
    root : path, optional
        The folder of the four idx files, packed (``.gz``) or not, or one that holds a folder ``fashion-mnist`` with
        them. By default the folder that the environment variable ``TINYGRAD_FC_DATA`` names (or ``tinygrad_fc`` in the
        user's cache folder), and then where Debian's package puts them.
    dtype : dtype
        Of the images; a floating type. The pixels, 0 to 255 in the files, are scaled to 0 to 1.
    num_validation : int
        Images for validation.
    flatten : bool
        True gives images of shape (N, 784), False (N, 28, 28).
    subtract_mean : bool
        Subtract the mean image of the training part from all three parts.

    Returns
    -------
    dict
        ``X_train``, ``X_val``, ``X_test``: images of `dtype`; ``y_train``, ``y_val``, ``y_test``: labels 0 to 9, int64;
        their names are in ``tinygrad_fc.data.FASHION_MNIST_CLASSES``. All arrays are the caller's own.

    Raises
    ------
    TypeError
        When `dtype` is no floating type, or `num_validation` is no integer.
    ValueError
        When `num_validation` is negative or leaves nothing to train with, or a file is damaged or of other data.
    FileNotFoundError
        When the files are not there; the message says how to get them.
    """
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"dtype must be a floating type such as np.float32, got {dtype}")
    if isinstance(num_validation, bool) or not isinstance(num_validation, int | np.integer):
        raise TypeError(f"num_validation must be an integer, got {num_validation!r}")
    found: dict[str, np.ndarray] = read_fashion_mnist(root)
    total = len(found["X_train"])
    if not 0 <= num_validation < total:
        raise ValueError(f"num_validation must be at least 0 and leave some of {total} images, got {num_validation}")
    first = total - int(num_validation)
    parts = {"train": ("train", slice(0, first)), "val": ("train", slice(first, total)), "test": ("test", slice(None))}
    data: dict[str, np.ndarray] = {}
    for part, (source, rows) in parts.items():
        images = found[f"X_{source}"][rows].astype(dtype) / np.array(_BRIGHTEST, dtype)
        data[f"X_{part}"] = images.reshape(len(images), -1) if flatten else images
        data[f"y_{part}"] = found[f"y_{source}"][rows].copy()
    if subtract_mean:
        mean = data["X_train"].mean(axis=0, dtype=np.float64).astype(dtype)
        for part in parts:
            data[f"X_{part}"] -= mean
    return data


def read_fashion_mnist(root: str | os.PathLike[str] | None = None) -> dict[str, np.ndarray]:
    """Read all of Fashion-MNIST as it is published.

    Parameters
    ----------
    root : path, optional
        As in `load_fashion_mnist`.

    Returns
    -------
    dict
        ``X_train``, ``X_test``: uint8 images of shape (N, 28, 28); ``y_train``, ``y_test``: labels 0 to 9, int64.

    Raises
    ------
    ValueError, FileNotFoundError
        As in `load_fashion_mnist`.
    """
    folder = _locate(root)
    data: dict[str, np.ndarray] = {}
    for name, file in _FILES.items():
        path = next((path for path in (folder / file, folder / f"{file}.gz") if path.is_file()), None)
        if path is None:
            raise FileNotFoundError(f"{folder}: {file}(.gz) is missing beside the other files of Fashion-MNIST")
        array = read_idx(path)
        expected = (_SIDE, _SIDE) if name[0] == "X" else ()
        if array.ndim != 1 + len(expected) or array.shape[1:] != expected or len(array) == 0:
            raise ValueError(f"{path}: it holds an array of {array.shape}, expected {('N', *expected)}")
        if name[0] == "y":
            if array.max() >= len(CLASSES):
                raise ValueError(f"{path}: it holds the label {array.max()}, expected 0 to {len(CLASSES) - 1}")
            array = array.astype(np.int64)
            if len(array) != len(data["X" + name[1:]]):
                raise ValueError(f"{path}: it has {len(array)} labels for {len(data['X' + name[1:]])} images")
        data[name] = array
    return data


def _locate(root: str | os.PathLike[str] | None) -> Path:
    """Return the folder of the files."""
    base = data_folder(root)
    places = [base, base / "fashion-mnist", *([DEBIAN] if root is None else [])]
    for place in places:
        if any((place / f"{file}{end}").is_file() for file in _FILES.values() for end in ("", ".gz")):
            return place
    raise FileNotFoundError(
        f"no files of Fashion-MNIST in {' or '.join(map(str, places))}: install Debian's package "
        f"dataset-fashion-mnist, or put {', '.join(_FILES.values())} (packed or not) into {base}"
    )

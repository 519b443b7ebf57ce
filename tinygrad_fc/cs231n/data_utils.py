"""The course's loaders of CIFAR-10, with its names and forms, on top of `tinygrad_fc.data`."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Literal, overload

import numpy as np

from ..data.cifar10 import load_cifar10, read_batch
from ..data.download import VARIABLE

Root = str | os.PathLike[str]
SixArrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def load_CIFAR_batch(filename: Root) -> tuple[np.ndarray, np.ndarray]:
    """Load one batch.

    Parameters
    ----------
    filename : path
        Such as ``cifar-10-batches-py/data_batch_1``.

    Returns
    -------
    X : ndarray
        float64, of shape (N, 32, 32, 3), 0 to 255.
    Y : ndarray
        Labels 0 to 9, int64, of shape (N,).

    Raises
    ------
    ValueError, FileNotFoundError
        When the file is no sound batch, or not there; see `tinygrad_fc.data.load_cifar10`.
    """
    images, labels = read_batch(filename)
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1), np.float64), labels


def load_CIFAR10(ROOT: Root | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Load all of CIFAR-10.

    Parameters
    ----------
    ROOT : path, optional
        The folder ``cifar-10-batches-py``, one that holds it, or the published archive. By default what the environment
        variable ``TINYGRAD_FC_DATA`` names, or else a folder in the user's cache. Where a `ROOT` that a notebook
        spells out does not exist and the variable is set, the variable is followed, with a warning.

    Returns
    -------
    Xtr, Ytr, Xte, Yte : ndarray
        Images, float64, of shape (50000, 32, 32, 3) and (10000, 32, 32, 3), 0 to 255; labels 0 to 9, int64. All are the
        caller's own, to be written to. The images take 1.5 GB.

    Raises
    ------
    ValueError, FileNotFoundError
        As in `tinygrad_fc.data.load_cifar10`.
    """
    if ROOT is not None and os.environ.get(VARIABLE) and not Path(ROOT).expanduser().exists():
        warnings.warn(f"{ROOT} does not exist; reading {os.environ[VARIABLE]}, as {VARIABLE} says", stacklevel=2)
        ROOT = None
    data = load_cifar10(
        ROOT, np.float64, num_training=None, num_validation=0, num_test=None, subtract_mean=False, channels_last=True
    )
    return data["X_train"], data["y_train"], data["X_test"], data["y_test"]


@overload
def get_CIFAR10_data(
    num_training: int = ...,
    num_validation: int = ...,
    num_test: int = ...,
    subtract_mean: bool = ...,
    *,
    cifar10_dir: Root | None = ...,
    flatten: Literal[False] = ...,
) -> dict[str, np.ndarray]: ...


@overload
def get_CIFAR10_data(
    num_training: int = ...,
    num_validation: int = ...,
    num_test: int = ...,
    subtract_mean: bool = ...,
    *,
    cifar10_dir: Root | None = ...,
    flatten: Literal[True],
) -> SixArrays: ...


def get_CIFAR10_data(
    num_training: int = 49_000,
    num_validation: int = 1_000,
    num_test: int = 1_000,
    subtract_mean: bool = True,
    *,
    cifar10_dir: Root | None = None,
    flatten: bool = False,
) -> dict[str, np.ndarray] | SixArrays:
    """Load CIFAR-10 split into three parts, in the form of the notebook or in that of the workbook.

    Parameters
    ----------
    num_training, num_validation, num_test : int
        Samples in the parts; see `tinygrad_fc.data.load_cifar10`.
    subtract_mean : bool
        Subtract the mean image of the training part from all three parts.
    cifar10_dir : path, optional
        As `ROOT` in `load_CIFAR10`; a folder that does not exist is an error here.
    flatten : bool
        False, the notebook's form: a dictionary, images with channels first. True, the workbook's form: six arrays,
        images as rows with channels last, so that weights come back as pictures by ``W.reshape(32, 32, 3, -1)``.

    Returns
    -------
    dict or tuple
        ``X_train``, ``y_train``, ``X_val``, ``y_val``, ``X_test``, ``y_test``, under these names or in this order.
        Images are float64, of shape (N, 3, 32, 32), or (N, 3072) with `flatten`; labels are int64.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        As in `tinygrad_fc.data.load_cifar10`.
    """
    data = load_cifar10(
        cifar10_dir, np.float64, num_training, num_validation, num_test, flatten, subtract_mean, channels_last=flatten
    )
    if not flatten:
        return data
    return data["X_train"], data["y_train"], data["X_val"], data["y_val"], data["X_test"], data["y_test"]

"""The UCI handwritten digits, shipped with the package (see DIGITS.md beside this file for source and licence)."""

from importlib.resources import files

import numpy as np
import numpy.typing as npt

CLASSES = 10
BRIGHTEST = 16.0


def load_digits(
    dtype: npt.DTypeLike = np.float32,
    seed: int = 0,
    num_validation: int = 297,
    num_test: int = 300,
    flatten: bool = True,
    subtract_mean: bool = False,
) -> dict[str, np.ndarray]:
    """Load 1,797 images of handwritten digits, 8 by 8 pixels, split into three parts.

    Parameters
    ----------
    dtype : dtype
        Of the images; a floating type. The pixels, 0 to 16 in the file, are scaled to 0 to 1.
    seed : int
        Of the shuffle. The same seed gives the same split.
    num_validation, num_test : int
        Samples in these parts; the rest, 1,200 by default, is for training.
    flatten : bool
        True gives images of shape (N, 64), False (N, 8, 8).
    subtract_mean : bool
        Subtract the mean image of the training part from all three parts.

    Returns
    -------
    dict
        ``X_train``, ``X_val``, ``X_test``: images of `dtype`; ``y_train``, ``y_val``, ``y_test``: labels 0 to 9, int64.
        In each part, and in any leading slice of it, the ten digits have the shares they have in the whole, to within
        a sample or two. All arrays are the caller's own.

    Raises
    ------
    TypeError
        When `dtype` is no floating type, or a count is no integer.
    ValueError
        When a count is negative or no training sample is left.

    Notes
    -----
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998
    (CC BY 4.0). All three parts hold digits of the same 13 writers, so accuracies here say nothing about new writers.
    """
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"dtype must be a floating type such as np.float32, got {dtype}")
    path = files("tinygrad_fc.data").joinpath("digits.npz")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        images, labels = arrays["images"], arrays["labels"].astype(np.int64)
    total = len(images)
    for name, count in (("num_validation", num_validation), ("num_test", num_test)):
        if isinstance(count, bool) or not isinstance(count, int | np.integer):
            raise TypeError(f"{name} must be an integer, got {count!r}")
        if count < 0:
            raise ValueError(f"{name} must be at least 0, got {count}")
    if num_validation + num_test >= total:
        raise ValueError(
            f"num_validation + num_test is {num_validation + num_test}, but there are {total} images; "
            f"leave at least one for training"
        )

    order = _stratified_order(labels, np.random.default_rng(seed))
    X = images[order].astype(dtype) / BRIGHTEST
    X = X.reshape(total, -1) if flatten else X
    y = labels[order]
    first_test = total - num_test
    first_val = first_test - num_validation
    if subtract_mean:
        X -= X[:first_val].mean(axis=0)
    parts = {"train": slice(0, first_val), "val": slice(first_val, first_test), "test": slice(first_test, total)}
    data = {}
    for part, chosen in parts.items():
        data[f"X_{part}"], data[f"y_{part}"] = X[chosen].copy(), y[chosen].copy()
    return data


def _stratified_order(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return a random order in which every stretch holds the classes in nearly their overall shares.

    Each class is shuffled and spread evenly over [0, 1); sorting by these positions interleaves the classes.
    """
    order = generator.permutation(len(labels))
    position = np.empty(len(labels))
    for label in range(CLASSES):
        members = labels[order] == label
        count = np.count_nonzero(members)
        position[members] = (np.arange(count) + generator.random()) / count
    return order[np.argsort(position, kind="stable")]

"""Many images as one."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def image_grid(Xs: npt.ArrayLike, ubound: float = 255.0, padding: int = 1) -> np.ndarray:
    """Put images side by side in a square, each stretched to the full range of brightness by itself.

    The weights of a first layer are images too: with rows that were flattened with channels last,
    ``W.reshape(32, 32, 3, -1).transpose(3, 0, 1, 2)`` for weights of shape (3072, H), and with channels first,
    ``W.reshape(3, 32, 32, -1).transpose(3, 1, 2, 0)``. With the default `ubound`, ``.astype("uint8")`` of the result
    is what ``plt.imshow`` shows.

    Parameters
    ----------
    Xs : array_like
        Images, of shape (N, H, W, C); any numbers that are finite.
    ubound : float
        The brightest value of the result; the darkest is 0.
    padding : int
        Empty pixels between neighbours; they are 0.

    Returns
    -------
    ndarray
        float64, of shape (R, S, C) with R = g * H + (g - 1) * padding, S = g * W + (g - 1) * padding and g the
        square root of N, rounded up. Rows are filled from the left, the first row first. Each image has its smallest
        value at 0 and its largest at `ubound`; an image of one value only is 0, and so are places without an image.

    Raises
    ------
    TypeError
        When `Xs` has no real numbers, or `padding` is no integer.
    ValueError
        When `Xs` has another number of axes, is empty or has a value that is not finite, when `ubound` is not a
        positive number, or `padding` is negative.
    """
    images = np.asarray(Xs)
    if images.dtype.kind not in "fiub":
        raise TypeError(f"Xs must hold real numbers, got dtype {images.dtype}")
    if images.ndim != 4 or 0 in images.shape:
        cure = "; for images without a channel axis, give Xs[..., None]" if images.ndim == 3 else ""
        raise ValueError(f"Xs must be images of shape (N, H, W, C), none of these 0, got shape {images.shape}{cure}")
    if isinstance(padding, bool) or not isinstance(padding, int | np.integer):
        raise TypeError(f"padding must be an integer number of pixels, got {padding!r}")
    if padding < 0:
        raise ValueError(f"padding must be at least 0 pixels, got {padding}")
    if not 0.0 < ubound < math.inf:
        raise ValueError(f"ubound must be a positive number, got {ubound!r}")
    images = images.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))
    if bad.size:
        raise ValueError(f"Xs[{bad[0]}] has values that are not finite, so it has no range to be stretched")

    count, height, width, channels = images.shape
    low, high = images.min(axis=(1, 2, 3), keepdims=True), images.max(axis=(1, 2, 3), keepdims=True)
    span = high - low
    # Divided first, so that the largest value comes out as ubound exactly, and as 255 when it is cut to an integer.
    images = (images - low) / np.where(span > 0.0, span, 1.0) * ubound

    side = math.isqrt(count - 1) + 1
    grid = np.zeros((side * (height + padding) - padding, side * (width + padding) - padding, channels))
    for index, image in enumerate(images):
        top, left = index // side * (height + padding), index % side * (width + padding)
        grid[top : top + height, left : left + width] = image
    return grid

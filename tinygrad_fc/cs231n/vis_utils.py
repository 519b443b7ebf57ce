"""The course's picture of many images at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..training.grid import image_grid


def visualize_grid(Xs: npt.ArrayLike, ubound: float = 255.0, padding: int = 1) -> np.ndarray:
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
    return image_grid(Xs, ubound, padding)

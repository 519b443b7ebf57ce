"""The course's picture of many images at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..training.grid import image_grid


def visualize_grid(Xs: npt.ArrayLike, ubound: float = 255.0, padding: int = 1) -> np.ndarray:
    """Put images side by side in a square, each stretched to the full range of brightness by itself.

    Parameters
    ----------
    Xs : array_like
        Images, of shape (N, H, W, C).
    ubound : float
        The brightest value of the result; the darkest is 0.
    padding : int
        Empty pixels between neighbours; they are 0.

    Returns
    -------
    ndarray
        float64, of shape (R, S, C): ``.astype("uint8")`` of it is what ``plt.imshow`` shows.

    Raises
    ------
    ValueError, TypeError
        As `tinygrad_fc.training.grid.image_grid` says, which does the work.
    """
    return image_grid(Xs, ubound, padding)

"""Initial values of weights, each with its source. All draw from a NumPy generator that the caller passes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Seed = int | np.random.Generator | np.random.RandomState | None


def generator(seed: Seed) -> Any:
    """Return a generator: `seed` itself when it is one, else a new one seeded with it (None: from the system).

    Raises
    ------
    TypeError
        If `seed` is neither.
    """
    if isinstance(seed, (np.random.Generator, np.random.RandomState)):
        return seed
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
        raise TypeError(f"seed: given {seed!r}, expected an integer, a numpy.random.Generator or None.")
    if seed is not None and seed < 0:
        raise ValueError(f"seed: given {seed}, expected an integer of at least 0, a numpy.random.Generator or None.")
    return np.random.default_rng(seed)


def normal(shape: tuple[int, ...], std: float, seed: Seed = None) -> np.ndarray:
    """Return values of a normal distribution with mean 0 and standard deviation `std`, float64.

    Raises
    ------
    ValueError
        If `std` is negative or not finite.
    """
    if not (math.isfinite(std) and std >= 0):
        raise ValueError(f"std: given {std}, expected a finite number of at least 0.")
    values: np.ndarray = generator(seed).normal(0.0, 1.0, shape) * std
    return values


def zeros(shape: tuple[int, ...], seed: Seed = None) -> np.ndarray:
    """Return zeros, float64 (`seed` is not used: all initialisers have one signature)."""
    return np.zeros(shape)


def kaiming_normal(shape: tuple[int, ...], seed: Seed = None) -> np.ndarray:
    """Return normal values of variance 2 / fan_in, which keeps the scale through relu layers.

    He, Zhang, Ren, Sun, Delving Deep into Rectifiers (2015), equation 10. ``shape`` is (fan_in, fan_out).
    """
    return normal(shape, math.sqrt(2.0 / shape[0]), seed)


def xavier_uniform(shape: tuple[int, ...], seed: Seed = None) -> np.ndarray:
    """Return uniform values of variance 2 / (fan_in + fan_out).

    Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks (2010), equation 16.
    """
    bound = math.sqrt(6.0 / (shape[0] + shape[1]))
    values: np.ndarray = generator(seed).uniform(-bound, bound, shape)
    return values

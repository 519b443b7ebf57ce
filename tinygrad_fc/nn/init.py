"""Initial values of weights, each with its source. All draw from a NumPy generator that the caller passes.

Each function takes a shape and a seed and returns float64: `nn.Parameter` and the layers cast. Where the number of
inputs and outputs matters, ``shape`` is that of a `Linear` weight, (fan_in, fan_out).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from ..fused.arguments import finite

# What calculate_gain squares to: 1 over the mean of f(x) ** 2, or what experience put in its place.
_SQUARED_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 25.0 / 9.0, "relu": 2.0, "leaky_relu": 2.0, "selu": 9.0 / 16.0}

Mode = Literal["fan_in", "fan_out"]
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


def _fans(name: str, shape: Any) -> tuple[int, int]:
    """Return (fan_in, fan_out), or raise TypeError or ValueError naming the initialiser."""
    expected = "expected two axes, (fan_in, fan_out), as the weight of a fully-connected layer has"
    if not isinstance(shape, (tuple, list)):
        raise TypeError(f"{name}: shape: given {shape!r}, {expected}.")
    for size in shape:
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
            raise TypeError(f"{name}: shape: given {shape!r}, expected integers.")
    if len(shape) != 2:
        raise ValueError(f"{name}: shape: given {tuple(shape)}, {expected}. For other shapes give the scale: normal().")
    if min(shape) < 1:
        raise ValueError(f"{name}: shape: given {tuple(shape)}, expected axes of at least 1.")
    return int(shape[0]), int(shape[1])


def _sizes(name: str, shape: Any) -> tuple[int, ...]:
    """Return a shape as a tuple, or raise TypeError or ValueError naming the initialiser."""
    sizes = (shape,) if isinstance(shape, (int, np.integer)) else shape
    if not isinstance(sizes, (tuple, list)) or not all(
        isinstance(size, (int, np.integer)) and not isinstance(size, bool) for size in sizes
    ):
        raise TypeError(f"{name}: shape: given {shape!r}, expected a tuple of integers.")
    if any(size < 0 for size in sizes):
        raise ValueError(f"{name}: shape: given {tuple(sizes)}, expected integers of at least 0.")
    return tuple(map(int, sizes))


def _number(name: str, value: Any) -> float:
    """Return `value` as a float, or raise TypeError or ValueError naming the argument unless it is finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: given {value!r}, expected a number.")
    if not math.isfinite(value):
        raise ValueError(f"{name}: given {value}, expected a finite number.")
    return float(value)


def _squared_gain(nonlinearity: str, negative_slope: float) -> float:
    if nonlinearity not in _SQUARED_GAINS:
        names = ", ".join(map(repr, _SQUARED_GAINS))
        raise ValueError(f"nonlinearity: given {nonlinearity!r}, expected one of {names}.")
    slope = _number("negative_slope", negative_slope)
    return _SQUARED_GAINS[nonlinearity] / (1.0 + slope**2 if nonlinearity == "leaky_relu" else 1.0)


def calculate_gain(nonlinearity: str, negative_slope: float = 0.01) -> float:
    """Return the factor by which weights are widened for what follows them, with PyTorch's values.

    He, Zhang, Ren, Sun, Delving Deep into Rectifiers (2015), equations 10 and 15, derive those of relu, sqrt(2), and of
    leaky_relu, sqrt(2 / (1 + negative_slope ** 2)). The others are conventions that PyTorch set: 1 for linear and
    sigmoid, 5/3 for tanh, 3/4 for selu.

    Parameters
    ----------
    nonlinearity : {"linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"}
    negative_slope : float
        Of leaky_relu; the others have none.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For another name, or a slope that is not finite.

    Examples
    --------
    >>> from tinygrad_fc.nn import init
    >>> round(init.calculate_gain("relu"), 4)
    1.4142
    """
    return math.sqrt(_squared_gain(nonlinearity, negative_slope))


def normal(shape: tuple[int, ...], std: float = 1.0, seed: Seed = None, *, mean: float = 0.0) -> np.ndarray:
    """Return values of a normal distribution with the given mean and standard deviation, float64.

    Raises
    ------
    ValueError
        If an axis is negative, `std` is, or `std` or `mean` is not finite.
    TypeError
        If the shape is none. So for all initialisers.
    """
    shape, std, mean = _sizes("normal", shape), finite("std", std), _number("mean", mean)
    values: np.ndarray = generator(seed).normal(0.0, 1.0, shape) * std
    return values + mean if mean else values


def uniform(shape: tuple[int, ...], low: float = 0.0, high: float = 1.0, seed: Seed = None) -> np.ndarray:
    """Return values evenly distributed in [low, high), float64.

    Raises
    ------
    ValueError
        If an axis is negative, a bound is not finite, or `low` is above `high`.
    """
    shape, low, high = _sizes("uniform", shape), _number("low", low), _number("high", high)
    if low > high:
        raise ValueError(f"low: given {low}, which is above high, {high}: exchange them.")
    values: np.ndarray = generator(seed).uniform(low, high, shape)
    return values


def zeros(shape: tuple[int, ...], seed: Seed = None) -> np.ndarray:
    """Return zeros, float64 (`seed` is not used: all initialisers have one signature)."""
    return np.zeros(_sizes("zeros", shape))


def ones(shape: tuple[int, ...], seed: Seed = None) -> np.ndarray:
    """Return ones, float64 (`seed` is not used)."""
    return np.ones(_sizes("ones", shape))


def constant(shape: tuple[int, ...], value: float, seed: Seed = None) -> np.ndarray:
    """Return `value` everywhere, float64 (`seed` is not used).

    Raises
    ------
    ValueError
        If `value` is not finite.
    """
    return np.full(_sizes("constant", shape), _number("value", value))


def _kaiming_variance(
    name: str, shape: tuple[int, ...], nonlinearity: str, negative_slope: float, mode: Mode
) -> float:
    into, out = _fans(name, shape)
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode: given {mode!r}, expected 'fan_in' or 'fan_out'.")
    return _squared_gain(nonlinearity, negative_slope) / (into if mode == "fan_in" else out)


def kaiming_normal(
    shape: tuple[int, ...], seed: Seed = None, *, nonlinearity: str = "relu", negative_slope: float = 0.01,
    mode: Mode = "fan_in",
) -> np.ndarray:  # fmt: skip
    """Return normal values of variance gain ** 2 / fan, which keeps the scale through layers of the nonlinearity.

    He, Zhang, Ren, Sun, Delving Deep into Rectifiers (2015), equation 10 (forward), 14 (backward) and 15 (leaky relu).
    With relu the variance is 2 / fan_in.

    Parameters
    ----------
    shape : tuple of int
        (fan_in, fan_out).
    seed : int, numpy.random.Generator or None
    nonlinearity, negative_slope
        What follows the layer: see `calculate_gain`.
    mode : {"fan_in", "fan_out"}
        Keep the scale of the values on the way forward, or of the gradients on the way back.

    Raises
    ------
    ValueError, TypeError
        If the shape has not two axes of at least 1, or a name is unknown.
    """
    variance = _kaiming_variance("kaiming_normal", shape, nonlinearity, negative_slope, mode)
    return normal(shape, math.sqrt(variance), seed)


def kaiming_uniform(
    shape: tuple[int, ...], seed: Seed = None, *, nonlinearity: str = "relu", negative_slope: float = 0.01,
    mode: Mode = "fan_in",
) -> np.ndarray:  # fmt: skip
    """Return uniform values of variance gain ** 2 / fan, in [-b, b] with b = gain * sqrt(3 / fan).

    Source, arguments and errors are those of `kaiming_normal`.
    """
    bound = math.sqrt(3.0 * _kaiming_variance("kaiming_uniform", shape, nonlinearity, negative_slope, mode))
    return uniform(shape, -bound, bound, seed)


def xavier_normal(shape: tuple[int, ...], seed: Seed = None, *, gain: float = 1.0) -> np.ndarray:
    """Return normal values of variance gain ** 2 * 2 / (fan_in + fan_out).

    Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks (2010), equation 12.
    Errors are those of `kaiming_normal`.
    """
    into, out = _fans("xavier_normal", shape)
    return normal(shape, finite("gain", gain) * math.sqrt(2.0 / (into + out)), seed)


def xavier_uniform(shape: tuple[int, ...], seed: Seed = None, *, gain: float = 1.0) -> np.ndarray:
    """Return uniform values of variance gain ** 2 * 2 / (fan_in + fan_out).

    Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks (2010), equation 16.
    Errors are those of `kaiming_normal`.
    """
    into, out = _fans("xavier_uniform", shape)
    bound = finite("gain", gain) * math.sqrt(6.0 / (into + out))
    return uniform(shape, -bound, bound, seed)


def lecun_normal(shape: tuple[int, ...], seed: Seed = None) -> np.ndarray:
    """Return normal values of variance 1 / fan_in, as selu wants them.

    LeCun, Bottou, Orr, Müller, Efficient BackProp (1998), equation 16; Klambauer, Unterthiner, Mayr, Hochreiter,
    Self-Normalizing Neural Networks (2017), for selu.
    """
    return normal(shape, math.sqrt(1.0 / _fans("lecun_normal", shape)[0]), seed)


def lecun_uniform(shape: tuple[int, ...], seed: Seed = None) -> np.ndarray:
    """Return uniform values of variance 1 / fan_in; the source is that of `lecun_normal`."""
    bound = math.sqrt(3.0 / _fans("lecun_uniform", shape)[0])
    return uniform(shape, -bound, bound, seed)


def orthogonal(shape: tuple[int, ...], seed: Seed = None, *, gain: float = 1.0) -> np.ndarray:
    """Return `gain` times a matrix with orthonormal columns or, where it is wider than high, orthonormal rows.

    Saxe, McClelland, Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural networks
    (2013). All such matrices are equally likely (Haar's measure): the factor Q of a normal matrix, its columns times
    the signs of R's diagonal, as in Mezzadri, How to generate random matrices from the classical compact groups (2007).

    Parameters
    ----------
    shape : tuple of int
        (fan_in, fan_out).
    seed : int, numpy.random.Generator or None
    gain : float
        At least 0.

    Raises
    ------
    ValueError, TypeError
        If the shape has not two axes of at least 1, or the gain is negative or not finite.
    """
    into, out = _fans("orthogonal", shape)
    gain = finite("gain", gain)
    q, r = np.linalg.qr(normal((max(into, out), min(into, out)), 1.0, seed))
    q *= np.where(np.diagonal(r) < 0, -gain, gain)
    return np.ascontiguousarray(q if into >= out else q.T)

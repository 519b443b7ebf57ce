"""Gradients by finite differences, and how far two gradients lie apart.

The central difference ``(f(x + h) - f(x - h)) / (2 h)`` has an error of order h**2 from the formula and of order
``eps * |f| / h`` from rounding; at float64 h = 1e-5 balances them near 1e-10 for functions of order one.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def eval_numerical_gradient(
    f: Callable[[np.ndarray], Any], x: np.ndarray, verbose: bool = False, h: float = 1e-5
) -> np.ndarray:
    """Differentiate a scalar function of an array numerically, one element at a time.

    Parameters
    ----------
    f : callable
        ``f(x)`` returns a float, an array of one element or a tensor of one element. It is called with `x` itself,
        changed in place, so it may also read `x` (a parameter's array, say) from elsewhere and ignore its argument.
    x : ndarray
        Floating, writeable, any shape; float64 for a useful precision. It has its old values afterwards, also when `f`
        raises.
    verbose : bool
        Print each index with its derivative.
    h : float
        Half the distance between the two points.

    Returns
    -------
    ndarray
        df/dx, of x's shape and dtype.

    Raises
    ------
    TypeError
        When `x` is no floating ndarray, or `f` returns no single number.
    ValueError
        When `x` is read-only, `h` is not positive or is lost in rounding beside an element of `x`, or `f` returns NaN
        or infinity.
    """
    _check_point(x, h)
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        high, low, width = _both_sides(f, x, index, h, _scalar)
        gradient[index] = (high - low) / width
        if verbose:
            print(index, gradient[index])
    return gradient


def eval_numerical_gradient_array(
    f: Callable[[np.ndarray], Any], x: np.ndarray, df: np.ndarray | float, h: float = 1e-5
) -> np.ndarray:
    """Differentiate an array function numerically and contract the result with an upstream gradient.

    Parameters
    ----------
    f : callable
        ``f(x)`` returns an array or a tensor. It is called with `x` itself, changed in place.
    x : ndarray
        Floating, writeable, any shape. It has its old values afterwards, also when `f` raises.
    df : ndarray or float
        The gradient of a loss with respect to f's output, of the output's shape.
    h : float
        Half the distance between the two points.

    Returns
    -------
    ndarray
        ``sum(df * d f(x) / dx[i])`` for each element i, of x's shape and dtype.

    Raises
    ------
    TypeError
        When `x` is no floating ndarray.
    ValueError
        When `x` is read-only, `h` is not positive or lost in rounding, f's output is not finite, or `df` has another
        shape than it.
    """
    _check_point(x, h)
    upstream = np.asarray(df)
    gradient = np.zeros_like(x)

    def value(output: Any, index: tuple[int, ...]) -> np.ndarray:
        array = np.array(output.data if hasattr(output, "backward") else output)  # a copy: f may return x itself
        if array.shape != upstream.shape:
            raise ValueError(f"df has shape {upstream.shape}, but f returns {array.shape}; they must be equal")
        if not np.isfinite(array).all():
            raise ValueError(f"f returned NaN or infinity at x{list(index)} +- {h:g}: no difference can be taken there")
        return array

    for index in np.ndindex(x.shape):
        high, low, width = _both_sides(f, x, index, h, value)
        gradient[index] = np.sum((high - low) * upstream) / width
    return gradient


def rel_error(x: Any, y: Any) -> float:
    """Return the largest relative difference of two arrays, ``max(|x - y| / max(1e-8, |x| + |y|))``.

    Parameters
    ----------
    x, y : array_like
        Of one shape. The bound of 1e-8 below keeps pairs of tiny numbers from counting as different.

    Returns
    -------
    float
        Between 0 (equal) and 1; 0 for empty arrays, NaN when either holds a NaN or both an infinity.

    Raises
    ------
    ValueError
        When the shapes differ: broadcasting would compare what does not belong together.
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"rel_error: x has shape {first.shape}, y has {second.shape}; they must be equal")
    if first.size == 0:
        return 0.0
    with np.errstate(invalid="ignore"):
        return float(np.max(np.abs(first - second) / np.maximum(1e-8, np.abs(first) + np.abs(second))))


def grad_check_sparse(
    f: Callable[[np.ndarray], Any],
    x: np.ndarray,
    analytic_grad: np.ndarray,
    num_checks: int = 10,
    h: float = 1e-5,
    seed: int | None = None,
) -> list[float]:
    """Compare a gradient with finite differences at random elements, and print a line for each.

    Parameters
    ----------
    f : callable
        As in `eval_numerical_gradient`.
    x : ndarray
        Floating, writeable, any shape but an empty one. It has its old values afterwards.
    analytic_grad : ndarray
        The gradient to check, of x's shape.
    num_checks : int
        How many elements are drawn, with repetition.
    h : float
        Half the distance between the two points.
    seed : int, optional
        Of the generator that draws the elements.

    Returns
    -------
    list of float
        The relative errors, as `rel_error` defines them, in the order printed.

    Raises
    ------
    TypeError, ValueError
        As `eval_numerical_gradient` does, when the shapes differ, and when there is nothing to draw from.
    """
    _check_point(x, h)
    analytic = np.asarray(analytic_grad)
    if analytic.shape != x.shape:
        raise ValueError(f"analytic_grad has shape {analytic.shape}, x has {x.shape}; they must be equal")
    if x.size == 0:
        raise ValueError(f"x has shape {x.shape}: there is no element to check")
    generator = np.random.default_rng(seed)
    errors = []
    for _ in range(num_checks):
        index = tuple(int(generator.integers(length)) for length in x.shape)
        high, low, width = _both_sides(f, x, index, h, _scalar)
        numerical, given = (high - low) / width, float(analytic[index])
        errors.append(rel_error(numerical, given))
        print(f"numerical: {numerical:f} analytic: {given:f}, relative error: {errors[-1]:e}")
    return errors


def _both_sides(
    f: Callable[[np.ndarray], Any], x: np.ndarray, index: tuple[int, ...], h: float, read: Callable[..., Any]
) -> tuple[Any, Any, float]:
    """Return f above and below x at one element, each passed through `read`, and the distance between the points."""
    old = x[index]
    try:
        x[index] = old + h
        above = float(x[index])
        x[index] = old - h
        below = float(x[index])
        if not below < float(old) < above:
            raise ValueError(
                f"h = {h:g} is lost in the rounding of {x.dtype} beside x{list(index)} = {old}; "
                f"use float64 or a larger h"
            )
        x[index] = above
        high = read(f(x), index)
        x[index] = below
        low = read(f(x), index)
    finally:
        x[index] = old
    # Rounding moves float32 points by up to a per cent of h. At float64 it does not show, and 2 h is the formula.
    return high, low, 2 * h if x.dtype == np.float64 else above - below


def _scalar(output: Any, index: tuple[int, ...]) -> float:
    """Return what `f` returned as a finite float, or raise."""
    if getattr(output, "size", 1) != 1:
        raise TypeError(f"f must return one number, got shape {output.shape}; reduce it, or give an upstream gradient")
    try:
        number = float(output.item() if hasattr(output, "item") else output)
    except (TypeError, ValueError):
        raise TypeError(f"f must return one number, got {type(output).__name__}") from None
    if not math.isfinite(number):
        raise ValueError(f"f returned {number} at x{list(index)}: no difference can be taken there")
    return number


def _check_point(x: Any, h: float) -> None:
    """Raise unless `x` can be moved by `h` in place."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"x must be an ndarray, which is changed in place, got {type(x).__name__}; of a tensor, t.data")
    if x.dtype.kind != "f":
        raise TypeError(f"x has dtype {x.dtype}, in which a step of {h:g} is lost; use x.astype(np.float64)")
    if not x.flags.writeable:
        raise ValueError("x is read-only, and its elements have to be moved; pass x.copy()")
    if not (0 < h < math.inf):
        raise ValueError(f"h must be positive and finite, got {h!r}")
    for index in _not_finite(x):
        raise ValueError(f"x{list(index)} is {x[index]}; a gradient can be taken at finite points only")


def _not_finite(x: np.ndarray) -> Iterator[tuple[int, ...]]:
    """Yield the indices of NaNs and infinities."""
    for index in np.argwhere(~np.isfinite(x)):
        yield tuple(int(i) for i in index)

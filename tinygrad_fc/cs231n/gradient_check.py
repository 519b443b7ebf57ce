"""Numerical gradients with the signatures of the course CS231n, over `tinygrad_fc.check`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from ..check import numerical
from ..check.numerical import eval_numerical_gradient_array

__all__ = [
    "eval_numerical_gradient", "eval_numerical_gradient_array", "eval_numerical_gradient_blobs", "grad_check_sparse",
]  # fmt: skip


class Blob(Protocol):
    """What `eval_numerical_gradient_blobs` reads: values, and their gradients of the same shape."""

    vals: np.ndarray
    diffs: np.ndarray


def eval_numerical_gradient(
    f: Callable[[np.ndarray], Any], x: np.ndarray, verbose: bool = True, h: float = 1e-5
) -> np.ndarray:
    """Differentiate a scalar function of an array by central differences, one element at a time.

    Parameters
    ----------
    f : callable
        ``f(x)`` returns one number. It is called with `x` itself, changed in place, and may ignore its argument and
        read the array from elsewhere (``model.params[name]``, say).
    x : ndarray
        Floating, writeable, any shape. It has its old values afterwards.
    verbose : bool
        Print each index with its derivative, as the course does unless told otherwise.
    h : float
        Half the distance between the two points.

    Returns
    -------
    ndarray
        df/dx, of x's shape and dtype.

    Raises
    ------
    TypeError, ValueError
        As `tinygrad_fc.check.eval_numerical_gradient` does.
    """
    return numerical.eval_numerical_gradient(f, x, verbose, h)


def eval_numerical_gradient_blobs(
    f: Callable[..., Any], inputs: Sequence[Blob], output: Blob, h: float = 1e-5
) -> list[np.ndarray]:
    """Differentiate a function that reads and writes blobs, by central differences.

    Parameters
    ----------
    f : callable
        ``f(*inputs, output)`` computes ``output.vals`` from the ``vals`` of the inputs: in place, or as a new array.
    inputs : sequence of objects with ``vals``
        Their ``vals`` are changed in place, and have their old values afterwards.
    output : object with ``vals`` and ``diffs``
        ``diffs`` is the gradient of a loss with respect to ``vals``. Afterwards ``vals`` belongs to the old inputs.
    h : float
        Half the distance between the two points.

    Returns
    -------
    list of ndarray
        For each input the gradient of the loss with respect to its ``vals``.

    Raises
    ------
    TypeError, ValueError
        As `eval_numerical_gradient_array` does.
    """

    def values(_: np.ndarray) -> np.ndarray:
        f(*inputs, output)
        return output.vals

    found = [eval_numerical_gradient_array(values, blob.vals, output.diffs, h) for blob in inputs]
    f(*inputs, output)  # the last call stood beside the point
    return found


def grad_check_sparse(
    f: Callable[[np.ndarray], Any], x: np.ndarray, analytic_grad: np.ndarray, num_checks: int = 10, h: float = 1e-5
) -> None:
    """Compare a gradient with central differences at random elements, and print a line for each.

    The elements are drawn with a seed from Python's global generator: ``random.seed`` makes them repeat.

    Parameters
    ----------
    f : callable
        As in `eval_numerical_gradient`.
    x : ndarray
        Floating, writeable, not empty. It has its old values afterwards.
    analytic_grad : ndarray
        The gradient to check, of x's shape.
    num_checks : int
        How many elements are drawn, with repetition.
    h : float
        Half the distance between the two points.

    Raises
    ------
    TypeError, ValueError
        As `tinygrad_fc.check.grad_check_sparse` does.
    """
    numerical.grad_check_sparse(f, x, analytic_grad, num_checks, h, seed=random.randrange(2**32))

"""maxout: the largest of each run of neighbouring features."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..ops.samples import Samples
from .activation import floating

# NumPy reduces an axis of two elements a hundred times as slowly as it compares two arrays; here the ways meet.
_MANY = 32


def _check(x: Any, pieces: Any) -> int:
    """Return `pieces` as an int; raise TypeError or ValueError unless it divides the last axis of x."""
    if isinstance(pieces, bool) or not isinstance(pieces, (int, np.integer)):
        raise TypeError(f"maxout: pieces: given {pieces!r}, expected a positive integer.")
    if pieces < 1:
        raise ValueError(f"maxout: pieces: given {pieces}, expected a positive integer.")
    if x.ndim < 1 or x.shape[-1] % pieces:
        raise ValueError(
            f"maxout: x has shape {x.shape}, expected a last axis whose length {pieces} divides: pieces neighbouring "
            f"features make one."
        )
    return int(pieces)


def _grouped(x: Any, pieces: int) -> Any:
    """Return x with its last axis cut in two, the second of length `pieces`."""
    return x.reshape((*x.shape[:-1], x.shape[-1] // pieces, pieces))


def _maxout(x: Any, pieces: int) -> Any:
    pieces = _check(x, pieces)
    x = floating(x)
    if pieces > _MANY:
        return np.maximum.reduce(_grouped(x, pieces), axis=-1)
    out = np.array(x[..., ::pieces], order="C")
    for k in range(1, pieces):
        np.maximum(out, x[..., k::pieces], out=out)
    return out


def _rule(g: Any, x: Any, out: Any, pieces: int) -> Any:
    if type(g) is np.ndarray and pieces <= _MANY:
        wins = [x[..., k::pieces] == out for k in range(pieces)]
        ties = wins[0].astype(g.dtype)
        for win in wins[1:]:
            ties += win
        if ties.all():  # no NaN
            share = np.divide(g, ties, out=ties)
            d = np.empty(x.shape, g.dtype)
            for k, win in enumerate(wins):
                np.multiply(share, win, out=d[..., k::pieces])
            return d
    parts = _grouped(x, int(pieces))
    attains = np.asarray((parts == out[..., None]) | (parts != parts))
    share = g / np.add.reduce(attains, axis=-1, dtype=g.dtype)
    return np.where(attains, share[..., None], 0.0).reshape(x.shape)


def _calls(generator: np.random.Generator) -> list[Any]:
    def spread(*shape: int) -> Any:
        """Values that keep apart, so that no two of a run tie."""
        return generator.permutation(int(np.prod(shape))).reshape(shape) * 0.25 - 1.0

    return [
        (spread(3, 4), 2), (spread(1, 6), 3), (spread(2, 2, 4), 4), (spread(5), 1), (spread(2, 2 * 40), 40),
        (np.zeros((0, 4)), 2), (np.zeros((2, 0)), 3), ((spread(2, 6),), {"pieces": 2}),
    ]  # fmt: skip


samples: Samples = _calls

maxout = fused_op(
    _maxout, name="maxout", x=_rule, branch=lambda x, out, pieces: _grouped(x, int(pieces)) == out[..., None],
    compose=lambda x, pieces: np.max(_grouped(floating(x), _check(x, pieces)), axis=-1), samples=samples,
)  # fmt: skip
maxout.__doc__ = """Return the largest of each run of `pieces` neighbouring features.

Goodfellow, Warde-Farley, Mirza, Courville and Bengio, Maxout Networks (2013), section 3. Behind an affine layer of
M * pieces features, each of the M results is a convex function that is learned. Ties share the gradient equally, and
NaN is the result and takes the gradient, as in `max`.

Parameters
----------
x : Tensor or array, shape (..., M * pieces)
    Integers become float64.
pieces : int
    How many neighbours make one feature; it divides the last axis.

Returns
-------
Tensor, shape (..., M)

Raises
------
ValueError
    If `pieces` is not positive or does not divide the last axis.
TypeError
    If `pieces` is no integer.
"""

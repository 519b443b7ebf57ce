"""Shapes: the same elements in another arrangement. Most results are views, as in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine.dispatch import FUNCTIONS, derived, functions
from ..engine.op import op
from .samples import calls, several


def _back(g: Any, a_shape: tuple[int, ...]) -> Any:
    return g.reshape(a_shape)


def _reshape(a: Any, shape: Any) -> Any:
    return np.reshape(a, shape)


def _ravel(a: Any) -> Any:
    return np.ravel(a)


def _squeeze(a: Any, axis: Any = None) -> Any:
    return np.squeeze(a, axis)


def _expand_dims(a: Any, axis: Any) -> Any:
    return np.expand_dims(a, axis)


def _transpose(a: Any, axes: Any = None) -> Any:
    return np.transpose(a, axes)


def _transpose_rule(g: Any, axes: Any) -> Any:
    return np.transpose(g, None if axes is None else tuple(np.argsort([n % len(axes) for n in axes]).tolist()))


def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    return np.swapaxes(a, axis1, axis2)


def _broadcast_to(array: Any, shape: Any) -> Any:
    return np.broadcast_to(array, shape)


def _concatenate(*arrays: Any, axis: int = 0) -> Any:
    return np.concatenate(arrays, axis=axis)


def _concatenate_rule(g: Any, arrays_shape: Any, axis: int, index: int) -> Any:
    start = sum(shape[axis] for shape in arrays_shape[:index])
    stop = start + arrays_shape[index][axis]
    return g[(slice(None),) * (axis % g.ndim) + (slice(start, stop),)]


def _stack(*arrays: Any, axis: int = 0) -> Any:
    return np.stack(arrays, axis=axis)


def _stack_rule(g: Any, axis: int, index: int) -> Any:
    return g[(slice(None),) * (axis % g.ndim) + (index,)]


reshape      = op(_reshape,      numpy=np.reshape,      a=_back,
                  samples=several(calls((2, 3), np.array([3, 2])), calls((2, 3), -1), calls((), np.array([1, 1])),
                                  calls((0, 3), -1)))
ravel        = op(_ravel,        numpy=np.ravel,        a=_back, samples=calls((2, 3)))
squeeze      = op(_squeeze,      numpy=np.squeeze,      a=_back,
                  samples=several(calls((1, 3, 1)), calls((1, 3, 1), -1)))
expand_dims  = op(_expand_dims,  numpy=np.expand_dims,  a=_back,
                  samples=several(calls((2, 3), 1), calls((), 0), calls((2, 3), axis=(0, -1))))
transpose    = op(_transpose,    numpy=(np.transpose, np.permute_dims), a=_transpose_rule,
                  samples=several(calls((2, 3)), calls((2, 3, 4), [2, 0, 1]), calls((2, 3, 4), axes=(-1, 0, 1)),
                                  calls((3,))))
swapaxes     = op(_swapaxes,     numpy=np.swapaxes,     a=lambda g, axis1, axis2: np.swapaxes(g, axis1, axis2),
                  samples=several(calls((2, 3, 4), 0, 2), calls((2, 3), -1, 0)))
broadcast_to = op(_broadcast_to, numpy=np.broadcast_to, array=lambda g: g, broadcasts=True,
                  samples=several(calls((3,), shape=(2, 3)), calls((2, 1), shape=(4, 2, 3)), calls((), shape=(2,))))

_concatenated = op(_concatenate, arrays=_concatenate_rule,
                   samples=several(calls((2, 3), (1, 3)), calls((2, 3), (2, 2), (2, 0), axis=-1)))
_stacked      = op(_stack,       arrays=_stack_rule,
                   samples=several(calls((2, 3), (2, 3)), calls((3,), (3,), axis=-1)))


@derived(np.concatenate, np.concat, samples=lambda generator: [
    ([generator.normal(size=(2, 3)), generator.normal(size=(1, 3))],),
    (([generator.normal(size=(2, 3)), generator.normal(size=2)],), {"axis": None}),
])  # fmt: skip
def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Any:
    """Join tensors or arrays along an existing axis (None: each one flattened first), as ``np.concatenate``."""
    if axis is None:
        return _concatenated(*[functions.reshape(array, -1) for array in arrays])
    return _concatenated(*arrays, axis=axis)


@derived(np.stack, samples=lambda generator: [(list(generator.normal(size=(3, 2, 2))), 1)])
def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """Join tensors or arrays of one shape along a new axis, as ``np.stack``."""
    return _stacked(*arrays, axis=axis)


# Facts, and no operations: what NumPy answers for the array.
FUNCTIONS[np.shape] = lambda a: a.shape
FUNCTIONS[np.ndim] = lambda a: a.ndim
FUNCTIONS[np.size] = lambda a, axis=None: np.size(a.data, axis)

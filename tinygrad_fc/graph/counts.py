"""multiply_adds: what an operation computes, by its name and shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Shape = tuple[int, ...]

# Elements are moved, named or copied, and nothing is computed.
_MOVED = frozenset((
    "astype", "broadcast_to", "concatenate", "copy", "diagonal", "embed_diagonal", "expand_dims", "flip", "getitem",
    "index_set", "pad_constant", "permute", "reshape", "roll", "same", "scatter", "squeeze", "stack", "swapaxes",
    "transpose", "vectors", "where",
))  # fmt: skip


def multiply_adds(op: str, shapes: Sequence[Shape], out: Shape, static: Mapping[str, Any] | None = None) -> int:
    """Return how many multiplications with their additions an operation does.

    Products (matmul and einsum, with which dot, inner, tensordot and their like are written, and the layers affine and
    affine_relu) count each product that is summed; bias and activation are not counted, as in
    ``Module.multiply_adds``. What only moves or renames elements counts 0, everything else the size of its result.

    Parameters
    ----------
    op : str
        Name of the operation.
    shapes : sequence of tuple of int
        Of its differentiable arguments, in order; the operands, where their number is open.
    out : tuple of int
        Shape of the result.
    static : mapping, optional
        Its arguments that take no gradient: `subscripts` and `optimize` of einsum.
    """
    size = math.prod(out)
    if op in _MOVED:
        return 0
    if op == "matmul":
        return size * shapes[0][-1]
    if op in ("affine", "affine_relu"):
        return size * shapes[1][0]
    if op == "einsum" and len(shapes) > 1:
        static = static or {}
        return _einsum(static["subscripts"], shapes, static.get("optimize"))
    return size


def _einsum(subscripts: str, shapes: Sequence[Shape], optimize: Any) -> int:
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = [_axes(term, len(shape)) for term, shape in zip(inputs.split(","), shapes, strict=True)]
    lengths: dict[Any, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for axis, n in zip(term, shape, strict=True):
            if lengths.get(axis, 1) == 1:  # an axis of length 1 is broadcast
                lengths[axis] = n
    if len(terms) > 2 and optimize is None or optimize:
        stand_ins = [np.broadcast_to(np.float64(0.0), shape) for shape in shapes]
        path = np.einsum_path(subscripts, *stand_ins, optimize=True if optimize is None else optimize)[0][1:]
    else:
        path = [tuple(range(len(terms)))]
    every = [axis for term in terms for axis in term]
    # Without an arrow the result has what occurs once, and the axes that ``...`` stands for.
    kept = {axis for axis in every if isinstance(axis, int) or (axis in output if arrow else every.count(axis) == 1)}
    left, total = [set(term) for term in terms], 0
    for step in path:
        met = [left.pop(place) for place in sorted(step, reverse=True)]
        axes = set().union(*met)
        total += math.prod(lengths[axis] for axis in axes) * max(len(met) - 1, 0)
        left.append(axes & kept.union(*left))
    return total


def _axes(term: str, ndim: int) -> list[Any]:
    """Return the name of each axis: its letter, or its place from the end of those that ``...`` stands for."""
    before, dots, after = term.partition("...")
    return [*before, *(range(len(before) + len(after) - ndim, 0) if dots else ()), *after]

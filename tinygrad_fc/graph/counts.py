"""multiply_adds: what an operation computes, by its name and shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Shape = tuple[int, ...]

# Elements are moved, named or copied, and nothing is computed.
_MOVED = frozenset((
    "astype", "broadcast_to", "concatenate", "copy", "diagonal", "embed_diagonal", "expand_dims", "flip", "getitem",
    "index_set", "pad_constant", "permute", "reshape", "roll", "same", "scatter", "squeeze", "stack", "swapaxes",
    "transpose", "vectors", "where",
))  # fmt: skip


# Of a matrix of m times n, m >= n, the products of an algorithm of order n^3.
_DECOMPOSED: dict[str, Callable[[int, int], float]] = {
    "det": lambda m, n: n**3 / 3,  # by LU; slogdet likewise
    "slogdet": lambda m, n: n**3 / 3,
    "inv": lambda m, n: n**3,
    "cholesky": lambda m, n: n**3 / 6,
    "qr": lambda m, n: 2 * n * n * (m - n / 3),  # by Householder's reflections: R, and as much again for Q
    "eigh": lambda m, n: 4.5 * n**3,
    "eigvalsh": lambda m, n: 2 * n**3 / 3,
    "svd": lambda m, n: 7 * m * n * n + 4 * n**3,
    "svdvals": lambda m, n: 2 * m * n * n - 2 * n**3 / 3,
    "pinv": lambda m, n: 8 * m * n * n + 4 * n**3,  # svd, and a product
}


def multiply_adds(op: str, shapes: Sequence[Shape], out: Shape, static: Mapping[str, Any] | None = None) -> int:
    """Return how many multiplications with their additions an operation does.

    Products (matmul and einsum, with which dot, inner, tensordot and their like are written, and the layers affine and
    affine_relu) count each product that is summed; bias and activation are not counted, as in
    ``Module.multiply_adds``. Decompositions and what is computed by them (solve, inv, det, cholesky, qr, eigh, svd and
    their like) count as the textbook does, whatever LAPACK does in detail: half the flops in Golub and Van Loan,
    "Matrix Computations" (4th edition, 2013), sections 3.2, 4.2, 5.2, 8.3 and 8.6, where a multiplication and an
    addition are two. What only moves or renames elements counts 0, everything else the elements of its result or of
    its largest argument, whichever are more: a sum or a loss goes through all that it is given.

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
    most = max(size, *map(math.prod, shapes), 0)
    matrix = shapes[0] if shapes else ()
    if op == "solve" and len(matrix) > 1:
        n = matrix[-1]
        columns = shapes[1][-1] if len(shapes[1]) > 1 else 1
        return max(round(size // max(n * columns, 1) * (n**3 / 3 + n * n * columns)), most)
    if op in _DECOMPOSED and len(matrix) > 1:
        return max(round(math.prod(matrix[:-2]) * _DECOMPOSED[op](max(matrix[-2:]), min(matrix[-2:]))), most)
    return most


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

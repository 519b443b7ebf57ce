"""Products: matmul, dot and einsum."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.dispatch import FUNCTIONS, functions
from ..engine.op import op
from ..engine.tensor import Tensor
from .samples import calls, several


def dense(g: Any) -> Any:
    """Return `g` with real strides. A broadcast array (stride 0) takes the matrix product's slow path."""
    if type(g) is np.ndarray:
        return g.copy() if 0 in g.strides and g.size > 1 else g
    return functions.copy(g) if isinstance(g, Tensor) and 0 in g.data.strides and g.size > 1 else g


def product(a: Any, b: Any) -> Any:
    """Return the product of two matrices. On arrays ``dot`` does as ``@`` and starts sooner; tensors record ``@``."""
    return a.dot(b) if type(a) is np.ndarray and type(b) is np.ndarray else a @ b


def _matmul_x(g: Any, x: Any, y: Any) -> Any:
    if y.ndim == 1:  # (..., n, k) @ (k,) or (k,) @ (k,): the outer product
        return g.reshape((*g.shape, 1)) * y
    if x.ndim == 1:  # (k,) @ (..., k, m): one row for each matrix of y
        g = g.reshape((*g.shape[:-1], 1, g.shape[-1]))
        rows = dense(g) @ np.swapaxes(y, -1, -2)
        return rows.reshape((*rows.shape[:-2], rows.shape[-1]))
    return dense(g) @ np.swapaxes(y, -1, -2)


def _matmul_y(g: Any, x: Any, y: Any) -> Any:
    if x.ndim == 1 and y.ndim == 1:
        return g * x
    if x.ndim == 1:
        return x.reshape((-1, 1)) * g.reshape((*g.shape[:-1], 1, g.shape[-1]))
    if y.ndim == 1:  # sum over everything but k
        columns = np.swapaxes(x, -1, -2) @ dense(g.reshape((*g.shape, 1)))
        return columns.reshape(columns.shape[:-1])
    return np.swapaxes(x, -1, -2) @ dense(g)


matmul = op(
    np.matmul, x=_matmul_x, y=_matmul_y, cure="The inner lengths must agree: (..., n, k) @ (..., k, m).",
    samples=several(
        calls((2, 3), (3, 4)), calls((3,), (3,)), calls((2, 3), (3,)), calls((3,), (3, 2)), calls((5, 2, 3), (3, 4)),
        calls((2, 1, 2, 3), (4, 3, 2)), calls((4, 2, 3), (3,)), calls((3,), (4, 3, 2)), calls((0, 3), (3, 2)),
    ),
)  # fmt: skip


# ---- einsum

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _einsum(subscripts: str, *operands: Any) -> Any:
    return np.einsum(subscripts, *operands, optimize=len(operands) > 2)


def _letters(subscripts: str, ndims: list[int]) -> tuple[list[str], str]:
    """Return the subscripts of each operand and of the result, with every ``...`` spelled out, the result explicit."""
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    free = [letter for letter in LETTERS if letter not in subscripts]
    pairs = list(zip(terms, ndims, strict=True))
    dots = ["".join(free[: n - len(term.replace("...", ""))]) for term, n in pairs if "..." in term]
    longest = max(map(len, dots), default=0)
    # Ellipses are aligned at their last axes.
    spelled = [
        term.replace("...", "".join(free[longest - (n - len(term.replace("...", ""))) : longest])) for term, n in pairs
    ]
    if not arrow:
        every = "".join(terms).replace("...", "")
        output = "..." * bool(dots) + "".join(sorted(letter for letter in set(every) if every.count(letter) == 1))
    return spelled, output.replace("...", "".join(free[:longest]))


def _einsum_rule(g: Any, subscripts: str, operands: Any, index: int) -> Any:
    terms, output = _letters(subscripts, [operand.ndim for operand in operands])
    lengths: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        for letter, n in zip(term, operand.shape, strict=True):
            if lengths.get(letter, 1) == 1:
                lengths[letter] = n
    factors, names = [dense(g)], [output]
    for k, operand in enumerate(operands):
        if k != index:
            factors.append(operand)
            names.append(terms[k])
    spare = (letter for letter in LETTERS if letter not in "".join(terms) + output)
    target = ""
    for letter in terms[index]:
        if letter in target:  # a diagonal was read: the gradient goes back to the diagonal
            other = next(spare)
            factors.append(np.eye(lengths[letter], dtype=g.dtype))
            names.append(letter + other)
            target += other
        else:
            target += letter
    for letter in target:  # an axis that was summed away alone gets the same gradient everywhere
        if not any(letter in name for name in names):
            factors.append(np.ones(lengths[letter], dtype=g.dtype))
            names.append(letter)
    return np.einsum(f"{','.join(names)}->{target}", *factors)


_einsum_op = op(
    _einsum, operands=_einsum_rule, broadcasts=True,
    cure="Each axis of an operand needs a letter, and a letter has one length.",
    samples=several(
        calls("ij,jk->ik", (2, 3), (3, 4)), calls("ij->", (2, 3)), calls("ii->i", (3, 3)), calls("ii", (3, 3)),
        calls("i,i", (3,), (3,)), calls("...ij,...jk->...ik", (4, 2, 3), (3, 2)),
        calls("ij,kj,k->i", (2, 3), (4, 3), (4,)), calls("ij->ji", (2, 3)), calls("i,j->ij", (2,), (3,)),
        calls("ijj->i", (2, 3, 3)), calls("bij,bjk", (2, 2, 3), (2, 3, 1)), calls("ij,j->j", (2, 3), (1,)),
    ),
)  # fmt: skip


def einsum(subscripts: str, *operands: Any, optimize: Any = None) -> Any:
    """Return the sum of products that `subscripts` describes, as ``np.einsum`` (string form)."""
    if not isinstance(subscripts, str):
        raise TypeError("einsum: the first argument must be a string of subscripts, e.g. 'ij,jk->ik'.")
    return _einsum_op(subscripts, *operands)


def dot(a: Any, b: Any) -> Any:
    """Return ``np.dot`` of tensors or arrays: numbers, vectors, matrices, or over the last and last-but-one axis."""
    left, right = (item.ndim if isinstance(item, Tensor) else np.ndim(item) for item in (a, b))
    if not left or not right:
        return functions.multiply(a, b)
    if left <= 2 and right <= 2:
        return matmul(a, b)
    names = LETTERS
    first, second = names[:left], names[left : left + right]
    shared = second[-2] if right > 1 else second[-1]
    second = second.replace(shared, first[-1])
    return einsum(f"{first},{second}->{first[:-1]}{second.replace(first[-1], '')}", a, b)


functions.einsum = FUNCTIONS[np.einsum] = einsum
functions.dot = FUNCTIONS[np.dot] = dot

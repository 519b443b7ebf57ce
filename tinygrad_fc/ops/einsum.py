"""einsum: sums of products by subscripts, given as a string or as lists of numbers, and its rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine.dispatch import FUNCTIONS, functions
from ..engine.op import op
from ..engine.tensor import Tensor
from .derived import derived, numeric
from .linalg import dense
from .samples import calls, several

# The letters in the order of the numbers that stand for them in lists, as NumPy has it: 0 is A, 26 is a. So a result
# whose axes are not given, which has them in the order of their letters, has them in the order of the numbers.
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_NUMBERS = (bool, int, float)


def _einsum(subscripts: str, *operands: Any, optimize: Any = None) -> Any:
    return np.einsum(subscripts, *operands, optimize=len(operands) > 2 if optimize is None else optimize)


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


def _einsum_rule(g: Any, subscripts: str, operands: Any, optimize: Any, index: int) -> Any:
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
    # An axis that was summed away alone, or against lengths of 1 only, gets the same gradient everywhere.
    spread = {c for factor, name in zip(factors, names, strict=True) for c, n in zip(name, factor.shape, strict=True)
              if n == lengths.get(c, n)}  # fmt: skip
    for letter in target:
        if letter not in spread:
            factors.append(np.ones(lengths[letter], dtype=g.dtype))
            names.append(letter)
    # A path that was given is one for the product that was computed: this is another.
    several_steps = len(factors) > 2 and optimize is not False or bool(optimize)
    return np.einsum(f"{','.join(names)}->{target}", *factors, optimize=several_steps)


_einsum_op = op(
    _einsum, operands=_einsum_rule, broadcasts=True,
    cure="Each axis of an operand needs a letter, and a letter has one length.",
    samples=several(
        calls("ij,jk->ik", (2, 3), (3, 4)), calls("ij->", (2, 3)), calls("ii->i", (3, 3)), calls("ii", (3, 3)),
        calls("i,i", (3,), (3,)), calls("...ij,...jk->...ik", (4, 2, 3), (3, 2)),
        calls("ij,kj,k->i", (2, 3), (4, 3), (4,)), calls("ij->ji", (2, 3)), calls("i,j->ij", (2,), (3,)),
        calls("ijj->i", (2, 3, 3)), calls("bij,bjk", (2, 2, 3), (2, 3, 1)), calls("ij,j->j", (2, 3), (1,)),
        calls("ij,kj,k->i", (2, 3), (4, 3), (4,), optimize="optimal"),
        calls("ij,jk,kl->il", (2, 3), (3, 2), (2, 4), optimize=["einsum_path", (0, 1), (0, 1)]),
        calls("ij,jk,kl->il", (2, 3), (3, 2), (2, 4), optimize=False), calls("ij,jk", (2, 3), (3, 2), optimize=True),
    ),
)  # fmt: skip


def _letter(number: Any) -> str:
    """Return the letter that a number of a list of subscripts stands for."""
    if not isinstance(number, (int, np.integer)) or isinstance(number, bool):
        raise TypeError(f"einsum: a list of subscripts has {number!r}, expected integers from 0 to 51, or Ellipsis.")
    if not 0 <= number < len(LETTERS):
        raise ValueError(f"einsum: a list of subscripts has {number}, expected integers from 0 to 51: number the axes "
                         f"from 0 on.")  # fmt: skip
    return LETTERS[number]


def _subscripts(operands: Sequence[Any]) -> tuple[Any, ...]:
    """Return the arguments of einsum with the subscripts as a string, if they were lists of numbers or Ellipsis."""
    if operands and isinstance(operands[0], str):
        return tuple(operands)
    lists = [*operands[1::2], *([operands[-1]] if len(operands) % 2 else [])]
    if not lists or not all(isinstance(entry, (list, tuple)) for entry in lists):
        raise TypeError("einsum: the first argument must be a string of subscripts, e.g. 'ij,jk->ik'; or each operand "
                        "is followed by a list of integers: np.einsum(a, [0, 1], b, [1, 2], [0, 2]).")  # fmt: skip
    terms = ["".join("..." if n is Ellipsis else _letter(n) for n in entry) for entry in lists]
    inputs = ",".join(terms[: len(operands) // 2])
    return (f"{inputs}->{terms[-1]}" if len(operands) % 2 else inputs, *operands[: len(operands) // 2 * 2 : 2])


@derived(np.einsum, samples=several(
    calls("ij,jk", (2, 3), (3, 4)), calls("...i,ij->...j", (2, 2, 3), (3, 2)),
    calls("bi,bj,ij->b", (2, 3), (2, 2), (3, 2)), calls((2, 3), [0, 1], (3, 2), [1, 2], [0, 2]),
    calls((2, 3), [Ellipsis, 1], (3,), [1]),
    calls("ij,jk,kl", (2, 3), (3, 2), (2, 2), optimize="greedy"),
))  # fmt: skip
def einsum(*operands: Any, optimize: Any = None) -> Any:
    """Return the sum of products that the subscripts describe, as ``np.einsum``.

    Parameters
    ----------
    *operands
        A string of subscripts and then tensors or arrays, or each followed by its list of integers.
    optimize : bool, str or list, optional
        The order of the products, as in NumPy; by default an order is sought where there are more than two operands.
    """
    subscripts, *items = _subscripts(operands)
    return _einsum_op(subscripts, *_arrays(items), optimize=optimize)


def _arrays(items: list[Any]) -> list[Any]:
    """Return the operands with Python numbers as arrays of no axes, in a dtype that widens none of the others."""
    if not any(type(item) in _NUMBERS for item in items):
        return items
    items = [item if type(item) in _NUMBERS or isinstance(item, Tensor) else numeric(item) for item in items]
    kind = np.result_type(*[getattr(item, "dtype", item) for item in items])
    return [np.asarray(item, kind) if type(item) in _NUMBERS else item for item in items]


def einsum_path(*operands: Any, optimize: Any = "greedy") -> Any:
    """Return the order in which einsum would multiply, and a printable account of it, as ``np.einsum_path``."""
    subscripts, *rest = _subscripts(operands)
    arrays = [item.data if isinstance(item, Tensor) else item for item in rest]
    return np.einsum_path(subscripts, *arrays, optimize=optimize)


functions.einsum_path = FUNCTIONS[np.einsum_path] = einsum_path

"""Least squares, condition numbers and ranks, by the decompositions. Matrices may be stacked, but for ``lstsq``.

Of a singular matrix the value is NumPy's, and only the gradient through it raises LinAlgError.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.dispatch import functions
from ..engine.op import op
from ..engine.tensor import constant
from .decompositions import qr, svdvals
from .derived import derived
from .inverses import LinAlgError, inv, is_recorded, solve, stacks, wide
from .linalg import as_tensor, transposed
from .norms import floating, norm, order_of
from .samples import calls, several
from .slopes import independent


def _barred(a: Any, why: str) -> Any:
    return np.asarray(a)


def _barred_rule(g: Any, why: str) -> Any:
    if why:
        raise LinAlgError(why)
    return g


# A tensor as it is, through which no gradient may come for the reason that is given.
barred = op(_barred, a=_barred_rule, samples=calls((2, 3), ""))


@derived(np.linalg.cond, samples=several(
    stacks((3, 3), (2, 3), (2, 3, 3)), *[stacks((3, 3), p=p) for p in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)],
))  # fmt: skip
def cond(x: Any, p: Any = None) -> Any:
    """Return the condition number in the norm of order `p` (2 by default), as ``np.linalg.cond``.

    That of a singular matrix is infinite, and a gradient through it raises LinAlgError; so it does where `x` has
    infinite or NaN elements.
    """
    x, p = floating(x), order_of(p)
    if not is_recorded(x):
        return as_tensor(np.linalg.cond(x.data, p))
    if x.ndim < 2 or 0 in x.shape[-2:]:
        raise LinAlgError(f"cond: given shape {x.shape}, expected matrices (..., m, n) with elements.")
    s, why = None, ""
    if not np.isfinite(x.data).all():
        why = "cond: x has infinite or NaN elements, so its condition number has no gradient."
    elif x.size:
        s = svdvals(x)
        least = s.data[..., 0] * (8.0 * max(x.shape[-2:]) * float(np.finfo(s.dtype).eps))
        if (s.data[..., -1] <= least).any():
            why = "cond: the matrix is singular: its condition number is infinite and has no gradient."
    if s is None or why:
        value = np.asarray(np.linalg.cond(wide(x.data), p))
        return independent(value if value.dtype == x.dtype else value.astype(x.dtype), barred(x, why))
    if p not in (None, 2, -2):
        return norm(x, p, (-2, -1)) * norm(inv(x), p, (-2, -1))
    return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]


matrix_rank = op(np.linalg.matrix_rank, numpy=np.linalg.matrix_rank,
                 samples=several(stacks((3, 3), (2, 3, 2)), calls(np.ones((3, 3)))))  # fmt: skip


# ---- least squares


def _cast(x: Any, dtype: Any) -> Any:
    return x if x.dtype == dtype else functions.astype(x, dtype)


@derived(np.linalg.lstsq, samples=several(
    calls((4, 2), (4,)), calls((4, 2), (4, 3)), calls((3, 3), (3,)), calls((2, 4), (2, 3)), calls((2, 4), (2,)),
))  # fmt: skip
def lstsq(a: Any, b: Any, rcond: float | None = None) -> tuple[Any, Any, int, Any]:
    """Return the least-squares solution of a x = b, the residuals, the rank and the singular values, as NumPy does.

    Where the rank of `a` is less than its smaller side, a gradient through the solution to `a` raises LinAlgError: the
    solution jumps as `a` moves.
    """
    a, b = as_tensor(a), as_tensor(b)
    if not is_recorded(a, b):
        x, residuals, rank, s = np.linalg.lstsq(a.data, b.data, rcond)
        return constant(x), constant(residuals), int(rank), constant(s)
    if a.ndim != 2 or b.ndim not in (1, 2) or a.shape[0] != b.shape[0]:
        raise LinAlgError(f"lstsq: given shapes {a.shape} and {b.shape}, expected (m, n) and (m,) or (m, k).")
    # As NumPy, compute in float64 and cast what is found: in float32 the rank may be another.
    a, b = floating(a), floating(b)
    kind = np.result_type(a.dtype, b.dtype)
    a, b = (_cast(item, np.result_type(item.dtype, np.float64)) for item in (a, b))
    if not np.isfinite(a.data).all():  # LAPACK may return a rank of 0 for it
        raise LinAlgError("lstsq: a has infinite or NaN elements, expected finite ones: its SVD does not converge.")
    (m, n), s = a.shape, svdvals(a)
    if rcond is None or rcond < 0:
        rcond = float(np.finfo(s.dtype).eps) * (max(m, n) if rcond is None else 1)
    rank = int(np.count_nonzero(s.data > rcond * np.max(s.data, initial=0.0)))
    if rank < min(m, n) or not is_recorded(a):
        why = (
            f"lstsq: the rank of a is {rank}, less than {min(m, n)}, so its solution has no gradient. "
            f"Add a penalty: solve (a.T @ a + c * I) x = a.T @ b."
        )
        inverse = np.linalg.pinv(a.data, rcond)
        x = (independent(inverse, barred(a, why)) if is_recorded(a) else constant(inverse)) @ b
    elif m >= n:
        q, r = qr(a)
        x = solve(r, transposed(q) @ b)
    else:
        q, r = qr(transposed(a))
        x = q @ solve(transposed(r), b)
    if m <= n or rank < n:
        residuals = constant(np.empty(0))
    else:
        residuals = functions.sum(functions.square(b - a @ x), axis=0, keepdims=b.ndim == 1)
    return _cast(x, kind), _cast(residuals, kind), rank, _cast(s, kind)

"""Decompositions: eigh, svd and qr. Matrices may be stacked.

Where NumPy reads one triangle of a symmetric matrix (eigh, eigvalsh), that triangle gets the gradient, which is the
derivative of what is computed. An operation has one result, so eigh, svd and qr are operations whose result is packed
into one array, and functions that take it apart.

Equal eigenvalues or singular values leave their vectors undefined, and gradients through them: LinAlgError says so.
``eigvalsh`` and ``svdvals`` have a subgradient there, that of the vectors which LAPACK finds; a singular value of 0
takes none, as ``absolute`` takes none at 0.

Sources: [G] Giles, An extended collection of matrix derivative results for forward and reverse mode algorithmic
differentiation (2008); [T] Townsend, Differentiating the singular value decomposition (2016); [W] Walter and Lehmann,
Algorithmic differentiation of linear algebra functions with application in optimum experimental design (2010).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..engine.dispatch import functions
from ..engine.op import op
from ..engine.tensor import Tensor
from .branches import side
from .derived import derived
from .inverses import (
    SQUARE,
    LinAlgError,
    constants,
    either,
    is_recorded,
    narrow,
    numbers,
    one_triangle,
    positive,
    solver_of,
    stacks,
    wide,
)
from .linalg import as_tensor, transposed
from .samples import calls, several


class EighResult(NamedTuple):
    """What ``eigh`` returns."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """What ``svd`` returns."""

    U: Any
    S: Any
    Vh: Any


class QRResult(NamedTuple):
    """What ``qr`` returns."""

    Q: Any
    R: Any


# ---- values and vectors, packed: the values are the first row, the vectors stand as columns beneath


def _tolerance(values: Any) -> Any:
    """Return what is lost in rounding beside the largest of the values: 8 n eps max."""
    top = np.max(np.abs(values), axis=-1, keepdims=True, initial=0.0)
    return top * (8.0 * values.shape[-1] * float(np.finfo(values.dtype).eps))


def _same(packed: Any) -> tuple[Any, Any]:
    """Return where two values are equal to rounding, and where two values that are not the same one are."""
    values = numbers(packed)[..., 0, :]
    same = np.abs(values[..., :, None] - values[..., None, :]) <= _tolerance(values)[..., None]
    return same, same & ~np.eye(values.shape[-1], dtype=bool)


def _refuse(name: str, bad: Any) -> None:
    """Raise where the gradient depends on how the vectors of equal values turn in their common space."""
    if bad.any():
        *_, i, j = sorted(int(n) for n in np.argwhere(bad)[0][-2:])
        only, kind = ("svdvals", "singular values") if name == "svd" else ("eigvalsh", "eigenvalues")
        raise LinAlgError(
            f"{name}: {kind} {i} and {j} are equal, so the gradient through their vectors is not defined. Where "
            f"the values alone count, take np.linalg.{only}; else use other vectors, or break the tie in the matrix."
        )


def _gaps(name: str, packed: Any, g: Any, gaps: Any, *couplings: Any) -> Any:
    """Return 1 / gaps, and 0 for equal values, whose couplings with `g` must be 0: then their limit is."""
    same, ties = _same(packed)
    if ties.any():
        g = np.abs(numbers(g))
        most = np.max(g[..., 1:, :], axis=(-2, -1), keepdims=True, initial=0.0)
        slack = most * (8.0 * g.shape[-2] * float(np.finfo(g.dtype).eps))
        for coupling in couplings:
            _refuse(name, ties & (np.abs(numbers(coupling)) > slack))
        # Values and vectors of the same space: a function of the matrix, say, V f(w) Vᵀ, whose limit is another.
        _refuse(name, ties & (g[..., :1, :] != 0) & (most > 0))
    return np.where(same, 0.0, 1.0 / np.where(same, 1.0, gaps))


def _vectors_rule(g: Any, packed: Any, name: str) -> Any:
    # A gradient of 0 leaves no trace for the rule of the decomposition, which would take the values to be all that
    # counts. That is wrong for V log(w) Vᵀ at the identity, where all logarithms are 0.
    silent = ~(numbers(g) != 0).any(axis=(-2, -1), keepdims=True)
    _refuse(name, _same(packed)[1] & silent)
    if name == "svd":
        _refuse_zeros(_zeros(packed) & silent)
    return np.concatenate([np.zeros((*g.shape[:-2], 1, g.shape[-1]), g.dtype), g], axis=-2)


def _vectors(packed: Any, name: str) -> Any:
    return packed[..., 1:, :]


_vectors_op = op(_vectors, packed=_vectors_rule, samples=calls((2, 4, 3), "eigh"))


def vectors_of(packed: Any, name: str) -> Any:
    """Return the vectors of a packed decomposition; a recorded operation for tensors."""
    return (_vectors_op if isinstance(packed, Tensor) else _vectors)(packed, name)


def _equals(values: Any) -> Any:
    """Return the branch of sorted values: which neighbours are equal. Where they cross, both have a kink."""
    with np.errstate(all="ignore"):
        return np.abs(values[..., 1:] - values[..., :-1]) <= _tolerance(values)


# ---- eigenvalues


def _eigh(a: Any, UPLO: Any = "L") -> Any:
    values, vectors = np.linalg.eigh(wide(a), UPLO)
    return narrow(np.concatenate([values[..., None, :], vectors], axis=-2), a)


def _eigh_rule(g: Any, out: Any, UPLO: Any) -> Any:
    """[G] 3.1: V (diag(gw) + F * Vᵀ gv) Vᵀ, where F[i, j] = 1 / (w[j] - w[i])."""
    w, v = out[..., 0, :], vectors_of(out, "eigh")
    coupling = transposed(v) @ g[..., 1:, :]
    inner = _gaps("eigh", out, g, w[..., None, :] - w[..., :, None], coupling, transposed(coupling)) * coupling
    inner = inner + g[..., :1, :] * np.eye(w.shape[-1], dtype=w.dtype)
    return one_triangle(v @ inner @ transposed(v), UPLO.upper() == "U")


def _eigvalsh(a: Any, UPLO: Any = "L") -> Any:
    return narrow(np.linalg.eigvalsh(wide(a), UPLO), a)


def _eigvalsh_rule(g: Any, a: Any, UPLO: Any) -> Any:
    v = vectors_of(_eigh_op(a, UPLO) if isinstance(a, Tensor) else _eigh(a, UPLO), "eigh")
    return one_triangle((v * g[..., None, :]) @ transposed(v), UPLO.upper() == "U")


_SYMMETRIC = several(positive((2, 2), (3, 3), (1, 1), (2, 3, 3)), positive((3, 3), UPLO="U"))
_eigh_op = op(_eigh,     a=_eigh_rule, samples=_SYMMETRIC, branch=lambda out: _equals(out[..., 0, :]))
eigvalsh = op(_eigvalsh, a=_eigvalsh_rule, numpy=np.linalg.eigvalsh, samples=_SYMMETRIC,
              branch=lambda out: _equals(out))


@derived(np.linalg.eigh, samples=_SYMMETRIC)
def eigh(a: Any, UPLO: Any = "L") -> EighResult:
    """Return eigenvalues and eigenvectors of symmetric matrices, of which the triangle `UPLO` is read."""
    a = as_tensor(a)
    if a.dtype.kind == "c":
        return EighResult(*constants(np.linalg.eigh(a.data, UPLO)))
    packed = _eigh_op(a, UPLO)
    return EighResult(packed[..., 0, :], vectors_of(packed, "eigh"))


# ---- singular values


def _svd(a: Any) -> Any:
    u, s, vh = np.linalg.svd(wide(a), full_matrices=False)
    return narrow(np.concatenate([s[..., None, :], u, transposed(vh)], axis=-2), a)


def _zeros(packed: Any) -> Any:
    """Return which singular values are 0 to rounding, as a row."""
    values = numbers(packed)[..., :1, :]
    return values <= _tolerance(values)


def _refuse_zeros(bad: Any) -> None:
    if bad.any():
        raise LinAlgError(
            "svd: a singular value is 0, so the gradient through its vectors is not defined. Where the values alone "
            "count, take np.linalg.svdvals; else use the vectors and values of the others."
        )


def _svd_rule(g: Any, a_shape: tuple[int, ...], out: Any) -> Any:
    """[T] eq. 4 to 11, in reverse; F[i, j] = 1 / (s[j]² - s[i]²)."""
    m, n = a_shape[-2:]
    s, vectors = out[..., 0, :], vectors_of(out, "svd")
    u, v, gu, gv = vectors[..., :m, :], vectors[..., m:, :], g[..., 1 : m + 1, :], g[..., m + 1 :, :]
    zero, reached = _zeros(out), numbers(g) != 0
    _refuse_zeros(zero & reached[..., 1:, :])
    _refuse_zeros(zero & reached[..., :1, :] & reached[..., 1:, :].any(axis=(-2, -1), keepdims=True))
    row, column = s[..., None, :], s[..., :, None]
    cu, cv = transposed(u) @ gu, transposed(v) @ gv
    f = _gaps("svd", out, g, (row - column) * (row + column), cu, transposed(cu), cv, transposed(cv))
    inner = f * (cu - transposed(cu)) * row + column * (f * (cv - transposed(cv)))
    inner = inner + np.where(zero, 0.0, g[..., :1, :]) * np.eye(s.shape[-1], dtype=s.dtype)
    d = u @ inner @ transposed(v)
    safe = np.where(zero, 1.0, row)
    if m > n:
        d = d + (gu - u @ cu) / safe @ transposed(v)
    if n > m:
        d = d + u @ transposed((gv - v @ cv) / safe)
    return d


def _svdvals(x: Any, /) -> Any:
    return narrow(np.linalg.svd(wide(x), compute_uv=False), x)


def _svdvals_rule(g: Any, x: Any) -> Any:
    packed = either(x, _svd, _svd_op)
    vectors, m = vectors_of(packed, "svd"), x.shape[-2]
    g = np.where(_zeros(packed), 0.0, g[..., None, :])
    return (vectors[..., :m, :] * g) @ transposed(vectors[..., m:, :])


def _sizes(a: Any, values: Any) -> Any:
    """Return which singular values are equal, or 0; of a square matrix also on which side of 0 the last one went."""
    with np.errstate(all="ignore"):
        kinks = [_equals(values), values <= _tolerance(values)]
        if a.shape[-1] == a.shape[-2]:
            kinks.append(side(np.linalg.slogdet(wide(a))[0]))
    return np.concatenate([np.ravel(kink) for kink in kinks]).astype(np.int8)


_MATRICES = several(SQUARE, stacks((3, 2), (2, 3), (2, 4, 2)))
_svd_op = op(_svd,     a=_svd_rule,     samples=_MATRICES, branch=lambda a, out: _sizes(a, out[..., 0, :]))
svdvals = op(_svdvals, x=_svdvals_rule, numpy=np.linalg.svdvals, samples=_MATRICES,
             branch=lambda x, out: _sizes(x, out))


def _svd_of_symmetric(a: Any, compute_uv: bool) -> Any:
    """Return the decomposition of the symmetric matrix whose lower triangle is that of `a`, by its eigenvalues."""
    values, vectors = eigh(a) if compute_uv else (eigvalsh(a), None)
    order, sizes = np.argsort(np.abs(values.data), axis=-1)[..., ::-1], functions.absolute(values)
    s = functions.take_along_axis(sizes, order)
    if vectors is None:
        return s
    u = functions.take_along_axis(vectors, order[..., None, :])
    signs = np.take_along_axis(np.sign(values.data), order, -1)
    return SVDResult(u, s, transposed(u * signs[..., None, :]))


@derived(np.linalg.svd, samples=several(SQUARE, stacks((3, 2), (2, 2, 3), full_matrices=False),
                                        stacks((3, 2), compute_uv=False), positive((3, 3), hermitian=True),
                                        positive((2, 3, 3), compute_uv=False, hermitian=True)))  # fmt: skip
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """Return U, the singular values and Vᵀ, as ``np.linalg.svd``.

    Raises
    ------
    TypeError
        For a matrix that is not square and needs a gradient, unless ``full_matrices=False``: the further vectors that
    fill the space up are arbitrary.
    """
    a = as_tensor(a)
    if hermitian and a.dtype.kind != "c":
        return _svd_of_symmetric(a, compute_uv)
    if not compute_uv:
        return svdvals(a)
    filled_up = full_matrices and a.ndim >= 2 and a.shape[-1] != a.shape[-2]
    if filled_up or a.dtype.kind == "c":
        if is_recorded(a):
            raise TypeError(
                f"svd: full_matrices=True of shape {a.shape} adds vectors that are arbitrary and have no gradient: "
                f"np.linalg.svd(a, full_matrices=False)."
            )
        return SVDResult(*constants(np.linalg.svd(a.data, full_matrices, hermitian=hermitian)))
    packed = _svd_op(a)
    vectors = vectors_of(packed, "svd")
    return SVDResult(vectors[..., : a.shape[-2], :], packed[..., 0, :], transposed(vectors[..., a.shape[-2] :, :]))


# ---- QR: Q and the transpose of R, one above the other


def _qr(a: Any) -> Any:
    q, r = np.linalg.qr(wide(a))
    return narrow(np.concatenate([q, transposed(r)], axis=-2), a)


def _qr_rule(g: Any, a_shape: tuple[int, ...], out: Any) -> Any:
    """[W] section 4.3: (gq + Q copyltu(R grᵀ - gqᵀ Q)) R⁻ᵀ; copyltu copies the lower triangle to the upper one."""
    m, n = a_shape[-2:]
    q, rt, gq, gr_t = out[..., :m, :], out[..., m:, :], g[..., :m, :], g[..., m:, :]
    diagonal = np.abs(np.diagonal(numbers(rt), axis1=-2, axis2=-1))
    if (diagonal <= _tolerance(diagonal)).any():
        raise LinAlgError(
            f"qr: the first {n} columns are linearly dependent, so the last of Q is not defined, nor is the gradient."
        )
    inner = transposed(rt) @ gr_t - transposed(gq) @ q
    lower = np.tri(n, dtype=g.dtype)
    inner = inner * lower + transposed(inner * (lower - np.eye(n, dtype=g.dtype)))
    return transposed(solver_of(g, out)(transposed(rt), transposed(gq + q @ inner)))


def _qr_branch(a: Any, out: Any) -> Any:
    """Return the signs of R's diagonal, which LAPACK chooses by those that it meets in `a`."""
    return side(np.diagonal(out[..., a.shape[-2] :, :], axis1=-2, axis2=-1))


_qr_op = op(_qr, a=_qr_rule, samples=several(SQUARE, stacks((3, 2), (2, 4, 2))), branch=_qr_branch)


@derived(np.linalg.qr, samples=several(SQUARE, stacks((3, 2), (2, 2, 3)), stacks((2, 3), (4, 2), mode="r"),
                                       stacks((2, 3), mode="complete")))  # fmt: skip
def qr(a: Any, mode: Any = "reduced") -> Any:
    """Return Q and R with Q R = a, or R alone (mode "r"), as ``np.linalg.qr``.

    Raises
    ------
    TypeError
        In mode "raw"; in mode "complete" for a matrix with more rows than columns that needs a gradient: the further
        columns of Q are arbitrary.
    """
    if mode not in ("reduced", "complete", "r"):
        raise TypeError(f"qr: mode {mode!r} is not supported on tensors; expected 'reduced', 'complete' or 'r'.")
    a = as_tensor(a)
    if a.ndim < 2:
        raise LinAlgError(f"qr: given shape {a.shape}, expected matrices (..., m, n).")
    m, n = a.shape[-2:]
    if a.dtype.kind == "c" and mode == "r":
        return as_tensor(np.linalg.qr(a.data, mode))
    if mode == "complete" and m > n or a.dtype.kind == "c":
        if is_recorded(a):
            raise TypeError(
                f"qr: mode 'complete' of shape {a.shape} adds columns that are arbitrary and have no gradient: "
                f"np.linalg.qr(a)."
            )
        return QRResult(*constants(np.linalg.qr(a.data, mode)))
    packed = _qr_op(a if m >= n else a[..., :m])
    q, r = packed[..., :m, :], transposed(packed[..., m:, :])
    if m < n:
        r = functions.concatenate([r, transposed(q) @ a[..., m:]], axis=-1)
    return r if mode == "r" else QRResult(q, r)

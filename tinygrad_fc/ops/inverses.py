"""Inverses, solutions, determinants, powers and cholesky: the last two axes are those of matrices, others stack them.

cholesky reads one triangle of a symmetric matrix, and that triangle gets the gradient: the derivative of what is
computed, as in eigh and eigvalsh.

Sources: [G] Giles, An extended collection of matrix derivative results for forward and reverse mode algorithmic
differentiation, Oxford University Computing Laboratory, NA-08/01 (2008); [M] Murray, Differentiation of the Cholesky
decomposition (2016).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..engine.dispatch import functions
from ..engine.node import MODE, OFF
from ..engine.op import op
from ..engine.tensor import Tensor, constant
from .branches import side, steps
from .derived import derived
from .linalg import as_tensor, dense, matmul, transposed
from .samples import Samples, calls, several
from .slopes import independent

if TYPE_CHECKING:
    from numpy.random import Generator

LinAlgError = np.linalg.LinAlgError


class SlogdetResult(NamedTuple):
    """What ``slogdet`` returns."""

    sign: Any
    logabsdet: Any


def numbers(x: Any) -> Any:
    """Return the array of a tensor: what a rule decides by, and does not differentiate."""
    return x.data if isinstance(x, Tensor) else x


def wide(a: Any) -> Any:
    """Return half precision as single: LAPACK has none. What is computed is cast back."""
    a = np.asarray(a)
    return a.astype(np.float32) if a.dtype == np.float16 else a


def narrow(out: Any, *given: Any) -> Any:
    """Return `out` in half precision again, where that is what was given."""
    return out.astype(np.float16) if np.result_type(*given) == np.float16 else out


def either(x: Any, kernel: Callable[..., Any], record: Callable[..., Any]) -> Any:
    """Run the recorded operation on a tensor, and the array function on an array: for rules, which meet both."""
    return record(x) if isinstance(x, Tensor) else kernel(x)


def is_recorded(*items: Any) -> bool:
    """Whether an operation on these tensors would be recorded."""
    return MODE.get() is not OFF and any(item.requires_grad for item in items)


def constants(results: Any) -> list[Tensor]:
    """Return arrays as tensors: of complex numbers, which take no gradient, and where none is recorded."""
    return [constant(np.asarray(array)) for array in results]


# ---- samples: matrices far from singular, their eigenvalues and singular values far apart


def stacks(*shapes: tuple[int, ...], **kwargs: Any) -> Samples:
    """One call for each shape: 1, -2, 3, ... on the diagonal, and small numbers everywhere."""

    def samples(generator: Generator) -> list[Any]:
        found: list[Any] = []
        for shape in shapes:
            a, k = generator.uniform(-0.3, 0.3, shape), min(shape[-2:])
            a[..., range(k), range(k)] += [(n + 1) * (-1) ** n for n in range(k)]
            found.append(((a,), kwargs))
        return found

    return samples


def positive(*shapes: tuple[int, ...], **kwargs: Any) -> Samples:
    """One call for each shape: symmetric matrices with eigenvalues above 1."""
    return lambda generator: [
        ((a @ np.swapaxes(a, -1, -2) + np.eye(a.shape[-1]),), kwargs) for (a,), _ in stacks(*shapes)(generator)
    ]


def _systems(*pairs: tuple[tuple[int, ...], tuple[int, ...]]) -> Samples:
    return lambda generator: [
        (stacks(left)(generator)[0][0][0], generator.uniform(-2.0, 2.0, right)) for left, right in pairs
    ]


SQUARE = stacks((2, 2), (3, 3), (1, 1), (2, 3, 3))

# ---- inverse, solutions, determinants


def _inv(a: Any) -> Any:
    return narrow(np.linalg.inv(wide(a)), a)


def solve_arrays(a: Any, b: Any) -> Any:
    """Return the solution x of a x = b: the array function of ``solve``."""
    return narrow(np.linalg.solve(wide(a), wide(b)), a, b)


def solver_of(*items: Any) -> Any:
    """Return what solves for these: the recorded operation, where one is a tensor."""
    return solve if any(isinstance(item, Tensor) for item in items) else solve_arrays


def _solve_adjoint(g: Any, a: Any) -> Any:
    """Return the solution of aᵀ w = g, the gradient of b. [G] 2.3.1."""
    solver = solver_of(g, a)
    if g.ndim < a.ndim:  # b was a vector
        return solver(transposed(a), g.reshape((*g.shape, 1))).reshape(g.shape)
    return solver(transposed(a), g)


def _solve_a(g: Any, a: Any, out: Any) -> Any:
    if out.ndim < a.ndim:
        return -g.reshape((*g.shape, 1)) * out.reshape((*out.shape[:-1], 1, out.shape[-1]))
    return -(g @ transposed(out))


def _slogdet(a: Any) -> Any:
    return narrow(np.stack(np.linalg.slogdet(wide(a)), axis=-1), a)


def _slogdet_rule(g: Any, a: Any, out: Any) -> Any:
    if not numbers(out)[..., 0].all():
        raise LinAlgError(
            "slogdet: the matrix is singular, so the logarithm of its determinant is -inf and has no gradient. "
            "Add to its diagonal, or use np.linalg.det, which has one there."
        )
    scale = g[..., 1]
    return scale.reshape((*scale.shape, 1, 1)) * transposed(either(a, _inv, inv))


def _det(a: Any) -> Any:
    return narrow(np.linalg.det(wide(a)), a)


def _inverse_serves(a: Any, out: Any, least: float) -> bool:
    """Return whether det(a) inv(a) gives the cofactors: no determinant is 0, no condition number above 1 / least."""
    if not (out.all() and np.isfinite(out).all()):
        return False
    try:
        inverse = np.abs(np.linalg.inv(a))
    except LinAlgError:
        return False
    sizes = [np.max(np.sum(m, axis=-1), axis=-1, initial=0.0) for m in (np.abs(a), inverse)]
    return bool((sizes[0] * sizes[1] * least < 1.0).all())


def _cofactors(a: Any) -> Any:
    """Return the cofactors through the singular values: det(U Vᵀ) U diag(product of the other values) Vᵀ."""
    u, s, vh = np.linalg.svd(a)
    others = np.where(np.eye(s.shape[-1], dtype=bool), 1.0, s[..., None, :]).prod(axis=-1)
    sign = np.rint(np.linalg.det(u) * np.linalg.det(vh))
    return sign[..., None, None] * (u * others[..., None, :]) @ vh


def _minors(a: Any) -> Any:
    """Return the cofactors by their definition, as determinants: they can be differentiated at any matrix.

    There are n² of them, of n² elements each: this is for derivatives of higher order, at singular matrices.
    """
    n = a.shape[-1]
    others = np.array([[k for k in range(n) if k != i] for i in range(n)], dtype=np.intp).reshape((n, n - 1))
    signs = np.where(np.add.outer(range(n), range(n)) % 2, -1.0, 1.0).astype(a.dtype)
    return det(a[..., others[:, None, :, None], others[None, :, None, :]]) * signs


def _det_rule(g: Any, a: Any, out: Any) -> Any:
    """Jacobi's formula: the cofactors. Where the matrix is well conditioned they are det(a) inv(a)ᵀ, [G] 2.2.4."""
    g = g.reshape((*g.shape, 1, 1))
    plain = wide(numbers(a))
    eps = float(np.finfo(plain.dtype).eps)
    if isinstance(a, Tensor):
        exact = _inverse_serves(plain, numbers(out), 100.0 * eps)
        return g * (out.reshape(g.shape) * transposed(inv(a)) if exact else _minors(a))
    if _inverse_serves(plain, out, eps**0.5):
        return g * (out.reshape(g.shape) * transposed(_inv(a)))
    return g * narrow(_cofactors(plain), a)


def mirrored(a: Any) -> Any:
    """Return the symmetric matrix whose lower triangle is that of `a`: what ``hermitian=True`` reads."""
    lower = np.tri(a.shape[-1], dtype=a.dtype)
    return a * lower + transposed(a * (lower - np.eye(a.shape[-1], dtype=a.dtype)))


def _pinv(a: Any, rcond: Any = None) -> Any:
    return narrow(np.linalg.pinv(wide(a)) if rcond is None else np.linalg.pinv(wide(a), rcond), a)


def _pinv_rule(g: Any, a: Any, out: Any) -> Any:
    """Golub and Pereyra, SIAM J. Numer. Anal. 10 (1973), eq. 4.12: the derivative among matrices of this rank."""
    g = dense(g)
    pt, gt = transposed(out), transposed(g)
    left, right = gt @ out, out @ gt
    return (left - a @ (out @ left)) @ pt + pt @ (right - (right @ out) @ a) - pt @ g @ pt


def _rank(a: Any, out: Any) -> Any:
    """Return the rank that was found, the trace of the projection a out: where it changes, the result jumps."""
    with np.errstate(all="ignore"):
        return steps(np.rint(np.trace(a @ out, axis1=-2, axis2=-1)))


inv      = op(_inv,     numpy=np.linalg.inv,   samples=several(SQUARE, calls((0, 0))),
              a=lambda g, out: -(transposed(out) @ dense(g) @ transposed(out)),  # [G] 2.2.3
              cure="np.linalg.pinv has a result for singular matrices.")
solve    = op(solve_arrays, name="solve", numpy=np.linalg.solve, broadcasts=True,
              via=_solve_adjoint, a=_solve_a, b=lambda g: g,
              cure="np.linalg.lstsq takes systems that are not square.",
              samples=_systems(((2, 2), (2,)), ((3, 3), (3, 2)), ((2, 3, 3), (3, 2)), ((3, 3), (2, 3, 1)),
                               ((2, 3, 3), (3,)), ((2, 2), (2, 0))))
det      = op(_det,     numpy=np.linalg.det,   a=_det_rule, samples=several(SQUARE, calls((0, 0)), calls(
              np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.5, -1.0, 1.5]])), calls(np.zeros((2, 2))),
              calls(np.array([[[1.0, 0.5], [2.0, 1.0]], [[1.0, 0.5], [2.0, 3.0]]]))))  # fmt: skip
_slogdet_op = op(_slogdet, a=_slogdet_rule, samples=SQUARE, branch=lambda out: side(out[..., 0]))
_pinv_op = op(_pinv,    a=_pinv_rule, branch=_rank,  samples=several(stacks((3, 3), (4, 2), (2, 3), (2, 3, 2)),
                                                               stacks((3, 2), rcond=1e-10)))  # fmt: skip


@derived(np.linalg.pinv, samples=several(
    stacks((3, 3), (4, 2)), stacks((3, 2), rcond=1e-10), stacks((2, 3), rtol=1e-10), positive((3, 3), hermitian=True),
))  # fmt: skip
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """Return pseudo-inverses, as ``np.linalg.pinv``; with `hermitian`, of the lower triangle, mirrored."""
    if rcond is not None and rtol is not None:
        raise ValueError("pinv: given both rcond and rtol, expected one of them: they mean the same.")
    a = as_tensor(a)
    if hermitian and a.dtype.kind == "c":
        return constant(np.linalg.pinv(a.data, rtol if rcond is None else rcond, hermitian))
    return _pinv_op(mirrored(a) if hermitian else a, rtol if rcond is None else rcond)


@derived(np.linalg.slogdet, samples=SQUARE)
def slogdet(a: Any) -> SlogdetResult:
    """Return the sign of the determinant (a constant) and the logarithm of its absolute value."""
    a = as_tensor(a)
    if a.dtype.kind == "c":
        return SlogdetResult(*[as_tensor(part) for part in np.linalg.slogdet(a.data)])
    both = _slogdet_op(a)
    return SlogdetResult(both[..., 0].detach(), both[..., 1])


# ---- symmetric matrices: one triangle is read


def one_triangle(s: Any, upper: bool) -> Any:
    """Return the gradient of the triangle that is read, where ``s * da`` sums to the change for a symmetric da."""
    n = s.shape[-1]
    ones = np.tri(n, dtype=s.dtype)
    return (s + transposed(s)) * ((ones.T if upper else ones) - np.eye(n, dtype=s.dtype) * 0.5)


def _cholesky(a: Any) -> Any:
    return narrow(np.linalg.cholesky(wide(a)), a)


def _cholesky_rule(g: Any, out: Any) -> Any:
    """[M] eq. 8: L⁻ᵀ Φ(Lᵀ g) L⁻¹, where Φ takes the lower triangle and half of the diagonal."""
    n = out.shape[-1]
    lt, solver = transposed(out), solver_of(g, out)
    inner = (lt @ dense(g)) * (np.tri(n, dtype=g.dtype) - np.eye(n, dtype=g.dtype) * 0.5)
    return one_triangle(solver(lt, transposed(solver(lt, transposed(inner)))), upper=False)


_cholesky_op = op(_cholesky, a=_cholesky_rule, samples=positive((2, 2), (3, 3), (1, 1), (2, 3, 3), (0, 0)),
                  cure="The matrix must be symmetric and positive definite.")  # fmt: skip


@derived(np.linalg.cholesky, samples=several(positive((3, 3)), positive((2, 2, 2), upper=True)))
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """Return the triangular L with L Lᵀ = a (or U with Uᵀ U = a). It reads that triangle of `a`, and no other."""
    a = as_tensor(a)
    if a.dtype.kind == "c":
        return constant(np.linalg.cholesky(a.data, upper=upper))
    return transposed(_cholesky_op(transposed(a))) if upper else _cholesky_op(a)


# ---- products of several matrices


@derived(np.linalg.matrix_power, samples=several(*[calls((2, 3, 3), n) for n in (0, 1, 2, 3, 5)], calls(
    np.array([[2.0, 0.5], [-0.3, 1.5]]), -2,
)))  # fmt: skip
def matrix_power(a: Any, n: int) -> Any:
    """Return square matrices to an integer power, by squaring; to a negative one, of the inverse. Power 0: constant."""
    a = as_tensor(a)
    if not isinstance(n, (int, np.integer)):
        raise TypeError(f"matrix_power: n is {n!r}, expected an integer.")
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError(f"matrix_power: given shape {a.shape}, expected square matrices (..., n, n).")
    if n == 0:
        return independent(np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape), a)
    square, power, result = (inv(a) if n < 0 else a), abs(int(n)), None
    while True:
        if power & 1:
            result = square if result is None else matmul(result, square)
        power >>= 1
        if not power:
            return functions.copy(result) if result is a else result
        square = matmul(square, square)


def _chain(lengths: list[int]) -> Callable[[int, int], int]:
    """Return where to split the chain of matrices i..j so that the fewest numbers are multiplied.

    Source: Cormen, Leiserson, Rivest, Stein, Introduction to Algorithms, section 15.2.
    """
    count = len(lengths) - 1
    cost = {(i, i): 0 for i in range(count)}
    split: dict[tuple[int, int], int] = {}
    for span in range(1, count):
        for i in range(count - span):
            j = i + span
            cost[i, j], split[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + lengths[i] * lengths[k + 1] * lengths[j + 1], k) for k in range(i, j)
            )
    return lambda i, j: split[i, j]


def _lists(*shapes: tuple[int, ...]) -> Samples:
    return lambda generator: [([generator.normal(size=shape) for shape in shapes],)]


@derived(np.linalg.multi_dot, samples=several(
    _lists((2, 3), (3, 4)), _lists((2, 3), (3, 4), (4, 2)), _lists((5, 2), (2, 4), (4, 3), (3, 5)),
    _lists((3,), (3, 2), (2, 4), (4,)), _lists((3,), (3, 2), (2, 2)),
))  # fmt: skip
def multi_dot(arrays: Sequence[Any]) -> Any:
    """Return the product of two or more matrices, the first and the last perhaps vectors, in the cheapest order."""
    items = [as_tensor(array) for array in arrays]
    if len(items) < 2:
        raise ValueError(f"multi_dot: given {len(items)} arrays, expected two or more.")
    ends = [items[0].ndim, items[-1].ndim]
    if any(n not in (1, 2) for n in ends) or any(item.ndim != 2 for item in items[1:-1]):
        raise np.linalg.LinAlgError(
            f"multi_dot: given shapes {', '.join(str(item.shape) for item in items)}; expected matrices, the first and "
            f"the last perhaps vectors."
        )
    items[0] = items[0].reshape((1, -1)) if ends[0] == 1 else items[0]
    items[-1] = items[-1].reshape((-1, 1)) if ends[1] == 1 else items[-1]
    split = _chain([items[0].shape[0], *[item.shape[1] for item in items]])

    def product_of(i: int, j: int) -> Any:
        return items[i] if i == j else matmul(product_of(i, split(i, j)), product_of(split(i, j) + 1, j))

    out = product_of(0, len(items) - 1)
    return out.reshape(out.shape[ends[0] == 1 : 1 if ends[1] == 1 else 2])

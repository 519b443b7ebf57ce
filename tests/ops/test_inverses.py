"""Inverses, solutions, determinants, least squares and condition numbers: closed forms, and singular matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from registry_cases import assert_close, differences

import tinygrad_fc as tg

la = np.linalg
LinAlgError = np.linalg.LinAlgError


def leaf(value: Any, dtype: Any = float) -> tg.Tensor:
    return tg.tensor(np.array(value, dtype), requires_grad=True)


def gradient(f: Any, *values: Any) -> list[np.ndarray]:
    """Return the gradients of the sum of f."""
    inputs = [leaf(value) for value in values]
    return [d.data for d in tg.gradients(f(*inputs).sum(), inputs)]


# ---- solutions and inverses


def test_the_jacobian_of_solve(rng: np.random.Generator) -> None:
    """dx/db = a⁻¹, and dx[i]/da[j, k] = -a⁻¹[i, j] x[k]. [Giles, 2.3.1]"""
    a, b = rng.normal(size=(3, 3)) + 3 * np.eye(3), rng.normal(size=3)
    x, y = leaf(a), leaf(b)
    out, inverse = la.solve(x, y), la.inv(a)
    for i in range(3):
        da, db = tg.gradients(out[i], [x, y], retain_graph=True)
        np.testing.assert_allclose(db.data, inverse[i], rtol=1e-12)
        np.testing.assert_allclose(da.data, -np.outer(inverse[i], out.data), rtol=1e-12)


def test_inv_of_inv_is_the_matrix(rng: np.random.Generator) -> None:
    a = rng.normal(size=(2, 3, 3)) + 3 * np.eye(3)
    x, g = leaf(a), rng.normal(size=a.shape)
    np.testing.assert_allclose(tg.gradients((la.inv(la.inv(x)) * g).sum(), x)[0].data, g, rtol=1e-10)


def test_logdet_has_the_inverse_as_gradient_and_solves_its_hessian(rng: np.random.Generator) -> None:
    a = rng.normal(size=(3, 3)) + 3 * np.eye(3)
    x, v = leaf(a), rng.normal(size=(3, 3))
    (first,) = tg.gradients(la.slogdet(x)[1], x, create_graph=True)
    np.testing.assert_allclose(first.data, la.inv(a).T, rtol=1e-12)
    (second,) = tg.gradients((first * v).sum(), x)
    np.testing.assert_allclose(second.data, -(la.inv(a) @ v @ la.inv(a)).T, rtol=1e-11)
    sign, logarithm = la.slogdet(leaf(-np.eye(3)))
    assert sign.item() == -1.0
    assert not sign.requires_grad
    assert logarithm.requires_grad


def cofactors(a: np.ndarray) -> np.ndarray:
    out = np.empty(a.shape)
    for i, j in np.ndindex(*a.shape):
        out[i, j] = (-1.0) ** (i + j) * la.det(np.delete(np.delete(a, i, 0), j, 1))
    return out


SINGULAR = {
    "rank 1 of 2": [[1.0, 2.0], [2.0, 4.0]],
    "rank 2 of 3, whose determinant comes out as 6.7e-16": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]],
    "rank 1 of 3": [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [-1.0, -2.0, -3.0]],
    "zero": [[0.0, 0.0], [0.0, 0.0]],
    "one by one": [[0.0]],
    "whose determinant underflows": [[1e-200, 0.0], [0.0, 1e-200]],
    "a row of zeros": [[0.0, 0.0, 0.0], [1.0, 2.0, 0.5], [0.3, -1.0, 2.0]],
}


@pytest.mark.parametrize("name", SINGULAR)
def test_det_of_a_singular_matrix_has_its_cofactors(name: str) -> None:
    a = np.array(SINGULAR[name])
    with np.errstate(under="ignore"):
        expected = cofactors(a)
        x = leaf(a)
        (plain,) = tg.gradients(la.det(x), x)
        (recorded,) = tg.gradients(la.det(x), x, create_graph=True)
    scale = np.abs(a).max() ** (len(a) - 1) or 1.0
    for d in (plain, recorded):
        np.testing.assert_allclose(d.data / scale, expected / scale, atol=1e-13)


def test_det_of_a_singular_matrix_to_second_order(rng: np.random.Generator) -> None:
    """The second derivatives of a 3 by 3 determinant are elements of the matrix: det is a polynomial."""
    for name in ("rank 1 of 3", "a row of zeros"):
        a, weights = np.array(SINGULAR[name]), rng.normal(size=(3, 3))
        x = leaf(a)
        (first,) = tg.gradients(la.det(x), x, create_graph=True)
        (second,) = tg.gradients((first * weights).sum(), x)
        expected = differences(lambda arrays, w=weights: np.sum(w * cofactors(arrays[0])), [a], 0)
        assert_close(second.data, expected, 1e-8, name)


def test_det_of_a_stack_of_which_one_is_singular() -> None:
    a = np.array([[[1.0, 2.0], [2.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]]])
    np.testing.assert_allclose(gradient(la.det, a)[0], [cofactors(m) for m in a], rtol=1e-13)


def test_pinv_of_a_matrix_of_lower_rank_moves_within_its_rank(rng: np.random.Generator) -> None:
    """Among matrices u vᵀ the pseudoinverse is v uᵀ / (|u|² |v|²): its derivative along u and v."""
    u, v, g = rng.normal(size=3), rng.normal(size=2), rng.normal(size=(2, 3))
    x, y = leaf(u), leaf(v)
    ours = tg.gradients((la.pinv(np.outer(x, y)) * g).sum(), [x, y])
    x2, y2 = leaf(u), leaf(v)
    expected = tg.gradients((np.outer(y2, x2) / ((x2 * x2).sum() * (y2 * y2).sum()) * g).sum(), [x2, y2])
    for d, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(d.data, other.data, rtol=1e-11)


@pytest.mark.parametrize("shape", [((4, 2), (4,)), ((4, 2), (4, 3)), ((3, 3), (3,)), ((2, 4), (2, 3)), ((2, 4), (2,))])
def test_lstsq(shape: Any, rng: np.random.Generator) -> None:
    a, b = (rng.normal(size=n) for n in shape)
    expected = la.lstsq(a, b)
    x, y = leaf(a), leaf(b)
    for found in (la.lstsq(x, y), la.lstsq(a, y), la.lstsq(x, b), la.lstsq(tg.tensor(a), tg.tensor(b))):
        for ours, theirs in zip(found, expected, strict=True):
            data = ours.data if isinstance(ours, tg.Tensor) else ours
            assert np.shape(data) == np.shape(theirs)
            np.testing.assert_allclose(data, theirs, rtol=1e-10, atol=1e-12)
    solution, residuals, rank, _ = la.lstsq(x, y)
    assert type(rank) is int
    g, h = rng.normal(size=solution.shape), rng.normal(size=residuals.shape)
    ours = tg.gradients((solution * g).sum() + (residuals * h).sum(), [x, y])

    def total(arrays: list[np.ndarray]) -> Any:
        out = la.lstsq(*arrays)
        return np.sum(out[0] * g) + np.sum(out[1] * h)

    for n, d in enumerate(ours):
        assert_close(d.data, differences(total, [a, b], n, 1e-3), 1e-7, f"array {n}")


def test_lstsq_of_lower_rank() -> None:
    a, b = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]), np.array([1.0, 0.0, 2.0])
    solution = la.lstsq(leaf(a), b)[0]
    np.testing.assert_allclose(solution.data, la.lstsq(a, b)[0], rtol=1e-12)
    with pytest.raises(LinAlgError, match="lstsq: the rank of a is 1, less than 2"):
        solution.sum().backward()
    y = leaf(b)
    solution, residuals, rank, _ = la.lstsq(a, y)  # linear in b, whatever the rank
    assert rank == 1
    assert residuals.shape == (0,)
    np.testing.assert_allclose(solution.data, la.lstsq(a, b)[0], rtol=1e-12)
    solution[0].backward()
    np.testing.assert_allclose(y.grad, la.pinv(a)[0], rtol=1e-12)
    with pytest.raises(LinAlgError, match=r"lstsq: given shapes \(3, 2\) and \(2,\)"):
        la.lstsq(leaf(a), b[:2])


@pytest.mark.parametrize("kinds", ["fd", "df", "ff", "if", "fi"])
def test_lstsq_computes_in_float64_as_numpy_does(kinds: str, rng: np.random.Generator) -> None:
    """NumPy computes in float64. Columns that differ by 2**-22 are two there, and one beside the eps of float32."""
    tall, close = rng.normal(size=(3, 2)) * 9, np.array([[1.0, 1.0], [1.0, 1.0 + 2**-22], [1.0, 1.0]])
    for array in (tall, close):
        a, b = array.astype(kinds[0]), np.array([1, 2, 4], kinds[1])
        x, residuals, rank, s = la.lstsq(a, b)
        loose = 1e-4 if x.dtype == np.float32 else 1e-8
        tracked = leaf(a, a.dtype) if a.dtype.kind == "f" else a
        for given in ((tracked, b), (a, leaf(b, b.dtype)) if b.dtype.kind == "f" else (tracked, b)):
            found = la.lstsq(*given)
            assert (found[0].dtype, found[1].shape, found[2]) == (x.dtype, residuals.shape, rank)
            np.testing.assert_allclose(found[0].data, x, rtol=loose, atol=loose)
            np.testing.assert_allclose(found[3].data, s, rtol=loose, strict=True)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_lstsq_refuses_matrices_that_are_not_finite(value: float) -> None:
    a = np.array([[value, 1.0], [1.0, 1.0]])
    for given in ((leaf(a), np.ones(2)), (a, leaf(np.ones(2)))):
        with pytest.raises(LinAlgError, match="lstsq: a has infinite or NaN elements, expected finite ones"):
            la.lstsq(*given)


# ---- condition, rank, and matrices that are singular


@pytest.mark.parametrize("p", [None, 2, -2, 1, "fro"])
def test_cond_of_a_singular_matrix_has_no_gradient(p: Any) -> None:
    a = np.array([[1.0, 2.0], [2.0, 4.0]])
    with np.errstate(all="ignore"):
        for given in (tg.tensor(a), leaf(a)):
            np.testing.assert_array_equal(la.cond(given, p).data, la.cond(a, p))
        out = la.cond(leaf([a, np.eye(2)]), p)
    with pytest.raises(LinAlgError, match="cond: the matrix is singular: its condition number is infinite"):
        out[1].backward()


@pytest.mark.parametrize("p", [None, 2, -2, "nuc", 1, -1, "fro", np.inf, -np.inf])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_cond_of_what_is_not_finite_is_numpys(value: float, p: Any) -> None:
    a = np.array([[[value, 1.0], [1.0, 2.0]], [[3.0, 0.0], [0.0, 2.0]]])
    with np.errstate(all="ignore"):
        try:
            expected = la.cond(a, p)
        except LinAlgError:
            with pytest.raises(LinAlgError, match="cond: SVD did not converge"):
                la.cond(leaf(a), p)
            return
        out = la.cond(leaf(a), p)
    np.testing.assert_array_equal(out.data, expected, strict=True)
    with pytest.raises(LinAlgError, match="cond: x has infinite or NaN elements"):
        out[1].backward()


@pytest.mark.parametrize("p", [None, -2, "fro", 1])
def test_cond_of_no_matrices(p: Any) -> None:
    x = leaf(np.zeros((0, 3, 3)))
    out = la.cond(x, p)
    np.testing.assert_array_equal(out.data, la.cond(x.data, p), strict=True)
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == (0, 3, 3)
    for shape in ((2, 0, 3), (0, 0)):
        with pytest.raises(LinAlgError, match="cond: given shape"):
            la.cond(leaf(np.zeros(shape)), p)


def test_rank_is_a_constant() -> None:
    found = la.matrix_rank(leaf([[1.0, 2.0], [2.0, 4.0]]))
    assert found.item() == 1
    assert not found.requires_grad


REFUSED = [
    (lambda: la.inv(leaf([[1.0, 2.0], [2.0, 4.0]])), r"inv: Singular matrix. Given a \(2, 2\) float64. .*pinv"),
    (lambda: la.inv(leaf(np.ones((2, 3)))), "inv: .*square"),
    (lambda: la.solve(leaf(np.zeros((2, 2))), np.ones(2)), "solve: Singular matrix"),
    (lambda: la.cholesky(leaf([[1.0, 2.0], [2.0, 1.0]])), "cholesky: Matrix is not positive definite"),
    (lambda: gradient(lambda x: la.slogdet(x)[1], np.zeros((2, 2))), "slogdet: the matrix is singular.*np.linalg.det"),
    (lambda: la.cond(leaf(np.zeros(2))), "cond: given shape"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "message"), REFUSED)
def test_what_is_refused_says_why(wrong: Any, message: str) -> None:
    with np.errstate(all="ignore"), pytest.raises(LinAlgError, match=message):
        wrong()


def test_slogdet_of_a_singular_matrix_is_numpys_where_no_gradient_is_asked_for() -> None:
    with np.errstate(all="ignore"):
        sign, logarithm = la.slogdet(leaf(np.zeros((2, 2))))
    assert (sign.item(), logarithm.item()) == (0.0, -np.inf)

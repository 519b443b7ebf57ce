"""Decompositions: closed forms, equal eigenvalues and singular values, refusals; third order; complex constants."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from registry_cases import assert_close, differences

import tinygrad_fc as tg
from tinygrad_fc.engine.op import REGISTRY

la = np.linalg
LinAlgError = np.linalg.LinAlgError


def leaf(value: Any, dtype: Any = float) -> tg.Tensor:
    return tg.tensor(np.array(value, dtype), requires_grad=True)


def gradient(f: Any, *values: Any) -> list[np.ndarray]:
    """Return the gradients of the sum of f."""
    inputs = [leaf(value) for value in values]
    return [d.data for d in tg.gradients(f(*inputs).sum(), inputs)]


def spectral(h: Any) -> Any:
    """Return the function of a symmetric matrix that applies h to its eigenvalues: V h(w) Vᵀ."""

    def function(a: tg.Tensor) -> tg.Tensor:
        w, v = la.eigh(a)
        return (v * h(w)[..., None, :]) @ v.mT

    return function


def symmetric(rng: np.random.Generator, *values: float) -> np.ndarray:
    """Return a matrix with these eigenvalues, in a random basis."""
    q = la.qr(rng.normal(size=(len(values), len(values))))[0]
    a = (q * np.array(values)) @ q.T
    return (a + a.T) / 2


# ---- one triangle of a symmetric matrix


@pytest.mark.parametrize("upper", [False, True])
def test_the_triangle_that_is_read_gets_the_gradient(upper: bool, rng: np.random.Generator) -> None:
    a = symmetric(rng, 1.0, 2.5, 4.0)
    other = np.triu(a) if upper else np.tril(a)  # NumPy reads no more than this
    functions = (
        lambda x: la.cholesky(x, upper=upper),
        lambda x: la.eigvalsh(x, "U" if upper else "L") ** 2,
        lambda x: (lambda r: r.eigenvectors * r.eigenvalues)(la.eigh(x, "U" if upper else "L")) ** 2,
    )
    for f in functions:
        whole, half = leaf(a), leaf(other)
        g = rng.normal(size=f(whole).shape)
        out = f(whole)
        np.testing.assert_allclose(f(half).data, out.data, rtol=1e-12, atol=1e-14)
        d = tg.gradients((out * g).sum(), whole)[0].data
        np.testing.assert_array_equal(d, np.triu(d) if upper else np.tril(d))
        np.testing.assert_allclose(tg.gradients((f(half) * g).sum(), half)[0].data, d, rtol=1e-12, atol=1e-14)


def test_what_is_symmetric_by_construction_does_not_see_the_triangle(rng: np.random.Generator) -> None:
    """sum(log(diag(cholesky(b bᵀ)))) is half of the logarithm of the determinant: its gradient is b⁻ᵀ."""
    b = rng.normal(size=(3, 3)) + 2 * np.eye(3)
    for f in (
        lambda x: np.log(la.cholesky(x @ x.mT)[range(3), range(3)]),
        lambda x: np.log(la.eigvalsh(x @ x.mT)) * 0.5,
        lambda x: np.log(la.svdvals(x)),
        lambda x: np.log(np.abs(la.qr(x).R[range(3), range(3)])),
        lambda x: la.slogdet(x).logabsdet,
    ):
        np.testing.assert_allclose(gradient(f, b)[0], la.inv(b).T, rtol=1e-10)


# ---- equal eigenvalues


@pytest.mark.parametrize("power", [2, 3])
def test_a_function_of_the_matrix_through_eigh(power: int, rng: np.random.Generator) -> None:
    """V wⁿ Vᵀ is the n-th power: values, gradients and second ones through both ways agree."""
    a, g, weights = symmetric(rng, 0.5, 1.5, 3.0), rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    results = []
    for f in (spectral(lambda w: w**power), lambda s: la.matrix_power(s, power)):
        b = leaf(a)
        (first,) = tg.gradients((f((b + b.mT) * 0.5) * g).sum(), b, create_graph=True)
        results.append([first.data, tg.gradients((first * weights).sum(), b)[0].data])
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-10)


def test_equal_eigenvalues_alone_have_a_gradient(rng: np.random.Generator) -> None:
    a = symmetric(rng, 2.0, 2.0, 5.0)
    for values in (la.eigvalsh, lambda x: la.eigh(x).eigenvalues):
        np.testing.assert_allclose(gradient(values, a)[0], np.eye(3), atol=1e-13)  # the trace
        squares = gradient(lambda x, values=values: values(x) ** 2, a)[0]
        np.testing.assert_allclose(squares, np.tril(4 * a) - 2 * np.diag(np.diag(a)), atol=1e-12)  # sum(a ** 2)


def test_the_other_eigenvector_of_equal_ones_has_a_gradient(rng: np.random.Generator) -> None:
    """The top vector does not need to know how the two below it are turned."""
    a, g = symmetric(rng, 2.0, 2.0, 5.0), rng.normal(size=(3, 3))

    def top(x: Any) -> Any:
        v = la.eigh(x).eigenvectors[:, 2:]
        return v @ np.swapaxes(v, -1, -2) * g

    (d,) = gradient(top, a)
    assert_close(d, differences(lambda arrays: np.sum(top(arrays[0])), [a], 0, 1e-3), 1e-7, "the top eigenvector")


TIED = {
    "square": spectral(np.square), "log, which is 0": spectral(np.log), "exp": spectral(np.exp),
    "shifted": spectral(lambda w: w - 1.0), "one vector": lambda x: la.eigh(x).eigenvectors[:, 0],
}  # fmt: skip


@pytest.mark.parametrize("name", TIED)
@pytest.mark.parametrize("diagonal", [(1.0, 1.0), (1.0, 1.0, 3.0)])
def test_vectors_of_equal_eigenvalues_are_refused(name: str, diagonal: tuple[float, ...]) -> None:
    """Each has a derivative or none, and the rule cannot tell: at the identity all that log sends back is 0."""
    for a in (np.diag(diagonal), np.stack([np.diag(diagonal), np.diag(np.arange(1.0, 1 + len(diagonal)))])):
        if a.ndim == 3 and name == "one vector":
            continue
        with pytest.raises(LinAlgError, match=r"eigh: eigenvalues 0 and 1 are equal.*eigvalsh"):
            gradient(TIED[name], a)


def test_equal_eigenvalues_are_refused_at_second_order() -> None:
    """sum((w - 1) ** 2) = |a - 1|² has the second derivative 2 at the identity, which the rules cannot see."""
    for f in (lambda w: w.sum(), lambda w: ((w - 1.0) ** 2).sum()):
        a = leaf(np.eye(2))
        (first,) = tg.gradients(f(la.eigvalsh(a)), a, create_graph=True)
        with pytest.raises(LinAlgError, match="eigenvalues 0 and 1 are equal"):
            tg.gradients(first.sum(), a)


# ---- singular values


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 2)])
def test_what_svd_puts_together_again(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    a, g = rng.normal(size=shape), rng.normal(size=shape)
    x = leaf(a)
    u, s, vh = la.svd(x, full_matrices=False)
    (d,) = tg.gradients(((u * s[..., None, :]) @ vh * g).sum(), x)
    np.testing.assert_allclose(d.data, g, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("f", "a", "message"), [
    (lambda u, s, vh: u @ vh, np.eye(2), "singular values 0 and 1 are equal"),
    (lambda u, s, vh: (u * s) @ vh, np.eye(2), "singular values 0 and 1 are equal"),
    (lambda u, s, vh: (u * np.log(s)) @ vh, np.eye(2), "singular values 0 and 1 are equal"),
    (lambda u, s, vh: (u * s) @ vh, np.diag([1.0, 0.0]), "a singular value is 0"),
    (lambda u, s, vh: (u * s) @ vh, np.array([[1.0, 2.0], [2.0, 4.0]]), "a singular value is 0"),
    (lambda u, s, vh: (u * s) @ vh, np.zeros((1, 1)), "a singular value is 0"),
    (lambda u, s, vh: u, np.zeros((3, 1)), "a singular value is 0"),
])  # fmt: skip
def test_undefined_singular_vectors_are_refused(f: Any, a: np.ndarray, message: str) -> None:
    with pytest.raises(LinAlgError, match=f"svd: {message}.*svdvals"):
        gradient(lambda x: f(*la.svd(x, full_matrices=False)), a)


def test_the_best_approximation_of_lower_rank_has_a_gradient(rng: np.random.Generator) -> None:
    """The vectors of the first singular value are defined, though the others are equal and 0."""
    a = np.outer([1.0, 2.0, 2.0], [3.0, 4.0, 0.0])
    g = rng.normal(size=(3, 3))

    def first(x: Any) -> Any:
        u, s, vh = la.svd(x)
        return (u[:, :1] * s[:1]) @ vh[:1] * g

    (d,) = gradient(first, a)
    assert_close(d, differences(lambda arrays: np.sum(first(arrays[0])), [a], 0, 1e-3), 1e-6, "rank 1")


def test_singular_values_of_0_take_none() -> None:
    a = np.array([[3.0, 0.0], [0.0, 0.0]])
    for values in (la.svdvals, lambda x: la.svd(x).S, lambda x: la.svd(x, compute_uv=False)):
        np.testing.assert_allclose(gradient(values, a)[0], [[1.0, 0.0], [0.0, 0.0]], atol=1e-14)


def test_svd_fills_up_only_what_needs_no_gradient(rng: np.random.Generator) -> None:
    a = rng.normal(size=(3, 2))
    with pytest.raises(TypeError, match=r"svd: full_matrices=True of shape \(3, 2\).*full_matrices=False"):
        la.svd(leaf(a))
    with tg.no_grad():
        assert la.svd(leaf(a)).U.shape == (3, 3)
    for ours, theirs in zip(la.svd(tg.tensor(a)), la.svd(a), strict=True):
        np.testing.assert_array_equal(ours.data, theirs)
    with pytest.raises(ValueError, match="pinv: given both rcond and rtol"):
        la.pinv(leaf(a), 1e-10, rtol=1e-10)


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0), (0, 2, 2), (0, 3), (3, 0)])
@pytest.mark.parametrize("name", ["eigh", "svd", "qr"])
def test_matrices_without_elements(name: str, shape: tuple[int, ...]) -> None:
    if name == "eigh" and shape[-1] != shape[-2]:
        return
    options = {"full_matrices": False} if name == "svd" else {}
    for n, expected in enumerate(getattr(la, name)(np.zeros(shape), **options)):
        for create_graph in (False, True):
            x = leaf(np.zeros(shape))
            out = getattr(la, name)(x, **options)[n]
            assert out.shape == expected.shape
            (d,) = tg.gradients(out.sum(), x, create_graph=create_graph)
            assert d.shape == shape


# ---- QR


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 2)])
def test_what_qr_puts_together_again(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    a, g = rng.normal(size=shape), rng.normal(size=shape)
    x = leaf(a)
    q, r = la.qr(x)
    np.testing.assert_allclose(tg.gradients((q @ r * g).sum(), x, retain_graph=True)[0].data, g, rtol=1e-9, atol=1e-11)
    gram = (q.mT @ q * rng.normal(size=q.shape[-1])).sum()  # the identity, whatever the matrix
    np.testing.assert_allclose(tg.gradients(gram, x)[0].data, np.zeros(shape), atol=1e-12)


def test_qr_refuses_what_has_no_gradient(rng: np.random.Generator) -> None:
    a = rng.normal(size=(3, 2))
    with pytest.raises(TypeError, match=r"qr: mode 'complete' of shape \(3, 2\)"):
        la.qr(leaf(a), "complete")
    for ours, theirs in zip(la.qr(tg.tensor(a), "complete"), la.qr(a, "complete"), strict=True):
        np.testing.assert_array_equal(ours.data, theirs)
    with pytest.raises(TypeError, match="qr: mode 'raw' is not supported"):
        la.qr(leaf(a), "raw")
    for dependent in ([[1.0, 2.0], [2.0, 4.0]], [[1.0, 2.0, 5.0], [2.0, 4.0, 6.0]], np.ones((3, 2))):
        with pytest.raises(LinAlgError, match="qr: the first 2 columns are linearly dependent"):
            gradient(lambda x: la.qr(x).Q, dependent)
    with pytest.raises(LinAlgError, match=r"qr: given shape \(2,\)"):
        la.qr(leaf([1.0, 2.0]))


# ---- every operation, once more to third order; complex constants


THIRD = ["cholesky", "det", "eigh", "eigvalsh", "inv", "pinv", "qr", "slogdet", "solve", "svd", "svdvals"]


@pytest.mark.parametrize("name", THIRD)
def test_third_order(name: str, rng: np.random.Generator) -> None:
    """The derivative of a second derivative, along one direction each, against a difference of second derivatives."""
    op = REGISTRY[name]
    (a, *rest), _ = (lambda s: s if len(s) == 2 and isinstance(s[1], dict) else (s, {}))(op.samples(rng)[0])
    g, weights = rng.normal(size=op.record(a, *rest).shape), rng.normal(size=(2, *a.shape))

    def second(array: Any) -> tg.Tensor:
        x = array if isinstance(array, tg.Tensor) else leaf(array)
        (first,) = tg.gradients((op.record(x, *rest) * g).sum(), x, create_graph=True)
        return tg.gradients((first * weights[0]).sum(), x, create_graph=True)[0]

    x = leaf(a)
    (third,) = tg.gradients((second(x) * weights[1]).sum(), x)
    expected = differences(lambda arrays: np.sum(second(arrays[0]).data * weights[1]), [a], 0)
    assert_close(third.data, expected, 1e-6, name)


def test_complex_matrices_are_numpys(rng: np.random.Generator) -> None:
    m = rng.normal(size=(3, 3)) + 1j * rng.normal(size=(3, 3))
    hermitian = m @ m.conj().T + np.eye(3)
    calls: list[Any] = [
        *itertools.product((la.inv, la.det, la.slogdet, la.svd, la.svdvals, la.qr, la.pinv, la.cond), [m]),
        *itertools.product((la.eigh, la.eigvalsh, la.cholesky), [hermitian]),
        (lambda x: la.cholesky(x, upper=True), hermitian), (lambda x: la.qr(x, "r"), m), (la.qr, m[:2]),
        (lambda x: la.norm(x, "nuc"), m), (lambda x: la.svd(x, full_matrices=False), m[:2]),
    ]  # fmt: skip
    for function, a in calls:
        ours, theirs = function(tg.tensor(a)), function(a)
        pairs = zip(ours, theirs, strict=True) if isinstance(theirs, tuple) else [(ours, theirs)]
        for out, expected in pairs:
            np.testing.assert_allclose(out.data, np.asarray(expected), rtol=1e-11, atol=1e-13, strict=True)

"""Products and norms: every form of their arguments, kinks and edges, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.engine.dispatch import FUNCTIONS, functions
from tinygrad_fc.ops.derived import DERIVED

inf, nan = math.inf, math.nan
LinAlgError = np.linalg.LinAlgError


def leaf(value: Any, dtype: Any = float) -> tg.Tensor:
    return tg.tensor(np.array(value, dtype), requires_grad=True)


def slope(f: Any, value: Any) -> np.ndarray:
    """Return the gradient of the sum of f; see that the recorded one is the same, and its own gradient finite."""
    x = leaf(value)
    (plain,) = tg.gradients(f(x).sum(), x)
    (recorded,) = tg.gradients(f(x).sum(), x, create_graph=True)
    np.testing.assert_allclose(recorded.data, plain.data, rtol=1e-13, atol=1e-15)
    if recorded.requires_grad:
        assert np.isfinite(tg.gradients(recorded.sum(), x)[0].data).all()
    return plain.data


# ---- products


SHAPES = [(), (3,), (2, 3), (3, 2), (3, 3), (2, 3, 3), (0, 3), (3, 0)]


@pytest.mark.parametrize("name", ["dot", "inner", "outer", "kron", "vdot", "tensordot", "matmul"])
def test_products_take_and_refuse_the_shapes_that_numpy_does(name: str, rng: np.random.Generator) -> None:
    function, taken = getattr(np, name), 0
    for left in SHAPES:
        for right in SHAPES:
            a, b = rng.normal(size=left), rng.normal(size=right)
            try:
                expected = np.asarray(function(a, b))
            except (ValueError, IndexError):
                with pytest.raises(ValueError, match=f"{name}|matmul|multiply|tensordot"):
                    function(leaf(a), b)
                continue
            taken += 1
            for x, y in ((leaf(a), b), (a, leaf(b)), (leaf(a), leaf(b)), (tg.tensor(a), tg.tensor(b))):
                out = function(x, y)
                assert isinstance(out, tg.Tensor)
                np.testing.assert_allclose(out.data, expected, rtol=1e-12, atol=1e-14, strict=True)
    assert taken > 5


def test_products_of_complex_numbers_are_numpys(rng: np.random.Generator) -> None:
    a, b = (rng.normal(size=3) + 1j * rng.normal(size=3) for _ in range(2))
    m = np.outer(a, b) + 3 * np.eye(3)
    for name in ("vdot", "inner", "outer", "kron", "dot", "vecdot", "cross"):
        np.testing.assert_allclose(getattr(functions, name)(tg.tensor(a), b).data, getattr(np, name)(a, b), rtol=1e-13)
    np.testing.assert_allclose(functions.vecmat(tg.tensor(a), m).data, a.conj() @ m, rtol=1e-13)
    np.testing.assert_allclose(functions.matvec(m, tg.tensor(a)).data, m @ a, rtol=1e-13)
    for order in (None, 1, 2, 3, inf, 0):
        out = np.linalg.norm(tg.tensor(a), order)
        expected = np.asarray(np.linalg.norm(a, order))
        np.testing.assert_allclose(out.data, expected, rtol=1e-13, strict=True)


def test_vecdot_along_another_axis(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    for function in (np.linalg.vecdot, functions.vecdot):
        x = leaf(a)
        out = function(x, b, axis=0)
        np.testing.assert_allclose(out.data, (a * b).sum(axis=0), rtol=1e-14)
        out.sum().backward()
        np.testing.assert_array_equal(x.grad, b)


def test_matvec_and_vecmat_wherever_numpy_has_them(rng: np.random.Generator) -> None:
    m, v = rng.normal(size=(4, 3, 3)), rng.normal(size=3)
    for name, expected in (("matvec", m @ v), ("vecmat", v @ m)):
        x = leaf(m)
        out = getattr(functions, name)(*((x, v) if name == "matvec" else (v, x)))
        np.testing.assert_allclose(out.data, expected, rtol=1e-13)
        assert bool(DERIVED[name].numpy) == hasattr(np, name)


@pytest.mark.parametrize("name", ["matvec", "vecmat"])
def test_matvec_and_vecmat_refuse_what_numpy_refuses(name: str) -> None:
    """``matmul``, which they are written with, takes a vector where they want a matrix, and means something else."""
    shapes = [(), (3,), (4,), (1,), (0,), (3, 4), (4, 3), (3, 3), (4, 1), (2, 3, 4), (1, 3, 4)]
    vector, matrix = (1, 0) if name == "matvec" else (0, 1)
    for left in shapes:
        for right in shapes:
            arrays = np.full(left, 2.0), np.full(right, 3.0)
            if arrays[vector].ndim < 1 or arrays[matrix].ndim < 2:
                expected = rf"^{name}: x[12] has shape .*expected (vectors|matrices) \(\.\.\., "
            elif hasattr(np, name):
                try:
                    value = getattr(np, name)(*arrays)
                except ValueError:
                    expected = f"^{name}: "
                else:
                    out = getattr(np, name)(leaf(arrays[0]), arrays[1])
                    np.testing.assert_array_equal(out.data, value, strict=True)
                    continue
            else:
                continue
            with pytest.raises(ValueError, match=expected):
                getattr(functions, name)(leaf(arrays[0]), arrays[1])


def test_multi_dot_takes_the_cheapest_order(rng: np.random.Generator) -> None:
    """A matrix times a matrix times a vector is two products with vectors, from the right."""
    a, b, v = leaf(rng.normal(size=(9, 8))), rng.normal(size=(8, 7)), rng.normal(size=7)
    out = np.linalg.multi_dot([a, b, v])
    shapes = [node.shape for node in tg.Graph(out).nodes if node.op == "matmul"]
    assert shapes == [(9, 1)]  # b @ v is of constants, and a @ (b @ v) is recorded
    np.testing.assert_allclose(out.data, a.data @ b @ v, rtol=1e-12)


def test_matrix_power_zero_is_constant() -> None:
    a = leaf([[1.0, 2.0], [3.0, 4.0]])
    out = np.linalg.matrix_power(a, 0)
    np.testing.assert_array_equal(out.data, np.eye(2))
    out.sum().backward()
    np.testing.assert_array_equal(a.grad, np.zeros((2, 2)))
    one = np.linalg.matrix_power(a, 1)
    assert one is not a
    assert not np.shares_memory(one.data, a.data)


SQUARE = leaf(np.eye(2))
REFUSED = [
    (lambda: np.dot(SQUARE, SQUARE, out=np.zeros((2, 2))), TypeError, "out"),
    (lambda: np.outer(SQUARE, SQUARE, out=np.zeros((4, 4))), TypeError, "out"),
    (lambda: np.einsum("ij->i", SQUARE, dtype=float), TypeError, "dtype"),
    (lambda: np.vecdot(SQUARE, SQUARE, axis=0), TypeError, "vecdot: axis= is not supported"),
    (lambda: np.linalg.outer(SQUARE, SQUARE), ValueError, r"linalg.outer: given shapes \(2, 2\)"),
    (lambda: np.tensordot(SQUARE, SQUARE, axes=3), ValueError, "axes=3, expected 0 to 2"),
    (lambda: np.tensordot(SQUARE, np.ones((3, 3)), axes=1), ValueError, "lengths of the axes"),
    (lambda: np.cross(np.ones(4), SQUARE), ValueError, "incompatible dimensions for cross product"),
    (lambda: np.linalg.cross(SQUARE, SQUARE), ValueError, r"^linalg\.cross: the vectors have 2 and 2 elements"),
    (lambda: np.vdot(SQUARE, np.ones(3)), ValueError, "vdot: given 4 and 3 elements"),
    (lambda: np.inner(SQUARE, np.ones(3)), ValueError, "inner: given shapes"),
    (lambda: np.linalg.vecdot(SQUARE, np.ones(1)), ValueError, "vecdot: the vectors have 2 and 1"),
    (lambda: np.linalg.multi_dot([SQUARE]), ValueError, "multi_dot: given 1 arrays"),
    (lambda: np.linalg.multi_dot([SQUARE, np.ones((2, 2, 2))]), LinAlgError, r"multi_dot: given shapes \(2, 2\)"),
    (lambda: np.linalg.matrix_power(SQUARE, 0.5), TypeError, "matrix_power: n is 0.5, expected an integer"),
    (lambda: np.linalg.matrix_power(SQUARE[:1], 2), LinAlgError, "square matrices"),
    (lambda: np.linalg.norm(SQUARE, 3), ValueError, "order 3 is none of matrices"),
    (lambda: np.linalg.norm(SQUARE[0], "fro"), ValueError, "order 'fro' is one of matrices"),
    (lambda: np.linalg.norm(SQUARE.reshape(1, 2, 2), 2), ValueError, "expected one or two axes"),
    (lambda: np.linalg.norm(SQUARE.reshape(1, 2, 2), 2, (0, 1, 2)), ValueError, "expected one axis"),
    (lambda: np.linalg.matrix_norm(SQUARE[0]), ValueError, "matrix_norm: given shape"),
    (lambda: np.linalg.diagonal(SQUARE[0]), ValueError, "linalg.diagonal: given shape"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "kind", "message"), REFUSED)
def test_what_is_refused_says_why(wrong: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        wrong()


# ---- norms


@pytest.mark.parametrize("order", [None, 0, 0.5, 1, 2, 2.5, 3, -1, -2.5, inf, -inf])
def test_the_gradient_of_a_vector_norm_is_0_at_0(order: Any) -> None:
    for zeros in (np.zeros(3), np.zeros(1)):
        np.testing.assert_array_equal(slope(lambda x: np.linalg.norm(x, order), zeros), np.zeros(zeros.shape))
    rows = slope(lambda x: np.linalg.norm(x, order, axis=1), [[0.0, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(rows, np.zeros((2, 2)))


@pytest.mark.parametrize("order", [1, 1.5, 2, 3, 0.5, inf])
def test_an_element_of_0_takes_none(order: float) -> None:
    np.testing.assert_allclose(slope(lambda x: np.linalg.norm(x, order), [0.0, -2.0]), [0.0, -1.0], rtol=1e-13)


@pytest.mark.parametrize("order", [-1, -2, -0.5])
def test_an_element_of_0_is_all_that_a_negative_order_sees(order: float) -> None:
    x = leaf([0.0, -2.0])
    assert np.linalg.norm(x, order).item() == 0.0
    np.testing.assert_array_equal(slope(lambda x: np.linalg.norm(x, order), [0.0, -2.0]), [0.0, 0.0])


@pytest.mark.parametrize("order", [None, 0, 1, 2, 3, 0.5, -1, -2, -0.5, inf, -inf])
def test_a_nan_makes_every_norm_of_vectors_what_numpy_makes_it(order: Any) -> None:
    rows = np.array([[nan, 0.0, 1.0], [0.0, 1.0, 2.0], [nan, nan, nan], [1.0, nan, inf]])
    with np.errstate(all="ignore"):
        expected = np.linalg.norm(rows, order, axis=1)
        x = leaf(rows)
        out = np.linalg.norm(x, order, axis=1)
        out.sum().backward()
    np.testing.assert_allclose(out.data, expected, rtol=1e-14, strict=True)
    if order is not None:
        out = np.linalg.vector_norm(leaf(rows), axis=1, ord=order)
        np.testing.assert_allclose(out.data, expected, rtol=1e-14, strict=True)
    assert np.isfinite(x.grad[1]).all()


@pytest.mark.parametrize("name", ["norm", "vector_norm", "matrix_norm", "cond"])
def test_the_order_of_a_norm_may_be_a_constant_tensor(name: str) -> None:
    function: Any = getattr(np.linalg, name)
    argument = "p" if name == "cond" else "ord"
    expected = function(SQUARE.data, **{argument: 1.0})
    assert function(SQUARE, **{argument: tg.tensor(1.0)}).item() == pytest.approx(expected, rel=1e-13)
    for wrong in (leaf(2.0), tg.tensor([1.0, 2.0])):
        with pytest.raises(TypeError, match=rf"^{name}: the order is .*expected a number or a word: .*t.item"):
            function(SQUARE, **{argument: wrong})


def test_ties_share_the_norm_of_infinite_order() -> None:
    np.testing.assert_array_equal(slope(lambda x: np.linalg.norm(x, inf), [3.0, -3.0, 1.0]), [0.5, -0.5, 0.0])
    np.testing.assert_array_equal(slope(lambda x: np.linalg.norm(x, -inf), [3.0, -1.0, 1.0]), [0.0, -0.5, 0.5])


@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, inf, -inf])
def test_the_gradient_of_a_matrix_norm_is_0_at_0(order: Any) -> None:
    x = leaf(np.zeros((2, 3)))
    out = np.linalg.norm(x, order)
    assert out.item() == 0.0
    out.backward()
    np.testing.assert_array_equal(x.grad, np.zeros((2, 3)))


def test_the_nuclear_norm_of_a_matrix_of_lower_rank() -> None:
    """U Vᵀ over the singular values that are not 0: the smallest of the subgradients."""
    u, v = np.array([3.0, 4.0]) / 5, np.array([1.0, 2.0, 2.0]) / 3
    x = leaf(7.0 * np.outer(u, v))
    np.linalg.norm(x, "nuc").backward()
    np.testing.assert_allclose(x.grad, np.outer(u, v), atol=1e-14)


def test_equal_singular_values_share_the_spectral_norm() -> None:
    x = leaf(np.eye(3))
    np.linalg.norm(x, 2).backward()
    np.testing.assert_allclose(x.grad, np.eye(3) / 3, atol=1e-14)


@pytest.mark.parametrize("order", [None, 1, 2, inf, "fro", "nuc"])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_norms_of_nothing_are_numpys(shape: tuple[int, ...], order: Any) -> None:
    a = np.zeros(shape)
    try:
        expected = np.asarray(np.linalg.norm(a, order))
    except ValueError:
        with pytest.raises(ValueError, match=r".+"):
            np.linalg.norm(leaf(a), order)
        return
    x = leaf(a)
    out = np.linalg.norm(x, order)
    np.testing.assert_array_equal(out.data, expected, strict=True)
    out.backward()
    assert x.grad is not None
    assert x.grad.shape == shape


def test_norms_of_integers_are_floats() -> None:
    out = np.linalg.norm(tg.tensor([3, 4]))
    assert out.dtype == np.float64
    assert out.item() == 5.0
    assert np.linalg.norm(tg.tensor([[3, 4]]), 1).dtype == np.float64


def test_a_gradient_penalty_to_second_order() -> None:
    """|grad f| of f = sum(x ** 3) is 3 |x²|; its gradient 6 x³ / |x²|."""
    x = leaf([1.0, -2.0])
    (d,) = tg.gradients((x**3).sum(), x, create_graph=True)
    (found,) = tg.gradients(np.linalg.norm(d), x)
    np.testing.assert_allclose(found.data, 6 * x.data**3 / np.linalg.norm(x.data**2), rtol=1e-13)


def test_trace_of_another_type() -> None:
    x = leaf([[1.5, 2.0], [3.0, 4.0]], np.float32)
    out = np.linalg.trace(x, dtype=np.float64)
    assert out.dtype == np.float64
    out.backward()
    np.testing.assert_array_equal(x.grad, np.eye(2, dtype=np.float32), strict=True)
    assert np.linalg.trace(x, offset=5).item() == 0.0


def test_every_function_of_linalg_is_there_or_refused() -> None:
    """What np.linalg offers works on tensors, but for what has complex results or solves over many axes at once."""
    absent = {name for name in np.linalg.__all__ if name != "LinAlgError" and getattr(np.linalg, name) not in FUNCTIONS}
    assert absent == {"eig", "eigvals", "tensorinv", "tensorsolve"}
    for name in ("eig", "eigvals", "tensorinv"):
        with pytest.raises(TypeError, match=f"np.linalg.{name} has no derivative rule"):
            getattr(np.linalg, name)(leaf(np.eye(2)))

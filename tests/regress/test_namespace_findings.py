"""What a review of NumPy's namespace on tensors found wrong, held right from then on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from edges import assert_same

import tinygrad_fc as tg

inf, nan = math.inf, math.nan


def slopes(f: Any, x: Any, dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient of the sum of f, and the gradient of that gradient's own sum."""
    t = tg.tensor(np.array(x, dtype=dtype), requires_grad=True)
    out = f(t)
    (first,) = tg.gradients(out, t, np.ones(out.shape, out.dtype), create_graph=True)
    if not first.requires_grad:
        return first.data, np.zeros_like(t.data)
    return first.data, tg.gradients(first.sum(), t)[0].data


# ---- no degree of freedom


@pytest.mark.filterwarnings("ignore:Degrees of freedom")
@pytest.mark.parametrize("f", [np.var, np.std])
@pytest.mark.parametrize("ddof", [2, 3, 2.5])
@pytest.mark.parametrize("options", [{}, {"where": [True, True]}])
def test_variance_without_a_degree_of_freedom(f: Any, ddof: float, options: Any) -> None:
    """NumPy divides by 0 and not by less, so the value is infinite, and its gradient too: as it grows."""
    with np.errstate(all="ignore"):
        t = tg.tensor([1.0, 4.0], requires_grad=True)
        out = f(t, ddof=ddof, **options)
        out.backward()
        assert_same(out.data, inf)
        assert_same(t.grad, [-inf, inf])
        t = tg.tensor([3.0, 3.0], requires_grad=True)
        f(t, ddof=ddof, **options).backward()
        assert_same(t.grad, [nan, nan])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_variance_with_degrees_of_freedom_keeps_its_dtype(dtype: Any) -> None:
    t = tg.tensor(np.array([1.0, 4.0], dtype), requires_grad=True)
    np.var(t, ddof=1).backward()
    assert t.grad.dtype == dtype
    assert_same(t.grad.astype(float), [-3, 3])


# ---- numbers have no axis, and may be reduced along it


@pytest.mark.parametrize("axis", [0, -1, None])
@pytest.mark.parametrize(
    ("name", "gradient"),
    [("max", 1), ("min", 1), ("amax", 1), ("amin", 1), ("ptp", 0), ("nanmax", 1), ("nanmin", 1), ("nanmean", 1),
     ("nanvar", 0), ("nanstd", 0), ("sum", 1), ("prod", 1), ("nansum", 1), ("nanprod", 1)],
)  # fmt: skip
def test_reductions_of_a_number(name: str, gradient: float, axis: int | None) -> None:
    f = getattr(np, name)
    t = tg.tensor(3.0, requires_grad=True)
    out = f(t, axis=axis)
    out.backward()
    assert_same(out.data, f(np.array(3.0), axis=axis))
    assert_same(t.grad, gradient)


@pytest.mark.parametrize("name", ["mean", "var", "std", "median"])
def test_reductions_of_a_number_that_numpy_refuses(name: str) -> None:
    with pytest.raises(np.exceptions.AxisError, match=f"^{name}: "):
        getattr(np, name)(tg.tensor(3.0, requires_grad=True), axis=0)


# ---- infinite logarithms


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("x", "sums", "scans"),
    [
        ([inf, 0.0], [1, 0], [2, 0]),
        ([-inf, inf], [0, 1], [0, 1]),
        ([inf, inf, 1e4], [0.5, 0.5, 0], [2, 1, 0]),
        ([1e4, inf, 3.0, inf, -inf], [0, 0.5, 0, 0.5, 0], [1, 3, 0, 1, 0]),
    ],
)
def test_logarithms_of_sums_at_infinity(x: Any, sums: Any, scans: Any, dtype: Any) -> None:
    """The infinite ones take the gradient and share it equally, without a warning, and it is constant there."""
    for f, expected in ((tg.logsumexp, sums), (np.logaddexp.reduce, sums), (tg.logcumsumexp, scans)):
        first, second = slopes(f, x, dtype)
        assert first.dtype == second.dtype == dtype
        assert_same(first.astype(float), expected)
        assert_same(second.astype(float), np.zeros(len(x)))


def test_logarithm_of_a_sum_of_two_infinities() -> None:
    for x, expected in (([inf, inf], [0.5, 0.5]), ([inf, 2.0], [1, 0]), ([-inf, -inf], [0, 0]), ([-inf, inf], [0, 1])):
        first, second = slopes(lambda t: np.logaddexp(t[0], t[1]), x)
        assert_same(first, expected)
        assert_same(second, [0, 0])
    x = tg.tensor([1.5, 1.5], requires_grad=True)  # a tie of finite ones is none
    (first,) = tg.gradients(np.logaddexp(x[0], x[1]), x, create_graph=True)
    assert_same(tg.gradients(first[0], x)[0].data, [0.25, -0.25])


# ---- second derivatives where the first is infinite, or flat


ENDS = [
    ("arcsin", 1, inf, inf), ("arcsin", -1, inf, -inf), ("arccos", 1, -inf, -inf), ("arccos", -1, -inf, inf),
    ("arccosh", 1, inf, -inf), ("arccosh", inf, 0, 0), ("cbrt", 0.0, inf, -inf), ("cbrt", -0.0, inf, inf),
    ("cbrt", inf, 0, 0), ("cbrt", -inf, 0, 0), ("sqrt", 0, inf, -inf), ("arctan", inf, 0, 0),
    ("arctan", -inf, 0, 0), ("arcsin", 0, 1, 0), ("arctan", 0, 1, 0),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", range(len(ENDS)))
def test_second_derivatives_at_the_ends(row: int, dtype: Any) -> None:
    """As the limit from inside the domain has it; for the cube root from the side of the zero's sign."""
    name, x, first, second = ENDS[row]
    with np.errstate(all="ignore"):
        found = slopes(getattr(tg, name), x, dtype)
    assert [d.dtype for d in found] == [dtype, dtype], name
    assert_same(found[0].astype(float), first)
    assert_same(found[1].astype(float), second)


@pytest.mark.parametrize("point", [(1.0, inf), (inf, 1.0), (inf, inf), (-inf, 2.0), (0.0, 0.0), (1.0, -inf)])
def test_angles_at_infinity_and_at_the_origin_are_flat(point: tuple[float, float]) -> None:
    for found in slopes(lambda t: np.arctan2(t[0], t[1]), point):
        assert_same(found, [0, 0])


@pytest.mark.parametrize(
    ("f", "second"),
    [
        (np.arcsin, lambda x: x / ((1 - x) * (1 + x)) ** 1.5),
        (np.arccosh, lambda x: -x / ((x - 1) * (x + 1)) ** 1.5),
        (np.arctan, lambda x: -2 * x / (1 + x * x) ** 2),
        (np.cbrt, lambda x: -2 / 9 * np.cbrt(x) ** -5),
    ],
)
def test_second_derivatives_are_precise_near_the_ends(f: Any, second: Any) -> None:
    near = {np.arcsin: [1 - 1e-9, -0.5], np.arccosh: [1 + 1e-9, 1e5], np.arctan: [1e-9, 1e6], np.cbrt: [1e-9, -8.0]}[f]
    np.testing.assert_allclose(slopes(f, near)[1], second(np.array(near)), rtol=1e-13)


# ---- open meshes


def test_an_open_mesh_of_floats_keeps_its_gradient() -> None:
    for f in (np.ix_, tg.ix_):
        x, y = tg.tensor([1.0, 2.0], requires_grad=True), tg.tensor([3.0, 4.0, 5.0], requires_grad=True)
        rows, columns = f(x, y)
        assert (rows.shape, columns.shape) == ((2, 1), (1, 3))
        (rows * columns).sum().backward()
        assert_same(x.grad, [12, 12])
        assert_same(y.grad, [3, 3, 3])
    with pytest.raises(ValueError, match=r"^ix_: argument 1 has shape \(1, 2\)"):
        np.ix_(x, y[None, :2])
    for given in ([[], [1, 2]], [np.array([True, False]), [0]]):
        for ours, theirs in zip(tg.ix_(*given), np.ix_(*given), strict=True):
            np.testing.assert_array_equal(ours.data, theirs, strict=True)


# ---- names


@pytest.mark.parametrize(
    "name",
    "acos acosh asin asinh atan atan2 atanh pow around bitwise_not bitwise_invert bitwise_left_shift "
    "bitwise_right_shift shape ndim size ix_ row_stack nancumsum nancumprod left_shift right_shift".split(),
)
def test_names_that_numpy_has_too(name: str) -> None:
    assert name in tg.__all__ or not hasattr(np, name)
    t = tg.tensor([[1.5, 2.5]], requires_grad=True)
    assert name != "shape" or tg.shape(t) == np.shape(t) == tg.shape([[1, 2]]) == (1, 2)
    assert name != "ndim" or tg.ndim(t) == np.ndim(t) == 2
    assert name != "size" or (tg.size(t), tg.size(t, 0), np.size(t, axis=1)) == (2, 1, 2)
    assert callable(getattr(tg, name))


def test_other_names_are_the_same_operations() -> None:
    assert tg.acos is tg.arccos
    assert tg.pow is tg.power
    assert tg.atan2 is tg.arctan2
    assert tg.around is tg.round
    assert tg.bitwise_not is tg.bitwise_invert is tg.invert
    assert tg.row_stack is tg.vstack


def test_running_sums_and_products_pass_over_nan() -> None:
    x = [2.0, nan, 3.0]
    t = tg.tensor(x, requires_grad=True)
    np.testing.assert_array_equal(np.nancumsum(t).data, np.nancumsum(x))
    np.testing.assert_array_equal(np.nancumprod(t).data, np.nancumprod(x))
    assert_same(slopes(np.nancumsum, x)[0], [3, 0, 1])
    assert_same(slopes(np.nancumprod, x)[0], [1 + 1 + 3, 0, 2])


def test_bits() -> None:
    n = np.array([[5, 3], [6, 12]])
    t = tg.tensor(n)
    for f in (np.left_shift, np.right_shift):
        np.testing.assert_array_equal(f(t, 1).data, f(n, 1), strict=True)
    for ufunc in (np.bitwise_and, np.bitwise_or, np.bitwise_xor):
        for options in ({}, {"axis": 1, "keepdims": True}, {"axis": None}):
            np.testing.assert_array_equal(ufunc.reduce(t, **options).data, ufunc.reduce(n, **options))
        with pytest.raises(TypeError, match=f"^{ufunc.__name__}.reduce: a has dtype float64"):
            ufunc.reduce(tg.tensor([1.0], requires_grad=True))


# ---- NumPy's signatures


def test_orders_of_elements(rng: np.random.Generator) -> None:
    for a in (rng.normal(size=(2, 3, 4)), np.asfortranarray(rng.normal(size=(2, 3))), rng.normal(size=(2, 3, 4))[::-1],
              rng.normal(size=(2, 3, 4)).transpose(1, 2, 0), np.array(1.5)):  # fmt: skip
        t = tg.tensor(a, requires_grad=True)
        t._array = a  # of this layout
        weights = rng.normal(size=a.size)
        for order in "CFAK":
            for f in (np.ravel, lambda x, order: x.ravel(order), lambda x, order: x.flatten(order)):
                np.testing.assert_array_equal(f(t, order).data, f(a, order))
            (d,) = tg.gradients((t.ravel(order) * weights).sum(), t)
            np.testing.assert_array_equal(d.data.ravel(), weights[np.argsort(flat_order(a, order))])
            if order != "K":
                np.testing.assert_array_equal(t.reshape((a.size, 1), order=order).data, a.reshape((-1, 1), order=order))
                np.testing.assert_array_equal(np.reshape(t, -1, order, copy=True).data, np.reshape(a, -1, order))
            assert t.copy(order).data.strides == a.copy(order).strides
            assert np.copy(t, order=order).data.strides == np.copy(a, order=order).strides
            assert t.astype(np.float32, order).data.strides == a.astype(np.float32, order).strides


def flat_order(a: np.ndarray, order: str) -> np.ndarray:
    """Return which elements, counted in C order, stand one after the other in this order."""
    places = np.empty_like(a, dtype=int, order="K")
    places[...] = np.arange(a.size).reshape(a.shape)
    fortran = order == "F" or (order == "A" and a.flags.fnc)
    return places.ravel("K" if order == "K" else "F" if fortran else "C")


def test_casts_and_copies() -> None:
    t = tg.tensor([1.0, 2.0], requires_grad=True)
    assert np.shares_memory(t.astype(float, copy=False).data, t.data)
    assert not np.shares_memory(t.astype(float).data, t.data)
    with pytest.raises(TypeError, match=r"^astype: Cannot cast.*'safe'"):
        t.astype(np.float32, casting="safe")
    with pytest.raises(ValueError, match="^astype: device is 'gpu'"):
        np.astype(t, np.float32, device="gpu")
    assert not np.shares_memory(np.reshape(t, (2, 1), copy=True).data, t.data)
    assert np.shares_memory(np.reshape(t, (2, 1), copy=False).data, t.data)
    with pytest.raises(ValueError, match="^reshape: Unable to avoid creating a copy"):
        np.reshape(tg.tensor(np.eye(2), requires_grad=True).T, 4, copy=False)
    assert np.broadcast_to(t, (3, 2), subok=True).shape == (3, 2)


def test_about_a_given_mean(rng: np.random.Generator) -> None:
    a = rng.normal(size=(3, 4))
    for f in (np.var, np.std, np.nanvar, np.nanstd):
        t = tg.tensor(a, requires_grad=True)
        plain = tg.gradients(f(t, axis=1).sum(), t)[0].data
        for mean in (a.mean(1, keepdims=True), tg.tensor(a.mean(1, keepdims=True)), t.mean(1, keepdims=True).detach()):
            out = f(t, axis=1, mean=mean)
            np.testing.assert_allclose(out.data, f(a, axis=1), rtol=1e-13)
            np.testing.assert_allclose(tg.gradients(out.sum(), t)[0].data, plain, rtol=1e-12)
        with pytest.raises(TypeError, match=r"argument 'mean' takes no gradient.*mean\.detach"):
            f(t, axis=1, mean=t.mean(1, keepdims=True))


def test_averages_over_a_list_of_axes(rng: np.random.Generator) -> None:
    a, w = rng.normal(size=(2, 3, 4)), rng.uniform(size=(2, 4))
    t = tg.tensor(a, requires_grad=True)
    np.testing.assert_allclose(np.average(t, axis=[0, 2]).data, np.average(a, axis=[0, 2]), rtol=1e-13)
    np.testing.assert_allclose(np.average(t, [0, 2], w).data, np.average(a, [0, 2], w), rtol=1e-13)
    np.testing.assert_array_equal(np.median(t, overwrite_input=True).data, np.median(a))
    np.testing.assert_array_equal(np.quantile(t, 0.3, 1, None, False, "lower", True).data,
                                  np.quantile(a, 0.3, 1, None, False, "lower", True))  # fmt: skip


@pytest.mark.filterwarnings("ignore:Arrays of 2-dimensional vectors")
@pytest.mark.parametrize("shapes", [((2,), (2,)), ((4, 2), (2,)), ((3,), (4, 2)), ((4, 2), (1, 3))])
def test_cross_products_in_the_plane(shapes: Any, rng: np.random.Generator) -> None:
    a, b = [rng.normal(size=shape) for shape in shapes]
    x, y = tg.tensor(a, requires_grad=True), tg.tensor(b, requires_grad=True)
    out = np.cross(x, y)
    np.testing.assert_array_equal(out.data, np.cross(a, b))
    g = rng.normal(size=out.shape)
    (d,) = tg.gradients(out, x, g)  # bilinear: the change along v is exact
    v = rng.normal(size=a.shape)
    np.testing.assert_allclose((d.data * v).sum(), (g * np.cross(v, b)).sum(), rtol=1e-12)
    with pytest.warns(DeprecationWarning, match="2-dimensional vectors"):
        np.cross(x, y)


def test_margins_of_tensors() -> None:
    t, c = tg.tensor([[1.0, 2.0]], requires_grad=True), tg.tensor(5.0, requires_grad=True)
    np.pad(t, 1, constant_values=c).sum().backward()
    assert_same(t.grad, [[1, 1]])
    assert_same(c.grad, 10)
    c = tg.tensor(5.0, requires_grad=True)
    out = np.pad(t, ((0, 0), (1, 2)), constant_values=((0, 0), (c, 7.0)))
    np.testing.assert_array_equal(out.data, [[5, 1, 2, 7, 7]])
    assert tg.gradients(out.sum(), c)[0].item() == 1.0
    with pytest.raises(TypeError, match=r"^pad: constant_values needs a gradient and array has dtype int64: convert"):
        np.pad(tg.tensor([1, 2]), 1, constant_values=c)


def test_pseudo_inverse_and_singular_values_of_one_triangle(rng: np.random.Generator) -> None:
    a = rng.normal(size=(3, 3))  # only the lower triangle is read
    t = tg.tensor(a, requires_grad=True)
    np.testing.assert_allclose(np.linalg.pinv(t, hermitian=True).data, np.linalg.pinv(a, hermitian=True), rtol=1e-10)
    for ours, theirs in zip(np.linalg.svd(t, hermitian=True), np.linalg.svd(a, hermitian=True), strict=True):
        np.testing.assert_allclose(ours.data, theirs, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(np.linalg.svd(t, compute_uv=False, hermitian=True).data,
                               np.linalg.svd(a, compute_uv=False, hermitian=True), rtol=1e-13)  # fmt: skip
    for f in (lambda t: np.linalg.pinv(t, hermitian=True).sum(), lambda t: np.linalg.svd(t, hermitian=True).S.sum()):
        assert tg.gradcheck(f, t)
        (d,) = tg.gradients(f(t), t)
        assert not np.triu(d.data, 1).any()

"""einsum: subscripts as strings and as lists, lengths of 1 that are broadcast, numbers among the operands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg


def leaf(value: Any) -> tg.Tensor:
    return tg.tensor(value, requires_grad=True)


def test_einsum_with_lists_of_numbers(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))
    stack = rng.normal(size=(5, 2, 3))
    for operands in (
        (a, [0, 1], b, [1, 2], [0, 2]), (a, [0, 1], b, [1, 2]), (a, (1, 0)), (a, [0, 1], [1]),
        (stack, [Ellipsis, 0, 1], b, [1, 2], [Ellipsis, 0, 2]),
    ):  # fmt: skip
        ours = [tg.tensor(item) if isinstance(item, np.ndarray) else item for item in operands]
        np.testing.assert_allclose(np.einsum(*ours).data, np.einsum(*operands), rtol=1e-13)
    x = leaf(a)
    np.einsum(x, [0, 1], b, [1, 2], [0, 2]).sum().backward()
    np.testing.assert_allclose(x.grad, np.broadcast_to(b.sum(axis=1), a.shape), rtol=1e-13)
    for wrong in ((), (leaf(a),), (leaf(a), 3), ([0, 1], leaf(a))):
        with pytest.raises(TypeError, match="einsum: the first argument must be a string of subscripts"):
            tg.einsum(*wrong)


@pytest.mark.parametrize("optimize", [False, True, "greedy", "optimal", ["einsum_path", (1, 2), (0, 1)]])
def test_einsum_optimize_changes_no_gradient(optimize: Any, rng: np.random.Generator) -> None:
    a, b, c = (leaf(rng.normal(size=shape)) for shape in ((2, 3), (3, 4), (4, 5)))
    out = np.einsum("ij,jk,kl->il", a, b, c, optimize=optimize)
    np.testing.assert_allclose(out.data, a.data @ b.data @ c.data, rtol=1e-12)
    found = tg.gradients(out.sum(), [a, b, c])
    expected = tg.gradients((a @ b @ c).sum(), [a, b, c])
    for d, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(d.data, other.data, rtol=1e-12)


def test_einsum_path_is_numpys() -> None:
    a, b, c = np.ones((2, 30)), np.ones((30, 4)), np.ones((4, 5))
    path, text = np.einsum_path("ij,jk,kl->il", leaf(a), b, c, optimize="optimal")
    assert path == np.einsum_path("ij,jk,kl->il", a, b, c, optimize="optimal")[0]
    assert "Complete contraction" in text
    assert np.einsum_path(leaf(a), [0, 1], b, [1, 2])[0] == np.einsum_path(a, [0, 1], b, [1, 2])[0]


@pytest.mark.parametrize("subscripts", [[0, 26], [26, 0], [25, 51], [51, 25], [3, 2], (30, 4)])
def test_axes_that_are_not_ordered_stand_by_their_numbers(subscripts: Any) -> None:
    """NumPy takes 0 to 25 for A to Z and 26 to 51 for a to z: the result has its axes in the order of the numbers."""
    x = np.arange(6.0).reshape(2, 3)
    out = np.einsum(leaf(x), subscripts)
    np.testing.assert_array_equal(out.data, np.einsum(x, subscripts), strict=True)


@pytest.mark.parametrize("entry", [-1, 52, True, 1.0, None, "a"])
def test_subscripts_that_numpy_refuses(entry: Any) -> None:
    x = np.ones((2, 2))
    with pytest.raises((TypeError, ValueError)) as numpys:
        np.einsum(x, [entry, 0])
    with pytest.raises(numpys.type, match=rf"^einsum: a list of subscripts has {entry!r}, expected integers from 0"):
        np.einsum(leaf(x), [entry, 0])


BROADCAST = [
    ("ij,j->i", (3, 4), (1,)), ("ij,j", (3, 1), (4,)), ("ij,jk->", (3, 1), (4, 2)), ("ii,i->", (3, 3), (1,)),
    ("ii,i->i", (1, 1), (3,)), ("ij,ij,j->i", (3, 1), (1, 4), (1,)), ("...i,i->...", (2, 1, 3), (1,)),
    ("...ij,...j->...i", (2, 1, 3), (1,)), ("i,i->", (0,), (1,)), ("ij,->ij", (2, 3), ()), (",", (), ()),
]  # fmt: skip


@pytest.mark.parametrize("optimize", [None, False, True])
@pytest.mark.parametrize(("subscripts", "shapes"), [(first, rest) for first, *rest in BROADCAST])
def test_lengths_of_1_are_broadcast_also_where_they_are_summed(
    subscripts: str, shapes: Any, optimize: Any, rng: np.random.Generator
) -> None:
    """The sum is linear in each operand, so its gradient along a direction is the sum with that in its place."""
    arrays = [rng.normal(size=shape) for shape in shapes]
    options = {} if optimize is None else {"optimize": optimize}
    expected = np.asarray(np.einsum(subscripts, *arrays, **options))
    g = rng.normal(size=expected.shape)
    for create_graph in (False, True):
        leaves = [leaf(array) for array in arrays]
        out = np.einsum(subscripts, *leaves, **options)
        np.testing.assert_allclose(out.data, expected, rtol=1e-12, strict=True)
        for n, d in enumerate(tg.gradients(out, leaves, g, create_graph=create_graph)):
            v = rng.normal(size=arrays[n].shape)
            moved = np.einsum(subscripts, *[*arrays[:n], v, *arrays[n + 1 :]], **options)
            np.testing.assert_allclose(np.sum(d.data * v), np.sum(g * moved), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_are_operands_of_no_axes(dtype: Any) -> None:
    x, y = leaf(np.ones((2, 3), dtype)), leaf(np.arange(3, dtype=dtype))
    out = np.einsum("ij,,j->ij", x, 2.5, y)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out.data, np.einsum("ij,,j->ij", x.data, 2.5, y.data))
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, np.broadcast_to(2.5 * y.data, (2, 3)))
    np.testing.assert_array_equal(y.grad, np.full(3, 5.0))
    x.grad = None
    np.einsum("ij,,j->ij", x, True, [0.0, 1.0, 2.0]).sum().backward()
    np.testing.assert_array_equal(x.grad, np.broadcast_to(y.data, (2, 3)))

"""Picking and order: NumPy's values, what ties and edges do, constants, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.engine.dispatch import functions
from tinygrad_fc.engine.tensor import Tensor

inf, nan = math.inf, math.nan


def leaf(a: Any, dtype: Any = float) -> Tensor:
    return tg.tensor(np.array(a, dtype=dtype), requires_grad=True)


def gradient(f: Callable[[Tensor], Tensor], a: Any, g: Any) -> tuple[list[Any], list[Any]]:
    """Return the values of f at `a` and the gradient, as lists."""
    t = leaf(a)
    out = f(t)
    out.backward(np.array(g, dtype=float))
    assert t.grad is not None
    return out.tolist(), t.grad.tolist()


# ---- sort and partition


def test_sort_of_ties_gives_each_its_own_place() -> None:
    assert gradient(np.sort, [2.0, 1.0, 2.0, 1.0], [1, 2, 3, 4]) == ([1, 1, 2, 2], [3, 1, 4, 2])
    assert gradient(np.sort, [0.0, -0.0, 0.0], [1, 2, 3]) == ([0, 0, 0], [1, 2, 3])
    for kind in ("quicksort", "heapsort", "stable"):  # every kind is a stable one
        n = 200
        _, d = gradient(lambda t, kind=kind: np.sort(t, kind=kind), np.arange(n) % 2, np.arange(n))
        assert d == [k // 2 + (k % 2) * n // 2 for k in range(n)]


def test_sort_puts_nan_last_and_infinities_at_the_ends() -> None:
    out, d = gradient(np.sort, [nan, inf, 1.0, -inf], [1, 2, 3, 4])
    assert out[:3] == [-inf, 1.0, inf]
    assert math.isnan(out[3])
    assert d == [4, 3, 2, 1]


def test_sort_of_little() -> None:
    assert gradient(np.sort, [], []) == ([], [])
    assert gradient(np.sort, [5.0], [3.0]) == ([5.0], [3.0])
    assert gradient(lambda t: np.sort(t, axis=0), [[5.0, 1.0]], [[3.0, 4.0]]) == ([[5.0, 1.0]], [[3.0, 4.0]])
    assert gradient(lambda t: np.sort(t, axis=None), [[5.0], [1.0]], [3.0, 4.0]) == ([1.0, 5.0], [[4.0], [3.0]])
    with pytest.raises(np.exceptions.AxisError):
        np.sort(leaf(1.0))
    with pytest.raises(np.exceptions.AxisError):
        np.sort(leaf([1.0]), axis=1)


def test_a_quantity_of_order_statistics() -> None:
    """The trimmed mean: its gradient is shared by what is left, and its second derivative by its square."""
    t = leaf([5.0, -1.0, 3.0, 100.0, 2.0])
    loss = np.square(np.mean(np.sort(t)[1:-1]))
    (d,) = tg.gradients(loss, t, create_graph=True)
    kept = np.array([1.0, 0, 1, 0, 1])
    np.testing.assert_allclose(d.data, 2 * (10 / 3) / 3 * kept)
    np.testing.assert_allclose(tg.gradients(d.sum(), t)[0].data, 2 / 3 * kept)


def test_partition_partitions(rng: np.random.Generator) -> None:
    a = rng.normal(size=(3, 20))
    for kth in (0, -1, 7, [3, 12], tg.tensor([5, 6])):
        t = leaf(a)
        out, bounds = np.partition(t, kth), np.atleast_1d(np.asarray(kth)) % 20
        for row, full in zip(out.data, np.sort(a), strict=True):
            np.testing.assert_array_equal(np.sort(row), full)
            for k in bounds:
                assert row[k] == full[k]
                assert row[:k].max(initial=-inf) <= row[k] <= row[k:].min()
        g = rng.normal(size=a.shape)
        out.backward(g)
        for row, grad, values, up in zip(out.data, t.grad, a, g, strict=True):
            assert {(v, u) for v, u in zip(row, up, strict=True)} == {(v, d) for v, d in zip(values, grad, strict=True)}
    with pytest.raises(ValueError, match="kth"):
        np.partition(leaf([1.0]), 3)


def test_orders_are_constants_that_index(rng: np.random.Generator) -> None:
    a = rng.permutation(12).reshape(3, 4) * 1.0
    t = leaf(a)
    order = np.argsort(t)
    assert not order.requires_grad
    np.testing.assert_array_equal(np.take_along_axis(t, order, axis=1).data, np.sort(a))
    np.testing.assert_array_equal(np.argsort(t, axis=None, kind="stable").data, np.argsort(a, axis=None))
    halves = np.take_along_axis(t, np.argpartition(t, 1, axis=0), axis=0)
    np.testing.assert_array_equal(halves.data, np.sort(a, axis=0))  # of three, the middle one settles the others
    last = np.lexsort((t[0], np.zeros(4)))
    assert (last.requires_grad, last.tolist()) == (False, np.argsort(a[0]).tolist())
    assert functions.lexsort([t[1], t[0] * 0.0]).tolist() == np.argsort(a[1]).tolist()
    np.testing.assert_array_equal(np.lexsort(t).data, np.lexsort(a))


# ---- take, compress, extract, put_along_axis


def test_take_counts_each_time_that_an_element_is_taken() -> None:
    assert gradient(lambda t: np.take(t, [0, 0, -1]), [1.0, 2, 3], [1, 2, 4]) == ([1, 1, 3], [3, 0, 4])
    assert gradient(lambda t: np.take(t, [-1, 7], mode="clip"), [1.0, 2, 3], [1, 2]) == ([1, 3], [1, 0, 2])
    assert gradient(lambda t: np.take(t, [-1, 7], mode="wrap"), [1.0, 2, 3], [1, 2]) == ([3, 2], [0, 2, 1])
    assert gradient(lambda t: np.take(t, 1, axis=1), [[1.0, 2], [3, 4]], [5, 6]) == ([2, 4], [[0, 5], [0, 6]])
    assert gradient(lambda t: np.take(t, []), [1.0], []) == ([], [0.0])
    assert gradient(lambda t: np.take(t, np.zeros((2, 0), int)), [], [[], []]) == ([[], []], [])
    assert gradient(lambda t: np.take(t, tg.tensor(0)), 7.0, 2.0) == (7.0, 2.0)


def test_take_refuses() -> None:
    t = leaf([[1.0, 2.0, 3.0]])
    for error, words, call in (
        (IndexError, "index 3 is out of bounds for axis 1 with size 3", lambda: np.take(t, [3], axis=1)),
        (IndexError, "take: indices has dtype float64, expected integers", lambda: np.take(t, [0.0])),
        (IndexError, "take: indices has dtype bool", lambda: np.take(t, [True, False, True], axis=1)),
        (IndexError, r"take: axis 0 of \(0, 2\) is empty", lambda: np.take(leaf(np.ones((0, 2))), [0], 0, mode="wrap")),
        (ValueError, "take: mode is 'none', expected 'raise', 'wrap' or 'clip'", lambda: np.take(t, 0, mode="none")),
        (np.exceptions.AxisError, "axis 2", lambda: np.take(t, 0, axis=2)),
        (TypeError, "take: out= is not supported", lambda: functions.take(t, 0, out=np.ones(()))),
        (TypeError, "needs a gradient, so it holds floats", lambda: np.take(t, leaf([0.0]))),
    ):
        with pytest.raises(error, match=words):
            call()


def test_compress_and_extract() -> None:
    a = [[1.0, 2, 3], [4, 5, 6]]
    assert gradient(lambda t: np.compress([0, 1, 1], t, axis=1), a, [[1, 2], [3, 4]]) == (
        [[2, 3], [5, 6]], [[0, 1, 2], [0, 3, 4]],
    )  # fmt: skip
    assert gradient(lambda t: np.compress(tg.tensor([True]), t, axis=0), a, [[1, 2, 3]])[1] == [[1, 2, 3], [0, 0, 0]]
    assert gradient(lambda t: np.compress([False, True], t), a, [7]) == ([2], [[0, 7, 0], [0, 0, 0]])
    assert gradient(lambda t: np.extract(t > 4, t), a, [1, 2]) == ([5, 6], [[0, 0, 0], [0, 1, 2]])
    assert gradient(lambda t: np.extract(t > 9, t), a, []) == ([], [[0, 0, 0], [0, 0, 0]])
    t = leaf(a)
    with pytest.raises(ValueError, match=r"compress: condition has shape \(\), expected one axis"):
        np.compress(True, t)
    with pytest.raises(IndexError, match="out of bounds"):
        np.compress([0, 0, 1], t, axis=0)
    with pytest.raises(TypeError, match="compress: out= is not supported"):
        np.compress([1], t, out=np.ones(1))
    for f in (np.compress, np.extract):
        with pytest.raises(TypeError, match=f"{f.__name__}: argument 'condition' takes no gradient, but tensor"):
            f(t[0], t[1])


def test_put_along_axis_returns_a_new_tensor(rng: np.random.Generator) -> None:
    a, v = rng.normal(size=(3, 4)), rng.normal(size=(3, 2))
    for axis, index, values in ((1, rng.permuted([[0, 1, 2, 3]] * 3, axis=1)[:, :2], v), (0, [[2, 0, 2, 1]], 5.0),
                                (None, [0, -1, 7], v[:, 0]), (-1, [[0], [3], [1]], v[:, :1])):  # fmt: skip
        expected = a.copy()
        np.put_along_axis(expected, np.array(index), values, axis)
        t, u = leaf(a), leaf(values)
        out = functions.put_along_axis(t, index, u, axis)
        np.testing.assert_array_equal(out.data, expected, strict=True)
        np.testing.assert_array_equal(t.data, a)
        g = rng.normal(size=a.shape)
        out.backward(g)
        blocked = g.copy()
        np.put_along_axis(blocked, np.array(index), 0.0, axis)
        np.testing.assert_array_equal(t.grad, blocked)
        up = np.take_along_axis(g, np.array(index), axis)
        np.testing.assert_allclose(u.grad, up.sum() if u.ndim == 0 else up)
        np.testing.assert_array_equal(functions.put_along_axis(a, index, u, axis).data, expected)


def test_along_an_axis_copies_its_indices() -> None:
    """What the owner of an index array does after the call changes no gradient."""
    for f in (lambda t, i: np.take_along_axis(t, i, axis=0), np.take):
        t, index = leaf([1.0, 2.0, 3.0]), np.array([0, 1])
        out = f(t, index)
        index[:] = 2
        out.backward(np.array([5.0, 7.0]))
        np.testing.assert_array_equal(t.grad, [5.0, 7.0, 0.0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: np.put_along_axis(t, np.array([0]), 1.0, 0), r"np\.put_along_axis writes .* use tg\.put_along_axis"),
        (lambda t: np.put_along_axis(np.ones(2), np.array([0]), t[:1], 0), r"use tg\.put_along_axis\(t, indices"),
        (lambda t: np.put(t, [0], 1.0), r"np\.put writes in place, .* t\.ravel\(\)\.at\[i\]\.set"),
        (lambda t: np.place(t, t > 0, 1.0), r"np\.place writes in place, .* use np\.where\(mask, v, t\)"),
        (lambda t: np.putmask(t, t > 0, 1.0), r"np\.putmask writes in place, .* t\.at\[mask\]\.set\(v\)"),
        (lambda t: np.copyto(np.ones(2), t), r"np\.copyto writes in place"),
        (lambda t: np.fill_diagonal(t, 1.0), r"np\.fill_diagonal writes in place, .* t\.at\[np\.arange\(n\)"),
    ],
)
def test_what_writes_in_place_is_refused_and_names_the_way_out(call: Callable[[Tensor], Any], words: str) -> None:
    t = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match=words):
        call(t)
    np.testing.assert_array_equal(t.data, [1.0, 2.0])


# ---- searching and counting


def test_unique_gives_its_gradient_to_the_first_of_equals() -> None:
    assert gradient(np.unique, [2.0, 1.0, 2.0, 1.0], [5, 7]) == ([1, 2], [7, 5, 0, 0])
    assert gradient(lambda t: np.unique(t, axis=0), [[2.0, 1], [0, 1], [2, 1]], [[1, 2], [3, 4]]) == (
        [[0, 1], [2, 1]], [[3, 4], [1, 2], [0, 0]],
    )  # fmt: skip
    assert gradient(np.unique, [], []) == ([], [])
    out, d = gradient(np.unique, [nan, 1.0, nan], [1, 2])
    assert (out[0], math.isnan(out[1]), d) == (1.0, True, [2, 1, 0])
    assert len(np.unique(leaf([nan, nan]), equal_nan=False)) == 2


def test_unique_returns_what_is_asked_for(rng: np.random.Generator) -> None:
    a = rng.integers(0, 3, (4, 2)) * 1.0
    for axis in (None, 0, 1):
        for flags in np.ndindex(2, 2, 2):
            theirs, ours = np.unique(a, *map(bool, flags), axis), np.unique(leaf(a), *map(bool, flags), axis)
            assert isinstance(ours, tuple) == isinstance(theirs, tuple) == any(flags)
            theirs, ours = (theirs, ours) if any(flags) else ((theirs,), (ours,))
            for expected, out in zip(theirs, ours, strict=True):
                np.testing.assert_array_equal(out.data, expected, strict=True)
            assert [out.requires_grad for out in ours] == [True] + [False] * sum(flags)


def test_places_are_constants_that_index() -> None:
    a = np.array([[0.0, 1.5], [2.0, 0.0]])
    t = leaf(a)
    for f in (np.nonzero, np.where):
        places = f(t)
        assert isinstance(places, tuple)
        assert [out.tolist() for out in places] == [[0, 1], [1, 0]]
        assert not any(out.requires_grad for out in places)
        np.testing.assert_array_equal(t[places].data, [1.5, 2.0])
        np.testing.assert_array_equal(a[places], [1.5, 2.0])
    assert np.argwhere(t).tolist() == [[0, 1], [1, 0]]
    assert np.flatnonzero(t).tolist() == [1, 2]
    assert np.unravel_index(t.argmax(), t.shape) == (1, 0)
    assert np.ravel_multi_index(np.nonzero(t), t.shape).tolist() == [1, 2]
    np.testing.assert_array_equal(t[np.ix_(tg.tensor([1, 0]), tg.tensor([True, False]))].data, [[2.0], [0.0]])
    with pytest.raises(ValueError, match="0d"):
        np.nonzero(leaf(1.0))


def test_where_takes_one_argument_or_three() -> None:
    t = leaf([1.0, -2.0, 3.0])
    assert np.where(t > 0)[0].tolist() == [0, 2]
    with pytest.raises(ValueError, match="where: given one of x and y, expected both"):
        np.where(t > 0, t)
    for condition in (np.array([[True, False, True], [False, False, True]]), np.array([True, False, True]), True):
        u = leaf(0.5)
        out = np.where(condition, t, u)
        np.testing.assert_array_equal(out.data, np.where(condition, t.data, 0.5), strict=True)
        dt, du = tg.gradients(out, [t, u], np.ones(out.shape))
        assert dt.data.tolist() == (np.ones(3) * condition).reshape(-1, 3).sum(axis=0).tolist()
        assert du.item() == out.size - dt.data.sum()


def test_searching_takes_tensors_on_either_side() -> None:
    steps, at = np.array([0.0, 1.0, 1.0, 2.0]), np.array([-1.0, 1.0, 5.0, nan])
    for a in (steps, leaf(steps)):
        for v in (at, leaf(at)):
            for side in ("left", "right"):
                found = np.searchsorted(a, v, side)
                np.testing.assert_array_equal(np.asarray(found), np.searchsorted(steps, at, side))
            np.testing.assert_array_equal(np.asarray(np.digitize(v, a)), np.digitize(at, steps))
    assert not np.searchsorted(leaf(steps), leaf(at)).requires_grad
    with pytest.raises(ValueError, match="monotonic"):
        np.digitize(leaf([1.0]), np.array([1.0, 3.0, 2.0]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: np.sort(t, order="x"), "sort: order= is not supported on tensors"),
        (lambda t: np.partition(t, 0, order="x"), "partition: order= is not supported on tensors"),
        (lambda t: functions.sort(t, reverse=True), "reverse"),
        (lambda t: functions.argsort(t, descending=True), "descending"),
        (lambda t: functions.unique(t, sort=True), "sort"),
        (lambda t: functions.searchsorted(t, t, out=np.zeros(1)), "searchsorted: keyword 'out' is not supported"),
        (lambda t: functions.take(t, 0, axes=1), "axes"),
    ],
)
def test_unknown_keywords_are_named(call: Callable[[Tensor], Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call(leaf([1.0, 2.0]))


def test_a_wrong_kind_of_sort_raises() -> None:
    with pytest.raises(ValueError, match="kind"):
        np.sort(leaf([1.0, 2.0]), kind="bogo")
    with pytest.raises(ValueError, match="kind"):
        np.sort(leaf([1.0, 2.0]), kind="stable", stable=True)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_stay(dtype: Any) -> None:
    for f in (
        np.sort, lambda t: np.partition(t, 1), np.unique, lambda t: np.take(t, [0, 0]), lambda t: t.at[[0, 0]].max(2.5),
        lambda t: t.at[[0, 0]].multiply(1.5), lambda t: functions.put_along_axis(t, [1], np.ones(1), 0),
    ):  # fmt: skip
        t = leaf([3.0, 1.0, 2.0], dtype)
        out = f(t)
        (d,) = tg.gradients(out.sum(), t, create_graph=True)
        assert (out.dtype, d.dtype) == (dtype, dtype)

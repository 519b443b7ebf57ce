"""Indexing: every form of NumPy's against NumPy, reading and writing, tensors in the key, and wrong keys refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from registry_cases import differences

import tinygrad_fc as tg

KEYS: dict[str, Any] = {
    "integer": 1,
    "negative": -1,
    "numpy integer": np.int32(2),
    "two integers": (1, -2),
    "every axis": (0, 1, 1),
    "slice": slice(1, None),
    "stepped": slice(None, None, 2),
    "reversed": slice(None, None, -1),
    "empty slice": slice(2, 2),
    "beyond the end": slice(1, 100),
    "ellipsis": Ellipsis,
    "ellipsis first": (..., 0),
    "ellipsis between": (0, ..., 1),
    "none": None,
    "new axes": (None, 0, None, slice(None), None),
    "nothing": (),
    "list": [0, 2, 0],
    "empty list": [],
    "nested empty list": [[]],
    "nested list": [[0, 1], [2, 2]],
    "boolean list": [True, False, True],
    "integer array": np.array([2, 0, 2, -1]),
    "table of integers": np.array([[0, 1], [2, 0]]),
    "0-d integer array": np.array(1),
    "unsigned": np.array([0, 2], dtype=np.uint8),
    "mask of an axis": np.array([True, False, True]),
    "mask of two axes": np.arange(12).reshape(3, 4) % 3 == 0,
    "mask of all axes": np.arange(24).reshape(3, 4, 2) % 5 == 0,
    "mask of nothing": np.zeros((3, 4, 2), bool),
    "true": True,
    "false": False,
    "numpy true": np.True_,
    "0-d mask": np.array(True),
    "paired": (np.array([0, 2, 0]), np.array([1, 1, 1])),
    "paired apart": (np.array([0, 2, 0]), slice(None), np.array([1, 0, 1])),
    "crossed": (np.array([[0], [2]]), np.array([1, 3, 1])),
    "np.ix_": np.ix_([0, 2], [3, 1], [1]),
    "array and integer": (np.array([0, 0]), 1),
    "array and slice": (slice(None), np.array([1, 1, 3])),
    "array and new axis": (None, np.array([0, 0]), None),
    "mask and integer": (np.array([True, False, True]), 2),
    "mask and array": (np.array([True, False, True]), np.array([1, 1])),
    "mask behind": (slice(None), np.array([True, False, True, True])),
    "two masks": (np.array([True, False, True]), np.array([True, False, False, True])),
    "list in a tuple": (slice(None), [1, 1]),
    "range": range(2),
}


def grad_of_read(a: np.ndarray, key: Any, g: np.ndarray) -> np.ndarray:
    """Return the transpose of reading, one element at a time."""
    out = np.zeros_like(a)
    at = np.arange(a.size).reshape(a.shape)[key]
    for where, value in zip(np.ravel(at), np.ravel(g), strict=True):
        out.flat[where] += value
    return out


def check_reading(a: np.ndarray, key: Any, rng: np.random.Generator, theirs: Any = None) -> None:
    """Compare ``t[key]`` with ``a[theirs]``, value and gradient, and the gradient's own, which reads again."""
    theirs = key if theirs is None else theirs
    expected = np.asarray(a[theirs])
    t = tg.tensor(a, requires_grad=True)
    out = t[key]
    np.testing.assert_array_equal(out.data, expected, strict=True)
    g = tg.tensor(rng.normal(size=expected.shape), requires_grad=True)
    (d,) = tg.gradients(out, t, g, create_graph=True)
    np.testing.assert_allclose(d.data, grad_of_read(a, theirs, g.data), rtol=1e-14, strict=True)
    out.backward(g.data)
    np.testing.assert_allclose(t.grad, d.data, rtol=1e-14)
    weights = rng.normal(size=a.shape)
    (back,) = tg.gradients(d, g, weights)
    np.testing.assert_allclose(back.data, np.asarray(weights[theirs]), strict=True)


@pytest.mark.parametrize("name", KEYS)
def test_reading(name: str, rng: np.random.Generator) -> None:
    check_reading(rng.normal(size=(3, 4, 2)), KEYS[name], rng)


def test_reading_0d(rng: np.random.Generator) -> None:
    for key in ((), ..., None, (None, None), True, False, np.array(True)):
        check_reading(np.array(1.5), key, rng)


@pytest.mark.parametrize("name", KEYS)
def test_writing(name: str, rng: np.random.Generator) -> None:
    key, a = KEYS[name], rng.normal(size=(3, 4, 2))
    shape = np.asarray(a[key]).shape
    shapes = {shape, (), shape[1:], (1, *shape[1:]) if shape else ()}
    for values_shape in shapes:
        v = rng.normal(size=values_shape)
        written, added = a.copy(), a.copy()
        written[key] = v
        np.add.at(added, key, v)
        at = np.arange(a.size).reshape(a.shape)[key]
        last = {int(where): n for n, where in enumerate(np.ravel(at))}  # what is written twice keeps the last value
        for f, expected in (("set", written), ("add", added)):
            t, u = tg.tensor(a, requires_grad=True), tg.tensor(v, requires_grad=True)
            out = getattr(t.at[key], f)(u)
            np.testing.assert_allclose(out.data, expected, rtol=1e-14, strict=True)
            np.testing.assert_array_equal(t.data, a)
            g = rng.normal(size=a.shape)
            out.backward(g)
            kept, read = g.copy(), np.ravel(g[key]).copy()
            if f == "set":
                kept.flat[list(last)] = 0.0
                read[[n for n in range(read.size) if n not in last.values()]] = 0.0
            np.testing.assert_array_equal(t.grad, kept, strict=True)
            whole = read.reshape(shape)
            while whole.ndim > v.ndim:
                whole = whole.sum(axis=0)
            stretched = tuple(n for n in range(v.ndim) if v.shape[n] == 1 and whole.shape[n] != 1)
            np.testing.assert_allclose(
                u.grad, whole.sum(axis=stretched, keepdims=True), rtol=1e-13, atol=1e-15, strict=True
            )


COMBINE = {"multiply": np.multiply, "max": np.maximum, "min": np.minimum}


@pytest.mark.parametrize("method", COMBINE)
@pytest.mark.parametrize("name", KEYS)
def test_combining(name: str, method: str, rng: np.random.Generator) -> None:
    """``np.multiply.at`` and so on, and gradients against numbers: elements and values stand clear of each other."""
    key = KEYS[name]
    shape = np.empty((3, 4, 2))[key].shape
    for values_shape in {shape, shape[-1:]}:
        size = int(np.prod(values_shape))
        grid = rng.permutation(24 + size) * 0.06 - 0.9
        a, v = grid[:24].reshape(3, 4, 2), grid[24:].reshape(values_shape)

        def combined(a: np.ndarray, v: np.ndarray) -> np.ndarray:
            out = a.copy()
            COMBINE[method].at(out, key, v)
            return out

        t, u = tg.tensor(a, requires_grad=True), tg.tensor(v, requires_grad=True)
        out = getattr(t.at[key], method)(u)
        np.testing.assert_array_equal(out.data, combined(a, v), strict=True)
        np.testing.assert_array_equal(t.data, a)
        g = rng.normal(size=a.shape)
        out.backward(g)
        for n, found in enumerate((t.grad, u.grad)):
            expected = differences(lambda both, g=g, f=combined: np.sum(g * f(*both)), [a, v], n)
            np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9, strict=True)


def both_gradients(method: str, a: Any, key: Any, v: Any, g: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the result of writing, and the gradients of the array and of the values, as lists."""
    t, u = tg.tensor(np.array(a, float), requires_grad=True), tg.tensor(np.array(v, float), requires_grad=True)
    with np.errstate(all="ignore"):
        out = getattr(t.at[key], method)(u)
        out.backward(np.array(g, float))
    assert t.grad is not None
    assert u.grad is not None
    return out.tolist(), t.grad.tolist(), u.grad.tolist()


def test_extremes_share_ties_with_all_that_attain_them() -> None:
    assert both_gradients("max", [1, 5], [0, 0, 0], [1, 1, 0], [6, 7]) == ([1, 5], [2, 7], [2, 2, 0])
    assert both_gradients("min", [1, 5], [0, 0, 1], [1, 2, 3], [6, 7]) == ([1, 3], [3, 0], [3, 0, 7])
    assert both_gradients("max", [0.0], 0, -0.0, [4]) == ([0], [2], 2)
    assert both_gradients("max", [1, 2, 3], np.array([True, False, True]), 3.0, [4, 5, 6]) == ([3, 2, 3], [0, 5, 3], 7)
    inf, nan = np.inf, np.nan
    assert both_gradients("max", [inf, -inf], slice(None), inf, [4, 6]) == ([inf, inf], [2, 0], 8)
    out, d, u = both_gradients("max", [nan, 1, 1], [0, 1], [2, nan], [4, 6, 8])  # a NaN attains its place
    assert (np.isnan(out).tolist(), d, u) == ([True, True, False], [4, 0, 8], [0, 6])
    out, d, u = both_gradients("min", [nan], [0, 0, 0], [1, nan, nan], [6])
    assert (d, u) == ([2], [0, 2, 2])


def test_an_extreme_of_another_precision_is_compared_as_it_was_written() -> None:
    t = tg.tensor(np.zeros(2, np.float32), requires_grad=True)
    u = tg.tensor(np.array([0.1, 0.1]), requires_grad=True)  # not the float32 that is written, but what it came from
    out = t.at[[0, 0]].max(u)
    out.backward(np.array([2.0, 3.0], np.float32))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(t.grad, np.array([0.0, 3.0], np.float32), strict=True)
    np.testing.assert_array_equal(u.grad, [1.0, 1.0], strict=True)


def test_products_with_zeros() -> None:
    """The gradient is the product of the others: nothing is divided by."""
    key = [0, 0, 0, 1, 1]
    assert both_gradients("multiply", [2, 3], key, [0, 5, 7, 0, 0], [1, 10]) == ([0, 0], [0, 0], [70, 0, 0, 0, 0])
    assert both_gradients("multiply", [0, 3], key, [2, 5, 7, 4, 6], [1, 1]) == ([0, 72], [70, 24], [0] * 3 + [18, 12])
    out, d, u = both_gradients("multiply", [1e-300], [0, 0], [1e200, 1e200], [1])  # in the order of NumPy
    assert (out, u) == ([1e100], [1e-100, 1e-100])
    assert d == [np.inf]


def test_second_order_of_combining() -> None:
    t = tg.tensor([2.0, 3.0], requires_grad=True)
    u = tg.tensor([5.0, 0.0, 7.0], requires_grad=True)
    (d,) = tg.gradients(t.at[[0, 0, 0]].multiply(u)[0], u, create_graph=True)  # t0 times the product of the others
    np.testing.assert_array_equal(d.data, [0.0, 70.0, 0.0])
    np.testing.assert_array_equal(tg.gradients(d[0], u, retain_graph=True)[0].data, [0.0, 14.0, 0.0])
    np.testing.assert_array_equal(tg.gradients(d[1], t, create_graph=True)[0].data, [35.0, 0.0])
    (e,) = tg.gradients(np.square(t.at[[0, 0, 0]].max(u)).sum(), u, create_graph=True)
    np.testing.assert_array_equal(e.data, [0.0, 0.0, 14.0])
    np.testing.assert_array_equal(tg.gradients(e.sum(), u)[0].data, [0.0, 0.0, 2.0])


def test_integers_refuse_fractions() -> None:
    """As ``array[key] += 1.5`` does; ``np.add.at(array, key, 1.5)`` drops the fraction in silence."""
    t = tg.tensor([1, 2])
    for method in ("add", *COMBINE):
        for key in (0, [0, 0], slice(None), np.array([True, False])):
            for values in (1.5, np.array(1.5), tg.tensor(1.5)):
                with pytest.raises(TypeError, match=rf"index_{method}: .* cannot become int64 without loss"):
                    getattr(t.at[key], method)(values)
    assert t.at[[0, 0, 1]].multiply(3).tolist() == [9, 6]
    assert t.at[[0, 0, 1]].max(tg.tensor([0, 5, 1])).tolist() == [5, 2]


def test_writing_needs_an_index() -> None:
    t = tg.tensor([1.0, 2.0], requires_grad=True)
    for method in ("set", "add", *COMBINE):
        with pytest.raises(TypeError, match=rf"at\.{method}: no index is given.* Right: t\.at\[i\]\.{method}\(v\)"):
            getattr(t.at, method)(1.0)


def test_what_happens_to_a_key_afterwards_changes_nothing() -> None:
    index, bound = np.array([0, 1]), np.array(1)
    t = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    out = t[index].sum() + t[bound:].sum() + t.at[index].multiply(2.0).sum() + t[: tg.tensor(1)].sum()
    index[:], bound[...] = 2, 2
    out.backward()
    np.testing.assert_array_equal(t.grad, [4.0, 4.0, 2.0])


def test_writing_takes_values_with_leading_ones(rng: np.random.Generator) -> None:
    a, v = rng.normal(size=(3, 4)), rng.normal(size=(1, 4))
    t, u = tg.tensor(a, requires_grad=True), tg.tensor(v, requires_grad=True)
    out = t.at[1].set(u)
    a[1] = v
    np.testing.assert_array_equal(out.data, a)
    out.backward(np.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal(u.grad, [[4.0, 5, 6, 7]])


def test_writing_keeps_the_dtype() -> None:
    t = tg.tensor(np.ones(3, np.float32), requires_grad=True)
    u = tg.tensor(np.ones(()), requires_grad=True)
    for out in (t.at[0].set(u), t.at[0].add(u), t.at[0].set(2.0), t.at[[0, 0]].add(1)):
        assert out.dtype == np.float32
    (t.at[0].set(u) * 2.0).sum().backward()
    assert (t.grad.dtype, u.grad.dtype) == (np.float32, np.float64)


def test_second_order_of_writing(rng: np.random.Generator) -> None:
    """(a with v written in) squared: the second derivative is 2 wherever the value survives."""
    t, u = tg.tensor(rng.normal(size=4), requires_grad=True), tg.tensor(rng.normal(size=3), requires_grad=True)
    for f, at_t, at_u in (("set", [0, 2, 0, 2], [0, 2, 2]), ("add", [2, 2, 2, 2], None)):
        key = np.array([0, 0, 2])
        out = getattr(t.at[key], f)(u)
        dt, du = tg.gradients((out * out).sum(), [t, u], create_graph=True)
        np.testing.assert_allclose(tg.gradients(dt.sum(), t, retain_graph=True)[0].data, at_t)
        second = tg.gradients(du.sum(), u)[0].data
        if at_u is not None:
            np.testing.assert_allclose(second, at_u)
        else:
            np.testing.assert_allclose(second, [4, 4, 2])  # both additions to element 0 move both of its gradients


def test_tensors_in_the_key(rng: np.random.Generator) -> None:
    a = rng.normal(size=(3, 4))
    for key in (np.array([0, 2, 0]), np.array(1), a > 0, np.array([True, False, True])):
        check_reading(a, tg.tensor(key), rng, theirs=key)
    rows, columns = np.array([0, 2]), np.array([1, 1])
    check_reading(a, (tg.tensor(rows), tg.tensor(columns)), rng, theirs=(rows, columns))
    check_reading(a, (slice(None), tg.tensor(columns)), rng, theirs=(slice(None), columns))
    t = tg.tensor(a, requires_grad=True)
    positive = t[t > 0]  # a comparison of a tensor that needs a gradient is a mask like any other
    np.testing.assert_array_equal(positive.data, a[a > 0])
    largest = t[np.arange(3), t.argmax(axis=1)]
    np.testing.assert_array_equal(largest.data, a.max(axis=1))
    np.testing.assert_array_equal(a[tg.tensor(rows)], a[rows])
    np.testing.assert_array_equal(t.at[tg.tensor(rows)].set(0.0).data[rows], np.zeros((2, 4)))


def test_a_key_that_needs_a_gradient_is_refused() -> None:
    t = tg.tensor([1.0, 2.0], requires_grad=True)
    for key in (t, (t,), (slice(None), t), [t[0], t[0]], t[0]):
        for use in (lambda key=key: t[key], lambda key=key: t.at[key].set(0.0)):
            with pytest.raises(TypeError, match=r"needs a gradient, so it holds floats, and no index does: .*t > 0"):
                use()
    for refused in (lambda: np.arange(3)[t], lambda: [1, 2][t[0]], lambda: t[t[0] :]):
        with pytest.raises(TypeError):
            refused()


@pytest.mark.parametrize(
    ("key", "error"),
    [(3, IndexError), ((0, 0, 0, 0), IndexError), (1.0, IndexError), ("a", IndexError), ([0.5], IndexError),
                       (np.array([True, False]), IndexError), ((..., ...), IndexError), (np.array([0, 5]), IndexError)],
)  # fmt: skip
def test_wrong_keys_raise_as_in_numpy_and_name_the_operation(key: Any, error: type[Exception]) -> None:
    t = tg.tensor(np.ones((3, 4, 2)), requires_grad=True)
    with pytest.raises(error):
        t.data[key]
    with pytest.raises(error, match=r"getitem: .*\(3, 4, 2\)"):
        t[key]
    with pytest.raises(error, match=r"index_set: .*\(3, 4, 2\)"):
        t.at[key].set(1.0)


def test_values_that_do_not_fit_raise() -> None:
    t = tg.tensor(np.ones((3, 4)), requires_grad=True)
    for f in (t.at[0].set, t.at[0].add, t.at[0].multiply, t.at[[0]].max, t.at[0].min):
        with pytest.raises(ValueError, match=r"index_(set|add|multiply|max|min): .*\(3, 4\).*\(3,\)"):
            f(np.ones(3))


# ---- any key at all

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)


@st.composite
def arrays_and_keys(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    shape = draw(SHAPES)
    kind = draw(st.sampled_from(["basic", "integers", "mask", "mixed"]))
    if kind == "basic":
        return shape, draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    if kind == "mask":
        return shape, draw(hnp.arrays(bool, shape[: draw(st.integers(1, len(shape)))]))
    if kind == "integers":
        return shape, draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4)))
    common = draw(hnp.array_shapes(max_dims=2, max_side=3))
    key: list[Any] = []
    for length in shape:
        key.append(draw(st.one_of(
            st.integers(-length, length - 1),
            st.slices(length),
            hnp.arrays(np.intp, common, elements=st.integers(-length, length - 1)),
        )))  # fmt: skip
    if draw(st.booleans()):
        key.insert(draw(st.integers(0, len(key))), None)
    return shape, tuple(key)


@given(case=arrays_and_keys(), seed=st.integers(0, 2**32 - 1))
def test_any_key(case: tuple[tuple[int, ...], Any], seed: int) -> None:
    shape, key = case
    rng = np.random.default_rng(seed)
    check_reading(rng.normal(size=shape), key, rng)


# ---- take_along_axis


@pytest.mark.parametrize("axis", [0, 1, 2, -1, None])
def test_take_along_axis(axis: int | None, rng: np.random.Generator) -> None:
    a = rng.normal(size=(3, 4, 2))
    index = np.argsort(a, axis=axis) if axis is not None else rng.integers(-24, 24, size=7)
    for given_index in (index, tg.tensor(index)):
        t = tg.tensor(a, requires_grad=True)
        out = np.take_along_axis(t, given_index, axis=axis)
        np.testing.assert_array_equal(out.data, np.take_along_axis(a, index, axis=axis), strict=True)
        g = rng.normal(size=out.shape)
        out.backward(g)
        expected = np.zeros(a.size) if axis is None else np.zeros_like(a)
        at = np.take_along_axis(np.arange(a.size).reshape(a.shape), index, axis=axis)
        np.add.at(expected.reshape(-1), at.reshape(-1), g.reshape(-1))
        np.testing.assert_allclose(t.grad, expected.reshape(a.shape), rtol=1e-14, atol=1e-15)


def test_take_along_axis_broadcasts_and_refuses_as_numpy_does(rng: np.random.Generator) -> None:
    a = rng.normal(size=(3, 4))
    t = tg.tensor(a, requires_grad=True)
    for index, axis in (([[0, 1]], 1), ([[1], [2]], 0), ([[0, 0, 3]] * 3, -1), (np.zeros((3, 0), int), 1)):
        out = tg.take_along_axis(t, np.array(index), axis=axis)
        np.testing.assert_array_equal(out.data, np.take_along_axis(a, np.array(index), axis=axis), strict=True)
    wrong: list[tuple[Any, int]] = [
        ([[0, 1], [1, 1]], 1), ([[0]], 2), ([[0]], -3), ([0, 1], 1), ([[4]], 1), ([[0.5]], 1), ([[True] * 4] * 3, 1),
    ]  # fmt: skip
    for index, axis in wrong:
        with pytest.raises((IndexError, ValueError)):
            np.take_along_axis(a, np.array(index), axis=axis)
        with pytest.raises((IndexError, ValueError, TypeError)):
            tg.take_along_axis(t, np.array(index), axis=axis)

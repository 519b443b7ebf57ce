"""Random indexing expressions against NumPy: any mixture of slices, integers, arrays, masks, new axes and tensors.

Reading and writing, value and gradient. The gradients are compared with loops over single elements.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def keys(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    """Return an index into `shape`: a tuple of parts of every kind, or one part alone."""
    common = draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=3))
    parts: list[Any] = []
    at = 0
    stop = draw(st.integers(0, len(shape)))
    while at < stop:
        length = shape[at]
        kinds = ["slice", "mask"] + ["integer", "array", "list"] * (length > 0) + ["table"] * (at + 2 <= stop)
        kind = draw(st.sampled_from(kinds))
        whole = st.integers(-length, length - 1)
        if kind == "slice":
            parts.append(draw(st.slices(length)))
        elif kind == "integer":
            parts.append(draw(whole))
        elif kind == "list":
            parts.append(draw(st.lists(whole, min_size=common[-1], max_size=common[-1])))
        elif kind == "array":
            parts.append(draw(hnp.arrays(draw(st.sampled_from([np.int64, np.int8])), common, elements=whole)))
        elif kind == "mask":
            parts.append(draw(hnp.arrays(bool, length)))
        else:
            parts.append(draw(hnp.arrays(bool, shape[at : at + 2])))
            at += 1
        at += 1
    for _ in range(draw(st.integers(0, 2))):
        parts.insert(draw(st.integers(0, len(parts))), None)
    if draw(st.booleans()):
        # What stands behind an ellipsis indexes other axes, for which it may be out of bounds: NumPy decides below.
        parts.insert(draw(st.sampled_from([0, len(parts)])), Ellipsis)
    return parts[0] if len(parts) == 1 and draw(st.booleans()) else tuple(parts)


def accepted(a: np.ndarray, key: Any) -> bool:
    """Whether NumPy takes the key: masks must pick as many as other arrays do, and arrays must broadcast."""
    try:
        return a[key].size <= 200
    except IndexError:
        return False


@st.composite
def arrays_and_keys(draw: st.DrawFn) -> tuple[np.ndarray, Any, np.random.Generator]:
    rng = np.random.default_rng(draw(SEEDS))
    shape = draw(SHAPES)
    a, key = np.asarray(rng.normal(size=shape)), draw(keys(shape))
    assume(accepted(a, key))
    return a, key, rng


def with_tensors(key: Any, wrap: bool) -> Any:
    """Return the key with its arrays (or its integers, too) made tensors."""
    if not wrap:
        return key
    if isinstance(key, tuple):
        return tuple([with_tensors(part, wrap) for part in key])
    return tg.tensor(key) if isinstance(key, np.ndarray) or type(key) is int else key


def places_of(a: np.ndarray, key: Any) -> np.ndarray:
    """Return the flat position in `a` of each element that the key picks."""
    return np.asarray(np.arange(a.size).reshape(a.shape)[key])


@settings(max_examples=300)
@given(case=arrays_and_keys(), wrap=st.booleans())
def test_reading(case: tuple[np.ndarray, Any, np.random.Generator], wrap: bool) -> None:
    a, key, rng = case
    t = tg.tensor(a, requires_grad=True)
    out = t[with_tensors(key, wrap)]
    expected = np.asarray(a[key])
    np.testing.assert_array_equal(out.data, expected, strict=True)
    g = rng.normal(size=expected.shape)
    upward = np.zeros(a.size)
    for place, value in zip(places_of(a, key).ravel(), g.ravel(), strict=True):
        upward[place] += value
    (recorded,) = tg.gradients(out, t, g, create_graph=True)
    out.backward(g)
    for found in (t.grad, recorded.data):
        np.testing.assert_allclose(found, upward.reshape(a.shape), rtol=1e-13, atol=1e-15, strict=True)


@settings(max_examples=60)
@given(case=arrays_and_keys(), data=st.data())
def test_a_read_of_a_read(case: tuple[np.ndarray, Any, np.random.Generator], data: st.DataObject) -> None:
    a, first, rng = case
    picked = np.asarray(a[first])
    second = data.draw(keys(picked.shape))
    assume(accepted(picked, second))
    t = tg.tensor(a, requires_grad=True)
    out = np.sin(t[first])[second] * 2.0
    g = rng.normal(size=out.shape)
    out.backward(g)
    upward = np.zeros(a.size)
    for place, value in zip(places_of(a, first)[second].ravel(), g.ravel(), strict=True):
        upward[place] += 2.0 * math.cos(a.flat[place]) * value
    np.testing.assert_allclose(t.grad, upward.reshape(a.shape), rtol=1e-12, atol=1e-14)


# ---- writing: each method one element at a time, and its gradients

UFUNCS = {"add": np.add, "multiply": np.multiply, "max": np.maximum, "min": np.minimum}


def slow_write(method: str, a: np.ndarray, places: np.ndarray, v: np.ndarray) -> np.ndarray:
    out = a.copy()
    for place, value in zip(places.ravel(), v.ravel(), strict=True):
        out.flat[place] = value if method == "set" else UFUNCS[method](out.flat[place], value)
    return out


def slow_gradients(
    method: str, a: np.ndarray, places: np.ndarray, v: np.ndarray, g: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of the array and of the values, place by place."""
    to_a, to_v = g.copy(), np.zeros(v.size)
    for place in set(places.ravel().tolist()):
        turns = [n for n, at in enumerate(places.ravel()) if at == place]
        values, old, up = [float(v.flat[n]) for n in turns], float(a.flat[place]), float(g.flat[place])
        if method == "set":
            to_a.flat[place], to_v[turns[-1]] = 0.0, up
        elif method == "add":
            to_v[turns] = up
        elif method == "multiply":
            to_a.flat[place] = up * math.prod(values)
            for k, n in enumerate(turns):
                to_v[n] = up * old * math.prod(values[:k] + values[k + 1 :])
        else:
            best = (max if method == "max" else min)([old, *values])
            share = up / [old, *values].count(best)
            to_a.flat[place] = share if old == best else 0.0
            for n, value in zip(turns, values, strict=True):
                to_v[n] = share if value == best else 0.0
    return to_a, to_v.reshape(v.shape)


@settings(max_examples=400)
@given(
    case=arrays_and_keys(), method=st.sampled_from(["set", *UFUNCS]), coarse=st.booleans(), wrap=st.booleans(),
    shared=st.booleans(),
)  # fmt: skip
def test_writing(
    case: tuple[np.ndarray, Any, np.random.Generator], method: str, coarse: bool, wrap: bool, shared: bool
) -> None:
    a, key, rng = case
    places = places_of(a, key)
    v = rng.normal(size=places.shape[places.ndim - 1 :] if shared else places.shape)
    if coarse:  # many ties and zeros
        a, v = np.asarray(np.round(a)), np.asarray(np.round(v))
    t, u = tg.tensor(a, requires_grad=True), tg.tensor(v, requires_grad=True)
    out = getattr(t.at[with_tensors(key, wrap)], method)(u)
    whole = np.broadcast_to(v, places.shape)
    np.testing.assert_allclose(out.data, slow_write(method, a, places, whole), rtol=1e-13, atol=1e-15, strict=True)
    np.testing.assert_array_equal(t.data, a)
    g = np.asarray(rng.normal(size=a.shape))
    to_a, to_v = slow_gradients(method, a, places, whole, g)
    to_v = to_v.sum(axis=tuple(range(places.ndim - v.ndim)))
    recorded = tg.gradients(out, [t, u], g, create_graph=True)
    out.backward(g)
    for found, expected in ((t.grad, to_a), (u.grad, to_v), (recorded[0].data, to_a), (recorded[1].data, to_v)):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13, strict=True)


# ---- along an axis


@settings(max_examples=100)
@given(shape=hnp.array_shapes(max_dims=3, max_side=4), seed=SEEDS, data=st.data())
def test_take_is_numpys(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=shape)
    axis = data.draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    mode = data.draw(st.sampled_from(["raise", "wrap", "clip"]))
    length = a.size if axis is None else shape[axis]
    reach = length if mode == "raise" else 3 * length
    index = data.draw(hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3),
                                 elements=st.integers(-reach, reach - 1)))  # fmt: skip
    t = tg.tensor(a, requires_grad=True)
    out = np.take(t, index, axis, mode=mode)
    np.testing.assert_array_equal(out.data, np.asarray(np.take(a, index, axis, mode=mode)), strict=True)
    g = rng.normal(size=out.shape)
    out.backward(g)
    upward = np.zeros(a.size)
    places = np.take(np.arange(a.size).reshape(shape), index, axis, mode=mode)
    for place, value in zip(np.ravel(places), np.ravel(g), strict=True):
        upward[place] += value
    np.testing.assert_allclose(t.grad, upward.reshape(shape), rtol=1e-13, atol=1e-15, strict=True)


@settings(max_examples=100)
@given(
    a=hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, min_side=0, max_side=5),
                 elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0, math.inf, math.nan])),
    data=st.data(),
)  # fmt: skip
def test_sort_is_a_permutation_that_comes_back(a: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.one_of(st.none(), st.integers(-a.ndim, a.ndim - 1)))
    t = tg.tensor(a, requires_grad=True)
    out = np.sort(t, axis=axis)
    np.testing.assert_array_equal(out.data, np.sort(a, axis=axis), strict=True)
    g = np.arange(1.0, a.size + 1.0).reshape(out.shape)
    out.backward(g)
    at = np.argsort(a, axis=axis, stable=True)
    back = np.take_along_axis(t.grad.reshape(-1) if axis is None else t.grad, at, axis=0 if axis is None else axis)
    np.testing.assert_array_equal(back, g, strict=True)

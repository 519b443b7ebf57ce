"""Random expressions: deep graphs with sharing, broadcasting, reductions and indexing against numbers.

And NumPy's own rules of shapes and dtypes, which the operations keep.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from programs import INPUTS, PROGRAMS, STEP, evaluate
from registry_cases import complex_step, differences

import tinygrad_fc as tg


@settings(max_examples=1000)
@given(program=PROGRAMS, shapes=INPUTS, seed=st.integers(0, 2**32 - 1))
def test_deep_shared_expressions_against_the_complex_step(program: list[Any], shapes: list[Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.uniform(-1.5, 1.5, shape)) for shape in shapes]
    with np.errstate(under="ignore"):  # the step of 1e-30 is squared, and should vanish
        expected = [complex_step(lambda a: evaluate(program, a), arrays, n) for n in range(len(arrays))]
    inputs = [tg.tensor(a, requires_grad=True) for a in arrays]
    out = evaluate(program, inputs)
    assert out.item() == pytest.approx(float(evaluate(program, arrays)), rel=1e-12, abs=1e-12)
    found = tg.gradients(out, inputs, retain_graph=True)
    recorded = tg.gradients(out, inputs, create_graph=True)
    out.backward()
    for t, d, r, e in zip(inputs, found, recorded, expected, strict=True):
        scale = max(1.0, np.abs(e).max())
        np.testing.assert_allclose(d.data, e, rtol=0, atol=1e-11 * scale)
        np.testing.assert_allclose(r.data, e, rtol=0, atol=1e-11 * scale)
        np.testing.assert_array_equal(t.grad, d.data)


@settings(max_examples=15)
@given(program=st.lists(STEP, min_size=5, max_size=12), shapes=INPUTS, seed=st.integers(0, 2**32 - 1))
def test_second_order_of_random_expressions(program: list[Any], shapes: list[Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.uniform(-1.0, 1.0, shape)) for shape in shapes]
    along = [np.asarray(rng.uniform(0.5, 1.5, shape)) for shape in shapes]

    def slope(at: list[np.ndarray]) -> float:
        inputs = [tg.tensor(a, requires_grad=True) for a in at]
        found = tg.gradients(evaluate(program, inputs), inputs)
        return float(sum(np.sum(v * d.data) for v, d in zip(along, found, strict=True)))

    inputs = [tg.tensor(a, requires_grad=True) for a in arrays]
    first = tg.gradients(evaluate(program, inputs), inputs, create_graph=True)
    terms = [(v * d).sum() for v, d in zip(along, first, strict=True) if d.requires_grad]
    second = tg.gradients(terms, inputs) if terms else [0.0 * t.detach() for t in inputs]
    for n, d in enumerate(second):
        expected = differences(slope, arrays, n)
        np.testing.assert_allclose(d.data, expected, rtol=1e-6, atol=1e-7 * max(1.0, np.abs(expected).max()))


@settings(max_examples=40)
@given(program=PROGRAMS, shapes=INPUTS, seed=st.integers(0, 2**32 - 1))
def test_random_expressions_stay_in_float32(program: list[Any], shapes: list[Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = [tg.tensor(rng.uniform(-1.0, 1.0, shape), dtype=np.float32, requires_grad=True) for shape in shapes]
    out = evaluate(program, inputs)
    assert out.dtype == np.float32
    seen, stack = set(), [out.node]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            assert node.dtype == np.float32, node
            assert all(a.dtype != np.float64 for a in node.saved or () if isinstance(a, np.ndarray) and a.ndim), node
            stack += [parent for parent in node.parents if hasattr(parent, "parents")]
    for create_graph in (True, False):
        assert {d.dtype for d in tg.gradients(out, inputs, create_graph=create_graph)} == {np.dtype(np.float32)}


# ---- NumPy's rules of shapes and dtypes

BINARY = [np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.power]
FLOATS = st.sampled_from([np.float16, np.float32, np.float64])


@settings(max_examples=60)
@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3, min_side=0),
    dtypes=st.tuples(FLOATS, st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.int8, np.bool_])),
    data=st.data(),
)
def test_broadcasting_and_promotion_are_numpys(shapes: Any, dtypes: Any, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    f = data.draw(st.sampled_from(BINARY))
    a = np.asarray(rng.uniform(1.0, 2.0, shapes.input_shapes[0])).astype(dtypes[0])
    b = np.asarray(rng.uniform(1.0, 2.0, shapes.input_shapes[1])).astype(dtypes[1])
    x = tg.tensor(a, requires_grad=True)
    y = tg.tensor(b, requires_grad=b.dtype.kind == "f")
    for left, right in (((x, a), (y, b)), ((y, b), (x, a))):
        out, expected = f(left[0], right[0]), np.asarray(f(left[1], right[1]))
        np.testing.assert_array_equal(out.data, expected, strict=True)
        found = tg.gradients(
            out, [t for t in (x, y) if t.requires_grad], np.ones(out.shape), create_graph=data.draw(st.booleans())
        )
        for t, d in zip((x, y), found, strict=False):
            assert (d.shape, d.dtype) == (t.shape, t.dtype)
    if f in (np.add, np.subtract):
        whole = f(x, y)
        whole.backward(np.ones(whole.shape))
        np.testing.assert_array_equal(x.grad, np.full(a.shape, whole.size / max(a.size, 1)))


@settings(max_examples=60)
@given(
    a=hnp.arrays(
        np.float64, hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=3), elements=st.floats(0.5, 2.0)
    ),
    name=st.sampled_from(["sum", "mean", "max", "min", "prod", "var", "std"]),
    keepdims=st.booleans(),
    data=st.data(),
)
def test_reductions_over_any_axes_are_numpys(a: np.ndarray, name: str, keepdims: bool, data: st.DataObject) -> None:
    some = (
        st.sets(st.integers(-a.ndim, a.ndim - 1)).filter(lambda s: len({n % a.ndim for n in s}) == len(s))
        if a.ndim
        else st.just(set())
    )
    axis = data.draw(st.one_of(st.none(), some.map(tuple), st.integers(-a.ndim, a.ndim - 1) if a.ndim else st.none()))
    x = tg.tensor(a, requires_grad=True)
    out = getattr(x, name)(axis, keepdims=keepdims)
    np.testing.assert_allclose(
        out.data, getattr(np, name)(a, axis=axis, keepdims=keepdims), rtol=1e-13, atol=1e-15, strict=True
    )
    (d,) = tg.gradients(out, x, np.ones(out.shape))
    assert d.shape == a.shape
    if name in ("sum", "max", "min", "mean"):  # what comes in goes out: nothing is lost and nothing counted twice
        assert d.data.sum() == pytest.approx(out.size * (a.size / out.size if name == "sum" else 1.0))

"""Random expressions: deep graphs with sharing, broadcasting, reductions and indexing against numbers.

And NumPy's own rules of shapes and dtypes, which the operations keep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from registry_cases import complex_step, differences

import tinygrad_fc as tg

# Each step takes values (arrays or tensors), keeps them in a tame range, and is one or more operations. All are
# analytic, so that NumPy's complex numbers give the derivative to the last digits.
ONE: dict[str, Callable[[Any], Any]] = {
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "exp": lambda x: np.exp(0.3 * np.tanh(x)),
    "log": lambda x: np.log(np.square(np.sin(x)) + 1.5),
    "sqrt": lambda x: np.sqrt(np.square(np.tanh(x)) + 0.5),
    "reciprocal": lambda x: np.reciprocal(np.square(np.sin(x)) + 1.0),
    "power": lambda x: (np.cos(x) + 2.5) ** 1.7,
    "cube": lambda x: np.tanh(x) ** 3,
    "expm1": lambda x: np.expm1(0.2 * np.sin(x)),
    "log1p": lambda x: np.log1p(0.5 * np.sin(x)),
    "negative": lambda x: -x,
    "scale": lambda x: 0.5 * x - 1.25,
    "divide": lambda x: 1.0 / (np.cos(x) + 2.0),
    "transpose": np.transpose,
    "ravel": lambda x: np.reshape(x, -1),
    "sum": lambda x: np.sum(np.tanh(x), axis=0) if x.ndim else x,
    "mean": lambda x: np.mean(x, axis=-1, keepdims=True) if x.ndim else x,
    "all": lambda x: np.mean(x),
    "column": lambda x: x[:, None] if x.ndim == 1 else x,
    "reverse": lambda x: x[::-1] if x.ndim else x,
    "first": lambda x: x[0] if x.ndim else x,
    "twice": lambda x: x[np.arange(2 * x.shape[0]) % x.shape[0]] if x.ndim == 1 and x.shape[0] < 8 else x,
    "prod": lambda x: np.prod(np.cos(x) + 1.5, axis=0) if x.ndim and x.shape[0] < 5 else x,
    "einsum": lambda x: np.einsum("i,i->", np.tanh(x), np.cos(x)) if x.ndim == 1 else x,
    "gram": lambda x: np.tanh(0.1 * (x @ np.transpose(x))) if x.ndim == 2 and x.size < 40 else x,
    "cumsum": lambda x: np.cumsum(np.sin(x), axis=-1) * 0.3 if x.ndim else x,
    "cumprod": lambda x: np.cumprod(np.cos(x) + 0.2) if x.ndim and x.size < 10 else x,
    "diff": lambda x: np.diff(x, axis=0) if x.ndim and x.shape[0] > 1 else x,
    "flip": np.flip,
    "roll": lambda x: np.roll(x, 1),
    "pad": lambda x: np.pad(x, (1, 0), mode="edge") if x.ndim == 1 and x.size < 8 else x,
    "tile": lambda x: np.tile(x, 2) if x.size < 8 else x,
    "sinh": lambda x: np.sinh(0.3 * np.tanh(x)),
    "arctan": lambda x: np.arctan(np.tanh(x)),
    "outer": lambda x: np.outer(np.sin(x), np.cos(x)) if x.size < 5 else x,
    "where": lambda x: np.where(np.arange(x.shape[-1]) % 2 == 0, x, 0.5) if x.ndim else x,
}
TWO: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - 0.5 * y,
    "multiply": lambda x, y: np.tanh(x) * np.cos(y),
    "divide": lambda x, y: x / (np.square(np.sin(y)) + 1.0),
    "power": lambda x, y: (np.cos(x) + 2.0) ** np.sin(y),
    "stack": lambda x, y: np.stack([np.reshape(x, -1)[:3], np.reshape(y, -1)[:3]]) if min(x.size, y.size) >= 3 else x,
    "concatenate": lambda x, y: np.concatenate([np.reshape(x, -1)[:5], np.reshape(y, -1)[:5]]),
    "outer": lambda x, y: np.reshape(x, -1)[:4, None] * np.reshape(np.tanh(y), -1)[None, :4],
}

STEP = st.one_of(
    st.tuples(st.sampled_from(sorted(ONE)), st.integers(0, 99)),
    st.tuples(st.sampled_from(sorted(TWO)), st.integers(0, 99), st.integers(0, 99)),
)
PROGRAMS = st.lists(STEP, min_size=15, max_size=30)
INPUTS = st.lists(hnp.array_shapes(min_dims=0, max_dims=2, min_side=1, max_side=3), min_size=1, max_size=3)


def evaluate(program: list[Any], values: list[Any]) -> Any:
    """Run the steps; each may use any earlier value, so that values are shared. The sum of all means is the result."""
    values = list(values)
    for name, *at in program:
        # Near the end of the list more often than not: the graph gets deep.
        picked = [values[len(values) - 1 - k % min(len(values), 4)] for k in at]
        if len(picked) == 1:
            out = ONE[name](picked[0])
        else:
            try:
                np.broadcast_shapes(picked[0].shape, picked[1].shape)
            except ValueError:
                picked[1] = np.mean(picked[1])
            out = TWO[name](*picked)
        values.append(np.mean(out, axis=0) if out.size > 60 else out)
    total = np.mean(values[-1])
    for value in values[:-1]:
        total = total + 0.1 * np.mean(value)
    return total


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

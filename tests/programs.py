"""Random expressions for Hypothesis: deep programs with sharing, broadcasting, reductions and indexing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

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

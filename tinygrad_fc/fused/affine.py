"""affine and affine_relu: a fully-connected layer, with and without its activation, as one operation each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..kernels import kernels, product_kernels
from ..kernels.numpy_ import is_small, ones
from ..ops.linalg import dense, product
from ..ops.samples import Samples
from .activation import floating, relu, relu_rule

CURE = "affine computes x @ w + b with x (N, d1, ..., dk), w (d1 * ... * dk, M) and b (M,)."


def rows(x: Any) -> Any:
    """Return a batch as a matrix: one flattened example a row."""
    if x.ndim == 2:
        return x
    return x.reshape((x.shape[0], math.prod(x.shape[1:])))


def check_affine(x: Any, w: Any, b: Any) -> None:
    """Raise ValueError unless the shapes of a fully-connected layer fit; NumPy would broadcast some that do not."""
    if x.ndim < 2 or w.ndim != 2 or b.shape != w.shape[1:] or math.prod(x.shape[1:]) != w.shape[0]:
        raise ValueError("shapes do not fit")


def _affine(x: Any, w: Any, b: Any) -> Any:
    if x.ndim != 2 or w.ndim != 2 or b.ndim != 1 or len(b) != w.shape[1] or x.shape[1] != len(w):
        check_affine(x, w, b)
        x = rows(x)
    if not x.dtype == w.dtype == b.dtype:
        return product(x, w) + b
    if is_small(x, w):
        out = x.dot(w)
        kernels(out).bias(out, b)
        return out
    return product_kernels(x, w, b).affine(x, w, b)


def _affine_relu(x: Any, w: Any, b: Any) -> Any:
    if x.ndim != 2 or w.ndim != 2 or b.ndim != 1 or len(b) != w.shape[1] or x.shape[1] != len(w):
        check_affine(x, w, b)
        x = rows(x)
    if not x.dtype == w.dtype == b.dtype or x.dtype.kind != "f":
        return np.maximum(floating(product(x, w) + b), 0)
    if is_small(x, w):
        out = x.dot(w)
        kernels(out).bias_relu(out, b)
        return out
    return product_kernels(x, w, b).affine_relu(x, w, b)


# What the rules receive as g went through `dense` (or `relu_rule`, whose results are dense).


def _x_rule(g: Any, w: Any, x_shape: tuple[int, ...]) -> Any:
    d = product(g, w.T)
    return d if d.shape == x_shape else d.reshape(x_shape)


def _w_rule(g: Any, x: Any) -> Any:
    return product(rows(x).T, g)


def _b_rule(g: Any) -> Any:
    if type(g) is np.ndarray:
        return kernels(g).sum_rows(g)
    return product(ones(g.shape[0], g.dtype), g)


def _samples(generator: np.random.Generator) -> list[Any]:
    draw = generator.normal
    return [
        (draw(size=(4, 3)), draw(size=(3, 5)), draw(size=5)),
        (draw(size=(2, 3, 2)), draw(size=(6, 4)), draw(size=4)),
        (draw(size=(1, 2, 1, 2)), draw(size=(4, 1)), draw(size=1)),
        (draw(size=(0, 3)), draw(size=(3, 2)), draw(size=2)),
    ]


def _compose(x: Any, w: Any, b: Any) -> Any:
    return rows(x) @ w + b


samples: Samples = _samples

affine = fused_op(
    _affine, name="affine",
    via=dense, x=_x_rule, w=_w_rule, b=_b_rule,
    compose=_compose, samples=samples, cure=CURE,
)  # fmt: skip

_relu: Any = relu.op.compose  # relu, written with primitives

affine_relu = fused_op(
    _affine_relu, name="affine_relu",
    via=relu_rule, x=_x_rule, w=_w_rule, b=_b_rule,
    compose=lambda x, w, b: _relu(_compose(x, w, b)), samples=samples, cure=CURE, branch=lambda out: out > 0,
)  # fmt: skip
affine.__doc__ = """Return the fully-connected layer ``x @ w + b``.

Parameters
----------
x : Tensor or array, shape (N, d1, ..., dk)
    A batch; each example is flattened to D = d1 * ... * dk features.
w : Tensor or array, shape (D, M)
    Weights.
b : Tensor or array, shape (M,)
    Biases.

Returns
-------
Tensor, shape (N, M)

Raises
------
ValueError
    If the shapes do not fit.
"""
affine_relu.__doc__ = """Return ``relu(affine(x, w, b))`` without keeping what lies between; see `affine`.

The gradient of relu at 0 is 0, as in the course CS231n. Of whole numbers alone the result is float64, as relu's is.
"""

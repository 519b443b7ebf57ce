"""affine and affine_relu: a fully-connected layer, with and without its activation, as one operation each."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..ops.linalg import dense
from ..ops.samples import Samples
from .activation import relu

CURE = "affine computes x @ w + b with x (N, d1, ..., dk), w (d1 * ... * dk, M) and b (M,)."


def rows(x: Any) -> Any:
    """Return a batch as a matrix: one flattened example a row."""
    if x.ndim == 2:
        return x
    return x.reshape((x.shape[0], -1) if x.size else (x.shape[0], int(np.prod(x.shape[1:]))))


def check_affine(name: str, x: Any, w: Any, b: Any) -> None:
    """Raise ValueError unless the shapes of a fully-connected layer fit; NumPy would broadcast some that do not."""
    features = int(np.prod(x.shape[1:]))
    if x.ndim < 2 or w.ndim != 2 or b.shape != w.shape[1:] or features != w.shape[0]:
        raise ValueError(f"{name}: shapes do not fit: x {x.shape}, w {w.shape}, b {b.shape}. {CURE}")


def _affine(x: Any, w: Any, b: Any) -> Any:
    x, w, b = np.asarray(x), np.asarray(w), np.asarray(b)
    check_affine("affine", x, w, b)
    out = rows(x) @ w
    if out.dtype != np.result_type(out, b):
        return out + b
    out += b
    return out


def _affine_relu(x: Any, w: Any, b: Any) -> Any:
    x, w, b = np.asarray(x), np.asarray(w), np.asarray(b)
    check_affine("affine_relu", x, w, b)
    out = rows(x) @ w
    out = np.add(out, b, out=out if out.dtype == np.result_type(out, b) else None)
    return np.maximum(out, 0, out=out)


def _x_rule(g: Any, w: Any, x_shape: tuple[int, ...]) -> Any:
    d = dense(g) @ w.T
    return d if d.shape == x_shape else d.reshape(x_shape)


def _w_rule(g: Any, x: Any) -> Any:
    return rows(x).T @ dense(g)


def _b_rule(g: Any) -> Any:
    return np.add.reduce(g, axis=0)


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

affine = fused_op(_affine, name="affine", x=_x_rule, w=_w_rule, b=_b_rule, compose=_compose, samples=samples, cure=CURE)

affine_relu = fused_op(
    _affine_relu, name="affine_relu",
    via=lambda g, out: g * (out != 0), x=_x_rule, w=_w_rule, b=_b_rule,
    compose=lambda x, w, b: relu.op.compose(_compose(x, w, b)), samples=samples, cure=CURE,
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

The gradient of relu at 0 is 0, as in the course CS231n.
"""

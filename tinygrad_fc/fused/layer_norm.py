"""layer_norm: each example normalized over its own features."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..kernels.numpy_ import ones, shifted
from .arguments import finite, halved, over_batch, widened
from .batch_norm import check_features, check_spread


def _mean(x: Any) -> Any:
    return (x.dot(ones(x.shape[1], x.dtype)) / x.shape[1])[:, None]


def _layer_norm(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> tuple[Any, ...]:
    x, eps = check_features(x, gamma, beta), finite("layer_norm: eps", eps)
    if not x.shape[1]:
        raise ValueError("layer_norm: the examples have no features to normalize over.")
    if x.dtype.char == "e":
        dtype = np.result_type(x, gamma, beta)
        out, normal, rate = _layer_norm(widened(x), gamma, beta, eps)
        return halved(out, dtype), halved(normal, dtype), rate
    normal = x - _mean(x)
    variance = _mean(normal * normal)
    check_spread("layer_norm", x, variance, eps, axis=1)
    rate = 1.0 / np.sqrt(variance + eps)
    normal *= rate
    out = normal * gamma
    return shifted(out, beta), normal, rate


def _x_rule(g: Any, gamma: Any, normal: Any, rate: Any) -> Any:
    if g.dtype.char == "e":
        return halved(_x_rule(widened(g), gamma, widened(normal), rate))
    g = g * gamma
    along = _mean(g * normal)
    g -= _mean(g)
    g -= normal * along
    g *= rate
    return g


def _gamma_rule(g: Any, normal: Any) -> Any:
    if g.dtype.char == "e":
        return halved(_gamma_rule(widened(g), widened(normal)))
    return ones(len(g), g.dtype).dot(g * normal)


def _compose(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
    if x.dtype.char == "e":
        dtype = np.result_type(x.dtype, gamma.dtype, beta.dtype)
        return halved(_compose(widened(x), gamma, beta, eps), dtype)
    centred = x - np.mean(x, axis=1, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axis=1, keepdims=True) + eps) * gamma + beta


def _samples(generator: np.random.Generator) -> list[Any]:
    draw = generator.normal
    return [
        (draw(size=(4, 3)), draw(size=3), draw(size=3)),
        ((draw(size=(1, 5)), draw(size=5), draw(size=5)), {"eps": 0.1}),
        (draw(size=(0, 2)), draw(size=2), draw(size=2)),
    ]


layer_norm = fused_op(
    _layer_norm, name="layer_norm", leaves=("normal", "rate"),
    x=_x_rule,
    gamma=_gamma_rule,
    beta=over_batch,
    compose=_compose, samples=_samples, cure="layer_norm takes x (N, D), gamma (D,) and beta (D,).",
)  # fmt: skip
layer_norm.__doc__ = """Normalize each example over its features: ``(x - mean) / sqrt(variance + eps) * gamma + beta``.

Ba, Kiros and Hinton, Layer Normalization (2016), equation 4. Mean and variance are those of the example's own features,
so a batch of 1 is as good as any, and training and evaluation are the same.

Parameters
----------
x : Tensor or array, shape (N, D)
gamma, beta : Tensor or array, shape (D,)
    Scale and shift.
eps : float
    Added to the variance, at least 0.

Returns
-------
Tensor, shape (N, D)

Raises
------
ValueError
    If the shapes do not fit, there are no features (D = 0), or a variance is 0 (of equal values, or by underflow) and
    so is `eps`. A batch of 0 examples has an empty result.
TypeError
    If `x` is complex or holds objects.
"""

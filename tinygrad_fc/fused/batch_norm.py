"""batch_norm: each feature normalized by the statistics of its batch, or by given ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.op import fused_op
from ..kernels import kernels, numpy_
from .arguments import finite, halved, over_batch, widened

CURE = "batch_norm takes x (N, D), gamma (D,) and beta (D,)."


def check_batch(count: int) -> None:
    """Raise ValueError for a batch that has no spread."""
    if count < 2:
        raise ValueError(
            f"batch_norm: a batch of {count} has no spread to normalize by: give at least 2 examples, or use the "
            f"running statistics (evaluation mode)."
        )


def check_spread(name: str, x: Any, variance: Any, eps: float, axis: int) -> None:
    """Raise ValueError where 0 would divide: `eps` is 0, or 0 in this precision, and so is a variance over `axis`."""
    if eps >= np.finfo(variance.dtype).tiny:
        return
    # Of equal values the variance is 0, or what rounding left of it.
    if not np.zeros((), variance.dtype) + eps and (x == np.take(x, [0], axis=axis)).all(axis=axis).any():
        what = "a feature is constant over the batch" if axis == 0 else "all features of an example are equal"
        raise ValueError(f"{name}: {what} and eps is {eps:g}, so 0 would divide: eps=1e-5.")
    zero = (variance + eps == 0).ravel()
    if zero.any():
        where = f"{'feature' if axis == 0 else 'example'} {int(np.argmax(zero))}"
        raise ValueError(
            f"{name}: the variance of {where} underflows to 0 in {variance.dtype} and eps is {eps:g}, so 0 would "
            f"divide: eps=1e-5, or scale the values up."
        )


def check_features(x: Any, *vectors: Any) -> Any:
    """Return x as floating point; raise ValueError unless x is (N, D) and the others are (D,)."""
    if x.ndim != 2 or any(np.shape(v) != x.shape[1:] for v in vectors):
        raise ValueError("shapes do not fit")
    if x.dtype.kind not in "biuf":
        raise TypeError(f"x has dtype {x.dtype}, expected real numbers")
    return x if x.dtype.kind == "f" else x.astype(np.float64)


def _batch_norm(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> tuple[Any, ...]:
    x, eps = check_features(x, gamma, beta), finite("batch_norm: eps", eps)
    check_batch(len(x))
    if x.dtype.char == "e":
        dtype = np.result_type(x, gamma, beta)
        out, normal, *statistics = _batch_norm(widened(x), gamma, beta, eps)
        return halved(out, dtype), halved(normal, dtype), *statistics
    if eps < np.finfo(x.dtype).tiny:
        centred = x - numpy_.sum_rows(x) / len(x)
        check_spread("batch_norm", x, numpy_.sum_rows(centred * centred) / len(x), eps, axis=0)
    left: tuple[Any, ...] = _kernels(x, gamma, beta).batch_norm(x, gamma, beta, eps)
    return left


def _kernels(x: Any, *vectors: Any) -> Any:
    """Return the module of kernels for a batch, and vectors that belong to it."""
    alike = all(type(v) is np.ndarray and v.dtype == x.dtype and v.flags.c_contiguous for v in vectors)
    return kernels(x) if alike else numpy_


def _gradients(g: Any, gamma: Any, normal: Any, rate: Any) -> tuple[Any, Any, Any, Any]:
    """Return g, and the gradients in x, gamma and beta, which share their sums over the batch."""
    if g.dtype.char == "e":
        _, d, along, total = _gradients(widened(g), widened(gamma), widened(normal), rate)
        return g, halved(d), halved(along), halved(total)
    return g, *_kernels(g, gamma, normal, rate).batch_norm_gradient(g, gamma, normal, rate)


def _compose(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
    if x.dtype.char == "e":
        dtype = np.result_type(x.dtype, gamma.dtype, beta.dtype)
        return halved(_compose(widened(x), gamma, beta, eps), dtype)
    centred = x - np.mean(x, axis=0)
    return centred / np.sqrt(np.mean(centred * centred, axis=0) + eps) * gamma + beta


def _samples(generator: np.random.Generator) -> list[Any]:
    draw = generator.normal
    return [
        (draw(size=(4, 3)), draw(size=3), draw(size=3)),
        ((draw(size=(6, 2)), draw(size=2), draw(size=2)), {"eps": 0.1}),
        (draw(size=(2, 1)), draw(size=1), draw(size=1), 1e-2),
    ]


batch_norm = fused_op(
    _batch_norm, name="batch_norm",
    leaves=("normal", "rate", "mean", "variance"), beside=("mean", "variance"),
    via=_gradients, x=lambda found: found[1], gamma=lambda found: found[2], beta=lambda found: found[3],
    compose=_compose, samples=_samples, cure=CURE,
)  # fmt: skip
batch_norm.__doc__ = """Normalize each feature over the batch: ``(x - mean) / sqrt(variance + eps) * gamma + beta``.

Ioffe and Szegedy, Batch Normalization (2015), algorithm 1; the gradients are those of section 3. The variance is
that of the batch as it is, divided by N.

Parameters
----------
x : Tensor or array, shape (N, D)
    A batch of at least 2 examples.
gamma, beta : Tensor or array, shape (D,)
    Scale and shift.
eps : float
    Added to the variance, at least 0.

Returns
-------
out : Tensor, shape (N, D)
mean, variance : ndarray, shape (D,)
    Of the batch, for running averages; of half precision in float32. They take no gradient.

Raises
------
ValueError
    If the shapes do not fit, the batch has less than 2 examples, or a variance is 0 (of equal values, or by underflow)
    and so is `eps`.
TypeError
    If `x` is complex or holds objects.
"""


# The statistics are no tensors: they follow the dtype of the computation, and not the other way.


def _rate(gamma: Any, variance: Any, eps: float, dtype: Any) -> Any:
    return gamma / np.sqrt(np.asarray(variance, dtype) + eps)


def _inference(x: Any, gamma: Any, beta: Any, mean: Any, variance: Any, eps: float = 1e-5) -> Any:
    x, eps = check_features(x, gamma, beta, mean, variance), finite("batch_norm_inference: eps", eps)
    dtype = np.result_type(x, gamma, beta)
    mean, variance = np.asarray(mean, dtype), np.asarray(variance, dtype)
    if (variance + eps <= 0).any():
        raise ValueError("batch_norm_inference: variance + eps must be above 0: give a variance of at least 0.")
    out = x - mean  # first, as where the mean is far larger than the spread, x * scale and mean * scale lose all digits
    out *= _rate(gamma, variance, eps, dtype)
    return numpy_.shifted(out, beta)


def _inference_compose(x: Any, gamma: Any, beta: Any, mean: Any, variance: Any, eps: float = 1e-5) -> Any:
    dtype = np.result_type(x.dtype, gamma.dtype, beta.dtype)
    return (x - np.asarray(mean, dtype)) * _rate(gamma, variance, eps, dtype) + beta


def _gamma_rule(g: Any, x: Any, mean: Any, variance: Any, eps: float) -> Any:
    return over_batch(g * (x - np.asarray(mean, g.dtype))) * _rate(1.0, variance, eps, g.dtype)


batch_norm_inference = fused_op(
    _inference, name="batch_norm_inference",
    x=lambda g, gamma, variance, eps: g * _rate(gamma, variance, eps, g.dtype),
    gamma=_gamma_rule,
    beta=over_batch,
    compose=_inference_compose, cure=CURE,
    samples=lambda generator: [
        (*args, generator.normal(size=args[1].shape), generator.uniform(0.5, 2.0, args[1].shape), 1e-3)
        for args in [(generator.normal(size=(4, 3)), *generator.normal(size=(2, 3)))]
    ],
)  # fmt: skip
batch_norm_inference.__doc__ = """Normalize each feature by given statistics.

``(x - mean) / sqrt(variance + eps) * gamma + beta``: Ioffe and Szegedy, Batch Normalization (2015), algorithm 2,
line 11. The variance there is the mean of the batches' times N / (N - 1) (line 10); here it is what is given.

Parameters
----------
x : Tensor or array, shape (N, D)
gamma, beta : Tensor or array, shape (D,)
    Scale and shift.
mean, variance : array, shape (D,)
    The statistics; they take no gradient.
eps : float
    Added to the variance, at least 0.

Returns
-------
Tensor, shape (N, D)

Raises
------
ValueError
    If the shapes do not fit, or variance + eps is not above 0.
"""

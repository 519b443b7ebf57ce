"""For each fused operation: a slow function with the same values, and a call at which arrays outweigh objects."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

# ---- slow functions


def naive_softmax_loss(x: Any, y: Any) -> float:
    return -sum(math.log(math.exp(row[k]) / sum(math.exp(v) for v in row)) for row, k in zip(x, y, strict=True)) / len(
        y
    )


def naive_svm_loss(x: Any, y: Any, delta: float = 1.0, squared: bool = False, reduction: str = "mean") -> Any:
    power = 2 if squared else 1
    return naive_reduction(
        [sum(max(0.0, v - row[k] + delta) ** power for j, v in enumerate(row) if j != k)
         for row, k in zip(x, y, strict=True)],
        reduction,
    )  # fmt: skip


def naive_cross_entropy(
    x: Any, target: Any, weight: Any = None, label_smoothing: float = 0.0, reduction: str = "mean",
    ignore_index: int = -100,
) -> Any:  # fmt: skip
    classes, losses, divisor = x.shape[1], [], 0.0
    weight = [1.0] * classes if weight is None else weight
    for row, wanted in zip(x, target, strict=True):
        if np.ndim(wanted) == 0 and wanted == ignore_index:
            losses.append(0.0)
            continue
        logs = [v - math.log(sum(math.exp(u) for u in row)) for v in row]
        if np.ndim(wanted):
            shares = [((1 - label_smoothing) * t + label_smoothing / classes) * w
                      for t, w in zip(wanted, weight, strict=True)]  # fmt: skip
            divisor += 1.0
        else:
            shares = [label_smoothing / classes * w for w in weight]
            shares[wanted] += (1 - label_smoothing) * weight[wanted]
            divisor += weight[wanted]
        losses.append(-sum(s * v for s, v in zip(shares, logs, strict=True)))
    return naive_reduction(losses, reduction, divisor)


def naive_reduction(losses: Any, reduction: str, divisor: float | None = None) -> Any:
    losses = np.array(losses, dtype=float)
    if reduction == "none":
        return losses
    divisor = losses.size if divisor is None else divisor
    return np.float64(math.fsum(losses.ravel()) / (divisor if reduction == "mean" else 1))


def naive_nll_loss(x: Any, y: Any, weight: Any = None, reduction: str = "mean", ignore_index: int = -100) -> Any:
    weight = np.ones(x.shape[1]) if weight is None else weight
    losses = [0.0 if k == ignore_index else -weight[k] * row[k] for row, k in zip(x, y, strict=True)]
    return naive_reduction(losses, reduction, math.fsum(weight[k] for k in y if k != ignore_index))


def naive_kl_div(x: Any, target: Any, log_target: bool = False, reduction: str = "mean") -> Any:
    target = np.exp(target) if log_target else np.asarray(target)
    losses = [t * (math.log(t) - v) if t else 0.0 for v, t in zip(x.flat, target.flat, strict=True)]
    if reduction == "batchmean":
        return np.float64(math.fsum(losses) / len(x))
    return naive_reduction(np.reshape(losses, x.shape), reduction)


def naive_binary_cross_entropy(
    x: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: str = "mean"
) -> Any:
    weight, pos_weight = 1.0 if weight is None else weight, 1.0 if pos_weight is None else pos_weight
    yes = 1 / (1 + np.exp(-x))
    target = np.asarray(target)
    return naive_reduction(
        -weight * (pos_weight * target * np.log(yes) + (1 - target) * np.log(1 - yes)), reduction
    )


def naive_affine(x: Any, w: Any, b: Any) -> np.ndarray:
    return np.array([[sum(example.flat[k] * w[k, m] for k in range(len(w))) + b[m] for m in range(len(b))]
                     for example in x]).reshape(len(x), len(b))  # fmt: skip


def one_by_one(f: Callable[..., float]) -> Callable[..., np.ndarray]:
    """Return `f`, a function of one Python number and options, over arrays."""
    return lambda x, *args, **kwargs: np.array([f(v, *args, **kwargs) for v in x.ravel().tolist()]).reshape(x.shape)


def naive_elu(v: float, alpha: float = 1.0) -> float:
    return v if v > 0 else alpha * (math.exp(v) - 1)


def naive_gelu(v: float, approximate: str = "none") -> float:
    if approximate == "none":
        return v * (1 + math.erf(v / math.sqrt(2))) / 2
    return v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) / 2


def naive_softmax(x: Any, axis: Any = -1) -> np.ndarray:
    return np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)


def naive_maxout(x: Any, pieces: int) -> np.ndarray:
    rows = x.reshape(-1, pieces) if x.size else []
    return np.array([max(row) for row in rows]).reshape((*x.shape[:-1], x.shape[-1] // pieces))


ACTIVATION_ORACLES: dict[str, Callable[..., Any]] = {
    "leaky_relu": one_by_one(lambda v, negative_slope=0.01: v if v > 0 else negative_slope * v),
    "elu": one_by_one(naive_elu),
    "selu": one_by_one(lambda v: 1.0507009873554805 * naive_elu(v, 1.6732632423543772)),
    "gelu": one_by_one(naive_gelu),
    "silu": one_by_one(lambda v: v / (1 + math.exp(-v))),
    "softplus": one_by_one(lambda v, beta=1.0: math.log(1 + math.exp(beta * v)) / beta),
    "sigmoid": one_by_one(lambda v: 1 / (1 + math.exp(-v))),
    "tanh": one_by_one(math.tanh),
    "log_sigmoid": one_by_one(lambda v: -math.log(1 + math.exp(-v))),
    "hardtanh": one_by_one(lambda v, min_val=-1.0, max_val=1.0: min(max(v, min_val), max_val)),
    "softmax": naive_softmax,
    "log_softmax": lambda x, axis=-1: np.log(naive_softmax(x, axis)),
    "maxout": naive_maxout,
}

ORACLES: dict[str, Callable[..., Any]] = {
    **ACTIVATION_ORACLES,
    "relu": lambda x: x * (x > 0),
    "affine": naive_affine,
    "affine_relu": lambda x, w, b: np.maximum(naive_affine(x, w, b), 0),
    "l2_penalty": lambda w, reg: 0.5 * reg * np.sum(w**2),
    "batch_norm": lambda x, gamma, beta, eps=1e-5: (x - x.mean(0)) / (x.var(0) + eps) ** 0.5 * gamma + beta,
    "batch_norm_inference": lambda x, gamma, beta, mean, variance, eps=1e-5: (
        gamma * (x - mean) / (variance + eps) ** 0.5 + beta
    ),
    "layer_norm": lambda x, gamma, beta, eps=1e-5: np.array(
        [gamma * (row - row.mean()) / (row.var() + eps) ** 0.5 + beta for row in x]
    ).reshape(x.shape),
    "dropout": lambda x, mask, keep_ratio=1.0: np.where(mask, x / keep_ratio, 0.0),
    "softmax_loss": naive_softmax_loss,
    "svm_loss": naive_svm_loss,
    "cross_entropy": naive_cross_entropy,
    "binary_cross_entropy_with_logits": naive_binary_cross_entropy,
    "nll_loss": naive_nll_loss,
    "kl_div": naive_kl_div,
    "mse_loss": lambda x, target, reduction="mean": naive_reduction((x - target) ** 2, reduction),
    "l1_loss": lambda x, target, reduction="mean": naive_reduction(np.abs(x - target), reduction),
    "huber_loss": lambda x, target, delta=1.0, reduction="mean": naive_reduction(
        [0.5 * d * d if abs(d) <= delta else delta * (abs(d) - 0.5 * delta) for d in (x - target).flat], reduction
    ).reshape(x.shape if reduction == "none" else ()),
}

# ---- calls at which arrays outweigh objects: a tuple of integers stands for an array of that shape

BIG: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(ACTIVATION_ORACLES, ((600, 300),)),
    "maxout": ((600, 300), 3),
    "relu": ((600, 300),),
    "affine": ((200, 10, 30), (300, 100), (100,)),
    "affine_relu": ((200, 10, 30), (300, 100), (100,)),
    "batch_norm": ((600, 300), (300,), (300,)),
    "batch_norm_inference": ((600, 300), (300,), (300,), np.linspace(-1.0, 1.0, 300), np.linspace(0.5, 2.0, 300)),
    "dropout": ((600, 300), np.arange(180_000).reshape(600, 300) % 3 > 0, 2 / 3),
    "l2_penalty": ((600, 300), 0.5),
    "layer_norm": ((600, 300), (300,), (300,)),
    "softmax_loss": ((500, 100), np.arange(500) % 100),
    "svm_loss": ((500, 100), np.arange(500) % 100),
    "binary_cross_entropy_with_logits": ((600, 300), np.linspace(0.01, 0.99, 180_000).reshape(600, 300), 0.5, 2.0),
    "nll_loss": ((500, 200), np.arange(500) % 200, np.linspace(0.5, 2.0, 200)),
    "kl_div": ((600, 300), np.linspace(0.01, 1.0, 180_000).reshape(600, 300)),
    "mse_loss": ((600, 300), (600, 300)),
    "l1_loss": ((600, 300), (600, 300)),
    "huber_loss": ((600, 300), (600, 300)),
    "cross_entropy": ((500, 100), (np.arange(500) % 100).tolist(), np.linspace(0.5, 2.0, 100), 0.1),
}

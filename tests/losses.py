"""What the tests of losses share: three ways to each loss, as an operation and as a module, fused and composed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tinygrad_fc as tg
from tinygrad_fc import nn

MODULES: dict[str, Callable[..., nn.Module]] = {
    "cross_entropy": nn.CrossEntropyLoss,
    "nll_loss": nn.NLLLoss,
    "binary_cross_entropy_with_logits": nn.BCEWithLogitsLoss,
    "mse_loss": nn.MSELoss,
    "l1_loss": nn.L1Loss,
    "huber_loss": nn.HuberLoss,
    "kl_div": nn.KLDivLoss,
    "svm_loss": nn.SVMLoss,
}
LABELLED = ("cross_entropy", "nll_loss", "svm_loss")
PAIRED = ("binary_cross_entropy_with_logits", "mse_loss", "l1_loss", "huber_loss", "kl_div")


def ways(name: str, **options: Any) -> list[Callable[..., tg.Tensor]]:
    """Return the operation and its module, fused and composed: three ways to the same loss."""
    return [
        lambda x, target: getattr(tg, name)(x, target, **options),
        MODULES[name](**options),
        MODULES[name](**options, fused=False),
    ]

"""Losses as modules: PyTorch's names and options, beside the course's two."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.node import Node
from ..engine.operation import Op
from ..engine.tensor import Tensor, constant
from ..fused import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    softmax_loss,
    svm_loss,
)
from ..fused.arguments import check_labels, check_reduction, check_weights, finite, fraction, positive, whole
from ..fused.binary_cross_entropy import check_binary_cross_entropy
from ..fused.cross_entropy import check_cross_entropy
from ..fused.likelihood import check_kl_div, check_nll_loss
from ..fused.regression_loss import check_huber_loss, check_l1_loss, check_mse_loss
from ..fused.svm_loss import check_svm_loss
from .inputs import flag
from .module import Module

if TYPE_CHECKING:
    import numpy.typing as npt


class SoftmaxLoss(Module):
    """Mean cross-entropy of the softmax of scores (N, C) against labels (N,); see `tinygrad_fc.softmax_loss`."""

    def __init__(self, *, fused: bool = True) -> None:
        self.fused = flag("fused", fused)

    def forward(self, x: Any, y: Any) -> Tensor:
        """Return the loss, a scalar."""
        return _run(softmax_loss, _check_softmax_loss, self.fused, x, y)


class SVMLoss(Module):
    """Multiclass hinge loss of scores (N, C) against labels (N,); see `tinygrad_fc.svm_loss`.

    Parameters
    ----------
    delta : float
        The margin, at least 0.
    squared : bool
        Whether the violations are squared.
    reduction : {"mean", "sum", "none"}
    fused : bool
        Whether the loss is one operation, or composed from primitives, for a look at the parts.
    """

    _options = ("delta", "squared", "reduction")

    def __init__(
        self, delta: float = 1.0, squared: bool = False, reduction: str = "mean", *, fused: bool = True
    ) -> None:
        check_reduction("SVMLoss", reduction)
        self.delta, self.squared = finite("SVMLoss: delta", delta), flag("SVMLoss: squared", squared)
        self.reduction, self.fused = reduction, flag("fused", fused)

    def forward(self, x: Any, y: Any) -> Tensor:
        """Return the loss, a scalar (with reduction "none": of each example)."""
        return _run(svm_loss, check_svm_loss, self.fused, x, y, self.delta, self.squared, self.reduction)


class CrossEntropyLoss(Module):
    """Cross-entropy of the softmax of logits with labels or probabilities; see `tinygrad_fc.cross_entropy`.

    Parameters
    ----------
    weight : array, shape (C,), optional
        A weight of at least 0 for each class; copied. It follows the dtype of the logits.
    reduction : {"mean", "sum", "none"}
    label_smoothing : float
        In [0, 1].
    ignore_index : int
        A label whose examples are left out.
    fused : bool
        Whether the loss is one operation, or composed from primitives.
    """

    _options = ("weight", "reduction", "label_smoothing", "ignore_index")

    def __init__(
        self, weight: npt.ArrayLike | None = None, reduction: str = "mean", label_smoothing: float = 0.0, *,
        ignore_index: int = -100, fused: bool = True,
    ) -> None:  # fmt: skip
        check_reduction("CrossEntropyLoss", reduction)
        self.weight = _class_weights("CrossEntropyLoss", weight)
        self.label_smoothing = fraction("CrossEntropyLoss: label_smoothing", label_smoothing)
        self.ignore_index = whole("CrossEntropyLoss: ignore_index", ignore_index)
        self.reduction, self.fused = reduction, flag("fused", fused)

    def forward(self, x: Any, target: Any) -> Tensor:
        """Return the loss of logits (N, C) against labels (N,) or probabilities (N, C)."""
        options = self.weight, self.label_smoothing, self.reduction, self.ignore_index
        return _run(cross_entropy, check_cross_entropy, self.fused, x, target, *options)


class NLLLoss(Module):
    """Negative log-likelihood of labels, of log-probabilities; see `tinygrad_fc.nll_loss`.

    Parameters
    ----------
    weight : array, shape (C,), optional
        A weight of at least 0 for each class; copied. It follows the dtype of the log-probabilities.
    reduction : {"mean", "sum", "none"}
    ignore_index : int
        A label whose examples are left out.
    fused : bool
        Whether the loss is one operation, or composed from primitives.
    """

    _options = ("weight", "reduction", "ignore_index")

    def __init__(
        self, weight: npt.ArrayLike | None = None, reduction: str = "mean", *, ignore_index: int = -100,
        fused: bool = True,
    ) -> None:  # fmt: skip
        check_reduction("NLLLoss", reduction)
        self.ignore_index = whole("NLLLoss: ignore_index", ignore_index)
        self.weight = _class_weights("NLLLoss", weight)
        self.reduction, self.fused = reduction, flag("fused", fused)

    def forward(self, x: Any, y: Any) -> Tensor:
        """Return the loss of log-probabilities (N, C) against labels (N,)."""
        return _run(nll_loss, check_nll_loss, self.fused, x, y, self.weight, self.reduction, self.ignore_index)


class BCEWithLogitsLoss(Module):
    """Cross-entropy of the sigmoid of logits; see `tinygrad_fc.binary_cross_entropy_with_logits`.

    Parameters
    ----------
    weight : array, optional
        A weight of at least 0 for each element, broadcast to the logits; copied. It follows their dtype.
    reduction : {"mean", "sum", "none"}
    pos_weight : array, optional
        A weight of at least 0 for the positive answers, broadcast to the logits; copied. It follows their dtype.
    fused : bool
        Whether the loss is one operation, or composed from primitives.
    """

    _options = ("weight", "reduction", "pos_weight")

    def __init__(
        self, weight: npt.ArrayLike | None = None, reduction: str = "mean", pos_weight: npt.ArrayLike | None = None, *,
        fused: bool = True,
    ) -> None:  # fmt: skip
        check_reduction("BCEWithLogitsLoss", reduction)
        self.weight = _weights("BCEWithLogitsLoss", "weight", weight)
        self.pos_weight = _weights("BCEWithLogitsLoss", "pos_weight", pos_weight)
        self.reduction, self.fused = reduction, flag("fused", fused)

    def forward(self, x: Any, target: Any) -> Tensor:
        """Return the loss of logits against targets of their shape."""
        operation, options = binary_cross_entropy_with_logits, (self.weight, self.pos_weight, self.reduction)
        return _run(operation, check_binary_cross_entropy, self.fused, x, target, *options)


class _Reduced(Module):
    """A loss that has no option but its reduction."""

    _options = ("reduction",)

    def __init__(self, reduction: str = "mean", *, fused: bool = True) -> None:
        check_reduction(type(self).__name__, reduction)
        self.reduction, self.fused = reduction, flag("fused", fused)


class MSELoss(_Reduced):
    """Squared error of predictions against targets of their shape; see `tinygrad_fc.mse_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
    fused : bool
        Whether the loss is one operation, or composed from primitives.
    """

    def forward(self, x: Any, target: Any) -> Tensor:
        """Return the loss."""
        return _run(mse_loss, check_mse_loss, self.fused, x, target, self.reduction)


class L1Loss(_Reduced):
    """Absolute error of predictions against targets of their shape; see `tinygrad_fc.l1_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
    fused : bool
        Whether the loss is one operation, or composed from primitives.
    """

    def forward(self, x: Any, target: Any) -> Tensor:
        """Return the loss."""
        return _run(l1_loss, check_l1_loss, self.fused, x, target, self.reduction)


class HuberLoss(Module):
    """Huber's loss of predictions against targets of their shape; see `tinygrad_fc.huber_loss`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
    delta : float
        Where the square ends and the line begins, above 0.
    fused : bool
        Whether the loss is one operation, or composed from primitives.
    """

    _options = ("reduction", "delta")

    def __init__(self, reduction: str = "mean", delta: float = 1.0, *, fused: bool = True) -> None:
        check_reduction("HuberLoss", reduction)
        self.delta = positive("HuberLoss: delta", delta)
        self.reduction, self.fused = reduction, flag("fused", fused)

    def forward(self, x: Any, target: Any) -> Tensor:
        """Return the loss."""
        return _run(huber_loss, check_huber_loss, self.fused, x, target, self.delta, self.reduction)


class KLDivLoss(Module):
    """Kullback-Leibler divergence of log-probabilities from targets; see `tinygrad_fc.kl_div`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none", "batchmean"}
    log_target : bool
        Whether the targets are logarithms.
    fused : bool
        Whether the loss is one operation, or composed from primitives.
    """

    _options = ("reduction", "log_target")

    def __init__(self, reduction: str = "mean", log_target: bool = False, *, fused: bool = True) -> None:
        check_reduction("KLDivLoss", reduction, "batchmean")
        self.log_target = flag("KLDivLoss: log_target", log_target)
        self.reduction, self.fused = reduction, flag("fused", fused)

    def forward(self, x: Any, target: Any) -> Tensor:
        """Return the loss of log-probabilities against targets of their shape."""
        return _run(kl_div, check_kl_div, self.fused, x, target, self.log_target, self.reduction)


def _run(operation: Any, check: Callable[..., Any], fused: bool, x: Any, target: Any, *options: Any) -> Tensor:
    """Run a loss as one operation, or composed from primitives after the same checks."""
    if fused:
        return operation(x, target, *options)
    check(_plain(x), target.data if isinstance(target, Tensor) else target, *options)
    declared: Op = operation.op
    x = x if isinstance(x, Tensor) else constant(np.asarray(x))
    target = target if isinstance(target, Tensor) and type(target.node) is Node else _plain(target)
    if isinstance(target, Tensor) and declared.arguments[1] not in declared.differentiable:
        raise TypeError(
            f"{declared.name}: argument {declared.arguments[1]!r} takes no gradient, but it needs one: detach it."
        )
    loss: Tensor = declared.compose(x, target, *options)  # type: ignore[misc]  # a fused operation has it
    return loss


def _check_softmax_loss(x: Any, y: Any) -> None:
    check_labels("softmax_loss", x, y)


def _plain(value: Any) -> np.ndarray:
    return value.data if isinstance(value, Tensor) else np.asarray(value)


def _weights(name: str, argument: str, weight: Any) -> np.ndarray | None:
    """Return a copy of weights, or raise what is wrong with them before there is any input to fit."""
    if weight is None:
        return None
    if isinstance(weight, Tensor) and weight.requires_grad:
        raise TypeError(f"{name}: {argument} takes no gradient, but the tensor given needs one: {argument}.detach().")
    weight = np.array(_plain(weight))
    checked: np.ndarray = check_weights(name, argument, weight, np.result_type(weight, np.float16), weight.shape, "")
    return checked


def _class_weights(name: str, weight: Any) -> np.ndarray | None:
    weight = _weights(name, "weight", weight)
    if weight is not None and weight.ndim != 1:
        raise ValueError(f"{name}: weight has shape {weight.shape}, expected (C,): one weight for each class.")
    return weight


LOSSES = {"softmax": SoftmaxLoss, "svm": SVMLoss}

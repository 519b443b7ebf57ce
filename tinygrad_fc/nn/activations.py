"""Activations as layers, without parameters; their operations, those of `tinygrad_fc`, say where each comes from."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..engine.record import Operation
from ..engine.tensor import Tensor, constant
from ..fused import (
    elu,
    gelu,
    hardtanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    maxout,
    relu,
    selu,
    silu,
    softmax,
    softplus,
)
from ..ops.elementwise import sigmoid, tanh
from .inputs import flag, real_array
from .module import Module


def form(operation: Operation, fused: bool) -> Any:
    """Return an operation as one node with hand-written rules, or as its composition from primitives."""
    return operation if fused else operation.op.compose


class Activation(Module):
    """Base of the activations: a class names its operation and the attributes that hold the operation's arguments."""

    _operation: ClassVar[Any]

    def __init__(self, *, fused: bool = True) -> None:
        self.fused = flag("fused", fused)

    def _set(self, fused: bool, **options: Any) -> None:
        """Take the arguments; what is wrong with them, or missing for them, is said now and not at the first batch."""
        type(self)._operation.op.function(np.zeros(0), *options.values())
        self._take(fused, **options)

    def _take(self, fused: bool, **options: Any) -> None:
        for key, value in options.items():
            setattr(self, key, value)
        self.fused = flag("fused", fused)

    def forward(self, x: Any) -> Tensor:
        """Return the activation of `x`."""
        operation = self._operation
        if not isinstance(x, Tensor):
            x = constant(real_array(f"{type(self).__name__}: x", x))
        if not self.fused:
            operation = operation.op.compose
        if self._options:
            return operation(x, *[getattr(self, key) for key in self._options])
        return operation(x)


class ReLU(Activation):
    """The rectifier, ``max(x, 0)``; see `tinygrad_fc.relu`."""

    _operation = staticmethod(relu)


class LeakyReLU(Activation):
    """``x`` where it is positive, else ``negative_slope * x``; see `tinygrad_fc.leaky_relu`."""

    _operation, _options = staticmethod(leaky_relu), ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, *, fused: bool = True) -> None:
        self._set(fused, negative_slope=negative_slope)


class ELU(Activation):
    """``x`` where it is positive, else ``alpha * (exp(x) - 1)``; see `tinygrad_fc.elu`."""

    _operation, _options = staticmethod(elu), ("alpha",)

    def __init__(self, alpha: float = 1.0, *, fused: bool = True) -> None:
        self._set(fused, alpha=alpha)


class SELU(Activation):
    """The self-normalizing exponential unit; see `tinygrad_fc.selu`."""

    _operation = staticmethod(selu)


class GELU(Activation):
    """``x`` times the normal distribution function, exact (with SciPy) or by tanh; see `tinygrad_fc.gelu`."""

    _operation, _options = staticmethod(gelu), ("approximate",)

    def __init__(self, approximate: str = "none", *, fused: bool = True) -> None:
        self._set(fused, approximate=approximate)


class SiLU(Activation):
    """``x * sigmoid(x)``, also known as swish; see `tinygrad_fc.silu`."""

    _operation = staticmethod(silu)


class Softplus(Activation):
    """``log(1 + exp(beta * x)) / beta``, a smooth rectifier; see `tinygrad_fc.softplus`."""

    _operation, _options = staticmethod(softplus), ("beta",)

    def __init__(self, beta: float = 1.0, *, fused: bool = True) -> None:
        self._set(fused, beta=beta)


class Sigmoid(Activation):
    """``1 / (1 + exp(-x))``; see `tinygrad_fc.sigmoid`."""

    _operation = staticmethod(sigmoid)


class LogSigmoid(Activation):
    """The logarithm of the sigmoid; see `tinygrad_fc.log_sigmoid`."""

    _operation = staticmethod(log_sigmoid)


class Tanh(Activation):
    """The hyperbolic tangent."""

    _operation = staticmethod(tanh)


class Hardtanh(Activation):
    """``min(max(x, min_val), max_val)``; see `tinygrad_fc.hardtanh`."""

    _operation, _options = staticmethod(hardtanh), ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, *, fused: bool = True) -> None:
        self._set(fused, min_val=min_val, max_val=max_val)


class Softmax(Activation):
    """Positive numbers that sum to 1 over `dim`, an axis, several, or None for all; see `tinygrad_fc.softmax`."""

    _operation, _options = staticmethod(softmax), ("dim",)

    def __init__(self, dim: int | tuple[int, ...] | None = -1, *, fused: bool = True) -> None:
        self._take(fused, dim=dim)


class LogSoftmax(Activation):
    """The logarithm of the softmax over `dim`; see `tinygrad_fc.log_softmax`."""

    _operation, _options = staticmethod(log_softmax), ("dim",)

    def __init__(self, dim: int | tuple[int, ...] | None = -1, *, fused: bool = True) -> None:
        self._take(fused, dim=dim)


class Maxout(Activation):
    """The largest of each run of `pieces` neighbouring features; see `tinygrad_fc.maxout`."""

    _operation, _options = staticmethod(maxout), ("pieces",)

    def __init__(self, pieces: int, *, fused: bool = True) -> None:
        self._set(fused, pieces=pieces)


# Those that a layer or a network can be told by name: all that keep the number of features, and need no argument.
ACTIVATIONS: dict[str, type[Activation]] = {
    "relu": ReLU, "leaky_relu": LeakyReLU, "elu": ELU, "selu": SELU, "gelu": GELU, "silu": SiLU, "softplus": Softplus,
    "sigmoid": Sigmoid, "log_sigmoid": LogSigmoid, "tanh": Tanh, "hardtanh": Hardtanh,
}  # fmt: skip


def check_activation(name: Any) -> None:
    """Raise ValueError unless `name` is one of `ACTIVATIONS`."""
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ValueError(f"activation: given {name!r}, expected one of {', '.join(map(repr, ACTIVATIONS))}.")

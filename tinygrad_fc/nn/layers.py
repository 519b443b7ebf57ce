"""Layers: modules over the fused operations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.tensor import Tensor
from ..fused import affine, affine_relu, relu
from ..fused.arguments import finite
from . import init
from .module import Module, Parameter

if TYPE_CHECKING:
    import numpy.typing as npt


def positive_integer(name: str, value: Any) -> int:
    """Return `value` as an int, or raise TypeError or ValueError naming the argument."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: given {value!r}, expected a positive integer.")
    if value < 1:
        raise ValueError(f"{name}: given {value}, expected a positive integer.")
    return int(value)


class Linear(Module):
    """A fully-connected layer, ``x @ W + b``, with an activation where asked.

    Parameters
    ----------
    in_features, out_features : int
        Lengths of an example and of its result. Examples of several axes are flattened.
    activation : {None, "relu"}
        What follows.
    weight_scale : float, optional
        Standard deviation of the initial weights; Kaiming's sqrt(2 / in_features) by default. Biases start at 0.
    dtype : dtype
        Of the parameters.
    seed : int, numpy.random.Generator or None
        For the initial weights.
    fused : bool
        One operation with hand-written rules, or the same composed from primitives.

    Attributes
    ----------
    W : Parameter, shape (in_features, out_features)
    b : Parameter, shape (out_features,)
    """

    def __init__(
        self, in_features: int, out_features: int, activation: str | None = None, *, weight_scale: float | None = None,
        dtype: npt.DTypeLike = np.float32, seed: init.Seed = None, fused: bool = True,
    ) -> None:  # fmt: skip
        shape = (positive_integer("in_features", in_features), positive_integer("out_features", out_features))
        if activation not in (None, "relu"):
            raise ValueError(f"activation: given {activation!r}, expected None or 'relu'.")
        if weight_scale is not None:
            finite("weight_scale", weight_scale)
        values = init.kaiming_normal(shape, seed) if weight_scale is None else init.normal(shape, weight_scale, seed)
        self.W = Parameter(values, dtype)
        self.b = Parameter(init.zeros(shape[1:]), dtype)
        self.activation, self.fused, self._features = activation, bool(fused), shape[0]

    def forward(self, x: Any) -> Tensor:
        """Return the layer's result, shape (N, out_features), for a batch (N, ...)."""
        if not isinstance(x, Tensor):
            x = np.asarray(x)
            if x.dtype is not self.W.dtype and x.dtype.kind in "biuf":
                x = x.astype(self.W.dtype)  # data that is no tensor follows the layer's dtype, and not the other way
        shape = x.shape
        if len(shape) != 2 or shape[1] != self._features:
            self._check(shape)
        return _OPERATIONS[self.activation, self.fused](x, self.W, self.b)

    def _check(self, shape: tuple[int, ...]) -> None:
        if len(shape) < 2 or math.prod(shape[1:]) != self._features:
            raise ValueError(
                f"{self._label or 'Linear'}: expected (N, {self._features}), got {shape}: the features of an example "
                f"must be as many as the rows of the weight {self.W.shape}."
            )


_OPERATIONS: dict[tuple[str | None, bool], Any] = {
    (None, True): affine, (None, False): affine.op.compose,
    ("relu", True): affine_relu, ("relu", False): affine_relu.op.compose,
}  # fmt: skip


class ReLU(Module):
    """The rectifier, ``max(x, 0)``, as a layer."""

    def forward(self, x: Any) -> Tensor:
        """Return ``max(x, 0)``."""
        return relu(x)


class Sequential(Module):
    """Modules in a row: each gets the result of the one before."""

    def __init__(self, *modules: Module) -> None:
        for n, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(f"Sequential: argument {n} is {type(module).__name__}, expected a Module.")
            setattr(self, str(n), module)
        self._order = [str(n) for n in range(len(modules))]

    def forward(self, x: Any) -> Any:
        """Return what the last module makes of it."""
        for name in self._order:
            x = getattr(self, name)(x)
        return x

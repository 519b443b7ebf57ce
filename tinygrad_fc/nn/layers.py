"""Layers: modules over the fused operations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.node import observer
from ..engine.tensor import Tensor, constant
from ..fused import affine, affine_relu, batch_norm, batch_norm_inference, dropout, layer_norm
from ..fused.arguments import finite, fraction, widened
from ..fused.batch_norm import check_batch, check_spread
from ..fused.dropout import check_keep_ratio
from ..kernels import kernels
from ..kernels.numpy_ import running as move_average
from . import init
from .activations import ACTIVATIONS, check_activation, form
from .inputs import flag, real_array, real_tensor
from .module import Module
from .parameter import Parameter, float_dtype
from .show import options

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
    activation : str, optional
        What follows: a name of ``nn.ACTIVATIONS``, with its default arguments. "relu" and the layer are one operation.
    weight_scale : float, optional
        Standard deviation of the initial weights; Kaiming's sqrt(2 / in_features) by default. Biases start at 0.
    dtype : dtype
        Of the parameters. Arrays and lists are cast to it on their way in, tensors are not. What is done with the array
        outside follows NumPy: ``layer(x) + x`` is float64 where x is.
    seed : int, numpy.random.Generator or None
        For the initial weights.
    fused : bool
        One operation with hand-written rules, or the same composed from primitives.
    bias : bool
        False makes a layer without b.

    Attributes
    ----------
    W : Parameter, shape (in_features, out_features)
    b : Parameter, shape (out_features,), or None
    """

    _told = ("W", "b")

    def __init__(
        self, in_features: int, out_features: int, activation: str | None = None, *, weight_scale: float | None = None,
        dtype: npt.DTypeLike = np.float32, seed: init.Seed = None, fused: bool = True, bias: bool = True,
    ) -> None:  # fmt: skip
        shape = (positive_integer("in_features", in_features), positive_integer("out_features", out_features))
        if activation is not None:
            check_activation(activation)
            ACTIVATIONS[activation](fused=fused)  # what it needs and is not installed is missed now
        if weight_scale is not None:
            finite("weight_scale", weight_scale)
        dtype = float_dtype("dtype", dtype)
        values = init.kaiming_normal(shape, seed) if weight_scale is None else init.normal(shape, weight_scale, seed)
        self.W = Parameter(values, dtype)
        self.b = Parameter(init.zeros(shape[1:]), dtype) if flag("bias", bias) else None
        self.activation, self.fused, self._features = activation, flag("fused", fused), shape[0]

    def forward(self, x: Any) -> Tensor:
        """Return the layer's result, shape (N, out_features), for a batch (N, ...)."""
        if not isinstance(x, Tensor):
            x = real_array("Linear: x", x, self.W.dtype)  # data that is no tensor follows the layer's dtype
        shape = x.shape
        if len(shape) != 2 or shape[1] != self._features:
            self._check(shape)
        if self.b is None:
            return self._unbiased(x if isinstance(x, Tensor) else constant(x))
        return _OPERATIONS[self.activation, self.fused](x, self.W, self.b)

    def _unbiased(self, x: Tensor) -> Tensor:
        out: Tensor = (x if x.ndim == 2 else x.reshape((x.shape[0], self._features))) @ self.W
        return out if self.activation is None else form(ACTIVATIONS[self.activation]._operation, self.fused)(out)

    def _facts(self) -> str:
        more = [] if self.activation is None else [f"activation={self.activation!r}"]
        more += ["bias=False"] * (self.b is None)
        return ", ".join([f"{self._features} -> {self.W.shape[1]}", *more, *options(self)])

    def multiply_adds(self, input_shape: Any, output_shape: Any) -> int:
        """Return N * in_features * out_features; bias and activation are not counted."""
        return math.prod(output_shape) * self._features

    def _check(self, shape: tuple[int, ...]) -> None:
        if len(shape) < 2 or math.prod(shape[1:]) != self._features:
            raise ValueError(
                f"{type(self).__name__}: expected (N, {self._features}), got {shape}: the features of an example "
                f"must be as many as the rows of the weight {self.W.shape}."
            )


def _followed(layer: Any, activation: Any) -> Any:
    return lambda x, w, b: activation(layer(x, w, b))


_OPERATIONS: dict[tuple[str | None, bool], Any] = {
    (name, fused): _followed(form(affine, fused), form(activation._operation, fused))
    for name, activation in ACTIVATIONS.items()
    for fused in (True, False)
} | {
    (name, fused): form(operation, fused)
    for name, operation in ((None, affine), ("relu", affine_relu))
    for fused in (True, False)
}


class Identity(Module):
    """What it is given, as it is: a place for a layer that is not there."""

    def forward(self, x: Any) -> Any:
        """Return `x`."""
        return x


class Flatten(Module):
    """Each example as one row: (N, d1, ..., dk) becomes (N, d1 * ... * dk)."""

    def forward(self, x: Any) -> Tensor:
        """Return `x` with its axes after the first made into one.

        Raises
        ------
        ValueError
            If `x` has no axis.
        """
        x = x if isinstance(x, Tensor) else constant(real_array("Flatten: x", x))
        if not x.shape:
            raise ValueError(f"{type(self).__name__}: expected (N, ...), got (): there is no batch axis to keep.")
        return x.reshape((x.shape[0], math.prod(x.shape[1:])))

    def multiply_adds(self, input_shape: Any, output_shape: Any) -> int:
        """Return 0: nothing is computed."""
        return 0


class _Norm(Module):
    """What the normalizing layers share: scale and shift of each feature."""

    _told = ("gamma", "beta")

    def __init__(self, num_features: int, *, eps: float, dtype: npt.DTypeLike, fused: bool) -> None:
        self._features = positive_integer("num_features", num_features)
        dtype = float_dtype("dtype", dtype)
        self.gamma = Parameter(np.ones(self._features), dtype)
        self.beta = Parameter(np.zeros(self._features), dtype)
        self.eps, self.fused = finite("eps", eps), flag("fused", fused)

    def _facts(self) -> str:
        return ", ".join([str(self._features), *options(self)])

    def _checked(self, x: Any) -> Any:
        x = real_tensor(f"{type(self).__name__}: x", x, self.gamma.dtype)
        shape = x.shape
        if len(shape) != 2 or shape[1] != self._features:
            raise ValueError(
                f"{type(self).__name__}: expected (N, {self._features}), got {shape}: the layer has one "
                f"scale and one shift for each feature."
            )
        return x


class BatchNorm1d(_Norm):
    """Batch normalization of each feature; see `tinygrad_fc.batch_norm`.

    In training mode a batch is normalized by its own statistics, which also move the running ones:
    ``running = momentum * running + (1 - momentum) * batch's``, as in the course CS231n (PyTorch's momentum is 1 minus
    this one, and it divides the running variance by N - 1, as algorithm 2 of Ioffe and Szegedy, Batch Normalization,
    2015, does). In evaluation mode the running statistics are used.

    Parameters
    ----------
    num_features : int
        Features of an example.
    momentum : float
        Share of the running statistics that stays at a step, in [0, 1].
    eps : float
        Added to the variance.
    dtype : dtype
        Of the parameters and of the running statistics.
    fused : bool
        One operation with hand-written rules, or the same composed from primitives.

    Attributes
    ----------
    gamma, beta : Parameter, shape (num_features,)
        Scale, 1 at the start, and shift, 0.
    running_mean, running_var : ndarray, shape (num_features,)
        0 and 1 at the start. They belong to the state.
    """

    buffers = ("running_mean", "running_var")
    _options = ("momentum", "eps")

    def __init__(
        self, num_features: int, *, momentum: float = 0.9, eps: float = 1e-5, dtype: npt.DTypeLike = np.float32,
        fused: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps=eps, dtype=dtype, fused=fused)
        self.momentum = fraction("momentum", momentum)
        self.running_mean = np.zeros(self._features, self.gamma.dtype)
        self.running_var = np.ones(self._features, self.gamma.dtype)

    def forward(self, x: Any) -> Tensor:
        """Return the normalized batch, shape (N, num_features).

        Raises
        ------
        ValueError
            As `tinygrad_fc.batch_norm` does, fused or not, and before the running statistics have moved; if the shape
            does not fit; or if `momentum` was set out of [0, 1].
        TypeError
            If `x` holds anything but real numbers.
        """
        if not 0.0 <= self.momentum <= 1.0:
            fraction("BatchNorm1d: momentum", self.momentum)
        x = self._checked(x)
        arguments = (x, self.gamma, self.beta)
        if not self.training:
            return form(batch_norm_inference, self.fused)(*arguments, self.running_mean, self.running_var, self.eps)
        if self.fused:
            out, mean, variance = batch_norm(*arguments, self.eps)
        else:
            check_batch(len(x))
            values = widened(x.data)
            mean, variance = np.mean(values, axis=0), np.var(values, axis=0)
            check_spread("batch_norm", values, variance, self.eps, axis=0)
            out = form(batch_norm, False)(*arguments, self.eps)
        note, momentum = getattr(observer(), "averaged", None), float(self.momentum)  # NumPy's would widen the sum
        for running, batch in ((self.running_mean, mean), (self.running_var, variance)):
            if note is not None:
                note(running, batch, momentum)
            move_average(running, batch, momentum)
        return out


class LayerNorm(_Norm):
    """Layer normalization of each example over its features; see `tinygrad_fc.layer_norm`.

    Parameters
    ----------
    num_features : int
        Features of an example.
    eps, dtype, fused
        As in `BatchNorm1d`.

    Attributes
    ----------
    gamma, beta : Parameter, shape (num_features,)
        Scale, 1 at the start, and shift, 0.
    """

    _options = ("eps",)

    def __init__(
        self, num_features: int, *, eps: float = 1e-5, dtype: npt.DTypeLike = np.float32, fused: bool = True
    ) -> None:
        super().__init__(num_features, eps=eps, dtype=dtype, fused=fused)

    def forward(self, x: Any) -> Tensor:
        """Return the normalized examples, shape (N, num_features)."""
        x = self._checked(x)
        if not self.fused:
            values = widened(x.data)
            check_spread("layer_norm", values, np.var(values, axis=1, keepdims=True), self.eps, axis=1)
        return form(layer_norm, self.fused)(x, self.gamma, self.beta, self.eps)


class Dropout(Module):
    """Inverted dropout: in training mode each unit stays with probability `keep_ratio`, scaled by 1 / `keep_ratio`.

    See `tinygrad_fc.dropout`. In evaluation mode it returns what it is given.

    Parameters
    ----------
    keep_ratio : float
        In (0, 1]. (PyTorch's p is the probability to drop, 1 minus this.)
    seed : int, numpy.random.Generator or None
        Of the masks.
    fused : bool
        One operation with hand-written rules, or the same composed from primitives.
    """

    _options = ("keep_ratio",)

    def __init__(self, keep_ratio: float, *, seed: init.Seed = None, fused: bool = True) -> None:
        self.keep_ratio = check_keep_ratio("keep_ratio", keep_ratio)
        self.fused = flag("fused", fused)
        self._generator = init.generator(seed)

    def draw(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return a mask, bool, of which a share of `keep_ratio` is True. All randomness comes through here."""
        mask = np.empty(shape, np.bool_)
        kernels(mask).keep(self.draw_key(), math.ceil(self.keep_ratio * 2**53), mask)
        if (note := getattr(observer(), "masked", None)) is not None:
            note(self, mask)
        return mask

    def draw_key(self) -> np.ndarray:
        """Return the key of the next mask, a single uint64."""
        return np.frombuffer(self._generator.bytes(8), "<u8").astype(np.uint64)

    def forward(self, x: Any) -> Any:
        """Return `x` with units dropped, or, in evaluation mode, `x`."""
        if not self.training or self.keep_ratio == 1.0:
            return x
        if not isinstance(x, Tensor):
            x = constant(real_array("Dropout: x", x))
        return form(dropout, self.fused)(x, self.draw(x.shape), self.keep_ratio)


class Sequential(Module):
    """Modules in a row: each gets the result of the one before.

    ``net[i]`` is the module at a place, ``net[i:j]`` a new Sequential of the same modules, ``len(net)`` their number;
    iterating yields them in order. A module at a place can be exchanged, ``setattr(net, "1", nn.Tanh())``; there are no
    further places.

    Parameters
    ----------
    *modules : Module
        In the order in which they run; their names are "0", "1", ....

    Raises
    ------
    TypeError
        If an argument is no module.
    """

    _order: tuple[str, ...] = ()

    def __init__(self, *modules: Module) -> None:
        for n, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(f"Sequential: argument {n} is {type(module).__name__}, expected a Module.")
        self._order = tuple(map(str, range(len(modules))))
        for name, module in zip(self._order, modules, strict=True):
            setattr(self, name, module)

    def __setattr__(self, key: str, value: Any) -> None:
        if key.isdecimal():
            if key not in self._order:
                raise ValueError(
                    f"Sequential: {key!r} is no place among {len(self)} modules, and would not run: make a new one, "
                    f"Sequential(*net, module)."
                )
            if not isinstance(value, Module):
                raise TypeError(f"Sequential: given {type(value).__name__} for place {key}, expected a Module.")
        super().__setattr__(key, value)

    def forward(self, x: Any) -> Any:
        """Return what the last module makes of it."""
        for name in self._order:
            x = getattr(self, name)(x)
        return x

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Module]:
        return (getattr(self, name) for name in self._order)

    def __getitem__(self, index: Any) -> Any:
        modules = list(self)
        if not isinstance(index, slice):
            try:
                return modules[index]
            except TypeError:
                raise TypeError(f"Sequential: index {index!r}, expected an integer or a slice.") from None
            except IndexError:
                raise IndexError(f"Sequential: index {index} is out of range for {len(modules)} modules.") from None
        part = Sequential()
        part._order = tuple(map(str, range(len(modules[index]))))
        vars(part).update(zip(part._order, modules[index], strict=True), _label="")  # they keep their names in this one
        return part

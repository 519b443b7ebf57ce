"""What the course networks share: scores, a loss with regularization, and the course's interface over parameters."""

from __future__ import annotations

import contextlib
import string
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.node import no_grad
from ..engine.tensor import Tensor, constant
from ..fused import l2_penalty
from ..fused.arguments import finite
from ..nn.inputs import real_array, real_tensor
from ..nn.layers import BatchNorm1d, Dropout
from ..nn.losses import LOSSES
from ..nn.module import Module
from ..nn.state import Moving
from .trained import Params, ReplayedLoss, loss_and_gradients

if TYPE_CHECKING:
    import numpy.typing as npt


class Classifier(Module):
    """A network of layers in a row with a classification loss. Subclasses make the layers.

    Attributes
    ----------
    params : Params
        W1, b1, gamma1, beta1, W2, b2, ... as live arrays.
    reg : float
        Strength of the L2 regularization: 0.5 * reg * sum(W ** 2) over the weights is added to the loss.
    dtype : numpy.dtype
        Of the parameters. Arrays are cast to it; a tensor is computed with as it is, by NumPy's promotion.

    Parameters
    ----------
    layers : dict of str to Module
        In order, under names that end with the number of their block: ``fc1``, ``norm1``, ``dropout1``, ``fc2``, ....
    """

    def __init__(self, layers: dict[str, Module], reg: float, loss: str, fused: bool, dtype: npt.DTypeLike) -> None:
        if loss not in LOSSES:
            raise ValueError(f"loss: given {loss!r}, expected one of {', '.join(map(repr, LOSSES))}.")
        self.dtype = np.dtype(dtype)
        self.reg = reg
        tensors = {}
        for name, layer in layers.items():
            number = name.lstrip(string.ascii_letters)
            setattr(self, name, layer)
            for key, parameter in layer.named_parameters():
                tensors[f"{key}{number}"] = parameter
        self._layers = tuple(layers)
        # Whether training and evaluation differ.
        modules = [module for layer in layers.values() for _, module in layer.named_modules()]
        self._has_modes = any(isinstance(module, (BatchNorm1d, Dropout)) for module in modules)
        self.criterion = LOSSES[loss](fused=fused)
        self._fused = fused
        self._params = Params(tensors)
        finite("reg", reg)

    @property
    def params(self) -> Params:
        """The parameters under the course's names, live. Assigning a mapping writes its values, all or none."""
        return self._params

    @params.setter
    def params(self, values: Mapping[str, npt.ArrayLike]) -> None:
        self._params.write(values)

    def forward(self, x: Any) -> Tensor:
        """Return the scores, shape (N, num_classes), of a batch (N, d1, ..., dk)."""
        if not isinstance(x, Tensor):
            if type(x) is not np.ndarray or x.dtype is not self.dtype:
                x = real_array("X", x, self.dtype)
            x = constant(x, "X")
        elif x.dtype is not self.dtype:
            real_tensor("X", x)
        for name in self._layers:
            x = getattr(self, name)(x)
        return x

    def loss_tensor(self, X: Any, y: npt.ArrayLike) -> Tensor:
        """Return the loss with its regularization as a scalar tensor, to differentiate, draw or check.

        When it raises, running statistics and the generators of dropout are as they were before.

        Parameters
        ----------
        X : array or Tensor, shape (N, d1, ..., dk)
        y : array of integers, shape (N,)

        Raises
        ------
        ValueError
            If a shape does not fit, a label is out of range, or `reg` is negative or not finite.
        TypeError
            If the labels are no integers.
        """
        finite("reg", self.reg)
        if not self._has_modes or not self.training:
            return self._loss(X, y)
        before = Moving(getattr(self, name) for name in self._layers)
        try:
            return self._loss(X, y)
        except BaseException:
            before.put_back()
            raise

    def _loss(self, X: Any, y: npt.ArrayLike) -> Tensor:
        loss = self.criterion(self(X), y)
        if self.reg:
            # The last layer's first, the order in which the course's FullyConnectedNet adds them: sums round by order.
            for name, tensor in reversed(self.params.tensors.items()):
                if name[0] == "W":
                    penalty: Any = l2_penalty if self._fused else l2_penalty.op.compose
                    loss = loss + penalty(tensor, float(self.reg))
        return loss

    def loss(self, X: Any, y: npt.ArrayLike | None = None) -> Any:
        """Return scores, or the loss and its gradients: the course's interface.

        Parameters
        ----------
        X : array, shape (N, d1, ..., dk)
            A batch.
        y : array of integers, shape (N,), optional
            Labels.

        Returns
        -------
        scores : ndarray, shape (N, num_classes)
            Without `y`, in evaluation mode.
        loss, grads : float, dict of str to ndarray
            With `y`, in training mode; the gradients stand under the names of `params`, without those that are frozen.
        """
        with self._mode(training=y is not None):
            if y is None:
                with no_grad():
                    return self(X).data
            return loss_and_gradients(lambda: self.loss_tensor(X, y), self._params.tensors)

    def replayed_loss(self, optimizer: Any) -> ReplayedLoss:
        """Return `loss` with labels, replayed where that is safe."""
        return ReplayedLoss(self, [self], optimizer)

    def make_loss(self, X: Any, y: Any) -> Tensor:
        """Return `loss_tensor` in training mode."""
        with self._mode(training=True):
            return self.loss_tensor(X, y)

    @contextlib.contextmanager
    def _mode(self, training: bool) -> Iterator[None]:
        """Put the network into training or evaluation mode for a block, where there is a difference."""
        before = self.training
        change = self._has_modes and before is not training
        if change:
            self.train(training)
        try:
            yield
        finally:
            if change:
                self.train(before)

    @property
    def bn_params(self) -> list[Mapping[str, Any]]:
        """For each batch normalization ``mode`` and the running statistics: live arrays, in read-only mappings."""
        layers = [layer for layer in map(self.__dict__.get, self._layers) if isinstance(layer, BatchNorm1d)]
        mode = "train" if self.training else "test"
        return [
            MappingProxyType({"mode": mode, "running_mean": layer.running_mean, "running_var": layer.running_var})
            for layer in layers
        ]

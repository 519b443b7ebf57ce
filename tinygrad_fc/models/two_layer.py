"""TwoLayerNet: one hidden layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..nn import init
from ..nn.layers import positive_integer
from .fully_connected import FullyConnectedNet

if TYPE_CHECKING:
    import numpy.typing as npt


class TwoLayerNet(FullyConnectedNet):
    """affine - relu - affine - loss, the two-layer network of the course CS231n.

    Parameters
    ----------
    input_dim, hidden_dim, num_classes : int
        Features of an example, size of the hidden layer, number of classes.
    weight_scale : float or None
        Standard deviation of the initial weights; None takes Kaiming's.
    reg : float
        Strength of the L2 regularization.
    dtype, seed, fused, loss, activation
        As in `FullyConnectedNet`.
    """

    def __init__(
        self, input_dim: int = 3 * 32 * 32, hidden_dim: int = 100, num_classes: int = 10,
        weight_scale: float | None = 1e-3, reg: float = 0.0, *, dtype: npt.DTypeLike = np.float64,
        seed: init.Seed = None, fused: bool = True, loss: str = "softmax", activation: str = "relu",
    ) -> None:  # fmt: skip
        positive_integer("hidden_dim", hidden_dim)
        super().__init__(
            [hidden_dim], input_dim, num_classes,
            reg=reg, weight_scale=weight_scale, dtype=dtype, seed=seed, fused=fused, loss=loss,
            activation=activation,
        )  # fmt: skip

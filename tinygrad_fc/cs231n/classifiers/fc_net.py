"""The fully-connected networks of the course CS231n: of `tinygrad_fc.models`, drawn from the global generator.

The course's notebooks import everything from this module, and use the layers and NumPy that come with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import models, nn
from ..layer_utils import (
    affine_bn_relu_backward,
    affine_bn_relu_forward,
    affine_ln_relu_backward,
    affine_ln_relu_forward,
    affine_relu_backward,
    affine_relu_forward,
)
from ..layers import (
    affine_backward,
    affine_forward,
    batchnorm_backward,
    batchnorm_backward_alt,
    batchnorm_forward,
    dropout_backward,
    dropout_forward,
    layernorm_backward,
    layernorm_forward,
    relu_backward,
    relu_forward,
    softmax_loss,
    svm_loss,
)

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "FullyConnectedNet", "TwoLayerNet", "affine_backward", "affine_bn_relu_backward", "affine_bn_relu_forward",
    "affine_forward", "affine_ln_relu_backward", "affine_ln_relu_forward", "affine_relu_backward",
    "affine_relu_forward", "batchnorm_backward", "batchnorm_backward_alt", "batchnorm_forward", "dropout_backward",
    "dropout_forward", "layernorm_backward", "layernorm_forward", "np", "relu_backward", "relu_forward", "softmax_loss",
    "svm_loss",
]  # fmt: skip

# The generator behind np.random.randn and its like, under the name that scikit-learn, too, takes it from. Nothing else
# has its state: a RandomState on the same bits would still keep a second number of each normal pair to itself.
_GLOBAL = np.random.mtrand._rand


class TwoLayerNet(models.TwoLayerNet):
    """affine - relu - affine - softmax, of float64; see `tinygrad_fc.models.TwoLayerNet`.

    Parameters
    ----------
    input_dim, hidden_dim, num_classes : int
        Features of an example, size of the hidden layer, number of classes.
    weight_scale : float
        Standard deviation of the initial weights, which are drawn from NumPy's global generator, W1 before W2.
    reg : float
        Strength of the L2 regularization: 0.5 * reg * sum(W ** 2) over the weights is added to the loss.

    Raises
    ------
    ValueError, TypeError
        Naming the argument that is out of range or of a wrong type.
    """

    def __init__(
        self, input_dim: int = 3 * 32 * 32, hidden_dim: int = 100, num_classes: int = 10, weight_scale: float = 1e-3,
        reg: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(input_dim, hidden_dim, num_classes, weight_scale, reg, seed=_GLOBAL)


class FullyConnectedNet(models.FullyConnectedNet):
    """{affine - [norm] - relu - [dropout]} x (L - 1) - affine - softmax; see `tinygrad_fc.models.FullyConnectedNet`.

    Weights are drawn from NumPy's global generator in the order of the layers, and so are the masks of dropout. Running
    variances start at 0, as those of ``batchnorm_forward`` do.

    Parameters
    ----------
    hidden_dims : sequence of int
        Size of each hidden layer.
    input_dim, num_classes : int
        Features of an example, number of classes.
    dropout_keep_ratio : float
        Probability, in (0, 1], that a hidden unit stays; 1 makes no dropout.
    normalization : {None, "batchnorm", "layernorm"}
        What stands between each hidden layer and its relu.
    reg : float
        Strength of the L2 regularization.
    weight_scale : float
        Standard deviation of the initial weights.
    dtype : dtype
        Of the parameters; inputs are cast to it. float64 for gradient checks.
    seed : int, optional
        For dropout alone: each layer seeds the global generator with it at each pass, so that the masks repeat and the
        loss can be differentiated numerically.

    Raises
    ------
    ValueError, TypeError
        Naming the argument that is out of range or of a wrong type.
    """

    def __init__(
        self, hidden_dims: Sequence[int], input_dim: int = 3 * 32 * 32, num_classes: int = 10,
        dropout_keep_ratio: float = 1, normalization: str | None = None, reg: float = 0.0, weight_scale: float = 1e-2,
        dtype: npt.DTypeLike = np.float32, seed: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            hidden_dims, input_dim, num_classes, reg=reg, weight_scale=weight_scale, dtype=dtype, seed=_GLOBAL,
            normalization=normalization, dropout_keep_ratio=dropout_keep_ratio,
        )  # fmt: skip
        for _, buffer in self.named_buffers():
            buffer[...] = 0
        for name, layer in list(self.named_modules()):
            if isinstance(layer, nn.Dropout):
                setattr(self, name, _Dropout(layer.keep_ratio, seed))


class _Dropout(nn.Dropout):
    """Dropout whose masks come from NumPy's global generator, seeded anew at each pass where a seed is given."""

    def __init__(self, keep_ratio: float, seed: int | None) -> None:
        super().__init__(keep_ratio, seed=seed)
        self.seed = seed

    def draw(self, shape: tuple[int, ...]) -> np.ndarray:
        mask: np.ndarray = np.random.random(shape) < self.keep_ratio  # noqa: NPY002  # as the module says
        return mask

    def forward(self, x: Any) -> Any:
        if self.seed is not None:
            np.random.seed(self.seed)  # noqa: NPY002  # in testing, too, as `dropout_forward` does
        return super().forward(x)

"""FullyConnectedNet: any number of hidden layers with relu, or another activation, between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..fused.arguments import finite
from ..fused.dropout import check_keep_ratio
from ..nn import init
from ..nn.activations import ACTIVATIONS, check_activation
from ..nn.layers import BatchNorm1d, Dropout, LayerNorm, Linear, positive_integer
from ..nn.module import Module
from .classifier import Classifier

if TYPE_CHECKING:
    import numpy.typing as npt


_NORMS: dict[str, Any] = {"batchnorm": BatchNorm1d, "layernorm": LayerNorm}


class FullyConnectedNet(Classifier):
    """{affine - [norm] - relu - [dropout]} x (L - 1) - affine - loss, the network of the course CS231n.

    Parameters
    ----------
    hidden_dims : sequence of int
        Size of each hidden layer; may be empty.
    input_dim : int
        Features of an example (the product of its axes).
    num_classes : int
        Number of classes.
    reg : float
        Strength of the L2 regularization.
    weight_scale : float or None
        Standard deviation of the initial weights; None takes Kaiming's, sqrt(2 / fan_in), layer by layer.
    dtype : dtype
        Of the parameters; float64 for gradient checks.
    seed : int, numpy.random.Generator or None
        For the initial weights, drawn in layer order.
    fused : bool
        Fused operations, or the same network composed from primitives.
    loss : {"softmax", "svm"}
        The loss.
    normalization : {None, "batchnorm", "layernorm"}
        What stands between each hidden layer and its relu; its parameters are gamma1, beta1, ....
    dropout_keep_ratio : float
        Probability, in (0, 1], that a hidden unit stays; 1 makes no dropout.
    activation : str
        What stands in the place of relu: a name of ``nn.ACTIVATIONS``.

    Attributes
    ----------
    params, reg, dtype, bn_params
        As `Classifier` has them.
    fc1, fc2, ... : Linear
        The layers. With a normalization ``norm1``, ... (`BatchNorm1d` or `LayerNorm`) and ``relu1``, ... (``act1`` for
        another activation) stand between them, and with dropout ``dropout1``, ....
    criterion : Module
        The loss.

    Raises
    ------
    ValueError, TypeError
        Naming the argument that is out of range or of a wrong type.

    Examples
    --------
    >>> import numpy as np, tinygrad_fc as tg
    >>> model = tg.models.FullyConnectedNet([20, 30], input_dim=15, num_classes=10, seed=0)
    >>> model.loss(np.ones((4, 15))).shape
    (4, 10)
    """

    def __init__(
        self, hidden_dims: Sequence[int], input_dim: int = 3 * 32 * 32, num_classes: int = 10, *, reg: float = 0.0,
        weight_scale: float | None = 1e-2, dtype: npt.DTypeLike = np.float32, seed: init.Seed = None,
        fused: bool = True, loss: str = "softmax", normalization: str | None = None, dropout_keep_ratio: float = 1.0,
        activation: str = "relu",
    ) -> None:  # fmt: skip
        given: object = hidden_dims  # it may be anything, whatever the annotation says
        if isinstance(given, (int, np.integer)):
            raise TypeError(f"hidden_dims: given {given}, expected a list of sizes: [{given}].")
        if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
            raise TypeError(f"hidden_dims: given {given!r}, expected a list of sizes, e.g. [100, 100].")
        sizes = [
            positive_integer("input_dim", input_dim),
            *[positive_integer(f"hidden_dims[{n}]", size) for n, size in enumerate(hidden_dims)],
            positive_integer("num_classes", num_classes),
        ]
        if weight_scale is not None:
            finite("weight_scale", weight_scale)
        finite("reg", reg)
        generator = init.generator(seed)
        if normalization is not None and normalization not in _NORMS:
            raise ValueError(
                f"normalization: given {normalization!r}, expected None, {' or '.join(map(repr, _NORMS))}."
            )
        check_keep_ratio("dropout_keep_ratio", dropout_keep_ratio)
        check_activation(activation)
        layers: dict[str, Module] = {}
        for n, (into, out) in enumerate(zip(sizes, sizes[1:], strict=False), 1):
            hidden = n < len(sizes) - 1
            follows = activation if hidden and normalization is None else None
            layers[f"fc{n}"] = Linear(
                into, out, follows, weight_scale=weight_scale, dtype=dtype, seed=generator, fused=fused
            )
            if hidden and normalization is not None:
                layers[f"norm{n}"] = _NORMS[normalization](out, dtype=dtype, fused=fused)
                layers[f"{'relu' if activation == 'relu' else 'act'}{n}"] = ACTIVATIONS[activation](fused=fused)
            if hidden and dropout_keep_ratio < 1.0:
                layers[f"dropout{n}"] = Dropout(dropout_keep_ratio, seed=generator, fused=fused)
        super().__init__(layers, reg, loss, fused, dtype)

"""From arrays to the tape and back: what all layers of the course share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import fused
from ..engine.backward import gradients
from ..engine.node import Node, leaf, recording
from ..engine.tensor import Tensor, constant
from ..fused.arguments import finite

if TYPE_CHECKING:
    import numpy.typing as npt


class Cache:
    """What a forward pass leaves for the backward pass; hand it on as it is.

    Attributes
    ----------
    layer : str
        Which layer made it.
    out : Tensor
        The result, with its place on the tape: ``tg.draw(cache.out)`` shows it.
    inputs : list of Tensor
        The arguments, in order, as leaves of the tape.
    """

    __slots__ = ("inputs", "layer", "out")

    def __init__(self, layer: str, out: Tensor, inputs: list[Tensor]) -> None:
        self.layer, self.out, self.inputs = layer, out, inputs

    def __repr__(self) -> str:
        return f"<Cache of {self.layer}: out {self.out.shape}>"


def record(layer: str, function: Callable[..., Tensor], **arrays: npt.ArrayLike) -> tuple[np.ndarray, Cache]:
    """Run `function` on tensors of `arrays`, and return its values and the cache for `pull_back`."""
    inputs = [_leaf(name, value) for name, value in arrays.items()]
    out = function(*inputs)
    values, node = out.data, out.node
    # Some rules read the result, relu's for one. What the caller does to his result must not reach them.
    if type(node) is Node and any(kept is values for kept in node.saved or ()):
        values = values.copy()
    return values, Cache(layer, out, inputs)


def pull_back(layer: str, dout: npt.ArrayLike, cache: Cache) -> tuple[np.ndarray, ...]:
    """Return the gradients of the inputs of `cache`, given that of its result."""
    _check(layer, cache)
    return _gradients(cache.out, dout, cache.inputs)


def pull_back_composed(layer: str, dout: npt.ArrayLike, cache: Cache) -> tuple[np.ndarray, ...]:
    """Return the same gradients, taken through the primitives that the fused operation is composed of."""
    _check(layer, cache)
    node: Any = cache.out.node
    with recording():
        out = node.op.compose(*cache.inputs, **node.info["static"])
    return _gradients(out, dout, cache.inputs)


def options(label: str, param: Any) -> Mapping[str, Any]:
    """Return a parameter dictionary, or raise TypeError when it is none."""
    if not isinstance(param, Mapping):
        raise TypeError(f"{label}: given {type(param).__name__}, expected a dict such as {{'mode': 'train'}}.")
    return param


def mode_of(label: str, param: Mapping[str, Any]) -> str:
    """Return the mode that a parameter dictionary asks for, or raise ValueError."""
    mode = options(label, param).get("mode")
    if mode not in ("train", "test"):
        raise ValueError(f"{label}: mode is {mode!r}, expected 'train' or 'test': {{'mode': 'train'}}.")
    return str(mode)


def loss_of(operation: Callable[..., Tensor], x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[float, np.ndarray]:
    """Return the value of a loss of scores and labels, and its gradient."""
    scores = _leaf("x", x)
    with recording():  # the gradient is a result here, so it is computed under `no_grad`, too
        loss = operation(scores, y)
    (dx,) = gradients(loss, scores)
    return loss.item(), dx.data


def normalize_batch(x: Tensor, gamma: Tensor, beta: Tensor, bn_param: MutableMapping[str, Any]) -> Tensor:
    """Record batch normalization in the mode of `bn_param`, and put the running statistics there."""
    mode, eps = mode_of("bn_param", bn_param), finite("bn_param: eps", bn_param.get("eps", 1e-5))
    momentum = finite("bn_param: momentum", bn_param.get("momentum", 0.9))
    if momentum > 1.0:
        raise ValueError(f"bn_param: momentum is {momentum}, expected a number in [0, 1].")
    running = {}
    for name in ("running_mean", "running_var"):
        running[name] = np.asarray(bn_param.get(name, np.zeros(x.shape[1:], x.dtype)))
        if running[name].dtype.kind not in "biuf":
            raise TypeError(f"bn_param: {name} has dtype {running[name].dtype}, expected real numbers.")
        if running[name].shape != x.shape[1:]:
            raise ValueError(
                f"bn_param: {name} has shape {running[name].shape}, expected {x.shape[1:]}: one number a feature."
            )
    if mode == "train":
        out, *batch = fused.batch_norm(x, gamma, beta, eps)
        for (name, old), new in zip(running.items(), batch, strict=True):
            running[name] = momentum * old + (1.0 - momentum) * new
    else:
        # Copied, so that what is written into them between the passes does not reach the gradient.
        out = fused.batch_norm_inference(x, gamma, beta, *[value.copy() for value in running.values()], eps)
    bn_param.update(running)
    return out


def normalize_layer(x: Tensor, gamma: Tensor, beta: Tensor, ln_param: Mapping[str, Any]) -> Tensor:
    """Record layer normalization."""
    return fused.layer_norm(x, gamma, beta, finite("ln_param: eps", options("ln_param", ln_param).get("eps", 1e-5)))


def _gradients(out: Tensor, dout: npt.ArrayLike, inputs: list[Tensor]) -> tuple[np.ndarray, ...]:
    upstream = np.asarray(dout)
    if upstream.shape != out.shape:
        raise ValueError(f"dout: given shape {upstream.shape}, expected that of the layer's result, {out.shape}.")
    return tuple(d.data for d in gradients(out, inputs, upstream, retain_graph=True))


def _leaf(name: str, value: npt.ArrayLike) -> Tensor:
    """Return a leaf of the values, without a copy."""
    array = np.asarray(value)
    if array.dtype.kind in "biu":
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise TypeError(f"{name}: given dtype {array.dtype}, expected real numbers.")
    result = constant(array)
    result.node = leaf(array, name)
    return result


def _check(layer: str, cache: object) -> None:
    if not isinstance(cache, Cache):
        raise TypeError(
            f"cache: given {type(cache).__name__}, expected the second result of {layer}_forward: "
            f"out, cache = {layer}_forward(...)."
        )
    if cache.layer != layer:
        raise ValueError(f"cache: given the one of {cache.layer}_forward, expected the one of {layer}_forward.")
    if type(cache.out.node) is not Node:
        raise TypeError(f"cache: {layer}_forward ran under no_grad(), so nothing was recorded for {layer}_backward.")

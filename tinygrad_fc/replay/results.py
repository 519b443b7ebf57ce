"""Results: what goes into a replay and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..engine.node import Node
from ..engine.tensor import Tensor, constant
from .trace import Unfit

if TYPE_CHECKING:
    from .lower import Lowered


def argument(value: Any) -> np.ndarray:
    """Return the array of an argument."""
    if type(value) is Tensor and type(value.node) is not Node:
        value = value._array
    if type(value) is np.memmap:
        value = np.asarray(value)
    if type(value) is not np.ndarray:
        cure = ""
        if isinstance(value, (bool, int, float)):
            cure = ": set a number that changes outside, optimizer.learning_rate = ... say, or keep it in an nn.Module"
        raise Unfit(f"an argument is of {type(value).__name__}, expected an array, or a tensor that needs no gradient"
                    f"{cure}")  # fmt: skip
    if value.dtype.kind not in "fiu":
        raise Unfit(f"an argument is of dtype {value.dtype}, expected floats or integers")
    if not value.dtype.isnative:
        raise Unfit(f"an argument is of dtype {value.dtype.str}, expected the machine's byte order: "
                    f"X.astype(np.{value.dtype.name})")
    if not value.flags.c_contiguous:
        raise Unfit("an argument is not contiguous: np.ascontiguousarray(X) is")
    return value


def shape_of(result: Any, lowered: Lowered, handed: Mapping[Node, np.ndarray]) -> Any:
    """Return the structure of a result with arrays of the program in the place of its tensors."""
    if isinstance(result, Tensor):
        node = lowered.gradient_of(result._array)
        return lowered.computed(result._array) if node is None else Shared(handed[node])
    if result is None:
        return None
    if type(result) in (tuple, list):
        return type(result)([shape_of(item, lowered, handed) for item in result])
    if type(result) is dict:
        return {key: shape_of(item, lowered, handed) for key, item in result.items()}
    if isinstance(result, np.ndarray):
        raise Unfit("it returns an array, expected tensors: the caller has its arguments already")
    raise Unfit(f"it returns {type(result).__name__}, expected tensors")


class Shared(NamedTuple):
    """A gradient in a result: it is handed out as it is, since what others hold is noticed."""

    array: np.ndarray


def filled(shape: Any) -> Any:
    """Return a result of the structure that `shape_of` returned, with the values that are there now."""
    if type(shape) is Shared:
        return constant(shape.array)
    if isinstance(shape, np.ndarray):
        return constant(shape.copy())
    if isinstance(shape, (tuple, list)):
        return type(shape)([filled(item) for item in shape])
    if isinstance(shape, dict):
        return {key: filled(item) for key, item in shape.items()}
    return shape


def detached(result: Any, alive: bool = False) -> Any:
    """Return a result with its tensors as constants, as a replay returns them; but those that are `alive` on request.

    These are tensors that backward may still go through: a step that goes backward itself has none.
    """
    if isinstance(result, Tensor):
        node = result.node
        keeps = alive and type(node) is Node and (node.op is None or node.saved is not None)
        return result if keeps else constant(result._array)
    if type(result) in (tuple, list):
        return type(result)([detached(item, alive) for item in result])
    if type(result) is dict:
        return {key: detached(item, alive) for key, item in result.items()}
    return result

"""What the transforms need of the tape: inputs of their own, and the tensors from outside that a result depends on."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.node import Constant, Node, leaf
from ..engine.tensor import Tensor
from ..graph import Graph

# What marks the leaves that a transform made for a function's arguments, among the rare facts of a node.
_OWN = "argument"


def needs_gradient(value: Any) -> bool:
    """Whether `value` is a tensor that gradients flow to."""
    return isinstance(value, Tensor) and type(value.node) is Node


def own_leaf(data: np.ndarray, name: str | None = None) -> Tensor:
    """Return a new leaf of `data`, which is not copied, marked as an argument of a transformed function."""
    result = on_tape(data, leaf(data, name))
    result.node.note(_OWN, True)  # type: ignore[union-attr]  # a Node: it was just made
    return result


def on_tape(data: np.ndarray, node: Node | Constant) -> Tensor:
    """Return a tensor of `data` at a given place of the tape."""
    result = Tensor()
    result._array, result.node = data, node
    return result


def stand_in(node: Node | Constant) -> Tensor:
    """Return a tensor at the place of `node` that can be asked for its gradient, and whose values none may read."""
    return on_tape(np.broadcast_to(np.zeros((), node.dtype), node.shape), node)


def outside(results: list[Tensor], start: int) -> list[Node]:
    """Return the nodes from outside that were read to compute `results` since the clock stood at `start`.

    These are nodes that are older, and leaves that no transform made. A leaf is younger, and marked, where it is an
    argument of this transform, or of one that ran and ended inside.
    """
    ends = [result.node for result in results if isinstance(result, Tensor) and type(result.node) is Node]
    if not ends:
        return []
    boxes = Graph.of(ends, bare=True).nodes
    read = {position: None for box in boxes if _inside(box.node, start) for _, position in box.inputs}
    read.update((box.id, None) for box in boxes if any(box.node is end for end in ends))
    nodes = [boxes[position].node for position in sorted(read)]
    return [node for node in nodes if type(node) is Node and not _inside(node, start)]


def _inside(node: Any, start: int) -> bool:
    if type(node) is not Node or node.number <= start:
        return False
    return node.op is not None or bool(node.info and _OWN in node.info)

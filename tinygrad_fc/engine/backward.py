"""Backward: collect what is reachable, newest first, let pull.py run the rules, and hand out the gradients.

`gradients` is the base: it returns gradients and writes nothing. ``Tensor.backward`` stands on it and accumulates into
the leaves. Neither recurses, so the depth of a graph is bounded by memory alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from .dispatch import functions
from .node import MODE, Block, Node, observer, recording
from .pull import pull, pull_recorded
from .tensor import Tensor, constant

if TYPE_CHECKING:
    import numpy.typing as npt

_number = attrgetter("number")


def backward(output: Tensor, gradient: npt.ArrayLike | None = None, retain_graph: bool = False) -> None:
    """Accumulate gradients into the leaves of `output`; see ``Tensor.backward``."""
    root, seed = _seed(output, gradient, "backward: gradient")
    order, leaves, pending = _collect({root: seed}, None)
    found, owned = pull(order, pending, retain_graph)
    for node in leaves:
        d = found[node]
        new = d if node in owned or node.grad is not None else np.array(d, order="C")
        node.grad = new if node.grad is None else np.asarray(node.grad + new)


def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: npt.ArrayLike | Sequence[npt.ArrayLike | None] | None = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> list[Tensor]:
    """Return the gradients of `outputs` with respect to `inputs`, as tensors; no ``grad`` is written.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        What is differentiated; several are summed, each weighted with its entry of `grad_outputs`.
    inputs : Tensor or sequence of Tensor
        Leaves or computed tensors that need a gradient. Only the part of the graph that leads to them is visited.
    grad_outputs : array_like, Tensor or sequence of them, optional
        For each output the gradient of the final result with respect to it, of its shape; 1 for a scalar.
    create_graph : bool
        Record the derivative itself, so that it can be differentiated again.
    retain_graph : bool, optional
        Keep what the rules read; `create_graph` by default.

    Returns
    -------
    list of Tensor
        One for each input, of its shape and dtype; zeros where the outputs do not depend on it.

    Raises
    ------
    TypeError
        If an output or input needs no gradient.
    ValueError
        If an output is no scalar and has no entry in `grad_outputs`, or one of another shape.
    RuntimeError
        If the graph was freed by an earlier backward, or a leaf was overwritten since it was used.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> (first,) = tg.gradients(x**3, x, create_graph=True)
    >>> (second,) = tg.gradients(first, x)
    >>> first.item(), second.item()
    (12.0, 12.0)
    """
    outputs, inputs = _listed("outputs", outputs), _listed("inputs", inputs)
    if grad_outputs is None:
        weights: list[Any] = [None] * len(outputs)
    elif len(outputs) == 1 and not (isinstance(grad_outputs, (list, tuple)) and _one_for(outputs[0], grad_outputs)):
        weights = [grad_outputs]
    else:
        weights = list(grad_outputs) if isinstance(grad_outputs, (Sequence, np.ndarray)) else [grad_outputs]
    if len(weights) != len(outputs):
        raise ValueError(f"gradients: given {len(weights)} grad_outputs for {len(outputs)} outputs, expected one each.")
    retain = create_graph if retain_graph is None else retain_graph
    targets: list[Node] = []
    for position, item in enumerate(inputs):
        if not isinstance(item, Tensor) or type(item.node) is not Node:
            raise TypeError(f"gradients: inputs[{position}] needs no gradient: make it with requires_grad=True.")
        targets.append(item.node)
    found: dict[Node, Any] = {}
    with recording(observer()) if create_graph else Block(MODE.get()):  # what is made of the weights is recorded, too
        for position, (output, weight) in enumerate(zip(outputs, weights, strict=True)):
            if not isinstance(output, Tensor) or type(output.node) is not Node:
                raise functions.refusals().untracked(f"gradients: outputs[{position}]", output)
            root, seed = _seed(output, weight, f"gradients: grad_outputs[{position}]", create_graph)
            found[root] = found[root] + seed if root in found else seed
    order, _, found = _collect(found, set(targets))
    if create_graph:
        with recording(observer()):
            found = pull_recorded(order, found, set(targets), retain)
        results = []
        for item, target in zip(inputs, targets, strict=True):
            if (value := found.get(target)) is None:
                value = constant(np.zeros(target.shape, target.dtype))
            # A gradient that does not depend on the input, as a linear function's, has a derivative too: zero.
            results.append(value if value.requires_grad else functions.independent(value, item))
        return results
    found, owned = pull(order, found, retain, set(targets))
    results = []
    for target in targets:
        value = np.zeros(target.shape, target.dtype) if (value := found.get(target)) is None else value
        results.append(constant(value if target in owned else np.array(value, order="C")))
        owned.discard(target)  # a second request for the same target gets a copy of its own
    return results


def _one_for(output: Any, given: Any) -> bool:
    """Whether a list holds the one weight of one output, and is not itself the weight, written as a list."""
    return len(given) == 1 and (given[0] is None or np.shape(given[0]) == np.shape(getattr(output, "data", 0)))


def _listed(argument: str, given: Any) -> list[Any]:
    if isinstance(given, Tensor):
        return [given]
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"gradients: {argument}: given {type(given).__name__}, expected a Tensor or a list of them.")
    if not given:
        raise ValueError(f"gradients: {argument} is empty, expected at least one Tensor.")
    return list(given)


def _seed(output: Tensor, gradient: Any, argument: str, create_graph: bool = False) -> tuple[Node, Any]:
    """Return the node of `output` and its own gradient, checked."""
    node = output.node if isinstance(output, Tensor) else None
    if type(node) is not Node:
        raise functions.refusals().untracked("backward: the tensor", output)
    if gradient is None:
        if node.shape != () and output._array.size != 1:
            raise functions.refusals().no_scalar(node, argument)
        gradient = np.ones(node.shape, node.dtype)
    elif isinstance(gradient, Tensor):
        if create_graph and gradient.shape == node.shape:
            return node, gradient if gradient.dtype == node.dtype else functions.astype(gradient, node.dtype)
        if gradient.requires_grad and not create_graph:
            raise functions.refusals().tracked_seed(argument)
        gradient = gradient.data
    seed = np.asarray(gradient)
    if seed.shape != node.shape:
        raise ValueError(f"{argument} has shape {seed.shape}, expected that of the tensor, {node.shape}.")
    if seed.dtype.kind not in "biuf":
        raise TypeError(f"{argument} has dtype {seed.dtype}, expected {node.dtype}.")
    seed = seed.astype(node.dtype, copy=False)
    return node, constant(seed) if create_graph else seed


def _collect(seeds: dict[Node, Any], targets: set[Node] | None) -> tuple[list[Node], list[Node], dict[Node, Any]]:
    """Return what is reachable from the nodes of `seeds` (and leads to `targets`); refuse freed and stale graphs.

    Operations come newest first. The leaves, which have no rules to run, come last, or in their places where somebody
    watches; they are also the second result. The third has an entry for each node: its seed or None. Nothing has run
    yet when a graph is refused, so a refused backward changes nothing.
    """
    order, leaves = [node for node in seeds if node.op is not None], [node for node in seeds if node.op is None]
    pending, freed, oldest, ordered = dict(seeds), [], sys.maxsize, observer() is None
    for node in order:  # which grows while it is walked, and is in order if each node is the oldest so far
        if node.number < oldest:
            oldest = node.number
        else:
            ordered = False
        if node.saved is None:
            freed.append(node)
        x, y = node.left, node.right
        if x is not None:  # the commonest nodes, unrolled
            if x not in pending:
                pending[x] = None
                (order if x.op is not None else leaves).append(x)
            if y not in pending:
                pending[y] = None
                (order if y.op is not None else leaves).append(y)
            continue
        for parent in node.others:
            if parent not in pending and type(parent) is Node:
                pending[parent] = None
                (order if parent.op is not None else leaves).append(parent)
    order += leaves
    if not ordered:
        order.sort(key=_number, reverse=True)
    if targets is not None:
        leads = set(targets)
        for node in reversed(order):
            if not leads.isdisjoint(node.parents):
                leads.add(node)
        order = [node for node in order if node in leads]
        pending = {node: pending[node] for node in order}
    if any(leaf.number > oldest for leaf in leaves):  # else every leaf is older than all that used it
        for node in order:
            for parent in node.parents:
                if type(parent) is Node and parent.op is None and parent.number > node.number:
                    raise functions.refusals().overwritten(parent, node)
    for node in freed:
        if node in pending and not pending.keys().isdisjoint(node.parents):
            raise functions.refusals().freed(node)
    return order, leaves, pending

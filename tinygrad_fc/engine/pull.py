"""Pull: run the rules of each node, newest first: on arrays (the fast path), or on tensors (and so recorded)."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy import ndarray

from .dispatch import UFUNCS, functions
from .node import Node, Observer, observer
from .operation import Op
from .tensor import Tensor, constant

_PLACES = range(sys.maxsize)


def pull(
    order: list[Node], pending: dict[Node, Any], retain: bool, targets: set[Node] | frozenset[Node] = frozenset()
) -> tuple[dict[Node, Any], set[Node]]:
    """Run the rules on arrays. Return the gradients of leaves and targets, and whose arrays are the engine's own.

    They come in `pending`, which has a seed or None for each node of `order`. Without targets it is ``Tensor.backward``
    that asks, and ``retain_grad`` is heeded. Sums are written only into the arrays of `owned`; any other may be a saved
    value, a view or another's gradient.
    """
    owned: set[Node] = set()
    plus, everything, watcher, node = np.add, not targets, observer(), None

    def meet(parent: Node, d: Any, node: Any, g: Any, saved: Any) -> None:
        """Take the first contribution to `parent`, or add a further one to what is not ours to write."""
        prior = pending[parent]
        if prior is None:
            pending[parent] = d
            if (parent.op is None or parent in targets) and node.op.proved and _is_fresh(d, g, saved):
                owned.add(parent)
        else:
            pending[parent] = d = plus(prior, d)
            if type(d) is ndarray:
                owned.add(parent)

    try:
        for node in order if watcher is None else watcher.walk(order, pending):
            self = node.op
            g = pending[node]
            if self is None or g is None:
                continue
            if everything:
                pending[node] = None
                if node.info is not None and "retain" in node.info:
                    node.grad = np.array(g, order="C") if node.grad is None else np.asarray(node.grad + g)
            elif node not in targets:
                pending[node] = None
            elif all(type(parent) is not Node or parent not in pending for parent in node.parents):
                continue  # nothing older is asked for
            saved: Any = node.saved
            if not retain:
                node.saved = None
            x, y = node.left, node.right
            if x is not None and watcher is None and self.pair:
                if everything or x in pending and y in pending:
                    # The commonest nodes, unrolled: a ufunc of two tensors, both asked for, whose rules read one thing.
                    pull_x, pull_y, pick_x, pick_y = self.pair
                    kind = node.kind
                    d = pull_x(g, saved[pick_x])
                    if x.kind is not kind:
                        d = fit(d, x, node, 0)
                    prior = pending[x]
                    if prior is None and x.op is not None:
                        pending[x] = d
                    elif x in owned:
                        plus(prior, d, prior)
                    else:
                        meet(x, d, node, g, saved)
                    d = pull_y(g, saved[pick_y])
                    if y.kind is not kind:
                        d = fit(d, y, node, 1)
                    prior = pending[y]
                    if prior is None and y.op is not None:
                        pending[y] = d
                    elif y in owned:
                        plus(prior, d, prior)
                    else:
                        meet(y, d, node, g, saved)
                    continue
            pulls, picks = (self.pulls, self.picks) if self.variadic is None else self.pulls_of(node)
            if self.pull_via is not None:
                g = self.pull_via(g, saved)
            # Of a ufunc of one tensor all is known; beside a constant, of integers say, a gradient may come out wider.
            trusted = self.trusted and len(node.parents) == 1
            for parent, rule, pick, place in zip(node.parents, pulls, picks, _PLACES):  # noqa: B905  # _PLACES has no end
                if type(parent) is Node and (everything or parent in pending):
                    d = rule(g, saved if pick is None else saved[pick])
                    if trusted:
                        if parent.kind is not node.kind:
                            d = fit(d, parent, node, place)
                    elif type(d) is not ndarray or d.shape != parent.kind[0] or d.dtype is not parent.kind[1]:
                        d = fit(d, parent, node, place)
                    if watcher is not None:
                        watcher.pulled(node, place, d, parent)
                    if everything and parent.op is not None and pending[parent] is None:
                        pending[parent] = d
                    elif parent in owned:
                        prior = pending[parent]
                        plus(prior, d, prior)
                    else:
                        meet(parent, d, node, g, saved)
    except Exception as error:
        if node is not None:
            if watcher is not None:
                watcher.failed(node, error)
            functions.refusals().note_rules(error, node)
        raise
    return pending, owned


def _is_fresh(d: Any, g: Any, saved: Any) -> bool:
    """Whether a rule's result is an array of its own, and not a view, its input, or a saved value."""
    return type(d) is ndarray and d.base is None and d is not g and id(d) not in map(id, saved)


def fit(d: Any, parent: Node, node: Node, position: int, recorded: bool = False) -> Any:
    """Return a rule's result with the shape and dtype of `parent`: summed over broadcast axes, cast, or refused."""
    self: Any = node.op
    shape, dtype, _ = parent.kind
    tensor = isinstance(d, Tensor)
    if tensor and not recorded:  # the rule called tensor functions
        d, tensor = d._array, False
    if not tensor and type(d) is not ndarray:
        if not isinstance(d, (ndarray, np.generic)):
            raise functions.refusals().unfit(self, node, position, parent, d)
        d = np.asarray(d)
    if d.shape != shape:
        lead = d.ndim - len(shape)
        if lead < 0 and self.broadcasts and set(shape[:-lead]) == {1}:  # into fewer axes: t.at[0].set(v[None])
            d, lead = d.reshape((1,) * -lead + d.shape), 0
        pairs = zip(d.shape[lead:], shape, strict=True)
        sums = self.broadcasts and lead >= 0 and all(have == want or want == 1 for have, want in pairs)
        # A rule of ours may return what is still to be summed; another's has the shape of the result, or is at fault.
        if not sums or not (self.proved or d.shape == node.shape):
            raise functions.refusals().unfit(self, node, position, parent, d)
        stretched = [axis for axis in range(lead, d.ndim) if shape[axis - lead] == 1 and d.shape[axis] != 1]
        d = np.add.reduce(d, axis=(*range(lead), *stretched)) if lead or stretched else d
        d = d.reshape(shape) if tensor else np.asarray(d).reshape(shape)
    if d.dtype != dtype:
        # A float32 argument beside a float64 one got a float64 gradient: cast it back. Anything else is a fault.
        if d.dtype.kind != "f" or (d.dtype != node.dtype and not (self.broadcasts and self.proved)):
            raise functions.refusals().unfit(self, node, position, parent, d)
        d = functions.astype(d, dtype) if tensor else d.astype(dtype)
    return d


def pull_recorded(order: list[Node], pending: dict[Node, Any], targets: set[Node], retain: bool) -> dict[Node, Any]:
    """Run the same rules on tensors, so that NumPy's dispatch records them: the base of every higher order."""
    watcher, node = Observer() if (seen := observer()) is None else seen, None
    try:
        for node in watcher.walk(order, pending):
            self = node.op
            g = pending[node]
            if self is None or g is None:
                continue
            if node not in targets:
                pending[node] = None
            wanted = [type(parent) is Node and parent in pending for parent in node.parents]
            if not any(wanted):
                continue
            results = (_through_rules if self.recordable else _through_compose)(self, node, g, wanted)
            if not retain:
                node.saved = None
            for position, (parent, want, d) in enumerate(zip(node.parents, wanted, results, strict=True)):
                if want:
                    d = constant(np.asarray(d)) if isinstance(d, (ndarray, np.generic)) else d
                    d = fit(d, parent, node, position, recorded=True)
                    watcher.pulled(node, position, d, parent)
                    prior = pending[parent]
                    pending[parent] = d if prior is None else prior + d
    except Exception as error:
        if node is not None:
            watcher.failed(node, error)
        raise
    return pending


def _through_rules(self: Op, node: Node, g: Tensor, wanted: list[bool]) -> list[Any]:
    saved = tuple([_restore(self, node, *entry) for entry in zip(self.environment, node.saved or (), strict=True)])
    if self.pull_via is not None:
        g = self.pull_via(g, saved)
    return [
        UFUNCS.get(rule, rule)(g, saved if pick is None else saved[pick]) if want else None
        for rule, pick, want in zip(*self.pulls_of(node), wanted, strict=True)
    ]


def _through_compose(self: Op, node: Node, g: Tensor, wanted: list[bool]) -> list[Any]:
    from .backward import gradients  # it stands on this file

    values = dict(zip(self.environment, node.saved or (), strict=True))
    values = {key: _restore(self, node, key, values[key]) for key in self.arguments}
    inputs: dict[str, Any] = {}
    for key, want in zip(self.differentiable, wanted, strict=True):
        if want:
            inputs[key] = values[key] = functions.same(values[key])
    out = self.call([values[key] for key in self.arguments], self.compose)
    if not isinstance(out, Tensor) or out.shape != node.shape or out.dtype != node.dtype or not out.requires_grad:
        raise functions.refusals().composed(self, node, out)
    found = iter(gradients([out], list(inputs.values()), [g], create_graph=True))
    return [next(found) if want else None for want in wanted]


def _restore(self: Op, node: Node, key: str, value: Any) -> Any:
    """Return a saved array as the tensor that it was, with its place on the tape."""
    if value is None:
        return None
    if key == "out":
        return _tensor(value, node)
    if key in self.differentiable:
        first = self.differentiable.index(key)
        if key == self.variadic:
            return tuple([_tensor(item, at) for item, at in zip(value, node.parents[first:], strict=True)])
        return _tensor(value, node.parents[first])
    return value


def _tensor(data: Any, node: Any) -> Any:
    if type(node) is not Node:
        return data
    result = Tensor()
    result._array, result.node = data, node
    return result

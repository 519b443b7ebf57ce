"""Trace: what a step did, as an observer saw it: operations, backward, updates, masks, running averages, reads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..engine.node import Node, Observer
from ..engine.operation import Op
from ..engine.tensor import Tensor


class Call(NamedTuple):
    """An operation that ran: its node (None if nothing was recorded), its arguments, its result and what it left."""

    op: Op
    node: Node | None
    data: list[Any]
    out: np.ndarray
    left: tuple[Any, ...]


class Unfit(Exception):
    """A step cannot be replayed; the message says why."""


class Trace(Observer):
    """Records one run of a step, and keeps every array of it, so that no two arrays have one address.

    Attributes
    ----------
    calls : list of Call
        The operations, in order.
    orders : list of list of Node
        The nodes of each backward, newest first.
    flows : dict of Node to dict of int to Node
        For each node the parents that its rules gave gradients to, under the places of their arguments.
    arrivals : list of (ndarray, Node)
        The gradients that arrived at leaves.
    strided : set of (Node, int)
        The nodes whose rule gave the argument at a place a gradient whose elements do not follow each other.
    before : dict of Node to ndarray or None
        The ``grad`` of the leaves when backward began.
    casts : list of (ndarray, ndarray)
        Data, and what was made of it: by a layer, which casts it to its dtype, or by `tensor`.
    masks : list of (module, ndarray)
        What `Dropout` drew.
    averages : list of (ndarray, ndarray, float)
        The running averages that moved, by which batch's, and the share that stayed.
    updates : list of Optimizer
        Those whose `step` was called, after all backward.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.orders: list[list[Node]] = []
        self.flows: dict[Node, dict[int, Node]] = {}
        self.arrivals: list[tuple[Any, Node]] = []
        self.strided: set[tuple[Node, int]] = set()
        self.before: dict[Node, Any] = {}
        self.casts: list[tuple[np.ndarray, np.ndarray]] = []
        self.masks: list[tuple[Any, np.ndarray]] = []
        self.averages: list[tuple[np.ndarray, np.ndarray, float]] = []
        self.updates: list[Any] = []
        self.filled = False  # whether backward gave gradients to leaves, as far as updates tell
        self.fault: str | None = None
        self._results: list[Any] = []
        self._thread = threading.get_ident()

    def refuse(self, why: str) -> None:
        """Note why this run cannot be replayed; the first reason counts."""
        self.fault = self.fault or why

    def run(self, op: Op, data: list[Any], parents: list[Any]) -> Any:
        """Run an operation."""
        result = super().run(op, data, parents)
        self._results.append(result)
        return result

    def saw(self, op: Op, node: Node | None, out: np.ndarray, data: list[Any]) -> None:
        """Take note of an operation."""
        if self.orders:
            self.refuse(f"{op.name} runs after backward: a step goes forward, backward once, and updates")
        if threading.get_ident() != self._thread:
            self.refuse(f"{op.name} runs in another thread")
        result = self._results.pop()
        self.calls.append(Call(op, node, data, out, result[1:] if op.leaves else ()))

    def walk(self, order: list[Node], pending: dict[Node, Any]) -> Iterator[Node]:
        """Take note of a backward."""
        if self.orders:
            self.refuse("it goes backward more than once")
        seeds = [g for g in pending.values() if g is not None]
        if len(seeds) != 1 or isinstance(seeds[0], Tensor) or np.any(seeds[0] != 1):
            self.refuse("it goes backward from other gradients than 1")
        for node in order:
            if node.op is None:
                self.before[node] = node.grad
            if node.info is not None and "retain" in node.info:
                self.refuse(f"{node.label()} retains its grad")
        self.orders.append(list(order))
        yield from order

    def pulled(self, node: Node, place: int, d: Any, parent: Node) -> None:
        """Take note that a gradient flows from a node to its parent."""
        self.flows.setdefault(node, {})[place] = parent
        if parent.op is None:
            self.arrivals.append((d, parent))
        if isinstance(d, np.ndarray) and not d.flags.c_contiguous:
            self.strided.add((node, place))

    def consumers(self) -> dict[Node, int]:
        """Return how many gradients came to each node."""
        counts: dict[Node, int] = {}
        for flows in self.flows.values():
            for parent in flows.values():
                counts[parent] = counts.get(parent, 0) + 1
        return counts

    def summands(self, order: list[Node], addition: Op) -> frozenset[Node]:
        """Return the loss that went backward, and what was added to it and used nowhere else."""
        found, counts = {order[0]}, self.consumers()
        for node in order:
            if node in found and node.op is addition:
                terms = self.flows.get(node, {}).values()
                if all(counts[term] == 1 and term.shape == () for term in terms):
                    found.update(terms)
                else:
                    found.discard(node)
        return frozenset(found)

    def read(self, tensor: Any) -> None:
        """Take note that Python looks at values: what it does with them would not be done again."""
        self.refuse(f"the values of {tensor._label()} are read in the step: return the tensor, and read it outside")

    # What happens beside the tape. Those to whom it happens call these, if the observer has them.

    def written(self, parameter: Any) -> None:
        """Take note that a parameter is written."""
        self.refuse(f"{parameter._label()} is written in the step")

    def cast(self, data: Any, made: np.ndarray) -> None:
        """Take note of data that a layer casts to its dtype, or of which a tensor is made."""
        if isinstance(data, np.ndarray):
            self.casts.append((data, made))

    def masked(self, module: Any, mask: np.ndarray) -> None:
        """Take note of a mask that dropout drew."""
        self.masks.append((module, mask))

    def averaged(self, running: np.ndarray, batch: np.ndarray, momentum: float) -> None:
        """Take note of a running average that moves."""
        self.averages.append((running, batch, momentum))

    def moved(self, optimizer: Any) -> None:
        """Take note that an optimizer finds parameters in other arrays than its own."""
        self.refuse(f"the {type(optimizer).__name__} finds its parameters in other arrays, and takes them back: where "
                    f"two optimizers of one model step in turn, they do so each time")  # fmt: skip

    def looked(self, optimizer: Any) -> None:
        """Take note that the text of an optimizer is made, which tells its numbers."""
        self.refuse(f"the text of the {type(optimizer).__name__} is read in the step")

    def updated(self, optimizer: Any, given: bool) -> None:
        """Take note of an optimizer's step, and whether it was given its gradients."""
        if given:
            self.refuse("an optimizer's step is given gradients")
        if not self.orders:
            self.refuse("an optimizer steps before backward")
        nodes = [tensor.node for tensor in optimizer._tensors]
        if any(node not in self.before or node.grad is None or self.before[node] is not None for node in nodes):
            self.refuse("an optimizer steps on gradients that are not this backward's alone")
        self.filled = True
        self.updates.append(optimizer)

"""Lower: from a trace to a list of instructions of `kernels`, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.node import Node
from ..fused import affine, affine_relu, batch_norm, cross_entropy, dropout, l2_penalty, relu, softmax_loss
from ..ops.elementwise import add
from ..ops.shaping import reshaped
from .trace import Call, Trace, Unfit

if TYPE_CHECKING:
    from ..kernels import InstructionList


def address(array: np.ndarray) -> int:
    """Return where an array begins."""
    place: int = array.__array_interface__["data"][0]
    return place


class Lowered:
    """A step as one list of instructions, from its input arrays to the loss and the gradients.

    Parameters
    ----------
    make : callable
        What `kernels.machine_for` returned: makes an empty list of instructions for a dtype.
    trace : Trace
        Of a run without a fault.
    order : list of Node
        What backward visits, newest first; empty for a step without one.
    inputs : sequence of ndarray
        The arrays that change from call to call.
    parameters : mapping of Node to ndarray
        The arrays of the leaves, which stay where they are.
    homes : mapping of Node to ndarray
        Where the gradients of some of the leaves are to be written.

    Attributes
    ----------
    gradients : dict of Node to ndarray
        For each leaf of `order` the array that a run writes its gradient into.
    draws : list of (module, ndarray, float)
        Whose key is to be drawn before a run, into which array, for which share.

    Raises
    ------
    Unfit
        If an operation or an array has no instruction.
    """

    def __init__(
        self, make: Callable[[np.dtype[Any]], InstructionList], trace: Trace, order: list[Node],
        inputs: Sequence[np.ndarray], parameters: Mapping[Node, np.ndarray], homes: Mapping[Node, np.ndarray],
    ) -> None:  # fmt: skip
        self.gradients: dict[Node, np.ndarray] = {}
        self.draws: list[tuple[Any, np.ndarray]] = []
        self.labels: list[tuple[int, np.ndarray, int]] = []  # place among the inputs, buffer, number of classes
        self.casts: dict[int, np.ndarray] = {}  # buffers for those inputs that are of another dtype
        dtypes = {array.dtype for array in parameters.values()}
        if len(dtypes) != 1:
            raise Unfit(f"its parameters have the dtypes {', '.join(sorted(map(str, dtypes))) or 'none'}")
        self.dtype = dtypes.pop()
        if self.dtype not in (np.float32, np.float64):
            raise Unfit(f"its parameters are of {self.dtype}")
        self.instructions = make(self.dtype)
        self._trace, self._parameters, self._homes = trace, parameters, homes
        self._inputs = {address(array): place for place, array in enumerate(inputs)}
        self.given = list(inputs)
        self._values: dict[int, np.ndarray] = {address(array): array for array in parameters.values()}
        self._sources = {address(made): data for data, made in trace.casts}
        self._masks = {address(mask): (module, mask) for module, mask in trace.masks}
        self._arrived = {address(d): node for d, node in trace.arrivals if isinstance(d, np.ndarray)}
        self._made: set[int] = set()
        self._saved: dict[Node, tuple[Any, ...]] = {}
        self._waiting: dict[Node, np.ndarray] = {}  # gradients that have arrived
        self._done_relu: set[Node] = set()  # whose gradient has been through the relu
        self._consumers: dict[Node, int] = {}
        for flows in trace.flows.values():
            for parent in flows.values():
                self._consumers[parent] = self._consumers.get(parent, 0) + 1
        for call in trace.calls:
            self._forward(call)
        self._backward(order)

    def covers(self, optimizer: Any) -> bool:
        """Whether the gradients of an optimizer's parameters are in the homes that it knows, all of one dtype."""
        homes = optimizer.gradient_homes()
        return all(home.dtype == self.dtype and self.gradients.get(node) is home for node, home in homes.items())

    # ---- values

    def value(self, array: Any) -> np.ndarray:
        """Return the array of the program that stands for one of the trace."""
        if not isinstance(array, np.ndarray):
            raise Unfit(f"an operation takes a {type(array).__name__}")
        found, place, seen = self._values.get(address(array)), -1, array
        if found is None:
            seen = self._sources.get(address(array), array)
            place = self._inputs.get(address(seen), -1)
            if place < 0:
                raise Unfit(f"an array of shape {array.shape} is neither computed, nor a parameter, nor an argument")
            found = self.given[place]
        # A transpose has the same address. What the step does not cast, the operation does if that loses nothing.
        flat = found.flags.c_contiguous and seen.flags.c_contiguous and array.flags.c_contiguous
        becomes = np.result_type(found.dtype, self.dtype) if seen is array else array.dtype
        if not flat or seen.dtype != found.dtype or array.size != found.size or becomes != self.dtype:
            raise Unfit(f"an array of {found.dtype} {found.shape} is used beside parameters of {self.dtype}")
        if found.dtype != self.dtype:
            found = self.casts.setdefault(place, np.empty(found.shape, self.dtype))
        return found.reshape(array.shape)

    def computed(self, array: np.ndarray) -> np.ndarray:
        """Return the array of the program that stands for a result of an operation."""
        if address(array) not in self._made:
            raise Unfit(f"it returns an array of shape {array.shape} that it does not compute")
        return self.value(array)

    def gradient_of(self, array: np.ndarray) -> Node | None:
        """Return the leaf whose gradient an array of the trace is, or None."""
        node = self._arrived.get(address(array))
        return node if node in self.gradients and array.shape == node.shape and array.flags.c_contiguous else None

    def _new(self, like: np.ndarray) -> np.ndarray:
        made = np.empty(like.shape, self.dtype)
        self._values[address(like)] = made
        self._made.add(address(like))
        return made

    # ---- forward

    def _forward(self, call: Call) -> None:
        lower = _FORWARD.get(call.op)
        if lower is None:
            raise Unfit(f"{call.op.name} has no instruction")
        if call.out.dtype != self.dtype:
            raise Unfit(f"{call.op.name} gives {call.out.dtype} beside parameters of {self.dtype}")
        saved = lower(self, call)
        if call.node is not None:
            self._saved[call.node] = saved

    def _layer(self, call: Call, ending: int) -> tuple[Any, ...]:
        from ..kernels.codes import Ending

        x, w, b = map(self.value, call.data)
        x = x.reshape(len(x), -1)
        out = self._new(call.out)
        self.instructions.product(x, w, out, Ending(ending), b)
        return x, w, out

    def _relu(self, call: Call) -> tuple[Any, ...]:
        x, out = self.value(call.data[0]), self._new(call.out)
        self.instructions.relu(x, out)
        return (out,)

    def _softmax_loss(self, call: Call) -> tuple[Any, ...]:
        x, y = call.data[:2]
        if call.op is cross_entropy.op:
            weight, smoothing, reduction, ignored = call.data[2:]
            if weight is not None or smoothing or reduction != "mean" or ignored >= 0:
                raise Unfit("cross_entropy with options has no instruction")
        place = self._inputs.get(address(y)) if isinstance(y, np.ndarray) else None
        given = None if place is None else self.given[place]
        if place is None or given is None or (y.dtype, y.shape, y.strides) != (given.dtype, given.shape, given.strides):
            raise Unfit("the labels are no argument of the step")
        if y.dtype.kind not in "iu" or y.ndim != 1:
            raise Unfit("the labels are no argument of the step")
        x = self.value(x)
        labels = np.empty(y.shape, np.int64)
        self.labels.append((place, labels, x.shape[1]))
        slope, loss = np.empty_like(x), self._new(call.out)
        self.instructions.softmax_loss(x, labels, slope, loss)
        return (slope,)

    def _dropout(self, call: Call) -> tuple[Any, ...]:
        x, mask, ratio = call.data
        module, _ = self._masks.get(address(mask), (None, None))
        if module is None:
            raise Unfit("dropout has a mask that its module did not draw")
        x, out, kept = self.value(x), self._new(call.out), np.empty(mask.shape, np.bool_)
        key = np.empty(1, np.uint64)
        self.draws.append((module, key))
        self.instructions.keep(key, kept, math.ceil(ratio * 2**53))
        self.instructions.drop(x, kept, 1.0 / ratio, out)
        return kept, 1.0 / ratio

    def _batch_norm(self, call: Call) -> tuple[Any, ...]:
        x, gamma, beta, eps = call.data
        x, gamma, beta = self.value(x), self.value(gamma), self.value(beta)
        if eps < np.finfo(self.dtype).tiny:
            raise Unfit("batch_norm without eps looks at its values")
        normal, rate, mean, variance = (np.empty(array.shape, self.dtype) for array in call.left)
        out = self._new(call.out)
        self.instructions.batch_norm(x, gamma, beta, eps, out, (normal, rate, mean, variance))
        theirs = {address(batch): own for batch, own in zip(call.left[2:], (mean, variance), strict=True)}
        for running, batch, momentum in self._trace.averages:
            own = theirs.get(address(batch))
            if own is not None:
                self.instructions.running(running, own, momentum)
        return gamma, normal, rate

    def _penalty(self, call: Call) -> tuple[Any, ...]:
        w, reg = self.value(call.data[0]), float(call.data[1])
        self.instructions.half_squares(w, reg, self._new(call.out))
        return w, reg

    def _add(self, call: Call) -> tuple[Any, ...]:
        if any(not isinstance(array, np.ndarray) or array.shape != call.out.shape for array in call.data):
            raise Unfit("a sum of arrays of several shapes has no instruction")
        x, y = map(self.value, call.data)
        out = self._new(call.out)
        self.instructions.scale(x, 1.0, out)
        self.instructions.add(out, y)
        return ()

    def _reshape(self, call: Call) -> tuple[Any, ...]:
        x = self.value(call.data[0])
        self._values[address(call.out)] = x
        return (x.shape,)

    # ---- backward

    def _backward(self, order: list[Node]) -> None:
        root = order[0]
        if root.shape != ():
            raise Unfit("it goes backward from what is no single number")
        self._waiting[root] = ONE
        for node in order:
            if node.op is None:
                continue
            if node not in self._waiting:
                raise Unfit(f"no gradient arrives at {node.label()}")
            g = self._waiting.pop(node)
            if g is ONE and node.op not in _FROM_ONE:
                raise Unfit(f"{node.label()} is the loss")
            if g is not ONE and node.op in _FROM_ONE and node.shape == ():
                raise Unfit(f"{node.label()} is not the loss, nor added to it")
            _BACKWARD[node.op](self, node, g)
        for node in order:
            if node.op is None:
                if node not in self._waiting:
                    raise Unfit(f"no gradient arrives at {node.label()}")
                self.gradients[node] = self._waiting[node]

    def _wanted(self, node: Node, place: int) -> Node | None:
        return self._trace.flows.get(node, {}).get(place)

    def _arrive(self, parent: Node, write: Callable[[np.ndarray], None]) -> None:
        """Have a gradient written: where it is kept, or beside that, to be added."""
        held = self._waiting.get(parent)
        if held is None:
            home = self._homes.get(parent) if parent.op is None else None
            held = self._waiting[parent] = np.empty(parent.shape, self.dtype) if home is None else home
            write(held)
        else:
            more = np.empty(parent.shape, self.dtype)
            write(more)
            self.instructions.add(held, more)

    def _through_relu(self, node: Node, g: Any, out: np.ndarray) -> Any:
        if node in self._done_relu:
            return g
        d = np.empty_like(g)
        self.instructions.relu_gradient(g, out, d)
        return d

    def _layer_back(self, node: Node, g: Any) -> None:
        from ..kernels.codes import Ending

        x, w, out = self._saved[node]
        if node.op is affine_relu.op:
            g = self._through_relu(node, g, out)
        into, weight, bias = (self._wanted(node, place) for place in range(3))
        if into is not None:
            rectified = self._rectified(into)
            if rectified is None:
                self._arrive(into, lambda d: self.instructions.product(g, w.T, d.reshape(len(g), -1)))
            else:
                self._arrive(
                    into, lambda d: self.instructions.product(g, w.T, d, Ending.RELU_GRADIENT, rectified)
                )
        if weight is not None:
            self._arrive(weight, lambda d: self.instructions.product(x.T, g, d))
        if bias is not None:
            self._arrive(bias, lambda d: self.instructions.sum_rows(g, d))

    def _rectified(self, node: Node) -> np.ndarray | None:
        """Return the result of a relu whose whole gradient comes from one product, so that it ends with the relu's."""
        if node.op is not affine_relu.op or self._consumers[node] != 1 or node in self._waiting:
            return None
        self._done_relu.add(node)
        out: np.ndarray = self._saved[node][2]
        return out

    def _relu_back(self, node: Node, g: Any) -> None:
        parent = self._wanted(node, 0)
        if parent is not None:
            out = self._saved[node][0]
            self._arrive(parent, lambda d: self.instructions.relu_gradient(g, out, d))

    def _add_back(self, node: Node, g: Any) -> None:
        for place in range(2):
            parent = self._wanted(node, place)
            if parent is not None and g is not ONE:
                self._arrive(parent, lambda d: self.instructions.scale(g, 1.0, d))
            elif parent is not None:
                if parent in self._waiting:
                    raise Unfit(f"{parent.label()} is added twice to the loss")
                self._waiting[parent] = ONE

    def _penalty_back(self, node: Node, g: Any) -> None:
        parent = self._wanted(node, 0)
        if parent is not None:
            w, reg = self._saved[node]
            self._arrive(parent, lambda d: self.instructions.scale(w, reg, d))

    def _reshape_back(self, node: Node, g: Any) -> None:
        parent = self._wanted(node, 0)
        if parent is not None:
            self._arrive(parent, lambda d: self.instructions.scale(g.reshape(d.shape), 1.0, d))

    def _loss_back(self, node: Node, g: Any) -> None:
        parent = self._wanted(node, 0)
        if parent is not None:
            if parent in self._waiting or parent.op is None:
                raise Unfit("scores are no layer's")
            self._waiting[parent] = self._saved[node][0]  # times 1

    def _dropout_back(self, node: Node, g: Any) -> None:
        parent = self._wanted(node, 0)
        if parent is not None:
            kept, scale = self._saved[node]
            self._arrive(parent, lambda d: self.instructions.drop(g, kept, scale, d))

    def _batch_norm_back(self, node: Node, g: Any) -> None:
        gamma, normal, rate = self._saved[node]
        parents = [self._wanted(node, place) for place in range(3)]
        shapes = (normal.shape, gamma.shape, gamma.shape)
        found = []
        for parent, shape in zip(parents, shapes, strict=True):
            home = None if parent is None or parent in self._waiting else self._homes.get(parent)
            found.append(np.empty(shape, self.dtype) if home is None or parent is None or parent.op else home)
        self.instructions.batch_norm_gradient(g, gamma, normal, rate, *found)
        for parent, array in zip(parents, found, strict=True):
            if parent is None:
                continue
            held = self._waiting.get(parent)
            if held is None:
                self._waiting[parent] = array
            else:
                self.instructions.add(held, array)


_FORWARD: dict[Any, Callable[[Lowered, Call], tuple[Any, ...]]] = {
    affine.op: lambda self, call: self._layer(call, 1),
    affine_relu.op: lambda self, call: self._layer(call, 2),
    relu.op: Lowered._relu,
    softmax_loss.op: Lowered._softmax_loss,
    cross_entropy.op: Lowered._softmax_loss,
    dropout.op: Lowered._dropout,
    batch_norm.op: Lowered._batch_norm,
    l2_penalty.op: Lowered._penalty,
    add.op: Lowered._add,
    reshaped.op: Lowered._reshape,
}
_BACKWARD: dict[Any, Callable[[Lowered, Node, Any], None]] = {
    affine.op: Lowered._layer_back,
    affine_relu.op: Lowered._layer_back,
    relu.op: Lowered._relu_back,
    softmax_loss.op: Lowered._loss_back,
    cross_entropy.op: Lowered._loss_back,
    dropout.op: Lowered._dropout_back,
    batch_norm.op: Lowered._batch_norm_back,
    l2_penalty.op: Lowered._penalty_back,
    add.op: Lowered._add_back,
    reshaped.op: Lowered._reshape_back,
}
# The gradient of the loss by itself, which no array holds; these take it.
ONE: Any = np.ones(())
_FROM_ONE = frozenset((softmax_loss.op, cross_entropy.op, l2_penalty.op, add.op))

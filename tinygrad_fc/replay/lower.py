"""Lower: from a trace to a list of instructions of `kernels`, forward and backward."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.node import Node
from ..fused import affine, affine_relu, batch_norm, cross_entropy, dropout, l2_penalty, relu, softmax_loss
from ..ops.elementwise import add
from ..ops.shaping import reshaped
from .called import Arrival, Called, can_call
from .facts import arrays_in
from .trace import Call, Trace, Unfit
from .values import Values, address

if TYPE_CHECKING:
    from ..kernels import InstructionList


class Lowered(Values):
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
    fixed : iterable of ndarray
        Other arrays that stay where they are: of frozen parameters, and what else modules hold.

    Attributes
    ----------
    draws : list of (module, ndarray)
        Whose key is to be drawn before a run, into which array.

    Raises
    ------
    Unfit
        If an operation or an array has no instruction.
    """

    def __init__(
        self, make: Callable[[np.dtype[Any]], InstructionList], trace: Trace, order: list[Node],
        inputs: Sequence[np.ndarray], parameters: Mapping[Node, np.ndarray], homes: Mapping[Node, np.ndarray],
        fixed: Iterable[np.ndarray] = (),
    ) -> None:  # fmt: skip
        self.draws: list[tuple[Any, np.ndarray]] = []
        self.labels: list[tuple[int, np.ndarray, int]] = []  # place among the inputs, buffer, number of classes
        super().__init__(trace, inputs, parameters, fixed)
        self.instructions = make(self.dtype)
        self._trace, self._homes = trace, homes
        self._masks = {address(mask): (module, mask) for module, mask in trace.masks}
        self._saved: dict[Node, tuple[Any, ...]] = {}
        self._waiting: dict[Node, Any] = {}  # gradients that have arrived
        self._done_relu: set[Node] = set()  # whose gradient has been through the relu
        self._called: dict[Node | None, Called] = {}
        self.averages: list[np.ndarray] = []  # that move
        self._consumers = trace.consumers()
        self._from_one = trace.summands(order, add.op)  # whose gradients are 1
        # What takes a gradient whose elements do not follow each other takes it as it is.
        self._strided = {trace.flows[node][place] for node, place in trace.strided}
        for call in trace.calls:
            self._forward(call)
        self.calls = bool(self._called)  # whether Python runs between the instructions
        if len(self.draws) != len(trace.masks) or len(self.averages) != len(trace.averages):
            raise Unfit("a layer draws a mask, or moves its averages, beside the operations that have instructions")
        self._passed = self._called.keys() - {
            parent for node, flows in trace.flows.items() if node not in self._called for parent in flows.values()
        }  # whose gradients come from calls alone
        self._backward(order)

    def covers(self, optimizer: Any) -> bool:
        """Whether the gradients of an optimizer's parameters are in the homes that it knows, all of one dtype."""
        homes = optimizer.gradient_homes()
        return all(home.dtype == self.dtype and self.gradients.get(node) is home for node, home in homes.items())

    # ---- forward

    def _forward(self, call: Call) -> None:
        lower, why = _FORWARD.get(call.op), None
        if lower is not None and call.node in self._strided:
            why = Unfit(f"the gradient that comes to {call.op.name} lies in memory in another order")
        elif lower is not None and self._is_loss(call):
            try:
                if call.out.dtype != self.dtype:
                    raise Unfit(f"{call.op.name} gives {call.out.dtype} beside parameters of {self.dtype}")
                saved = lower(self, call)
                if call.node is not None:
                    self._saved[call.node] = saved
                return
            except Unfit as unfit:
                why = unfit
        try:
            self._call(call)
        except Unfit as unfit:
            raise why or unfit from None

    def _is_loss(self, call: Call) -> bool:
        """Whether a loss is the one that goes backward, or added to it, as its instruction takes it to be."""
        return call.op not in _FROM_ONE or call.node is None or call.node.shape != () or call.node in self._from_one

    def _call(self, call: Call) -> None:
        op, out = call.op, call.out
        if not can_call(op):
            raise Unfit(f"{op.name} has no instruction")
        arrays = [array for array in call.data if isinstance(array, np.ndarray)]
        if any(np.may_share_memory(out, array) for array in arrays) or not out.flags.c_contiguous:
            raise Unfit(f"{op.name} gives a view")
        if any(not isinstance(item, np.ndarray) and arrays_in(item) for item in call.data):
            raise Unfit(f"{op.name} takes several arrays as one argument: make them one array")
        values = [self.value(item, called=True) if isinstance(item, np.ndarray) else item for item in call.data]
        flows = self._trace.flows.get(call.node) if call.node is not None else None
        called = Called(op, values, self.new(out), call.node if flows else None, flows or ())
        self.instructions.call(called.forward)
        self._called[call.node] = called

    def _layer(self, call: Call, ending: int) -> tuple[Any, ...]:
        from ..kernels.codes import Ending

        x, w, b = map(self.value, call.data)
        x = x.reshape(len(x), -1)
        out = self.new(call.out)
        self.instructions.product(x, w, out, Ending(ending), b)
        return x, w, out

    def _relu(self, call: Call) -> tuple[Any, ...]:
        x, out = self.value(call.data[0]), self.new(call.out)
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
        slope, loss = np.empty_like(x), self.new(call.out)
        self.instructions.softmax_loss(x, labels, slope, loss)
        return (slope,)

    def _dropout(self, call: Call) -> tuple[Any, ...]:
        x, mask, ratio = call.data
        module, _ = self._masks.get(address(mask), (None, None))
        if module is None:
            raise Unfit("dropout has a mask that its module did not draw")
        x, out, kept = self.value(x), self.new(call.out), np.empty(mask.shape, np.bool_)
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
        out = self.new(call.out)
        self.instructions.batch_norm(x, gamma, beta, eps, out, (normal, rate, mean, variance))
        theirs = {address(batch): own for batch, own in zip(call.left[2:], (mean, variance), strict=True)}
        for running, batch, momentum in self._trace.averages:
            own = theirs.get(address(batch))
            if own is not None:
                flags = running.flags
                if running.dtype != self.dtype or not (flags.c_contiguous and flags.writeable):
                    raise Unfit(f"a running average is of {running.dtype}, of strides {running.strides}, beside "
                                f"parameters of {self.dtype}")  # fmt: skip
                self.instructions.running(running, own, momentum)
                self.averages.append(running)
        return gamma, normal, rate

    def _penalty(self, call: Call) -> tuple[Any, ...]:
        w, reg = self.value(call.data[0]), float(call.data[1])
        self.instructions.half_squares(w, reg, self.new(call.out))
        return w, reg

    def _add(self, call: Call) -> tuple[Any, ...]:
        if any(not isinstance(array, np.ndarray) or array.shape != call.out.shape for array in call.data):
            raise Unfit("a sum of arrays of several shapes has no instruction")
        x, y = map(self.value, call.data)
        out = self.new(call.out)
        self.instructions.scale(x, 1.0, out)
        self.instructions.add(out, y)
        return ()

    def _reshape(self, call: Call) -> tuple[Any, ...]:
        x = self.value(call.data[0], called=True)
        if address(call.out) != address(call.data[0]):  # else it is found as what it is a view of
            raise Unfit("reshape makes a copy")
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
            if node in self._called:
                self._call_back(node, np.ones((), node.dtype) if g is ONE else None if type(g) is Called else g)
                continue
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

    def _call_back(self, node: Node, g: np.ndarray | None) -> None:
        arrivals = []
        for place, parent in sorted(self._trace.flows.get(node, {}).items()):
            held: Any = self._waiting.get(parent)
            if held is ONE:
                raise Unfit(f"{parent.label()} is added to the loss, and used elsewhere")
            arrivals.append(Arrival(place, parent, held, held is None))
            if held is None:
                held = self._called[parent] if parent in self._passed else self._home(parent)
                self._waiting[parent] = held
                arrivals[-1] = arrivals[-1]._replace(held=held)
            if (node, place) in self._trace.strided and not (parent.op is None or type(held) is Called):
                raise Unfit(f"the gradient that {node.label()} gives lies in memory in another order")
        self.instructions.call(functools.partial(self._called[node].backward, g, arrivals))

    def _home(self, parent: Node) -> np.ndarray:
        """Return where the gradient of a node is written."""
        home = self._homes.get(parent) if parent.op is None else None
        return np.empty(parent.shape, parent.dtype) if home is None else home

    def _wanted(self, node: Node, place: int) -> Node | None:
        return self._trace.flows.get(node, {}).get(place)

    def _arrive(self, parent: Node, write: Callable[[np.ndarray], None]) -> None:
        """Have a gradient written: where it is kept, or beside that, to be added."""
        held = self._waiting.get(parent)
        if held is None:
            held = self._waiting[parent] = self._home(parent)
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
        if node.op is not affine_relu.op or self._consumers[node] != 1 or node in self._waiting or node in self._called:
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
            slope = self._saved[node][0]  # times 1
            if parent in self._waiting or parent.op is None:
                self._arrive(parent, lambda d: self.instructions.scale(slope, 1.0, d))
            else:
                self._waiting[parent] = slope

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

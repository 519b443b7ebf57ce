"""The record functions: what runs when an operation is called. By arity for speed, and one for all other forms."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy import ndarray

from .dispatch import Record, functions, refuse_foreign
from .node import MODE, OFF, Constant, Node, clock, kind_of, recorded
from .tensor import Tensor

if TYPE_CHECKING:
    from .operation import Op

Plan = tuple[tuple[int, ...], Callable[[list[Any]], tuple[Any, ...]]]


class Operation(Protocol):
    """A record function as `op` returns it: called with tensors or arrays, and carrying its declaration."""

    op: Op
    __name__: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute, and record where an argument needs a gradient."""


mode_get = MODE.get

_NUMBERS = frozenset((bool, int, float, type(None)))


def recorder(self: Op) -> Record:
    """Return the record function of an operation: the quickest that serves."""
    if self.is_simple():
        return unary(self) if len(self.arguments) == 1 else binary(self)
    special = self.broadcasts or self.leaves or self.variadic or self.keyword_only
    layer = len(self.arguments) == 3 and self.differentiable == self.arguments and not special
    return ternary(self) if layer else general(self)


def unary(self: Op) -> Record:
    """Return the record function of a ufunc of one argument."""
    function, keep_x, keep_out = self.function, *self.keeps((True,))
    slow, alike = general(self), self.alike

    def record(x: Any) -> Tensor:
        if not isinstance(x, Tensor) or type(x.node) is not Node or mode_get() is not None:
            return slow(x)
        x_data, x_node = x._array, x.node
        try:
            out = function(x_data)
        except Exception as error:
            raise functions.refusals().failed(self, error, (x_data,)) from error
        kind = x_node.kind
        if not kind[2] or not alike:
            out = out if type(out) is ndarray else as_array(self, out)
            kind = kind_of(out.shape, out.dtype)
        result = Tensor()
        result._array = out
        result.node = node = Node()
        node.op, node.others = self, (x_node,)
        node.saved = (x_data if keep_x else None, out if keep_out else None)
        node.kind = kind
        node.left = node.right = node.grad = node.info = None
        node.number = next(clock)
        return result

    return record


def binary(self: Op) -> Record:
    """Return the record function of a ufunc of two arguments, one of which may need no gradient."""
    function, slow, alike = self.function, general(self), self.alike
    # What the node keeps of x, y and the result. Its kind is that of x and y, unseen, where this is sure.
    both, only_x, only_y = self.keeps((True, True)), self.keeps((True, False)), self.keeps((False, True))
    crossed = both if both == (True, True, False) else None  # the commonest: each rule reads the other's argument

    def record(x: Any, y: Any) -> Tensor:
        if isinstance(x, Tensor):
            x_data, x_node = x._array, x.node
        else:
            x_data, x_node = (x, None) if type(x) in _NUMBERS else (_operand(x), None)
        if isinstance(y, Tensor):
            y_data, y_node = y._array, y.node
        else:
            y_data, y_node = (y, None) if type(y) in _NUMBERS else (_operand(y), None)
        if type(x_node) is Node:
            if type(y_node) is Node:
                keep, kind = both, x_node.kind if alike and x_node.kind is y_node.kind else None
            else:
                keep, kind, y_node = only_x, x_node.kind if alike and type(y) in _NUMBERS else None, parent_of(y)
        elif type(y_node) is Node:
            keep, kind, x_node = only_y, y_node.kind if alike and type(x) in _NUMBERS else None, parent_of(x)
        else:
            return slow(x, y)
        if mode_get() is not None:
            return slow(x, y)
        try:
            out = function(x_data, y_data)
        except Exception as error:
            raise functions.refusals().failed(self, error, (x_data, y_data)) from error
        if kind is None or not kind[2]:
            out = out if type(out) is ndarray else as_array(self, out)
            if out.dtype.kind != "f":
                raise functions.refusals().no_gradient(self, out, (x_data, y_data))
            kind = kind_of(out.shape, out.dtype)
        result = Tensor()
        result._array = out
        result.node = node = Node()
        node.op, node.kind = self, kind
        if keep is both:
            node.left, node.right = x_node, y_node
        else:
            node.left, node.right, node.others = None, None, (x_node, y_node)
        if keep is crossed:
            node.saved = (x_data, y_data, None)
        else:
            node.saved = (x_data if keep[0] else None, y_data if keep[1] else None, out if keep[2] else None)
        node.grad = node.info = None
        node.number = next(clock)
        return result

    return record


def ternary(self: Op) -> Record:
    """Return the record function of a kernel of three arrays, and no more: a layer, whose weights need gradients."""
    function, slow = self.function, general(self)
    every, without_x = plan_of(self, (True, True, True)), plan_of(self, (False, True, True))

    def record(*args: Any, **kwargs: Any) -> Tensor:
        if len(args) != 3 or kwargs:
            return slow(*args, **kwargs)
        x, y, z = args
        if not (isinstance(x, Tensor) and isinstance(y, Tensor) and isinstance(z, Tensor)) or mode_get() is not None:
            return slow(x, y, z)
        x_node, y_node, z_node = x.node, y.node, z.node
        if type(y_node) is not Node or type(z_node) is not Node:
            return slow(x, y, z)
        x_data, y_data, z_data = x._array, y._array, z._array
        try:
            out = function(x_data, y_data, z_data)
        except Exception as error:
            raise functions.refusals().failed(self, error, (x_data, y_data, z_data)) from error
        out = out if type(out) is ndarray else as_array(self, out)
        if out.dtype.kind != "f":
            raise functions.refusals().no_gradient(self, out, (x_data, y_data, z_data))
        pool: list[Any] = [x_data, y_data, z_data, out, None]
        if type(x_node) is Node:
            shaped, chosen = every
        else:
            shaped, chosen = without_x
            x_node = x_node or parent_of(x)
        for n in shaped:
            pool.append(pool[n].shape)
        result = Tensor()
        result._array = out
        result.node = recorded(self, (x_node, y_node, z_node), chosen(pool), out)
        return result

    return record


def general(self: Op) -> Record:
    """Return the record function for everything: any arity, static arguments, kernels with leaves, any mode."""
    roles = tuple([(key in self.differentiable) + (key == self.variadic) for key in self.arguments])  # 2: many tensors
    static = tuple([(n, key) for n, key in enumerate(self.arguments) if not roles[n]])
    # A call that names every argument by its place needs no binding.
    placed = -1 if self.variadic or self.keyword_only else len(self.arguments)
    beside = [self.leaves.index(key) for key in self.beside]
    # Python numbers stay as they are where arguments are broadcast; a kernel gets arrays.
    plain = _operand if self.broadcasts else _array
    function, leaves, plans = self.function, bool(self.leaves), dict[tuple[bool, ...], Plan]()

    def record(*args: Any, **kwargs: Any) -> Any:
        operands = args if len(args) == placed and not kwargs else self.bind(args, kwargs)
        data: list[Any] = []
        parents: list[Any] = []
        for role, operand in zip(roles, operands):  # noqa: B905  # as many by construction; strict= costs time
            if role == 2:
                data.append(tuple([item._array if isinstance(item, Tensor) else _operand(item) for item in operand]))
                parents += [parent_of(item) for item in operand]
            elif isinstance(operand, Tensor):
                data.append(operand._array)
                if role:
                    parents.append(operand.node or parent_of(operand))
                elif type(operand.node) is Node and self.differentiable:
                    raise functions.refusals().takes_no_gradient(self, len(data) - 1, operand)
            elif role:
                data.append(plain(operand))
                parents.append(parent_of(operand))
            else:
                data.append(operand)
        mode = mode_get()
        try:
            if mode is None or mode is OFF:
                out = function(*data) if placed >= 0 else self.call(data)
            else:
                out = mode.run(self, data, parents)
        except Exception as error:
            raise functions.refusals().failed(self, error, data) from error
        rest: Any = ()
        if leaves:
            if type(out) is not tuple or len(out) != 1 + len(self.leaves):
                raise functions.refusals().no_leaves(self, out)
            out, *rest = out
        out = out if type(out) is ndarray else as_array(self, out)
        result = Tensor()
        result._array = out
        result.node = node = None
        needed = tuple([type(parent) is Node for parent in parents])
        if True in needed and mode is not OFF:
            if out.dtype.kind != "f":
                raise functions.refusals().no_gradient(self, out, data)
            plan = plans.get(needed)
            if plan is None:
                plan = plans[needed] = plan_of(self, needed)
            pool = [*data, out, *rest, None]
            shaped, chosen = plan
            for n in shaped:
                pool.append(_shape(data[n]))
            info = {"static": {key: data[n] for n, key in static}} if static else None
            result.node = node = recorded(self, tuple(parents), chosen(pool), out, info)
        elif out.dtype.kind == "O":
            raise functions.refusals().no_gradient(self, out, data)
        if mode is not None and mode is not OFF:
            mode.saw(self, node, out, data)
        return (result, *[rest[n] for n in beside]) if beside else result

    return record


def plan_of(self: Op, needed: tuple[bool, ...]) -> Plan:
    """Return what a node keeps of a call's pool, given which parents need a gradient.

    The pool is the arguments, the result, what the kernel left, None (for what is not kept), and the shapes of the
    arguments whose places are returned first. The second result takes from it what the environment lists, in order.
    """
    if self.variadic is not None:
        single = len(self.differentiable) - 1
        needed = (*needed[:single], True in needed[single:])
    where = {key: n for n, key in enumerate((*self.arguments, "out", *self.leaves))}
    nothing = len(where)
    shapes = {f"{key}_shape": n for n, key in enumerate(self.arguments)}
    shaped: list[int] = []
    places = []
    for key, keep in zip(self.environment, self.keeps(needed), strict=True):
        if keep and key in shapes:
            shaped.append(shapes[key])
            places.append(nothing + len(shaped))
        else:
            places.append(where[key] if keep else nothing)
    if len(places) > 1:
        return tuple(shaped), itemgetter(*places)
    return tuple(shaped), lambda pool: tuple([pool[place] for place in places])


def _operand(value: Any) -> Any:
    """Return an argument that is no tensor as the array functions take it: Python numbers stay as they are."""
    return value if type(value) in _NUMBERS or type(value) is ndarray and value.dtype.isnative else _array(value)


def _array(value: Any) -> Any:
    if value is None or isinstance(value, np.generic) or type(value) is ndarray and value.dtype.isnative:
        return value
    refuse_foreign(value, "MaskedArray", "matrix")
    return (array := np.asarray(value)).astype(array.dtype.newbyteorder("="), copy=False)  # kernels know no other order


def parent_of(operand: Any) -> Any:
    """Return what the tape keeps of one argument: its node, a number as it is, or the description of an array."""
    if type(operand) in _NUMBERS:
        return operand
    if isinstance(operand, Tensor):
        if operand.node is None:
            operand.node = Constant(None, operand._array.shape, operand._array.dtype)
        return operand.node
    array = np.asarray(operand)
    return Constant(None, array.shape, array.dtype)


def _shape(value: Any) -> Any:
    return tuple([np.shape(item) for item in value]) if isinstance(value, tuple) else np.shape(value)


def as_array(self: Op, out: Any) -> ndarray:
    """Return a NumPy scalar as a 0-d array; refuse what is no array."""
    if isinstance(out, (np.generic, ndarray)) or type(out) in _NUMBERS and not isinstance(self.function, np.ufunc):
        return np.asarray(out)
    raise functions.refusals().no_array(self, out)

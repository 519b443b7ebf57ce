"""checkpoint: compute again on the way back instead of keeping what the rules read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.backward import gradients
from ..engine.node import MODE, OFF, Node, recording, tick
from ..engine.operation import Op
from ..engine.record import recorder
from ..engine.tensor import Tensor
from ..graph import Graph
from .call import check_options, named
from .structure import change, leaves
from .tape import needs_gradient, outside, own_leaf, stand_in

Function = Callable[..., Any]


def checkpoint(function: Function) -> Function:
    """Return a function that computes the same, and keeps its arguments only: on the way back it computes again.

    It trades time for memory: a long chain of operations, cut into checkpointed pieces, keeps what leads into each
    piece, and what one piece keeps while backward goes through it (Chen, Xu, Zhang, Guestrin, "Training deep nets with
    sublinear memory cost", 2016). Gradients are the same, of any order.

    Parameters
    ----------
    function : callable
        Returns one tensor. It may read tensors that are not its arguments, such as a module's parameters: they get
        their gradients. When it runs again it must compute the same.

    Returns
    -------
    callable
        Takes the same arguments; tensors may stand in dicts, lists, tuples and dataclasses.

    Raises
    ------
    TypeError
        When called: if the function returns anything but one tensor, or reads, beside its arguments, two computed
        tensors one of which depends on the other.
    RuntimeError
        On the way back: if the function returned something else than before, or read other tensors (it draws random
        numbers, say, or an argument was written in between). It is the results that are compared: a difference that
        does not show in them, as random numbers multiplied by weights of zero, is not noticed.

    Examples
    --------
    >>> import numpy as np, tinygrad_fc as tg
    >>> w = tg.tensor([0.5, 1.0], requires_grad=True)
    >>> layer = tg.checkpoint(lambda x: np.tanh(x * w))
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> layer(layer(x)).sum().backward()
    >>> print(w.grad.round(4))
    [0.8113 0.4901]
    """
    check_options("checkpoint", function, 0)

    def recomputing(*args: Any, **kwargs: Any) -> Any:
        if MODE.get() is OFF:
            return function(*args, **kwargs)
        given: list[Tensor] = []

        def hole(leaf: Any, path: str) -> Any:
            if not needs_gradient(leaf):
                return leaf
            given.append(leaf)
            return _Hole(len(given) - 1)

        return _run(_Piece(function, change(hole, (args, kwargs))), given)

    return named("checkpoint", function, recomputing)


class _Hole:
    """The place of an argument that needs a gradient."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


class _Piece:
    """A function with the arguments of one call, but for the tensors that need a gradient; what it read and returned.

    Attributes
    ----------
    value : numpy.ndarray
        What it returned.
    read : list of Node
        What it was computed from beside its arguments.
    """

    def __init__(self, function: Function, arguments: Any) -> None:
        self.function, self.arguments = function, arguments
        self.value = np.empty(0)
        self.read: list[Node] = []

    def on(self, tensors: Any) -> Any:
        """Return the function's result on `tensors`."""
        args, kwargs = change(lambda leaf, path: tensors[leaf.index] if type(leaf) is _Hole else leaf, self.arguments)
        return self.function(*args, **kwargs)

    def same(self, out: Any) -> bool:
        """Whether a later result is the first one, but for rounding: a product may be summed in another order."""
        value = self.value
        if not isinstance(out, Tensor) or out.shape != value.shape or out.dtype != value.dtype:
            return False
        with np.errstate(all="ignore"):
            scale = float(np.max(np.abs(value), initial=0.0, where=np.isfinite(value)))
            tolerance = math.sqrt(float(np.finfo(value.dtype).eps))
            return np.allclose(out.data, value, rtol=tolerance, atol=tolerance * scale, equal_nan=True)

    def check(self, out: Any, read: list[Node] | None = None) -> None:
        """Raise RuntimeError unless a second run went as the first."""
        if not self.same(out) or (read is not None and set(read) != set(self.read)):
            what = "returned something else" if not self.same(out) else "read other tensors"
            raise RuntimeError(
                f"checkpoint: {self!r} {what} when it was computed again on the way back. It must depend on its "
                f"arguments and on tensors that stay as they are: hand random masks in, or give it a new generator of "
                f"the same seed each time, and write into no array that it reads."
            )

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)


def _cut(arrays: Any) -> list[Tensor]:
    """Return leaves in place of arguments: what computed them is no part of a piece."""
    return [own_leaf(t.data if isinstance(t, Tensor) else t) for t in arrays]


def _run(piece: _Piece, given: list[Tensor]) -> Any:
    """Run a piece for the first time, and put one node on the tape for all of it."""
    start = tick()
    out = piece.on(_cut(given))
    if not isinstance(out, Tensor):
        if not given and not any(map(needs_gradient, leaves(out))):
            return out  # nothing here needs a gradient, so whatever comes back is right
        raise TypeError(
            f"checkpoint: {piece!r} returned {type(out).__name__}, expected one tensor. Join several, np.stack or "
            f"np.concatenate, or checkpoint them one by one."
        )
    if not needs_gradient(out):
        return out  # no gradient flows through it: a comparison, say
    piece.read, piece.value = outside([out], start), out.data
    beside = [stand_in(node) for node in piece.read]
    for node in piece.read:
        # The other's gradient would hold what reaches it through this one, and then get it a second time.
        behind = Graph.of([node], bare=True).nodes if node.op is not None else []
        if any(box.node in piece.read and box.node is not node for box in behind):
            raise TypeError(
                f"checkpoint: {piece!r} reads a tensor computed outside, {node.label()}, and another that it was "
                f"computed from. Make the computed one an argument."
            )
    return _record(piece, *given, *beside)


def _again(g: Any, piece: _Piece, arrays: Any) -> list[Any]:
    """Return the gradients of all inputs: those of a second run, or, to be recorded, a piece that computes them."""
    count = len(arrays) - len(piece.read)
    if isinstance(g, Tensor):
        return _slopes(g, piece, list(arrays[:count]))
    with recording():
        start = tick()
        inputs = _cut(arrays[:count])
        out = piece.on(inputs)
        piece.check(out, outside([out], start) if isinstance(out, Tensor) else [])
        inputs += [stand_in(node) for node in piece.read]
        return [d.data for d in gradients(out, inputs, g)]


def _slopes(g: Tensor, piece: _Piece, given: list[Tensor]) -> list[Tensor]:
    """Return the gradients as results of a piece of its own, whose arguments are those of `piece` and `g`.

    Were they simply recorded here, then what `piece` reads beside its arguments would get, in addition, what reaches it
    through the arguments. In a piece the arguments are leaves.
    """
    shapes = [(t.shape, t.dtype) for t in given] + [(node.shape, node.dtype) for node in piece.read]

    def slopes(g: Tensor, *tensors: Tensor) -> Any:
        out = piece.on(tensors)
        piece.check(out)
        inputs = [*tensors, *[stand_in(node) for node in piece.read]]
        found = gradients(out, inputs, g, create_graph=True)
        return np.concatenate([d.reshape(-1) for d in found])  # a piece returns one tensor

    joined = checkpoint(slopes)(g, *given)
    results, first = [], 0
    for shape, dtype in shapes:
        last = first + math.prod(shape)
        part = joined[first:last].reshape(shape)
        results.append(part if part.dtype == dtype else part.astype(dtype))
        first = last
    return results


PIECE = Op(
    lambda piece, *inputs: piece.value, "checkpoint", {"inputs": lambda g, index: g[index]},
    lambda g, piece, inputs: _again(g, piece, inputs), (), None, False, None, "", __name__,
)  # fmt: skip
# No name among the operations: its first argument is a piece, and nobody's to give.
_record = recorder(PIECE)

"""The tape: nodes, the clock that numbers them, and the mode that says whether operations are recorded."""

from __future__ import annotations

import contextlib
import enum
import functools
import inspect
import itertools
from collections.abc import Callable, Iterator
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .operators import functions

if TYPE_CHECKING:
    from .operation import Op

Shape = tuple[int, ...]
Kind = tuple[Shape, np.dtype[Any], bool]

# The one clock. `next` on an itertools.count is a single C call, so it is atomic under the interpreter lock. An
# operation takes its number after its inputs took theirs: sorted by number, the tape is in topological order.
clock = itertools.count(1)
tick: Callable[[], int] = clock.__next__


@functools.lru_cache(10_000)
def kind_of(shape: Shape, dtype: np.dtype[Any]) -> Kind:
    """Return shape, dtype, and whether a ufunc keeps both: 0-d ones become scalars, and foreign byte orders native.

    The tuple is shared by all that agree in them, so that on the hot path "alike" is one test by identity. What drops
    out of the cache costs a slower path, and never a wrong answer.
    """
    return shape, dtype, shape != () and dtype.isnative


class _Noted:
    """What rare facts are noted on: an entry of the tape."""

    __slots__ = ()  # with all slots in one class of two, instances are made and freed sooner

    info: dict[str, Any] | None

    def note(self, key: str, value: Any) -> None:
        """Put a rare fact on it."""
        self.info = {**(getattr(self, "info", None) or {}), key: value}  # type: ignore[misc]  # the slot is a subclass's


class Node(_Noted):
    """One recorded operation, or a leaf: a tensor that a user made with ``requires_grad=True``.

    A node holds arrays and older nodes, never tensors: no reference cycle can form, and what no rule reads is not kept.

    Attributes
    ----------
    op : Op or None
        The operation; None for a leaf.
    left, right : Node or None
        The parents of a ufunc of two nodes, the commonest kind: a tuple for them would cost time and a visit of the
        garbage collector.
    others : tuple
        The parents of all other nodes, whose `left` is None.
    saved : tuple or None
        What the rules read, in the order of ``op.environment``; None once backward has freed it.
    number : int
        Reading of the clock. A leaf takes a new number when its array is overwritten.
    kind : tuple
        Shape and dtype of the result, as `kind_of` shares them. `shape` and `dtype` read it.
    grad : numpy.ndarray or None
        The accumulated gradient of a leaf (or of a result after ``retain_grad``).
    info : dict or None
        Rare facts: ``name``, ``static`` (static arguments by name), ``scopes`` (label and entry time of each module
        that returned this node, in one flat tuple), ``retain`` (its gradient is wanted), ``argument`` (it is a leaf
        that a transform made of an argument); and what observers note: ``line`` (of the user's code), ``facts``
        (statistics and times), ``observed`` (which part of the tape a leaf's facts are of).
    """

    __slots__ = ("op", "left", "right", "others", "saved", "number", "kind", "grad", "info", "__weakref__")

    op: Op | None
    left: Any
    right: Any
    others: tuple[Any, ...]
    saved: tuple[Any, ...] | None
    number: int
    kind: Kind
    grad: np.ndarray | None

    @property
    def parents(self) -> tuple[Any, ...]:
        """One entry for each differentiable argument, of which those of type `Node` receive gradients.

        The others are what is known of an argument that needs none: a Python number as it is, an array as `Constant`.
        """
        return self.others if self.left is None else (self.left, self.right)

    @property
    def shape(self) -> Shape:
        """The shape of the result."""
        return self.kind[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the result."""
        return self.kind[1]

    @property
    def name(self) -> str | None:
        """The name that a user or a module gave, or None."""
        return self.info.get("name") if self.info else None

    def label(self) -> str:
        """Return what messages call the node."""
        kind = "leaf" if self.op is None else f"op {self.op.name!r}"
        return f"{kind}{f' {self.name!r}' if self.name else ''} {self.shape}"

    def __repr__(self) -> str:
        kind = "leaf" if self.op is None else self.op.name
        return f"<Node {self.number} {kind}{f' {self.name!r}' if self.name else ''} {self.shape} {self.dtype}>"


class Constant(_Noted):
    """What the tape knows of an array that needs no gradient: enough to draw it, and not the array itself.

    Rare facts are noted in ``info``, as a node's are. It is not set before: constants are made on the hot path.
    """

    __slots__ = ("name", "shape", "dtype", "info")

    def __init__(self, name: str | None, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.name, self.shape, self.dtype = name, shape, dtype

    def __repr__(self) -> str:
        return f"<Constant {self.name or ''} {self.shape} {self.dtype}>"


def recorded(op: Op | None, parents: tuple[Any, ...], saved: Any, out: np.ndarray, info: Any = None) -> Node:
    """Return a new node for the result `out`. The record functions of ufuncs have these lines in them, for speed."""
    node = Node()
    node.op, node.others, node.saved = op, parents, saved
    node.kind, node.info = kind_of(out.shape, out.dtype), info
    node.left = node.right = node.grad = None
    node.number = next(clock)
    return node


def leaf(data: np.ndarray, name: str | None = None) -> Node:
    """Return a new leaf for `data`."""
    return recorded(None, (), None, data, {"name": name} if name else None)


class Observer:
    """Base of everything that watches operations run: subclass it, and record under ``with recording(observer)``.

    Recording and backward go on as usual, with the same numbers. An observer that is asked to run something runs it.
    """

    def run(self, op: Op, data: list[Any], parents: list[Any]) -> Any:
        """Return what the array function makes of its arguments; it may raise."""
        return op.call(data)

    def saw(self, op: Op, node: Node | None, out: np.ndarray, data: list[Any]) -> None:
        """Take note of one operation: what ran, its node (None if nothing was recorded), its result, its arguments."""

    def walk(self, order: list[Node], pending: dict[Node, Any]) -> Iterator[Node]:
        """Yield the nodes that backward visits, newest first; `pending` holds what has arrived at each so far."""
        yield from order

    def pulled(self, node: Node, place: int, d: Any, parent: Node) -> None:
        """Take note of a gradient that a rule of `node` gives its parent at `place`, before it is added up."""

    def failed(self, node: Node, error: Exception) -> None:
        """Take note of what is raised while backward runs the rules of `node`."""

    def read(self, tensor: Any) -> None:
        """Take note that Python looks at the values of a tensor."""


class _Off(enum.Enum):
    """The mode in which nothing is recorded."""

    OFF = 0


OFF: Final = _Off.OFF

# One variable answers three questions (record? observed? by whom?) with one read. None means "record".
MODE: ContextVar[None | _Off | Observer] = ContextVar("tinygrad_fc.mode", default=None)


def observer() -> Observer | None:
    """Return who watches the running block, if anyone does."""
    return mode if isinstance(mode := MODE.get(), Observer) else None


_SUSPENDS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Block(contextlib.ContextDecorator):
    """Set the mode for a block or for each call of a function; nests, and is restored when the block fails."""

    called = "no_grad"  # what users call it

    def __init__(self, mode: None | _Off | Observer) -> None:
        self._mode = mode
        self._tokens: list[Token[Any]] = []

    def _recreate_cm(self) -> Block:
        return type(self)(self._mode)

    def __call__(self, function: Any) -> Any:
        """Return the function with the mode set in each call; raise TypeError for one that runs later than that."""
        if getattr(function, "__code__", None) is not None and function.__code__.co_flags & _SUSPENDS:
            raise functions.refusals().suspended(self.called, function)
        return super().__call__(function)

    def __enter__(self) -> Any:
        self._tokens.append(MODE.set(self._mode))
        return self._mode

    def __exit__(self, *error: object) -> None:
        MODE.reset(self._tokens.pop())


def no_grad() -> Block:
    """Switch recording off, as a context manager or a decorator.

    Results made inside need no gradient and keep nothing. The mode belongs to the running thread or asyncio task. A
    generator runs in its caller's: with a ``yield`` inside the block, the mode would be off for the caller too.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.no_grad():
    ...     print((w * 2).requires_grad)
    False
    """
    return Block(OFF)


def recording(watcher: Observer | None = None) -> Block:
    """Switch recording on, whatever the mode around it is, and let `watcher` see each operation of the block."""
    return Block(watcher)

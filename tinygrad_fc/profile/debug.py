"""debug(): a block in which the first NaN or infinity, and an array that is overwritten, raise where they arise."""

from __future__ import annotations

import linecache
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from ..engine.backward import backward, gradients
from ..engine.node import Block, Constant, Node, Observer, recording
from ..engine.tensor import Tensor, tensor
from ..graph.frames import users_line
from ..transforms.checkpoint import OP as CHECKPOINT
from ..transforms.tape import stand_in
from .causes import cause, slope
from .observe import operands_of

if TYPE_CHECKING:
    from ..engine.operation import Op


@dataclass(slots=True, eq=False)
class _Record:
    """What is known of a node from when it was recorded: the user's line, and a checksum of each array it keeps."""

    line: str
    sums: list[int | None]


class _Running(threading.local):
    """What runs in one thread: the rules of which nodes, and calls whose result is not seen yet."""

    def __init__(self) -> None:
        self.visits: list[list[Any]] = []  # of runs of backward, inner ones last: a node, and what arrived there
        self.calls: list[tuple[list[Any], list[Any]]] = []


class Debugger(Observer):
    """What `debug` hands out.

    Parameters
    ----------
    nan, inf : bool
        What is looked for.

    Attributes
    ----------
    count : int
        Operations and gradients that were looked at.
    """

    def __init__(self, nan: bool = True, inf: bool = True) -> None:
        self.nan, self.inf = nan, inf
        self.count = 0
        self._records: WeakKeyDictionary[Node, _Record] = WeakKeyDictionary()
        self._running = _Running()

    # ---- forward

    def run(self, op: Op, data: list[Any], parents: list[Any]) -> Any:
        """Run an operation, and keep what its inputs are until its result is seen."""
        self._running.calls.append((data, parents))
        return super().run(op, data, parents)

    def saw(self, op: Op, node: Node | None, out: np.ndarray, data: list[Any]) -> None:
        """Look at a result; raise FloatingPointError if it is the first that is not finite."""
        self.count += 1
        line = users_line()
        if node is not None:
            self._records[node] = _Record(line, [_checksum(value) for value in node.saved or ()])
        calls, parents = self._running.calls, None
        while calls and parents is None:  # a call that failed, or whose result was refused, is not seen
            given_data, inputs = calls.pop()
            parents = inputs if given_data is data else None
        if self._bad(out) is None:
            return
        arrays = operands_of(op, data)
        names = op.parent_names(len(arrays))
        parents = parents or [None] * len(arrays)
        given = [f"{_called(name, parent)} {describe(array)}" for name, parent, array in
                 zip(names, parents, arrays, strict=True)]  # fmt: skip
        stained = [name for name, array in zip(names, arrays, strict=True) if self._bad(array) is not None]
        if stained:
            came = f"It came in with {' and '.join(stained)}, which no operation of this block made."
        else:
            came = cause(op.name, arrays, out, self._bad(out) or ())
        raise FloatingPointError(
            f"{op.name}: the first {self._kind(out)} of the {self._pass()}{_place(out, self._bad(out), arrays)}. "
            f"Result {describe(out)}; given {', '.join(given)}. {came}{_source(line)}"
        )

    def _pass(self) -> str:
        """Return what runs: backward, when its rules are operations that are recorded, or forward."""
        node = self._running.visits[-1][0] if self._running.visits else None
        if node is None or node.op is None:
            return "forward pass"
        line = self._line(node)
        return f"backward pass, in a rule of {node.op.name}{f' ({line})' if line else ''}"

    # ---- backward

    def walk(self, order: list[Node], pending: dict[Node, Any]) -> Iterator[Node]:
        """Before the rules of a node run, look at what arrived, and whether an array that they read was overwritten."""
        visits = self._running.visits
        visit: list[Any] = [None, None, None]
        visits.append(visit)
        try:
            self._spoilt(order)
            for node in order:
                self._unchanged(node)
                arrived = pending[node]
                if arrived is not None and self._bad(arrived) is not None:
                    what = "a leaf" if node.op is None else f"the result of {node.op.name}"
                    raise FloatingPointError(
                        f"backward: the gradient of {what} {_named(node)}{node.shape} is the first "
                        f"{self._kind(arrived)}: its parts were finite, their sum is not, or it was given so. "
                        f"{describe(arrived)}{_source(self._line(node))}"
                    )
                visit[:] = node, arrived, node.saved  # which are let go while its rules run
                yield node
        finally:
            self._ended(visit)

    def failed(self, node: Node, error: Exception) -> None:
        """Forget the run of backward that ends."""
        if self._running.visits:
            self._ended(self._running.visits[-1])

    def _ended(self, visit: list[Any]) -> None:
        """Forget a run of backward, and those inside it."""
        places = [place for place, other in enumerate(self._running.visits) if other is visit]
        if places:
            del self._running.visits[places[0] :]

    def pulled(self, node: Node, place: int, d: Any, parent: Node) -> None:
        """Look at what a rule gave; raise FloatingPointError if it is the first that is not finite."""
        self.count += 1
        if self._bad(d) is None or node.op is None:
            return
        argument = node.op.parent_names(len(node.parents))[place]
        _, g, saved = self._running.visits[-1]
        if node.op is CHECKPOINT and saved is not None:
            self._inside(node, g, *saved)
        at = self._bad(d)
        known = dict(zip(node.op.environment, saved or (), strict=False))
        raise FloatingPointError(
            f"backward of {node.op.name}: its rule for {_called(argument, parent)} gave the first {self._kind(d)} of "
            f"the backward pass{_place(d, at, [])}: {describe(d)}. Arrived: {describe(g)}. "
            f"{slope(node.op.name, known, g, np.shape(d), at or ())}{_source(self._line(node))}".rstrip()
        )

    def _inside(self, node: Node, g: Any, piece: Any, arrays: Any) -> None:
        """Raise for the operation in a checkpointed piece whose rule is at fault, if it shows when it runs again."""
        leaves = [tensor(array, requires_grad=True) for array in arrays[: len(arrays) - len(piece.read)]]
        try:
            with recording(Debugger(self.nan, self.inf)):
                out = piece.on(leaves)
                gradients(out, [*leaves, *map(stand_in, piece.read)], g.data if isinstance(g, Tensor) else g)
        except FloatingPointError as error:
            line = self._line(node)
            raise FloatingPointError(f"{error}\n  in a checkpoint{f', at {line}' if line else ''}") from None

    def _spoilt(self, order: list[Node]) -> None:
        """Raise FloatingPointError if backward is about to add to a gradient that is not finite."""
        if not _accumulates():
            return
        for node in order:
            if node.grad is not None and self._bad(node.grad) is not None:
                name = node.name or "a leaf"
                raise FloatingPointError(
                    f"backward: the grad of {name} {node.shape} holds the first {self._kind(node.grad)}, from before "
                    f"this backward, which adds to it: {describe(node.grad)}. Set it to None first, or zero_grad()."
                )

    def _unchanged(self, node: Node) -> None:
        """Raise RuntimeError if an array that the rules of a node read is not what it was when it was recorded."""
        record = self._records.get(node)
        if record is None or node.op is None or node.saved is None:
            return
        for place, (value, known) in enumerate(zip(node.saved, record.sums, strict=False)):
            if known is not None and _checksum(value) != known:
                what = node.op.environment[place] if place < len(node.op.environment) else "an array"
                raise RuntimeError(
                    f"backward of {node.op.name}: {what}, which its rules read, was overwritten after the operation "
                    f"ran: the gradient would be wrong. {describe(value)} now. Write into a copy, or go backward "
                    f"first.{_source(record.line)}"
                )

    def _line(self, node: Node) -> str:
        record = self._records.get(node)
        return record.line if record is not None else ""

    def _bad(self, value: Any) -> tuple[int, ...] | None:
        """Return where the first number stands that is looked for; None where there is none."""
        array = value.data if isinstance(value, Tensor) else value
        if not isinstance(array, (np.ndarray, np.generic, float, complex)):
            return None
        array = np.asarray(array)
        if array.dtype.kind not in "fc" or (self.nan and self.inf and np.isfinite(array).all()):
            return None
        found = ~np.isfinite(array) if self.nan and self.inf else np.isnan(array) if self.nan else np.isinf(array)
        return tuple(int(at) for at in np.argwhere(found)[0]) if found.any() else None

    def _kind(self, value: Any) -> str:
        """Return what the first number that is looked for is."""
        array = np.asarray(value.data if isinstance(value, Tensor) else value)
        return "NaN" if np.isnan(array[self._bad(array) or ()]) else "infinity"


def describe(value: Any) -> str:
    """Return shape, dtype and range of an array in a few words, with how many numbers are NaN or infinite."""
    if isinstance(value, Tensor):
        value = value.data
    if not isinstance(value, (np.ndarray, np.generic)):
        return repr(value)
    array = np.asarray(value)
    text = f"{array.shape} {array.dtype}"
    if array.dtype.kind not in "biuf" or not array.size:
        return text
    finite = array[np.isfinite(array)]
    text += f" in [{float(finite.min()):.4g}, {float(finite.max()):.4g}]" if finite.size else " with no finite number"
    for name, count in (("NaN", np.isnan(array).sum()), ("infinite", np.isinf(array).sum())):
        if count:
            text += f", {int(count)} of {array.size} {name}"
    return text


def _accumulates() -> bool:
    """Whether it is ``Tensor.backward`` that runs, two frames above the observer's, and adds to `grad`."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code is not backward.__code__:
        if frame.f_code is gradients.__code__:
            return False
        frame = frame.f_back  # type: ignore[assignment]  # None above the first
    return frame is not None


def _checksum(value: Any) -> int | None:
    """Return a checksum of what a node keeps, if it is an array that somebody can write into."""
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        return None
    return zlib.crc32(np.ascontiguousarray(value).view(np.uint8).data) if value.size else 0


def _called(name: str, entry: Any) -> str:
    """Return what an argument is called in a message: with the name of a parameter, or of what computed it."""
    if isinstance(entry, Node):
        known = entry.name or (f"the result of {entry.op.name}" if entry.op is not None else None)
    else:
        known = entry.name if isinstance(entry, Constant) else None
    return f"{name} ({known})" if known else name


def _named(node: Node) -> str:
    return f"{node.name} " if node.name else ""


def _place(out: Any, at: tuple[int, ...] | None, arrays: list[Any]) -> str:
    """Return an index, with the elements that an elementwise operation took there."""
    shape = np.shape(out)
    text = f", at index {list(at)}" if at else ""
    values = []
    for array in arrays:
        array = array.data if isinstance(array, Tensor) else array
        try:
            values.append(f"{np.broadcast_to(array, shape)[at or ()]:.6g}")
        except (ValueError, TypeError):
            return text  # it is not elementwise
    return f"{text} (from {', '.join(values)})" if values else text


def _source(line: str) -> str:
    """Return the user's line for the end of a message."""
    if not line:
        return ""
    file, _, number = line.rpartition(":")
    code = linecache.getline(file, int(number)).strip() if number.isdigit() else ""
    return f"\n  at {line}{f': {code}' if code else ''}"


class _Block(Block):
    """The watched block. NumPy's own warnings are off in it: what they warn of raises here, with its place."""

    called = "debug"

    def __init__(self, mode: Any) -> None:
        super().__init__(mode)
        self._states: list[Any] = []

    def _recreate_cm(self) -> _Block:
        mode: Any = self._mode
        return _Block(Debugger(mode.nan, mode.inf))

    def __enter__(self) -> Any:
        self._states.append(np.errstate(divide="ignore", over="ignore", invalid="ignore"))
        self._states[-1].__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._states.pop().__exit__(*error)


def debug(nan: bool = True, inf: bool = True) -> AbstractContextManager[Debugger]:
    """Watch a block, and raise where the first NaN or infinity arises: forward or backward, in any code of the block.

    The error names the operation, shapes and ranges of what it was given, the user's line, and, of what fails in a
    module's ``forward``, its path.
    Arrays that an operation keeps for the way back are looked at again before its rules read them: one that was
    overwritten since raises a RuntimeError instead of giving a wrong gradient. Arrays that no rule reads may be
    overwritten.

    The numbers are those without it, to the last bit; operations take longer. What is not finite in the data is named
    as such. What runs under `no_grad` in the block is not seen, since nothing of it is recorded. NumPy's warnings of
    division by zero, overflow and invalid values are off in the block.

    The block is that of the running thread or asyncio task. As a decorator, ``@tg.debug()``, it watches each call of a
    function; of a generator or a coroutine it raises ``TypeError``.

    Parameters
    ----------
    nan, inf : bool
        What is looked for. A model that masks with infinities is watched with ``inf=False``.

    Returns
    -------
    context manager
        ``with debug() as watcher:`` gives a `Debugger`.

    Raises
    ------
    TypeError
        If an option is no bool.
    ValueError
        If nothing is to be looked for.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([1.0, 0.0], requires_grad=True, name="x")
    >>> with tg.debug():
    ...     y = (x * tg.log(x)).sum()
    Traceback (most recent call last):
        ...
    FloatingPointError: log: the first infinity of the forward pass, at index [1] (from 0). Result (2,) float64 in
    [0, 0], 1 of 2 infinite; given x (x) (2,) float64 in [0, 1]. The logarithm needs numbers above 0; ...
    """
    for name, value in (("nan", nan), ("inf", inf)):
        if not isinstance(value, bool):
            raise TypeError(f"debug: {name}={value!r} is {type(value).__name__}, expected True or False.")
    if not nan and not inf:
        raise ValueError("debug: nan=False and inf=False leave nothing to look for; leave one of them out.")
    return _Block(Debugger(nan, inf))

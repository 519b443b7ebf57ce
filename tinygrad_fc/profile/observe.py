"""observe(): a block in which operations and backward note on the tape what they did, for `Graph` to show."""

from __future__ import annotations

import linecache
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine import record
from ..engine.node import Block, Constant, Node, Observer, kind_of, recorded, tick
from ..engine.tensor import Tensor
from ..graph import Graph
from ..graph.facts import kept_bytes
from ..graph.frames import users_line
from ..ops.refusals import message_of
from .stats import stats

if TYPE_CHECKING:
    from ..engine.operation import Op

# The dtype of what an operation that failed would have returned: none.
_NOTHING = np.dtype("V")


@dataclass(slots=True, eq=False)
class _Call:
    """A call of an operation, from before its function runs until its result is seen."""

    op: Op
    data: list[Any]
    inputs: list[Any]
    line: str
    seconds: float | None = None  # None while the function runs


@dataclass(slots=True, eq=False)
class _Visit:
    """A run of backward that is under way."""

    pending: dict[Node, Any]  # what has arrived at each node
    gives: list[dict[str, Any]] = field(default_factory=list)  # what the node that is visited has given so far
    parent: Node | None = None  # to which it gave the last, whose sum is still to be made


class _Running(threading.local):
    """What runs in one thread: a context that is copied takes its observer into other threads."""

    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self.visits: list[_Visit] = []
        self.spent = 0.0  # seconds that went into observing, and are no operation's


class Trace(Observer):
    """What `observe` hands out: it notes facts on the tape, and holds what it saw.

    Attributes
    ----------
    count : int
        Operations that were seen.
    values : bool
        Whether statistics of values and gradients are noted too.
    nodes : list of Node
        What was recorded, oldest first, with an entry for each operation that failed. They live as long as the trace.
    marks : dict of Node to str
        What is wrong with a node: what its function, or one of its rules, raised.
    """

    def __init__(self, values: bool = False) -> None:
        self.count = 0
        self.values = values
        self.nodes: list[Node] = []
        self.marks: dict[Node, str] = {}
        self._running = _Running()
        self._lock = threading.RLock()  # of what threads share: the count, and the facts of leaves

    def graph(self) -> Graph:
        """Return the graph of all that was recorded: after an exception, of the part computed so far.

        The box of an operation that failed has the error's message as its `mark`.

        Raises
        ------
        ValueError
            If nothing was recorded.
        """
        self.refused()
        return Graph.of(self.nodes, marks=self.marks)

    def facts(self, entry: Node | Constant) -> dict[str, Any]:
        """Return the facts of a node or constant, to be added to."""
        with self._lock:
            facts: dict[str, Any] | None = (getattr(entry, "info", None) or {}).get("facts")
            if facts is None:
                entry.note("facts", facts := {})
            return facts

    # ---- forward

    def run(self, op: Op, data: list[Any], parents: list[Any]) -> Any:
        """Run an operation, and take its time."""
        begun = perf_counter()
        self.refused()
        call, calls = _Call(op, data, parents, users_line()), self._running.calls
        calls.append(call)
        start = perf_counter()
        self._running.spent += start - begun
        try:
            out = op.call(data)
            seconds = perf_counter() - start
            self.refused()  # an operation that the function ran, and went on without
        except BaseException as error:
            self.refused(str(error))
            calls.remove(call)
            if isinstance(error, Exception):
                self._fail(call, message_of(op, error, data))
            raise
        call.seconds = seconds
        return out

    def saw(self, op: Op, node: Node | None, out: np.ndarray, data: list[Any]) -> None:
        """Note what an operation was: the user's line, its time, what it keeps and computes."""
        start = perf_counter()
        with self._lock:
            self.count += 1
        call = self._running.calls.pop()
        if node is not None:
            self.nodes.append(node)
            facts = self._placed(node, call)
            facts["forward_seconds"] = call.seconds
            facts["saved_bytes"] = kept_bytes(node.saved or ())
            if self.values:
                facts["value"] = stats(out)
                self._inputs(call, node.number)
        self._running.spent += perf_counter() - start

    def _placed(self, node: Node, call: _Call) -> dict[str, Any]:
        """Note the user's line, and return the facts."""
        node.note("line", call.line)
        file, _, number = call.line.rpartition(":")
        facts = self.facts(node)
        if source := linecache.getline(file, int(number)).strip():
            facts["source"] = source
        return facts

    def _inputs(self, call: _Call, number: int) -> None:
        """Note the values of a call's inputs; those of a leaf once, until it is overwritten."""
        for parent, array in zip(call.inputs, operands_of(call.op, call.data), strict=True):
            if type(parent) is Constant:
                value = stats(array)
                with self._lock:
                    known = self.facts(parent).get("value")
                    # Whether its array was written into since, nobody says. NaN is equal to itself in text alone.
                    since = number - 1 if known is None or str(known) != str(value) else 0
                    self.current(parent, number, since)["value"] = value
            elif type(parent) is Node and parent.op is None:
                with self._lock:
                    facts = self.current(parent, number, parent.number)
                    if "value" not in facts:
                        facts["value"] = stats(array)

    def current(self, entry: Node | Constant, until: int, since: int) -> dict[str, Any]:
        """Return the facts of a leaf or constant, without those of an array that it no longer has.

        ``info["observed"]`` says of which part of the tape they are: of what was recorded after the one number, up to
        the other. `since` is a leaf's own number; of a constant 0 stands for the same array as before.
        """
        with self._lock:
            first, last = (getattr(entry, "info", None) or {}).get("observed", (0, 0))
            if since and since != first:
                entry.note("facts", {})
                first, last = since, 0
            entry.note("observed", (first, max(until, last)))
            return self.facts(entry)

    def refused(self, why: str = "") -> None:
        """Mark the operation whose function has run, and whose result was not recorded, if there is one.

        The reason is taken from what was raised, `why`, where that speaks of this operation.
        """
        calls = self._running.calls
        if calls and calls[-1].seconds is not None:
            call = calls.pop()
            self._fail(call, why if why.startswith(f"{call.op.name}:") else f"{call.op.name}: its result was refused")

    def _fail(self, call: _Call, message: str) -> None:
        """Keep an entry for an operation that has no result."""
        static = {"static": _static(call.op, call.data)}
        node = recorded(call.op, tuple(call.inputs), None, np.empty(()), static)
        node.kind = kind_of((), _NOTHING)
        self._placed(node, call)
        self.nodes.append(node)
        self.marks[node] = message
        if self.values:
            self._inputs(call, node.number)

    # ---- backward

    def walk(self, order: list[Node], pending: dict[Node, Any]) -> Iterator[Node]:
        """Note of each node when backward visited it, for how long, what had arrived, and what was freed."""
        visit, place, number = _Visit(pending), 0, tick()
        self._running.visits.append(visit)
        try:
            for node in order:
                start = perf_counter()
                if pending[node] is None:  # nothing arrived: backward passes it by
                    yield node
                    continue
                facts = self.facts(node) if node.op else self.current(node, order[0].number, node.number)
                if self.values:
                    facts["gradient"] = stats(_array(pending[node]))
                visit.gives = []
                facts["backward"] = noted = {"run": number, "order": place, "freed": 0, "gives": visit.gives}
                place += 1
                kept = kept_bytes(node.saved or ())
                self._running.spent += perf_counter() - start
                start, spent = perf_counter(), self._running.spent
                yield node
                if node.op is not None:
                    facts["backward_seconds"] = perf_counter() - start - (self._running.spent - spent)
                    noted["freed"] = kept if node.saved is None else 0
                self._add(visit)
        finally:
            self._end(visit)

    def pulled(self, node: Node, place: int, d: Any, parent: Node) -> None:
        """Note what a rule gives."""
        start = perf_counter()
        visit = self._running.visits[-1]
        self._add(visit)
        assert node.op is not None  # a leaf has no rules
        visit.gives.append({"argument": node.op.parent_names(len(node.parents))[place]})
        if self.values:
            visit.gives[-1]["gradient"] = stats(_array(d))
            visit.parent = parent
        self._running.spent += perf_counter() - start

    @staticmethod
    def _add(visit: _Visit) -> None:
        """Note the sum that what a rule gave last went into, now that it is made and not yet added to."""
        if visit.parent is not None:
            visit.gives[-1]["total"] = stats(_array(visit.pending[visit.parent]))
            visit.parent = None

    def failed(self, node: Node, error: Exception) -> None:
        """Mark the node whose rules raised, with which this run of backward ends."""
        if self._running.visits:
            self._end(self._running.visits[-1])
        if node.op is not None:
            self.marks[node] = f"{node.op.name}: backward raised {type(error).__name__}: {error}"
            if node not in self.nodes:
                self.nodes.append(node)

    def _end(self, visit: _Visit) -> None:
        """Forget a run of backward, and those inside it that were interrupted."""
        visits = self._running.visits
        if visit in visits:
            del visits[visits.index(visit) :]


def operands_of(op: Op, data: list[Any]) -> list[Any]:
    """Return the differentiable arguments of a call, one for each parent of its node."""
    found: list[Any] = []
    for key, value in zip(op.arguments, data, strict=True):
        if key in op.differentiable:
            found += value if key == op.variadic else [value]
    return found


def _static(op: Op, data: list[Any]) -> dict[str, Any]:
    return {key: value for key, value in zip(op.arguments, data, strict=True) if key not in op.differentiable}


def _array(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


class _Block(Block):
    """The watched block; an error that ends it tells why a result was refused."""

    called = "observe"

    def __exit__(self, *error: Any) -> None:
        super().__exit__()
        traceback: TracebackType | None = error[2]
        while traceback is not None and traceback.tb_next is not None:
            traceback = traceback.tb_next
        if traceback is not None and traceback.tb_frame.f_globals is vars(record) and isinstance(self._mode, Trace):
            self._mode.refused(str(error[1]))


def observe(values: bool = False) -> AbstractContextManager[Trace]:
    """Watch a block: what is recorded in it, and each backward that runs in it, note facts for `Graph` to show.

    Each operation notes the line of the user's code that ran it, its time, the bytes it keeps for the way back and its
    multiply-adds; backward, in which order it visited the operations, how long each took, and what it freed. What is
    kept counts whoever else holds it, so the weights of a layer count. With `values`, statistics of every value and
    gradient are noted too, of small arrays the numbers; of a graph that goes backward several times, those of the last.

    Of blocks in one another, the innermost watches. The drawings show it all. In the block operations take longer, and
    compute the same to the last bit; outside of it nothing is slower. When something raises in the block,
    ``run.graph()`` is the graph of the part computed so far.

    The block is that of the running thread or asyncio task, and of those that take its context along. As a decorator,
    ``@observe()``, it watches each call of a function; of a generator or a coroutine it raises ``TypeError``.

    Parameters
    ----------
    values : bool
        Note values and gradients.

    Returns
    -------
    context manager
        ``with observe() as run:`` gives a `Trace`. It holds what was recorded until it is dropped.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
    >>> with tg.observe(values=True) as run:
    ...     loss = (w * w).sum()
    ...     loss.backward()
    >>> run.count
    2
    >>> box = tg.Graph(loss).nodes[-1]
    >>> box.line, box.facts["value"]["numbers"], box.facts["backward"]["gives"][0]["gradient"]["numbers"]
    ('<stdin>:2', 5.0, [1.0, 1.0])
    """
    if not isinstance(values, bool):
        raise TypeError(f"observe: values={values!r} is {type(values).__name__}, expected True or False.")
    return _Block(Trace(values))

"""observe(): a block in which operations and backward note on the tape what they did, for `Graph` to show."""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Iterator
from contextlib import AbstractContextManager, ContextDecorator
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine import record
from ..engine.node import Constant, Node, Observer, recording, tick
from ..engine.tensor import Tensor
from ..graph import Graph
from ..graph.box import Run, kept_bytes
from ..graph.frames import users_line
from ..ops.refusals import message_of
from .stats import stats

if TYPE_CHECKING:
    from ..engine.operation import Op

# The dtype of what an operation that failed would have returned: none.
_NOTHING = np.dtype("V")
# Runs of backward are numbered.
_RUNS = itertools.count(1)


@dataclass(slots=True)
class _Call:
    """A call of an operation, from before its function runs until its result is seen."""

    op: Op
    data: list[Any]
    inputs: list[Any]
    seconds: float | None = None  # None while the function runs


@dataclass(slots=True)
class _Visit:
    """A run of backward that is under way."""

    pending: dict[Node, Any]  # what has arrived at each node
    run: Run
    given: dict[str, Any] | None = None  # what a rule gave last, whose sum is still to be made at `parent`
    parent: Node | None = None


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
        self._calls: list[_Call] = []
        self._visits: list[_Visit] = []
        self._spent = 0.0  # seconds that went into observing, and are no operation's

    def graph(self) -> Graph:
        """Return the graph of all that was recorded: after an exception, of the part computed so far.

        The box of an operation that failed has the error's message as its `mark`.

        Raises
        ------
        ValueError
            If nothing was recorded.
        """
        self.refused("its result was refused")
        return Graph.of(self.nodes, marks=self.marks)

    def facts(self, entry: Node | Constant) -> dict[str, Any]:
        """Return the facts of a node or constant, to be added to."""
        info: dict[str, Any] = getattr(entry, "info", None) or {}
        if "facts" not in info:
            entry.note("facts", {})
            return self.facts(entry)
        facts: dict[str, Any] = info["facts"]
        return facts

    # ---- forward

    def run(self, op: Op, data: list[Any], parents: list[Any]) -> Any:
        """Run an operation, and take its time."""
        self.refused("its result was refused")
        call = _Call(op, data, parents)
        self._calls.append(call)
        start = perf_counter()
        try:
            out = op.call(data)
        except Exception as error:
            self._calls.pop()
            self._fail(call, message_of(op, error, data))
            raise
        call.seconds = perf_counter() - start
        return out

    def saw(self, op: Op, node: Node | None, out: np.ndarray, data: list[Any]) -> None:
        """Note what an operation was: the user's line, its time, what it keeps and computes."""
        start = perf_counter()
        self.count += 1
        call = self._calls.pop()
        if node is not None:
            self.nodes.append(node)
            facts = self._placed(node)
            facts["forward_seconds"] = call.seconds
            facts["saved_bytes"] = kept_bytes(node.saved or ())
            if self.values:
                facts["value"] = stats(out)
                self._inputs(call, node.number)
        self._spent += perf_counter() - start

    def _placed(self, node: Node) -> dict[str, Any]:
        """Note the user's line, and return the facts."""
        line = users_line()
        node.note("line", line)
        file, _, number = line.rpartition(":")
        facts = self.facts(node)
        if source := linecache.getline(file, int(number)).strip():
            facts["source"] = source
        return facts

    def _inputs(self, call: _Call, number: int) -> None:
        """Note the values of a call's inputs; those of a leaf once, until it is overwritten."""
        for parent, array in zip(call.inputs, operands_of(call.op, call.data), strict=True):
            if type(parent) is Constant:
                self.facts(parent)["value"] = stats(array)
            elif type(parent) is Node and parent.op is None:
                facts = self.current(parent, number)
                if "value" not in facts:
                    facts["value"] = stats(array)

    def current(self, leaf: Node, until: int) -> dict[str, Any]:
        """Return the facts of a leaf, without those of an array that it no longer has.

        ``info["observed"]`` says of which part of the tape they are: of what was recorded after the one number (the
        leaf's own, then) up to the other.
        """
        since, last = (leaf.info or {}).get("observed", (0, 0))
        if since != leaf.number:
            leaf.note("facts", {})
        leaf.note("observed", (leaf.number, max(until, last)))
        return self.facts(leaf)

    def arrived(self, node: Node, run: Run, until: int) -> dict[str, Any]:
        """Return the facts of a node that a run of backward has come to, to be added to."""
        if node.op is not None:
            node.note("run", run)
            return self.facts(node)
        self.current(node, until)
        return run.leaves.setdefault(id(node), {})

    def refused(self, why: str) -> None:
        """Mark the operation whose function has run, and whose result was not recorded, if there is one."""
        if self._calls and self._calls[-1].seconds is not None:
            call = self._calls.pop()
            self._fail(call, why if why.startswith(f"{call.op.name}:") else f"{call.op.name}: {why}")

    def _fail(self, call: _Call, message: str) -> None:
        """Keep an entry for an operation that has no result."""
        node = Node()
        node.op, node.parents, node.saved, node.grad = call.op, tuple(call.inputs), None, None
        node.shape, node.dtype, node.number = (), _NOTHING, tick()
        node.info = {"static": _static(call.op, call.data)}
        self._placed(node)
        self.nodes.append(node)
        self.marks[node] = message
        if self.values:
            self._inputs(call, node.number)

    # ---- backward

    def walk(self, order: list[Node], pending: dict[Node, Any]) -> Iterator[Node]:
        """Note of each node when backward visited it, for how long, what had arrived, and what was freed."""
        visit, place = _Visit(pending, Run(next(_RUNS))), 0
        self._visits.append(visit)
        for node in order:
            start = perf_counter()
            if pending[node] is None:  # nothing arrived: backward passes it by
                yield node
                continue
            facts = self.arrived(node, visit.run, order[0].number)
            if self.values:
                facts["gradient"] = stats(_array(pending[node]))
            facts["backward"] = noted = {"order": place, "freed": 0, "gives": []}
            place += 1
            kept = kept_bytes(node.saved or ())
            self._spent += perf_counter() - start
            start, spent = perf_counter(), self._spent
            yield node
            if node.op is not None:
                facts["backward_seconds"] = perf_counter() - start - (self._spent - spent)
                noted["freed"] = kept if node.saved is None else 0
            self._add(visit)
        self._visits.remove(visit)

    def pulled(self, node: Node, place: int, d: Any, parent: Node) -> None:
        """Note what a rule gives."""
        start = perf_counter()
        visit = self._visits[-1]
        self._add(visit)
        assert node.op is not None  # a leaf has no rules
        given: dict[str, Any] = {"argument": node.op.parent_names(len(node.parents))[place]}
        self.facts(node)["backward"]["gives"].append(given)
        if self.values:
            given["gradient"] = stats(_array(d))
            visit.given, visit.parent = given, parent
        self._spent += perf_counter() - start

    def _add(self, visit: _Visit) -> None:
        """Note the sum that what a rule gave last went into, now that it is made and not yet added to."""
        if visit.given is not None and visit.parent is not None:
            visit.given["total"] = stats(_array(visit.pending[visit.parent]))
            visit.given = visit.parent = None

    def failed(self, node: Node, error: Exception) -> None:
        """Mark the node whose rules raised, with which this run of backward ends."""
        self._visits.pop()
        if node.op is not None:
            self.marks[node] = f"{node.op.name}: backward raised {type(error).__name__}: {error}"
            if node not in self.nodes:
                self.nodes.append(node)


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


class _Block(ContextDecorator):
    """The watched block: as `watch`, and an error that ends it tells why a result was refused."""

    def __init__(self, trace: Trace) -> None:
        self._trace, self._mode = trace, recording(trace)

    def __enter__(self) -> Trace:
        self._mode.__enter__()
        return self._trace

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._mode.__exit__()
        while traceback is not None and traceback.tb_next is not None:
            traceback = traceback.tb_next
        if traceback is not None and traceback.tb_frame.f_globals is vars(record):
            self._trace.refused(str(error))


def observe(values: bool = False) -> AbstractContextManager[Trace]:
    """Watch a block: what is recorded in it, and each backward that runs in it, note facts for `Graph` to show.

    Each operation notes the line of the user's code that ran it, its time, the bytes it keeps for the way back and its
    multiply-adds; backward, in which order it visited the operations, how long each took, and what it freed. What is
    kept counts whoever else holds it, so the weights of a layer count. With `values`, statistics of every value and
    gradient are noted too, of small arrays the numbers; of a graph that goes backward several times, those of the last.

    Of blocks in one another, the innermost watches. The drawings show it all. In the block operations take longer, and
    compute the same to the last bit; outside of it nothing is slower. When something raises in the block,
    ``run.graph()`` is the graph of the part computed so far.

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

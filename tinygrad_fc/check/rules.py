"""The rules of the operations behind a result, one by one: the culprits, and verdicts where no difference can tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine.node import Node, recording
from ..engine.operation import Op
from ..engine.tensor import Tensor, tensor
from ..graph import Graph
from ..graph.box import GraphNode
from ..profile import Trace
from .culprit import Local
from .problem import Problem, natural
from .report import Culprit, GradcheckReport, InputCheck

OPEN = ("faint", "drowned", "inconclusive")
NOISY = "the differences are too noisy here to tell: they may be off by {:.0e}, relatively"
BY_RULES = "no difference can tell here, but the rule of each operation on its way is right by itself"
NEAR = 1e-6  # how far the inputs are moved to see whether what is no part of the tape moves with them


class Tape(Trace):
    """A trace that keeps the arguments of each operation too."""

    def __init__(self) -> None:
        super().__init__()
        self.arguments: dict[Node, list[Any]] = {}

    def saw(self, op: Op, node: Node | None, out: np.ndarray, data: list[Any]) -> None:
        """Keep the arguments of one operation."""
        super().saw(op, node, out, data)
        if node is not None:
            self.arguments[node] = list(data)


@dataclass(slots=True)
class Found:
    """What is known of the rules behind a result.

    Attributes
    ----------
    culprits : tuple of Culprit
        The wrong ones, the nearest to the result first.
    graph : Graph
        Their boxes are marked with what is said of them.
    arguments : dict
        Whether a rule is right, by the box and the argument's name; None where differences cannot tell.
    """

    graph: Graph
    culprits: tuple[Culprit, ...] = ()
    arguments: dict[tuple[int, str], bool | None] = field(default_factory=dict)


def taped(f: Any, arguments: Sequence[Any]) -> tuple[Graph, Tape]:
    """Return the graph of a function's result, and the tape that has the arguments of each operation."""
    tape = Tape()
    with recording(tape):
        out = f(*arguments)
    return Graph(out), tape


def find_culprits(problem: Problem, generator: np.random.Generator, sharp: bool = False) -> Found:
    """Return the operations behind a problem's result whose own rules are wrong, and the graph.

    `sharp` finds what the rounding of larger elements hides, and tells which rules are sure to be right.
    """
    problem.restore()
    graph, tape = taped(problem.f, problem.arguments)
    found = Found(graph)
    culprits: list[Culprit] = []
    boxes = [box for box in graph.nodes if box.kind == "op"]
    for distance, box in enumerate(reversed(boxes)):
        for argument, culprit, told in _faults(box, tape, generator, sharp, distance):
            found.arguments[box.id, argument] = told
            if culprit is not None:
                culprits.append(culprit)
                box.mark = f"{box.mark}\n{culprit}" if box.mark else str(culprit)
    found.culprits = tuple(culprits)
    return found


def _faults(
    box: GraphNode, tape: Tape, generator: np.random.Generator, sharp: bool, distance: int
) -> Iterator[tuple[str, Culprit | None, bool | None]]:
    """Yield each argument of a box with the culprit, if its rule is wrong, and whether it is right."""
    if not isinstance(box.node, Node) or box.node.op is None or box.node not in tape.arguments:
        return
    if box.node.op.name == "checkpoint" and box.node.op.proved:
        # Its own function and rule are those of what runs in it: that is a tape of its own.
        inside = list(_inside(tape.arguments[box.node], generator, distance))
        for argument, _ in box.inputs:
            yield argument, None, False if inside else None
        for culprit in inside:
            yield culprit.argument, culprit, False
        return
    local = Local(box.node.op, tape.arguments[box.node], generator)
    for place in local.places:
        fault: Any = local.sharp(place) if sharp else local.fault(place)
        if isinstance(fault, tuple):
            looks, at, ours, theirs = fault
            yield local.name(place), Culprit(
                box.op or "", local.name(place), looks, ".".join(box.module), box.line or "",
                local.arrays[place].shape, at, ours, theirs, distance,
            ), False  # fmt: skip
        else:
            yield local.name(place), None, fault or None


def _inside(data: list[Any], generator: np.random.Generator, distance: int) -> Iterator[Culprit]:
    """Yield the culprits in a checkpointed piece."""
    piece, arrays = data[0], data[1]
    leaves = [tensor(array, requires_grad=True) for array in arrays[: len(arrays) - len(piece.read)]]
    graph, tape = taped(lambda *leaves: piece.on(leaves), leaves)
    for box in reversed([box for box in graph.nodes if box.kind == "op"]):
        for _, culprit, _ in _faults(box, tape, generator, False, distance):
            if culprit is not None:
                yield culprit


def judge_by_rules(problem: Problem, checks: list[InputCheck], generator: np.random.Generator) -> Found | None:
    """Give a verdict on the inputs of which the differences of the function cannot tell, by the rules on their way.

    A gradient is right if the function is what the tape says, and the rule of each operation on the tape is right at
    its arguments: that is the chain rule. The first is looked at, too: what is no part of the tape must not move with
    the inputs. Return what was found, or None where there was nothing to look at.
    """
    left = [n for n, check in enumerate(checks) if check.verdict in OPEN and check.note != UNSTEADY]
    if not left:
        return None
    if all(checks[n].verdict == "faint" for n in left) and any(check.verdict == "wrong" for check in checks):
        for n in left:  # there is a fault to look for already, and in these there is none to be seen
            checks[n].verdict = "kink" if checks[n].kinks else "correct"
        return None
    found = find_culprits(problem, generator, sharp=True)
    steady = _steady(problem, generator)
    for n in left:
        check = checks[n]
        way = [found.arguments.get(place) for place in _way(found.graph, problem.tensors[n])]
        if False in way:
            check.verdict = "wrong"
            check.note = "no difference of f can tell here, but the rule of an operation on its way is wrong by itself"
        elif (steady and None not in way) or check.verdict == "faint":
            check.note = "" if check.verdict == "faint" else BY_RULES
            check.verdict = "kink" if check.kinks else "correct"
        else:
            check.verdict = "inconclusive"
    return found


UNSTEADY = "f is not deterministic"


def _way(graph: Graph, leaf: Tensor) -> Iterator[tuple[int, str]]:
    """Yield the arguments of operations through which a leaf's gradient flows, by box and name."""
    reached = {box.id for box in graph.nodes if box.node is leaf.node}
    for box in graph.nodes:
        for argument, source in box.inputs:
            if source in reached:
                reached.add(box.id)
                yield box.id, argument


def _steady(problem: Problem, generator: np.random.Generator) -> bool:
    """Whether the tape is the same, and all that it reads beside the inputs, where the inputs are moved a little.

    If not, something is computed from them outside of the tape: by detach(), no_grad() or .data.
    """
    problem.restore()
    graph, tape = taped(problem.f, problem.arguments)
    starts = [t._array for t in problem.tensors]
    try:
        for t, start in zip(problem.tensors, starts, strict=True):
            size = np.where(start == 0, natural(start), start)
            t._array = start + NEAR * size * generator.choice([-1.0, 1.0], start.shape)
        problem.restore()
        with np.errstate(all="ignore"):
            near, other = taped(problem.f, problem.arguments)
    finally:
        for t, start in zip(problem.tensors, starts, strict=True):
            t._array = start
    if len(graph.nodes) != len(near.nodes):
        return False
    inputs = {id(t.node) for t in problem.tensors}
    for one, two in zip(graph.nodes, near.nodes, strict=True):
        if one.op != two.op or one.inputs != two.inputs:
            return False
        if one.kind != "op" or not isinstance(one.node, Node) or one.node.op is None:
            continue
        tracked = {
            argument for argument, source in one.inputs
            if graph.nodes[source].kind == "op" or id(graph.nodes[source].node) in inputs
        }  # fmt: skip
        before, after = tape.arguments.get(one.node), other.arguments.get(two.node)  # type: ignore[arg-type]
        if before is None or after is None:
            return False
        for key, a, b in zip(one.node.op.arguments, before, after, strict=True):
            if key == one.node.op.variadic:
                pairs = [(f"{key}[{k}]", *pair) for k, pair in enumerate(zip(a, b, strict=True))]
            else:
                pairs = [(key, a, b)]
            if not all(name in tracked or _same(x, y) for name, x, y in pairs):
                return False
    return True


def _same(a: Any, b: Any) -> bool:
    """Whether what an operation reads is the same twice; what cannot be compared is not."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        equal = a.dtype.kind == "f" == b.dtype.kind
        return a.dtype == b.dtype and bool(np.array_equal(a, b, equal_nan=equal))
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(value, b[key]) for key, value in a.items())
    try:
        return a is b or bool(a == b)
    except (TypeError, ValueError):
        return False


def left_to_say(report: GradcheckReport, order: int) -> str:
    """Return what is to be said of wrong gradients for which no operation was found to be at fault."""
    if all(check.verdict != "wrong" or check.note.startswith("in its own dtype") for check in report.inputs):
        return ""
    if report.culprits:
        return ""
    if order == 2:
        return (
            "The operations at fault are looked for in first derivatives only. Where gradcheck with order=1 finds "
            "nothing, a rule cannot be recorded as it stands: it computes outside of tensors, or reads what it closes "
            "over."
        )
    wrong = [check.analytic for check in report.inputs if check.verdict == "wrong"]
    if not np.isfinite(wrong).any():
        return (
            "Each operation's own rule is right at its arguments, and may be infinite there: on its way such a slope "
            "met a 0, and 0 * inf is NaN. Check at another point, or add a small constant where the slope is infinite."
        )
    return (
        "Each operation's own rule is right at its arguments. Either a part of f leaves the tape (detach(), "
        "no_grad(), .data, a copy of an input's array), or the difference is worth less than its bound says."
    )

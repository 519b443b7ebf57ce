"""explain(): the chain rule with numbers, as text."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

from ..engine.node import Node
from ..engine.tensor import Tensor
from ..graph import Graph, GraphNode
from .formula import formula, put_in, reads
from .target import informed
from .words import clip, one_line, shape_text

FEW = 12  # elements of an array that is written out
WITHIN = 6  # and of one that is put into a formula


class Explanation:
    """What `explain` returns: prints as the text, in a notebook as well.

    Attributes
    ----------
    graph : Graph
        What is explained, with the facts that were found.
    """

    def __init__(self, graph: Graph, text: str) -> None:
        self.graph, self._text = graph, text

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__


def explain(target: Any, *, limit: int = 60) -> Explanation:
    """Explain how a result was computed, and the chain rule by which its gradients are: with the numbers.

    Forward, each operation stands with its inputs and its result. Backward, from the newest operation to the oldest:
    the gradient that arrives, what each rule gives, with the rule as it stands in the code and the numbers put in, and
    the sums where several gradients meet. Small arrays show their numbers, others their shape and norm, and what the
    tape does not know is a question mark. Nothing is changed: no ``grad`` is written, nothing is freed.

    A graph that backward has freed still knows its numbers where ``tg.observe(values=True)`` watched.

    Parameters
    ----------
    target : Tensor or Graph
        A scalar; of other results only the way forward is explained.
    limit : int
        Operations that are shown; of more, those in the middle are left out.

    Returns
    -------
    Explanation
        ``print`` it; the prompt and a notebook show it by themselves.

    Raises
    ------
    TypeError
        If the target is neither, or has no graph because nothing in it needs a gradient; or `limit` is no int.
    ValueError
        If `limit` is below 2.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> x = tg.tensor(3.0, requires_grad=True, name="x")
    >>> tg.explain(x * x + 1.0)
    forward
      x                       = 3
      #1 = multiply(x=x, y=x) = 9
      #2 = add(x=#1, y=1.0)   = 10
    backward
      #2: 1 arrives
        through x, #1 gets g = 1
      #1: 1 arrives
        through x, x gets g * y = 1 * 3 = 3
        through y, x gets g * x = 1 * 3 = 3; added up, 6
    gradients
      x = 6
    """
    if not isinstance(target, (Tensor, Graph)) and not callable(getattr(target, "graph", None)):
        raise TypeError(f"explain: given {type(target).__name__}, expected a Tensor or a Graph: tg.explain(loss).")
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"explain: limit={limit!r} is {type(limit).__name__}, expected an int, operations to show.")
    if limit < 2:
        raise ValueError(f"explain: limit={limit}, expected 2 or more operations to show.")
    graph, notes = informed(target)
    return Explanation(graph, "\n".join(_Text(graph, limit).lines(" ".join(notes))))


class _Text:
    """The lines of an explanation."""

    def __init__(self, graph: Graph, limit: int) -> None:
        self.boxes = {box.id: box for box in graph.nodes if box.inside is None}
        self.limit, self.outputs = limit, set(graph.outputs)
        self.visited = [graph.nodes[id] for id in graph.order() if "gradient" in graph.nodes[id].facts]
        # What has arrived, in which run of backward; at the outputs, what it starts from.
        self.arrived = {(box.id, box.facts["backward"]["run"]) for box in self.visited if box.id in self.outputs}
        labels = {id: clip(box.label or "") for id, box in self.boxes.items()}
        counts = Counter(labels.values())
        self.names = {
            id: label if label.strip() and counts[label] == 1 else f"{label}#{id}" for id, label in labels.items()
        }

    def lines(self, why: str) -> list[str]:
        """Return all lines; `why` says why backward is not known, if it is not."""
        used = {source for box in self._shown(self._operations()) if box for _, source in box.inputs}
        pairs = [
            (self.names[box.id], self._value(box))
            for box in self.boxes.values() if box.kind != "op" and (box.id in used or box.id in self.outputs)
        ]  # fmt: skip
        for box in self._shown(self._operations()):
            if box is None:
                pairs.append(("", self._left_out(len(self._operations()))))
            else:
                mark = f"   ! {one_line(box.mark)}" if box.mark else ""
                pairs.append((f"{self.names[box.id]} = {self._call(box)}", f"{self._value(box)}{mark}"))
        width = max(len(left) for left, _ in pairs)
        found = ["forward", *[f"  {left.ljust(width)} = {right}" if left else f"  {right}" for left, right in pairs]]
        if not self.visited and self._operations():
            return [*found, "backward", f"  {why or 'It ran, but no values were watched: tg.observe(values=True).'}"]
        found.append("backward")
        steps = {box.id: self._step(box) for box in self.visited}  # all of them: what has arrived is kept account of
        last = 0
        for box in self._shown(self.visited):
            run = box.facts["backward"]["run"] if box is not None else last
            if run != last:
                found.append("backward, another time")
                last = run
            found += steps[box.id] if box is not None else [f"  {self._left_out(len(self.visited))}"]
        leaves = [box for box in self.boxes.values() if box.kind == "parameter"]
        found.append("gradients of the last backward that came there" if last else "gradients")
        for box in self._shown(leaves):
            known = box is not None and f"{self.names[box.id]} = {_text(box, 'gradient')}"
            found.append(f"  {known or self._left_out(len(leaves), 'leaves')}")
        return found

    def _operations(self) -> list[GraphNode]:
        return [box for box in self.boxes.values() if box.kind == "op"]

    def _shown(self, boxes: list[GraphNode]) -> list[GraphNode | None]:
        """Return the first and the last of many boxes, and None in the place of those between."""
        if len(boxes) <= self.limit:
            return [*boxes]
        half = self.limit // 2
        return [*boxes[: self.limit - half], None, *boxes[-half:]]

    def _left_out(self, count: int, what: str = "operations") -> str:
        return f"... {count - self.limit:,} of {count:,} {what} are left out here ..."

    def _value(self, box: GraphNode) -> str:
        return "(no result)" if box.failed else _text(box, "value")

    def _call(self, box: GraphNode) -> str:
        """Return an operation with its arguments, in the order in which it takes them."""
        return one_line(f"{box.op}({', '.join(box.call(self.names.__getitem__))})")

    def _step(self, box: GraphNode) -> list[str]:
        """Return the lines of one visit of backward, and note to what it gave something."""
        found = [f"  {self.names[box.id]}: {_text(box, 'gradient')} arrives"]
        sources = dict(box.inputs)
        for given in box.facts["backward"]["gives"]:
            source = self.boxes[sources[given["argument"]]]
            line = f"    through {given['argument']}, {self.names[source.id]} gets {self._rule(box, given, source)}"
            at = source.id, box.facts["backward"]["run"]
            if at in self.arrived:
                line += f"; added up, {_numbers(given['total'], source.shape)}"
            self.arrived.add(at)
            found.append(line)
        return found

    def _rule(self, box: GraphNode, given: dict[str, Any], source: GraphNode) -> str:
        """Return a rule, the rule with numbers, and what it gives."""
        assert isinstance(box.node, Node)
        op: Any = box.node.op
        rule = op.rules[given["argument"].split("[")[0]]
        expression, result = formula(rule), _numbers(given["gradient"], source.shape)
        numbers = {}
        for name in reads(rule):
            text = self._known(box, name) if not (name == "g" and op.via) else None
            if text is not None:
                numbers[name] = text
        parts = [expression]
        filled = put_in(expression, numbers)
        if set(reads(rule)) <= set(numbers) and filled not in (expression, result):
            parts.append(filled)
        # What was broadcast is summed back, which the rule leaves to the engine.
        summed = " (summed over what was broadcast)" if self._broadcast(box, op) and source.shape != box.shape else ""
        return " = ".join([*parts, result] if expression != result else [result]) + summed

    def _broadcast(self, box: GraphNode, op: Any) -> bool:
        """Whether the inputs were broadcast against each other: of a product, such as matmul, they are not."""
        if not op.broadcasts or getattr(op.function, "signature", None) is not None:
            return False
        shapes = [self.boxes[source].shape for _, source in box.inputs]
        try:
            return np.broadcast_shapes(*shapes, box.shape) == box.shape
        except ValueError:
            return False

    def _known(self, box: GraphNode, name: str) -> str | None:
        """Return the text of what a rule reads, where it is short."""
        sources = dict(box.inputs)
        if name == "g":
            return _short(box, "gradient")
        if name == "out":
            return _short(box, "value")
        if name in sources:
            return _short(self.boxes[sources[name]], "value")
        if name in box.numbers:
            return _number(box.numbers[name])
        return None


def _short(box: GraphNode, key: str) -> str | None:
    """Return the numbers of a box where they are few enough to be put into a formula."""
    return _text(box, key) if math.prod(box.shape) <= WITHIN and "numbers" in box.facts.get(key, {}) else None


def _text(box: GraphNode, key: str) -> str:
    return _numbers(box.facts[key], box.shape) if key in box.facts else f"? {shape_text(box.shape)}"


def _numbers(stats: dict[str, Any], shape: tuple[int, ...]) -> str:
    """Return an array in short: its numbers, or its shape and norm."""
    if "numbers" in stats and math.prod(shape) <= FEW:
        return _listed(stats["numbers"])
    return f"[{shape_text(shape)}, norm {_number(stats['norm'])}]" if "norm" in stats else f"[{shape_text(shape)}]"


def _listed(numbers: Any) -> str:
    return f"[{', '.join(map(_listed, numbers))}]" if isinstance(numbers, list) else _number(numbers)


def _number(number: Any) -> str:
    return f"{number:.4g}" if isinstance(number, float) else str(number)

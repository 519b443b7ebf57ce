"""scene(): the words, boxes and arrows of a still picture, which DOT and Mermaid are written from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..graph import Graph, GraphNode
from ..graph.figures import plural
from ..graph.fold import Group, fold
from ..graph.view import Shown, View, view
from .hubs import spread_hubs
from .parts import Arrow, Card, Panel, Scene
from .words import FIGURES, box_lines, clip, figure, figure_text, mark_lines, missing, title_of

# More boxes than these, and what repeats is shown once.
FEW = 60
LIMIT = 300
# As many arguments that a box takes from another have an arrow each.
SINGLE = 2
WIDE = 28  # characters of the figures below a panel's name
# Where the arguments may be exchanged, an edge needs no name.
SYMMETRIC = frozenset(("add", "multiply", "maximum", "minimum"))


def scene(
    graph: Graph, *, depth: int | None = None, show: Sequence[str] = ("shapes",), which: str = "forward",
    expand: str | Iterable[int | str] = (), fold_repeats: bool | None = None, limit: int | None = LIMIT,
) -> Scene:  # fmt: skip
    """Return what a picture of a graph says.

    Parameters
    ----------
    graph : Graph
    depth, show, which, expand
        See `draw`.
    fold_repeats : bool, optional
        Its ``fold``.
    limit : int, optional
        The most boxes; what is too much is folded. Nothing is where repeats are to be unfolded.
    """
    chosen = expand if isinstance(expand, str) else list(expand)
    if chosen:
        graph = graph.opened(chosen)
    tree = fold(graph)
    repeats = len(graph) > FEW if fold_repeats is None else fold_repeats
    seen = view(graph, tree, depth, None if fold_repeats is False else limit, repeats)
    drawn = _Painter(graph, seen, tuple(show), which).paint()
    spread_hubs(drawn)
    return drawn


class _Painter:
    def __init__(self, graph: Graph, seen: View, show: tuple[str, ...], which: str) -> None:
        self.graph, self.seen, self.show, self.which = graph, seen, show, which
        self.outputs = {seen.keys[id] for id in graph.outputs}
        self.order = {id: place for place, id in enumerate(graph.order())}
        self.warm = next((word for word in show if word in FIGURES), None)
        self.shown = {item.key: item for item in seen.root.boxes()}
        self.marks: dict[str, list[GraphNode]] = {}
        for box in graph.nodes:
            if box.mark is not None:
                self.marks.setdefault(seen.keys[box.id], []).append(box)
        self.later: dict[str, list[GraphNode]] = {}  # what a box of a first turn stands for besides
        for box in graph.nodes:
            item = self.shown[seen.keys[box.id]]
            first = item.box if item.group is None else None
            # An open fused operation is shown by a part of it, which does not stand for it as a turn does for another.
            if first is not None and first is not box and (first.inside is None) == (box.inside is None):
                self.later.setdefault(_key(item.key), []).append(box)
        self.figures: dict[str, float] = {}
        if self.warm:
            found = {key: figure(self.warm, _inside(item)) for key, item in self.shown.items()}
            self.figures = {key: value for key, value in found.items() if value is not None}
        self.most = max(self.figures.values(), default=0.0)

    def paint(self) -> Scene:
        top = Panel("", "")
        stack = [(self.seen.root, top)]
        while stack:
            item, panel = stack.pop()
            for member in reversed(item.members) if self.which == "backward" else item.members:
                if member.members and member.group is not None:
                    group = member.group
                    inner = Panel(f"g{group.id}", clip(group_title(group)), [], group.repeats > 0, self.totals(group))
                    panel.members.append(inner)
                    stack.append((member, inner))
                elif self.which != "backward" or not self.constant(member):
                    panel.members.append(self.card(member))
        notes = missing(self.graph, self.show)
        drawn = Scene(top, self.arrows(), notes)
        repeats = any(panel.repeats for panel in drawn.panels())
        if repeats and (self.which == "backward" or any(word != "shapes" for word in self.show)):
            notes.append("What repeats is shown by its first turn, with the numbers of that turn.")
        if self.which == "both":
            carried = any(arrow.carried for arrow in drawn.arrows)
            dashed = ", dashed ones too, to the next turn" if carried else ""
            notes.append(f"Solid arrows are values{dashed}; dotted ones are gradients.")
        elif self.which == "backward":
            notes.append("Arrows are gradients, from the outputs to the leaves.")
        if self.warm and self.most > 0:
            drawn.scale = self.warm, FIGURES[self.warm][1](self.most)
        return drawn

    def constant(self, item: Shown) -> bool:
        """Whether no gradient reaches what is shown."""
        return all(box.kind == "constant" for box in _inside(item))

    def totals(self, group: Group) -> list[str]:
        """Return the sums of what is shown, on lines that are no wider than a box: or they would stretch the panel."""
        lines: list[str] = []
        for text in self.figure_texts(list(group.boxes())):
            fits = lines and len(lines[-1]) + len(text) < WIDE
            lines[-1:] = [f"{lines[-1]} · {text}"] if fits else [*lines[-1:], text]
        return lines

    def figure_texts(self, boxes: Sequence[GraphNode]) -> list[str]:
        return [figure_text(word, value) for word in self.show if word in FIGURES
                and (value := figure(word, boxes)) is not None]  # fmt: skip

    def card(self, item: Shown) -> Card:
        box, group = item.box, item.group
        key = _key(item.key)
        heat = self.figures[item.key] / self.most if self.most > 0 and item.key in self.figures else None
        if group is not None:
            boxes = list(group.boxes())
            card = Card(key, "group", group_title(group), counts(boxes), "", heat=heat)
            card.lines += self.figure_texts(boxes)
            card.output = item.key in self.outputs
            card.tip = _tip(boxes[0].module, f"{group.kind} {group.label}, {', '.join(card.lines)}")
        else:
            assert box is not None  # what has no group is a box
            card = self.box_card(key, box, heat)
        for bad in self.marks.get(item.key, ())[:3]:
            place = "" if bad is box else f"{title_of(bad)} (box {bad.id}): "
            card.lines += mark_lines(f"{place}{bad.mark}")
            card.marked = True
        return card

    def box_card(self, key: str, box: GraphNode, heat: float | None) -> Card:
        output = f"n{box.id}" in self.outputs
        title = title_of(box)
        lines = box_lines(box, self.show, self.later.get(key, ()))
        if self.which == "backward":
            result = box.kind == "parameter" and box.label
            title = f"{box.label}.grad" if result else f"gradient of {box.label or title}"
            if box.id in self.order:
                lines.insert(0, f"step {self.order[box.id] + 1}" + (f": {box.op}" if box.label else ""))
        kinds = {"op": f"result of {box.op}", "parameter": "leaf that needs a gradient",
                 "constant": "input, no gradient"}  # fmt: skip
        what = "no result" if box.failed else f"{box.shape} {box.dtype}"
        said = f"{kinds[box.kind]}, {what}{f', {box.line}' if box.line else ''}"
        return Card(
            key, "output" if output and box.kind == "op" else box.kind, title, lines, _tip(box.module, said), output,
            heat,
        )  # fmt: skip

    def arrows(self) -> list[Arrow]:
        found: list[Arrow] = []
        for edge in self.seen.edges:
            source, target = self.shown[edge.source], self.shown[edge.target]
            box = target.box if target.group is None else None
            # What reads a list takes very many arguments, the turns of a loop perhaps, from one box: one arrow counts.
            times = edge.count // edge.readers if box is not None else 0
            for argument in edge.arguments if 0 < times <= SINGLE else edge.arguments[:1]:
                # Which argument is which matters where two arrays meet and may not change places.
                named = box is not None and box.op not in SYMMETRIC and len(box.inputs) == 2
                label = f"× {times:,}" if times > SINGLE else argument if named else ""
                arrow = Arrow(_key(edge.source), _key(edge.target), label, edge.carried)
                if self.which != "backward":
                    found.append(arrow)
                if self.which != "forward" and not self.constant(source):
                    label = arrow.label if self.which == "backward" else ""
                    found.append(Arrow(arrow.target, arrow.source, label, edge.carried, gradient=True))
        if self.which == "backward":
            found.reverse()  # the newest first, as backward visits them
        return found


def group_title(group: Group) -> str:
    """Return what a group is called: ``fc1``, ``fc2 … fc5 × 4``."""
    return f"{group.label} × {group.repeats:,}" if group.kind == "repeat" else group.label


def _key(key: str) -> str:
    return key.removeprefix("n")


def _inside(item: Shown) -> list[GraphNode]:
    if item.group is not None:
        return list(item.group.boxes())
    return [item.box] if item.box is not None else []


def counts(boxes: Sequence[GraphNode]) -> list[str]:
    """Say what a folded group holds."""
    counts = [("operation", sum(box.kind == "op" and box.inside is None for box in boxes)),
              ("parameter", sum(box.kind == "parameter" for box in boxes)),
              ("input", sum(box.kind == "constant" for box in boxes))]  # fmt: skip
    return [plural(count, word) for word, count in counts if count]


def _tip(module: Sequence[str], said: str) -> str:
    return (".".join(module) + ": " if module else "") + said

"""What a gradient check found: verdicts, and the ways to read them."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..graph import Graph

VERDICTS = ("correct", "kink", "inconclusive", "wrong")


@dataclass(slots=True)
class InputCheck:
    """The verdict on one input.

    Attributes
    ----------
    name : str
        Path of the parameter, name of the tensor, or its position.
    shape : tuple of int
        Of the input.
    dtype : str
        Of the input.
    verdict : {"correct", "kink", "inconclusive", "wrong"}
        ``"kink"``: at some coordinates the function has no derivative, and the gradient lies between the slopes of the
        two sides, or of the pieces that meet there, or is infinite as they are.
        ``"inconclusive"``: the difference is too noisy here to tell.
    checked : int
        How many coordinates were moved one by one.
    directions : int
        How many directions in which all moved at once.
    error : float
        Largest relative difference between gradient and numbers.
    bound : float
        How far the numbers may be off there, relatively.
    worst : tuple of int or None
        The coordinate with the largest difference, where coordinates were moved.
    analytic, numerical : float
        Gradient and number there (or along the direction).
    kinks : tuple of tuple of int
        Coordinates at which the input stands on a kink.
    rounding : float or None
        How far the gradient in the input's own dtype is from that in float64, relative to the largest; None in float64.
    note : str
        What else there is to know.
    steps, errors, step
        The curve of the error against the step of the difference, and the step that was chosen.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    verdict: str
    checked: int
    directions: int = 0
    error: float = 0.0
    bound: float = 0.0
    worst: tuple[int, ...] | None = None
    analytic: float = 0.0
    numerical: float = 0.0
    kinks: tuple[tuple[int, ...], ...] = ()
    rounding: float | None = None
    note: str = ""
    steps: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    step: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether the gradient holds: the verdict is "correct", or "kink"."""
        return self.verdict in ("correct", "kink")


@dataclass(slots=True)
class Culprit:
    """An operation whose own rule is wrong.

    Attributes
    ----------
    op : str
        The operation.
    argument : str
        The argument whose gradient is wrong.
    looks_like : str
        What the error looks like: a factor, a sign, zeros, a transpose, a missing sum or mean.
    module : str
        Path of the module in which it ran; empty outside of modules.
    line : str
        The line of the user's code that ran it.
    shape : tuple of int
        Of the argument.
    worst : tuple of int
        The coordinate with the largest difference.
    analytic, numerical : float
        The rule's gradient there, and the number.
    distance : int
        Operations between it and the result: 0 for the last one.
    """

    op: str
    argument: str
    looks_like: str
    module: str
    line: str
    shape: tuple[int, ...]
    worst: tuple[int, ...]
    analytic: float
    numerical: float
    distance: int

    def __str__(self) -> str:
        where = f" in {self.module}" if self.module else ""
        at = f", at {self.line}" if self.line else ""
        return (
            f"{self.op}, argument {self.argument!r} {self.shape}{where}{at}: {self.looks_like}. Its rule gives "
            f"{self.analytic:.6g} at {list(self.worst)}, the difference {self.numerical:.6g}."
        )


class _WithGraph:
    """What a report has beside its fields: it is part of no copy, comparison or text."""

    __slots__ = ("_graph",)
    _graph: Graph | None

    def _keep(self, graph: Graph | None) -> None:
        self._graph = graph


@dataclass(slots=True)
class GradcheckReport(_WithGraph):
    """What `gradcheck` found: true when every gradient holds. Prints as a table, in a notebook as well.

    Attributes
    ----------
    inputs : tuple of InputCheck
        One for each input.
    culprits : tuple of Culprit
        Where a verdict is "wrong": the operations whose own rules are, the nearest to the result first.
    evaluations : int
        How often the function was computed.
    order : float or None
        By which power of the step the function departs from its tangent: about 2 when the gradient is right.
    note : str
        What else there is to know, of the function as a whole.
    """

    inputs: tuple[InputCheck, ...]
    culprits: tuple[Culprit, ...] = ()
    evaluations: int = 0
    order: float | None = None
    note: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        # A graph holds rules, which another process has of its own: a copy goes there without it.
        return type(self), (self.inputs, self.culprits, self.evaluations, self.order, self.note)

    def __bool__(self) -> bool:
        return all(check.holds for check in self.inputs)

    @property
    def verdict(self) -> str:
        """The gravest verdict of all inputs."""
        return max((check.verdict for check in self.inputs), key=VERDICTS.index, default="correct")

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for c in self.inputs:
            at = "" if c.worst is None else str(list(c.worst))
            verdict = c.verdict.upper() if c.verdict == "wrong" else c.verdict
            moved = f"{c.checked} of {math.prod(c.shape)}" if not c.directions else f"{c.directions} directions"
            rows.append((
                c.name, "x".join(map(str, c.shape)) or "scalar", moved, verdict, f"{c.error:.1e}", f"{c.bound:.1e}",
                at, f"{c.analytic:.6e}", f"{c.numerical:.6e}",
            ))  # fmt: skip
        return rows

    def _remarks(self) -> list[str]:
        remarks = [f"{c.name}: {c.note}" for c in self.inputs if c.note]
        remarks += [f"Wrong: {culprit}" for culprit in self.culprits]
        return [*remarks, *([self.note] if self.note else [])]

    def __str__(self) -> str:
        rows = [HEAD, *self._rows()]
        widths = [max(len(row[k]) for row in rows) for k in range(len(HEAD))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:], *self._remarks()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        colours = {"correct": "#2e7d4f", "kink": "#1f5a99", "inconclusive": "#b9770e", "wrong": "#b3261e"}

        def cells(row: tuple[str, ...], tag: str) -> str:
            return "".join(f'<{tag} style="text-align:left">{html.escape(cell)}</{tag}>' for cell in row)

        body = "".join(
            f'<tr style="color:{colours[check.verdict]}">{cells(row, "td")}</tr>'
            for check, row in zip(self.inputs, self._rows(), strict=True)
        )
        remarks = "".join(f"<p>{html.escape(remark)}</p>" for remark in self._remarks())
        return f"<table><thead><tr>{cells(HEAD, 'th')}</tr></thead><tbody>{body}</tbody></table>{remarks}"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain dicts, lists, strings and numbers (for JSON)."""
        facts = {"holds": bool(self), "verdict": self.verdict, "evaluations": self.evaluations, "order": self.order,
                 "note": self.note}  # fmt: skip
        return facts | {"inputs": [_plain(c) for c in self.inputs], "culprits": [_plain(c) for c in self.culprits]}

    def graph(self) -> Graph:
        """Return the graph of the function, in which the culprits' boxes have a `mark`: for ``tg.draw``.

        It is as it was recorded for the check, in float64, and its arrays are kept as long as the report.

        Raises
        ------
        ValueError
            If no operation was found to be at fault.
        """
        graph: Graph | None = getattr(self, "_graph", None)
        if graph is None:
            raise ValueError(
                "graph: the report names no culprit, or is a copy, so it has no graph. Draw what f returns: "
                "tg.draw(f(x), 'graph.svg')."
            )
        return graph

    def plot(self, path: str | Path | None = None) -> Any:
        """Plot for each input the error of the central difference against its step, with the chosen step marked.

        To the right the error is the formula's, to the left that of rounding: the curve has the form of a V.

        Parameters
        ----------
        path : str or Path, optional
            Write the picture there; the suffix chooses the form (.png, .svg, .pdf).

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed; the message says how to install it.
        """
        try:
            from matplotlib.figure import Figure  # not pyplot: no window, no global state
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("plot needs matplotlib: pip install matplotlib (or tinygrad_fc[viz]).") from error
        figure = Figure(figsize=(6.4, 4.2), dpi=120, layout="constrained")
        axes = figure.subplots()
        for check in self.inputs:
            pairs = [(h, e) for h, e in zip(check.steps, check.errors, strict=True) if e > 0 and math.isfinite(e)]
            if not pairs:
                continue
            steps, errors = zip(*pairs, strict=True)
            (drawn,) = axes.loglog(steps, errors, "o-", markersize=3, label=f"{check.name}: {check.verdict}")
            if check.step:
                axes.axvline(check.step, color=drawn.get_color(), linestyle=":", linewidth=1)
        axes.set(xlabel="step, relative to the input's size", ylabel="relative error of the central difference")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
        if path is not None:
            figure.savefig(path)
        return figure


HEAD = ("input", "shape", "checked", "verdict", "error", "bound", "worst at", "analytic", "numerical")


def _plain(check: Any) -> dict[str, Any]:
    facts = {}
    for key in check.__slots__:
        value = getattr(check, key)
        facts[key] = list(value) if isinstance(value, tuple) else value
    return facts

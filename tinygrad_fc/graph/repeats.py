"""What repeats in a sequence of boxes and groups: the layers of a network, the turns of an unrolled loop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .box import GraphNode

LONGEST = 64  # a turn has at most so many members
FEWEST = 3  # turns
SAVED = 6  # boxes, at least, or the picture is as easily read unfolded
_WIDEST = 24  # inputs of one member; more than that is not compared

_NONE = -3  # in the place of a number that a slot has not


@dataclass(slots=True, eq=False)
class Unit:
    """One member of the sequence: a box or a group, with the leaves that it is the first to use.

    Attributes
    ----------
    member : GraphNode or Group
        What it is.
    boxes : list of GraphNode
        The operations in it, oldest first, then the leaves in it.
    own : list of GraphNode
        Leaves beside it that nothing before it uses, in the order in which it does.
    turns : list of list of GraphNode
        Of a group that repeats, what each turn holds; empty for anything else.
    """

    member: Any
    boxes: list[GraphNode]
    own: list[GraphNode] = field(default_factory=list)
    turns: list[list[GraphNode]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Run:
    """A stretch of the sequence in which `turns` times `period` units repeat.

    ``loose`` are leaves that no turn can have for itself: the others have no counterpart of them.
    """

    start: int
    period: int
    turns: int
    loose: list[GraphNode] = field(default_factory=list)


class _Table:
    """What is compared of each unit: a code of its structure, and for each of its inputs where that comes from.

    A result has the unit that it comes from, and its place in it; one of a group that repeats also the turn. Anything
    else, leaves above all, has the first unit that reads it, and a place below zero, which says what it is and as which
    input it is read there. So a weight that a turn uses twice is known from two weights.
    """

    def __init__(self, units: list[Unit]) -> None:
        codes: dict[Any, int] = {}
        at = {box.id: (n, place, 0) for n, unit in enumerate(units) for place, box in enumerate(unit.boxes)}
        for n, unit in enumerate(units):
            at |= {box.id: (n, place, turn) for turn, boxes in enumerate(unit.turns)
                   for place, box in enumerate(boxes)}  # fmt: skip
        leaves = {leaf.id: leaf for unit in units for leaf in unit.own}
        rows: list[list[tuple[int, int, int, int]]] = []
        self.code = np.empty(len(units), np.int64)
        for n, unit in enumerate(units):
            shape: list[Any] = []
            row: list[tuple[int, int, int, int]] = []
            for box in unit.boxes:
                inner = []
                for argument, source in box.inputs:
                    where, place, turn = at.get(source, (n, _NONE, 0))
                    own = where == n and place >= 0
                    inner.append((argument, *((place, turn) if own else (-1, 0))))
                    if own:
                        continue
                    if source not in at:  # this unit is the first that reads it
                        leaf = leaves.get(source)
                        kind = (len(row), *((leaf.kind, leaf.shape, leaf.dtype) if leaf else ()))
                        where, place, turn = at[source] = n, -1 - codes.setdefault(kind, len(codes)), 0
                    row.append((where, place, turn, source))
                shape.append((box.kind, box.op, box.shape, box.dtype, tuple(inner), tuple(box.numbers)))
            if len(row) > _WIDEST:  # an inner loop reads its weights again and again: they are compared once
                slots = {entry: slot for slot, entry in enumerate(dict.fromkeys(row))}
                shape.append(tuple([slots[entry] for entry in row]))
                row = list(slots)
            if len(row) > _WIDEST:
                shape.append(n)  # like no other
                row = []
            self.code[n] = codes.setdefault((len(row), tuple(shape)), len(codes))
            rows.append(row)
        width = max(map(len, rows))
        filled = [[*row, *[(_NONE, _NONE, 0, _NONE)] * (width - len(row))] for row in rows]
        table = np.array(filled, np.int64).reshape(len(units), width, 4)
        self.unit, self.place, self.turn, self.source = (table[..., n] for n in range(4))
        self.place_of = {id: at[id][1] for id in leaves}
        self.sizes = np.array([len(unit.boxes) + len(unit.own) for unit in units])

    def alike(self, period: int) -> np.ndarray:
        """Return for each unit whether the unit a period later does the same."""
        early, late = slice(None, -period), slice(period, None)
        return np.asarray((self.code[late] == self.code[early]) & self._slots(early, late, period).all(axis=1))

    def _slots(self, early: Any, late: Any, period: int) -> np.ndarray:
        """Return which inputs are the same, come from as far back, or from the next turn of one loop before."""
        far, turns = self.unit[late] - self.unit[early], self.turn[late] - self.turn[early]
        moved = (far == period) & (turns == 0) | (far == 0) & (np.abs(turns) == 1)
        return np.asarray((self.source[late] == self.source[early]) | moved & (self.place[late] == self.place[early]))

    def begins(self, n: int, period: int, start: int) -> bool:
        """Whether a unit can be of the first turn, from `start` on.

        It does what the unit a period later does, or reads something else where that reads what the turn before it has.
        """
        late, later = n + period, n + 2 * period
        if self.code[n] != self.code[late]:
            return False
        for k in np.flatnonzero(~self._slots(n, late, period)):
            before = self.unit[n, k] < start or self.place[n, k] < 0
            steps = later >= len(self.code) or self.source[later, k] != self.source[late, k]
            if not (before and steps and start <= self.unit[late, k] < start + period):
                return False
        return True


def find_repeats(units: list[Unit]) -> list[Run]:
    """Return the stretches that repeat, from left to right; where they compete, the one that covers most.

    Parameters
    ----------
    units : list of Unit
        In order of time. What turns out to be loose is taken from those that had it.
    """
    if len(units) < FEWEST:
        return []
    table = _Table(units)
    found: list[tuple[int, int, int, int]] = []
    for period in range(1, min(LONGEST, len(units) // FEWEST) + 1):
        alike = table.alike(period)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], alike, [False]])))
        for start, end in edges.reshape(-1, 2):
            first = _earliest(table, int(start), period)
            # Where the turns may start at several units, a layer starts with its weights.
            slack = range(first, first + (int(end) + period - first) % period + 1)
            first = max(slack, key=lambda n: (_weights(units[n]), -n))
            turns = (int(end) + period - first) // period
            saved = int(table.sizes[first + period : first + period * turns].sum())
            if turns >= FEWEST and saved >= SAVED:
                found.append((-saved, period, first, turns))
    taken = np.zeros(len(units), bool)
    runs = []
    for _, period, start, turns in sorted(found):
        span = slice(start, start + period * turns)
        if not taken[span].any():
            taken[span] = True
            runs.append(Run(start, period, turns, _loose(table, units[span], period)))
    return sorted(runs, key=lambda run: run.start)


def _weights(unit: Unit) -> int:
    """Return how many numbers the parameters of a unit hold."""
    leaves = [*unit.own, *unit.boxes]
    return sum(math.prod(box.shape) for box in leaves if box.kind == "parameter")


def _earliest(table: _Table, start: int, period: int) -> int:
    """Return where the first turn starts: before `start`, if what stands there differs in what it is handed only."""
    best = start
    for first in range(start - 1, max(start - period, 0) - 1, -1):
        if not all(table.begins(n, period, first) for n in range(first, start)):
            break
        best = first
    return best


def _loose(table: _Table, units: list[Unit], period: int) -> list[GraphNode]:
    """Take from the units of a run, and return, the leaves that not every turn has a counterpart of."""
    turns: list[set[tuple[int, int]]] = [set() for _ in range(0, len(units), period)]
    for n, unit in enumerate(units):
        turns[n // period] |= {(n % period, table.place_of[leaf.id]) for leaf in unit.own}
    common, loose = set.intersection(*turns), list[GraphNode]()
    for n, unit in enumerate(units):
        kept = [leaf for leaf in unit.own if (n % period, table.place_of[leaf.id]) in common]
        loose += [leaf for leaf in unit.own if leaf not in kept]
        unit.own = kept
    later = {source for unit in units[period : 2 * period] for box in unit.boxes for _, source in box.inputs}
    return sorted(loose, key=lambda leaf: leaf.id not in later)  # what every turn reads, then what the first is handed

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

_OUTSIDE, _OWN, _NONE = -1, -2, -3


@dataclass(slots=True, eq=False)
class Unit:
    """One member of the sequence: a box or a group, with the leaves that it alone uses.

    Attributes
    ----------
    member : GraphNode or Group
        What it is.
    boxes : list of GraphNode
        The operations in it, oldest first, then the leaves in it.
    own : list of GraphNode
        Leaves beside it that nothing else uses.
    """

    member: Any
    boxes: list[GraphNode]
    own: list[GraphNode] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Run:
    """A stretch of the sequence in which `turns` times `period` units repeat.

    ``loose`` are leaves of the first turn that stand where the later turns have a result of the turn before.
    """

    start: int
    period: int
    turns: int
    loose: list[GraphNode] = field(default_factory=list)


class _Table:
    """What is compared of each unit: a code of its structure, and for each of its inputs where that comes from.

    An input is one of: a result of another unit (its distance and its place there count), a leaf of the unit's own (its
    shape and dtype count), anything else (it must be the same one).
    """

    def __init__(self, units: list[Unit], users: dict[int, list[int]]) -> None:
        codes: dict[Any, int] = {}
        at = {box.id: (n, place) for n, unit in enumerate(units) for place, box in enumerate(unit.boxes)}
        leaves = {leaf.id: leaf for unit in units for leaf in unit.own}
        rows: list[list[tuple[int, int, int]]] = []
        self.code = np.empty(len(units), np.int64)
        for n, unit in enumerate(units):
            shape: list[Any] = []
            row: list[tuple[int, int, int]] = []
            often: dict[int, int] = {}  # which of its own leaves that it uses often: ``x * x`` is not ``x * y``
            for box in unit.boxes:
                inner = []
                for argument, source in box.inputs:
                    where, place = at.get(source, (_OUTSIDE, -1))
                    inner.append((argument, place if where == n else -1))
                    if where == n:
                        continue
                    leaf = leaves.get(source)
                    if leaf is not None or where == _OUTSIDE and len(users[source]) == 1:
                        which = often.setdefault(source, len(often)) if len(users[source]) > 1 else -1
                        kind = (leaf.kind, leaf.shape, leaf.dtype, which) if leaf else ()
                        where, place = _OWN, codes.setdefault(kind, len(codes))
                    row.append((where, place, source))
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
        filled = [[*row, *[(_NONE, -1, -1)] * (width - len(row))] for row in rows]
        table = np.array(filled, np.int64).reshape(len(units), width, 3)
        self.unit, self.place, self.source = table[..., 0], table[..., 1], table[..., 2]
        self.sizes = np.array([len(unit.boxes) + len(unit.own) for unit in units])

    def alike(self, period: int) -> np.ndarray:
        """Return for each unit whether the unit a period later does the same."""
        return np.asarray((self.code[period:] == self.code[:-period]) & self._slots(period).all(axis=1))

    def _slots(self, period: int) -> np.ndarray:
        early, late = slice(None, -period), slice(period, None)
        moved = (self.unit[late] - self.unit[early] == period) & (self.unit[early] >= 0)
        own = (self.unit[late] == _OWN) & (self.unit[early] == _OWN)
        same = self.place[late] == self.place[early]
        return np.asarray((self.source[late] == self.source[early]) | (moved | own) & same)

    def carried(self, n: int, period: int, start: int) -> list[int] | None:
        """Return what a unit of the first turn, from `start` on, reads instead of a result of a turn before it.

        None if it differs from the unit a period later in more than that.
        """
        if self.code[n] != self.code[n + period]:
            return None
        sources = []
        for k in range(self.unit.shape[1]):
            early, late = self.unit[n, k], self.unit[n + period, k]
            if self.source[n, k] == self.source[n + period, k]:
                continue
            if self.place[n, k] == self.place[n + period, k] and (
                late - early == period and early >= 0 or early == late == _OWN
            ):
                continue
            if not start <= late < start + period or early >= start:
                return None
            sources.append(int(self.source[n, k]))
        return sources


def find_repeats(units: list[Unit], users: dict[int, list[int]]) -> list[Run]:
    """Return the stretches that repeat, from left to right; where they compete, the one that covers most.

    Parameters
    ----------
    units : list of Unit
        In order of time.
    users : dict
        For each box the boxes that use it, by id.
    """
    if len(units) < FEWEST:
        return []
    table = _Table(units, users)
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
            runs.append(Run(start, period, turns, _loose(table, units, start, period)))
    return sorted(runs, key=lambda run: run.start)


def _weights(unit: Unit) -> int:
    """Return how many numbers the parameters of a unit hold."""
    leaves = [*unit.own, *unit.boxes]
    return sum(math.prod(box.shape) for box in leaves if box.kind == "parameter")


def _earliest(table: _Table, start: int, period: int) -> int:
    """Return where the first turn starts: before `start`, if what stands there differs in what it is handed only."""
    best = start
    for first in range(start - 1, max(start - period, 0) - 1, -1):
        if any(table.carried(n, period, first) is None for n in range(first, start)):
            break
        best = first
    return best


def _loose(table: _Table, units: list[Unit], start: int, period: int) -> list[GraphNode]:
    """Take from the first turn, and return, the leaves that later turns have no counterpart of."""
    loose = []
    for n in range(start, start + period):
        handed = set(table.carried(n, period, start) or ())
        loose += [leaf for leaf in units[n].own if leaf.id in handed]
        units[n].own = [leaf for leaf in units[n].own if leaf.id not in handed]
    return loose

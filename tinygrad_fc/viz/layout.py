"""The layout of each group's inside, computed once: the page then folds and unfolds by placing boxes.

Each group is drawn in layers (Sugiyama, Tagawa and Toda 1981: ranks, an order in each rank with few crossings, lanes
through the ranks that an edge passes). Edges are followed from source to source's users as one net, which has one lane
at each rank, so that an array used forty times is one line with forty branches. What crosses the border of a group
passes through a port at its top or bottom; where there would be many, they share one.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isqrt

from .cells import Cell

ROW, STAGGERED = 10, 6  # up to so many sources stand in one row; of more, n are spread over about sqrt(n / 6)
PORTS = 8  # more than this at one side of a group, and its nets share one port
SWEEPS = 6


@dataclass(slots=True)
class Net:
    """A line with branches: ends are (point, port of that point, -1 for a box)."""

    sources: list[tuple[int, int]]
    targets: dict[tuple[int, int], None] = field(default_factory=dict)
    carries: dict[int, None] = field(default_factory=dict)  # indices of the cells whose results it carries


@dataclass(slots=True)
class Inside:
    """Where things stand inside a group. Points are numbered: members, entries, exits, lanes.

    Attributes
    ----------
    entries, exits : list of list of int
        For each port at the top and at the bottom, the cells whose results pass through it.
    lanes : list of int
        For each lane the net that it belongs to.
    rows : list of list of int
        Points in each rank from left to right; entries are the first row, exits the last.
    segments : list of (int, int, int, int, int)
        Point, its port (-1 for none), point below it, its port, net. Each leads from a row to the next.
    nets : list of list of int
        For each net the cells whose results it carries.
    """

    entries: list[list[int]] = field(default_factory=list)
    exits: list[list[int]] = field(default_factory=list)
    lanes: list[int] = field(default_factory=list)
    rows: list[list[int]] = field(default_factory=list)
    segments: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    nets: list[list[int]] = field(default_factory=list)


class _Traffic:
    """What passes through one group: by source, who uses it inside, where it comes from, and whether it leaves."""

    __slots__ = ("uses", "origin", "leaves", "entry_of", "exit_of", "entry_at", "exit_at", "inside")

    def __init__(self) -> None:
        self.uses: dict[Cell, dict[Cell, None]] = {}
        self.origin: dict[Cell, Cell] = {}  # the member that holds a source; missing for a source outside
        self.leaves: dict[Cell, None] = {}
        self.entry_of: dict[int, int] = {}
        self.exit_of: dict[int, int] = {}
        self.entry_at: list[float] = []  # where each port stands across the group, from -0.4 to 0.4
        self.exit_at: list[float] = []
        self.inside = Inside()


def layout(found: list[Cell], edges: Iterable[tuple[Cell, Cell]]) -> dict[int, Inside]:
    """Return the inside of every group that has members, by the index of its cell.

    Parameters
    ----------
    found : list of Cell
        All cells, each before its members.
    edges : iterable of (Cell, Cell)
        Cells without members: where an array comes from, and who uses it. Cells that share one group must form no
        cycle, with everything inside them contracted.
    """
    traffic = {cell: _Traffic() for cell in found if cell.members}
    for source, target in dict.fromkeys(edges):
        if source is not target:
            _follow(source, target, traffic)
    for one in traffic.values():
        entering = [source.index for source in one.uses if source not in one.origin]
        one.inside.entries, one.entry_of = _ports(entering)
        one.inside.exits, one.exit_of = _ports([source.index for source in one.leaves])
    for cell in reversed(traffic):  # the inner first: where their ports stand matters around them
        _arrange(cell, traffic[cell], traffic)
    return {cell.index: one.inside for cell, one in traffic.items()}


def _follow(source: Cell, target: Cell, traffic: dict[Cell, _Traffic]) -> None:
    """Note an edge in every group that it passes through."""
    start, end = source, target
    while start.parent is not end.parent:
        if start.depth >= end.depth:
            around = start.parent
            assert around is not None  # the root is around both
            traffic[around].origin[source] = start
            traffic[around].leaves[source] = None
            start = around
        else:
            around = end.parent
            assert around is not None
            traffic[around].uses.setdefault(source, {})[end] = None
            end = around
    if start is end or start.parent is None:
        return
    traffic[start.parent].origin[source] = start
    traffic[start.parent].uses.setdefault(source, {})[end] = None


def _ports(sources: list[int]) -> tuple[list[list[int]], dict[int, int]]:
    if len(sources) > PORTS:
        return [sources], dict.fromkeys(sources, 0)
    return [[source] for source in sources], {source: port for port, source in enumerate(sources)}


def _arrange(cell: Cell, one: _Traffic, traffic: dict[Cell, _Traffic]) -> None:
    """Lay out the inside of `cell`: nets, ranks, lanes, order."""
    inside = one.inside
    position = {member: point for point, member in enumerate(cell.members)}
    nets = _nets(cell, one, traffic, position)
    ranks, depth, staggered = _ranks(cell, nets)
    ranks += [-1] * len(inside.entries) + [depth] * len(inside.exits)
    for number, net in enumerate(nets):
        _route(net, number, ranks, inside)
    inside.nets = [list(net.carries) for net in nets]
    rows: list[list[int]] = [[] for _ in range(depth + 2)]
    used, lane = {below for _, _, below, _, _ in inside.segments}, len(ranks) - len(inside.lanes)

    def key(point: int) -> tuple[bool, int]:
        source = nets[inside.lanes[point - lane]].sources[0][0] if point >= lane else point
        if source in staggered:  # the lines of those in upper ranks pass between those in lower ones
            return True, source
        return point < len(cell.members) and point not in used, point  # parameters: right of what they are used with

    for point in sorted(range(len(ranks)), key=key):
        rows[ranks[point] + 1].append(point)
    links = [
        (above, traffic[cell.members[above]].exit_at[leaving] if leaving >= 0 else 0.0,
         below, traffic[cell.members[below]].entry_at[port] if port >= 0 else 0.0)
        for above, leaving, below, port, _ in inside.segments
    ]  # fmt: skip
    inside.rows = _order(rows, links, len(ranks))
    first = len(cell.members)
    # A fused operation is mostly seen folded, and a folded group sorts the lines that enter it by itself.
    one.entry_at = [0.0] * len(inside.entries)
    if cell.kind != "fused":
        one.entry_at = _across(inside.rows[0], first, len(inside.entries))
    one.exit_at = _across(inside.rows[-1], first + len(inside.entries), len(inside.exits))


def _across(row: list[int], first: int, count: int) -> list[float]:
    """Return where the ports of a side stand, by their number."""
    found = [0.0] * count
    for position, point in enumerate(row):
        found[point - first] = 0.8 * (position / (count - 1) - 0.5) if count > 1 else 0.0
    return found


def _nets(cell: Cell, one: _Traffic, traffic: dict[Cell, _Traffic], position: dict[Cell, int]) -> list[Net]:
    count, found, inside = len(cell.members), dict[tuple[int, int], Net](), one.inside

    def end(source: Cell) -> tuple[int, int]:
        """Return the point and port that a source's line starts from."""
        member = one.origin.get(source)
        if member is None:
            return count + one.entry_of[source.index], -1
        return position[member], traffic[member].exit_of[source.index] if member.members else -1

    def net(source: Cell) -> Net:
        start = end(source)
        if start not in found:
            found[start] = Net([start])
        found[start].carries[source.index] = None
        return found[start]

    for source, users in one.uses.items():
        line = net(source)
        for user in users:
            port = traffic[user].entry_of[source.index] if user.members else -1
            line.targets[position[user], port] = None
    first_exit = count + len(inside.entries)
    if len(one.leaves) > PORTS:  # they run together to the one port
        starts = dict.fromkeys(end(source) for source in one.leaves)
        carries = dict.fromkeys(source.index for source in one.leaves)
        return [*found.values(), Net(list(starts), {(first_exit, -1): None}, carries)]
    for source in one.leaves:
        net(source).targets[first_exit + one.exit_of[source.index], -1] = None
    return list(found.values())


def _ranks(cell: Cell, nets: list[Net]) -> tuple[list[int], int, set[int]]:
    """Return the rank of each member, as few ranks as can be; their number; and which sources were spread over several.

    Sources (parameters and constants, or whatever has no input) stand right above their first user, and so do members
    that have more lines below them than above: nothing is stretched for them.
    """
    count = len(cell.members)
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    lines = [0] * count  # those that end at a member, less those that begin
    for net in nets:
        starts = {point for point, _ in net.sources if point < count}
        for point in starts:
            lines[point] -= 1
        for point in {point for point, _ in net.targets if point < count}:
            lines[point] += 1
            above[point].extend(starts)
            for start in starts:
                below[start].append(point)
    waiting = [len(points) for points in above]
    order = [point for point in range(count) if not waiting[point]]
    for point in order:  # grows as it is read
        for user in below[point]:
            waiting[user] -= 1
            if not waiting[user]:
                order.append(user)
    assert len(order) == count  # groups contract to no cycle
    ranks = [0] * count
    free = {point for point in range(count) if not above[point] and lines[point] <= 0 and below[point]}
    for point in order:
        ranks[point] = max((ranks[start] + 1 for start in above[point] if start not in free), default=0)
    for point in reversed(order):
        if below[point] and (point in free or lines[point] < 0):
            ranks[point] = min(ranks[user] for user in below[point]) - 1
    staggered = _stagger(ranks, [point for point in range(count) if not above[point] and below[point]])
    first = min(ranks, default=0)
    ranks = [rank - first for rank in ranks]
    return ranks, max(ranks, default=-1) + 1, staggered


def _stagger(ranks: list[int], sources: list[int]) -> set[int]:
    """Spread many sources of one rank over ranks above it, and return them: one row of them would fit no window."""
    spread = set[int]()
    rows: dict[int, list[int]] = {}
    for point in sources:
        rows.setdefault(ranks[point], []).append(point)
    for row in rows.values():
        if len(row) > ROW:
            spread |= set(row)
            for place, point in enumerate(row):
                ranks[point] -= place % (isqrt(len(row) // STAGGERED) + 1)
    return spread


def _route(net: Net, number: int, ranks: list[int], inside: Inside) -> None:
    """Lead a net through the ranks: a lane at each between its first source and its last target."""
    top = min(ranks[point] for point, _ in net.sources)
    bottom = max(ranks[point] for point, _ in net.targets)
    lanes = {}
    for rank in range(top + 1, bottom):
        lanes[rank] = len(ranks)
        ranks.append(rank)
        inside.lanes.append(number)
        if rank - 1 in lanes:
            inside.segments.append((lanes[rank - 1], -1, lanes[rank], -1, number))
    for point, port in net.sources:
        if (lane := lanes.get(ranks[point] + 1)) is not None:
            inside.segments.append((point, port, lane, -1, number))
    for point, port in net.targets:
        if (lane := lanes.get(ranks[point] - 1)) is not None:
            inside.segments.append((lane, -1, point, port, number))
        for source, leaving in net.sources:
            if ranks[source] == ranks[point] - 1:
                inside.segments.append((source, leaving, point, port, number))


def _order(rows: list[list[int]], links: list[tuple[int, float, int, float]], count: int) -> list[list[int]]:
    """Return the rows in an order with few crossings: sweeps down and up by barycentre, and the best is kept.

    A link is a point, where on it the line begins, a point in the next row, and where on that it ends.
    """
    up: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    down: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    crossing: list[list[tuple[float, int, float]]] = [[] for _ in range(count)]
    for above, leaving, below, entering in links:
        up[below].append((above, leaving))
        down[above].append((below, entering))
        crossing[above].append((leaving, below, entering))
    place = [0.0] * count

    def number(row: list[int]) -> None:
        middle = (len(row) - 1) / 2
        for position, point in enumerate(row):
            place[point] = position - middle

    def sorted_by(row: list[int], near: list[list[tuple[int, float]]]) -> list[int]:
        key = {p: sum(place[q] + at for q, at in near[p]) / len(near[p]) if near[p] else place[p] for p in row}
        return sorted(row, key=key.__getitem__)

    rows = [list(row) for row in rows]
    for row in rows:
        number(row)
    best, fewest = rows, _crossings(rows, crossing)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        rows = list(rows)
        indices = range(1, len(rows)) if sweep % 2 == 0 else range(len(rows) - 2, -1, -1)
        for index in indices:
            rows[index] = sorted_by(rows[index], up if sweep % 2 == 0 else down)
            number(rows[index])
        crossings = _crossings(rows, crossing)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _crossings(rows: list[list[int]], links: list[list[tuple[float, int, float]]]) -> int:
    """Count the pairs of segments that cross."""
    total = 0
    for index in range(len(rows) - 1):
        place = {point: position for position, point in enumerate(rows[index + 1])}
        seen: list[float] = []
        for point in rows[index]:
            for _, below, entering in sorted(links[point]):
                end = place[below] + entering
                total += len(seen) - bisect_right(seen, end)
                insort(seen, end)
    return total

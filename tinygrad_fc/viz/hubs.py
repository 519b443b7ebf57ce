"""spread_hubs(): what is read all along a long graph is drawn beside each reader, not with an arrow to each.

Arrows that pass by many rows of boxes make a picture that nobody can follow, and that takes Graphviz minutes.
"""

from __future__ import annotations

from dataclasses import replace

from .parts import Arrow, Card, Scene

# Rows that all arrows pass by, together, before anything is done; and those of one leaf before it is spread.
LONG = 1500
_ITS_SHARE = 150
# An operation's result is drawn again where it is read so many rows away.
_FAR = 10


def spread_hubs(drawn: Scene) -> None:
    """Draw what is read from far away beside its readers, and say so in a note."""
    rows = _rows(drawn)
    lengths = [abs(rows[arrow.target] - rows[arrow.source]) - 1 for arrow in drawn.arrows]
    total = sum(lengths)
    if total <= LONG:
        return
    cards = {card.key: card for card in drawn.cards()}
    arrows: dict[str, list[tuple[int, Arrow]]] = {}
    for length, arrow in zip(lengths, drawn.arrows, strict=True):
        hub = _ends(arrow)[0]
        if cards[hub].kind in ("parameter", "constant") or length >= _FAR:
            arrows.setdefault(hub, []).append((length, arrow))
    homes = {member.key: panel for panel in drawn.panels() for member in panel.members if isinstance(member, Card)}
    names = []
    for hub, its in arrows.items():
        if sum(length for length, _ in its) < _ITS_SHARE:
            continue
        card, copies = cards[hub], dict[str, str]()
        leaf = card.kind in ("parameter", "constant")
        if leaf:
            copies[_ends(its[0][1])[1]] = hub  # a leaf itself stands beside its first reader
        for length, arrow in its:
            reader = _ends(arrow)[1]
            if reader not in copies:
                copy = replace(card, key=f"{hub}_{reader}")
                if not leaf:  # it is computed once, and this is no operation
                    copy = replace(copy, kind="constant", title=f"from {card.title}", lines=[], output=False, heat=None)
                copies[reader] = copy.key
                place = homes[reader].members
                place.insert(place.index(cards[reader]), copy)
            total -= length
            if arrow.gradient:
                arrow.target = copies[reader]
            else:
                arrow.source = copies[reader]
        names.append(card.title)
    if names:
        several = f"{len(names)} of them" if len(names) > 3 else " and ".join(names)
        drawn.notes.append(f"Drawn beside each box that reads it: {several}.")
    drawn.tangled = total > LONG


def _ends(arrow: Arrow) -> tuple[str, str]:
    """Return what is read, and what reads it; a gradient flows against that."""
    return (arrow.target, arrow.source) if arrow.gradient else (arrow.source, arrow.target)


def _rows(drawn: Scene) -> dict[str, int]:
    """Return in which row each box stands: below all that it has arrows from; a leaf right above its first reader."""
    backward = all(arrow.gradient for arrow in drawn.arrows)
    sources: dict[str, list[str]] = {card.key: [] for card in drawn.cards()}
    targets: dict[str, list[str]] = {key: [] for key in sources}
    for arrow in drawn.arrows:
        if not arrow.carried and arrow.gradient == backward:
            sources[arrow.target].append(arrow.source)
            targets[arrow.source].append(arrow.target)
    rows = dict.fromkeys(sources, 0)
    left = {key: len(found) for key, found in sources.items()}
    ready = [key for key, count in left.items() if not count]
    for key in ready:
        for target in targets[key]:
            rows[target] = max(rows[target], rows[key] + 1)
            left[target] -= 1
            if not left[target]:
                ready.append(target)
    for key, found in targets.items():
        if found and not sources[key]:
            rows[key] = min(rows[target] for target in found) - 1
    return rows

"""Walk: from gradients to the next parameters, through the arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kernels import machine_for
from .arena import Arena, Piece
from .norm import clip
from .rule import Loop, Rule

if TYPE_CHECKING:
    from ..kernels.instructions import Instructions
    from ..kernels.team import Team


class Walk:
    """Applies a rule to the pieces of an arena.

    Parameters
    ----------
    rule : Rule
    arena : Arena
        As `arena.lay_out` makes it.

    Attributes
    ----------
    homes : dict of int to ndarray
        For each parameter's index the array that its gradient is best written into: then nothing is gathered. There
        are none before `renew_homes`.
    """

    def __init__(self, rule: Rule, arena: Arena) -> None:
        self._rule, self._shapes = rule, [view.shape for view in arena.views]
        self.pieces: list[Piece] = [piece for piece in arena.pieces if piece[4]]  # without those of no elements
        self.homes: dict[int, np.ndarray] = {}
        # Elements of the smallest block: each block is one call of a loop, compiled or not by its size.
        self._least = min((w.size for *_, blocks in self.pieces for _, w, *_ in blocks), default=0)
        self._compiled: dict[np.dtype[Any], tuple[Instructions, list[tuple[int, int]]]] | None = None

    def renew_homes(self) -> None:
        """Make new homes; the arrays of before stay with whoever holds them."""
        self.homes = {}
        for place, (members, where, buffer, parts, blocks) in enumerate(self.pieces):
            if buffer is None:
                self.homes[members[0]] = np.empty(self._shapes[members[0]], blocks[0][1].dtype)
                continue
            flat, start, made = np.empty_like(buffer), 0, []
            for part in parts:
                made.append(flat[start : start + part.size].reshape(part.shape))
                start += part.size
            self.pieces[place] = (members, where, flat, made, blocks)
            self.homes.update(zip(members, made, strict=True))

    def step(
        self, arrays: Sequence[np.ndarray], configs: Sequence[Mapping[str, Any]], scale: float, bound: float | None
    ) -> None:
        """Update every parameter once.

        Parameters
        ----------
        arrays : sequence of ndarray
            The gradients, in the order of the parameters, checked.
        configs : sequence of mapping
            The hyperparameters of each place.
        scale, bound : float, float or None
            What gradients are multiplied by, and the largest size of an element.
        """
        clipped = scale != 1.0 or bound is not None
        plain = not clipped and not any(config.get("weight_decay") for config in configs)
        team = machine_for(self._least) if plain and isinstance(self._rule.update, Loop) else None
        if team is not None:
            self._step_compiled(team, arrays, configs)
            return
        for members, place, buffer, parts, blocks in self.pieces:
            config = configs[place]
            gradient = _gathered(members, buffer, parts, arrays)
            if clipped or config.get("weight_decay"):
                for block, w, state, scratch, room in blocks:
                    dw = clip(gradient[block], scale, bound, room) if clipped else gradient[block]
                    self._rule.step(w, dw, state, config, scratch, room)
            else:
                for block, w, state, scratch, _ in blocks:
                    self._rule.update(w, gradient[block], state, config, scratch)

    def _step_compiled(
        self, team: Team, arrays: Sequence[np.ndarray], configs: Sequence[Mapping[str, Any]]
    ) -> None:
        """Update all parameters by one list of instructions for each dtype."""
        from ..kernels.machine import Code

        if self._compiled is None:
            self._compiled = self._compile(team)
        numbers = [self._rule.update.numbers(config) for config in configs]  # type: ignore[union-attr]  # it is a Loop
        for instructions, rows in self._compiled.values():
            kept = []
            for row, index in rows:
                members, place, buffer, parts, _ = self.pieces[index]
                name, *reals = numbers[place]
                kept.append(_gathered(members, buffer, parts, arrays))
                instructions.rebind(row, Code[name.upper()], kept[-1], reals)
            instructions.run()

    def _compile(self, team: Team) -> dict[np.dtype[Any], tuple[Instructions, list[tuple[int, int]]]]:
        from ..kernels.instructions import Instructions
        from ..kernels.machine import Code

        lists: dict[np.dtype[Any], tuple[Instructions, list[tuple[int, int]]]] = {}
        for index, (_, _, _, _, blocks) in enumerate(self.pieces):
            _, w, state, _, _ = blocks[0]
            instructions, rows = lists.setdefault(w.dtype, (Instructions(team, w.dtype), []))
            whole = [_joined([block[1] for block in blocks])]
            whole += [_joined([block[2][n] for block in blocks]) for n in range(len(state))]
            rows.append((instructions.update(Code.SGD, whole[0], whole[0], tuple(whole[1:])), index))
        return lists


def _joined(blocks: list[np.ndarray]) -> np.ndarray:
    """Return neighbouring parts of one flat array as one part."""
    flat = blocks[0].base
    assert flat is not None
    start = (blocks[0].__array_interface__["data"][0] - flat.__array_interface__["data"][0]) // flat.itemsize
    return flat[start : start + sum(block.size for block in blocks)]


def _gathered(
    members: list[int], buffer: np.ndarray | None, parts: list[np.ndarray], arrays: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the gradient of a piece: that of its one parameter, or those of all of them behind one another."""
    if buffer is None:
        return arrays[members[0]].reshape(-1)
    for index, part in zip(members, parts, strict=True):  # in a third of the time of np.concatenate
        if arrays[index] is not part:
            part[...] = arrays[index]
    return buffer

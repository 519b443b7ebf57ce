"""Walk: from gradients to the next parameters, through the arena."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kernels import as_one, machine_for, together
from .arena import Arena, Block, Piece
from .norm import clip
from .rule import Loop, Rule

if TYPE_CHECKING:
    from ..kernels import InstructionList


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
        self._dtypes = {blocks[0][1].dtype for *_, blocks in self.pieces}
        self._size = sum(w.size for *_, blocks in self.pieces for _, w, *_ in blocks)
        self._compiled: dict[np.dtype[Any], tuple[InstructionList, list[tuple[int, int]]]] | None = None

    def renew_homes(self) -> dict[int, np.ndarray]:
        """Make and return new homes; the arrays of before stay with whoever holds them."""
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
        return self.homes

    def leave_homes(self) -> None:
        """Leave the homes to whoever uses them, and gather gradients elsewhere: a step must not write into them."""
        self.renew_homes()
        self.homes = {}

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
        able = plain and isinstance(self._rule.update, Loop) and together(self._size)
        make = machine_for(self._size, self._dtypes) if able else None
        if make is not None:
            self._step_compiled(make, arrays, configs)
            return
        with as_one(self._size):
            self._step_by_blocks(arrays, configs, scale, bound)

    def _step_by_blocks(
        self, arrays: Sequence[np.ndarray], configs: Sequence[Mapping[str, Any]], scale: float, bound: float | None
    ) -> None:
        clipped = scale != 1.0 or bound is not None
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
        self, make: Callable[[np.dtype[Any]], InstructionList], arrays: Sequence[np.ndarray],
        configs: Sequence[Mapping[str, Any]],
    ) -> None:  # fmt: skip
        """Update all parameters by one list of instructions for each dtype."""
        codes = machine_codes()
        if self._compiled is None:
            self._compiled = self._compile(make)
        loop: Any = self._rule.update  # a Loop
        numbers = [loop.numbers(config) for config in configs]
        for instructions, rows in self._compiled.values():
            kept = []
            for row, index in rows:
                members, place, buffer, parts, _ = self.pieces[index]
                name, *reals = numbers[place]
                kept.append(np.ascontiguousarray(_gathered(members, buffer, parts, arrays)))
                instructions.retune(row, codes[name], reals, kept[-1])
            instructions.run()

    def _compile(
        self, make: Callable[[np.dtype[Any]], InstructionList]
    ) -> dict[np.dtype[Any], tuple[InstructionList, list[tuple[int, int]]]]:
        lists: dict[np.dtype[Any], tuple[InstructionList, list[tuple[int, int]]]] = {}
        for index, (*_, blocks) in enumerate(self.pieces):
            dtype = blocks[0][1].dtype
            instructions, rows = lists.setdefault(dtype, (make(dtype), []))
            rows.append((self._instruct(instructions, blocks, None), index))
        return lists

    def instruct(self, instructions: InstructionList) -> list[tuple[int, int]]:
        """Append the update to a list of instructions, from the homes; return the row and the place of each part."""
        rows = []
        for members, place, buffer, _, blocks in self.pieces:
            dw = self.homes[members[0]].reshape(-1) if buffer is None else buffer
            rows.append((self._instruct(instructions, blocks, dw), place))
        return rows

    def _instruct(
        self, instructions: InstructionList, blocks: list[Block], dw: np.ndarray | None
    ) -> int:
        from ..kernels.codes import Code

        w, *state = (_joined([arrays[n] for arrays in [(block[1], *block[2]) for block in blocks]]) for n in
                     range(1 + len(blocks[0][2])))  # fmt: skip
        return instructions.update(Code.SGD, w, w if dw is None else dw, tuple(state))


@functools.cache
def machine_codes() -> dict[str, Any]:
    """Return the codes of the rules' loops by name."""
    from ..kernels.codes import Code

    return {code.name.lower(): int(code) for code in Code}


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

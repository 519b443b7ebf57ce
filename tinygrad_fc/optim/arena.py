"""The arena: where the parameters of an optimizer and the arrays of its rule lie, and the blocks to walk them in."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

# A slice of the gradient, the same part of the parameters and of the rule's arrays, and two buffers of its size.
Block = tuple[slice, np.ndarray, tuple[np.ndarray, ...], np.ndarray, np.ndarray]
# One gradient to read: the indices of the parameters it is gathered from (mostly one), the place of their options, the
# buffer to gather in and its parts, and the blocks to update with it.
Piece = tuple[list[int], int, np.ndarray | None, list[np.ndarray], list[Block]]


class Arena(NamedTuple):
    """Where everything lies.

    Parameters
    ----------
    pieces : list
        What a step walks.
    views : list of ndarray
        For each parameter its part, of its shape.
    states : list of tuple of ndarray
        For each parameter its part of each of the rule's arrays, all zero.
    """

    pieces: list[Piece]
    views: list[np.ndarray]
    states: list[tuple[np.ndarray, ...]]


def lay_out(arrays: Sequence[np.ndarray], places: Sequence[int], count: int, block: int, small: int) -> Arena:
    """Make the arena: one flat array for the parameters of each dtype and place, and `count` for their state.

    Parameters
    ----------
    arrays : sequence of ndarray
        Parameters; their shapes and dtypes are read.
    places : sequence of int
        For each parameter which options it has: one call of a rule has one set of options.
    count : int
        The arrays that the rule keeps.
    block : int
        Elements per call of the rule at most.
    small : int
        Parameters of fewer elements are gathered into runs.

    Returns
    -------
    Arena
    """
    arena = Arena([], [*arrays], [() for _ in arrays])
    kinds = [(array.dtype, place) for array, place in zip(arrays, places, strict=True)]
    rooms: dict[np.dtype, tuple[np.ndarray, np.ndarray]] = {}
    for kind in dict.fromkeys(kinds):
        dtype, place = kind
        if dtype not in rooms:
            most = min(block, sum(array.size for array in arrays if array.dtype == dtype))
            rooms[dtype] = np.empty(most, dtype), np.empty(most, dtype)
        scratch, room = rooms[dtype]
        sizes = {index: arrays[index].size for index, other in enumerate(kinds) if other == kind}
        # The first array is the parameters', the others are the rule's state.
        flats = [np.zeros(sum(sizes.values()), dtype) for _ in range(1 + count)]
        start = 0
        for members in _runs(sizes, block, small):
            first = start
            length = sum(sizes[index] for index in members)
            buffer = np.empty(length, dtype) if len(members) > 1 else None
            parts = []
            for index in members:
                shape, part = arrays[index].shape, slice(start, start + sizes[index])
                view, *state = (flat[part].reshape(shape) for flat in flats)
                arena.views[index], arena.states[index] = view, tuple(state)
                start = part.stop
                if buffer is not None:
                    parts.append(buffer[part.start - first : part.stop - first].reshape(shape))
            blocks = []
            for low in range(first, start, block):
                high = min(low + block, start)
                w, *state = (flat[low:high] for flat in flats)
                size = high - low
                blocks.append((slice(low - first, high - first), w, tuple(state), scratch[:size], room[:size]))
            arena.pieces.append((members, place, buffer, parts, blocks))
    return arena


def _runs(sizes: Mapping[int, int], block: int, small: int) -> Iterator[list[int]]:
    """Group parameters: each large one alone, then the small ones in runs of at most `block` elements."""
    for index, size in sizes.items():
        if size >= small:
            yield [index]
    run: list[int] = []
    length = 0
    for index, size in sizes.items():
        if size >= small:
            continue
        if run and length + size > block:
            yield run
            run, length = [], 0
        run.append(index)
        length += size
    if run:
        yield run

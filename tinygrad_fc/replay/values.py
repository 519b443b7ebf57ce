"""Values: which array of a program stands for which array of the recording."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..engine.node import Node
from .trace import Trace, Unfit


def address(array: np.ndarray) -> int:
    """Return where an array begins."""
    place: int = array.__array_interface__["data"][0]
    return place


class Values:
    """The arrays of a program.

    Parameters
    ----------
    trace : Trace
        It keeps every array of the recording, so no two have one address.
    inputs : sequence of ndarray
        The arrays that change from call to call.
    parameters : mapping of Node to ndarray
        The arrays of the leaves, which stay where they are.
    fixed : iterable of ndarray
        Other arrays that do.

    Attributes
    ----------
    dtype : dtype
        Of the parameters.
    given : list of ndarray
        The inputs.
    copies : dict of (int, dtype) to ndarray
        Buffers for those inputs, under their places, that are of another dtype, or are read by calls.
    gradients : dict of Node to ndarray
        For each leaf the array that a run writes its gradient into.

    Raises
    ------
    Unfit
        If the parameters are not all of float32, or all of float64.
    """

    def __init__(
        self, trace: Trace, inputs: Sequence[np.ndarray], parameters: Mapping[Node, np.ndarray],
        fixed: Iterable[np.ndarray] = (),
    ) -> None:  # fmt: skip
        dtypes = {array.dtype for array in parameters.values()}
        if len(dtypes) != 1:
            raise Unfit(f"its parameters have the dtypes {', '.join(sorted(map(str, dtypes))) or 'none'}")
        self.dtype = dtypes.pop()
        if self.dtype not in (np.float32, np.float64):
            raise Unfit(f"its parameters are of {self.dtype}")
        self.given = list(inputs)
        self.copies: dict[tuple[int, np.dtype[Any]], np.ndarray] = {}
        self.gradients: dict[Node, np.ndarray] = {}
        self._inputs = {address(array): place for place, array in enumerate(inputs)}
        self._values: dict[int, np.ndarray] = {address(array): array for array in parameters.values()}
        self._fixed = {address(array): array for array in fixed}
        self._sources = {address(made): data for data, made in trace.casts}
        self._arrived = {address(d): node for d, node in trace.arrivals if isinstance(d, np.ndarray)}
        self._made: set[int] = set()

    def value(self, array: Any, called: bool = False) -> np.ndarray:
        """Return the array of the program that stands for one of the trace.

        For a call that is one of the same dtype, and no argument, whose place another array takes in the next run.
        """
        if not isinstance(array, np.ndarray):
            raise Unfit(f"an operation takes a {type(array).__name__}")
        found, place, seen = self._values.get(address(array)), -1, array
        if found is None:
            seen = self._sources.get(address(array), array)
            place = self._inputs.get(address(seen), -1)
            found = self.given[place] if place >= 0 else self._fixed.get(address(seen))
            if found is None or place < 0 and seen is not array:
                raise Unfit(f"an array of shape {array.shape} is neither computed, nor a parameter, nor an argument")
        # A transpose has the same address. What the step does not cast, the operation does if that loses nothing.
        flat = found.flags.c_contiguous and seen.flags.c_contiguous and array.flags.c_contiguous
        wanted = array.dtype if called else self.dtype
        becomes = array.dtype if called or seen is not array else np.result_type(found.dtype, self.dtype)
        casts = found.dtype != wanted and place >= 0
        fits = seen.dtype == found.dtype and array.size == found.size and becomes == wanted
        if not flat or not fits or found.dtype != wanted and not casts:
            raise Unfit(f"an array of {found.dtype} {found.shape} is used beside parameters of {self.dtype}")
        if casts or called and place >= 0:
            found = self.copies.setdefault((place, wanted), np.empty(found.shape, wanted))
        return found.reshape(array.shape)

    def computed(self, array: np.ndarray) -> np.ndarray:
        """Return the array of the program that stands for a result of an operation."""
        if address(array) not in self._made:
            raise Unfit(f"it returns an array of shape {array.shape} that it does not compute")
        return self.value(array, called=True)

    def gradient_of(self, array: np.ndarray) -> Node | None:
        """Return the leaf whose gradient an array of the trace is, or None."""
        node = self._arrived.get(address(array))
        return node if node in self.gradients and array.shape == node.shape and array.flags.c_contiguous else None

    def new(self, like: np.ndarray) -> np.ndarray:
        """Return a new array for what an operation of the recording computed."""
        made = np.empty(like.shape, like.dtype)
        self._values[address(like)] = made
        self._made.add(address(like))
        return made

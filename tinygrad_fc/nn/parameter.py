"""Parameter: a leaf that a module owns and an optimizer writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.node import Constant, Node, leaf, observer, tick
from ..engine.tensor import Tensor
from .inputs import flag

if TYPE_CHECKING:
    import numpy.typing as npt


_changes = 0


def changes() -> int:
    """Return a number that grows when an attribute or the mode of a module is set, or a parameter is frozen."""
    return _changes


def note_change() -> None:
    """Say that a module or a parameter is not as it was."""
    global _changes
    _changes += 1


class Parameter(Tensor):
    """A leaf tensor that a module owns and an optimizer writes.

    It keeps its storage: assigning ``p.data`` copies into the same array, so that views of it (an optimizer's flat
    buffer, ``model.params``) stay true. Copies (``copy.deepcopy``, pickles) have its values, and no gradient.

    ``p.requires_grad = False`` freezes it: it is a constant for what is computed from then on, and no optimizer that is
    made then moves it. It stays in the state.

    Parameters
    ----------
    data : array_like
        Initial values; copied.
    dtype : dtype, optional
        Floating-point element type; that of `data` by default.
    requires_grad : bool
        False makes it frozen.

    Raises
    ------
    TypeError
        If the dtype is not floating point, or `requires_grad` is no bool.
    """

    __slots__ = ("_leaf",)
    _leaf: Node  # its place on the tape; a frozen one keeps it, for graphs that were recorded before

    def __init__(
        self, data: npt.ArrayLike, dtype: npt.DTypeLike | None = None, requires_grad: bool = True
    ) -> None:
        if dtype is not None:
            dtype = float_dtype("Parameter: dtype", dtype)
        array = np.array(data.data if isinstance(data, Tensor) else data, dtype=dtype)
        if array.dtype.kind != "f":
            raise TypeError(
                f"Parameter: dtype {array.dtype} is not floating point: give dtype=np.float32 or np.float64."
            )
        self._array = array
        self.node = self._leaf = leaf(array)
        self.requires_grad = requires_grad

    @property
    def requires_grad(self) -> bool:
        """Whether it is trained. Assigning False freezes it and drops its gradient; True lets it train again."""
        return type(self.node) is Node

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if flag("Parameter: requires_grad", value) is not self.requires_grad:
            name, self._leaf.grad = self.name, None
            self.node = self._leaf if value else Constant(name, self.shape, self.dtype)
            note_change()
            self.name = name

    def touch_(self) -> None:
        """Note that the array was overwritten: graphs that used the old values refuse to go backward."""
        self._leaf.number = tick()

    @property
    def data(self) -> np.ndarray:
        """The values, an ndarray, without a copy."""
        if (watcher := observer()) is not None:
            watcher.read(self)
        return self._array

    @data.setter
    def data(self, value: npt.ArrayLike) -> None:
        self.write_(value)

    def _checked(self, value: npt.ArrayLike) -> np.ndarray:
        return fitted(f"data of tensor {self.name!r}" if self.name else "data of tensor", self._array, value)

    def write_(self, value: npt.ArrayLike) -> None:
        """Copy `value`, of the same shape, into the storage; graphs that used the old values turn stale."""
        array = self._checked(value)
        if array is not self._array:
            np.copyto(self._array, array)
        self.touch_()
        if (note := getattr(observer(), "written", None)) is not None:
            note(self)

    def move_(self, storage: np.ndarray) -> None:
        """Make `storage` (an array of the same shape and dtype, e.g. a view of a flat buffer) the values' home."""
        if storage.shape != self.shape or storage.dtype != self.dtype:
            raise ValueError(
                f"move_: storage is {storage.shape} {storage.dtype}, "
                f"expected {self.shape} {self.dtype} as {self._label()}."
            )
        np.copyto(storage, self._array)
        self._array = storage

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._array, self.name, self.requires_grad)


def _rebuild(data: np.ndarray, name: str | None, requires_grad: bool = True) -> Parameter:
    parameter = Parameter(data, requires_grad=requires_grad)
    parameter.name = name
    return parameter


def float_dtype(name: str, dtype: Any) -> np.dtype[Any]:
    """Return a floating-point dtype, or raise TypeError naming the argument."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.kind != "f":
        given = f"{dtype!r}" if found is None else f"{found}, which is not floating point"
        raise TypeError(f"{name}: given {given}, expected np.float32 or np.float64.")
    return found


def fitted(label: str, home: np.ndarray, value: Any) -> np.ndarray:
    """Return `value` as an array that may be written into `home`, or raise what is wrong with it under this label.

    A dtype that NumPy casts within its kind, or to a wider kind, is cast (float64 to float32, integers to floats),
    unless a number does not survive: a float that would become infinite, an integer that would wrap around.

    Raises
    ------
    ValueError
        If `value` is no rectangular array, has another shape, or a number in it does not fit.
    TypeError
        If its dtype cannot be cast.
    """
    try:
        array = np.asarray(value.data if isinstance(value, Tensor) else value)
    except ValueError as error:
        raise ValueError(f"{label}: no rectangular array of numbers: {error}") from None
    if array.shape != home.shape:
        raise ValueError(f"{label}: given shape {array.shape}, expected {home.shape}: a tensor keeps its shape.")
    if array.dtype == home.dtype:
        return array
    if not np.can_cast(array.dtype, home.dtype, "same_kind"):
        raise TypeError(f"{label}: cannot cast {array.dtype} to {home.dtype} without loss.")
    with np.errstate(over="ignore"):
        cast = array.astype(home.dtype)
    lost = cast != array if home.dtype.kind in "iu" else np.isinf(cast) & np.isfinite(array)
    if lost.any():
        raise ValueError(f"{label}: {array[lost].flat[0]} does not fit into {home.dtype}.")
    return cast

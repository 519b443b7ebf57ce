"""Tensor: an array, and its place on the tape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .dispatch import array_function, array_ufunc, functions, refuse_foreign
from .node import Constant, Node, Shape, leaf, observer, tick
from .operators import Operators

if TYPE_CHECKING:
    import numpy.typing as npt


class Tensor(Operators):
    """An array that knows how it was computed.

    Make one with `tinygrad_fc.tensor`; operators, methods and NumPy functions make more. Operators follow NumPy:
    broadcasting, promotion and names are the same.

    Attributes
    ----------
    data : numpy.ndarray
        The values.
    node : Node, Constant or None
        The place on the tape: a `Node` when the tensor needs a gradient, else what is known for drawing.
    """

    __slots__ = ("_array", "node", "__weakref__")
    _array: np.ndarray  # not `_data`: that is what numpy.ma looks for, and takes without its gradient
    node: Node | Constant | None

    # ---- facts

    @property
    def data(self) -> np.ndarray:
        """The values, an ndarray, without a copy.

        Assigning (``p.data = v``, ``p.data -= step``) makes graphs that used the old values stale, and backward through
        them raises. Writing into the array by index is not seen: do it before the tensor is used, not after.
        """
        if (watcher := observer()) is not None:
            watcher.read(self)
        return self._array

    @data.setter
    def data(self, value: npt.ArrayLike) -> None:
        self._array = self._checked(value)
        self.touch_()

    def _checked(self, value: npt.ArrayLike) -> np.ndarray:
        """Return `value` as an array that may take this tensor's place, or raise."""
        label = f" {self.name!r}" if self.name else ""
        if isinstance(value, Tensor):
            value = value._array
        if type(self.node) is Node and self.node.op is not None:
            raise functions.refusals().computed_data(label, self.node.op)
        array = np.asarray(value)
        if array.shape != self._array.shape:
            raise functions.refusals().other_shape(label, array.shape, self._array.shape)
        if not np.can_cast(array.dtype, self._array.dtype, "same_kind"):
            raise TypeError(f"data of tensor{label}: cannot cast {array.dtype} to {self._array.dtype} without loss.")
        return array.astype(self._array.dtype, copy=False)

    def touch_(self) -> None:
        """Note that the array was overwritten: graphs that used the old values of a leaf refuse to go backward.

        A constant stays in them as it was: what is computed from now on has another in its place.
        """
        if type(self.node) is Node:
            self.node.number = tick()
        elif self.node is not None:
            self.node = Constant(self.node.name, self._array.shape, self._array.dtype)

    @property
    def grad(self) -> np.ndarray | None:
        """The gradient that backward accumulated, an ndarray; None until a backward reaches the tensor."""
        return self.node.grad if type(self.node) is Node else None

    @grad.setter
    def grad(self, value: npt.ArrayLike | None) -> None:
        if type(self.node) is not Node:
            raise TypeError("grad cannot be set: the tensor needs no gradient (make it with requires_grad=True).")
        if value is not None:
            value = np.array(value, dtype=self._array.dtype)
            if value.shape != self._array.shape:
                raise ValueError(f"grad: given shape {value.shape}, expected {self._array.shape}.")
        self.node.grad = value

    @property
    def name(self) -> str | None:
        """The name in messages and drawings, or None."""
        return self.node.name if self.node is not None else None

    @name.setter
    def name(self, value: str | None) -> None:
        if type(self.node) is Node:
            self.node.note("name", value)
        elif isinstance(self.node, Constant):
            self.node.name = value
        else:
            self.node = Constant(value, self._array.shape, self._array.dtype)

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor."""
        return type(self.node) is Node

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by a user and not computed."""
        return type(self.node) is not Node or self.node.op is None

    @property
    def shape(self) -> Shape:
        """The lengths of the axes."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type."""
        return self._array.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._array.size

    # ---- gradients

    def backward(self, gradient: npt.ArrayLike | None = None, retain_graph: bool = False) -> None:
        """Accumulate the gradient of this tensor into the ``grad`` of every leaf that it depends on.

        Parameters
        ----------
        gradient : array_like, optional
            Gradient of the final result with respect to this tensor, of its shape. A scalar's is 1.
        retain_graph : bool
            Keep what the rules read, so that the same graph can go backward again.

        Raises
        ------
        TypeError
            If the tensor needs no gradient.
        ValueError
            If the tensor is no scalar and `gradient` is missing, or has another shape.
        RuntimeError
            If the graph was freed by an earlier backward, or a leaf was overwritten since it was used.
        """
        from .backward import backward  # it makes tensors, so it cannot be imported above

        backward(self, gradient, retain_graph)

    def retain_grad(self) -> None:
        """Ask backward to fill ``grad`` of this computed tensor too."""
        if type(self.node) is not Node:
            raise TypeError("retain_grad: the tensor needs no gradient.")
        self.node.note("retain", True)

    def detach(self) -> Tensor:
        """Return a tensor of the same array that needs no gradient."""
        return constant(self._array)

    def numpy(self) -> np.ndarray:
        """Return the array; raise TypeError when the tensor needs a gradient (use ``t.data``)."""
        return np.asarray(self)

    def item(self) -> Any:
        """Return the one element as a Python number."""
        return self.data.item()

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers."""
        return self.data.tolist()

    # ---- NumPy's protocols, and what would lose a gradient

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return array_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return array_function(func, args, kwargs)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if type(self.node) is Node:
            raise functions.refusals().plain_array(self)
        return np.array(self.data, dtype=dtype, copy=copy)

    def _scalar(self, kind: str) -> Any:
        if type(self.node) is Node:
            raise functions.refusals().plain_number(self, kind)
        return self.data.item()

    def __float__(self) -> float: return float(self._scalar("float"))
    def __int__(self) -> int: return int(self._scalar("int"))
    def __complex__(self) -> complex: return complex(self._scalar("complex"))
    def __index__(self) -> int: return self.data.__index__()
    def __bool__(self) -> bool: return bool(self.data)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise functions.refusals().written_in_place()

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Tensor]:
        if not self._array.ndim:
            raise TypeError("a 0-d tensor, without axes, cannot be iterated over: t.item() is its number.")
        return (self[i] for i in range(len(self._array)))

    # Tensors are keys by identity, as parameters of an optimizer must be; == compares elements, as in NumPy.
    __hash__ = object.__hash__

    def _label(self) -> str:
        return f"tensor {self.name!r} {self.shape}" if self.name else f"tensor {self.shape}"

    def __repr__(self) -> str:
        body = np.array2string(self.data, separator=", ", prefix="tensor(")
        facts = [body]
        if self._array.dtype not in (np.float64, np.bool_, np.int64) or not self._array.size:
            facts.append(f"dtype={self._array.dtype}")
        if self.name:
            facts.append(f"name={self.name!r}")
        if type(self.node) is Node:
            facts.append("requires_grad=True" if self.node.op is None else f"op={self.node.op.name}")
        return f"tensor({', '.join(facts)})"

    def __format__(self, spec: str) -> str:
        return format(self.item() if self._array.ndim == 0 else self.data, spec) if spec else repr(self)

    def __reduce__(self) -> tuple[Any, ...]:
        if type(self.node) is Node and self.node.op is not None:
            raise functions.refusals().copied_with_graph(self)
        return tensor, (self._array, None, self.requires_grad, self.name)

    def _repr_html_(self) -> str | None:
        """Show the graph in a notebook, to open and step through; None (the text) for a tensor without one."""
        return functions.notebook_html(self) if type(self.node) is Node and self.node.op is not None else None

    def _repr_svg_(self) -> str | None:
        """Show the graph in an exported notebook; None without one, or where nothing can render it."""
        return functions.notebook_svg(self) if type(self.node) is Node and self.node.op is not None else None


def constant(data: np.ndarray, name: str | None = None) -> Tensor:
    """Return a tensor of `data` (not copied) that needs no gradient."""
    result = Tensor()
    result._array = data
    result.node = Constant(name, data.shape, data.dtype) if name else None
    return result


def tensor(
    data: npt.ArrayLike, dtype: npt.DTypeLike | None = None, requires_grad: bool = False, name: str | None = None
) -> Tensor:
    """Make a tensor, a leaf of the graph.

    Parameters
    ----------
    data : array_like or Tensor
        The values. They are copied, so that later writes to the original change nothing here.
    dtype : dtype, optional
        Element type; NumPy's own choice by default (float64 for Python floats).
    requires_grad : bool
        Whether gradients are wanted. The data must then be floating point.
    name : str, optional
        Name for messages and drawings.

    Returns
    -------
    Tensor
        A leaf of the same shape.

    Raises
    ------
    TypeError
        If `data` is no array of numbers, holds tensors that need a gradient, or is not floating point although
        `requires_grad` is set.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    array([2., 4., 6.])
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(f"tensor: name is {name!r}, expected a string.")
    data = data.numpy() if isinstance(data, Tensor) else data
    refuse_foreign(data, "MaskedArray")
    try:
        array = np.array(data, dtype=dtype)
    except ValueError as error:
        raise ValueError(f"tensor: data is no rectangular array of numbers: {error}") from None
    if array.dtype.kind not in "biufc":
        raise TypeError(f"tensor: data has dtype {array.dtype}, expected numbers or booleans.")
    array = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))  # compiled code needs it
    if (note := getattr(observer(), "cast", None)) is not None:
        note(data, array)
    result = constant(array, name)
    if requires_grad:
        if array.dtype.kind != "f":
            raise functions.refusals().no_floats(array.dtype)
        result.node = leaf(array, name)
    return result

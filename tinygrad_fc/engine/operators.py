"""What tensors answer to: Python's operators and NumPy's methods, each the operation of that name.

The table of operations by name is here as well, since this is all that the operators know of them.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    from .tensor import Tensor


# The declared operations by name: what operators and methods call, and what the package offers. Beside them hooks, by
# which the engine asks rooms that stand above it: the package puts them here. A module, for Python finds what is in one
# three times as fast as an attribute of an instance.
functions: Any = ModuleType("functions")
functions.late = lambda function: None  # finds the operation of a function that is declared only when it is met

# Operators whose place the record function itself takes once it is declared: one call of Python's fewer in each. The
# methods below still say what they are.
DIRECT = {"add": "__add__", "subtract": "__sub__", "multiply": "__mul__", "divide": "__truediv__"}


class Operators:
    """The base of `Tensor`: operators and methods, with NumPy's names and arguments."""

    __slots__ = ()

    # ---- operators: the same operations as NumPy's functions

    def __add__(self, other: Any) -> Tensor: return functions.add(self, other)
    def __radd__(self, other: Any) -> Tensor: return functions.add(other, self)
    def __sub__(self, other: Any) -> Tensor: return functions.subtract(self, other)
    def __rsub__(self, other: Any) -> Tensor: return functions.subtract(other, self)
    def __mul__(self, other: Any) -> Tensor: return functions.multiply(self, other)
    def __rmul__(self, other: Any) -> Tensor: return functions.multiply(other, self)
    def __truediv__(self, other: Any) -> Tensor: return functions.divide(self, other)
    def __rtruediv__(self, other: Any) -> Tensor: return functions.divide(other, self)
    def __pow__(self, other: Any) -> Tensor: return functions.power(self, other)
    def __rpow__(self, other: Any) -> Tensor: return functions.power(other, self)
    def __matmul__(self, other: Any) -> Tensor: return functions.matmul(self, other)
    def __rmatmul__(self, other: Any) -> Tensor: return functions.matmul(other, self)
    def __mod__(self, other: Any) -> Tensor: return functions.remainder(self, other)
    def __rmod__(self, other: Any) -> Tensor: return functions.remainder(other, self)
    def __floordiv__(self, other: Any) -> Tensor: return functions.floor_divide(self, other)
    def __rfloordiv__(self, other: Any) -> Tensor: return functions.floor_divide(other, self)
    def __divmod__(self, other: Any) -> Any: return functions.divmod(self, other)
    def __rdivmod__(self, other: Any) -> Any: return functions.divmod(other, self)
    def __round__(self, ndigits: int | None = None) -> Tensor: return functions.round(self, ndigits or 0)
    def __neg__(self) -> Tensor: return functions.negative(self)
    def __pos__(self) -> Tensor: return functions.positive(self)
    def __abs__(self) -> Tensor: return functions.absolute(self)
    def __lt__(self, other: Any) -> Tensor: return functions.less(self, other)
    def __le__(self, other: Any) -> Tensor: return functions.less_equal(self, other)
    def __gt__(self, other: Any) -> Tensor: return functions.greater(self, other)
    def __ge__(self, other: Any) -> Tensor: return functions.greater_equal(self, other)
    def __eq__(self, other: Any) -> Tensor: return functions.equal(self, other)  # type: ignore[override]  # as NumPy's
    def __ne__(self, other: Any) -> Tensor: return functions.not_equal(self, other)  # type: ignore[override]  # as NumPy's
    def __and__(self, other: Any) -> Tensor: return functions.bitwise_and(self, other)
    def __rand__(self, other: Any) -> Tensor: return functions.bitwise_and(other, self)
    def __or__(self, other: Any) -> Tensor: return functions.bitwise_or(self, other)
    def __ror__(self, other: Any) -> Tensor: return functions.bitwise_or(other, self)
    def __xor__(self, other: Any) -> Tensor: return functions.bitwise_xor(self, other)
    def __rxor__(self, other: Any) -> Tensor: return functions.bitwise_xor(other, self)
    def __invert__(self) -> Tensor: return functions.invert(self)
    def __getitem__(self, key: Any) -> Tensor: return functions.getitem(self, key)

    # ---- methods: NumPy's names and arguments

    @property
    def T(self) -> Tensor: return functions.transpose(self)
    @property
    def mT(self) -> Tensor: return functions.matrix_transpose(self)
    @property
    def at(self) -> Any: return functions.at(self)

    def sum(self, axis: Any = None, *a: Any, **k: Any) -> Tensor: return functions.sum(self, axis, *a, **k)
    def mean(self, axis: Any = None, *a: Any, **k: Any) -> Tensor: return functions.mean(self, axis, *a, **k)
    def prod(self, axis: Any = None, *a: Any, **k: Any) -> Tensor: return functions.prod(self, axis, *a, **k)
    def cumsum(self, axis: Any = None, *a: Any, **k: Any) -> Tensor: return functions.cumsum(self, axis, *a, **k)
    def cumprod(self, axis: Any = None, *a: Any, **k: Any) -> Tensor: return functions.cumprod(self, axis, *a, **k)
    def max(self, axis: Any = None, **k: Any) -> Tensor: return functions.max(self, axis=axis, **k)
    def min(self, axis: Any = None, **k: Any) -> Tensor: return functions.min(self, axis=axis, **k)
    def var(self, axis: Any = None, **k: Any) -> Tensor: return functions.var(self, axis=axis, **k)
    def std(self, axis: Any = None, **k: Any) -> Tensor: return functions.std(self, axis=axis, **k)
    def argmax(self, axis: Any = None, **k: Any) -> Tensor: return functions.argmax(self, axis=axis, **k)
    def argmin(self, axis: Any = None, **k: Any) -> Tensor: return functions.argmin(self, axis=axis, **k)
    def any(self, axis: Any = None, **k: Any) -> Tensor: return functions.any(self, axis=axis, **k)
    def all(self, axis: Any = None, **k: Any) -> Tensor: return functions.all(self, axis=axis, **k)
    def clip(self, min: Any = None, max: Any = None, **k: Any) -> Tensor: return functions.clip(self, min, max, **k)
    def round(self, decimals: int = 0, **k: Any) -> Tensor: return functions.round(self, decimals, **k)
    def take(self, indices: Any, axis: Any = None, **k: Any) -> Tensor: return functions.take(self, indices, axis, **k)
    def compress(self, condition: Any, *a: Any, **k: Any) -> Tensor: return functions.compress(condition, self, *a, **k)
    def argsort(self, axis: int | None = -1, **k: Any) -> Tensor: return functions.argsort(self, axis, **k)
    def argpartition(self, kth: Any, axis: int | None = -1) -> Tensor: return functions.argpartition(self, kth, axis)
    def searchsorted(self, v: Any, **k: Any) -> Tensor: return functions.searchsorted(self, v, **k)
    def nonzero(self) -> Any: return functions.nonzero(self)
    def repeat(self, repeats: Any, axis: int | None = None) -> Tensor: return functions.repeat(self, repeats, axis)
    def diagonal(self, *args: int, **k: int) -> Tensor: return functions.diagonal(self, *args, **k)
    def trace(self, *args: Any, **k: Any) -> Tensor: return functions.trace(self, *args, **k)
    def dot(self, b: Any, **k: Any) -> Tensor: return functions.dot(self, b, **k)
    def reshape(self, *n: Any, **k: Any) -> Tensor: return functions.reshape(self, n[0] if len(n) == 1 else n, **k)
    def ravel(self, order: str = "C") -> Tensor: return functions.ravel(self, order)
    def flatten(self, order: str = "C") -> Tensor: return functions.ravel(self, order)
    def transpose(self, *axes: Any) -> Tensor:
        return functions.transpose(self, axes if len(axes) > 1 else axes[0] if axes else None)
    def swapaxes(self, axis1: int, axis2: int) -> Tensor: return functions.swapaxes(self, axis1, axis2)
    def squeeze(self, axis: Any = None) -> Tensor: return functions.squeeze(self, axis)
    def astype(self, dtype: npt.DTypeLike, *a: Any, **k: Any) -> Tensor: return functions.astype(self, dtype, *a, **k)
    def copy(self, order: str = "C") -> Tensor: return functions.copy(self, order)

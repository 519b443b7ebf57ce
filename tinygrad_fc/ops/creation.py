"""Creation: arrays made from nothing, as tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.dispatch import functions
from ..engine.node import leaf
from ..engine.tensor import Tensor, constant
from .derived import derived, here, native
from .elementwise import astype, power
from .elementwise import copy as copied
from .grids import spaced
from .samples import calls, several
from .shaping import as_tensor, broadcast_arrays, broadcast_to, expand_dims

if TYPE_CHECKING:
    import numpy.typing as npt

    Shape = int | tuple[int, ...]


_arange: Any = np.arange  # its stubs know no numbers of unknown type


def _made(function: str, array: np.ndarray, requires_grad: bool, name: str | None) -> Tensor:
    """Return a leaf of an array that `function` made: as `tensor` does, and not copied."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"{function}: name is {name!r}, expected a string.")
    kind = array.dtype.kind
    if kind not in "biufc":
        raise TypeError(f"{function}: given dtype {array.dtype}, expected numbers or booleans.")
    array = native(array)
    result = constant(array, name)
    if requires_grad:
        if kind != "f":
            raise TypeError(
                f"{function}: requires_grad=True needs a floating-point dtype, given {array.dtype}: set "
                f"dtype=np.float64 or another."
            )
        result.node = leaf(array, name)
    return result


def _plain(function: str, device: Any, like: Any) -> None:
    """Check what NumPy's creation functions take beside, and what makes no difference here."""
    here(function, device)
    if like is not None and not isinstance(like, (Tensor, np.ndarray)):
        raise TypeError(f"{function}: like is a {type(like).__name__}, expected a tensor, an array or None.")


def _computed(function: str, result: Tensor, requires_grad: bool, name: str | None) -> Tensor:
    """Return a tensor that was computed from others, which decide whether it needs a gradient."""
    if requires_grad and not result.requires_grad:
        raise TypeError(f"{function}: requires_grad=True asks for a leaf, but tensors were given: ask it of those.")
    if name is not None:
        result.name = name
    return result


# ---- filled with one number


def zeros(
    shape: Shape, dtype: npt.DTypeLike = float, order: Any = "C", *, requires_grad: bool = False,
    name: str | None = None, device: str | None = None, like: Any = None,
) -> Tensor:  # fmt: skip
    """Return a tensor of zeros.

    Parameters
    ----------
    shape : int or tuple of int
        Lengths of the axes.
    dtype : dtype
        Element type.
    order : {"C", "F"}
        Which index runs first in memory, the last one or the first.
    requires_grad : bool
        Whether gradients are wanted; the dtype must then be floating point.
    name : str, optional
        Name for messages and drawings.
    device, like
        For NumPy's sake: "cpu" or None, and an array, a tensor or None. Neither changes anything.

    Returns
    -------
    Tensor
        A leaf of that shape.

    Raises
    ------
    TypeError
        If `requires_grad` is set and the dtype is not floating point.
    """
    _plain("zeros", device, like)
    return _made("zeros", np.zeros(shape, dtype, order), requires_grad, name)


def ones(
    shape: Shape, dtype: npt.DTypeLike = float, order: Any = "C", *, requires_grad: bool = False,
    name: str | None = None, device: str | None = None, like: Any = None,
) -> Tensor:  # fmt: skip
    """Return a tensor of ones; the parameters are those of `zeros`."""
    _plain("ones", device, like)
    return _made("ones", np.ones(shape, dtype, order), requires_grad, name)


def empty(
    shape: Shape, dtype: npt.DTypeLike = float, order: Any = "C", *, requires_grad: bool = False,
    name: str | None = None, device: str | None = None, like: Any = None,
) -> Tensor:  # fmt: skip
    """Return a tensor whose values are whatever the memory held; the parameters are those of `zeros`."""
    _plain("empty", device, like)
    return _made("empty", np.empty(shape, dtype, order), requires_grad, name)


def full(
    shape: Shape, fill_value: Any, dtype: npt.DTypeLike | None = None, order: Any = "C", *,
    requires_grad: bool = False, name: str | None = None, device: str | None = None, like: Any = None,
) -> Tensor:  # fmt: skip
    """Return a tensor filled with `fill_value`, a number or what broadcasts to `shape`.

    Parameters
    ----------
    shape : int or tuple of int
        Lengths of the axes.
    fill_value : array_like or Tensor
        What stands in each place. The gradient of a tensor's is the sum over the places.
    dtype : dtype, optional
        Element type; that of `fill_value` by default.
    order, requires_grad, name, device, like
        As in `zeros`; `requires_grad` asks for a leaf, and so cannot stand beside a tensor as `fill_value`.
    """
    _plain("full", device, like)
    if isinstance(fill_value, Tensor):
        return _computed("full", _filled(shape, fill_value, dtype, order), requires_grad, name)
    return _made("full", np.full(shape, fill_value, dtype, order), requires_grad, name)


def _filled(shape: Shape, value: Tensor, dtype: npt.DTypeLike | None, order: Any) -> Tensor:
    value = value if dtype is None or value.dtype == dtype else astype(value, np.dtype(dtype))
    return copied(broadcast_to(value, shape), order)


# ---- like another array: constants, but for what `full_like` is filled with


_LIKE = several(
    calls((2, 3)), calls((2,), np.float32), calls(np.arange(3), shape=(2, 2)), calls((2,), dtype=int, shape=4),
    calls((2, 3), None, "F", False, None, device="cpu"),
)  # fmt: skip


@derived(np.zeros_like, samples=_LIKE, differentiable=False)
def zeros_like(
    a: Any, dtype: npt.DTypeLike | None = None, order: Any = "K", subok: bool = True, shape: Shape | None = None, *,
    device: str | None = None,
) -> Tensor:  # fmt: skip
    """Return a constant tensor of zeros in the shape and dtype of `a`, or in those given."""
    here("zeros_like", device)
    return as_tensor(np.zeros_like(as_tensor(a).data, dtype, order, shape=shape))


@derived(np.ones_like, samples=_LIKE, differentiable=False)
def ones_like(
    a: Any, dtype: npt.DTypeLike | None = None, order: Any = "K", subok: bool = True, shape: Shape | None = None, *,
    device: str | None = None,
) -> Tensor:  # fmt: skip
    """Return a constant tensor of ones in the shape and dtype of `a`, or in those given."""
    here("ones_like", device)
    return as_tensor(np.ones_like(as_tensor(a).data, dtype, order, shape=shape))


@derived(np.empty_like, samples=several(calls((0, 3)), calls((2,), np.float32, shape=(0, 2))), differentiable=False)
def empty_like(
    prototype: Any, /, dtype: npt.DTypeLike | None = None, order: Any = "K", subok: bool = True,
    shape: Shape | None = None, *, device: str | None = None,
) -> Tensor:  # fmt: skip
    """Return a constant tensor in the shape and dtype of `prototype`, its values whatever the memory held."""
    here("empty_like", device)
    return as_tensor(np.empty_like(as_tensor(prototype).data, dtype, order, shape=shape))


@derived(np.full_like, samples=several(
    calls((2, 3), ()), calls((2, 3), (3,)), calls((2,), (), shape=(2, 2)), calls((2, 3), (3,), None, "F", True),
))  # fmt: skip
def full_like(
    a: Any, fill_value: Any, dtype: npt.DTypeLike | None = None, order: Any = "K", subok: bool = True,
    shape: Shape | None = None, *, device: str | None = None,
) -> Tensor:  # fmt: skip
    """Return `fill_value`, which takes a gradient, in the shape and dtype of `a`, or in those given."""
    here("full_like", device)
    like = np.empty_like(as_tensor(a).data, None if dtype is None else np.dtype(dtype), order, shape=shape)
    if isinstance(fill_value, Tensor):
        return _filled(like.shape, fill_value, like.dtype, "F" if like.flags.fnc else "C")
    like[...] = fill_value
    return as_tensor(like)


# ---- rows of numbers


def arange(
    start: Any, stop: Any = None, step: Any = 1, dtype: npt.DTypeLike | None = None, *,
    requires_grad: bool = False, name: str | None = None, device: str | None = None, like: Any = None,
) -> Tensor:  # fmt: skip
    """Return evenly spaced numbers from `start` (0, where one bound is given) to just before `stop`.

    Parameters
    ----------
    start, stop, step : number
        The first number, the bound, and what each number is more than the one before.
    dtype : dtype, optional
        Element type; integers for integers by default, so name a float dtype with `requires_grad`.
    requires_grad, name
        As in `zeros`.
    """
    _plain("arange", device, like)
    start, stop, step = [_number("arange", item) for item in (start, stop, step)]
    bounds = (start,) if stop is None else (start, stop)
    return _made("arange", _arange(*bounds, step=step, dtype=dtype), requires_grad, name)


def _number(function: str, value: Any) -> Any:
    if isinstance(value, Tensor):
        if value.requires_grad:
            raise TypeError(f"{function}: its bounds take no gradient, but {value._label()} needs one: t.item().")
        return value.data[()]
    return value


@derived(np.linspace, samples=several(
    calls((), (), 4), calls((2,), (2,), num=5), calls((2, 1), (3,), 3, endpoint=False, axis=-1),
    calls((), 2.0, num=3, retstep=True), calls((2,), 1.0, num=1),
))  # fmt: skip
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False,
    dtype: npt.DTypeLike | None = None, axis: int = 0, *, requires_grad: bool = False, name: str | None = None,
    device: str | None = None,
) -> Any:  # fmt: skip
    """Return `num` evenly spaced numbers from `start` to `stop`, with gradients where these are tensors.

    Parameters
    ----------
    start, stop : number, array_like or Tensor
        The first number and the last, or with ``endpoint=False`` the one that would follow.
    num : int
        How many.
    endpoint : bool
        Whether `stop` is the last one.
    retstep : bool
        Whether to return the tuple of the numbers and of the step between them.
    dtype : dtype, optional
        Element type; a floating-point one by default.
    axis : int
        Where the numbers stand in the result, if `start` and `stop` are arrays.
    requires_grad, name
        As in `zeros`; `requires_grad` asks for a leaf, and so cannot stand beside tensors.
    """
    here("linspace", device)
    if not isinstance(start, Tensor) and not isinstance(stop, Tensor):
        array, step = np.linspace(start, stop, num, endpoint, retstep=True, dtype=dtype, axis=axis)
        made = _made("linspace", array, requires_grad, name)
        return (made, step) if retstep else made
    result, step = spaced(start, stop, num, endpoint)
    result = functions.moveaxis(result, 0, axis)
    if dtype is not None and result.dtype != dtype:
        result = astype(functions.floor(result) if np.dtype(dtype).kind in "iu" else result, dtype)
    _computed("linspace", result, requires_grad, name)
    return (result, step) if retstep else result


@derived(np.logspace, samples=several(
    calls((), (), 4), calls((2,), (2,), num=3, base=2.0), calls((2,), 1.5, 3, False, 2.0, axis=1),
    lambda generator: [((generator.uniform(size=2), 1.5, 3), {"base": generator.uniform(1.0, 2.0, size=())})],
))  # fmt: skip
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: npt.DTypeLike | None = None,
    axis: int = 0, *, requires_grad: bool = False, name: str | None = None,
) -> Tensor:  # fmt: skip
    """Return `num` numbers whose logarithms to `base` are evenly spaced from `start` to `stop`.

    The parameters are those of `linspace`, and `base` is a number, an array_like or a Tensor, too.
    """
    if not any(isinstance(item, Tensor) for item in (start, stop, base)):
        return _made("logspace", np.logspace(start, stop, num, endpoint, base, dtype, axis), requires_grad, name)
    if np.ndim(base):
        start, stop, base = broadcast_arrays(start, stop, base)
        base = expand_dims(base, axis)
    result = power(base, linspace(start, stop, num, endpoint, axis=axis))
    if dtype is not None and result.dtype != dtype:
        result = astype(result, dtype)
    return _computed("logspace", result, requires_grad, name)


# ---- matrices


def eye(
    N: int, M: int | None = None, k: int = 0, dtype: npt.DTypeLike = float, order: Any = "C", *,
    requires_grad: bool = False, name: str | None = None, device: str | None = None, like: Any = None,
) -> Tensor:  # fmt: skip
    """Return a matrix (N, M), by default (N, N), of zeros with ones on the diagonal `k` above the main one."""
    _plain("eye", device, like)
    return _made("eye", np.eye(N, M, k, dtype, order), requires_grad, name)


def identity(
    n: int, dtype: npt.DTypeLike = float, *, requires_grad: bool = False, name: str | None = None, like: Any = None
) -> Tensor:
    """Return the identity matrix (n, n); the other parameters are those of `zeros`."""
    _plain("identity", None, like)
    return _made("identity", np.identity(n, dtype), requires_grad, name)


def tri(
    N: int, M: int | None = None, k: int = 0, dtype: npt.DTypeLike = float, *,
    requires_grad: bool = False, name: str | None = None, like: Any = None,
) -> Tensor:  # fmt: skip
    """Return a matrix (N, M), by default (N, N), with ones on and below the diagonal `k` above the main one."""
    _plain("tri", None, like)
    return _made("tri", np.tri(N, M, k, dtype), requires_grad, name)


# ---- from other arrays


def asarray(
    a: Any, dtype: npt.DTypeLike | None = None, order: Any = None, *, copy: bool | None = None,
    requires_grad: bool = False, name: str | None = None, device: str | None = None, like: Any = None,
) -> Tensor:  # fmt: skip
    """Return a tensor of `a`; a tensor as it is, an array not copied unless it must be (`tensor` copies always).

    Parameters
    ----------
    a : array_like or Tensor
        The values. A tensor keeps its place in the graph.
    dtype : dtype, optional
        Element type; that of `a` by default.
    order : {"C", "F", "A", "K"}, optional
        How an array, or a tensor that needs no gradient, shall lie in memory; one that does stays as it is.
    copy : bool, optional
        True copies, False raises ValueError where a copy is needed, None copies where it is.
    device, like
        As in `zeros`.
    requires_grad : bool
        Whether gradients are wanted of a leaf of its own: not of a tensor that has them already.
    name : str, optional
        Name for messages and drawings.

    Returns
    -------
    Tensor
        `a` itself, or a leaf that shares its memory where nothing was copied.
    """
    _plain("asarray", device, like)
    if not isinstance(a, Tensor):
        if dtype is None and isinstance(a, np.ndarray) and not a.dtype.isnative:
            dtype = a.dtype.newbyteorder("=")  # a copy, which copy=False refuses
        return _made("asarray", np.array(a, dtype=dtype, order=order, copy=copy), requires_grad, name)
    if not a.requires_grad:
        array = np.array(a.data, dtype=dtype, order=order, copy=copy)
        as_it_is = array is a.data and not requires_grad and name is None
        return a if as_it_is else _made("asarray", array, requires_grad, name)
    if dtype is not None and a.dtype != dtype:
        if copy is False:
            raise ValueError(f"asarray: copy=False, but {a.dtype} cannot become {np.dtype(dtype)} without a copy.")
        return _computed("asarray", astype(a, np.dtype(dtype)), requires_grad, name)
    if copy:
        return _computed("asarray", copied(a), requires_grad, name)
    if name is not None:
        raise TypeError("asarray: name= would rename the tensor that was given: set t.name, or give copy=True.")
    return a


def from_dlpack(
    x: Any, /, *, copy: bool | None = None, requires_grad: bool = False, name: str | None = None,
    device: str | None = None,
) -> Tensor:  # fmt: skip
    """Return a tensor of another library's array on the CPU, exchanged by DLPack and not copied unless it must be.

    Parameters
    ----------
    x : object with ``__dlpack__`` and ``__dlpack_device__``
        The array: NumPy's, PyTorch's, JAX's, ...
    copy : bool, optional
        True copies, False raises where a copy is needed, None copies where it is.
    requires_grad, name
        As in `zeros`.
    """
    here("from_dlpack", device)
    array = np.from_dlpack(x) if copy is None else np.from_dlpack(x, copy=copy)
    return _made("from_dlpack", array, requires_grad, name)

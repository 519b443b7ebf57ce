"""What NumPy calls when one of its functions meets a tensor, and the refusals where a gradient would be lost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .operators import functions as functions

Record = Callable[..., Any]

UFUNCS: dict[np.ufunc, Record] = {}
REDUCTIONS: dict[np.ufunc, Record] = {}
ACCUMULATIONS: dict[np.ufunc, Record] = {}
FUNCTIONS: dict[Callable[..., Any], Record] = {}


# How to say it instead, for the methods of a ufunc that have no derivative rule.
_INSTEAD = {
    "reduce": "tg.sum, tg.prod, tg.max, tg.min or tg.logsumexp, or go step by step: functools.reduce(np.{0}, t)",
    "accumulate": "tg.cumsum, tg.cumprod, tg.cummax or tg.cummin, or go step by step: itertools.accumulate(t, np.{0})",
    "outer": "broadcasting: np.{0}(x[:, None], y[None, :])",
    "at": "t.at[i].{1}, which returns a new tensor",
    "reduceat": "slices and a reduction of each",
}
_AT = {"add": "add(v)", "subtract": "add(-v)", "multiply": "multiply(v)", "maximum": "max(v)", "minimum": "min(v)"}


def array_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run `ufunc` on inputs of which one is a tensor: the body of ``Tensor.__array_ufunc__``."""
    name = ufunc.__name__
    if kwargs.get("out") is not None:
        raise TypeError(
            f"{name}: a tensor cannot be written into an array (out=, or an in-place operator such as `array += t`): "
            f"the gradient would be lost. Write `array = array + t` for a new tensor, or use `t.data` for the numbers."
        )
    if method == "__call__":
        # The last: what an array's method runs, `array.clip(0, t)`, is a ufunc that NumPy has no public name for.
        record = UFUNCS.get(ufunc) or functions.late(ufunc) or FUNCTIONS.get(getattr(np, name, array_ufunc))
        if record is None:
            raise _unsupported(ufunc)
        for key in kwargs:
            if key != "out":
                raise TypeError(f"np.{name}: {key}= is not supported on tensors. {_instead_of(key)}")
        return record(*inputs)
    along = {"reduce": REDUCTIONS, "accumulate": ACCUMULATIONS}.get(method, {})
    if ufunc in along:
        given = {key: value for key, value in kwargs.items() if key != "out"}
        return along[ufunc](*inputs, **{"axis": 0, **given})
    cure = _INSTEAD.get(method, "another function").format(name, _AT.get(name, f"set(np.{name}(t[i], v))"))
    raise TypeError(f"np.{name}.{method} has no gradient on tensors: use {cure}.")


def array_function(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run a NumPy function that is no ufunc: the body of ``Tensor.__array_function__``."""
    record = FUNCTIONS.get(function) or functions.late(function)
    if record is None:
        raise _unsupported(function)
    if "out" in kwargs and kwargs["out"] is None:
        kwargs = {key: value for key, value in kwargs.items() if key != "out"}
    return record(*args, **kwargs)


_FOREIGN = {
    "MaskedArray": "its mask would be lost. Take its numbers, m.filled(0.0), and select with np.where(mask, 0.0, t).",
    "matrix": "it means the matrix product by *, and tensors do not. Make it an array, np.asarray(m), and write @.",
}


def refuse_foreign(value: Any, *kinds: str) -> None:
    """Raise TypeError if `value` is one of the kinds of array that mean something else by the same operators."""
    for kind in type(value).__mro__ if isinstance(value, np.ndarray) and type(value) is not np.ndarray else ():
        if kind.__name__ in kinds and kind.__module__.startswith("numpy"):
            raise TypeError(f"a {kind.__name__} of NumPy is no array for a tensor: {_FOREIGN[kind.__name__]}")


def _instead_of(keyword: str) -> str:
    cures = {
        "where": "Select afterwards: np.where(condition, result, other).",
        "dtype": "Convert before or after: t.astype(dtype).",
        "axis": "Our own function may take it: tg.vecdot(x, y, axis=0).",
        "axes": "Move the axes first: np.moveaxis(t, 0, -1).",
    }
    return cures.get(keyword, "It changes no value that a gradient depends on: leave it out.")


def _path(function: Any) -> str:
    """Return what a user calls a function: np.exp, np.linalg.inv, scipy.special.erf."""
    name = function.__name__
    if getattr(np, name, None) is function:
        return f"np.{name}"
    if isinstance(function, np.ufunc):
        return f"scipy.special.{name}" if hasattr(sys.modules.get("scipy.special"), name) else f"the ufunc {name}"
    return f"{str(function.__module__).replace('numpy', 'np', 1)}.{name}"


def _unsupported(function: Any) -> TypeError:
    import difflib  # only ever needed for a message

    every: list[Any] = [*UFUNCS, *FUNCTIONS]
    known = {other.__name__: other for other in every if other is not function}
    near = difflib.get_close_matches(function.__name__, sorted(known), n=1, cutoff=0.75)
    hint = f" The nearest supported function is {_path(known[near[0]])}." if near else ""
    name, argument = _path(function), "x" if isinstance(function, np.ufunc) else "a"
    return TypeError(
        f"{name} has no derivative rule for tensors.{hint} Declare one with tg.op({name}, {argument}=rule), "
        f"or use t.data (the array) where no gradient is needed."
    )

"""What NumPy calls when one of its functions meets a tensor, and the refusals where a gradient would be lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Record = Callable[..., Any]


class Functions:
    """The declared operations by name: what Tensor's operators and methods call, and what the package offers."""


functions: Any = Functions()
# Finds the operation of a function that is declared only when it is met: the package puts a finder here.
functions.late = lambda function: None

UFUNCS: dict[np.ufunc, Record] = {}
REDUCTIONS: dict[np.ufunc, Record] = {}
ACCUMULATIONS: dict[np.ufunc, Record] = {}
FUNCTIONS: dict[Callable[..., Any], Record] = {}


# How to say it instead, for the methods of a ufunc that have no derivative rule.
_INSTEAD = {
    "reduce": "tg.sum, tg.prod, tg.max, tg.min or tg.logsumexp",
    "accumulate": "tg.cumsum, tg.cumprod, tg.cummax or tg.cummin",
    "outer": "broadcasting: x[:, None] and y[None, :]",
    "at": "t.at[i].add(v), which returns a new tensor",
    "reduceat": "slices and tg.sum",
}


def array_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run `ufunc` on inputs of which one is a tensor: the body of ``Tensor.__array_ufunc__``."""
    name = ufunc.__name__
    if kwargs.get("out") is not None:
        raise TypeError(
            f"{name}: a tensor cannot be written into an array (out=, or an in-place operator such as `array += t`): "
            f"the gradient would be lost. Write `array = array + t` for a new tensor, or use `t.data` for the numbers."
        )
    if method == "__call__":
        record = UFUNCS.get(ufunc) or functions.late(ufunc)
        if record is None:
            raise _unsupported(f"np.{name}", (f.__name__ for f in UFUNCS))
        for key in kwargs:
            if key != "out":
                raise TypeError(f"np.{name}: {key}= is not supported on tensors. {_instead_of(key)}")
        return record(*inputs)
    if method == "reduce" and ufunc in REDUCTIONS:
        given = {key: value for key, value in kwargs.items() if key != "out"}
        return REDUCTIONS[ufunc](*inputs, **{"axis": 0, **given})
    if method == "accumulate" and ufunc in ACCUMULATIONS:
        given = {key: value for key, value in kwargs.items() if key != "out"}
        return ACCUMULATIONS[ufunc](*inputs, **{"axis": 0, **given})
    raise TypeError(f"np.{name}.{method} has no gradient on tensors: use {_INSTEAD.get(method, 'another function')}.")


def array_function(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run a NumPy function that is no ufunc: the body of ``Tensor.__array_function__``."""
    record = FUNCTIONS.get(function) or functions.late(function)
    if record is None:
        module = getattr(function, "__module__", "numpy").replace("numpy", "np", 1)
        raise _unsupported(f"{module}.{function.__name__}", (f.__name__ for f in FUNCTIONS))
    return record(*args, **kwargs)


def _instead_of(keyword: str) -> str:
    cures = {
        "where": "Select afterwards: np.where(condition, result, other).",
        "dtype": "Convert before or after: t.astype(dtype).",
    }
    return cures.get(keyword, "Leave it out.")


def _unsupported(name: str, known: Any) -> TypeError:
    import difflib  # only ever needed for a message

    near = difflib.get_close_matches(name.rsplit(".", 1)[-1], sorted(known), n=1)
    hint = f" The nearest supported function is np.{near[0]}." if near else ""
    argument = "a" if name.rsplit(".", 1)[-1] not in {ufunc.__name__ for ufunc in vars(np).values() if
                                                      isinstance(ufunc, np.ufunc)} else "x"  # fmt: skip
    return TypeError(
        f"{name} has no derivative rule for tensors.{hint} Declare one with tg.op({name}, {argument}=rule), "
        f"or use t.data (the array) where no gradient is needed."
    )

"""What NumPy calls when one of its functions meets a tensor, and the refusals where a gradient would be lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .operators import functions as functions

Record = Callable[..., Any]

UFUNCS: dict[Callable[..., Any], Record] = {}
REDUCTIONS: dict[np.ufunc, Record] = {}
ACCUMULATIONS: dict[np.ufunc, Record] = {}
FUNCTIONS: dict[Callable[..., Any], Record] = {}

# What may be said, as it is so anyway: NumPy's own defaults, by the object that says it, so that no array is compared.
_SAID = {"out": None, "where": True, "dtype": None, "casting": "same_kind", "order": "K", "subok": True}


def array_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run `ufunc` on inputs of which one is a tensor: the body of ``Tensor.__array_ufunc__``."""
    if kwargs.get("out") is not None:
        raise functions.refusals().written_into(ufunc)
    if method == "__call__":
        # The last: what an array's method runs, `array.clip(0, t)`, is a ufunc that NumPy has no public name for.
        record = UFUNCS.get(ufunc) or functions.late(ufunc) or FUNCTIONS.get(getattr(np, ufunc.__name__, array_ufunc))
        if record is None:
            raise functions.refusals().no_rule(ufunc)
        for key, value in kwargs.items():
            if value is not _SAID.get(key, key):
                raise functions.refusals().keyword_of_ufunc(ufunc, key)
        return record(*inputs)
    along = {"reduce": REDUCTIONS, "accumulate": ACCUMULATIONS}.get(method, {})
    if ufunc in along:
        return along[ufunc](*inputs, **{"axis": 0, **_given(kwargs)})
    raise functions.refusals().method_of_ufunc(ufunc, method)


def array_function(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run a NumPy function that is no ufunc: the body of ``Tensor.__array_function__``."""
    record = FUNCTIONS.get(function) or functions.late(function)
    if record is None:
        raise functions.refusals().no_rule(function)
    return record(*args, **_given(kwargs)) if kwargs else record(*args)


def _given(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords without `out`, if it is None, and without NumPy's word for what is not given."""
    return {key: x for key, x in kwargs.items() if x is not np._NoValue and (key != "out" or x is not None)}


def refuse_foreign(value: Any, *kinds: str) -> None:
    """Raise TypeError if `value` is one of the kinds of array that mean something else by the same operators."""
    for kind in type(value).__mro__ if isinstance(value, np.ndarray) and type(value) is not np.ndarray else ():
        if kind.__name__ in kinds and kind.__module__.startswith("numpy"):
            raise functions.refusals().foreign(kind)

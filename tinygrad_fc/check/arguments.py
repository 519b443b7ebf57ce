"""What a check is given: the function, the tensors that it moves, and the options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.backward import gradients
from ..engine.tensor import Tensor
from ..nn.module import Module
from .difference import EPS
from .problem import as_input
from .reach import Reached


def resolved(f: Any, inputs: tuple[Any, ...]) -> tuple[Callable[..., Any], list[Tensor], list[Any]]:
    """Return the function, the tensors to check, and what the function is called with."""
    if isinstance(f, Module):
        parameters = list(f.parameters())
        tensors: list[Tensor] = [p for p in parameters if p.requires_grad]  # the others are frozen
        tensors += [t for t in inputs if isinstance(t, Tensor) and t.requires_grad and t.is_leaf]
        if not tensors:
            has = f"the parameters of {type(f).__name__} are all frozen" if parameters else (
                f"{type(f).__name__} has no parameters"
            )  # fmt: skip
            cure = " Set p.requires_grad = True for those to check." if parameters else ""
            raise ValueError(f"gradcheck: {has}, and no input needs a gradient.{cure}")
        loss = getattr(f, "loss_tensor", None)
        return (loss if loss is not None and len(inputs) == 2 else f), tensors, list(inputs)
    if inputs:
        found = [as_input("gradcheck", position, value) for position, value in enumerate(inputs)]
        return f, found, list(found)
    held = Reached(f, ())
    parameters = [p for module in held.modules for p in module.parameters()]
    tensors = list(dict.fromkeys([*held.tensors, *[p for p in parameters if p.requires_grad]]))
    if not tensors:
        cure = " Its parameters are frozen: set p.requires_grad = True for those to check." if parameters else ""
        raise ValueError(f"gradcheck: no input is given, and f closes over no tensor that needs a gradient.{cure}")
    return f, tensors, []


def twice(f: Callable[..., Any], tensors: list[Tensor], generator: np.random.Generator) -> Callable[..., Any]:
    """Return the function whose gradient is one of second order: the gradient of `f`, weighted and summed."""
    weights: list[np.ndarray] = []

    def slope(*arguments: Any) -> Any:
        out = f(*arguments)
        if not isinstance(out, Tensor) or not out.requires_grad:
            return out
        if not weights:
            weights.append(generator.uniform(0.5, 1.5, out.shape))
            weights.extend(generator.uniform(0.5, 1.5, t.shape) for t in tensors)
        found = gradients([out], tensors, [weights[0].astype(out.dtype)], create_graph=True)
        return sum((d * w.astype(d.dtype)).sum() for d, w in zip(found, weights[1:], strict=True))

    slope.__wrapped__ = f  # type: ignore[attr-defined]  # what it reaches is looked for there
    return slope


def check_options(
    who: str, f: Any, order: Any, samples: Any, tolerance: Any, seed: Any = 0, progress: Any = None
) -> None:  # fmt: skip
    """Raise unless a function can be called, and the options are in range."""
    if not callable(f):
        raise TypeError(f"{who}: f is {type(f).__name__}, expected a function or a Module.")
    if isinstance(f, type):
        raise TypeError(f"{who}: f is the class {f.__name__}, expected a function or an instance: {f.__name__}(...).")
    if isinstance(order, bool) or order not in (1, 2):
        raise ValueError(f"{who}: order={order!r}, expected 1 or 2.")
    if samples is not None and (isinstance(samples, bool) or not isinstance(samples, int | np.integer) or samples < 1):
        raise ValueError(f"{who}: samples={samples!r}, expected a positive integer or None.")
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float | np.number) or not EPS < tolerance < 1:
        raise ValueError(f"{who}: tolerance={tolerance!r}, expected a number between {EPS:.0e} and 1.")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"{who}: seed={seed!r}, expected an integer of at least 0.")
    if progress is not None and not isinstance(progress, bool):
        raise TypeError(f"{who}: progress={progress!r}, expected True, False or None.")

"""What a step of an optimizer is given: gradients, and an observer that may watch."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np

from ..engine.node import observer


def by_name(gradients: Any, names: Sequence[str], known: Container[str]) -> list[Any]:
    """Return the gradients in the order of the parameters; None stands for one that is missing."""
    if not isinstance(gradients, Mapping):
        raise TypeError(f"step: gradients must map names to ndarrays, got {type(gradients).__name__}")
    for name in gradients:
        if name not in known:
            raise ValueError(f"step: gradient {name!r} has no parameter; there are {', '.join(names)}")
    return [gradients.get(name) for name in names]


def refuse_frozen(names: Sequence[str], tensors: Sequence[Any]) -> None:
    """Raise ValueError if a parameter needs no gradient any more."""
    frozen = [name for name, tensor in zip(names, tensors, strict=True) if not tensor.requires_grad]
    if frozen:
        raise ValueError(
            f"step: {', '.join(frozen)} was frozen (requires_grad=False) after this optimizer was made, and no "
            f"parameter was changed; make a new optimizer, which leaves it out"
        )


def refuse_gradient(name: str, gradient: Any, view: np.ndarray, named: Mapping[str, Any]) -> None:
    """Raise the error that says what is wrong with a gradient; return when it only is of a subclass of ndarray."""
    shape, dtype = view.shape, view.dtype
    if gradient is None:
        refuse_frozen([*named], [*named.values()])
        raise ValueError(
            f"step: parameter {name} has no gradient, and no parameter was changed; call backward() on a loss that "
            f"depends on it, or leave it out of the optimizer"
        )
    if not isinstance(gradient, np.ndarray):
        raise TypeError(f"step: the gradient of {name} must be an ndarray, got {type(gradient).__name__}")
    if gradient.shape != shape:
        raise ValueError(f"step: the gradient of {name} has shape {gradient.shape}, the parameter has {shape}")
    if gradient.dtype != dtype:
        raise TypeError(f"step: the gradient of {name} has dtype {gradient.dtype}, the parameter has {dtype}")


def tell(event: str, *facts: Any) -> None:
    """Tell the observer that watches, if one does that listens to this."""
    if (note := getattr(observer(), event, None)) is not None:
        note(*facts)

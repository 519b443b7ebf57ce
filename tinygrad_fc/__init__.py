"""tinygrad_fc: a define-by-run reverse-mode autograd engine on NumPy.

Write models with tensor expressions, see the computation graph, check gradients against numbers::

    import tinygrad_fc as tg

    x = tg.tensor([1.0, 2.0], requires_grad=True)
    loss = (x**2).sum()
    loss.backward()
    x.grad  # array([2., 4.])
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from .engine.backward import gradients
from .engine.dispatch import UFUNCS as _UFUNCS
from .engine.dispatch import functions as _functions
from .engine.node import no_grad
from .engine.op import REGISTRY as _REGISTRY
from .engine.op import fused_op, op
from .engine.tensor import Tensor, tensor

# Kept together by hand: sorted, each name would have a line.
# isort: off
from .fused import (
    affine, affine_relu, batch_norm, batch_norm_inference, dropout, l2_penalty, layer_norm, relu, softmax_loss,
    svm_loss,
)
from .kernels import use_kernels
from .ops.elementwise import (
    absolute, add, astype, clip, copy, cos, divide, exp, exp2, expm1, log, log1p, log2, log10, maximum, minimum,
    multiply, negative, positive, power, reciprocal, sigmoid, sign, sin, sqrt, square, subtract, tanh, where,
)
from .ops.indexing import getitem, take_along_axis
from .ops.linalg import dot, einsum, matmul
from .ops.reduction import all, any, argmax, argmin, logsumexp, max, mean, min, prod, std, sum, var
from .ops.shaping import (
    broadcast_to, concatenate, expand_dims, ravel, reshape, squeeze, stack, swapaxes, transpose,
)
# isort: on

__version__ = "0.1.0"

abs = absolute
concat = concatenate

# What a script may not need is imported when it is first asked for, so that `import tinygrad_fc` costs little more than
# NumPy's own import.
_ROOMS = ("check", "cs231n", "data", "models", "nn", "optim", "special", "training", "viz")
_LATE = {"Graph": "engine.graph", "draw": "viz.dot", "gradcheck": "check.gradcheck"}

__all__ = [
    "Graph", "Tensor", "abs", "absolute", "add", "affine", "affine_relu", "all", "any", "argmax", "argmin",
    "astype", "batch_norm", "batch_norm_inference", "broadcast_to", "check", "clip", "concat", "concatenate",
    "copy", "cos", "cs231n", "data", "divide", "dot", "draw", "dropout", "einsum", "exp", "exp2", "expand_dims",
    "expm1", "fused_op", "getitem", "gradcheck", "gradients", "l2_penalty", "layer_norm", "log", "log10", "log1p",
    "log2", "logsumexp", "matmul", "max", "maximum", "mean", "min", "minimum", "models", "multiply", "negative",
    "nn", "no_grad", "op", "optim", "positive", "power", "prod", "ravel", "reciprocal", "relu", "reshape",
    "sigmoid", "sign", "sin", "softmax_loss", "special", "sqrt", "square", "squeeze", "stack", "std", "subtract",
    "sum", "svm_loss", "swapaxes", "take_along_axis", "tanh", "tensor", "training", "transpose", "use_kernels",
    "var", "viz", "where",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{'ops.' if name == 'special' else ''}{name}")
    if name in _LATE:
        return getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
    if hasattr(_functions, name) and name in _REGISTRY:
        return getattr(_functions, name)
    raise AttributeError(
        f"tinygrad_fc has no {name!r}. NumPy's functions work on tensors as they are (np.{name}(t)) where a derivative "
        f"rule is declared; declare one with tg.op."
    )


def _notebook_svg(target: Any) -> str | None:
    from .viz.dot import notebook_svg

    return notebook_svg(target)


def _late_ufunc(ufunc: Any) -> Any:
    scipys: Any = vars(sys.modules.get("scipy.special", sys)).get(ufunc.__name__)
    if scipys is ufunc:
        importlib.import_module(f"{__name__}.ops.special")
    return _UFUNCS.get(ufunc)


# The engine shows a tensor in a notebook without knowing who draws, and meets SciPy's ufuncs without knowing SciPy.
_functions.notebook_svg = _notebook_svg
_functions.late_ufunc = _late_ufunc


def __dir__() -> list[str]:
    return __all__

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

import numpy as _np

from . import ops as _ops  # noqa: F401  # declares the operations
from .engine.backward import gradients
from .engine.dispatch import FUNCTIONS as _FUNCTIONS
from .engine.dispatch import UFUNCS as _UFUNCS
from .engine.dispatch import functions as _functions
from .engine.node import no_grad
from .engine.op import fused_op, op
from .engine.tensor import Tensor, tensor
from .kernels import use_kernels
from .ops.creation import arange, asarray, empty, eye, from_dlpack, full, identity, ones, tri, zeros

__version__ = "0.1.0"

# What a script may not need is imported when it is first asked for, so that `import tinygrad_fc` costs little more
# than NumPy's own import.
_ROOMS = (
    "check", "cs231n", "data", "linalg", "models", "nn", "optim", "profile", "special", "testing", "training",
    "transforms", "viz",
)  # fmt: skip
_LATE = {"Graph": "graph", "draw": "viz.draw", "gradcheck": "check.gradcheck", "observe": "profile.observe"}
_LATE |= {"debug": "profile.debug"}
_LATE |= {"explain": "viz.explain", "compile": "replay"}
_LATE |= {"check_gradient": "check.plain", "check_layer": "check.plain"}
_TRANSFORMS = ("checkpoint", "grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp")
_LATE |= dict.fromkeys(_TRANSFORMS, "transforms")
_FUSED = (
    "affine", "affine_relu", "batch_norm", "batch_norm_inference", "binary_cross_entropy_with_logits", "cross_entropy",
    "dropout", "elu", "gelu", "hardtanh", "huber_loss", "kl_div", "l1_loss", "l2_penalty", "layer_norm", "leaky_relu",
    "log_sigmoid", "log_softmax", "maxout", "mse_loss", "nll_loss", "relu", "selu", "silu", "softmax", "softmax_loss",
    "softplus", "svm_loss",
)  # fmt: skip
_LATE |= dict.fromkeys(_FUSED, "fused")
_OTHER_NAMES = {name: name for name in ("cummax", "cummin", "logcumsumexp", "logsumexp", "sigmoid", "getitem")}
_OTHER_NAMES |= {"abs": "absolute", "amax": "max", "amin": "min", "concat": "concatenate", "permute_dims": "transpose"}

# The operations: those with NumPy's names, and some that NumPy has not. Others' are reached by name as well.
_HOOKS = ("at", "check_declared", "graph_text", "late", "notebook_html", "notebook_svg", "refusals")
_NUMPYS = sorted(name for name in vars(_functions) if hasattr(_np, name) and name not in _HOOKS and name[0] != "_")

__all__ = [
    "Tensor", "arange", "asarray", "empty", "eye", "from_dlpack", "full", "fused_op", "gradients", "identity",
    "no_grad", "ones", "op", "tensor", "tri", "use_kernels", "zeros",
]  # fmt: skip
__all__ += sorted({*_ROOMS, *_LATE, *_OTHER_NAMES, *_NUMPYS} - {*__all__})


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _LATE:
        return getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
    name = _OTHER_NAMES.get(name, name)
    if name not in _HOOKS and hasattr(_functions, name):
        return getattr(_functions, name)
    raise AttributeError(
        f"tinygrad_fc has no {name!r}. NumPy's functions work on tensors as they are (np.{name}(t)) where a derivative "
        f"rule is declared; declare one with tg.op."
    )


def _notebook_svg(target: Any) -> str | None:
    from .viz.notebook import notebook_svg

    return notebook_svg(target)


def _notebook_html(target: Any) -> str:
    from .viz.notebook import notebook_html

    return notebook_html(target)


def _graph_text(graph: Any) -> str:
    from .viz.text import graph_text

    return graph_text(graph)


def _late(function: Any) -> Any:
    """Import what declares the operation of a function of SciPy's or np.linalg's, and return it.

    Given a name, which someone is about to declare: the fused operations, whose names are taken.
    """
    if isinstance(function, str):
        return importlib.import_module(f"{__name__}.fused") and None
    if isinstance(function, _np.ufunc):
        scipys: Any = vars(sys.modules.get("scipy.special", sys)).get(function.__name__)
        if scipys is function:
            importlib.import_module(f"{__name__}.ops.special")
        return _UFUNCS.get(function)
    if getattr(function, "__module__", None) == "numpy.linalg":
        importlib.import_module(f"{__name__}.linalg")
    return _FUNCTIONS.get(function)


def _check_declared(op: Any) -> None:
    from .check.declared import check_declared

    check_declared(op)


def _refusals() -> Any:
    from .ops import refusals

    return refusals


# The engine shows a tensor in a notebook without knowing who draws, meets functions without knowing who has them, and
# refuses operations without knowing their names.
_functions.notebook_svg, _functions.notebook_html, _functions.graph_text = _notebook_svg, _notebook_html, _graph_text
_functions.late, _functions.check_declared, _functions.refusals = _late, _check_declared, _refusals


def __dir__() -> list[str]:
    return __all__

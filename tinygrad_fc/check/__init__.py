"""Checks of gradients against numbers."""

from .gradcheck import gradcheck
from .numerical import eval_numerical_gradient, eval_numerical_gradient_array, grad_check_sparse, rel_error
from .plain import check_gradient, check_layer
from .report import Culprit, GradcheckReport, InputCheck

__all__ = [
    "Culprit", "GradcheckReport", "InputCheck", "check_gradient", "check_layer", "eval_numerical_gradient",
    "eval_numerical_gradient_array", "grad_check_sparse", "gradcheck", "rel_error",
]  # fmt: skip

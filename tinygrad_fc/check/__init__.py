"""Checks of gradients against numbers."""

from .gradcheck import GradcheckReport, InputCheck, gradcheck
from .numerical import eval_numerical_gradient, eval_numerical_gradient_array, grad_check_sparse, rel_error

__all__ = [
    "GradcheckReport", "InputCheck", "eval_numerical_gradient", "eval_numerical_gradient_array", "grad_check_sparse",
    "gradcheck", "rel_error",
]  # fmt: skip

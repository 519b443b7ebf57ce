"""Functions of functions: gradients, products with Jacobians and Hessians, whole Jacobians and Hessians, recomputing.

Each takes a function of tensors and stands on `tinygrad_fc.gradients`, so each can be applied to the result of another:
``grad(grad(f))``. The differentiated arguments may be tensors, arrays, numbers, or dicts, lists, tuples, named tuples
and dataclasses of them, however nested; what comes back has their structure. No ``grad`` attribute is written.
"""

from .checkpoint import checkpoint
from .derivatives import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

__all__ = ["checkpoint", "grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]

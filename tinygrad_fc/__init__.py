"""tinygrad_fc: reverse-mode automatic differentiation on NumPy."""
from .engine.tensor import Tensor, tensor
from .engine.op import op, fused_op
from .engine.backward import gradients
from .engine.node import no_grad
from . import ops

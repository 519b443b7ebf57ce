"""The modules of the course CS231n with its names and signatures, thin over the rest of the library.

Change the import lines of the course's notebooks from ``cs231n`` to ``tinygrad_fc.cs231n``, and their cells run as they
are. What the course draws from NumPy's global generator is drawn from it here too, in the same order.
"""

from . import (
    classifiers,
    data_utils,
    gradient_check,
    layer_utils,
    layers,
    neural_net,
    optim,
    solver,
    vis_utils,
)

__all__ = [
    "classifiers", "data_utils", "gradient_check", "layer_utils", "layers", "neural_net", "optim", "solver",
    "vis_utils",
]  # fmt: skip

"""``tg.linalg``: the functions of ``numpy.linalg`` that work on tensors, under the same names.

``np.linalg.name(t)`` and ``tg.linalg.name(t)`` are the same operation.
"""

import numpy as np

from .engine.dispatch import FUNCTIONS
from .ops import decompositions as _decompositions  # noqa: F401  # declares them, as the next
from .ops import norms as _norms  # noqa: F401  # and these
from .ops import systems as _systems  # noqa: F401  # and these

_found = {name: FUNCTIONS.get(getattr(np.linalg, name)) for name in np.linalg.__all__}
__all__ = sorted(name for name, function in _found.items() if function is not None)
globals().update({name: _found[name] for name in __all__})

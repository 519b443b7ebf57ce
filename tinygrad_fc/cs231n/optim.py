"""The update rules of the course CS231n: ``rule(w, dw, config) -> (next_w, config)``.

They are those of `tinygrad_fc.optim`, which keep the course's contract: the dictionary that is given gets its defaults
and the new state (``velocity``, ``cache``, ``m``, ``v``, ``t``) and is returned; left out, a new one is returned.
"""

from __future__ import annotations

from ..optim import adam, rmsprop, sgd, sgd_momentum

__all__ = ["adam", "rmsprop", "sgd", "sgd_momentum"]

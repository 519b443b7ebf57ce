"""What the tests of ties and edges share: a value and its gradient, and a comparison in which NaN equals NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_fc as tg


def run(f: Callable[..., Any], a: Any, g: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the value of f and its gradient, with faults of floating point ignored."""
    x = tg.tensor(np.array(a, dtype=float), requires_grad=True)
    with np.errstate(all="ignore"):
        out = f(x)
        out.backward(np.ones(out.shape) if g is None else np.array(g, dtype=float))
    assert x.grad is not None
    return out.data, x.grad


def assert_same(found: Any, expected: Any, tolerance: float = 1e-14) -> None:
    np.testing.assert_allclose(found, np.array(expected, dtype=float), rtol=tolerance, atol=0.0, strict=True)

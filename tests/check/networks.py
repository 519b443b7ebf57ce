"""Small networks of the course with a batch, for the tests of gradcheck."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_fc as tg


def course(dtype: Any = np.float64, **options: Any) -> Any:
    given = {"normalization": "batchnorm", "dropout_keep_ratio": 0.8, "reg": 0.1, "weight_scale": None} | options
    return tg.models.FullyConnectedNet([6, 5], input_dim=4, num_classes=3, dtype=dtype, seed=0, **given)


def batch(n: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, 4)), rng.integers(3, size=n)

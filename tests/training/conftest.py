"""Data for the tests of training."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def data():
    """Return three separable classes of 2-d points: 40 for training, 20 for validation."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    corners = np.array([[2.0, 0.0], [-2.0, 1.0], [0.0, -2.0]])
    points = corners[labels] + 0.5 * generator.standard_normal((60, 2))
    return {"X_train": points[:40], "y_train": labels[:40], "X_val": points[40:], "y_val": labels[40:]}

"""What the tests of the course's modules share. They seed NumPy's global generator, as the course's notebooks do."""

# ruff: noqa: NPY002 - the course draws from the global generator

import random

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def global_generators_are_restored():
    """Leave the global generators as they were for the tests of other folders."""
    state, python = np.random.get_state(), random.getstate()
    yield
    np.random.set_state(state)
    random.setstate(python)


@pytest.fixture(autouse=True)
def underflow_is_no_fault():
    """The softmax of scores that lie far apart has zeros, as it should; NumPy says nothing of that by default."""
    with np.errstate(under="ignore"):
        yield


@pytest.fixture(scope="session")
def images():
    """Data with the names of the course's CIFAR-10, few and easy: a class is one noisy picture, of 8 x 8 pixels.

    The pictures are as long, as vectors, as the course's are (3 * 32 * 32 pixels of about 60 either way), so that its
    learning rates and weight scales do the same here.
    """
    generator = np.random.default_rng(0)
    pictures = generator.normal(0.0, 160.0, (10, 3, 8, 8))
    data = {}
    for part, count in (("train", 200), ("val", 40), ("test", 40)):
        labels = generator.integers(10, size=count)
        data[f"X_{part}"] = pictures[labels] + generator.normal(0.0, 160.0, (count, 3, 8, 8))
        data[f"y_{part}"] = labels
    return data

"""The course's update rules: its configuration dictionaries and defaults."""

import numpy as np
import pytest

from tinygrad_fc import optim as library
from tinygrad_fc.cs231n import optim

DEFAULTS = {
    "sgd": {"learning_rate": 1e-2},
    "sgd_momentum": {"learning_rate": 1e-2, "momentum": 0.9},
    "rmsprop": {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8},
    "adam": {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
}
STATE = {"sgd": (), "sgd_momentum": ("velocity",), "rmsprop": ("cache",), "adam": ("m", "v")}


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_given_dictionary_is_filled_in_and_returned(name, rng):
    rule = getattr(optim, name)
    w, dw = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    config = {}
    next_w, returned = rule(w, dw, config)
    assert returned is config
    assert {key: config[key] for key in DEFAULTS[name]} == DEFAULTS[name]
    assert set(config) == {*DEFAULTS[name], *STATE[name], *(("t",) if name == "adam" else ())}
    assert all(config[key].shape == w.shape for key in STATE[name])
    assert not np.array_equal(next_w, w)


@pytest.mark.parametrize("name", DEFAULTS)
def test_without_a_dictionary_a_new_one_goes_on_from_step_to_step(name, rng):
    rule = getattr(optim, name)
    w, dw = rng.normal(size=4), rng.normal(size=4)
    first, config = rule(w, dw)
    second, again = rule(first, dw, config)
    assert again is config
    fresh, _ = rule(first, dw)
    assert np.array_equal(second, fresh) == (name == "sgd")
    if name == "adam":
        assert config["t"] == 2


@pytest.mark.parametrize("name", DEFAULTS)
def test_they_are_the_librarys(name):
    assert getattr(optim, name) is getattr(library, name)

"""Each rule against steps worked out with pencil and fractions: pure, and through the optimizer with either kernels."""

from fractions import Fraction

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.optim import RULES, Optimizer

# All begin at w = 1. Options, gradients, and w after each of them.
SGD = {"learning_rate": 1 / 4}
MOMENTUM = {**SGD, "momentum": 1 / 2}
RMSPROP = {**SGD, "decay_rate": 3 / 4, "epsilon": 1 / 2}
ADAM = {**SGD, "beta1": 1 / 2, "beta2": 3 / 4, "epsilon": 1 / 2}
ADAGRAD = {**SGD, "epsilon": 1 / 2}
ADADELTA = {"learning_rate": 1 / 2, "decay_rate": 1 / 25, "epsilon": 1.0}
LION = {**SGD, "beta1": 1 / 2, "beta2": 3 / 4}
DECAY = {"weight_decay": 1 / 2}

BY_HAND = [
    # 1 - 2/4 = 1/2; 1/2 + 1/4 = 3/4
    ("sgd", SGD, [2, -1], ["1/2", "3/4"]),
    # g = 2 + 1/2 = 5/2, 1 - 5/8 = 3/8; g = -1 + 3/16 = -13/16, 3/8 + 13/64 = 37/64
    ("sgd", SGD | DECAY, [2, -1], ["3/8", "37/64"]),
    # v = -1/2, 1 - 1/2 = 1/2; v = -1/4 + 1/2 = 1/4, 1/2 + 1/4 = 3/4
    ("sgd_momentum", MOMENTUM, [2, -2], ["1/2", "3/4"]),
    # g = 5/2, v = -5/8, 3/8; g = -2 + 3/16 = -29/16, v = -5/16 + 29/64 = 9/64, 24/64 + 9/64 = 33/64
    ("sgd_momentum", MOMENTUM | DECAY, [2, -2], ["3/8", "33/64"]),
    # v = -1/2, 1 - 1/4 - 1/2 = 1/4; v = -1/4 + 1/2 = 1/4, 1/4 + 1/8 + 1/2 = 7/8
    ("sgd_momentum", MOMENTUM | {"nesterov": True}, [2, -2], ["1/4", "7/8"]),
    ("sgd_momentum", MOMENTUM | {"nesterov": False}, [2, -2], ["1/2", "3/4"]),
    # g = 5/2, v = -5/8, 1 - 5/16 - 5/8 = 1/16; g = -2 + 1/32 = -63/32, v = -5/16 + 63/128 = 23/128,
    # 16/256 + 23/256 + 126/256 = 165/256
    ("sgd_momentum", MOMENTUM | DECAY | {"nesterov": True}, [2, -2], ["1/16", "165/256"]),
    # cache = 4/4 = 1, 1 - 1/4 * 2 / (3/2) = 2/3; cache = 3/4 + 1/4 = 1, 2/3 + 1/4 / (3/2) = 5/6
    ("rmsprop", RMSPROP, [2, -1], ["2/3", "5/6"]),
    # The decay makes these gradients the ones above: 3/2 + 1/2 = 2, -4/3 + 1/3 = -1
    ("rmsprop", RMSPROP | DECAY, ["3/2", "-4/3"], ["2/3", "5/6"]),
    # m = 1, v = 1, corrected 1 / (1/2) = 2 and 1 / (1/4) = 4, 1 - 1/4 * 2 / (2 + 1/2) = 4/5;
    # m = 1/2 - 1 = -1/2, v = 3/4 + 1 = 7/4, corrected -1/2 / (3/4) = -2/3 and 7/4 / (7/16) = 4,
    # 4/5 + 1/4 * 2/3 / (5/2) = 4/5 + 1/15 = 13/15
    ("adam", ADAM, [2, -2], ["4/5", "13/15"]),
    # 3/2 + 1/2 = 2, -12/5 + 2/5 = -2
    ("adam", ADAM | DECAY, ["3/2", "-12/5"], ["4/5", "13/15"]),
    ("adamw", ADAM, [2, -2], ["4/5", "13/15"]),
    # Adam's steps -1/5 and 1/15 after 1 - 1/4 * 1/2 = 7/8: 7/8 - 1/5 = 27/40; 189/320 + 1/15 = 631/960
    ("adamw", ADAM | DECAY, [2, -2], ["27/40", "631/960"]),
    # cache = 9, 1 - 1/4 * 3 / (7/2) = 11/14; cache = 9 + 16 = 25, 11/14 + 1/4 * 4 / (11/2) = 11/14 + 2/11 = 149/154
    ("adagrad", ADAGRAD, [3, -4], ["11/14", "149/154"]),
    # 5/2 + 1/2 = 3, -123/28 + 11/28 = -4
    ("adagrad", ADAGRAD | DECAY, ["5/2", "-123/28"], ["11/14", "149/154"]),
    # cache = 24/25 * 25 = 24, step = sqrt(0 + 1) / sqrt(24 + 1) * 5 = 1, 1 - 1/2 = 1/2, delta = 24/25;
    # cache = 24/25 + 24/25 * 49 = 48, step = sqrt(49/25) / sqrt(49) * -7 = -7/5, 1/2 + 7/10 = 6/5
    ("adadelta", ADADELTA, [5, -7], ["1/2", "6/5"]),
    # 9/2 + 1/2 = 5, -29/4 + 1/4 = -7
    ("adadelta", ADADELTA | DECAY, ["9/2", "-29/4"], ["1/2", "6/5"]),
    # m = 1, u = 2, 1 - 1/4 / (1/2) * 1 / (2 + 1/2) = 4/5;
    # m = 1/2 + 1/2 = 1, u = max(3/2, 1) = 3/2, 4/5 - 1/4 / (3/4) * 1 / (3/2 + 1/2) = 4/5 - 1/6 = 19/30
    ("adamax", ADAM, [2, 1], ["4/5", "19/30"]),
    # 3/2 + 1/2 = 2, 3/5 + 2/5 = 1
    ("adamax", ADAM | DECAY, ["3/2", "3/5"], ["4/5", "19/30"]),
    # Means 1/2 * 0 + 1/2 * 2 = 1, then with m = 1/2: 1/4 - 1/8 = 1/8, so down twice; then with m = 3/8 - 1/16 = 5/16:
    # 5/32 - 5/32 = 0, which has no sign.
    ("lion", LION, [2, "-1/4", "-5/16"], ["3/4", "1/2", "1/2"]),
    # 7/8 - 1/4 = 5/8; 35/64 - 16/64 = 19/64; 19/64 * 7/8 = 133/512
    ("lion", LION | DECAY, [2, "-1/4", "-5/16"], ["5/8", "19/64", "133/512"]),
]
CASES = pytest.mark.parametrize(
    ("name", "options", "gradients", "expected"), BY_HAND,
    ids=["-".join([case[0], *(key for key in ("weight_decay", "nesterov") if key in case[1])]) for case in BY_HAND],
)  # fmt: skip


def assert_is(w, expected, gradient, given):
    assert w == pytest.approx(float(Fraction(expected)), rel=1e-14)
    assert gradient.tolist() == [float(Fraction(given))] * gradient.size  # the user's array is as it was


@CASES
def test_pure_rules(name, options, gradients, expected):
    w, config = np.ones(3), dict(options)
    for given, value in zip(gradients, expected, strict=True):
        gradient = np.full(3, float(Fraction(given)))
        w, config = RULES[name].function(w, gradient, config)
        assert_is(w, value, gradient, given)
    assert options.items() <= config.items()


@pytest.mark.parametrize("policy", ["numpy", "numba"])
@CASES
def test_the_optimizer(name, options, gradients, expected, policy):
    tg.use_kernels(policy)  # which a fixture of all tests puts back
    w = tg.tensor(np.ones(3), requires_grad=True, name="w")
    optimizer = Optimizer([w], name, **options)
    for given, value in zip(gradients, expected, strict=True):
        gradient = np.full(3, float(Fraction(given)))
        optimizer.step({"w": gradient})
        assert_is(w.data, value, gradient, given)


@pytest.mark.parametrize("policy", ["numpy", "numba"])
def test_groups_clips_and_a_factor(policy):
    tg.use_kernels(policy)
    a, b = (tg.tensor(np.ones(2), requires_grad=True, name=name) for name in "ab")
    optimizer = Optimizer([a, b], "sgd", learning_rate=1 / 4, weight_decay=1 / 2, clip_norm=5.0, groups={"b": SGD})
    with pytest.raises(TypeError, match="a copy"):
        optimizer.groups["b"]["learning_rate"] = 100.0
    optimizer.factor = 1 / 2
    # The norm of (6, 0) and (8, 0) is 10, so the gradients are halved; the decay adds 1/2 * 1 to them, the rate is 1/8.
    optimizer.step({"a": np.array([6.0, 0.0]), "b": np.array([8.0, 0.0])})
    assert a.data.tolist() == [1 - (3 + 1 / 2) / 8, 1 - 1 / 16]
    assert b.data.tolist() == [1 - (4 + 1 / 2) / 8, 1 - 1 / 16]
    optimizer.clip_norm, optimizer.clip_value, optimizer.factor = None, 2.0, 4.0
    a.data, b.data = np.zeros(2), np.zeros(2)
    optimizer.step({"a": np.array([6.0, -1.0]), "b": np.array([-8.0, 0.0])})
    assert a.data.tolist() == [-2.0, 1.0]
    assert b.data.tolist() == [2.0, 0.0]

"""100 steps of each rule against the papers' formulas, one number at a time in Python floats.

Pure and in the optimizer, with weight decay, Nesterov's momentum, groups, clipping, a changing factor, either kernels.
"""

import math

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.optim import RULES, Optimizer

STEPS = 100


def sgd(w, g, s, o, t):
    return w - o["learning_rate"] * g


def sgd_momentum(w, g, s, o, t):
    before = s.get("velocity", 0.0)
    s["velocity"] = o["momentum"] * before - o["learning_rate"] * g
    if o.get("nesterov"):
        # The course's form of the same: back by the old velocity, and on by the new one, more.
        return w - o["momentum"] * before + (1 + o["momentum"]) * s["velocity"]
    return w + s["velocity"]


def rmsprop(w, g, s, o, t):
    s["cache"] = o["decay_rate"] * s.get("cache", 0.0) + (1 - o["decay_rate"]) * g**2
    return w - o["learning_rate"] * g / (math.sqrt(s["cache"]) + o["epsilon"])


def adam(w, g, s, o, t):
    s["m"] = o["beta1"] * s.get("m", 0.0) + (1 - o["beta1"]) * g
    s["v"] = o["beta2"] * s.get("v", 0.0) + (1 - o["beta2"]) * g**2
    m_hat, v_hat = s["m"] / (1 - o["beta1"] ** t), s["v"] / (1 - o["beta2"] ** t)
    return w - o["learning_rate"] * m_hat / (math.sqrt(v_hat) + o["epsilon"])


def adagrad(w, g, s, o, t):
    s["cache"] = s.get("cache", 0.0) + g**2
    return w - o["learning_rate"] * g / (math.sqrt(s["cache"]) + o["epsilon"])


def adadelta(w, g, s, o, t):
    rho = o["decay_rate"]
    s["cache"] = rho * s.get("cache", 0.0) + (1 - rho) * g**2
    step = -math.sqrt(s.get("delta", 0.0) + o["epsilon"]) / math.sqrt(s["cache"] + o["epsilon"]) * g
    s["delta"] = rho * s.get("delta", 0.0) + (1 - rho) * step**2
    return w + o["learning_rate"] * step


def adamax(w, g, s, o, t):
    s["m"] = o["beta1"] * s.get("m", 0.0) + (1 - o["beta1"]) * g
    s["u"] = max(o["beta2"] * s.get("u", 0.0), abs(g))
    return w - o["learning_rate"] / (1 - o["beta1"] ** t) * s["m"] / (s["u"] + o["epsilon"])


def lion(w, g, s, o, t):
    mean = o["beta1"] * s.get("m", 0.0) + (1 - o["beta1"]) * g
    s["m"] = o["beta2"] * s.get("m", 0.0) + (1 - o["beta2"]) * g
    return w - o["learning_rate"] * ((mean > 0) - (mean < 0))


BETAS = {"beta1": 0.8, "beta2": 0.95}
RULE = {
    "sgd": (sgd, {}),
    "sgd_momentum": (sgd_momentum, {"momentum": 0.8}),
    "nesterov": (sgd_momentum, {"momentum": 0.8, "nesterov": True}),
    "rmsprop": (rmsprop, {"decay_rate": 0.95, "epsilon": 1e-6}),
    "adam": (adam, {**BETAS, "epsilon": 1e-6}),
    "adamw": (adam, {**BETAS, "epsilon": 1e-6}),
    "adagrad": (adagrad, {"epsilon": 1e-6}),
    "adadelta": (adadelta, {"decay_rate": 0.9, "epsilon": 1e-4}),
    "adamax": (adamax, {**BETAS, "epsilon": 1e-6}),
    "lion": (lion, BETAS),
}
SHAPES = {"fc1.W": (3, 4), "fc1.b": (4,), "fc2.W": (4, 2), "fc2.b": (2,)}
GROUPS = {
    "fc1.*": {"learning_rate": 0.01, "weight_decay": 0.3},
    "*.b": {"weight_decay": 0.0},
    "fc2.b": {"learning_rate": 0.05},
}
CLIPS = [{}, {"clip_norm": 2.0}, {"clip_value": 0.4}]


def make_run(case, decay, grouped, clip):
    """Return the rule, the options of all and of each parameter, the first values, and gradients and factors."""
    rule = "sgd_momentum" if case == "nesterov" else case
    main = {"learning_rate": 0.02, **({"weight_decay": decay} if decay else {}), **RULE[case][1]}
    own = {name: dict(main) for name in SHAPES}
    if grouped:
        own["fc1.W"] |= {"learning_rate": 0.01, "weight_decay": 0.3}
        own["fc1.b"] |= {"learning_rate": 0.01, "weight_decay": 0.0}
        own["fc2.b"] |= {"learning_rate": 0.05, "weight_decay": 0.0}
    rng = np.random.default_rng(7)
    first = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
    # Norms from far below the clip to far above it.
    gradients = [
        {name: rng.standard_normal(shape) * 0.7 ** (t % 9) for name, shape in SHAPES.items()} for t in range(STEPS)
    ]
    factors = [1.0 - 0.5 * (t % 4 == 3) for t in range(STEPS)]
    return rule, main, own, first, gradients, factors


def clipped(gradients, clip_norm=None, clip_value=None):
    """Return the gradients as lists of floats, clipped as the papers say."""
    flat = {name: gradient.ravel().tolist() for name, gradient in gradients.items()}
    if clip_value is not None:
        return {name: [min(max(g, -clip_value), clip_value) for g in values] for name, values in flat.items()}
    norm = math.sqrt(math.fsum(g * g for values in flat.values() for g in values))
    if clip_norm is not None and norm > clip_norm:
        return {name: [g * (clip_norm / norm) for g in values] for name, values in flat.items()}
    return flat


def reference(case, run, clip):
    """Return the parameters after every step."""
    _, _, own, first, gradients, factors = run
    formula = RULE[case][0]
    w = {name: array.ravel().tolist() for name, array in first.items()}
    states = {name: [{} for _ in values] for name, values in w.items()}
    for t, (gradient, factor) in enumerate(zip(gradients, factors, strict=True), 1):
        given = clipped(gradient, **clip)
        for name, values in w.items():
            options = {**own[name], "learning_rate": own[name]["learning_rate"] * factor}
            decay = options.pop("weight_decay", 0.0)
            for i, g in enumerate(given[name]):
                if case in ("adamw", "lion"):
                    values[i] -= options["learning_rate"] * decay * values[i]
                else:
                    g = g + decay * values[i]
                values[i] = formula(values[i], g, states[name][i], options, t)
    return w, states


def assert_close(own, states, w, s, rule):
    for name, values in w.items():
        assert own[name].ravel().tolist() == pytest.approx(values, rel=1e-12, abs=1e-12), name
        for key in RULES[rule].state:
            expected = [state[key] for state in s[name]]
            assert states[name][key].ravel().tolist() == pytest.approx(expected, rel=1e-12, abs=1e-14), (name, key)


@pytest.mark.parametrize("clip", CLIPS, ids=["", "norm", "value"])
@pytest.mark.parametrize("grouped", [False, True], ids=["", "groups"])
@pytest.mark.parametrize("decay", [0.0, 0.1], ids=["", "decay"])
@pytest.mark.parametrize("case", RULE)
def test_optimizer(case, decay, grouped, clip):
    run = make_run(case, decay, grouped, clip)
    rule, main, _, first, gradients, factors = run
    expected = reference(case, run, clip)
    for policy in ("numpy", "numba"):
        tg.use_kernels(policy)
        parameters = {name: tg.tensor(array, requires_grad=True, name=name) for name, array in first.items()}
        optimizer = Optimizer(parameters, rule, groups=GROUPS if grouped else None, **clip, **main)
        for gradient, factor in zip(gradients, factors, strict=True):
            kept = {name: array.copy() for name, array in gradient.items()}
            optimizer.factor = factor
            optimizer.step(gradient)
            assert all(np.array_equal(gradient[name], kept[name]) for name in kept)
        states = optimizer.state_dict()["state"]
        assert_close({name: p.data for name, p in parameters.items()}, states, *expected, rule)


@pytest.mark.parametrize("decay", [0.0, 0.1], ids=["", "decay"])
@pytest.mark.parametrize("case", RULE)
def test_pure_rule(case, decay):
    run = make_run(case, decay, True, {})
    rule, _, own, first, gradients, _ = run
    run = (*run[:5], [1.0] * STEPS)
    w, configs = dict(first), {name: dict(options) for name, options in own.items()}
    for gradient in gradients:
        for name in w:
            w[name], returned = RULES[rule].function(w[name], gradient[name], configs[name])
            assert returned is configs[name]
    states = {name: {key: config[key] for key in RULES[rule].state} for name, config in configs.items()}
    assert_close(w, states, *reference(case, run, {}), rule)


def test_every_rule_has_a_reference():
    assert set(RULES) == set(RULE) - {"nesterov"}

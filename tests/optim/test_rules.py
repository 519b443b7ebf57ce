"""The update rules: the course's tables, the papers' formulas, dtypes, purity and bad input."""

import inspect
import math

import numpy as np
import pytest

from tinygrad_fc.optim import RULES, Option, Rule, adam, get_rule, rmsprop, sgd, sgd_momentum

PURE = {name: rule.function for name, rule in RULES.items()}


def rel_error(x, y):
    return np.max(np.abs(x - y) / np.maximum(1e-8, np.abs(x) + np.abs(y)))


def ramp(start, stop):
    return np.linspace(start, stop, 20).reshape(4, 5)


def printed(error, published):
    """Whether an error shows the same three digits as the published one."""
    return f"{error:.2e}" == f"{published:.2e}"


# The expected values of the course's notebook, printed to eight digits; the errors are those it prints beside them.


def test_momentum_gives_the_published_table():
    config = {"learning_rate": 1e-3, "velocity": ramp(0.6, 0.9)}
    next_w, _ = sgd_momentum(ramp(-0.4, 0.6), ramp(-0.6, 0.4), config)
    expected_w = [
        [0.1406, 0.20738947, 0.27417895, 0.34096842, 0.40775789],
        [0.47454737, 0.54133684, 0.60812632, 0.67491579, 0.74170526],
        [0.80849474, 0.87528421, 0.94207368, 1.00886316, 1.07565263],
        [1.14244211, 1.20923158, 1.27602105, 1.34281053, 1.4096],
    ]
    expected_velocity = [
        [0.5406, 0.55475789, 0.56891579, 0.58307368, 0.59723158],
        [0.61138947, 0.62554737, 0.63970526, 0.65386316, 0.66802105],
        [0.68217895, 0.69633684, 0.71049474, 0.72465263, 0.73881053],
        [0.75296842, 0.76712632, 0.78128421, 0.79544211, 0.8096],
    ]
    assert printed(rel_error(next_w, np.array(expected_w)), 8.882347033505819e-09)
    assert printed(rel_error(config["velocity"], np.array(expected_velocity)), 4.269287743278663e-09)


def test_rmsprop_gives_the_published_table():
    config = {"learning_rate": 1e-2, "cache": ramp(0.6, 0.9)}
    next_w, _ = rmsprop(ramp(-0.4, 0.6), ramp(-0.6, 0.4), config)
    expected_w = [
        [-0.39223849, -0.34037513, -0.28849239, -0.23659121, -0.18467247],
        [-0.132737, -0.08078555, -0.02881884, 0.02316247, 0.07515774],
        [0.12716641, 0.17918792, 0.23122175, 0.28326742, 0.33532447],
        [0.38739248, 0.43947102, 0.49155973, 0.54365823, 0.59576619],
    ]
    expected_cache = [
        [0.5976, 0.6126277, 0.6277108, 0.64284931, 0.65804321],
        [0.67329252, 0.68859723, 0.70395734, 0.71937285, 0.73484377],
        [0.75037008, 0.7659518, 0.78158892, 0.79728144, 0.81302936],
        [0.82883269, 0.84469141, 0.86060554, 0.87657507, 0.8926],
    ]
    assert printed(rel_error(next_w, np.array(expected_w)), 9.524687511038133e-08)
    assert printed(rel_error(config["cache"], np.array(expected_cache)), 2.6477955807156126e-09)


def test_adam_gives_the_published_table():
    config = {"learning_rate": 1e-2, "m": ramp(0.6, 0.9), "v": ramp(0.7, 0.5), "t": 5}
    next_w, _ = adam(ramp(-0.4, 0.6), ramp(-0.6, 0.4), config)
    expected_w = [
        [-0.40094747, -0.34836187, -0.29577703, -0.24319299, -0.19060977],
        [-0.1380274, -0.08544591, -0.03286534, 0.01971428, 0.0722929],
        [0.1248705, 0.17744702, 0.23002243, 0.28259667, 0.33516969],
        [0.38774145, 0.44031188, 0.49288093, 0.54544852, 0.59801459],
    ]
    expected_v = [
        [0.69966, 0.68908382, 0.67851319, 0.66794809, 0.65738853],
        [0.64683452, 0.63628604, 0.6257431, 0.61520571, 0.60467385],
        [0.59414753, 0.58362676, 0.57311152, 0.56260183, 0.55209767],
        [0.54159906, 0.53110598, 0.52061845, 0.51013645, 0.49966],
    ]
    expected_m = [
        [0.48, 0.49947368, 0.51894737, 0.53842105, 0.55789474],
        [0.57736842, 0.59684211, 0.61631579, 0.63578947, 0.65526316],
        [0.67473684, 0.69421053, 0.71368421, 0.73315789, 0.75263158],
        [0.77210526, 0.79157895, 0.81105263, 0.83052632, 0.85],
    ]
    assert printed(rel_error(next_w, np.array(expected_w)), 1.1395691798535431e-07)
    assert printed(rel_error(config["v"], np.array(expected_v)), 4.208314038113071e-09)
    assert printed(rel_error(config["m"], np.array(expected_m)), 4.214963193114416e-09)
    assert config["t"] == 6


def test_first_steps_by_hand():
    w, dw = np.array([1.0, -2.0]), np.array([0.5, -4.0])
    assert sgd(w, dw, {"learning_rate": 0.1})[0].tolist() == [0.95, -1.6]
    assert sgd_momentum(w, dw, {"learning_rate": 0.1})[0].tolist() == [0.95, -1.6]
    # From a zero cache, RMSProp divides by sqrt(1 - decay_rate) * |dw|.
    assert rmsprop(w, dw, {"learning_rate": 0.1, "decay_rate": 0.75})[0] == pytest.approx([0.8, -1.8], abs=1e-7)
    # From zero means, the corrections make Adam's first step the learning rate, whatever the gradient's size.
    assert adam(w, dw, {"learning_rate": 0.1})[0] == pytest.approx([0.9, -1.9], abs=1e-7)


# The formulas as the papers print them, one number at a time, with Python floats.


def paper_sgd(w, g, s, t):
    return w - 0.02 * g


def paper_momentum(w, g, s, t):
    s["velocity"] = 0.8 * s.get("velocity", 0.0) - 0.02 * g
    return w + s["velocity"]


def paper_rmsprop(w, g, s, t):
    s["cache"] = 0.95 * s.get("cache", 0.0) + 0.05 * g * g
    return w - 0.02 * g / (math.sqrt(s["cache"]) + 1e-6)


def paper_adam(w, g, s, t):
    s["m"] = 0.8 * s.get("m", 0.0) + 0.2 * g
    s["v"] = 0.95 * s.get("v", 0.0) + 0.05 * g * g
    return w - 0.02 * (s["m"] / (1 - 0.8**t)) / (math.sqrt(s["v"] / (1 - 0.95**t)) + 1e-6)


PAPERS = {
    "sgd": (paper_sgd, {}),
    "sgd_momentum": (paper_momentum, {"momentum": 0.8}),
    "rmsprop": (paper_rmsprop, {"decay_rate": 0.95, "epsilon": 1e-6}),
    "adam": (paper_adam, {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6}),
}


@pytest.mark.parametrize("name", PAPERS)
def test_follows_the_papers_formula_for_100_steps(name):
    paper, options = PAPERS[name]
    generator = np.random.default_rng(0)
    w = generator.standard_normal(6)
    config = {"learning_rate": 0.02, **options}
    reference, states = w.tolist(), [{} for _ in range(6)]
    for t in range(1, 101):
        dw = generator.standard_normal(6)
        w, config = PURE[name](w, dw, config)
        reference = [paper(*pair, state, t) for *pair, state in zip(reference, dw.tolist(), states, strict=True)]
    assert w == pytest.approx(np.array(reference), rel=1e-12, abs=1e-12)
    for key in RULES[name].state:
        assert config[key] == pytest.approx([state[key] for state in states], rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_dtype_of_the_parameter_is_kept(name, dtype):
    next_w, config = PURE[name](np.ones((2, 3), dtype), np.ones((2, 3), dtype), {"learning_rate": np.float64(0.1)})
    assert next_w.dtype == dtype
    assert [config[key].dtype for key in RULES[name].state] == [dtype] * len(RULES[name].state)
    # A gradient or state of another width is used in the parameter's own.
    mixed = dict.fromkeys(RULES[name].state, np.ones(3))
    assert PURE[name](np.ones(3, dtype), np.ones(3), mixed)[0].dtype == dtype
    assert all(mixed[key].dtype == dtype for key in RULES[name].state)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("shape", [(), (1,), (0, 4), (2, 3, 4)])
def test_any_shape(name, shape):
    next_w, config = PURE[name](np.full(shape, 2.0), np.ones(shape), None)
    assert isinstance(next_w, np.ndarray)
    assert next_w.shape == shape
    assert (next_w < 2.0).all()
    assert all(config[key].shape == shape for key in RULES[name].state)


@pytest.mark.parametrize("name", RULES)
def test_arrays_given_are_not_changed(name):
    rule = RULES[name]
    w, dw, *state = (np.array([0.5, 1.5, 2.5]) for _ in range(2 + len(rule.state)))
    for array in (w, dw, *state):
        array.flags.writeable = False
    config = dict(zip(rule.state, state, strict=True))
    next_w, returned = PURE[name](w, dw, config)
    assert returned is config
    assert not np.shares_memory(next_w, w)
    assert all(config[key] is not array for key, array in zip(rule.state, state, strict=True))


def test_config_is_filled_with_the_defaults_of_the_course_and_the_papers():
    filled = {}
    for name, rule in PURE.items():
        _, config = rule(np.zeros(2), np.zeros(2))
        filled[name] = {key: value for key, value in config.items() if key not in RULES[name].state}
    assert filled == {
        "sgd": {"learning_rate": 1e-2},
        "sgd_momentum": {"learning_rate": 1e-2, "momentum": 0.9},
        "rmsprop": {"learning_rate": 1e-2, "decay_rate": 0.99, "epsilon": 1e-8},
        "adam": {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "t": 1},
        "adamw": {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "t": 1},
        "adagrad": {"learning_rate": 1e-2, "epsilon": 1e-8},
        "adadelta": {"learning_rate": 1.0, "decay_rate": 0.95, "epsilon": 1e-6},
        "adamax": {"learning_rate": 2e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "t": 1},
        "lion": {"learning_rate": 1e-4, "beta1": 0.9, "beta2": 0.99},
    }


@pytest.mark.parametrize("name", RULES)
def test_in_place_form_changes_its_arrays_and_equals_the_pure_form(name):
    rule = RULES[name]
    generator = np.random.default_rng(1)
    w, dw = generator.standard_normal((2, 7)).astype(np.float32)
    state = tuple(generator.random(7, dtype=np.float32) for _ in rule.state)
    before = dict(zip(rule.state, state, strict=True)) | ({"t": 2} if rule.counted else {})
    expected, after = rule.apply(w, dw, before)
    config = rule.configure({"t": 3} if rule.counted else {})
    kept = dw.copy()
    assert rule.update(w, dw, state, config, np.empty_like(w)) is None
    assert np.array_equal(w, expected)
    assert np.array_equal(dw, kept)
    for key, array in zip(rule.state, state, strict=True):
        assert np.array_equal(array, after[key])


@pytest.mark.parametrize("name", RULES)
def test_zero_gradient_from_the_start_moves_nothing(name):
    w, config = np.array([1.0, -1.0], np.float32), {}
    for _ in range(3):
        w, config = PURE[name](w, np.zeros(2, np.float32), config)
    assert w.tolist() == [1.0, -1.0]


def test_dying_averages_may_underflow():
    config = {"m": np.full(2, 1e-44, np.float32), "v": np.full(2, 1e-44, np.float32), "t": 1000}
    with np.errstate(all="raise"):
        next_w, _ = adam(np.ones(2, np.float32), np.full(2, 1e-30, np.float32), config)
    assert np.isfinite(next_w).all()


BAD_OPTIONS = [
    ("sgd", {"learning_rate": float("nan")}, ValueError, r"sgd: learning_rate must lie in \[0, inf\), got nan"),
    ("sgd", {"learning_rate": float("inf")}, ValueError, "learning_rate"),
    ("sgd", {"learning_rate": -1e-3}, ValueError, "learning_rate"),
    ("sgd", {"learning_rate": "0.1"}, TypeError, r"learning_rate must be a number in .*'0.1' \(str\)"),
    ("sgd", {"learning_rate": None}, TypeError, "learning_rate"),
    ("sgd", {"learning_rate": True}, TypeError, "learning_rate"),
    ("sgd", {"momentum": 0.9}, ValueError, "unknown option 'momentum'; it takes learning_rate"),
    ("sgd", {"t": 3}, ValueError, "unknown option 't'"),
    ("adam", {"learning_rat": 0.1}, ValueError, "unknown option 'learning_rat'.*did you mean 'learning_rate'"),
    ("sgd_momentum", {"momentum": 1.0}, ValueError, r"momentum must lie in \[0, 1\)"),
    ("sgd_momentum", {"momentum": -0.1}, ValueError, "momentum"),
    ("rmsprop", {"decay_rate": 1.5}, ValueError, "decay_rate"),
    ("rmsprop", {"epsilon": 0.0}, ValueError, r"epsilon must lie in \(0, inf\)"),
    ("adam", {"beta1": 1}, ValueError, "beta1"),
    ("adam", {"beta2": float("nan")}, ValueError, "beta2"),
    ("adam", {"t": -1}, ValueError, "t must be at least 0"),
    ("adam", {"t": 1.5}, TypeError, "t must be an integer"),
]


@pytest.mark.parametrize(("name", "config", "error", "message"), BAD_OPTIONS)
def test_bad_options_are_named(name, config, error, message):
    given = dict(config)
    with pytest.raises(error, match=message):
        PURE[name](np.ones(2), np.ones(2), given)
    assert list(given) == list(config)


def test_options_become_python_numbers():
    # NumPy's float64 scalars would have every float32 product computed in float64.
    config = RULES["adam"].configure({"learning_rate": np.float64(0.1), "beta1": np.float32(0.5), "t": np.int64(3)})
    assert {key: type(value) for key, value in config.items()} == {
        "learning_rate": float,
        "beta1": float,
        "beta2": float,
        "epsilon": float,
        "t": int,
    }


def test_bad_arrays_are_named():
    with pytest.raises(ValueError, match=r"sgd: dw has shape \(3,\), but w has \(2,\)"):
        sgd(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match=r"adam: m has shape \(2, 1\), but w has \(2,\)"):
        adam(np.ones(2), np.ones(2), {"m": np.ones((2, 1))})
    with pytest.raises(TypeError, match="dw must hold real numbers, got dtype complex128"):
        sgd(np.ones(2), np.ones(2) * 1j)
    with pytest.raises(TypeError, match="w has dtype int64, but update rules need float32 or float64"):
        sgd(np.ones(2, int), np.ones(2))
    with pytest.raises(TypeError, match="w has dtype float16"):
        adam(np.ones(2, np.float16), np.ones(2, np.float16))


def test_get_rule():
    for name, rule in RULES.items():
        assert get_rule(name) is get_rule(PURE[name]) is get_rule(rule) is rule
    with pytest.raises(ValueError, match="unknown update rule 'addam'.*did you mean 'adam'.*rmsprop, adam"):
        get_rule("addam")
    with pytest.raises(ValueError, match="unknown update rule 'newton'; the rules are"):
        get_rule("newton")
    with pytest.raises(TypeError, match="declare a rule of your own"):
        get_rule(lambda w, dw, config: (w, config))


def test_a_rule_of_ones_own():
    def update(w, dw, state, config, scratch):
        np.sign(dw, scratch)
        scratch *= config["learning_rate"]
        w -= scratch

    sign = Rule("sign", {"learning_rate": Option(0.25)}, (), update)
    assert sign.apply(np.zeros(3), np.array([3.0, -0.5, 0.0]))[0].tolist() == [-0.25, 0.25, 0.0]
    assert get_rule(sign) is sign
    assert repr(sign) == "Rule('sign': learning_rate=0.25; state: none)"


@pytest.mark.parametrize("rule", PURE.values(), ids=list(PURE))
def test_pure_rules_cite_their_source(rule):
    assert list(inspect.signature(rule).parameters) == ["w", "dw", "config"]
    assert any(year in rule.__doc__ for year in ("1951", "1964", "2011", "2012", "2015", "2019", "2023"))

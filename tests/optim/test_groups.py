"""Parameters with options of their own, the factor of a schedule, and that how things lie in memory does not matter."""

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.optim import RULES, Optimizer, Option, Rule
from tinygrad_fc.optim import optimizer as optimizer_module

NAMES = ["fc1.W", "fc1.b", "fc2.W", "fc2.b"]
GROUPS = {"fc1.*": {"learning_rate": 0.01}, "*.b": {"weight_decay": 0.0, "learning_rate": 0.5}}


def make(names=NAMES, dtype=np.float64, seed=0, size=3):
    rng = np.random.default_rng(seed)
    return {name: tg.tensor(rng.standard_normal(size), dtype=dtype, requires_grad=True, name=name) for name in names}


def gradients_of(parameters, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(p.shape).astype(p.dtype) for name, p in parameters.items()}


def values(parameters):
    return {name: p.data.copy() for name, p in parameters.items()}


def assert_same(first, second):
    assert list(first) == list(second)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_later_patterns_win_option_by_option():
    optimizer = Optimizer(make(), "adamw", groups=GROUPS, learning_rate=0.1, weight_decay=0.2)
    rates = {name: optimizer.config_of(name)["learning_rate"] for name in NAMES}
    assert rates == {"fc1.W": 0.01, "fc1.b": 0.5, "fc2.W": 0.1, "fc2.b": 0.5}
    decays = {name: optimizer.config_of(name).get("weight_decay", 0.0) for name in NAMES}
    assert decays == {"fc1.W": 0.2, "fc1.b": 0.0, "fc2.W": 0.2, "fc2.b": 0.0}
    turned = Optimizer(make(), "adamw", groups=dict(reversed(GROUPS.items())), learning_rate=0.1, weight_decay=0.2)
    assert turned.config_of("fc1.b")["learning_rate"] == 0.01
    assert "weight_decay" not in turned.config_of("fc1.b")
    assert optimizer.config == {"learning_rate": 0.1, "weight_decay": 0.2, "beta1": 0.9, "beta2": 0.999,
                                "epsilon": 1e-8, "t": 0}  # fmt: skip
    with pytest.raises(ValueError, match="no parameter is called 'fc3.W'; there are fc1.W, fc1.b, fc2.W, fc2.b"):
        optimizer.config_of("fc3.W")


def test_a_name_without_a_wildcard_is_one_parameter():
    optimizer = Optimizer(make(), groups={"fc2.W": {"learning_rate": 0}})
    before = values(make())
    parameters = dict(zip(NAMES, optimizer._tensors, strict=True))
    optimizer.step(gradients_of(parameters, 1))
    assert [np.array_equal(parameters[n].data, before[n]) for n in NAMES] == [False, False, True, False]


@pytest.mark.parametrize("rule", RULES)
def test_a_group_is_as_an_optimizer_of_its_own(rule):
    together, apart = make(dtype=np.float32), make(dtype=np.float32)
    own = {"learning_rate": 0.2, "weight_decay": 0.1}
    one = Optimizer(together, rule, groups={"fc1.*": own}, learning_rate=0.05)
    two = [
        Optimizer({name: apart[name] for name in names}, rule, **options)
        for names, options in ((NAMES[:2], own), (NAMES[2:], {"learning_rate": 0.05}))
    ]
    for step in range(5):
        gradients = gradients_of(together, step)
        one.step(gradients)
        for optimizer, names in zip(two, (NAMES[:2], NAMES[2:]), strict=True):
            optimizer.step({name: gradients[name] for name in names})
    assert_same(values(together), values(apart))


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ({"fc3.*": {}}, ValueError, r"'fc3.\*' matches no parameter; there are fc1.W, fc1.b, fc2.W, fc2.b"),
        ({"FC1.*": {}}, ValueError, "matches no parameter"),
        ({"*.b": {"learning_rat": 1.0}}, ValueError, r"'\*.b': sgd_momentum: unknown option.*did you mean 'learning_r"),
        ({"*.b": {"momentum": 1.0}}, ValueError, r"groups: '\*.b': sgd_momentum: momentum must lie in \[0, 1\)"),
        ({"*.b": {"nesterov": 1}}, TypeError, r"nesterov must be True or False, got 1 \(int\)"),
        ({"*.b": {"weight_decay": "0"}}, TypeError, "weight_decay must be a number"),
        ({"*.b": 0.1}, TypeError, r"given 0.1 for '\*.b', expected a dict of options, as in \{"),
        ({3: {}}, TypeError, "groups: given {} for 3"),
        ([("*.b", {})], TypeError, "expected a dict of options by pattern"),
        ({"*.b": {"t": 3}}, ValueError, r"'\*.b' sets t, the steps done, which is one for all parameters"),
    ],
)
def test_groups_are_checked_before_anything_moves(groups, error, message):
    parameters = make()
    arrays = [p.data for p in parameters.values()]
    with pytest.raises(error, match=message):
        Optimizer(parameters, "sgd_momentum", groups=groups)
    assert all(p.data is array for p, array in zip(parameters.values(), arrays, strict=True))


def test_assigning_the_learning_rate_scales_those_of_the_groups():
    optimizer = Optimizer(make(), groups={"fc1.*": {"learning_rate": 0.1}, "fc2.b": {"weight_decay": 1.0}},
                          learning_rate=0.4)  # fmt: skip
    optimizer.learning_rate *= 0.5
    assert optimizer.config_of("fc1.W")["learning_rate"] == pytest.approx(0.05)
    assert optimizer.config_of("fc2.b") == {"learning_rate": 0.2, "weight_decay": 1.0}
    assert optimizer.groups == {"fc1.*": {"learning_rate": pytest.approx(0.05)}, "fc2.b": {"weight_decay": 1.0}}
    for bad in (-1.0, float("nan"), 1e308):  # the last one would give the group an infinite rate
        if bad == 1e308:
            optimizer.learning_rate = 1e-10
        before = optimizer.state_dict()
        with pytest.raises(ValueError, match="learning_rate must lie in"):
            optimizer.learning_rate = bad
        assert json.dumps(optimizer.groups) == json.dumps({g["pattern"]: g["options"] for g in before["groups"]})
        assert optimizer.config == before["config"]


def test_a_rate_of_zero_leaves_the_groups_theirs():
    optimizer = Optimizer(make(), groups={"fc1.*": {"learning_rate": 0.1}}, learning_rate=0.0)
    optimizer.learning_rate = 0.3
    assert optimizer.learning_rate == 0.3
    assert optimizer.config_of("fc1.W")["learning_rate"] == 0.1
    optimizer.learning_rate = 0.0
    assert optimizer.config_of("fc1.W")["learning_rate"] == 0.0


@pytest.mark.parametrize("rule", RULES)
def test_a_factor_is_as_other_rates_for_one_step(rule):
    first, second = make(), make()
    one = Optimizer(first, rule, groups={"fc1.*": {"learning_rate": 0.4}}, learning_rate=0.2, weight_decay=0.1)
    two = Optimizer(second, rule, groups={"fc1.*": {"learning_rate": 0.1}}, learning_rate=0.05, weight_decay=0.1)
    one.factor = 0.25
    for step in range(3):
        one.step(gradients_of(first, step))
        two.step(gradients_of(second, step))
    assert_same(values(first), values(second))
    assert (one.factor, one.learning_rate) == (0.25, 0.2)
    one.factor = 0
    before = values(first)
    one.step(gradients_of(first, 9))
    if rule != "sgd_momentum":  # whose velocity goes on
        assert_same(values(first), before)


def test_the_factor_is_checked():
    optimizer = Optimizer(make())
    for bad, error in [(-0.1, ValueError), (float("inf"), ValueError), (float("nan"), ValueError), ("1", TypeError)]:
        with pytest.raises(error, match=r"factor must .* \[0, inf\)"):
            optimizer.factor = bad
        assert optimizer.factor == 1.0
    still = Optimizer(make(), Rule("still", {}, (), lambda w, dw, state, config, scratch: None))
    with pytest.raises(ValueError, match="the rule still has no learning_rate to multiply"):
        still.factor = 0.5


def make_trained(rule="adamw", **changes):
    parameters = make(dtype=np.float32)
    options = {"groups": GROUPS, "learning_rate": 0.1, "weight_decay": 0.2, "clip_norm": 0.5} | changes
    optimizer = Optimizer(parameters, rule, **options)
    optimizer.factor = 0.5
    for step in range(3):
        optimizer.step(gradients_of(parameters, step))
    return parameters, optimizer


def assert_goes_on_alike(first, one, second, two):
    for step in range(3, 6):
        one.step(gradients_of(first, step))
        two.step(gradients_of(second, step))
    assert_same(values(first), values(second))
    for name in NAMES:
        assert one.config_of(name) == two.config_of(name)
    assert (one.factor, one.clip_norm, one.clip_value) == (two.factor, two.clip_norm, two.clip_value)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("changes", [{}, {"clip_norm": None, "clip_value": 0.3}], ids=["norm", "value"])
def test_a_state_brings_groups_factor_and_clips_with_it(rule, changes):
    first, one = make_trained(rule, **changes)
    second = make(dtype=np.float32)
    two = Optimizer(second, rule, groups={"fc2.W": {"learning_rate": 9.0}})
    for name in NAMES:
        second[name].data = first[name].data.copy()
    two.load_state_dict(one.state_dict())
    assert two.groups == one.groups
    assert_goes_on_alike(first, one, second, two)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_copies_keep_everything(duplicate):
    first, one = make_trained()
    second, two = duplicate((first, one))
    assert not np.shares_memory(first["fc1.W"].data, second["fc1.W"].data)
    assert_goes_on_alike(first, one, second, two)


def test_the_state_is_a_plain_tree():
    def assert_plain(tree):
        if type(tree) is dict:
            assert all(type(key) is str for key in tree)
            tree = list(tree.values())
        if type(tree) is list:
            for part in tree:
                assert_plain(part)
        else:
            assert tree is None or type(tree) in (int, float, bool, str, np.ndarray)

    for rule in RULES:
        assert_plain(make_trained(rule)[1].state_dict())
    nesterov = make_trained("sgd_momentum", nesterov=True)[1].state_dict()
    assert nesterov["config"]["nesterov"] is True
    assert_plain(nesterov)


def test_a_state_of_the_first_version_leaves_what_it_does_not_know():
    first, one = make_trained()
    saved = {key: value for key, value in one.state_dict().items() if key in ("rule", "config", "state")}
    second, two = make_trained()
    two.load_state_dict(saved)
    assert_goes_on_alike(first, one, second, two)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"groups": [{"pattern": "fc9.*", "options": {}}]}, ValueError, "'fc9.*' matches no parameter"),
        ({"groups": [{"pattern": "fc1.*", "options": {"beta1": 2.0}}]}, ValueError, "beta1"),
        ({"groups": [{"names": "fc1.*"}]}, ValueError, "expected a list of 'pattern', each once, and 'options'"),
        ({"groups": 3}, ValueError, "state_dict: groups: given 3"),
        ({"groups": [{"pattern": "*.b", "options": {}}] * 2}, ValueError, "'pattern', each once, and 'options'"),
        ({"config": None}, ValueError, "state_dict: config: given NoneType, expected a mapping"),
        ({"state": [1, 2]}, ValueError, "state_dict: given list, expected a mapping"),
        ({"state": dict.fromkeys(NAMES, 3)}, ValueError, "state_dict: fc1.W: given int, expected a mapping"),
        ({"factor": -1.0}, ValueError, "state_dict: factor"),
        ({"clip_norm": 0.0}, ValueError, "state_dict: clip_norm"),
        ({"clip_value": 1.0}, ValueError, "state_dict: given both clip_norm and clip_value"),
        ({"groups": [], "state": {}}, ValueError, "missing parameter"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, message):
    first, one = make_trained()
    second, two = make_trained()
    with pytest.raises(error, match=message):
        one.load_state_dict({**one.state_dict(), **change})
    assert_goes_on_alike(first, one, second, two)


def test_a_state_that_is_no_mapping_is_refused():
    with pytest.raises(ValueError, match="state_dict: given NoneType, expected a mapping, as state_dict"):
        Optimizer(make()).load_state_dict(None)


def test_a_rule_that_sees_to_its_own_decay_is_left_alone():
    def update(w, dw, state, config, scratch):
        w -= config["learning_rate"] * (dw + config["weight_decay"])

    rule = Rule("mine", {"learning_rate": Option(1.0), "weight_decay": Option(0.5)}, (), update)
    assert rule.apply(np.full(2, 4.0), np.ones(2))[0].tolist() == [2.5, 2.5]
    w = tg.tensor(np.full(2, 4.0), requires_grad=True, name="w")
    Optimizer([w], rule).step({"w": np.ones(2)})
    assert w.data.tolist() == [2.5, 2.5]
    with pytest.raises(ValueError, match="bare: decoupled decay is a share of the learning rate"):
        Rule("bare", {}, (), update, decoupled=True)


def test_repr_of_a_switch():
    optimizer = Optimizer(make(), "sgd_momentum", nesterov=True)
    assert "momentum=0.9, nesterov=True;" in repr(optimizer)


SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=6)


@given(SIZES, st.integers(1, 50), st.integers(0, 50), st.sampled_from(sorted(RULES)), st.randoms(use_true_random=False))
def test_neither_blocks_nor_order_nor_gathering_matter(sizes, block, small, rule, random):
    """Bit for bit: the same run with blocks of any size, gathered or not, and the parameters in another order."""
    options = {"learning_rate": 0.05, "weight_decay": 0.1, "clip_value": 0.8}
    options["groups"] = {"p0": {"learning_rate": 0.5}, "p[02468]": {"weight_decay": 0.0}}
    first, second = ({f"p{i}": make(["p"], size=size)["p"] for i, size in enumerate(sizes)} for _ in range(2))
    shuffled = list(second.items())
    random.shuffle(shuffled)
    one = Optimizer(first, rule, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizer_module, "BLOCK", block)
        patch.setattr(optimizer_module, "SMALL", small)
        two = Optimizer(shuffled, rule, **options)
    for step in range(3):
        gradients = gradients_of(first, step)
        one.step(gradients)
        two.step(dict(sorted(gradients.items(), key=lambda item: random.random())))
    assert_same(values(first), values(second))

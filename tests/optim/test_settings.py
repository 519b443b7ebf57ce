"""What of an optimizer can be changed between steps is changed, and what would change nothing is refused."""

import copy
import json
import pickle

import numpy as np
import pytest
from replay_twins import World, assert_twins

import tinygrad_fc as tg
from tinygrad_fc.optim import RULES, Optimizer

CHANGES = {"learning_rate": 0.03, "weight_decay": 0.25}  # of all other options: halfway to where they begin


def parameters():
    rng = np.random.default_rng(0)
    return {name: tg.tensor(rng.standard_normal(5), requires_grad=True, name=name) for name in ("a.W", "a.b", "c.W")}


def stepped(optimizer, tensors, count, seed):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        optimizer.step({name: rng.standard_normal(tensor.shape) for name, tensor in tensors.items()})
    return {name: tensor.data.tobytes() for name, tensor in tensors.items()}


@pytest.mark.parametrize("name", RULES)
def test_a_changed_option_counts_from_the_next_step_on_as_if_it_came_from_a_state(name):
    rule, groups = RULES[name], {"*.b": {"weight_decay": 0.5}}
    for option in ["weight_decay", *rule.options]:
        default = (rule.options | rule.extras)[option].default
        value = CHANGES.get(option, default / 2)
        first, second = parameters(), parameters()
        one, two = (Optimizer(tensors, name, groups=groups) for tensors in (first, second))
        assert stepped(one, first, 2, seed=1) == stepped(two, second, 2, seed=1)
        one.configure(**{option: value})
        state = two.state_dict()
        state["config"][option] = value
        two.load_state_dict(state)
        assert one.config == two.config
        assert one.config[option] == value
        assert one.config_of("a.b")["weight_decay"] == 0.5
        assert stepped(one, first, 3, seed=2) == stepped(two, second, 3, seed=2)


def test_the_learning_rates_of_groups_follow_in_proportion():
    optimizer = Optimizer(parameters(), "adam", learning_rate=0.1, groups={"*.b": {"learning_rate": 0.5}})
    optimizer.configure(learning_rate=0.2, beta1=0.5)
    assert optimizer.config_of("a.b") == {**optimizer.config, "learning_rate": 1.0}
    assert optimizer.learning_rate == 0.2
    optimizer.configure(learning_rate=0.0)
    optimizer.configure(learning_rate=0.3)
    assert optimizer.config_of("a.b")["learning_rate"] == 0.0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"beta1": 0.5, "beta2": 1.5}, ValueError, r"adam: beta2 must lie in \[0, 1\), got 1.5"),
        ({"learning_rate": 0.5, "beta": 0.5}, ValueError, "adam: unknown option 'beta' \\(did you mean 'beta"),
        ({"beta1": 0.5, "epsilon": "small"}, TypeError, "adam: epsilon must be a number"),
        ({"weight_decay": 0.1, "momentum": 0.9}, ValueError, "adam: unknown option 'momentum'"),
        ({"learning_rate": 1e308}, ValueError, "groups: '.*.b': adam: learning_rate must lie in"),
    ],
)
def test_of_several_options_all_change_or_none(options, error, words):
    optimizer = Optimizer(parameters(), "adam", learning_rate=0.1, groups={"*.b": {"learning_rate": 10.0}})
    before = optimizer.state_dict()
    with pytest.raises(error, match=words):
        optimizer.configure(**options)
    assert str(optimizer.state_dict()) == str(before)


def test_a_compiled_step_takes_what_changes():
    def beta(world):
        world.optimizer.configure(beta1=0.5, learning_rate=0.05)

    def decay(world):
        world.optimizer.configure(weight_decay=0.1)

    world = assert_twins(changes={4: beta, 7: decay}, count=12)
    assert isinstance(world, World)
    assert world.step.replays >= 8


def changed(copied):
    """Return all that would change a dictionary."""
    return [
        lambda: copied.__setitem__("beta1", 0.5),
        lambda: copied.__delitem__("beta1"),
        lambda: copied.__ior__({"beta1": 0.5}),
        lambda: copied.update(beta1=0.5),
        lambda: copied.setdefault("weight_decay", 0.5),
        lambda: copied.pop("beta1"),
        copied.popitem,
        copied.clear,
    ]


def test_writing_into_a_copy_of_the_settings_is_refused_with_the_cure():
    optimizer = Optimizer(parameters(), "adam", groups={"*.b": {"beta1": 0.8}})
    cures = [
        (optimizer.config, "optimizer.configure(weight_decay=0.1) changes them"),
        (optimizer.config_of("a.b"), "optimizer.configure(weight_decay=0.1) changes them"),
        (optimizer.groups, "groups are set where the optimizer is made"),
        (optimizer.groups["*.b"], "groups are set where the optimizer is made"),
    ]
    for copied, cure in cures:
        before = dict(copied)
        for change in changed(copied):
            with pytest.raises(TypeError) as error:
                change()
            assert "writing into it would change nothing there" in str(error.value)
            assert cure in str(error.value)
        assert copied == before
        for own in (dict(copied), copied.copy(), copy.copy(copied), copy.deepcopy(copied), copied | {},
                    pickle.loads(pickle.dumps(copied)), json.loads(json.dumps(copied))):  # fmt: skip
            assert type(own) is dict
            assert own == before
            own["beta1"] = 0.1
    state = optimizer.state_dict()
    state["config"]["beta1"] = state["groups"][0]["options"]["beta1"] = 0.5  # a state may be changed, and loaded
    optimizer.load_state_dict(state)
    assert optimizer.config_of("a.b")["beta1"] == 0.5


def test_attributes_called_as_hyperparameters_are_refused_with_the_cure():
    optimizer = Optimizer(parameters(), "adam")
    for name, cure in {
        "lr": "configure(learning_rate=...)", "betas": "configure(beta1=...)", "beta1": "configure(beta1=...)",
        "weight_decay": "configure(weight_decay=...)", "rule": "make a new one for another rule",
    }.items():  # fmt: skip
        with pytest.raises(AttributeError) as error:
            setattr(optimizer, name, 0.5)
        assert cure in str(error.value)
    assert optimizer.rule is RULES["adam"]
    optimizer.momentum = 0.9  # adam has none: it is the caller's own
    with pytest.raises(AttributeError, match="configure"):
        Optimizer(parameters(), "sgd_momentum").momentum = 0.9


def test_a_class_may_have_such_names_of_its_own():
    class Wrapped(Optimizer):
        lr = 1.0

    optimizer = Wrapped(parameters(), "sgd")
    optimizer.lr = 2.0
    assert optimizer.lr == 2.0

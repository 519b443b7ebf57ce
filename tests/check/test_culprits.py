"""The culprit: of faults planted in random rules of networks, each is found, named, placed and described."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from faults import KINDS, WORDS, Plant, effect, rules_on
from planted import M, N, P, wrong_at

import tinygrad_fc as tg
from tinygrad_fc.check.culprit import Local

pytestmark = pytest.mark.usefixtures("registry")

TRIALS = 100
MODULES = {
    "affine": r"FullyConnectedNet\.fc\d", "matmul": r"FullyConnectedNet\.fc\d",
    "batch_norm": r"FullyConnectedNet\.norm\d", "relu": r"FullyConnectedNet\.relu\d",
    "leaky_relu": r"FullyConnectedNet\.act\d", "softmax_loss": "criterion",
    "dropout": r"FullyConnectedNet\.dropout\d", "l2_penalty": "",
}  # fmt: skip


def network(rng: np.random.Generator, fused: bool) -> Any:
    return tg.models.FullyConnectedNet(
        [20] * 5, input_dim=15, num_classes=10, reg=0.1, weight_scale=0.3, dtype=np.float64, seed=rng, fused=fused,
        normalization="batchnorm", dropout_keep_ratio=0.8, activation=("relu", "leaky_relu")[int(rng.integers(2))],
    )  # fmt: skip


def planted(rng: np.random.Generator, patch: pytest.MonkeyPatch, kind: str, fused: bool) -> tuple[Plant, Any, Any, Any]:
    """Plant a fault where it changes a gradient: return it, the network and its batch."""
    while True:
        model, n = network(rng, fused), int(rng.integers(5, 11))
        X, y = rng.normal(size=(n, 15)), rng.integers(10, size=n)
        states = [(generator, generator.bit_generator.state) for _, generator in model.named_generators()]

        def slopes(model: Any = model, X: Any = X, y: Any = y, states: Any = states) -> tuple[Any, list[np.ndarray]]:
            for generator, state in states:
                generator.bit_generator.state = state
            loss = model.loss_tensor(X, y)
            return tg.Graph(loss), [d.data for d in tg.gradients(loss, list(model.parameters()))]

        graph, before = slopes()
        rules = rules_on(graph)
        operation, key = rules[int(rng.integers(len(rules)))]
        with patch.context() as first:
            Plant(first, operation, key, kind, pick := int(rng.integers(1000)))
            changed = effect(before, slopes()[1]) > 5e-5
        if changed:
            for generator, state in states:
                generator.bit_generator.state = state
            return Plant(patch, operation, key, kind, pick), model, X, y


@pytest.mark.parametrize("trial", range(TRIALS))
def test_a_fault_in_a_random_rule(trial: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, kind = np.random.default_rng(trial), KINDS[trial % len(KINDS)]
    # One net of ten is made of primitives; a sum can only be lost by rules that sum over the batch themselves, and a
    # mean can only stand where the result has another number of elements than the argument.
    with np.errstate(under="ignore"):
        fault, model, X, y = planted(rng, monkeypatch, kind, fused=trial % 10 != trial // 10 or kind == "lost sum")
        report = tg.gradcheck(model, X, y)
        line = f"{__file__}:{_line_before()}"
    assert not report
    assert report.verdict == "wrong"
    first = report.culprits[0]
    assert (first.op, first.argument) == (fault.op.name, fault.key)
    assert {(culprit.op, culprit.argument) for culprit in report.culprits} == {(fault.op.name, fault.key)}
    words = [WORDS[kind].format(n=n) for n in fault.counts or {0}]
    assert any(word in first.looks_like for word in words), first
    assert first.line == line
    assert re.fullmatch(MODULES.get(first.op, "criterion|FullyConnectedNet.*|"), first.module), first
    assert first.module.count("FullyConnectedNet") <= 1
    assert first.analytic != pytest.approx(first.numerical, rel=5e-5, abs=1e-12)
    assert [c.distance for c in report.culprits] == sorted(c.distance for c in report.culprits)
    assert str(first) in str(report)


def _line_before() -> int:
    """Return the number of the line before the one that calls this."""
    import sys

    return sys._getframe(1).f_lineno - 1


# ---- what surrounds the faults


def test_a_right_network_has_no_culprit() -> None:
    rng = np.random.default_rng(0)
    model = network(rng, fused=True)
    report = tg.gradcheck(model, rng.normal(size=(6, 15)), rng.integers(10, size=6))
    assert report, report
    assert report.culprits == ()
    assert report.note == ""


def test_several_faults_are_all_reported_the_nearest_to_the_loss_first() -> None:
    first = tg.op(lambda x: x * 3.0, name="early_wrong", x=lambda g: g * 2.0)
    second = tg.op(lambda x, y: x * y, name="middle_wrong", x=lambda g, y: g * y, y=lambda g, x: -g * x)
    third = tg.op(lambda x: np.exp(x), name="late_wrong", x=lambda g, out: g * out * 1.5)
    report = tg.gradcheck(lambda x, y: np.sin(third(second(first(x), np.cos(y)))).sum(), M, M + 0.5)
    found = [(c.op, c.argument) for c in report.culprits]
    assert found == [("late_wrong", "x"), ("middle_wrong", "y"), ("early_wrong", "x")]
    distances = [c.distance for c in report.culprits]
    assert distances == sorted(set(distances))
    assert [c.looks_like.split(":")[0] for c in report.culprits] == ["a factor", "a sign", "a factor"]
    assert report.culprits[0].looks_like == "a factor: 1.5 times the gradient"
    assert str(report).count("Wrong: ") == 3


def test_both_arguments_of_one_operation() -> None:
    twice = tg.op(lambda x, y: x * y, name="both_wrong", x=lambda g, y: g * y * 2.0, y=lambda g, x: 0.0 * g * x)
    report = tg.gradcheck(lambda x, y: twice(x, y).sum(), M, M + 1.0)
    assert [(c.argument, c.looks_like.split(":")[0]) for c in report.culprits] == [("x", "a factor"), ("y", "zeros")]
    assert report.culprits[0].shape == (3, 4)


class Mine(tg.nn.Module):
    """A module of the user's own, whose forward uses a wrong operation."""

    def __init__(self, operation: Any) -> None:
        self.fc = tg.nn.Linear(4, 3, dtype=np.float64, seed=0)
        self.operation = operation

    def forward(self, x: Any) -> Any:
        return self.operation(self.fc(x))


def test_the_line_is_that_of_the_users_forward() -> None:
    wrong = tg.op(lambda x: x * x, name="square_wrong", x=lambda g, x: 3.0 * g * x)
    report = tg.gradcheck(Mine(wrong), tg.tensor(M))
    (culprit,) = report.culprits
    assert culprit.module == "Mine"
    file, number = culprit.line.rsplit(":", 1)
    assert file == __file__
    assert number == str(Mine.forward.__code__.co_firstlineno + 1)


def test_a_part_that_leaves_the_tape_is_no_operations_fault() -> None:
    report = tg.gradcheck(lambda x, w: (np.tanh(x @ w).detach() * (x @ w)).sum(), M, N)
    assert report.verdict == "wrong"
    assert report.culprits == ()
    assert "Either a part of f leaves the tape (detach(), " in report.note
    assert report.note in str(report)

    def through_data(x: Any) -> Any:
        return (x * tg.tensor(np.exp(x.data))).sum()

    assert "leaves the tape" in tg.gradcheck(through_data, M).note


def test_what_is_wrong_at_second_order_says_where_to_look() -> None:
    # The rule is right where it stands, and cannot be recorded: what it reads of x is a number by then.
    frozen = tg.op(lambda x: x**3, name="frozen_cube", x=lambda g, x: g * (3.0 * getattr(x, "_array", x) ** 2))
    assert tg.gradcheck(frozen, P)
    report = tg.gradcheck(frozen, P, order=2)
    assert not report
    assert report.culprits == ()
    assert "first derivatives only" in report.note


def test_one_wrong_element_of_a_large_argument() -> None:
    at = (37, 61)
    fault = wrong_at(at, (100, 100), 0.5)
    x = np.random.default_rng(1).normal(size=(100, 100))
    report = tg.gradcheck(lambda x: fault(np.sin(x)).sum(), x)
    (culprit,) = report.culprits
    assert culprit.worst == at
    assert culprit.looks_like == "wrong at 1 of 10000 coordinates"
    assert culprit.analytic - culprit.numerical != pytest.approx(0.0, abs=1e-3)
    assert report.inputs[0].worst == at


def test_an_operation_of_many_arguments_names_the_one() -> None:
    joined = tg.op(
        lambda *parts: np.concatenate(parts), name="joined_wrong",
        parts=lambda g, index: g[3 * index : 3 * index + 3] * (2.0 if index == 1 else 1.0),
    )  # fmt: skip
    report = tg.gradcheck(lambda x, y, z: np.exp(joined(x, y, z)).sum(), M, M + 1, M - 1)
    assert [c.argument for c in report.culprits] == ["parts[1]"]
    assert [check.verdict for check in report.inputs] == ["correct", "wrong", "correct"]


def test_right_rules_are_not_accused() -> None:
    """Each operation of the library, at its samples, is a problem of its own in which no rule is at fault."""
    from tinygrad_fc.engine.op import REGISTRY

    accused = []
    for name, operation in sorted(REGISTRY.items()):
        if not operation.proved or operation.samples is None or not operation.differentiable:
            continue
        args = operation.samples(np.random.default_rng(0))[0]
        args, kwargs = args if len(args) == 2 and isinstance(args[1], dict) else (args, {})
        try:
            local = Local(operation, operation.bind(tuple(args), dict(kwargs)), np.random.default_rng(1))
        except (TypeError, ValueError):
            continue  # an operation of this sample's whole numbers, say
        accused += [f"{name}, {local.name(place)}" for place in local.places if local.fault(place) is not None]
    assert accused == []

"""Where no difference of the function can tell, the rules of its operations do: none is passed unseen, none accused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg

pytestmark = pytest.mark.usefixtures("registry")

B = np.array([0.5, -0.7])
SPREAD = np.array([1e-4, 1e4])
Function = Callable[..., Any]


def square(rule: Function) -> Any:
    return tg.op(lambda x: x * x, name="square_to_check", x=rule)


def beside_large(b: Function) -> Function:
    """Return a function in which the part of `b` is lost in the rounding of the other's."""
    return lambda x, y: (x * x).sum() + b(y).sum()


DROWNED: dict[str, tuple[Function, tuple[np.ndarray, ...], dict[str, Any]]] = {
    "beside a large input": (beside_large, (np.array([1e8]), B), {}),
    "beside a huge input": (beside_large, (np.array([1e30]), B), {}),
    "beside a mean": (lambda s: lambda p, q: np.mean((p - 1e5) ** 2) + s(q).sum(),
                      (np.array([3e5, 4e5]), np.array([0.05, 0.07])), {}),
    "a large offset": (lambda s: lambda y: 1e8 + s(y).sum(), (B,), {}),
    "within one input": (lambda s: lambda x: s(x).sum(), (SPREAD,), {}),
    "within one input, exhaustive": (lambda s: lambda x: s(x).sum(), (SPREAD,), {"exhaustive": True}),
    "within one input, a vector": (lambda s: lambda x: s(x), (SPREAD,), {}),
    "within one input, far apart": (lambda s: lambda x: s(x).sum(), (np.array([1e-6, 1e6]),), {}),
}  # fmt: skip
RULES: dict[str, Function] = {
    "half too large": lambda g, x: g * 2.0 * x * np.where(abs(x) < 1.0, 1.5, 1.0),
    "zero": lambda g, x: g * 2.0 * x * (abs(x) >= 1.0),
    "a sign": lambda g, x: g * 2.0 * x * np.where(abs(x) < 1.0, -1.0, 1.0),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", DROWNED)
def test_a_wrong_rule_that_drowns_is_found(case: str, rule: str) -> None:
    function, inputs, options = DROWNED[case]
    report = tg.gradcheck(function(square(RULES[rule])), *inputs, **options)
    assert report.inputs[-1].verdict == "wrong", report
    assert [c.op for c in report.culprits] == ["square_to_check"]
    assert all(check.verdict == "correct" for check in report.inputs[:-1])


@pytest.mark.parametrize("case", DROWNED)
def test_a_right_rule_that_drowns_holds(case: str) -> None:
    function, inputs, options = DROWNED[case]
    report = tg.gradcheck(function(square(lambda g, x: g * 2.0 * x)), *inputs, **options)
    assert report.verdict == "correct", report


@pytest.mark.parametrize(
    "part",
    [
        lambda y: y * y.detach(), lambda y: y * tg.tensor(y.data, requires_grad=True), lambda y: y * y.data,
        lambda y: (y * 2.0).at[0].set(float(y.data[1]) ** 2),
    ],
    ids=["detach", "a leaf of its own", "data", "a number"],
)  # fmt: skip
def test_what_leaves_the_tape_and_drowns_is_not_called_right(part: Function) -> None:
    report = tg.gradcheck(beside_large(part), np.array([1e8]), B)
    assert not report
    right, drowned = report.inputs
    assert right.verdict == "correct"
    assert drowned.verdict == "wrong" or "too noisy here to tell" in drowned.note  # the complex step may see it


@pytest.mark.parametrize(
    ("part", "slope"), [(lambda b: b * b, lambda b: 2.0 * b), (np.sin, np.cos), (np.exp, np.exp)],
    ids=["square", "sin", "exp"],
)  # fmt: skip
def test_a_gradient_by_hand_that_drowns_is_not_called_right(part: Function, slope: Function) -> None:
    """One operation, whose result is one number: there is nothing smaller to look at."""
    x = (np.array([1e8]), B)
    for k in (1.0, 1.5, -1.0):
        report = tg.check_gradient(
            lambda a, b: (a * a).sum() + part(b).sum(), lambda a, b, k=k: (2.0 * a, k * slope(b)), x
        )
        right, drowned = report.inputs
        assert right.verdict == "correct"
        assert drowned.verdict in (("correct", "inconclusive") if k == 1.0 else ("wrong", "inconclusive"))


def test_a_bend_in_the_noise_is_no_kink() -> None:
    wrong = square(RULES["half too large"])
    report = tg.gradcheck(lambda x: wrong(x).sum(), np.array([1e-3, 1e3]))
    assert report.verdict == "wrong", report
    assert [c.looks_like for c in report.culprits] == ["wrong at 1 of 2 coordinates"]
    assert tg.gradcheck(lambda x: (x**2 * 1.0).sum(), np.array([1e-3, 1e3])).verdict == "correct"


@pytest.mark.parametrize("seed", range(4))
def test_a_stock_model_as_it_is_drawn_holds(seed: int) -> None:
    """Units stand so close to their kinks that differences of the loss have little room."""
    model = tg.models.FullyConnectedNet(
        [20, 20, 20], input_dim=30, num_classes=5, dtype=np.float64, seed=seed
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    report = tg.gradcheck(model, rng.normal(size=(8, 30)), rng.integers(5, size=8))
    assert report.verdict == "correct", report
    notes = {check.note for check in report.inputs} - {""}
    assert notes <= {"no difference can tell here, but the rule of each operation on its way is right by itself"}


def test_a_fault_in_a_stock_model_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinygrad_fc.fused.affine import affine_relu

    operation, place = affine_relu.op, affine_relu.op.differentiable.index("b")
    rule, pulls = operation.pulls[place], [*operation.pulls]
    pulls[place] = lambda g, saved: 1.001 * rule(g, saved)
    monkeypatch.setattr(operation, "pulls", tuple(pulls))
    monkeypatch.setattr(operation, "pair", False)
    model = tg.models.FullyConnectedNet([20, 20, 20], input_dim=30, num_classes=5, dtype=np.float64, seed=0)
    rng = np.random.default_rng(0)
    report = tg.gradcheck(model, rng.normal(size=(8, 30)), rng.integers(5, size=8))
    assert {check.name for check in report.inputs if check.verdict == "wrong"} == {"fc1.b", "fc2.b", "fc3.b"}
    assert {culprit.argument for culprit in report.culprits} == {"b"}


def test_culprits_are_found_through_a_checkpoint_and_in_it() -> None:
    wrong = square(lambda g, x: 3.0 * g * x)
    for f in (lambda x: tg.checkpoint(np.sin)(wrong(x)).sum(), lambda x: tg.checkpoint(lambda t: wrong(t) + 1.0)(x)):
        report = tg.gradcheck(f, B)
        assert report.verdict == "wrong"
        assert [(c.op, c.looks_like) for c in report.culprits] == [
            ("square_to_check", "a factor: 1.5 times the gradient")
        ]

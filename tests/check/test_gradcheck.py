"""gradcheck: right gradients hold, planted faults are found with place and values, and nothing is left changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from planted import M, N, P, leaf, squares, wrong_at

import tinygrad_fc as tg

pytestmark = pytest.mark.usefixtures("registry")


# ---- what is right holds


RIGHT: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "a scalar result": (squares, (M,)),
    "an array result": (lambda x: np.exp(x), (M,)),
    "two inputs": (lambda x, w: np.tanh(x @ w), (M, N)),
    "broadcasting": (lambda x, b: x * b + b, (M, P)),
    "a zero-dimensional input": (lambda x: np.sin(x) * x, (np.array(0.7),)),
    "a Python number": (lambda x: x**3, (0.7,)),
    "a list": (lambda x: 1.0 / x, ([0.5, -2.0],)),
    "no element": (lambda x: x.sum(), (np.ones((0, 3)),)),
    "one element in three axes": (lambda x: x * x, (np.full((1, 1, 1), 0.3),)),
    "an index and a repeat": (lambda x: x[np.array([0, 0, 2])] ** 2, (M,)),
    "a layer and a loss": (
        lambda x, w, b: tg.softmax_loss(tg.affine_relu(x, w, b), np.array([0, 1, 1])),
        (M, N, np.array([0.3, -0.2])),
    ),
    "an argument without influence": (lambda x, y: np.exp(y), (M, P)),
    "zero everywhere": (lambda x: x * 0.0, (M,)),
    "tiny gradients": (lambda x: x * x * 1e-20, (M,)),
    "large inputs": (lambda x: np.log(x), (np.array([30.0, 50.0]),)),
}


@pytest.mark.parametrize("case", RIGHT)
def test_right_gradients_hold(case: str) -> None:
    f, inputs = RIGHT[case]
    report = tg.gradcheck(f, *inputs)
    assert report
    assert [check.shape for check in report.inputs] == [np.shape(x) for x in inputs]
    assert [check.checked for check in report.inputs] == [np.size(x) for x in inputs]
    assert all(check.error < 1e-9 for check in report.inputs)
    assert [check.verdict for check in report.inputs] == ["correct"] * len(inputs)
    # Each says how far its number may be off, and that is little: a difference that can tell nothing is no verdict.
    assert all(check.error <= check.bound + 1e-6 and check.bound < 1e-4 for check in report.inputs)
    assert report.culprits == ()
    assert [check.name for check in report.inputs] == [f"input {k}" for k in range(len(inputs))]


@pytest.mark.parametrize("layout", ["transposed", "every second", "read-only", "reversed"])
def test_arrays_of_any_layout(layout: str) -> None:
    x = {
        "transposed": M.T, "every second": M[:, ::2], "read-only": np.broadcast_to(P, (3, 4)), "reversed": M[::-1],
    }[layout]  # fmt: skip
    before = x.copy()
    report = tg.gradcheck(lambda x: np.sin(x) * x, x)
    assert report
    assert report.inputs[0].checked == x.size
    assert np.array_equal(x, before)


def test_a_tensor_whose_array_is_not_contiguous() -> None:
    x = leaf(M)
    x.data = np.asfortranarray(M)
    assert tg.gradcheck(lambda x: np.exp(x), x)
    x.data = np.repeat(M, 2, axis=1)[:, ::2]
    assert tg.gradcheck(lambda x: np.exp(x), x)
    assert np.array_equal(x.data, M)


def test_the_parameters_of_a_network_by_name() -> None:
    model = tg.models.TwoLayerNet(4, 5, 3, weight_scale=0.5, reg=0.1, seed=0)
    labels = np.array([0, 2, 1])
    before = {name: value.copy() for name, value in model.params.items()}
    report = tg.gradcheck(lambda *_: model.loss_tensor(M, labels), *model.parameters())
    assert report
    assert [(check.name, check.shape) for check in report.inputs] == [
        ("fc1.W", (4, 5)), ("fc1.b", (5,)), ("fc2.W", (5, 3)), ("fc2.b", (3,)),
    ]  # fmt: skip
    assert max(check.error for check in report.inputs) < 1e-8
    assert all(np.array_equal(model.params[name], value) for name, value in before.items())


def test_float32_is_checked_in_float64() -> None:
    x = M.astype(np.float32)
    (check,) = tg.gradcheck(lambda x: np.exp(x).sum(), x).inputs
    assert (check.dtype, check.verdict) == ("float32", "correct")
    assert check.error < 1e-9  # float32's own rounding would be 1e-7 and more
    assert check.rounding is not None
    assert 1e-9 < check.rounding < 1e-6  # and this is it: the gradient in float32 beside that in float64
    both = tg.gradcheck(lambda x, y: x * y, M, x)
    assert both
    assert [c.dtype for c in both.inputs] == ["float64", "float32"]
    assert both.inputs[0].rounding is None


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 1e6, 1e12])
def test_steps_go_with_the_size_of_the_input(scale: float) -> None:
    x, moves = scale * np.array([0.25, -0.5]), []

    def f(x_: Any) -> Any:
        moves.append(np.max(np.abs(x_.data - x)) / scale)
        return np.exp(x_ * (1.0 / scale))

    (check,) = tg.gradcheck(f, x).inputs
    assert check.verdict == "correct"
    assert 1e-3 < max(moves) < 1e-1  # the first step, beside the input's size
    assert check.step in check.steps
    assert 0.0 < min(check.steps) <= max(check.steps) < 1e-1  # relative as well
    assert len(check.steps) == len(check.errors)


def test_the_tolerance_may_be_chosen() -> None:
    half = tg.op(lambda x: x * x, name="square_wrong", x=lambda g, x: g * x)
    assert not tg.gradcheck(half, P)
    loose = tg.gradcheck(half, P, tolerance=0.6)
    assert loose
    assert loose.inputs[0].error == pytest.approx(0.5)


# ---- kinks


@pytest.mark.parametrize("distance", [1e-3, 1e-4, 5e-5, 3e-5, 1e-5, 2e-6])
@pytest.mark.parametrize("f", [tg.relu, np.abs, lambda x: np.maximum(x, 0.0), lambda x: tg.clip(x, 0.0, 5.0)])
def test_a_kink_nearby_is_no_fault(f: Callable[..., Any], distance: float) -> None:
    report = tg.gradcheck(f, np.array([distance, -distance, 1.0]))
    assert report, report


def test_a_kink_nearby_hides_no_fault() -> None:
    late = tg.op(lambda x: np.maximum(x, 0.0), name="late_relu", x=lambda g, x: g * (x > -1e-4))
    assert tg.gradcheck(late, np.array([2e-5, 1.0]))
    (check,) = tg.gradcheck(late, np.array([1.0, -2e-5])).inputs
    assert not check.holds
    assert check.worst == (1,)
    assert check.analytic > 0.4
    assert check.numerical == pytest.approx(0.0, abs=1e-9)


def test_a_kink_in_float32() -> None:
    assert tg.gradcheck(tg.relu, np.array([3e-3, -3e-3, 1.0], np.float32))


# ---- what is wrong is found


def test_a_wrong_rule_is_found_with_its_place_and_values() -> None:
    x, y = leaf(M, "weights"), leaf(P)
    report = tg.gradcheck(lambda x, y: wrong_at((1, 2), (3, 4), 0.25)(x).sum() + squares(y), x, y)
    assert not report
    wrong, right = report.inputs
    assert (wrong.name, wrong.holds, wrong.worst) == ("weights", False, (1, 2))
    assert wrong.numerical == pytest.approx(2 * M[1, 2], rel=1e-8)
    assert wrong.analytic == pytest.approx(2 * M[1, 2] + 0.25, rel=1e-12)
    largest = max(np.abs(2 * M).max(), abs(wrong.analytic))
    assert wrong.error == pytest.approx(0.25 / largest, rel=1e-6)
    assert (right.name, right.holds) == ("input 1", True)


@pytest.mark.parametrize(
    ("rule", "analytic"),
    [
        (lambda g, x: g * x, 0.5), (lambda g, x: -2 * g * x, -1.0), (lambda g, x: 0 * g * x, 0.0),
        (lambda g, x: g * x * (2 + 2e-5), 1.00001), (lambda g, x: g * 2 * x + np.nan, np.nan),
    ],
    ids=["half", "sign", "zero", "a little", "nan"],
)  # fmt: skip
def test_faults_of_every_kind(rule: Callable[..., Any], analytic: float) -> None:
    square = tg.op(lambda x: x * x, name="square_wrong", x=rule)
    (check,) = tg.gradcheck(square, leaf(np.array(0.5))).inputs
    assert not check.holds
    assert check.analytic == pytest.approx(analytic, nan_ok=True)
    assert check.verdict == "wrong"
    assert check.numerical == pytest.approx(1.0, rel=1e-9)
    assert check.worst == ()


def test_a_fault_below_the_tolerance_holds() -> None:
    almost = tg.op(lambda x: x * x, name="square_almost", x=lambda g, x: g * x * (2 + 2e-7))
    report = tg.gradcheck(almost, np.array(0.5))
    assert report
    assert report.inputs[0].error == pytest.approx(1e-7, rel=1e-2)
    assert not tg.gradcheck(almost, np.array(0.5), tolerance=1e-8)


def test_a_wrong_argument_of_a_fused_operation() -> None:
    def kernel(x: Any, w: Any) -> tuple[Any, Any]:
        return np.maximum(x @ w, 0.0), x @ w > 0

    layer = tg.fused_op(
        kernel, compose=lambda x, w: tg.relu(x @ w), name="layer_with_a_fault", leaves=("mask",),
        x=lambda g, w, mask: (g * mask) @ w.T,
        w=lambda g, x, mask: x.T @ g,  # forgets the mask
    )  # fmt: skip
    report = tg.gradcheck(layer, leaf(M, "x"), leaf(N, "w"))
    assert [(check.name, check.holds) for check in report.inputs] == [("x", True), ("w", False)]
    assert report.inputs[1].analytic != pytest.approx(report.inputs[1].numerical, rel=1e-3)


def test_a_lost_dependence() -> None:
    (check,) = tg.gradcheck(lambda x: (x * x.detach()).sum(), M).inputs
    assert not check.holds
    assert check.analytic == pytest.approx(M[check.worst])
    assert check.numerical == pytest.approx(2 * M[check.worst])
    # Where nothing at all flows back to one of two inputs, its analytic gradient is zero.
    second = tg.gradcheck(lambda x, y: x * y.detach(), P, 2 * P).inputs[1]
    assert not second.holds
    assert second.analytic == 0.0


def test_a_fault_in_float32() -> None:
    late = tg.op(lambda x: x * x, name="square_wrong", x=lambda g, x: g * x * 2.1)
    (check,) = tg.gradcheck(late, leaf(np.array([0.5, 2.0], np.float32))).inputs
    assert not check.holds
    assert check.error == pytest.approx(0.1 / 2.1, rel=0.05)


def test_a_gradient_that_is_not_finite_in_a_large_input() -> None:
    bad = tg.op(lambda x: x * x, name="square_nan", x=lambda g, x: np.where(x == x.max(), np.nan, 2 * g * x))
    x = np.linspace(0.5, 1.5, 600).reshape(20, 30)
    x[7, 11] = 2.0
    (check,) = tg.gradcheck(bad, x).inputs
    assert (check.verdict, check.worst) == ("wrong", (7, 11))
    assert np.isnan(check.analytic)
    assert check.note == "a gradient is not finite"


def test_a_generator_in_a_closure_draws_the_same_each_time() -> None:
    generator = np.random.default_rng(3)
    before = generator.bit_generator.state
    report = tg.gradcheck(lambda x: x * generator.uniform(0.5, 1.5), M)
    assert report.verdict == "correct"
    assert generator.bit_generator.state == before
    assert not tg.gradcheck(lambda x: x.detach() * generator.uniform(0.5, 1.5) + x, M)


def test_a_function_that_is_none_is_found() -> None:
    """A function that answers differently each time has no derivative: the report says so, it does not hang."""
    answers = iter(range(10_000))
    report = tg.gradcheck(lambda x: x * (1.0 + next(answers) % 7), M)
    assert not report
    assert report.verdict == "inconclusive"
    assert "not deterministic" in report.note
    assert report.evaluations < 20


def test_without_inputs_what_the_function_closes_over_is_checked() -> None:
    w, b, unused = leaf(M, "w"), leaf(P, "b"), leaf(N, "unused")
    constant = tg.tensor(P)
    report = tg.gradcheck(lambda: np.tanh(w * constant + b).sum())
    assert report
    assert sorted(check.name for check in report.inputs) == ["b", "w"]
    assert not unused.name.startswith("input")
    fault = wrong_at((2, 1), (3, 4), 0.5)
    wrong = tg.gradcheck(lambda: fault(w).sum() + squares(b))
    assert {check.name: check.verdict for check in wrong.inputs} == {"w": "wrong", "b": "correct"}


# ---- some coordinates; the generator


def test_samples_bounds_what_is_checked() -> None:
    report = tg.gradcheck(lambda x, w: np.tanh(x @ w), M, N, samples=9)
    assert [check.checked for check in report.inputs] == [9, 8]
    assert tg.gradcheck(squares, M, samples=12).inputs[0].checked == 12
    (one,) = tg.gradcheck(squares, np.array(2.0), samples=1).inputs
    assert (one.checked, one.worst) == (1, ())


def test_samples_are_drawn_by_the_seed() -> None:
    f = wrong_at((1, 2), (3, 4), 1.0)
    reports = [tg.gradcheck(f, M, samples=4, seed=seed) for seed in range(12)]
    found = [not report for report in reports]
    assert any(found)
    assert not all(found)
    assert {report.inputs[0].worst for report, hit in zip(reports, found, strict=True) if hit} == {(1, 2)}


def test_one_seed_gives_one_report() -> None:
    def text(seed: int, samples: int | None) -> str:
        return str(tg.gradcheck(lambda x: np.exp(x) * x, M, samples=samples, seed=seed))

    for samples in (None, 3):
        assert text(1, samples) == text(1, samples)
        assert text(1, samples) != text(2, samples)  # other weights of the elements


def test_nothing_is_drawn_from_the_global_generator() -> None:
    np.random.seed(5)  # noqa: NPY002  # the global generator is what the test is about
    expected = np.random.random()  # noqa: NPY002  # as above
    np.random.seed(5)  # noqa: NPY002  # as above
    tg.gradcheck(np.exp, M, samples=3)
    assert np.random.random() == expected  # noqa: NPY002  # as above

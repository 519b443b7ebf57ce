"""What gradcheck reaches: networks and closures, second order, large inputs, and the state that it puts back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from networks import batch, course
from planted import M, N, P, leaf, squares, wrong_at

import tinygrad_fc as tg

pytestmark = pytest.mark.usefixtures("registry")


# ---- networks and closures


PATHS = [
    "fc1.W", "fc1.b", "norm1.gamma", "norm1.beta", "fc2.W", "fc2.b", "norm2.gamma", "norm2.beta", "fc3.W", "fc3.b",
]  # fmt: skip


def test_a_network_with_its_batch() -> None:
    model = course()
    report = tg.gradcheck(model, *batch())
    assert report, report
    assert [check.name for check in report.inputs] == PATHS
    assert [check.shape for check in report.inputs] == [p.shape for p in model.parameters()]
    assert report.verdict == "correct"


def test_a_closure_over_a_network() -> None:
    model, (X, y) = course(), batch()
    for f in (lambda: model.loss_tensor(X, y), lambda *_: model.loss_tensor(X, y)):
        report = tg.gradcheck(f)
        assert report, report
        assert [check.name for check in report.inputs] == PATHS
    some = tg.gradcheck(lambda *_: model.loss_tensor(X, y), model.fc2.W, model.norm1.beta)
    assert [check.name for check in some.inputs] == ["fc2.W", "norm1.beta"]


def test_frozen_parameters_are_left_out() -> None:
    model, (X, y) = course(), batch()
    model.fc1.W.requires_grad = False
    for report in (tg.gradcheck(model, X, y), tg.gradcheck(lambda: model.loss_tensor(X, y))):
        assert report, report
        assert [check.name for check in report.inputs] == PATHS[1:]
    for p in model.parameters():
        p.requires_grad = False
    with pytest.raises(ValueError, match=r"parameters of \w+ are all frozen.*Set p\.requires_grad = True"):
        tg.gradcheck(model, X, y)
    with pytest.raises(ValueError, match=r"frozen: set p\.requires_grad = True"):
        tg.gradcheck(lambda: model.loss_tensor(X, y))


def test_a_module_of_layers_and_its_input() -> None:
    x = leaf(M, "x")
    report = tg.gradcheck(tg.nn.Linear(4, 3, dtype=np.float64, seed=0), x)
    assert report
    assert report.inputs[-1].name == "x"
    assert len(report.inputs) == 3


def test_a_wrong_rule_in_a_network_shows_at_the_parameters_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinygrad_fc.fused.batch_norm import batch_norm

    operation = batch_norm.op
    gamma = operation.differentiable.index("gamma")
    rule = operation.pulls[gamma]
    pulls = [*operation.pulls]
    pulls[gamma] = lambda sums, saved: 1.5 * rule(sums, saved)
    monkeypatch.setattr(operation, "pulls", tuple(pulls))
    report = tg.gradcheck(course(), *batch())
    assert [check.name for check in report.inputs if check.verdict == "wrong"] == ["norm1.gamma", "norm2.gamma"]
    assert [culprit.module for culprit in report.culprits] == ["FullyConnectedNet.norm2", "FullyConnectedNet.norm1"]


# ---- second order


@pytest.mark.parametrize("fused", [True, False])
def test_second_order_of_a_network(fused: bool) -> None:
    report = tg.gradcheck(course(fused=fused), *batch(), order=2)
    assert report, report
    assert [check.name for check in report.inputs] == PATHS


def test_second_order_of_functions() -> None:
    for f in (lambda x: np.exp(x) * x, lambda x: 1.0 / (x * x + 1.0), lambda x: np.sin(x @ x.T)):
        assert tg.gradcheck(f, M, order=2)
    report = tg.gradcheck(lambda x, w: np.tanh(x @ w), M, N, order=2)
    assert report
    assert len(report.inputs) == 2


def test_a_rule_that_is_right_once_and_wrong_twice() -> None:
    frozen = tg.op(lambda x: x**3, name="frozen_cube", x=lambda g, x: g * (3.0 * getattr(x, "_array", x) ** 2))
    assert tg.gradcheck(frozen, P)
    assert tg.gradcheck(frozen, P, order=2).verdict == "wrong"


def test_a_rule_that_is_wrong_is_wrong_at_both_orders() -> None:
    wrong = tg.op(lambda x: x**3, name="cube_wrong", x=lambda g, x: g * 2.0 * x * x)
    for order in (1, 2):
        assert tg.gradcheck(lambda x: np.sin(wrong(x)), P, order=order).verdict == "wrong"
    # Alone, the rule is a function as good as another: order=2 holds it against its own differences.
    assert not tg.gradcheck(wrong, P)
    assert tg.gradcheck(wrong, P, order=2)


def test_a_composition_that_is_another_function_is_wrong_at_second_order() -> None:
    def kernel(x: Any) -> tuple[Any, Any]:
        return x**3, 3.0 * x * x

    bad = tg.fused_op(
        kernel, compose=lambda x: x * x * x * 1.1, name="cube_composed", leaves=("slope",), x=lambda g, slope: g * slope
    )
    assert tg.gradcheck(bad, P)
    report = tg.gradcheck(bad, P, order=2)
    assert report.verdict == "wrong"
    assert "a compose that is not the function of its kernel" in str(report)
    (check,) = report.inputs
    assert check.analytic == pytest.approx(1.1 * check.numerical, rel=1e-9)


# ---- large inputs


def test_a_million_parameters_in_under_fifty_evaluations() -> None:
    model = tg.models.FullyConnectedNet(
        [600, 600, 300], input_dim=1000, num_classes=10, reg=0.01, weight_scale=None, dtype=np.float64, seed=0
    )
    assert sum(p.size for p in model.parameters()) > 1_000_000
    rng = np.random.default_rng(0)
    report = tg.gradcheck(model, rng.normal(size=(4, 1000)), rng.integers(10, size=4))
    assert report, report
    assert report.evaluations < 50
    assert all(check.directions and not check.checked for check in report.inputs)


@pytest.mark.parametrize("normalization", ["batchnorm", "layernorm"])
def test_so_with_normalization_and_dropout(normalization: str) -> None:
    """The biases before a normalization have no influence: they come along with the others."""
    model = tg.models.FullyConnectedNet(
        [60, 50], input_dim=80, num_classes=10, weight_scale=None, dtype=np.float64, seed=0,
        normalization=normalization, dropout_keep_ratio=0.8,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    report = tg.gradcheck(model, rng.normal(size=(6, 80)), rng.integers(10, size=6))
    assert report, report
    assert report.evaluations < 50
    assert all(check.directions and not check.checked for check in report.inputs)


def test_a_gradient_of_zero_that_should_not_be_is_seen_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    pulls = tg.affine.op.pulls
    monkeypatch.setattr(tg.affine.op, "pulls", (*pulls[:2], lambda g, saved: 0.0 * pulls[2](g, saved)))
    model = tg.models.FullyConnectedNet([60, 50], 80, 10, weight_scale=None, dtype=np.float64, seed=0)
    rng = np.random.default_rng(0)
    report = tg.gradcheck(model, rng.normal(size=(6, 80)), rng.integers(10, size=6))
    assert {check.name for check in report.inputs if check.verdict == "wrong"} == {"fc3.b"}  # fc1, fc2: affine_relu
    assert [(culprit.op, culprit.argument, culprit.looks_like) for culprit in report.culprits] == [
        ("affine", "b", "zeros")
    ]


@pytest.mark.parametrize("at", [(0, 0), (99, 99), (37, 2), (50, 50)])
@pytest.mark.parametrize("by", [1.0, 1e-2])
def test_one_wrong_element_of_ten_thousand(at: tuple[int, int], by: float) -> None:
    fault = wrong_at(at, (100, 100), by)
    x = np.random.default_rng(2).normal(size=(100, 100))
    report = tg.gradcheck(lambda x: (fault(x) * 0.3).sum(), x)
    (check,) = report.inputs
    assert (check.verdict, check.worst) == ("wrong", at)
    assert check.numerical == pytest.approx(0.6 * x[at], rel=1e-6)
    assert check.analytic == pytest.approx(0.6 * x[at] + 0.3 * by, rel=1e-9)
    assert report.evaluations < 600


def test_one_wrong_element_in_one_of_several_large_inputs() -> None:
    fault = wrong_at((7, 31), (40, 60), 0.5)
    rng = np.random.default_rng(3)
    x, y, z = rng.normal(size=(40, 60)), rng.normal(size=(40, 60)), rng.normal(size=(50, 50))
    report = tg.gradcheck(lambda x, y, z: (np.sin(x) * fault(y)).sum() + np.exp(z).sum(), x, y, z)
    assert [check.verdict for check in report.inputs] == ["correct", "wrong", "correct"]
    assert report.inputs[1].worst == (7, 31)


def test_faults_that_cancel_are_found() -> None:
    """Of faults whose sum is nothing, a direction of all ones would see nothing."""
    fault = np.zeros((60, 60))
    fault[3, 4], fault[50, 2] = 0.5, -0.5
    bad = tg.op(lambda x: x * x, name="square_shifted", x=lambda g, x: g * (2 * x + fault))
    (check,) = tg.gradcheck(bad, np.random.default_rng(4).normal(size=(60, 60))).inputs
    assert check.verdict == "wrong"
    assert check.worst in [(3, 4), (50, 2)]


def test_exhaustive_moves_every_coordinate() -> None:
    x = np.random.default_rng(5).normal(size=(20, 20))
    assert tg.gradcheck(squares, x).inputs[0].checked == 0
    report = tg.gradcheck(squares, x, exhaustive=True)
    assert report
    assert (report.inputs[0].checked, report.inputs[0].directions) == (400, 0)
    assert report.evaluations > 800
    assert tg.gradcheck(squares, x, samples=25).inputs[0].checked == 25


def test_the_bar_counts_coordinates(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(6).normal(size=(20, 20))
    tg.gradcheck(squares, x, exhaustive=True, progress=True)
    assert "400/400" in capsys.readouterr().err
    tg.gradcheck(squares, x, exhaustive=True, progress=False)
    assert capsys.readouterr().err == ""


# ---- state


def snapshot(model: Any) -> list[bytes]:
    states = [repr(generator.bit_generator.state).encode() for _, generator in model.named_generators()]
    arrays = [array.tobytes() for _, array in model.named_buffers()] + [p.data.tobytes() for p in model.parameters()]
    return [*states, *arrays, repr([m.training for _, m in model.named_modules()]).encode()]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_is_left_as_it_was(training: bool, dtype: Any) -> None:
    model, (X, y) = course(dtype), batch()
    model.train(training)
    model.loss_tensor(X, y)  # running statistics of their own
    before, arrays = snapshot(model), [p.data for p in model.parameters()]
    assert len(before) > 15
    report = tg.gradcheck(model, X, y)
    assert report, report
    assert snapshot(model) == before
    assert all(p.data is array for p, array in zip(model.parameters(), arrays, strict=True))
    # The same graphs go on as before: the leaves have their own dtype.
    model.loss_tensor(X, y).backward()
    assert {p.grad.dtype for p in model.parameters()} == {np.dtype(dtype)}


@pytest.mark.parametrize("call", [1, 2, 3, 5, 40])
def test_a_network_is_left_as_it_was_when_its_function_raises(call: int) -> None:
    model, (X, y), calls = course(np.float32), batch(), []

    def f() -> Any:
        loss = model.loss_tensor(X, y)
        calls.append(1)
        model.eval()
        if len(calls) == call:
            raise KeyError("mine")
        return loss

    before, dtypes = snapshot(model), [p.node.dtype for p in model.parameters()]
    with pytest.raises(KeyError, match="mine"):
        tg.gradcheck(f)
    assert snapshot(model) == before
    assert [p.node.dtype for p in model.parameters()] == dtypes


def test_a_function_that_changes_the_mode_finds_it_as_it_was() -> None:
    model, (X, y) = course(), batch()

    def f() -> Any:
        assert model.training
        loss = model.loss_tensor(X, y)
        model.eval()
        return loss

    assert tg.gradcheck(f)
    assert model.training


@pytest.mark.parametrize("way", ["argument", "default", "closure", "partial", "method", "legacy"])
def test_generators_are_found_and_put_back(way: str) -> None:
    import functools

    generator: Any = np.random.RandomState(3) if way == "legacy" else np.random.default_rng(3)  # old code

    class Holder:
        def __call__(self, x: Any) -> Any:
            return x * generator.uniform(0.5, 1.5, x.shape)

        def noisy(self, x: Any) -> Any:
            return x * generator.uniform(0.5, 1.5, x.shape)

    def noisy(x: Any, source: Any = None) -> Any:
        return x * (source or generator).uniform(0.5, 1.5, x.shape)

    def by_default(x: Any, source: Any = generator) -> Any:
        return x * source.uniform(0.5, 1.5, x.shape)

    f: Callable[..., Any] = {
        "argument": lambda x: noisy(x, generator), "default": by_default, "closure": noisy, "method": Holder().noisy,
        "partial": functools.partial(by_default, source=generator), "legacy": noisy,
    }[way]  # fmt: skip

    def state() -> str:
        return repr(generator.get_state() if way == "legacy" else generator.bit_generator.state)

    before = state()
    report = tg.gradcheck(f, M)
    assert report.verdict == "correct", report
    assert state() == before


# ---- functions that are none, inputs that are not used


def test_a_function_that_is_not_deterministic_is_reported() -> None:
    values = iter(np.random.default_rng(0).uniform(0.5, 1.5, 10_000))
    report = tg.gradcheck(lambda x, y: (x * y).sum() * next(values), M, M)
    assert not report
    assert [check.verdict for check in report.inputs] == ["inconclusive", "inconclusive"]
    assert "two evaluations at one point differ" in str(report)
    assert report.culprits == ()


def test_an_input_without_influence() -> None:
    report = tg.gradcheck(lambda x, y, z: np.exp(y).sum(), M, P, np.zeros((20, 20)))
    assert report
    assert [check.analytic for check in report.inputs][::2] == [0.0, 0.0]
    assert [check.error for check in report.inputs][::2] == [0.0, 0.0]


def test_a_gradient_where_there_is_no_influence_is_wrong() -> None:
    bad = tg.op(lambda x, y: x * 1.0, name="first_of_two", x=lambda g: g, y=lambda g: g)
    report = tg.gradcheck(bad, M, M + 1.0)
    assert [check.verdict for check in report.inputs] == ["correct", "wrong"]
    assert (report.culprits[0].op, report.culprits[0].argument) == ("first_of_two", "y")


def test_a_function_that_writes_into_its_input_is_refused() -> None:
    def f(x: Any) -> Any:
        out = (x * x).sum()
        x.data[0, 0] = 5.0
        return out

    x = leaf(M, "x")
    with pytest.raises(ValueError, match=r"gradcheck: f changed x\. It has to leave its inputs as they are"):
        tg.gradcheck(f, x)
    assert np.array_equal(x.data, M)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_inputs_that_are_not_finite_are_refused(bad: float) -> None:
    model, (X, y) = course(), batch()
    model.fc2.W.data[1, 2] = bad
    with pytest.raises(ValueError, match=rf"gradcheck: fc2\.W is {bad} at \[1, 2\]"):
        tg.gradcheck(model, X, y)


def test_a_function_that_is_not_finite_is_refused() -> None:
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="f is not finite at the inputs"):
        tg.gradcheck(lambda x: np.log(x).sum(), np.array([1.0, -1.0]))


# ---- float32


def test_the_rounding_of_float32_is_told_and_judged() -> None:
    x = M.astype(np.float32)
    (right,) = tg.gradcheck(lambda x: np.exp(x) * x, x).inputs
    assert right.verdict == "correct"
    assert 0.0 < right.rounding < 1e-6

    def half(g: Any, x: Any) -> Any:
        """Round more than float32 has to: right in float64, wrong in float32."""
        return g * 2 * (x.astype(np.float16).astype(x.dtype) if x.dtype == np.float32 else x)

    lossy = tg.op(lambda x: x * x, name="square_lossy", x=half)
    (wrong,) = tg.gradcheck(lossy, np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32) * 0.01).inputs
    doubled = tg.op(lambda x: x * x, name="square_double", x=lambda g, x: g * (2 if x.dtype == np.float64 else 3) * x)
    (thrice,) = tg.gradcheck(doubled, x).inputs
    assert wrong.rounding > 10 * right.rounding
    assert thrice.verdict == "wrong"
    assert thrice.rounding == pytest.approx(0.5, rel=0.1)
    assert "in its own dtype, float32, the gradient is off by" in thrice.note
    assert tg.gradcheck(doubled, M)

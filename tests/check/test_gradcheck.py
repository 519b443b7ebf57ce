"""gradcheck: right gradients hold, planted faults are found with place and values, and nothing is left changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.check.gradcheck import GradcheckReport, InputCheck
from tinygrad_fc.engine import dispatch
from tinygrad_fc.engine.op import REGISTRY


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """Take the wrong operations that a test declares out of the tables again."""
    tables = [REGISTRY, dispatch.UFUNCS, dispatch.FUNCTIONS, vars(dispatch.functions)]
    before = [dict(table) for table in tables]
    yield
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)


def leaf(values: Any, name: str | None = None) -> tg.Tensor:
    return tg.tensor(values, requires_grad=True, name=name)


def squares(x: Any) -> Any:
    return (x * x).sum()


def wrong_at(place: tuple[int, ...], shape: tuple[int, ...], by: float) -> Callable[..., Any]:
    """Return the square, whose rule is off by `by` at one place."""
    fault = np.zeros(shape)
    fault[place] = by
    return tg.op(lambda x: x * x, name="square_with_a_fault", x=lambda g, x: g * (2 * x + fault))


# ---- what is right holds


M, N, P = (np.random.default_rng(0).standard_normal(shape) for shape in ((3, 4), (4, 2), (4,)))

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
    assert all(check.error < 1e-9 and check.tolerance == 1e-6 for check in report.inputs)
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


def test_float32_has_a_tolerance_of_its_own() -> None:
    x = M.astype(np.float32)
    (check,) = tg.gradcheck(lambda x: np.exp(x).sum(), x).inputs
    assert 1e-6 < check.tolerance <= 1e-2
    assert 1e-8 < check.error < 1e-3
    assert check.holds
    both = tg.gradcheck(lambda x, y: x * y, M, x)
    assert both
    assert [c.tolerance for c in both.inputs] == [1e-6, check.tolerance]


@pytest.mark.parametrize("h", [1e-2, 1e-3, None])
def test_the_first_step_may_be_chosen(h: float | None) -> None:
    x, places = np.array([0.25, -0.5]), []

    def f(x: Any) -> Any:
        places.append(x.data.copy())
        return np.exp(x)

    assert tg.gradcheck(f, x, h=h)
    assert np.max(np.abs(np.array(places) - x)) == pytest.approx(h or 1e-4)


def test_the_tolerance_may_be_chosen() -> None:
    half = tg.op(lambda x: x * x, name="square_wrong", x=lambda g, x: g * x)
    assert not tg.gradcheck(half, P)
    loose = tg.gradcheck(half, P, tolerance=0.6)
    assert loose
    assert loose.inputs[0].tolerance == 0.6
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
    assert check.numerical == pytest.approx(1.0, rel=1e-9)


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


def test_a_function_that_is_none_is_found() -> None:
    """A function that answers differently each time has no derivative: the report says so, it does not hang."""
    generator = np.random.default_rng(3)
    assert not tg.gradcheck(lambda x: x * generator.uniform(0.5, 1.5), M)


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
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    tg.gradcheck(np.exp, M, samples=3)
    assert np.random.random() == expected  # noqa: NPY002


# ---- the inputs afterwards


ODD = np.array([-0.0, 0.0, 5e-324, 1 / 3, -1e-300, 2.0**-30, 0.1, 1.1])


def test_inputs_are_restored_bit_for_bit() -> None:
    x, array = leaf(ODD), ODD.copy()
    storage, number = x.data, x.node.number
    with np.errstate(under="ignore"):
        assert tg.gradcheck(lambda x, y: x * x + y * y, x, array)
    assert x.data is storage
    assert x.node.number == number
    assert storage.tobytes() == array.tobytes() == ODD.tobytes()


@pytest.mark.parametrize("call", [1, 2, 3, 4, 7, 30])
def test_inputs_are_restored_when_the_function_raises(call: int) -> None:
    x, y, calls = leaf(ODD), leaf(ODD[::-1].copy()), []

    def f(x: Any, y: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise KeyError("mine")
        return x * x + y

    with np.errstate(under="ignore"), pytest.raises(KeyError, match="mine"):
        tg.gradcheck(f, x, y)
    assert x.data.tobytes() == ODD.tobytes()
    assert y.data.tobytes() == ODD[::-1].tobytes()


def test_gradients_of_the_inputs_stay_as_they_are() -> None:
    x, y = leaf(M), leaf(M)
    y.grad = np.ones((3, 4))
    tg.gradcheck(lambda x, y: x * y, x, y)
    assert x.grad is None
    assert np.array_equal(y.grad, np.ones((3, 4)))


def test_a_graph_recorded_before_still_goes_backward() -> None:
    x = leaf(M)
    loss = squares(x)
    assert tg.gradcheck(squares, x)
    loss.backward()
    assert np.array_equal(x.grad, 2 * M)


def test_only_the_first_call_is_recorded() -> None:
    recorded = []

    def f(x: Any) -> Any:
        out = np.exp(x)
        recorded.append(out.requires_grad)
        return out

    tg.gradcheck(f, P)
    assert recorded[0]
    assert len(recorded) > 2 * P.size
    assert not any(recorded[1:])


# ---- the report


ROWS = (
    InputCheck("w", (2, 3), 6, 2.5e-9, (1, 2), 0.5, 0.5, 1e-6),
    InputCheck("a longer name", (), 1, 0.25, (), -1.0, 3.0, 1e-6),
    InputCheck("input 2", (0, 4), 0, 0.0, (), 0.0, 0.0, 1e-2),
)


def test_the_report_is_a_table() -> None:
    report = GradcheckReport(ROWS)
    assert str(report).splitlines() == [
        "input          shape   checked  error     verdict  worst at  analytic       numerical",
        "-------------  ------  -------  --------  -------  --------  -------------  ------------",
        "w              2x3     6 of 6   2.50e-09  holds    [1, 2]    5.000000e-01   5.000000e-01",
        "a longer name  scalar  1 of 1   2.50e-01  WRONG    []        -1.000000e+00  3.000000e+00",
        "input 2        0x4     0 of 0   0.00e+00  holds    []        0.000000e+00   0.000000e+00",
    ]
    assert repr(report) == str(report)


def test_the_report_is_true_when_every_gradient_holds() -> None:
    assert bool(GradcheckReport(ROWS)) is False
    assert bool(GradcheckReport(ROWS[:1])) is True
    assert bool(GradcheckReport(ROWS[2:])) is True
    assert [check.holds for check in ROWS] == [True, False, True]
    limit = InputCheck("w", (1,), 1, 1e-6, (0,), 1.0, 1.0, 1e-6)
    assert limit.holds
    assert not InputCheck("w", (1,), 1, float("nan"), (0,), 1.0, 1.0, 1e-6).holds


def test_the_report_of_a_check_shows_what_it_found() -> None:
    lines = str(tg.gradcheck(wrong_at((0, 3), (3, 4), 1.0), leaf(M, "w"), samples=12)).splitlines()
    assert len(lines) == 3
    assert lines[2].split()[:5] == ["w", "3x4", "12", "of", "12"]
    assert "WRONG" in lines[2]
    assert "[0, 3]" in lines[2]


def test_a_progress_bar_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    tg.gradcheck(squares, M)
    assert capsys.readouterr() == ("", "")
    tg.gradcheck(lambda x, y: squares(x) + squares(y), M, P, samples=5, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("\rgradient check:")
    assert "9/9" in err
    assert err.endswith("\n")


# ---- bad input


@pytest.mark.parametrize(
    ("f", "inputs", "options", "error", "message"),
    [
        (squares, (), {}, ValueError, r"no input is given: gradcheck\(f, x, \.\.\.\)"),
        (squares, (np.arange(3),), {}, TypeError, r"input 0 has dtype int64, expected floats: 1\.0 instead of 1"),
        (squares, (M, [True]), {}, TypeError, "input 1 has dtype bool, expected floats"),
        (squares, ([1j],), {}, TypeError, "input 0 has dtype complex128, expected floats"),
        (squares, ("abc",), {}, TypeError, "input 0 has dtype <U3, expected floats"),
        (squares, (None,), {}, TypeError, "input 0 has dtype object, expected floats"),
        (squares, (tg.tensor(M),), {}, TypeError,
         "input 0 must be a leaf made with requires_grad=True, or an array; given a tensor that needs no gradient"),
        (squares, (M, leaf(M) * 2.0), {}, TypeError, "input 1 must be a leaf .*; given a computed tensor"),
        (lambda x: (x, x), (M,), {}, TypeError, "f returned tuple, expected a Tensor"),
        (lambda x: x.data, (M,), {}, TypeError, "f returned ndarray, expected a Tensor"),
        (lambda x: None, (M,), {}, TypeError, "f returned NoneType, expected a Tensor"),
        (lambda x: x.sum().item(), (M,), {}, TypeError, "f returned float, expected a Tensor"),
        (lambda x: x.detach(), (M,), {}, TypeError, "does not depend on an input that needs a gradient"),
        (lambda x: tg.tensor(1.0), (M,), {}, TypeError, "does not depend on an input that needs a gradient"),
        (lambda x: x > 0, (M,), {}, TypeError, "does not depend on an input that needs a gradient"),
        (squares, ([np.nan, 1.0],), {}, ValueError, "f is not finite at the inputs, so no difference can be taken"),
        (lambda x: x.sum(), ([np.inf],), {}, ValueError, "f is not finite at the inputs"),
        (squares, (M,), {"samples": 0}, ValueError, "samples=0, expected a positive integer or None for all"),
        (squares, (M,), {"samples": -3}, ValueError, "samples=-3, expected a positive integer"),
        (squares, (M,), {"samples": 1.5}, ValueError, r"samples=1\.5, expected a positive integer"),
        (squares, (M,), {"samples": True}, ValueError, "samples=True, expected a positive integer"),
        (squares, (M,), {"samples": "3"}, ValueError, "samples='3', expected a positive integer"),
        (squares, (M,), {"h": 0.0}, ValueError, r"h=0\.0, expected a positive number"),
        (squares, (M,), {"h": -1e-4}, ValueError, "h=-0.0001, expected a positive number"),
        (squares, (M,), {"h": np.nan}, ValueError, "h=nan, expected a positive number"),
        (squares, (M,), {"h": np.inf}, ValueError, "h=inf, expected a positive number"),
        (squares, (M,), {"tolerance": 0}, ValueError, "tolerance=0, expected a positive number"),
        (squares, (M,), {"tolerance": -1}, ValueError, "tolerance=-1, expected a positive number"),
        (squares, (M,), {"tolerance": np.nan}, ValueError, "tolerance=nan, expected a positive number"),
    ],
)  # fmt: skip
def test_bad_input_is_named(
    f: Callable[..., Any], inputs: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"gradcheck: .*{message}"):
        tg.gradcheck(f, *inputs, **options)


def test_bad_options_are_refused_before_the_function_runs() -> None:
    calls = []
    for options in ({"samples": 0}, {"h": -1.0}, {"tolerance": 0.0}):
        with pytest.raises(ValueError, match="expected a positive"):
            tg.gradcheck(lambda x: calls.append(x), M, **options)
    with pytest.raises(TypeError, match="input 1"):
        tg.gradcheck(lambda x, y: calls.append(x), M, 1)
    assert calls == []


def test_a_rule_of_the_wrong_shape_names_the_operation() -> None:
    bad = tg.fused_op(
        lambda x, b: x + b, compose=lambda x, b: x + b, name="shift_wrong", x=lambda g: g, b=lambda g: g
    )  # the gradient of b is not summed over the rows
    x, b = leaf(M), leaf(P)
    with pytest.raises(ValueError, match=r"shift_wrong.*\bb\b"):
        tg.gradcheck(bad, x, b)
    assert np.array_equal(b.data, P)

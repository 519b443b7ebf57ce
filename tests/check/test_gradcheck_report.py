"""gradcheck: what it leaves as it was, what its report says, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from planted import M, P, leaf, squares, wrong_at

import tinygrad_fc as tg
from tinygrad_fc.check.gradcheck import GradcheckReport, InputCheck

pytestmark = pytest.mark.usefixtures("registry")


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

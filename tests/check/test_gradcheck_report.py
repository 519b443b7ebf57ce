"""gradcheck: what it leaves as it was, what its report says, and what it refuses."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from planted import M, P, leaf, squares, wrong_at

import tinygrad_fc as tg
from tinygrad_fc.check.report import GradcheckReport, InputCheck

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
        return np.maximum(x * x, -1.0) + y  # no complex step, which would pass over what f raises

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


def test_no_graph_outlives_the_check() -> None:
    recorded = []

    def f(x: Any) -> Any:
        out = np.exp(x)
        recorded.append(weakref.ref(out.node))
        return out

    report = tg.gradcheck(f, P)
    assert len(recorded) > 2 * P.size
    assert report.evaluations > 2 * P.size
    assert [node() for node in recorded if node() is not None] == []


def test_the_mode_around_does_not_matter() -> None:
    x = leaf(M, "x")
    with tg.no_grad():
        assert tg.gradcheck(squares, x)
        assert not tg.gradcheck(wrong_at((0, 0), (3, 4), 1.0), x)
    with tg.observe() as run:
        assert tg.gradcheck(squares, x)
        assert tg.gradcheck(wrong_at((0, 0), (3, 4), 1.0), x).culprits
    assert run.count == 0  # none of the check's own operations is taken for the user's


# ---- the report


ROWS = (
    InputCheck("w", (2, 3), "float64", "correct", 6, 0, 2.5e-9, 3e-12, (1, 2), 0.5, 0.5),
    InputCheck("a longer name", (), "float32", "wrong", 1, 0, 0.25, 1e-8, (), -1.0, 3.0),
    InputCheck("input 2", (0, 4), "float64", "correct", 0),
    InputCheck("large", (40, 50), "float64", "correct", 0, 2, 1e-12, 1e-11, None, 7.0, 7.0),
    InputCheck("x", (2,), "float64", "kink", 2, 0, 0.0, 0.0, (1,), 0.0, 0.5, ((1,),), note="1 of 2 on a kink"),
    InputCheck("noisy", (2,), "float64", "inconclusive", 2, 0, 0.1, 0.5, (0,), 1.0, 1.1),
)


def test_the_report_is_a_table() -> None:
    report = GradcheckReport(ROWS, note="Of the whole.")
    assert str(report).splitlines() == [
        "input          shape   checked       verdict       error    bound    worst at  analytic       numerical",
        "-------------  ------  ------------  ------------  -------  -------  --------  -------------  ------------",
        "w              2x3     6 of 6        correct       2.5e-09  3.0e-12  [1, 2]    5.000000e-01   5.000000e-01",
        "a longer name  scalar  1 of 1        WRONG         2.5e-01  1.0e-08  []        -1.000000e+00  3.000000e+00",
        "input 2        0x4     0 of 0        correct       0.0e+00  0.0e+00            0.000000e+00   0.000000e+00",
        "large          40x50   2 directions  correct       1.0e-12  1.0e-11            7.000000e+00   7.000000e+00",
        "x              2       2 of 2        kink          0.0e+00  0.0e+00  [1]       0.000000e+00   5.000000e-01",
        "noisy          2       2 of 2        inconclusive  1.0e-01  5.0e-01  [0]       1.000000e+00   1.100000e+00",
        "x: 1 of 2 on a kink",
        "Of the whole.",
    ]
    assert repr(report) == str(report)


def test_the_report_is_true_when_every_gradient_holds() -> None:
    assert [check.holds for check in ROWS] == [True, False, True, True, True, False]
    assert [bool(GradcheckReport((row,))) for row in ROWS] == [True, False, True, True, True, False]
    assert bool(GradcheckReport(ROWS)) is False
    assert bool(GradcheckReport(ROWS[2:5])) is True
    assert bool(GradcheckReport(())) is True


def test_the_verdict_of_a_report_is_the_gravest() -> None:
    correct, wrong, empty, large, kink, noisy = ROWS
    assert GradcheckReport((correct, empty, large)).verdict == "correct"
    assert GradcheckReport((kink, correct)).verdict == "kink"
    assert GradcheckReport((noisy, kink, correct)).verdict == "inconclusive"
    assert GradcheckReport((correct, wrong, noisy, kink)).verdict == "wrong"


def test_the_report_of_a_check_shows_what_it_found() -> None:
    lines = str(tg.gradcheck(wrong_at((0, 3), (3, 4), 1.0), leaf(M, "w"), samples=12)).splitlines()
    assert len(lines) == 4
    assert lines[2].split()[:5] == ["w", "3x4", "12", "of", "12"]
    assert "WRONG" in lines[2]
    assert "[0, 3]" in lines[2]
    assert lines[3].startswith("Wrong: square_with_a_fault, argument 'x' (3, 4), at ")
    assert f"{__file__}:" in lines[3]
    assert "wrong at 1 of 12 coordinates" in lines[3]


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
        (squares, (), {}, ValueError, "no input is given, and f closes over no tensor"),
        (squares, (np.arange(3),), {}, TypeError, r"input 0 has dtype int64, expected floats: 1\.0 instead of 1"),
        (squares, (M, [True]), {}, TypeError, "input 1 has dtype bool, expected floats"),
        (squares, ([1j],), {}, TypeError, "input 0 has dtype complex128, expected floats"),
        (squares, ("abc",), {}, TypeError, "input 0 is str, expected a tensor or an array of floats"),
        (squares, (None,), {}, TypeError, "input 0 is NoneType, expected a tensor or an array of floats"),
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
        (squares, ([1.0, np.nan],), {}, ValueError, r"input 0 is nan at \[1\]: a gradient can be taken at"),
        (lambda x, y: x.sum(), (M, [[np.inf]]), {}, ValueError, r"input 1 is inf at \[0, 0\]"),
        (lambda x: (x * np.inf).sum(), ([2.0],), {}, ValueError, "f is not finite at the inputs, so no difference"),
        (squares, (M,), {"samples": 0}, ValueError, "samples=0, expected a positive integer or None"),
        (squares, (M,), {"samples": -3}, ValueError, "samples=-3, expected a positive integer"),
        (squares, (M,), {"samples": 1.5}, ValueError, r"samples=1\.5, expected a positive integer"),
        (squares, (M,), {"samples": True}, ValueError, "samples=True, expected a positive integer"),
        (squares, (M,), {"samples": "3"}, ValueError, "samples='3', expected a positive integer"),
        (squares, (M,), {"tolerance": 0}, ValueError, "tolerance=0, expected a number between 2e-16 and 1"),
        (squares, (M,), {"tolerance": -1}, ValueError, "tolerance=-1, expected a number between"),
        (squares, (M,), {"tolerance": np.nan}, ValueError, "tolerance=nan, expected a number between"),
        (squares, (M,), {"tolerance": True}, ValueError, "tolerance=True, expected a number between"),
        (squares, (M,), {"tolerance": "1"}, ValueError, "tolerance='1', expected a number between"),
        (squares, (M,), {"tolerance": 1.0}, ValueError, r"tolerance=1\.0, expected a number between"),
        (squares, (M,), {"order": 3}, ValueError, "order=3, expected 1 or 2"),
        (squares, (M,), {"order": 0}, ValueError, "order=0, expected 1 or 2"),
        (M, (M,), {}, TypeError, "f is ndarray, expected a function or a Module"),
        (tg.nn.ReLU(), (M,), {}, ValueError, "ReLU has no parameters, and no input needs a gradient"),
    ],
)  # fmt: skip
def test_bad_input_is_named(
    f: Callable[..., Any], inputs: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"gradcheck: .*{message}"):
        tg.gradcheck(f, *inputs, **options)


def test_bad_options_are_refused_before_the_function_runs() -> None:
    calls = []
    for options in ({"samples": 0}, {"order": 5}, {"tolerance": 0.0}):
        with pytest.raises(ValueError, match="expected"):
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

"""What reviewers found in the gradient checks: mended, and kept so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.__main__ import main

pytestmark = pytest.mark.usefixtures("registry")

M = np.random.default_rng(0).normal(size=(3, 4))


# ---- the command

SOURCE = '''
import sys
import numpy as np
import tinygrad_fc as tg

class Net(tg.nn.Module):
    def forward(self, x):
        return x

def total(x):
    return x.sum()

def none(x):
    return x[:0]

def fails(x):
    raise RuntimeError("the server is down")

def pair(x):
    return x[5]

def leaves(x):
    sys.exit(0)
'''


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "given.py").write_text(SOURCE)
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(0)\n")
    yield tmp_path / "given.py"


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("total", ["--shape", "0"], "nothing was checked: the inputs have no element"),
        ("total", ["--shape", "0,3", "--json"], "nothing was checked"),
        ("none", ["--shape", "3"], "f returned an empty result: there is nothing to differentiate"),
        ("pair", ["--shape", "3"], "The inputs are normal numbers of shape (3,): choose others with --shape, --scale"),
        ("leaves", [], "the code asks to exit (0)"),
        ("Net", [], ":Net is a class, expected a function of tensors or a model: make one in the module, net = Net("),
    ],
)
def test_the_command_says_what_it_could_not_check(
    file: Path, capsys: pytest.CaptureFixture[str], name: str, words: list[str], message: str
) -> None:
    assert main(["check", f"{file}:{name}", *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_a_file_that_exits_is_not_taken_for_one_that_holds(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"{file.with_name('leaving.py')}:f"]) == 2
    assert "failed. SystemExit at" in capsys.readouterr().err


def test_an_error_that_no_shape_cures_names_none(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"{file}:fails", "--shape", "3"]) == 2
    said = capsys.readouterr().err
    assert "the server is down" in said
    assert "--shape" not in said


def test_an_empty_result_has_nothing_to_differentiate() -> None:
    with pytest.raises(ValueError, match="gradcheck: f returned an empty result: there is nothing to differentiate"):
        tg.gradcheck(lambda x: x[:0], M)
    report = tg.gradcheck(lambda x, y: x.sum() + np.exp(y).sum(), np.empty((0, 3)), M)
    assert report, report
    assert [check.checked for check in report.inputs] == [0, 12]


# ---- operations that are checked when they are declared


def test_check_uses_the_dtype_of_the_samples() -> None:
    def rule(g: Any, x: Any) -> Any:
        return g * 2.0 * x * (1.0 + 0.25 * (g.dtype == np.float32))

    def declared(dtype: Any) -> Any:
        return tg.op(
            lambda x: x * x, name="single", check=True, x=rule, samples=lambda rng: [(rng.normal(size=4).astype(dtype),)]
        )

    with pytest.raises(ValueError, match=r"(?s)op single: check=True: at sample 0 of 1 the gradients do not hold.*dtype"):
        declared(np.float32)
    assert declared(np.float64).op.name == "single"


def test_a_composition_is_compared_in_the_samples_dtype() -> None:
    def declared(fault: float) -> Any:
        def kernel(x: Any) -> Any:
            return np.tanh(x) * (1.0 + fault * (x.dtype == np.float32))

        return tg.fused_op(
            kernel, compose=lambda x: tg.tanh(x), name="single_tanh", check=True,
            x=lambda g, out: g * (1.0 - out * out),
            samples=lambda rng: [(rng.normal(size=(4, 5)).astype(np.float32),)],
        )  # fmt: skip

    with pytest.raises(ValueError, match="op single_tanh: check=True: at sample 0 of 1 the values of kernel and compose"):
        declared(1e-4)
    assert declared(0.0).op.name == "single_tanh"


def test_samples_without_an_element_are_left_out() -> None:
    declared = tg.op(
        lambda x: x * 2.0, name="doubled", check=True, x=lambda g: g * 2.0,
        samples=lambda rng: [(np.empty((0, 3)),), (rng.normal(size=3),)],
    )  # fmt: skip
    assert declared.op.name == "doubled"
    with pytest.raises(TypeError, match="none of its samples has a finite array"):
        tg.op(lambda x: x * 2.0, name="doubled", check=True, x=lambda g: g * 2.0, samples=lambda rng: [(np.empty(0),)])


@pytest.mark.parametrize("sample", [[np.ones(3)], np.ones(3)])
def test_samples_must_be_tuples(sample: Any) -> None:
    with pytest.raises(TypeError, match=r"at sample 0 of 1 is (list|ndarray): samples must be tuples of arguments"):
        tg.op(lambda x: x * 2.0, name="listed", check=True, x=lambda g: g * 2.0, samples=lambda rng: [sample])


def test_a_rule_that_writes_into_g_is_named() -> None:
    def rule(g: Any) -> Any:
        g *= 2.0
        return g

    words = r"a rule writes into the gradient g.*g \* 2, not g \*= 2\. writes: .* for 'x'"
    with pytest.raises(ValueError, match=rf"op writes: check=True: at sample 0 of 1: {words}"):
        tg.op(lambda x: x * 2.0, name="writes", check=True, x=rule, samples=lambda rng: [(rng.normal(size=3),)])
    writes = tg.op(lambda x: x * 2.0, name="writes", x=rule)
    with pytest.raises(ValueError, match=rf"gradcheck: {words}"):
        tg.gradcheck(lambda x: writes(x).sum(), M)


# ---- inputs and options


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("mean", "input 0 is str, expected a tensor or an array of floats. What takes no gradient is bound first"),
        (None, "input 0 is NoneType, expected a tensor or an array of floats"),
        ({"a": 1.0}, "input 0 is dict, expected a tensor or an array of floats"),
        ([[1.0, 2.0], [3.0]], "input 0 is list of which no array can be made.*rows have one length"),
        (np.array([None]), "input 0 is an array of dtype object, expected"),
        (np.array([1]), "input 0 has dtype int64, expected floats: 1.0 instead of 1"),
        (np.array([1j]), "input 0 has dtype complex128, expected floats: its real part"),
    ],
)
def test_inputs_that_are_none(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"gradcheck: {message}"):
        tg.gradcheck(lambda x: x, value)
    with pytest.raises(TypeError, match=f"check_gradient: {message}"):
        tg.check_gradient(lambda x: x, lambda x: x, value)


# ---- culprits


def spoilt(name: str, shape: tuple[int, ...], at: tuple[int, ...], factor: float) -> Any:
    """Declare a square whose gradient is wrong at one place."""
    factors = np.ones(shape)
    factors[at] = factor
    return tg.op(lambda x: x * x, name=name, x=lambda g, x: g * (2.0 * x) * factors)


@pytest.mark.parametrize("at", [(0, 0), (17, 23), (29, 39)])
@pytest.mark.parametrize("factor", [np.nan, np.inf, 1.001, 1.5])
def test_one_wrong_element_is_named_at_its_place(at: tuple[int, int], factor: float) -> None:
    wrong = spoilt("square_spoilt", (30, 40), at, factor)
    x = np.random.default_rng(3).normal(size=(30, 40))
    x[at] = 1.25
    with np.errstate(invalid="ignore"):
        report = tg.gradcheck(lambda x: np.sin(wrong(x)).sum(), x, exhaustive=np.isfinite(factor))
    (culprit,) = report.culprits
    assert culprit.worst == at
    finite = np.isfinite(factor)
    assert culprit.looks_like.startswith("wrong at 1 of 1" if finite else "a gradient that is not finite")
    assert np.isfinite(culprit.analytic) == finite
    assert culprit.analytic == pytest.approx(factor * culprit.numerical, rel=1e-6, nan_ok=True)


def test_a_factor_is_printed_so_that_it_is_none_of_one() -> None:
    wrong = tg.op(lambda x: x * x, name="square_nearly", x=lambda g, x: g * (2.0 * x) * 1.000008)
    (culprit,) = tg.gradcheck(lambda x: wrong(x).sum(), M).culprits
    assert culprit.looks_like == "a factor: 1.000008 times the gradient"


def test_a_mean_is_spoken_of_where_something_is_summed() -> None:
    same = tg.op(lambda x: x * x, name="square_half", x=lambda g, x: g * x)  # 1/2 is no mean, though x has 2 columns
    x = np.random.default_rng(4).normal(size=(3, 2))
    assert tg.gradcheck(lambda x: same(x).sum(), x).culprits[0].looks_like == "a factor: 0.5 times the gradient"
    summed = tg.op(
        lambda x: x.sum(axis=1), name="sum_mean", x=lambda g, x_shape: np.broadcast_to(g[:, None] / 2.0, x_shape)
    )
    assert tg.gradcheck(lambda x: np.sin(summed(x)).sum(), x).culprits[0].looks_like == (
        "a factor of 1/2: a mean stands where a sum over 2 elements belongs"
    )


def test_a_slope_without_bound_is_no_rules_fault() -> None:
    x = np.array([0.0, 1.0, 4.0])
    for f in (lambda x: np.sqrt(x).sum(), lambda x: -np.sqrt(x).sum(), lambda x: np.cbrt(x).sum()):
        with np.errstate(all="ignore"):
            assert tg.gradcheck(f, x).culprits == ()
    wrong = tg.op(lambda x: np.sqrt(x), name="sqrt_wrong", x=lambda g, out: g / out)
    with np.errstate(all="ignore"):
        (culprit,) = tg.gradcheck(lambda x: wrong(x).sum(), x).culprits
    assert culprit.looks_like == "a factor: 2 times the gradient"  # at the others


def test_what_is_left_to_say_is_a_possibility() -> None:
    note = tg.gradcheck(lambda x: (np.tanh(x).detach() * x).sum(), M).note
    assert note == (
        "Each operation's own rule is right at its arguments. Either a part of f leaves the tape (detach(), no_grad(), "
        ".data, a copy of an input's array), or the difference is worth less than its bound says."
    )

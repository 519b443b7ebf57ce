"""What reviewers found in the gradient checks: mended, and kept so."""

from __future__ import annotations

import sys
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
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "given.py").write_text(SOURCE)
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(0)\n")
    return tmp_path / "given.py"


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
            lambda x: x * x, name="single", check=True, x=rule,
            samples=lambda rng: [(rng.normal(size=4).astype(dtype),)],
        )  # fmt: skip

    with pytest.raises(ValueError, match=r"(?s)op single: check=True: .* the gradients do not hold.*dtype"):
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

    with pytest.raises(ValueError, match="op single_tanh: check=True: .* the values of kernel and compose"):
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
    only = spoilt("root_spoilt", (3,), (2,), 1.5)
    both = tg.op(lambda x: np.sqrt(x), name="sqrt_spoilt", x=lambda g, out: g * 0.5 / out * np.array([1.0, 1.0, 1.5]))
    assert tg.gradcheck(lambda x: only(x).sum(), x).culprits[0].worst == (2,)
    with np.errstate(all="ignore"):
        (culprit,) = tg.gradcheck(lambda x: both(x).sum(), x).culprits
    assert culprit.worst == (2,)
    assert culprit.looks_like == "wrong at 1 of 2 coordinates that were moved"


def test_what_is_left_to_say_is_a_possibility() -> None:
    note = tg.gradcheck(lambda x: (np.tanh(x).detach() * x).sum(), M).note
    assert note == (
        "Each operation's own rule is right at its arguments. Either a part of f leaves the tape (detach(), no_grad(), "
        ".data, a copy of an input's array), or the difference is worth less than its bound says."
    )


# ---- what is reached, and put back


def test_more_than_a_hundred_generators_are_put_back() -> None:
    model = tg.nn.Sequential(*[tg.nn.Dropout(0.99, seed=n) for n in range(120)])
    states = [g.bit_generator.state for _, g in model.named_generators()]
    assert len(states) == 120
    report = tg.gradcheck(model, tg.tensor(np.ones(3), requires_grad=True))
    assert report, report
    assert [g.bit_generator.state for _, g in model.named_generators()] == states


class Counting(tg.nn.Module):
    """A module that changes arrays of its own, none of them a registered buffer, when it is called."""

    def __init__(self) -> None:
        self.W = tg.nn.Parameter(np.ones(4))
        self.calls = np.zeros(1)
        self.mean = np.zeros(4)

    def forward(self, x: Any) -> Any:
        self.calls += 1.0
        self.mean = self.mean * 0.5 + 1.0
        return (x * self.W * tg.tensor(self.mean * self.calls)).sum()


def test_every_array_of_a_module_is_put_back() -> None:
    outer = tg.nn.Sequential(Counting())
    inner = outer[0]
    calls, mean = inner.calls, inner.mean
    report = tg.gradcheck(outer, tg.tensor(M))
    assert report, report
    assert inner.calls is calls
    assert inner.mean is mean
    np.testing.assert_array_equal(calls, [0.0])
    np.testing.assert_array_equal(mean, np.zeros(4))


class Noisy:
    """An object with a generator of its own."""

    def __init__(self) -> None:
        self.g = np.random.default_rng(0)
        self.w = tg.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True, name="w")

    def method(self, x: Any) -> Any:
        return x * self.g.normal(size=x.shape)

    def own(self) -> Any:
        return np.sin(self.w).sum()

    def __call__(self, x: Any) -> Any:
        return self.method(x)


def test_the_object_of_a_method_is_reached() -> None:
    noisy = Noisy()
    before = noisy.g.bit_generator.state
    for f in (noisy.method, noisy, lambda x: noisy.method(x)):
        report = tg.gradcheck(f, M)
        assert report, report
        assert noisy.g.bit_generator.state == before
    assert [check.name for check in tg.gradcheck(noisy.own).inputs] == ["w"]


LEAVES: dict[str, Any] = {}
LAYERS: list[Any] = []
STATES: list[np.random.Generator] = [np.random.default_rng(1)]


def through_names() -> Any:
    return np.sin(LEAVES["a"]).sum() + helper()


def helper() -> Any:
    return LAYERS[0](np.ones((2, 3)) + STATES[0].normal(size=(2, 3))).sum() + further()


def further() -> Any:
    return 0.0


def test_global_lists_and_functions_are_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LEAVES, "a", tg.tensor([1.0, 2.0], requires_grad=True, name="a"))
    monkeypatch.setattr(sys.modules[__name__], "LAYERS", [tg.nn.Linear(3, 2, dtype=np.float64, seed=0)])
    before = STATES[0].bit_generator.state
    report = tg.gradcheck(through_names)
    assert report, report
    assert [check.name for check in report.inputs] == ["a", "W", "b"]
    assert STATES[0].bit_generator.state == before


def test_a_gradient_by_hand_draws_what_its_function_drew() -> None:
    own = np.random.default_rng(2)
    report = tg.check_gradient(
        lambda x: np.sum(x * x * own.uniform(size=x.shape)), lambda x: 2.0 * x * own.uniform(size=x.shape), M
    )
    assert report, report
    drawn = np.random.rand  # layers of the course draw from the global generator
    report = tg.check_gradient(lambda x: np.sum(x * x * drawn(*x.shape)), lambda x: 2.0 * x * drawn(*x.shape), M)
    assert report, report


def test_no_argument_at_all() -> None:
    with pytest.raises(ValueError, match="check_gradient: x is an empty tuple: there is nothing to differentiate by"):
        tg.check_gradient(lambda: 1.0, lambda: (), ())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"seed": -1}, ValueError, "seed=-1, expected an integer of at least 0"),
        ({"seed": "a"}, ValueError, "seed='a', expected an integer"),
        ({"seed": True}, ValueError, "seed=True, expected an integer"),
        ({"progress": "yes"}, TypeError, "progress='yes', expected True, False or None"),
    ],
)
def test_options_are_named(options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=f"check_gradient: {message}"):
        tg.check_gradient(lambda x: np.sum(x), lambda x: np.ones_like(x), M, **options)
    with pytest.raises(error, match=f"check_layer: {message}"):
        tg.check_layer(lambda x: (x * 2.0, None), lambda g, cache: g * 2.0, M, **options)


def test_an_order_is_no_truth_value_and_a_class_no_function() -> None:
    with pytest.raises(ValueError, match="gradcheck: order=True, expected 1 or 2"):
        tg.gradcheck(lambda x: x, M, order=True)
    with pytest.raises(TypeError, match="gradcheck: f is the class Counting, expected a function or an instance"):
        tg.gradcheck(Counting, M)

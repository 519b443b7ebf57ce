"""Numerical gradients: right on known functions, harmless to their input, and loud about what cannot work."""

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.check.numerical import (
    eval_numerical_gradient,
    eval_numerical_gradient_array,
    grad_check_sparse,
    rel_error,
)


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((3, 4))


def test_gradient_of_a_known_function(x):
    kept = x.copy()
    gradient = eval_numerical_gradient(lambda a: np.sum(np.sin(a) * a), x)
    assert gradient == pytest.approx(np.cos(x) * x + np.sin(x), abs=1e-9)
    assert gradient.shape == x.shape
    assert np.array_equal(x, kept)


def test_function_may_read_the_array_from_elsewhere(x):
    assert eval_numerical_gradient(lambda _: (x**2).sum(), x) == pytest.approx(2 * x, abs=1e-9)


@pytest.mark.parametrize("wrap", [float, np.float64, np.asarray, lambda v: np.array([[v]]), tg.tensor])
def test_what_a_function_may_return(x, wrap):
    assert eval_numerical_gradient(lambda a: wrap((a**2).sum()), x) == pytest.approx(2 * x, abs=1e-9)


def test_layouts_and_sizes():
    for x in (np.arange(12.0).reshape(3, 4).T, np.arange(20.0)[::2], np.array(3.0), np.zeros((0, 2)), np.ones((1, 1))):
        gradient = eval_numerical_gradient(lambda a: (a**2).sum(), x)
        assert gradient.shape == x.shape
        assert gradient == pytest.approx(2 * x, abs=1e-7)


def test_float32_uses_the_distance_that_its_rounding_leaves():
    x = np.array([1.0, 3.0, 7.0], np.float32)
    gradient = eval_numerical_gradient(lambda a: (2.0 * a.astype(np.float64)).sum(), x)
    assert gradient.dtype == np.float32
    assert gradient == pytest.approx([2.0, 2.0, 2.0], rel=1e-5)


def test_verbose_prints_each_element(capsys):
    eval_numerical_gradient(lambda a: 2.0 * a.sum(), np.array([1.0, 2.0]), verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in lines] == ["(0,)", "(1,)"]
    assert [float(line[4:]) for line in lines] == pytest.approx([2.0, 2.0])


def test_gradient_through_an_array_function(x):
    w = np.random.default_rng(1).standard_normal((4, 2))
    upstream = np.random.default_rng(2).standard_normal((3, 2))
    assert eval_numerical_gradient_array(lambda a: a @ w, x, upstream) == pytest.approx(upstream @ w.T, abs=1e-9)
    assert eval_numerical_gradient_array(lambda b: x @ b, w, upstream) == pytest.approx(x.T @ upstream, abs=1e-9)
    assert eval_numerical_gradient_array(lambda a: (a**2).sum(), x, 3.0) == pytest.approx(6 * x, abs=1e-8)


def test_array_function_may_return_its_argument_or_a_tensor(x):
    upstream = np.arange(12.0).reshape(3, 4)
    assert eval_numerical_gradient_array(lambda a: a, x, upstream) == pytest.approx(upstream, abs=1e-9)
    needs_gradient = eval_numerical_gradient_array(lambda a: tg.tensor(3 * a, requires_grad=True), x, upstream)
    assert needs_gradient == pytest.approx(3 * upstream, abs=1e-8)


@pytest.mark.parametrize("evaluate", [eval_numerical_gradient, lambda f, x: eval_numerical_gradient_array(f, x, 1.0)])
def test_x_is_restored_when_the_function_raises(x, evaluate):
    kept, calls = x.copy(), []

    def f(a):
        calls.append(a)
        if len(calls) == 6:
            raise KeyError("mine")
        return a.sum()

    with pytest.raises(KeyError, match="mine"):
        evaluate(f, x)
    assert np.array_equal(x, kept)


def test_rel_error():
    assert rel_error([1.0, 2.0], [1.0, 2.0]) == 0.0
    assert rel_error([1.0, 3.0], [1.0, 1.0]) == 0.5
    assert rel_error(1.0, -1.0) == 1.0
    assert rel_error(0.0, 1e-9) == pytest.approx(0.1)
    assert rel_error(np.zeros((0, 3)), np.zeros((0, 3))) == 0.0
    assert np.isnan(rel_error([np.nan, 1.0], [1.0, 1.0]))
    assert np.isnan(rel_error([np.inf], [np.inf]))
    with pytest.raises(ValueError, match=r"x has shape \(3, 1\), y has \(3,\)"):
        rel_error(np.ones((3, 1)), np.ones(3))


def test_sparse_check_prints_and_returns_the_errors(x, capsys):
    kept = x.copy()
    errors = grad_check_sparse(lambda a: (a**3).sum(), x, 3 * x**2, num_checks=5, seed=0)
    lines = capsys.readouterr().out.splitlines()
    assert len(errors) == len(lines) == 5
    assert max(errors) < 1e-8
    assert np.array_equal(x, kept)
    for line, error in zip(lines, errors, strict=True):
        numerical, analytic = (float(word) for word in line.replace(",", "").split()[1:4:2])
        assert numerical == pytest.approx(analytic, abs=1e-5)
        assert line == f"numerical: {numerical:f} analytic: {analytic:f}, relative error: {error:e}"


def test_sparse_check_finds_a_wrong_gradient_and_repeats_by_seed(x, capsys):
    def check(seed):
        return grad_check_sparse(lambda a: (a**3).sum(), x, 3 * x**2 + 0.1, seed=seed)

    assert max(check(0)) > 1e-3
    assert check(1) == check(1) != check(2)
    assert len(capsys.readouterr().out.splitlines()) == 40


def plain_sum(a):
    return a.sum()


@pytest.mark.parametrize(
    ("f", "x", "h", "error", "message"),
    [
        (plain_sum, np.arange(3), 1e-5, TypeError, "x has dtype int64, in which a step of 1e-05 is lost"),
        (plain_sum, [1.0, 2.0], 1e-5, TypeError, "x must be an ndarray.* got list"),
        (plain_sum, tg.tensor([1.0]), 1e-5, TypeError, r"got Tensor; of a tensor, t\.data"),
        (plain_sum, np.ones(3) * 1j, 1e-5, TypeError, "complex128"),
        (plain_sum, np.broadcast_to(1.0, 3), 1e-5, ValueError, r"read-only.*x\.copy\(\)"),
        (plain_sum, np.ones(3), 0.0, ValueError, "h must be positive and finite, got 0.0"),
        (plain_sum, np.ones(3), float("nan"), ValueError, "h must be positive"),
        (plain_sum, np.array([1.0, 1e12]), 1e-5, ValueError, r"lost in the rounding of float64 beside x\[1\]"),
        (plain_sum, np.full(2, 1e3, np.float32), 1e-5, ValueError, "lost in the rounding of float32"),
        (plain_sum, np.array([[1.0, np.nan]]), 1e-5, ValueError, r"x\[0, 1\] is nan"),
        (lambda a: a, np.ones(3), 1e-5, TypeError, r"one number, got shape \(3,\)"),
        (lambda a: "much", np.ones(3), 1e-5, TypeError, "one number, got str"),
        (lambda a: None, np.ones(3), 1e-5, TypeError, "one number, got NoneType"),
        (lambda a: float("nan"), np.ones(3), 1e-5, ValueError, r"f returned nan at x\[0\]"),
        (lambda a: np.inf, np.ones(3), 1e-5, ValueError, "f returned inf"),
    ],
)
def test_bad_input_is_named(f, x, h, error, message):
    with pytest.raises(error, match=message):
        eval_numerical_gradient(f, x, h=h)


def test_bad_input_of_the_other_forms():
    with pytest.raises(ValueError, match=r"df has shape \(2,\), but f returns \(3,\)"):
        eval_numerical_gradient_array(lambda a: a * 2, np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="NaN or infinity"):
        eval_numerical_gradient_array(lambda a: a * np.nan, np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match=r"analytic_grad has shape \(2,\), x has \(3,\)"):
        grad_check_sparse(plain_sum, np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="no element to check"):
        grad_check_sparse(plain_sum, np.ones((0, 2)), np.ones((0, 2)))

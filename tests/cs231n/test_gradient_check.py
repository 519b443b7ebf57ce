"""The course's gradient checks: its defaults, its lines, blobs."""

import random
import re
from types import SimpleNamespace

import numpy as np
import pytest

from tinygrad_fc.check import numerical
from tinygrad_fc.cs231n.gradient_check import (
    eval_numerical_gradient,
    eval_numerical_gradient_array,
    eval_numerical_gradient_blobs,
    grad_check_sparse,
)


def test_prints_unless_told_otherwise(capsys):
    x = np.array([[1.0, 2.0]])
    gradient = eval_numerical_gradient(lambda x: (x**2).sum(), x)
    np.testing.assert_allclose(gradient, [[2.0, 4.0]], rtol=1e-9)
    assert capsys.readouterr().out == f"(0, 0) {gradient[0, 0]}\n(0, 1) {gradient[0, 1]}\n"
    np.testing.assert_allclose(eval_numerical_gradient(lambda x: (x**2).sum(), x, False, 1e-3), [[2.0, 4.0]])
    assert capsys.readouterr().out == ""


def test_a_function_may_ignore_its_argument():
    params = {"W": np.array([1.0, 3.0])}
    gradient = eval_numerical_gradient(lambda _: float(np.prod(params["W"])), params["W"], verbose=False)
    np.testing.assert_allclose(gradient, [3.0, 1.0], rtol=1e-9)
    assert params["W"].tolist() == [1.0, 3.0]


def test_the_array_form_is_the_librarys():
    assert eval_numerical_gradient_array is numerical.eval_numerical_gradient_array


def blob(values):
    return SimpleNamespace(vals=np.asarray(values, dtype=float), diffs=np.zeros(np.shape(values)))


@pytest.mark.parametrize("in_place", [False, True])
def test_blobs(in_place, rng):
    x, w, out = blob(rng.normal(size=(4, 3))), blob(rng.normal(size=(3, 2))), blob(np.zeros((4, 2)))
    out.diffs = rng.normal(size=(4, 2))

    def layer(x, w, out):
        if in_place:
            out.vals[...] = x.vals @ w.vals
        else:
            out.vals = x.vals @ w.vals

    before = x.vals.copy(), w.vals.copy()
    dx, dw = eval_numerical_gradient_blobs(layer, (x, w), out, h=1e-5)
    np.testing.assert_allclose(dx, out.diffs @ w.vals.T, rtol=1e-7)
    np.testing.assert_allclose(dw, x.vals.T @ out.diffs, rtol=1e-7)
    assert np.array_equal(x.vals, before[0])
    assert np.array_equal(w.vals, before[1])
    assert np.array_equal(out.vals, before[0] @ before[1])


def test_sparse_checks_print_the_courses_lines_and_repeat(capsys):
    x = np.arange(1.0, 13.0).reshape(3, 4)

    def check(seed, gradient):
        random.seed(seed)
        assert grad_check_sparse(lambda x: (x**2).sum(), x, gradient, 5) is None
        return capsys.readouterr().out

    right = check(1, 2 * x)
    lines = right.splitlines()
    assert len(lines) == 5
    for line in lines:
        numbers = re.fullmatch(r"numerical: (\S+) analytic: (\S+), relative error: (\d\.\d{6}e-\d\d)", line)
        assert numbers
        assert numbers[1] == numbers[2]
        assert float(numbers[3]) < 1e-8
    assert check(1, 2 * x) == right != check(2, 2 * x)
    assert "relative error: 1.111111e-01" in check(1, 2.5 * x)


def test_refusals():
    with pytest.raises(TypeError, match="dtype int64"):
        eval_numerical_gradient(lambda x: x.sum(), np.arange(3))
    with pytest.raises(ValueError, match=r"analytic_grad has shape \(2,\), x has \(3,\)"):
        grad_check_sparse(lambda x: x.sum(), np.zeros(3), np.zeros(2))

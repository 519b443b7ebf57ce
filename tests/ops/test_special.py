"""Special functions: SciPy's values and dispatch, edges, and what happens without SciPy. Rules: test_registry."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.special

import tinygrad_fc as tg


@pytest.mark.parametrize("name", ["expit", "log_expit", "logit", "erf", "erfc", "gammaln", "digamma", "entr"])
def test_scipys_own_functions_take_tensors(name: str) -> None:
    x = np.array([0.2, 0.5, 0.8])
    t = tg.tensor(x, requires_grad=True)
    theirs, ours = getattr(scipy.special, name)(t), getattr(tg.special, name)(t)
    np.testing.assert_array_equal(theirs.data, getattr(scipy.special, name)(x))
    np.testing.assert_array_equal(ours.data, theirs.data)
    assert theirs.requires_grad


def test_scipy_may_come_first_and_alone() -> None:
    """Whoever calls SciPy's function on a tensor need not have said ``tg.special`` before."""
    code = (
        "import scipy.special, tinygrad_fc as tg\n"
        "x = tg.tensor([0.5], requires_grad=True)\n"
        "scipy.special.erf(x).sum().backward()\n"
        "print(x.grad)"
    )
    printed = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == str(np.array([2 / np.pi**0.5 * np.exp(-0.25)]))


def test_without_scipy_the_error_names_the_cure() -> None:
    code = "import sys; sys.modules['scipy'] = None\nimport tinygrad_fc as tg\ntg.special"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.rstrip().endswith("ImportError: tg.special needs SciPy: pip install 'tinygrad_fc[scipy]'.")


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1)])
def test_softmax_is_scipys(name: str, axis: Any, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 4)) * 100
    expected = getattr(scipy.special, name)(x, axis=axis)
    for given in (x, tg.tensor(x, requires_grad=True)):
        with np.errstate(under="ignore"):
            np.testing.assert_allclose(getattr(tg.special, name)(given, axis).data, expected, rtol=1e-12, atol=1e-12)


def test_nothing_times_a_logarithm_is_nothing() -> None:
    x, y = tg.tensor([0.0, 0.0], requires_grad=True), tg.tensor([2.0, 0.5], requires_grad=True)
    tg.special.xlogy(x, y).sum().backward()
    np.testing.assert_array_equal(x.grad, np.log(y.data))
    np.testing.assert_array_equal(y.grad, 0.0)
    zero = tg.tensor([0.0], requires_grad=True)
    tg.special.xlogy(tg.tensor([0.0]), zero).sum().backward()
    np.testing.assert_array_equal(zero.grad, 0.0)


def test_polygamma_goes_on_for_ever() -> None:
    x = tg.tensor([1.5, 3.0], requires_grad=True)
    d = tg.special.gammaln(x)
    for order in range(1, 5):
        (d,) = tg.gradients(d.sum(), [x], create_graph=True)
        expected = scipy.special.digamma(x.data) if order == 1 else scipy.special.polygamma(order - 1, x.data)
        np.testing.assert_allclose(d.data, expected, rtol=1e-13)

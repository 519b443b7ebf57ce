"""Special functions: SciPy's values and dispatch, edges, and what happens without SciPy. Rules: test_registry."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.special

import tinygrad_fc as tg


@pytest.mark.parametrize("name", ["expit", "log_expit", "logit", "erf", "erfc", "gammaln", "digamma", "entr",
                                  "gamma", "loggamma", "erfinv", "erfcinv", "ndtr", "log_ndtr", "i0", "i1", "exp10"])
def test_scipys_own_functions_take_tensors(name: str) -> None:
    x = np.array([0.2, 0.5, 0.8])
    t = tg.tensor(x, requires_grad=True)
    theirs, ours = getattr(scipy.special, name)(t), getattr(tg.special, name)(t)
    np.testing.assert_array_equal(theirs.data, getattr(scipy.special, name)(x))
    np.testing.assert_array_equal(ours.data, theirs.data)
    assert theirs.requires_grad


@pytest.mark.parametrize("name", ["beta", "betaln", "kl_div", "xlog1py", "xlogy", "rel_entr", "iv"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scipys_functions_of_two_arguments(name: str, dtype: Any) -> None:
    x = np.array([0.2, 0.5, 0.8], dtype)
    t = tg.tensor(x, requires_grad=True)
    for f in (getattr(scipy.special, name), getattr(tg.special, name)):
        out = f(1.5, t)
        assert out.dtype == dtype
        np.testing.assert_allclose(out.data, getattr(scipy.special, name)(1.5, x), rtol=1e-6)
        assert tg.gradients(out.sum(), t)[0].dtype == dtype


@pytest.mark.parametrize("name", ["expm1", "log1p", "cbrt", "exp2"])
def test_scipys_own_ufuncs_of_numpys_functions(name: str) -> None:
    t = tg.tensor([0.2, 0.5], requires_grad=True)
    assert getattr(scipy.special, name) is not getattr(np, name)
    out = getattr(scipy.special, name)(t)
    np.testing.assert_allclose(out.data, getattr(np, name)(t.data), rtol=1e-15)
    assert out.requires_grad


def test_log_ndtr_far_out() -> None:
    """The derivative in the tails: -x + 1/x - ... far to the left (A&S 26.2.12), and 0 far to the right."""
    for x in (-40.0, -1e3, -1e6):
        t = tg.tensor(x, requires_grad=True)
        (d,) = tg.gradients(tg.special.log_ndtr(t), t, create_graph=True)
        mills = sum((-1) ** k * factor / x ** (2 * k) for k, factor in enumerate((1, 1, 3, 15)))
        np.testing.assert_allclose(d.item(), -x / mills, rtol=1e-9 if x == -40 else 1e-13)
        np.testing.assert_allclose(tg.gradients(d, t)[0].item(), -1.0, rtol=2e-3)
    with np.errstate(under="ignore"):
        t = tg.tensor(50.0, requires_grad=True)
        (d,) = tg.gradients(tg.special.log_ndtr(t), t, create_graph=True)
        assert (d.item(), tg.gradients(d, t)[0].item()) == (0.0, -0.0)


# x, and the first four derivatives of log_ndtr there: by mpmath 1.3 with 60 digits
LOG_NDTR = [
    (2.0, 0.055247862678989956, -0.11354805168857644, 0.1843948150324776, -0.1878546856116097),
    (-1.0, 1.525135276160981, -0.8009023344296512, 0.11693119540604884, 0.07917498368074563),
    (-3.99, 4.2160747672774495, -0.9531481218365758, 0.017951718500771822, 0.009569341369303543),
    (-4.01, 4.235141307340634, -0.9535052507069931, 0.017761585395071288, 0.009444284615561507),
    (-8.0, 8.121368112236112, -0.9856751165566591, 0.0032918765663441357, 0.0011052920954551628),
    (-30.0, 30.033259667433676, -0.9988962284881099, 7.309993015784438e-05, 7.245937210980342e-06),
    (-10000.0, 10000.000099999997, -0.9999999900000006, 1.99999976000003e-12, 5.99999880000021e-16),
    (-10000000.0, 10000000.0000001, -0.99999999999999, 1.99999999999976e-21, 5.9999999999988e-28),
]


@pytest.mark.parametrize(("x", "derivatives"), [(x, ds) for x, *ds in LOG_NDTR])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_derivatives_of_log_ndtr_lose_no_digits_far_out(x: float, derivatives: list[float], dtype: Any) -> None:
    t = tg.tensor(np.array(x, dtype), requires_grad=True)
    out = tg.special.log_ndtr(t)
    for order, expected in enumerate(derivatives, 1):
        (out,) = tg.gradients(out, t, create_graph=True)
        assert out.dtype == dtype
        # Near -4 what cancels is, in float64, a digit or two an order.
        digits = 4e-7 if dtype == np.float32 else (1e-15, 2e-14, 1e-11, 2e-10)[order - 1] if x > -5.0 else 2e-15
        np.testing.assert_allclose(out.item(), expected, rtol=digits)


@pytest.mark.parametrize(("x", "second"), [(-np.inf, -1.0), (np.inf, 0.0), (-1e200, -1.0), (50.0, 0.0)])
def test_the_second_derivative_of_log_ndtr_has_its_limits(x: float, second: float) -> None:
    t = tg.tensor(x, requires_grad=True)
    with np.errstate(all="ignore"):
        (first,) = tg.gradients(tg.special.log_ndtr(t), t, create_graph=True)
        assert tg.gradients(first, t)[0].item() == pytest.approx(second, abs=1e-300)


def test_edges_of_special_functions() -> None:
    for name, x, gradient in (
        ("i1", 0.0, 0.5), ("i0", 0.0, 0.0), ("gamma", 1.0, -np.euler_gamma), ("loggamma", -0.5, np.nan),
        ("erfinv", 1.0, np.inf), ("erfinv", 0.0, np.pi**0.5 / 2), ("erfcinv", 0.0, -np.inf), ("ndtr", np.inf, 0.0),
        ("kl_div", 0.0, -np.inf), ("xlog1py", 0.0, np.log(3.0)),
    ):  # fmt: skip
        t = tg.tensor(x, requires_grad=True)
        with np.errstate(all="ignore"):
            f = getattr(tg.special, name)
            (f(t, 2.0) if name in ("kl_div", "xlog1py") else f(t)).backward()
        np.testing.assert_allclose(t.grad, gradient, rtol=1e-15, err_msg=name)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp", "polygamma"])
def test_scipys_plain_functions_lose_no_gradient_in_silence(name: str) -> None:
    """They are no ufuncs and do not ask tensors: docs/numpy.md names the cure, which is ours of the same name."""
    t = tg.tensor([0.5, 1.5], requires_grad=True)
    arguments = (1, t) if name == "polygamma" else (t,)
    with pytest.raises(TypeError, match="needs a gradient and cannot become a plain array"):
        getattr(scipy.special, name)(*arguments)
    out = getattr(tg.special, name)(*arguments)
    assert out.requires_grad
    expected = getattr(scipy.special, name)(*[item.data if item is t else item for item in arguments])
    np.testing.assert_allclose(out.data, expected, rtol=1e-14)


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

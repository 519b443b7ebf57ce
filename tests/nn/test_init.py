"""Initialisers: moments, bounds, orthogonality, seeds, the numbers of before, and bad input named."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tinygrad_fc.nn import init

SHAPE = (400, 300)
LEAKY = 2.0 / (1.0 + 0.2**2)
# The variance that each call has by its source.
VARIANCES: list[tuple[str, dict[str, Any], float]] = [
    ("normal", {"std": 0.3}, 0.09),
    ("uniform", {"low": -1.0, "high": 2.0}, 9 / 12),
    ("kaiming_normal", {}, 2 / 400),
    ("kaiming_uniform", {}, 2 / 400),
    ("kaiming_normal", {"mode": "fan_out"}, 2 / 300),
    ("kaiming_uniform", {"mode": "fan_out", "nonlinearity": "tanh"}, 25 / 9 / 300),
    ("kaiming_normal", {"nonlinearity": "leaky_relu", "negative_slope": 0.2}, LEAKY / 400),
    ("kaiming_uniform", {"nonlinearity": "linear"}, 1 / 400),
    ("xavier_normal", {}, 2 / 700),
    ("xavier_uniform", {}, 2 / 700),
    ("xavier_normal", {"gain": 2.0}, 8 / 700),
    ("xavier_uniform", {"gain": 0.5}, 0.5 / 700),
    ("lecun_normal", {}, 1 / 400),
    ("lecun_uniform", {}, 1 / 400),
    ("orthogonal", {"gain": 3.0}, 9 / 400),
]
DRAWN = sorted({name for name, _, _ in VARIANCES})
FANS = [name for name in DRAWN if name not in ("normal", "uniform")]


@pytest.mark.parametrize(("name", "options", "variance"), VARIANCES, ids=[f"{n}-{o}" for n, o, _ in VARIANCES])
def test_moments(name: str, options: dict[str, Any], variance: float) -> None:
    values = getattr(init, name)(SHAPE, **options, seed=0)
    assert values.shape == SHAPE
    assert values.dtype == np.float64
    assert values.flags.c_contiguous
    middle = 0.5 if name == "uniform" else 0.0
    deviation = math.sqrt(variance)
    assert values.mean() == pytest.approx(middle, abs=5 * deviation / math.sqrt(values.size))
    assert values.std() == pytest.approx(deviation, rel=0.01)
    edge = np.abs(values - middle).max() / deviation
    if name.endswith("uniform"):
        assert 1.73 < edge <= math.sqrt(3)
    else:
        assert 4 < edge < 6  # 120,000 normal numbers reach so far (an orthogonal matrix' elements are almost normal)


def test_mean_and_plain_values() -> None:
    np.testing.assert_allclose(init.normal(SHAPE, 0.5, 3, mean=2.0), init.normal(SHAPE, 0.5, 3) + 2.0, rtol=1e-15)
    for values, expected in ((init.zeros((2, 3)), 0.0), (init.ones((2, 3)), 1.0), (init.constant((2, 3), -0.5), -0.5)):
        np.testing.assert_array_equal(values, np.full((2, 3), expected), strict=True)
    assert init.constant((), 2).shape == ()
    assert init.normal((2, 3, 4), seed=0).shape == (2, 3, 4)


def test_the_numbers_of_the_first_version_stay() -> None:
    """Whoever seeded a network gets the same one."""
    draws = np.random.default_rng(7)
    np.testing.assert_array_equal(init.kaiming_normal((7, 5), 7), draws.normal(size=(7, 5)) * math.sqrt(2.0 / 7))
    bound = math.sqrt(6.0 / 12)
    np.testing.assert_array_equal(
        init.xavier_uniform((7, 5), 7), np.random.default_rng(7).uniform(-bound, bound, (7, 5))
    )
    np.testing.assert_array_equal(init.normal((7, 5), 0.3, 7), np.random.default_rng(7).normal(size=(7, 5)) * 0.3)


@pytest.mark.parametrize("name", DRAWN)
def test_a_seed_is_a_result(name: str) -> None:
    f = getattr(init, name)
    one, generator = f((6, 5), seed=3), np.random.default_rng(3)
    np.testing.assert_array_equal(f((6, 5), seed=3), one)
    np.testing.assert_array_equal(f((6, 5), seed=generator), one)
    assert not np.array_equal(f((6, 5), seed=generator), one)
    assert not np.array_equal(f((6, 5)), f((6, 5)))


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (1, 4), (4, 1), (1, 1), (300, 200)])
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_orthogonal(shape: tuple[int, int], gain: float) -> None:
    q = init.orthogonal(shape, 5, gain=gain)
    assert q.shape == shape
    product = q.T @ q if shape[0] >= shape[1] else q @ q.T
    np.testing.assert_allclose(product, gain**2 * np.eye(min(shape)), atol=1e-13)


def test_orthogonal_matrices_are_equally_likely() -> None:
    """Without the signs, LAPACK's Q of a 1x1 matrix is always 1, and larger ones lean to one side as well."""
    generator = np.random.default_rng(0)
    numbers = [init.orthogonal((1, 1), generator).item() for _ in range(400)]
    assert 140 < sum(number > 0 for number in numbers) < 260
    squares = np.array([init.orthogonal((3, 3), generator) for _ in range(3000)])
    np.testing.assert_allclose(squares.mean(axis=0), np.zeros((3, 3)), atol=0.05)
    np.testing.assert_allclose((squares**2).mean(axis=0), np.full((3, 3), 1 / 3), atol=0.03)
    traces = np.trace(squares, axis1=1, axis2=2)
    assert traces.mean() == pytest.approx(0.0, abs=0.08)
    assert traces.var() == pytest.approx(1.0, abs=0.1)  # of Haar's measure: E trace(Q) ** 2 = 1
    assert np.mean(np.linalg.det(squares) > 0) == pytest.approx(0.5, abs=0.05)


def test_gains() -> None:
    expected = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2.0), "selu": 0.75}
    for name, gain in expected.items():
        assert init.calculate_gain(name) == pytest.approx(gain, rel=1e-15)
    assert init.calculate_gain("leaky_relu") == pytest.approx(math.sqrt(2 / (1 + 0.01**2)), rel=1e-15)
    assert init.calculate_gain("leaky_relu", 0.2) == pytest.approx(math.sqrt(2 / 1.04), rel=1e-15)
    assert init.calculate_gain("relu", 0.2) == init.calculate_gain("relu")


@pytest.mark.parametrize("name", FANS)
@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ((5,), ValueError, r"shape: given \(5,\), expected two axes, \(fan_in, fan_out\)"),
        ((5, 2, 2), ValueError, r"shape: given \(5, 2, 2\), expected two axes"),
        ((), ValueError, r"shape: given \(\), expected two axes"),
        ((0, 3), ValueError, r"shape: given \(0, 3\), expected axes of at least 1"),
        ((3, -1), ValueError, r"shape: given \(3, -1\), expected axes of at least 1"),
        (5, TypeError, "shape: given 5, expected two axes"),
        ((2.0, 3), TypeError, r"shape: given \(2.0, 3\), expected integers"),
        ((True, 3), TypeError, r"shape: given \(True, 3\), expected integers"),
    ],
)
def test_fans_need_two_axes(name: str, shape: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{name}: {message}"):
        getattr(init, name)(shape, seed=0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: init.normal((2,), -1.0), ValueError, "std: given -1.0, expected a finite number of at least 0"),
        (lambda: init.normal((2,), math.nan), ValueError, "std: given nan"),
        (lambda: init.normal((2,), mean=math.inf), ValueError, "mean: given inf, expected a finite number"),
        (lambda: init.normal((2,), mean="0"), TypeError, "mean: given '0', expected a number"),
        (lambda: init.uniform((2,), 1.0, 0.0), ValueError, "low: given 1.0, which is above high, 0.0: exchange them"),
        (lambda: init.uniform((2,), -math.inf, 0.0), ValueError, "low: given -inf"),
        (lambda: init.uniform((2,), 0.0, True), TypeError, "high: given True, expected a number"),
        (lambda: init.constant((2,), math.nan), ValueError, "value: given nan, expected a finite number"),
        (lambda: init.xavier_normal((2, 2), gain=-1.0), ValueError, "gain: given -1.0"),
        (lambda: init.xavier_uniform((2, 2), gain=math.inf), ValueError, "gain: given inf"),
        (lambda: init.orthogonal((2, 2), gain=-1.0), ValueError, "gain: given -1.0"),
        (lambda: init.kaiming_normal((2, 2), mode="fan"), ValueError, "^kaiming_normal: mode: given 'fan', expected"),
        (lambda: init.kaiming_uniform((2, 2), mode=0), ValueError, "^kaiming_uniform: mode: given 0"),
        (lambda: init.kaiming_normal((2, 2), nonlinearity="swish"), ValueError, "nonlinearity: given 'swish', expected "
                                                                                "one of 'linear', .*'leaky_relu'"),
        (lambda: init.calculate_gain("leaky_relu", math.nan), ValueError, "negative_slope: given nan"),
        (lambda: init.calculate_gain("leaky_relu", "0.1"), TypeError, "negative_slope: given '0.1'"),
        (lambda: init.lecun_normal((2, 2), "a"), TypeError, "seed: given 'a'"),
    ],
)  # fmt: skip
def test_bad_arguments(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_nothing_is_drawn_when_an_argument_is_wrong() -> None:
    generator, fresh = np.random.default_rng(1), np.random.default_rng(1)
    for call in (
        lambda: init.normal((2,), -1.0, generator),
        lambda: init.uniform((2,), 1.0, 0.0, generator),
        lambda: init.kaiming_normal((2,), generator),
        lambda: init.orthogonal((2, 2), generator, gain=-1.0),
    ):
        with pytest.raises(ValueError, match="given"):
            call()
    assert generator.random() == fresh.random()


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ((2, -1), ValueError, r"given \(2, -1\), expected"),
        ((2, 1.5), TypeError, r"given \(2, 1\.5\), expected"),
        ((2, True), TypeError, r"given \(2, True\), expected"),
        (None, TypeError, "given None, expected"),
        ("ab", TypeError, "given 'ab', expected"),
    ],
)
@pytest.mark.parametrize(
    "name", ["normal", "uniform", "zeros", "ones", "constant", "kaiming_normal", "xavier_uniform", "orthogonal"]
)
def test_shapes_that_are_none_are_named(name: str, shape: Any, error: type[Exception], message: str) -> None:
    arguments = (0.5,) if name == "constant" else ()
    with pytest.raises(error, match=f"^{name}: shape: {message}"):
        getattr(init, name)(shape, *arguments)


def test_shapes_may_be_empty_or_one_number() -> None:
    assert init.normal((0, 3), seed=0).shape == (0, 3)
    assert init.zeros((), 0).shape == ()
    assert init.ones(np.int64(3)).shape == init.uniform(3, seed=0).shape == init.constant([3], 1.0).shape == (3,)

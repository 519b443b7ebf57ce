"""Wrong answers that other automatic differentiation engines have given: each must be right here."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg


def leaf(data: Any, dtype: Any = np.float64) -> tg.Tensor:
    return tg.tensor(data, dtype=dtype, requires_grad=True)


def test_where_keeps_the_gradient_of_a_scalar_branch_scalar() -> None:
    condition = np.array([True, False, True])
    x, s = leaf([1.0, 2.0, 3.0]), leaf(5.0)
    np.where(condition, x, s).sum().backward()
    assert s.grad.shape == ()
    assert s.grad == 1.0
    assert x.grad.tolist() == [1.0, 0.0, 1.0]
    x.grad = s.grad = None
    np.where(condition, s, x).sum().backward()
    assert s.grad.shape == ()
    assert s.grad == 2.0
    assert tg.gradients(np.where(condition, x, 0.0), x, np.ones(3))[0].tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("f",
[np.mean, np.max, np.min, np.var, np.std, np.prod, np.sum, np.exp2, np.log10, np.log2, np.sqrt,
                               np.reciprocal, tg.logsumexp, tg.sigmoid, lambda x: x**2, lambda x: x**0.5,
                               lambda x: 2.0**x,
                               lambda x: x / 3, lambda x: 3 / x, lambda x: np.var(x, axis=0, ddof=1),
                               lambda x: np.mean(x, axis=0)])  # fmt: skip
@pytest.mark.parametrize("create_graph", [False, True])
def test_float32_gradients_stay_float32(f: Any, create_graph: bool) -> None:
    x = leaf([1.0, 2.0, 4.0], np.float32)
    out = f(x)
    assert out.dtype == np.float32
    (d,) = tg.gradients(out.sum(), x, create_graph=create_graph)
    assert d.dtype == np.float32
    wide = leaf([1.0, 2.0, 4.0])
    np.testing.assert_allclose(d.data, tg.gradients(f(wide).sum(), wide)[0].data, rtol=1e-5, atol=1e-6)


def test_a_python_number_does_not_widen() -> None:
    x = leaf([1.0, 2.0], np.float32)
    for out in (
        x * 2.0,
        2.0 * x,
        x + 1,
        1 - x,
        x / 3.0,
        3.0 / x,
        x**2,
        2.0**x,
        x @ np.ones(2, np.float32),
        np.maximum(x, 0.0),
        x * True,
    ):
        assert out.dtype == np.float32
        out.sum().backward()
        assert x.grad.dtype == np.float32
    zero_d = leaf(1.5, np.float32)
    assert (zero_d * 2.0).dtype == np.float32
    assert ((zero_d * 2.0).sum() + 1.0).dtype == np.float32


def test_prod_with_zeros() -> None:
    x = leaf([2.0, 0.0, 3.0])
    x.prod().backward()
    assert x.grad.tolist() == [0.0, 6.0, 0.0]
    x = leaf([[2.0, 0.0], [0.0, 0.0]])
    x.prod(axis=1).sum().backward()
    assert x.grad.tolist() == [[0.0, 2.0], [0.0, 0.0]]


def test_the_two_gradients_of_a_sum_are_two_arrays() -> None:
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    z = x + w
    z.backward(np.ones(2))
    assert x.grad is not w.grad
    x.grad *= 10.0
    assert w.grad.tolist() == [1.0, 1.0]


def test_a_shared_computed_tensor_gets_all_its_gradients() -> None:
    """Pulled once, after everything that uses it, whatever the order in which the uses were written."""
    x = leaf(3.0)
    h = x * 2.0
    late = h * h
    out = late * h + h
    out.backward()
    assert x.grad == 3 * (2 * 3.0) ** 2 * 2 + 2
    x.grad = None
    a = x + 1.0
    b = a * a
    c = b + a
    (c * b + a).backward()
    value = 4.0
    assert x.grad == (2 * value + 1) * value**2 + (value**2 + value) * 2 * value + 1


def test_two_threads_differentiate_at_once() -> None:
    x = leaf(np.linspace(0.0, 1.0, 50))
    found: dict[int, np.ndarray] = {}
    start = threading.Barrier(2)

    def work(n: int) -> None:
        start.wait(10)
        for _ in range(30):
            (d,) = tg.gradients((x**n).sum(), x)
        found[n] = d.data

    threads = [threading.Thread(target=work, args=(n,)) for n in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(found[2], 2 * x.data)
    np.testing.assert_allclose(found[3], 3 * x.data**2)


def test_doubling_18_times_is_18_steps() -> None:
    x = leaf(1.0)
    h = x
    for _ in range(18):
        h = h + h
    start = tg.engine.node.tick()
    h.backward()
    assert x.grad == 2.0**18
    assert tg.engine.node.tick() == start + 1  # and backward records nothing
    assert len(tg.Graph(h)) == 19  # drawn at once


def test_using_a_tensor_does_not_clear_its_grad() -> None:
    x = leaf([1.0, 2.0])
    (x * 3.0).sum().backward()
    kept = x.grad
    _ = x + 1.0
    with tg.no_grad():
        _ = x * x
    _ = x.detach()
    assert x.grad is kept
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_float64_operand_does_not_widen_the_gradient_of_a_float32_one() -> None:
    x, w = leaf(np.ones((2, 3)), np.float32), leaf(np.ones((3, 2)))
    for create_graph in (False, True):
        out = (np.tanh(x @ w) * 2.0).sum()
        dx, dw = tg.gradients(out, [x, w], create_graph=create_graph)
        assert (dx.dtype, dw.dtype) == (np.float32, np.float64)
    a, b = leaf([1.0, 2.0], np.float32), leaf([3.0, 4.0])
    for f in (np.multiply, np.add, np.divide, np.maximum):
        for pair in ((a, b), (b, a)):
            f(*pair).sum().backward()
            assert (a.grad.dtype, b.grad.dtype) == (np.float32, np.float64)
            a.grad = b.grad = None


def test_a_repeated_index_adds_up() -> None:
    x = leaf([1.0, 2.0, 3.0])
    x[np.array([0, 0, 2, 0])].sum().backward()
    assert x.grad.tolist() == [3.0, 0.0, 1.0]


def test_broadcasting_sums_over_what_was_stretched() -> None:
    b, x = leaf([[1.0, 2.0, 3.0]]), leaf(np.ones((4, 3)))
    s = leaf(2.0)
    ((x + b) * s).sum().backward()
    assert b.grad.tolist() == [[8.0, 8.0, 8.0]]
    assert s.grad.shape == ()
    assert s.grad == x.data.sum() + 4 * b.data.sum()


def test_ties_share_the_gradient_of_max() -> None:
    x = leaf([3.0, 1.0, 3.0])
    x.max().backward()
    assert x.grad.tolist() == [0.5, 0.0, 0.5]


def test_an_array_on_the_left_does_not_swallow_the_tensor() -> None:
    x = leaf([1.0, 2.0])
    for out in (
        np.ones(2) * x,
        np.float64(2.0) * x,
        np.ones((2, 2)) @ x,
        np.ones(2) - x,
        [1.0, 2.0] * x,
        np.ones(2) > x,
    ):
        assert type(out) is tg.Tensor
        assert out.shape == (2,)


def test_a_deep_chain_needs_no_recursion() -> None:
    x = leaf(1.0)
    h = x
    for _ in range(5_000):
        h = np.sin(h) * 1.0
    (d,) = tg.gradients(h, x, create_graph=True)
    assert tg.gradients(d, x)[0].shape == ()

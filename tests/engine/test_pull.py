"""Pull: the unrolled path of ufuncs of two tensors, and leaves that are newer than operations."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.engine import op


def leaf(*values: float) -> tg.Tensor:
    return tg.tensor(np.array(values), requires_grad=True)


def test_gradients_along_a_chain_of_products_share_no_memory() -> None:
    """Each target has the gradient that a plain loop gives, in an array of its own, and the saved values stay."""
    start, w = leaf(2.0, 3.0), leaf(1.1, 0.9)
    chain = [start]
    for _ in range(5):
        chain.append(chain[-1] * w)
    found = tg.gradients(chain[-1].sum(), [*chain[:-1], w], retain_graph=True)
    g, w_grad = np.ones(2), np.zeros(2)
    for before, d in zip(reversed(chain[:-1]), reversed(found[:-1]), strict=True):
        w_grad, g = w_grad + g * before.data, g * w.data
        np.testing.assert_allclose(d.data, g, rtol=1e-15)
    np.testing.assert_allclose(found[-1].data, w_grad, rtol=1e-15)
    arrays = [tensor.data for tensor in (*found, *chain, w)]
    for n, array in enumerate(arrays):
        assert not any(np.shares_memory(array, other) for other in arrays[:n])
    only = tg.gradients(chain[-1].sum(), chain[2])[0]  # below it nothing is asked for, and w is not either
    np.testing.assert_allclose(only.data, w.data**3, rtol=1e-15)


def test_a_leaf_made_late_is_no_overwritten_one() -> None:
    """It is newer than the operations before it, which did not use it."""
    x = leaf(2.0)
    y = x * x
    w = leaf(3.0)
    z = y * w
    z.backward()
    assert (x.grad.tolist(), w.grad.tolist()) == ([12.0], [4.0])


def test_a_rule_that_is_one_product_runs_as_numpys_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where it is this and no more; another's rules stay guarded, so that they cannot write into a gradient."""
    assert tg.multiply.op.pulls == (np.multiply, np.multiply)
    assert np.multiply not in (*tg.divide.op.pulls, *tg.square.op.pulls)
    monkeypatch.setattr(op, "REGISTRY", dict(op.REGISTRY))
    monkeypatch.setattr(op, "functions", SimpleNamespace(late=lambda function: None))
    mine = tg.op(lambda x, y: x * y, name="mine", x=lambda g, y: g * y, y=lambda g, x: g * x)
    assert np.multiply not in mine.op.pulls
    x, y = leaf(2.0, 3.0), leaf(5.0, 7.0)
    for record in (tg.multiply, mine):
        (first,) = tg.gradients(record(x, record(x, y)).sum(), x, create_graph=True)
        (second,) = tg.gradients(first.sum(), x)
        assert (first.data.tolist(), second.data.tolist()) == ([20.0, 42.0], [10.0, 14.0])

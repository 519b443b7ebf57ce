"""Pull: the unrolled path of ufuncs of two tensors, leaves that are newer than operations, the kinds of nodes."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.engine import op
from tinygrad_fc.engine.node import Node, Observer, recording
from tinygrad_fc.engine.op import REGISTRY

ALIKE = [operation for operation in REGISTRY.values() if operation.alike]


def leaf(*values: float, name: str | None = None) -> tg.Tensor:
    return tg.tensor(np.array(values), requires_grad=True, name=name)


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


def test_of_leaves_made_late_the_overwritten_one_is_found() -> None:
    """Whether backward meets the operations newest first or, as after a fork, has to sort them."""
    stale = r"leaf 'w' \(1,\) was overwritten after op 'multiply' \(1,\) had used it"
    for fork in (False, True):
        x = leaf(2.0)
        y = x * x
        w, v = leaf(3.0, name="w"), leaf(5.0, name="v")
        z = y * w + y if fork else y * w
        loss = z * v
        w.data = np.array([4.0])
        with pytest.raises(RuntimeError, match=stale):
            loss.backward()
        assert (x.grad, w.grad, v.grad) == (None, None, None)


def test_an_observer_is_shown_everything_newest_first() -> None:
    numbers: list[int] = []

    class Walks(Observer):
        def walk(self, order: list[Node], pending: dict[Node, Any]) -> Iterator[Node]:
            numbers.extend(node.number for node in order)
            yield from order

    x = leaf(2.0)
    y = x * x
    w = leaf(3.0)
    loss = tg.exp(y * w) + y
    with recording(Walks()):
        loss.backward()
    assert len(numbers) == 6
    assert numbers == sorted(numbers, reverse=True)


@pytest.mark.parametrize("scalar", [False, True])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8"])
def test_what_a_node_says_of_its_result_is_so(dtype: str, scalar: bool) -> None:
    """The shape and dtype that are taken over from an argument are the array's; gradients have the leaf's."""
    assert {"multiply", "add", "power", "exp", "maximum"} <= {operation.name for operation in ALIKE}
    with np.errstate(all="ignore"):
        for operation in ALIKE:
            x, y, z = (tg.tensor(np.array([0.5, 0.25][:n], dtype), requires_grad=True) for n in (2, 2, 1))
            if scalar:
                x, y = tg.tensor(x.data[0], requires_grad=True), tg.tensor(y.data[1], requires_grad=True)
            calls: list[tuple[Any, ...]] = [(x,)]
            if len(operation.arguments) == 2:
                calls = [(x, y), (x, x), (x, 2), (x, 0.5), (2, x), (0.5, x), (x, x.data), (x, tg.exp(y)), (x, z)]
            for arguments in calls:
                out = operation.record(*arguments)
                assert type(out.data) is np.ndarray
                assert (out.node.shape, out.node.dtype) == (out.shape, out.dtype), operation.name
                x.grad = None
                out.sum().backward()
                assert (x.grad.shape, x.grad.dtype) == (x.shape, x.dtype), operation.name


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


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_create_graph_records_what_is_made_of_the_weights_under_no_grad(dtype: type) -> None:
    """They were added up, and cast, before recording was switched on: their derivative was zero, without a word."""
    x, v = leaf(1.0, 2.0), tg.tensor(np.ones(2, dtype), requires_grad=True)
    y = x * x
    with tg.no_grad():
        (d,) = tg.gradients([y, y], [x], [v, v], create_graph=True)
    assert d.tolist() == [4.0, 8.0]
    assert tg.gradients(d.sum(), v)[0].tolist() == [4.0, 8.0]
    with tg.no_grad():
        (d,) = tg.gradients([y], [x], [v], create_graph=True)
    assert tg.gradients(d.sum(), v)[0].tolist() == [2.0, 4.0]
    with tg.no_grad():
        assert tg.jvp(lambda t: [s := t * t, s], (np.array([1.0, 2.0]),), (np.ones(2),))[1][0].tolist() == [2.0, 4.0]


def test_what_was_overwritten_in_a_part_that_is_not_asked_for_does_not_matter() -> None:
    """As a generator's weights are after its step, when the discriminator's gradient is taken."""
    g, d = leaf(1.0, 2.0), leaf(3.0, 4.0)
    loss = ((g * 2.0) * d).sum()
    g.data = [9.0, 9.0]
    assert tg.gradients(loss, d, retain_graph=True)[0].tolist() == [2.0, 4.0]
    with pytest.raises(RuntimeError, match="overwritten"):
        tg.gradients(loss, g, retain_graph=True)
    used = (g * d).sum()
    g.data = [1.0, 1.0]
    with pytest.raises(RuntimeError, match="overwritten"):  # its values are what the rule of d reads
        tg.gradients(used, d)

"""Backward: accumulation, order, what is freed, what is stale, gradients() at any place, and higher orders."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg


def leaf(*values: float, name: str | None = None) -> tg.Tensor:
    return tg.tensor(np.array(values), requires_grad=True, name=name)


# ---- accumulation and sharing


def test_gradients_add_up_over_backwards_and_uses() -> None:
    x = leaf(2.0, 3.0)
    (x * x).sum().backward()
    assert x.grad.tolist() == [4.0, 6.0]
    first = x.grad
    (x * 1.0).sum().backward()
    assert x.grad.tolist() == [5.0, 7.0]
    assert first.tolist() == [4.0, 6.0]  # what a user took out does not change under the hands
    assert (x.data == [2.0, 3.0]).all()


def test_using_a_tensor_keeps_its_grad() -> None:
    x = leaf(2.0)
    (x * 3.0).sum().backward()
    y = x * 5.0
    assert x.grad.tolist() == [3.0]
    y.sum().backward()
    assert x.grad.tolist() == [8.0]


def test_a_shared_result_gets_all_its_gradients() -> None:
    x = leaf(2.0)
    h = x * x
    (h + h * 3.0 + np.exp(h * 0.0)).sum().backward()
    assert x.grad.tolist() == [16.0]


def test_a_diamond_pulls_each_node_once() -> None:
    """18 doublings of a shared tensor are 18 pulls, not 2 ** 18."""
    x = leaf(1.0)
    h = x
    for _ in range(18):
        h = h + h
    h.sum().backward()
    assert x.grad.tolist() == [2.0**18]


def test_gradients_never_alias() -> None:
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    g = np.ones(2)
    z = x + w
    z.retain_grad()
    z.backward(g)
    arrays = [x.grad, w.grad, z.grad, g, x.data, w.data, z.data]
    for n, a in enumerate(arrays):
        for b in arrays[:n]:
            assert not np.shares_memory(a, b)
    x.grad += 1.0
    assert w.grad.tolist() == [1.0, 1.0]
    y = leaf(1.0, 2.0)
    y.backward(g)  # a leaf is its own result
    assert not np.shares_memory(y.grad, g)


def test_reshaped_and_transposed_gradients_are_arrays_of_their_own(rng: np.random.Generator) -> None:
    x = tg.tensor(rng.normal(size=(2, 3)), requires_grad=True)
    for f in (
        lambda t: t.T,
        lambda t: t.reshape(3, 2),
        lambda t: t[:],
        lambda t: np.broadcast_to(t, (2, 3)),
        lambda t: t[None, 0],
    ):
        x.grad = None
        g = np.ones(f(x).shape)
        f(x).backward(g)
        assert x.grad.flags.writeable
        assert x.grad.flags.c_contiguous
        assert not np.shares_memory(x.grad, g)


# ---- seeds


def test_a_non_scalar_needs_a_gradient() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(
        ValueError, match=r"the tensor has shape \(2,\).*t\.sum\(\)\.backward\(\), or give gradient of shape \(2,\)"
    ):
        (x * 2.0).backward()
    assert x.grad is None
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\), expected that of the tensor, \(2,\)"):
        (x * 2.0).backward(np.ones(3))
    with pytest.raises(TypeError, match="gradient has dtype complex128, expected float64"):
        (x * 2.0).backward(np.ones(2, complex))
    with pytest.raises(TypeError, match="gradient has dtype <U1"):
        (x * 2.0).backward(["a", "b"])
    (x * 2.0).backward([1, 3])
    assert x.grad.tolist() == [2.0, 6.0]
    (x * 2.0).backward(tg.tensor([1.0, 1.0]))
    assert x.grad.tolist() == [4.0, 8.0]
    x.grad = None
    (x * 2.0)[:1].backward()  # one element is a scalar in all but shape
    assert x.grad.tolist() == [2.0, 0.0]


def test_what_needs_no_gradient_has_no_backward() -> None:
    x = leaf(1.0)
    with tg.no_grad():
        unrecorded = (x * 2.0).sum()
    for t in (tg.tensor(1.0), unrecorded, x.detach().sum(), (x > 0).sum()):
        with pytest.raises(
            TypeError, match="needs no gradient: no input of it was made with requires_grad=True, or .*no_grad"
        ):
            t.backward()
        with pytest.raises(TypeError, match="needs no gradient"):
            tg.gradients(t, x)
    with pytest.raises(TypeError, match=r"inputs\[1\] needs no gradient"):
        tg.gradients(x.sum(), [x, tg.tensor(1.0)])
    with pytest.raises(TypeError, match=r"inputs\[0\] needs no gradient"):
        tg.gradients(x.sum(), [np.ones(3)])


def test_what_is_no_tensor_is_named() -> None:
    x = leaf(1.0)
    for outputs, inputs, argument in ((3.0, x, "outputs"), (x.sum(), 3.0, "inputs"), ([3.0], x, "tensor")):
        with pytest.raises(TypeError, match=argument):
            tg.gradients(outputs, inputs)
    with pytest.raises(ValueError, match="outputs"):
        tg.gradients([], x)


def test_detach_cuts() -> None:
    x = leaf(3.0)
    (x * x.detach()).sum().backward()
    assert x.grad.tolist() == [3.0]


# ---- freed, retained, stale


def test_a_second_backward_names_the_operation_and_the_cure() -> None:
    x = leaf(1.0)
    loss = np.exp(x).sum()
    loss.backward()
    with pytest.raises(
        RuntimeError, match=r"freed by an earlier backward at op '(sum|exp)'.*backward\(retain_graph=True\)"
    ):
        loss.backward()
    assert x.grad.tolist() == [math.e]
    with pytest.raises(RuntimeError, match="freed"):
        tg.gradients(loss, x)
    shared = x * 2.0
    shared.sum().backward()
    with pytest.raises(RuntimeError, match="freed by an earlier backward at op 'multiply'"):
        (shared * 3.0).sum().backward()


def test_retain_graph() -> None:
    x = leaf(2.0)
    loss = (x**3).sum()
    for n in range(1, 4):
        loss.backward(retain_graph=True)
        assert x.grad.tolist() == [12.0 * n]
    loss.backward()
    with pytest.raises(RuntimeError, match="freed"):
        loss.backward()
    loss = (x**3).sum()
    tg.gradients(loss, x, retain_graph=True)
    tg.gradients(loss, x, create_graph=True)
    tg.gradients(loss, x)
    with pytest.raises(RuntimeError, match="freed"):
        tg.gradients(loss, x)
    loss = (x**3).sum()
    tg.gradients(loss, x, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="freed"):
        loss.backward()


def test_retain_grad() -> None:
    x = leaf(2.0)
    h = x * 3.0
    h.retain_grad()
    k = h * 5.0
    k.sum().backward(retain_graph=True)
    assert (h.grad.tolist(), k.grad) == ([5.0], None)
    k.sum().backward()
    assert h.grad.tolist() == [10.0]
    with pytest.raises(TypeError, match="retain_grad: the tensor needs no gradient"):
        tg.tensor(1.0).retain_grad()


def test_freed_above_but_the_target_below_is_reached() -> None:
    """Only the part that leads to the inputs counts: what is freed elsewhere does not hinder."""
    x = leaf(2.0)
    h = x * x
    tg.gradients((h * 3.0).sum(), h)  # stops at h: what lies above is not freed
    assert tg.gradients((h * 3.0).sum(), x)[0].tolist() == [12.0]
    assert tg.gradients((h * 5.0).sum(), h)[0].tolist() == [5.0]  # above h all is freed now, and not needed
    with pytest.raises(RuntimeError, match="freed by an earlier backward at op 'multiply'"):
        tg.gradients((h * 5.0).sum(), x)
    w = leaf(1.0)
    assert tg.gradients((h * w).sum(), w)[0].tolist() == [4.0]


def test_an_overwritten_leaf_is_found_and_both_are_named() -> None:
    w, x = leaf(1.0, name="W1"), leaf(5.0)

    def overwrite(how: str) -> None:
        if how == "assign":
            w.data = np.array([3.0])
        elif how == "update":
            w.data -= 0.5
        else:
            w._array[...] = 3.0
            w.touch_()

    for how in ("assign", "update", "touch"):
        loss = (w * x).sum()
        overwrite(how)
        with pytest.raises(
            RuntimeError, match=r"leaf 'W1' \(1,\) was overwritten after op 'multiply' \(1,\) had used it.*anew"
        ):
            loss.backward()
        assert (w.grad, x.grad) == (None, None)
        with pytest.raises(RuntimeError, match="overwritten"):
            tg.gradients(loss, x)
    (w * x).sum().backward()
    assert x.grad.tolist() == w.data.tolist()


# ---- gradients()


def test_gradients_writes_no_grad() -> None:
    x, y = leaf(2.0), leaf(3.0)
    found = tg.gradients((x * y).sum(), [x, y])
    assert [type(d) for d in found] == [tg.Tensor, tg.Tensor]
    assert [d.tolist() for d in found] == [[3.0], [2.0]]
    assert not any(d.requires_grad for d in found)
    assert (x.grad, y.grad) == (None, None)


def test_gradients_at_computed_tensors() -> None:
    x = leaf(2.0)
    h = x * 3.0
    k = h * h
    out = (k + h).sum()
    dk, dh, dx, same, dout = tg.gradients(out, [k, h, x, h, out])
    assert [d.tolist() for d in (dk, dh, dx, same)] == [[1.0], [13.0], [39.0], [13.0]]
    assert dout.item() == 1.0
    assert not np.shares_memory(dh.data, same.data)


def test_unused_inputs_get_zeros() -> None:
    x, y = leaf(1.0), tg.tensor(np.ones((2, 2), np.float32), requires_grad=True)
    for create_graph in (False, True):
        _, d = tg.gradients((x * 2.0).sum(), [x, y], create_graph=create_graph)
        assert (d.shape, d.dtype, d.data.any()) == ((2, 2), np.float32, np.False_)
    assert tg.gradients(x.sum() * 0.0 + 1.0, x)[0].tolist() == [0.0]


def test_several_outputs_are_summed_with_their_weights() -> None:
    x = leaf(2.0, 3.0)
    a, b = (x * x).sum(), x * 10.0
    (d,) = tg.gradients([a, b], x, [None, np.array([1.0, 2.0])], retain_graph=True)
    assert d.tolist() == [14.0, 26.0]
    (d,) = tg.gradients([a, a], x, retain_graph=True)
    assert d.tolist() == [8.0, 12.0]
    (d,) = tg.gradients(b, x, [1, 1], retain_graph=True)
    assert d.tolist() == [10.0, 10.0]
    h = x * 2.0
    (d,) = tg.gradients([h.sum(), (h * h).sum()], h)  # one output is above the other
    assert d.tolist() == [9.0, 13.0]
    with pytest.raises(ValueError, match="given 1 grad_outputs for 2 outputs, expected one each"):
        tg.gradients([a, b], x, [np.ones(())])
    with pytest.raises(ValueError, match=r"grad_outputs\[1\] of shape \(2,\)"):
        tg.gradients([a, b], x)
    with pytest.raises(ValueError, match=r"grad_outputs\[1\] has shape \(3,\), expected .* \(2,\)"):
        tg.gradients([a, b], x, [None, np.ones(3)])


def test_the_weights_of_outputs_are_differentiable_too() -> None:
    """The gradient is linear in its weights, so its own gradient is a product with the Jacobian: forward mode."""
    x, v = leaf(2.0, 3.0), leaf(1.0, 1.0)
    (d,) = tg.gradients(x**3, x, v, create_graph=True)
    (back,) = tg.gradients(d, v, np.array([1.0, 10.0]))
    assert back.tolist() == [12.0, 270.0]


# ---- higher orders


@pytest.mark.parametrize(
    ("f", "derivatives"),
    [
        (lambda x: x**4, [32.0, 48.0, 48.0]),
        (np.exp, [math.exp(2)] * 3),
        (lambda x: 1.0 / x, [-0.25, 0.25, -0.375]),
        (np.log, [0.5, -0.25, 0.25]),
        (np.tanh, None),
        (
            lambda x: x * np.sin(x),
            [math.sin(2) + 2 * math.cos(2), 2 * math.cos(2) - 2 * math.sin(2), -3 * math.sin(2) - 2 * math.cos(2)],
        ),
        (lambda x: np.sqrt(x) @ x, [1.5 * 2**0.5, 0.75 * 2**-0.5, -0.375 * 2**-1.5]),
        (lambda x: np.einsum("i,i,i->", x, x, x), [12.0, 12.0, 6.0]),
        (lambda x: tg.logsumexp(np.stack([x, 0 * x]), axis=0), None),
        (lambda x: np.concatenate([x, x * x]).prod(), [12.0, 12.0, 6.0]),
        (lambda x: x[np.array([0, 0])].prod(), [4.0, 2.0, 0.0]),
    ],
)
def test_three_orders(f: Any, derivatives: list[float] | None) -> None:
    if derivatives is None:
        sigma = 1 / (1 + math.exp(-2.0))
        t = math.tanh(2.0)
        derivatives = {
            np.tanh: [1 - t * t, -2 * t * (1 - t * t), (1 - t * t) * (6 * t * t - 2)],
        }.get(f, [sigma, sigma * (1 - sigma), sigma * (1 - sigma) * (1 - 2 * sigma)])
    x = leaf(2.0)
    d = f(x)
    for expected in derivatives:
        (d,) = tg.gradients(d.sum(), x, create_graph=True)
        assert d.data[0] == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_the_gradient_of_a_gradient_reaches_grad() -> None:
    """A penalty on the gradient, as it is trained: backward through gradients()."""
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (d,) = tg.gradients((w * x * x).sum(), x, create_graph=True)
    (d * d).sum().backward()
    np.testing.assert_allclose(w.grad, 8.0 * w.data * x.data**2)
    np.testing.assert_allclose(x.grad, 8.0 * w.data**2 * x.data)


def test_create_graph_records_under_no_grad() -> None:
    x = leaf(2.0)
    loss = (x**3).sum()
    with tg.no_grad():
        (d,) = tg.gradients(loss, x, create_graph=True)
    assert tg.gradients(d.sum(), x)[0].tolist() == [12.0]


def test_a_constant_derivative_can_be_refused_or_zero() -> None:
    x = leaf(2.0)
    (d,) = tg.gradients((x * 3.0).sum(), x, create_graph=True)
    assert d.tolist() == [3.0]
    if d.requires_grad:
        assert tg.gradients(d.sum(), x)[0].tolist() == [0.0]
    else:
        with pytest.raises(TypeError, match="needs no gradient"):
            tg.gradients(d.sum(), x)


# ---- depth


def test_a_chain_of_100_000() -> None:
    x = leaf(1.0)
    h = x
    for _ in range(100_000):
        h = h + 1.0
    (d,) = tg.gradients(h.sum(), x, retain_graph=True)
    assert d.tolist() == [1.0]
    (d,) = tg.gradients(h.sum(), x, create_graph=True)
    assert d.tolist() == [1.0]
    h.backward()
    assert x.grad.tolist() == [1.0]


def test_a_chain_of_1_000_000_is_recorded_differentiated_and_freed() -> None:
    x = tg.tensor(0.0, requires_grad=True)
    h = x
    for _ in range(1_000_000):
        h = h + 1.0
    assert h.item() == 1e6
    h.backward()
    assert x.grad.item() == 1.0
    del h  # a million nodes, freed without recursion
    (x * 2.0).backward()
    assert x.grad.item() == 3.0

"""Fused operations: the numbers of the course, equality with their composition in a whole network, and bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.engine.op import REGISTRY

FUSED = sorted(name for name, op in REGISTRY.items() if op.compose is not None)


# ---- the numbers of the course CS231n, assignment 2


def test_affine_forward_of_the_course() -> None:
    x = np.linspace(-0.1, 0.5, num=2 * 4 * 5 * 6).reshape(2, 4, 5, 6)
    w = np.linspace(-0.2, 0.3, num=3 * 120).reshape(120, 3)
    b = np.linspace(-0.3, 0.1, num=3)
    expected = [[1.49834967, 1.70660132, 1.91485297], [3.25553199, 3.5141327, 3.77273342]]
    np.testing.assert_allclose(tg.affine(x, w, b).data, expected, rtol=1e-8)


def test_relu_forward_of_the_course() -> None:
    expected = [[0, 0, 0, 0], [0, 0, 0.04545455, 0.13636364], [0.22727273, 0.31818182, 0.40909091, 0.5]]
    np.testing.assert_allclose(tg.relu(np.linspace(-0.5, 0.5, num=12).reshape(3, 4)).data, expected, rtol=1e-7)


def test_losses_of_the_course() -> None:
    rng = np.random.RandomState(231)
    x = tg.tensor(0.001 * rng.randn(50, 10), requires_grad=True)
    y = rng.randint(10, size=50)
    assert tg.svm_loss(x, y).item() == pytest.approx(8.999602749096233, rel=1e-14)
    assert tg.softmax_loss(x, y).item() == pytest.approx(2.302545844500738, rel=1e-14)
    for loss in (tg.svm_loss, tg.softmax_loss):
        for f in (loss, loss.op.compose):
            (d,) = tg.gradients(f(x, y), x)
            np.testing.assert_allclose(d.data.sum(axis=1), 0.0, atol=1e-15)


# ---- the same function, fused or composed

X, Y = np.linspace(-1.0, 1.0, 24).reshape(4, 6), np.array([0, 2, 1, 2])


def network(parts: dict[str, Any], w: list[tg.Tensor]) -> tg.Tensor:
    h = parts["affine_relu"](tg.tensor(X).reshape(4, 2, 3), w[0], w[1])
    h = parts["relu"](parts["affine"](h, w[2], w[3]))
    h = parts["affine"](h, w[4], w[5])
    return parts["softmax_loss"](h, Y) + 0.1 * parts["svm_loss"](h, Y, delta=0.5) + parts["l2_penalty"](w[0], 0.3)


def test_a_network_of_fused_operations_is_that_of_primitives(rng: np.random.Generator) -> None:
    shapes = [(6, 5), (5,), (5, 4), (4,), (4, 3), (3,)]
    arrays = [rng.normal(size=shape) for shape in shapes]
    weights = [rng.normal(size=shape) for shape in shapes]
    results = []
    for parts in ({name: getattr(tg, name) for name in FUSED}, {name: getattr(tg, name).op.compose for name in FUSED}):
        w = [tg.tensor(a, requires_grad=True) for a in arrays]
        loss = network(parts, w)
        first = tg.gradients(loss, w, create_graph=True)
        second = tg.gradients(sum((v * d).sum() for v, d in zip(weights, first, strict=True)), w)
        network(parts, w).backward()
        results.append([loss.data, *[d.data for d in (*first, *second)], *[t.grad for t in w]])
    for fused, composed in zip(*results, strict=True):
        np.testing.assert_allclose(fused, composed, rtol=1e-11, atol=1e-13, strict=True)
    for n in range(1, 7):
        np.testing.assert_allclose(results[0][n], results[0][n + 12], rtol=1e-13, atol=1e-15)


def test_a_fused_operation_is_one_node() -> None:
    w = [tg.tensor(np.ones((6, 2)), requires_grad=True), tg.tensor(np.ones(2), requires_grad=True)]
    out = tg.affine_relu(X, *w)
    assert out.node.op.name == "affine_relu"
    assert list(out.node.parents[1:]) == [t.node for t in w]
    assert out.node.parents[0].shape == (4, 6)


def test_second_order_reaches_through_a_kernel_that_left_things_behind() -> None:
    """Softmax's rule reads its slope; the Hessian must still be diag(p) - p p'."""
    x = tg.tensor([[0.3, -0.2, 0.9]], requires_grad=True)
    (d,) = tg.gradients(tg.softmax_loss(x, np.array([1])), x, create_graph=True)
    p = np.exp(x.data[0]) / np.exp(x.data[0]).sum()
    for k in range(3):
        (row,) = tg.gradients(d[0, k], x, retain_graph=True)
        np.testing.assert_allclose(row.data[0], p[k] * (np.arange(3) == k) - p[k] * p, rtol=1e-13)


def test_an_input_computed_from_another_input() -> None:
    """Through compose, too, the derivative with respect to an argument holds the others fixed."""
    x = tg.tensor(np.linspace(0.1, 0.6, 6).reshape(2, 3), requires_grad=True)
    for f in (tg.affine, tg.affine.op.compose):
        b = x.sum(axis=0)
        (d,) = tg.gradients((f(x, np.eye(3), b) ** 2).sum(), x, create_graph=True)
        out = x.data + b.data
        np.testing.assert_allclose(d.data, 2 * out + 2 * out.sum(axis=0), rtol=1e-14)
        (second,) = tg.gradients(d.sum(), x)
        np.testing.assert_allclose(second.data, np.full((2, 3), 18.0), rtol=1e-14)


# ---- bad input


LOSSES = ("softmax_loss", "svm_loss")


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (
            np.ones((3, 2)),
            [[0], [1], [0]],
            ValueError,
            r"y \(the labels\) has shape \(3, 1\), expected \(3,\).*Flatten it: np\.ravel\(y\)",
        ),
        (
            np.ones((3, 2)),
            np.eye(3, 2, dtype=int),
            ValueError,
            r"y .* has shape \(3, 2\), expected \(3,\).*np\.argmax\(y, axis=1\)",
        ),
        (np.ones((3, 2)), [0, 1], ValueError, r"y .* has shape \(2,\), expected \(3,\)"),
        (np.ones((3, 2)), 0, ValueError, r"y .* has shape \(\), expected \(3,\)"),
        (np.ones((3, 2)), [0, 2, 1], ValueError, r"y .* has 2 at row 1, expected 0 to 1 for the 2 columns of x"),
        (np.ones((3, 2)), [0, 1, -1], ValueError, r"y .* has -1 at row 2, expected 0 to 1"),
        (
            np.ones((3, 2)),
            [0.0, 1.0, 0.0],
            TypeError,
            r"y .* has dtype float64, expected integers: np\.asarray\(y, dtype=int\)",
        ),
        (np.ones((3, 2)), [True, False, True], TypeError, r"y .* has dtype bool, expected integers"),
        (np.ones((3, 2)), ["a", "b", "c"], TypeError, r"y .* has dtype <U1, expected integers"),
        (np.ones(3), [0, 0, 0], ValueError, r"x \(the scores\) has shape \(3,\), expected \(N, C\)"),
        (np.ones((3, 2, 1)), [0, 0, 0], ValueError, r"x .* has shape \(3, 2, 1\), expected \(N, C\)"),
        (np.ones((0, 2)), np.zeros(0, int), ValueError, r"x has shape \(0, 2\): the mean over an empty batch"),
    ],
)
def test_labels_that_do_not_fit(name: str, x: np.ndarray, y: Any, error: type[Exception], message: str) -> None:
    f = getattr(tg, name)
    t = tg.tensor(x, requires_grad=True)
    for module in (
        lambda: f(t, np.array(y)),
        lambda: tg.nn.SoftmaxLoss(fused=False)(t, y),
        lambda: tg.nn.SVMLoss(fused=False)(t, y),
    ):
        with pytest.raises(error, match=message) as caught:
            module()
        assert "_loss: " in str(caught.value)
    with pytest.raises(error, match=f"^{name}: "):
        f(x, y)
    assert t.grad is None


@pytest.mark.parametrize("name", LOSSES)
def test_labels_may_be_lists_tensors_and_any_integers(name: str) -> None:
    f, x = getattr(tg, name), np.arange(6.0).reshape(3, 2)
    expected = f(x, np.array([0, 1, 1])).item()
    assert f(x.astype(int), [0, 1, 1]).item() == expected  # scores that are counts
    for y in (
        [0, 1, 1],
        (0, 1, 1),
        tg.tensor([0, 1, 1]),
        np.array([0, 1, 1], np.uint8),
        np.array([0, 1, 1], np.int32),
        np.array([0, 1, 1], ">i4"),
    ):
        assert f(x, y).item() == expected
        t = tg.tensor(x, requires_grad=True)
        (d,) = tg.gradients(f(t, y), t, create_graph=True)
        np.testing.assert_allclose(d.data, tg.gradients(f(t, y), t)[0].data, atol=1e-15)


@pytest.mark.parametrize("name", ["affine", "affine_relu"])
@pytest.mark.parametrize("shapes",
[((4, 3), (4, 5), (5,)), ((4, 3), (3, 5), (4,)), ((4, 3), (3, 5), (1,)), ((4, 3), (3, 5), (1, 5)),
                                    ((4, 3), (3, 5), ()), ((3,), (3, 5), (5,)), ((4, 3), (3,), ()),
                                    ((4, 2, 3), (3, 5), (5,)),
                                    ((4, 3), (2, 3, 5), (5,)), ((), (1, 5), (5,))])  # fmt: skip
def test_affine_shapes_that_do_not_fit(name: str, shapes: Any) -> None:
    tensors = [tg.tensor(np.ones(shape), requires_grad=True) for shape in shapes]
    with pytest.raises(ValueError, match=rf"^{name}: .*shapes .*x \(N, d1, \.\.\., dk\), w .* and b \(M,\)") as caught:
        getattr(tg, name)(*tensors)
    for shape in shapes:
        assert str(shape) in str(caught.value)
    assert all(t.grad is None for t in tensors)


@pytest.mark.parametrize("name", ["affine", "affine_relu"])
def test_a_number_is_no_bias_and_no_weight(name: str) -> None:
    x, w, b = np.ones((4, 3)), tg.tensor(np.ones((3, 2)), requires_grad=True), np.ones(2)
    for arguments in ((x, w, 1.0), (x, 2.0, b), (3, w, b)):
        with pytest.raises(ValueError, match=rf"^{name}: .*shapes"):
            getattr(tg, name)(*arguments)


def test_lists_and_integers_are_taken() -> None:
    w, b = tg.tensor(np.eye(2), requires_grad=True), tg.tensor([0.5, -3.0], requires_grad=True)
    for f in (tg.affine, tg.affine_relu):
        for x in ([[1, 2]], np.array([[1, 2]]), np.array([[1, 2]], np.int8)):
            f(x, w, b).sum().backward()
    assert w.grad.dtype == np.float64
    assert w.grad.tolist() == [[6.0, 3.0], [12.0, 6.0]]


def test_precision_is_kept() -> None:
    x, w, b = (np.ones(s, np.float32) for s in ((4, 6), (6, 3), (3,)))
    for f in (tg.affine, tg.affine_relu):
        t = [tg.tensor(a, requires_grad=True) for a in (x, w, b)]
        loss = tg.softmax_loss(f(*t), Y) + tg.svm_loss(f(*t), Y) + tg.l2_penalty(t[1], 0.5)
        assert loss.dtype == np.float32
        loss.backward()
        assert [a.grad.dtype for a in t] == [np.float32] * 3
        mixed = f(x, w, b.astype(float))
        assert mixed.dtype == np.float64

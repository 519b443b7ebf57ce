"""A batch that is refused leaves a network as it was: parameters, running statistics, generators."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.models import Classifier, FullyConnectedNet

X = np.linspace(-1.0, 2.0, 24).reshape(4, 6)
Y = np.array([0, 2, 1, 2])

LABELS = [
    Y[:3], Y[:, None], np.eye(3)[Y], [0, 1, 3, 0], [0, -1, 2, 0], [0.0, 1.0, 2.0, 0.0], ["a", "b", "c", "a"],
    [None] * 4, np.zeros((4, 0), int), [[0], [1, 2], [0], [1]], 3, Y + 0j,
]  # fmt: skip
BATCHES = [X[:, :5], X[0], X[:0], X[:1], X + 1j, "abc", None, X.tolist()[:3] + [[1.0]]]


def everything(model: nn.Module) -> str:
    """Write down all that a forward pass could change."""
    arrays = {path: array.tolist() for path, array in model.state_dict().items()}
    return json.dumps([arrays, model.generator_state(), model.training], default=np.ndarray.tolist)


def network(kind: str, loss: str = "softmax") -> Classifier:
    if kind == "own layers":
        block = nn.Sequential(nn.Linear(6, 5, seed=0), nn.BatchNorm1d(5), nn.Sequential(nn.Dropout(0.5, seed=1)))
        return Classifier({"block1": block, "fc2": nn.Linear(5, 3, seed=2)}, 0.0, loss, True, np.float32)
    return FullyConnectedNet(
        [5, 4], 6, 3, seed=0, normalization=None if kind == "plain" else kind, dropout_keep_ratio=0.5, loss=loss,
        fused=kind != "layernorm",
    )  # fmt: skip


@pytest.mark.parametrize("loss", ["softmax", "svm"])
@pytest.mark.parametrize("kind", ["plain", "batchnorm", "layernorm", "own layers"])
def test_a_refused_batch_changes_nothing(kind: str, loss: str) -> None:
    model = network(kind, loss)
    before = everything(model)
    refused = [(X, y) for y in LABELS] + [(x, Y) for x in BATCHES]
    for x, y in refused:
        for call in (model.loss, model.loss_tensor):
            with pytest.raises((TypeError, ValueError)):
                call(x, y)
            assert everything(model) == before, (x, y)


@pytest.mark.parametrize("kind", ["batchnorm", "own layers"])
def test_an_error_half_way_is_undone(kind: str) -> None:
    """The second layer fails, when the first one's statistics have moved and its mask is drawn."""
    model = network(kind)
    model.fc2.W.data = np.full(model.fc2.W.shape, 3e38, np.float32)
    before = everything(model)
    for call in (model.loss, model.loss_tensor):
        with pytest.raises(FloatingPointError, match=r"^fc2: "):
            call(X * 1e3, Y)
        assert everything(model) == before
    model.fc2.W.data = np.ones(model.fc2.W.shape)
    model.loss(X, Y)
    assert everything(model) != before


def test_generators_that_are_shared_are_put_back_once() -> None:
    draw = np.random.default_rng(3)
    model = FullyConnectedNet([5, 4], 6, 3, seed=draw, dropout_keep_ratio=0.5)
    other = FullyConnectedNet([5, 4], 6, 3, seed=np.random.default_rng(3), dropout_keep_ratio=0.5)
    with pytest.raises(ValueError, match="has 5 at row 1"):
        model.loss(X, Y + 3)
    assert model.loss(X, Y)[0] == other.loss(X, Y)[0]


# ---- tensors, and the parameters' mapping


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tensors_are_computed_with_as_they_are(dtype: Any) -> None:
    """A check of gradients moves a float64 tensor through a float32 network: casting it would lose what it moves."""
    model = FullyConnectedNet([5], 6, 3, seed=0, dtype=dtype)
    for given in (np.float16, np.float32, np.float64):
        x = tg.tensor(X, dtype=given, requires_grad=True)
        loss = model.loss_tensor(x, Y)
        assert loss.dtype == np.result_type(given, dtype)
        assert loss.item() == pytest.approx(model.loss(X.astype(given), Y)[0], rel=1e-6)
        with np.errstate(under="ignore"):  # float16
            loss.backward()
        assert x.grad.dtype == given
        assert np.abs(x.grad).sum() > 0
    assert model(tg.tensor(X.astype(int))).dtype == np.result_type(int, dtype)
    with pytest.raises(TypeError, match="^X: given dtype complex128, expected real numbers"):
        model(tg.tensor(X + 0j))


def test_params_update_is_all_or_nothing() -> None:
    model = FullyConnectedNet([5], 6, 3, seed=0)
    before = {name: value.copy() for name, value in model.params.items()}
    new = np.ones((6, 5))
    for wrong, error in (({"W1": new, "b1": np.ones(4)}, ValueError), ({"W1": new, "W9": new}, KeyError),
                         ({"W1": new, "b1": np.ones(5) * 1e300}, ValueError), ({"W1": new, "b1": "ab"}, ValueError),
                         ({"W1": new, "b1": np.ones(5) * 1j}, TypeError)):  # fmt: skip
        for call in (lambda w: model.params.update(w), lambda w: model.params.update(**w),
                     lambda w: model.params.update(w.items())):  # fmt: skip
            with pytest.raises(error):
                call(wrong)
            for name, value in model.params.items():
                np.testing.assert_array_equal(value, before[name])
    home = model.params["W1"]
    model.params.update({"W1": new}, b1=np.arange(5))
    assert model.params["W1"] is home
    assert (home == 1.0).all()
    assert model.params["b1"].tolist() == [0, 1, 2, 3, 4]

"""TwoLayerNet and FullyConnectedNet: the numbers of the course, the live parameters, fused or not, and bad input."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.models import FullyConnectedNet, TwoLayerNet

# ---- the numbers of the course CS231n, assignment 2


@pytest.mark.parametrize("fused", [True, False])
def test_two_layer_net_of_the_course(fused: bool) -> None:
    n, d, h, c = 3, 5, 50, 7
    model = TwoLayerNet(
        input_dim=d, hidden_dim=h, num_classes=c, weight_scale=1e-3, seed=np.random.RandomState(231), fused=fused
    )
    for name in ("W1", "W2"):
        assert abs(model.params[name].std() - 1e-3) < 1e-4
    for name in ("b1", "b2"):
        assert not model.params[name].any()
    model.params["W1"] = np.linspace(-0.7, 0.3, num=d * h).reshape(d, h)
    model.params["b1"] = np.linspace(-0.1, 0.9, num=h)
    model.params["W2"] = np.linspace(-0.3, 0.4, num=h * c).reshape(h, c)
    model.params["b2"] = np.linspace(-0.9, 0.1, num=c)
    x = np.linspace(-5.5, 4.5, num=n * d).reshape(d, n).T
    scores = model.loss(x)
    assert type(scores) is np.ndarray
    expected = [
        [11.53165108, 12.2917344, 13.05181771, 13.81190102, 14.57198434, 15.33206765, 16.09215096],
        [12.05769098, 12.74614105, 13.43459113, 14.1230412, 14.81149128, 15.49994135, 16.18839143],
        [12.58373087, 13.20054771, 13.81736455, 14.43418138, 15.05099822, 15.66781506, 16.2846319],
    ]
    assert np.abs(scores - expected).sum() < 1e-6
    y = np.asarray([0, 5, 1])
    loss, grads = model.loss(x, y)
    assert abs(loss - 3.4702243556) < 1e-10
    assert type(loss) is float
    model.reg = 1.0
    loss, grads = model.loss(x, y)
    assert abs(loss - 26.5948426952) < 1e-10
    assert list(grads) == ["W1", "b1", "W2", "b2"]


@pytest.mark.parametrize("fused", [True, False])
def test_fully_connected_net_of_the_course(fused: bool) -> None:
    """One stream of random numbers: the data, then the weights of the one network, then those of the other."""
    rng = np.random.RandomState(231)
    x, y = rng.randn(2, 15), rng.randint(10, size=(2,))
    for reg, expected in ((0, 2.3004790897684924), (3.14, 7.052114776533016)):
        model = FullyConnectedNet(
            [20, 30], input_dim=15, num_classes=10, reg=reg, weight_scale=5e-2, dtype=np.float64, seed=rng, fused=fused
        )
        loss, grads = model.loss(x, y)
        assert loss == pytest.approx(expected, rel=1e-14)
        for name, d in grads.items():
            slopes = directional(model, name, x, y, d)
            assert slopes[0] == pytest.approx(slopes[1], rel=1e-6, abs=1e-9)


def directional(model: Any, name: str, x: Any, y: Any, d: np.ndarray) -> tuple[float, float]:
    """Return the slope of the loss along a random direction of one parameter, by rule and by numbers."""
    array, along = model.params[name], np.random.default_rng(0).normal(size=d.shape)
    before, h, ends = array.copy(), 1e-6, []
    for sign in (1, -1):
        array[...] = before + sign * h * along  # written in place, as the course's gradient check does
        ends.append(model.loss(x, y)[0])
    array[...] = before
    return float(np.sum(d * along)), (ends[0] - ends[1]) / (2 * h)


# ---- the interface


def small(**arguments: Any) -> FullyConnectedNet:
    return FullyConnectedNet(
        [5, 4], input_dim=6, num_classes=3, **{"seed": 0, "dtype": np.float64, "weight_scale": 0.5, **arguments}
    )


X = np.linspace(-1.0, 2.0, 24).reshape(4, 2, 3)
Y = np.array([0, 2, 1, 2])


def test_params_have_the_names_of_the_course_and_tensors_their_paths() -> None:
    model = small()
    names = ["W1", "b1", "W2", "b2", "W3", "b3"]
    paths = ["fc1.W", "fc1.b", "fc2.W", "fc2.b", "fc3.W", "fc3.b"]
    assert list(model.params) == list(model.loss(X, Y)[1]) == names
    assert [name for name, _ in model.named_parameters()] == paths
    assert [p.name for p in model.parameters()] == paths
    assert list(model.state_dict()) == paths
    assert [model.params[name].shape for name in names] == [(6, 5), (5,), (5, 4), (4,), (4, 3), (3,)]
    for name, p in zip(names, model.parameters(), strict=True):
        assert model.params[name] is p.data
    assert list(FullyConnectedNet([], input_dim=6, num_classes=3, seed=0).params) == ["W1", "b1"]


def test_params_are_live() -> None:
    model = small()
    scores = model.loss(X)
    home = model.params["W1"]
    model.params["W1"] *= 2.0
    assert model.params["W1"] is home
    assert not np.allclose(model.loss(X), scores)
    model.params["W1"][...] /= 2.0
    np.testing.assert_allclose(model.loss(X), scores, rtol=1e-14)
    model.params["W1"] = np.zeros((6, 5), np.float32)
    assert model.params["W1"] is home
    assert not home.any()
    assert home.dtype == np.float64
    assert len(model.params) == 6
    assert {name: a.shape for name, a in model.params.items()}["b3"] == (3,)
    assert "W4" not in model.params
    assert "W1 (6, 5)" in repr(model.params)


def test_params_refuse_what_does_not_fit() -> None:
    model = small()
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"'(fc1\.W|W1)': given shape \(5, 6\), expected \(6, 5\)"):
        model.params["W1"] = np.zeros((5, 6))
    with pytest.raises(TypeError, match=r"'(fc1\.W|W1)'.*complex128"):
        model.params["W1"] = np.zeros((6, 5), complex)
    for action in (lambda: model.params["W9"], lambda: model.params.__setitem__("W9", np.ones(1))):
        with pytest.raises(KeyError, match=r"no parameter 'W9'; the network has W1, b1, W2, b2, W3, b3"):
            action()
    with pytest.raises(TypeError, match="'W1' cannot be deleted"):
        del model.params["W1"]
    unchanged(model, before)


def unchanged(model: Any, before: dict[str, np.ndarray]) -> None:
    for name, p in model.named_parameters():
        np.testing.assert_array_equal(p.data.view(np.uint8), before[name].view(np.uint8))
        assert p.grad is None


@pytest.mark.parametrize("loss", ["softmax", "svm"])
@pytest.mark.parametrize("reg", [0.0, 0.7])
def test_fused_and_composed_are_one_network(loss: str, reg: float) -> None:
    results = []
    for fused in (True, False):
        model = small(fused=fused, loss=loss, reg=reg)
        value, grads = model.loss(X, Y)
        tensors = list(model.parameters())
        first = tg.gradients(model.loss_tensor(X, Y), tensors, create_graph=True)
        second = tg.gradients(sum((d * d).sum() for d in first), tensors)
        model.loss_tensor(X, Y).backward()
        results.append([np.array(value), model.loss(X), *grads.values(), *[d.data for d in (*first, *second)],
                        *[p.grad for p in tensors]])  # fmt: skip
        for p, d in zip(tensors, grads.values(), strict=True):
            np.testing.assert_array_equal(p.grad, d)
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-14, strict=True)


@pytest.mark.parametrize("fused", [True, False])
def test_fused_and_composed_agree_where_nothing_is_active(fused: bool) -> None:
    """Examples of zeros and biases of zero put every relu exactly at its kink: its gradient there is 0 in both."""
    model = small(fused=fused)
    _, grads = model.loss(np.zeros((4, 6)), np.array([0, 0, 0, 1]))
    for name in ("W1", "b1", "W2", "b2", "W3"):
        assert not grads[name].any(), name
    np.testing.assert_allclose(grads["b3"], [1 / 3 - 0.75, 1 / 3 - 0.25, 1 / 3])


def test_loss_leaves_the_model_alone() -> None:
    model, x = small(reg=0.1), X.copy()
    before = model.state_dict()
    model.loss(x)
    model.loss(x, Y)
    unchanged(model, before)
    np.testing.assert_array_equal(x, X)
    grads = model.loss(x, Y)[1]
    for name, d in grads.items():
        assert not np.shares_memory(d, model.params[name])
        assert d.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fused", [True, False])
def test_precision_is_that_of_the_network(dtype: Any, fused: bool) -> None:
    for x in (X, X.astype(np.float32), (X * 10).astype(np.int64), X.tolist()):
        model = small(dtype=dtype, fused=fused, reg=0.1)
        assert model.loss(x).dtype == dtype
        assert {d.dtype for d in model.loss(x, Y)[1].values()} == {np.dtype(dtype)}
        assert model.loss_tensor(x, Y).dtype == dtype


def test_regularization_counts_weights_and_no_biases() -> None:
    model = small()
    for name in ("b1", "b2", "b3"):
        model.params[name][...] = 1.0
    plain, grads = model.loss(X, Y)
    model.reg = 0.4
    value, regularized = model.loss(X, Y)
    assert value - plain == pytest.approx(0.2 * sum((model.params[name] ** 2).sum() for name in ("W1", "W2", "W3")))
    for name in grads:
        np.testing.assert_allclose(
            regularized[name] - grads[name], 0.4 * model.params[name] * (name[0] == "W"), atol=1e-14
        )


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("fused", [True, False])
def test_copies_are_independent_and_their_params_live(copied: Any, fused: bool) -> None:
    model = small(reg=0.3, fused=fused)
    other = copied(model)
    assert other.loss(X, Y)[0] == model.loss(X, Y)[0]
    other.params["W1"] *= 0.0
    assert not np.allclose(other.loss(X), model.loss(X))
    assert model.params["W1"].any()
    assert [p.name for p in other.parameters()] == [p.name for p in model.parameters()]
    for array, p in zip(other.params.values(), other.parameters(), strict=True):
        assert array is p.data


def test_seeds_and_defaults() -> None:
    assert FullyConnectedNet([3], seed=0).params["W1"].dtype == np.float32
    assert TwoLayerNet(seed=0).params["W1"].shape == (3072, 100)
    assert TwoLayerNet(seed=0).params["W1"].dtype == np.float64
    np.testing.assert_array_equal(small().params["W2"], small().params["W2"])
    assert not np.array_equal(small().params["W2"], small(seed=1).params["W2"])
    kaiming = FullyConnectedNet([300], input_dim=200, num_classes=100, weight_scale=None, seed=0)
    assert kaiming.params["W1"].std() == pytest.approx(0.1, rel=0.02)
    assert kaiming.params["W2"].std() == pytest.approx((2 / 300) ** 0.5, rel=0.02)


# ---- bad input


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"weight_scale": float("nan")}, ValueError, "weight_scale: given nan"),
        ({"weight_scale": -0.1}, ValueError, "weight_scale: given -0.1"),
        ({"weight_scale": float("inf")}, ValueError, "weight_scale: given inf"),
        ({"weight_scale": "a"}, TypeError, "weight_scale: given 'a'"),
        ({"reg": float("nan")}, ValueError, "reg: given nan, expected a finite number of at least 0"),
        ({"reg": -1.0}, ValueError, "reg: given -1.0"),
        ({"reg": float("inf")}, ValueError, "reg: given inf"),
        ({"reg": "a"}, TypeError, "reg: given 'a'"),
        ({"reg": None}, TypeError, "reg: given None"),
        ({"hidden_dims": [0]}, ValueError, r"hidden_dims.*: given 0, expected a positive integer"),
        ({"hidden_dims": [5, 2.5]}, TypeError, r"hidden_dims.*: given 2.5"),
        ({"hidden_dims": 5}, TypeError, r"hidden_dims: given 5, expected a list of sizes: \[5\]"),
        ({"hidden_dims": None}, TypeError, "hidden_dims: given None"),
        ({"hidden_dims": "ab"}, TypeError, "hidden_dims.*: given 'a"),
        ({"input_dim": -1}, ValueError, "input_dim: given -1"),
        ({"input_dim": (3, 32)}, TypeError, r"input_dim: given \(3, 32\)"),
        ({"num_classes": 0}, ValueError, "num_classes: given 0"),
        ({"num_classes": True}, TypeError, "num_classes: given True"),
        ({"loss": "mse"}, ValueError, "loss: given 'mse', expected one of 'softmax', 'svm'"),
        ({"dtype": np.int64}, TypeError, "(Parameter: )?dtype.*int64"),
        ({"seed": "x"}, TypeError, "seed: given 'x'"),
        ({"activation": "swish"}, ValueError, "activation: given 'swish', expected one of 'relu', 'leaky_relu'"),
        ({"activation": None}, ValueError, "activation: given None, expected one of 'relu'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        FullyConnectedNet(**{"hidden_dims": [5], "input_dim": 6, "num_classes": 3, **arguments})
    if "hidden_dims" not in arguments:
        with pytest.raises(error, match=f"^{message}"):
            TwoLayerNet(**{"hidden_dim": 5, "input_dim": 6, "num_classes": 3, **arguments})


@pytest.mark.parametrize("normalization", [None, "batchnorm", "layernorm"])
@pytest.mark.parametrize("activation", tg.nn.ACTIVATIONS)
def test_any_activation(activation: str, normalization: str | None) -> None:
    """Fused and composed are one network, its gradients hold, and names and initial weights are those of relu's."""
    results = []
    for fused in (True, False):
        model = small(activation=activation, normalization=normalization, fused=fused, reg=0.1)
        loss, grads = model.loss(X, Y)
        results.append([np.array(loss), model.loss(X), *grads.values()])
        for name in ("W1", "b2", "W3"):
            slopes = directional(model, name, X, Y, grads[name])
            assert slopes[0] == pytest.approx(slopes[1], rel=1e-5, abs=1e-8)
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13, strict=True)
    layers = [path for path, _ in model.named_modules() if path[:3] in ("rel", "act")]
    word = "relu" if activation == "relu" else "act"
    assert layers == ([f"{word}1", f"{word}2"] if normalization else [])
    same = small(normalization=normalization)
    assert list(model.params) == list(same.params)
    np.testing.assert_array_equal(model.params["W2"], same.params["W2"])


def test_the_activation_is_in_the_network() -> None:
    for fused in (True, False):
        model = TwoLayerNet(6, 5, 3, weight_scale=0.5, seed=0, activation="tanh", fused=fused)
        w = model.params
        expected = np.tanh(X.reshape(4, 6) @ w["W1"] + w["b1"]) @ w["W2"] + w["b2"]
        np.testing.assert_allclose(model.loss(X), expected, rtol=1e-12)


def test_hidden_dim_of_two_layers_is_named() -> None:
    with pytest.raises(ValueError, match="^hidden_dim: given 0, expected a positive integer"):
        TwoLayerNet(hidden_dim=0)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (np.ones((4, 5)), Y, ValueError, r"fc1: expected \(N, 6\), got \(4, 5\)"),
        (np.ones(6), Y, ValueError, r"fc1: expected \(N, 6\), got \(6,\)"),
        (X, Y[:3], ValueError, r"softmax_loss: y .* has shape \(3,\), expected \(4,\)"),
        (X, Y[:, None], ValueError, r"softmax_loss: y .* has shape \(4, 1\), expected \(4,\).*np\.ravel\(y\)"),
        (X, [0, 1, 3, 0], ValueError, r"softmax_loss: y .* has 3 at row 2, expected 0 to 2"),
        (X, [0, -1, 2, 0], ValueError, r"softmax_loss: y .* has -1 at row 1"),
        (X, [0.0, 1.0, 2.0, 0.0], TypeError, r"softmax_loss: y .* has dtype float64, expected integers"),
        (X[:0], Y[:0], ValueError, r"empty batch"),
        ("abc", Y, (TypeError, ValueError), "^X: "),
        (X + 1j, Y, (TypeError, ValueError), "^X: .*complex128"),
    ],
)
def test_a_batch_that_does_not_fit_changes_nothing(fused: bool, x: Any, y: Any, error: Any, message: str) -> None:
    model = small(fused=fused, reg=0.1)
    before = model.state_dict()
    for call in (lambda: model.loss(x, y), lambda: model.loss_tensor(x, y)):
        with pytest.raises(error, match=message):
            call()
    unchanged(model, before)


def test_a_strength_of_regularization_that_turns_bad_is_found() -> None:
    model = small()
    before = model.state_dict()
    for bad in (float("nan"), -1.0, float("inf"), "a", None):
        model.reg = bad
        with pytest.raises((ValueError, TypeError), match=f"^reg: given {bad!r}"):
            model.loss(X, Y)
    unchanged(model, before)
    model.reg = np.float32(0.5)  # a number of NumPy's will do, and widens nothing
    assert model.loss_tensor(X, Y).dtype == np.float64
    narrow = small(dtype=np.float32)
    narrow.reg = np.float64(0.5)
    assert narrow.loss_tensor(X, Y).dtype == np.float32

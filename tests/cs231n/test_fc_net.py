"""The course's classifiers: whose random numbers, normalization and dropout, the layers' agreement."""

# ruff: noqa: NPY002 - the course draws from the global generator

import copy

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.check import rel_error
from tinygrad_fc.cs231n.classifiers import fc_net
from tinygrad_fc.cs231n.classifiers.fc_net import (
    FullyConnectedNet,
    TwoLayerNet,
    affine_backward,
    affine_bn_relu_forward,
    affine_forward,
    affine_ln_relu_forward,
    affine_relu_backward,
    affine_relu_forward,
    dropout_forward,
    softmax_loss,
)
from tinygrad_fc.cs231n.gradient_check import eval_numerical_gradient


def data(rng, N=5, D=6, C=4):
    return rng.normal(size=(N, D)), rng.integers(C, size=N)


def network(**options):
    return FullyConnectedNet([7, 8], input_dim=6, num_classes=4, weight_scale=0.3, dtype=np.float64, **options)


def gradient_errors(model, X, y):
    _, grads = model.loss(X, y)
    assert set(grads) == set(model.params)
    return {
        name: np.abs(eval_numerical_gradient(lambda _: model.loss(X, y)[0], model.params[name], False) - grad).max()
        for name, grad in grads.items()
    }


def test_weights_are_the_global_generators_in_layer_order():
    """An odd number of normals leaves half a pair behind, which the next draw of the notebook has to find."""
    np.random.seed(231)
    model = FullyConnectedNet([3, 5], input_dim=3, num_classes=3, weight_scale=0.5, dtype=np.float64)
    after = np.random.randn(4)
    np.random.seed(231)
    for name, shape in (("W1", (3, 3)), ("W2", (3, 5)), ("W3", (5, 3))):
        assert np.array_equal(model.params[name], 0.5 * np.random.randn(*shape))
    assert np.array_equal(after, np.random.randn(4))
    assert not any(model.params[name].any() for name in ("b1", "b2", "b3"))

    np.random.seed(231)
    two = TwoLayerNet(3, 5, 3, 0.5, 0.25)
    np.random.seed(231)
    assert np.array_equal(two.params["W1"], 0.5 * np.random.randn(3, 5))
    assert two.reg == 0.25


def test_defaults_are_the_courses():
    two, full = TwoLayerNet(), FullyConnectedNet([20])
    assert two.params["W1"].shape == (3072, 100)
    assert two.params["W2"].shape == (100, 10)
    assert two.params["W1"].dtype == two.params["b2"].dtype == np.float64
    assert abs(two.params["W1"].std() - 1e-3) < 1e-5
    assert two.reg == full.reg == 0.0
    assert full.params["W1"].shape == (3072, 20)
    assert full.params["W1"].dtype == np.float32
    assert abs(full.params["W1"].std() - 1e-2) < 1e-3
    assert list(full.params) == ["W1", "b1", "W2", "b2"]


def test_positional_arguments_have_the_courses_order():
    model = FullyConnectedNet([7, 8], 6, 4, 0.5, "layernorm", 0.1, 0.3, np.float64, 11)
    assert isinstance(model.dropout1, tg.nn.Dropout)
    assert isinstance(model.norm1, tg.nn.LayerNorm)
    assert (model.reg, model.dtype, model.dropout2.seed) == (0.1, np.float64, 11)
    assert model.params["W3"].shape == (8, 4)


def test_float32_networks_cast_their_inputs(rng):
    X, y = data(rng)
    model = FullyConnectedNet([7], input_dim=6, num_classes=4)
    assert model.loss(X).dtype == np.float32
    loss, grads = model.loss(X, y)
    assert type(loss) is float
    assert {grad.dtype for grad in grads.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("normalization", [None, "batchnorm", "layernorm"])
@pytest.mark.parametrize("keep", [1, 0.5])
@pytest.mark.parametrize("reg", [0.0, 3.14])
def test_gradients(normalization, keep, reg, rng):
    np.random.seed(231)
    X, y = data(rng)
    model = network(normalization=normalization, dropout_keep_ratio=keep, reg=reg, seed=123)
    for name in ("b1", "b2"):  # where all inputs of a unit were dropped, a bias of 0 would stand on the kink of relu
        model.params[name] = rng.normal(size=model.params[name].shape)
    errors = gradient_errors(model, X, y)
    assert max(errors.values()) < 1e-6
    expected = {f"{kind}{n}" for kind in ("W", "b") for n in (1, 2, 3)}
    if normalization is not None:
        expected |= {f"{kind}{n}" for kind in ("gamma", "beta") for n in (1, 2)}
    assert set(errors) == expected


@pytest.mark.parametrize("normalization", [None, "batchnorm", "layernorm"])
def test_the_network_is_its_layers_in_a_row(normalization, rng):
    X, y = data(rng)
    model = network(normalization=normalization, dropout_keep_ratio=0.5, seed=9)
    p, bn_params = model.params, [{"mode": "train"}, {"mode": "train"}]

    def scores(mode):
        h = X
        for n in (1, 2):
            arguments = (h, p[f"W{n}"], p[f"b{n}"])
            if normalization is None:
                h, _ = affine_relu_forward(*arguments)
            elif normalization == "batchnorm":
                bn_params[n - 1]["mode"] = mode
                h, _ = affine_bn_relu_forward(*arguments, p[f"gamma{n}"], p[f"beta{n}"], bn_params[n - 1])
            else:
                h, _ = affine_ln_relu_forward(*arguments, p[f"gamma{n}"], p[f"beta{n}"], {})
            h, _ = dropout_forward(h, {"mode": mode, "p": 0.5, "seed": 9})
        return affine_forward(h, p["W3"], p["b3"])[0]

    for _ in range(3):
        assert model.loss(X, y)[0] == pytest.approx(softmax_loss(scores("train"), y)[0], rel=1e-13)
    # Running variances start at 0, as batchnorm_forward's do.
    np.testing.assert_allclose(model.loss(X), scores("test"), rtol=1e-12, atol=1e-13)
    if normalization == "batchnorm":
        for ours, theirs in zip(model.bn_params, bn_params, strict=True):
            np.testing.assert_allclose(ours["running_mean"], theirs["running_mean"], rtol=1e-13)
            np.testing.assert_allclose(ours["running_var"], theirs["running_var"], rtol=1e-13)


def test_dropout_draws_from_the_global_generator(rng):
    X, y = data(rng)
    model = network(dropout_keep_ratio=0.5)
    np.random.seed(4)
    first = model.loss(X, y)[0]
    assert model.loss(X, y)[0] != first
    np.random.seed(4)
    assert model.loss(X, y)[0] == first
    twin = copy.deepcopy(model)  # a copy has no generator of its own
    np.random.seed(4)
    assert twin.loss(X, y)[0] == first


def test_dropout_repeats_with_a_seed_and_sleeps_in_testing(rng):
    X, y = data(rng)
    model = network(dropout_keep_ratio=0.5, seed=123)
    assert model.loss(X, y)[0] == model.loss(X, y)[0]
    assert np.array_equal(model.loss(X), model.loss(X))
    whole = FullyConnectedNet([7, 8], input_dim=6, num_classes=4, dtype=np.float64)
    for name, value in model.params.items():
        whole.params[name] = value
    assert np.array_equal(model.loss(X), whole.loss(X))


def test_a_keep_ratio_of_one_is_no_dropout():
    np.random.seed(0)
    plain = network()
    np.random.seed(0)
    kept = network(dropout_keep_ratio=1, seed=5)
    assert all(np.array_equal(plain.params[name], kept.params[name]) for name in plain.params)
    assert not any(isinstance(layer, tg.nn.Dropout) for _, layer in kept.named_modules())


def test_they_are_networks_of_the_library(rng):
    X, y = data(rng)
    model = network(normalization="batchnorm")
    assert isinstance(model, tg.models.FullyConnectedNet)
    assert isinstance(TwoLayerNet(6, 7, 4), tg.models.TwoLayerNet)
    assert tg.Graph(model.loss_tensor(X, y)).nodes
    assert fc_net.FullyConnectedNet.__mro__[1] is tg.models.FullyConnectedNet


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="normalization: given 'batch'"):
        FullyConnectedNet([3], normalization="batch")
    with pytest.raises(ValueError, match="dropout_keep_ratio: given 0"):
        FullyConnectedNet([3], dropout_keep_ratio=0)
    with pytest.raises(ValueError, match="weight_scale: given -1"):
        TwoLayerNet(4, 3, 2, weight_scale=-1)
    with pytest.raises(ValueError, match=r"hidden_dims\[0\]: given 0"):
        FullyConnectedNet([0])


def test_a_network_written_by_hand_from_the_layers(rng):
    """The class that a student of the course writes, and TwoLayerNet, agree bit for bit."""
    X, y = data(rng)
    ours = TwoLayerNet(6, 7, 4, weight_scale=0.3)
    p = ours.params
    hidden, first = affine_relu_forward(X, p["W1"], p["b1"])
    scores, second = affine_forward(hidden, p["W2"], p["b2"])
    loss, dscores = softmax_loss(scores, y)
    dhidden, dW2, db2 = affine_backward(dscores, second)
    _, dW1, db1 = affine_relu_backward(dhidden, first)
    found, grads = ours.loss(X, y)
    assert found == loss
    assert np.array_equal(ours.loss(X), scores)
    for name, grad in {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}.items():
        assert rel_error(grads[name], grad) == 0.0

"""Layers and sandwiches: gradients against numbers and compositions, modes and statistics, caches, refusals."""

# ruff: noqa: NPY002 - the course draws from the global generator

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.check import rel_error
from tinygrad_fc.cs231n import layer_utils, layers
from tinygrad_fc.cs231n.gradient_check import eval_numerical_gradient_array
from tinygrad_fc.cs231n.layers import (
    affine_backward,
    affine_forward,
    batchnorm_backward,
    batchnorm_backward_alt,
    batchnorm_forward,
    dropout_backward,
    dropout_forward,
    layernorm_backward,
    layernorm_forward,
    relu_backward,
    relu_forward,
    softmax_loss,
    svm_loss,
)


def training():
    return {"mode": "train"}


def evaluating():
    return {"mode": "test", "running_mean": np.array([0.5, -1.0, 2.0, 0.1, 0.0]), "running_var": np.full(5, 1.7)}


def drop(mode):
    return {"p": 0.6, "mode": mode, "seed": 3}


# Each layer: its two functions, the shapes of its arguments, and a fresh parameter dictionary for each call.
LAYERS = {
    "affine": (affine_forward, affine_backward, [(4, 2, 3), (6, 5), (5,)], None),
    "relu": (relu_forward, relu_backward, [(4, 2, 3)], None),
    "batchnorm": (batchnorm_forward, batchnorm_backward, [(6, 5), (5,), (5,)], training),
    "batchnorm, test": (batchnorm_forward, batchnorm_backward, [(6, 5), (5,), (5,)], evaluating),
    "batchnorm, alt": (batchnorm_forward, batchnorm_backward_alt, [(6, 5), (5,), (5,)], training),
    "batchnorm, alt, test": (batchnorm_forward, batchnorm_backward_alt, [(6, 5), (5,), (5,)], evaluating),
    "layernorm": (layernorm_forward, layernorm_backward, [(6, 5), (5,), (5,)], dict),
    "dropout": (dropout_forward, dropout_backward, [(4, 2, 3)], lambda: drop("train")),
    "dropout, test": (dropout_forward, dropout_backward, [(4, 2, 3)], lambda: drop("test")),
    "affine_relu": (
        layer_utils.affine_relu_forward, layer_utils.affine_relu_backward, [(4, 2, 3), (6, 5), (5,)], None,
    ),
    "affine_bn_relu": (
        layer_utils.affine_bn_relu_forward, layer_utils.affine_bn_relu_backward,
        [(4, 2, 3), (6, 5), (5,), (5,), (5,)], training,
    ),
    "affine_bn_relu, test": (
        layer_utils.affine_bn_relu_forward, layer_utils.affine_bn_relu_backward,
        [(4, 2, 3), (6, 5), (5,), (5,), (5,)], evaluating,
    ),
    "affine_ln_relu": (
        layer_utils.affine_ln_relu_forward, layer_utils.affine_ln_relu_backward,
        [(4, 2, 3), (6, 5), (5,), (5,), (5,)], dict,
    ),
}  # fmt: skip


def listed(gradients):
    return [gradients] if isinstance(gradients, np.ndarray) else list(gradients)


def case(name, rng, dtype=np.float64):
    """Return a layer's forward function without its parameter dictionary, its backward function, and arguments."""
    forward, backward, shapes, param = LAYERS[name]
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]

    def run(*arrays):
        return forward(*arrays) if param is None else forward(*arrays, param())

    return run, backward, arrays


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_against_numbers(name, rng):
    forward, backward, arrays = case(name, rng)
    out, cache = forward(*arrays)
    dout = rng.normal(size=out.shape)
    gradients = listed(backward(dout, cache))
    assert len(gradients) == len(arrays)
    for position, (array, gradient) in enumerate(zip(arrays, gradients, strict=True)):
        numerical = eval_numerical_gradient_array(lambda _: forward(*arrays)[0], array, dout)
        scale = np.abs(numerical).max()
        # The bias before a normalization has no influence: its gradient is 0 either way.
        np.testing.assert_allclose(gradient, numerical, rtol=1e-6, atol=1e-8 * max(1.0, scale), err_msg=str(position))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_keep_shape_and_dtype(name, dtype, rng):
    forward, backward, arrays = case(name, rng, dtype)
    out, cache = forward(*arrays)
    assert type(out) is np.ndarray
    assert out.dtype == dtype
    for array, gradient in zip(arrays, listed(backward(np.ones_like(out), cache)), strict=True):
        assert type(gradient) is np.ndarray
        assert (gradient.shape, gradient.dtype) == (array.shape, array.dtype)


@pytest.mark.parametrize("name", LAYERS)
def test_a_cache_goes_backward_twice_and_results_are_the_callers(name, rng):
    forward, backward, arrays = case(name, rng)
    before = [array.copy() for array in arrays]
    out, cache = forward(*arrays)
    dout = rng.normal(size=out.shape)
    first = listed(backward(dout, cache))
    copies = [gradient.copy() for gradient in first]
    out[...] = 7.0  # neither the result nor a gradient is what the rules read
    for gradient in first:
        gradient[...] = 7.0
    for again, expected in zip(listed(backward(dout, cache)), copies, strict=True):
        assert np.array_equal(again, expected)
    for array, old in zip(arrays, before, strict=True):
        assert np.array_equal(array, old)


@pytest.mark.parametrize("name", LAYERS)
def test_caches_and_gradients_that_do_not_fit_are_refused(name, rng):
    forward, backward, arrays = case(name, rng)
    layer = name.partition(",")[0]
    out, cache = forward(*arrays)
    other = next(iter(LAYERS)) if layer != "affine" else "relu"
    _, foreign = case(other, rng)[0](*case(other, rng)[2])
    with pytest.raises(ValueError, match=rf"given the one of {other}_forward, expected the one of {layer}_forward"):
        backward(out, foreign)
    with pytest.raises(TypeError, match=f"cache: given tuple, expected the second result of {layer}_forward"):
        backward(out, (1, 2))
    with pytest.raises(ValueError, match=r"dout: given shape \(1, 1, 1\), expected that of the layer's result"):
        backward(np.ones((1, 1, 1)), cache)
    with tg.no_grad():
        _, cache = forward(*arrays)
    with pytest.raises(TypeError, match=f"{layer}_forward ran under no_grad"):
        backward(out, cache)
    with pytest.raises(TypeError, match="x: given dtype"):
        forward(np.array([["a"]]), *arrays[1:])


def test_the_cache_is_a_graph(rng):
    _, cache = affine_forward(*case("affine", rng)[2])
    assert [tensor.name for tensor in cache.inputs] == ["x", "w", "b"]
    assert any("affine" in repr(node) for node in tg.Graph(cache.out).nodes)
    assert repr(cache) == "<Cache of affine: out (4, 5)>"


def test_integers_count_as_floats():
    x, w, b = np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4), np.arange(4)
    out, cache = affine_forward(x, w, b)
    assert out.dtype == np.float64
    assert np.array_equal(out, x @ w + b)
    dx, dw, db = affine_backward(np.ones((2, 4), int), cache)
    assert np.array_equal(dx, np.ones((2, 4)) @ w.T)
    assert np.array_equal(dw, x.T @ np.ones((2, 4)))
    assert np.array_equal(db, [2.0, 2.0, 2.0, 2.0])
    assert relu_forward([[-1, 2]])[0].tolist() == [[0.0, 2.0]]
    assert softmax_loss([[0, 0]], [1])[0] == pytest.approx(np.log(2))


def test_errors_of_the_engine_come_through():
    with pytest.raises(ValueError, match="affine"):
        affine_forward(np.ones((2, 3)), np.ones((4, 5)), np.ones(5))
    with pytest.raises(ValueError, match="batch_norm"):
        batchnorm_forward(np.ones((2, 3)), np.ones(4), np.ones(3), training())
    with pytest.raises(ValueError, match="layer_norm"):
        layernorm_forward(np.ones((2, 3)), np.ones(4), np.ones(3), {})


@pytest.mark.parametrize("loss", [svm_loss, softmax_loss])
def test_losses(loss, rng):
    x, y = rng.normal(size=(5, 4)), np.array([0, 3, 1, 1, 2])
    before = x.copy()
    value, dx = loss(x, y)
    assert type(value) is float
    assert (type(dx), dx.shape, dx.dtype) == (np.ndarray, x.shape, x.dtype)
    assert loss(x.astype(np.float32), y)[1].dtype == np.float32
    numerical = eval_numerical_gradient_array(lambda x: loss(x, y)[0], x, 1.0)
    assert rel_error(numerical, dx) < 1e-7
    assert np.array_equal(x, before)
    with tg.no_grad():
        assert np.array_equal(loss(x, y)[1], dx)
    with pytest.raises(ValueError, match="labels"):
        loss(x, y[:3])


# ---- normalization


def test_batchnorm_normalizes_and_keeps_running_statistics(rng):
    x = 3.0 * rng.normal(size=(50, 4)) + 7.0
    gamma, beta = np.array([1.0, 2.0, 3.0, 4.0]), np.array([11.0, 12.0, 13.0, 14.0])
    param = training()
    out, _ = batchnorm_forward(x, gamma, beta, param)
    np.testing.assert_allclose(out.mean(axis=0), beta)
    np.testing.assert_allclose(out.std(axis=0), gamma, rtol=1e-5)
    np.testing.assert_allclose(out, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) * gamma + beta)
    np.testing.assert_allclose(param["running_mean"], 0.1 * x.mean(0))
    np.testing.assert_allclose(param["running_var"], 0.1 * x.var(0))  # divided by N, as in the course
    first = param["running_mean"].copy()
    batchnorm_forward(x + 1.0, gamma, beta, param)
    np.testing.assert_allclose(param["running_mean"], 0.9 * first + 0.1 * (x.mean(0) + 1.0))


def test_batchnorm_tests_with_the_running_statistics(rng):
    x, gamma, beta = rng.normal(size=(6, 5)), np.ones(5), np.zeros(5)
    param = evaluating()
    out, _ = batchnorm_forward(x, gamma, beta, param)
    np.testing.assert_allclose(out, (x - param["running_mean"]) / np.sqrt(1.7 + 1e-5))
    assert np.array_equal(param["running_mean"], evaluating()["running_mean"])
    param = training()
    for _ in range(60):
        batchnorm_forward(3.0 * rng.normal(size=(200, 5)) + 7.0, gamma, beta, param)
    param["mode"] = "test"
    out, _ = batchnorm_forward(3.0 * rng.normal(size=(500, 5)) + 7.0, gamma, beta, param)
    np.testing.assert_allclose(out.mean(axis=0), 0.0, atol=0.2)
    np.testing.assert_allclose(out.std(axis=0), 1.0, atol=0.1)


def test_batchnorm_takes_momentum_and_eps(rng):
    x = rng.normal(size=(6, 2))
    param = {"mode": "train", "momentum": 0.5, "eps": 1.0, "running_mean": np.ones(2), "running_var": np.ones(2)}
    out, _ = batchnorm_forward(x, np.ones(2), np.zeros(2), param)
    np.testing.assert_allclose(out, (x - x.mean(0)) / np.sqrt(x.var(0) + 1.0))
    np.testing.assert_allclose(param["running_mean"], 0.5 + 0.5 * x.mean(0))
    np.testing.assert_allclose(param["running_var"], 0.5 + 0.5 * x.var(0))


@pytest.mark.parametrize("mode", ["train", "test"])
def test_both_ways_through_batchnorm_agree(mode, rng):
    x, gamma, beta = rng.normal(size=(100, 20)), rng.normal(size=20), rng.normal(size=20)
    param = {"mode": mode, "running_mean": rng.normal(size=20), "running_var": rng.uniform(0.5, 2.0, 20)}
    out, cache = batchnorm_forward(x, gamma, beta, param)
    kept = {name: np.copy(value) for name, value in param.items()}
    dout = rng.normal(size=out.shape)
    for one, other in zip(batchnorm_backward(dout, cache), batchnorm_backward_alt(dout, cache), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    assert all(np.array_equal(param[name], kept[name]) for name in kept)  # a backward pass is no further batch


def test_layernorm_normalizes_each_example_alone(rng):
    x, gamma, beta = 3.0 * rng.normal(size=(6, 40)) + 7.0, np.full(40, 2.0), np.full(40, 5.0)
    out, _ = layernorm_forward(x, gamma, beta, {})
    np.testing.assert_allclose(out.mean(axis=1), 5.0)
    np.testing.assert_allclose(out.std(axis=1), 2.0, rtol=1e-5)
    single, _ = layernorm_forward(x[:1], gamma, beta, {})
    np.testing.assert_allclose(single, out[:1])
    wide, _ = layernorm_forward(x, gamma, beta, {"eps": 100.0})
    assert (wide.std(axis=1) < 1.0).all()


# ---- dropout


def test_dropout_keeps_a_share_p_and_the_mean():
    np.random.seed(231)
    x = np.random.randn(500, 500) + 10.0
    for p in (0.25, 0.4, 0.7):
        np.random.seed(5)
        out, cache = dropout_forward(x, {"mode": "train", "p": p})
        assert abs((out != 0).mean() - p) < 0.005
        assert abs(out.mean() - x.mean()) < 0.1
        np.random.seed(5)
        mask = (np.random.rand(*x.shape) < p) / p  # how the course draws it
        assert np.array_equal(out, x * mask)
        assert np.array_equal(dropout_backward(np.ones_like(x), cache), mask)


def test_dropout_does_nothing_in_testing(rng):
    x = rng.normal(size=(4, 3))
    np.random.seed(0)
    out, cache = dropout_forward(x, {"mode": "test", "p": 0.3})
    assert np.array_equal(out, x)
    assert not np.shares_memory(out, x)
    assert np.array_equal(dropout_backward(x, cache), x)
    drawn = np.random.rand()
    np.random.seed(0)
    assert np.random.rand() == drawn  # nothing was drawn


def test_dropout_repeats_with_a_seed(rng):
    x = rng.normal(size=(20, 10))
    param = {"mode": "train", "p": 0.5, "seed": 123}
    first, second = dropout_forward(x, param)[0], dropout_forward(x, param)[0]
    assert np.array_equal(first, second)
    del param["seed"]
    assert not np.array_equal(dropout_forward(x, param)[0], dropout_forward(x, param)[0])


# ---- sandwiches


@pytest.mark.parametrize("kind", ["relu", "bn_relu", "ln_relu"])
def test_a_sandwich_is_its_layers_in_a_row(kind, rng):
    x, w, b = rng.normal(size=(6, 2, 3)), rng.normal(size=(6, 5)), rng.normal(size=5)
    gamma, beta = rng.normal(size=5), rng.normal(size=5)
    normalize = {"bn_relu": (batchnorm_forward, batchnorm_backward), "ln_relu": (layernorm_forward, layernorm_backward)}
    forward, backward = (getattr(layer_utils, f"affine_{kind}_{way}") for way in ("forward", "backward"))
    extra = () if kind == "relu" else (gamma, beta, training())
    out, cache = forward(x, w, b, *extra)
    dout = rng.normal(size=out.shape)

    hidden, affine_cache = affine_forward(x, w, b)
    param = training()
    if extra:
        hidden, norm_cache = normalize[kind][0](hidden, gamma, beta, param)
    expected, relu_cache = relu_forward(hidden)
    d = relu_backward(dout, relu_cache)
    scale_and_shift = []
    if extra:
        d, *scale_and_shift = normalize[kind][1](d, norm_cache)
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-14)
    for one, other in zip(backward(dout, cache), (*affine_backward(d, affine_cache), *scale_and_shift), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    if kind == "bn_relu":
        assert np.array_equal(extra[-1]["running_var"], param["running_var"])


# ---- parameters that do not fit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "trian"}, "bn_param: mode is 'trian', expected 'train' or 'test'"),
        ({"mode": None}, "bn_param: mode is None"),
        ({"eps": -1.0}, "bn_param: eps: given -1"),
        ({"momentum": 1.5}, "bn_param: momentum is 1.5"),
        ({"momentum": -0.5}, "bn_param: momentum: given -0.5"),
        ({"running_mean": np.zeros(1)}, r"bn_param: running_mean has shape \(1,\), expected \(5,\)"),
        ({"running_var": np.zeros((5, 1))}, r"bn_param: running_var has shape \(5, 1\), expected \(5,\)"),
    ],
)
@pytest.mark.parametrize("sandwich", [False, True])
def test_bad_bn_param_is_refused_and_left_alone(change, message, sandwich, rng):
    param = {**evaluating(), **change}
    before = dict(param)
    forward = layer_utils.affine_bn_relu_forward if sandwich else batchnorm_forward
    affine = (np.eye(5), np.zeros(5)) if sandwich else ()
    x = rng.normal(size=(6, 5))
    with pytest.raises(ValueError, match=message):
        forward(x, *affine, np.ones(5), np.zeros(5), param)
    assert set(param) == set(before)
    assert all(param[name] is before[name] for name in before)


def test_other_bad_parameters_are_refused():
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match="dropout_param: mode is 'eval', expected 'train' or 'test'"):
        dropout_forward(x, {"mode": "eval", "p": 0.5})
    with pytest.raises(ValueError, match="dropout_param: p: given 0"):
        dropout_forward(x, {"mode": "train", "p": 0.0})
    with pytest.raises(TypeError, match="dropout_param: p: given None"):
        dropout_forward(x, {"mode": "train"})
    with pytest.raises(ValueError, match="ln_param: eps: given -1"):
        layernorm_forward(x, np.ones(3), np.ones(3), {"eps": -1.0})


def test_the_names_of_the_issue_are_public():
    assert set(layers.__all__) >= {
        f"{layer}_{way}" for layer in ("affine", "relu", "batchnorm", "layernorm", "dropout")
        for way in ("forward", "backward")
    } | {"batchnorm_backward_alt", "svm_loss", "softmax_loss"}  # fmt: skip

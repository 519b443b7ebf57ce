"""The cells of the CS231n notebook "FullyConnectedNets", one test each: the printed numbers come out.

What a cell trains on CIFAR-10 is trained on small pictures here, with the notebook's settings; ``make reproduce`` has
the real ones. Errors of numerical gradients are rounding, and hold in their order of magnitude.
"""

# ruff: noqa: NPY002 - the notebook seeds the global generator

import re

import numpy as np
import pytest

from tinygrad_fc.check import rel_error
from tinygrad_fc.cs231n.classifiers.fc_net import (
    FullyConnectedNet,
    TwoLayerNet,
    affine_backward,
    affine_forward,
    relu_backward,
    relu_forward,
    softmax_loss,
    svm_loss,
)
from tinygrad_fc.cs231n.gradient_check import eval_numerical_gradient, eval_numerical_gradient_array
from tinygrad_fc.cs231n.layer_utils import affine_relu_backward, affine_relu_forward
from tinygrad_fc.cs231n.optim import adam, rmsprop, sgd_momentum
from tinygrad_fc.cs231n.solver import Solver


def table(text):
    """Return the numbers of a printed table."""
    return np.array([[float(word) for word in line.split()] for line in text.strip().splitlines()])


def errors(forward, arrays, dout, gradients):
    """Return the relative error of each gradient against differences in its array."""
    return [
        rel_error(eval_numerical_gradient_array(lambda _: forward(*arrays)[0], array, dout), gradient)
        for array, gradient in zip(arrays, gradients, strict=True)
    ]


def model_errors(model, X, y):
    """Return the relative error of each parameter's gradient, by name."""
    _, grads = model.loss(X, y)
    return {
        name: rel_error(eval_numerical_gradient(lambda _: model.loss(X, y)[0], model.params[name], verbose=False), grad)
        for name, grad in grads.items()
    }


def test_cell_56_one_star_import_brings_layers_classifiers_and_numpy():
    notebook = {}
    exec("from tinygrad_fc.cs231n.classifiers.fc_net import *", notebook)
    used = {"np", "affine_forward", "affine_backward", "relu_forward", "relu_backward", "svm_loss", "softmax_loss",
            "TwoLayerNet", "FullyConnectedNet"}  # fmt: skip
    assert used <= set(notebook)
    assert notebook["np"] is np


def test_cell_58_affine_forward():
    x = np.linspace(-0.1, 0.5, num=240).reshape(2, 4, 5, 6)
    w = np.linspace(-0.2, 0.3, num=360).reshape(120, 3)
    out, _ = affine_forward(x, w, np.linspace(-0.3, 0.1, num=3))
    assert rel_error(out, table("1.49834967 1.70660132 1.91485297\n3.25553199 3.5141327 3.77273342")) < 1e-9


def test_cell_59_affine_backward():
    np.random.seed(231)
    arrays = np.random.randn(10, 2, 3), np.random.randn(6, 5), np.random.randn(5)
    dout = np.random.randn(10, 5)
    _, cache = affine_forward(*arrays)
    assert max(errors(affine_forward, arrays, dout, affine_backward(dout, cache))) < 1e-10


def test_cell_60_relu_forward():
    out, _ = relu_forward(np.linspace(-0.5, 0.5, num=12).reshape(3, 4))
    expected = "0 0 0 0\n0 0 0.04545455 0.13636364\n0.22727273 0.31818182 0.40909091 0.5"
    assert rel_error(out, table(expected)) == pytest.approx(4.999999798022158e-08)


def test_cell_61_relu_backward():
    np.random.seed(231)
    x = np.random.randn(10, 10)
    dout = np.random.randn(*x.shape)
    _, cache = relu_forward(x)
    assert errors(relu_forward, [x], dout, [relu_backward(dout, cache)])[0] < 1e-11


def test_cell_62_affine_relu():
    np.random.seed(231)
    arrays = np.random.randn(2, 3, 4), np.random.randn(12, 10), np.random.randn(10)
    dout = np.random.randn(2, 10)
    _, cache = affine_relu_forward(*arrays)
    assert max(errors(affine_relu_forward, arrays, dout, affine_relu_backward(dout, cache))) < 1e-10


@pytest.mark.parametrize(
    ("function", "printed", "bound"), [(svm_loss, 8.999602749096233, 2e-9), (softmax_loss, 2.302545844500738, 1e-8)]
)
def test_cell_63_losses(function, printed, bound):
    np.random.seed(231)
    x = 0.001 * np.random.randn(50, 10)
    y = np.random.randint(10, size=50)
    loss, dx = function(x, y)
    assert loss == pytest.approx(printed, rel=2.5e-16)  # to the last bit, which is the machine's
    assert rel_error(eval_numerical_gradient(lambda x: function(x, y)[0], x, verbose=False), dx) < bound


def test_cell_64_two_layer_net():
    np.random.seed(231)
    N, D, H, C = 3, 5, 50, 7
    np.random.randn(N, D), np.random.randint(C, size=N)  # the cell draws data that it then replaces
    model = TwoLayerNet(input_dim=D, hidden_dim=H, num_classes=C, weight_scale=1e-3)
    for name in ("W1", "W2"):
        assert abs(model.params[name].std() - 1e-3) < 1e-4
    assert not model.params["b1"].any()
    assert not model.params["b2"].any()

    model.params["W1"] = np.linspace(-0.7, 0.3, num=D * H).reshape(D, H)
    model.params["b1"] = np.linspace(-0.1, 0.9, num=H)
    model.params["W2"] = np.linspace(-0.3, 0.4, num=H * C).reshape(H, C)
    model.params["b2"] = np.linspace(-0.9, 0.1, num=C)
    X = np.linspace(-5.5, 4.5, num=N * D).reshape(D, N).T
    scores = table("""
        11.53165108 12.2917344  13.05181771 13.81190102 14.57198434 15.33206765 16.09215096
        12.05769098 12.74614105 13.43459113 14.1230412  14.81149128 15.49994135 16.18839143
        12.58373087 13.20054771 13.81736455 14.43418138 15.05099822 15.66781506 16.2846319
    """)
    assert np.abs(model.loss(X) - scores).sum() < 1e-6

    y = np.asarray([0, 5, 1])
    for reg, printed in ((0.0, 3.4702243556), (1.0, 26.5948426952)):
        model.reg = reg
        assert abs(model.loss(X, y)[0] - printed) < 1e-10
    for reg in (0.0, 0.7):
        model.reg = reg
        assert max(model_errors(model, X, y).values()) < 1e-6


def test_cell_65_solver(images, capsys):
    np.random.seed(0)
    model = TwoLayerNet(input_dim=3 * 8 * 8)
    solver = Solver(
        model, images, update_rule="sgd", optim_config={"learning_rate": 1e-3}, lr_decay=0.95, num_epochs=10,
        batch_size=100, print_every=100,
    )  # fmt: skip
    solver.train()
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\(Iteration 1 / 20\) loss: 2\.30\d{4}", lines[0])
    for epoch, line in enumerate(lines[1:]):
        assert re.fullmatch(rf"\(Epoch {epoch} / 10\) train acc: [01]\.\d{{6}}; val_acc: [01]\.\d{{6}}", line)
    assert len(lines) == 12
    assert len(solver.loss_history) == 20
    assert len(solver.train_acc_history) == len(solver.val_acc_history) == 11
    assert solver.best_val_acc > 0.9


@pytest.mark.parametrize(
    ("reg", "printed", "orders"),
    [
        (0, 2.3004790897684924, {"W1": 1e-6, "W2": 3e-4, "W3": 1e-6, "b1": 1e-8, "b2": 1e-8, "b3": 1e-10}),
        (3.14, 7.052114776533016, {"W1": 1e-8, "W2": 1e-7, "W3": 1e-7, "b1": 1e-7, "b2": 1e-8, "b3": 1e-9}),
    ],
)
def test_cell_67_initial_loss_and_gradients(reg, printed, orders):
    """In W2, with reg=0, is one gradient of 5e-8, of which the last bit of the loss makes up to 2e-4."""
    np.random.seed(231)
    X = np.random.randn(2, 15)
    y = np.random.randint(10, size=(2,))
    networks = [
        FullyConnectedNet([20, 30], input_dim=15, num_classes=10, reg=strength, weight_scale=5e-2, dtype=np.float64)
        for strength in (0, 3.14)  # the second goes on in the stream of random numbers where the first ended
    ]
    model = networks[reg > 0]
    assert model.loss(X, y)[0] == pytest.approx(printed, rel=2.5e-16)  # to the last bit, which is the machine's
    found = model_errors(model, X, y)
    assert {name for name, error in found.items() if error >= orders[name]} == set()
    assert set(found) == set(orders)


@pytest.mark.parametrize(
    ("hidden", "scale", "rate"), [([100, 100], 3e-2, 6e-4), ([100] * 4, 5e-2, 3e-3)], ids=["cell_128", "cell_137"]
)
def test_overfits_fifty_pictures(images, hidden, scale, rate, capsys):
    np.random.seed(0)
    small = {**images, "X_train": images["X_train"][:50], "y_train": images["y_train"][:50]}
    model = FullyConnectedNet(hidden, 3 * 8 * 8, weight_scale=scale, dtype=np.float64)
    solver = Solver(
        model, small, print_every=10, num_epochs=20, batch_size=25, update_rule="sgd",
        optim_config={"learning_rate": rate},
    )  # fmt: skip
    solver.train()
    assert max(solver.train_acc_history) == 1.0
    lines = capsys.readouterr().out.splitlines()
    assert [line[: line.index(")") + 1] for line in lines if line[1] == "I"] == [
        f"(Iteration {n} / 40)" for n in (1, 11, 21, 31)
    ]
    assert lines[-1].startswith("(Epoch 20 / 20) train acc: ")


def point():
    return np.linspace(-0.4, 0.6, num=20).reshape(4, 5), np.linspace(-0.6, 0.4, num=20).reshape(4, 5)


def state(first, last):
    return np.linspace(first, last, num=20).reshape(4, 5)


def test_cell_139_sgd_momentum():
    config = {"learning_rate": 1e-3, "velocity": state(0.6, 0.9)}
    next_w, returned = sgd_momentum(*point(), config=config)
    assert returned is config
    assert rel_error(next_w, table("""
        0.1406     0.20738947 0.27417895 0.34096842 0.40775789
        0.47454737 0.54133684 0.60812632 0.67491579 0.74170526
        0.80849474 0.87528421 0.94207368 1.00886316 1.07565263
        1.14244211 1.20923158 1.27602105 1.34281053 1.4096
    """)) == pytest.approx(8.882347033505819e-09, rel=1e-6)  # fmt: skip
    assert rel_error(config["velocity"], table("""
        0.5406     0.55475789 0.56891579 0.58307368 0.59723158
        0.61138947 0.62554737 0.63970526 0.65386316 0.66802105
        0.68217895 0.69633684 0.71049474 0.72465263 0.73881053
        0.75296842 0.76712632 0.78128421 0.79544211 0.8096
    """)) == pytest.approx(4.269287743278663e-09, rel=1e-6)  # fmt: skip


def test_cell_141_rmsprop():
    config = {"learning_rate": 1e-2, "cache": state(0.6, 0.9)}
    next_w, _ = rmsprop(*point(), config=config)
    assert rel_error(next_w, table("""
        -0.39223849 -0.34037513 -0.28849239 -0.23659121 -0.18467247
        -0.132737   -0.08078555 -0.02881884  0.02316247  0.07515774
         0.12716641  0.17918792  0.23122175  0.28326742  0.33532447
         0.38739248  0.43947102  0.49155973  0.54365823  0.59576619
    """)) == pytest.approx(9.524687511038133e-08, rel=1e-6)  # fmt: skip
    assert rel_error(config["cache"], table("""
        0.5976     0.6126277  0.6277108  0.64284931 0.65804321
        0.67329252 0.68859723 0.70395734 0.71937285 0.73484377
        0.75037008 0.7659518  0.78158892 0.79728144 0.81302936
        0.82883269 0.84469141 0.86060554 0.87657507 0.8926
    """)) == pytest.approx(2.6477955807156126e-09, rel=1e-6)  # fmt: skip


def test_cell_142_adam():
    config = {"learning_rate": 1e-2, "m": state(0.6, 0.9), "v": state(0.7, 0.5), "t": 5}
    next_w, _ = adam(*point(), config=config)
    assert rel_error(next_w, table("""
        -0.40094747 -0.34836187 -0.29577703 -0.24319299 -0.19060977
        -0.1380274  -0.08544591 -0.03286534  0.01971428  0.0722929
         0.1248705   0.17744702  0.23002243  0.28259667  0.33516969
         0.38774145  0.44031188  0.49288093  0.54544852  0.59801459
    """)) == pytest.approx(1.1395691798535431e-07, rel=1e-6)  # fmt: skip
    assert rel_error(config["v"], table("""
        0.69966    0.68908382 0.67851319 0.66794809 0.65738853
        0.64683452 0.63628604 0.6257431  0.61520571 0.60467385
        0.59414753 0.58362676 0.57311152 0.56260183 0.55209767
        0.54159906 0.53110598 0.52061845 0.51013645 0.49966
    """)) == pytest.approx(4.208314038113071e-09, rel=1e-6)  # fmt: skip
    assert rel_error(config["m"], table("""
        0.48       0.49947368 0.51894737 0.53842105 0.55789474
        0.57736842 0.59684211 0.61631579 0.63578947 0.65526316
        0.67473684 0.69421053 0.71368421 0.73315789 0.75263158
        0.77210526 0.79157895 0.81105263 0.83052632 0.85
    """)) == pytest.approx(4.214963193114416e-09, rel=1e-6)  # fmt: skip
    assert config["t"] == 6


def deep(images, rule, rate):
    """Train the six-layer network of cells 140 and 143."""
    np.random.seed(1)
    model = FullyConnectedNet([100, 100, 100, 100, 100], 3 * 8 * 8, weight_scale=5e-2)
    solver = Solver(
        model, images, num_epochs=5, batch_size=20, update_rule=rule, optim_config={"learning_rate": rate},
        verbose=False,
    )  # fmt: skip
    solver.train()
    return solver


def test_cell_140_momentum_is_ahead_of_sgd(images):
    sgd, momentum = deep(images, "sgd", 5e-3), deep(images, "sgd_momentum", 5e-3)
    assert momentum.loss_history[0] == sgd.loss_history[0]
    assert np.mean(momentum.loss_history[-10:]) < np.mean(sgd.loss_history[-10:])


def test_cell_143_adam_and_rmsprop_learn(images):
    for rule, rate in (("adam", 1e-3), ("rmsprop", 1e-4)):
        solver = deep(images, rule, rate)
        assert np.mean(solver.loss_history[-10:]) < 0.5 * solver.loss_history[0]
        assert solver.best_val_acc > 0.5


def test_cells_147_and_148_search_and_test(images, capsys):
    np.random.seed(2)
    best_acc, best_model = 0, None
    for reg in (1e-2, 1e-4):
        model = FullyConnectedNet([100, 100], 3 * 8 * 8, weight_scale=5e-2, reg=reg)
        solver = Solver(
            model, images, num_epochs=3, batch_size=50, update_rule="adam", optim_config={"learning_rate": 1e-3},
            verbose=False,
        )  # fmt: skip
        solver.train()
        if solver.best_val_acc > best_acc:
            best_acc, best_model = solver.best_val_acc, model
    assert capsys.readouterr().out == ""
    predicted = {part: np.argmax(best_model.loss(images[f"X_{part}"]), axis=1) for part in ("val", "test")}
    assert (predicted["val"] == images["y_val"]).mean() == best_acc
    assert (predicted["test"] == images["y_test"]).mean() > 0.5

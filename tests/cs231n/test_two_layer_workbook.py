"""The cells of the ECE 239AS workbook "two-layer neural network", one test each: the printed numbers come out.

What a cell trains on CIFAR-10 is trained on small pictures here; ``make reproduce`` has the real ones.
"""

# ruff: noqa: NPY002 - the workbook seeds the global generator

import copy
import re

import numpy as np
import pytest

from tinygrad_fc.check import rel_error
from tinygrad_fc.cs231n.gradient_check import eval_numerical_gradient
from tinygrad_fc.cs231n.neural_net import TwoLayerNet


def toy_data():
    np.random.seed(1)
    return 10 * np.random.randn(5, 4), np.array([0, 1, 2, 2, 1])


def toy_model():
    np.random.seed(0)
    return TwoLayerNet(4, 10, 3, std=1e-1)


def test_cell_156_both_homes_have_the_one_class():
    from tinygrad_fc.cs231n.classifiers import neural_net

    assert neural_net.TwoLayerNet is TwoLayerNet


def test_cell_157_weights_have_a_row_for_each_unit():
    net = toy_model()
    np.random.seed(0)
    assert np.array_equal(net.params["W1"], 0.1 * np.random.randn(10, 4))
    assert np.array_equal(net.params["W2"], 0.1 * np.random.randn(3, 10))
    assert {name: array.shape for name, array in net.params.items()} == {
        "W1": (10, 4), "b1": (10,), "W2": (3, 10), "b2": (3,),
    }  # fmt: skip
    assert not net.params["b1"].any()
    assert not net.params["b2"].any()


def test_cell_158_scores():
    X, _ = toy_data()
    printed = [
        [-1.07260209, 0.05083871, -0.87253915],
        [-2.02778743, -0.10832494, -1.52641362],
        [-0.74225908, 0.15259725, -0.39578548],
        [-0.38172726, 0.10835902, -0.17328274],
        [-0.64417314, -0.18886813, -0.41106892],
    ]
    assert np.abs(toy_model().loss(X) - np.asarray(printed)).sum() < 1e-7


def test_cell_159_loss():
    X, y = toy_data()
    loss, _ = toy_model().loss(X, y, reg=0.05)
    assert loss == 1.071696123862817


def test_cell_160_gradients():
    X, y = toy_data()
    net = toy_model()
    loss, grads = net.loss(X, y, reg=0.05)
    assert set(grads) == {"W1", "b1", "W2", "b2"}
    for name, grad in grads.items():
        numerical = eval_numerical_gradient(
            lambda _: net.loss(X, y, reg=0.05)[0], net.params[name], verbose=False
        )
        assert numerical.shape == grad.shape
        assert rel_error(numerical, grad) < 1e-8
    assert net.loss(X, y, reg=0.05)[0] == loss  # the parameters are as they were


def test_cell_161_training(capsys):
    X, y = toy_data()
    net = toy_model()
    stats = net.train(X, y, X, y, learning_rate=1e-1, reg=5e-6, num_iters=100, verbose=False)
    assert len(stats["loss_history"]) == 100
    assert stats["loss_history"][-1] == pytest.approx(0.0144978645878, rel=1e-9)
    assert (net.predict(X) == y).all()
    assert capsys.readouterr().out == ""


@pytest.fixture
def rows(images):
    """The pictures as the workbook has them: one flattened picture a row."""
    return {name: value.reshape(len(value), -1) if name[0] == "X" else value for name, value in images.items()}


def train(rows, **options):
    np.random.seed(0)
    net = TwoLayerNet(3 * 8 * 8, 50, 10)
    stats = net.train(rows["X_train"], rows["y_train"], rows["X_val"], rows["y_val"], **options)
    return net, stats


def test_cells_187_and_168_histories_and_printed_lines(rows, capsys):
    net, stats = train(
        rows, num_iters=202, batch_size=40, learning_rate=1e-4, learning_rate_decay=0.95, reg=0.25, verbose=True
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"iteration {n} / 202: loss {stats['loss_history'][n]}" for n in (0, 100, 200)]
    assert re.fullmatch(r"iteration 0 / 202: loss 2\.30\d{10,}", lines[0])
    # An epoch has five steps, and is measured after its first one.
    assert len(stats["train_acc_history"]) == len(stats["val_acc_history"]) == 41
    assert all(type(value) is float for history in stats.values() for value in history)
    assert all(value * 40 == pytest.approx(round(value * 40)) for value in stats["train_acc_history"])
    assert net.predict(rows["X_val"]).shape == rows["y_val"].shape


def test_cell_196_good_settings_beat_poor_ones(rows):
    poor, _ = train(rows, num_iters=20, batch_size=50, learning_rate=1e-5, reg=0.25)
    good, _ = train(rows, num_iters=200, batch_size=50, learning_rate=1e-3, reg=0.3)
    accuracy = [float((net.predict(rows["X_val"]) == rows["y_val"]).mean()) for net in (poor, good)]
    assert accuracy[1] > max(0.8, accuracy[0])
    # Cell 198 measures the test set in the same way.
    assert (good.predict(rows["X_test"]) == rows["y_test"]).mean() > 0.8


def test_cell_197_first_weights_become_pictures():
    net = TwoLayerNet(32 * 32 * 3, 50, 10)
    pictures = net.params["W1"].T.reshape(32, 32, 3, -1).transpose(3, 0, 1, 2)
    assert pictures.shape == (50, 32, 32, 3)
    assert np.array_equal(pictures[7].ravel(), net.params["W1"][7])


# ---- beyond the workbook's cells


def test_training_is_that_of_a_loop_over_the_gradients():
    """Batches from the global generator, a decay after the first step of each epoch, steps down the gradient."""
    X, y = np.tile(toy_data()[0], (4, 1)), np.tile(toy_data()[1], 4)
    net = toy_model()
    stats = net.train(X, y, X, y, learning_rate=0.05, learning_rate_decay=0.5, reg=0.1, num_iters=6, batch_size=8)
    other, rate, losses = toy_model(), 0.05, []
    for step in range(6):
        batch = np.random.choice(20, 8)
        loss, grads = other.loss(X[batch], y[batch], reg=0.1)
        losses.append(loss)
        for name, grad in grads.items():
            other.params[name] -= rate * grad
        rate *= 0.5 if step % 2 == 0 else 1.0
    assert stats["loss_history"] == pytest.approx(losses, rel=1e-14)
    for name, value in other.params.items():
        np.testing.assert_allclose(net.params[name], value, rtol=1e-13, atol=1e-15)


def test_params_are_live():
    X, y = toy_data()
    net = toy_model()
    kept = net.params["W1"]
    before = net.loss(X, y)[0]
    kept[3, 1] += 0.5
    after = net.loss(X, y)[0]
    assert after != before
    net.train(X, y, X, y, num_iters=2)
    assert np.shares_memory(kept, net.params["W1"])
    assert np.array_equal(kept, net.params["W1"])  # an array that was read stays the network's through training
    net.params["W1"] = np.ones((10, 4))
    assert (kept == 1).all()
    assert len(net.params) == 4
    assert "W1 (10, 4)" in repr(net.params)


def test_a_copy_trains_alone():
    X, y = toy_data()
    net = toy_model()
    twin = copy.deepcopy(net)
    net.train(X, y, X, y, num_iters=3)
    assert np.array_equal(twin.params["W1"], toy_model().params["W1"])
    assert not np.array_equal(twin.params["W1"], net.params["W1"])
    before = net.params["W1"].copy()
    twin.train(X, y, X, y, num_iters=3)
    assert np.array_equal(net.params["W1"], before)


def test_weights_are_not_copied_in_a_step():
    """The gradients, too, are transposed as views."""
    X, y = toy_data()
    net = toy_model()
    assert np.shares_memory(net.params["W1"], net.model.params["W1"])
    _, grads = net.loss(X, y)
    assert grads["W1"].base is not None
    assert grads["W1"].T.flags.c_contiguous


def test_refusals_name_what_is_wrong():
    X, y = toy_data()
    net = toy_model()
    before = {name: array.copy() for name, array in net.params.items()}
    with pytest.raises(ValueError, match="hidden_size: given 0"):
        TwoLayerNet(4, 0, 3)
    with pytest.raises(ValueError, match="std: given -1"):
        TwoLayerNet(4, 10, 3, std=-1)
    with pytest.raises(ValueError, match=r"params\['W1'\]: given shape \(4, 10\), expected \(10, 4\)"):
        net.params["W1"] = np.ones((4, 10))
    with pytest.raises(TypeError, match="cannot be deleted"):
        del net.params["W1"]
    with pytest.raises(KeyError, match="W3"):
        net.params["W3"]
    with pytest.raises(ValueError, match="reg: given -1"):
        net.loss(X, y, reg=-1)
    with pytest.raises(ValueError, match=r"X has shape \(5, 4\), y has \(4,\)"):
        net.train(X, y[:4], X, y)
    with pytest.raises(ValueError, match=r"X_val has shape \(5, 4\), y_val has \(4,\)"):
        net.train(X, y, X, y[:4])
    with pytest.raises(ValueError, match="num_iters: given 0"):
        net.train(X, y, X, y, num_iters=0)
    with pytest.raises(ValueError, match="batch_size: given 0"):
        net.train(X, y, X, y, batch_size=0)
    with pytest.raises(ValueError, match="learning_rate"):
        net.train(X, y, X, y, learning_rate=-1)
    with pytest.raises(ValueError, match="learning_rate_decay: given -1"):
        net.train(X, y, X, y, learning_rate_decay=-1)
    assert all(np.array_equal(net.params[name], array) for name, array in before.items())


def test_a_run_that_diverges_says_so():
    X, y = toy_data()
    net = toy_model()
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=r"the loss of iteration \d+ is (nan|inf)"):
        net.train(X, y, X, y, learning_rate=1e200, num_iters=50, reg=1.0)

"""What is measured of networks and runs is right, and measuring leaves everything as it was."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from solver_models import Linear, make_model, solve

import tinygrad_fc as tg
from tinygrad_fc import training
from tinygrad_fc.training import (
    LayerStatistics,
    TensorBoard,
    UpdateRatios,
    confusion_matrix,
    layer_statistics,
    lr_range_test,
    plot_activations,
    plot_confusion,
    plot_dead_relus,
    plot_history,
    plot_update_ratios,
    plot_weights,
)


def network() -> Any:
    return tg.models.FullyConnectedNet(
        [6, 5], 2, 3, normalization="batchnorm", dropout_keep_ratio=0.7, seed=0, dtype=np.float64, weight_scale=None
    )


def state(model: Any) -> str:
    grads = [(name, parameter.grad) for name, parameter in model.named_parameters()]
    arrays = {name: array.tobytes() for name, array in model.state_dict().items()}
    return str((arrays, model.generator_state(), grads, [m.training for _, m in model.named_modules()], dir(model)))


def test_layers_tell_values_and_gradients(data: Any) -> None:
    model = tg.models.FullyConnectedNet([4], 2, 3, seed=0, dtype=np.float64, weight_scale=1.0)
    X, y = data["X_train"], data["y_train"]
    first, second = layer_statistics(model, X, y)
    hidden = np.maximum(X @ model.params["W1"] + model.params["b1"], 0.0)
    scores = hidden @ model.params["W2"] + model.params["b2"]
    assert [(row.name, row.kind, row.rectified) for row in (first, second)] == [
        ("fc1", "Linear", True), ("fc2", "Linear", False)
    ]  # fmt: skip
    assert np.allclose(first.values, hidden)
    assert np.allclose(second.values, scores)
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    slope = (chances - np.eye(3)[y]) / len(X)
    assert np.allclose(second.gradients, slope)
    assert np.allclose(first.gradients, slope @ model.params["W2"].T)
    assert first.zeros == np.mean(hidden == 0.0)
    assert first.dead == np.mean((hidden == 0.0).all(axis=0))
    assert "fc1 (Linear): values" in repr(first)


def test_dead_units_are_counted() -> None:
    model = tg.models.FullyConnectedNet([4], 2, 3, seed=0)
    model.params["W1"][:, :3] = 0.0
    model.params["b1"][:3] = -1.0
    first = layer_statistics(model, np.ones((5, 2)), np.zeros(5, int))[0]
    assert first.dead >= 0.75
    assert "of the units dead" in repr(first)


def test_measuring_changes_nothing(data: Any) -> None:
    model = network()
    before = state(model)
    rows = layer_statistics(model, data["X_train"], data["y_train"])
    assert [row.name for row in rows] == [
        f"{name}{n}" for n in (1, 2) for name in ("fc", "norm", "relu", "dropout")
    ] + ["fc3"]
    assert state(model) == before
    lr_range_test(model, data, "adam", batch_size=10, seed=0)
    assert state(model) == before
    with pytest.raises(ValueError, match="label"):
        layer_statistics(model, data["X_train"], data["y_train"] + 7)
    assert state(model) == before


def test_any_module_with_a_criterion(data: Any) -> None:
    net = tg.nn.Sequential(tg.nn.Linear(2, 8, seed=0), tg.nn.ReLU(), tg.nn.Linear(8, 3, seed=1))
    rows = layer_statistics(net, data["X_train"], data["y_train"], tg.nn.CrossEntropyLoss())
    assert [(row.kind, row.rectified) for row in rows] == [("Linear", False), ("ReLU", True), ("Linear", False)]
    with pytest.raises(TypeError, match="given Linear, expected a tinygrad_fc.nn.Module"):
        layer_statistics(Linear(), data["X_train"], data["y_train"])  # type: ignore[arg-type]  # what is tested


def test_update_ratios_are_those_of_the_steps(data: Any) -> None:
    class Norms(training.Callback):
        def __init__(self) -> None:
            self.before: dict[str, Any] = {}
            self.all: list[dict[str, float]] = []

        def on_step_end(self, solver: Any) -> None:
            now = {name: np.array(value) for name, value in solver.params.items()}
            if self.before:
                self.all.append({name: np.linalg.norm(now[name] - self.before[name]) / np.linalg.norm(self.before[name])
                                 for name in ("W1", "W2")})  # fmt: skip
            self.before = now

    ratios, norms = UpdateRatios(4), Norms()
    solve(make_model(), data, num_epochs=3, callbacks=[ratios, norms]).train()
    assert ratios.steps == [4, 8, 12]
    for name in ("W1", "W2"):
        assert ratios.ratios[name] == pytest.approx([norms.all[step - 2][name] for step in ratios.steps])
    with pytest.raises(ValueError, match="every=1, expected an integer of at least 2"):
        UpdateRatios(1)


def test_a_state_of_ratios_is_a_copy(data: Any) -> None:
    ratios, other = UpdateRatios(3), UpdateRatios(3)
    solve(make_model(), data, num_epochs=2, callbacks=[ratios]).train()
    state = ratios.state_dict()
    kept = {name: array.copy() for name, array in state["before"].items()}
    assert kept  # after 8 steps, before the 9th
    other.load_state_dict(state)
    for holder in (ratios, other):
        for array in holder._before.values():
            array += 1.0
    assert all((state["before"][name] == array).all() for name, array in kept.items())


def test_ratios_go_on_after_a_resume(data: Any, tmp_path: Path) -> None:
    whole, first, second = UpdateRatios(4), UpdateRatios(4), UpdateRatios(4)
    solve(make_model(), data, callbacks=[whole]).train()
    solve(make_model(), data, num_epochs=2, callbacks=[first], checkpoint_dir=tmp_path).train()
    training.Solver.resume(tmp_path, make_model(), data, callbacks=[second], num_epochs=5).train()
    assert (second.steps, second.ratios) == (whole.steps, whole.ratios)


def test_confusions_are_counted() -> None:
    y, guess = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 2, 2])
    assert confusion_matrix(y, guess).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]
    assert confusion_matrix(y, guess, 4).shape == (4, 4)
    for given, error, match in (
        ((y, guess[:2]), ValueError, r"given shapes \(6,\) and \(2,\)"),
        ((y, guess, 2), ValueError, r"labels must lie in 0\.\.1, there are some up to 2"),
        ((y - 1, guess), ValueError, "labels must lie in"),
        ((y, guess * 1.0), TypeError, r"expected integers: scores\.argmax\(axis=1\)"),
    ):
        with pytest.raises(error, match=match):
            confusion_matrix(*given)  # type: ignore[arg-type]  # what is tested


def test_the_range_is_where_the_loss_falls() -> None:
    """For the loss |w - x|^2 / 2 the best rate of gradient descent is 1, and it diverges from 2 on."""

    class Bowl:
        def __init__(self) -> None:
            self.params = {"w": np.full(2, 5.0)}

        def loss(self, X: Any, y: Any = None) -> Any:
            away = self.params["w"] - X.mean(axis=0)
            return np.zeros((len(X), 3)) if y is None else (float(away @ away) / 2, {"w": away})

    X = np.random.default_rng(0).standard_normal((40, 2))
    data = {"X_train": X, "y_train": np.zeros(40, int)}
    model = Bowl()
    found = lr_range_test(model, data, "sgd", low=1e-4, high=100.0, batch_size=10, seed=0)
    assert model.params["w"].tolist() == [5.0] * 2
    assert 1e-3 < found.low < 0.3 < found.high < 2.0
    assert len(found.rates) < 100  # it diverged, and ended
    mean = [0.1 * sum(0.9 ** (n - k) * found.losses[k] for k in range(n + 1)) / (1 - 0.9 ** (n + 1)) for n in range(9)]
    assert found.smoothed[:9] == pytest.approx(mean)
    assert repr(found).startswith(f"RangeTest({len(found.rates)} steps; learning rates from ")
    with pytest.raises(ValueError, match="the loss fell at none of the first"):
        lr_range_test(Bowl(), data, "sgd", low=1e3, high=1e4, batch_size=10)
    with pytest.raises(ValueError, match="steps must be at least 10"):
        lr_range_test(Bowl(), data, steps=5)
    with pytest.raises(ValueError, match="X_train is missing"):
        lr_range_test(Bowl(), {})
    with pytest.raises(TypeError, match="data: given int"):
        lr_range_test(Bowl(), 3)  # type: ignore[arg-type]  # what is tested


def test_tensorboard_gets_the_figures(data: Any, tmp_path: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import RecordWriter  # noqa: F401  # its format: length, checksum, bytes, checksum

    solver = solve(make_model(), data, num_epochs=2, callbacks=[TensorBoard(tmp_path, every=3, histograms=True)])
    solver.train()
    found: dict[str, list[tuple[int, float]]] = {}
    kinds = set()
    for path in tmp_path.iterdir():
        content, at = path.read_bytes(), 0
        while at < len(content):
            length = int.from_bytes(content[at : at + 8], "little")
            event = Event.FromString(content[at + 12 : at + 12 + length])
            at += 16 + length
            for value in event.summary.value:
                kinds.add(value.WhichOneof("value"))
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    history = solver.history
    assert found["step/loss"] == [(step, pytest.approx(history.steps["loss"][step - 1])) for step in (3, 6)]
    assert found["acc/val"] == [(4 * n, pytest.approx(history.epochs["val_acc"][n])) for n in (1, 2)]
    assert {"loss/val", "loss/train", "acc/train", "step/learning_rate", "step/gradient_norm"} <= set(found)
    assert [step for step, _ in found["parameters/W1"]] == [step for step, _ in found["gradients/b2"]] == [4, 8]
    assert "histo" in kinds
    with pytest.raises(ValueError, match="every=0"):
        TensorBoard(tmp_path, every=0)


def test_without_tensorboardx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install tensorboardX \(or tinygrad_fc\[tensorboard\]\)"):
        TensorBoard(tmp_path)


# ---- pictures: each shows the numbers


def test_several_solvers_share_three_panels(data: Any, tmp_path: Path) -> None:
    solvers = {"slow": solve(make_model(), data), "fast": solve(make_model(), data, update_rule="adam")}
    with pytest.raises(ValueError, match="slow has not trained yet"):
        plot_history(solvers)
    for solver in solvers.values():
        solver.train()
    figure = plot_history(solvers, tmp_path / "x.png", "Two rules")
    assert [axes.get_title() for axes in figure.axes] == ["Training loss", "Training accuracy", "Validation accuracy"]
    for axes, histories in zip(figure.axes, ("loss_history", "train_acc_history", "val_acc_history"), strict=True):
        drawn = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
        assert drawn == {name: getattr(solver, histories) for name, solver in solvers.items()}
    assert [line.get_label() for line in plot_history(list(solvers.values())).axes[0].get_lines()] == ["run 1", "run 2"]
    with pytest.raises(ValueError, match="given no solver"):
        plot_history({})


def test_pictures_of_ratios_and_layers(data: Any, tmp_path: Path) -> None:
    ratios = UpdateRatios(2)
    with pytest.raises(ValueError, match="nothing was recorded; train for at least 2 steps"):
        plot_update_ratios(ratios)
    model = make_model()
    solve(model, data, callbacks=[ratios]).train()
    axes = plot_update_ratios(ratios, tmp_path / "r.png").axes[0]
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines() if line.get_label()[0] != "_"}
    assert drawn == ratios.ratios
    rows = layer_statistics(model, data["X_train"], data["y_train"])
    for gradients in (False, True):
        figure = plot_activations(rows, tmp_path / "a.png", gradients=gradients)
        counts = [sum(bar.get_height() for bar in axes.patches) for axes in figure.axes]
        assert counts == [row.values.size for row in rows]
    bars = plot_dead_relus(rows, tmp_path / "d.png").axes[0].patches
    assert [bar.get_height() for bar in bars] == [rows[0].zeros, rows[0].dead]
    with pytest.raises(ValueError, match="none of these layers has a relu"):
        plot_dead_relus(rows[1:])
    none = [LayerStatistics("x", "Linear", np.zeros((2, 2)), None, False)]
    with pytest.raises(ValueError, match="there are no gradients to show"):
        plot_activations(none, gradients=True)


def test_first_weights_are_images(tmp_path: Path) -> None:
    W = np.random.default_rng(0).standard_normal((64, 10))
    image = plot_weights(W, path=tmp_path / "w.png").axes[0].images[0].get_array()
    assert image.shape == (4 * 9 - 1, 4 * 9 - 1)
    first = W[:, 0].reshape(8, 8)
    assert np.allclose(image[:8, :8], (first - first.min()) / np.ptp(first))
    colours = plot_weights(tg.models.TwoLayerNet(48, 5, 3, seed=0)).axes[0].images[0].get_array()
    assert colours.shape == (3 * 5 - 1, 3 * 5 - 1, 3)
    assert plot_weights(W, shape=(4, 16), most=4).axes[0].images[0].get_array().shape == (9, 33)
    with pytest.raises(ValueError, match=r"60 weights a unit make no image of shape"):
        plot_weights(W[:60])


def test_weights_are_the_first_with_two_axes() -> None:
    """A normalization in front has a gamma of one axis: an IndexError."""
    net = tg.nn.Sequential(tg.nn.BatchNorm1d(4), tg.nn.Linear(4, 2, seed=0))
    image = plot_weights(net).axes[0].images[0].get_array()
    assert np.array_equal(image, plot_weights(net[1].W.data).axes[0].images[0].get_array())
    with pytest.raises(ValueError, match=r"no parameter of shape \(D, H\); its parameters: .*gamma \(4,\)"):
        plot_weights(tg.nn.Sequential(tg.nn.BatchNorm1d(4)))
    with pytest.raises(ValueError, match="its parameters: none"):
        plot_weights(tg.nn.Sequential())
    for wrong in (np.ones(4), np.ones((2, 2, 2)), np.ones((4, 0))):
        with pytest.raises(ValueError, match=r"given shape \(.*, expected weights of shape \(D, H\)"):
            plot_weights(wrong)
    with pytest.raises(ValueError, match="most=-1, expected at least 1"):
        plot_weights(np.ones((4, 2)), most=-1)


@pytest.mark.parametrize("count", [2, 10, 35, 100])
def test_confusions_are_drawn(count: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    y, guess = generator.integers(0, count, (2, 2000))
    figure = plot_confusion((y, guess), [f"class {n}" for n in range(count)], tmp_path / "c.png", "Confusion")
    matrix = confusion_matrix(y, guess)
    shares = figure.axes[0].images[0].get_array()
    assert np.allclose(shares, matrix / matrix.sum(axis=1, keepdims=True))
    texts = [int(text.get_text()) for text in figure.axes[0].texts]
    assert texts == (matrix[matrix > 0].tolist() if count <= 30 else [])
    with pytest.raises(ValueError, match=f"given 1 names for {count} classes"):
        plot_confusion(matrix, ["a"])
    with pytest.raises(ValueError, match=r"expected a square matrix"):
        plot_confusion(matrix[:1])


def test_a_notebook_shows_figures_without_pyplot() -> None:
    from IPython.core.formatters import DisplayFormatter

    shown, _ = DisplayFormatter().format(plot_confusion(np.eye(3)))
    assert shown["image/png"]


def test_a_range_is_drawn(tmp_path: Path) -> None:
    rates = np.geomspace(1e-4, 1.0, 20)
    found = training.RangeTest(rates, np.linspace(2, 1, 20), np.linspace(2, 1.2, 20), 1e-3, 1e-1)
    axes = found.plot(tmp_path / "r.png").axes[0]
    assert axes.get_xscale() == "log"
    assert math.isclose(axes.patches[0].get_x(), 1e-3)
    assert (tmp_path / "r.png").stat().st_size > 5_000


def test_every_picture_says_what_is_missing(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = layer_statistics(make_model(), data["X_train"], data["y_train"])
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw, given in ((plot_activations, rows), (plot_weights, np.ones((4, 2))), (plot_confusion, np.eye(3))):
        with pytest.raises(ModuleNotFoundError, match=r"needs matplotlib: pip install matplotlib"):
            draw(given)  # type: ignore[operator]  # three functions of several types

"""plot_history: the figure shows what the solver recorded, and a file of it is written."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from solver_models import MODELS, make_model, solve

from tinygrad_fc.training import plot_history


def recorded(losses: list[float], accuracies: list[float]) -> Any:
    """Return what the plot reads of a solver."""
    return SimpleNamespace(loss_history=losses, train_acc_history=accuracies, val_acc_history=accuracies)


def lines(axes: Any) -> dict[str, tuple[list[float], list[float]]]:
    return {line.get_label(): (line.get_xdata().tolist(), list(line.get_ydata())) for line in axes.get_lines()}


@pytest.mark.parametrize("kind", MODELS)
def test_the_figure_shows_the_histories(kind: str, data: Any) -> None:
    solver = solve(MODELS[kind](), data, num_epochs=5)
    solver.train()
    figure = plot_history(solver)
    assert isinstance(figure, Figure)
    losses, accuracies = figure.axes
    assert (losses.get_title(), losses.get_xlabel(), losses.get_ylabel()) == ("Training loss", "step", "loss")
    assert (accuracies.get_title(), accuracies.get_xlabel()) == ("Accuracy", "epoch")
    assert len(solver.loss_history) == 20
    assert lines(losses) == {"each step": (list(range(20)), solver.loss_history)}
    epochs = list(range(6))
    assert lines(accuracies) == {
        "training": (epochs, solver.train_acc_history),
        "validation": (epochs, solver.val_acc_history),
    }
    assert [text.get_text() for text in accuracies.texts] == [f"best {solver.best_val_acc:.3f}"]
    assert accuracies.texts[0].xy == (int(np.argmax(solver.val_acc_history)), solver.best_val_acc)
    assert [text.get_text() for text in accuracies.get_legend().get_texts()] == ["training", "validation"]


def test_a_long_run_has_a_smooth_line(data: Any) -> None:
    solver = solve(make_model(), data, num_epochs=30)
    solver.train()
    shown = lines(plot_history(solver).axes[0])
    assert list(shown) == ["each step", "mean of 2 steps"]
    steps, means = shown["mean of 2 steps"]
    history = np.array(solver.loss_history)
    assert steps == list(range(1, 120))
    assert means == pytest.approx((history[1:] + history[:-1]) / 2)


def test_the_loss_is_on_a_logarithmic_scale_where_it_can_be() -> None:
    assert plot_history(recorded([2.0, 1.0, 0.01], [0.1, 0.5])).axes[0].get_yscale() == "log"
    assert plot_history(recorded([2.0, 0.0], [0.1, 0.5])).axes[0].get_yscale() == "linear"
    assert plot_history(recorded([1.0, -1.0], [0.1, 0.5])).axes[0].get_yscale() == "linear"


@pytest.mark.parametrize(
    "losses", [[2.3], [1.0, 1.0], [2.0, float("nan")], [1e-9, 1e9], [0.0], list(np.geomspace(5, 1e-3, 400))]
)
def test_every_history_is_drawn(losses: list[float], tmp_path: Path) -> None:
    plot_history(recorded(losses, [0.25]), tmp_path / "training.png")
    assert (tmp_path / "training.png").stat().st_size > 10_000


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_suffix_chooses_the_form(suffix: str, start: bytes, data: Any, tmp_path: Path) -> None:
    solver = solve(make_model(), data, num_epochs=1)
    solver.train()
    path = tmp_path / f"training.{suffix}"
    figure = plot_history(solver, str(path) if suffix == "png" else path, "A title")
    assert path.read_bytes().startswith(start)
    assert figure.get_suptitle() == "A title"
    assert plot_history(solver).get_suptitle() == ""
    assert list(tmp_path.iterdir()) == [path]


def test_plotting_changes_nothing(data: Any) -> None:
    solver = solve(make_model(), data, num_epochs=2)
    solver.train()
    before = [list(h) for h in (solver.loss_history, solver.train_acc_history, solver.val_acc_history)]
    plot_history(solver)
    assert before == [solver.loss_history, solver.train_acc_history, solver.val_acc_history]


def test_before_training(data: Any, tmp_path: Path) -> None:
    path = tmp_path / "training.png"
    with pytest.raises(ValueError, match=r"plot_history: the solver has not trained yet: call solver\.train\(\) first"):
        plot_history(solve(make_model(), data), path)
    assert not path.exists()


def test_without_matplotlib(data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solver = solve(make_model(), data, num_epochs=1)
    solver.train()
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    path = tmp_path / "training.png"
    with pytest.raises(ModuleNotFoundError, match=r"matplotlib: pip install matplotlib \(or tinygrad_fc\[viz\]\)"):
        plot_history(solver, path)
    assert not path.exists()

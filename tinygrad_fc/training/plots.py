"""Pictures of a training run, with matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .solver import Solver


def plot_history(solver: Solver, path: str | Path | None = None, title: str = "") -> Any:
    """Plot the loss of every step, and the accuracies of every epoch.

    Parameters
    ----------
    solver : Solver
        After (or during) training.
    path : str or Path, optional
        Write the picture there; the suffix chooses the form (.png, .svg, .pdf).
    title : str
        Over the picture.

    Returns
    -------
    matplotlib.figure.Figure
        The figure, open to changes. No window appears.

    Raises
    ------
    ValueError
        If nothing was trained yet.
    ModuleNotFoundError
        If matplotlib is not installed; the message says how to install it.
    """
    if not solver.loss_history:
        raise ValueError("plot_history: the solver has not trained yet: call solver.train() first.")
    try:
        from matplotlib import ticker
        from matplotlib.figure import Figure  # not pyplot: no window, no global state
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "plot_history needs matplotlib: pip install matplotlib (or tinygrad_fc[viz])."
        ) from error

    figure = Figure(figsize=(10, 4.2), dpi=120, layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    losses.plot(solver.loss_history, ".", color="#9db8d6", markersize=3, label="each step")
    window = max(1, len(solver.loss_history) // 50)
    if window > 1:
        kernel = np.ones(window) / window
        smooth = np.convolve(solver.loss_history, kernel, mode="valid")
        losses.plot(np.arange(len(smooth)) + window - 1, smooth, color="#1f5a99", label=f"mean of {window} steps")
    losses.set(title="Training loss", xlabel="step", ylabel="loss")
    if min(solver.loss_history) > 0:
        losses.set_yscale("log")
        losses.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        losses.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        losses.yaxis.set_minor_formatter(ticker.NullFormatter())
    losses.legend(frameon=False)
    epochs = np.arange(len(solver.val_acc_history))
    accuracies.plot(epochs, solver.train_acc_history, "o-", color="#b9770e", markersize=3, label="training")
    accuracies.plot(epochs, solver.val_acc_history, "s-", color="#2e7d4f", markersize=3, label="validation")
    if solver.val_acc_history:
        best = int(np.argmax(solver.val_acc_history))
        accuracies.annotate(
            f"best {solver.val_acc_history[best]:.3f}", (best, solver.val_acc_history[best]), xytext=(0, -28),
            textcoords="offset points", ha="center", color="#2e7d4f",
            arrowprops={"arrowstyle": "-", "color": "#2e7d4f"},
        )  # fmt: skip
    accuracies.set(title="Accuracy", xlabel="epoch", ylabel="share of samples right")
    accuracies.legend(frameon=False, loc="lower right")
    for axes in (losses, accuracies):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(title)
    if path is not None:
        figure.savefig(path)
    return figure

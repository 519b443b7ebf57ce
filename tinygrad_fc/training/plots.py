"""Pictures of training runs, of networks and of what they confuse, with matplotlib."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .grid import image_grid
from .inspect import LayerStatistics, UpdateRatios, confusion_matrix
from .solver import Solver

if TYPE_CHECKING:
    from .lr_range import RangeTest

_TRAIN, _VAL, _LOSS, _PALE = "#b9770e", "#2e7d4f", "#1f5a99", "#9db8d6"
_MANY = ("#1f5a99", "#b9770e", "#2e7d4f", "#8e44ad", "#c0392b", "#16808a", "#6d4c41", "#7f8c8d")


def plot_history(
    solver: Solver | Mapping[str, Solver] | Sequence[Solver], path: str | Path | None = None, title: str = ""
) -> Any:
    """Plot the loss of every step, and the accuracies of every epoch, of one solver or of several side by side.

    Parameters
    ----------
    solver : Solver, or mapping of str to Solver, or sequence of Solver
        After (or during) training. Several are drawn as the course draws them: a panel for the loss, one for the
        training accuracy, one for the validation accuracy, and a curve for each name.
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
    if isinstance(solver, Mapping):
        solvers = {str(name): one for name, one in solver.items()}
    elif isinstance(solver, Sequence):
        solvers = {f"run {number}": one for number, one in enumerate(solver, 1)}
    else:
        return _one_history(solver, path, title)
    if not solvers:
        raise ValueError("plot_history: given no solver.")
    for name, one in solvers.items():
        if not one.loss_history:
            raise ValueError(f"plot_history: {name} has not trained yet: call its train() first.")
    figure = _figure("plot_history", 13, 4.0)
    losses, training, validation = figure.subplots(1, 3)
    for (name, one), color in zip(solvers.items(), _cycle(len(solvers)), strict=True):
        steps, smooth = _smooth(one.loss_history, max(1, len(one.loss_history) // 50))
        losses.plot(steps, smooth, color=color, label=name)
        for axes, accuracies, mark in ((training, one.train_acc_history, "o"), (validation, one.val_acc_history, "s")):
            axes.plot(range(len(accuracies)), accuracies, f"{mark}-", color=color, markersize=3, label=name)
    losses.set(title="Training loss", xlabel="step", ylabel="loss")
    _logarithmic(losses, [value for one in solvers.values() for value in one.loss_history])
    training.set(title="Training accuracy", xlabel="epoch", ylabel="share of samples right")
    validation.set(title="Validation accuracy", xlabel="epoch")
    validation.legend(frameon=False, loc="lower right")
    return _finished(figure, (losses, training, validation), path, title)


def _one_history(solver: Solver, path: str | Path | None, title: str) -> Any:
    if not solver.loss_history:
        raise ValueError("plot_history: the solver has not trained yet: call solver.train() first.")
    figure = _figure("plot_history", 10, 4.2)
    losses, accuracies = figure.subplots(1, 2)
    losses.plot(solver.loss_history, ".", color=_PALE, markersize=3, label="each step")
    window = max(1, len(solver.loss_history) // 50)
    if window > 1:
        losses.plot(*_smooth(solver.loss_history, window), color=_LOSS, label=f"mean of {window} steps")
    losses.set(title="Training loss", xlabel="step", ylabel="loss")
    _logarithmic(losses, solver.loss_history)
    losses.legend(frameon=False)
    epochs = np.arange(len(solver.val_acc_history))
    accuracies.plot(epochs, solver.train_acc_history, "o-", color=_TRAIN, markersize=3, label="training")
    accuracies.plot(epochs, solver.val_acc_history, "s-", color=_VAL, markersize=3, label="validation")
    if solver.val_acc_history and solver.val_acc_history[0] is not None:
        best = int(np.argmax(solver.val_acc_history))
        accuracies.annotate(
            f"best {solver.val_acc_history[best]:.3f}", (best, solver.val_acc_history[best]), xytext=(0, -28),
            textcoords="offset points", ha="center", color=_VAL, arrowprops={"arrowstyle": "-", "color": _VAL},
        )  # fmt: skip
    accuracies.set(title="Accuracy", xlabel="epoch", ylabel="share of samples right")
    accuracies.legend(frameon=False, loc="lower right")
    return _finished(figure, (losses, accuracies), path, title)


def plot_update_ratios(ratios: UpdateRatios, path: str | Path | None = None, title: str = "") -> Any:
    """Plot how far steps moved each parameter, on a logarithmic scale, with a line at 1e-3.

    Parameters
    ----------
    ratios : UpdateRatios
        The callback, after training.
    path, title
        As `plot_history` takes them.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If nothing was recorded.
    """
    if not ratios.steps:
        raise ValueError(f"plot_update_ratios: nothing was recorded; train for at least {ratios.every} steps.")
    figure = _figure("plot_update_ratios", 8, 4.2)
    axes = figure.subplots()
    for (name, column), color in zip(ratios.ratios.items(), _cycle(len(ratios.ratios)), strict=True):
        axes.plot(ratios.steps, column, color=color, linewidth=1.2, label=name)
    axes.axhline(1e-3, color="black", linewidth=0.8, linestyle=":")
    axes.set(title="Update / weight", xlabel="step", ylabel="norm of the update / norm of the parameter")
    axes.set_yscale("log")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=1 + len(ratios.ratios) // 16)
    return _finished(figure, (axes,), path, title)


def plot_activations(
    layers: Sequence[LayerStatistics], path: str | Path | None = None, title: str = "", gradients: bool = False
) -> Any:
    """Plot a histogram of each layer's values, or of the gradients that arrive at them.

    Parameters
    ----------
    layers : sequence of LayerStatistics
        As `layer_statistics` returns them.
    path, title
        As `plot_history` takes them.
    gradients : bool
        The gradients in place of the values.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there are no layers, or none of them has gradients.
    """
    rows = [(f"{row.name} ({row.kind})", row.gradients if gradients else row.values) for row in layers]
    shown = [(name, np.ravel(array)) for name, array in rows if array is not None]
    if not shown:
        raise ValueError(f"plot_activations: there are no {'gradients' if gradients else 'values'} to show.")
    columns = min(len(shown), 4)
    lines = math.ceil(len(shown) / columns)
    figure = _figure("plot_activations", 3.1 * columns, 2.5 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (name, array) in zip(panels, shown, strict=False):
        finite = array[np.isfinite(array)]
        axes.hist(finite, bins=40, color=_TRAIN if gradients else _LOSS)
        axes.set_title(name, fontsize=9)
        text = f"mean {finite.mean():.2g}\nstd {finite.std():.2g}" if finite.size else "nothing finite"
        if not gradients:
            text += f"\nzeros {np.mean(array == 0.0):.0%}"
        axes.text(0.97, 0.95, text, transform=axes.transAxes, ha="right", va="top", fontsize=8)
        axes.set_yscale("log")
        axes.tick_params(labelsize=7)
        axes.ticklabel_format(axis="x", style="sci", scilimits=(-2, 3))
        axes.xaxis.get_offset_text().set_fontsize(7)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    return _finished(figure, panels, path, title or ("Gradients of the layers' values" if gradients else "Values"))


def plot_dead_relus(layers: Sequence[LayerStatistics], path: str | Path | None = None, title: str = "") -> Any:
    """Plot, for each layer that a relu made, the share of its units that are 0 for the whole batch, and of zeros.

    Parameters
    ----------
    layers : sequence of LayerStatistics
        As `layer_statistics` returns them.
    path, title
        As `plot_history` takes them.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If no layer has a relu.
    """
    shown = [row for row in layers if row.rectified]
    if not shown:
        raise ValueError("plot_dead_relus: none of these layers has a relu.")
    figure = _figure("plot_dead_relus", max(5.0, 1.0 * len(shown) + 2.5), 3.8)
    axes, places = figure.subplots(), np.arange(len(shown))
    for shift, color, label, shares in (
        (-0.2, _PALE, "zeros among the values", [row.zeros for row in shown]),
        (0.2, "#c0392b", "dead units", [row.dead for row in shown]),
    ):
        bars = axes.bar(places + shift, shares, width=0.38, color=color, label=label)
        axes.bar_label(bars, [f"{share:.0%}" for share in shares], fontsize=8, padding=2)
    axes.set_xticks(places, [row.name for row in shown])
    axes.set(title="Relus on this batch", ylabel="share", ylim=(0.0, 1.15))
    axes.legend(frameon=False, loc="upper left", ncols=2)
    return _finished(figure, (axes,), path, title)


def plot_weights(
    weights: Any, shape: Sequence[int] | None = None, path: str | Path | None = None, title: str = "", most: int = 100
) -> Any:
    """Show the weights of a first layer as images, one a unit, each stretched to the full range of brightness.

    Parameters
    ----------
    weights : array, shape (D, H), or Module
        Of a network, its first parameter with two axes is taken.
    shape : sequence of int, optional
        Of an image: ``(8, 8)`` or ``(3, 32, 32)``. By default square, grey or in three colours, as D allows.
    path, title
        As `plot_history` takes them.
    most : int
        Of so many units at most.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If D numbers make no image of this shape, the weights are not finite or have other axes, the network has none,
        or `most` is below 1.
    """
    if most < 1:
        raise ValueError(f"plot_weights: most={most!r}, expected at least 1")
    if hasattr(weights, "named_parameters"):
        shapes = {name: parameter.shape for name, parameter in weights.named_parameters()}
        # A normalization before the first layer has a gamma and a beta, which are no weights.
        weights = next((parameter.data for _, parameter in weights.named_parameters() if parameter.ndim == 2), None)
        if weights is None:
            held = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
            raise ValueError(f"plot_weights: the network has no parameter of shape (D, H); its parameters: {held}")
    array = np.asarray(weights)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"plot_weights: given shape {array.shape}, expected weights of shape (D, H), a column a unit")
    array = array[:, :most]
    size = len(array)
    if shape is None:
        side = math.isqrt(size // 3 if size % 3 == 0 and math.isqrt(size // 3) ** 2 * 3 == size else size)
        shape = (side, side) if side * side == size else (3, side, side)
    shape = tuple(shape)
    if math.prod(shape) != size or len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] not in (1, 3)):
        raise ValueError(f"plot_weights: {size} weights a unit make no image of shape {shape}; give shape=(H, W) or "
                         f"(3, H, W) with this product")  # fmt: skip
    images = array.T.reshape(-1, *(shape if len(shape) == 3 else (1, *shape))).transpose(0, 2, 3, 1)
    figure = _figure("plot_weights", 6, 6)
    axes = figure.subplots()
    axes.imshow(np.squeeze(image_grid(images, 1.0), axis=2) if images.shape[-1] == 1 else image_grid(images, 1.0),
                cmap="gray", interpolation="nearest")  # fmt: skip
    axes.set_axis_off()
    return _finished(figure, (), path, title)


def plot_confusion(
    matrix: Any, classes: Sequence[Any] | None = None, path: str | Path | None = None, title: str = "",
) -> Any:  # fmt: skip
    """Show which classes are taken for which: counts, coloured by their share of the row's samples.

    Parameters
    ----------
    matrix : array, shape (C, C), or tuple of arrays (y, predicted)
        A row for each true class, as `confusion_matrix` returns it; or what it takes.
    classes : sequence, optional
        Names of the classes.
    path, title
        As `plot_history` takes them.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If it is no square matrix, or the names are not as many.
    """
    counts = confusion_matrix(*matrix) if isinstance(matrix, tuple) else np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"plot_confusion: given shape {counts.shape}, expected a square matrix.")
    count = len(counts)
    names = [str(name) for name in (classes if classes is not None else range(count))]
    if len(names) != count:
        raise ValueError(f"plot_confusion: given {len(names)} names for {count} classes.")
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = min(max(4.2, 0.62 * count + 1.6), 18.0)
    figure = _figure("plot_confusion", side + 0.8, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    if count <= 30:
        for row in range(count):
            for column in range(count):
                if counts[row, column]:
                    axes.text(column, row, f"{counts[row, column]:g}", ha="center", va="center", fontsize=8,
                              color="white" if shares[row, column] > 0.5 else "black")  # fmt: skip
    shown = range(0, count, math.ceil(count / 40))
    axes.set_xticks(shown, [names[n] for n in shown], rotation=0 if max(map(len, names)) < 4 else 45, ha="right"
                    if max(map(len, names)) >= 4 else "center", fontsize=8)  # fmt: skip
    axes.set_yticks(shown, [names[n] for n in shown], fontsize=8)
    axes.set(xlabel="taken for", ylabel="is")
    return _finished(figure, (), path, title)


def plot_range_test(found: RangeTest, path: str | Path | None = None, title: str = "Learning-rate range test") -> Any:
    """Draw the losses of a range test over the learning rate, the smoothed curve, and the suggested range."""
    figure = _figure("plot_range_test", 7, 4.2)
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, ".", color=_PALE, markersize=4, label="each step")
    axes.plot(found.rates, found.smoothed, color=_LOSS, label="smoothed")
    axes.axvspan(found.low, found.high, color=_VAL, alpha=0.15, label=f"{found.low:.1g} to {found.high:.1g}")
    axes.set_xscale("log")
    least, first = float(found.smoothed.min()), float(np.median(found.smoothed[:3]))
    axes.set(xlabel="learning rate", ylabel="loss", ylim=(1.4 * least - 0.4 * first, 1.4 * first - 0.4 * least))
    axes.legend(frameon=False, loc="lower left")
    return _finished(figure, (axes,), path, title)


def _figure(name: str, width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure  # not pyplot: no window, no global state
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{name} needs matplotlib: pip install matplotlib (or tinygrad_fc[viz]).") from error
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    # A notebook shows it also where pyplot, which would see to that, was never imported.
    figure._repr_png_ = functools.partial(_png, figure)  # type: ignore[attr-defined]  # IPython looks for it
    return figure


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _finished(figure: Any, panels: Any, path: str | Path | None, title: str) -> Any:
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(title)
    if path is not None:
        figure.savefig(path)
    return figure


def _smooth(values: Sequence[float], window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return steps, and the means of as many values as the window has up to each."""
    smooth = np.convolve(values, np.ones(window) / window, mode="valid")
    return np.arange(len(smooth)) + window - 1, smooth


def _logarithmic(axes: Any, values: Sequence[float]) -> None:
    """Give an axis of losses a logarithmic scale where all are above 0."""
    if min(values) > 0:
        from matplotlib import ticker

        axes.set_yscale("log")
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(ticker.NullFormatter())


def _cycle(count: int) -> list[str]:
    return [_MANY[number % len(_MANY)] for number in range(count)]

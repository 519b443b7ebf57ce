"""``bench --figure``: what a run measured, as a picture for the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLORS = {"products": "#7f8c8d", "numpy": "#b9770e", "ours": "#1f5a99", "torch": "#c0392b", "jax": "#2e7d4f"}


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw the table of networks, the axes of a sweep and the deep networks, as many of them as there are.

    Parameters
    ----------
    results : dict
        As ``--json`` writes it: ``steps``, ``sweep`` and ``deep`` are drawn.
    path : Path
        Its suffix chooses the form: .svg, .png or .pdf.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    panels: list[tuple[Any, Any]] = [(_bars, results["steps"])] if results.get("steps") else []
    panels += [(_lines, axis) for axis in results.get("sweep", [])]
    panels += [(_deep, results["deep"])] if results.get("deep") else []
    if not panels:
        raise ValueError("--figure: no networks and no sweep were measured; run bench, or bench --sweep, with it")
    matplotlib = load_matplotlib()
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    # The same figures give the same bytes: no random names and no date in the file.
    with matplotlib.rc_context({"svg.hashsalt": "tinygrad_fc", "font.size": 8}):
        figure = matplotlib.figure.Figure(figsize=(4.2 * columns, 3.2 * lines), layout="constrained")
        all_axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, (painter, part) in zip(all_axes, panels, strict=False):
            painter(axes, part)
            axes.spines[["top", "right"]].set_visible(False)
        for axes in all_axes[len(panels) :]:
            axes.set_visible(False)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def load_matplotlib() -> Any:
    """Import matplotlib, or raise ModuleNotFoundError that says how to install it."""
    try:
        import matplotlib
        import matplotlib.figure
    except ModuleNotFoundError as error:
        message = "--figure needs matplotlib: pip install 'tinygrad_fc[viz]'"
        raise ModuleNotFoundError(message, name=error.name) from error
    return matplotlib


def _bars(axes: Any, steps: list[dict[str, Any]]) -> None:
    """Draw each engine's step of each network in steps of the products', with the quartiles."""
    names = [name for name in dict.fromkeys(n for step in steps for n in step["engines"]) if name != "products"]
    thickness = 0.8 / len(names)
    for place, name in enumerate(names):
        found = [(i, step["engines"].get(name, {}).get("to_products")) for i, step in enumerate(steps)]
        rows = [(i + place * thickness, ratio) for i, ratio in found if ratio is not None]
        medians = [ratio["median"] for _, ratio in rows]
        errors = [[r["median"] - r["lower"] for _, r in rows], [r["upper"] - r["median"] for _, r in rows]]
        axes.barh(
            [y for y, _ in rows], medians, thickness, xerr=errors, label=name, color=COLORS.get(name),
            error_kw={"linewidth": 0.6},
        )  # fmt: skip
    axes.set_yticks([i + 0.4 for i in range(len(steps))], [step["network"]["name"] for step in steps])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set(title="A training step", xlabel="time, products alone = 1")
    axes.legend(frameon=False, fontsize=6)


def _lines(axes: Any, part: dict[str, Any]) -> None:
    """Draw the seconds of a step over what varies, both logarithmic: a straight line is a power."""
    for name in part["rows"][0]["engines"]:
        rows = [(row["value"], row["engines"][name].get("seconds")) for row in part["rows"]]
        known = [(value, seconds) for value, seconds in rows if seconds is not None]
        values = [value for value, _ in known]
        axes.plot(values, [s["median"] * 1e3 for _, s in known], "o-", markersize=3, label=name, color=COLORS.get(name))
        low, high = ([s[key] * 1e3 for _, s in known] for key in ("lower", "upper"))
        axes.fill_between(values, low, high, alpha=0.2, color=COLORS.get(name))
    _logarithmic(axes, [row["value"] for row in part["rows"]])
    axes.set(title=f"A training step over {part['axis']}", xlabel=part["axis"].partition(" (")[0], ylabel="ms")
    axes.legend(frameon=False)


def _deep(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Draw the seconds of forward and backward over the number of layers."""
    known = [row for row in rows if "seconds" in row]
    layers, medians = [row["layers"] for row in known], [row["seconds"]["median"] for row in known]
    axes.plot(layers, medians, "o-", markersize=3, color=COLORS["ours"], label="ours")
    if known:
        linear = [medians[0] * count / layers[0] for count in layers]
        axes.plot(layers, linear, ":", color="black", linewidth=0.8, label="in proportion to the first")
    _logarithmic(axes, layers)
    axes.set(title="Layers of width 4, forward and backward", xlabel="layers", ylabel="seconds")
    axes.legend(frameon=False)


def _logarithmic(axes: Any, values: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(values, [f"{value:,}" for value in values])
    axes.minorticks_off()

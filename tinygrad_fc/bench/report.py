"""Results as plain text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..graph.figures import duration


def text(part: dict[str, Any]) -> str:
    """Format one part of the results, as `session.measure_all` yields it.

    Parameters
    ----------
    part : dict
        With one key.

    Returns
    -------
    str
        A table with its title, and an empty line at the end.
    """
    ((name, value),) = part.items()
    return _WRITERS[name](value)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Align columns; the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def spread(found: dict[str, float]) -> str:
    """Write a ratio with its quartiles."""
    return f"{found['median']:.2f} ({found['lower']:.2f}-{found['upper']:.2f})"


def _environment(found: dict[str, Any]) -> str:
    threads = ", ".join(f"{name}={value}" for name, value in found["threads"].items() if value is not None)
    load = found["load"]
    if load is None:
        busy = "unknown load"
    else:
        busy = f"load {load:.1f}" + (": others are at work, so the figures are rough" if load > 0.5 else "")
    lines = [
        f"{found['date']}, {found['processor']}, {found['cores']} cores, {busy}, {found['machine']}",
        f"Python {found['python']}, BLAS {found['blas']}; threads: {threads or 'the defaults of each engine'}",
        found["method"],
    ]
    if not found["engines"]:
        return "\n".join(lines) + "\n"
    lines.append("")
    rows = []
    for engine in found["engines"]:
        rows.append((engine["name"], engine["version"] or "not installed", engine["form"]))
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    lines += [f"  {a.ljust(widths[0])}  {b.ljust(widths[1])}  {c}" for a, b, c in rows]
    return "\n".join(lines) + "\n"


def _steps(found: list[dict[str, Any]]) -> str:
    newest = found[-1]
    rows = [("engine", "a step", "fastest", "products = 1", "numpy = 1", "ours / it")]
    notes = []
    for name, figures in newest["engines"].items():
        if "seconds" not in figures:
            notes.append(f"  {name}: {figures.get('problem') or figures['unavailable']}")
            continue
        times = duration(figures["seconds"]["median"]), duration(figures["fastest"])
        rows.append((name, *times, spread(figures["to_products"]), spread(figures["to_numpy"]), _ours_to(figures)))
    if newest["compared"] != "as timed":
        notes.append(f"  Results were compared {newest['compared']}: engines draw other masks.")
    return "\n".join([f"Training step of {newest['title']}, {newest['rounds']} rounds", table(rows), *notes, ""])


def _ours_to(figures: dict[str, Any]) -> str:
    return spread(figures["ours_to_it"]) if "ours_to_it" in figures else "-"


def _ops(found: dict[str, Any]) -> str:
    rows = [("engine", "an op", "fastest", "floor = 1", "ours / it")]
    notes = []
    for name, figures in found["engines"].items():
        if "problem" in figures:
            notes.append(f"  {name}: {figures['problem']}")
            continue
        times = duration(figures["seconds"]["median"]), duration(figures["fastest"])
        rows.append((name, *times, spread(figures["to_floor"]), _ours_to(figures)))
    title = (
        f"One recorded small op, forward and backward (a chain of {found['links']}; "
        f"the floor is a plain Python loop), {found['rounds']} rounds"
    )
    return "\n".join([title, table(rows), *notes, ""])


def _memory(found: dict[str, Any]) -> str:
    rows = [("engine", "forward", "and backward")]
    notes = []
    for name, figures in found["chain"].items():
        if "problem" in figures:
            notes.append(f"  {name}: {figures['problem']}")
        else:
            rows.append((name, f"{figures['forward']:.1f}", f"{figures['total']:.1f}"))
    lines = [f"Peak memory of {found['links']} chained x + 1, in arrays besides the first", table(rows), *notes, ""]
    base = found["step_bytes"]["numpy"]
    rows, notes = [("engine", "peak", "numpy = 1")], []
    for name, figure in found["step_bytes"].items():
        if figure is None:
            notes.append(f"  {name}: not seen (it does not allocate through Python)")
        elif isinstance(figure, dict):
            notes.append(f"  {name}: {figure.get('problem') or figure['unavailable']}")
        else:
            rows.append((name, f"{figure / 2**20:.1f} MiB", f"{figure / base:.2f}"))
    title = f"Peak memory of a training step of {found['network']}, with weights, moments and gradients"
    return "\n".join([*lines, title, table(rows), *notes, ""])


def _resident(found: dict[str, Any]) -> str:
    parts: list[str] = []
    for row in found["rows"]:
        rows, notes = [("engine", "peak")], []
        for name, figure in row["peak"].items():
            if isinstance(figure, dict):
                notes.append(f"  {name}: {figure.get('problem') or figure['unavailable']}")
            else:
                rows.append((name, _mebibytes(figure)))
        parts.append(f"Peak resident memory of a fresh process after {found['steps']} steps of {row['network']}")
        parts += [table(rows), *notes]
        if isinstance(row["growth"], dict):
            parts.append(f"  ours, training on: {row['growth'].get('problem') or row['growth']['unavailable']}")
        elif row["growth"] is not None:
            first, last = found["growth_steps"]
            parts.append(f"  ours grows by {_mebibytes(row['growth'])} from step {first:,} to step {last:,}")
        parts.append("")
    return "\n".join(parts)


def _mebibytes(count: int | None) -> str:
    return "not told by this system" if count is None else f"{count / 2**20:.1f} MiB"


def _startup(found: dict[str, Any]) -> str:
    rows, notes = [("engine", "seconds")], []
    for name, figures in found["engines"].items():
        if "median" in figures:
            rows.append((name, spread(figures)))
        else:
            notes.append(f"  {name}: {figures.get('problem') or figures['unavailable']}")
    count = f"{found['processes']} fresh process{'es' if found['processes'] > 1 else ''} each"
    title = f"From the start of a process until the first step of {found['network']} is done, {count}"
    return "\n".join([title, table(rows), *notes, ""])


def _sweep(found: list[dict[str, Any]]) -> str:
    newest = found[-1]
    names = list(newest["rows"][0]["engines"])
    rows, notes = [("", *names, *(f"{name} / products" for name in names[1:]))], []
    for row in newest["rows"]:
        cells, shares = [], []
        for name in names:
            figures = row["engines"][name]
            if "seconds" not in figures:
                notes.append(f"  {name} at {row['value']}: {figures.get('problem') or figures['unavailable']}")
            cells.append(duration(figures["seconds"]["median"]) if "seconds" in figures else "-")
            shares.append(spread(figures["to_products"]) if "seconds" in figures else "-")
        rows.append((f"{row['value']:,}", *cells, *shares[1:]))
    return "\n".join([f"A training step over {newest['axis']}", table(rows), *notes, ""])


def _deep(found: list[dict[str, Any]]) -> str:
    rows, notes = [("layers", "forward and backward", "a layer")], []
    for row in found:
        if "seconds" in row:
            seconds = row["seconds"]["median"]
            rows.append((f"{row['layers']:,}", duration(seconds), duration(seconds / row["layers"])))
        else:
            notes.append(f"  {row['layers']:,}: {row.get('problem') or row['unavailable']}")
    return "\n".join(["Layers of width 4, ours", table(rows), *notes, ""])


def _fused(found: dict[str, Any]) -> str:
    rows, notes = [("operation", "shape", "fused µs", "composed µs", "composed / fused")], []
    for row in found["rows"]:
        shape = "x".join(map(str, row["shape"]))
        if "problem" in row:
            notes.append(f"  {row['op']} {shape}: {row['problem']}")
        if "ratio" in row:
            times = [f"{row[form]['median'] * 1e6:.1f}" for form in ("fused", "composed")]
            rows.append((row["op"], shape, times[0], times[1], spread(row["ratio"])))
    title = f"Fused operations, forward and backward, float32, {found['rounds']} rounds"
    return "\n".join([title, table(rows), *notes, ""])


def _solver(found: dict[str, Any]) -> str:
    rows = [("what the Solver adds", "of the step")]
    for part, title in (
        ("own", "batches, loop, bookkeeping"),
        ("recording", "norms of gradients, for history and the guard"),
        ("pictures", "update ratios, every 100 steps"),
    ):
        share = {key: 100.0 * value for key, value in found[part].items()}
        rows.append((title, f"{share['median']:.1f} % ({share['lower']:.1f}-{share['upper']:.1f})"))
    step = found["step"]["median"] * 1e3
    title = f"Six layers, Adam: model and rule take {step:.2f} ms a step, {found['rounds']} rounds"
    return "\n".join([title, table(rows), ""])


def _import(found: dict[str, Any]) -> str:
    rows = [("import", "seconds")] + [(name, f"{seconds:.3f}") for name, seconds in found["seconds"].items()]
    title = f"Import, {found['processes']} fresh processes each: {spread(found['to_numpy'])} times NumPy's"
    return "\n".join([title, table(rows), ""])


def _epoch(found: dict[str, Any]) -> str:
    rows, notes = [("engine", "an epoch", "fastest", "a step", "ours / it")], []
    for name, figures in found["engines"].items():
        if "seconds" not in figures:
            notes.append(f"  {name}: {figures.get('problem') or figures['unavailable']}")
            continue
        times = [duration(figures[part]["median"]) for part in ("seconds", "step")]
        rows.append((name, times[0], duration(figures["fastest"]), times[1], _ours_to(figures)))
    title = f"An epoch of {found['images']:,} images ({found['source']}), {found['steps']} steps of {found['network']}"
    return "\n".join([f"{title}, {_rounds(found['rounds'])}", table(rows), *notes, ""])


def _second(found: dict[str, Any]) -> str:
    rows, notes = [("engine", "a product", "fastest", "ours / it")], []
    for name, figures in found["engines"].items():
        if "seconds" not in figures:
            notes.append(f"  {name}: {figures.get('problem') or figures['unavailable']}")
            continue
        times = duration(figures["seconds"]["median"]), duration(figures["fastest"])
        rows.append((name, *times, _ours_to(figures)))
    title = f"Hessian-vector product of the loss of {found['network']}, by all weights, {_rounds(found['rounds'])}"
    return "\n".join([title, table(rows), *notes, ""])


def _rounds(count: int) -> str:
    return f"{count} round{'' if count == 1 else 's'}"


def _ideas(found: dict[str, Any]) -> str:
    rows = [["now: before", "now", "before", "before / now"]]
    for row in found["rows"]:
        if "problem" in row:
            rows.append([row["idea"], row["problem"], "", ""])
            continue
        rows.append([row["idea"], *(duration(row[form]["median"]) for form in ("now", "before")), spread(row["ratio"])])
    return f"Single ideas, {found['rounds']} rounds\n{table(rows)}\n"


_WRITERS: dict[str, Callable[[Any], str]] = {
    "environment": _environment,
    "steps": _steps,
    "ops": _ops,
    "memory": _memory,
    "resident": _resident,
    "startup": _startup,
    "sweep": _sweep,
    "deep": _deep,
    "epoch": _epoch,
    "second": _second,
    "solver": _solver,
    "import": _import,
    "fused": _fused,
    "ideas": _ideas,
}

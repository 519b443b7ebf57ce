"""``python -m tinygrad_fc bench``: what a training step costs, next to the alternatives, in one interleaved run.

Nothing outside the command line imports this package. `networks` holds what is trained, `engines` who trains it (with
`handmade`, `normalized` and `peers`), `workers` the process of each, `measure` the comparison and the clock, `chains`
the cost of one op and the memory of many, `resident` what processes take, `fused` what each fused operation gains,
`ideas` what single ideas do, `solver` what the Solver adds to a step, `epoch` what an epoch through it takes, `second`
Hessian-vector products, `sweep` how the cost grows, `report` the tables, `figure` the picture.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .networks import NETWORKS


def _seconds(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise ValueError
    return value


# What is timed instead of training steps.
_INSTEAD = {
    "solver": "what the Solver adds to a training step",
    "sweep": "steps over depth, width, batch and threads, and very deep networks",
    "ideas": "single ideas beside what they took the place of (needs Numba)",
    "epoch": "an epoch of 50,000 images through the Solver beside plain loops of PyTorch and JAX",
    "second": "Hessian-vector products of the two-layer network's loss",
}


_seconds.__name__ = "positive number of seconds"  # argparse's message names the type


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser the command's options.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of the command ``bench``.
    """
    names = ", ".join(network.name for network in NETWORKS)
    parser.add_argument("--networks", nargs="+", default=[], metavar="NAME", help=f"only these of {names}")
    parser.add_argument(
        "--engines", nargs="+", default=[], metavar="NAME",
        help="only these of ours, ours-eager, ours-numpy, ours-unfused, torch, torch-compile, jax, mygrad, autograd, "
        "sklearn; products and "
        "numpy come along",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=_seconds, default=None, metavar="S",
        help="measure each network (or operation) for about this long (never less than 31 rounds, 3 with --quick)",
    )  # fmt: skip
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--fused", nargs="*", default=None, metavar="OP",
        help="instead, time each fused operation (or only these) beside the same composed from primitives",
    )  # fmt: skip
    for option, what in _INSTEAD.items():
        instead.add_argument(f"--{option}", action="store_true", help=f"instead, time {what}")
    parser.add_argument("--quick", action="store_true", help="few and short rounds: a look, not a measurement")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="also write every figure to this file")
    parser.add_argument(
        "--figure", type=Path, default=None, metavar="FILE",
        help="also draw the networks or the sweep (.svg, .png or .pdf; needs matplotlib)",
    )  # fmt: skip
    parser.add_argument(
        "--from", nargs="+", type=Path, default=[], metavar="FILE", dest="files",
        help="measure nothing: draw what earlier runs wrote with --json",
    )  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    """Run the benchmarks and print the tables.

    Parameters
    ----------
    arguments : argparse.Namespace
        With what `add_arguments` defines.

    Returns
    -------
    int
        0; 1 if an engine that is installed failed or computed something else, or a fused operation did or is not faster
        than what it is composed of; 2 for a name that does not exist or a file that cannot be written; 130 for Ctrl-C.
    """
    from . import epoch, figure, fused, ideas, report, second, session, solver, sweep
    from .engines import select_engines
    from .networks import select_networks

    try:
        networks, engines = select_networks(arguments.networks), select_engines(arguments.engines)
        chosen = [option for option in ("fused", *_INSTEAD) if getattr(arguments, option) not in (None, False)]
        instead = chosen[0] if chosen else None
        if instead and (arguments.networks or arguments.engines):
            raise ValueError(f"--{instead} has its own networks and engines: leave --networks and --engines away")
        ops = None if arguments.fused is None else fused.select_ops(arguments.fused)
        for option, path in (("--json", arguments.json), ("--figure", arguments.figure)):
            if path is not None:
                _check_writable(option, path)
        if arguments.figure is not None:
            if arguments.figure.suffix not in (".svg", ".png", ".pdf"):
                raise ValueError(f"--figure: given {arguments.figure}, expected a name that ends in .svg, .png or .pdf")
            if instead not in (None, "sweep"):
                raise ValueError(f"--figure draws networks and sweeps: leave --{instead} away")
            figure.load_matplotlib()  # missed now, not after minutes
        if arguments.files:
            if arguments.figure is None:
                raise ValueError("--from draws what was measured: give --figure FILE.svg as well")
            figure.draw(_read(arguments.files), arguments.figure)
            print(f"Written: {arguments.figure}")
            return 0
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    pace = session.Pace.quick(arguments.seconds) if arguments.quick else session.Pace.full(arguments.seconds)
    results: dict[str, Any] = {}
    parts: Iterable[dict[str, Any]]
    match instead:
        case None:
            parts = session.measure_all(networks, engines, pace)
        case "fused":
            parts = fused.measure_fused(ops or [], pace)
        case "solver":
            parts = solver.measure_solver(pace)
        case "sweep":
            deep = (100, 300) if arguments.quick else sweep.DEEP
            parts = sweep.measure_sweep(pace, sweep.axes(arguments.quick), deep)
        case "ideas":
            parts = ideas.measure_ideas(pace)
        case "epoch":
            size = (epoch.QUICK_IMAGES, epoch.QUICK_ROUNDS) if arguments.quick else (epoch.IMAGES, epoch.ROUNDS)
            parts = epoch.measure_epoch(pace, *size)
        case _:
            parts = second.measure_second(pace)
    try:
        for part in parts:
            if "environment" in part:
                part["environment"]["command"] = command_of(arguments)
            results.update(part)
            print(report.text(part), flush=True)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: stopped: nothing was written, what was measured stands above", file=sys.stderr)
        return 130
    try:
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(results, indent=2, allow_nan=False) + "\n", encoding="utf-8")
            print(f"Written: {arguments.json}")
        if arguments.figure is not None:
            figure.draw(results, arguments.figure)
            print(f"Written: {arguments.figure}")
    except OSError as error:
        print(f"bench: {error}: what was measured stands above", file=sys.stderr)
        return 2
    return 1 if session.problems(results) else 0


def command_of(arguments: argparse.Namespace) -> str:
    """Return the command line that has these arguments: what has to be typed to measure it again."""
    words = ["python", "-m", "tinygrad_fc", "bench"]
    for option in ("networks", "engines", "seconds", "fused", *_INSTEAD, "quick", "json"):
        value = getattr(arguments, option)
        if value is True or value == [] and option == "fused":
            words.append(f"--{option}")
        elif value:
            words += [f"--{option}", *map(str, value if isinstance(value, list) else [value])]
    return " ".join(words)


def _read(files: Sequence[Path]) -> dict[str, Any]:
    """Put the parts of several runs together; of a part that occurs twice, the last counts."""
    results: dict[str, Any] = {}
    for file in files:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"--from: {file} is no file that --json wrote")
        results.update(found)
    return results


def _check_writable(option: str, path: Path) -> None:
    """Raise before minutes of measuring, not after them."""
    new = not path.exists()
    try:
        with path.open("a", encoding="utf-8"):
            pass
        if new:
            path.unlink()
    except OSError as error:
        cure = "give a file in a folder that exists and can be written to"
        raise OSError(f"{option}: {path} cannot be written ({error.strerror}); {cure}") from error

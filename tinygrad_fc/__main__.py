"""The command line, ``python -m tinygrad_fc`` or ``tinygrad-fc``: demo, train, predict, check, graph, bench, ...."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 when all went well, 1 when a check failed, 2 for wrong usage.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after the program's name; those of the process by default.

    Returns
    -------
    int
    """
    try:
        arguments = _parser().parse_args(argv)
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    """Make the parser of all commands; their rooms are imported here, where Ctrl-C is no traceback."""
    from . import bench, demo
    from .check import command
    from .training import command as training_command
    from .viz import command as graph_command

    parser = argparse.ArgumentParser(prog="tinygrad-fc", description="A reverse-mode autograd engine on NumPy.")
    parser.add_argument("--version", action="version", version=f"tinygrad_fc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    text = "train a network on handwritten digits, check its gradients, draw its graph"
    part = commands.add_parser("demo", help=text, description=f"{text.capitalize()}.")
    demo.add_arguments(part)
    part.set_defaults(run=demo.main)
    text = "compare the gradients of a function with numbers"
    part = commands.add_parser("check", help=text, description=f"{text.capitalize()}.")
    command.add_arguments(part)
    part.set_defaults(run=command.main)
    for name, add, run in (
        ("train", training_command.add_train, training_command.train),
        ("evaluate", training_command.add_evaluate, training_command.evaluate),
        ("predict", training_command.add_predict, training_command.predict),
        ("summary", training_command.add_summary, training_command.summary),
    ):
        text = (run.__doc__ or "").rstrip(".")
        part = commands.add_parser(name, help=text[0].lower() + text[1:], description=f"{text}.")
        add(part)
        part.set_defaults(run=run)
    text = "draw the graph of what a script computes"
    part = commands.add_parser("graph", help=text, description=f"{text.capitalize()}.")
    graph_command.add_arguments(part)
    part.set_defaults(run=graph_command.main)
    text = "time one training step of five networks, next to the peers that are installed"
    part = commands.add_parser("bench", help=text, description=f"{text.capitalize()}.")
    bench.add_arguments(part)
    part.set_defaults(run=bench.main)
    return parser


if __name__ == "__main__":
    sys.exit(main())

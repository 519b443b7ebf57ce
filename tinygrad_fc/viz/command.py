"""``python -m tinygrad_fc graph FILE.py:EXPRESSION``: the graph of what a script computes, from the shell."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import types
from pathlib import Path
from typing import Any

from ..engine.operation import nearest
from ..engine.tensor import Tensor
from ..graph import Graph
from ..profile import observe
from .draw import DIRECTIONS, WHICH, checked, checked_path, draw
from .target import graph_of
from .text import graph_text
from .theme import THEMES
from .words import SHOW


class _UsageError(Exception):
    """What was asked for cannot be done; the text says what can."""


class _Failed(Exception):
    """The script raised; its traceback has been printed. Its names are there."""

    def __init__(self, names: dict[str, Any]) -> None:
        super().__init__()
        self.names = names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser the command's options.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of the command ``graph``.
    """
    parser.add_argument(
        "target", metavar="FILE.py:EXPRESSION",
        help="a script, which is run, and what to draw when it has: the name of a tensor in it, or any expression",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=None, metavar="FILE",
                        help=".html, .svg, .png, .pdf, .dot or .mmd (default: print the graph as text)")  # fmt: skip
    parser.add_argument("--depth", type=int, default=None, metavar="N", help="levels of modules to open (default: all)")
    parser.add_argument("--direction", choices=DIRECTIONS, help="where it runs (default: TB, down)")
    parser.add_argument("--theme", choices=list(THEMES), help="colours (default: light; a page follows the system)")
    parser.add_argument("--show", type=_words, default=("shapes",), metavar="WORD,...",
                        help=f"what to write into the boxes: {', '.join(SHOW)} (default: shapes)")  # fmt: skip
    parser.add_argument("--which", choices=WHICH, default="forward", help="arrows: values, gradients or both")
    parser.add_argument("--expand", type=_words, default=(), metavar="all | OP,...",
                        help="fused operations to open: all, or their names or ids")  # fmt: skip
    parser.add_argument("--no-fold", action="store_true", help="draw what repeats as often as it does")


def _words(text: str) -> tuple[str, ...]:
    return tuple([word.strip() for word in text.split(",") if word.strip()])


def main(arguments: argparse.Namespace) -> int:
    """Run a script and draw the graph of an expression, or print it.

    Parameters
    ----------
    arguments : argparse.Namespace
        As `add_arguments` defines them.

    Returns
    -------
    int
        0 when the graph was drawn; 1 when the script raised, whose graph is then drawn as far as it came; 2 when
        nothing could be drawn.
    """
    options = {
        "depth": arguments.depth, "direction": arguments.direction, "theme": arguments.theme, "show": arguments.show,
        "which": arguments.which, "fold": False if arguments.no_fold else None,
    }  # fmt: skip
    try:
        path, expression = _parts(arguments.target)
        checked(**options)  # before the script takes its time
        page = arguments.out is not None and checked_path(arguments.out)[1] == "html"
        with observe(values=page or not {"values", "gradients"}.isdisjoint(arguments.show)) as run:
            try:
                names, failed = _run(path), False
                found = _found(names, expression, path)
            except _Failed as failure:
                names, failed, found = failure.names, True, run
        if not failed:
            _shown(_named(found, names), arguments, options, "")
        elif run.nodes:
            _shown(_named(found, names), arguments, options, "as far as it came")
    except (_UsageError, ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        print(f"graph: {str(error).removeprefix('draw: ')}", file=sys.stderr)
        return 2
    return int(failed)


def _shown(graph: Graph, arguments: argparse.Namespace, options: dict[str, Any], words: str) -> None:
    if arguments.out is None:
        print(graph_text(graph))
        return
    names = arguments.expand
    expand = "all" if names == ("all",) else [int(name) if name.isdecimal() else name for name in names]
    path = draw(graph, arguments.out, expand=expand, **options)
    print(f"Graph{words and f', {words}'}: {path}")


def _parts(target: str) -> tuple[Path, str]:
    """Return the file and the expression; both may have colons."""
    place, found, expression = target.partition(".py:")
    if not found or not expression.strip():
        raise _UsageError(f"{target!r} names nothing to draw. Expected FILE.py:EXPRESSION, such as train.py:loss.")
    path = Path(f"{place}.py")
    if not path.is_file():
        raise _UsageError(f"there is no file {path}, looked for at {path.resolve()}.")
    return path, expression.strip()


def _run(path: Path) -> dict[str, Any]:
    """Run a script as Python does, and return its names."""
    module = types.ModuleType("__main__")
    module.__file__ = str(path)
    before = sys.modules["__main__"], list(sys.path), list(sys.argv)
    sys.modules["__main__"] = module
    sys.path.insert(0, str(path.resolve().parent))
    sys.argv[:] = [str(path)]
    try:
        exec(compile(path.read_bytes(), os.fspath(path.resolve()), "exec"), vars(module))
    except SystemExit as end:
        if end.code not in (None, 0):
            print(f"graph: {path} ended with exit status {end.code}.", file=sys.stderr)
            raise _Failed(vars(module)) from end
    except Exception as error:
        _print_traceback(error)
        raise _Failed(vars(module)) from error
    finally:
        sys.modules["__main__"], sys.path[:], sys.argv[:] = before
    return vars(module)


def _print_traceback(error: Exception) -> None:
    """Print the traceback of a script without the frame that ran it."""
    frames = error.__traceback__
    traceback.print_exception(type(error), error, frames.tb_next if frames is not None else None)


def _named(found: Any, names: dict[str, Any]) -> Graph:
    """Return the graph of a value, made where the script's variables are seen, which the boxes are named after."""
    code = compile("__graph__(__found__)", "<expression>", "eval")
    several = isinstance(found, (list, tuple))
    return eval(code, names, {"__graph__": (lambda found: Graph(*found)) if several else graph_of, "__found__": found})


def _found(names: dict[str, Any], expression: str, path: Path) -> Any:
    """Return the value of an expression: a tensor, several, or what has a graph."""
    tensors = [name for name, value in names.items() if isinstance(value, Tensor) and not name.startswith("_")]
    listed = f" Tensors in it: {', '.join(tensors[:20])}." if tensors else " There is no tensor in it."
    try:
        value = eval(compile(expression, "<expression>", "eval"), names)
    except NameError as error:
        name = str(error.name)
        raise _UsageError(f"{path} has no {name!r}.{nearest(name, tensors)}{listed}") from error
    except SyntaxError as error:
        raise _UsageError(f"{expression!r} is no expression: {error.msg}.{listed}") from error
    except Exception as error:
        raise _UsageError(f"{expression!r} raised {type(error).__name__}: {error}.{listed}") from error
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, Tensor) for item in value):
        return value
    if not isinstance(value, (Tensor, Graph)) and not callable(getattr(value, "graph", None)):
        raise _UsageError(f"{expression!r} is {type(value).__name__}, expected a Tensor.{listed}")
    return value

"""``python -m tinygrad_fc check module:function``: a gradient check from the shell."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import json
import math
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.operation import nearest
from ..nn.module import Module
from .gradcheck import gradcheck

_PACKAGE = str(Path(__file__).resolve().parents[1])


class _UsageError(Exception):
    """What was asked for cannot be done; the text says what can."""


def _shape(text: str) -> tuple[int, ...]:
    lengths = tuple([int(part) for part in text.split(",") if part.strip()])
    if any(length < 0 for length in lengths):
        raise ValueError
    return lengths


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise ValueError
    return value


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


# argparse's messages name the types
_shape.__name__, _positive.__name__, _whole.__name__ = "shape (3,4 say)", "positive number", "integer of at least 0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser the command's options.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of the command ``check``.
    """
    parser.add_argument(
        "target", metavar="module:function",
        help="what to check: a function of tensors, or a model, in a module that can be imported from the current "
             "folder, or in a file (path/to/file.py:function)",
    )  # fmt: skip
    parser.add_argument(
        "--shape", nargs="+", action="extend", type=_shape, default=None, metavar="3,4",
        help='the shape of each input, "" for a number (default: a number for each argument)',
    )  # fmt: skip
    parser.add_argument("--dtype", choices=["float64", "float32", "float16"], default="float64",
                        help="of the inputs (default: float64)")  # fmt: skip
    parser.add_argument("--order", type=int, choices=[1, 2], default=1, help="2 checks second derivatives (default: 1)")
    parser.add_argument("--exhaustive", action="store_true", help="move every coordinate of every input")
    parser.add_argument("--seed", type=_whole, default=0, metavar="N", help="of the inputs, normal (default: 0)")
    parser.add_argument("--scale", type=_positive, default=1.0, metavar="S",
                        help="standard deviation of the inputs (default: 1.0)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the report as JSON (null: not a finite number)")


def main(arguments: argparse.Namespace) -> int:
    """Check the gradients of one function and print the report.

    Parameters
    ----------
    arguments : argparse.Namespace
        As `add_arguments` defines them.

    Returns
    -------
    int
        0 when all gradients hold; 1 when one is wrong, or the check is inconclusive; 2 when nothing could be checked.
    """
    before = list(sys.path)
    try:
        f = _found(arguments.target)
        inputs = _drawn(f, arguments)
        try:
            report = gradcheck(f, *inputs, order=arguments.order, exhaustive=arguments.exhaustive, seed=arguments.seed)
        except (Exception, SystemExit) as error:
            raise _UsageError(f"{_told(error)}{_cure(error, inputs)}") from error
        if not any(math.prod(check.shape) for check in report.inputs):
            raise _UsageError("nothing was checked: the inputs have no element. Choose others with --shape 3,4")
    except _UsageError as error:
        print(f"check: {error}", file=sys.stderr)
        return 2
    finally:
        sys.path[:] = before
    print(json.dumps(_finite(report.to_dict()), indent=2) if arguments.json else report)
    return 0 if report else 1


def _found(target: str) -> Any:
    """Return what the words on the command line name."""
    place, colon, path = target.rpartition(":")
    if not (colon and place and path):
        raise _UsageError(f"{target!r} names no function. Expected module:function, or path/to/file.py:function")
    try:
        found: Any = _module(place)
    except _UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise _UsageError(f"importing {place} failed. {_told(error)}") from error
    for name in path.split("."):
        if not hasattr(found, name):
            known = [key for key, value in vars(found).items() if callable(value) and not key.startswith("_")]
            listed = f" It has {', '.join(known[:12])}." if known else ""
            raise _UsageError(f"{place} has no {name!r}.{nearest(name, known) or listed}")
        found = getattr(found, name)
    if isinstance(found, type):
        raise _UsageError(
            f"{target} is a class, expected a function of tensors or a model: make one in the module, "
            f"{path.lower().replace('.', '_')} = {path}(...), and name that"
        )
    if not callable(found):
        raise _UsageError(f"{target} is {type(found).__name__}, expected a function of tensors or a model")
    return found


def _module(place: str) -> Any:
    """Import a module by its name, or from a file."""
    sys.path.insert(0, os.getcwd())
    if not place.endswith(".py"):
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{place}.".startswith(f"{error.name}."):
                raise  # the module is there; what it imports is not
            raise _UsageError(
                f"there is no module {place!r} in {os.getcwd()} or among what is installed. A file works too: "
                f"path/to/file.py:function"
            ) from error
    path = Path(place).resolve()
    if not path.is_file():
        raise _UsageError(f"there is no file {place}, looked for at {path}")
    sys.path.insert(0, str(path.parent))  # as when the file is run
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _drawn(f: Any, arguments: argparse.Namespace) -> list[np.ndarray]:
    """Return normal inputs of the shapes that were asked for, or one number for each argument without default."""
    shapes = arguments.shape
    if shapes is None:
        shapes = [()] * _needs(f)
        if isinstance(f, Module) and shapes:
            raise _UsageError(f"{arguments.target} is a model: give the shape of its input, --shape 5,4")
    generator = np.random.default_rng(arguments.seed)
    return [np.asarray(arguments.scale * generator.standard_normal(shape)).astype(arguments.dtype) for shape in shapes]


def _needs(f: Any) -> int:
    try:
        parameters = inspect.signature(f.forward if isinstance(f, Module) else f).parameters.values()
    except (TypeError, ValueError):
        return f.nin if isinstance(f, np.ufunc) else 1
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty for p in parameters)


def _cure(error: BaseException, inputs: list[np.ndarray]) -> str:
    """Return where inputs are chosen, for errors that can come from their shapes or values."""
    said = str(error)
    if not isinstance(error, (ValueError, TypeError, IndexError)) or not inputs:
        return ""
    if said.startswith("gradcheck:") and "finite" not in said and "empty" not in said:
        return ""  # of the function, whatever its inputs
    shapes = ", ".join(str(array.shape) for array in inputs)
    return f"\nThe inputs are normal numbers of shape {shapes}: choose others with --shape, --scale."


def _told(error: BaseException) -> str:
    """Return what an exception says, and the user's line that it came from."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if not frame.filename.startswith((_PACKAGE, "<"))]  # fmt: skip
    text = f"the code asks to exit ({error})" if isinstance(error, SystemExit) else str(error)
    said = "\n".join([text, *getattr(error, "__notes__", ())])
    if isinstance(error, SyntaxError) or not frames:
        return f"{type(error).__name__}: {said}"
    return f"{type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}: {said}"


def _finite(value: Any) -> Any:
    """Return a report's dict without numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

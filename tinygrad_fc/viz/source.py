"""The text of an operation's rules, as they stand in the code that declares it."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
from collections.abc import Callable
from typing import Any

from .formula import parsed

LONGEST = 2_000  # characters; a declaration is a few lines


def rule_text(op: Any, argument: str) -> str | None:
    """Return the code of the rule for one argument of an operation: its own lines, or the declaration's for a lambda.

    Parameters
    ----------
    op : Op
        The operation.
    argument : str
        The differentiable argument, or "via" for the step that several rules share.

    Returns
    -------
    str or None
        None where the rule, or its source, is not there (code typed into a plain console, say).
    """
    rule = op.via if argument == "via" else op.rules.get(argument)
    return None if rule is None else function_text(rule)


def function_text(function: Callable[..., Any]) -> str | None:
    """Return the source of a function; of a lambda the whole statement that it stands in; None if there is none."""
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    try:
        if code.co_name == "<lambda>":
            return _statement(code.co_filename, code.co_firstlineno, len(linecache.getlines(code.co_filename)))
        return _clipped(inspect.getsource(function))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None


@functools.lru_cache(maxsize=1024)
def _statement(file: str, line: int, count: int) -> str | None:
    """Return the innermost statement around a line of a file of `count` lines."""
    lines = linecache.getlines(file)
    if not 0 < line <= count:
        return None
    best: ast.stmt | None = None
    for node in ast.walk(parsed(file, count)):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno):
            if best is None or node.lineno >= best.lineno:
                best = node
    return _clipped("".join(lines[best.lineno - 1 : best.end_lineno])) if best is not None else None


def _clipped(text: str) -> str:
    text = inspect.cleandoc(text) if text[:1].isspace() else text.rstrip()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n..."

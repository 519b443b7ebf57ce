"""The expression that a rule returns, as it stands in the code, and with numbers in the place of names."""

from __future__ import annotations

import ast
import functools
import linecache
import re
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any


def formula(rule: Callable[..., Any]) -> str:
    """Return what a rule computes: the expression that it returns, or its call where it is more than one, or unknown.

    ``lambda g, y: g * y`` is ``g * y``. A function may say it in its docstring, ``Return `` and an expression in double
    backquotes, of its parameters. Another function of several statements is ``name(g, x, y)``.
    """
    code: CodeType = rule.__code__
    said = re.match(r"Return ``([^`]+)``", rule.__doc__ or "")
    found = said[1] if said is not None and _is_expression(said[1], reads(rule)) else _expression(code)
    if found is not None:
        return found
    name = code.co_name if code.co_name.isidentifier() else "rule"
    return f"{name.strip('_')}({', '.join(code.co_varnames[: code.co_argcount])})"


def reads(rule: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a rule's parameters."""
    return rule.__code__.co_varnames[: rule.__code__.co_argcount]


def _is_expression(text: str, names: tuple[str, ...]) -> bool:
    """Whether a text is an expression of some names, and of NumPy."""
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} <= {*names, "np"}


def put_in(expression: str, numbers: Mapping[str, str]) -> str:
    """Return an expression with the text of numbers in the place of names; negative ones in parentheses."""
    if expression in numbers:
        return numbers[expression]

    class Numbers(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.Name:
            text = numbers.get(node.id, node.id)
            return ast.Name(f"({text})" if text.startswith("-") else text, node.ctx)

    return ast.unparse(Numbers().visit(ast.parse(expression, mode="eval")))


@functools.lru_cache(maxsize=1024)
def _expression(code: CodeType) -> str | None:
    try:
        tree = parsed(code.co_filename, len(linecache.getlines(code.co_filename)))
    except (SyntaxError, ValueError):
        return None
    # The columns tell one lambda of a line from another.
    places = {(line, column) for line, _, column, _ in code.co_positions() if line is not None}
    for node in ast.walk(tree):
        body: ast.expr | None = None
        if isinstance(node, ast.Lambda) and code.co_name == "<lambda>":
            body = node.body
        elif isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            # A docstring may stand before the one statement.
            last = node.body[-1]
            lead = node.body[:-1]
            if isinstance(last, ast.Return) and all(
                isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) for part in lead
            ):
                body = last.value
        if body is not None and (body.lineno, body.col_offset) in places:
            return ast.unparse(body)
    return None


@functools.lru_cache(maxsize=64)
def parsed(file: str, count: int) -> ast.Module:
    """Parse a file; `count`, its lines, makes a notebook cell that was run anew another entry."""
    return ast.parse("".join(linecache.getlines(file)))

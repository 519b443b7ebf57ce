"""Code: what the instructions of a Python function load and store."""

from __future__ import annotations

import dis
import types
from collections.abc import Iterator
from typing import NamedTuple

from .trace import Unfit

_WRITES = {
    "STORE_GLOBAL": "assigns the global", "DELETE_GLOBAL": "deletes the global", "STORE_ATTR": "assigns the attribute",
    "DELETE_ATTR": "deletes the attribute", "STORE_SUBSCR": "writes into an array or container",
    "STORE_SLICE": "writes into an array or container", "DELETE_SUBSCR": "deletes from a container",
    "YIELD_VALUE": "yields", "RETURN_GENERATOR": "is a generator or coroutine", "IMPORT_NAME": "imports",
    "IMPORT_STAR": "imports", "LOAD_BUILD_CLASS": "makes a class",
}  # fmt: skip
_GENERATES = frozenset(("YIELD_VALUE", "RETURN_GENERATOR"))
_NAMES = frozenset(("LOAD_GLOBAL", "LOAD_NAME"))
_CELLS = frozenset(("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"))
_FURTHER = frozenset(("LOAD_ATTR", "LOAD_METHOD"))
_ANY = frozenset((*_FURTHER, "LOAD_SUPER_ATTR"))


class Load(NamedTuple):
    """A name that is loaded, and the attributes that are taken from it at once.

    Attributes
    ----------
    where : str
        For messages: the function and its line.
    path : tuple of str
        ``("np", "random", "rand")``; of an attribute of what was computed, its name alone.
    cell, attribute : bool
        Whether the first name is a variable of a function around, or an attribute.
    """

    where: str
    path: tuple[str, ...]
    cell: bool = False
    attribute: bool = False


def loads(code: types.CodeType, outside: frozenset[str] | None = None) -> Iterator[Load]:
    """Yield what the code of a function, and of functions inside it, loads.

    Raises
    ------
    Unfit
        Where it writes to what is not its own.
    """
    where = f"{code.co_name} (line {code.co_firstlineno})"
    outside = frozenset(code.co_freevars) if outside is None else outside & frozenset(code.co_freevars)
    found: list[str] = []
    cell = False
    for instruction in [*dis.get_instructions(code), None]:
        name = None if instruction is None else instruction.opname
        if name == "EXTENDED_ARG":
            continue
        if found and (instruction is None or name not in _FURTHER):
            yield Load(where, tuple(found), cell)
            found = []
        if instruction is None:
            break
        written = _WRITES.get(instruction.opname)
        if written and not (code.co_name == "<genexpr>" and instruction.opname in _GENERATES):
            raise Unfit(f"{where} {written} {instruction.argval or ''}".rstrip())
        if instruction.opname in ("STORE_DEREF", "DELETE_DEREF") and instruction.argval in outside:
            raise Unfit(f"{where} assigns the variable {instruction.argval}")
        if name in _NAMES or name in _CELLS and instruction.argval in outside:
            found, cell = [instruction.argval], name in _CELLS
        elif name in _FURTHER and found:
            found.append(instruction.argval)
        elif name in _ANY:
            yield Load(where, (instruction.argval,), attribute=True)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from loads(constant, outside)

"""Code: what the instructions of a Python function load and store."""

from __future__ import annotations

import dis
import types
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .trace import Unfit

_WRITES = {
    "STORE_GLOBAL": "assigns the global", "DELETE_GLOBAL": "deletes the global", "STORE_ATTR": "assigns the attribute",
    "DELETE_ATTR": "deletes the attribute", "STORE_SUBSCR": "writes into an array or container",
    "STORE_SLICE": "writes into an array or container", "DELETE_SUBSCR": "deletes from a container",
    "YIELD_VALUE": "yields", "RETURN_GENERATOR": "is a generator or coroutine", "IMPORT_NAME": "imports",
    "IMPORT_STAR": "imports", "LOAD_BUILD_CLASS": "makes a class", "MATCH_CLASS": "matches attributes",
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
    got : str or None
        Where ``getattr`` is called on the method's own object: what the attribute's name begins with.
    named : bool
        Whether ``getattr`` is called with a name that is written out.
    """

    where: str
    path: tuple[str, ...]
    cell: bool = False
    attribute: bool = False
    got: str | None = None
    named: bool = False


def loads(code: types.CodeType, outside: frozenset[str] | None = None, own: str | None = None) -> Iterator[Load]:
    """Yield what the code of a function, and of functions inside it, loads.

    Parameters
    ----------
    code : CodeType
    outside : frozenset of str, optional
        Of a function inside: the variables of functions around the outermost one.
    own : str, optional
        Of a method: the variable that holds its own object.

    Raises
    ------
    Unfit
        Where it writes to what is not its own.
    """
    where = f"{code.co_name} (line {code.co_firstlineno})"
    own = own if outside is None or own in code.co_freevars else None
    outside = frozenset(code.co_freevars) if outside is None else outside & frozenset(code.co_freevars)
    found: list[str] = []
    cell = False
    instructions = [entry for entry in dis.get_instructions(code) if entry.opname != "EXTENDED_ARG"]
    if any(entry.opname.startswith(("STORE_", "DELETE_")) and own in _variables(entry) for entry in instructions):
        own = None  # it may be another object
    got: str | None = None
    named = False
    for place, instruction in enumerate([*instructions, None]):
        name = None if instruction is None else instruction.opname
        if found and (instruction is None or name not in _FURTHER):
            yield Load(where, tuple(found), cell, False, got, named)
            found, got, named = [], None, False
        if instruction is None:
            break
        written = _WRITES.get(instruction.opname)
        if written and not (code.co_name == "<genexpr>" and instruction.opname in _GENERATES):
            raise Unfit(f"{where} {written} {instruction.argval or ''}".rstrip())
        if instruction.opname in ("STORE_DEREF", "DELETE_DEREF") and instruction.argval in outside:
            raise Unfit(f"{where} assigns the variable {instruction.argval}")
        if name in _NAMES or name in _CELLS and instruction.argval in outside:
            found, cell = [instruction.argval], name in _CELLS
            if instruction.argval == "getattr":
                got, named = _got(instructions[place + 1 :], own)
        elif name in _FURTHER and found:
            found.append(instruction.argval)
        elif name in _ANY:
            yield Load(where, (instruction.argval,), attribute=True)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from loads(constant, outside, own)


def strings(code: types.CodeType) -> Iterator[str]:
    """Yield the texts that are written in the code of a function, and of functions inside it."""
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, types.CodeType):
            yield from strings(constant)


def _variables(instruction: dis.Instruction) -> tuple[object, ...]:
    """Return the names of an instruction: newer Pythons join two that follow each other."""
    return instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)


def _got(following: Sequence[dis.Instruction], own: str | None) -> tuple[str | None, bool]:
    """Return what is known of a call of `getattr` from the instructions behind its load, as `Load` tells it."""
    first, *more = following
    if not first.opname.startswith(("LOAD_FAST", "LOAD_DEREF", "LOAD_GLOBAL", "LOAD_NAME")):
        return None, False
    joined = isinstance(first.argval, tuple)  # with the variable that holds the attribute's name
    mine = own is not None and _variables(first)[0] == own and not first.opname.startswith(("LOAD_GLOBAL", "LOAD_NAME"))
    if joined:
        return "" if mine else None, False
    mine = mine and more[0].opname not in _FURTHER
    while more[0].opname in _FURTHER:
        del more[0]
    if more[0].opname != "LOAD_CONST" or type(more[0].argval) is not str:
        return "" if mine else None, False
    place = 2 if more[1].opname.startswith("LOAD_") else 1  # behind the default, if there is one
    return more[0].argval if mine else None, more[place].opname in ("PRECALL", "CALL")

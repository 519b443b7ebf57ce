"""variables(): which of the user's variables hold the tensors of a graph."""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Iterable, Iterator
from inspect import CO_OPTIMIZED
from itertools import islice
from types import FrameType
from typing import Any

from ..engine.node import Constant, Node
from ..engine.tensor import Tensor
from .frames import users_frames

FRAMES = 10  # so many of the user's frames are looked at
NAMES = 2_000  # and so many names of each
ENTRIES = 32  # a list, tuple or dict of more is passed over

_LIBRARY = os.path.dirname(os.__file__) + os.sep
_HISTORY = frozenset(("In", "Out"))  # what a notebook was given and what it showed, by number: no names of anybody's
_SNAPSHOTS = sys.version_info < (3, 13)
_LOOK_AT_LOCALS = frozenset(("f_locals", "locals"))
_IN_C = frozenset(("coverage", "cProfile", "_lsprof"))  # modules whose tracers are no Python functions


def variable_names(wanted: Container[Any]) -> dict[Node | Constant, str]:
    """Return the name of the user's variable for each entry of the tape that one holds; see `variables`."""
    return {entry: name for entry, (name, _) in variables(wanted).items()}


def variables(wanted: Container[Any]) -> dict[Node | Constant, tuple[str, Tensor]]:
    """Return the user's variable, and the tensor in it, for each entry of the tape that one holds.

    The frames outside this package are read, innermost first: the local names of each and then its global ones. A
    tensor with several names gets the first of them; only where no variable is the tensor itself, its place in a short
    list, tuple or dict: ``params[0]``, ``layers['W']``. Names that start with an underscore are nobody's to show.

    Parameters
    ----------
    wanted : container of Node and Constant
        The entries that are asked for.
    """
    plain: dict[Node | Constant, tuple[str, Tensor]] = {}
    parts: dict[Node | Constant, tuple[str, Tensor]] = {}
    for names in namespaces():
        for found, kind in ((plain, _plain), (parts, _entries)):
            for name, value in kind(names):
                if value.node is not None and value.node in wanted:
                    found.setdefault(value.node, (name, value))
    return parts | plain


def namespaces() -> Iterator[list[tuple[str, Any]]]:
    """Yield the user's names and what they hold: of each frame the local ones, then its module's, innermost first."""
    seen: list[Any] = []  # globals are the same for many frames
    for frame in islice(_own(users_frames()), FRAMES):
        yield _locals(frame)
        if not any(frame.f_globals is known for known in seen):
            seen.append(frame.f_globals)
            yield _shown(frame.f_globals.items())


def _own(frames: Iterator[FrameType]) -> Iterator[FrameType]:
    """Yield the frames that are not a library's (a notebook shows a tensor through some), or else the innermost."""
    innermost, found = None, False
    for frame in frames:
        innermost = innermost or frame
        file = frame.f_code.co_filename
        if not (file.startswith((_LIBRARY, "<frozen ")) or f"{os.sep}site-packages{os.sep}" in file):
            found = True
            yield frame
    if innermost is not None and not found:
        yield innermost


def _shown(names: Iterable[tuple[Any, Any]]) -> list[tuple[str, Any]]:
    # What rewrites code, as pytest does, keeps what it needs under names that nobody can write; and code may be run
    # with a dict whose keys are no names at all.
    return [(key, value) for key, value in list(names)[:NAMES]
            if isinstance(key, str) and key[:1] != "_" and key.isidentifier() and key not in _HISTORY]  # fmt: skip


def _locals(frame: FrameType) -> list[tuple[str, Any]]:
    """Return the local names of a frame: of a class body, of what ``exec`` runs, of a function.

    A function's names are in no dict. CPython before 3.13 makes one when it is asked, brings it up to date each time,
    and keeps it with the frame. It is the one that ``locals()`` gives, that ``exec`` puts names of its own into, and
    from which the variables are set when a function that traces the frame returns. So it is not asked for where
    somebody may hold it; and the variables are taken out of it again, or else would live as long as the frame.
    """
    code = frame.f_code
    if not code.co_flags & CO_OPTIMIZED:
        names = frame.f_locals
        return _shown(dict.items(names)) if isinstance(names, dict) and names is not frame.f_globals else []
    if not _SNAPSHOTS:
        return _shown(frame.f_locals.items())
    if _traced(frame) or _looks_at_locals(frozenset(code.co_names)):
        return []
    names = frame.f_locals
    shown = _shown(names.items())
    if sys.getrefcount(names) <= 3:  # the frame's, this function's, and the count's own: nobody else has it
        for key in (*code.co_varnames, *code.co_cellvars, *code.co_freevars):
            names.pop(key, None)
    return shown


def _looks_at_locals(names: frozenset[str]) -> bool:
    """Whether a function, by the names in its code, may hold the dict of its own local names."""
    # pytest puts a `locals` into each function that asserts, and asks it when an assertion has failed.
    return not _LOOK_AT_LOCALS.isdisjoint(names - {"locals"} if "@py_builtins" in names else names)


def _traced(frame: FrameType) -> bool:
    """Whether a debugger or the like may be at work on a frame. Those in C set no variables."""
    found = (frame.f_trace, sys.gettrace(), sys.getprofile())
    return any(one is not None and type(one).__module__ not in _IN_C for one in found)


def _plain(names: list[tuple[str, Any]]) -> Iterator[tuple[str, Tensor]]:
    yield from [(name, value) for name, value in names if _is_tensor(value)]


def _entries(names: list[tuple[str, Any]]) -> Iterator[tuple[str, Tensor]]:
    for name, value in names:
        if (type(value) is list or issubclass(type(value), tuple)) and len(value) <= ENTRIES:
            yield from [(f"{name}[{n}]", item) for n, item in enumerate(value) if _is_tensor(item)]
        elif type(value) is dict and len(value) <= ENTRIES:
            keys = [key for key in value if type(key) in (str, int)]
            yield from [(f"{name}[{key!r}]", value[key]) for key in keys if _is_tensor(value[key])]


def _is_tensor(value: Any) -> bool:
    # By the type alone: `isinstance` asks a proxy for its class as well, and may wake what it stands for.
    return issubclass(type(value), Tensor)

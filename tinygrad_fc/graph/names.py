"""variables(): which of the user's variables hold the tensors of a graph."""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Iterator, Mapping
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
        if frame.f_code.co_flags & CO_OPTIMIZED:
            yield _locals(frame)
        if not any(frame.f_globals is known for known in seen):
            seen.append(frame.f_globals)
            yield _shown(frame.f_globals)


def _own(frames: Iterator[FrameType]) -> Iterator[FrameType]:
    """Yield the innermost frame, and of those around it the ones that are not a library's."""
    for position, frame in enumerate(frames):
        file = frame.f_code.co_filename
        library = file.startswith((_LIBRARY, "<frozen ")) or f"{os.sep}site-packages{os.sep}" in file
        if not position or not library:
            yield frame


def _shown(names: Mapping[str, Any]) -> list[tuple[str, Any]]:
    # What rewrites code, as pytest does, keeps what it needs under names that nobody can write.
    return [(key, value) for key, value in list(names.items())[:NAMES]
            if key[:1] != "_" and key.isidentifier() and key not in _HISTORY]  # fmt: skip


def _locals(frame: FrameType) -> list[tuple[str, Any]]:
    """Return the local names of a function that runs.

    CPython before 3.13 keeps the dict that it makes of them with the frame, and all that they hold would live as long.
    So it is emptied, if nobody has it but the frame: what ``locals()`` gave somebody is theirs.
    """
    names = frame.f_locals
    shown = _shown(names)
    if type(names) is dict and sys.getrefcount(names) <= 3:  # the frame's, this function's, and the count's own
        names.clear()
    return shown


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

"""The user's frames: those outside this package, innermost first."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import FrameType

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def users_frames() -> Iterator[FrameType]:
    """Yield the frames that run outside this package, innermost first; the outermost of all where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        around = frame.f_back
        if around is None or not frame.f_code.co_filename.startswith(_PACKAGE):
            yield frame
        frame = around


def users_line() -> str:
    """Return the innermost line that runs outside this package, as ``file:number``."""
    frame = next(users_frames())
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"

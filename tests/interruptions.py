"""Interruptions: Ctrl-C at each line of some functions, one after another."""

import contextlib
import linecache
import sys
from collections.abc import Callable, Collection, Iterator
from types import CodeType
from typing import Any


def interrupted(
    codes: Collection[CodeType], call: Callable[[], Any], least: int, besides: Collection[str] = ()
) -> Iterator[int]:
    """Call again and again, interrupted at a line of those functions that was not reached before.

    `besides` are lines at which Python looks for no signal: they call nothing, and do not jump back. Yields after each
    call how many lines were; the last call goes through, and has to come after `least` others.
    """
    seen: set[tuple[CodeType, int]] = set()

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code not in codes:
            return None
        place = frame.f_code, frame.f_lineno
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        if event == "line" and place not in seen and line not in besides:
            seen.add(place)
            raise KeyboardInterrupt
        return trace

    before, through = sys.gettrace(), False
    while not through:
        sys.settrace(trace)
        try:
            with contextlib.suppress(KeyboardInterrupt):  # ours: whether it came is what `through` says
                call()
                through = True
        finally:
            sys.settrace(before)
        yield len(seen)
    assert len(seen) >= least, seen

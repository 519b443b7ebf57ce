"""What the commands say, on a terminal, into a pipe, and into one that nobody reads any more; and their exit status."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from .checkpoint import CheckpointWarning


def guarded(command: str, run: Callable[[], int]) -> int:
    """Run a command; say on standard error what was wrong with what it was given, and return its exit status."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", CheckpointWarning)
        warnings.showwarning = lambda message, *rest, **more: err(f"{command}: {message}")
        try:
            return run()
        except FloatingPointError as error:
            err(f"{command}: {error}")
            return 1
        except KeyboardInterrupt:
            err(f"{command}: interrupted")
            return 130
        except MemoryError as error:
            err(f"{command}: not enough memory ({error}); give smaller sizes")
            return 2
        except (ValueError, TypeError, OSError, ModuleNotFoundError, EOFError) as error:
            if isinstance(error, OSError) and error.filename:
                err(f"{command}: {error.strerror}: {error.filename}")
            else:
                err(f"{command}: {error}")
            return 2


def out(text: str, end: str = "\n") -> None:
    """Print what a command was asked for."""
    _write("stdout", lambda: print(text, end=end, flush=True))


def err(text: str) -> None:
    """Print on standard error."""
    _write("stderr", lambda: print(text, file=sys.stderr, flush=True))


def line(text: str) -> None:
    """Print a line, above the progress bar where there is one."""
    if not sys.stderr.isatty():
        out(text)
        return
    from tqdm.auto import tqdm

    _write("stdout", lambda: (tqdm.write(text), sys.stdout.flush()))


def _write(stream: str, write: Callable[[], Any]) -> None:
    """Write; where nobody reads any more, as after ``| head``, go on without: a training is not lost for its lines."""
    try:
        write()
    except BrokenPipeError:
        # What is left in the buffer, and what comes later, goes nowhere, so that no flush at the exit fails either.
        with contextlib.suppress(OSError, ValueError):  # a stream that stands in for it may have no descriptor
            handle = getattr(sys, stream).fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, handle)
            os.close(nowhere)

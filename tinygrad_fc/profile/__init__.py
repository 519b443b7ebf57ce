"""Observers: what watches operations run, and puts facts on the graph that nobody pays for otherwise."""

from .debug import Debugger, debug
from .observe import Trace, observe
from .rehearse import rehearse
from .stats import stats

__all__ = ["Debugger", "Trace", "debug", "observe", "rehearse", "stats"]

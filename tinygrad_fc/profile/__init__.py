"""Observers: what watches operations run, and puts facts on the graph that nobody pays for otherwise."""

from .observe import Trace, observe

__all__ = ["Trace", "observe"]

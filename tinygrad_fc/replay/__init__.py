"""Replay: a training step recorded once, and run again as a list of instructions."""

from .compile import Compiled, compile

__all__ = ["Compiled", "compile"]

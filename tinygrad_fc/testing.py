"""Assertions for the tests of code that uses this library; they work under pytest, unittest and without either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .check.gradcheck import gradcheck
from .check.report import GradcheckReport

__all__ = ["assert_gradients"]


def assert_gradients(f: Callable[..., Any], *inputs: Any, **options: Any) -> GradcheckReport:
    """Assert that the gradients of a function hold; where they do not, the report is the failure's message.

    Parameters
    ----------
    f, *inputs, **options
        As for `gradcheck`: ``assert_gradients(model, X, y)``, ``assert_gradients(f, x, order=2)``.

    Returns
    -------
    GradcheckReport
        For further assertions.

    Raises
    ------
    AssertionError
        If the verdict on an input is "wrong" or "inconclusive".
    TypeError, ValueError
        As `gradcheck` does.

    Examples
    --------
    >>> import numpy as np, tinygrad_fc as tg
    >>> tg.testing.assert_gradients(np.tanh, np.array([0.5, -2.0])).verdict
    'correct'
    """
    __tracebackhide__ = True  # pytest shows the test's line, and not this one
    report = gradcheck(f, *inputs, **options)
    if not report:
        raise AssertionError(f"the gradients of {getattr(f, '__name__', type(f).__name__)} do not hold\n{report}")
    return report

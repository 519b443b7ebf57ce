"""observe(): a block in which each operation notes the user's line that ran it."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ..engine.node import Observer, watch

if TYPE_CHECKING:
    import numpy as np

    from ..engine.node import Node
    from ..engine.operation import Op

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class Trace(Observer):
    """What `observe` hands out: it notes the user's line on each node, for `Graph` to read.

    Attributes
    ----------
    count : int
        Operations that were seen.
    """

    def __init__(self) -> None:
        self.count = 0

    def saw(self, op: Op, node: Node | None, out: np.ndarray, data: list[Any]) -> None:
        """Note where the user's code called the operation: the innermost line outside this package."""
        self.count += 1
        if node is not None:
            node.note("line", users_line())


def users_line() -> str:
    """Return the innermost line that runs outside this package, as ``file:number``."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def observe() -> AbstractContextManager[Trace]:
    """Watch a block: each operation recorded in it notes the line of the user's code that ran it.

    ``Graph`` shows the lines, and so do the drawings (in the text that appears over a box). Operations take longer to
    record in the block, and compute the same; outside of it nothing is slower.

    Returns
    -------
    context manager
        ``with observe() as run:`` gives a `Trace`.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
    >>> with tg.observe() as run:
    ...     loss = (w * w).sum()
    >>> run.count
    2
    >>> tg.Graph(loss).nodes[-1].line
    '<stdin>:2'
    """
    return watch(Trace())

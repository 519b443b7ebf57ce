"""What the engines' builders return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .networks import Array

Chain = Callable[[], list[Any]]  # runs a chain of ops forward and backward; returns the gradients as arrays


class NotAvailableError(RuntimeError):
    """Raised by a builder whose engine lacks something besides its package: a compiler, say."""


@dataclass(frozen=True)
class Run:
    """An engine set up for one problem.

    Parameters
    ----------
    step : callable
        Does one training step; takes and returns nothing.
    loss : callable or None
        The loss of the last step as a float; waits for a step that still runs. None: the run has no loss.
    weights : callable or None
        Copies of the weights now, W1, b1, W2, b2, ..., each W of shape (inputs, outputs).
    """

    step: Callable[[], object]
    loss: Callable[[], float] | None = None
    weights: Callable[[], list[Array]] | None = None

    def finish(self) -> None:
        """Wait until the last step has ended."""
        if self.loss is not None:
            self.loss()


@dataclass(frozen=True)
class Training:
    """An engine set up for a network, whatever its batches.

    Parameters
    ----------
    step : callable
        Trains on a batch, in the engine's kind of array, and returns the loss, which has ``item``.
    weights : callable
        As in `Run`.
    wait : callable
        Returns when the last step has ended.
    """

    step: Callable[[Any, Any], Any]
    weights: Callable[[], list[Array]]
    wait: Callable[[], object] = lambda: None

    def on(self, inputs: Any, labels: Any) -> Run:
        """Return the run that trains on one batch again and again."""
        last: list[Any] = [None]

        def step() -> None:
            last[0] = self.step(inputs, labels)

        def loss() -> float:
            self.wait()
            return float(last[0].item())

        return Run(step, loss, self.weights)

"""Callback: what a solver calls while it trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .solver import Solver


class Callback:
    """Base of what a solver calls while it trains: override what is needed, the rest does nothing.

    A callback reads ``solver.history``, ``solver.model``, ``solver.optimizer`` and, in `on_step_end`,
    ``solver.last_gradients``; ``solver.stop()`` ends the training after the step. An error that it raises ends the
    training, and the solver can go on afterwards.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> class Goal(tg.training.Callback):
    ...     def on_epoch_end(self, solver):
    ...         if solver.val_acc_history[-1] > 0.9:
    ...             solver.stop()
    >>> model = tg.models.TwoLayerNet(input_dim=64, hidden_dim=32, weight_scale=None, seed=0)
    >>> data = tg.data.load_digits()
    >>> solver = tg.training.Solver(model, data, "adam", num_epochs=50, callbacks=[Goal()], verbose=False, seed=0)
    >>> solver.train()
    >>> solver.epoch < 50, solver.val_acc_history[-1] > 0.9
    (True, True)
    """

    def on_train_begin(self, solver: Solver) -> None:
        """Before the first step of a call of ``train``."""

    def on_step_end(self, solver: Solver) -> None:
        """After each step: the parameters are updated, and the histories have the step."""

    def on_epoch_end(self, solver: Solver) -> None:
        """After each epoch and its evaluation, and before its checkpoint."""

    def on_train_end(self, solver: Solver) -> None:
        """After the last step, however the training ended, with the best parameters put back if they are to be."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to keep: a tree of dicts, lists, numbers, strings, None and arrays."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        if state:
            raise ValueError(f"{type(self).__name__} saved {', '.join(state)}: it needs a load_state_dict to read them")

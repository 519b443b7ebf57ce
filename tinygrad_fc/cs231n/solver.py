"""The course's Solver, over `tinygrad_fc.training.Solver`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import training
from ..optim import Rule
from ..optim.rule import PureRule

__all__ = ["Solver"]


class Solver(training.Solver):
    """Trains a model as the Solver of the course CS231n does: its arguments, its printed lines, its random numbers.

    Batches and the samples that accuracies are measured on are drawn from NumPy's global generator, as in the course:
    ``np.random.seed`` makes a run repeat. All else, the attributes too, is as in `tinygrad_fc.training.Solver`: a run
    whose loss is not finite raises instead of going on; the rule's state is in ``optimizer``, not ``optim_configs``.

    Parameters
    ----------
    model : object
        Has ``params``, a mapping of names to ndarrays, and ``loss``: ``loss(X)`` returns scores, ``loss(X, y)`` returns
        ``(loss, gradients)``. Your own will do.
    data : mapping
        ``X_train``, ``y_train``, ``X_val``, ``y_val``; other entries are ignored.
    update_rule : {"sgd", "sgd_momentum", "rmsprop", "adam"}
        The update rule; what else `tinygrad_fc.optim.get_rule` takes is welcome, too.
    optim_config : mapping, optional
        The rule's hyperparameters.
    lr_decay : float
        The learning rate is multiplied by it after each epoch.
    batch_size : int
        Samples in a step; it may exceed the training set, since batches are drawn with replacement.
    num_epochs : int
        How many epochs ``train()`` runs.
    num_train_samples, num_val_samples : int or None
        On how many samples the accuracies are measured; None takes all.
    checkpoint_name : None
        The course writes the solver to a pickle of this name after each epoch. Here only None is taken.
    print_every : int
        Steps between two printed losses.
    verbose : bool
        Print losses and accuracies.

    Raises
    ------
    ValueError, TypeError
        For anything that does not fit, before the model is touched.
    """

    _larger_batches = True

    def __init__(
        self,
        model: Any,
        data: Mapping[str, Any],
        *,
        update_rule: str | Rule | PureRule = "sgd",
        optim_config: Mapping[str, Any] | None = None,
        lr_decay: float = 1.0,
        batch_size: int = 100,
        num_epochs: int = 10,
        num_train_samples: int | None = 1000,
        num_val_samples: int | None = None,
        checkpoint_name: None = None,
        print_every: int = 10,
        verbose: bool = True,
    ) -> None:
        if checkpoint_name is not None:
            raise ValueError(
                f"checkpoint_name: given {checkpoint_name!r}, expected None: the solver writes no files. What the "
                f"course's file holds is in solver.best_params, loss_history, train_acc_history, val_acc_history, "
                f"epoch and optimizer.state_dict(); np.savez('best.npz', **solver.best_params) keeps the parameters."
            )
        # One sample goes through the model to see that it fits; a network whose dropout has a seed reseeds then.
        state = np.random.get_state()  # noqa: NPY002  # the course's users seed the global generator
        try:
            super().__init__(
                model, data, update_rule, optim_config, lr_decay, batch_size, num_epochs, num_train_samples,
                num_val_samples, print_every, verbose, progress=False, replacement=True, prefetch=0,
            )  # fmt: skip
        finally:
            np.random.set_state(state)  # noqa: NPY002  # as above

    def _draw_order(self) -> Any:
        """Draw each batch when it is its turn, between the draws of evaluations, as the course does."""
        return _Draws(len(self.X_train), self.batch_size)

    def _draw(self, n: int, size: int) -> np.ndarray:
        """Draw as the course does, so that its seeds give its batches."""
        return np.random.choice(n, size)  # noqa: NPY002  # the course's users seed the global generator


class _Draws(Sequence[np.ndarray]):
    """An endless sequence of batches, each drawn with replacement from NumPy's global generator when it is read."""

    def __init__(self, n: int, size: int) -> None:
        self.n, self.size = n, size

    def __getitem__(self, step: Any) -> Any:
        return np.random.choice(self.n, self.size)  # noqa: NPY002  # as above

    def __len__(self) -> int:
        return sys.maxsize

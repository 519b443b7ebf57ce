"""Solver: trains a model by mini-batches, and keeps the histories and the best parameters."""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..nn.init import Seed, generator
from ..optim import Optimizer, Option, Rule, get_rule
from ..optim.rule import PureRule
from . import checks, loop, state
from .callbacks import Callback
from .checks import as_trained, classes_of, count, feeds, metrics_of, optional_count, read_ahead, schedule_of, weighted
from .evaluation import Metrics, accuracy, better, ignored, measure, scores_of
from .feed import ArrayFeed, Augment, Batch, augmented, prefetched
from .history import History
from .plain import PerArray
from .saving import Saver


class Solver:
    """Trains a model on batches of data, with the interface and the printed lines of the CS231n course.

    Parameters
    ----------
    model : Module or object
        A network of `tinygrad_fc.models`, any `tinygrad_fc.nn.Module` (with `criterion`), or an object of your own that
        has ``params``, a mapping of names to ndarrays, and ``loss``: ``loss(X)`` returns scores of shape (N, classes),
        ``loss(X, y)`` returns ``(loss, gradients)`` with a gradient for each name. Where ``params`` is a
        `tinygrad_fc.models.Params`, an `Optimizer` updates it in place; else ``params[name]`` is assigned.
    data : mapping
        ``X_train`` (N, ...), ``y_train`` (N,) and ``X_val``, ``y_val``: images or vectors, and integer labels from 0,
        in memory or memory-mapped (``np.load(..., mmap_mode="r")``). In place of two arrays ``train`` or ``val`` may
        be an iterable of batches (X, y) with a length. Other entries are ignored.
    update_rule : str, Rule or function
        As `tinygrad_fc.optim.get_rule` takes it.
    optim_config : mapping, optional
        The rule's hyperparameters, ``{"learning_rate": 1e-3}`` say, and ``groups`` of parameters with their own.
    lr_decay : float
        The learning rate is multiplied by it after each epoch.
    batch_size : int
        Samples in a step.
    num_epochs : int
        ``train()`` runs this many epochs, each of ``N // batch_size`` steps.
    num_train_samples, num_val_samples : int or None
        On how many random samples the training and validation figures are measured; None takes all.
    print_every : int
        Steps between two printed losses.
    verbose : bool
        Print losses and accuracies.
    progress : bool or None
        Show a progress bar with the last loss and accuracies; None does if `verbose`, in a terminal or notebook.
    seed : int, Generator or None
        Of the generator that draws batches and samples: the same seed gives the same run.
    criterion : callable, optional
        The loss of a module that has none: ``criterion(scores, y)``; softmax's by default. With another, `y` may hold
        targets instead of labels.
    schedule : str, mapping or schedule, optional
        Of the learning rate: one of `tinygrad_fc.optim.SCHEDULES`, called with the epochs done as a float, or its name
        with its options, ``{"name": "cosine", "length": 20}``. ``"cosine"`` and ``"one_cycle"`` alone go over each
        ``train()`` from beginning to end; a schedule that is given is copied.
    replacement : bool
        Draw the samples of each batch anew, as the course does. By default each epoch goes through the samples in a new
        random order, and leaves out the last ``N % batch_size`` of it.
    patience : int, optional
        Stop after this many epochs of a ``train()`` without a better validation figure.
    monitor : str, optional
        The column of ``history.epochs`` that says what is better, smaller where its name ends in "loss" or "err(or)";
        ``"val_acc"`` by default, and ``"val_loss"`` where `y` holds targets.
    metrics : mapping of str to callable, optional
        Further figures: ``function(scores, y)`` returns a number.
    class_weights : array or "balanced", optional
        Weights of the classes in softmax's loss; "balanced": inversely to their number.
    augment : callable, optional
        ``augment(X, y, generator)`` returns the batch to train on; it must not write into the one given.
    prefetch : int, optional
        Batches that a thread gathers (and augments) ahead; by default one where batches of arrays are large.
    callbacks : sequence of Callback
        What is called while it trains.
    clip_norm, clip_value : float, optional
        Bounds of the gradients, as `Optimizer` takes them.
    checkpoint_dir : str or Path, optional
        Folder of checkpoints, from which `resume` goes on; one with those of another run is refused. One is written at
        the end, and on Ctrl-C.
    checkpoint_every : int, optional
        Steps between two checkpoints; one epoch when neither this nor `checkpoint_seconds` is given.
    checkpoint_seconds : float, optional
        Seconds between two.
    checkpoint_keep : int
        The last so many are kept.

    Attributes
    ----------
    history : History
        What was recorded, in columns.
    loss_history : list of float
        The loss of each step's batch.
    train_acc_history, val_acc_history : list of float
        Accuracies after the first step (before training, in the course's words) and after each epoch.
    best_val_acc : float
        The validation accuracy of the best parameters so far.
    best_params : dict of str to ndarray
        Copies of these parameters; empty before training.
    params : mapping of str to ndarray
        The parameters by name, live.
    step, epoch, steps_per_epoch : int
        Steps and epochs done, and how many steps an epoch has.
    interrupted : bool
        Whether Ctrl-C ended the last ``train()``; then the next one goes on to where it should have ended.
    last_gradients : mapping of str to ndarray
        Those of the last step, for callbacks.

    Raises
    ------
    ValueError, TypeError
        For anything above that does not fit, before the model is touched.
    OSError
        If `checkpoint_dir` cannot be written to.

    Notes
    -----
    ``train()`` ends by putting the best parameters back into the model. Called again, it goes on from there for another
    `num_epochs`, with the state of the update rule as it was. A loss or gradient that is not finite stops before the
    update.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> data = tg.data.load_digits()
    >>> model = tg.models.TwoLayerNet(input_dim=64, hidden_dim=32, weight_scale=0.1, seed=0)
    >>> solver = tg.training.Solver(model, data, "adam", num_epochs=2, verbose=False, seed=0)
    >>> solver.train()
    >>> len(solver.loss_history), solver.epoch
    (24, 2)
    """

    _larger_batches = False  # whether a batch may have more samples than there are

    def __init__(
        self, model: Any, data: Mapping[str, Any], update_rule: str | Rule | PureRule = "sgd",
        optim_config: Mapping[str, Any] | None = None, lr_decay: float = 1.0, batch_size: int = 100,
        num_epochs: int = 10, num_train_samples: int | None = 1000, num_val_samples: int | None = None,
        print_every: int = 10, verbose: bool = True, progress: bool | None = None, seed: Seed = None, *,
        criterion: Callable[[Any, Any], Any] | None = None, schedule: Any = None, replacement: bool = False,
        patience: int | None = None, monitor: str | None = None, metrics: Metrics | None = None,
        class_weights: Any = None, augment: Augment | None = None, prefetch: int | None = None,
        callbacks: Sequence[Callback] = (), clip_norm: float | None = None, clip_value: float | None = None,
        checkpoint_dir: str | Path | None = None, checkpoint_every: int | None = None,
        checkpoint_seconds: float | None = None, checkpoint_keep: int = 3,
    ) -> None:  # fmt: skip
        given = {key: value for key, value in locals().items() if key not in ("self", "model", "data", "__class__")}
        trained = as_trained(model, criterion)
        self.batch_size = count("batch_size", batch_size)
        targets = criterion is not None
        self._train, self._val = feeds(data, self.batch_size, self._larger_batches, targets)
        self.steps_per_epoch = self._train.steps
        self.X_train, self.y_train = self._train.X, self._train.y
        self.X_val, self.y_val = self._val.X, self._val.y
        self.num_epochs = count("num_epochs", num_epochs)
        self.num_train_samples = optional_count("num_train_samples", num_train_samples)
        self.num_val_samples = optional_count("num_val_samples", num_val_samples)
        self.print_every = count("print_every", print_every)
        self.patience = optional_count("patience", patience)
        self.lr_decay = Option(1.0, open_low=True).check("Solver", "lr_decay", lr_decay)
        self.verbose, self.progress, self.replacement = bool(verbose), progress, bool(replacement)
        rule = get_rule(update_rule)
        if optim_config is not None and not isinstance(optim_config, Mapping):
            raise TypeError(f"optim_config: given {optim_config!r}, expected a dict such as {{'learning_rate': 1e-3}}")
        given_config = dict(optim_config or {})
        groups = given_config.pop("groups", None)
        config = rule.configure(given_config)
        self.classes = classes_of(trained, self._train, self._val, targets)
        self.metrics = metrics_of(metrics)
        self.history = History(tuple(self.metrics))
        self.loss_history: list[float] = self.history.steps["loss"]
        self.train_acc_history: list[float] = self.history.epochs["train_acc"]
        self.val_acc_history: list[float] = self.history.epochs["val_acc"]
        self.monitor = checks.monitored(monitor, self.history.epochs, trained, self.classes)
        self.schedule = schedule_of(schedule, self.num_epochs, self.monitor)
        if augment is not None and not callable(augment):
            raise TypeError(f"augment: given {type(augment).__name__}, expected a function of (X, y, generator)")
        self.augment = augment
        self.prefetch = read_ahead(prefetch, self._train, augment)
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks: given {callback!r}, expected instances of subclasses of Callback")
        criterion = None if class_weights is None else weighted(trained, class_weights, self.classes, self._train)
        self._generator = generator(seed)
        # Drawn for an augmentation alone, so that without one the batches of a seed stay as they were.
        self._augment_seed = 0 if augment is None else int(self._draw(2**31 - 1, 1)[0])
        self.model, self._trained, self.params = model, trained, trained.params
        self.update_rule, self.optim_config = rule.name, dict(config)
        self._rated = "learning_rate" in rule.options
        if not self._rated and (schedule is not None or self.lr_decay != 1.0):
            raise ValueError(f"schedule, lr_decay: the rule {rule.name} has no learning_rate; leave both out")
        self.best_val_acc = 0.0
        self.best_params: dict[str, np.ndarray] = {}
        self._best_value = math.nan
        self._best_buffers: list[np.ndarray] = []
        self.step = self.epoch = 0
        self.last_gradients: Mapping[str, np.ndarray] = {}
        self.interrupted = self._stopping = False
        self._waited = 0  # epochs without a better figure
        self._position = 0  # steps done of this epoch
        self._order: Any = None  # the batches of this epoch, and the generator's state before they were drawn
        self._order_state: Any = None
        self._end: int | None = None  # the step that this training ends at, and its epochs; None when it is done
        self._epochs = 0
        self._seconds = 0.0
        self._saver = Saver(checkpoint_dir, checkpoint_every, checkpoint_seconds, checkpoint_keep,
                               self.steps_per_epoch)  # fmt: skip
        # Last, because it moves the parameters: until here nothing has been touched.
        tensors = getattr(trained.params, "tensors", None)
        if tensors is None:
            for name, value in (("groups", groups), ("clip_norm", clip_norm), ("clip_value", clip_value)):
                if value is not None:
                    raise ValueError(f"{name}: only for models whose params is a tinygrad_fc.models.Params")
            self.optimizer: Any = PerArray(trained, rule, config)
        else:
            own = {name: tensor for name, tensor in tensors.items() if tensor.requires_grad}
            self.optimizer = Optimizer(own, rule, groups=groups, clip_norm=clip_norm, clip_value=clip_value, **config)
        if criterion is not None:
            trained.criterion = criterion
        self._loss = checks.loss_of(trained, self.optimizer)
        self._options = state.options(given, rule)

    def train(self) -> None:
        """Train for `num_epochs` epochs, then put the best parameters into the model.

        After Ctrl-C, which ends it after the step, and after `resume` it trains to where that training was to end;
        after an error for another `num_epochs`.

        Raises
        ------
        ValueError, TypeError
            When the model's loss or its gradients do not fit; the parameters are those of the step before.
        FloatingPointError
            When a loss or a gradient is not finite; the parameters are those of the step before.
        OSError
            If the last checkpoint cannot be written. One before that only warns, and training goes on.
        """
        if self._end is None:
            self._end = self.step + self.num_epochs * self.steps_per_epoch
            # An epoch whose steps are all done, but which an error kept from being counted, counts.
            done = self.epoch + (self._position == self.steps_per_epoch)
            self._epochs, self._waited = done + self.num_epochs, 0
        loop.run(self)

    def stop(self) -> None:
        """End the training after the step that is running: for callbacks."""
        self._stopping = True

    def restore_best(self) -> None:
        """Put the best parameters so far into the model, with the buffers (running statistics) they had."""
        for name, value in self.best_params.items():
            self._trained.params[name] = value.copy()
        for array, value in zip(self._buffers(), self._best_buffers, strict=True):
            array[...] = value

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the scores of samples, shape (N, classes), in evaluation mode; ValueError if there is none."""
        return scores_of(self._trained, np.asarray(X))

    def evaluate(self, X: np.ndarray, y: np.ndarray) -> dict[str, float | None]:
        """Return ``loss`` (of the data alone), ``acc`` and the metrics of samples (N, ...) and their labels or targets.

        Raises
        ------
        ValueError
            When there is no sample, or X and y differ in length.
        """
        X, y = np.asarray(X), np.asarray(y)
        if len(X) == 0 or len(X) != len(y):
            raise ValueError(f"evaluate: X has shape {X.shape}, y has {y.shape}; expected (N, ...) of one N >= 1")
        return measure(self._trained, X, y, self.metrics, self.classes is not None)

    def check_accuracy(
        self, X: np.ndarray, y: np.ndarray, num_samples: int | None = None, batch_size: int = 100
    ) -> float:
        """Return the share of samples whose highest score is that of their label.

        Parameters
        ----------
        X : ndarray
            Samples, shape (N, ...).
        y : ndarray
            Integer labels, shape (N,).
        num_samples : int, optional
            Measure on this many, drawn at random, when there are more.
        batch_size : int
            Samples scored at once, which bounds the memory.

        Returns
        -------
        float
            Between 0 and 1.

        Raises
        ------
        ValueError
            When there is no sample, X and y differ in length, or a count is below 1.
        """
        X, y = np.asarray(X), np.asarray(y)
        if len(X) == 0 or y.shape != (len(X),):
            raise ValueError(f"check_accuracy: X has shape {X.shape}, y has {y.shape}; expected (N, ...), (N,), N >= 1")
        batch_size = count("batch_size", batch_size)
        X, y = ArrayFeed(X, y, batch_size).sample(optional_count("num_samples", num_samples), self._draw)
        return accuracy(scores_of(self._trained, X, batch_size), y, ignored(self._trained))

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds beside the weights: a tree of dicts, lists, numbers, strings and arrays."""
        return state.state_dict(self)

    def load_state_dict(self, tree: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, from a solver of the same arguments and data.

        Raises
        ------
        ValueError
            When something does not fit.
        """
        state.load_state_dict(self, tree)

    @classmethod
    def resume(cls, folder: str | Path, model: Any, data: Mapping[str, Any], **arguments: Any) -> Self:
        """Return a solver that goes on from the newest good checkpoint of a folder, bit for bit.

        Parameters
        ----------
        folder : str or Path
            The ``checkpoint_dir`` of the run.
        model : Module or object
            Made as for the run; its parameters are overwritten.
        data : mapping
            The data of the run.
        **arguments
            What cannot be saved has to be given again: `augment`, `metrics`, `criterion`, a rule of your own, and
            `callbacks` that kept a state. `optim_config`, clips, `monitor` and `seed` are part of the state and stay.
            Others replace what was saved: ``num_epochs=20`` trains to 20 epochs in all.

        Raises
        ------
        CheckpointError
            If no checkpoint can be read; a warning names each that was passed over.
        ValueError
            If model, data or arguments are not the run's; the model is as it was.
        """
        return state.resume(cls, folder, model, data, arguments)

    def _batches(self) -> Generator[Batch, None, None]:
        """Yield the rest of this epoch's batches."""
        if self._order is None and isinstance(self._train, ArrayFeed):
            self._order_state = state.read_generator(self._generator)
            self._order = self._draw_order()
        batches = self._train.batches(self.epoch, self._position, self._order)
        if self.augment is not None:
            batches = augmented(batches, self.augment, self._augment_seed, self.step)
        return prefetched(batches, self.prefetch) if self.prefetch else batches

    def _draw_order(self) -> Any:
        """Draw the samples of each batch of an epoch."""
        steps, size, n = self.steps_per_epoch, self.batch_size, len(self._train.X)
        if self.replacement:
            return self._draw(n, steps * size).reshape(steps, size)
        return self._generator.permutation(n)[: steps * size].reshape(steps, size)

    def _draw(self, n: int, size: int) -> np.ndarray:
        """Draw `size` indices below `n`, with replacement."""
        draw = getattr(self._generator, "integers", None) or self._generator.randint  # RandomState's older name
        return draw(n, size=size)

    def _evaluate(self) -> None:
        """Measure on training and validation samples, and keep the parameters when they are the best so far."""
        row: dict[str, Any] = {"step": self.step, "epoch": self.epoch, "seconds": self._seconds}
        for part, feed, size in (
            ("train", self._train, self.num_train_samples), ("val", self._val, self.num_val_samples)
        ):  # fmt: skip
            X, y = feed.sample(size, self._draw)
            found = measure(self._trained, X, y, self.metrics, self.classes is not None)
            row |= {f"{part}_{name}": value for name, value in found.items()}
        for name, column in self.history.epochs.items():
            column.append(row[name])
        self._waited += 1
        if not self.best_params or better(self.monitor, row[self.monitor], self._best_value):
            self._waited = 0
            self._best_value, self.best_val_acc = row[self.monitor], row["val_acc"] or 0.0
            self.best_params = {name: np.array(value) for name, value in self._trained.params.items()}
            self._best_buffers = [array.copy() for array in self._buffers()]

    def _buffers(self) -> list[np.ndarray]:
        """Return what belongs to the model's state beside its parameters: running statistics."""
        named = getattr(getattr(self._trained, "module", self._trained), "named_buffers", None)
        return [array for _, array in named()] if named is not None else []

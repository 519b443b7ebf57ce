"""Solver: trains a classifier by mini-batches, and keeps the histories and the best parameters."""

import math
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import nullcontext
from typing import Any

import numpy as np

from ..nn.init import Seed, generator
from ..optim import Optimizer, Option, Rule, get_rule
from ..optim.rule import PureRule


class Solver:
    """Trains a model on arrays, with the interface and the printed lines of the CS231n course.

    Parameters
    ----------
    model : object
        Has ``params``, a mapping of names to ndarrays, and ``loss``: ``loss(X)`` returns scores of shape (N, classes),
        ``loss(X, y)`` returns ``(loss, gradients)`` with a gradient for each name of ``params``. Where ``params`` is a
        `tinygrad_fc.models.Params`, as in the networks there, an `Optimizer` updates the parameters in place; of other
        models, ``params[name]`` is assigned after each step.
    data : mapping
        ``X_train`` (N, ...), ``y_train`` (N,) and ``X_val``, ``y_val``: images or vectors, and integer labels from 0.
        Other entries are ignored.
    update_rule : str, Rule or function
        As `tinygrad_fc.optim.get_rule` takes it.
    optim_config : mapping, optional
        The rule's hyperparameters, ``{"learning_rate": 1e-3}`` say.
    lr_decay : float
        The learning rate is multiplied by it after each epoch.
    batch_size : int
        Samples in a step.
    num_epochs : int
        ``train()`` runs this many epochs, each of ``N // batch_size`` steps.
    num_train_samples : int or None
        The training accuracy is measured on this many random samples; None takes all.
    num_val_samples : int or None
        The same for the validation accuracy.
    print_every : int
        Steps between two printed losses.
    verbose : bool
        Print losses and accuracies.
    progress : bool
        Show a progress bar with the last loss and accuracies.
    seed : int, optional
        Of the generator that draws batches and samples: the same seed gives the same run.

    Attributes
    ----------
    loss_history : list of float
        The loss of each step's batch.
    train_acc_history, val_acc_history : list of float
        Accuracies before training (after the first step, as in the course) and after each epoch.
    best_val_acc : float
        The best validation accuracy so far.
    best_params : dict of str to ndarray
        Copies of the parameters that had it; empty before training.
    epoch : int
        Epochs done.

    Raises
    ------
    ValueError, TypeError
        For anything above that does not fit, before the model is touched.

    Notes
    -----
    Batches are drawn with replacement, as in the course. ``train()`` ends by putting the best parameters back into the
    model. Called again, it goes on from there for another `num_epochs`, with the state of the update rule as it was.

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
        self,
        model: Any,
        data: Mapping[str, Any],
        update_rule: str | Rule | PureRule = "sgd",
        optim_config: Mapping[str, Any] | None = None,
        lr_decay: float = 1.0,
        batch_size: int = 100,
        num_epochs: int = 10,
        num_train_samples: int | None = 1000,
        num_val_samples: int | None = None,
        print_every: int = 10,
        verbose: bool = True,
        progress: bool = False,
        seed: Seed = None,
    ) -> None:
        _check_model(model)
        self.X_train, self.y_train = _part(data, "train")
        self.X_val, self.y_val = _part(data, "val")
        if self.X_val.shape[1:] != self.X_train.shape[1:]:
            raise ValueError(
                f"data: samples of X_val have shape {self.X_val.shape[1:]}, of X_train {self.X_train.shape[1:]}"
            )
        self.batch_size = _count("batch_size", batch_size)
        if self.batch_size > len(self.X_train) and not self._larger_batches:
            raise ValueError(
                f"batch_size is {batch_size}, but X_train has {len(self.X_train)} samples; give at most that many"
            )
        self.num_epochs = _count("num_epochs", num_epochs)
        self.num_train_samples = None if num_train_samples is None else _count("num_train_samples", num_train_samples)
        self.num_val_samples = None if num_val_samples is None else _count("num_val_samples", num_val_samples)
        self.print_every = _count("print_every", print_every)
        self.lr_decay = Option(1.0, open_low=True).check("Solver", "lr_decay", lr_decay)
        self.verbose, self.progress = bool(verbose), bool(progress)
        rule = get_rule(update_rule)
        if optim_config is not None and not isinstance(optim_config, Mapping):
            raise TypeError(f"optim_config: given {optim_config!r}, expected a dict such as {{'learning_rate': 1e-3}}")
        config = rule.configure(optim_config or {})
        # One sample through the model tells the number of classes, and that the data fits the model.
        scores = np.asarray(model.loss(self.X_train[:1]))
        if scores.ndim != 2 or len(scores) != 1:
            raise ValueError(
                f"model: loss(X) of one sample returned shape {scores.shape}; expected scores of shape (1, classes)"
            )
        classes = scores.shape[1]
        for name, labels in (("y_train", self.y_train), ("y_val", self.y_val)):
            if labels.min() < 0 or labels.max() >= classes:
                raise ValueError(
                    f"data: {name} has labels from {labels.min()} to {labels.max()}, but the model scores {classes} "
                    f"classes; labels must lie in 0..{classes - 1}"
                )
        self._generator = generator(seed)
        self.model = model
        self.update_rule = rule.name
        self.optim_config = dict(config)
        self.loss_history: list[float] = []
        self.train_acc_history: list[float] = []
        self.val_acc_history: list[float] = []
        self.best_val_acc = 0.0
        self.best_params: dict[str, np.ndarray] = {}
        self._best_buffers: list[np.ndarray] = []
        self.epoch = 0
        # Last, because it moves the parameters: until here nothing has been touched.
        tensors = getattr(model.params, "tensors", None)
        if tensors is None:
            self.optimizer: Any = _PerArray(model, rule, config)
        else:
            trained = {name: tensor for name, tensor in tensors.items() if tensor.requires_grad}
            self.optimizer = Optimizer(trained, rule, **config)

    def train(self) -> None:
        """Train for `num_epochs` epochs, then put the best parameters into the model.

        Raises
        ------
        ValueError, TypeError
            When the model's loss or its gradients do not fit; the parameters are those of the step before.
        FloatingPointError
            When a loss is not finite. The best parameters so far are in ``best_params``.
        """
        per_epoch = max(len(self.X_train) // self.batch_size, 1)
        first = len(self.loss_history)
        total = first + self.num_epochs * per_epoch
        epochs = self.epoch + self.num_epochs
        with self._bar(total, first) as bar:
            say: Callable[[str], object] = print if bar is None else bar.write
            for iteration in range(first, total):
                self._step()
                if self.verbose and iteration % self.print_every == 0:
                    say(f"(Iteration {iteration + 1} / {total}) loss: {self.loss_history[-1]:f}")
                epoch_ends = (iteration + 1) % per_epoch == 0
                if epoch_ends:
                    self.epoch += 1
                    self.optimizer.learning_rate *= self.lr_decay
                if iteration == 0 or iteration == total - 1 or epoch_ends:
                    self._evaluate()
                    if self.verbose:
                        say(
                            f"(Epoch {self.epoch} / {epochs}) train acc: {self.train_acc_history[-1]:f}; "
                            f"val_acc: {self.val_acc_history[-1]:f}"
                        )
                # update() is true when the bar was drawn: only then are new figures worth their formatting.
                if bar is not None and (bar.update() or epoch_ends):
                    bar.set_postfix(
                        loss=self.loss_history[-1],
                        train_acc=self.train_acc_history[-1],
                        val_acc=self.val_acc_history[-1],
                        refresh=epoch_ends and self._live(),
                    )
        for name, value in self.best_params.items():
            self.model.params[name] = value.copy()
        for array, value in zip(self._buffers(), self._best_buffers, strict=True):
            array[...] = value

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
        batch_size = _count("batch_size", batch_size)
        if num_samples is not None and len(X) > _count("num_samples", num_samples):
            chosen = self._draw(len(X), num_samples)
            X, y = X[chosen], y[chosen]
        right = 0
        for start in range(0, len(X), batch_size):
            part = slice(start, start + batch_size)
            right += int(np.count_nonzero(np.argmax(self.model.loss(X[part]), axis=1) == y[part]))
        return right / len(X)

    def _step(self) -> None:
        """Draw a batch and update the parameters once."""
        batch = self._draw(len(self.X_train), self.batch_size)
        # take is the faster gather: it knows that it selects along one axis.
        result = self.model.loss(self.X_train.take(batch, axis=0), self.y_train.take(batch))
        fits = isinstance(result, tuple) and len(result) == 2
        if not fits or np.ndim(result[0]) or not isinstance(result[1], Mapping):
            raise TypeError(
                f"model: loss(X, y) returned {type(result).__name__}, expected a tuple of the loss, a number, and a "
                f"dict of gradients by name"
            )
        loss, gradients = result
        if not math.isfinite(loss):
            sound = all(np.isfinite(value).all() for value in self.model.params.values())
            cause = "" if sound else ", and hold NaN or infinity: a gradient was not finite"
            raise FloatingPointError(
                f"the loss of iteration {len(self.loss_history) + 1} is {loss}; the parameters are those of the step "
                f"before{cause}. best_params has the best so far. Try a learning rate below "
                f"{self.optimizer.learning_rate:g}, or look for NaN in the data"
            )
        self.optimizer.step(gradients)
        self.loss_history.append(float(loss))

    def _draw(self, n: int, size: int) -> np.ndarray:
        """Draw `size` indices below `n`, with replacement. All randomness of a run comes through here."""
        draw = getattr(self._generator, "integers", None) or self._generator.randint  # RandomState's older name
        return draw(n, size=size)

    def _evaluate(self) -> None:
        """Measure both accuracies, and keep the parameters when they are the best so far."""
        self.train_acc_history.append(self.check_accuracy(self.X_train, self.y_train, self.num_train_samples))
        accuracy = self.check_accuracy(self.X_val, self.y_val, self.num_val_samples)
        self.val_acc_history.append(accuracy)
        if not self.best_params or accuracy > self.best_val_acc:
            self.best_val_acc = accuracy
            self.best_params = {name: np.array(value) for name, value in self.model.params.items()}
            self._best_buffers = [array.copy() for array in self._buffers()]

    def _buffers(self) -> list[np.ndarray]:
        """Return what belongs to the model's state beside its parameters: running statistics."""
        named = getattr(self.model, "named_buffers", None)
        return [array for _, array in named()] if named is not None else []

    def _bar(self, total: int, first: int) -> Any:
        """Return a context manager that gives a progress bar, or None when none is wanted."""
        if not self.progress:
            return nullcontext()
        from tqdm.auto import tqdm  # imported here: only a bar needs it

        # A log keeps every state of the bar that is drawn: there the first and the last are enough.
        often = 0.1 if self._live() else 60.0
        return tqdm(total=total, initial=first, unit="step", dynamic_ncols=True, mininterval=often)

    @staticmethod
    def _live() -> bool:
        """Whether somebody sees the bar move: in a terminal or a notebook."""
        return sys.stderr.isatty() or "ipykernel" in sys.modules


class _PerArray:
    """The optimizer of models that have nothing but ``params``: the pure rule, array by array, as the course does."""

    def __init__(self, model: Any, rule: Rule, config: Mapping[str, Any]) -> None:
        self.model = model
        self.rule = rule
        self.configs: dict[str, MutableMapping[str, Any]] = {name: dict(config) for name in model.params}

    def step(self, gradients: Mapping[str, np.ndarray]) -> None:
        params = self.model.params
        if set(gradients) != set(params):
            raise ValueError(
                f"the model's loss returned gradients of {', '.join(sorted(gradients)) or 'nothing'}, but its "
                f"parameters are {', '.join(sorted(params))}; return one gradient for each"
            )
        for name, gradient in gradients.items():
            if np.shape(gradient) != np.shape(params[name]):
                raise ValueError(
                    f"the gradient of {name} has shape {np.shape(gradient)}, the parameter has {np.shape(params[name])}"
                )
        # All are computed before the first is assigned, so that a refusal changes nothing.
        updated = {
            name: self.rule.apply(params[name], gradient, dict(self.configs[name]))
            for name, gradient in gradients.items()
        }
        for name, (value, config) in updated.items():
            params[name], self.configs[name] = value, config

    @property
    def learning_rate(self) -> float:
        return float(next(iter(self.configs.values()))["learning_rate"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        for config in self.configs.values():
            config["learning_rate"] = value


def _check_model(model: Any) -> None:
    """Raise unless the model has the two names of the course, and writing into its ``params`` trains it."""
    kind = type(model).__name__
    for attribute in ("params", "loss"):
        if not hasattr(model, attribute):
            raise TypeError(f"model must have params and loss, but {kind} has no {attribute}")
    if isinstance(model, type):
        raise TypeError(f"model: given the class {model.__name__}, expected an instance: {model.__name__}(...)")
    if model.params is not model.params:
        raise TypeError(
            f"model: {kind}.params makes a new object at each access, so what is written there is lost; "
            f"make the mapping once and keep it"
        )
    if hasattr(model, "named_parameters") and not hasattr(model.params, "tensors"):
        raise TypeError(
            f"model: {kind} is a module, but its params is a {type(model.params).__name__} that does not reach its "
            f"parameters; write self.params = tg.models.Params(dict(self.named_parameters()))"
        )


def _part(data: Mapping[str, Any], part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples and labels of one part of the data, checked."""
    names = (f"X_{part}", f"y_{part}")
    if not isinstance(data, Mapping):
        raise TypeError(f"data: given {type(data).__name__}, expected a dict of X_train, y_train, X_val and y_val")
    for name in names:
        if name not in data:
            raise ValueError(
                f"data: {name} is missing; it needs X_train, y_train, X_val and y_val, got {', '.join(map(str, data))}"
            )
    X, y = (np.asarray(data[name]) for name in names)
    if X.ndim < 2 or y.ndim != 1 or len(X) != len(y):
        raise ValueError(
            f"data: {names[0]} has shape {X.shape}, {names[1]} has {y.shape}; expected (N, ...) and (N,) of one N"
        )
    if len(X) == 0:
        raise ValueError(f"data: {names[0]} is empty; give at least one sample")
    if y.dtype.kind not in "iu":
        raise TypeError(f"data: {names[1]} must hold integer labels, got dtype {y.dtype}; use {names[1]}.astype(int)")
    if X.dtype.kind not in "fiub":
        raise TypeError(f"data: {names[0]} must hold real numbers, got dtype {X.dtype}")
    # The extremes betray NaN and infinity in two passes and without a second array.
    if X.dtype.kind == "f" and X.size and not (np.isfinite(X.min()) and np.isfinite(X.max())):
        raise ValueError(f"data: {names[0]} holds NaN or infinity; remove or replace these samples")
    return X, y


def _count(name: str, value: Any) -> int:
    """Return `value` as an int of at least 1, or raise an error that names it."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer of at least 1, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return int(value)

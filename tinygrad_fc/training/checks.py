"""What a solver asks of a model, of data and of its arguments before it starts."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..models import Trained
from ..models.classifier import Classifier
from ..nn.losses import CrossEntropyLoss, SoftmaxLoss
from ..nn.module import Module
from ..optim import Optimizer, Schedule, get_schedule
from .evaluation import ignored, smaller_is_better
from .feed import ArrayFeed, StreamFeed

# Bytes of a batch from which on gathering it takes longer than a thread's hand-over, some 30 microseconds.
AHEAD = 2**18
# Schedules that, named alone, take the whole training as their length.
SPANNING = ("cosine", "one_cycle")


def loss_of(trained: Any, optimizer: Any) -> Any:
    """Return the function of a batch that a step calls: the model's loss, replayed where the model's class is known."""
    known = getattr(type(trained), "loss", None) in (Trained.loss, Classifier.loss) and "loss" not in vars(trained)
    if known and isinstance(optimizer, Optimizer):
        return trained.replayed_loss(optimizer)
    return trained.loss


def as_trained(model: Any, criterion: Any) -> Any:
    """Return the model with ``params`` and ``loss``: itself, or a module and its criterion together.

    Raises
    ------
    TypeError
        If it has no such names and is no module, or if writing into its ``params`` would not train it.
    ValueError
        If a criterion is given for a model that has its own loss.
    """
    kind = type(model).__name__
    if isinstance(model, type):
        raise TypeError(f"model: given the class {model.__name__}, expected an instance: {model.__name__}(...)")
    if isinstance(model, Module) and not hasattr(model, "loss"):
        if not any(True for _ in model.named_parameters()):
            raise ValueError(f"model: {kind} has no parameters, so there is nothing to train")
        return Trained(model, criterion)
    if criterion is not None:
        raise ValueError(f"criterion: {kind} has a loss of its own; leave criterion out")
    for attribute in ("params", "loss"):
        if not hasattr(model, attribute):
            raise TypeError(f"model must have params and loss, but {kind} has no {attribute}")
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
    return model


def feeds(data: Any, batch_size: int, any_size: bool, targets: bool) -> tuple[Any, Any]:
    """Return where training and validation batches come from, checked.

    Parameters
    ----------
    data : mapping
        Arrays ``X_train``, ``y_train``, ``X_val``, ``y_val``, or iterables of batches ``train``, ``val``.
    batch_size : int
        Samples in a batch of arrays.
    any_size : bool
        Whether a batch may have more samples than there are.
    targets : bool
        Whether y may be targets of any shape, and not labels alone.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"data: given {type(data).__name__}, expected a dict of X_train, y_train, X_val and y_val")
    found: list[Any] = []
    for part in ("train", "val"):
        if part in data and f"X_{part}" in data:
            raise ValueError(f"data: {part} and X_{part} are both given; give the batches or the arrays")
        if part in data:
            found.append(StreamFeed(part, data[part]))
        else:
            found.append(ArrayFeed(*_arrays(data, part, targets), batch_size))
    train, val = found
    shapes = [feed.X.shape[1:] if isinstance(feed, ArrayFeed) else feed.first[0].shape[1:] for feed in found]
    if shapes[0] != shapes[1]:
        raise ValueError(f"data: samples of X_val have shape {shapes[1]}, of X_train {shapes[0]}")
    if isinstance(train, ArrayFeed) and batch_size > len(train.X) and not any_size:
        raise ValueError(
            f"batch_size is {batch_size}, but X_train has {len(train.X)} samples; give at most that many"
        )
    return train, val


def _arrays(data: Mapping[str, Any], part: str, targets: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples and labels of one part of the data, checked."""
    names = (f"X_{part}", f"y_{part}")
    for name in names:
        if name not in data:
            raise ValueError(
                f"data: {name} is missing; it needs X_train, y_train, X_val and y_val, got {', '.join(map(str, data))}"
            )
    X, y = (np.asarray(data[name]) for name in names)
    if X.ndim < 2 or y.ndim < 1 or (y.ndim > 1 and not targets) or len(X) != len(y):
        labels = "(N, ...)" if targets else "(N,)"
        raise ValueError(
            f"data: {names[0]} has shape {X.shape}, {names[1]} has {y.shape}; expected (N, ...) and {labels} of one N"
        )
    if len(X) == 0:
        raise ValueError(f"data: {names[0]} is empty; give at least one sample")
    if y.dtype.kind not in ("iuf" if targets else "iu"):
        raise TypeError(f"data: {names[1]} must hold integer labels, got dtype {y.dtype}; use {names[1]}.astype(int)")
    if X.dtype.kind not in "fiub":
        raise TypeError(f"data: {names[0]} must hold real numbers, got dtype {X.dtype}")
    for name, array in zip(names, (X, y), strict=True):
        # The extremes betray NaN and infinity in two passes and without a second array.
        if array.dtype.kind == "f" and array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
            raise ValueError(f"data: {name} holds NaN or infinity; remove or replace these samples")
    return X, y


def classes_of(model: Any, train: Any, val: Any, targets: bool) -> int | None:
    """Send one sample through the model, and return how many classes it scores; None where y is no label.

    Raises
    ------
    ValueError
        If the scores have another shape, or a label is none of the classes.
    """
    first = train.X[:1] if isinstance(train, ArrayFeed) else train.first[0][:1]
    scores = np.asarray(model.loss(first))
    labelled = [feed.y if isinstance(feed, ArrayFeed) else feed.first[1] for feed in (train, val)]
    if targets and not all(y.dtype.kind in "iu" and y.ndim == 1 for y in labelled):
        return None
    if scores.ndim != 2 or len(scores) != 1:
        raise ValueError(
            f"model: loss(X) of one sample returned shape {scores.shape}; expected scores of shape (1, classes)"
        )
    classes, ignore = scores.shape[1], ignored(model)
    for name, labels in zip(("y_train", "y_val"), labelled, strict=True):
        kept = labels if ignore is None else labels[labels != ignore]
        if kept.size and (kept.min() < 0 or kept.max() >= classes):
            out = "" if ignore is None else f", or be {ignore}, which the loss leaves out"
            if targets and classes == 1:
                out += f"; targets, which are no labels, have the shape of the scores: {name}.reshape(-1, 1)"
            raise ValueError(
                f"data: {name} has labels from {kept.min()} to {kept.max()}, but the model scores {classes} "
                f"classes; labels must lie in 0..{classes - 1}{out}"
            )
    return classes


def weighted(model: Any, given: Any, classes: int | None, train: Any) -> CrossEntropyLoss:
    """Return the criterion that weights the classes: 'balanced', or a weight for each.

    Raises
    ------
    ValueError, TypeError
        If the model's loss is not softmax's, the weights are not one for each class, or a class to balance is empty.
    """
    criterion = getattr(model, "criterion", None)
    if not isinstance(criterion, (SoftmaxLoss, CrossEntropyLoss)) or classes is None:
        kind = "no criterion" if criterion is None else type(criterion).__name__
        raise TypeError(
            f"class_weights: they weight softmax's cross-entropy, and {type(model).__name__} has {kind}; leave them out"
        )
    if isinstance(given, str):
        if given != "balanced" or not isinstance(train, ArrayFeed):
            raise ValueError(f"class_weights: given {given!r}, expected 'balanced' (for data in arrays) or an array")
        ignore = ignored(model)
        labels = train.y if ignore is None else train.y[train.y != ignore]
        counts = np.bincount(labels, minlength=classes)
        if not counts.all():
            raise ValueError(f"class_weights: 'balanced' needs samples of each class, class {counts.argmin()} has none")
        given = len(labels) / (classes * counts)
    weights = np.asarray(given)
    if weights.shape != (classes,):
        raise ValueError(f"class_weights: given shape {weights.shape}, expected ({classes},), one for each class")
    options: dict[str, Any] = {"fused": criterion.fused}
    if isinstance(criterion, CrossEntropyLoss):
        options |= {"label_smoothing": criterion.label_smoothing, "ignore_index": criterion.ignore_index}
    return CrossEntropyLoss(weights, **options)


def count(name: str, value: Any) -> int:
    """Return `value` as an int of at least 1, or raise an error that names it."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer of at least 1, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return int(value)


def read_ahead(given: Any, train: Any, augment: Any) -> int:
    """Return how many batches a thread is to make ahead: by default one, of arrays, where they are worth its wake-up.

    An augmentation stays in the thread of the training unless something else is asked for.
    """
    if given is None:
        return int(isinstance(train, ArrayFeed) and augment is None and train.batch_bytes >= AHEAD)
    return 0 if given == 0 and not isinstance(given, bool) else count("prefetch", given)


def optional_count(name: str, value: Any) -> int | None:
    """Return None as it is, and all else as `count` does."""
    return None if value is None else count(name, value)


def metrics_of(given: Any) -> dict[str, Any]:
    """Return the metrics, checked."""
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"metrics: given {type(given).__name__}, expected a dict of names to functions of (scores, y)")
    for name, function in (given or {}).items():
        if name in ("loss", "acc") or not isinstance(name, str):
            raise ValueError(f"metrics: {name!r} is taken or no string; choose another name")
        if not callable(function):
            raise TypeError(f"metrics: {name} is {type(function).__name__}, expected a function of (scores, y)")
    return dict(given or {})


def monitored(given: str | None, columns: Any, model: Any, classes: int | None) -> str:
    """Return the column that says what is better.

    Raises
    ------
    ValueError
        If there is no such column, or the model measures no such figure.
    """
    column = given or ("val_loss" if classes is None else "val_acc")
    known = [name for name in columns if name not in ("step", "epoch", "seconds")]
    # What `evaluation.measure` leaves None: the loss of a model without a criterion, and the accuracy without labels.
    lacking = "acc" if classes is None else "" if callable(getattr(model, "criterion", None)) else "loss"
    known = [name for name in known if name not in (f"train_{lacking}", f"val_{lacking}")]
    if column not in known:
        raise ValueError(f"monitor: given {given!r}, expected one of {', '.join(known)}")
    return column


def schedule_of(given: Any, num_epochs: int, monitor: str) -> Any:
    """Return the schedule that is meant: one, a name, or a name with its options.

    A name alone takes the whole training as its length, and what listens to a figure listens to the monitored one. One
    that is given is copied.

    Raises
    ------
    ValueError, TypeError
        If there is no such schedule or option, or if it takes the worse of the monitored figure for the better.
    """
    if given is None:
        return None
    options = {"name": given}
    if isinstance(given, str) and given in SPANNING:
        options["length"] = num_epochs
    elif given == "plateau":
        options["larger"] = not smaller_is_better(monitor)
    elif isinstance(given, Mapping):
        options = dict(given)
    schedule = get_schedule(**options)
    if isinstance(schedule, Schedule):
        schedule = copy.deepcopy(schedule)  # what a plateau observes is one solver's
    listens = getattr(schedule, "then", None) or schedule
    if hasattr(listens, "larger") and listens.larger is smaller_is_better(monitor):
        raise ValueError(f"schedule: {listens!r} listens to {monitor}; give larger={not listens.larger}")
    return schedule

"""The loop of a training: steps, printed lines, evaluations, checkpoints, and what ends it."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from ..optim import Schedule, global_norm
from .checks import SPANNING

if TYPE_CHECKING:
    from .solver import Solver


def run(solver: Solver) -> None:
    """Train to the step where the training is to end, or until something ends it before."""
    solver.interrupted = solver._stopping = False
    end = solver._end or 0
    started = time.perf_counter() - solver._seconds
    begun = 0
    try:
        _warn_of_no_rate(solver, end)
        for callback in solver.callbacks:
            begun += 1
            callback.on_train_begin(solver)
        with _ctrl_c(solver), _quiet(), _bar(solver) as bar:
            say: Callable[[str], object] = print if bar is None else bar.write
            buffers = solver._buffers()
            if solver._position == solver.steps_per_epoch:  # an error came between the epoch's last step and its end
                _measured(solver, say)
            while solver.step < end and not solver._stopping:
                # Closed at once when the training is stopped: a thread that reads ahead ends here.
                with closing(solver._batches()) as batches:
                    for X, y in batches:
                        _step(solver, X, y, buffers)
                        solver._seconds = time.perf_counter() - started
                        _after(solver, bar, say)
                        if solver._stopping or solver.step >= end:
                            break
            if not solver.interrupted:
                solver._end = solver.step
                if solver.step and solver.history.epochs["step"][-1:] != [solver.step]:
                    solver._evaluate()
        solver._saver.save(solver, last=True)
        if solver.interrupted:
            print(f"Interrupted after step {solver.step} of {solver._end}: train() goes on from here; restore_best() "
                  f"puts the best parameters so far into the model.", file=sys.stderr)  # fmt: skip
        else:
            solver.restore_best()
            solver._end = None
    except BaseException:
        solver._end = None
        raise
    finally:
        for callback in solver.callbacks[:begun]:
            callback.on_train_end(solver)


def _step(solver: Solver, X: Any, y: Any, buffers: list[np.ndarray]) -> None:
    """Update the parameters once; when anything is wrong, they and the buffers are left as they were."""
    number = solver.step + 1
    before = [array.copy() for array in buffers]
    try:
        solver.last_gradients = {}  # a replay writes the new ones into the same arrays, unless somebody else holds them
        result = solver._loss(X, y)
        fits = isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)
        if not fits or (type(result[0]) is not float and np.ndim(result[0])):
            raise TypeError(
                f"model: loss(X, y) returned {type(result).__name__}, expected a tuple of the loss, a number, and a "
                f"dict of gradients by name"
            )
        loss, gradients = result
        norm = _norm(gradients)
        if not math.isfinite(loss) or not math.isfinite(norm):
            _refuse(solver, number, X, loss, gradients)
        if solver.schedule is not None:
            solver.optimizer.factor = solver.schedule(_scheduled(solver))
        rate = solver.optimizer.learning_rate * solver.optimizer.factor if solver._rated else math.nan
        if getattr(solver.optimizer, "clip_norm", None) is None:
            solver.optimizer.step(gradients)
        else:
            solver.optimizer.step(gradients, norm=norm)  # which it then need not compute
    except BaseException as error:
        for array, value in zip(buffers, before, strict=True):
            array[...] = value
        if isinstance(error, Exception):  # a second Ctrl-C comes anywhere
            error.add_note(f"In step {number} of the Solver, epoch {solver.epoch + 1}; no parameter was changed by it.")
        raise
    solver.step, solver._position, solver.last_gradients = number, solver._position + 1, gradients
    steps = solver.history.steps
    steps["step"].append(number)
    steps["epoch"].append(_epochs(solver))
    steps["loss"].append(float(loss))
    steps["learning_rate"].append(rate)
    steps["gradient_norm"].append(norm)


def _epochs(solver: Solver) -> float:
    """Return how many epochs are done, with the part of this one."""
    return (solver.epoch * solver.steps_per_epoch + solver._position) / solver.steps_per_epoch


def _scheduled(solver: Solver) -> float:
    """Return the epochs that the schedule is called with: of this training alone, for one that goes over each."""
    if solver._options["schedule"] not in SPANNING:
        return _epochs(solver)
    left = (solver._end or 0) - solver.step
    return max(solver.num_epochs * solver.steps_per_epoch - left, 0) / solver.steps_per_epoch


def _warn_of_no_rate(solver: Solver, end: int) -> None:
    """Warn of a schedule that is at its end before the training begins."""
    schedule, steps = solver.schedule, end - solver.step
    if not isinstance(schedule, Schedule) or steps <= 0:
        return
    begin = _scheduled(solver)
    if not any(schedule(begin + part / 8 * steps / solver.steps_per_epoch) for part in range(8)):
        warnings.warn(
            f"the learning rate of all steps of this training is 0: {schedule!r} is at its end after {begin:g} epochs; "
            f"make a Solver with a longer one, or with 'cosine' or 'one_cycle', which begin with each train()",
            stacklevel=4,
        )


def _after(solver: Solver, bar: Any, say: Callable[[str], object]) -> None:
    """Print, call back, evaluate and save what is due after a step."""
    number, history = solver.step, solver.history
    history.steps["seconds"].append(solver._seconds)
    if solver.verbose and (number - 1) % solver.print_every == 0:
        say(f"(Iteration {number} / {solver._end}) loss: {history.steps['loss'][-1]:f}")
    for callback in solver.callbacks:
        callback.on_step_end(solver)
    epoch_ends = _measured(solver, say)
    # update() is true when the bar was drawn: only then are new figures worth their formatting.
    if bar is not None and (bar.update() or epoch_ends):
        shown = {"loss": history.steps["loss"][-1]}
        if history.epochs["step"]:  # none where an error ended the first step before its evaluation
            shown |= {name: history.epochs[name][-1] for name in _shown(solver)}
        bar.set_postfix(shown, refresh=epoch_ends and live())


def _measured(solver: Solver, say: Callable[[str], object]) -> bool:
    """Count the epoch, evaluate and save where that is due after a step; return whether an epoch ended."""
    number, history = solver.step, solver.history
    epoch_ends = solver._position == solver.steps_per_epoch
    if epoch_ends:
        solver.epoch += 1
        solver._position, solver._order = 0, None
        if solver._rated:
            solver.optimizer.learning_rate *= solver.lr_decay
    if number == 1 or number == solver._end or epoch_ends:
        solver._evaluate()
        if solver.verbose:
            say(f"(Epoch {solver.epoch} / {solver._epochs}) {_figures(solver)}")
    if epoch_ends:
        if hasattr(solver.schedule, "observe"):
            solver.schedule.observe(history.epochs[solver.monitor][-1])
        for callback in solver.callbacks:
            callback.on_epoch_end(solver)
        if solver.patience is not None and solver._waited >= solver.patience:
            solver.stop()
            if solver.verbose:
                say(f"No better {solver.monitor} in {solver._waited} epochs: training ends after epoch {solver.epoch}.")
    solver._saver.due(solver)
    return epoch_ends


def _shown(solver: Solver) -> tuple[str, str]:
    return ("train_loss", "val_loss") if solver.classes is None else ("train_acc", "val_acc")


def _figures(solver: Solver) -> str:
    """Return the figures of the last evaluation in the course's words, and those of metrics."""
    last = {name: column[-1] for name, column in solver.history.epochs.items()}
    train, val = _shown(solver)
    text = f"{train.replace('_', ' ')}: {last[train]:f}; {val}: {last[val]:f}"
    return text + "".join(f"; val_{name}: {last[f'val_{name}']:f}" for name in solver.metrics)


def _norm(gradients: Mapping[str, Any]) -> float:
    """Return the norm of the gradients, without those that have none: the optimizer refuses them by name."""
    try:
        return global_norm(gradients.values())
    except (TypeError, ValueError):
        return global_norm(array for array in gradients.values() if _real(array))


def _real(value: Any) -> bool:
    """Whether something is an array of floats, or what a model of one's own may return for one: a list, a number."""
    return isinstance(value, np.ndarray | np.generic | list | tuple | float) and np.asarray(value).dtype.kind == "f"


def _refuse(solver: Solver, number: int, X: Any, loss: float, gradients: Mapping[str, np.ndarray]) -> None:
    """Raise FloatingPointError that says where the first number that is not finite stands; none was, return."""
    real = {name: np.asarray(value) for name, value in gradients.items() if _real(value)}
    spoilt = [name for name, array in real.items() if not np.isfinite(array).all()]
    if math.isfinite(loss) and not spoilt:  # the norm alone is beyond the largest number
        return
    if math.isfinite(loss):
        bad = real[spoilt[0]]
        count = bad.size - int(np.isfinite(bad).sum())
        what = (f"the gradient of {spoilt[0]} in iteration {number}, whose loss is {loss:g}, has {count} of {bad.size} "
                f"elements that are NaN or infinite")  # fmt: skip
        if len(spoilt) > 1:
            what += f" (so do those of {', '.join(spoilt[1:])})"
    else:
        what = f"the loss of iteration {number} is {loss}"
    values = solver._trained.params
    broken = [name for name, value in values.items() if not np.isfinite(value).all()]
    cause = f"; but {', '.join(broken)} held NaN or infinity before it" if broken else ""
    array = np.asarray(X)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        cause += f"; the batch holds {array.size - int(np.isfinite(array).sum())} numbers that are NaN or infinite"
    lower = f"Try a learning rate below {solver.optimizer.learning_rate:g}, or look" if solver._rated else "Look"
    raise FloatingPointError(
        f"{what}; the parameters are those of the step before{cause}. best_params has the best so far. {lower} for NaN "
        f"in the data; under `with tg.debug():` the first operation that goes wrong is named"
    )


@contextmanager
def _ctrl_c(solver: Solver) -> Iterator[None]:
    """Make the first Ctrl-C end the training after the step; the second raises KeyboardInterrupt at once."""

    def handler(signum: int, frame: Any) -> None:
        if solver.interrupted:
            raise KeyboardInterrupt
        solver.interrupted = solver._stopping = True

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # elsewhere signals do not arrive, and a handler of the user's stays
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _quiet() -> Any:
    """Return a block without NumPy's warnings of overflow and the like: what they warn of ends the training itself."""
    quiet: dict[str, Any] = {kind: "ignore" for kind, way in np.geterr().items() if way == "warn"}
    return np.errstate(**quiet)


def _bar(solver: Solver) -> Any:
    """Return a context manager that gives a progress bar, or None when none is wanted."""
    if not (solver.verbose and live() if solver.progress is None else solver.progress):
        return nullcontext()
    from tqdm.auto import tqdm  # imported here: only a bar needs it

    # A log keeps every state of the bar that is drawn: there the first and the last are enough.
    often = 0.1 if live() else 60.0
    return tqdm(total=solver._end, initial=solver.step, unit="step", dynamic_ncols=True, mininterval=often)


def live() -> bool:
    """Whether somebody sees the bar move: in a terminal, or in a notebook that has the parts for one."""
    return sys.stderr.isatty() or ("ipykernel" in sys.modules and find_spec("ipywidgets") is not None)

"""What can be measured of a network: its layers on a batch, the steps of its weights, and which classes it confuses."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.backward import gradients
from ..engine.tensor import Tensor, constant
from ..models.trained import in_mode
from ..nn.losses import SoftmaxLoss
from ..nn.module import Module
from ..nn.state import Moving
from ..optim import global_norm
from .callbacks import Callback

if TYPE_CHECKING:
    import numpy.typing as npt

    from .solver import Solver

_RELUS = ("relu", "affine_relu")


@dataclass(frozen=True)
class LayerStatistics:
    """One layer on one batch.

    Attributes
    ----------
    name, kind : str
        Path and class of the module.
    values : ndarray, shape (N, ...)
        What it returned.
    gradients : ndarray or None
        Of the loss with respect to these values; None where nothing below is trained.
    rectified : bool
        Whether a relu made the values.
    """

    name: str
    kind: str
    values: np.ndarray
    gradients: np.ndarray | None
    rectified: bool

    @property
    def zeros(self) -> float:
        """Share of the values that are exactly 0."""
        return float(np.mean(self.values == 0.0))

    @property
    def dead(self) -> float:
        """Share of the units that are 0 for each example of the batch."""
        return float(np.mean((self.values == 0.0).all(axis=0)))

    def __repr__(self) -> str:
        text = f"{self.name} ({self.kind}): values {self.values.mean():.3g} ± {self.values.std():.3g}"
        if self.gradients is not None:
            text += f", gradients {self.gradients.mean():.3g} ± {self.gradients.std():.3g}"
        return f"{text}, {self.dead:.0%} of the units dead" if self.rectified else text


def layer_statistics(model: Module, X: npt.ArrayLike, y: npt.ArrayLike, criterion: Any = None) -> list[LayerStatistics]:
    """Run a batch forward and backward in training mode, and return what each innermost layer made of it.

    The model is left as it was: running statistics, generators, gradients and mode.

    Parameters
    ----------
    model : Module
        With `criterion`, any; else one that has ``loss_tensor`` or is a classifier for softmax's loss.
    X, y : array
        A batch and its labels.
    criterion : callable, optional
        ``criterion(scores, y)`` returns the loss.

    Returns
    -------
    list of LayerStatistics
        In the order in which the layers ran; a layer that runs twice is there twice.

    Raises
    ------
    TypeError
        If `model` is no module.
    """
    if not isinstance(model, Module):
        raise TypeError(f"layer_statistics: given {type(model).__name__}, expected a tinygrad_fc.nn.Module.")
    before, seen = Moving([model]), []
    X = np.asarray(X)
    with contextlib.ExitStack() as stack:
        stack.enter_context(in_mode(model, training=True))
        stack.callback(before.put_back)
        seen = stack.enter_context(_watched(model))
        if criterion is None and hasattr(model, "loss_tensor"):
            loss: Any = model.loss_tensor(X, y)
        else:
            dtype = next((parameter.dtype for parameter in model.parameters()), X.dtype)
            loss = (criterion or SoftmaxLoss())(model(constant(X.astype(dtype, copy=False), "X")), y)
        wanted = [out for _, _, out in seen if out.requires_grad]
        found = dict(zip(map(id, wanted), gradients(loss, wanted), strict=True)) if wanted else {}
    rows = []
    for name, module, out in seen:
        d = found.get(id(out))
        relu = getattr(getattr(out.node, "op", None), "name", "") in _RELUS
        rows.append(LayerStatistics(name, type(module).__name__, out.data, None if d is None else d.data, relu))
    return rows


@contextlib.contextmanager
def _watched(model: Module) -> Iterator[list[tuple[str, Module, Tensor]]]:
    """Note what the innermost modules return: an attribute of each stands in for its `forward` meanwhile."""
    seen: list[tuple[str, Module, Tensor]] = []
    inner = [(name, module) for name, module in model.named_modules()
             if len(list(module.named_modules())) == 1 and module is not getattr(model, "criterion", None)]  # fmt: skip

    def noting(name: str, module: Module) -> Any:
        forward = module.forward

        def noted(*args: Any, **kwargs: Any) -> Any:
            out = forward(*args, **kwargs)
            if isinstance(out, Tensor):
                seen.append((name or type(module).__name__, module, out))
            return out

        return noted

    try:
        for name, module in inner:
            vars(module)["forward"] = noting(name, module)
        yield seen
    finally:
        for _, module in inner:
            vars(module).pop("forward", None)


class UpdateRatios(Callback):
    """Records, every so many steps, how far a step moves each parameter: norm of the update over norm of the parameter.

    A ratio near 1e-3 is what a well-chosen learning rate gives (Karpathy, course notes of CS231n, "Neural Networks
    Part 3").

    Parameters
    ----------
    every : int
        Steps between two records, at least 2: one step is copied before each.

    Attributes
    ----------
    steps : list of int
        The steps that were recorded.
    ratios : dict of str to list of float
        One entry for each of these steps; NaN where the parameter was 0.
    """

    def __init__(self, every: int = 100) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 2:
            raise ValueError(f"UpdateRatios: every={every!r}, expected an integer of at least 2")
        self.every = every
        self.steps: list[int] = []
        self.ratios: dict[str, list[float]] = {}
        self._before: dict[str, np.ndarray] = {}

    def on_step_end(self, solver: Solver) -> None:
        """Keep the parameters before a step to be recorded, and compare them after it."""
        params: Mapping[str, np.ndarray] = solver.params
        if solver.step % self.every == 0 and self._before:
            self.steps.append(solver.step)
            for name, value in params.items():
                before = self._before[name]
                size = global_norm([before])
                moved = global_norm([np.subtract(value, before, out=before)])
                self.ratios.setdefault(name, []).append(moved / size if size else math.nan)
            self._before = {}
        elif solver.step % self.every == self.every - 1:
            self._before = {name: np.array(value) for name, value in params.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what was recorded, and the copy that waits for the next step."""
        return {"steps": list(self.steps), "ratios": {name: list(column) for name, column in self.ratios.items()},
                "before": {name: before.copy() for name, before in self._before.items()}}  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        steps, before = list(state["steps"]), {name: np.array(value) for name, value in state["before"].items()}
        ratios = {name: list(column) for name, column in state["ratios"].items()}
        self.steps, self.ratios, self._before = steps, ratios, before


def confusion_matrix(y: npt.ArrayLike, predicted: npt.ArrayLike, classes: int | None = None) -> np.ndarray:
    """Count how often each class was taken for each.

    Parameters
    ----------
    y, predicted : array of integers, shape (N,)
        What the samples are, and what they were taken for.
    classes : int, optional
        How many classes there are; by default as many as there are labels.

    Returns
    -------
    ndarray of int64, shape (classes, classes)
        A row for each true class, a column for each prediction.

    Raises
    ------
    ValueError, TypeError
        If these are no labels of one length from 0 to ``classes - 1``.
    """
    truth, guess = np.asarray(y), np.asarray(predicted)
    if truth.ndim != 1 or truth.shape != guess.shape:
        raise ValueError(f"confusion_matrix: given shapes {truth.shape} and {guess.shape}, expected (N,) twice")
    if truth.dtype.kind not in "iu" or guess.dtype.kind not in "iu":
        raise TypeError(
            f"confusion_matrix: given {truth.dtype} and {guess.dtype}, expected integers: scores.argmax(axis=1)"
        )
    highest = max(int(truth.max(initial=-1)), int(guess.max(initial=-1))) + 1
    count = highest if classes is None else classes
    if min(truth.min(initial=0), guess.min(initial=0)) < 0 or highest > count:
        raise ValueError(f"confusion_matrix: labels must lie in 0..{count - 1}, there are some up to {highest - 1}")
    return np.bincount(truth.astype(np.int64) * count + guess.astype(np.int64), minlength=count * count).reshape(
        count, count
    )

"""The learning-rate range test: a short run whose rate grows, to see where learning begins and where it ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..nn.init import Seed, generator
from ..nn.module import Module
from ..nn.state import Moving
from ..optim import Optimizer, Option, Rule, get_rule
from .checks import as_trained, classes_of, count, feeds
from .plain import PerArray

_SMOOTH = 0.9  # of the exponential mean
_DIVERGED = 4.0  # times the lowest smoothed loss


@dataclass(frozen=True)
class RangeTest:
    """What `lr_range_test` found.

    Attributes
    ----------
    rates, losses, smoothed : ndarray, shape (steps,)
        The learning rate and the loss of each step, and an exponential mean of the losses, corrected for its start.
    low, high : float
        The suggested range: from where the smoothed loss has made a tenth of its fall for good, to a third of the rate
        at which it is lowest; three times from end to end at least.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    low: float
    high: float

    def __repr__(self) -> str:
        return f"RangeTest({len(self.rates)} steps; learning rates from {self.low:.2g} to {self.high:.2g})"

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw the losses, the smoothed curve and the range; see `tinygrad_fc.training.plot_history` for `path`."""
        from .plots import plot_range_test

        return plot_range_test(self, path)


def lr_range_test(
    model: Any, data: Mapping[str, Any], update_rule: str | Rule = "sgd", optim_config: Mapping[str, Any] | None = None,
    *, low: float = 1e-6, high: float = 10.0, steps: int = 100, batch_size: int = 100, seed: Seed = None,
    criterion: Any = None,
) -> RangeTest:  # fmt: skip
    """Train for some steps with a learning rate that grows geometrically, and leave the model as it was.

    It ends early where the loss is four times its lowest, or not finite.

    Parameters
    ----------
    model, data, update_rule, optim_config, batch_size, seed, criterion
        As `Solver` takes them. The learning rate of `optim_config` is not used.
    low, high : float
        The first and the last learning rate.
    steps : int
        From one to the other, at least 10.

    Returns
    -------
    RangeTest
        Its ``low`` and ``high`` are the range to look in; ``plot()`` draws it.

    Raises
    ------
    ValueError, TypeError
        For what does not fit, before the model is touched, and where the loss did not fall at any rate.

    Notes
    -----
    Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> model = tg.models.TwoLayerNet(input_dim=64, hidden_dim=32, weight_scale=None, seed=0)
    >>> found = tg.training.lr_range_test(model, tg.data.load_digits(), "adam", seed=0)
    >>> 1e-5 < found.low < found.high < 1.0
    True
    """
    low = Option(1e-6, open_low=True).check("lr_range_test", "low", low)
    high = Option(10.0, low=low, open_low=True).check("lr_range_test", "high", high)
    if count("steps", steps) < 10:
        raise ValueError(f"steps must be at least 10, got {steps}")
    rule, trained = get_rule(update_rule), as_trained(model, criterion)
    if isinstance(data, Mapping):  # nothing is validated: the training samples stand in
        data = {**data, **{f"{name}val": data[f"{name}train"] for name in ("", "X_", "y_") if f"{name}train" in data}}
    train, val = feeds(data, batch_size, True, criterion is not None)
    classes_of(trained, train, val, criterion is not None)
    config = rule.configure({**(optim_config or {}), "learning_rate": low})
    module = getattr(trained, "module", trained)
    kept = {name: np.array(value) for name, value in trained.params.items()}
    moving = Moving([module]) if isinstance(module, Module) else None
    tensors = getattr(trained.params, "tensors", None)
    optimizer: Any = PerArray(trained, rule, config)
    if tensors is not None:
        optimizer = Optimizer({name: t for name, t in tensors.items() if t.requires_grad}, rule, **config)
    draws, rates, losses = generator(seed), np.geomspace(low, high, steps), []
    lowest, mean = math.inf, 0.0
    smoothed: list[float] = []
    try:
        with np.errstate(all="ignore"):
            for step, (X, y) in enumerate(_batches(train, draws, batch_size, steps)):
                loss, gradients = trained.loss(X, y)
                if not math.isfinite(loss):
                    break
                mean = _SMOOTH * mean + (1.0 - _SMOOTH) * float(loss)
                losses.append(float(loss))
                smoothed.append(mean / (1.0 - _SMOOTH ** (step + 1)))
                lowest = min(lowest, smoothed[-1])
                if smoothed[-1] > _DIVERGED * abs(lowest) and step >= 10:
                    break
                optimizer.learning_rate = float(rates[step])
                optimizer.step(gradients)
    finally:
        for name, value in kept.items():
            trained.params[name] = value
        if moving is not None:
            moving.put_back()
    return _found(rates[: len(losses)], np.array(losses), np.array(smoothed))


def _batches(train: Any, draws: Any, size: int, steps: int) -> Any:
    """Yield as many batches as are asked for, epoch after epoch."""
    epoch = done = 0
    while done < steps:
        order = None
        if train.X is not None:
            order = draws.permutation(len(train.X))[: train.steps * min(size, len(train.X))].reshape(train.steps, -1)
        for batch in train.batches(epoch, 0, order):
            if done < steps:
                yield batch
            done += 1
        epoch += 1


def _found(rates: np.ndarray, losses: np.ndarray, smoothed: np.ndarray) -> RangeTest:
    """Find the range in the curve: where its fall has begun, and well before where it is lowest."""
    best = int(smoothed.argmin()) if len(smoothed) else 0
    first = float(np.median(smoothed[: max(3, best // 5)])) if len(smoothed) else 0.0
    fall = first - smoothed[best] if len(smoothed) else 0.0
    if best < 2 or not fall > 0.01 * abs(first):
        raise ValueError(
            f"lr_range_test: the loss fell at none of the first {len(rates)} rates; lower low, or look at the model"
        )
    begun = int(np.flatnonzero(smoothed[: best + 1] > first - 0.1 * fall)[-1]) + 1
    high = float(rates[best]) / 3.0
    return RangeTest(rates, losses, smoothed, min(float(rates[begun]), high / 3.0), high)

"""gradcheck: the gradients of a function against finite differences, with a report."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine.backward import gradients
from ..engine.node import no_grad, recording
from ..engine.tensor import Tensor, tensor


@dataclass(frozen=True, slots=True)
class InputCheck:
    """The comparison for one input.

    Attributes
    ----------
    name : str
        Name of the tensor, or its position.
    shape : tuple of int
        Of the input.
    checked : int
        How many coordinates were differenced.
    error : float
        Largest relative difference: ``|a - n| / max(|a|, |n|)``, coordinate by coordinate. A gradient too small for the
        difference to resolve (below its noise / `tolerance`) is compared relative to that bound.
    worst : tuple of int
        Where the difference is largest.
    analytic, numerical : float
        The two values there.
    tolerance : float
        The largest `error` that holds.
    """

    name: str
    shape: tuple[int, ...]
    checked: int
    error: float
    worst: tuple[int, ...]
    analytic: float
    numerical: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the gradient holds."""
        return self.error <= self.tolerance


@dataclass(frozen=True, slots=True)
class GradcheckReport:
    """What `gradcheck` found: true when every gradient holds; prints as a table.

    Attributes
    ----------
    inputs : tuple of InputCheck
        One for each input.
    """

    inputs: tuple[InputCheck, ...]

    def __bool__(self) -> bool:
        return all(check.holds for check in self.inputs)

    def __str__(self) -> str:
        rows = [("input", "shape", "checked", "error", "verdict", "worst at", "analytic", "numerical")]
        for c in self.inputs:
            size = int(np.prod(c.shape))
            rows.append((
                c.name, "x".join(map(str, c.shape)) or "scalar", f"{c.checked} of {size}", f"{c.error:.2e}",
                "holds" if c.holds else "WRONG", str(list(c.worst)), f"{c.analytic:.6e}", f"{c.numerical:.6e}",
            ))  # fmt: skip
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])

    __repr__ = __str__


def gradcheck(
    f: Callable[..., Tensor],
    *inputs: Any,
    samples: int | None = None,
    h: float | None = None,
    tolerance: float | None = None,
    seed: int = 0,
    progress: bool = False,
) -> GradcheckReport:
    """Compare the gradients of ``f(*inputs)`` with finite differences.

    Every coordinate is moved up and down, in float64 whatever the dtype of the input; the central differences at `h`
    and `h / 2` are extrapolated (Richardson), and where they disagree, as they do across a kink, smaller steps are
    tried. On a kink, any gradient between the slopes of its two sides holds. A result that is no scalar is weighted
    with random numbers first. The inputs are as they were afterwards, also when `f` raises.

    Parameters
    ----------
    f : callable
        Returns a tensor. It may ignore its arguments and close over the inputs, as with the parameters of a network:
        ``gradcheck(lambda *_: model.loss_tensor(X, y), *model.parameters())``.
    *inputs : Tensor or array_like
        Floating point. Tensors that need a gradient are checked where they stand; arrays are made tensors.
    samples : int, optional
        Check that many random coordinates of each input instead of all.
    h : float, optional
        First step, 1e-4 by default, for coordinates up to 1 in size, and in proportion beyond.
    tolerance : float, optional
        Largest error that holds; 1e-6 for float64 inputs and 1e-4 for others, whose gradients are rounded that much.
    seed : int
        For the random weights and coordinates.
    progress : bool
        Show a progress bar.

    Returns
    -------
    GradcheckReport
        True when all gradients hold.

    Raises
    ------
    TypeError
        If an input is not floating point or a tensor without gradient, or `f` returns no tensor that depends on one.
    ValueError
        If there is no input, or the result is not finite.

    Examples
    --------
    >>> import numpy as np, tinygrad_fc as tg
    >>> bool(tg.gradcheck(lambda x: np.exp(x).sum(), np.array([0.0, 1.0])))
    True
    """
    if not inputs:
        raise ValueError("gradcheck: no input is given: gradcheck(f, x, ...).")
    if not callable(f):
        raise TypeError(f"gradcheck: f is {type(f).__name__}, expected a function.")
    if samples is not None and (isinstance(samples, bool) or not isinstance(samples, int | np.integer) or samples < 1):
        raise ValueError(f"gradcheck: samples={samples!r}, expected a positive integer or None for all.")
    for key, number in (("h", h), ("tolerance", tolerance)):
        if number is not None and (not isinstance(number, int | float | np.number) or not 0 < number < math.inf):
            raise ValueError(f"gradcheck: {key}={number!r}, expected a positive number.")
    tensors = [_input(position, value) for position, value in enumerate(inputs)]
    generator = np.random.default_rng(seed)
    with recording():
        out = f(*tensors)
    if not isinstance(out, Tensor):
        raise TypeError(f"gradcheck: f returned {type(out).__name__}, expected a Tensor.")
    if not out.requires_grad:
        raise TypeError("gradcheck: the result of f does not depend on an input that needs a gradient.")
    if not np.isfinite(out.data).all():
        raise ValueError("gradcheck: f is not finite at the inputs, so no difference can be taken.")
    weights = np.ones(()) if out.size == 1 else generator.uniform(0.5, 1.5, out.shape)
    analytic = [d.data for d in gradients([out], tensors, [np.broadcast_to(weights, out.shape).astype(out.dtype)])]

    def value() -> float:
        with no_grad(), np.errstate(all="ignore"):  # a step may leave the domain; then a smaller one is tried
            return float(np.sum(f(*tensors).data * weights, dtype=np.float64))

    picks = [_pick(t, samples, generator) for t in tensors]
    homes = [t._array for t in tensors]
    # Each value of f is off by some rounding errors of its terms; a difference divides that by the step.
    rounding = 20.0 * float(np.finfo(np.float64).eps) * float(np.sum(np.abs(out.data * weights)))
    bar = _bar(sum(map(len, picks)), progress)
    checks = []
    try:
        for t, home in zip(tensors, homes, strict=True):
            t._array = home.astype(np.float64)
        for position, (t, d, indices) in enumerate(zip(tensors, analytic, picks, strict=True)):
            exact = homes[position].dtype == np.float64
            bound = tolerance or (1e-6 if exact else 1e-4)
            ours, theirs, noise = np.empty((3, len(indices)))
            for k, index in enumerate(indices):
                ours[k] = d[index]
                near = (h or 1e-4) * max(1.0, abs(float(t._array[index])))
                theirs[k], noise[k] = _difference(value, t._array, index, near, ours[k], bound, rounding)
                bar.update()
            if not exact:  # the gradient itself is a sum of rounded terms
                noise += 50.0 * float(np.finfo(homes[position].dtype).eps) * np.max(np.abs(ours), initial=0.0)
            checks.append(_compare(t.name or f"input {position}", t.shape, indices, ours, theirs, noise, bound))
    finally:
        for t, home in zip(tensors, homes, strict=True):
            t._array = home
        bar.close()
    return GradcheckReport(tuple(checks))


def _compare(
    name: str, shape: tuple[int, ...], indices: list[tuple[int, ...]], ours: np.ndarray, theirs: np.ndarray,
    noise: np.ndarray, bound: float,
) -> InputCheck:  # fmt: skip
    if not indices:
        return InputCheck(name, shape, 0, 0.0, (), 0.0, 0.0, bound)
    with np.errstate(all="ignore"):
        # Relative to the larger of the two, and to no less than the smallest gradient that the difference can resolve.
        scale = np.maximum(np.maximum(np.abs(ours), np.abs(theirs)), noise / bound)
        errors = np.abs(ours - theirs) / np.where(scale == 0, 1.0, scale)
    errors[~np.isfinite(errors)] = math.inf  # a gradient that is not finite, or no difference that is
    k = int(np.argmax(errors))
    return InputCheck(
        name, shape, len(indices), float(errors[k]), indices[k], float(ours[k]), float(theirs[k]), bound
    )


def _input(position: int, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        if not value.requires_grad or not value.is_leaf:
            raise TypeError(
                f"gradcheck: input {position} must be a leaf made with requires_grad=True, or an array; given "
                f"{'a computed tensor' if value.requires_grad else 'a tensor that needs no gradient'}."
            )
        return value
    array = np.asarray(value)
    if array.dtype.kind != "f":
        raise TypeError(f"gradcheck: input {position} has dtype {array.dtype}, expected floats: 1.0 instead of 1.")
    return tensor(array, requires_grad=True)


def _pick(t: Tensor, samples: int | None, generator: np.random.Generator) -> list[tuple[int, ...]]:
    """Return the coordinates to check: all, or `samples` of them at random."""
    if samples is None or samples >= t.size:
        return list(np.ndindex(t.shape))
    flat = np.sort(generator.choice(t.size, samples, replace=False))
    return [tuple(map(int, index)) for index in zip(*np.unravel_index(flat, t.shape), strict=True)]


def _difference(
    value: Callable[[], float], x: np.ndarray, index: tuple[int, ...], h: float, expected: float, bound: float,
    rounding: float,
) -> tuple[float, float]:  # fmt: skip
    """Return the derivative along one coordinate, and how far it may be off.

    Steps shrink while the two differences of a step disagree; `rounding` is the error of the function's values.
    """
    best, trust, first, step, worst = math.nan, math.inf, h, h, 0.0
    smallest = 1e-3 * abs(float(x[index])) or h
    for attempt in range(12):
        if attempt >= 4 and h < smallest:
            break
        wide, narrow = _central(value, x, index, h), _central(value, x, index, h / 2)
        doubt = abs(wide - narrow)
        if doubt + rounding / h < trust + rounding / step or not math.isfinite(trust):
            best, trust, step = (4 * narrow - wide) / 3, doubt, h
        worst = max(worst, doubt) if math.isfinite(doubt) else math.inf
        if doubt <= 10 * bound * max(abs(narrow), abs(expected)):
            break
        h /= 8
    # Doubts that shrink with the step bound the error; those that do not say nothing about it.
    noise = (trust if trust < worst / 50 else min(trust, 1e-3 * abs(best))) + rounding / step
    if abs(best - expected) <= bound * max(abs(best), abs(expected)) + noise:
        return best, noise
    # On a kink each side has a slope of its own, whose mean the central difference is; a rule may return any between. A
    # bend looks like a kink at one step, but its jump shrinks with the step.
    base = value()
    down, up = ((_shifted(value, x, index, shift) - base) / shift for shift in (-first / 64, first / 64))
    low, high = ((_shifted(value, x, index, shift) - base) / shift for shift in (-first / 512, first / 512))
    slack = 1e-3 * max(abs(down), abs(up))
    kink = slack < abs(up - down) and abs(high - low) > 0.5 * abs(up - down)
    if kink and min(down, up) - slack <= expected <= max(down, up) + slack:
        return expected, noise
    return best, noise


def _central(value: Callable[[], float], x: np.ndarray, index: tuple[int, ...], h: float) -> float:
    old = float(x[index])
    if old + h == old:
        raise ValueError(f"gradcheck: h = {h:g} is lost in the rounding beside {old}: give a larger h.")
    return (_shifted(value, x, index, h) - _shifted(value, x, index, -h)) / ((old + h) - (old - h))


def _shifted(value: Callable[[], float], x: np.ndarray, index: tuple[int, ...], shift: float) -> float:
    """Return the function's value with one coordinate moved; it is back afterwards, also when the function raises."""
    old = x[index].copy()
    try:
        x[index] = old + shift
        return value()
    finally:
        x[index] = old


class _Silent:
    def update(self) -> None:
        pass

    def close(self) -> None:
        pass


def _bar(total: int, progress: bool) -> Any:
    if not progress:
        return _Silent()
    from tqdm.auto import tqdm

    return tqdm(total=total, desc="gradient check", unit=" coordinates")


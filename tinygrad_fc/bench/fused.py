"""Each fused operation beside the same function composed from primitives: what the fusion is worth.

Both forms run forward and backward on the same float32 arrays, in one process and in turn, after their results and
gradients were compared. A fusion that is not faster has no reason to be, so that is a problem, like a wrong result.
"""

from __future__ import annotations

import importlib.metadata
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from ..engine.backward import gradients
from ..engine.op import REGISTRY
from ..engine.operation import Op
from ..engine.tensor import Tensor, constant, tensor
from ..kernels import compiled
from . import measure, session

Arguments = Callable[[np.random.Generator, int, int], tuple[Any, ...]]
Step = Callable[[], list[np.ndarray]]

SHAPES = ((100, 100), (256, 1024))  # examples, features
# Float32 results that differ in the order of their sums are apart by less than 1e-5 of their size.
TOLERANCE = 1e-4
# Where the quartiles of a ratio lie on both sides of 1, as many rounds are added, so often; then the median decides.
EXTRA = 2
# Untimed seconds before each timing: after a product of the other form, OpenBLAS's threads spin for some 25 ms, and the
# scheduler takes as long again to part them from ours (see `workers`).
WARM = 0.1


def _draw(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def _one(rng: np.random.Generator, n: int, d: int) -> tuple[Any, ...]:
    return (_draw(rng, n, d),)


def _layer(rng: np.random.Generator, n: int, d: int, outputs: int = 0) -> tuple[Any, ...]:
    outputs = outputs or d
    return _draw(rng, n, d), _draw(rng, d, outputs) / np.float32(math.sqrt(d)), _draw(rng, outputs)


def _norm(rng: np.random.Generator, n: int, d: int) -> tuple[Any, ...]:
    return _draw(rng, n, d), _draw(rng, d), _draw(rng, d)


def _labelled(rng: np.random.Generator, n: int, d: int) -> tuple[Any, ...]:
    return _draw(rng, n, d), rng.integers(d, size=n)


def _target(rng: np.random.Generator, n: int, d: int) -> tuple[Any, ...]:
    return _draw(rng, n, d), constant(_draw(rng, n, d))


def _probabilities(rng: np.random.Generator, n: int, d: int) -> tuple[Any, ...]:
    target = rng.random((n, d), dtype=np.float32)
    return _draw(rng, n, d), constant(target / target.sum(axis=1, keepdims=True))


# What each operation is called with. Those of one array, which may have options with defaults, need no entry. An array
# gets a gradient where the operation has a rule for it, `constant(array)` gets none.
ARGUMENTS: Mapping[str, Arguments] = {
    "affine": partial(_layer, outputs=10),  # a network's last layer; the hidden ones are affine_relu
    "affine_relu": _layer,
    "batch_norm": _norm,
    "batch_norm_inference": lambda rng, n, d: (*_norm(rng, n, d), _draw(rng, d), _draw(rng, d) ** 2),
    "binary_cross_entropy_with_logits": _probabilities,
    "cross_entropy": _labelled,
    "dropout": lambda rng, n, d: (_draw(rng, n, d), rng.random((n, d)) < 0.5, 0.5),
    "huber_loss": _target,
    "kl_div": _probabilities,
    "l1_loss": _target,
    "l2_penalty": lambda rng, n, d: (_draw(rng, n, d), 0.1),
    "layer_norm": _norm,
    "maxout": lambda rng, n, d: (_draw(rng, n, d), 4),
    "mse_loss": _target,
    "nll_loss": _labelled,
    "softmax_loss": _labelled,
    "svm_loss": _labelled,
}


def arguments_of(op: Op) -> Arguments:
    """Return what makes the arguments of an operation.

    Raises
    ------
    KeyError
        If it takes more than one array and has no entry in `ARGUMENTS`.
    """
    if op.name not in ARGUMENTS and len(op.arguments) - len(op.defaults) == 1 and op.differentiable == op.arguments[:1]:
        return _one
    return ARGUMENTS[op.name]


def select_ops(names: Sequence[str]) -> list[Op]:
    """Look this package's fused operations up by name, sorted; an empty sequence means all of them.

    Raises
    ------
    ValueError
        For an unknown name; lists the names that exist.
    """
    known = {name: op for name, op in sorted(REGISTRY.items()) if op.compose is not None and op.proved}
    for name in names:
        if name not in known:
            raise ValueError(f"unknown fused operation {name!r}; choose from {', '.join(known)}")
    return [op for name, op in known.items() if not names or name in names]


def measure_fused(
    ops: Sequence[Op], pace: session.Pace, shapes: Sequence[tuple[int, int]] = SHAPES
) -> Iterator[dict[str, Any]]:
    """Measure operations at each shape.

    Parameters
    ----------
    ops : sequence of Op
        With `compose`.
    pace : session.Pace
        How long to measure; its seconds are those of an operation at a shape.
    shapes : sequence of (int, int)
        Examples and features.

    Yields
    ------
    dict
        One key of the results: ``environment``, ``fused``. JSON types only.
    """
    numba = importlib.metadata.version("numba") if compiled() is not None else None
    yield {
        "environment": {
            **session.environment([], {}, pace),
            "numba": numba,
            "method": f"One process, both forms in turn, {f'kernels of Numba {numba}' if numba else 'NumPy alone'}; "
            f"medians over the rounds, in brackets the quartiles.",
        }
    }
    rounds = max(pace.rounds, round(pace.seconds / (2 * pace.block)))
    rows = []
    with session.progress(2 * rounds * len(ops) * len(shapes), "fused") as bar:
        for op in ops:
            for shape in shapes:
                bar.set_description(f"{op.name} {shape}")
                rows.append(measure_op(op, shape, rounds, pace.block, bar.update))
    yield {"fused": {"rounds": rounds, "rows": rows}}


def measure_op(
    op: Op, shape: tuple[int, int], rounds: int, block_seconds: float, tick: Callable[[], object] | None = None
) -> dict[str, Any]:
    """Compare both forms of an operation and time them; a ``problem`` says what is wrong or not worth its code."""
    row: dict[str, Any] = {"op": op.name, "shape": list(shape)}
    try:
        steps = _steps(op, shape)
        row["error"] = _error(steps["fused"](), steps["composed"]())
    except Exception as error:  # whatever an operation raises is a result of the benchmark
        return {**row, "problem": f"failed: {type(error).__name__}: {error}"}
    if not row["error"] <= TOLERANCE:
        apart = row.pop("error")
        return {**row, "problem": f"wrong: fused and composed are {apart:.1e} apart, relatively"}
    timers = {name: partial(_time, step) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in timers}
    for turn in range(1 + EXTRA):
        for name, values in measure.interleave(timers, rounds, block_seconds, None if turn else tick).items():
            times[name] += values
        ratio = measure.ratios(times, "fused")["composed"]
        if not ratio.lower <= 1.0 < ratio.upper:
            break
    row.update({name: asdict(measure.Spread.of(values)) for name, values in times.items()})
    row["ratio"], row["rounds"] = asdict(ratio), len(times["fused"])
    if not ratio.median > 1.0:
        row["problem"] = f"not faster: composed takes {ratio.median:.2f} times as long"
    return row


def _steps(op: Op, shape: tuple[int, int]) -> dict[str, Step]:
    """Return a forward and backward pass of both forms, on the same arrays and with the same incoming gradient."""
    rng = np.random.default_rng(0)
    given = arguments_of(op)(rng, *shape)
    keys = op.arguments[: len(given)]
    arguments = [
        tensor(value, requires_grad=True)
        if key in op.differentiable and isinstance(value, np.ndarray) and value.dtype.kind == "f"
        else value
        for key, value in zip(keys, given, strict=True)
    ]
    inputs = [value for value in arguments if isinstance(value, Tensor) and value.requires_grad]
    functions = {"fused": op.record, "composed": op.compose}
    g: list[np.ndarray] = []

    def step(function: Any) -> list[np.ndarray]:
        out = function(*arguments)
        out = out[0] if isinstance(out, tuple) else out
        if not g:
            g.append(np.asarray(rng.standard_normal(out.shape), out.dtype))
        return [out.data, *[d.data for d in gradients(out, inputs, g[0])]]

    return {name: partial(step, function) for name, function in functions.items()}


def _error(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """Return the largest norm of a difference over the norm of what is expected; inf for another shape or dtype."""
    errors = [0.0]
    for a, b in zip(found, expected, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            return math.inf
        size, apart = np.linalg.norm(b.astype(float)), np.linalg.norm(a.astype(float) - b)
        errors.append(float(apart / size if size else apart))
    return float(np.max(errors))  # NaN if any is


def _time(step: Step, repeats: int) -> float:
    warm = time.perf_counter() + WARM
    while True:  # the other form was here before
        step()
        if (start := time.perf_counter()) >= warm:
            break
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats

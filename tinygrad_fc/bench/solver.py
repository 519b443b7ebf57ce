"""What the Solver itself adds to a training step: everything but the model and the update rule.

The course's six-layer network (3072-100x5-10, batches of 100, Adam, float32) trains through a `Solver`, and the time
inside the model, the rule and the parts that record is taken apart. Evaluations are the model's, and are left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any
from unittest.mock import patch

import numpy as np

from ..models import FullyConnectedNet
from ..training import Solver, UpdateRatios, loop
from . import measure, session

STEPS = 100  # of a round
PARTS = ("own", "recording", "pictures")


def measure_solver(pace: session.Pace) -> Iterator[dict[str, Any]]:
    """Measure rounds of training.

    Parameters
    ----------
    pace : session.Pace
        Its rounds are at least so many.

    Yields
    ------
    dict
        One key of the results: ``environment``, ``solver``. JSON types only.
    """
    method = "One process; shares of the time in the model and the rule; medians over the rounds, with the quartiles."
    yield {"environment": {**session.environment([], {}, pace), "method": method}}
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((10_000, 3072), dtype=np.float32), rng.integers(10, size=10_000)
    data: dict[str, np.ndarray] = {"X_train": X, "y_train": y, "X_val": X[:1], "y_val": y[:1]}
    shares: dict[str, list[float]] = {part: [] for part in PARTS}
    steps = []
    with session.progress(pace.rounds + 1, "solver") as bar:
        for number in range(pace.rounds + 1):
            spent = _round(data)
            bar.update()
            if number:  # the first one warms everything up
                base = spent["model"] + spent["rule"]
                steps.append(base / STEPS)
                for part in PARTS:
                    shares[part].append(spent[part] / base)
    found = {part: asdict(measure.Spread.of(values)) for part, values in shares.items()}
    yield {"solver": {"rounds": pace.rounds, "step": asdict(measure.Spread.of(steps)), **found}}


def _round(data: dict[str, np.ndarray]) -> dict[str, float]:
    """Train for an epoch, and return the seconds of each part."""
    spent = dict.fromkeys(("model", "rule", "recording", "pictures", "measuring"), 0.0)

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            before, start = spent["model"], time.perf_counter()
            result = function(*arguments)
            spent[part] += time.perf_counter() - start
            if part == "measuring":
                spent["model"] = before  # the model's time in an evaluation is no step's
            return result

        return run

    network = FullyConnectedNet([100] * 5, 3072, 10, weight_scale=5e-2, seed=0)
    ratios = UpdateRatios()
    solver = Solver(network, data, "adam", num_epochs=1, num_train_samples=1, verbose=False, seed=0, callbacks=[ratios])
    with ExitStack() as stack:
        for owner, name, part in (
            (solver, "_loss", "model"), (solver.optimizer, "step", "rule"), (solver, "_evaluate", "measuring"),
            (loop, "_norm", "recording"), (ratios, "on_step_end", "pictures"),
        ):  # fmt: skip
            stack.enter_context(patch.object(owner, name, timed(part, getattr(owner, name))))
        start = time.perf_counter()
        solver.train()
        total = time.perf_counter() - start
    known = spent["model"] + spent["rule"] + spent["recording"] + spent["pictures"] + spent["measuring"]
    return {**spent, "own": total - known}

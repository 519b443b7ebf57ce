"""A run that is killed again and again, and one that is not: started by test_kill.py in a process of its own.

Everything is imported once; each attempt is a forked child that resumes, trains, and is killed after a delay.
The folder, the number of kills and the seed of the delays are the arguments; a JSON report is printed.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_fc as tg
from tinygrad_fc.training import Solver, checkpoint, state

EPOCHS, EVERY = 40, 3


def parts() -> tuple[Any, dict[str, np.ndarray]]:
    generator = np.random.default_rng(0)
    X, y = generator.standard_normal((200, 12)), generator.integers(0, 3, 200)
    data = {"X_train": X[:160], "y_train": y[:160], "X_val": X[160:], "y_val": y[160:]}
    return tg.models.FullyConnectedNet(
        [16, 12], 12, 3, normalization="batchnorm", dropout_keep_ratio=0.8, seed=1, weight_scale=None
    ), data


def begin(folder: Path | None) -> Solver:
    model, data = parts()
    if folder is not None and folder.exists() and checkpoint.checkpoints(folder):
        return Solver.resume(folder, model, data)
    return Solver(
        model, data, "adam", {"learning_rate": 0.01}, lr_decay=0.97, batch_size=20, num_epochs=EPOCHS, verbose=False,
        num_train_samples=50, seed=2, schedule={"name": "one_cycle", "length": EPOCHS}, checkpoint_dir=folder,
        checkpoint_every=None if folder is None else EVERY,
    )  # fmt: skip


def digest(solver: Solver) -> str:
    """Return a digest of every bit that must be that of the uninterrupted run."""
    found = hashlib.sha256()
    arrays = {**state.weights(solver), **{f"best {name}": a for name, a in solver.best_params.items()}}
    for name, arrays_of in solver.optimizer.state_dict()["state"].items():
        arrays |= {f"{name} {key}": array for key, array in arrays_of.items()}
    for table, columns in solver.history.to_dict().items():
        arrays |= {f"{table} {key}": np.array(column) for key, column in columns.items() if key != "seconds"}
    for name in sorted(arrays):
        found.update(name.encode() + arrays[name].tobytes())
    return found.hexdigest()


def attempt(folder: Path) -> None:
    """Train to the end in a child, and leave the digest beside the checkpoints."""
    warnings.simplefilter("error")  # a checkpoint that was passed over is a failure here
    solver = begin(folder)
    solver.train()
    part = folder / "digest.part"
    part.write_text(digest(solver))
    part.replace(folder / "digest")  # a kill amid writing would leave an empty one


def main() -> None:
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    tg.use_kernels("numpy")
    whole = begin(None)
    started = time.perf_counter()
    whole.train()
    length = time.perf_counter() - started
    expected, delays = digest(whole), np.random.default_rng(seed)
    report: dict[str, Any] = {"kills": 0, "runs": 0, "wrong": [], "left": [], "resumed": []}
    while report["kills"] < kills:
        run = folder / f"run-{report['runs']}"
        while not (run / "digest").exists():
            child = os.fork()
            if not child:
                try:
                    attempt(run)
                except BaseException as error:
                    (folder / "failure").write_text(f"{type(error).__name__}: {error}")
                    os._exit(1)
                os._exit(0)
            # A run with checkpoints takes longer than one without: most delays end in the middle of it.
            time.sleep(delays.uniform(0.0, 0.5) * length)
            done, status = os.waitpid(child, os.WNOHANG)
            if not done:
                if report["kills"] == kills:
                    status = os.waitpid(child, 0)[1]
                else:
                    os.kill(child, signal.SIGKILL)
                    status = os.waitpid(child, 0)[1]
            if os.WIFSIGNALED(status):
                report["kills"] += 1
            elif os.WEXITSTATUS(status):
                print(json.dumps({**report, "failure": (folder / "failure").read_text()}))
                return
            if run.exists():
                good = [checkpoint.read_checkpoint(path)[0] for path in checkpoint.checkpoints(run)]
                report["resumed"].append(max(good, default=0))
        if (run / "digest").read_text() != expected:
            report["wrong"].append(report["runs"])
        report["left"] += sorted(path.name for path in run.iterdir() if path.name.startswith("."))
        report["runs"] += 1
    print(json.dumps(report))


if __name__ == "__main__":
    main()

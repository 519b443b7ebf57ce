"""``python -m tinygrad_fc demo``: the main job on real data, from the images to a checked and drawn network."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .check.gradcheck import gradcheck
from .data import load_digits
from .models import FullyConnectedNet
from .training import Solver, plot_history
from .viz.draw import draw

if TYPE_CHECKING:
    from .check.report import GradcheckReport

# Chosen on the validation part; the seed makes every run the same.
HIDDEN = (200, 100)
LEARNING_RATE = 3e-3
LR_DECAY = 0.95
REG = 1e-3
BATCH = 50
# Coordinates of each parameter that the check differences, and examples in its batch.
COORDINATES, EXAMPLES = 200, 32


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


_positive.__name__ = "positive integer"  # argparse's message names the type


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


_whole.__name__ = "integer of at least 0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser the command's options."""
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="FOLDER",
                        help="where the pictures go (default: out)")  # fmt: skip
    parser.add_argument("--epochs", type=_positive, default=30, metavar="N", help="passes over the data (default: 30)")
    parser.add_argument("--seed", type=_whole, default=0, metavar="N", help="of weights and batches (default: 0)")


def main(arguments: argparse.Namespace) -> int:
    """Train, check, draw, and say what was done; return 1 when a gradient is wrong."""
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"demo: cannot make the folder {arguments.out}: {error.strerror}. Name another: --out FOLDER",
              file=sys.stderr)  # fmt: skip
        return 2
    data = load_digits(dtype=np.float64)
    model = FullyConnectedNet(
        HIDDEN, input_dim=64, num_classes=10, reg=REG, weight_scale=None, dtype=np.float64, seed=arguments.seed
    )
    parts = ", ".join(f"{len(data[f'y_{part}'])} {word}" for part, word in
                      (("train", "to train on"), ("val", "to validate"), ("test", "to test")))  # fmt: skip
    count = sum(p.size for p in model.parameters())
    print(f"Data      the UCI handwritten digits, 8 by 8 pixels: {parts}")
    print(f"Network   64-{'-'.join(map(str, HIDDEN))}-10, {count:,} parameters, float64, softmax loss, Adam\n")

    solver = Solver(
        model, data, update_rule="adam", optim_config={"learning_rate": LEARNING_RATE}, lr_decay=LR_DECAY,
        num_epochs=arguments.epochs, batch_size=BATCH, verbose=False, progress=True, seed=arguments.seed,
    )  # fmt: skip
    started = time.perf_counter()
    solver.train()
    seconds = time.perf_counter() - started
    test = solver.check_accuracy(data["X_test"], data["y_test"])
    print(f"\nTrained   {len(solver.loss_history)} steps in {seconds:.1f} s: {solver.best_val_acc:.4f} of the "
          f"validation images right, {test:.4f} of the test images\n")  # fmt: skip

    started = time.perf_counter()
    report = _check(model, data)
    seconds = time.perf_counter() - started
    print(f"\nGradients of the trained network against central differences, {EXAMPLES} images, "
          f"{seconds:.1f} s:\n\n{report}\n")  # fmt: skip

    graph, curves = arguments.out / "graph.svg", arguments.out / "training.png"
    batch = data["X_train"][:EXAMPLES], data["y_train"][:EXAMPLES]
    written = []
    for what, path, make in (
        ("Graph", graph, lambda: draw(model.loss_tensor(*batch), graph)),
        ("Curves", curves, lambda: plot_history(solver, curves, "FullyConnectedNet on the handwritten digits")),
    ):
        try:
            make()
            written.append(f"{what:9s} {path}")
        except (RuntimeError, ModuleNotFoundError, OSError) as error:
            print(f"{what} not drawn: {error}", file=sys.stderr)
    print("\n".join(written))
    if not report:
        print("A gradient is WRONG: see the table.", file=sys.stderr)
    return 0 if report and len(written) == 2 else 1


def _check(model: FullyConnectedNet, data: dict[str, np.ndarray]) -> GradcheckReport:
    X, y = data["X_train"][:EXAMPLES], data["y_train"][:EXAMPLES]
    return gradcheck(model, X, y, samples=COORDINATES, progress=sys.stderr.isatty())

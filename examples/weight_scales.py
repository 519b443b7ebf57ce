"""Train a deep network from initial weights of many sizes, with and without batch normalization, and plot both.

    python examples/weight_scales.py [digits|cifar10] [--scales 20] [--epochs 10] [--out weight_scales.svg]

The experiment is that of the notebook BatchNormalization of Stanford's CS231n (assignment 2), with five hidden layers
of 100 units: 1,000 training images, Adam at a learning rate of 1e-3, batches of 50. CIFAR-10 is read from where
`tinygrad_fc.data.load_cifar10` looks; where nothing is found it is downloaded.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import tinygrad_fc as tg

KINDS = {"batchnorm": "with batch normalization", None: "without"}
COLOURS = {"batchnorm": "#2e7d4f", None: "#b9770e"}


def load(name: str, train: int = 1000) -> dict[str, np.ndarray]:
    """Return `train` images to train with and up to 1,000 to validate, as vectors less the mean of the former."""
    if name == "cifar10":
        try:
            return tg.data.load_cifar10(num_training=train, flatten=True)
        except FileNotFoundError:
            return tg.data.load_cifar10(tg.data.fetch_cifar10(), num_training=train, flatten=True)
    data = tg.data.load_digits()
    x, mean = data["X_train"][:train], data["X_train"][:train].mean(axis=0)
    x_val = data["X_val"] - mean
    return {"X_train": x - mean, "y_train": data["y_train"][:train], "X_val": x_val, "y_val": data["y_val"]}


def train(data: dict[str, np.ndarray], normalization: str | None, scale: float, epochs: int) -> tuple[float, ...]:
    """Train one network; return its best validation and training accuracies and the mean of its last ten losses."""
    model = tg.models.FullyConnectedNet(
        [100] * 5, input_dim=data["X_train"].shape[1], weight_scale=scale, normalization=normalization, seed=0
    )
    solver = tg.training.Solver(
        model, data, update_rule="adam", optim_config={"learning_rate": 1e-3}, batch_size=50, num_epochs=epochs,
        verbose=False, seed=0,
    )  # fmt: skip
    solver.train()
    return max(solver.val_acc_history), max(solver.train_acc_history), float(np.mean(solver.loss_history[-10:]))


def sweep(data: dict[str, np.ndarray], scales: np.ndarray, epochs: int = 10) -> dict[str | None, np.ndarray]:
    """Return for each kind of network an array (scales, 3): what `train` returns, for each size of initial weights."""
    return {kind: np.array([train(data, kind, float(scale), epochs) for scale in scales]) for kind in KINDS}


def figure(scales: np.ndarray, results: dict[str | None, np.ndarray], title: str) -> Any:
    """Plot accuracies and final losses against the size of the initial weights."""
    picture = Figure(figsize=(10, 3.6), dpi=120, layout="constrained")
    picture.suptitle(title)
    names = ("best validation accuracy", "best training accuracy", "final training loss")
    for n, (axes, name) in enumerate(zip(picture.subplots(1, 3), names, strict=True)):
        for kind, label in KINDS.items():
            axes.semilogx(scales, results[kind][:, n], "o-", color=COLOURS[kind], markersize=3, label=label)
        axes.set(title=name, xlabel="standard deviation of the initial weights")
        axes.set_ylim(*((0, 1) if n < 2 else (0, 3.5)))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    picture.axes[2].legend(frameon=False, loc="upper left", bbox_to_anchor=(0.0, 0.95))
    return picture


def main() -> None:
    """Run the sweep, print it, and write the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", choices=("digits", "cifar10"), default="digits", help="images (digits)")
    parser.add_argument("--scales", type=int, default=20, help="how many sizes from 1e-4 to 1 (20)")
    parser.add_argument("--epochs", type=int, default=10, help="passes over the training images (10)")
    parser.add_argument("--out", type=Path, default=Path("weight_scales.svg"), help="where the figure goes")
    arguments = parser.parse_args()
    scales = np.logspace(-4, 0, arguments.scales)
    with np.errstate(over="ignore"):  # without normalization, large weights overflow: that is what is to be seen
        results = sweep(load(arguments.data), scales, arguments.epochs)
    print("weight scale   validation accuracy with batch normalization, without")
    for scale, with_it, without in zip(scales, results["batchnorm"][:, 0], results[None][:, 0], strict=True):
        print(f"{scale:12.1e}   {with_it:.3f}  {without:.3f}")
    title = f"{arguments.data}: five hidden layers of 100 units, {arguments.epochs} epochs of Adam"
    figure(scales, results, title).savefig(arguments.out)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()

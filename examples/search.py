"""The search of the course CS231n over two learning rates and three strengths of regularization: six runs, in parallel.

python examples/search.py [digits|cifar10] [--epochs 10] [--jobs 2] [--folder runs/search]

With cifar10 it is the course's: six layers, Adam, batches of 200, on the images in the folder that TINYGRAD_FC_DATA
names (minutes). With digits the same network reads handwritten digits (seconds). With --folder the trials are kept, and
a search that was stopped goes on.
"""

import argparse
import functools

import numpy as np

import tinygrad_fc as tg


def make(name: str, epochs: int, config: dict, seed: int) -> tg.training.Solver:
    """Return a solver of one of the six settings; it runs in a process of its own."""
    data = tg.data.load_digits() if name == "digits" else tg.data.load_cifar10(flatten=True)
    width = data["X_train"].shape[1]
    scale = 5e-2 if name == "cifar10" else None
    model = tg.models.FullyConnectedNet([100] * 5, width, 10, weight_scale=scale, reg=config["reg"], seed=seed)
    return tg.training.Solver(
        model, data, "adam", {"learning_rate": config["learning_rate"]}, batch_size=200, num_epochs=epochs,
        verbose=False, seed=seed,
    )  # fmt: skip


def main() -> None:
    """Search, print the table, and train the best setting once more to test it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", choices=("digits", "cifar10"), default="digits")
    parser.add_argument("--epochs", type=int, default=10, help="of each run (default: 10)")
    parser.add_argument("--jobs", type=int, default=None, help="processes (default: one for each core)")
    parser.add_argument("--folder", default=None, help="where finished trials are kept")
    arguments = parser.parse_args()

    space = {"learning_rate": [1e-3, 2e-3], "reg": [1e-2, 1e-3, 1e-4]}
    build = functools.partial(make, arguments.data, arguments.epochs)
    result = tg.training.search(build, space, jobs=arguments.jobs, folder=arguments.folder)
    print(result)
    best = result.best
    solver = build({name: best[name] for name in space}, best["seed"])
    solver.train()
    assert solver.best_val_acc == best["best_val_acc"]  # a trial repeats
    data = tg.data.load_digits() if arguments.data == "digits" else tg.data.load_cifar10(flatten=True)
    accuracy = np.mean(solver.predict(data["X_test"]).argmax(axis=1) == data["y_test"])
    print(f"test accuracy of trial {best['trial']}: {accuracy:.4f}")


if __name__ == "__main__":
    main()

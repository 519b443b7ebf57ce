"""Train a network of your own design on handwritten digits with Solver, and say how well it reads new ones.

python examples/train_digits.py [--epochs 20]
"""

import argparse

import numpy as np

import tinygrad_fc as tg


def main() -> None:
    """Train, and print the accuracy on the test images, which training never saw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training images (default: 20)")
    arguments = parser.parse_args()

    data = tg.data.load_digits()
    model = tg.models.FullyConnectedNet([64, 32], input_dim=64, num_classes=10, weight_scale=None, reg=1e-4, seed=0)
    solver = tg.training.Solver(
        model,
        data,
        update_rule="adam",
        optim_config={"learning_rate": 3e-3},
        lr_decay=0.95,
        batch_size=50,
        num_epochs=arguments.epochs,
        num_train_samples=None,
        print_every=10**9,
        seed=0,
    )
    solver.train()

    with tg.no_grad():
        guesses = np.argmax(model(data["X_test"]).data, axis=1)
    print(f"test accuracy: {np.mean(guesses == data['y_test']):.3f}")
    first_wrong = np.flatnonzero(guesses != data["y_test"])[:5]
    for index in first_wrong:
        print(f"image {index} is {data['y_test'][index]} and was read as {guesses[index]}")


if __name__ == "__main__":
    main()

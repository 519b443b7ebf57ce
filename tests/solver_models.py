"""What the tests of Solver share: two kinds of model, and short ways to train and compare them."""

import numpy as np

import tinygrad_fc as tg
from tinygrad_fc.training import Solver


def make_model(**arguments):
    return tg.models.TwoLayerNet(
        **{"input_dim": 2, "hidden_dim": 8, "num_classes": 3, "weight_scale": 0.1, "seed": 0, **arguments}
    )


class Linear:
    """A model with nothing but the course's two names, and hand-written gradients of a squared error."""

    def __init__(self):
        self.params = {"W": np.zeros((2, 3)), "b": np.zeros(3)}

    def loss(self, X, y=None):
        scores = X @ self.params["W"] + self.params["b"]
        if y is None:
            return scores
        error = (scores - np.eye(3)[y]) / len(X)
        return float((error**2).sum() * len(X) / 2), {"W": X.T @ error, "b": error.sum(axis=0)}


MODELS = {"net": make_model, "plain": Linear}


def solve(model, data, **arguments):
    options = {"batch_size": 10, "num_epochs": 5, "verbose": False, "seed": 0, "optim_config": {"learning_rate": 0.2}}
    return Solver(model, data, **{**options, **arguments})


def copies(model):
    return {name: np.array(value) for name, value in model.params.items()}


def same(first, second):
    return all(np.array_equal(first[name], second[name]) for name in first)

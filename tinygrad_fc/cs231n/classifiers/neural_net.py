"""TwoLayerNet of the ECE 239AS workbook: weights of one row a unit, and a training loop of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import models
from ...fused.arguments import finite
from ...nn.layers import positive_integer
from ...optim import Optimizer

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["TwoLayerNet"]


class Rows(MutableMapping[str, np.ndarray]):
    """The parameters of a network as live arrays, its weights seen with one row a unit.

    The network underneath keeps its weights as (inputs, outputs), the form that products want. A transpose is a view:
    nothing is copied, and what is written here, the network sees at once.
    """

    def __init__(self, params: models.Params) -> None:
        self._params = params

    def __getitem__(self, name: str) -> np.ndarray:
        return self._params[name].T

    def __setitem__(self, name: str, value: npt.ArrayLike) -> None:
        array, shape = np.asarray(value), self[name].shape
        if array.shape != shape:
            raise ValueError(f"params[{name!r}]: given shape {array.shape}, expected {shape}.")
        self._params[name] = array.T

    def __delitem__(self, name: str) -> None:
        del self._params[name]  # refused there

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)

    def __repr__(self) -> str:
        return f"Rows({', '.join(f'{name} {array.shape}' for name, array in self.items())})"


class TwoLayerNet:
    """affine - relu - affine - softmax, of float64, as the workbook of ECE 239AS has it.

    Weights are drawn from NumPy's global generator, W1 before W2; biases start at 0.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        Features of an example (D), hidden units (H), classes (C).
    std : float
        Standard deviation of the initial weights.

    Attributes
    ----------
    params : mapping
        ``W1`` (H, D), ``b1`` (H,), ``W2`` (C, H), ``b2`` (C,): live arrays, which may be written or assigned.
    model : tinygrad_fc.models.TwoLayerNet
        The network that does the work; ``tg.draw(net.model.loss_tensor(X, y))`` shows its graph.

    Raises
    ------
    ValueError, TypeError
        Naming the argument that is out of range or of a wrong type.
    """

    def __init__(self, input_size: int, hidden_size: int, output_size: int, std: float = 1e-4) -> None:
        D = positive_integer("input_size", input_size)
        H = positive_integer("hidden_size", hidden_size)
        C = positive_integer("output_size", output_size)
        std = finite("std", std)
        self.model = models.TwoLayerNet(D, H, C, weight_scale=0.0, seed=0)
        # It stays for good, so that arrays which were read from `params` stay the network's.
        self._optimizer = Optimizer(self.model.params.tensors, "sgd")
        self._params = Rows(self.model.params)
        self.params["W1"] = std * np.random.randn(H, D)  # noqa: NPY002  # the workbook's seeds are the global one's
        self.params["W2"] = std * np.random.randn(C, H)  # noqa: NPY002  # as above

    @property
    def params(self) -> Rows:
        """The parameters, live. Assigning a mapping writes its values, all or none."""
        return self._params

    @params.setter
    def params(self, values: Mapping[str, npt.ArrayLike]) -> None:
        if not isinstance(values, Mapping):
            raise TypeError(f"params: given {type(values).__name__}, expected a mapping of names to arrays.")
        self.model.params.write({name: np.asarray(value).T for name, value in values.items()})

    def loss(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None, reg: float = 0.0) -> Any:
        """Return scores, or the loss and its gradients.

        Parameters
        ----------
        X : array, shape (N, D)
            A batch.
        y : array of integers, shape (N,), optional
            Labels, in 0..C-1.
        reg : float
            Strength of the regularization: 0.5 * reg * sum(W ** 2) over both weights is added to the loss.

        Returns
        -------
        scores : ndarray, shape (N, C)
            Without `y`.
        loss, grads : float, dict of str to ndarray
            With `y`; each gradient has the name and the shape of its parameter.

        Raises
        ------
        ValueError
            If a shape does not fit, a label is out of range, or `reg` is negative or not finite.
        TypeError
            If the labels are no integers.
        """
        self.model.reg = reg
        if y is None:
            return self.model.loss(X)
        loss, grads = self.model.loss(X, y)
        return loss, {name: d.T for name, d in grads.items()}

    def train(
        self, X: npt.ArrayLike, y: npt.ArrayLike, X_val: npt.ArrayLike, y_val: npt.ArrayLike,
        learning_rate: float = 1e-3, learning_rate_decay: float = 0.95, reg: float = 1e-5, num_iters: int = 100,
        batch_size: int = 200, verbose: bool = False,
    ) -> dict[str, list[float]]:  # fmt: skip
        """Train by stochastic gradient descent.

        Batches are drawn from NumPy's global generator, with replacement. At the first of the ``N // batch_size`` steps
        of each epoch, once it is done, both accuracies are measured, and the learning rate decays.

        Parameters
        ----------
        X, y : array, shapes (N, D) and (N,)
            The training set.
        X_val, y_val : array
            The validation set.
        learning_rate : float
            Step size.
        learning_rate_decay : float
            The learning rate is multiplied by it once an epoch.
        reg : float
            As in `loss`.
        num_iters : int
            How many steps.
        batch_size : int
            Samples in a step; it may exceed N.
        verbose : bool
            Print the loss of every hundredth step.

        Returns
        -------
        dict
            ``loss_history`` (each step's), ``train_acc_history`` (once an epoch, of the batch) and ``val_acc_history``,
            lists of float.

        Raises
        ------
        ValueError, TypeError
            For arguments that do not fit.
        FloatingPointError
            When a loss is not finite; the parameters are those of the step before.
        """
        (X, y), (X_val, y_val) = _samples(X, y, "X", "y"), _samples(X_val, y_val, "X_val", "y_val")
        steps, batch_size = positive_integer("num_iters", num_iters), positive_integer("batch_size", batch_size)
        decay = finite("learning_rate_decay", learning_rate_decay)
        self.model.reg = finite("reg", reg)
        self._optimizer.learning_rate = learning_rate
        stats: dict[str, list[float]] = {"loss_history": [], "train_acc_history": [], "val_acc_history": []}
        per_epoch = max(len(X) // batch_size, 1)
        for step in range(steps):
            rows = np.random.choice(len(X), batch_size)  # noqa: NPY002  # as for the weights
            X_batch, y_batch = X.take(rows, axis=0), y.take(rows)
            loss, grads = self.model.loss(X_batch, y_batch)
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss of iteration {step} is {loss}; the parameters are those of the step before. Try a "
                    f"learning rate below {self._optimizer.learning_rate:g}, or look for NaN in the data."
                )
            stats["loss_history"].append(loss)
            self._optimizer.step(grads)
            if verbose and step % 100 == 0:
                print(f"iteration {step} / {steps}: loss {loss}")
            if step % per_epoch == 0:
                stats["train_acc_history"].append(self._accuracy(X_batch, y_batch))
                stats["val_acc_history"].append(self._accuracy(X_val, y_val))
                self._optimizer.learning_rate *= decay
        return stats

    def predict(self, X: npt.ArrayLike) -> np.ndarray:
        """Return the class with the highest score for each example.

        Parameters
        ----------
        X : array, shape (N, D)
            Examples.

        Returns
        -------
        ndarray of integers, shape (N,)
            In 0..C-1.

        Raises
        ------
        ValueError
            If the shape does not fit.
        """
        labels: np.ndarray = np.argmax(self.model.loss(X), axis=1)
        return labels

    def _accuracy(self, X: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean(self.predict(X) == y))


def _samples(X: npt.ArrayLike, y: npt.ArrayLike, *names: str) -> tuple[np.ndarray, np.ndarray]:
    """Return examples and labels as arrays, or raise when they are not one to one."""
    X, y = np.asarray(X), np.asarray(y)
    if X.ndim < 2 or not len(X) or y.shape != (len(X),):
        raise ValueError(
            f"{names[0]} has shape {X.shape}, {names[1]} has {y.shape}; expected (N, D) and (N,) of one N, at least 1."
        )
    return X, y

"""The two references: the matrix products of a step alone, and the whole step in hand-tuned NumPy.

Neither uses the engine. What is tuned, each measured on its own: every array is allocated once; `np.dot` into a given
array (0.5 µs less per product than `np.matmul`); sums over a batch as a product with a row of ones (2 to 3 times
faster than `np.add.reduce`); the ReLU mask once, multiplied in; no gradient of the input; parameters, gradients and
moments in one flat array each, so that the update is a few passes over blocks that stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from .networks import Array, Problem

# float32 elements. Of 8K to 128K, 64K was the fastest or within 4% of it: smaller blocks pay for the calls, larger
# ones leave a second-level cache of 1 MiB.
BLOCK = 65536


def carve(flat: Array, shapes: Iterable[tuple[int, ...]]) -> list[Array]:
    """Cut a flat array into consecutive views of the given shapes."""
    views, start = [], 0
    for shape in shapes:
        stop = start + math.prod(shape)
        views.append(flat[start:stop].reshape(shape))
        start = stop
    return views


class Products:
    """The matrix products of a step, and nothing else: what no engine can do without.

    Forward: one product a layer. Backward: the gradient of every W, and of the input of every layer but the first.
    """

    def __init__(self, problem: Problem) -> None:
        weights = problem.weights[::2]
        n = problem.network.batch_size
        inputs = [problem.inputs]
        for w in weights:
            inputs.append(np.dot(inputs[-1], w))
        # The gradients have the size of real ones; a product of zeros would take the same time, one of subnormals not.
        grads = [np.full((n, w.shape[1]), 1e-2, dtype=np.float32) for w in weights]
        self.forward = [(x, w, np.empty_like(g)) for x, w, g in zip(inputs, weights, grads, strict=False)]
        self.backward = [(x.T, g, np.empty_like(w)) for x, w, g in zip(inputs, weights, grads, strict=False)]
        for w, g in list(zip(weights, grads, strict=True))[1:]:
            self.backward.append((g, w.T, np.empty((n, len(w)), np.float32)))

    def step(self) -> None:
        """Do the products of one step."""
        dot = np.dot
        for a, b, out in self.forward:
            dot(a, b, out)
        for a, b, out in self.backward:
            dot(a, b, out)


class Update:
    """SGD or Adam in place, in blocks, over flat arrays; also what the peers without an optimizer are given.

    Adam (Kingma & Ba 2015, Algorithm 1) with rearranged constants: the arrays hold m / (1 - beta1) and
    v / (1 - beta2), which saves two passes; the factors, the bias correction and epsilon meet again in two scalars.
    """

    def __init__(self, problem: Problem) -> None:
        network = problem.network
        shapes = [w.shape for w in problem.params]
        self.flat: Array = np.concatenate([w.ravel() for w in problem.params])
        self.grad: Array = np.zeros_like(self.flat)
        self.weights = carve(self.flat, shapes)
        self.grads = carve(self.grad, shapes)
        self.rate = network.learning_rate
        self.step = self.adam if network.rule == "adam" else self.sgd
        self.count = 0
        m, v, scratch = np.zeros_like(self.flat), np.zeros_like(self.flat), np.empty_like(self.flat[:BLOCK])
        starts = range(0, len(self.flat), BLOCK)
        cuts = [slice(start, min(start + BLOCK, len(self.flat))) for start in starts]
        self.blocks = [
            (self.flat[cut], self.grad[cut], m[cut], v[cut], scratch[: cut.stop - cut.start]) for cut in cuts
        ]

    def sgd(self) -> None:
        """Take the learning rate times the gradient off the parameters."""
        for w, g, _, _, s in self.blocks:
            np.multiply(g, self.rate, s)
            np.subtract(w, s, w)

    def adam(self) -> None:
        """Do one step of Adam."""
        self.count += 1
        root = math.sqrt((1 - 0.999) / (1 - 0.999**self.count))
        epsilon = 1e-8 / root
        rate = self.rate * (1 - 0.9) / (1 - 0.9**self.count) / root
        multiply, add, divide = np.multiply, np.add, np.divide
        for w, g, m, v, s in self.blocks:
            multiply(m, 0.9, m)
            add(m, g, m)
            multiply(v, 0.999, v)
            multiply(g, g, s)
            add(v, s, v)
            np.sqrt(v, s)
            add(s, epsilon, s)
            divide(m, s, s)
            multiply(s, rate, s)
            np.subtract(w, s, w)

    def step_from(self, grads: Iterable[Array]) -> None:
        """Step with gradients that an engine returns as arrays of its own."""
        for own, given in zip(self.grads, grads, strict=True):
            own[...] = given
        self.step()


class HandTuned:
    """A whole training step, forward, backward and update, in NumPy written for it."""

    def __init__(self, problem: Problem) -> None:
        self.update = Update(problem)
        weights = self.update.weights[: len(problem.weights)]
        n, classes = problem.network.batch_size, problem.network.sizes[-1]
        outputs = [np.empty((n, w.shape[1]), np.float32) for w in weights[::2]]
        inputs = [problem.inputs, *outputs[:-1]]
        douts = [np.empty_like(out) for out in outputs]
        masks = [np.empty(out.shape, bool) for out in outputs[:-1]]
        dweights = self.update.grads[: len(problem.weights)]
        self.forward = list(zip(inputs[:-1], weights[:-2:2], weights[1:-2:2], outputs[:-1], masks, strict=True))
        self.last = (inputs[-1], weights[-2], weights[-1], outputs[-1])
        # Newest layer first; what a layer sends to the one below comes last, and is None for the first layer.
        down = [None, *((w.T, dx, mask) for w, dx, mask in zip(weights[2::2], douts, masks, strict=False))]
        into = zip(inputs, douts, dweights[::2], dweights[1::2], down, strict=True)
        self.backward = [(x.T, g, dw, db, below) for x, g, dw, db, below in into][::-1]
        self.ones = np.ones(n, np.float32)
        self.column = np.empty((n, 1), np.float32)
        self.dscores = douts[-1]
        # Flat positions of the labels' scores: one index array is quicker than a pair.
        self.picked = np.arange(n) * classes + problem.labels
        self.loss = math.nan

    def step(self) -> None:
        """Train on the batch once."""
        dot, add, maximum, multiply, greater = np.dot, np.add, np.maximum, np.multiply, np.greater
        for x, w, b, out, mask in self.forward:
            dot(x, w, out)
            add(out, b, out)
            maximum(out, 0.0, out=out)
            greater(out, 0.0, mask)
        x, w, b, scores = self.last
        dot(x, w, scores)
        add(scores, b, scores)
        self.softmax(scores)
        for x_t, g, dw, db, below in self.backward:
            dot(x_t, g, dw)
            dot(self.ones, g, db)
            if below is not None:
                w_t, dx, mask = below
                dot(g, w_t, dx)
                multiply(dx, mask, dx)
        self.update.step()

    def softmax(self, scores: Array) -> None:
        """Put the mean cross-entropy into `loss` and its gradient by the scores into `dscores`."""
        column, dscores, n = self.column, self.dscores, len(self.ones)
        np.maximum.reduce(scores, axis=1, keepdims=True, out=column)
        np.subtract(scores, column, scores)
        np.exp(scores, dscores)
        np.add.reduce(dscores, axis=1, keepdims=True, out=column)
        picked = scores.take(self.picked)
        np.multiply(column, float(n), scores[:, :1])
        np.divide(dscores, scores[:, :1], dscores)
        dscores.ravel()[self.picked] -= 1.0 / n
        np.log(column, column)
        self.loss = (float(np.add.reduce(column, axis=None)) - float(np.add.reduce(picked))) / n

"""The hand-tuned step of a network with batch normalization and dropout.

Tuned like `HandTuned`, and besides: sums over the batch of a whole layer as products; the scaling of what dropout
leaves folded into gamma and beta, which are short; one mask for relu and dropout; masks of dropout out of the raw bits
of NumPy's quickest generator, 16 bits a unit.
"""

from __future__ import annotations

import numpy as np

from .handmade import HandTuned, carve
from .networks import EPS, MOMENTUM, Array, Problem


class HandTunedNormalized(HandTuned):
    """A whole training step of such a network, in NumPy written for it.

    Batch normalization and its gradient: Ioffe and Szegedy, Batch Normalization (2015), algorithm 1 and section 3.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        network, count = problem.network, len(problem.weights)
        scales, dscales = self.update.weights[count:], self.update.grads[count:]
        hidden = network.sizes[1:-1]
        flat = np.zeros(6 * sum(hidden), np.float32)
        vectors = carve(flat, [(size,) for size in hidden for _ in range(6)])
        self.norms: list[tuple[Array, ...]] = []
        for i, (_, _, _, out, _) in enumerate(self.forward):
            gamma, beta, dgamma, dbeta = scales[2 * i], scales[2 * i + 1], dscales[2 * i], dscales[2 * i + 1]
            own = vectors[6 * i : 6 * i + 6]
            own[5][...] = 1.0  # running variance
            self.norms.append((np.empty_like(out), np.empty_like(out), gamma, beta, dgamma, dbeta, *own))
        # Newest hidden layer first; each comes after the gradient of its output.
        self.lower = [
            (x_t, g, dw, db, below, norm)
            for (x_t, g, dw, db, below), norm in zip(self.backward[1:], self.norms[::-1], strict=True)
        ]
        self.keep = network.keep_ratio
        self.generator = np.random.SFC64(0)
        self.threshold = round(self.keep * 2**16)

    def step(self) -> None:
        """Train on the batch once."""
        dot, add, subtract, multiply, greater = np.dot, np.add, np.subtract, np.multiply, np.greater
        ones, share, keep, threshold = self.ones, 1.0 / len(self.ones), self.keep, self.threshold
        for (x, w, b, out, mask), norm in zip(self.forward, self.norms, strict=True):
            normal, scratch, gamma, beta, _, _, mean, variance, rate, factor, running_mean, running_variance = norm
            dot(x, w, normal)
            add(normal, b, normal)
            dot(ones, normal, mean)
            multiply(mean, share, mean)
            subtract(normal, mean, normal)
            multiply(normal, normal, scratch)
            dot(ones, scratch, variance)
            multiply(variance, share, variance)
            add(variance, EPS, rate)
            np.sqrt(rate, rate)
            np.divide(1.0, rate, rate)
            multiply(normal, rate, normal)
            multiply(gamma, 1.0 / keep, factor)
            multiply(normal, factor, out)
            add(out, beta * np.float32(1.0 / keep), out)
            greater(out, 0.0, mask)
            if keep < 1.0:
                bits = self.generator.random_raw(-(-out.size // 4)).view(np.uint16)[: out.size].reshape(out.shape)
                np.logical_and(mask, bits < threshold, mask)
            multiply(out, mask, out)
            for running, new in ((running_mean, mean), (running_variance, variance)):
                multiply(running, MOMENTUM, running)
                running += (1.0 - MOMENTUM) * new
        x, w, b, scores = self.last
        dot(x, w, scores)
        add(scores, b, scores)
        self.softmax(scores)
        x_t, g, dw, db, below = self.backward[0]
        self.products(x_t, g, dw, db, below)
        for x_t, g, dw, db, below, norm in self.lower:
            normal, scratch, _, _, dgamma, dbeta, mean, _, rate, factor, _, _ = norm
            dot(ones, g, dbeta)
            multiply(g, normal, scratch)
            dot(ones, scratch, dgamma)
            multiply(normal, dgamma * np.float32(share), normal)
            subtract(g, normal, g)
            multiply(dbeta, share, mean)
            subtract(g, mean, g)
            multiply(factor, rate, factor)
            multiply(g, factor, g)
            multiply(dgamma, 1.0 / keep, dgamma)
            multiply(dbeta, 1.0 / keep, dbeta)
            self.products(x_t, g, dw, db, below)
        self.update.step()

    def products(self, x_t: Array, g: Array, dw: Array, db: Array, below: tuple[Array, Array, Array] | None) -> None:
        """Send a gradient to the weights, the bias and the layer below."""
        np.dot(x_t, g, dw)
        np.dot(self.ones, g, db)
        if below is not None:
            w_t, dx, mask = below
            np.dot(g, w_t, dx)
            np.multiply(dx, mask, dx)

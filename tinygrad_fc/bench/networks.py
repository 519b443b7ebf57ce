"""The networks that are timed, and the one set of weights and data that every engine starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Network:
    """A fully-connected network with ReLU between its layers, softmax loss at the end, and an update rule.

    A hidden layer is affine - [batch normalization] - relu - [dropout], as `models.FullyConnectedNet` has it.

    Parameters
    ----------
    name : str
        What ``--networks`` calls it.
    sizes : tuple of int
        Units of the input, of each hidden layer and of the output.
    batch_size : int
        Samples in the batch, N.
    rule : str
        ``"sgd"`` or ``"adam"`` (beta1 0.9, beta2 0.999, epsilon 1e-8).
    learning_rate : float
        Step size.
    batch_norm : bool
        With batch normalization: `EPS`, and running statistics of which `MOMENTUM` stays at a step.
    keep_ratio : float
        Probability that a hidden unit stays; 1 is no dropout.
    """

    name: str
    sizes: tuple[int, ...]
    batch_size: int
    rule: str
    learning_rate: float
    batch_norm: bool = False
    keep_ratio: float = 1.0

    def __str__(self) -> str:
        parts = ["-".join(map(str, self.sizes)), f"N={self.batch_size}", "SGD" if self.rule == "sgd" else "Adam"]
        parts += ["batch normalization"] * self.batch_norm
        parts += [f"dropout that keeps {self.keep_ratio:g}"] * (self.keep_ratio < 1.0)
        return f"{self.name} ({', '.join(parts)})"

    def __post_init__(self) -> None:
        if self.keep_ratio < 1.0 and not self.batch_norm:
            raise ValueError("keep_ratio: dropout is there for networks with batch normalization only; set batch_norm.")

    def keeping_all(self) -> Network:
        """Return the same network with dropout that keeps everything: engines draw other masks, so compare this one."""
        return replace(self, keep_ratio=1.0)


@dataclass(frozen=True)
class Problem:
    """A network with the data and the first weights of a comparison; engines copy what they change.

    Parameters
    ----------
    network : Network
        What is trained.
    inputs : ndarray of float32, shape (N, D)
        The batch.
    labels : ndarray of int64, shape (N,)
        Class indices.
    weights : tuple of ndarray of float32
        W1, b1, W2, b2, ...; W has shape (inputs, outputs).
    scales : tuple of ndarray of float32
        gamma1, beta1, gamma2, ... of the hidden layers; empty without batch normalization.
    """

    network: Network
    inputs: Array
    labels: NDArray[np.int64]
    weights: tuple[Array, ...]
    scales: tuple[Array, ...] = ()

    @cached_property
    def params(self) -> tuple[Array, ...]:
        """All parameters, those of batch normalization last."""
        return self.weights + self.scales

    @cached_property
    def names(self) -> list[str]:
        """The names of the parameters, as `models.FullyConnectedNet` calls them."""
        pairs = ((self.weights, "W", "b"), (self.scales, "gamma", "beta"))
        return [f"{name}{i + 1}" for arrays, *two in pairs for i in range(len(arrays) // 2) for name in two]

    @cached_property
    def undecided(self) -> frozenset[str]:
        """Names of the parameters that only rounding moves: batch normalization takes the bias before it away again."""
        hidden = len(self.network.sizes) - 2
        return frozenset(f"b{i + 1}" for i in range(hidden)) if self.network.batch_norm else frozenset()


EPS, MOMENTUM = 1e-5, 0.9
NETWORKS = (
    Network("two-layer", (3072, 100, 10), 100, "sgd", 1e-2),
    Network("six-layer", (3072, 100, 100, 100, 100, 100, 10), 100, "adam", 1e-4),
    Network("wide", (3072, 1024, 1024, 1024, 10), 256, "adam", 1e-4),
    Network("small", (64, 32, 32, 10), 32, "adam", 1e-4),
    Network("normalized", (3072, 100, 100, 100, 100, 100, 10), 100, "adam", 1e-4, batch_norm=True, keep_ratio=0.9),
)


def make_problem(network: Network, seed: int = 0) -> Problem:
    """Draw the batch and the first weights of a network (He et al. 2015, eq. 10; zero biases).

    Scales and shifts of a batch normalization lie around 1 and 0, where training would not start, so that a comparison
    sees one that is left out.

    Each input row appears twice, with two different labels. A run times thousands of steps on one batch: without this
    the loss would fall to zero, gradients and second moments would become subnormal numbers, and arithmetic on those
    is many times slower, so that the figures would depend on how long each engine had trained.

    Parameters
    ----------
    network : Network
        Gives the shapes. Of an odd batch, one row has no twin.
    seed : int
        Of the NumPy generator.

    Returns
    -------
    Problem
        Float32 data.
    """
    generator = np.random.default_rng(seed)
    n = network.batch_size
    half = (n + 1) // 2
    classes = network.sizes[-1]
    rows = generator.standard_normal((half, network.sizes[0]), dtype=np.float32)
    labels = generator.integers(0, classes, half)
    weights: list[Array] = []
    for fan_in, fan_out in zip(network.sizes[:-1], network.sizes[1:], strict=True):
        scale = np.float32((2.0 / fan_in) ** 0.5)
        weights.append(generator.standard_normal((fan_in, fan_out), dtype=np.float32) * scale)
        weights.append(np.zeros(fan_out, dtype=np.float32))
    scales: list[Array] = []
    for size in network.sizes[1:-1] if network.batch_norm else ():
        gamma, beta = 0.1 * generator.standard_normal((2, size), dtype=np.float32)
        scales += [gamma + np.float32(1.0), beta]
    return Problem(
        network=network,
        inputs=np.concatenate([rows, rows])[:n],
        labels=np.concatenate([labels, (labels + 1) % classes])[:n].astype(np.int64),
        weights=tuple(weights),
        scales=tuple(scales),
    )


def select_networks(names: Sequence[str]) -> tuple[Network, ...]:
    """Look networks up by name, in the order asked for.

    Parameters
    ----------
    names : sequence of str
        Names out of `NETWORKS`; an empty sequence means all of them.

    Returns
    -------
    tuple of Network
        The networks.

    Raises
    ------
    ValueError
        For an unknown name; lists the names that exist.
    """
    known = {network.name: network for network in NETWORKS}
    for name in names:
        if name not in known:
            raise ValueError(f"unknown network {name!r}; choose from {', '.join(known)}")
    return tuple(known[name] for name in names) or NETWORKS

"""One builder per engine: from a `Problem` to a closure that does one training step.

Every engine is asked for the same mathematics: forward, mean cross-entropy, gradients of every W and b but not of the
input, update; float32, the same first weights, the same batch, already in the engine's own kind of array.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import peers
from .handmade import HandTuned, Products
from .measure import UPDATE_TOLERANCE
from .networks import EPS, MOMENTUM, Array, Problem
from .normalized import HandTunedNormalized
from .runs import Run


@dataclass(frozen=True)
class Engine:
    """An engine that can be timed.

    Parameters
    ----------
    name : str
        What ``--engines`` calls it.
    build : callable
        Takes a `Problem`, returns a `Run`.
    package : str
        The importable name it needs, whose version is printed.
    form : str
        In which form it is timed, and where it is not quite the same work.
    update_tolerance : float
        How far its updates may be from hand-tuned NumPy's, relative to their size.
    traced : bool
        Whether tracemalloc sees its arrays.
    normalizes : bool
        Whether it has batch normalization and dropout.
    """

    name: str
    build: Callable[[Problem], Run]
    package: str
    form: str
    update_tolerance: float = UPDATE_TOLERANCE
    traced: bool = True
    normalizes: bool = True

    def installed(self) -> bool:
        """Whether its package can be imported; looks for it without importing it."""
        return importlib.util.find_spec(self.package) is not None

    def version(self) -> str:
        """Return the version of its package."""
        module = importlib.import_module(self.package)
        return str(getattr(module, "__version__", None) or importlib.metadata.version(self.package))


def build_products(problem: Problem) -> Run:
    """The matrix products alone."""
    return Run(step=Products(problem).step)


def build_numpy(problem: Problem) -> Run:
    """The hand-tuned NumPy step."""
    tuned = (HandTunedNormalized if problem.network.batch_norm else HandTuned)(problem)
    return Run(step=tuned.step, loss=lambda: tuned.loss, weights=lambda: [w.copy() for w in tuned.update.weights])


def _build_ours(
    problem: Problem, *, fused: bool = True, compiled: bool = False, update: bool = True, numba: bool = True
) -> Run:
    from .. import kernels
    from ..models import FullyConnectedNet
    from ..nn import BatchNorm1d
    from ..optim import Optimizer
    from ..replay import compile

    # Our best form, where Numba is installed: compiled loops for arrays of every size.
    kernels.use_kernels("numba" if numba and kernels.compiled() is not None else "numpy")
    network = problem.network
    model = FullyConnectedNet(
        list(network.sizes[1:-1]),
        input_dim=network.sizes[0],
        num_classes=network.sizes[-1],
        dtype=np.float32,
        seed=0,
        fused=fused,
        normalization="batchnorm" if network.batch_norm else None,
        dropout_keep_ratio=network.keep_ratio,
    )
    for _, module in model.named_modules():
        if isinstance(module, BatchNorm1d):
            module.eps, module.momentum = EPS, MOMENTUM
    model.params = dict(zip(problem.names, problem.params, strict=True))
    optimizer = Optimizer(model, network.rule, learning_rate=network.learning_rate)
    inputs, labels = problem.inputs, problem.labels
    last = [0.0]

    def train(x: Array, y: Any) -> Any:
        optimizer.zero_grad()
        loss = model.loss_tensor(x, y)
        loss.backward()
        if update:
            optimizer.step()
        return loss

    run = compile(train) if compiled else train

    def step() -> None:
        last[0] = run(inputs, labels).item()

    def weights() -> list[Array]:
        return [model.params[name].copy() for name in problem.names]

    return Run(step=step, loss=lambda: last[0], weights=weights)


def build_ours(problem: Problem) -> Run:
    """This package, with its fused ops, the step compiled."""
    return _build_ours(problem, compiled=True)


def build_eager(problem: Problem) -> Run:
    """This package, with its fused ops, the step as it is written."""
    return _build_ours(problem)


def build_ours_numpy(problem: Problem) -> Run:
    """This package, as it is without Numba."""
    return _build_ours(problem, numba=False)


def build_ours_gradients(problem: Problem) -> Run:
    """This package, forward and backward, without an update."""
    return _build_ours(problem, update=False)


def build_unfused(problem: Problem) -> Run:
    """This package, with primitives only."""
    return _build_ours(problem, fused=False)


PACKAGE = __name__.partition(".")[0]
ENGINES = (
    Engine("products", build_products, "numpy", "the matrix products alone, into given arrays"),
    Engine("numpy", build_numpy, "numpy", "hand-tuned: given arrays, in place, update in blocks over flat arrays"),
    Engine("ours", build_ours, PACKAGE, "loss_tensor, backward, Optimizer.step under tg.compile"),
    Engine("ours-eager", build_eager, PACKAGE, "the same as it is written; compiled where Numba is installed"),
    Engine("ours-numpy", build_ours_numpy, PACKAGE, "the same without Numba"),
    Engine("ours-unfused", build_unfused, PACKAGE, "the same with primitives only"),
    Engine(
        "torch", peers.build_torch, "torch",
        "eager, functional layers, fused optimizer; running variances over N - 1", traced=False,
    ),
    Engine(
        "torch-compile", peers.build_torch_compile, "torch",
        "forward, loss and backward under torch.compile, fused optimizer", traced=False,
    ),
    Engine("jax", peers.build_jax, "jax", "the whole step under jit, buffers donated", traced=False),
    Engine(
        "mygrad", peers.build_mygrad, "mygrad",
        "its fused softmax loss, memory guarding off, our flat update; no running statistics",
    ),
    Engine(
        "autograd", peers.build_autograd, "autograd",
        "value_and_grad over a list, our flat update; no running statistics",
    ),
    Engine(
        "sklearn",
        peers.build_sklearn,
        "sklearn",
        "MLPClassifier.partial_fit, the batch as one mini-batch, alpha 0; checks its input and binarizes the labels "
        "at every call, and adds Adam's epsilon before the bias correction",
        update_tolerance=3e-2,
        normalizes=False,
    ),
)  # fmt: skip


def select_engines(names: Sequence[str]) -> tuple[Engine, ...]:
    """Look engines up by name, in the table's order.

    Parameters
    ----------
    names : sequence of str
        Names out of `ENGINES`; an empty sequence means all of them. ``products`` and ``numpy`` always come along: the
        ratios are taken to them, and results are compared with the second.

    Returns
    -------
    tuple of Engine
        Installed or not: the caller asks.

    Raises
    ------
    ValueError
        For an unknown name; lists the names that exist.
    """
    known = [engine.name for engine in ENGINES]
    for name in names:
        if name not in known:
            raise ValueError(f"unknown engine {name!r}; choose from {', '.join(known)}")
    wanted = {*names, "products", "numpy"} if names else set(known)
    return tuple(engine for engine in ENGINES if engine.name in wanted)

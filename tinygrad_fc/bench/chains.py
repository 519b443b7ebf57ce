"""Chains of ops: what one small recorded op costs, and how much memory a chain on a big array holds.

A chain for time is ``x = x * w`` on float64 arrays of shape (4,), both tracked; a chain for memory is ``x = x + 1``.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .networks import Network, make_problem
from .runs import Chain, Run

MEMORY_LINKS = 40
MEMORY_SIZE = 1_000_000  # float64 elements of the big array


def operands() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the arrays x and w of the chain; w is near 1, so that 1000 products stay ordinary numbers."""
    generator = np.random.default_rng(0)
    return generator.random(4), 1 + 1e-3 * generator.standard_normal(4)


def floor(links: int) -> Chain:
    """A loop in plain Python and NumPy that keeps the values it needs: what recording has to be compared with."""
    start, w = operands()

    def run() -> list[Any]:
        x, kept = start, []
        for _ in range(links):
            kept.append(x)
            x = x * w
        g, w_grad = np.ones(4), np.zeros(4)
        for value in reversed(kept):
            w_grad = w_grad + g * value
            g = g * w
        return [g, w_grad]

    return run


def ours(links: int) -> Chain:
    """This package: operators on tensors, backward."""
    tg: Any = import_module(__name__.partition(".")[0])
    start, factor = operands()

    def run() -> list[Any]:
        x = first = tg.tensor(start, requires_grad=True)
        w = tg.tensor(factor, requires_grad=True)
        for _ in range(links):
            x = x * w
        x.backward(np.ones(4))
        return [first.grad, w.grad]

    return run


def torch(links: int) -> Chain:
    """PyTorch, eager."""
    torch: Any = import_module("torch")
    start, factor = (torch.tensor(a, requires_grad=True) for a in operands())
    seed = torch.ones(4, dtype=torch.float64)

    def run() -> list[Any]:
        start.grad = factor.grad = None
        x = start
        for _ in range(links):
            x = x * factor
        x.backward(seed)
        return [start.grad, factor.grad]

    return run


def mygrad(links: int) -> Chain:
    """MyGrad, memory guarding off."""
    mg: Any = import_module("mygrad")
    start, factor = operands()

    def run() -> list[Any]:
        with mg.mem_guard_off:
            x = first = mg.tensor(start)
            w = mg.tensor(factor)
            for _ in range(links):
                x = x * w
            x.backward(np.ones(4))
        return [first.grad, w.grad]

    return run


def autograd(links: int) -> Chain:
    """HIPS autograd: one pass forward, one backward."""
    make_vjp: Any = import_module("autograd").make_vjp

    def chain(arguments: Any) -> Any:
        x, w = arguments
        for _ in range(links):
            x = x * w
        return x

    pullback_of, start = make_vjp(chain), operands()

    def run() -> list[Any]:
        pullback, _ = pullback_of(start)
        return list(pullback(np.ones(4)))

    return run


def jax(links: int) -> Chain:
    """JAX outside jit, op by op: under jit nothing is recorded while it runs."""
    jax: Any = import_module("jax")
    jax.config.update("jax_enable_x64", True)  # nothing of float32 is timed in this process after the chain
    x, w = (jax.numpy.array(a) for a in operands())
    seed = jax.numpy.ones(4)

    def chain(x: Any, w: Any) -> Any:
        for _ in range(links):
            x = x * w
        return x

    def run() -> list[Any]:
        _, pullback = jax.vjp(chain, x, w)
        grads = pullback(seed)
        jax.block_until_ready(grads)
        return list(grads)

    return run


CHAINS: dict[str, Callable[[int], Chain]] = {
    "floor": floor,
    "ours": ours,
    "torch": torch,
    "jax": jax,
    "mygrad": mygrad,
    "autograd": autograd,
}


# Memory: a builder returns the tracked start of the chain, and how to differentiate its end. tracemalloc sees what
# NumPy allocates, so engines with allocators of their own (PyTorch, JAX) are not here.


def _ours_start(array: NDArray[np.float64]) -> tuple[Any, Callable[[Any], object]]:
    tg: Any = import_module(__name__.partition(".")[0])
    return tg.tensor(array, requires_grad=True), lambda end: end.backward(np.ones_like(end.data))


def _mygrad_start(array: NDArray[np.float64]) -> tuple[Any, Callable[[Any], object]]:
    mg: Any = import_module("mygrad")
    return mg.tensor(array, copy=False), lambda end: end.backward(np.ones_like(end.data))


MEMORY_STARTS: dict[str, Callable[[NDArray[np.float64]], tuple[Any, Callable[[Any], object]]]] = {
    "ours": _ours_start,
    "mygrad": _mygrad_start,
}

MEMORY_ENGINES = (*MEMORY_STARTS, "autograd")


def chain_memory(name: str) -> dict[str, float]:
    """Peak memory of a chain of `MEMORY_LINKS` additions of 1 on a big array.

    Parameters
    ----------
    name : str
        ``"autograd"`` or a key of `MEMORY_STARTS`.

    Returns
    -------
    dict of str to float
        ``forward`` and ``total`` (with backward): the most that was held at once besides the first array, in arrays.
    """
    array = np.zeros(MEMORY_SIZE)
    if name == "autograd":
        make_vjp: Any = import_module("autograd").make_vjp

        def chain(x: Any) -> Any:
            for _ in range(MEMORY_LINKS):
                x = x + 1
            return x

        pullback_of = make_vjp(chain)
        tracemalloc.start()
        pullback, _ = pullback_of(array)
        forward = tracemalloc.get_traced_memory()[1]
        pullback(np.ones_like(array))
    else:
        start, differentiate = MEMORY_STARTS[name](array)
        tracemalloc.start()
        x = start
        for _ in range(MEMORY_LINKS):
            x = x + 1
        forward = tracemalloc.get_traced_memory()[1]
        differentiate(x)
    total = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"forward": forward / array.nbytes, "total": total / array.nbytes}


def step_memory(build: Callable[..., Run], network: Network) -> float:
    """Peak of the memory that an engine holds during a training step, in bytes.

    Counts weights, moments, gradients, activations and temporaries, but not the problem's own arrays.
    """
    problem = make_problem(network)
    build(problem).step()  # imports, caches and pools that stay are no part of a step
    tracemalloc.start()
    run = build(problem)
    for _ in range(2):
        run.step()
    tracemalloc.reset_peak()
    run.step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return float(peak)

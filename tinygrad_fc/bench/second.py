"""``bench --second``: the Hessian of the two-layer network's loss times a vector, with respect to all weights.

The product costs a few gradients, whatever the number of weights (B. Pearlmutter, "Fast exact multiplication by the
Hessian", Neural Computation 6, 1994). Engines get the same weights, vectors and batch in float32, and are compared
with products written by hand. MyGrad and scikit-learn have no second derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

from . import session, workers
from .engines import select_engines
from .networks import NETWORKS, Array, Problem, make_problem
from .runs import Run

NETWORK = next(network for network in NETWORKS if network.name == "two-layer")
# Float32 rounding leaves products 1e-6 of their size apart, and 1e-5 where it turns a relu on or off. What is left out,
# or a gradient in place of the product, is as large as the product.
TOLERANCE = 1e-4

Product: TypeAlias = Callable[[], list[Any]]  # one array (of the engine's kind) for each parameter, when they are done
Arrays: TypeAlias = tuple[Array, ...]


def make_vectors(problem: Problem, seed: int = 1) -> Arrays:
    """Draw a vector, an array of each parameter's shape."""
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(w.shape, dtype=np.float32) for w in problem.weights)


def by_hand(problem: Problem, vectors: Arrays) -> Product:
    """Pearlmutter's R operator (his section 3) on forward and backward of two layers, written out; R{w} is the vector.

    In the names, ``r`` stands for R and ``d`` for a derivative of the loss.
    """
    x, y = problem.inputs, problem.labels
    w1, b1, w2, b2 = problem.weights
    v1, c1, v2, c2 = vectors
    n = len(y)
    rows = np.arange(n)

    def product() -> list[Array]:
        h = x @ w1
        h += b1
        mask = h > 0
        h *= mask
        rh = x @ v1
        rh += c1
        rh *= mask
        scores, r_scores = h @ w2 + b2, rh @ w2 + h @ v2 + c2
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        rd_scores = p * (r_scores - (p * r_scores).sum(axis=1, keepdims=True))
        rd_scores /= n
        p[rows, y] -= 1
        p /= n  # now the derivative of the loss by the scores
        rdh = rd_scores @ w2.T + p @ v2.T
        rdh *= mask
        return [x.T @ rdh, rdh.sum(axis=0), rh.T @ p + h.T @ rd_scores, rd_scores.sum(axis=0)]

    return product


def ours(problem: Problem, vectors: Arrays) -> Product:
    """``tg.hvp`` of a function of the weights, made of fused operations."""
    from ..fused import affine, affine_relu, softmax_loss
    from ..transforms import hvp

    x, y, weights = problem.inputs, problem.labels, problem.weights

    def loss(w1: Any, b1: Any, w2: Any, b2: Any) -> Any:
        return softmax_loss(affine(affine_relu(x, w1, b1), w2, b2), y)

    return lambda: list(hvp(loss, weights, vectors))


def torch(problem: Problem, vectors: Arrays) -> Product:
    """PyTorch: grad with create_graph, then grad of the gradients times the vector."""
    torch: Any = import_module("torch")
    linear, relu = torch.nn.functional.linear, torch.nn.functional.relu
    # PyTorch's layers keep W as (outputs, inputs).
    params = [torch.tensor(w.T).contiguous().requires_grad_() for w in problem.weights]
    along = [torch.tensor(v.T).contiguous() for v in vectors]
    x, y = torch.tensor(problem.inputs), torch.tensor(problem.labels)
    w1, b1, w2, b2 = params

    def product() -> list[Any]:
        loss = torch.nn.functional.cross_entropy(linear(relu(linear(x, w1, b1)), w2, b2), y)
        slopes = torch.autograd.grad(loss, params, create_graph=True)
        return [found.numpy().T for found in torch.autograd.grad(slopes, params, along)]

    return product


def jax(problem: Problem, vectors: Arrays) -> Product:
    """JAX: the derivative of grad along the vector, forward over backward, under jit."""
    jax: Any = import_module("jax")
    jnp: Any = import_module("jax.numpy")
    params, along = ([jnp.array(array) for array in arrays] for arrays in (problem.weights, vectors))
    x, y = jnp.array(problem.inputs), jnp.array(problem.labels)

    def loss(params: Any, x: Any, y: Any) -> Any:
        w1, b1, w2, b2 = params
        scores = jax.nn.log_softmax(jax.nn.relu(x @ w1 + b1) @ w2 + b2)
        return -jnp.mean(jnp.take_along_axis(scores, y[:, None], axis=1))

    # The batch is an argument: a constant could be computed with when it is compiled.
    run = jax.jit(lambda params, along, x, y: jax.jvp(lambda p: jax.grad(loss)(p, x, y), (params,), (along,))[1])
    return lambda: jax.block_until_ready(run(params, along, x, y))


def autograd(problem: Problem, vectors: Arrays) -> Product:
    """HIPS autograd: make_hvp of a function of a list of arrays."""
    make_hvp: Any = import_module("autograd").make_hvp
    anp: Any = import_module("autograd.numpy")
    x, n, zero = problem.inputs, np.float32(len(problem.labels)), np.float32(0)
    one_hot = np.eye(NETWORK.sizes[-1], dtype=np.float32)[problem.labels]
    params, along = list(problem.weights), list(vectors)

    def loss(params: Any) -> Any:
        w1, b1, w2, b2 = params
        scores = anp.dot(anp.maximum(anp.dot(x, w1) + b1, zero), w2) + b2
        scores = scores - anp.max(scores, axis=1, keepdims=True)
        return (anp.sum(anp.log(anp.sum(anp.exp(scores), axis=1))) - anp.sum(scores * one_hot)) / n

    def product() -> list[Array]:
        return list(make_hvp(loss)(params)[0](along))

    return product


Build: TypeAlias = Callable[[Problem, Arrays], Product]
PRODUCTS: dict[str, tuple[Build, str]] = {
    "numpy": (by_hand, "written by hand: Pearlmutter's R operator"),
    "ours": (ours, "tg.hvp of a function of the weights, fused operations"),
    "torch": (torch, "autograd.grad with create_graph, then autograd.grad along the vector"),
    "jax": (jax, "jvp of grad under jit"),
    "autograd": (autograd, "make_hvp over a list"),
}


def start_products(build: Build) -> list[Array]:
    """Set an engine up in this process, and return its product as arrays."""
    problem = make_problem(NETWORK)
    product = build(problem, make_vectors(problem))
    workers.begin(Run(step=product))
    return [np.asarray(array) for array in product()]


def compare(reference: list[Array], given: list[Array]) -> dict[str, Any]:
    """Return the largest norm of the difference over that of the reference among the parameters, or the ``problem``."""
    expected, got = ([(array.shape, str(array.dtype)) for array in arrays] for arrays in (reference, given))
    if expected != got:
        return {"problem": f"wrong: products of other shapes or dtypes: expected {expected}, got {got}"}
    apart = [
        float(np.linalg.norm(b.astype(float) - a) / np.linalg.norm(a.astype(float)))
        for a, b in zip(reference, given, strict=True)
    ]
    error = float(np.max(apart))
    if error <= TOLERANCE:  # NaN is not
        return {"error": error}
    return {"problem": f"wrong: its products are {error:.1e} from those written by hand, relatively"}


def measure_second(pace: session.Pace) -> Iterator[dict[str, Any]]:
    """Compare the engines that are installed, and time their products in turn.

    Parameters
    ----------
    pace : session.Pace
        How long to measure.

    Yields
    ------
    dict
        One key of the results: ``environment``, ``second``. JSON types only.
    """
    engines = [replace(engine, form=PRODUCTS[engine.name][1]) for engine in select_engines(list(PRODUCTS))
               if engine.name in PRODUCTS]  # fmt: skip
    with ExitStack() as stack:
        crew = {e.name: stack.enter_context(workers.Worker(e.name)) for e in engines if e.installed()}
        yield {"environment": session.environment(engines, crew, pace)}
        given: dict[str, Any] = {
            name: session.attempt(partial(worker.call, start_products, PRODUCTS[name][0]))
            for name, worker in crew.items()
        }
        found: dict[str, dict[str, Any]] = {}
        for name, arrays in given.items():
            if isinstance(arrays, dict):
                found[name] = arrays
            elif isinstance(given["numpy"], dict):
                found[name] = {"problem": "not compared: numpy failed"}
            else:
                found[name] = compare(given["numpy"], arrays)
        done = session.time_agreeing(found, crew, pace, "second order")
    yield {"second": {"network": str(NETWORK), "rounds": done, "engines": found}}

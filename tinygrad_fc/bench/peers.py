"""The peers, each in the best form that its documentation offers for a training step on a CPU.

Modules are imported by name: none of them is needed to import this package, nor known to its type checks.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np

from .handmade import Update
from .networks import Array, Problem
from .runs import Run


def build_torch(problem: Problem) -> Run:
    """PyTorch, eager: functional layers on leaf tensors, the fused optimizer, gradients set to None."""
    torch: Any = import_module("torch")
    linear, relu = torch.nn.functional.linear, torch.nn.functional.relu
    cross_entropy = torch.nn.functional.cross_entropy
    network = problem.network
    # PyTorch's layers keep W as (outputs, inputs).
    params = [torch.tensor(w.T if w.ndim == 2 else w).contiguous().requires_grad_() for w in problem.weights]
    layers = list(zip(params[::2], params[1::2], strict=True))
    rule = torch.optim.Adam if network.rule == "adam" else torch.optim.SGD
    optimizer = rule(params, lr=network.learning_rate, fused=True)
    inputs, labels = torch.tensor(problem.inputs), torch.tensor(problem.labels)
    last: list[Any] = [None]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        h = inputs
        for w, b in layers[:-1]:
            h = relu(linear(h, w, b))
        w, b = layers[-1]
        loss = cross_entropy(linear(h, w, b), labels)
        loss.backward()
        optimizer.step()
        last[0] = loss

    def weights() -> list[Array]:
        return [p.detach().numpy().T.copy() for p in params]

    return Run(step=step, loss=lambda: float(last[0].item()), weights=weights)


def build_jax(problem: Problem) -> Run:
    """JAX: forward, backward and update in one jitted function whose parameters and moments are donated."""
    jax: Any = import_module("jax")
    jnp: Any = import_module("jax.numpy")
    network = problem.network
    rate = network.learning_rate
    params = [jnp.array(w) for w in problem.weights]
    inputs, labels = jnp.array(problem.inputs), jnp.array(problem.labels)

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            x = jax.nn.relu(x @ w + b)
        scores = jax.nn.log_softmax(x @ params[-2] + params[-1])
        return -jnp.mean(jnp.take_along_axis(scores, y[:, None], axis=1))

    def sgd(params: Any, x: Any, y: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params, x, y)
        return loss, [p - rate * g for p, g in zip(params, grads, strict=True)]

    def adam(params: Any, m: Any, v: Any, count: Any, x: Any, y: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params, x, y)
        count = count + 1
        m = [0.9 * a + (1 - 0.9) * g for a, g in zip(m, grads, strict=True)]
        v = [0.999 * a + (1 - 0.999) * (g * g) for a, g in zip(v, grads, strict=True)]
        size, root = rate / (1 - 0.9**count), 1 / jnp.sqrt(1 - 0.999**count)
        params = [p - size * a / (jnp.sqrt(c) * root + 1e-8) for p, a, c in zip(params, m, v, strict=True)]
        return loss, params, m, v, count

    if network.rule == "sgd":
        train: Any = jax.jit(sgd, donate_argnums=(0,))
        state: tuple[Any, ...] = (params,)
    else:
        train = jax.jit(adam, donate_argnums=(0, 1, 2, 3))
        zeros = [[jnp.zeros_like(p) for p in params] for _ in range(2)]
        state = (params, *zeros, jnp.zeros((), jnp.float32))
    last: list[Any] = [None, state]

    def step() -> None:
        last[0], *last[1] = train(*last[1], inputs, labels)

    def loss() -> float:
        jax.block_until_ready(last[1])
        return float(last[0])

    return Run(step=step, loss=loss, weights=lambda: [np.array(p) for p in last[1][0]])


def build_mygrad(problem: Problem) -> Run:
    """MyGrad: its own ReLU and fused softmax loss; it has no optimizer, so it is given the hand-tuned one."""
    mg: Any = import_module("mygrad")
    relu: Any = import_module("mygrad.nnet.activations").relu
    softmax_crossentropy: Any = import_module("mygrad.nnet.losses").softmax_crossentropy
    update = Update(problem)
    params = [mg.tensor(w, copy=False) for w in update.weights]
    layers = list(zip(params[::2], params[1::2], strict=True))
    last = [math.nan]

    def step() -> None:
        # Memory guarding locks every array an op reads; its documentation says to turn it off for speed.
        with mg.mem_guard_off:
            h: Any = problem.inputs
            for w, b in layers[:-1]:
                h = relu(h @ w + b)
            w, b = layers[-1]
            loss = softmax_crossentropy(h @ w + b, problem.labels)
            loss.backward()
        update.step_from([p.grad for p in params])
        for p in params:
            p.null_grad()
        last[0] = loss.item()

    return Run(step=step, loss=lambda: last[0], weights=lambda: [w.copy() for w in update.weights])


def build_autograd(problem: Problem) -> Run:
    """HIPS autograd: value_and_grad of a function of a list of arrays, and the hand-tuned update."""
    value_and_grad: Any = import_module("autograd").value_and_grad
    anp: Any = import_module("autograd.numpy")
    update = Update(problem)
    inputs = problem.inputs
    # A product with the one-hot labels: its backward is quicker than that of indexing, which scatters with add.at.
    one_hot = np.eye(problem.network.sizes[-1], dtype=np.float32)[problem.labels]
    n = np.float32(len(inputs))

    def loss_of(params: Any) -> Any:
        h = inputs
        for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            h = anp.maximum(anp.dot(h, w) + b, np.float32(0))
        scores = anp.dot(h, params[-2]) + params[-1]
        scores = scores - anp.max(scores, axis=1, keepdims=True)
        return (anp.sum(anp.log(anp.sum(anp.exp(scores), axis=1))) - anp.sum(scores * one_hot)) / n

    differentiate = value_and_grad(loss_of)
    last = [math.nan]

    def step() -> None:
        loss, grads = differentiate(update.weights)
        update.step_from(grads)
        last[0] = float(loss)

    return Run(step=step, loss=lambda: last[0], weights=lambda: [w.copy() for w in update.weights])


def build_sklearn(problem: Problem) -> Run:
    """scikit-learn: one call of partial_fit a step."""
    classifier_class: Any = import_module("sklearn.neural_network").MLPClassifier
    network = problem.network
    classifier = classifier_class(
        hidden_layer_sizes=network.sizes[1:-1],
        solver=network.rule,
        alpha=0.0,
        batch_size=network.batch_size,
        learning_rate_init=network.learning_rate,
        momentum=0.0,
        nesterovs_momentum=False,
        shuffle=False,
        random_state=0,
        n_iter_no_change=2**60,
    )
    inputs, labels = problem.inputs, problem.labels
    # The first call makes the weights; they are then replaced in place, and the moments that it left are forgotten.
    classifier.partial_fit(inputs, labels, classes=np.arange(network.sizes[-1]))
    for own, given in zip(classifier.coefs_, problem.weights[::2], strict=True):
        own[...] = given
    for own, given in zip(classifier.intercepts_, problem.weights[1::2], strict=True):
        own[...] = given
    del classifier._optimizer

    def weights() -> list[Array]:
        pairs = zip(classifier.coefs_, classifier.intercepts_, strict=True)
        return [array.copy() for pair in pairs for array in pair]

    return Run(lambda: classifier.partial_fit(inputs, labels), lambda: float(classifier.loss_), weights)

"""The peers, each in the best form that its documentation offers for a training step on a CPU.

Modules are imported by name: none of them is needed to import this package, nor known to its type checks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from .handmade import Update
from .networks import EPS, MOMENTUM, Array, Problem
from .runs import NotAvailableError, Run, Training


def build_torch(problem: Problem) -> Run:
    """PyTorch, eager: functional layers on leaf tensors, the fused optimizer, gradients set to None."""
    return _build_torch(problem, compiled=False)


def build_torch_compile(problem: Problem) -> Run:
    """PyTorch with forward, loss and backward under ``torch.compile``, and the fused optimizer.

    Raises
    ------
    NotAvailableError
        If nothing can be compiled: it needs a C++ compiler.
    """
    return _build_torch(problem, compiled=True)


def _build_torch(problem: Problem, compiled: bool) -> Run:
    torch: Any = import_module("torch")
    inputs, labels = torch.tensor(problem.inputs), torch.tensor(problem.labels)
    return torch_training(problem, (inputs, labels) if compiled else None).on(inputs, labels)


def torch_training(problem: Problem, example: tuple[Any, Any] | None = None) -> Training:
    """PyTorch's steps of `build_torch` on any batch, or with an example of one those of `build_torch_compile`."""
    torch: Any = import_module("torch")
    linear, cross_entropy = torch.nn.functional.linear, torch.nn.functional.cross_entropy
    network = problem.network
    # PyTorch's layers keep W as (outputs, inputs).
    params = [torch.tensor(w.T if w.ndim == 2 else w).contiguous().requires_grad_() for w in problem.params]
    hidden = _torch_hidden(torch, problem, params)
    w, b = params[len(problem.weights) - 2 : len(problem.weights)]
    rule = torch.optim.Adam if network.rule == "adam" else torch.optim.SGD
    optimizer = rule(params, lr=network.learning_rate, fused=True)

    def loss_of(x: Any, y: Any) -> Any:
        return cross_entropy(linear(hidden(x), w, b), y)

    if example is not None:
        loss_of = _torch_compiled(torch, loss_of, *example, params)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss

    return Training(step, lambda: [p.detach().numpy().T.copy() for p in params])


def _torch_compiled(torch: Any, loss_of: Callable[[Any, Any], Any], inputs: Any, labels: Any, params: Any) -> Any:
    """Compile a loss and its backward, which autograd compiles with it; no parameter is changed."""
    loss_of(inputs, labels)  # what fails here is wrong, compiled or not
    function = torch.compile(loss_of)
    try:
        torch.autograd.grad(function(inputs, labels), params)
    except Exception as error:  # whatever a compiler that is missing or does not work raises
        text = str(error).strip().partition("\n")[0]
        raise NotAvailableError(f"torch.compile does not work here: {type(error).__name__}: {text}") from error
    return function


def _torch_hidden(torch: Any, problem: Problem, params: list[Any]) -> Callable[[Any], Any]:
    """Return what the hidden layers of a network make of its input."""
    linear, relu = torch.nn.functional.linear, torch.nn.functional.relu
    batch_norm, dropout = torch.nn.functional.batch_norm, torch.nn.functional.dropout
    count, keep_ratio = len(problem.weights), problem.network.keep_ratio
    layers = list(zip(params[: count - 2 : 2], params[1 : count - 2 : 2], strict=True))

    def plain(h: Any) -> Any:
        for w, b in layers:
            h = relu(linear(h, w, b))
        return h

    if not problem.network.batch_norm:
        return plain
    norms = [
        (torch.zeros(len(b)), torch.ones(len(b)), gamma, beta)
        for (_, b), gamma, beta in zip(layers, params[count::2], params[count + 1 :: 2], strict=True)
    ]

    def normalized(h: Any) -> Any:
        for (w, b), norm in zip(layers, norms, strict=True):
            # PyTorch's momentum is the share of what is new.
            h = relu(batch_norm(linear(h, w, b), *norm, training=True, momentum=1.0 - MOMENTUM, eps=EPS))
            if keep_ratio < 1.0:
                h = dropout(h, 1.0 - keep_ratio)
        return h

    return normalized


def build_jax(problem: Problem) -> Run:
    """JAX: forward, backward and update in one jitted function whose parameters and moments are donated."""
    jnp: Any = import_module("jax.numpy")
    return jax_training(problem).on(jnp.array(problem.inputs), jnp.array(problem.labels))


def jax_training(problem: Problem) -> Training:
    """JAX's steps of `build_jax`, on any batch."""
    jax: Any = import_module("jax")
    jnp: Any = import_module("jax.numpy")
    network = problem.network
    rate = network.learning_rate
    params = [jnp.array(w) for w in problem.params]
    hidden, moving = _jax_hidden(jax, problem)
    count = len(problem.weights)

    def loss_of(params: Any, moving: Any, x: Any, y: Any) -> Any:
        x, moving = hidden(params, moving, x)
        scores = jax.nn.log_softmax(x @ params[count - 2] + params[count - 1])
        return -jnp.mean(jnp.take_along_axis(scores, y[:, None], axis=1)), moving

    differentiate = jax.value_and_grad(loss_of, has_aux=True)

    def sgd(params: Any, moving: Any, x: Any, y: Any) -> Any:
        (loss, moving), grads = differentiate(params, moving, x, y)
        return loss, [p - rate * g for p, g in zip(params, grads, strict=True)], moving

    def adam(params: Any, moving: Any, m: Any, v: Any, count: Any, x: Any, y: Any) -> Any:
        (loss, moving), grads = differentiate(params, moving, x, y)
        count = count + 1
        m = [0.9 * a + (1 - 0.9) * g for a, g in zip(m, grads, strict=True)]
        v = [0.999 * a + (1 - 0.999) * (g * g) for a, g in zip(v, grads, strict=True)]
        size, root = rate / (1 - 0.9**count), 1 / jnp.sqrt(1 - 0.999**count)
        params = [p - size * a / (jnp.sqrt(c) * root + 1e-8) for p, a, c in zip(params, m, v, strict=True)]
        return loss, params, moving, m, v, count

    if network.rule == "sgd":
        train: Any = jax.jit(sgd, donate_argnums=(0, 1))
        state: tuple[Any, ...] = (params, moving)
    else:
        train = jax.jit(adam, donate_argnums=(0, 1, 2, 3, 4))
        zeros = [[jnp.zeros_like(p) for p in params] for _ in range(2)]
        state = (params, moving, *zeros, jnp.zeros((), jnp.float32))
    held = [state]

    def step(x: Any, y: Any) -> Any:
        loss, *held[0] = train(*held[0], x, y)
        return loss

    return Training(step, lambda: [np.array(p) for p in held[0][0]], lambda: jax.block_until_ready(held[0]))


def _jax_hidden(jax: Any, problem: Problem) -> tuple[Callable[[Any, Any, Any], Any], Any]:
    """Return what the hidden layers make of an input, and what moves besides the parameters: statistics and a key."""
    count, keep_ratio, relu = len(problem.weights), problem.network.keep_ratio, jax.nn.relu
    hidden = problem.network.sizes[1:-1]

    def plain(params: Any, moving: Any, x: Any) -> Any:
        for w, b in zip(params[: count - 2 : 2], params[1 : count - 2 : 2], strict=True):
            x = relu(x @ w + b)
        return x, moving

    def normalized(params: Any, moving: Any, x: Any) -> Any:
        statistics, key = moving
        moved = []
        if keep_ratio < 1.0:
            # One draw for all layers takes two thirds of the time of one for each; other generators are no quicker.
            key, mine = jax.random.split(key)
            kept = jax.random.bernoulli(mine, keep_ratio, (len(x), sum(hidden)))
            masks = jax.numpy.split(kept, np.cumsum(hidden)[:-1], axis=1)
        for i, running in enumerate(statistics):
            (w, b), (gamma, beta) = (params[start : start + 2] for start in (2 * i, count + 2 * i))
            x = x @ w + b
            mean, variance = x.mean(axis=0), x.var(axis=0)
            moved.append([MOMENTUM * r + (1 - MOMENTUM) * s for r, s in zip(running, (mean, variance), strict=True)])
            x = relu((x - mean) * (gamma * jax.lax.rsqrt(variance + EPS)) + beta)
            if keep_ratio < 1.0:
                x = jax.numpy.where(masks[i], x / keep_ratio, 0.0)
        return x, (moved, key)

    if not problem.network.batch_norm:
        return plain, ()
    statistics = [[jax.numpy.zeros(size), jax.numpy.ones(size)] for size in hidden]
    return normalized, (statistics, jax.random.key(0))


def build_mygrad(problem: Problem) -> Run:
    """MyGrad: its own relu, batch normalization and fused softmax loss; it has no optimizer, so the hand-tuned one."""
    mg: Any = import_module("mygrad")
    relu: Any = import_module("mygrad.nnet.activations").relu
    softmax_crossentropy: Any = import_module("mygrad.nnet.losses").softmax_crossentropy
    update = Update(problem)
    params = [mg.tensor(w, copy=False) for w in update.weights]
    count = len(problem.weights)
    layers = list(zip(params[:count:2], params[1:count:2], strict=True))
    norms: list[Any] = list(zip(params[count::2], params[count + 1 :: 2], strict=True)) or [None] * len(layers)
    batchnorm: Any = import_module("mygrad.nnet.layers").batchnorm
    mask = _masks(problem)
    last = [math.nan]

    def step() -> None:
        # Memory guarding locks every array an op reads; its documentation says to turn it off for speed.
        with mg.mem_guard_off:
            h: Any = problem.inputs
            for (w, b), norm in zip(layers[:-1], norms, strict=False):
                h = h @ w + b
                h = relu(h if norm is None else batchnorm(h, gamma=norm[0], beta=norm[1], eps=EPS))
                if mask is not None:
                    h = h * mask(h.shape)
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
    n, zero, eps = np.float32(len(inputs)), np.float32(0), np.float32(EPS)
    count, mask = len(problem.weights), _masks(problem)

    def loss_of(params: Any) -> Any:
        h = inputs
        norms: list[Any] = list(zip(params[count::2], params[count + 1 :: 2], strict=True)) or [None] * count
        for w, b, norm in zip(params[: count - 2 : 2], params[1 : count - 2 : 2], norms, strict=False):
            h = anp.dot(h, w) + b
            if norm is not None:
                h = h - anp.sum(h, axis=0) / n
                variance = anp.sum(h * h, axis=0) / n
                h = h * (norm[0] / anp.sqrt(variance + eps)) + norm[1]
            h = anp.maximum(h, zero)
            if mask is not None:
                h = h * mask(h.shape)
        scores = anp.dot(h, params[count - 2]) + params[count - 1]
        scores = scores - anp.max(scores, axis=1, keepdims=True)
        return (anp.sum(anp.log(anp.sum(anp.exp(scores), axis=1))) - anp.sum(scores * one_hot)) / n

    differentiate = value_and_grad(loss_of)
    last = [math.nan]

    def step() -> None:
        loss, grads = differentiate(update.weights)
        update.step_from(grads)
        last[0] = float(loss)

    return Run(step=step, loss=lambda: last[0], weights=lambda: [w.copy() for w in update.weights])


def _masks(problem: Problem) -> Callable[[tuple[int, ...]], Array] | None:
    """Return what draws masks of dropout for an engine that has none: 0, or 1 over the ratio of what stays."""
    keep_ratio = problem.network.keep_ratio
    if keep_ratio == 1.0:
        return None
    generator, scale = np.random.default_rng(0), np.float32(1.0 / keep_ratio)
    return lambda shape: (generator.random(shape, dtype=np.float32) < keep_ratio) * scale


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

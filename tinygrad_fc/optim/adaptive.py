"""The update rules that give each element a step size of its own, from the gradients it has had.

As in `rules`, each is written once, in place, and has a pure form beside it.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .rule import Config, Loop, Numbers, Option, Rule

# --- the rules, in place: from hyperparameters to a loop of kernels/ and its numbers ---------------------------------


def _rmsprop(config: Mapping[str, Any]) -> Numbers:
    return "rmsprop", config["decay_rate"], config["learning_rate"], config["epsilon"]


def _adam(config: Mapping[str, Any]) -> Numbers:
    beta1, beta2, t = config["beta1"], config["beta2"], config["t"]
    # lr * m_hat / (sqrt(v_hat) + eps) with both corrections moved into scalars: multiplied above and below by
    # sqrt(1 - beta2^t), it reads (lr * sqrt(1 - beta2^t) / (1 - beta1^t)) * m / (sqrt(v) + eps * sqrt(1 - beta2^t)).
    root = math.sqrt(1.0 - beta2**t)
    rate = config["learning_rate"] * root / (1.0 - beta1**t)
    return "adam", beta1, beta2, rate, config["epsilon"] * root


def _adagrad(config: Mapping[str, Any]) -> Numbers:
    return "adagrad", config["learning_rate"], config["epsilon"]


def _adadelta(config: Mapping[str, Any]) -> Numbers:
    return "adadelta", config["decay_rate"], config["learning_rate"], config["epsilon"]


def _adamax(config: Mapping[str, Any]) -> Numbers:
    beta1 = config["beta1"]
    rate = config["learning_rate"] / (1.0 - beta1 ** config["t"])
    return "adamax", beta1, config["beta2"], rate, config["epsilon"]


# --- the rules, pure -------------------------------------------------------------------------------------------------


def rmsprop(w: Any, dw: Any, config: Config | None = None) -> tuple[np.ndarray, Config]:
    """RMSProp: steps divided by a running root mean square of the gradient.

    ``cache = decay_rate * cache + (1 - decay_rate) * dw**2``, ``w - learning_rate * dw / (sqrt(cache) + epsilon)``.

    Parameters
    ----------
    w, dw : array_like
        The parameter and its gradient, of one shape.
    config : dict, optional
        ``learning_rate`` (1e-2), ``decay_rate`` (0.99, in [0, 1)), ``epsilon`` (1e-8), ``weight_decay`` (0), ``cache``
        (array like w, zeros at the start).

    Returns
    -------
    next_w : ndarray
        Of w's shape and dtype.
    config : dict
        The dictionary given, with the defaults filled in and the new ``cache``.

    Raises
    ------
    ValueError, TypeError
        As `Rule.apply` says.

    Notes
    -----
    Tieleman and Hinton, "Lecture 6e, rmsprop", Neural Networks for Machine Learning, Coursera, 2012.
    """
    return _RMSPROP.apply(w, dw, config)


def adam(w: Any, dw: Any, config: Config | None = None) -> tuple[np.ndarray, Config]:
    """Adam: running means of the gradient and of its square, both corrected for their start at zero.

    ``t = t + 1``, ``m = beta1 * m + (1 - beta1) * dw``, ``v = beta2 * v + (1 - beta2) * dw**2``,
    ``w - learning_rate * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon)``.

    Parameters
    ----------
    w, dw : array_like
        The parameter and its gradient, of one shape.
    config : dict, optional
        ``learning_rate`` (1e-3), ``beta1`` (0.9) and ``beta2`` (0.999), both in [0, 1), ``epsilon`` (1e-8),
        ``weight_decay`` (0), ``m`` and ``v`` (arrays like w, zeros at the start), ``t`` (steps done so far, 0).

    Returns
    -------
    next_w : ndarray
        Of w's shape and dtype.
    config : dict
        The dictionary given, with the defaults filled in and the new ``m``, ``v`` and ``t``.

    Raises
    ------
    ValueError, TypeError
        As `Rule.apply` says.

    Notes
    -----
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, Algorithm 1.
    """
    return _ADAM.apply(w, dw, config)


def adamw(w: Any, dw: Any, config: Config | None = None) -> tuple[np.ndarray, Config]:
    """Adam with decoupled weight decay: the weights shrink by themselves, not through the averages.

    ``w = (1 - learning_rate * weight_decay) * w``, and then as `adam`. Without ``weight_decay`` it is `adam`.

    Parameters
    ----------
    w, dw : array_like
        The parameter and its gradient, of one shape.
    config : dict, optional
        ``weight_decay`` (0, and 1e-2 is a usual start), and those of `adam`, with its defaults.

    Returns
    -------
    next_w : ndarray
        Of w's shape and dtype.
    config : dict
        The dictionary given, with the defaults filled in and the new ``m``, ``v`` and ``t``.

    Raises
    ------
    ValueError, TypeError
        As `Rule.apply` says.

    Notes
    -----
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, Algorithm 2. There the
    decay is multiplied by a schedule alone, here by the learning rate: ``weight_decay`` is the paper's lambda / alpha.
    """
    return _ADAMW.apply(w, dw, config)


def adagrad(w: Any, dw: Any, config: Config | None = None) -> tuple[np.ndarray, Config]:
    """Adagrad: steps divided by the root of the sum of all squared gradients so far.

    ``cache = cache + dw**2``, ``w - learning_rate * dw / (sqrt(cache) + epsilon)``.

    Parameters
    ----------
    w, dw : array_like
        The parameter and its gradient, of one shape.
    config : dict, optional
        ``learning_rate`` (1e-2), ``epsilon`` (1e-8), ``weight_decay`` (0), ``cache`` (array like w, zeros at the
        start).

    Returns
    -------
    next_w : ndarray
        Of w's shape and dtype.
    config : dict
        The dictionary given, with the defaults filled in and the new ``cache``.

    Raises
    ------
    ValueError, TypeError
        As `Rule.apply` says.

    Notes
    -----
    Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", Journal of
    Machine Learning Research 12, 2011, Figure 1 with a diagonal matrix; their delta is ``epsilon``.
    """
    return _ADAGRAD.apply(w, dw, config)


def adadelta(w: Any, dw: Any, config: Config | None = None) -> tuple[np.ndarray, Config]:
    """Adadelta: steps in the parameter's own unit, from the running size of the steps before.

    ``cache = decay_rate * cache + (1 - decay_rate) * dw**2``,
    ``step = sqrt(delta + epsilon) / sqrt(cache + epsilon) * dw``,
    ``delta = decay_rate * delta + (1 - decay_rate) * step**2``, ``w - learning_rate * step``.

    Parameters
    ----------
    w, dw : array_like
        The parameter and its gradient, of one shape.
    config : dict, optional
        ``learning_rate`` (1, as in the paper, which has none), ``decay_rate`` (0.95, in [0, 1)), ``epsilon`` (1e-6),
        ``weight_decay`` (0), ``cache`` and ``delta`` (arrays like w, zeros at the start).

    Returns
    -------
    next_w : ndarray
        Of w's shape and dtype.
    config : dict
        The dictionary given, with the defaults filled in and the new ``cache`` and ``delta``.

    Raises
    ------
    ValueError, TypeError
        As `Rule.apply` says.

    Notes
    -----
    Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012, Algorithm 1. ``epsilon`` sets the size of the first
    steps.
    """
    return _ADADELTA.apply(w, dw, config)


def adamax(w: Any, dw: Any, config: Config | None = None) -> tuple[np.ndarray, Config]:
    """Adamax: Adam with the largest gradient of late in place of the root mean square.

    ``t = t + 1``, ``m = beta1 * m + (1 - beta1) * dw``, ``u = max(beta2 * u, abs(dw))``,
    ``w - learning_rate / (1 - beta1**t) * m / (u + epsilon)``.

    Parameters
    ----------
    w, dw : array_like
        The parameter and its gradient, of one shape.
    config : dict, optional
        ``learning_rate`` (2e-3), ``beta1`` (0.9) and ``beta2`` (0.999), both in [0, 1), ``epsilon`` (1e-8),
        ``weight_decay`` (0), ``m`` and ``u`` (arrays like w, zeros at the start), ``t`` (steps done so far, 0).

    Returns
    -------
    next_w : ndarray
        Of w's shape and dtype.
    config : dict
        The dictionary given, with the defaults filled in and the new ``m``, ``u`` and ``t``.

    Raises
    ------
    ValueError, TypeError
        As `Rule.apply` says.

    Notes
    -----
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, Algorithm 2. The paper has no ``epsilon``;
    here it keeps 0 / 0 from a parameter whose gradient has been 0 from the start.
    """
    return _ADAMAX.apply(w, dw, config)


_EPSILON = Option(1e-8, open_low=True)
_DECAY_RATE = Option(0.99, high=1.0)
_BETAS = {"beta1": Option(0.9, high=1.0), "beta2": Option(0.999, high=1.0)}
_ADAM_OPTIONS = {"learning_rate": Option(1e-3), **_BETAS, "epsilon": _EPSILON}

_RMSPROP = Rule(
    "rmsprop",
    {"learning_rate": Option(1e-2), "decay_rate": _DECAY_RATE, "epsilon": _EPSILON},
    ("cache",),
    Loop(_rmsprop),
    function=rmsprop,
)
_ADAM = Rule("adam", _ADAM_OPTIONS, ("m", "v"), Loop(_adam), counted=True, function=adam)
_ADAMW = Rule("adamw", _ADAM_OPTIONS, ("m", "v"), Loop(_adam), counted=True, decoupled=True, function=adamw)
_ADAGRAD = Rule(
    "adagrad", {"learning_rate": Option(1e-2), "epsilon": _EPSILON}, ("cache",), Loop(_adagrad), function=adagrad
)
_ADADELTA = Rule(
    "adadelta",
    {"learning_rate": Option(1.0), "decay_rate": Option(0.95, high=1.0), "epsilon": Option(1e-6, open_low=True)},
    ("cache", "delta"),
    Loop(_adadelta),
    function=adadelta,
)
_ADAMAX = Rule(
    "adamax",
    {"learning_rate": Option(2e-3), **_BETAS, "epsilon": _EPSILON},
    ("m", "u"),
    Loop(_adamax),
    counted=True,
    function=adamax,
)

ADAPTIVE = (_RMSPROP, _ADAM, _ADAMW, _ADAGRAD, _ADADELTA, _ADAMAX)

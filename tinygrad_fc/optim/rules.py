"""The update rules: from the gradient of a parameter to its next value.

Each is written once, in place, and has two faces: the optimizer walks its arena with the in-place form, and the pure
form ``rule(w, dw, config) -> (next_w, config)`` copies first and then calls the same code (`Rule.apply`).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..kernels import kernels
from .rule import Config, Option, PureRule, Rule, State, closest

# --- the rules, in place: hyperparameters to scalars; the loops over the arrays are in kernels/ -----------------------


def _update_sgd(w: np.ndarray, dw: np.ndarray, state: State, config: Mapping[str, Any], scratch: np.ndarray) -> None:
    kernels(w).sgd(w, dw, config["learning_rate"], scratch)


def _update_sgd_momentum(
    w: np.ndarray, dw: np.ndarray, state: State, config: Mapping[str, Any], scratch: np.ndarray
) -> None:
    kernels(w).sgd_momentum(w, dw, *state, config["momentum"], config["learning_rate"], scratch)


def _update_rmsprop(
    w: np.ndarray, dw: np.ndarray, state: State, config: Mapping[str, Any], scratch: np.ndarray
) -> None:
    kernels(w).rmsprop(w, dw, *state, config["decay_rate"], config["learning_rate"], config["epsilon"], scratch)


def _update_adam(w: np.ndarray, dw: np.ndarray, state: State, config: Mapping[str, Any], scratch: np.ndarray) -> None:
    beta1, beta2, t = config["beta1"], config["beta2"], config["t"]
    # lr * m_hat / (sqrt(v_hat) + eps) with both corrections moved into scalars: multiplied above and below by
    # sqrt(1 - beta2^t), it reads (lr * sqrt(1 - beta2^t) / (1 - beta1^t)) * m / (sqrt(v) + eps * sqrt(1 - beta2^t)).
    root = math.sqrt(1.0 - beta2**t)
    rate = config["learning_rate"] * root / (1.0 - beta1**t)
    kernels(w).adam(w, dw, *state, beta1, beta2, rate, config["epsilon"] * root, scratch)


# --- the rules, pure -------------------------------------------------------------------------------------------------


def sgd(w: Any, dw: Any, config: Config | None = None) -> tuple[np.ndarray, Config]:
    """Stochastic gradient descent: ``w - learning_rate * dw``.

    Parameters
    ----------
    w, dw : array_like
        The parameter and its gradient, of one shape.
    config : dict, optional
        ``learning_rate`` (1e-2).

    Returns
    -------
    next_w : ndarray
        Of w's shape and dtype.
    config : dict
        The dictionary given, with the defaults filled in.

    Raises
    ------
    ValueError, TypeError
        As `Rule.apply` says.

    Notes
    -----
    Robbins and Monro, "A Stochastic Approximation Method", Annals of Mathematical Statistics 22, 1951.
    """
    return RULES["sgd"].apply(w, dw, config)


def sgd_momentum(w: Any, dw: Any, config: Config | None = None) -> tuple[np.ndarray, Config]:
    """Gradient descent with momentum: ``velocity = momentum * velocity - learning_rate * dw``, ``w + velocity``.

    Parameters
    ----------
    w, dw : array_like
        The parameter and its gradient, of one shape.
    config : dict, optional
        ``learning_rate`` (1e-2), ``momentum`` (0.9, in [0, 1)), ``velocity`` (array like w, zeros at the start).

    Returns
    -------
    next_w : ndarray
        Of w's shape and dtype.
    config : dict
        The dictionary given, with the defaults filled in and the new ``velocity``.

    Raises
    ------
    ValueError, TypeError
        As `Rule.apply` says.

    Notes
    -----
    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964; written as in Sutskever, Martens,
    Dahl and Hinton, "On the importance of initialization and momentum in deep learning", ICML 2013, equations 1 and 2.
    """
    return RULES["sgd_momentum"].apply(w, dw, config)


def rmsprop(w: Any, dw: Any, config: Config | None = None) -> tuple[np.ndarray, Config]:
    """RMSProp: steps divided by a running root mean square of the gradient.

    ``cache = decay_rate * cache + (1 - decay_rate) * dw**2``, ``w - learning_rate * dw / (sqrt(cache) + epsilon)``.

    Parameters
    ----------
    w, dw : array_like
        The parameter and its gradient, of one shape.
    config : dict, optional
        ``learning_rate`` (1e-2), ``decay_rate`` (0.99, in [0, 1)), ``epsilon`` (1e-8), ``cache`` (array like w, zeros
        at the start).

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
    return RULES["rmsprop"].apply(w, dw, config)


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
        ``m`` and ``v`` (arrays like w, zeros at the start), ``t`` (steps done so far, 0).

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
    return RULES["adam"].apply(w, dw, config)


_EPSILON = Option(1e-8, open_low=True)

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("sgd", {"learning_rate": Option(1e-2)}, (), _update_sgd, function=sgd),
        Rule(
            "sgd_momentum",
            {"learning_rate": Option(1e-2), "momentum": Option(0.9, high=1.0)},
            ("velocity",),
            _update_sgd_momentum,
            function=sgd_momentum,
        ),
        Rule(
            "rmsprop",
            {"learning_rate": Option(1e-2), "decay_rate": Option(0.99, high=1.0), "epsilon": _EPSILON},
            ("cache",),
            _update_rmsprop,
            function=rmsprop,
        ),
        Rule(
            "adam",
            {
                "learning_rate": Option(1e-3),
                "beta1": Option(0.9, high=1.0),
                "beta2": Option(0.999, high=1.0),
                "epsilon": _EPSILON,
            },
            ("m", "v"),
            _update_adam,
            counted=True,
            function=adam,
        ),
    )
}
"""The rules by name."""


def get_rule(rule: str | Rule | PureRule) -> Rule:
    """Find an update rule.

    Parameters
    ----------
    rule : str, Rule or callable
        A name of `RULES`, a `Rule` (one of your own, too), or the pure function of a rule in `RULES`.

    Returns
    -------
    Rule
        The rule.

    Raises
    ------
    ValueError
        When the name is unknown; the message lists the known ones.
    TypeError
        When it is none of these.
    """
    if isinstance(rule, Rule):
        return rule
    if isinstance(rule, str):
        if rule in RULES:
            return RULES[rule]
        raise ValueError(f"unknown update rule {rule!r}{closest(rule, RULES)}; the rules are {', '.join(RULES)}")
    for known in RULES.values():
        if known.function is rule:
            return known
    raise TypeError(
        f"an update rule is a name ({', '.join(RULES)}), one of the functions of tinygrad_fc.optim, or a Rule, "
        f"got {rule!r}; declare a rule of your own as Rule(name, options, state, update)"
    )

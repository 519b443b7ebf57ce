"""The update rules: from the gradient of a parameter to its next value.

Each is written once, in place, and has two faces: the optimizer walks its arena with the in-place form, and the pure
form ``rule(w, dw, config) -> (next_w, config)`` copies first and then calls the same code (`Rule.apply`). Those that
divide by averages of the gradient are in `adaptive`. ``weight_decay``, an option of every rule, is `Rule`'s work.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .adaptive import ADAPTIVE
from .rule import Config, Loop, Numbers, Option, PureRule, Rule, Switch, closest

# --- the rules, in place: from hyperparameters to a loop of kernels/ and its numbers ---------------------------------


def _sgd(config: Mapping[str, Any]) -> Numbers:
    return "sgd", config["learning_rate"]


def _sgd_momentum(config: Mapping[str, Any]) -> Numbers:
    return "sgd_nesterov" if config.get("nesterov") else "sgd_momentum", config["momentum"], config["learning_rate"]


def _lion(config: Mapping[str, Any]) -> Numbers:
    return "lion", config["beta1"], config["beta2"], config["learning_rate"]


# --- the rules, pure -------------------------------------------------------------------------------------------------


def sgd(w: Any, dw: Any, config: Config | None = None) -> tuple[np.ndarray, Config]:
    """Stochastic gradient descent: ``w - learning_rate * dw``.

    Parameters
    ----------
    w, dw : array_like
        The parameter and its gradient, of one shape.
    config : dict, optional
        ``learning_rate`` (1e-2), ``weight_decay`` (0).

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

    With ``nesterov`` it ends in ``w + momentum * velocity - learning_rate * dw``: the gradient is then the one at the
    point that the velocity leads to, which is what w holds.

    Parameters
    ----------
    w, dw : array_like
        The parameter and its gradient, of one shape.
    config : dict, optional
        ``learning_rate`` (1e-2), ``momentum`` (0.9, in [0, 1)), ``nesterov`` (False), ``weight_decay`` (0),
        ``velocity`` (array like w, zeros at the start).

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
    Dahl and Hinton, "On the importance of initialization and momentum in deep learning", ICML 2013, equations 1 and 2;
    Nesterov's is their equations 3 and 4, in terms of the point looked ahead to (Bengio, Boulanger-Lewandowski and
    Pascanu, "Advances in optimizing recurrent networks", ICASSP 2013, section 3.5).
    """
    return RULES["sgd_momentum"].apply(w, dw, config)


def lion(w: Any, dw: Any, config: Config | None = None) -> tuple[np.ndarray, Config]:
    """Lion: steps of one size, in the direction that a running mean and the gradient agree on.

    ``w = (1 - learning_rate * weight_decay) * w``, ``w - learning_rate * sign(beta1 * m + (1 - beta1) * dw)``,
    ``m = beta2 * m + (1 - beta2) * dw``; ``sign(0)`` is 0.

    Parameters
    ----------
    w, dw : array_like
        The parameter and its gradient, of one shape.
    config : dict, optional
        ``learning_rate`` (1e-4), ``beta1`` (0.9) and ``beta2`` (0.99), both in [0, 1), ``weight_decay`` (0,
        decoupled), ``m`` (array like w, zeros at the start).

    Returns
    -------
    next_w : ndarray
        Of w's shape and dtype.
    config : dict
        The dictionary given, with the defaults filled in and the new ``m``.

    Raises
    ------
    ValueError, TypeError
        As `Rule.apply` says.

    Notes
    -----
    Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023, Algorithm 2. Learning rates are 3 to 10
    times smaller than Adam's.
    """
    return RULES["lion"].apply(w, dw, config)


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("sgd", {"learning_rate": Option(1e-2)}, (), Loop(_sgd), function=sgd),
        Rule(
            "sgd_momentum",
            {"learning_rate": Option(1e-2), "momentum": Option(0.9, high=1.0)},
            ("velocity",),
            Loop(_sgd_momentum),
            extras={"nesterov": Switch()},
            function=sgd_momentum,
        ),
        *ADAPTIVE,
        Rule(
            "lion",
            {"learning_rate": Option(1e-4), "beta1": Option(0.9, high=1.0), "beta2": Option(0.99, high=1.0)},
            ("m",),
            Loop(_lion),
            decoupled=True,
            function=lion,
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

"""Update rules, the optimizer that applies them to the parameters of a network, and schedules of its learning rate."""

from .adaptive import adadelta, adagrad, adam, adamax, adamw, rmsprop
from .norm import global_norm
from .optimizer import Optimizer
from .rule import Option, Rule, Switch
from .rules import RULES, get_rule, lion, sgd, sgd_momentum

__all__ = [
    "RULES", "Optimizer", "Option", "Rule", "Switch", "adadelta", "adagrad", "adam", "adamax", "adamw", "get_rule",
    "global_norm", "lion", "rmsprop", "sgd", "sgd_momentum",
]  # fmt: skip

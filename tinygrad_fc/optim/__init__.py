"""Update rules, and the optimizer that applies them to the parameters of a network."""

from .optimizer import Optimizer
from .rule import Option, Rule
from .rules import RULES, adam, get_rule, rmsprop, sgd, sgd_momentum

__all__ = ["RULES", "Optimizer", "Option", "Rule", "adam", "get_rule", "rmsprop", "sgd", "sgd_momentum"]

"""Update rules, the optimizer that applies them to the parameters of a network, and schedules of its learning rate."""

from .adaptive import adadelta, adagrad, adam, adamax, adamw, rmsprop
from .norm import global_norm
from .optimizer import Optimizer
from .plateau import ReduceOnPlateau
from .rule import Option, Rule, Switch
from .rules import RULES, get_rule, lion, sgd, sgd_momentum
from .schedule import Schedule
from .schedules import SCHEDULES, CosineAnnealing, ExponentialDecay, OneCycle, StepDecay, Warmup, get_schedule

__all__ = [
    "RULES", "SCHEDULES", "CosineAnnealing", "ExponentialDecay", "OneCycle", "Optimizer", "Option", "ReduceOnPlateau",
    "Rule", "Schedule", "StepDecay", "Switch", "Warmup", "adadelta", "adagrad", "adam", "adamax", "adamw", "get_rule",
    "get_schedule", "global_norm", "lion", "rmsprop", "sgd", "sgd_momentum",
]  # fmt: skip

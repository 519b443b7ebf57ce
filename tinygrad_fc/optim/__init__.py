"""Update rules, the optimizer that applies them to the parameters of a network, and schedules of its learning rate."""

from .norm import global_norm
from .optimizer import Optimizer
from .rule import Option, Rule
from .rules import RULES, adam, get_rule, rmsprop, sgd, sgd_momentum
from .schedules import (
    SCHEDULES,
    CosineAnnealing,
    ExponentialDecay,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    Warmup,
    get_schedule,
)

__all__ = [
    "RULES", "SCHEDULES", "CosineAnnealing", "ExponentialDecay", "OneCycle", "Optimizer", "Option", "ReduceOnPlateau",
    "Rule", "Schedule", "StepDecay", "Warmup", "adam", "get_rule", "get_schedule", "global_norm", "rmsprop", "sgd",
    "sgd_momentum",
]  # fmt: skip

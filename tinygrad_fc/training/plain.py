"""The optimizer of models that have nothing but ``params``."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..optim import Rule


class PerArray:
    """The optimizer of models that have nothing but ``params``: the pure rule, array by array, as the course does.

    Parameters
    ----------
    model : object
        Has ``params``, a mapping of names to ndarrays; each is assigned anew in a step.
    rule : Rule
        The rule.
    config : mapping
        Its hyperparameters.

    Attributes
    ----------
    factor : float
        Multiplies the learning rate; schedules set it.
    configs : dict of str to dict
        Hyperparameters and state of each parameter.
    """

    def __init__(self, model: Any, rule: Rule, config: Mapping[str, Any]) -> None:
        self.model = model
        self.rule = rule
        self.factor = 1.0
        self.configs: dict[str, dict[str, Any]] = {name: dict(config) for name in model.params}

    def step(self, gradients: Mapping[str, np.ndarray]) -> None:
        """Assign to each parameter what the rule makes of it, or to none when a gradient does not fit."""
        params = self.model.params
        if set(gradients) != set(params):
            raise ValueError(
                f"the model's loss returned gradients of {', '.join(sorted(gradients)) or 'nothing'}, but its "
                f"parameters are {', '.join(sorted(params))}; return one gradient for each"
            )
        for name, gradient in gradients.items():
            if np.shape(gradient) != np.shape(params[name]):
                raise ValueError(
                    f"the gradient of {name} has shape {np.shape(gradient)}, the parameter has {np.shape(params[name])}"
                )
        rate = {"learning_rate": self.learning_rate} if "learning_rate" in self.rule.options else {}
        scaled = {name: value * self.factor for name, value in rate.items()}
        # All are computed before the first is assigned, so that a refusal changes nothing.
        updated = {
            name: self.rule.apply(params[name], gradient, {**self.configs[name], **scaled})
            for name, gradient in gradients.items()
        }
        for name, (value, config) in updated.items():
            params[name], self.configs[name] = value, {**config, **rate}

    @property
    def learning_rate(self) -> float:
        """The step size, before `factor`."""
        return float(next(iter(self.configs.values()))["learning_rate"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        for config in self.configs.values():
            config["learning_rate"] = value

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on, other than the parameters; arrays are copied."""
        configs = {
            name: {key: value.copy() if isinstance(value, np.ndarray) else value for key, value in config.items()}
            for name, config in self.configs.items()
        }
        return {"rule": self.rule.name, "factor": self.factor, "configs": configs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned.

        Raises
        ------
        ValueError
            When the rule or the parameters' names differ; nothing has changed then.
        """
        if state["rule"] != self.rule.name or set(state["configs"]) != set(self.configs):
            raise ValueError(
                f"the optimizer's state is of rule {state['rule']!r} and parameters {', '.join(state['configs'])}; "
                f"expected {self.rule.name!r} and {', '.join(self.configs)}"
            )
        configs = {
            name: {key: np.array(value) if isinstance(value, np.ndarray) else value
                   for key, value in state["configs"][name].items()}
            for name in self.configs
        }  # fmt: skip
        self.factor, self.configs = float(state["factor"]), configs

"""Settings: what of an optimizer can be read and changed between steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from .norm import check_clips
from .parameters import check_groups
from .rule import Option, Rule

FACTOR = Option(1.0)
_CONFIGURE = "optimizer.configure(weight_decay=0.1) changes them"
_GROUPS = "groups are set where the optimizer is made, Optimizer(..., groups=...), or by load_state_dict"
# Names from elsewhere for what has another name here.
_ALIASES = {"lr": "learning_rate", "betas": "beta1"}


class Snapshot(dict[str, Any]):
    """A copy of settings: writing into it raises a TypeError, because it would change nothing.

    Parameters
    ----------
    values : mapping
    cure : str
        What changes them.
    """

    def __init__(self, values: Mapping[str, Any], cure: str) -> None:
        super().__init__(values)
        self._cure = cure

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"this is a copy of an optimizer's settings, and writing into it would change nothing there: "
                        f"{self._cure}; dict(...) makes a dictionary of it")  # fmt: skip

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = setdefault = pop = popitem = clear = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class Settings:
    """The hyperparameters, clips and factor of an `Optimizer`, which is one."""

    rule: Rule
    _names: list[str]
    _known: frozenset[str]
    _places: list[int]
    _kinds: list[tuple[str, ...]]
    _groups: dict[str, dict[str, Any]]
    _configs: list[dict[str, Any]]
    _clips: tuple[float | None, float | None]
    _factor: float

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; one that is called as a hyperparameter is, and would change nothing, is refused."""
        rule = self.__dict__.get("rule")
        if rule is not None and not hasattr(type(self), name):
            if name == "rule":
                raise AttributeError("Optimizer: the rule of an optimizer stays; make a new one for another rule")
            known = _ALIASES.get(name, name)
            if known in rule.options or known in rule.extras:
                raise AttributeError(f"Optimizer: it has no attribute {name!r}, and assigning it would change nothing: "
                                     f"optimizer.configure({known}=...) does")  # fmt: skip
        super().__setattr__(name, value)

    def configure(self, **options: Any) -> None:
        """Change hyperparameters between steps: those that are named, or, when one of them does not fit, none.

        Parameters
        ----------
        **options
            As the constructor takes them. What a group sets itself stays as it is, but for the learning rate: the rates
            of the groups change in proportion; where it was 0, they stay.

        Raises
        ------
        ValueError
            For an option that the rule does not have, or one out of its range.
        TypeError
            For what is no number, or no bool where one is wanted.

        Examples
        --------
        >>> import tinygrad_fc as tg
        >>> w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
        >>> optimizer = tg.optim.Optimizer([w], "adam")
        >>> optimizer.configure(beta1=0.8)
        >>> optimizer.config["beta1"]
        0.8
        """
        main, groups = self.rule.configure({**self._configs[0], **options}), self._groups
        if "learning_rate" in options:
            before = self.learning_rate
            scale = main["learning_rate"] / before if before else 1.0
            scaled = {
                pattern: {key: option * scale if key == "learning_rate" else option for key, option in own.items()}
                for pattern, own in groups.items()
            }
            groups = check_groups(self.rule, scaled, self._names)
        self._groups, self._configs = groups, self._configure(main, groups, self._kinds)

    @property
    def learning_rate(self) -> float:
        """The step size of parameters whose group has none of its own, before `factor`.

        Assigning checks it as the constructor does, and scales the rates of the groups in proportion; where it was 0,
        they stay as they are.
        """
        return float(self._configs[0]["learning_rate"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.configure(learning_rate=value)

    @property
    def factor(self) -> float:
        """What every learning rate is multiplied by, at least 0: a schedule sets it. It is 1 at the start."""
        return self._factor

    @factor.setter
    def factor(self, value: float) -> None:
        if "learning_rate" not in self.rule.options:
            raise ValueError(f"factor: given {value!r}, but the rule {self.rule.name} has no learning_rate to multiply")
        self._factor = FACTOR.check("Optimizer", "factor", value)

    @property
    def clip_norm(self) -> float | None:
        """The largest norm of all gradients together, or None. It can be assigned."""
        return self._clips[0]

    @clip_norm.setter
    def clip_norm(self, value: float | None) -> None:
        self._clips = check_clips("Optimizer", value, self._clips[1])

    @property
    def clip_value(self) -> float | None:
        """The largest size of an element of a gradient, or None. It can be assigned."""
        return self._clips[1]

    @clip_value.setter
    def clip_value(self, value: float | None) -> None:
        self._clips = check_clips("Optimizer", self._clips[0], value)

    @property
    def config(self) -> Snapshot:
        """A copy of the hyperparameters without the groups'; with ``t``, the steps done, where the rule counts them.

        `configure` changes them: writing into the copy raises a TypeError.
        """
        return Snapshot(self._configs[0], _CONFIGURE)

    @property
    def groups(self) -> Snapshot:
        """A copy of the groups: the options of each under its pattern. Writing into it raises a TypeError."""
        groups = {pattern: Snapshot(options, _GROUPS) for pattern, options in self._groups.items()}
        return Snapshot(groups, _GROUPS)

    def config_of(self, name: str) -> Snapshot:
        """Return a copy of the hyperparameters of one parameter; an unknown name raises a ValueError."""
        if name not in self._known:
            raise ValueError(f"config_of: no parameter is called {name!r}; there are {', '.join(self._names)}")
        return Snapshot(self._configs[self._places[self._names.index(name)]], _CONFIGURE)

    def _configure(
        self, main: Mapping[str, Any], groups: Mapping[str, Mapping[str, Any]], kinds: list[tuple[str, ...]]
    ) -> list[dict[str, Any]]:
        """Return the hyperparameters of each combination of patterns; the first is of none, so of `main` alone."""
        merged = [{**main} for _ in kinds]
        for config, patterns in zip(merged, kinds, strict=True):
            for pattern in patterns:
                config.update(groups[pattern])
        return [self.rule.configure(config) for config in merged]

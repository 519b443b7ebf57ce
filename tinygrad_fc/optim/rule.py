"""Rule: how an update rule is declared, and how its hyperparameters and arrays are checked."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..kernels import kernels

Config: TypeAlias = MutableMapping[str, Any]
PureRule: TypeAlias = Callable[[Any, Any, Config | None], tuple[np.ndarray, Config]]
State: TypeAlias = tuple[np.ndarray, ...]
Numbers: TypeAlias = tuple[Any, ...]  # the name of a loop of kernels/, and the numbers that it takes
Update: TypeAlias = Callable[[np.ndarray, np.ndarray, State, Mapping[str, Any], np.ndarray], None]


class Option(NamedTuple):
    """A hyperparameter: its default and the interval it lies in.

    Parameters
    ----------
    default : float
        The value used when none is given.
    low, high : float
        The interval [low, high): `low` is allowed, `high` is not.
    open_low : bool
        True makes it (low, high): `low` is not allowed either.
    closed_high : bool
        True makes it [low, high]: `high` is allowed too.
    """

    default: float
    low: float = 0.0
    high: float = math.inf
    open_low: bool = False
    closed_high: bool = False

    def check(self, owner: str, key: str, value: object) -> float:
        """Return `value` as a Python float, or raise an error that names it.

        A Python float, because a NumPy float64 scalar would turn float32 arithmetic into float64.
        """
        span = f"{'(' if self.open_low else '['}{self.low:g}, {self.high:g}{']' if self.closed_high else ')'}"
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise TypeError(f"{owner}: {key} must be a number in {span}, got {value!r} ({type(value).__name__})")
        number = float(value)
        # Written so that NaN, which fails every comparison, is refused too.
        inside = self.low <= number < self.high or (self.closed_high and number == self.high)
        if not inside or (self.open_low and number == self.low):
            raise ValueError(f"{owner}: {key} must lie in {span}, got {value!r}; the default is {self.default:g}")
        return number


class Switch(NamedTuple):
    """A hyperparameter that is on or off.

    Parameters
    ----------
    default : bool
        What it is when it is not given.
    """

    default: bool = False

    def check(self, owner: str, key: str, value: object) -> bool:
        """Return `value` as a Python bool, or raise a TypeError that names it."""
        if isinstance(value, bool | np.bool_):
            return bool(value)
        raise TypeError(f"{owner}: {key} must be True or False, got {value!r} ({type(value).__name__})")


class Loop:
    """The update of a rule that is a loop of kernels/: it can be called as one, and be compiled into a whole step.

    Parameters
    ----------
    numbers : callable
        From a config to the loop's name and its numbers, in the order of its arguments.
    """

    __slots__ = ("numbers",)

    def __init__(self, numbers: Callable[[Mapping[str, Any]], Numbers]) -> None:
        self.numbers = numbers

    def __call__(
        self, w: np.ndarray, dw: np.ndarray, state: State, config: Mapping[str, Any], scratch: np.ndarray
    ) -> None:
        """Change w and the arrays of `state` in place, as `Rule` says."""
        name, *numbers = self.numbers(config)
        getattr(kernels(w), name)(w, dw, *state, *numbers, scratch)


class Rule:
    """An update rule, declared.

    Parameters
    ----------
    name : str
        The name users give, such as ``"adam"``.
    options : mapping of str to Option
        The hyperparameters, with defaults and allowed intervals.
    state : tuple of str
        Names of the arrays kept per parameter, each of the parameter's shape and dtype, zero at the start.
    update : callable
        ``update(w, dw, state, config, scratch)`` changes `w` and the arrays of `state` in place. `scratch` is a buffer
        of w's shape and dtype; `config` holds checked hyperparameters as Python numbers, and, where `counted`, the
        number ``t`` of this step, counted from 1. It works element by element, so any block of an array can be given.
    counted : bool
        True when the rule reads the step number ``config["t"]``.
    extras : mapping of str to Option or Switch, optional
        Further hyperparameters, which stand in a config only where they are not at their default. ``weight_decay`` (0)
        is one of every rule; a rule that has an option of this name sees to it in its own `update`.
    decoupled : bool
        What ``weight_decay`` does. False adds ``weight_decay * w`` to the gradient, as an L2 penalty of
        ``weight_decay / 2 * (w * w).sum()`` in the loss does. True multiplies w by ``1 - learning_rate * weight_decay``
        before the update, so that the decay does not go through the rule's averages (Loshchilov and Hutter, "Decoupled
        Weight Decay Regularization", ICLR 2019, Algorithm 2).
    function : callable or None
        The rule's pure form, which `get_rule` then takes for the rule itself.

    Raises
    ------
    ValueError
        If the decay is decoupled and the rule has no option ``learning_rate`` to take it with.
    """

    __slots__ = ("counted", "decays", "decoupled", "extras", "function", "name", "options", "state", "update")

    def __init__(
        self,
        name: str,
        options: Mapping[str, Option],
        state: tuple[str, ...],
        update: Update,
        *,
        counted: bool = False,
        extras: Mapping[str, Option | Switch] | None = None,
        decoupled: bool = False,
        function: PureRule | None = None,
    ) -> None:
        if decoupled and "learning_rate" not in options:
            raise ValueError(f"{name}: decoupled decay is a share of the learning rate; add the option learning_rate")
        self.name = name
        self.options = dict(options)
        self.extras = dict(extras or {})
        # Whether the decay is this class's business.
        self.decays = "weight_decay" not in self.options and "weight_decay" not in self.extras
        if self.decays:
            self.extras["weight_decay"] = Option(0.0)
        self.state = state
        self.update = update
        self.counted = counted
        self.decoupled = decoupled
        self.function = function

    def __repr__(self) -> str:
        defaults = ", ".join(f"{key}={option.default:g}" for key, option in self.options.items())
        return f"Rule({self.name!r}: {defaults}; state: {', '.join(self.state) or 'none'})"

    def check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Check hyperparameters, without any defaults.

        Parameters
        ----------
        given : mapping of str to number or bool
            Any of the rule's options and extras, and ``t`` (steps done so far, an integer of at least 0) where it
            counts steps.

        Returns
        -------
        dict
            The same keys: options as Python floats (a `Switch` as a bool), ``t`` as an int.

        Raises
        ------
        ValueError
            For a key the rule does not know, NaN, or a value outside its interval.
        TypeError
            For a value that is no number, or no bool where one is wanted.
        """
        kinds = self.options | self.extras
        known = [*kinds, "t"] if self.counted else list(kinds)
        checked: dict[str, Any] = {}
        for key, value in given.items():
            if key not in known:
                raise ValueError(
                    f"{self.name}: unknown option {key!r}{closest(key, known)}; it takes {', '.join(known)}"
                )
            if key in kinds:
                checked[key] = kinds[key].check(self.name, key, value)
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise TypeError(f"{self.name}: t must be an integer, the steps done so far, got {value!r}")
            if value < 0:
                raise ValueError(f"{self.name}: t must be at least 0, the steps done so far, got {value}")
            checked[key] = int(value)
        return checked

    def configure(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Check hyperparameters and fill in the defaults.

        Parameters
        ----------
        given : mapping of str to number or bool
            As `check` takes it.

        Returns
        -------
        dict
            Every option, the extras that are not at their default, and ``t`` where the rule counts steps.

        Raises
        ------
        ValueError, TypeError
            As `check` says.
        """
        checked = self.check(given)
        config: dict[str, Any] = {
            key: checked[key] if key in checked else option.check(self.name, key, option.default)
            for key, option in self.options.items()
        }
        for key, extra in self.extras.items():
            if checked.get(key, extra.default) != extra.default:
                config[key] = checked[key]
        if self.counted:
            config["t"] = checked.get("t", 0)
        return config

    @np.errstate(under="ignore")
    def step(
        self, w: np.ndarray, dw: np.ndarray, state: State, config: Mapping[str, Any], scratch: np.ndarray,
        room: np.ndarray,
    ) -> None:  # fmt: skip
        """Decay the weights where the config says so, and update: in place, as `update` does.

        Parameters
        ----------
        w, dw, state, config, scratch
            As `update` takes them.
        room : ndarray
            A second buffer of w's shape and dtype. It may be `dw`, which is not written otherwise.
        """
        decay = config.get("weight_decay", 0.0) if self.decays else 0.0
        if decay and self.decoupled:
            np.multiply(w, 1.0 - config["learning_rate"] * decay, out=w)
        elif decay:
            np.multiply(w, decay, out=scratch)
            dw = np.add(dw, scratch, out=room)
        self.update(w, dw, state, config, scratch)

    def apply(self, w: Any, dw: Any, config: Config | None = None) -> tuple[np.ndarray, Config]:
        """Apply the rule to one array and leave the arrays given as they are.

        Parameters
        ----------
        w : array_like
            The parameter, any shape, float32 or wider.
        dw : array_like
            The gradient of the loss, of w's shape; computed with in w's dtype.
        config : dict, optional
            Hyperparameters, and the state of the step before. It is changed: missing options get their defaults (the
            extras, such as ``weight_decay``, are left out as they are), and the new state arrays (and ``t``) are put
            in.

        Returns
        -------
        next_w : ndarray
            The parameter after the step, of w's shape and dtype.
        config : dict
            The dictionary given, or a new one.

        Raises
        ------
        ValueError
            For an option out of range or unknown, and for a shape other than w's.
        TypeError
            For an option or array that is not of real floating numbers.
        """
        next_w = np.array(w)
        check_dtype(next_w.dtype, f"{self.name}: w")
        config = {} if config is None else config
        # Config before arrays: everything is checked before the caller's dictionary changes.
        options = self.configure({key: value for key, value in config.items() if key not in self.state})
        dw = self._like(next_w, "dw", dw)
        state = tuple(
            np.array(self._like(next_w, key, config[key])) if key in config else np.zeros_like(next_w)
            for key in self.state
        )
        if self.counted:
            options["t"] += 1
        with np.errstate(under="ignore"):
            self.step(next_w, dw, state, options, np.empty_like(next_w), np.empty_like(next_w))
        for key, value in options.items():
            if key == "t":
                config[key] = value
            else:
                config.setdefault(key, value)
        config.update(zip(self.state, state, strict=True))
        return next_w, config

    def _like(self, w: np.ndarray, key: str, value: Any) -> np.ndarray:
        """Return `value` as an array of w's dtype, or raise because its shape or kind does not fit."""
        array = np.asarray(value)
        if array.shape != w.shape:
            raise ValueError(f"{self.name}: {key} has shape {array.shape}, but w has {w.shape}; they must be equal")
        if array.dtype.kind not in "fiu":
            raise TypeError(f"{self.name}: {key} must hold real numbers, got dtype {array.dtype}")
        return array.astype(w.dtype, copy=False)


def check_dtype(dtype: np.dtype, label: str) -> None:
    """Raise a TypeError unless `dtype` is a floating type wide enough to be trained in.

    float16 is refused: its smallest number is 6e-8, so that squared gradients and epsilon vanish.
    """
    if dtype.kind != "f" or dtype.itemsize < 4:
        raise TypeError(f"{label} has dtype {dtype}, but update rules need float32 or float64: convert it with astype")


def closest(word: str, known: Iterable[str]) -> str:
    """Return a hint such as `` (did you mean 'adam'?)``, or nothing when no name comes close."""
    matches = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""

"""The optimizer: parameters in one flat arena, updated in place by a rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.node import tick
from .arena import lay_out
from .given import by_name, refuse_frozen, refuse_gradient, tell
from .norm import CLIPS, check_clips, scale_of
from .parameters import (
    check_groups,
    check_mapping,
    check_parameters,
    check_state,
    groups_of,
    kinds_of,
    named_tensors,
)
from .rule import Loop, PureRule, Rule
from .rules import get_rule
from .settings import FACTOR, Settings
from .walk import Walk, machine_codes

if TYPE_CHECKING:
    from ..kernels import InstructionList

# Elements per call of a rule: a block of each array stays in the cache while the rule passes over it several times.
# Of 8K to 256K, 64K and more are fastest at 5.2 million float32 parameters, and 64K needs the least scratch memory.
BLOCK = 65_536
# Parameters below this size are gathered, so that a run of biases and small weights costs one call of the rule.
SMALL = BLOCK // 2


class Optimizer(Settings):
    """Applies an update rule to parameters, in place.

    The parameters of one dtype move into one flat buffer (the arena): each parameter's array becomes a view of it, with
    the values it had. The rule then walks the buffer in blocks that fit in the cache, and allocates nothing.

    Parameters
    ----------
    parameters : Module, mapping, or iterable
        A module (its parameters that require a gradient), a mapping of names to tensors, pairs of name and tensor, or
        tensors (called by their own name, else ``parameter0`` and so on). All must be leaves, of float32 or float64,
        that require a gradient.
    rule : str, Rule or function
        A name of `RULES`, such as ``"adam"``, or what else `get_rule` takes.
    groups : mapping of str to mapping, optional
        Hyperparameters of some of the parameters, under a pattern of their names as `fnmatch` understands it:
        ``{"fc1.*": {"learning_rate": 1e-4}, "*.b": {"weight_decay": 0.0}}``. Of several patterns that match a parameter
        each has its say; where they set the same option, the later one wins.
    clip_norm : float, optional
        Above 0. Where the norm of all gradients together (`global_norm`) is larger, all are scaled down to it.
    clip_value : float, optional
        Above 0. Each element of each gradient is brought into [-clip_value, clip_value]. Only one of the two clips can
        be set. Both work before the weight decay, and leave the gradients themselves as they are.
    **config : float
        The rule's hyperparameters, such as ``learning_rate``; those left out have the rule's defaults. Every rule takes
        ``weight_decay``.

    Attributes
    ----------
    rule : Rule
        The rule in use.

    Raises
    ------
    ValueError
        For an unknown rule or option, a hyperparameter out of range, a pattern that matches nothing, both clips, no
        parameters at all, one given twice, or two that share memory. Nothing has moved then.
    TypeError
        For what is no tensor, no leaf, needs no gradient or has a dtype that cannot be trained.

    Notes
    -----
    Clipping by the norm: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML
    2013, Algorithm 1.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
    >>> optimizer = tg.optim.Optimizer([w], "sgd", learning_rate=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data
    array([0., 0.])
    """

    def __init__(
        self, parameters: Any, rule: str | Rule | PureRule = "sgd", *,
        groups: Mapping[str, Mapping[str, Any]] | None = None, clip_norm: float | None = None,
        clip_value: float | None = None, **config: Any,
    ) -> None:  # fmt: skip
        self.rule = get_rule(rule)
        main = self.rule.configure(config)
        self._clips = check_clips("Optimizer", clip_norm, clip_value)
        named = named_tensors(parameters)
        check_parameters(named)
        self._names = list(named)
        self._known = frozenset(named)
        self._tensors = list(named.values())
        self._factor = 1.0
        self._groups = check_groups(self.rule, groups, self._names)
        # The patterns that match parameters, combined as they occur, and for each parameter which of these it has.
        self._kinds, self._places = kinds_of(self._groups, self._names)
        self._configs = self._configure(main, self._groups, self._kinds)
        self._lay_out()

    def step(self, gradients: Mapping[str, np.ndarray] | None = None, *, norm: float | None = None) -> None:
        """Update every parameter once.

        Parameters
        ----------
        gradients : mapping of str to ndarray, optional
            The gradient of each parameter by name, each of its parameter's shape and dtype. Left out, each parameter's
            ``grad`` is used.
        norm : float, optional
            The `global_norm` of these gradients, where it is known already; ``clip_norm`` then need not compute it.

        Raises
        ------
        ValueError
            When a parameter has no gradient, a gradient has no parameter, the shapes differ, or the norm is negative.
        TypeError
            When a gradient is no ndarray or its dtype differs from the parameter's.
        FloatingPointError
            When ``clip_norm`` is set and the norm is infinite or NaN, which no scaling mends.

        Notes
        -----
        Everything is checked before the first parameter changes. Graphs recorded before the step are then stale: going
        backward through them raises an error.
        """
        tensors, views = self._tensors, self._views
        if gradients is None:
            try:
                arrays = [tensor.node.grad for tensor in tensors]
            except AttributeError:
                refuse_frozen(self._names, tensors)
                raise
        else:
            arrays = by_name(gradients, self._names, self._known)
        moved = False
        for tensor, array, view in zip(tensors, arrays, views, strict=True):
            if type(array) is not np.ndarray or array.shape != view.shape or array.dtype is not view.dtype:
                name = next(name for name, own in zip(self._names, views, strict=True) if own is view)
                refuse_gradient(name, array, view, dict(zip(self._names, tensors, strict=True)))
            moved |= tensor._array is not view  # another array was assigned; a tensor sees to it that its shape stays
        if moved:
            tell("moved", self)
            for index, tensor in enumerate(tensors):
                if tensor._array is not views[index]:
                    self._adopt(index)

        limit, bound = self._clips
        scale = 1.0 if limit is None else scale_of(limit, self._names, arrays, norm)
        self._walk.step(arrays, self._advance(), scale, bound)
        tell("updated", self, gradients is not None)

    def instruct(self, instructions: InstructionList) -> Callable[[], None]:
        """Append the update of a plain optimizer, from the homes of the gradients, to a list of instructions.

        Returns
        -------
        callable
            What is to be called before the update is run: it counts the step and hands out the numbers.
        """
        codes, rows = machine_codes(), self._walk.instruct(instructions)
        loop: Any = self.rule.update  # a Loop

        def prepare() -> None:
            numbers = [loop.numbers(config) for config in self._advance()]
            for row, place in rows:
                name, *reals = numbers[place]
                instructions.retune(row, codes[name], reals)

        return prepare

    def gradient_homes(self, renew: bool = False) -> dict[Any, np.ndarray]:
        """Return for the node of each parameter the array, or a new one, that its gradient is best written into."""
        homes = self._walk.renew_homes() if renew else self._walk.homes
        return {self._tensors[index].node: home for index, home in homes.items()}

    def leave_gradient_homes(self) -> None:
        """Write into the arrays of `gradient_homes` no more: they are those of who asked for them."""
        self._walk.leave_homes()

    def zero_grad(self) -> None:
        """Forget the gradient of every parameter (set it to None)."""
        for tensor in self._tensors:
            if tensor.requires_grad:
                tensor.node.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Copy everything that the next step depends on, other than the parameters.

        Returns
        -------
        dict
            ``rule`` (its name), ``config`` (the hyperparameters, and ``t`` where the rule counts steps), ``groups`` (a
            list of ``pattern`` and ``options``: their order counts), ``factor``, ``clip_norm``, ``clip_value`` and
            ``state``: for each parameter's name the rule's arrays by name, of the parameter's shape and dtype.
        """
        state = {
            name: {key: array.copy() for key, array in zip(self.rule.state, arrays, strict=True)}
            for name, arrays in zip(self._names, self._states, strict=True)
        }
        groups = [{"pattern": pattern, "options": {**options}} for pattern, options in self._groups.items()]
        return {
            "rule": self.rule.name, "config": {**self._configs[0]}, "groups": groups, "factor": self._factor,
            "clip_norm": self.clip_norm, "clip_value": self.clip_value, "state": state,
        }  # fmt: skip

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, from an optimizer of the same rule and parameters.

        Parameters
        ----------
        state_dict : mapping
            As `state_dict` returns it. The arrays are copied. ``groups``, ``factor`` and the clips may be missing:
            this optimizer's then stay.

        Raises
        ------
        ValueError
            When the rule, a name, a shape or a hyperparameter does not fit; nothing has changed then.
        TypeError
            When an array's dtype is not its parameter's.
        """
        check_mapping("state_dict", state_dict)
        missing = [key for key in ("rule", "config", "state") if key not in state_dict]
        if missing:
            raise ValueError(f"state_dict: {', '.join(missing)} missing; it needs rule, config and state")
        if state_dict["rule"] != self.rule.name:
            raise ValueError(f"state_dict: it is of rule {state_dict['rule']!r}, this optimizer has {self.rule.name!r}")
        check_mapping("state_dict: config", state_dict["config"])
        main = self.rule.configure(state_dict["config"])
        groups = self._groups
        if "groups" in state_dict:
            groups = check_groups(self.rule, groups_of(state_dict["groups"]), self._names)
        kinds, places = kinds_of(groups, self._names)
        configs = self._configure(main, groups, kinds)
        factor = FACTOR.check("state_dict", "factor", state_dict.get("factor", self._factor))
        clips = check_clips("state_dict", *(state_dict.get(key, getattr(self, key)) for key in CLIPS))
        saved = state_dict["state"]
        check_state(saved, dict(zip(self._names, self._views, strict=True)), self.rule.state)
        moved = places != self._places
        self._groups, self._kinds, self._places, self._configs = groups, kinds, places, configs
        self._factor, self._clips = factor, clips
        if moved:
            self._lay_out()
        for name, arrays in zip(self._names, self._states, strict=True):
            for key, array in zip(self.rule.state, arrays, strict=True):
                array[...] = saved[name][key]

    def __repr__(self) -> str:
        tell("looked", self)
        options = ", ".join(
            f"{key}={value}" if isinstance(value, bool) else f"{key}={value:g}"
            for key, value in self._configs[0].items()
        )
        total = sum(view.size for view in self._views)
        return f"Optimizer({self.rule.name}, {options}; {len(self._names)} parameters of {total:,} elements)"

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy needs an arena of its own, which its parameters then live in: views do not survive a copy.
        return _rebuild, (dict(zip(self._names, self._tensors, strict=True)), self.rule, self.state_dict())

    def is_plain(self) -> bool:
        """Whether an update is the rule's loop and nothing else."""
        decays = [config for config in self._configs if config.get("weight_decay")]
        return self._clips == (None, None) and not decays and isinstance(self.rule.update, Loop)

    def _advance(self) -> list[dict[str, Any]]:
        """Count a step and make graphs of before it stale; return the hyperparameters of each place for it."""
        try:
            for tensor in self._tensors:
                tensor.node.number = tick()  # what `touch_` does
        except AttributeError:
            refuse_frozen(self._names, self._tensors)
            raise
        if self.rule.counted:
            for config in self._configs:
                config["t"] += 1
        if self._factor == 1.0:
            return self._configs
        return [{**config, "learning_rate": config["learning_rate"] * self._factor} for config in self._configs]

    def _lay_out(self) -> None:
        """Move the parameters into a new arena, with the rule's arrays at zero."""
        arrays = [tensor.data for tensor in self._tensors]
        arena = lay_out(arrays, self._places, len(self.rule.state), BLOCK, SMALL)
        self._walk, self._views, self._states = Walk(self.rule, arena), arena.views, arena.states
        for index in range(len(self._tensors)):
            self._adopt(index)

    def _adopt(self, index: int) -> None:
        """Copy a parameter's values into its view of the arena, and make that view the parameter's array."""
        tensor, view = self._tensors[index], self._views[index]
        if hasattr(tensor, "move_"):
            tensor.move_(view)
        else:
            view[...] = tensor.data
            tensor.data = view
        # Kept as the tensor holds it, for `step` to recognise by identity.
        self._views[index] = tensor._array


def _rebuild(named: dict[str, Any], rule: Rule, state_dict: dict[str, Any]) -> Optimizer:
    """Make the copy of an optimizer, for pickle and copy."""
    optimizer = Optimizer(named, rule, **state_dict["config"])
    optimizer.load_state_dict(state_dict)
    return optimizer

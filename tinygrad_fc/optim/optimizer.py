"""The optimizer: parameters in one flat arena, updated in place by a rule."""

import math
from collections.abc import Mapping
from glob import escape
from typing import Any

import numpy as np

from ..engine.node import tick
from . import parameters as layout
from .norm import global_norm
from .parameters import check_keys, check_parameters, grouped, named, runs
from .rule import Option, PureRule, Rule
from .rules import get_rule


class Optimizer:
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
        ``"sgd"``, ``"sgd_momentum"``, ``"rmsprop"``, ``"adam"``, or what else `get_rule` takes.
    groups : mapping of str to mapping, optional
        Hyperparameters of some parameters, by a pattern of their names: ``{"*.b": {"weight_decay": 0.0}, "fc1.*":
        {"learning_rate": 1e-4}}``. Patterns are those of `fnmatch`; where several match, later ones win.
    clip_norm : float, optional
        Where the 2-norm of all gradients together is above it, all are scaled so that it is this (`global_norm`).
    clip_value : float, optional
        Each element of a gradient is brought into [-clip_value, clip_value].
    **config : float
        The rule's hyperparameters, such as ``learning_rate``; those left out have the rule's defaults. Every rule takes
        ``weight_decay``.

    Attributes
    ----------
    rule : Rule
        The rule in use.
    factor : float
        Multiplies every learning rate; a schedule sets it before a step. 1 at the start.

    Raises
    ------
    ValueError
        For an unknown rule or option, a hyperparameter out of range, no parameters at all, one given twice, or two that
        share memory. Nothing has moved then.
    TypeError
        For what is no tensor, no leaf, needs no gradient or has a dtype that cannot be trained.

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
        if clip_norm is not None and clip_value is not None:
            raise ValueError("clip_norm and clip_value are both given; one of them bounds the gradients")
        self.clip_norm, self.clip_value = (
            None if bound is None else Option(1.0, open_low=True).check("Optimizer", name, bound)
            for name, bound in (("clip_norm", clip_norm), ("clip_value", clip_value))
        )
        tensors = named(parameters)
        check_parameters(tensors)
        self._factor = 1.0
        # Of each group the options of its own, and all its options; the first group has none of its own.
        self._own, self._places = grouped(self.rule, main, groups, tensors)
        self._configs = [self.rule.configure({**main, **own}) for own in self._own]
        self._names = list(tensors)
        self._known = frozenset(tensors)
        self._tensors = list(tensors.values())
        self._shapes = [tensor.data.shape for tensor in self._tensors]
        self._dtypes = [tensor.data.dtype for tensor in self._tensors]
        self._views: list[np.ndarray] = [tensor.data for tensor in self._tensors]
        self._states: list[tuple[np.ndarray, ...]] = [() for _ in self._tensors]
        # One entry per gradient to read: the indices of the parameters it is gathered from (mostly one), the buffer to
        # gather in and its parts, and the blocks to update with it.
        self._pieces: list[_Piece] = []
        kinds = [(self._places[name], dtype) for name, dtype in zip(self._names, self._dtypes, strict=True)]
        for kind in dict.fromkeys(kinds):
            self._build(kind[0], [index for index, other in enumerate(kinds) if other == kind])
        for index in range(len(self._tensors)):
            self._adopt(index)

    def step(self, gradients: Mapping[str, np.ndarray] | None = None) -> None:
        """Update every parameter once.

        Parameters
        ----------
        gradients : mapping of str to ndarray, optional
            The gradient of each parameter by name, each of its parameter's shape and dtype. Left out, each parameter's
            ``grad`` is used.

        Raises
        ------
        ValueError
            When a parameter has no gradient, a gradient has no parameter, or the shapes differ.
        TypeError
            When a gradient is no ndarray or its dtype differs from the parameter's.

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
                self._refuse_frozen()
                raise
        else:
            arrays = self._by_name(gradients)
        moved = False
        for tensor, array, view in zip(tensors, arrays, views, strict=True):
            if type(array) is not np.ndarray or array.shape != view.shape or array.dtype is not view.dtype:
                self._refuse_gradient(array, view)
            moved |= tensor._array is not view  # another array was assigned; a tensor sees to it that its shape stays
        if moved:
            for index, tensor in enumerate(tensors):
                if tensor._array is not views[index]:
                    self._adopt(index)

        try:
            for tensor in tensors:
                tensor.node.number = tick()  # what `touch_` does
        except AttributeError:
            self._refuse_frozen()
            raise
        configs = self._configs
        for config in configs if self.rule.counted else ():
            config["t"] += 1
        if self._factor != 1.0:
            configs = [{**config, "learning_rate": config["learning_rate"] * self._factor} for config in configs]
        scale = self._scale(arrays)
        for group, members, buffer, parts, blocks in self._pieces:
            config = configs[group]
            # The rule alone is enough where nothing is done to the gradient or the weights before it.
            plain = scale == 1.0 and self.clip_value is None and not config.get("weight_decay")
            update = self.rule.update
            if buffer is None:
                gradient = arrays[members[0]].reshape(-1)
            else:
                gradient = buffer
                for index, part in zip(members, parts, strict=True):  # in a third of the time of np.concatenate
                    part[...] = arrays[index]
            for block, w, state, scratch in blocks:
                if plain:
                    update(w, gradient[block], state, config, scratch)
                else:
                    self._bounded(w, gradient[block], state, config, scratch, scale)

    def _scale(self, arrays: list[Any]) -> float:
        """Return what all gradients are multiplied by, to have a norm of at most `clip_norm`."""
        if self.clip_norm is None:
            return 1.0
        norm = global_norm(arrays)
        if not math.isfinite(norm):
            raise FloatingPointError(
                f"step: the gradients have the norm {norm}, which clip_norm cannot bound; no parameter was changed"
            )
        return self.clip_norm / norm if norm > self.clip_norm else 1.0

    def _bounded(
        self, w: np.ndarray, dw: np.ndarray, state: Any, config: Mapping[str, Any], scratch: np.ndarray, scale: float
    ) -> None:
        """Apply the rule to a block with its gradient clipped, in a buffer: the gradient itself is not written."""
        room = np.empty_like(w)
        if self.clip_value is not None:
            dw = np.clip(dw, -self.clip_value, self.clip_value, out=room)
        elif scale != 1.0:
            dw = np.multiply(dw, scale, out=room)
        self.rule.step(w, dw, state, config, scratch, room)

    def zero_grad(self) -> None:
        """Forget the gradient of every parameter (set it to None)."""
        for tensor in self._tensors:
            if tensor.requires_grad:
                tensor.node.grad = None

    @property
    def learning_rate(self) -> float:
        """The step size before `factor`. Assigning checks it, and scales the groups' own in proportion.

        Where it was 0, the groups keep theirs.
        """
        return float(self._configs[0]["learning_rate"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        before = self.learning_rate
        main = self.rule.configure({**self._configs[0], "learning_rate": value})
        for own, config in zip(self._own, self._configs, strict=True):
            if "learning_rate" not in own:
                config["learning_rate"] = main["learning_rate"]
            elif before:
                config["learning_rate"] *= main["learning_rate"] / before

    @property
    def factor(self) -> float:
        """What every learning rate is multiplied by, at least 0: schedules set it."""
        return self._factor

    @factor.setter
    def factor(self, value: float) -> None:
        self._factor = Option(1.0).check("Optimizer", "factor", value)

    @property
    def config(self) -> dict[str, Any]:
        """A copy of the hyperparameters, without the groups' own; with ``t``, where the rule counts steps."""
        return dict(self._configs[0])

    def config_of(self, name: str) -> dict[str, Any]:
        """Return a copy of the hyperparameters of one parameter; raise ValueError if there is none of this name."""
        if name not in self._known:
            raise ValueError(f"config_of: no parameter {name!r}; there are {', '.join(self._names)}")
        return dict(self._configs[self._places[name]])

    def state_dict(self) -> dict[str, Any]:
        """Copy everything that the next step depends on, other than the parameters.

        Returns
        -------
        dict
            ``rule`` (its name), ``config`` (the hyperparameters, and ``t`` where the rule counts steps), ``factor``,
            ``groups`` (the ``names`` of the parameters of each and its ``config``) and ``state``: for each parameter's
            name the rule's arrays by name, of the parameter's shape and dtype.
        """
        state = {
            name: {key: array.copy() for key, array in zip(self.rule.state, arrays, strict=True)}
            for name, arrays in zip(self._names, self._states, strict=True)
        }
        groups = [{"names": self._members(n), "config": {**config}} for n, config in enumerate(self._configs) if n]
        return {"rule": self.rule.name, "config": self.config, "factor": self._factor, "groups": groups, "state": state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, from an optimizer of the same rule and parameters.

        Parameters
        ----------
        state_dict : mapping
            As `state_dict` returns it. The arrays are copied.

        Raises
        ------
        ValueError
            When the rule, a name, a shape or a hyperparameter does not fit; nothing has changed then.
        TypeError
            When an array's dtype is not its parameter's.
        """
        missing = [key for key in ("rule", "config", "state") if key not in state_dict]
        if missing:
            raise ValueError(f"state_dict: {', '.join(missing)} missing; it needs rule, config and state")
        if state_dict["rule"] != self.rule.name:
            raise ValueError(f"state_dict: it is of rule {state_dict['rule']!r}, this optimizer has {self.rule.name!r}")
        groups = state_dict.get("groups", [])
        if [list(group["names"]) for group in groups] != [self._members(n) for n in range(1, len(self._own))]:
            raise ValueError("state_dict: its groups of parameters are not this optimizer's; give the same groups")
        configs = [self.rule.configure(config) for config in (state_dict["config"], *(g["config"] for g in groups))]
        factor = Option(1.0).check("state_dict", "factor", state_dict.get("factor", 1.0))
        saved = state_dict["state"]
        check_keys("state_dict", saved, self._names, "parameter")
        for name, shape, dtype in zip(self._names, self._shapes, self._dtypes, strict=True):
            check_keys(f"state_dict: {name}", saved[name], self.rule.state, "array")
            for key in self.rule.state:
                array = np.asarray(saved[name][key])
                if array.shape != shape:
                    raise ValueError(f"state_dict: {key} of {name} has shape {array.shape}, expected {shape}")
                if array.dtype != dtype:
                    raise TypeError(f"state_dict: {key} of {name} has dtype {array.dtype}, expected {dtype}")
        for name, arrays in zip(self._names, self._states, strict=True):
            for key, array in zip(self.rule.state, arrays, strict=True):
                array[...] = saved[name][key]
        self._configs, self._factor = configs, factor

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={value:g}" for key, value in self._configs[0].items())
        total = sum(view.size for view in self._views)
        return f"Optimizer({self.rule.name}, {options}; {len(self._names)} parameters of {total:,} elements)"

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy needs an arena of its own, which its parameters then live in: views do not survive a copy.
        tensors = dict(zip(self._names, self._tensors, strict=True))
        own = {name: self._own[place] for name, place in self._places.items() if place}
        return _rebuild, (tensors, self.rule, own, self.clip_norm, self.clip_value, self.state_dict())

    def _members(self, group: int) -> list[str]:
        return [name for name in self._names if self._places[name] == group]

    def _build(self, group: int, indices: list[int]) -> None:
        """Lay out the arena of parameters of one group and dtype: their views, their state's, the blocks to walk."""
        dtype = self._dtypes[indices[0]]
        sizes = {index: self._tensors[index].data.size for index in indices}
        total = sum(sizes.values())
        # The first array is the parameters', the others are the rule's state.
        arena = [np.zeros(total, dtype) for _ in range(1 + len(self.rule.state))]
        scratch = np.empty(min(total, layout.BLOCK), dtype)
        start = 0
        for members in runs(sizes):
            first = start
            length = sum(sizes[index] for index in members)
            buffer = np.empty(length, dtype) if len(members) > 1 else None
            parts = []
            for index in members:
                part = slice(start, start + sizes[index])
                view, *state = (flat[part].reshape(self._shapes[index]) for flat in arena)
                self._views[index], self._states[index] = view, tuple(state)
                start = part.stop
                if buffer is not None:
                    parts.append(buffer[part.start - first : part.stop - first].reshape(self._shapes[index]))
            blocks = []
            for low in range(first, start, layout.BLOCK):
                high = min(low + layout.BLOCK, start)
                w, *state = (flat[low:high] for flat in arena)
                blocks.append((slice(low - first, high - first), w, tuple(state), scratch[: high - low]))
            self._pieces.append((group, members, buffer, parts, blocks))

    def _adopt(self, index: int) -> None:
        """Copy a parameter's values into its view of the arena, and make that view the parameter's array."""
        tensor, view = self._tensors[index], self._views[index]
        if hasattr(tensor, "move_"):
            tensor.move_(view)
        else:
            view[...] = tensor.data
            tensor.data = view
        # Kept as the tensor holds it, for `step` to recognise by identity.
        self._views[index] = tensor.data

    def _by_name(self, gradients: Mapping[str, np.ndarray]) -> list[Any]:
        """Return the gradients in the order of the parameters; None stands for one that is missing."""
        if not isinstance(gradients, Mapping):
            raise TypeError(f"step: gradients must map names to ndarrays, got {type(gradients).__name__}")
        for name in gradients:
            if name not in self._known:
                raise ValueError(f"step: gradient {name!r} has no parameter; there are {', '.join(self._names)}")
        return [gradients.get(name) for name in self._names]

    def _refuse_frozen(self) -> None:
        """Raise ValueError if a parameter needs no gradient any more."""
        frozen = [name for name, tensor in zip(self._names, self._tensors, strict=True) if not tensor.requires_grad]
        if frozen:
            raise ValueError(
                f"step: {', '.join(frozen)} was frozen (requires_grad=False) after this optimizer was made, and no "
                f"parameter was changed; make a new optimizer, which leaves it out"
            )

    def _refuse_gradient(self, gradient: Any, view: np.ndarray) -> None:
        """Raise the error that says what is wrong with a gradient; return when it only is of a subclass of ndarray."""
        name = next(name for name, own in zip(self._names, self._views, strict=True) if own is view)
        shape, dtype = view.shape, view.dtype
        if gradient is None:
            self._refuse_frozen()
            raise ValueError(
                f"step: parameter {name} has no gradient, and no parameter was changed; call backward() on a loss that "
                f"depends on it, or leave it out of the optimizer"
            )
        if not isinstance(gradient, np.ndarray):
            raise TypeError(f"step: the gradient of {name} must be an ndarray, got {type(gradient).__name__}")
        if gradient.shape != shape:
            raise ValueError(f"step: the gradient of {name} has shape {gradient.shape}, the parameter has {shape}")
        if gradient.dtype != dtype:
            raise TypeError(f"step: the gradient of {name} has dtype {gradient.dtype}, the parameter has {dtype}")


_Block = tuple[slice, np.ndarray, tuple[np.ndarray, ...], np.ndarray]
_Piece = tuple[int, list[int], np.ndarray | None, list[np.ndarray], list[_Block]]


def _rebuild(
    tensors: dict[str, Any], rule: Rule, own: dict[str, dict[str, Any]], clip_norm: float | None,
    clip_value: float | None, state_dict: dict[str, Any],
) -> Optimizer:  # fmt: skip
    """Make the copy of an optimizer, for pickle and copy."""
    groups = {escape(name): options for name, options in own.items()}
    optimizer = Optimizer(
        tensors, rule, groups=groups, clip_norm=clip_norm, clip_value=clip_value, **state_dict["config"]
    )
    optimizer.load_state_dict(state_dict)
    return optimizer

"""The optimizer: parameters in one flat arena, updated in place by a rule."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..engine.node import tick
from .rule import PureRule, Rule, check_dtype
from .rules import get_rule

# Elements per call of a rule: a block of each array stays in the cache while the rule passes over it several times.
# Of 8K to 256K, 64K and more are fastest at 5.2 million float32 parameters, and 64K needs the least scratch memory.
BLOCK = 65_536
# Parameters below this size are gathered, so that a run of biases and small weights costs one call of the rule.
SMALL = BLOCK // 2


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
    **config : float
        The rule's hyperparameters, such as ``learning_rate``; those left out have the rule's defaults.

    Attributes
    ----------
    rule : Rule
        The rule in use.

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

    def __init__(self, parameters: Any, rule: str | Rule | PureRule = "sgd", **config: Any) -> None:
        self.rule = get_rule(rule)
        self._config = self.rule.configure(config)
        named = _named(parameters)
        _check_parameters(named)
        self._names = list(named)
        self._known = frozenset(named)
        self._tensors = list(named.values())
        self._shapes = [tensor.data.shape for tensor in self._tensors]
        self._dtypes = [tensor.data.dtype for tensor in self._tensors]
        self._views: list[np.ndarray] = [tensor.data for tensor in self._tensors]
        self._states: list[tuple[np.ndarray, ...]] = [() for _ in self._tensors]
        # One entry per gradient to read: the indices of the parameters it is gathered from (mostly one), the buffer to
        # gather in and its parts, and the blocks to update with it.
        self._pieces: list[_Piece] = []
        for dtype in dict.fromkeys(self._dtypes):
            self._build(dtype)
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
        config = self._config
        if self.rule.counted:
            config["t"] += 1
        update = self.rule.update
        for members, buffer, parts, blocks in self._pieces:
            if buffer is None:
                gradient = arrays[members[0]].reshape(-1)
            else:
                gradient = buffer
                for index, part in zip(members, parts, strict=True):  # in a third of the time of np.concatenate
                    part[...] = arrays[index]
            for block, w, state, scratch in blocks:
                update(w, gradient[block], state, config, scratch)

    def zero_grad(self) -> None:
        """Forget the gradient of every parameter (set it to None)."""
        for tensor in self._tensors:
            if tensor.requires_grad:
                tensor.node.grad = None

    @property
    def learning_rate(self) -> float:
        """The step size. Assigning checks it as the constructor does."""
        return float(self._config["learning_rate"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._config = self.rule.configure({**self._config, "learning_rate": value})

    @property
    def config(self) -> dict[str, Any]:
        """A copy of the hyperparameters; with ``t``, the steps done, where the rule counts them."""
        return dict(self._config)

    def state_dict(self) -> dict[str, Any]:
        """Copy everything that the next step depends on, other than the parameters.

        Returns
        -------
        dict
            ``rule`` (its name), ``config`` (the hyperparameters, and ``t`` where the rule counts steps) and ``state``:
            for each parameter's name the rule's arrays by name, of the parameter's shape and dtype.
        """
        state = {
            name: {key: array.copy() for key, array in zip(self.rule.state, arrays, strict=True)}
            for name, arrays in zip(self._names, self._states, strict=True)
        }
        return {"rule": self.rule.name, "config": self.config, "state": state}

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
        config = self.rule.configure(state_dict["config"])
        saved = state_dict["state"]
        _check_keys("state_dict", saved, self._names, "parameter")
        for name, shape, dtype in zip(self._names, self._shapes, self._dtypes, strict=True):
            _check_keys(f"state_dict: {name}", saved[name], self.rule.state, "array")
            for key in self.rule.state:
                array = np.asarray(saved[name][key])
                if array.shape != shape:
                    raise ValueError(f"state_dict: {key} of {name} has shape {array.shape}, expected {shape}")
                if array.dtype != dtype:
                    raise TypeError(f"state_dict: {key} of {name} has dtype {array.dtype}, expected {dtype}")
        for name, arrays in zip(self._names, self._states, strict=True):
            for key, array in zip(self.rule.state, arrays, strict=True):
                array[...] = saved[name][key]
        self._config = config

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={value:g}" for key, value in self._config.items())
        total = sum(view.size for view in self._views)
        return f"Optimizer({self.rule.name}, {options}; {len(self._names)} parameters of {total:,} elements)"

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy needs an arena of its own, which its parameters then live in: views do not survive a copy.
        return _rebuild, (dict(zip(self._names, self._tensors, strict=True)), self.rule, self.state_dict())

    def _build(self, dtype: np.dtype) -> None:
        """Lay out the arena of one dtype: the views of each parameter and of its state, and the blocks to walk."""
        indices = [index for index, other in enumerate(self._dtypes) if other == dtype]
        sizes = {index: self._tensors[index].data.size for index in indices}
        total = sum(sizes.values())
        # The first array is the parameters', the others are the rule's state.
        arena = [np.zeros(total, dtype) for _ in range(1 + len(self.rule.state))]
        scratch = np.empty(min(total, BLOCK), dtype)
        start = 0
        for members in _runs(sizes):
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
            for low in range(first, start, BLOCK):
                high = min(low + BLOCK, start)
                w, *state = (flat[low:high] for flat in arena)
                blocks.append((slice(low - first, high - first), w, tuple(state), scratch[: high - low]))
            self._pieces.append((members, buffer, parts, blocks))

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
_Piece = tuple[list[int], np.ndarray | None, list[np.ndarray], list[_Block]]


def _rebuild(named: dict[str, Any], rule: Rule, state_dict: dict[str, Any]) -> Optimizer:
    """Make the copy of an optimizer, for pickle and copy."""
    optimizer = Optimizer(named, rule, **state_dict["config"])
    optimizer.load_state_dict(state_dict)
    return optimizer


def _runs(sizes: Mapping[int, int]) -> Iterator[list[int]]:
    """Group parameters: each large one alone, then the small ones in runs of at most `BLOCK` elements."""
    for index, size in sizes.items():
        if size >= SMALL:
            yield [index]
    run: list[int] = []
    length = 0
    for index, size in sizes.items():
        if size >= SMALL:
            continue
        if length + size > BLOCK:
            yield run
            run, length = [], 0
        run.append(index)
        length += size
    if run:
        yield run


def _named(parameters: Any) -> dict[str, Any]:
    """Return the parameters by name, from any of the forms that `Optimizer` takes."""
    if hasattr(parameters, "named_parameters"):
        return {name: tensor for name, tensor in parameters.named_parameters() if tensor.requires_grad}
    if hasattr(parameters, "backward") or isinstance(parameters, str) or not isinstance(parameters, Iterable):
        raise TypeError(
            f"parameters must be a module, a mapping, or an iterable of tensors, got {type(parameters).__name__}; "
            f"one tensor goes into a list: Optimizer([w])"
        )
    pairs = parameters.items() if isinstance(parameters, Mapping) else parameters
    named: dict[str, Any] = {}
    for position, entry in enumerate(pairs):
        if isinstance(entry, tuple):
            name, tensor = entry
        else:
            name, tensor = getattr(entry, "name", None) or f"parameter{position}", entry
        if name in named and named[name] is tensor:
            raise ValueError(f"parameters: {name!r} is given twice; each parameter once")
        if name in named:
            raise ValueError(f"parameters: two are called {name!r}; give pairs of distinct names and tensors")
        named[name] = tensor
    return named


def _check_parameters(named: Mapping[str, Any]) -> None:
    """Raise unless these are distinct trainable leaves with memory of their own."""
    if not named:
        raise ValueError("parameters: none given that require a gradient; an optimizer needs at least one")
    seen: dict[int, str] = {}
    for name, tensor in named.items():
        if not hasattr(tensor, "touch_") or not hasattr(tensor, "grad"):
            raise TypeError(f"parameters: {name} must be a tensor, got {type(tensor).__name__}")
        if not tensor.requires_grad:
            raise TypeError(f"parameters: {name} requires no gradient; make it with requires_grad=True or leave it out")
        if tensor.node.op is not None:
            raise TypeError(f"parameters: {name} is the result of an operation; give the leaf tensors it came from")
        check_dtype(tensor.data.dtype, f"parameters: {name}")
        if id(tensor) in seen:
            raise ValueError(f"parameters: {seen[id(tensor)]} and {name} are one tensor; give it once")
        seen[id(tensor)] = name
    # Moving two parameters that share memory into places of their own would part them without a word. Sorted by their
    # first byte, an array can overlap only those that begin before it ends.
    spans = sorted(
        (*np.lib.array_utils.byte_bounds(tensor.data), name) for name, tensor in named.items() if tensor.data.size
    )
    for position, (_, end, name) in enumerate(spans):
        for start, _, other in spans[position + 1 :]:
            if start >= end:
                break
            if np.shares_memory(named[name].data, named[other].data):
                raise ValueError(f"parameters: {name} and {other} share memory; give each an array of its own")


def _check_keys(label: str, given: Mapping[str, Any], expected: Iterable[str], what: str) -> None:
    """Raise unless the keys of `given` are exactly those expected."""
    wanted = set(expected)
    for problem, keys in (("missing", wanted - set(given)), ("unknown", set(given) - wanted)):
        if keys:
            names, all_names = ", ".join(sorted(keys)), ", ".join(sorted(wanted))
            raise ValueError(f"{label}: {problem} {what} {names}; expected {all_names}")

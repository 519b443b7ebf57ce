"""What an optimizer is given: its parameters by name, and the groups of them that have options of their own."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from .rule import Rule, check_dtype


def named_tensors(parameters: Any) -> dict[str, Any]:
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


def check_parameters(named: Mapping[str, Any]) -> None:
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


def check_mapping(label: str, given: Any) -> None:
    """Raise ValueError unless `given` is a mapping: what a file holds may be anything."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{label}: given {type(given).__name__}, expected a mapping, as state_dict() returns it")


def _check_keys(label: str, given: Any, expected: Iterable[str], what: str) -> None:
    """Raise unless `given` is a mapping with exactly the keys expected."""
    check_mapping(label, given)
    wanted = set(expected)
    for problem, keys in (("missing", wanted - set(given)), ("unknown", set(given) - wanted)):
        if keys:
            names, all_names = ", ".join(sorted(keys)), ", ".join(sorted(wanted))
            raise ValueError(f"{label}: {problem} {what} {names}; expected {all_names}")


def check_state(saved: Mapping[str, Any], arrays: Mapping[str, np.ndarray], state: Sequence[str]) -> None:
    """Raise unless `saved` has the arrays `state` for each of the parameters `arrays`, of its shape and dtype."""
    _check_keys("state_dict", saved, arrays, "parameter")
    for name, own in arrays.items():
        _check_keys(f"state_dict: {name}", saved[name], state, "array")
        for key in state:
            array = np.asarray(saved[name][key])
            if array.shape != own.shape:
                raise ValueError(f"state_dict: {key} of {name} has shape {array.shape}, expected {own.shape}")
            if array.dtype != own.dtype:
                raise TypeError(f"state_dict: {key} of {name} has dtype {array.dtype}, expected {own.dtype}")


def check_groups(rule: Rule, groups: Any, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the options of each group as Python numbers, under its pattern.

    Parameters
    ----------
    rule : Rule
        Knows the options.
    groups : mapping of str to mapping, or None
        Options by pattern, as `fnmatch` understands it; upper and lower case differ.
    names : sequence of str
        Of the parameters.

    Raises
    ------
    ValueError
        If a pattern matches no parameter, or an option is unknown or out of range.
    TypeError
        If `groups` is no mapping of strings to mappings, or an option is no number.
    """
    example = "{'fc1.*': {'learning_rate': 1e-4}}"
    if groups is not None and not isinstance(groups, Mapping):
        raise TypeError(f"groups: given {groups!r}, expected a dict of options by pattern, such as {example}")
    checked: dict[str, dict[str, Any]] = {}
    for pattern, options in (groups or {}).items():
        if not isinstance(pattern, str) or not isinstance(options, Mapping):
            raise TypeError(f"groups: given {options!r} for {pattern!r}, expected a dict of options, as in {example}")
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"groups: {pattern!r} matches no parameter; there are {', '.join(names)}")
        if "t" in options:
            raise ValueError(f"groups: {pattern!r} sets t, the steps done, which is one for all parameters")
        try:
            checked[pattern] = rule.check(options)
        except (TypeError, ValueError) as error:
            raise type(error)(f"groups: {pattern!r}: {error}") from None
    return checked


def groups_of(saved: Any) -> dict[str, Any]:
    """Return the groups in the list that a state has; raise ValueError if it is no such list."""
    try:
        groups = {group["pattern"]: group["options"] for group in saved}
        if len(groups) == len(saved):
            return groups
    except (KeyError, TypeError, IndexError):
        pass  # it is no such list either, and refused below
    raise ValueError(f"state_dict: groups: given {saved!r}, expected a list of 'pattern', each once, and 'options'")


def kinds_of(groups: Iterable[str], names: Iterable[str]) -> tuple[list[tuple[str, ...]], list[int]]:
    """Sort parameters by the patterns that match them.

    Parameters
    ----------
    groups : iterable of str
        The patterns.
    names : iterable of str
        Of the parameters.

    Returns
    -------
    kinds : list of tuple of str
        The combinations of patterns that occur, the first one that of no pattern at all.
    places : list of int
        For each parameter its place in `kinds`.
    """
    patterns = list(groups)
    matched = [tuple(pattern for pattern in patterns if fnmatchcase(name, pattern)) for name in names]
    kinds: list[tuple[str, ...]] = list(dict.fromkeys([(), *matched]))
    return kinds, [kinds.index(kind) for kind in matched]

"""What an optimizer is given: parameters by name, their groups, and the runs they are walked in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from .rule import Rule, check_dtype

# Elements per call of a rule: a block of each array stays in the cache while the rule passes over it several times.
# Of 8K to 256K, 64K and more are fastest at 5.2 million float32 parameters, and 64K needs the least scratch memory.
BLOCK = 65_536
# Parameters below this size are gathered, so that a run of biases and small weights costs one call of the rule.
SMALL = BLOCK // 2


def runs(sizes: Mapping[int, int]) -> Iterator[list[int]]:
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


def named(parameters: Any) -> dict[str, Any]:
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


def check_keys(label: str, given: Mapping[str, Any], expected: Iterable[str], what: str) -> None:
    """Raise unless the keys of `given` are exactly those expected."""
    wanted = set(expected)
    for problem, keys in (("missing", wanted - set(given)), ("unknown", set(given) - wanted)):
        if keys:
            names, all_names = ", ".join(sorted(keys)), ", ".join(sorted(wanted))
            raise ValueError(f"{label}: {problem} {what} {names}; expected {all_names}")


def grouped(
    rule: Rule, main: Mapping[str, Any], groups: Any, names: Iterable[str]
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return the options of each group, the main one's (none of its own) first, and the group of each parameter.

    Parameters
    ----------
    rule : Rule
        Checks the options.
    main : mapping
        The options of all parameters.
    groups : mapping of str to mapping, or None
        Options by pattern; of patterns that match one parameter, the later ones win.
    names : iterable of str
        Of the parameters.

    Raises
    ------
    ValueError
        If a pattern matches no parameter, or an option is unknown or out of range.
    TypeError
        If `groups` is no mapping of patterns to mappings.
    """
    names = list(names)
    own: dict[str, dict[str, Any]] = {name: {} for name in names}
    if groups is not None and not isinstance(groups, Mapping):
        raise TypeError(f"groups: given {type(groups).__name__}, expected a dict: {{'*.b': {{'weight_decay': 0.0}}}}")
    for pattern, options in (groups or {}).items():
        if not isinstance(pattern, str) or not isinstance(options, Mapping):
            raise TypeError(f"groups: {pattern!r} has {options!r}, expected a dict of options under a pattern of names")
        matched = [name for name in names if fnmatchcase(name, pattern)]
        if not matched:
            raise ValueError(f"groups: {pattern!r} matches no parameter; there are {', '.join(names)}")
        if "t" in options:
            raise ValueError(f"groups: {pattern!r} sets t, which counts the steps of all parameters")
        rule.configure({**main, **options})
        for name in matched:
            own[name] |= options
    kinds: list[dict[str, Any]] = [{}]
    places = {}
    for name in names:
        if own[name] not in kinds:
            kinds.append(own[name])
        places[name] = kinds.index(own[name])
    return kinds, places

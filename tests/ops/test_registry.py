"""Every declared operation, collected from the registry, through every check of registry_checks."""

from __future__ import annotations

import dis
import functools
import itertools
import zlib
from collections.abc import Callable
from typing import Any

import fused_cases
import numpy as np
import pytest
from fused_cases import BIG
from registry_cases import Case, assert_close
from registry_checks import CHECKS, SLACK, cases, check_op, peak_memory

import tinygrad_fc as tg
import tinygrad_fc.linalg
import tinygrad_fc.ops.special  # declared when it is first used
from tinygrad_fc.engine.op import REGISTRY, Op

OPS = sorted(REGISTRY)
WITHOUT_RULES = ("values", "nothing_is_written", "no_grad")
PAIRS = [(name, check) for name in OPS for check in CHECKS if REGISTRY[name].rules or check in WITHOUT_RULES]


def generator_of(name: str) -> np.random.Generator:
    """Return the operation's own generator: adding another operation changes nothing for it."""
    return np.random.default_rng(zlib.crc32(name.encode()))


@pytest.mark.parametrize(("name", "check"), PAIRS, ids=[f"{name}-{check}" for name, check in PAIRS])
def test_operation(name: str, check: str) -> None:
    check_op(REGISTRY[name], generator_of(name), (check,))


@pytest.mark.parametrize("name", OPS)
def test_has_samples(name: str) -> None:
    assert cases(REGISTRY[name], generator_of(name))


@pytest.mark.parametrize("name", [name for name in OPS if REGISTRY[name].rules])
def test_rules_use_what_they_say_they_read(name: str) -> None:
    """A parameter that a rule names and does not use would keep an array alive for nothing."""
    op = REGISTRY[name]
    for rule in [*op.rules.values(), *([op.via] if op.via is not None else [])]:
        assert unused(rule) == set(), f"{name}: {rule.__code__}"


def unused(rule: Callable[..., Any]) -> set[str]:
    """Return the parameters after g that the code of a rule never loads."""
    loaded: set[str] = set()
    for step in dis.get_instructions(rule):
        if step.opname.startswith("LOAD"):
            loaded |= set(step.argval) if isinstance(step.argval, tuple) else {step.argval}
    return set(rule.__code__.co_varnames[1 : rule.__code__.co_argcount]) - loaded


def test_an_unused_parameter_is_found() -> None:
    assert unused(lambda g, x, y: g * y) == {"x"}
    assert unused(lambda g, x, y: [g * x for _ in y]) == set()
    assert unused(lambda g: g) == set()


# ---- what has no NumPy function of its own to be compared with


def naive_index(a: Any, key: Any, values: Any, add: bool) -> np.ndarray:
    """Write one element at a time, in order, through the positions that the key picks."""
    out, at = a.copy(), np.arange(a.size).reshape(a.shape)[key]
    for where, value in zip(at.ravel(), np.broadcast_to(values, at.shape).ravel(), strict=True):
        out.flat[where] = out.flat[where] + value if add else value
    return out


def naive_logsumexp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.log(np.sum(np.exp(a), axis=axis, keepdims=keepdims))


ORACLES: dict[str, Callable[..., Any]] = {
    "same": lambda x: x,
    "copy": lambda x, order="K": x,
    "scatter": lambda g, key, shape: naive_index(np.zeros(shape), key, g, add=True),
    "getitem": lambda a, key: a[key],
    "index_set": functools.partial(naive_index, add=False),
    "index_add": functools.partial(naive_index, add=True),
    "einsum": np.einsum,
    "logsumexp": naive_logsumexp,
    "concatenate": lambda *arrays, axis=0: np.concatenate(arrays, axis),
    "stack": lambda *arrays, axis=0: np.stack(arrays, axis),
    **fused_cases.ORACLES,
}


@pytest.mark.parametrize("name", ORACLES)
def test_values_against_a_slow_function(name: str) -> None:
    """What NumPy has, the check of values compares with NumPy; these are the others."""
    for case in cases(REGISTRY[name], generator_of(name)):
        args, kwargs = case.sample
        assert_close(case.raw(case.arrays), ORACLES[name](*args, **kwargs), 1e-13, repr(case))


# ---- fused operations at a size where arrays outweigh objects

FUSED = sorted(name for name, op in REGISTRY.items() if op.compose is not None)


@pytest.mark.parametrize("name", FUSED)
def test_fused_needs_no_more_memory(name: str, rng: np.random.Generator) -> None:
    assert name in BIG, f"give {name} a call in fused_cases.BIG, with arrays of half a megabyte or more"
    case = Case(REGISTRY[name], tuple(rng.normal(size=a) if isinstance(a, tuple) else a for a in BIG[name]))
    fused, composed = peak_memory(case.run, case.arrays), peak_memory(case.composed, case.arrays)
    assert fused <= composed + SLACK, f"{name}: {fused:,} bytes at the peak, composed from primitives {composed:,}"


# ---- the checks can fail


def one_array(generator: np.random.Generator) -> list[Any]:
    return [(generator.uniform(0.5, 2.0, (2, 3)),)]


def writes_input(x: Any) -> Any:
    out = x * 2.0
    x[...] = 0.0
    return out


def writes_saved(g: Any, out: Any) -> Any:
    if isinstance(out, np.ndarray):
        out[...] = 1.0
    return g * 2.0


HELD = np.ones((2, 3))

WRONG = {
    "first_order": lambda: tg.op(lambda x: x**2, name="wrong", x=lambda g, x: g * x, samples=one_array),
    "second_order": lambda: tg.op(
        lambda x: x**3,
        name="wrong",
        samples=one_array,
        x=lambda g, x: g * (3.0 * (x.data if isinstance(x, tg.Tensor) else x) ** 2),
    ),
    "dtypes": lambda: tg.op(lambda x: x * np.float64(2.0), name="wrong", x=lambda g: g * 2.0, samples=one_array),
    "nothing_is_written": lambda: tg.op(lambda x: x * 2.0, name="wrong", x=writes_saved, samples=one_array),
    "layouts": lambda: tg.op(
        lambda x: x * 2.0, name="wrong", x=lambda g: g * (1.0 + (g.strides[-1] == 8)), samples=one_array
    ),
    "compose": lambda: tg.fused_op(
        lambda x: x * 2.0, name="wrong", x=lambda g: g * 2.0, compose=lambda x: x * 2.0 + 1e-6, samples=one_array
    ),
    "branch": lambda: tg.op(
        lambda x: x * 2.0, name="wrong", x=lambda g: g * 2.0, samples=one_array, branch=lambda x: x
    ),
}


@pytest.mark.parametrize("check", WRONG)
@pytest.mark.usefixtures("registry")
def test_a_wrong_declaration_fails(check: str) -> None:
    wrong: Op = WRONG[check]().op
    with pytest.raises(AssertionError):
        check_op(wrong, np.random.default_rng(0), (check,))


@pytest.mark.usefixtures("registry")
def test_a_rule_that_widens_float32_fails() -> None:
    """The engine refuses another's; one of this package, which it trusts and casts, the check finds."""
    wrong = tg.op(
        lambda x: x * 2.0, name="wrong", x=lambda g: g * np.float64(2.0), samples=one_array, broadcasts=True
    ).op
    with pytest.raises(TypeError, match="wrong: .* has dtype float64, expected float32"):
        check_op(wrong, np.random.default_rng(0), ("dtypes",))
    wrong.proved = True
    with pytest.raises(AssertionError, match="the rule of x returned float64"):
        check_op(wrong, np.random.default_rng(0), ("dtypes",))


@pytest.mark.usefixtures("registry")
def test_a_kernel_that_writes_its_input_fails() -> None:
    wrong = tg.op(writes_input, name="wrong", x=lambda g: g * 2.0, samples=one_array).op
    with pytest.raises(AssertionError, match="an input was written"):
        check_op(wrong, np.random.default_rng(0), ("nothing_is_written",))


@pytest.mark.usefixtures("registry")
def test_a_rule_may_return_an_array_that_it_keeps() -> None:
    """The engine copies what it did not make: a constant of a rule's own is neither written nor given away."""
    kept = tg.op(lambda x: x * HELD, name="held", x=lambda g: HELD, samples=one_array)
    x = tg.tensor(np.ones((2, 3)), requires_grad=True)
    (kept(x) + kept(x)).sum().backward()
    assert (x.grad == 2.0).all()
    assert (HELD == 1.0).all()
    assert not np.shares_memory(x.grad, HELD)


@pytest.mark.usefixtures("registry")
def test_an_operation_without_samples_fails() -> None:
    bare = tg.op(lambda x: x * 2.0, name="bare", x=lambda g: g * 2.0).op
    with pytest.raises(AssertionError, match="bare has no samples"):
        check_op(bare, np.random.default_rng(0))
    bare.samples = lambda generator: []
    with pytest.raises(AssertionError, match="returned none"):
        check_op(bare, np.random.default_rng(0))


def test_a_right_declaration_passes(registry: None) -> None:
    right = tg.op(lambda x: x**3, name="right", x=lambda g, x: g * (3.0 * x**2), samples=one_array).op
    check_op(right, np.random.default_rng(0))


def test_the_registry_is_the_public_namespace() -> None:
    """What is declared under a public name is what ``tg.<name>`` runs, possibly through a wrapper of arguments."""
    named = [name for name in OPS if name in tg.__all__]
    assert len(named) > 50
    for name in named:
        assert callable(getattr(tg, name)), name
    assert len(set(itertools.chain(OPS))) == len(OPS)

"""Every function that is written with operations: NumPy's values, and gradients of both orders against numbers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from registry_cases import assert_close, differences

import tinygrad_fc as tg
import tinygrad_fc.linalg
import tinygrad_fc.ops.special  # declared when it is first used
from tinygrad_fc.ops.derived import DERIVED, Derived

NAMES = sorted(DERIVED)
SMOOTH = [name for name in NAMES if DERIVED[name].differentiable]
WIDE = {"float_power"}  # float64 from any precision, as in NumPy; its gradients keep theirs


def is_varying(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def leaves_of(value: Any) -> Iterator[np.ndarray]:
    """Yield the arrays of floats in nested lists, tuples and dicts."""
    if is_varying(value):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from leaves_of(item)
    elif isinstance(value, dict):
        yield from leaves_of(list(value.values()))


def filled(value: Any, arrays: Iterator[Any]) -> Any:
    """Return the same structure with other arrays (or tensors) in their places."""
    if is_varying(value):
        return next(arrays)
    if isinstance(value, (list, tuple)):
        return type(value)([filled(item, arrays) for item in value])
    if isinstance(value, dict):
        return {key: filled(item, arrays) for key, item in value.items()}
    return value


class Call:
    """One sample of a derived function."""

    def __init__(self, declared: Derived, sample: Any) -> None:
        self.declared = declared
        self.sample = sample if len(sample) == 2 and isinstance(sample[1], dict) else (tuple(sample), {})
        self.arrays = list(leaves_of(self.sample))

    def run(self, function: Any, arrays: list[Any]) -> list[Any]:
        """Call `function` with other arrays, and return its results as a list."""
        args, kwargs = filled(self.sample, iter(arrays))
        out = function(*args, **kwargs)
        outs = list(out) if isinstance(out, (list, tuple)) else [out]
        # The rank that lstsq returns is a plain number: tests/ops/test_inverses.py compares it.
        return [item for n, item in enumerate(outs) if (self.declared.name, n) != ("lstsq", 2)]

    def __repr__(self) -> str:
        return f"{self.declared.name}({self.sample!r:.100})"


def calls_of(name: str) -> list[Call]:
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    found = [Call(DERIVED[name], sample) for sample in DERIVED[name].samples(generator)]
    assert found
    return found


def tensors(arrays: list[np.ndarray]) -> list[tg.Tensor]:
    return [tg.tensor(a, requires_grad=True) for a in arrays]


@pytest.mark.parametrize("name", NAMES)
def test_values_are_numpys(name: str) -> None:
    declared = DERIVED[name]
    for call in calls_of(name):
        theirs = call.run(declared.numpy[0] if declared.numpy else declared.function, call.arrays)
        theirs = [item.data if isinstance(item, tg.Tensor) else np.asarray(item) for item in theirs]
        for inputs in (tensors(call.arrays), [tg.tensor(a) for a in call.arrays]):
            for function in (declared.function, *declared.numpy) if inputs else (declared.function,):
                ours = call.run(function, inputs)
                assert len(ours) == len(theirs), call
                for out, expected in zip(ours, theirs, strict=True):
                    assert isinstance(out, tg.Tensor), f"{call}: {type(out).__name__}"
                    assert out.dtype == expected.dtype, f"{call}: {out.dtype}, NumPy {expected.dtype}"
                    if expected.dtype.kind == "f":
                        assert_close(out.data, expected, 1e-13, repr(call))
                    else:
                        np.testing.assert_array_equal(out.data, expected, err_msg=repr(call))
                    assert not out.requires_grad or declared.differentiable


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_of_both_orders(name: str, rng: np.random.Generator) -> None:
    for call in calls_of(name):
        function, inputs = call.declared.function, tensors(call.arrays)
        if not inputs:
            continue
        shapes = [out.shape for out in call.run(function, inputs)]
        upstream = [rng.uniform(0.5, 1.5, shape) for shape in shapes]
        weights = [rng.uniform(0.5, 1.5, a.shape) for a in call.arrays]

        def total(arrays: list[Any], call: Call = call, upstream: Any = upstream) -> Any:
            outs = call.run(call.declared.function, arrays)
            return sum((g * out).sum() for g, out in zip(upstream, outs, strict=True))

        def slope(arrays: list[Any], weights: Any = weights, total: Any = total) -> Any:
            """The sum of the gradient, weighted: its own gradient is one of second order."""
            found = tg.gradients(total(arrays), arrays, create_graph=True)
            return sum((w * d).sum() for w, d in zip(weights, found, strict=True))

        loss = total(inputs)
        assert loss.requires_grad, f"{call}: no gradient flows through it"
        first = tg.gradients(loss, inputs, create_graph=True)
        second = slope(inputs)
        constant = not second.requires_grad
        second = [tg.tensor(np.zeros_like(a)) for a in call.arrays] if constant else tg.gradients(second, inputs)
        for n in range(len(inputs)):
            expected = differences(lambda a: total(tensors(a)).item(), call.arrays, n)
            assert_close(first[n].data, expected, 1e-7, f"{call}: gradient of array {n}")
            expected = differences(lambda a: slope(tensors(a)).item(), call.arrays, n)
            assert_close(second[n].data, expected, 1e-6, f"{call}: second order, array {n}")


@pytest.mark.parametrize("name", SMOOTH)
def test_float32_stays(name: str) -> None:
    for call in calls_of(name):
        arrays = [a.astype(np.float32) for a in call.arrays]
        inputs = tensors(arrays)
        if not inputs:
            continue
        outs = call.run(call.declared.function, inputs)
        kind = np.float64 if name in WIDE else np.float32
        assert {out.dtype for out in outs} == {np.dtype(kind)}, call
        loss = sum(out.sum() for out in outs)
        for d in tg.gradients(loss, inputs, create_graph=True):
            assert d.dtype == np.float32, call

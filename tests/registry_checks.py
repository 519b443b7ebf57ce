"""What each declared operation must hold. `check_op` runs all of it at the samples that the declaration carries.

Each check takes a case (an operation and one sample bound to its arguments) and a generator; it raises AssertionError
and names what is wrong. tests/ops/test_registry.py runs them over the whole registry.
"""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from registry_cases import Arrays, Case, assert_close, complex_step, differences, is_analytic, leaves, pulled, upstream

import tinygrad_fc as tg
from tinygrad_fc.engine.dispatch import FUNCTIONS, UFUNCS
from tinygrad_fc.engine.node import Node
from tinygrad_fc.engine.op import Op

# What a comparison of peak memory forgives, in bytes: Python's objects, and the buffer of 8192 elements in which a
# ufunc casts. Neither grows with the arrays.
SLACK = 16_384 + 8_192 * 8


# ---- the checks


def check_values(case: Case, generator: np.random.Generator) -> None:
    """The result is the array function's, and NumPy's where the operation answers for a NumPy function."""
    expected = case.raw(case.arrays)
    for inputs in (case.arrays, leaves(case.arrays)):
        out = case.run(inputs)
        assert type(out) is tg.Tensor
        assert type(out.data) is np.ndarray
        np.testing.assert_array_equal(out.data, expected, strict=True)
    args, kwargs = case.sample
    for table in (UFUNCS, FUNCTIONS):
        for function, record in table.items():
            if record is case.op.record:
                theirs = np.asarray(function(*args, **kwargs))
                assert theirs.dtype == expected.dtype, f"np.{function.__name__} gives {theirs.dtype}"
                if theirs.dtype.kind == "f":
                    assert_close(expected, theirs, 1e-14, f"{case} against np.{function.__name__}")
                else:
                    np.testing.assert_array_equal(expected, theirs)
                if any(isinstance(a, np.ndarray) for a in args):
                    first = next(n for n, a in enumerate(args) if isinstance(a, np.ndarray))
                    ours = function(*args[:first], tg.tensor(args[first]), *args[first + 1 :], **kwargs)
                    assert isinstance(ours, tg.Tensor), (
                        f"np.{function.__name__} of a tensor gives {type(ours).__name__}"
                    )


def check_first_order(case: Case, generator: np.random.Generator) -> None:
    """Each rule agrees with numbers, under an upstream gradient that is not uniform."""
    g = upstream(case, generator)
    analytic = is_analytic(case.op)
    numeric, tolerance = (complex_step, 1e-12) if analytic else (differences, 2e-8)
    for n, d in enumerate(pulled(case, case.arrays, g)):
        expected = numeric(lambda arrays: np.sum(g * case.raw(arrays)), case.arrays, n)
        assert_close(d.data, expected, tolerance, f"{case}: gradient with respect to {case.names()[n]}")


def check_second_order(case: Case, generator: np.random.Generator) -> None:
    """The recorded gradients equal the plain ones, and their own gradients agree with numbers."""
    g = upstream(case, generator)
    everything = [*case.arrays, g]
    weights = [generator.uniform(0.5, 1.5, a.shape) for a in case.arrays]
    inputs = leaves(everything)
    first = tg.gradients(case.run(inputs[:-1]), inputs[:-1], inputs[-1], create_graph=True)
    for d, plain, name in zip(first, pulled(case, case.arrays, g), case.names(), strict=True):
        assert d.dtype == plain.dtype
        assert_close(d.data, plain.data, 1e-12, f"{case}: create_graph=True, gradient with respect to {name}")

    def total(arrays: Arrays) -> float:
        found = pulled(case, arrays[:-1], arrays[-1])
        return float(sum(np.sum(w * d.data) for w, d in zip(weights, found, strict=True)))

    terms = [(w * d).sum() for w, d in zip(weights, first, strict=True) if d.requires_grad]
    second = tg.gradients(terms, inputs) if terms else [tg.tensor(np.zeros(a.shape)) for a in everything]
    for n, (d, name) in enumerate(zip(second, [*case.names(), "the upstream gradient"], strict=True)):
        expected = differences(total, everything, n)
        assert_close(d.data, expected, 2e-7, f"{case}: second order, with respect to {name}")


@contextmanager
def watched(op: Op) -> Iterator[list[tuple[str, Any]]]:
    """Note what each rule of `op` returns before the engine adapts it."""
    returns: list[tuple[str, Any]] = []

    def watch(label: str, pull: Any) -> Any:
        def wrapped(*args: Any) -> Any:
            d = pull(*args)
            returns.extend((label, each) for each in (d if isinstance(d, tuple) else (d,)))
            return d

        return wrapped

    before = op.pulls, op.pull_via, op.pair
    op.pulls = tuple(watch(label, pull) for label, pull in zip(op.differentiable, op.pulls, strict=True))
    op.pair = op.pair and (*op.pulls, *op.picks)
    if op.pull_via is not None:
        op.pull_via = watch("via", op.pull_via)
    try:
        yield returns
    finally:
        op.pulls, op.pull_via, op.pair = before


def check_dtypes(case: Case, generator: np.random.Generator) -> None:
    """float32 in, float32 out and back, inside the rules too; float16 likewise."""
    g = upstream(case, generator)
    wide = [d.data for d in pulled(case, case.arrays, g)]
    converts = any(isinstance(value, (type, np.dtype)) for value in case.values)  # a dtype was asked for
    for dtype in (np.float64, np.float32, np.float16):
        if isinstance(case.op.function, np.ufunc) and np.dtype(dtype).char not in "".join(case.op.function.types):
            continue  # SciPy's functions know no half precision
        arrays = [a.astype(dtype) for a in case.arrays]
        with np.errstate(all="raise" if dtype is not np.float16 else "ignore"):
            out = case.run(leaves(arrays))
            assert converts or out.dtype == dtype, f"{case}: {np.dtype(dtype)} in, {out.dtype} out"
            for create_graph in (False, True):
                with watched(case.op) as returns:
                    found = pulled(case, arrays, g.astype(out.dtype), create_graph)
                for label, d in returns:
                    assert d.dtype == out.dtype, (
                        f"{case}: the rule of {label} returned {d.dtype} for a {out.dtype} result"
                    )
                for d, expected, name in zip(found, wide, case.names(), strict=True):
                    assert d.dtype == dtype, f"{case}: the gradient of {name} is {d.dtype}"
                    if dtype is np.float32:
                        assert_close(d.data, expected, 2e-5, f"{case}: float32 gradient of {name}")
                    assert np.isfinite(d.data).all()


def check_mixed_dtypes(case: Case, generator: np.random.Generator) -> None:
    """Beside operands of another precision, each gradient has the dtype of its own input."""
    if len(case.arrays) < 2:
        return
    g = upstream(case, generator)
    wide = [d.data for d in pulled(case, case.arrays, g)]
    for n in range(len(case.arrays)):
        arrays = [a.astype(np.float32 if k == n else np.float64) for k, a in enumerate(case.arrays)]
        for create_graph in (False, True):
            found = pulled(case, arrays, g, create_graph)
            for k, (d, a) in enumerate(zip(found, arrays, strict=True)):
                what = f"{case}: {case.names()[k]} is {a.dtype}"
                assert d.dtype == a.dtype, f"{what}, its gradient {d.dtype}"
                assert_close(d.data, wide[k], 2e-5, what)


def layouts(a: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the same values with other strides: every second element, reversed, column by column; all read-only."""
    spaced = np.empty((*a.shape, 2))
    spaced[..., 0] = a
    views = [spaced[..., 0], np.array(a, order="F")]
    if a.ndim:
        views.append(np.ascontiguousarray(a[::-1])[::-1])
    for view in views:
        view.flags.writeable = False
        yield view


def check_layouts(case: Case, generator: np.random.Generator) -> None:
    """Strides and read-only memory change nothing, neither in the inputs nor in the upstream gradient."""
    g = upstream(case, generator)
    out, wide = case.raw(case.arrays), [d.data for d in pulled(case, case.arrays, g)]
    for arrays in zip(*[list(layouts(a)) for a in case.arrays], strict=False):
        for gradient in layouts(g):
            assert_close(case.run(leaves(list(arrays))).data, out, 1e-14, f"{case}: other strides")
            for d, expected in zip(pulled(case, list(arrays), gradient), wide, strict=True):
                assert_close(d.data, expected, 1e-13, f"{case}: gradient, other strides")
    even = np.broadcast_to(np.array(0.75), g.shape)  # what a sum sends back: one number with strides of 0
    for d, expected in zip(pulled(case, case.arrays, even), pulled(case, case.arrays, even.copy()), strict=True):
        assert_close(d.data, expected.data, 1e-13, f"{case}: upstream gradient with strides of 0")


def _arrays_in(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _arrays_in(item)


def check_nothing_is_written(case: Case, generator: np.random.Generator) -> None:
    """Forward and backward leave inputs, static arguments, saved values and the upstream gradient as they were."""
    g = upstream(case, generator)
    inputs = leaves([a.copy() for a in case.arrays])
    before = [a.copy() for a in _arrays_in(case.bound(case.arrays))]
    out = case.run(inputs)
    held = list(_arrays_in([out.data, *(out.node.saved if isinstance(out.node, Node) else ())]))
    copies = [a.copy() for a in held]
    if case.arrays:
        tg.gradients(out, inputs, g, retain_graph=True)
        tg.gradients(out, inputs, g, create_graph=True)
        out.backward(g)
    now = list(_arrays_in(case.bound([t.data for t in inputs])))
    for a, b in zip(now, before, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=f"{case}: an input was written", strict=True)
    for a, b in zip(held, copies, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=f"{case}: a saved value was written", strict=True)
    np.testing.assert_array_equal(g, np.array(g))


def reads(op: Op, needed: set[str]) -> set[str]:
    """Return what the rules of the `needed` arguments read, by their parameter lists."""
    rules = [op.rules[key] for key in needed] + ([op.via] if op.via is not None else [])
    found = {key for rule in rules for key in rule.__code__.co_varnames[1 : rule.__code__.co_argcount]}
    return found | (set() if op.recordable else set(op.arguments))


def check_subsets(case: Case, generator: np.random.Generator) -> None:
    """Each subset of inputs that need a gradient gets the same ones, and keeps no more than its rules read."""
    g = upstream(case, generator)
    whole = [d.data for d in pulled(case, case.arrays, g)]
    for needed in itertools.product([False, True], repeat=len(case.arrays)):
        if not any(needed):
            continue
        inputs = leaves(case.arrays, list(needed))
        out = case.run(inputs)
        assert type(out.node) is Node
        used = reads(case.op, {case.op.arguments[n] for (n, _), want in zip(case.slots, needed, strict=True) if want})
        for key, value in zip(case.op.environment, out.node.saved, strict=True):
            assert key in used or value is None, f"{case}: needed {needed}, keeps {key!r}, which no rule reads"
        for k, want in enumerate(needed):
            assert want == (type(inputs[k].node) is Node)
            if want:
                (d,) = tg.gradients(out, inputs[k], g, retain_graph=True)
                assert_close(d.data, whole[k], 1e-13, f"{case}: {case.names()[k]}, needed {needed}")


def check_no_grad(case: Case, generator: np.random.Generator) -> None:
    """Nothing is recorded under no_grad, nor for constants, nor by an operation without rules."""
    with tg.no_grad():
        assert not case.run(leaves(case.arrays)).requires_grad
    assert not case.run(leaves(case.arrays, [False] * len(case.arrays))).requires_grad
    assert not case.run(case.arrays).requires_grad
    if not case.op.rules:
        args, kwargs = case.sample
        floats = [
            tg.tensor(a, requires_grad=True) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in args
        ]
        assert not case.op.record(*floats, **kwargs).requires_grad


def check_scalars(case: Case, generator: np.random.Generator) -> None:
    """A Python number in the place of an array acts like the array, and never widens float32."""
    if not (case.op.elementwise and len(case.arrays) == 2 and case.arrays[0].size and case.arrays[1].size):
        return
    for which, kind in itertools.product((0, 1), (float, np.float32)):
        number = float(np.float32(case.arrays[1 - which].flat[0]))
        a = case.arrays[which].astype(kind)
        x = tg.tensor(a, requires_grad=True)
        out = case.op.record(*((x, number) if which == 0 else (number, x)))
        assert out.dtype == a.dtype, f"{case}: {a.dtype} beside a Python float gives {out.dtype}"
        g = generator.uniform(0.5, 1.5, a.shape).astype(kind)
        with watched(case.op) as returns:
            (d,) = tg.gradients(out, x, g, retain_graph=True)
            (recorded,) = tg.gradients(out, x, g, create_graph=True)
        for label, value in returns:
            assert value.dtype == a.dtype, f"{case}: the rule of {label} returned {value.dtype} beside a Python float"
        full = leaves([a, np.full(a.shape, number, kind)][:: 1 if which == 0 else -1])
        expected = tg.gradients(case.op.record(*full), full[which], g)[0].data
        assert_close(d.data, expected, 1e-6, f"{case}: beside the number {number}")
        assert_close(recorded.data, expected, 1e-6, f"{case}: beside the number {number}, create_graph=True")


def check_aliasing(case: Case, generator: np.random.Generator) -> None:
    """Gradients are arrays of their own: writable, and no memory shared with anything."""
    g = upstream(case, generator)
    inputs = leaves([a.copy() for a in case.arrays])
    out = case.run(inputs)
    held = list(_arrays_in([g, out.data, [t.data for t in inputs], out.node.saved if inputs else ()]))
    found = [d.data for d in tg.gradients(out, inputs, g, retain_graph=True)] if inputs else []
    if inputs:
        out.backward(g)
    found += [t.grad for t in inputs]
    for n, d in enumerate(found):
        assert type(d) is np.ndarray
        assert d.flags.writeable
        for other in (*held, *found[:n]):
            assert not np.shares_memory(d, other), f"{case}: a gradient shares memory"


def check_shared_input(case: Case, generator: np.random.Generator) -> None:
    """One tensor in every place gets the sum of the gradients of the places."""
    if len(case.arrays) < 2 or any(a.shape != case.arrays[0].shape for a in case.arrays):
        return
    g = upstream(case, generator)
    with np.errstate(all="ignore"):  # ties and poles: the two ways must only agree
        separate = leaves([case.arrays[0].copy() for _ in case.arrays])
        expected = sum(d.data for d in tg.gradients(case.run(separate), separate, g))
        (x,) = leaves([case.arrays[0].copy()])
        case.run([x] * len(case.arrays)).backward(g)
    np.testing.assert_allclose(x.grad, expected, rtol=1e-13, atol=1e-13, err_msg=f"{case}: one tensor in every place")


def peak_memory(f: Callable[[list[tg.Tensor]], tg.Tensor], arrays: Arrays) -> int:
    """Return the peak of memory, in bytes, of a forward and backward run of `f`."""
    inputs = leaves(arrays)
    out = f(inputs)  # caches fill, and compiled kernels are compiled, both ways
    out.backward(np.ones(out.shape, out.dtype))
    for tensor in inputs:
        tensor.grad = None
    del out
    tracemalloc.start()
    try:
        out = f(inputs)
        out.backward(np.ones(out.shape, out.dtype))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def check_compose(case: Case, generator: np.random.Generator) -> None:
    """A fused operation is its `compose` in value, gradient and second order, and needs no more memory."""
    if case.op.compose is None:
        return
    g = upstream(case, generator)
    weights = [generator.uniform(0.5, 1.5, a.shape) for a in case.arrays]
    results = []
    for f in (case.run, case.composed):
        inputs = leaves(case.arrays)
        out = f(inputs)
        first = tg.gradients(out, inputs, g, create_graph=True)
        terms = [(w * d).sum() for w, d in zip(weights, first, strict=True) if d.requires_grad]
        second = tg.gradients(terms, inputs) if terms else [0.0 * t.detach() for t in inputs]
        plain = tg.gradients(f(inputs), inputs, g)
        results.append([t.data for t in (out, *first, *plain, *second)])
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        assert_close(ours, theirs, 1e-11, f"{case}: against compose")
    assert peak_memory(case.run, case.arrays) <= peak_memory(case.composed, case.arrays) + SLACK


def branch_at(case: Case, arrays: Arrays) -> np.ndarray:
    """Return the declared branch of `case` at other arrays in the varying places, as a check would ask for it."""
    values = dict(zip(case.op.arguments, case.bound(arrays), strict=True), out=case.raw(arrays))
    code = case.op.branch.__code__
    return np.asarray(case.op.branch(*[values[key] for key in code.co_varnames[: code.co_argcount]]))


def check_branch(case: Case, generator: np.random.Generator) -> None:
    """The branch of a sample is the same beside it, as samples keep clear of kinks, and in single precision."""
    if case.op.branch is None:
        return
    here = branch_at(case, case.arrays)
    beside = [a + 1e-9 * generator.choice([-1.0, 1.0], a.shape) for a in case.arrays]
    single = [a.astype(np.float32) for a in case.arrays]
    for label, arrays in (("beside it", beside), ("in float32", single)):
        found = branch_at(case, arrays)
        assert (found.dtype, found.shape, found.tobytes()) == (here.dtype, here.shape, here.tobytes()), (
            f"{case}: the branch is\n{here}\n{label}\n{found}"
        )


CHECKS: dict[str, Callable[[Case, np.random.Generator], None]] = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_values, check_first_order, check_second_order, check_dtypes, check_mixed_dtypes, check_layouts,
        check_nothing_is_written, check_subsets, check_no_grad, check_scalars, check_aliasing, check_shared_input,
        check_compose, check_branch,
    )
}  # fmt: skip


def cases(op: Op, generator: np.random.Generator) -> list[Case]:
    """Return the bound samples of `op`; an operation without any fails."""
    assert op.samples is not None, f"op {op.name} has no samples: give samples= when it is declared"
    found = [Case(op, sample) for sample in op.samples(generator)]
    assert found, f"op {op.name}: samples() returned none"
    assert not op.rules or any(case.arrays for case in found), (
        f"op {op.name}: no sample has a float array to differentiate"
    )
    return found


def check_op(op: Op, generator: np.random.Generator, names: tuple[str, ...] = tuple(CHECKS)) -> None:
    """Run all checks (or those named) at all samples of `op`; raise AssertionError that says what is wrong."""
    for case in cases(op, generator):
        for name in names:
            if op.rules or name in ("values", "nothing_is_written", "no_grad"):
                CHECKS[name](case, generator)

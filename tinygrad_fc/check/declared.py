"""An operation checked when it is declared: ``tg.op(..., check=True)``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..engine.backward import gradients
from ..engine.operation import Op
from ..engine.tensor import Tensor, tensor
from .culprit import Local
from .gradcheck import gradcheck
from .problem import writes_named

CLOSE = 1e-8  # relative: how far a kernel's rounding may take it from its composition, in float64
ROUNDINGS = 200.0  # so many roundings in a smaller dtype


def check_declared(op: Op) -> None:
    """Raise unless the rules of an operation hold at its samples, and its kernel is what `compose` says.

    Parameters
    ----------
    op : Op
        Its samples are taken as they are, in their own dtype too; those that are not finite, or whose result has no
        element, are left out.

    Raises
    ------
    TypeError
        If it has no samples, one is no tuple, or none of them has an array of floats that takes a gradient.
    ValueError
        If a gradient of first order does not hold (with the report), a rule writes into what it is given, or kernel
        and `compose` differ in value or gradient.
    """
    if not callable(op.samples):
        raise TypeError(
            f"op {op.name}: check=True needs samples, at which it checks. Give a function of a generator that returns "
            f"tuples of arguments: samples=lambda rng: [(rng.normal(size=(2, 3)),)]."
        )
    generator = np.random.default_rng(0)
    given = op.samples(generator)
    samples = list(given) if isinstance(given, Iterable) else [given]
    found = False
    for number, sample in enumerate(samples):
        where = f"op {op.name}: check=True: at sample {number} of {len(samples)}"
        if not isinstance(sample, tuple):
            raise TypeError(
                f"{where} is {type(sample).__name__}: samples must be tuples of arguments, or pairs (args, kwargs) of "
                f"a tuple and a dict: samples=lambda rng: [(rng.normal(size=(2, 3)),)]."
            )
        keywords = len(sample) == 2 and isinstance(sample[0], tuple) and isinstance(sample[1], dict)
        args, kwargs = sample if keywords else (sample, {})
        with writes_named(where):
            local = Local(op, op.bind(tuple(args), dict(kwargs)), generator)
        if not local.places or not local.g.size or not all(np.isfinite(array).all() for array in local.arrays):
            continue  # what is not finite is an edge, for tests of its own; of nothing there is nothing to check
        found = True
        report = gradcheck(lambda *leaves, local=local: _out(local, leaves), *_leaves(local, own=True))
        if not report:
            raise ValueError(f"{where} the gradients do not hold\n{report}")
        if op.compose is not None:
            _compare(where, local, own=False)
            if any(dtype != np.float64 for dtype in local.dtypes):
                _compare(where, local, own=True)
    if not found:
        raise TypeError(
            f"op {op.name}: check=True: none of its samples has a finite array of floats for an argument with a rule."
        )


def _leaves(local: Local, own: bool) -> list[Tensor]:
    """Return the arrays of a sample as leaves, in their own dtypes or in float64."""
    arrays = [a.astype(dtype) if own else a for a, dtype in zip(local.arrays, local.dtypes, strict=True)]
    return [tensor(array, requires_grad=True, name=local.name(n)) for n, array in enumerate(arrays)]


def _out(local: Local, leaves: Any) -> Any:
    args, kwargs = local._spread(list(leaves))
    out = local.op.record(*args, **kwargs)
    return out[0] if local.op.beside else out


def _compare(where: str, local: Local, own: bool) -> None:
    """Raise ValueError unless kernel and composition agree in value and in every gradient, in one dtype."""
    ours, theirs = _leaves(local, own), _leaves(local, own)
    close = max([CLOSE, *[ROUNDINGS * float(np.finfo(t.dtype).eps) for t in ours if t.dtype != np.float64]])
    kernel, composed = _out(local, ours), local.op.call(local._values(theirs), local.op.compose)
    if not isinstance(composed, Tensor) or composed.shape != kernel.shape:
        given = f"a tensor of shape {composed.shape}" if isinstance(composed, Tensor) else type(composed).__name__
        raise ValueError(f"{where} compose returns {given}, and the kernel an array of shape {kernel.shape}.")
    _same(f"{where} the values of kernel and compose differ", kernel.data, composed.data, close)
    if not composed.requires_grad:
        raise ValueError(f"{where} the result of compose depends on no argument that takes a gradient.")
    g = local.generator.uniform(0.5, 1.5, kernel.shape).astype(kernel.dtype)
    pairs = zip(gradients([kernel], ours, [g]), gradients([composed], theirs, [g]), strict=True)
    for n, (a, b) in enumerate(pairs):
        _same(f"{where} the gradients of kernel and compose for {local.name(n)!r} differ", a.data, b.data, close)


def _same(what: str, a: np.ndarray, b: np.ndarray, close: float) -> None:
    a, b = a.astype(np.float64), b.astype(np.float64)
    size = max(float(np.max(np.abs(b), initial=0.0)), float(np.max(np.abs(a), initial=0.0)))
    gaps = np.abs(a - b)
    if not np.all(gaps <= close * size):
        at = tuple(map(int, np.unravel_index(int(np.argmax(gaps)), gaps.shape)))
        raise ValueError(f"{what}: {a[at]:.6g} and {b[at]:.6g} at {list(at)}.")

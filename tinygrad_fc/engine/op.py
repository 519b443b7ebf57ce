"""op(): how an operation and its derivative rules are declared. How a call is recorded stands in record.py.

One declaration names the array function and, for each differentiable argument, a rule. The parameters of a rule after
the incoming gradient `g` say what it reads, and so what a node must keep::

    multiply = op(np.multiply, x=lambda g, y: g * y, y=lambda g, x: g * x)
    exp      = op(np.exp,      x=lambda g, out: g * out)

A rule may read `out` (the result), an argument (`x`), the shape of an argument (`x_shape`), a static argument (`axis`),
what a kernel left over for it (`leaves=`), and, for variadic operations, `index` (which operand it is for).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .dispatch import FUNCTIONS, UFUNCS, functions
from .operation import Function, Op, Rule
from .operators import DIRECT, Operators
from .record import Operation, recorder

# Every declared operation by name. The test suite collects it: an operation without samples fails there.
REGISTRY: dict[str, Op] = {}


def op(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    numpy: Callable[..., Any] | Iterable[Callable[..., Any]] = (),
    via: Rule | None = None,
    leaves: tuple[str, ...] = (),
    compose: Callable[..., Any] | None = None,
    broadcasts: bool = False,
    samples: Any = None,
    cure: str = "",
    branch: Function | None = None,
    check: bool = False,
    **rules: Rule | None,
) -> Operation:
    """Declare an operation and return the function that computes and records it.

    Parameters
    ----------
    function : numpy.ufunc or Python function
        Arrays in, a new array out; neither it nor a rule may write to what it is given, draw random numbers, or do
        anything else: checks and pictures run them again.
    name : str, optional
        Name of the operation; the function's own by default.
    numpy : function or functions, optional
        NumPy functions that shall run this operation when they meet a tensor (a ufunc does by itself).
    via : function, optional
        A step ``via(g, ...)`` that all rules share: they receive its result as ``g``.
    leaves : tuple of str
        Names of what the kernel returns after its result, for the rules to read.
    compose : function, optional
        The same function written with primitives; required when rules read `leaves`.
    broadcasts : bool
        Whether arguments are broadcast against each other: gradients are then summed back to their shapes.
    samples : callable, optional
        ``samples(generator)`` returns a list of argument tuples (or of `(args, kwargs)` pairs); the registry's tests
        check the declaration at them.
    cure : str
        A sentence appended to error messages about the arguments.
    branch : function, optional
        For a function with kinks: ``branch(x, out)``, whose parameters name arguments (and the result), returns an
        array that changes when a kink is crossed, ``x > 0`` say. With it, `gradcheck` knows a kink from a fault.
    check : bool
        Check the rules against numbers at the samples (first derivatives, in the samples' dtypes), and `compose`
        against the function, before anything is declared: what does not hold raises, with the report of `gradcheck`.
    **rules
        For each differentiable argument ``rule(g, ...)``, which returns the gradient with respect to it; the further
        parameters name what it reads. None for an argument that takes no gradient.

    Returns
    -------
    function
        The operation on tensors. Also registered with NumPy's dispatch where `function` or `numpy` is NumPy's, and has
        no operation yet: one that is declared already, which other rules rely on, stays.

    Raises
    ------
    TypeError
        If a rule is for no argument, or reads what is not there; or `check` has no samples.
    ValueError
        If another module declared the name, or one of the functions of `numpy`; or what `check` finds does not hold.

    Examples
    --------
    >>> import numpy as np, tinygrad_fc as tg
    >>> softsign = tg.op(lambda x: x / (1 + np.abs(x)), name="softsign", x=lambda g, x: g / (1 + np.abs(x)) ** 2)
    >>> x = tg.tensor([1.0, -3.0], requires_grad=True)
    >>> softsign(x).sum().backward()
    >>> x.grad
    array([0.25  , 0.0625])
    """
    module = sys._getframe(1).f_globals.get("__name__", "?")
    name = name or getattr(function, "__name__", "").strip("_")
    if not isinstance(name, str) or not name:
        raise TypeError(f"op: name is {name!r}, and {function!r} has none of its own: give name='softsign'.")
    declared = Op(function, name, rules, via, leaves, compose, broadcasts, samples, cure, module, (), branch)
    return _declare(declared, (numpy,) if callable(numpy) else tuple(numpy), check)


def _declare(declared: Op, numpy: tuple[Function, ...] = (), check: bool = False) -> Operation:
    """Register `declared` and return its record function."""
    name, function = declared.name, declared.function
    known = REGISTRY.get(name) or (None if declared.proved else functions.late(name) or REGISTRY.get(name))
    if known is not None and known.module != declared.module or known is None and hasattr(functions, name):
        where = known.module if known is not None else "this package"
        raise ValueError(f"op {name!r} is already declared in {where}: give another name=.")
    answered: list[Any] = [function] * (isinstance(function, np.ufunc) or getattr(np, name, None) is function)
    for target in (*numpy, *answered):
        table: dict[Any, Any] = UFUNCS if isinstance(target, np.ufunc) else FUNCTIONS
        prior = table.get(target) or (None if declared.proved else functions.late(target))
        if prior is not None and getattr(getattr(prior, "op", None), "module", None) != declared.module:
            if target in numpy:
                raise ValueError(
                    f"op {name!r}: np.{target.__name__} is declared already, and other rules rely on it: leave numpy= "
                    f"out, and call yours by its name."
                )
            answered = []  # NumPy's function keeps the operation that it has; this one is called by its own name
    record: Any = recorder(declared)
    record.__name__ = record.__qualname__ = name
    record.__doc__ = function.__doc__
    if not isinstance(function, np.ufunc):
        record.__wrapped__ = declared.compose or function  # whose signature `help` shows, if it is ever asked for
    record.op, declared.record = declared, record  # from the public function to its declaration, and back
    if check:
        functions.check_declared(declared)
    REGISTRY[name] = declared
    setattr(functions, name, record)
    if name in DIRECT:
        setattr(Operators, DIRECT[name], record)
    for target in (*numpy, *answered):
        (UFUNCS if isinstance(target, np.ufunc) else FUNCTIONS)[target] = record
    return record


def fused_op(
    kernel: Callable[..., Any], *, compose: Callable[..., Any], name: str, leaves: tuple[str, ...] = (),
    via: Rule | None = None, samples: Any = None, cure: str = "", beside: tuple[str, ...] = (),
    branch: Function | None = None, check: bool = False, **rules: Rule | None,
) -> Operation:  # fmt: skip
    """Declare a fused operation: a kernel, its rules, and `compose`, the same function written with primitives.

    As `op`, but `compose` and `name` are required, and of the `leaves` those named in `beside` are returned to the
    caller too, as arrays after the result (statistics of a batch, say): they take no gradient. The engine goes
    through `compose` at higher orders where the rules read what the kernel left over, the tests compare the two, and
    ``Graph.expand`` opens a fused node into it. A gradient of a wrong number, shape or dtype raises and names the
    operation and the argument.

    Returns
    -------
    function
        The operation on tensors.

    Examples
    --------
    >>> import numpy as np, tinygrad_fc as tg
    >>> scaled_tanh = tg.fused_op(
    ...     lambda x, w: np.tanh(x) * w,
    ...     compose=lambda x, w: tg.tanh(x) * w,
    ...     name="scaled_tanh",
    ...     x=lambda g, x, w: g * w * (1 - np.tanh(x) ** 2),
    ...     w=lambda g, x: np.sum(g * np.tanh(x)),
    ... )
    >>> w = tg.tensor(2.0, requires_grad=True)
    >>> scaled_tanh(np.array([0.0, 1.0]), w).sum().backward()
    >>> print(f"{w.grad:.4f}")
    0.7616
    """
    module = sys._getframe(1).f_globals.get("__name__", "?")
    declared = Op(kernel, name, rules, via, leaves, compose, False, samples, cure, module, beside, branch)
    return _declare(declared, check=check)

"""Gradients written by hand in NumPy against numbers, for code that knows nothing of tensors.

Function and gradient become one operation, which stands in no registry, and its problem is judged as every other: the
same differences, the same verdicts, and where one is "wrong", words for what the error looks like.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..engine.operation import Op, Rule
from ..engine.record import recorder
from ..engine.tensor import Tensor, tensor
from .arguments import check_options
from .gradcheck import report_on
from .problem import Problem, as_input, check_finite
from .reach import generators_kept, rewinder
from .report import GradcheckReport

Forward = Callable[[Sequence[np.ndarray]], tuple[Any, Any]]  # the result, and what is left over for the gradient
Backward = Callable[[np.ndarray, Any], Sequence[Any]]  # one gradient for each array


def check_gradient(
    f: Callable[..., Any],
    grad_f: Callable[..., Any],
    x: Any,
    *,
    samples: int | None = None,
    exhaustive: bool = False,
    tolerance: float = 1e-6,
    seed: int = 0,
    progress: bool | None = None,
) -> GradcheckReport:
    """Compare a gradient written in NumPy with differences of its function, as `gradcheck` does for tensors.

    Parameters
    ----------
    f : callable
        ``f(x)`` returns a number or a floating-point array. It leaves `x` as it is.
    grad_f : callable
        Where `f` returns a number, ``grad_f(x)`` returns its gradient, of x's shape. Where `f` returns an array (one of
        a single element too), ``grad_f(x, g)`` is given the gradient `g` of a loss with respect to that array, of its
        shape, and returns the loss's gradient with respect to `x`.
    x : array_like or tuple of array_like
        The point: floating point, any shape. A tuple is several arguments: ``f(*x)``, ``grad_f(*x)`` or
        ``grad_f(*x, g)``, and `grad_f` returns a tuple of one gradient for each.
    samples, exhaustive, tolerance, seed, progress
        As for `gradcheck`.

    Returns
    -------
    GradcheckReport
        True when all gradients hold.

    Raises
    ------
    TypeError
        If `x` is not floating point, `f` returns neither a number nor an array of floats, or a gradient is none.
    ValueError
        If `x` or the result is not finite, `f` or `grad_f` writes into `x`, a gradient has another shape than its
        argument, there are too many or too few, or an option is out of range.

    Notes
    -----
    Random numbers from NumPy's global generator, and from those that `f` and `grad_f` hold, are the same in each
    evaluation of `f` and of `grad_f`, and the generators are afterwards as they were.

    Examples
    --------
    >>> import numpy as np, tinygrad_fc as tg
    >>> x = np.array([0.5, -2.0])
    >>> bool(tg.check_gradient(lambda x: np.sum(x**3), lambda x: 3 * x**2, x))
    True
    >>> print(tg.check_gradient(lambda x: np.tanh(x), lambda x, g: g * (1 - np.tanh(x)), x).verdict)
    wrong
    """
    who = "check_gradient"
    check_options(who, f, 1, samples, tolerance, seed, progress)
    if not callable(grad_f):
        raise TypeError(f"{who}: grad_f is {type(grad_f).__name__}, expected a function.")
    values = x if isinstance(x, tuple) else (x,)
    if not values:
        raise ValueError(f"{who}: x is an empty tuple: there is nothing to differentiate by. Give f's arguments.")
    if any(isinstance(value, Tensor) for value in values):
        raise TypeError(f"{who}: x is a tensor, expected arrays; tg.gradcheck(f, x) checks functions of tensors.")
    arrays = [as_input(who, n, value)._array for n, value in enumerate(values)]
    names = _names(f, len(arrays))
    scalar: list[bool] = []

    def forward(xs: Sequence[np.ndarray]) -> tuple[Any, Any]:
        out = f(*xs)
        scalar[:] = [not isinstance(out, (np.ndarray, list)) or np.ndim(out) == 0]
        return out, xs

    def backward(g: np.ndarray, xs: Any) -> Sequence[Any]:
        given = xs if scalar[0] else (*xs, g)
        _check_call(who, grad_f, given, scalar[0], g)
        found = _several(who, "grad_f", grad_f(*given), names)
        _check_gradients(who, "grad_f", found, names, xs)  # before they are multiplied, which would broadcast them
        return [g * np.asarray(d) for d in found] if scalar[0] else found

    with _one_random_state():
        problem = _problem(who, "f", f, (f, grad_f), names, arrays, forward, backward, seed)
        return report_on(*problem, tolerance, samples, exhaustive, progress)


def check_layer(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[..., Any],
    *args: Any,
    samples: int | None = None,
    exhaustive: bool = False,
    tolerance: float = 1e-6,
    seed: int = 0,
    progress: bool | None = None,
) -> GradcheckReport:
    """Compare the backward pass of a layer with differences of its forward pass: pairs as the course CS231n has them.

    Parameters
    ----------
    forward : callable
        ``out, cache = forward(*args)``. `out` is a floating-point array of any shape.
    backward : callable
        ``backward(dout, cache)`` returns the gradients with respect to the floating-point arrays among `args`, in
        their order: a tuple, or one array where there is one.
    *args
        Arrays of floats are checked, under the names that `forward` gives them. All else (labels, sizes, dicts such as
        ``bn_param``) is passed on; of dicts and lists `forward` gets a copy each time, so running statistics that it
        writes there do not move.
    samples, exhaustive, tolerance, seed, progress
        As for `gradcheck`.

    Returns
    -------
    GradcheckReport
        True when all gradients hold.

    Raises
    ------
    TypeError
        If no argument is an array of floats, `forward` returns no pair of an array of floats and a cache, or a gradient
        is no array of floats.
    ValueError
        If an argument or the result is not finite, a pass writes into an argument, a gradient has another shape than
        its argument, there are too many or too few, or an option is out of range.

    Notes
    -----
    Random numbers from NumPy's global generator are the same in each evaluation, and it is afterwards as it was: a
    dropout layer drops the same units each time, with a seed or without. An array of floats that takes no gradient is
    bound first: ``check_layer(lambda x: forward(x, mask), backward, x)``. A loss that returns its gradient with its
    value is for `check_gradient`: ``check_gradient(lambda x: loss(x, y)[0], lambda x: loss(x, y)[1], x)``.

    Examples
    --------
    >>> import numpy as np, tinygrad_fc as tg
    >>> from tinygrad_fc.cs231n.layers import affine_backward, affine_forward
    >>> x, w, b = np.ones((2, 3)), np.eye(3), np.zeros(3)
    >>> [check.name for check in tg.check_layer(affine_forward, affine_backward, x, w, b).inputs]
    ['x', 'w', 'b']
    """
    who = "check_layer"
    check_options(who, forward, 1, samples, tolerance, seed, progress)
    if not callable(backward):
        raise TypeError(f"{who}: backward is {type(backward).__name__}, expected a function of dout and cache.")
    places = [n for n, value in enumerate(args) if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
    every = _names(forward, len(args))
    if not places:
        raise TypeError(
            f"{who}: given {', '.join(map(_described, args)) or 'no arguments'}, expected an array of floats among "
            f"them: x.astype(float)."
        )
    names = [every[n] for n in places]

    def run(xs: Sequence[np.ndarray]) -> tuple[Any, Any]:
        values = [copy.deepcopy(value) if isinstance(value, (dict, list)) else value for value in args]
        for n, array in zip(places, xs, strict=True):
            values[n] = array
        found: Any = forward(*values)
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            given = f"{type(found).__name__}{f' of {len(found)}' if isinstance(found, (tuple, list)) else ''}"
            raise TypeError(f"{who}: forward returned {given}, expected a pair: out, cache = forward(...).")
        return found[0], found[1]

    def pull(g: np.ndarray, cache: Any) -> Sequence[Any]:
        return _several(who, "backward", backward(g, cache), names)

    with _one_random_state():
        arrays = [np.array(args[n]) for n in places]
        problem = _problem(who, "forward", forward, (forward, backward, args), names, arrays, run, pull, seed)
        return report_on(*problem, tolerance, samples, exhaustive, progress)


def _problem(
    who: str, label: str, f: Any, reaches: tuple[Any, ...], names: list[str], arrays: list[np.ndarray],
    forward: Forward, backward: Backward, seed: int,
) -> tuple[Problem, np.random.Generator]:  # fmt: skip
    """Return the problem of a function and its gradient, after one evaluation that refuses what cannot be checked."""
    start = np.random.get_state()  # noqa: NPY002  # layers of the course draw from the global generator
    again = rewinder(*reaches)

    def computed(*xs: np.ndarray) -> tuple[np.ndarray, Any]:
        np.random.set_state(start)  # noqa: NPY002  # as above
        out, left_over = forward(xs)
        return _result(who, label, out), left_over

    def pulled(g: Any, left_over: Any) -> list[np.ndarray]:
        if label == "f":  # grad_f computes f's value anew: it has to draw what f drew
            np.random.set_state(start)  # noqa: NPY002  # as above
            again()
        found = backward(np.array(g), left_over)  # a copy: `dx = dout; dx[x <= 0] = 0` is fine
        _check_gradients(who, back, found, names, arrays)
        return [np.array(d, dtype=g.dtype) for d in found]

    back = "grad_f" if label == "f" else "backward"
    for name, array in zip(names, arrays, strict=True):
        check_finite(who, name, array)
    trial = [array.copy() for array in arrays]
    with generators_kept(*reaches):
        for step in (label, back):
            if step == label:
                out, left_over = computed(*trial)
                if not np.isfinite(out).all():
                    raise ValueError(f"{who}: {label} is not finite at the inputs, so no difference can be taken.")
            else:
                pulled(np.ones_like(out), left_over)
            for name, array, moved in zip(names, arrays, trial, strict=True):
                if not np.array_equal(array, moved):
                    raise ValueError(
                        f"{who}: {step} changed {name}. It has to leave its inputs as they are: write into a copy, "
                        f"{name}.copy()."
                    )
    tensors = [tensor(array, requires_grad=True, name=name) for name, array in zip(names, arrays, strict=True)]
    record = _unlisted(_called(f, label), names, computed, pulled)

    def call(*leaves: Tensor) -> Tensor:
        return record(*leaves)

    call.__wrapped__ = reaches  # type: ignore[attr-defined]  # generators are looked for there
    generator = np.random.default_rng(seed)
    return Problem(who, call, tensors, tensors, generator), generator


def _unlisted(name: str, names: list[str], kernel: Callable[..., Any], via: Rule) -> Callable[..., Any]:
    """Return an operation that no registry and no namespace lists; `via` returns all its gradients at once."""

    def rule_for(place: int) -> Rule:
        return lambda gradients: gradients[place]

    def function(*xs: np.ndarray) -> Any:
        return kernel(*xs)

    def compose(*xs: Any) -> Any:
        raise TypeError(f"{name}: a function of arrays has no second derivatives, and nothing to open.")

    taken = {"out", "index", "left_over", "g", *(f"{key}_shape" for key in names)}
    keys = [f"{key}_" if key in taken else key for key in names]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(key, kind) for key in keys])
    function.__signature__ = signature  # type: ignore[attr-defined]  # `inspect` looks for it there
    rules: dict[str, Rule | None] = {key: rule_for(place) for place, key in enumerate(keys)}
    declared = Op(function, name, rules, via, ("left_over",), compose, False, None, "", "", (), None)
    record: Any = recorder(declared)
    record.op, declared.record = declared, record
    return record


@contextmanager
def _one_random_state() -> Iterator[None]:
    """Put NumPy's global generator back, which layers of the course draw from."""
    state = np.random.get_state()  # noqa: NPY002  # the global generator is kept, too
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002  # as above


def _names(f: Any, count: int) -> list[str]:
    """Return the names of a function's first parameters, or names of their own where they cannot be read."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    return names if len(names) == count else ["x"] if count == 1 else [f"x{n}" for n in range(count)]


def _called(f: Any, label: str) -> str:
    name = getattr(f, "__name__", label)
    return name if name.isidentifier() else label


def _described(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _result(who: str, label: str, out: Any) -> np.ndarray:
    """Return what a function computed as an array of its own."""
    cure = ""
    if isinstance(out, Tensor):
        cure = "; tg.gradcheck(f, x) checks functions of tensors"
    elif isinstance(out, tuple):
        cure = ": the value alone, lambda x: f(x)[0]"
    elif isinstance(out, (float, list, np.ndarray, np.generic)):
        array = np.array(out)
        if array.dtype.kind == "f":
            return array
        out = array
    given = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
    raise TypeError(f"{who}: {label} returned {given}, expected a number or an array of floats{cure}.")


def _several(who: str, back: str, found: Any, names: list[str]) -> list[Any]:
    """Return the gradients as a list of as many as there are arguments."""
    if not isinstance(found, tuple) and len(names) == 1:
        found = (found,)
    if not isinstance(found, (tuple, list)) or len(found) != len(names):
        given = f"{len(found)} gradients" if isinstance(found, (tuple, list)) else type(found).__name__
        raise ValueError(
            f"{who}: {back} returned {given}, expected a tuple of {len(names)}, one for each array of floats: "
            f"{', '.join(names)}."
        )
    return list(found)


def _check_gradients(who: str, back: str, found: Sequence[Any], names: list[str], arrays: Sequence[np.ndarray]) -> None:
    """Raise unless each gradient is an array of floats of its argument's shape."""
    for d, name, array in zip(found, names, arrays, strict=True):
        what = f"{who}: the gradient that {back} gives for {name}"
        if not isinstance(d, (float, list, np.ndarray, np.generic)):
            raise TypeError(f"{what} is {type(d).__name__}, expected an array.")
        d = np.asarray(d)
        if d.shape != array.shape:
            raise ValueError(f"{what} has shape {d.shape}, expected {array.shape}.")
        if d.dtype.kind != "f":
            raise TypeError(
                f"{what} has dtype {d.dtype}, expected floats: an array of integers cuts off what is written into it, "
                f"np.zeros({name}.shape) is one of floats."
            )


def _check_call(who: str, grad_f: Any, given: Sequence[Any], scalar: bool, g: np.ndarray) -> None:
    """Raise TypeError unless `grad_f` can be called with what belongs to the result of `f`."""
    try:
        signature = inspect.signature(grad_f)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*given)
    except TypeError as error:
        kind = "a number" if scalar else f"an array of shape {g.shape}"
        expected = "(x), without an upstream gradient" if scalar else "(x, g), with the gradient of that array"
        raise TypeError(f"{who}: f returns {kind}, so grad_f is called as grad_f{expected}; but {error}.") from error

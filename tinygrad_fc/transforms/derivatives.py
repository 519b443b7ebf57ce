"""grad, value_and_grad, vjp, jvp, jacobian, hessian, hvp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.backward import gradients
from ..engine.node import MODE, OFF
from ..engine.tensor import Tensor, constant
from .call import ArgNums, Call, check_options, named
from .structure import filled
from .tape import needs_gradient, own_leaf

Function = Callable[..., Any]


def grad(function: Function, argnums: ArgNums = 0, has_aux: bool = False) -> Function:
    """Return the function that computes the gradient of a scalar function.

    It takes the same arguments. Numbers in, numbers out; arrays in, arrays out; tensors in, tensors out, each in its
    place of a nested structure. The function itself always gets tensors.

    Parameters
    ----------
    function : callable
        Returns a scalar tensor, of shape ().
    argnums : int or tuple of int
        Which positional arguments to differentiate with respect to. They hold floating-point numbers, arrays or
        tensors, in dicts, lists, tuples, named tuples and dataclasses. All other arguments are passed on as they are.
    has_aux : bool
        Whether the function returns a pair ``(value, aux)``, of which `aux` is handed through.

    Returns
    -------
    callable
        Returns the gradient, in the structure, the shapes and the dtypes of the argument (a tuple of gradients for a
        tuple of `argnums`), followed by `aux` where ``has_aux`` is set. It is zero where the result does not depend on
        an argument.

    Raises
    ------
    TypeError
        When called: if an argument holds no floating-point numbers, or the function returns no tensor.
    ValueError
        When called: if the result is no scalar, or `argnums` names no argument.

    Notes
    -----
    Where the result depends on tensors that need a gradient (arguments made with ``requires_grad=True``, parameters of
    a network that the function reads, variables of an enclosing ``grad``), it comes back as a tensor, recorded, so
    that it can be differentiated with respect to them. Under ``no_grad`` it does not.

    Examples
    --------
    >>> import numpy as np, tinygrad_fc as tg
    >>> slope = tg.grad(lambda x: x**3)
    >>> slope(2.0), tg.grad(slope)(2.0), tg.grad(tg.grad(slope))(2.0)
    (12.0, 12.0, 6.0)
    >>> tg.grad(lambda p: np.sum(p["a"] * p["b"]))({"a": np.array([1.0, 2.0]), "b": 3.0})
    {'a': array([3., 3.]), 'b': 3.0}
    """
    check_options("grad", function, argnums)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        call = Call("grad", function, args, kwargs, argnums, has_aux, scalar=True)
        return call.with_aux(call.like_inputs(call.slope()))

    return named("grad", function, gradient)


def value_and_grad(function: Function, argnums: ArgNums = 0, has_aux: bool = False) -> Function:
    """Return the function that computes both the value and the gradient of a scalar function.

    Parameters
    ----------
    function, argnums, has_aux
        As for `grad`.

    Returns
    -------
    callable
        Returns ``(value, gradient)``, or ``((value, aux), gradient)`` where ``has_aux`` is set.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> tg.value_and_grad(lambda x: x**2)(3.0)
    (9.0, 6.0)
    """
    check_options("value_and_grad", function, argnums)

    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        call = Call("value_and_grad", function, args, kwargs, argnums, has_aux, scalar=True)
        gradient = call.like_inputs(call.slope())
        return call.with_aux(call.like_value(call.outputs)), gradient

    return named("value_and_grad", function, value_and_gradient)


def vjp(
    function: Function, *args: Any, argnums: ArgNums = None, has_aux: bool = False, **kwargs: Any
) -> tuple[Any, ...]:
    """Return the value of a function, and the function that multiplies a vector with its Jacobian from the left.

    Parameters
    ----------
    function : callable
        Returns a tensor, or a structure of tensors.
    *args
        Its arguments.
    argnums : int or tuple of int, optional
        Which arguments to differentiate with respect to; all by default.
    has_aux : bool
        Whether the function returns a pair ``(value, aux)``.
    **kwargs
        Its keyword arguments; they are not differentiated.

    Returns
    -------
    value : object
        What the function returned: tensors, arrays or numbers, as the arguments are.
    pullback : callable
        ``pullback(cotangent)``, of the structure and shapes of the value, returns the products: a tuple, one for each
        argument, or for an integer `argnums` that one argument's. It can be called any number of times.
    aux : object
        Only where ``has_aux`` is set.

    Examples
    --------
    >>> import numpy as np, tinygrad_fc as tg
    >>> value, pullback = tg.vjp(lambda x, y: x * y, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> value
    array([3., 8.])
    >>> pullback(np.array([1.0, 10.0]))
    (array([ 3., 40.]), array([ 1., 20.]))
    """
    check_options("vjp", function, argnums, everything=True)
    call = Call("vjp", function, args, kwargs, argnums, has_aux)

    def pullback(cotangent: Any) -> Any:
        weights = call.weights(cotangent, "the cotangent")
        record = _recorded(call, weights)
        return call.like_inputs(call.pull(weights if record else _plain(weights), record), record)

    value = call.like_value(call.outputs)
    results: tuple[Any, ...] = call.with_aux(value, pullback)
    return results


def jvp(
    function: Function, args: Any, tangents: Any, *, argnums: ArgNums = None, has_aux: bool = False, **kwargs: Any
) -> tuple[Any, ...]:
    """Return the value of a function, and the product of its Jacobian with a vector: the derivative along it.

    Parameters
    ----------
    function : callable
        Returns a tensor, or a structure of tensors.
    args : tuple
        Its positional arguments.
    tangents : tuple or object
        The direction: a tuple, one entry for each argument, of its structure and shapes; for an integer `argnums` that
        one argument's entry by itself.
    argnums, has_aux, **kwargs
        As for `vjp`.

    Returns
    -------
    value : object
        What the function returned.
    tangent : object
        The derivative, of the value's structure and shapes.
    aux : object
        Only where ``has_aux`` is set.

    Notes
    -----
    The product from the left is linear in the vector that it multiplies, and the transpose of that linear function is
    the product from the right: two passes backward are one forward, and no second set of rules is needed (J. Townsend,
    "A new trick for calculating Jacobian vector products", 2017).

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> tg.jvp(lambda x, y: x * y, (2.0, 5.0), (1.0, 0.0))
    (10.0, 5.0)
    """
    check_options("jvp", function, argnums, everything=True)
    call = Call("jvp", function, _listed("jvp", args), kwargs, argnums, has_aux)
    along = call.along(tangents, "the tangent")
    record = _recorded(call, along)
    live = [output for output in call.outputs if needs_gradient(output)]
    products = []
    if live and call.inputs:
        dummies = [own_leaf(np.zeros(output.shape, output.dtype)) for output in live]
        pulled = gradients(live, call.inputs, dummies, create_graph=True)
        products = gradients(pulled, dummies, along if record else _plain(along), create_graph=record)
    found = dict(zip(map(id, live), products, strict=False))
    moved = [found.get(id(t), constant(np.zeros(t.shape, t.dtype))) for t in call.outputs]
    value = call.like_value(call.outputs)
    results: tuple[Any, ...] = call.with_aux(value, call.like_value(moved, record))
    return results


def jacobian(function: Function, argnums: ArgNums = 0, has_aux: bool = False) -> Function:
    """Return the function that computes the Jacobian of a function: all derivatives of all elements of its result.

    Parameters
    ----------
    function : callable
        Returns a tensor, or a structure of tensors.
    argnums, has_aux
        As for `grad`.

    Returns
    -------
    callable
        Returns the Jacobian, of the result's shape followed by the argument's. For arguments in a structure it has that
        structure, and for results in a structure each of them has its own.

    Notes
    -----
    It goes backward once for each element of the result. Where the result has many more elements than the arguments,
    `jvp` along each unit vector is quicker.

    Examples
    --------
    >>> import numpy as np, tinygrad_fc as tg
    >>> tg.jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    check_options("jacobian", function, argnums)

    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        return _jacobian(Call("jacobian", function, args, kwargs, argnums, has_aux))

    return named("jacobian", function, jacobian_of)


def _jacobian(call: Call) -> Any:
    blocks = []
    for output in call.outputs:
        rows = []
        for element in range(output.size if needs_gradient(output) and call.inputs else 0):
            unit = np.zeros(output.size, output.dtype)
            unit[element] = 1
            weight = constant(unit.reshape(output.shape))
            rows.append(gradients([output], call.inputs, [weight], create_graph=call.recorded, retain_graph=True))
        block = []
        for n, t in enumerate(call.inputs):
            shape = output.shape + t.shape
            if not rows:
                whole: Any = constant(np.zeros(shape, t.dtype))
            elif call.recorded:
                whole = np.stack([row[n] for row in rows]).reshape(shape)
            else:
                whole = constant(np.stack([row[n].data for row in rows]).reshape(shape))
            block.append(whole)
        blocks.append(call.like_inputs(block))
    return call.with_aux(filled(call.value, iter(blocks)))


def hessian(function: Function, argnums: ArgNums = 0, has_aux: bool = False) -> Function:
    """Return the function that computes the Hessian of a scalar function: all its second derivatives.

    Parameters
    ----------
    function : callable
        Returns a scalar tensor, of shape ().
    argnums, has_aux
        As for `grad`.

    Returns
    -------
    callable
        Returns the Hessian, of the argument's shape twice over. For arguments in a structure, or a tuple of them, each
        place of the structure holds the structure again: ``hessian(f)(p)["w"]["b"]`` is the block of w and b.

    Examples
    --------
    >>> import numpy as np, tinygrad_fc as tg
    >>> tg.hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
    array([[10.,  6.],
           [ 6.,  0.]])
    """
    check_options("hessian", function, argnums)
    slope = grad(function, argnums, has_aux)

    def hessian_of(*args: Any, **kwargs: Any) -> Any:
        return _jacobian(Call("hessian", slope, args, kwargs, argnums, has_aux))

    return named("hessian", function, hessian_of)


def hvp(
    function: Function, args: Any, tangents: Any, *, argnums: ArgNums = None, has_aux: bool = False, **kwargs: Any
) -> Any:
    """Return the product of the Hessian of a scalar function with a vector, without the Hessian.

    It costs a few times what the function costs, whatever the number of arguments (B. Pearlmutter, "Fast exact
    multiplication by the Hessian", 1994).

    Parameters
    ----------
    function : callable
        Returns a scalar tensor, of shape ().
    args, tangents, argnums, has_aux, **kwargs
        As for `jvp`.

    Returns
    -------
    object
        The product, of the structure and shapes of `tangents`: a tuple, one entry for each argument, or for an integer
        `argnums` that one argument's. Where ``has_aux`` is set, a pair of it and `aux`.

    Examples
    --------
    >>> import tinygrad_fc as tg
    >>> tg.hvp(lambda x, y: x**2 * y, (3.0, 5.0), (1.0, 0.0))
    (10.0, 6.0)
    """
    check_options("hvp", function, argnums, everything=True)
    call = Call("hvp", function, _listed("hvp", args), kwargs, argnums, has_aux, scalar=True)
    along = call.along(tangents, "the tangent")
    record = _recorded(call, along)
    products = [constant(np.zeros(t.shape, t.dtype)) for t in call.inputs]
    if call.inputs and needs_gradient(call.outputs[0]):
        slopes = call.slope(record=True)
        products = gradients(slopes, call.inputs, along if record else _plain(along), create_graph=record)
    return call.with_aux(call.like_inputs(products, record))


def _recorded(call: Call, vectors: list[Tensor]) -> bool:
    """Whether a product with `vectors` is recorded: it depends on a tensor from outside that needs a gradient."""
    return MODE.get() is not OFF and (call.recorded or any(needs_gradient(v) for v in vectors))


def _plain(vectors: list[Tensor]) -> list[Tensor]:
    return [v.detach() for v in vectors]


def _listed(who: str, args: Any) -> tuple[Any, ...]:
    if not isinstance(args, (tuple, list)):
        raise TypeError(
            f"{who}: args is {type(args).__name__}, expected a tuple of the function's arguments: "
            f"{who}(f, (x,), (v,))."
        )
    return tuple(args)

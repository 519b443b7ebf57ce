"""Refusals: word for word, the engine asks for each of them as it is declared, and nothing is read before."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.ops import refusals

ENGINE = Path(tg.__file__).parent / "engine"

pytestmark = pytest.mark.usefixtures("registry")


def t() -> tg.Tensor:
    return tg.tensor([[0.5, 1.0, 1.5], [2.0, 2.5, 3.0]], requires_grad=True, name="t")


def number() -> tg.Tensor:
    return tg.tensor(1.0, requires_grad=True)


def kernel(function: Any, compose: Any = lambda x: x * 1.0) -> Any:
    return tg.fused_op(function, compose=compose, name="kernel", leaves=("mask",), x=lambda g, mask: g * mask)


def recorded_with(compose: Any) -> None:
    """Take a derivative of `kernel` that can be differentiated again, and so leads through `compose`."""
    x = t()
    tg.gradients(kernel(lambda x: (x * 1.0, np.ones_like(x)), compose)(x).sum(), x, create_graph=True)


def twice() -> Any:
    return tg.op(lambda x, factor=2.0: x * factor, name="twice", x=lambda g, factor: g * factor)


def rule_that_gives(wrong: Any) -> None:
    tg.op(lambda x: x * 1.0, name="wrong", x=lambda g: wrong)(t()).sum().backward()


def numbers() -> Any:
    yield number()


def rule_that_raises() -> None:
    def rule(g: Any) -> Any:
        raise RuntimeError("no derivative today")

    house = {"__name__": "tinygrad_fc.house", "op": tg.op, "rule": rule}  # a user's has a note of its own
    exec("wrong = op(lambda x: x * 1.0, name='wrong', x=rule)", house)
    house["wrong"](t()).sum().backward()


def raises(error: Exception) -> Any:
    def function(x: Any) -> Any:
        raise error

    return tg.op(function, name="broken", x=lambda g: g, cure="Mend it.")(t())


class Picky(Exception):
    """An exception whose constructor wants more than a message."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__(f"{left} and {right}")


def backward_after(change: str) -> None:
    x = t()
    loss = (x * x).sum()
    if change == "overwritten":
        x.data = x.data * 2.0
    else:
        loss.backward()
    loss.backward()


SAID: dict[str, tuple[Any, type[Exception], str]] = {
    "no rule": (lambda: np.spacing(t()), TypeError,
        "np.spacing has no derivative rule for tensors. Declare one with tg.op(np.spacing, x=rule), or use t.data (the "
        "array) where no gradient is needed."),
    "no rule, but a near one": (lambda: np.linalg.eig(t()), TypeError,
        "np.linalg.eig has no derivative rule for tensors. The nearest supported function is np.linalg.eigh. Declare "
        "one with tg.op(np.linalg.eig, a=rule), or use t.data (the array) where no gradient is needed."),
    "no rule, a ufunc of nobody's": (lambda: np.frompyfunc(hex, 1, 1)(t()), TypeError,
        "the ufunc hex (vectorized) has no derivative rule for tensors. Declare one with tg.op(the ufunc hex "
        "(vectorized), x=rule), or use t.data (the array) where no gradient is needed."),
    "where=": (lambda: np.exp(t(), where=np.ones((2, 3), bool)), TypeError,
        "np.exp: where= is not supported on tensors. Select afterwards: np.where(condition, result, other)."),
    "dtype=": (lambda: np.add(t(), 1, dtype=np.float32), TypeError,
        "np.add: dtype= is not supported on tensors. Convert before or after: t.astype(dtype)."),
    "axis=": (lambda: np.vecdot(t(), t(), axis=0), TypeError,
        "np.vecdot: axis= is not supported on tensors. Our own function may take it: tg.vecdot(x, y, axis=0)."),
    "axes=": (lambda: np.matmul(t(), t(), axes=[(0, 1)] * 3), TypeError,
        "np.matmul: axes= is not supported on tensors. Move the axes first: np.moveaxis(t, 0, -1)."),
    "casting=": (lambda: np.add(t(), 1, casting="unsafe"), TypeError,
        "np.add: casting= is not supported on tensors. It changes no value that a gradient depends on: leave it out."),
    "reduce": (lambda: np.hypot.reduce(t()), TypeError,
        "np.hypot.reduce has no gradient on tensors: use tg.sum, tg.prod, tg.max, tg.min or tg.logsumexp, or go step "
        "by step: functools.reduce(np.hypot, t)."),
    "accumulate": (lambda: np.hypot.accumulate(t()), TypeError,
        "np.hypot.accumulate has no gradient on tensors: use tg.cumsum, tg.cumprod, tg.cummax or tg.cummin, or go step "
        "by step: itertools.accumulate(t, np.hypot)."),
    "outer": (lambda: np.add.outer(t(), t()), TypeError,
        "np.add.outer has no gradient on tensors: use broadcasting: np.add(x[:, None], y[None, :])."),
    "at": (lambda: np.subtract.at(np.zeros((2, 3)), 0, t()), TypeError,
        "np.subtract.at has no gradient on tensors: use t.at[i].add(-v), which returns a new tensor."),
    "at, of others": (lambda: np.divide.at(np.zeros((2, 3)), 0, t()), TypeError,
        "np.divide.at has no gradient on tensors: use t.at[i].set(np.divide(t[i], v)), which returns a new tensor."),
    "reduceat": (lambda: np.add.reduceat(t(), [0, 1]), TypeError,
        "np.add.reduceat has no gradient on tensors: use slices and a reduction of each."),
    "out=": (lambda: np.add(t(), 1, out=np.zeros((2, 3))), TypeError,
        "add: a tensor cannot be written into an array (out=, or an in-place operator such as `array += t`): the "
        "gradient would be lost. Write `array = array + t` for a new tensor, or use `t.data` for the numbers."),
    "a masked array": (lambda: t() + np.ma.array(np.ones((2, 3))), TypeError,
        "a MaskedArray of NumPy is no array for a tensor: its mask would be lost. Take its numbers, m.filled(0.0), and "
        "select with np.where(mask, 0.0, t)."),
    "a matrix": (lambda: t() * np.ones((2, 3)).view(np.matrix), TypeError,
        "a matrix of NumPy is no array for a tensor: it means the matrix product by *, and tensors do not. Make it an "
        "array, np.asarray(m), and write @."),
    "an array": (lambda: np.asarray(t()), TypeError,
        "tensor 't' (2, 3) needs a gradient and cannot become a plain array in silence. For the numbers: t.data; for a "
        "constant: t.detach(); for an array of tensors: tg.stack([t, u])."),
    "a number": (lambda: float(number()), TypeError,
        "float(tensor ()) would lose its gradient: write t.item() for the number, np.exp(t) for math.exp(t), and "
        "tg.stack or t.at[i].set(v) for array[i] = t."),
    "a number of many": (lambda: int(t()), TypeError,
        "int(tensor 't' (2, 3)) would lose its gradient: write t.data for the number, np.exp(t) for math.exp(t), and "
        "tg.stack or t.at[i].set(v) for array[i] = t."),
    "t[i] = v": (lambda: t().__setitem__(0, 1.0), TypeError,
        "tensors are not written in place. Wrong: t[i] = v. Right: t = t.at[i].set(v) (a new tensor), or t.data[i] = v "
        "before t is used."),
    "data of a result": (lambda: setattr(t() * 2.0, "data", 1.0), TypeError,
        "data of tensor cannot be assigned: it was computed by multiply, and the tape holds its value. Only leaves "
        "take new data. Wrong: h = x * 2; h.data = v. Right: h = tg.tensor(v)."),
    "no_grad, of a generator": (lambda: tg.no_grad()(numbers), TypeError,
        "no_grad: numbers is a generator or a coroutine, which runs after the decorated call: write `with "
        "tg.no_grad():` around what computes in it, with no yield inside."),
    "observe, of a generator": (lambda: tg.observe()(numbers), TypeError,  # type: ignore[operator]  # it decorates too
        "observe: numbers is a generator or a coroutine, which runs after the decorated call: write `with "
        "tg.observe():` around what computes in it, with no yield inside."),
    "too many": (lambda: twice()(t(), 1.0, 2.0), TypeError,
        "twice: given 3 positional arguments, expected at most 2 of x, factor: give the others by keyword."),
    "missing": (lambda: twice()(factor=2.0), TypeError, "twice: argument 'x' is missing; expected x, factor."),
    "keyword": (lambda: twice()(t(), fctor=2.0), TypeError,
        "twice: keyword 'fctor' is not supported on tensors; expected x, factor. Did you mean 'factor'?"),
    "no gradient of an argument": (lambda: twice()(t(), t()), TypeError,
        "twice: argument 'factor' takes no gradient, but tensor 't' (2, 3) needs one: pass factor.detach()."),
    "failed": (lambda: t() + np.ones(4), ValueError,
        "add: operands could not be broadcast together with shapes (2,3) (4,). Given x (2, 3) float64, y (4,) float64. "
        "Axes are aligned from the last one; insert one with x[:, None]."),
    "failed, of numbers": (lambda: np.divide(1.0, tg.tensor([0.0], requires_grad=True)), FloatingPointError,
        "divide: divide by zero encountered in divide. Given x=1.0, y (1,) float64."),
    "failed, of a user's": (lambda: raises(ValueError("no. ")), ValueError,
        "broken: no. Given x (2, 3) float64. Mend it."),
    "failed, and said it all": (lambda: raises(ValueError("broken: and said so.")), ValueError, "broken: and said so."),
    "failed, with an exception of its own": (lambda: raises(Picky(1, 2)), Picky,
        "1 and 2\nbroken: 1 and 2. Given x (2, 3) float64."),
    "no array": (lambda: tg.op(lambda x: [1], name="wrong", x=lambda g: g)(t()), TypeError,
        "wrong: its function returned list, expected an array of numbers."),
    "objects": (lambda: t() + np.array([1, 2, 3], dtype=object), TypeError,
        "add: given x (2, 3) float64, y (3,) object; expected arrays of numbers."),
    "complex numbers": (lambda: t() * 1j, TypeError,
        "multiply: gradients of complex tensors are not supported (dtype complex128): detach the inputs first, "
        "t.detach()."),
    "whole numbers": (lambda: t().astype(int), TypeError,
        "astype: its result has no gradient (dtype int64): detach the inputs first, t.detach()."),
    "no leaves": (lambda: kernel(np.exp2)(t()), TypeError,
        "kernel: its kernel must return a tuple of the result and mask, 2 entries; given ndarray."),
    "too many leaves": (lambda: kernel(lambda x: (x, x, x))(t()), TypeError,
        "kernel: its kernel must return a tuple of the result and mask, 2 entries; given tuple of 3."),
    "compose with another shape": (lambda: recorded_with(lambda x: x[0]), ValueError,
        "kernel: its compose returned a tensor of shape (3,) float64, expected shape (2, 3) float64 as its kernel "
        "does, computed from its arguments by operations on tensors."),
    "compose on arrays": (lambda: recorded_with(lambda x: x.data), ValueError,
        "kernel: its compose returned ndarray, expected shape (2, 3) float64 as its kernel does, computed from its "
        "arguments by operations on tensors."),
    "no scalar": (lambda: t().backward(), ValueError,
        "backward: the tensor has shape (2, 3), and only a scalar's gradient is 1 by itself. Reduce it first, "
        "t.sum().backward(), or give gradient of shape (2, 3)."),
    "overwritten": (lambda: backward_after("overwritten"), RuntimeError,
        "backward: leaf 't' (2, 3) was overwritten after op 'multiply' (2, 3) had used it, so the saved values are "
        "stale. Compute the result anew after each write to a leaf."),
    "freed": (lambda: backward_after("freed"), RuntimeError,
        "backward: the graph was freed by an earlier backward at op 'sum' (). Compute the result anew, or keep the "
        "graph the first time: backward(retain_graph=True)."),
    "a rule that raises": (rule_that_raises, RuntimeError,
        "no derivative today\nwrong: raised while backward ran its rules, on a gradient of shape (2, 3)."),
    "unfit, no array": (lambda: rule_that_gives("text"), TypeError,
        "wrong: the gradient that its rule gives for argument 'x' returned str, expected an array."),
    "unfit, the shape": (lambda: rule_that_gives(np.ones(3)), ValueError,
        "wrong: the gradient that its rule gives for argument 'x' has shape (3,), expected (2, 3)."),
    "unfit, the dtype": (lambda: rule_that_gives(np.ones((2, 3), int)), TypeError,
        "wrong: the gradient that its rule gives for argument 'x' has dtype int64, expected float64."),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_what_is_said(case: str) -> None:
    call, kind, words = SAID[case]
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())]) == words


def asked() -> set[tuple[str, int]]:
    """Return what the engine asks for, ``functions.refusals().name(...)``: each name, and with how many arguments."""
    found = set()
    for path in sorted(ENGINE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("functions.refusals()."):
                assert isinstance(node.func, ast.Attribute)
                assert not node.keywords
                found.add((node.func.attr, len(node.args)))
    return found


def test_the_engine_asks_for_what_is_there() -> None:
    """No type checker sees through the hook: each name is there, takes what it is given, and none is left over."""
    there = {
        name: len(inspect.signature(function).parameters)
        for name, function in vars(refusals).items()
        if inspect.isfunction(function) and function.__module__ == refusals.__name__ and not name.startswith("_")
    }
    assert len(there) > 20
    assert there.pop("message_of") == 3  # `failed` asks for it, and observers do, who mark what failed
    assert asked() == set(there.items())


def test_nothing_is_read_before_it_is_said() -> None:
    code = (
        "import sys, tinygrad_fc as tg\n"
        "x, name = tg.tensor(1.0, requires_grad=True), 'tinygrad_fc.ops.refusals'\n"
        "(x * x).backward()\n"
        "before = name in sys.modules\n"
        "try: float(x)\n"
        "except TypeError: print(before, name in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True"]


def test_the_hook_is_no_public_name() -> None:
    assert "refusals" not in tg.__all__
    with pytest.raises(AttributeError, match="tinygrad_fc has no 'refusals'"):
        tg.refusals  # noqa: B018  # the attribute itself is what is asked for


# ---- what is no refusal: NumPy's defaults, spelled out

METHODS = {
    "dot": (np.ones(3),), "take": ([0],), "compress": ([True, False],), "clip": (1.0, 2.0), "trace": (), "round": (),
    **dict.fromkeys(("sum", "prod", "max", "min", "mean", "var", "std", "argmax", "argmin", "cumsum", "cumprod"), ()),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_told_to_write_nowhere(name: str) -> None:
    args: Any = METHODS[name]
    out = getattr(t(), name)(*args, out=None)
    np.testing.assert_array_equal(out.data, getattr(t().data, name)(*args, out=None))
    with pytest.raises(TypeError, match=f"^{name}: .*out"):
        getattr(t(), name)(*args, out=np.zeros(3))
    with pytest.raises(TypeError, match=f"^{name}: keyword 'axes' is not supported"):
        getattr(t(), name)(*args, axes=None)


DEFAULTS: Any = {
    "exp": lambda x: np.exp(x, out=None, where=True, dtype=None, casting="same_kind", order="K", subok=True),
    "add": lambda x: np.add(x, 1.0, where=True), "sum": lambda x: np.sum(x, keepdims=np._NoValue, out=None),
    "max": lambda x: np.max(x, axis=1, keepdims=np._NoValue, initial=np._NoValue, where=np._NoValue),
    "var": lambda x: np.var(x, mean=np._NoValue, correction=np._NoValue), "std": lambda x: np.std(x, out=None),
    "diff": lambda x: np.diff(x, prepend=np._NoValue, append=np._NoValue),
    "reduce": lambda x: np.add.reduce(x, out=None, initial=np._NoValue, where=True),
    "median": lambda x: np.median(x, out=None, overwrite_input=False),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_that_are_spelled_out(name: str) -> None:
    np.testing.assert_array_equal(DEFAULTS[name](t()).data, DEFAULTS[name](t().data))


@pytest.mark.parametrize("where", [False, np.True_, np.ones((2, 3), bool)])
def test_where_of_a_ufunc_is_refused_but_for_true(where: Any) -> None:
    with pytest.raises(TypeError, match=r"np\.exp: where= is not supported on tensors"):
        np.exp(t(), where=where)

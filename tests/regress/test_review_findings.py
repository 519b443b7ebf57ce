"""What reviewers found in operations of users, at the border to NumPy, and in transforms: mended, and kept so."""

from __future__ import annotations

import functools
import math
import types
from typing import Any

import numpy as np
import pytest
import scipy.special

import tinygrad_fc as tg
import tinygrad_fc.linalg  # declared before the fixture `registry` notes what is
from tinygrad_fc.engine.dispatch import UFUNCS


def leaf(values: Any = (3.0, 1.0, 2.0), dtype: Any = None) -> tg.Tensor:
    return tg.tensor(values, dtype=dtype, requires_grad=True)


# ---- operations of users


@pytest.mark.usefixtures("registry")
def test_a_users_rule_for_a_declared_ufunc_leaves_numpys_alone() -> None:
    through = tg.op(np.sign, name="straight_through", x=lambda g: g)
    assert UFUNCS[np.sign] is tg.sign
    np.testing.assert_array_equal(tg.grad(lambda x: np.sum(through(x) * x))(np.array([1.0, -2.0])), [2.0, -3.0])
    np.testing.assert_array_equal(tg.grad(lambda x: np.sum(np.sign(x) * x))(np.array([1.0, -2.0])), [1.0, -1.0])
    # The rule of `absolute` uses np.sign: its derivative must not have changed either.
    np.testing.assert_array_equal(tg.hessian(lambda x: np.sum(np.abs(x) * x))(np.array([1.0, -2.0])), [[2, 0], [0, -2]])
    with pytest.raises(ValueError, match=r"op 'mine': np\.sign is declared already.* leave numpy= out"):
        tg.op(lambda x: x * 1.0, name="mine", numpy=np.sign, x=lambda g: g)
    with pytest.raises(ValueError, match=r"np\.inv is declared already"):  # also what is declared when it is first used
        tg.op(lambda a: a * 1.0, name="mine", numpy=np.linalg.inv, a=lambda g: g)


@pytest.mark.usefixtures("registry")
def test_a_users_rule_cannot_write_into_the_gradient_that_it_is_given() -> None:
    writes = tg.op(lambda x: x * 2, name="writes", x=lambda g: np.multiply(g, 2.0, out=g))
    x, w = leaf(), leaf()
    with pytest.raises(ValueError, match="read-only") as caught:
        ((writes(x) + w) * 1.0).sum().backward()
    assert "writes: raised while backward ran its rules, for 'x'" in caught.value.__notes__[0]
    assert len(caught.value.__notes__) == 1


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: tg.op(lambda x, out: x, name="f", x=lambda g: g, out=lambda g: g),
         "the name 'out' means something else"),
        (lambda: tg.op(lambda x, x_shape: x, name="f", x=lambda g: g), "the name 'x_shape' means something else"),
        (lambda: tg.op(lambda x, index: x, name="f", x=lambda g: g), "the name 'index' means something else"),
        (lambda: tg.fused_op(lambda x: (x, x), name="f", x=lambda g: g, compose=lambda x: x, leaves=("x",)),
         "the name 'x' means something else"),
        (lambda: tg.fused_op(lambda x: (x, x), name="f", x=lambda g: g, compose=lambda x: x, leaves="mask"),
         "leaves is 'mask', expected a tuple of names"),
        (lambda: tg.fused_op(lambda x: (x, x), name="f", x=lambda g: g, compose=lambda x: x, leaves=("m",),
                             beside=("n",)), "beside= of those of them"),
        (lambda: tg.op(lambda x: x, name="f", x=lambda g, index: g), "reads 'index'; it may read x, out, x_shape"),
        (lambda: tg.op(functools.partial(np.add, 1.0), x=lambda g: g), "name is '', .*give name="),
    ],
)  # fmt: skip
def test_declarations_that_would_mislead_are_refused(declare: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        declare()


@pytest.mark.usefixtures("registry")
def test_a_rule_of_a_wrong_dtype_is_named_where_arguments_are_broadcast_too() -> None:
    f = tg.op(lambda x, y: x * y, name="narrow", broadcasts=True, x=lambda g, y: (g * y).astype(np.float32), y=None)
    with pytest.raises(TypeError, match="narrow: .* argument 'x' has dtype float32, expected float64"):
        f(leaf(), np.ones(3)).sum().backward()
    g = tg.fused_op(lambda x: (x * 2.0, x), name="half", leaves=("kept",), x=lambda g, kept: g * 2.0 + 0.0 * kept,
                    compose=lambda x: tg.astype(x, np.float32) * 2.0)  # fmt: skip
    x = leaf()
    with pytest.raises(ValueError, match=r"half: its compose returned .* float32, expected shape \(3,\) float64"):
        tg.gradients(g(x).sum(), x, create_graph=True)


# ---- the border to NumPy


@pytest.mark.parametrize(
    "call",
    [lambda t, m: t * m, lambda t, m: t - m, lambda t, m: t @ m, lambda t, m: tg.sum(m), lambda t, m: tg.tensor(m),
     lambda t, m: np.maximum(t, m)],
)  # fmt: skip
def test_masked_arrays_are_refused(call: Any) -> None:
    with pytest.raises(TypeError, match=r"MaskedArray .*mask would be lost.*m\.filled"):
        call(leaf(), np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False]))


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_matrices_are_refused_where_they_would_mean_something_else() -> None:
    m, x = np.matrix([[1.0, 2.0], [3.0, 4.0]]), leaf([[1.0, 2.0], [3.0, 4.0]])
    for call in (lambda: m * x, lambda: x * m, lambda: m @ x):
        with pytest.raises(TypeError, match=r"matrix .*np\.asarray\(m\), and write @"):
            call()
    assert type(tg.tensor(m).data) is np.ndarray  # made an array by name


def test_memory_mapped_arrays_are_arrays(tmp_path: Any) -> None:
    np.save(tmp_path / "a.npy", np.array([1.0, 2.0, 3.0]))
    x = leaf()
    (x * np.load(tmp_path / "a.npy", mmap_mode="r")).sum().backward()
    assert x.grad.tolist() == [1.0, 2.0, 3.0]


def test_objects_are_refused_at_once() -> None:
    for call in (lambda a: leaf() @ a, lambda a: leaf() * a):
        with pytest.raises(TypeError, match="object"):
            call(np.array([1, 2, 3], object))


def test_a_method_of_an_array_runs_numpys_function() -> None:
    high = leaf([0.5, 2.0, 0.1])
    np.ones(3).clip(0, high).sum().backward()
    assert high.grad.tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: scipy.special.jv(1, t), r"^scipy\.special\.jv has no derivative rule"),
        (np.linalg.eig, r"nearest supported function is np\.linalg\.eigh"),
        (np.emath.sqrt, r"nearest supported function is np\.sqrt"),
        (lambda t: np.subtract.at(np.ones(3), 0, t), r"use t\.at\[i\]\.add\(-v\)"),
        (lambda t: np.maximum.at(np.ones(3), 0, t), r"use t\.at\[i\]\.max\(v\)"),
        (np.power.reduce, r"functools\.reduce\(np\.power, t\)"),
        (lambda t: np.vecdot(t, t, axis=0), r"tg\.vecdot\(x, y, axis=0\)"),
        (math.exp, r"np\.exp\(t\) for math\.exp\(t\)"),
    ],
)
def test_refusals_name_a_cure_that_works(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(leaf())


def test_an_empty_out_is_none() -> None:
    assert np.sum(leaf(), out=None).item() == 6.0
    assert np.median(leaf(), out=None).item() == 2.0


# ---- gradients, modes and transforms


def test_what_gradients_is_given_is_named() -> None:
    a = leaf()
    z, weight = (a * a).sum(), leaf(2.0)
    with pytest.raises(ValueError, match="given 1 grad_outputs for 2 outputs"):
        tg.gradients([z, z], a, 1.0)
    with pytest.raises(TypeError, match=r"outputs\[1\] needs no gradient, given float"):
        tg.gradients([z, 3.0], a)
    with pytest.raises(TypeError, match=r"grad_outputs\[0\] needs a gradient itself.*create_graph=True"):
        tg.gradients(z, a, weight)


def test_a_weight_of_another_precision_stays_on_the_tape() -> None:
    a, weight = leaf(), leaf(2.0, np.float32)
    (d,) = tg.gradients((a * a).sum(), a, weight, create_graph=True)
    (of_weight,) = tg.gradients(d.sum(), weight)
    assert of_weight.dtype == np.float32
    assert of_weight.item() == 12.0


def test_no_grad_on_a_generator_is_refused() -> None:
    def numbers() -> Any:
        yield leaf() * 2

    async def task() -> None: ...

    for function in (numbers, task):
        with pytest.raises(TypeError, match=f"no_grad: {function.__name__} is a generator or a coroutine"):
            tg.no_grad()(function)
    assert isinstance(numbers(), types.GeneratorType)
    assert not tg.no_grad()(lambda: leaf() * 2)().requires_grad


def test_a_python_number_beside_float32_widens_nothing() -> None:
    w = np.ones(3, np.float32)
    value, (of_w, of_k) = tg.value_and_grad(lambda w, k: np.sum(w * k), (0, 1))(w, 0.5)
    assert value.dtype == of_w.dtype == np.float32
    assert of_k == 3.0
    value, slopes = tg.value_and_grad(lambda p: np.sum(p["w"] * p["k"]))({"w": w, "k": 0.5})
    assert value.dtype == slopes["w"].dtype == np.float32
    assert tg.grad(lambda k: k * k)(0.1) == 0.2  # alone it is Python's, of 64 bits
    assert tg.grad(np.sin, argnums=np.int64(0))(0.0) == 1.0

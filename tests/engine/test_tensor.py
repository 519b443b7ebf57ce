"""Tensor: its facts, NumPy's protocols, what it refuses lest a gradient be lost, how it is shown and copied."""

from __future__ import annotations

import copy
import math
import operator
import pickle
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg


@pytest.fixture
def t() -> tg.Tensor:
    return tg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True, name="t")


# ---- facts


def test_facts(t: tg.Tensor) -> None:
    assert (t.shape, t.ndim, t.size, t.dtype, t.name) == ((2, 3), 2, 6, np.float64, "t")
    assert t.requires_grad
    assert t.is_leaf
    assert t.grad is None
    assert type(t.data) is np.ndarray
    u = t * 2.0
    assert u.requires_grad
    assert not u.is_leaf
    assert len(t) == 2
    assert t.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert t.sum().item() == 21.0
    assert type(t.sum().item()) is float
    assert type(t.sum().data) is np.ndarray
    d = u.detach()
    assert not d.requires_grad
    assert d.is_leaf
    assert np.shares_memory(d.data, u.data)
    np.testing.assert_array_equal(d.numpy(), u.data)


def test_tensor_copies_its_data() -> None:
    array = np.ones(3)
    t = tg.tensor(array)
    array[0] = 7.0
    assert t.data[0] == 1.0
    u = tg.tensor(t, dtype=np.float32, requires_grad=True)
    assert u.dtype == np.float32
    assert not np.shares_memory(u.data, t.data)


@pytest.mark.parametrize(
    ("data", "dtype", "expected"),
    [(1, None, np.int64), (1.0, None, np.float64), ([True], None, np.bool_), ([1, 2.5], None, np.float64),
    (1, np.float32, np.float32),
     (np.float16(1), None, np.float16), (np.ones(2, np.float32), None, np.float32), ([], None, np.float64),
     (1j, None, np.complex128)],
)  # fmt: skip
def test_dtypes_are_numpys_own(data: Any, dtype: Any, expected: Any) -> None:
    assert tg.tensor(data, dtype=dtype).dtype == expected


def test_data_that_is_no_array_of_numbers_is_refused() -> None:
    for data in ("abc", None, [None], {"a": 1}, object()):
        with pytest.raises(TypeError, match="expected numbers or booleans"):
            tg.tensor(data)
    with pytest.raises(ValueError, match="no rectangular array"):
        tg.tensor([[1.0], [1.0, 2.0]])


@pytest.mark.parametrize("data", [1, [1, 2], True, np.int32(3), 1j])
def test_only_floats_take_gradients(data: Any) -> None:
    with pytest.raises(TypeError, match=r"requires_grad=True needs a floating-point dtype, given (int|bool|complex)"):
        tg.tensor(data, requires_grad=True)


def test_data_of_a_leaf_can_be_assigned(t: tg.Tensor) -> None:
    t.data = np.zeros((2, 3), np.float32)
    assert t.dtype == np.float64
    t.data = tg.tensor(np.zeros((2, 3)))
    assert type(t.data) is np.ndarray
    t.data -= 1.0
    assert (t.data == -1.0).all()
    with pytest.raises(ValueError, match=r"data of tensor 't': given shape \(3,\), expected \(2, 3\)"):
        t.data = np.zeros(3)
    with pytest.raises(TypeError, match=r"cannot cast complex128 to float64"):
        t.data = np.zeros((2, 3), complex)
    h = t * 2.0
    with pytest.raises(TypeError, match="computed by multiply.*Only leaves take new data.*Right: "):
        h.data = np.zeros((2, 3))
    assert (t.data == -1.0).all()


def test_grad_can_be_set_and_cleared(t: tg.Tensor) -> None:
    t.grad = np.ones((2, 3), np.float32)
    assert t.grad.dtype == np.float64
    (t * 2.0).sum().backward()
    assert (t.grad == 3.0).all()
    t.grad = None
    assert t.grad is None
    with pytest.raises(ValueError, match=r"grad: given shape \(2,\), expected \(2, 3\)"):
        t.grad = np.ones(2)
    with pytest.raises(TypeError, match="needs no gradient"):
        tg.tensor(1.0).grad = np.ones(())


# ---- refusals: what would lose a gradient raises and names the way out


def cannot_become_an_array(t: tg.Tensor) -> dict[str, Any]:
    array, row = np.zeros((2, 3)), np.zeros(3)
    return {
        "np.asarray": lambda: np.asarray(t),
        "np.array": lambda: np.array(t),
        "np.array of a list": lambda: np.array([t, t]),
        "np.array of scalars": lambda: np.array([t.sum(), t.sum()]),
        "object array": lambda: np.array([t, None], dtype=object),
        "numpy()": lambda: t.numpy(),
        "array[:] = t": lambda: operator.setitem(array, slice(None), t),
        "array[i] = t[i]": lambda: operator.setitem(array, 0, t[0]),
        "array[mask] = t": lambda: operator.setitem(row, row == 0, t[0]),
        "tg.tensor of a list": lambda: tg.tensor([t, t]),
        "tg.tensor": lambda: tg.tensor(t),
        "grad": lambda: setattr(t, "grad", t * 2.0),
        "np.frombuffer": lambda: array.fill(t),
    }


REFUSED = list(cannot_become_an_array(tg.tensor(np.ones((2, 3)), requires_grad=True)))


@pytest.mark.parametrize("name", REFUSED)
def test_a_tensor_does_not_become_an_array_in_silence(name: str, t: tg.Tensor) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        cannot_become_an_array(t)[name]()
    messages, error = [], caught.value
    while error is not None:  # NumPy wraps the reason where it tries to read one number
        messages.append(str(error))
        error = error.__cause__ or error.__context__
    assert any("t.data" in m or "t.item()" in m for m in messages), messages
    assert t.grad is None


def test_one_element_of_an_array_refuses_a_tensor(t: tg.Tensor) -> None:
    array = np.zeros(3)
    with pytest.raises((TypeError, ValueError)) as caught:
        array[0] = t[0, 0]
    assert caught.type is TypeError or "would lose its gradient" in str(caught.value.__cause__)
    assert not array.any()


def test_constants_become_arrays_freely() -> None:
    c = tg.tensor([[1.0, 2.0]])
    assert type(np.asarray(c)) is np.ndarray
    assert np.asarray(c, dtype=np.float32).dtype == np.float32
    array = np.zeros((1, 2))
    array[:] = c
    array[0, 0] = tg.tensor(5.0)
    assert array.tolist() == [[5.0, 2.0]]
    assert math.exp(tg.tensor(0.0)) == 1.0
    assert [10, 20, 30][tg.tensor(1)] == 20
    assert (float(tg.tensor(2.5)), int(tg.tensor(2.5)), complex(tg.tensor(2.5))) == (2.5, 2, 2.5 + 0j)


@pytest.mark.parametrize("f", [float, int, complex, math.exp, math.sqrt, math.floor])
def test_conversion_to_a_number_would_lose_the_gradient(f: Any, t: tg.Tensor) -> None:
    with pytest.raises(TypeError, match=r"would lose its gradient: write t\.item\(\)"):
        f(t.sum())


IN_PLACE = [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow, operator.imatmul]


@pytest.mark.parametrize("f", IN_PLACE, ids=lambda f: f.__name__)
def test_an_array_is_not_updated_in_place_with_a_tensor(f: Any) -> None:
    array, u = np.full((2, 2), 3.0), tg.tensor(np.full((2, 2), 2.0), requires_grad=True)
    with pytest.raises(TypeError, match="cannot be written into an array"):
        f(array, u)
    assert (array == 3.0).all()


@pytest.mark.parametrize("f", IN_PLACE, ids=lambda f: f.__name__)
def test_in_place_operators_of_a_tensor_make_a_new_one(f: Any) -> None:
    t = tg.tensor(np.full((2, 2), 3.0), requires_grad=True)
    u = f(t, 2.0 * np.eye(2) + 1.0)
    assert u is not t
    assert not u.is_leaf
    assert (t.data == 3.0).all()


def test_out_and_item_assignment_point_elsewhere(t: tg.Tensor) -> None:
    for out in (np.zeros((2, 3)), t, tg.tensor(np.zeros((2, 3)))):
        with pytest.raises(TypeError, match="cannot be written into"):
            np.multiply(t, 2.0, out=out)
    with pytest.raises(TypeError, match="cannot be written into"):
        np.exp(t.data, out=tg.tensor(np.zeros((2, 3))))
    with pytest.raises(TypeError, match=r"Right: t = t\.at\[i\]\.set\(v\)"):
        t[0] = 1.0
    with pytest.raises(TypeError, match=r"t\.at\[i\]\.add\(v\)"):
        np.add.at(np.zeros((2, 3)), 0, t)
    assert t.data[0, 0] == 1.0


OPERATOR_NAMES = {"add": "add", "subtract": "sub", "multiply": "mul", "divide": "truediv", "power": "pow"}


@pytest.mark.parametrize("name", OPERATOR_NAMES)
def test_arrays_of_objects_are_refused_on_both_sides(name: str) -> None:
    f = getattr(operator, OPERATOR_NAMES[name])
    t = tg.tensor([1.0, 2.0], requires_grad=True)
    for other in (np.array([1, 2], dtype=object), np.array([1, None], dtype=object)):
        for pair in ((t, other), (other, t)):
            with pytest.raises(TypeError, match=f"(?s)^{name}: "):
                f(*pair)


# ---- both sides of the operators

OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
OTHERS: list[Any] = [2, 2.0, True, np.float64(2.0), np.float32(2.0), np.array(2.0), np.array([1.0, 2.0, 3.0]),
[1.0, 2.0, 3.0],
                     np.array([[2.0], [3.0]]), np.array([1, 2, 3])]  # fmt: skip


@pytest.mark.parametrize("f", OPERATORS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("other", OTHERS, ids=repr)
def test_operators_take_anything_on_either_side(f: Any, other: Any, t: tg.Tensor) -> None:
    for left, right in ((t, other), (other, t)):
        out = f(left, right)
        assert type(out) is tg.Tensor
        expected = f(t.data, np.asarray(other)) if left is t else f(np.asarray(other), t.data)
        np.testing.assert_allclose(out.data, expected, rtol=1e-15)
        out.sum().backward()
        assert t.grad.shape == t.shape
        t.grad = None


@pytest.mark.parametrize("f", COMPARISONS, ids=lambda f: f.__name__)
def test_comparisons_are_constant_booleans(f: Any, t: tg.Tensor) -> None:
    for other in (3, t, t.data, tg.tensor(3.0), np.float32(3)):
        out = f(t, other)
        assert type(out) is tg.Tensor
        assert out.dtype == bool
        assert not out.requires_grad
        np.testing.assert_array_equal(out.data, f(t.data, getattr(other, "_array", other)))
        np.testing.assert_array_equal(f(t.data, tg.tensor(3.0)).data, f(t.data, 3.0))


def test_masks_combine_and_branch(t: tg.Tensor) -> None:
    mask = (t > 1) & (t < 6) | (t == 6) ^ False
    assert mask.data.tolist() == [[False, True, True], [True, True, True]]
    assert (~mask).data.tolist() == [[True, False, False], [False, False, False]]
    assert bool(t.sum() > 20) is True
    assert ("big" if t.max() > 5 else "small") == "big"
    with pytest.raises(ValueError, match="truth value"):
        bool(t)
    assert mask.any()
    assert not mask.all()


def test_iteration_and_length(t: tg.Tensor) -> None:
    rows = list(t)
    assert [row.data.tolist() for row in rows] == t.tolist()
    (rows[0] * rows[1]).sum().backward()
    np.testing.assert_array_equal(t.grad, t.data[::-1])
    first, *rest = t[0]
    assert (first.item(), len(rest)) == (1.0, 2)
    with pytest.raises(TypeError, match="unsized|0-d"):
        len(t.sum())
    with pytest.raises(TypeError, match="unsized|0-d"):
        iter(t.sum())


def test_hash_is_by_identity(t: tg.Tensor) -> None:
    u = tg.tensor(t.data, requires_grad=True)
    table = {t: 1, u: 2}
    assert (table[t], table[u]) == (1, 2)
    assert len({t, t, u}) == 2


# ---- shown, copied, stored


def test_repr() -> None:
    t = tg.tensor([1.0, 2.5], requires_grad=True, name="w")
    assert repr(t) == "tensor([1. , 2.5], name='w', requires_grad=True)"
    assert repr(t * 2) == "tensor([2., 5.], op=multiply)"
    assert repr(tg.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(tg.tensor(1.0, dtype=np.float32)) == "tensor(1., dtype=float32)"
    assert repr(tg.tensor([])) == "tensor([], dtype=float64)"
    assert str(t) == repr(t)


def test_format() -> None:
    t = tg.tensor(1.23456, requires_grad=True)
    assert f"{t:.2f}" == "1.23"
    assert f"{t}" == repr(t)
    assert f"{tg.tensor(3):>4d}" == "   3"
    with pytest.raises(TypeError, match="format"):
        f"{tg.tensor([1.0, 2.0]):.2f}"


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))], ids=["copy", "deepcopy", "pickle"]
)
def test_leaves_can_be_copied_and_stored(copied: Any, t: tg.Tensor) -> None:
    u = copied(t)
    assert (u.name, u.requires_grad, u.dtype) == ("t", True, np.float64)
    np.testing.assert_array_equal(u.data, t.data)
    assert not np.shares_memory(u.data, t.data)
    (u * 2.0).sum().backward()
    assert t.grad is None
    assert not copied(tg.tensor([1, 2])).requires_grad


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_computed_tensors_are_not_copied_without_their_graph(copied: Any, t: tg.Tensor) -> None:
    with pytest.raises(TypeError, match=r"was computed and holds its graph: copy or pickle t\.detach\(\)"):
        copied(t * 2.0)
    np.testing.assert_array_equal(copy.deepcopy((t * 2.0).detach()).data, t.data * 2.0)


def test_methods_are_the_functions(t: tg.Tensor) -> None:
    a = t.data
    for ours, theirs in [
        (t.sum(), a.sum()), (t.sum(0), a.sum(0)), (t.mean(axis=1, keepdims=True), a.mean(axis=1, keepdims=True)),
        (t.prod(), a.prod()),
        (t.max(1), a.max(1)), (t.min(), a.min()), (t.var(ddof=1), a.var(ddof=1)), (t.std(0), a.std(0)),
        (t.argmax(), a.argmax()),
        (t.argmin(axis=1), a.argmin(axis=1)), (t.clip(2, 5), a.clip(2, 5)), (t.clip(max=5), a.clip(max=5)),
        (t.dot(a.T), a.dot(a.T)),
        (t.reshape(3, 2), a.reshape(3, 2)), (t.reshape((3, -1)), a.reshape(3, -1)), (t.reshape(-1), a.reshape(-1)),
        (t.ravel(), a.ravel()),
        (t.flatten(), a.flatten()), (t.transpose(), a.transpose()), (t.transpose(1, 0), a.T),
        (t.transpose((1, 0)), a.T), (t.T, a.T),
        (t.mT, a.T), (t.swapaxes(0, 1), a.T), (t[None].squeeze(), a), (t[None].squeeze(0), a),
        (t.astype(np.float32), a.astype(np.float32)),
        (t.copy(), a), (-t, -a), (+t, a), (abs(t - 3), abs(a - 3)), (t @ a.T, a @ a.T), (a.T @ t, a.T @ a),
    ]:  # fmt: skip
        assert type(ours) is tg.Tensor
        np.testing.assert_array_equal(ours.data, np.asarray(theirs), strict=True)


def test_operators_of_arithmetic_are_the_operations() -> None:
    """Each saves a call of Python's; from the left of an array, or of a number, NumPy and Python come to the same."""
    Tensor = tg.Tensor
    direct = (Tensor.__add__, Tensor.__sub__, Tensor.__mul__, Tensor.__truediv__)
    assert direct == (tg.add, tg.subtract, tg.multiply, tg.divide)
    p = tg.nn.Parameter(np.array([2.0, 4.0]))
    for result, expected in ((p - 1, [1, 3]), (1 - p, [-1, -3]), (np.ones(2) - p, [-1, -3]), (8 / p, [4, 2])):
        assert result.requires_grad
        assert result.data.tolist() == expected


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">f2", "<f8"])
def test_arrays_of_the_other_byte_order_become_the_machines(dtype: str) -> None:
    values = np.array([[1.5, -2.0], [0.25, 3.0]], dtype)
    x = tg.tensor(values, requires_grad=True)
    assert x.dtype == np.dtype(dtype).newbyteorder("=")
    assert x.dtype.isnative
    assert x.tolist() == values.tolist()
    (x[0] * tg.softmax(x)[1]).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == x.dtype
    assert tg.tensor([1.0], dtype=dtype).dtype.isnative

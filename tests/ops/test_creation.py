"""Creation: leaves as asked for, no copy where none is needed; grids, diagonals and triangles at their edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.engine.dispatch import FUNCTIONS
from tinygrad_fc.engine.dispatch import functions as fn
from tinygrad_fc.ops import creation

f32 = np.float32

# name, arguments, keywords: the same call of NumPy's function gives the same array
MADE: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("zeros", (3,), {}), ("zeros", ((2, 3),), {"dtype": f32}), ("zeros", ((),), {"dtype": int}),
    ("zeros", ((0, 2), bool), {}),
    ("ones", ((2, 1),), {}), ("ones", (2, f32), {}), ("full", ((2, 2), 1.5), {}), ("full", (2, 3), {}),
    ("full", ((2, 3), [1.0, 2.0, 3.0]), {"dtype": f32}), ("full", ((), True), {}),
    ("arange", (4,), {}), ("arange", (1, 4), {}), ("arange", (1.0, 2.0, 0.25), {}), ("arange", (4,), {"step": 2}),
    ("arange", (0,), {}), ("arange", (3, 0, -1), {"dtype": f32}), ("arange", (f32(3),), {}), ("arange", (2.5,), {}),
    ("linspace", (0, 1), {}), ("linspace", (0.0, 1.0, 5, False), {"dtype": f32}),
    ("linspace", ([0, 1], [2, 3], 3), {"axis": 1}), ("linspace", (0, 1, 1), {}),
    ("linspace", (0, 1, 0), {}), ("linspace", (0, 9, 4), {"dtype": int}),
    ("logspace", (0, 2, 3), {}), ("logspace", (0, 2, 3), {"base": 2.0, "endpoint": False}),
    ("logspace", (0, [1, 2], 3), {}), ("logspace", (0, 2, 3), {"base": [2.0, 3.0], "axis": -1}),
    ("eye", (3,), {}), ("eye", (2, 3, 1), {"dtype": f32}), ("eye", (2,), {"k": -1}), ("identity", (2,), {}),
    ("identity", (0,), {"dtype": int}), ("tri", (3,), {}), ("tri", (2, 3), {"k": -1, "dtype": bool}),
    ("asarray", ([1, 2],), {}), ("asarray", (2.5,), {"dtype": f32}), ("asarray", (np.arange(3.0),), {"copy": True}),
    ("from_dlpack", (np.arange(3.0),), {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "kwargs"), MADE, ids=[f"{name}-{n}" for n, (name, *_) in enumerate(MADE)])
def test_numpys_arrays_as_leaves(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    make, expected = getattr(creation, name), getattr(np, name)(*args, **kwargs)
    out = make(*args, **kwargs, name="made")
    np.testing.assert_array_equal(out.data, expected, strict=True)
    assert (type(out), out.requires_grad, out.is_leaf, out.name) == (tg.Tensor, False, True, "made")
    if expected.dtype.kind == "f":
        out = make(*args, **kwargs, requires_grad=True, name="made")
        np.testing.assert_array_equal(out.data, expected, strict=True)
        assert (out.requires_grad, out.is_leaf, out.name) == (True, True, "made")
        (out * 3.0).sum().backward()
        np.testing.assert_array_equal(out.grad, np.full(expected.shape, 3.0, expected.dtype), strict=True)
    else:
        with pytest.raises(TypeError, match=f"{name}: requires_grad=True needs a floating-point dtype, given"):
            make(*args, **kwargs, requires_grad=True)
    with pytest.raises(TypeError, match=f"{name}: name is 7"):
        make(*args, **kwargs, name=7)


def test_empty_has_the_shape() -> None:
    out = creation.empty((2, 3), f32, requires_grad=True)
    assert (out.shape, out.dtype, out.requires_grad) == ((2, 3), f32, True)
    for make in (creation.empty, creation.zeros, creation.ones):
        assert make((2, 3), order="F", device="cpu", like=out).data.flags.fnc
        with pytest.raises(ValueError, match="device is 'gpu', expected 'cpu'"):
            make(2, device="gpu")
        with pytest.raises(TypeError, match="like is a list"):
            make(2, like=[1.0])
    with pytest.raises(TypeError, match="asarray: given dtype"):
        creation.asarray(["a"])


def test_a_fill_value_takes_a_gradient() -> None:
    for fill in (
        lambda v: creation.full((2, 3), v), lambda v: fn.full_like(np.zeros((2, 3)), v),
        lambda v: np.full_like(tg.tensor(np.zeros((2, 3))), v),
    ):  # fmt: skip
        for shape, grad in (((), 15.0), ((3,), [3.0, 5.0, 7.0]), ((2, 1), [[3.0], [12.0]])):
            v = tg.tensor(np.full(shape, 2.0), requires_grad=True)
            out = fill(v)
            np.testing.assert_array_equal(out.data, np.full((2, 3), 2.0))
            assert out.data.flags.writeable
            (out * np.arange(6.0).reshape(2, 3)).sum().backward()
            np.testing.assert_array_equal(v.grad, np.array(grad))
    narrow = creation.full(2, v, f32) if v.ndim == 0 else creation.full((2, 1), v, f32)
    assert narrow.dtype == f32
    with pytest.raises(TypeError, match="no gradient"):
        fn.full_like(np.zeros((2, 1), int), v)
    with pytest.raises(TypeError, match="full: requires_grad=True asks for a leaf"):
        creation.full(2, tg.tensor(1.0), requires_grad=True)
    assert not fn.full_like(tg.tensor(1.0, requires_grad=True), 2.0).requires_grad


def test_like_another() -> None:
    x = tg.tensor(np.ones((2, 3), f32), requires_grad=True)
    for like in (np.zeros_like, np.ones_like, np.empty_like):
        assert not like(x).requires_grad
        for kwargs, shape, dtype in (({}, (2, 3), f32), ({"dtype": int}, (2, 3), int), ({"shape": 4}, (4,), f32)):
            assert (like(x, **kwargs).shape, like(x, **kwargs).dtype) == (shape, dtype)
        assert like(x, subok=False, order="F").data.flags.fnc
        with pytest.raises(ValueError, match=f"^{like.__name__}: device is 'gpu'"):
            like(x, device="gpu")


def test_asarray_copies_only_what_it_must() -> None:
    a = np.arange(3.0)
    assert creation.asarray(a).data is a
    assert np.shares_memory(creation.asarray(a, requires_grad=True).data, a)
    assert not np.shares_memory(creation.asarray(a, copy=True).data, a)
    assert not np.shares_memory(creation.asarray(a, f32).data, a)
    with pytest.raises(ValueError, match="copy"):
        creation.asarray([1.0], copy=False)
    c, x = tg.tensor(a), tg.tensor(a, requires_grad=True)
    assert creation.asarray(c) is c
    assert creation.asarray(x) is x
    assert creation.asarray(x, copy=False) is x
    leaf = creation.asarray(c, requires_grad=True)
    assert leaf.requires_grad
    assert not c.requires_grad
    narrow = creation.asarray(x, f32)
    assert narrow.dtype == f32
    (narrow.sum() + creation.asarray(x, copy=True).sum()).backward()
    np.testing.assert_array_equal(x.grad, [2.0, 2.0, 2.0])
    with pytest.raises(ValueError, match="asarray: copy=False, but float64 cannot become float32"):
        creation.asarray(x, f32, copy=False)
    assert creation.asarray(x, copy=True, name="mine").name == "mine"
    assert x.name is None
    with pytest.raises(TypeError, match="asarray: name= would rename"):
        creation.asarray(x, name="mine")


def test_from_dlpack_shares_memory() -> None:
    a = np.arange(3.0)
    assert np.shares_memory(creation.from_dlpack(a).data, a)
    assert not np.shares_memory(creation.from_dlpack(a, copy=True).data, a)
    with pytest.raises(AttributeError, match="__dlpack"):
        creation.from_dlpack([1.0])


def test_rows_refuse_what_would_lose_a_gradient() -> None:
    x = tg.tensor(3.0, requires_grad=True)
    with pytest.raises(TypeError, match=r"arange: its bounds take no gradient.*t\.item\(\)"):
        creation.arange(x)
    np.testing.assert_array_equal(creation.arange(tg.tensor(3)).data, [0, 1, 2], strict=True)
    for make in (creation.linspace, creation.logspace):
        with pytest.raises(TypeError, match="requires_grad=True asks for a leaf"):
            make(tg.tensor(0.0), 1.0, 3, requires_grad=True)
        assert make(x, 1.0, 3, name="row").name == "row"
        assert make(x, 1.0, 3, dtype=f32).dtype == f32


def test_linspace_between_tensors() -> None:
    a, b = tg.tensor(np.array(1.0, f32), requires_grad=True), tg.tensor(np.array(3.0, f32), requires_grad=True)
    row, step = creation.linspace(a, b, 5, retstep=True)
    np.testing.assert_array_equal(row.data, np.linspace(1, 3, 5, dtype=f32), strict=True)
    assert (step.item(), step.dtype) == (0.5, f32)
    da, db = tg.gradients(row.sum() + 4.0 * step, [a, b])
    assert (da.item(), db.item(), da.dtype) == (1.5, 3.5, f32)
    assert creation.linspace(a, 2.0, 3).dtype == f32
    assert creation.linspace(a, 2, 0).shape == (0,)
    np.testing.assert_array_equal(creation.linspace(tg.tensor(0), 9, 4, dtype=int).data, [0, 3, 6, 9], strict=True)
    with pytest.raises(ValueError, match="-1"):
        creation.linspace(a, b, -1)


ENDS = [0.0, -2.5, 3.0, 1e308, -1e308, 1e-310, 5e-324, np.nan, np.inf, -np.inf]


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("num", [0, 1, 2, 5])
@pytest.mark.parametrize("kinds", ["dd", "ff", "fd"])
def test_rows_between_any_ends_are_numpys(kinds: str, num: int, endpoint: bool) -> None:
    """The last row is `stop` itself, whatever `start` is, and a step too small for a float is no 0."""
    with np.errstate(all="ignore"):
        a, b = (np.array(ENDS, kind) for kind in kinds)
        start, stop = a[:, None], b
        expected, step = np.linspace(start, stop, num, endpoint, retstep=True)
        powers = np.logspace(start, stop, num, endpoint)
        for ends in ((tg.tensor(start), stop), (tg.tensor(start), tg.tensor(stop, requires_grad=True))):
            row, found = creation.linspace(*ends, num, endpoint, retstep=True)
            np.testing.assert_allclose(row.data, expected, rtol=1e-6 if "f" in kinds else 1e-13, strict=True)
            np.testing.assert_allclose(found.data, np.broadcast_to(step, found.shape), rtol=1e-6)
            np.testing.assert_allclose(creation.logspace(*ends, num, endpoint).data, powers, rtol=1e-5, strict=True)


def test_the_last_row_has_the_gradient_of_stop_alone() -> None:
    a, b = tg.tensor([1.0, np.nan], requires_grad=True), tg.tensor([4.0, 2.0], requires_grad=True)
    da, db = tg.gradients(np.linspace(a, b, 4)[-1].sum(), [a, b])
    np.testing.assert_array_equal([da.data, db.data], [[0.0, 0.0], [1.0, 1.0]])


def test_linspace_of_integers_goes_down_and_refusals_say_what_was_given() -> None:
    whole = creation.linspace(tg.tensor(-1.5), 1.0, 4, dtype=int)
    np.testing.assert_array_equal(whole.data, np.linspace(-1.5, 1.0, 4, dtype=int), strict=True)
    t = tg.tensor(1.0, requires_grad=True)
    for wrong, kind, words in (
        ((t, [t, t], 3), TypeError, r"^linspace: tensor \(\) needs a gradient.*tg.stack"),
        ((t, "a", 3), TypeError, "^linspace: given 'a' of dtype"), ((t, 2.0, 2.5), TypeError, "^linspace: num is 2.5"),
        ((t, 2.0, -1), ValueError, "^linspace: num is -1, expected how many numbers"),
    ):  # fmt: skip
        with pytest.raises(kind, match=words):
            creation.linspace(*wrong)


# ---- matrices and grids at their edges

EDGES: dict[str, tuple[Callable[[Any], Any], tuple[int, ...], Any]] = {
    "diag of nothing": (np.diag, (0,), np.ones(0)), "diag of one": (lambda t: np.diag(t, 2), (1,), np.ones(1)),
    "diag beyond": (lambda t: np.diag(t, 3), (2, 3), np.zeros((2, 3))),
    "diag below": (lambda t: np.diag(t, -1), (2, 3), [[0, 0, 0], [1, 0, 0]]),
    "diagflat of a number": (np.diagflat, (), 1.0), "diagflat": (lambda t: np.diagflat(t, -1), (1, 2), np.ones((1, 2))),
    "diagonal": (lambda t: np.diagonal(t, 1, 0, 1), (2, 2), [[0, 1], [0, 0]]),
    "diagonal of nothing": (np.diagonal, (0, 3), np.zeros((0, 3))),
    "diagonal, negative axes": (lambda t: np.diagonal(t, 0, -1, -2), (1, 2, 3), [[[1, 0, 0], [0, 1, 0]]]),
    "trace of nothing": (np.trace, (0, 0), np.zeros((0, 0))), "trace of one": (np.trace, (1, 1), [[1]]),
    "trace of a stack": (lambda t: np.trace(t, -1, 1, 2), (1, 2, 2), [[[0, 0], [1, 0]]]),
    "tril of nothing": (np.tril, (0, 2), np.zeros((0, 2))), "tril of a vector": (np.tril, (2,), [2, 1]),
    "triu of a vector": (np.triu, (2,), [1, 2]), "triu above": (lambda t: np.triu(t, 1), (2, 2), [[0, 1], [0, 0]]),
    "tril far above": (lambda t: np.tril(t, 5), (2, 2), np.ones((2, 2))),
    "meshgrid of one": (np.meshgrid, (3,), np.ones(3)),
    "meshgrid": (lambda t: np.meshgrid(t, [1.0, 2.0, 3.0]), (2,), [3, 3]),
    "meshgrid with itself": (lambda t: np.meshgrid(t, t, indexing="ij"), (2,), [4, 4]),
    "meshgrid with nothing": (lambda t: np.meshgrid(t, np.zeros(0)), (2,), [0, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
@pytest.mark.parametrize("dtype", [float, f32])
def test_edges(name: str, dtype: Any) -> None:
    f, shape, gradient = EDGES[name]
    a = np.arange(1, np.prod(shape, dtype=int) + 1).reshape(shape).astype(dtype)
    x = tg.tensor(a, requires_grad=True)
    outs, expected = f(x), f(a)
    outs, expected = (outs, expected) if isinstance(outs, tuple) else ((outs,), (expected,))
    loss: Any = 0.0
    for out, value in zip(outs, expected, strict=True):
        np.testing.assert_array_equal(out.data, value, strict=True)
        if out.requires_grad:
            loss = loss + out.sum()
    loss.backward()
    np.testing.assert_array_equal(x.grad, np.array(gradient, dtype).reshape(shape), strict=True)


def test_triangles_hide_what_they_leave_out() -> None:
    """A NaN or an infinity outside the triangle reaches neither the result nor a gradient."""
    for f, bad in ((np.tril, (0, 1)), (np.triu, (1, 0))):
        a = np.ones((2, 2))
        a[bad] = np.inf
        x = tg.tensor(a, requires_grad=True)
        (f(x) ** 2).sum().backward()
        expected = np.full((2, 2), 2.0)
        expected[bad] = 0.0
        np.testing.assert_array_equal(x.grad, expected)
    bits = np.array([[True, True], [True, False]])
    np.testing.assert_array_equal(fn.tril(tg.tensor(bits)).data, np.tril(bits), strict=True)


def test_trace_sums_as_numpy() -> None:
    for kind, dtype in ((np.int8, None), (f32, np.float64), (bool, None)):
        a = np.ones((2, 2), kind)
        np.testing.assert_array_equal(np.trace(tg.tensor(a), dtype=dtype).data, np.trace(a, dtype=dtype), strict=True)
    x = tg.tensor(np.ones((2, 2), f32), requires_grad=True)
    np.trace(x, dtype=float).backward()
    np.testing.assert_array_equal(x.grad, np.eye(2, dtype=f32), strict=True)


def test_meshgrid_copies_as_asked() -> None:
    a, b = np.arange(2.0), np.arange(3.0)
    assert all(grid.data.flags.writeable for grid in fn.meshgrid(a, b))
    assert all(np.shares_memory(g.data, v) for g, v in zip(fn.meshgrid(a, b, copy=False), (a, b), strict=True))
    assert [grid.shape for grid in fn.meshgrid(a, b, sparse=True)] == [(1, 2), (3, 1)]
    assert fn.meshgrid() == ()


REFUSED: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "diag": (lambda t: np.diag(t[0, 0]), ValueError, r"diag: v has shape \(\), expected a vector or a matrix"),
    "diag, 3 axes": (lambda t: np.diag(t[None]), ValueError, r"diag: v has shape \(1, 2, 3\)"),
    "diagonal": (lambda t: np.diagonal(t[0]), ValueError, "diagonal: .*two dimensions"),
    "diagonal, one axis": (lambda t: np.diagonal(t, 0, 1, 1), ValueError, "same"),
    "trace": (lambda t: np.trace(t, out=np.zeros(())), TypeError, "out"),
    "tril": (lambda t: np.tril(t[0, 0]), ValueError, "tril: m has no axes"),
    "triu": (lambda t: np.triu(t[0, 0]), ValueError, "triu: m has no axes"),
    "meshgrid": (lambda t: np.meshgrid(t[0], indexing="yx"), ValueError, "indexing is 'yx', expected 'xy' or 'ij'"),
    "geomspace": (lambda t: np.geomspace(t, 2.0), TypeError, "np.geomspace has no derivative rule"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_what_is_wrong(name: str) -> None:
    f, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        f(tg.tensor(np.ones((2, 3)), requires_grad=True))


def test_no_name_is_missing() -> None:
    for name in "zeros ones full empty arange linspace logspace eye identity tri asarray from_dlpack".split():
        assert getattr(creation, name).__doc__, name
    t = tg.tensor([1.0])
    for name in "diag diagflat diagonal trace tril triu meshgrid full_like zeros_like ones_like empty_like".split():
        assert getattr(np, name) in FUNCTIONS, name
        with pytest.raises(TypeError, match="wrong_keyword"):
            getattr(np, name)(t, *[1] * (name == "full_like"), wrong_keyword=1)

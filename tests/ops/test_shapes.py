"""Shapes, joining, splitting, repeating and padding: NumPy's values at edges, the transpose of each, and refusals."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.engine.dispatch import FUNCTIONS
from tinygrad_fc.engine.dispatch import functions as fn

f32 = np.float32


def as_list(out: Any) -> list[Any]:
    return list(out) if isinstance(out, (list, tuple)) else [out]


def check_linear(f: Callable[..., Any], *arrays: np.ndarray) -> None:
    """Compare an affine function with NumPy's and see that the gradient is its transpose: (f v - f 0) . g = v . f'g.

    `f` calls functions of NumPy, so that tensors reach this package's and arrays NumPy's own.
    """
    inputs = [tg.tensor(a, requires_grad=True) for a in arrays]
    expected, outs = as_list(f(*arrays)), as_list(f(*inputs))
    assert len(outs) == len(expected)
    for out, value in zip(outs, expected, strict=True):
        assert isinstance(out, tg.Tensor)
        assert (out.shape, out.dtype) == (np.shape(value), value.dtype)
        np.testing.assert_allclose(out.data, value, rtol=1e-13, atol=1e-13)
    generator = np.random.default_rng(7)
    up = [generator.normal(size=out.shape) for out in outs]
    loss = sum((g * out).sum() for g, out in zip(up, outs, strict=True))
    found = tg.gradients(loss, inputs)
    zero = as_list(f(*[np.zeros_like(a) for a in arrays]))
    for n, (a, d) in enumerate(zip(arrays, found, strict=True)):
        assert (d.shape, d.dtype) == (a.shape, a.dtype)
        v = generator.normal(size=a.shape)
        moved = as_list(f(*[v if k == n else np.zeros_like(b) for k, b in enumerate(arrays)]))
        rise = sum(np.sum(g * (end - start)) for g, end, start in zip(up, moved, zero, strict=True))
        np.testing.assert_allclose(np.sum(v * d.data), rise, rtol=1e-10, atol=1e-11)


# ---- empty arrays, axes of length 1, no axes at all


LINEAR: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "reshape of nothing": (lambda t: np.reshape(t, (0, 5)), [(2, 0)]),
    "reshape F": (lambda t: np.reshape(t, (2, -1), order="F"), [(3, 2, 4)]),
    "reshape F to an integer": (lambda t: np.reshape(t, 6, "F"), [(3, 2)]),
    "reshape F of a number": (lambda t: np.reshape(t, (1, 1), order="F"), [()]),
    "ravel of a number": (np.ravel, [()]),
    "matrix_transpose of ones": (np.matrix_transpose, [(1, 1)]),
    "moveaxis of nothing": (lambda t: np.moveaxis(t, 0, -1), [(0, 2, 3)]),
    "moveaxis, no axes": (lambda t: np.moveaxis(t, (), ()), [(2, 3)]),
    "moveaxis, all": (lambda t: np.moveaxis(t, (2, 0, 1), (0, 2, 1)), [(2, 3, 4)]),
    "broadcast_arrays": (lambda a, b: np.broadcast_arrays(a, 1.5 * b, b), [(1, 3), (2, 1)]),
    "broadcast_arrays with nothing": (lambda a, b: np.broadcast_arrays(a, b), [(0, 1), (2,)]),
    "flip of nothing": (np.flip, [(0, 2)]), "flip of a number": (np.flip, [()]),
    "flip of no axes": (lambda t: np.flip(t, ()), [(2, 3)]), "flip by a list": (lambda t: np.flip(t, [0]), [(2, 3)]),
    "rot90 k=-3": (lambda t: np.rot90(t, -3), [(2, 3)]), "rot90 k=6": (lambda t: np.rot90(t, 6, (1, 0)), [(2, 3)]),
    "roll of nothing": (lambda t: np.roll(t, 3), [(0,)]), "roll around": (lambda t: np.roll(t, 7, 1), [(2, 3)]),
    "roll by an array": (lambda t: np.roll(t, np.array([1, 2]), (0, 0)), [(4,)]),
    "vstack of numbers": (lambda a, b: np.vstack([a, b]), [(), ()]),
    "column_stack of nothing": (lambda a, b: np.column_stack([a, b]), [(0,), (0, 2)]),
    "block of a number": (lambda a, b: np.block([[a, b]]), [(), (2,)]),
    "block, three deep": (lambda a, b: np.block([[[a], [b]]]), [(1, 2), (2, 2)]),
    "concatenate a tensor itself": (np.concatenate, [(2, 3, 2)]), "vstack a tensor itself": (np.vstack, [(2, 3)]),
    "stack with an array": (lambda a: np.stack([a, np.ones(2), [3.0, 4.0]], axis=-1), [(2,)]),
    "append to nothing": (lambda a, b: np.append(a, b), [(0,), (2, 2)]),
    "append numbers": (lambda a: np.append(a, [1.0, 2.0]), [(2,)]),
    "insert at the end": (lambda a, b: np.insert(a, 3, b), [(3,), ()]),
    "insert nothing": (lambda a, b: np.insert(a, [], b, axis=0), [(3, 2), (0, 2)]),
    "insert into nothing": (lambda a, b: np.insert(a, 0, b, axis=0), [(0, 2), (2,)]),
    "insert the same place twice": (lambda a, b: np.insert(a, [1, 1], b), [(3,), (2,)]),
    "insert one value in many places": (lambda a, b: np.insert(a, [0, -1, 2], b, axis=1), [(2, 3), ()]),
    "delete nothing": (lambda t: np.delete(t, np.zeros(3, bool)), [(3,)]),
    "delete all": (lambda t: np.delete(t, [0, 1, 2], axis=0), [(3, 2)]),
    "delete twice": (lambda t: np.delete(t, [1, 1, -3], axis=0), [(4, 2)]),
    "split of nothing": (lambda t: np.split(t, 2), [(0, 2)]),
    "array_split, more than there are": (lambda t: np.array_split(t, 5), [(3,)]),
    "array_split backwards": (lambda t: np.array_split(t, [3, 1, -1]), [(5,)]),
    "array_split, array of cuts": (lambda t: np.array_split(t, np.array([2])), [(5,)]),
    "hsplit of a vector": (lambda t: np.hsplit(t, 2), [(4,)]),
    "unstack a vector": (np.unstack, [(2,)]), "unstack nothing": (lambda t: [*np.unstack(t), t], [(0, 2)]),
    "tile by nothing": (lambda t: np.tile(t, ()), [(2, 2)]), "tile to nothing": (lambda t: np.tile(t, (0, 2)), [(2,)]),
    "tile of nothing": (lambda t: np.tile(t, 2), [(2, 0)]),
    "repeat of nothing": (lambda t: np.repeat(t, 3), [(0,)]),
    "repeat no time": (lambda t: np.repeat(t, [0, 0], axis=1), [(3, 2)]),
    "repeat by counts": (lambda t: np.repeat(t, np.array([3, 0, 1]), axis=-1), [(2, 3)]),
    "atleast, several": (lambda a, b: np.atleast_3d(a, b), [(), (2,)]),
    "pad a number": (lambda t: np.pad(t, 0), [()]),
    "pad nothing on": (lambda t: np.pad(t, 0, "reflect"), [(2, 3)]),
    "pad an axis of length 1": (lambda t: np.pad(t, ((2, 1), (1, 1)), "symmetric", reflect_type="odd"), [(1, 2)]),
    "pad nothing": (lambda t: np.pad(t, ((1, 0), (0, 2))), [(0, 2)]),
    "pad by a dict": (lambda t: np.pad(t, [(0, 0), (1, 2)], "edge"), [(2, 3)]),
}  # fmt: skip


@pytest.mark.parametrize("name", LINEAR)
def test_values_and_transposes(name: str, rng: np.random.Generator) -> None:
    f, shapes = LINEAR[name]
    check_linear(f, *[rng.normal(size=shape) for shape in shapes])


MODES = ("constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "mean")


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
@settings(max_examples=40)
def test_padding_of_any_width(mode: str, data: st.DataObject) -> None:
    """Margins many times as wide as the array, on each side of each axis."""
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    widths = [[data.draw(st.integers(0, 9)) for _ in range(2)] for _ in shape]
    options: dict[str, Any] = {}
    if mode in ("reflect", "symmetric"):
        options["reflect_type"] = data.draw(st.sampled_from(["even", "odd"]))
    if mode in ("constant", "linear_ramp"):
        options["constant_values" if mode == "constant" else "end_values"] = [[1.5, -2.0]] * len(shape)
    if mode == "mean":
        options["stat_length"] = data.draw(st.sampled_from([None, 1, (2, 3)]))
    a = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=shape)
    check_linear(lambda t: np.pad(t, widths, mode, **options), a)


@pytest.mark.parametrize("mode", ["maximum", "minimum"])
def test_padding_with_extremes_shares_ties(mode: str) -> None:
    x = tg.tensor([2.0, 2.0, 2.0], requires_grad=True)
    out = np.pad(x, (0, 3), mode)
    np.testing.assert_array_equal(out.data, np.full(6, 2.0))
    out.sum().backward()
    np.testing.assert_allclose(x.grad, [2.0, 2.0, 2.0])
    x = tg.tensor([2.0, 2.0, 5.0], requires_grad=True)
    np.pad(x, (1, 0), mode, stat_length=2).sum().backward()
    np.testing.assert_allclose(x.grad, [1.5, 1.5, 1.0])


@pytest.mark.parametrize("mode", ["reflect", "symmetric", "wrap", "edge"])
@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_padding_spreads_nothing_that_it_does_not_copy(mode: str, special: float) -> None:
    """A NaN or an infinity stands where NumPy puts it, and nowhere else: no margin is a product with zeros."""
    a = np.array([1.0, special, 2.0, 3.0])
    with np.errstate(invalid="ignore"):
        for kind in ("even", "odd") if mode in ("reflect", "symmetric") else (None,):
            options = {"reflect_type": kind} if kind else {}
            expected = np.pad(a, 2, mode, **options)
            out = fn.pad(tg.tensor(a, requires_grad=True), 2, mode, **options)
            np.testing.assert_array_equal(out.data, expected)


def test_padding_integers_rounds_as_numpy() -> None:
    a = np.array([1, 4, 6])
    for mode, options in (("mean", {}), ("linear_ramp", {"end_values": 3}), ("reflect", {"reflect_type": "odd"}),
                          ("median", {})):  # fmt: skip
        out = fn.pad(tg.tensor(a), 2, mode, **options)
        np.testing.assert_array_equal(out.data, np.pad(a, 2, mode, **options), strict=True)
    np.testing.assert_array_equal(fn.pad(a, {0: (1, 2)}).data, np.pad(a, (1, 2)), strict=True)
    np.testing.assert_array_equal(fn.pad(np.ones((2, 2)), {-1: 1}, "edge").data, np.ones((2, 4)), strict=True)
    assert fn.pad(tg.tensor([1.0]), 1, "empty").shape == (3,)


def test_padding_with_the_median() -> None:
    x = tg.tensor([3.0, 1.0, 2.0], requires_grad=True)
    out = np.pad(x, (1, 1), "median")
    np.testing.assert_array_equal(out.data, [2.0, 3.0, 1.0, 2.0, 2.0])
    out.sum().backward()
    np.testing.assert_allclose(x.grad, [1.0, 1.0, 3.0])


# ---- dtypes


@pytest.mark.parametrize("name", LINEAR)
def test_float32_and_integers_keep_their_dtype(name: str) -> None:
    f, shapes = LINEAR[name]
    for dtype in (f32, np.int64):
        arrays = [np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype) for shape in shapes]
        outs, expected = as_list(f(*[tg.tensor(a) for a in arrays])), as_list(f(*arrays))
        for out, value in zip(outs, expected, strict=True):
            np.testing.assert_allclose(out.data, value, rtol=1e-6)
            assert out.dtype == value.dtype
            assert not out.requires_grad


def test_joining_casts_as_asked() -> None:
    x, y = tg.tensor(np.ones(2, f32), requires_grad=True), tg.tensor(np.ones(2), requires_grad=True)
    for join in (np.concatenate, np.stack, np.vstack, np.hstack):
        out = join([x, y], dtype=f32)
        assert out.dtype == f32
        (3.0 * out).sum().backward()
        assert (x.grad.dtype, y.grad.dtype) == (f32, np.float64)
        np.testing.assert_array_equal(y.grad, [3.0, 3.0])
        y.grad = None
        name = join.__name__
        with pytest.raises(TypeError, match=f"{name}: cannot cast float64 to float32 with casting='safe'"):
            join([x, y], dtype=f32, casting="safe")
        with pytest.raises(TypeError, match=f"{name}: cannot cast float32 to float64 with casting='no'"):
            join([x, y], casting="no")
    with pytest.raises(TypeError, match="no gradient"):
        np.concatenate([x, y], dtype=int, casting="unsafe")


# ---- what is shared, and what is kept


CHANGING: dict[str, tuple[Callable[[Any, Any], Any], list[Any]]] = {
    "shifts": (lambda t, n: np.roll(t, n, (0, 1)), [1, 0]),
    "axes of roll": (lambda t, n: np.roll(t, (1, 2), n), [0, 1]),
    "axes": (np.transpose, [1, 0]), "axes of flip": (np.flip, [0]), "widths": (np.pad, [[1, 0], [0, 2]]),
    "margin": (lambda t, n: np.pad(t, 1, constant_values=n), [1.0, 2.0]), "shape": (np.reshape, [3, 2]),
    "counts": (lambda t, n: np.repeat(t, n, axis=0), [2, 1]), "times": (np.tile, [2, 1]),
    "mask": (lambda t, n: np.delete(t, np.array(n, bool), 1), [1, 0, 0]), "cuts": (lambda t, n: np.split(t, n)[0], [1]),
    "places": (lambda t, n: np.insert(t, n, 5.0, axis=0), [1, 0]),
}  # fmt: skip


@pytest.mark.parametrize("kind", [list, np.array])
@pytest.mark.parametrize("name", CHANGING)
def test_arguments_may_change_afterwards(name: str, kind: Any) -> None:
    """Rules read shifts, axes and widths on the way back: what their owner does meanwhile is not theirs."""
    f, value = CHANGING[name]
    argument = kind(value)
    if name == "axes of flip" and kind is np.array:
        argument = list(value)  # NumPy takes no array there
    x = tg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    out = f(x, argument)
    g = np.arange(1.0, out.size + 1.0).reshape(out.shape)
    (expected,) = tg.gradients(out, x, g, retain_graph=True)
    argument[0] = argument[-1]
    out.backward(g)
    np.testing.assert_array_equal(x.grad, expected.data)


def test_views_stay_views() -> None:
    x = tg.tensor(np.arange(24.0).reshape(2, 3, 4))
    for view in (
        fn.flip(x), fn.rot90(x), fn.moveaxis(x, 0, 2), fn.rollaxis(x, 2), fn.matrix_transpose(x), *fn.split(x, 2),
        *fn.unstack(x), fn.atleast_3d(x), fn.diagonal(x), *fn.broadcast_arrays(x, 1.0)[:1],
    ):  # fmt: skip
        assert np.shares_memory(view.data, x.data)
    for copied in (fn.roll(x, 1), fn.tile(x, 2), fn.repeat(x, 2), fn.pad(x, 1), fn.delete(x, 0), fn.insert(x, 0, 1.0)):
        assert not np.shares_memory(copied.data, x.data)


def test_arrays_and_lists_become_tensors() -> None:
    a = np.arange(4.0).reshape(2, 2)
    for out in (
        fn.flip(a), fn.roll(a, 1), fn.rot90(a, 0), fn.pad(a, 1), fn.tile(a, 2), fn.repeat(a, 2), fn.insert(a, 0, 1.0),
        fn.delete(a, 0), fn.append(a, 1.0), fn.block([[a, a]]), fn.atleast_1d(a), fn.vstack([a, a]),
        fn.unstack(a)[0], fn.split(a, 2)[0], fn.moveaxis(a.tolist(), 0, 1), fn.rollaxis(a, 1), fn.trace(a),
        fn.broadcast_arrays(a, 1.0)[1], fn.matrix_transpose(a), tg.ravel(a, "F"), tg.reshape(a.tolist(), 4),
    ):  # fmt: skip
        assert isinstance(out, tg.Tensor)
        assert not out.requires_grad


def test_second_order_through_a_chain(rng: np.random.Generator) -> None:
    """The sum of squares of what was padded, rolled and repeated: each element's second derivative is 2 per copy."""
    x = tg.tensor(rng.normal(size=(3, 2)), requires_grad=True)

    def f(t: Any) -> Any:
        return np.repeat(np.roll(np.pad(np.flip(t, 0), ((1, 1), (0, 0)), "edge"), 1, 0), 2, axis=1)

    copies = np.zeros((3, 2))
    for at in itertools.product(range(3), range(2)):
        one = np.zeros((3, 2))
        one[at] = 1.0
        copies[at] = f(one).sum()
    (d,) = tg.gradients((f(x) ** 2).sum(), x, create_graph=True)
    (second,) = tg.gradients(d.sum(), x)
    np.testing.assert_allclose(second.data, 2.0 * copies)
    assert copies.sum() == 20.0


# ---- refusals


X = np.ones((2, 3))
REFUSED: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "reshape": (lambda t: np.reshape(t, 6, order="K"), ValueError, "reshape: order is 'K', expected 'C', 'F' or 'A'"),
    "reshape size": (lambda t: np.reshape(t, 5), ValueError, r"reshape: .*\(2, 3\)"),
    "copy": (lambda t: np.reshape(t.T, 6, copy=False), ValueError, "copy"),
    "matrix_transpose": (lambda t: np.matrix_transpose(t[0]), ValueError, r"matrix_transpose: x has shape \(3,\)"),
    "moveaxis": (lambda t: np.moveaxis(t, 2, 0), np.exceptions.AxisError, "source"),
    "moveaxis, lengths": (lambda t: np.moveaxis(t, (0, 1), 0), ValueError, "source has 2 axes, destination 1"),
    "moveaxis, twice": (lambda t: np.moveaxis(t, (0, 0), (0, 1)), ValueError, "repeated axis"),
    "rollaxis": (lambda t: np.rollaxis(t, 0, 3), np.exceptions.AxisError, "rollaxis: start is 3"),
    "broadcast_arrays": (lambda t: np.broadcast_arrays(t, np.ones(2)), ValueError, "broadcast"),
    "subok": (lambda t: np.broadcast_arrays(t, subok=True), TypeError, "subok"),
    "fliplr": (lambda t: np.fliplr(t[0]), ValueError, r"fliplr: m has shape \(3,\)"),
    "flipud": (lambda t: np.flipud(t[0, 0]), ValueError, "flipud: m has no axes"),
    "flip": (lambda t: np.flip(t, 2), np.exceptions.AxisError, "axis 2"),
    "rot90": (lambda t: np.rot90(t, 1, (0, -2)), ValueError, "expected two different axes"),
    "rot90, axes": (lambda t: np.rot90(t, 1, (0, 1, 0)), ValueError, "expected two axes"),
    "concatenate": (lambda t: np.concatenate([t, t[0]]), ValueError, r"\(2, 3\), \(3,\)"),
    "out": (lambda t: np.concatenate([t], out=np.ones((2, 3))), TypeError, "out"),
    "concatenate nothing": (lambda t: tg.concatenate([]), ValueError, "at least one"),
    "block of a tuple": (lambda t: fn.block([(t, t)]), TypeError, "block: arrays holds a tuple"),
    "block of nothing": (lambda t: fn.block([[t], []]), ValueError, "block: arrays holds an empty list"),
    "block of depths": (lambda t: fn.block([[t], t]), ValueError, "nested to different depths"),
    "insert": (lambda t: np.insert(t, 7, 0.0), IndexError, "out of bounds"),
    "delete": (lambda t: np.delete(t, 3, 1), IndexError, "out of bounds"),
    "split": (lambda t: np.split(t, 2, axis=1), ValueError, "split: axis 1 of length 3 .* 2 equal parts; array_split"),
    "array_split": (lambda t: np.array_split(t, 0), ValueError, "indices_or_sections is 0"),
    "vsplit": (lambda t: np.vsplit(t[0], 1), ValueError, r"vsplit: ary has shape \(3,\), expected 2 axes"),
    "hsplit": (lambda t: np.hsplit(t[0, 0], 1), ValueError, "hsplit: .* 1 axis at least"),
    "dsplit": (lambda t: np.dsplit(t, 1), ValueError, "dsplit: .* 3 axes at least"),
    "unstack": (lambda t: np.unstack(t[0, 0]), ValueError, "unstack: x has no axes"),
    "tile": (lambda t: np.tile(t, -1), ValueError, "negative"),
    "repeat": (lambda t: np.repeat(t, -1), ValueError, "negative"),
    "repeat counts": (lambda t: np.repeat(t, [1, 2, 3], axis=0), ValueError, "broadcast"),
    "repeat fractions": (lambda t: np.repeat(t, 1.5), TypeError, "safe"),
    "pad mode": (lambda t: np.pad(t, 1, "mirror"), ValueError, "pad: mode is 'mirror', expected one of constant"),
    "pad function": (lambda t: np.pad(t, 1, lambda *_: None), TypeError, "pad: mode is a function"),
    "pad keyword": (lambda t: np.pad(t, 1, "edge", stat_length=1), TypeError, "pad: keyword 'stat_length' .* none"),
    "pad keyword of another": (lambda t: np.pad(t, 1, end_values=1), TypeError, "'end_values' .* constant_values"),
    "pad fractions": (lambda t: np.pad(t, 1.5), TypeError, "pad_width is 1.5, expected integers"),
    "pad negative": (lambda t: np.pad(t, -1), ValueError, "pad_width is -1, expected no negative"),
    "pad pairs": (lambda t: np.pad(t, [(1, 1)] * 3), ValueError, "for each of 2 axes"),
    "pad reflect_type": (lambda t: np.pad(t, 1, "reflect", reflect_type="old"), ValueError, "reflect_type is 'old'"),
    "pad nothing": (lambda t: np.pad(t[:0], 1, "edge"), ValueError, "pad: axis 0 has length 0"),
    "pad stat_length": (lambda t: np.pad(t, 1, "maximum", stat_length=0), ValueError, "stat_length is 0"),
    "pad value": (lambda t: np.pad(X, 1, constant_values=t), TypeError, "needs a gradient"),
    "shift": (lambda t: fn.roll(X, t[0, 0]), TypeError, "needs a gradient"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_what_is_wrong(name: str) -> None:
    f, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        f(tg.tensor(X, requires_grad=True))


def test_no_name_is_missing() -> None:
    names = """reshape ravel transpose permute_dims matrix_transpose swapaxes moveaxis rollaxis expand_dims squeeze
        broadcast_to broadcast_arrays concatenate concat stack unstack vstack hstack dstack column_stack block split
        array_split hsplit vsplit dsplit append insert delete tile repeat flip fliplr flipud rot90 roll pad atleast_1d
        atleast_2d atleast_3d diagonal trace"""
    t = tg.tensor(X)
    for name in names.split():
        assert getattr(np, name) in FUNCTIONS, name
        with pytest.raises(TypeError, match="wrong_keyword"):
            getattr(np, name)(t, *[1] * (name in ("pad", "repeat")), wrong_keyword=1)

"""Errors of functions that are written with others: each names the function that was called, and no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg

M, V = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True), tg.tensor([1.0, 2.0], requires_grad=True)
AXIS = r"axis -?\d is out of bounds for array of dimension \d"

CALLS = [
    *[
        (getattr(np, name), (M,), {"axis": 7}, np.exceptions.AxisError, f"^{name}: {AXIS}")
        for name in ("diff", "sort", "ptp", "nansum", "nanvar", "nanmean", "median", "average", "gradient", "trapezoid")
    ],
    (tg.cummax, (M,), {"axis": 7}, np.exceptions.AxisError, f"^cummax: {AXIS}"),
    (np.cumulative_sum, (M,), {"axis": 7}, np.exceptions.AxisError, f"^cumulative_sum: {AXIS}"),
    (np.lexsort, ((V, V),), {"axis": 7}, np.exceptions.AxisError, f"^lexsort: {AXIS}"),
    (np.rollaxis, (M, 7), {}, np.exceptions.AxisError, f"^rollaxis: {AXIS}"),
    (np.split, (M, 2), {"axis": 7}, np.exceptions.AxisError, f"^split: {AXIS}"),
    (np.split, (M, 0), {}, ValueError, "^split: indices_or_sections is 0"),
    (np.dot, (M, np.ones(3)), {}, ValueError, "^dot: .*size 3 is different from 2"),
    (np.linalg.matrix_power, (M * 0.0, -1), {}, np.linalg.LinAlgError, "^matrix_power: Singular matrix"),
    (np.linalg.outer, (M, V), {}, ValueError, r"^linalg\.outer: given shapes"),
    (np.quantile, (M, 1.5), {}, ValueError, r"^quantile: Quantiles must be in the range \[0, 1\]"),
    (tg.rot90, ("abc",), {}, np.exceptions.AxisError, f"^rot90: {AXIS}"),
    (tg.tril, ([["a", "b"]],), {}, TypeError, r"^tril: given .* of dtype <U1, expected numbers"),
    (tg.unique, (["b", "a"],), {}, TypeError, "^unique: given .* of dtype <U1, expected numbers"),
    (tg.kron, (M, "a"), {}, TypeError, "^kron: given 'a' of dtype <U1"),
    (tg.dot, (V.data, "a"), {}, TypeError, "^dot: "),
    (tg.hypot, (M, None), {}, AttributeError, "^hypot: "),
    (tg.linalg.eigh, (M, None), {}, AttributeError, "^eigh: "),
    (tg.sort, (M,), {"axsi": 1}, TypeError,
     r"^sort: keyword 'axsi' is not supported on tensors; expected a, axis, kind, order, stable. Did"),
    (tg.quantile, (M,), {}, TypeError, "^quantile: missing 1 required positional argument: 'q'; expected a, q,"),
    (tg.sort, (M, 1, 2, 3, 4, 5), {}, TypeError, "^sort: takes from 1 to 4 positional arguments"),
    (tg.atleast_1d, (), {"a": M}, TypeError, r"^atleast_1d: keyword 'a' .* expected \*arys\."),
    (tg.interp, (M, [1.0], [2.0, 3.0]), {}, ValueError, r"^interp: xp has shape \(1,\) and fp \(2,\)"),
]  # fmt: skip


@pytest.mark.parametrize("row", range(len(CALLS)))
def test_errors_name_the_function_that_was_called(row: int) -> None:
    function, args, kwargs, error, words = CALLS[row]
    with pytest.raises(error, match=words) as caught:
        function(*args, **kwargs)
    assert caught.type is error


def test_softmax_is_named() -> None:
    for name in ("softmax", "log_softmax"):
        with pytest.raises(np.exceptions.AxisError, match=f"^{name}: {AXIS}"):
            getattr(tg.special, name)(M, axis=7)


def test_an_error_whose_constructor_wants_more_keeps_its_kind() -> None:
    from tinygrad_fc.ops.derived import _named

    with pytest.raises(TypeError) as caught:
        np.add(np.array("a"), np.array(1.0))  # UFuncTypeError, made of five things
    found = _named(caught.value, "sort", tg.sort)
    assert isinstance(found, TypeError)
    assert str(found).startswith("sort: ")


@pytest.mark.parametrize("values", [1j, np.array([1j, 2.0]), tg.tensor(1j)])
def test_complex_values_are_not_set_in_real_tensors(values: Any) -> None:
    for t in (V, V.detach()):
        with pytest.raises(TypeError, match=r"^index_set: complex values cannot be set in float64 without loss"):
            t.at[:].set(values)
    assert tg.tensor([1j, 2j]).at[0].set(3j).data[0] == 3j

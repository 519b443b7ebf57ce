"""explain: the chain rule with numbers, of graphs that were watched, that were not, that are freed, large or wrong."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn


def expression() -> tg.Tensor:
    a, b, c = (tg.tensor(v, requires_grad=True, name=n) for v, n in ((2.0, "a"), (-3.0, "b"), (10.0, "c")))
    e = a * b
    e.name = "e"
    out: tg.Tensor = (e + c) * e
    out.name = "L"
    return out


WHOLE = """\
forward
  a                        = 2
  b                        = -3
  c                        = 10
  e = multiply(x=a, y=b)   = -6
  #4 = add(x=e, y=c)       = 4
  L = multiply(x=#4, y=e)  = -24
backward
  L: 1 arrives
    through x, #4 gets g * y = 1 * (-6) = -6
    through y, e gets g * x = 1 * 4 = 4
  #4: -6 arrives
    through x, e gets g = -6; added up, -2
    through y, c gets g = -6
  e: -2 arrives
    through x, a gets g * y = (-2) * (-3) = 6
    through y, b gets g * x = (-2) * 2 = -4
gradients
  a = 6
  b = -4
  c = -6"""


def test_the_chain_rule_with_numbers() -> None:
    out = expression()
    with tg.observe(values=True):
        watched = expression()
        watched.backward()
    assert "c                       = ? scalar" in str(tg.explain(out))  # nobody keeps it: `+` reads nothing
    text = str(tg.explain(watched))  # freed, and watched
    assert re.sub(" +=", " =", text) == re.sub(" +=", " =", WHOLE)
    assert repr(tg.explain(watched)) == text
    assert tg.explain(watched).graph.outputs == [5]


def test_nothing_is_changed() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    out = (x * x).sum()
    first = str(tg.explain(out))
    assert x.grad is None
    assert str(tg.explain(out)) == first
    out.backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


def test_the_numbers_are_those_of_backward() -> None:
    x = tg.tensor(np.linspace(-1.0, 1.0, 5), requires_grad=True, name="x")
    out = (np.tanh(x) * np.exp(x)).sum()
    text = str(tg.explain(out))
    out.backward()
    assert x.grad is not None
    assert text.endswith(f"x = [{', '.join(f'{d:.4g}' for d in x.grad)}]")


def test_what_was_broadcast_is_summed() -> None:
    w, x = tg.tensor(2.0, requires_grad=True, name="w"), tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    text = str(tg.explain((w * x).sum()))
    assert "w gets g * y = [1, 1] * [1, 2] = 3 (summed over what was broadcast)" in text


def test_large_arrays_show_shape_and_norm() -> None:
    x = tg.tensor(np.full((10, 10), 2.0), requires_grad=True, name="x")
    text = str(tg.explain((x * 3.0).sum()))
    assert "= [10 × 10, norm 20]" in text
    assert "through x, x gets g * y = [10 × 10, norm 30]" in text


def test_a_network_with_fused_operations() -> None:
    net = nn.Sequential(nn.Linear(4, 3, activation="relu", seed=0), nn.Linear(3, 2, seed=1))
    loss = tg.softmax_loss(net(np.ones((2, 4), np.float32)), np.array([0, 1]))
    text = str(tg.explain(loss))
    for part in ("affine_relu(x=#0, w=0.W, b=0.b)", "product(rows(x).T, g)", "softmax_loss(x=", "  1.b = ["):
        assert part in text
    assert "?" not in text


def test_operands_of_a_variadic_operation() -> None:
    x, y = tg.tensor([1.0], requires_grad=True, name="x"), tg.tensor([2.0], requires_grad=True, name="y")
    text = str(tg.explain(np.concatenate([x, y, x]).sum()))
    assert "concatenate(arrays[0]=x, arrays[1]=y, arrays[2]=x)" in text
    assert "through arrays[2], x gets" in text
    assert "added up, [2]" in text


def test_arguments_stand_in_the_order_in_which_the_operation_takes_them() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    text = str(tg.explain((5.0 / x + 2**x - np.where(x.data > 1, 1.0, x)).sum()))
    for call in ("divide(x=5.0, y=x)", "power(x=2, y=x)", "where(condition=[False, True], x=1.0, y=x)"):
        assert call in text
    assert "x=5.0 y=0" in str(tg.Graph(5.0 / x))


def test_only_what_was_broadcast_is_said_to_be_summed() -> None:
    x, w = tg.tensor(np.ones((2, 3)), requires_grad=True), tg.tensor(np.ones((3, 2)), requires_grad=True)
    b = tg.tensor([1.0], requires_grad=True)
    lines = str(tg.explain((np.einsum("ij,jk->ik", x, w) + x @ w + np.maximum(b, 0.5)).sum())).splitlines()
    summed = [line.split(" gets ")[0].strip() for line in lines if "summed over what was broadcast" in line]
    assert summed == ["through y, #6"]


def test_thousands_of_operations_are_cut_in_the_middle() -> None:
    x = tg.tensor(1.0, requires_grad=True, name="x")
    h = x
    for _ in range(3000):
        h = h * 1.0
    text = str(tg.explain(h, limit=10))
    assert text.count("\n") < 60
    assert text.count("... 2,990 of 3,000 operations are left out here ...") == 2
    assert text.endswith("x = 1")
    for _ in range(17_000):
        h = h * 1.0
    assert "too large" in str(tg.explain(h))
    assert len(str(tg.explain(tg.Graph(h), limit=2)).splitlines()) == 7


def test_backwards_that_ran_one_after_another_are_told_so() -> None:
    x = tg.tensor(3.0, requires_grad=True, name="x")
    with tg.observe(values=True) as run:
        first, second = (x * x) * 2.0, (x + 1.0) * 5.0
        first.backward()
        second.backward()
    assert run.graph().order() == [2, 1, 4, 3]
    lines = str(tg.explain(run)).splitlines()
    parts = [line for line in lines if line.startswith(("backward", "gradients"))]
    assert parts == ["backward", "backward, another time", "gradients of the last backward that came there"]
    assert "    through y, x gets g * x = 2 * 3 = 6; added up, 12" in lines
    assert "    through x, x gets g = 5" in lines  # nothing had arrived in this run
    assert lines[-1] == "  x = 5"


def test_what_has_no_backward_says_why() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    squares = x * x
    assert "has shape (2,)" in str(tg.explain(squares))
    assert "= [1, 4]" in str(tg.explain(squares))
    out = squares.sum()
    out.backward()
    assert "freed by an earlier backward" in str(tg.explain(out))
    with tg.observe():
        seen = (x * x).sum()
        seen.backward()
    assert "freed by an earlier backward" in str(tg.explain(seen))


def test_a_failed_operation_stands_with_its_message() -> None:
    x = tg.tensor(np.ones(2), requires_grad=True, name="x")
    with pytest.raises(ValueError, match="matmul"), tg.observe(values=True) as run:
        _ = (x * 2.0) @ np.ones(3)
    text = str(tg.explain(run.graph()))
    assert "(no result)   ! matmul: " in text
    assert "= [2, 2]" in text


def test_a_leaf_is_its_own_result() -> None:
    x = tg.tensor(3.0, requires_grad=True, name="x")
    assert str(tg.explain(x)).splitlines() == ["forward", "  x = 3", "backward", "gradients", "  x = 1"]


def test_sums_are_told_run_by_run() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
    with tg.observe(values=True):
        h = w * 2.0
        a, b = (h * 3.0).sum(), (h * 5.0).sum()
        a.backward(retain_graph=True)
        b.backward()
    both, alone = str(tg.explain(tg.Graph(a, b))), str(tg.explain(a))
    assert "added up" not in both  # each run gives `h` one gradient
    assert both.index("  a: 1 arrives") < both.index("h gets g * y = [1, 1] * 3") < both.index("  b: 1 arrives")
    assert both.endswith("  w = [10, 10]")
    assert "h: " not in alone.partition("backward")[2]  # what arrived there last came from `b`
    assert alone.endswith("  w = ? 2")


def test_hostile_names_and_values() -> None:
    x = tg.tensor([np.nan, np.inf, -0.0], requires_grad=True, name="a = </script>\n{0}")
    with np.errstate(all="ignore"):
        text = str(tg.explain((x * x).sum()))
    assert "[nan, inf, -0]" in text
    assert "a = </script> {0}" in text
    assert "\n{0}" not in text
    same = [tg.tensor(1.0, requires_grad=True, name=f"{'a' * 40}{n}{'b' * 40}\x1b[31m") for n in range(2)]
    text = str(tg.explain(same[0] * same[1]))
    assert f"multiply(x={'a' * 24}…" in text
    assert "#0, y=" in text
    assert max(map(len, text.splitlines())) < 200
    assert "\x1b" not in text
    empty = tg.tensor(np.zeros((0, 3)), requires_grad=True)
    assert "[]" in str(tg.explain(empty.sum()))


@pytest.mark.parametrize(
    ("target", "options", "error", "message"),
    [
        (1.0, {}, TypeError, "explain: given float, expected a Tensor or a Graph"),
        (tg.tensor(1.0), {}, TypeError, "has no graph"),
        (tg.tensor(1.0, requires_grad=True), {"limit": 1}, ValueError, "limit=1, expected 2 or more"),
        (tg.tensor(1.0, requires_grad=True), {"limit": "all"}, TypeError, "limit='all' is str, expected an int"),
    ],
)  # fmt: skip
def test_what_cannot_be_explained(target: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tg.explain(target, **options)

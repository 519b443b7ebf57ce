"""What operations with kinks and steps declare as their branch: it changes where one is crossed, and nowhere else."""

from __future__ import annotations

import functools
import zlib
from typing import Any

import numpy as np
import pytest
from registry_cases import Case
from registry_checks import branch_at, cases

import tinygrad_fc as tg
import tinygrad_fc.linalg
import tinygrad_fc.ops.special  # declared when it is first used
from tinygrad_fc.engine.node import Observer, recording
from tinygrad_fc.engine.op import REGISTRY

BRANCHED = sorted(name for name, op in REGISTRY.items() if op.branch is not None)

inf = np.inf
a = functools.partial(np.array, dtype=float)
labels = np.array([0])
first, second = np.array([0]), np.array([1])
swapped = np.array([1, 0])
mask = np.array([True, False, True])


def call(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


# Name, and calls: two on one side of a kink or step, then one or more on others, each of a branch of its own.
TABLE: list[tuple[str, Any, Any, list[Any]]] = [
    ("absolute", call(a(-1.0)), call(a(-0.1)), [call(a(1.0)), call(a(0.0))]),
    ("fabs", call(a(-1.0)), call(a(-0.1)), [call(a(1.0)), call(a(0.0))]),
    ("sign", call(a(-1.0)), call(a(-0.1)), [call(a(1.0)), call(a(-0.0))]),
    ("cbrt", call(a(-1.0)), call(a(-0.1)), [call(a(1.0)), call(a(0.0))]),
    ("power", call(a(0.0), 2.0), call(a(1.0), 0.0), [call(a(0.0), 0.0)]),
    ("hypot", call(a(1.0), a(0.0)), call(a(-2.0), a(1.0)), [call(a(0.0), a(0.0))]),
    ("arctan2", call(a(0.1), a(-1.0)), call(a(0.0), a(-1.0)), [call(a(-0.1), a(-1.0)), call(a(0.0), a(0.0))]),
    ("arctan2", call(a(0.1), a(1.0)), call(a(-0.1), a(1.0)), [call(a(0.1), a(-1.0))]),
    ("copysign", call(a(1.0), a(0.5)), call(a(2.0), a(0.0)), [
        call(a(1.0), a(-0.5)), call(a(-1.0), a(0.5)), call(a(0.0), a(0.5)), call(a(-1.0), a(-0.5))]),
    ("maximum", call(a([1.0]), a(2.0)), call(a([-1.0]), a(1.5)), [call(a([3.0]), a(2.0)), call(a([2.0]), a(2.0))]),
    ("minimum", call(a([1.0]), 2.0), call(a([-inf]), 1.5), [call(a([3.0]), 2.0), call(a([inf]), inf)]),
    ("fmax", call(a(1.0), a(2.0)), call(a(1.5), a(2.0)), [call(a(3.0), a(2.0)), call(a(2.0), a(2.0))]),
    ("fmin", call(a(1.0), a(2.0)), call(a(1.5), a(2.0)), [call(a(3.0), a(2.0)), call(a(2.0), a(2.0))]),
    ("where", call(a([2.0, 0.0]), a([1.0, 2.0]), 0.0), call(np.array([True, False]), a([1.0, 2.0]), 0.0),
     [call(np.array([True, True]), a([1.0, 2.0]), 0.0)]),
    ("clip", call(a(0.2), 0.0, 1.0), call(a(0.8), 0.0, 1.0), [
        call(a(-1.0), 0.0, 1.0), call(a(0.0), 0.0, 1.0), call(a(1.0), 0.0, 1.0), call(a(2.0), 0.0, 1.0)]),
    ("clip", call(a(0.2), min=0.0), call(a(9.0), min=0.0), [call(a(-1.0), min=0.0), call(a(0.0), min=0.0)]),
    ("clip", call(a(-1.0), 2.0, 1.0), call(a(3.0), 2.0, 1.0), [call(a(-1.0), 0.5, 1.0)]),  # crossed: always the upper
    ("nan_to_num", call(a(1.0)), call(a(-2.0)), [call(a(inf))]),
    ("floor", call(a(-0.2)), call(a(-0.9)), [call(a(0.2)), call(a(-1.2))]),
    ("floor", call(a(0.0)), call(a(0.9)), [call(a(1.0))]),
    ("ceil", call(a(-0.2)), call(a(0.0)), [call(a(0.2)), call(a(-1.0))]),
    ("trunc", call(a(-0.2)), call(a(0.2)), [call(a(1.2)), call(a(-1.2))]),
    ("fix", call(a(-0.2)), call(a(0.2)), [call(a(1.2)), call(a(-1.2))]),
    ("rint", call(a(-0.2)), call(a(0.2)), [call(a(0.6)), call(a(-0.6))]),
    ("round", call(a(0.12), 1), call(a(0.08), 1), [call(a(0.16), 1), call(a(0.04), 1)]),
    ("round", call(a(26.0), -1), call(a(34.0), -1), [call(a(24.0), -1), call(a(36.0), -1)]),
    ("floor_divide", call(a(3.2), 2.0), call(a(2.0), 2.0), [call(a(1.8), 2.0), call(a(4.1), 2.0)]),
    ("remainder", call(a(3.2), 2.0), call(a(2.0), 2.0), [call(a(1.8), 2.0), call(a(-0.1), 2.0)]),
    ("fmod", call(a(0.3), 2.0), call(a(-0.3), 2.0), [call(a(2.3), 2.0), call(a(-2.3), 2.0)]),
    ("heaviside", call(a(-1.0), 0.5), call(a(-0.1), 0.5), [call(a(0.0), 0.5), call(a(0.1), 0.5)]),
    ("max", call(a([1.0, 2.0])), call(a([1.5, 1.9])), [call(a([2.0, 1.0])), call(a([2.0, 2.0]))]),
    ("max", call(a([[1.0, 2.0], [3.0, 1.0]]), 1), call(a([[0.0, 2.0], [3.0, -1.0]]), 1),
     [call(a([[1.0, 2.0], [0.0, 1.0]]), 1)]),
    ("max", call(a([1.0, 2.0]), initial=3.0), call(a([2.5, 0.0]), initial=3.0),
     [call(a([1.0, 4.0]), initial=3.0), call(a([1.0, 3.0]), initial=3.0)]),
    ("max", call(a([1.0, 5.0, 2.0]), initial=0.0, where=mask), call(a([1.0, 0.0, 2.0]), initial=0.0, where=mask),
     [call(a([3.0, 5.0, 2.0]), initial=0.0, where=mask)]),
    ("min", call(a([1.0, 2.0])), call(a([1.5, 1.9])), [call(a([2.0, 1.0])), call(a([2.0, 2.0]))]),
    ("nanmax", call(a([1.0, np.nan, 2.0])), call(a([1.5, np.nan, 1.9])), [call(a([2.0, np.nan, 1.0]))]),
    ("nanmin", call(a([1.0, np.nan, 2.0])), call(a([1.5, np.nan, 1.9])), [call(a([2.0, np.nan, 1.0]))]),
    ("std", call(a([1.0, 2.0, 3.0])), call(a([3.0, 1.0, 1.0])), [call(a([2.0, 2.0, 2.0]))]),
    ("std", call(a([1.0, 2.0])), call(a([0.0, 2.0])), [call(a([2.0, 1.0])), call(a([2.0, 2.0]))]),
    ("norm", call(a([1.0, 2.0])), call(a([-1.0, 0.0])), [call(a([0.0, 0.0]))]),
    ("norm", call(a([[1.0], [2.0]]), 1), call(a([[0.1], [1.0]]), 1), [call(a([[-0.1], [2.0]]), 1)]),
    ("permute", call(a([1.0, 2.0]), swapped, 0), call(a([3.0, 5.0]), swapped, 0),
     [call(a([3.0, 2.0]), 1 - swapped, 0)]),
    ("getitem", call(a([1.0, 2.0]), first), call(a([3.0, 2.0]), first), [call(a([1.0, 2.0]), second)]),
    ("getitem", call(a([[1.0], [2.0]]), (None, 0, slice(None))), call(a([[3.0], [2.0]]), (None, 0, slice(None))),
     [call(a([[1.0], [2.0]]), (None, 1, slice(None)))]),
    ("getitem", call(a([1.0, 2.0, 3.0]), mask), call(a([0.0, 2.0, 3.0]), mask),
     [call(a([1.0, 2.0, 3.0]), np.array([True, True, False]))]),
    ("scatter", call(a([1.0]), first, (2,)), call(a([3.0]), first, (2,)), [call(a([1.0]), second, (2,))]),
    ("index_set", call(a([1.0, 2.0]), first, 3.0), call(a([2.0, 1.0]), first, 3.0), [call(a([1.0, 2.0]), second, 3.0)]),
    ("index_add", call(a([1.0, 2.0]), first, 3.0), call(a([2.0, 1.0]), first, 3.0), [call(a([1.0, 2.0]), second, 3.0)]),
    ("index_multiply", call(a([1.0, 2.0]), first, 3.0), call(a([2.0, 1.0]), first, 3.0),
     [call(a([1.0, 2.0]), second, 3.0)]),
    ("index_max", call(a([1.0, 2.0]), first, 3.0), call(a([2.0, 1.0]), first, 3.0), [
        call(a([4.0, 2.0]), first, 3.0), call(a([3.0, 2.0]), first, 3.0), call(a([1.0, 2.0]), second, 3.0)]),
    ("index_min", call(a([4.0, 2.0]), first, 3.0), call(a([5.0, 1.0]), first, 3.0), [
        call(a([2.0, 2.0]), first, 3.0), call(a([3.0, 2.0]), first, 3.0), call(a([4.0, 2.0]), second, 1.0)]),
    ("eigvalsh", call(a([[1.0, 0.0], [0.0, 2.0]])), call(a([[3.0, 0.0], [0.1, 2.0]])), [call(np.eye(2))]),
    ("eigh", call(a([[1.0, 0.0], [0.0, 2.0]])), call(a([[3.0, 0.0], [0.1, 2.0]])), [call(np.eye(2))]),
    ("svdvals", call(a([[1.0, 0.0], [0.0, 2.0]])), call(a([[3.0, 0.2], [0.1, 2.0]])), [
        call(np.eye(2)), call(a([[1.0, 0.0], [0.0, 0.0]])), call(a([[1.0, 0.0], [0.0, -0.1]]))]),
    ("svd", call(a([[1.0, 0.0], [0.0, 2.0]])), call(a([[3.0, 0.2], [0.1, 2.0]])), [
        call(np.eye(2)), call(a([[1.0, 0.0], [0.0, 0.0]])), call(a([[1.0, 0.0], [0.0, -0.1]]))]),
    ("svd", call(a([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])), call(a([[1.0, 0.5], [0.0, 2.0], [1.0, 1.0]])),
     [call(a([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]))]),
    ("qr", call(a([[1.0, 0.5], [0.2, 2.0]])), call(a([[0.1, 0.5], [0.2, 2.0]])), [call(a([[-0.1, 0.5], [0.2, 2.0]]))]),
    ("slogdet", call(np.eye(2)), call(2.0 * np.eye(2)), [call(np.diag([1.0, -1.0])), call(np.diag([1.0, 0.0]))]),
    ("pinv", call(np.eye(2)), call(2.0 * np.eye(2)), [call(np.diag([1.0, 0.0]))]),
    ("relu", call(a(-1.0)), call(a(0.0)), [call(a(0.1))]),
    ("leaky_relu", call(a(-1.0)), call(a(0.0)), [call(a(0.1))]),
    ("leaky_relu", call(a(-1.0), 0), call(a(-0.1), 0), [call(a(0.1), 0)]),
    ("elu", call(a(-1.0), 0.5), call(a(0.0), 0.5), [call(a(0.1), 0.5)]),
    ("selu", call(a(-1.0)), call(a(0.0)), [call(a(0.1))]),
    ("hardtanh", call(a(-0.5)), call(a(0.5)), [call(a(-1.0)), call(a(-2.0)), call(a(1.0)), call(a(2.0))]),
    ("hardtanh", call(a(0.5), 0, inf), call(a(9.0), 0, inf), [call(a(-1.0), 0, inf), call(a(0.0), 0, inf)]),
    ("affine_relu", call(a([[1.0]]), a([[-1.0]]), a([0.5])), call(a([[1.0]]), a([[-1.0]]), a([1.0])),
     [call(a([[1.0]]), a([[-1.0]]), a([1.5]))]),
    ("maxout", call(a([1.0, 2.0]), 2), call(a([0.0, 0.5]), 2), [call(a([2.0, 1.0]), 2), call(a([2.0, 2.0]), 2)]),
    ("svm_loss", call(a([[2.0, 0.5]]), labels), call(a([[3.0, 0.0]]), labels), [call(a([[2.0, 1.5]]), labels)]),
    ("l1_loss", call(a([1.0]), a([2.0])), call(a([0.0]), a([2.0])), [
        call(a([3.0]), a([2.0])), call(a([2.0]), a([2.0]))]),
]  # fmt: skip


def branch(name: str, args: Any) -> tuple[Any, ...]:
    case = Case(REGISTRY[name], args)
    found = branch_at(case, case.arrays)
    return found.dtype, found.shape, found.tobytes()


@pytest.mark.parametrize(("name", "here", "same", "others"), TABLE, ids=[row[0] for row in TABLE])
def test_a_branch_changes_where_a_kink_is_crossed(name: str, here: Any, same: Any, others: list[Any]) -> None:
    assert branch(name, here) == branch(name, same), "one side, two branches"
    found = [branch(name, args) for args in (here, *others)]
    for n, one in enumerate(found):
        assert one not in found[:n], f"{n} has the branch of an earlier call"


def test_each_branch_is_in_the_table() -> None:
    assert sorted({row[0] for row in TABLE}) == BRANCHED


@pytest.mark.parametrize("args", [call(a(-1.0)), call(a(1.0))])
@pytest.mark.parametrize(("name", "option"), [("elu", 1.0), ("elu", 1), ("leaky_relu", 1.0)])
def test_an_option_without_a_kink_has_one_branch(name: str, option: float, args: Any) -> None:
    assert branch(name, (args[0], {list(REGISTRY[name].arguments)[1]: option})) == branch(name, call(a(0.0), option))


def test_a_squared_hinge_has_one_branch() -> None:
    near, far = ((a([[2.0, x]]), labels) for x in (0.5, 1.5))
    assert branch("svm_loss", call(*near, squared=True)) == branch("svm_loss", call(*far, squared=True))


@pytest.mark.parametrize("value", [np.nan, inf, -inf])
@pytest.mark.parametrize("name", BRANCHED)
def test_no_branch_warns_at_what_is_not_finite(name: str, value: float) -> None:
    """Warnings are errors here. It is a branch as any other: asked twice, it is the same."""
    for case in cases(REGISTRY[name], np.random.default_rng(zlib.crc32(name.encode()))):
        with np.errstate(all="ignore"):
            out = case.raw(case.arrays)
        signs = [np.resize([1.0, -1.0], array.shape) for array in case.arrays]
        wild = [value * sign for sign in signs]
        values = dict(zip(case.op.arguments, case.bound(wild), strict=True), out=np.full_like(out, value))
        code = case.op.branch.__code__
        found = [case.op.branch(*[values[key] for key in code.co_varnames[: code.co_argcount]]) for _ in range(2)]
        assert np.asarray(found[0]).tobytes() == np.asarray(found[1]).tobytes()
        assert np.asarray(found[0]).dtype.kind in "biuf"


def test_nan_has_one_form() -> None:
    """NaN of either sign, and -0.0, are what their bytes would tell apart."""
    wild, plain = a([np.nan, -0.0]), a([-np.nan, 0.0])
    assert wild.tobytes() != plain.tobytes()
    for name in ("floor", "rint", "trunc", "ceil", "fix", "round"):
        assert branch(name, call(wild)) == branch(name, call(plain))


class _Seen(Observer):
    """Notes the branches of what runs, and the results that are none of floats."""

    def __init__(self) -> None:
        self.found: list[Any] = []

    def saw(self, op: Any, node: Any, out: Any, data: Any) -> None:
        if op.branch is not None:
            values = dict(zip(op.arguments, data, strict=True), out=out)
            code = op.branch.__code__
            out = np.asarray(op.branch(*[values[key] for key in code.co_varnames[: code.co_argcount]]))
        if op.branch is not None or out.dtype.kind in "biu":
            self.found.append((op.name, out.dtype, out.shape, out.tobytes()))


def seen(f: Any, x: Any) -> list[Any]:
    with recording(_Seen()) as watching:
        f(tg.tensor(x, requires_grad=True))
    return watching.found


DERIVED = [
    ("sort", np.sort, [1.0, 2.0, 3.0], [0.5, 2.2, 3.0], [2.0, 1.0, 3.0]),
    ("partition", lambda x: np.partition(x, 1), [1.0, 2.0, 3.0], [0.5, 2.2, 3.0], [2.0, 1.0, 3.0]),
    ("median", np.median, [1.0, 2.0, 3.0], [0.5, 2.2, 3.0], [2.0, 1.0, 3.0]),
    ("quantile", lambda x: np.quantile(x, 0.3), [1.0, 2.0, 3.0], [0.5, 2.2, 3.0], [2.0, 1.0, 3.0]),
    ("nanmedian", np.nanmedian, [1.0, 2.0, np.nan, 3.0], [0.5, 2.2, np.nan, 3.0], [2.0, 1.0, np.nan, 3.0]),
    ("unique", np.unique, [1.0, 2.0, 3.0], [0.5, 2.2, 3.0], [2.0, 1.0, 3.0]),
    ("ptp", np.ptp, [1.0, 2.0, 3.0], [0.5, 2.2, 3.0], [2.0, 1.0, 3.0]),
    ("cummax", tg.cummax, [1.0, 2.0, 3.0], [0.5, 2.2, 3.0], [2.0, 1.0, 3.0]),
    ("cummin", tg.cummin, [3.0, 2.0, 1.0], [2.5, 2.2, 0.0], [3.0, 4.0, 1.0]),
    ("divmod", lambda x: np.divmod(x, 2.0), [3.2], [2.1], [4.1]),
    ("interp, a knot", lambda x: np.interp(x, [0.0, 1.0, 2.0], [0.0, 3.0, 1.0]), [0.2], [0.9], [1.1]),
    ("interp, beyond", lambda x: np.interp(x, [0.0, 1.0, 2.0], [0.0, 3.0, 1.0]), [0.2], [0.9], [-0.1]),
    ("interp, its knots", lambda x: np.interp(0.5, x, [0.0, 3.0, 1.0]), [0.2, 1.0, 2.0], [0.0, 0.9, 2.0],
     [0.2, 0.4, 2.0]),
    ("norm of order 1", lambda x: np.linalg.norm(x, 1), [1.0, -2.0], [0.5, -2.2], [1.0, 2.0]),
    ("norm of order inf", lambda x: np.linalg.norm(x, inf), [1.0, -2.0], [0.5, -2.2], [3.0, -2.0]),
    ("norm of order -inf", lambda x: np.linalg.norm(x, -inf), [1.0, -2.0], [0.5, -2.2], [3.0, -2.0]),
    ("norm of order 0", lambda x: np.linalg.norm(x, 0), [1.0, -2.0], [0.5, -2.2], [0.0, -2.0]),
    ("norm of order 3", lambda x: np.linalg.norm(x, 3), [1.0, -2.0], [0.5, -2.2], [0.0, -2.0]),
    ("norm of order 2", np.linalg.norm, [1.0, -2.0], [0.5, -2.2], [0.0, 0.0]),
    ("nuclear norm", lambda x: np.linalg.norm(x, "nuc"), [[1.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.2, 2.0]],
     [[1.0, 0.0], [0.0, -2.0]]),
    ("at.max", lambda x: x.at[0].max(1.5), [1.0, 2.0], [0.5, 3.0], [2.0, 2.0]),
    ("select", lambda x: np.select([x > 0], [x], -x), [1.0, -2.0], [0.5, -2.2], [1.0, 2.0]),
    ("where", lambda x: np.where(x > 0, x, -x), [1.0, -2.0], [0.5, -2.2], [1.0, 2.0]),
    ("the argmax", lambda x: x[np.argmax(x)], [1.0, 2.0], [0.5, 3.0], [3.0, 2.0]),
    ("a mask", lambda x: x[x.data > 0], [1.0, -2.0], [0.5, -2.2], [-1.0, 2.0]),
    ("hermitian svd", lambda x: np.linalg.svd(x, compute_uv=False, hermitian=True), [[1.0, 0.0], [0.0, 2.0]],
     [[0.5, 0.0], [0.0, 2.2]], [[-1.0, 0.0], [0.0, 2.0]]),
]  # fmt: skip


@pytest.mark.parametrize(("f", "here", "same", "other"), [row[1:] for row in DERIVED], ids=[row[0] for row in DERIVED])
def test_what_is_made_of_operations_has_the_branches_of_its_parts(f: Any, here: Any, same: Any, other: Any) -> None:
    assert seen(f, here) == seen(f, same) != []
    assert seen(f, other) != seen(f, here)


# ---- the declaration


def test_a_branch_that_reads_what_is_not_there_is_refused(registry: None) -> None:
    with pytest.raises(TypeError, match=r"op bent: .*'branch' reads 'z'; it may read x, out\."):
        tg.op(lambda x: abs(x), name="bent", x=lambda g, x: g * np.sign(x), branch=lambda z: z > 0)
    with pytest.raises(TypeError, match=r"op bent: .*'branch' reads 'x_shape'; it may read x, out\."):
        tg.fused_op(
            lambda x: abs(x), name="bent", x=lambda g, x: g * np.sign(x), compose=np.abs,
            branch=lambda x, x_shape: x > 0,
        )  # fmt: skip
    with pytest.raises(TypeError, match=r"op bent: .*'branch' must be a plain function"):
        tg.op(lambda x: abs(x), name="bent", x=lambda g, x: g * np.sign(x), branch=np.sign)
    assert "bent" not in REGISTRY


def test_a_branch_keeps_nothing(registry: None) -> None:
    """What only the branch reads is not for the rules, and no node keeps it."""
    bent = tg.op(lambda x: x * 2.0, name="bent", x=lambda g: g * 2.0, branch=lambda x, out: x > out)
    assert bent.op.environment == ()
    assert bent.op.branch(a(1.0), a(2.0)) == np.False_

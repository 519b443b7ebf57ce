"""Declarations: what op() and fused_op() refuse, what they derive from the rules, and faults of rules at run time."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.engine import dispatch
from tinygrad_fc.engine.op import REGISTRY


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """Put the tables back as they were."""
    tables = [REGISTRY, dispatch.UFUNCS, dispatch.FUNCTIONS, vars(dispatch.functions)]
    before = [dict(table) for table in tables]
    yield
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)


def leaf(*values: float) -> tg.Tensor:
    return tg.tensor(np.array(values), requires_grad=True)


# ---- declarations


def test_a_rule_that_reads_what_is_not_there() -> None:
    with pytest.raises(
        TypeError, match=r"op double: the rule for 'x' reads 'ouy'; it may read x, out, x_shape.* Did you mean 'out'\?"
    ):
        tg.op(lambda x: x * 2, name="double", x=lambda g, ouy: g * 2)
    with pytest.raises(TypeError, match=r"the rule for 'via' reads 'z'"):
        tg.op(lambda x: x * 2, name="double", x=lambda g: g, via=lambda g, z: g)
    assert "double" not in REGISTRY


def test_a_rule_for_no_argument() -> None:
    with pytest.raises(TypeError, match=r"op double: a rule is given for 'y', which is no argument of .*\(x, axis\)"):
        tg.op(lambda x, axis=None: x * 2, name="double", y=lambda g: g * 2)
    with pytest.raises(TypeError, match=r"Did you mean 'weight'\?"):
        tg.op(lambda weight: weight * 2, name="double", wieght=lambda g: g * 2)


def test_a_ufunc_needs_every_argument_named() -> None:
    with pytest.raises(
        TypeError, match=r"op arctan2: np.arctan2 has 2 arguments, given rules for x\. Name every one, with None"
    ):
        tg.op(np.arctan2, x=lambda g: g)
    with pytest.raises(TypeError, match=r"np.arctan has 1 arguments, given rules for x, y"):
        tg.op(np.arctan, x=lambda g: g, y=lambda g: g)


def test_what_is_no_function() -> None:
    with pytest.raises(TypeError, match="the rule for 'x' must be a plain function of g"):
        tg.op(lambda x: x, name="wrong", x=lambda: 1.0)
    with pytest.raises(TypeError, match="the rule for 'x' must be a plain function of g"):
        tg.op(lambda x: x, name="wrong", x=3)
    with pytest.raises(TypeError, match="op wrong: the arguments of .*str.*have no names that can be read"):
        tg.op(str, name="wrong", x=lambda g: g)


def test_leaves_need_compose() -> None:
    with pytest.raises(TypeError, match=r"op wrong: its rules read what the kernel left over \(mask\).*give compose="):
        tg.op(lambda x: (x, x > 0), name="wrong", leaves=("mask",), x=lambda g, mask: g * mask)
    with pytest.raises(TypeError, match="compose"):
        tg.fused_op(lambda x: x, name="wrong", x=lambda g: g)


def test_a_variadic_argument_is_the_last_differentiable_one() -> None:
    with pytest.raises(TypeError, match=r"the variadic argument \*xs must be the last differentiable one"):
        tg.op(lambda *xs, w: sum(xs) * w, name="wrong", xs=lambda g, w: g * w, w=lambda g: g)


def test_a_name_is_declared_once() -> None:
    before = REGISTRY["exp"]
    with pytest.raises(
        ValueError, match=r"op 'exp' is already declared in tinygrad_fc\.ops\.elementwise: give another name="
    ):
        tg.op(lambda x: np.exp(x), name="exp", x=lambda g, out: g * out)
    assert REGISTRY["exp"] is before
    first = tg.op(lambda x: x * 2, name="mine", x=lambda g: g * 2)
    second = tg.op(lambda x: x * 3, name="mine", x=lambda g: g * 3)  # the same module again: a notebook cell run twice
    assert REGISTRY["mine"] is second.op is not first.op


def test_what_is_kept_follows_from_the_rules() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    assert all(value is None for value in (x + y).node.saved)
    out = x * y
    assert [value is not None for value in out.node.saved] == [True, True, False]
    assert [value is not None for value in (x * y.data).node.saved] == [False, True, False]
    e = np.exp(x)
    assert e.node.saved[1] is e.data
    assert e.node.saved[0] is None
    assert x.sum().node.saved == (None, True, (2,))


def test_every_operation_is_declared_once_and_names_itself() -> None:
    for name, declared in REGISTRY.items():
        assert declared.name == name == declared.record.__name__
        assert declared.record.op is declared
        assert repr(declared).startswith(f"<Op {name}(")


# ---- an operation of one's own


def test_a_shared_step() -> None:
    calls = []

    def step(g: Any, out: Any) -> Any:
        calls.append(1)
        return g * (out > 0)

    gate = tg.op(lambda x, y: np.maximum(x + y, 0), name="gate", via=step, x=lambda g: g, y=lambda g: g * 1.0)
    x, y = leaf(1.0, -3.0), leaf(1.0, 1.0)
    gate(x, y).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([1.0, 0.0], [1.0, 0.0])
    assert len(calls) == 1
    assert not np.shares_memory(x.grad, y.grad)


def test_a_declared_ufunc_answers_to_numpy() -> None:
    with pytest.raises(TypeError, match="no derivative rule"):
        np.conjugate(leaf(1.0))
    tg.op(np.conjugate, x=lambda g: g * 0.5)
    x = leaf(1.0)
    np.conjugate(x).sum().backward()
    assert x.grad.tolist() == [0.5]


def test_static_arguments_by_position_keyword_and_default() -> None:
    scale = tg.op(lambda x, factor=2.0, *, shift=0.0: x * factor + shift, name="scale", x=lambda g, factor: g * factor)
    x = leaf(1.0)
    for out, expected in (
        (scale(x), 2.0),
        (scale(x, 3.0), 3.0),
        (scale(x, factor=4.0, shift=1.0), 4.0),
        (scale(x=x), 2.0),
    ):
        assert tg.gradients(out, x)[0].item() == expected
    with pytest.raises(TypeError, match=r"scale: keyword 'fctor' is not supported.*Did you mean 'factor'\?"):
        scale(x, fctor=1.0)
    with pytest.raises(TypeError, match="scale: argument 'x' is missing"):
        scale()
    with pytest.raises(TypeError, match="scale: given 3 positional arguments, expected at most 2"):
        scale(x, 1.0, 2.0)
    with pytest.raises(TypeError, match=r"scale: argument 'factor' takes no gradient, .*pass factor\.detach\(\)"):
        scale(x, leaf(1.0))
    assert scale(x, tg.tensor(3.0)).item() == 3.0


def test_a_rule_may_compute_with_tensors() -> None:
    """A rule that calls tg's own functions gives plain gradients on the plain path, and records on the other."""
    cube = tg.op(lambda x: x**3, name="cube", x=lambda g, x: g * 3.0 * tg.square(x))
    x = leaf(2.0)
    (cube(x) + cube(x) * 2.0).sum().backward()
    assert type(x.grad) is np.ndarray
    assert x.grad.tolist() == [36.0]
    (first,) = tg.gradients(cube(x).sum(), x, create_graph=True)
    assert tg.gradients(first.sum(), x)[0].tolist() == [12.0]


def test_compose_may_name_its_parameters_otherwise() -> None:
    def kernel(x: Any, w: Any, *, scale: float = 1.0) -> Any:
        out = np.exp(x) * w
        return out * scale, out

    gain = tg.fused_op(
        kernel,
        name="gain",
        leaves=("out1",),
        x=lambda g, out1, scale: g * out1 * scale,
        w=lambda g, x, scale: g * (np.exp(x) * scale),
        compose=lambda a, b, scale=1.0: np.exp(a) * b * scale,
    )
    x, w = leaf(0.5), leaf(2.0)
    (first,) = tg.gradients(gain(x, w, scale=3.0).sum(), x, create_graph=True)
    assert first.item() == pytest.approx(6.0 * np.exp(0.5))
    dx, dw = tg.gradients(first.sum(), [x, w])
    assert dx.item() == pytest.approx(6.0 * np.exp(0.5))
    assert dw.item() == pytest.approx(3.0 * np.exp(0.5))


# ---- faults of rules


FAULTS: dict[str, tuple[Any, type[Exception], str]] = {
    "shape": (lambda g, x: g[:1], ValueError, r"has shape \(1,\), expected \(2,\)"),
    "scalar": (lambda g, x: np.sum(g), ValueError, r"has shape \(\), expected \(2,\)"),
    "dtype": (lambda g, x: (g * x).astype(np.float32), TypeError, "has dtype float32, expected float64"),
    "complex": (lambda g, x: g * (1 + 0j), TypeError, "has dtype complex128, expected float64"),
    "number": (lambda g, x: (g, g), TypeError, "returned tuple, expected an array"),
    "nothing": (lambda g, x: None, TypeError, "returned NoneType, expected an array"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_wrong_gradient_is_refused_and_named(name: str, create_graph: bool) -> None:
    rule, error, message = FAULTS[name]
    wrong = tg.fused_op(
        lambda x, w: x * w, name="wrong", x=lambda g, w: g * w, w=rule_named_w(rule), compose=lambda x, w: x * w
    )
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    with pytest.raises(error, match=rf"wrong: the gradient that its rule gives for argument 'w' {message}"):
        tg.gradients(wrong(x, w).sum(), [x, w], create_graph=create_graph)
    assert x.grad is None
    assert w.grad is None
    with pytest.raises(error, match="wrong: "):
        wrong(x, w).sum().backward()
    assert x.grad is None
    assert w.grad is None


def test_a_wrong_gradient_of_a_ufunc_is_named_too() -> None:
    declarations = {
        "x": lambda: tg.op(np.arctan2, name="wrong", x=lambda g, y: (g * y)[:1], y=lambda g, x: g * x),
        "y": lambda: tg.op(np.arctan2, name="wrong", x=lambda g, y: g * y, y=lambda g, x: (g * x)[:1]),
    }
    for name, declare in declarations.items():
        wrong = declare()
        x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
        for call in (
            lambda out: out.backward(),
            lambda out, x=x, y=y: tg.gradients(out, [x, y]),
            lambda out, x=x, y=y: tg.gradients(out, [x, y], create_graph=True),
        ):
            out = wrong(x, y).sum()
            with pytest.raises(ValueError, match=rf"wrong: .* for argument '{name}' has shape \(1,\), expected \(2,\)"):
                call(out)
            assert (x.grad, y.grad) == (None, None)


def rule_named_w(rule: Any) -> Any:
    return lambda g, x: rule(g, x)


def test_a_rule_that_raises_changes_nothing() -> None:
    def broken(g: Any) -> Any:
        raise KeyError("broken")

    wrong = tg.op(lambda x: x * 2.0, name="wrong", x=broken)
    x, y = leaf(1.0), leaf(1.0)
    with pytest.raises(KeyError):
        (wrong(x) + y).sum().backward()
    assert (x.grad, y.grad) == (None, None)


def test_a_kernel_that_returns_no_array() -> None:
    wrong = tg.op(lambda x: [1.0], name="wrong", x=lambda g: g)
    with pytest.raises(TypeError, match="wrong: its function returned list, expected an array"):
        wrong(leaf(1.0))


def test_results_without_a_gradient_say_so() -> None:
    rounded = tg.op(lambda x: x.astype(int), name="rounded", x=lambda g: g)
    with pytest.raises(TypeError, match=r"rounded: its result has no gradient \(dtype int64\): detach"):
        rounded(leaf(1.0))
    with pytest.raises(TypeError, match="multiply: gradients of complex tensors are not supported"):
        leaf(1.0) * 1j
    with pytest.raises(TypeError, match="astype: its result has no gradient"):
        leaf(1.0).astype(int)


# ---- messages


def test_a_fault_of_floating_point_names_the_operation() -> None:
    with pytest.raises(FloatingPointError, match=r"^log: divide by zero.* Given x \(1,\) float64"):
        np.log(leaf(0.0))
    with pytest.raises(FloatingPointError, match=r"^divide: divide by zero.* Given x=1.0, y \(1,\) float64"):
        1.0 / leaf(0.0)
    with pytest.raises(FloatingPointError, match=r"^softmax_loss: "):
        tg.softmax_loss(tg.tensor([[0.0, np.inf]], requires_grad=True), np.array([0]))


def test_shapes_that_do_not_fit_are_named_with_the_cure() -> None:
    x = tg.tensor(np.ones((2, 3)), requires_grad=True)
    for f, message in [
        (lambda: x + np.ones(2), r"add: .*x \(2, 3\) float64, y \(2,\) float64.*insert one with x\[:, None\]"),
        (lambda: np.ones(2) * x, r"multiply: .*x \(2,\) float64, y \(2, 3\)"),
        (lambda: x @ x, r"matmul: .*x \(2, 3\) float64, y \(2, 3\) float64.*inner lengths must agree"),
        (lambda: x.reshape(4), r"reshape: .*a \(2, 3\)"),
        (lambda: x.sum(axis=2), r"sum: .*a \(2, 3\).*axis=2"),
        (lambda: np.concatenate([x, np.ones((1, 2))]), r"concatenate: .*arrays \[\(2, 3\), \(1, 2\)\]"),
        (lambda: np.stack([x, x[0]]), r"stack: .*\(2, 3\), \(3,\)"),
        (lambda: np.einsum("ij,jk->ik", x, x), r"einsum: .*\(2, 3\)"),
        (lambda: np.where(np.ones(4, bool), x, 0.0), r"where: .*condition \(4,\) bool, x \(2, 3\)"),
        (lambda: x.transpose(0, 1, 2), r"transpose: .*a \(2, 3\)"),
        (lambda: np.broadcast_to(x, (3, 2)), r"broadcast_to: .*array \(2, 3\)"),
        (lambda: tg.affine(x, x, np.ones(3)), r"affine: .*shapes .*x \(2, 3\).*w \(2, 3\).*b \(3,\).*x @ w \+ b"),
        (lambda: tg.affine_relu(x, np.ones((3, 2)), np.ones(3)), r"affine_relu: shapes do not fit.*b \(3,\)"),
    ]:
        with pytest.raises((ValueError, IndexError), match=f"(?s)^{message}"):
            f()
    assert x.grad is None


def test_help_shows_the_arguments() -> None:
    for f, names in (
        (tg.softmax_loss, "x y"), (tg.svm_loss, "x y delta squared reduction"), (tg.exp, "x"), (tg.add, "x y"),
        (tg.dropout, "x mask keep_ratio"), (tg.sum, "a axis dtype keepdims initial where"),
    ):  # fmt: skip
        assert list(inspect.signature(f).parameters) == names.split()
    assert inspect.signature(tg.svm_loss).parameters["delta"].default == 1.0
    assert inspect.signature(tg.sum).parameters["keepdims"].kind is inspect.Parameter.KEYWORD_ONLY
    for name, operation in REGISTRY.items():
        if not isinstance(operation.function, np.ufunc):
            assert tuple(inspect.signature(operation.record).parameters) == operation.arguments, name


# ---- check=True


def normal(generator: np.random.Generator) -> list[Any]:
    return [(generator.normal(size=(2, 3)),), (generator.normal(size=4),)]


def test_a_checked_declaration() -> None:
    cube = tg.op(lambda x: x**3, name="cube", x=lambda g, x: g * 3 * x * x, samples=normal, check=True)
    assert REGISTRY["cube"] is cube.op
    tanhs = tg.fused_op(
        lambda x, w, *, times=1: (np.tanh(x) * w * times, x > 0), leaves=("sign",), beside=("sign",),
        compose=lambda x, w, *, times=1: tg.tanh(x) * w * times, name="tanhs",
        x=lambda g, x, w, times: g * w * times * (1 - np.tanh(x) ** 2),
        w=lambda g, x, times: np.sum(g * np.tanh(x) * times),
        samples=lambda generator: [
            (generator.normal(size=3), np.array(2.0)),
            ((generator.normal(size=(2, 2)), np.array(2.0)), {"times": 3}),
            (np.zeros(0), np.array(2.0)),
            (np.array([np.nan]), np.array(2.0)),
        ],
        check=True,
    )  # fmt: skip
    assert REGISTRY["tanhs"] is tanhs.op
    total = tg.op(lambda *xs: sum(xs[1:], xs[0]), name="totalled", xs=lambda g: g, check=True,
                  samples=lambda generator: [(generator.normal(size=3), generator.normal(size=3))])  # fmt: skip
    assert REGISTRY["totalled"] is total.op


@pytest.mark.parametrize("prior", [False, True])
def test_a_checked_declaration_that_fails_leaves_nothing(prior: bool) -> None:
    if prior:
        tg.op(lambda x: x**3, name="cube", x=lambda g, x: g * 3 * x * x)
    tables = [REGISTRY, dispatch.UFUNCS, dispatch.FUNCTIONS, vars(dispatch.functions)]
    before = [dict(table) for table in tables]
    with pytest.raises(ValueError, match=r"(?s)op cube: check=True: at sample 0 of 2 the gradients do not hold.*\n"
                       r"x +2x3 +6 of 6 +WRONG.*cube, argument 'x' \(2, 3\).*: a factor: 1\.1 times the gradient"):
        tg.op(lambda x: x**3, name="cube", numpy=np.i0, x=lambda g, x: g * 3.3 * x * x, samples=normal,
              check=True)  # fmt: skip
    assert [dict(table) for table in tables] == before


@pytest.mark.parametrize(
    ("compose", "message"),
    [
        (lambda x: tg.tanh(x) * 1.001, r"the values of kernel and compose differ: \S+ and \S+ at \["),
        (lambda x: tg.tanh(x.detach()), "the result of compose depends on no argument"),
        (lambda x: np.tanh(x.data), r"compose returns ndarray, and the kernel an array of shape \(2, 3\)"),
        (lambda x: tg.tanh(x).sum(), r"compose returns a tensor of shape \(\), and the kernel"),
        (lambda x: tg.tanh(x.detach()) + 0.0 * x, "the gradients of kernel and compose for 'x' differ"),
    ],
)
def test_a_composition_that_is_another_function(compose: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"op tanhs: check=True: at sample 0 of 2 {message}"):
        tg.fused_op(lambda x: np.tanh(x), compose=compose, name="tanhs", x=lambda g, out: g * (1 - out * out),
                    samples=normal, check=True)  # fmt: skip
    assert "tanhs" not in REGISTRY


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (None, r"check=True needs samples, at which it checks\. Give a function of a generator"),
        ([(np.ones(3),)], "check=True needs samples"),
        (lambda generator: [], "none of its samples has a finite array of floats"),
        (lambda generator: [(np.arange(3),)], "none of its samples has a finite array of floats"),
    ],
)
def test_a_check_needs_samples(samples: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"op cube: .*{message}"):
        tg.op(lambda x: x**3, name="cube", x=lambda g, x: g * 3 * x * x, samples=samples, check=True)
    assert "cube" not in REGISTRY

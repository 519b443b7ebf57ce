"""Faults that users found: each of these failed once."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg

pytestmark = pytest.mark.usefixtures("registry")


def leaf(value: Any) -> tg.Tensor:
    return tg.tensor(value, requires_grad=True)


def test_gradients_writes_no_grad_where_one_was_to_be_retained() -> None:
    x = leaf([1.0, 2.0])
    h = x * 2.0
    h.retain_grad()
    tg.gradients((h * h).sum(), [x], retain_graph=True)
    assert h.grad is None
    (h * h).sum().backward()
    np.testing.assert_array_equal(h.grad, [4.0, 8.0])


@pytest.mark.parametrize("result", [np.ones((2, 3)), (np.ones(3),), [np.ones(3), 1.0]])
def test_a_kernel_must_return_what_its_leaves_say(result: Any) -> None:
    rules = {"x": lambda g, m: g * m}
    f = tg.fused_op(lambda x: result, name="short", leaves=("m",), compose=lambda x: x * 1.0, **rules)
    with pytest.raises(TypeError, match="short: its kernel must return a tuple of the result and m, 2 entries"):
        f(leaf(np.ones((2, 3))))


def test_gradcheck_steps_in_proportion_to_what_it_moves() -> None:
    assert tg.gradcheck(lambda x: x * 2.0, np.array([1e9, 1e12]))


def test_gradcheck_sees_a_small_wrong_gradient_beside_a_large_one() -> None:
    scale = np.array([1e7, 1.0])
    f = tg.op(lambda x: x * scale, name="scaled", x=lambda g: g * np.array([1e7, 3.0]))
    report = tg.gradcheck(f, np.array([1.0, 2.0]))
    assert not report
    assert report.inputs[0].worst == (1,)


def test_an_operation_without_rules_is_refused() -> None:
    with pytest.raises(TypeError, match="op plain: no rule is given, so gradients would end here in silence"):
        tg.op(lambda a: a * 1, name="plain")
    constant = tg.op(lambda a: a * 1, name="plain", a=None)
    assert not constant(leaf([1.0])).requires_grad


@pytest.mark.parametrize("name", ["dot", "at", "concatenate", "multiply"])
def test_no_operation_of_ours_can_be_replaced(name: str) -> None:
    with pytest.raises(ValueError, match=f"op '{name}' is already declared"):
        tg.op(lambda a: a * 1, name=name, a=lambda g: g)


def test_array_functions_of_numpy_can_be_declared_as_the_message_says() -> None:
    x = leaf([1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match=r"np\.real has no derivative rule.*tg\.op\(np\.real, a=rule\)"):
        np.real(x)
    tg.op(lambda val: np.array(val.real), name="real", numpy=np.real, val=lambda g: g * 1.0)
    np.real(x)[1].backward()
    np.testing.assert_array_equal(x.grad, [0.0, 1.0, 0.0])


def test_a_users_ufunc_rule_of_a_wrong_shape_or_dtype_is_refused() -> None:
    x = leaf(np.full((2, 3), 0.5))
    wide = tg.op(np.arcsin, name="wide", x=lambda g: np.stack([g, g]))
    with pytest.raises(ValueError, match=r"wide: the gradient .* for argument 'x' has shape \(2, 2, 3\)"):
        wide(x).sum().backward()
    complex_rule = tg.op(np.arctan, name="turned", x=lambda g: g * 1j)
    with pytest.raises(TypeError, match="turned: the gradient .* for argument 'x' has dtype complex128"):
        complex_rule(x).sum().backward()


def test_what_a_rule_raises_is_said_of_the_operation() -> None:
    def fails(g: Any) -> Any:
        raise ZeroDivisionError("no")

    f = tg.op(lambda x: x * 1.0, name="failing", x=fails)
    with pytest.raises(ZeroDivisionError, match="no") as caught:
        f(leaf([1.0])).sum().backward()
    assert "failing: raised while backward ran its rules" in caught.value.__notes__[0]


def test_a_compose_of_another_shape_is_named() -> None:
    f = tg.fused_op(
        lambda x: (x * 2.0, x), name="odd", leaves=("m",), x=lambda g, m: g * 2.0 + 0.0 * m, compose=lambda x: x.sum()
    )
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"odd: its compose returned a tensor of shape \(\) .*, expected shape \(2,\)"):
        tg.gradients(f(x).sum(), x, create_graph=True)


def test_a_diverged_run_stops_before_the_update() -> None:
    data = tg.data.load_digits()
    model = tg.models.FullyConnectedNet([8], input_dim=64, seed=0, dtype=np.float64)
    solver = tg.training.Solver(
        model, data, optim_config={"learning_rate": 1e300}, num_epochs=1, verbose=False, seed=0
    )
    with (
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=r"the loss of iteration \d+ is (nan|inf).*Try a learning rate below"),
    ):
        solver.train()
    assert np.isfinite(solver.loss_history).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_hyperparameters_of_losses_are_finite(value: float) -> None:
    x, y = leaf(np.ones((2, 3))), np.array([0, 1])
    with pytest.raises(ValueError, match="svm_loss: delta: given"):
        tg.svm_loss(x, y, delta=value)
    with pytest.raises(ValueError, match="l2_penalty: reg: given"):
        tg.l2_penalty(x, value)


def test_float32_layers_and_penalties_stay_float32() -> None:
    layer = tg.nn.Linear(3, 4, seed=0)
    assert layer(np.ones((2, 3))).dtype == np.float32
    loss = tg.l2_penalty(layer.W, np.float64(0.1))
    assert loss.dtype == np.float32
    loss.backward()
    assert layer.W.grad is not None
    assert layer.W.grad.dtype == np.float32


def test_an_index_that_its_owner_overwrites_is_kept() -> None:
    x, index = leaf([1.0, 2.0, 3.0]), np.array([0, 0])
    y = x[index].sum()
    index[:] = 2
    y.backward()
    np.testing.assert_array_equal(x.grad, [2.0, 0.0, 0.0])


def test_one_weight_for_one_output_as_a_list_or_in_one() -> None:
    x = leaf([2.0])
    y = x * x
    for weight in ([3.0], np.array([3.0]), [np.array([3.0])], [tg.tensor([3.0])]):
        (d,) = tg.gradients(y, x, weight, retain_graph=True)
        np.testing.assert_array_equal(d.data, [12.0])


def test_numpys_facts_about_tensors() -> None:
    x = leaf(np.ones((2, 3)))
    assert (np.shape(x), np.ndim(x), np.size(x), np.size(x, 1)) == ((2, 3), 2, 6, 3)


def test_seeds_and_options_are_named() -> None:
    data = tg.data.load_digits()
    model = tg.models.TwoLayerNet(64, 8)
    for options, message in (({"seed": "a"}, "seed: given 'a'"), ({"seed": -1}, "seed: given -1"),
                             ({"optim_config": "adam"}, "optim_config: given 'adam', expected a dict")):  # fmt: skip
        with pytest.raises((TypeError, ValueError), match=message):
            tg.training.Solver(model, data, **options)
    with pytest.raises(TypeError, match="load_state_dict: given NoneType"):
        model.load_state_dict(None)  # type: ignore[arg-type]  # the wrong call is what is tested
    with pytest.raises(TypeError, match=r"output 0 is list.*Graph\(a, b\)"):
        tg.Graph([leaf(1.0) * 2.0])  # type: ignore[arg-type]  # as above


def blank_sample_network(dtype: Any) -> tuple[Any, list[tg.Tensor]]:
    model = tg.models.TwoLayerNet(6, 5, 3, seed=0, dtype=dtype)
    X = np.random.default_rng(0).standard_normal((4, 6))
    X[0] = 0.0
    return (lambda *_: model.loss_tensor(X, np.array([0, 1, 2, 0]))), list(model.parameters())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradcheck_of_a_network_that_sits_on_kinks(dtype: Any) -> None:
    f, parameters = blank_sample_network(dtype)
    report = tg.gradcheck(f, *parameters)
    assert report, report


@pytest.mark.parametrize("at", [0.0, 1e-9, 1e-8])
def test_gradcheck_on_a_kink(at: float) -> None:
    assert tg.gradcheck(tg.relu, [at, 1.0])
    steep = tg.op(lambda x: np.maximum(x, 0.0), name="steep", x=lambda g, x: g * 2.0 * (x >= 0))
    assert not tg.gradcheck(steep, [at, 1.0])


@pytest.mark.parametrize("seed", range(8))
def test_gradcheck_of_float32_networks_is_taken_in_float64(seed: int) -> None:
    X = np.random.default_rng(seed).standard_normal((8, 6))
    model = tg.models.FullyConnectedNet([20, 10], input_dim=6, num_classes=3, seed=seed, weight_scale=0.5)
    homes = [p.data for p in model.parameters()]
    report = tg.gradcheck(lambda *_: model.loss_tensor(X, np.arange(8) % 3), *model.parameters())
    assert report, report
    for p, home in zip(model.parameters(), homes, strict=True):
        assert p.data is home


def test_gradcheck_at_the_edge_of_a_domain() -> None:
    assert tg.gradcheck(np.log, [1e-5, 1.0])
    assert not tg.gradcheck(tg.op(np.arcsin, name="steep", x=lambda g, x: np.full_like(x, np.inf)), [0.5])


def test_drawing_names_with_backslashes_and_control_characters(tmp_path: Any) -> None:
    x = tg.tensor([1.0], requires_grad=True, name="a\\N b\x00 c\nd")
    svg = tg.draw((x * 2.0).sum(), tmp_path / "g.svg").read_text(encoding="utf-8")
    assert "a\\N b\ufffd c d" in html.unescape(svg).replace("\xa0", " ")


def test_masked_arrays_do_not_drop_the_gradient() -> None:
    with pytest.raises(TypeError, match="cannot become a plain array in silence"):
        np.ma.ones(3) * leaf(np.ones(3))


def test_a_parameter_is_not_replaced_by_what_is_not_trained() -> None:
    layer = tg.nn.Linear(3, 4, seed=0)
    before = layer.W
    with pytest.raises(TypeError, match=r"W holds what is trained, which ndarray cannot replace.*W\.write_\(value\)"):
        layer.W = np.ones((3, 4))  # type: ignore[assignment]  # the wrong assignment is what is tested
    assert layer.W is before
    layer.W = tg.nn.Parameter(np.ones((3, 4)), np.float32)
    assert [p.shape for p in layer.parameters()] == [(3, 4), (4,)]
    with pytest.raises(TypeError, match=r"extra: a plain tensor in a module is not trained: make it nn\.Parameter"):
        layer.extra = leaf([1.0])
    layer.last = leaf([1.0]) * 2.0  # a result is kept as it is
    layer.more = [tg.nn.Parameter(np.ones(1))]
    for bad in ([np.ones(1)], np.ones(2)):
        with pytest.raises(TypeError, match="more holds what is trained"):
            layer.more = bad  # type: ignore[assignment]  # as above
    with pytest.raises(TypeError, match="others: a plain tensor in a module is not trained"):
        layer.others = {"a": leaf([1.0])}
    with pytest.raises(ValueError, match="a dot separates the names of a path"):
        setattr(layer, "a.b", 1)


def test_modules_that_know_each_other() -> None:
    outer, inner = tg.nn.Sequential(tg.nn.Linear(2, 3, seed=0)), tg.nn.Sequential(tg.nn.Linear(3, 2, seed=0))
    outer.kid = inner
    inner.parent = outer
    assert len(list(outer.parameters())) == len(list(inner.parameters())) == 4


def test_the_second_derivative_of_a_linear_function_is_zero() -> None:
    x = leaf([1.0, 2.0])
    (first,) = tg.gradients((x * 3.0).sum(), [x], create_graph=True)
    (second,) = tg.gradients(first.sum(), [x], create_graph=True)
    (third,) = tg.gradients(second.sum(), [x])
    np.testing.assert_array_equal(first.data, [3.0, 3.0])
    np.testing.assert_array_equal(second.data, [0.0, 0.0])
    np.testing.assert_array_equal(third.data, [0.0, 0.0])


def test_small_things() -> None:
    assert tg.logsumexp(tg.tensor([1, 2])).item() == pytest.approx(np.log(np.exp(1) + np.exp(2)))
    assert isinstance(tg.nn.SVMLoss(fused=False)(np.ones((2, 3)), np.array([0, 1])), tg.Tensor)
    with pytest.raises(TypeError, match="without axes, cannot be iterated"):
        list(tg.tensor(1.0))
    with pytest.raises(TypeError, match=r"at\.set: no index is given"):
        leaf([1.0]).at.set(2.0)
    with pytest.raises(TypeError, match="tensor: name is 3, expected a string"):
        tg.tensor([1.0], name=3)  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("exponent", [np.int8(2), np.array(2, np.int8), np.array([2, 0, 1], np.int8), np.array([True])])
def test_an_integer_array_as_exponent_widens_no_gradient(dtype: Any, exponent: Any) -> None:
    x = tg.tensor([1.0, 2.0, 3.0], dtype=dtype, requires_grad=True)
    for f in (np.power, np.multiply, np.divide):
        out = f(x, np.where(exponent == 0, 1, exponent).astype(np.asarray(exponent).dtype))
        for create_graph in (False, True):
            (d,) = tg.gradients(out.sum(), x, create_graph=create_graph, retain_graph=True)
            assert d.dtype == dtype


@pytest.mark.parametrize("policy", ["auto", "numba"])
def test_big_endian_arrays_are_as_good_as_others(policy: str) -> None:
    w = leaf(np.ones((60, 50), ">f8"))
    tg.use_kernels(policy)
    try:
        optimizer = tg.optim.Optimizer({"w": w}, "adam", learning_rate=0.1)
        w.sum().backward()
        optimizer.step()
        np.testing.assert_allclose(w.data, 0.9, rtol=1e-6)
        scores, labels = np.random.default_rng(0).normal(size=(600, 4)), np.zeros(600, np.uint64)
        loss = tg.softmax_loss(scores.astype(">f4"), labels)
        assert loss.item() == tg.softmax_loss(scores.astype(np.float32), labels).item()
        assert loss.item() == pytest.approx(tg.softmax_loss(scores, labels).item(), rel=1e-6)
    finally:
        tg.use_kernels("auto")


@pytest.mark.parametrize(
    ("f", "rule", "at"),
    [
        (lambda x: x * x, lambda g, x: -g * 2.0 * x, 3e-7),
        (lambda x: x * x, lambda g, x: g * 0.0 * x, 5e-7),
        (lambda x: 0.5 * x * x, lambda g, x: g * x * 1.02, 1e-5),
        (lambda x: 0.5 * x * x, lambda g, x: g * x * 1.0009, 1e-3),
    ],
)
def test_a_bend_is_no_kink_that_excuses_a_wrong_rule(f: Any, rule: Any, at: float) -> None:
    assert not tg.gradcheck(tg.op(f, name="bent", x=rule), np.full(3, at))


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda a: a * np.abs(a), np.array([0.0, 1e-9, 1e-7])),
        (lambda a: tg.relu(a) ** 2 - tg.relu(-a) ** 2, np.zeros(3)),
        (lambda a: np.log(a), np.array([1e-7, 1e-5])),
        (lambda a: a * np.log(a), np.array([1e-7])),
        (lambda a: 1.0 / a, np.array([1e-6])),
        (lambda a: np.sqrt(a), np.array([1e-12])),
    ],
)
def test_gradcheck_of_bends_and_of_small_numbers(f: Any, x: np.ndarray) -> None:
    report = tg.gradcheck(f, x)
    assert report, report


def test_rules_take_what_they_read_by_position() -> None:
    class Rules:
        def x(self, g: Any) -> Any:
            return g

    for rule in (lambda g, *, out: g * out, Rules().x):
        with pytest.raises(TypeError, match="must be a plain function of g"):
            tg.op(lambda x: x * 1.0, name="odd", x=rule)

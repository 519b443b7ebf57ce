"""The optimizer: equal to the pure rules, in one arena, and unchanged by anything it refuses."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc.optim import RULES, Optimizer, adam
from tinygrad_fc.optim import optimizer as optimizer_module

SHAPES = [(7, 5), (5,), (), (5, 4, 3), (0, 3), (1,)]


def make_parameters(dtype=np.float64, shapes=SHAPES, seed=0):
    generator = np.random.default_rng(seed)
    return {
        f"p{i}": tg.tensor(generator.standard_normal(shape), dtype=dtype, requires_grad=True, name=f"p{i}")
        for i, shape in enumerate(shapes)
    }


def make_gradients(parameters, seed):
    generator = np.random.default_rng(seed)
    return {name: np.asarray(generator.standard_normal(p.shape)).astype(p.dtype) for name, p in parameters.items()}


def values(parameters):
    return {name: p.data.copy() for name, p in parameters.items()}


def assert_same(first, second):
    assert list(first) == list(second)
    for name in first:
        assert np.array_equal(first[name], second[name]), name


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 16 elements, so that small arrays go through every way of cutting and gathering."""
    monkeypatch.setattr(optimizer_module, "BLOCK", 16)
    monkeypatch.setattr(optimizer_module, "SMALL", 8)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shapes", [SHAPES, [(3,)], [(20,), (33,)], [(40,), (2,), (16,), (3,), (7,), (7,), (33,)]])
def test_equals_the_pure_rule_bit_for_bit(rule, dtype, shapes, small_blocks):
    parameters = make_parameters(dtype, shapes)
    optimizer = Optimizer(parameters, rule, learning_rate=0.05)
    expected, configs = values(parameters), {name: {"learning_rate": 0.05} for name in parameters}
    for step in range(5):
        gradients = make_gradients(parameters, step)
        kept = {name: gradient.copy() for name, gradient in gradients.items()}
        optimizer.step(gradients)
        for name in expected:
            expected[name], _ = RULES[rule].apply(expected[name], gradients[name], configs[name])
        assert_same(gradients, kept)
    assert_same(values(parameters), expected)
    state = optimizer.state_dict()["state"]
    for name, config in configs.items():
        for key in RULES[rule].state:
            assert np.array_equal(state[name][key], config[key])
            assert state[name][key].dtype == dtype


def test_default_blocks_cut_large_parameters_and_gather_small_ones(monkeypatch):
    monkeypatch.setattr("tinygrad_fc.kernels.LARGE", 2**62)  # one kernel for all sizes, for equality to the bit
    shapes = [(100,), (300, 300), (70_000,), (10, 10), (40_000,), (30_000,), (31_000,), (32_000,)]
    parameters = make_parameters(np.float32, shapes)
    optimizer = Optimizer(parameters, "adam")
    gradients = make_gradients(parameters, 1)
    expected = {name: adam(p.data, gradients[name])[0] for name, p in parameters.items()}
    optimizer.step(gradients)
    assert_same(values(parameters), expected)
    bases = {id(p.data.base) for p in parameters.values()}
    assert len(bases) == 1
    # Large ones alone, in blocks; the small ones in runs, each gathered in a buffer of at most one block.
    assert [members for members, *_ in optimizer._walk.pieces] == [[1], [2], [4], [0, 3, 5, 6], [7]]
    assert [len(blocks) for *_, blocks in optimizer._walk.pieces] == [2, 2, 1, 1, 1]


def test_dtypes_have_arenas_of_their_own():
    parameters = make_parameters(np.float32) | {"wide": tg.tensor(np.ones(3), requires_grad=True)}
    gradients = make_gradients(parameters, 1)
    expected = {name: adam(p.data, gradients[name])[0] for name, p in parameters.items()}
    Optimizer(parameters, "adam").step(gradients)
    assert_same(values(parameters), expected)
    assert parameters["wide"].dtype == np.float64
    assert parameters["p0"].dtype == np.float32


def test_moving_into_the_arena_keeps_the_values():
    parameters = make_parameters()
    before = values(parameters)
    Optimizer(parameters)
    assert_same(values(parameters), before)


def test_reads_grad_and_descends():
    w = tg.tensor([1.0, -2.0, 3.0], requires_grad=True, name="w")
    optimizer = Optimizer([w], "sgd", learning_rate=0.25)
    for _ in range(3):
        optimizer.zero_grad()
        assert w.grad is None
        (w * w).sum().backward()
        optimizer.step()
    assert w.data.tolist() == [0.125, -0.25, 0.375]


def test_gradients_of_any_layout():
    parameters = make_parameters(shapes=[(300, 400), (3, 4)])
    gradients = make_gradients(parameters, 0)
    expected = {name: p.data - 0.5 * gradients[name] for name, p in parameters.items()}
    transposed = {name: np.asfortranarray(gradient) for name, gradient in gradients.items()}
    transposed["p1"] = np.repeat(gradients["p1"], 2, axis=1)[:, ::2].view(type("Mine", (np.ndarray,), {}))
    transposed["p0"].flags.writeable = False
    Optimizer(parameters, learning_rate=0.5).step(transposed)
    assert_same(values(parameters), expected)


def test_no_array_is_moved_or_made_by_a_step():
    parameters = make_parameters(np.float32, [(400, 500), (500,), (500, 10)])
    optimizer = Optimizer(parameters, "adam")
    arrays = {name: p.data for name, p in parameters.items()}
    gradients = make_gradients(parameters, 0)
    optimizer.step(gradients)
    tracemalloc.start()
    try:
        optimizer.step(gradients)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000  # bytes, where the parameters take 822,000
    assert all(parameters[name].data is array for name, array in arrays.items())


def test_an_array_assigned_meanwhile_is_taken_over():
    parameters = make_parameters(shapes=[(3,), (2,)])
    optimizer = Optimizer(parameters, learning_rate=1.0)
    parameters["p0"].data = np.array([1.0, 2.0, 3.0])
    parameters["p1"].data -= 1.0
    second = parameters["p1"].data.copy()
    optimizer.step({"p0": np.ones(3), "p1": np.ones(2)})
    assert parameters["p0"].data.tolist() == [0.0, 1.0, 2.0]
    assert parameters["p1"].data.tolist() == (second - 1.0).tolist()
    assert parameters["p0"].data.base is parameters["p1"].data.base


def test_dying_averages_may_underflow():
    w = tg.tensor(np.ones(3, np.float32), requires_grad=True, name="w")
    optimizer = Optimizer([w], "adam", beta1=0.01, beta2=0.01)
    with np.errstate(all="raise"):
        for size in (1.0, 1e-30, *[0.0] * 30):
            optimizer.step({"w": np.full(3, size, np.float32)})
    assert np.isfinite(w.data).all()


def test_two_optimizers_may_take_turns():
    parameters = make_parameters(shapes=[(3,), (2,)])
    first, second = Optimizer(parameters, learning_rate=1.0), Optimizer([*parameters.items()], learning_rate=10.0)
    before = values(parameters)
    for optimizer in (first, second, first):
        optimizer.step({"p0": np.ones(3), "p1": np.ones(2)})
    for name, array in before.items():
        assert np.allclose(parameters[name].data, array - 12.0)


def test_a_step_makes_older_graphs_stale():
    w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
    optimizer = Optimizer([w])
    loss = (w * w).sum()
    optimizer.step({"w": np.ones(2)})
    with pytest.raises(RuntimeError, match="w"):
        loss.backward()


def test_takes_modules_mappings_pairs_and_tensors():
    model = tg.models.TwoLayerNet(input_dim=4, hidden_dim=3, num_classes=2, seed=0)
    assert list(Optimizer(model, "adam").state_dict()["state"]) == [path for path, _ in model.named_parameters()]
    assert list(Optimizer(model.params.tensors, "adam").state_dict()["state"]) == ["W1", "b1", "W2", "b2"]
    parameters = make_parameters()
    for form in (parameters, list(parameters.items()), parameters.values(), iter(parameters.values())):
        assert list(Optimizer(form).state_dict()["state"]) == list(parameters)
    nameless = [tg.tensor([1.0], requires_grad=True), tg.tensor([2.0], requires_grad=True)]
    assert list(Optimizer(nameless).state_dict()["state"]) == ["parameter0", "parameter1"]


def test_a_model_trains_in_place_and_its_arrays_stay_live():
    model = tg.models.TwoLayerNet(input_dim=4, hidden_dim=3, num_classes=2, seed=0, dtype=np.float64)
    optimizer = Optimizer(model.params.tensors, "sgd", learning_rate=0.5)
    X, y = np.random.default_rng(0).standard_normal((6, 4)), np.array([0, 1, 0, 1, 1, 0])
    before = {name: array.copy() for name, array in model.params.items()}
    loss, gradients = model.loss(X, y)
    optimizer.step(gradients)
    for name, array in model.params.items():
        assert np.array_equal(array, before[name] - 0.5 * gradients[name])
    assert model.loss(X, y)[0] < loss


def test_learning_rate_can_be_set():
    w = tg.tensor([1.0], requires_grad=True)
    optimizer = Optimizer([w], "sgd_momentum", learning_rate=0.5, momentum=0.0)
    optimizer.learning_rate *= 0.5
    assert optimizer.learning_rate == 0.25
    optimizer.step({"parameter0": np.ones(1)})
    assert w.data.tolist() == [0.75]
    with pytest.raises(ValueError, match="learning_rate"):
        optimizer.learning_rate = float("nan")
    assert optimizer.config == {"learning_rate": 0.25, "momentum": 0.0}


@pytest.mark.parametrize("rule", RULES)
def test_state_dict_resumes_bit_for_bit(rule):
    straight, resumed = make_parameters(np.float32), make_parameters(np.float32)
    first, one = Optimizer(straight, rule, learning_rate=0.1), Optimizer(resumed, rule, learning_rate=0.1)
    for step in range(3):
        first.step(make_gradients(straight, step))
        one.step(make_gradients(resumed, step))
    two = Optimizer(resumed, rule)
    saved = one.state_dict()
    two.load_state_dict(saved)
    for arrays in saved["state"].values():
        for array in arrays.values():
            array[...] = np.nan  # copies on both sides: nothing of the optimizers' changes
    assert all(np.isfinite(a).all() for arrays in one.state_dict()["state"].values() for a in arrays.values())
    for step in range(3, 6):
        first.step(make_gradients(straight, step))
        two.step(make_gradients(resumed, step))
    assert_same(values(straight), values(resumed))
    assert first.config == two.config


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
@pytest.mark.parametrize("rule", RULES)
def test_copies_train_their_own_parameters_and_go_on_bit_for_bit(rule, duplicate):
    parameters = make_parameters(np.float32)
    optimizer = Optimizer(parameters, rule, learning_rate=0.1)
    optimizer.step(make_gradients(parameters, 0))
    copied, its_optimizer = duplicate((parameters, optimizer))
    before = values(parameters)
    its_optimizer.step(make_gradients(copied, 1))
    assert_same(values(parameters), before)
    optimizer.step(make_gradients(parameters, 1))
    assert_same(values(copied), values(parameters))


def test_load_state_dict_refuses_what_does_not_fit():
    optimizer = Optimizer(make_parameters(shapes=[(3,), (2,)]), "sgd_momentum")
    optimizer.step({"p0": np.ones(3), "p1": np.ones(2)})
    before = optimizer.state_dict()

    def changed(**change):
        return {**optimizer.state_dict(), **change}

    good = {"velocity": np.zeros(3)}
    for bad, error, message in [
        ({"config": {}, "state": {}}, ValueError, "rule missing"),
        (changed(rule="adam"), ValueError, "of rule 'adam', this optimizer has 'sgd_momentum'"),
        (changed(config={"momentum": 2.0}), ValueError, "momentum"),
        (changed(state={"p0": good}), ValueError, "missing parameter p1"),
        (changed(state={"p0": good, "p1": good, "q": good}), ValueError, "unknown parameter q"),
        (changed(state={"p0": good, "p1": {}}), ValueError, "p1: missing array velocity"),
        (changed(state={"p0": good, "p1": good}), ValueError, r"velocity of p1 has shape \(3,\), expected \(2,\)"),
        (changed(state={"p0": good, "p1": {"velocity": np.zeros(2, int)}}), TypeError, "of p1 has dtype int64"),
    ]:
        with pytest.raises(error, match=message):
            optimizer.load_state_dict(bad)
        after = optimizer.state_dict()
        assert after["config"] == before["config"]
        assert_same(
            {name: arrays["velocity"] for name, arrays in after["state"].items()},
            {name: arrays["velocity"] for name, arrays in before["state"].items()},
        )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"p1": None}, ValueError, "parameter p1 has no gradient, and no parameter was changed"),
        ({"p1": np.ones((2, 1))}, ValueError, r"gradient of p1 has shape \(2, 1\), the parameter has \(2,\)"),
        ({"p1": np.ones(2, np.float32)}, TypeError, "gradient of p1 has dtype float32, the parameter has float64"),
        ({"p1": [1.0, 1.0]}, TypeError, "gradient of p1 must be an ndarray, got list"),
        ({"q": np.ones(2)}, ValueError, "gradient 'q' has no parameter; there are p0, p1"),
    ],
)
def test_a_refused_gradient_changes_nothing(change, error, message):
    parameters = make_parameters(shapes=[(3,), (2,)])
    optimizer = Optimizer(parameters, "adam")
    before, config = values(parameters), optimizer.config
    with pytest.raises(error, match=message):
        optimizer.step({"p0": np.ones(3), "p1": np.ones(2), **change})
    assert_same(values(parameters), before)
    assert optimizer.config == config
    assert not any(array.any() for arrays in optimizer.state_dict()["state"].values() for array in arrays.values())


def test_missing_gradients_are_named():
    parameters = make_parameters(shapes=[(3,), (2,)])
    optimizer = Optimizer(parameters)
    (parameters["p0"] * 2.0).sum().backward()
    before = values(parameters)
    with pytest.raises(ValueError, match="parameter p1 has no gradient.*call backward"):
        optimizer.step()
    with pytest.raises(ValueError, match="parameter p0 has no gradient"):
        optimizer.step({"p1": np.ones(2)})
    with pytest.raises(TypeError, match="gradients must map names to ndarrays, got list"):
        optimizer.step([np.ones(3), np.ones(2)])
    assert_same(values(parameters), before)


def test_bad_parameters_are_named_and_stay_where_they_are():
    w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
    array = w.data
    sharing = tg.tensor([1.0, 2.0], requires_grad=True, name="u")
    sharing.data = array[::-1]
    for bad, error, message in [
        ([], ValueError, "none given that require a gradient"),
        (w, TypeError, r"got Tensor; one tensor goes into a list: Optimizer\(\[w\]\)"),
        (3, TypeError, "got int"),
        ([w, w], ValueError, "'w' is given twice"),
        ([w, tg.tensor([3.0], requires_grad=True, name="w")], ValueError, "two are called 'w'"),
        ([("a", w), ("b", w)], ValueError, "a and b are one tensor"),
        ([w, sharing], ValueError, "share memory"),
        ([w, np.ones(2)], TypeError, "parameter1 must be a tensor, got ndarray"),
        ([w, tg.tensor([1.0], name="c")], TypeError, "c requires no gradient"),
        ([w, ("d", w * 2.0)], TypeError, "d is the result of an operation"),
        ([w, tg.tensor([1.0], dtype=np.float16, requires_grad=True, name="h")], TypeError, "h has dtype float16"),
    ]:
        with pytest.raises(error, match=message):
            Optimizer(bad)
        assert w.data is array
    for name, options, message in [("addam", {}, "did you mean 'adam'"), ("sgd", {"lr": 0.1}, "unknown option 'lr'")]:
        with pytest.raises(ValueError, match=message):
            Optimizer([w], name, **options)
        assert w.data is array
    # Columns of one matrix lie between each other but share no element.
    matrix = np.arange(6.0).reshape(3, 2)
    w3, v3 = (tg.tensor(np.zeros(3), requires_grad=True, name=name) for name in "wv")
    w3.data, v3.data = matrix[:, 0], matrix[:, 1]
    Optimizer([w3, v3])
    assert w3.data.tolist() == [0.0, 2.0, 4.0]


def test_frozen_parameters_of_a_module_are_left_out():
    class Half:
        def named_parameters(self):
            yield "W", tg.tensor([1.0], requires_grad=True)
            yield "frozen", tg.tensor([1.0])

    assert list(Optimizer(Half(), "adam").state_dict()["state"]) == ["W"]


def test_repr():
    assert repr(Optimizer(make_parameters(shapes=[(30, 40), (40,)]), "sgd_momentum")) == (
        "Optimizer(sgd_momentum, learning_rate=0.01, momentum=0.9; 2 parameters of 1,240 elements)"
    )

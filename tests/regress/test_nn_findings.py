"""What a review of the modules found: paths that were not one, names that were late, state that was lost in silence."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn


class Holder(nn.Module):
    """Holds whatever it is given, and runs every module of `layers`."""

    def __init__(self, **attributes: Any) -> None:
        for key, value in attributes.items():
            setattr(self, key, value)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


def line(seed: int = 0, n: int = 3) -> nn.Linear:
    return nn.Linear(n, n, seed=seed)


# ---- two modules of one path


CLASHES = [
    ({"a.b": 0, "a": {"b": 1}}, ValueError, r"^layers: key 'a\.b': a dot separates .*Right: 'a_b'"),
    ({1: 0, "1": 1}, ValueError, r"^layers: keys 1 and '1' give one path, layers\.1"),
    ({"deep": [{True: 0, "True": 1}]}, ValueError, r"^layers\.deep\.0: keys True and 'True' give one path"),
    ({1.5: 0}, ValueError, r"^layers: key 1\.5: a dot"),
]


def filled(value: Any) -> Any:
    """Put layers where numbers are."""
    if isinstance(value, dict):
        return {key: filled(item) for key, item in value.items()}
    return [filled(item) for item in value] if isinstance(value, list) else line(value)


@pytest.mark.parametrize(("shape", "error", "message"), CLASHES)
def test_two_modules_never_get_one_path(shape: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Holder(layers=filled(shape))
    net = Holder(layers={"first": line()}, other=line())
    before = net.layers
    with pytest.raises(error, match=message):
        net.layers = filled(shape)
    assert net.layers is before
    net.layers.clear()
    net.layers.update(filled(shape))  # put in later: said as soon as somebody asks for the paths
    for ask in (net.state_dict, lambda: list(net.named_parameters()), lambda: list(net.named_modules()), net.eval,
                lambda: net.load_state_dict({}), net.zero_grad):  # fmt: skip
        with pytest.raises(error, match=message):
            ask()
    inside = message.replace("^layers", r"^net\.layers").replace("path, layers", "path, net.layers")
    with pytest.raises(error, match=inside):
        Holder(net=net)


def test_keys_of_a_dict_without_modules_may_be_anything() -> None:
    net = Holder(layers=[line()], config={"a.b": 1, 1: 2, "1": [3.0]}, generators={"a": np.random.default_rng(0)})
    assert list(net.state_dict()) == ["layers.0.W", "layers.0.b"]
    with pytest.raises(ValueError, match=r"generators: key 'a\.b'"):
        Holder(layers=[], generators={"a.b": np.random.default_rng(0)}).generator_state()


# ---- what is not walked


def objects(item: Any) -> np.ndarray:
    array = np.empty(2, object)
    array[1] = item
    return array


@pytest.mark.parametrize("wrap", [lambda m: {m}, lambda m: frozenset([m]), lambda m: deque([m]), objects,
                                  lambda m: [{"a": deque([[m]])}], lambda m: ({m},)])  # fmt: skip
@pytest.mark.parametrize("make", [line, lambda: nn.Parameter([1.0])])
def test_what_would_have_no_path_is_refused(make: Any, wrap: Any) -> None:
    with pytest.raises(TypeError, match=r"^layers.*: a \w+ gives no path to the \w+ in it, .*use a list or a dict"):
        Holder(layers=wrap(make()))
    net = Holder(layers=[line()], later=deque(), names={"a", "b"}, counts=np.array([1, None], object))
    assert len(list(net.parameters())) == 2
    net.layers.append(wrap(make()))
    with pytest.raises(TypeError, match=r"^layers\.1.*: a \w+ gives no path to the"):
        net.state_dict()


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: [[t]], lambda t: {"a": [{"b": t}]}, lambda t: deque([t]),
                                  lambda t: ([], ({"a": t},)), objects])  # fmt: skip
def test_a_plain_tensor_is_refused_at_any_depth(wrap: Any) -> None:
    with pytest.raises(TypeError, match=r"^scale: a plain tensor in a module is not trained: make it nn\.Parameter"):
        Holder(scale=wrap(tg.tensor([1.0], requires_grad=True)))
    for harmless in (tg.tensor([1.0]), tg.tensor([1.0], requires_grad=True) * 2.0):
        Holder(scale=wrap(harmless))


# ---- names


class Grown(nn.Module):
    def __init__(self) -> None:
        self.layers: list[Any] = []
        self.heads: dict[str, Any] = {}
        for seed in range(2):
            self.layers.append(line(seed))
        self.heads["a"] = nn.Sequential(line(2))

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return self.heads["a"](x)


X = np.ones((2, 3), np.float32)


def test_what_was_appended_has_its_name_in_the_first_graph() -> None:
    net = Grown()
    boxes = tg.Graph(net(X)).nodes
    assert [box.module for box in boxes if box.kind == "op"] == [
        ("Grown", "layers.0"), ("Grown", "layers.1"), ("Grown", "heads.a", "0"),
    ]  # fmt: skip
    assert [box.name for box in boxes if box.kind == "parameter"] == [name for name, _ in net.named_parameters()]
    net.layers.append(line(3))
    net.heads["b"] = line(4)
    names = [name for name, _ in net.named_parameters()]
    assert "layers.2.W" in names
    assert "heads.b.b" in names
    assert [p.name for p in net.parameters()] == names
    assert ("Grown", "layers.2") in [box.module for box in tg.Graph(net(X)).nodes]


def test_what_was_appended_is_named_in_errors() -> None:
    net = Grown()
    net.layers.append(nn.Linear(4, 3))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^layers\.2: expected \(N, 4\), got \(2, 3\)"):
            net(X)
    net.layers[2] = line()
    net.heads["a"] = nn.Sequential(nn.Sequential(nn.Linear(4, 3)))
    with pytest.raises(ValueError, match=r"^heads\.a\.0\.0: expected \(N, 4\)"):
        net(X)
    with pytest.raises(ValueError, match=r"'heads\.a\.0\.0\.W': given shape \(1,\)"):
        net.load_state_dict({"heads.a.0.0.W": [1.0]}, strict=False)


def test_an_attribute_of_a_module_inside_has_the_whole_path() -> None:
    net = Holder(layers=[Holder(layers=[])])
    net.layers[0].late = line()
    assert net.layers[0].late.W.name == "layers.0.late.W"


def test_a_shared_module_is_named_by_the_root_that_is_asked() -> None:
    shared = line()
    one, two = Holder(encoder=shared), Holder(layers=[shared])
    for root, name in ((one, "encoder.W"), (two, "layers.0.W"), (one, "encoder.W")):
        assert name in dict(root.named_parameters())
        assert shared.W.name == name
    list(shared.named_parameters())  # of a module that is inside another, the names stay
    assert shared.W.name == "encoder.W"


# ---- errors


class Refusing(nn.Module):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def forward(self, x: Any) -> Any:
        raise self.error


def test_an_error_has_the_path_once_and_keeps_its_type() -> None:
    class Own(Exception):
        pass

    for error in (ValueError("no"), Own("no"), FloatingPointError("no"), Own("Refusing: no")):
        net = nn.Sequential(nn.ReLU(), Holder(layers=[nn.Sequential(Refusing(error))]))
        for _ in range(2):
            with pytest.raises(type(error), match=r"^1\.layers\.0\.0: no$") as caught:
                net(X)
            assert caught.value is error
    for error in (KeyError("no"), OSError(2, "no"), ValueError()):  # what is not one text stays as it is
        before = str(error)
        with pytest.raises(type(error)):
            nn.Sequential(Refusing(error))(X)
        assert str(error) == before
    with pytest.raises(ValueError, match="^no$"):
        Refusing(ValueError("no"))(X)


# ---- state


class Counting(nn.Module):
    buffers = ("count", "seen", "mean")

    def __init__(self) -> None:
        self.count = np.array(0)
        self.seen = np.zeros(2, bool)
        self.mean = np.zeros(2, np.float32)


def test_buffers_of_integers_and_booleans_go_round() -> None:
    one, two = Holder(inner=Counting()), Holder(inner=Counting())
    one.inner.count[...] = 7
    one.inner.seen[1] = True
    home = two.inner.count
    two.load_state_dict(one.state_dict())
    assert two.inner.count is home
    assert home == 7
    assert home.dtype == np.int64
    assert two.inner.seen.tolist() == [False, True]
    for path, value, message in (
        ("inner.count", 1.5, "'inner.count': cannot cast float64 to int64"),
        ("inner.seen", [0, 1], "'inner.seen': cannot cast int64 to bool"),
        ("inner.count", np.uint64(2**63), "'inner.count': 9223372036854775808 does not fit into int64"),
        ("inner.mean", [0.0, 1e300], r"'inner.mean': 1e\+300 does not fit into float32"),
    ):
        with pytest.raises(ValueError, match=f"nothing was changed: {message}"):
            two.load_state_dict({path: value}, strict=False)
    assert home == 7


@pytest.mark.parametrize("value", [None, 1.5, "ab", [1.0], tg.tensor(1.0), np.array([None]), "missing"])
def test_a_buffer_that_is_no_array_is_named(value: Any) -> None:
    net = Holder(inner=Counting())
    if isinstance(value, str) and value == "missing":
        del net.inner.count
    else:
        net.inner.count = value
    for ask in (net.state_dict, lambda: net.load_state_dict({}, strict=False), lambda: list(net.named_buffers())):
        with pytest.raises(TypeError, match=r"^inner\.count: a buffer is a NumPy array .*self\.count = np\.zeros"):
            ask()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.full(3, 1e300), r"'layers\.0\.b': 1e\+300 does not fit into float32"),
        ([1.0, -1e39, 0.0], r"'layers\.0\.b': -1e\+39 does not fit into float32"),
        ([[1.0], [2.0, 3.0]], r"'layers\.0\.b': no rectangular array of numbers"),
        (None, r"'layers\.0\.b'"),
    ],
)
def test_values_that_do_not_survive_are_refused(value: Any, message: str) -> None:
    net = Holder(layers=[line()])
    state = {path: array + 1.0 for path, array in net.state_dict().items()} | {"layers.0.b": value}
    before = net.state_dict()
    with pytest.raises(ValueError, match=f"^load_state_dict: .*nothing was changed: {message}"):
        net.load_state_dict(state)
    with pytest.raises(ValueError, match="unexpected other"):
        net.load_state_dict(before | {"other": value})
    with pytest.raises((TypeError, ValueError)):
        net.layers[0].b.data = value
    for path, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[path])


def test_infinity_and_tensors_are_values_too() -> None:
    net, other = Holder(layers=[line(0)]), Holder(layers=[line(1)])
    net.load_state_dict(dict(other.named_parameters()))
    np.testing.assert_array_equal(net.layers[0].W.data, other.layers[0].W.data)
    net.layers[0].b.data = np.array([np.inf, np.nan, 1.0])
    assert net.layers[0].b.data[0] == np.inf


# ---- results of several tensors


def flat(out: Any) -> list[Any]:
    items = out.values() if isinstance(out, dict) else out
    return [out] if isinstance(out, tg.Tensor) else [tensor for item in items for tensor in flat(item)]


class Two(nn.Module):
    def __init__(self, group: Any) -> None:
        self.a, self.b, self.group = line(0), line(1), group

    def forward(self, x: Any) -> Any:
        a = self.a(x) * 2.0
        return self.group(a, self.b(x) + a)


@pytest.mark.parametrize("group", [lambda a, b: (a, b), lambda a, b: [b, [a]], lambda a, b: {"x.y": a, "z": {"b": b}}])
def test_modules_that_return_several_tensors_are_in_the_graph(group: Any) -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            self.two = Two(group)

        def forward(self, x: Any) -> Any:
            first, second = flat(self.two(x))
            return first * second

    modules = {(box.op, box.module) for box in tg.Graph(Outer()(X)).nodes if box.kind == "op"}
    two = ("Outer", "two")
    assert modules == {("affine", (*two, "a")), ("multiply", two), ("affine", (*two, "b")), ("add", two),
                       ("multiply", ("Outer",))}  # fmt: skip
    one = Two(lambda a, b: (a, b))(X)[0]  # only one of the results is in this graph
    assert [box.module for box in tg.Graph(one).nodes if box.kind == "op"] == [("Two", "a"), ("Two",)]

"""Module.apply, states that fit in part, and the state of generators."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest

from tinygrad_fc import models, nn


class Leaf(nn.Module):
    def __init__(self) -> None:
        self.w = nn.Parameter(np.ones(2))
        self.seen = np.zeros(3)

    buffers = ("seen",)


class Pair(nn.Module):
    def __init__(self, shared: nn.Module) -> None:
        self.inside, self.more = shared, [nn.ReLU(), Leaf()]


class Net(nn.Module):
    def __init__(self) -> None:
        self.shared = Leaf()
        self.one = Pair(self.shared)
        self.two = {"b": Pair(self.shared)}


# ---- apply


def test_apply_reaches_each_module_once_and_the_inner_ones_first() -> None:
    net = Net()
    order: list[nn.Module] = []
    assert net.apply(order.append) is net
    assert order == [
        net.shared, *net.one.more, net.one, *net.two["b"].more, net.two["b"], net,
    ]  # fmt: skip
    leaf = Leaf()
    outer, inner = Pair(leaf), Pair(leaf)
    outer.more = [inner]  # the inner one holds what the outer one names first
    order.clear()
    outer.apply(order.append)
    assert [order.index(module) for module in (leaf, inner, outer)] == [0, 3, 4]


def test_apply_may_change_the_modules() -> None:
    def shrink(module: nn.Module) -> None:
        if isinstance(module, Leaf):
            module.w.write_(module.w.data / 2)
        if isinstance(module, Pair):
            module.more.append(nn.ReLU())

    net = Net().apply(shrink)
    assert all((p.data == 0.5).all() for p in net.parameters())
    with pytest.raises(TypeError, match="apply: given str, expected a function of a module"):
        net.apply("relu")


# ---- states that fit in part


def test_what_is_missing_or_unexpected_is_returned() -> None:
    net = Net()
    state = {path: value + 1.0 for path, value in net.state_dict().items()}
    assert net.load_state_dict(state) == ([], [])
    before = net.state_dict()
    part = {"two.b.more.1.w": np.zeros(2), "head.W": np.ones(3), "shared.seen": np.full(3, 7.0)}
    missing, unexpected = net.load_state_dict(part, strict=False)
    assert missing == [path for path in before if path not in part]
    assert unexpected == ["head.W"]
    for path, value in net.state_dict().items():
        np.testing.assert_array_equal(value, part.get(path, before[path]), err_msg=path)
    assert net.load_state_dict({}, strict=False) == (list(before), [])


@pytest.mark.parametrize("wrong", [np.ones(3), np.ones((1, 2)), np.ones(2, complex), "ab"])
def test_a_wrong_shape_or_dtype_raises_all_the_same(wrong: Any) -> None:
    net = Net()
    before = net.state_dict()
    with pytest.raises(ValueError, match="nothing was changed: .*'one.more.1.w'") as caught:
        net.load_state_dict({"shared.w": np.zeros(2), "one.more.1.w": wrong, "other": 1.0}, strict=False)
    assert "missing" not in str(caught.value)
    assert "unexpected" not in str(caught.value)
    for path, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[path])
    with pytest.raises(TypeError, match="load_state_dict: given list"):
        net.load_state_dict([], strict=False)


# ---- generators


class Random(nn.Module):
    def __init__(self) -> None:
        self._generator = np.random.default_rng(1)
        self.many = [np.random.Generator(np.random.MT19937(2)), {"legacy": np.random.RandomState(3)},
                     np.random.Generator(np.random.Philox(5))]  # fmt: skip
        self.inner = nn.Dropout(0.5, seed=4)
        self.twin = nn.Dropout(0.5, seed=self._generator)

    def draw(self) -> list[np.ndarray]:
        drawn = [self._generator.random(3), self.many[0].integers(9, size=3), self.many[1]["legacy"].standard_normal(3)]
        return [*drawn, self.many[2].integers(9, size=3), self.inner.draw((3,))]


def plain(state: Any) -> str:
    return json.dumps(state, default=np.ndarray.tolist)


PATHS = ["_generator", "many.0", "many.1.legacy", "many.2", "inner._generator"]


def test_generators_are_named_once() -> None:
    net = Random()
    found = dict(net.named_generators())
    assert list(found) == PATHS
    assert found["_generator"] is net._generator is net.twin._generator
    model = models.FullyConnectedNet([4, 4], input_dim=3, dropout_keep_ratio=0.5, seed=0)
    assert [path for path, _ in model.named_generators()] == ["dropout1._generator"]  # both layers share it
    assert list(nn.Linear(2, 2, seed=0).named_generators()) == []


@pytest.mark.parametrize("through", [lambda state: state, lambda state: pickle.loads(pickle.dumps(state))])
def test_a_run_goes_on_as_if_it_had_not_stopped(through: Any) -> None:
    one, two = Random(), Random()
    one.draw()
    state = through(one.generator_state())
    assert list(state) == PATHS
    expected = one.draw()
    two.load_generator_state(state)
    for a, b in zip(two.draw(), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    one.load_generator_state(state)  # drawing changed neither the copy nor what was made of it
    for a, b in zip(one.draw(), expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.Philox])
def test_generators_are_put_back_at_every_position(kind: Any) -> None:
    """What was drawn ahead is used up, one number after the other, and then begins anew."""
    one, two = nn.Dropout(0.5, seed=np.random.Generator(kind(0))), nn.Dropout(0.5, seed=np.random.Generator(kind(1)))
    for _ in range(640):
        two.load_generator_state(one.generator_state())
        np.testing.assert_array_equal(two.draw((1,)), one.draw((1,)))


def test_dropout_draws_the_same_masks_after_json() -> None:
    x = np.ones((4, 5), np.float32)
    one, two = nn.Dropout(0.5, seed=0), nn.Dropout(0.5, seed=9)
    one(x)
    two.load_generator_state(json.loads(json.dumps(one.generator_state())))
    np.testing.assert_array_equal(np.asarray(one(x).data), np.asarray(two(x).data))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("inner._generator"), "missing inner._generator"),
        (lambda s: s.update(other=s["_generator"]), "unexpected other"),
        (lambda s: s.update({"inner._generator": s["many.0"]}),
         "inner._generator is PCG64, given the state of MT19937"),
        (lambda s: s.update({"inner._generator": {"bit_generator": "PCG64"}}),
         r"inner._generator: no state of PCG64 \(KeyError: 'state'\)"),
        (lambda s: s.update({"inner._generator": 3}), r"inner._generator: no state of PCG64 \(TypeError"),
        (lambda s: s["many.1.legacy"]["state"].update(key=np.ones(3, np.uint32)), "many.1.legacy: no state of MT19937"),
        (lambda s: s["many.0"]["state"].update(key="no"), "many.0: no state of MT19937"),
        (lambda s: s["inner._generator"]["state"].update(inc=-1), "inner._generator: no state of PCG64"),
        # NumPy would read where the position says, outside of its array too.
        (lambda s: s["many.0"]["state"].update(pos=625), "many.0: .*its position is 625, expected 0 to 624"),
        (lambda s: s["many.0"]["state"].update(pos=-(10**8)), "many.0: .*its position is -100000000, expected 0 to"),
        (lambda s: s["many.1.legacy"]["state"].update(pos=10**8), "many.1.legacy: .*its position is 100000000"),
        (lambda s: s["many.0"]["state"].update(pos=1.0), "many.0: no state of MT19937"),
        (lambda s: s["many.0"].update(state=None), "many.0: no state of MT19937"),
        (lambda s: s["many.2"].update(buffer_pos=5), "many.2: .*its position is 5, expected 0 to 4"),
        (lambda s: s["many.2"].update(buffer_pos=-1), "many.2: .*its position is -1, expected 0 to 4"),
    ],
)  # fmt: skip
def test_a_state_that_does_not_fit_changes_no_generator(change: Any, message: str) -> None:
    net, other = Random(), Random()
    other.draw()
    state, before = other.generator_state(), plain(net.generator_state())
    change(state)
    with pytest.raises(
        ValueError, match=rf"^load_generator_state: the state is not of this Random, nothing was changed: .*{message}"
    ):
        net.load_generator_state(state)
    assert plain(net.generator_state()) == before
    with pytest.raises(TypeError, match="load_generator_state: given list, expected a mapping of paths to states"):
        net.load_generator_state([])

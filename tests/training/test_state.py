"""The state of a solver: whatever stands in it, a run goes on from it, or its model stays as it was."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from replay_twins import bits
from solver_models import Linear

import tinygrad_fc as tg
from tinygrad_fc.training import Callback, CheckpointError, Solver
from tinygrad_fc.training.checkpoint import newest, read_checkpoint, write_checkpoint


def network(seed: int) -> Any:
    return tg.models.FullyConnectedNet(
        [4], 2, 3, normalization="batchnorm", dropout_keep_ratio=0.7, seed=seed, weight_scale=None
    )


@pytest.fixture(scope="module")
def saved(data: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Give the weights and the state of a short run, in the middle of an epoch."""
    folder = tmp_path_factory.mktemp("run")
    solver = Solver(network(0), data, "adam", batch_size=16, num_epochs=2, verbose=False, seed=1,
                    schedule={"name": "cosine", "length": 2}, checkpoint_dir=folder, checkpoint_every=3)  # fmt: skip
    solver.train()
    _, weights, tree = read_checkpoint(folder / "step-000000003")
    assert tree["position"] == 1
    assert tree["order"] is not None
    return weights, tree


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to everything in a tree; of lists the first entry."""
    if path:
        yield path
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from places(value, (*path, key))
    elif isinstance(tree, list) and tree:
        yield from places(tree[0], (*path, 0))


def changed(tree: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    made = home = copy.deepcopy(tree)
    for key in path[:-1]:
        home = home[key]
    if value is KeyError:
        del home[path[-1]]
    else:
        home[path[-1]] = value
    return made


def model_bits(model: Any) -> Any:
    return {name: array.tobytes() for name, array in model.state_dict().items()}, str(model.generator_state())


VALUES = [None, True, -1, 0, -1.5, float("nan"), "x", [], [1], {}, {"a": 1}, np.zeros(0), np.zeros((2, 2)), KeyError]


def test_whatever_stands_in_a_state_is_taken_or_refused_whole(data: Any, saved: Any, tmp_path: Path) -> None:
    """As somebody would write it who knows how digests are made: each value is of another kind than it should be."""
    weights, tree = saved
    cases = [(path, value) for path in places(tree) for value in VALUES]
    said: list[str] = []
    for n in np.random.default_rng(0).permutation(len(cases))[:400]:
        path, value = cases[n]
        write_checkpoint(tmp_path, 4, weights, changed(tree, path, value))
        model = network(5)
        before = model_bits(model)
        try:
            Solver.resume(tmp_path, model, data)
        except (TypeError, ValueError) as error:
            said.append(" ".join([str(error), *getattr(error, "__notes__", [])]))
            assert model_bits(model) == before, (path, value)
    assert [text for text in said if "step-000000004" not in text] == []
    assert len(said) > 250


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (("step",), -1, "step: the state has -1, expected a number that is not negative"),
        (("epoch",), 1.0, r"epoch: the state has 1\.0, expected"),
        (("waited",), True, "waited: the state has True"),
        (("seconds",), float("nan"), "seconds: the state has nan"),
        (("end",), "4", "end: the state has '4'"),
        (("position",), 3, "position: the state has 3 steps of an epoch of 2"),
        (("best", "value"), "x", "best: value is 'x', expected a number"),
        (("best", "params", "W1"), np.zeros((2, 5)), "the parameters of the best weights are not those of the model"),
        (("best", "params", "W1"), KeyError, "the parameters of the best weights are not those of the model"),
        (("best", "buffers"), [], "the buffers of the best weights are not those of the model"),
        (("generator", "bit_generator"), "Popen", "the generator is 'Popen', expected one of NumPy's"),
        (("model_generators", "dropout1._generator"), {"bit_generator": "MT19937", "state": {"pos": 10**9}},
         "dropout1._generator is PCG64, given the state of MT19937"),
        (("history", "epochs", "val_acc", 0), "x", "history: column val_acc of epochs holds something else than num"),
        (("history", "steps", "loss"), np.array(1.0), "no state of a solver"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_state_is_said(
    path: Any, value: Any, match: str, data: Any, saved: Any, tmp_path: Path
) -> None:
    weights, tree = saved
    write_checkpoint(tmp_path, 4, weights, changed(tree, path, value))
    with pytest.raises(ValueError, match=match):
        Solver.resume(tmp_path, network(5), data)


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": None}, {"arguments": {}}, {"arguments": {"code": {}}}, {"arguments.code": {"augment": 3}},
        {"arguments.code": {"augment": [3]}}, {"arguments.batch_size": np.zeros(2)}, {"arguments.replacement": "no"},
        {"arguments.checkpoint_keep": KeyError},
    ],
)  # fmt: skip
def test_arguments_that_are_none_are_refused_by_name(change: Any, data: Any, saved: Any, tmp_path: Path) -> None:
    weights, tree = saved
    for path, value in change.items():
        tree = changed(tree, tuple(path.split(".")), value)
    write_checkpoint(tmp_path, 4, weights, tree)
    with pytest.raises(CheckpointError, match="step-000000004: it holds no arguments of a Solver"):
        Solver.resume(tmp_path, network(5), data)


def test_a_generator_that_reads_outside_of_its_array_is_refused(data: Any, tmp_path: Path) -> None:
    solver = Solver(network(0), data, batch_size=20, num_epochs=1, verbose=False, checkpoint_dir=tmp_path,
                    seed=np.random.RandomState(0))  # fmt: skip
    solver.train()
    _, step, weights, tree = newest(tmp_path)
    write_checkpoint(tmp_path, step, weights, changed(tree, ("generator", "state", "pos"), 10**8))
    with pytest.raises(ValueError, match="its position is 100000000, expected 0 to 624"):
        Solver.resume(tmp_path, network(0), data)


def test_a_state_of_a_model_without_an_optimizer_is_a_copy(data: Any) -> None:
    first, second = (Solver(Linear(), data, "sgd_momentum", num_epochs=1, batch_size=20, verbose=False, seed=0)
                     for _ in range(2))  # fmt: skip
    first.train()
    state = first.optimizer.state_dict()
    kept = bits(state)
    second.optimizer.load_state_dict(state)
    for config in second.optimizer.configs.values():
        config["velocity"] += 1.0
    assert bits(state) == kept


class Counter(Callback):
    """Has a state, which it refuses where it is no number."""

    def __init__(self) -> None:
        self.count = 7

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: Any) -> None:
        self.count = int(state["count"])


def test_a_state_that_does_not_fit_leaves_a_solver_as_it_was(data: Any) -> None:
    """Half of it was taken over where a later part was wrong."""
    options: dict[str, Any] = {"batch_size": 16, "num_epochs": 2, "verbose": False, "schedule": {"name": "plateau"}}
    solver, other = (Solver(network(n), data, "adam", **options, seed=n, callbacks=[Counter()]) for n in range(2))
    solver.train()
    tree, before = solver.state_dict(), bits(other.state_dict())
    tree["callbacks"] = [{"count": 8}]
    cases = [(path, value) for path in places(tree) if path[0] != "arguments" for value in VALUES]
    refused = 0
    for n in np.random.default_rng(0).permutation(len(cases))[:600]:
        path, value = cases[n]
        try:
            other.load_state_dict(changed(tree, path, value))
        except ValueError:
            refused += 1
            assert bits(other.state_dict()) == before, (path, value)
        before = bits(other.state_dict())
    assert refused > 400
    other.load_state_dict(tree)
    assert bits({**other.state_dict(), "arguments": None}) == bits({**tree, "arguments": None})
    with pytest.raises(ValueError, match="invalid literal for int"):
        other.load_state_dict(changed(tree, ("callbacks", 0, "count"), "many"))
    assert other.callbacks[0].count == 8


class Keeper(Callback):
    """Takes the state at the end of an epoch's last step, before the epoch is counted."""

    def on_step_end(self, solver: Solver) -> None:
        if solver.step == 2:
            self.state, self.weights = solver.state_dict(), solver.model.state_dict()


def timeless(solver: Solver) -> Any:
    tree = {**solver.state_dict(), "seconds": 0, "arguments": None, "callbacks": []}
    for table in tree["history"].values():
        table["seconds"] = []
    return bits(tree)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_state_between_a_step_and_its_epoch_goes_on_with_the_end_of_the_epoch(epochs: int, data: Any) -> None:
    """A solver waited for ever for the batches that are left of the epoch."""
    options: dict[str, Any] = {"batch_size": 20, "num_epochs": epochs, "verbose": False, "seed": 0, "lr_decay": 0.5,
                               "num_train_samples": 7}  # fmt: skip
    keeper = Keeper()
    whole = Solver(network(0), data, **options, callbacks=[keeper])
    whole.train()
    assert (keeper.state["epoch"], keeper.state["position"]) == (0, 2)
    model = network(5)
    model.load_state_dict(keeper.weights)
    other = Solver(model, data, **options)
    other.load_state_dict(keeper.state)
    other.train()
    assert timeless(other) == timeless(whole)
    assert model_bits(other.model) == model_bits(whole.model)

"""A run that is stopped and resumed ends where the one that was not ends, in every bit."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from solver_models import Linear, copies, same

import tinygrad_fc as tg
from tinygrad_fc.training import Callback, CheckpointError, Solver

OPTIONS: dict[str, Any] = {
    "update_rule": "adam", "optim_config": {"learning_rate": 0.02, "weight_decay": 1e-3}, "lr_decay": 0.9,
    "batch_size": 7, "num_epochs": 4, "num_train_samples": 11, "num_val_samples": 9, "verbose": False,
    "schedule": {"name": "warmup", "length": 1.0, "start": 0.1, "then": {"name": "cosine", "length": 4}},
}  # fmt: skip


def network(seed: int = 0) -> Any:
    return tg.models.FullyConnectedNet(
        [6, 5], 2, 3, normalization="batchnorm", dropout_keep_ratio=0.7, seed=seed, dtype=np.float64, weight_scale=None
    )


def jitter(X: Any, y: Any, generator: np.random.Generator) -> Any:
    return X + 0.01 * generator.standard_normal(X.shape), y


class StopAfter(Callback):
    """Ends a training from inside, as a kill would: by an error."""

    def __init__(self, step: int) -> None:
        self.last, self.seen = step, 0

    def on_step_end(self, solver: Solver) -> None:
        self.seen += 1
        if solver.step == self.last:
            raise KeyboardInterrupt

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: Any) -> None:
        self.seen = state["seen"]


def facts(solver: Solver) -> dict[str, Any]:
    """Return all that two runs must share: weights, buffers, best weights, rule's state, histories but the times."""
    history = solver.history.to_dict()
    return {
        "weights": tg.training.state.weights(solver),
        "best": solver.best_params,
        "optimizer": solver.optimizer.state_dict(),
        "history": {name: {key: column for key, column in table.items() if key != "seconds"}
                    for name, table in history.items()},
        "numbers": [solver.step, solver.epoch, solver.best_val_acc],
    }  # fmt: skip


def assert_equal_bits(one: Any, other: Any, path: str = "") -> None:
    assert type(one) is type(other), path
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_equal_bits(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes()), path
    else:
        assert one == other, path


@pytest.mark.parametrize("variant", ["plain", "replacement", "augmented", "prefetched", "legacy generator", "module"])
@pytest.mark.parametrize("stop", [2, 5, 6, 13, 20])
def test_a_resumed_run_is_the_uninterrupted_one(variant: str, stop: int, data: Any, tmp_path: Path) -> None:
    options = dict(OPTIONS, seed=np.random.RandomState(4) if variant == "legacy generator" else 4)
    code: dict[str, Any] = {"augment": jitter} if variant in ("augmented", "prefetched") else {}
    if variant == "prefetched":
        options["prefetch"] = 3
    options["replacement"] = variant == "replacement"

    def model(seed: int) -> Any:
        if variant != "module":
            return network(seed)
        return tg.nn.Sequential(tg.nn.Linear(2, 8, "relu", seed=seed), tg.nn.Dropout(0.8, seed=seed),
                                tg.nn.Linear(8, 3, seed=seed))  # fmt: skip

    whole = Solver(model(0), data, **copy.deepcopy(options), **code, callbacks=[StopAfter(-1)])
    whole.train()
    first = Solver(model(0), data, **options, **code, callbacks=[StopAfter(stop)], checkpoint_dir=tmp_path,
                   checkpoint_every=1)  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        first.train()
    second = Solver.resume(tmp_path, model(9), data, **code, callbacks=[StopAfter(-1)])
    assert second.step == stop - 1  # the step it was stopped in had not been saved yet
    second.train()
    assert_equal_bits(facts(second), facts(whole))
    assert second.callbacks[0].seen == whole.callbacks[0].seen == 20


def test_a_second_training_is_resumed_where_its_schedule_was(data: Any, tmp_path: Path) -> None:
    options = dict(OPTIONS, schedule="cosine", seed=3)
    whole, first = (Solver(network(), data, **options, callbacks=[StopAfter(stop)], checkpoint_dir=folder)
                    for stop, folder in ((-1, None), (33, tmp_path)))  # fmt: skip
    for solver in (whole, first):
        solver.train()
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        first.train()
    second = Solver.resume(tmp_path, network(9), data, callbacks=[StopAfter(-1)])
    assert second.step == 30
    second.train()
    assert_equal_bits(facts(second), facts(whole))


def test_a_model_of_the_users_own_is_resumed_too(data: Any, tmp_path: Path) -> None:
    options = dict(OPTIONS, seed=1, update_rule="sgd_momentum", optim_config={"learning_rate": 0.1})
    whole = Solver(Linear(), data, **options)
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        Solver(Linear(), data, **options, callbacks=[StopAfter(8)], checkpoint_dir=tmp_path, checkpoint_every=3).train()
    second = Solver.resume(tmp_path, model=Linear(), data=data, callbacks=[StopAfter(-1)])
    assert second.step == 6
    second.train()
    assert_equal_bits(copies(second.model), copies(whole.model))
    assert second.loss_history == whole.loss_history


def test_a_finished_run_gives_its_best_weights_and_can_be_made_longer(data: Any, tmp_path: Path) -> None:
    options = dict(OPTIONS, seed=1, schedule=None)
    short = Solver(network(), data, **options, checkpoint_dir=tmp_path / "short")
    short.train()
    again = Solver.resume(tmp_path / "short", network(5), data)
    again.train()
    assert_equal_bits(facts(again), facts(short))
    longer = Solver.resume(tmp_path / "short", network(5), data, num_epochs=6)
    longer.train()
    whole = Solver(network(), data, **dict(options, num_epochs=6))
    whole.train()
    # At its end the short run measured nothing more than the long one did there.
    assert_equal_bits(facts(longer), facts(whole))
    with pytest.raises(ValueError, match="num_epochs: given 2, but 6 epochs are done"):
        Solver.resume(tmp_path / "short", network(), data, num_epochs=2)


def test_a_new_run_does_not_remove_an_old_ones_checkpoints(data: Any, tmp_path: Path) -> None:
    Solver(network(), data, **OPTIONS, seed=3, checkpoint_dir=tmp_path).train()
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ValueError, match="holds checkpoints of an earlier run; Solver.resume goes on with it, or name"):
        Solver(network(), data, **OPTIONS, seed=3, checkpoint_dir=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    moved = Solver.resume(tmp_path, network(), data, checkpoint_dir=tmp_path / "new", num_epochs=5, checkpoint_keep=1)
    moved.train()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "new"])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["step-000000025"]
    assert Solver.resume(tmp_path / "new", network(), data).step == 25


def test_other_batches_begin_with_an_epoch(data: Any, tmp_path: Path) -> None:
    options = dict(OPTIONS, seed=3, schedule=None)
    middle = [StopAfter(8)]
    with pytest.raises(KeyboardInterrupt):
        Solver(network(), data, **options, callbacks=middle, checkpoint_dir=tmp_path / "a", checkpoint_every=7).train()
    with pytest.raises(ValueError, match="batch_size is 10, and the saved run is in the middle of an epoch with 7"):
        Solver.resume(tmp_path / "a", network(), data, callbacks=[StopAfter(-1)], batch_size=10)
    Solver(network(), data, **options, checkpoint_dir=tmp_path / "b").train()
    solver = Solver.resume(tmp_path / "b", network(), data, batch_size=10, num_epochs=6)
    solver.train()
    assert (solver.step, solver.epoch, solver.steps_per_epoch) == (4 * 5 + 2 * 4, 6, 4)
    assert solver.history.steps["epoch"][-4:] == [5.25, 5.5, 5.75, 6.0]


@pytest.mark.parametrize(("size", "steps"), [(20, 2), (5, 8)])
def test_a_training_in_other_batches_ends_after_its_epochs(size: int, steps: int, data: Any, tmp_path: Path) -> None:
    """Its end was counted in the steps of the old batches: too many epochs at a rate of 0, or too few."""
    options = dict(OPTIONS, seed=3, batch_size=10, schedule="cosine")
    with pytest.raises(KeyboardInterrupt):
        Solver(network(), data, **options, callbacks=[StopAfter(9)], checkpoint_dir=tmp_path).train()
    solver = Solver.resume(tmp_path, network(), data, batch_size=size, callbacks=[StopAfter(-1)])
    solver.train()
    assert (solver.step, solver.epoch) == (8 + 2 * steps, 4)
    assert solver.history.steps["epoch"][-1] == 4.0
    assert min(solver.history.steps["learning_rate"]) > 0.0


def test_another_monitor_is_refused(data: Any, tmp_path: Path) -> None:
    Solver(network(), data, **OPTIONS, seed=3, checkpoint_dir=tmp_path).train()
    model = network(5)
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"monitor: given 'val_loss', but the best weights so far are .* by val_acc"):
        Solver.resume(tmp_path, model, data, monitor="val_loss")
    assert same(before, model.state_dict())
    assert Solver.resume(tmp_path, model, data, monitor="val_acc").monitor == "val_acc"


def test_a_run_that_patience_ended_goes_on_with_more_of_it(data: Any, tmp_path: Path) -> None:
    options = dict(OPTIONS, seed=3, schedule=None, num_epochs=30)
    whole = Solver(network(), data, **options, patience=9)
    whole.train()
    short = Solver(network(), data, **options, patience=2, checkpoint_dir=tmp_path)
    short.train()
    assert short.epoch < whole.epoch < 30
    for given in ({}, {"patience": 1}):
        again = Solver.resume(tmp_path, network(), data, **given)
        again.train()
        assert again.epoch == short.epoch
    more = Solver.resume(tmp_path, network(), data, patience=9, checkpoint_dir=tmp_path / "more")
    more.train()
    assert_equal_bits(facts(more), facts(whole))
    for patience in (1, 2):
        longer = Solver.resume(tmp_path, network(), data, num_epochs=40, patience=patience)
        assert longer._waited == 0
        assert longer._end == 40 * longer.steps_per_epoch


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_callback_that_fails_leaves_the_model(error: Any, data: Any, tmp_path: Path) -> None:
    class Fails(StopAfter):
        def load_state_dict(self, state: Any) -> None:
            if state["seen"] == 20:
                raise error("not today")

    Solver(network(), data, **OPTIONS, seed=3, callbacks=[StopAfter(-1)], checkpoint_dir=tmp_path).train()
    model = network(7)
    before, generators = model.state_dict(), model.generator_state()
    with pytest.raises(error, match="not today") as caught:
        Solver.resume(tmp_path, model, data, callbacks=[Fails(-1)])
    assert "the model is as it was" in caught.value.__notes__[0]
    assert same(before, model.state_dict())
    assert str(generators) == str(model.generator_state())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"activation": "tanh"}, "it has .* where that of the saved run had"),
        ({"dropout_keep_ratio": 0.5}, r"it has 'dropout1: Dropout\(keep_ratio=0\.5\)' where .*keep_ratio=0\.7"),
        ({"reg": 0.1}, r"it has 'reg: 0\.1' where that of the saved run had 'reg: 0\.0'"),
        ({"loss": "svm"}, "SVMLoss.*SoftmaxLoss"),
    ],
)
def test_a_network_that_computes_something_else_is_refused(change: Any, match: str, data: Any, tmp_path: Path) -> None:
    Solver(network(), data, **OPTIONS, seed=3, checkpoint_dir=tmp_path).train()
    made: dict[str, Any] = {"normalization": "batchnorm", "dropout_keep_ratio": 0.7, "dtype": np.float64}
    other = tg.models.FullyConnectedNet([6, 5], 2, 3, **{**made, **change})
    before = other.state_dict()
    with pytest.raises(ValueError, match=match):
        Solver.resume(tmp_path, other, data)
    assert same(before, other.state_dict())


@pytest.mark.parametrize("given", [{"clip_norm": 0.1}, {"optim_config": {"learning_rate": 1.0}}, {"seed": 3}])
def test_what_would_have_no_effect_is_refused(given: Any, data: Any, tmp_path: Path) -> None:
    Solver(network(), data, **OPTIONS, seed=3, checkpoint_dir=tmp_path).train()
    (name,) = given
    with pytest.raises(ValueError, match=f"resume: {name} goes on as it was saved"):
        Solver.resume(tmp_path, network(), data, **given)
    assert Solver.resume(tmp_path, network(), data, optim_config=OPTIONS["optim_config"], clip_norm=None).step == 20


def test_callbacks_without_a_state_may_come_and_go(data: Any, tmp_path: Path) -> None:
    Solver(network(), data, **OPTIONS, seed=3, callbacks=[Callback()], checkpoint_dir=tmp_path).train()
    for callbacks in ([], [Callback(), Callback()], [StopAfter(-1)]):
        assert Solver.resume(tmp_path, network(), data, callbacks=callbacks).step == 20


def test_pickles_and_copies_go_on_by_themselves(data: Any) -> None:
    solver = Solver(network(), data, **OPTIONS, seed=3)
    solver.train()
    for twin in (copy.deepcopy(solver), pickle.loads(pickle.dumps(solver))):
        assert_equal_bits(facts(twin), facts(solver))
        assert twin.loss_history is twin.history.steps["loss"]
    twin = pickle.loads(pickle.dumps(solver))
    solver.train()
    assert twin.step == 20
    twin.train()
    assert_equal_bits(facts(twin), facts(solver))


def test_what_does_not_belong_together_is_refused_and_leaves_the_model(data: Any, tmp_path: Path) -> None:
    Solver(network(), data, **OPTIONS, seed=3, augment=jitter, checkpoint_dir=tmp_path).train()
    model = network(7)
    before, generators = model.state_dict(), model.generator_state()
    other = {**data, "y_train": data["y_train"][::-1]}
    wide = tg.models.FullyConnectedNet([7, 5], 2, 3, normalization="batchnorm", dropout_keep_ratio=0.7, seed=0)
    for given, match in (
        ({"model": model, "data": data}, r"the saved run had augment \(jitter\), which no file can hold; give it"),
        ({"model": model, "data": other, "augment": jitter}, "data: the train part is .* that of the saved run was"),
        ({"model": wide, "data": data, "augment": jitter}, "fc1.W"),
        ({"model": model, "data": data, "augment": jitter, "metrics": {"m": max}}, "metrics is given"),
        ({"model": model, "data": data, "augment": jitter, "update_rule": "sgd"}, "rule 'adam', this .* 'sgd'"),
    ):
        with pytest.raises(ValueError, match=match):
            Solver.resume(tmp_path, **given)
        assert same(before, model.state_dict())
        assert str(generators) == str(model.generator_state())
    stateful = tmp_path / "stateful"
    Solver(network(), data, **OPTIONS, seed=3, callbacks=[StopAfter(-1)], checkpoint_dir=stateful).train()
    for callbacks, match in (([], r"had callbacks \(StopAfter\)"), ([StopAfter(-1), Callback()], "given 2, .* had 1")):
        with pytest.raises(ValueError, match=match):
            Solver.resume(stateful, model, data, callbacks=callbacks)
        assert same(before, model.state_dict())
    with pytest.raises(CheckpointError, match="no such folder"):
        Solver.resume(tmp_path / "none", model, data)

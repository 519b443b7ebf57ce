"""Where a solver's batches come from: shuffled arrays, memory-mapped ones, streams, augmented, read ahead."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from solver_models import Linear, make_model, solve

import tinygrad_fc as tg
from tinygrad_fc.training.feed import prefetched


class Seen:
    """A network that notes the batches it is trained on, by their first coordinates."""

    def __init__(self) -> None:
        self.inner, self.batches = Linear(), []  # type: ignore[var-annotated]  # lists of floats
        self.params = self.inner.params

    def loss(self, X: Any, y: Any = None) -> Any:
        if y is not None:
            self.batches.append(X[:, 0].tolist())
        return self.inner.loss(X, y)


class Batches:
    """A stream of batches that shuffles by the number of the epoch."""

    def __init__(self, X: Any, y: Any, size: int) -> None:
        self.X, self.y, self.size, self.epoch = X, y, size, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.X) // self.size

    def __iter__(self) -> Any:
        order = np.random.default_rng(self.epoch).permutation(len(self.X))
        for start in range(0, len(self) * self.size, self.size):
            rows = order[start : start + self.size]
            yield self.X[rows], self.y[rows]


def test_an_epoch_goes_through_the_samples_once(data: Any) -> None:
    model = Seen()
    solve(model, data, num_epochs=3).train()
    epochs = [sum(model.batches[first : first + 4], []) for first in (0, 4, 8)]
    assert all(sorted(epoch) == sorted(data["X_train"][:, 0].tolist()) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_rest_that_fills_no_batch_is_another_one_each_time(data: Any) -> None:
    model = Seen()
    solve(model, data, batch_size=30, num_epochs=8).train()
    assert [len(batch) for batch in model.batches] == [30] * 8
    assert len({value for batch in model.batches for value in batch}) == 40


def test_replacement_draws_some_samples_twice(data: Any) -> None:
    model = Seen()
    solve(model, data, num_epochs=1, replacement=True).train()
    epoch = sum(model.batches, [])
    assert len(epoch) == 40 > len(set(epoch))


def test_memory_mapped_arrays_train_like_arrays(data: Any, tmp_path: Path) -> None:
    mapped = {}
    for name, array in data.items():
        np.save(tmp_path / f"{name}.npy", array)
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    one, other = solve(make_model(), data), solve(make_model(), mapped)
    one.train()
    other.train()
    assert one.loss_history == other.loss_history
    assert np.shares_memory(other.X_train, mapped["X_train"])  # it was not read into memory


def test_samples_that_the_loss_leaves_out_need_no_label(data: Any) -> None:
    """Labels of -100 were refused, which CrossEntropyLoss leaves out."""
    holes = {**data, "y_train": data["y_train"].copy(), "y_val": data["y_val"].copy()}
    for part in ("train", "val"):
        holes[f"y_{part}"][::4] = -100
    solver = solve(tg.nn.Sequential(tg.nn.Linear(2, 3, seed=0)), holes, criterion=tg.nn.CrossEntropyLoss(),
                   num_train_samples=None, class_weights="balanced")  # fmt: skip
    counts = np.bincount(data["y_train"][np.arange(40) % 4 > 0])
    assert solver._trained.criterion.weight == pytest.approx(30 / (3 * counts))
    solver.train()
    kept = np.arange(20) % 4 > 0
    right = solver.predict(data["X_val"]).argmax(axis=1) == data["y_val"]
    assert solver.best_val_acc == right[kept].mean() > 0.9
    assert solver.check_accuracy(data["X_val"], holes["y_val"]) == solver.best_val_acc
    assert np.isnan(solver.check_accuracy(data["X_val"], np.full(20, -100)))
    for index, given in ((-1, -100), (-100, -1)):
        holes["y_train"][0] = given
        with pytest.raises(ValueError, match=rf"labels from {given} to 2, .* must lie in 0\.\.2, or be {index}, which"):
            solve(tg.nn.Sequential(tg.nn.Linear(2, 3)), holes, criterion=tg.nn.CrossEntropyLoss(ignore_index=index))


def test_integer_targets_are_told_how_to_be_none_but_labels(data: Any) -> None:
    ages = {**data, "y_train": data["y_train"] + 20, "y_val": data["y_val"] + 20}
    net = tg.nn.Sequential(tg.nn.Linear(2, 1, seed=0))
    with pytest.raises(ValueError, match=r"targets, which are no labels, have .*: y_train\.reshape\(-1, 1\)"):
        solve(net, ages, criterion=tg.nn.MSELoss())
    for part in ("train", "val"):
        ages[f"y_{part}"] = ages[f"y_{part}"].reshape(-1, 1)
    solver = solve(net, ages, criterion=tg.nn.MSELoss(), optim_config={"learning_rate": 0.05})
    solver.train()
    assert solver.loss_history[-1] < solver.loss_history[0]


def test_a_stream_of_batches_trains_and_is_shuffled_by_its_epoch(data: Any) -> None:
    stream = Batches(data["X_train"], data["y_train"], 10)
    given = {"train": stream, "val": Batches(data["X_val"], data["y_val"], 10)}
    model = Seen()
    solver = solve(model, given, num_epochs=3)
    solver.train()
    assert (solver.steps_per_epoch, solver.step, solver.epoch, stream.epoch) == (4, 12, 3, 2)
    epochs = [sum(model.batches[first : first + 4], []) for first in (0, 4, 8)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert solver.val_acc_history[-1] == solver.check_accuracy(data["X_val"], data["y_val"])


@pytest.mark.parametrize(
    ("train", "error", "match"),
    [
        (iter([]), TypeError, "train is of list_iterator, which gives its batches once or has no length"),
        (5, TypeError, "train is of int"),
        ([], ValueError, "train has no batches"),
        ([1], ValueError, "train gave int, expected batches"),
        ([(np.zeros((2, 2)), np.zeros(3, int))], ValueError, r"a batch of \(2, 2\) and \(3,\)"),
        ([(np.zeros((2, 3)), np.zeros(2, int))], ValueError, r"samples of X_val have shape \(2,\), of X_train \(3,\)"),
        ([(np.zeros((2, 2)), np.full(2, 3))], ValueError, "y_train has labels from 3 to 3"),
    ],
)
def test_streams_that_are_none_are_refused(train: Any, error: type[Exception], match: str, data: Any) -> None:
    with pytest.raises(error, match=match):
        solve(Linear(), {"train": train, "X_val": data["X_val"], "y_val": data["y_val"]})


def test_a_stream_that_ends_early_is_said(data: Any) -> None:
    class Short(Batches):
        def __len__(self) -> int:
            return 5

    given = {"train": Short(data["X_train"][:30], data["y_train"][:30], 10), "X_val": data["X_val"],
             "y_val": data["y_val"]}  # fmt: skip
    Short.__iter__ = lambda self: iter([(self.X[:10], self.y[:10])] * 3)
    with pytest.raises(ValueError, match="train gave 3 batches, but its length says 5"):
        solve(Linear(), given).train()


def test_an_augmentation_gets_each_batch_and_a_generator_of_its_own(data: Any) -> None:
    seen: list[tuple[Any, float]] = []

    def augment(X: Any, y: Any, generator: np.random.Generator) -> Any:
        seen.append((X.copy(), generator.random()))
        return np.zeros_like(X), y

    model = Seen()
    solver = solve(model, data, num_epochs=2, augment=augment)
    solver.train()
    assert all(set(batch) == {0.0} for batch in model.batches)
    assert len({draw for _, draw in seen}) == 8
    ahead = solve(make_model(), data, num_epochs=2, augment=augment, prefetch=2)
    first = [draw for _, draw in seen]
    seen.clear()
    ahead.train()
    assert [draw for _, draw in seen] == first
    with pytest.raises(TypeError, match=r"augment: returned ndarray, expected \(X, y\)"):
        solve(make_model(), data, augment=lambda X, y, generator: X).train()


def test_batches_that_are_read_ahead_are_the_same_and_errors_arrive(data: Any) -> None:
    one, other = solve(make_model(), data), solve(make_model(), data, prefetch=3)
    one.train()
    other.train()
    assert one.loss_history == other.loss_history
    before = threading.active_count()

    def source() -> Any:
        yield 1, 1
        raise OSError("the disk is gone")

    batches = prefetched(source(), 2)
    assert next(batches) == (1, 1)
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    endless = prefetched(iter(lambda: (0, 0), 1), 2)
    next(endless)
    endless.close()
    assert threading.active_count() == before

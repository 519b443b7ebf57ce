"""Where batches come from: arrays in memory or on disk, or an iterable of batches; a thread may read ahead."""

from __future__ import annotations

import queue
import threading
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

Batch: TypeAlias = tuple[Any, Any]
Augment: TypeAlias = Callable[[Any, Any, np.random.Generator], Batch]


class ArrayFeed:
    """Batches gathered from arrays; memory-mapped ones are read where a batch needs them.

    Parameters
    ----------
    X, y : ndarray
        Samples (N, ...) and their labels or targets (N, ...).
    batch_size : int
        Samples in a batch.
    """

    def __init__(self, X: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        self.X, self.y = X, y
        self.steps = max(len(X) // batch_size, 1)
        self.batch_bytes = batch_size * X[:1].nbytes

    def batches(self, epoch: int, start: int, order: Sequence[np.ndarray]) -> Generator[Batch, None, None]:
        """Yield the batches of an epoch from the step `start` on; `order` has the indices of each."""
        X, y = self.X, self.y
        for step in range(start, self.steps):
            chosen = order[step]
            # take is the faster gather: it knows that it selects along one axis.
            yield X.take(chosen, axis=0), y.take(chosen, axis=0)

    def sample(self, count: int | None, draw: Callable[[int, int], np.ndarray]) -> Batch:
        """Return all samples, or `count` of them drawn at random where there are more."""
        if count is None or len(self.X) <= count:
            return self.X, self.y
        chosen = draw(len(self.X), count)
        return self.X[chosen], self.y[chosen]

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells whether a resumed run has the same data."""
        return fingerprint(self.X, self.y)


def fingerprint(X: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Return what tells whether samples and labels are the same: shapes, all labels, sixteen samples."""
    rows = np.unique(np.linspace(0, len(X) - 1, 16).astype(np.int64))
    crc32 = zlib.crc32(X[rows].tobytes(), zlib.crc32(np.ascontiguousarray(y).data))
    return {"X": [*X.shape], "y": [*y.shape], "dtype": str(X.dtype), "crc32": crc32}


class StreamFeed:
    """Batches from an iterable that can be gone through again for each epoch.

    Parameters
    ----------
    name : str
        Of the data, for messages.
    source : iterable of (X, y)
        Has a length, the batches of an epoch. Where it has ``set_epoch``, that is called with the number of the epoch
        before each one, so that it can shuffle.

    Raises
    ------
    TypeError
        If it cannot be gone through again, or has no length.
    ValueError
        If it has no batches, or the first is none.
    """

    def __init__(self, name: str, source: Any) -> None:
        if not isinstance(source, Iterable) or iter(source) is source or not hasattr(source, "__len__"):
            raise TypeError(
                f"data: {name} is of {type(source).__name__}, which gives its batches once or has no length; expected "
                f"an iterable for many epochs: a class with __iter__ that yields (X, y) and __len__, batches per epoch"
            )
        self.name, self.source = name, source
        self.steps = len(source)  # type: ignore[arg-type]  # that it has one is checked above
        if self.steps < 1:
            raise ValueError(f"data: {name} has no batches; give at least one")
        self.first = self._batch(next(iter(source)))
        self.X = self.y = None  # it has no arrays that could be indexed

    def batches(self, epoch: int, start: int, order: object) -> Generator[Batch, None, None]:
        """Yield the batches of an epoch from the step `start` on."""
        if hasattr(self.source, "set_epoch"):
            self.source.set_epoch(epoch)
        given = 0
        for given, batch in enumerate(islice(self.source, self.steps), 1):
            if given > start:
                yield self._batch(batch)
        if given < self.steps:
            raise ValueError(f"data: {self.name} gave {given} batches, but its length says {self.steps}")

    def sample(self, count: int | None, draw: object) -> Batch:
        """Return the samples of all batches, or of the first ones that hold `count`, together."""
        found: list[Batch] = []
        held = 0
        for batch in islice(self.source, self.steps):
            found.append(self._batch(batch))
            held += len(found[-1][0])
            if count is not None and held >= count:
                break
        X, y = (np.concatenate([batch[part] for batch in found])[:count] for part in (0, 1))
        return X, y

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells whether a resumed run has the same data: the number of batches, the first one's shape."""
        return {"batches": self.steps, "X": [*self.first[0].shape[1:]], "dtype": str(self.first[0].dtype)}

    def _batch(self, batch: Any) -> Batch:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise ValueError(f"data: {self.name} gave {type(batch).__name__}, expected batches (X, y)")
        X, y = np.asarray(batch[0]), np.asarray(batch[1])
        if X.ndim < 1 or y.ndim < 1 or len(X) != len(y) or len(X) == 0:
            raise ValueError(f"data: {self.name} gave a batch of {X.shape} and {y.shape}, expected (N, ...) of one N")
        return X, y


def augmented(
    batches: Iterator[Batch], augment: Augment, seed: int, step: int
) -> Generator[Batch, None, None]:
    """Yield what `augment` makes of each batch; its generator is made from the seed and the step alone.

    So a run that is resumed, or whose batches are read ahead, draws the same.
    """
    for X, y in batches:
        made = augment(X, y, np.random.default_rng([seed, step]))
        if not isinstance(made, tuple) or len(made) != 2 or len(made[0]) != len(made[1]):
            given = f"a tuple of {len(made)}" if isinstance(made, tuple) else type(made).__name__
            raise TypeError(f"augment: returned {given}, expected (X, y) of one length")
        yield made
        step += 1


def prefetched(batches: Iterator[Batch], depth: int) -> Generator[Batch, None, None]:
    """Yield batches that a thread makes ahead, at most `depth` of them; an error in it is raised here, in its place."""
    # Queues written in C: handing over a batch costs a few microseconds.
    ready: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def work() -> None:
        try:
            while wanted.get():
                ready.put(("batch", next(batches)))
        except StopIteration:
            ready.put(("end", None))
        except BaseException as error:  # it is the consumer's to handle
            ready.put(("error", error))

    thread = threading.Thread(target=work, name="tinygrad_fc-prefetch", daemon=True)
    thread.start()
    for _ in range(depth):
        wanted.put(True)
    try:
        while True:
            kind, value = ready.get()
            if kind == "batch":
                wanted.put(True)
                yield value
            elif kind == "error":
                raise value
            else:
                return
    finally:
        wanted.put(False)
        thread.join()

"""compile: a training step that is recorded once, and from then on run without Python between its kernels."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.node import MODE, Node, recording
from ..engine.tensor import Tensor
from ..kernels import as_one, machine_for, together
from ..nn.parameter import changes
from .facts import own_arrays
from .guard import guarded, plain
from .lower import Lowered
from .program import Program
from .results import argument, detached
from .safety import Reads
from .size import elements, size_of
from .trace import Trace, Unfit
from .values import address

# After so many recordings in a row that were of no use, a step runs as it is written; each `REST`th call tries again.
PATIENCE, REST = 8, 100
# Recordings that are kept, those used last: of small networks, and of the largest.
MOST, FEWEST, LARGE = 64, 8, 2**26


class Compiled:
    """A step that is replayed where that is safe, as `compile` returns it.

    Parameters
    ----------
    step, reads, optimizer
        What runs; what makes its `Reads`, where its code is not to be looked at; and whose gradients it returns, where
        it does not step an optimizer itself.
    size : int
        Of the network, where `Reads` cannot tell.

    Attributes
    ----------
    recordings, replays, written : int
        How many calls were recorded (whether or not the recording could be used), how many were replayed, and how many
        ran as they are written without being recorded.
    reason : str or None
        Why the last call was not replayed; None if it was, or if it made the recording for those that follow.
    """

    def __init__(
        self, step: Callable[..., Any], reads: Callable[[], Reads] | None = None, optimizer: Any = None, size: int = -1
    ) -> None:
        functools.update_wrapper(self, step)
        self._step, self._read, self._optimizer = step, reads or functools.partial(Reads, step), optimizer
        self._size = size  # -1 if it is not known
        self._programs: dict[Any, Program] = {}  # the one that was used last is the last
        self._last: Program | None = None
        self._shapes: set[Any] = set()  # that were recorded
        self._reads: Reads | None = None
        self._state = (-1, -1)  # the modules' number of changes, and which of the worlds it is
        self._worlds: dict[Any, tuple[int, Reads, int]] = {}  # number, what was read there, size
        self._in_vain, self._rested, self._futile = 0, 0, ""  # the last: why the last recording was of no use
        self._turn: dict[int, object] = {}  # whose it is to record or to replay: one call's at a time
        self._signature: inspect.Signature | None = None
        with contextlib.suppress(TypeError, ValueError):  # some builtin functions have none
            self._signature = inspect.signature(step, follow_wrapped=False)
        self.recordings = self.replays = self.written = 0
        self.reason: str | None = None

    def __repr__(self) -> str:
        counts = f"{self.recordings} recorded, {self.replays} replayed, {self.written} as written"
        name = getattr(self, "__qualname__", type(self._step).__name__)
        return f"<compiled {name}: {counts}{f'; {self.reason}' if self.reason else ''}>"

    def __reduce__(self) -> Any:
        raise TypeError("a compiled step belongs to its model and optimizer, and cannot be copied or pickled: "
                        "copy these, and compile a step of the copies.")  # fmt: skip

    def __get__(self, instance: Any, owner: type | None = None) -> Compiled:
        if instance is None:
            return self
        name = getattr(self, "__name__", "step")
        raise TypeError(f"{name}: tg.compile on a method does not know the object: leave it out there, and compile the "
                        f"method of an object t, t.{name} = tg.compile(t.{name}).")  # fmt: skip

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the step."""
        if kwargs and self._signature is not None:
            with contextlib.suppress(TypeError):  # which the step itself raises, then
                bound = self._signature.bind(*args, **kwargs)
                args, kwargs = bound.args, bound.kwargs
        if MODE.get() is not None:
            return self._plain(args, kwargs, "an observer watches, or recording is off")
        if self._in_vain > PATIENCE and self._rests():
            return self._plain(args, kwargs, self._futile)
        turn = object()
        try:  # never waits: the other call may wait for a lock that this one's caller holds
            if self._turn.setdefault(0, turn) is not turn:
                return self._plain(args, kwargs, "another thread runs it")
            return self._run(args, kwargs)
        finally:  # in which nothing is called: nowhere can Ctrl-C come and leave the turn taken
            if self._turn == {0: turn}:
                del self._turn[0]

    def _rests(self) -> bool:
        """Whether this call, after recordings in vain, does not try again."""
        self._rested += 1
        if self._rested % REST:
            return True
        self._in_vain = PATIENCE - 1  # one for a recording, and one for seeing that it is of use
        return False

    def _plain(self, args: Any, kwargs: Any, reason: str) -> Any:
        """Run the step as it is written."""
        self.written += 1
        self.reason = reason
        if self._size < 0:
            self._size = size_of(self._step, self._read)
        with as_one(self._size):
            return detached(self._step(*args, **kwargs), alive=True)

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = (*args, *kwargs.values()) if kwargs else args
        try:
            arrays = [argument(value) for value in given]
        except Unfit as unfit:
            return self._plain(args, kwargs, str(unfit))
        if len(set(map(id, given))) < len(given):
            return self._plain(args, kwargs, "two arguments are one array")
        try:
            key: list[Any] = [self._now(), together(self._size)]
        except Unfit as unfit:
            self._in_vain += 2  # its code is what it is
            self._futile = str(unfit)
            return self._plain(args, kwargs, str(unfit))
        for value, array in zip(given, arrays, strict=True):
            key += array.shape, array.dtype, isinstance(value, Tensor) and value.name
        key += kwargs
        found = tuple(key)
        program = self._programs.get(found)
        if program is not None:
            if not program.takes(arrays):
                return self._plain(args, kwargs, "some of the labels are no classes: they are ignored, or wrong")
            if program.fits():
                if program is not self._last:
                    self._programs[found] = self._programs.pop(found)
                    self._last = program
                try:
                    result = program.run(arrays)
                except Unfit as unfit:
                    return self._plain(args, kwargs, str(unfit))
                self.replays += 1
                self.reason, self._in_vain = None, 0
                return result
            del self._programs[found]
            self._last = program = None
        with as_one(self._size):
            return self._record(found, args, kwargs, arrays)

    def _now(self) -> Any:
        """Return what the world around the step is like; cheap while nothing changes."""
        if self._reads is None or not self._reads.unchanged():
            self._look()
        if self._state[0] != changes():
            assert self._reads is not None
            found = self._reads.fingerprint()
            if found not in self._worlds and self._state[0] >= 0:
                if len(self._worlds) == MOST:
                    self._look()
                else:
                    self._read_anew()  # a module may have others inside, or methods of its own
                found = self._reads.fingerprint()
            number, reads, self._size = self._worlds.setdefault(found, (len(self._worlds), self._reads, self._size))
            if reads is not self._reads and not reads.unchanged():  # what it watched has changed while another did
                self._look()
                return self._now()
            self._reads, self._state = reads, (changes(), number)
        return self._state[1]

    def _look(self) -> None:
        """Read the code of the step, and what it reads, and forget all recordings."""
        self._reads = None
        self._programs.clear()
        self._worlds.clear()
        self._last = None
        self._read_anew()
        self._state = (-1, -1)

    def _read_anew(self) -> None:
        reads = self._read()
        self._size = elements(reads)
        self._reads = reads

    def _record(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any], arrays: list[np.ndarray]) -> Any:
        """Run the step as it is written, and keep what it did."""
        reads = self._reads
        assert reads is not None
        self.recordings += 1
        trace, before = Trace(), changes()
        leaves = {leaf: leaf.grad for leaf in reads.leaves() if leaf.requires_grad}
        with recording(trace):
            values = [guarded(value) for value in (*args, *kwargs.values())]
            result = self._step(*values[: len(args)], **dict(zip(kwargs, values[len(args) :], strict=True)))
        try:
            if changes() != before or not reads.unchanged():
                raise Unfit("it changes a module")
            self._programs[key] = self._last = self._lower(trace, leaves, arrays, result)
            self.reason = None
            self._in_vain += key[1:] in self._shapes  # what was recorded for such arguments before is gone
            self._shapes.add(key[1:])
        except Unfit as unfit:
            self.reason = str(unfit)
            self._in_vain += 1
        self._futile = self.reason or (
            f"{PATIENCE} recordings in a row were of no use: what it reads, or its arguments' shapes, change each time"
        )
        if len(self._programs) > max(FEWEST, min(MOST, LARGE // (self._size + 1))):
            del self._programs[next(iter(self._programs))]
            self._in_vain += 1
        return detached(plain(result), alive=not trace.orders)

    def _lower(self, trace: Trace, leaves: dict[Any, Any], arrays: list[np.ndarray], result: Any) -> Program:
        if trace.fault:
            raise Unfit(trace.fault)
        if not trace.orders:
            raise Unfit("it does not go backward: the graph of what it returns is needed")
        for node, before in trace.before.items():
            if before is not None and node.grad is not before:
                raise Unfit(f"backward adds to the grad of {node.label()}, which it had before: call zero_grad first, "
                            f"the model's where the optimizer has not all of it, or freeze it")  # fmt: skip
        assert self._reads is not None
        known = [*self._reads.optimizers, *self._reads.all_modules()]
        for item in [*trace.updates, *[module for module, _ in trace.masks]]:
            if not any(item is other for other in known):
                raise Unfit(f"it uses a {type(item).__name__} that it does not find outside")
        fixed = [leaf._array for leaf in self._reads.leaves() if not leaf.requires_grad]
        fixed += [array for module in self._reads.all_modules() for array in own_arrays(module)]
        if not all(array.size for array in arrays):
            raise Unfit("an argument is empty")
        held = [leaf._array for leaf in leaves] + arrays
        places = [address(array) for array in held]
        if len(set(places)) < len(places) or not {*map(address, arrays)}.isdisjoint(map(address, fixed)):
            raise Unfit("two arguments, or an argument and an array of the model, are one array")
        make = machine_for(self._size, ())
        if make is None:
            raise Unfit("NumPy has another BLAS than OpenBLAS")
        homes: dict[Node, np.ndarray] = {}
        optimizers = [optimizer for optimizer in (*trace.updates, self._optimizer) if optimizer is not None]
        try:
            for optimizer in optimizers:
                homes.update(optimizer.gradient_homes(renew=True))
            parameters = {leaf.node: leaf._array for leaf in leaves}
            lowered = Lowered(make, trace, trace.orders[0], arrays, parameters, homes, fixed)
            return Program(lowered, trace, leaves, self._reads.leaves(), result)
        finally:
            for optimizer in optimizers:
                optimizer.leave_gradient_homes()


def compile(step: Callable[..., Any]) -> Compiled:  # it is called tg.compile
    """Return the step, recorded at its first call and replayed at later ones.

    A replay runs the kernels of the recorded operations, of backward and of the update, one after another into the same
    buffers: nothing is recorded. With Numba that is compiled code on several threads, without it (or where
    `use_kernels` does not choose it) calls of NumPy; operations that have neither are called as Python calls them. It
    draws the masks of dropout and moves running averages as the step would, and does not report numbers that overflow.
    Its bits are those of the step as it is written under ``use_kernels("numba")`` or ``"numpy"``. Under ``"auto"`` the
    size of the network chooses the kernels of a compiled step, and each array its own in one that is not: these differ
    by rounding, unless every array is large.

    Whatever would make a replay wrong is noticed, and the step recorded again or run as it is written: other shapes or
    dtypes, another mode or option of a module, a parameter that is new, frozen or has another array, another value of a
    name that the step reads, a value that Python looks at (``loss.item()``, ``if loss > 1``, ``X.max()``), writing to
    what is outside, and calling or reading what cannot be watched. ``step.reason`` then says why. After 8 recordings in
    a row that were of no use only every 100th call tries again.

    Parameters
    ----------
    step : callable
        A function of arrays, or of tensors that need no gradient: samples and labels, say. It computes a loss, calls
        ``backward`` and steps optimizers, and returns tensors (in tuples, lists or dicts) or None. Each shape and dtype
        of a batch is recorded by itself; the last 64 are kept, or fewer of a large network. Samples of another dtype
        than the parameters' are cast in each replay, as their layer would.

    Returns
    -------
    Compiled
        Called as `step` is. The tensors that it returns are constants, but for a step that does not go backward: that
        runs as it is written, and they keep their graph. Gradients (``p.grad``) are as after the step;
        one that is held elsewhere stays as it is.

    Raises
    ------
    TypeError
        If `step` cannot be called.

    See Also
    --------
    use_kernels : Chooses who runs a replay.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygrad_fc as tg
    >>> model = tg.models.TwoLayerNet(20, 100, 10, seed=0)
    >>> optimizer = tg.optim.Optimizer(model, "sgd", learning_rate=0.1)
    >>> @tg.compile
    ... def step(X, y):
    ...     optimizer.zero_grad()
    ...     loss = model.loss_tensor(X, y)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> X, y = np.ones((5, 20), np.float32), np.arange(5)
    >>> for _ in range(4):
    ...     loss = step(X, y)
    >>> step  # the second time there were gradients to be left behind
    <compiled step: 2 recorded, 2 replayed, 0 as written>
    """
    if not callable(step):
        raise TypeError(f"compile: step: given {type(step).__name__}, expected a function of arrays.")
    return Compiled(step)

"""What is checked: a function, the tensors that are moved, and the state that each evaluation has to find."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..engine.backward import gradients
from ..engine.node import Node, Observer, kind_of, no_grad, recording
from ..engine.operation import Op
from ..engine.tensor import Tensor, tensor
from .difference import Line, Point
from .reach import Reached, rewinder

Branches = list[tuple[str, int]]

# Operations that are analytic, and whose functions on arrays compute with complex numbers.
ANALYTIC = frozenset("""
add subtract multiply divide negative positive square reciprocal power sqrt exp expm1 exp2 log log1p log2 log10 sin cos
tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh matmul einsum sum mean prod cumsum cumprod affine
reshape transpose squeeze expand_dims swapaxes broadcast_to concatenate stack flip roll getitem copy same index_add
index_set
""".split())
TINY = 1e-30  # its square is nothing beside the rounding of any other number


class Branching(Observer):
    """Notes which branch each operation took: what its declaration calls its branch, and results that are whole."""

    def __init__(self) -> None:
        self.taken: Branches = []
        self.names: set[str] = set()

    def saw(self, op: Op, node: Node | None, out: np.ndarray, data: list[Any]) -> None:
        """Note the branch of one operation."""
        self.names.add(op.name)
        mark = branch_of(op, data, out)
        if mark is not None:
            self.taken.append((op.name, mark))


def branch_of(op: Op, data: Sequence[Any], out: np.ndarray) -> int | None:
    """Return a number for the branch that an operation took, or None if it has but one."""
    mark: Any = out if out.dtype.kind in "biu" else None
    if op.branch is not None:
        known = dict(zip(op.arguments, data, strict=True), out=out)
        mark = np.asarray(op.branch(*[known[key] for key in op.branch.__code__.co_varnames[: _arity(op.branch)]]))
    return None if mark is None else hash(mark.tobytes())


def _arity(function: Any) -> int:
    return int(function.__code__.co_argcount)


class Problem:
    """A function of tensors as a function of numbers, evaluated in float64 and always from the same state.

    While the problem is entered, the tensors hold float64 copies of their arrays. On leaving it, they hold their own
    arrays again, and the modules and generators that the function reaches are as they were.

    Restored before each evaluation, and afterwards: the random generators that `Reached` finds, and of the modules that
    it finds, with those inside, every attribute that is a NumPy array (a buffer or not) and the mode, training or
    evaluation. Not restored is what else code may change: numbers and lists in attributes, files, global names.

    Parameters
    ----------
    who : str
        The public function, for messages.
    f : callable
        Returns a tensor.
    tensors : sequence of Tensor
        Leaves that are moved.
    arguments : sequence
        What `f` is called with.
    generator : numpy.random.Generator
        Draws the weights by which a result of several elements becomes a number.
    """

    def __init__(
        self, who: str, f: Callable[..., Any], tensors: Sequence[Tensor], arguments: Sequence[Any],
        generator: np.random.Generator,
    ) -> None:  # fmt: skip
        self.who, self.f, self.tensors, self.arguments = who, f, list(tensors), list(arguments)
        self.homes = [t._array for t in self.tensors]
        self.evaluations = 0
        self.analytic = False
        found = Reached(f, self.arguments)
        self.modules, self.generators = found.modules, found.generators
        inside = list(dict.fromkeys(inner for m in self.modules for _, inner in m.named_modules()))
        self._training = [(inner, inner.training) for inner in inside]
        self._attributes = [
            (inner, key, value, value.copy())
            for inner in inside for key, value in vars(inner).items() if isinstance(value, np.ndarray)
        ]  # fmt: skip
        self._buffers = [(b, b.copy()) for m in self.modules for _, b in m.named_buffers()]  # in lists, too
        self._rewind = rewinder(*self.generators)
        for position, t in enumerate(self.tensors):
            check_finite(who, self.name(position), t._array)
        try:
            out = self.run()
        finally:
            self.restore()
        if not isinstance(out, Tensor):
            raise TypeError(f"{who}: f returned {type(out).__name__}, expected a Tensor.")
        if not out.size:
            raise ValueError(f"{who}: f returned an empty result: there is nothing to differentiate.")
        if not np.isfinite(out.data).all():
            raise ValueError(f"{who}: f is not finite at the inputs, so no difference can be taken.")
        self.weights = np.ones(()) if out.size == 1 else generator.uniform(0.5, 1.5, out.shape)
        self.working_out = out

    def name(self, position: int) -> str:
        """Return the name of a tensor, or its position."""
        return self.tensors[position].name or f"input {position}"

    # ---- state

    def __enter__(self) -> Problem:
        for t, home in zip(self.tensors, self.homes, strict=True):
            self._hold(t, home.astype(np.float64))
        return self

    def __exit__(self, *error: object) -> None:
        for t, home in zip(self.tensors, self.homes, strict=True):
            self._hold(t, home)
        self.restore()

    @staticmethod
    def _hold(t: Tensor, array: np.ndarray) -> None:
        t._array = array
        if type(t.node) is Node:
            t.node.kind = kind_of(array.shape, array.dtype)  # a leaf's gradient has the dtype of its node

    def restore(self) -> None:
        """Put modules and generators back into the state that they had."""
        for module, key, array, before in self._attributes:
            if vars(module).get(key) is not array:
                object.__setattr__(module, key, array)
            if array.flags.writeable:
                np.copyto(array, before)
        for buffer, before in self._buffers:
            np.copyto(buffer, before)
        for module, training in self._training:
            if module.training is not training:
                module.training = training
        self._rewind()

    # ---- evaluations

    def run(self) -> Any:
        """Call the function, recorded, from the state that it had; refuse one that writes into its inputs."""
        self.restore()
        before = [t._array.copy() for t in self.tensors]
        with recording():
            out = self.f(*self.arguments)
        for position, (t, array) in enumerate(zip(self.tensors, before, strict=True)):
            if not np.array_equal(t._array, array):
                np.copyto(t._array, array)
                raise ValueError(
                    f"{self.who}: f changed {self.name(position)}. It has to leave its inputs as they are: write into "
                    f"a copy, or t.at[i].set(v)."
                )
        return out

    def slopes(self, out: Tensor, create_graph: bool = False) -> list[Tensor]:
        """Return the gradients of the weighted result with respect to the tensors."""
        g = np.broadcast_to(self.weights, out.shape).astype(out.dtype)
        # What is not finite is told in the report.
        with writes_named(self.who), np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            return gradients([out], self.tensors, [g], create_graph=create_graph)

    def value(self) -> Point:
        """Return the weighted result, and the branches that were taken."""
        self.restore()
        self.evaluations += 1
        branching = Branching()
        # A step may leave the domain; then a smaller one is tried.
        with recording(branching), np.errstate(all="ignore"):
            out = self.f(*self.arguments)
        self.analytic = branching.names <= ANALYTIC
        if out.shape != self.working_out.shape:  # as that of np.unique, where equal elements part
            return Point(math.nan, branching.taken)
        terms = out.data.astype(np.float64) * self.weights
        return Point(float(np.sum(terms)), branching.taken, float(np.sum(np.abs(terms))))

    def imaginary(self, directions: dict[int, np.ndarray], shift: float = 0.0) -> float:
        """Return the derivative along directions by the complex step: Im f(x + i h v) / h, in which nothing cancels.

        Squire and Trapp, "Using complex variables to estimate derivatives of real functions" (1998), equation 6. The
        point itself may be shifted along the directions. NaN where complex numbers cannot be computed with.
        """
        starts = {position: self.tensors[position]._array for position in directions}
        try:
            for position, direction in directions.items():
                self.tensors[position]._array = starts[position] + (shift + 1j * TINY) * direction
            self.restore()
            self.evaluations += 1
            with no_grad(), np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                out = self.f(*self.arguments).data
            return float(np.sum(out.imag * self.weights)) / TINY if out.dtype.kind == "c" else math.nan
        except Exception:  # whatever cannot be done with complex numbers is done by differences
            return math.nan
        finally:
            for position, start in starts.items():
                self.tensors[position]._array = start

    def line(self, directions: dict[int, np.ndarray]) -> Line:
        """Return the function along a line: each tensor by its position moves along its direction."""
        starts = {position: self.tensors[position]._array for position in directions}

        def at(shift: float) -> Point:
            try:
                if shift:
                    for position, direction in directions.items():
                        self.tensors[position]._array = starts[position] + shift * direction
                return self.value()
            finally:
                for position, start in starts.items():
                    self.tensors[position]._array = start

        return at


@contextmanager
def writes_named(who: str) -> Iterator[None]:
    """Say of a rule that writes into what it is given that it must not; the gradient it gets is read-only."""
    try:
        yield
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        where = " ".join(getattr(error, "__notes__", ()))
        raise ValueError(
            f"{who}: a rule writes into the gradient g, or into an array that it reads: others read them too. It has "
            f"to return a new array: g * 2, not g *= 2. {where}"
        ) from error


def natural(array: np.ndarray) -> float:
    """Return the scale on which an array's elements are moved: the root of their mean square; 1 for zeros."""
    top = float(np.max(np.abs(array), initial=0.0))
    if not 0.0 < top < math.inf:
        return 1.0
    with np.errstate(under="ignore"):  # squares of what is tiny beside the largest
        return top * float(np.sqrt(np.mean(np.square(array / top))))


def check_finite(who: str, name: str, array: np.ndarray) -> None:
    """Raise ValueError if an input is not finite everywhere."""
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        at = tuple(map(int, bad[0]))
        raise ValueError(
            f"{who}: {name} is {array[at]} at {list(at)}: a gradient can be taken at finite points only."
        )


def as_input(who: str, position: int, value: Any) -> Tensor:
    """Return what is checked as a leaf tensor, or raise TypeError."""
    if isinstance(value, Tensor):
        if not value.requires_grad or not value.is_leaf:
            raise TypeError(
                f"{who}: input {position} must be a leaf made with requires_grad=True, or an array; given "
                f"{'a computed tensor' if value.requires_grad else 'a tensor that needs no gradient'}."
            )
        return value
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # NumPy's words for rows of different lengths name no input
        raise TypeError(
            f"{who}: input {position} is {type(value).__name__} of which no array can be made, expected an array of "
            f"floats, or nested lists whose rows have one length."
        ) from None
    if array.dtype.kind in "biuc":
        cure = "its real part, x.real" if array.dtype.kind == "c" else "1.0 instead of 1"
        raise TypeError(f"{who}: input {position} has dtype {array.dtype}, expected floats: {cure}.")
    if array.dtype.kind != "f":
        given = f"an array of dtype {array.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise TypeError(
            f"{who}: input {position} is {given}, expected a tensor or an array of floats. What takes no gradient is "
            f"bound first: lambda x: f(x, option)."
        )
    return tensor(array, requires_grad=True)

"""Module.summary: what happens to a batch on its way through a module, as a table."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.node import no_grad
from ..engine.tensor import Tensor, constant
from . import generators
from .module import Module
from .parameter import Parameter
from .walk import walk

if TYPE_CHECKING:
    import numpy.typing as npt

_TITLES = ("layer", "output", "parameters", "multiply-adds", "bytes")


@dataclass(frozen=True)
class Call:
    """One call of a module: a row of `Summary`.

    Attributes
    ----------
    path, kind : str
        Attribute path ("" for the outermost module) and class.
    depth : int
        How many calls it was inside of.
    output_shape : tuple of int, list, or None
        Of the result; a list where it holds several arrays, None where it is no array.
    parameters, repeated : int
        Numbers in the module's own parameters (not those of modules inside), and how many of them stand in a row above
        already: the module was called before, or shares them.
    multiply_adds : int
        What `Module.multiply_adds` says; 0 for a call that hands on what it was given.
    bytes : int
        Of the parameters that are not repeated and of the result, unless that stands in memory that was counted before.
    """

    path: str
    kind: str
    depth: int
    output_shape: Any
    parameters: int
    repeated: int
    multiply_adds: int
    bytes: int

    def cells(self) -> tuple[str, ...]:
        """Return the row as text, without indentation."""
        again = f" (+{self.repeated:,})" if self.repeated else ""
        return (
            f"{self.path} ({self.kind})" if self.path else self.kind,
            "" if self.output_shape is None else str(self.output_shape),
            f"{self.parameters - self.repeated:,}{again}",
            f"{self.multiply_adds:,}",
            f"{self.bytes:,}",
        )


@dataclass(frozen=True)
class Summary:
    """What `Module.summary` returns: print it, or read its rows. A notebook shows it as a table.

    There is one row for each call, in the order in which the calls began; a module that is called twice has two. A
    multiplication with its addition counts as one multiply-add. A linear layer does N * in * out of them, bias and
    activation not counted; a normalization, an activation or another layer one for each element of its result; a module
    with modules inside none of its own. A class says otherwise with `Module.multiply_adds`.

    Attributes
    ----------
    kind : str
        Class of the module.
    input_shape : tuple of int, or tuple of them
        Of the zeros that went through, batch axis included; a tuple of shapes where `forward` took several arrays.
    dtype : str
        Of the zeros.
    rows : tuple of Call
    parameters, trainable : int
        Numbers in all parameters, a shared one counted once, and how many of them are trained: all but the frozen ones.
    buffers : int
        Numbers that belong to the state and are not trained.
    multiply_adds, bytes : int
        Of all rows, and bytes also of parameters whose module was not called.
    not_called : tuple of str
        Paths of modules that have parameters and were not called.
    """

    kind: str
    input_shape: tuple[Any, ...]
    dtype: str
    rows: tuple[Call, ...]
    parameters: int
    trainable: int
    buffers: int
    multiply_adds: int
    bytes: int
    not_called: tuple[str, ...]

    def _title(self) -> str:
        return f"{self.kind} on {self.input_shape} {self.dtype}, evaluation mode"

    def _total(self) -> tuple[str, ...]:
        return "total", "", f"{self.parameters:,}", f"{self.multiply_adds:,}", f"{self.bytes:,}"

    def _notes(self) -> list[str]:
        notes = [f"Of {self.parameters:,} parameters {self.trainable:,} are trained."]
        if self.buffers:
            notes.append(f"Buffers hold {self.buffers:,} numbers, which are not trained.")
        if any(row.repeated for row in self.rows):
            notes.append("(+n): n parameters that stand in a row above.")
        if self.not_called:
            notes.append(f"Not called: {', '.join(self.not_called)}.")
        return notes

    def __str__(self) -> str:
        rows = [("  " * row.depth + row.cells()[0], *row.cells()[1:]) for row in self.rows]
        table = [_TITLES, *rows, self._total()]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for layer, shape, *numbers in table:
            cells = [layer.ljust(widths[0]), shape.ljust(widths[1])]
            cells += [cell.rjust(width) for cell, width in zip(numbers, widths[2:], strict=True)]
            lines.append("  ".join(cells))
        rule = "-" * len(lines[0])
        return "\n".join([self._title(), lines[0], rule, *lines[1:-1], rule, lines[-1], *self._notes()])

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], tag: str, depth: int = 0) -> str:
            styles = [f"text-align: left; padding-left: {1 + 1.5 * depth}em", "text-align: left"]
            styles += ["text-align: right"] * 3
            parts = [
                f'<{tag} style="{style}">{html.escape(cell)}</{tag}>' for cell, style in zip(cells, styles, strict=True)
            ]
            return f"<tr>{''.join(parts)}</tr>"

        body = [line(row.cells(), "td", row.depth) for row in self.rows]
        return "\n".join([
            "<table>", f"<caption>{html.escape(self._title())}</caption>", f"<thead>{line(_TITLES, 'th')}</thead>",
            "<tbody>", *body, "</tbody>", f"<tfoot>{line(self._total(), 'th')}</tfoot>", "</table>",
            *[f"<p>{html.escape(note)}</p>" for note in self._notes()],
        ])  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return all of it in JSON types: shapes as lists, rows as dicts."""
        rows = [{**vars(row), "output_shape": _plain(row.output_shape)} for row in self.rows]
        whole = {**vars(self), "input_shape": _plain(self.input_shape), "not_called": list(self.not_called)}
        return {**whole, "rows": rows}


def _plain(shape: Any) -> Any:
    return [_plain(item) for item in shape] if isinstance(shape, (tuple, list)) else shape


def _array(value: Any) -> np.ndarray | None:
    value = value.data if isinstance(value, Tensor) else value
    return value if isinstance(value, np.ndarray) else None


def _arrays(value: Any) -> Iterator[np.ndarray]:
    for _, item in walk("", value, (Tensor, np.ndarray)):
        array = _array(item)
        if array is not None:
            yield array


def _shape(value: Any) -> Any:
    array = _array(value)
    if array is not None:
        return array.shape
    shapes = [found.shape for found in _arrays(value)]
    return shapes or None


def _own_parameters(module: Module) -> list[Parameter]:
    found = [item for key, value in vars(module).items() for _, item in walk(key, value, (Parameter, Module))]
    return [item for item in dict.fromkeys(found) if isinstance(item, Parameter)]


def _owner(array: np.ndarray) -> np.ndarray:
    """Return the array whose memory another one shows."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class _Trace:
    """Rows of the calls that run while the `forward` of every module is wrapped."""

    def __init__(self, root: Module, given: Sequence[np.ndarray]) -> None:
        self.rows: list[Any] = []
        self.called: set[Module] = set()
        self._depth = 0
        self.seen: set[Parameter] = set()
        # Memory that is counted already. It is held here, so that no identity is used twice.
        self._held: dict[int, np.ndarray] = {}
        for array in (*given, *[parameter.data for parameter in root.parameters()]):
            self._is_new(array)

    def _is_new(self, array: np.ndarray) -> bool:
        array = _owner(array)
        known = id(array) in self._held
        self._held[id(array)] = array
        return not known

    def wrap(self, path: str, module: Module) -> Callable[..., Any]:
        """Return the module's forward, noting each call."""
        forward = module.forward

        def noted(*args: Any, **kwargs: Any) -> Any:
            place, depth, own = len(self.rows), self._depth, _own_parameters(module)
            fresh = [parameter for parameter in own if parameter not in self.seen]
            self.seen.update(own)
            self.called.add(module)
            self.rows.append(None)
            self._depth += 1
            try:
                out = forward(*args, **kwargs)
            finally:
                self._depth -= 1
            first = next(iter((*args, *kwargs.values())), None)
            given, result = _array(first), _array(out)
            # What lies in the memory of the input, as a reshaped one does, was not computed.
            handed_on = given is not None and result is not None and _owner(result) is _owner(given)
            output = _shape(out)
            total, new = (sum(parameter.size for parameter in some) for some in (own, fresh))
            self.rows[place] = Call(
                path, type(module).__name__, depth, output, total, total - new,
                0 if handed_on else module.multiply_adds(_shape(first), output),
                sum(p.data.nbytes for p in fresh) + sum(a.nbytes for a in _arrays(out) if self._is_new(a)),
            )  # fmt: skip
            return out

        return noted


@contextlib.contextmanager
def _left_as_it_was(root: Module) -> Iterator[None]:
    """Put modes, wrapped functions, buffers and generators back after a block."""
    modules = [module for _, module in root.named_modules()]
    before: list[dict[str, Any]] = [
        {key: vars(module)[key] for key in ("forward", "training") if key in vars(module)} for module in modules
    ]
    buffers = [(module, key, getattr(module, key)) for module in modules for key in module.buffers]
    values = [array.copy() for _, _, array in buffers]
    states = [(generator, generators.read(generator)) for _, generator in root.named_generators()]
    try:
        yield
    finally:
        for module, kept in zip(modules, before, strict=True):
            for key in ("forward", "training"):
                vars(module).pop(key, None)
            vars(module).update(kept)
        for (module, key, array), value in zip(buffers, values, strict=True):
            np.copyto(array, value)
            vars(module)[key] = array
        for generator, state in states:
            generators.write(generator, state)


def _run(root: Module, shapes: Sequence[tuple[int, ...]], dtype: Any) -> _Trace:
    zeros = [np.zeros(shape, dtype) for shape in shapes]
    trace = _Trace(root, zeros)
    with _left_as_it_was(root), no_grad(), np.errstate(all="ignore"):
        root.eval()
        for path, module in list(root.named_modules()):
            vars(module)["forward"] = trace.wrap(path, module)
        root(*map(constant, zeros))
    return trace


def _checked(shape: Any) -> tuple[int, ...]:
    shape = (shape,) if isinstance(shape, (int, np.integer)) else shape
    shape = tuple(shape.tolist()) if isinstance(shape, np.ndarray) and shape.ndim == 1 else shape
    if not isinstance(shape, (tuple, list)) or not all(
        isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in shape
    ):
        raise TypeError(f"summary: input_shape: given {shape!r}, expected a tuple of integers, e.g. (100, 3072).")
    if any(n < 0 for n in shape):
        raise ValueError(f"summary: input_shape: given {tuple(shape)}, expected integers of at least 0.")
    return tuple(map(int, shape))


def summarize(root: Module, input_shapes: Sequence[Any], dtype: npt.DTypeLike | None = None) -> Summary:
    """Run a module once on zeros and return what happened; `Module.summary` documents it."""
    if not input_shapes:
        raise TypeError("summary: given no shape, expected that of a batch, e.g. (100, 3072).")
    shapes = [_checked(shape) for shape in input_shapes]
    given = str(shapes[0]) if len(shapes) == 1 else ", ".join(map(str, shapes))
    parameters = list(root.parameters())
    if dtype is None:
        dtype = parameters[0].dtype if parameters else np.float32
    try:
        trace = _run(root, shapes, dtype)
    except (ValueError, IndexError) as refused:
        try:  # one example, without its batch axis
            trace = _run(root, [(1, *shape) for shape in shapes], dtype)
        except (ValueError, IndexError):
            raise ValueError(
                f"summary: input_shape: given {given}, which {type(root).__name__} takes neither as a batch nor as one "
                f"example. As a batch: {refused}"
            ) from refused
        shapes = [(1, *shape) for shape in shapes]
    idle = [(path, module) for path, module in root.named_modules() if module not in trace.called]
    unused = [p for p in parameters if p not in trace.seen]
    rows = tuple(trace.rows)
    return Summary(
        kind=type(root).__name__,
        input_shape=shapes[0] if len(shapes) == 1 else tuple(shapes),
        dtype=str(np.dtype(dtype)),
        rows=rows,
        parameters=sum(p.size for p in parameters),
        trainable=sum(p.size for p in parameters if p.requires_grad),
        buffers=sum(array.size for _, array in root.named_buffers()),
        multiply_adds=sum(row.multiply_adds for row in rows),
        bytes=sum(row.bytes for row in rows) + sum(p.data.nbytes for p in unused),
        not_called=tuple(path for path, module in idle if _own_parameters(module)),
    )

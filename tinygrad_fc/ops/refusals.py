"""What is said when a call, a result or a gradient is refused: messages, which name operations.

The engine, which knows no operation, finds out that something is to be refused, and raises what it gets from here. It
comes here by ``functions.refusals()``, so that this file is read only when there is something to say.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..engine.dispatch import FUNCTIONS, UFUNCS
from ..engine.node import Node
from ..engine.operation import Op, nearest
from ..engine.tensor import Tensor

# ---- NumPy's functions


def _path(function: Any) -> str:
    """Return what a user calls a function: np.exp, np.linalg.inv, scipy.special.erf."""
    name = function.__name__
    if getattr(np, name, None) is function:
        return f"np.{name}"
    if isinstance(function, np.ufunc):
        return f"scipy.special.{name}" if hasattr(sys.modules.get("scipy.special"), name) else f"the ufunc {name}"
    return f"{str(function.__module__).replace('numpy', 'np', 1)}.{name}"


def no_rule(function: Callable[..., Any]) -> TypeError:
    """Return the refusal of a function that no operation is declared for, with the nearest that has one."""
    every: list[Any] = [*UFUNCS, *FUNCTIONS]
    known = {other.__name__: other for other in every if other is not function}
    near = difflib.get_close_matches(function.__name__, sorted(known), n=1, cutoff=0.75)
    hint = f" The nearest supported function is {_path(known[near[0]])}." if near else ""
    name, argument = _path(function), "x" if isinstance(function, np.ufunc) else "a"
    return TypeError(
        f"{name} has no derivative rule for tensors.{hint} Declare one with tg.op({name}, {argument}=rule), "
        f"or use t.data (the array) where no gradient is needed."
    )


_KEYWORDS = {
    "where": "Select afterwards: np.where(condition, result, other).",
    "dtype": "Convert before or after: t.astype(dtype).",
    "axis": "Our own function may take it: tg.vecdot(x, y, axis=0).",
    "axes": "Move the axes first: np.moveaxis(t, 0, -1).",
}


def keyword_of_ufunc(ufunc: np.ufunc, key: str) -> TypeError:
    """Return the refusal of a keyword of a ufunc."""
    cure = _KEYWORDS.get(key, "It changes no value that a gradient depends on: leave it out.")
    return TypeError(f"np.{ufunc.__name__}: {key}= is not supported on tensors. {cure}")


# How to say it instead, for the methods of a ufunc that have no derivative rule.
_INSTEAD = {
    "reduce": "tg.sum, tg.prod, tg.max, tg.min or tg.logsumexp, or go step by step: functools.reduce(np.{0}, t)",
    "accumulate": "tg.cumsum, tg.cumprod, tg.cummax or tg.cummin, or go step by step: itertools.accumulate(t, np.{0})",
    "outer": "broadcasting: np.{0}(x[:, None], y[None, :])",
    "at": "t.at[i].{1}, which returns a new tensor",
    "reduceat": "slices and a reduction of each",
}
_AT = {"add": "add(v)", "subtract": "add(-v)", "multiply": "multiply(v)", "maximum": "max(v)", "minimum": "min(v)"}


def method_of_ufunc(ufunc: np.ufunc, method: str) -> TypeError:
    """Return the refusal of a method of a ufunc, such as ``outer``."""
    name = ufunc.__name__
    cure = _INSTEAD.get(method, "another function").format(name, _AT.get(name, f"set(np.{name}(t[i], v))"))
    return TypeError(f"np.{name}.{method} has no gradient on tensors: use {cure}.")


def written_into(ufunc: np.ufunc) -> TypeError:
    """Return the refusal to write into an array."""
    return TypeError(
        f"{ufunc.__name__}: a tensor cannot be written into an array (out=, or an in-place operator such as "
        f"`array += t`): the gradient would be lost. Write `array = array + t` for a new tensor, or use `t.data` for "
        f"the numbers."
    )


_FOREIGN = {
    "MaskedArray": "its mask would be lost. Take its numbers, m.filled(0.0), and select with np.where(mask, 0.0, t).",
    "matrix": "it means the matrix product by *, and tensors do not. Make it an array, np.asarray(m), and write @.",
}


def foreign(kind: type) -> TypeError:
    """Return the refusal of a kind of array that means something else by the same operators."""
    return TypeError(f"a {kind.__name__} of NumPy is no array for a tensor: {_FOREIGN[kind.__name__]}")


# ---- a tensor that needs a gradient, used as an array, as a number, as a list


def plain_array(t: Tensor) -> TypeError:
    """Return the refusal to become an array."""
    return TypeError(
        f"{t._label()} needs a gradient and cannot become a plain array in silence. For the numbers: "
        f"t.data; for a constant: t.detach(); for an array of tensors: tg.stack([t, u])."
    )


def plain_number(t: Tensor, kind: str) -> TypeError:
    """Return the refusal to become a Python number."""
    number = "t.item()" if t.size == 1 else "t.data"
    return TypeError(
        f"{kind}({t._label()}) would lose its gradient: write {number} for the number, np.exp(t) for "
        f"math.exp(t), and tg.stack or t.at[i].set(v) for array[i] = t."
    )


def other_shape(label: str, given: tuple[int, ...], expected: tuple[int, ...]) -> ValueError:
    """Return the refusal of an array of another shape as the data of the tensor that `label` calls."""
    return ValueError(f"data of tensor{label}: given shape {given}, expected {expected}: a tensor keeps its shape.")


def no_floats(dtype: np.dtype[Any]) -> TypeError:
    """Return the refusal to make a leaf of `dtype`, which has no derivatives."""
    cure = "give floats (1.0 instead of 1) or dtype=np.float64"
    cure = cure if dtype.kind in "biu" else "split real and imaginary parts"
    return TypeError(f"tensor: requires_grad=True needs a floating-point dtype, given {dtype}: {cure}.")


def copied_with_graph(t: Tensor) -> TypeError:
    """Return the refusal to copy or pickle what was computed."""
    return TypeError(f"{t._label()} was computed and holds its graph: copy or pickle t.detach(), or take its t.data.")


def written_in_place() -> TypeError:
    """Return the refusal to assign to elements."""
    return TypeError(
        "tensors are not written in place. Wrong: t[i] = v. Right: t = t.at[i].set(v) (a new tensor), "
        "or t.data[i] = v before t is used."
    )


def computed_data(label: str, op: Op) -> TypeError:
    """Return the refusal to assign to the data of a tensor that `op` computed."""
    return TypeError(
        f"data of tensor{label} cannot be assigned: it was computed by {op.name}, and the tape holds "
        f"its value. Only leaves take new data. Wrong: h = x * 2; h.data = v. Right: h = tg.tensor(v)."
    )


def suspended(called: str, function: Any) -> TypeError:
    """Return the refusal to decorate a generator or coroutine with a mode: ``no_grad``, ``observe``."""
    return TypeError(
        f"{called}: {function.__name__} is a generator or a coroutine, which runs after the decorated call: "
        f"write `with tg.{called}():` around what computes in it, with no yield inside."
    )


# ---- calls of an operation


def too_many(op: Op, count: int) -> TypeError:
    """Return the refusal of `count` positional arguments."""
    most = len(op.arguments) - len(op.keyword_only)
    return TypeError(
        f"{op.name}: given {count} positional arguments, expected at most {most} of {', '.join(op.arguments)}: give "
        f"the others by keyword."
    )


def missing(op: Op, key: str) -> TypeError:
    """Return the refusal of a call without the argument `key`."""
    return TypeError(f"{op.name}: argument {key!r} is missing; expected {', '.join(op.arguments)}.")


def keyword(op: Op, key: str) -> TypeError:
    """Return the refusal of a keyword that is no argument, with the nearest that is."""
    return TypeError(
        f"{op.name}: keyword {key!r} is not supported on tensors; expected {', '.join(op.arguments)}."
        f"{nearest(key, op.arguments)}"
    )


def takes_no_gradient(op: Op, position: int, operand: Tensor) -> TypeError:
    """Return the refusal of a tensor that needs a gradient, where the operation gives none."""
    key = op.arguments[position]
    return TypeError(
        f"{op.name}: argument {key!r} takes no gradient, but {operand._label()} needs one: pass {key}.detach()."
    )


def _given(op: Op, data: Iterable[Any]) -> str:
    parts = []
    for key, value in zip(op.arguments, data, strict=False):
        if isinstance(value, (np.ndarray, np.generic)):
            parts.append(f"{key} {value.shape} {value.dtype}")
        elif isinstance(value, tuple) and value and all(isinstance(item, np.ndarray) for item in value):
            parts.append(f"{key} [{', '.join(str(item.shape) for item in value)}]")
        else:
            parts.append(f"{key}={value!r:.60}")
    return ", ".join(parts)


def message_of(op: Op, error: Exception, data: Iterable[Any]) -> str:
    """Return what is said of `error`: with the operation, the arguments' shapes and the cure."""
    text = str(error)
    if text.startswith(f"{op.name}:"):
        if not isinstance(op.function, np.ufunc):
            return text  # the operation said it all itself
        text = text.removeprefix(f"{op.name}: ")
    cure = f" {op.cure}" if op.cure and isinstance(error, ValueError) else ""
    return f"{op.name}: {text.rstrip(' .')}. Given {_given(op, data)}.{cure}"


def failed(op: Op, error: Exception, data: Iterable[Any]) -> Exception:
    """Return `error` again with all that is to be said in its message."""
    message = message_of(op, error, data)
    if message == str(error):
        return error
    try:
        return type(error)(message)
    except Exception:  # an exception whose constructor wants more than a message keeps its own, with a note
        error.add_note(message)
        return error


# ---- what an operation returns


def no_array(op: Op, out: Any) -> TypeError:
    """Return the refusal of a result that is no array."""
    why = "given objects, " if isinstance(op.function, np.ufunc) else ""
    return TypeError(f"{op.name}: {why}its function returned {type(out).__name__}, expected an array of numbers.")


def no_gradient(op: Op, out: np.ndarray, data: Iterable[Any]) -> TypeError:
    """Return the refusal of a result whose dtype has no gradient."""
    if out.dtype.kind == "O":
        return TypeError(f"{op.name}: given {_given(op, data)}; expected arrays of numbers.")
    why = "gradients of complex tensors are not supported" if out.dtype.kind == "c" else "its result has no gradient"
    return TypeError(f"{op.name}: {why} (dtype {out.dtype}): detach the inputs first, t.detach().")


def no_leaves(op: Op, out: Any) -> TypeError:
    """Return the refusal of a kernel that does not leave what its declaration says."""
    return TypeError(
        f"{op.name}: its kernel must return a tuple of the result and {', '.join(op.leaves)}, "
        f"{1 + len(op.leaves)} entries; given {type(out).__name__}"
        f"{f' of {len(out)}' if type(out) is tuple else ''}."
    )


def composed(op: Op, node: Node, out: Any) -> ValueError:
    """Return the refusal of what `compose` returns, where the kernel had returned `node`."""
    what = f"a tensor of shape {out.shape} {out.dtype}" if isinstance(out, Tensor) else type(out).__name__
    return ValueError(
        f"{op.name}: its compose returned {what}, expected shape {node.shape} {node.dtype} as its kernel "
        f"does, computed from its arguments by operations on tensors."
    )


# ---- backward


def untracked(label: str, given: Any) -> TypeError:
    """Return the refusal to differentiate what `label` calls, which is no tensor or needs no gradient."""
    foreign = "" if isinstance(given, Tensor) else f", given {type(given).__name__}, expected a tensor"
    return TypeError(
        f"{label} needs no gradient{foreign}: no input of it was made with requires_grad=True, or it was computed "
        f"under no_grad()."
    )


def tracked_seed(argument: str) -> TypeError:
    """Return the refusal of a gradient that is to be differentiated itself, by a backward that is not recorded."""
    return TypeError(
        f"{argument} needs a gradient itself, which only a recorded backward gives it: tg.gradients(..., "
        f"create_graph=True). Otherwise pass its numbers, .detach()."
    )


def no_scalar(node: Node, argument: str) -> ValueError:
    """Return the refusal to go backward from more than one element without `argument`, their gradient."""
    return ValueError(
        f"backward: the tensor has shape {node.shape}, and only a scalar's gradient is 1 by itself. Reduce it "
        f"first, t.sum().backward(), or give {argument.rsplit(' ', 1)[-1]} of shape {node.shape}."
    )


def overwritten(leaf: Node, node: Node) -> RuntimeError:
    """Return the refusal to go backward through `node`, which used an older value of `leaf`."""
    return RuntimeError(
        f"backward: {leaf.label()} was overwritten after {node.label()} had used it, so the saved "
        f"values are stale. Compute the result anew after each write to a leaf."
    )


def note_rules(error: Exception, node: Node) -> None:
    """Add to what a rule of `node` raised a note that says so, where the error does not name the operation itself."""
    said = "\n".join([str(error), *getattr(error, "__notes__", ())])
    placed = said.startswith("backward")  # it says itself where it was, which an observer knows best
    if node.op is not None and f"{node.op.name}:" not in said and not placed:
        error.add_note(f"{node.op.name}: raised while backward ran its rules, on a gradient of shape {node.shape}.")


def freed(node: Node) -> RuntimeError:
    """Return the refusal to go backward through `node` once more."""
    return RuntimeError(
        f"backward: the graph was freed by an earlier backward at {node.label()}. Compute the result anew, or "
        f"keep the graph the first time: backward(retain_graph=True)."
    )


def unfit(op: Op, node: Node, position: int, parent: Node, d: Any) -> TypeError | ValueError:
    """Return the refusal of what a rule of `node` gives `parent`, at `position`: no array, or its shape or dtype."""
    name = op.parent_names(len(node.parents))[position]
    rules = f"{op.name}: the gradient that its rule gives for argument {name!r}"
    if not isinstance(d, (np.ndarray, np.generic, Tensor)):
        return TypeError(f"{rules} returned {type(d).__name__}, expected an array.")
    if d.shape != parent.shape:
        return ValueError(f"{rules} has shape {d.shape}, expected {parent.shape}.")
    return TypeError(f"{rules} has dtype {d.dtype}, expected {parent.dtype}.")
